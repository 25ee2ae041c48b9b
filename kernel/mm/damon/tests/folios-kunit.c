// SPDX-License-Identifier: GPL-2.0
/* What schemes that go by pages make of a page's accessed bit: with a page of ours. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/page_idle.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "../actions.h"
#include "../ops-common.h"
#include "../schemes.h"

struct fixture {
	struct damon_ctx *ctx;
	struct damos *s;
	unsigned long addr;
	struct folio *folio;
};

/* As the processor does when a program uses the page; or others that undo that. */
static void set_accessed(struct kunit *test, bool accessed)
{
	struct fixture *fix = test->priv;
	spinlock_t *ptl;	/* of *pte */
	pte_t *pte;

	mmap_read_lock(current->mm);
	pte = get_locked_pte(current->mm, fix->addr, &ptl);
	if (pte) {
		pte_t entry = ptep_get(pte);

		set_pte_at(current->mm, fix->addr, pte,
			   accessed ? pte_mkyoung(entry) : pte_mkold(entry));
		pte_unmap_unlock(pte, ptl);
	}
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_NOT_NULL(test, pte);
}

/* A page that the test has mapped and used. */
static void map_page(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct page *page = NULL;
	char byte = 1;

	fix->addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, fix->addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(fix->addr));
	KUNIT_ASSERT_EQ(test, 0, copy_to_user((void __user *)fix->addr, &byte, 1));
	KUNIT_ASSERT_EQ(test, 1, get_user_pages_fast(fix->addr, 1, 0, &page));
	fix->folio = page_folio(page);
	lru_add_drain();
}

static struct damos *new_scheme(struct kunit *test, enum damos_action action)
{
	static const struct damos_access_pattern all = {
		.max_sz_region = ULONG_MAX,
		.max_nr_accesses = UINT_MAX,
		.max_age_region = UINT_MAX,
	};
	struct fixture *fix = test->priv;

	fix->s = damon_new_scheme(&all, action, 0, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_NULL(test, fix->s);
	damon_add_scheme(fix->ctx, fix->s);
	return fix->s;
}

static void add_filter(struct kunit *test, enum damos_filter_type type, bool allow)
{
	struct fixture *fix = test->priv;
	struct damos_filter *f = damos_new_filter(type, true, allow);

	KUNIT_ASSERT_NOT_NULL(test, f);
	damos_add_filter(fix->s, f);
}

/* Whether it would be acted on, if there were swap space, or a node to move it to. */
static bool passes(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct damon_addr_range range = {
		.start = PFN_PHYS(folio_pfn(fix->folio)),
		.end = PFN_PHYS(folio_pfn(fix->folio) + 1),
	};
	unsigned long passed = 0;

	damon_pa_apply_scheme(fix->ctx, NULL, &range, fix->s, &passed);
	KUNIT_EXPECT_TRUE(test, passed == 0 || passed == PAGE_SIZE);
	return passed;
}

static int begin_test(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fix);
	test->priv = fix;
	fix->ctx = damon_new_ctx();
	KUNIT_ASSERT_NOT_NULL(test, fix->ctx);
	KUNIT_ASSERT_EQ(test, 0, damon_select_ops(fix->ctx, DAMON_OPS_PADDR));
	map_page(test);
	return 0;
}

static void end_test(struct kunit *test)
{
	struct fixture *fix = test->priv;

	if (!fix)
		return;
	if (fix->folio)
		folio_put(fix->folio);
	if (fix->ctx)
		damon_destroy_ctx(fix->ctx);
}

/* A page that was accessed since the last look stays, though nobody asked for that. */
static void pageout_looks_once_more(struct kunit *test)
{
	new_scheme(test, DAMOS_PAGEOUT);
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
	set_accessed(test, true);
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
}

/* Likewise with filters, but not what these keep out anyway. */
static void pageout_looks_after_the_filters(struct kunit *test)
{
	struct fixture *fix = test->priv;

	new_scheme(test, DAMOS_PAGEOUT);
	add_filter(test, DAMOS_FILTER_TYPE_ANON, true);
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
	damon_destroy_scheme(fix->s);
	new_scheme(test, DAMOS_PAGEOUT);
	add_filter(test, DAMOS_FILTER_TYPE_ANON, false);
	set_accessed(test, true);
	folio_clear_idle(fix->folio);
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_FALSE(test, folio_test_idle(fix->folio));
}

/* Where core filters have decided, too. */
static void pageout_looks_at_what_the_core_passed(struct kunit *test)
{
	struct damos *s = new_scheme(test, DAMOS_PAGEOUT);

	add_filter(test, DAMOS_FILTER_TYPE_ANON, false);
	s->core_passed = true;
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
}

/* Whoever has a filter for that has said which pages are meant. */
static void pageout_goes_by_a_young_filter(struct kunit *test)
{
	new_scheme(test, DAMOS_PAGEOUT);
	add_filter(test, DAMOS_FILTER_TYPE_YOUNG, true);
	KUNIT_EXPECT_TRUE(test, passes(test));
	KUNIT_EXPECT_FALSE(test, passes(test));
	set_accessed(test, true);
	KUNIT_EXPECT_TRUE(test, passes(test));
}

/* Other actions are not harmful to what is accessed. */
static void others_do_not_look(struct kunit *test)
{
	struct fixture *fix = test->priv;

	new_scheme(test, DAMOS_STAT);
	folio_clear_idle(fix->folio);
	KUNIT_EXPECT_TRUE(test, passes(test));
	KUNIT_EXPECT_FALSE(test, folio_test_idle(fix->folio));
	damon_destroy_scheme(fix->s);
	new_scheme(test, DAMOS_LRU_DEPRIO);
	KUNIT_EXPECT_TRUE(test, passes(test));
}

#ifdef CONFIG_LRU_GEN
/* Move it to a generation that is so much older than the youngest. */
static void set_generation(struct folio *folio, unsigned int older)
{
	struct lruvec *lruvec = mem_cgroup_lruvec(NULL, folio_pgdat(folio));
	int gen = lru_gen_from_seq(READ_ONCE(lruvec->lrugen.max_seq) - older);

	set_mask_bits(&folio->flags, LRU_GEN_MASK, (gen + 1UL) << LRU_GEN_PGOFF);
}

/* What the walks of multi-generational LRU take for themselves was an access, too. */
static void promotion_is_an_access(struct kunit *test)
{
	struct fixture *fix = test->priv;

	if (!lru_gen_enabled())
		kunit_skip(test, "no multi-generational LRU");
	new_scheme(test, DAMOS_PAGEOUT);
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
	set_accessed(test, true);
	/* That is what they do, besides moving it to the youngest generation. */
	set_accessed(test, false);
	folio_clear_referenced(fix->folio);
	KUNIT_EXPECT_FALSE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
	KUNIT_EXPECT_TRUE(test, passes(test));
}

/* What has not been promoted for two generations was not accessed, however it got there. */
static void old_generations_are_idle(struct kunit *test)
{
	struct fixture *fix = test->priv;
	unsigned long flags;

	if (!lru_gen_enabled())
		kunit_skip(test, "no multi-generational LRU");
	new_scheme(test, DAMOS_PAGEOUT);
	KUNIT_EXPECT_FALSE(test, passes(test));
	flags = READ_ONCE(fix->folio->flags) & LRU_GEN_MASK;
	set_generation(fix->folio, 2);
	folio_clear_referenced(fix->folio);
	KUNIT_EXPECT_TRUE(test, passes(test));
	KUNIT_EXPECT_FALSE(test, folio_test_referenced(fix->folio));
	set_mask_bits(&fix->folio->flags, LRU_GEN_MASK, flags);
	KUNIT_EXPECT_FALSE(test, passes(test));
}

/* A filter of type active lets through what the kernel counts as active. */
static void active_generations(struct kunit *test)
{
	struct fixture *fix = test->priv;
	unsigned long flags;

	if (!lru_gen_enabled())
		kunit_skip(test, "no multi-generational LRU");
	new_scheme(test, DAMOS_STAT);
	add_filter(test, DAMOS_FILTER_TYPE_ACTIVE, true);
	flags = READ_ONCE(fix->folio->flags) & LRU_GEN_MASK;
	set_generation(fix->folio, 0);
	KUNIT_EXPECT_TRUE(test, passes(test));
	set_generation(fix->folio, 1);
	KUNIT_EXPECT_TRUE(test, passes(test));
	set_generation(fix->folio, 2);
	KUNIT_EXPECT_FALSE(test, passes(test));
	set_mask_bits(&fix->folio->flags, LRU_GEN_MASK, flags);
}
#endif

static struct kunit_case cases[] = {
	KUNIT_CASE(pageout_looks_once_more),
	KUNIT_CASE(pageout_looks_after_the_filters),
	KUNIT_CASE(pageout_looks_at_what_the_core_passed),
	KUNIT_CASE(pageout_goes_by_a_young_filter),
	KUNIT_CASE(others_do_not_look),
#ifdef CONFIG_LRU_GEN
	KUNIT_CASE(promotion_is_an_access),
	KUNIT_CASE(old_generations_are_idle),
	KUNIT_CASE(active_generations),
#endif
	{}
};

static struct kunit_suite suite = {
	.name = "damon-folios",
	.init = begin_test,
	.exit = end_test,
	.test_cases = cases,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of accessed bits of pages");
MODULE_LICENSE("GPL");
