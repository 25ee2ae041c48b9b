// SPDX-License-Identifier: GPL-2.0
/*
 * The kdamonds, and how they serve contexts.
 *
 * A kdamond sleeps until the next sampling interval of one of its contexts
 * ends, and has monitor.c do what is due then.  In between it calls what others
 * ask it to (damon_call()), so that nobody else ever touches the targets of a
 * context that is being served.  A scheme may take minutes: its work is done in
 * bites, see apply.c, between which damon_serve_callers() calls what only reads,
 * and for all else has the scheme leave the rest of its work for later.
 *
 * A kdamond freezes for suspend and hibernation, between two samples or two bites, and
 * begins to monitor anew when it is thawed: what it had made ready to see is long past.
 * Who has a kdamond called or stopped waits meanwhile, so that nobody may do this from
 * what is to be frozen after the processes of users.
 *
 * Locks: damon_lock protects how many contexts are served.  A context's
 * kdamond_lock protects its thread, its calls and its walk; it is a spinlock, so
 * that who sees a context without a thread may free it at once.
 */

#define pr_fmt(fmt) "damon: " fmt

#include <linux/damon.h>
#include <linux/freezer.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/sched/isolation.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/topology.h>

#include "monitor.h"
#include "schemes.h"
#include "targets.h"

#define CREATE_TRACE_POINTS
#include <trace/events/damon.h>

/* A timer may be late by this part of the sampling interval. */
#define SLACK_SHARE	128

static DEFINE_MUTEX(damon_lock);
static int nr_running_ctxs;
static bool running_exclusively;

/* A thread, and the contexts that it serves. */
struct kdamond {
	struct list_head ctxs;
	struct completion started;
};

/*
 * The first of the calls that wait, or of those that only read.  Taken off the list it
 * is the kdamond's: its caller waits for it even when killed.
 */
static struct damon_call_control *take_call(struct damon_ctx *ctx, bool only_reads)
{
	struct damon_call_control *control, *found = NULL;

	spin_lock(&ctx->kdamond_lock);
	list_for_each_entry(control, &ctx->calls, list) {
		if (!only_reads || control->only_reads) {
			list_del_init(&control->list);
			found = control;
			break;
		}
	}
	spin_unlock(&ctx->kdamond_lock);
	return found;
}

static void run_calls(struct damon_ctx *ctx, bool only_reads)
{
	struct damon_call_control *control;

	while ((control = take_call(ctx, only_reads))) {
		control->return_code = control->fn(control->data);
		/* The caller may free it from here on. */
		complete(&control->done);
		cond_resched();
	}
}

static bool has_calls(struct kdamond *kdamond)
{
	struct damon_ctx *ctx;

	list_for_each_entry(ctx, &kdamond->ctxs, group) {
		if (!list_empty_careful(&ctx->calls))
			return true;
	}
	return false;
}

/**
 * damon_serve_callers() - let others have their turn in the midst of a scheme's work
 * @ctx:	a context of the calling kdamond, or one that none serves
 *
 * Calls what only reads, for all contexts of the kdamond.
 *
 * Return: whether the rest of the work is to be left for later, as the kdamond is
 * wanted for something else.  Called with nothing locked; sleeps.
 */
bool damon_serve_callers(struct damon_ctx *ctx)
{
	struct kdamond *kdamond;
	struct damon_ctx *each;

	if (kthread_should_stop())
		return true;
	if (READ_ONCE(ctx->kdamond) != current)
		return false;
	if (freezing(current))
		return true;
	kdamond = kthread_data(current);
	if (!has_calls(kdamond))
		return false;
	list_for_each_entry(each, &kdamond->ctxs, group)
		run_calls(each, true);
	return has_calls(kdamond);
}

/* Until the first of the contexts' sampling intervals ends, or somebody calls. */
static void sleep_until_due(struct kdamond *kdamond)
{
	ktime_t until = KTIME_MAX;
	struct damon_ctx *ctx;
	u64 slack = 0;

	list_for_each_entry(ctx, &kdamond->ctxs, group) {
		if (ctx->active && ktime_before(ctx->next_sample, until)) {
			until = ctx->next_sample;
			slack = damon_sample_ns(ctx) / SLACK_SHARE;
		}
	}
	set_current_state(TASK_IDLE);
	if (!kthread_should_stop() && !has_calls(kdamond))
		schedule_hrtimeout_range(&until, slack, HRTIMER_MODE_ABS);
	__set_current_state(TASK_RUNNING);
}

/* From here on the context is its owner's again, who may free it. */
static void leave(struct damon_ctx *ctx)
{
	struct damon_call_control *control, *next;

	list_del_init(&ctx->group);
	spin_lock(&ctx->kdamond_lock);
	damos_cancel_walk(ctx);
	list_for_each_entry_safe(control, next, &ctx->calls, list) {
		list_del_init(&control->list);
		control->canceled = true;
		complete(&control->done);
	}
	ctx->kdamond = NULL;
	spin_unlock(&ctx->kdamond_lock);
}

/* Have all contexts begin anew. */
static void restart(struct kdamond *kdamond)
{
	struct damon_ctx *ctx;

	list_for_each_entry(ctx, &kdamond->ctxs, group)
		ctx->restart = true;
}

static int kdamond_fn(void *data)
{
	struct kdamond *kdamond = data;
	struct damon_ctx *ctx, *next;
	bool active = true, was_frozen;
	int nr = 0;

	restart(kdamond);
	complete(&kdamond->started);
	/* Nobody waits for it to start any more, so that it may freeze. */
	set_freezable();

	while (active && !kthread_freezable_should_stop(&was_frozen)) {
		if (was_frozen)
			restart(kdamond);
		active = false;
		list_for_each_entry(ctx, &kdamond->ctxs, group) {
			run_calls(ctx, false);
			damon_serve(ctx);
			active |= ctx->active;
		}
		if (active)
			sleep_until_due(kdamond);
		cond_resched();
	}

	/* Before the contexts are let go: who sees them free may start anew. */
	list_for_each_entry(ctx, &kdamond->ctxs, group)
		nr++;
	mutex_lock(&damon_lock);
	nr_running_ctxs -= nr;
	if (!nr_running_ctxs)
		running_exclusively = false;
	mutex_unlock(&damon_lock);
	list_for_each_entry_safe(ctx, next, &kdamond->ctxs, group)
		leave(ctx);
	kfree(kdamond);
	return 0;
}

/* The node that all contexts are to be served on. */
static int common_node(struct damon_ctx **ctxs, int nr_ctxs)
{
	int i;

	for (i = 1; i < nr_ctxs; i++) {
		if (ctxs[i]->nid != ctxs[0]->nid)
			return NUMA_NO_NODE;
	}
	return ctxs[0]->nid;
}

/* Users may still move it.  Nodes may have no CPUs. */
static void run_on_node(struct task_struct *task, int nid)
{
	cpumask_var_t cpus;

	if (nid == NUMA_NO_NODE || !zalloc_cpumask_var(&cpus, GFP_KERNEL))
		return;
	if (cpumask_and(cpus, cpumask_of_node(nid), housekeeping_cpumask(HK_TYPE_KTHREAD)))
		set_cpus_allowed_ptr(task, cpus);
	free_cpumask_var(cpus);
}

/**
 * damon_start_group() - have one new kdamond serve contexts
 * @ctxs:	contexts with operations selected, which no kdamond serves
 * @nr_ctxs:	how many, at least one
 * @exclusive:	let nobody else use DAMON meanwhile
 *
 * Return: 0; -EBUSY while somebody uses DAMON exclusively, or, with @exclusive,
 * at all, or where a context is served already; -EINVAL for a context without
 * operations; what damos_check(), damon_check_bound() or the making of a thread
 * returns.  Sleeps.
 */
int damon_start_group(struct damon_ctx **ctxs, int nr_ctxs, bool exclusive)
{
	struct task_struct *task;
	struct kdamond *kdamond;
	int i, nid, err = 0;

	if (nr_ctxs < 1)
		return -EINVAL;
	kdamond = kmalloc(sizeof(*kdamond), GFP_KERNEL);
	if (!kdamond)
		return -ENOMEM;
	INIT_LIST_HEAD(&kdamond->ctxs);
	init_completion(&kdamond->started);

	mutex_lock(&damon_lock);
	if (running_exclusively || (exclusive && nr_running_ctxs))
		err = -EBUSY;
	for (i = 0; i < nr_ctxs && !err; i++) {
		if (ctxs[i]->ops.id >= NR_DAMON_OPS)
			err = -EINVAL;
		else if (damon_is_running(ctxs[i]))
			err = -EBUSY;
		else
			err = damos_check(ctxs[i]) ?: damon_check_bound(ctxs[i]);
	}
	if (err)
		goto out;
	nid = common_node(ctxs, nr_ctxs);
	task = kthread_create_on_node(kdamond_fn, kdamond, nid, "kdamond.%d", nr_running_ctxs);
	if (IS_ERR(task)) {
		err = PTR_ERR(task);
		goto out;
	}
	run_on_node(task, nid);
	for (i = 0; i < nr_ctxs; i++) {
		list_add_tail(&ctxs[i]->group, &kdamond->ctxs);
		ctxs[i]->idx = i;
		spin_lock(&ctxs[i]->kdamond_lock);
		ctxs[i]->kdamond = task;
		spin_unlock(&ctxs[i]->kdamond_lock);
	}
	nr_running_ctxs += nr_ctxs;
	running_exclusively = exclusive;
	wake_up_process(task);
	/* A thread that is stopped before it runs would never clean up. */
	wait_for_completion(&kdamond->started);
	mutex_unlock(&damon_lock);
	return 0;
out:
	mutex_unlock(&damon_lock);
	kfree(kdamond);
	return err;
}

/**
 * damon_start() - have a new kdamond for each context serve it
 * @ctxs:	contexts with operations selected, which no kdamond serves
 * @nr_ctxs:	how many
 * @exclusive:	let nobody else use DAMON meanwhile
 *
 * Return: 0 or the first error, see damon_start_group(), after which none of
 * them is served.  Sleeps.
 */
int damon_start(struct damon_ctx **ctxs, int nr_ctxs, bool exclusive)
{
	int i, err;

	/* One at a time could not all be exclusive. */
	if (exclusive && nr_ctxs > 1)
		return damon_start_group(ctxs, nr_ctxs, exclusive);
	for (i = 0; i < nr_ctxs; i++) {
		err = damon_start_group(&ctxs[i], 1, exclusive);
		if (err) {
			damon_stop(ctxs, i);
			return err;
		}
	}
	return 0;
}

/**
 * damon_stop() - end the kdamonds of contexts
 * @ctxs:	the contexts
 * @nr_ctxs:	how many
 *
 * When it returns they are not served any more.  Returns 0, or -EPERM where none
 * of them was.  Must not be called by a kdamond.  Sleeps.
 */
int damon_stop(struct damon_ctx **ctxs, int nr_ctxs)
{
	int i, err = -EPERM;

	for (i = 0; i < nr_ctxs; i++) {
		struct task_struct *task;

		spin_lock(&ctxs[i]->kdamond_lock);
		task = ctxs[i]->kdamond;
		if (task)
			get_task_struct(task);
		spin_unlock(&ctxs[i]->kdamond_lock);
		if (task) {
			kthread_stop_put(task);
			err = 0;
		}
	}
	return err;
}

/**
 * damon_is_running() - whether a kdamond serves a context
 * @ctx:	the context
 */
bool damon_is_running(struct damon_ctx *ctx)
{
	bool running;

	spin_lock(&ctx->kdamond_lock);
	running = ctx->kdamond;
	spin_unlock(&ctx->kdamond_lock);
	return running;
}

/**
 * damon_kdamond_pid() - the thread that serves a context
 * @ctx:	the context
 *
 * Return: its id, or -1 while none does.
 */
int damon_kdamond_pid(struct damon_ctx *ctx)
{
	int pid = -1;

	spin_lock(&ctx->kdamond_lock);
	if (ctx->kdamond)
		pid = ctx->kdamond->pid;
	spin_unlock(&ctx->kdamond_lock);
	return pid;
}

/**
 * damon_nr_running_ctxs() - how many contexts are served, by all kdamonds
 */
int damon_nr_running_ctxs(void)
{
	int nr;

	mutex_lock(&damon_lock);
	nr = nr_running_ctxs;
	mutex_unlock(&damon_lock);
	return nr;
}

/* Whether it was called, or is being called right now, is known with the lock held. */
static bool withdraw_call(struct damon_ctx *ctx, struct damon_call_control *control)
{
	bool waits;

	spin_lock(&ctx->kdamond_lock);
	waits = !list_empty(&control->list);
	list_del_init(&control->list);
	spin_unlock(&ctx->kdamond_lock);
	return waits;
}

/**
 * damon_call() - have a context's kdamond call a function
 * @ctx:	the context
 * @control:	the function; what it returned is there afterwards
 *
 * The function may change the context and its targets, if it does not say that it
 * only reads.  Returns when it has returned: 0; -EINVAL while no kdamond serves the
 * context; -ECANCELED when that ended before it could call; -EINTR for a fatal signal
 * that came before.  Then, too, the function is not called any more.  Sleeps, for no
 * longer than a sample takes, and a bite of a scheme's work.
 */
int damon_call(struct damon_ctx *ctx, struct damon_call_control *control)
{
	control->canceled = false;
	init_completion(&control->done);

	spin_lock(&ctx->kdamond_lock);
	if (!ctx->kdamond) {
		spin_unlock(&ctx->kdamond_lock);
		return -EINVAL;
	}
	list_add_tail(&control->list, &ctx->calls);
	wake_up_process(ctx->kdamond);
	spin_unlock(&ctx->kdamond_lock);

	if (wait_for_completion_killable(&control->done)) {
		if (withdraw_call(ctx, control))
			return -EINTR;
		/* The function waits for nobody. */
		wait_for_completion(&control->done);
	}
	return control->canceled ? -ECANCELED : 0;
}
