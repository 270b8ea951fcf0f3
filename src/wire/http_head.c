#include "wire/http_head.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int parse_port(const char *s, size_t n, uint16_t *ret)
{
	unsigned int port = 0;

	if (n == 0 || n > 5)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		port = port * 10 + (unsigned int)(s[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return -1;
	*ret = (uint16_t)port;
	return 0;
}

/* Printable ASCII without what would end a header field or a URL's authority. */
static bool host_ok(const char *s, size_t n)
{
	if (n == 0 || n > HTTP_HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] <= ' ' || s[i] >= 0x7f || strchr("/@[]\\\"", s[i]))
			return false;
	}
	return true;
}

int http_address_parse(const char *s, uint16_t default_port, struct http_address *ret, struct error *err)
{
	struct http_address a = {.port = default_port};
	const char *host = s, *end = s + strlen(s), *colon = strchr(s, ':'), *port = NULL;
	struct in6_addr v6;
	bool bracketed = *s == '[', is_v6;

	if (bracketed) {
		host = s + 1;
		end = strchr(host, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return error_set(err, ERR_INPUT, "'%s' is not an address, wanted [V6]:PORT", s);
		port = end[1] ? end + 2 : NULL;
	} else if (colon && !strchr(colon + 1, ':')) {
		end = colon;
		port = colon + 1;
	}
	if (!host_ok(host, (size_t)(end - host)))
		return error_set(
			err, ERR_INPUT, "'%s' is not an address, wanted HOST, HOST:PORT or [V6]:PORT", s);
	memcpy(a.host, host, (size_t)(end - host));
	is_v6 = inet_pton(AF_INET6, a.host, &v6) == 1;
	if (is_v6 != (bracketed || strchr(a.host, ':') != NULL))
		return error_set(err, ERR_INPUT, "'%s' is not an IPv6 address", a.host);
	if (port && parse_port(port, strlen(port), &a.port) < 0)
		return error_set(err, ERR_INPUT, "'%s' has port '%s', wanted 1 to 65535", s, port);
	snprintf(a.text, sizeof(a.text), is_v6 ? "[%s]:%u" : "%s:%u", a.host, a.port);
	*ret = a;
	return 0;
}

size_t http_head_length(const uint8_t *p, size_t n)
{
	const uint8_t *end = n ? memmem(p, n, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - p) + 4 : 0;
}

/* "HTTP/1.x NNN", then a space and a reason or nothing. */
static int parse_status(const char *s, size_t n, struct http_head *h, struct error *err)
{
	if (n < 12 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ' ||
		(n > 12 && s[12] != ' '))
		return error_set(err, ERR_PEER, "the answer does not start with a status line of HTTP/1.1");
	for (size_t i = 9; i < 12; i++) {
		if (s[i] < '0' || s[i] > '9')
			return error_set(err, ERR_PEER, "the answer's status is not a number");
	}
	h->status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
	if (h->status < 200 || h->status > 599)
		return error_set(err, ERR_PEER, "the answer has status %d, wanted 200 to 599", h->status);
	h->close = s[7] == '0';
	return 0;
}

static int parse_length(const char *s, size_t n, size_t max, size_t *ret, struct error *err)
{
	size_t len = 0;

	if (n == 0)
		return error_set(err, ERR_PEER, "the answer's Content-Length is empty");
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return error_set(err, ERR_PEER, "the answer's Content-Length is not a number");
		len = len * 10 + (size_t)(s[i] - '0');
		if (len > max)
			return error_set(err, ERR_LIMIT,
				"the answer's Content-Length starts with %zu, at most %zu bytes are taken",
				len, max);
	}
	*ret = len;
	return 0;
}

static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] <= ' ' || s[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", s[i]))
			return false;
	}
	return n > 0;
}

static bool name_is(const char *s, size_t n, const char *name)
{
	return n == strlen(name) && strncasecmp(s, name, n) == 0;
}

static int parse_field(
	const char *s, size_t n, size_t max, struct http_head *h, bool *seen_length, struct error *err)
{
	const char *colon = memchr(s, ':', n), *value;
	size_t name_len, len;

	if (!colon || !is_token(s, (size_t)(colon - s)))
		return error_set(err, ERR_PEER, "the answer has a header line that is not NAME: VALUE");
	name_len = (size_t)(colon - s);
	value = colon + 1;
	len = n - name_len - 1;
	for (; len > 0 && (*value == ' ' || *value == '\t'); len--)
		value++;
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
			return error_set(err, ERR_PEER, "the answer has a control character in its header");
	}
	if (name_is(s, name_len, "Transfer-Encoding"))
		return error_set(
			err, ERR_PEER, "the answer has a Transfer-Encoding, wanted a Content-Length");
	if (name_is(s, name_len, "Connection") && memmem(value, len, "close", 5))
		h->close = true;
	if (!name_is(s, name_len, "Content-Length"))
		return 0;
	if (*seen_length)
		return error_set(err, ERR_PEER, "the answer has two Content-Lengths");
	*seen_length = true;
	return parse_length(value, len, max, &h->body_len, err);
}

int http_head_parse(const uint8_t *p, size_t n, size_t max, struct http_head *ret, struct error *err)
{
	const char *s = (const char *)p, *end = s + n;
	struct http_head h = {0};
	bool first = true, seen_length = false;

	while (s < end) {
		const char *eol = memmem(s, (size_t)(end - s), "\r\n", 2);
		size_t len = eol ? (size_t)(eol - s) : 0;
		int rc;

		if (!eol)
			return error_set(err, ERR_PEER, "the answer's header does not end");
		if (len == 0)
			break;
		rc = first ? parse_status(s, len, &h, err) : parse_field(s, len, max, &h, &seen_length, err);
		if (rc < 0)
			return -1;
		first = false;
		s = eol + 2;
	}
	if (first)
		return error_set(err, ERR_PEER, "the answer has no status line");
	if (h.status == 204 || h.status == 304) {
		if (h.body_len > 0)
			return error_set(err, ERR_PEER, "the answer has status %d and a body of %zu bytes",
				h.status, h.body_len);
	} else if (!seen_length) {
		return error_set(err, ERR_PEER, "the answer with status %d has no Content-Length", h.status);
	}
	*ret = h;
	return 0;
}

static bool all_visible(const char *s, bool spaces)
{
	for (; *s; s++) {
		if (*s < ' ' || *s >= 0x7f || (*s == ' ' && !spaces))
			return false;
	}
	return true;
}

int http_request_write(const char *method, const char *path, const char *host, const char *content_type,
	const void *body, size_t n, struct buf *out, struct error *err)
{
	/* the answer to HEAD has a Content-Length and no body, which the reader does not know */
	if (strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) || !*method ||
		strcmp(method, "HEAD") == 0)
		return error_set(
			err, ERR_INPUT, "HTTP method '%s' is not one of GET, POST, PUT, DELETE", method);
	if (path[0] != '/' || !all_visible(path, false))
		return error_set(
			err, ERR_INPUT, "HTTP path '%s' is not a path of visible ASCII characters", path);
	if (content_type && !all_visible(content_type, true))
		return error_set(err, ERR_INPUT, "content type '%s' has other than visible ASCII characters",
			content_type);
	buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n", method, path, host, n);
	if (content_type)
		buf_printf(out, "Content-Type: %s\r\n", content_type);
	buf_puts(out, "\r\n");
	buf_put(out, body, n);
	if (out->failed)
		return error_set(err, ERR_LIMIT, "request %s %s with a body of %zu bytes does not fit",
			method, path, n);
	return 0;
}
