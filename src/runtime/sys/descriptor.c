/*
 * descriptor: descriptors that come or go past open, dup and close, and input and output that does not wait for its result.
 *
 * A placeholder may come back by a message or out of another process. It is known by its identity as long as this process still has it under
 * another number; otherwise it is what it is to everybody outside, a file of zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "host/host.h"
#include "runtime/console.h"
#include "runtime/fd_ops.h"
#include "runtime/net.h"
#include "runtime/shields.h"
#include "runtime/sys/table.h"
#include "runtime/volume_rights.h"

#define CONTROL_MAX 64 /* messages of control data looked at */

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

static void adopt(struct thread *t, int fd, bool peek)
{
	struct stat st;

	if (host_failed(host_fstat(fd, &st)))
		return;
	shields_lock();
	fd_adopt(t->proc, fd, st.st_dev, st.st_ino);
	if (net_active(t->proc) && S_ISSOCK(st.st_mode))
		net_adopt(t->proc, fd, st.st_dev, st.st_ino);
	if (t->proc->console_rules)
		console_adopt(t->proc, fd, st.st_dev, st.st_ino);
	shields_unlock();
	rights_receive(t, fd, st.st_dev, st.st_ino, peek);
}

static void adopt_all(struct thread *t, uint64_t at, size_t n, bool peek)
{
	for (size_t i = 0; i < n && i < RIGHTS_MAX; i++) {
		int fd;

		if (user_copy(&fd, (const void *)(at + i * sizeof(fd)), sizeof(fd)) < 0)
			return;
		adopt(t, fd, peek);
	}
}

/* Every descriptor in the control data that the kernel wrote to at: left bytes. */
static void adopt_control(struct thread *t, uint64_t at, size_t left, bool peek)
{
	struct cmsghdr c;

	for (int i = 0; i < CONTROL_MAX && left >= sizeof(c); i++) {
		if (user_copy(&c, (const void *)at, sizeof(c)) < 0 || c.cmsg_len < sizeof(c) ||
			c.cmsg_len > left)
			return;
		if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS)
			adopt_all(t, at + sizeof(c), (c.cmsg_len - sizeof(c)) / sizeof(int), peek);
		if (CMSG_ALIGN(c.cmsg_len) >= left)
			return;
		at += CMSG_ALIGN(c.cmsg_len);
		left -= CMSG_ALIGN(c.cmsg_len);
	}
}

static void adopt_message(struct thread *t, uint64_t msghdr, uint64_t flags)
{
	struct msghdr h;

	if (user_copy(&h, (const void *)msghdr, sizeof(h)) == 0 && h.msg_control)
		adopt_control(t, (uint64_t)h.msg_control, h.msg_controllen, flags & MSG_PEEK);
}

long sys_recvmsg(struct regs *r, struct thread *t)
{
	return fd_is_shielded(t->proc, r->rdi) ? fd_call(r, t, (int)r->rdi) : sys_recvmsg_plain(r, t);
}

long sys_recvmsg_plain(struct regs *r, struct thread *t)
{
	long ret = pass(r);

	if (ret >= 0)
		adopt_message(t, r->rsi, r->rdx);
	return ret;
}

long sys_recvmmsg(struct regs *r, struct thread *t)
{
	return fd_is_shielded(t->proc, r->rdi) ? fd_call(r, t, (int)r->rdi) : sys_recvmmsg_plain(r, t);
}

long sys_recvmmsg_plain(struct regs *r, struct thread *t)
{
	long ret = pass(r);

	for (long i = 0; i < ret; i++)
		adopt_message(t, r->rsi + (uint64_t)i * sizeof(struct mmsghdr), r->r10);
	return ret;
}

long sys_pidfd_getfd(struct regs *r, struct thread *t)
{
	long ret = pass(r);

	if (ret >= 0)
		adopt(t, (int)ret, false);
	return ret;
}

long sys_unshare(struct regs *r, struct thread *t)
{
	if ((r->rdi & CLONE_FILES) && fd_has_company())
		return -EINVAL;
	return pass(r);
}

/* How many control blocks come before the first that names a placeholder. */
static long submittable(struct thread *t, uint64_t list, long n)
{
	for (long i = 0; i < n; i++) {
		struct iocb cb;
		uint64_t at;

		if (user_copy(&at, (const void *)(list + (uint64_t)i * sizeof(at)), sizeof(at)) < 0 ||
			user_copy(&cb, (const void *)at, sizeof(cb)) < 0)
			return n; /* the kernel stops there, too */
		if (fd_is_shielded(t->proc, cb.aio_fildes))
			return i;
	}
	return n;
}

/* As the kernel: what comes before a bad block is done, and only a bad first one is an error. */
long sys_io_submit(struct regs *r, struct thread *t)
{
	long n = submittable(t, r->rdx, (long)r->rsi);

	if (n == 0 && (long)r->rsi > 0)
		return -EINVAL;
	return scone_safe_call6(
		SYS_io_submit, (long)r->rdi, n < (long)r->rsi ? n : (long)r->rsi, (long)r->rdx, 0, 0, 0);
}

long sys_io_pgetevents(struct regs *r, struct thread *t)
{
	struct {
		uint64_t ptr, size;
	} arg;
	uint64_t mask;

	if (!r->r9)
		return pass(r);
	if (user_copy(&arg, (const void *)r->r9, sizeof(arg)) < 0)
		return -EFAULT;
	if (arg.ptr && arg.size == sizeof(mask)) { /* any other size is the kernel's to refuse */
		if (user_copy(&mask, (const void *)arg.ptr, sizeof(mask)) < 0)
			return -EFAULT;
		mask &= ~SIG_BIT(SIGSYS);
		arg.ptr = (uint64_t)&mask;
	}
	return scone_safe_call6(SYS_io_pgetevents, (long)r->rdi, (long)r->rsi, (long)r->rdx, (long)r->r10,
		(long)r->r8, (long)&arg);
}
