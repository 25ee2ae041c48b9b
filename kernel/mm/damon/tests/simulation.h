/* SPDX-License-Identifier: GPL-2.0 */
/* A context that monitors made-up memory by a made-up clock, for tests. */
#ifndef _MM_DAMON_TESTS_SIMULATION_H
#define _MM_DAMON_TESTS_SIMULATION_H

#include <kunit/test.h>
#include <linux/damon.h>

#include "../regions.h"

#define DAMON_SIM_MAX_RANGES	64

/* The sampling interval. */
#define DAMON_SIM_SAMPLE_NS	(5 * NSEC_PER_MSEC)

/**
 * struct damon_sim - a context with a target, and memory accessed as a function says
 * @test:		whose it is
 * @rules:		what holds for the regions
 * @min_nr_regions:	how many there shall be at least
 * @look:		what a probe of an address would find
 * @saw:		what a sentry would have seen since the last interval
 *			began; NULL if that is what a probe finds
 * @late_ns:		how late samples are begun to be taken; may be NULL
 * @wait:		what operations do before they look, and when pages have been made
 *			ready, which may move @now on; may be NULL
 * @ready:		what making a probe's page ready does to it, and to memory; NULL
 *			if it becomes ready and nothing else
 * @data:		for these
 * @random:		source of random numbers
 * @seed:		where they began
 * @ranges:		what the target covers; never two that touch
 * @nr_ranges:		how many
 * @ctx:		it is served by damon_serve(), by the test
 * @target:		what is monitored
 * @now:		the time
 * @ready_since:	when the pages that are looked at next were made ready
 * @parts:		the regions of the last aggregation interval, as they are
 *			reported
 * @nr_parts:		how many
 * @parts_room:		how many there is memory for
 * @generation:		aggregation intervals so far
 * @nr_samples:		times that samples were taken, in this one
 * @nr_probes:		samples so far
 * @failed:		something was not as it should be
 */
struct damon_sim {
	struct kunit *test;
	struct damon_rules rules;
	unsigned long min_nr_regions;
	enum damon_probe_state (*look)(struct damon_sim *sim, unsigned long addr);
	enum damon_probe_state (*saw)(struct damon_sim *sim, unsigned long addr);
	u64 (*late_ns)(struct damon_sim *sim);
	void (*wait)(struct damon_sim *sim, bool ready);
	void (*ready)(struct damon_sim *sim, struct damon_probe *probe);
	void *data;
	struct rnd_state random;
	u64 seed;
	struct damon_addr_range ranges[DAMON_SIM_MAX_RANGES];
	unsigned int nr_ranges;
	struct damon_ctx *ctx;
	struct damon_target *target;
	ktime_t now;
	ktime_t ready_since;
	struct damon_region *parts;
	unsigned int nr_parts;
	unsigned int parts_room;
	unsigned int generation;
	unsigned int nr_samples;
	u64 nr_probes;
	bool failed;
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
