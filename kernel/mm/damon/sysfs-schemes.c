// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface: contexts/<C>/schemes/ and what it consists of, but
 * for quotas, filters and results, which have files of their own.
 *
 * As everywhere, the files are the user's wishes only.  damon_sysfs_read_schemes()
 * makes schemes of them.
 */

#include <linux/err.h>
#include <linux/numa.h>
#include <linux/slab.h>

#include "schemes.h"
#include "sysfs-schemes.h"

/* Each of them is asked about each region. */
#define DAMON_SYSFS_MAX_SCHEMES		256

/* More than there are nodes would do no good. */
#define DAMON_SYSFS_MAX_DESTS		MAX_NUMNODES

/* schemes/<S>/access_pattern/{sz,nr_accesses,age}/ */
struct damon_sysfs_bounds {
	struct kobject kobj;
	unsigned long min;
	unsigned long max;
};

DAMON_SYSFS_ULONG(bounds, min);
DAMON_SYSFS_ULONG(bounds, max);

static struct attribute *damon_sysfs_bounds_attrs[] = {
	&damon_sysfs_bounds_min.attr.attr,
	&damon_sysfs_bounds_max.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_bounds);

static const struct damon_sysfs_type damon_sysfs_bounds_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_bounds_groups),
	.size = sizeof(struct damon_sysfs_bounds),
};

static struct damon_sysfs_bounds *damon_sysfs_to_bounds(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_bounds, kobj);
}

/* schemes/<S>/access_pattern/ */
struct damon_sysfs_pattern {
	struct kobject kobj;
	struct kobject *sz;
	struct kobject *nr_accesses;
	struct kobject *age;
};

static const struct damon_sysfs_part damon_sysfs_pattern_parts[] = {
	{ "sz", &damon_sysfs_bounds_type,
	  offsetof(struct damon_sysfs_pattern, sz) },
	{ "nr_accesses", &damon_sysfs_bounds_type,
	  offsetof(struct damon_sysfs_pattern, nr_accesses) },
	{ "age", &damon_sysfs_bounds_type,
	  offsetof(struct damon_sysfs_pattern, age) },
	{}
};

static const struct damon_sysfs_type damon_sysfs_pattern_type = {
	.ktype = DAMON_SYSFS_KTYPE(NULL),
	.size = sizeof(struct damon_sysfs_pattern),
	.parts = damon_sysfs_pattern_parts,
};

/* schemes/<S>/dests/<D>/ */
struct damon_sysfs_dest {
	struct kobject kobj;
	unsigned int id;
	unsigned int weight;
};

DAMON_SYSFS_UINT(dest, id);
DAMON_SYSFS_UINT(dest, weight);

static struct attribute *damon_sysfs_dest_attrs[] = {
	&damon_sysfs_dest_id.attr.attr,
	&damon_sysfs_dest_weight.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_dest);

static const struct damon_sysfs_type damon_sysfs_dest_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_dest_groups),
	.size = sizeof(struct damon_sysfs_dest),
};

/* schemes/<S>/dests/ */
DAMON_SYSFS_NR_FILE(dests);

static const struct damon_sysfs_type damon_sysfs_dests_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_dests_groups),
	.size = sizeof(struct damon_sysfs_list),
	.item = &damon_sysfs_dest_type,
	.max_items = DAMON_SYSFS_MAX_DESTS,
};

/* schemes/<S>/, and in it watermarks/ */
static const char * const damon_sysfs_actions[NR_DAMOS_ACTIONS] = {
	[DAMOS_WILLNEED] = "willneed",
	[DAMOS_COLD] = "cold",
	[DAMOS_PAGEOUT] = "pageout",
	[DAMOS_HUGEPAGE] = "hugepage",
	[DAMOS_NOHUGEPAGE] = "nohugepage",
	[DAMOS_COLLAPSE] = "collapse",
	[DAMOS_LRU_PRIO] = "lru_prio",
	[DAMOS_LRU_DEPRIO] = "lru_deprio",
	[DAMOS_MIGRATE_HOT] = "migrate_hot",
	[DAMOS_MIGRATE_COLD] = "migrate_cold",
	[DAMOS_STAT] = "stat",
};

static const char * const damon_sysfs_wmark_metrics[NR_DAMOS_WMARK_METRICS] = {
	[DAMOS_WMARK_NONE] = "none",
	[DAMOS_WMARK_FREE_MEM_RATE] = "free_mem_rate",
};

DAMON_SYSFS_WORD(scheme, action, damon_sysfs_actions, NR_DAMOS_ACTIONS);
DAMON_SYSFS_INT(scheme, target_nid);
DAMON_SYSFS_ULONG(scheme, apply_interval_us);

static struct attribute *damon_sysfs_scheme_attrs[] = {
	&damon_sysfs_scheme_action.attr.attr,
	&damon_sysfs_scheme_target_nid.attr.attr,
	&damon_sysfs_scheme_apply_interval_us.attr.attr,
	NULL,
};

DAMON_SYSFS_WORD(scheme, metric, damon_sysfs_wmark_metrics, NR_DAMOS_WMARK_METRICS);
DAMON_SYSFS_ULONG(scheme, interval_us);
DAMON_SYSFS_ULONG(scheme, high);
DAMON_SYSFS_ULONG(scheme, mid);
DAMON_SYSFS_ULONG(scheme, low);

static struct attribute *damon_sysfs_watermarks_attrs[] = {
	&damon_sysfs_scheme_metric.attr.attr,
	&damon_sysfs_scheme_interval_us.attr.attr,
	&damon_sysfs_scheme_high.attr.attr,
	&damon_sysfs_scheme_mid.attr.attr,
	&damon_sysfs_scheme_low.attr.attr,
	NULL,
};

static const struct attribute_group damon_sysfs_scheme_group = {
	.attrs = damon_sysfs_scheme_attrs,
};

static const struct attribute_group damon_sysfs_watermarks_group = {
	.name = "watermarks",
	.attrs = damon_sysfs_watermarks_attrs,
};

static const struct attribute_group *damon_sysfs_scheme_groups[] = {
	&damon_sysfs_scheme_group,
	&damon_sysfs_watermarks_group,
	NULL,
};

static const struct damon_sysfs_part damon_sysfs_scheme_parts[] = {
	{ "access_pattern", &damon_sysfs_pattern_type,
	  offsetof(struct damon_sysfs_scheme, pattern) },
	{ "quotas", &damon_sysfs_quotas_type,
	  offsetof(struct damon_sysfs_scheme, quotas) },
	{ "filters", &damon_sysfs_filters_type,
	  offsetof(struct damon_sysfs_scheme, filters) },
	{ "core_filters", &damon_sysfs_core_filters_type,
	  offsetof(struct damon_sysfs_scheme, core_filters) },
	{ "ops_filters", &damon_sysfs_ops_filters_type,
	  offsetof(struct damon_sysfs_scheme, ops_filters) },
	{ "dests", &damon_sysfs_dests_type,
	  offsetof(struct damon_sysfs_scheme, dests) },
	{ "stats", &damon_sysfs_stats_type,
	  offsetof(struct damon_sysfs_scheme, stats) },
	{ "tried_regions", &damon_sysfs_tried_type,
	  offsetof(struct damon_sysfs_scheme, tried) },
	{}
};

static void damon_sysfs_init_scheme(struct kobject *kobj)
{
	struct damon_sysfs_scheme *scheme = damon_sysfs_to_scheme(kobj);

	scheme->action = DAMOS_STAT;
	scheme->target_nid = NUMA_NO_NODE;
}

static const struct damon_sysfs_type damon_sysfs_scheme_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_scheme_groups),
	.size = sizeof(struct damon_sysfs_scheme),
	.parts = damon_sysfs_scheme_parts,
	.init = damon_sysfs_init_scheme,
};

/* schemes/ */
DAMON_SYSFS_NR_FILE(schemes);

const struct damon_sysfs_type damon_sysfs_schemes_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_schemes_groups),
	.size = sizeof(struct damon_sysfs_list),
	.item = &damon_sysfs_scheme_type,
	.max_items = DAMON_SYSFS_MAX_SCHEMES,
};

/* Users who want no bound write very large numbers. */
static unsigned int damon_sysfs_fit(const unsigned long *bound)
{
	return min_t(unsigned long, READ_ONCE(*bound), UINT_MAX);
}

static struct damos *damon_sysfs_new_scheme(struct damon_sysfs_scheme *scheme)
{
	struct damon_sysfs_pattern *from =
		container_of(scheme->pattern, struct damon_sysfs_pattern, kobj);
	struct damon_sysfs_bounds *sz = damon_sysfs_to_bounds(from->sz);
	struct damon_sysfs_bounds *nr_accesses = damon_sysfs_to_bounds(from->nr_accesses);
	struct damon_sysfs_bounds *age = damon_sysfs_to_bounds(from->age);
	struct damos_access_pattern pattern = {
		.min_sz_region = READ_ONCE(sz->min),
		.max_sz_region = READ_ONCE(sz->max),
		.min_nr_accesses = damon_sysfs_fit(&nr_accesses->min),
		.max_nr_accesses = damon_sysfs_fit(&nr_accesses->max),
		.min_age_region = damon_sysfs_fit(&age->min),
		.max_age_region = damon_sysfs_fit(&age->max),
	};

	return damon_new_scheme(&pattern, READ_ONCE(scheme->action),
				READ_ONCE(scheme->apply_interval_us),
				READ_ONCE(scheme->target_nid));
}

static int damon_sysfs_read_dests(struct damos_migrate_dests *dests,
				  struct damon_sysfs_list *list)
{
	int i;

	if (!list->nr)
		return 0;
	/* Whatever comes, they go with the scheme. */
	dests->node_id_arr = kmalloc_array(list->nr, sizeof(*dests->node_id_arr),
					   GFP_KERNEL);
	dests->weight_arr = kmalloc_array(list->nr, sizeof(*dests->weight_arr),
					  GFP_KERNEL);
	if (!dests->node_id_arr || !dests->weight_arr)
		return -ENOMEM;
	for (i = 0; i < list->nr; i++) {
		struct damon_sysfs_dest *dest =
			container_of(list->items[i], struct damon_sysfs_dest, kobj);

		dests->node_id_arr[i] = READ_ONCE(dest->id);
		dests->weight_arr[i] = READ_ONCE(dest->weight);
	}
	dests->nr_dests = list->nr;
	return 0;
}

static int damon_sysfs_read_scheme(struct damon_ctx *ctx,
				   struct damon_sysfs_scheme *scheme)
{
	struct damos *s = damon_sysfs_new_scheme(scheme);
	int err;

	if (!s)
		return -ENOMEM;
	/* Whatever comes, it goes with the context. */
	damon_add_scheme(ctx, s);
	s->max_nr_snapshots = damon_sysfs_max_nr_snapshots(scheme->stats);
	s->wmarks.metric = READ_ONCE(scheme->metric);
	s->wmarks.interval = READ_ONCE(scheme->interval_us);
	s->wmarks.high = READ_ONCE(scheme->high);
	s->wmarks.mid = READ_ONCE(scheme->mid);
	s->wmarks.low = READ_ONCE(scheme->low);
	err = damon_sysfs_read_dests(&s->migrate_dests, damon_sysfs_to_list(scheme->dests));
	if (!err)
		err = damon_sysfs_read_quota(&s->quota, scheme->quotas);
	if (!err)
		err = damon_sysfs_read_filters(s, scheme->filters);
	if (!err)
		err = damon_sysfs_read_filters(s, scheme->core_filters);
	if (!err)
		err = damon_sysfs_read_filters(s, scheme->ops_filters);
	return err;
}

/**
 * damon_sysfs_read_schemes() - give a context the schemes that files ask for
 * @ctx:	a new context, with operations and targets
 * @schemes:	the directory contexts/<C>/schemes
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: 0; what damos_check_goals() returns for goals that cannot be; -ENOENT
 * where a filter's memory cgroup does not exist; or -ENOMEM.  After an error the
 * context has some of the schemes.  Whether they can be is for who starts or
 * commits it to check.
 */
int damon_sysfs_read_schemes(struct damon_ctx *ctx, struct kobject *schemes)
{
	struct damon_sysfs_list *list = damon_sysfs_to_list(schemes);
	int i, err;

	for (i = 0; i < list->nr; i++) {
		err = damon_sysfs_read_scheme(ctx, damon_sysfs_to_scheme(list->items[i]));
		if (err)
			return err;
	}
	return 0;
}

/**
 * damon_sysfs_read_quota_goals() - the goals that files ask for, and nothing else
 * @ctx:	a new context, which gets schemes that have only goals
 * @schemes:	the directory contexts/<C>/schemes
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: as damon_sysfs_read_goals().
 */
int damon_sysfs_read_quota_goals(struct damon_ctx *ctx, struct kobject *schemes)
{
	static const struct damos_access_pattern none;
	struct damon_sysfs_list *list = damon_sysfs_to_list(schemes);
	int i, err;

	for (i = 0; i < list->nr; i++) {
		struct damos *s = damon_new_scheme(&none, DAMOS_STAT, 0, NUMA_NO_NODE);

		if (!s)
			return -ENOMEM;
		damon_add_scheme(ctx, s);
		err = damon_sysfs_read_goals(&s->quota,
					     damon_sysfs_to_scheme(list->items[i])->quotas);
		if (err)
			return err;
	}
	return 0;
}

static int damon_sysfs_check_quota_goals(struct damon_ctx *dst, struct damon_ctx *src)
{
	struct damos *s;
	int err;

	if (list_count_nodes(&dst->schemes) != list_count_nodes(&src->schemes))
		return -EINVAL;
	damon_for_each_scheme(s, src) {
		err = damos_check_goals(&s->quota);
		if (err)
			return err;
	}
	return 0;
}

/**
 * damon_sysfs_commit_quota_goals() - have schemes' quotas have other goals
 * @dst:	contexts, all of the calling kdamond's
 * @src:	what damon_sysfs_read_quota_goals() was given, for each of them;
 *		afterwards, good for nothing but damon_destroy_ctx()
 * @nr:		how many of each
 *
 * Return: 0; -EINVAL where one of them has not as many schemes as the other; or
 * what damos_check_goals() returns.  After an error nothing has changed.
 */
int damon_sysfs_commit_quota_goals(struct damon_ctx **dst, struct damon_ctx **src, int nr)
{
	struct damos *s, *new;
	int i, err;

	for (i = 0; i < nr; i++) {
		err = damon_sysfs_check_quota_goals(dst[i], src[i]);
		if (err)
			return err;
	}
	for (i = 0; i < nr; i++) {
		new = list_first_entry(&src[i]->schemes, struct damos, list);
		damon_for_each_scheme(s, dst[i]) {
			damos_commit_quota_goals(&s->quota, &new->quota);
			new = list_next_entry(new, list);
		}
	}
	return 0;
}
