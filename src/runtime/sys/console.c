/*
 * console: what system calls do to a protected or refused descriptor of the console shield (runtime/console.h). To the program it is a pipe, or a stream socket
 * where it was given one.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/console.h"
#include "runtime/fd_ops.h"
#include "runtime/sys/table.h"

#define SENDFILE_STEP 16384
#define RW_TOTAL_MAX 0x7ffff000L
#define MESSAGES_MAX 1024

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

static long move(
	struct thread *t, int fd, const struct fd_entry *e, struct net_span *s, bool writes, int flags)
{
	struct console_channel *c = console_channel(e->file);

	if (!c)
		return -EACCES;
	if (!(writes ? fd_may_write(e) : fd_may_read(e)))
		return -EBADF;
	return writes ? console_write(t, fd, c, s, flags) : console_read(t, fd, c, s, flags);
}

static bool is_write(uint64_t nr)
{
	return nr == SYS_write || nr == SYS_writev || nr == SYS_pwritev2;
}

static long do_one(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_one(&s, r->rsi, r->rdx);

	return ret < 0 ? ret : move(t, (int)r->rdi, e, &s, is_write(r->nr), 0);
}

static long do_vector(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_iov(&s, r->rsi, r->rdx);

	return ret < 0 ? ret : move(t, (int)r->rdi, e, &s, is_write(r->nr), 0);
}

/* preadv2 and pwritev2 at offset -1 are readv and writev; a pipe has no other positions. */
static long do_vector2(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	if ((int64_t)r->r10 != -1)
		return -ESPIPE;
	if (r->r9 & ~(uint64_t)RWF_NOWAIT)
		return -EOPNOTSUPP;
	{
		struct net_span s;
		int ret = net_span_iov(&s, r->rsi, r->rdx);

		return ret < 0 ? ret : move(t, (int)r->rdi, e, &s, is_write(r->nr), r->r9 ? MSG_DONTWAIT : 0);
	}
}

static long do_no_position(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -ESPIPE;
}

/* --- as a socket --- */

static bool is_socket(const struct fd_entry *e)
{
	const struct console_channel *c = console_channel(e->file);

	return c && c->socket;
}

static long do_sendto(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_one(&s, r->rsi, r->rdx);

	if (!is_socket(e))
		return -ENOTSOCK;
	if ((int)r->r10 & MSG_OOB)
		return -EOPNOTSUPP;
	return ret < 0 ? ret : move(t, (int)r->rdi, e, &s, true, (int)r->r10);
}

static long do_recvfrom(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	socklen_t none = 0;
	struct net_span s;
	long ret = net_span_one(&s, r->rsi, r->rdx);

	if (!is_socket(e))
		return -ENOTSOCK;
	if ((int)r->r10 & (MSG_OOB | MSG_TRUNC))
		return -EOPNOTSUPP;
	if (ret == 0)
		ret = move(t, (int)r->rdi, e, &s, false, (int)r->r10);
	if (ret >= 0 && r->r8 && r->r9 && user_copy((void *)r->r9, &none, sizeof(none)) < 0)
		return -EFAULT;
	return ret;
}

/* Bytes only: no control data in, none out. */
static long message(struct thread *t, int fd, const struct fd_entry *e, uint64_t at, int flags, bool sends)
{
	struct msghdr h;
	struct net_span s;
	long ret;

	if (!is_socket(e))
		return -ENOTSOCK;
	if (user_copy(&h, (const void *)at, sizeof(h)) < 0)
		return -EFAULT;
	ret = net_span_iov(&s, (uint64_t)h.msg_iov, h.msg_iovlen);
	if (ret < 0)
		return ret;
	if ((flags & MSG_OOB) || (sends && h.msg_control && h.msg_controllen >= sizeof(struct cmsghdr)))
		return -EOPNOTSUPP;
	ret = move(t, fd, e, &s, sends, flags);
	if (ret < 0 || sends)
		return ret;
	h.msg_namelen = 0;
	h.msg_controllen = 0;
	h.msg_flags = 0;
	return user_copy((void *)at, &h, sizeof(h)) < 0 ? -EFAULT : ret;
}

static long do_message(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return message(t, (int)r->rdi, e, r->rsi, (int)r->rdx, r->nr == SYS_sendmsg);
}

static long do_messages(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	size_t n = (uint32_t)r->rdx < MESSAGES_MAX ? (uint32_t)r->rdx : MESSAGES_MAX;
	bool sends = r->nr == SYS_sendmmsg;

	if (!sends && r->r8)
		return -EOPNOTSUPP; /* with a timeout: for datagrams */
	for (size_t i = 0; i < n; i++) {
		uint64_t at = r->rsi + i * sizeof(struct mmsghdr);
		int flags = (int)r->r10 & ~MSG_WAITFORONE;
		long ret = message(t, (int)r->rdi, e, at,
			flags | (i && ((int)r->r10 & MSG_WAITFORONE) ? MSG_DONTWAIT : 0), sends);
		uint32_t len = (uint32_t)ret;

		if (ret >= 0 &&
			user_copy((void *)(at + offsetof(struct mmsghdr, msg_len)), &len, sizeof(len)) < 0)
			ret = -EFAULT;
		if (ret < 0 || (ret == 0 && !sends))
			return i ? (long)i : ret;
	}
	return (long)n;
}

static long do_shutdown(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct console_channel *c = console_channel(e->file);

	if (!is_socket(e))
		return c ? -ENOTSOCK : -EACCES;
	if (c->out && (r->rsi == SHUT_WR || r->rsi == SHUT_RDWR))
		console_say_end((int)r->rdi, c);
	return pass(r);
}

/* The relay's is one of packets: that is not what the program was given. */
static long do_getsockopt(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	int type = SOCK_STREAM;
	long ret = pass(r);

	if (!is_socket(e))
		return -ENOTSOCK;
	if (ret < 0 || (int)r->rsi != SOL_SOCKET || (int)r->rdx != SO_TYPE)
		return ret;
	return user_copy((void *)r->r10, &type, sizeof(type));
}

/* --- files into it --- */

static long read_part(struct thread *t, int fd, uint8_t *p, size_t n, uint64_t off)
{
	struct regs r = {.nr = SYS_pread64, .rdi = (uint64_t)fd, .rsi = (uint64_t)p, .rdx = n, .r10 = off};

	return fd_is_shielded(t->proc, (uint64_t)fd) ? fd_call(&r, t, fd) : host_pread(fd, p, n, (off_t)off);
}

static long own_offset(struct thread *t, int fd, int64_t off, int whence)
{
	struct regs r = {.nr = SYS_lseek, .rdi = (uint64_t)fd, .rsi = (uint64_t)off, .rdx = (uint64_t)whence};

	return fd_is_shielded(t->proc, (uint64_t)fd) ? fd_call(&r, t, fd)
						     : host_call3(SYS_lseek, fd, off, whence);
}

static long send_parts(struct regs *r, struct thread *t, const struct fd_entry *e, uint64_t *off)
{
	size_t count = r->r10 < (uint64_t)RW_TOTAL_MAX ? r->r10 : (size_t)RW_TOTAL_MAX, total = 0;
	uint8_t part[SENDFILE_STEP];
	long ret = 0;

	while (total < count) {
		size_t n = count - total < sizeof(part) ? count - total : sizeof(part);
		struct net_span s;

		ret = read_part(t, (int)r->rsi, part, n, *off);
		if (ret <= 0)
			break;
		n = (size_t)ret;
		ret = net_span_one(&s, (uint64_t)part, n);
		if (ret == 0)
			ret = move(t, (int)r->rdi, e, &s, true, 0);
		if (ret <= 0)
			break;
		total += (size_t)ret;
		*off += (uint64_t)ret;
		if ((size_t)ret < n)
			break;
	}
	secret_wipe(part, sizeof(part));
	return total ? (long)total : ret;
}

/* Out of one: EINVAL, as from a pipe. */
static long do_sendfile(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct fd_entry to = fd_load(t->proc, r->rdi);
	uint64_t off = 0;
	long at, ret;

	if (to.kind != FD_CONSOLE)
		return -EINVAL;
	if (r->rdx) {
		if (user_copy(&off, (const void *)r->rdx, sizeof(off)) < 0)
			return -EFAULT;
	} else {
		at = own_offset(t, (int)r->rsi, 0, SEEK_CUR);
		if (at < 0)
			return at == -ESPIPE ? -EINVAL : at;
		off = (uint64_t)at;
	}
	if ((int64_t)off < 0)
		return -EINVAL;
	ret = send_parts(r, t, &to, &off);
	if (ret <= 0)
		return ret;
	if (!r->rdx)
		own_offset(t, (int)r->rsi, (int64_t)off, SEEK_SET);
	else if (user_copy((void *)r->rdx, &off, sizeof(off)) < 0)
		return -EFAULT;
	return ret;
}

/* Kernel to kernel there are sealed bytes only. EINVAL makes programs go on with read and write. */
static long do_splice(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -EINVAL;
}

static long do_vmsplice(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -EBADF;
}

static long do_mmap(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -ENODEV;
}

static long do_truncate(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -EINVAL;
}

/* --- what it is --- */

static long do_fstat(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct stat st;
	long ret = host_fstat((int)r->rdi, &st);

	if (ret < 0)
		return ret;
	console_hide_kind(&st);
	return user_copy((void *)r->rsi, &st, sizeof(st));
}

/* No terminal. */
static long do_ioctl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct console_channel *c = console_channel(e->file);
	long ready;
	int value;

	switch ((uint32_t)r->rsi) {
	case FIONREAD:
		ready = c && c->in ? console_readable((int)r->rdi, c) : 0;
		value = (int)ready;
		return ready < 0 ? ready : user_copy((void *)r->rdx, &value, sizeof(value));
	case FIONBIO:
	case FIOASYNC:
	case FIOCLEX:
	case FIONCLEX:
		return pass(r);
	default:
		return -ENOTTY;
	}
}

static long do_fcntl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	long ret = pass(r);

	if ((int)r->rsi != F_GETFL || ret < 0)
		return ret;
	return (ret & ~(long)O_ACCMODE) | (e->flags & O_ACCMODE);
}

static long do_other(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return pass(r);
}

const struct fd_ops fd_ops_console = {
	.call =
		{
			[SYS_read] = do_one,
			[SYS_write] = do_one,
			[SYS_readv] = do_vector,
			[SYS_writev] = do_vector,
			[SYS_preadv2] = do_vector2,
			[SYS_pwritev2] = do_vector2,
			[SYS_pread64] = do_no_position,
			[SYS_pwrite64] = do_no_position,
			[SYS_preadv] = do_no_position,
			[SYS_pwritev] = do_no_position,
			[SYS_lseek] = do_no_position,
			[SYS_fallocate] = do_no_position,
			[SYS_fadvise64] = do_no_position,
			[SYS_ftruncate] = do_truncate,
			[SYS_sync_file_range] = do_no_position,
			[SYS_sendto] = do_sendto,
			[SYS_recvfrom] = do_recvfrom,
			[SYS_sendmsg] = do_message,
			[SYS_recvmsg] = do_message,
			[SYS_sendmmsg] = do_messages,
			[SYS_recvmmsg] = do_messages,
			[SYS_shutdown] = do_shutdown,
			[SYS_getsockopt] = do_getsockopt,
			[SYS_sendfile] = do_sendfile,
			[SYS_splice] = do_splice,
			[SYS_tee] = do_splice,
			[SYS_copy_file_range] = do_splice,
			[SYS_vmsplice] = do_vmsplice,
			[SYS_mmap] = do_mmap,
			[SYS_fstat] = do_fstat,
			[SYS_ioctl] = do_ioctl,
			[SYS_fcntl] = do_fcntl,
		},
	.other = do_other,
	.entered = console_entered,
	.left = console_left,
};
