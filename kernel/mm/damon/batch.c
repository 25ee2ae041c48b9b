// SPDX-License-Identifier: GPL-2.0
/*
 * Actions that take folios off their LRU lists: reclaim, and migration.
 *
 * They are done with many folios at once, which shares the cost of flushing TLBs,
 * but not with so many that memory which is in use is kept from reclaim for long.
 */

#include <linux/mm.h>
#include <linux/page_idle.h>
#include <linux/swap.h>

#include "../internal.h"
#include "actions.h"

#define PAGES_PER_BATCH		512

static bool reclaim_isolate(struct folio *folio)
{
	/* Without room for it, this would be work in vain, each time. */
	if (folio_test_swapbacked(folio) && !folio_test_swapcache(folio) &&
	    get_nr_swap_pages() <= 0)
		return false;
	if (!folio_isolate_lru(folio))
		return false;
	if (folio_test_unevictable(folio)) {
		folio_putback_lru(folio);
		return false;
	}
	/* That it was accessed some time ago is no reason to keep it. */
	folio_clear_referenced(folio);
	folio_test_clear_young(folio);
	if (folio_test_active(folio))
		folio_set_workingset(folio);
	return true;
}

/**
 * damon_batch_add() - take a folio off its LRU list for an action, if it can be
 * @batch:	where it is put then
 * @folio:	the folio, with a reference, which the caller drops before
 *		damon_batch_flush()
 */
void damon_batch_add(struct damon_batch *batch, struct folio *folio)
{
	bool isolated = batch->s->action == DAMOS_PAGEOUT ?
			reclaim_isolate(folio) : damon_migrate_isolate(batch->s, folio);

	if (!isolated)
		return;
	list_add_tail(&folio->lru, &batch->folios);
	batch->nr_pages += folio_nr_pages(folio);
}

/**
 * damon_batch_is_full() - whether it is time for damon_batch_flush()
 * @batch:	the batch
 */
bool damon_batch_is_full(const struct damon_batch *batch)
{
	return batch->nr_pages >= PAGES_PER_BATCH;
}

/**
 * damon_batch_flush() - do the action, and put back what is left
 * @batch:	the batch, empty afterwards
 *
 * Return: the bytes that it was done with.  Call without locks; sleeps.
 */
unsigned long damon_batch_flush(struct damon_batch *batch)
{
	unsigned long nr;

	if (list_empty(&batch->folios))
		return 0;
	if (batch->s->action == DAMOS_PAGEOUT)
		nr = reclaim_pages(&batch->folios);
	else
		nr = damon_migrate_folios(batch->s, &batch->folios);
	batch->nr_pages = 0;
	cond_resched();
	return nr << PAGE_SHIFT;
}
