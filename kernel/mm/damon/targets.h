/* SPDX-License-Identifier: GPL-2.0 */
/* Memory for the regions and probes of targets, and what targets were before a commit. */
#ifndef _MM_DAMON_TARGETS_H
#define _MM_DAMON_TARGETS_H

#include <linux/damon.h>

int damon_reserve_regions(struct damon_region **regions, unsigned int *room,
			  unsigned int nr_used, unsigned int wanted);
int damon_adopt_regions(struct damon_target *t, const struct damon_target *from);
int damon_reserve_probes(struct damon_probes *probes, unsigned int wanted);

unsigned long damon_pair_targets(struct damon_ctx *dst, struct damon_ctx *src);

/* bound.c */
unsigned int damon_nr_ranges(const struct damon_target *t);
int damon_check_bound(const struct damon_ctx *ctx);
void damon_share_bound(struct damon_ctx *ctx);

#endif /* _MM_DAMON_TARGETS_H */
