// SPDX-License-Identifier: GPL-2.0
/* Quotas: that they are kept, used, and spent on the right memory; and their goals. */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/psi.h>
#include <linux/sizes.h>

#include "../monitor.h"
#include "../schemes.h"
#include "schemes-fake.h"

#define RESET_MS	1000000UL	/* longer than any of these tests takes */

/* With a first window under way. */
static struct damos *quota_scheme(struct kunit *test, struct damon_ctx *ctx,
				  enum damos_action action, unsigned long pages)
{
	struct damos *s = fake_scheme(test, ctx, action);

	s->quota.sz = pages * PAGE_SIZE;
	s->quota.reset_interval = RESET_MS;
	return s;
}

/* As if so much time had gone by. */
static void pass_ms(struct damos *s, unsigned long ms)
{
	s->quota.window_start -= ms * NSEC_PER_MSEC;
}

static void size_is_kept_exactly(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_STAT, 777);
	unsigned int window, i;

	for (i = 0; i < 100; i++)
		fake_region(test, t, i * 100, i * 100 + 100, 0, 5);
	for (window = 1; window <= 100; window++) {
		for (i = 0; i < 10; i++)
			damos_end_sample(ctx, true);
		KUNIT_ASSERT_EQ(test, s->stat.sz_tried, window * 777 * PAGE_SIZE);
		KUNIT_ASSERT_EQ(test, s->stat.qt_exceeds, window);
		KUNIT_ASSERT_EQ(test, s->quota.esz, 777 * PAGE_SIZE);
		pass_ms(s, RESET_MS);
	}
	/* As many applications later as it takes, and not a window more. */
	damos_end_sample(ctx, true);
	pass_ms(s, RESET_MS * 5 / 2);
	damos_end_sample(ctx, true);
	pass_ms(s, RESET_MS / 2);
	damos_end_sample(ctx, true);
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, 103 * 777 * PAGE_SIZE);
}

/* What did not fit comes first in the next window, also across targets. */
static void windows_go_on(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *one = fake_target(test, ctx), *two = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 25);

	fake_region(test, one, 0, 40, 0, 50);
	fake_region(test, two, 0, 20, 0, 60);
	s->pattern.min_age_region = 1;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-25");
	EXPECT_REGIONS(test, one, "0-25:0 25-40:50");
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "");
	/* The front is old enough again; yet it is not its turn. */
	one->regions[0].age = 1;
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "25-40 0-10");
	EXPECT_REGIONS(test, two, "0-10:0 10-20:60");
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "10-20 0-15");
	EXPECT_REGIONS(test, one, "0-15:0 15-25:1 25-40:0");
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "15-25");
	/* All of it was done: from the front again. */
	one->regions[0].age = 1;
	two->regions[0].age = 1;
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-15 0-10");
	KUNIT_EXPECT_EQ(test, s->stat.qt_exceeds, 4);
}

/* Each page gets its turn as often as the others. */
static void windows_are_fair(struct kunit *test)
{
	static unsigned int turns[1000];
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_WILLNEED, 130);
	unsigned int window, i, least = UINT_MAX, most = 0;

	memset(turns, 0, sizeof(turns));
	for (i = 0; i < 10; i++)
		fake_region(test, t, i * 100, i * 100 + 100, 3, 5);
	for (window = 0; window < 100; window++) {
		damos_end_sample(ctx, true);
		KUNIT_EXPECT_EQ(test, fake_ops.pages_done, 130);
		for (i = 0; i < fake_ops.nr_done; i++) {
			unsigned long page = fake_ops.done[i].start >> PAGE_SHIFT;

			for (; page < fake_ops.done[i].end >> PAGE_SHIFT; page++)
				turns[page]++;
		}
		fake_ops.nr_done = 0;
		fake_ops.pages_done = 0;
		pass_ms(s, RESET_MS);
	}
	for (i = 0; i < ARRAY_SIZE(turns); i++) {
		least = min(least, turns[i]);
		most = max(most, turns[i]);
	}
	KUNIT_EXPECT_EQ(test, least, 13);
	KUNIT_EXPECT_EQ(test, most, 13);
}

/* The oldest of what is not accessed, wherever it is; then as much as fits. */
static void cold_memory_comes_first(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 100);

	s->quota.weight_nr_accesses = 1;
	s->quota.weight_age = 1;
	fake_region(test, t, 0, 50, 0, 10);
	fake_region(test, t, 50, 100, 12, 1000);
	fake_region(test, t, 100, 150, 0, 1000);
	fake_region(test, t, 150, 200, 2, 0);
	fake_region(test, t, 200, 220, 0, 100);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-30 100-150 200-220");
	EXPECT_REGIONS(test, t,
		       "0-30:0 30-50:10 50-100:1000 100-150:0 150-200:0 200-220:0");
	KUNIT_EXPECT_EQ(test, s->stat.qt_exceeds, 1);
	/* What was left of the last priority that got something is first of it now. */
	pass_ms(s, RESET_MS);
	t->regions[0].age = 10;
	s->quota.sz = 20 * PAGE_SIZE;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "30-50");
}

/* What has too low a priority is not where the next window begins. */
static void windows_go_on_by_priority(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 100);

	s->quota.weight_age = 1;
	fake_region(test, t, 0, 50, 0, 10);
	fake_region(test, t, 50, 200, 0, 1000);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "50-150");
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "150-200 0-50");
}

/* Where only what passes filters counts, more is tried, and then what is next. */
static void what_passes_counts(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 100);

	s->quota.weight_age = 1;
	s->quota.charge_passed = true;
	s->pattern.min_age_region = 1;
	fake_ops.vain_pages = 200;
	fake_region(test, t, 0, 200, 0, 1000);
	fake_region(test, t, 200, 250, 0, 100);
	fake_region(test, t, 250, 400, 0, 10);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-100 100-200 200-250 250-300");
	EXPECT_REGIONS(test, t, "0-200:0 200-250:0 250-300:0 300-400:10");
	KUNIT_EXPECT_EQ(test, 1, s->stat.qt_exceeds);
	/* The others' count as it was. */
	pass_ms(s, RESET_MS);
	s->quota.charge_passed = false;
	t->regions[0].age = 1000;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-100");
}

/* Time that went by in vain tells how much can be tried, too. */
static void time_in_vain(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);
	struct damos_quota *quota = &s->quota;
	u64 now = NSEC_PER_SEC;

	quota->ms = 10;
	quota->reset_interval = 1000;
	quota->charge_passed = true;
	damos_quota_begin(ctx, s, now);
	damos_quota_charge(quota, 0, SZ_1M, 0, NSEC_PER_MSEC);
	KUNIT_EXPECT_EQ(test, 0, quota->charged_sz);
	KUNIT_EXPECT_GE(test, damos_quota_slice(quota, 0), SZ_512K);
	damos_quota_charge(quota, 0, 9 * SZ_1M, 0, 9 * NSEC_PER_MSEC);
	KUNIT_EXPECT_TRUE(test, damos_quota_is_full(quota));
	damos_quota_begin(ctx, s, now + NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, 10 * SZ_1M, quota->esz);
	KUNIT_EXPECT_FALSE(test, damos_quota_is_full(quota));
	/* The rest is not worth it. */
	damos_quota_charge(quota, 0, SZ_1M, 10 * SZ_1M, 0);
	damos_quota_charge(quota, 0, 9 * SZ_1M, 9 * SZ_1M - SZ_128K, 0);
	KUNIT_EXPECT_TRUE(test, damos_quota_is_full(quota));
}

static void hot_memory_comes_first(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_LRU_PRIO, 100);

	s->quota.weight_nr_accesses = 10;
	s->quota.weight_age = 1;
	fake_region(test, t, 0, 50, 0, 1000);
	fake_region(test, t, 50, 100, 18, 3);
	fake_region(test, t, 100, 150, 18, 1000);
	fake_region(test, t, 150, 200, 20, 0);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "100-150 150-200");
}

/* What filters keep out takes nothing from the rest. */
static void priorities_within_filters(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 100);

	s->quota.weight_age = 1;
	fake_region(test, t, 0, 1000, 0, 1000);
	fake_region(test, t, 1000, 1070, 0, 100);
	fake_region(test, t, 1070, 1200, 0, 10);
	fake_filter(test, s, 10, 1000, true, false);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-10 1000-1070 1070-1090");
}

/* Nor does a target that is kept out. */
static void priorities_within_targets(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 100);
	struct damos_filter *f = damos_new_filter(DAMOS_FILTER_TYPE_TARGET, true, false);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->target_idx = 1;
	damos_add_filter(s, f);
	s->quota.weight_age = 1;
	fake_region(test, fake_target(test, ctx), 0, 70, 0, 100);
	fake_region(test, fake_target(test, ctx), 100, 1100, 0, 1000);
	fake_region(test, fake_target(test, ctx), 1200, 1330, 0, 10);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-70 1200-1230");
}

static void scores_follow_weights(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);
	struct damon_region r = { .ar.end = PAGE_SIZE };
	unsigned int last, age;

	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), 0);
	s->quota.weight_sz = UINT_MAX;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), 0);
	r.ar.end = 1UL << 31 << PAGE_SHIFT;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), DAMOS_MAX_SCORE);
	s->quota.weight_sz = 0;
	s->quota.weight_nr_accesses = UINT_MAX;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), DAMOS_MAX_SCORE);
	r.nr_accesses = 20;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), 0);
	s->action = DAMOS_HUGEPAGE;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), DAMOS_MAX_SCORE);
	/* More than there can be: intervals have just changed. */
	r.nr_accesses = UINT_MAX;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), DAMOS_MAX_SCORE);

	s->quota.weight_nr_accesses = 0;
	s->quota.weight_age = 1;
	for (age = 0, last = 0; age < 1 << 19; age = age * 2 + 1) {
		unsigned int score;

		r.age = age;
		score = damos_score(ctx, &r, s);
		KUNIT_EXPECT_GT(test, score, last);
		last = score;
	}
	r.nr_accesses = 0;
	r.age = UINT_MAX;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), 0);
	s->action = DAMOS_COLD;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), DAMOS_MAX_SCORE);
	s->quota.weight_nr_accesses = UINT_MAX;
	s->quota.weight_age = UINT_MAX;
	KUNIT_EXPECT_EQ(test, damos_score(ctx, &r, s), DAMOS_MAX_SCORE);
}

/* Less than a page is nothing; no interval means that each application is one. */
static void odd_quotas(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_COLD, 0);

	fake_region(test, fake_target(test, ctx), 0, 100, 0, 5);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-100");
	KUNIT_EXPECT_EQ(test, s->quota.esz, 0);

	s->quota.sz = PAGE_SIZE - 1;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "");
	pass_ms(s, RESET_MS);
	s->quota.sz = 2 * PAGE_SIZE - 1;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-1");

	s->quota.reset_interval = 0;
	s->quota.sz = 60 * PAGE_SIZE;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "1-61");
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "61-100 0-1 1-21");

	s->quota.reset_interval = ULONG_MAX;
	s->quota.ms = ULONG_MAX;
	s->quota.sz = ULONG_MAX;
	s->quota.started = false;
	damos_end_sample(ctx, true);
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, (100 + 1 + 60 + 60 + 100) * PAGE_SIZE);
}

/* What a page costs in the @i-th slice of all, in ns. */
typedef u64 (*cost_fn)(unsigned int window, unsigned int i);

static u64 steady(unsigned int window, unsigned int i)
{
	return 5000;
}

/* It goes up and down by up to half, as if by chance. */
static u64 noisy(unsigned int window, unsigned int i)
{
	return 2500 + (i * 2654435761U >> 20) * 5000 / 4096;
}

/* Swap gets ten times slower, and fast again. */
static u64 jumping(unsigned int window, unsigned int i)
{
	return i / 100 % 2 ? 50000 : 5000;
}

/* Twenty times slower, in each twentieth window. */
static u64 stumbling(unsigned int window, unsigned int i)
{
	return window % 20 == 19 ? 100000 : 5000;
}

static void time_is_kept(struct kunit *test, cost_fn cost, unsigned int least_percent)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);
	struct damos_quota *quota = &s->quota;
	const u64 bound = 10 * NSEC_PER_MSEC;
	unsigned int window, slices = 0;
	u64 now = NSEC_PER_SEC, all = 0;

	quota->ms = 10;
	quota->reset_interval = 1000;
	for (window = 0; window < 200; window++) {
		u64 spent = 0;

		damos_quota_begin(ctx, s, now);
		while (!damos_quota_is_full(quota)) {
			unsigned long sz = damos_quota_slice(quota, 0);
			u64 ns = (sz >> PAGE_SHIFT) * cost(window, slices++);

			KUNIT_ASSERT_GE(test, sz, PAGE_SIZE);
			damos_quota_charge(quota, 0, sz, sz, ns);
			spent += ns;
		}
		KUNIT_EXPECT_LE_MSG(test, spent, bound * 11 / 10, "window %u", window);
		if (window)
			all += spent;
		now += NSEC_PER_SEC;
	}
	KUNIT_EXPECT_GE(test, all * 100 / (199 * bound), least_percent);
	KUNIT_EXPECT_LT(test, slices, 200 * 80);
}

static void time_is_kept_steady(struct kunit *test)
{
	time_is_kept(test, steady, 95);
}

static void time_is_kept_noisy(struct kunit *test)
{
	time_is_kept(test, noisy, 90);
}

static void time_is_kept_jumping(struct kunit *test)
{
	time_is_kept(test, jumping, 60);
}

static void time_is_kept_stumbling(struct kunit *test)
{
	time_is_kept(test, stumbling, 80);
}

/* The same by the clock, on one huge region. */
static void time_is_measured(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_STAT);
	unsigned int window;

	kunit_activate_static_stub(test, damon_clock, fake_ops_clock);
	fake_ops.clock = ns_to_ktime(NSEC_PER_SEC);
	s->action = DAMOS_WILLNEED;
	fake_region(test, fake_target(test, ctx), 0, 1UL << 30, 3, 5);
	fake_ops.ns_per_page = 20000;
	s->quota.ms = 20;
	s->quota.reset_interval = RESET_MS;
	for (window = 0; window < 9; window++) {
		u64 ns;

		fake_ops.pages_done = 0;
		damos_end_sample(ctx, true);
		ns = fake_ops.pages_done * fake_ops.ns_per_page;
		KUNIT_EXPECT_LE(test, ns, 22 * NSEC_PER_MSEC);
		KUNIT_EXPECT_LE(test, s->quota.charged_ns, 22 * NSEC_PER_MSEC);
		KUNIT_EXPECT_GE(test, ns, 2 * NSEC_PER_MSEC);
		KUNIT_EXPECT_EQ(test, s->stat.qt_exceeds, window + 1);
		pass_ms(s, RESET_MS);
	}
}

/* A window is used by as many applications as fit, though they come unevenly. */
static void windows_meet_applications(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_STAT);
	unsigned int i, begun = 0;

	s->quota.sz = SZ_1M;
	s->quota.reset_interval = 100;
	for (i = 0; i < 1000; i++) {
		u64 jitter = ((i + 1) * 2654435761U >> 22) * NSEC_PER_MSEC / 32;

		begun += damos_quota_begin(ctx, s, NSEC_PER_SEC + i * 100 * NSEC_PER_MSEC + jitter);
	}
	KUNIT_EXPECT_EQ(test, begun, 1000);
}

/* Of all that is asked for, the least; and what users change holds at once. */
static void effective_size(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test), *src = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = quota_scheme(test, ctx, DAMOS_PAGEOUT, 50), *new;

	fake_region(test, t, 0, 100, 0, 5);
	fake_region(test, fake_target(test, src), 0, 100, 0, 5);
	s->quota.ms = 1;
	s->quota.total_charged_sz = 40 * PAGE_SIZE;
	s->quota.total_charged_ns = 2 * NSEC_PER_MSEC;
	damos_quota_begin(ctx, s, NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, s->quota.esz, 20 * PAGE_SIZE);
	s->quota.ms = 0;
	s->quota.started = false;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-50");

	new = quota_scheme(test, src, DAMOS_PAGEOUT, 60);
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(ctx, src));
	KUNIT_EXPECT_EQ(test, new->quota.esz, 60 * PAGE_SIZE);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "50-60");
	KUNIT_EXPECT_EQ(test, new->stat.sz_tried, 60 * PAGE_SIZE);

	quota_scheme(test, src, DAMOS_PAGEOUT, 30);
	damon_destroy_scheme(list_first_entry(&src->schemes, struct damos, list));
	new = list_first_entry(&src->schemes, struct damos, list);
	fake_region(test, fake_target(test, src), 0, 100, 0, 5);
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(ctx, src));
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "");
	pass_ms(new, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "60-90");
}

/* Each page that is done makes one of the goal's value: how many for 500? */
static void goal_is_reached(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_WILLNEED, 0);
	struct damos_quota_goal *goal = fake_goal(test, s, 500);
	unsigned int window;

	fake_region(test, fake_target(test, ctx), 0, 1000000, 3, 5);
	for (window = 0; window < 40; window++) {
		fake_ops.pages_done = 0;
		damos_end_sample(ctx, true);
		goal->current_value = fake_ops.pages_done;
		if (window == 20)
			goal->target_value = 50;
		if (window >= 15 && window < 20)
			KUNIT_EXPECT_LE(test, abs_diff(fake_ops.pages_done, 500UL), 50);
		if (window >= 35)
			KUNIT_EXPECT_LE(test, abs_diff(fake_ops.pages_done, 50UL), 5);
		pass_ms(s, RESET_MS);
	}
}

/* Up while too little is reached, down while it is too much, and never to nothing. */
static void goal_moves_quota(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos_quota_goal *goal = fake_goal(test, s, 10000), *second;
	unsigned long last;
	unsigned int i;

	damos_quota_begin(ctx, s, 0);
	last = s->quota.esz;
	KUNIT_EXPECT_GT(test, last, 0);
	for (i = 0; i < 100; i++) {
		s->quota.started = false;
		damos_quota_begin(ctx, s, 0);
		KUNIT_EXPECT_GE(test, s->quota.esz, last);
		if (i < 30)
			KUNIT_EXPECT_EQ(test, s->quota.esz, last * 2);
		last = s->quota.esz;
	}
	goal->current_value = 10000;
	s->quota.started = false;
	damos_quota_begin(ctx, s, 0);
	KUNIT_EXPECT_EQ(test, s->quota.esz, last);

	/* The highest score is what counts. */
	second = fake_goal(test, s, 100);
	second->current_value = 120;
	goal->current_value = 0;
	s->quota.esz_by_goals = SZ_1G;
	s->quota.started = false;
	damos_quota_begin(ctx, s, 0);
	KUNIT_EXPECT_EQ(test, s->quota.esz, SZ_1G - mult_frac(SZ_1G, 2, 10));
	goal->current_value = 12000;
	second->current_value = 0;
	s->quota.esz_by_goals = SZ_1G;
	s->quota.started = false;
	damos_quota_begin(ctx, s, 0);
	KUNIT_EXPECT_EQ(test, s->quota.esz, SZ_1G - mult_frac(SZ_1G, 2, 10));
	goal->current_value = 0;
	second->current_value = ULONG_MAX;
	for (i = 0; i < 100; i++) {
		s->quota.started = false;
		last = s->quota.esz;
		damos_quota_begin(ctx, s, 0);
		KUNIT_EXPECT_LE(test, s->quota.esz, last);
	}
	KUNIT_EXPECT_LT(test, s->quota.esz, SZ_1M);
	KUNIT_EXPECT_GE(test, s->quota.esz, PAGE_SIZE);

	/* What was allowed for long, but not there to be used, is not allowed for long. */
	second->current_value = 110;
	s->quota.started = true;
	s->quota.esz_by_goals = SZ_1G;
	s->quota.charged_sz = SZ_1M;
	s->quota.reset_interval = 0;
	damos_quota_begin(ctx, s, 0);
	KUNIT_EXPECT_EQ(test, s->quota.esz, SZ_1M - mult_frac(SZ_1M, 1, 10));

	/* Never more than the size that was asked for. */
	second->current_value = 0;
	s->quota.sz = SZ_1M;
	for (i = 0; i < 10; i++)
		damos_quota_begin(ctx, s, 0);
	KUNIT_EXPECT_EQ(test, s->quota.esz_by_goals, SZ_1M);
}

static void goal_of_the_moment(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_WILLNEED, 40);
	struct damos_quota_goal *goal = fake_goal(test, s, 10);

	s->quota.goal_tuner = DAMOS_QUOTA_GOAL_TUNER_TEMPORAL;
	fake_region(test, fake_target(test, ctx), 0, 100, 3, 5);
	goal->current_value = 9;
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "0-40");
	goal->current_value = 10;
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "");
	KUNIT_EXPECT_EQ(test, s->quota.esz, 0);
	goal->current_value = 0;
	s->quota.sz = 0;
	pass_ms(s, RESET_MS);
	damos_end_sample(ctx, true);
	EXPECT_DONE(test, "40-100 0-40");
}

/* Memory of a node, as it is at the moment. */
static void goal_of_a_node(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos_quota_goal *free = fake_goal(test, s, 100);
	struct damos_quota_goal *used = fake_goal(test, s, 100);

	free->metric = DAMOS_QUOTA_NODE_MEM_FREE_BP;
	free->nid = first_memory_node;
	used->metric = DAMOS_QUOTA_NODE_MEM_USED_BP;
	used->nid = first_memory_node;
	damos_tune_esz(&s->quota);
	KUNIT_EXPECT_GT(test, free->current_value, 0);
	KUNIT_EXPECT_GT(test, used->current_value, 0);
	KUNIT_EXPECT_LE(test, abs_diff(free->current_value + used->current_value, 10000UL),
			100);
}

#ifdef CONFIG_PSI
/* What tasks have waited since the last window, not since boot. */
static void goal_of_pressure(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos_quota_goal *goal = fake_goal(test, s, 1000);

	goal->metric = DAMOS_QUOTA_SOME_MEM_PSI_US;
	KUNIT_ASSERT_EQ(test, 0, damos_check(ctx));
	psi_system.total[PSI_AVGS][PSI_MEM_SOME] += NSEC_PER_SEC;
	damos_tune_esz(&s->quota);
	KUNIT_EXPECT_EQ(test, goal->current_value, 0);
	psi_system.total[PSI_AVGS][PSI_MEM_SOME] += 500 * NSEC_PER_USEC;
	damos_tune_esz(&s->quota);
	KUNIT_EXPECT_EQ(test, goal->current_value, 500);
	damos_tune_esz(&s->quota);
	KUNIT_EXPECT_EQ(test, goal->current_value, 0);
}

/* The kernel adds up what tasks have waited every two seconds; windows are shorter. */
static void pressure_of_short_windows(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos_quota_goal *goal = fake_goal(test, s, 1000);
	unsigned int i;

	goal->metric = DAMOS_QUOTA_SOME_MEM_PSI_US;
	damos_tune_esz(&s->quota);
	for (i = 0; i < 3; i++) {
		unsigned long flags;

		psi_memstall_enter(&flags);
		msleep(60);
		psi_memstall_leave(&flags);
		damos_tune_esz(&s->quota);
		KUNIT_EXPECT_GT(test, goal->current_value, 0);
	}
}

/* What is right for a window is so for a part of a longer time. */
static void pressure_of_late_windows(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos_quota_goal *goal = fake_goal(test, s, 1000);

	goal->metric = DAMOS_QUOTA_SOME_MEM_PSI_US;
	damos_tune_esz(&s->quota);
	psi_system.total[PSI_AVGS][PSI_MEM_SOME] += 10 * NSEC_PER_SEC;
	goal->last_psi_at -= 100ULL * RESET_MS * NSEC_PER_MSEC;
	damos_tune_esz(&s->quota);
	KUNIT_EXPECT_GT(test, goal->current_value, 0);
	KUNIT_EXPECT_LE(test, goal->current_value, USEC_PER_SEC / 10);
}
#else
static void goal_of_pressure(struct kunit *test)
{
	kunit_skip(test, "without pressure stall information");
}

static void pressure_of_short_windows(struct kunit *test)
{
	kunit_skip(test, "without pressure stall information");
}

static void pressure_of_late_windows(struct kunit *test)
{
	kunit_skip(test, "without pressure stall information");
}
#endif

/* Alike, they go on with what they have learnt; others begin anew. */
static void goals_are_kept(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *old = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos *new = quota_scheme(test, ctx, DAMOS_STAT, 0);
	struct damos_quota_goal *goal;

	fake_goal(test, old, 100)->last_psi_total = 7;
	goal = fake_goal(test, new, 200);
	old->quota.started = true;
	old->quota.esz_by_goals = SZ_1M;
	KUNIT_EXPECT_EQ(test, 0, damos_commit_quota_goals(&old->quota, &new->quota));
	KUNIT_EXPECT_EQ(test, old->quota.esz_by_goals, SZ_1M);
	KUNIT_EXPECT_EQ(test, old->quota.esz, SZ_1M);
	KUNIT_EXPECT_PTR_EQ(test, goal, list_first_entry(&old->quota.goals,
							 struct damos_quota_goal, list));
	KUNIT_EXPECT_EQ(test, goal->target_value, 200);
	KUNIT_EXPECT_EQ(test, goal->last_psi_total, 7);

	fake_goal(test, new, 0);
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_commit_quota_goals(&old->quota, &new->quota));
	KUNIT_EXPECT_EQ(test, goal->target_value, 200);
	list_last_entry(&new->quota.goals, struct damos_quota_goal, list)->target_value = 1;
	KUNIT_EXPECT_EQ(test, 0, damos_commit_quota_goals(&old->quota, &new->quota));
	KUNIT_EXPECT_LT(test, old->quota.esz_by_goals, SZ_1M);
	KUNIT_EXPECT_GT(test, old->quota.esz_by_goals, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(size_is_kept_exactly),
	KUNIT_CASE(windows_go_on),
	KUNIT_CASE(windows_are_fair),
	KUNIT_CASE(cold_memory_comes_first),
	KUNIT_CASE(windows_go_on_by_priority),
	KUNIT_CASE(what_passes_counts),
	KUNIT_CASE(time_in_vain),
	KUNIT_CASE(hot_memory_comes_first),
	KUNIT_CASE(priorities_within_filters),
	KUNIT_CASE(priorities_within_targets),
	KUNIT_CASE(scores_follow_weights),
	KUNIT_CASE(odd_quotas),
	KUNIT_CASE(time_is_kept_steady),
	KUNIT_CASE(time_is_kept_noisy),
	KUNIT_CASE(time_is_kept_jumping),
	KUNIT_CASE(time_is_kept_stumbling),
	KUNIT_CASE(time_is_measured),
	KUNIT_CASE(windows_meet_applications),
	KUNIT_CASE(effective_size),
	KUNIT_CASE(goal_is_reached),
	KUNIT_CASE(goal_moves_quota),
	KUNIT_CASE(goal_of_the_moment),
	KUNIT_CASE(goal_of_a_node),
	KUNIT_CASE(goal_of_pressure),
	KUNIT_CASE(pressure_of_short_windows),
	KUNIT_CASE(pressure_of_late_windows),
	KUNIT_CASE(goals_are_kept),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-quota",
	.test_cases = cases,
};

kunit_test_suite(suite);
