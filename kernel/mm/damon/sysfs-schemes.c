// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface: contexts/<C>/schemes.  There are none yet, which is
 * what who asks is told.
 */

#include "sysfs-common.h"

DAMON_SYSFS_NR_FILE(schemes);

const struct damon_sysfs_type damon_sysfs_schemes_type = {
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_schemes_groups),
	.size = sizeof(struct damon_sysfs_list),
	.max_items = 0,
};
