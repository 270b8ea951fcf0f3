/*
 * scone-leakcheck KEYFILE CONTROLFILE DIRECTORY…: is the key, in any usual form, in a file or in a process's environment or arguments?
 *
 * An ordinary program; run as an attested service, it is given the key in an injected file and tells nobody more than counts. The control
 * is searched in the same pass by the same code: it has been planted, so a count of zero there means that the search is broken.
 *
 * Output: one line "WHAT WHERE lower=N upper=N raw=N base64=N" for key and control, in files and in processes, and what was read.
 * Exit status: 0 the search was made, 1 it was not (bad input, a file of the directories that could not be read).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_CHARACTERS 64
#define BASE64_CHARACTERS                                                                                    \
	85 /* of the text's 64 bytes, without the last character, whose bits the next byte shares, and padding */
#define BLOCK ((size_t)1 << 20)

enum form { LOWER, UPPER, RAW, BASE64, FORMS };
static const char *const form_names[FORMS] = {"lower", "upper", "raw", "base64"};

struct needle {
	uint8_t bytes[BASE64_CHARACTERS];
	size_t len;
};

struct subject {
	const char *name;
	struct needle needle[FORMS];
	unsigned long files[FORMS], processes[FORMS];
};

static struct subject subjects[2] = {{.name = "key"}, {.name = "control"}};
static uint8_t block[BASE64_CHARACTERS + BLOCK];
static unsigned long long file_count, byte_count, process_count, unreadable_files, unreadable_processes;

static int nibble(int c)
{
	return c <= '9' ? c - '0' : tolower(c) - 'a' + 10;
}

static void base64(const uint8_t *p, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < BASE64_CHARACTERS; i++) {
		size_t bit = 6 * i, byte = bit / 8;
		unsigned pair = (unsigned)p[byte] << 8 | (byte + 1 < KEY_CHARACTERS ? p[byte + 1] : 0);

		out[i] = (uint8_t)digits[(pair >> (10 - bit % 8)) & 63];
	}
}

static void make_needles(struct subject *s, const uint8_t text[KEY_CHARACTERS])
{
	static const size_t lengths[FORMS] = {
		KEY_CHARACTERS, KEY_CHARACTERS, KEY_CHARACTERS / 2, BASE64_CHARACTERS};

	for (size_t i = 0; i < KEY_CHARACTERS; i++) {
		s->needle[LOWER].bytes[i] = (uint8_t)tolower(text[i]);
		s->needle[UPPER].bytes[i] = (uint8_t)toupper(text[i]);
		if (i % 2)
			s->needle[RAW].bytes[i / 2] = (uint8_t)(nibble(text[i - 1]) << 4 | nibble(text[i]));
	}
	base64(text, s->needle[BASE64].bytes);
	for (int f = 0; f < FORMS; f++)
		s->needle[f].len = lengths[f];
}

static int load(struct subject *s, const char *path)
{
	uint8_t text[KEY_CHARACTERS + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	size_t digits = 0;

	if (fd >= 0)
		close(fd);
	while (n == KEY_CHARACTERS && digits < KEY_CHARACTERS && isxdigit(text[digits]))
		digits++;
	if (digits != KEY_CHARACTERS) {
		fprintf(stderr, "scone-leakcheck: %s: %d hex digits are wanted, nothing else%s%s\n", path,
			KEY_CHARACTERS, n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
		return -1;
	}
	make_needles(s, text);
	explicit_bzero(text, sizeof(text));
	return 0;
}

/* Non-overlapping occurrences of each needle that end after the first `old` bytes: those before were counted with the last block. */
static void count(const uint8_t *p, size_t n, size_t old, bool process)
{
	for (size_t i = 0; i < 2; i++) {
		for (int f = 0; f < FORMS; f++) {
			const struct needle *d = &subjects[i].needle[f];
			unsigned long *counter = process ? &subjects[i].processes[f] : &subjects[i].files[f];
			const uint8_t *from = p + (old >= d->len ? old - d->len + 1 : 0), *hit;

			while ((hit = memmem(from, n - (size_t)(from - p), d->bytes, d->len)) != NULL) {
				++*counter;
				from = hit + d->len;
			}
		}
	}
}

/* Search all of an open file; -1 if it cannot be read to its end. */
static int search(int fd, bool process)
{
	size_t old = 0;
	ssize_t n;

	while ((n = read(fd, block + old, BLOCK)) > 0) {
		size_t all = old + (size_t)n,
		       keep = all < BASE64_CHARACTERS - 1 ? all : BASE64_CHARACTERS - 1;

		count(block, all, old, process);
		byte_count += (size_t)n;
		memmove(block, block + all - keep, keep);
		old = keep;
	}
	return n < 0 ? -1 : 0;
}

static void search_file(int dir, const char *name, const char *path)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if ((fd < 0 && errno != ENOENT) || (fd >= 0 && search(fd, false))) {
		fprintf(stderr, "scone-leakcheck: %s/%s: %s\n", path, name, strerror(errno));
		unreadable_files++;
	} else if (fd >= 0) {
		file_count++;
	}
	if (fd >= 0)
		close(fd);
}

static void search_tree(int parent, const char *name, const char *path)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char *below;
	struct dirent *e;
	struct stat st;

	if (!d) {
		if (errno != ENOENT) {
			fprintf(stderr, "scone-leakcheck: %s: %s\n", path, strerror(errno));
			unreadable_files++;
		}
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		/* A name may hold it, too. */
		count((const uint8_t *)e->d_name, strlen(e->d_name), 0, false);
		if (S_ISREG(st.st_mode)) {
			search_file(dirfd(d), e->d_name, path);
		} else if (S_ISDIR(st.st_mode) && asprintf(&below, "%s/%s", path, e->d_name) >= 0) {
			search_tree(dirfd(d), e->d_name, below);
			free(below);
		}
	}
	closedir(d);
}

static void search_process(const char *pid)
{
	static const char *const names[] = {"environ", "cmdline"};
	char path[300];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, names[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		/* A process that has ended is no failure, nor is a kernel thread, which has neither. */
		if ((fd < 0 || search(fd, true)) && errno != ENOENT && errno != ESRCH)
			unreadable_processes++;
		if (fd >= 0)
			close(fd);
	}
	process_count++;
}

static int search_processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	if (!d) {
		perror("scone-leakcheck: /proc");
		return -1;
	}
	while ((e = readdir(d)) != NULL)
		if (isdigit((unsigned char)e->d_name[0]))
			search_process(e->d_name);
	closedir(d);
	return 0;
}

static void print_counts(const char *what, const char *where, const unsigned long n[FORMS])
{
	printf("%s %s", what, where);
	for (int f = 0; f < FORMS; f++)
		printf(" %s=%lu", form_names[f], n[f]);
	putchar('\n');
}

int main(int argc, char **argv)
{
	int rc;

	if (argc < 4) {
		fprintf(stderr, "usage: scone-leakcheck KEYFILE CONTROLFILE DIRECTORY…\n");
		return 1;
	}
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)mlock(subjects, sizeof(subjects));
	if (load(&subjects[0], argv[1]) || load(&subjects[1], argv[2]))
		return 1;
	for (int i = 3; i < argc; i++)
		search_tree(AT_FDCWD, argv[i], argv[i]);
	rc = search_processes();
	for (size_t i = 0; i < 2; i++) {
		print_counts(subjects[i].name, "files", subjects[i].files);
		print_counts(subjects[i].name, "processes", subjects[i].processes);
	}
	printf("read files=%llu bytes=%llu unreadable=%llu\n", file_count, byte_count, unreadable_files);
	printf("read processes=%llu unreadable=%llu\n", process_count, unreadable_processes);
	explicit_bzero(subjects, sizeof(subjects));
	explicit_bzero(block, sizeof(block));
	return rc || unreadable_files || fflush(stdout) ? 1 : 0;
}
