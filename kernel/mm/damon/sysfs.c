// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface, /sys/kernel/mm/damon/admin/kdamonds: what users make
 * kdamonds by, start and stop them, and have them do something while they run.
 *
 * Whoever waits for a kdamond holds a bit of damon_sysfs_kdamond::waiters
 * instead of damon_sysfs_lock, so that others can go on: to stop it, say.  While
 * there are such bits, what belongs to the kdamond stays.
 */

#include <linux/bitops.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "sysfs-common.h"

#define DAMON_SYSFS_MAX_KDAMONDS	1024

/* Who may wait for a kdamond: bits of damon_sysfs_kdamond::waiters */
enum damon_sysfs_waiter {
	DAMON_SYSFS_COMMAND,
	DAMON_SYSFS_REFRESH,
};

/*
 * kdamonds/<K>/: what it runs with is in ctxs, from when it is first started
 * until it is started again or removed.  It may end by itself, and then they are
 * but what is left of it.
 */
struct damon_sysfs_kdamond {
	struct kobject kobj;
	struct kobject *contexts;
	struct damon_ctx **ctxs;
	int nr_ctxs;
	unsigned long waiters;
	unsigned int refresh_ms;
	struct delayed_work refresh;
};

static struct damon_sysfs_kdamond *damon_sysfs_to_kdamond(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_kdamond, kobj);
}

/* One of the contexts that it runs with, or NULL while it does not run. */
static struct damon_ctx *damon_sysfs_running_ctx(struct damon_sysfs_kdamond *kdamond)
{
	int i;

	/* While it ends, it lets go of them one after the other. */
	for (i = 0; i < kdamond->nr_ctxs; i++)
		if (damon_is_running(kdamond->ctxs[i]))
			return kdamond->ctxs[i];
	return NULL;
}

static void damon_sysfs_destroy_ctxs(struct damon_ctx **ctxs, int nr)
{
	int i;

	for (i = 0; i < nr && ctxs[i]; i++)
		damon_destroy_ctx(ctxs[i]);
	kfree(ctxs);
}

/* Contexts as the files ask for, or an ERR_PTR(). */
static struct damon_ctx **damon_sysfs_new_ctxs(struct damon_sysfs_list *contexts)
{
	struct damon_ctx **ctxs;
	int i;

	ctxs = kcalloc(contexts->nr, sizeof(*ctxs), GFP_KERNEL);
	if (!ctxs)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < contexts->nr; i++) {
		struct damon_ctx *ctx = damon_sysfs_new_ctx(contexts->items[i]);

		if (IS_ERR(ctx)) {
			damon_sysfs_destroy_ctxs(ctxs, i);
			return ERR_CAST(ctx);
		}
		ctxs[i] = ctx;
	}
	return ctxs;
}

/* With damon_sysfs_lock held: 0, or -EBUSY while somebody needs the contexts. */
static int damon_sysfs_may_remove_ctxs(struct kobject *kobj)
{
	struct damon_sysfs_kdamond *kdamond = damon_sysfs_to_kdamond(kobj);

	if (damon_sysfs_running_ctx(kdamond))
		return -EBUSY;
	/* Pairs with damon_sysfs_end_wait(). */
	return smp_load_acquire(&kdamond->waiters) ? -EBUSY : 0;
}

static int damon_sysfs_start(struct damon_sysfs_kdamond *kdamond)
{
	struct damon_sysfs_list *contexts = damon_sysfs_to_list(kdamond->contexts);
	struct damon_ctx **ctxs;
	int err;

	err = damon_sysfs_may_remove_ctxs(&kdamond->kobj);
	if (err)
		return err;
	if (!contexts->nr)
		return -EINVAL;
	ctxs = damon_sysfs_new_ctxs(contexts);
	if (IS_ERR(ctxs))
		return PTR_ERR(ctxs);
	err = damon_start_group(ctxs, contexts->nr, false);
	if (err) {
		damon_sysfs_destroy_ctxs(ctxs, contexts->nr);
		return err;
	}
	damon_sysfs_destroy_ctxs(kdamond->ctxs, kdamond->nr_ctxs);
	kdamond->ctxs = ctxs;
	kdamond->nr_ctxs = contexts->nr;
	return 0;
}

/* With damon_sysfs_lock held: keep the contexts that the kdamond runs with. */
static int damon_sysfs_begin_wait(struct damon_sysfs_kdamond *kdamond,
				  enum damon_sysfs_waiter waiter)
{
	if (!damon_sysfs_running_ctx(kdamond))
		return -EINVAL;
	if (test_and_set_bit(waiter, &kdamond->waiters))
		return -EBUSY;
	return 0;
}

static void damon_sysfs_end_wait(struct damon_sysfs_kdamond *kdamond,
				 enum damon_sysfs_waiter waiter)
{
	clear_bit_unlock(waiter, &kdamond->waiters);
}

/* Have the kdamond call a function, which may use all of its contexts; wait. */
static int damon_sysfs_call(struct damon_sysfs_kdamond *kdamond,
			    int (*fn)(void *data), void *data)
{
	struct damon_ctx *ctx = damon_sysfs_running_ctx(kdamond);
	struct damon_call_control control = { .fn = fn, .data = data };
	int err;

	/* It may have ended since. */
	err = ctx ? damon_call(ctx, &control) : -ECANCELED;
	return err ? err : control.return_code;
}

struct damon_sysfs_commit {
	struct damon_ctx **to;
	struct damon_ctx **from;
	int nr;
};

static int damon_sysfs_commit_ctxs(void *data)
{
	struct damon_sysfs_commit *commit = data;

	return damon_commit_ctxs(commit->to, commit->from, commit->nr);
}

/* With damon_sysfs_lock held: make what is to be committed, and begin to wait. */
static int damon_sysfs_prepare_commit(struct damon_sysfs_kdamond *kdamond,
				      struct damon_sysfs_commit *commit)
{
	struct damon_sysfs_list *contexts = damon_sysfs_to_list(kdamond->contexts);
	int err;

	if (contexts->nr != kdamond->nr_ctxs)
		return -EINVAL;
	err = damon_sysfs_begin_wait(kdamond, DAMON_SYSFS_COMMAND);
	if (err)
		return err;
	commit->to = kdamond->ctxs;
	commit->nr = kdamond->nr_ctxs;
	commit->from = damon_sysfs_new_ctxs(contexts);
	if (IS_ERR(commit->from)) {
		damon_sysfs_end_wait(kdamond, DAMON_SYSFS_COMMAND);
		return PTR_ERR(commit->from);
	}
	return 0;
}

static int damon_sysfs_commit(struct damon_sysfs_kdamond *kdamond)
{
	struct damon_sysfs_commit commit;
	int err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		err = damon_sysfs_prepare_commit(kdamond, &commit);
		if (err)
			return err;
	}
	err = damon_sysfs_call(kdamond, damon_sysfs_commit_ctxs, &commit);
	damon_sysfs_destroy_ctxs(commit.from, commit.nr);
	damon_sysfs_end_wait(kdamond, DAMON_SYSFS_COMMAND);
	return err;
}

struct damon_sysfs_attrs_of {
	struct damon_ctx **ctxs;
	struct damon_attrs *attrs;
	int nr;
};

static int damon_sysfs_get_attrs(void *data)
{
	struct damon_sysfs_attrs_of *of = data;
	int i;

	for (i = 0; i < of->nr; i++)
		of->attrs[i] = of->ctxs[i]->attrs;
	return 0;
}

/* With damon_sysfs_lock held; there may be other directories than at the start. */
static void damon_sysfs_put_attrs(struct damon_sysfs_kdamond *kdamond,
				  const struct damon_sysfs_attrs_of *of)
{
	struct damon_sysfs_list *contexts = damon_sysfs_to_list(kdamond->contexts);
	int i;

	for (i = 0; i < contexts->nr && i < of->nr; i++)
		damon_sysfs_set_intervals(contexts->items[i], &of->attrs[i]);
}

/* Write the intervals that the kdamond has come to into the files. */
static int damon_sysfs_read_back(struct damon_sysfs_kdamond *kdamond,
				 enum damon_sysfs_waiter waiter)
{
	struct damon_sysfs_attrs_of of;
	int err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		err = damon_sysfs_begin_wait(kdamond, waiter);
		if (err)
			return err;
	}
	of.ctxs = kdamond->ctxs;
	of.nr = kdamond->nr_ctxs;
	of.attrs = kcalloc(of.nr, sizeof(*of.attrs), GFP_KERNEL);
	if (of.attrs)
		err = damon_sysfs_call(kdamond, damon_sysfs_get_attrs, &of);
	else
		err = -ENOMEM;
	if (!err) {
		scoped_cond_guard(mutex_try, err = -EBUSY, &damon_sysfs_lock)
			damon_sysfs_put_attrs(kdamond, &of);
	}
	kfree(of.attrs);
	damon_sysfs_end_wait(kdamond, waiter);
	return err;
}

static int damon_sysfs_update_tuned_intervals(struct damon_sysfs_kdamond *kdamond)
{
	return damon_sysfs_read_back(kdamond, DAMON_SYSFS_COMMAND);
}

static void damon_sysfs_plan_refresh(struct damon_sysfs_kdamond *kdamond)
{
	unsigned int ms = READ_ONCE(kdamond->refresh_ms);

	if (ms)
		mod_delayed_work(system_unbound_wq, &kdamond->refresh,
				 msecs_to_jiffies(ms));
}

static void damon_sysfs_refresh(struct work_struct *work)
{
	struct damon_sysfs_kdamond *kdamond = container_of(to_delayed_work(work),
			struct damon_sysfs_kdamond, refresh);

	/* What was too busy this time is not the next. */
	if (damon_sysfs_read_back(kdamond, DAMON_SYSFS_REFRESH) != -EINVAL)
		damon_sysfs_plan_refresh(kdamond);
}

static int damon_sysfs_on(struct damon_sysfs_kdamond *kdamond)
{
	int err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		err = damon_sysfs_start(kdamond);
		if (!err)
			damon_sysfs_plan_refresh(kdamond);
	}
	return err;
}

static int damon_sysfs_off(struct damon_sysfs_kdamond *kdamond)
{
	int err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		if (!kdamond->ctxs)
			return -EINVAL;
		err = damon_stop(kdamond->ctxs, kdamond->nr_ctxs);
	}
	/* So that who now removes the kdamond does not find it waited for. */
	flush_delayed_work(&kdamond->refresh);
	return err;
}

/* There are no schemes, so there is nothing to do with them. */
static int damon_sysfs_schemes_command(struct damon_sysfs_kdamond *kdamond)
{
	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		if (!damon_sysfs_running_ctx(kdamond))
			return -EINVAL;
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct damon_sysfs_kdamond *kdamond);
} damon_sysfs_commands[] = {
	{ "on", damon_sysfs_on },
	{ "off", damon_sysfs_off },
	{ "commit", damon_sysfs_commit },
	{ "commit_schemes_quota_goals", damon_sysfs_schemes_command },
	{ "update_schemes_stats", damon_sysfs_schemes_command },
	{ "update_schemes_tried_bytes", damon_sysfs_schemes_command },
	{ "update_schemes_tried_regions", damon_sysfs_schemes_command },
	{ "clear_schemes_tried_regions", damon_sysfs_schemes_command },
	{ "update_schemes_effective_quotas", damon_sysfs_schemes_command },
	{ "update_tuned_intervals", damon_sysfs_update_tuned_intervals },
};

static ssize_t state_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(damon_sysfs_commands); i++) {
		if (!sysfs_streq(buf, damon_sysfs_commands[i].name))
			continue;
		err = damon_sysfs_commands[i].run(damon_sysfs_to_kdamond(kobj));
		return err ? err : count;
	}
	return -EINVAL;
}

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct damon_ctx *ctx;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		ctx = damon_sysfs_running_ctx(damon_sysfs_to_kdamond(kobj));
	}
	return sysfs_emit(buf, "%s\n", ctx ? "on" : "off");
}

static ssize_t pid_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct damon_ctx *ctx;
	int pid = -1;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		ctx = damon_sysfs_running_ctx(damon_sysfs_to_kdamond(kobj));
		if (ctx)
			pid = damon_kdamond_pid(ctx);
	}
	return sysfs_emit(buf, "%d\n", pid);
}

static ssize_t refresh_ms_show(struct kobject *kobj, struct kobj_attribute *attr,
			       char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  READ_ONCE(damon_sysfs_to_kdamond(kobj)->refresh_ms));
}

static ssize_t refresh_ms_store(struct kobject *kobj, struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	struct damon_sysfs_kdamond *kdamond = damon_sysfs_to_kdamond(kobj);
	unsigned int ms;
	int err;

	err = kstrtouint(buf, 0, &ms);
	if (err)
		return err;
	WRITE_ONCE(kdamond->refresh_ms, ms);
	if (ms)
		damon_sysfs_plan_refresh(kdamond);
	else
		cancel_delayed_work(&kdamond->refresh);
	return count;
}

static struct kobj_attribute damon_sysfs_state = __ATTR_RW_MODE(state, 0600);
static struct kobj_attribute damon_sysfs_pid = __ATTR_RO_MODE(pid, 0400);
static struct kobj_attribute damon_sysfs_refresh_ms = __ATTR_RW_MODE(refresh_ms, 0600);

static struct attribute *damon_sysfs_kdamond_attrs[] = {
	&damon_sysfs_state.attr,
	&damon_sysfs_pid.attr,
	&damon_sysfs_refresh_ms.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_kdamond);

static const struct damon_sysfs_part damon_sysfs_kdamond_parts[] = {
	{ "contexts", &damon_sysfs_contexts_type,
	  offsetof(struct damon_sysfs_kdamond, contexts) },
	{}
};

static void damon_sysfs_init_kdamond(struct kobject *kobj)
{
	INIT_DELAYED_WORK(&damon_sysfs_to_kdamond(kobj)->refresh, damon_sysfs_refresh);
}

static void damon_sysfs_exit_kdamond(struct kobject *kobj)
{
	struct damon_sysfs_kdamond *kdamond = damon_sysfs_to_kdamond(kobj);

	/* Should it run just now, it does not get damon_sysfs_lock. */
	cancel_delayed_work_sync(&kdamond->refresh);
	damon_sysfs_destroy_ctxs(kdamond->ctxs, kdamond->nr_ctxs);
}

static const struct damon_sysfs_type damon_sysfs_kdamond_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_kdamond_groups),
	.size = sizeof(struct damon_sysfs_kdamond),
	.parts = damon_sysfs_kdamond_parts,
	.init = damon_sysfs_init_kdamond,
	.exit = damon_sysfs_exit_kdamond,
	.may_remove = damon_sysfs_may_remove_ctxs,
};

DAMON_SYSFS_NR_FILE(kdamonds);

static const struct damon_sysfs_type damon_sysfs_kdamonds_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_kdamonds_groups),
	.size = sizeof(struct damon_sysfs_list),
	.item = &damon_sysfs_kdamond_type,
	.max_items = DAMON_SYSFS_MAX_KDAMONDS,
};

static int __init damon_sysfs_init(void)
{
	struct kobject *damon, *admin, *kdamonds;

	damon = kobject_create_and_add("damon", mm_kobj);
	if (!damon)
		return -ENOMEM;
	admin = kobject_create_and_add("admin", damon);
	if (!admin) {
		kobject_put(damon);
		return -ENOMEM;
	}
	kdamonds = damon_sysfs_new_dir(&damon_sysfs_kdamonds_type, admin, "kdamonds");
	if (IS_ERR(kdamonds)) {
		kobject_put(admin);
		kobject_put(damon);
		return PTR_ERR(kdamonds);
	}
	return 0;
}
subsys_initcall(damon_sysfs_init);
