// SPDX-License-Identifier: GPL-2.0
/*
 * Filters of schemes, and what those of the core decide: by address, and by
 * target.  What single pages are let through is in page-filters.c.
 */

#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "schemes.h"

/**
 * damos_new_filter() - make a filter
 * @type:	what it looks at; the caller sets what of that
 * @matching:	whether it is for what is of the type, or for what is not
 * @allow:	whether what it is for is let through, or kept out
 *
 * Return: it, or NULL for lack of memory.
 */
struct damos_filter *damos_new_filter(enum damos_filter_type type,
				      bool matching, bool allow)
{
	struct damos_filter *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return NULL;
	f->type = type;
	f->matching = matching;
	f->allow = allow;
	INIT_LIST_HEAD(&f->list);
	return f;
}

/**
 * damos_add_filter() - have a filter be asked after those that a scheme has
 * @s:		a scheme of a context that no kdamond serves, or the calling
 *		kdamond's own
 * @f:		the filter, which the scheme owns from now on
 */
void damos_add_filter(struct damos *s, struct damos_filter *f)
{
	list_add_tail(&f->list, damos_filter_for_ops(f->type) ?
				&s->ops_filters : &s->core_filters);
}

/**
 * damos_destroy_filter() - end a filter, of a scheme or not
 * @f:		the filter
 */
void damos_destroy_filter(struct damos_filter *f)
{
	list_del(&f->list);
	kfree(f);
}

static bool filter_is_sound(const struct damos_filter *f)
{
	switch (f->type) {
	case DAMOS_FILTER_TYPE_ADDR:
		return f->addr_range.start < f->addr_range.end;
	case DAMOS_FILTER_TYPE_TARGET:
		return f->target_idx >= 0;
	case DAMOS_FILTER_TYPE_HUGEPAGE_SIZE:
		return f->sz_range.min <= f->sz_range.max;
	default:
		return f->type < NR_DAMOS_FILTER_TYPES;
	}
}

/**
 * damos_check_filters() - whether a scheme's filters can be kept to
 * @ctx:	the context, with its operations
 * @s:		the scheme
 *
 * Return: 0, or -EINVAL for a filter that can never be for anything, that the
 * operations cannot look after, or that is for pages where the action is not.
 */
int damos_check_filters(const struct damon_ctx *ctx, const struct damos *s)
{
	const struct damos_filter *f;

	damos_for_each_core_filter(f, s) {
		if (damos_filter_for_ops(f->type) || !filter_is_sound(f))
			return -EINVAL;
	}
	damos_for_each_ops_filter(f, s) {
		if (!damos_filter_for_ops(f->type) || !filter_is_sound(f))
			return -EINVAL;
		if (!(ctx->ops.filters & BIT(f->type)) ||
		    !(ctx->ops.page_actions & BIT(s->action)))
			return -EINVAL;
	}
	return 0;
}

/*
 * Whether an address is of a filter's type.  Moves @end to where that changes, if
 * it lies before.
 */
static bool is_of_type(const struct damon_ctx *ctx, unsigned long target_idx,
		       const struct damos_filter *f, unsigned long addr,
		       unsigned long *end)
{
	unsigned long unit = 1UL << damon_region_shift(ctx);
	struct damon_addr_range ar;

	if (f->type == DAMOS_FILTER_TYPE_TARGET)
		return f->target_idx == target_idx;
	/* Users give any numbers.  A page that is in it partly is in it. */
	ar.start = round_down(f->addr_range.start, unit);
	ar.end = round_up(min(f->addr_range.end, round_down(ULONG_MAX, unit)), unit);
	if (addr < ar.start) {
		*end = min(*end, ar.start);
		return false;
	}
	if (addr >= ar.end)
		return false;
	*end = min(*end, ar.end);
	return true;
}

/* What is decided where no filter is for the memory. */
static enum damos_verdict verdict_of_none(const struct damos *s)
{
	if (!list_empty(&s->ops_filters))
		return DAMOS_ASK_OPS;
	if (list_empty(&s->core_filters))
		return DAMOS_PASS;
	return list_last_entry(&s->core_filters, struct damos_filter, list)->allow ?
	       DAMOS_REJECT : DAMOS_PASS;
}

static enum damos_verdict verdict_at(const struct damon_ctx *ctx, unsigned long target_idx,
				     const struct damos *s, unsigned long addr,
				     unsigned long *end)
{
	const struct damos_filter *f;

	damos_for_each_core_filter(f, s) {
		if (is_of_type(ctx, target_idx, f, addr, end) == f->matching)
			return f->allow ? DAMOS_PASS : DAMOS_REJECT;
	}
	return verdict_of_none(s);
}

/**
 * damos_core_verdict() - what a scheme's core filters say of a range's begin
 * @ctx:	the context
 * @target_idx:	which of its targets the range is of
 * @s:		the scheme
 * @from:	the range, not empty
 * @end:	where what they say ends: after the range's start, and not after
 *		its end
 *
 * Return: whether that part is let through, kept out, or whether that is for the
 * operations' filters to say, by pages.
 */
enum damos_verdict damos_core_verdict(const struct damon_ctx *ctx,
				      unsigned long target_idx, const struct damos *s,
				      const struct damon_addr_range *from,
				      unsigned long *end)
{
	enum damos_verdict verdict;

	*end = from->end;
	verdict = verdict_at(ctx, target_idx, s, from->start, end);
	/* An edge of a filter changes nothing where another one says the same. */
	while (*end < from->end) {
		unsigned long next = from->end;

		if (verdict_at(ctx, target_idx, s, *end, &next) != verdict)
			break;
		*end = next;
	}
	return verdict;
}
