// SPDX-License-Identifier: GPL-2.0
/*
 * A program with a busy part, whose demand for memory grows.
 *
 *	pressure OUT KEY=VALUE...
 *
 * It fills its memory, says "filled", waits for a line of standard input, says "begun",
 * and then does for so many seconds, a hundred times in each, what it is for: an
 * operation, a pass over 8 MiB of its hot memory, in turns, and over a part of its warm
 * memory.  Between them it grows, and reads on in a file, as it is told.  OUT gets JSON
 * with how long each operation and each piece of growth took.
 *
 *	hot=MIB warm=MIB	memory that is used; all of the warm one each 2.5 s
 *	fill=MIB		memory that is filled at first, and never used again
 *	grow=KIB rate=KIB	so much in all, so much in a second; rate=0: all at once
 *	file=PATH read=KIB	a file to read, so much in a second
 *	node=N			the node that fill and growth are of
 *	seconds=N
 *
 * Of each page an eighth does not compress.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define KIB		1024UL
#define MIB		(KIB * KIB)
#define TURNS		100		/* in a second */
#define OPERATION	(8 * MIB)
#define WARM_TURNS	250
#define PIECE		(64 * KIB)
#define RANDOM		(PAGE / 8)
#define NSEC		1000000000UL

enum { HOT, WARM, FILL, GROW, RATE, READ, NODE, SECONDS, NR_KEYS };

static const char *const keys[] = {
	"hot", "warm", "fill", "grow", "rate", "read", "node", "seconds",
};

static unsigned long values[NR_KEYS];

struct times {
	uint32_t *us10;		/* tenths of microseconds */
	unsigned long nr, room;
};

static void die(const char *what)
{
	fprintf(stderr, "pressure: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long min(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * NSEC + time.tv_nsec;
}

static void note(struct times *times, uint64_t ns)
{
	if (times->nr == times->room)
		return;
	times->us10[times->nr++] = ns / 100 < UINT32_MAX ? ns / 100 : UINT32_MAX;
}

/* Room that needs no memory later, when there is none. */
static void make_room(struct times *times, unsigned long nr)
{
	times->nr = 0;
	times->room = nr;
	times->us10 = malloc((nr + 1) * sizeof(*times->us10));
	if (!times->us10)
		die("malloc");
	memset(times->us10, 1, (nr + 1) * sizeof(*times->us10));
}

static char *map(unsigned long size, unsigned long node)
{
	unsigned long mask = 1UL << (node & 63);
	char *at;

	if (!size)
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		die("mmap");
	madvise(at, size, MADV_NOHUGEPAGE);
	/* MPOL_BIND */
	if (node != -1UL && syscall(SYS_mbind, at, size, 2, &mask, 64, 0))
		die("mbind");
	return at;
}

static void fill(char *at, unsigned long size)
{
	static uint64_t dice = 88172645463325252ULL;
	unsigned long page, i;

	for (page = 0; page < size; page += PAGE) {
		for (i = 0; i < RANDOM; i += sizeof(dice)) {
			dice ^= dice << 13;
			dice ^= dice >> 7;
			dice ^= dice << 17;
			memcpy(at + page + i, &dice, sizeof(dice));
		}
	}
}

static void touch(volatile char *at, unsigned long size)
{
	unsigned long page;

	for (page = 0; page < size; page += PAGE)
		at[page]++;
}

/* Memory that is used, all of it after some turns. */
struct used {
	char *at;
	unsigned long size, part;
};

static struct used use(unsigned long size, unsigned long part)
{
	struct used used = { .at = map(size, -1), .size = size, .part = part };

	fill(used.at, size);
	return used;
}

static void touch_part(const struct used *used, unsigned long turn)
{
	unsigned long nr = used->size / used->part;

	if (nr)
		touch(used->at + turn % nr * used->part, used->part);
}

static void print(FILE *out, const char *name, const struct times *times)
{
	unsigned long i;

	fprintf(out, "\"%s\": [", name);
	for (i = 0; i < times->nr; i++)
		fprintf(out, "%s%u.%u", i ? ", " : "", times->us10[i] / 10, times->us10[i] % 10);
	fprintf(out, "]");
}

static void parse(int argc, char **argv, const char **file)
{
	int i, k;

	values[NODE] = -1UL;
	for (i = 2; i < argc; i++) {
		char *end, *value = strchr(argv[i], '=');

		if (!value)
			goto bad;
		*value++ = 0;
		if (!strcmp(argv[i], "file")) {
			*file = value;
			continue;
		}
		for (k = 0; k < NR_KEYS && strcmp(argv[i], keys[k]); k++)
			;
		if (k == NR_KEYS)
			goto bad;
		values[k] = strtoul(value, &end, 10);
		if (!*value || *end)
			goto bad;
	}
	return;
bad:
	fprintf(stderr, "pressure: %s: not a KEY=VALUE of pressure.c\n", argv[i]);
	exit(2);
}

int main(int argc, char **argv)
{
	unsigned long all_turns, turn, grown = 0, size;
	struct times operations, growth;
	const char *file = NULL;
	struct used hot, warm;
	char *grow_at, *buf;
	uint64_t begin, at, took, growing = 0;
	struct rusage before, after;
	int fd = -1;
	FILE *out;

	if (argc < 2) {
		fprintf(stderr, "usage: pressure OUT KEY=VALUE...\n");
		return 2;
	}
	parse(argc, argv, &file);
	out = fopen(argv[1], "w");
	if (!out)
		die(argv[1]);
	if (file) {
		fd = open(file, O_RDONLY);
		if (fd < 0)
			die(file);
	}
	all_turns = values[SECONDS] * TURNS;
	size = values[GROW] * KIB;
	make_room(&operations, all_turns);
	make_room(&growth, size / PIECE + 1);
	buf = malloc(MIB);
	if (!buf)
		die("malloc");
	memset(buf, 1, MIB);

	hot = use(values[HOT] * MIB, OPERATION);
	warm = use(values[WARM] * MIB, values[WARM] * MIB / WARM_TURNS / PAGE * PAGE + PAGE);
	fill(map(values[FILL] * MIB, values[NODE]), values[FILL] * MIB);
	grow_at = map(size, values[NODE]);
	printf("filled\n");
	fflush(stdout);
	/* Ages begin while it waits: the hot part is hot then as well. */
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	for (turn = 0; ; turn++) {
		char c;

		touch_part(&hot, turn);
		touch_part(&warm, turn);
		if (read(STDIN_FILENO, &c, 1) == 1)
			break;
		usleep(1000000 / TURNS);
	}
	printf("begun\n");
	fflush(stdout);

	getrusage(RUSAGE_SELF, &before);
	begin = now();
	for (turn = 0; turn < all_turns; turn++) {
		unsigned long wanted = size;

		at = now();
		touch_part(&hot, turn);
		touch_part(&warm, turn);
		note(&operations, now() - at);

		/* A second of peace first. */
		if (turn < TURNS)
			wanted = 0;
		else if (values[RATE])
			wanted = min(wanted, values[RATE] * KIB * (turn - TURNS) / TURNS);
		while (grown + PIECE <= wanted) {
			at = now();
			fill(grow_at + grown, PIECE);
			took = now() - at;
			note(&growth, took);
			growing += took;
			grown += PIECE;
		}
		if (fd >= 0) {
			unsigned long left = values[READ] * KIB / TURNS;

			while (left) {
				ssize_t got = read(fd, buf, min(left, MIB));

				if (got <= 0)
					break;
				left -= got;
			}
		}
		at = now() - begin;
		took = (turn + 1) * (NSEC / TURNS);
		if (at < took)
			usleep((took - at) / 1000);
	}
	took = now() - begin;
	getrusage(RUSAGE_SELF, &after);
	fprintf(out, "{\"seconds\": %.6f, \"growing_us\": %.1f, \"grown\": %lu, \"majflt\": %ld,\n",
		(double)took / NSEC, (double)growing / 1000, grown,
		after.ru_majflt - before.ru_majflt);
	print(out, "operations_us", &operations);
	fprintf(out, ",\n");
	print(out, "growth_us", &growth);
	fprintf(out, "}\n");
	if (fclose(out))
		die(argv[1]);
	return 0;
}
