// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's sysfs interface: a scheme's filters.
 *
 * core_filters/ takes those types that the core looks after, ops_filters/ those
 * that the operations do; filters/ takes both.
 */

#include <linux/cgroup.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/limits.h>
#include <linux/memcontrol.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "sysfs-schemes.h"

/* So that a slip of the pen does not take all memory. */
#define DAMON_SYSFS_MAX_FILTERS		256

/* filters/<F>/ */
struct damon_sysfs_filter {
	struct kobject kobj;
	unsigned int type;
	unsigned long types;	/* bits of those that it can be of */
	bool matching;
	bool allow;
	char *memcg_path;	/* protected by damon_sysfs_lock */
	unsigned long addr_start;
	unsigned long addr_end;
	unsigned long min;
	unsigned long max;
	int damon_target_idx;
};

static const char * const damon_sysfs_filter_types[NR_DAMOS_FILTER_TYPES] = {
	[DAMOS_FILTER_TYPE_ANON] = "anon",
	[DAMOS_FILTER_TYPE_ACTIVE] = "active",
	[DAMOS_FILTER_TYPE_MEMCG] = "memcg",
	[DAMOS_FILTER_TYPE_YOUNG] = "young",
	[DAMOS_FILTER_TYPE_HUGEPAGE_SIZE] = "hugepage_size",
	[DAMOS_FILTER_TYPE_UNMAPPED] = "unmapped",
	[DAMOS_FILTER_TYPE_ADDR] = "addr",
	[DAMOS_FILTER_TYPE_TARGET] = "target",
};

DAMON_SYSFS_BOOL(filter, matching);
DAMON_SYSFS_BOOL(filter, allow);
DAMON_SYSFS_ULONG(filter, addr_start);
DAMON_SYSFS_ULONG(filter, addr_end);
DAMON_SYSFS_ULONG(filter, min);
DAMON_SYSFS_ULONG(filter, max);
DAMON_SYSFS_INT(filter, damon_target_idx);

static struct damon_sysfs_filter *damon_sysfs_to_filter(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_filter, kobj);
}

static ssize_t type_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	unsigned int type = READ_ONCE(damon_sysfs_to_filter(kobj)->type);

	return sysfs_emit(buf, "%s\n", damon_sysfs_filter_types[type]);
}

static ssize_t type_store(struct kobject *kobj, struct kobj_attribute *attr,
			  const char *buf, size_t count)
{
	struct damon_sysfs_filter *filter = damon_sysfs_to_filter(kobj);
	int type = sysfs_match_string(damon_sysfs_filter_types, buf);

	if (type < 0)
		return type;
	if (!(filter->types & BIT(type)))
		return -EINVAL;
	WRITE_ONCE(filter->type, type);
	return count;
}

static ssize_t memcg_path_show(struct kobject *kobj, struct kobj_attribute *attr,
			       char *buf)
{
	scoped_cond_guard(mutex_try, return -EBUSY, &damon_sysfs_lock) {
		const char *path = damon_sysfs_to_filter(kobj)->memcg_path;

		return sysfs_emit(buf, "%s\n", path ?: "");
	}
	return 0;
}

static ssize_t memcg_path_store(struct kobject *kobj, struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	struct damon_sysfs_filter *filter = damon_sysfs_to_filter(kobj);
	size_t len = count;
	char *path;

	if (buf[len - 1] == '\n')
		len--;
	/* What could not be read back, or be a path at all */
	if (len > PATH_MAX - 2 || memchr(buf, '\0', len))
		return -EINVAL;
	path = kmemdup_nul(buf, len, GFP_KERNEL);
	if (!path)
		return -ENOMEM;
	scoped_cond_guard(mutex_try, goto busy, &damon_sysfs_lock)
		swap(filter->memcg_path, path);
	kfree(path);
	return count;
busy:
	kfree(path);
	return -EBUSY;
}

static struct kobj_attribute damon_sysfs_filter_type_file = __ATTR_RW_MODE(type, 0600);
static struct kobj_attribute damon_sysfs_filter_memcg_path =
	__ATTR_RW_MODE(memcg_path, 0600);

static struct attribute *damon_sysfs_filter_attrs[] = {
	&damon_sysfs_filter_type_file.attr,
	&damon_sysfs_filter_matching.attr.attr,
	&damon_sysfs_filter_allow.attr.attr,
	&damon_sysfs_filter_memcg_path.attr,
	&damon_sysfs_filter_addr_start.attr.attr,
	&damon_sysfs_filter_addr_end.attr.attr,
	&damon_sysfs_filter_min.attr.attr,
	&damon_sysfs_filter_max.attr.attr,
	&damon_sysfs_filter_damon_target_idx.attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(damon_sysfs_filter);

#define DAMON_SYSFS_CORE_TYPES	(BIT(DAMOS_FILTER_TYPE_ADDR) | BIT(DAMOS_FILTER_TYPE_TARGET))
#define DAMON_SYSFS_ALL_TYPES	(BIT(NR_DAMOS_FILTER_TYPES) - 1)

static void damon_sysfs_init_filter(struct kobject *kobj)
{
	damon_sysfs_to_filter(kobj)->types = DAMON_SYSFS_ALL_TYPES;
}

static void damon_sysfs_init_core_filter(struct kobject *kobj)
{
	struct damon_sysfs_filter *filter = damon_sysfs_to_filter(kobj);

	filter->types = DAMON_SYSFS_CORE_TYPES;
	filter->type = DAMOS_FILTER_TYPE_ADDR;
}

static void damon_sysfs_init_ops_filter(struct kobject *kobj)
{
	damon_sysfs_to_filter(kobj)->types =
		DAMON_SYSFS_ALL_TYPES & ~DAMON_SYSFS_CORE_TYPES;
}

static void damon_sysfs_exit_filter(struct kobject *kobj)
{
	kfree(damon_sysfs_to_filter(kobj)->memcg_path);
}

#define DAMON_SYSFS_FILTER_TYPE(_init) {				\
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_filter_groups),		\
	.size = sizeof(struct damon_sysfs_filter),			\
	.init = _init,							\
	.exit = damon_sysfs_exit_filter,				\
}

static const struct damon_sysfs_type damon_sysfs_filter_type =
	DAMON_SYSFS_FILTER_TYPE(damon_sysfs_init_filter);
static const struct damon_sysfs_type damon_sysfs_core_filter_type =
	DAMON_SYSFS_FILTER_TYPE(damon_sysfs_init_core_filter);
static const struct damon_sysfs_type damon_sysfs_ops_filter_type =
	DAMON_SYSFS_FILTER_TYPE(damon_sysfs_init_ops_filter);

/* filters/, core_filters/ and ops_filters/ */
DAMON_SYSFS_NR_FILE(filters);

#define DAMON_SYSFS_FILTERS_TYPE(_item) {				\
	.ktype = DAMON_SYSFS_KTYPE(damon_sysfs_nr_filters_groups),	\
	.size = sizeof(struct damon_sysfs_list),			\
	.item = _item,							\
	.max_items = DAMON_SYSFS_MAX_FILTERS,				\
}

const struct damon_sysfs_type damon_sysfs_filters_type =
	DAMON_SYSFS_FILTERS_TYPE(&damon_sysfs_filter_type);
const struct damon_sysfs_type damon_sysfs_core_filters_type =
	DAMON_SYSFS_FILTERS_TYPE(&damon_sysfs_core_filter_type);
const struct damon_sysfs_type damon_sysfs_ops_filters_type =
	DAMON_SYSFS_FILTERS_TYPE(&damon_sysfs_ops_filter_type);

#ifdef CONFIG_MEMCG
/* The id of the memory cgroup with a path below where cgroups are mounted. */
static int damon_sysfs_find_memcg(const char *path, unsigned short *id)
{
	struct mem_cgroup *memcg;
	int err = -ENOENT;
	char *other;

	other = kmalloc(PATH_MAX, GFP_KERNEL);
	if (!other)
		return -ENOMEM;
	for (memcg = mem_cgroup_iter(NULL, NULL, NULL); memcg;
	     memcg = mem_cgroup_iter(NULL, memcg, NULL)) {
		/* Those that are removed linger, with the path that they had. */
		if (!mem_cgroup_online(memcg) || css_is_dying(&memcg->css))
			continue;
		if (cgroup_path(memcg->css.cgroup, other, PATH_MAX) < 0 ||
		    strcmp(path, other))
			continue;
		*id = mem_cgroup_id(memcg);
		mem_cgroup_iter_break(NULL, memcg);
		err = 0;
		break;
	}
	kfree(other);
	return err;
}
#else
static int damon_sysfs_find_memcg(const char *path, unsigned short *id)
{
	return -ENOENT;
}
#endif

static int damon_sysfs_read_filter(struct damos *s, struct damon_sysfs_filter *filter)
{
	enum damos_filter_type type = READ_ONCE(filter->type);
	struct damos_filter *f;

	f = damos_new_filter(type, READ_ONCE(filter->matching), READ_ONCE(filter->allow));
	if (!f)
		return -ENOMEM;
	/* Whatever comes, it goes with the scheme. */
	damos_add_filter(s, f);
	switch (type) {
	case DAMOS_FILTER_TYPE_MEMCG:
		return damon_sysfs_find_memcg(filter->memcg_path ?: "", &f->memcg_id);
	case DAMOS_FILTER_TYPE_HUGEPAGE_SIZE:
		f->sz_range.min = READ_ONCE(filter->min);
		f->sz_range.max = READ_ONCE(filter->max);
		return 0;
	case DAMOS_FILTER_TYPE_ADDR:
		f->addr_range.start = READ_ONCE(filter->addr_start);
		f->addr_range.end = READ_ONCE(filter->addr_end);
		return 0;
	case DAMOS_FILTER_TYPE_TARGET:
		f->target_idx = READ_ONCE(filter->damon_target_idx);
		return 0;
	default:
		return 0;
	}
}

/**
 * damon_sysfs_read_filters() - give a scheme the filters that files ask for
 * @s:		the scheme
 * @filters:	the directory filters, core_filters or ops_filters
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: 0; -ENOENT where there is no such memory cgroup; or -ENOMEM.  After an
 * error it has some of the filters.
 */
int damon_sysfs_read_filters(struct damos *s, struct kobject *filters)
{
	struct damon_sysfs_list *list = damon_sysfs_to_list(filters);
	int i, err;

	for (i = 0; i < list->nr; i++) {
		err = damon_sysfs_read_filter(s, damon_sysfs_to_filter(list->items[i]));
		if (err)
			return err;
	}
	return 0;
}
