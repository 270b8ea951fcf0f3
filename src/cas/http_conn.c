#include "cas/http_conn.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/err.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "cas/metrics.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/x509.h"
#include "wire/json_wipe.h"

#define LINGER_BYTES (16 * 1024 * 1024)
/* Bodies of all connections together, being received. */
#define BODIES_MAX (64 * 1024 * 1024)
/* Without a certificate nothing needs more than this. */
#define ANONYMOUS_BODY_MAX (16 * 1024)
#define CONTINUE_TEXT "HTTP/1.1 100 Continue\r\n\r\n"
#define JSON_TYPE "application/json"

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
	r->content_type = NULL;
	buf_reset(&r->body);
	buf_puts(&r->body, s ? s : "{\"error\":{\"code\":\"NOMEM\",\"text\":\"out of memory\"}}");
	json_free(s);
	json_decref(j);
}

uint64_t http_microseconds(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void http_conn_deadline(struct conn *c, unsigned seconds)
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

void http_conn_free(struct conn *c)
{
	struct http_server *s = c->server;

	conn_not_idle(c);
	TAILQ_REMOVE(&s->all, c, all);
	s->count--;
	http_peers_leave(s->peers, c->peer, http_microseconds());
	metric_set(s->o.metrics, METRIC_CONNECTIONS, s->count);
	s->bodies -= c->reserved;
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->deadline)
		event_free(c->deadline);
	SSL_free(c->ssl);
	close(c->fd);
	buf_free(&c->job.r.body);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
	if (s->stopping && !s->count && s->done_event)
		event_active(s->done_event, 0, 0);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	http_conn_run(arg);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	log_debug("connection %d: time is up in phase %d", c->fd, (int)c->phase);
	metric_add(c->server->o.metrics, METRIC_TIMED_OUT, 1);
	http_conn_free(c);
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
		http_conn_deadline(c, c->server->o.timeout);
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
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: "
		"%zu\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
		r->status, http_status_text(r->status), date, r->content_type ? r->content_type : JSON_TYPE,
		r->body.len);
	if (r->status == 429)
		buf_puts(&c->out, "Retry-After: 1\r\n");
	if (r->allow)
		buf_printf(&c->out, "Allow: %s\r\n", r->allow);
	if (r->policy)
		buf_printf(&c->out, "Content-Security-Policy: %s\r\nReferrer-Policy: no-referrer\r\n",
			r->policy);
	buf_puts(&c->out, c->closing ? "Connection: close\r\n\r\n" : "\r\n");
	if (!head_only)
		buf_put(&c->out, r->body.data, r->body.len);
	log_debug("connection %d: %s %.128s: %d", c->fd, c->head.method, c->head.path, r->status);
	c->out_done = 0;
	c->phase = ANSWER;
	http_conn_deadline(c, c->server->o.timeout);
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

		if (next == STEP_CLOSE) {
			metric_add(c->server->o.metrics, METRIC_HANDSHAKES_FAILED, 1);
			log_debug("connection %d: handshake: %s", c->fd,
				ERR_reason_error_string(ERR_peek_error()));
		}
		return next;
	}
	cert = SSL_get0_peer_certificate(c->ssl);
	if (cert) {
		if (x509_key_hash(cert, c->key, NULL))
			return STEP_CLOSE;
		c->has_key = true;
	}
	c->phase = HEAD;
	http_conn_deadline(c, c->server->stopping ? HTTP_LINGER_SECONDS : c->server->o.timeout);
	return STEP_ON;
}

static enum step begin_body(struct conn *c)
{
	struct http_server *s = c->server;
	size_t n = c->head.content_length;

	if (c->over) {
		metric_add(s->o.metrics, METRIC_OVERLOADED, 1);
		return conn_refuse(c, 429, "LIMIT", "too many connections: try again later");
	}
	if (c->peer_over || !http_peers_request(s->peers, c->peer, http_microseconds())) {
		metric_add(s->o.metrics, METRIC_PEER_REFUSED, 1);
		return conn_refuse(c, 429, "LIMIT",
			c->peer_over ? "too many connections from your address: try again later"
				     : "too many requests from your address in a second: try again later");
	}
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

	c->head_len = http_request_length((const char *)c->in.data, c->in.len);
	if (!c->head_len && c->in.len < HTTP_HEADER_MAX)
		return conn_read(c, HTTP_HEADER_MAX - c->in.len);
	if (!c->head_len || c->head_len > HTTP_HEADER_MAX) {
		memset(&c->head, 0, sizeof(c->head));
		snprintf(text, sizeof(text), "a header over the limit of %d bytes", HTTP_HEADER_MAX);
		return conn_refuse(c, 431, "LIMIT", text);
	}
	if (http_request_parse(
		    (const char *)c->in.data, c->head_len, c->server->o.body_max, &c->head, &refusal))
		return conn_refuse(c, refusal.status, refusal.code, refusal.text);
	return begin_body(c);
}

/* The request is whole: the working thread has it, and no deadline of the peer's counts meanwhile. */
static enum step do_body(struct conn *c)
{
	size_t want = c->head_len + c->head.content_length;

	if (c->in.len < want)
		return conn_read(c, want - c->in.len);
	c->job.q = (struct http_request){
		.method = c->head.method,
		.path = c->head.path,
		.query = c->head.query,
		.body = c->in.data + c->head_len,
		.body_len = c->head.content_length,
		.key = c->has_key ? c->key : NULL,
		.authorization = c->head.authorization,
		.local = c->local,
	};
	c->job.r = (struct http_reply){.status = 500};
	buf_init_secret(&c->job.r.body, HTTP_REPLY_MAX);
	event_del(c->deadline);
	c->asked = http_microseconds();
	c->phase = WORK;
	http_work_add(c->server->work, &c->job);
	return STEP_WAIT;
}

static enum step do_nothing(struct conn *c)
{
	return STEP_WAIT;
}

void http_conn_answered(struct http_job *job)
{
	struct conn *c = (struct conn *)((char *)job - offsetof(struct conn, job));
	struct http_reply *r = &job->r;

	if (r->body.failed) {
		r->body.failed = false;
		http_reply_error(r, 500, "LIMIT", "the answer is over the limit of 16 MiB");
	}
	metric_latency(c->server->o.metrics, http_microseconds() - c->asked);
	metric_request(c->server->o.metrics, r->route, r->status);
	conn_begin_answer(c, r);
	buf_free(&r->body);
	secret_wipe(c->head.authorization, sizeof(c->head.authorization));
	if (c->out.failed)
		http_conn_free(c);
	else
		http_conn_run(c);
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
		http_conn_deadline(c, c->server->o.timeout);
		return;
	}
	c->is_idle = true;
	TAILQ_INSERT_TAIL(&c->server->idle, c, idle);
	http_conn_deadline(c, 4 * c->server->o.timeout);
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
	http_conn_deadline(c, HTTP_LINGER_SECONDS);
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

void http_conn_run(struct conn *c)
{
	static enum step (*const phases[])(struct conn *) = {
		[HANDSHAKE] = do_handshake,
		[HEAD] = do_head,
		[BODY] = do_body,
		[CONTINUE] = do_write,
		[WORK] = do_nothing,
		[ANSWER] = do_write,
		[LINGER] = do_linger,
	};
	enum step next;

	do
		next = phases[c->phase](c);
	while (next == STEP_ON);
	if (next == STEP_CLOSE)
		http_conn_free(c);
}

struct conn *http_conn_new(struct http_server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
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
	http_conn_free(c);
	return NULL;
}
