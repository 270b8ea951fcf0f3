#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/net.h"
#include "runtime/shields.h"

#define WATCH_TAG 0x5c04eULL /* of the upper 20 bits; the next 20 are random, the lowest 24 the slot */
#define SLOT_BITS 24
#define SHAKING_MAX 1024 /* handshakes that others drive at the same time */
#define LOOK_AGAIN_MS 1000 /* another process may have gone on */
#define LOOK_SOON_MS 10 /* another thread may have */
#define CONNECT_PATIENCE_MS 500 /* so long a connect that blocks waits to tell of a refusal */
#define SHAKE_PATIENCE_S 20 /* a blocking call waits no longer for a handshake */
#define WAIT_MAX (SHAKING_MAX + 1)

_Static_assert(NET_CONNS <= 1 << SLOT_BITS, "a slot fits into a watch");

uint32_t net_shaking;
static struct net_local *shaking[SHAKING_MAX];
static struct net_lock shaking_lock, watch_lock;
static uint64_t watch_tag;

/* --- those under way --- */

void net_shake_begin(struct process *p, struct net_local *l, int fd)
{
	net_lock(&shaking_lock);
	if (l->shaking_fd < 0) {
		l->shaking_fd = fd;
		if (net_shaking < SHAKING_MAX)
			shaking[net_shaking] = l;
		__atomic_add_fetch(&net_shaking, 1, __ATOMIC_RELEASE);
	}
	net_unlock(&shaking_lock);
}

void net_shake_end(struct net_local *l)
{
	if (__atomic_load_n(&l->shaking_fd, __ATOMIC_ACQUIRE) < 0)
		return; /* as in every call on an open connection */
	net_lock(&shaking_lock);
	if (l->shaking_fd >= 0) {
		uint32_t n = net_shaking - 1;

		l->shaking_fd = -1;
		for (uint32_t i = 0; i <= n && i < SHAKING_MAX; i++) {
			if (shaking[i] != l)
				continue;
			shaking[i] = n < SHAKING_MAX ? shaking[n] : NULL;
			break;
		}
		__atomic_store_n(&net_shaking, n, __ATOMIC_RELEASE);
	}
	net_unlock(&shaking_lock);
}

void net_shake_fork(bool before)
{
	if (before) {
		net_lock(&shaking_lock);
		net_lock(&watch_lock);
		return;
	}
	/* In the child they are another thread's, whose number is not the caller's: they are freed by what they are. */
	__atomic_store_n(&shaking_lock.word, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&watch_lock.word, 0, __ATOMIC_RELEASE);
	host_call3(SYS_futex, (long)&shaking_lock.word, FUTEX_WAKE_PRIVATE, INT32_MAX);
	host_call3(SYS_futex, (long)&watch_lock.word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

/* Descriptors of those under way, for a look at them. */
static size_t list_shaking(int *ret, size_t max)
{
	size_t n = 0;

	net_lock(&shaking_lock);
	for (uint32_t i = 0; i < net_shaking && i < SHAKING_MAX && n < max; i++)
		if (shaking[i])
			ret[n++] = shaking[i]->shaking_fd;
	net_unlock(&shaking_lock);
	return n;
}

/* --- the kernel's side --- */

bool net_nonblocking(int fd)
{
	long flags = host_call2(SYS_fcntl, fd, F_GETFL);

	return !host_failed(flags) && (flags & O_NONBLOCK);
}

static short poll_now(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return host_call3(SYS_poll, (long)&p, 1, 0) > 0 ? p.revents : 0;
}

static long peek(int fd, void *p, size_t n)
{
	return host_call6(SYS_recvfrom, fd, (long)p, (long)n, MSG_PEEK | MSG_DONTWAIT, 0, 0);
}

static long send_now(int fd, const void *p, size_t n)
{
	return host_call6(SYS_sendto, fd, (long)p, (long)n, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
}

long net_interrupted(struct thread *t)
{
	for (uint32_t i = 0; i < t->pending; i++)
		if (!(t->proc->sigactions[t->pending_info[i].si_signo].flags & SA_RESTART))
			return -EINTR;
	return HOST_ERESTART;
}

/* --- one handshake --- */

static const char *rule_name(const struct net_conn *c)
{
	return c->rule < net_rules()->count ? net_rules()->rule[c->rule].name : "?";
}

static void log_refusal(const struct process *p, const struct net_conn *c, int fd, const char *why)
{
	struct net_place peer;
	char text[160] = "an unknown peer";

	if (net_place_of(fd, true, &peer) == 0)
		net_place_text(&peer, text, sizeof(text));
	net_log(p, "connection %s %s refused, rule %s_%s: %s", c->server ? "from" : "to", text,
		c->server ? "SERVER" : "CLIENT", rule_name(c), why);
}

void net_fail(const struct process *p, struct net_local *l, int fd, int err)
{
	struct net_conn *c = net_conn(l);

	secret_wipe(&c->keys, sizeof(c->keys));
	c->err = err;
	__atomic_store_n(&c->state, NET_FAILED, __ATOMIC_RELEASE);
	net_shake_end(l);
	host_call2(SYS_shutdown, fd, SHUT_RDWR);
	net_watch_apply(l, 0);
}

static void shake_failed(struct process *p, struct net_local *l, int fd, const char *why)
{
	struct net_conn *c = net_conn(l);

	log_refusal(p, c, fd, why);
	net_fail(p, l, fd, c->server ? ECONNRESET : ECONNREFUSED);
}

/* Send what waits. 0: all is gone; POLLOUT; -errno. */
static int flush_out(struct net_local *l, int fd)
{
	while (l->out.len > 0) {
		long n = send_now(fd, l->out.data, l->out.len);

		if (n == -EAGAIN)
			return POLLOUT;
		if (n < 0)
			return (int)n;
		memmove(l->out.data, l->out.data + n, l->out.len - (size_t)n);
		buf_truncate(&l->out, l->out.len - (size_t)n);
	}
	return 0;
}

static bool take_out(struct net_local *l, int fd, uint8_t *p, size_t n)
{
	return host_call6(SYS_recvfrom, fd, (long)p, (long)n, MSG_DONTWAIT, 0, 0) == (long)n;
}

static void shake_done(struct net_local *l, int fd, const struct tls_keys *keys)
{
	struct net_conn *c = net_conn(l);

	c->keys = *keys;
	net_stream_start(c, fd);
	tls_handshake_free(l->shake);
	l->shake = NULL;
	buf_free(&l->out);
	__atomic_store_n(&c->state, NET_OPEN, __ATOMIC_RELEASE);
	net_shake_end(l);
	net_watch_apply(l, 0);
}

/* The engine's step with a record of n bytes. False: it is over. */
static bool step(struct process *p, struct net_local *l, int fd, const uint8_t *record, size_t n)
{
	struct net_conn *c = net_conn(l);
	struct tls_keys keys;
	struct error err = {0};
	enum tls_step s;
	int sent;

	net_enter();
	s = tls_handshake_step(l->shake, record, n, &l->out, &keys, &err);
	net_leave();
	l->steps = ++c->steps;
	c->shaker = (uint32_t)host_call0(SYS_getpid);
	sent = flush_out(l, fd);
	if (s == TLS_STEP_DONE && sent == 0)
		shake_done(l, fd, &keys);
	else if (s == TLS_STEP_FAILED)
		shake_failed(p, l, fd, err.text);
	else if (sent < 0 || s == TLS_STEP_DONE)
		shake_failed(p, l, fd,
			"check transport: seen a connection that takes no more, wanted one that does");
	secret_wipe(&keys, sizeof(keys));
	return s == TLS_STEP_MORE && sent >= 0;
}

/* The engine's state: made at the first step, gone with an execve, or with another process that went further. */
static int ready_shake(struct process *p, struct net_local *l, int fd)
{
	struct net_conn *c = net_conn(l);
	struct timespec now;
	int rc;

	if (l->shake && l->steps == c->steps)
		return 0;
	if (c->steps) {
		if (host_call2(SYS_kill, (long)c->shaker, 0) == -ESRCH ||
			c->shaker == (uint32_t)host_call0(SYS_getpid))
			shake_failed(p, l, fd,
				"check process: seen the end of the one that made the handshake, wanted it "
				"to "
				"finish first");
		return c->state == NET_SHAKING ? POLLIN : -ECONNRESET;
	}
	host_call2(SYS_clock_gettime, CLOCK_REALTIME, (long)&now);
	net_enter();
	tls_handshake_free(l->shake);
	l->shake = NULL;
	rc = net_handshake_new(c->rule, (uint64_t)now.tv_sec, &l->shake);
	net_leave();
	if (rc) {
		shake_failed(p, l, fd, "no memory for a handshake");
		return -ENOMEM;
	}
	l->steps = 0;
	if (!c->server)
		return step(p, l, fd, NULL, 0) ? 0 : -ECONNRESET;
	return 0;
}

/* Records as far as they are there. */
static int shake_on(struct process *p, struct net_local *l, int fd)
{
	uint8_t record[TLS_RECORD_MAX];
	struct net_conn *c = net_conn(l);

	for (;;) {
		struct error err;
		size_t want = TLS_HEADER;
		long n = flush_out(l, fd);

		if (n == POLLOUT)
			return POLLOUT;
		n = n < 0 ? n : peek(fd, record, sizeof(record));
		if (n == -EAGAIN)
			return POLLIN;
		if (n <= 0) {
			shake_failed(p, l, fd,
				n == 0 ? "check handshake: seen the end of the connection, wanted TLS 1.3"
				       : "check handshake: seen a reset, wanted TLS 1.3");
			return 0;
		}
		if ((n >= 1 && (record[0] < 20 || record[0] > 23)) || n >= TLS_HEADER) {
			if (n < TLS_HEADER)
				memset(record + n, 0, (size_t)(TLS_HEADER - n));
			if (tls_handshake_record(record, &want, &err)) {
				shake_failed(p, l, fd, err.text);
				return 0;
			}
		}
		if ((size_t)n < want) {
			int low = (int)want;

			if (poll_now(fd, POLLRDHUP) & POLLRDHUP) {
				shake_failed(p, l, fd,
					"check handshake: seen the end of the connection, wanted TLS 1.3");
				return 0;
			}
			if (!c->is_unix && !host_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVLOWAT,
						   (long)&low, sizeof(low)))
				c->lowat = (uint32_t)low;
			return POLLIN;
		}
		if (!take_out(l, fd, record, want)) {
			shake_failed(p, l, fd,
				"check handshake: seen a queue that changes, wanted the record looked at");
			return 0;
		}
		if (!step(p, l, fd, record, want))
			return 0;
	}
}

static int drive_locked(struct process *p, struct net_local *l, int fd)
{
	struct net_conn *c = net_conn(l);
	short seen;
	int want;

	if (c->state == NET_CONNECTING) {
		seen = poll_now(fd, POLLOUT);
		if (!(seen & (POLLOUT | POLLERR | POLLHUP)))
			return POLLOUT;
		if (seen & (POLLERR | POLLHUP)) {
			c->state = NET_PLAIN;
			net_shake_end(l);
			net_watch_apply(l, 0);
			return 0;
		}
		c->state = NET_SHAKING;
	}
	if (c->state != NET_SHAKING)
		return 0;
	want = ready_shake(p, l, fd);
	if (want == 0 && c->state == NET_SHAKING)
		want = shake_on(p, l, fd);
	return want < 0 ? 0 : want;
}

int net_drive(struct process *p, struct net_local *l, int fd)
{
	struct net_conn *c = net_conn(l);
	uint32_t state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
	int want;

	if (state != NET_CONNECTING && state != NET_SHAKING) {
		net_shake_end(l);
		net_watch_apply(l, 0);
		return 0;
	}
	if (net_lock(&c->rx) && c->generation == l->generation)
		shake_failed(p, l, fd,
			"check process: seen the end of the one that made the handshake, wanted it to finish "
			"first");
	want = c->generation == l->generation ? drive_locked(p, l, fd) : 0;
	if (want)
		net_watch_apply(l, want);
	net_unlock(&c->rx);
	return want;
}

void net_drive_slot(struct process *p, uint32_t slot)
{
	struct net_local *l;
	int fd = -1;

	net_lock(&shaking_lock);
	for (uint32_t i = 0; i < net_shaking && i < SHAKING_MAX; i++)
		if (shaking[i] && shaking[i]->slot == slot)
			fd = shaking[i]->shaking_fd;
	net_unlock(&shaking_lock);
	l = fd < 0 ? NULL : net_get(p, fd);
	if (l) {
		net_drive(p, l, fd);
		net_put(l);
	}
}

/* --- waiting --- */

static int64_t now_ms(void)
{
	struct timespec t;

	host_call2(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* fd first, then every handshake with what it waits for. */
static size_t gather(struct process *p, int fd, short events, struct pollfd *ret)
{
	int fds[SHAKING_MAX];
	size_t n = list_shaking(fds, SHAKING_MAX), count = 1;

	ret[0] = (struct pollfd){.fd = fd, .events = events};
	for (size_t i = 0; i < n; i++) {
		struct net_local *l = fds[i] == fd ? NULL : net_get(p, fds[i]);
		int want;

		if (!l)
			continue;
		want = net_drive(p, l, fds[i]);
		net_put(l);
		if (want)
			ret[count++] = (struct pollfd){.fd = fds[i], .events = (short)want};
	}
	return count;
}

int64_t net_patience(const struct thread *t)
{
	return t->proc->has_threads ? LOOK_SOON_MS : LOOK_AGAIN_MS;
}

long net_wait(struct thread *t, int fd, short events, int64_t timeout)
{
	int64_t end = timeout < 0 ? INT64_MAX : now_ms() + timeout;
	struct pollfd p[WAIT_MAX];

	for (;;) {
		size_t n = gather(t->proc, fd, events, p);
		int64_t left = end == INT64_MAX ? INT64_MAX : end - now_ms();
		long ret;

		if (left < 0)
			left = 0;
		ret = scone_safe_call6(
			SYS_poll, (long)p, (long)n, left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS, 0, 0, 0);
		if (ret == -EINTR || ret == HOST_ERESTART) {
			if (t->pending)
				return ret == -EINTR ? net_interrupted(t) : HOST_ERESTART;
			continue;
		}
		if (ret < 0 || p[0].revents)
			return ret < 0 ? ret : 1;
		if (end != INT64_MAX && now_ms() >= end)
			return 0;
	}
}

/* 0: it is over, or patience ms are (-1: as long as a call waits for a handshake, which has failed then). */
static long await_open(struct thread *t, struct net_local *l, int fd, int64_t patience)
{
	int64_t start = 0;

	for (;;) {
		int want = net_drive(t->proc, l, fd);
		long ret;

		if (!want)
			return 0;
		if (!start)
			start = now_ms();
		ret = net_wait(t, fd, (short)want,
			patience < 0 || net_patience(t) < patience ? net_patience(t) : patience);
		if (ret < 0)
			return ret;
		if (patience >= 0 && now_ms() - start >= patience)
			return 0;
		if (now_ms() - start > SHAKE_PATIENCE_S * 1000) {
			net_lock(&net_conn(l)->rx);
			if (net_conn(l)->state == NET_SHAKING) {
				log_refusal(t->proc, net_conn(l), fd,
					"check handshake: seen nothing for 20 s, wanted TLS 1.3");
				net_fail(t->proc, l, fd, ETIMEDOUT);
			}
			net_unlock(&net_conn(l)->rx);
		}
	}
}

long net_await_open(struct thread *t, struct net_local *l, int fd, bool dontwait)
{
	if (!net_drive(t->proc, l, fd))
		return 0;
	return dontwait || net_nonblocking(fd) ? -EAGAIN : await_open(t, l, fd, -1);
}

long net_await_connect(struct thread *t, struct net_local *l, int fd)
{
	if (!net_drive(t->proc, l, fd))
		return 0;
	return net_nonblocking(fd) ? -EAGAIN : await_open(t, l, fd, CONNECT_PATIENCE_MS);
}

long net_settle(struct thread *t)
{
	int fds[SHAKING_MAX];
	size_t n = list_shaking(fds, SHAKING_MAX);
	long ret = 0;

	for (size_t i = 0; i < n && ret == 0; i++) {
		struct net_local *l = net_get(t->proc, fds[i]);
		long flags = host_call2(SYS_fcntl, fds[i], F_GETFD);

		if (l && !host_failed(flags) && !(flags & FD_CLOEXEC) && net_conn(l)->steps)
			ret = await_open(t, l, fds[i], -1);
		if (l)
			net_put(l);
	}
	return ret;
}

/* --- epoll --- */

static uint64_t tag(void)
{
	uint64_t seen = __atomic_load_n(&watch_tag, __ATOMIC_ACQUIRE), made = 0, none = 0;

	if (seen)
		return seen;
	host_call3(SYS_getrandom, (long)&made, sizeof(made), 0);
	made = (WATCH_TAG << 44) | ((made & 0xfffff) << SLOT_BITS);
	return __atomic_compare_exchange_n(&watch_tag, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
		       ? made
		       : none;
}

bool net_watch_ours(uint64_t data, uint32_t *ret_slot)
{
	*ret_slot = (uint32_t)data & ((1u << SLOT_BITS) - 1);
	return (data & ~((1ULL << SLOT_BITS) - 1)) == tag() && *ret_slot < NET_CONNS;
}

struct net_watch *net_watch_find(struct net_local *l, int epfd, int fd)
{
	struct net_watch *w = l->watches;

	while (w && (w->epfd != epfd || w->fd != fd))
		w = w->next;
	return w;
}

int net_watch_set(struct net_local *l, int epfd, int fd, uint32_t events, uint64_t data)
{
	struct net_watch *w;

	net_lock(&watch_lock);
	w = net_watch_find(l, epfd, fd);
	if (!w && (w = calloc(1, sizeof(*w)))) {
		w->epfd = epfd;
		w->fd = fd;
		w->next = l->watches;
		l->watches = w;
	}
	if (w) {
		w->events = events;
		w->data = data;
		w->replaced = false;
	}
	net_unlock(&watch_lock);
	return w ? 0 : -ENOMEM;
}

void net_watch_drop(struct net_local *l, int epfd, int fd)
{
	struct net_watch **at, *w = NULL;

	net_lock(&watch_lock);
	for (at = &l->watches; *at; at = &(*at)->next) {
		if ((*at)->epfd == epfd && (*at)->fd == fd) {
			w = *at;
			*at = w->next;
			break;
		}
	}
	net_unlock(&watch_lock);
	free(w);
}

void net_watch_apply(struct net_local *l, int want)
{
	if (!l->watches)
		return;
	net_lock(&watch_lock);
	for (struct net_watch *w = l->watches, *next; w; w = next) {
		struct epoll_event e = {.events = w->events, .data.u64 = w->data};

		next = w->next;
		if (want) {
			e.events = want == POLLIN ? EPOLLIN : EPOLLOUT;
			e.data.u64 = tag() | l->slot;
		}
		/* What the kernel has is the program's already, unless it has been replaced. */
		if (want || w->replaced)
			host_call4(SYS_epoll_ctl, w->epfd, EPOLL_CTL_MOD, w->fd, (long)&e);
		w->replaced = want != 0;
		if (!want && net_conn(l)->state >= NET_OPEN) {
			l->watches = next;
			free(w);
		}
	}
	net_unlock(&watch_lock);
}
