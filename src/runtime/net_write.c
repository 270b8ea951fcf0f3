/*
 * net_write: writing to an open connection. A record goes out whole: how much the socket takes is asked before it is sealed. Where that was not
 * enough after all, the socket's buffer is enlarged for the rest.
 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/net.h"

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define BATCH 4 /* records sent at once */
#define BATCH_BYTES (BATCH * (TLS_PLAIN_MAX + TLS_OVERHEAD))
#define UNASKED 1024 /* so few bytes are sent without asking each time how much fits */
#define SKB_COST 2560 /* what one buffer of the kernel counts besides its bytes, at most */
#define ONE_SKB (UNASKED + SKB_COST) /* what a record of UNASKED bytes takes at most */
#define SNDBUF_ANYBODY                                                                                       \
	212992 /* what SO_SNDBUF reaches for a process without privileges, as kernels are set up: it is given that twice */
#define REST_PATIENCE_MS 30000 /* for the rest of a record, which has to go */

/* Its answer also makes the kernel tell, by poll and epoll, when there is room again. */
static bool writable(int fd)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};

	return host_call3(SYS_poll, (long)&out, 1, 0) > 0;
}

static bool meminfo(int fd, uint32_t ret[SK_MEMINFO_VARS])
{
	socklen_t size = SK_MEMINFO_VARS * sizeof(*ret);

	memset(ret, 0, size);
	return !host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_MEMINFO, (long)ret, (long)&size);
}

/* How many bytes of plaintext the socket takes in one go, about; 0: none, not even a small record whole. A process that both writes and reads a
 * connection could never get rid of the rest of one. */
static size_t room(struct net_conn *c, int fd, size_t n)
{
	uint32_t info[SK_MEMINFO_VARS];
	int64_t left, spare;

	if (n <= UNASKED && c->spare >= ONE_SKB) {
		c->spare -= (uint32_t)n + SKB_COST;
		return n;
	}
	c->spare = 0;
	if (!meminfo(fd, info))
		return n < UNASKED ? n : UNASKED;
	left = (int64_t)info[SK_MEMINFO_SNDBUF] -
	       (int64_t)info[c->is_unix ? SK_MEMINFO_WMEM_ALLOC : SK_MEMINFO_WMEM_QUEUED];
	if (!c->is_unix && left < ONE_SKB && !writable(fd))
		return 0;
	spare = left - 2 * (int64_t)n - ONE_SKB;
	left = left / 2 - 2048;
	left = left < UNASKED ? UNASKED : left;
	if (left < (int64_t)n)
		return (size_t)left;
	c->spare = spare > 0 ? (uint32_t)spare : 0;
	return n;
}

/* Room for n bytes in a buffer that is full; it is not made smaller, as SO_SNDBUF would where the kernel has enlarged it by itself. */
static void enlarge(int fd, size_t n)
{
	uint32_t info[SK_MEMINFO_VARS];
	uint32_t used;
	int size;

	if (!meminfo(fd, info))
		return;
	used = info[SK_MEMINFO_WMEM_QUEUED] > info[SK_MEMINFO_SNDBUF] ? info[SK_MEMINFO_WMEM_QUEUED]
								      : info[SK_MEMINFO_SNDBUF];
	size = (int)(used / 2 + n + ONE_SKB); /* the kernel doubles what it is told */
	if (host_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUFFORCE, (long)&size, sizeof(size)) &&
		info[SK_MEMINFO_SNDBUF] < SNDBUF_ANYBODY)
		host_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, (long)&size, sizeof(size));
}

/* The rest of a record of which a part is gone has to go, too. */
static int push_rest(int fd, const uint8_t *p, size_t n)
{
	enlarge(fd, n);
	while (n > 0) {
		long ret = host_call6(SYS_sendto, fd, (long)p, (long)n, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);

		if (ret == -EAGAIN) {
			struct pollfd out = {.fd = fd, .events = POLLOUT};

			ret = host_call3(SYS_poll, (long)&out, 1, REST_PATIENCE_MS);
			if (ret == 0)
				return -ETIMEDOUT;
			if (ret > 0 || ret == -EINTR)
				continue;
		}
		if (ret < 0)
			return (int)ret;
		p += ret;
		n -= (size_t)ret;
	}
	return 0;
}

/* Records one behind the other, sealed but not counted. */
struct batch {
	uint8_t bytes[BATCH_BYTES];
	size_t len[BATCH], plain[BATCH];
	size_t count, total;
};

static long fill(struct net_local *l, struct batch *b, struct net_span *s, size_t n)
{
	struct net_conn *c = net_conn(l);
	struct tls_half tx = c->keys.tx;
	long ret = 0;

	b->count = b->total = 0;
	while (n > 0 && b->count < BATCH) {
		size_t part = n < TLS_PLAIN_MAX ? n : TLS_PLAIN_MAX;
		uint8_t *at = b->bytes + b->total;

		ret = net_span_copy(s, at + TLS_HEADER, part, false);
		if (ret < 0)
			break;
		net_enter();
		ret = tls_seal(&l->tx, &tx, c->keys.suite, TLS_DATA, at, part);
		net_leave();
		if (ret < 0)
			break;
		b->len[b->count] = (size_t)ret;
		b->plain[b->count++] = part;
		b->total += (size_t)ret;
		tls_half_advance(&tx);
		n -= part;
	}
	secret_wipe(&tx, sizeof(tx));
	return b->count ? 0 : ret;
}

/* sent bytes of it are gone: how much of the program's that is. The rest of a record that is begun goes now. */
static long settle(struct net_local *l, int fd, struct batch *b, size_t sent)
{
	struct net_conn *c = net_conn(l);
	size_t at = 0, plain = 0;

	for (size_t i = 0; i < b->count && at < sent; i++) {
		size_t left = at + b->len[i] > sent ? at + b->len[i] - sent : 0;

		tls_half_advance(&c->keys.tx);
		plain += b->plain[i];
		at += b->len[i];
		if (left) {
			int ret = push_rest(fd, b->bytes + at - left, left);

			if (ret < 0)
				return ret;
		}
	}
	return (long)plain;
}

static long send_record(struct net_local *l, int fd, enum tls_type type, const uint8_t *p, size_t n)
{
	struct net_conn *c = net_conn(l);
	uint8_t at[TLS_OVERHEAD + 16];
	long len, ret;

	memcpy(at + TLS_HEADER, p, n);
	net_enter();
	len = tls_seal(&l->tx, &c->keys.tx, c->keys.suite, type, at, n);
	net_leave();
	if (len < 0)
		return len;
	ret = host_call6(SYS_sendto, fd, (long)at, len, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
	if (ret <= 0)
		return ret;
	tls_half_advance(&c->keys.tx);
	return ret < len ? push_rest(fd, at + ret, (size_t)(len - ret)) : 0;
}

/* New keys, where the peer asked for them or the old ones have served enough. */
static long renew_keys(struct net_local *l, int fd)
{
	static const uint8_t update[] = {24, 0, 0, 1, 0};
	struct net_conn *c = net_conn(l);
	long ret;

	if (!c->update_due && c->keys.tx.seq < TLS_KEY_RECORDS)
		return 0;
	ret = send_record(l, fd, TLS_HANDSHAKE, update, sizeof(update));
	if (ret < 0)
		return ret;
	c->update_due = false;
	tls_half_update(&c->keys.tx, c->keys.suite);
	return 0;
}

void net_say_end(struct net_local *l, int fd)
{
	static const uint8_t alert[] = {1, TLS_CLOSE_NOTIFY};
	struct net_conn *c = net_conn(l);

	if (!net_trylock(&c->tx))
		return; /* somebody writes: there is no end yet */
	if (!c->write_shut)
		send_record(l, fd, TLS_ALERT, alert, sizeof(alert));
	c->write_shut = true;
	net_unlock(&c->tx);
}

/* With tx: bytes that went, or -errno. */
static long write_once(struct thread *t, struct net_local *l, int fd, struct net_span *s, struct batch *b,
	int flags, bool waits)
{
	struct net_conn *c = net_conn(l);
	struct net_span before = *s;
	int how = flags & (MSG_NOSIGNAL | MSG_MORE);
	long ret = renew_keys(l, fd), plain;
	size_t n = net_span_left(s);

	if (waits)
		n = n < TLS_PLAIN_MAX ? n : TLS_PLAIN_MAX; /* the kernel waits until it has it */
	else
		n = room(c, fd, n);
	if (ret == 0)
		ret = n > 0 ? fill(l, b, s, n) : -EAGAIN;
	if (ret < 0)
		return ret;
	if (waits) /* interruptible, with the timeout of the socket */
		ret = scone_safe_call6(SYS_sendto, fd, (long)b->bytes, (long)b->len[0], how, 0, 0);
	else
		ret = host_call6(SYS_sendto, fd, (long)b->bytes, (long)b->total, MSG_DONTWAIT | how, 0, 0);
	if (ret <= 0) {
		*s = before;
		return ret;
	}
	plain = settle(l, fd, b, (size_t)ret);
	if (plain < 0) {
		net_fail(t->proc, l, fd, ECONNRESET);
		*s = before;
		return net_failed_once(c, -EPIPE);
	}
	if (s->done - before.done != (size_t)plain) {
		*s = before;
		net_span_skip(s, (size_t)plain);
	}
	return plain;
}

static long write_open(struct thread *t, struct net_local *l, int fd, struct net_span *s, int flags)
{
	struct net_conn *c = net_conn(l);
	bool waits = false, waited;
	struct batch b;
	long ret = 0;

	while (net_span_left(s) > 0) {
		if (net_lock(&c->tx))
			net_fail(t->proc, l, fd, ECONNRESET);
		if (c->generation != l->generation)
			ret = -EBADF;
		else if (c->state != NET_OPEN)
			ret = net_failed_once(c, -EPIPE);
		else
			ret = write_once(t, l, fd, s, &b, flags, waits);
		net_unlock(&c->tx);
		waited = waits;
		waits = false;
		if (ret > 0)
			continue;
		if (ret != -EAGAIN || waited || (flags & MSG_DONTWAIT) || net_nonblocking(fd))
			break;
		waits = true;
	}
	return s->done ? (long)s->done : ret;
}

long net_write(struct thread *t, int fd, struct net_span *s, int flags)
{
	struct net_local *l = net_get(t->proc, fd);
	long ret;

	if (!l)
		return -EBADF;
	ret = flags & MSG_OOB ? -EOPNOTSUPP : net_await_open(t, l, fd, flags & MSG_DONTWAIT);
	if (ret == 0 && net_conn(l)->state == NET_FAILED)
		ret = net_failed_once(net_conn(l), 1);
	if (ret == 1) /* the kernel says EPIPE, with its signal */
		ret = scone_safe_call6(SYS_sendto, fd, (long)"", 1, flags & MSG_NOSIGNAL, 0, 0);
	else if (ret == 0)
		ret = write_open(t, l, fd, s, flags);
	net_put(l);
	return ret;
}

long net_write_bytes(struct thread *t, int fd, const void *p, size_t n, int flags)
{
	struct net_span s;

	return net_span_one(&s, (uint64_t)p, n) < 0 ? -EINVAL : net_write(t, fd, &s, flags);
}
