// SPDX-License-Identifier: GPL-2.0
/* What filters of the core let through, and which filters a scheme cannot have. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/prandom.h>

#include "../schemes.h"

/* Memory of random schemes, by pages. */
#define NR_PAGES	24

struct fixture {
	struct damon_ctx *ctx;
	struct damos s;
};

static void clear_filters(struct damos *s)
{
	struct damos_filter *f, *next;

	list_for_each_entry_safe(f, next, &s->core_filters, list)
		damos_destroy_filter(f);
	list_for_each_entry_safe(f, next, &s->ops_filters, list)
		damos_destroy_filter(f);
}

static int init(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fix);
	INIT_LIST_HEAD(&fix->s.core_filters);
	INIT_LIST_HEAD(&fix->s.ops_filters);
	fix->s.action = DAMOS_STAT;
	test->priv = fix;
	fix->ctx = damon_new_ctx();
	KUNIT_ASSERT_NOT_NULL(test, fix->ctx);
	return 0;
}

static void fini(struct kunit *test)
{
	struct fixture *fix = test->priv;

	if (!fix)
		return;
	clear_filters(&fix->s);
	if (fix->ctx)
		damon_destroy_ctx(fix->ctx);
}

static struct damos_filter *add(struct kunit *test, enum damos_filter_type type,
				bool matching, bool allow)
{
	struct fixture *fix = test->priv;
	struct damos_filter *f = damos_new_filter(type, matching, allow);

	KUNIT_ASSERT_NOT_NULL(test, f);
	damos_add_filter(&fix->s, f);
	return f;
}

static void add_addr(struct kunit *test, unsigned long start, unsigned long end,
		     bool matching, bool allow)
{
	struct damos_filter *f = add(test, DAMOS_FILTER_TYPE_ADDR, matching, allow);

	f->addr_range.start = start;
	f->addr_range.end = end;
}

static void add_target_filter(struct kunit *test, int idx, bool matching, bool allow)
{
	add(test, DAMOS_FILTER_TYPE_TARGET, matching, allow)->target_idx = idx;
}

static void expect(struct kunit *test, unsigned int target, unsigned long start,
		   unsigned long end, enum damos_verdict verdict, unsigned long until,
		   int line)
{
	const struct damon_addr_range range = { start << PAGE_SHIFT, end << PAGE_SHIFT };
	struct fixture *fix = test->priv;
	unsigned long at = 0;

	KUNIT_EXPECT_EQ_MSG(test, verdict,
			    damos_core_verdict(fix->ctx, target, &fix->s, &range, &at),
			    "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, until << PAGE_SHIFT, at, "line %d", line);
}

#define EXPECT(...)	expect(test, __VA_ARGS__, __LINE__)

static void no_filter(struct kunit *test)
{
	EXPECT(0, 3, 9, DAMOS_PASS, 9);
}

static void only_of_operations(struct kunit *test)
{
	add(test, DAMOS_FILTER_TYPE_ANON, true, true);
	EXPECT(0, 3, 9, DAMOS_ASK_OPS, 9);
}

static void keep_addresses_out(struct kunit *test)
{
	add_addr(test, 4 * PAGE_SIZE, 6 * PAGE_SIZE, true, false);
	EXPECT(0, 1, 9, DAMOS_PASS, 4);
	EXPECT(0, 4, 9, DAMOS_REJECT, 6);
	EXPECT(0, 5, 6, DAMOS_REJECT, 6);
	EXPECT(0, 6, 9, DAMOS_PASS, 9);
	EXPECT(0, 1, 3, DAMOS_PASS, 3);
}

static void let_addresses_through(struct kunit *test)
{
	add_addr(test, 4 * PAGE_SIZE, 6 * PAGE_SIZE, true, true);
	EXPECT(0, 1, 9, DAMOS_REJECT, 4);
	EXPECT(0, 4, 9, DAMOS_PASS, 6);
	EXPECT(0, 6, 9, DAMOS_REJECT, 9);
}

static void for_what_does_not_match(struct kunit *test)
{
	add_addr(test, 4 * PAGE_SIZE, 6 * PAGE_SIZE, false, false);
	EXPECT(0, 1, 9, DAMOS_REJECT, 4);
	EXPECT(0, 4, 9, DAMOS_PASS, 6);
	EXPECT(0, 6, 9, DAMOS_REJECT, 9);
}

static void the_first_decides(struct kunit *test)
{
	add_addr(test, 4 * PAGE_SIZE, 6 * PAGE_SIZE, true, true);
	add_addr(test, 2 * PAGE_SIZE, 8 * PAGE_SIZE, true, false);
	EXPECT(0, 0, 9, DAMOS_PASS, 2);
	EXPECT(0, 2, 9, DAMOS_REJECT, 4);
	EXPECT(0, 4, 9, DAMOS_PASS, 6);
	EXPECT(0, 6, 9, DAMOS_REJECT, 8);
	EXPECT(0, 8, 9, DAMOS_PASS, 9);
}

/* Edges at which nothing changes are none. */
static void no_needless_edges(struct kunit *test)
{
	add_addr(test, 4 * PAGE_SIZE, 6 * PAGE_SIZE, true, false);
	add_addr(test, 5 * PAGE_SIZE, 7 * PAGE_SIZE, true, false);
	add_addr(test, 7 * PAGE_SIZE, 8 * PAGE_SIZE, true, false);
	EXPECT(0, 4, 9, DAMOS_REJECT, 8);
}

/* What the operations have to say comes last, and the last filter is theirs. */
static void core_first(struct kunit *test)
{
	add(test, DAMOS_FILTER_TYPE_ANON, true, false);
	add_addr(test, 4 * PAGE_SIZE, 6 * PAGE_SIZE, true, true);
	EXPECT(0, 4, 9, DAMOS_PASS, 6);
	EXPECT(0, 6, 9, DAMOS_ASK_OPS, 9);
}

static void targets(struct kunit *test)
{
	add_target_filter(test, 1, true, false);
	EXPECT(0, 1, 9, DAMOS_PASS, 9);
	EXPECT(1, 1, 9, DAMOS_REJECT, 9);
	clear_filters(&((struct fixture *)test->priv)->s);
	add_target_filter(test, 0, true, true);
	EXPECT(0, 1, 9, DAMOS_PASS, 9);
	EXPECT(1, 1, 9, DAMOS_REJECT, 9);
	clear_filters(&((struct fixture *)test->priv)->s);
	/* There is no such target. */
	add_target_filter(test, 2, false, false);
	EXPECT(1, 1, 9, DAMOS_REJECT, 9);
}

static void any_numbers(struct kunit *test)
{
	add_addr(test, 4 * PAGE_SIZE + 1, 5 * PAGE_SIZE + 1, true, false);
	EXPECT(0, 1, 9, DAMOS_PASS, 4);
	EXPECT(0, 4, 9, DAMOS_REJECT, 6);
	clear_filters(&((struct fixture *)test->priv)->s);
	add_addr(test, 4 * PAGE_SIZE, ULONG_MAX, true, false);
	EXPECT(0, 4, 9, DAMOS_REJECT, 9);
}

/* With addresses in units of many bytes, pages have other numbers. */
static void units(struct kunit *test)
{
	const struct damon_addr_range range = { 0, 8 };
	struct fixture *fix = test->priv;
	unsigned long end;

	fix->ctx->addr_unit = PAGE_SIZE;
	add_addr(test, 3, 5, true, false);
	KUNIT_EXPECT_EQ(test, DAMOS_PASS,
			damos_core_verdict(fix->ctx, 0, &fix->s, &range, &end));
	KUNIT_EXPECT_EQ(test, end, 3);
}

/* What one page gets, by the words of the documentation. */
static enum damos_verdict verdict_of_page(struct fixture *fix, unsigned int target,
					  unsigned long page)
{
	unsigned long addr = page << PAGE_SHIFT;
	struct damos_filter *f;

	damos_for_each_core_filter(f, &fix->s) {
		bool is = f->type == DAMOS_FILTER_TYPE_TARGET ?
			  f->target_idx == target :
			  addr >= f->addr_range.start && addr < f->addr_range.end;

		if (is == f->matching)
			return f->allow ? DAMOS_PASS : DAMOS_REJECT;
	}
	if (!list_empty(&fix->s.ops_filters))
		return DAMOS_ASK_OPS;
	if (list_empty(&fix->s.core_filters))
		return DAMOS_PASS;
	f = list_last_entry(&fix->s.core_filters, struct damos_filter, list);
	return f->allow ? DAMOS_REJECT : DAMOS_PASS;
}

static void check_all_pages(struct kunit *test, unsigned int target)
{
	struct fixture *fix = test->priv;
	struct damon_addr_range range = { 0, NR_PAGES << PAGE_SHIFT };
	enum damos_verdict before = -1;
	unsigned long end, page;

	while (range.start < range.end) {
		enum damos_verdict verdict =
			damos_core_verdict(fix->ctx, target, &fix->s, &range, &end);

		KUNIT_ASSERT_GT(test, end, range.start);
		KUNIT_ASSERT_LE(test, end, range.end);
		KUNIT_EXPECT_NE(test, verdict, before);
		for (page = range.start >> PAGE_SHIFT; page < end >> PAGE_SHIFT; page++)
			KUNIT_EXPECT_EQ(test, verdict, verdict_of_page(fix, target, page));
		before = verdict;
		range.start = end;
	}
}

static void random_filters(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct rnd_state rnd;
	unsigned int round, i;

	prandom_seed_state(&rnd, 20240612);
	for (round = 0; round < 400; round++) {
		unsigned int nr = prandom_u32_state(&rnd) % 6;

		for (i = 0; i < nr; i++) {
			u32 bits = prandom_u32_state(&rnd);
			unsigned long start = (bits >> 8) % NR_PAGES;
			unsigned long len = 1 + (bits >> 16) % NR_PAGES;

			if (bits % 5 == 0)
				add_target_filter(test, (bits >> 8) % 3, bits & 16, bits & 32);
			else
				add_addr(test, start << PAGE_SHIFT, (start + len) << PAGE_SHIFT,
					 bits & 16, bits & 32);
		}
		if (prandom_u32_state(&rnd) % 4 == 0)
			add(test, DAMOS_FILTER_TYPE_ANON, true, false);
		check_all_pages(test, 0);
		check_all_pages(test, 1);
		clear_filters(&fix->s);
	}
}

static int check(struct kunit *test)
{
	struct fixture *fix = test->priv;
	int err = damos_check_filters(fix->ctx, &fix->s);

	clear_filters(&fix->s);
	return err;
}

static void refused(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct damos_filter *f;

	fix->ctx->ops.filters = BIT(DAMOS_FILTER_TYPE_ANON) |
				BIT(DAMOS_FILTER_TYPE_HUGEPAGE_SIZE);
	fix->ctx->ops.page_actions = BIT(DAMOS_STAT) | BIT(DAMOS_PAGEOUT);
	KUNIT_EXPECT_EQ(test, 0, check(test));

	add_addr(test, 1, 2, true, false);
	add_target_filter(test, 0, true, false);
	add(test, DAMOS_FILTER_TYPE_ANON, true, false);
	KUNIT_EXPECT_EQ(test, 0, check(test));

	add_addr(test, 2, 2, true, false);
	KUNIT_EXPECT_EQ(test, -EINVAL, check(test));
	add_addr(test, 2, 1, true, false);
	KUNIT_EXPECT_EQ(test, -EINVAL, check(test));
	add_target_filter(test, -1, true, false);
	KUNIT_EXPECT_EQ(test, -EINVAL, check(test));

	f = add(test, DAMOS_FILTER_TYPE_HUGEPAGE_SIZE, true, false);
	f->sz_range.min = PAGE_SIZE;
	f->sz_range.max = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, 0, check(test));
	f = add(test, DAMOS_FILTER_TYPE_HUGEPAGE_SIZE, true, false);
	f->sz_range.min = PAGE_SIZE + 1;
	f->sz_range.max = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, -EINVAL, check(test));

	/* The operations cannot do it. */
	add(test, DAMOS_FILTER_TYPE_YOUNG, true, false);
	KUNIT_EXPECT_EQ(test, -EINVAL, check(test));

	/* The action is not done by pages; addresses can be told apart all the same. */
	fix->s.action = DAMOS_COLD;
	add(test, DAMOS_FILTER_TYPE_ANON, true, false);
	KUNIT_EXPECT_EQ(test, -EINVAL, check(test));
	add_addr(test, 1, 2, true, false);
	KUNIT_EXPECT_EQ(test, 0, check(test));
	fix->s.action = DAMOS_PAGEOUT;
	add(test, DAMOS_FILTER_TYPE_ANON, true, false);
	KUNIT_EXPECT_EQ(test, 0, check(test));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(no_filter),
	KUNIT_CASE(only_of_operations),
	KUNIT_CASE(keep_addresses_out),
	KUNIT_CASE(let_addresses_through),
	KUNIT_CASE(for_what_does_not_match),
	KUNIT_CASE(the_first_decides),
	KUNIT_CASE(no_needless_edges),
	KUNIT_CASE(core_first),
	KUNIT_CASE(targets),
	KUNIT_CASE(any_numbers),
	KUNIT_CASE(units),
	KUNIT_CASE(random_filters),
	KUNIT_CASE(refused),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-filters",
	.init = init,
	.exit = fini,
	.test_cases = cases,
};

kunit_test_suite(suite);
