// SPDX-License-Identifier: GPL-2.0
/*
 * Actions on virtual address spaces.
 *
 * Some are advice, as by madvise(), for mappings.  Others go by pages, which is
 * what filters can let through: these find folios in page tables, and act on them
 * once no lock is held.  Either way, mmap_lock is held for little at a time.  What
 * would have to wait for it is for the next time that the scheme is applied.
 *
 * A large folio is acted on as a whole, or not at all, and so belongs to one range
 * alone, and counts there: the one that its middle is in.  What may become a huge
 * page is no different.
 */

#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/pagewalk.h>
#include <linux/swap.h>

#include "../internal.h"
#include "actions.h"
#include "schemes.h"

/* What one call for advice that is about pages is for at most. */
#define ADVICE_SLICE		(64UL << 20)

/* How many tables, each of up to PTRS_PER_PTE pages, to visit at one go. */
#define TABLES_PER_HOLD		8

/* How many folios to visit with one hold of a page table's lock. */
#define FOLIOS_PER_HOLD		32

/* A walk over the folios of a range. */
struct folio_walker {
	struct damos *s;
	struct damon_addr_range range;
	struct damon_batch batch;
	unsigned long sz_passed;
	unsigned long at;		/* where to go on */
	unsigned int tables;		/* visited at this go */
	struct folio *last;		/* only to know it again */
};

static bool is_folio_next(struct folio_walker *walker, struct folio *folio,
			  struct page *page, unsigned long addr)
{
	unsigned long middle = addr - (folio_page_idx(folio, page) << PAGE_SHIFT) +
			       folio_size(folio) / 2;

	/* A large one has an entry for each of its pages. */
	if (folio == walker->last || folio_is_zone_device(folio))
		return false;
	walker->last = folio;
	return middle >= walker->range.start && middle < walker->range.end;
}

/*
 * Get a reference of each folio from an address on, until there are enough, and
 * move the address.
 */
static unsigned int gather(struct folio_walker *walker, struct vm_area_struct *vma,
			   pmd_t *pmd, unsigned long *addr, unsigned long end,
			   struct folio **folios)
{
	spinlock_t *ptl = pmd_trans_huge_lock(pmd, vma);
	struct folio *folio = NULL;
	unsigned int nr = 0;
	pte_t *begin, *pte;

	if (ptl) {
		if (pmd_present(*pmd))
			folio = vm_normal_folio_pmd(vma, *addr, *pmd);
		if (folio && is_folio_next(walker, folio, pmd_page(*pmd),
					   *addr & HPAGE_PMD_MASK)) {
			folio_get(folio);
			folios[nr++] = folio;
		}
		spin_unlock(ptl);
		*addr = end;
		return nr;
	}
	begin = pte_offset_map_lock(vma->vm_mm, pmd, *addr, &ptl);
	if (!begin) {
		/* It has become something else: that is for the next time. */
		*addr = end;
		return 0;
	}
	for (pte = begin; *addr < end && nr < FOLIOS_PER_HOLD; pte++, *addr += PAGE_SIZE) {
		pte_t entry = ptep_get(pte);
		struct page *page;

		if (!pte_present(entry))
			continue;
		page = vm_normal_page(vma, *addr, entry);
		if (!page || !is_folio_next(walker, page_folio(page), page, *addr))
			continue;
		folios[nr] = page_folio(page);
		folio_get(folios[nr++]);
	}
	pte_unmap_unlock(begin, ptl);
	return nr;
}

static void visit_folio(struct folio_walker *walker, struct folio *folio)
{
	struct damos *s = walker->s;

	if (!damos_folio_passes(s, folio))
		return;
	walker->sz_passed += folio_size(folio);
	if (s->action == DAMOS_STAT)
		return;
	/* Others may use it: of their accesses, this target tells nothing. */
	if (s->action == DAMOS_PAGEOUT && folio_likely_mapped_shared(folio))
		return;
	damon_batch_add(&walker->batch, folio);
}

static int visit_table(pmd_t *pmd, unsigned long addr, unsigned long end,
		       struct mm_walk *walk)
{
	struct folio_walker *walker = walk->private;
	struct folio *folios[FOLIOS_PER_HOLD];
	unsigned int i, nr;

	while (addr < end) {
		nr = gather(walker, walk->vma, pmd, &addr, end, folios);
		for (i = 0; i < nr; i++) {
			visit_folio(walker, folios[i]);
			folio_put(folios[i]);
		}
		cond_resched();
	}
	walker->at = end;
	return ++walker->tables >= TABLES_PER_HOLD ||
	       damon_batch_is_full(&walker->batch) ||
	       mmap_lock_is_contended(walk->mm);
}

static int test_mapping(unsigned long start, unsigned long end, struct mm_walk *walk)
{
	struct folio_walker *walker = walk->private;
	unsigned long unfit = VM_PFNMAP | VM_HUGETLB;

	if (walker->s->action == DAMOS_PAGEOUT)
		unfit |= VM_LOCKED;
	/* 1 is for: not this mapping. */
	return walk->vma->vm_flags & unfit ? 1 : 0;
}

static const struct mm_walk_ops folio_walk_ops = {
	.pmd_entry = visit_table,
	.test_walk = test_mapping,
	.walk_lock = PGWALK_RDLOCK,
};

static unsigned long act_on_folios(struct damon_target *t, struct mm_struct *mm,
				   struct damos *s, const struct damon_addr_range *range,
				   unsigned long *sz_passed)
{
	struct folio_walker walker = {
		.s = s,
		.range = *range,
		.batch.s = s,
		.batch.folios = LIST_HEAD_INIT(walker.batch.folios),
		.at = range->start,
	};
	unsigned long done = 0;
	int more = 1;

	lru_add_drain();
	while (more > 0 && walker.at < range->end && !kthread_should_stop()) {
		walker.tables = 0;
		walker.last = NULL;
		if (!damon_va_lock(t, mm))
			break;
		more = walk_page_range(mm, walker.at, range->end, &folio_walk_ops,
				       &walker);
		mmap_read_unlock(mm);
		done += damon_batch_flush(&walker.batch);
		cond_resched();
	}
	*sz_passed += walker.sz_passed;
	return done;
}

static int advice(enum damos_action action)
{
	switch (action) {
	case DAMOS_WILLNEED:
		return MADV_WILLNEED;
	case DAMOS_COLD:
		return MADV_COLD;
	case DAMOS_HUGEPAGE:
		return MADV_HUGEPAGE;
	case DAMOS_NOHUGEPAGE:
		return MADV_NOHUGEPAGE;
	default:
		return MADV_COLLAPSE;
	}
}

/* Whether advice changes anything for a mapping. */
static bool is_advisable(struct vm_area_struct *vma, enum damos_action action)
{
	switch (action) {
	case DAMOS_WILLNEED:
		return !(vma->vm_flags & (VM_PFNMAP | VM_IO | VM_HUGETLB));
	case DAMOS_COLD:
		return !(vma->vm_flags & (VM_PFNMAP | VM_LOCKED | VM_HUGETLB));
	case DAMOS_HUGEPAGE:
		return !(vma->vm_flags & (VM_HUGEPAGE | VM_NO_KHUGEPAGED));
	case DAMOS_NOHUGEPAGE:
		return !(vma->vm_flags & (VM_NOHUGEPAGE | VM_NO_KHUGEPAGED));
	default:
		return thp_vma_allowable_order(vma, vma->vm_flags, 0, PMD_ORDER);
	}
}

/* Whether a huge page's worth of a mapping has pages, but no huge one. */
static bool is_collapsible(struct vm_area_struct *vma, unsigned long addr)
{
	pmd_t *pmd = mm_find_pmd(vma->vm_mm, addr);
	pmd_t entry = pmd ? pmdp_get_lockless(pmd) : __pmd(0);
	spinlock_t *ptl = NULL;
	bool found = false;
	unsigned int i;
	pte_t *pte;

	if (!pmd_present(entry) || pmd_trans_huge(entry))
		return false;
	pte = pte_offset_map_lock(vma->vm_mm, pmd, addr, &ptl);
	if (!pte)
		return false;
	for (i = 0; i < PTRS_PER_PTE && !found; i++)
		found = pte_present(ptep_get(pte + i));
	pte_unmap_unlock(pte, ptl);
	return found;
}

/* Find the next of these whose middle is in a range that the mapping is part of. */
static bool find_collapsible(struct vm_area_struct *vma,
			     const struct damon_addr_range *range,
			     struct damon_addr_range *part)
{
	unsigned long half = HPAGE_PMD_SIZE / 2;
	unsigned long middle = max(range->start, vma->vm_start + half);
	unsigned long addr = ALIGN(middle - half, HPAGE_PMD_SIZE);

	while (addr < vma->vm_end && vma->vm_end - addr >= HPAGE_PMD_SIZE &&
	       addr + half < range->end) {
		part->start = addr;
		part->end = addr + HPAGE_PMD_SIZE;
		if (is_collapsible(vma, addr))
			return true;
		addr = part->end;
	}
	return false;
}

/* Find the first part of a range that advice is for, as much as to do at one go. */
static bool find_advisable(struct damon_target *t, struct mm_struct *mm,
			   enum damos_action action, const struct damon_addr_range *range,
			   struct damon_addr_range *part)
{
	struct vm_area_struct *vma;
	bool found = false;

	VMA_ITERATOR(vmi, mm, range->start);
	if (!damon_va_lock(t, mm))
		return false;
	for_each_vma_range(vmi, vma, range->end) {
		if (!is_advisable(vma, action))
			continue;
		part->start = max(range->start, vma->vm_start);
		part->end = min(range->end, vma->vm_end);
		found = true;
		if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
		    action == DAMOS_COLLAPSE)
			found = find_collapsible(vma, range, part);
		else if (action == DAMOS_COLD || action == DAMOS_WILLNEED)
			part->end = min(part->end, part->start + ADVICE_SLICE);
		if (found)
			break;
	}
	mmap_read_unlock(mm);
	return found;
}

/* Whether advice that changes mappings can have the lock that it takes for that. */
static bool is_changeable(struct mm_struct *mm, enum damos_action action)
{
	if (action != DAMOS_HUGEPAGE && action != DAMOS_NOHUGEPAGE)
		return true;
	return !rwsem_is_locked(&mm->mmap_lock);
}

/*
 * do_madvise() waits for mmap_lock.  That it could be had just before makes this
 * unlikely, and nobody has held it for long then.
 *
 * Mappings may change between the look for them and the advice.  Then it is for
 * fewer of them, which it says, or for others, which is what would have come next.
 */
static unsigned long advise(struct damon_target *t, struct mm_struct *mm,
			    enum damos_action action, const struct damon_addr_range *range)
{
	struct damon_addr_range left = *range, part;
	unsigned long done = 0;

	while (left.start < left.end && !kthread_should_stop() &&
	       find_advisable(t, mm, action, &left, &part) &&
	       is_changeable(mm, action)) {
		unsigned long sz = part.end - part.start;

		if (!do_madvise(mm, part.start, sz, advice(action)))
			done += sz;
		left.start = part.end;
		cond_resched();
	}
	return done;
}

/**
 * damon_va_apply_scheme() - do a scheme's action in a process's address space
 * @ctx:	the context
 * @t:		the process
 * @range:	of which addresses
 * @s:		the scheme
 * @sz_passed:	the bytes that its filters let through are added to this
 *
 * Called by the kdamond.  Returns the bytes that something was done with: of
 * advice, those of mappings that it was given for.  Sleeps.
 */
unsigned long damon_va_apply_scheme(struct damon_ctx *ctx, struct damon_target *t,
				    const struct damon_addr_range *range,
				    struct damos *s, unsigned long *sz_passed)
{
	struct damon_addr_range pages = {
		.start = PAGE_ALIGN(range->start),
		.end = range->end & PAGE_MASK,
	};
	struct mm_struct *mm;
	unsigned long done;

	if (pages.start >= pages.end)
		return 0;
	mm = damon_va_get_mm(t);
	if (!mm)
		return 0;
	if (DAMON_VA_PAGE_ACTIONS & BIT(s->action)) {
		done = act_on_folios(t, mm, s, &pages, sz_passed);
	} else {
		*sz_passed += pages.end - pages.start;
		done = advise(t, mm, s->action, &pages);
	}
	damon_va_put_mm(mm);
	return done;
}
