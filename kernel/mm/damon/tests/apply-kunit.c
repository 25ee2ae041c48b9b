// SPDX-License-Identifier: GPL-2.0
/* What holds whenever a scheme is applied, for schemes and regions of all kinds. */

#include <kunit/test.h>
#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/prandom.h>

#include "../schemes.h"
#include "schemes-fake.h"

#define NR_WORLDS	300
#define NR_ROUNDS	8
#define MAX_TARGETS	3
#define MAX_PAGES	400U
#define RESET_MS	1000000UL

/* What the memory of a target is like, page by page. */
struct pages {
	unsigned int age[MAX_PAGES];
	bool covered[MAX_PAGES];
	bool wanted[MAX_PAGES];
	unsigned int done[MAX_PAGES];
};

struct world {
	struct kunit *test;
	struct damon_ctx *ctx;
	struct damos *s;
	struct rnd_state random;
	unsigned int seed;
	struct pages before[MAX_TARGETS];
	struct pages after[MAX_TARGETS];
};

static unsigned int below(struct world *w, unsigned int limit)
{
	return prandom_u32_state(&w->random) % limit;
}

static void make_target(struct world *w)
{
	struct damon_target *t = fake_target(w->test, w->ctx);
	unsigned int page = below(w, 5), nr = below(w, 12);

	while (nr-- && page + 31 < MAX_PAGES) {
		unsigned int end = page + 1 + below(w, 30);

		fake_region(w->test, t, page, end, below(w, 3), below(w, 4) * 300);
		page = end + (below(w, 4) ? 0 : below(w, 10));
	}
}

static void make_scheme(struct world *w)
{
	struct damos *s = fake_scheme(w->test, w->ctx, below(w, 4) ? DAMOS_PAGEOUT :
								     DAMOS_STAT);
	unsigned int nr = below(w, 4);

	w->s = s;
	s->pattern.max_nr_accesses = below(w, 3);
	s->pattern.min_age_region = below(w, 2) * 300;
	while (nr--) {
		unsigned int start = below(w, MAX_PAGES);

		fake_filter(w->test, s, start, start + 1 + below(w, 100), below(w, 4),
			    below(w, 2));
	}
	s->quota.reset_interval = RESET_MS;
	if (below(w, 3))
		s->quota.sz = below(w, 300) * PAGE_SIZE + below(w, 2);
	if (below(w, 2)) {
		s->quota.weight_sz = below(w, 3);
		s->quota.weight_nr_accesses = below(w, 3);
		s->quota.weight_age = below(w, 3);
	}
}

static void make_world(struct world *w, unsigned int seed)
{
	unsigned int nr_regions = 0, nr;
	struct damon_target *t;

	w->seed = seed;
	prandom_seed_state(&w->random, seed);
	for (nr = 1 + below(w, MAX_TARGETS); nr; nr--)
		make_target(w);
	damon_for_each_target(t, w->ctx)
		nr_regions += t->nr_regions;
	w->ctx->attrs.max_nr_regions = max(nr_regions, 3U) + below(w, 20);
	make_scheme(w);
}

static void end_world(struct world *w)
{
	struct damon_target *t, *next;

	damon_destroy_scheme(w->s);
	damon_for_each_target_safe(t, next, w->ctx)
		damon_destroy_target(t);
}

static void expect(struct world *w, bool wanted, int line)
{
	KUNIT_EXPECT_TRUE_MSG(w->test, wanted, "line %d, seed %u", line, w->seed);
}

#define EXPECT(w, wanted)	expect(w, wanted, __LINE__)

/* Note the pages of all targets; returns how many of them the scheme is for. */
static unsigned long note_pages(struct world *w, struct pages *pages)
{
	unsigned long nr_regions = 0, wanted = 0, target_idx = 0;
	struct damon_target *t;
	struct damon_region *r;

	damon_for_each_target(t, w->ctx) {
		unsigned long last_end = 0;

		memset(pages, 0, sizeof(*pages));
		damon_for_each_region(r, t) {
			struct damon_addr_range range = r->ar;

			EXPECT(w, r->ar.start < r->ar.end && r->ar.start >= last_end);
			EXPECT(w, PAGE_ALIGNED(r->ar.start) && PAGE_ALIGNED(r->ar.end));
			last_end = r->ar.end;
			nr_regions++;
			for (; range.start < r->ar.end; range.start += PAGE_SIZE) {
				unsigned long page = range.start >> PAGE_SHIFT;
				unsigned long end = r->ar.end;

				pages->age[page] = r->age;
				pages->covered[page] = true;
				pages->wanted[page] = damos_matches(w->ctx, w->s, r) &&
					damos_core_verdict(w->ctx, target_idx, w->s,
							   &range, &end) != DAMOS_REJECT;
				wanted += pages->wanted[page];
			}
		}
		target_idx++;
		pages++;
	}
	EXPECT(w, nr_regions <= w->ctx->attrs.max_nr_regions);
	return wanted;
}

static void note_tried(void *data, struct damon_ctx *ctx, struct damon_target *t,
		       struct damon_region *r, struct damos *s, unsigned long sz_passed)
{
	struct world *w = data;
	struct pages *pages = w->before;
	struct damon_target *each;
	unsigned long page;

	damon_for_each_target(each, ctx) {
		if (each == t)
			break;
		pages++;
	}
	EXPECT(w, sz_passed == damon_sz_region(r));
	for (page = r->ar.start >> PAGE_SHIFT; page < r->ar.end >> PAGE_SHIFT; page++)
		pages->done[page]++;
}

/* Only what is wanted, each page once, no other page's age changed, none lost. */
static unsigned long check_pages(struct world *w)
{
	unsigned long done = 0, i, page;

	for (i = 0; i < MAX_TARGETS; i++) {
		const struct pages *before = &w->before[i], *after = &w->after[i];

		for (page = 0; page < MAX_PAGES; page++) {
			EXPECT(w, before->covered[page] == after->covered[page]);
			EXPECT(w, before->done[page] <= before->wanted[page]);
			done += before->done[page];
			if (before->age[page] == after->age[page])
				continue;
			EXPECT(w, before->done[page] && !after->age[page]);
			EXPECT(w, w->s->action != DAMOS_STAT);
		}
	}
	return done;
}

static void apply_once(struct world *w)
{
	struct damos_walk_control walk = { .walk_fn = note_tried, .data = w, .begun = true };
	struct damos_quota *quota = &w->s->quota;
	unsigned long used = quota->charged_sz;
	bool may_cut = below(w, 3), fresh = below(w, 2) || !quota->started;
	unsigned long wanted, done, left;

	memset(w->before, 0, sizeof(w->before));
	memset(w->after, 0, sizeof(w->after));
	wanted = note_pages(w, w->before);
	if (fresh) {
		quota->window_start -= RESET_MS * NSEC_PER_MSEC;
		used = 0;
	}
	left = quota->sz ? (quota->sz - used) >> PAGE_SHIFT : ULONG_MAX;
	w->ctx->walk = &walk;
	EXPECT(w, damos_apply(w->ctx, w->s, 0, may_cut));
	w->ctx->walk = NULL;
	note_pages(w, w->after);
	done = check_pages(w);
	/* All that there is and that the quota lets through, to the page. */
	EXPECT(w, done == min(wanted, left));
}

static void applies_soundly(struct kunit *test)
{
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	unsigned int seed, round;

	KUNIT_ASSERT_NOT_NULL(test, w);
	w->test = test;
	w->ctx = fake_ctx(test);
	for (seed = 0; seed < NR_WORLDS; seed++) {
		make_world(w, seed);
		for (round = 0; round < NR_ROUNDS; round++)
			apply_once(w);
		end_world(w);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(applies_soundly),
	{}
};

static struct kunit_suite suite = {
	.name = "damon-apply",
	.test_cases = cases,
};

kunit_test_suite(suite);
