/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM darc

#if !defined(_TRACE_DARC_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DARC_H

#include <linux/tracepoint.h>
#include <linux/types.h>

#ifndef _TRACE_DARC_TYPES
#define _TRACE_DARC_TYPES

/* Why it has stopped to reclaim a zone's memory */
enum darc_why {
	DARC_WHY_ABOVE_HIGH,
	DARC_WHY_BELOW_LOW,
	DARC_WHY_DISABLED,
};

/* A zone, and its free memory among the watermarks, in bytes */
struct darc_level {
	int nid;
	const char *zone;
	unsigned long free;
	unsigned long high;
	unsigned long mid;
	unsigned long low;
};

#endif /* _TRACE_DARC_TYPES */

TRACE_DEFINE_ENUM(DARC_WHY_ABOVE_HIGH);
TRACE_DEFINE_ENUM(DARC_WHY_BELOW_LOW);
TRACE_DEFINE_ENUM(DARC_WHY_DISABLED);

#define show_darc_why(why)				\
	__print_symbolic(why,				\
		{ DARC_WHY_ABOVE_HIGH,	"above_high" },	\
		{ DARC_WHY_BELOW_LOW,	"below_low" },	\
		{ DARC_WHY_DISABLED,	"disabled" })

/* It begins to reclaim a zone's memory. */
TRACE_EVENT(darc_start,

	TP_PROTO(const struct darc_level *level),

	TP_ARGS(level),

	TP_STRUCT__entry(
		__field(int, nid)
		__string(zone, level->zone)
		__field(unsigned long, free)
		__field(unsigned long, high)
		__field(unsigned long, mid)
		__field(unsigned long, low)
	),

	TP_fast_assign(
		__entry->nid = level->nid;
		__assign_str(zone);
		__entry->free = level->free;
		__entry->high = level->high;
		__entry->mid = level->mid;
		__entry->low = level->low;
	),

	TP_printk("nid=%d zone=%s free=%lu high=%lu mid=%lu low=%lu",
		  __entry->nid, __get_str(zone), __entry->free,
		  __entry->high, __entry->mid, __entry->low)
);

/* It has ended, with so many bytes reclaimed meanwhile. */
TRACE_EVENT(darc_stop,

	TP_PROTO(const struct darc_level *level, enum darc_why why,
		 unsigned long reclaimed),

	TP_ARGS(level, why, reclaimed),

	TP_STRUCT__entry(
		__field(int, nid)
		__string(zone, level->zone)
		__field(int, why)
		__field(unsigned long, reclaimed)
		__field(unsigned long, free)
		__field(unsigned long, high)
		__field(unsigned long, mid)
		__field(unsigned long, low)
	),

	TP_fast_assign(
		__entry->nid = level->nid;
		__assign_str(zone);
		__entry->why = why;
		__entry->reclaimed = reclaimed;
		__entry->free = level->free;
		__entry->high = level->high;
		__entry->mid = level->mid;
		__entry->low = level->low;
	),

	TP_printk("nid=%d zone=%s why=%s reclaimed=%lu free=%lu high=%lu mid=%lu low=%lu",
		  __entry->nid, __get_str(zone), show_darc_why(__entry->why),
		  __entry->reclaimed, __entry->free, __entry->high,
		  __entry->mid, __entry->low)
);

/* What has become of a range that it has tried to reclaim, all in bytes. */
TRACE_EVENT(darc_reclaim,

	TP_PROTO(int nid, const char *zone, const struct damon_addr_range *range,
		 unsigned long passed, unsigned long reclaimed),

	TP_ARGS(nid, zone, range, passed, reclaimed),

	TP_STRUCT__entry(
		__field(int, nid)
		__string(zone, zone)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned long, passed)
		__field(unsigned long, reclaimed)
	),

	TP_fast_assign(
		__entry->nid = nid;
		__assign_str(zone);
		__entry->start = range->start;
		__entry->end = range->end;
		__entry->passed = passed;
		__entry->reclaimed = reclaimed;
	),

	TP_printk("nid=%d zone=%s %lu-%lu: passed=%lu reclaimed=%lu",
		  __entry->nid, __get_str(zone), __entry->start, __entry->end,
		  __entry->passed, __entry->reclaimed)
);

#endif /* _TRACE_DARC_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
