// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface: how much a scheme may do, and what that is to bring
 * about.
 */

#include <linux/err.h>

#include "schemes.h"
#include "sysfs-schemes.h"

/* So that a slip of the pen does not take all memory. */
#define DAMON_SYSFS_MAX_GOALS		256

/* quotas/goals/<G>/ */
struct damon_sysfs_goal {
	struct kobject kobj;
	unsigned int target_metric;
	unsigned long target_value;
	unsigned long current_value;
	int nid;
};

static const char * const damon_sysfs_goal_metrics[NR_DAMOS_QUOTA_GOAL_METRICS] = {
	[DAMOS_QUOTA_USER_INPUT] = "user_input",
	[DAMOS_QUOTA_SOME_MEM_PSI_US] = "some_mem_psi_us",
	[DAMOS_QUOTA_NODE_MEM_USED_BP] = "node_mem_used_bp",
	[DAMOS_QUOTA_NODE_MEM_FREE_BP] = "node_mem_free_bp",
};

DAMON_SYSFS_WORD(goal, target_metric, damon_sysfs_goal_metrics,
		 NR_DAMOS_QUOTA_GOAL_METRICS);
DAMON_SYSFS_ULONG(goal, target_value);
DAMON_SYSFS_ULONG(goal, current_value);
DAMON_SYSFS_INT(goal, nid);

static struct attribute *damon_sysfs_goal_attrs[] = {
	&damon_sysfs_goal_target_metric.attr.attr,
	&damon_sysfs_goal_target_value.attr.attr,
	&damon_sysfs_goal_current_value.attr.attr,
	&damon_sysfs_goal_nid.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_goal);

static const struct damon_sysfs_type damon_sysfs_goal_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_goal_groups),
	.size = sizeof(struct damon_sysfs_goal),
};

/* quotas/goals/ */
DAMON_SYSFS_NR_FILE(goals);

static const struct damon_sysfs_type damon_sysfs_goals_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_goals_groups),
	.size = sizeof(struct damon_sysfs_list),
	.item = &damon_sysfs_goal_type,
	.max_items = DAMON_SYSFS_MAX_GOALS,
};

/* quotas/, and in it weights/ */
struct damon_sysfs_quotas {
	struct kobject kobj;
	struct kobject *goals;
	unsigned long ms;
	unsigned long bytes;
	unsigned long reset_interval_ms;
	unsigned long effective_bytes;
	unsigned int goal_tuner;
	unsigned int sz_permil;
	unsigned int nr_accesses_permil;
	unsigned int age_permil;
};

static const char * const damon_sysfs_goal_tuners[NR_DAMOS_QUOTA_GOAL_TUNERS] = {
	[DAMOS_QUOTA_GOAL_TUNER_CONSIST] = "consist",
	[DAMOS_QUOTA_GOAL_TUNER_TEMPORAL] = "temporal",
};

DAMON_SYSFS_ULONG(quotas, ms);
DAMON_SYSFS_ULONG(quotas, bytes);
DAMON_SYSFS_ULONG(quotas, reset_interval_ms);
DAMON_SYSFS_RESULT(quotas, effective_bytes);
DAMON_SYSFS_WORD(quotas, goal_tuner, damon_sysfs_goal_tuners,
		 NR_DAMOS_QUOTA_GOAL_TUNERS);
DAMON_SYSFS_UINT(quotas, sz_permil);
DAMON_SYSFS_UINT(quotas, nr_accesses_permil);
DAMON_SYSFS_UINT(quotas, age_permil);

static struct attribute *damon_sysfs_quotas_attrs[] = {
	&damon_sysfs_quotas_ms.attr.attr,
	&damon_sysfs_quotas_bytes.attr.attr,
	&damon_sysfs_quotas_reset_interval_ms.attr.attr,
	&damon_sysfs_quotas_effective_bytes.attr.attr,
	&damon_sysfs_quotas_goal_tuner.attr.attr,
	NULL,
};

static struct attribute *damon_sysfs_weights_attrs[] = {
	&damon_sysfs_quotas_sz_permil.attr.attr,
	&damon_sysfs_quotas_nr_accesses_permil.attr.attr,
	&damon_sysfs_quotas_age_permil.attr.attr,
	NULL,
};

static const struct attribute_group damon_sysfs_quotas_group = {
	.attrs = damon_sysfs_quotas_attrs,
};

static const struct attribute_group damon_sysfs_weights_group = {
	.name = "weights",
	.attrs = damon_sysfs_weights_attrs,
};

static const struct attribute_group *damon_sysfs_quotas_groups[] = {
	&damon_sysfs_quotas_group,
	&damon_sysfs_weights_group,
	NULL,
};

static const struct damon_sysfs_part damon_sysfs_quotas_parts[] = {
	{ "goals", &damon_sysfs_goals_type,
	  offsetof(struct damon_sysfs_quotas, goals) },
	{}
};

const struct damon_sysfs_type damon_sysfs_quotas_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_quotas_groups),
	.size = sizeof(struct damon_sysfs_quotas),
	.parts = damon_sysfs_quotas_parts,
};

static struct damon_sysfs_quotas *damon_sysfs_to_quotas(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_quotas, kobj);
}

/**
 * damon_sysfs_set_effective_bytes() - have the file say what is
 * @quotas:	the directory quotas
 * @bytes:	the effective quota
 *
 * Called with damon_sysfs_lock held.
 */
void damon_sysfs_set_effective_bytes(struct kobject *quotas, unsigned long bytes)
{
	WRITE_ONCE(damon_sysfs_to_quotas(quotas)->effective_bytes, bytes);
}

static int damon_sysfs_read_goal(struct damos_quota *quota, struct kobject *kobj)
{
	struct damon_sysfs_goal *from = container_of(kobj, struct damon_sysfs_goal, kobj);
	struct damos_quota_goal *goal;

	goal = damos_new_quota_goal(READ_ONCE(from->target_metric),
				    READ_ONCE(from->target_value));
	if (!goal)
		return -ENOMEM;
	goal->current_value = READ_ONCE(from->current_value);
	goal->nid = READ_ONCE(from->nid);
	damos_add_quota_goal(quota, goal);
	return 0;
}

/**
 * damon_sysfs_read_goals() - give a quota the goals that files ask for
 * @quota:	a quota without goals
 * @quotas:	the directory quotas
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: 0; what damos_check_goals() returns for goals that cannot be; or
 * -ENOMEM.  After an error it has some of the goals.
 */
int damon_sysfs_read_goals(struct damos_quota *quota, struct kobject *quotas)
{
	struct damon_sysfs_quotas *from = damon_sysfs_to_quotas(quotas);
	struct damon_sysfs_list *goals = damon_sysfs_to_list(from->goals);
	int i, err;

	quota->goal_tuner = READ_ONCE(from->goal_tuner);
	for (i = 0; i < goals->nr; i++) {
		err = damon_sysfs_read_goal(quota, goals->items[i]);
		if (err)
			return err;
	}
	return damos_check_goals(quota);
}

/**
 * damon_sysfs_read_quota() - give a scheme the quota that files ask for
 * @quota:	a new scheme's
 * @quotas:	the directory quotas
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: as damon_sysfs_read_goals().
 */
int damon_sysfs_read_quota(struct damos_quota *quota, struct kobject *quotas)
{
	struct damon_sysfs_quotas *from = damon_sysfs_to_quotas(quotas);

	quota->ms = READ_ONCE(from->ms);
	quota->sz = READ_ONCE(from->bytes);
	quota->reset_interval = READ_ONCE(from->reset_interval_ms);
	quota->weight_sz = READ_ONCE(from->sz_permil);
	quota->weight_nr_accesses = READ_ONCE(from->nr_accesses_permil);
	quota->weight_age = READ_ONCE(from->age_permil);
	return damon_sysfs_read_goals(quota, quotas);
}
