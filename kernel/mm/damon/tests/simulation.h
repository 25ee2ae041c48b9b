/* SPDX-License-Identifier: GPL-2.0 */
/* Regions that follow accesses to made-up memory, for tests. */
#ifndef _MM_DAMON_TESTS_SIMULATION_H
#define _MM_DAMON_TESTS_SIMULATION_H

#include <kunit/test.h>
#include <linux/damon.h>

#include "../regions.h"

#define DAMON_SIM_MAX_RANGES	64

/**
 * struct damon_sim - a target, and memory that is accessed as a function says
 * @test:		whose it is
 * @rules:		what holds for the regions
 * @min_nr_regions:	how many there shall be at least
 * @look:		what a probe of an address would find
 * @saw:		what a sentry would have seen since the last interval
 *			began; NULL if that is what a probe finds
 * @data:		for these
 * @random:		source of random numbers
 * @seed:		where they began
 * @ranges:		what the target covers; never two that touch
 * @nr_ranges:		how many
 * @target:		what is monitored
 * @parts:		the regions of the last aggregation interval, as they are
 *			reported
 * @nr_parts:		how many
 * @parts_room:		how many there is memory for
 * @generation:		aggregation intervals so far
 * @nr_probes:		samples so far
 */
struct damon_sim {
	struct kunit *test;
	struct damon_rules rules;
	unsigned long min_nr_regions;
	enum damon_probe_state (*look)(struct damon_sim *sim, unsigned long addr);
	enum damon_probe_state (*saw)(struct damon_sim *sim, unsigned long addr);
	void *data;
	struct rnd_state random;
	u64 seed;
	struct damon_addr_range ranges[DAMON_SIM_MAX_RANGES];
	unsigned int nr_ranges;
	struct damon_target *target;
	struct damon_region *parts;
	unsigned int nr_parts;
	unsigned int parts_room;
	unsigned int generation;
	u64 nr_probes;
};

struct damon_sim *damon_sim_new(struct kunit *test, const struct damon_rules *rules,
				unsigned long min_nr_regions, u64 seed);
void damon_sim_free(struct damon_sim *sim);
bool damon_sim_cover(struct damon_sim *sim);
bool damon_sim_interval(struct damon_sim *sim);

static inline u32 damon_sim_below(struct damon_sim *sim, u32 limit)
{
	return reciprocal_scale(prandom_u32_state(&sim->random), limit);
}

static inline unsigned long damon_sim_ulong(struct damon_sim *sim)
{
	u64 high = prandom_u32_state(&sim->random);

	return high << 32 | prandom_u32_state(&sim->random);
}

#endif /* _MM_DAMON_TESTS_SIMULATION_H */
