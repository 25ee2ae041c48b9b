// SPDX-License-Identifier: GPL-2.0
/* The largest values that users may give: products of them must not wrap, nor divisors be 0. */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/ktime.h>
#include <linux/mm.h>

#include "../evidence.h"
#include "../math.h"
#include "../monitor.h"
#include "../ops-common.h"
#include "../regions.h"
#include "../schemes.h"
#include "schemes-fake.h"

#define HALF	(ULONG_MAX / 2 + 1)

static bool all_accessed(struct damon_ctx *ctx, struct damon_target *t,
			 struct damon_probes *done, struct damon_probes *next)
{
	damon_set_states(done, DAMON_PROBE_ACCESSED);
	return true;
}

static struct damon_ctx *limits_ctx(struct kunit *test, unsigned long sample,
				    unsigned long aggr)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_attrs attrs = {
		.sample_interval = sample,
		.aggr_interval = aggr,
		.min_nr_regions = 3,
		.max_nr_regions = 100,
	};

	ctx->ops.sample = all_accessed;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	/* As a kdamond does at its start. */
	ctx->restart = true;
	return ctx;
}

static struct damon_target *limits_target(struct kunit *test, struct damon_ctx *ctx,
					  unsigned long end)
{
	const struct damon_addr_range range = { .end = end };
	struct damon_target *t = fake_target(test, ctx);

	KUNIT_ASSERT_EQ(test, 0, damon_set_regions(t, &range, 1));
	return t;
}

static void muldiv_saturates(struct kunit *test)
{
	static const struct {
		u64 x, num, den, is;
	} cases[] = {
		{ 0, 0, 1, 0 },
		{ 7, 3, 2, 10 },
		{ U64_MAX, U64_MAX, U64_MAX, U64_MAX },
		{ U64_MAX, 10000, U64_MAX, 10000 },
		{ U64_MAX, 2, 1, U64_MAX },
		{ 1ULL << 63, 2, 4, 1ULL << 62 },
		{ U64_MAX, U64_MAX, 1, U64_MAX },
		{ U64_MAX, U64_MAX - 1, U64_MAX - 1, U64_MAX },
		{ 5, U64_MAX, 4, U64_MAX },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, damos_muldiv(cases[i].x, cases[i].num, cases[i].den),
				    cases[i].is, "case %u", i);
	KUNIT_EXPECT_EQ(test, damon_add_u64(U64_MAX, 1), U64_MAX);
	KUNIT_EXPECT_EQ(test, damon_add_u64(1, 2), 3);
	KUNIT_EXPECT_EQ(test, damon_us_to_ns(5), 5000);
	KUNIT_EXPECT_LE(test, damon_us_to_ns(U64_MAX), KTIME_MAX);
	KUNIT_EXPECT_GT(test, damon_us_to_ns(U64_MAX), KTIME_MAX / 2);
}

/* Of any weights, and with any values, half of each is half way. */
static void mean_of_any_weights(struct kunit *test)
{
	static const u64 weights[] = { 1, 2, 1000, U32_MAX, 1ULL << 51, 1ULL << 62, U64_MAX };
	static const u32 mosts[] = { 1, 20, 8192, U32_MAX };
	unsigned int i, j, k;

	for (i = 0; i < ARRAY_SIZE(weights); i++) {
		for (j = 0; j < ARRAY_SIZE(mosts); j++) {
			struct damon_mean mean = {};

			KUNIT_EXPECT_EQ(test, damon_mean_bp(&mean, mosts[j]), 0);
			for (k = 0; k < 1000; k++)
				damon_mean_add(&mean, weights[i], mosts[j]);
			KUNIT_EXPECT_EQ(test, damon_mean_bp(&mean, mosts[j]), 10000);
			for (k = 0; k < 1000; k++)
				damon_mean_add(&mean, weights[i], 0);
			KUNIT_EXPECT_LE(test, abs_diff(damon_mean_bp(&mean, mosts[j]), 5000ULL),
					10);
		}
	}
}

static ktime_t fake_time;

static ktime_t fake_clock(void)
{
	return fake_time;
}

/* Of all addresses, with as many samples as it takes for the product to be 2 to the 64. */
static void aggregate_all_addresses(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, 1000, 8192000);
	unsigned int i;

	kunit_activate_static_stub(test, damon_clock, fake_clock);
	limits_target(test, ctx, HALF);
	for (i = 0; i <= 8192; i++) {
		damon_serve(ctx);
		fake_time = ctx->next_sample;
	}
	KUNIT_ASSERT_EQ(test, ctx->tuned_aggrs, 1);
	KUNIT_EXPECT_EQ(test, ctx->tuned_bp, 10000);
}

/* An interval that ends when time does must not end at once. */
static void longest_interval(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, DAMON_MOST_US, DAMON_MOST_US);

	limits_target(test, ctx, HALF);
	damon_serve(ctx);
	KUNIT_EXPECT_TRUE(test, ktime_after(ctx->next_sample,
					    ktime_add_ns(ktime_get(), NSEC_PER_SEC)));
	KUNIT_EXPECT_EQ(test, ctx->samples, 0);
	/* And a sample of microseconds that need not fit into 32 bits in nanoseconds. */
	ctx->attrs.sample_interval = 5 * USEC_PER_SEC;
	KUNIT_EXPECT_EQ(test, damon_sample_ns(ctx), 5ULL * NSEC_PER_SEC);
}

/* Targets that are larger together than a number can be: regions are not cut for it. */
static void targets_of_all_addresses(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, USEC_PER_SEC, USEC_PER_SEC);
	unsigned int i, nr = 0;
	struct damon_target *t;

	for (i = 0; i < 4; i++)
		limits_target(test, ctx, HALF + HALF / 2);
	damon_serve(ctx);
	damon_for_each_target(t, ctx)
		nr += t->nr_regions;
	KUNIT_EXPECT_EQ(test, nr, 4);
}

/* Large memory gets the further probes that are to be had, in whatever unit it is. */
static void probes_of_all_addresses(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, USEC_PER_SEC, USEC_PER_SEC);
	struct damon_target *t;

	ctx->ops.id = DAMON_OPS_PADDR;
	ctx->addr_unit = PAGE_SIZE;
	limits_target(test, ctx, HALF);
	damon_serve(ctx);
	damon_for_each_target(t, ctx)
		KUNIT_EXPECT_GT(test, damon_nr_probes(t->regions, t->nr_regions),
				2 * t->nr_regions);
}

/* Counts of samples that do not fit any more stay a rate. */
static void counts_of_samples(struct kunit *test)
{
	const struct damon_rules rules = {
		.max_nr_accesses = UINT_MAX, .max_nr_regions = 1, .shift = PAGE_SHIFT,
	};
	struct damon_region regions[3] = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		regions[i].ar.start = i * PAGE_SIZE;
		regions[i].ar.end = (i + 1) * PAGE_SIZE;
		regions[i].tries = INT_MAX;
		regions[i].hits = i ? 0 : INT_MAX;
	}
	KUNIT_ASSERT_EQ(test, damon_limit_regions(regions, 3, &rules), 1);
	KUNIT_EXPECT_LE(test, regions[0].hits, regions[0].tries);
	KUNIT_EXPECT_GT(test, regions[0].tries, INT_MAX / 2);
	KUNIT_EXPECT_LE(test, damon_likelihood_gain(regions[0].hits, regions[0].tries, 0,
						    regions[0].tries), 1 << 20);
}

/* From the longest interval to the shortest, and back. */
static void rescale_between_extremes(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, DAMON_MOST_US, DAMON_MOST_US);
	struct damon_target *t = limits_target(test, ctx, HALF);
	struct damon_attrs attrs = ctx->attrs;
	struct damos *s = fake_scheme(test, ctx, DAMOS_STAT);

	s->apply_interval_us = ULONG_MAX;
	s->samples_to_next = ULONG_MAX;
	t->regions[0].nr_accesses = UINT_MAX;
	t->regions[0].last_nr_accesses = UINT_MAX;
	t->regions[0].age = UINT_MAX;
	attrs.sample_interval = 1;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	KUNIT_EXPECT_EQ(test, t->regions[0].nr_accesses, damon_max_nr_accesses(&attrs));
	attrs.aggr_interval = 1;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	KUNIT_EXPECT_EQ(test, t->regions[0].nr_accesses, 1);
	KUNIT_EXPECT_EQ(test, t->regions[0].last_nr_accesses, 1);
	KUNIT_EXPECT_EQ(test, t->regions[0].age, UINT_MAX);
	KUNIT_EXPECT_EQ(test, s->samples_to_next, ULONG_MAX);
}

/* A quota of time: much that was tried quickly is quick, however much it was. */
static void throughput_of_all_addresses(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, USEC_PER_SEC, USEC_PER_SEC);
	struct damos *s = fake_scheme(test, ctx, DAMOS_PAGEOUT);

	s->quota.ms = 10;
	s->quota.reset_interval = 1000;
	s->quota.charge_passed = true;
	KUNIT_EXPECT_TRUE(test, damos_quota_begin(ctx, s, ktime_get_ns()));
	damos_quota_charge(&s->quota, 0, HALF, 0, 1000);
	damos_quota_charge(&s->quota, 0, HALF, 0, 1000);
	KUNIT_EXPECT_EQ(test, damos_quota_slice(&s->quota, 0), damos_quota_left(&s->quota, 0));
}

/* Units of physical addresses that lead beyond all of them do not lead back to their begin. */
static void physical_addresses(struct kunit *test)
{
	struct damon_ctx *ctx = limits_ctx(test, USEC_PER_SEC, USEC_PER_SEC);

	KUNIT_EXPECT_EQ(test, damon_pa_of(ctx, PAGE_SIZE), PAGE_SIZE);
	ctx->addr_unit = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, damon_pa_of(ctx, 3), 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, damon_pa_of(ctx, HALF), PHYS_ADDR_MAX);
	KUNIT_EXPECT_EQ(test, damon_pa_of(ctx, ULONG_MAX), PHYS_ADDR_MAX);
	ctx->addr_unit = HALF;
	KUNIT_EXPECT_EQ(test, damon_pa_of(ctx, 2), PHYS_ADDR_MAX);
	KUNIT_EXPECT_EQ(test, damon_bytes(ctx, 2), ULONG_MAX);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(muldiv_saturates),
	KUNIT_CASE(mean_of_any_weights),
	KUNIT_CASE(aggregate_all_addresses),
	KUNIT_CASE(longest_interval),
	KUNIT_CASE(targets_of_all_addresses),
	KUNIT_CASE(probes_of_all_addresses),
	KUNIT_CASE(counts_of_samples),
	KUNIT_CASE(rescale_between_extremes),
	KUNIT_CASE(throughput_of_all_addresses),
	KUNIT_CASE(physical_addresses),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-limits",
	.test_cases = cases,
};

kunit_test_suite(suite);
