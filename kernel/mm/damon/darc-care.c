// SPDX-License-Identifier: GPL-2.0
/*
 * How careful DARC is, by what has become of what it did.
 *
 * What was reclaimed and had to be brought back was in use.  Memory that is in use
 * less often than the minimum age tells gets recognised by a higher one.  And where
 * there is nothing to be had, as there is no swap space for example, a higher one
 * has it tried less often.
 *
 * The kernel counts refaults, but not whose they are.  They are shared among those
 * who have reclaimed anything of late: the zones, and all others.
 */

#include <linux/math64.h>
#include <linux/minmax.h>

#include "darc.h"
#include "schemes.h"

/* What was reclaimed so long ago counts only a third for whose a refault is. */
#define FADE_MS			60000U

/* Less than so many pages tell nothing. */
#define LEAST_PAGES		64UL

/* More than so many percent of what was reclaimed: too much. */
#define TOO_MANY_REFAULTS	3
/* No more than that: all is well. */
#define FEW_REFAULTS		1
/* Less than this part of what was to be reclaimed: in vain. */
#define VAIN_SHARE		64

/**
 * darc_fade() - how much of what was reclaimed still counts
 * @pages:	how much it was
 * @ms:		some time ago
 */
unsigned long darc_fade(unsigned long pages, unsigned int ms)
{
	/* Rounded up, so that small numbers fade as well. */
	return pages - min(pages, (unsigned long)damos_muldiv(pages, min(ms, FADE_MS), FADE_MS) +
				  (ms > 0));
}

/**
 * darc_share() - how many of all refaults are of pages of one reclaimer
 * @refaults:	all
 * @out:	pages that it has reclaimed of late
 * @all_out:	pages that were reclaimed of late, by whomever
 */
unsigned long darc_share(unsigned long refaults, unsigned long out, unsigned long all_out)
{
	if (!out || !all_out)
		return 0;
	return min_t(u64, damos_muldiv(refaults, out, all_out), out);
}

/**
 * darc_others_share() - how many refaults are of what others reclaim meanwhile
 * @refaults:	all refaults of a time
 * @others:	pages that others have reclaimed in the same time
 *
 * A cgroup at its limit, or a machine short of memory, brings back what it reclaims,
 * within moments.  The more of what was reclaimed is matched by refaults, the more
 * of them are of that; few refaults beside much reclaim are of anything.
 */
unsigned long darc_others_share(unsigned long refaults, unsigned long others)
{
	unsigned long both = min(refaults, others);

	return both ? damos_muldiv(both, both, others) : 0;
}

/**
 * darc_growth() - by how much a count has grown
 * @last:	what it was; becomes what it is
 * @now:	what it is
 *
 * What is counted by CPU is counted twice for a moment, or not at all, when one goes
 * offline.  A count that is lower than before has not grown, and does so only when
 * it gets beyond what it was.
 */
unsigned long darc_growth(unsigned long *last, unsigned long now)
{
	unsigned long more = now - *last;

	/* Counts go on at 0 after the highest number: that is no step back. */
	if (more > LONG_MAX)
		return 0;
	*last = now;
	return more;
}

/**
 * darc_judge() - how careful to be
 * @care:	how careful it was until now
 * @outcome:	what has become of what was done meanwhile
 * @out:	pages reclaimed of late that have not been brought back
 *
 * Return: from 0 to DARC_MOST_CARE.
 */
unsigned int darc_judge(unsigned int care, const struct darc_outcome *outcome,
			unsigned long out)
{
	unsigned long all = out + outcome->refaulted;
	u64 refaults = (u64)outcome->refaulted * 100;

	if (outcome->refaulted >= LEAST_PAGES && refaults > (u64)all * TOO_MANY_REFAULTS)
		return min(care + 1, DARC_MOST_CARE);
	if (outcome->passed >= LEAST_PAGES &&
	    outcome->reclaimed < outcome->passed / VAIN_SHARE)
		return min(care + 1, DARC_MOST_CARE);
	if (care && refaults <= (u64)all * FEW_REFAULTS)
		return care - 1;
	return care;
}
