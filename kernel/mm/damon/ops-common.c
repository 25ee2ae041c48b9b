// SPDX-License-Identifier: GPL-2.0
/*
 * Accessed bits of mapped pages.
 *
 * Clearing a bit hides an access from others who look at it: reclaim, and idle
 * page tracking.  For reclaim the folio's young flag takes its place.  The idle
 * flag says that nobody has seen an access since: most who clear the bit before we
 * look again clear that flag as well (MGLRU's walks of page tables, and
 * /proc/PID/clear_refs, do not).
 *
 * The TLB is not flushed.  A processor that has the translation cached sets the
 * bit again only later; but flushing costs the program far more than the
 * accuracy gained is worth.
 */

#include <linux/hugetlb.h>
#include <linux/mmu_notifier.h>
#include <linux/page_idle.h>
#include <linux/pgtable.h>

#include "ops-common.h"

static pmd_t *find_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) || unlikely(pgd_bad(*pgd)))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d) || unlikely(p4d_bad(*p4d)))
		return NULL;
	pud = pud_offset(p4d, addr);
	/* Leaves of this level are hugetlb's, or devices'. */
	if (pud_none(*pud) || pud_leaf(*pud) || unlikely(pud_bad(*pud)))
		return NULL;
	return pmd_offset(pud, addr);
}

/**
 * damon_mmu_clear_young() - clear the accessed bits of secondary MMUs
 * @mm:		the address space
 * @start:	the memory that one entry of its page tables maps
 * @end:	likewise
 *
 * Return: whether any was set.  Call with the page table locked.
 */
bool damon_mmu_clear_young(struct mm_struct *mm, unsigned long start, unsigned long end)
{
#ifdef CONFIG_MMU_NOTIFIER
	return mmu_notifier_clear_young(mm, start, end);
#else
	return false;
#endif
}

/**
 * damon_mmu_young() - whether a secondary MMU has seen an access
 * @mm:		the address space
 * @folio:	the folio; NULL where there is none
 * @start:	the memory that one entry of its page tables maps
 * @end:	likewise
 *
 * A secondary MMU may map a huge page by smaller ones, each with an accessed bit of
 * its own, but can be asked about a single address only.  So the bits of all of them
 * are cleared, and the folio's flags tell whoever looks next.
 *
 * Call with the page table locked.
 */
bool damon_mmu_young(struct mm_struct *mm, struct folio *folio, unsigned long start,
		     unsigned long end)
{
	bool young = false;

	if (folio && end - start > PAGE_SIZE) {
		young = damon_mmu_clear_young(mm, start, end);
		if (young) {
			folio_set_young(folio);
			folio_clear_idle(folio);
		}
		return young;
	}
	if (!mm_has_notifiers(mm))
		return false;
	for (; start < end && !young; start += PAGE_SIZE)
		young = mmu_notifier_test_young(mm, start);
	return young;
}

/* Whether the folio, or a secondary MMU, tells of an access. */
static bool seen_otherwise(struct mm_struct *mm, struct folio *folio,
			   unsigned long start, unsigned long end)
{
	if (folio && !folio_test_idle(folio))
		return true;
	return damon_mmu_young(mm, folio, start, end);
}

static void mark_idle(struct folio *folio, bool young)
{
	if (!folio)
		return;
	if (young)
		folio_set_young(folio);
	folio_set_idle(folio);
}

#ifdef CONFIG_HUGETLB_PAGE
/* A page of hugetlb's, at @addr; false where a lock is held by somebody else. */
static bool sample_hugetlb(struct vm_area_struct *vma, unsigned long addr,
			   const struct damon_probes *done,
			   const struct damon_probes *next)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	struct hstate *h = hstate_vma(vma);
	unsigned long size = huge_page_size(h);
	struct mm_struct *mm = vma->vm_mm;
	bool young = false;
	spinlock_t *ptl;	/* of *ptep */
	pte_t *ptep, pte;

	/* Page tables that processes share stay.  The VMA's own lock may take long. */
	if (!i_mmap_trylock_read(mapping))
		return false;
	addr = ALIGN_DOWN(addr, size);
	ptep = hugetlb_walk(vma, addr, size);
	if (!ptep)
		goto out;
	ptl = huge_pte_lock(h, mm, ptep);
	pte = huge_ptep_get(mm, addr, ptep);
	if (pte_present(pte)) {
		struct folio *folio = pfn_folio(pte_pfn(pte));

		young = pte_young(pte);
		if (done->nr && (young || seen_otherwise(mm, folio, addr, addr + size)))
			damon_set_outcomes(done, DAMON_PROBE_ACCESSED);
		if (next->nr && young) {
			/* Taken out meanwhile, so that no dirty bit gets lost. */
			pte = huge_ptep_modify_prot_start(vma, addr, ptep);
			huge_ptep_modify_prot_commit(vma, addr, ptep, pte,
						     pte_mkold(pte));
		}
		if (next->nr) {
			young |= damon_mmu_clear_young(mm, addr, addr + size);
			mark_idle(folio, young);
			damon_set_ready(next, young, size);
		}
	}
	spin_unlock(ptl);
out:
	i_mmap_unlock_read(mapping);
	return true;
}
#else
static bool sample_hugetlb(struct vm_area_struct *vma, unsigned long addr,
			   const struct damon_probes *done,
			   const struct damon_probes *next)
{
	return true;
}
#endif

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* A huge page, or what else a locked entry of the PMD level is for. */
static void sample_pmd(struct vm_area_struct *vma, unsigned long addr, pmd_t *pmdp,
		       const struct damon_probes *done, const struct damon_probes *next)
{
	struct folio *folio;
	bool young;

	if (!pmd_present(*pmdp))
		return;
	addr &= HPAGE_PMD_MASK;
	folio = vm_normal_folio_pmd(vma, addr, *pmdp);
	if (done->nr && (pmd_young(*pmdp) ||
			 seen_otherwise(vma->vm_mm, folio, addr, addr + HPAGE_PMD_SIZE)))
		damon_set_outcomes(done, DAMON_PROBE_ACCESSED);
	if (!next->nr)
		return;
	young = pmdp_test_and_clear_young(vma, addr, pmdp);
	young |= damon_mmu_clear_young(vma->vm_mm, addr, addr + HPAGE_PMD_SIZE);
	mark_idle(folio, young);
	damon_set_ready(next, young, HPAGE_PMD_SIZE);
}
#else
static void sample_pmd(struct vm_area_struct *vma, unsigned long addr, pmd_t *pmdp,
		       const struct damon_probes *done, const struct damon_probes *next)
{
}
#endif

static bool pte_accessed(struct vm_area_struct *vma, unsigned long addr, pte_t pte)
{
	if (!pte_present(pte))
		return false;
	return pte_young(pte) ||
	       seen_otherwise(vma->vm_mm, vm_normal_folio(vma, addr, pte), addr,
			      addr + PAGE_SIZE);
}

/* Whether its accessed bit was set. */
static bool mkold_pte(struct vm_area_struct *vma, unsigned long addr, pte_t *ptep)
{
	pte_t pte = ptep_get(ptep);
	bool young;

	if (!pte_present(pte))
		return false;
	young = ptep_test_and_clear_young(vma, addr, ptep);
	young |= damon_mmu_clear_young(vma->vm_mm, addr, addr + PAGE_SIZE);
	mark_idle(vm_normal_folio(vma, addr, pte), young);
	return young;
}

/* @first is the locked entry of @addr. */
static void sample_ptes(struct vm_area_struct *vma, unsigned long addr, pte_t *first,
			const struct damon_probes *done, const struct damon_probes *next)
{
	pte_t *table = first - pte_index(addr);
	unsigned int i;

	for (i = 0; i < done->nr; i++) {
		if (!damon_probe_is_ready(&done->probe[i]))
			continue;
		addr = done->probe[i].addr & PAGE_MASK;
		if (pte_accessed(vma, addr, ptep_get(table + pte_index(addr))))
			done->probe[i].state = DAMON_PROBE_ACCESSED;
	}
	/* Only now: a large folio may have probes of both. */
	for (i = 0; i < next->nr; i++) {
		addr = next->probe[i].addr & PAGE_MASK;
		if (mkold_pte(vma, addr, table + pte_index(addr)))
			next->probe[i].state = DAMON_PROBE_READY_YOUNG;
	}
}

/**
 * damon_vma_table_end() - how far one call of damon_vma_sample() can reach
 * @vma:	the mapping
 * @addr:	an address in it
 *
 * Return: the end of what is mapped by the same page table as @addr, or by the
 * same huge page.
 */
unsigned long damon_vma_table_end(struct vm_area_struct *vma, unsigned long addr)
{
	unsigned long size = PMD_SIZE;

	if (is_vm_hugetlb_page(vma))
		size = huge_page_size(hstate_vma(vma));
	return min(ALIGN_DOWN(addr, size) + size, vma->vm_end);
}

/* False where it is not known, for a lock that somebody else holds. */
static bool sample_table(struct vm_area_struct *vma, unsigned long addr,
			 const struct damon_probes *done, const struct damon_probes *next)
{
	spinlock_t *ptl;	/* of the page table, or of @pmd */
	pmd_t *pmd;
	pte_t *pte;

	if (is_vm_hugetlb_page(vma))
		return sample_hugetlb(vma, addr, done, next);
	pmd = find_pmd(vma->vm_mm, addr);
	if (!pmd || pmd_none(pmdp_get_lockless(pmd)))
		return true;
	ptl = pmd_trans_huge_lock(pmd, vma);
	if (ptl) {
		sample_pmd(vma, addr, pmd, done, next);
		spin_unlock(ptl);
		return true;
	}
	pte = pte_offset_map_lock(vma->vm_mm, pmd, addr, &ptl);
	if (!pte)
		return true;
	sample_ptes(vma, addr, pte, done, next);
	pte_unmap_unlock(pte, ptl);
	return true;
}

/**
 * damon_vma_sample() - see whether pages were accessed, and make others ready
 * @vma:	the mapping
 * @addr:	an address in it; no probe is at, or after, damon_vma_table_end()
 * @done:	probes that were @next before: their states are set
 * @next:	probes that shall see accesses from now on: likewise
 *
 * Call with mmap_lock, or the lock of @vma, held for reading.  Memory that is not
 * there, swapped out for example, is not accessed.  The page table is locked once for
 * all probes: there are few for each of its entries.
 */
void damon_vma_sample(struct vm_area_struct *vma, unsigned long addr,
		      const struct damon_probes *done, const struct damon_probes *next)
{
	bool known;

	/* Until an accessed bit says more of them. */
	damon_set_ready(next, false, PAGE_SIZE);
	known = sample_table(vma, addr, done, next);
	if (!known)
		damon_set_states(next, DAMON_PROBE_UNKNOWN);
	/* What has its outcome already is not ready any more. */
	damon_set_outcomes(done, known ? DAMON_PROBE_IDLE : DAMON_PROBE_UNKNOWN);
}
