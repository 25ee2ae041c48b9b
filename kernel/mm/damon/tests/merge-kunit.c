// SPDX-License-Identifier: GPL-2.0
/* Which neighbours become one region, and how bounds on regions are kept. */

#include <kunit/test.h>

#include "regions-fake.h"

#define ROOM	128

static struct damon_region parts[ROOM];
static unsigned int nr_parts;

static unsigned int merge_rules(struct damon_region *r, unsigned int nr,
				const struct damon_rules *rules)
{
	memcpy(parts, r, nr * sizeof(*r));
	nr_parts = damon_merge_regions(parts, nr, rules);
	return nr_parts;
}

static unsigned int merge(struct damon_region *r, unsigned int nr)
{
	return merge_rules(r, nr, &twenty);
}

static void merge_alike(struct kunit *test)
{
	struct damon_region r[] = {
		region(0, 100, 0, 20), region(100, 50, 0, 20), region(150, 400, 0, 60),
		region(550, 100, 20, 20), region(650, 100, 18, 20), region(750, 100, 20, 20),
		region(850, 100, 5, 40),
	};

	KUNIT_ASSERT_EQ(test, merge(r, ARRAY_SIZE(r)), 4);
	EXPECT_PART(test, 0, 0, 150, 0);
	EXPECT_PART(test, 1, 150, 550, 0);
	EXPECT_PART(test, 2, 550, 850, 19);
	EXPECT_PART(test, 3, 850, 950, 2);
	KUNIT_EXPECT_EQ(test, parts[0].tries, 40);
	KUNIT_EXPECT_EQ(test, parts[2].hits, 58);
	KUNIT_EXPECT_EQ(test, merge(r, 0), 0);
	KUNIT_EXPECT_EQ(test, merge(r, 1), 1);
}

static void merge_idle(struct kunit *test)
{
	struct damon_region r[] = {
		region(0, 1, 0, 1), region(1, 1000, 0, 80), region(1001, 10, 0, 20),
		/* A gap, and one that touches it only beyond. */
		region(1012, 10, 0, 20), region(1022, 10, 0, 20),
	};

	KUNIT_ASSERT_EQ(test, merge(r, ARRAY_SIZE(r)), 2);
	EXPECT_PART(test, 0, 0, 1011, 0);
	EXPECT_PART(test, 1, 1012, 1032, 0);
}

/* Idle memory never goes with accessed memory. */
static void merge_keeps_edges(struct kunit *test)
{
	struct damon_region r[] = {
		region(0, 100, 0, 20), region(100, 100, 1, 40), region(200, 100, 0, 20),
	};

	r[1].nr_accesses = 1;
	KUNIT_EXPECT_EQ(test, merge(r, ARRAY_SIZE(r)), 3);
}

static void merge_keeps_guards(struct kunit *test)
{
	struct damon_region before[] = {
		region(0, 1000, 0, 20), region(1000, 10, 0, 20), region(1010, 10, 20, 20),
	};
	struct damon_region after[] = {
		region(0, 10, 20, 20), region(10, 10, 0, 20), region(20, 1000, 0, 20),
		region(1020, 1000, 0, 20),
	};

	KUNIT_EXPECT_EQ(test, merge(before, ARRAY_SIZE(before)), 3);
	KUNIT_ASSERT_EQ(test, merge(after, ARRAY_SIZE(after)), 3);
	EXPECT_PART(test, 1, 10, 20, 0);
	EXPECT_PART(test, 2, 20, 2020, 0);
}

/* Beside hot memory as large as they are, and beside a gap. */
static void merge_needs_no_guards(struct kunit *test)
{
	struct damon_region small[] = {
		region(0, 10, 0, 20), region(10, 10, 0, 20), region(20, 1000, 20, 20),
		region(1020, 10, 0, 20), region(1030, 10, 0, 20),
	};
	struct damon_region gap[] = {
		region(0, 1000, 0, 20), region(1000, 10, 0, 20), region(1011, 10, 20, 20),
		region(1022, 10, 0, 20), region(1032, 1000, 0, 20),
	};

	KUNIT_EXPECT_EQ(test, merge(small, ARRAY_SIZE(small)), 3);
	KUNIT_EXPECT_EQ(test, merge(gap, ARRAY_SIZE(gap)), 3);
}

static void merge_keeps_bounds(struct kunit *test)
{
	struct damon_region r[] = {
		region(0, 60, 0, 20), region(60, 40, 0, 20), region(100, 1, 0, 20),
		region(101, 99, 0, 20), region(200, 200, 0, 20),
	};
	struct damon_rules rules = twenty;

	rules.max_sz = 100 << PAGE_SHIFT;
	KUNIT_ASSERT_EQ(test, merge_rules(r, ARRAY_SIZE(r), &rules), 3);
	EXPECT_PART(test, 0, 0, 100, 0);
	EXPECT_PART(test, 1, 100, 200, 0);
	EXPECT_PART(test, 2, 200, 400, 0);
}

static void merge_by_size(struct kunit *test)
{
	struct damon_region r[] = { region(0, 300, 18, 20), region(300, 100, 20, 20) };
	struct damon_region unit[] = { region(0, 1, 100, 200), region(0, 1, 116, 200) };
	struct damon_rules rules = twenty;

	r[0].nr_accesses = 1800;
	r[1].nr_accesses = 2000;
	r[0].age = 10;
	r[1].age = 30;
	r[0].last_nr_accesses = 100;
	r[1].last_nr_accesses = 200;
	rules.max_nr_accesses = 2000;
	KUNIT_ASSERT_EQ(test, merge_rules(r, 2, &rules), 1);
	EXPECT_PART(test, 0, 0, 400, 1850);
	KUNIT_EXPECT_EQ(test, parts[0].age, 15);
	KUNIT_EXPECT_EQ(test, parts[0].last_nr_accesses, 125);

	/* Where addresses are in units of a page or more. */
	rules.shift = 0;
	unit[0].ar = (struct damon_addr_range){ 0, 300 };
	unit[1].ar = (struct damon_addr_range){ 300, 400 };
	unit[0].nr_accesses = 1000;
	unit[1].nr_accesses = 1160;
	KUNIT_ASSERT_EQ(test, merge_rules(unit, 2, &rules), 1);
	KUNIT_EXPECT_EQ(test, parts[0].nr_accesses, 1040);
}

/* Large, old and hot: the sums go far beyond 32 bits. */
/* What was accessed a moment ago does not become as old as what is beside it. */
static void merge_by_age(struct kunit *test)
{
	static const struct {
		unsigned int a, b;
		bool merged;
	} cases[] = {
		{ 0, 0, true }, { 0, 11, true }, { 0, 12, false }, { 12, 0, false },
		{ 20, 60, false }, { 20, 51, true }, { 51, 20, true }, { 1000, 800, true },
		{ 1000, 400, false }, { UINT_MAX, UINT_MAX, true }, { UINT_MAX, 0, false },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct damon_region r[] = {
			region(0, 100, 0, 20), region(100, 100, 0, 20),
		};

		r[0].age = cases[i].a;
		r[1].age = cases[i].b;
		KUNIT_EXPECT_EQ_MSG(test, merge(r, 2), 2 - cases[i].merged,
				    "%u and %u", cases[i].a, cases[i].b);
	}
}

static void merge_huge(struct kunit *test)
{
	struct damon_region r[2] = { region(0, 1, 20, 20), region(0, 1, 20, 20) };
	unsigned int bits = BITS_PER_LONG == 64 ? 52 : 30, i;
	struct damon_rules rules = twenty;

	r[0].ar.end = 1UL << bits;
	r[1].ar.start = r[0].ar.end;
	r[1].ar.end = r[0].ar.end * 2;
	for (i = 0; i < 2; i++) {
		r[i].nr_accesses = UINT_MAX - i;
		r[i].last_nr_accesses = UINT_MAX - i;
		r[i].age = UINT_MAX;
	}
	rules.max_nr_accesses = UINT_MAX;
	rules.max_sz = ULONG_MAX;
	KUNIT_ASSERT_EQ(test, merge_rules(r, 2, &rules), 1);
	KUNIT_EXPECT_GE(test, parts[0].nr_accesses, UINT_MAX - 1);
	KUNIT_EXPECT_GE(test, parts[0].last_nr_accesses, UINT_MAX - 1);
	KUNIT_EXPECT_EQ(test, parts[0].age, UINT_MAX);
}

/* What few samples cannot tell apart, many can. */
static void merge_by_evidence(struct kunit *test)
{
	struct damon_region few[] = { region(0, 10, 2, 4), region(10, 10, 4, 4) };
	struct damon_region many[] = { region(0, 10, 50, 100), region(10, 10, 90, 100) };
	struct damon_region unequal[] = { region(0, 10, 100, 200), region(10, 10, 54, 60) };
	unsigned int times;

	KUNIT_EXPECT_EQ(test, merge(few, 2), 1);
	KUNIT_EXPECT_EQ(test, merge(unequal, 2), 2);
	for (times = 1; times <= 10000; times *= 10) {
		many[0].hits = 50 * times;
		many[1].hits = 90 * times;
		many[0].tries = 100 * times;
		many[1].tries = 100 * times;
		KUNIT_EXPECT_EQ_MSG(test, merge(many, 2), 2, "%u samples", 100 * times);
	}
}

/* Nothing is known of them but what was known before. */
static void merge_without_samples(struct kunit *test)
{
	struct damon_region r[] = {
		region(0, 10, 0, 0), region(10, 10, 0, 0), region(20, 10, 0, 0),
		region(30, 10, 0, 20),
	};

	r[1].nr_accesses = 5;
	r[2].nr_accesses = 5;
	KUNIT_ASSERT_EQ(test, merge(r, ARRAY_SIZE(r)), 3);
	EXPECT_PART(test, 1, 10, 30, 5);
}

/* What kept them apart before keeps them apart still. */
static void merge_unknown(struct kunit *test)
{
	struct damon_region ages[] = { region(0, 10, 0, 0), region(10, 10, 0, 0) };
	struct damon_region apart[] = { region(0, 10, 0, 0), region(10, 10, 0, 20) };
	struct damon_region guard[] = {
		region(0, 10, 0, 0), region(10, 10, 0, 0), region(20, 1000, 0, 0),
	};

	KUNIT_EXPECT_EQ(test, merge(ages, ARRAY_SIZE(ages)), 1);
	ages[1].age = 100;
	KUNIT_EXPECT_EQ(test, merge(ages, ARRAY_SIZE(ages)), 2);
	KUNIT_EXPECT_EQ(test, merge(apart, ARRAY_SIZE(apart)), 1);
	apart[0].apart = 1;
	KUNIT_EXPECT_EQ(test, merge(apart, ARRAY_SIZE(apart)), 2);
	KUNIT_EXPECT_EQ(test, merge(guard, ARRAY_SIZE(guard)), 1);
	guard[0].nr_accesses = 10;
	KUNIT_EXPECT_EQ(test, merge(guard, ARRAY_SIZE(guard)), 3);
}

static void limit_joins_alike_first(struct kunit *test)
{
	static const unsigned int rates[] = { 0, 20, 10, 10, 0, 2, 14, 20 };
	struct damon_rules rules = twenty;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		parts[i] = region(i * 10, 10, rates[i], 20);
		parts[i].nr_accesses = rates[i];
	}
	rules.max_sz = 10 << PAGE_SHIFT;
	rules.max_nr_regions = 8;
	KUNIT_EXPECT_EQ(test, damon_limit_regions(parts, 8, &rules), 8);
	rules.max_nr_regions = 7;
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 8, &rules), 7);
	EXPECT_PART(test, 2, 20, 40, 10);
	rules.max_nr_regions = 6;
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 7, &rules), 6);
	EXPECT_PART(test, 3, 40, 60, 1);
	rules.max_nr_regions = 5;
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 6, &rules), 5);
	EXPECT_PART(test, 4, 60, 80, 17);
	rules.max_nr_regions = 1;
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 5, &rules), 1);
	KUNIT_EXPECT_EQ(test, parts[0].tries, 160);
	KUNIT_EXPECT_EQ(test, parts[0].hits, 76);
}

/* What costs less goes first, wherever it is. */
static void limit_joins_cheapest(struct kunit *test)
{
	struct damon_region rates[] = {
		region(0, 10, 2, 20), region(10, 10, 0, 20), region(20, 10, 20, 20),
		region(30, 10, 19, 20),
	};
	struct damon_region sizes[] = {
		region(0, 4, 10, 20), region(4, 200, 20, 20), region(204, 100, 0, 20),
		region(304, 100, 10, 20),
	};
	struct damon_region ages[] = {
		region(0, 10, 0, 20), region(10, 10, 0, 20), region(20, 10, 0, 20),
	};
	struct damon_rules rules = twenty;

	rules.max_nr_regions = 3;
	memcpy(parts, rates, sizeof(rates));
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 4, &rules), 3);
	EXPECT_PART(test, 1, 10, 20, 0);
	memcpy(parts, sizes, sizeof(sizes));
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 4, &rules), 3);
	EXPECT_PART(test, 0, 0, 204, 20);
	rules.max_nr_regions = 2;
	ages[0].age = 9;
	ages[1].age = 10;
	ages[2].age = 100;
	memcpy(parts, ages, sizeof(ages));
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, 3, &rules), 2);
	EXPECT_PART(test, 0, 0, 20, 0);
}

/* Of what costs the same, some is joined everywhere. */
static void limit_joins_everywhere(struct kunit *test)
{
	unsigned int seen[4] = {}, i, nr;
	struct damon_rules rules = twenty;

	for (i = 0; i < ROOM; i++)
		parts[i] = region(i * 10, 10, i % 2 * 20, 20);
	rules.max_nr_regions = ROOM * 3 / 4;
	nr = damon_limit_regions(parts, ROOM, &rules);
	KUNIT_ASSERT_EQ(test, nr, ROOM * 3 / 4);
	for (i = 0; i < nr; i++)
		seen[page_of(parts[i].ar.start) * 4 / (ROOM * 10)]++;
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_GE(test, seen[i], nr / 4 - 2);
		KUNIT_EXPECT_LE(test, seen[i], nr / 4 + 2);
	}
}

/* Costs that rise, or fall, from one pair to the next: it does not take for ever. */
static void limit_of_slopes(struct kunit *test)
{
	struct damon_rules rules = twenty;
	unsigned int fall, i;

	rules.max_nr_accesses = ROOM * ROOM;
	rules.max_nr_regions = 1;
	for (fall = 0; fall < 2; fall++) {
		for (i = 0; i < ROOM; i++) {
			unsigned int at = fall ? ROOM - 1 - i : i;

			parts[i] = region(i, 1, 0, 20);
			parts[i].nr_accesses = at * at;
		}
		KUNIT_EXPECT_EQ(test, damon_limit_regions(parts, ROOM, &rules), 1);
		KUNIT_EXPECT_EQ(test, parts[0].tries, ROOM * 20);
	}
}

/* Not over gaps. */
static void limit_keeps_ranges(struct kunit *test)
{
	struct damon_region r[] = {
		region(0, 10, 0, 20), region(10, 10, 20, 20), region(21, 10, 0, 20),
		region(31, 10, 20, 20), region(50, 10, 0, 20), region(60, 10, 20, 20),
	};
	struct damon_rules rules = twenty;

	rules.max_nr_regions = 2;
	memcpy(parts, r, sizeof(r));
	KUNIT_ASSERT_EQ(test, damon_limit_regions(parts, ARRAY_SIZE(r), &rules), 3);
	EXPECT_PART(test, 0, 0, 20, 10);
	EXPECT_PART(test, 1, 21, 41, 10);
	EXPECT_PART(test, 2, 50, 70, 10);
}

/* Rates up to the largest number: the widening of the search comes to an end. */
static void limit_ends(struct kunit *test)
{
	struct damon_rules rules = twenty;
	unsigned int i;

	rules.max_nr_accesses = UINT_MAX;
	rules.max_nr_regions = 1;
	for (i = 0; i < 4; i++) {
		parts[i] = region(i, 1, 0, 20);
		parts[i].nr_accesses = i % 2 ? UINT_MAX : 0;
	}
	KUNIT_EXPECT_EQ(test, damon_limit_regions(parts, 4, &rules), 1);
}

static unsigned int split(struct damon_region r, unsigned long max_pages, unsigned int room)
{
	struct damon_rules rules = twenty;

	rules.max_sz = max_pages << PAGE_SHIFT;
	nr_parts = damon_split_large(&r, 1, parts, room, &rules);
	return nr_parts;
}

static void split_large(struct kunit *test)
{
	struct damon_region r = region(0, 1000, 5, 20);
	unsigned int i;

	r.age = 3;
	KUNIT_EXPECT_EQ(test, split(r, 1000, ROOM), 1);
	KUNIT_ASSERT_EQ(test, split(r, 250, ROOM), 4);
	for (i = 0; i < 4; i++) {
		EXPECT_PART(test, i, i * 250, (i + 1) * 250, 5);
		KUNIT_EXPECT_EQ(test, parts[i].age, 3);
	}
	KUNIT_ASSERT_EQ(test, split(r, 249, ROOM), 5);
	/* As far as there is room. */
	KUNIT_ASSERT_EQ(test, split(r, 250, 3), 3);
	KUNIT_EXPECT_EQ(test, page_of(parts[2].ar.end), 1000);
	KUNIT_EXPECT_EQ(test, split(r, 0, 1), 1);
}

/* Sizes that cannot be divided: all parts are as large as they may be, or less. */
static void split_evenly(struct kunit *test)
{
	unsigned long pages, max_pages;
	unsigned int i;

	for (pages = 1; pages < 100; pages++) {
		for (max_pages = 1; max_pages <= pages; max_pages++) {
			unsigned long least = ULONG_MAX, most = 0, end = 1000;

			split(region(1000, pages, 0, 20), max_pages, ROOM);
			for (i = 0; i < nr_parts; i++) {
				unsigned long sz = page_of(damon_sz_region(&parts[i]));

				KUNIT_ASSERT_EQ(test, page_of(parts[i].ar.start), end);
				end += sz;
				least = min(least, sz);
				most = max(most, sz);
			}
			KUNIT_ASSERT_EQ(test, end, 1000 + pages);
			if (most <= max_pages && most - least <= 1)
				continue;
			KUNIT_FAIL(test, "%lu pages, at most %lu, gives %lu to %lu",
				   pages, max_pages, least, most);
			return;
		}
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(merge_alike),
	KUNIT_CASE(merge_idle),
	KUNIT_CASE(merge_keeps_edges),
	KUNIT_CASE(merge_keeps_guards),
	KUNIT_CASE(merge_needs_no_guards),
	KUNIT_CASE(merge_keeps_bounds),
	KUNIT_CASE(merge_by_size),
	KUNIT_CASE(merge_by_age),
	KUNIT_CASE(merge_huge),
	KUNIT_CASE(merge_by_evidence),
	KUNIT_CASE(merge_without_samples),
	KUNIT_CASE(merge_unknown),
	KUNIT_CASE(limit_joins_alike_first),
	KUNIT_CASE(limit_joins_cheapest),
	KUNIT_CASE(limit_joins_everywhere),
	KUNIT_CASE(limit_of_slopes),
	KUNIT_CASE(limit_keeps_ranges),
	KUNIT_CASE(limit_ends),
	KUNIT_CASE(split_large),
	KUNIT_CASE(split_evenly),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-merge",
	.test_cases = cases,
};

kunit_test_suite(suite);
