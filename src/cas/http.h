/*
 * http: HTTPS server on libevent and OpenSSL: an event loop, and one thread that answers (http_work.h). TLS 1.3 only; a client certificate is asked for and any is taken: its key is the
 * identity.
 *
 * Every phase of a connection has an absolute deadline (handshake, each whole request, each whole answer, idle), so a slow peer cannot hold
 * one longer by sending now and then. Request and answer bytes are wiped after use.
 */
#ifndef SCONE_CAS_HTTP_H
#define SCONE_CAS_HTTP_H

#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define HTTP_REPLY_MAX (16 * 1024 * 1024)
#define HTTP_ADDRESS_MAX 80

struct http_request {
	const char *method, *path, *query; /* path and query as sent; http_parse.h */
	const void *body;
	size_t body_len;
	const uint8_t *key; /* key hash of the client certificate; NULL: none */
	const char *authorization; /* the header field as sent; "" if there is none */
	bool local; /* the peer's address is of this host's loopback */
	bool waited; /* it was put aside once already */
};

struct http_reply {
	int status;
	struct buf body; /* JSON; a secret buf of at most HTTP_REPLY_MAX */
	const char *allow; /* with status 405: the methods allowed; static */
	const char *content_type; /* static; NULL: application/json */
	const char *policy; /* of a page: its Content-Security-Policy; static */
	void *later; /* not answered now: the request is put aside until this has come (remotes.h) */
	size_t route; /* which of the server's routes answered, for metrics */
};

struct http_job {
	struct http_request q;
	struct http_reply r; /* initialised; status 500 */
	struct http_job *next; /* of whoever has it */
	struct http_work *work; /* http_work's: where to add it again */
};
/* Fill the replies of n requests, in the working thread. Everything in q is valid during the call only. A job that is set to NULL is put aside: whoever has it
 * adds it again (http_work.h). */
typedef void (*http_runner)(void *arg, struct http_job **jobs, size_t n);

struct http_options {
	const char *listen; /* "ADDR:PORT" or "[V6]:PORT", numeric; port 0: any free one */
	EVP_PKEY *key; /* borrowed */
	X509 *cert; /* borrowed */
	size_t body_max;
	unsigned connections; /* at once; more are answered 429, many more are closed */
	unsigned peer_connections,
		peer_requests; /* of one address: at once, in a second; 0: no limit (http_peers.h) */
	unsigned
		timeout; /* seconds for a handshake, a whole request, a whole answer; idle connections: four times that */
	http_runner run;
	void *arg;
	struct metrics *metrics; /* or NULL */
};

struct http_server;
struct metrics;

/* Starts listening. ERR_INPUT: bad address; ERR_IO: cannot listen there. */
MUST_USE int http_server_new(
	struct event_base *base, const struct http_options *o, struct http_server **ret, struct error *err);
/* "ADDR:PORT" in use. */
const char *http_server_address(const struct http_server *s);
/* Stop accepting, close connections without a request, answer what has begun. done is called, from the event loop, when no connection is left. */
void http_server_stop(struct http_server *s, void (*done)(void *arg), void *arg);
unsigned http_server_connections(const struct http_server *s);
void http_server_free(struct http_server *s); /* closes whatever is left; NULL is fine */

/* Body {"error":{"code":…,"text":…}}. */
void http_reply_error(struct http_reply *r, int status, const char *code, const char *text);

#endif
