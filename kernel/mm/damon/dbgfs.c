// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's debugfs interface, <debugfs>/damon: the one that it began with.  Only tools
 * that do not know sysfs need it.
 *
 * Here are the files of the topmost directory that are not those of its context.
 */

#define pr_fmt(fmt) "damon: " fmt

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dbgfs.h"
#include "schemes.h"

#define DAMON_DBGFS_NOTICE							\
	"DAMON debugfs interface is deprecated, so users should move to DAMON_SYSFS. "	\
	"If you cannot, please report your usecase to damon@lists.linux.dev and "	\
	"linux-mm@kvack.org.\n"

/* All of them; the first one is the topmost directory's, which stays. */
static LIST_HEAD(damon_dbgfs_contexts);

static struct dentry *damon_dbgfs_root;

static struct damon_dbgfs_context *damon_dbgfs_top(void)
{
	return list_first_entry(&damon_dbgfs_contexts, struct damon_dbgfs_context, list);
}

/* With damon_dbgfs_lock held: whether a kdamond serves any of them. */
static bool damon_dbgfs_any_running(void)
{
	struct damon_dbgfs_context *context;
	bool any = false;

	list_for_each_entry(context, &damon_dbgfs_contexts, list)
		any |= damon_dbgfs_is_running(context);
	return any;
}

/* All contexts, for kfree(), or NULL for lack of memory. */
static struct damon_ctx **damon_dbgfs_ctxs(int nr)
{
	struct damon_ctx **ctxs = kmalloc_array(nr, sizeof(*ctxs), GFP_KERNEL);
	struct damon_dbgfs_context *context;
	int i = 0;

	if (!ctxs)
		return NULL;
	list_for_each_entry(context, &damon_dbgfs_contexts, list)
		ctxs[i++] = context->ctx;
	return ctxs;
}

/* With damon_dbgfs_lock held */
static int damon_dbgfs_on(void)
{
	int nr = list_count_nodes(&damon_dbgfs_contexts);
	struct damon_dbgfs_context *context;
	struct damon_ctx **ctxs;
	int err;

	pr_warn_once(DAMON_DBGFS_NOTICE);
	if (damon_dbgfs_any_running())
		return -EBUSY;
	/* So that none is monitored for a moment because it comes before a bad one. */
	list_for_each_entry(context, &damon_dbgfs_contexts, list) {
		if (list_empty(&context->ctx->adaptive_targets))
			return -EINVAL;
		err = damos_check(context->ctx);
		if (err)
			return err;
	}
	ctxs = damon_dbgfs_ctxs(nr);
	if (!ctxs)
		return -ENOMEM;
	err = damon_start(ctxs, nr, false);
	kfree(ctxs);
	if (err)
		return err;
	list_for_each_entry(context, &damon_dbgfs_contexts, list)
		context->started = true;
	return 0;
}

/* With damon_dbgfs_lock held */
static int damon_dbgfs_off(void)
{
	struct damon_dbgfs_context *context;
	int err = -EPERM;

	list_for_each_entry(context, &damon_dbgfs_contexts, list) {
		if (!damon_stop(&context->ctx, 1))
			err = 0;
	}
	/* Let go of their processes now. */
	damon_dbgfs_any_running();
	return err;
}

static ssize_t damon_dbgfs_monitor_on_write(struct file *file, const char __user *buf,
					    size_t count, loff_t *pos)
{
	char *text = damon_dbgfs_text(buf, count, *pos), *word;
	int err;

	if (IS_ERR(text))
		return PTR_ERR(text);
	err = mutex_lock_interruptible(&damon_dbgfs_lock);
	if (!err) {
		word = strim(text);
		if (!strcmp(word, "on"))
			err = damon_dbgfs_on();
		else if (!strcmp(word, "off"))
			err = damon_dbgfs_off();
		else
			err = -EINVAL;
		mutex_unlock(&damon_dbgfs_lock);
	}
	kvfree(text);
	if (err)
		return err;
	*pos += count;
	return count;
}

static int damon_dbgfs_monitor_on_show(struct seq_file *m, void *unused)
{
	int err = mutex_lock_interruptible(&damon_dbgfs_lock);

	if (err)
		return err;
	seq_puts(m, damon_dbgfs_any_running() ? "on\n" : "off\n");
	mutex_unlock(&damon_dbgfs_lock);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(damon_dbgfs_monitor_on);

/* Whether it can be the name of a directory. */
static int damon_dbgfs_check_name(const char *name)
{
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (!*name || name[strcspn(name, " \t\n\v\f\r/")] ||
	    !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return 0;
}

/* With damon_dbgfs_lock held: whether there is anything of that name. */
static bool damon_dbgfs_is_taken(const char *name)
{
	struct dentry *found = debugfs_lookup(name, damon_dbgfs_root);

	dput(found);
	return found;
}

/* With damon_dbgfs_lock held; after an error some of the files may be there. */
static int damon_dbgfs_add_context(struct damon_dbgfs_context *context, const char *name)
{
	struct dentry *dir;
	int err;

	if (damon_dbgfs_any_running())
		return -EBUSY;
	if (list_count_nodes(&damon_dbgfs_contexts) > DAMON_DBGFS_MAX_CONTEXTS)
		return -ENOSPC;
	if (damon_dbgfs_is_taken(name))
		return -EEXIST;
	dir = debugfs_create_dir(name, damon_dbgfs_root);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	context->dir = dir;
	err = damon_dbgfs_make_context_files(context);
	if (!err)
		list_add_tail(&context->list, &damon_dbgfs_contexts);
	return err;
}

static int damon_dbgfs_mk_context(const char *name)
{
	struct damon_dbgfs_context *context = damon_dbgfs_new_context();
	int err;

	if (IS_ERR(context))
		return PTR_ERR(context);
	err = mutex_lock_interruptible(&damon_dbgfs_lock);
	if (!err) {
		err = damon_dbgfs_add_context(context, name);
		mutex_unlock(&damon_dbgfs_lock);
	}
	if (err)
		damon_dbgfs_destroy_context(context);
	return err;
}

/* With damon_dbgfs_lock held: take it from the others, or an ERR_PTR(). */
static struct damon_dbgfs_context *damon_dbgfs_take_context(const char *name)
{
	struct damon_dbgfs_context *context = damon_dbgfs_top();

	if (damon_dbgfs_any_running())
		return ERR_PTR(-EBUSY);
	list_for_each_entry_continue(context, &damon_dbgfs_contexts, list) {
		if (strcmp(context->dir->d_name.name, name))
			continue;
		list_del(&context->list);
		return context;
	}
	return ERR_PTR(damon_dbgfs_is_taken(name) ? -EINVAL : -ENOENT);
}

static int damon_dbgfs_rm_context(const char *name)
{
	struct damon_dbgfs_context *context;
	int err;

	err = mutex_lock_interruptible(&damon_dbgfs_lock);
	if (err)
		return err;
	context = damon_dbgfs_take_context(name);
	mutex_unlock(&damon_dbgfs_lock);
	if (IS_ERR(context))
		return PTR_ERR(context);
	damon_dbgfs_destroy_context(context);
	return 0;
}

static ssize_t damon_dbgfs_write_name(const char __user *buf, size_t count, loff_t *pos,
				      int (*run)(const char *name))
{
	char *text = damon_dbgfs_text(buf, count, *pos), *name;
	int err;

	if (IS_ERR(text))
		return PTR_ERR(text);
	name = strim(text);
	err = damon_dbgfs_check_name(name) ?: run(name);
	kvfree(text);
	if (err)
		return err;
	*pos += count;
	return count;
}

static ssize_t damon_dbgfs_mk_write(struct file *file, const char __user *buf,
				    size_t count, loff_t *pos)
{
	return damon_dbgfs_write_name(buf, count, pos, damon_dbgfs_mk_context);
}

static const struct file_operations damon_dbgfs_mk_fops = {
	.open = simple_open,
	.write = damon_dbgfs_mk_write,
};

static ssize_t damon_dbgfs_rm_write(struct file *file, const char __user *buf,
				    size_t count, loff_t *pos)
{
	return damon_dbgfs_write_name(buf, count, pos, damon_dbgfs_rm_context);
}

static const struct file_operations damon_dbgfs_rm_fops = {
	.open = simple_open,
	.write = damon_dbgfs_rm_write,
};

static int damon_dbgfs_deprecated_show(struct seq_file *m, void *unused)
{
	seq_puts(m, DAMON_DBGFS_NOTICE);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(damon_dbgfs_deprecated);

static const struct damon_dbgfs_file damon_dbgfs_files[] = {
	{ "monitor_on_DEPRECATED", 0600, &damon_dbgfs_monitor_on_fops },
	{ "mk_contexts", 0200, &damon_dbgfs_mk_fops },
	{ "rm_contexts", 0200, &damon_dbgfs_rm_fops },
	{ "DEPRECATED", 0400, &damon_dbgfs_deprecated_fops },
};

/* After subsys_initcall(), by which operations register themselves. */
static int __init damon_dbgfs_init(void)
{
	struct damon_dbgfs_context *top = damon_dbgfs_new_context();
	int err;

	if (IS_ERR(top))
		return PTR_ERR(top);
	top->dir = debugfs_create_dir("damon", NULL);
	if (IS_ERR(top->dir)) {
		err = PTR_ERR(top->dir);
		top->dir = NULL;
		damon_dbgfs_destroy_context(top);
		return err;
	}
	damon_dbgfs_root = top->dir;
	list_add(&top->list, &damon_dbgfs_contexts);
	/* A file that is missing is one that nobody can use. */
	damon_dbgfs_make_context_files(top);
	damon_dbgfs_make_files(top, damon_dbgfs_files, ARRAY_SIZE(damon_dbgfs_files));
	return 0;
}
fs_initcall(damon_dbgfs_init);
