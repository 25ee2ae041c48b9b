/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DARC: reclaim of what is accessed least, before a zone runs short.
 *
 * Each zone has watermarks of its own, and a context that monitors its memory while
 * they say so.  darc-wmarks.c, darc-care.c and darc-victims.c know nothing of that,
 * nor of time, so that they run under KUnit as they are.
 */
#ifndef _MM_DAMON_DARC_H
#define _MM_DAMON_DARC_H

#include <linux/damon.h>
#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>

/**
 * struct darc_marks - watermarks of a zone's free memory, in pages
 * @high:	above it, there is enough
 * @mid:	below it, there should be more
 * @low:	below it, the original reclaim has to see to it
 * @usable:	there is room for them above the zone's own ones
 */
struct darc_marks {
	unsigned long high;
	unsigned long mid;
	unsigned long low;
	bool usable;
};

/* Which of them */
enum darc_mark {
	DARC_HIGH,
	DARC_MID,
	DARC_LOW,
};

/**
 * struct darc_room - what bounds the watermarks of a zone, in pages
 * @zone_high:	up to where the original reclaim goes on
 * @managed:	what there is of it
 */
struct darc_room {
	unsigned long zone_high;
	unsigned long managed;
};

/**
 * enum darc_state - what is done with a zone
 * @DARC_IDLE:		nothing
 * @DARC_WATCHING:	its accesses are monitored
 * @DARC_RECLAIMING:	and memory that is rarely accessed is reclaimed
 * @DARC_YIELDING:	nothing, as it is below its low watermark
 */
enum darc_state {
	DARC_IDLE,
	DARC_WATCHING,
	DARC_RECLAIMING,
	DARC_YIELDING,
};

/* darc-wmarks.c */
unsigned long darc_zone_high(const struct zone *zone, bool tiering);
unsigned long darc_zone_free(struct zone *zone);
unsigned long *darc_find_mark(struct darc_marks *marks, enum darc_mark which);
void darc_resolve(struct darc_marks *marks, const struct darc_marks *own,
		  const struct darc_room *room);
int darc_set_mark(struct darc_marks *own, enum darc_mark which, unsigned long pages,
		  const struct darc_room *room);
enum darc_state darc_decide(enum darc_state was, const struct darc_marks *marks,
			    unsigned long free, unsigned long ahead);
unsigned int darc_next_look_ms(const struct darc_marks *marks, unsigned long free,
			       unsigned long falling, unsigned long managed);

/* The minimum age is doubled so many times at most. */
#define DARC_MOST_CARE		4

/**
 * struct darc_outcome - what has become of what was done, in pages
 * @passed:	pages that were to be reclaimed, as nobody had accessed them
 * @reclaimed:	those that were
 * @refaulted:	those that had to be brought back
 */
struct darc_outcome {
	unsigned long passed;
	unsigned long reclaimed;
	unsigned long refaulted;
};

/* darc-care.c */
unsigned long darc_fade(unsigned long pages, unsigned int ms);
unsigned long darc_share(unsigned long refaults, unsigned long out, unsigned long all_out);
unsigned long darc_others_share(unsigned long refaults, unsigned long others);
unsigned long darc_growth(unsigned long *last, unsigned long now);
unsigned int darc_judge(unsigned int care, const struct darc_outcome *outcome,
			unsigned long out);

/**
 * struct darc_params - what users say of all zones
 * @min_age_us:		memory has to be rarely accessed for so long
 * @bytes:		quota; 0: no bound
 * @ms:			likewise
 * @reset_interval_ms:	what these hold for
 * @psi_us:		pressure that is all right, in such an interval; 0: any
 */
struct darc_params {
	unsigned long min_age_us;
	unsigned long bytes;
	unsigned long ms;
	unsigned long reset_interval_ms;
	unsigned long psi_us;
};

/* darc-victims.c */
struct damos *darc_new_scheme(bool psi);
void darc_set_attrs(struct damon_attrs *attrs, unsigned long min_age_us,
		    unsigned long bytes);
void darc_set_quota(struct damos *s, const struct darc_params *params);
void darc_aim_at_nothing(struct damos *s);
void darc_aim(struct damos *s, const struct damon_attrs *attrs, enum darc_state state,
	      unsigned long psi_us);

/**
 * struct darc_look - what is known of the pages of a block
 * @at:		when they were looked at, in jiffies, as far as they fit; 0: not yet
 * @warm:	how often in a row nearly all of them had been accessed
 */
struct darc_look {
	u32 at;
	u8 warm;
};

bool darc_is_due(const struct darc_look *look, u32 now, u32 age, bool reclaim);
void darc_note_look(struct darc_look *look, u32 now, unsigned long seen,
		    unsigned long passed);

/**
 * struct darc_looks - the same of all blocks of a zone
 * @of:		what is known
 * @probed:	for each page whether a probe has hidden that it was accessed since
 * @nr:		how many blocks there are
 * @first:	which is the first one, counted from address 0
 * @next:	where the last look has ended
 */
struct darc_looks {
	struct darc_look *of;
	unsigned long *probed;
	unsigned long nr;
	unsigned long first;
	unsigned long next;
};

/**
 * struct darc_zone - a zone, and its directory
 * @kobj:	the directory
 * @zone:	the zone
 * @list:	in darc_zones
 * @gone:	it is not in there any more
 * @ctx:	what monitors it; NULL while DARC is disabled
 * @scheme:	of @ctx
 * @pa:		paddr's operations
 * @looks:	the kdamond's, while there is one
 * @stale:	memory has come, or gone, since @ctx was told which there is
 * @judge_at:	when to see next how it went, in jiffies
 * @judged:	counts of when that was done the last time
 * @accounted:	reclaimed pages that are in @out
 * @out:	pages reclaimed of late that have not been brought back
 * @interrupt:	somebody waits for the kdamond
 * @care:	how often the minimum age is doubled
 * @params:	what the kdamond works by: its own, see damon_call()
 * @lock:	protects what follows; no other lock is taken inside
 * @own:	watermarks that users have set; 0 for those that they have not
 * @state:	what is done with it
 * @since:	since when, in jiffies
 * @last_free:	free pages when last looked at by the clock
 * @last_look:	when that was, in jiffies
 * @falling:	pages by which they fell in a second
 * @at_start:	reclaimed pages when it last began to reclaim
 * @started:	how often it did
 * @stopped_above_high: how often it ended so
 * @stopped_below_low: likewise
 * @tried:	pages that it was tried on
 * @sum:	and what has become of them
 * @cpu_ns:	what its kdamonds have spent
 * @cpu_seen:	what of that is of the present one
 *
 * What comes before @interrupt is protected by darc_lock.
 */
struct darc_zone {
	struct kobject kobj;
	struct zone *zone;
	struct list_head list;
	bool gone;
	struct damon_ctx *ctx;
	struct damos *scheme;
	struct damon_operations pa;
	struct darc_looks looks;
	bool stale;
	unsigned long judge_at;
	struct darc_outcome judged;
	unsigned long accounted;
	unsigned long out;

	bool interrupt;
	unsigned int care;
	struct darc_params params;

	spinlock_t lock;	/* see above */
	struct darc_marks own;
	enum darc_state state;
	unsigned long since;
	unsigned long last_free;
	unsigned long last_look;
	unsigned long falling;
	unsigned long at_start;
	unsigned long started;
	unsigned long stopped_above_high;
	unsigned long stopped_below_low;
	unsigned long tried;
	struct darc_outcome sum;
	u64 cpu_ns;
	u64 cpu_seen;
};

static inline struct darc_zone *darc_to_zone(struct kobject *kobj)
{
	return container_of(kobj, struct darc_zone, kobj);
}

/* darc-zone.c: one zone */
struct darc_room darc_zone_room(const struct darc_zone *z);
enum darc_state darc_look(struct darc_zone *z);
unsigned int darc_look_by_clock(struct darc_zone *z);
void darc_end(struct darc_zone *z);
int darc_new_ctx(struct darc_zone *z, const struct darc_params *params);
void darc_free_ctx(struct darc_zone *z);
int darc_run(struct darc_zone *z);
void darc_halt(struct darc_zone *z);
bool darc_wants_ctx(const struct darc_zone *z);
int darc_renew_params(struct darc_zone *z, const struct darc_params *params);

/* darc.c: all of them */
extern struct mutex darc_lock;
extern struct darc_params darc_params;
bool darc_is_enabled(void);
bool darc_has_psi(void);
int darc_enable(bool enable);
int darc_change(unsigned long *param, unsigned long value);
void darc_wake(void);

/* darc-sysfs.c */
struct darc_zone *darc_new_zone(struct zone *zone);
void darc_put_zone(struct darc_zone *z);
int darc_sysfs_init(void);

#endif /* _MM_DAMON_DARC_H */
