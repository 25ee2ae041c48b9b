// SPDX-License-Identifier: GPL-2.0
/*
 * DARC's watermarks: what they are, and what is done by them.
 *
 * Below the low one the original reclaim has to act, and does so below the zone's
 * own high watermark, so that there is always room between the two: they never
 * work at the same time because of the same shortage.
 */

#include <linux/errno.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "darc.h"

/* From the low to the mid, and from there to the high one: this part of a zone. */
#define GAP_SHARE	32
/* The low one is above the zone's own by this part of that. */
#define LOW_SHARE	4

/* A zone's free memory may fall by this part of the zone in a second, at any time. */
#define BURST_SHARE	16
/* And so may twice what it did of late. */
#define FALLING_TIMES	2

#define LEAST_LOOK_MS	20
#define MOST_LOOK_MS	1000

/**
 * darc_zone_high() - up to where the original reclaim of a zone goes, in pages
 * @zone:	the zone
 * @tiering:	memory is promoted to it, and there shall be room for that
 *
 * That is without the boost, which comes and goes with single allocations.
 */
unsigned long darc_zone_high(const struct zone *zone, bool tiering)
{
	return READ_ONCE(zone->_watermark[tiering ? WMARK_PROMO : WMARK_HIGH]);
}

/**
 * darc_zone_free() - what of a zone is free for any allocation, in pages
 * @zone:	the zone
 *
 * The original reclaim counts neither what is kept for atomic allocations of high
 * orders, nor what is for memory only that can be moved out of the way.
 */
unsigned long darc_zone_free(struct zone *zone)
{
	unsigned long free = zone_page_state(zone, NR_FREE_PAGES);
	unsigned long kept = READ_ONCE(zone->nr_free_highatomic) +
			     zone_page_state(zone, NR_FREE_CMA_PAGES);

	/* They are not of the same moment. */
	return free - min(free, kept);
}

static void set_defaults(struct darc_marks *marks, const struct darc_room *room)
{
	unsigned long gap = max(room->managed / GAP_SHARE, 1UL);

	marks->low = room->zone_high + max(min(room->zone_high / LOW_SHARE, gap), 1UL);
	marks->mid = marks->low + gap;
	marks->high = marks->mid + gap;
}

static bool is_roomy(const struct darc_room *room)
{
	return room->managed >= 3 && room->zone_high <= room->managed - 3;
}

static bool is_in_order(const struct darc_marks *marks, const struct darc_room *room)
{
	return marks->low > room->zone_high && marks->mid > marks->low &&
	       marks->high > marks->mid && marks->high <= room->managed;
}

/**
 * darc_find_mark() - where one of the watermarks is
 * @marks:	all of them
 * @which:	which one
 */
unsigned long *darc_find_mark(struct darc_marks *marks, enum darc_mark which)
{
	if (which == DARC_HIGH)
		return &marks->high;
	return which == DARC_MID ? &marks->mid : &marks->low;
}

/**
 * darc_resolve() - see which watermarks hold
 * @marks:	to be set
 * @own:	what users want; 0 for default ones
 * @room:	what there is room for
 *
 * Those that would break the order are moved: up, as far as there is memory.
 */
void darc_resolve(struct darc_marks *marks, const struct darc_marks *own,
		  const struct darc_room *room)
{
	marks->usable = is_roomy(room);
	if (!marks->usable) {
		marks->high = room->managed;
		marks->mid = room->managed;
		marks->low = room->managed;
		return;
	}
	set_defaults(marks, room);
	if (own->low)
		marks->low = own->low;
	if (own->mid)
		marks->mid = own->mid;
	if (own->high)
		marks->high = own->high;

	marks->high = min(marks->high, room->managed);
	marks->mid = min(marks->mid, room->managed - 1);
	marks->low = clamp(marks->low, room->zone_high + 1, room->managed - 2);
	marks->mid = max(marks->mid, marks->low + 1);
	marks->high = max(marks->high, marks->mid + 1);
}

/**
 * darc_set_mark() - change a watermark
 * @own:	what users want
 * @which:	which of them
 * @pages:	what they want now; 0 for the default one
 * @room:	what there is room for
 *
 * Return: 0; -EINVAL where it would not be in order with those that hold: then
 * nothing changes.
 */
int darc_set_mark(struct darc_marks *own, enum darc_mark which, unsigned long pages,
		  const struct darc_room *room)
{
	struct darc_marks marks, defaults;

	darc_resolve(&marks, own, room);
	if (!marks.usable)
		return -EINVAL;
	set_defaults(&defaults, room);
	*darc_find_mark(&marks, which) = pages ?: *darc_find_mark(&defaults, which);
	if (!is_in_order(&marks, room))
		return -EINVAL;
	*darc_find_mark(own, which) = pages;
	return 0;
}

/**
 * darc_decide() - see what is to be done with a zone
 * @was:	what is done until now
 * @marks:	its watermarks
 * @free:	its free pages
 * @ahead:	how far above the mid one something has to be known already, in pages
 *
 * It is watched from half way between the high and the mid one at the latest, so that
 * there is something known when memory is to be reclaimed.  What has begun goes on up
 * to the high one.
 */
enum darc_state darc_decide(enum darc_state was, const struct darc_marks *marks,
			    unsigned long free, unsigned long ahead)
{
	if (!marks->usable || free > marks->high)
		return DARC_IDLE;
	if (free < marks->low)
		return DARC_YIELDING;
	if (free < marks->mid || was == DARC_RECLAIMING)
		return DARC_RECLAIMING;
	ahead = max(ahead, (marks->high - marks->mid) / 2);
	if (was == DARC_IDLE && free - marks->mid >= ahead)
		return DARC_IDLE;
	return DARC_WATCHING;
}

/**
 * darc_next_look_ms() - when to look next at a zone that nobody else looks at
 * @marks:	its watermarks
 * @free:	its free pages
 * @falling:	pages by which they fell of late, in a second
 * @managed:	the pages of the zone
 *
 * Return: milliseconds in which it could get to its mid watermark.
 */
unsigned int darc_next_look_ms(const struct darc_marks *marks, unsigned long free,
			       unsigned long falling, unsigned long managed)
{
	u64 rate = max3((u64)falling * FALLING_TIMES, (u64)managed / BURST_SHARE, 1ULL);
	u64 left = free > marks->mid ? free - marks->mid : 0;

	if (!marks->usable)
		return MOST_LOOK_MS;
	return clamp(div64_u64(left * 1000, rate), (u64)LEAST_LOOK_MS, (u64)MOST_LOOK_MS);
}
