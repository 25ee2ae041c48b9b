// SPDX-License-Identifier: GPL-2.0
/*
 * Sentries: pages that are looked at for longer than a sampling interval.
 *
 * Memory that is touched now and then, all of it in a moment, is seen by the samples
 * of that moment only, if at all: most of its pages are not made ready to show an
 * access then.  So an idle region keeps a page that is, until somebody has touched
 * it: the first one that a sample has found idle.  It is looked at once in an
 * aggregation interval, at its end, and costs no more than a sample each.  What it saw
 * is evidence of that interval, beside what samples may have seen of the same moment.
 */

#include "regions.h"

static bool is_at_home(const struct damon_region *r)
{
	return r->has_sentry && r->ar.start <= r->sentry && r->sentry < r->ar.end;
}

/**
 * damon_dismiss_sentries() - forget all of them
 * @regions:	the regions
 * @nr:		how many
 */
void damon_dismiss_sentries(struct damon_region *regions, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		regions[i].has_sentry = false;
}

/**
 * damon_take_sentry() - have one for two regions that become one
 * @to:		a region that has its own addresses and age still
 * @from:	the region that is added to it
 *
 * That of the one that was accessed later is more likely to see something.
 */
void damon_take_sentry(struct damon_region *to, const struct damon_region *from)
{
	if (is_at_home(to) && (to->age <= from->age || !is_at_home(from)))
		return;
	to->has_sentry = is_at_home(from);
	to->sentry = from->sentry;
}

/**
 * damon_ask_sentries() - look at them when the samples of an interval have been taken
 * @regions:	the regions, with the outcomes of the aggregation interval
 * @nr:		how many
 * @probes:	to fill, in order of address, as far as there is room
 * @shift:	log2 of what an address is aligned to
 *
 * Those of regions that are not idle, or that do not contain them any more, are
 * dismissed.
 */
void damon_ask_sentries(struct damon_region *regions, unsigned int nr,
			struct damon_probes *probes, unsigned int shift)
{
	unsigned int i;

	probes->nr = 0;
	for (i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i];

		if (r->nr_accesses || !is_at_home(r)) {
			r->has_sentry = false;
			continue;
		}
		if (probes->nr == probes->room)
			continue;
		probes->probe[probes->nr++] = (struct damon_probe){
			.addr = r->sentry,
			.region = i,
			.slot = damon_slot_of(r, r->sentry, shift),
			/* Since a sample has found it idle. */
			.state = DAMON_PROBE_READY,
		};
	}
}

/* The sentry of a region has seen an access, in that slot. */
static void take_alarm(struct damon_region *r, unsigned int slot)
{
	struct damon_probe probe = { .slot = slot, .state = DAMON_PROBE_ACCESSED };
	const struct damon_probes one = { .probe = &probe, .nr = 1 };

	r->alarm = true;
	r->has_sentry = false;
	damon_note_probes(r, &one);
}

/**
 * damon_hear_sentries() - take accesses that they have seen as evidence
 * @regions:	the regions
 * @probes:	what damon_ask_sentries() gave, with the outcomes
 *
 * That there was no access is no news.  That there was one leaves open how much of
 * the region it was to: samples have looked at other places, but not at all times.
 */
void damon_hear_sentries(struct damon_region *regions, const struct damon_probes *probes)
{
	unsigned int i;

	for (i = 0; i < probes->nr; i++) {
		const struct damon_probe *probe = &probes->probe[i];

		if (probe->state == DAMON_PROBE_ACCESSED)
			take_alarm(&regions[probe->region], probe->slot);
	}
}

/**
 * damon_relieve_sentries() - ask those whose page is being made ready anew
 * @regions:	the regions
 * @probes:	probes that were made ready just now
 * @shift:	log2 of what an address is aligned to
 *
 * All pages of a huge page have one accessed bit.  To make it ready for a probe hides
 * from a sentry in another place of it what it has seen; but whether the bit was set is
 * known then.  A huge page that is in two regions has samples enough in each.
 */
void damon_relieve_sentries(struct damon_region *regions, const struct damon_probes *probes,
			    unsigned int shift)
{
	unsigned int i;

	for (i = 0; i < probes->nr; i++) {
		const struct damon_probe *probe = &probes->probe[i];
		struct damon_region *r = &regions[probe->region];

		if (probe->state != DAMON_PROBE_READY_YOUNG || r->nr_accesses ||
		    !is_at_home(r))
			continue;
		if (probe->addr >> shift >> probe->order == r->sentry >> shift >> probe->order)
			take_alarm(r, damon_slot_of(r, r->sentry, shift));
	}
}
