// SPDX-License-Identifier: GPL-2.0
/* Accessed bits of secondary MMUs, such as those that virtual machines have. */

#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/page_idle.h>
#include <linux/sched/mm.h>

#include "../ops-common.h"

/* As a huge page that the secondary MMU maps by small ones. */
#define PAGES	512UL
#define START	(PAGES << PAGE_SHIFT)
#define END	(START + (PAGES << PAGE_SHIFT))

struct fixture {
	struct mmu_notifier mmu;
	struct folio *folio;
	DECLARE_BITMAP(young, PAGES);
};

static struct fixture *fixture_of(struct mmu_notifier *mmu)
{
	return container_of(mmu, struct fixture, mmu);
}

static int clear_young(struct mmu_notifier *mmu, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	unsigned long first = PHYS_PFN(start - START), nr = PHYS_PFN(end - start);
	struct fixture *fix = fixture_of(mmu);
	bool young = find_next_bit(fix->young, first + nr, first) < first + nr;

	bitmap_clear(fix->young, first, nr);
	return young;
}

static int test_young(struct mmu_notifier *mmu, struct mm_struct *mm, unsigned long addr)
{
	return test_bit(PHYS_PFN(addr - START), fixture_of(mmu)->young);
}

static const struct mmu_notifier_ops mmu_ops = {
	.clear_young = clear_young,
	.test_young = test_young,
};

static int begin_test(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);
	struct mm_struct *mm = mm_alloc();
	int err;

	KUNIT_ASSERT_NOT_NULL(test, fix);
	KUNIT_ASSERT_NOT_NULL(test, mm);
	fix->folio = folio_alloc(GFP_KERNEL, 0);
	fix->mmu.ops = &mmu_ops;
	err = fix->folio ? mmu_notifier_register(&fix->mmu, mm) : -ENOMEM;
	if (err) {
		if (fix->folio)
			folio_put(fix->folio);
		mmput(mm);
		return err;
	}
	folio_set_idle(fix->folio);
	test->priv = fix;
	return 0;
}

static void end_test(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct mm_struct *mm;

	if (!fix)
		return;
	mm = fix->mmu.mm;
	mmu_notifier_unregister(&fix->mmu, mm);
	mmput(mm);
	folio_put(fix->folio);
}

/* Wherever in a huge page the access was, it is seen, and by all who look. */
static void access_anywhere_in_a_huge_page(struct kunit *test)
{
	static const unsigned long pages[] = { 0, 1, 300, PAGES - 1 };
	struct fixture *fix = test->priv;
	struct mm_struct *mm = fix->mmu.mm;
	unsigned int i;

	KUNIT_EXPECT_FALSE(test, damon_mmu_young(mm, fix->folio, START, END));
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		folio_set_idle(fix->folio);
		folio_test_clear_young(fix->folio);
		__set_bit(pages[i], fix->young);
		KUNIT_EXPECT_TRUE(test, damon_mmu_young(mm, fix->folio, START, END));
		KUNIT_EXPECT_TRUE(test, folio_test_young(fix->folio));
		KUNIT_EXPECT_FALSE(test, folio_test_idle(fix->folio));
		damon_mmu_clear_young(mm, START, END);
		KUNIT_EXPECT_TRUE(test, bitmap_empty(fix->young, PAGES));
	}
}

/* Without a folio whose flags could tell others, nothing is cleared by looking. */
static void access_without_a_folio(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct mm_struct *mm = fix->mmu.mm;

	KUNIT_EXPECT_FALSE(test, damon_mmu_young(mm, NULL, START, END));
	__set_bit(300, fix->young);
	KUNIT_EXPECT_TRUE(test, damon_mmu_young(mm, NULL, START, END));
	KUNIT_EXPECT_TRUE(test, damon_mmu_young(mm, NULL, START, END));
}

/* Of a small page, its neighbours' accesses say nothing. */
static void access_of_a_small_page(struct kunit *test)
{
	unsigned long addr = START + 300 * PAGE_SIZE;
	struct fixture *fix = test->priv;
	struct mm_struct *mm = fix->mmu.mm;

	__set_bit(299, fix->young);
	__set_bit(301, fix->young);
	KUNIT_EXPECT_FALSE(test, damon_mmu_young(mm, fix->folio, addr, addr + PAGE_SIZE));
	__set_bit(300, fix->young);
	KUNIT_EXPECT_TRUE(test, damon_mmu_young(mm, fix->folio, addr, addr + PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, damon_mmu_clear_young(mm, addr, addr + PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, damon_mmu_young(mm, fix->folio, addr, addr + PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, test_bit(299, fix->young));
	KUNIT_EXPECT_TRUE(test, test_bit(301, fix->young));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(access_anywhere_in_a_huge_page),
	KUNIT_CASE(access_without_a_folio),
	KUNIT_CASE(access_of_a_small_page),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-young",
	.init = begin_test,
	.exit = end_test,
	.test_cases = cases,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of accessed bits of secondary MMUs");
MODULE_LICENSE("GPL");
