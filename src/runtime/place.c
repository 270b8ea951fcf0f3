#include "runtime/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "host/host.h"
#include "runtime/fd.h"
#include "runtime/hosted.h"
#include "runtime/proc_path.h"
#include "runtime/shields.h"
#include "runtime/volumes.h"

#define LINKS_MAX 40 /* as the kernel's limit on symlinks in one path */

static const struct place host = {.kind = PLACE_HOST};

static struct place file_place(int id, bool link)
{
	return id < 0 ? host : (struct place){.kind = PLACE_FILE, .id = (uint32_t)id, .link = link};
}

static struct place fd_place(struct thread *t, int fd, bool link)
{
	struct fd_entry e = fd_load(t->proc, (uint32_t)fd);

	return e.kind == FD_INJECTED ? file_place((int)e.file, link) : host;
}

struct place place_of_inode(struct thread *t, uint64_t dev, uint64_t ino)
{
	int id;

	if (!shields_files())
		return host;
	id = injected_find_inode(shields_files(), dev, ino);
	if (id < 0) {
		shields_lock();
		id = fd_find_inode(t->proc, dev, ino);
		shields_unlock();
	}
	return file_place(id, false);
}

/* A decimal number that ends at '/' or the end of text; *p moves behind it. -1: none. */
static long take_number(const char **p)
{
	long n = 0;
	const char *s = *p;

	while (*s >= '0' && *s <= '9' && n <= INT32_MAX)
		n = n * 10 + (*s++ - '0');
	if (s == *p || n > INT32_MAX || (*s && *s != '/'))
		return -1;
	*p = s;
	return n;
}

static bool take_word(const char **p, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*p, word, n) != 0)
		return false;
	*p += n;
	return true;
}

/* path is normalised. */
static struct place proc_place(struct thread *t, const char *path, unsigned flags)
{
	bool link_meant = flags & PLACE_NOFOLLOW;
	const char *p = proc_path_own(path);
	long fd;
	int other;

	if (!p) {
		other = link_meant ? 0 : proc_path_other_exe(path);
		if (!other || !hosted_by_us(other))
			return host;
		return (struct place){.kind = PLACE_PROGRAM, .id = (uint32_t)other, .link = true};
	}
	if (strcmp(p, "mem") == 0)
		return (struct place){
			.kind = runtime.attested || t->proc->path_rules ? PLACE_REFUSED : PLACE_HOST};
	if (strcmp(p, "exe") == 0)
		return (struct place){
			.kind = link_meant || !runtime.program ? PLACE_HOST : PLACE_PROGRAM, .link = true};
	if (!take_word(&p, "fd/") || link_meant)
		return host;
	fd = take_number(&p);
	return fd < 0 || *p ? host : fd_place(t, (int)fd, true);
}

long place_fd_path(int fd, char ret[PLACE_PATH_MAX])
{
	char name[32] = "/proc/self/fd/", digits[12];
	size_t n = 0, len = strlen(name);
	long got;

	do
		digits[n++] = (char)('0' + fd % 10);
	while ((fd /= 10) > 0);
	while (n > 0)
		name[len++] = digits[--n];
	name[len] = '\0';
	got = host_call3(SYS_readlink, (long)name, (long)ret, PLACE_PATH_MAX - 1);
	if (!host_failed(got))
		ret[got] = '\0';
	return got;
}

/* Where a relative path starts, by name. */
static long base_path(int dirfd, char ret[PLACE_PATH_MAX])
{
	long n;

	if (dirfd != AT_FDCWD)
		return dirfd < 0 ? -EBADF : place_fd_path(dirfd, ret);
	n = host_call2(SYS_getcwd, (long)ret, PLACE_PATH_MAX);
	return n > 0 ? n - 1 : n; /* the kernel counts the NUL */
}

/* Directory part of path (dlen bytes), as the kernel resolves it. */
static long dir_resolved(int dirfd, const char *path, size_t dlen, char ret[PLACE_PATH_MAX])
{
	char dir[PLACE_PATH_MAX];
	long fd, n;

	memcpy(dir, path, dlen);
	dir[dlen] = '\0';
	fd = host_openat(dirfd, dlen ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (host_failed(fd))
		return fd;
	n = place_fd_path((int)fd, ret);
	host_close((int)fd);
	return n;
}

/* The same without asking whether it exists: directories of injected files need not. */
static long dir_by_name(int dirfd, const char *path, size_t dlen, char ret[PLACE_PATH_MAX])
{
	char joined[PLACE_PATH_MAX];
	long n = 0;

	if (dlen == 0 || path[0] != '/') {
		n = base_path(dirfd, joined);
		if (n < 0)
			return n;
		if ((size_t)n + dlen + 2 > sizeof(joined))
			return -ENAMETOOLONG;
		joined[n++] = '/';
	}
	memcpy(joined + n, path, dlen);
	joined[(size_t)n + dlen] = '\0';
	return injected_normalise(joined, ret, PLACE_PATH_MAX);
}

static bool in_volume(const struct thread *t, const char *path)
{
	const char *rest;

	return t->proc->volumes && vfs_mount_find(t->proc->volumes->caller.fs, path, &rest) >= 0;
}

/* Absolute, normalised name of path, whose last component starts at `last`. */
static long full_name(
	struct thread *t, int dirfd, const char *path, const char *last, char ret[PLACE_PATH_MAX])
{
	size_t dlen = (size_t)(last - path), n = strlen(last);
	/* Of a path in a volume the host's directories say nothing; it has come here without links. */
	long len = in_volume(t, path) ? -ENOENT : dir_resolved(dirfd, path, dlen, ret);

	if (len == -ENOENT || len == -ENOTDIR || len == -EACCES || len == -EMFILE || len == -ENFILE)
		len = dir_by_name(dirfd, path, dlen, ret);
	if (len < 0)
		return len;
	if (len == 1)
		len = 0; /* the root */
	if ((size_t)len + n + 2 > PLACE_PATH_MAX)
		return -ENAMETOOLONG;
	ret[len] = '/';
	memcpy(ret + len + 1, last, n + 1);
	return len + 1 + (long)n;
}

static bool proc_name(const char *last)
{
	return strcmp(last, "exe") == 0 || strcmp(last, "mem") == 0;
}

struct place place_named(struct thread *t, int dirfd, const char *path, unsigned flags)
{
	char full[PLACE_PATH_MAX];
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;

	if (!*path)
		return (flags & PLACE_EMPTY) && dirfd >= 0 ? fd_place(t, dirfd, false) : host;
	if (strncmp(path, "/proc/", 6) == 0 && injected_normalise(path, full, sizeof(full)) > 0) {
		struct place p = proc_place(t, full, flags);

		if (p.kind != PLACE_HOST)
			return p;
	}
	if (!shields_files())
		return host;
	if (!injected_has_name(shields_files(), last, strlen(last)) && !proc_name(last))
		return host;
	if (full_name(t, dirfd, path, last, full) < 0)
		return host;
	if (strncmp(full, "/proc/", 6) == 0)
		return proc_place(t, full, flags);
	return file_place(injected_find_path(shields_files(), full), false);
}

/* Replace path by where the link that it names leads; relative targets start at the link's directory. */
static bool follow(int *dirfd, char path[PLACE_PATH_MAX])
{
	char target[PLACE_PATH_MAX];
	long n = host_call4(SYS_readlinkat, *dirfd, (long)path, (long)target, sizeof(target) - 1);
	char *slash = strrchr(path, '/');
	size_t dlen = slash ? (size_t)(slash + 1 - path) : 0;

	if (n <= 0)
		return false;
	target[n] = '\0';
	if (target[0] == '/') {
		*dirfd = AT_FDCWD;
		dlen = 0;
	}
	if (dlen + (size_t)n + 1 > PLACE_PATH_MAX)
		return false;
	memcpy(path + dlen, target, (size_t)n + 1);
	return true;
}

struct place place_of_dangling(struct thread *t, int dirfd, const char *path)
{
	char cur[PLACE_PATH_MAX];
	size_t n = strlen(path);

	if (!shields_files() || n >= sizeof(cur))
		return host;
	memcpy(cur, path, n + 1);
	for (int i = 0; i < LINKS_MAX && follow(&dirfd, cur); i++) {
		struct place p = place_named(t, dirfd, cur, 0);

		if (p.kind != PLACE_HOST)
			return p;
	}
	return host;
}

static bool ends_with(const char *s, size_t n, const char *end, size_t len)
{
	return n >= len && memcmp(s + n - len, end, len) == 0;
}

/* Is this resolved name .../PID/mem or .../PID/task/TID/mem of this process? proc may be mounted anywhere. */
static bool is_own_mem(struct thread *t, const char *full, size_t n)
{
	char own[16];
	size_t len = sizeof(own), digits;

	if (!ends_with(full, n, "/mem", 4))
		return false;
	n -= 4;
	for (digits = 0; digits < n && full[n - 1 - digits] >= '0' && full[n - 1 - digits] <= '9';)
		digits++;
	if (digits && ends_with(full, n - digits, "/task/", 6))
		n -= digits + 6;
	for (unsigned pid = (unsigned)t->proc->pid; pid > 0; pid /= 10)
		own[--len] = (char)('0' + pid % 10);
	own[--len] = '/';
	return ends_with(full, n, own + len, sizeof(own) - len);
}

/* A file of proc, reached by another name than its own. */
static struct place other_proc_name(struct thread *t, int dirfd, const char *path, unsigned flags)
{
	char full[PLACE_PATH_MAX];
	long fd = host_openat(dirfd, path, O_PATH | O_CLOEXEC | (flags & PLACE_NOFOLLOW ? O_NOFOLLOW : 0), 0),
	     n;

	if (host_failed(fd))
		return host;
	n = place_fd_path((int)fd, full);
	host_close((int)fd);
	return n > 0 && is_own_mem(t, full, (size_t)n) ? (struct place){.kind = PLACE_REFUSED} : host;
}

static bool is_proc(uint64_t dev)
{
	struct stat st;

	return host_call4(SYS_newfstatat, AT_FDCWD, (long)"/proc", (long)&st, 0) == 0 && st.st_dev == dev;
}

struct place place_find(struct thread *t, int dirfd, const char *path, unsigned flags)
{
	struct place p = place_named(t, dirfd, path, flags);
	bool nofollow = flags & (PLACE_NOFOLLOW | PLACE_READLINK);
	struct stat st;
	long ret;

	if (p.kind != PLACE_HOST || !shields_files() || !*path)
		return p;
	ret = host_call4(SYS_newfstatat, dirfd, (long)path, (long)&st,
		AT_NO_AUTOMOUNT | (nofollow ? AT_SYMLINK_NOFOLLOW : 0));
	if (ret == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && is_proc(st.st_dev))
		return other_proc_name(t, dirfd, path, flags);
	if (ret == 0)
		return S_ISREG(st.st_mode) ? place_of_inode(t, st.st_dev, st.st_ino) : host;
	return ret == -ENOENT && !nofollow ? place_of_dangling(t, dirfd, path) : host;
}
