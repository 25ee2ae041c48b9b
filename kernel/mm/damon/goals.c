// SPDX-License-Identifier: GPL-2.0
/*
 * Goals of quotas: how much a scheme may do follows from what it brings about.
 *
 * A goal's score is how much of its target value there is.  The highest one of a
 * quota's goals decides: what a scheme does must not be overdone for any of them.
 */

#include <linux/damon.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/psi.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "schemes.h"

/* A score of this says that the goal is met. */
#define SCORE_MET	10000UL

/* Tuning begins with this, and leaves as much, so that there is an effect to see. */
#define LEAST_ESZ	(4 * PAGE_SIZE)

/**
 * damos_new_quota_goal() - make a goal
 * @metric:		what of
 * @target_value:	how much of it
 *
 * Return: it, or NULL for lack of memory.
 */
struct damos_quota_goal *damos_new_quota_goal(enum damos_quota_goal_metric metric,
					      unsigned long target_value)
{
	struct damos_quota_goal *goal = kzalloc(sizeof(*goal), GFP_KERNEL);

	if (!goal)
		return NULL;
	goal->metric = metric;
	goal->target_value = target_value;
	INIT_LIST_HEAD(&goal->list);
	return goal;
}

/**
 * damos_add_quota_goal() - make a goal one of a quota's
 * @quota:	of a scheme of a context that no kdamond serves
 * @goal:	the goal, which the quota owns from now on
 */
void damos_add_quota_goal(struct damos_quota *quota, struct damos_quota_goal *goal)
{
	list_add_tail(&goal->list, &quota->goals);
}

/**
 * damos_destroy_quota_goal() - end a goal, of a quota or not
 * @goal:	the goal
 */
void damos_destroy_quota_goal(struct damos_quota_goal *goal)
{
	list_del(&goal->list);
	kfree(goal);
}

#ifdef CONFIG_PSI
static bool has_psi(void)
{
	return !static_branch_likely(&psi_disabled);
}

/*
 * Microseconds that some task has waited for memory, since boot.  Left to itself the
 * kernel adds them up every two seconds, which is longer than windows are.  It does
 * so now for who shows them, be it to nobody.  Sleeps.
 */
static u64 psi_total_us(void)
{
	struct seq_file nobody = {};

	psi_show(&nobody, &psi_system, PSI_MEM);
	return div_u64(READ_ONCE(psi_system.total[PSI_AVGS][PSI_MEM_SOME]), NSEC_PER_USEC);
}
#else
static bool has_psi(void)
{
	return false;
}

static u64 psi_total_us(void)
{
	return 0;
}
#endif

/**
 * damos_check_goals() - whether a quota's goals can be followed
 * @quota:	the quota
 *
 * Return: 0; -EINVAL for a goal without a target value, of an unknown kind, or for
 * a node without memory; -EOPNOTSUPP for one that takes pressure stall information
 * where the kernel has none, or has it turned off.
 */
int damos_check_goals(const struct damos_quota *quota)
{
	const struct damos_quota_goal *goal;

	damos_for_each_quota_goal(goal, quota) {
		if (!goal->target_value)
			return -EINVAL;
		switch (goal->metric) {
		case DAMOS_QUOTA_USER_INPUT:
			break;
		case DAMOS_QUOTA_SOME_MEM_PSI_US:
			if (!has_psi())
				return -EOPNOTSUPP;
			break;
		case DAMOS_QUOTA_NODE_MEM_USED_BP:
		case DAMOS_QUOTA_NODE_MEM_FREE_BP:
			if (goal->nid < 0 || goal->nid >= MAX_NUMNODES ||
			    !node_state(goal->nid, N_MEMORY))
				return -EINVAL;
			break;
		default:
			return -EINVAL;
		}
	}
	return 0;
}

/* Free memory of a node in ten thousandths; none where it has gone. */
static unsigned long node_free_bp(int nid)
{
	struct sysinfo info;

#ifdef CONFIG_NUMA
	si_meminfo_node(&info, nid);
#else
	si_meminfo(&info);
#endif
	if (!info.totalram)
		return 0;
	return min_t(u64, damos_muldiv(info.freeram, SCORE_MET, info.totalram), SCORE_MET);
}

/* Pressure since the last look; of a window that came late, as much as for a whole one. */
static void look_at_pressure(struct damos_quota_goal *goal, unsigned long interval_ms)
{
	u64 total = psi_total_us(), now = ktime_get_ns();
	u64 window = min_t(u64, interval_ms, KTIME_MAX / NSEC_PER_MSEC) * NSEC_PER_MSEC;
	u64 us = 0;

	if (goal->last_psi_total) {
		us = total - goal->last_psi_total;
		if (window && now - goal->last_psi_at > window)
			us = damos_muldiv(us, window, now - goal->last_psi_at);
	}
	goal->current_value = min_t(u64, us, ULONG_MAX);
	goal->last_psi_total = total;
	goal->last_psi_at = now;
}

/* Take what is now; what users give is there already. */
static void look(struct damos_quota_goal *goal, unsigned long interval_ms)
{
	switch (goal->metric) {
	case DAMOS_QUOTA_SOME_MEM_PSI_US:
		look_at_pressure(goal, interval_ms);
		break;
	case DAMOS_QUOTA_NODE_MEM_USED_BP:
		goal->current_value = SCORE_MET - node_free_bp(goal->nid);
		break;
	case DAMOS_QUOTA_NODE_MEM_FREE_BP:
		goal->current_value = node_free_bp(goal->nid);
		break;
	default:
		break;
	}
}

static unsigned long highest_score(struct damos_quota *quota)
{
	struct damos_quota_goal *goal;
	u64 score = 0;

	damos_for_each_quota_goal(goal, quota) {
		look(goal, quota->reset_interval);
		score = max(score, damos_muldiv(goal->current_value, SCORE_MET,
						max(goal->target_value, 1UL)));
	}
	return min_t(u64, score, ULONG_MAX);
}

/* Half as much or twice as much at the most, and nothing new when it is met. */
static unsigned long in_proportion(const struct damos_quota *quota, unsigned long score)
{
	unsigned long most = quota->sz ?: ULONG_MAX;
	unsigned long esz = quota->esz_by_goals;

	if (!esz)
		return min(LEAST_ESZ, most);
	if (score <= SCORE_MET) {
		esz = size_add(esz, damos_muldiv(esz, SCORE_MET - score, SCORE_MET));
		return min(esz, most);
	}
	/* What was allowed, but not used, brought nothing about. */
	if (quota->started)
		esz = min(esz, max(quota->charged_sz, LEAST_ESZ));
	esz -= damos_muldiv(esz, min(score - SCORE_MET, SCORE_MET / 2), SCORE_MET);
	return min(max(esz, LEAST_ESZ), most);
}

/**
 * damos_tune_esz() - see what follows from a quota's goals for the next window
 * @quota:	a quota with goals, before the counts of the window that has ended
 *		are cleared
 *
 * Return: bytes, which are the quota's esz_by_goals from then on, too.  Sleeps.
 */
unsigned long damos_tune_esz(struct damos_quota *quota)
{
	unsigned long score = highest_score(quota);

	if (quota->goal_tuner == DAMOS_QUOTA_GOAL_TUNER_TEMPORAL)
		quota->esz_by_goals = score < SCORE_MET ? ULONG_MAX : 0;
	else
		quota->esz_by_goals = in_proportion(quota, score);
	return quota->esz_by_goals;
}

/* Whether goals, in their order, are by the same metrics; they go on then. */
static bool goals_are_alike(const struct damos_quota *a, const struct damos_quota *b)
{
	const struct list_head *of_a = a->goals.next, *of_b = b->goals.next;

	if (a->goal_tuner != b->goal_tuner)
		return false;
	while (of_a != &a->goals && of_b != &b->goals) {
		if (list_entry(of_a, struct damos_quota_goal, list)->metric !=
		    list_entry(of_b, struct damos_quota_goal, list)->metric)
			return false;
		of_a = of_a->next;
		of_b = of_b->next;
	}
	return of_a == &a->goals && of_b == &b->goals;
}

/**
 * damos_keep_goals() - have a quota's goals go on where another's are
 * @new:	the quota
 * @old:	what it was before
 *
 * Where they are not alike, tuning begins anew.
 */
void damos_keep_goals(struct damos_quota *new, const struct damos_quota *old)
{
	struct damos_quota_goal *goal, *before;

	new->esz_by_goals = 0;
	if (list_empty(&new->goals))
		return;
	if (!goals_are_alike(new, old)) {
		damos_tune_esz(new);
		return;
	}
	new->esz_by_goals = old->esz_by_goals;
	before = list_first_entry(&old->goals, struct damos_quota_goal, list);
	damos_for_each_quota_goal(goal, new) {
		goal->last_psi_total = before->last_psi_total;
		goal->last_psi_at = before->last_psi_at;
		before = list_next_entry(before, list);
	}
}

/**
 * damos_commit_quota_goals() - give a quota other goals
 * @dst:	of a scheme of a context that no kdamond serves, or of the calling
 *		kdamond's own
 * @src:	what to take them, and the tuner, from; it gets those of @dst
 *
 * Return: 0, or what damos_check_quota() says of @src: then nothing has changed.
 */
int damos_commit_quota_goals(struct damos_quota *dst, struct damos_quota *src)
{
	int err = damos_check_quota(src);
	LIST_HEAD(goals);

	if (err)
		return err;
	damos_keep_goals(src, dst);
	list_splice_init(&dst->goals, &goals);
	list_splice_init(&src->goals, &dst->goals);
	list_splice(&goals, &src->goals);
	dst->goal_tuner = src->goal_tuner;
	dst->esz_by_goals = src->esz_by_goals;
	damos_quota_bound(dst);
	return 0;
}
