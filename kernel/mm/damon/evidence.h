/* SPDX-License-Identifier: GPL-2.0 */
/* What samples tell of memory, and of whether two parts of it are accessed alike. */
#ifndef _MM_DAMON_EVIDENCE_H
#define _MM_DAMON_EVIDENCE_H

#include "regions.h"

/* Likelihood ratios are in 1024ths of a bit. */
#define DAMON_LIKELIHOOD_BITS	10

/* Memory with so few samples is most likely less hot than they say. */
#define DAMON_FEW_TRIES		2

/* What outcomes of samples say. */
enum damon_kind {
	DAMON_KIND_UNKNOWN,
	DAMON_KIND_IDLE,
	DAMON_KIND_MIXED,
	DAMON_KIND_ACCESSED,
};

enum damon_kind damon_kind_of(unsigned int hits, unsigned int tries);
int damon_likelihood_gain(unsigned int hits_a, unsigned int tries_a,
			  unsigned int hits_b, unsigned int tries_b);
bool damon_idle_by_chance(unsigned int hits_a, unsigned int tries_a,
			  unsigned int hits_b, unsigned int tries_b);

/* How much rates may differ for memory to count as accessed alike. */
static inline unsigned int damon_rate_threshold(const struct damon_rules *rules)
{
	return max(rules->max_nr_accesses / 10, 1U);
}

#endif /* _MM_DAMON_EVIDENCE_H */
