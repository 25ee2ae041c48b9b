// SPDX-License-Identifier: GPL-2.0
/*
 * Monitoring of made-up memory, for tests: by the code that monitors any other, with
 * operations and a clock of its own.
 *
 * Each step is checked against what holds for regions and probes at all times,
 * whatever the accesses are.  What does not hold is said with the seed and the
 * generation, with which it happens again.
 */

#include <kunit/static_stub.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "../monitor.h"
#include "../targets.h"
#include "simulation.h"

/* Of an interval with many samples, look closely at the first, then every so many. */
#define CHECK_FIRST	64
#define CHECK_EVERY	61

/* The one that is being served: functions that take the place of others have no other way. */
static struct damon_sim *serving;

/* What regions amount to, all together. */
struct sum {
	u64 hits;
	u64 tries;
	u64 oversize;	/* in regions that are larger than they may be */
};

static void free_sim(void *data)
{
	struct damon_sim *sim = data;

	if (sim->ctx)
		damon_destroy_ctx(sim->ctx);
	kvfree(sim->parts);
}

static bool sim_sample(struct damon_ctx *ctx, struct damon_target *t,
		       struct damon_probes *done, struct damon_probes *next);

static unsigned long max_units(const struct damon_sim *sim)
{
	return max(sim->rules.max_sz >> sim->rules.shift, 1UL);
}

static bool holds(struct damon_sim *sim, const char *step, const char *wrong)
{
	if (!wrong)
		return true;
	/* What goes wrong may go on to do so: once is enough. */
	if (!sim->failed)
		KUNIT_FAIL(sim->test, "%s: %s (seed %llu, generation %u)", step, wrong,
			   sim->seed, sim->generation);
	sim->failed = true;
	return false;
}

/* The target's ranges, no more and no less. */
static const char *check_cover(struct damon_sim *sim, const struct damon_region *regions,
			       unsigned int nr)
{
	unsigned long mask = (1UL << sim->rules.shift) - 1;
	unsigned int i, at = 0;

	for (i = 0; i < sim->nr_ranges; i++) {
		unsigned long pos = sim->ranges[i].start;

		while (pos < sim->ranges[i].end) {
			const struct damon_region *r = &regions[at];

			if (at++ >= nr)
				return "memory that no region covers";
			if (r->ar.start != pos)
				return "a region does not begin where the one before ends";
			if (r->ar.end <= pos)
				return "an empty region";
			if (r->ar.end > sim->ranges[i].end)
				return "a region beyond its range";
			if (r->ar.end & mask)
				return "an edge is not aligned";
			pos = r->ar.end;
		}
	}
	return at < nr ? "regions after the last range" : NULL;
}

static const char *check_rates(struct damon_sim *sim, const struct damon_region *regions,
			       unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (regions[i].nr_accesses > sim->rules.max_nr_accesses)
			return "more accesses than there were samples";
		if (regions[i].hits > regions[i].tries)
			return "more hits than tries";
	}
	return NULL;
}

static const char *check_regions(struct damon_sim *sim, const struct damon_region *regions,
				 unsigned int nr)
{
	return check_cover(sim, regions, nr) ?: check_rates(sim, regions, nr);
}

static struct sum sum_of(struct damon_sim *sim, const struct damon_region *regions,
			 unsigned int nr)
{
	struct sum sum = {};
	unsigned int i;

	for (i = 0; i < nr; i++) {
		sum.hits += regions[i].hits;
		sum.tries += regions[i].tries;
		if (damon_sz_region(&regions[i]) > sim->rules.max_sz)
			sum.oversize += damon_sz_region(&regions[i]);
	}
	return sum;
}

static const char *check_sum(const struct sum *before, const struct sum *after)
{
	if (before->hits != after->hits || before->tries != after->tries)
		return "outcomes of samples got lost";
	return NULL;
}

/* Where a slot begins that is one of so many of equal size. */
static unsigned long slot_edge(const struct damon_region *r, unsigned int slot,
			       unsigned int shift)
{
	u64 units = damon_sz_region(r) >> shift;

	return r->ar.start + (mul_u64_u32_div(units, slot, r->nr_slots) << shift);
}

/* All together have no more probes than the budget, nor than memory is worth. */
static const char *check_begun(struct damon_sim *sim)
{
	unsigned int budget = min(sim->rules.max_nr_regions, DAMON_PROBE_BUDGET);
	u64 pages = 0, pages_of_probe = DAMON_PROBE_SZ >> PAGE_SHIFT;
	struct damon_region *r;
	unsigned int i, nr = 0;

	damon_for_each_region(r, sim->target) {
		unsigned long units = damon_sz_region(r) >> sim->rules.shift;

		/* The smallest region is of a page. */
		pages += units;
		if (r->nr_slots != min_t(unsigned long, units, DAMON_NR_SLOTS))
			return "a region has not as many slots as it has room for";
		if (!r->nr_probes || r->nr_probes > DAMON_MAX_PROBES)
			return "a region has too few or too many probes";
		nr += r->nr_probes;
		if (r->hits || r->tries)
			return "a region begins with outcomes";
		for (i = 0; i < DAMON_NR_SLOTS; i++) {
			if (r->slots[i].hits || r->slots[i].tries)
				return "a slot begins with outcomes";
		}
	}
	if (nr > max(sim->target->nr_regions, budget) ||
	    nr > sim->target->nr_regions + div64_u64(pages, pages_of_probe))
		return "more probes than regions and budget allow";
	return nr == damon_nr_probes(sim->target->regions, sim->target->nr_regions) ?
	       NULL : "damon_nr_probes() is wrong";
}

static const char *check_probes(struct damon_sim *sim, const struct damon_probes *probes)
{
	unsigned int shift = sim->rules.shift, of_region = 0, i;

	if (probes->nr != damon_nr_probes(sim->target->regions, sim->target->nr_regions))
		return "not all regions have their probes";
	for (i = 0; i < probes->nr; i++) {
		const struct damon_probe *probe = &probes->probe[i], *last = probe - 1;
		const struct damon_region *r = &sim->target->regions[probe->region];

		if (probe->region >= sim->target->nr_regions || probe->slot >= r->nr_slots)
			return "a probe of a region or slot that is not there";
		if (probe->addr < slot_edge(r, probe->slot, shift) ||
		    probe->addr >= slot_edge(r, probe->slot + 1, shift))
			return "a probe is not in its slot";
		if (probe->addr & ((1UL << shift) - 1))
			return "a probe's address is not aligned";
		if (probe->state != DAMON_PROBE_UNKNOWN)
			return "a new probe has an outcome";
		of_region = i && last->region == probe->region ? of_region + 1 : 1;
		if (i && last->addr >= probe->addr)
			return "probes are not in order of address";
		if (i && last->region > probe->region)
			return "probes are not in order of region";
		if (of_region > r->nr_probes)
			return "a region has more probes than it should";
	}
	return NULL;
}

static const char *check_noted(struct damon_sim *sim)
{
	struct damon_region *r;
	unsigned int i;

	damon_for_each_region(r, sim->target) {
		unsigned int hits = 0, tries = 0;

		for (i = 0; i < DAMON_NR_SLOTS; i++) {
			if (r->slots[i].hits > r->slots[i].tries)
				return "a slot has more hits than tries";
			if (i >= r->nr_slots && r->slots[i].tries)
				return "a slot that is not in use has outcomes";
			hits += r->slots[i].hits;
			tries += r->slots[i].tries;
		}
		if (hits != r->hits || tries != r->tries)
			return "a region is not the sum of its slots";
	}
	return NULL;
}

static const char *check_asked(struct damon_sim *sim, const struct damon_probes *probes)
{
	unsigned int i;

	for (i = 0; i < probes->nr; i++) {
		const struct damon_probe *probe = &probes->probe[i];
		const struct damon_region *r = &sim->target->regions[probe->region];

		if (probe->region >= sim->target->nr_regions || probe->slot >= r->nr_slots)
			return "a sentry of a region or slot that is not there";
		if (i && probe[-1].region >= probe->region)
			return "sentries are not in order, one for each region";
		if (probe->addr < slot_edge(r, probe->slot, sim->rules.shift) ||
		    probe->addr >= slot_edge(r, probe->slot + 1, sim->rules.shift))
			return "a sentry is not in its slot";
		if (r->nr_accesses)
			return "a sentry of memory that is accessed";
		if (probe->state != DAMON_PROBE_READY)
			return "a sentry that is not ready";
	}
	return NULL;
}

/* Regions that are going to be monitored. */
static const char *check_split(struct damon_sim *sim)
{
	const struct damon_target *t = sim->target;
	unsigned int most = max(sim->rules.max_nr_regions, sim->nr_ranges);
	const char *wrong = check_regions(sim, t->regions, t->nr_regions);
	struct damon_region *r;

	if (wrong)
		return wrong;
	if (t->nr_regions > most)
		return "more regions than there may be";
	if (t->nr_regions == most)
		return NULL;
	damon_for_each_region(r, t) {
		if (damon_sz_region(r) >> sim->rules.shift > max_units(sim))
			return "a region is larger than it may be";
	}
	return NULL;
}

static void answer(struct damon_sim *sim, struct damon_probes *done, bool sentries)
{
	unsigned int i;

	for (i = 0; i < done->nr; i++) {
		struct damon_probe *probe = &done->probe[i];

		if (probe->state != DAMON_PROBE_READY &&
		    probe->state != DAMON_PROBE_READY_YOUNG)
			holds(sim, "sample", "a probe that was not made ready");
		probe->state = (sentries && sim->saw ? sim->saw : sim->look)(sim, probe->addr);
	}
}

static bool sim_sample(struct damon_ctx *ctx, struct damon_target *t,
		       struct damon_probes *done, struct damon_probes *next)
{
	struct damon_sim *sim = ctx->owner;
	unsigned int nr = sim->nr_samples++, i;
	bool check = nr < CHECK_FIRST || nr % CHECK_EVERY == 0;
	bool sentries = nr > sim->rules.max_nr_accesses;

	if (sim->wait)
		sim->wait(sim, false);
	if (!nr) {
		holds(sim, "split", check_split(sim));
		holds(sim, "begin", check_begun(sim));
	} else if (sentries) {
		holds(sim, "ask", check_asked(sim, done));
	} else {
		sim->nr_probes += done->nr;
		if (check)
			holds(sim, "note", check_noted(sim));
	}
	if (check && nr < sim->rules.max_nr_accesses)
		holds(sim, "choose", check_probes(sim, next));
	answer(sim, done, sentries);
	/* There are none after the last, of which sentries have another call. */
	if (nr >= sim->rules.max_nr_accesses && next->nr)
		holds(sim, "choose", "probes that nobody is going to look at");
	for (i = 0; i < next->nr; i++) {
		next->probe[i].state = DAMON_PROBE_READY;
		if (sim->ready)
			sim->ready(sim, &next->probe[i]);
	}
	sim->ready_since = sim->now;
	if (sim->wait)
		sim->wait(sim, true);
	return true;
}

static ktime_t sim_clock(void)
{
	return serving->now;
}

/* What is reported, while the target has still got the regions that it is made of. */
static void sim_report(unsigned int target_id, const struct damon_region *parts,
		       unsigned int nr)
{
	struct damon_sim *sim = serving;
	const struct damon_target *t = sim->target;
	struct sum before = sum_of(sim, t->regions, t->nr_regions);
	struct sum after = sum_of(sim, parts, nr);

	holds(sim, "note", check_noted(sim));
	holds(sim, "report", check_regions(sim, parts, nr) ?: check_sum(&before, &after));
	if (nr > max(sim->rules.max_nr_regions, sim->nr_ranges))
		holds(sim, "report", "more regions than there may be");
	if (nr < sim->rules.max_nr_regions && after.oversize > before.oversize)
		holds(sim, "report", "a region has become too large");
	if (damon_reserve_regions(&sim->parts, &sim->parts_room, 0, nr)) {
		holds(sim, "report", "no memory");
		return;
	}
	memcpy(sim->parts, parts, nr * sizeof(*parts));
	sim->nr_parts = nr;
	/* The next samples are another interval's. */
	sim->nr_samples = 0;
}

/* Begin anew, with what rules and ranges are now. */
static void restart(struct damon_sim *sim)
{
	unsigned long sample_us = DAMON_SIM_SAMPLE_NS / NSEC_PER_USEC;
	struct damon_attrs attrs = {
		.sample_interval = sample_us,
		.aggr_interval = sample_us * sim->rules.max_nr_accesses,
		.ops_update_interval = ULONG_MAX,
		.min_nr_regions = sim->min_nr_regions,
		.max_nr_regions = sim->rules.max_nr_regions,
	};

	KUNIT_ASSERT_EQ(sim->test, 0, damon_set_attrs(sim->ctx, &attrs));
	sim->ctx->addr_unit = 1UL << (PAGE_SHIFT - sim->rules.shift);
	sim->ctx->restart = true;
	sim->nr_samples = 0;
}

/* Ends with the test at the latest.  A lack of memory fails that. */
struct damon_sim *damon_sim_new(struct kunit *test, const struct damon_rules *rules,
				unsigned long min_nr_regions, u64 seed)
{
	struct damon_sim *sim = kunit_kzalloc(test, sizeof(*sim), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, sim);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_sim, sim));
	sim->test = test;
	sim->rules = *rules;
	sim->min_nr_regions = min_nr_regions;
	sim->seed = seed;
	prandom_seed_state(&sim->random, seed);
	sim->ctx = damon_new_ctx();
	KUNIT_ASSERT_NOT_NULL(test, sim->ctx);
	sim->ctx->owner = sim;
	sim->ctx->ops.id = DAMON_OPS_PADDR;
	sim->ctx->ops.sample = sim_sample;
	prandom_seed_state(&sim->ctx->random, seed);
	sim->target = damon_new_target();
	KUNIT_ASSERT_NOT_NULL(test, sim->target);
	damon_add_target(sim->ctx, sim->target);
	kunit_activate_static_stub(test, damon_clock, sim_clock);
	kunit_activate_static_stub(test, damon_report_regions, sim_report);
	return sim;
}

void damon_sim_free(struct damon_sim *sim)
{
	kunit_release_action(sim->test, free_sim, sim);
	kunit_kfree(sim->test, sim);
}

/* Have it do what is due, by its own clock. */
static void serve(struct damon_sim *sim)
{
	serving = sim;
	damon_serve(sim->ctx);
}

/* Have the target cover sim->ranges, which are new, from now on. */
bool damon_sim_cover(struct damon_sim *sim)
{
	struct damon_target *t = sim->target;
	unsigned long sz = 0;
	unsigned int i;

	for (i = 0; i < sim->nr_ranges; i++)
		sz += sim->ranges[i].end - sim->ranges[i].start;
	sim->rules.max_sz = max(sz / sim->min_nr_regions, 1UL << sim->rules.shift);

	KUNIT_ASSERT_EQ(sim->test, 0, damon_set_regions(t, sim->ranges, sim->nr_ranges));
	if (!holds(sim, "set", check_regions(sim, t->regions, t->nr_regions)))
		return false;
	restart(sim);
	serve(sim);
	return !sim->failed;
}

/*
 * Let an aggregation interval pass.  Returns whether all was as it should be:
 * if not, then the test has failed, and should end.
 */
bool damon_sim_interval(struct damon_sim *sim)
{
	unsigned int i;

	sim->generation++;
	for (i = 0; i < sim->rules.max_nr_accesses && !sim->failed; i++) {
		sim->now = max(sim->now, sim->ctx->next_sample);
		if (sim->late_ns)
			sim->now = ktime_add_ns(sim->now, sim->late_ns(sim));
		serve(sim);
	}
	return !sim->failed;
}
