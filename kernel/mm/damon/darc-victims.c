// SPDX-License-Identifier: GPL-2.0
/*
 * What DARC reclaims: the scheme, and how finely accesses are monitored for it.
 *
 * That memory was accessed rarely is known of regions; for how long, by their age.
 * This tells where to begin.  Within a region pages differ: one that was accessed
 * since it was last looked at, which has to be long ago, stays.  So only what was
 * looked at before can be reclaimed, and whatever is known of regions, nothing is
 * that was accessed of late.
 */

#include <linux/mm.h>
#include <linux/sizes.h>

#include "darc.h"
#include "schemes.h"

/* Samples in an aggregation interval, and of these in the minimum age. */
#define SAMPLES			10
#define AGGRS_OF_AGE		5
#define MOST_SAMPLE_US		(100 * USEC_PER_MSEC)

/* Memory is rarely accessed if no more than this part of the samples find it so. */
#define RARE_SHARE		5

/* One region at least for so much memory. */
#define MOST_REGION_SZ		SZ_32M
#define LEAST_MIN_REGIONS	10UL
#define MOST_MIN_REGIONS	250UL
/* What monitoring costs at most; pages are looked at one by one besides. */
#define MAX_REGIONS		500UL

/* While it is watched, a block is looked at after so many times the minimum age. */
#define WATCH_AGES		8
/* So it is when it is warm: the minimum age is doubled so many times. */
#define MOST_WARM		3
/* Not even this part of what is there was idle: a warm block. */
#define WARM_SHARE		4

/* Whatever the pressure, so much may be tried after a window in which there was none. */
#define LEAST_GOAL_SZ		SZ_1M

/**
 * darc_is_due() - whether to look at the pages of a block
 * @look:	what is known of it
 * @now:	the time
 * @age:	the minimum age, in the same unit
 * @reclaim:	what has not been accessed is going to be reclaimed
 *
 * Before, pages that were not accessed since may have been so of late.  Where most
 * were accessed, and were so the last time, they are not asked as often.
 */
bool darc_is_due(const struct darc_look *look, u32 now, u32 age, bool reclaim)
{
	u64 wait = reclaim ? (u64)age << look->warm : (u64)age * WATCH_AGES;

	return !look->at || now - look->at >= wait;
}

/**
 * darc_note_look() - note what was found
 * @look:	what is known of a block
 * @now:	the time
 * @seen:	bytes of its pages that were there
 * @passed:	and of those that had not been accessed since the last look
 */
void darc_note_look(struct darc_look *look, u32 now, unsigned long seen,
		    unsigned long passed)
{
	/* The first time, nothing is known of any page. */
	if (!look->at || passed >= seen / WARM_SHARE)
		look->warm = 0;
	else if (look->warm < MOST_WARM)
		look->warm++;
	look->at = now ?: 1;
}

/**
 * darc_new_scheme() - make the scheme
 * @psi:	the kernel tells of memory pressure
 *
 * Return: it, with neither quota nor memory to reclaim; or NULL for lack of memory.
 */
struct damos *darc_new_scheme(bool psi)
{
	static const struct damos_access_pattern none = {
		.min_sz_region = ULONG_MAX,
		.max_sz_region = ULONG_MAX,
		.max_age_region = UINT_MAX,
	};
	struct damos_quota_goal *goal;
	struct damos_filter *young;
	struct damos *s;

	s = damon_new_scheme(&none, DAMOS_PAGEOUT, 0, NUMA_NO_NODE);
	if (!s)
		return NULL;
	young = damos_new_filter(DAMOS_FILTER_TYPE_YOUNG, true, false);
	if (!young)
		goto out;
	damos_add_filter(s, young);
	/* Free memory is the coldest of all, and much is to be looked at in vain. */
	s->quota.charge_passed = true;
	if (psi) {
		goal = damos_new_quota_goal(DAMOS_QUOTA_SOME_MEM_PSI_US, ULONG_MAX);
		if (!goal)
			goto out;
		damos_add_quota_goal(&s->quota, goal);
	}
	return s;
out:
	damon_destroy_scheme(s);
	return NULL;
}

/**
 * darc_set_attrs() - see how finely to monitor
 * @attrs:	to be set
 * @min_age_us:	the age that has to be told
 * @bytes:	how much memory there is
 */
void darc_set_attrs(struct damon_attrs *attrs, unsigned long min_age_us,
		    unsigned long bytes)
{
	unsigned long sample = clamp(min_age_us / (SAMPLES * AGGRS_OF_AGE), 1UL,
				     (unsigned long)MOST_SAMPLE_US);

	*attrs = (struct damon_attrs){
		.sample_interval = sample,
		.aggr_interval = sample * SAMPLES,
		.ops_update_interval = 60 * USEC_PER_SEC,
		.min_nr_regions = clamp(bytes / MOST_REGION_SZ, LEAST_MIN_REGIONS,
					MOST_MIN_REGIONS),
		.max_nr_regions = MAX_REGIONS,
	};
}

/**
 * darc_set_quota() - bound what is done
 * @s:		the scheme, of a context that no kdamond serves, or the calling one's
 * @params:	how
 */
void darc_set_quota(struct damos *s, const struct darc_params *params)
{
	struct damos_quota_goal *goal;

	s->quota.ms = params->ms;
	/* There always is a bound, as without one nothing could end it half-way. */
	s->quota.sz = params->bytes ?: ULONG_MAX;
	s->quota.reset_interval = params->reset_interval_ms;
	damos_for_each_quota_goal(goal, &s->quota)
		goal->target_value = params->psi_us ?: ULONG_MAX;
	damos_quota_bound(&s->quota);
}

/**
 * darc_aim_at_nothing() - have nothing more be tried
 * @s:		the scheme, of the calling kdamond's context, which may be under way
 */
void darc_aim_at_nothing(struct damos *s)
{
	s->pattern.min_sz_region = ULONG_MAX;
	s->quota.esz = 0;
}

/* There was nothing to do: none of the pressure meanwhile was of its making. */
static void begin(struct damos *s)
{
	struct damos_quota_goal *goal;

	damos_for_each_quota_goal(goal, &s->quota)
		goal->last_psi_total = 0;
	/* What is left of it was set to nothing, maybe. */
	damos_quota_bound(&s->quota);
}

/**
 * darc_aim() - say what to try
 * @s:		the scheme, of the calling kdamond's context
 * @attrs:	of the same
 * @state:	what is done with the zone
 * @psi_us:	pressure that is all right; 0: any
 *
 * While a zone is watched, its memory is only looked at, so that it is known later
 * which pages were accessed since.  That goes by addresses, and leaves ages alone.
 */
void darc_aim(struct damos *s, const struct damon_attrs *attrs, enum darc_state state,
	      unsigned long psi_us)
{
	bool reclaim = state == DARC_RECLAIMING;
	bool proportional = false;
	struct damos_quota_goal *goal;

	if (!reclaim && state != DARC_WATCHING) {
		s->pattern.min_sz_region = ULONG_MAX;
		return;
	}
	if (s->pattern.min_sz_region == ULONG_MAX)
		begin(s);
	s->pattern.min_sz_region = PAGE_SIZE;
	s->pattern.max_nr_accesses = damon_max_nr_accesses(attrs) / RARE_SHARE;
	s->action = reclaim ? DAMOS_PAGEOUT : DAMOS_STAT;
	s->quota.rarest_first = reclaim;
	/* All that is allowed in the first window, by proportion from then on. */
	damos_for_each_quota_goal(goal, &s->quota)
		proportional |= psi_us && goal->last_psi_total;
	s->quota.esz_by_goals = max_t(unsigned long, s->quota.esz_by_goals,
				      LEAST_GOAL_SZ);
	s->quota.goal_tuner = proportional ? DAMOS_QUOTA_GOAL_TUNER_CONSIST :
					     DAMOS_QUOTA_GOAL_TUNER_TEMPORAL;
}
