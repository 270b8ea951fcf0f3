/*
 * exec: execve of the program becomes execve of the runtime, with the new program's state handed over in a descriptor.
 *
 * Everything that can fail is found out before the point of no return, so that the program gets its errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "runtime/code.h"
#include "runtime/console.h"
#include "runtime/launch.h"
#include "runtime/net.h"
#include "runtime/self.h"
#include "runtime/signal.h"
#include "runtime/sys/table.h"
#include "runtime/volumes.h"

#define SELF_EXE "/proc/self/exe"
#define SPARE_FDS 4

long user_string(char *dst, uint64_t src, size_t max)
{
	size_t done = 0;

	while (done < max) {
		size_t n = 4096 - (src + done) % 4096;
		char *end;

		if (n > max - done)
			n = max - done;
		if (user_copy(dst + done, (const void *)(src + done), n))
			return -EFAULT;
		end = memchr(dst + done, 0, n);
		if (end)
			return end - dst;
		done += n;
	}
	return -ENAMETOOLONG;
}

/* Copy a NULL-terminated vector of strings; NULL is an empty one, as on Linux. */
static int take_vector(uint64_t vector, char ***ret, size_t *ret_n, size_t *budget)
{
	char *text = malloc(LAUNCH_STRING_MAX);
	int rc = text ? 0 : -ENOMEM;

	*ret = calloc(1, sizeof(char *));
	*ret_n = 0;
	if (!*ret)
		rc = -ENOMEM;
	while (!rc && vector) {
		uint64_t at;
		long n;

		if (user_copy(&at, (const void *)(vector + 8 * *ret_n), sizeof(at))) {
			rc = -EFAULT;
			break;
		}
		if (!at)
			break;
		n = user_string(text, at, LAUNCH_STRING_MAX);
		if (n < 0 || (size_t)n + 9 > *budget) {
			rc = n == -EFAULT ? -EFAULT : -E2BIG;
			break;
		}
		*budget -= (size_t)n + 9;
		rc = launch_push(ret, ret_n, text);
	}
	free(text);
	return rc;
}

static bool is_runtime(const char *path)
{
	struct stat a, b;

	return !host_call4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&a, 0) &&
	       !host_call4(SYS_newfstatat, AT_FDCWD, (long)SELF_EXE, (long)&b, 0) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/*
 * The state's descriptor is told in the name that the runtime is executed by (AT_EXECFN), since arguments and environment are the program's:
 * one "/" a bit after /proc/self, followed by "." where it is set, least significant first.
 */
#define FD_BITS 24

static void name_with_fd(int fd, char *ret)
{
	static const char head[] = "/proc/self", tail[] = "/exe";
	size_t at = sizeof(head) - 1;

	memcpy(ret, head, at);
	for (int bit = 0; bit < FD_BITS; bit++) {
		ret[at++] = '/';
		if (fd >> bit & 1)
			ret[at++] = '.';
	}
	memcpy(ret + at, tail, sizeof(tail));
}

int exec_state_fd(const char *execfn)
{
	const char *p = execfn;
	int fd = 0;

	if (strncmp(p, "/proc/self/", 11))
		return self_state_fd(execfn);
	p += 10;
	for (int bit = 0; bit < FD_BITS; bit++) {
		if (*p++ != '/')
			return -1;
		if (*p == '.') {
			fd |= 1 << bit;
			p++;
		}
	}
	return strcmp(p, "/exe") ? -1 : fd;
}

/* The host sees what it would see of the program itself; but arguments and environment of an attested program may hold secrets. */
long exec_hand_over(const struct launch *l, struct process *p)
{
	char name[11 + 2 * FD_BITS + 5], *bare[] = {l->argv[0], NULL}, *none[] = {NULL};
	char **argv, **envp;
	long fd = launch_write_state(l, p), rc;

	if (fd < 0)
		return fd;
	if (fd >> FD_BITS) {
		host_close((int)fd);
		return -EMFILE;
	}
	name_with_fd((int)fd, name);
	if (l->by_fd)
		host_call3(SYS_fcntl, l->fd, F_SETFD, 0);
	argv = runtime.attested ? bare : l->argv;
	envp = runtime.attested ? none : l->envp;
	volumes_inherit(p, true);
	rc = host_call3(SYS_execve, (long)name, (long)argv, (long)envp);
	if (rc == -ENOENT)
		rc = self_exec((int)fd, argv, envp);
	net_exec_failed();
	console_exec_failed();
	volumes_inherit(p, false);
	host_close((int)fd);
	return rc;
}

static long exec_runtime(const struct launch *l, struct thread *t)
{
	long rc;

	signal_before_exec(t->proc);
	host_sigmask(SIG_SETMASK, &t->sigmask, NULL);
	rc = host_call3(SYS_execve, (long)SELF_EXE, (long)l->argv, (long)l->envp);
	signal_after_failed_exec(t->proc);
	return rc;
}

static long do_exec(struct launch *l, struct thread *t)
{
	long rc;

	signal_give_back(t); /* what comes from now on comes to the new program */
	if (is_runtime(l->path)) {
		rc = exec_runtime(l, t); /* a fresh start, as asked */
	} else {
		l->has_sigmask = true;
		l->sigmask = t->sigmask;
		l->sigs_ignored = signal_ignored(t->proc);
		rc = code_may_run(l->path, l->by_fd ? l->fd : -1);
		if (!rc)
			rc = exec_hand_over(l, t->proc);
	}
	signal_apply_mask(t);
	return rc;
}

/* The name to look up: path, or the descriptor itself for AT_EMPTY_PATH. */
static int exec_name(uint64_t path, int dirfd, uint64_t flags, char ret[PATH_MAX])
{
	long n = user_string(ret, path, PATH_MAX);

	if (n < 0)
		return (int)n;
	if (!n) {
		if (!(flags & AT_EMPTY_PATH))
			return -ENOENT;
		snprintf(ret, PATH_MAX, "/dev/fd/%d", dirfd);
		return 0;
	}
	return 0;
}

struct exec_args {
	int dirfd;
	uint64_t path, argv, envp, flags;
};

static long exec_once(const struct exec_args *a, const struct launch_limit *nofile, struct thread *t)
{
	struct launch l = {.nofile = *nofile};
	char name[PATH_MAX];
	size_t budget = LAUNCH_ARGS_MAX;
	long rc = exec_name(a->path, a->dirfd, a->flags, name);

	if (rc)
		return rc;
	if (t->is_vfork)
		t->proc->launching = &l;
	l.execfn = strdup(name);
	rc = l.execfn ? take_vector(a->argv, &l.argv, &l.argc, &budget) : -ENOMEM;
	if (!rc)
		rc = take_vector(a->envp, &l.envp, &l.envc, &budget);
	if (!rc && !l.argc)
		rc = launch_push(&l.argv, &l.argc, ""); /* as Linux since 5.18 */
	if (!rc)
		rc = launch_resolve(&l, a->dirfd);
	if (!rc)
		rc = do_exec(&l, t);
	t->proc->launching = NULL;
	launch_free(&l);
	return rc;
}

/* execve needs a descriptor where the kernel needs none: a few more than the limit, beyond the hard one for who may. */
static bool raise_nofile(struct launch_limit *ret)
{
	struct rlimit old, more;

	if (host_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&old))
		return false;
	more = old;
	more.rlim_cur += SPARE_FDS;
	if (more.rlim_cur > more.rlim_max) {
		if (old.rlim_cur < old.rlim_max)
			more.rlim_cur = more.rlim_max;
		else
			more.rlim_max = more.rlim_cur;
	}
	if (host_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&more, 0))
		return false;
	*ret = (struct launch_limit){.soft = old.rlim_cur, .hard = old.rlim_max};
	return true;
}

void exec_restore_nofile(const struct launch_limit *limit)
{
	struct rlimit back = {.rlim_cur = limit->soft, .rlim_max = limit->hard};

	if (limit->hard)
		host_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&back, 0);
}

static long exec_at(const struct exec_args *a, struct thread *t)
{
	struct launch_limit nofile = {0};
	long rc;

	if (a->flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	rc = net_is_shaking(t->proc) ? net_settle(t) : 0;
	if (rc)
		return rc;
	rc = exec_once(a, &nofile, t);
	if (rc != -EMFILE || !raise_nofile(&nofile))
		return rc;
	rc = exec_once(a, &nofile, t);
	exec_restore_nofile(&nofile);
	return rc;
}

long sys_execve(struct regs *r, struct thread *t)
{
	struct exec_args a = {.dirfd = AT_FDCWD, .path = r->rdi, .argv = r->rsi, .envp = r->rdx};

	return exec_at(&a, t);
}

long sys_execveat(struct regs *r, struct thread *t)
{
	struct exec_args a = {
		.dirfd = (int)r->rdi, .path = r->rsi, .argv = r->rdx, .envp = r->r10, .flags = r->r8};

	return exec_at(&a, t);
}
