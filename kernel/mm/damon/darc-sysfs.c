// SPDX-License-Identifier: GPL-2.0
/*
 * DARC's interface of user space: /sys/kernel/mm/darc.
 *
 * A zone's directory goes without darc_lock held, and waits for those who are in
 * the functions of its files.  So these may take it; what they find then is a zone
 * that is gone, maybe.
 */

#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/vmstat.h>

#include "darc.h"

#define LEAST_MIN_AGE_US	(100 * USEC_PER_MSEC)
#define MOST_MIN_AGE_US		(3600UL * USEC_PER_SEC)
#define MOST_RESET_MS		(3600UL * MSEC_PER_SEC)

static struct kobject *darc_kobj;
static struct kobject *zones_kobj;

static ssize_t enabled_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%c\n", darc_is_enabled() ? 'Y' : 'N');
}

static ssize_t enabled_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	bool enable;
	int err;

	err = kstrtobool(buf, &enable);
	if (!err)
		err = darc_enable(enable);
	return err ?: count;
}

static struct kobj_attribute enabled_attr = __ATTR(enabled, 0600, enabled_show, enabled_store);

/**
 * struct param_attr - a file that is a part of darc_params
 * @attr:	the file
 * @param:	which part
 * @least:	values that it may have
 * @most:	likewise
 */
struct param_attr {
	struct kobj_attribute attr;
	unsigned long *param;
	unsigned long least;
	unsigned long most;
};

static ssize_t param_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct param_attr *param = container_of(attr, struct param_attr, attr);

	return sysfs_emit(buf, "%lu\n", READ_ONCE(*param->param));
}

static ssize_t param_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	struct param_attr *param = container_of(attr, struct param_attr, attr);
	unsigned long value;
	int err;

	err = kstrtoul(buf, 0, &value);
	if (err)
		return err;
	if (value < param->least || value > param->most)
		return -EINVAL;
	if (param->param == &darc_params.psi_us && value && !darc_has_psi())
		return -EOPNOTSUPP;
	return darc_change(param->param, value) ?: count;
}

#define PARAM(_name, _param, _least, _most)					\
	static struct param_attr _param##_attr = {				\
		.attr = __ATTR(_name, 0600, param_show, param_store),		\
		.param = &darc_params._param,					\
		.least = _least,						\
		.most = _most,							\
	}

PARAM(min_age_us, min_age_us, LEAST_MIN_AGE_US, MOST_MIN_AGE_US);
PARAM(bytes, bytes, 0, ULONG_MAX);
PARAM(ms, ms, 0, ULONG_MAX);
PARAM(reset_interval_ms, reset_interval_ms, 1, MOST_RESET_MS);
PARAM(some_mem_psi_us, psi_us, 0, ULONG_MAX);

static struct attribute *darc_attrs[] = {
	&enabled_attr.attr,
	&min_age_us_attr.attr.attr,
	NULL,
};

static struct attribute *quotas_attrs[] = {
	&bytes_attr.attr.attr,
	&ms_attr.attr.attr,
	&reset_interval_ms_attr.attr.attr,
	&psi_us_attr.attr.attr,
	NULL,
};

static const struct attribute_group darc_group = {
	.attrs = darc_attrs,
};

static const struct attribute_group quotas_group = {
	.name = "quotas",
	.attrs = quotas_attrs,
};

static const struct attribute_group *darc_groups[] = {
	&darc_group,
	&quotas_group,
	NULL,
};

/**
 * struct mark_attr - a file that is a watermark
 * @attr:	the file
 * @which:	which watermark
 */
struct mark_attr {
	struct kobj_attribute attr;
	enum darc_mark which;
};

static ssize_t mark_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct mark_attr *mark = container_of(attr, struct mark_attr, attr);
	struct darc_zone *z = darc_to_zone(kobj);
	const struct darc_room room = darc_zone_room(z);
	struct darc_marks marks;

	spin_lock(&z->lock);
	darc_resolve(&marks, &z->own, &room);
	spin_unlock(&z->lock);
	return sysfs_emit(buf, "%lu\n", *darc_find_mark(&marks, mark->which) << PAGE_SHIFT);
}

static int set_mark(struct darc_zone *z, enum darc_mark which, unsigned long pages)
{
	const struct darc_room room = darc_zone_room(z);
	int err;

	mutex_lock(&darc_lock);
	if (z->gone) {
		mutex_unlock(&darc_lock);
		return -ENODEV;
	}
	spin_lock(&z->lock);
	err = darc_set_mark(&z->own, which, pages, &room);
	spin_unlock(&z->lock);
	if (!err && darc_is_enabled()) {
		darc_look(z);
		darc_wake();
	}
	mutex_unlock(&darc_lock);
	return err;
}

static ssize_t mark_store(struct kobject *kobj, struct kobj_attribute *attr,
			  const char *buf, size_t count)
{
	struct mark_attr *mark = container_of(attr, struct mark_attr, attr);
	unsigned long bytes;
	int err;

	if (sysfs_streq(buf, "default"))
		return set_mark(darc_to_zone(kobj), mark->which, 0) ?: count;
	err = kstrtoul(buf, 0, &bytes);
	if (err)
		return err;
	/* Nothing at all stands for the default one inside. */
	if (bytes < PAGE_SIZE)
		return -EINVAL;
	return set_mark(darc_to_zone(kobj), mark->which, bytes >> PAGE_SHIFT) ?: count;
}

#define MARK(_name, _which)							\
	static struct mark_attr _name##_attr = {				\
		.attr = __ATTR(_name, 0600, mark_show, mark_store),		\
		.which = _which,						\
	}

MARK(high, DARC_HIGH);
MARK(mid, DARC_MID);
MARK(low, DARC_LOW);

static ssize_t written_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct darc_zone *z = darc_to_zone(kobj);
	struct darc_marks own;

	spin_lock(&z->lock);
	own = z->own;
	spin_unlock(&z->lock);
	return sysfs_emit(buf, "%s%s%s\n", own.high ? "high " : "", own.mid ? "mid " : "",
			  own.low ? "low " : "");
}

static struct kobj_attribute written_attr = __ATTR(written, 0400, written_show, NULL);

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	static const char * const words[] = {
		[DARC_IDLE] = "idle",
		[DARC_WATCHING] = "watching",
		[DARC_RECLAIMING] = "reclaiming",
		[DARC_YIELDING] = "yielding",
	};
	struct darc_zone *z = darc_to_zone(kobj);

	return sysfs_emit(buf, "%s\n",
			  darc_is_enabled() ? words[READ_ONCE(z->state)] : "disabled");
}

static struct kobj_attribute state_attr = __ATTR(state, 0400, state_show, NULL);

static ssize_t kdamond_pid_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct darc_zone *z = darc_to_zone(kobj);
	int pid = -1;

	mutex_lock(&darc_lock);
	if (z->ctx)
		pid = damon_kdamond_pid(z->ctx);
	mutex_unlock(&darc_lock);
	return sysfs_emit(buf, "%d\n", pid);
}

static struct kobj_attribute kdamond_pid_attr = __ATTR(kdamond_pid, 0400, kdamond_pid_show, NULL);

static ssize_t cpu_us_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct darc_zone *z = darc_to_zone(kobj);
	u64 ns;

	spin_lock(&z->lock);
	ns = z->cpu_ns;
	spin_unlock(&z->lock);
	return sysfs_emit(buf, "%llu\n", div_u64(ns, NSEC_PER_USEC));
}

static struct kobj_attribute cpu_us_attr = __ATTR(cpu_us, 0400, cpu_us_show, NULL);

/* A file that is a number, computed from the zone z */
#define RESULT(_name, _value)							\
	static ssize_t _name##_show(struct kobject *kobj,			\
				    struct kobj_attribute *attr, char *buf)	\
	{									\
		struct darc_zone *z = darc_to_zone(kobj);			\
										\
		return sysfs_emit(buf, "%llu\n", (u64)(_value));		\
	}									\
	static struct kobj_attribute _name##_attr = __ATTR(_name, 0400, _name##_show, NULL)

RESULT(free, (u64)darc_zone_free(z->zone) << PAGE_SHIFT);
RESULT(managed, (u64)darc_zone_room(z).managed << PAGE_SHIFT);
RESULT(zone_high, (u64)darc_zone_room(z).zone_high << PAGE_SHIFT);
RESULT(started, READ_ONCE(z->started));
RESULT(stopped_above_high, READ_ONCE(z->stopped_above_high));
RESULT(stopped_below_low, READ_ONCE(z->stopped_below_low));
RESULT(tried, (u64)READ_ONCE(z->tried) << PAGE_SHIFT);
RESULT(reclaimed, (u64)READ_ONCE(z->sum.reclaimed) << PAGE_SHIFT);
RESULT(refaulted, (u64)READ_ONCE(z->sum.refaulted) << PAGE_SHIFT);
RESULT(effective_min_age_us, (u64)READ_ONCE(darc_params.min_age_us) << READ_ONCE(z->care));

static struct attribute *darc_zone_attrs[] = {
	&high_attr.attr.attr,
	&mid_attr.attr.attr,
	&low_attr.attr.attr,
	&written_attr.attr,
	&free_attr.attr,
	&managed_attr.attr,
	&zone_high_attr.attr,
	&state_attr.attr,
	&started_attr.attr,
	&stopped_above_high_attr.attr,
	&stopped_below_low_attr.attr,
	&tried_attr.attr,
	&reclaimed_attr.attr,
	&refaulted_attr.attr,
	&effective_min_age_us_attr.attr,
	&kdamond_pid_attr.attr,
	&cpu_us_attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(darc_zone);

static void darc_zone_release(struct kobject *kobj)
{
	kfree(darc_to_zone(kobj));
}

static const struct kobj_type darc_zone_ktype = {
	.release = darc_zone_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = darc_zone_groups,
};

/**
 * darc_new_zone() - make a zone, with its directory
 * @zone:	which
 *
 * Return: it, or NULL for lack of memory.  Sleeps.
 */
struct darc_zone *darc_new_zone(struct zone *zone)
{
	struct darc_zone *z = kzalloc(sizeof(*z), GFP_KERNEL);
	int err;

	if (!z)
		return NULL;
	z->zone = zone;
	z->last_look = jiffies;
	z->judge_at = jiffies;
	INIT_LIST_HEAD(&z->list);
	spin_lock_init(&z->lock);
	err = kobject_init_and_add(&z->kobj, &darc_zone_ktype, zones_kobj, "%d-%s",
				   zone_to_nid(zone), zone->name);
	if (err) {
		kobject_put(&z->kobj);
		return NULL;
	}
	return z;
}

/**
 * darc_put_zone() - remove a zone's directory, and free it when nobody uses it
 * @z:		the zone, in no list, without a context
 *
 * Called without darc_lock.  Waits for those who are in the files' functions.
 */
void darc_put_zone(struct darc_zone *z)
{
	kobject_del(&z->kobj);
	kobject_put(&z->kobj);
}

/**
 * darc_sysfs_init() - make the directory, without zones
 *
 * Return: 0 or -ENOMEM.
 */
int __init darc_sysfs_init(void)
{
	int err;

	darc_kobj = kobject_create_and_add("darc", mm_kobj);
	if (!darc_kobj)
		return -ENOMEM;
	zones_kobj = kobject_create_and_add("zones", darc_kobj);
	err = zones_kobj ? sysfs_create_groups(darc_kobj, darc_groups) : -ENOMEM;
	if (err) {
		kobject_put(zones_kobj);
		kobject_put(darc_kobj);
	}
	return err;
}
