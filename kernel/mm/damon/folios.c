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

/*
 * What a folio is mapped by may be an entry that is not present: of memory that a
 * device uses exclusively.  Its bits mean something else.
 */
static bool entry_young(struct page_vma_mapped_walk *pvmw, struct folio *folio)
{
	struct mm_struct *mm = pvmw->vma->vm_mm;
	unsigned long addr = pvmw->address;
	pmd_t pmd;
	pte_t pte;

	if (pvmw->pte) {
		pte = ptep_get(pvmw->pte);
		return pte_present(pte) &&
		       (pte_young(pte) || damon_mmu_young(mm, folio, addr, addr + PAGE_SIZE));
	}
	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return false;
	pmd = pmdp_get(pvmw->pmd);
	addr &= PMD_MASK;
	return pmd_present(pmd) &&
	       (pmd_young(pmd) || damon_mmu_young(mm, folio, addr, addr + PMD_SIZE));
}

static bool entry_mkold(struct page_vma_mapped_walk *pvmw)
{
	struct vm_area_struct *vma = pvmw->vma;
	unsigned long addr = pvmw->address;
	bool young = false;

	if (pvmw->pte) {
		if (!pte_present(ptep_get(pvmw->pte)))
			return false;
		young = ptep_test_and_clear_young(vma, addr, pvmw->pte);
		return damon_mmu_clear_young(vma->vm_mm, addr, addr + PAGE_SIZE) || young;
	}
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	if (!pmd_present(pmdp_get(pvmw->pmd)))
		return false;
	addr &= PMD_MASK;
	young = pmdp_test_and_clear_young(vma, addr, pvmw->pmd);
	young |= damon_mmu_clear_young(vma->vm_mm, addr, addr + PMD_SIZE);
#endif
	return young;
}

static bool young_one(struct folio *folio, struct vm_area_struct *vma,
		      unsigned long addr, void *arg)
{
	DEFINE_FOLIO_VMA_WALK(pvmw, folio, vma, addr, 0);
	bool *young = arg;

	while (page_vma_mapped_walk(&pvmw)) {
		*young = entry_young(&pvmw, folio);
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

	while (page_vma_mapped_walk(&pvmw))
		*young |= entry_mkold(&pvmw);
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
