// SPDX-License-Identifier: GPL-2.0
/*
 * What holds for regions and probes whatever the accesses are: simulation.c
 * checks it, here are random sequences of accesses, and extreme rules.
 */

#include <linux/hash.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "simulation.h"

/* 2^52 bytes, where addresses are that long. */
#define HUGE_SHIFT	(BITS_PER_LONG == 64 ? 52 : 30)

enum kind {
	IDLE,
	BUSY,
	WARM,		/* everywhere at times */
	STRIPES,	/* every other piece, of equal size */
	WINDOW,		/* one piece */
	DUST,		/* some pages, always the same */
	BLIND,		/* nothing is known */
	NR_KINDS,
};

/* How memory is accessed for some time. */
struct weather {
	enum kind kind;
	u32 permille;		/* of the pages, or of the time */
	u32 blind_permille;	/* outcomes that are not known */
	unsigned long start;
	unsigned long sz;
	unsigned int shift;
};

static bool is_accessed(struct damon_sim *sim, const struct weather *weather,
			unsigned long addr)
{
	switch (weather->kind) {
	case IDLE:
		return false;
	case BUSY:
		return true;
	case WARM:
		return damon_sim_below(sim, 1000) < weather->permille;
	case STRIPES:
		return addr / weather->sz % 2;
	case WINDOW:
		return addr - weather->start < weather->sz;
	case DUST:
		return hash_64(addr >> weather->shift, 32) % 1000 < weather->permille;
	default:
		return false;
	}
}

static enum damon_probe_state look(struct damon_sim *sim, unsigned long addr)
{
	const struct weather *weather = sim->data;

	if (weather->blind_permille &&
	    damon_sim_below(sim, 1000) < weather->blind_permille)
		return DAMON_PROBE_UNKNOWN;
	return is_accessed(sim, weather, addr) ? DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
}

/* An address that is covered. */
static unsigned long any_address(struct damon_sim *sim)
{
	const struct damon_addr_range *range =
		&sim->ranges[damon_sim_below(sim, sim->nr_ranges)];

	return range->start + damon_sim_ulong(sim) % (range->end - range->start);
}

static void change_weather(struct damon_sim *sim)
{
	static const u32 permille[] = { 1, 20, 500, 950, 999 };
	const struct damon_addr_range *ranges = sim->ranges;
	unsigned int nr = sim->nr_ranges;
	unsigned long sz = ranges[nr - 1].end - ranges[0].start;
	struct weather *weather = sim->data;

	*weather = (struct weather){
		.kind = damon_sim_below(sim, NR_KINDS),
		.permille = permille[damon_sim_below(sim, ARRAY_SIZE(permille))],
		.start = any_address(sim),
		.sz = max((sz >> damon_sim_below(sim, 12)), 1UL),
		.shift = sim->rules.shift + damon_sim_below(sim, 3),
	};
	if (weather->kind == BLIND)
		weather->blind_permille = 1000;
	else if (!damon_sim_below(sim, 8))
		weather->blind_permille = 300;
}

/* So many ranges, of up to so many of the smallest regions. */
static void change_ranges(struct damon_sim *sim, unsigned int nr, unsigned long max_units)
{
	unsigned int shift = sim->rules.shift, i;
	unsigned long at = damon_sim_below(sim, 100);

	for (i = 0; i < nr; i++) {
		at += 1 + damon_sim_ulong(sim) % max(max_units / 8, 1UL);
		sim->ranges[i].start = at << shift;
		at += 1 + damon_sim_ulong(sim) % max_units;
		sim->ranges[i].end = at << shift;
	}
	sim->nr_ranges = nr;
}

/* The ranges as they are but for their edges, some of which move. */
static void change_edges(struct damon_sim *sim)
{
	unsigned int shift = sim->rules.shift, i;

	for (i = 0; i < sim->nr_ranges; i++) {
		struct damon_addr_range *range = &sim->ranges[i];
		unsigned long units = (range->end - range->start) >> shift;
		unsigned long off = damon_sim_ulong(sim) % units;

		switch (damon_sim_below(sim, 4)) {
		case 0:
			range->start += off << shift;
			break;
		case 1:
			range->end -= off << shift;
			break;
		case 2:
			if (i + 1 == sim->nr_ranges)
				range->end += (1 + off / 4) << shift;
			else if (range->end + (2UL << shift) <= range[1].start)
				range->end += 1UL << shift;
			break;
		}
	}
}

/**
 * struct plan - a kind of random sequence
 * @nr_seeds:	how many of them
 * @nr_generations: the most of each, it ends earlier when
 * @nr_probes:	that many samples have been taken
 * @max_ranges:	in the target
 * @max_units:	the largest range, in the smallest regions
 */
struct plan {
	unsigned int nr_seeds;
	unsigned int nr_generations;
	unsigned int nr_probes;
	unsigned int max_ranges;
	unsigned long max_units;
};

static bool run_seed(struct damon_sim *sim, const struct plan *plan)
{
	struct weather weather = {};

	sim->look = look;
	sim->data = &weather;
	change_ranges(sim, 1 + damon_sim_below(sim, plan->max_ranges), plan->max_units);
	change_weather(sim);
	if (!damon_sim_cover(sim))
		return false;
	while (sim->generation < plan->nr_generations && sim->nr_probes < plan->nr_probes) {
		if (!damon_sim_interval(sim))
			return false;
		if (!damon_sim_below(sim, 4))
			change_weather(sim);
		if (damon_sim_below(sim, 10))
			continue;
		if (damon_sim_below(sim, 2))
			change_edges(sim);
		else
			change_ranges(sim, 1 + damon_sim_below(sim, plan->max_ranges),
				      plan->max_units);
		if (!damon_sim_cover(sim))
			return false;
	}
	cond_resched();
	return true;
}

/* Many seeds of a plan with the same rules, or with random ones. */
static void run_plan(struct kunit *test, const struct plan *plan,
		     const struct damon_rules *fixed, unsigned long min_nr_regions)
{
	static const unsigned int samples[] = { 1, 2, 5, 20, 20, 20, 100, 400 };
	static const unsigned int bounds[] = { 3, 4, 10, 40, 100, 1000, 10000 };
	static const unsigned int shifts[] = { PAGE_SHIFT, PAGE_SHIFT, 0, 5 };
	u64 seed, generations = 0;

	for (seed = 1; seed <= plan->nr_seeds; seed++) {
		struct damon_rules rules = {};
		struct damon_sim *sim;

		if (fixed)
			rules = *fixed;
		sim = damon_sim_new(test, &rules, min_nr_regions, seed);
		if (!fixed) {
			sim->rules.max_nr_accesses =
				samples[damon_sim_below(sim, ARRAY_SIZE(samples))];
			sim->rules.max_nr_regions =
				bounds[damon_sim_below(sim, ARRAY_SIZE(bounds))];
			sim->rules.shift = shifts[damon_sim_below(sim, ARRAY_SIZE(shifts))];
			sim->min_nr_regions =
				3 + damon_sim_below(sim, sim->rules.max_nr_regions - 2);
			sim->min_nr_regions = min(sim->min_nr_regions, 200UL);
		}
		if (!run_seed(sim, plan)) {
			kunit_info(test, "accesses %u, regions %lu to %u, shift %u\n",
				   sim->rules.max_nr_accesses, sim->min_nr_regions,
				   sim->rules.max_nr_regions, sim->rules.shift);
			return;
		}
		generations += sim->generation;
		damon_sim_free(sim);
	}
	kunit_info(test, "%llu generations\n", generations);
}

static void some_memory(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 150,
		.nr_generations = 60,
		.nr_probes = 60000,
		.max_ranges = 4,
		.max_units = 1 << 18,
	};

	run_plan(test, &plan, NULL, 0);
}

static void tiny_regions(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 150,
		.nr_generations = 60,
		.nr_probes = 20000,
		.max_ranges = 5,
		.max_units = 20,
	};

	run_plan(test, &plan, NULL, 0);
}

static void small_regions(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 100,
		.nr_generations = 60,
		.nr_probes = 30000,
		.max_ranges = 3,
		.max_units = 700,
	};

	run_plan(test, &plan, NULL, 0);
}

static void huge_regions(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 60,
		.nr_generations = 40,
		.nr_probes = 30000,
		.max_ranges = 3,
		.max_units = 1UL << (HUGE_SHIFT - PAGE_SHIFT),
	};

	run_plan(test, &plan, NULL, 0);
}

/* More than there may be regions. */
static void many_ranges(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 30,
		.nr_generations = 40,
		.nr_probes = 30000,
		.max_ranges = DAMON_SIM_MAX_RANGES,
		.max_units = 1 << 10,
	};

	run_plan(test, &plan, NULL, 0);
}

static void fewest_regions(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 60,
		.nr_generations = 50,
		.nr_probes = 20000,
		.max_ranges = 2,
		.max_units = 1 << 16,
	};
	const struct damon_rules rules = {
		.max_nr_accesses = 20,
		.max_nr_regions = 3,
		.shift = PAGE_SHIFT,
	};

	run_plan(test, &plan, &rules, 3);
}

static void one_sample(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 60,
		.nr_generations = 60,
		.nr_probes = 20000,
		.max_ranges = 3,
		.max_units = 1 << 16,
	};
	const struct damon_rules rules = {
		.max_nr_accesses = 1,
		.max_nr_regions = 300,
		.shift = PAGE_SHIFT,
	};

	run_plan(test, &plan, &rules, 10);
}

/* Regions of few slots, which have more samples than they can count. */
static void many_samples(struct kunit *test)
{
	const struct plan plan = {
		.nr_seeds = 6,
		.nr_generations = 3,
		.nr_probes = 3000000,
		.max_ranges = 2,
		.max_units = 8,
	};
	const struct damon_rules rules = {
		.max_nr_accesses = 100000,
		.max_nr_regions = 10,
		.shift = PAGE_SHIFT,
	};

	run_plan(test, &plan, &rules, 3);
}

/* Every other MB of 8 GB: more hot spots than there may be regions. */
static void most_regions(struct kunit *test)
{
	const struct damon_rules rules = {
		.max_nr_accesses = 20,
		.max_nr_regions = 10000,
		.shift = PAGE_SHIFT,
	};
	struct weather weather = { .kind = STRIPES, .sz = SZ_256K };
	struct damon_sim *sim = damon_sim_new(test, &rules, 2000, 1);
	unsigned int most = 0, i;

	sim->look = look;
	sim->data = &weather;
	sim->ranges[0].end = SZ_2G;
	sim->nr_ranges = 1;
	if (!damon_sim_cover(sim))
		return;
	for (i = 0; i < 10; i++) {
		if (!damon_sim_interval(sim))
			return;
		most = max(most, sim->nr_parts);
		cond_resched();
	}
	kunit_info(test, "up to %u regions\n", most);
	KUNIT_EXPECT_GT(test, most, 5000);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(some_memory),
	KUNIT_CASE(tiny_regions),
	KUNIT_CASE(small_regions),
	KUNIT_CASE(huge_regions),
	KUNIT_CASE(many_ranges),
	KUNIT_CASE(fewest_regions),
	KUNIT_CASE(one_sample),
	KUNIT_CASE(many_samples),
	KUNIT_CASE(most_regions),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-properties",
	.test_cases = cases,
};

kunit_test_suite(suite);
