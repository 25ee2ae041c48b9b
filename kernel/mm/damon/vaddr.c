// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual address spaces of processes.
 *
 * A target's probes are in order of address, and are served in one go, with one
 * hold of mmap_lock and, most of the time, one look-up a mapping.
 */

#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/oom.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>

#include "actions.h"
#include "ops-common.h"

/* Look that often, by probes, whether somebody waits for the lock or the CPU. */
#define PROBES_PER_HOLD		64

/* A process has code and heap, then mapped files and memory, then the stack. */
#define NR_RANGES		3

/* A walk over mappings, from low addresses to high ones. */
struct va_walk {
	struct mm_struct *mm;
	struct vm_area_struct *vma;	/* the one at the address, or after it */
	bool valid;			/* @vma has been looked up */
	unsigned int served;
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

static struct vm_area_struct *vma_at(struct va_walk *walk, unsigned long addr)
{
	if (!walk->valid || (walk->vma && addr >= walk->vma->vm_end)) {
		walk->vma = find_vma(walk->mm, addr);
		walk->valid = true;
	}
	if (!walk->vma || addr < walk->vma->vm_start)
		return NULL;
	return walk->vma;
}

static void give_way(struct va_walk *walk)
{
	if (++walk->served % PROBES_PER_HOLD)
		return;
	if (!need_resched() && !mmap_lock_is_contended(walk->mm))
		return;
	mmap_read_unlock(walk->mm);
	cond_resched();
	mmap_read_lock(walk->mm);
	walk->valid = false;
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
	struct va_walk walk = { .mm = damon_va_get_mm(t) };
	struct vm_area_struct *vma;
	unsigned int i;

	if (!walk.mm) {
		for (i = 0; i < done->nr; i++)
			done->probe[i].state = DAMON_PROBE_IDLE;
		return is_unreaped(t);
	}
	mmap_read_lock(walk.mm);
	for (i = 0; i < done->nr; i++) {
		struct damon_probe *probe = &done->probe[i];

		vma = vma_at(&walk, probe->addr);
		probe->state = vma && damon_vma_young(vma, probe->addr) ?
			       DAMON_PROBE_ACCESSED : DAMON_PROBE_IDLE;
		give_way(&walk);
	}
	/* Only now: a huge page may have probes of both. */
	walk.valid = false;
	for (i = 0; i < next->nr; i++) {
		vma = vma_at(&walk, next->probe[i].addr);
		if (vma)
			damon_vma_mkold(vma, next->probe[i].addr);
		give_way(&walk);
	}
	mmap_read_unlock(walk.mm);
	damon_va_put_mm(walk.mm);
	return true;
}

/*
 * Ranges that cover all mappings but not the largest gaps between them.
 *
 * Returns how many there are: none where nothing is mapped.
 */
static unsigned int find_ranges(struct mm_struct *mm, struct damon_addr_range *ranges)
{
	struct damon_addr_range gaps[NR_RANGES - 1] = {};
	struct vm_area_struct *vma;
	unsigned long start = 0, end = 0;
	unsigned int i, nr = 0;
	bool any = false;

	VMA_ITERATOR(vmi, mm, 0);
	mmap_read_lock(mm);
	for_each_vma(vmi, vma) {
		struct damon_addr_range gap = { end, vma->vm_start };

		if (!any)
			start = vma->vm_start;
		/* The gaps in order of size, the smallest drops out. */
		for (i = 0; any && i < ARRAY_SIZE(gaps); i++) {
			if (gap.end - gap.start > gaps[i].end - gaps[i].start)
				swap(gap, gaps[i]);
		}
		any = true;
		end = vma->vm_end;
	}
	mmap_read_unlock(mm);
	if (!any)
		return 0;

	if (gaps[0].start > gaps[1].start)
		swap(gaps[0], gaps[1]);
	for (i = 0; i < ARRAY_SIZE(gaps); i++) {
		if (gaps[i].start == gaps[i].end)
			continue;
		ranges[nr++] = (struct damon_addr_range){ start, gaps[i].start };
		start = gaps[i].end;
	}
	ranges[nr++] = (struct damon_addr_range){ start, end };
	return nr;
}

static void va_follow(struct damon_target *t)
{
	struct damon_addr_range ranges[NR_RANGES];
	struct mm_struct *mm = damon_va_get_mm(t);
	unsigned int nr;

	if (!mm)
		return;
	nr = find_ranges(mm, ranges);
	damon_va_put_mm(mm);
	/* Without memory for it, the old ones have to do until the next time. */
	if (nr)
		damon_set_regions(t, ranges, nr);
}

static void va_init(struct damon_ctx *ctx)
{
	struct damon_target *t;

	damon_for_each_target(t, ctx) {
		if (!t->nr_regions)
			va_follow(t);
	}
}

static void va_update(struct damon_ctx *ctx)
{
	struct damon_target *t;

	damon_for_each_target(t, ctx) {
		if (!t->gone)
			va_follow(t);
	}
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
