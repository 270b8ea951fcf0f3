#include "las/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "core/buf.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define STAT_MAX 4096
#define STATUS_MAX (1024 * 1024) /* a process may be in 65536 groups */

/* The kernel's own descriptor of the peer (Linux 6.5) cannot be raced by a reused number; older kernels: by number. */
static int peer_pidfd(int conn, pid_t pid)
{
	int fd = -1;
	socklen_t n = sizeof(fd);
	if (getsockopt(conn, SOL_SOCKET, SO_PEERPIDFD, &fd, &n) == 0)
		return fd;
	return errno == ENOPROTOOPT ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static int alive(const struct peer *p, struct error *err)
{
	struct pollfd f = {.fd = p->pidfd, .events = POLLIN};
	int n = poll(&f, 1, 0);
	if (n < 0)
		return error_set_errno(err, errno, "cannot watch process %d", p->pid);
	return n ? error_set(err, ERR_PEER, "process %d has ended", p->pid) : 0;
}

/* A file of the peer's /proc directory as text in out, which is empty before; *ret_cut (may be NULL): it goes on after out's limit. */
static int read_proc(
	const struct peer *p, const char *name, struct buf *out, bool *ret_cut, struct error *err)
{
	int fd = openat(p->proc, name, O_RDONLY | O_CLOEXEC), failed = errno;
	ssize_t n = -1;
	bool full = false;
	while (fd >= 0 && !full) {
		uint8_t chunk[4096];
		n = read(fd, chunk, sizeof(chunk));
		failed = errno;
		if (n <= 0)
			break;
		size_t room = out->max - 1 - out->len; /* a NUL follows */
		full = (size_t)n > room;
		buf_put(out, chunk, full ? room : (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return error_set(
			err, ERR_PEER, "cannot read /proc/%d/%s: %s", p->pid, name, strerror(failed));
	if (full && !ret_cut)
		return error_set(err, ERR_PEER, "/proc/%d/%s has over %zu bytes", p->pid, name, out->max - 1);
	if (ret_cut)
		*ret_cut = full;
	return buf_cstr(out) ? 0 : error_set(err, ERR_NOMEM, "no memory for /proc/%d/%s", p->pid, name);
}

/* Field 22 of /proc/PID/stat; the command name in field 2 may contain blanks and parentheses. */
static int start_time(const struct peer *p, unsigned long long *ret, struct error *err)
{
	struct buf text;
	buf_init(&text, STAT_MAX);
	int rc = read_proc(p, "stat", &text, NULL, err);
	const char *s = rc < 0 ? NULL : strrchr((char *)text.data, ')');
	for (int field = 2; s && field < 22; field++)
		s = strchr(s + 1, ' ');
	char *end = NULL;
	if (s)
		*ret = strtoull(s + 1, &end, 10);
	if (rc == 0 && (!s || end == s + 1))
		rc = error_set(err, ERR_INTERNAL, "/proc/%d/stat has no field 22", p->pid);
	buf_free(&text);
	return rc;
}

/* key as "\nTracerPid:\t" */
static int status_number(const struct peer *p, const char *status, const char *key, int base,
	unsigned long long *ret, struct error *err)
{
	const char *s = strstr(status, key);
	char *end = NULL;
	if (s)
		*ret = strtoull(s + strlen(key), &end, base);
	if (!s || end == s + strlen(key) || *end != '\n')
		return error_set(err, ERR_INTERNAL, "/proc/%d/status has no %.*s", p->pid,
			(int)strcspn(key + 1, ":"), key + 1);
	return 0;
}

static int judge_status(const struct peer *p, const char *status, struct error *err)
{
	unsigned long long tracer, threads, caught;
	if (status_number(p, status, "\nTracerPid:\t", 10, &tracer, err) < 0 ||
		status_number(p, status, "\nThreads:\t", 10, &threads, err) < 0 ||
		status_number(p, status, "\nSigCgt:\t", 16, &caught, err) < 0)
		return -1;
	if (tracer != 0)
		return error_set(err, ERR_PEER,
			"process %d is traced by process %llu, which can change its memory", p->pid, tracer);
	if (threads != 1)
		return error_set(err, ERR_PEER, "process %d has %llu threads, wanted 1", p->pid, threads);
	if (caught & 1ULL << (SIGSYS - 1))
		return error_set(err, ERR_PEER,
			"process %d handles SIGSYS, as a runtime does that hosts a program already", p->pid);
	return 0;
}

static int check_status(const struct peer *p, struct error *err)
{
	struct buf text;
	buf_init(&text, STATUS_MAX);
	int rc = read_proc(p, "status", &text, NULL, err);
	if (rc == 0)
		rc = judge_status(p, (char *)text.data, err);
	buf_free(&text);
	return rc;
}

static int check_memory(const struct peer *p, struct error *err)
{
	struct buf text;
	bool cut = false;
	buf_init(&text, MEMORY_TEXT_MAX);
	int rc = read_proc(p, "smaps", &text, &cut, err);
	if (rc == 0)
		rc = memory_check((char *)text.data, text.len, cut, &p->image, p->pid, p->path, err);
	buf_free(&text);
	return rc;
}

/* The memory that was there at peer_open still is: execve would have replaced it. */
static int check_same_memory(const struct peer *p, struct error *err)
{
	char first;
	ssize_t n = lseek(p->maps, 0, SEEK_SET) < 0 ? -1 : read(p->maps, &first, 1);
	if (n < 0)
		return error_set(err, ERR_PEER, "cannot read /proc/%d/maps: %s", p->pid, strerror(errno));
	return n ? 0
		 : error_set(err, ERR_PEER, "process %d has executed a program since it was first looked at",
			   p->pid);
}

static void read_path(struct peer *p)
{
	ssize_t n = readlinkat(p->proc, "exe", p->path, sizeof(p->path) - 1);
	if (n < 0)
		n = 0;
	p->path[n] = '\0';
	for (char *c = p->path; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
}

static int open_exe(struct peer *p, struct error *err)
{
	struct stat st;
	struct statfs fs;
	p->exe = openat(p->proc, "exe", O_RDONLY | O_CLOEXEC);
	if (p->exe < 0 && (errno == EACCES || errno == EPERM))
		return error_set(err, ERR_ACCESS,
			"scone-las, running as user %u, may not read /proc/%d/exe of a process of user %u: "
			"run it as root (or with "
			"CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)",
			geteuid(), p->pid, p->uid);
	if (p->exe < 0)
		return error_set(err, ERR_PEER, "cannot open /proc/%d/exe: %s", p->pid, strerror(errno));
	if (fstat(p->exe, &st) < 0 || fstatfs(p->exe, &fs) < 0)
		return error_set_errno(err, errno, "cannot stat /proc/%d/exe", p->pid);
	if (fs.f_type == FUSE_SUPER_MAGIC)
		return error_set(err, ERR_PEER,
			"process %d runs %s from a FUSE file system, which may show others other bytes",
			p->pid, p->path);
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	return memory_image(p->exe, &p->image, err);
}

static int open_maps(struct peer *p, struct error *err)
{
	p->maps = openat(p->proc, "maps", O_RDONLY | O_CLOEXEC);
	return p->maps < 0
		       ? error_set(err, ERR_PEER, "cannot open /proc/%d/maps: %s", p->pid, strerror(errno))
		       : 0;
}

int peer_open(int conn, struct peer *ret, struct error *err)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	char proc[32];
	struct peer *p = ret;
	*p = (struct peer){.pidfd = -1, .proc = -1, .exe = -1, .maps = -1};
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return error_set_errno(err, errno, "cannot ask who the peer is");
	p->pid = cred.pid;
	p->uid = cred.uid;
	if (p->pid <= 0)
		return error_set(
			err, ERR_PEER, "the peer lives in a PID namespace that cannot be seen from here");
	p->pidfd = peer_pidfd(conn, p->pid);
	if (p->pidfd < 0)
		return error_set(err, ERR_PEER, "cannot hold process %d: %s", p->pid, strerror(errno));
	snprintf(proc, sizeof(proc), "/proc/%d", p->pid);
	p->proc = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	if (p->proc < 0)
		rc = error_set(err, ERR_PEER, "cannot open %s: %s", proc, strerror(errno));
	if (rc == 0)
		read_path(p);
	/* Alive after its directory was opened: the directory is its own. */
	if (rc == 0 && (alive(p, err) < 0 || start_time(p, &p->start, err) < 0 || open_exe(p, err) < 0 ||
			       open_maps(p, err) < 0))
		rc = -1;
	if (rc < 0)
		peer_close(p);
	return rc;
}

void peer_close(struct peer *p)
{
	int *fds[] = {&p->pidfd, &p->proc, &p->exe, &p->maps};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static int check_identity(const struct peer *p, struct error *err)
{
	struct stat st;
	unsigned long long start;
	if (start_time(p, &start, err) < 0)
		return -1;
	if (fstatat(p->proc, "exe", &st, 0) < 0)
		return error_set(err, ERR_PEER, "cannot stat /proc/%d/exe: %s", p->pid, strerror(errno));
	if (st.st_dev != p->dev || st.st_ino != p->ino)
		return error_set(
			err, ERR_PEER, "process %d has changed from %s to another program", p->pid, p->path);
	if (start != p->start)
		return error_set(err, ERR_PEER, "process %d started at tick %llu, wanted %llu", p->pid, start,
			p->start);
	return 0;
}

int peer_check(const struct peer *p, struct error *err)
{
	if (check_identity(p, err) < 0 || check_memory(p, err) < 0 || check_status(p, err) < 0)
		return -1;
	/* Last: what the three saw was one memory, and the process that had it is there. */
	return check_same_memory(p, err) < 0 ? -1 : alive(p, err);
}
