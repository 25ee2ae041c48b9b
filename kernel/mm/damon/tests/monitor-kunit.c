// SPDX-License-Identifier: GPL-2.0
/* When samples are taken, and which of them count. */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/ktime.h>
#include <linux/sizes.h>

#include "../monitor.h"
#include "simulation.h"

#define MEMORY_SZ	SZ_256M
#define HOT_START	SZ_128M

static const struct damon_rules twenty = {
	.max_nr_accesses = 20,
	.max_nr_regions = 1000,
	.shift = PAGE_SHIFT,
};

/* From making ready to looking: all of them, or those that looks are meant to find. */
struct windows {
	u64 shortest_ns;
	unsigned int nr;	/* looks */
};

static u64 window_ns(struct damon_sim *sim)
{
	return ktime_to_ns(ktime_sub(sim->now, sim->ready_since));
}

/* All memory is touched, once a second. */
static enum damon_probe_state look_each_second(struct damon_sim *sim, unsigned long addr)
{
	return window_ns(sim) >= NSEC_PER_SEC ? DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
}

static enum damon_probe_state look_half_hot(struct damon_sim *sim, unsigned long addr)
{
	return addr >= HOT_START ? DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
}

/* Nothing of what it says is to count: it says what is not so. */
static enum damon_probe_state look_half_cold(struct damon_sim *sim, unsigned long addr)
{
	return addr < HOT_START ? DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
}

/* The same, but for pages that were made ready a moment ago. */
static enum damon_probe_state look_soon_half_cold(struct damon_sim *sim, unsigned long addr)
{
	if (window_ns(sim) < DAMON_SIM_SAMPLE_NS / 4)
		return look_half_cold(sim, addr);
	return look_half_hot(sim, addr);
}

static enum damon_probe_state look_at_window(struct damon_sim *sim, unsigned long addr)
{
	struct windows *windows = sim->data;

	windows->shortest_ns = min(windows->shortest_ns, window_ns(sim));
	windows->nr++;
	return DAMON_PROBE_IDLE;
}

static enum damon_probe_state saw_nothing(struct damon_sim *sim, unsigned long addr)
{
	return DAMON_PROBE_IDLE;
}

static u64 late_at_times(struct damon_sim *sim)
{
	return sim->nr_samples % 5 ? 0 : NSEC_PER_SEC;
}

static u64 late_always(struct damon_sim *sim)
{
	return NSEC_PER_SEC;
}

static u64 late_by_most_of_an_interval(struct damon_sim *sim)
{
	return sim->nr_samples % 3 ? 0 : DAMON_SIM_SAMPLE_NS / 10 * 9;
}

static void wait_at_times(struct damon_sim *sim, bool ready)
{
	if (!ready && sim->nr_samples % 7 == 0)
		sim->now = ktime_add_ns(sim->now, NSEC_PER_SEC);
}

static void wait_at_times_when_ready(struct damon_sim *sim, bool ready)
{
	if (ready && sim->nr_samples % 7 == 0)
		sim->now = ktime_add_ns(sim->now, NSEC_PER_SEC);
}

static void wait_for_most_of_an_interval(struct damon_sim *sim, bool ready)
{
	if (!ready && sim->nr_samples % 2)
		sim->now = ktime_add_ns(sim->now, DAMON_SIM_SAMPLE_NS / 10 * 9);
}

static void wait_for_intervals(struct damon_sim *sim, bool ready)
{
	if (!ready)
		sim->now = ktime_add_ns(sim->now, 10 * DAMON_SIM_SAMPLE_NS);
}

static struct damon_sim *begin(struct kunit *test)
{
	struct damon_sim *sim = damon_sim_new(test, &twenty, 10, 1);

	sim->saw = saw_nothing;
	sim->look = look_half_hot;
	sim->ranges[0].end = MEMORY_SZ;
	sim->nr_ranges = 1;
	KUNIT_ASSERT_TRUE(test, damon_sim_cover(sim));
	return sim;
}

static void pass(struct damon_sim *sim, unsigned int intervals)
{
	while (intervals--)
		KUNIT_ASSERT_TRUE(sim->test, damon_sim_interval(sim));
}

/* Nothing is hot, whatever is late. */
static void expect_idle(struct damon_sim *sim, unsigned int min_age)
{
	unsigned int i;

	for (i = 0; i < sim->nr_parts; i++) {
		KUNIT_EXPECT_EQ(sim->test, sim->parts[i].nr_accesses, 0);
		KUNIT_EXPECT_GE(sim->test, sim->parts[i].age, min_age);
	}
}

/* What is hot is known to be, by all of its samples, and nothing else. */
static void expect_half_hot(struct damon_sim *sim)
{
	unsigned int i;

	for (i = 0; i < sim->nr_parts; i++) {
		const struct damon_region *r = &sim->parts[i];

		if (r->ar.start >= HOT_START)
			KUNIT_EXPECT_EQ(sim->test, r->nr_accesses, 20);
		else if (r->ar.end <= HOT_START)
			KUNIT_EXPECT_EQ(sim->test, r->nr_accesses, 0);
	}
}

/* What is touched once a second does not look hot, whatever the samples wait for. */
static void expect_no_look_counts(struct damon_sim *sim)
{
	pass(sim, 5);
	expect_half_hot(sim);
	sim->look = look_each_second;
	pass(sim, 10);
	expect_idle(sim, 9);
}

/* A scheme works for long after some samples, or another context does. */
static void late_looks_do_not_count(struct kunit *test)
{
	struct damon_sim *sim = begin(test);

	sim->late_ns = late_at_times;
	expect_no_look_counts(sim);
}

static void expect_no_look_that_waited(struct kunit *test,
				       void (*wait)(struct damon_sim *sim, bool ready))
{
	struct damon_sim *sim = begin(test);

	sim->wait = wait;
	expect_no_look_counts(sim);
}

/* Operations wait for a lock before they look, or with some pages made ready. */
static void looks_that_waited_do_not_count(struct kunit *test)
{
	expect_no_look_that_waited(test, wait_at_times);
	expect_no_look_that_waited(test, wait_at_times_when_ready);
}

/* Pages were made ready late, and there was no time to access them. */
static void looks_too_soon_do_not_count(struct kunit *test)
{
	struct windows windows = { .shortest_ns = U64_MAX };
	struct damon_sim *sim = begin(test);

	sim->wait = wait_for_most_of_an_interval;
	sim->look = look_at_window;
	sim->data = &windows;
	pass(sim, 1);
	KUNIT_EXPECT_LT(test, windows.shortest_ns, DAMON_SIM_SAMPLE_NS / 4);
	sim->look = look_soon_half_cold;
	pass(sim, 5);
	expect_half_hot(sim);
}

/* There is time to access a page, though the sample before was late; and no time is lost. */
static void pace_leaves_time(struct kunit *test)
{
	struct windows windows = { .shortest_ns = U64_MAX };
	struct damon_sim *sim = begin(test);
	u64 begin_ns = ktime_to_ns(sim->now), took_ns;

	sim->look = look_at_window;
	sim->data = &windows;
	sim->late_ns = late_by_most_of_an_interval;
	pass(sim, 10);
	took_ns = ktime_to_ns(sim->now) - begin_ns;
	KUNIT_EXPECT_GT(test, windows.nr, 0);
	KUNIT_EXPECT_GE(test, windows.shortest_ns, DAMON_SIM_SAMPLE_NS / 2);
	KUNIT_EXPECT_LE(test, took_ns, 201 * DAMON_SIM_SAMPLE_NS);
}

/* Nothing is known for long: regions stay what they were, and grow no older. */
static void unknown_is_not_idle(struct kunit *test)
{
	struct damon_sim *sim = begin(test);
	unsigned int i, age[2], nr;

	pass(sim, 10);
	expect_half_hot(sim);
	age[0] = sim->parts[0].age;
	age[1] = sim->parts[sim->nr_parts - 1].age;
	nr = sim->nr_parts;
	sim->late_ns = late_always;
	sim->look = look_half_cold;
	for (i = 0; i < 10; i++) {
		pass(sim, 1);
		expect_half_hot(sim);
		KUNIT_EXPECT_EQ(test, sim->nr_parts, nr);
		KUNIT_EXPECT_EQ(test, sim->parts[0].age, age[0]);
		KUNIT_EXPECT_EQ(test, sim->parts[sim->nr_parts - 1].age, age[1]);
	}
	/* It is known again as soon as there is time. */
	sim->late_ns = NULL;
	pass(sim, 1);
	KUNIT_EXPECT_EQ(test, sim->parts[0].nr_accesses, 20);
}

/* Taking samples takes longer than their interval: that is all that can be had. */
static void slow_is_not_late(struct kunit *test)
{
	struct damon_sim *sim = begin(test);

	sim->wait = wait_for_intervals;
	pass(sim, 10);
	expect_half_hot(sim);
	KUNIT_EXPECT_EQ(test, sim->parts[sim->nr_parts - 1].nr_accesses, 20);
	KUNIT_EXPECT_GE(test, sim->parts[0].age, 5);
}

/* Two targets with one bound, of which some or all have stripes of hot memory. */
#define SHARED_BOUND	100

static struct {
	struct damon_ctx *ctx;
	ktime_t now;
	bool striped[2];
	unsigned int nr[2];	/* regions, as reported */
	unsigned int nr_sampled[2];
} shared;

static unsigned int shared_place(const struct damon_target *t)
{
	return t != list_first_entry(&shared.ctx->adaptive_targets, struct damon_target, list);
}

static bool shared_sample(struct damon_ctx *ctx, struct damon_target *t,
			  struct damon_probes *done, struct damon_probes *next)
{
	unsigned int place = shared_place(t), i;

	for (i = 0; i < done->nr; i++)
		done->probe[i].state = shared.striped[place] && done->probe[i].addr / SZ_1M % 2 ?
				       DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
	shared.nr_sampled[place] = t->nr_regions;
	return true;
}

static ktime_t shared_clock(void)
{
	return shared.now;
}

static void shared_report(unsigned int target_id, const struct damon_region *regions,
			  unsigned int nr)
{
	shared.nr[target_id] = nr;
}

static void free_shared(void *ctx)
{
	damon_destroy_ctx(ctx);
}

static void begin_shared(struct kunit *test)
{
	static const struct damon_addr_range memory = { .end = SZ_256M };
	struct damon_attrs attrs;
	unsigned int i;

	memset(&shared, 0, sizeof(shared));
	shared.ctx = damon_new_ctx();
	KUNIT_ASSERT_NOT_NULL(test, shared.ctx);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_shared, shared.ctx));
	shared.ctx->ops.id = DAMON_OPS_PADDR;
	shared.ctx->ops.sample = shared_sample;
	prandom_seed_state(&shared.ctx->random, 1);
	attrs = shared.ctx->attrs;
	attrs.max_nr_regions = SHARED_BOUND;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(shared.ctx, &attrs));
	for (i = 0; i < 2; i++) {
		struct damon_target *t = damon_new_target();

		KUNIT_ASSERT_NOT_NULL(test, t);
		damon_add_target(shared.ctx, t);
		KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, &memory, 1));
	}
	kunit_activate_static_stub(test, damon_clock, shared_clock);
	kunit_activate_static_stub(test, damon_report_regions, shared_report);
	shared.ctx->restart = true;
	damon_serve(shared.ctx);
}

/* The bound holds all the time, for what is reported and for what is sampled. */
static void pass_shared(struct kunit *test, unsigned int intervals)
{
	unsigned int i;

	for (i = 0; i < 20 * intervals; i++) {
		shared.now = shared.ctx->next_sample;
		damon_serve(shared.ctx);
		KUNIT_ASSERT_LE(test, shared.nr[0] + shared.nr[1], SHARED_BOUND);
		KUNIT_ASSERT_LE(test, shared.nr_sampled[0] + shared.nr_sampled[1],
				SHARED_BOUND);
	}
}

/* Who has many regions gives way to who finds more, and has back what is not needed. */
static void targets_share_the_bound(struct kunit *test)
{
	begin_shared(test);
	shared.striped[0] = true;
	pass_shared(test, 30);
	KUNIT_EXPECT_GE(test, shared.nr[0], SHARED_BOUND * 3 / 4);
	shared.striped[1] = true;
	pass_shared(test, 30);
	KUNIT_EXPECT_GE(test, shared.nr[0], SHARED_BOUND * 2 / 5);
	KUNIT_EXPECT_GE(test, shared.nr[1], SHARED_BOUND * 2 / 5);
	shared.striped[0] = false;
	pass_shared(test, 60);
	kunit_info(test, "%u and %u regions\n", shared.nr[0], shared.nr[1]);
	KUNIT_EXPECT_GE(test, shared.nr[1], SHARED_BOUND * 3 / 5);
}

/* Mappings of vaddr that are in more places than there may be regions. */
static void small_gaps_are_covered(struct kunit *test)
{
	struct damon_addr_range ranges[10];
	struct damon_target *t;
	struct damon_attrs attrs;
	unsigned long at = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		ranges[i] = (struct damon_addr_range){ at, at + SZ_1M };
		at += (2 + i) * SZ_1M;
	}
	begin_shared(test);
	damon_for_each_target(t, shared.ctx)
		KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, ARRAY_SIZE(ranges)));
	attrs = shared.ctx->attrs;
	attrs.min_nr_regions = 3;
	attrs.max_nr_regions = 6;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(shared.ctx, &attrs));
	shared.ctx->ops.id = DAMON_OPS_VADDR;
	shared.ctx->restart = true;
	pass_shared(test, 3);
	damon_for_each_target(t, shared.ctx) {
		KUNIT_ASSERT_EQ(test, t->nr_regions, 3);
		KUNIT_EXPECT_EQ(test, t->regions[0].ar.start, 0);
		KUNIT_EXPECT_EQ(test, t->regions[0].ar.end, ranges[7].end);
		KUNIT_EXPECT_EQ(test, t->regions[2].ar.start, ranges[9].start);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(late_looks_do_not_count),
	KUNIT_CASE(looks_that_waited_do_not_count),
	KUNIT_CASE(looks_too_soon_do_not_count),
	KUNIT_CASE(pace_leaves_time),
	KUNIT_CASE(unknown_is_not_idle),
	KUNIT_CASE(slow_is_not_late),
	KUNIT_CASE(targets_share_the_bound),
	KUNIT_CASE(small_gaps_are_covered),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-monitor",
	.test_cases = cases,
};

kunit_test_suite(suite);
