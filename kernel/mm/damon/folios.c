// SPDX-License-Identifier: GPL-2.0
/*
 * Folios, and their accessed bits, by all of their mappings.
 *
 * What is said at the top of ops-common.c is true of these, too.
 */

#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/page_idle.h>
#include <linux/rmap.h>

#include "../internal.h"
#include "ops-common.h"

static bool young_one(struct folio *folio, struct vm_area_struct *vma,
		      unsigned long addr, void *arg)
{
	DEFINE_FOLIO_VMA_WALK(pvmw, folio, vma, addr, 0);
	bool *young = arg;

	while (page_vma_mapped_walk(&pvmw)) {
		if (pvmw.pte)
			*young = pte_young(ptep_get(pvmw.pte));
		else if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
			*young = pmd_young(pmdp_get(pvmw.pmd));
		*young = *young || mmu_notifier_test_young(vma->vm_mm, pvmw.address);
		if (*young) {
			page_vma_mapped_walk_done(&pvmw);
			break;
		}
	}
	/* One is enough. */
	return !*young;
}

static bool mkold_one(struct folio *folio, struct vm_area_struct *vma,
		      unsigned long addr, void *arg)
{
	DEFINE_FOLIO_VMA_WALK(pvmw, folio, vma, addr, 0);
	bool *young = arg;

	while (page_vma_mapped_walk(&pvmw)) {
		addr = pvmw.address;
		if (pvmw.pte)
			*young |= ptep_clear_young_notify(vma, addr, pvmw.pte);
		else if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
			*young |= pmdp_clear_young_notify(vma, addr, pvmw.pmd);
	}
	return true;
}

/*
 * Visit all mappings.  Returns false where that would need a lock that somebody
 * else holds: nothing is known of the folio then.
 */
static bool walk_mappings(struct folio *folio, bool *young,
			  bool (*visit)(struct folio *folio, struct vm_area_struct *vma,
					unsigned long addr, void *arg))
{
	struct rmap_walk_control rwc = {
		.arg = young,
		.rmap_one = visit,
		.anon_lock = folio_lock_anon_vma_read,
		.try_lock = true,
	};
	bool need_lock;

	if (!folio_mapped(folio) || !folio_raw_mapping(folio))
		return true;
	need_lock = !folio_test_anon(folio) || folio_test_ksm(folio);
	if (need_lock && !folio_trylock(folio))
		return false;
	rmap_walk(folio, &rwc);
	if (need_lock)
		folio_unlock(folio);
	return !rwc.contended;
}

/**
 * damon_get_folio() - the folio that a page is part of
 * @pfn:	the page, which need not exist
 *
 * Return: it, with a reference; NULL for what is not on an LRU list.
 */
struct folio *damon_get_folio(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio;

	if (!page)
		return NULL;
	folio = page_folio(page);
	if (!folio_test_lru(folio) || !folio_try_get(folio))
		return NULL;
	/* It may have been freed, and be part of another one, before we had it. */
	if (unlikely(page_folio(page) != folio || !folio_test_lru(folio))) {
		folio_put(folio);
		return NULL;
	}
	return folio;
}

/**
 * damon_folio_young() - whether a folio was accessed since damon_folio_mkold()
 * @folio:	the folio, with a reference, not locked
 * @young:	whether it was
 *
 * Return: false where that is not known, for lack of a lock that somebody else
 * holds.  Takes locks of page tables; sleeps.
 */
bool damon_folio_young(struct folio *folio, bool *young)
{
	/* Who clears an accessed bit for reasons of their own clears this as well. */
	*young = !folio_test_idle(folio);
	if (*young)
		return true;
	return walk_mappings(folio, young, young_one) || *young;
}

/**
 * damon_folio_mkold() - make ready to see an access of a folio
 * @folio:	the folio, with a reference, not locked
 * @was_young:	whether it had been accessed since the last time
 *
 * Return: false where some of its accessed bits may still be there, for lack of
 * a lock that somebody else holds.  Takes locks of page tables; sleeps.
 */
bool damon_folio_mkold(struct folio *folio, bool *was_young)
{
	bool young = false, done;

	*was_young = !folio_test_idle(folio);
	/* Set first: an access seen by somebody else from now on is not lost. */
	folio_set_idle(folio);
	/* Old accessed bits that are still there would pass for new ones. */
	done = walk_mappings(folio, &young, mkold_one);
	if (young)
		folio_set_young(folio);
	*was_young |= young;
	return done;
}
