// SPDX-License-Identifier: GPL-2.0
/*
 * Watermarks: when a scheme is active.
 *
 * Above the high one there is nothing to do yet, below the low one it is too late
 * for what takes its time.  A scheme that has become inactive waits for the middle
 * one, so that it does not come and go with each byte.
 */

#include <linux/damon.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "schemes.h"

/* Look no more often than that, whatever users say. */
#define LEAST_INTERVAL_US	1000UL

/**
 * damos_check_wmarks() - whether watermarks contradict themselves
 * @wmarks:	the watermarks
 *
 * Return: 0 or -EINVAL.
 */
int damos_check_wmarks(const struct damos_watermarks *wmarks)
{
	if (wmarks->metric == DAMOS_WMARK_NONE)
		return 0;
	if (wmarks->metric >= NR_DAMOS_WMARK_METRICS ||
	    wmarks->high < wmarks->mid || wmarks->mid < wmarks->low)
		return -EINVAL;
	return 0;
}

/**
 * damos_wmarks_decide() - whether a scheme is active at some value of its metric
 * @wmarks:	its watermarks, with what it is until now
 * @value:	the value
 */
bool damos_wmarks_decide(const struct damos_watermarks *wmarks, unsigned long value)
{
	if (value > wmarks->high || value < wmarks->low)
		return false;
	return wmarks->activated || value < wmarks->mid;
}

static unsigned long metric_value(enum damos_wmark_metric metric)
{
	switch (metric) {
	case DAMOS_WMARK_FREE_MEM_RATE:
		return div64_ul((u64)global_zone_page_state(NR_FREE_PAGES) * 1000,
				max(totalram_pages(), 1UL));
	default:
		return 0;
	}
}

/**
 * damos_idle_ns() - look at the watermarks whose time has come
 * @ctx:	the calling kdamond's
 * @now:	the time, in ns of ktime_get()
 *
 * Return: 0 while there is something to monitor for, as there always is without
 * schemes; or for how long there is nothing to do but wait, until the next look.
 */
u64 damos_idle_ns(struct damon_ctx *ctx, u64 now)
{
	bool idle = !list_empty(&ctx->schemes);
	u64 first = U64_MAX;
	struct damos *s;

	damon_for_each_scheme(s, ctx) {
		struct damos_watermarks *wmarks = &s->wmarks;
		u64 us = clamp(wmarks->interval, LEAST_INTERVAL_US,
			       (unsigned long)min_t(u64, ULONG_MAX,
						    KTIME_MAX / NSEC_PER_USEC / 2));

		if (wmarks->metric == DAMOS_WMARK_NONE) {
			wmarks->activated = true;
			idle = false;
			continue;
		}
		if (now >= wmarks->next_look) {
			wmarks->activated =
				damos_wmarks_decide(wmarks, metric_value(wmarks->metric));
			wmarks->next_look = now + us * NSEC_PER_USEC;
		}
		if (wmarks->activated)
			idle = false;
		first = min(first, wmarks->next_look - now);
	}
	return idle ? first : 0;
}
