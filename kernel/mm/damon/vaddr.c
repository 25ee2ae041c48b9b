// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual address spaces of processes.
 *
 * A target's probes are in order of address, and are served in one go, with one
 * hold of mmap_lock and, most of the time, one look-up a mapping and a page table.
 *
 * No process may keep the others from being monitored, or the kdamond from being
 * stopped.  So nothing waits for mmap_lock, which fork() of a large process holds for
 * seconds: what could not be looked at is unknown, and what could not be done is for
 * the next time.
 */

#include <kunit/static_stub.h>
#include <linux/damon.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/oom.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/sort.h>

#include "actions.h"
#include "ops-common.h"

/* Look that often, by probes, whether somebody waits for the lock or the CPU. */
#define PROBES_PER_HOLD		64

/* Try that often to lock the address space of a process that was not busy before. */
#define LOCK_TRIES		4
#define LOCK_PAUSE_US		50

/* Mappings to go on by, one after the other, before searching. */
#define STEPS_TO_VMA		2

/*
 * A process has code and heap, then mapped files and memory, then the stack: the
 * two largest gaps are between these.  There may be others that are large.
 */
#define NR_MAIN_GAPS		2
#define NR_GAPS			15

/* Compared with what is mapped, so large a part is not worth any samples. */
#define GAP_SHARE		16

/* A walk over mappings, from low addresses to high ones. */
struct va_walk {
	struct mm_struct *mm;
	struct vma_iterator vmi;
	struct vm_area_struct *vma;	/* the one at the address, or after it */
	bool valid;			/* @vma has been looked up */
	bool locked;			/* mmap_lock is held */
	unsigned int served;		/* probes in this hold of the lock */
};

/**
 * damon_va_get_mm() - the address space of a target
 * @t:		the target
 *
 * Return: it, with a reference; NULL when the process is gone.
 */
struct mm_struct *damon_va_get_mm(const struct damon_target *t)
{
	struct task_struct *task, *locked;
	struct mm_struct *mm = NULL;

	KUNIT_STATIC_STUB_REDIRECT(damon_va_get_mm, t);
	task = get_pid_task(t->pid, PIDTYPE_PID);
	if (!task)
		return NULL;
	/* The first thread may have ended before the others. */
	rcu_read_lock();
	locked = find_lock_task_mm(task);
	if (locked) {
		/* What a kernel thread has is somebody else's. */
		if (!(locked->flags & PF_KTHREAD)) {
			mm = locked->mm;
			mmget(mm);
		}
		task_unlock(locked);
	}
	rcu_read_unlock();
	put_task_struct(task);
	return mm;
}

/**
 * damon_va_put_mm() - drop the reference of an address space
 * @mm:		the address space
 *
 * Should it be the last one, then its end is not the caller's work.
 */
void damon_va_put_mm(struct mm_struct *mm)
{
	mmput_async(mm);
}

/**
 * damon_va_lock() - lock an address space for reading, if that takes no time
 * @t:		the target that it is of
 * @mm:		the address space
 *
 * Return: whether it is locked: mmap_read_unlock() is for the caller to call.
 */
bool damon_va_lock(struct damon_target *t, struct mm_struct *mm)
{
	unsigned int tries = t->busy ? 1 : LOCK_TRIES;
	bool locked = mmap_read_trylock(mm);

	/* Programs that map and unmap a lot hold it often, but not for long. */
	while (!locked && --tries && !kthread_should_stop()) {
		usleep_range(LOCK_PAUSE_US, 2 * LOCK_PAUSE_US);
		locked = mmap_read_trylock(mm);
	}
	t->busy = !locked;
	return locked;
}

static struct vm_area_struct *vma_at(struct va_walk *walk, unsigned long addr)
{
	unsigned int i;

	/* The next one is close by; to search for one far away costs more. */
	for (i = 0; walk->valid && i < STEPS_TO_VMA; i++) {
		if (!walk->vma || addr < walk->vma->vm_end)
			break;
		walk->vma = vma_next(&walk->vmi);
	}
	if (!walk->valid || (walk->vma && addr >= walk->vma->vm_end)) {
		vma_iter_init(&walk->vmi, walk->mm, addr);
		walk->vma = vma_find(&walk->vmi, ULONG_MAX);
		walk->valid = true;
	}
	if (!walk->vma || addr < walk->vma->vm_start)
		return NULL;
	return walk->vma;
}

static void give_way(struct va_walk *walk)
{
	if (walk->served < PROBES_PER_HOLD)
		return;
	walk->served = 0;
	if (walk->locked && !need_resched() && !mmap_lock_is_contended(walk->mm))
		return;
	if (walk->locked)
		mmap_read_unlock(walk->mm);
	cond_resched();
	walk->locked = mmap_read_trylock(walk->mm);
	walk->valid = false;
}

/* Take those before an address off the front. */
static struct damon_probes take_before(struct damon_probes *probes, unsigned long end)
{
	struct damon_probes taken = { .probe = probes->probe };

	while (taken.nr < probes->nr && taken.probe[taken.nr].addr < end)
		taken.nr++;
	probes->probe += taken.nr;
	probes->nr -= taken.nr;
	return taken;
}

static unsigned long first_addr(const struct damon_probes *probes)
{
	return probes->nr ? probes->probe[0].addr : ULONG_MAX;
}

/* Serve the first of both, with what the same page table has the answers to. */
static void serve_some(struct va_walk *walk, struct damon_probes *done,
		       struct damon_probes *next)
{
	unsigned long addr = min(first_addr(done), first_addr(next));
	struct vm_area_struct *vma = vma_at(walk, addr);
	struct damon_probes looked_at, made_ready;
	unsigned long end = ULONG_MAX;

	if (vma)
		end = damon_vma_table_end(vma, addr);
	else if (walk->vma)
		end = walk->vma->vm_start;
	looked_at = take_before(done, end);
	made_ready = take_before(next, end);
	walk->served += looked_at.nr + made_ready.nr;
	if (vma) {
		damon_vma_sample(vma, addr, &looked_at, &made_ready);
		return;
	}
	damon_set_outcomes(&looked_at, DAMON_PROBE_IDLE);
	damon_set_states(&made_ready, DAMON_PROBE_READY);
}

/*
 * The same while somebody else has mmap_lock: he may have to do with other mappings
 * only.
 */
static void serve_some_unlocked(struct va_walk *walk, struct damon_probes *done,
				struct damon_probes *next)
{
	unsigned long addr = min(first_addr(done), first_addr(next));
	struct vm_area_struct *vma = lock_vma_under_rcu(walk->mm, addr);
	unsigned long end = (addr | ~PAGE_MASK) + 1;
	struct damon_probes looked_at, made_ready;

	if (vma)
		end = damon_vma_table_end(vma, addr);
	looked_at = take_before(done, end);
	made_ready = take_before(next, end);
	walk->served += looked_at.nr + made_ready.nr;
	if (vma) {
		damon_vma_sample(vma, addr, &looked_at, &made_ready);
		vma_end_read(vma);
		return;
	}
	/* A hole, maybe. */
	damon_set_outcomes(&looked_at, DAMON_PROBE_UNKNOWN);
	damon_set_states(&made_ready, DAMON_PROBE_UNKNOWN);
}

/*
 * Whether a process without memory has ended, and its parent has not noticed yet.
 * Until then it stays a target: who started it may still ask for results.
 */
static bool is_unreaped(const struct damon_target *t)
{
	struct task_struct *task = get_pid_task(t->pid, PIDTYPE_PID);
	bool unreaped;

	if (!task)
		return false;
	unreaped = READ_ONCE(task->flags) & PF_EXITING;
	put_task_struct(task);
	return unreaped;
}

static bool va_sample(struct damon_ctx *ctx, struct damon_target *t,
		      struct damon_probes *done, struct damon_probes *next)
{
	struct damon_probes to_look_at = *done, to_make_ready = *next;
	struct va_walk walk = { .mm = damon_va_get_mm(t) };

	if (!walk.mm) {
		damon_set_outcomes(done, DAMON_PROBE_IDLE);
		damon_set_states(next, DAMON_PROBE_READY);
		return is_unreaped(t);
	}
	walk.locked = mmap_read_trylock(walk.mm);
	while (to_look_at.nr || to_make_ready.nr) {
		if (walk.locked)
			serve_some(&walk, &to_look_at, &to_make_ready);
		else
			serve_some_unlocked(&walk, &to_look_at, &to_make_ready);
		give_way(&walk);
	}
	if (walk.locked)
		mmap_read_unlock(walk.mm);
	damon_va_put_mm(walk.mm);
	return true;
}

/* The largest gaps between mappings. */
struct gaps {
	struct damon_addr_range gap[NR_GAPS];	/* the largest first, then empty ones */
	struct damon_addr_range all;		/* from the first mapping to the last */
	unsigned long mapped;
};

static unsigned long gap_size(const struct damon_addr_range *gap)
{
	return gap->end - gap->start;
}

/* With mmap_lock held. */
static void find_gaps(struct mm_struct *mm, struct gaps *gaps)
{
	struct vm_area_struct *vma;
	unsigned int i;

	VMA_ITERATOR(vmi, mm, 0);
	for_each_vma(vmi, vma) {
		struct damon_addr_range gap = { gaps->all.end, vma->vm_start };

		if (!gaps->mapped) {
			gaps->all.start = vma->vm_start;
			gap.start = vma->vm_start;
		}
		gaps->mapped += vma->vm_end - vma->vm_start;
		gaps->all.end = vma->vm_end;
		/* The smallest drops out. */
		for (i = NR_GAPS; i && gap_size(&gap) > gap_size(&gaps->gap[i - 1]); i--) {
			if (i < NR_GAPS)
				gaps->gap[i] = gaps->gap[i - 1];
			gaps->gap[i - 1] = gap;
		}
	}
}

static int by_address(const void *a, const void *b)
{
	const struct damon_addr_range *gap_a = a, *gap_b = b;

	return gap_a->start < gap_b->start ? -1 : 1;
}

/*
 * Ranges that cover all mappings but not the largest gaps between them.
 *
 * Returns how many there are: none where nothing is mapped.
 */
static unsigned int find_ranges(struct gaps *gaps, struct damon_addr_range *ranges)
{
	unsigned int i, nr = 0;
	unsigned long start;

	if (!gaps->mapped)
		return 0;
	while (nr < NR_GAPS && gap_size(&gaps->gap[nr]) &&
	       (nr < NR_MAIN_GAPS || gap_size(&gaps->gap[nr]) > gaps->mapped / GAP_SHARE))
		nr++;
	sort(gaps->gap, nr, sizeof(*gaps->gap), by_address, NULL);
	start = gaps->all.start;
	for (i = 0; i < nr; i++) {
		ranges[i] = (struct damon_addr_range){ start, gaps->gap[i].start };
		start = gaps->gap[i].end;
	}
	ranges[nr] = (struct damon_addr_range){ start, gaps->all.end };
	return nr + 1;
}

/* False where somebody else has the address space locked: that is for later. */
static bool va_follow(struct damon_target *t)
{
	struct damon_addr_range ranges[NR_GAPS + 1];
	struct mm_struct *mm = damon_va_get_mm(t);
	struct gaps gaps = {};
	unsigned int nr;
	bool locked;

	if (!mm)
		return true;
	locked = damon_va_lock(t, mm);
	if (locked) {
		find_gaps(mm, &gaps);
		mmap_read_unlock(mm);
	}
	damon_va_put_mm(mm);
	nr = find_ranges(&gaps, ranges);
	/* Without memory for it, the old ones have to do until the next time. */
	if (nr)
		damon_set_regions(t, ranges, nr);
	return locked;
}

static bool va_init(struct damon_ctx *ctx)
{
	struct damon_target *t;
	bool all = true;

	damon_for_each_target(t, ctx) {
		cond_resched();
		if (!t->nr_regions)
			all &= va_follow(t);
	}
	return all;
}

static bool va_update(struct damon_ctx *ctx)
{
	struct damon_target *t;
	bool all = true;

	damon_for_each_target(t, ctx) {
		cond_resched();
		if (!t->gone)
			all &= va_follow(t);
	}
	return all;
}

static int __init damon_va_init(void)
{
	struct damon_operations ops = {
		.id = DAMON_OPS_VADDR,
		.init = va_init,
		.update = va_update,
		.sample = va_sample,
		.actions = DAMON_VA_ACTIONS,
		.page_actions = DAMON_VA_PAGE_ACTIONS,
		.filters = DAMON_PAGE_FILTERS,
		.apply_scheme = damon_va_apply_scheme,
	};
	struct damon_operations fixed_ops = {
		.id = DAMON_OPS_FVADDR,
		.sample = va_sample,
		.actions = DAMON_VA_ACTIONS,
		.page_actions = DAMON_VA_PAGE_ACTIONS,
		.filters = DAMON_PAGE_FILTERS,
		.apply_scheme = damon_va_apply_scheme,
	};

	return damon_register_ops(&ops) ?: damon_register_ops(&fixed_ops);
}
subsys_initcall(damon_va_init);
