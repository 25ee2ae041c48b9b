/* SPDX-License-Identifier: GPL-2.0 */
/* What the operations do to memory for schemes. */
#ifndef _MM_DAMON_ACTIONS_H
#define _MM_DAMON_ACTIONS_H

#include <linux/bits.h>
#include <linux/damon.h>

struct folio;
struct mm_struct;

/* Filters that look at pages, for a page is a page. */
#define DAMON_PAGE_FILTERS	GENMASK(DAMOS_FILTER_TYPE_ADDR - 1, 0)

#define DAMON_MIGRATE_ACTIONS	(IS_ENABLED(CONFIG_MIGRATION) ? \
				 BIT(DAMOS_MIGRATE_HOT) | BIT(DAMOS_MIGRATE_COLD) : 0)
#define DAMON_PA_ACTIONS	(BIT(DAMOS_PAGEOUT) | BIT(DAMOS_LRU_PRIO) | \
				 BIT(DAMOS_LRU_DEPRIO) | BIT(DAMOS_STAT) | \
				 DAMON_MIGRATE_ACTIONS)
#define DAMON_VA_PAGE_ACTIONS	(BIT(DAMOS_PAGEOUT) | BIT(DAMOS_STAT) | \
				 DAMON_MIGRATE_ACTIONS)
#define DAMON_VA_ACTIONS	(BIT(DAMOS_WILLNEED) | BIT(DAMOS_COLD) | \
				 BIT(DAMOS_HUGEPAGE) | BIT(DAMOS_NOHUGEPAGE) | \
				 BIT(DAMOS_COLLAPSE) | DAMON_VA_PAGE_ACTIONS)

/* paddr-actions.c */
unsigned long damon_pa_apply_scheme(struct damon_ctx *ctx, struct damon_target *t,
				    const struct damon_addr_range *range,
				    struct damos *s, unsigned long *sz_passed);

/* vaddr-actions.c */
unsigned long damon_va_apply_scheme(struct damon_ctx *ctx, struct damon_target *t,
				    const struct damon_addr_range *range,
				    struct damos *s, unsigned long *sz_passed);

/* vaddr.c: the address space of a target */
struct mm_struct *damon_va_get_mm(const struct damon_target *t);
void damon_va_put_mm(struct mm_struct *mm);
bool damon_va_lock(struct damon_target *t, struct mm_struct *mm);

/**
 * struct damon_batch - folios that are taken off their lists, to be acted on
 * @s:		the scheme, of an action that is done this way
 * @folios:	the folios
 * @nr_pages:	their pages
 */
struct damon_batch {
	const struct damos *s;
	struct list_head folios;
	unsigned long nr_pages;
};

/* batch.c */
bool damon_has_room_outside(struct folio *folio);
void damon_batch_add(struct damon_batch *batch, struct folio *folio);
bool damon_batch_is_full(const struct damon_batch *batch);
unsigned long damon_batch_flush(struct damon_batch *batch);
unsigned long damon_nr_reclaimed(void);

/* migrate.c, for batch.c */
bool damon_migrate_isolate(const struct damos *s, struct folio *folio);
unsigned long damon_migrate_folios(const struct damos *s, struct list_head *folios);

#endif /* _MM_DAMON_ACTIONS_H */
