// SPDX-License-Identifier: GPL-2.0
/*
 * workload - access memory in a known pattern, and write down what was done when
 *
 * The pattern is a text file; lab/workloads/README describes it and the truth file.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <libgen.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PATTERN_DIR
#define PATTERN_DIR "."
#endif

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define PAGE_SIZE 4096UL
#define HUGE_PAGE_SIZE (2UL << 20)
/* Pages that are accessed between two looks at the clock: well under a millisecond. */
#define PAGES_PER_CHECK 256
#define NSEC_PER_SEC 1000000000LL

enum kind { ANONYMOUS, FILE_BACKED, HEAP };
enum thp { THP_DEFAULT, THP_ON, THP_OFF };

static const char *const kind_names[] = { "anonymous", "file", "heap" };
static const char *const thp_names[] = { "default", "on", "off" };

struct region {
	char *name;
	uint64_t size;
	enum kind kind;
	char *path;		/* of FILE_BACKED */
	bool made_file;
	enum thp thp;
	bool sparse;		/* only what is touched is populated */
	uint64_t gap;		/* unmapped addresses beside the region before, 0: do not care */
	uint64_t random;	/* bytes of each page that do not compress */
	char *start;
};

struct touch {
	struct region *region;
	int region_index;
	uint64_t offset;
	uint64_t length;
	uint64_t stride;	/* from a page that is touched to the next */
	bool write;
	bool fresh;		/* each pass begins with new memory */
	int64_t every;		/* ns from the begin of a pass to the next, 0: at full speed */
	int64_t due;
	uint64_t passes;
};

struct phase {
	int64_t duration;
	struct touch *touches;
	int nr_touches;
};

struct process {
	char *name;
	struct region *regions;
	int nr_regions;
	struct phase *phases;
	int nr_phases;
};

struct pattern {
	struct process *processes;
	int nr_processes;
};

struct word {
	char *text;
	int column;
};

static const char *pattern_path;
static int line_number;
static int truth_fd = -1;
static int wake_fds[2];
static volatile sig_atomic_t stop;

static __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("workload: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/* An error in the pattern, at a word of the current line (NULL: at its begin). */
static __attribute__((noreturn, format(printf, 2, 3))) void
bad_pattern(const struct word *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s:%d:%d: ", pattern_path, line_number, word ? word->column : 1);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/* A larger copy of an array, with a zeroed last element that is new. */
static void *grow(void *array, int *nr, size_t size)
{
	char *grown = reallocarray(array, *nr + 1, size);

	if (!grown)
		die("out of memory");
	memset(grown + *nr * size, 0, size);
	(*nr)++;
	return grown;
}

static char *copy(const char *text)
{
	char *copied = strdup(text);

	if (!copied)
		die("out of memory");
	return copied;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * NSEC_PER_SEC + time.tv_nsec;
}

/* Reading the pattern */

static bool parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	int shift = 0;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*size = strtoull(text, &end, 10);
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return false;
		shift = 10 * (int)(unit - units + 1);
	}
	if (errno || *size > UINT64_MAX >> shift)
		return false;
	*size <<= shift;
	return *size <= 1ULL << 46;
}

static bool parse_time(const char *text, int64_t *time)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 } };
	char *end;
	double value;
	size_t i;

	if (*text < '0' || *text > '9')
		return false;
	value = strtod(text, &end);
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].name))
			continue;
		value *= units[i].ns;
		if (!isfinite(value) || value < 1 || value > 1e18)
			return false;
		*time = (int64_t)value;
		return true;
	}
	return false;
}

static uint64_t size_word(const struct word *word, const char *text)
{
	uint64_t size;

	if (!parse_size(text, &size))
		bad_pattern(word, "'%s' is no size: write 512K, 10M, 2G", text);
	if (size % PAGE_SIZE)
		bad_pattern(word, "'%s' is no whole number of pages (4K)", text);
	return size;
}

static int64_t time_word(const struct word *word, const char *text)
{
	int64_t time;

	if (!parse_time(text, &time))
		bad_pattern(word, "'%s' is no time: write 10us, 700ms, 2.5s, 1m", text);
	return time;
}

/* The value of a word NAME=VALUE, NULL where the word is another. */
static const char *value_of(const struct word *word, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(word->text, name, length) || word->text[length] != '=')
		return NULL;
	return word->text + length + 1;
}

static struct process *current_process(struct pattern *pattern)
{
	if (!pattern->nr_processes) {
		pattern->processes = grow(NULL, &pattern->nr_processes, sizeof(struct process));
		pattern->processes[0].name = copy("main");
	}
	return &pattern->processes[pattern->nr_processes - 1];
}

/* process NAME */
static void parse_process(struct pattern *pattern, struct word *words, int nr)
{
	struct process *process;
	int i;

	if (nr != 2)
		bad_pattern(&words[0], "write: process NAME");
	for (i = 0; i < pattern->nr_processes; i++)
		if (!strcmp(pattern->processes[i].name, words[1].text))
			bad_pattern(&words[1], "there is a process '%s' already", words[1].text);
	pattern->processes = grow(pattern->processes, &pattern->nr_processes, sizeof(*process));
	process = current_process(pattern);
	process->name = copy(words[1].text);
}

/*
 * region NAME SIZE [anonymous | heap | file=PATH] [thp=on|off|default] [populate=yes|no]
 *	[gap=SIZE] [random=SIZE]
 */
static void parse_region(struct pattern *pattern, struct word *words, int nr)
{
	struct process *process = current_process(pattern);
	struct region *region;
	const char *value;
	int i;

	if (nr < 3)
		bad_pattern(&words[0], "write: region NAME SIZE [anonymous|heap|file=PATH] "
			    "[thp=on|off|default] [populate=yes|no] [gap=SIZE] [random=SIZE]");
	for (i = 0; i < process->nr_regions; i++)
		if (!strcmp(process->regions[i].name, words[1].text))
			bad_pattern(&words[1], "there is a region '%s' already", words[1].text);
	process->regions = grow(process->regions, &process->nr_regions, sizeof(*region));
	region = &process->regions[process->nr_regions - 1];
	region->name = copy(words[1].text);
	region->size = size_word(&words[2], words[2].text);
	if (!region->size)
		bad_pattern(&words[2], "a region of no size");
	for (i = 3; i < nr; i++) {
		if (!strcmp(words[i].text, "anonymous")) {
			region->kind = ANONYMOUS;
		} else if (!strcmp(words[i].text, "heap")) {
			region->kind = HEAP;
		} else if ((value = value_of(&words[i], "file"))) {
			if (!*value)
				bad_pattern(&words[i], "file= names no file");
			region->kind = FILE_BACKED;
			region->path = copy(value);
		} else if ((value = value_of(&words[i], "thp"))) {
			if (!strcmp(value, "on"))
				region->thp = THP_ON;
			else if (!strcmp(value, "off"))
				region->thp = THP_OFF;
			else if (strcmp(value, "default"))
				bad_pattern(&words[i], "thp= is on, off or default, not '%s'",
					    value);
		} else if ((value = value_of(&words[i], "populate"))) {
			region->sparse = !strcmp(value, "no");
			if (!region->sparse && strcmp(value, "yes"))
				bad_pattern(&words[i], "populate= is yes or no, not '%s'", value);
		} else if ((value = value_of(&words[i], "gap"))) {
			region->gap = size_word(&words[i], value);
		} else if ((value = value_of(&words[i], "random"))) {
			if (!parse_size(value, &region->random) || region->random > PAGE_SIZE)
				bad_pattern(&words[i], "'%s' is no part of a page: write 1K",
					    value);
		} else {
			bad_pattern(&words[i], "what is '%s' of a region?", words[i].text);
		}
	}
	if (region->thp == THP_ON && region->size % HUGE_PAGE_SIZE)
		bad_pattern(&words[2], "with thp=on a region has whole huge pages (2M)");
	if (region->kind == HEAP && region->gap)
		bad_pattern(&words[0], "the heap has its own place, gap= cannot be");
}

/* phase DURATION */
static void parse_phase(struct pattern *pattern, struct word *words, int nr)
{
	struct process *process = current_process(pattern);

	if (nr != 2)
		bad_pattern(&words[0], "write: phase DURATION");
	process->phases = grow(process->phases, &process->nr_phases, sizeof(struct phase));
	process->phases[process->nr_phases - 1].duration = time_word(&words[1], words[1].text);
}

/* touch REGION OFFSET LENGTH [read|write|fresh] [every=TIME] [stride=SIZE] */
static void parse_touch(struct pattern *pattern, struct word *words, int nr)
{
	struct process *process = current_process(pattern);
	struct region *region = NULL;
	struct phase *phase;
	struct touch *touch;
	const char *value;
	int i;

	if (nr < 4)
		bad_pattern(&words[0],
			    "write: touch REGION OFFSET LENGTH [read|write|fresh] [every=TIME] "
			    "[stride=SIZE]");
	if (!process->nr_phases)
		bad_pattern(&words[0], "touch belongs to a phase, and none came before");
	phase = &process->phases[process->nr_phases - 1];
	phase->touches = grow(phase->touches, &phase->nr_touches, sizeof(*touch));
	touch = &phase->touches[phase->nr_touches - 1];
	for (i = 0; i < process->nr_regions; i++) {
		if (!strcmp(process->regions[i].name, words[1].text)) {
			region = &process->regions[i];
			touch->region_index = i;
		}
	}
	if (!region)
		bad_pattern(&words[1], "no region '%s' in process '%s'", words[1].text,
			    process->name);
	touch->offset = size_word(&words[2], words[2].text);
	touch->length = size_word(&words[3], words[3].text);
	touch->stride = PAGE_SIZE;
	if (!touch->length)
		bad_pattern(&words[3], "a touch of no length");
	if (touch->offset > region->size || touch->length > region->size - touch->offset)
		bad_pattern(&words[3], "the touch ends behind region '%s'", region->name);
	for (i = 4; i < nr; i++) {
		if (!strcmp(words[i].text, "write")) {
			touch->write = true;
		} else if (!strcmp(words[i].text, "read")) {
			touch->write = false;
		} else if (!strcmp(words[i].text, "fresh")) {
			if (region->kind == FILE_BACKED)
				bad_pattern(&words[i], "region '%s' has a file's memory, which is "
					    "never fresh", region->name);
			touch->fresh = true;
			touch->write = true;
		} else if ((value = value_of(&words[i], "every"))) {
			touch->every = time_word(&words[i], value);
		} else if ((value = value_of(&words[i], "stride"))) {
			touch->stride = size_word(&words[i], value);
			if (!touch->stride)
				bad_pattern(&words[i], "a stride of nothing");
		} else {
			bad_pattern(&words[i], "what is '%s' of a touch?", words[i].text);
		}
	}
}

static void parse_line(struct pattern *pattern, char *line)
{
	static const struct {
		const char *name;
		void (*parse)(struct pattern *pattern, struct word *words, int nr);
	} statements[] = {
		{ "process", parse_process },
		{ "region", parse_region },
		{ "phase", parse_phase },
		{ "touch", parse_touch },
	};
	struct word words[16];
	char *at = line;
	size_t i;
	int nr = 0;

	line[strcspn(line, "#\r\n")] = '\0';
	for (;;) {
		at += strspn(at, " \t");
		if (!*at)
			break;
		if (nr == ARRAY_SIZE(words))
			bad_pattern(&(struct word){ .column = at - line + 1 }, "too many words");
		words[nr++] = (struct word){ .text = at, .column = at - line + 1 };
		at += strcspn(at, " \t");
		if (*at)
			*at++ = '\0';
	}
	if (!nr)
		return;
	for (i = 0; i < ARRAY_SIZE(statements); i++) {
		if (!strcmp(words[0].text, statements[i].name)) {
			statements[i].parse(pattern, words, nr);
			return;
		}
	}
	bad_pattern(&words[0], "'%s' is none of process, region, phase, touch", words[0].text);
}

static void read_pattern(struct pattern *pattern)
{
	struct process *process;
	struct phase *phase;
	FILE *file = fopen(pattern_path, "re");
	size_t size = 0;
	char *line = NULL;
	int i, j, k;

	if (!file)
		die("%s: %s", pattern_path, strerror(errno));
	while (getline(&line, &size, file) >= 0) {
		line_number++;
		parse_line(pattern, line);
	}
	if (ferror(file))
		die("%s: %s", pattern_path, strerror(errno));
	free(line);
	fclose(file);
	if (!pattern->nr_processes)
		die("%s: an empty pattern", pattern_path);
	for (i = 0; i < pattern->nr_processes; i++) {
		process = &pattern->processes[i];
		if (!process->nr_phases)
			die("%s: process '%s' has no phase", pattern_path, process->name);
		/* Only now do the regions stay where they are. */
		for (j = 0; j < process->nr_phases; j++) {
			phase = &process->phases[j];
			for (k = 0; k < phase->nr_touches; k++)
				phase->touches[k].region =
					&process->regions[phase->touches[k].region_index];
		}
	}
}

/* Writing the truth */

static void put_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', file);
		if ((unsigned char)*text < ' ')
			fprintf(file, "\\u%04x", *text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

/* Begin a line of the truth file, a JSON object. */
static FILE *begin_line(const char *type, const char *process, char **text, size_t *size)
{
	FILE *file = open_memstream(text, size);

	if (!file)
		die("out of memory");
	fprintf(file, "{\"type\": \"%s\", \"pid\": %d, \"process\": ", type, getpid());
	put_string(file, process);
	return file;
}

/* Write the line out, in one piece: other processes write to the same file. */
static void end_line(FILE *file, char **text, size_t *size)
{
	fputs("}\n", file);
	if (fclose(file))
		die("out of memory");
	if (truth_fd >= 0 && write(truth_fd, *text, *size) != (ssize_t)*size)
		die("cannot write the truth file: %s", strerror(errno));
	free(*text);
}

static void tell_region(const struct process *process, const struct region *region)
{
	size_t size;
	char *text;
	FILE *file = begin_line("region", process->name, &text, &size);

	fprintf(file, ", \"time\": %" PRId64 ", \"region\": ", now());
	put_string(file, region->name);
	fprintf(file, ", \"start\": %" PRIuPTR ", \"end\": %" PRIuPTR, (uintptr_t)region->start,
		(uintptr_t)region->start + region->size);
	fprintf(file, ", \"kind\": \"%s\", \"path\": ", kind_names[region->kind]);
	put_string(file, region->path ? region->path : "");
	fprintf(file, ", \"thp\": \"%s\"", thp_names[region->thp]);
	end_line(file, &text, &size);
}

static void tell_phase(const struct process *process, const struct phase *phase, int loop,
		       int64_t begin, int64_t end)
{
	const struct touch *touch;
	uintptr_t start;
	size_t size;
	char *text;
	FILE *file = begin_line("phase", process->name, &text, &size);
	int i;

	fprintf(file, ", \"loop\": %d, \"phase\": %d", loop, (int)(phase - process->phases));
	fprintf(file, ", \"begin\": %" PRId64 ", \"end\": %" PRId64 ", \"touches\": [", begin, end);
	for (i = 0; i < phase->nr_touches; i++) {
		touch = &phase->touches[i];
		start = (uintptr_t)touch->region->start + touch->offset;
		fprintf(file, "%s{\"region\": ", i ? ", " : "");
		put_string(file, touch->region->name);
		fprintf(file, ", \"start\": %" PRIuPTR ", \"end\": %" PRIuPTR, start,
			start + touch->length);
		fprintf(file, ", \"access\": \"%s\"", touch->write ? "write" : "read");
		fprintf(file, ", \"stride\": %" PRIu64 ", \"fresh\": %s", touch->stride,
			touch->fresh ? "true" : "false");
		fprintf(file, ", \"every\": %" PRId64 ", \"passes\": %" PRIu64 "}", touch->every,
			touch->passes);
	}
	fputs("]", file);
	end_line(file, &text, &size);
}

static void tell_time(const struct process *process, const char *type)
{
	size_t size;
	char *text;
	FILE *file = begin_line(type, process->name, &text, &size);

	fprintf(file, ", \"time\": %" PRId64, now());
	end_line(file, &text, &size);
}

/* Doing it */

static int open_file(struct region *region)
{
	int fd = open(region->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	region->made_file = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		die("region '%s': %s exists and might be of use to somebody", region->name,
		    region->path);
	if (fd < 0 || ftruncate(fd, region->size))
		die("region '%s': %s: %s", region->name, region->path, strerror(errno));
	return fd;
}

/* Map a region; `below` is the region before, which gap= relates to. */
static char *map_region(struct region *region, const struct region *below)
{
	int flags = region->kind == FILE_BACKED ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	int fd = region->kind == FILE_BACKED ? open_file(region) : -1;
	uint64_t reserved = region->size + HUGE_PAGE_SIZE + region->gap;
	uintptr_t low, end;
	char *start;

	if (region->kind == HEAP) {
		/* From a page boundary, whatever malloc() did before. */
		start = sbrk(region->size + PAGE_SIZE);
		if (start == (void *)-1)
			die("region '%s': %s", region->name, strerror(errno));
		return (char *)(((uintptr_t)start + PAGE_SIZE - 1) & -PAGE_SIZE);
	}
	/* A sparse region may be larger than all memory that there is. */
	if (region->sparse)
		flags |= MAP_NORESERVE;
	/* Reserve addresses, to find a place that has the gap and huge pages' alignment. */
	start = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		die("region '%s': %s", region->name, strerror(errno));
	munmap(start, reserved);
	end = (uintptr_t)start + reserved;
	if (region->gap && below && below->kind != HEAP && (uintptr_t)below->start < end)
		end = (uintptr_t)below->start;
	low = (end - region->gap - region->size) & -HUGE_PAGE_SIZE;
	start = mmap((void *)low, region->size, PROT_READ | PROT_WRITE,
		     flags | MAP_FIXED_NOREPLACE, fd, 0);
	if (start == MAP_FAILED)
		die("region '%s': %s", region->name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return start;
}

/* Populate one page in each stride of a region's memory. */
static void populate(const struct region *region, uint64_t begin, uint64_t size, uint64_t stride)
{
	static uint64_t state = 1;
	char *start = region->start + begin;
	uint64_t offset, i;

	if (stride > PAGE_SIZE || madvise(start, size, MADV_POPULATE_WRITE))
		for (offset = 0; offset < size; offset += stride)
			*(volatile char *)(start + offset) = 1;
	for (offset = 0; region->random && offset < size; offset += stride) {
		for (i = 0; i + sizeof(state) <= region->random; i += sizeof(state)) {
			/* xorshift */
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			memcpy(start + offset + i, &state, sizeof(state));
		}
	}
}

/* Populate what any phase touches of a region. */
static void populate_touched(const struct process *process, const struct region *region)
{
	const struct touch *touch;
	int i, j;

	for (i = 0; i < process->nr_phases; i++) {
		for (j = 0; j < process->phases[i].nr_touches; j++) {
			touch = &process->phases[i].touches[j];
			if (touch->region == region)
				populate(region, touch->offset, touch->length, touch->stride);
		}
	}
}

static void make_region(const struct process *process, struct region *region,
			const struct region *below)
{
	region->start = map_region(region, below);
	if (region->thp != THP_DEFAULT &&
	    madvise(region->start, region->size,
		    region->thp == THP_ON ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) &&
	    errno != EINVAL) /* a kernel without huge pages */
		die("region '%s': thp: %s", region->name, strerror(errno));
	if (region->sparse)
		populate_touched(process, region);
	else
		populate(region, 0, region->size, PAGE_SIZE);
}

/* Sleep until a time, or until a signal asks to stop, even one that came just before. */
static void sleep_until(int64_t time)
{
	struct pollfd wake = { .fd = wake_fds[0], .events = POLLIN };
	struct timespec timeout;
	int64_t left = time - now();

	if (left <= 0)
		return;
	timeout.tv_sec = left / NSEC_PER_SEC;
	timeout.tv_nsec = left % NSEC_PER_SEC;
	ppoll(&wake, 1, &timeout, NULL);
}

/* Access each page once. False when it was time to end before all were. */
static bool pass(const struct touch *touch, int64_t end)
{
	volatile char *page = touch->region->start + touch->offset;
	uint64_t nr = (touch->length + touch->stride - 1) / touch->stride;
	uint64_t i;

	if (touch->fresh && madvise((char *)page, touch->length, MADV_DONTNEED))
		die("region '%s': MADV_DONTNEED: %s", touch->region->name, strerror(errno));
	for (i = 0; i < nr; i++, page += touch->stride) {
		if (touch->write)
			*page = (char)i;
		else
			(void)*page;
		if (i % PAGES_PER_CHECK == PAGES_PER_CHECK - 1 && (stop || now() >= end))
			return i == nr - 1;
	}
	return true;
}

static void run_phase(struct phase *phase, int64_t begin, int64_t end)
{
	struct touch *touch;
	int64_t time, next;
	bool idle;
	int i;

	for (i = 0; i < phase->nr_touches; i++) {
		phase->touches[i].due = begin;
		phase->touches[i].passes = 0;
	}
	while (!stop && (time = now()) < end) {
		idle = true;
		next = end;
		for (i = 0; i < phase->nr_touches; i++) {
			touch = &phase->touches[i];
			if (touch->due <= time) {
				idle = false;
				touch->passes += pass(touch, end);
				/* Passes that could not be made in time are not made up for. */
				touch->due += touch->every;
				if (touch->due < time)
					touch->due = time;
			}
			if (touch->due < next)
				next = touch->due;
		}
		if (idle)
			sleep_until(next);
	}
}

static void run_phases(struct process *process, int64_t duration)
{
	int64_t begin = now();
	int64_t last = duration ? begin + duration : INT64_MAX;
	int64_t end;
	int loop = 0;
	int i = 0;

	while (!stop && begin < last && (duration || !loop)) {
		end = begin + process->phases[i].duration;
		if (end > last)
			end = last;
		run_phase(&process->phases[i], begin, end);
		end = now();
		tell_phase(process, &process->phases[i], loop, begin, end);
		begin = end;
		if (++i == process->nr_phases) {
			i = 0;
			loop++;
		}
	}
}

static void on_signal(int number)
{
	int saved = errno;

	(void)number;
	stop = 1;
	if (write(wake_fds[1], "", 1) < 0) {
		/* The pipe is full: it wakes already. */
	}
	errno = saved;
}

static void remove_files(struct process *process)
{
	int i;

	for (i = 0; i < process->nr_regions; i++)
		if (process->regions[i].made_file)
			unlink(process->regions[i].path);
}

/*
 * Run one process of the pattern. `ready` and `go` are the ends of pipes that let all processes
 * begin together, when all memory is populated (-1: there is only one).
 */
static void run_process(struct process *process, int64_t duration, int ready, int go)
{
	char byte;
	int i;

	for (i = 0; i < process->nr_regions; i++) {
		make_region(process, &process->regions[i],
			    i ? &process->regions[i - 1] : NULL);
		tell_region(process, &process->regions[i]);
	}
	if (ready >= 0) {
		close(ready);
		/* The end of the pipe, or a signal. */
		while (read(go, &byte, 1) < 0 && errno == EINTR && !stop)
			;
	}
	tell_time(process, "start");
	run_phases(process, duration);
	tell_time(process, "end");
	remove_files(process);
}

static void make_pipe(int *fds, int flags)
{
	if (pipe2(fds, O_CLOEXEC | flags))
		die("pipe: %s", strerror(errno));
}

/* Run every process in a child; returns the exit status. */
static int run_children(struct pattern *pattern, int64_t duration)
{
	pid_t *pids = calloc(pattern->nr_processes, sizeof(*pids));
	int ready[2], go[2], status, i;
	int failed = 0;
	char byte;

	if (!pids)
		die("out of memory");
	make_pipe(ready, 0);
	make_pipe(go, 0);
	for (i = 0; i < pattern->nr_processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork: %s", strerror(errno));
		if (pids[i])
			continue;
		/* What ends the parent ends the children. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		prctl(PR_SET_NAME, pattern->processes[i].name);
		make_pipe(wake_fds, O_NONBLOCK);
		close(ready[0]);
		close(go[1]);
		run_process(&pattern->processes[i], duration, ready[1], go[0]);
		exit(0);
	}
	close(ready[1]);
	close(go[0]);
	while (read(ready[0], &byte, 1) < 0 && errno == EINTR && !stop)
		;
	close(go[1]);
	for (i = 0; i < pattern->nr_processes; i++) {
		for (;;) {
			if (stop)
				kill(pids[i], SIGTERM);
			if (waitpid(pids[i], &status, 0) >= 0)
				break;
			if (errno != EINTR)
				die("wait: %s", strerror(errno));
		}
		failed |= status;
	}
	free(pids);
	return failed ? 1 : 0;
}

/* The command line */

static void usage(FILE *file)
{
	fputs("usage: workload [--duration T] [--every T] [--truth FILE] PATTERN\n"
	      "       workload --list\n"
	      "\n"
	      "Access memory in a known pattern, and write down what was done when.\n"
	      "\n"
	      "PATTERN is a file, or the name of one that --list shows.\n"
	      "\n"
	      "  --duration T   run for T, in a loop where the pattern is shorter (20s, 2m);\n"
	      "                 without it, once through the pattern\n"
	      "  --every T      begin a pass over a hot set only every T, where the pattern\n"
	      "                 has no every= of its own (1ms); without it, at full speed\n"
	      "  --truth FILE   write what was done to FILE, as JSON lines\n"
	      "  --list         list the patterns\n",
	      file);
}

static int list_patterns(void)
{
	char line[256];
	glob_t found;
	char *name;
	FILE *file;
	size_t i;

	if (glob(PATTERN_DIR "/*.pattern", 0, NULL, &found))
		die("no patterns in " PATTERN_DIR);
	for (i = 0; i < found.gl_pathc; i++) {
		file = fopen(found.gl_pathv[i], "re");
		if (!file)
			continue;
		/* What it is stands in its first line. */
		if (!fgets(line, sizeof(line), file))
			line[0] = '\0';
		fclose(file);
		name = basename(found.gl_pathv[i]);
		printf("%-12.*s%s", (int)strcspn(name, "."), name,
		       line + strspn(line, "# "));
	}
	globfree(&found);
	return 0;
}

static const char *find_pattern(const char *name)
{
	char *path;

	if (strchr(name, '/') || !access(name, F_OK))
		return name;
	if (asprintf(&path, PATTERN_DIR "/%s.pattern", name) < 0)
		die("out of memory");
	if (access(path, F_OK))
		die("no pattern is named '%s' (--list shows them), and no file", name);
	return path;
}

static int64_t time_option(const char *option, const char *text)
{
	int64_t time;

	if (!parse_time(text, &time)) {
		fprintf(stderr, "workload: %s: '%s' is no time: write 700ms, 20s, 2m\n", option,
			text);
		exit(2);
	}
	return time;
}

static void set_default_every(struct pattern *pattern, int64_t every)
{
	struct process *process;
	struct touch *touch;
	int i, j, k;

	for (i = 0; i < pattern->nr_processes; i++) {
		process = &pattern->processes[i];
		for (j = 0; j < process->nr_phases; j++) {
			for (k = 0; k < process->phases[j].nr_touches; k++) {
				touch = &process->phases[j].touches[k];
				if (!touch->every)
					touch->every = every;
			}
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "duration", required_argument, NULL, 'd' },
		{ "every", required_argument, NULL, 'e' },
		{ "truth", required_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	struct sigaction action = { .sa_handler = on_signal };
	struct pattern pattern = {};
	int64_t duration = 0, every = 0;
	const char *truth = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case 'd':
			duration = time_option("--duration", optarg);
			break;
		case 'e':
			every = time_option("--every", optarg);
			break;
		case 't':
			truth = optarg;
			break;
		case 'l':
			return list_patterns();
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc - 1) {
		usage(stderr);
		return 2;
	}
	pattern_path = find_pattern(argv[optind]);
	read_pattern(&pattern);
	set_default_every(&pattern, every);
	if (truth) {
		truth_fd = open(truth, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
		if (truth_fd < 0)
			die("%s: %s", truth, strerror(errno));
	}
	make_pipe(wake_fds, O_NONBLOCK);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (pattern.nr_processes > 1)
		return run_children(&pattern, duration);
	run_process(&pattern.processes[0], duration, -1, -1);
	return 0;
}
