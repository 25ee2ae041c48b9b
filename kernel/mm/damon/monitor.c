// SPDX-License-Identifier: GPL-2.0
/*
 * Monitoring: what a kdamond does for a context when one of its intervals ends.
 *
 * Time is counted in samples: an aggregation interval is so many of them, and so
 * is the time between two looks for changed mappings.
 */

#include <kunit/static_stub.h>
#include <linux/damon.h>
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "math.h"
#include "monitor.h"
#include "regions.h"
#include "schemes.h"
#include "targets.h"

#include <trace/events/damon.h>

/*
 * A window is the time from making a page ready to looking at it.  Its outcome counts
 * if it is no longer than WINDOW_MOST sampling intervals, and no shorter than a
 * WINDOW_LEAST-th of one.  Otherwise memory that is touched once a second would be
 * found accessed by each look that comes a second late.
 */
#define WINDOW_MOST	4
#define WINDOW_LEAST	4

/* How fast the usual time of taking samples follows: by an eighth each time. */
#define ROUND_STEP	8

/**
 * damon_clock() - the time that sampling and quotas go by
 */
ktime_t damon_clock(void)
{
	KUNIT_STATIC_STUB_REDIRECT(damon_clock);
	return ktime_get();
}

static unsigned long target_size(struct damon_target *t)
{
	unsigned long sz = 0;
	struct damon_region *r;

	damon_for_each_region(r, t)
		sz += damon_sz_region(r);
	return sz;
}

static unsigned int ctx_nr_regions(struct damon_ctx *ctx)
{
	unsigned int nr = 0;
	struct damon_target *t;

	damon_for_each_target(t, ctx)
		nr += t->nr_regions;
	return nr;
}

static struct damon_rules ctx_rules(struct damon_ctx *ctx)
{
	struct damon_rules rules = {
		.max_nr_accesses = damon_max_nr_accesses(&ctx->attrs),
		.max_nr_regions = ctx->attrs.max_nr_regions,
		.shift = damon_region_shift(ctx),
	};
	struct damon_target *t;

	damon_for_each_target(t, ctx)
		rules.max_sz = size_add(rules.max_sz,
					target_size(t) / ctx->attrs.min_nr_regions);
	rules.max_sz = max(rules.max_sz, 1UL << rules.shift);
	return rules;
}

/*
 * Cut what is larger than it may be, from ctx->scratch into the target: the last
 * step of making its regions.
 */
static void put_regions(struct damon_ctx *ctx, struct damon_target *t,
			unsigned int nr, const struct damon_rules *rules)
{
	unsigned int room = damon_nr_split(ctx->scratch, nr, rules);

	room = max(min(room, rules->max_nr_regions), nr);
	if (damon_reserve_regions(&t->regions, &t->room, 0, room))
		room = t->room;
	if (room < nr) {
		swap(t->regions, ctx->scratch);
		swap(t->room, ctx->scratch_room);
		t->nr_regions = nr;
		return;
	}
	t->nr_regions = damon_split_large(ctx->scratch, nr, t->regions, room, rules);
}

/* The target's regions of the interval that has ended, into ctx->scratch. */
static unsigned int make_regions(struct damon_ctx *ctx, struct damon_target *t,
				 const struct damon_rules *rules)
{
	unsigned int nr = t->nr_regions;
	unsigned int room = damon_parts_wanted(t->regions, nr);

	/* More than the bound for a moment only: most parts merge at once. */
	room = max(min(room / 2, rules->max_nr_regions) * 2, nr);
	if (damon_reserve_regions(&ctx->scratch, &ctx->scratch_room, 0, room))
		room = ctx->scratch_room;
	if (room < nr)
		return 0;
	nr = damon_cut_regions(t->regions, nr, ctx->scratch, room, rules);
	nr = damon_merge_regions(ctx->scratch, nr, rules);
	return damon_limit_regions(ctx->scratch, nr, rules);
}

/**
 * damon_report_regions() - tell what an aggregation interval found in a target
 * @target_id:	the target's place in its context
 * @regions:	the regions
 * @nr:		how many
 */
void damon_report_regions(unsigned int target_id, const struct damon_region *regions,
			  unsigned int nr)
{
	unsigned int i;

	KUNIT_STATIC_STUB_REDIRECT(damon_report_regions, target_id, regions, nr);
	if (!trace_damon_aggregated_enabled())
		return;
	for (i = 0; i < nr; i++)
		trace_damon_aggregated(target_id, &regions[i], nr);
}

/* The end of an aggregation interval. */
static void aggregate(struct damon_ctx *ctx)
{
	struct damon_rules rules = ctx_rules(ctx);
	unsigned int id = 0;
	struct damon_mean rate = {};
	struct damon_target *t;

	damon_share_bound(ctx);
	damon_for_each_target(t, ctx) {
		unsigned int i, nr;

		cond_resched();
		rules.max_nr_regions = t->share;
		nr = make_regions(ctx, t, &rules);
		damon_report_regions(id++, ctx->scratch, nr);
		for (i = 0; i < nr; i++)
			damon_mean_add(&rate, damon_sz_region(&ctx->scratch[i]) >> rules.shift,
				       ctx->scratch[i].nr_accesses);
		if (nr)
			put_regions(ctx, t, nr, &rules);
	}
	ctx->tuned_bp += damon_mean_bp(&rate, rules.max_nr_accesses);
	ctx->tuned_aggrs++;
}

/*
 * Look more often where more than wanted is accessed, less often where less is:
 * rates near their limits tell regions apart badly.
 */
static void tune_intervals(struct damon_ctx *ctx)
{
	const struct damon_intervals_goal *goal = &ctx->attrs.intervals_goal;
	unsigned long samples = damon_max_nr_accesses(&ctx->attrs);
	struct damon_attrs attrs = ctx->attrs;
	u64 seen, sample;

	if (!goal->access_bp || ctx->tuned_aggrs < goal->aggrs)
		return;
	seen = div64_u64(ctx->tuned_bp, ctx->tuned_aggrs);
	sample = max(attrs.sample_interval, 1UL);
	/* At most twice or half at a time, so that a burst does not throw it off. */
	if (seen * 2 <= goal->access_bp)
		sample *= 2;
	else if (seen >= goal->access_bp * 2)
		sample = DIV_ROUND_UP_ULL(sample, 2);
	else
		sample = mul_u64_u64_div_u64(sample, goal->access_bp, seen);
	sample = clamp(sample, goal->min_sample_us, goal->max_sample_us);
	attrs.sample_interval = sample;
	/* Which is at most twice what it was. */
	attrs.aggr_interval = min(sample * samples, DAMON_MOST_US);
	damon_set_attrs(ctx, &attrs);
	trace_damon_monitor_intervals_tune(sample);
}

/* Have every edge where a region may have one: users give any numbers. */
static void align_regions(struct damon_target *t, unsigned int shift)
{
	unsigned long end = 0;
	struct damon_region *r;
	unsigned int nr = 0;

	damon_for_each_region(r, t) {
		struct damon_addr_range ar = {
			.start = max(round_down(r->ar.start, 1UL << shift), end),
			/* The last page of all addresses is out of reach. */
			.end = round_up(min(r->ar.end, round_down(ULONG_MAX, 1UL << shift)),
					1UL << shift),
		};

		if (ar.start >= ar.end)
			continue;
		t->regions[nr] = *r;
		t->regions[nr++].ar = ar;
		end = ar.end;
	}
	t->nr_regions = nr;
}

/* Keep the bounds on regions where mappings, targets or attributes have changed. */
static void bound_regions(struct damon_ctx *ctx)
{
	struct damon_rules rules = ctx_rules(ctx);
	struct damon_target *t;

	damon_share_bound(ctx);
	damon_for_each_target(t, ctx) {
		unsigned int nr = t->nr_regions;

		cond_resched();
		rules.max_nr_regions = t->share;
		if (!nr || damon_reserve_regions(&ctx->scratch, &ctx->scratch_room,
						 0, nr))
			continue;
		memcpy(ctx->scratch, t->regions, nr * sizeof(*t->regions));
		nr = damon_limit_regions(ctx->scratch, nr, &rules);
		put_regions(ctx, t, nr, &rules);
	}
}

/* Which samples of an aggregation interval */
enum samples {
	FIRST_SAMPLES,
	NEXT_SAMPLES,
	LAST_SAMPLES,
};

/* Whether a time is as good as a sampling interval, from making ready to looking. */
static bool is_window(const struct damon_ctx *ctx, ktime_t from, ktime_t to)
{
	u64 interval = damon_sample_ns(ctx), most, ns = ktime_to_ns(ktime_sub(to, from));

	/*
	 * Where taking samples takes longer than their interval that is all that can
	 * be had.  Work of another kind, and other contexts', is not allowed for.
	 */
	if (check_add_overflow(interval, ctx->round_ns, &most) ||
	    check_mul_overflow(most, (u64)WINDOW_MOST, &most))
		most = U64_MAX;
	/* No timer need be more exact than that. */
	most = max(most, 2ULL * TICK_NSEC);
	return ns <= most && ns >= interval / WINDOW_LEAST;
}

/*
 * Call the operations, and have outcomes count only if they are of the interval that
 * is asked for.  Each probe was made ready, and is looked at, between begin and end
 * of a call; so its window is no shorter and no longer than both of those measured.
 */
static bool sample_target(struct damon_ctx *ctx, struct damon_target *t,
			  struct damon_probes *done, struct damon_probes *next)
{
	ktime_t begin = damon_clock(), end;
	bool is_there = ctx->ops.sample(ctx, t, done, next);
	unsigned int i;

	end = damon_clock();
	if (!is_window(ctx, t->sample_begin, begin) ||
	    !is_window(ctx, t->sample_end, end)) {
		for (i = 0; i < done->nr; i++)
			done->probe[i].state = DAMON_PROBE_UNKNOWN;
	}
	t->sample_begin = begin;
	t->sample_end = end;
	return is_there;
}

/*
 * Look at the sentries of regions that still have the interval's outcomes.  They wait
 * for as long as it takes, so any window is theirs.
 */
static bool sample_sentries(struct damon_ctx *ctx, struct damon_target *t,
			    struct damon_probes *probes)
{
	struct damon_probes none = {};

	damon_ask_sentries(t->regions, t->nr_regions, probes, damon_region_shift(ctx));
	if (!probes->nr)
		return true;
	if (!ctx->ops.sample(ctx, t, probes, &none))
		return false;
	damon_hear_sentries(t->regions, probes);
	probes->nr = 0;
	return true;
}

/* How long it takes to sample, most of the time: once that it takes long says little. */
static void note_round(struct damon_ctx *ctx, ktime_t begin, ktime_t end)
{
	u64 step = max(ctx->round_ns, damon_sample_ns(ctx)) / ROUND_STEP;
	u64 ns = ktime_to_ns(ktime_sub(end, begin));

	if (ns > ctx->round_ns)
		ctx->round_ns += min(ns - ctx->round_ns, step);
	else
		ctx->round_ns -= min(ctx->round_ns - ns, step);
}

/* Take the samples that are due, and make ready for the next ones. */
static void sample_targets(struct damon_ctx *ctx, enum samples which)
{
	unsigned int shift = damon_region_shift(ctx);
	bool any = false;
	struct damon_target *t;

	ctx->last_sample = damon_clock();
	damon_for_each_target(t, ctx) {
		struct damon_probes *next = &t->probes[ctx->next_probes];
		struct damon_probes *done = &t->probes[!ctx->next_probes];
		bool is_there;

		cond_resched();
		if (t->gone)
			continue;
		next->nr = 0;
		if (which == FIRST_SAMPLES)
			done->nr = 0;
		if (which != LAST_SAMPLES)
			damon_choose_probes(t->regions, t->nr_regions, next, shift,
					    &ctx->random);
		is_there = sample_target(ctx, t, done, next);
		if (is_there) {
			damon_note_probes(t->regions, done);
			damon_relieve_sentries(t->regions, next, shift);
			if (which == LAST_SAMPLES && !ctx->paused)
				is_there = sample_sentries(ctx, t, done);
		}
		if (!is_there) {
			t->gone = true;
			t->nr_regions = 0;
			next->nr = 0;
			done->nr = 0;
		}
		any |= is_there;
	}
	if (which != FIRST_SAMPLES)
		note_round(ctx, ctx->last_sample, damon_clock());
	ctx->next_probes = !ctx->next_probes;
	ctx->active = any;
}

/* The begin of an aggregation interval, with its first samples. */
static void begin_interval(struct damon_ctx *ctx)
{
	unsigned long probes = min_t(unsigned long, DAMON_PROBE_BUDGET,
				     ctx->attrs.max_nr_regions);
	unsigned int nr = ctx_nr_regions(ctx), spare = 0;
	struct damon_rules rules = ctx_rules(ctx);
	struct damon_target *t;
	unsigned long total = 0;

	if (nr < probes)
		spare = probes - nr;
	damon_for_each_target(t, ctx)
		total = size_add(total, target_size(t) >> rules.shift);
	spare = min_t(unsigned long, spare,
		      damon_bytes(ctx, size_mul(total, 1UL << rules.shift)) / DAMON_PROBE_SZ);
	damon_for_each_target(t, ctx) {
		unsigned long sz = target_size(t) >> rules.shift;
		unsigned int i, nr_probes;

		cond_resched();
		damon_begin_regions(t->regions, t->nr_regions,
				    damos_muldiv(sz, spare, max(total, 1UL)),
				    &rules, &ctx->random);
		nr_probes = damon_nr_probes(t->regions, t->nr_regions);
		/* Without memory for all of them, the last regions have none. */
		for (i = 0; i < ARRAY_SIZE(t->probes); i++)
			damon_reserve_probes(&t->probes[i], nr_probes);
	}
	ctx->samples = 0;
	sample_targets(ctx, FIRST_SAMPLES);
}

/* Begin, or begin anew with other targets. */
static void begin_monitoring(struct damon_ctx *ctx)
{
	unsigned int shift = damon_region_shift(ctx);
	struct damon_target *t;

	ctx->restart = false;
	WRITE_ONCE(ctx->paused, false);
	ctx->update_samples = 0;
	ctx->behind = ctx->ops.init && !ctx->ops.init(ctx);
	damon_for_each_target(t, ctx) {
		cond_resched();
		align_regions(t, shift);
		/* What they have seen may be long past. */
		damon_dismiss_sentries(t->regions, t->nr_regions);
	}
	bound_regions(ctx);
	begin_interval(ctx);
	damos_begin(ctx);
}

/**
 * damon_sample_ns() - the sampling interval of a context, in nanoseconds
 * @ctx:	the context
 */
u64 damon_sample_ns(const struct damon_ctx *ctx)
{
	return damon_us_to_ns(max(ctx->attrs.sample_interval, 1UL));
}

/* The end of a sampling interval. */
static void end_sample(struct damon_ctx *ctx)
{
	unsigned long interval = max(ctx->attrs.sample_interval, 1UL);
	bool last = ++ctx->samples >= damon_max_nr_accesses(&ctx->attrs);

	ctx->update_samples++;
	sample_targets(ctx, last ? LAST_SAMPLES : NEXT_SAMPLES);
	if (!last) {
		damos_end_sample(ctx, false);
		return;
	}
	aggregate(ctx);
	damos_end_sample(ctx, true);
	tune_intervals(ctx);
	/* Regions change places here, which probes under way must not see. */
	if (ctx->behind ||
	    ctx->update_samples >= ctx->attrs.ops_update_interval / interval) {
		ctx->update_samples = 0;
		if (ctx->ops.update) {
			ctx->behind = !ctx->ops.update(ctx);
			bound_regions(ctx);
		}
	}
	begin_interval(ctx);
}

/* No scheme wants to know anything: only see that there still are targets. */
static void pause_monitoring(struct damon_ctx *ctx)
{
	struct damon_target *t;
	unsigned int i;

	spin_lock(&ctx->kdamond_lock);
	WRITE_ONCE(ctx->paused, true);
	damos_cancel_walk(ctx);
	spin_unlock(&ctx->kdamond_lock);
	damon_for_each_target(t, ctx) {
		for (i = 0; i < ARRAY_SIZE(t->probes); i++)
			t->probes[i].nr = 0;
	}
	sample_targets(ctx, LAST_SAMPLES);
}

/* Nothing is left of it, but other contexts keep the kdamond going. */
static void rest(struct damon_ctx *ctx)
{
	if (!READ_ONCE(ctx->walk))
		return;
	spin_lock(&ctx->kdamond_lock);
	damos_cancel_walk(ctx);
	spin_unlock(&ctx->kdamond_lock);
}

static ktime_t after_ns(ktime_t time, u64 ns)
{
	/* Not into the past, as long as an interval may be. */
	return ktime_add_safe(time, ns_to_ktime(ns));
}

/* Go on from now, whatever has been missed. */
static void set_pace(struct damon_ctx *ctx, ktime_t now, u64 ns)
{
	ctx->pace = after_ns(now, ns);
	ctx->next_sample = ctx->pace;
}

/*
 * Keep pace; but what was missed for long is not made up for, and no sample follows
 * another one too soon to count.
 */
static void keep_pace(struct damon_ctx *ctx)
{
	u64 interval = damon_sample_ns(ctx);
	ktime_t now = damon_clock(), soonest;

	soonest = after_ns(ctx->last_sample, interval / 2);
	ctx->pace = after_ns(ctx->pace, interval);
	if (ktime_before(ctx->pace, now))
		ctx->pace = after_ns(now, interval);
	ctx->next_sample = ktime_before(ctx->pace, soonest) ? soonest : ctx->pace;
}

/**
 * damon_serve() - end a context's sampling interval if its time has come
 * @ctx:	the context
 *
 * Afterwards its next_sample says when to call again, if it still is active.
 * For its kdamond only; sleeps.
 */
void damon_serve(struct damon_ctx *ctx)
{
	ktime_t now = damon_clock();
	u64 idle_ns;

	if (ctx->restart) {
		begin_monitoring(ctx);
		set_pace(ctx, now, damon_sample_ns(ctx));
	}
	if (!ctx->active) {
		rest(ctx);
		return;
	}
	if (ktime_before(now, ctx->next_sample))
		return;
	idle_ns = damos_idle_ns(ctx, ktime_to_ns(now));
	if (idle_ns) {
		pause_monitoring(ctx);
		set_pace(ctx, now, idle_ns);
		return;
	}
	if (ctx->paused) {
		/* What was made ready to be looked at is long past. */
		begin_monitoring(ctx);
		set_pace(ctx, now, damon_sample_ns(ctx));
		return;
	}
	end_sample(ctx);
	keep_pace(ctx);
}
