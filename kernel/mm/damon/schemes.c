// SPDX-License-Identifier: GPL-2.0
/*
 * DAMOS: a context's schemes, when each of them is due, and who watches them.
 *
 * Times are counted in samples, as all of the kdamond's are.  A scheme without an
 * apply interval of its own is due when an aggregation interval ends.  None is due
 * before the first one has, as nothing is known until then.
 *
 * Locks: see core.c.  A walk (damos_walk()) is its caller's memory; whoever takes
 * it out of the context, under kdamond_lock, is the last of the kdamond's side to
 * touch it.  The kdamond holds it only while it tells it something.
 */

#include <linux/damon.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "schemes.h"

/**
 * damon_new_scheme() - make a scheme without quota, watermarks and filters
 * @pattern:		which regions it is for
 * @action:		what it does with them
 * @apply_interval_us:	see struct damos
 * @target_nid:		likewise
 *
 * Return: it, or NULL for lack of memory.
 */
struct damos *damon_new_scheme(const struct damos_access_pattern *pattern,
			       enum damos_action action,
			       unsigned long apply_interval_us, int target_nid)
{
	struct damos *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	s->pattern = *pattern;
	s->action = action;
	s->apply_interval_us = apply_interval_us;
	s->target_nid = target_nid;
	s->wmarks.activated = true;
	INIT_LIST_HEAD(&s->quota.goals);
	INIT_LIST_HEAD(&s->core_filters);
	INIT_LIST_HEAD(&s->ops_filters);
	INIT_LIST_HEAD(&s->list);
	return s;
}

/**
 * damon_add_scheme() - make a scheme one of a context's
 * @ctx:	a context that no kdamond serves; to add one to another, commit
 * @s:		the scheme, which the context owns from now on
 */
void damon_add_scheme(struct damon_ctx *ctx, struct damos *s)
{
	list_add_tail(&s->list, &ctx->schemes);
}

/**
 * damon_destroy_scheme() - end a scheme, in a context or not
 * @s:		the scheme; its goals, filters and destinations go as well
 */
void damon_destroy_scheme(struct damos *s)
{
	struct damos_quota_goal *goal, *next_goal;
	struct damos_filter *f, *next;

	list_for_each_entry_safe(goal, next_goal, &s->quota.goals, list)
		damos_destroy_quota_goal(goal);
	list_for_each_entry_safe(f, next, &s->core_filters, list)
		damos_destroy_filter(f);
	list_for_each_entry_safe(f, next, &s->ops_filters, list)
		damos_destroy_filter(f);
	kfree(s->migrate_dests.node_id_arr);
	kfree(s->migrate_dests.weight_arr);
	list_del(&s->list);
	kfree(s);
}

static bool pattern_is_sound(const struct damos_access_pattern *pattern)
{
	return pattern->min_sz_region <= pattern->max_sz_region &&
	       pattern->min_nr_accesses <= pattern->max_nr_accesses &&
	       pattern->min_age_region <= pattern->max_age_region;
}

static bool dests_are_sound(const struct damos *s)
{
	const struct damos_migrate_dests *dests = &s->migrate_dests;
	u64 weights = 0;
	size_t i;

	if (s->action != DAMOS_MIGRATE_HOT && s->action != DAMOS_MIGRATE_COLD)
		return true;
	if (!dests->nr_dests)
		return damos_node_has_memory(s->target_nid);
	for (i = 0; i < dests->nr_dests; i++) {
		if (!damos_node_has_memory(dests->node_id_arr[i]))
			return false;
		weights += dests->weight_arr[i];
	}
	return weights;
}

/**
 * damos_check_scheme() - whether a scheme contradicts itself
 * @s:		the scheme; its filters are not looked at
 *
 * Return: 0; -EINVAL for one that does, or that is for nodes without memory; or
 * what its parts return, see damos_check_quota() and damos_check_wmarks().
 */
int damos_check_scheme(const struct damos *s)
{
	if (s->action >= NR_DAMOS_ACTIONS)
		return -EINVAL;
	if (!pattern_is_sound(&s->pattern) || !dests_are_sound(s))
		return -EINVAL;
	return damos_check_quota(&s->quota) ?: damos_check_wmarks(&s->wmarks);
}

/**
 * damos_check() - whether a context's schemes can be done
 * @ctx:	the context, with its operations
 *
 * Return: 0; -EINVAL for a scheme that the operations cannot do; or what
 * damos_check_scheme() and damos_check_filters() return.
 */
int damos_check(const struct damon_ctx *ctx)
{
	const unsigned long actions = ctx->ops.actions | BIT(DAMOS_STAT);
	const struct damos *s;
	int err;

	damon_for_each_scheme(s, ctx) {
		err = damos_check_scheme(s);
		if (err)
			return err;
		if (!(actions & BIT(s->action)))
			return -EINVAL;
		err = damos_check_filters(ctx, s);
		if (err)
			return err;
	}
	return 0;
}

/* What @new has of its own stays; that it goes on where @old was comes from there. */
static void take_over(struct damos *new, struct damos *old)
{
	new->stat = old->stat;
	new->samples_to_next = old->samples_to_next;
	new->walk_done = old->walk_done;
	damos_commit_quota(&new->quota, &old->quota);
	if (new->wmarks.metric == old->wmarks.metric) {
		new->wmarks.activated = old->wmarks.activated;
		new->wmarks.next_look = old->wmarks.next_look;
	}
}

/**
 * damos_commit() - take over another context's schemes
 * @dst:	a context that no kdamond serves, or the calling kdamond's own
 * @src:	a context whose schemes are sound; gets the ones that @dst had
 *
 * A scheme at the same place and with the same action as one before goes on: with
 * its statistics, and with what it has used of its quota.
 */
void damos_commit(struct damon_ctx *dst, struct damon_ctx *src)
{
	struct damos *old = list_first_entry(&dst->schemes, struct damos, list);
	LIST_HEAD(schemes);
	struct damos *new;

	damon_for_each_scheme(new, src) {
		if (list_entry_is_head(old, &dst->schemes, list))
			break;
		if (new->action == old->action)
			take_over(new, old);
		old = list_next_entry(old, list);
	}
	list_splice_init(&dst->schemes, &schemes);
	list_splice_init(&src->schemes, &dst->schemes);
	list_splice(&schemes, &src->schemes);
}

static unsigned long samples_of(const struct damos *s, const struct damon_attrs *attrs)
{
	return max(s->apply_interval_us / max(attrs->sample_interval, 1UL), 1UL);
}

/**
 * damos_rescale() - go on in other intervals
 * @ctx:	a context that no kdamond serves, or the calling kdamond's own; it
 *		still has its old attributes
 * @attrs:	those that it gets
 *
 * Access patterns stay as they are: in the units of the new intervals.
 */
void damos_rescale(struct damon_ctx *ctx, const struct damon_attrs *attrs)
{
	unsigned long was = max(ctx->attrs.sample_interval, 1UL);
	unsigned long is = max(attrs->sample_interval, 1UL);
	struct damos *s;

	damon_for_each_scheme(s, ctx) {
		if (s->samples_to_next)
			s->samples_to_next = clamp(damos_muldiv(s->samples_to_next, was, is),
						   1UL, samples_of(s, attrs));
	}
}

/**
 * damos_begin() - have schemes wait for the first results
 * @ctx:	the calling kdamond's, which begins an aggregation interval, with
 *		nothing known of the time before, or of other memory
 */
void damos_begin(struct damon_ctx *ctx)
{
	unsigned long first = damon_max_nr_accesses(&ctx->attrs);
	struct damos *s;

	damon_for_each_scheme(s, ctx) {
		unsigned long samples = samples_of(s, &ctx->attrs);

		s->unfinished = false;

		if (s->samples_to_next)
			samples = min(samples, s->samples_to_next);
		s->samples_to_next = max(samples, first);
	}
}

static bool is_due(const struct damon_ctx *ctx, struct damos *s, bool aggregated)
{
	if (!s->apply_interval_us)
		return aggregated || s->unfinished;
	if (s->samples_to_next > 1) {
		s->samples_to_next--;
		return s->unfinished;
	}
	s->samples_to_next = samples_of(s, &ctx->attrs);
	return true;
}

static bool is_at_work(const struct damos *s)
{
	if (!s->wmarks.activated)
		return false;
	return !s->max_nr_snapshots || s->stat.nr_snapshots < s->max_nr_snapshots;
}

/* Whatever was done before: all of it is to be done, from where the last round ended. */
static void begin_round(struct damos *s)
{
	s->round_target = s->quota.charge_target_from;
	s->round_addr = s->quota.charge_addr_from;
}

/* See whether somebody has begun to wait for a walk. */
static void begin_walk(struct damon_ctx *ctx)
{
	bool begins = false;
	struct damos *s;

	if (!READ_ONCE(ctx->walk))
		return;
	spin_lock(&ctx->kdamond_lock);
	if (ctx->walk) {
		begins = !ctx->walk->begun;
		ctx->walk->begun = true;
	}
	spin_unlock(&ctx->kdamond_lock);
	if (!begins)
		return;
	damon_for_each_scheme(s, ctx) {
		/* One that goes on has begun too early: all of it is waited for. */
		begin_round(s);
		s->walk_done = false;
	}
}

/* The walk, if it has begun, which from here on cannot go away. */
static struct damos_walk_control *hold_walk(struct damon_ctx *ctx)
{
	struct damos_walk_control *walk;

	if (!READ_ONCE(ctx->walk))
		return NULL;
	spin_lock(&ctx->kdamond_lock);
	walk = ctx->walk && ctx->walk->begun ? ctx->walk : NULL;
	if (walk)
		walk->busy = true;
	spin_unlock(&ctx->kdamond_lock);
	return walk;
}

static void release_walk(struct damon_ctx *ctx, struct damos_walk_control *walk, bool done)
{
	spin_lock(&ctx->kdamond_lock);
	walk->busy = false;
	if (done || walk->withdrawn) {
		ctx->walk = NULL;
		complete(&walk->done);
	}
	spin_unlock(&ctx->kdamond_lock);
}

/**
 * damos_tell_walk() - tell who walks, if anybody, what a scheme was tried on
 * @ctx:	the calling kdamond's
 * @t:		the target
 * @tried:	what was tried of it
 * @s:		the scheme
 * @sz_passed:	the bytes that its filters let through
 */
void damos_tell_walk(struct damon_ctx *ctx, struct damon_target *t,
		     struct damon_region *tried, struct damos *s, unsigned long sz_passed)
{
	struct damos_walk_control *walk = s->walk_done ? NULL : hold_walk(ctx);

	if (!walk)
		return;
	walk->walk_fn(walk->data, ctx, t, tried, s, sz_passed);
	release_walk(ctx, walk, false);
}

static void end_walk(struct damon_ctx *ctx)
{
	struct damos_walk_control *walk = hold_walk(ctx);
	bool done = true;
	struct damos *s;

	if (!walk)
		return;
	damon_for_each_scheme(s, ctx)
		done &= s->walk_done || !is_at_work(s);
	release_walk(ctx, walk, done);
}

/**
 * damos_end_sample() - do what is due at the end of a sampling interval
 * @ctx:	the calling kdamond's
 * @aggregated:	an aggregation interval has ended as well, and the next one has
 *		not begun: regions may be cut
 *
 * Takes as long as the actions do, unless somebody has the kdamond call what does not
 * only read.  Then schemes go on at the next sample where they are.  Sleeps.
 */
void damos_end_sample(struct damon_ctx *ctx, bool aggregated)
{
	bool left = false;
	unsigned int idx = 0;
	struct damos *s;

	begin_walk(ctx);
	damon_for_each_scheme(s, ctx) {
		if (is_due(ctx, s, aggregated) && is_at_work(s)) {
			if (!s->unfinished)
				begin_round(s);
			left = left || !damos_apply(ctx, s, idx, aggregated);
			s->unfinished = left;
			s->walk_done |= !left;
		}
		idx++;
	}
	end_walk(ctx);
}

/**
 * damos_cancel_walk() - have who waits for a walk not wait any longer
 * @ctx:	the calling kdamond's, which is not going to apply schemes soon
 *
 * Context: with the context's kdamond_lock held.
 */
void damos_cancel_walk(struct damon_ctx *ctx)
{
	struct damos_walk_control *walk = ctx->walk;

	lockdep_assert_held(&ctx->kdamond_lock);
	if (!walk)
		return;
	ctx->walk = NULL;
	walk->canceled = true;
	complete(&walk->done);
}

/**
 * damos_walk() - be told of all that schemes are tried on, once each
 * @ctx:	the context
 * @control:	the function to tell it to, which is not called any more when this
 *		has returned
 *
 * Waits until each scheme that is active has been applied once: for up to an apply
 * interval, or the aggregation interval after monitoring has begun, and while schemes
 * work.  Returns 0;
 * -EINVAL while no kdamond serves the context; -EBUSY while somebody else walks;
 * -ECANCELED when the kdamond ends, or no scheme is active; -ERESTARTSYS when a
 * signal came before the end.  Sleeps.
 */
int damos_walk(struct damon_ctx *ctx, struct damos_walk_control *control)
{
	bool withdrawn = false;
	int err = 0;

	init_completion(&control->done);
	control->begun = false;
	control->busy = false;
	control->withdrawn = false;
	control->canceled = false;

	spin_lock(&ctx->kdamond_lock);
	if (!ctx->kdamond)
		err = -EINVAL;
	else if (ctx->walk)
		err = -EBUSY;
	else if (READ_ONCE(ctx->paused))
		err = -ECANCELED;
	else
		WRITE_ONCE(ctx->walk, control);
	spin_unlock(&ctx->kdamond_lock);
	if (err)
		return err;

	if (wait_for_completion_interruptible(&control->done)) {
		spin_lock(&ctx->kdamond_lock);
		if (ctx->walk == control) {
			withdrawn = true;
			control->withdrawn = true;
			if (!control->busy) {
				ctx->walk = NULL;
				complete(&control->done);
			}
		}
		spin_unlock(&ctx->kdamond_lock);
		wait_for_completion(&control->done);
	}
	if (withdrawn)
		return -ERESTARTSYS;
	return control->canceled ? -ECANCELED : 0;
}
