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
#include <linux/swapops.h>

#include "ops-common.h"

/* A page-table entry on any level, locked. */
struct entry {
	struct folio *folio;	/* NULL for what is no ordinary memory */
	unsigned long start;	/* what it maps */
	unsigned long size;
	pmd_t *pmd;
	pte_t *pte;		/* NULL for an entry of the PMD level */
	spinlock_t *ptl;	/* of @pmd, or of @pte */
};

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

/* Find and lock the entry that maps an address; false where nothing does. */
static bool lock_entry(struct vm_area_struct *vma, unsigned long addr,
		       struct entry *entry)
{
	pte_t pte;

	entry->pmd = find_pmd(vma->vm_mm, addr);
	if (!entry->pmd || pmd_none(*entry->pmd))
		return false;
	entry->ptl = pmd_trans_huge_lock(entry->pmd, vma);
	if (entry->ptl) {
		entry->pte = NULL;
		entry->start = addr & HPAGE_PMD_MASK;
		entry->size = HPAGE_PMD_SIZE;
		if (pmd_present(*entry->pmd)) {
			entry->folio = vm_normal_folio_pmd(vma, entry->start,
							   *entry->pmd);
			return true;
		}
		spin_unlock(entry->ptl);
		return false;
	}
	entry->pte = pte_offset_map_lock(vma->vm_mm, entry->pmd, addr, &entry->ptl);
	if (!entry->pte)
		return false;
	pte = ptep_get(entry->pte);
	if (!pte_present(pte)) {
		pte_unmap_unlock(entry->pte, entry->ptl);
		return false;
	}
	entry->start = addr & PAGE_MASK;
	entry->size = PAGE_SIZE;
	entry->folio = vm_normal_folio(vma, entry->start, pte);
	return true;
}

static void unlock_entry(struct entry *entry)
{
	if (entry->pte)
		pte_unmap_unlock(entry->pte, entry->ptl);
	else
		spin_unlock(entry->ptl);
}

/* Whether the folio, or a secondary MMU, tells of an access. */
static bool seen_otherwise(struct mm_struct *mm, struct folio *folio,
			   unsigned long addr)
{
	if (folio && !folio_test_idle(folio))
		return true;
	return mmu_notifier_test_young(mm, addr);
}

/* Clear the bits of secondary MMUs; whether any was set. */
static bool clear_young_elsewhere(struct mm_struct *mm, unsigned long start,
				  unsigned long end)
{
#ifdef CONFIG_MMU_NOTIFIER
	return mmu_notifier_clear_young(mm, start, end);
#else
	return false;
#endif
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
static pte_t *lock_huge_entry(struct vm_area_struct *vma, unsigned long addr,
			      spinlock_t **ptl)
{
	struct hstate *h = hstate_vma(vma);
	pte_t *pte;

	hugetlb_vma_lock_read(vma);
	pte = hugetlb_walk(vma, addr, huge_page_size(h));
	if (!pte) {
		hugetlb_vma_unlock_read(vma);
		return NULL;
	}
	*ptl = huge_pte_lock(h, vma->vm_mm, pte);
	if (pte_present(huge_ptep_get(vma->vm_mm, addr, pte)))
		return pte;
	spin_unlock(*ptl);
	hugetlb_vma_unlock_read(vma);
	return NULL;
}

static void unlock_huge_entry(struct vm_area_struct *vma, spinlock_t *ptl)
{
	spin_unlock(ptl);
	hugetlb_vma_unlock_read(vma);
}

static bool huge_young(struct vm_area_struct *vma, unsigned long addr)
{
	struct mm_struct *mm = vma->vm_mm;
	spinlock_t *ptl;	/* of *ptep */
	pte_t *ptep, pte;
	bool young;

	addr &= huge_page_mask(hstate_vma(vma));
	ptep = lock_huge_entry(vma, addr, &ptl);
	if (!ptep)
		return false;
	pte = huge_ptep_get(mm, addr, ptep);
	young = pte_young(pte) || seen_otherwise(mm, pfn_folio(pte_pfn(pte)), addr);
	unlock_huge_entry(vma, ptl);
	return young;
}

static void huge_mkold(struct vm_area_struct *vma, unsigned long addr)
{
	unsigned long size = huge_page_size(hstate_vma(vma));
	struct mm_struct *mm = vma->vm_mm;
	spinlock_t *ptl;	/* of *ptep */
	pte_t *ptep, pte;
	bool young;

	addr &= huge_page_mask(hstate_vma(vma));
	ptep = lock_huge_entry(vma, addr, &ptl);
	if (!ptep)
		return;
	pte = huge_ptep_get(mm, addr, ptep);
	young = pte_young(pte);
	if (young) {
		/* Taken out meanwhile, so that no dirty bit gets lost. */
		pte = huge_ptep_modify_prot_start(vma, addr, ptep);
		huge_ptep_modify_prot_commit(vma, addr, ptep, pte, pte_mkold(pte));
	}
	young |= clear_young_elsewhere(mm, addr, addr + size);
	mark_idle(pfn_folio(pte_pfn(pte)), young);
	unlock_huge_entry(vma, ptl);
}
#else
static bool huge_young(struct vm_area_struct *vma, unsigned long addr)
{
	return false;
}

static void huge_mkold(struct vm_area_struct *vma, unsigned long addr)
{
}
#endif

/**
 * damon_vma_young() - whether a page was accessed since damon_vma_mkold()
 * @vma:	the mapping
 * @addr:	an address in it
 *
 * Call with mmap_lock held for reading.  Memory that is not there, swapped out
 * for example, is not accessed.
 */
bool damon_vma_young(struct vm_area_struct *vma, unsigned long addr)
{
	struct entry entry;
	bool young;

	if (is_vm_hugetlb_page(vma))
		return huge_young(vma, addr);
	if (!lock_entry(vma, addr, &entry))
		return false;
	young = entry.pte ? pte_young(ptep_get(entry.pte)) : pmd_young(*entry.pmd);
	young = young || seen_otherwise(vma->vm_mm, entry.folio, addr);
	unlock_entry(&entry);
	return young;
}

/**
 * damon_vma_mkold() - make ready to see an access of a page
 * @vma:	the mapping
 * @addr:	an address in it
 *
 * Call with mmap_lock held for reading.
 */
void damon_vma_mkold(struct vm_area_struct *vma, unsigned long addr)
{
	struct entry entry;
	bool young = false;

	if (is_vm_hugetlb_page(vma)) {
		huge_mkold(vma, addr);
		return;
	}
	if (!lock_entry(vma, addr, &entry))
		return;
	if (entry.pte)
		young = ptep_test_and_clear_young(vma, entry.start, entry.pte);
	else if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		young = pmdp_test_and_clear_young(vma, entry.start, entry.pmd);
	young |= clear_young_elsewhere(vma->vm_mm, entry.start,
				       entry.start + entry.size);
	mark_idle(entry.folio, young);
	unlock_entry(&entry);
}
