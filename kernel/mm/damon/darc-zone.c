// SPDX-License-Identifier: GPL-2.0
/*
 * A zone that DARC looks after: its state, and the context that monitors it.
 *
 * The kdamond looks at the zone's free memory itself, at each sample and after each
 * piece that it has reclaimed, so that it stops at once.  For that, it is served by
 * paddr's operations with something before them.
 *
 * A context stays while no kdamond serves it, with all that is known of the memory.
 * Most of it is still true when the next one begins; and what is not is told by the
 * pages, each of which remembers that it was accessed.
 */

#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/page_idle.h>
#include <linux/pageblock-flags.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/sysctl.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "darc.h"
#include "ops-common.h"
#include "schemes.h"
#include "targets.h"

#define CREATE_TRACE_POINTS
#include <trace/events/darc.h>

/*
 * Look at the free memory whenever so much was tried, and note for as much when its
 * pages were looked at; no huge page is on an edge.
 */
#define BLOCK_SZ	SZ_2M
#define PAGES_OF_BLOCK	(BLOCK_SZ / PAGE_SIZE)

/* Nothing is known before the minimum age has passed since the first look. */
#define AHEAD_AGES	2

/* Be ready to go on for so long below the low watermark. */
#define LINGER		(2 * HZ)

/**
 * darc_zone_room() - what there is room for watermarks in
 * @z:		the zone
 */
struct darc_room darc_zone_room(const struct darc_zone *z)
{
	bool tiering = sysctl_numa_balancing_mode & NUMA_BALANCING_MEMORY_TIERING;

	return (struct darc_room){
		.zone_high = darc_zone_high(z->zone, tiering),
		.managed = zone_managed_pages(z->zone),
	};
}

/* What there is to tell about a change of state. */
struct change {
	struct darc_level level;
	enum darc_state was;
	enum darc_state is;
	unsigned long reclaimed;
};

static void tell(const struct change *change, enum darc_why why)
{
	if (change->was == change->is)
		return;
	if (change->is == DARC_RECLAIMING)
		trace_darc_start(&change->level);
	if (change->was == DARC_RECLAIMING)
		trace_darc_stop(&change->level, why, change->reclaimed << PAGE_SHIFT);
}

/* Be in a state from now on.  Called with z->lock held. */
static void enter(struct darc_zone *z, enum darc_state is, struct change *change)
{
	change->was = z->state;
	change->is = is;
	if (z->state == is)
		return;
	z->state = is;
	z->since = jiffies;
	if (is == DARC_RECLAIMING) {
		z->started++;
		z->at_start = z->sum.reclaimed;
	}
	change->reclaimed = z->sum.reclaimed - z->at_start;
}

static u64 min_age_us(const struct darc_zone *z)
{
	return (u64)READ_ONCE(z->params.min_age_us) << READ_ONCE(z->care);
}

/* By how much the free memory falls, at the present rate, until something is known. */
static unsigned long falls_ahead(const struct darc_zone *z)
{
	return min_t(u64, ULONG_MAX,
		     damos_muldiv(z->falling, min_age_us(z) * AHEAD_AGES, USEC_PER_SEC));
}

/* Called with z->lock held. */
static void look(struct darc_zone *z, unsigned long free, struct darc_marks *marks,
		 struct change *change)
{
	const struct darc_room room = darc_zone_room(z);

	darc_resolve(marks, &z->own, &room);
	change->level = (struct darc_level){
		.nid = zone_to_nid(z->zone),
		.zone = z->zone->name,
		.free = free << PAGE_SHIFT,
		.high = marks->high << PAGE_SHIFT,
		.mid = marks->mid << PAGE_SHIFT,
		.low = marks->low << PAGE_SHIFT,
	};
	enter(z, darc_decide(z->state, marks, free, falls_ahead(z)), change);
	if (change->was == DARC_RECLAIMING && change->is == DARC_IDLE)
		z->stopped_above_high++;
	if (change->was == DARC_RECLAIMING && change->is == DARC_YIELDING)
		z->stopped_below_low++;
}

static void tell_look(const struct change *change)
{
	tell(change, change->is == DARC_YIELDING ? DARC_WHY_BELOW_LOW : DARC_WHY_ABOVE_HIGH);
}

/**
 * darc_look() - have a zone's state follow its free memory
 * @z:		the zone, while DARC is enabled
 *
 * Return: the state.  Wakes who starts and stops the kdamond where there is
 * something to do.
 */
enum darc_state darc_look(struct darc_zone *z)
{
	struct change change;
	struct darc_marks marks;

	spin_lock(&z->lock);
	look(z, darc_zone_free(z->zone), &marks, &change);
	spin_unlock(&z->lock);
	tell_look(&change);
	if (change.was != change.is && (change.was == DARC_IDLE || change.is == DARC_IDLE))
		darc_wake();
	return change.is;
}

/**
 * darc_look_by_clock() - the same, and see when to look again
 * @z:		the zone
 *
 * Return: in how many milliseconds, should no kdamond do it.
 */
unsigned int darc_look_by_clock(struct darc_zone *z)
{
	unsigned long now = jiffies, free = darc_zone_free(z->zone), passed;
	struct darc_marks marks;
	struct change change;
	unsigned int ms;

	spin_lock(&z->lock);
	passed = now - z->last_look;
	if (passed) {
		unsigned long fell = z->last_free > free ? z->last_free - free : 0;

		/* That it falls is believed at once, that it does not only later. */
		z->falling = max(damos_muldiv(fell, HZ, passed), z->falling / 2);
		z->last_free = free;
		z->last_look = now;
	}
	look(z, free, &marks, &change);
	ms = darc_next_look_ms(&marks, free, z->falling, zone_managed_pages(z->zone));
	spin_unlock(&z->lock);
	tell_look(&change);
	return ms;
}

/**
 * darc_end() - end what is done with a zone, as DARC is disabled
 * @z:		the zone, whose context no kdamond serves
 */
void darc_end(struct darc_zone *z)
{
	struct change change;
	struct darc_marks marks;

	spin_lock(&z->lock);
	look(z, darc_zone_free(z->zone), &marks, &change);
	tell_look(&change);
	enter(z, DARC_IDLE, &change);
	spin_unlock(&z->lock);
	tell(&change, DARC_WHY_DISABLED);
}

/* Count what the calling kdamond has spent. */
static void count_cpu(struct darc_zone *z)
{
	u64 all = current->se.sum_exec_runtime;

	spin_lock(&z->lock);
	z->cpu_ns += all - z->cpu_seen;
	z->cpu_seen = all;
	spin_unlock(&z->lock);
}

/*
 * A probe has its page look as if nobody had accessed it: it had better not be
 * reclaimed if somebody has.
 */
static void note_probes(struct darc_zone *z, const struct damon_probes *probes)
{
	unsigned long first = z->looks.first * PAGES_OF_BLOCK;
	unsigned int i;

	for (i = 0; i < probes->nr; i++) {
		unsigned long nr = PHYS_PFN(probes->probe[i].addr) - first;

		if (probes->probe[i].state != DAMON_PROBE_READY &&
		    nr < z->looks.nr * PAGES_OF_BLOCK)
			__set_bit(nr, z->looks.probed);
	}
}

/* What probes have hidden, in a block or a part of it, gets visible again. */
static void forget_probes(struct darc_zone *z, const struct damon_addr_range *block)
{
	unsigned long first = z->looks.first * PAGES_OF_BLOCK;
	unsigned long at = PHYS_PFN(block->start) - first, end = PHYS_PFN(block->end) - first;

	if (end > z->looks.nr * PAGES_OF_BLOCK)
		return;
	for_each_set_bit_from(at, z->looks.probed, end) {
		struct folio *folio = damon_get_folio(first + at);

		__clear_bit(at, z->looks.probed);
		if (!folio)
			continue;
		folio_clear_idle(folio);
		folio_put(folio);
	}
}

static bool sample(struct damon_ctx *ctx, struct damon_target *t,
		   struct damon_probes *done, struct damon_probes *next)
{
	struct darc_zone *z = ctx->owner;
	enum darc_state state = darc_look(z);
	bool is_there = true;

	darc_aim(z->scheme, &ctx->attrs, state, z->params.psi_us);
	count_cpu(z);
	if (state != DARC_YIELDING) {
		is_there = z->pa.sample(ctx, t, done, next);
		note_probes(z, next);
	} else {
		/* Who needs memory at once needs the CPU, too. */
		damon_set_states(done, DAMON_PROBE_UNKNOWN);
		damon_set_states(next, DAMON_PROBE_UNKNOWN);
	}
	return is_there;
}

/*
 * What is known of a block; NULL for one that memory was added for just now, and for
 * what is left of one that was cut by the quota: that belongs to the same look.
 */
static struct darc_look *find_look(const struct darc_zone *z, unsigned long addr)
{
	unsigned long idx = addr / BLOCK_SZ - z->looks.first;

	if (idx >= z->looks.nr || (addr == z->looks.next && addr % BLOCK_SZ))
		return NULL;
	return &z->looks.of[idx];
}

static bool is_due(const struct darc_zone *z, unsigned long addr, bool reclaim)
{
	const struct darc_look *look = find_look(z, addr);
	u32 age = msecs_to_jiffies(div_u64(min_age_us(z), USEC_PER_MSEC));

	return !look || darc_is_due(look, jiffies, age, reclaim);
}

static bool has_to_end(struct darc_zone *z, bool reclaim)
{
	return READ_ONCE(z->interrupt) ||
	       darc_look(z) != (reclaim ? DARC_RECLAIMING : DARC_WATCHING);
}

/*
 * Look at a block, or a part of it, and reclaim of it what it is time for.  When a block
 * is looked at for the first time it is not yet, so that leaves it as it is.
 */
static unsigned long apply_to_block(struct damon_ctx *ctx, struct damon_target *t,
				    const struct damon_addr_range *block, struct damos *s,
				    unsigned long *sz_passed)
{
	struct darc_zone *z = ctx->owner;
	struct darc_look *look = find_look(z, block->start);
	unsigned long done, passed = 0, seen = s->sz_seen;
	u32 now = jiffies;

	forget_probes(z, block);
	done = z->pa.apply_scheme(ctx, t, block, s, &passed);
	if (passed || (look && look->at))
		s->untouched = false;
	if (look)
		darc_note_look(look, now, s->sz_seen - seen, passed);
	z->looks.next = block->end;
	if (s->action != DAMOS_PAGEOUT)
		return 0;
	spin_lock(&z->lock);
	z->tried += (block->end - block->start) >> PAGE_SHIFT;
	z->sum.passed += passed >> PAGE_SHIFT;
	z->sum.reclaimed += done >> PAGE_SHIFT;
	spin_unlock(&z->lock);
	if (trace_darc_reclaim_enabled())
		trace_darc_reclaim(zone_to_nid(z->zone), z->zone->name, block, passed, done);
	*sz_passed += passed;
	return done;
}

static unsigned long apply(struct damon_ctx *ctx, struct damon_target *t,
			   const struct damon_addr_range *range, struct damos *s,
			   unsigned long *sz_passed)
{
	bool reclaim = s->action == DAMOS_PAGEOUT;
	struct damon_addr_range block = { .end = range->start };
	struct darc_zone *z = ctx->owner;
	unsigned long done = 0;

	s->untouched = true;
	while (block.end < range->end) {
		cond_resched();
		block.start = block.end;
		block.end = min(range->end, round_down(block.start, BLOCK_SZ) + BLOCK_SZ);
		if (!is_due(z, block.start, reclaim))
			continue;
		if (has_to_end(z, reclaim)) {
			darc_aim_at_nothing(s);
			break;
		}
		done += apply_to_block(ctx, t, &block, s, sz_passed);
	}
	return done;
}

static bool is_of_zone(const struct zone *zone, unsigned long pfn)
{
	struct page *page;
	bool is_of;

	/* As in damon_get_folio(). */
	rcu_read_lock();
	page = pfn_to_online_page(pfn);
	is_of = page && page_zone(page) == zone;
	rcu_read_unlock();
	return is_of;
}

/*
 * Ranges of addresses with memory of a zone, by blocks of pages.  Writes as many as
 * there is room for; returns how many there are.
 */
static unsigned int find_ranges(const struct zone *zone, struct damon_addr_range *ranges,
				unsigned int room)
{
	unsigned long pfn = zone->zone_start_pfn, end = zone_end_pfn(zone);
	bool inside = false;
	unsigned int nr = 0;

	while (pfn < end) {
		unsigned long next = min(pageblock_end_pfn(pfn), end);
		/* The first page of all may be one that nobody manages. */
		bool is_of = is_of_zone(zone, pfn) || is_of_zone(zone, next - 1);

		if (is_of && !inside) {
			if (nr < room)
				ranges[nr].start = PFN_PHYS(pfn);
			nr++;
		}
		if (is_of && nr <= room)
			ranges[nr - 1].end = PFN_PHYS(next);
		inside = is_of;
		pfn = next;
		cond_resched();
	}
	return nr;
}

static void free_looks(struct darc_zone *z)
{
	kvfree(z->looks.of);
	kvfree(z->looks.probed);
	z->looks = (struct darc_looks){};
}

static int renew_looks(struct darc_zone *z)
{
	unsigned long end = PFN_PHYS(zone_end_pfn(z->zone));
	unsigned long first = PFN_PHYS(z->zone->zone_start_pfn) / BLOCK_SZ;
	unsigned long nr = DIV_ROUND_UP(end, BLOCK_SZ) - first;
	unsigned long *probed;
	struct darc_look *of;

	if (first == z->looks.first && nr == z->looks.nr)
		return 0;
	of = kvcalloc(nr, sizeof(*of), GFP_KERNEL);
	probed = kvcalloc(BITS_TO_LONGS(nr * PAGES_OF_BLOCK), sizeof(*probed), GFP_KERNEL);
	if (!of || !probed) {
		kvfree(of);
		kvfree(probed);
		return -ENOMEM;
	}
	free_looks(z);
	z->looks = (struct darc_looks){
		.of = of, .probed = probed, .nr = nr, .first = first,
	};
	return 0;
}

/* Have the context cover what the zone has of memory now. */
static int renew_ranges(struct darc_zone *z)
{
	struct damon_target *t = list_first_entry(&z->ctx->adaptive_targets,
						  struct damon_target, list);
	struct damon_addr_range *ranges;
	unsigned int nr, found;
	int err;

	err = renew_looks(z);
	if (err)
		return err;
	nr = find_ranges(z->zone, NULL, 0);
	if (!nr)
		return -ENOENT;
	ranges = kvmalloc_array(nr, sizeof(*ranges), GFP_KERNEL);
	if (!ranges)
		return -ENOMEM;
	/* Memory may come and go meanwhile: then we are going to be told. */
	found = find_ranges(z->zone, ranges, nr);
	err = damon_set_regions(t, ranges, min(found, nr));
	kvfree(ranges);
	if (!err)
		z->stale = false;
	return err;
}

static int set_params(struct darc_zone *z, const struct darc_params *params)
{
	struct damon_target *t = list_first_entry(&z->ctx->adaptive_targets,
						  struct damon_target, list);
	struct damon_attrs attrs;
	int err;

	darc_set_attrs(&attrs, params->min_age_us,
		       size_mul(zone_managed_pages(z->zone), PAGE_SIZE));
	/* A zone in many pieces has a region for each. */
	attrs.max_nr_regions = max_t(unsigned long, attrs.max_nr_regions, damon_nr_ranges(t));
	err = damon_set_attrs(z->ctx, &attrs);
	if (err)
		return err;
	z->params = *params;
	darc_set_quota(z->scheme, params);
	return 0;
}

/**
 * darc_new_ctx() - get ready to monitor a zone
 * @z:		the zone
 * @params:	what users say
 *
 * Return: 0, or -ENOMEM, after which darc_free_ctx() is to be called.  Called with
 * darc_lock held; sleeps.
 */
int darc_new_ctx(struct darc_zone *z, const struct darc_params *params)
{
	struct damon_target *t = damon_new_target();
	struct damon_ctx *ctx = damon_new_ctx();
	int err = -ENOMEM;

	if (ctx && t) {
		damon_add_target(ctx, t);
		t = NULL;
		z->scheme = darc_new_scheme(darc_has_psi());
		if (z->scheme) {
			damon_add_scheme(ctx, z->scheme);
			err = damon_select_ops(ctx, DAMON_OPS_PADDR);
		}
	}
	if (err) {
		if (t)
			damon_destroy_target(t);
		if (ctx)
			damon_destroy_ctx(ctx);
		return err;
	}
	z->pa = ctx->ops;
	ctx->ops.sample = sample;
	ctx->ops.apply_scheme = apply;
	ctx->owner = z;
	ctx->nid = zone_to_nid(z->zone);
	z->ctx = ctx;
	z->stale = true;
	z->care = 0;
	err = renew_ranges(z);
	/* It has lost its memory just now: then it is going to be looked at again. */
	if (err == -ENOENT)
		err = 0;
	return err ?: set_params(z, params);
}

/**
 * darc_free_ctx() - undo darc_new_ctx()
 * @z:		the zone, whose context no kdamond serves; or without one
 *
 * Called with darc_lock held.
 */
void darc_free_ctx(struct darc_zone *z)
{
	if (z->ctx)
		damon_destroy_ctx(z->ctx);
	z->ctx = NULL;
	free_looks(z);
}

/**
 * darc_wants_ctx() - whether a zone is to be monitored now
 * @z:		the zone
 *
 * Called with darc_lock held.
 */
bool darc_wants_ctx(const struct darc_zone *z)
{
	switch (READ_ONCE(z->state)) {
	case DARC_WATCHING:
	case DARC_RECLAIMING:
		return true;
	case DARC_YIELDING:
		return damon_is_running(z->ctx) &&
		       time_before(jiffies, READ_ONCE(z->since) + LINGER);
	default:
		return false;
	}
}

/**
 * darc_run() - have a kdamond monitor a zone
 * @z:		the zone, with a context
 *
 * Return: 0, -EBUSY while somebody uses DAMON exclusively, or -ENOMEM.  Called with
 * darc_lock held; sleeps.
 */
int darc_run(struct darc_zone *z)
{
	int err;

	if (z->stale) {
		darc_halt(z);
		err = renew_ranges(z);
		if (!err)
			err = set_params(z, &darc_params);
		if (err)
			return err;
	}
	if (damon_is_running(z->ctx))
		return 0;
	/* So that pressure of the time without one does not count. */
	darc_aim_at_nothing(z->scheme);
	z->cpu_seen = 0;
	return damon_start(&z->ctx, 1, false);
}

/**
 * darc_halt() - have no kdamond monitor a zone
 * @z:		the zone, with a context
 *
 * Called with darc_lock held; sleeps.
 */
void darc_halt(struct darc_zone *z)
{
	WRITE_ONCE(z->interrupt, true);
	damon_stop(&z->ctx, 1);
	WRITE_ONCE(z->interrupt, false);
}

/* What the kdamond is to be told. */
struct renewal {
	struct darc_zone *z;
	const struct darc_params *params;
};

static int renew(void *data)
{
	struct renewal *renewal = data;

	return set_params(renewal->z, renewal->params);
}

/**
 * darc_renew_params() - go on by what users say now
 * @z:		the zone, with a context
 * @params:	what that is
 *
 * Return: 0; -EINTR for a fatal signal, after which the kdamond is told at the next
 * look at the zone.  Called with darc_lock held; sleeps.
 */
int darc_renew_params(struct darc_zone *z, const struct darc_params *params)
{
	struct renewal renewal = { .z = z, .params = params };
	struct damon_call_control control = { .fn = renew, .data = &renewal };
	int err;

	WRITE_ONCE(z->interrupt, true);
	err = damon_call(z->ctx, &control);
	WRITE_ONCE(z->interrupt, false);
	if (err == -EINTR) {
		z->stale = true;
		return err;
	}
	if (err)	/* There is no kdamond. */
		return set_params(z, params);
	return control.return_code;
}
