/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of DAMOS, and the kdamond, use of each other. */
#ifndef _MM_DAMON_SCHEMES_H
#define _MM_DAMON_SCHEMES_H

#include <linux/damon.h>
#include <linux/nodemask.h>

#include "math.h"

struct folio;

/* core.c, for apply.c */
bool damon_serve_callers(struct damon_ctx *ctx);

/* schemes.c, for core.c, monitor.c, context.c and dbgfs*.c */
int damos_check_scheme(const struct damos *s);
int damos_check(const struct damon_ctx *ctx);
void damos_commit(struct damon_ctx *dst, struct damon_ctx *src);
void damos_rescale(struct damon_ctx *ctx, const struct damon_attrs *attrs);
void damos_begin(struct damon_ctx *ctx);
void damos_end_sample(struct damon_ctx *ctx, bool aggregated);
void damos_cancel_walk(struct damon_ctx *ctx);
void damos_tell_walk(struct damon_ctx *ctx, struct damon_target *t,
		     struct damon_region *tried, struct damos *s, unsigned long sz_passed);

/* apply.c: doing what a scheme says */
bool damos_next_passing(const struct damon_ctx *ctx, unsigned long target_idx,
			struct damos *s, struct damon_addr_range *range,
			unsigned long end);
bool damos_matches(const struct damon_ctx *ctx, const struct damos *s,
		   const struct damon_region *r);
bool damos_apply(struct damon_ctx *ctx, struct damos *s, unsigned int scheme_idx,
		 bool may_cut);

/* quota.c: how much a scheme may do */
int damos_check_quota(const struct damos_quota *quota);
bool damos_quota_is_set(const struct damos_quota *quota);
bool damos_quota_begin(struct damon_ctx *ctx, struct damos *s, u64 now);
void damos_quota_choose(struct damon_ctx *ctx, struct damos *s);
bool damos_quota_choose_next(struct damos_quota *quota);
bool damos_quota_is_full(const struct damos_quota *quota);
unsigned long damos_quota_left(const struct damos_quota *quota, unsigned int score);
unsigned long damos_quota_slice(const struct damos_quota *quota, unsigned int score);
void damos_quota_charge(struct damos_quota *quota, unsigned int score,
			unsigned long tried, unsigned long passed, u64 ns);
unsigned int damos_score(const struct damon_ctx *ctx, const struct damon_region *r,
			 const struct damos *s);
bool damos_quota_note_end(struct damos_quota *quota, bool skipped);
void damos_quota_bound(struct damos_quota *quota);
void damos_commit_quota(struct damos_quota *new, const struct damos_quota *old);

/* goals.c: what a quota is to bring about */
int damos_check_goals(const struct damos_quota *quota);
unsigned long damos_tune_esz(struct damos_quota *quota);
void damos_keep_goals(struct damos_quota *new, const struct damos_quota *old);
int damos_commit_quota_goals(struct damos_quota *dst, struct damos_quota *src);

/* watermarks.c: when a scheme is active */
int damos_check_wmarks(const struct damos_watermarks *wmarks);
bool damos_wmarks_decide(const struct damos_watermarks *wmarks, unsigned long value);
u64 damos_idle_ns(struct damon_ctx *ctx, u64 now);

/* filters.c: what is let through */
int damos_check_filters(const struct damon_ctx *ctx, const struct damos *s);
enum damos_verdict {
	DAMOS_PASS,		/* let through: no other filter has a say */
	DAMOS_REJECT,
	DAMOS_ASK_OPS,		/* for the operations' filters to decide */
};

enum damos_verdict damos_core_verdict(const struct damon_ctx *ctx,
				      unsigned long target_idx, const struct damos *s,
				      const struct damon_addr_range *from,
				      unsigned long *end);

/* page-filters.c: the same for pages; on DAMOS_PASS, set s->core_passed before */
bool damos_folio_passes(struct damos *s, struct folio *folio);
bool damos_folio_young(struct folio *folio);
static inline bool damos_all_pages_pass(const struct damos *s)
{
	return s->core_passed || list_empty(&s->ops_filters);
}

/* Whether memory can be moved to a node, of which users give any number. */
static inline bool damos_node_has_memory(int nid)
{
	return nid >= 0 && nid < MAX_NUMNODES && node_state(nid, N_MEMORY);
}

#endif /* _MM_DAMON_SCHEMES_H */
