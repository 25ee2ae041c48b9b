// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface: contexts/ and all that is below it, but for schemes/.
 *
 * The files are the user's wishes only.  damon_sysfs_new_ctx() makes a context
 * of them.
 */

#include <linux/err.h>
#include <linux/log2.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "sysfs-common.h"

/* Each context of a kdamond costs it time in each sampling interval. */
#define DAMON_SYSFS_MAX_CONTEXTS	64

/* So that a slip of the pen does not take all memory. */
#define DAMON_SYSFS_MAX_TARGETS		16384
#define DAMON_SYSFS_MAX_REGIONS		65536

/* targets/<T>/regions/<R>/ */
struct damon_sysfs_region {
	struct kobject kobj;
	unsigned long start;
	unsigned long end;
};

DAMON_SYSFS_ULONG(region, start);
DAMON_SYSFS_ULONG(region, end);

static struct attribute *damon_sysfs_region_attrs[] = {
	&damon_sysfs_region_start.attr.attr,
	&damon_sysfs_region_end.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_region);

static const struct damon_sysfs_type damon_sysfs_region_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_region_groups),
	.size = sizeof(struct damon_sysfs_region),
};

/* targets/<T>/regions/ */
DAMON_SYSFS_NR_FILE(regions);

static const struct damon_sysfs_type damon_sysfs_regions_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_regions_groups),
	.size = sizeof(struct damon_sysfs_list),
	.item = &damon_sysfs_region_type,
	.max_items = DAMON_SYSFS_MAX_REGIONS,
};

/* targets/<T>/ */
struct damon_sysfs_target {
	struct kobject kobj;
	struct kobject *regions;
	int pid_target;
};

DAMON_SYSFS_INT(target, pid_target);

static struct attribute *damon_sysfs_target_attrs[] = {
	&damon_sysfs_target_pid_target.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_target);

static const struct damon_sysfs_part damon_sysfs_target_parts[] = {
	{ "regions", &damon_sysfs_regions_type,
	  offsetof(struct damon_sysfs_target, regions) },
	{}
};

static const struct damon_sysfs_type damon_sysfs_target_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_target_groups),
	.size = sizeof(struct damon_sysfs_target),
	.parts = damon_sysfs_target_parts,
};

/* contexts/<C>/targets/ */
DAMON_SYSFS_NR_FILE(targets);

static const struct damon_sysfs_type damon_sysfs_targets_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_targets_groups),
	.size = sizeof(struct damon_sysfs_list),
	.item = &damon_sysfs_target_type,
	.max_items = DAMON_SYSFS_MAX_TARGETS,
};

/* monitoring_attrs/intervals/, and in it intervals_goal/ */
struct damon_sysfs_intervals {
	struct kobject kobj;
	unsigned long sample_us;
	unsigned long aggr_us;
	unsigned long update_us;
	unsigned long access_bp;
	unsigned long aggrs;
	unsigned long min_sample_us;
	unsigned long max_sample_us;
};

DAMON_SYSFS_ULONG(intervals, sample_us);
DAMON_SYSFS_ULONG(intervals, aggr_us);
DAMON_SYSFS_ULONG(intervals, update_us);
DAMON_SYSFS_ULONG(intervals, access_bp);
DAMON_SYSFS_ULONG(intervals, aggrs);
DAMON_SYSFS_ULONG(intervals, min_sample_us);
DAMON_SYSFS_ULONG(intervals, max_sample_us);

static struct attribute *damon_sysfs_intervals_attrs[] = {
	&damon_sysfs_intervals_sample_us.attr.attr,
	&damon_sysfs_intervals_aggr_us.attr.attr,
	&damon_sysfs_intervals_update_us.attr.attr,
	NULL,
};

static struct attribute *damon_sysfs_goal_attrs[] = {
	&damon_sysfs_intervals_access_bp.attr.attr,
	&damon_sysfs_intervals_aggrs.attr.attr,
	&damon_sysfs_intervals_min_sample_us.attr.attr,
	&damon_sysfs_intervals_max_sample_us.attr.attr,
	NULL,
};

static const struct attribute_group damon_sysfs_intervals_group = {
	.attrs = damon_sysfs_intervals_attrs,
};

static const struct attribute_group damon_sysfs_goal_group = {
	.name = "intervals_goal",
	.attrs = damon_sysfs_goal_attrs,
};

static const struct attribute_group *damon_sysfs_intervals_groups[] = {
	&damon_sysfs_intervals_group,
	&damon_sysfs_goal_group,
	NULL,
};

static struct damon_sysfs_intervals *damon_sysfs_to_intervals(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_intervals, kobj);
}

static void damon_sysfs_init_intervals(struct kobject *kobj)
{
	struct damon_sysfs_intervals *intervals = damon_sysfs_to_intervals(kobj);

	intervals->sample_us = 5 * USEC_PER_MSEC;
	intervals->aggr_us = 100 * USEC_PER_MSEC;
	intervals->update_us = 60 * USEC_PER_SEC;
}

static const struct damon_sysfs_type damon_sysfs_intervals_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_intervals_groups),
	.size = sizeof(struct damon_sysfs_intervals),
	.init = damon_sysfs_init_intervals,
};

/* contexts/<C>/monitoring_attrs/, and in it nr_regions/ */
struct damon_sysfs_attrs {
	struct kobject kobj;
	struct kobject *intervals;
	unsigned long min;
	unsigned long max;
};

DAMON_SYSFS_ULONG(attrs, min);
DAMON_SYSFS_ULONG(attrs, max);

static struct attribute *damon_sysfs_bounds_attrs[] = {
	&damon_sysfs_attrs_min.attr.attr,
	&damon_sysfs_attrs_max.attr.attr,
	NULL,
};

static const struct attribute_group damon_sysfs_bounds_group = {
	.name = "nr_regions",
	.attrs = damon_sysfs_bounds_attrs,
};

static const struct attribute_group *damon_sysfs_attrs_groups[] = {
	&damon_sysfs_bounds_group,
	NULL,
};

static struct damon_sysfs_attrs *damon_sysfs_to_attrs(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_attrs, kobj);
}

static void damon_sysfs_init_attrs(struct kobject *kobj)
{
	struct damon_sysfs_attrs *attrs = damon_sysfs_to_attrs(kobj);

	attrs->min = 10;
	attrs->max = 1000;
}

static const struct damon_sysfs_part damon_sysfs_attrs_parts[] = {
	{ "intervals", &damon_sysfs_intervals_type,
	  offsetof(struct damon_sysfs_attrs, intervals) },
	{}
};

static const struct damon_sysfs_type damon_sysfs_attrs_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_attrs_groups),
	.size = sizeof(struct damon_sysfs_attrs),
	.parts = damon_sysfs_attrs_parts,
	.init = damon_sysfs_init_attrs,
};

/* contexts/<C>/ */
struct damon_sysfs_context {
	struct kobject kobj;
	struct kobject *attrs;
	struct kobject *targets;
	struct kobject *schemes;
	enum damon_ops_id ops_id;
	unsigned long addr_unit;
};

static const char * const damon_sysfs_ops_names[NR_DAMON_OPS] = {
	[DAMON_OPS_VADDR] = "vaddr",
	[DAMON_OPS_FVADDR] = "fvaddr",
	[DAMON_OPS_PADDR] = "paddr",
};

static struct damon_sysfs_context *damon_sysfs_to_context(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_context, kobj);
}

static ssize_t avail_operations_show(struct kobject *kobj,
				     struct kobj_attribute *attr, char *buf)
{
	int id, len = 0;

	for (id = 0; id < NR_DAMON_OPS; id++)
		if (damon_is_registered_ops(id))
			len += sysfs_emit_at(buf, len, "%s\n", damon_sysfs_ops_names[id]);
	return len;
}

static ssize_t operations_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	enum damon_ops_id id = READ_ONCE(damon_sysfs_to_context(kobj)->ops_id);

	return sysfs_emit(buf, "%s\n", damon_sysfs_ops_names[id]);
}

static ssize_t operations_store(struct kobject *kobj, struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	int id = sysfs_match_string(damon_sysfs_ops_names, buf);

	if (id < 0)
		return id;
	WRITE_ONCE(damon_sysfs_to_context(kobj)->ops_id, id);
	return count;
}

static ssize_t addr_unit_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n",
			  READ_ONCE(damon_sysfs_to_context(kobj)->addr_unit));
}

static ssize_t addr_unit_store(struct kobject *kobj, struct kobj_attribute *attr,
			       const char *buf, size_t count)
{
	unsigned long unit;
	int err;

	err = kstrtoul(buf, 0, &unit);
	if (err)
		return err;
	if (!unit)
		return -EINVAL;
	WRITE_ONCE(damon_sysfs_to_context(kobj)->addr_unit, unit);
	return count;
}

static struct kobj_attribute damon_sysfs_avail_operations =
	__ATTR_RO_MODE(avail_operations, 0400);
static struct kobj_attribute damon_sysfs_operations = __ATTR_RW_MODE(operations, 0600);
static struct kobj_attribute damon_sysfs_addr_unit = __ATTR_RW_MODE(addr_unit, 0600);

static struct attribute *damon_sysfs_context_attrs[] = {
	&damon_sysfs_avail_operations.attr,
	&damon_sysfs_operations.attr,
	&damon_sysfs_addr_unit.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_context);

static const struct damon_sysfs_part damon_sysfs_context_parts[] = {
	{ "monitoring_attrs", &damon_sysfs_attrs_type,
	  offsetof(struct damon_sysfs_context, attrs) },
	{ "targets", &damon_sysfs_targets_type,
	  offsetof(struct damon_sysfs_context, targets) },
	{ "schemes", &damon_sysfs_schemes_type,
	  offsetof(struct damon_sysfs_context, schemes) },
	{}
};

static void damon_sysfs_init_context(struct kobject *kobj)
{
	struct damon_sysfs_context *context = damon_sysfs_to_context(kobj);

	context->ops_id = DAMON_OPS_VADDR;
	context->addr_unit = 1;
}

static const struct damon_sysfs_type damon_sysfs_context_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_context_groups),
	.size = sizeof(struct damon_sysfs_context),
	.parts = damon_sysfs_context_parts,
	.init = damon_sysfs_init_context,
};

/* contexts/ */
struct damon_sysfs_contexts {
	struct damon_sysfs_list list;
	int max_nr;
};

static struct damon_sysfs_contexts *damon_sysfs_to_contexts(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_contexts, list.kobj);
}

static ssize_t nr_contexts_store(struct kobject *kobj, struct kobj_attribute *attr,
				 const char *buf, size_t count)
{
	int nr;

	/* Whatever else may be wrong with it is found below. */
	if (!kstrtoint(buf, 0, &nr) && nr > READ_ONCE(damon_sysfs_to_contexts(kobj)->max_nr))
		return -EINVAL;
	return damon_sysfs_nr_store(kobj, attr, buf, count);
}

static ssize_t max_nr_contexts_show(struct kobject *kobj, struct kobj_attribute *attr,
				    char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(damon_sysfs_to_contexts(kobj)->max_nr));
}

static ssize_t max_nr_contexts_store(struct kobject *kobj, struct kobj_attribute *attr,
				     const char *buf, size_t count)
{
	int nr, err;

	err = kstrtoint(buf, 0, &nr);
	if (err)
		return err;
	if (nr < 1 || nr > DAMON_SYSFS_MAX_CONTEXTS)
		return -EINVAL;
	WRITE_ONCE(damon_sysfs_to_contexts(kobj)->max_nr, nr);
	return count;
}

static struct kobj_attribute damon_sysfs_nr_contexts =
	__ATTR(nr_contexts, 0600, damon_sysfs_nr_show, nr_contexts_store);
static struct kobj_attribute damon_sysfs_max_nr_contexts =
	__ATTR_RW_MODE(max_nr_contexts, 0600);

static struct attribute *damon_sysfs_contexts_attrs[] = {
	&damon_sysfs_nr_contexts.attr,
	&damon_sysfs_max_nr_contexts.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_contexts);

/* Clients know of no more than one, and rely on others being refused. */
static void damon_sysfs_init_contexts(struct kobject *kobj)
{
	damon_sysfs_to_contexts(kobj)->max_nr = 1;
}

const struct damon_sysfs_type damon_sysfs_contexts_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_contexts_groups),
	.size = sizeof(struct damon_sysfs_contexts),
	.item = &damon_sysfs_context_type,
	.max_items = DAMON_SYSFS_MAX_CONTEXTS,
	.init = damon_sysfs_init_contexts,
};

static int damon_sysfs_read_attrs(struct damon_ctx *ctx, struct kobject *kobj)
{
	struct damon_sysfs_attrs *bounds = damon_sysfs_to_attrs(kobj);
	struct damon_sysfs_intervals *intervals =
		damon_sysfs_to_intervals(bounds->intervals);
	struct damon_attrs attrs = {
		.sample_interval = READ_ONCE(intervals->sample_us),
		.aggr_interval = READ_ONCE(intervals->aggr_us),
		.ops_update_interval = READ_ONCE(intervals->update_us),
		.intervals_goal = {
			.access_bp = READ_ONCE(intervals->access_bp),
			.aggrs = READ_ONCE(intervals->aggrs),
			.min_sample_us = READ_ONCE(intervals->min_sample_us),
			.max_sample_us = READ_ONCE(intervals->max_sample_us),
		},
		.min_nr_regions = READ_ONCE(bounds->min),
		.max_nr_regions = READ_ONCE(bounds->max),
	};

	return damon_set_attrs(ctx, &attrs);
}

static int damon_sysfs_read_regions(struct damon_target *t,
				    struct damon_sysfs_list *regions)
{
	struct damon_addr_range *ranges;
	int i, err;

	if (!regions->nr)
		return 0;
	ranges = kvmalloc_array(regions->nr, sizeof(*ranges), GFP_KERNEL | __GFP_NOWARN);
	if (!ranges)
		return -ENOMEM;
	for (i = 0; i < regions->nr; i++) {
		struct damon_sysfs_region *region =
			container_of(regions->items[i], struct damon_sysfs_region, kobj);

		ranges[i].start = READ_ONCE(region->start);
		ranges[i].end = READ_ONCE(region->end);
	}
	err = damon_set_regions(t, ranges, regions->nr);
	kvfree(ranges);
	return err;
}

static int damon_sysfs_read_target(struct damon_ctx *ctx, struct kobject *kobj)
{
	struct damon_sysfs_target *target =
		container_of(kobj, struct damon_sysfs_target, kobj);
	struct damon_target *t = damon_new_target();

	if (!t)
		return -ENOMEM;
	/* Whatever comes, it goes with the context. */
	damon_add_target(ctx, t);
	if (damon_target_has_pid(ctx)) {
		t->pid = find_get_pid(READ_ONCE(target->pid_target));
		if (!t->pid)
			return -EINVAL;
	}
	return damon_sysfs_read_regions(t, damon_sysfs_to_list(target->regions));
}

static int damon_sysfs_read_targets(struct damon_ctx *ctx, struct damon_sysfs_list *targets)
{
	int i, err;

	/* There is one physical memory. */
	if (!damon_target_has_pid(ctx) && targets->nr > 1)
		return -EINVAL;
	for (i = 0; i < targets->nr; i++) {
		cond_resched();
		err = damon_sysfs_read_target(ctx, targets->items[i]);
		if (err)
			return err;
	}
	return 0;
}

static int damon_sysfs_read_context(struct damon_ctx *ctx,
				    struct damon_sysfs_context *context)
{
	unsigned long unit = READ_ONCE(context->addr_unit);
	int err;

	err = damon_select_ops(ctx, READ_ONCE(context->ops_id));
	if (err)
		return err;
	if (!damon_target_has_pid(ctx)) {
		/* The edges of pages have to be whole numbers of units. */
		if (!is_power_of_2(unit))
			return -EINVAL;
		ctx->addr_unit = unit;
	}
	err = damon_sysfs_read_attrs(ctx, context->attrs);
	if (err)
		return err;
	err = damon_sysfs_read_targets(ctx, damon_sysfs_to_list(context->targets));
	if (err)
		return err;
	return damon_sysfs_read_schemes(ctx, context->schemes);
}

/* What a function reads of a directory's files into a new context. */
static struct damon_ctx *
damon_sysfs_make_ctx(struct damon_sysfs_context *context,
		     int (*read)(struct damon_ctx *ctx, struct damon_sysfs_context *context))
{
	struct damon_ctx *ctx = damon_new_ctx();
	int err;

	if (!ctx)
		return ERR_PTR(-ENOMEM);
	err = read(ctx, context);
	if (err) {
		damon_destroy_ctx(ctx);
		return ERR_PTR(err);
	}
	return ctx;
}

/**
 * damon_sysfs_new_ctx() - make what the files of a directory ask for
 * @context:	the directory contexts/<C>
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: a context that can be started or committed, or an ERR_PTR(): -EINVAL
 * for what cannot be monitored, or be done with it; -ENOENT for a memory cgroup
 * that does not exist; or -ENOMEM.
 */
struct damon_ctx *damon_sysfs_new_ctx(struct kobject *context)
{
	return damon_sysfs_make_ctx(damon_sysfs_to_context(context),
				    damon_sysfs_read_context);
}

static int damon_sysfs_read_goals_of(struct damon_ctx *ctx,
				     struct damon_sysfs_context *context)
{
	return damon_sysfs_read_quota_goals(ctx, context->schemes);
}

/**
 * damon_sysfs_new_goals_ctx() - make schemes of a directory's files, goals only
 * @context:	the directory contexts/<C>
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: a context for damon_sysfs_commit_quota_goals() and for nothing else,
 * or an ERR_PTR(): -EINVAL for goals that cannot be, or -ENOMEM.
 */
struct damon_ctx *damon_sysfs_new_goals_ctx(struct kobject *context)
{
	return damon_sysfs_make_ctx(damon_sysfs_to_context(context),
				    damon_sysfs_read_goals_of);
}

/**
 * damon_sysfs_schemes() - look for the schemes of a context
 * @context:	the directory contexts/<C>
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: the directory contexts/<C>/schemes.
 */
struct kobject *damon_sysfs_schemes(struct kobject *context)
{
	return damon_sysfs_to_context(context)->schemes;
}

static void damon_sysfs_put_intervals(struct kobject *context,
				      const struct damon_attrs *attrs)
{
	struct damon_sysfs_attrs *bounds =
		damon_sysfs_to_attrs(damon_sysfs_to_context(context)->attrs);
	struct damon_sysfs_intervals *intervals =
		damon_sysfs_to_intervals(bounds->intervals);

	/* Where nothing is tuned, what the user has written is left alone. */
	if (!attrs->intervals_goal.access_bp)
		return;
	WRITE_ONCE(intervals->sample_us, attrs->sample_interval);
	WRITE_ONCE(intervals->aggr_us, attrs->aggr_interval);
}

/**
 * damon_sysfs_put_figures() - have the files say what is
 * @context:	the directory contexts/<C>
 * @figures:	of its context
 * @which:	bits of enum damon_sysfs_figure
 *
 * Called with damon_sysfs_lock held.
 */
void damon_sysfs_put_figures(struct kobject *context,
			     const struct damon_sysfs_figures *figures,
			     unsigned int which)
{
	if (which & DAMON_SYSFS_INTERVALS)
		damon_sysfs_put_intervals(context, &figures->attrs);
	damon_sysfs_put_scheme_figures(damon_sysfs_schemes(context), figures, which);
}
