/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of DAMON's debugfs interface use of each other.
 *
 * A directory stands for a context, and so does the topmost one.  Its files are the
 * context itself: what is written into them is there at once, in words as well as
 * in deed, and so cannot be while a kdamond serves the context.
 */
#ifndef _MM_DAMON_DBGFS_H
#define _MM_DAMON_DBGFS_H

#include <linux/damon.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pid_namespace.h>
#include <linux/seq_file.h>

/* So that a slip of the pen does not take all memory: as many as by sysfs. */
#define DAMON_DBGFS_MAX_CONTEXTS	1024
#define DAMON_DBGFS_MAX_TARGETS		16384
#define DAMON_DBGFS_MAX_REGIONS		65536
#define DAMON_DBGFS_MAX_SCHEMES		256

/* Room for the words of all of these */
#define DAMON_DBGFS_MAX_TEXT		(4UL << 20)

/*
 * Protects which contexts there are, and those that no kdamond serves.  The
 * functions of files wait for it.  So who has it must not wait for them, as
 * debugfs_remove() does.
 */
extern struct mutex damon_dbgfs_lock;

/**
 * struct damon_dbgfs_context - a directory
 * @ctx:	its context
 * @dir:	where it is
 * @list:	among all of them
 * @started:	a kdamond was started for it, and has not been seen to have ended
 */
struct damon_dbgfs_context {
	struct damon_ctx *ctx;
	struct dentry *dir;
	struct list_head list;
	bool started;
};

/**
 * struct damon_dbgfs_file - a file of a directory
 * @name:	its name
 * @mode:	its mode
 * @fops:	what it does
 */
struct damon_dbgfs_file {
	const char *name;
	umode_t mode;
	const struct file_operations *fops;
};

/* dbgfs-text.c: contexts as text */
int damon_dbgfs_read_attrs(struct damon_ctx *ctx, char *text);
int damon_dbgfs_read_target_ids(struct damon_ctx *ctx, char *text);
int damon_dbgfs_read_init_regions(struct damon_ctx *ctx, char *text);
int damon_dbgfs_read_schemes(struct damon_ctx *ctx, char *text);
void damon_dbgfs_show_attrs(struct seq_file *m, const struct damon_ctx *ctx);
void damon_dbgfs_show_target_ids(struct seq_file *m, const struct damon_ctx *ctx,
				 struct pid_namespace *ns);
void damon_dbgfs_show_init_regions(struct seq_file *m, const struct damon_ctx *ctx);
void damon_dbgfs_show_schemes(struct seq_file *m, const struct damon_ctx *ctx);

/* dbgfs-context.c: the files of a context */
char *damon_dbgfs_text(const char __user *buf, size_t count, loff_t pos);
struct damon_dbgfs_context *damon_dbgfs_new_context(void);
void damon_dbgfs_destroy_context(struct damon_dbgfs_context *context);
int damon_dbgfs_make_files(struct damon_dbgfs_context *context,
			   const struct damon_dbgfs_file *files, int nr);
int damon_dbgfs_make_context_files(struct damon_dbgfs_context *context);
bool damon_dbgfs_is_running(struct damon_dbgfs_context *context);

#endif /* _MM_DAMON_DBGFS_H */
