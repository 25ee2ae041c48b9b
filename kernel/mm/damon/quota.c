// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: how much a scheme may do, and which memory comes first.
 *
 * Bounds hold for windows of time.  Bytes are counted when they are tried, and a
 * range is cut where they end, so that they are kept exactly.  Time is foretold by
 * the throughput of late, and kept by acting on slices: the first one of a window
 * is short, and none is expected to take more than a part of what is left.
 *
 * Where only bytes count that filters let through, what else was tried costs its
 * time, but no bytes.  A rest of the bytes that is not worth a slice is left then.
 *
 * Where not all memory fits, that of the highest priority comes first: of the
 * lowest score that some of is still done, only what the others leave.
 */

#include <linux/damon.h>
#include <linux/int_log.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "schemes.h"

/* Before anything was measured, so many bytes take a millisecond. */
#define GUESS_BYTES_PER_MS	SZ_256K

/* This part of a window's time is a first slice, and not worth another one. */
#define LEAST_SHARE		32
/* A slice is expected to take this part of the time that is left, and may take ten. */
#define LEFT_SHARE		10
/* This part of the bytes is not worth a slice of which perhaps nothing counts. */
#define REST_SHARE		64
/* With each window what was measured before counts this part less. */
#define FORGET_SHARE		8

/* Regions of so many pages, and so old, have the highest score: logarithms. */
#define MOST_PAGES_LOG		30
#define MOST_AGE_LOG		20

static u64 ms_to_ns(unsigned long ms)
{
	return min_t(u64, ms, KTIME_MAX / NSEC_PER_MSEC) * NSEC_PER_MSEC;
}

/**
 * damos_check_quota() - whether a quota contradicts itself
 * @quota:	the quota
 *
 * Return: 0, -EINVAL, or what damos_check_goals() returns.
 */
int damos_check_quota(const struct damos_quota *quota)
{
	if (quota->goal_tuner >= NR_DAMOS_QUOTA_GOAL_TUNERS)
		return -EINVAL;
	return damos_check_goals(quota);
}

/**
 * damos_quota_is_set() - whether there is a bound at all
 * @quota:	the quota
 */
bool damos_quota_is_set(const struct damos_quota *quota)
{
	return quota->sz || quota->ms || !list_empty(&quota->goals);
}

/* Bytes that can be done in some time, by what was measured of late. */
static unsigned long sz_of_time(const struct damos_quota *quota, u64 ns)
{
	u64 sz = damos_muldiv(ns, GUESS_BYTES_PER_MS, NSEC_PER_MSEC);

	if (quota->total_charged_ns)
		sz = damos_muldiv(ns, quota->total_charged_sz, quota->total_charged_ns);
	/* Should it be slower now than it has been: believe what was seen last. */
	if (quota->charged_ns)
		sz = min(sz, damos_muldiv(ns, quota->tried_sz, quota->charged_ns));
	return min_t(u64, sz, ULONG_MAX);
}

static unsigned long bound_of(const struct damos_quota *quota)
{
	unsigned long esz = ULONG_MAX;

	if (!list_empty(&quota->goals))
		esz = quota->esz_by_goals;
	if (quota->sz)
		esz = min(esz, quota->sz);
	if (quota->ms)
		esz = min(esz, sz_of_time(quota, ms_to_ns(quota->ms)));
	return esz;
}

static u64 apply_interval_ns(const struct damon_ctx *ctx, const struct damos *s)
{
	return damon_us_to_ns(s->apply_interval_us ?: ctx->attrs.aggr_interval);
}

/*
 * Windows follow each other without a gap, whenever it is noticed that one has
 * ended.  The first one has begun half an apply interval ago, so that applications
 * that are a little early or late still have the same number in each window.
 */
static void start_window(const struct damon_ctx *ctx, struct damos *s, u64 now)
{
	struct damos_quota *quota = &s->quota;
	u64 length = ms_to_ns(quota->reset_interval), into;

	if (!length) {
		quota->window_start = now;
	} else if (!quota->started) {
		quota->window_start = now - min(length, apply_interval_ns(ctx, s)) / 2;
	} else {
		div64_u64_rem(now - quota->window_start, length, &into);
		quota->window_start = now - into;
	}
	if (!list_empty(&quota->goals))
		damos_tune_esz(quota);
	quota->started = true;
	quota->exceeded = false;
	if (quota->charged_ns) {
		quota->total_charged_sz -= quota->total_charged_sz / FORGET_SHARE;
		quota->total_charged_ns -= quota->total_charged_ns / FORGET_SHARE;
	}
	quota->charged_sz = 0;
	quota->charged_ns = 0;
	quota->tried_sz = 0;
	quota->min_score = 0;
	quota->min_score_sz = ULONG_MAX;
	quota->esz = bound_of(quota);
}

/**
 * damos_quota_begin() - see what a scheme may do when it is applied now
 * @ctx:	the calling kdamond's
 * @s:		a scheme of it
 * @now:	the time, in ns of ktime_get()
 *
 * Return: whether a window has begun, with another effective quota.
 */
bool damos_quota_begin(struct damon_ctx *ctx, struct damos *s, u64 now)
{
	struct damos_quota *quota = &s->quota;
	bool begins;

	if (!damos_quota_is_set(quota)) {
		quota->started = false;
		quota->esz = 0;
		return false;
	}
	begins = !quota->started ||
		 now - quota->window_start >= ms_to_ns(quota->reset_interval);
	if (begins)
		start_window(ctx, s, now);
	return begins;
}

static bool has_priorities(const struct damos_quota *quota)
{
	return quota->rarest_first || quota->weight_sz || quota->weight_nr_accesses ||
	       quota->weight_age;
}

/**
 * damos_quota_choose() - see which memory comes first in what is left of a window
 * @ctx:	the calling kdamond's
 * @s:		a scheme of it, whose quota is not full
 */
void damos_quota_choose(struct damon_ctx *ctx, struct damos *s)
{
	struct damos_quota *quota = &s->quota;
	unsigned long left = quota->esz - quota->charged_sz;
	unsigned long sz[DAMOS_MAX_SCORE + 1] = {};
	unsigned long target_idx = 0;
	struct damon_target *t;
	struct damon_region *r;
	int score;

	quota->min_score = 0;
	quota->min_score_sz = ULONG_MAX;
	if (!damos_quota_is_set(quota) || !has_priorities(quota))
		return;
	damon_for_each_target(t, ctx) {
		damon_for_each_region(r, t) {
			struct damon_addr_range range = r->ar;
			unsigned long *sum;

			if (!damos_matches(ctx, s, r))
				continue;
			score = damos_score(ctx, r, s);
			if (score > quota->max_score)
				continue;
			sum = &sz[score];
			while (damos_next_passing(ctx, target_idx, s, &range,
						  r->ar.end)) {
				*sum = size_add(*sum, damon_bytes(ctx, range.end - range.start));
				range.start = range.end;
			}
			cond_resched();
		}
		target_idx++;
	}
	for (score = DAMOS_MAX_SCORE; score >= 0; score--) {
		if (sz[score] >= left) {
			quota->min_score = score;
			quota->min_score_sz = left;
			return;
		}
		left -= sz[score];
	}
}

/**
 * damos_quota_choose_next() - see to it that others come first the next time
 * @quota:	a quota that something is left of, after what was chosen was tried
 *
 * Return: whether there are others.
 */
bool damos_quota_choose_next(struct damos_quota *quota)
{
	quota->max_score = quota->min_score;
	/* Its part of the quota was used up, so not all that has this score was tried. */
	if (quota->min_score_sz < PAGE_SIZE)
		return true;
	if (!quota->max_score || quota->min_score_sz == ULONG_MAX)
		return false;
	quota->max_score--;
	return true;
}

/* What is left of the window's time; nothing where that is not worth a slice. */
static u64 time_left(const struct damos_quota *quota)
{
	u64 ns = ms_to_ns(quota->ms);
	u64 spent = min(quota->charged_ns, ns);

	return ns - spent > ns / LEAST_SHARE ? ns - spent : 0;
}

/**
 * damos_quota_left() - how much more may be done in this window
 * @quota:	the quota
 * @score:	of memory with which priority
 *
 * Return: bytes, whole pages; ULONG_MAX where there is no bound.
 */
unsigned long damos_quota_left(const struct damos_quota *quota, unsigned int score)
{
	unsigned long sz;

	if (!damos_quota_is_set(quota))
		return ULONG_MAX;
	if (quota->charged_sz >= quota->esz || score < quota->min_score)
		return 0;
	if (quota->ms && !time_left(quota))
		return 0;
	sz = quota->esz - quota->charged_sz;
	if (score == quota->min_score)
		sz = min(sz, quota->min_score_sz);
	return round_down(sz, PAGE_SIZE);
}

/**
 * damos_quota_is_full() - whether nothing more may be done in this window
 * @quota:	the quota
 *
 * So it is when not even a page is left, or what is not worth a slice.
 */
bool damos_quota_is_full(const struct damos_quota *quota)
{
	unsigned long rest = PAGE_SIZE;

	if (!damos_quota_is_set(quota))
		return false;
	if (quota->ms && !time_left(quota))
		return true;
	if (quota->charge_passed)
		rest = max(rest, quota->esz / REST_SHARE);
	return quota->esz < rest || quota->charged_sz > quota->esz - rest;
}

/**
 * damos_quota_slice() - how much to act on at a time
 * @quota:	the quota
 * @score:	of memory with which priority
 *
 * Return: bytes, whole pages; ULONG_MAX where there is no bound.  What was done is
 * to be charged before the next slice.
 */
unsigned long damos_quota_slice(const struct damos_quota *quota, unsigned int score)
{
	unsigned long sz = damos_quota_left(quota, score);
	u64 ns;

	if (!quota->ms || !sz)
		return sz;
	/* Not much longer than all before in this window, whose speed is known. */
	ns = min(div_u64(time_left(quota), LEFT_SHARE),
		 quota->charged_ns + ms_to_ns(quota->ms) / LEAST_SHARE);
	return min(sz, max(round_down(sz_of_time(quota, ns), PAGE_SIZE), PAGE_SIZE));
}

/**
 * damos_quota_charge() - count what was done
 * @quota:	the quota
 * @score:	to memory with which priority
 * @tried:	bytes that were tried
 * @passed:	and those of them that filters let through
 * @ns:		time that it took
 */
void damos_quota_charge(struct damos_quota *quota, unsigned int score,
			unsigned long tried, unsigned long passed, u64 ns)
{
	unsigned long sz = quota->charge_passed ? min(passed, tried) : tried;

	if (!damos_quota_is_set(quota))
		return;
	quota->charged_sz = size_add(quota->charged_sz, sz);
	quota->charged_ns += ns;
	quota->tried_sz = damon_add_u64(quota->tried_sz, tried);
	quota->total_charged_sz = damon_add_u64(quota->total_charged_sz, tried);
	quota->total_charged_ns += ns;
	if (score == quota->min_score && quota->min_score_sz != ULONG_MAX)
		quota->min_score_sz -= min(quota->min_score_sz, sz);
}

/**
 * damos_quota_note_end() - see at the end of an application how it went
 * @quota:	the quota
 * @skipped:	it left memory for later
 *
 * Return: whether the quota was used up, for the first time in this window.
 */
bool damos_quota_note_end(struct damos_quota *quota, bool skipped)
{
	if (quota->exceeded || !damos_quota_is_set(quota))
		return false;
	if (!skipped && !(quota->charged_sz && damos_quota_is_full(quota)))
		return false;
	quota->exceeded = true;
	return true;
}

/* log2(1 + x) as a share of log2(most), from 0 to DAMOS_MAX_SCORE. */
static unsigned int log_score(unsigned long x, unsigned int most_log)
{
	u32 value = min_t(unsigned long, x, U32_MAX - 1) + 1;
	u64 share = div_u64((u64)intlog2(value) * DAMOS_MAX_SCORE, most_log) >> 24;

	return min_t(u64, share, DAMOS_MAX_SCORE);
}

static bool wants_cold(enum damos_action action)
{
	switch (action) {
	case DAMOS_COLD:
	case DAMOS_PAGEOUT:
	case DAMOS_NOHUGEPAGE:
	case DAMOS_LRU_DEPRIO:
	case DAMOS_MIGRATE_COLD:
		return true;
	default:
		return false;
	}
}

/*
 * First by access frequency, then by age: each frequency that the pattern allows has
 * scores of its own, as far as there are enough of them.
 */
static unsigned int score_of_rarest(const struct damon_ctx *ctx, const struct damon_region *r,
				    const struct damos *s)
{
	u64 most = min(s->pattern.max_nr_accesses, damon_max_nr_accesses(&ctx->attrs));
	u64 least = min_t(u64, s->pattern.min_nr_accesses, most);
	u64 rates = most - least + 1;
	u64 rarity = most - clamp_t(u64, r->nr_accesses, least, most);
	unsigned int first = div64_u64(rarity * (DAMOS_MAX_SCORE + 1), rates);
	unsigned int after = div64_u64((rarity + 1) * (DAMOS_MAX_SCORE + 1), rates);

	return first + (after - first) * log_score(r->age, MOST_AGE_LOG) /
		       (DAMOS_MAX_SCORE + 1);
}

/**
 * damos_score() - which priority a region has for a scheme
 * @ctx:	the context
 * @r:		the region
 * @s:		the scheme, whose quota has the weights
 *
 * Age makes memory that is accessed hotter, and other memory colder.
 *
 * Return: from 0 to DAMOS_MAX_SCORE; 0 where all memory has the same priority.
 */
unsigned int damos_score(const struct damon_ctx *ctx, const struct damon_region *r,
			 const struct damos *s)
{
	const struct damos_quota *quota = &s->quota;
	const u64 weights[] = {
		quota->weight_sz, quota->weight_nr_accesses, quota->weight_age,
	};
	u64 most = damon_max_nr_accesses(&ctx->attrs);
	u64 all = weights[0] + weights[1] + weights[2];
	unsigned int rate, age;
	unsigned long sz;

	if (quota->rarest_first)
		return score_of_rarest(ctx, r, s);
	if (!all)
		return 0;
	sz = damon_bytes(ctx, damon_sz_region(r)) >> PAGE_SHIFT;
	sz = log_score(max(sz, 1UL) - 1, MOST_PAGES_LOG);
	rate = div64_u64(min(r->nr_accesses, most) * DAMOS_MAX_SCORE, most);
	age = log_score(r->age, MOST_AGE_LOG);
	age = (r->nr_accesses ? DAMOS_MAX_SCORE + age : DAMOS_MAX_SCORE - age) / 2;
	if (wants_cold(s->action)) {
		rate = DAMOS_MAX_SCORE - rate;
		age = DAMOS_MAX_SCORE - age;
	}
	return div64_u64(weights[0] * sz + weights[1] * rate + weights[2] * age, all);
}

/**
 * damos_quota_bound() - have changed bounds hold for the present window as well
 * @quota:	the quota
 */
void damos_quota_bound(struct damos_quota *quota)
{
	if (quota->started && damos_quota_is_set(quota))
		quota->esz = bound_of(quota);
}

/**
 * damos_commit_quota() - have a quota go on where another one was
 * @new:	the quota
 * @old:	what it was before
 */
void damos_commit_quota(struct damos_quota *new, const struct damos_quota *old)
{
	new->window_start = old->window_start;
	new->charged_sz = old->charged_sz;
	new->charged_ns = old->charged_ns;
	new->tried_sz = old->tried_sz;
	new->total_charged_sz = old->total_charged_sz;
	new->total_charged_ns = old->total_charged_ns;
	new->charge_target_from = old->charge_target_from;
	new->charge_addr_from = old->charge_addr_from;
	new->exceeded = old->exceeded;
	new->started = old->started;
	damos_keep_goals(new, old);
	damos_quota_bound(new);
}
