// SPDX-License-Identifier: GPL-2.0
/*
 * Physical memory: a page counts as accessed when it was by any of its mappings.
 */

#include <linux/damon.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>

#include "actions.h"
#include "ops-common.h"

static struct folio *get_folio(const struct damon_ctx *ctx, unsigned long addr)
{
	return damon_get_folio(PHYS_PFN(damon_pa_of(ctx, addr)));
}

static void look(const struct damon_ctx *ctx, struct damon_probe *probe)
{
	struct folio *folio;
	bool young;

	if (!damon_probe_is_ready(probe)) {
		probe->state = DAMON_PROBE_UNKNOWN;
		return;
	}
	probe->state = DAMON_PROBE_IDLE;
	folio = get_folio(ctx, probe->addr);
	if (!folio)
		return;
	if (!damon_folio_young(folio, &young))
		probe->state = DAMON_PROBE_UNKNOWN;
	else if (young)
		probe->state = DAMON_PROBE_ACCESSED;
	folio_put(folio);
}

/* Of how many of the smallest regions a folio is, as a logarithm. */
static unsigned int order_of(const struct damon_ctx *ctx, struct folio *folio)
{
	unsigned int region = ilog2(max(ctx->addr_unit, 1UL)) + damon_region_shift(ctx);
	unsigned int order = folio_order(folio) + PAGE_SHIFT;

	return order > region ? order - region : 0;
}

/* A folio is made ready as a whole, whatever maps it. */
static void make_ready(const struct damon_ctx *ctx, struct damon_probe *probe)
{
	struct folio *folio = get_folio(ctx, probe->addr);
	bool was_young;

	probe->state = DAMON_PROBE_READY;
	if (!folio)
		return;
	if (!damon_folio_mkold(folio, &was_young))
		probe->state = DAMON_PROBE_UNKNOWN;
	else if (was_young)
		probe->state = DAMON_PROBE_READY_YOUNG;
	probe->order = order_of(ctx, folio);
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

/*
 * Pages that go are not told to be online any more, but are still there: wait for those
 * who have just been told that they are, see damon_get_folio().
 */
static int damon_pa_memory_notify(struct notifier_block *nb, unsigned long action, void *arg)
{
	if (action == MEM_OFFLINE)
		synchronize_rcu();
	return NOTIFY_OK;
}

static int __init damon_pa_init(void)
{
	struct damon_operations ops = {
		.id = DAMON_OPS_PADDR,
		.sample = pa_sample,
		.actions = DAMON_PA_ACTIONS,
		.page_actions = DAMON_PA_ACTIONS,
		.filters = DAMON_PAGE_FILTERS,
		.apply_scheme = damon_pa_apply_scheme,
	};
	int err;

	err = hotplug_memory_notifier(damon_pa_memory_notify, DEFAULT_CALLBACK_PRI);
	return err ? err : damon_register_ops(&ops);
}
subsys_initcall(damon_pa_init);
