// SPDX-License-Identifier: GPL-2.0
/*
 * What each step of making regions does.
 *
 * Outcomes of samples are written as text, one character a slot: '.' idle, '#'
 * accessed, each time; '+' every other time; '-' missed once; '!' accessed once;
 * '?' not looked at.
 */

#include <kunit/test.h>
#include <linux/sizes.h>

#include "../regions.h"

#define ROOM	128
#define PAGES	100	/* of a slot, mostly */

static const struct damon_rules twenty = {
	.max_nr_accesses = 20,
	.max_nr_regions = 1000,
	.max_sz = SZ_1G,
	.shift = PAGE_SHIFT,
};

static struct damon_region parts[ROOM];
static unsigned int nr_parts;

static struct damon_region region(unsigned long page, unsigned long nr_pages,
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

/* From page 1000 on, @tries in each slot. */
static struct damon_region outcomes(const char *slots, unsigned long nr_pages,
				    unsigned int tries)
{
	struct damon_region r = region(1000, nr_pages, 0, 0);
	unsigned int i;

	r.nr_slots = strlen(slots);
	for (i = 0; slots[i]; i++) {
		struct damon_slot *slot = &r.slots[i];

		slot->tries = slots[i] == '?' ? 0 : tries;
		if (slots[i] == '#')
			slot->hits = tries;
		else if (slots[i] == '+')
			slot->hits = tries / 2;
		else if (slots[i] == '-')
			slot->hits = tries - 1;
		else if (slots[i] == '!')
			slot->hits = 1;
		r.hits += slot->hits;
		r.tries += slot->tries;
	}
	return r;
}

static void cut_room(const struct damon_region *r, unsigned int room,
		     const struct damon_rules *rules)
{
	nr_parts = damon_cut_regions(r, 1, parts, room, rules);
}

static void cut(const struct damon_region *r)
{
	cut_room(r, ROOM, &twenty);
}

static unsigned long page_of(unsigned long addr)
{
	return addr >> PAGE_SHIFT;
}

static void expect_part(struct kunit *test, unsigned int at, unsigned long start_page,
			unsigned long end_page, unsigned int rate, int line)
{
	const struct damon_region *r = &parts[at];

	KUNIT_EXPECT_EQ_MSG(test, page_of(r->ar.start), start_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, page_of(r->ar.end), end_page, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, r->nr_accesses, rate, "line %d", line);
}

#define EXPECT_PART(...)	expect_part(__VA_ARGS__, __LINE__)

/* A new hot spot is reported in the interval in which it was found. */
static void cut_hot_spot(struct kunit *test)
{
	struct damon_region r = outcomes("......###.......", 16 * PAGES, 4);

	r.age = 7;
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	EXPECT_PART(test, 0, 1000, 1600, 0);
	EXPECT_PART(test, 1, 1600, 1900, 20);
	EXPECT_PART(test, 2, 1900, 2600, 0);
	KUNIT_EXPECT_EQ(test, parts[0].age, 8);
	KUNIT_EXPECT_EQ(test, parts[1].age, 0);
	KUNIT_EXPECT_EQ(test, parts[2].age, 8);
	KUNIT_EXPECT_EQ(test, parts[1].hits, 12);
	KUNIT_EXPECT_EQ(test, parts[2].tries, 28);
	KUNIT_EXPECT_EQ(test, parts[1].last_nr_accesses, 0);
}

static void cut_at_ends(struct kunit *test)
{
	struct damon_region r = outcomes("#...............", 16 * PAGES, 4);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 2);
	EXPECT_PART(test, 0, 1000, 1100, 20);
	EXPECT_PART(test, 1, 1100, 2600, 0);

	r = outcomes("..............##", 16 * PAGES, 4);
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 2);
	EXPECT_PART(test, 0, 1000, 2400, 0);
	EXPECT_PART(test, 1, 2400, 2600, 20);
}

static void cut_two_spots(struct kunit *test)
{
	struct damon_region r = outcomes(".##......#######", 16 * PAGES, 4);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 4);
	EXPECT_PART(test, 0, 1000, 1100, 0);
	EXPECT_PART(test, 1, 1100, 1300, 20);
	EXPECT_PART(test, 2, 1300, 1900, 0);
	EXPECT_PART(test, 3, 1900, 2600, 20);
}

static void cut_cold_spot(struct kunit *test)
{
	struct damon_region r = outcomes("#######...######", 16 * PAGES, 4);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	EXPECT_PART(test, 0, 1000, 1700, 20);
	EXPECT_PART(test, 1, 1700, 2000, 0);
	EXPECT_PART(test, 2, 2000, 2600, 20);
}

/* Warm beside hot memory, with enough samples to be sure. */
static void cut_warm_from_hot(struct kunit *test)
{
	struct damon_region r = outcomes("++++++++########", 16 * PAGES, 10);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 2);
	EXPECT_PART(test, 0, 1000, 1800, 10);
	EXPECT_PART(test, 1, 1800, 2600, 20);
}

/* As many samples as sampling fast gives: they are not to get in the way. */
static void cut_many_samples(struct kunit *test)
{
	struct damon_rules rules = twenty;
	unsigned int tries;

	rules.max_nr_accesses = 1000;
	for (tries = 20; tries <= 40000; tries *= 10) {
		struct damon_region r = outcomes("++++++++++######", 16 * PAGES, tries);

		cut_room(&r, ROOM, &rules);
		KUNIT_EXPECT_EQ_MSG(test, nr_parts, 2, "%u in each slot", tries);
		EXPECT_PART(test, 0, 1000, 2000, 500);
		EXPECT_PART(test, nr_parts - 1, 2000, 2600, 1000);

		r = outcomes("++++++++++++++++", 16 * PAGES, tries);
		cut_room(&r, ROOM, &rules);
		KUNIT_EXPECT_EQ_MSG(test, nr_parts, 1, "%u in each slot", tries);
	}
}

/* Sizes that the number of slots does not divide. */
static void cut_odd_size(struct kunit *test)
{
	struct damon_region r = outcomes("......###.......", 1603, 4);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	EXPECT_PART(test, 0, 1000, 1000 + 1603 * 6 / 16, 0);
	EXPECT_PART(test, 1, 1000 + 1603 * 6 / 16, 1000 + 1603 * 9 / 16, 20);
	EXPECT_PART(test, 2, 1000 + 1603 * 9 / 16, 2603, 0);
}

/* Of fewer pages than slots: each page is one. */
static void cut_few_pages(struct kunit *test)
{
	struct damon_region r = outcomes("..#....", 7, 4);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	EXPECT_PART(test, 0, 1000, 1002, 0);
	EXPECT_PART(test, 1, 1002, 1003, 20);
	EXPECT_PART(test, 2, 1003, 1007, 0);

	r = outcomes("+", 1, 20);
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 1001, 10);
}

/* Addresses in units as large as a page. */
static void cut_units(struct kunit *test)
{
	struct damon_region r = outcomes("......###.......", 1, 4);
	struct damon_rules rules = twenty;

	r.ar.start = 5;
	r.ar.end = 5 + 32;
	rules.shift = 0;
	cut_room(&r, ROOM, &rules);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	KUNIT_EXPECT_EQ(test, parts[1].ar.start, 5 + 12);
	KUNIT_EXPECT_EQ(test, parts[1].ar.end, 5 + 18);
}

static void no_cut_of_warm(struct kunit *test)
{
	struct damon_region r = outcomes("++++++++++++++++", 16 * PAGES, 2);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 2600, 10);
	r = outcomes("+++++++", 7, 4);
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 1007, 10);
}

static void no_cut_of_settled(struct kunit *test)
{
	struct damon_region r = outcomes("################", 16 * PAGES, 1);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 2600, 20);
	r = outcomes("................", 16 * PAGES, 1);
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 2600, 0);
}

/* The program may not have run. */
static void misses_are_noise(struct kunit *test)
{
	static const char * const slots[] = {
		"####.###########", "#.###########.##", ".###############",
		"###############.",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(slots); i++) {
		struct damon_region r = outcomes(slots[i], 16 * PAGES, 1);

		cut(&r);
		KUNIT_EXPECT_EQ_MSG(test, nr_parts, 1, "%s", slots[i]);
		EXPECT_PART(test, 0, 1000, 2600, i == 1 ? 18 : 19);
	}
}

/* A hit is not. */
static void hits_are_evidence(struct kunit *test)
{
	struct damon_region r = outcomes(".....!..........", 16 * PAGES, 1);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	KUNIT_EXPECT_EQ(test, page_of(parts[1].ar.start), 1500);
	KUNIT_EXPECT_EQ(test, page_of(parts[1].ar.end), 1600);
	KUNIT_EXPECT_EQ(test, parts[0].nr_accesses, 0);
	KUNIT_EXPECT_GT(test, parts[1].nr_accesses, 0);
	KUNIT_EXPECT_EQ(test, parts[2].nr_accesses, 0);
}

/* Slots without samples go with those beside them. */
static void unknown_slots(struct kunit *test)
{
	struct damon_region r = outcomes("??..?.??##?##?..", 16 * PAGES, 4);

	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	KUNIT_EXPECT_EQ(test, parts[0].nr_accesses, 0);
	KUNIT_EXPECT_EQ(test, parts[0].tries, 12);
	KUNIT_EXPECT_EQ(test, parts[1].nr_accesses, 20);
	KUNIT_EXPECT_EQ(test, parts[1].tries, 16);
	KUNIT_EXPECT_EQ(test, parts[2].nr_accesses, 0);
	KUNIT_EXPECT_EQ(test, parts[2].tries, 8);

	/* Nothing is known: all stays as it was. */
	r = outcomes("????????????????", 16 * PAGES, 0);
	r.nr_accesses = 13;
	r.last_nr_accesses = 2;
	r.age = 4;
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 2600, 13);
	KUNIT_EXPECT_EQ(test, parts[0].last_nr_accesses, 13);
	KUNIT_EXPECT_EQ(test, parts[0].age, 5);
}

/* Without clear edges, there is one cut at most: where it tells most. */
static void unclear_edges(struct kunit *test)
{
	struct damon_region r = outcomes("#.#.#.#.#.#.#.#.", 16 * PAGES, 4);

	cut(&r);
	KUNIT_EXPECT_EQ(test, nr_parts, 1);
	r = outcomes("#.#.#.#.#.......", 16 * PAGES, 4);
	cut(&r);
	KUNIT_ASSERT_EQ(test, nr_parts, 2);
	KUNIT_EXPECT_EQ(test, page_of(parts[0].ar.end), 1900);
	KUNIT_EXPECT_EQ(test, parts[1].hits, 0);
}

/*
 * Every slot is accessed half of the time, by chance, which some slots make look
 * like idle ones.
 */
static void random_warm(struct kunit *test)
{
	unsigned int i, sum = 0;
	struct rnd_state random;

	prandom_seed_state(&random, 1);
	for (i = 0; i < 1000; i++) {
		struct damon_region r = outcomes("................", 16 * PAGES, 5);
		unsigned int slot, try;

		for (slot = 0; slot < DAMON_NR_SLOTS; slot++) {
			for (try = 0; try < 5; try++)
				r.slots[slot].hits += prandom_u32_state(&random) >> 31;
			r.hits += r.slots[slot].hits;
		}
		cut(&r);
		KUNIT_ASSERT_LE(test, nr_parts, 7);
		sum += nr_parts;
	}
	kunit_info(test, "%u parts of %u regions\n", sum, i);
	KUNIT_EXPECT_LT(test, sum, 4000);
}

/* A region for whose parts there is no room stays whole, others do not. */
static void cut_without_room(struct kunit *test)
{
	struct damon_region r[2] = {
		outcomes("....####........", 16 * PAGES, 4),
		outcomes("........########", 16 * PAGES, 4),
	};

	r[1].ar.start += 16 * PAGES << PAGE_SHIFT;
	r[1].ar.end += 16 * PAGES << PAGE_SHIFT;
	cut_room(&r[0], 2, &twenty);
	KUNIT_ASSERT_EQ(test, nr_parts, 1);
	EXPECT_PART(test, 0, 1000, 2600, 5);

	nr_parts = damon_cut_regions(r, 2, parts, 3, &twenty);
	KUNIT_ASSERT_EQ(test, nr_parts, 3);
	EXPECT_PART(test, 0, 1000, 2600, 5);
	EXPECT_PART(test, 1, 2600, 3400, 0);
	EXPECT_PART(test, 2, 3400, 4200, 20);
	KUNIT_EXPECT_GE(test, damon_parts_wanted(r, 2), 5);
}

static void rates_are_rounded(struct kunit *test)
{
	static const struct {
		unsigned int hits, tries, most, rate;
	} cases[] = {
		{ 0, 40, 20, 0 }, { 40, 40, 20, 20 }, { 1, 41, 20, 0 }, { 1, 40, 20, 1 },
		{ 1, 3, 20, 7 }, { 2, 3, 20, 13 }, { 39, 40, 20, 20 }, { 38, 40, 20, 19 },
		{ 1, 2, 1, 1 }, { 1, 3, 1, 0 }, { 3, 6, 10000, 5000 },
		{ 999999, 1000000, 100000, 100000 }, { 1, 2, UINT_MAX, 1U << 31 },
		{ U32_MAX - 1, U32_MAX, U32_MAX, U32_MAX - 1 },
	};
	struct damon_rules rules = twenty;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct damon_region r = region(1000, 1, cases[i].hits, cases[i].tries);

		r.nr_slots = 1;
		r.slots[0].hits = min(cases[i].hits, U16_MAX);
		r.slots[0].tries = min(cases[i].tries, U16_MAX);
		rules.max_nr_accesses = cases[i].most;
		cut_room(&r, ROOM, &rules);
		KUNIT_ASSERT_EQ(test, nr_parts, 1);
		KUNIT_EXPECT_EQ_MSG(test, parts[0].nr_accesses, cases[i].rate,
				    "%u of %u, at most %u", cases[i].hits, cases[i].tries,
				    cases[i].most);
	}
}

/* A region of the rate @before, and of @after of @most in this interval. */
static unsigned int age_after(unsigned int before, unsigned int after, unsigned int most,
			      unsigned int age)
{
	struct damon_region r = region(1000, 1, after, most);
	struct damon_rules rules = twenty;

	r.nr_slots = 1;
	r.slots[0].hits = after;
	r.slots[0].tries = most;
	r.nr_accesses = before;
	r.last_nr_accesses = 1;
	r.age = age;
	rules.max_nr_accesses = most;
	cut_room(&r, ROOM, &rules);
	return parts[0].last_nr_accesses == before ? parts[0].age : UINT_MAX;
}

/* It restarts when the rate has changed by more than a tenth of the most. */
static void age_follows_rate(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, age_after(10, 10, 20, 5), 6);
	KUNIT_EXPECT_EQ(test, age_after(10, 12, 20, 5), 6);
	KUNIT_EXPECT_EQ(test, age_after(10, 8, 20, 5), 6);
	KUNIT_EXPECT_EQ(test, age_after(10, 13, 20, 5), 0);
	KUNIT_EXPECT_EQ(test, age_after(10, 7, 20, 5), 0);
	KUNIT_EXPECT_EQ(test, age_after(0, 20, 20, 5), 0);
	KUNIT_EXPECT_EQ(test, age_after(50, 60, 100, 0), 1);
	KUNIT_EXPECT_EQ(test, age_after(50, 61, 100, 9), 0);
	KUNIT_EXPECT_EQ(test, age_after(1, 2, 3, 9), 10);
	KUNIT_EXPECT_EQ(test, age_after(1, 3, 3, 9), 0);
	KUNIT_EXPECT_EQ(test, age_after(0, 1, 1, 9), 10);
	/* For ever, so to speak. */
	KUNIT_EXPECT_EQ(test, age_after(0, 0, 20, UINT_MAX), UINT_MAX);
}

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
	/* Beside hot memory as large as they are, and beside idle memory. */
	struct damon_region none[] = {
		region(0, 10, 0, 20), region(10, 10, 0, 20), region(20, 1000, 20, 20),
		region(1020, 10, 0, 20), region(1030, 10, 0, 20),
	};
	struct damon_region gap[] = {
		region(0, 1000, 0, 20), region(1000, 10, 0, 20), region(1011, 10, 20, 20),
		region(1022, 10, 0, 20), region(1032, 1000, 0, 20),
	};

	KUNIT_EXPECT_EQ(test, merge(before, ARRAY_SIZE(before)), 3);
	KUNIT_ASSERT_EQ(test, merge(after, ARRAY_SIZE(after)), 3);
	EXPECT_PART(test, 1, 10, 20, 0);
	EXPECT_PART(test, 2, 20, 2020, 0);
	KUNIT_EXPECT_EQ(test, merge(none, ARRAY_SIZE(none)), 3);
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
	KUNIT_CASE(cut_hot_spot),
	KUNIT_CASE(cut_at_ends),
	KUNIT_CASE(cut_two_spots),
	KUNIT_CASE(cut_cold_spot),
	KUNIT_CASE(cut_warm_from_hot),
	KUNIT_CASE(cut_many_samples),
	KUNIT_CASE(cut_odd_size),
	KUNIT_CASE(cut_few_pages),
	KUNIT_CASE(cut_units),
	KUNIT_CASE(no_cut_of_warm),
	KUNIT_CASE(no_cut_of_settled),
	KUNIT_CASE(misses_are_noise),
	KUNIT_CASE(hits_are_evidence),
	KUNIT_CASE(unknown_slots),
	KUNIT_CASE(unclear_edges),
	KUNIT_CASE(random_warm),
	KUNIT_CASE(cut_without_room),
	KUNIT_CASE(rates_are_rounded),
	KUNIT_CASE(age_follows_rate),
	KUNIT_CASE(merge_alike),
	KUNIT_CASE(merge_idle),
	KUNIT_CASE(merge_keeps_edges),
	KUNIT_CASE(merge_keeps_guards),
	KUNIT_CASE(merge_keeps_bounds),
	KUNIT_CASE(merge_by_size),
	KUNIT_CASE(merge_huge),
	KUNIT_CASE(merge_by_evidence),
	KUNIT_CASE(merge_without_samples),
	KUNIT_CASE(limit_joins_alike_first),
	KUNIT_CASE(limit_keeps_ranges),
	KUNIT_CASE(limit_ends),
	KUNIT_CASE(split_large),
	KUNIT_CASE(split_evenly),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-regions",
	.test_cases = cases,
};

kunit_test_suite(suite);
