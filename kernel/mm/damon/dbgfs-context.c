// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON's debugfs interface: the files of a context.
 *
 * While a function of a file runs debugfs keeps the directory, and so its context
 * cannot go away.
 */

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dbgfs.h"

/* What it protects is said in dbgfs.h. */
DEFINE_MUTEX(damon_dbgfs_lock);

/**
 * damon_dbgfs_text() - copy what a user has written
 * @buf:	what
 * @count:	how much
 * @pos:	where to: it has to be the beginning
 *
 * Return: a string, for kvfree(), or an ERR_PTR(): -EINVAL for what is no text or is
 * not all of it; -E2BIG; -EFAULT; or -ENOMEM.
 */
char *damon_dbgfs_text(const char __user *buf, size_t count, loff_t pos)
{
	size_t len;
	char *text;

	if (pos)
		return ERR_PTR(-EINVAL);
	if (count > DAMON_DBGFS_MAX_TEXT)
		return ERR_PTR(-E2BIG);
	text = kvmalloc(count + 1, GFP_KERNEL);
	if (!text)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(text, buf, count)) {
		kvfree(text);
		return ERR_PTR(-EFAULT);
	}
	text[count] = '\0';
	/* Some write strings with their end. */
	len = strlen(text);
	if (memchr_inv(text + len, 0, count - len)) {
		kvfree(text);
		return ERR_PTR(-EINVAL);
	}
	return text;
}

/**
 * damon_dbgfs_is_running() - whether a kdamond serves a context
 * @context:	the context
 *
 * Of one that is not served any more the processes are let go, so that their ids do
 * not stay in use.  They are told again for the next time.  Called with
 * damon_dbgfs_lock held.
 */
bool damon_dbgfs_is_running(struct damon_dbgfs_context *context)
{
	struct damon_target *t, *next;

	if (!context->started)
		return false;
	if (damon_is_running(context->ctx))
		return true;
	context->started = false;
	if (!damon_target_has_pid(context->ctx))
		return false;
	damon_for_each_target_safe(t, next, context->ctx)
		damon_destroy_target(t);
	return false;
}

static ssize_t damon_dbgfs_write(struct file *file, const char __user *buf, size_t count,
				 loff_t *pos,
				 int (*read)(struct damon_ctx *ctx, char *text))
{
	struct damon_dbgfs_context *context = file_inode(file)->i_private;
	char *text = damon_dbgfs_text(buf, count, *pos);
	int err;

	if (IS_ERR(text))
		return PTR_ERR(text);
	err = mutex_lock_interruptible(&damon_dbgfs_lock);
	if (!err) {
		if (damon_dbgfs_is_running(context))
			err = -EBUSY;
		else
			err = read(context->ctx, text);
		mutex_unlock(&damon_dbgfs_lock);
	}
	kvfree(text);
	if (err)
		return err;
	*pos += count;
	return count;
}

static ssize_t damon_dbgfs_attrs_write(struct file *file, const char __user *buf,
				       size_t count, loff_t *pos)
{
	return damon_dbgfs_write(file, buf, count, pos, damon_dbgfs_read_attrs);
}

static int damon_dbgfs_attrs_show(struct seq_file *m, void *unused)
{
	struct damon_dbgfs_context *context = m->private;
	int err = mutex_lock_interruptible(&damon_dbgfs_lock);

	if (err)
		return err;
	/* No kdamond changes them: it is not asked to tune them. */
	damon_dbgfs_show_attrs(m, context->ctx);
	mutex_unlock(&damon_dbgfs_lock);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(damon_dbgfs_attrs);

static ssize_t damon_dbgfs_target_ids_write(struct file *file, const char __user *buf,
					    size_t count, loff_t *pos)
{
	return damon_dbgfs_write(file, buf, count, pos, damon_dbgfs_read_target_ids);
}

static int damon_dbgfs_target_ids_show(struct seq_file *m, void *unused)
{
	struct damon_dbgfs_context *context = m->private;
	int err = mutex_lock_interruptible(&damon_dbgfs_lock);

	if (err)
		return err;
	/* If it runs: no kdamond changes which there are, nor whose. */
	damon_dbgfs_is_running(context);
	damon_dbgfs_show_target_ids(m, context->ctx, task_active_pid_ns(current));
	mutex_unlock(&damon_dbgfs_lock);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(damon_dbgfs_target_ids);

static ssize_t damon_dbgfs_init_regions_write(struct file *file, const char __user *buf,
					      size_t count, loff_t *pos)
{
	return damon_dbgfs_write(file, buf, count, pos, damon_dbgfs_read_init_regions);
}

static int damon_dbgfs_init_regions_show(struct seq_file *m, void *unused)
{
	struct damon_dbgfs_context *context = m->private;
	int err = mutex_lock_interruptible(&damon_dbgfs_lock);

	if (err)
		return err;
	if (damon_dbgfs_is_running(context))
		err = -EBUSY;
	else
		damon_dbgfs_show_init_regions(m, context->ctx);
	mutex_unlock(&damon_dbgfs_lock);
	return err;
}
DEFINE_SHOW_STORE_ATTRIBUTE(damon_dbgfs_init_regions);

static ssize_t damon_dbgfs_schemes_write(struct file *file, const char __user *buf,
					 size_t count, loff_t *pos)
{
	return damon_dbgfs_write(file, buf, count, pos, damon_dbgfs_read_schemes);
}

static int damon_dbgfs_tell_schemes(void *data)
{
	struct seq_file *m = data;
	struct damon_dbgfs_context *context = m->private;

	damon_dbgfs_show_schemes(m, context->ctx);
	return 0;
}

/* Tells what the schemes of a context that is not served have done; whether it did. */
static bool damon_dbgfs_tell_rest(struct seq_file *m)
{
	bool running = damon_dbgfs_is_running(m->private);

	if (!running)
		damon_dbgfs_tell_schemes(m);
	return !running;
}

static int damon_dbgfs_schemes_show(struct seq_file *m, void *unused)
{
	struct damon_dbgfs_context *context = m->private;
	struct damon_call_control control = {
		.fn = damon_dbgfs_tell_schemes,
		.data = m,
		.only_reads = true,
	};
	bool told;
	int err;

	do {
		err = mutex_lock_interruptible(&damon_dbgfs_lock);
		if (err)
			return err;
		told = damon_dbgfs_tell_rest(m);
		mutex_unlock(&damon_dbgfs_lock);
		/* Others need not wait for the kdamond.  It may have ended since. */
		err = told ? 0 : damon_call(context->ctx, &control);
	} while (err && err != -EINTR);
	return err;
}
DEFINE_SHOW_STORE_ATTRIBUTE(damon_dbgfs_schemes);

static int damon_dbgfs_kdamond_pid_show(struct seq_file *m, void *unused)
{
	struct damon_dbgfs_context *context = m->private;
	int pid = damon_kdamond_pid(context->ctx);

	if (pid < 0)
		seq_puts(m, "none\n");
	else
		seq_printf(m, "%d\n", pid);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(damon_dbgfs_kdamond_pid);

static const struct damon_dbgfs_file damon_dbgfs_files[] = {
	{ "attrs", 0600, &damon_dbgfs_attrs_fops },
	{ "target_ids", 0600, &damon_dbgfs_target_ids_fops },
	{ "init_regions", 0600, &damon_dbgfs_init_regions_fops },
	{ "schemes", 0600, &damon_dbgfs_schemes_fops },
	{ "kdamond_pid", 0400, &damon_dbgfs_kdamond_pid_fops },
};

/**
 * damon_dbgfs_make_files() - make files in the directory of a context
 * @context:	a context with a directory
 * @files:	which
 * @nr:		how many
 *
 * Return: 0 or what debugfs returns; then some of them may be there.
 */
int damon_dbgfs_make_files(struct damon_dbgfs_context *context,
			   const struct damon_dbgfs_file *files, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		struct dentry *file = debugfs_create_file(files[i].name, files[i].mode,
							  context->dir, context,
							  files[i].fops);

		if (IS_ERR(file))
			return PTR_ERR(file);
	}
	return 0;
}

/**
 * damon_dbgfs_make_context_files() - make the files that each context has
 * @context:	a context with a directory
 *
 * Return: see damon_dbgfs_make_files().
 */
int damon_dbgfs_make_context_files(struct damon_dbgfs_context *context)
{
	return damon_dbgfs_make_files(context, damon_dbgfs_files,
				      ARRAY_SIZE(damon_dbgfs_files));
}

/**
 * damon_dbgfs_new_context() - make a context, which has no directory
 *
 * Return: it, or an ERR_PTR().
 */
struct damon_dbgfs_context *damon_dbgfs_new_context(void)
{
	struct damon_dbgfs_context *context = kzalloc(sizeof(*context), GFP_KERNEL);
	int err;

	if (!context)
		return ERR_PTR(-ENOMEM);
	context->ctx = damon_new_ctx();
	if (!context->ctx) {
		kfree(context);
		return ERR_PTR(-ENOMEM);
	}
	err = damon_select_ops(context->ctx, DAMON_OPS_VADDR);
	if (err) {
		damon_dbgfs_destroy_context(context);
		return ERR_PTR(err);
	}
	return context;
}

/**
 * damon_dbgfs_destroy_context() - end a context and its directory
 * @context:	a context that no kdamond serves, and that nobody finds any more
 *
 * Waits for who is in the functions of its files, and so is called without
 * damon_dbgfs_lock.
 */
void damon_dbgfs_destroy_context(struct damon_dbgfs_context *context)
{
	debugfs_remove(context->dir);
	damon_destroy_ctx(context->ctx);
	kfree(context);
}
