/* net_stream: reading an open connection. Ciphertext of what the program has not had stays in the kernel's queue (net.h). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/net.h"

#define WINDOW (4 * TLS_RECORD_MAX) /* bytes looked at */
#define RCVBUF_ROOM (512 * 1024)

/* --- the socket --- */

static void set_lowat(struct net_conn *c, int fd, uint32_t n)
{
	if (c->is_unix || c->lowat == n)
		return;
	if (!host_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, (long)&n, sizeof(n)))
		c->lowat = n;
}

/* A record waits in the queue until it is whole. What was taken out before still counts there, by the segment, and a peer does not send segments that
 * the window does not hold: the buffer has to be a few segments larger than a record, or both would wait. A low-water mark enlarges it and leaves it
 * to the kernel to enlarge it further, which SO_RCVBUF does not. */
void net_stream_start(struct net_conn *c, int fd)
{
	int size = 0;
	socklen_t n = sizeof(size);

	if (c->is_unix)
		return;
	set_lowat(c, fd, RCVBUF_ROOM);
	set_lowat(c, fd, TLS_RECORD_MIN);
	if (!host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVBUF, (long)&size, (long)&n) &&
		size < NET_RCVBUF_LEAST) {
		size = NET_RCVBUF_LEAST;
		host_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVBUF, (long)&size, sizeof(size));
	}
}

void net_plain_drop(struct net_local *l)
{
	if (l->plain)
		secret_wipe(l->plain, l->plain_len);
	free(l->plain);
	l->plain = NULL;
	l->plain_len = 0;
}

static bool peer_has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return host_call3(SYS_poll, (long)&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Take n bytes that have been looked at out of the queue. */
static int discard(const struct net_conn *c, int fd, size_t n)
{
	uint8_t scratch[4096];

	while (n > 0) {
		size_t part = c->is_unix && n > sizeof(scratch) ? sizeof(scratch) : n;
		long ret = host_call6(SYS_recvfrom, fd, (long)scratch, (long)part,
			MSG_DONTWAIT | (c->is_unix ? 0 : MSG_TRUNC), 0, 0);

		if (ret <= 0)
			return ret < 0 ? (int)ret : -ECONNRESET;
		n -= (size_t)ret;
	}
	return 0;
}

/* --- reading --- */

/* One look at the queue. */
struct look {
	struct net_local *l;
	struct net_conn *c;
	const struct process *p;
	int fd;
	struct net_span *to;
	bool keeps; /* MSG_PEEK */
	struct tls_half rx; /* as far as this look has come */
	size_t taken; /* bytes of records that can leave the queue */
	bool moved; /* some have left it */
	size_t need; /* bytes the queue must have for the next record, 0: unknown */
	bool stop;
	int err;
};

static void refuse(struct look *k, const char *why)
{
	struct net_place peer;
	char text[160] = "an unknown peer";

	if (net_place_of(k->fd, true, &peer) == 0)
		net_place_text(&peer, text, sizeof(text));
	net_log(k->p, "connection %s %s ended, rule %s_%s: %s", k->c->server ? "from" : "to", text,
		k->c->server ? "SERVER" : "CLIENT",
		k->c->rule < net_rules()->count ? net_rules()->rule[k->c->rule].name : "?", why);
	k->err = ECONNRESET;
	k->stop = true;
}

static void on_alert(struct look *k, const uint8_t *p, size_t n)
{
	char why[120] = "check alert: seen ", *end = why + strlen(why);
	const char *name = n == 2 ? tls_alert_text(p[1]) : "a malformed alert";

	if (n == 2 && (p[1] == TLS_CLOSE_NOTIFY || p[1] == 90 /* user_canceled */)) {
		k->c->ended = true; /* it stays in the queue: readable for good */
		k->stop = true;
		return;
	}
	memcpy(end, name, strlen(name));
	memcpy(end + strlen(name), ", wanted data", sizeof(", wanted data"));
	refuse(k, why);
}

/* What may come after the handshake: tickets, which are left alone, and new keys (RFC 8446, 4.6). */
static void on_handshake(struct look *k, const uint8_t *p, size_t n)
{
	while (n >= 4) {
		size_t len = (size_t)(p[1] << 16 | p[2] << 8 | p[3]);
		bool update = p[0] == 24 && len == 1 && n == 5 && p[4] <= 1;

		if (n - 4 < len || (p[0] != 4 && !update))
			break;
		if (update) {
			tls_half_update(&k->rx, k->c->keys.suite);
			k->c->update_due |= p[4];
		}
		p += 4 + len;
		n -= 4 + len;
	}
	if (n > 0)
		refuse(k, "check message: seen a handshake message that has no place here, wanted data");
}

/* Plaintext of the record that begins the rest of the queue; from is how much of it the program has had. */
static void on_data(struct look *k, const uint8_t *p, size_t n, size_t record, size_t from)
{
	size_t part = n - from < net_span_left(k->to) ? n - from : net_span_left(k->to);

	if (part > 0 && net_span_copy(k->to, (uint8_t *)p + from, part, true) < 0) {
		k->err = EFAULT;
		k->stop = true;
		return;
	}
	if (from + part == n) {
		k->taken += record;
		tls_half_advance(&k->rx);
		if (!k->keeps)
			k->c->consumed = 0;
		return;
	}
	k->stop = true;
	if (!k->keeps)
		k->c->consumed = (uint32_t)(from + part);
	if (k->l->plain && k->l->plain_seq == k->rx.seq && k->l->plain_epoch == k->rx.epoch)
		return;
	net_plain_drop(k->l);
	k->l->plain = malloc(n ? n : 1); /* without memory it is opened again next time */
	if (!k->l->plain)
		return;
	memcpy(k->l->plain, p, n);
	k->l->plain_len = n;
	k->l->plain_record = record;
	k->l->plain_seq = k->rx.seq;
	k->l->plain_epoch = k->rx.epoch;
}

/* One whole record. */
static void on_record(struct look *k, uint8_t *at, size_t n)
{
	bool first = k->taken == 0;
	enum tls_type type = TLS_DATA;
	long len;

	net_enter();
	len = tls_open(&k->l->rx, &k->rx, k->c->keys.suite, at, n, &type);
	net_leave();
	if (len == -ENOMEM) {
		k->err = ENOMEM;
		k->stop = true;
	} else if (len < 0) {
		refuse(k, "check record: seen one that does not open, wanted the next one of the peer");
	} else if (type == TLS_DATA) {
		on_data(k, at + TLS_HEADER, (size_t)len, n, first ? k->c->consumed : 0);
	} else if (type == TLS_ALERT) {
		on_alert(k, at + TLS_HEADER, (size_t)len);
	} else if (type == TLS_HANDSHAKE) {
		uint32_t epoch = k->rx.epoch;

		on_handshake(k, at + TLS_HEADER, (size_t)len);
		if (!k->stop && k->rx.epoch == epoch)
			tls_half_advance(&k->rx);
		k->taken += n;
	} else {
		refuse(k, "check type: seen a record of an unknown type, wanted data");
	}
}

static void look_at(struct look *k, uint8_t *p, size_t n)
{
	while (!k->stop && n > 0 && net_span_left(k->to) > 0) {
		long len = n >= TLS_HEADER ? tls_record_len(p) : TLS_RECORD_MIN;

		if (len < 0) {
			refuse(k, "check record: seen bytes that are no TLS, wanted a record");
			return;
		}
		k->need = (size_t)len;
		if (n < (size_t)len)
			return;
		on_record(k, p, (size_t)len);
		k->need = 0;
		p += len;
		n -= (size_t)len;
	}
}

/* What is opened already. True: more may be looked for. */
static bool from_plain(struct look *k)
{
	struct net_local *l = k->l;

	if (!l->plain)
		return true;
	if (k->keeps || l->plain_seq != k->rx.seq || l->plain_epoch != k->rx.epoch) {
		net_plain_drop(l); /* to be looked at with what follows; or another process has had it */
		return true;
	}
	on_data(k, l->plain, l->plain_len, l->plain_record, k->c->consumed);
	return !k->stop && net_span_left(k->to) > 0;
}

/* Take out what the program has had, and remember the keys as they are then. */
static void commit(struct look *k)
{
	if (k->keeps || k->taken == 0)
		return;
	if (discard(k->c, k->fd, k->taken) < 0 && !k->err)
		k->err = ECONNRESET;
	k->c->keys.rx = k->rx;
	k->taken = 0;
	k->moved = true;
	if (k->l->plain && (k->l->plain_seq != k->rx.seq || k->l->plain_epoch != k->rx.epoch))
		net_plain_drop(k->l);
}

/* The connection ends, or fails, within a record. */
static void cut_within(struct look *k)
{
	int err = 0;
	socklen_t n = sizeof(err);

	host_call5(SYS_getsockopt, k->fd, SOL_SOCKET, SO_ERROR, (long)&err, (long)&n);
	if (!err) {
		refuse(k, "check end: seen the end of the connection within a record, wanted close_notify");
		return;
	}
	k->c->cut = true;
	k->err = err;
	k->stop = true;
}

/* With rx: bytes, 0 at the end, -EAGAIN (*ret_need: how many the queue must have), -errno. */
static long read_now(const struct process *p, struct net_local *l, int fd, struct net_span *s, bool keeps,
	uint8_t *window, size_t size, size_t *ret_need)
{
	struct net_conn *c = net_conn(l);
	struct look k = {.l = l, .c = c, .p = p, .fd = fd, .to = s, .keeps = keeps, .rx = c->keys.rx};
	size_t before = s->done;
	long n = 1;

	/* A full window may have more behind it, and fewer bytes than were asked for mean to a program that there are no more (epoll(7)). */
	for (bool more = from_plain(&k); more;
		more = !keeps && !k.stop && n == (long)size && net_span_left(s) > 0) {
		commit(&k);
		k.need = 0;
		n = host_call6(SYS_recvfrom, fd, (long)window, (long)size, MSG_PEEK | MSG_DONTWAIT, 0, 0);
		if (n > 0)
			look_at(&k, window, (size_t)n);
		if (n > 0)
			secret_wipe(window, (size_t)n);
	}
	commit(&k);
	if (k.need && n > 0 && s->done == before && !k.stop && peer_has_ended(fd))
		cut_within(&k);
	if (n < 0 && n != -EAGAIN)
		c->cut = true; /* which the kernel tells once, and then says it is the end */
	if (n == 0 && s->done == before && !c->ended && !c->read_shut && !c->cut)
		refuse(&k, "check end: seen the end of the connection without close_notify, wanted it (it "
			   "may have been cut)");
	secret_wipe(&k.rx, sizeof(k.rx));
	*ret_need = k.need;
	/* Where a part of a record was read, the mark is right for that record unless it was set for one before it, which may have been longer. */
	if (!keeps && (!k.stop || k.moved))
		set_lowat(c, fd, !k.stop && k.need > TLS_RECORD_MIN ? (uint32_t)k.need : TLS_RECORD_MIN);
	if (k.err == ECONNRESET)
		net_fail(p, l, fd, ECONNRESET);
	if (s->done > before)
		return (long)(s->done - before);
	if (k.err) {
		c->err = k.err == ECONNRESET ? 0 : c->err; /* told here */
		return -k.err;
	}
	if (n < 0)
		return n;
	if (c->cut && !c->ended && !c->read_shut)
		return -ECONNRESET;
	return c->ended || n == 0 ? 0 : -EAGAIN;
}

long net_failed_once(struct net_conn *c, long then)
{
	int err = __atomic_exchange_n(&c->err, 0, __ATOMIC_ACQ_REL);

	return err ? -err : then;
}

/* What failed is no end, however often and by whomever it is read: it would pass for the end of the stream. */
static long read_failed(struct net_conn *c)
{
	return net_failed_once(c, c->ended || c->read_shut ? 0 : -ECONNRESET);
}

/* Wait until the queue has need bytes. 0, or the kernel's word. */
static long wait_readable(
	struct thread *t, struct net_local *l, int fd, size_t need, uint8_t *window, size_t *seen)
{
	struct timeval limit = {0};
	socklen_t size = sizeof(limit);
	long n;

	if (need == 0)
		need = 1;
	if (__atomic_load_n(&net_shaking, __ATOMIC_ACQUIRE)) {
		host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&limit, (long)&size);
		n = net_wait(t, fd, POLLIN,
			limit.tv_sec || limit.tv_usec ? limit.tv_sec * 1000 + limit.tv_usec / 1000 : -1);
		return n == 0 ? -EAGAIN : n < 0 ? n : 0;
	}
	n = scone_safe_call6(SYS_recvfrom, fd, (long)window, (long)need, MSG_PEEK | MSG_WAITALL, 0, 0);
	if (n < 0)
		return n;
	if ((size_t)n >= need || n == 0)
		return 0;
	if (t->pending)
		return net_interrupted(t);
	host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&limit, (long)&size);
	if ((limit.tv_sec || limit.tv_usec) && *seen == (size_t)n && !peer_has_ended(fd))
		return -EAGAIN;
	*seen = (size_t)n;
	return 0;
}

static long read_open(struct thread *t, struct net_local *l, int fd, struct net_span *s, int flags)
{
	uint8_t window[WINDOW];
	struct net_conn *c = net_conn(l);
	bool keeps = flags & MSG_PEEK, all = (flags & MSG_WAITALL) && !keeps;
	size_t size = net_span_left(s) <= TLS_PLAIN_MAX ? TLS_RECORD_MAX : sizeof(window), seen = 0, need = 0;

	for (;;) {
		long ret;

		if (net_lock(&c->rx))
			net_fail(t->proc, l, fd, ECONNRESET);
		if (c->generation != l->generation)
			ret = -EBADF;
		else if (c->state != NET_OPEN)
			ret = read_failed(c);
		else
			ret = read_now(t->proc, l, fd, s, keeps, window, size, &need);
		net_unlock(&c->rx);
		if (ret > 0 && all && net_span_left(s) > 0)
			continue;
		if (ret != -EAGAIN)
			return s->done ? (long)s->done : ret;
		if ((s->done && !all) || (flags & MSG_DONTWAIT) || net_nonblocking(fd))
			return s->done ? (long)s->done : -EAGAIN;
		ret = wait_readable(t, l, fd, need, window, &seen);
		if (ret < 0)
			return s->done ? (long)s->done : ret;
	}
}

long net_read(struct thread *t, int fd, struct net_span *s, int flags)
{
	struct net_local *l = net_get(t->proc, fd);
	long ret;

	if (!l)
		return -EBADF;
	ret = flags & MSG_OOB ? -EINVAL : net_await_open(t, l, fd, flags & MSG_DONTWAIT);
	if (ret == 0 && net_conn(l)->state == NET_FAILED)
		ret = read_failed(net_conn(l));
	else if (ret == 0 && s->len == 0)
		ret = 0;
	else if (ret == 0)
		ret = read_open(t, l, fd, s, flags);
	net_put(l);
	return ret;
}

/* Of whole records in n bytes of the queue, with rx. */
static size_t plain_in(struct net_local *l, uint8_t *p, size_t n)
{
	struct net_conn *c = net_conn(l);
	struct tls_half rx = c->keys.rx;
	size_t total = 0;

	while (n >= TLS_HEADER) {
		long len = tls_record_len(p), plain;
		enum tls_type type;

		if (len < 0 || (size_t)len > n)
			break;
		net_enter();
		plain = tls_open(&l->rx, &rx, c->keys.suite, p, (size_t)len, &type);
		net_leave();
		if (plain < 0 || type != TLS_DATA)
			break;
		total += (size_t)plain;
		tls_half_advance(&rx);
		p += len;
		n -= (size_t)len;
	}
	secret_wipe(&rx, sizeof(rx));
	return total - (total < c->consumed ? total : c->consumed);
}

/* Counts without having: every record is opened, none is given away. It has to be all of the queue: a program that has read what was counted waits for
 * more to come. */
long net_readable(struct thread *t, int fd)
{
	struct net_local *l = net_get(t->proc, fd);
	uint8_t *queue = NULL;
	size_t total = 0;
	int size = 0;
	long n;

	if (!l)
		return -EBADF;
	if (net_lock(&net_conn(l)->rx))
		net_fail(t->proc, l, fd, ECONNRESET);
	if (net_conn(l)->state == NET_OPEN && !host_call3(SYS_ioctl, fd, FIONREAD, (long)&size) && size > 0)
		queue = malloc((size_t)size);
	if (queue) {
		n = host_call6(SYS_recvfrom, fd, (long)queue, size, MSG_PEEK | MSG_DONTWAIT, 0, 0);
		total = n > 0 ? plain_in(l, queue, (size_t)n) : 0;
		secret_wipe(queue, (size_t)size);
		free(queue);
	}
	net_unlock(&net_conn(l)->rx);
	net_put(l);
	return (long)total;
}

/* What may lie unread in the queue without being the program's: the peer's close_notify, and messages of the protocol. *ret_end: bytes of them. */
static bool only_protocol(struct net_local *l, uint8_t *p, size_t n, size_t *ret_end)
{
	struct net_conn *c = net_conn(l);
	struct tls_half rx = c->keys.rx;
	size_t at = 0;

	while (n - at >= TLS_HEADER) {
		long len = tls_record_len(p + at), plain;
		enum tls_type type;

		if (len < 0 || (size_t)len > n - at)
			break;
		net_enter();
		plain = tls_open(&l->rx, &rx, c->keys.suite, p + at, (size_t)len, &type);
		net_leave();
		if (plain < 0 || type == TLS_DATA)
			break;
		tls_half_advance(&rx);
		at += (size_t)len;
	}
	secret_wipe(&rx, sizeof(rx));
	secret_wipe(p, n);
	*ret_end = at;
	return at == n;
}

bool net_all_read(struct net_local *l, int fd)
{
	uint8_t window[2048];
	struct net_conn *c = net_conn(l);
	size_t end = 0;
	bool all;
	long n;

	n = host_call6(SYS_recvfrom, fd, (long)window, sizeof(window), MSG_PEEK | MSG_DONTWAIT, 0, 0);
	if (n <= 0)
		return true;
	if (!net_trylock(&c->rx))
		return false;
	/* Out with it, or the kernel would reset the connection, and with it what is still on its way to the peer. The keys stay behind: this is the
	 * end. */
	all = only_protocol(l, window, (size_t)n, &end) && discard(c, fd, end) == 0;
	net_unlock(&c->rx);
	return all;
}
