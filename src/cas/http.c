#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cas/http_conn.h"
#include "cas/http_tls.h"
#include "cas/metrics.h"
#include "core/log.h"

/* Connections beyond the limit that are still told so, before more are just closed. */
#define OVERFLOW_CONNECTIONS 32

static bool is_local(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

/* Its connection that has been idle longest, or NULL. */
static struct conn *oldest_of(struct http_server *s, const struct http_peer *peer)
{
	struct conn *c;

	TAILQ_FOREACH(c, &s->idle, idle)
	if (c->peer == peer)
		return c;
	return NULL;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
	struct http_server *s = arg;
	struct http_peer *peer;
	enum http_peer_word word = http_peers_enter(s->peers, addr, http_microseconds(), &peer);
	struct conn *c, *oldest = TAILQ_FIRST(&s->idle);
	int one = 1;

	/* before others make room for it */
	if (word == PEER_AWAY) {
		metric_add(s->o.metrics, METRIC_PEER_REFUSED, 1);
		close(fd);
		return;
	}
	if (word == PEER_OVER)
		oldest = oldest_of(s, peer);
	if ((word == PEER_OVER || s->count >= s->o.connections) && oldest) {
		http_conn_free(oldest);
		word = PEER_WELCOME;
	}
	if (s->count >= s->o.connections + OVERFLOW_CONNECTIONS) {
		metric_add(s->o.metrics, METRIC_OVERLOADED, 1);
		http_peers_leave(s->peers, peer, http_microseconds());
		close(fd);
		return;
	}
	metric_add(s->o.metrics, METRIC_ACCEPTED, 1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = http_conn_new(s, fd);
	if (!c) {
		log_error("out of memory: a connection is closed");
		http_peers_leave(s->peers, peer, http_microseconds());
		return;
	}
	c->peer = peer;
	c->peer_over = word == PEER_OVER;
	c->over = s->count > s->o.connections;
	c->local = is_local(addr);
	http_conn_deadline(c, s->o.timeout);
	http_conn_run(c);
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
	if (http_peers_new(o->peer_connections, o->peer_requests, &s->peers, err) ||
		http_tls_context(o->key, o->cert, &s->tls, err) ||
		http_work_new(base, o->run, o->arg, http_conn_answered, &s->work, err) ||
		start_listening(s, err))
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
			http_conn_free(c);
		else if (c->phase == HANDSHAKE)
			http_conn_deadline(c, HTTP_LINGER_SECONDS);
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
	http_work_free(s->work);
	if (s->done_event)
		event_free(s->done_event);
	s->done_event = NULL;
	while ((c = TAILQ_FIRST(&s->all)))
		http_conn_free(c);
	if (s->listener)
		evconnlistener_free(s->listener);
	if (s->resume)
		event_free(s->resume);
	http_peers_free(s->peers);
	SSL_CTX_free(s->tls);
	free(s);
}
