// SPDX-License-Identifier: GPL-2.0
/*
 * DARC: Data Access-aware ReClamation.
 *
 * A work item looks at the free memory of each zone: as often as it could have got
 * to its mid watermark meanwhile, but not less than once a second.  It starts and
 * stops the kdamonds.  While one runs it looks at its zone itself, see darc-zone.c.
 *
 * Locks: darc_lock protects which zones there are, their contexts, and what users
 * say.  It is held while waiting for a kdamond, so no kdamond may take it, nor may
 * anybody while waiting for the users of a directory's files.
 */

#define pr_fmt(fmt) "darc: " fmt

#include <linux/init.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/psi.h>
#include <linux/suspend.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include "actions.h"
#include "darc.h"

/* When there is nothing to look at. */
#define LONGEST_MS	1000U
/* A zone below its low watermark is somebody else's. */
#define YIELD_MS	200U
/* When a kdamond could not be started. */
#define RETRY_MS	500U

/* Refaults are counted for so long at least, in which those that belong together fall. */
#define COUNT_MS	500U

/* See how it went after so many times the minimum age, in which all was tried. */
#define JUDGE_AGES	2

/* Protects what is set, and which zones there are. */
DEFINE_MUTEX(darc_lock);

struct darc_params darc_params = {
	.min_age_us = 5 * USEC_PER_SEC,
	.bytes = 128UL << 20,
	.ms = 30,
	.reset_interval_ms = 1000,
	.psi_us = 10 * USEC_PER_MSEC,
};

static LIST_HEAD(darc_zones);
static bool enabled;
static bool zones_changed;
static unsigned long reclaimed_in_gone_zones;
static bool asleep;
static struct workqueue_struct *darc_wq;

static void serve(struct work_struct *work);
static DECLARE_DELAYED_WORK(darc_work, serve);

/* The kernel's counts, and those who have reclaimed memory besides the zones. */
static struct {
	bool valid;
	unsigned long at;		/* in jiffies */
	unsigned long refaults;
	unsigned long others;		/* pages that others have reclaimed */
	unsigned long others_out;	/* see @out of struct darc_zone */
} account;

/**
 * darc_wake() - have kdamonds started and stopped as the zones' states say
 *
 * Context: any.
 */
void darc_wake(void)
{
	mod_delayed_work(darc_wq, &darc_work, 0);
}

/**
 * darc_has_psi() - whether the kernel tells of memory pressure
 */
bool darc_has_psi(void)
{
#ifdef CONFIG_PSI
	return !static_branch_likely(&psi_disabled);
#else
	return false;
#endif
}

/**
 * darc_is_enabled() - whether DARC does anything
 */
bool darc_is_enabled(void)
{
	return READ_ONCE(enabled);
}

static unsigned long refaults_of_all(void)
{
	return global_node_page_state(WORKINGSET_REFAULT_ANON) +
	       global_node_page_state(WORKINGSET_REFAULT_FILE);
}

/*
 * Pages that the kernel's own reclaim has reclaimed, for a cgroup at its limit as well,
 * and schemes of others: refaults are not told apart either.
 */
static unsigned long reclaimed_by_others(void)
{
	unsigned long nr = damon_nr_reclaimed() - reclaimed_in_gone_zones;
	struct darc_zone *z;
#ifdef CONFIG_VM_EVENT_COUNTERS
	int cpu;

	/* Some time after a CPU went offline its counts become another one's. */
	for_each_possible_cpu(cpu) {
		const unsigned long *event = per_cpu(vm_event_states, cpu).event;

		nr += READ_ONCE(event[PGSTEAL_ANON]) + READ_ONCE(event[PGSTEAL_FILE]);
	}
#endif
	list_for_each_entry(z, &darc_zones, list)
		nr -= READ_ONCE(z->sum.reclaimed);
	return nr;
}

static bool is_running(const struct darc_zone *z)
{
	return z->ctx && damon_is_running(z->ctx);
}

/* Without any of it, there is nothing to count either. */
static bool is_to_be_counted(void)
{
	struct darc_zone *z;

	list_for_each_entry(z, &darc_zones, list) {
		if (z->out || is_running(z))
			return true;
	}
	return false;
}

static void count_refaults(unsigned long refaults, unsigned long others, unsigned int ms)
{
	unsigned long all, theirs = darc_others_share(refaults, others);
	struct darc_zone *z;

	refaults -= theirs;
	account.others_out = darc_fade(account.others_out, ms) + others - theirs;
	all = account.others_out;
	list_for_each_entry(z, &darc_zones, list) {
		unsigned long reclaimed = READ_ONCE(z->sum.reclaimed);

		z->out = darc_fade(z->out, ms) + reclaimed - z->accounted;
		z->accounted = reclaimed;
		all += z->out;
	}
	list_for_each_entry(z, &darc_zones, list) {
		unsigned long share = darc_share(refaults, z->out, all);

		z->out -= share;
		spin_lock(&z->lock);
		z->sum.refaulted += share;
		spin_unlock(&z->lock);
	}
	account.others_out -= darc_share(refaults, account.others_out, all);
}

static void keep_account(void)
{
	unsigned int ms = jiffies_to_msecs(jiffies - account.at);

	if (!is_to_be_counted()) {
		account.valid = false;
		account.others_out = 0;
		return;
	}
	if (!account.valid) {
		account.refaults = refaults_of_all();
		account.others = reclaimed_by_others();
		account.valid = true;
		account.at = jiffies;
	} else if (ms >= COUNT_MS) {
		unsigned long refaults = darc_growth(&account.refaults, refaults_of_all());
		unsigned long others = darc_growth(&account.others, reclaimed_by_others());

		count_refaults(refaults, others, ms);
		account.at = jiffies;
	}
}

static void judge_later(struct darc_zone *z)
{
	unsigned long ms = (darc_params.min_age_us / USEC_PER_MSEC) << z->care;

	z->judge_at = jiffies + msecs_to_jiffies(ms * JUDGE_AGES);
}

/* Have a context; what was before it is none of its business. */
static int begin_zone(struct darc_zone *z)
{
	int err = darc_new_ctx(z, &darc_params);

	spin_lock(&z->lock);
	z->judged = z->sum;
	z->accounted = z->sum.reclaimed;
	spin_unlock(&z->lock);
	z->out = 0;
	judge_later(z);
	return err;
}

static void judge(struct darc_zone *z)
{
	struct darc_outcome sum, outcome;

	if (time_before(jiffies, z->judge_at))
		return;
	spin_lock(&z->lock);
	sum = z->sum;
	spin_unlock(&z->lock);
	outcome = (struct darc_outcome){
		.passed = sum.passed - z->judged.passed,
		.reclaimed = sum.reclaimed - z->judged.reclaimed,
		.refaulted = sum.refaulted - z->judged.refaulted,
	};
	z->judged = sum;
	WRITE_ONCE(z->care, darc_judge(z->care, &outcome, z->out));
	judge_later(z);
}

/* Returns in how many milliseconds to come again. */
static unsigned int serve_zone(struct darc_zone *z)
{
	unsigned int ms;

	if (!z->ctx && begin_zone(z)) {
		darc_free_ctx(z);
		return LONGEST_MS;
	}
	ms = darc_look_by_clock(z);
	judge(z);
	if (darc_wants_ctx(z))
		return darc_run(z) ? RETRY_MS : LONGEST_MS;
	if (is_running(z))
		darc_halt(z);
	return READ_ONCE(z->state) == DARC_YIELDING ? YIELD_MS : ms;
}

static struct darc_zone *find_zone(const struct zone *zone)
{
	struct darc_zone *z;

	list_for_each_entry(z, &darc_zones, list) {
		if (z->zone == zone)
			return z;
	}
	return NULL;
}

/* Have a directory for each zone with memory.  Those of others go to @gone. */
static int renew_zones(struct list_head *gone)
{
	struct darc_zone *z, *next;
	struct zone *zone;
	int err = 0;

	list_for_each_entry_safe(z, next, &darc_zones, list) {
		z->stale = true;
		if (zone_managed_pages(z->zone))
			continue;
		if (z->ctx)
			darc_halt(z);
		darc_free_ctx(z);
		z->gone = true;
		reclaimed_in_gone_zones += z->sum.reclaimed;
		list_move_tail(&z->list, gone);
	}
	for_each_populated_zone(zone) {
		if (!zone_managed_pages(zone) || find_zone(zone))
			continue;
		z = darc_new_zone(zone);
		if (z)
			list_add_tail(&z->list, &darc_zones);
		else
			err = -ENOMEM;
	}
	return err;
}

static void serve(struct work_struct *work)
{
	struct darc_zone *z, *next;
	unsigned int ms = UINT_MAX;
	LIST_HEAD(gone);

	mutex_lock(&darc_lock);
	if (!asleep && xchg(&zones_changed, false) && renew_zones(&gone)) {
		WRITE_ONCE(zones_changed, true);
		ms = LONGEST_MS;
	}
	if (enabled && !asleep) {
		keep_account();
		ms = min(ms, LONGEST_MS);
		list_for_each_entry(z, &darc_zones, list)
			ms = min(ms, serve_zone(z));
	}
	if (ms != UINT_MAX)
		queue_delayed_work(darc_wq, &darc_work, msecs_to_jiffies(ms));
	mutex_unlock(&darc_lock);

	list_for_each_entry_safe(z, next, &gone, list) {
		list_del(&z->list);
		darc_put_zone(z);
	}
}

static void disable(void)
{
	struct darc_zone *z;

	WRITE_ONCE(enabled, false);
	list_for_each_entry(z, &darc_zones, list) {
		if (!z->ctx)
			continue;
		darc_halt(z);
		darc_free_ctx(z);
		darc_end(z);
	}
	account.valid = false;
}

/**
 * darc_enable() - enable or disable DARC
 * @enable:	which
 *
 * Return: 0 or -ENOMEM.  Sleeps.
 */
int darc_enable(bool enable)
{
	struct darc_zone *z;
	int err = 0;

	mutex_lock(&darc_lock);
	if (!enable) {
		disable();
	} else if (!enabled) {
		list_for_each_entry(z, &darc_zones, list) {
			err = begin_zone(z);
			if (err)
				break;
		}
		if (err) {
			list_for_each_entry(z, &darc_zones, list)
				darc_free_ctx(z);
		} else {
			WRITE_ONCE(enabled, true);
			darc_wake();
		}
	}
	mutex_unlock(&darc_lock);
	return err;
}

/**
 * darc_change() - change what users say of all zones
 * @param:	a part of darc_params
 * @value:	what it is from now on
 *
 * Return: 0.  Sleeps.
 */
int darc_change(unsigned long *param, unsigned long value)
{
	struct darc_zone *z;
	int err = 0;

	mutex_lock(&darc_lock);
	*param = value;
	list_for_each_entry(z, &darc_zones, list) {
		if (z->ctx)
			err = darc_renew_params(z, &darc_params) ?: err;
	}
	mutex_unlock(&darc_lock);
	return err;
}

static int memory_changed(struct notifier_block *block, unsigned long action, void *data)
{
	if (action == MEM_ONLINE || action == MEM_OFFLINE) {
		WRITE_ONCE(zones_changed, true);
		darc_wake();
	}
	return NOTIFY_OK;
}

/*
 * While the system is suspended, or about to be, nobody here waits for a kdamond, which
 * may be frozen: then this work could not end, and the system not sleep.
 */
static int system_sleeps(struct notifier_block *block, unsigned long action, void *data)
{
	switch (action) {
	case PM_HIBERNATION_PREPARE:
	case PM_SUSPEND_PREPARE:
	case PM_RESTORE_PREPARE:
		mutex_lock(&darc_lock);
		asleep = true;
		mutex_unlock(&darc_lock);
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_SUSPEND:
	case PM_POST_RESTORE:
		mutex_lock(&darc_lock);
		asleep = false;
		account.valid = false;
		mutex_unlock(&darc_lock);
		darc_wake();
		break;
	}
	return NOTIFY_OK;
}

static int __init darc_init(void)
{
	int err;

	if (!darc_has_psi())
		darc_params.psi_us = 0;
	/* A worker has to be had when memory is short, too. */
	darc_wq = alloc_workqueue("darc", WQ_UNBOUND | WQ_MEM_RECLAIM | WQ_FREEZABLE, 1);
	if (!darc_wq)
		return -ENOMEM;
	err = darc_sysfs_init();
	if (err)
		goto out;
	err = hotplug_memory_notifier(memory_changed, DEFAULT_CALLBACK_PRI);
	if (err)
		pr_warn("memory that comes and goes is not noticed: %d\n", err);
	pm_notifier(system_sleeps, 0);
	WRITE_ONCE(zones_changed, true);
	darc_wake();
	flush_delayed_work(&darc_work);
	return 0;
out:
	destroy_workqueue(darc_wq);
	return err;
}
module_init(darc_init);
