/*
 * http_parse: the requests CAS understands, HTTP/1.1 (RFC 9112), strictly. No I/O.
 *
 * Refused: other versions, bare LF, folded lines, white space before a colon, control characters, more than one Host or Content-Length,
 * any Transfer-Encoding, targets that are not a path, and what a browser sends for another site's page (Origin, Sec-Fetch-Site): the browser
 * would show its user's certificate with it.
 */
#ifndef SCONE_CAS_HTTP_PARSE_H
#define SCONE_CAS_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"
#include "core/error.h"

#define HTTP_HEADER_MAX (16 * 1024) /* request line and fields, with the empty line */
#define HTTP_METHOD_MAX 16
#define HTTP_TARGET_MAX 8192
#define HTTP_AUTHORIZATION_MAX 4096
#define HTTP_HOST_MAX 300

struct http_head {
	char method[HTTP_METHOD_MAX];
	char path[HTTP_TARGET_MAX]; /* as sent, from '/', without query */
	char query[HTTP_TARGET_MAX]; /* as sent, without '?' */
	char authorization[HTTP_AUTHORIZATION_MAX]; /* "" if absent; a secret */
	char host[HTTP_HOST_MAX], origin[HTTP_HOST_MAX + 8]; /* "" if absent */
	size_t content_length;
	bool keep_alive;
	bool expect_continue;
};

/* What is wrong, ready to be answered; status 0: nothing. */
struct http_refusal {
	int status;
	const char *code; /* as in docs/protocols.md */
	char text[256];
};

/* Length of the header at p with its empty line; 0 if it is not complete within n bytes. */
size_t http_request_length(const char *p, size_t n);

/* Parse a complete header of n bytes. A body over body_max is a refusal with status 413. -1: *refusal is filled. */
MUST_USE int http_request_parse(
	const char *p, size_t n, size_t body_max, struct http_head *ret, struct http_refusal *refusal);

/* Undo percent encoding: only of characters that stand for themselves in a path segment anyway; "%2F", "%00", bytes over 0x7e and
 * malformed escapes are errors. out holds at least strlen(text) + 1. */
MUST_USE int http_percent_decode(const char *text, size_t n, char *out, struct error *err);

/* Value of a query of the form "name=value" with nothing else; NULL if query is empty. */
MUST_USE int http_query_value(const char *query, const char *name, const char **ret, struct error *err);

const char *http_status_text(int status);

#endif
