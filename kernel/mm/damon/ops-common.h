/* SPDX-License-Identifier: GPL-2.0 */
/* What the operations for virtual and for physical addresses share. */
#ifndef _MM_DAMON_OPS_COMMON_H
#define _MM_DAMON_OPS_COMMON_H

#include <linux/mm.h>

bool damon_vma_young(struct vm_area_struct *vma, unsigned long addr);
void damon_vma_mkold(struct vm_area_struct *vma, unsigned long addr);

/* folios.c */
struct folio *damon_get_folio(unsigned long pfn);
bool damon_folio_young(struct folio *folio, bool *young);
bool damon_folio_mkold(struct folio *folio);

#endif /* _MM_DAMON_OPS_COMMON_H */
