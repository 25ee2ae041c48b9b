// SPDX-License-Identifier: GPL-2.0
/* Pages that are looked at for long: whose they are, and what they are good for. */

#include <linux/bitmap.h>
#include <linux/log2.h>
#include <linux/sched.h>

#include "regions-fake.h"
#include "simulation.h"

#define NR_SEEDS	15

/* Memory of which all that is warm is touched in one sample of so many intervals. */
#define WARM_EVERY	20
#define COLD_SZ		(64UL * SZ_1M)
#define WARM_START	(24UL * SZ_1M)
#define WARM_END	(40UL * SZ_1M)
/* What is far from a sentry that saw it keeps half of its age; merging takes means. */
#define SLACK		(WARM_EVERY / 2 + 10)

static struct damon_probe room[4];
static struct damon_probes probes = { .probe = room };

static struct damon_region with_sentry(unsigned long page, unsigned long nr_pages,
				       unsigned long at)
{
	struct damon_region r = region(page, nr_pages, 0, 20);

	r.nr_slots = min_t(unsigned long, nr_pages, DAMON_NR_SLOTS);
	r.has_sentry = true;
	r.sentry = at << PAGE_SHIFT;
	return r;
}

static void only_of_idle_regions_at_home(struct kunit *test)
{
	struct damon_region regions[] = {
		with_sentry(0, 32, 31), with_sentry(32, 32, 31), with_sentry(64, 32, 96),
		with_sentry(96, 32, 96), region(128, 32, 0, 20),
	};

	regions[0].nr_accesses = 1;
	probes.room = ARRAY_SIZE(room);
	damon_ask_sentries(regions, ARRAY_SIZE(regions), &probes, PAGE_SHIFT);
	KUNIT_ASSERT_EQ(test, probes.nr, 1);
	KUNIT_EXPECT_EQ(test, room[0].region, 3);
	KUNIT_EXPECT_EQ(test, page_of(room[0].addr), 96UL);
	KUNIT_EXPECT_EQ(test, room[0].slot, 0);
	/* Operations do not look at what was not made ready. */
	KUNIT_EXPECT_EQ(test, room[0].state, DAMON_PROBE_READY);
	KUNIT_EXPECT_FALSE(test, regions[0].has_sentry);
	KUNIT_EXPECT_FALSE(test, regions[1].has_sentry);
	KUNIT_EXPECT_FALSE(test, regions[2].has_sentry);
	KUNIT_EXPECT_TRUE(test, regions[3].has_sentry);
	damon_dismiss_sentries(regions, ARRAY_SIZE(regions));
	KUNIT_EXPECT_FALSE(test, regions[3].has_sentry);
}

static void no_more_than_there_is_room_for(struct kunit *test)
{
	struct damon_region regions[] = { with_sentry(0, 32, 5), with_sentry(32, 32, 40) };

	probes.room = 1;
	damon_ask_sentries(regions, ARRAY_SIZE(regions), &probes, PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, probes.nr, 1);
	KUNIT_EXPECT_EQ(test, room[0].slot, 2);
	KUNIT_EXPECT_TRUE(test, regions[1].has_sentry);
}

static void slots_of_addresses(struct kunit *test)
{
	struct damon_region r = region(100, 37, 0, 20);
	unsigned int page, last = 0;

	r.nr_slots = DAMON_NR_SLOTS;
	for (page = 100; page < 137; page++) {
		unsigned int slot = damon_slot_of(&r, (unsigned long)page << PAGE_SHIFT,
						  PAGE_SHIFT);

		KUNIT_EXPECT_TRUE(test, slot == last || slot == last + 1);
		last = slot;
	}
	KUNIT_EXPECT_EQ(test, last, DAMON_NR_SLOTS - 1);
	r = region(100, 3, 0, 20);
	r.nr_slots = 3;
	KUNIT_EXPECT_EQ(test, damon_slot_of(&r, 102UL << PAGE_SHIFT, PAGE_SHIFT), 2);
}

static void what_a_sample_finds_idle_is_one(struct kunit *test)
{
	struct damon_region r = region(0, 32, 0, 0);

	r.nr_slots = DAMON_NR_SLOTS;
	room[0] = (struct damon_probe){ .addr = 3 << PAGE_SHIFT };
	probes.nr = 1;
	room[0].state = DAMON_PROBE_UNKNOWN;
	damon_note_probes(&r, &probes);
	room[0].state = DAMON_PROBE_ACCESSED;
	damon_note_probes(&r, &probes);
	KUNIT_EXPECT_FALSE(test, r.has_sentry);
	room[0].state = DAMON_PROBE_IDLE;
	damon_note_probes(&r, &probes);
	KUNIT_EXPECT_TRUE(test, r.has_sentry);
	room[0].addr = 9 << PAGE_SHIFT;
	damon_note_probes(&r, &probes);
	KUNIT_EXPECT_EQ(test, page_of(r.sentry), 3UL);
}

static void only_accesses_are_news(struct kunit *test)
{
	struct damon_region regions[] = { with_sentry(0, 32, 5), with_sentry(32, 32, 40) };

	regions[0].tries = 0;
	regions[1].tries = 0;
	probes.room = ARRAY_SIZE(room);
	damon_ask_sentries(regions, ARRAY_SIZE(regions), &probes, PAGE_SHIFT);
	room[0].state = DAMON_PROBE_IDLE;
	room[1].state = DAMON_PROBE_ACCESSED;
	damon_hear_sentries(regions, &probes);
	KUNIT_EXPECT_EQ(test, regions[0].tries, 0);
	KUNIT_EXPECT_TRUE(test, regions[0].has_sentry);
	KUNIT_EXPECT_EQ(test, regions[1].tries, 1);
	KUNIT_EXPECT_EQ(test, regions[1].hits, 1);
	KUNIT_EXPECT_EQ(test, regions[1].slots[4].hits, 1);
	KUNIT_EXPECT_FALSE(test, regions[1].has_sentry);
}

/* Nobody could look at it: it waits on. */
static void unknown_is_no_news(struct kunit *test)
{
	struct damon_region r = with_sentry(0, 32, 5);

	r.tries = 0;
	probes.room = ARRAY_SIZE(room);
	damon_ask_sentries(&r, 1, &probes, PAGE_SHIFT);
	room[0].state = DAMON_PROBE_UNKNOWN;
	damon_hear_sentries(&r, &probes);
	KUNIT_EXPECT_EQ(test, r.tries, 0);
	KUNIT_EXPECT_FALSE(test, r.alarm);
	KUNIT_EXPECT_TRUE(test, r.has_sentry);
	KUNIT_EXPECT_EQ(test, page_of(r.sentry), 5UL);
}

/* A probe makes the huge page ready that a sentry is in: was it accessed until then? */
static void relieved_sentries_are_asked(struct kunit *test)
{
	static const struct {
		unsigned long page;
		enum damon_probe_state state;
		unsigned int order, nr_accesses;
		bool alarm;
	} cases[] = {
		{ 511, DAMON_PROBE_READY_YOUNG, 9, 0, true },
		{ 511, DAMON_PROBE_READY, 9, 0, false },
		{ 512, DAMON_PROBE_READY_YOUNG, 9, 0, false },
		{ 511, DAMON_PROBE_READY_YOUNG, 8, 0, false },
		{ 511, DAMON_PROBE_READY_YOUNG, 9, 1, false },
		{ 6, DAMON_PROBE_READY_YOUNG, 0, 0, false },
		{ 5, DAMON_PROBE_READY_YOUNG, 0, 0, true },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct damon_region r = with_sentry(0, 1024, 5);

		r.nr_accesses = cases[i].nr_accesses;
		r.tries = 0;
		room[0] = (struct damon_probe){
			.addr = cases[i].page << PAGE_SHIFT,
			.slot = 7,
			.state = cases[i].state,
			.order = cases[i].order,
		};
		probes.nr = 1;
		damon_relieve_sentries(&r, &probes, PAGE_SHIFT);
		KUNIT_EXPECT_EQ_MSG(test, r.alarm, cases[i].alarm, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, r.has_sentry, !cases[i].alarm, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, r.slots[0].hits, cases[i].alarm, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, r.tries, cases[i].alarm, "case %u", i);
	}
}

static void merged_regions_keep_one(struct kunit *test)
{
	struct damon_region regions[] = {
		with_sentry(0, 32, 99), with_sentry(32, 32, 40), with_sentry(64, 32, 70),
	};
	unsigned int nr = damon_merge_regions(regions, ARRAY_SIZE(regions), &twenty);

	KUNIT_ASSERT_EQ(test, nr, 1);
	KUNIT_EXPECT_TRUE(test, regions[0].has_sentry);
	KUNIT_EXPECT_EQ(test, page_of(regions[0].sentry), 40UL);
}

static void merged_regions_keep_that_of_the_younger(struct kunit *test)
{
	struct damon_region regions[] = {
		with_sentry(0, 32, 9), with_sentry(32, 32, 40), with_sentry(64, 32, 70),
	};

	regions[0].age = 3;
	regions[1].age = 2;
	regions[2].age = 4;
	KUNIT_ASSERT_EQ(test, damon_merge_regions(regions, ARRAY_SIZE(regions), &twenty), 1);
	KUNIT_EXPECT_EQ(test, page_of(regions[0].sentry), 40UL);
}

/* How old a region's parts are, one of whose slots was accessed. */
static void expect_ages(struct kunit *test, unsigned int hit, bool alarm,
			const unsigned int *ages, unsigned int nr_ages)
{
	struct damon_region r = region(0, 32, 1, 17), parts[8];
	unsigned int i, nr;

	r.nr_slots = DAMON_NR_SLOTS;
	r.nr_accesses = 0;
	r.age = 19;
	r.alarm = alarm;
	for (i = 0; i < DAMON_NR_SLOTS; i++)
		r.slots[i].tries = 1;
	r.slots[hit] = (struct damon_slot){ .hits = 1, .tries = 2 };
	nr = damon_cut_regions(&r, 1, parts, ARRAY_SIZE(parts), &twenty);
	KUNIT_ASSERT_EQ(test, nr, nr_ages);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ_MSG(test, parts[i].age, ages[i], "hit %u, part %u", hit, i);
}

static void an_alarm_is_for_what_is_near(struct kunit *test)
{
	static const unsigned int inside[] = { 10, 0, 0, 0, 10 }, start[] = { 0, 0, 10 };
	static const unsigned int near_start[] = { 0, 0, 0, 10 }, none[] = { 0, 0, 0 };

	KUNIT_ASSERT_EQ(test, DAMON_NR_SLOTS, 16);
	expect_ages(test, 5, true, inside, ARRAY_SIZE(inside));
	expect_ages(test, 0, true, start, ARRAY_SIZE(start));
	expect_ages(test, 2, true, near_start, ARRAY_SIZE(near_start));
	/* What samples have seen is another matter. */
	expect_ages(test, 5, false, none, ARRAY_SIZE(none));
}

/**
 * struct memory - accessed bits, as the hardware has them
 * @order:	log2 of how many pages have one bit
 * @bits:	they
 */
struct memory {
	unsigned int order;
	DECLARE_BITMAP(bits, COLD_SZ >> PAGE_SHIFT);
};

static unsigned long bit_of(const struct memory *memory, unsigned long addr)
{
	return addr >> PAGE_SHIFT >> memory->order;
}

static enum damon_probe_state look_at_bit(struct damon_sim *sim, unsigned long addr)
{
	const struct memory *memory = sim->data;

	return test_bit(bit_of(memory, addr), memory->bits) ? DAMON_PROBE_ACCESSED :
							      DAMON_PROBE_IDLE;
}

static void clear_bit_of(struct damon_sim *sim, struct damon_probe *probe)
{
	struct memory *memory = sim->data;

	probe->order = memory->order;
	if (__test_and_clear_bit(bit_of(memory, probe->addr), memory->bits))
		probe->state = DAMON_PROBE_READY_YOUNG;
}

/*
 * Each WARM_EVERY intervals all of the warm memory is touched: some in each sampling
 * interval, from low addresses to high ones.
 */
static void touch_warm(struct damon_sim *sim, bool ready)
{
	unsigned long sz = (WARM_END - WARM_START) / twenty.max_nr_accesses;
	unsigned long start = WARM_START + (sim->nr_samples - 1) * sz, addr;
	struct memory *memory = sim->data;

	if (ready || sim->generation % WARM_EVERY || !sim->generation ||
	    sim->nr_samples < 1 || sim->nr_samples > twenty.max_nr_accesses)
		return;
	for (addr = start; addr <= start + sz; addr += PAGE_SIZE)
		__set_bit(bit_of(memory, addr), memory->bits);
}

/* The share of the cold memory, in thousandths, that is older than warm memory gets. */
static unsigned int old_share(const struct damon_sim *sim)
{
	unsigned long old = 0;
	unsigned int i;

	for (i = 0; i < sim->nr_parts; i++) {
		const struct damon_region *r = &sim->parts[i];

		if (r->age > WARM_EVERY + SLACK)
			old += damon_sz_region(r);
	}
	return old * 1000 / (COLD_SZ - (WARM_END - WARM_START));
}

static void check_ages(struct damon_sim *sim)
{
	unsigned int i;

	for (i = 0; i < sim->nr_parts; i++) {
		const struct damon_region *r = &sim->parts[i];

		if (r->ar.start >= WARM_START && r->ar.end <= WARM_END &&
		    r->age > WARM_EVERY + SLACK)
			KUNIT_FAIL(sim->test, "warm memory of age %u (seed %llu, generation %u)",
				   r->age, sim->seed, sim->generation);
	}
}

static void monitor_warm(struct kunit *test, unsigned int order)
{
	struct memory *memory = kunit_kzalloc(test, sizeof(*memory), GFP_KERNEL);
	unsigned int sum = 0;
	u64 seed;

	KUNIT_ASSERT_NOT_NULL(test, memory);
	memory->order = order;
	for (seed = 1; seed <= NR_SEEDS; seed++) {
		struct damon_sim *sim = damon_sim_new(test, &twenty, 10, seed);

		bitmap_zero(memory->bits, COLD_SZ >> PAGE_SHIFT);
		sim->look = look_at_bit;
		sim->ready = clear_bit_of;
		sim->wait = touch_warm;
		sim->data = memory;
		sim->ranges[0].end = COLD_SZ;
		sim->nr_ranges = 1;
		KUNIT_ASSERT_TRUE(test, damon_sim_cover(sim));
		while (sim->generation < 10 * WARM_EVERY) {
			KUNIT_ASSERT_TRUE(test, damon_sim_interval(sim));
			check_ages(sim);
			if (sim->generation == 5 * WARM_EVERY)
				sum += old_share(sim);
		}
		damon_sim_free(sim);
		cond_resched();
	}
	/* And cold memory does, right beside it. */
	kunit_info(test, "of the cold memory %u of 1000 are old\n", sum / NR_SEEDS);
	KUNIT_EXPECT_GE(test, sum / NR_SEEDS, 900);
}

static void warm_memory_does_not_grow_old(struct kunit *test)
{
	monitor_warm(test, 0);
}

/* Of 2 MB, whatever the size of a page: probes and sentries share accessed bits. */
static void warm_huge_pages_do_not_grow_old(struct kunit *test)
{
	monitor_warm(test, ilog2(SZ_2M) - PAGE_SHIFT);
}

static struct kunit_case sentries_cases[] = {
	KUNIT_CASE(only_of_idle_regions_at_home),
	KUNIT_CASE(no_more_than_there_is_room_for),
	KUNIT_CASE(slots_of_addresses),
	KUNIT_CASE(what_a_sample_finds_idle_is_one),
	KUNIT_CASE(only_accesses_are_news),
	KUNIT_CASE(unknown_is_no_news),
	KUNIT_CASE(relieved_sentries_are_asked),
	KUNIT_CASE(merged_regions_keep_one),
	KUNIT_CASE(merged_regions_keep_that_of_the_younger),
	KUNIT_CASE(an_alarm_is_for_what_is_near),
	KUNIT_CASE_SLOW(warm_memory_does_not_grow_old),
	KUNIT_CASE_SLOW(warm_huge_pages_do_not_grow_old),
	{}
};

static struct kunit_suite sentries_suite = {
	.name = "damon_sentries",
	.test_cases = sentries_cases,
};

kunit_test_suite(sentries_suite);
