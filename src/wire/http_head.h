/*
 * http_head: the parts of HTTP/1.1 (RFC 9112) that the client reads and writes as text. Codecs only, no I/O.
 */
#ifndef SCONE_WIRE_HTTP_HEAD_H
#define SCONE_WIRE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define HTTP_HEAD_MAX (16 * 1024) /* bytes of status line and header fields */
#define HTTP_HOST_MAX 255

struct http_address {
	char host[HTTP_HOST_MAX + 1]; /* name, IPv4 or IPv6 without brackets */
	uint16_t port;
	char text[HTTP_HOST_MAX + 16]; /* HOST:PORT or [V6]:PORT, for Host and errors */
};

/* "HOST:PORT", "[V6]:PORT", "[V6]", "V6" or "HOST". */
MUST_USE int http_address_parse(
	const char *s, uint16_t default_port, struct http_address *ret, struct error *err);

struct http_head {
	int status; /* 200 to 599 */
	size_t body_len; /* at most the max given */
	bool close; /* the server will close the connection */
};

/* Length of a head including its empty line, or 0 if p does not hold a whole one yet. */
size_t http_head_length(const uint8_t *p, size_t n);
/* p: a whole head. Content-Length is required, once; Transfer-Encoding, folded lines and 1xx are refused (ERR_PEER). A body over max is
 * ERR_LIMIT. */
MUST_USE int http_head_parse(
	const uint8_t *p, size_t n, size_t max, struct http_head *ret, struct error *err);

/* Request line, header and body, appended. ERR_INPUT if method, path or content_type has a character that does not belong there. */
MUST_USE int http_request_write(const char *method, const char *path, const char *host,
	const char *content_type, const void *body, size_t n, struct buf *out, struct error *err);

#endif
