// SPDX-License-Identifier: GPL-2.0
/*
 * Evidence: what the outcomes of samples tell, by their likelihood.
 *
 * A miss is weaker evidence than a hit: the program may not have run.  So a few
 * misses among hits are noise, while one hit among misses is none.
 */

#include <linux/init.h>
#include <linux/int_log.h>
#include <linux/kernel.h>

#include "evidence.h"

/* Less does not tell idle memory from memory that is accessed at times. */
#define GAIN_IDLE	6000

/* With fewer hits, memory may be a spot that was just found. */
#define MIN_HITS_MIXED	3

#define NR_XLOG2X	256

/* x * log2(x) */
static u32 xlog2x[NR_XLOG2X] __ro_after_init;

static int __init damon_evidence_init(void)
{
	unsigned int x;

	for (x = 2; x < NR_XLOG2X; x++)
		xlog2x[x] = ((u64)x * intlog2(x)) >> (24 - DAMON_LIKELIHOOD_BITS);
	return 0;
}
pure_initcall(damon_evidence_init);

/* Logarithm of the likelihood of the outcomes if all have the same rate: <= 0. */
static int likelihood(unsigned int hits, unsigned int tries)
{
	return (int)(xlog2x[hits] + xlog2x[tries - hits]) - (int)xlog2x[tries];
}

/**
 * damon_likelihood_gain() - whether outcomes are of two rates
 * @hits_a:	samples that found an access in one part
 * @tries_a:	all samples of that
 * @hits_b:	the same of the other part
 * @tries_b:	likewise
 *
 * Return: how much more likely the outcomes are if both have a rate of their own.
 */
int damon_likelihood_gain(unsigned int hits_a, unsigned int tries_a,
			  unsigned int hits_b, unsigned int tries_b)
{
	/* All by the same factor, or the terms would not belong together. */
	while (tries_a + tries_b >= NR_XLOG2X) {
		tries_a /= 2;
		hits_a = min(DIV_ROUND_UP(hits_a, 2), tries_a);
		tries_b /= 2;
		hits_b = min(DIV_ROUND_UP(hits_b, 2), tries_b);
	}
	return likelihood(hits_a, tries_a) + likelihood(hits_b, tries_b) -
	       likelihood(hits_a + hits_b, tries_a + tries_b);
}

/**
 * damon_kind_of() - what outcomes say
 * @hits:	samples that found an access
 * @tries:	all samples
 */
enum damon_kind damon_kind_of(unsigned int hits, unsigned int tries)
{
	unsigned int allowed = 0;	/* misses that are noise */

	if (!tries)
		return DAMON_KIND_UNKNOWN;
	if (!hits)
		return DAMON_KIND_IDLE;
	if (tries >= 12)
		allowed = 2;
	else if (tries >= 4)
		allowed = 1;
	return hits + allowed >= tries ? DAMON_KIND_ACCESSED : DAMON_KIND_MIXED;
}

/**
 * damon_idle_by_chance() - whether one part has no hit by chance only
 * @hits_a:	samples that found an access in one part
 * @tries_a:	all samples of that
 * @hits_b:	the same of the other part
 * @tries_b:	likewise
 */
bool damon_idle_by_chance(unsigned int hits_a, unsigned int tries_a,
			  unsigned int hits_b, unsigned int tries_b)
{
	if (damon_kind_of(hits_a, tries_a) + damon_kind_of(hits_b, tries_b) !=
	    DAMON_KIND_IDLE + DAMON_KIND_MIXED)
		return false;
	return hits_a + hits_b >= MIN_HITS_MIXED &&
	       damon_likelihood_gain(hits_a, tries_a, hits_b, tries_b) < GAIN_IDLE;
}
