// SPDX-License-Identifier: GPL-2.0
/*
 * Directories of DAMON's sysfs interface: how they come and go, and the files
 * that are but a number, a keyword or a Y or N.
 */

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "sysfs-common.h"

/* What it protects, and how to take it, is said in sysfs-common.h. */
DEFINE_MUTEX(damon_sysfs_lock);

static const struct damon_sysfs_type *damon_sysfs_type_of(struct kobject *kobj)
{
	return container_of(kobj->ktype, struct damon_sysfs_type, ktype);
}

static struct damon_sysfs_field *damon_sysfs_to_field(struct kobj_attribute *attr)
{
	return container_of(attr, struct damon_sysfs_field, attr);
}

/* For struct damon_sysfs_field with an unsigned long */
ssize_t damon_sysfs_ulong_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	unsigned long *field = damon_sysfs_to_field(attr)->ulong_at(kobj);

	return sysfs_emit(buf, "%lu\n", READ_ONCE(*field));
}

ssize_t damon_sysfs_ulong_store(struct kobject *kobj,
				struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	unsigned long *field = damon_sysfs_to_field(attr)->ulong_at(kobj);
	unsigned long value;
	int err;

	err = kstrtoul(buf, 0, &value);
	if (err)
		return err;
	WRITE_ONCE(*field, value);
	return count;
}

/* For struct damon_sysfs_field with an unsigned int */
ssize_t damon_sysfs_uint_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf)
{
	unsigned int *field = damon_sysfs_to_field(attr)->uint_at(kobj);

	return sysfs_emit(buf, "%u\n", READ_ONCE(*field));
}

ssize_t damon_sysfs_uint_store(struct kobject *kobj,
			       struct kobj_attribute *attr,
			       const char *buf, size_t count)
{
	unsigned int *field = damon_sysfs_to_field(attr)->uint_at(kobj);
	unsigned int value;
	int err;

	err = kstrtouint(buf, 0, &value);
	if (err)
		return err;
	WRITE_ONCE(*field, value);
	return count;
}

/* For struct damon_sysfs_field with an int */
ssize_t damon_sysfs_int_show(struct kobject *kobj,
			     struct kobj_attribute *attr, char *buf)
{
	int *field = damon_sysfs_to_field(attr)->int_at(kobj);

	return sysfs_emit(buf, "%d\n", READ_ONCE(*field));
}

ssize_t damon_sysfs_int_store(struct kobject *kobj,
			      struct kobj_attribute *attr,
			      const char *buf, size_t count)
{
	int *field = damon_sysfs_to_field(attr)->int_at(kobj);
	int value;
	int err;

	err = kstrtoint(buf, 0, &value);
	if (err)
		return err;
	WRITE_ONCE(*field, value);
	return count;
}

/* For struct damon_sysfs_field with a bool */
ssize_t damon_sysfs_bool_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf)
{
	bool *field = damon_sysfs_to_field(attr)->bool_at(kobj);

	return sysfs_emit(buf, "%c\n", READ_ONCE(*field) ? 'Y' : 'N');
}

ssize_t damon_sysfs_bool_store(struct kobject *kobj,
			       struct kobj_attribute *attr,
			       const char *buf, size_t count)
{
	bool *field = damon_sysfs_to_field(attr)->bool_at(kobj);
	bool value;
	int err;

	err = kstrtobool(buf, &value);
	if (err)
		return err;
	WRITE_ONCE(*field, value);
	return count;
}

/* For struct damon_sysfs_field with one of its words */
ssize_t damon_sysfs_word_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf)
{
	struct damon_sysfs_field *field = damon_sysfs_to_field(attr);

	return sysfs_emit(buf, "%s\n", field->words[READ_ONCE(*field->word_at(kobj))]);
}

ssize_t damon_sysfs_word_store(struct kobject *kobj,
			       struct kobj_attribute *attr,
			       const char *buf, size_t count)
{
	struct damon_sysfs_field *field = damon_sysfs_to_field(attr);
	int value = __sysfs_match_string(field->words, field->nr_words, buf);

	if (value < 0)
		return value;
	WRITE_ONCE(*field->word_at(kobj), value);
	return count;
}

/**
 * damon_sysfs_release() - free a directory that nothing refers to any more
 * @kobj:	the directory, which its struct begins with
 */
void damon_sysfs_release(struct kobject *kobj)
{
	kfree(kobj);
}

static struct kobject **damon_sysfs_slot(struct kobject *kobj,
					 const struct damon_sysfs_part *part)
{
	return (void *)kobj + part->offset;
}

/**
 * damon_sysfs_new_dir() - make a directory, with its parts
 * @type:	of this type
 * @parent:	in this directory
 * @name:	with this name
 *
 * Called with damon_sysfs_lock held, but at boot: as soon as there is a file,
 * somebody may write to it.
 *
 * Return: the directory, or an ERR_PTR() with nothing made.
 */
struct kobject *damon_sysfs_new_dir(const struct damon_sysfs_type *type,
				    struct kobject *parent, const char *name)
{
	const struct damon_sysfs_part *part;
	struct kobject *kobj;
	int err;

	kobj = kzalloc(type->size, GFP_KERNEL);
	if (!kobj)
		return ERR_PTR(-ENOMEM);
	if (type->init)
		type->init(kobj);
	err = kobject_init_and_add(kobj, &type->ktype, parent, "%s", name);
	if (err) {
		kobject_put(kobj);
		return ERR_PTR(err);
	}
	for (part = type->parts; part && part->name; part++) {
		struct kobject *dir;

		dir = damon_sysfs_new_dir(part->type, kobj, part->name);
		if (IS_ERR(dir)) {
			damon_sysfs_remove_dir(kobj);
			return dir;
		}
		*damon_sysfs_slot(kobj, part) = dir;
	}
	return kobj;
}

static void damon_sysfs_remove_items(struct damon_sysfs_list *list)
{
	while (list->nr) {
		damon_sysfs_remove_dir(list->items[list->nr - 1]);
		WRITE_ONCE(list->nr, list->nr - 1);
		cond_resched();
	}
	kvfree(list->items);
	list->items = NULL;
}

/**
 * damon_sysfs_remove_dir() - remove a directory and all that is in it
 * @kobj:	the directory
 *
 * Waits for who is in the functions of its files.  Called with damon_sysfs_lock
 * held.
 */
void damon_sysfs_remove_dir(struct kobject *kobj)
{
	const struct damon_sysfs_type *type = damon_sysfs_type_of(kobj);
	const struct damon_sysfs_part *part;

	for (part = type->parts; part && part->name; part++) {
		struct kobject **slot = damon_sysfs_slot(kobj, part);

		if (*slot)
			damon_sysfs_remove_dir(*slot);
		*slot = NULL;
	}
	if (type->item)
		damon_sysfs_remove_items(damon_sysfs_to_list(kobj));
	kobject_del(kobj);
	if (type->exit)
		type->exit(kobj);
	kobject_put(kobj);
}

static int damon_sysfs_add_item(struct damon_sysfs_list *list, int number)
{
	const struct damon_sysfs_type *type = damon_sysfs_type_of(&list->kobj);
	struct kobject *item;
	char name[12];

	/* Many take long, and who is to end should not have to wait. */
	if (fatal_signal_pending(current))
		return -EINTR;
	cond_resched();
	snprintf(name, sizeof(name), "%d", number);
	item = damon_sysfs_new_dir(type->item, &list->kobj, name);
	if (IS_ERR(item))
		return PTR_ERR(item);
	list->items[list->nr] = item;
	WRITE_ONCE(list->nr, list->nr + 1);
	return 0;
}

/**
 * damon_sysfs_renew_items() - have new numbered directories instead of the old
 * @list:	in this directory
 * @nr:		so many
 * @first:	the number of the first one
 *
 * Called with damon_sysfs_lock held.
 *
 * Return: 0; what its items' may_remove() does not allow, with nothing changed;
 * or -ENOMEM, or -EINTR for a fatal signal, with no directory left.
 */
int damon_sysfs_renew_items(struct damon_sysfs_list *list, int nr, int first)
{
	const struct damon_sysfs_type *item = damon_sysfs_type_of(&list->kobj)->item;
	int i, err;

	for (i = 0; i < list->nr && item->may_remove; i++) {
		err = item->may_remove(list->items[i]);
		if (err)
			return err;
	}
	damon_sysfs_remove_items(list);
	if (!nr)
		return 0;
	list->items = kvcalloc(nr, sizeof(*list->items), GFP_KERNEL | __GFP_NOWARN);
	if (!list->items)
		return -ENOMEM;
	while (list->nr < nr) {
		err = damon_sysfs_add_item(list, first + list->nr);
		if (err) {
			damon_sysfs_remove_items(list);
			return err;
		}
	}
	return 0;
}

/* For the file nr_... of a struct damon_sysfs_list */
ssize_t damon_sysfs_nr_show(struct kobject *kobj,
			    struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(damon_sysfs_to_list(kobj)->nr));
}

ssize_t damon_sysfs_nr_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	int nr, err;

	err = kstrtoint(buf, 0, &nr);
	if (err)
		return err;
	if (nr < 0 || nr > damon_sysfs_type_of(kobj)->max_items)
		return -EINVAL;
	if (!mutex_trylock(&damon_sysfs_lock))
		return -EBUSY;
	err = damon_sysfs_renew_items(damon_sysfs_to_list(kobj), nr, 0);
	mutex_unlock(&damon_sysfs_lock);
	return err ? err : count;
}
