// SPDX-License-Identifier: GPL-2.0
/* Schemes of a kdamond: who walks them, and when watermarks have it pause. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "../schemes.h"
#include "schemes-fake.h"

#define PAGES	1000UL

static atomic_t nr_samples;

static bool count_sample(struct damon_ctx *ctx, struct damon_target *t,
			 struct damon_probes *done, struct damon_probes *next)
{
	unsigned int i;

	for (i = 0; i < done->nr; i++)
		done->probe[i].state = DAMON_PROBE_IDLE;
	atomic_inc(&nr_samples);
	return true;
}

/* Memory that is never accessed; samples of a millisecond. */
static struct damon_ctx *walk_ctx(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_attrs attrs = ctx->attrs;

	atomic_set(&nr_samples, 0);
	ctx->ops.sample = count_sample;
	attrs.sample_interval = 1000;
	attrs.aggr_interval = 10000;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	fake_region(test, fake_target(test, ctx), 0, PAGES, 0, 0);
	return ctx;
}

/* Until there are so many more samples; false if there are not. */
static bool wait_for_samples(int nr)
{
	unsigned long until = jiffies + 10 * HZ;

	nr += atomic_read(&nr_samples);
	while (atomic_read(&nr_samples) < nr) {
		if (time_after(jiffies, until))
			return false;
		msleep(20);
	}
	return true;
}

/* Whether it takes fewer than so many samples in a third of a second. */
static bool rests(int nr)
{
	nr += atomic_read(&nr_samples);
	msleep(333);
	return atomic_read(&nr_samples) < nr;
}

struct seen {
	unsigned long sz[2];	/* by action: of cold, and of all others */
	unsigned long sz_passed;
	bool unsound;
};

static void note(void *data, struct damon_ctx *ctx, struct damon_target *t,
		 struct damon_region *r, struct damos *s, unsigned long sz_passed)
{
	struct seen *seen = data;

	seen->sz[s->action != DAMOS_COLD] += damon_sz_region(r);
	seen->sz_passed += sz_passed;
	if (r->ar.end > PAGES * PAGE_SIZE || r->ar.start >= r->ar.end)
		seen->unsound = true;
}

/* All that each scheme is tried on, once; also what it is not tried on often. */
static void walk_sees_all_once(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct seen seen = {};
	struct damos_walk_control walk = { .walk_fn = note, .data = &seen };
	struct damos *s;

	fake_scheme(test, ctx, DAMOS_COLD);
	s = fake_scheme(test, ctx, DAMOS_STAT);
	s->apply_interval_us = 50000;
	fake_filter(test, s, 100, 300, true, false);
	s = fake_scheme(test, ctx, DAMOS_PAGEOUT);
	s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE;
	s->wmarks.low = ULONG_MAX;
	s->wmarks.mid = ULONG_MAX;
	s->wmarks.high = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_walk(ctx, &walk));
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_EQ(test, 0, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, seen.sz[0], PAGES * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, seen.sz[1], (PAGES - 200) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, seen.sz_passed, (2 * PAGES - 200) * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, seen.unsound);
	KUNIT_ASSERT_EQ(test, 0, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, seen.sz[0], 2 * PAGES * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, damos_walk(ctx, &walk));
}

static void walk_without_schemes(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct seen seen = {};
	struct damos_walk_control walk = { .walk_fn = note, .data = &seen };

	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_EXPECT_EQ(test, 0, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, seen.sz_passed, 0);
}

/* Of the others that are done with, none is waited for. */
static void walk_past_the_last_snapshot(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct seen seen = {};
	struct damos_walk_control walk = { .walk_fn = note, .data = &seen };
	struct damos *s = fake_scheme(test, ctx, DAMOS_COLD);

	s->max_nr_snapshots = 1;
	s->stat.nr_snapshots = 1;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_EXPECT_EQ(test, 0, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, seen.sz_passed, 0);
}

/* Somebody else who walks, on a thread of its own. */
struct walker {
	struct damon_ctx *ctx;
	struct damos_walk_control walk;
	struct seen seen;
	struct completion done;
	int err;
};

static int walk_fn(void *data)
{
	struct walker *walker = data;

	walker->err = damos_walk(walker->ctx, &walker->walk);
	complete(&walker->done);
	return 0;
}

static void start_walker(struct kunit *test, struct walker *walker, struct damon_ctx *ctx)
{
	unsigned long until = jiffies + 10 * HZ;
	struct task_struct *task;

	walker->ctx = ctx;
	walker->walk.walk_fn = note;
	walker->walk.data = &walker->seen;
	init_completion(&walker->done);
	task = kthread_run(walk_fn, walker, "damos_walker");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (!READ_ONCE(ctx->walk) && time_before(jiffies, until))
		msleep(20);
	KUNIT_ASSERT_NOT_NULL(test, READ_ONCE(ctx->walk));
}

/* One at a time; and who waits for what never comes is told. */
static void walk_ends_with_kdamond(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct damos_walk_control walk = { .walk_fn = note };
	struct walker *walker = kunit_kzalloc(test, sizeof(*walker), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, walker);
	fake_scheme(test, ctx, DAMOS_COLD)->apply_interval_us = 3600UL * USEC_PER_SEC;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	start_walker(test, walker, ctx);
	KUNIT_ASSERT_TRUE(test, wait_for_samples(30));
	KUNIT_EXPECT_EQ(test, -EBUSY, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&walker->done, 10 * HZ));
	KUNIT_EXPECT_EQ(test, walker->err, -ECANCELED);
	KUNIT_EXPECT_EQ(test, walker->seen.sz_passed, 0);
}

/* Who does not want to wait any longer leaves nothing behind. */
static void walk_is_interrupted(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct seen seen = {};
	struct damos_walk_control walk = { .walk_fn = note, .data = &seen };
	int err;

	fake_scheme(test, ctx, DAMOS_COLD)->apply_interval_us = 3600UL * USEC_PER_SEC;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	allow_signal(SIGTERM);
	send_sig(SIGTERM, current, 1);
	err = damos_walk(ctx, &walk);
	flush_signals(current);
	disallow_signal(SIGTERM);
	KUNIT_EXPECT_EQ(test, err, -ERESTARTSYS);
	KUNIT_EXPECT_NULL(test, READ_ONCE(ctx->walk));
	KUNIT_EXPECT_TRUE(test, wait_for_samples(30));
	KUNIT_EXPECT_EQ(test, seen.sz_passed, 0);
}

static void watermarks_decide(struct kunit *test)
{
	static const struct {
		unsigned long value;
		bool from_inactive;
		bool from_active;
	} cases[] = {
		{ 1000, false, false },
		{ 501, false, false },
		{ 500, false, true },
		{ 401, false, true },
		{ 400, false, true },
		{ 399, true, true },
		{ 200, true, true },
		{ 199, false, false },
		{ 0, false, false },
	};
	struct damos_watermarks wmarks = { .high = 500, .mid = 400, .low = 200 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		wmarks.activated = false;
		KUNIT_EXPECT_EQ_MSG(test, cases[i].from_inactive,
				    damos_wmarks_decide(&wmarks, cases[i].value),
				    "case %u", i);
		wmarks.activated = true;
		KUNIT_EXPECT_EQ_MSG(test, cases[i].from_active,
				    damos_wmarks_decide(&wmarks, cases[i].value),
				    "case %u", i);
	}
}

/* How much is free is more than nothing, and less than all. */
static void set_wmarks(struct damos *s, unsigned long interval, bool active)
{
	s->wmarks.metric = DAMOS_WMARK_FREE_MEM_RATE;
	s->wmarks.interval = interval;
	s->wmarks.high = active ? 1000 : 0;
	s->wmarks.mid = s->wmarks.high;
	s->wmarks.low = 0;
}

/* For how long there is nothing to do: until the first of them looks again. */
static void idle_until_the_next_look(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *one, *two;
	const u64 now = 77 * NSEC_PER_SEC;

	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now), 0);
	one = fake_scheme(test, ctx, DAMOS_COLD);
	two = fake_scheme(test, ctx, DAMOS_COLD);
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now), 0);
	set_wmarks(one, 5000000, false);
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now), 0);
	KUNIT_EXPECT_FALSE(test, one->wmarks.activated);
	set_wmarks(two, 3000000, false);
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now), 3 * NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now + NSEC_PER_SEC), 2 * NSEC_PER_SEC);

	/* Not looked at before its time. */
	set_wmarks(one, 5000000, true);
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now + 3 * NSEC_PER_SEC), 2 * NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now + 5 * NSEC_PER_SEC), 0);
	KUNIT_EXPECT_TRUE(test, one->wmarks.activated);

	/* Neither all the time nor never. */
	set_wmarks(one, 0, false);
	one->wmarks.next_look = 0;
	KUNIT_EXPECT_EQ(test, damos_idle_ns(ctx, now + 5 * NSEC_PER_SEC), NSEC_PER_MSEC);
	set_wmarks(one, ULONG_MAX, false);
	one->wmarks.next_look = 0;
	two->wmarks.next_look = U64_MAX;
	KUNIT_EXPECT_GT(test, damos_idle_ns(ctx, now), NSEC_PER_SEC);
}

static int activate(void *data)
{
	struct damon_ctx *ctx = data;
	struct damos *s;

	damon_for_each_scheme(s, ctx) {
		set_wmarks(s, 20000, true);
		s->wmarks.next_look = 0;
	}
	return 42;
}

/* It rests while no scheme is active, and still does as it is told. */
static void kdamond_pauses(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct seen seen = {};
	struct damos_walk_control walk = { .walk_fn = note, .data = &seen };
	struct damon_call_control call = { .fn = activate, .data = ctx };
	struct damos *s = fake_scheme(test, ctx, DAMOS_COLD);

	set_wmarks(s, 200000, false);
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	msleep(100);
	/* It looks once or twice; samples would be one a tick at least. */
	KUNIT_EXPECT_TRUE(test, rests(10));
	KUNIT_EXPECT_EQ(test, -ECANCELED, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, fake_ops.nr_done, 0);

	KUNIT_ASSERT_EQ(test, 0, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, call.return_code, 42);
	KUNIT_ASSERT_TRUE(test, wait_for_samples(50));
	KUNIT_EXPECT_FALSE(test, rests(10));
	KUNIT_EXPECT_EQ(test, 0, damos_walk(ctx, &walk));
	KUNIT_EXPECT_EQ(test, seen.sz[0], PAGES * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_GT(test, fake_ops.nr_done, 0);
}

/* At once, however long it would rest. */
static void kdamond_ends_while_paused(struct kunit *test)
{
	struct damon_ctx *ctx = walk_ctx(test);
	struct damos *s = fake_scheme(test, ctx, DAMOS_COLD);
	unsigned long begin;

	set_wmarks(s, 3600UL * USEC_PER_SEC, false);
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	msleep(100);
	KUNIT_EXPECT_TRUE(test, rests(2));
	begin = jiffies;
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_LT(test, jiffies - begin, 5 * HZ);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(walk_sees_all_once),
	KUNIT_CASE(walk_without_schemes),
	KUNIT_CASE(walk_past_the_last_snapshot),
	KUNIT_CASE(walk_ends_with_kdamond),
	KUNIT_CASE(walk_is_interrupted),
	KUNIT_CASE(watermarks_decide),
	KUNIT_CASE(idle_until_the_next_look),
	KUNIT_CASE(kdamond_pauses),
	KUNIT_CASE(kdamond_ends_while_paused),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-walk",
	.test_cases = cases,
};

kunit_test_suite(suite);
