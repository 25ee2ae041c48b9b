// SPDX-License-Identifier: GPL-2.0
/*
 * How soon, and how well, regions follow hot memory: with several seeds, of
 * which most have to do well, and none badly.
 */

#include <linux/sched.h>
#include <linux/sizes.h>

#include "simulation.h"

#define NR_SEEDS	15
#define MAX_HOT		64

/* Memory of which some is hot; samples of that find nothing at times. */
struct scene {
	unsigned long sz;
	struct damon_addr_range hot[MAX_HOT];
	unsigned int nr_hot;
	unsigned int missed_permille;
};

/* What was reported, by memory: thousandths. */
struct score {
	unsigned int recall;		/* of what is hot, reported to be so */
	unsigned int precision;		/* of what is reported hot, that is so */
};

static const struct damon_rules twenty = {
	.max_nr_accesses = 20,
	.max_nr_regions = 1000,
	.shift = PAGE_SHIFT,
};

static enum damon_probe_state look(struct damon_sim *sim, unsigned long addr)
{
	const struct scene *scene = sim->data;
	unsigned int i;

	for (i = 0; i < scene->nr_hot; i++) {
		if (addr >= scene->hot[i].start && addr < scene->hot[i].end)
			return damon_sim_below(sim, 1000) < scene->missed_permille ?
			       DAMON_PROBE_IDLE : DAMON_PROBE_ACCESSED;
	}
	return DAMON_PROBE_IDLE;
}

static unsigned long common(const struct damon_addr_range *a,
			    const struct damon_addr_range *b)
{
	unsigned long start = max(a->start, b->start), end = min(a->end, b->end);

	return start < end ? end - start : 0;
}

static struct score score(const struct damon_sim *sim)
{
	const struct scene *scene = sim->data;
	u64 reported = 0, hot = 0, right = 0;
	unsigned int i, j;

	for (i = 0; i < scene->nr_hot; i++)
		hot += scene->hot[i].end - scene->hot[i].start;
	for (i = 0; i < sim->nr_parts; i++) {
		const struct damon_region *r = &sim->parts[i];

		if (r->nr_accesses * 2 < sim->rules.max_nr_accesses)
			continue;
		reported += damon_sz_region(r);
		for (j = 0; j < scene->nr_hot; j++)
			right += common(&r->ar, &scene->hot[j]);
	}
	return (struct score){
		.recall = div64_u64(right * 1000, max(hot, 1ULL)),
		.precision = div64_u64(right * 1000, max(reported, 1ULL)),
	};
}

static struct damon_sim *begin_scene(struct kunit *test, struct scene *scene, u64 seed)
{
	struct damon_sim *sim = damon_sim_new(test, &twenty, 10, seed);

	sim->look = look;
	sim->data = scene;
	sim->ranges[0].end = scene->sz;
	sim->nr_ranges = 1;
	KUNIT_ASSERT_TRUE(test, damon_sim_cover(sim));
	return sim;
}

/**
 * struct goal - what has to be reached
 * @intervals:	in so many
 * @averaged:	of which the last so many count, by their mean
 * @recall:	the least, in thousandths, of each seed
 * @precision:	likewise
 * @mean_recall: the least, in thousandths, of all seeds
 * @mean_precision: likewise
 * @nr_regions:	the most
 */
struct goal {
	unsigned int intervals;
	unsigned int averaged;
	unsigned int recall;
	unsigned int precision;
	unsigned int mean_recall;
	unsigned int mean_precision;
	unsigned int nr_regions;
};

static bool pass_intervals(struct damon_sim *sim, const struct goal *goal,
			   struct score *mean)
{
	unsigned int i, most = 0, recall = 0, precision = 0;

	for (i = 0; i < goal->intervals; i++) {
		struct score now;

		if (!damon_sim_interval(sim))
			return false;
		most = max(most, sim->nr_parts);
		if (i + goal->averaged < goal->intervals)
			continue;
		now = score(sim);
		recall += now.recall;
		precision += now.precision;
	}
	mean->recall = recall / goal->averaged;
	mean->precision = precision / goal->averaged;
	if (mean->recall < goal->recall || mean->precision < goal->precision)
		KUNIT_FAIL(sim->test, "recall %u, precision %u (seed %llu)",
			   mean->recall, mean->precision, sim->seed);
	if (most > goal->nr_regions)
		KUNIT_FAIL(sim->test, "%u regions (seed %llu)", most, sim->seed);
	cond_resched();
	return true;
}

static void check_mean(struct kunit *test, const struct goal *goal, const struct score *sum)
{
	unsigned int recall = sum->recall / NR_SEEDS;
	unsigned int precision = sum->precision / NR_SEEDS;

	kunit_info(test, "after %u intervals: recall %u, precision %u\n",
		   goal->intervals, recall, precision);
	KUNIT_EXPECT_GE(test, recall, goal->mean_recall);
	KUNIT_EXPECT_GE(test, precision, goal->mean_precision);
}

static void reach(struct kunit *test, struct scene *scene, const struct goal *goals,
		  unsigned int nr_goals)
{
	struct score sum[3] = {};
	unsigned int i;
	u64 seed;

	for (seed = 1; seed <= NR_SEEDS; seed++) {
		struct damon_sim *sim = begin_scene(test, scene, seed);

		for (i = 0; i < nr_goals; i++) {
			struct score mean;

			if (!pass_intervals(sim, &goals[i], &mean))
				return;
			sum[i].recall += mean.recall;
			sum[i].precision += mean.precision;
		}
		damon_sim_free(sim);
	}
	for (i = 0; i < nr_goals; i++)
		check_mean(test, &goals[i], &sum[i]);
}

static void hot_10m_of_1500m(struct kunit *test)
{
	struct scene scene = {
		.sz = 1500UL * SZ_1M,
		.hot[0] = { 777 * SZ_1M + 5 * SZ_4K, 787 * SZ_1M + 5 * SZ_4K },
		.nr_hot = 1,
		.missed_permille = 50,
	};
	const struct goal goals[] = {
		/* Found, */
		{ .intervals = 5, .averaged = 1, .mean_recall = 700, .nr_regions = 60 },
		/* then its edges. */
		{
			.intervals = 15, .averaged = 5, .nr_regions = 60,
			.recall = 900, .precision = 900,
			.mean_recall = 960, .mean_precision = 960,
		},
	};

	reach(test, &scene, goals, ARRAY_SIZE(goals));
}

static void hot_32_spots(struct kunit *test)
{
	struct scene scene = { .sz = SZ_512M, .nr_hot = 32, .missed_permille = 50 };
	const struct goal goals[] = {
		{
			.intervals = 10, .averaged = 1, .nr_regions = 300,
			.recall = 700, .precision = 700,
			.mean_recall = 900, .mean_precision = 900,
		},
	};
	unsigned int i;

	for (i = 0; i < scene.nr_hot; i++) {
		scene.hot[i].start = i * SZ_16M + i * 7919 % 30 * SZ_512K;
		scene.hot[i].end = scene.hot[i].start + SZ_512K;
	}
	reach(test, &scene, goals, ARRAY_SIZE(goals));
}

/* It moves on: what was hot is not reported so any more. */
static void hot_spot_moves(struct kunit *test)
{
	struct scene scene = { .sz = SZ_1G, .nr_hot = 1, .missed_permille = 50 };
	const struct goal goals[] = {
		{
			.intervals = 10, .averaged = 2,
			.recall = 850, .precision = 750, .nr_regions = 60,
		},
	};
	unsigned int i;
	u64 seed;

	for (seed = 1; seed <= NR_SEEDS; seed++) {
		struct damon_sim *sim = begin_scene(test, &scene, seed);
		struct score mean;

		for (i = 0; i < 4; i++) {
			scene.hot[0].start = (100 + i * 250) * SZ_1M;
			scene.hot[0].end = scene.hot[0].start + SZ_32M;
			if (!pass_intervals(sim, &goals[0], &mean))
				return;
		}
		damon_sim_free(sim);
	}
}

/* Every byte counts, in each interval: hot memory that moves on by its own size. */
static void edges_of_what_moves(struct kunit *test)
{
	struct scene scene = { .sz = 800UL * SZ_1M, .nr_hot = 1, .missed_permille = 15 };
	u64 seed, recall = 0, precision = 0, nr = 0;
	unsigned int step, i;

	for (seed = 1; seed <= NR_SEEDS; seed++) {
		struct damon_sim *sim = begin_scene(test, &scene, seed);

		for (step = 0; step < 10; step++) {
			scene.hot[0].start = (696 + step * 10) * SZ_1M + seed * 61 * SZ_4K;
			scene.hot[0].end = scene.hot[0].start + 10 * SZ_1M;
			for (i = 0; i < 25; i++) {
				struct score now;

				if (!damon_sim_interval(sim))
					return;
				now = score(sim);
				recall += now.recall;
				precision += now.precision;
				nr++;
			}
		}
		damon_sim_free(sim);
	}
	recall = div64_u64(recall, nr);
	precision = div64_u64(precision, nr);
	kunit_info(test, "recall %llu, precision %llu\n", recall, precision);
	KUNIT_EXPECT_GE(test, recall, 970);
	KUNIT_EXPECT_GE(test, precision, 980);
}

/* Every other piece of memory is hot. */
#define STRIPE_SZ	SZ_4M

static enum damon_probe_state look_at_stripes(struct damon_sim *sim, unsigned long addr)
{
	return addr / STRIPE_SZ % 2 ? DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
}

/* Add what is reported hot of the hot memory in each quarter, in pages. */
static void add_recall(const struct damon_sim *sim, u64 right[4])
{
	unsigned long quarter = sim->ranges[0].end / 4, addr;
	unsigned int i;

	for (i = 0; i < sim->nr_parts; i++) {
		const struct damon_region *r = &sim->parts[i];
		struct damon_addr_range hot;

		if (r->nr_accesses * 2 < sim->rules.max_nr_accesses)
			continue;
		for (addr = STRIPE_SZ; addr < sim->ranges[0].end; addr += 2 * STRIPE_SZ) {
			hot = (struct damon_addr_range){ addr, addr + STRIPE_SZ };
			right[addr / quarter] += common(&r->ar, &hot) >> PAGE_SHIFT;
		}
	}
}

/*
 * Many more pieces than there may be regions: what cannot be told apart is as much, or
 * as little, at low addresses as it is at high ones.
 */
static void bound_is_even(struct kunit *test)
{
	struct damon_rules rules = twenty;
	u64 right[4] = {}, seed, least = U64_MAX, most = 0;
	unsigned int i;

	rules.max_nr_regions = 100;
	for (seed = 1; seed <= NR_SEEDS; seed++) {
		struct damon_sim *sim = damon_sim_new(test, &rules, 10, seed);

		sim->look = look_at_stripes;
		sim->ranges[0].end = SZ_2G;
		sim->nr_ranges = 1;
		KUNIT_ASSERT_TRUE(test, damon_sim_cover(sim));
		while (sim->generation < 40) {
			KUNIT_ASSERT_TRUE(test, damon_sim_interval(sim));
			if (sim->generation >= 20)
				add_recall(sim, right);
		}
		damon_sim_free(sim);
		cond_resched();
	}
	for (i = 0; i < 4; i++) {
		u64 all = 20ULL * NR_SEEDS * (SZ_2G / 4 / 2 >> PAGE_SHIFT);
		u64 recall = div64_u64(right[i] * 1000, all);

		kunit_info(test, "quarter %u: recall %llu\n", i, recall);
		least = min(least, recall);
		most = max(most, recall);
	}
	KUNIT_EXPECT_GE(test, least, 550);
	KUNIT_EXPECT_LE(test, most - least, 100);
}

/* Mean number of regions of such memory in so many intervals. */
static unsigned int mean_nr_regions(struct kunit *test, struct scene *scene,
				    unsigned int intervals)
{
	struct damon_sim *sim = begin_scene(test, scene, 1);
	unsigned int i, sum = 0;

	for (i = 0; i < intervals; i++) {
		KUNIT_ASSERT_TRUE(test, damon_sim_interval(sim));
		sum += sim->nr_parts;
	}
	damon_sim_free(sim);
	return sum / intervals;
}

/* Nothing to tell apart costs nothing: there are as few regions as there may be. */
static void idle_memory(struct kunit *test)
{
	struct scene scene = { .sz = SZ_1G };

	KUNIT_EXPECT_LE(test, mean_nr_regions(test, &scene, 50), 11);
}

static void busy_memory(struct kunit *test)
{
	struct scene scene = {
		.sz = SZ_1G, .hot[0].end = SZ_1G, .nr_hot = 1, .missed_permille = 50,
	};
	unsigned int nr = mean_nr_regions(test, &scene, 50);

	kunit_info(test, "%u regions\n", nr);
	KUNIT_EXPECT_LE(test, nr, 20);
}

/* All of it, most of the time. */
static void warm_memory(struct kunit *test)
{
	struct scene scene = {
		.sz = SZ_1G, .hot[0].end = SZ_1G, .nr_hot = 1, .missed_permille = 250,
	};
	unsigned int nr = mean_nr_regions(test, &scene, 50);

	kunit_info(test, "%u regions\n", nr);
	KUNIT_EXPECT_LE(test, nr, 40);
}

/* The mean of what is reported of all memory, in thousandths of the most. */
static unsigned int mean_rate(const struct damon_sim *sim)
{
	u64 sum = 0, pages = 0;
	unsigned int i;

	for (i = 0; i < sim->nr_parts; i++) {
		u64 nr = damon_sz_region(&sim->parts[i]) >> PAGE_SHIFT;

		pages += nr;
		sum += nr * sim->parts[i].nr_accesses;
	}
	return div64_u64(sum * 1000, pages * sim->rules.max_nr_accesses);
}

/*
 * All of it at times: chance looks like spots.  There is room for all of these, and with
 * accesses half of the time it is hardly used.  (What is accessed more rarely takes as
 * many regions as there may be.)  What they are said to be is about right in the mean.
 */
static void random_memory(struct kunit *test)
{
	static const struct {
		unsigned int missed_permille;
		unsigned int most_regions;
		unsigned int least_rate, most_rate;
	} cases[] = {
		{ 500, 40, 480, 520 }, { 650, 400, 330, 370 }, { 800, UINT_MAX, 160, 220 },
		{ 950, UINT_MAX, 25, 60 },
	};
	struct damon_rules rules = twenty;
	unsigned int i, j;

	rules.max_nr_regions = 4000;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int nr = 0, rate = 0;
		struct scene scene = {
			.sz = SZ_1G, .hot[0].end = SZ_1G, .nr_hot = 1,
			.missed_permille = cases[i].missed_permille,
		};
		struct damon_sim *sim = damon_sim_new(test, &rules, 10, 1);

		sim->look = look;
		sim->data = &scene;
		sim->ranges[0].end = scene.sz;
		sim->nr_ranges = 1;
		KUNIT_ASSERT_TRUE(test, damon_sim_cover(sim));
		for (j = 0; j < 40; j++) {
			KUNIT_ASSERT_TRUE(test, damon_sim_interval(sim));
			if (j < 20)
				continue;
			nr += sim->nr_parts;
			rate += mean_rate(sim);
		}
		damon_sim_free(sim);
		kunit_info(test, "%u regions of rate %u, accessed %u permille\n",
			   nr / 20, rate / 20, 1000 - cases[i].missed_permille);
		KUNIT_EXPECT_LE(test, nr / 20, cases[i].most_regions);
		KUNIT_EXPECT_GE(test, rate / 20, cases[i].least_rate);
		KUNIT_EXPECT_LE(test, rate / 20, cases[i].most_rate);
	}
}

static void old_age(struct kunit *test)
{
	struct scene scene = {
		.sz = SZ_1G, .hot[0] = { SZ_512M, SZ_512M + SZ_64M }, .nr_hot = 1,
	};
	struct damon_sim *sim = begin_scene(test, &scene, 1);
	const struct damon_addr_range *hot = &scene.hot[0];
	u64 sz[2] = {}, age[2] = {};
	unsigned int i;

	for (i = 0; i < 100; i++) {
		if (!damon_sim_interval(sim))
			return;
	}
	for (i = 0; i < sim->nr_parts; i++) {
		const struct damon_region *r = &sim->parts[i];
		bool is_hot = common(hot, &r->ar) * 2 > damon_sz_region(r);
		u64 pages = damon_sz_region(r) >> PAGE_SHIFT;

		sz[is_hot] += pages;
		age[is_hot] += pages * r->age;
		if (pages > SZ_8M >> PAGE_SHIFT)
			KUNIT_EXPECT_EQ(test, r->nr_accesses, is_hot ? 20 : 0);
	}
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_GE(test, div64_u64(age[i], max(sz[i], 1ULL)), 80);
		KUNIT_EXPECT_LE(test, div64_u64(age[i], max(sz[i], 1ULL)), 100);
	}

	/* All of it changes, but for what was idle and still is. */
	scene.nr_hot = 0;
	for (i = 0; i < 3; i++) {
		if (!damon_sim_interval(sim))
			return;
	}
	for (i = 0; i < sim->nr_parts; i++) {
		if (common(hot, &sim->parts[i].ar) == damon_sz_region(&sim->parts[i]))
			KUNIT_EXPECT_LE(test, sim->parts[i].age, 3);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(hot_10m_of_1500m),
	KUNIT_CASE(hot_32_spots),
	KUNIT_CASE(hot_spot_moves),
	KUNIT_CASE(edges_of_what_moves),
	KUNIT_CASE(bound_is_even),
	KUNIT_CASE(idle_memory),
	KUNIT_CASE(busy_memory),
	KUNIT_CASE(warm_memory),
	KUNIT_CASE(random_memory),
	KUNIT_CASE(old_age),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-convergence",
	.test_cases = cases,
};

kunit_test_suite(suite);
