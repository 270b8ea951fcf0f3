/*
 * http_client: one HTTPS/1.1 connection over OpenSSL, blocking, with deadlines. Used by runtime and command line.
 *
 * The peer is trusted by its key, not by a name: the server certificate's key hash must equal the pinned one. That is decided inside the
 * handshake, before the client certificate or any byte of a request is sent. TLS 1.3 only. Never raises SIGPIPE.
 *
 * ERR_IO: not reached, reset, or the deadline passed. ERR_PEER: another key, no TLS 1.3, an answer that is not HTTP/1.1 with a
 * Content-Length. ERR_LIMIT: an answer that is too long. A connection serves one thread at a time.
 */
#ifndef SCONE_WIRE_HTTP_CLIENT_H
#define SCONE_WIRE_HTTP_CLIENT_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

struct http_client;

struct http_client_options {
	/* "HOST:PORT", "[V6]:PORT", or HOST (port 8081); several CAS of one key: comma-separated, of which the first that is reached is taken, beginning
	 * with any of them. The timeout is for each. */
	const char *address;
	const uint8_t *pinned_key; /* 32-byte key hash; NULL only with accept_any; checked when given */
	bool accept_any; /* take any server key (used by `cas add`/`cas attest` to learn it); http_client_server_key tells it */
	bool numeric_only; /* no name resolution (inside the runtime) */
	X509 *cert; /* client certificate and key; may be NULL */
	EVP_PKEY *key;
	int timeout_ms; /* for connect and for each whole request; 0: 15000 */
};

struct http_response {
	int status;
	struct buf body; /* secret buf, at most HTTP_BODY_MAX */
};
#define HTTP_BODY_MAX (16 * 1024 * 1024)
#define CAS_DEFAULT_PORT 8081

MUST_USE int http_client_open(
	const struct http_client_options *o, struct http_client **ret, struct error *err);
/* Was the last request begun, and no whole answer came: the connection ended, the deadline passed, or what came was no HTTP? Then it is not known whether CAS
 * did what it was asked for. */
bool http_client_lost(const struct http_client *c);
/* Connect once more, to any of the addresses given to http_client_open but, where there are several, last to the one that failed. The key must be the one
 * that was pinned, or that the first connection showed. For whoever knows that the request may be made twice. */
MUST_USE int http_client_again(struct http_client *c, struct error *err);
void http_client_close(struct http_client *c);
/* In the child of a fork: give up the parent's connection without a word on it. NULL is fine. */
void http_client_abandon(struct http_client *c);
/* key_hash of the server's certificate. */
void http_client_server_key(const struct http_client *c, uint8_t ret[32]);
/* One request; content_type and body may be NULL. Any HTTP status is success here. The connection stays usable unless the
 * answer said that it closes or something failed on the way; then later calls are ERR_IO. method is not HEAD; a method, path or type with
 * characters that do not belong there is ERR_INPUT, and nothing is sent. */
MUST_USE int http_client_request(struct http_client *c, const char *method, const char *path,
	const char *content_type, const void *body, size_t n, struct http_response *ret, struct error *err);
void http_response_free(struct http_response *r);
/* If status is not 2xx: turn the body {"error":{"code":"ACCESS","text":"…"}} into *err and return -1. Control characters
 * of the text become spaces; without code or text the status decides. "check", where it names one of evidence/check.h, is err->check. */
MUST_USE int http_response_check(const struct http_response *r, struct error *err);

#endif
