// SPDX-License-Identifier: GPL-2.0
/*
 * Physical memory: a page counts as accessed when it was by any of its mappings.
 */

#include <linux/damon.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/page_idle.h>
#include <linux/rmap.h>

#include "../internal.h"
#include "ops-common.h"

/* The folio of an address, with a reference; NULL for what is not on an LRU list. */
static struct folio *get_folio(const struct damon_ctx *ctx, unsigned long addr)
{
	struct page *page = pfn_to_online_page(PHYS_PFN((phys_addr_t)addr *
							ctx->addr_unit));
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

static void look(const struct damon_ctx *ctx, struct damon_probe *probe)
{
	bool young = false, known = true;
	struct folio *folio;

	if (probe->state != DAMON_PROBE_READY) {
		probe->state = DAMON_PROBE_UNKNOWN;
		return;
	}
	probe->state = DAMON_PROBE_IDLE;
	folio = get_folio(ctx, probe->addr);
	if (!folio)
		return;
	/* Who clears an accessed bit for reasons of their own clears this as well. */
	if (!folio_test_idle(folio))
		young = true;
	else
		known = walk_mappings(folio, &young, young_one);
	if (young)
		probe->state = DAMON_PROBE_ACCESSED;
	else if (!known)
		probe->state = DAMON_PROBE_UNKNOWN;
	folio_put(folio);
}

static void make_ready(const struct damon_ctx *ctx, struct damon_probe *probe)
{
	struct folio *folio = get_folio(ctx, probe->addr);
	bool young = false;

	probe->state = DAMON_PROBE_READY;
	if (!folio)
		return;
	/* Set first: an access seen by somebody else from now on is not lost. */
	folio_set_idle(folio);
	/* Old accessed bits that are still there would pass for new ones. */
	if (!walk_mappings(folio, &young, mkold_one))
		probe->state = DAMON_PROBE_UNKNOWN;
	if (young)
		folio_set_young(folio);
	folio_put(folio);
}

static bool pa_sample(struct damon_ctx *ctx, struct damon_target *t,
		      struct damon_probes *done, struct damon_probes *next)
{
	unsigned int i;

	for (i = 0; i < done->nr; i++) {
		look(ctx, &done->probe[i]);
		cond_resched();
	}
	for (i = 0; i < next->nr; i++) {
		make_ready(ctx, &next->probe[i]);
		cond_resched();
	}
	return true;
}

static int __init damon_pa_init(void)
{
	struct damon_operations ops = {
		.id = DAMON_OPS_PADDR,
		.sample = pa_sample,
	};

	return damon_register_ops(&ops);
}
subsys_initcall(damon_pa_init);
