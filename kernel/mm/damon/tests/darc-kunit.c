// SPDX-License-Identifier: GPL-2.0
/* DARC: its watermarks, how careful it is, and what it reclaims first. */

#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include "../darc.h"
#include "../schemes.h"
#include "schemes-fake.h"

#define PAGES(mib)	((unsigned long)(mib) << (20 - PAGE_SHIFT))

static const struct darc_room room_1g = {
	.zone_high = PAGES(4),
	.managed = PAGES(1024),
};

static void expect_order(struct kunit *test, const struct darc_marks *marks,
			 const struct darc_room *room)
{
	KUNIT_EXPECT_GT(test, marks->low, room->zone_high);
	KUNIT_EXPECT_GT(test, marks->mid, marks->low);
	KUNIT_EXPECT_GT(test, marks->high, marks->mid);
	KUNIT_EXPECT_LE(test, marks->high, room->managed);
}

static void expect_marks(struct kunit *test, const struct darc_marks *own,
			 const struct darc_room *room, unsigned long low,
			 unsigned long mid, unsigned long high)
{
	struct darc_marks marks;

	darc_resolve(&marks, own, room);
	KUNIT_EXPECT_TRUE(test, marks.usable);
	KUNIT_EXPECT_EQ(test, low, marks.low);
	KUNIT_EXPECT_EQ(test, mid, marks.mid);
	KUNIT_EXPECT_EQ(test, high, marks.high);
}

static void defaults(struct kunit *test)
{
	struct darc_room room = room_1g;
	struct darc_marks own = {};

	expect_marks(test, &own, &room, PAGES(5), PAGES(37), PAGES(69));
	/* The zone's own watermark follows min_free_kbytes, and they follow it. */
	room.zone_high = PAGES(40);
	expect_marks(test, &own, &room, PAGES(50), PAGES(82), PAGES(114));
	room.managed = PAGES(2048);
	expect_marks(test, &own, &room, PAGES(50), PAGES(114), PAGES(178));
	/* A zone with hardly any watermark of its own has them, too. */
	room = (struct darc_room){ .managed = 100 };
	expect_marks(test, &own, &room, 1, 4, 7);
}

static void writes_keep_order(struct kunit *test)
{
	struct darc_room room = room_1g;
	struct darc_marks own = {};

	/* Order: 4 (the zone's own) < 5 < 37 < 69 <= 1024 */
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_LOW, PAGES(4), &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_LOW, PAGES(37), &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_MID, PAGES(5), &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_MID, PAGES(69), &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_HIGH, PAGES(37), &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_HIGH, PAGES(1024) + 1, &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_HIGH, ULONG_MAX, &room));
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_LOW, 1, &room));
	expect_marks(test, &own, &room, PAGES(5), PAGES(37), PAGES(69));

	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_LOW, PAGES(4) + 1, &room));
	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_LOW, PAGES(37) - 1, &room));
	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_HIGH, PAGES(1024), &room));
	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_MID, PAGES(1024) - 1, &room));
	expect_marks(test, &own, &room, PAGES(37) - 1, PAGES(1024) - 1, PAGES(1024));

	/* Back to the default ones, which have to be in order as well. */
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_HIGH, 0, &room));
	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_MID, 0, &room));
	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_HIGH, 0, &room));
	KUNIT_EXPECT_EQ(test, 0, darc_set_mark(&own, DARC_LOW, 0, &room));
	expect_marks(test, &own, &room, PAGES(5), PAGES(37), PAGES(69));
}

static void own_values_stay(struct kunit *test)
{
	struct darc_room room = room_1g;
	struct darc_marks own = {};

	KUNIT_ASSERT_EQ(test, 0, darc_set_mark(&own, DARC_LOW, PAGES(20), &room));
	KUNIT_ASSERT_EQ(test, 0, darc_set_mark(&own, DARC_MID, PAGES(30), &room));
	expect_marks(test, &own, &room, PAGES(20), PAGES(30), PAGES(69));
	/* Still above the zone's own. */
	room.zone_high = PAGES(19);
	expect_marks(test, &own, &room, PAGES(20), PAGES(30),
		     PAGES(19) + PAGES(19) / 4 + PAGES(64));
	/* Not any more: pushed up, for as long as that is so. */
	room.zone_high = PAGES(25);
	expect_marks(test, &own, &room, PAGES(25) + 1, PAGES(30),
		     PAGES(25) + PAGES(25) / 4 + PAGES(64));
	room.zone_high = PAGES(30);
	expect_marks(test, &own, &room, PAGES(30) + 1, PAGES(30) + 2,
		     PAGES(30) + PAGES(30) / 4 + PAGES(64));
	room = room_1g;
	expect_marks(test, &own, &room, PAGES(20), PAGES(30), PAGES(69));
	/* A zone that shrinks. */
	room.managed = PAGES(25);
	expect_marks(test, &own, &room, PAGES(20), PAGES(25) - 1, PAGES(25));
}

static void no_room(struct kunit *test)
{
	struct darc_room room = room_1g;
	struct darc_marks own = {}, marks;

	room.zone_high = room.managed - 3;
	expect_marks(test, &own, &room, room.managed - 2, room.managed - 1, room.managed);
	room.zone_high = room.managed - 2;
	darc_resolve(&marks, &own, &room);
	KUNIT_EXPECT_FALSE(test, marks.usable);
	KUNIT_EXPECT_EQ(test, room.managed, marks.high);
	KUNIT_EXPECT_EQ(test, room.managed, marks.low);
	KUNIT_EXPECT_EQ(test, -EINVAL, darc_set_mark(&own, DARC_HIGH, room.managed, &room));
	KUNIT_EXPECT_EQ(test, DARC_IDLE, darc_decide(DARC_RECLAIMING, &marks, 0, 0));
	KUNIT_EXPECT_EQ(test, 1000, darc_next_look_ms(&marks, 0, 0, room.managed));
	/* A zone that is empty. */
	room = (struct darc_room){};
	darc_resolve(&marks, &own, &room);
	KUNIT_EXPECT_FALSE(test, marks.usable);
}

static void transitions(struct kunit *test)
{
	static const struct darc_marks marks = {
		.low = 100, .mid = 200, .high = 300, .usable = true,
	};
	/* For each number of free pages what becomes of each state, in their order. */
	static const struct {
		unsigned long free;
		enum darc_state becomes[4];
	} rules[] = {
#define ALL(_state)	{ _state, _state, _state, _state }
		{ 0, ALL(DARC_YIELDING) },
		{ 99, ALL(DARC_YIELDING) },
		{ 100, ALL(DARC_RECLAIMING) },
		{ 199, ALL(DARC_RECLAIMING) },
		{ 200, { DARC_WATCHING, DARC_WATCHING, DARC_RECLAIMING, DARC_WATCHING } },
		{ 249, { DARC_WATCHING, DARC_WATCHING, DARC_RECLAIMING, DARC_WATCHING } },
		{ 250, { DARC_IDLE, DARC_WATCHING, DARC_RECLAIMING, DARC_WATCHING } },
		{ 300, { DARC_IDLE, DARC_WATCHING, DARC_RECLAIMING, DARC_WATCHING } },
		{ 301, ALL(DARC_IDLE) },
		{ ULONG_MAX, ALL(DARC_IDLE) },
#undef ALL
	};
	enum darc_state was;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		for (was = DARC_IDLE; was <= DARC_YIELDING; was++)
			KUNIT_EXPECT_EQ_MSG(test, rules[i].becomes[was],
					    darc_decide(was, &marks, rules[i].free, 0),
					    "from %d at %lu", was, rules[i].free);
	}
}

/* Marks that are as close as can be: nothing is watched before it is reclaimed. */
static void narrow_transitions(struct kunit *test)
{
	static const struct darc_marks marks = {
		.low = 1, .mid = 2, .high = 3, .usable = true,
	};

	KUNIT_EXPECT_EQ(test, DARC_YIELDING, darc_decide(DARC_IDLE, &marks, 0, 0));
	KUNIT_EXPECT_EQ(test, DARC_RECLAIMING, darc_decide(DARC_IDLE, &marks, 1, 0));
	KUNIT_EXPECT_EQ(test, DARC_IDLE, darc_decide(DARC_IDLE, &marks, 2, 0));
	KUNIT_EXPECT_EQ(test, DARC_RECLAIMING, darc_decide(DARC_RECLAIMING, &marks, 3, 0));
	KUNIT_EXPECT_EQ(test, DARC_IDLE, darc_decide(DARC_RECLAIMING, &marks, 4, 0));
}

static void watched_sooner_the_faster_it_falls(struct kunit *test)
{
	static const struct darc_marks marks = {
		.low = 100, .mid = 200, .high = 300, .usable = true,
	};

	KUNIT_EXPECT_EQ(test, DARC_WATCHING, darc_decide(DARC_IDLE, &marks, 249, 10));
	KUNIT_EXPECT_EQ(test, DARC_IDLE, darc_decide(DARC_IDLE, &marks, 250, 50));
	KUNIT_EXPECT_EQ(test, DARC_WATCHING, darc_decide(DARC_IDLE, &marks, 250, 51));
	KUNIT_EXPECT_EQ(test, DARC_IDLE, darc_decide(DARC_IDLE, &marks, 280, 80));
	KUNIT_EXPECT_EQ(test, DARC_WATCHING, darc_decide(DARC_IDLE, &marks, 280, 81));
	/* Never above the high one, and reclaimed is only below the mid one. */
	KUNIT_EXPECT_EQ(test, DARC_WATCHING, darc_decide(DARC_IDLE, &marks, 300, ULONG_MAX));
	KUNIT_EXPECT_EQ(test, DARC_IDLE, darc_decide(DARC_IDLE, &marks, 301, ULONG_MAX));
	KUNIT_EXPECT_EQ(test, DARC_WATCHING, darc_decide(DARC_IDLE, &marks, 200, ULONG_MAX));
}

static void looks_sooner_the_nearer(struct kunit *test)
{
	static const struct darc_marks marks = {
		.low = PAGES(10), .mid = PAGES(100), .high = PAGES(200), .usable = true,
	};
	const unsigned long managed = PAGES(1600);

	/* A sixteenth of the zone a second, 100 MiB here, is always possible. */
	KUNIT_EXPECT_EQ(test, 1000, darc_next_look_ms(&marks, PAGES(1000), 0, managed));
	KUNIT_EXPECT_EQ(test, 500, darc_next_look_ms(&marks, PAGES(150), 0, managed));
	KUNIT_EXPECT_EQ(test, 20, darc_next_look_ms(&marks, PAGES(101), 0, managed));
	KUNIT_EXPECT_EQ(test, 20, darc_next_look_ms(&marks, PAGES(50), 0, managed));
	/* So is twice what it fell by. */
	KUNIT_EXPECT_EQ(test, 1000, darc_next_look_ms(&marks, PAGES(300), PAGES(100), managed));
	KUNIT_EXPECT_EQ(test, 250, darc_next_look_ms(&marks, PAGES(300), PAGES(400), managed));
	KUNIT_EXPECT_EQ(test, 20, darc_next_look_ms(&marks, PAGES(300), ULONG_MAX, managed));
	/* Numbers without sense do no harm. */
	KUNIT_EXPECT_EQ(test, 1000, darc_next_look_ms(&marks, ULONG_MAX, 0, 0));
}

/* What marks a zone has, by a model of its own: each rule by itself. */
static void expect_followed(struct kunit *test, enum darc_state was, enum darc_state is,
			    const struct darc_marks *marks, unsigned long free)
{
	if (free > marks->high)
		KUNIT_EXPECT_EQ(test, DARC_IDLE, is);
	else if (free < marks->low)
		KUNIT_EXPECT_EQ(test, DARC_YIELDING, is);
	else if (free < marks->mid)
		KUNIT_EXPECT_EQ(test, DARC_RECLAIMING, is);
	else if (was == DARC_RECLAIMING)
		KUNIT_EXPECT_EQ(test, DARC_RECLAIMING, is);
	else
		KUNIT_EXPECT_NE(test, DARC_RECLAIMING, is);
}

static unsigned long any_pages(struct rnd_state *random)
{
	/* Of any order of magnitude */
	return prandom_u32_state(random) >> (prandom_u32_state(random) % 32);
}

static void any_writes(struct kunit *test)
{
	enum darc_state state = DARC_IDLE;
	struct darc_room room = room_1g;
	struct darc_marks own = {}, marks;
	unsigned int i, accepted = 0;
	struct rnd_state random;

	prandom_seed_state(&random, 1);
	for (i = 0; i < 20000 && !test->status; i++) {
		enum darc_mark which = prandom_u32_state(&random) % 3;
		unsigned long pages = any_pages(&random), free;
		struct darc_marks before = own;
		enum darc_state was = state;

		if (!(prandom_u32_state(&random) % 8))
			room.zone_high = any_pages(&random);
		if (!(prandom_u32_state(&random) % 8))
			room.managed = any_pages(&random);
		if (darc_set_mark(&own, which, pages, &room)) {
			KUNIT_EXPECT_EQ(test, before.low, own.low);
			KUNIT_EXPECT_EQ(test, before.mid, own.mid);
			KUNIT_EXPECT_EQ(test, before.high, own.high);
			darc_resolve(&marks, &own, &room);
		} else {
			unsigned long got;

			darc_resolve(&marks, &own, &room);
			got = which == DARC_HIGH ? marks.high :
			      which == DARC_MID ? marks.mid : marks.low;
			KUNIT_EXPECT_TRUE(test, marks.usable);
			if (pages)
				KUNIT_EXPECT_EQ(test, pages, got);
			accepted++;
		}
		if (marks.usable)
			expect_order(test, &marks, &room);
		free = any_pages(&random);
		state = darc_decide(was, &marks, free, any_pages(&random));
		if (marks.usable)
			expect_followed(test, was, state, &marks, free);
		else
			KUNIT_EXPECT_EQ(test, DARC_IDLE, state);
	}
	/* It was not about refusals alone. */
	KUNIT_EXPECT_GT(test, accepted, 100);
}

static void fading(struct kunit *test)
{
	unsigned long pages = 1000;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, 1000, darc_fade(1000, 0));
	KUNIT_EXPECT_EQ(test, 899, darc_fade(1000, 6000));
	KUNIT_EXPECT_EQ(test, 0, darc_fade(1000, 60000));
	KUNIT_EXPECT_EQ(test, 0, darc_fade(1000, UINT_MAX));
	KUNIT_EXPECT_EQ(test, 0, darc_fade(0, 1));
	/* However often it is counted, it ends. */
	for (i = 0; i < 1000; i++)
		pages = darc_fade(pages, 1);
	KUNIT_EXPECT_EQ(test, 0, pages);
}

static void shares(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 30, darc_share(100, 300, 1000));
	KUNIT_EXPECT_EQ(test, 100, darc_share(100, 1000, 1000));
	/* Not more than it has taken: those have been away for longer. */
	KUNIT_EXPECT_EQ(test, 300, darc_share(2000, 300, 400));
	KUNIT_EXPECT_EQ(test, 0, darc_share(100, 0, 1000));
	KUNIT_EXPECT_EQ(test, 0, darc_share(100, 0, 0));
}

/* What comes back while others reclaim as much is theirs. */
static void returns_of_others(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, darc_others_share(1000, 0));
	KUNIT_EXPECT_EQ(test, 0, darc_others_share(0, 1000));
	/* A cgroup at its limit, all of whose memory is in use. */
	KUNIT_EXPECT_EQ(test, 1000, darc_others_share(1000, 1000));
	KUNIT_EXPECT_EQ(test, 1000, darc_others_share(1500, 1000));
	KUNIT_EXPECT_EQ(test, 810, darc_others_share(900, 1000));
	/* One that reads files once tells nothing of what else comes back. */
	KUNIT_EXPECT_EQ(test, 1, darc_others_share(100, 10000));
	KUNIT_EXPECT_EQ(test, ULONG_MAX, darc_others_share(ULONG_MAX, ULONG_MAX));
}

/* Counts of a CPU that goes offline are elsewhere for a moment, or there twice. */
static void counts_only_grow(struct kunit *test)
{
	unsigned long last = 1000;

	KUNIT_EXPECT_EQ(test, 0, darc_growth(&last, 1000));
	KUNIT_EXPECT_EQ(test, 100, darc_growth(&last, 1100));
	KUNIT_EXPECT_EQ(test, 0, darc_growth(&last, 300));
	KUNIT_EXPECT_EQ(test, 0, darc_growth(&last, 1100));
	KUNIT_EXPECT_EQ(test, 1, darc_growth(&last, 1101));
	/* They begin at 0 again when there are too many. */
	last = ULONG_MAX - 9;
	KUNIT_EXPECT_EQ(test, 20, darc_growth(&last, 10));
	KUNIT_EXPECT_EQ(test, 10, last);
}

static unsigned int judge(unsigned int care, unsigned long passed, unsigned long reclaimed,
			  unsigned long refaulted, unsigned long out)
{
	const struct darc_outcome outcome = {
		.passed = passed, .reclaimed = reclaimed, .refaulted = refaulted,
	};

	return darc_judge(care, &outcome, out);
}

static void care(struct kunit *test)
{
	/* More than 3 % of 10000 came back. */
	KUNIT_EXPECT_EQ(test, 1, judge(0, 10000, 10000, 301, 9699));
	KUNIT_EXPECT_EQ(test, 0, judge(0, 10000, 10000, 300, 9700));
	KUNIT_EXPECT_EQ(test, DARC_MOST_CARE, judge(DARC_MOST_CARE, 10000, 10000, 5000, 5000));
	/* Also when nothing was reclaimed since: it was before. */
	KUNIT_EXPECT_EQ(test, 2, judge(1, 0, 0, 500, 9500));
	/* Between 1 % and 3 % it stays. */
	KUNIT_EXPECT_EQ(test, 2, judge(2, 10000, 10000, 200, 9800));
	KUNIT_EXPECT_EQ(test, 1, judge(2, 10000, 10000, 100, 9900));
	KUNIT_EXPECT_EQ(test, 0, judge(0, 10000, 10000, 0, 10000));
	/* When nothing happens any more it ends, too. */
	KUNIT_EXPECT_EQ(test, 1, judge(2, 0, 0, 0, 0));
	/* Few pages tell nothing. */
	KUNIT_EXPECT_EQ(test, 0, judge(0, 100, 100, 63, 37));
	/* In vain: without swap space, say. */
	KUNIT_EXPECT_EQ(test, 1, judge(0, 6400, 99, 0, 99));
	KUNIT_EXPECT_EQ(test, 0, judge(0, 6400, 100, 0, 100));
	KUNIT_EXPECT_EQ(test, 0, judge(0, 63, 0, 0, 0));
}

static void attributes(struct kunit *test)
{
	static const unsigned long ages_us[] = {
		100 * USEC_PER_MSEC, USEC_PER_SEC, 5 * USEC_PER_SEC, 3600 * USEC_PER_SEC,
	};
	static const unsigned long sizes[] = { PAGE_SIZE, SZ_1G, LONG_MAX };
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_attrs attrs;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(ages_us); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			darc_set_attrs(&attrs, ages_us[i], sizes[j]);
			KUNIT_EXPECT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
			KUNIT_EXPECT_EQ(test, 10, damon_max_nr_accesses(&attrs));
			KUNIT_EXPECT_LE(test, attrs.sample_interval, 100000);
			KUNIT_EXPECT_GE(test, ages_us[i] / attrs.aggr_interval, 5);
		}
	}
}

/* A context with a scheme of DARC's, as far as there is one without zones. */
static struct damos *victims(struct kunit *test, struct damon_ctx *ctx, unsigned long bytes)
{
	const struct darc_params params = {
		.min_age_us = 5 * USEC_PER_SEC, .bytes = bytes, .reset_interval_ms = 3600000,
	};
	struct damos *s = darc_new_scheme(false);
	struct damon_attrs attrs;

	KUNIT_ASSERT_NOT_NULL(test, s);
	damon_add_scheme(ctx, s);
	ctx->ops.filters = BIT(DAMOS_FILTER_TYPE_YOUNG);
	KUNIT_EXPECT_EQ(test, 0, damos_check(ctx));
	darc_set_attrs(&attrs, params.min_age_us, SZ_1G);
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	darc_set_quota(s, &params);
	return s;
}

/* What each of these windows reclaims, of regions of a page each. */
static void expect_first(struct kunit *test, struct damos *s, struct damon_ctx *ctx,
			 enum darc_state state, const char *wanted, int line)
{
	darc_aim(s, &ctx->attrs, state, 0);
	damos_apply(ctx, s, 0, true);
	fake_expect_done(test, wanted, line);
	/* Another window */
	s->quota.started = false;
}

#define EXPECT_FIRST(test, s, ctx, state, wanted) \
	expect_first(test, s, ctx, state, wanted, __LINE__)

static void oldest_of_rarest_first(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = victims(test, ctx, PAGE_SIZE);

	fake_region(test, t, 0, 1, 2, 500);	/* rarely accessed, for long */
	fake_region(test, t, 1, 2, 0, 5);
	fake_region(test, t, 2, 3, 10, 1000);	/* hot: never */
	fake_region(test, t, 3, 4, 0, 500);
	fake_region(test, t, 4, 5, 1, 10);
	fake_region(test, t, 5, 6, 0, 0);
	fake_region(test, t, 6, 7, 0, 50);
	fake_region(test, t, 7, 8, 3, 50);	/* accessed too often */
	fake_region(test, t, 8, 9, 1, 1000);
	fake_region(test, t, 9, 10, 2, 0);
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "3-4");
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "6-7");
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "1-2");
	/* Their ages have begun anew: now they are like this one. */
	EXPECT_REGIONS(test, t,
		       "0-1:500 1-2:0 2-3:1000 3-4:0 4-5:10 5-6:0 6-7:0 7-8:50 8-9:1000 9-10:0");
	t->regions[1].nr_accesses = 10;
	t->regions[3].nr_accesses = 10;
	t->regions[6].nr_accesses = 10;
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "5-6");
	t->regions[5].nr_accesses = 10;
	/* Of what is accessed as rarely, that for which it has been so for longest. */
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "8-9");
	t->regions[8].nr_accesses = 10;
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "4-5");
	t->regions[4].nr_accesses = 10;
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "0-1");
	t->regions[0].nr_accesses = 10;
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "9-10");
	t->regions[9].nr_accesses = 10;
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "");
}

/* Frequency and age of any memory that may be reclaimed, in this order. */
static void rate_goes_before_age(struct kunit *test)
{
	static const unsigned int ages[] = { 0, 5, 50, 500, 50000, UINT_MAX };
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos *s = victims(test, ctx, PAGE_SIZE);
	struct damon_region r = { .ar.end = PAGE_SIZE };
	unsigned int i, last = 0;

	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, 0);
	for (r.nr_accesses = 2; r.nr_accesses <= 2; r.nr_accesses--) {
		for (i = 0; i < ARRAY_SIZE(ages); i++) {
			unsigned int score;

			r.age = ages[i];
			score = damos_score(ctx, &r, s);
			if (r.nr_accesses < 2 || i)
				KUNIT_EXPECT_GT(test, score, last);
			KUNIT_EXPECT_LE(test, score, DAMOS_MAX_SCORE);
			last = score;
		}
	}
}

/* What it was not time to look at stays first. */
static void tries_in_vain(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = victims(test, ctx, 10 * PAGE_SIZE);

	fake_ops.vain_pages = 40;
	fake_ops.leaves_alone = true;
	fake_region(test, t, 0, 20, 0, 500);
	fake_region(test, t, 20, 40, 0, 50);
	fake_region(test, t, 40, 60, 0, 5);
	fake_region(test, t, 60, 80, 1, 1000);
	/* Others of the same window get their turn nevertheless. */
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "0-10 10-20 20-30 30-40 40-50");
	EXPECT_REGIONS(test, t, "0-20:500 20-40:50 40-50:0 50-60:5 60-80:1000");
	fake_ops.vain_pages = 0;
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "0-10");
	EXPECT_REGIONS(test, t, "0-10:0 10-20:500 20-40:50 40-50:0 50-60:5 60-80:1000");
}

static void size_does_not_matter(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = victims(test, ctx, 4 * PAGE_SIZE);

	fake_region(test, t, 0, 100, 0, 50);
	fake_region(test, t, 100, 104, 0, 500);
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "100-104");
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "0-4");
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "4-8");
}

static void only_when_told(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = victims(test, ctx, 0);

	fake_region(test, t, 0, 100, 0, 50);
	EXPECT_FIRST(test, s, ctx, DARC_IDLE, "");
	EXPECT_FIRST(test, s, ctx, DARC_YIELDING, "");
	EXPECT_REGIONS(test, t, "0-100:50");
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "0-100");
	EXPECT_FIRST(test, s, ctx, DARC_IDLE, "");
}

/* To watch is to look at all that is rarely accessed, in turns, and to leave ages alone. */
static void watching_looks(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = victims(test, ctx, 10 * PAGE_SIZE);

	fake_region(test, t, 0, 10, 1, 0);
	fake_region(test, t, 10, 20, 3, 30);
	fake_region(test, t, 20, 30, 0, 50);
	EXPECT_FIRST(test, s, ctx, DARC_WATCHING, "0-10");
	EXPECT_FIRST(test, s, ctx, DARC_WATCHING, "20-30");
	EXPECT_REGIONS(test, t, "0-10:0 10-20:30 20-30:50");
	KUNIT_EXPECT_EQ(test, DAMOS_STAT, s->action);
	EXPECT_FIRST(test, s, ctx, DARC_RECLAIMING, "20-30");
	KUNIT_EXPECT_EQ(test, DAMOS_PAGEOUT, s->action);
}

/* The middle of a window in which it was told to stop is as good as its begin. */
static void stop_and_go(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_target *t = fake_target(test, ctx);
	struct damos *s = victims(test, ctx, 100 * PAGE_SIZE);

	fake_region(test, t, 0, 10, 0, 50);
	fake_region(test, t, 10, 20, 3, 4);
	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, 0);
	damos_apply(ctx, s, 0, true);
	EXPECT_DONE(test, "0-10");
	darc_aim_at_nothing(s);
	t->regions[0].nr_accesses = 3;
	t->regions[1].nr_accesses = 0;
	damos_apply(ctx, s, 0, true);
	EXPECT_DONE(test, "");
	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, 0);
	damos_apply(ctx, s, 0, true);
	EXPECT_DONE(test, "10-20");
	/* And what was used of the quota is used. */
	KUNIT_EXPECT_EQ(test, 80 * PAGE_SIZE, damos_quota_left(&s->quota, DAMOS_MAX_SCORE));
}

/* Not before the minimum age is over; what is in use is not asked as often. */
static void blocks_are_looked_at(struct kunit *test)
{
	const u32 start = -100, age = 50;	/* its numbers do overflow */
	struct darc_look look = {};
	unsigned int i;

	KUNIT_EXPECT_TRUE(test, darc_is_due(&look, start, age, true));
	darc_note_look(&look, start, SZ_2M, 0);
	for (i = 0; i < 3; i++) {
		u32 wait = age << i;

		KUNIT_EXPECT_FALSE(test, darc_is_due(&look, look.at + wait - 1, age, true));
		KUNIT_EXPECT_TRUE(test, darc_is_due(&look, look.at + wait, age, true));
		darc_note_look(&look, look.at + wait, SZ_2M, SZ_512K - 1);
	}
	/* That is the most. */
	darc_note_look(&look, look.at + 1000, SZ_2M, 0);
	KUNIT_EXPECT_FALSE(test, darc_is_due(&look, look.at + 8 * age - 1, age, true));
	KUNIT_EXPECT_TRUE(test, darc_is_due(&look, look.at + 8 * age, age, true));
	darc_note_look(&look, look.at + 1000, SZ_2M, SZ_512K);
	KUNIT_EXPECT_TRUE(test, darc_is_due(&look, look.at + age, age, true));
	/* Only watched, and free memory. */
	KUNIT_EXPECT_FALSE(test, darc_is_due(&look, look.at + 8 * age - 1, age, false));
	KUNIT_EXPECT_TRUE(test, darc_is_due(&look, look.at + 8 * age, age, false));
	darc_note_look(&look, 0, 0, 0);
	KUNIT_EXPECT_FALSE(test, darc_is_due(&look, age, age, true));
	KUNIT_EXPECT_TRUE(test, darc_is_due(&look, age + 1, age, true));
}

static void pressure_bounds(struct kunit *test)
{
	struct darc_params params = { .reset_interval_ms = 1000, .psi_us = 10000 };
	struct damos *s = darc_new_scheme(true);
	struct damon_ctx *ctx = fake_ctx(test);
	struct damos_quota_goal *goal;

	KUNIT_ASSERT_NOT_NULL(test, s);
	damon_add_scheme(ctx, s);
	goal = list_first_entry(&s->quota.goals, struct damos_quota_goal, list);
	KUNIT_EXPECT_EQ(test, DAMOS_QUOTA_SOME_MEM_PSI_US, goal->metric);
	darc_set_quota(s, &params);
	KUNIT_EXPECT_EQ(test, 10000, goal->target_value);
	/* All that is allowed at first, by proportion when a window has begun. */
	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, params.psi_us);
	KUNIT_EXPECT_EQ(test, DAMOS_QUOTA_GOAL_TUNER_TEMPORAL, s->quota.goal_tuner);
	goal->last_psi_total = 1;
	s->quota.esz_by_goals = PAGE_SIZE;
	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, params.psi_us);
	KUNIT_EXPECT_EQ(test, DAMOS_QUOTA_GOAL_TUNER_CONSIST, s->quota.goal_tuner);
	/* From where on it grows again. */
	KUNIT_EXPECT_EQ(test, SZ_1M, s->quota.esz_by_goals);
	/* What was while it had nothing to do does not count. */
	darc_aim(s, &ctx->attrs, DARC_YIELDING, params.psi_us);
	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, params.psi_us);
	KUNIT_EXPECT_EQ(test, 0, goal->last_psi_total);
	KUNIT_EXPECT_EQ(test, DAMOS_QUOTA_GOAL_TUNER_TEMPORAL, s->quota.goal_tuner);
	goal->last_psi_total = 1;
	/* Any pressure is all right. */
	params.psi_us = 0;
	darc_set_quota(s, &params);
	KUNIT_EXPECT_EQ(test, ULONG_MAX, goal->target_value);
	darc_aim(s, &ctx->attrs, DARC_RECLAIMING, params.psi_us);
	KUNIT_EXPECT_EQ(test, DAMOS_QUOTA_GOAL_TUNER_TEMPORAL, s->quota.goal_tuner);
}

/* What the kernel's own reclaim does not count as free, and up to where it goes. */
static void what_is_free(struct kunit *test)
{
	struct zone *zone = kunit_kzalloc(test, sizeof(*zone), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, zone);
	zone->_watermark[WMARK_HIGH] = 40;
	zone->_watermark[WMARK_PROMO] = 50;
	KUNIT_EXPECT_EQ(test, 0, darc_zone_free(zone));
	atomic_long_set(&zone->vm_stat[NR_FREE_PAGES], 100);
	KUNIT_EXPECT_EQ(test, 100, darc_zone_free(zone));
	zone->nr_free_highatomic = 10;
	KUNIT_EXPECT_EQ(test, 90, darc_zone_free(zone));
	atomic_long_set(&zone->vm_stat[NR_FREE_CMA_PAGES], 30);
	KUNIT_EXPECT_EQ(test, 60, darc_zone_free(zone));
	/* They are not read at the same time. */
	zone->nr_free_highatomic = 110;
	KUNIT_EXPECT_EQ(test, 0, darc_zone_free(zone));

	zone->watermark_boost = 100;
	KUNIT_EXPECT_EQ(test, 40, darc_zone_high(zone, false));
	KUNIT_EXPECT_EQ(test, 50, darc_zone_high(zone, true));
}

static struct kunit_case darc_cases[] = {
	KUNIT_CASE(defaults),
	KUNIT_CASE(writes_keep_order),
	KUNIT_CASE(own_values_stay),
	KUNIT_CASE(no_room),
	KUNIT_CASE(transitions),
	KUNIT_CASE(narrow_transitions),
	KUNIT_CASE(watched_sooner_the_faster_it_falls),
	KUNIT_CASE(looks_sooner_the_nearer),
	KUNIT_CASE(any_writes),
	KUNIT_CASE(fading),
	KUNIT_CASE(shares),
	KUNIT_CASE(returns_of_others),
	KUNIT_CASE(counts_only_grow),
	KUNIT_CASE(care),
	KUNIT_CASE(attributes),
	KUNIT_CASE(oldest_of_rarest_first),
	KUNIT_CASE(rate_goes_before_age),
	KUNIT_CASE(tries_in_vain),
	KUNIT_CASE(size_does_not_matter),
	KUNIT_CASE(only_when_told),
	KUNIT_CASE(watching_looks),
	KUNIT_CASE(stop_and_go),
	KUNIT_CASE(blocks_are_looked_at),
	KUNIT_CASE(pressure_bounds),
	KUNIT_CASE(what_is_free),
	{}
};

static struct kunit_suite darc_suite = {
	.name = "damon-darc",
	.test_cases = darc_cases,
};

kunit_test_suite(darc_suite);
