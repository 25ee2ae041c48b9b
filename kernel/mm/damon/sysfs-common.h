/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the directories of DAMON's sysfs interface have in common.
 *
 * A directory is a kobject whose struct begins with it, so that all of them are
 * freed alike.  Its struct damon_sysfs_type says which files it has, which
 * directories it always has (parts), and of which type its numbered directories
 * are (items), of which there are as many as its file nr_... says.
 */
#ifndef _MM_DAMON_SYSFS_COMMON_H
#define _MM_DAMON_SYSFS_COMMON_H

#include <linux/container_of.h>
#include <linux/damon.h>
#include <linux/kobject.h>
#include <linux/mutex.h>
#include <linux/sysfs.h>

/*
 * Protects which directories there are, and what belongs to a kdamond.  Files
 * take it by mutex_trylock() only: who removes a directory holds it while
 * waiting for those who are in the functions of that directory's files.
 */
extern struct mutex damon_sysfs_lock;

struct damon_sysfs_type;

/**
 * struct damon_sysfs_part - a directory that another one always has
 * @name:	its name; an array of these ends where there is none
 * @type:	its type
 * @offset:	where the other one keeps its struct kobject *
 */
struct damon_sysfs_part {
	const char *name;
	const struct damon_sysfs_type *type;
	size_t offset;
};

/**
 * struct damon_sysfs_type - a type of directories
 * @ktype:	made by DAMON_SYSFS_KTYPE()
 * @size:	of the struct, which begins with its struct kobject
 * @parts:	directories that it always has; may be NULL
 * @item:	type of its numbered directories; then its struct is struct
 *		damon_sysfs_list
 * @max_items:	how many of them there may be
 * @init:	set what is not 0 at first, before anybody sees it; may be NULL
 * @exit:	undo what was done by means of its files, once nobody uses them
 *		any more; may be NULL
 * @may_remove:	0, or the error for who wants it removed; may be NULL
 */
struct damon_sysfs_type {
	const struct kobj_type ktype;
	size_t size;
	const struct damon_sysfs_part *parts;
	const struct damon_sysfs_type *item;
	int max_items;
	void (*init)(struct kobject *kobj);
	void (*exit)(struct kobject *kobj);
	int (*may_remove)(struct kobject *kobj);
};

#define DAMON_SYSFS_KTYPE(_groups) {			\
	.release = damon_sysfs_release,			\
	.sysfs_ops = &kobj_sysfs_ops,			\
	.default_groups = _groups,			\
}

/**
 * struct damon_sysfs_list - a directory of numbered directories
 * @kobj:	the directory
 * @items:	its numbered directories
 * @nr:		how many there are
 */
struct damon_sysfs_list {
	struct kobject kobj;
	struct kobject **items;
	int nr;
};

static inline struct damon_sysfs_list *damon_sysfs_to_list(struct kobject *kobj)
{
	return container_of(kobj, struct damon_sysfs_list, kobj);
}

/* The file nr_<items> of a list, as damon_sysfs_nr_<items>_groups */
#define DAMON_SYSFS_NR_FILE(_items)					\
	static struct kobj_attribute damon_sysfs_nr_##_items =		\
		__ATTR(nr_##_items, 0600, damon_sysfs_nr_show,		\
		       damon_sysfs_nr_store);				\
	static struct attribute *damon_sysfs_nr_##_items##_attrs[] = {	\
		&damon_sysfs_nr_##_items.attr,				\
		NULL,							\
	};								\
	ATTRIBUTE_GROUPS(damon_sysfs_nr_##_items)

/**
 * struct damon_sysfs_field - a file that is a value in a directory's struct
 * @attr:	the file
 * @words:	for damon_sysfs_word_show(): what is read and written, by value
 * @nr_words:	how many there are
 * @ulong_at:	where an unsigned long is, for damon_sysfs_ulong_show()
 * @uint_at:	where an unsigned int is, for damon_sysfs_uint_show()
 * @int_at:	where an int is, for damon_sysfs_int_show()
 * @bool_at:	where a bool is, for damon_sysfs_bool_show()
 * @word_at:	where an unsigned int is, for damon_sysfs_word_show()
 */
struct damon_sysfs_field {
	struct kobj_attribute attr;
	const char * const *words;
	unsigned int nr_words;
	union {
		unsigned long *(*ulong_at)(struct kobject *kobj);
		unsigned int *(*uint_at)(struct kobject *kobj);
		int *(*int_at)(struct kobject *kobj);
		bool *(*bool_at)(struct kobject *kobj);
		unsigned int *(*word_at)(struct kobject *kobj);
	};
};

/*
 * The file <field>, as damon_sysfs_<dir>_<field>, of struct damon_sysfs_<dir>.
 * _words is an array without holes, or NULL.
 */
#define DAMON_SYSFS_FIELD(_dir, _field, _kind, _pointer, _store, _mode,		\
			  _words, _nr_words)					\
	static _pointer damon_sysfs_##_dir##_##_field##_at(struct kobject *kobj) \
	{									\
		struct damon_sysfs_##_dir *dir =				\
			container_of(kobj, struct damon_sysfs_##_dir, kobj);	\
										\
		return &(*dir)._field;						\
	}									\
	static struct damon_sysfs_field damon_sysfs_##_dir##_##_field = {	\
		.attr = {							\
			.attr = { .name = #_field, .mode = _mode },		\
			.show = damon_sysfs_##_kind##_show,			\
			.store = _store,					\
		},								\
		.words = _words,						\
		.nr_words = _nr_words,						\
		._kind##_at = damon_sysfs_##_dir##_##_field##_at,		\
	}
#define DAMON_SYSFS_ULONG(_dir, _field)					\
	DAMON_SYSFS_FIELD(_dir, _field, ulong, unsigned long *,		\
			  damon_sysfs_ulong_store, 0600, NULL, 0)
#define DAMON_SYSFS_UINT(_dir, _field)					\
	DAMON_SYSFS_FIELD(_dir, _field, uint, unsigned int *,		\
			  damon_sysfs_uint_store, 0600, NULL, 0)
#define DAMON_SYSFS_INT(_dir, _field)					\
	DAMON_SYSFS_FIELD(_dir, _field, int, int *,			\
			  damon_sysfs_int_store, 0600, NULL, 0)
#define DAMON_SYSFS_BOOL(_dir, _field)					\
	DAMON_SYSFS_FIELD(_dir, _field, bool, bool *,			\
			  damon_sysfs_bool_store, 0600, NULL, 0)
#define DAMON_SYSFS_WORD(_dir, _field, _words, _nr_words)		\
	DAMON_SYSFS_FIELD(_dir, _field, word, unsigned int *,		\
			  damon_sysfs_word_store, 0600, _words, _nr_words)

/* What users only read */
#define DAMON_SYSFS_RESULT(_dir, _field)				\
	DAMON_SYSFS_FIELD(_dir, _field, ulong, unsigned long *,		\
			  NULL, 0400, NULL, 0)

ssize_t damon_sysfs_ulong_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf);
ssize_t damon_sysfs_ulong_store(struct kobject *kobj,
				struct kobj_attribute *attr,
				const char *buf, size_t count);
ssize_t damon_sysfs_uint_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf);
ssize_t damon_sysfs_uint_store(struct kobject *kobj,
			       struct kobj_attribute *attr,
			       const char *buf, size_t count);
ssize_t damon_sysfs_int_show(struct kobject *kobj,
			     struct kobj_attribute *attr, char *buf);
ssize_t damon_sysfs_int_store(struct kobject *kobj,
			      struct kobj_attribute *attr,
			      const char *buf, size_t count);
ssize_t damon_sysfs_bool_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf);
ssize_t damon_sysfs_bool_store(struct kobject *kobj,
			       struct kobj_attribute *attr,
			       const char *buf, size_t count);
ssize_t damon_sysfs_word_show(struct kobject *kobj,
			      struct kobj_attribute *attr, char *buf);
ssize_t damon_sysfs_word_store(struct kobject *kobj,
			       struct kobj_attribute *attr,
			       const char *buf, size_t count);
ssize_t damon_sysfs_nr_show(struct kobject *kobj,
			    struct kobj_attribute *attr, char *buf);
ssize_t damon_sysfs_nr_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count);
int damon_sysfs_renew_items(struct damon_sysfs_list *list, int nr, int first);
void damon_sysfs_release(struct kobject *kobj);
struct kobject *damon_sysfs_new_dir(const struct damon_sysfs_type *type,
				    struct kobject *parent, const char *name);
void damon_sysfs_remove_dir(struct kobject *kobj);

/**
 * struct damon_sysfs_figures - what a context has come to
 * @attrs:	what it monitors by
 * @schemes:	of each scheme what it has done, and its effective quota
 * @nr_schemes:	how many there are
 */
struct damon_sysfs_figures {
	struct damon_attrs attrs;
	struct {
		struct damos_stat stat;
		unsigned long effective_bytes;
	} *schemes;
	unsigned int nr_schemes;
};

/* Which of the figures to write into files. */
enum damon_sysfs_figure {
	DAMON_SYSFS_INTERVALS = 1,
	DAMON_SYSFS_STATS = 2,
	DAMON_SYSFS_EFFECTIVE_QUOTAS = 4,
};

/**
 * struct damon_sysfs_walk - what the schemes of a context were tried on
 * @schemes:	how much that was, by scheme
 * @nr_schemes:	how many there are
 * @last:	the scheme that was tried last, or NULL
 * @last_idx:	which that is
 * @regions:	what it was, in the order in which it was tried: first all of one
 *		scheme, then all of another
 * @nr:		how many
 * @room:	how many there is memory for
 * @max_nr:	how many to keep at most
 * @err:	-ENOMEM where some are missing
 */
struct damon_sysfs_walk {
	struct damon_sysfs_tried_by *schemes;
	unsigned int nr_schemes;
	const struct damos *last;
	unsigned int last_idx;
	struct damon_sysfs_tried_on *regions;
	unsigned int nr;
	unsigned int room;
	unsigned int max_nr;
	int err;
};

/* sysfs-context.c: contexts/ and all that is below it */
extern const struct damon_sysfs_type damon_sysfs_contexts_type;
struct damon_ctx *damon_sysfs_new_ctx(struct kobject *context);
struct damon_ctx *damon_sysfs_new_goals_ctx(struct kobject *context);
struct kobject *damon_sysfs_schemes(struct kobject *context);
void damon_sysfs_put_figures(struct kobject *context,
			     const struct damon_sysfs_figures *figures,
			     unsigned int which);

/* sysfs-schemes.c: schemes/ */
extern const struct damon_sysfs_type damon_sysfs_schemes_type;
int damon_sysfs_read_schemes(struct damon_ctx *ctx, struct kobject *schemes);
int damon_sysfs_read_quota_goals(struct damon_ctx *ctx, struct kobject *schemes);
int damon_sysfs_commit_quota_goals(struct damon_ctx **dst, struct damon_ctx **src,
				   int nr);

/* sysfs-results.c: what contexts and schemes have come to */
int damon_sysfs_get_figures(struct damon_sysfs_figures *figures, struct damon_ctx *ctx);
void damon_sysfs_free_figures(struct damon_sysfs_figures *figures);
void damon_sysfs_put_scheme_figures(struct kobject *schemes,
				    const struct damon_sysfs_figures *figures,
				    unsigned int which);
int damon_sysfs_walk(struct damon_sysfs_walk *walk, struct damon_ctx *ctx,
		     unsigned int nr_schemes, unsigned int max_nr);
void damon_sysfs_free_walk(struct damon_sysfs_walk *walk);
int damon_sysfs_put_walk(struct kobject *schemes, const struct damon_sysfs_walk *walk);
void damon_sysfs_clear_tried(struct kobject *schemes);

#endif /* _MM_DAMON_SYSFS_COMMON_H */
