// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface: what a context has come to, and what its schemes have
 * done.
 *
 * The kdamond copies it, without locks.  It is written into the files later, with
 * damon_sysfs_lock held, and directories may have changed meanwhile: what then has
 * none is dropped.
 */

#include <linux/err.h>
#include <linux/slab.h>

#include "sysfs-schemes.h"

/* stats/ */
struct damon_sysfs_stats {
	struct kobject kobj;
	unsigned long nr_tried;
	unsigned long sz_tried;
	unsigned long nr_applied;
	unsigned long sz_applied;
	unsigned long sz_ops_filter_passed;
	unsigned long qt_exceeds;
	unsigned long nr_snapshots;
	unsigned long max_nr_snapshots;
};

DAMON_SYSFS_RESULT(stats, nr_tried);
DAMON_SYSFS_RESULT(stats, sz_tried);
DAMON_SYSFS_RESULT(stats, nr_applied);
DAMON_SYSFS_RESULT(stats, sz_applied);
DAMON_SYSFS_RESULT(stats, sz_ops_filter_passed);
DAMON_SYSFS_RESULT(stats, qt_exceeds);
DAMON_SYSFS_RESULT(stats, nr_snapshots);
DAMON_SYSFS_ULONG(stats, max_nr_snapshots);

static struct attribute *damon_sysfs_stats_attrs[] = {
	&damon_sysfs_stats_nr_tried.attr.attr,
	&damon_sysfs_stats_sz_tried.attr.attr,
	&damon_sysfs_stats_nr_applied.attr.attr,
	&damon_sysfs_stats_sz_applied.attr.attr,
	&damon_sysfs_stats_sz_ops_filter_passed.attr.attr,
	&damon_sysfs_stats_qt_exceeds.attr.attr,
	&damon_sysfs_stats_nr_snapshots.attr.attr,
	&damon_sysfs_stats_max_nr_snapshots.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_stats);

const struct damon_sysfs_type damon_sysfs_stats_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_stats_groups),
	.size = sizeof(struct damon_sysfs_stats),
};

static struct damon_sysfs_stats *damon_sysfs_to_stats(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_stats, kobj);
}

/**
 * damon_sysfs_max_nr_snapshots() - the one file of stats/ that is a wish
 * @stats:	the directory stats
 *
 * Return: what it says.
 */
unsigned long damon_sysfs_max_nr_snapshots(struct kobject *stats)
{
	return READ_ONCE(damon_sysfs_to_stats(stats)->max_nr_snapshots);
}

/* tried_regions/<R>/ */
struct damon_sysfs_tried_region {
	struct kobject kobj;
	unsigned long start;
	unsigned long end;
	unsigned long nr_accesses;
	unsigned long age;
	unsigned long sz_filter_passed;
};

DAMON_SYSFS_RESULT(tried_region, start);
DAMON_SYSFS_RESULT(tried_region, end);
DAMON_SYSFS_RESULT(tried_region, nr_accesses);
DAMON_SYSFS_RESULT(tried_region, age);
DAMON_SYSFS_RESULT(tried_region, sz_filter_passed);

static struct attribute *damon_sysfs_tried_region_attrs[] = {
	&damon_sysfs_tried_region_start.attr.attr,
	&damon_sysfs_tried_region_end.attr.attr,
	&damon_sysfs_tried_region_nr_accesses.attr.attr,
	&damon_sysfs_tried_region_age.attr.attr,
	&damon_sysfs_tried_region_sz_filter_passed.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_tried_region);

static const struct damon_sysfs_type damon_sysfs_tried_region_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_tried_region_groups),
	.size = sizeof(struct damon_sysfs_tried_region),
};

/* tried_regions/ */
struct damon_sysfs_tried {
	struct damon_sysfs_list list;
	unsigned long total_bytes;
};

static struct damon_sysfs_tried *damon_sysfs_to_tried(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_tried, list.kobj);
}

static ssize_t total_bytes_show(struct kobject *kobj, struct kobj_attribute *attr,
				char *buf)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(damon_sysfs_to_tried(kobj)->total_bytes));
}

static struct kobj_attribute damon_sysfs_total_bytes = __ATTR_RO_MODE(total_bytes, 0400);

static struct attribute *damon_sysfs_tried_attrs[] = {
	&damon_sysfs_total_bytes.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_tried);

const struct damon_sysfs_type damon_sysfs_tried_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_tried_groups),
	.size = sizeof(struct damon_sysfs_tried),
	.item = &damon_sysfs_tried_region_type,
};

/**
 * damon_sysfs_get_figures() - copy what a context has come to
 * @figures:	where to; undo with damon_sysfs_free_figures()
 * @ctx:	a context, the calling kdamond's
 *
 * Return: 0, or -ENOMEM.  Sleeps.
 */
int damon_sysfs_get_figures(struct damon_sysfs_figures *figures, struct damon_ctx *ctx)
{
	struct damos *s;
	unsigned int i = 0, nr = list_count_nodes(&ctx->schemes);

	figures->attrs = ctx->attrs;
	figures->schemes = kvcalloc(nr, sizeof(*figures->schemes),
				    GFP_KERNEL | __GFP_NOWARN);
	if (nr && !figures->schemes)
		return -ENOMEM;
	figures->nr_schemes = nr;
	damon_for_each_scheme(s, ctx) {
		figures->schemes[i].stat = s->stat;
		figures->schemes[i++].effective_bytes = s->quota.esz;
	}
	return 0;
}

/**
 * damon_sysfs_free_figures() - undo damon_sysfs_get_figures()
 * @figures:	what that was given, or zeros
 */
void damon_sysfs_free_figures(struct damon_sysfs_figures *figures)
{
	kvfree(figures->schemes);
}

static void damon_sysfs_put_stat(struct damon_sysfs_stats *stats,
				 const struct damos_stat *stat)
{
	WRITE_ONCE(stats->nr_tried, stat->nr_tried);
	WRITE_ONCE(stats->sz_tried, stat->sz_tried);
	WRITE_ONCE(stats->nr_applied, stat->nr_applied);
	WRITE_ONCE(stats->sz_applied, stat->sz_applied);
	WRITE_ONCE(stats->sz_ops_filter_passed, stat->sz_ops_filter_passed);
	WRITE_ONCE(stats->qt_exceeds, stat->qt_exceeds);
	WRITE_ONCE(stats->nr_snapshots, stat->nr_snapshots);
}

/**
 * damon_sysfs_put_scheme_figures() - have the files of schemes say what is
 * @schemes:	the directory contexts/<C>/schemes
 * @figures:	of its context
 * @which:	bits of enum damon_sysfs_figure
 *
 * Called with damon_sysfs_lock held.
 */
void damon_sysfs_put_scheme_figures(struct kobject *schemes,
				    const struct damon_sysfs_figures *figures,
				    unsigned int which)
{
	struct damon_sysfs_list *list = damon_sysfs_to_list(schemes);
	int i;

	for (i = 0; i < list->nr && i < figures->nr_schemes; i++) {
		struct damon_sysfs_scheme *scheme = damon_sysfs_to_scheme(list->items[i]);

		if (which & DAMON_SYSFS_STATS)
			damon_sysfs_put_stat(damon_sysfs_to_stats(scheme->stats),
					     &figures->schemes[i].stat);
		if (which & DAMON_SYSFS_EFFECTIVE_QUOTAS)
			damon_sysfs_set_effective_bytes(scheme->quotas,
							figures->schemes[i].effective_bytes);
	}
}

/* A region that a scheme was tried on */
struct damon_sysfs_tried_on {
	struct damon_addr_range ar;
	unsigned long sz_filter_passed;
	unsigned int nr_accesses;
	unsigned int age;
};

/* What a scheme was tried on: in bytes, and which ones of the regions of a walk */
struct damon_sysfs_tried_by {
	unsigned long total_bytes;
	unsigned int first;
	unsigned int nr;
};

static int damon_sysfs_grow_walk(struct damon_sysfs_walk *walk)
{
	struct damon_sysfs_tried_on *regions;
	unsigned int room = min(max(walk->room * 2, 64U), walk->max_nr);

	regions = kvmalloc_array(room, sizeof(*regions), GFP_KERNEL | __GFP_NOWARN);
	if (!regions)
		return -ENOMEM;
	if (walk->nr)
		memcpy(regions, walk->regions, walk->nr * sizeof(*regions));
	kvfree(walk->regions);
	walk->regions = regions;
	walk->room = room;
	return 0;
}

/* Which scheme of a context it is.  They come one after the other, each once. */
static unsigned int damon_sysfs_scheme_idx(struct damon_sysfs_walk *walk,
					   struct damon_ctx *ctx, const struct damos *s)
{
	struct damos *each;
	unsigned int i = 0;

	if (walk->last == s)
		return walk->last_idx;
	damon_for_each_scheme(each, ctx) {
		if (each == s)
			break;
		i++;
	}
	walk->last = s;
	walk->last_idx = i;
	if (i < walk->nr_schemes)
		walk->schemes[i] = (struct damon_sysfs_tried_by){ .first = walk->nr };
	return i;
}

/* For damos_walk(): the region is in units of addresses, the rest in bytes. */
static void damon_sysfs_note_tried(void *data, struct damon_ctx *ctx,
				   struct damon_target *t, struct damon_region *r,
				   struct damos *s, unsigned long sz_filter_passed)
{
	struct damon_sysfs_walk *walk = data;
	unsigned int i = damon_sysfs_scheme_idx(walk, ctx, s);

	if (i >= walk->nr_schemes)
		return;
	walk->schemes[i].total_bytes = size_add(walk->schemes[i].total_bytes,
						damon_bytes(ctx, damon_sz_region(r)));
	if (walk->err || walk->nr >= walk->max_nr)
		return;
	if (walk->nr == walk->room)
		walk->err = damon_sysfs_grow_walk(walk);
	if (walk->err)
		return;
	walk->schemes[i].nr++;
	walk->regions[walk->nr++] = (struct damon_sysfs_tried_on){
		.ar = r->ar,
		.sz_filter_passed = sz_filter_passed,
		.nr_accesses = r->nr_accesses,
		.age = r->age,
	};
}

/**
 * damon_sysfs_walk() - copy what the schemes of a context are tried on
 * @walk:	where to; undo with damon_sysfs_free_walk()
 * @ctx:	a context, which no other may commit meanwhile
 * @nr_schemes:	how many schemes it has
 * @max_nr:	how many regions to copy at most; the bytes are of all
 *
 * Waits until each of the schemes was tried once on all regions.
 *
 * Return: 0; -ENOMEM; or what damos_walk() returns.
 */
int damon_sysfs_walk(struct damon_sysfs_walk *walk, struct damon_ctx *ctx,
		     unsigned int nr_schemes, unsigned int max_nr)
{
	struct damos_walk_control control = {
		.walk_fn = damon_sysfs_note_tried,
		.data = walk,
	};
	int err;

	if (!nr_schemes)
		return 0;
	walk->schemes = kvcalloc(nr_schemes, sizeof(*walk->schemes), GFP_KERNEL);
	if (!walk->schemes)
		return -ENOMEM;
	walk->nr_schemes = nr_schemes;
	walk->max_nr = max_nr;
	err = damos_walk(ctx, &control);
	return err ? err : walk->err;
}

/**
 * damon_sysfs_free_walk() - undo damon_sysfs_walk()
 * @walk:	what that was given, or zeros
 */
void damon_sysfs_free_walk(struct damon_sysfs_walk *walk)
{
	kvfree(walk->schemes);
	kvfree(walk->regions);
}

static void damon_sysfs_put_tried_region(struct kobject *kobj,
					 const struct damon_sysfs_tried_on *from)
{
	struct damon_sysfs_tried_region *region =
		container_of(kobj, struct damon_sysfs_tried_region, kobj);

	WRITE_ONCE(region->start, from->ar.start);
	WRITE_ONCE(region->end, from->ar.end);
	WRITE_ONCE(region->nr_accesses, from->nr_accesses);
	WRITE_ONCE(region->age, from->age);
	WRITE_ONCE(region->sz_filter_passed, from->sz_filter_passed);
}

/* Make the directories of one scheme, the first of which has the number @first. */
static int damon_sysfs_put_tried_regions(struct damon_sysfs_list *list, int first,
					 const struct damon_sysfs_walk *walk,
					 unsigned int scheme)
{
	const struct damon_sysfs_tried_by *by = &walk->schemes[scheme];
	unsigned int i;
	int err;

	err = damon_sysfs_renew_items(list, by->nr, first);
	if (err)
		return err;
	for (i = 0; i < by->nr; i++)
		damon_sysfs_put_tried_region(list->items[i], &walk->regions[by->first + i]);
	return 0;
}

/**
 * damon_sysfs_put_walk() - have tried_regions/ say what schemes were tried on
 * @schemes:	the directory contexts/<C>/schemes
 * @walk:	of its context
 *
 * What there was of regions goes, also where @walk has none.  Called with
 * damon_sysfs_lock held.
 *
 * Return: 0; -ENOMEM; or -EINTR for a fatal signal.
 */
int damon_sysfs_put_walk(struct kobject *schemes, const struct damon_sysfs_walk *walk)
{
	struct damon_sysfs_list *list = damon_sysfs_to_list(schemes);
	int i, err, first = 0;

	for (i = 0; i < list->nr && i < walk->nr_schemes; i++) {
		struct damon_sysfs_tried *tried =
			damon_sysfs_to_tried(damon_sysfs_to_scheme(list->items[i])->tried);

		WRITE_ONCE(tried->total_bytes, walk->schemes[i].total_bytes);
		/* No two regions of a context have the same number. */
		err = damon_sysfs_put_tried_regions(&tried->list, first, walk, i);
		if (err)
			return err;
		first += tried->list.nr;
	}
	return 0;
}

/**
 * damon_sysfs_clear_tried() - forget what schemes were tried on
 * @schemes:	the directory contexts/<C>/schemes
 *
 * Called with damon_sysfs_lock held.
 */
void damon_sysfs_clear_tried(struct kobject *schemes)
{
	struct damon_sysfs_list *list = damon_sysfs_to_list(schemes);
	int i;

	for (i = 0; i < list->nr; i++) {
		struct damon_sysfs_tried *tried =
			damon_sysfs_to_tried(damon_sysfs_to_scheme(list->items[i])->tried);

		damon_sysfs_renew_items(&tried->list, 0, 0);
		WRITE_ONCE(tried->total_bytes, 0);
	}
}
