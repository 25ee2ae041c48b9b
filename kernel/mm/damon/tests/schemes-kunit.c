// SPDX-License-Identifier: GPL-2.0
/* Schemes: what they are for, when, and what becomes of the regions. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "../schemes.h"
#include "schemes-fake.h"

static void matches_within_bounds(struct kunit *test)
{
	static const struct {
		unsigned long pages;
		unsigned int rate;
		unsigned int age;
		bool matches;
	} cases[] = {
		{ 10, 5, 7, true },
		{ 20, 9, 70, true },
		{ 15, 6, 20, true },
		{ 9, 5, 7, false },
		{ 21, 5, 7, false },
		{ 10, 4, 7, false },
		{ 10, 10, 7, false },
		{ 10, 5, 6, false },
		{ 10, 5, 71, false },
	};
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_STAT);
	struct damon_region r = {};
	unsigned int i;

	s->pattern = (struct damos_access_pattern){
		.min_sz_region = 10 * PAGE_SIZE, .max_sz_region = 20 * PAGE_SIZE,
		.min_nr_accesses = 5, .max_nr_accesses = 9,
		.min_age_region = 7, .max_age_region = 70,
	};
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		r.ar.end = cases[i].pages * PAGE_SIZE;
		r.nr_accesses = cases[i].rate;
		r.age = cases[i].age;
		KUNIT_EXPECT_EQ_MSG(test, damos_matches(ctx, s, &r), cases[i].matches,
				    "case %u", i);
	}

	/* Sizes are in bytes, whatever addresses are in. */
	ctx->addr_unit = PAGE_SIZE;
	r = (struct damon_region){ .ar.end = 20, .nr_accesses = 5, .age = 7 };
	KUNIT_EXPECT_TRUE(test, damos_matches(ctx, s, &r));
	r.ar.end = 21;
	KUNIT_EXPECT_FALSE(test, damos_matches(ctx, s, &r));
	r.ar.end = ULONG_MAX;
	s->pattern.max_sz_region = ULONG_MAX;
	KUNIT_EXPECT_TRUE(test, damos_matches(ctx, s, &r));
}

/* What is acted on is in order, counted, and of no age. */
static void applies_to_what_matches(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *one = fake_target(test, ctx), *two = fake_target(test, ctx);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	fake_region(test, one, 0, 10, 0, 5);
	fake_region(test, one, 10, 30, 3, 5);
	fake_region(test, one, 30, 40, 0, 4);
	fake_region(test, one, 50, 90, 0, 6);
	fake_region(test, two, 5, 6, 0, 5);
	s->pattern.max_nr_accesses = 0;
	s->pattern.min_age_region = 5;
	damos_end_sample(ctx, true);
	KUNIT_EXPECT_PTR_EQ(test, fake_ops.target[1], one);
	KUNIT_EXPECT_PTR_EQ(test, fake_ops.target[2], two);
	KUNIT_EXPECT_TRUE(test, fake_ops.core_passed[0]);
	EXPECT_DONE(test, "0-10 50-90 5-6");
	EXPECT_REGIONS(test, one, "0-10:0 10-30:5 30-40:4 50-90:0");
	EXPECT_REGIONS(test, two, "5-6:0");
	KUNIT_EXPECT_EQ(test, s->stat.nr_tried, 3);
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, 51 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, s->stat.nr_applied, 3);
	KUNIT_EXPECT_EQ(test, s->stat.sz_applied, 51 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, s->stat.sz_ops_filter_passed, 51 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, s->stat.qt_exceeds, 0);
	KUNIT_EXPECT_EQ(test, s->stat.nr_snapshots, 1);

	/* Nothing is left that is old enough; and what fails is tried only. */
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "");
	KUNIT_EXPECT_EQ(test, s->stat.nr_snapshots, 2);
	fake_ops.fails = true;
	s->pattern.min_age_region = 4;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "30-40");
	KUNIT_EXPECT_EQ(test, s->stat.nr_tried, 4);
	KUNIT_EXPECT_EQ(test, s->stat.nr_applied, 3);
	KUNIT_EXPECT_EQ(test, s->stat.sz_applied, 51 * PAGE_SIZE);
}

/* To count needs no operations, except for filters that are theirs. */
static void stat_changes_nothing(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = fake_scheme(test, ctx, DAMOS_STAT);
	struct damos_filter *f;

	fake_region(test, t, 0, 10, 0, 5);
	fake_region(test, t, 10, 30, 3, 6);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "");
	EXPECT_REGIONS(test, t, "0-10:5 10-30:6");
	KUNIT_EXPECT_EQ(test, s->stat.nr_tried, 2);
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, 30 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, s->stat.sz_ops_filter_passed, 30 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, s->stat.nr_applied, 0);
	KUNIT_EXPECT_EQ(test, s->stat.sz_applied, 0);

	f = damos_new_filter(DAMOS_FILTER_TYPE_ANON, true, true);
	KUNIT_ASSERT_NOT_NULL(test, f);
	damos_add_filter(s, f);
	damos_end_sample(ctx, true);
	KUNIT_EXPECT_FALSE(test, fake_ops.core_passed[0]);
	EXPECT_DONE(test, "0-10 10-30");
	EXPECT_REGIONS(test, t, "0-10:5 10-30:6");

	ctx->ops.apply_scheme = NULL;
	damos_end_sample(ctx, true);
	KUNIT_EXPECT_EQ(test, s->stat.sz_ops_filter_passed, 90 * PAGE_SIZE);
}

/* What core filters keep out is not tried; what is acted on is cut out. */
static void filters_cut_regions(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	fake_region(test, t, 0, 100, 0, 5);
	fake_region(test, t, 100, 200, 0, 6);
	fake_filter(test, s, 20, 40, true, false);
	fake_filter(test, s, 60, 150, true, false);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-20 40-60 150-200");
	EXPECT_REGIONS(test, t, "0-20:0 20-40:5 40-60:0 60-100:5 100-150:6 150-200:0");
	KUNIT_EXPECT_EQ(test, s->stat.nr_tried, 3);
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, 90 * PAGE_SIZE);
}

/* In the midst of an interval regions stay as they are. */
static void no_cuts_between_samples(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	fake_region(test, t, 0, 100, 0, 5);
	fake_region(test, t, 100, 200, 0, 6);
	fake_filter(test, s, 20, 40, true, false);
	damos_apply(ctx, s, 0, false);
	EXPECT_DONE(test, "0-20 40-100 100-200");
	EXPECT_REGIONS(test, t, "0-100:5 100-200:0");
}

/* Nor are there ever more than there may be, of all targets. */
static void cuts_keep_the_bound(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx), *other = fake_target(test, ctx);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	fake_region(test, t, 0, 100, 0, 5);
	fake_region(test, other, 0, 10, 0, 5);
	fake_filter(test, s, 20, 40, true, false);
	fake_filter(test, s, 60, 80, true, false);
	ctx->attrs.max_nr_regions = 4;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-20 40-60 80-100 0-10");
	/* There was no place for the two edges of 40-60. */
	EXPECT_REGIONS(test, t, "0-20:0 20-80:5 80-100:0");
	EXPECT_REGIONS(test, other, "0-10:0");
}

static void addr_unit_counts_bytes(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	ctx->addr_unit = 8;
	fake_region(test, t, 0, 100, 0, 5);
	s->quota.sz = 80 * PAGE_SIZE;
	s->quota.reset_interval = 1000;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-10");
	EXPECT_REGIONS(test, t, "0-10:0 10-100:5");
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, 80 * PAGE_SIZE);
}

/* How often it is applied in so many samples, of which each @per_aggr-th is last. */
static unsigned long times_applied(struct damon_ctx *ctx, struct damos *s,
				   unsigned int samples, unsigned int per_aggr)
{
	unsigned long before = s->stat.nr_snapshots;
	unsigned int i;

	for (i = 1; i <= samples; i++)
		damos_end_sample(ctx, !(i % per_aggr));
	return s->stat.nr_snapshots - before;
}

static void apply_intervals(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_STAT);
	struct damon_attrs attrs = ctx->attrs;

	fake_region(test, fake_target(test, ctx), 0, 100, 0, 5);
	damos_begin(ctx);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 100, 20), 5);

	/* Never before there are results; and then by its own interval. */
	s->apply_interval_us = 20000;
	s->samples_to_next = 0;
	damos_begin(ctx);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 19, 20), 0);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 1, 1), 1);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 40, 20), 10);

	/* Longer ones are not cut short by those. */
	s->apply_interval_us = 250000;
	s->samples_to_next = 0;
	damos_begin(ctx);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 49, 20), 0);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 1, 20), 1);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 100, 20), 2);

	/* With longer samples there are fewer to wait for. */
	times_applied(ctx, s, 10, 20);
	attrs.sample_interval = 10000;
	attrs.aggr_interval = 200000;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 19, 20), 0);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 1, 20), 1);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 25, 20), 1);

	/* One sample is the least. */
	s->apply_interval_us = 1;
	s->samples_to_next = 0;
	damos_begin(ctx);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 20, 20), 1);
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 20, 20), 20);
}

static void snapshots_have_a_bound(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	fake_region(test, fake_target(test, ctx), 0, 100, 0, 5);
	s->max_nr_snapshots = 3;
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 10, 1), 3);
	KUNIT_EXPECT_EQ(test, fake_ops.nr_done, 3);
	s->max_nr_snapshots = 4;
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 10, 1), 1);
}

static void inactive_does_nothing(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	fake_region(test, fake_target(test, ctx), 0, 100, 0, 5);
	s->wmarks.activated = false;
	KUNIT_EXPECT_EQ(test, times_applied(ctx, s, 10, 1), 0);
	KUNIT_EXPECT_EQ(test, fake_ops.nr_done, 0);
}

static void check_refuses(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);
	unsigned int nodes[] = { first_memory_node, MAX_NUMNODES };
	unsigned int weights[] = { 0, 1 };
	struct damos sound = *s;
	struct damos_quota_goal *goal;
	struct damos_filter *f;

#define EXPECT_CHECK(wanted, change) do {					\
	*s = sound;								\
	INIT_LIST_HEAD(&s->quota.goals);					\
	INIT_LIST_HEAD(&s->core_filters);					\
	INIT_LIST_HEAD(&s->ops_filters);					\
	s->list = (struct list_head){ &ctx->schemes, &ctx->schemes };		\
	change;									\
	KUNIT_EXPECT_EQ_MSG(test, wanted, damos_check(ctx), "%s", #change);	\
} while (0)

	EXPECT_CHECK(0, s->action = DAMOS_PAGEOUT);
	EXPECT_CHECK(-EINVAL, s->action = NR_DAMOS_ACTIONS);
	EXPECT_CHECK(-EINVAL, s->pattern.min_sz_region = ULONG_MAX; s->pattern.max_sz_region--);
	EXPECT_CHECK(-EINVAL, s->pattern.min_nr_accesses = 2; s->pattern.max_nr_accesses = 1);
	EXPECT_CHECK(-EINVAL, s->pattern.min_age_region = 2; s->pattern.max_age_region = 1);
	EXPECT_CHECK(0, s->pattern.min_age_region = 2; s->pattern.max_age_region = 2);
	EXPECT_CHECK(-EINVAL, s->quota.goal_tuner = NR_DAMOS_QUOTA_GOAL_TUNERS);
	EXPECT_CHECK(0, s->quota.sz = ULONG_MAX; s->quota.ms = ULONG_MAX;
		     s->quota.reset_interval = ULONG_MAX);
	EXPECT_CHECK(-EINVAL, s->wmarks.metric = NR_DAMOS_WMARK_METRICS);
	EXPECT_CHECK(-EINVAL, s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE; s->wmarks.mid = 1);
	EXPECT_CHECK(-EINVAL, s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE; s->wmarks.low = 3;
		     s->wmarks.mid = 2; s->wmarks.high = 4);
	EXPECT_CHECK(0, s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE; s->wmarks.high = 2;
		     s->wmarks.mid = 2; s->wmarks.low = 2);
	EXPECT_CHECK(0, s->wmarks.mid = 1);
	EXPECT_CHECK(0, s->target_nid = -1);
	EXPECT_CHECK(0, s->action = DAMOS_MIGRATE_HOT; s->target_nid = first_memory_node);
	EXPECT_CHECK(-EINVAL, s->action = DAMOS_MIGRATE_HOT; s->target_nid = -1);
	EXPECT_CHECK(-EINVAL, s->action = DAMOS_MIGRATE_COLD; s->target_nid = MAX_NUMNODES);
	EXPECT_CHECK(-EINVAL, s->action = DAMOS_MIGRATE_COLD;
		     s->migrate_dests = ((struct damos_migrate_dests){ nodes, weights, 2 }));
	EXPECT_CHECK(-EINVAL, s->action = DAMOS_MIGRATE_COLD;
		     s->migrate_dests = ((struct damos_migrate_dests){ nodes, weights, 1 }));
	EXPECT_CHECK(0, s->action = DAMOS_MIGRATE_COLD; weights[0] = 5;
		     s->migrate_dests = ((struct damos_migrate_dests){ nodes, weights, 1 }));

	/* Parts of it that are objects of their own. */
	EXPECT_CHECK(0, goal = fake_goal(test, s, 5));
	goal->target_value = 0;
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_check(ctx));
	goal->target_value = 1;
	goal->metric = NR_DAMOS_QUOTA_GOAL_METRICS;
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_check(ctx));
	goal->metric = DAMOS_QUOTA_NODE_MEM_FREE_BP;
	goal->nid = first_memory_node;
	KUNIT_EXPECT_EQ(test, 0, damos_check(ctx));
	goal->nid = -1;
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_check(ctx));
	goal->metric = DAMOS_QUOTA_SOME_MEM_PSI_US;
	KUNIT_EXPECT_EQ(test, IS_ENABLED(CONFIG_PSI) ? 0 : -EOPNOTSUPP, damos_check(ctx));
	damos_destroy_quota_goal(goal);
	f = damos_new_filter(DAMOS_FILTER_TYPE_YOUNG, true, true);
	KUNIT_ASSERT_NOT_NULL(test, f);
	damos_add_filter(s, f);
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_check(ctx));
	damos_destroy_filter(f);

	/* What the operations cannot do; but counting can be done always. */
	EXPECT_CHECK(0, s->action = DAMOS_PAGEOUT);
	ctx->ops.actions = BIT(DAMOS_COLD);
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_check(ctx));
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_start(&ctx, 1, false));
	KUNIT_EXPECT_FALSE(test, damon_is_running(ctx));
	s->action = DAMOS_STAT;
	KUNIT_EXPECT_EQ(test, 0, damos_check(ctx));
	s->migrate_dests = (struct damos_migrate_dests){};
#undef EXPECT_CHECK
}

static struct damos *scheme_at(struct damon_ctx *ctx, unsigned int at)
{
	struct damos *s;

	damon_for_each_scheme(s, ctx) {
		if (!at--)
			return s;
	}
	return NULL;
}

/* A scheme with the same place and action goes on where it was. */
static void commit_goes_on(struct kunit *test)
{
	struct damon_ctx *dst = fake_ctx(test), *src = fake_ctx(test);
	struct damos *s;

	fake_scheme(test, dst, DAMOS_STAT)->stat.nr_tried = 11;
	s = fake_scheme(test, dst, DAMOS_PAGEOUT);
	s->stat.nr_tried = 12;
	s->samples_to_next = 30;
	s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE;
	s->wmarks.activated = false;
	fake_scheme(test, dst, DAMOS_COLD)->stat.nr_tried = 13;
	fake_scheme(test, dst, DAMOS_STAT)->stat.nr_tried = 14;

	fake_scheme(test, src, DAMOS_STAT);
	s = fake_scheme(test, src, DAMOS_PAGEOUT);
	s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE;
	s->pattern.min_age_region = 77;
	s->apply_interval_us = 1000000;
	fake_scheme(test, src, DAMOS_STAT);
	src->attrs.sample_interval = 10000;

	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, scheme_at(dst, 0)->stat.nr_tried, 11);
	s = scheme_at(dst, 1);
	KUNIT_EXPECT_EQ(test, s->stat.nr_tried, 12);
	KUNIT_EXPECT_EQ(test, s->samples_to_next, 15);
	KUNIT_EXPECT_EQ(test, s->pattern.min_age_region, 77);
	KUNIT_EXPECT_FALSE(test, s->wmarks.activated);
	KUNIT_EXPECT_EQ(test, scheme_at(dst, 2)->stat.nr_tried, 0);
	KUNIT_EXPECT_NULL(test, scheme_at(dst, 3));
}

/* By another metric, what was decided before means nothing. */
static void commit_of_other_watermarks(struct kunit *test)
{
	struct damon_ctx *dst = fake_ctx(test), *src = fake_ctx(test);

	fake_scheme(test, dst, DAMOS_PAGEOUT)->wmarks.activated = false;
	scheme_at(dst, 0)->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE;
	fake_scheme(test, src, DAMOS_PAGEOUT);
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_TRUE(test, scheme_at(dst, 0)->wmarks.activated);
}

static void commit_all_or_nothing(struct kunit *test)
{
	struct damon_ctx *dst = fake_ctx(test), *src = fake_ctx(test);

	fake_scheme(test, dst, DAMOS_PAGEOUT)->stat.nr_tried = 11;
	fake_scheme(test, src, DAMOS_COLD);
	fake_scheme(test, src, DAMOS_COLD)->pattern.max_sz_region = 0;
	scheme_at(src, 1)->pattern.min_sz_region = 1;
	src->attrs.max_nr_regions = 77;
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, scheme_at(dst, 0)->action, DAMOS_PAGEOUT);
	KUNIT_EXPECT_EQ(test, scheme_at(dst, 0)->stat.nr_tried, 11);
	KUNIT_EXPECT_NULL(test, scheme_at(dst, 1));
	KUNIT_EXPECT_EQ(test, dst->attrs.max_nr_regions, 1000);
	scheme_at(src, 1)->pattern.min_sz_region = 0;
	KUNIT_EXPECT_EQ(test, 0, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, scheme_at(dst, 1)->action, DAMOS_COLD);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(matches_within_bounds),
	KUNIT_CASE(applies_to_what_matches),
	KUNIT_CASE(stat_changes_nothing),
	KUNIT_CASE(filters_cut_regions),
	KUNIT_CASE(no_cuts_between_samples),
	KUNIT_CASE(cuts_keep_the_bound),
	KUNIT_CASE(addr_unit_counts_bytes),
	KUNIT_CASE(apply_intervals),
	KUNIT_CASE(snapshots_have_a_bound),
	KUNIT_CASE(inactive_does_nothing),
	KUNIT_CASE(check_refuses),
	KUNIT_CASE(commit_goes_on),
	KUNIT_CASE(commit_of_other_watermarks),
	KUNIT_CASE(commit_all_or_nothing),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-schemes",
	.test_cases = cases,
};

kunit_test_suite(suite);
