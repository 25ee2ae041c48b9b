// SPDX-License-Identifier: GPL-2.0
/* When samples are taken, and which of them count. */

#include <kunit/test.h>
#include <linux/ktime.h>
#include <linux/sizes.h>

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

/* A scheme works for long after some samples, or another context does. */
static void late_looks_do_not_count(struct kunit *test)
{
	struct damon_sim *sim = begin(test);

	sim->late_ns = late_at_times;
	pass(sim, 5);
	expect_half_hot(sim);
	sim->look = look_each_second;
	pass(sim, 10);
	expect_idle(sim, 9);
}

static void expect_no_look_that_waited(struct kunit *test,
				       void (*wait)(struct damon_sim *sim, bool ready))
{
	struct damon_sim *sim = begin(test);

	sim->wait = wait;
	pass(sim, 5);
	expect_half_hot(sim);
	sim->look = look_each_second;
	pass(sim, 10);
	expect_idle(sim, 9);
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

static struct kunit_case cases[] = {
	KUNIT_CASE(late_looks_do_not_count),
	KUNIT_CASE(looks_that_waited_do_not_count),
	KUNIT_CASE(looks_too_soon_do_not_count),
	KUNIT_CASE(pace_leaves_time),
	KUNIT_CASE(unknown_is_not_idle),
	KUNIT_CASE(slow_is_not_late),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-monitor",
	.test_cases = cases,
};

kunit_test_suite(suite);
