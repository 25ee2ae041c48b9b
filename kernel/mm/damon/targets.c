// SPDX-License-Identifier: GPL-2.0
/*
 * Targets: what a context monitors, and the memory that their regions need.
 *
 * Region arrays grow at the end of an aggregation interval only, by the kdamond
 * and with GFP_KERNEL; should that fail, the present room has to do.
 */

#include <linux/damon.h>
#include <linux/list_sort.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "targets.h"

/**
 * damon_new_target() - make a target without regions
 *
 * Return: it, or NULL for lack of memory.
 */
struct damon_target *damon_new_target(void)
{
	struct damon_target *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (t)
		INIT_LIST_HEAD(&t->list);
	return t;
}

/**
 * damon_add_target() - make a target one of a context's
 * @ctx:	a context that no kdamond serves, or the calling kdamond's own
 * @t:		the target, which the context owns from now on
 */
void damon_add_target(struct damon_ctx *ctx, struct damon_target *t)
{
	list_add_tail(&t->list, &ctx->adaptive_targets);
}

/**
 * damon_destroy_target() - end a target, in a context or not
 * @t:		the target; its reference of the process goes as well
 */
void damon_destroy_target(struct damon_target *t)
{
	list_del(&t->list);
	put_pid(t->pid);
	kvfree(t->regions);
	kvfree(t->probes[0].probe);
	kvfree(t->probes[1].probe);
	kfree(t);
}

/**
 * damon_nr_regions() - how many regions a target has
 * @t:		the target
 */
unsigned int damon_nr_regions(struct damon_target *t)
{
	return t->nr_regions;
}

/**
 * damon_reserve_regions() - see that an array of regions is large enough
 * @regions:	the array; what it holds is kept only if @nr_used says so
 * @room:	how many it has memory for
 * @nr_used:	how many of them to keep
 * @wanted:	how many it shall have memory for
 *
 * Return: 0, or -ENOMEM with nothing changed.  Sleeps.
 */
int damon_reserve_regions(struct damon_region **regions, unsigned int *room,
			  unsigned int nr_used, unsigned int wanted)
{
	struct damon_region *new;

	if (wanted <= *room)
		return 0;
	/* Some more, so that slow growth does not come here every time. */
	wanted = max(wanted, min(*room, UINT_MAX / 4) * 2);
	new = kvmalloc_array(wanted, sizeof(*new), GFP_KERNEL | __GFP_NOWARN);
	if (!new)
		return -ENOMEM;
	if (nr_used)
		memcpy(new, *regions, nr_used * sizeof(*new));
	kvfree(*regions);
	*regions = new;
	*room = wanted;
	return 0;
}

/**
 * damon_reserve_probes() - see that there is room for probes; forgets them
 * @probes:	the probes
 * @wanted:	how many it shall have memory for
 *
 * Return: 0, or -ENOMEM with the room as it was.  Sleeps.
 */
int damon_reserve_probes(struct damon_probes *probes, unsigned int wanted)
{
	struct damon_probe *new;

	probes->nr = 0;
	if (wanted <= probes->room)
		return 0;
	new = kvmalloc_array(wanted, sizeof(*new), GFP_KERNEL | __GFP_NOWARN);
	if (!new)
		return -ENOMEM;
	kvfree(probes->probe);
	probes->probe = new;
	probes->room = wanted;
	return 0;
}

static int compare_pids(void *nr, const struct list_head *a, const struct list_head *b)
{
	const struct pid *pid = list_entry(a, struct damon_target, by_pid)->pid;
	const struct pid *other = list_entry(b, struct damon_target, by_pid)->pid;

	++*(unsigned long *)nr;
	return (pid > other) - (pid < other);
}

/* Targets of the same process stay in the order in which the context has them. */
static void sort_by_pid(struct damon_ctx *ctx, struct list_head *list, unsigned long *nr)
{
	struct damon_target *t;

	damon_for_each_target(t, ctx)
		list_add_tail(&t->by_pid, list);
	list_sort(nr, list, compare_pids);
}

/**
 * damon_pair_targets() - find out what a context's targets were in another one
 * @dst:	the other one; its targets stay as they are
 * @src:	the context; of each of its targets, before becomes the target of @dst
 *		that has the same process, or NULL.  Where a process has several, the
 *		first of @src goes with the first of @dst, and so on.
 *
 * Return: how many comparisons of processes that took.
 */
unsigned long damon_pair_targets(struct damon_ctx *dst, struct damon_ctx *src)
{
	LIST_HEAD(old_targets);
	LIST_HEAD(new_targets);
	struct damon_target *old, *new;
	unsigned long nr = 0;

	sort_by_pid(dst, &old_targets, &nr);
	sort_by_pid(src, &new_targets, &nr);
	old = list_first_entry(&old_targets, struct damon_target, by_pid);
	list_for_each_entry(new, &new_targets, by_pid) {
		int order = -1;

		while (!list_entry_is_head(old, &old_targets, by_pid)) {
			order = compare_pids(&nr, &old->by_pid, &new->by_pid);
			if (order >= 0)
				break;
			old = list_next_entry(old, by_pid);
		}
		new->before = order ? NULL : old;
		if (!order)
			old = list_next_entry(old, by_pid);
	}
	return nr;
}

/* What is known of the part of a region that lies in a range. */
static void clip(struct damon_region *part, const struct damon_region *r,
		 const struct damon_addr_range *range)
{
	*part = *r;
	part->ar.start = max(r->ar.start, range->start);
	part->ar.end = min(r->ar.end, range->end);
}

static void fresh(struct damon_region *part, unsigned long start, unsigned long end)
{
	memset(part, 0, sizeof(*part));
	part->ar.start = start;
	part->ar.end = end;
}

static bool ranges_are_sound(const struct damon_addr_range *ranges, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (ranges[i].start >= ranges[i].end)
			return false;
		if (i && ranges[i].start < ranges[i - 1].end)
			return false;
	}
	return nr > 0;
}

/* Regions for the ranges; writes nothing, and only counts, while @to is NULL. */
static unsigned int fit(const struct damon_target *t, struct damon_region *to,
			const struct damon_addr_range *ranges, unsigned int nr_ranges)
{
	unsigned int i, at = 0, nr = 0;

	for (i = 0; i < nr_ranges; i++) {
		unsigned long done = ranges[i].start;

		while (at < t->nr_regions && t->regions[at].ar.end <= done)
			at++;
		while (at < t->nr_regions &&
		       t->regions[at].ar.start < ranges[i].end) {
			const struct damon_region *r = &t->regions[at];

			if (r->ar.start > done) {
				if (to)
					fresh(&to[nr], done, r->ar.start);
				nr++;
			}
			if (to)
				clip(&to[nr], r, &ranges[i]);
			nr++;
			done = min(r->ar.end, ranges[i].end);
			/* One that reaches beyond goes on in the next range. */
			if (r->ar.end > ranges[i].end)
				break;
			at++;
		}
		if (done < ranges[i].end) {
			if (to)
				fresh(&to[nr], done, ranges[i].end);
			nr++;
		}
	}
	return nr;
}

/**
 * damon_set_regions() - have a target cover just these ranges
 * @t:		a target of a context that no kdamond serves, or the calling
 *		kdamond's own, between two aggregation intervals
 * @ranges:	in order of address, disjoint, aligned to pages
 * @nr_ranges:	how many
 *
 * What is known of memory that it covered before is kept.  Returns 0, -EINVAL
 * for ranges that are empty or out of order, or -ENOMEM; then nothing has
 * changed.  Sleeps.
 */
int damon_set_regions(struct damon_target *t,
		      const struct damon_addr_range *ranges,
		      unsigned int nr_ranges)
{
	struct damon_region *new = NULL;
	unsigned int room = 0, nr;
	int err;

	if (!ranges_are_sound(ranges, nr_ranges))
		return -EINVAL;
	nr = fit(t, NULL, ranges, nr_ranges);
	err = damon_reserve_regions(&new, &room, 0, nr);
	if (err)
		return err;
	fit(t, new, ranges, nr_ranges);
	kvfree(t->regions);
	t->regions = new;
	t->room = room;
	t->nr_regions = nr;
	return 0;
}

/**
 * damon_adopt_regions() - keep what another target knows of the same memory
 * @t:		a target with regions, which say what it covers
 * @from:	what to learn from
 *
 * Return: 0, or -ENOMEM with nothing changed.  Sleeps.
 */
int damon_adopt_regions(struct damon_target *t, const struct damon_target *from)
{
	struct damon_addr_range *ranges;
	struct damon_region *new = NULL;
	unsigned int i, nr, room = 0;
	int err;

	ranges = kvmalloc_array(t->nr_regions, sizeof(*ranges), GFP_KERNEL);
	if (!ranges)
		return -ENOMEM;
	for (i = 0; i < t->nr_regions; i++)
		ranges[i] = t->regions[i].ar;
	nr = fit(from, NULL, ranges, t->nr_regions);
	err = damon_reserve_regions(&new, &room, 0, nr);
	if (!err) {
		fit(from, new, ranges, t->nr_regions);
		kvfree(t->regions);
		t->regions = new;
		t->room = room;
		t->nr_regions = nr;
	}
	kvfree(ranges);
	return err;
}
