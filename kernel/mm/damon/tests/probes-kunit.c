// SPDX-License-Identifier: GPL-2.0
/* Where regions are looked at, and what is made of the outcomes. */

#include <kunit/test.h>
#include <linux/sizes.h>

#include "../regions.h"

#define NR_REGIONS	40

static const struct damon_rules twenty = {
	.max_nr_accesses = 20,
	.max_nr_regions = 1000,
	.max_sz = SZ_1G,
	.shift = PAGE_SHIFT,
};

static struct damon_region regions[NR_REGIONS];
static struct damon_probe room[NR_REGIONS * DAMON_MAX_PROBES];
static struct damon_probes probes = { .probe = room, .room = ARRAY_SIZE(room) };
static struct rnd_state chance;

static int begin_test(struct kunit *test)
{
	prandom_seed_state(&chance, 1);
	memset(regions, 0, sizeof(regions));
	probes.room = ARRAY_SIZE(room);
	return 0;
}

static void place(unsigned int at, unsigned long page, unsigned long nr_pages)
{
	regions[at].ar.start = page << PAGE_SHIFT;
	regions[at].ar.end = (page + nr_pages) << PAGE_SHIFT;
}

static void begin(unsigned int nr, unsigned int spare)
{
	damon_begin_regions(regions, nr, spare, &twenty, &chance);
}

static void choose(unsigned int nr)
{
	damon_choose_probes(regions, nr, &probes, PAGE_SHIFT, &chance);
}

/* Probe @at finds @state so many times. */
static void note(unsigned int at, enum damon_probe_state state, unsigned int times)
{
	const struct damon_probes one = { .probe = &room[at], .nr = 1 };

	room[at].state = state;
	while (times--)
		damon_note_probes(regions, &one);
}

/* What regions have of the interval before is gone, and what they know is not. */
static void begin_forgets(struct kunit *test)
{
	unsigned int i;

	place(0, 10, 100);
	regions[0].nr_accesses = 5;
	regions[0].last_nr_accesses = 6;
	regions[0].age = 7;
	regions[0].hits = 8;
	regions[0].tries = 9;
	regions[0].slots[15] = (struct damon_slot){ 8, 9 };
	begin(1, 0);
	KUNIT_EXPECT_EQ(test, regions[0].nr_accesses, 5);
	KUNIT_EXPECT_EQ(test, regions[0].last_nr_accesses, 6);
	KUNIT_EXPECT_EQ(test, regions[0].age, 7);
	KUNIT_EXPECT_EQ(test, regions[0].hits, 0);
	KUNIT_EXPECT_EQ(test, regions[0].tries, 0);
	for (i = 0; i < DAMON_NR_SLOTS; i++)
		KUNIT_EXPECT_EQ(test, regions[0].slots[i].tries, 0);
}

/* One for each region; those that are more go to large regions. */
static void budget_goes_by_size(struct kunit *test)
{
	place(0, 0, 10);
	place(1, 10, 90);
	place(2, 100, 300);
	place(3, 400, 600);
	begin(4, 0);
	KUNIT_EXPECT_EQ(test, damon_nr_probes(regions, 4), 4);
	begin(4, 10);
	KUNIT_EXPECT_EQ(test, regions[0].nr_probes, 1);
	KUNIT_EXPECT_EQ(test, regions[1].nr_probes, 1);
	KUNIT_EXPECT_EQ(test, regions[2].nr_probes, 4);
	KUNIT_EXPECT_EQ(test, regions[3].nr_probes, DAMON_MAX_PROBES);
	begin(4, 3);
	KUNIT_EXPECT_EQ(test, regions[2].nr_probes, 1);
	KUNIT_EXPECT_EQ(test, regions[3].nr_probes, 2);
	/* All pages of a small one are looked at often enough. */
	begin(1, 1000);
	KUNIT_EXPECT_EQ(test, regions[0].nr_slots, 10);
	KUNIT_EXPECT_EQ(test, regions[0].nr_probes, 1);
}

/* Before any slot has its second sample, all have their first. */
static void slots_take_turns(struct kunit *test)
{
	static const unsigned long pages[] = { 1, 2, 7, 15, 16, 17, 20, 1000 };
	unsigned int i, j, round;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		unsigned int nr_slots = min_t(unsigned long, pages[i], DAMON_NR_SLOTS);

		place(0, 50, pages[i]);
		begin(1, 0);
		KUNIT_ASSERT_EQ(test, regions[0].nr_slots, nr_slots);
		for (round = 1; round < 4; round++) {
			for (j = 0; j < nr_slots; j++) {
				choose(1);
				KUNIT_ASSERT_EQ(test, probes.nr, 1);
				note(0, DAMON_PROBE_IDLE, 1);
			}
			for (j = 0; j < nr_slots; j++)
				KUNIT_ASSERT_EQ(test, regions[0].slots[j].tries, round);
		}
	}
}

/* Those that follow one another are far apart, so that no pattern misleads. */
static void turns_are_far_apart(struct kunit *test)
{
	unsigned int i, last, nr_begins = 0;
	unsigned long seen = 0;

	place(0, 50, 1600);
	for (i = 0; i < 100; i++) {
		begin(1, 0);
		choose(1);
		seen |= BIT(room[0].slot);
	}
	nr_begins = hweight_long(seen);
	KUNIT_EXPECT_GT(test, nr_begins, 10);
	last = room[0].slot;
	for (i = 0; i < 100; i++) {
		choose(1);
		KUNIT_ASSERT_GE(test, abs_diff((unsigned int)room[0].slot, last), 2);
		last = room[0].slot;
	}
}

/* Any page of a region may be looked at, with the same chance. */
static void pages_have_equal_chances(struct kunit *test)
{
	unsigned int seen[40] = {}, i;

	place(0, 0, ARRAY_SIZE(seen));
	begin(1, 0);
	for (i = 0; i < ARRAY_SIZE(seen) * 400; i++) {
		choose(1);
		seen[room[0].addr >> PAGE_SHIFT]++;
	}
	for (i = 0; i < ARRAY_SIZE(seen); i++) {
		/* Slots are of two or three pages here. */
		KUNIT_EXPECT_GT(test, seen[i], 250);
		KUNIT_EXPECT_LT(test, seen[i], 600);
	}
}

/* Also where a slot has more pages than a 32-bit number counts. */
static void huge_slots(struct kunit *test)
{
	unsigned int bits = BITS_PER_LONG == 64 ? 52 : 31, i, nr_high = 0;
	unsigned int seen[4] = {};

	regions[0].ar.start = 0;
	regions[0].ar.end = 1UL << bits;
	begin(1, 0);
	for (i = 0; i < 4000; i++) {
		unsigned long in_slot;

		choose(1);
		in_slot = room[0].addr & ((1UL << (bits - 4)) - 1);
		seen[in_slot >> (bits - 6)]++;
		nr_high += room[0].slot >= 8;
		KUNIT_ASSERT_EQ(test, room[0].addr >> (bits - 4), room[0].slot);
		KUNIT_ASSERT_EQ(test, room[0].addr & ~PAGE_MASK, 0);
	}
	for (i = 0; i < ARRAY_SIZE(seen); i++) {
		KUNIT_EXPECT_GT(test, seen[i], 850);
		KUNIT_EXPECT_LT(test, seen[i], 1150);
	}
	KUNIT_EXPECT_EQ(test, nr_high, 2000);
}

/* What there is no room for is left out: the last regions have none. */
static void choose_without_room(struct kunit *test)
{
	unsigned int i, nr;

	for (i = 0; i < 10; i++)
		place(i, i * 100, 100);
	begin(10, 30);
	nr = damon_nr_probes(regions, 10);
	KUNIT_ASSERT_EQ(test, nr, 40);
	choose(10);
	KUNIT_EXPECT_EQ(test, probes.nr, 40);
	probes.room = 11;
	choose(10);
	KUNIT_EXPECT_EQ(test, probes.nr, 8);
	probes.room = 0;
	choose(10);
	KUNIT_EXPECT_EQ(test, probes.nr, 0);
	choose(0);
	KUNIT_EXPECT_EQ(test, probes.nr, 0);
}

static void note_outcomes(struct kunit *test)
{
	unsigned int slot;

	place(0, 0, 5);
	place(1, 5, 1600);
	begin(2, 0);
	choose(2);
	slot = room[1].slot;
	note(1, DAMON_PROBE_ACCESSED, 2);
	note(1, DAMON_PROBE_IDLE, 1);
	note(1, DAMON_PROBE_UNKNOWN, 5);
	KUNIT_EXPECT_EQ(test, regions[1].hits, 2);
	KUNIT_EXPECT_EQ(test, regions[1].tries, 3);
	KUNIT_EXPECT_EQ(test, regions[1].slots[slot].hits, 2);
	KUNIT_EXPECT_EQ(test, regions[1].slots[slot].tries, 3);
	KUNIT_EXPECT_EQ(test, regions[0].tries, 0);
}

/* More samples than can be counted: rates stay what they are. */
static void note_more_than_fit(struct kunit *test)
{
	struct damon_region part;
	unsigned int i;

	place(0, 0, 1);
	begin(1, 0);
	choose(1);
	for (i = 0; i < 100000; i++) {
		note(0, DAMON_PROBE_ACCESSED, 3);
		note(0, DAMON_PROBE_IDLE, 1);
	}
	KUNIT_EXPECT_LE(test, regions[0].tries, U16_MAX);
	KUNIT_EXPECT_GE(test, regions[0].tries, U16_MAX / 2);
	KUNIT_EXPECT_EQ(test, regions[0].slots[0].hits, regions[0].hits);
	KUNIT_EXPECT_EQ(test, regions[0].slots[0].tries, regions[0].tries);
	KUNIT_ASSERT_EQ(test, damon_cut_regions(regions, 1, &part, 1, &twenty), 1);
	KUNIT_EXPECT_EQ(test, part.nr_accesses, 15);

	begin(1, 0);
	note(0, DAMON_PROBE_ACCESSED, 200000);
	KUNIT_EXPECT_EQ(test, regions[0].hits, regions[0].tries);
	begin(1, 0);
	note(0, DAMON_PROBE_IDLE, 200000);
	KUNIT_EXPECT_EQ(test, regions[0].hits, 0);
}

/* Regions of no size or not aligned should not be: they do no harm. */
static void begin_without_memory(struct kunit *test)
{
	begin(0, DAMON_PROBE_BUDGET);
	KUNIT_EXPECT_EQ(test, damon_nr_probes(regions, 0), 0);
	begin(1, DAMON_PROBE_BUDGET);
	KUNIT_EXPECT_EQ(test, regions[0].nr_slots, 1);
	choose(1);
	KUNIT_EXPECT_EQ(test, room[0].addr, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(begin_forgets),
	KUNIT_CASE(budget_goes_by_size),
	KUNIT_CASE(slots_take_turns),
	KUNIT_CASE(turns_are_far_apart),
	KUNIT_CASE(pages_have_equal_chances),
	KUNIT_CASE(huge_slots),
	KUNIT_CASE(choose_without_room),
	KUNIT_CASE(note_outcomes),
	KUNIT_CASE(note_more_than_fit),
	KUNIT_CASE(begin_without_memory),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-probes",
	.init = begin_test,
	.test_cases = cases,
};

kunit_test_suite(suite);
