/* SPDX-License-Identifier: GPL-2.0 */
/* A context whose operations only note what schemes have them do. */
#ifndef _MM_DAMON_TESTS_SCHEMES_FAKE_H
#define _MM_DAMON_TESTS_SCHEMES_FAKE_H

#include <kunit/test.h>
#include <linux/damon.h>

#define FAKE_MAX_DONE	256

/**
 * struct fake_ops - what the operations were called for
 * @done:		ranges, in pages, in the order in which they came
 * @target:		which target each of them is of
 * @core_passed:	whether no other filter was to be asked
 * @nr_done:		how many there are, of which the first FAKE_MAX_DONE are noted
 * @pages_done:		pages of all of them
 * @ns_per_page:	what doing a page takes, by fake_ops_clock()
 * @clock:		what that shows
 * @vain_pages:		so many pages at the front pass no filter
 * @leaves_alone:	and are left alone
 * @fails:		nothing is done
 */
struct fake_ops {
	struct damon_addr_range done[FAKE_MAX_DONE];
	const struct damon_target *target[FAKE_MAX_DONE];
	bool core_passed[FAKE_MAX_DONE];
	unsigned int nr_done;
	unsigned long pages_done;
	unsigned long ns_per_page;
	ktime_t clock;
	unsigned long vain_pages;
	bool leaves_alone;
	bool fails;
};

extern struct fake_ops fake_ops;

ktime_t fake_ops_clock(void);
struct damon_ctx *fake_ctx(struct kunit *test);
struct damon_target *fake_target(struct kunit *test, struct damon_ctx *ctx);
struct damon_region *fake_region(struct kunit *test, struct damon_target *t,
				 unsigned long start, unsigned long end,
				 unsigned int rate, unsigned int age);
struct damos *fake_scheme(struct kunit *test, struct damon_ctx *ctx,
			  enum damos_action action);
void fake_filter(struct kunit *test, struct damos *s, unsigned long start,
		 unsigned long end, bool matching, bool allow);
struct damos_quota_goal *fake_goal(struct kunit *test, struct damos *s,
				   unsigned long target_value);
void fake_expect_done(struct kunit *test, const char *wanted, int line);
void fake_expect_regions(struct kunit *test, const struct damon_target *t,
			 const char *wanted, int line);

/* "100-200 300-400": ranges of pages that were done since the last time. */
#define EXPECT_DONE(test, wanted)	fake_expect_done(test, wanted, __LINE__)

/* "100-200:7 200-300:0": regions, each with its age. */
#define EXPECT_REGIONS(test, t, wanted)	fake_expect_regions(test, t, wanted, __LINE__)

#endif /* _MM_DAMON_TESTS_SCHEMES_FAKE_H */
