// SPDX-License-Identifier: GPL-2.0
/*
 * Applying a scheme: to each region that its pattern matches, as far as filters
 * and quota let it.
 *
 * Regions are gone through once, in order, from where the quota ended the last
 * time, and from the front up to there.  What filters or the quota let through of
 * a region is a range of its own: it is what is tried, counted and reported.  If
 * regions may change, that range becomes a region of its own, too, with the age of
 * memory that has just changed; between two samples they may not, and a region's
 * age begins anew only where all of it was acted on.
 *
 * The action itself is done in bites that take some milliseconds, whatever the size of
 * the region.  Between two of them the kdamond does what others wait for.
 */

#include <linux/damon.h>
#include <linux/ktime.h>
#include <linux/sizes.h>

#include <trace/events/damon.h>

#include "monitor.h"
#include "schemes.h"
#include "targets.h"

/* Memory is chosen by priority so many times at most, see has_left_some(). */
#define MOST_TURNS	(DAMOS_MAX_SCORE + 1)

/* How long a bite shall take, in ns; and between which sizes that is tried, in bytes. */
#define BITE_NS		(10 * NSEC_PER_MSEC)
#define LEAST_BITE	SZ_2M
#define MOST_BITE	SZ_1G

/* A place in all of a context's memory, in the order in which it is gone through. */
struct place {
	unsigned long target_idx;
	unsigned long addr;
};

static const struct place the_end = { ULONG_MAX, ULONG_MAX };

/* A scheme is applied. */
struct round {
	struct damon_ctx *ctx;
	struct damos *s;
	unsigned int scheme_idx;
	unsigned int nr_regions;	/* of all targets */
	unsigned long bite;		/* bytes to act on at a time */
	bool may_cut;			/* regions may be cut */
	bool skipped;			/* something is left for later */
	bool stopped;			/* and so will be all that follows */
	bool called_off;		/* as the kdamond is wanted for something else */
	bool has_later;			/* from where on: */
	struct place later;
	struct place at;		/* how far it has got */
};

/* A region, or the part of it whose turn it is, in the @target_idx-th target. */
struct candidate {
	struct damon_target *t;
	unsigned long target_idx;
	unsigned int at;	/* its index, or that of the part that is left of it */
	const struct damon_region *whole;
	unsigned int score;
};

/**
 * damos_matches() - whether a region is of a scheme's access pattern
 * @ctx:	the context
 * @s:		the scheme
 * @r:		the region
 */
bool damos_matches(const struct damon_ctx *ctx, const struct damos *s,
		   const struct damon_region *r)
{
	const struct damos_access_pattern *p = &s->pattern;
	unsigned long sz = damon_bytes(ctx, damon_sz_region(r));

	return sz >= p->min_sz_region && sz <= p->max_sz_region &&
	       r->nr_accesses >= p->min_nr_accesses &&
	       r->nr_accesses <= p->max_nr_accesses &&
	       r->age >= p->min_age_region && r->age <= p->max_age_region;
}

/**
 * damos_next_passing() - find what core filters let through
 * @ctx:	the context
 * @target_idx:	which of its targets
 * @s:		a scheme of it
 * @range:	where to begin; becomes what is let through, as a whole
 * @end:	where to stop
 *
 * Sets also whether the operations' filters are to be asked.  Returns false when
 * there is nothing more.
 */
bool damos_next_passing(const struct damon_ctx *ctx, unsigned long target_idx,
			struct damos *s, struct damon_addr_range *range,
			unsigned long end)
{
	while (range->start < end) {
		enum damos_verdict verdict;

		range->end = end;
		verdict = damos_core_verdict(ctx, target_idx, s, range, &range->end);
		s->core_passed = verdict == DAMOS_PASS;
		if (verdict != DAMOS_REJECT)
			return true;
		range->start = range->end;
	}
	return false;
}

static void leave_for_later(struct round *round, const struct candidate *c,
			    unsigned long addr)
{
	const struct damos_quota *quota = &round->s->quota;

	if (round->called_off)
		return;
	round->skipped = true;
	round->stopped |= damos_quota_is_full(quota);
	/* What has a low priority is not what to begin with. */
	if (round->has_later || (c->score < quota->min_score && !round->stopped))
		return;
	round->has_later = true;
	round->later = (struct place){ c->target_idx, addr };
}

/* Where to stop in a range so that the quota is kept; its start if there is none. */
static unsigned long end_of_slice(const struct round *round, unsigned int score,
				  const struct damon_addr_range *range)
{
	const struct damos_quota *quota = &round->s->quota;
	const struct damon_ctx *ctx = round->ctx;
	unsigned long unit = max(ctx->addr_unit, 1UL);
	unsigned long left = damos_quota_left(quota, score) / unit;
	unsigned long sz = damos_quota_slice(quota, score) / unit;
	unsigned long end, huge;

	if (sz >= range->end - range->start)
		return range->end;
	end = round_down(range->start + sz, 1UL << damon_region_shift(ctx));
	/* If there is more to come: rather between two huge pages than within one. */
	huge = round_down(end, max(SZ_2M / unit, 1UL));
	if (sz < left && huge > range->start)
		return huge;
	return max(end, range->start);
}

/* What has become of a slice. */
struct outcome {
	unsigned long applied;
	unsigned long passed;
	bool touched;
	u64 ns;
};

/* Where to stop in a range so that it does not take long; between two huge pages. */
static unsigned long end_of_bite(const struct round *round,
				 const struct damon_addr_range *range)
{
	unsigned long unit = max(round->ctx->addr_unit, 1UL);
	unsigned long sz = max(round->bite / unit, 1UL);

	if (sz >= range->end - range->start)
		return range->end;
	return round_down(range->start + sz, max(SZ_2M / unit, 1UL));
}

static void size_bite(struct round *round, u64 ns)
{
	if (ns > BITE_NS)
		round->bite = max(round->bite / 2, (unsigned long)LEAST_BITE);
	else if (ns < BITE_NS / 4)
		round->bite = min(round->bite * 2, (unsigned long)MOST_BITE);
}

/* Act on a range, or on as much of it as there is time for: makes it end there. */
static void act_in_bites(struct round *round, struct damon_target *t,
			 struct damon_addr_range *range, struct outcome *out)
{
	struct damon_addr_range bite = { .end = range->start };
	struct damon_ctx *ctx = round->ctx;

	while (bite.end < range->end && !round->stopped) {
		ktime_t begin = damon_clock();
		u64 ns;

		bite.start = bite.end;
		bite.end = range->end;
		bite.end = end_of_bite(round, &bite);
		round->s->untouched = false;
		out->applied += ctx->ops.apply_scheme(ctx, t, &bite, round->s, &out->passed);
		out->touched |= !round->s->untouched;
		ns = ktime_to_ns(ktime_sub(damon_clock(), begin));
		out->ns += ns;
		size_bite(round, ns);
		cond_resched();
		round->called_off = damon_serve_callers(ctx);
		round->stopped |= round->called_off;
	}
	range->end = bite.end;
}

static void act(struct round *round, struct damon_target *t, struct damon_addr_range *range,
		struct outcome *out)
{
	struct damon_ctx *ctx = round->ctx;
	struct damos *s = round->s;

	*out = (struct outcome){};
	if (ctx->ops.apply_scheme &&
	    (s->action != DAMOS_STAT || (!s->core_passed && !list_empty(&s->ops_filters)))) {
		act_in_bites(round, t, range, out);
		return;
	}
	out->passed = damon_bytes(ctx, range->end - range->start);
	out->touched = true;
	cond_resched();
}

static void report_before(const struct round *round, const struct candidate *c,
			  const struct damon_addr_range *range)
{
	if (trace_damos_before_apply_enabled())
		trace_damos_before_apply(round->ctx->idx, round->scheme_idx, c->target_idx,
					 range, c->whole->nr_accesses, c->whole->age,
					 c->t->nr_regions);
}

/* Tell who walks, with a region as it was, and only what was tried of it. */
static void report_after(const struct round *round, const struct candidate *c,
			 const struct damon_addr_range *range, unsigned long sz_passed)
{
	struct damon_region tried = *c->whole;

	tried.ar = *range;
	damos_tell_walk(round->ctx, c->t, &tried, round->s, sz_passed);
}

/*
 * Act on a range, in slices of which each is short enough for the time that is
 * left.  Makes it end where the quota does.  Returns whether any of it was touched.
 */
static bool try_range(struct round *round, const struct candidate *c,
		      struct damon_addr_range *range)
{
	unsigned long sz_applied = 0, sz_passed = 0;
	struct damos_quota *quota = &round->s->quota;
	struct damon_addr_range slice = *range;
	struct damos_stat *stat = &round->s->stat;
	bool touched = false;

	while (slice.start < range->end) {
		struct outcome out;

		slice.end = range->end;
		slice.end = end_of_slice(round, c->score, &slice);
		if (slice.start == slice.end)
			break;
		report_before(round, c, &slice);
		act(round, c->t, &slice, &out);
		sz_applied += out.applied;
		sz_passed += out.passed;
		touched |= out.touched;
		damos_quota_charge(quota, c->score,
				   damon_bytes(round->ctx, slice.end - slice.start),
				   out.passed, out.ns);
		slice.start = slice.end;
		if (round->stopped)
			break;
	}
	range->end = slice.start;
	round->at = (struct place){ c->target_idx, range->end };
	if (range->start == range->end)
		return false;
	stat->nr_tried++;
	stat->sz_tried += damon_bytes(round->ctx, range->end - range->start);
	stat->nr_applied += sz_applied > 0;
	stat->sz_applied += sz_applied;
	stat->sz_ops_filter_passed += sz_passed;
	report_after(round, c, range, sz_passed);
	return touched;
}

/* Whether there may be so many more regions, and there is memory for them. */
static bool has_room(const struct round *round, struct damon_target *t, unsigned int more)
{
	return round->may_cut &&
	       round->nr_regions + more <= round->ctx->attrs.max_nr_regions &&
	       !damon_reserve_regions(&t->regions, &t->room, t->nr_regions,
				      t->nr_regions + more);
}

/* Cut the region at @at in two at an address within; there is room for it. */
static void cut_region(struct round *round, struct damon_target *t, unsigned int at,
		       unsigned long addr)
{
	struct damon_region *r = &t->regions[at];

	memmove(r + 1, r, (t->nr_regions - at) * sizeof(*r));
	r[0].ar.end = addr;
	r[1].ar.start = addr;
	t->nr_regions++;
	round->nr_regions++;
}

/* Begin the age of what was acted on, a range within the region at @c->at, anew. */
static void renew(struct round *round, struct candidate *c,
		  const struct damon_addr_range *range)
{
	struct damon_region *r = &c->t->regions[c->at];
	bool cut_start = range->start > r->ar.start;
	bool cut_end = range->end < r->ar.end;
	unsigned int more = cut_start + cut_end;

	if (round->s->action == DAMOS_STAT)
		return;
	if (more) {
		if (!has_room(round, c->t, more))
			return;
		if (cut_start)
			cut_region(round, c->t, c->at++, range->start);
		if (cut_end)
			cut_region(round, c->t, c->at, range->end);
	}
	c->t->regions[c->at].age = 0;
	if (cut_end)
		c->at++;
}

/*
 * Apply to what of a region lies in a range.  Returns the index of the last region
 * that it has become.
 */
static unsigned int apply_to_region(struct round *round, struct damon_target *t,
				    unsigned long target_idx, unsigned int at,
				    struct damon_addr_range range)
{
	const struct damon_region whole = t->regions[at];
	struct candidate c = {
		.t = t, .target_idx = target_idx, .at = at, .whole = &whole,
		.score = damos_score(round->ctx, &whole, round->s),
	};
	unsigned long end = range.end;

	if (c.score > round->s->quota.max_score)
		return at;
	while (!round->stopped &&
	       damos_next_passing(round->ctx, target_idx, round->s, &range, end)) {
		unsigned long passing_end = range.end;

		if (try_range(round, &c, &range))
			renew(round, &c, &range);
		if (range.end < passing_end) {
			leave_for_later(round, &c, range.end);
			break;
		}
		range.start = range.end;
	}
	return c.at;
}

/* Apply to what of a target lies in a range. */
static void apply_to_target(struct round *round, struct damon_target *t,
			    unsigned long target_idx, const struct damon_addr_range *range)
{
	unsigned int i;

	for (i = 0; i < t->nr_regions && !round->stopped; i++) {
		const struct damon_region *r = &t->regions[i];
		const struct damon_addr_range part = {
			.start = max(r->ar.start, range->start),
			.end = min(r->ar.end, range->end),
		};

		cond_resched();
		if (part.start < part.end && damos_matches(round->ctx, round->s, r))
			i = apply_to_region(round, t, target_idx, i, part);
	}
}

/*
 * Cut the region that an address is within.  To begin in its midst would cut it
 * anyway, but after it has got its score, and before what is left of it is tried.
 */
static void cut_at(struct round *round, unsigned long target_idx, unsigned long addr)
{
	struct damon_target *t;
	unsigned int i;

	damon_for_each_target(t, round->ctx) {
		if (target_idx--)
			continue;
		for (i = 0; i < t->nr_regions && t->regions[i].ar.end <= addr; i++)
			;
		if (i < t->nr_regions && t->regions[i].ar.start < addr &&
		    damos_matches(round->ctx, round->s, &t->regions[i]) &&
		    has_room(round, t, 1))
			cut_region(round, t, i, addr);
		return;
	}
}

/* Apply to what lies between two places. */
static void apply_between(struct round *round, const struct place *from,
			  const struct place *to)
{
	struct damon_target *t;
	unsigned long idx = 0;

	damon_for_each_target(t, round->ctx) {
		struct damon_addr_range range = {
			.start = idx == from->target_idx ? from->addr : 0,
			.end = idx == to->target_idx ? to->addr : ULONG_MAX,
		};

		if (round->stopped || idx > to->target_idx)
			return;
		cond_resched();
		if (idx >= from->target_idx)
			apply_to_target(round, t, idx, &range);
		idx++;
	}
}

static bool is_before(const struct place *a, const struct place *b)
{
	return a->target_idx < b->target_idx ||
	       (a->target_idx == b->target_idx && a->addr < b->addr);
}

/* Apply from a place to where the round has begun, past the end and the front. */
static void apply_around(struct round *round, const struct place *from,
			 const struct place *begin)
{
	static const struct place front = {};

	if (is_before(from, begin)) {
		apply_between(round, from, begin);
		return;
	}
	apply_between(round, from, &the_end);
	if (is_before(&front, begin))
		apply_between(round, &front, begin);
}

/* Whether to choose again, of others: what came first has left something of the quota. */
static bool has_left_some(struct round *round)
{
	struct damos_quota *quota = &round->s->quota;

	return quota->charge_passed && round->s->action != DAMOS_STAT && !round->stopped &&
	       !damos_quota_is_full(quota) && damos_quota_choose_next(quota);
}

/* Go on next time from what was left first, or else from where this was called off. */
static void note_places(struct round *round)
{
	struct damos *s = round->s;

	if (round->called_off && !round->has_later)
		round->later = round->at;
	s->quota.charge_target_from = round->later.target_idx;
	s->quota.charge_addr_from = round->later.addr;
	/* What lies between the two has been done, but for what the quota left out. */
	if (round->called_off && round->has_later) {
		s->round_target = round->later.target_idx;
		s->round_addr = round->later.addr;
	}
}

/**
 * damos_apply() - apply a scheme to all that it is for, as far as its quota goes
 * @ctx:	the calling kdamond's
 * @s:		a scheme of it, with where its round has begun if it is unfinished
 * @scheme_idx:	which, for traces
 * @may_cut:	regions may be cut
 *
 * Takes as long as the actions do, and ends early when the kdamond shall, or when it
 * is wanted for something else, see damon_serve_callers().  Sleeps.
 *
 * Return: whether the round has ended; else the next call is to go on with it.
 */
bool damos_apply(struct damon_ctx *ctx, struct damos *s, unsigned int scheme_idx,
		 bool may_cut)
{
	struct round round = {
		.ctx = ctx, .s = s, .scheme_idx = scheme_idx, .may_cut = may_cut,
		.bite = LEAST_BITE,
	};
	struct damos_quota *quota = &s->quota;
	struct place from = { quota->charge_target_from, quota->charge_addr_from };
	struct place begin = from;
	unsigned int turns = MOST_TURNS;
	struct damon_target *t;

	if (s->unfinished)
		begin = (struct place){ s->round_target, s->round_addr };
	damon_for_each_target(t, ctx)
		round.nr_regions += t->nr_regions;
	if (damos_quota_begin(ctx, s, ktime_to_ns(damon_clock())))
		trace_damos_esz(ctx->idx, scheme_idx, quota->esz);
	quota->max_score = DAMOS_MAX_SCORE;
	if (!damos_quota_is_full(quota)) {
		if (s->action != DAMOS_STAT)
			cut_at(&round, from.target_idx, from.addr);
		do {
			damos_quota_choose(ctx, s);
			apply_around(&round, &from, &begin);
			begin = from;
		} while (--turns && has_left_some(&round));
		note_places(&round);
	}
	if (damos_quota_note_end(quota, round.skipped))
		s->stat.qt_exceeds++;
	if (round.called_off)
		return false;
	s->stat.nr_snapshots++;
	trace_damos_stat_after_apply_interval(ctx->idx, scheme_idx, &s->stat);
	return true;
}
