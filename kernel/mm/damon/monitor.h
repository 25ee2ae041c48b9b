/* SPDX-License-Identifier: GPL-2.0 */
/* The monitoring of a context, for the kdamond that serves it. */
#ifndef _MM_DAMON_MONITOR_H
#define _MM_DAMON_MONITOR_H

#include <linux/damon.h>

u64 damon_sample_ns(const struct damon_ctx *ctx);
void damon_serve(struct damon_ctx *ctx);

/* For tests to put something else in their place. */
ktime_t damon_clock(void);
void damon_report_regions(unsigned int target_id, const struct damon_region *regions,
			  unsigned int nr);

#endif /* _MM_DAMON_MONITOR_H */
