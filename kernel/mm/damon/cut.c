// SPDX-License-Identifier: GPL-2.0
/*
 * Cutting: the parts of regions whose samples do not agree.
 *
 * A region is divided into slots of equal size, and keeps the outcomes of an
 * aggregation interval's samples by slot.  At the end of the interval it is cut
 * where hits turn to misses.  A few misses within accessed memory cut nothing,
 * while one hit within memory that is not accessed does.
 */

#include <linux/kernel.h>
#include <linux/string.h>

#include "evidence.h"
#include "regions.h"

/* A region that would be cut into more parts has no clear edges. */
#define MAX_PARTS	7

/* Less does not tell two neighbouring runs of accessed slots apart, */
#define GAIN_RUNS	4300
/* or the two sides of a cut in a region without clear edges. */
#define GAIN_CUT	4300
/* Less leaves it open whether idle memory was accessed when nobody looked there. */
#define GAIN_AGE	6700

/* What a sentry saw was an access to all that is no further away than so many slots, */
#define ALARM_SLOTS	2
/* maybe; the rest is as old as it was by this part. */
#define ALARM_SHARE	2
/* Parts stay apart for so many times as long as there was no access, within limits, */
#define APART_TIMES	3
#define APART_LEAST	10U
#define APART_MOST	100U
/* and whole meanwhile. */

/* With more hits than so many, it was no moment that the sentry saw. */
#define MOMENT_HITS	3

/* So many misses in accessed memory are noise; at its edge only one. */
#define NOISE_INSIDE	2
#define NOISE_EDGE	1

/* A part with few samples is rated as if so many more of them had found nothing. */
#define DOUBTS		2

/* Neighbouring slots that are alike. */
struct run {
	unsigned int first;
	unsigned int end;
	unsigned int hits;
	unsigned int tries;
	enum damon_kind kind;
	bool far;	/* from what a sentry saw */
};

static bool is_accessed(const struct run *run)
{
	return run->kind >= DAMON_KIND_MIXED;
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
	run->kind = damon_kind_of(run->hits, run->tries);
	memmove(run + 1, run + nr, (nr_runs - at - nr) * sizeof(*run));
	return nr_runs - nr + 1;
}

static unsigned int find_runs(const struct damon_region *r, struct run *runs)
{
	unsigned int i, nr = 0;

	for (i = 0; i < r->nr_slots; i++) {
		const struct damon_slot *slot = &r->slots[i];
		enum damon_kind kind = damon_kind_of(slot->hits, slot->tries);
		struct run *last = nr ? &runs[nr - 1] : NULL;

		if (last && (kind == DAMON_KIND_UNKNOWN || last->kind == kind ||
			     last->kind == DAMON_KIND_UNKNOWN)) {
			last->end = i + 1;
			last->hits += slot->hits;
			last->tries += slot->tries;
			if (last->kind == DAMON_KIND_UNKNOWN)
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

/* Join runs whose rates may well be the same. */
static unsigned int join_alike(struct run *runs, unsigned int nr)
{
	unsigned int i = 1;

	while (i < nr) {
		const struct run *a = &runs[i - 1], *b = &runs[i];

		if ((is_accessed(a) && is_accessed(b) &&
		     damon_likelihood_gain(a->hits, a->tries, b->hits, b->tries) < GAIN_RUNS) ||
		    damon_idle_by_chance(a->hits, a->tries, b->hits, b->tries))
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
		gain = damon_likelihood_gain(hits, tries, r->hits - hits,
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

/* Cut a run in two, the second of which begins with a slot.  Returns how many there are. */
static unsigned int cut_run(const struct damon_region *r, struct run *runs,
			    unsigned int nr_runs, unsigned int at, unsigned int slot)
{
	struct run *run = &runs[at], *rest = run + 1;
	unsigned int i;

	memmove(rest + 1, rest, (nr_runs - at - 1) * sizeof(*run));
	*rest = (struct run){ .first = slot, .end = run->end, .kind = run->kind };
	run->end = slot;
	for (i = rest->first; i < rest->end; i++)
		rest->tries += r->slots[i].tries;
	run->tries -= rest->tries;
	return nr_runs + 1;
}

/*
 * After an alarm: idle slots that are far from those with hits become parts of their
 * own.  They are less likely to belong to what was accessed.
 */
static unsigned int cut_far(const struct damon_region *r, struct run *runs,
			    unsigned int nr_runs)
{
	unsigned int i = 0;

	while (i < nr_runs && nr_runs < MAX_PARTS - 1) {
		unsigned int first = runs[i].first, end = runs[i].end;

		if (i)
			first += ALARM_SLOTS;
		if (i < nr_runs - 1)
			end -= min(end, ALARM_SLOTS);
		if (runs[i].kind != DAMON_KIND_IDLE || first >= end) {
			i++;
			continue;
		}
		if (first > runs[i].first)
			nr_runs = cut_run(r, runs, nr_runs, i++, first);
		runs[i].far = true;
		if (end < runs[i].end)
			nr_runs = cut_run(r, runs, nr_runs, i++, end);
		i++;
	}
	return nr_runs;
}

/* A part that was cut out because of its hits has more of them than its due. */
static unsigned int rate_of(unsigned int hits, unsigned int tries, bool is_part,
			    unsigned int max_nr_accesses)
{
	if (is_part && tries <= DAMON_FEW_TRIES)
		tries += DOUBTS;
	return DIV_ROUND_CLOSEST_ULL((u64)hits * max_nr_accesses, tries);
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
		if (runs[i].hits &&
		    damon_likelihood_gain(runs[i].hits, runs[i].tries, 0,
					  run->tries) >= GAIN_AGE)
			return true;
	}
	return nr_runs == 1;
}

/* Whether it was accessed in a moment that samples have hardly seen. */
static bool is_alarmed(const struct damon_region *r)
{
	return r->alarm && r->hits <= MOMENT_HITS;
}

static bool is_settled(const struct damon_region *r)
{
	return !r->hits || r->hits == r->tries || (r->apart && is_alarmed(r));
}

/* How long a part stays apart. */
static unsigned int apart(const struct damon_region *r, unsigned int nr_parts)
{
	if (r->apart)
		return r->apart - 1;
	if (!is_alarmed(r) || nr_parts == 1)
		return 0;
	return clamp(min(r->age, APART_MOST) * APART_TIMES, APART_LEAST, APART_MOST);
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
			else if (is_alarmed(r) && nr_runs > 1)
				nr_runs = cut_far(r, runs, nr_runs);
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
				       damon_slot_start(r, runs[j].end, rules->shift);
			part->hits = runs[j].hits;
			part->tries = runs[j].tries;
			part->has_sentry = r->has_sentry;
			part->sentry = r->sentry;
			part->apart = apart(r, nr_runs);
			part->last_nr_accesses = r->nr_accesses;
			part->nr_accesses = r->nr_accesses;
			if (part->tries)
				part->nr_accesses = rate_of(part->hits, part->tries,
							    nr_runs > 1,
							    rules->max_nr_accesses);
			part->age = r->age;
			/* No older by an interval that nothing is known of. */
			if (part->tries)
				part->age = min(r->age, UINT_MAX - 1) + 1;
			if (!part->nr_accesses != !r->nr_accesses ||
			    abs_diff(part->nr_accesses, r->nr_accesses) >
			    damon_rate_threshold(rules))
				part->age = 0;
			else if (!part->hits && r->alarm)
				part->age = runs[j].far ? part->age / ALARM_SHARE : 0;
			else if (!part->hits && !is_surely_idle(&runs[j], runs, nr_runs))
				part->age = 0;
		}
	}
	return nr_to;
}
