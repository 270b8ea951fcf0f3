/*
 * net_io: what system calls do to a stream socket of a program that has rules. One that is not protected (yet) is the kernel's.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/net.h"
#include "runtime/shields.h"
#include "runtime/sys/net.h"
#include "runtime/sys/table.h"

#define SENDFILE_STEP 65536
#define RW_TOTAL_MAX 0x7ffff000L
#define MESSAGES_MAX 1024 /* of sendmmsg, recvmmsg: the kernel's UIO_MAXIOV */
#define CONTROL_MAX 64
#define RIGHTS_MAX 253

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

/* Does the kernel serve it alone? */
static bool plain(const struct fd_entry *e)
{
	uint32_t state = __atomic_load_n(&net_conn_of(e->file)->state, __ATOMIC_ACQUIRE);

	return state == NET_FRESH || state == NET_PLAIN || state == NET_FREE;
}

static long do_read(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_one(&s, r->rsi, r->rdx);

	return plain(e) ? pass(r) : ret < 0 ? ret : net_read(t, (int)r->rdi, &s, 0);
}

static long do_write(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_one(&s, r->rsi, r->rdx);

	return plain(e) ? pass(r) : ret < 0 ? ret : net_write(t, (int)r->rdi, &s, 0);
}

static long do_readv(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_iov(&s, r->rsi, r->rdx);

	return plain(e) ? pass(r) : ret < 0 ? ret : net_read(t, (int)r->rdi, &s, 0);
}

static long do_writev(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_span s;
	int ret = net_span_iov(&s, r->rsi, r->rdx);

	return plain(e) ? pass(r) : ret < 0 ? ret : net_write(t, (int)r->rdi, &s, 0);
}

/* preadv2 and pwritev2 at offset -1 are readv and writev; other positions a socket does not have. */
static long do_positioned(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	if (plain(e))
		return pass(r);
	if (r->nr != SYS_preadv2 && r->nr != SYS_pwritev2)
		return -ESPIPE;
	if ((int64_t)r->r10 != -1)
		return -ESPIPE;
	if (r->r9)
		return -EOPNOTSUPP;
	return r->nr == SYS_preadv2 ? do_readv(r, t, e) : do_writev(r, t, e);
}

static long do_sendto(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	int flags = (int)r->r10;
	struct net_span s;
	int ret = net_span_one(&s, r->rsi, r->rdx);

	if (flags & MSG_FASTOPEN)
		return -EOPNOTSUPP; /* it would connect past connect() */
	return plain(e) ? pass(r) : ret < 0 ? ret : net_write(t, (int)r->rdi, &s, flags);
}

static long do_recvfrom(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	socklen_t none = 0;
	struct net_span s;
	long ret;

	if (plain(e))
		return pass(r);
	ret = net_span_one(&s, r->rsi, r->rdx);
	if (ret == 0 && ((int)r->r10 & MSG_TRUNC))
		return -EOPNOTSUPP; /* discards: nobody does it to a stream but this shield */
	if (ret == 0)
		ret = net_read(t, (int)r->rdi, &s, (int)r->r10);
	if (ret >= 0 && r->r8 && r->r9 && user_copy((void *)r->r9, &none, sizeof(none)) < 0)
		return -EFAULT;
	return ret;
}

/* --- messages --- */

static int take_header(uint64_t at, struct msghdr *ret, struct net_span *s)
{
	if (user_copy(ret, (const void *)at, sizeof(*ret)) < 0)
		return -EFAULT;
	return net_span_iov(s, (uint64_t)ret->msg_iov, ret->msg_iovlen);
}

static long send_message(struct thread *t, int fd, uint64_t at, int flags)
{
	struct msghdr h;
	struct net_span s;
	int ret = take_header(at, &h, &s);

	if (ret < 0)
		return ret;
	if (flags & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	if (h.msg_control && h.msg_controllen >= sizeof(struct cmsghdr)) {
		net_log(t->proc,
			"control data on a protected connection refused: seen %zu bytes, wanted none: "
			"records "
			"carry bytes only",
			(size_t)h.msg_controllen);
		return -EOPNOTSUPP;
	}
	return net_write(t, fd, &s, flags);
}

/* No name, no control data, no flags, as from a stream. */
static long receive_message(struct thread *t, int fd, uint64_t at, int flags)
{
	struct msghdr h;
	struct net_span s;
	long ret = take_header(at, &h, &s);

	if (ret == 0)
		ret = net_read(t, fd, &s, flags);
	if (ret < 0)
		return ret;
	h.msg_namelen = 0;
	h.msg_controllen = 0;
	h.msg_flags = 0;
	return user_copy((void *)at, &h, sizeof(h)) < 0 ? -EFAULT : ret;
}

static long do_recvmsg(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return plain(e) ? sys_recvmsg_plain(r, t) : receive_message(t, (int)r->rdi, r->rsi, (int)r->rdx);
}

typedef long (*message_fn)(struct thread *t, int fd, uint64_t at, int flags);

/* vlen messages; what was done before an error counts. */
static long many(struct regs *r, struct thread *t, message_fn f)
{
	size_t n = (uint32_t)r->rdx < MESSAGES_MAX ? (uint32_t)r->rdx : MESSAGES_MAX;
	int flags = (int)r->r10;
	long ret = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t at = r->rsi + i * sizeof(struct mmsghdr);
		uint32_t len;

		ret = f(t, (int)r->rdi, at, flags & ~MSG_WAITFORONE);
		len = (uint32_t)ret;
		if (ret >= 0 &&
			user_copy((void *)(at + offsetof(struct mmsghdr, msg_len)), &len, sizeof(len)) < 0)
			ret = -EFAULT;
		if (ret < 0 || (ret == 0 && f == receive_message))
			return i ? (long)i : ret;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return (long)n;
}

static long do_recvmmsg(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	if (plain(e))
		return sys_recvmmsg_plain(r, t);
	if (r->r8)
		return -EOPNOTSUPP; /* with a timeout: for datagrams */
	return many(r, t, receive_message);
}

/* Sockets on their way to other processes: they are not at their end when this one closes them. */
static void mark_rights(struct thread *t, uint64_t msghdr)
{
	struct msghdr h;
	struct cmsghdr c;
	uint64_t at;
	size_t left;

	if (user_copy(&h, (const void *)msghdr, sizeof(h)) < 0 || !h.msg_control)
		return;
	at = (uint64_t)h.msg_control;
	left = h.msg_controllen;
	for (int i = 0; i < CONTROL_MAX && left >= sizeof(c); i++) {
		if (user_copy(&c, (const void *)at, sizeof(c)) < 0 || c.cmsg_len < sizeof(c) ||
			c.cmsg_len > left)
			return;
		for (size_t k = 0; c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS &&
				   k < RIGHTS_MAX && sizeof(c) + (k + 1) * sizeof(int) <= c.cmsg_len;
			k++) {
			struct fd_entry e;
			int fd;

			if (user_copy(&fd, (const void *)(at + sizeof(c) + k * sizeof(int)), sizeof(fd)) < 0)
				return;
			e = fd_load(t->proc, (uint32_t)fd);
			if (e.kind == FD_SOCKET)
				net_conn_of(e.file)->in_transit = true;
		}
		if (CMSG_ALIGN(c.cmsg_len) >= left)
			return;
		at += CMSG_ALIGN(c.cmsg_len);
		left -= CMSG_ALIGN(c.cmsg_len);
	}
}

long sys_sendmsg(struct regs *r, struct thread *t)
{
	struct fd_entry e = fd_load(t->proc, r->rdi);

	if (e.kind == FD_CONSOLE)
		return fd_call(r, t, (int)r->rdi);
	if (e.kind == FD_SOCKET && !plain(&e))
		return send_message(t, (int)r->rdi, r->rsi, (int)r->rdx);
	if ((int)r->rdx & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	mark_rights(t, r->rsi);
	return pass(r);
}

long sys_sendmmsg(struct regs *r, struct thread *t)
{
	struct fd_entry e = fd_load(t->proc, r->rdi);

	if (e.kind == FD_CONSOLE)
		return fd_call(r, t, (int)r->rdi);
	if (e.kind == FD_SOCKET && !plain(&e))
		return many(r, t, send_message);
	if ((int)r->r10 & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < (uint32_t)r->rdx && i < MESSAGES_MAX; i++)
		mark_rights(t, r->rsi + i * sizeof(struct mmsghdr));
	return pass(r);
}

/* --- files into sockets --- */

/* The next part of the file, wherever it is: on the host, or served by another shield. */
static long read_part(struct thread *t, int fd, uint8_t *p, size_t n, uint64_t off)
{
	struct regs r = {.nr = SYS_pread64, .rdi = (uint64_t)fd, .rsi = (uint64_t)p, .rdx = n, .r10 = off};

	if (fd_is_shielded(t->proc, (uint64_t)fd))
		return fd_call(&r, t, fd);
	return host_pread(fd, p, n, (off_t)off);
}

static long own_offset(struct thread *t, int fd, int64_t off, int whence)
{
	struct regs r = {.nr = SYS_lseek, .rdi = (uint64_t)fd, .rsi = (uint64_t)off, .rdx = (uint64_t)whence};

	if (fd_is_shielded(t->proc, (uint64_t)fd))
		return fd_call(&r, t, fd);
	return host_call3(SYS_lseek, fd, off, whence);
}

static long send_parts(struct thread *t, int to, int from, uint64_t *off, size_t count)
{
	uint8_t part[SENDFILE_STEP];
	size_t total = 0, used = 0;
	long ret = 0;

	while (total < count) {
		size_t n = count - total < sizeof(part) ? count - total : sizeof(part);

		ret = read_part(t, from, part, n, *off);
		if (ret <= 0)
			break;
		used = (size_t)ret > used ? (size_t)ret : used;
		ret = net_write_bytes(t, to, part, (size_t)ret, 0);
		if (ret <= 0)
			break;
		total += (size_t)ret;
		*off += (uint64_t)ret;
		if ((size_t)ret < n)
			break;
	}
	secret_wipe(part, used);
	return total ? (long)total : ret;
}

static long do_sendfile(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	size_t count = r->r10 < (uint64_t)RW_TOTAL_MAX ? r->r10 : (size_t)RW_TOTAL_MAX;
	int from = (int)r->rsi;
	uint64_t off = 0;
	long at, ret;

	if (!fd_is_shielded(t->proc, r->rdi))
		return -EINVAL; /* out of a socket, as natively */
	if (plain(e))
		return fd_is_shielded(t->proc, r->rsi) ? fd_call(r, t, from) : pass(r);
	if (r->rdx) {
		if (user_copy(&off, (const void *)r->rdx, sizeof(off)) < 0)
			return -EFAULT;
	} else {
		at = own_offset(t, from, 0, SEEK_CUR);
		if (at < 0)
			return at == -ESPIPE ? -EINVAL : at;
		off = (uint64_t)at;
	}
	if ((int64_t)off < 0)
		return -EINVAL;
	ret = send_parts(t, (int)r->rdi, from, &off, count);
	if (ret <= 0)
		return ret;
	if (!r->rdx)
		own_offset(t, from, (int64_t)off, SEEK_SET);
	else if (user_copy((void *)r->rdx, &off, sizeof(off)) < 0)
		return -EFAULT;
	return ret;
}

/* EINVAL makes programs go on with read and write. */
static long do_splice(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return plain(e) ? pass(r) : -EINVAL;
}

static long do_ioctl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	long ready;
	int value;

	if (plain(e) || ((uint32_t)r->rsi != FIONREAD && (uint32_t)r->rsi != 0x8905 /* SIOCATMARK */))
		return pass(r);
	ready = (uint32_t)r->rsi == FIONREAD ? net_readable(t, (int)r->rdi) : 0;
	value = (int)ready;
	return ready < 0 ? ready : user_copy((void *)r->rdx, &value, sizeof(value));
}

static long do_other(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return pass(r);
}

const struct fd_ops fd_ops_socket = {
	.call =
		{
			[SYS_read] = do_read,
			[SYS_write] = do_write,
			[SYS_readv] = do_readv,
			[SYS_writev] = do_writev,
			[SYS_pread64] = do_positioned,
			[SYS_pwrite64] = do_positioned,
			[SYS_preadv] = do_positioned,
			[SYS_pwritev] = do_positioned,
			[SYS_preadv2] = do_positioned,
			[SYS_pwritev2] = do_positioned,
			[SYS_sendto] = do_sendto,
			[SYS_recvfrom] = do_recvfrom,
			[SYS_recvmsg] = do_recvmsg,
			[SYS_recvmmsg] = do_recvmmsg,
			[SYS_sendfile] = do_sendfile,
			[SYS_splice] = do_splice,
			[SYS_ioctl] = do_ioctl,
			[SYS_shutdown] = net_shutdown,
			[SYS_getsockopt] = net_getsockopt,
			[SYS_setsockopt] = net_setsockopt,
			[SYS_epoll_ctl] = net_epoll_ctl,
		},
	.other = do_other,
	.entered = net_socket_entered,
	.left = net_socket_left,
};
