// SPDX-License-Identifier: GPL-2.0
/* What is known of memory, when it changes which memory is monitored. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/prandom.h>

#include "../targets.h"

/* Memory of a random target, by pages. */
#define NR_PAGES	48

static struct damon_addr_range pages(unsigned long start, unsigned long end)
{
	return (struct damon_addr_range){ start << PAGE_SHIFT, end << PAGE_SHIFT };
}

static void free_target(void *target)
{
	damon_destroy_target(target);
}

static struct damon_target *new_target(struct kunit *test)
{
	struct damon_target *t = damon_new_target();

	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_target, t));
	return t;
}

/* With regions of which each has a rate and an age of its own. */
static struct damon_target *target_of(struct kunit *test,
				      const struct damon_addr_range *ranges, unsigned int nr)
{
	struct damon_target *t = new_target(test);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, nr));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), nr);
	for (i = 0; i < nr; i++) {
		t->regions[i].nr_accesses = 10 + i;
		t->regions[i].last_nr_accesses = 20 + i;
		t->regions[i].age = 30 + i;
	}
	return t;
}

/* With what target_of() gives the region of that rate; 0 for one that is new. */
static void expect_region(struct kunit *test, const struct damon_region *r,
			  unsigned long start_page, unsigned long end_page,
			  unsigned int rate, int line)
{
	KUNIT_EXPECT_EQ_MSG(test, r->ar.start >> PAGE_SHIFT, start_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->ar.end >> PAGE_SHIFT, end_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->nr_accesses, rate, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->last_nr_accesses, rate ? rate + 10 : 0, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->age, rate ? rate + 20 : 0, "line %d", line);
}

#define EXPECT_REGION(...)	expect_region(__VA_ARGS__, __LINE__)

static void first_regions(struct kunit *test)
{
	const struct damon_addr_range ranges[] = { pages(1, 5), pages(7, 8), pages(8, 9) };
	struct damon_target *t = new_target(test);

	KUNIT_EXPECT_EQ(test, damon_nr_regions(t), 0);
	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, ARRAY_SIZE(ranges)));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 3);
	EXPECT_REGION(test, &t->regions[0], 1, 5, 0);
	EXPECT_REGION(test, &t->regions[1], 7, 8, 0);
	EXPECT_REGION(test, &t->regions[2], 8, 9, 0);
}

static void same_ranges(struct kunit *test)
{
	const struct damon_addr_range ranges[] = { pages(1, 5), pages(7, 8) };
	struct damon_target *t = target_of(test, ranges, 2);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, 2));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 2);
	EXPECT_REGION(test, &t->regions[0], 1, 5, 10);
	EXPECT_REGION(test, &t->regions[1], 7, 8, 11);
}

static void longer_range(struct kunit *test)
{
	const struct damon_addr_range before[] = { pages(10, 15), pages(15, 20) };
	const struct damon_addr_range after[] = { pages(5, 30) };
	struct damon_target *t = target_of(test, before, 2);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, after, 1));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 4);
	EXPECT_REGION(test, &t->regions[0], 5, 10, 0);
	EXPECT_REGION(test, &t->regions[1], 10, 15, 10);
	EXPECT_REGION(test, &t->regions[2], 15, 20, 11);
	EXPECT_REGION(test, &t->regions[3], 20, 30, 0);
}

static void shorter_range(struct kunit *test)
{
	const struct damon_addr_range before[] = {
		pages(5, 10), pages(10, 15), pages(15, 20), pages(20, 25),
	};
	const struct damon_addr_range after[] = { pages(12, 17) };
	struct damon_target *t = target_of(test, before, 4);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, after, 1));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 2);
	EXPECT_REGION(test, &t->regions[0], 12, 15, 11);
	EXPECT_REGION(test, &t->regions[1], 15, 17, 12);
}

/* A region that lies on both sides of a gap goes on as two. */
static void new_gap(struct kunit *test)
{
	const struct damon_addr_range before[] = { pages(0, 100) };
	const struct damon_addr_range after[] = {
		pages(10, 20), pages(20, 30), pages(40, 50), pages(90, 120),
	};
	struct damon_target *t = target_of(test, before, 1);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, after, 4));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 5);
	EXPECT_REGION(test, &t->regions[0], 10, 20, 10);
	EXPECT_REGION(test, &t->regions[1], 20, 30, 10);
	EXPECT_REGION(test, &t->regions[2], 40, 50, 10);
	EXPECT_REGION(test, &t->regions[3], 90, 100, 10);
	EXPECT_REGION(test, &t->regions[4], 100, 120, 0);
}

static void closed_gap(struct kunit *test)
{
	const struct damon_addr_range before[] = { pages(0, 10), pages(20, 30) };
	const struct damon_addr_range after[] = { pages(0, 30) };
	struct damon_target *t = target_of(test, before, 2);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, after, 1));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 3);
	EXPECT_REGION(test, &t->regions[0], 0, 10, 10);
	EXPECT_REGION(test, &t->regions[1], 10, 20, 0);
	EXPECT_REGION(test, &t->regions[2], 20, 30, 11);
}

static void unrelated_ranges(struct kunit *test)
{
	const struct damon_addr_range before[] = { pages(10, 20), pages(50, 60) };
	const struct damon_addr_range after[] = { pages(0, 10), pages(20, 50), pages(60, 61) };
	struct damon_target *t = target_of(test, before, 2);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, after, 3));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 3);
	EXPECT_REGION(test, &t->regions[0], 0, 10, 0);
	EXPECT_REGION(test, &t->regions[1], 20, 50, 0);
	EXPECT_REGION(test, &t->regions[2], 60, 61, 0);
}

/* Nothing changes for ranges that are none. */
static void unsound_ranges(struct kunit *test)
{
	const struct damon_addr_range before[] = { pages(10, 20), pages(50, 60) };
	const struct damon_addr_range unsound[][2] = {
		{ pages(10, 10), pages(20, 30) },	/* empty */
		{ pages(10, 15), pages(30, 30) },
		{ pages(20, 10), pages(30, 40) },	/* backwards */
		{ pages(10, 20), pages(40, 30) },
		{ pages(20, 30), pages(10, 20) },	/* out of order */
		{ pages(10, 21), pages(20, 30) },	/* over one another */
		{ pages(10, 20), pages(10, 20) },
	};
	struct damon_target *t = target_of(test, before, 2);
	struct damon_region *regions = t->regions;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, -EINVAL, damon_set_regions(t, before, 0));
	for (i = 0; i < ARRAY_SIZE(unsound); i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL, damon_set_regions(t, unsound[i], 2),
				    "ranges %u", i);
	KUNIT_EXPECT_PTR_EQ(test, t->regions, regions);
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 2);
	EXPECT_REGION(test, &t->regions[0], 10, 20, 10);
	EXPECT_REGION(test, &t->regions[1], 50, 60, 11);
}

/* The regions of @from are kept, the memory that is covered is that of @t. */
static void adopt(struct kunit *test)
{
	const struct damon_addr_range known[] = { pages(0, 10), pages(10, 20), pages(40, 60) };
	const struct damon_addr_range ranges[] = { pages(5, 30), pages(50, 55), pages(55, 58) };
	struct damon_target *from = target_of(test, known, 3);
	struct damon_target *t = new_target(test);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, 3));
	KUNIT_ASSERT_EQ(test, 0, damon_adopt_regions(t, from));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 5);
	EXPECT_REGION(test, &t->regions[0], 5, 10, 10);
	EXPECT_REGION(test, &t->regions[1], 10, 20, 11);
	EXPECT_REGION(test, &t->regions[2], 20, 30, 0);
	EXPECT_REGION(test, &t->regions[3], 50, 55, 12);
	EXPECT_REGION(test, &t->regions[4], 55, 58, 12);
	KUNIT_ASSERT_EQ(test, damon_nr_regions(from), 3);
	EXPECT_REGION(test, &from->regions[2], 40, 60, 12);
}

static void adopt_from_nobody(struct kunit *test)
{
	const struct damon_addr_range ranges[] = { pages(5, 30) };
	struct damon_target *t = new_target(test), *from = new_target(test);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, 1));
	KUNIT_ASSERT_EQ(test, 0, damon_adopt_regions(t, from));
	KUNIT_ASSERT_EQ(test, damon_nr_regions(t), 1);
	EXPECT_REGION(test, &t->regions[0], 5, 30, 0);
}

/* Ranges over some of NR_PAGES pages, not more than that; returns how many. */
static unsigned int random_ranges(struct rnd_state *random, struct damon_addr_range *ranges)
{
	unsigned long at = reciprocal_scale(prandom_u32_state(random), 4);
	u32 longest = 1 + reciprocal_scale(prandom_u32_state(random), 12);
	unsigned int nr = 0;

	while (at < NR_PAGES) {
		unsigned long end = at + 1 +
				    reciprocal_scale(prandom_u32_state(random), longest);

		ranges[nr++] = pages(at, min_t(unsigned long, end, NR_PAGES));
		at = end + reciprocal_scale(prandom_u32_state(random), 3);
	}
	return nr;
}

/* The rate of each page, 0 for those that are not covered. */
static void rates_of(const struct damon_target *t, unsigned int *rates)
{
	struct damon_region *r;
	unsigned long page;

	memset(rates, 0, NR_PAGES * sizeof(*rates));
	damon_for_each_region(r, t) {
		for (page = r->ar.start >> PAGE_SHIFT; page < r->ar.end >> PAGE_SHIFT; page++)
			rates[page] = r->nr_accesses;
	}
}

static bool covers(const struct damon_addr_range *ranges, unsigned int nr, unsigned long page)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (ranges[i].start <= page << PAGE_SHIFT && page << PAGE_SHIFT < ranges[i].end)
			return true;
	}
	return false;
}

/* Any ranges after any others: each page that is in both keeps what is known. */
static void random_changes(struct kunit *test)
{
	unsigned int before[NR_PAGES], after[NR_PAGES], i, seed, nr;
	struct damon_addr_range ranges[NR_PAGES];
	struct rnd_state random;

	for (seed = 1; seed <= 5000; seed++) {
		struct damon_target *t = damon_new_target();
		unsigned long covered = 0, end = 0;
		struct damon_region *r;

		KUNIT_ASSERT_NOT_NULL(test, t);
		prandom_seed_state(&random, seed);
		nr = random_ranges(&random, ranges);
		KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, nr));
		for (i = 0; i < t->nr_regions; i++)
			t->regions[i].nr_accesses = i + 1;
		rates_of(t, before);
		nr = random_ranges(&random, ranges);
		KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, ranges, nr));
		rates_of(t, after);
		damon_for_each_region(r, t) {
			KUNIT_ASSERT_GE_MSG(test, r->ar.start, end, "seed %u", seed);
			KUNIT_ASSERT_GT_MSG(test, r->ar.end, r->ar.start, "seed %u", seed);
			end = r->ar.end;
			covered += damon_sz_region(r) >> PAGE_SHIFT;
		}
		for (i = 0; i < NR_PAGES; i++) {
			bool is_covered = covers(ranges, nr, i);

			KUNIT_ASSERT_EQ_MSG(test, after[i], is_covered ? before[i] : 0,
					    "page %u, seed %u", i, seed);
			covered -= is_covered;
		}
		KUNIT_ASSERT_EQ_MSG(test, covered, 0, "seed %u", seed);
		damon_destroy_target(t);
	}
}

static void reserve_regions(struct kunit *test)
{
	struct damon_region *regions = NULL, *before;
	unsigned int room = 0;

	KUNIT_EXPECT_EQ(test, 0, damon_reserve_regions(&regions, &room, 0, 0));
	KUNIT_EXPECT_NULL(test, regions);
	KUNIT_ASSERT_EQ(test, 0, damon_reserve_regions(&regions, &room, 0, 3));
	KUNIT_EXPECT_GE(test, room, 3);
	regions[0].age = 5;
	regions[2].age = 7;
	KUNIT_ASSERT_EQ(test, 0, damon_reserve_regions(&regions, &room, 3, 1000));
	KUNIT_EXPECT_GE(test, room, 1000);
	KUNIT_EXPECT_EQ(test, regions[0].age, 5);
	KUNIT_EXPECT_EQ(test, regions[2].age, 7);
	before = regions;
	KUNIT_EXPECT_EQ(test, 0, damon_reserve_regions(&regions, &room, 0, 1000));
	KUNIT_EXPECT_PTR_EQ(test, regions, before);
	/* More than there is. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, damon_reserve_regions(&regions, &room, 3, UINT_MAX));
	KUNIT_EXPECT_PTR_EQ(test, regions, before);
	KUNIT_EXPECT_LT(test, room, 10000);
	KUNIT_EXPECT_EQ(test, regions[2].age, 7);
	kvfree(regions);
}

static void reserve_probes(struct kunit *test)
{
	struct damon_probes probes = {};
	struct damon_probe *before;

	KUNIT_ASSERT_EQ(test, 0, damon_reserve_probes(&probes, 100));
	KUNIT_EXPECT_GE(test, probes.room, 100);
	probes.nr = 100;
	before = probes.probe;
	KUNIT_EXPECT_EQ(test, 0, damon_reserve_probes(&probes, 50));
	KUNIT_EXPECT_EQ(test, probes.nr, 0);
	KUNIT_EXPECT_PTR_EQ(test, probes.probe, before);
	KUNIT_EXPECT_EQ(test, -ENOMEM, damon_reserve_probes(&probes, UINT_MAX));
	KUNIT_EXPECT_PTR_EQ(test, probes.probe, before);
	KUNIT_EXPECT_GE(test, probes.room, 100);
	KUNIT_EXPECT_LT(test, probes.room, 10000);
	kvfree(probes.probe);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(first_regions),
	KUNIT_CASE(same_ranges),
	KUNIT_CASE(longer_range),
	KUNIT_CASE(shorter_range),
	KUNIT_CASE(new_gap),
	KUNIT_CASE(closed_gap),
	KUNIT_CASE(unrelated_ranges),
	KUNIT_CASE(unsound_ranges),
	KUNIT_CASE(adopt),
	KUNIT_CASE(adopt_from_nobody),
	KUNIT_CASE(random_changes),
	KUNIT_CASE(reserve_regions),
	KUNIT_CASE(reserve_probes),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-targets",
	.test_cases = cases,
};

kunit_test_suite(suite);
