// SPDX-License-Identifier: GPL-2.0
/* A context whose operations only note what schemes have them do. */

#include <linux/ktime.h>
#include <linux/mm.h>

#include "../targets.h"
#include "schemes-fake.h"

struct fake_ops fake_ops;

/* A clock that goes on while the operations work, whatever else the machine does. */
ktime_t fake_ops_clock(void)
{
	return fake_ops.clock;
}

static void free_ctx(void *ctx)
{
	damon_stop((struct damon_ctx **)&ctx, 1);
	damon_destroy_ctx(ctx);
}

static bool note_sample(struct damon_ctx *ctx, struct damon_target *t,
			struct damon_probes *done, struct damon_probes *next)
{
	unsigned int i;

	for (i = 0; i < done->nr; i++)
		done->probe[i].state = DAMON_PROBE_IDLE;
	return true;
}

static unsigned long note_action(struct damon_ctx *ctx, struct damon_target *t,
				 const struct damon_addr_range *range, struct damos *s,
				 unsigned long *sz_passed)
{
	unsigned long bytes = damon_bytes(ctx, range->end - range->start);

	if (fake_ops.nr_done < FAKE_MAX_DONE) {
		fake_ops.done[fake_ops.nr_done] = *range;
		fake_ops.target[fake_ops.nr_done] = t;
		fake_ops.core_passed[fake_ops.nr_done] = s->core_passed;
	}
	fake_ops.nr_done++;
	fake_ops.pages_done += bytes >> PAGE_SHIFT;
	fake_ops.clock = ktime_add_ns(fake_ops.clock,
				      (u64)(bytes >> PAGE_SHIFT) * fake_ops.ns_per_page);
	if (range->start >> PAGE_SHIFT < fake_ops.vain_pages) {
		s->untouched = fake_ops.leaves_alone;
		return 0;
	}
	*sz_passed += bytes;
	return fake_ops.fails ? 0 : bytes;
}

/* Ended with the test.  The operations forget what they have noted. */
struct damon_ctx *fake_ctx(struct kunit *test)
{
	struct damon_ctx *ctx = damon_new_ctx();

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_ctx, ctx));
	ctx->ops = (struct damon_operations){
		.id = DAMON_OPS_FVADDR,
		.sample = note_sample,
		.actions = BIT(NR_DAMOS_ACTIONS) - 1,
		.page_actions = BIT(NR_DAMOS_ACTIONS) - 1,
		.filters = BIT(DAMOS_FILTER_TYPE_ANON),
		.apply_scheme = note_action,
	};
	memset(&fake_ops, 0, sizeof(fake_ops));
	return ctx;
}

struct damon_target *fake_target(struct kunit *test, struct damon_ctx *ctx)
{
	struct damon_target *t = damon_new_target();

	KUNIT_ASSERT_NOT_NULL(test, t);
	damon_add_target(ctx, t);
	return t;
}

/* Of pages, after those that the target has. */
struct damon_region *fake_region(struct kunit *test, struct damon_target *t,
				 unsigned long start, unsigned long end,
				 unsigned int rate, unsigned int age)
{
	KUNIT_ASSERT_EQ(test, 0, damon_reserve_regions(&t->regions, &t->room, t->nr_regions,
						       t->nr_regions + 1));
	t->regions[t->nr_regions] = (struct damon_region){
		.ar.start = start << PAGE_SHIFT,
		.ar.end = end << PAGE_SHIFT,
		.nr_accesses = rate,
		.last_nr_accesses = rate,
		.age = age,
	};
	return &t->regions[t->nr_regions++];
}

/* For all memory, without a quota. */
struct damos *fake_scheme(struct kunit *test, struct damon_ctx *ctx,
			  enum damos_action action)
{
	static const struct damos_access_pattern all = {
		.max_sz_region = ULONG_MAX,
		.max_nr_accesses = UINT_MAX,
		.max_age_region = UINT_MAX,
	};
	struct damos *s = damon_new_scheme(&all, action, 0, 0);

	KUNIT_ASSERT_NOT_NULL(test, s);
	damon_add_scheme(ctx, s);
	return s;
}

/* By addresses of pages. */
void fake_filter(struct kunit *test, struct damos *s, unsigned long start,
		 unsigned long end, bool matching, bool allow)
{
	struct damos_filter *f = damos_new_filter(DAMOS_FILTER_TYPE_ADDR, matching, allow);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->addr_range.start = start << PAGE_SHIFT;
	f->addr_range.end = end << PAGE_SHIFT;
	damos_add_filter(s, f);
}

/* By user input. */
struct damos_quota_goal *fake_goal(struct kunit *test, struct damos *s,
				   unsigned long target_value)
{
	struct damos_quota_goal *goal = damos_new_quota_goal(DAMOS_QUOTA_USER_INPUT,
							     target_value);

	KUNIT_ASSERT_NOT_NULL(test, goal);
	damos_add_quota_goal(&s->quota, goal);
	return goal;
}

void fake_expect_done(struct kunit *test, const char *wanted, int line)
{
	char text[512] = "";
	unsigned int i;
	int len = 0;

	for (i = 0; i < min_t(unsigned int, fake_ops.nr_done, FAKE_MAX_DONE); i++)
		len += scnprintf(text + len, sizeof(text) - len, "%s%lu-%lu", i ? " " : "",
				 fake_ops.done[i].start >> PAGE_SHIFT,
				 fake_ops.done[i].end >> PAGE_SHIFT);
	KUNIT_EXPECT_STREQ_MSG(test, text, wanted, "line %d", line);
	fake_ops.nr_done = 0;
	fake_ops.pages_done = 0;
}

void fake_expect_regions(struct kunit *test, const struct damon_target *t,
			 const char *wanted, int line)
{
	const struct damon_region *r;
	char text[512] = "";
	int len = 0;

	damon_for_each_region(r, t)
		len += scnprintf(text + len, sizeof(text) - len, "%s%lu-%lu:%u",
				 len ? " " : "", r->ar.start >> PAGE_SHIFT,
				 r->ar.end >> PAGE_SHIFT, r->age);
	KUNIT_EXPECT_STREQ_MSG(test, text, wanted, "line %d", line);
}
