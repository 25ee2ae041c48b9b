// SPDX-License-Identifier: GPL-2.0
/*
 * Actions on physical memory: on what is on LRU lists.
 *
 * A large folio is acted on as a whole, or not at all, and so belongs to one range
 * alone, and counts there: the one that its middle is in.
 */

#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/swap.h>

#include "../internal.h"
#include "actions.h"
#include "ops-common.h"
#include "schemes.h"

/* Look that often, by pages, whether somebody waits for the CPU. */
#define PAGES_PER_TURN		512

/* Have reclaim find it later. */
static bool prioritise(struct folio *folio)
{
	if (folio_test_unevictable(folio))
		return false;
	/* That one more access would do no more than this is not enough. */
	if (folio_test_active(folio))
		folio_mark_accessed(folio);
	else
		folio_activate(folio);
	return true;
}

/* Have reclaim find it sooner; false where that is so already. */
static bool deprioritise(struct folio *folio)
{
	if (folio_test_unevictable(folio) ||
	    (!folio_test_active(folio) && !lru_gen_enabled()))
		return false;
	folio_deactivate(folio);
	return true;
}

/* A walk over the folios of a range. */
struct pa_walk {
	struct damos *s;
	struct damon_batch batch;
	bool look_once_more;
	unsigned long sz_passed;
};

/*
 * That a region is cold is said of most of its pages.  So each is looked at before it
 * is reclaimed, unless a filter says which pages are meant.
 */
static bool looks_once_more(const struct damos *s)
{
	const struct damos_filter *f;

	if (s->action != DAMOS_PAGEOUT)
		return false;
	damos_for_each_ops_filter(f, s) {
		if (f->type == DAMOS_FILTER_TYPE_YOUNG)
			return false;
	}
	return true;
}

/* Returns what was done at once, in bytes. */
static unsigned long act(struct pa_walk *walk, struct folio *folio)
{
	struct damos *s = walk->s;
	bool done = false;

	if (s->action == DAMOS_LRU_PRIO)
		done = prioritise(folio);
	else if (s->action == DAMOS_LRU_DEPRIO)
		done = deprioritise(folio);
	else if (s->action != DAMOS_STAT)
		damon_batch_add(&walk->batch, folio);
	return done ? folio_size(folio) : 0;
}

static unsigned long try(struct pa_walk *walk, struct folio *folio)
{
	struct damos *s = walk->s;

	/* What cannot be reclaimed takes nothing of a quota for what can. */
	if (s->quota.charge_passed && folio_test_unevictable(folio))
		return 0;
	s->sz_seen += folio_size(folio);
	if (s->quota.charge_passed && s->action == DAMOS_PAGEOUT &&
	    !damon_has_room_outside(folio))
		return 0;
	if (!damos_folio_passes(s, folio))
		return 0;
	if (walk->look_once_more && damos_folio_young(folio))
		return 0;
	walk->sz_passed += folio_size(folio);
	return act(walk, folio);
}

static unsigned long after(unsigned long pfn)
{
	/* Where there is no memory, there is none of a whole block. */
	return pfn_in_present_section(pfn) ? pfn + 1 : ALIGN(pfn + 1, pageblock_nr_pages);
}

static unsigned long visit(struct pa_walk *walk, unsigned long start, unsigned long end)
{
	unsigned long pfn = start, turn = start, done = 0;

	while (pfn < end && !kthread_should_stop()) {
		struct folio *folio = damon_get_folio(pfn);
		unsigned long middle;

		if (!folio) {
			pfn = after(pfn);
		} else {
			pfn = folio_pfn(folio);
			middle = pfn + folio_nr_pages(folio) / 2;
			pfn += folio_nr_pages(folio);
			if (middle >= start && middle < end)
				done += try(walk, folio);
			folio_put(folio);
		}
		if (damon_batch_is_full(&walk->batch))
			done += damon_batch_flush(&walk->batch);
		if (pfn - turn >= PAGES_PER_TURN) {
			turn = pfn;
			cond_resched();
		}
	}
	return done + damon_batch_flush(&walk->batch);
}

/* Users give any addresses: do not look for memory where there cannot be any. */
static unsigned long end_of_memory(void)
{
	unsigned long end = 0;
	int nid;

	for_each_online_node(nid)
		end = max(end, node_end_pfn(nid));
	return end;
}

/**
 * damon_pa_apply_scheme() - do a scheme's action with physical memory
 * @ctx:	the context
 * @t:		its target
 * @range:	of which memory
 * @s:		the scheme
 * @sz_passed:	the bytes that its filters let through are added to this, but not
 *		those of pages that pageout leaves alone for being young
 *
 * Called by the kdamond.  Returns the bytes that something was done with.  Sleeps.
 */
unsigned long damon_pa_apply_scheme(struct damon_ctx *ctx, struct damon_target *t,
				    const struct damon_addr_range *range,
				    struct damos *s, unsigned long *sz_passed)
{
	unsigned long start = PHYS_PFN(damon_pa_of(ctx, range->start));
	unsigned long end = min(PHYS_PFN(damon_pa_of(ctx, range->end)), end_of_memory());
	struct pa_walk walk = {
		.s = s,
		.batch.s = s,
		.batch.folios = LIST_HEAD_INIT(walk.batch.folios),
		.look_once_more = looks_once_more(s),
	};
	unsigned long done;

	lru_add_drain();
	done = visit(&walk, start, end);
	*sz_passed += walk.sz_passed;
	/* What it asked of the LRU lists shall not wait for others' next folios. */
	lru_add_drain();
	return done;
}
