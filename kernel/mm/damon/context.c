// SPDX-License-Identifier: GPL-2.0
/*
 * Contexts: what is monitored, how, by which means, and how all that changes.
 *
 * Nothing here is locked: until a kdamond serves a context it is its owner's,
 * from then on the kdamond's.  ops_lock protects the registered operations.
 */

#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "math.h"
#include "schemes.h"
#include "targets.h"

static DEFINE_MUTEX(ops_lock);
static struct damon_operations registered_ops[NR_DAMON_OPS];
static bool is_registered[NR_DAMON_OPS];

/**
 * damon_new_ctx() - make a context with default attributes, without targets and schemes
 *
 * Return: it, or NULL for lack of memory.
 */
struct damon_ctx *damon_new_ctx(void)
{
	struct damon_ctx *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

	if (!ctx)
		return NULL;
	ctx->attrs = (struct damon_attrs){
		.sample_interval = 5 * USEC_PER_MSEC,
		.aggr_interval = 100 * USEC_PER_MSEC,
		.ops_update_interval = 60 * USEC_PER_SEC,
		.min_nr_regions = 10,
		.max_nr_regions = 1000,
	};
	ctx->ops.id = NR_DAMON_OPS;
	ctx->addr_unit = 1;
	ctx->nid = NUMA_NO_NODE;
	INIT_LIST_HEAD(&ctx->adaptive_targets);
	INIT_LIST_HEAD(&ctx->schemes);
	INIT_LIST_HEAD(&ctx->calls);
	INIT_LIST_HEAD(&ctx->group);
	spin_lock_init(&ctx->kdamond_lock);
	prandom_seed_state(&ctx->random, get_random_u64());
	return ctx;
}

/**
 * damon_destroy_ctx() - end a context, its targets and its schemes
 * @ctx:	a context that no kdamond serves
 */
void damon_destroy_ctx(struct damon_ctx *ctx)
{
	struct damon_target *t, *next;
	struct damos *s, *next_s;

	damon_for_each_scheme_safe(s, next_s, ctx)
		damon_destroy_scheme(s);
	damon_for_each_target_safe(t, next, ctx) {
		damon_destroy_target(t);
		cond_resched();
	}
	kvfree(ctx->scratch);
	kfree(ctx);
}

static bool attrs_are_sound(const struct damon_attrs *attrs)
{
	const struct damon_intervals_goal *goal = &attrs->intervals_goal;

	if (attrs->min_nr_regions < DAMON_LEAST_NR_REGIONS ||
	    attrs->min_nr_regions > attrs->max_nr_regions ||
	    attrs->max_nr_regions > INT_MAX)
		return false;
	if (attrs->sample_interval > attrs->aggr_interval ||
	    attrs->aggr_interval > KTIME_MAX / NSEC_PER_USEC)
		return false;
	if (!goal->access_bp)
		return true;
	return goal->aggrs && goal->min_sample_us &&
	       goal->min_sample_us <= goal->max_sample_us &&
	       goal->max_sample_us <= KTIME_MAX / NSEC_PER_USEC &&
	       attrs->sample_interval >= goal->min_sample_us &&
	       attrs->sample_interval <= goal->max_sample_us;
}

/* What regions tell is in samples and aggregation intervals: convert it. */
static void rescale_regions(struct damon_ctx *ctx, const struct damon_attrs *attrs)
{
	u64 old_max = damon_max_nr_accesses(&ctx->attrs);
	u64 new_max = damon_max_nr_accesses(attrs);
	u64 old_aggr = max(ctx->attrs.aggr_interval, 1UL);
	u64 new_aggr = max(attrs->aggr_interval, 1UL);
	struct damon_target *t;
	struct damon_region *r;

	damon_for_each_target(t, ctx) {
		damon_for_each_region(r, t) {
			r->nr_accesses = min_t(u64, new_max,
					       damos_muldiv(r->nr_accesses, new_max, old_max));
			r->last_nr_accesses = min_t(u64, new_max,
						    damos_muldiv(r->last_nr_accesses, new_max,
								 old_max));
			r->age = min_t(u64, UINT_MAX,
				       damos_muldiv(r->age, old_aggr, new_aggr));
		}
		cond_resched();
	}
}

/**
 * damon_set_attrs() - say how to monitor
 * @ctx:	a context that no kdamond serves, or the calling kdamond's own
 * @attrs:	the attributes
 *
 * Return: 0, or -EINVAL where they contradict themselves: then nothing changes.
 */
int damon_set_attrs(struct damon_ctx *ctx, const struct damon_attrs *attrs)
{
	if (!attrs_are_sound(attrs))
		return -EINVAL;
	rescale_regions(ctx, attrs);
	damos_rescale(ctx, attrs);
	ctx->attrs = *attrs;
	ctx->tuned_aggrs = 0;
	ctx->tuned_bp = 0;
	return 0;
}

/**
 * damon_is_registered_ops() - whether a kind of address space can be monitored
 * @id:		which kind
 */
bool damon_is_registered_ops(enum damon_ops_id id)
{
	bool registered = false;

	if (id >= NR_DAMON_OPS)
		return false;
	mutex_lock(&ops_lock);
	registered = is_registered[id];
	mutex_unlock(&ops_lock);
	return registered;
}

/**
 * damon_register_ops() - offer a means of monitoring
 * @ops:	the operations, which are copied
 *
 * Return: 0, or -EINVAL where there are such operations already.
 */
int damon_register_ops(const struct damon_operations *ops)
{
	int err = -EINVAL;

	if (ops->id >= NR_DAMON_OPS)
		return err;
	mutex_lock(&ops_lock);
	if (!is_registered[ops->id]) {
		registered_ops[ops->id] = *ops;
		is_registered[ops->id] = true;
		err = 0;
	}
	mutex_unlock(&ops_lock);
	return err;
}

/**
 * damon_select_ops() - say by which means to monitor
 * @ctx:	a context that no kdamond serves
 * @id:		which
 *
 * Return: 0, or -EINVAL where there are none.
 */
int damon_select_ops(struct damon_ctx *ctx, enum damon_ops_id id)
{
	int err = -EINVAL;

	if (id >= NR_DAMON_OPS)
		return err;
	mutex_lock(&ops_lock);
	if (is_registered[id]) {
		ctx->ops = registered_ops[id];
		err = 0;
	}
	mutex_unlock(&ops_lock);
	return err;
}

static bool same_space(const struct damon_ctx *a, const struct damon_ctx *b)
{
	return a->ops.id == b->ops.id && a->addr_unit == b->addr_unit;
}

/* Have the targets of @src learn from those of @dst.  Leaves @dst as it is. */
static int prepare_commit(struct damon_ctx *dst, struct damon_ctx *src)
{
	struct damon_target *new;
	int err;

	if (!attrs_are_sound(&src->attrs) || src->ops.id >= NR_DAMON_OPS)
		return -EINVAL;
	err = damos_check(src);
	if (err)
		return err;
	if (!same_space(dst, src))
		return damon_check_bound(src);
	damon_pair_targets(dst, src);
	err = damon_check_bound(src);
	if (err)
		return err;
	damon_for_each_target(new, src) {
		cond_resched();
		if (!new->before || !new->nr_regions)
			continue;
		err = damon_adopt_regions(new, new->before);
		if (err)
			return err;
	}
	return 0;
}

static void apply_commit(struct damon_ctx *dst, struct damon_ctx *src)
{
	struct damon_target *new, *old;
	LIST_HEAD(old_targets);

	damon_for_each_target(new, src) {
		cond_resched();
		old = same_space(dst, src) ? new->before : NULL;
		new->before = NULL;
		if (!old || new->nr_regions || old->gone)
			continue;
		swap(new->regions, old->regions);
		swap(new->nr_regions, old->nr_regions);
		swap(new->room, old->room);
	}
	list_splice_init(&dst->adaptive_targets, &old_targets);
	list_splice_init(&src->adaptive_targets, &dst->adaptive_targets);
	list_splice(&old_targets, &src->adaptive_targets);
	dst->ops = src->ops;
	dst->addr_unit = src->addr_unit;
	damos_commit(dst, src);
	/* Ages and rates that were taken over are in dst's old intervals. */
	damon_set_attrs(dst, &src->attrs);
	dst->restart = true;
}

/**
 * damon_commit_ctxs() - take over other contexts' attributes, targets and schemes
 * @dst:	contexts that no kdamond serves, or all of the calling one's
 * @src:	what each of them shall be like; afterwards, good for nothing
 *		but damon_destroy_ctx()
 * @nr:		how many of each
 *
 * What is known of a process, or of physical memory, that is monitored before
 * and after is kept.  Targets of @src without regions go on with those that they
 * had in @dst.  Schemes go on where they have the same place and action as before,
 * see damos_commit().  Returns 0, or an error, after which all of @dst are as they were.
 */
int damon_commit_ctxs(struct damon_ctx **dst, struct damon_ctx **src, int nr)
{
	int i, err;

	for (i = 0; i < nr; i++) {
		err = prepare_commit(dst[i], src[i]);
		if (err)
			return err;
	}
	for (i = 0; i < nr; i++)
		apply_commit(dst[i], src[i]);
	return 0;
}

/**
 * damon_commit_ctx() - take over another context's attributes, targets and schemes
 * @dst:	a context that no kdamond serves, or the calling kdamond's own
 * @src:	what it shall be like, see damon_commit_ctxs()
 */
int damon_commit_ctx(struct damon_ctx *dst, struct damon_ctx *src)
{
	return damon_commit_ctxs(&dst, &src, 1);
}
