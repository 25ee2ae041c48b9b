// SPDX-License-Identifier: GPL-2.0
/* Address spaces that somebody else has locked, as fork() does: nothing waits for that. */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "../actions.h"
#include "../ops-common.h"
#include "../schemes.h"
#include "schemes-fake.h"

#define PAGES	4

struct fixture {
	struct damon_ctx *ctx;
	struct damon_target *t;
	struct damon_addr_range memory;
	struct damon_probe probe[PAGES];
	struct damon_probes probes;
};

/* The target's memory is that of the test. */
static struct mm_struct *get_own_mm(const struct damon_target *t)
{
	mmget(current->mm);
	return current->mm;
}

static int begin_test(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);
	char byte = 1;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, fix);
	test->priv = fix;
	fix->ctx = damon_new_ctx();
	KUNIT_ASSERT_NOT_NULL(test, fix->ctx);
	fix->t = damon_new_target();
	KUNIT_ASSERT_NOT_NULL(test, fix->t);
	damon_add_target(fix->ctx, fix->t);
	KUNIT_ASSERT_EQ(test, 0, damon_select_ops(fix->ctx, DAMON_OPS_VADDR));
	fix->memory.start = kunit_vm_mmap(test, NULL, 0, PAGES * PAGE_SIZE,
					  PROT_READ | PROT_WRITE,
					  MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, fix->memory.start, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(fix->memory.start));
	fix->memory.end = fix->memory.start + PAGES * PAGE_SIZE;
	fix->probes = (struct damon_probes){ fix->probe, PAGES, PAGES };
	for (i = 0; i < PAGES; i++) {
		fix->probe[i].addr = fix->memory.start + i * PAGE_SIZE;
		KUNIT_ASSERT_EQ(test, 0, copy_to_user((void __user *)fix->probe[i].addr,
						      &byte, 1));
	}
	lru_add_drain();
	kunit_activate_static_stub(test, damon_va_get_mm, get_own_mm);
	return 0;
}

static void end_test(struct kunit *test)
{
	struct fixture *fix = test->priv;

	if (fix && fix->ctx)
		damon_destroy_ctx(fix->ctx);
}

/* Until this returns, what the test calls would wait for ever if it waited at all. */
static void lock(void)
{
	mmap_write_lock(current->mm);
}

static void unlock(void)
{
	mmap_write_unlock(current->mm);
}

static void look(struct kunit *test)
{
	struct damon_probes none = {};
	struct fixture *fix = test->priv;

	KUNIT_EXPECT_TRUE(test, fix->ctx->ops.sample(fix->ctx, fix->t, &fix->probes, &none));
}

static void make_ready(struct kunit *test)
{
	struct damon_probes none = {};
	struct fixture *fix = test->priv;

	damon_set_states(&fix->probes, DAMON_PROBE_UNKNOWN);
	KUNIT_EXPECT_TRUE(test, fix->ctx->ops.sample(fix->ctx, fix->t, &none, &fix->probes));
}

static void expect_states(struct kunit *test, enum damon_probe_state state)
{
	struct fixture *fix = test->priv;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, fix->probe[i].state, state);
}

static void access_all(struct kunit *test)
{
	struct fixture *fix = test->priv;
	unsigned int i;

	mmap_read_lock(current->mm);
	for (i = 0; i < PAGES; i++) {
		spinlock_t *ptl;	/* of *pte */
		pte_t *pte = get_locked_pte(current->mm, fix->probe[i].addr, &ptl);

		if (!pte)
			continue;
		set_pte_at(current->mm, fix->probe[i].addr, pte, pte_mkyoung(ptep_get(pte)));
		pte_unmap_unlock(pte, ptl);
	}
	mmap_read_unlock(current->mm);
}

/* What is cleared is told, as something else may have waited to see it. */
static void tells_what_it_clears(struct kunit *test)
{
	struct fixture *fix = test->priv;
	unsigned int i;

	access_all(test);
	for (i = 0; i < PAGES; i++)
		fix->probe[i].order = 9;
	make_ready(test);
	expect_states(test, DAMON_PROBE_READY_YOUNG);
	for (i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, fix->probe[i].order, 0);
	look(test);
	expect_states(test, DAMON_PROBE_IDLE);
	access_all(test);
	make_ready(test);
	access_all(test);
	look(test);
	expect_states(test, DAMON_PROBE_ACCESSED);
}

static void sees_accesses(struct kunit *test)
{
	access_all(test);
	make_ready(test);
	make_ready(test);
	expect_states(test, DAMON_PROBE_READY);
	look(test);
	expect_states(test, DAMON_PROBE_IDLE);
	make_ready(test);
	access_all(test);
	look(test);
	expect_states(test, DAMON_PROBE_ACCESSED);
}

/* What could not be looked at was neither accessed nor idle. */
static void unknown_while_locked(struct kunit *test)
{
	make_ready(test);
	access_all(test);
	lock();
	look(test);
	unlock();
	expect_states(test, DAMON_PROBE_UNKNOWN);
}

/* Nor is what could not be made ready, though its accessed bit is set. */
static void not_ready_while_locked(struct kunit *test)
{
	access_all(test);
	lock();
	make_ready(test);
	unlock();
	expect_states(test, DAMON_PROBE_UNKNOWN);
	look(test);
	expect_states(test, DAMON_PROBE_UNKNOWN);
}

/* Ranges of mappings are found as soon as there is nobody to wait for. */
static void follows_later(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct damon_ctx *ctx = fix->ctx;

	lock();
	KUNIT_EXPECT_FALSE(test, ctx->ops.init(ctx));
	KUNIT_EXPECT_FALSE(test, ctx->ops.update(ctx));
	unlock();
	KUNIT_EXPECT_EQ(test, fix->t->nr_regions, 0);
	KUNIT_EXPECT_TRUE(test, ctx->ops.update(ctx));
	KUNIT_EXPECT_GT(test, fix->t->nr_regions, 0);
	lock();
	KUNIT_EXPECT_FALSE(test, ctx->ops.update(ctx));
	unlock();
	KUNIT_EXPECT_GT(test, fix->t->nr_regions, 0);
}

static void act(struct kunit *test, enum damos_action action, unsigned long expected)
{
	static const struct damos_access_pattern all = {
		.max_sz_region = ULONG_MAX,
		.max_nr_accesses = UINT_MAX,
		.max_age_region = UINT_MAX,
	};
	struct fixture *fix = test->priv;
	unsigned long passed = 0;
	struct damos *s = damon_new_scheme(&all, action, 0, NUMA_NO_NODE);

	KUNIT_ASSERT_NOT_NULL(test, s);
	damon_add_scheme(fix->ctx, s);
	fix->ctx->ops.apply_scheme(fix->ctx, fix->t, &fix->memory, s, &passed);
	if (BIT(action) & DAMON_VA_PAGE_ACTIONS)
		KUNIT_EXPECT_EQ(test, passed, expected);
	damon_destroy_scheme(s);
}

/* What cannot be done now is not waited for, and not half done. */
static void acts_later(struct kunit *test)
{
	unsigned int action;

	for (action = 0; action < NR_DAMOS_ACTIONS; action++) {
		if (!(DAMON_VA_ACTIONS & BIT(action)))
			continue;
		lock();
		act(test, action, 0);
		unlock();
		act(test, action, PAGES * PAGE_SIZE);
	}
}

static atomic_t nr_updates;
#define LATE_UPDATES	3

static bool update_late(struct damon_ctx *ctx)
{
	return atomic_inc_return(&nr_updates) > LATE_UPDATES;
}

static bool sample_nothing(struct damon_ctx *ctx, struct damon_target *t,
			   struct damon_probes *done, struct damon_probes *next)
{
	return true;
}

/* It is tried again at the end of each aggregation interval, until it is done. */
static void updates_soon_when_behind(struct kunit *test)
{
	struct damon_ctx *ctx = fake_ctx(test);
	struct damon_attrs attrs = ctx->attrs;
	unsigned long until = jiffies + 10 * HZ;

	attrs.sample_interval = 1000;
	attrs.aggr_interval = 5000;
	attrs.ops_update_interval = 3600UL * USEC_PER_SEC;
	KUNIT_ASSERT_EQ(test, 0, damon_set_attrs(ctx, &attrs));
	ctx->ops.init = update_late;
	ctx->ops.update = update_late;
	ctx->ops.sample = sample_nothing;
	fake_region(test, fake_target(test, ctx), 0, 100, 0, 0);
	atomic_set(&nr_updates, 0);
	KUNIT_ASSERT_EQ(test, 0, damon_start(&ctx, 1, false));
	while (atomic_read(&nr_updates) <= LATE_UPDATES && time_before(jiffies, until))
		msleep(20);
	msleep(100);
	KUNIT_EXPECT_EQ(test, 0, damon_stop(&ctx, 1));
	KUNIT_EXPECT_EQ(test, atomic_read(&nr_updates), LATE_UPDATES + 1);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(tells_what_it_clears),
	KUNIT_CASE(sees_accesses),
	KUNIT_CASE(unknown_while_locked),
	KUNIT_CASE(not_ready_while_locked),
	KUNIT_CASE(follows_later),
	KUNIT_CASE(acts_later),
	KUNIT_CASE(updates_soon_when_behind),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-vaddr",
	.init = begin_test,
	.exit = end_test,
	.test_cases = cases,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of monitoring while address spaces are locked");
MODULE_LICENSE("GPL");
