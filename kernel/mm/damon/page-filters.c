// SPDX-License-Identifier: GPL-2.0
/* Filters of schemes that look at pages: what the operations let through. */

#include <linux/damon.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>

#include "ops-common.h"
#include "schemes.h"

static bool is_of_memcg(struct folio *folio, unsigned short id)
{
	struct mem_cgroup *memcg;
	bool is;

	rcu_read_lock();
	memcg = folio_memcg_check(folio);
	is = memcg && mem_cgroup_id(memcg) == id;
	rcu_read_unlock();
	return is;
}

/**
 * damos_folio_young() - whether a folio was accessed since the last such look
 * @folio:	the folio, with a reference, neither locked nor mapped by a page
 *		table whose lock is held
 *
 * An access counts once: for the next look there has to be another one.  What is
 * not known passes for an access, so that nothing is taken from a program for the
 * sake of a lock.  Sleeps.
 */
bool damos_folio_young(struct folio *folio)
{
	bool young;

	if (!damon_folio_young(folio, &young))
		return true;
	if (!young && !damon_folio_promoted(folio))
		return false;
	/* First, so that no access gets lost in between. */
	damon_folio_watch_generation(folio);
	damon_folio_mkold(folio, &young);
	return true;
}

static bool is_of_type(const struct damos_filter *f, struct folio *folio)
{
	size_t sz;

	switch (f->type) {
	case DAMOS_FILTER_TYPE_ANON:
		return folio_test_anon(folio);
	case DAMOS_FILTER_TYPE_ACTIVE:
		return damon_folio_active(folio);
	case DAMOS_FILTER_TYPE_MEMCG:
		return is_of_memcg(folio, f->memcg_id);
	case DAMOS_FILTER_TYPE_YOUNG:
		return damos_folio_young(folio);
	case DAMOS_FILTER_TYPE_HUGEPAGE_SIZE:
		sz = folio_size(folio);
		return f->sz_range.min <= sz && sz <= f->sz_range.max;
	case DAMOS_FILTER_TYPE_UNMAPPED:
		return !folio_mapped(folio);
	default:
		return false;
	}
}

/**
 * damos_folio_passes() - whether a scheme's filters let a folio through
 * @s:		the scheme, with core_passed set for memory that its core filters
 *		have let through already
 * @folio:	the folio, with a reference, neither locked nor mapped by a page
 *		table whose lock is held
 *
 * A young filter makes the folio old, so ask once only.  Sleeps.
 */
bool damos_folio_passes(struct damos *s, struct folio *folio)
{
	const struct damos_filter *f;

	if (damos_all_pages_pass(s))
		return true;
	damos_for_each_ops_filter(f, s) {
		if (is_of_type(f, folio) == f->matching)
			return f->allow;
	}
	return !list_last_entry(&s->ops_filters, struct damos_filter, list)->allow;
}
