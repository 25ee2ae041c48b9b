// SPDX-License-Identifier: GPL-2.0
/*
 * Actions that take folios off their LRU lists: reclaim, and migration.
 *
 * They are done with many folios at once, which shares the cost of flushing TLBs,
 * but not with so many that memory which is in use is kept from reclaim for long.
 */

#include <linux/atomic.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/page_idle.h>
#include <linux/swap.h>

#include "../internal.h"
#include "actions.h"

#define PAGES_PER_BATCH		512

/* Pages, by all schemes. */
static atomic_long_t nr_reclaimed;

/**
 * damon_has_room_outside() - whether there is room for what a folio holds
 * @folio:	the folio, with a reference
 *
 * There is none for memory that needs swap space where there is none left, or none
 * for the cgroup that it belongs to: to reclaim it would be work in vain, each time,
 * and would split it where it is a huge page.
 */
bool damon_has_room_outside(struct folio *folio)
{
	struct mem_cgroup *memcg;
	bool has;

	if (!folio_test_swapbacked(folio) || folio_test_swapcache(folio))
		return true;
	rcu_read_lock();
	memcg = folio_memcg_check(folio);
	has = (memcg ? mem_cgroup_get_nr_swap_pages(memcg) : get_nr_swap_pages()) > 0;
	rcu_read_unlock();
	return has;
}

static bool reclaim_isolate(struct folio *folio)
{
	if (!damon_has_room_outside(folio))
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
	if (batch->s->action == DAMOS_PAGEOUT) {
		nr = reclaim_pages(&batch->folios);
		atomic_long_add(nr, &nr_reclaimed);
	} else {
		nr = damon_migrate_folios(batch->s, &batch->folios);
	}
	batch->nr_pages = 0;
	cond_resched();
	return nr << PAGE_SHIFT;
}

/**
 * damon_nr_reclaimed() - how many pages schemes have reclaimed since boot
 *
 * The kernel's own counts leave these out.  Return: the number; it may overflow.
 */
unsigned long damon_nr_reclaimed(void)
{
	return atomic_long_read(&nr_reclaimed);
}
