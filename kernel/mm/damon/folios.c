// SPDX-License-Identifier: GPL-2.0
/*
 * Folios, and their accessed bits, by all of their mappings.
 *
 * What is said at the top of ops-common.c is true of these, too.
 */

#include <linux/memcontrol.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/page_idle.h>
#include <linux/rcupdate.h>
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

/* The folio that a page is part of, with a reference, if it is on an LRU list. */
static struct folio *try_get_folio(struct page *page)
{
	struct folio *folio = page_folio(page);

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
 * damon_get_folio() - the folio that a page is part of
 * @pfn:	the page, which need not exist
 *
 * Its memory may go offline at any moment, and what is known of the page with it.  RCU
 * keeps that until there is a reference, which keeps the memory: see
 * damon_pa_memory_notify().
 *
 * Return: it, with a reference; NULL for what is not on an LRU list.
 */
struct folio *damon_get_folio(unsigned long pfn)
{
	struct folio *folio = NULL;
	struct page *page;

	rcu_read_lock();
	page = pfn_to_online_page(pfn);
	if (page)
		folio = try_get_folio(page);
	rcu_read_unlock();
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

/* Whether a folio is of the two youngest generations of its list: what is in use. */
static bool of_youngest_generations(struct folio *folio)
{
#ifdef CONFIG_LRU_GEN
	int gen = folio_lru_gen(folio);
	unsigned long seq;

	if (gen < 0)
		return false;
	rcu_read_lock();
	seq = READ_ONCE(mem_cgroup_lruvec(folio_memcg_check(folio),
					  folio_pgdat(folio))->lrugen.max_seq);
	rcu_read_unlock();
	return gen == lru_gen_from_seq(seq) || gen == lru_gen_from_seq(seq - 1);
#else
	return false;
#endif
}

/**
 * damon_folio_active() - whether reclaim holds a folio for one that is in use
 * @folio:	the folio, with a reference
 *
 * With multi-generational LRU, whose folios have no active flag while they are on its
 * lists, these are the two youngest generations, as in nr_active_anon and
 * nr_active_file of /proc/vmstat.
 */
bool damon_folio_active(struct folio *folio)
{
	return folio_test_active(folio) || of_youngest_generations(folio);
}

/**
 * damon_folio_watch_generation() - make ready to see that a folio is promoted
 * @folio:	the folio, with a reference
 *
 * The walks of multi-generational LRU clear accessed bits, and leave the idle flag.
 * They put the folio into the youngest generation, where it may have been before, and
 * clear its referenced flag.  So that flag is set, for folios that are there already.
 * Without it they would have to count as accessed for as long as they are there: for
 * ever, while there is no need for reclaim.
 *
 * Reclaim takes the flag for one access by a file descriptor, which alone puts the
 * folio into no other tier.
 */
void damon_folio_watch_generation(struct folio *folio)
{
	if (of_youngest_generations(folio))
		folio_set_referenced(folio);
}

/**
 * damon_folio_promoted() - whether multi-generational LRU may have seen an access
 * @folio:	the folio, with a reference
 *
 * Return: whether it was promoted since damon_folio_watch_generation().  Without that,
 * whether it is of the youngest generations.  Ask after damon_folio_young(): what was
 * accessed is either young, or has been promoted before.
 */
bool damon_folio_promoted(struct folio *folio)
{
	return !folio_test_referenced(folio) && of_youngest_generations(folio);
}
