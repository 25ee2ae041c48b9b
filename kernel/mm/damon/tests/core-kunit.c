// SPDX-License-Identifier: GPL-2.0
/* Contexts: their attributes, what a commit keeps, and a kdamond at work. */

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/damon.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sizes.h>

#include "../targets.h"

static void free_ctx(void *ctx)
{
	damon_stop((struct damon_ctx **)&ctx, 1);
	damon_destroy_ctx(ctx);
}

static bool no_sample(struct damon_ctx *ctx, struct damon_target *t,
		      struct damon_probes *done, struct damon_probes *next)
{
	return false;
}

static struct damon_ctx *new_ctx(struct kunit *test)
{
	struct damon_ctx *ctx = damon_new_ctx();

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_ctx, ctx));
	/* There need not be any that are registered. */
	ctx->ops.id = DAMON_OPS_FVADDR;
	ctx->ops.sample = no_sample;
	return ctx;
}

/* With a region for each range, all of the same rate; of a process, or of none. */
static struct damon_target *add_target(struct kunit *test, struct damon_ctx *ctx,
				       struct pid *pid, unsigned long start,
				       unsigned long end, unsigned int rate)
{
	const struct damon_addr_range range = { start << PAGE_SHIFT, end << PAGE_SHIFT };
	struct damon_target *t = damon_new_target();

	KUNIT_ASSERT_NOT_NULL(test, t);
	damon_add_target(ctx, t);
	t->pid = get_pid(pid);
	if (start == end)
		return t;
	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, &range, 1));
	t->regions[0].nr_accesses = rate;
	t->regions[0].last_nr_accesses = rate;
	t->regions[0].age = 10;
	return t;
}

static struct damon_target *target_at(struct damon_ctx *ctx, unsigned int at)
{
	struct damon_target *t;

	damon_for_each_target(t, ctx) {
		if (!at--)
			return t;
	}
	return NULL;
}

static void expect_region(struct kunit *test, const struct damon_region *r,
			  unsigned long start_page, unsigned long end_page,
			  unsigned int rate, unsigned int age, int line)
{
	KUNIT_EXPECT_EQ_MSG(test, r->ar.start >> PAGE_SHIFT, start_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->ar.end >> PAGE_SHIFT, end_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->nr_accesses, rate, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->age, age, "line %d", line);
}

#define EXPECT_REGION(...)	expect_region(__VA_ARGS__, __LINE__)

static void set_attrs_refuses(struct kunit *test)
{
	static const struct damon_attrs sound = {
		.sample_interval = 1000,
		.aggr_interval = 20000,
		.ops_update_interval = 1000000,
		.min_nr_regions = 10,
		.max_nr_regions = 100,
		.intervals_goal = {
			.access_bp = 400,
			.aggrs = 3,
			.min_sample_us = 500,
			.max_sample_us = 2000,
		},
	};
	/* A field, and what it cannot be while the others are as above. */
	static const struct {
		size_t at;
		unsigned long value;
	} unsound[] = {
		{ offsetof(struct damon_attrs, min_nr_regions), 0 },
		{ offsetof(struct damon_attrs, min_nr_regions), DAMON_LEAST_NR_REGIONS - 1 },
		{ offsetof(struct damon_attrs, min_nr_regions), 101 },
		{ offsetof(struct damon_attrs, max_nr_regions), 9 },
		{ offsetof(struct damon_attrs, max_nr_regions), 0 },
		{ offsetof(struct damon_attrs, max_nr_regions), 1UL + INT_MAX },
		{ offsetof(struct damon_attrs, sample_interval), 20001 },
		{ offsetof(struct damon_attrs, aggr_interval), 999 },
		{ offsetof(struct damon_attrs, aggr_interval), ULONG_MAX },
		{ offsetof(struct damon_attrs, intervals_goal.aggrs), 0 },
		{ offsetof(struct damon_attrs, intervals_goal.min_sample_us), 0 },
		{ offsetof(struct damon_attrs, intervals_goal.min_sample_us), 1001 },
		{ offsetof(struct damon_attrs, intervals_goal.min_sample_us), 2001 },
		{ offsetof(struct damon_attrs, intervals_goal.max_sample_us), 999 },
		{ offsetof(struct damon_attrs, intervals_goal.max_sample_us), ULONG_MAX },
	};
	struct damon_ctx *ctx = new_ctx(test);
	struct damon_target *t = add_target(test, ctx, NULL, 0, 10, 13);
	struct damon_attrs attrs = sound, before;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	before = ctx->attrs;
	t->regions[0].nr_accesses = 13;
	for (i = 0; i < ARRAY_SIZE(unsound); i++) {
		attrs = sound;
		*(unsigned long *)((void *)&attrs + unsound[i].at) = unsound[i].value;
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL, damon_set_attrs(ctx, &attrs),
				    "%lu at %zu", unsound[i].value, unsound[i].at);
	}
	KUNIT_EXPECT_MEMEQ(test, &ctx->attrs, &before, sizeof(before));
	KUNIT_EXPECT_EQ(test, t->regions[0].nr_accesses, 13);

	/* The goal does not count while there is none. */
	attrs = sound;
	attrs.intervals_goal = (struct damon_intervals_goal){};
	KUNIT_EXPECT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	attrs.sample_interval = 0;
	attrs.aggr_interval = 0;
	attrs.min_nr_regions = 3;
	attrs.max_nr_regions = 3;
	KUNIT_EXPECT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	KUNIT_EXPECT_EQ(test, damon_max_nr_accesses(&attrs), 1);
}

/* Rates are in samples of an aggregation interval, ages in those. */
static void set_attrs_rescales(struct kunit *test)
{
	struct damon_ctx *ctx = new_ctx(test);
	struct damon_attrs attrs = ctx->attrs;
	struct damon_target *t = add_target(test, ctx, NULL, 0, 10, 16);
	struct damon_region *r = &t->regions[0];

	KUNIT_ASSERT_EQ(test, damon_max_nr_accesses(&attrs), 20);
	r->last_nr_accesses = 8;
	attrs.sample_interval = 1000;
	attrs.aggr_interval = 50000;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	EXPECT_REGION(test, r, 0, 10, 40, 20);
	KUNIT_EXPECT_EQ(test, r->last_nr_accesses, 20);

	attrs.sample_interval = 100000;
	attrs.aggr_interval = 500000;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	EXPECT_REGION(test, r, 0, 10, 4, 2);
	KUNIT_EXPECT_EQ(test, r->last_nr_accesses, 2);

	/* Only what an interval is made of: nothing is known to have changed. */
	attrs.sample_interval = 10000;
	attrs.aggr_interval = 50000;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	EXPECT_REGION(test, r, 0, 10, 4, 20);

	/* The largest numbers. */
	r->nr_accesses = 5;
	r->age = UINT_MAX;
	attrs.sample_interval = 1;
	attrs.aggr_interval = UINT_MAX;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	KUNIT_EXPECT_EQ(test, r->nr_accesses, UINT_MAX);
	attrs.sample_interval = 5;
	attrs.aggr_interval = 5;
	r->age = UINT_MAX;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	EXPECT_REGION(test, r, 0, 10, 1, UINT_MAX);
}

/* Each for its own: of the old regions, what the new ones cover. */
static void commit_keeps_regions(struct kunit *test)
{
	struct damon_ctx *dst = new_ctx(test), *src = new_ctx(test);
	struct pid *one = get_task_pid(current, PIDTYPE_PID), *two = find_get_pid(1);
	struct damon_target *t;

	add_target(test, dst, one, 0, 100, 16);
	add_target(test, dst, two, 500, 600, 4);
	add_target(test, src, one, 50, 150, 0);
	add_target(test, src, two, 0, 0, 0);	/* says nothing of its memory */
	add_target(test, src, NULL, 0, 10, 0);	/* is new */
	put_pid(one);
	put_pid(two);
	src->attrs.aggr_interval = 200000;
	src->attrs.max_nr_regions = 77;

	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, dst->attrs.aggr_interval, 200000);
	KUNIT_EXPECT_EQ(test, dst->attrs.max_nr_regions, 77);
	t = target_at(dst, 0);
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 2);
	EXPECT_REGION(test, &t->regions[0], 50, 100, 32, 5);
	EXPECT_REGION(test, &t->regions[1], 100, 150, 0, 0);
	t = target_at(dst, 1);
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 1);
	EXPECT_REGION(test, &t->regions[0], 500, 600, 8, 5);
	t = target_at(dst, 2);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, t->regions[0].ar.end, 10 << PAGE_SHIFT);
	KUNIT_EXPECT_NULL(test, target_at(dst, 3));
}

static void commit_of_another_process(struct kunit *test)
{
	struct damon_ctx *dst = new_ctx(test), *src = new_ctx(test);
	struct pid *one = get_task_pid(current, PIDTYPE_PID), *two = find_get_pid(1);

	add_target(test, dst, one, 0, 100, 16);
	add_target(test, src, two, 0, 100, 0);
	put_pid(one);
	put_pid(two);
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, target_at(dst, 0)->regions[0].nr_accesses, 0);
}

/* Also when those before it are not monitored any more. */
static void commit_without_first_target(struct kunit *test)
{
	struct damon_ctx *dst = new_ctx(test), *src = new_ctx(test);
	struct pid *one = get_task_pid(current, PIDTYPE_PID), *two = find_get_pid(1);
	struct damon_target *t;

	add_target(test, dst, one, 0, 100, 16);
	add_target(test, dst, two, 0, 100, 8);
	add_target(test, src, two, 0, 100, 0);
	put_pid(one);
	put_pid(two);
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	t = target_at(dst, 0);
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 1);
	EXPECT_REGION(test, &t->regions[0], 0, 100, 8, 10);
	KUNIT_EXPECT_NULL(test, target_at(dst, 1));
}

/* As many as the interface takes, two of each process, in the opposite order. */
#define MANY_TARGETS	16384

static void free_pids(void *pids)
{
	kvfree(pids);
}

/* Of processes that do not exist, which nobody is to free. */
static struct pid *new_pids(struct kunit *test, unsigned int nr)
{
	struct pid *pids = kvcalloc(nr, sizeof(*pids), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, pids);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_pids, pids));
	for (i = 0; i < nr; i++)
		refcount_set(&pids[i].count, 1);
	return pids;
}

/* Which of them were the same is found without comparing each with each. */
static void commit_of_many_targets(struct kunit *test)
{
	struct pid *pids = new_pids(test, MANY_TARGETS / 2);
	struct damon_ctx *dst = new_ctx(test), *src = new_ctx(test);
	struct damon_target *t;
	unsigned int i;

	for (i = 0; i < MANY_TARGETS; i++)
		add_target(test, dst, &pids[i / 2], 0, 10, 1 + i % 20);
	for (i = MANY_TARGETS; i--;)
		add_target(test, src, &pids[i / 2], 5, 10, 0);
	/* Each has a region. */
	src->attrs.max_nr_regions = MANY_TARGETS;
	KUNIT_EXPECT_LT(test, damon_pair_targets(dst, src), 64 * MANY_TARGETS);
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	/* The first of two goes with the first, although all else comes backwards. */
	i = MANY_TARGETS;
	damon_for_each_target(t, dst) {
		i--;
		KUNIT_ASSERT_EQ_MSG(test, t->regions[0].nr_accesses, 1 + (i ^ 1) % 20,
				    "target %u", i);
		KUNIT_ASSERT_NULL(test, t->before);
	}
	KUNIT_EXPECT_EQ(test, i, 0);
}

/* Addresses that mean something else tell nothing. */
static void commit_of_another_space(struct kunit *test)
{
	struct damon_ctx *dst = new_ctx(test), *src = new_ctx(test);
	struct damon_target *t;

	add_target(test, dst, NULL, 0, 100, 16);
	add_target(test, src, NULL, 0, 100, 0);
	src->addr_unit = 4096;
	KUNIT_ASSERT_EQ(test, 0, damon_commit_ctx(dst, src));
	t = target_at(dst, 0);
	KUNIT_EXPECT_EQ(test, t->regions[0].nr_accesses, 0);
}

/* A region never covers a gap: the bound on their number cannot be kept. */
static void more_ranges_than_regions(struct kunit *test)
{
	struct damon_addr_range ranges[8];
	struct damon_ctx *dst = new_ctx(test), *src = new_ctx(test);
	struct damon_target *t = add_target(test, src, NULL, 0, 0, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		ranges[i].start = i * 10 << PAGE_SHIFT;
		/* The last two touch. */
		ranges[i].end = ranges[i].start + ((i < 6 ? 5 : 10) << PAGE_SHIFT);
	}
	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, ARRAY_SIZE(ranges)));
	KUNIT_EXPECT_EQ(test, damon_nr_ranges(t), 7);
	add_target(test, src, NULL, 0, 10, 0);
	/* One that gets regions later. */
	add_target(test, src, NULL, 0, 0, 0);
	add_target(test, dst, NULL, 0, 100, 16);

	src->attrs.min_nr_regions = 3;
	src->attrs.max_nr_regions = 8;
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_start(&src, 1, false));
	src->addr_unit = 4096;
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_commit_ctx(dst, src));
	KUNIT_EXPECT_EQ(test, dst->attrs.max_nr_regions, 1000);
	KUNIT_EXPECT_EQ(test, target_at(dst, 0)->regions[0].nr_accesses, 16);
	src->attrs.max_nr_regions = 9;
	KUNIT_EXPECT_EQ(test, 0, damon_commit_ctx(dst, src));

	/* Those of a target that goes on with them count as well. */
	src = new_ctx(test);
	src->addr_unit = 4096;
	add_target(test, src, NULL, 0, 0, 0);
	src->attrs.min_nr_regions = 3;
	src->attrs.max_nr_regions = 6;
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_commit_ctx(dst, src));
	/* With vaddr they may become fewer. */
	src->ops.id = DAMON_OPS_VADDR;
	dst->ops.id = DAMON_OPS_VADDR;
	KUNIT_EXPECT_EQ(test, 0, damon_commit_ctx(dst, src));
}

/* Of several contexts, none changes if one cannot. */
static void commit_all_or_none(struct kunit *test)
{
	struct damon_ctx *dst[] = { new_ctx(test), new_ctx(test) };
	struct damon_ctx *src[] = { new_ctx(test), new_ctx(test) };

	add_target(test, dst[0], NULL, 0, 100, 16);
	add_target(test, src[0], NULL, 50, 200, 0);
	src[0]->attrs.max_nr_regions = 77;
	src[1]->attrs.max_nr_regions = 0;
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_commit_ctxs(dst, src, 2));
	KUNIT_EXPECT_EQ(test, dst[0]->attrs.max_nr_regions, 1000);
	KUNIT_ASSERT_EQ(test, damon_nr_regions(target_at(dst[0], 0)), 1);
	EXPECT_REGION(test, &target_at(dst[0], 0)->regions[0], 0, 100, 16, 10);

	src[1]->attrs.max_nr_regions = 88;
	src[1]->ops.id = NR_DAMON_OPS;
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_commit_ctxs(dst, src, 2));
	src[1]->ops.id = DAMON_OPS_FVADDR;
	KUNIT_EXPECT_EQ(test, 0, damon_commit_ctxs(dst, src, 2));
	KUNIT_EXPECT_EQ(test, dst[0]->attrs.max_nr_regions, 77);
	KUNIT_EXPECT_EQ(test, dst[1]->attrs.max_nr_regions, 88);
}

/* Memory of which the second half is hot, for a kdamond to monitor. */
#define FAKE_PAGES	4096UL

struct fake {
	atomic_t nr_samples;
	bool unsound;		/* what was asked for could not be */
	bool gone;
};

static struct fake fake;

static bool fake_sample(struct damon_ctx *ctx, struct damon_target *t,
			struct damon_probes *done, struct damon_probes *next)
{
	unsigned int i;

	for (i = 0; i < done->nr; i++) {
		unsigned long page = done->probe[i].addr >> PAGE_SHIFT;

		if (page >= FAKE_PAGES || done->probe[i].region >= t->nr_regions)
			WRITE_ONCE(fake.unsound, true);
		done->probe[i].state = page < FAKE_PAGES / 2 ? DAMON_PROBE_IDLE :
							       DAMON_PROBE_ACCESSED;
	}
	for (i = 0; i < next->nr; i++) {
		if (next->probe[i].state != DAMON_PROBE_UNKNOWN)
			WRITE_ONCE(fake.unsound, true);
	}
	atomic_inc(&fake.nr_samples);
	return !READ_ONCE(fake.gone);
}

static struct damon_ctx *new_fake(struct kunit *test)
{
	struct damon_ctx *ctx = new_ctx(test);
	struct damon_attrs attrs = ctx->attrs;

	fake = (struct fake){};
	ctx->ops.sample = fake_sample;
	attrs.sample_interval = 500;
	attrs.aggr_interval = 10000;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	add_target(test, ctx, NULL, 0, FAKE_PAGES, 0);
	return ctx;
}

/* Until it has taken so many more samples; false if it does not. */
static bool wait_for_samples(int nr)
{
	unsigned long until = jiffies + 10 * HZ;

	nr += atomic_read(&fake.nr_samples);
	while (atomic_read(&fake.nr_samples) < nr) {
		if (time_after(jiffies, until))
			return false;
		msleep(20);
	}
	return true;
}

static bool wait_for_end(struct damon_ctx *ctx)
{
	unsigned long until = jiffies + 10 * HZ;

	while (damon_is_running(ctx)) {
		if (time_after(jiffies, until))
			return false;
		msleep(20);
	}
	return true;
}

/* What a kdamond knows, when it is asked. */
struct view {
	struct damon_ctx *ctx;
	struct damon_addr_range hot;
	unsigned long covered;
	unsigned int nr_regions;
	unsigned int most_age;
	bool unaligned;
};

static int take_view(void *data)
{
	struct view *view = data;
	struct damon_target *t = target_at(view->ctx, 0);
	struct damon_region *r;

	view->hot.start = ULONG_MAX;
	damon_for_each_region(r, t) {
		view->covered += damon_sz_region(r);
		view->most_age = max(view->most_age, r->age);
		view->unaligned |= !PAGE_ALIGNED(r->ar.start) || !PAGE_ALIGNED(r->ar.end);
		if (r->nr_accesses * 2 < damon_max_nr_accesses(&view->ctx->attrs))
			continue;
		view->hot.start = min(view->hot.start, r->ar.start);
		view->hot.end = max(view->hot.end, r->ar.end);
	}
	view->nr_regions = damon_nr_regions(t);
	return 42;
}

static int change_attrs(void *data)
{
	struct damon_ctx *ctx = data;
	struct damon_attrs attrs = ctx->attrs;

	attrs.sample_interval = 1000;
	attrs.aggr_interval = 10000;
	return damon_set_attrs(ctx, &attrs);
}

static void kdamond_works(struct kunit *test)
{
	struct damon_ctx *ctx = new_fake(test);
	struct view view = { .ctx = ctx };
	struct damon_call_control call = { .fn = take_view, .data = &view };
	int nr_before = damon_nr_running_ctxs();

	KUNIT_EXPECT_FALSE(test, damon_is_running(ctx));
	KUNIT_EXPECT_EQ(test, damon_kdamond_pid(ctx), -1);
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, -EPERM, damon_stop(&ctx, 1));

	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_EXPECT_TRUE(test, damon_is_running(ctx));
	KUNIT_EXPECT_GT(test, damon_kdamond_pid(ctx), 0);
	KUNIT_EXPECT_EQ(test, damon_nr_running_ctxs(), nr_before + 1);
	KUNIT_EXPECT_EQ(test, -EBUSY, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_TRUE(test, wait_for_samples(240));

	KUNIT_ASSERT_EQ(test, 0, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, call.return_code, 42);
	KUNIT_EXPECT_EQ(test, view.covered, FAKE_PAGES << PAGE_SHIFT);
	KUNIT_EXPECT_GE(test, view.nr_regions, ctx->attrs.min_nr_regions);
	KUNIT_EXPECT_LE(test, view.nr_regions, ctx->attrs.max_nr_regions);
	KUNIT_EXPECT_GE(test, view.most_age, 5);
	KUNIT_EXPECT_EQ(test, view.hot.end, FAKE_PAGES << PAGE_SHIFT);
	KUNIT_EXPECT_LE(test, abs_diff(view.hot.start, FAKE_PAGES / 2 << PAGE_SHIFT),
			FAKE_PAGES / 50 << PAGE_SHIFT);

	call.fn = change_attrs;
	call.data = ctx;
	KUNIT_EXPECT_EQ(test, 0, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, call.return_code, 0);
	KUNIT_ASSERT_TRUE(test, wait_for_samples(50));
	KUNIT_EXPECT_FALSE(test, fake.unsound);
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_FALSE(test, damon_is_running(ctx));
	KUNIT_EXPECT_EQ(test, -EINVAL, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, damon_nr_running_ctxs(), nr_before);
}

/* It ends when there is nothing left to monitor. */
static void kdamond_ends(struct kunit *test)
{
	struct damon_ctx *ctx = new_fake(test);

	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_TRUE(test, wait_for_samples(30));
	WRITE_ONCE(fake.gone, true);
	KUNIT_ASSERT_TRUE(test, wait_for_end(ctx));
	KUNIT_EXPECT_EQ(test, -EPERM, damon_stop(&ctx, 1));
}

static int commit(void *data)
{
	struct damon_ctx **ctxs = data;

	return damon_commit_ctx(ctxs[0], ctxs[1]);
}

/* Other memory, while it works; with an edge where no region may have one. */
static void kdamond_commits(struct kunit *test)
{
	struct damon_ctx *ctx = new_fake(test), *src = new_ctx(test);
	struct damon_ctx *ctxs[] = { ctx, src };
	struct damon_call_control call = { .fn = commit, .data = ctxs };
	struct view view = { .ctx = ctx };

	src->attrs = ctx->attrs;
	src->ops = ctx->ops;
	add_target(test, src, NULL, FAKE_PAGES / 4, FAKE_PAGES, 0)->regions[0].ar.start += 100;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_TRUE(test, wait_for_samples(160));
	KUNIT_ASSERT_EQ(test, 0, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, call.return_code, 0);
	KUNIT_ASSERT_TRUE(test, wait_for_samples(50));
	call.fn = take_view;
	call.data = &view;
	KUNIT_ASSERT_EQ(test, 0, damon_call(ctx, &call));
	KUNIT_EXPECT_EQ(test, view.covered, FAKE_PAGES / 4 * 3 << PAGE_SHIFT);
	KUNIT_EXPECT_FALSE(test, view.unaligned);
	KUNIT_EXPECT_GE(test, view.most_age, 4);
	KUNIT_EXPECT_FALSE(test, fake.unsound);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(set_attrs_refuses),
	KUNIT_CASE(set_attrs_rescales),
	KUNIT_CASE(commit_keeps_regions),
	KUNIT_CASE(commit_of_another_process),
	KUNIT_CASE(commit_without_first_target),
	KUNIT_CASE(commit_of_many_targets),
	KUNIT_CASE(commit_of_another_space),
	KUNIT_CASE(more_ranges_than_regions),
	KUNIT_CASE(commit_all_or_none),
	KUNIT_CASE(kdamond_works),
	KUNIT_CASE(kdamond_ends),
	KUNIT_CASE(kdamond_commits),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-core",
	.test_cases = cases,
};

kunit_test_suite(suite);
