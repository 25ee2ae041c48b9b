// SPDX-License-Identifier: GPL-2.0
/*
 * Regions follow the accesses.
 *
 * A sample says at which address memory was, or was not, accessed.  A region is
 * divided into slots of equal size, and keeps the outcomes of an aggregation
 * interval's samples by slot.  At the end of the interval a region whose slots
 * do not agree is cut where hits turn to misses, and neighbours that the
 * evidence cannot tell apart become one.  The parts are what is reported: each
 * with its own rate, so that a new hot spot shows in the interval in which it
 * was found.
 *
 * A miss is weaker evidence than a hit: the program may not have run.  So a few
 * misses within accessed memory cut nothing, while one hit within memory that is
 * not accessed does.
 *
 * All this works on arrays, and knows nothing of what the addresses mean.
 */

#include <linux/init.h>
#include <linux/int_log.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "regions.h"

/* A region that would be cut into more parts has no clear edges. */
#define MAX_PARTS	7

/* Likelihood ratios in 1024ths of a bit. */
#define LIKELIHOOD_BITS	10
/* Less does not tell two neighbouring runs of accessed slots apart, */
#define GAIN_RUNS	4300
/* two neighbouring regions, */
#define GAIN_REGIONS	4300
/* idle memory and memory that is accessed at times, which chance makes alike, */
#define GAIN_IDLE	6000
/* or the two sides of a cut in a region without clear edges. */
#define GAIN_CUT	4300
/* Less leaves it open whether idle memory was accessed when nobody looked there. */
#define GAIN_AGE	6700

/* So many misses in accessed memory are noise; at its edge only one. */
#define NOISE_INSIDE	2
#define NOISE_EDGE	1

/* Idle memory beside accessed memory stays apart up to so many times its size. */
#define GUARD_TIMES	2

/* Idle memory stays apart from what is idle for more than so many times as long. */
#define AGE_TIMES	2
#define AGE_SLACK	5

/* A part with so few samples is most likely less hot than they say, */
#define FEW_TRIES	2
/* as if so many more of them had found nothing. */
#define DOUBTS		2

/* With fewer hits, memory may be a spot that was just found. */
#define MIN_HITS_MIXED	3

#define NR_XLOG2X	256

enum run_kind {
	RUN_UNKNOWN,
	RUN_IDLE,
	RUN_MIXED,
	RUN_ACCESSED,
};

/* Neighbouring slots that are alike. */
struct run {
	unsigned int first;
	unsigned int end;
	unsigned int hits;
	unsigned int tries;
	enum run_kind kind;
};

/* x * log2(x) */
static u32 xlog2x[NR_XLOG2X] __ro_after_init;

static int __init damon_regions_init(void)
{
	unsigned int x;

	for (x = 2; x < NR_XLOG2X; x++)
		xlog2x[x] = ((u64)x * intlog2(x)) >> (24 - LIKELIHOOD_BITS);
	return 0;
}
pure_initcall(damon_regions_init);

/* Logarithm of the likelihood of the outcomes if all have the same rate: <= 0. */
static int likelihood(unsigned int hits, unsigned int tries)
{
	return (int)(xlog2x[hits] + xlog2x[tries - hits]) - (int)xlog2x[tries];
}

/* How much more likely the outcomes are if both have a rate of their own. */
static int likelihood_gain(unsigned int hits_a, unsigned int tries_a,
			   unsigned int hits_b, unsigned int tries_b)
{
	/* All by the same factor, or the terms would not belong together. */
	while (tries_a + tries_b >= NR_XLOG2X) {
		tries_a /= 2;
		hits_a = min(DIV_ROUND_UP(hits_a, 2), tries_a);
		tries_b /= 2;
		hits_b = min(DIV_ROUND_UP(hits_b, 2), tries_b);
	}
	return likelihood(hits_a, tries_a) + likelihood(hits_b, tries_b) -
	       likelihood(hits_a + hits_b, tries_a + tries_b);
}

static enum run_kind kind_of(unsigned int hits, unsigned int tries)
{
	unsigned int allowed = 0;	/* misses that are noise */

	if (!tries)
		return RUN_UNKNOWN;
	if (!hits)
		return RUN_IDLE;
	if (tries >= 12)
		allowed = 2;
	else if (tries >= 4)
		allowed = 1;
	return hits + allowed >= tries ? RUN_ACCESSED : RUN_MIXED;
}

static bool is_accessed(const struct run *run)
{
	return run->kind >= RUN_MIXED;
}

/* Join @nr runs from @at on to one; returns how many runs there are then. */
static unsigned int join_runs(struct run *runs, unsigned int nr_runs,
			      unsigned int at, unsigned int nr)
{
	struct run *run = &runs[at];
	unsigned int i;

	for (i = 1; i < nr; i++) {
		run->hits += run[i].hits;
		run->tries += run[i].tries;
	}
	run->end = run[nr - 1].end;
	run->kind = kind_of(run->hits, run->tries);
	memmove(run + 1, run + nr, (nr_runs - at - nr) * sizeof(*run));
	return nr_runs - nr + 1;
}

static unsigned int find_runs(const struct damon_region *r, struct run *runs)
{
	unsigned int i, nr = 0;

	for (i = 0; i < r->nr_slots; i++) {
		const struct damon_slot *slot = &r->slots[i];
		enum run_kind kind = kind_of(slot->hits, slot->tries);
		struct run *last = nr ? &runs[nr - 1] : NULL;

		if (last && (kind == RUN_UNKNOWN || last->kind == kind ||
			     last->kind == RUN_UNKNOWN)) {
			last->end = i + 1;
			last->hits += slot->hits;
			last->tries += slot->tries;
			if (last->kind == RUN_UNKNOWN)
				last->kind = kind;
			continue;
		}
		runs[nr++] = (struct run){
			.first = i,
			.end = i + 1,
			.hits = slot->hits,
			.tries = slot->tries,
			.kind = kind,
		};
	}
	return nr;
}

/* Take misses that are most likely noise into the accessed runs beside them. */
static unsigned int drop_noise(struct run *runs, unsigned int nr)
{
	unsigned int i = 0;

	while (i < nr && nr > 1) {
		bool at_start = i == 0, at_end = i == nr - 1;

		if (is_accessed(&runs[i]) || runs[i].tries > NOISE_INSIDE ||
		    (!at_start && !is_accessed(&runs[i - 1])) ||
		    (!at_end && !is_accessed(&runs[i + 1]))) {
			i++;
		} else if (!at_start && !at_end) {
			nr = join_runs(runs, nr, i - 1, 3);
		} else if (runs[i].tries <= NOISE_EDGE) {
			nr = join_runs(runs, nr, at_start ? 0 : i - 1, 2);
			i = at_start ? 0 : i;
		} else {
			i++;
		}
	}
	return nr;
}

/* Whether outcomes of which one side has no hit may still have the same rate. */
static bool idle_by_chance(unsigned int hits_a, unsigned int tries_a,
			   unsigned int hits_b, unsigned int tries_b)
{
	if (kind_of(hits_a, tries_a) + kind_of(hits_b, tries_b) != RUN_IDLE + RUN_MIXED)
		return false;
	return hits_a + hits_b >= MIN_HITS_MIXED &&
	       likelihood_gain(hits_a, tries_a, hits_b, tries_b) < GAIN_IDLE;
}

/* Join runs whose rates may well be the same. */
static unsigned int join_alike(struct run *runs, unsigned int nr)
{
	unsigned int i = 1;

	while (i < nr) {
		const struct run *a = &runs[i - 1], *b = &runs[i];

		if ((is_accessed(a) && is_accessed(b) &&
		     likelihood_gain(a->hits, a->tries, b->hits, b->tries) < GAIN_RUNS) ||
		    idle_by_chance(a->hits, a->tries, b->hits, b->tries))
			nr = join_runs(runs, nr, i - 1, 2);
		else
			i++;
	}
	return nr;
}

/* Where there are no clear edges: one cut at the most likely place, or none. */
static unsigned int cut_once(const struct damon_region *r, struct run *runs)
{
	unsigned int i, hits = 0, tries = 0;
	int best = GAIN_CUT;

	runs[0] = (struct run){ .end = r->nr_slots, .hits = r->hits, .tries = r->tries };
	runs[1].first = 0;
	for (i = 0; i + 1 < r->nr_slots; i++) {
		int gain;

		hits += r->slots[i].hits;
		tries += r->slots[i].tries;
		gain = likelihood_gain(hits, tries, r->hits - hits,
				       r->tries - tries);
		if (gain <= best)
			continue;
		best = gain;
		runs[0] = (struct run){ .end = i + 1, .hits = hits, .tries = tries };
		runs[1] = (struct run){
			.first = i + 1,
			.end = r->nr_slots,
			.hits = r->hits - hits,
			.tries = r->tries - tries,
		};
	}
	return runs[1].first ? 2 : 1;
}

/* The address at which a slot begins. */
static unsigned long slot_start(const struct damon_region *r, unsigned int slot,
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

/* A part that was cut out because of its hits has more of them than its due. */
static unsigned int rate_of(unsigned int hits, unsigned int tries, bool is_part,
			    unsigned int max_nr_accesses)
{
	if (is_part && tries <= FEW_TRIES)
		tries += DOUBTS;
	return DIV_ROUND_CLOSEST_ULL((u64)hits * max_nr_accesses, tries);
}

/* How much rates may differ for memory to count as accessed alike. */
static unsigned int rate_threshold(const struct damon_rules *rules)
{
	return max(rules->max_nr_accesses / 10, 1U);
}

/*
 * Whether one of the parts of a region is idle for sure.  A hit tells that there
 * was an access at that time, maybe to all of the region; a miss that there was
 * none at another time.  So one hit in a lot of memory leaves it open.
 */
static bool is_surely_idle(const struct run *run, const struct run *runs,
			   unsigned int nr_runs)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		if (runs[i].hits && likelihood_gain(runs[i].hits, runs[i].tries, 0,
						    run->tries) >= GAIN_AGE)
			return true;
	}
	return nr_runs == 1;
}

static bool is_settled(const struct damon_region *r)
{
	return !r->hits || r->hits == r->tries;
}

/**
 * damon_parts_wanted() - room that damon_cut_regions() may make use of
 * @from:	the regions
 * @nr:		how many
 */
unsigned int damon_parts_wanted(const struct damon_region *from, unsigned int nr)
{
	unsigned int i, wanted = nr;

	for (i = 0; i < nr; i++) {
		if (!is_settled(&from[i]))
			wanted += MAX_PARTS - 1;
	}
	return wanted;
}

/**
 * damon_cut_regions() - the parts of regions, as the samples tell them apart
 * @from:	the regions, at the end of an aggregation interval
 * @nr:		how many
 * @to:		where the parts go, with their nr_accesses and age
 * @room:	the most of them, at least @nr
 * @rules:	what holds for them
 *
 * Without room for more a region stays whole.  Returns the number of parts.
 */
unsigned int damon_cut_regions(const struct damon_region *from, unsigned int nr,
			       struct damon_region *to, unsigned int room,
			       const struct damon_rules *rules)
{
	unsigned int spare = room - nr, nr_to = 0, i, j;
	struct run runs[DAMON_NR_SLOTS];

	for (i = 0; i < nr; i++) {
		const struct damon_region *r = &from[i];
		unsigned int nr_runs = 1;

		if (!is_settled(r)) {
			nr_runs = find_runs(r, runs);
			nr_runs = drop_noise(runs, nr_runs);
			nr_runs = join_alike(runs, nr_runs);
			if (nr_runs > MAX_PARTS)
				nr_runs = cut_once(r, runs);
			if (nr_runs - 1 > spare)
				nr_runs = 1;
			spare -= nr_runs - 1;
		}
		if (nr_runs == 1)
			runs[0] = (struct run){
				.end = r->nr_slots,
				.hits = r->hits,
				.tries = r->tries,
			};
		for (j = 0; j < nr_runs; j++) {
			struct damon_region *part = &to[nr_to++];

			part->ar.start = j ? to[nr_to - 2].ar.end : r->ar.start;
			part->ar.end = j == nr_runs - 1 ? r->ar.end :
				       slot_start(r, runs[j].end, rules->shift);
			part->hits = runs[j].hits;
			part->tries = runs[j].tries;
			part->last_nr_accesses = r->nr_accesses;
			part->nr_accesses = r->nr_accesses;
			if (part->tries)
				part->nr_accesses = rate_of(part->hits, part->tries,
							    nr_runs > 1,
							    rules->max_nr_accesses);
			part->age = min(r->age, UINT_MAX - 1) + 1;
			if (!part->nr_accesses != !r->nr_accesses ||
			    abs_diff(part->nr_accesses, r->nr_accesses) >
			    rate_threshold(rules) ||
			    (!part->hits && !is_surely_idle(&runs[j], runs, nr_runs)))
				part->age = 0;
		}
	}
	return nr_to;
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
	to->nr_accesses = mean(to->nr_accesses, a, r->nr_accesses, b);
	to->last_nr_accesses = mean(to->last_nr_accesses, a, r->last_nr_accesses, b);
	to->age = mean(to->age, a, r->age, b);
	to->hits += r->hits;
	to->tries += r->tries;
	to->ar.end = r->ar.end;
}

static bool is_uncertain(const struct damon_region *r)
{
	return r->tries <= FEW_TRIES;
}

static bool is_hot(const struct damon_region *r)
{
	return r->tries && r->hits * 2 >= r->tries;
}

/*
 * Whether idle memory beside hot memory would grow too large to tell where that
 * has its edge: @idle touches @hot and would become @sz large.
 */
static bool guards(const struct damon_region *idle, const struct damon_region *hot,
		   unsigned long sz)
{
	unsigned long hot_sz = damon_sz_region(hot);

	return is_hot(hot) && damon_sz_region(idle) >= hot_sz / 4 &&
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

	if (!a->tries || !b->tries)
		return a->nr_accesses == b->nr_accesses;
	if (!a->hits && !b->hits) {
		if (differ_in_age(a, b))
			return false;
		if (before && before->ar.end == a->ar.start && guards(a, before, sz))
			return false;
		return !(after && after->ar.start == b->ar.end &&
			 guards(b, after, sz));
	}
	if (!a->hits || !b->hits)
		return idle_by_chance(a->hits, a->tries, b->hits, b->tries);
	/* Too little is known of a new part: it would take cold memory along. */
	if (is_uncertain(a) != is_uncertain(b))
		return false;
	return abs_diff(a->nr_accesses, b->nr_accesses) <= rate_threshold(rules) ||
	       likelihood_gain(a->hits, a->tries, b->hits, b->tries) < GAIN_REGIONS;
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

/**
 * damon_limit_regions() - keep the upper bound on the number of regions
 * @regions:	parts, from damon_merge_regions()
 * @nr:		how many
 * @rules:	what holds for them
 *
 * While there are too many, neighbours are joined that differ by more and more,
 * whatever size that gives.  Returns how many are left: more than the bound only
 * where the target has more ranges of addresses than that.
 */
unsigned int damon_limit_regions(struct damon_region *regions, unsigned int nr,
				 const struct damon_rules *rules)
{
	unsigned int threshold = 0;

	while (nr > rules->max_nr_regions) {
		unsigned int i, last = 0, left = nr;

		for (i = 1; i < nr; i++) {
			struct damon_region *a = &regions[last];
			const struct damon_region *b = &regions[i];

			if (left > rules->max_nr_regions &&
			    a->ar.end == b->ar.start &&
			    abs_diff(a->nr_accesses, b->nr_accesses) <= threshold) {
				absorb(a, b, rules->shift);
				left--;
			} else {
				regions[++last] = *b;
			}
		}
		nr = last + 1;
		if (threshold >= rules->max_nr_accesses)
			break;
		threshold = min((u64)threshold * 2 + rate_threshold(rules),
				(u64)rules->max_nr_accesses);
	}
	return nr;
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
		unsigned long max_units = max(rules->max_sz >> rules->shift, 1UL);
		unsigned long extra = units ? (units - 1) / max_units : 0;
		unsigned int parts = 1 + min_t(unsigned long, extra, spare);

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
		unsigned int more = div64_u64((u64)units * spare, max(total, 1UL));

		r->nr_slots = clamp(units, 1UL, (unsigned long)DAMON_NR_SLOTS);
		r->nr_probes = 1;
		if (r->nr_slots == DAMON_NR_SLOTS)
			r->nr_probes += min(more, DAMON_MAX_PROBES - 1U);
		r->turn = reciprocal_scale(prandom_u32_state(random), r->nr_slots);
		r->hits = 0;
		r->tries = 0;
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
	unsigned long start = slot_start(r, slot, shift), units;

	if (r->nr_slots < DAMON_NR_SLOTS)
		return start;
	units = (slot_start(r, slot + 1, shift) - start) >> shift;
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
		}
	}
}
