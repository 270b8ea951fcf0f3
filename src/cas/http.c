#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "cas/http.h"
#include "cas/http_parse.h"
#include "cas/http_tls.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/x509.h"
#include "wire/json_wipe.h"

/* Connections beyond the limit that are still told so, before more are just closed. */
#define OVERFLOW_CONNECTIONS 32
#define LINGER_SECONDS 2
#define LINGER_BYTES (16 * 1024 * 1024)
/* Bodies of all connections together, being received. */
#define BODIES_MAX (64 * 1024 * 1024)
/* Without a certificate nothing needs more than this. */
#define ANONYMOUS_BODY_MAX (16 * 1024)
#define CONTINUE_TEXT "HTTP/1.1 100 Continue\r\n\r\n"

enum phase { HANDSHAKE, HEAD, BODY, CONTINUE, ANSWER, LINGER };

struct conn {
	TAILQ_ENTRY(conn) all, idle;
	struct http_server *server;
	enum phase phase;
	int fd;
	SSL *ssl;
	struct event *readable, *writable, *deadline;
	bool is_idle; /* in the server's idle list */
	bool over; /* beyond the limit: to be answered 429 */
	bool has_key;
	bool closing; /* after this answer */
	bool begun_late; /* its request began after http_server_stop */
	uint8_t key[KEY_HASH_LEN];
	struct buf in, out;
	size_t out_done;
	struct http_head head;
	size_t head_len; /* of the current request, in `in` */
	size_t reserved; /* of the server's BODIES_MAX */
	size_t lingered;
};

TAILQ_HEAD(conn_list, conn);

struct http_server {
	struct http_options o;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *resume; /* accept again after running out of descriptors */
	SSL_CTX *tls;
	struct conn_list all, idle;
	unsigned count;
	size_t bodies;
	char address[HTTP_ADDRESS_MAX];
	bool stopping;
	void (*done)(void *arg);
	void *done_arg;
	struct event *done_event;
};

static void conn_run(struct conn *c);

void http_reply_error(struct http_reply *r, int status, const char *code, const char *text)
{
	char plain[ERROR_TEXT_MAX];
	json_t *j;
	char *s;

	/* An error may quote what a client sent: only ASCII is sure to be JSON. */
	snprintf(plain, sizeof(plain), "%s", text);
	j = json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", plain);
	for (char *p = plain; !j && *p; p++)
		if (*p & 0x80)
			*p = '?';
	if (!j)
		j = json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", plain);
	s = j ? json_dumps(j, JSON_COMPACT) : NULL;
	r->status = status;
	buf_reset(&r->body);
	buf_puts(&r->body, s ? s : "{\"error\":{\"code\":\"NOMEM\",\"text\":\"out of memory\"}}");
	json_free(s);
	json_decref(j);
}

/* Connections */

static void set_deadline(struct conn *c, unsigned seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	event_add(c->deadline, &tv);
}

static void conn_not_idle(struct conn *c)
{
	if (c->is_idle)
		TAILQ_REMOVE(&c->server->idle, c, idle);
	c->is_idle = false;
}

static void conn_free(struct conn *c)
{
	struct http_server *s = c->server;

	conn_not_idle(c);
	TAILQ_REMOVE(&s->all, c, all);
	s->count--;
	s->bodies -= c->reserved;
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->deadline)
		event_free(c->deadline);
	SSL_free(c->ssl);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
	if (s->stopping && !s->count && s->done_event)
		event_active(s->done_event, 0, 0);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	conn_run(arg);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	log_debug("connection %d: time is up in phase %d", c->fd, (int)c->phase);
	conn_free(c);
}

/* What SSL needs before it can go on; -1: nothing helps, close. */
static int conn_wait(struct conn *c, int result)
{
	int e = SSL_get_error(c->ssl, result);

	if (e == SSL_ERROR_WANT_READ)
		return event_add(c->readable, NULL);
	if (e == SSL_ERROR_WANT_WRITE)
		return event_add(c->writable, NULL);
	return -1;
}

enum step { STEP_ON, STEP_WAIT, STEP_CLOSE };

static enum step step_wait(struct conn *c, int result)
{
	return conn_wait(c, result) ? STEP_CLOSE : STEP_WAIT;
}

/* Read at most n more bytes into c->in. */
static enum step conn_read(struct conn *c, size_t n)
{
	uint8_t chunk[16384];
	int got;

	ERR_clear_error();
	got = SSL_read(c->ssl, chunk, (int)(n < sizeof(chunk) ? n : sizeof(chunk)));
	if (got <= 0)
		return step_wait(c, got);
	if (c->phase == HEAD && !c->in.len) {
		conn_not_idle(c);
		c->begun_late = c->server->stopping;
		set_deadline(c, c->server->o.timeout);
	}
	buf_put(&c->in, chunk, (size_t)got);
	secret_wipe(chunk, (size_t)got);
	return c->in.failed ? STEP_CLOSE : STEP_ON;
}

static void conn_begin_answer(struct conn *c, struct http_reply *r)
{
	bool head_only = !strcmp(c->head.method, "HEAD");
	char date[64];
	time_t now = time(NULL);
	struct tm tm;

	if (!c->head.keep_alive || c->server->stopping)
		c->closing = true;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	buf_reset(&c->out);
	buf_printf(&c->out,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: "
		"%zu\r\nCache-Control: no-store\r\n",
		r->status, http_status_text(r->status), date, r->body.len);
	if (r->allow)
		buf_printf(&c->out, "Allow: %s\r\n", r->allow);
	buf_puts(&c->out, c->closing ? "Connection: close\r\n\r\n" : "\r\n");
	if (!head_only)
		buf_put(&c->out, r->body.data, r->body.len);
	log_debug("connection %d: %s %.128s: %d", c->fd, c->head.method, c->head.path, r->status);
	c->out_done = 0;
	c->phase = ANSWER;
	set_deadline(c, c->server->o.timeout);
}

static enum step conn_refuse(struct conn *c, int status, const char *code, const char *text)
{
	struct http_reply r = {0};

	buf_init(&r.body, HTTP_REPLY_MAX);
	http_reply_error(&r, status, code, text);
	c->closing = true;
	conn_begin_answer(c, &r);
	buf_free(&r.body);
	return STEP_ON;
}

/* Phases: each does what it can and says whether to go on */

static enum step do_handshake(struct conn *c)
{
	X509 *cert;
	int r;

	ERR_clear_error();
	r = SSL_accept(c->ssl);
	if (r <= 0) {
		enum step next = step_wait(c, r);

		if (next == STEP_CLOSE)
			log_debug("connection %d: handshake: %s", c->fd,
				ERR_reason_error_string(ERR_peek_error()));
		return next;
	}
	cert = SSL_get0_peer_certificate(c->ssl);
	if (cert) {
		if (x509_key_hash(cert, c->key, NULL))
			return STEP_CLOSE;
		c->has_key = true;
	}
	c->phase = HEAD;
	set_deadline(c, c->server->stopping ? LINGER_SECONDS : c->server->o.timeout);
	return STEP_ON;
}

static enum step begin_body(struct conn *c)
{
	struct http_server *s = c->server;
	size_t n = c->head.content_length;

	if (c->over)
		return conn_refuse(c, 429, "LIMIT", "too many connections: try again later");
	if (c->begun_late)
		return conn_refuse(c, 503, "INTERNAL", "this CAS is stopping");
	if (!c->has_key && n > ANONYMOUS_BODY_MAX)
		return conn_refuse(c, 401, "ACCESS", "a body of this size needs a client certificate");
	if (n > s->o.body_max + BODIES_MAX - s->bodies)
		return conn_refuse(c, 429, "LIMIT", "too many large requests at once: try again later");
	s->bodies += n;
	c->reserved = n;
	c->phase = BODY;
	if (c->head.expect_continue && c->in.len < c->head_len + n) {
		buf_reset(&c->out);
		buf_puts(&c->out, CONTINUE_TEXT);
		c->out_done = 0;
		c->phase = CONTINUE;
	}
	return STEP_ON;
}

static enum step do_head(struct conn *c)
{
	struct http_refusal refusal = {0};
	char text[sizeof("a header over the limit of  bytes") + 16];

	c->head_len = http_head_length((const char *)c->in.data, c->in.len);
	if (!c->head_len && c->in.len < HTTP_HEADER_MAX)
		return conn_read(c, HTTP_HEADER_MAX - c->in.len);
	if (!c->head_len || c->head_len > HTTP_HEADER_MAX) {
		memset(&c->head, 0, sizeof(c->head));
		snprintf(text, sizeof(text), "a header over the limit of %d bytes", HTTP_HEADER_MAX);
		return conn_refuse(c, 431, "LIMIT", text);
	}
	if (http_head_parse((const char *)c->in.data, c->head_len, c->server->o.body_max, &c->head, &refusal))
		return conn_refuse(c, refusal.status, refusal.code, refusal.text);
	return begin_body(c);
}

static enum step do_body(struct conn *c)
{
	size_t want = c->head_len + c->head.content_length;
	struct http_request q = {.method = c->head.method, .path = c->head.path, .query = c->head.query};
	struct http_reply r = {.status = 500};

	if (c->in.len < want)
		return conn_read(c, want - c->in.len);
	q.body = c->in.data + c->head_len;
	q.body_len = c->head.content_length;
	q.key = c->has_key ? c->key : NULL;
	buf_init_secret(&r.body, HTTP_REPLY_MAX);
	c->server->o.handler(c->server->o.arg, &q, &r);
	if (r.body.failed) {
		r.body.failed = false;
		http_reply_error(&r, 500, "LIMIT", "the answer is over the limit of 16 MiB");
	}
	conn_begin_answer(c, &r);
	buf_free(&r.body);
	return c->out.failed ? STEP_CLOSE : STEP_ON;
}

/* Keep what was sent ahead of the next request. */
static void conn_next_request(struct conn *c)
{
	size_t used = c->head_len + c->head.content_length, left = c->in.len - used;

	memmove(c->in.data, c->in.data + used, left);
	buf_truncate(&c->in, left);
	if (!left)
		buf_free(&c->in);
	buf_free(&c->out);
	c->server->bodies -= c->reserved;
	c->reserved = 0;
	c->phase = HEAD;
	if (left) {
		c->begun_late = c->server->stopping;
		set_deadline(c, c->server->o.timeout);
		return;
	}
	c->is_idle = true;
	TAILQ_INSERT_TAIL(&c->server->idle, c, idle);
	set_deadline(c, 4 * c->server->o.timeout);
}

/* Closing with unread data would reset the connection, and the answer could be lost: read for a while, without decrypting. */
static void conn_begin_linger(struct conn *c)
{
	ERR_clear_error();
	SSL_shutdown(c->ssl);
	shutdown(c->fd, SHUT_WR);
	buf_free(&c->in);
	buf_free(&c->out);
	c->phase = LINGER;
	set_deadline(c, LINGER_SECONDS);
}

static enum step do_write(struct conn *c)
{
	while (c->out_done < c->out.len) {
		size_t left = c->out.len - c->out_done;
		int n;

		ERR_clear_error();
		n = SSL_write(c->ssl, c->out.data + c->out_done, (int)left);
		if (n <= 0)
			return step_wait(c, n);
		c->out_done += (size_t)n;
	}
	if (c->phase == CONTINUE) {
		c->phase = BODY;
		return STEP_ON;
	}
	if (c->closing) {
		conn_begin_linger(c);
		return STEP_ON;
	}
	conn_next_request(c);
	/* Other connections come first: a client that sends ahead gets one answer a turn. */
	event_active(c->readable, EV_READ, 0);
	return STEP_WAIT;
}

static enum step do_linger(struct conn *c)
{
	char trash[16384];
	ssize_t n = read(c->fd, trash, sizeof(trash));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return event_add(c->readable, NULL) ? STEP_CLOSE : STEP_WAIT;
	if (n <= 0)
		return STEP_CLOSE;
	c->lingered += (size_t)n;
	return c->lingered > LINGER_BYTES ? STEP_CLOSE : STEP_ON;
}

static void conn_run(struct conn *c)
{
	static enum step (*const phases[])(struct conn *) = {
		[HANDSHAKE] = do_handshake,
		[HEAD] = do_head,
		[BODY] = do_body,
		[CONTINUE] = do_write,
		[ANSWER] = do_write,
		[LINGER] = do_linger,
	};
	enum step next;

	do
		next = phases[c->phase](c);
	while (next == STEP_ON);
	if (next == STEP_CLOSE)
		conn_free(c);
}

/* The listener */

static struct conn *conn_new(struct http_server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = s;
	c->fd = fd;
	buf_init_secret(&c->in, HTTP_HEADER_MAX + s->o.body_max);
	buf_init_secret(&c->out, HTTP_REPLY_MAX + 4096);
	TAILQ_INSERT_TAIL(&s->all, c, all);
	s->count++;
	c->readable = event_new(s->base, fd, EV_READ, on_io, c);
	c->writable = event_new(s->base, fd, EV_WRITE, on_io, c);
	c->deadline = evtimer_new(s->base, on_deadline, c);
	c->ssl = SSL_new(s->tls);
	if (c->readable && c->writable && c->deadline && c->ssl && SSL_set_fd(c->ssl, fd) == 1)
		return c;
	/* conn_free closes fd */
	conn_free(c);
	return NULL;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
	struct http_server *s = arg;
	struct conn *c, *oldest = TAILQ_FIRST(&s->idle);
	int one = 1;

	if (s->count >= s->o.connections && oldest)
		conn_free(oldest);
	if (s->count >= s->o.connections + OVERFLOW_CONNECTIONS) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = conn_new(s, fd);
	if (!c) {
		log_error("out of memory: a connection is closed");
		return;
	}
	c->over = s->count > s->o.connections;
	set_deadline(c, s->o.timeout);
	conn_run(c);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	if (s->listener)
		evconnlistener_enable(s->listener);
}

/* Out of descriptors: accepting at once again would spin. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
	struct http_server *s = arg;
	struct timeval pause = {.tv_usec = 100000};

	log_error("cannot accept connections: %s", strerror(errno));
	evconnlistener_disable(l);
	event_add(s->resume, &pause);
}

static int parse_address(const char *text, struct addrinfo **ret, struct error *err)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(text, ':');
	char host[HTTP_ADDRESS_MAX];
	size_t n = colon ? (size_t)(colon - text) : 0;
	bool bracket = n > 2 && text[0] == '[' && text[n - 1] == ']';

	if (!colon || n == 0 || n >= sizeof(host) || !colon[1])
		return error_set(err, ERR_INPUT, "listen address \"%s\" is not ADDR:PORT", text);
	memcpy(host, text + bracket, n - 2 * bracket);
	host[n - 2 * bracket] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, ret))
		return error_set(err, ERR_INPUT, "listen address \"%s\" is not a numeric ADDR:PORT", text);
	return 0;
}

static int read_address(struct http_server *s, struct error *err)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	char host[64], port[16];

	if (getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&a, &n) ||
		getnameinfo((struct sockaddr *)&a, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return error_set(err, ERR_IO, "cannot read the address of the listening socket");
	snprintf(s->address, sizeof(s->address), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	return 0;
}

static int start_listening(struct http_server *s, struct error *err)
{
	struct addrinfo *a = NULL;
	int rc;

	if (parse_address(s->o.listen, &a, err))
		return -1;
	s->listener = evconnlistener_new_bind(s->base, on_accept, s,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 512, a->ai_addr,
		(int)a->ai_addrlen);
	rc = errno;
	freeaddrinfo(a);
	if (!s->listener)
		return error_set_errno(err, rc, "cannot listen on %s", s->o.listen);
	evconnlistener_set_error_cb(s->listener, on_accept_error);
	return read_address(s, err);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	s->done(s->done_arg);
}

int http_server_new(
	struct event_base *base, const struct http_options *o, struct http_server **ret, struct error *err)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, ERR_NOMEM, "out of memory");
	s->o = *o;
	s->base = base;
	TAILQ_INIT(&s->all);
	TAILQ_INIT(&s->idle);
	s->resume = evtimer_new(base, on_resume, s);
	s->done_event = event_new(base, -1, 0, on_done, s);
	if (!s->resume || !s->done_event) {
		error_set(err, ERR_NOMEM, "out of memory");
		goto fail;
	}
	if (http_tls_context(o->key, o->cert, &s->tls, err) || start_listening(s, err))
		goto fail;
	s->o.listen = NULL;
	*ret = s;
	return 0;
fail:
	http_server_free(s);
	return -1;
}

const char *http_server_address(const struct http_server *s)
{
	return s->address;
}

unsigned http_server_connections(const struct http_server *s)
{
	return s->count;
}

void http_server_stop(struct http_server *s, void (*done)(void *arg), void *arg)
{
	struct conn *c, *next;

	if (s->stopping)
		return;
	evconnlistener_free(s->listener);
	s->listener = NULL;
	for (c = TAILQ_FIRST(&s->all); c; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->phase == HEAD && !c->in.len)
			conn_free(c);
		else if (c->phase == HANDSHAKE)
			set_deadline(c, LINGER_SECONDS);
	}
	s->done = done;
	s->done_arg = arg;
	s->stopping = true;
	if (!s->count)
		event_active(s->done_event, 0, 0);
}

void http_server_free(struct http_server *s)
{
	struct conn *c;

	if (!s)
		return;
	if (s->done_event)
		event_free(s->done_event);
	s->done_event = NULL;
	while ((c = TAILQ_FIRST(&s->all)))
		conn_free(c);
	if (s->listener)
		evconnlistener_free(s->listener);
	if (s->resume)
		event_free(s->resume);
	SSL_CTX_free(s->tls);
	free(s);
}
