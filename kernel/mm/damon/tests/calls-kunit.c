// SPDX-License-Identifier: GPL-2.0
/* Who wants something from a kdamond while a scheme of it works for long. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/freezer.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "../schemes.h"
#include "schemes-fake.h"

/* So much that nobody gets to the end of it. */
#define MUCH_PAGES	((ULONG_MAX >> 2) >> PAGE_SHIFT)

/* An action that takes a tick for each huge page's worth. */
static struct {
	atomic_t nr_bites;
	unsigned long at;	/* where it is to go on */
	unsigned long sz;	/* how much it has done */
	bool apart;		/* it did not: it has left out something, or begun anew */
	bool blocked;		/* it does not get ahead */
	bool over;		/* there is nothing to do any more */
	int nr_begins;		/* how often monitoring has begun */
} work;

static unsigned long work_long(struct damon_ctx *ctx, struct damon_target *t,
			       const struct damon_addr_range *range, struct damos *s,
			       unsigned long *sz_passed)
{
	unsigned long addr;

	if (range->start != work.at)
		WRITE_ONCE(work.apart, true);
	atomic_inc(&work.nr_bites);
	for (addr = range->start; addr < range->end; addr += SZ_2M) {
		do {
			if (kthread_should_stop() || READ_ONCE(work.over))
				return 0;
			schedule_timeout_idle(1);
		} while (READ_ONCE(work.blocked));
	}
	work.at = range->end;
	WRITE_ONCE(work.sz, work.sz + range->end - range->start);
	*sz_passed += range->end - range->start;
	return 0;
}

static bool count_begin(struct damon_ctx *ctx)
{
	WRITE_ONCE(work.nr_begins, work.nr_begins + 1);
	return true;
}

static void end_work(void *unused)
{
	WRITE_ONCE(work.over, true);
}

static struct damon_ctx *busy_ctx(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_attrs attrs = ctx->attrs;

	memset(&work, 0, sizeof(work));
	ctx->ops.apply_scheme = work_long;
	ctx->ops.init = count_begin;
	attrs.sample_interval = 1000;
	attrs.aggr_interval = 1000;
	attrs.min_nr_regions = 3;
	attrs.max_nr_regions = 3;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	fake_region(test, fake_target(test, ctx), 0, MUCH_PAGES, 0, 0);
	fake_scheme(test, ctx, DAMOS_COLD);
	/* Before the context is destroyed, so that its kdamond ends. */
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, end_work, NULL));
	return ctx;
}

/* Until so many more bites have begun; false if they do not. */
static bool wait_for_bites(int nr)
{
	unsigned long until = jiffies + 10 * HZ;

	nr += atomic_read(&work.nr_bites);
	while (atomic_read(&work.nr_bites) < nr) {
		if (time_after(jiffies, until))
			return false;
		schedule_timeout_idle(1);
	}
	return true;
}

/* Somebody else, on a thread of its own, who can be told to end. */
struct caller {
	struct damon_ctx *ctx;
	struct damon_call_control call;
	struct damos_walk_control walk;
	struct completion done;
	struct task_struct *task;
	int nr_calls;
	int err;
};

static int count_calls(void *data)
{
	struct caller *caller = data;

	WRITE_ONCE(caller->nr_calls, caller->nr_calls + 1);
	return 42;
}

static int call_fn(void *data)
{
	struct caller *caller = data;

	allow_signal(SIGKILL);
	caller->err = damon_call(caller->ctx, &caller->call);
	complete(&caller->done);
	return 0;
}

static void count_walk(void *data, struct damon_ctx *ctx, struct damon_target *t,
		       struct damon_region *r, struct damos *s, unsigned long sz_passed)
{
	count_calls(data);
}

static int walk_fn(void *data)
{
	struct caller *caller = data;

	allow_signal(SIGKILL);
	caller->err = damos_walk(caller->ctx, &caller->walk);
	complete(&caller->done);
	return 0;
}

static struct caller *new_caller(struct kunit *test, struct damon_ctx *ctx)
{
	struct caller *caller = kunit_kzalloc(test, sizeof(*caller), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, caller);
	caller->ctx = ctx;
	caller->call.fn = count_calls;
	caller->call.data = caller;
	caller->walk.walk_fn = count_walk;
	caller->walk.data = caller;
	init_completion(&caller->done);
	return caller;
}

static void start(struct kunit *test, struct caller *caller, int (*fn)(void *data))
{
	caller->task = kthread_run(fn, caller, "damon_caller");
	KUNIT_ASSERT_FALSE(test, IS_ERR(caller->task));
}

/* Whether it has got its answer, or has given up; else the scheme is made to end. */
static bool has_returned(struct caller *caller)
{
	if (wait_for_completion_timeout(&caller->done, 10 * HZ))
		return true;
	end_work(NULL);
	wait_for_completion(&caller->done);
	return false;
}

/* The kdamond calls once, and that is what the caller gets. */
static void expect_call(struct kunit *test, struct damon_ctx *ctx, bool only_reads)
{
	struct caller *caller = new_caller(test, ctx);

	caller->call.only_reads = only_reads;
	start(test, caller, call_fn);
	KUNIT_ASSERT_TRUE(test, has_returned(caller));
	KUNIT_EXPECT_EQ(test, caller->err, 0);
	KUNIT_EXPECT_EQ(test, caller->call.return_code, 42);
	KUNIT_EXPECT_EQ(test, caller->nr_calls, 1);
}

/* Until somebody waits; false if nobody does. */
static bool is_waited_for(struct damon_ctx *ctx)
{
	unsigned long until = jiffies + 10 * HZ;

	while (list_empty_careful(&ctx->calls) && !READ_ONCE(ctx->walk)) {
		if (time_after(jiffies, until))
			return false;
		schedule_timeout_idle(1);
	}
	return true;
}

/* What only reads does so in the midst of the work, which is none the wiser. */
static void work_is_looked_at(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test);
	struct damos *s = list_first_entry(&ctx->schemes, struct damos, list);
	int i;

	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_TRUE(test, wait_for_bites(1));
		expect_call(test, ctx, true);
	}
	KUNIT_ASSERT_TRUE(test, wait_for_bites(2));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(s->unfinished));
	KUNIT_EXPECT_EQ(test, READ_ONCE(s->stat.nr_snapshots), 0);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(work.apart));
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
}

/* For all else it makes room, and goes on where it was: the round is the same one. */
static void work_is_called_off(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test);
	struct damos *s = list_first_entry(&ctx->schemes, struct damos, list);
	int i;

	/* Due once in an hour, which what is left does not wait for. */
	s->apply_interval_us = 3600UL * USEC_PER_SEC;
	s->samples_to_next = 1;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_TRUE(test, wait_for_bites(1));
		expect_call(test, ctx, false);
	}
	KUNIT_ASSERT_TRUE(test, wait_for_bites(2));
	KUNIT_EXPECT_EQ(test, READ_ONCE(s->stat.nr_snapshots), 0);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(work.apart));
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
}

/* What was done before is not done again, and all of it is one snapshot. */
static void rest_of_work_is_done(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test);
	struct damos *s = list_first_entry(&ctx->schemes, struct damos, list);
	struct damon_target *t = list_first_entry(&ctx->adaptive_targets, struct damon_target,
						  list);
	unsigned long until = jiffies + 10 * HZ;
	struct caller *caller = new_caller(test, ctx);
	int nr = 0;

	t->regions[0].ar.end = 20 * SZ_2M;
	s->apply_interval_us = 3600UL * USEC_PER_SEC;
	s->samples_to_next = 1;
	work.blocked = true;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_TRUE(test, wait_for_bites(1));
	start(test, caller, call_fn);
	KUNIT_ASSERT_TRUE(test, is_waited_for(ctx));
	WRITE_ONCE(work.blocked, false);
	KUNIT_ASSERT_TRUE(test, has_returned(caller));
	while (!nr && time_before(jiffies, until)) {
		schedule_timeout_idle(1);
		nr = READ_ONCE(s->stat.nr_snapshots);
	}
	KUNIT_EXPECT_EQ(test, nr, 1);
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_EQ(test, work.sz, 20 * SZ_2M);
	KUNIT_EXPECT_EQ(test, s->stat.sz_tried, 20 * SZ_2M);
	KUNIT_EXPECT_FALSE(test, work.apart);
}

static int commit(void *data)
{
	struct damon_ctx **ctxs = data;

	return damon_commit_ctx(ctxs[0], ctxs[1]);
}

/* The scheme that is at work goes, and the memory that it works on. */
static void work_is_replaced(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test), *src = busy_ctx(test);
	struct damon_ctx *ctxs[] = { ctx, src };
	struct damos *s = list_first_entry(&src->schemes, struct damos, list);
	struct caller *caller = new_caller(test, ctx);

	caller->call.fn = commit;
	caller->call.data = ctxs;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_TRUE(test, wait_for_bites(2));
	start(test, caller, call_fn);
	KUNIT_ASSERT_TRUE(test, has_returned(caller));
	KUNIT_EXPECT_EQ(test, caller->err, 0);
	KUNIT_EXPECT_EQ(test, caller->call.return_code, 0);
	KUNIT_ASSERT_TRUE(test, wait_for_bites(2));
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&ctx->schemes, struct damos, list), s);
}

/* Who is killed does not wait for the work, and is not called for any more. */
static void caller_is_killed(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test);
	struct caller *caller, *next;

	work.blocked = true;
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	KUNIT_ASSERT_TRUE(test, wait_for_bites(1));
	caller = new_caller(test, ctx);
	start(test, caller, call_fn);
	KUNIT_ASSERT_TRUE(test, is_waited_for(ctx));
	send_sig(SIGKILL, caller->task, 1);
	KUNIT_ASSERT_TRUE(test, has_returned(caller));
	KUNIT_EXPECT_EQ(test, caller->err, -EINTR);
	/* Others are served when it goes on. */
	next = new_caller(test, ctx);
	start(test, next, call_fn);
	KUNIT_ASSERT_TRUE(test, is_waited_for(ctx));
	WRITE_ONCE(work.blocked, false);
	KUNIT_ASSERT_TRUE(test, has_returned(next));
	KUNIT_EXPECT_EQ(test, next->err, 0);
	KUNIT_EXPECT_EQ(test, next->nr_calls, 1);
	KUNIT_EXPECT_EQ(test, caller->nr_calls, 0);
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
}

/* No more than that: neither before its walk has begun, nor after. */
static void walker_is_killed(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test);
	struct caller *walker, *caller;
	int i;

	for (i = 0; i < 2; i++) {
		work.at = 0;
		work.blocked = true;
		KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
		KUNIT_ASSERT_TRUE(test, wait_for_bites(1));
		walker = new_caller(test, ctx);
		start(test, walker, walk_fn);
		KUNIT_ASSERT_TRUE(test, is_waited_for(ctx));
		if (i) {
			/* The work goes on after the call, as what the walk is about. */
			caller = new_caller(test, ctx);
			start(test, caller, call_fn);
			WRITE_ONCE(work.blocked, false);
			KUNIT_ASSERT_TRUE(test, has_returned(caller));
			KUNIT_ASSERT_TRUE(test, wait_for_bites(2));
			KUNIT_EXPECT_TRUE(test, READ_ONCE(walker->walk.begun));
			WRITE_ONCE(work.blocked, true);
		}
		send_sig(SIGKILL, walker->task, 1);
		KUNIT_ASSERT_TRUE(test, has_returned(walker));
		KUNIT_EXPECT_EQ(test, walker->err, -ERESTARTSYS);
		KUNIT_EXPECT_NULL(test, READ_ONCE(ctx->walk));
		WRITE_ONCE(work.blocked, false);
		KUNIT_ASSERT_TRUE(test, wait_for_bites(2));
		KUNIT_EXPECT_EQ(test, walker->nr_calls, 0);
		KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	}
}

#ifdef CONFIG_FREEZER
static void begin_freezing(void)
{
	pm_nosig_freezing = true;
	static_branch_inc(&freezer_active);
}

static void end_freezing(void *unused)
{
	if (!pm_nosig_freezing)
		return;
	thaw_kernel_threads();
	static_branch_dec(&freezer_active);
}

/* As suspend does it; false if the thread does not freeze. */
static bool freezes(struct task_struct *task)
{
	unsigned long until = jiffies + 10 * HZ;

	begin_freezing();
	while (freeze_task(task)) {
		if (time_after(jiffies, until))
			return false;
		schedule_timeout_idle(1);
	}
	return frozen(task);
}

/* In the midst of work, and while it sleeps for an hour; then it begins anew. */
static void kdamond_freezes(struct kunit *test)
{
	struct damon_ctx *ctx = busy_ctx(test);
	struct damon_attrs attrs = ctx->attrs;
	unsigned long until;
	int i, nr;

	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, end_freezing, NULL));
	for (i = 0; i < 2; i++) {
		if (i) {
			attrs.sample_interval = 3600UL * USEC_PER_SEC;
			attrs.aggr_interval = attrs.sample_interval;
			KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
		}
		work.nr_begins = 0;
		KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
		KUNIT_ASSERT_TRUE(test, i || wait_for_bites(1));
		KUNIT_ASSERT_TRUE(test, freezes(ctx->kdamond));
		nr = atomic_read(&work.nr_bites);
		schedule_timeout_idle(3);
		KUNIT_EXPECT_EQ(test, nr, atomic_read(&work.nr_bites));
		nr = READ_ONCE(work.nr_begins);
		end_freezing(NULL);
		until = jiffies + 10 * HZ;
		while (READ_ONCE(work.nr_begins) == nr && time_before(jiffies, until))
			schedule_timeout_idle(1);
		KUNIT_EXPECT_EQ(test, READ_ONCE(work.nr_begins), nr + 1);
		KUNIT_EXPECT_TRUE(test, i || wait_for_bites(1));
		KUNIT_EXPECT_FALSE(test, READ_ONCE(work.apart));
		KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	}
}
#endif

static struct kunit_case cases[] = {
	KUNIT_CASE(work_is_looked_at),
	KUNIT_CASE(work_is_called_off),
	KUNIT_CASE(rest_of_work_is_done),
	KUNIT_CASE(work_is_replaced),
	KUNIT_CASE(caller_is_killed),
	KUNIT_CASE(walker_is_killed),
#ifdef CONFIG_FREEZER
	KUNIT_CASE(kdamond_freezes),
#endif
	{}
};

static struct kunit_suite suite = {
	.name = "damon-calls",
	.test_cases = cases,
};

kunit_test_suite(suite);
