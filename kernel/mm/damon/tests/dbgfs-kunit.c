// SPDX-License-Identifier: GPL-2.0
/* The debugfs interface's text: what it takes, what it refuses, what it tells. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "../dbgfs.h"

#define SCHEME		"4096 8192 0 5 10 20 2 10 1024 1000 0 0 100 1 5000000 600 500 300"
#define ANOTHER		"0 18446744073709551615 0 4294967295 0 1 5 0 0 0 1 2 3 0 0 0 0 0"
#define NOTHING_YET	" 0 0 0 0 0\n"

struct fixture {
	struct damon_ctx *ctx;
	char text[1024];
	char told[1024];
};

typedef int (*reader)(struct damon_ctx *ctx, char *text);
typedef void (*teller)(struct seq_file *m, const struct damon_ctx *ctx);

static int init(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fix);
	fix->ctx = damon_new_ctx();
	KUNIT_ASSERT_NOT_NULL(test, fix->ctx);
	test->priv = fix;
	return 0;
}

static void exit_test(struct kunit *test)
{
	struct fixture *fix = test->priv;

	if (fix)
		damon_destroy_ctx(fix->ctx);
}

static int read_text(struct kunit *test, reader read, const char *text)
{
	struct fixture *fix = test->priv;

	KUNIT_ASSERT_GT(test, strscpy(fix->text, text), -1);
	return read(fix->ctx, fix->text);
}

static const char *tell(struct kunit *test, teller show)
{
	struct fixture *fix = test->priv;
	struct seq_file m = { .buf = fix->told, .size = sizeof(fix->told) };

	show(&m, fix->ctx);
	KUNIT_ASSERT_FALSE(test, seq_has_overflowed(&m));
	fix->told[m.count] = '\0';
	return fix->told;
}

struct row {
	const char *text;
	int err;
	const char *told;	/* NULL: what was told before */
};

static void check_rows(struct kunit *test, reader read, teller show,
		       const struct row *rows, int nr)
{
	const char *before = kunit_kstrdup(test, tell(test, show), GFP_KERNEL);
	int i;

	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ_MSG(test, rows[i].err, read_text(test, read, rows[i].text),
				    "%s", rows[i].text);
		if (rows[i].told)
			before = rows[i].told;
		KUNIT_EXPECT_STREQ_MSG(test, before, tell(test, show), "%s", rows[i].text);
	}
}

static void attrs(struct kunit *test)
{
	static const struct row rows[] = {
		{ "", -EINVAL, "5000 100000 60000000 10 1000\n" },
		{ "1 2 3 4 5", 0, "1 2 3 4 5\n" },
		{ "\t10\n20\n\n 30  40\v50\f\n", 0, "10 20 30 40 50\n" },
		{ "0 0 0 3 3", 0, "0 0 0 3 3\n" },
		{ "010 0100 18446744073709551615 3 3", 0, "10 100 18446744073709551615 3 3\n" },
		{ "1 2 3 4", -EINVAL },
		{ "1 2 3 4 5 6", -EINVAL },
		{ "1 2 3 4 x", -EINVAL },
		{ "1 2 3 4 5x", -EINVAL },
		{ "1 2 3 4 5.0", -EINVAL },
		{ "0x1 2 3 4 5", -EINVAL },
		{ "1,2,3,4,5", -EINVAL },
		{ "-1 2 3 4 5", -EINVAL },
		{ "1 2 18446744073709551616 4 5", -ERANGE },
		{ "1 2 3\xa0 4 5", -EINVAL },
		{ "\n ", -EINVAL },
		/* What damon_set_attrs() does not want */
		{ "1 2 3 2 5", -EINVAL },
		{ "1 2 3 5 4", -EINVAL },
		{ "2 1 3 4 5", -EINVAL },
	};

	check_rows(test, damon_dbgfs_read_attrs, damon_dbgfs_show_attrs,
		   rows, ARRAY_SIZE(rows));
}

static void init_regions(struct kunit *test)
{
	static const struct row rows[] = {
		{ "", 0, "" },
		{ "0 1 100 0 100 200\n1 20 40\n1 50 100", 0,
		  "0 1 100\n0 100 200\n1 20 40\n1 50 100\n" },
		/* Of each target they are in order; that of targets is free. */
		{ "1 20 40 0 1 100 1 50 100 0 100 200", 0,
		  "0 1 100\n0 100 200\n1 20 40\n1 50 100\n" },
		{ "1 0 18446744073709551615", 0, "1 0 18446744073709551615\n" },
		{ "0 1 2 2 3 4", -EINVAL },
		{ "-1 1 2", -EINVAL },
		{ "0 1", -EINVAL },
		{ "0 1 2 0", -EINVAL },
		{ "0 1 x", -EINVAL },
		{ "0 2 2", -EINVAL },
		{ "0 3 2", -EINVAL },
		{ "1 1 100 0 1 100 0 99 200", -EINVAL },
		{ "0 100 200 0 1 50", -EINVAL },
		{ "0 1 18446744073709551616", -ERANGE },
		{ "18446744073709551615 1 2", -EINVAL },
		{ "\n ", 0, "" },
	};
	struct fixture *fix = test->priv;
	int i;

	for (i = 0; i < 2; i++) {
		struct damon_target *t = damon_new_target();

		KUNIT_ASSERT_NOT_NULL(test, t);
		damon_add_target(fix->ctx, t);
	}
	check_rows(test, damon_dbgfs_read_init_regions, damon_dbgfs_show_init_regions,
		   rows, ARRAY_SIZE(rows));
	KUNIT_EXPECT_EQ(test, list_count_nodes(&fix->ctx->adaptive_targets), 2);
}

static void init_regions_without_targets(struct kunit *test)
{
	static const struct row rows[] = {
		{ "", 0, "" },
		{ "0 1 2", -EINVAL },
	};

	check_rows(test, damon_dbgfs_read_init_regions, damon_dbgfs_show_init_regions,
		   rows, ARRAY_SIZE(rows));
}

static void schemes(struct kunit *test)
{
	static const struct row rows[] = {
		{ "", 0, "" },
		{ SCHEME, 0, SCHEME NOTHING_YET },
		{ ANOTHER "\n\n" SCHEME "\n", 0, ANOTHER NOTHING_YET SCHEME NOTHING_YET },
		{ ANOTHER " " ANOTHER, 0, ANOTHER NOTHING_YET ANOTHER NOTHING_YET },
		{ SCHEME " 1", -EINVAL },
		{ SCHEME "\n4096 8192 0 5 10 20 2", -EINVAL },
		{ "0 0 0 0 0 0 stat 0 0 0 0 0 0 0 0 0 0 0", -EINVAL },
		{ "0 0 0 0 0 0 6 0 0 0 0 0 0 0 0 0 0 0", -EINVAL },
		{ "0 0 0 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0", -EINVAL },
		{ "0 0 0 0 0 0 5 0 0 0 0 0 0 2 0 0 0 0", -EINVAL },
		{ "0 0 0 0 0 0 5 0 0 0 4294967296 0 0 0 0 0 0 0", -ERANGE },
		{ "0 0 0 0 0 0 5 0 0 0 0 0 4294967296 0 0 0 0 0", -ERANGE },
		/* After a good one: nothing comes of that either. */
		{ SCHEME " 1 0 0 0 0 0 5 0 0 0 0 0 0 0 0 0 0 0", -EINVAL },
		{ SCHEME " 0 0 1 0 0 0 5 0 0 0 0 0 0 0 0 0 0 0", -EINVAL },
		{ SCHEME " 0 0 0 0 1 0 5 0 0 0 0 0 0 0 0 0 0 0", -EINVAL },
		{ SCHEME " 0 0 0 0 0 0 5 0 0 0 0 0 0 1 0 1 2 0", -EINVAL },
		{ SCHEME " 0 0 0 0 0 0 5 0 0 0 0 0 0 1 0 2 1 2", -EINVAL },
		{ "0 0 0 4294967296 9 18446744073709551615 5 0 0 0 0 0 0 0 0 0 0 0", 0,
		  "0 0 0 4294967295 9 4294967295 5 0 0 0 0 0 0 0 0 0 0 0" NOTHING_YET },
		{ " ", 0, "" },
	};

	check_rows(test, damon_dbgfs_read_schemes, damon_dbgfs_show_schemes,
		   rows, ARRAY_SIZE(rows));
}

/* Each number of a scheme is the one that it should be. */
static void scheme_columns(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct damos *s;

	KUNIT_ASSERT_EQ(test, 0,
			read_text(test, damon_dbgfs_read_schemes,
				  "1 2 3 4 5 6 4 7 8 9 10 11 12 1 13 16 15 14"));
	s = list_first_entry(&fix->ctx->schemes, struct damos, list);
	KUNIT_EXPECT_EQ(test, s->pattern.min_sz_region, 1);
	KUNIT_EXPECT_EQ(test, s->pattern.max_sz_region, 2);
	KUNIT_EXPECT_EQ(test, s->pattern.min_nr_accesses, 3);
	KUNIT_EXPECT_EQ(test, s->pattern.max_nr_accesses, 4);
	KUNIT_EXPECT_EQ(test, s->pattern.min_age_region, 5);
	KUNIT_EXPECT_EQ(test, s->pattern.max_age_region, 6);
	KUNIT_EXPECT_EQ(test, s->action, DAMOS_NOHUGEPAGE);
	KUNIT_EXPECT_EQ(test, s->quota.ms, 7);
	KUNIT_EXPECT_EQ(test, s->quota.sz, 8);
	KUNIT_EXPECT_EQ(test, s->quota.reset_interval, 9);
	KUNIT_EXPECT_EQ(test, s->quota.weight_sz, 10);
	KUNIT_EXPECT_EQ(test, s->quota.weight_nr_accesses, 11);
	KUNIT_EXPECT_EQ(test, s->quota.weight_age, 12);
	KUNIT_EXPECT_EQ(test, s->wmarks.metric, DAMOS_WMARK_FREE_MEM_RATE);
	KUNIT_EXPECT_EQ(test, s->wmarks.interval, 13);
	KUNIT_EXPECT_EQ(test, s->wmarks.high, 16);
	KUNIT_EXPECT_EQ(test, s->wmarks.mid, 15);
	KUNIT_EXPECT_EQ(test, s->wmarks.low, 14);

	s->stat = (struct damos_stat){ .nr_tried = 1, .sz_tried = 2, .nr_applied = 3,
				       .sz_applied = 4, .qt_exceeds = 5 };
	KUNIT_EXPECT_STREQ(test, tell(test, damon_dbgfs_show_schemes),
			   "1 2 3 4 5 6 4 7 8 9 10 11 12 1 13 16 15 14 1 2 3 4 5\n");
}

static void actions_by_number(struct kunit *test)
{
	static const enum damos_action expected[] = {
		DAMOS_WILLNEED, DAMOS_COLD, DAMOS_PAGEOUT, DAMOS_HUGEPAGE,
		DAMOS_NOHUGEPAGE, DAMOS_STAT,
	};
	struct fixture *fix = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		char text[] = "0 0 0 0 0 0 # 0 0 0 0 0 0 0 0 0 0 0";
		struct damos *s;

		*strchr(text, '#') = '0' + i;
		KUNIT_ASSERT_EQ(test, 0, read_text(test, damon_dbgfs_read_schemes, text));
		s = list_first_entry(&fix->ctx->schemes, struct damos, list);
		KUNIT_EXPECT_EQ(test, s->action, expected[i]);
	}
}

static void too_many_schemes(struct kunit *test)
{
	static const char one[] = "0 0 0 0 0 0 5 0 0 0 0 0 0 0 0 0 0 0\n";
	const int most = DAMON_DBGFS_MAX_SCHEMES;
	struct fixture *fix = test->priv;
	char *text = kunit_kzalloc(test, sizeof(one) * (most + 1), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, text);
	for (i = 0; i < most + 1; i++)
		memcpy(text + i * strlen(one), one, strlen(one));
	KUNIT_EXPECT_EQ(test, -E2BIG, damon_dbgfs_read_schemes(fix->ctx, text));
	KUNIT_EXPECT_TRUE(test, list_empty(&fix->ctx->schemes));
	text[most * strlen(one)] = '\0';
	KUNIT_EXPECT_EQ(test, 0, damon_dbgfs_read_schemes(fix->ctx, text));
	KUNIT_EXPECT_EQ(test, list_count_nodes(&fix->ctx->schemes), most);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(attrs),
	KUNIT_CASE(init_regions),
	KUNIT_CASE(init_regions_without_targets),
	KUNIT_CASE(schemes),
	KUNIT_CASE(scheme_columns),
	KUNIT_CASE(actions_by_number),
	KUNIT_CASE(too_many_schemes),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-dbgfs",
	.init = init,
	.exit = exit_test,
	.test_cases = cases,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of DAMON's debugfs interface");
MODULE_LICENSE("GPL");
