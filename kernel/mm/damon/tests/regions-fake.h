/* SPDX-License-Identifier: GPL-2.0 */
/* Regions, for tests of what is made of them. */
#ifndef _DAMON_TESTS_REGIONS_FAKE_H
#define _DAMON_TESTS_REGIONS_FAKE_H

#include <kunit/test.h>
#include <linux/sizes.h>

#include "../regions.h"

static const struct damon_rules twenty = {
	.max_nr_accesses = 20,
	.max_nr_regions = 1000,
	.max_sz = SZ_1G,
	.shift = PAGE_SHIFT,
};

static inline struct damon_region region(unsigned long page, unsigned long nr_pages,
					 unsigned int hits, unsigned int tries)
{
	return (struct damon_region){
		.ar.start = page << PAGE_SHIFT,
		.ar.end = (page + nr_pages) << PAGE_SHIFT,
		.hits = hits,
		.tries = tries,
		.nr_accesses = tries ? hits * 20 / tries : 0,
	};
}

static inline unsigned long page_of(unsigned long addr)
{
	return addr >> PAGE_SHIFT;
}

static inline void expect_region(struct kunit *test, const struct damon_region *r,
				 unsigned long start_page, unsigned long end_page,
				 unsigned int rate, int line)
{
	KUNIT_EXPECT_EQ_MSG(test, page_of(r->ar.start), start_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, page_of(r->ar.end), end_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->nr_accesses, rate, "line %d", line);
}

/* Of an array that is called parts. */
#define EXPECT_PART(test, at, start_page, end_page, rate) \
	expect_region(test, &parts[at], start_page, end_page, rate, __LINE__)

#endif /* _DAMON_TESTS_REGIONS_FAKE_H */
