/* SPDX-License-Identifier: GPL-2.0 */
/* What the operations for virtual and for physical addresses share. */
#ifndef _MM_DAMON_OPS_COMMON_H
#define _MM_DAMON_OPS_COMMON_H

#include <linux/damon.h>
#include <linux/mm.h>

static inline void damon_set_states(const struct damon_probes *probes,
				    enum damon_probe_state state)
{
	unsigned int i;

	for (i = 0; i < probes->nr; i++)
		probes->probe[i].state = state;
}

unsigned long damon_vma_table_end(struct vm_area_struct *vma, unsigned long addr);
void damon_vma_sample(struct vm_area_struct *vma, unsigned long addr,
		      const struct damon_probes *done, const struct damon_probes *next);

/* folios.c */
struct folio *damon_get_folio(unsigned long pfn);
bool damon_folio_young(struct folio *folio, bool *young);
bool damon_folio_mkold(struct folio *folio, bool *was_young);

#endif /* _MM_DAMON_OPS_COMMON_H */
