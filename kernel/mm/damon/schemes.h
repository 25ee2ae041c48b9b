/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of DAMOS, and the kdamond, use of each other. */
#ifndef _MM_DAMON_SCHEMES_H
#define _MM_DAMON_SCHEMES_H

#include <linux/damon.h>

struct folio;

/* schemes.c, for the kdamond in core.c */
int damos_check(const struct damon_ctx *ctx);
void damos_commit(struct damon_ctx *dst, struct damon_ctx *src);
void damos_begin(struct damon_ctx *ctx);
void damos_end_sample(struct damon_ctx *ctx, bool aggregated);
void damos_end(struct damon_ctx *ctx);

/* quota.c: how much a scheme may do */
int damos_check_quota(const struct damos_quota *quota);
void damos_quota_begin(struct damon_ctx *ctx, struct damos *s);
bool damos_quota_is_full(const struct damos_quota *quota);
void damos_quota_charge(struct damos_quota *quota, unsigned long sz, u64 ns);
unsigned int damos_score(const struct damon_ctx *ctx, const struct damon_region *r,
			 const struct damos *s);
void damos_commit_quota(struct damos_quota *dst, struct damos_quota *src);

/* goals.c: what a quota is to bring about */
int damos_check_goals(const struct damos_quota *quota);
unsigned long damos_tune_esz(struct damos_quota *quota);

/* watermarks.c: when a scheme is active */
int damos_check_wmarks(const struct damos_watermarks *wmarks);
unsigned long damos_wmark_wait_us(struct damos *s);

/* filters.c: what is let through */
int damos_check_filters(const struct damon_ctx *ctx, const struct damos *s);
enum damos_verdict {
	DAMOS_PASS,		/* let through: no other filter has a say */
	DAMOS_REJECT,
	DAMOS_ASK_OPS,		/* for the operations' filters to decide */
};
enum damos_verdict damos_core_verdict(struct damon_ctx *ctx, struct damon_target *t,
				      struct damos *s, const struct damon_addr_range *from,
				      unsigned long *end);

/* page-filters.c: the same for pages; on DAMOS_PASS, set s->core_passed before */
bool damos_folio_passes(struct damos *s, struct folio *folio);

#endif /* _MM_DAMON_SCHEMES_H */
