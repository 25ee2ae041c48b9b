/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DAMOS: act on memory by its access pattern.
 *
 * A scheme (struct damos) of a context says what memory it is for (struct
 * damos_access_pattern and filters), what is to be done with it (enum
 * damos_action), how much of that at most (struct damos_quota), and when at all
 * (struct damos_watermarks).  The context's kdamond does it.
 *
 * See Documentation/mm/damon/design.rst.
 */
#ifndef _DAMOS_H_
#define _DAMOS_H_

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/types.h>

struct damon_ctx;
struct damon_region;
struct damon_target;

/* From start up to, and without, end. */
struct damon_addr_range {
	unsigned long start;
	unsigned long end;
};

/**
 * enum damos_action - what a scheme does with memory
 * @DAMOS_WILLNEED:	madvise(MADV_WILLNEED)
 * @DAMOS_COLD:		madvise(MADV_COLD)
 * @DAMOS_PAGEOUT:	reclaim it
 * @DAMOS_HUGEPAGE:	madvise(MADV_HUGEPAGE)
 * @DAMOS_NOHUGEPAGE:	madvise(MADV_NOHUGEPAGE)
 * @DAMOS_COLLAPSE:	madvise(MADV_COLLAPSE)
 * @DAMOS_LRU_PRIO:	have reclaim take it later than others
 * @DAMOS_LRU_DEPRIO:	have reclaim take it sooner than others
 * @DAMOS_MIGRATE_HOT:	move it to other nodes, hotter regions first
 * @DAMOS_MIGRATE_COLD:	move it to other nodes, colder regions first
 * @DAMOS_STAT:		nothing but count it
 * @NR_DAMOS_ACTIONS:	how many there are
 *
 * Which of them there are for what kind of address space is for the operations
 * to say, see struct damon_operations.
 */
enum damos_action {
	DAMOS_WILLNEED,
	DAMOS_COLD,
	DAMOS_PAGEOUT,
	DAMOS_HUGEPAGE,
	DAMOS_NOHUGEPAGE,
	DAMOS_COLLAPSE,
	DAMOS_LRU_PRIO,
	DAMOS_LRU_DEPRIO,
	DAMOS_MIGRATE_HOT,
	DAMOS_MIGRATE_COLD,
	DAMOS_STAT,
	NR_DAMOS_ACTIONS,
};

/**
 * struct damos_access_pattern - which regions a scheme is for, bounds included
 * @min_sz_region:	size
 * @max_sz_region:	likewise
 * @min_nr_accesses:	nr_accesses, in samples of an aggregation interval
 * @max_nr_accesses:	likewise
 * @min_age_region:	age, in aggregation intervals
 * @max_age_region:	likewise
 */
struct damos_access_pattern {
	unsigned long min_sz_region;
	unsigned long max_sz_region;
	unsigned int min_nr_accesses;
	unsigned int max_nr_accesses;
	unsigned int min_age_region;
	unsigned int max_age_region;
};

/**
 * enum damos_quota_goal_metric - what a quota's goal is measured by
 * @DAMOS_QUOTA_USER_INPUT:		what the user writes into it
 * @DAMOS_QUOTA_SOME_MEM_PSI_US:	time that some task waited for memory,
 *					in us since the last reset interval
 * @DAMOS_QUOTA_NODE_MEM_USED_BP:	used memory of a node, in ten thousandths
 * @DAMOS_QUOTA_NODE_MEM_FREE_BP:	free memory of a node, likewise
 * @NR_DAMOS_QUOTA_GOAL_METRICS:	how many there are
 */
enum damos_quota_goal_metric {
	DAMOS_QUOTA_USER_INPUT,
	DAMOS_QUOTA_SOME_MEM_PSI_US,
	DAMOS_QUOTA_NODE_MEM_USED_BP,
	DAMOS_QUOTA_NODE_MEM_FREE_BP,
	NR_DAMOS_QUOTA_GOAL_METRICS,
};

/**
 * struct damos_quota_goal - what a quota is to bring about
 * @metric:		what of
 * @target_value:	how much of it
 * @current_value:	how much there is of it
 * @last_psi_total:	for DAMOS_QUOTA_SOME_MEM_PSI_US: all of it, when last looked
 * @last_psi_at:	when that was, in ns of ktime_get()
 * @nid:		for metrics of a node
 * @list:		in the quota's list
 */
struct damos_quota_goal {
	enum damos_quota_goal_metric metric;
	unsigned long target_value;
	unsigned long current_value;
	u64 last_psi_total;
	u64 last_psi_at;
	int nid;
	struct list_head list;
};

/**
 * enum damos_quota_goal_tuner - how goals set the effective quota
 * @DAMOS_QUOTA_GOAL_TUNER_CONSIST:	in proportion to how far they are off,
 *					until it is as it has to be
 * @DAMOS_QUOTA_GOAL_TUNER_TEMPORAL:	all that is allowed until they are met,
 *					then none
 * @NR_DAMOS_QUOTA_GOAL_TUNERS:		how many there are
 */
enum damos_quota_goal_tuner {
	DAMOS_QUOTA_GOAL_TUNER_CONSIST,
	DAMOS_QUOTA_GOAL_TUNER_TEMPORAL,
	NR_DAMOS_QUOTA_GOAL_TUNERS,
};

/* Priorities are from 0 to this. */
#define DAMOS_MAX_SCORE		99

/**
 * struct damos_quota - how much a scheme may do
 * @reset_interval:	milliseconds of a window, for which the bounds hold
 * @ms:			milliseconds of the kdamond's time; 0: no bound
 * @sz:			bytes; 0: no bound
 * @goals:		list of struct damos_quota_goal
 * @goal_tuner:		how they set @esz
 * @weight_sz:		how much a region's size counts for its priority
 * @weight_nr_accesses:	how much its nr_accesses count
 * @weight_age:		how much its age counts
 * @esz:		bytes of this window, that follow from all of these; 0
 *			where there is no bound
 */
struct damos_quota {
	unsigned long reset_interval;
	unsigned long ms;
	unsigned long sz;
	struct list_head goals;
	enum damos_quota_goal_tuner goal_tuner;
	unsigned int weight_sz;
	unsigned int weight_nr_accesses;
	unsigned int weight_age;
	unsigned long esz;

/* private: quota.c's */
	bool charge_passed;		/* only what filters let through counts */
	bool rarest_first;		/* and oldest of that, instead of by weights */
	u64 window_start;		/* in ns of ktime_get() */
	unsigned long charged_sz;	/* in this window */
	u64 charged_ns;
	u64 tried_sz;			/* in this window, whether it counts or not */
	u64 total_charged_sz;		/* tried of late, for the throughput */
	u64 total_charged_ns;
	unsigned long esz_by_goals;
	unsigned int max_score;		/* what is above it has had its turn */
	unsigned int min_score;		/* what is below it is for later, */
	unsigned long min_score_sz;	/* and so is more than this much of it */
	unsigned long charge_target_from; /* where to go on: in which target, */
	unsigned long charge_addr_from;	/* and from which address */
	bool started;			/* there is a window */
	bool exceeded;			/* it is counted as one that was used up */
};

/**
 * enum damos_wmark_metric - what watermarks are measured by
 * @DAMOS_WMARK_NONE:		nothing: the scheme is always active
 * @DAMOS_WMARK_FREE_MEM_RATE:	free memory of the machine, in thousandths
 * @NR_DAMOS_WMARK_METRICS:	how many there are
 */
enum damos_wmark_metric {
	DAMOS_WMARK_NONE,
	DAMOS_WMARK_FREE_MEM_RATE,
	NR_DAMOS_WMARK_METRICS,
};

/**
 * struct damos_watermarks - when a scheme is active
 * @metric:	by which value
 * @interval:	microseconds between two looks at it
 * @high:	above this value it becomes inactive
 * @mid:	below this value, and not below @low, it becomes active
 * @low:	below this value it becomes inactive
 * @activated:	whether it is active
 */
struct damos_watermarks {
	enum damos_wmark_metric metric;
	unsigned long interval;
	unsigned long high;
	unsigned long mid;
	unsigned long low;
	bool activated;

/* private: watermarks.c's */
	u64 next_look;			/* in ns of ktime_get() */
};

/**
 * enum damos_filter_type - what a filter looks at
 * @DAMOS_FILTER_TYPE_ANON:	anonymous pages
 * @DAMOS_FILTER_TYPE_ACTIVE:	pages on an active LRU list
 * @DAMOS_FILTER_TYPE_MEMCG:	pages charged to a memory cgroup
 * @DAMOS_FILTER_TYPE_YOUNG:	pages accessed since last looked at
 * @DAMOS_FILTER_TYPE_HUGEPAGE_SIZE: folios of a size
 * @DAMOS_FILTER_TYPE_UNMAPPED:	pages that no page table maps
 * @DAMOS_FILTER_TYPE_ADDR:	addresses
 * @DAMOS_FILTER_TYPE_TARGET:	one of the context's targets
 * @NR_DAMOS_FILTER_TYPES:	how many there are
 *
 * Those before DAMOS_FILTER_TYPE_ADDR are for pages, and the operations look
 * after them.  The others are the core's.
 */
enum damos_filter_type {
	DAMOS_FILTER_TYPE_ANON,
	DAMOS_FILTER_TYPE_ACTIVE,
	DAMOS_FILTER_TYPE_MEMCG,
	DAMOS_FILTER_TYPE_YOUNG,
	DAMOS_FILTER_TYPE_HUGEPAGE_SIZE,
	DAMOS_FILTER_TYPE_UNMAPPED,
	DAMOS_FILTER_TYPE_ADDR,
	DAMOS_FILTER_TYPE_TARGET,
	NR_DAMOS_FILTER_TYPES,
};

/* Sizes, both included. */
struct damon_size_range {
	unsigned long min;
	unsigned long max;
};

/**
 * struct damos_filter - what else decides whether a scheme is for some memory
 * @type:	what it looks at
 * @matching:	whether it is for what is of the type, or for what is not
 * @allow:	whether what it is for is let through, or kept out
 * @memcg_id:	for DAMOS_FILTER_TYPE_MEMCG, as of mem_cgroup_id()
 * @addr_range:	for DAMOS_FILTER_TYPE_ADDR
 * @target_idx:	for DAMOS_FILTER_TYPE_TARGET, counted from 0
 * @sz_range:	for DAMOS_FILTER_TYPE_HUGEPAGE_SIZE
 * @list:	in the scheme's list of core filters, or of ops filters
 *
 * Filters are asked in their order, the core's first; the first that is for the
 * memory decides.  What none is for is kept out when the last filter of all lets
 * through, and let through when it keeps out, or when there is none.
 */
struct damos_filter {
	enum damos_filter_type type;
	bool matching;
	bool allow;
	union {
		unsigned short memcg_id;
		struct damon_addr_range addr_range;
		int target_idx;
		struct damon_size_range sz_range;
	};
	struct list_head list;
};

/**
 * struct damos_migrate_dests - where DAMOS_MIGRATE_HOT and _COLD move pages to
 * @node_id_arr:	nodes
 * @weight_arr:		how much of all that is moved goes to each of them
 * @nr_dests:		how many there are; 0: all of it goes to the scheme's
 *			@target_nid
 */
struct damos_migrate_dests {
	unsigned int *node_id_arr;
	unsigned int *weight_arr;
	size_t nr_dests;
};

/**
 * struct damos_stat - what a scheme has done
 * @nr_tried:		regions that it was tried on
 * @sz_tried:		their bytes
 * @nr_applied:		regions that something was done with
 * @sz_applied:		bytes that something was done with
 * @sz_ops_filter_passed: bytes that the operations' filters let through
 * @qt_exceeds:		times that the quota was used up
 * @nr_snapshots:	times that it was tried on all regions
 */
struct damos_stat {
	unsigned long nr_tried;
	unsigned long sz_tried;
	unsigned long nr_applied;
	unsigned long sz_applied;
	unsigned long sz_ops_filter_passed;
	unsigned long qt_exceeds;
	unsigned long nr_snapshots;
};

/**
 * struct damos - a scheme
 * @pattern:		which regions it is for
 * @action:		what it does with them
 * @apply_interval_us:	microseconds between two times that it does; 0: the
 *			aggregation interval
 * @quota:		how much of it
 * @wmarks:		when at all
 * @target_nid:		for DAMOS_MIGRATE_HOT and _COLD without @migrate_dests
 * @migrate_dests:	for the same
 * @core_filters:	list of struct damos_filter, of types of the core
 * @ops_filters:	list of struct damos_filter, of types of the operations
 * @max_nr_snapshots:	do nothing after so many of them; 0: no bound
 * @stat:		what it has done
 * @list:		in the context's list
 *
 * Once the context is served, the kdamond's, see damon_call().
 */
struct damos {
	struct damos_access_pattern pattern;
	enum damos_action action;
	unsigned long apply_interval_us;
	struct damos_quota quota;
	struct damos_watermarks wmarks;
	int target_nid;
	struct damos_migrate_dests migrate_dests;
	struct list_head core_filters;
	struct list_head ops_filters;
	unsigned long max_nr_snapshots;
	struct damos_stat stat;
	struct list_head list;

/* private: schemes.c's */
	unsigned long samples_to_next;	/* sampling intervals until it is due */
	bool unfinished;		/* its round goes on at the next sample */
	unsigned long round_target;	/* where that round has begun: the target, */
	unsigned long round_addr;	/* and the address in it */
	bool walk_done;
	bool core_passed;		/* what it is applied to: no other filter is asked */
	unsigned long sz_seen;		/* bytes of folios that it was tried on: may overflow */
	bool untouched;			/* set by operations that have left a range alone */
};

/**
 * struct damos_walk_control - a function to be told of what schemes are tried on
 * @walk_fn:	called for each region that a scheme is tried on, by the kdamond
 *		without locks; the region is only what was tried, and good during
 *		the call only
 * @data:	its argument
 *
 * Set these; the rest is damos_walk()'s.
 */
struct damos_walk_control {
	void (*walk_fn)(void *data, struct damon_ctx *ctx,
			struct damon_target *t, struct damon_region *r,
			struct damos *s, unsigned long sz_filter_passed);
	void *data;
/* private: */
	struct completion done;
	bool begun;			/* the kdamond has seen it */
	bool busy;			/* @walk_fn may be called right now */
	bool withdrawn;			/* who wanted it does not any more */
	bool canceled;
};

#define damon_for_each_scheme(s, ctx) \
	list_for_each_entry(s, &(ctx)->schemes, list)

#define damon_for_each_scheme_safe(s, next, ctx) \
	list_for_each_entry_safe(s, next, &(ctx)->schemes, list)

#define damos_for_each_quota_goal(goal, quota) \
	list_for_each_entry(goal, &(quota)->goals, list)

#define damos_for_each_core_filter(f, scheme) \
	list_for_each_entry(f, &(scheme)->core_filters, list)

#define damos_for_each_ops_filter(f, scheme) \
	list_for_each_entry(f, &(scheme)->ops_filters, list)

/* schemes.c: schemes, and having them done */
struct damos *damon_new_scheme(const struct damos_access_pattern *pattern,
			       enum damos_action action,
			       unsigned long apply_interval_us, int target_nid);
void damon_add_scheme(struct damon_ctx *ctx, struct damos *s);
void damon_destroy_scheme(struct damos *s);
int damos_walk(struct damon_ctx *ctx, struct damos_walk_control *control);

/* filters.c */
struct damos_filter *damos_new_filter(enum damos_filter_type type,
				      bool matching, bool allow);
void damos_add_filter(struct damos *s, struct damos_filter *f);
void damos_destroy_filter(struct damos_filter *f);
static inline bool damos_filter_for_ops(enum damos_filter_type type)
{
	return type < DAMOS_FILTER_TYPE_ADDR;
}

/* goals.c */
struct damos_quota_goal *damos_new_quota_goal(enum damos_quota_goal_metric metric,
					      unsigned long target_value);
void damos_add_quota_goal(struct damos_quota *quota, struct damos_quota_goal *goal);
void damos_destroy_quota_goal(struct damos_quota_goal *goal);

#endif /* _DAMOS_H_ */
