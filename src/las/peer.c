#include "las/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

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

/* A small file of the peer's /proc directory, NUL-terminated. */
static int read_proc(const struct peer *p, const char *name, char *out, size_t cap, struct error *err)
{
	int fd = openat(p->proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);
	int failed = errno;
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return error_set(
			err, ERR_PEER, "cannot read /proc/%d/%s: %s", p->pid, name, strerror(failed));
	out[n] = '\0';
	return 0;
}

/* Field 22 of /proc/PID/stat; the command name in field 2 may contain blanks and parentheses. */
static int start_time(const struct peer *p, unsigned long long *ret, struct error *err)
{
	char text[1024];
	if (read_proc(p, "stat", text, sizeof(text), err) < 0)
		return -1;
	const char *s = strrchr(text, ')');
	for (int field = 2; s && field < 22; field++)
		s = strchr(s + 1, ' ');
	char *end = NULL;
	if (s)
		*ret = strtoull(s + 1, &end, 10);
	if (!s || end == s + 1)
		return error_set(err, ERR_INTERNAL, "/proc/%d/stat has no field 22", p->pid);
	return 0;
}

static int not_traced(const struct peer *p, struct error *err)
{
	char text[4096];
	if (read_proc(p, "status", text, sizeof(text), err) < 0)
		return -1;
	const char *s = strstr(text, "\nTracerPid:\t");
	if (!s)
		return error_set(err, ERR_INTERNAL, "/proc/%d/status has no TracerPid", p->pid);
	long tracer = strtol(s + strlen("\nTracerPid:\t"), NULL, 10);
	if (tracer != 0)
		return error_set(err, ERR_PEER,
			"process %d is traced by process %ld, which can change its memory", p->pid, tracer);
	return 0;
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
	return 0;
}

int peer_open(int conn, struct peer *ret, struct error *err)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	char proc[32];
	struct peer *p = ret;
	*p = (struct peer){.pidfd = -1, .proc = -1, .exe = -1};
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
	if (rc == 0 && (alive(p, err) < 0 || start_time(p, &p->start, err) < 0 || not_traced(p, err) < 0 ||
			       open_exe(p, err) < 0))
		rc = -1;
	if (rc < 0)
		peer_close(p);
	return rc;
}

void peer_close(struct peer *p)
{
	int *fds[] = {&p->pidfd, &p->proc, &p->exe};
	for (size_t i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int peer_unchanged(const struct peer *p, struct error *err)
{
	struct stat st;
	unsigned long long start;
	if (start_time(p, &start, err) < 0 || not_traced(p, err) < 0)
		return -1;
	if (fstatat(p->proc, "exe", &st, 0) < 0)
		return error_set(err, ERR_PEER, "cannot stat /proc/%d/exe: %s", p->pid, strerror(errno));
	if (st.st_dev != p->dev || st.st_ino != p->ino)
		return error_set(
			err, ERR_PEER, "process %d has changed from %s to another program", p->pid, p->path);
	if (start != p->start)
		return error_set(err, ERR_PEER, "process %d started at tick %llu, wanted %llu", p->pid, start,
			p->start);
	return alive(p, err);
}
