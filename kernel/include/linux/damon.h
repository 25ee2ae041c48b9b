/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DAMON: data access monitoring with adaptive regions.
 *
 * A context (struct damon_ctx) says how to monitor (struct damon_attrs), by
 * which means (struct damon_operations), and what: its targets, each with a
 * set of regions that together cover what is monitored.  A kdamond is a kernel
 * thread that serves one or more contexts.
 *
 * See Documentation/mm/damon/design.rst.
 */
#ifndef _DAMON_H_
#define _DAMON_H_

#include <linux/completion.h>
#include <linux/damos.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/overflow.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/* The smallest region: accesses are told apart by pages. */
#define DAMON_MIN_REGION	PAGE_SIZE

/* What a context's bounds on regions may not fall below. */
#define DAMON_LEAST_NR_REGIONS	3

/* Parts of a region that the outcomes of samples are kept for. */
#define DAMON_NR_SLOTS		16

/* The most probes that one region gets in one sampling interval. */
#define DAMON_MAX_PROBES	4

/*
 * With fewer regions than this, large ones get further probes, up to so many in
 * a sampling interval.
 */
#define DAMON_PROBE_BUDGET	48

/* Of these further ones, there is none for less memory. */
#define DAMON_PROBE_SZ		(32UL << 20)

/**
 * struct damon_slot - outcomes of the samples in a part of a region
 * @hits:	samples that found an access
 * @tries:	all samples
 */
struct damon_slot {
	u16 hits;
	u16 tries;
};

/**
 * struct damon_region - neighbouring memory that is accessed alike
 * @ar:			its addresses, whole pages
 * @nr_accesses:	samples of the last aggregation interval that found it
 *			accessed, as if there had been one a sampling interval
 * @last_nr_accesses:	the same of the aggregation interval before
 * @age:		aggregation intervals for which @nr_accesses did not
 *			change much
 * @hits:		samples of the aggregation interval that found an access
 * @tries:		all of its samples
 * @turn:		whose slot's turn it is
 * @nr_slots:		how many of @slots are in use, each of the same size
 * @nr_probes:		samples that it gets in each sampling interval
 * @has_sentry:		while it is idle: a page waits for an access
 * @sentry:		the address of that page
 * @alarm:		it saw one in the aggregation interval
 * @apart:		for so many aggregation intervals it stays as it is, to see
 *			which part of what was one region such alarms are about
 * @slots:		outcomes of this aggregation interval's samples
 *
 * Regions of a target are elements of an array: pointers to them are good only
 * until the end of the aggregation interval.
 */
struct damon_region {
	struct damon_addr_range ar;
	unsigned int nr_accesses;
	unsigned int last_nr_accesses;
	unsigned int age;
	unsigned int hits;
	unsigned int tries;
	u8 turn;
	u8 nr_slots;
	u8 nr_probes;
	bool has_sentry;
	bool alarm;
	unsigned int apart;
	unsigned long sentry;
	struct damon_slot slots[DAMON_NR_SLOTS];
};

/**
 * struct damon_probe - one page that is looked at in one sampling interval
 * @addr:	an address in that page
 * @region:	index of the region that it stands for
 * @slot:	part of that region
 * @state:	what became of it
 * @order:	where one accessed bit is for a huge page, the logarithm of how many of the
 *		smallest regions that has.  Operations set it when they make it ready.
 */
struct damon_probe {
	unsigned long addr;
	unsigned int region;
	u8 slot;
	u8 state;
	u8 order;
};

/**
 * enum damon_probe_state - what became of a probe
 * @DAMON_PROBE_UNKNOWN: nothing is known of its page.  Each probe begins so, and
 *			ends so where operations could not make its page ready, or
 *			could not look at it later, for a lock that they do not wait
 *			for as an example.  It counts neither as an access nor as
 *			none, and a sentry stays where it is.
 * @DAMON_PROBE_READY:	its page shows an access from now on
 * @DAMON_PROBE_READY_YOUNG: likewise, and it had been accessed before
 * @DAMON_PROBE_IDLE:	its page was not accessed since it was made ready
 * @DAMON_PROBE_ACCESSED: it was
 */
enum damon_probe_state {
	DAMON_PROBE_UNKNOWN,
	DAMON_PROBE_READY,
	DAMON_PROBE_READY_YOUNG,
	DAMON_PROBE_IDLE,
	DAMON_PROBE_ACCESSED,
};

/**
 * struct damon_probes - the probes of a target in one sampling interval
 * @probe:	in order of address
 * @nr:		how many there are
 * @room:	how many there is memory for
 */
struct damon_probes {
	struct damon_probe *probe;
	unsigned int nr;
	unsigned int room;
};

/**
 * struct damon_target - an address space, or physical memory
 * @pid:	the process; NULL for physical memory.  The target has a
 *		reference.
 * @regions:	array of its regions, in order of address, disjoint
 * @nr_regions:	how many there are
 * @room:	how many there is memory for
 * @nr_ranges:	of how many separate ranges of addresses they are
 * @share:	the most regions that it may have
 * @probes:	those of this and of the next sampling interval
 * @sample_begin: when its last samples were begun to be taken
 * @sample_end:	when they had been taken
 * @gone:	it cannot be monitored any more
 * @busy:	its address space could not be locked the last time
 * @list:	in the context's list
 *
 * Changed by the kdamond only, once it runs.
 */
struct damon_target {
	struct pid *pid;
	struct damon_region *regions;
	unsigned int nr_regions;
	unsigned int room;
	unsigned int nr_ranges;
	unsigned int share;
	struct damon_probes probes[2];
	ktime_t sample_begin;
	ktime_t sample_end;
	bool gone;
	bool busy;
	struct list_head list;

/* private: damon_pair_targets()'s */
	struct list_head by_pid;
	struct damon_target *before;	/* while it is being committed: what it was */
};

/**
 * struct damon_intervals_goal - what auto-tuning of the intervals aims at
 * @access_bp:		observed accesses in ten thousandths of the most that
 *			could be; 0 turns auto-tuning off
 * @aggrs:		aggregation intervals to look at before each step
 * @min_sample_us:	bounds of the sampling interval
 * @max_sample_us:	likewise
 */
struct damon_intervals_goal {
	unsigned long access_bp;
	unsigned long aggrs;
	unsigned long min_sample_us;
	unsigned long max_sample_us;
};

/**
 * struct damon_attrs - how to monitor
 * @sample_interval:	microseconds between two looks at the same page
 * @aggr_interval:	microseconds whose samples make a result
 * @ops_update_interval: microseconds between two looks for changed mappings
 * @intervals_goal:	how to tune the first two
 * @min_nr_regions:	what the number of regions shall not fall below
 * @max_nr_regions:	what the number of regions never exceeds
 */
struct damon_attrs {
	unsigned long sample_interval;
	unsigned long aggr_interval;
	unsigned long ops_update_interval;
	struct damon_intervals_goal intervals_goal;
	unsigned long min_nr_regions;
	unsigned long max_nr_regions;
};

/**
 * enum damon_ops_id - means of monitoring
 * @DAMON_OPS_VADDR:	virtual addresses, following the process's mappings
 * @DAMON_OPS_FVADDR:	virtual addresses, a fixed set of ranges
 * @DAMON_OPS_PADDR:	physical addresses
 * @NR_DAMON_OPS:	how many there are
 */
enum damon_ops_id {
	DAMON_OPS_VADDR,
	DAMON_OPS_FVADDR,
	DAMON_OPS_PADDR,
	NR_DAMON_OPS,
};

struct damon_ctx;

/**
 * struct damon_operations - how one kind of address space is monitored
 * @id:		which kind
 * @init:	give each target that has no regions its first ones.  Returns false
 *		when some have to wait for them, until the next @update.
 * @update:	follow what changed in the targets' address spaces.  Returns false
 *		when that is to be tried again soon.
 * @sample:	look at each of the @done probes, then make ready to see accesses
 *		to the @next ones; either may be empty.  A probe of @next becomes
 *		ready, or stays unknown where that cannot be had.  One of @done
 *		that is ready becomes idle, accessed, or unknown where that cannot
 *		be told; one that is unknown stays so.  @done were @next the last
 *		time, or are sentries, which are ready.  Returns false when the
 *		target cannot be monitored any more.
 * @actions:	bits of the enum damos_action that @apply_scheme can do
 * @page_actions: bits of those that it can do with single pages, which is what
 *		the operations' filters let through
 * @filters:	bits of the enum damos_filter_type that it can do
 * @apply_scheme: do a scheme's action with what its ops_filters let through of a
 *		range of addresses, and add how much that is to the last argument.
 *		Returns the bytes that something was done with.
 *
 * All are called by the kdamond, without locks, and may sleep.  @init, @update
 * and @apply_scheme may be NULL.
 */
struct damon_operations {
	enum damon_ops_id id;
	bool (*init)(struct damon_ctx *ctx);
	bool (*update)(struct damon_ctx *ctx);
	bool (*sample)(struct damon_ctx *ctx, struct damon_target *t,
		       struct damon_probes *done, struct damon_probes *next);
	unsigned long actions;
	unsigned long page_actions;
	unsigned long filters;
	unsigned long (*apply_scheme)(struct damon_ctx *ctx, struct damon_target *t,
				      const struct damon_addr_range *range,
				      struct damos *s, unsigned long *sz_passed);
};

/**
 * struct damon_call_control - a function for the kdamond to call
 * @fn:		called between two sampling intervals, nothing locked
 * @data:	its argument
 * @only_reads:	@fn changes nothing of any context: it may be called, too, while a
 *		scheme is being applied, between two bites of its work
 * @return_code: what it returned
 * @canceled:	the kdamond ended before it could call
 *
 * Set the first three; the rest is damon_call()'s.
 */
struct damon_call_control {
	int (*fn)(void *data);
	void *data;
	bool only_reads;
	int return_code;
	bool canceled;
/* private: */
	struct list_head list;
	struct completion done;
};

/**
 * struct damon_ctx - one monitoring: of what, how, and how far it is
 * @attrs:	how to monitor; change with damon_set_attrs()
 * @ops:	by which means; set with damon_select_ops()
 * @addr_unit:	bytes of a physical address for each unit of a region's
 * @adaptive_targets: list of struct damon_target
 * @schemes:	list of struct damos
 * @nid:	the node whose CPUs its kdamond runs on, if all contexts of the kdamond
 *		have the same one; NUMA_NO_NODE for any.  Set it before damon_start().
 * @owner:	for who made the context; nobody else looks at it
 * @kdamond:	the thread that serves this context; NULL while none does.
 *		Protected by @kdamond_lock.
 * @kdamond_lock: protects @kdamond, and the calls and the walk that wait for it
 */
struct damon_ctx {
	struct damon_attrs attrs;
	struct damon_operations ops;
	unsigned long addr_unit;
	struct list_head adaptive_targets;
	struct list_head schemes;
	int nid;
	void *owner;

	struct task_struct *kdamond;
	spinlock_t kdamond_lock;	/* for kdamond and calls */

/* private: the kdamond's, core.c's and monitor.c's */
	struct list_head calls;
	struct damos_walk_control *walk;
	struct list_head group;
	unsigned int idx;		/* in the group */
	ktime_t next_sample;
	ktime_t pace;			/* when it would be due by the interval alone */
	ktime_t last_sample;		/* when the last ones were begun to be taken */
	u64 round_ns;			/* what taking samples takes, most of the time */
	unsigned long samples;		/* in this aggregation interval */
	unsigned long update_samples;	/* since the last ops.update */
	unsigned long tuned_aggrs;	/* since the last tuning */
	u64 tuned_bp;			/* observed since then, summed up */
	struct rnd_state random;
	struct damon_region *scratch;	/* regions being made */
	unsigned int scratch_room;
	unsigned int next_probes;	/* which of a target's two sets is next */
	bool restart;			/* begin anew: targets have changed */
	bool active;			/* something is left to monitor */
	bool paused;			/* as no scheme is active */
	bool behind;			/* ops.update is to be tried again soon */
};

static inline unsigned long damon_sz_region(const struct damon_region *r)
{
	return r->ar.end - r->ar.start;
}

#define damon_for_each_region(r, t) \
	for (r = (t)->regions; r < (t)->regions + (t)->nr_regions; r++)

#define damon_for_each_target(t, ctx) \
	list_for_each_entry(t, &(ctx)->adaptive_targets, list)

#define damon_for_each_target_safe(t, next, ctx) \
	list_for_each_entry_safe(t, next, &(ctx)->adaptive_targets, list)

/* Units of addresses in bytes; the most there can be where that is more. */
static inline unsigned long damon_bytes(const struct damon_ctx *ctx, unsigned long units)
{
	unsigned long bytes;

	if (check_mul_overflow(units, max(ctx->addr_unit, 1UL), &bytes))
		return ULONG_MAX;
	return bytes;
}

/* Samples in an aggregation interval: the most that nr_accesses can be. */
static inline unsigned int damon_max_nr_accesses(const struct damon_attrs *attrs)
{
	unsigned long samples = attrs->aggr_interval /
				max(attrs->sample_interval, 1UL);

	return clamp(samples, 1UL, (unsigned long)UINT_MAX);
}

static inline bool damon_target_has_pid(const struct damon_ctx *ctx)
{
	return ctx->ops.id == DAMON_OPS_VADDR || ctx->ops.id == DAMON_OPS_FVADDR;
}

/* log2 of the smallest region, in the context's unit of addresses. */
static inline unsigned int damon_region_shift(const struct damon_ctx *ctx)
{
	unsigned int unit = ilog2(max(ctx->addr_unit, 1UL));

	return unit < PAGE_SHIFT ? PAGE_SHIFT - unit : 0;
}

/* context.c: contexts, and by which means they are monitored */
struct damon_ctx *damon_new_ctx(void);
void damon_destroy_ctx(struct damon_ctx *ctx);
int damon_set_attrs(struct damon_ctx *ctx, const struct damon_attrs *attrs);
int damon_commit_ctx(struct damon_ctx *dst, struct damon_ctx *src);
int damon_commit_ctxs(struct damon_ctx **dst, struct damon_ctx **src, int nr);
bool damon_is_registered_ops(enum damon_ops_id id);
int damon_register_ops(const struct damon_operations *ops);
int damon_select_ops(struct damon_ctx *ctx, enum damon_ops_id id);

/* core.c: the threads that serve them */
int damon_start(struct damon_ctx **ctxs, int nr_ctxs, bool exclusive);
int damon_start_group(struct damon_ctx **ctxs, int nr_ctxs, bool exclusive);
int damon_stop(struct damon_ctx **ctxs, int nr_ctxs);
bool damon_is_running(struct damon_ctx *ctx);
int damon_kdamond_pid(struct damon_ctx *ctx);
int damon_nr_running_ctxs(void);
int damon_call(struct damon_ctx *ctx, struct damon_call_control *control);

/* targets.c: what is monitored */
struct damon_target *damon_new_target(void);
void damon_add_target(struct damon_ctx *ctx, struct damon_target *t);
void damon_destroy_target(struct damon_target *t);
unsigned int damon_nr_regions(struct damon_target *t);
int damon_set_regions(struct damon_target *t,
		      const struct damon_addr_range *ranges,
		      unsigned int nr_ranges);

#endif /* _DAMON_H_ */
