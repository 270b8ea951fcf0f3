/*
 * posix: what the posix_* programs share. Each takes a directory, works in a fresh one of its own below it, and prints one line an
 * assertion: "ok WHAT", "not ok WHAT: seen, wanted", or "skip WHAT: why". WHAT begins with the function and says what POSIX.1-2017
 * (XSH, the function's own page) promises; where Linux promises more, or POSIX leaves a choice that Linux makes, WHAT ends in "(Linux)".
 * Two file systems that both keep the promises print the same lines.
 */
#ifndef SCONE_TESTS_POSIX_H
#define SCONE_TESTS_POSIX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The call succeeds (does not return -1); the condition holds; the call fails with exactly this error. */
#define OK(what, call) posix_ok(what, (long)(call))
#define IS(what, cond) posix_is(what, (cond) ? true : false)
#define ERR(what, call, e) posix_err(what, (long)(call), e)
/* The same as an ordinary user; skipped where the program cannot become one. The call runs in a child. */
#define USER_OK(what, call) posix_user(what, 0, ({ posix_child() ? posix_report((long)(call)) : 0; }))
#define USER_ERR(what, call, e) posix_user(what, e, ({ posix_child() ? posix_report((long)(call)) : 0; }))

#define ORDINARY 65534 /* user and group */

static int posix_passed, posix_failed, posix_pipe[2];
static pid_t posix_pid;

static inline void posix_line(bool good, const char *what)
{
	printf("%s %s", good ? "ok" : "not ok", what);
	*(good ? &posix_passed : &posix_failed) += 1;
}

static inline bool posix_ok(const char *what, long r)
{
	int e = errno;

	posix_line(r != -1, what);
	if (r == -1)
		printf(": failed with %s, wanted success", strerrorname_np(e));
	putchar('\n');
	return r != -1;
}

static inline bool posix_is(const char *what, bool holds)
{
	posix_line(holds, what);
	putchar('\n');
	return holds;
}

static inline void posix_err(const char *what, long r, int wanted)
{
	int e = errno;
	const char *seen = r != -1 ? "success" : strerrorname_np(e);

	posix_line(r == -1 && e == wanted, what);
	if (r != -1 || e != wanted)
		printf(": seen %s, wanted %s", seen ? seen : "an unknown error", strerrorname_np(wanted));
	putchar('\n');
}

/* True in a child that has become an ordinary user, false in its parent. */
static inline bool posix_child(void)
{
	fflush(stdout);
	if (geteuid() != 0 || pipe(posix_pipe))
		return false;
	posix_pid = fork();
	if (posix_pid != 0)
		return false;
	if (setresgid(ORDINARY, ORDINARY, ORDINARY) || setresuid(ORDINARY, ORDINARY, ORDINARY))
		_exit(1);
	return true;
}

static inline int posix_report(long r)
{
	int e = r == -1 ? errno : 0;

	_exit(write(posix_pipe[1], &e, sizeof(e)) == sizeof(e) ? 0 : 1);
}

static inline void posix_user(const char *what, int wanted, int unused)
{
	int e = -1, status;

	(void)unused;
	if (geteuid() != 0) {
		printf("skip %s: only root can become another user\n", what);
		return;
	}
	close(posix_pipe[1]);
	if (read(posix_pipe[0], &e, sizeof(e)) != sizeof(e))
		e = -1;
	close(posix_pipe[0]);
	waitpid(posix_pid, &status, 0);
	posix_line(e == wanted, what);
	if (e != wanted)
		printf(": seen %s, wanted %s",
			e == 0	? "success"
			: e < 0 ? "no answer"
				: strerrorname_np(e),
			wanted ? strerrorname_np(wanted) : "success");
	putchar('\n');
}

/* Longer than the clock tick that stamps files on any file system here. */
static inline void posix_tick(void)
{
	struct timespec t = {0, 20000000};

	nanosleep(&t, NULL);
}

static inline bool posix_later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static inline bool posix_same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static inline struct stat posix_lstat(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		memset(&st, 0, sizeof(st));
	return st;
}

static inline mode_t posix_mode(const char *path)
{
	return posix_lstat(path).st_mode & 07777;
}

static inline bool posix_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* A file with this content, mode 0644 whatever the umask. */
static inline void posix_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || fchmod(fd, 0644) || write(fd, content, strlen(content)) != (ssize_t)strlen(content) ||
		close(fd)) {
		printf("not ok a file for the tests, %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static inline bool posix_holds(const char *path, const char *content)
{
	char b[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof(b));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(content) && memcmp(b, content, (size_t)n) == 0;
}

/* A name of n characters. */
static inline const char *posix_name(size_t n)
{
	static char b[PATH_MAX + 16];

	memset(b, 'n', n);
	b[n] = '\0';
	return b;
}

/* A path of n characters that leads to `to` by way of "./". */
static inline const char *posix_path(size_t n, const char *to)
{
	static char b[PATH_MAX + 16];
	size_t at = 0, len = strlen(to);

	while (at + 2 <= n - len) {
		b[at++] = '.';
		b[at++] = '/';
	}
	if (at + 1 == n - len)
		b[at++] = '/';
	memcpy(b + at, to, len + 1);
	return b;
}

/* Into a fresh directory DIR/name; every user may write into it. */
static inline void posix_begin(int argc, char **argv, const char *name)
{
	char path[PATH_MAX];

	setvbuf(stdout, NULL, _IOLBF, 0);
	(void)snprintf(path, sizeof(path), "%s/%s", argc > 1 ? argv[1] : ".", name);
	if (mkdir(path, 0777) || chmod(path, 0777) || chdir(path)) {
		printf("not ok a directory for the tests, %s: %s\n", path, strerror(errno));
		exit(1);
	}
	umask(022);
}

static inline int posix_end(void)
{
	printf("%d passed, %d failed\n", posix_passed, posix_failed);
	return posix_failed ? 1 : 0;
}

#endif
