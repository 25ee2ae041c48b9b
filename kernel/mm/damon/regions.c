// SPDX-License-Identifier: GPL-2.0
/*
 * Regions follow the accesses.
 *
 * A sample says at which address memory was, or was not, accessed.  At the end of
 * an aggregation interval regions whose samples do not agree are cut (cut.c), and
 * neighbours that the evidence cannot tell apart become one.  The parts are what is
 * reported: each with its own rate, so that a new hot spot shows in the interval in
 * which it was found.
 *
 * All this works on arrays, and knows nothing of what the addresses mean.
 */

#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "evidence.h"
#include "math.h"
#include "regions.h"

/* Less does not tell two neighbouring regions apart. */
#define GAIN_REGIONS	4300

/* Idle memory beside accessed memory stays apart up to so many times its size. */
#define GUARD_TIMES	2

/* Idle memory stays apart from what is idle for more than so many times as long. */
#define AGE_TIMES	2
#define AGE_SLACK	5

/**
 * damon_slot_start() - the address at which a slot begins
 * @r:		the region
 * @slot:	which slot; one after the last for the end
 * @shift:	log2 of the smallest that a region may be
 */
unsigned long damon_slot_start(const struct damon_region *r, unsigned int slot,
			       unsigned int shift)
{
	unsigned long units = damon_sz_region(r) >> shift;

	/* With fewer slots than DAMON_NR_SLOTS each is of the smallest size. */
	if (r->nr_slots == DAMON_NR_SLOTS)
		units = units / DAMON_NR_SLOTS * slot +
			units % DAMON_NR_SLOTS * slot / DAMON_NR_SLOTS;
	else
		units = slot;
	return r->ar.start + (units << shift);
}

/**
 * damon_slot_of() - the slot that an address is in
 * @r:		the region
 * @addr:	an address of it
 * @shift:	log2 of the smallest that a region may be
 */
unsigned int damon_slot_of(const struct damon_region *r, unsigned long addr,
			   unsigned int shift)
{
	unsigned int slot = r->nr_slots - 1;

	while (slot && damon_slot_start(r, slot, shift) > addr)
		slot--;
	return slot;
}

static unsigned int mean(unsigned int value_a, u64 a, unsigned int value_b, u64 b)
{
	return div64_u64(a * value_a + b * value_b + (a + b) / 2, a + b);
}

/* Add a region to the one that ends where it begins. */
static void absorb(struct damon_region *to, const struct damon_region *r,
		   unsigned int shift)
{
	u64 a = damon_sz_region(to) >> shift, b = damon_sz_region(r) >> shift;

	/* Sizes that leave room for what they are multiplied with. */
	while (a + b > U32_MAX) {
		a = DIV_ROUND_UP(a, 2);
		b = DIV_ROUND_UP(b, 2);
	}
	damon_take_sentry(to, r);
	to->nr_accesses = mean(to->nr_accesses, a, r->nr_accesses, b);
	to->last_nr_accesses = mean(to->last_nr_accesses, a, r->last_nr_accesses, b);
	to->age = mean(to->age, a, r->age, b);
	to->apart = max(to->apart, r->apart);
	to->hits += r->hits;
	to->tries += r->tries;
	/* Of more samples than can be counted, the rate stays. */
	if (to->tries > INT_MAX) {
		to->hits /= 2;
		to->tries /= 2;
	}
	to->ar.end = r->ar.end;
}

static bool is_uncertain(const struct damon_region *r)
{
	return r->tries <= DAMON_FEW_TRIES;
}

/* What nothing is known of is as it was. */
static bool is_idle(const struct damon_region *r)
{
	return r->tries ? !r->hits : !r->nr_accesses;
}

static bool is_hot(const struct damon_region *r, const struct damon_rules *rules)
{
	if (!r->tries)
		return r->nr_accesses >= DIV_ROUND_UP(rules->max_nr_accesses, 2U);
	return r->hits >= r->tries / 2 + r->tries % 2;
}

/*
 * Whether idle memory beside hot memory would grow too large to tell where that
 * has its edge: @idle touches @hot and would become @sz large.
 */
static bool guards(const struct damon_region *idle, const struct damon_region *hot,
		   unsigned long sz, const struct damon_rules *rules)
{
	unsigned long hot_sz = damon_sz_region(hot);

	return is_hot(hot, rules) && damon_sz_region(idle) >= hot_sz / 4 &&
	       sz / GUARD_TIMES > hot_sz;
}

/* Whether one of two idle regions was accessed much later than the other. */
static bool differ_in_age(const struct damon_region *a, const struct damon_region *b)
{
	unsigned int young = min(a->age, b->age), old = max(a->age, b->age);

	return old / AGE_TIMES > (u64)young + AGE_SLACK;
}

/* @a and @b, with what comes @before the one and @after the other. */
static bool are_alike(const struct damon_region *a, const struct damon_region *b,
		      const struct damon_region *before,
		      const struct damon_region *after,
		      const struct damon_rules *rules)
{
	unsigned long sz = b->ar.end - a->ar.start;

	if (is_idle(a) && is_idle(b)) {
		if (a->apart || b->apart || differ_in_age(a, b))
			return false;
		if (before && before->ar.end == a->ar.start && guards(a, before, sz, rules))
			return false;
		return !(after && after->ar.start == b->ar.end &&
			 guards(b, after, sz, rules));
	}
	if (!a->tries || !b->tries)
		return a->nr_accesses == b->nr_accesses;
	if (is_idle(a) || is_idle(b))
		return damon_idle_by_chance(a->hits, a->tries, b->hits, b->tries);
	/* Too little is known of a new part: it would take cold memory along. */
	if (is_uncertain(a) != is_uncertain(b))
		return false;
	return abs_diff(a->nr_accesses, b->nr_accesses) <= damon_rate_threshold(rules) ||
	       damon_likelihood_gain(a->hits, a->tries, b->hits, b->tries) < GAIN_REGIONS;
}

/**
 * damon_merge_regions() - make one of neighbours that are accessed alike
 * @regions:	parts, from damon_cut_regions()
 * @nr:		how many
 * @rules:	what holds for them
 *
 * Return: how many are left.
 */
unsigned int damon_merge_regions(struct damon_region *regions, unsigned int nr,
				 const struct damon_rules *rules)
{
	unsigned int i, last = 0;

	for (i = 1; i < nr; i++) {
		struct damon_region *a = &regions[last];
		const struct damon_region *b = &regions[i];

		if (a->ar.end == b->ar.start &&
		    b->ar.end - a->ar.start <= rules->max_sz &&
		    are_alike(a, b, last ? a - 1 : NULL,
			      i + 1 < nr ? b + 1 : NULL, rules))
			absorb(a, b, rules->shift);
		else
			regions[++last] = *b;
	}
	return nr ? last + 1 : 0;
}

/* Costs of joining are told apart by their logarithm, in halves. */
#define NR_COSTS	192

/* Twice the logarithm; of 0 that of 1. */
static unsigned int log_halves(u64 x)
{
	unsigned int log;

	if (x < 2)
		return 0;
	log = ilog2(x);
	return 2 * log + ((x >> (log - 1)) & 1);
}

/*
 * What is lost if @a and @b become one: the square of how much their rates differ, for
 * the memory of the smaller one, whose rate is to change more.  Where rates are the
 * same, ages count a little.
 */
static unsigned int cost_of_joining(const struct damon_region *a,
				    const struct damon_region *b,
				    const struct damon_rules *rules)
{
	unsigned int rates = abs_diff(a->nr_accesses, b->nr_accesses);
	unsigned int ages = abs_diff(log_halves(a->age + 1ULL), log_halves(b->age + 1ULL));
	unsigned long sz = min(damon_sz_region(a), damon_sz_region(b)) >> rules->shift;
	u64 differ;

	/* In thousandths of the most that rates can differ by. */
	differ = div_u64(rates * 1000ULL, max(rules->max_nr_accesses, 1U));
	return min(2 * log_halves(differ + ages) + log_halves(sz), NR_COSTS - 1U);
}

/* Whether @b begins where @a ends. */
static bool touch(const struct damon_region *a, const struct damon_region *b)
{
	return a->ar.end == b->ar.start;
}

/*
 * Join pairs of neighbours that cost least, @excess of them or less.  Of those that cost
 * the same as the dearest, some all over the addresses.  Each region becomes part of one
 * pair at most, as it then costs something else.  Returns how many regions are left.
 */
static unsigned int join_cheapest(struct damon_region *regions, unsigned int nr,
				  unsigned int excess, const struct damon_rules *rules)
{
	unsigned int nr_of_cost[NR_COSTS] = {};
	unsigned int dearest, wanted = excess, turn = 0, last = 0, i;
	bool joined = false, deferred = false;

	for (i = 1; i < nr; i++) {
		if (touch(&regions[i - 1], &regions[i]))
			nr_of_cost[cost_of_joining(&regions[i - 1], &regions[i], rules)]++;
	}
	for (dearest = 0; dearest < NR_COSTS - 1; dearest++) {
		if (nr_of_cost[dearest] >= wanted)
			break;
		wanted -= nr_of_cost[dearest];
	}
	wanted = min(wanted, nr_of_cost[dearest]);

	for (i = 1; i < nr; i++) {
		struct damon_region *a = &regions[last];
		const struct damon_region *b = &regions[i];
		unsigned int cost = NR_COSTS;

		/* What @a has become part of ends where @b begins, too. */
		if (!joined && touch(a, b))
			cost = cost_of_joining(a, b, rules);
		if (cost == dearest) {
			turn += wanted;
			if (turn < nr_of_cost[dearest])
				cost = NR_COSTS;
			else
				turn -= nr_of_cost[dearest];
		}
		/* With the next one it may be cheaper still. */
		deferred = cost <= dearest && !deferred && i + 1 < nr && touch(b, b + 1) &&
			   cost_of_joining(b, b + 1, rules) < cost;
		joined = cost <= dearest && !deferred;
		if (joined)
			absorb(a, b, rules->shift);
		else
			regions[++last] = *b;
	}
	return last + 1;
}

/**
 * damon_limit_regions() - keep the upper bound on the number of regions
 * @regions:	parts, from damon_merge_regions()
 * @nr:		how many
 * @rules:	what holds for them
 *
 * While there are too many, neighbours are joined, those first with which least is
 * lost, wherever they are and whatever size that gives.  Returns how many are left: more
 * than the bound only where the target has more ranges of addresses than that.  Sleeps.
 */
unsigned int damon_limit_regions(struct damon_region *regions, unsigned int nr,
				 const struct damon_rules *rules)
{
	while (nr > rules->max_nr_regions) {
		unsigned int left = join_cheapest(regions, nr, nr - rules->max_nr_regions,
						  rules);

		if (left == nr)
			break;
		nr = left;
		cond_resched();
	}
	return nr;
}

/* Parts of a region none of which is larger than it may be, beyond the first one. */
static unsigned long extra_parts(const struct damon_region *r,
				 const struct damon_rules *rules)
{
	unsigned long units = damon_sz_region(r) >> rules->shift;
	unsigned long max_units = max(rules->max_sz >> rules->shift, 1UL);

	return units ? (units - 1) / max_units : 0;
}

/**
 * damon_nr_split() - room that damon_split_large() can make use of
 * @from:	regions
 * @nr:		how many
 * @rules:	what holds for them
 */
unsigned int damon_nr_split(const struct damon_region *from, unsigned int nr,
			    const struct damon_rules *rules)
{
	unsigned int i, wanted = nr;

	for (i = 0; i < nr; i++)
		wanted += min(extra_parts(&from[i], rules), (unsigned long)UINT_MAX - wanted);
	return wanted;
}

/**
 * damon_split_large() - cut regions that are larger than they may be, evenly
 * @from:	regions
 * @nr:		how many
 * @to:		where the parts go
 * @room:	the most of them, at least @nr
 * @rules:	what holds for them
 *
 * Return: the number of parts.
 */
unsigned int damon_split_large(const struct damon_region *from, unsigned int nr,
			       struct damon_region *to, unsigned int room,
			       const struct damon_rules *rules)
{
	unsigned int spare = room - nr, nr_to = 0, i, j;

	for (i = 0; i < nr; i++) {
		unsigned long units = damon_sz_region(&from[i]) >> rules->shift;
		unsigned int parts = 1 + min_t(unsigned long, spare,
					       extra_parts(&from[i], rules));

		spare -= parts - 1;
		for (j = 0; j < parts; j++) {
			struct damon_region *part = &to[nr_to++];

			*part = from[i];
			if (j)
				part->ar.start = to[nr_to - 2].ar.end;
			if (j < parts - 1)
				part->ar.end = part->ar.start +
					       ((units / parts + (j < units % parts)) <<
						rules->shift);
		}
	}
	return nr_to;
}

/**
 * damon_begin_regions() - make regions ready for an aggregation interval
 * @regions:	the regions
 * @nr:		how many
 * @spare:	samples in each sampling interval to give large regions
 *		beyond the one that each region has
 * @rules:	what holds for them
 * @random:	source of random numbers
 */
void damon_begin_regions(struct damon_region *regions, unsigned int nr,
			 unsigned int spare, const struct damon_rules *rules,
			 struct rnd_state *random)
{
	unsigned long total = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		total += damon_sz_region(&regions[i]) >> rules->shift;
	for (i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i];
		unsigned long units = damon_sz_region(r) >> rules->shift;
		unsigned int more = damos_muldiv(units, spare, max(total, 1UL));

		r->nr_slots = clamp(units, 1UL, (unsigned long)DAMON_NR_SLOTS);
		r->nr_probes = 1;
		if (r->nr_slots == DAMON_NR_SLOTS)
			r->nr_probes += min(more, DAMON_MAX_PROBES - 1U);
		r->turn = reciprocal_scale(prandom_u32_state(random), r->nr_slots);
		r->hits = 0;
		r->tries = 0;
		r->alarm = false;
		memset(r->slots, 0, sizeof(r->slots));
	}
}

/**
 * damon_nr_probes() - how many samples the regions get in a sampling interval
 * @regions:	the regions
 * @nr:		how many
 */
unsigned int damon_nr_probes(const struct damon_region *regions, unsigned int nr)
{
	unsigned int i, nr_probes = 0;

	for (i = 0; i < nr; i++)
		nr_probes += regions[i].nr_probes;
	return nr_probes;
}

/*
 * The next slot.  All have their turn before any has its second, and those that
 * follow one another are far apart.
 */
static unsigned int next_slot(struct damon_region *r)
{
	const unsigned int stride = 11;
	unsigned int slot = r->turn;

	if (r->nr_slots == DAMON_NR_SLOTS)
		slot = slot * stride % DAMON_NR_SLOTS;
	r->turn = r->turn + 1 == r->nr_slots ? 0 : r->turn + 1;
	return slot;
}

static unsigned long address_in_slot(const struct damon_region *r,
				     unsigned int slot, unsigned int shift,
				     struct rnd_state *random)
{
	unsigned long start = damon_slot_start(r, slot, shift), units;

	if (r->nr_slots < DAMON_NR_SLOTS)
		return start;
	units = (damon_slot_start(r, slot + 1, shift) - start) >> shift;
	if (units < 2)
		return start;
	units = mul_u64_u32_shr(units, prandom_u32_state(random), 32);
	return start + (units << shift);
}

/**
 * damon_choose_probes() - where to look in the next sampling interval
 * @regions:	the regions
 * @nr:		how many
 * @probes:	to fill, in order of address, as far as there is room
 * @shift:	log2 of what an address is aligned to
 * @random:	source of random numbers
 */
void damon_choose_probes(struct damon_region *regions, unsigned int nr,
			 struct damon_probes *probes, unsigned int shift,
			 struct rnd_state *random)
{
	unsigned int i, j, k, nr_probes = 0;

	for (i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i];
		struct damon_probe *first = &probes->probe[nr_probes];

		if (nr_probes + r->nr_probes > probes->room)
			break;
		for (j = 0; j < r->nr_probes; j++) {
			unsigned int slot = next_slot(r);

			for (k = j; k && first[k - 1].slot > slot; k--)
				first[k] = first[k - 1];
			first[k] = (struct damon_probe){
				.addr = address_in_slot(r, slot, shift, random),
				.region = i,
				.slot = slot,
			};
		}
		nr_probes += r->nr_probes;
	}
	probes->nr = nr_probes;
}

/**
 * damon_note_probes() - take what probes found as their regions' evidence
 * @regions:	the regions
 * @probes:	the probes; those of unknown state do not count
 */
void damon_note_probes(struct damon_region *regions,
		       const struct damon_probes *probes)
{
	unsigned int i;

	for (i = 0; i < probes->nr; i++) {
		const struct damon_probe *probe = &probes->probe[i];
		struct damon_region *r = &regions[probe->region];
		struct damon_slot *slot = &r->slots[probe->slot];

		if (probe->state == DAMON_PROBE_UNKNOWN)
			continue;
		/* An interval of more samples than can be counted: the rate stays. */
		if (slot->tries == U16_MAX) {
			r->tries -= slot->tries - slot->tries / 2;
			r->hits -= slot->hits - slot->hits / 2;
			slot->tries /= 2;
			slot->hits /= 2;
		}
		slot->tries++;
		r->tries++;
		if (probe->state == DAMON_PROBE_ACCESSED) {
			slot->hits++;
			r->hits++;
		} else if (!r->has_sentry) {
			r->has_sentry = true;
			r->sentry = probe->addr;
		}
	}
}
