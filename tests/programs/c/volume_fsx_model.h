/*
 * volume_fsx_model: what volume_fsx.c knows of the files it works on: the model, which lies in a file that both processes map, and what helps to
 * compare with it.
 */
#ifndef SCONE_TESTS_VOLUME_FSX_MODEL_H
#define SCONE_TESTS_VOLUME_FSX_MODEL_H

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "want.h"

enum { FILES = 8, FILE_MAX = 200000, DIRS = 2, NAMES = 5, HANDLES = 32, FDS = 8, MAPS = 4, KEPT = 24 };
#define MAGIC 0x7866735f65646973ull

struct file {
	bool used;
	bool linkable; /* made by O_TMPFILE, and had no name yet */
	int locked; /* handle + 1 that has it by flock; 0: none */
	size_t size;
	unsigned char data[FILE_MAX];
};

struct handle { /* an open file description */
	int refs, file;
	int flags; /* of open */
	off_t at;
	bool mapped; /* Linux keeps its flock then for as long as the map is there */
};

struct map {
	unsigned char *p; /* NULL: none */
	size_t off, len;
	int file;
	bool writes;
};

static struct state {
	uint64_t magic, random;
	sem_t turn[2];
	unsigned long done;
	time_t until;
	bool over, failed, torn; /* torn: an operation is under way */
	char kept[KEPT][120];
	struct file files[FILES];
	int names[DIRS][NAMES]; /* file, or -1 */
	struct handle handles[HANDLES];
	int fds[2][FDS], of[2][FDS]; /* number, and its handle or -1 */
	struct map maps[2][MAPS];
	int moving; /* handle on its way to the other process, or -1 */
	unsigned long counts[2];
} * s;

static int me; /* 0 or 1 */
static unsigned char buf[FILE_MAX], other[FILE_MAX];

/* xorshift64*, by the published constants */
static unsigned below(unsigned n)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (unsigned)((s->random * 0x2545f4914f6cdd1dull) >> 33) % n;
}

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	va_list ap;
	char *to = s->kept[s->done % KEPT];
	int n = snprintf(to, sizeof(s->kept[0]), "%lu: process %d: ", s->done, me);

	va_start(ap, fmt);
	(void)vsnprintf(to + n, sizeof(s->kept[0]) - (size_t)n, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void expect(bool holds, const char *fmt, ...)
{
	int e = errno;
	va_list ap;

	if (holds || s->failed)
		return;
	s->failed = true;
	printf("FAIL after %lu operations, process %d (errno %d, %s): ", s->done, me, e, strerror(e));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("; the last operations:");
	for (unsigned long i = s->done < KEPT ? 0 : s->done - KEPT + 1; i <= s->done; i++)
		printf("  %s\n", s->kept[i % KEPT]);
	fflush(stdout);
}

static void outcome(long r, int wanted, const char *what)
{
	int e = r == -1 ? errno : 0;

	expect(e == wanted, "%s ended with %d (%s), wanted %d (%s)", what, e, strerror(e), wanted,
		strerror(wanted));
}

/* --- the model --- */

static const char *path_of(int d, int n)
{
	static char path[4][24];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof(path[0]), "d%d/n%d", d, n);
	return p;
}

static int links_of(int f)
{
	int n = 0;

	for (int i = 0; i < DIRS * NAMES; i++)
		n += s->names[i / NAMES][i % NAMES] == f;
	return n;
}

/* A file that nothing names, has open or maps is gone. */
static void settle(int f)
{
	bool held = links_of(f) > 0;

	for (int i = 0; i < HANDLES; i++)
		held |= s->handles[i].refs > 0 && s->handles[i].file == f;
	for (int i = 0; i < 2 * MAPS; i++)
		held |= s->maps[i / MAPS][i % MAPS].p && s->maps[i / MAPS][i % MAPS].file == f;
	if (!held)
		s->files[f].used = false;
}

static int new_file(void)
{
	for (int f = 0; f < FILES; f++)
		if (!s->files[f].used) {
			s->files[f] = (struct file){.used = true};
			return f;
		}
	return -1;
}

static int new_handle(int file, int flags)
{
	for (int h = 0; h < HANDLES; h++)
		if (s->handles[h].refs == 0) {
			s->handles[h] = (struct handle){.refs = 1, .file = file, .flags = flags};
			return h;
		}
	abort();
}

static void drop_handle(int h)
{
	struct file *f = &s->files[s->handles[h].file];

	if (--s->handles[h].refs > 0)
		return;
	if (f->locked == h + 1)
		f->locked = 0;
	settle(s->handles[h].file);
}

static int free_row(void)
{
	for (int i = 0; i < FDS; i++)
		if (s->of[me][i] < 0)
			return i;
	return -1;
}

static void enter(int row, int fd, int h)
{
	s->fds[me][row] = fd;
	s->of[me][row] = h;
}

/* A row of an open descriptor that can be used so (O_RDONLY, O_WRONLY, O_RDWR); -1: none at hand. */
static int pick(int how)
{
	for (int tries = 0; tries < 12; tries++) {
		int row = (int)below(FDS), h = s->of[me][row];
		int mode = h < 0 ? -1 : s->handles[h].flags & O_ACCMODE;

		if (mode == O_RDWR || (mode >= 0 && mode == how))
			return row;
	}
	return -1;
}

static struct handle *handle_of(int row)
{
	return &s->handles[s->of[me][row]];
}

static struct file *file_of(int row)
{
	return &s->files[handle_of(row)->file];
}

static void compare(const struct file *f, const unsigned char *seen, size_t at, size_t n, const char *how)
{
	for (size_t i = 0; i < n; i++)
		if (seen[i] != f->data[at + i]) {
			expect(false, "%s of file %ld at %zu, %zu bytes: byte %zu is %02x, wanted %02x", how,
				(long)(f - s->files), at, n, at + i, seen[i], f->data[at + i]);
			return;
		}
}

static void set_size(struct file *f, size_t n)
{
	if (n > f->size)
		memset(f->data + f->size, 0, n - f->size);
	f->size = n;
}

static void pattern(unsigned char *p, size_t n, unsigned char c)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(c + i * 31 + (i >> 8)) | 1;
}

/* New bytes for [at, at + n) in the model and in buf. */
static unsigned char fresh(struct file *f, size_t at, size_t n)
{
	unsigned char c = (unsigned char)(below(255) + 1);

	if (at + n > f->size)
		set_size(f, at + n);
	pattern(buf, n, c);
	memcpy(f->data + at, buf, n);
	return c;
}

static size_t some_length(void)
{
	return 1 + below(below(3) ? 3000 : 65000);
}

static size_t some_offset(void)
{
	size_t at = below(below(4) ? 60000 : FILE_MAX - 66000);

	return below(5) ? at : at & ~(size_t)4095;
}

#endif
