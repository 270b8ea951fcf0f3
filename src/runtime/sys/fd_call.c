/*
 * fd_call: from a call on a shielded descriptor to the handler of its kind, and what is the same for every kind: copies of descriptors, and
 * their end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include "host/host.h"
#include "runtime/fd_ops.h"
#include "runtime/shields.h"

static const struct fd_ops *kinds[FD_KINDS] = {
	[FD_INJECTED] = &fd_ops_injected,
};

void fd_ops_set(unsigned kind, const struct fd_ops *ops)
{
	kinds[kind] = ops;
}

const struct fd_ops *fd_ops_of(unsigned kind)
{
	return kind < FD_KINDS ? kinds[kind] : NULL;
}

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

long fd_call(struct regs *r, struct thread *t, int fd)
{
	struct fd_entry e = fd_load(t->proc, (uint32_t)fd);
	const struct fd_ops *ops = fd_ops_of(e.kind);
	fd_handler handler;

	if (!ops)
		return pass(r);
	handler = ops->call[r->nr];
	return handler ? handler(r, t, &e) : ops->other(r, t, &e);
}

long sys_fd(struct regs *r, struct thread *t)
{
	return fd_call(r, t, (int)r->rdi);
}

long sys_fd_pair(struct regs *r, struct thread *t)
{
	return fd_call(r, t, (int)(fd_is_shielded(t->proc, r->rdi) ? r->rdi : r->rsi));
}

long sys_fd_ends(struct regs *r, struct thread *t)
{
	return fd_call(r, t, (int)(fd_is_shielded(t->proc, r->rdi) ? r->rdi : r->rdx));
}

/* --- copies --- */

static void leave(struct process *p, int fd)
{
	const struct fd_entry *e = fd_get(p, fd);
	struct fd_entry copy;

	if (!e)
		return;
	copy = *e;
	fd_clear(p, fd);
	if (fd_ops_of(copy.kind)->left)
		fd_ops_of(copy.kind)->left(p, fd, &copy);
}

static int enter(struct process *p, int fd, int from, const struct fd_entry *e)
{
	int ret = fd_reserve(p, fd);

	if (ret == 0 && fd_ops_of(e->kind)->entered)
		ret = fd_ops_of(e->kind)->entered(p, fd, from, e);
	if (ret == 0)
		fd_set_entry(p, fd, e);
	return ret;
}

static bool hidden(const struct process *p, uint64_t fd)
{
	return fd_load(p, fd).kind == FD_HIDDEN;
}

static long dup_locked(struct regs *r, struct thread *t)
{
	const struct fd_entry *e = fd_get(t->proc, (int)r->rdi);
	struct fd_entry copy;
	long fd;
	int ret;

	if (hidden(t->proc, r->rdi))
		return -EBADF;
	fd = host_call3((long)r->nr, (long)r->rdi, (long)r->rsi, (long)r->rdx);
	if (!e || host_failed(fd))
		return fd;
	copy = *e;
	ret = enter(t->proc, (int)fd, (int)r->rdi, &copy);
	if (ret < 0) {
		host_close((int)fd);
		return ret;
	}
	return fd;
}

long sys_dup(struct regs *r, struct thread *t)
{
	long ret;

	shields_lock();
	ret = dup_locked(r, t);
	shields_unlock();
	return ret;
}

long sys_fcntl(struct regs *r, struct thread *t)
{
	if ((int)r->rsi == F_DUPFD || (int)r->rsi == F_DUPFD_CLOEXEC)
		return sys_dup(r, t);
	return fd_call(r, t, (int)r->rdi);
}

static long dup_onto(struct regs *r, struct thread *t)
{
	const struct fd_entry *e = fd_get(t->proc, (int)r->rdi);
	struct fd_entry copy = {.kind = FD_NONE};
	int to = (int)r->rsi, entered;
	long ret;

	if (hidden(t->proc, r->rdi) || hidden(t->proc, r->rsi))
		return -EBADF;
	if (e) {
		copy = *e;
		if (fd_reserve(t->proc, to) < 0)
			return -EBADF;
	}
	ret = host_call3((long)r->nr, (long)r->rdi, to, (long)r->rdx);
	if (host_failed(ret))
		return ret;
	leave(t->proc, to);
	if (copy.kind == FD_NONE)
		return ret;
	entered = enter(t->proc, to, (int)r->rdi, &copy);
	if (entered < 0) {
		host_close(to);
		return entered;
	}
	return ret;
}

long sys_dup2(struct regs *r, struct thread *t)
{
	long ret;

	if ((int)r->rdi == (int)r->rsi)
		return pass(r);
	shields_lock();
	ret = dup_onto(r, t);
	shields_unlock();
	return ret;
}

/* --- the end --- */

/* The entry goes first: once the kernel has freed the number, another thread may get it for something else. From there on no signal handler
 * of the program may come between, so the host call is not an interruptible one. */
long sys_close(struct regs *r, struct thread *t)
{
	if (hidden(t->proc, r->rdi))
		return -EBADF;
	shields_lock();
	leave(t->proc, (int)r->rdi);
	shields_unlock();
	return host_close((int)r->rdi);
}

/* From first to last, around what is hidden. */
static long close_between(const struct process *p, uint32_t first, uint32_t last, uint32_t flags)
{
	uint32_t end = fd_end(p);
	long ret;

	for (uint32_t fd = first; fd <= last && fd < end; fd++) {
		if (!hidden(p, fd))
			continue;
		ret = fd > first ? host_call3(SYS_close_range, first, fd - 1, flags) : 0;
		if (ret)
			return ret;
		first = fd + 1;
		if (fd == last)
			return 0;
	}
	return host_call3(SYS_close_range, first, last, flags);
}

long sys_close_range(struct regs *r, struct thread *t)
{
	uint32_t first = (uint32_t)r->rdi, last = (uint32_t)r->rsi, flags = (uint32_t)r->rdx;
	bool closes = first <= last && !(flags & ~(uint32_t)CLOSE_RANGE_UNSHARE);

	if ((flags & CLOSE_RANGE_UNSHARE) && fd_has_company())
		return -EINVAL;
	if (closes) {
		shields_lock();
		for (uint32_t fd = first; fd <= last && fd < fd_end(t->proc); fd++)
			if (!hidden(t->proc, fd))
				leave(t->proc, (int)fd);
		shields_unlock();
	}
	return close_between(t->proc, first, last, flags);
}
