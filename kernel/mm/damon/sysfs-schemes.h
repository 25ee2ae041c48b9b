/* SPDX-License-Identifier: GPL-2.0 */
/* What the files for schemes/ of DAMON's sysfs interface use of each other. */
#ifndef _MM_DAMON_SYSFS_SCHEMES_H
#define _MM_DAMON_SYSFS_SCHEMES_H

#include "sysfs-common.h"

/* sysfs-schemes.c: schemes/, and what its directories <S> have */
struct damon_sysfs_scheme {
	struct kobject kobj;
	struct kobject *pattern;
	struct kobject *quotas;
	struct kobject *filters;
	struct kobject *core_filters;
	struct kobject *ops_filters;
	struct kobject *dests;
	struct kobject *stats;
	struct kobject *tried;
	unsigned int action;
	int target_nid;
	unsigned long apply_interval_us;
	/* watermarks/ */
	unsigned int metric;
	unsigned long interval_us;
	unsigned long high;
	unsigned long mid;
	unsigned long low;
};

static inline struct damon_sysfs_scheme *damon_sysfs_to_scheme(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_scheme, kobj);
}

/* sysfs-quotas.c: quotas/ */
extern const struct damon_sysfs_type damon_sysfs_quotas_type;
int damon_sysfs_read_quota(struct damos_quota *quota, struct kobject *quotas);
int damon_sysfs_read_goals(struct damos_quota *quota, struct kobject *quotas);
void damon_sysfs_set_effective_bytes(struct kobject *quotas, unsigned long bytes);

/* sysfs-filters.c: filters/, core_filters/ and ops_filters/ */
extern const struct damon_sysfs_type damon_sysfs_filters_type;
extern const struct damon_sysfs_type damon_sysfs_core_filters_type;
extern const struct damon_sysfs_type damon_sysfs_ops_filters_type;
int damon_sysfs_read_filters(struct damos *s, struct kobject *filters);

/* sysfs-results.c: stats/ and tried_regions/ */
extern const struct damon_sysfs_type damon_sysfs_stats_type;
unsigned long damon_sysfs_max_nr_snapshots(struct kobject *stats);
extern const struct damon_sysfs_type damon_sysfs_tried_type;

#endif /* _MM_DAMON_SYSFS_SCHEMES_H */
