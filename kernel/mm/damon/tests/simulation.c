// SPDX-License-Identifier: GPL-2.0
/*
 * Regions that follow accesses to made-up memory, for tests.
 *
 * Each step is checked against what holds for regions and probes at all times,
 * whatever the accesses are.  What does not hold is said with the seed and the
 * generation, with which it happens again.
 */

#include <linux/mm.h>

#include "../targets.h"
#include "simulation.h"

/* Of an interval with many samples, look closely at the first, then every so many. */
#define CHECK_FIRST	64
#define CHECK_EVERY	61

/* What regions amount to, all together. */
struct sum {
	u64 hits;
	u64 tries;
	u64 oversize;	/* in regions that are larger than they may be */
};

static void free_sim(void *data)
{
	struct damon_sim *sim = data;

	if (sim->target)
		damon_destroy_target(sim->target);
	kvfree(sim->parts);
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
	sim->target = damon_new_target();
	KUNIT_ASSERT_NOT_NULL(test, sim->target);
	return sim;
}

void damon_sim_free(struct damon_sim *sim)
{
	kunit_release_action(sim->test, free_sim, sim);
	kunit_kfree(sim->test, sim);
}

static bool holds(struct damon_sim *sim, const char *step, const char *wrong)
{
	if (wrong)
		KUNIT_FAIL(sim->test, "%s: %s (seed %llu, generation %u)", step, wrong,
			   sim->seed, sim->generation);
	return !wrong;
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

static const char *check_begun(struct damon_sim *sim, unsigned int spare)
{
	struct damon_region *r;
	unsigned int i, nr = 0;

	damon_for_each_region(r, sim->target) {
		unsigned long units = damon_sz_region(r) >> sim->rules.shift;

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
	if (nr > sim->target->nr_regions + spare)
		return "more probes than regions and budget allow";
	return nr == damon_nr_probes(sim->target->regions, sim->target->nr_regions) ?
	       NULL : "damon_nr_probes() is wrong";
}

static const char *check_probes(struct damon_sim *sim)
{
	const struct damon_probes *probes = &sim->target->probes[0];
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

/* From the parts into the target, with none larger than it may be. */
static bool put_parts(struct damon_sim *sim)
{
	struct damon_target *t = sim->target;
	unsigned long max_units = max(sim->rules.max_sz >> sim->rules.shift, 1UL);
	unsigned int room = max(sim->nr_parts, sim->rules.max_nr_regions);
	struct damon_region *r;

	KUNIT_ASSERT_EQ(sim->test, 0, damon_reserve_regions(&t->regions, &t->room, 0, room));
	t->nr_regions = damon_split_large(sim->parts, sim->nr_parts, t->regions, room,
					  &sim->rules);
	if (t->nr_regions > room)
		return holds(sim, "split", "more regions than there is room for");
	if (!holds(sim, "split", check_regions(sim, t->regions, t->nr_regions)))
		return false;
	if (t->nr_regions == room)
		return true;
	damon_for_each_region(r, t) {
		if (damon_sz_region(r) >> sim->rules.shift > max_units)
			return holds(sim, "split", "a region is larger than it may be");
	}
	return true;
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
	KUNIT_ASSERT_EQ(sim->test, 0, damon_reserve_regions(&sim->parts, &sim->parts_room,
							    0, t->nr_regions));
	memcpy(sim->parts, t->regions, t->nr_regions * sizeof(*t->regions));
	sim->nr_parts = t->nr_regions;
	return put_parts(sim);
}

static const char *check_asked(struct damon_sim *sim)
{
	const struct damon_probes *probes = &sim->target->probes[0];
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
	}
	return NULL;
}

static bool ask_sentries(struct damon_sim *sim)
{
	struct damon_target *t = sim->target;
	struct damon_probes *probes = &t->probes[0];
	unsigned int i;

	damon_ask_sentries(t->regions, t->nr_regions, probes, sim->rules.shift);
	if (!holds(sim, "ask", check_asked(sim)))
		return false;
	for (i = 0; i < probes->nr; i++)
		probes->probe[i].state = (sim->saw ?: sim->look)(sim, probes->probe[i].addr);
	damon_hear_sentries(t->regions, probes);
	return true;
}

static bool begin(struct damon_sim *sim)
{
	struct damon_target *t = sim->target;
	unsigned int probes = min(sim->rules.max_nr_regions, DAMON_PROBE_BUDGET);
	unsigned int spare = probes > t->nr_regions ? probes - t->nr_regions : 0;
	unsigned long sz = 0;
	struct damon_region *r;

	damon_for_each_region(r, t)
		sz += damon_sz_region(r);
	spare = min(spare, sz / DAMON_PROBE_SZ);
	damon_begin_regions(t->regions, t->nr_regions, spare, &sim->rules, &sim->random);
	KUNIT_ASSERT_EQ(sim->test, 0,
			damon_reserve_probes(&t->probes[0],
					     damon_nr_probes(t->regions, t->nr_regions)));
	return holds(sim, "begin", check_begun(sim, spare)) && ask_sentries(sim);
}

static bool sample(struct damon_sim *sim, unsigned int nr_before)
{
	bool check = nr_before < CHECK_FIRST || nr_before % CHECK_EVERY == 0;
	struct damon_target *t = sim->target;
	struct damon_probes *probes = &t->probes[0];
	unsigned int i;

	damon_choose_probes(t->regions, t->nr_regions, probes, sim->rules.shift,
			    &sim->random);
	if (check && !holds(sim, "choose", check_probes(sim)))
		return false;
	for (i = 0; i < probes->nr; i++)
		probes->probe[i].state = sim->look(sim, probes->probe[i].addr);
	damon_note_probes(t->regions, probes);
	sim->nr_probes += probes->nr;
	return true;
}

static bool aggregate(struct damon_sim *sim)
{
	const struct damon_rules *rules = &sim->rules;
	struct damon_target *t = sim->target;
	unsigned int nr = t->nr_regions, room, parts;
	struct sum before, after;

	room = clamp(damon_parts_wanted(t->regions, nr), nr,
		     max(nr, 2 * rules->max_nr_regions));
	KUNIT_ASSERT_EQ(sim->test, 0, damon_reserve_regions(&sim->parts, &sim->parts_room,
							    0, room));
	before = sum_of(sim, t->regions, nr);
	parts = damon_cut_regions(t->regions, nr, sim->parts, room, rules);
	after = sum_of(sim, sim->parts, parts);
	if (parts < nr || parts > room)
		return holds(sim, "cut", "fewer or more parts than there may be");
	if (!holds(sim, "cut", check_regions(sim, sim->parts, parts) ?:
			       check_sum(&before, &after)))
		return false;

	before = after;
	nr = damon_merge_regions(sim->parts, parts, rules);
	after = sum_of(sim, sim->parts, nr);
	if (nr > parts || after.oversize != before.oversize)
		return holds(sim, "merge", "a region has become too large");
	if (!holds(sim, "merge", check_regions(sim, sim->parts, nr) ?:
				 check_sum(&before, &after)))
		return false;

	before = after;
	parts = nr;
	nr = damon_limit_regions(sim->parts, parts, rules);
	after = sum_of(sim, sim->parts, nr);
	if (nr > max(rules->max_nr_regions, sim->nr_ranges))
		return holds(sim, "limit", "more regions than there may be");
	if (nr < min(parts, rules->max_nr_regions))
		return holds(sim, "limit", "fewer regions than there need be");
	if (!holds(sim, "limit", check_regions(sim, sim->parts, nr) ?:
				 check_sum(&before, &after)))
		return false;
	sim->nr_parts = nr;
	return true;
}

/*
 * Let an aggregation interval pass.  Returns whether all was as it should be:
 * if not, then the test has failed, and should end.
 */
bool damon_sim_interval(struct damon_sim *sim)
{
	unsigned int i;

	sim->generation++;
	if (!begin(sim))
		return false;
	for (i = 0; i < sim->rules.max_nr_accesses; i++) {
		if (!sample(sim, i))
			return false;
	}
	if (!holds(sim, "note", check_noted(sim)))
		return false;
	return aggregate(sim) && put_parts(sim);
}
