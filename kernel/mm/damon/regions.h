/* SPDX-License-Identifier: GPL-2.0 */
/* The region set of a target: how it follows the accesses. */
#ifndef _MM_DAMON_REGIONS_H
#define _MM_DAMON_REGIONS_H

#include <linux/damon.h>

/**
 * struct damon_rules - what holds for the regions of a target
 * @max_nr_accesses:	samples in an aggregation interval
 * @max_nr_regions:	the most regions it may have
 * @max_sz:		the largest a region may be
 * @shift:		log2 of the smallest a region may be, to which all of
 *			their edges are aligned
 */
struct damon_rules {
	unsigned int max_nr_accesses;
	unsigned int max_nr_regions;
	unsigned long max_sz;
	unsigned int shift;
};

/* cut.c */
unsigned int damon_parts_wanted(const struct damon_region *from,
				unsigned int nr);
unsigned int damon_cut_regions(const struct damon_region *from,
			       unsigned int nr, struct damon_region *to,
			       unsigned int room,
			       const struct damon_rules *rules);

/* regions.c */
unsigned int damon_merge_regions(struct damon_region *regions, unsigned int nr,
				 const struct damon_rules *rules);
unsigned int damon_limit_regions(struct damon_region *regions, unsigned int nr,
				 const struct damon_rules *rules);
unsigned int damon_nr_split(const struct damon_region *from, unsigned int nr,
			    const struct damon_rules *rules);
unsigned int damon_split_large(const struct damon_region *from,
			       unsigned int nr, struct damon_region *to,
			       unsigned int room,
			       const struct damon_rules *rules);
void damon_begin_regions(struct damon_region *regions, unsigned int nr,
			 unsigned int spare, const struct damon_rules *rules,
			 struct rnd_state *random);
unsigned int damon_nr_probes(const struct damon_region *regions,
			     unsigned int nr);
void damon_choose_probes(struct damon_region *regions, unsigned int nr,
			 struct damon_probes *probes, unsigned int shift,
			 struct rnd_state *random);
void damon_note_probes(struct damon_region *regions,
		       const struct damon_probes *probes);
unsigned long damon_slot_start(const struct damon_region *r, unsigned int slot,
			       unsigned int shift);
unsigned int damon_slot_of(const struct damon_region *r, unsigned long addr,
			   unsigned int shift);

/* sentries.c */
void damon_dismiss_sentries(struct damon_region *regions, unsigned int nr);
void damon_take_sentry(struct damon_region *to, const struct damon_region *from);
void damon_ask_sentries(struct damon_region *regions, unsigned int nr,
			struct damon_probes *probes, unsigned int shift);
void damon_hear_sentries(struct damon_region *regions, const struct damon_probes *probes);
void damon_relieve_sentries(struct damon_region *regions, const struct damon_probes *probes,
			    unsigned int shift);

#endif /* _MM_DAMON_REGIONS_H */
