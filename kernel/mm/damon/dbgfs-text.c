// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's debugfs interface: contexts as text.
 *
 * But for one word it is numbers in decimal, with white space between them.  A text
 * that is not as it should be changes nothing; only target_ids is more tolerant.
 */

#include <linux/kernel.h>
#include <linux/numa.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dbgfs.h"
#include "schemes.h"

#define SPACES	" \t\n\v\f\r"

/* What target_ids says for physical memory: there was to be a number. */
#define PADDR_ID	42

/* The next word of a text, with its end marked; NULL where there is none. */
static char *next_word(char **text)
{
	char *word = *text + strspn(*text, SPACES);
	char *end = word + strcspn(word, SPACES);

	if (word == end)
		return NULL;
	*text = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

static unsigned int count_words(const char *text)
{
	unsigned int nr = 0;

	for (text += strspn(text, SPACES); *text; text += strspn(text, SPACES)) {
		text += strcspn(text, SPACES);
		nr++;
	}
	return nr;
}

/* The next words of a text, of which there are as many. */
static int next_numbers(char **text, unsigned long *numbers, unsigned int nr)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr && !err; i++)
		err = kstrtoul(next_word(text), 10, &numbers[i]);
	return err;
}

static void show_numbers(struct seq_file *m, const unsigned long *numbers, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		seq_printf(m, i ? " %lu" : "%lu", numbers[i]);
	seq_putc(m, '\n');
}

/**
 * damon_dbgfs_read_attrs() - say how to monitor
 * @ctx:	a context that no kdamond serves
 * @text:	sampling, aggregation and update interval, least and most regions
 *
 * Return: 0; -EINVAL or -ERANGE for a text that is something else, or attributes
 * that damon_set_attrs() refuses.
 */
int damon_dbgfs_read_attrs(struct damon_ctx *ctx, char *text)
{
	struct damon_attrs attrs = ctx->attrs;
	unsigned long numbers[5];
	int err;

	if (count_words(text) != ARRAY_SIZE(numbers))
		return -EINVAL;
	err = next_numbers(&text, numbers, ARRAY_SIZE(numbers));
	if (err)
		return err;
	attrs.sample_interval = numbers[0];
	attrs.aggr_interval = numbers[1];
	attrs.ops_update_interval = numbers[2];
	attrs.min_nr_regions = numbers[3];
	attrs.max_nr_regions = numbers[4];
	return damon_set_attrs(ctx, &attrs);
}

/**
 * damon_dbgfs_show_attrs() - tell how it is monitored
 * @m:		where to
 * @ctx:	a context
 */
void damon_dbgfs_show_attrs(struct seq_file *m, const struct damon_ctx *ctx)
{
	const unsigned long numbers[] = {
		ctx->attrs.sample_interval, ctx->attrs.aggr_interval,
		ctx->attrs.ops_update_interval,
		ctx->attrs.min_nr_regions, ctx->attrs.max_nr_regions,
	};

	show_numbers(m, numbers, ARRAY_SIZE(numbers));
}

static struct damon_target *add_target(struct list_head *targets, struct pid *pid)
{
	struct damon_target *t = damon_new_target();

	if (!t)
		return NULL;
	t->pid = get_pid(pid);
	list_add_tail(&t->list, targets);
	return t;
}

static void destroy_targets(struct list_head *targets)
{
	struct damon_target *t, *next;

	list_for_each_entry_safe(t, next, targets, list)
		damon_destroy_target(t);
}

/* Have a context have other targets. */
static void replace_targets(struct damon_ctx *ctx, struct list_head *targets)
{
	destroy_targets(&ctx->adaptive_targets);
	list_splice_init(targets, &ctx->adaptive_targets);
}

static int add_process(struct list_head *targets, int nr)
{
	struct damon_target *t;
	struct pid *pid;

	pid = find_get_pid(nr);
	if (!pid)
		return -ESRCH;
	t = add_target(targets, pid);
	put_pid(pid);
	return t ? 0 : -ENOMEM;
}

/* Users rely on what is no number not being an error: it ends the list. */
static int add_processes(struct list_head *targets, char *text)
{
	char *word;
	int err, nr;

	while ((word = next_word(&text))) {
		err = kstrtoint(word, 10, &nr);
		if (err)
			return err == -EINVAL ? 0 : err;
		err = add_process(targets, nr);
		if (err)
			return err;
	}
	return 0;
}

/**
 * damon_dbgfs_read_target_ids() - say what to monitor
 * @ctx:	a context that no kdamond serves
 * @text:	ids of processes, or "paddr"
 *
 * The context then has new targets, which have no regions.
 *
 * Return: 0; -ERANGE for a number that is too large; -ESRCH where there is no such
 * process; -E2BIG for too many; -ENOMEM.
 */
int damon_dbgfs_read_target_ids(struct damon_ctx *ctx, char *text)
{
	enum damon_ops_id id = DAMON_OPS_VADDR;
	LIST_HEAD(targets);
	int err;

	if (count_words(text) > DAMON_DBGFS_MAX_TARGETS)
		return -E2BIG;
	text = strim(text);
	if (!strcmp(text, "paddr")) {
		id = DAMON_OPS_PADDR;
		err = add_target(&targets, NULL) ? 0 : -ENOMEM;
	} else {
		err = add_processes(&targets, text);
	}
	if (!err)
		err = damon_select_ops(ctx, id);
	if (err)
		destroy_targets(&targets);
	else
		replace_targets(ctx, &targets);
	return err;
}

/**
 * damon_dbgfs_show_target_ids() - tell what is monitored
 * @m:		where to
 * @ctx:	a context
 * @ns:		the reader's
 */
void damon_dbgfs_show_target_ids(struct seq_file *m, const struct damon_ctx *ctx,
				 struct pid_namespace *ns)
{
	bool has_pid = damon_target_has_pid(ctx), first = true;
	struct damon_target *t;

	damon_for_each_target(t, ctx) {
		seq_printf(m, first ? "%d" : " %d",
			   has_pid ? pid_nr_ns(t->pid, ns) : PADDR_ID);
		first = false;
	}
	seq_putc(m, '\n');
}

/* A line of init_regions */
struct region_line {
	unsigned long target;
	struct damon_addr_range ar;
};

/* All of them, in the order of targets and otherwise in that of the text. */
struct region_lines {
	struct region_line *lines;
	unsigned int nr;
	struct damon_addr_range *sorted;
	unsigned int *ends;		/* by target, where its part of sorted ends */
	unsigned int nr_targets;
};

static int alloc_lines(struct region_lines *all)
{
	all->lines = kvmalloc_array(all->nr, sizeof(*all->lines), GFP_KERNEL);
	all->sorted = kvmalloc_array(all->nr, sizeof(*all->sorted), GFP_KERNEL);
	all->ends = kvcalloc(all->nr_targets, sizeof(*all->ends), GFP_KERNEL);
	return all->lines && all->sorted && all->ends ? 0 : -ENOMEM;
}

static void free_lines(struct region_lines *all)
{
	kvfree(all->lines);
	kvfree(all->sorted);
	kvfree(all->ends);
}

static int read_lines(struct region_lines *all, char *text)
{
	unsigned int i;

	for (i = 0; i < all->nr; i++) {
		unsigned long numbers[3];
		int err = next_numbers(&text, numbers, ARRAY_SIZE(numbers));

		if (err)
			return err;
		if (numbers[0] >= all->nr_targets)
			return -EINVAL;
		all->lines[i] = (struct region_line){
			.target = numbers[0],
			.ar = { .start = numbers[1], .end = numbers[2] },
		};
	}
	return 0;
}

static void sort_lines(struct region_lines *all)
{
	unsigned int i, sum = 0;

	for (i = 0; i < all->nr; i++)
		all->ends[all->lines[i].target]++;
	/* From how many there are to where they begin, and on to where they end. */
	for (i = 0; i < all->nr_targets; i++) {
		unsigned int nr = all->ends[i];

		all->ends[i] = sum;
		sum += nr;
	}
	for (i = 0; i < all->nr; i++)
		all->sorted[all->ends[all->lines[i].target]++] = all->lines[i].ar;
}

/* Targets like those of a context, but with these regions. */
static int make_targets(struct list_head *targets, struct damon_ctx *ctx,
			const struct region_lines *all)
{
	unsigned int i = 0, begin = 0;
	struct damon_target *t, *new;
	int err;

	damon_for_each_target(t, ctx) {
		unsigned int end = all->ends[i++];

		cond_resched();
		new = add_target(targets, t->pid);
		if (!new)
			return -ENOMEM;
		if (end == begin)
			continue;
		err = damon_set_regions(new, &all->sorted[begin], end - begin);
		if (err)
			return err;
		begin = end;
	}
	return 0;
}

/**
 * damon_dbgfs_read_init_regions() - say which addresses to begin with
 * @ctx:	a context that no kdamond serves
 * @text:	for each region number of the target, start and end
 *
 * All targets then have these regions, or none.
 *
 * Return: 0; -EINVAL or -ERANGE for a text that is something else, for a target
 * that there is not, and for regions that are empty or not in order; -E2BIG for too
 * many; -ENOMEM.
 */
int damon_dbgfs_read_init_regions(struct damon_ctx *ctx, char *text)
{
	unsigned int nr_words = count_words(text);
	struct region_lines all = {
		.nr = nr_words / 3,
		.nr_targets = list_count_nodes(&ctx->adaptive_targets),
	};
	LIST_HEAD(targets);
	int err;

	if (nr_words % 3)
		return -EINVAL;
	if (all.nr > DAMON_DBGFS_MAX_REGIONS)
		return -E2BIG;
	err = alloc_lines(&all);
	if (!err)
		err = read_lines(&all, text);
	if (!err) {
		sort_lines(&all);
		err = make_targets(&targets, ctx, &all);
	}
	free_lines(&all);
	if (err)
		destroy_targets(&targets);
	else
		replace_targets(ctx, &targets);
	return err;
}

/**
 * damon_dbgfs_show_init_regions() - tell which addresses it begins with
 * @m:		where to
 * @ctx:	a context that no kdamond serves
 */
void damon_dbgfs_show_init_regions(struct seq_file *m, const struct damon_ctx *ctx)
{
	unsigned int idx = 0;
	struct damon_target *t;
	struct damon_region *r;

	damon_for_each_target(t, ctx) {
		damon_for_each_region(r, t)
			seq_printf(m, "%u %lu %lu\n", idx, r->ar.start, r->ar.end);
		idx++;
	}
}

/* The numbers of a scheme, in their order */
enum column {
	MIN_SZ,
	MAX_SZ,
	MIN_ACCESSES,
	MAX_ACCESSES,
	MIN_AGE,
	MAX_AGE,
	ACTION,
	QUOTA_MS,
	QUOTA_SZ,
	RESET_INTERVAL,
	WEIGHT_SZ,
	WEIGHT_ACCESSES,
	WEIGHT_AGE,
	METRIC,
	INTERVAL,
	HIGH,
	MID,
	LOW,
	NR_COLUMNS,
};

/* Those that there are numbers for */
static const enum damos_action actions[] = {
	DAMOS_WILLNEED, DAMOS_COLD, DAMOS_PAGEOUT, DAMOS_HUGEPAGE, DAMOS_NOHUGEPAGE,
	DAMOS_STAT,
};

static const enum damos_wmark_metric metrics[] = {
	DAMOS_WMARK_NONE, DAMOS_WMARK_FREE_MEM_RATE,
};

/* Users who want no bound write very large numbers. */
static unsigned int fit(unsigned long number)
{
	return min_t(unsigned long, number, UINT_MAX);
}

static struct damos *new_scheme(const unsigned long *numbers)
{
	const struct damos_access_pattern pattern = {
		.min_sz_region = numbers[MIN_SZ],
		.max_sz_region = numbers[MAX_SZ],
		.min_nr_accesses = fit(numbers[MIN_ACCESSES]),
		.max_nr_accesses = fit(numbers[MAX_ACCESSES]),
		.min_age_region = fit(numbers[MIN_AGE]),
		.max_age_region = fit(numbers[MAX_AGE]),
	};
	struct damos *s;

	s = damon_new_scheme(&pattern, actions[numbers[ACTION]], 0, NUMA_NO_NODE);
	if (!s)
		return NULL;
	s->quota.ms = numbers[QUOTA_MS];
	s->quota.sz = numbers[QUOTA_SZ];
	s->quota.reset_interval = numbers[RESET_INTERVAL];
	s->quota.weight_sz = numbers[WEIGHT_SZ];
	s->quota.weight_nr_accesses = numbers[WEIGHT_ACCESSES];
	s->quota.weight_age = numbers[WEIGHT_AGE];
	s->wmarks.metric = metrics[numbers[METRIC]];
	s->wmarks.interval = numbers[INTERVAL];
	s->wmarks.high = numbers[HIGH];
	s->wmarks.mid = numbers[MID];
	s->wmarks.low = numbers[LOW];
	return s;
}

static int add_scheme(struct list_head *schemes, const unsigned long *numbers)
{
	struct damos *s;

	if (numbers[ACTION] >= ARRAY_SIZE(actions) || numbers[METRIC] >= ARRAY_SIZE(metrics))
		return -EINVAL;
	if (max3(numbers[WEIGHT_SZ], numbers[WEIGHT_ACCESSES], numbers[WEIGHT_AGE]) > UINT_MAX)
		return -ERANGE;
	s = new_scheme(numbers);
	if (!s)
		return -ENOMEM;
	list_add_tail(&s->list, schemes);
	return damos_check_scheme(s);
}

static void destroy_schemes(struct list_head *schemes)
{
	struct damos *s, *next;

	list_for_each_entry_safe(s, next, schemes, list)
		damon_destroy_scheme(s);
}

/**
 * damon_dbgfs_read_schemes() - say what to do with memory
 * @ctx:	a context that no kdamond serves
 * @text:	for each scheme its access pattern, action, quota and watermarks
 *
 * The context then has these schemes, which have done nothing so far.  Whether its
 * operations can do them is for who starts it to check.
 *
 * Return: 0; -EINVAL or -ERANGE for a text that is something else, and for a scheme
 * that contradicts itself; -E2BIG for too many; -ENOMEM.
 */
int damon_dbgfs_read_schemes(struct damon_ctx *ctx, char *text)
{
	unsigned int i, nr_words = count_words(text), nr = nr_words / NR_COLUMNS;
	LIST_HEAD(schemes);
	int err = 0;

	if (nr_words % NR_COLUMNS)
		return -EINVAL;
	if (nr > DAMON_DBGFS_MAX_SCHEMES)
		return -E2BIG;
	for (i = 0; i < nr && !err; i++) {
		unsigned long numbers[NR_COLUMNS];

		err = next_numbers(&text, numbers, NR_COLUMNS);
		if (!err)
			err = add_scheme(&schemes, numbers);
	}
	if (err) {
		destroy_schemes(&schemes);
		return err;
	}
	destroy_schemes(&ctx->schemes);
	list_splice(&schemes, &ctx->schemes);
	return 0;
}

static unsigned int action_number(enum damos_action action)
{
	unsigned int i = 0;

	while (actions[i] != action)
		i++;
	return i;
}

/**
 * damon_dbgfs_show_schemes() - tell what is done with memory, and was
 * @m:		where to
 * @ctx:	a context that no kdamond serves, or the calling one
 */
void damon_dbgfs_show_schemes(struct seq_file *m, const struct damon_ctx *ctx)
{
	struct damos *s;

	damon_for_each_scheme(s, ctx) {
		const unsigned long numbers[] = {
			[MIN_SZ] = s->pattern.min_sz_region,
			[MAX_SZ] = s->pattern.max_sz_region,
			[MIN_ACCESSES] = s->pattern.min_nr_accesses,
			[MAX_ACCESSES] = s->pattern.max_nr_accesses,
			[MIN_AGE] = s->pattern.min_age_region,
			[MAX_AGE] = s->pattern.max_age_region,
			[ACTION] = action_number(s->action),
			[QUOTA_MS] = s->quota.ms,
			[QUOTA_SZ] = s->quota.sz,
			[RESET_INTERVAL] = s->quota.reset_interval,
			[WEIGHT_SZ] = s->quota.weight_sz,
			[WEIGHT_ACCESSES] = s->quota.weight_nr_accesses,
			[WEIGHT_AGE] = s->quota.weight_age,
			[METRIC] = s->wmarks.metric == DAMOS_WMARK_FREE_MEM_RATE,
			[INTERVAL] = s->wmarks.interval,
			[HIGH] = s->wmarks.high,
			[MID] = s->wmarks.mid,
			[LOW] = s->wmarks.low,
			/* Nobody writes these. */
			s->stat.nr_tried, s->stat.sz_tried,
			s->stat.nr_applied, s->stat.sz_applied, s->stat.qt_exceeds,
		};

		show_numbers(m, numbers, ARRAY_SIZE(numbers));
	}
}
