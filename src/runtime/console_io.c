/* console_io: reading and writing protected descriptors (console.h). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "core/log.h"
#include "core/secret.h"
#include "host/host.h"
#include "runtime/console.h"

#define REST_PATIENCE_MS 30000 /* for the rest of a frame that is begun */
#define END_PATIENCE_MS 10000

static struct net_lock engine;
static struct aead *ciphers[CONSOLE_PROTECTED_MAX][2];

void console_engine_lock(void)
{
	/* A holder that died was a child in this memory: its cipher may be half set. */
	if (net_lock(&engine))
		memset(ciphers, 0, sizeof(ciphers));
}

void console_engine_unlock(void)
{
	net_unlock(&engine);
}

void console_engine_fork_child(void)
{
	__atomic_store_n(&engine.word, 0, __ATOMIC_RELAXED);
}

static struct aead **cipher_of(const struct console_channel *c, bool out)
{
	return &ciphers[c - console_table()->channel][out];
}

static short poll_now(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return host_call3(SYS_poll, (long)&p, 1, 0) > 0 ? p.revents : 0;
}

static long wait_for(struct thread *t, int fd, short events, int64_t timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	long ret = scone_safe_call6(SYS_poll, (long)&p, 1, timeout_ms, 0, 0, 0);

	return ret == -EINTR ? net_interrupted(t) : ret < 0 ? ret : 0;
}

/* --- writing; with tx --- */

static void say_why(const struct console_channel *c, const char *why)
{
	log_warn("console: %s has failed: %s", c->name, why);
}

/* The lock of c's output. NULL, or why the output has just failed, to be said without the lock. What a pipe takes whole can be made good. */
static const char *lock_tx(struct console_channel *c)
{
	if (!net_lock(&c->tx) || !c->tx_midway || c->tx_state != CONSOLE_OPEN)
		return NULL;
	if (!c->lines && !c->file && (!c->socket || c->packets)) {
		c->tx_doubt = true;
		return NULL;
	}
	c->tx_state = CONSOLE_FAILED;
	return "a process of the application was killed while it wrote a record, and whether that went is "
	       "not "
	       "known";
}

static long put(int fd, const struct console_channel *c, const uint8_t *p, size_t n)
{
	if (c->packets)
		return host_call6(SYS_sendto, fd, (long)p, (long)n, MSG_DONTWAIT, 0, 0);
	return host_write(fd, p, n);
}

/* 0; -EAGAIN: some of it is left after so many ms; -errno. */
static long push_rest(int fd, struct console_channel *c, int patience_ms)
{
	while (c->rest_at < c->rest_len) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		long ret = c->file ? 1 : host_call3(SYS_poll, (long)&p, 1, patience_ms);

		if (ret == 0)
			return -EAGAIN;
		if (ret > 0)
			ret = put(fd, c, c->rest + c->rest_at, c->rest_len - c->rest_at);
		if (ret == -EINTR || ret == -EAGAIN)
			continue;
		if (ret <= 0)
			return ret ? ret : -EIO;
		c->rest_at += (uint32_t)ret;
	}
	c->rest_at = c->rest_len = 0;
	return 0;
}

/* What a writer that died may have written or not, once more, in its place. */
static long make_good(int fd, struct console_channel *c)
{
	uint8_t frame[CONSOLE_FRAME_MAX];
	long len, ret;

	if (!poll_now(fd, POLLOUT))
		return -EAGAIN;
	c->tx_half.seq = c->midway_seq;
	console_engine_lock();
	len = console_seal(cipher_of(c, true), &c->tx_half, CONSOLE_AGAIN, c->midway, c->midway_len, frame);
	console_engine_unlock();
	if (len < 0)
		return len;
	ret = put(fd, c, frame, (size_t)len);
	if (ret < 0)
		return ret;
	c->tx_half.seq = c->midway_seq + 1;
	c->tx_doubt = c->tx_midway = false;
	secret_wipe(c->midway, c->midway_len);
	return 0;
}

static void begin_record(struct console_channel *c, enum console_type type, const uint8_t *p, size_t n)
{
	c->midway[0] = (uint8_t)type;
	memcpy(c->midway + 1, p, n);
	c->midway_len = (uint32_t)n + 1;
	c->midway_seq = c->tx_half.seq;
	__atomic_store_n(&c->tx_midway, true, __ATOMIC_SEQ_CST);
}

static void end_record(struct console_channel *c)
{
	__atomic_store_n(&c->tx_midway, false, __ATOMIC_SEQ_CST);
	secret_wipe(c->midway, c->midway_len);
}

/* One record, if it goes without waiting. Bytes of it, or -errno; -EAGAIN: not now. */
static long put_record(int fd, struct console_channel *c, enum console_type type, const uint8_t *p, size_t n)
{
	uint8_t frame[CONSOLE_FRAME_MAX];
	const uint8_t *at = frame;
	char line[CONSOLE_LINE_MAX];
	long len, ret = c->tx_doubt ? make_good(fd, c) : push_rest(fd, c, 0);

	if (ret < 0)
		return ret;
	if (!c->file && !poll_now(fd, POLLOUT))
		return -EAGAIN;
	console_engine_lock();
	len = console_seal(cipher_of(c, true), &c->tx_half, type, p, n, frame);
	console_engine_unlock();
	if (len < 0)
		return len;
	if (c->lines) {
		len = (long)console_line_encode(true, frame, (size_t)len, line);
		at = (const uint8_t *)line;
	}
	begin_record(c, type, p, n);
	ret = put(fd, c, at, (size_t)len);
	if (ret > 0) {
		console_half_advance(&c->tx_half);
		if (ret < len) {
			memcpy(c->rest, at + ret, (size_t)(len - ret));
			c->rest_at = 0;
			c->rest_len = (uint32_t)(len - ret);
			push_rest(
				fd, c, REST_PATIENCE_MS); /* what is left then goes before what comes next */
		}
		ret = (long)n;
	} else if (ret == 0) {
		ret = -EIO;
	}
	end_record(c);
	return ret;
}

static long write_once(int fd, struct console_channel *c, struct net_span *s)
{
	size_t most = c->lines ? CONSOLE_LINE_PLAIN_MAX : CONSOLE_PLAIN_MAX,
	       n = net_span_left(s) < most ? net_span_left(s) : most;
	uint8_t plain[CONSOLE_PLAIN_MAX];
	struct net_span before = *s;
	long ret;

	if (c->tx_state != CONSOLE_OPEN)
		return c->tx_state == CONSOLE_ENDED ? -EPIPE : -EIO;
	ret = net_span_copy(s, plain, n, false);
	if (ret == 0)
		ret = put_record(fd, c, CONSOLE_DATA, plain, n);
	secret_wipe(plain, n);
	if (ret < 0)
		*s = before;
	return ret;
}

/* An element of an iovec may be one that cannot be read, behind others that can. */
static long write_what_can_be(int fd, struct console_channel *c, struct net_span *s)
{
	long ret = write_once(fd, c, s);

	if (ret == -EFAULT && s->iov && net_span_left(s) > 1) {
		struct net_span first = *s;
		struct iovec {
			uint64_t base, len;
		} v;

		if (user_copy(&v, (const void *)(s->iov + s->index * sizeof(v)), sizeof(v)) == 0 &&
			v.len > s->done_in && v.len - s->done_in < net_span_left(s)) {
			first.len = first.done + (v.len - s->done_in);
			ret = write_once(fd, c, &first);
			if (ret > 0)
				net_span_skip(s, (size_t)ret);
		}
	}
	return ret;
}

long console_write(struct thread *t, int fd, struct console_channel *c, struct net_span *s, int flags)
{
	long ret = 0;

	while (net_span_left(s) > 0) {
		const char *why = lock_tx(c);

		ret = write_what_can_be(fd, c, s);
		net_unlock(&c->tx);
		if (why)
			say_why(c, why);
		if (ret > 0)
			continue;
		if (ret == -EINTR) {
			ret = net_interrupted(t);
			break;
		}
		if (ret != -EAGAIN || (flags & MSG_DONTWAIT) || net_nonblocking(fd))
			break;
		ret = wait_for(t, fd, POLLOUT, -1);
		if (ret < 0)
			break;
	}
	return s->done ? (long)s->done : ret;
}

/* SIGPIPE of the runtime's own records is none of the program's. */
static long quietly(int fd, struct console_channel *c, enum console_type type, const uint8_t *p, size_t n)
{
	uint64_t set = SIG_BIT(SIGPIPE), old = 0, pending = 0;
	struct timespec none = {0};
	long ret;

	host_call2(SYS_rt_sigpending, (long)&pending, 8);
	host_sigmask(SIG_BLOCK, &set, &old);
	ret = put_record(fd, c, type, p, n);
	if (ret == -EPIPE && !(pending & set))
		host_call4(SYS_rt_sigtimedwait, (long)&set, 0, (long)&none, 8);
	host_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

void console_say_end(int fd, struct console_channel *c)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	long ret = -EAGAIN;

	for (int waited = 0; waited < 2 && ret == -EAGAIN; waited++) {
		if (waited)
			host_call3(SYS_poll, (long)&p, 1, END_PATIENCE_MS);
		lock_tx(c);
		ret = c->tx_state == CONSOLE_OPEN ? quietly(fd, c, CONSOLE_END, (const uint8_t *)"", 0) : 0;
		if (ret != -EAGAIN && c->tx_state == CONSOLE_OPEN)
			c->tx_state = CONSOLE_ENDED;
		net_unlock(&c->tx);
	}
}

void console_note(int fd, struct console_channel *c, const char *line, size_t n)
{
	if (!net_trylock(&c->tx))
		return;
	if (c->tx_state == CONSOLE_OPEN)
		(void)quietly(fd, c, CONSOLE_NOTE, (const uint8_t *)line,
			n < CONSOLE_LINE_PLAIN_MAX ? n : CONSOLE_LINE_PLAIN_MAX);
	net_unlock(&c->tx);
}

int console_write_raw(int fd, struct console_channel *c, const uint8_t *p, size_t n)
{
	char line[CONSOLE_LINE_MAX];

	if (c->lines) {
		n = console_line_encode(true, p, n, line);
		p = (const uint8_t *)line;
	}
	while (n > 0) {
		struct pollfd out = {.fd = fd, .events = POLLOUT};
		long ret = put(fd, c, p, n);

		if (ret == -EAGAIN) {
			host_call3(SYS_poll, (long)&out, 1, -1);
			continue;
		}
		if (ret == -EINTR)
			continue;
		if (ret <= 0)
			return ret ? (int)ret : -EIO;
		p += ret;
		n -= (size_t)ret;
	}
	return 0;
}

/* --- reading; with rx --- */

/* The packet that has been looked at. counts: as a record. */
static int take_out(int fd, struct console_channel *c, bool counts)
{
	uint8_t byte;
	long ret;

	c->rx_midway_seq = c->rx_half.seq;
	__atomic_store_n(&c->rx_midway, true, __ATOMIC_SEQ_CST);
	ret = host_call6(SYS_recvfrom, fd, (long)&byte, 1, MSG_DONTWAIT, 0, 0);
	if (ret >= 0) {
		c->plain_at = c->plain_len = 0;
		if (counts)
			console_half_advance(&c->rx_half);
	}
	__atomic_store_n(&c->rx_midway, false, __ATOMIC_SEQ_CST);
	return ret < 0 ? (int)ret : 0;
}

/* Whoever took a record out died of it: is what is there that record, which has been had, or the one after it? True: it is gone now, look again. */
static bool settle(int fd, struct console_channel *c, const uint8_t *frame, size_t n)
{
	enum console_type type;
	struct console_half next = c->rx_half;
	bool old = c->rx_half.seq == 0 && console_is_hello(frame);
	long len;

	console_engine_lock();
	if (!old)
		old = console_open(cipher_of(c, false), &c->rx_half, frame, n, &type, c->plain) >= 0;
	if (!old) {
		console_half_advance(&next);
		len = console_open(cipher_of(c, false), &next, frame, n, &type, c->plain);
		if (len >= 0)
			c->rx_half.seq = next.seq;
	}
	console_engine_unlock();
	secret_wipe(c->plain, sizeof(c->plain));
	secret_wipe(&next, sizeof(next));
	c->rx_doubt = false;
	return old && take_out(fd, c, !console_is_hello(frame)) == 0;
}

static const char *on_hello(struct console_channel *c, const uint8_t *frame, size_t n)
{
	static const uint8_t any[CONSOLE_ID_LEN];
	struct console_table *table = console_table();
	struct console_hello h;
	struct error err;
	int rc;

	if (!console_is_hello(frame) || console_hello_decode(frame, n, &h, &err))
		return "check hello: seen bytes that are none, wanted a console stream";
	if (h.output)
		return "check direction: seen a stream of output, wanted one of input";
	if (strcmp(h.context, table->context))
		return "check service: seen a stream for another service";
	if (strcmp(h.name, c->name))
		return "check descriptor: seen a stream for another descriptor";
	if (memcmp(h.run, table->run, sizeof(h.run)) && (table->attach || memcmp(h.run, any, sizeof(any))))
		return "check run: seen a stream for another run of the program, wanted one for this";
	console_engine_lock();
	rc = console_half_start(&c->rx_half, table->key, frame, n, NULL, 0, &err);
	console_engine_unlock();
	if (rc)
		return "check key: no memory for it";
	c->rx_begun = true;
	console_forget_key();
	return NULL;
}

/* The next packet. 0: plaintext is there, or the end; 1: look again; -EAGAIN; *ret_why: the input has failed. */
static long next_record(int fd, struct console_channel *c, const char **ret_why)
{
	uint8_t frame[CONSOLE_FRAME_MAX];
	enum console_type type = CONSOLE_DATA;
	long n = host_call6(SYS_recvfrom, fd, (long)frame, sizeof(frame), MSG_PEEK | MSG_DONTWAIT, 0, 0), len;

	if (n == -EAGAIN || n == -EINTR)
		return n;
	if (n <= 0) {
		*ret_why = "check end: seen the end of what is read without the record that marks it: it has "
			   "been cut";
		return -EIO;
	}
	if (!c->rx_begun) {
		*ret_why = on_hello(c, frame, (size_t)n);
		if (*ret_why)
			return -EIO;
		n = take_out(fd, c, false);
		return n < 0 ? n : 1;
	}
	if (c->rx_doubt && settle(fd, c, frame, (size_t)n))
		return 1;
	console_engine_lock();
	len = console_open(cipher_of(c, false), &c->rx_half, frame, (size_t)n, &type, c->plain);
	console_engine_unlock();
	if (len == -ENOMEM)
		return -ENOMEM;
	if (len < 0 || type == CONSOLE_AGAIN) {
		*ret_why = "check record: seen one that is not the next: changed, out of order, repeated, or "
			   "one left out";
		return -EIO;
	}
	if (type == CONSOLE_END) {
		c->rx_state = CONSOLE_ENDED; /* it stays in the queue: readable for good */
		return 0;
	}
	if (len == 0 || type != CONSOLE_DATA) {
		n = take_out(fd, c, true);
		return n < 0 ? n : 1;
	}
	c->plain_at = 0;
	c->plain_len = (uint32_t)len;
	return 0;
}

/* 0: plaintext or the end is there; -errno. */
static long look(int fd, struct console_channel *c, const char **ret_why)
{
	long ret = 1;

	if (c->rx_state == CONSOLE_FAILED)
		return -EIO;
	while (ret == 1)
		ret = c->rx_state == CONSOLE_ENDED || c->plain_len > 0 ? 0 : next_record(fd, c, ret_why);
	if (*ret_why)
		c->rx_state = CONSOLE_FAILED;
	return ret;
}

static long read_now(int fd, struct console_channel *c, struct net_span *s, bool keeps, const char **ret_why)
{
	size_t before = s->done;
	long ret = 0;

	while (net_span_left(s) > 0) {
		size_t n;

		ret = look(fd, c, ret_why);
		if (ret < 0 || c->plain_len == 0)
			break;
		n = c->plain_len - c->plain_at;
		n = n < net_span_left(s) ? n : net_span_left(s);
		ret = net_span_copy(s, c->plain + c->plain_at, n, true);
		if (ret < 0 || keeps)
			break;
		secret_wipe(c->plain + c->plain_at, n);
		c->plain_at += (uint32_t)n;
		if (c->plain_at < c->plain_len)
			break;
		ret = take_out(fd, c, true);
		if (ret < 0)
			break;
	}
	return s->done > before ? (long)(s->done - before) : ret;
}

static void lock_rx(struct console_channel *c)
{
	if (!net_lock(&c->rx) || !c->rx_midway)
		return;
	c->rx_half.seq = c->rx_midway_seq;
	c->plain_at = c->plain_len = 0;
	c->rx_doubt = true;
	c->rx_midway = false;
}

long console_read(struct thread *t, int fd, struct console_channel *c, struct net_span *s, int flags)
{
	bool all = (flags & MSG_WAITALL) && !(flags & MSG_PEEK);
	long ret = 0;

	while (net_span_left(s) > 0) {
		const char *why = NULL;

		lock_rx(c);
		ret = read_now(fd, c, s, flags & MSG_PEEK, &why);
		net_unlock(&c->rx);
		if (why)
			say_why(c, why);
		if (ret > 0 && all && net_span_left(s) > 0)
			continue;
		if (ret != -EAGAIN || (s->done && !all) || (flags & MSG_DONTWAIT) || net_nonblocking(fd))
			break;
		ret = wait_for(t, fd, POLLIN, -1);
		if (ret < 0)
			break;
	}
	return s->done ? (long)s->done : ret;
}

long console_readable(int fd, struct console_channel *c)
{
	const char *why = NULL;
	long ret;

	lock_rx(c);
	ret = look(fd, c, &why);
	ret = ret == 0 ? (long)(c->plain_len - c->plain_at) : ret == -EAGAIN ? 0 : ret;
	net_unlock(&c->rx);
	if (why)
		say_why(c, why);
	return ret;
}
