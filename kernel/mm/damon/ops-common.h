/* SPDX-License-Identifier: GPL-2.0 */
/* What the operations for virtual and for physical addresses share. */
#ifndef _MM_DAMON_OPS_COMMON_H
#define _MM_DAMON_OPS_COMMON_H

#include <linux/damon.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/overflow.h>

static inline void damon_set_states(const struct damon_probes *probes,
				    enum damon_probe_state state)
{
	unsigned int i;

	for (i = 0; i < probes->nr; i++)
		probes->probe[i].state = state;
}

/* The last byte there can be where the address would be beyond: no memory is there. */
static inline phys_addr_t damon_pa_of(const struct damon_ctx *ctx, unsigned long addr)
{
	phys_addr_t pa;

	if (check_mul_overflow((phys_addr_t)addr, (phys_addr_t)ctx->addr_unit, &pa))
		return PHYS_ADDR_MAX;
	return pa;
}

static inline bool damon_probe_is_ready(const struct damon_probe *probe)
{
	return probe->state == DAMON_PROBE_READY || probe->state == DAMON_PROBE_READY_YOUNG;
}

/* Of those that are ready still; of the others it is known already, or is not. */
static inline void damon_set_outcomes(const struct damon_probes *done,
				      enum damon_probe_state outcome)
{
	unsigned int i;

	for (i = 0; i < done->nr; i++) {
		if (damon_probe_is_ready(&done->probe[i]))
			done->probe[i].state = outcome;
	}
}

/* That one accessed bit was cleared, which is for @size bytes; whether it was set. */
static inline void damon_set_ready(const struct damon_probes *next, bool young,
				   unsigned long size)
{
	unsigned int i;

	for (i = 0; i < next->nr; i++) {
		next->probe[i].state = young ? DAMON_PROBE_READY_YOUNG : DAMON_PROBE_READY;
		next->probe[i].order = ilog2(size) - PAGE_SHIFT;
	}
}

unsigned long damon_vma_table_end(struct vm_area_struct *vma, unsigned long addr);
void damon_vma_sample(struct vm_area_struct *vma, unsigned long addr,
		      const struct damon_probes *done, const struct damon_probes *next);
bool damon_mmu_clear_young(struct mm_struct *mm, unsigned long start, unsigned long end);
bool damon_mmu_young(struct mm_struct *mm, struct folio *folio, unsigned long start,
		     unsigned long end);

/* folios.c */
struct folio *damon_get_folio(unsigned long pfn);
bool damon_folio_young(struct folio *folio, bool *young);
bool damon_folio_mkold(struct folio *folio, bool *was_young);
bool damon_folio_active(struct folio *folio);
void damon_folio_watch_generation(struct folio *folio);
bool damon_folio_promoted(struct folio *folio);

#endif /* _MM_DAMON_OPS_COMMON_H */
