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
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "sysfs-common.h"

#define DAMON_SYSFS_MAX_KDAMONDS	1024

/* Directories in tried_regions/ of all of a kdamond's schemes */
#define DAMON_SYSFS_MAX_TRIED_REGIONS	65536

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

/* Contexts as a function makes them of the files, or an ERR_PTR(). */
static struct damon_ctx **
damon_sysfs_new_ctxs(struct damon_sysfs_list *contexts,
		     struct damon_ctx *(*make)(struct kobject *context))
{
	struct damon_ctx **ctxs;
	int i;

	ctxs = kcalloc(contexts->nr, sizeof(*ctxs), GFP_KERNEL);
	if (!ctxs)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < contexts->nr; i++) {
		struct damon_ctx *ctx = make(contexts->items[i]);

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
	ctxs = damon_sysfs_new_ctxs(contexts, damon_sysfs_new_ctx);
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
			    struct damon_call_control *control)
{
	struct damon_ctx *ctx = damon_sysfs_running_ctx(kdamond);
	int err;

	/* It may have ended since. */
	err = ctx ? damon_call(ctx, control) : -ECANCELED;
	return err ? err : control->return_code;
}

/*
 * For who waits for the kdamond: others hold the lock for a moment only, and none
 * of them for such a one to end.
 */
static int damon_sysfs_lock_patiently(void)
{
	while (!mutex_trylock(&damon_sysfs_lock))
		if (msleep_interruptible(1))
			return -EINTR;
	return 0;
}

/* What is to be committed: how it is made of files, and how it is taken over. */
struct damon_sysfs_commit {
	struct damon_ctx *(*make)(struct kobject *context);
	int (*take)(struct damon_ctx **to, struct damon_ctx **from, int nr);
	struct damon_ctx **to;
	struct damon_ctx **from;
	int nr;
};

static int damon_sysfs_take_commit(void *data)
{
	struct damon_sysfs_commit *commit = data;

	return commit->take(commit->to, commit->from, commit->nr);
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
	commit->from = damon_sysfs_new_ctxs(contexts, commit->make);
	if (IS_ERR(commit->from)) {
		damon_sysfs_end_wait(kdamond, DAMON_SYSFS_COMMAND);
		return PTR_ERR(commit->from);
	}
	return 0;
}

static int damon_sysfs_run_commit(struct damon_sysfs_kdamond *kdamond,
				  struct damon_sysfs_commit *commit)
{
	struct damon_call_control control = {
		.fn = damon_sysfs_take_commit,
		.data = commit,
	};
	int err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		err = damon_sysfs_prepare_commit(kdamond, commit);
		if (err)
			return err;
	}
	err = damon_sysfs_call(kdamond, &control);
	damon_sysfs_destroy_ctxs(commit->from, commit->nr);
	damon_sysfs_end_wait(kdamond, DAMON_SYSFS_COMMAND);
	return err;
}

static int damon_sysfs_commit(struct damon_sysfs_kdamond *kdamond)
{
	struct damon_sysfs_commit commit = {
		.make = damon_sysfs_new_ctx,
		.take = damon_commit_ctxs,
	};

	return damon_sysfs_run_commit(kdamond, &commit);
}

static int damon_sysfs_commit_goals(struct damon_sysfs_kdamond *kdamond)
{
	struct damon_sysfs_commit commit = {
		.make = damon_sysfs_new_goals_ctx,
		.take = damon_sysfs_commit_quota_goals,
	};

	return damon_sysfs_run_commit(kdamond, &commit);
}

/* What all contexts of a kdamond have come to. */
struct damon_sysfs_progress {
	struct damon_ctx **ctxs;
	struct damon_sysfs_figures *figures;
	int nr;
};

static int damon_sysfs_get_progress(void *data)
{
	struct damon_sysfs_progress *progress = data;
	int i, err;

	for (i = 0; i < progress->nr; i++) {
		err = damon_sysfs_get_figures(&progress->figures[i], progress->ctxs[i]);
		if (err)
			return err;
	}
	return 0;
}

/* For who waits for the kdamond; undo with damon_sysfs_free_progress(). */
static int damon_sysfs_ask_progress(struct damon_sysfs_kdamond *kdamond,
				    struct damon_sysfs_progress *progress)
{
	struct damon_call_control control = {
		.fn = damon_sysfs_get_progress,
		.data = progress,
		.only_reads = true,
	};

	progress->ctxs = kdamond->ctxs;
	progress->nr = kdamond->nr_ctxs;
	progress->figures = kcalloc(progress->nr, sizeof(*progress->figures), GFP_KERNEL);
	if (!progress->figures)
		return -ENOMEM;
	return damon_sysfs_call(kdamond, &control);
}

static void damon_sysfs_free_progress(struct damon_sysfs_progress *progress)
{
	int i;

	for (i = 0; progress->figures && i < progress->nr; i++)
		damon_sysfs_free_figures(&progress->figures[i]);
	kfree(progress->figures);
}

/* There may be other directories than at the start. */
static int damon_sysfs_put_progress(struct damon_sysfs_kdamond *kdamond,
				    const struct damon_sysfs_progress *progress,
				    unsigned int which)
{
	struct damon_sysfs_list *contexts = damon_sysfs_to_list(kdamond->contexts);
	int i, err;

	err = damon_sysfs_lock_patiently();
	if (err)
		return err;
	for (i = 0; i < contexts->nr && i < progress->nr; i++)
		damon_sysfs_put_figures(contexts->items[i], &progress->figures[i], which);
	mutex_unlock(&damon_sysfs_lock);
	return 0;
}

/* Write what the kdamond has come to into the files: bits of enum damon_sysfs_figure. */
static int damon_sysfs_read_back(struct damon_sysfs_kdamond *kdamond,
				 enum damon_sysfs_waiter waiter, unsigned int which)
{
	struct damon_sysfs_progress progress = {};
	int err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		err = damon_sysfs_begin_wait(kdamond, waiter);
		if (err)
			return err;
	}
	err = damon_sysfs_ask_progress(kdamond, &progress);
	if (!err)
		err = damon_sysfs_put_progress(kdamond, &progress, which);
	damon_sysfs_free_progress(&progress);
	damon_sysfs_end_wait(kdamond, waiter);
	return err;
}

static int damon_sysfs_update_tuned_intervals(struct damon_sysfs_kdamond *kdamond)
{
	return damon_sysfs_read_back(kdamond, DAMON_SYSFS_COMMAND, DAMON_SYSFS_INTERVALS);
}

static int damon_sysfs_update_stats(struct damon_sysfs_kdamond *kdamond)
{
	return damon_sysfs_read_back(kdamond, DAMON_SYSFS_COMMAND, DAMON_SYSFS_STATS);
}

static int damon_sysfs_update_effective_quotas(struct damon_sysfs_kdamond *kdamond)
{
	return damon_sysfs_read_back(kdamond, DAMON_SYSFS_COMMAND,
				     DAMON_SYSFS_EFFECTIVE_QUOTAS);
}

/* For who waits for the kdamond: until all schemes of its contexts have been tried. */
static int damon_sysfs_walk_all(struct damon_sysfs_kdamond *kdamond,
				struct damon_sysfs_walk *walks,
				const struct damon_sysfs_progress *progress,
				unsigned int max_nr)
{
	int i, err;

	for (i = 0; i < progress->nr; i++) {
		err = damon_sysfs_walk(&walks[i], progress->ctxs[i],
				       progress->figures[i].nr_schemes, max_nr);
		/* A context that is at rest while others are not has tried nothing. */
		if (err == -EINVAL || err == -ECANCELED)
			err = damon_sysfs_running_ctx(kdamond) ? 0 : -ECANCELED;
		if (err)
			return err;
		max_nr -= walks[i].nr;
	}
	return 0;
}

/* There may be other directories than at the start. */
static int damon_sysfs_put_walks(struct damon_sysfs_kdamond *kdamond,
				 const struct damon_sysfs_walk *walks)
{
	struct damon_sysfs_list *contexts = damon_sysfs_to_list(kdamond->contexts);
	int i, err;

	err = damon_sysfs_lock_patiently();
	if (err)
		return err;
	for (i = 0; !err && i < contexts->nr && i < kdamond->nr_ctxs; i++)
		err = damon_sysfs_put_walk(damon_sysfs_schemes(contexts->items[i]),
					   &walks[i]);
	mutex_unlock(&damon_sysfs_lock);
	return err;
}

/* Write what schemes are tried on into the files, with so many regions at most. */
static int damon_sysfs_update_tried(struct damon_sysfs_kdamond *kdamond,
				    unsigned int max_nr)
{
	struct damon_sysfs_progress progress = {};
	struct damon_sysfs_walk *walks;
	int i, err;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		err = damon_sysfs_begin_wait(kdamond, DAMON_SYSFS_COMMAND);
		if (err)
			return err;
	}
	walks = kcalloc(kdamond->nr_ctxs, sizeof(*walks), GFP_KERNEL);
	err = walks ? damon_sysfs_ask_progress(kdamond, &progress) : -ENOMEM;
	if (!err)
		err = damon_sysfs_walk_all(kdamond, walks, &progress, max_nr);
	if (!err)
		err = damon_sysfs_put_walks(kdamond, walks);
	for (i = 0; walks && i < kdamond->nr_ctxs; i++)
		damon_sysfs_free_walk(&walks[i]);
	kfree(walks);
	damon_sysfs_free_progress(&progress);
	damon_sysfs_end_wait(kdamond, DAMON_SYSFS_COMMAND);
	return err;
}

static int damon_sysfs_update_tried_bytes(struct damon_sysfs_kdamond *kdamond)
{
	return damon_sysfs_update_tried(kdamond, 0);
}

static int damon_sysfs_update_tried_regions(struct damon_sysfs_kdamond *kdamond)
{
	return damon_sysfs_update_tried(kdamond, DAMON_SYSFS_MAX_TRIED_REGIONS);
}

static int damon_sysfs_clear_tried_regions(struct damon_sysfs_kdamond *kdamond)
{
	struct damon_sysfs_list *contexts = damon_sysfs_to_list(kdamond->contexts);
	int i;

	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		if (!damon_sysfs_running_ctx(kdamond))
			return -EINVAL;
		for (i = 0; i < contexts->nr; i++)
			damon_sysfs_clear_tried(damon_sysfs_schemes(contexts->items[i]));
	}
	return 0;
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
	if (damon_sysfs_read_back(kdamond, DAMON_SYSFS_REFRESH,
				  DAMON_SYSFS_INTERVALS | DAMON_SYSFS_STATS |
				  DAMON_SYSFS_EFFECTIVE_QUOTAS) != -EINVAL)
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

static const struct {
	const char *name;
	int (*run)(struct damon_sysfs_kdamond *kdamond);
} damon_sysfs_commands[] = {
	{ "on", damon_sysfs_on },
	{ "off", damon_sysfs_off },
	{ "commit", damon_sysfs_commit },
	{ "commit_schemes_quota_goals", damon_sysfs_commit_goals },
	{ "update_schemes_stats", damon_sysfs_update_stats },
	{ "update_schemes_tried_bytes", damon_sysfs_update_tried_bytes },
	{ "update_schemes_tried_regions", damon_sysfs_update_tried_regions },
	{ "clear_schemes_tried_regions", damon_sysfs_clear_tried_regions },
	{ "update_schemes_effective_quotas", damon_sysfs_update_effective_quotas },
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
