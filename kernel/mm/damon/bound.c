// SPDX-License-Identifier: GPL-2.0
/*
 * The upper bound on the number of regions, which the targets of a context share.
 *
 * A target that has few regions may always have some more, until all have the same:
 * what is found in it is not known before there is room for it.  Whoever has many gives
 * way.  As long as there is enough for all, who has more may have more of the rest.
 */

#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/sched.h>

#include "targets.h"

/* By how much a target may grow at least: by a quarter, and one. */
#define GROWTH_SHARE	4

/**
 * damon_nr_ranges() - how many separate ranges of addresses a target covers
 * @t:		the target
 *
 * It cannot have fewer regions than that.
 */
unsigned int damon_nr_ranges(const struct damon_target *t)
{
	unsigned int i, nr = t->nr_regions > 0;

	for (i = 1; i < t->nr_regions; i++)
		nr += t->regions[i - 1].ar.end != t->regions[i].ar.start;
	return nr;
}

/**
 * damon_check_bound() - whether targets can keep their context's bound on regions
 * @ctx:	a context that nobody serves, or that is going to be committed
 *
 * A target without regions counts for one: it is going to get some, or keeps what it
 * had.  Return: 0, or -EINVAL where there are more separate ranges of addresses than
 * there may be regions.  Sleeps.
 */
int damon_check_bound(const struct damon_ctx *ctx)
{
	struct damon_target *t;
	u64 nr = 0;

	damon_for_each_target(t, ctx) {
		const struct damon_target *of = t;

		/* Those of vaddr can be had in fewer ranges. */
		if (!t->nr_regions && t->before && ctx->ops.id != DAMON_OPS_VADDR)
			of = t->before;
		nr += max(damon_nr_ranges(of), 1U);
		cond_resched();
	}
	return nr <= ctx->attrs.max_nr_regions ? 0 : -EINVAL;
}

/* What a target may come to have. */
static u64 wanted(const struct damon_target *t)
{
	return t->nr_regions ? t->nr_regions + t->nr_regions / GROWTH_SHARE + 1ULL : 0;
}

/* The same, where nobody may have more than so many that can do with fewer. */
static u64 wanted_below(const struct damon_target *t, unsigned int level)
{
	return max_t(u64, min_t(u64, wanted(t), level), t->nr_ranges);
}

static u64 all_below(struct damon_ctx *ctx, unsigned int level)
{
	struct damon_target *t;
	u64 sum = 0;

	damon_for_each_target(t, ctx)
		sum += wanted_below(t, level);
	cond_resched();
	return sum;
}

/* Close the smallest gaps of a target, until it covers no more ranges than that. */
static void close_gaps(struct damon_target *t, unsigned int most)
{
	while (t->nr_ranges > max(most, 1U)) {
		struct damon_region *before = NULL;
		unsigned long least = ULONG_MAX;
		unsigned int i;

		for (i = 1; i < t->nr_regions; i++) {
			unsigned long gap = t->regions[i].ar.start - t->regions[i - 1].ar.end;

			if (gap && gap <= least) {
				least = gap;
				before = &t->regions[i - 1];
			}
		}
		before->ar.end = before[1].ar.start;
		t->nr_ranges--;
		cond_resched();
	}
}

/* The most that each may have, so that the sum keeps a bound: if any can be. */
static unsigned int find_level(struct damon_ctx *ctx, unsigned int bound)
{
	unsigned int low = 0, high = bound;

	while (low < high) {
		unsigned int level = high - (high - low) / 2;

		if (all_below(ctx, level) <= bound)
			low = level;
		else
			high = level - 1;
	}
	return low;
}

/**
 * damon_share_bound() - how many regions each target may have
 * @ctx:	the calling kdamond's
 *
 * Sets share and nr_ranges of each target.  All together the shares keep the bound, if
 * damon_check_bound() has said so.  What vaddr covers is its own choice: should its
 * mappings have become too scattered, then small gaps are covered as well.  Sleeps.
 */
void damon_share_bound(struct damon_ctx *ctx)
{
	unsigned int bound = ctx->attrs.max_nr_regions, nr_targets = 0, level, rest;
	struct damon_target *t;
	u64 all = 0, ranges = 0, sum;

	damon_for_each_target(t, ctx) {
		t->nr_ranges = damon_nr_ranges(t);
		ranges += t->nr_ranges;
		nr_targets += t->nr_ranges > 0;
		all += wanted(t);
		cond_resched();
	}
	if (all <= bound) {
		damon_for_each_target(t, ctx)
			t->share = mul_u64_u64_div_u64(wanted(t), bound, max(all, 1ULL));
		return;
	}
	if (ranges > bound && ctx->ops.id == DAMON_OPS_VADDR) {
		damon_for_each_target(t, ctx)
			close_gaps(t, bound / nr_targets);
	}
	level = find_level(ctx, bound);
	sum = all_below(ctx, level);
	rest = sum < bound ? bound - sum : 0;
	damon_for_each_target(t, ctx) {
		t->share = wanted_below(t, level);
		if (rest && wanted(t) > t->share) {
			t->share++;
			rest--;
		}
	}
}
