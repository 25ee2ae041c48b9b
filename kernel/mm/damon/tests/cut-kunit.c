// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of a region by the outcomes of its samples: parts, rates, ages.
 *
 * Outcomes are written as text, one character a slot: '.' idle, '#'
 * accessed, each time; '+' every other time; '-' missed once; '!' accessed once;
 * '?' not looked at.
 */

#include <kunit/test.h>

#include "regions-fake.h"

#define ROOM	128
#define PAGES	100	/* of a slot, mostly */

static struct damon_region parts[ROOM];
static unsigned int nr_parts;

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
	KUNIT_EXPECT_EQ(test, parts[0].age, 4);
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

/*
 * It restarts when the rate has changed by more than a tenth of the most, or from
 * or to nothing.
 */
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
	KUNIT_EXPECT_EQ(test, age_after(0, 1, 1, 9), 0);
	KUNIT_EXPECT_EQ(test, age_after(0, 1, 20, 9), 0);
	KUNIT_EXPECT_EQ(test, age_after(1, 0, 20, 9), 0);
	KUNIT_EXPECT_EQ(test, age_after(2, 1, 20, 9), 10);
	KUNIT_EXPECT_EQ(test, age_after(0, 0, 20, 9), 10);
	/* For ever, so to speak. */
	KUNIT_EXPECT_EQ(test, age_after(0, 0, 20, UINT_MAX), UINT_MAX);
}

/* One hit does not tell that nothing else was accessed at that time; more do. */
static void age_in_doubt(struct kunit *test)
{
	static const struct {
		const char *slots;
		unsigned int tries, age;
	} cases[] = {
		{ ".......#........", 1, 0 }, { "....!.....!.....", 4, 0 },
		{ ".......#........", 2, 8 }, { ".......##.......", 1, 8 },
		{ "........########", 1, 8 }, { "................", 1, 8 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct damon_region r = outcomes(cases[i].slots, 16 * PAGES, cases[i].tries);

		r.age = 7;
		cut(&r);
		KUNIT_EXPECT_EQ_MSG(test, parts[0].nr_accesses, 0, "%s", cases[i].slots);
		KUNIT_EXPECT_EQ_MSG(test, parts[0].age, cases[i].age, "%s", cases[i].slots);
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
	KUNIT_CASE(age_in_doubt),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-cut",
	.test_cases = cases,
};

kunit_test_suite(suite);
