// SPDX-License-Identifier: GPL-2.0
/*
 * Migration of folios to other nodes.
 *
 * What a scheme says goes before memory policies and cpusets, as with demotion.
 * A node that has no room gets none made: hot memory that pushes out what is
 * hotter would help nobody.
 *
 * Of several destinations a folio has always the same one, by its place in its
 * mapping.  So what has been moved stays.
 */

#include <linux/gfp.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "actions.h"
#include "schemes.h"

/* Where a folio shall be; NUMA_NO_NODE where the scheme names no such place. */
static int destination(const struct damos *s, struct folio *folio)
{
	const struct damos_migrate_dests *dests = &s->migrate_dests;
	u64 place, sum = 0;
	int nid = NUMA_NO_NODE;
	size_t i;

	if (!dests->nr_dests)
		return s->target_nid;
	for (i = 0; i < dests->nr_dests; i++)
		sum += dests->weight_arr[i];
	if (!sum)
		return NUMA_NO_NODE;
	div64_u64_rem(folio->index >> folio_order(folio), sum, &place);
	for (i = 0; i < dests->nr_dests; i++) {
		nid = dests->node_id_arr[i];
		if (place < dests->weight_arr[i])
			break;
		place -= dests->weight_arr[i];
	}
	return nid;
}

/**
 * damon_migrate_isolate() - take a folio that is to be moved off its LRU list
 * @s:		the scheme
 * @folio:	the folio, with a reference
 *
 * Return: whether that was done; not for a folio that is where it shall be, or
 * where there is no such place.
 */
bool damon_migrate_isolate(const struct damos *s, struct folio *folio)
{
	int nid = destination(s, folio);

	if (!damos_node_has_memory(nid) || nid == folio_nid(folio) || !folio_isolate_lru(folio))
		return false;
	node_stat_add_folio(folio, NR_ISOLATED_ANON + folio_is_file_lru(folio));
	return true;
}

static unsigned int move_to(int nid, struct list_head *folios)
{
	struct migration_target_control control = {
		.nid = nid,
		/* There or nowhere; quickly, without a word and without reserves. */
		.gfp_mask = (GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | GFP_NOWAIT |
			    __GFP_THISNODE | __GFP_NOMEMALLOC | __GFP_NOWARN,
		.reason = MR_DAMON,
	};
	unsigned int nr_moved = 0;

	migrate_pages(folios, alloc_migration_target, NULL, (unsigned long)&control,
		      MIGRATE_ASYNC, MR_DAMON, &nr_moved);
	return nr_moved;
}

/**
 * damon_migrate_folios() - move folios where a scheme says
 * @s:		the scheme
 * @folios:	list of folios by damon_migrate_isolate(), without other references
 *		of the caller's; empty afterwards, as who cannot be moved is put back
 *
 * Return: the pages that were moved.  Call without locks; sleeps.
 */
unsigned long damon_migrate_folios(const struct damos *s, struct list_head *folios)
{
	/* A huge page would otherwise have room made for it. */
	unsigned int flags = memalloc_noreclaim_save();
	unsigned long nr = 0;

	while (!list_empty(folios)) {
		struct folio *first = list_first_entry(folios, struct folio, lru);
		int nid = destination(s, first);
		struct folio *folio, *next;
		LIST_HEAD(same);

		list_for_each_entry_safe(folio, next, folios, lru) {
			if (folio == first || destination(s, folio) == nid)
				list_move_tail(&folio->lru, &same);
		}
		if (damos_node_has_memory(nid))
			nr += move_to(nid, &same);
		putback_movable_pages(&same);
	}
	memalloc_noreclaim_restore(flags);
	return nr;
}
