#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "cas/http_parse.h"

size_t http_request_length(const char *p, size_t n)
{
	const char *end = n < 4 ? NULL : memmem(p, n, "\r\n\r\n", 4);

	return end ? (size_t)(end - p) + 4 : 0;
}

static PRINTF_LIKE(4, 5) int refuse(
	struct http_refusal *r, int status, const char *code, const char *fmt, ...)
{
	va_list ap;

	r->status = status;
	r->code = code;
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* RFC 9110 5.6.2 */
static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_length(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && is_token_char((unsigned char)p[i]))
		i++;
	return i;
}

static int parse_target(const char *p, size_t n, struct http_head *h, struct http_refusal *r)
{
	const char *mark = memchr(p, '?', n);
	size_t path_len = mark ? (size_t)(mark - p) : n;

	if (n == 0 || p[0] != '/')
		return refuse(r, 400, "INPUT", "request target does not begin with '/'");
	if (n >= HTTP_TARGET_MAX)
		return refuse(r, 414, "LIMIT", "request target of %zu bytes, at most %d are read", n,
			HTTP_TARGET_MAX - 1);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] <= 0x20 || (unsigned char)p[i] > 0x7e || p[i] == '#')
			return refuse(r, 400, "INPUT",
				"request target: byte 0x%02x at %zu is not allowed there",
				(unsigned char)p[i], i);
	memcpy(h->path, p, path_len);
	h->path[path_len] = '\0';
	if (mark) {
		memcpy(h->query, mark + 1, n - path_len - 1);
		h->query[n - path_len - 1] = '\0';
	}
	return 0;
}

/* method SP target SP HTTP/1.1 */
static int parse_request_line(const char *p, size_t n, struct http_head *h, struct http_refusal *r)
{
	size_t method = token_length(p, n);
	const char *target = p + method + 1, *space;

	if (method == 0 || method >= n || p[method] != ' ')
		return refuse(r, 400, "INPUT", "request line does not begin with a method");
	if (method >= HTTP_METHOD_MAX)
		return refuse(r, 400, "INPUT", "method of %zu characters", method);
	space = memchr(target, ' ', n - method - 1);
	if (!space)
		return refuse(r, 400, "INPUT", "request line has no protocol version");
	if ((size_t)(p + n - space - 1) != 8 || memcmp(space + 1, "HTTP/1.1", 8)) {
		bool http = p + n - space - 1 == 8 && !memcmp(space + 1, "HTTP/", 5);

		return refuse(r, http ? 505 : 400, "INPUT", "the protocol is not HTTP/1.1");
	}
	memcpy(h->method, p, method);
	h->method[method] = '\0';
	return parse_target(target, (size_t)(space - target), h, r);
}

/* Fields seen so far that may come only once. */
struct seen {
	bool host, length, authorization;
};

static bool name_is(const char *p, size_t n, const char *name)
{
	return strlen(name) == n && !strncasecmp(p, name, n);
}

static bool value_is(const char *p, size_t n, const char *value)
{
	return strlen(value) == n && !strncasecmp(p, value, n);
}

static int parse_length(const char *p, size_t n, size_t body_max, struct http_head *h, struct seen *seen,
	struct http_refusal *r)
{
	size_t v = 0;

	if (seen->length)
		return refuse(r, 400, "INPUT", "more than one Content-Length");
	seen->length = true;
	if (n == 0 || n > 18)
		return refuse(r, n ? 413 : 400, n ? "LIMIT" : "INPUT", "Content-Length has %zu digits", n);
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return refuse(r, 400, "INPUT", "Content-Length is not a number");
		v = v * 10 + (size_t)(p[i] - '0');
	}
	if (v > body_max)
		return refuse(r, 413, "LIMIT", "body of %zu bytes, at most %zu are read", v, body_max);
	h->content_length = v;
	return 0;
}

/* Connection: a list of tokens; "close" is the only one that matters here. */
static void parse_connection(const char *p, size_t n, struct http_head *h)
{
	while (n > 0) {
		const char *comma = memchr(p, ',', n);
		size_t len = comma ? (size_t)(comma - p) : n, skip = 0, word;

		while (skip < len && (p[skip] == ' ' || p[skip] == '\t'))
			skip++;
		word = token_length(p + skip, len - skip);
		if (value_is(p + skip, word, "close"))
			h->keep_alive = false;
		n -= comma ? len + 1 : len;
		p += comma ? len + 1 : len;
	}
}

static int keep(const char *p, size_t n, char *to, size_t size, const char *name, struct http_refusal *r)
{
	if (n >= size)
		return refuse(r, 400, "INPUT", "%s of %zu bytes, at most %zu are read", name, n, size - 1);
	memcpy(to, p, n);
	to[n] = '\0';
	return 0;
}

/* A page of ours, or no page at all. */
static int check_origin(const struct http_head *h, struct http_refusal *r)
{
	static const char scheme[] = "https://";

	if (!h->origin[0] || (!strncmp(h->origin, scheme, sizeof(scheme) - 1) &&
				     !strcasecmp(h->origin + sizeof(scheme) - 1, h->host)))
		return 0;
	return refuse(r, 403, "ACCESS", "Origin %.128s: another site's page sends this request", h->origin);
}

static int parse_field(const char *p, size_t n, size_t body_max, struct http_head *h, struct seen *seen,
	struct http_refusal *r)
{
	size_t name = token_length(p, n), end = n, at;

	if (name == 0 || name >= n || p[name] != ':')
		return refuse(r, 400, "INPUT", "malformed header field");
	at = name + 1;
	while (at < end && (p[at] == ' ' || p[at] == '\t'))
		at++;
	while (end > at && (p[end - 1] == ' ' || p[end - 1] == '\t'))
		end--;
	for (size_t i = at; i < end; i++)
		if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
			return refuse(r, 400, "INPUT", "header field %.*s holds a control character",
				(int)(name > 64 ? 64 : name), p);
	if (name_is(p, name, "content-length"))
		return parse_length(p + at, end - at, body_max, h, seen, r);
	if (name_is(p, name, "transfer-encoding"))
		return refuse(r, 501, "INPUT", "Transfer-Encoding is not supported: send Content-Length");
	if (name_is(p, name, "host")) {
		if (seen->host)
			return refuse(r, 400, "INPUT", "more than one Host");
		seen->host = true;
		return keep(p + at, end - at, h->host, sizeof(h->host), "Host", r);
	}
	if (name_is(p, name, "origin"))
		return keep(p + at, end - at, h->origin, sizeof(h->origin), "Origin", r);
	if (name_is(p, name, "sec-fetch-site") && !value_is(p + at, end - at, "same-origin") &&
		!value_is(p + at, end - at, "none"))
		return refuse(r, 403, "ACCESS", "another site's page sends this request");
	if (name_is(p, name, "authorization")) {
		if (seen->authorization || end - at >= HTTP_AUTHORIZATION_MAX)
			return refuse(r, 400, "INPUT", "more than one Authorization, or one of over %d bytes",
				HTTP_AUTHORIZATION_MAX - 1);
		seen->authorization = true;
		memcpy(h->authorization, p + at, end - at);
		h->authorization[end - at] = '\0';
	}
	if (name_is(p, name, "connection"))
		parse_connection(p + at, end - at, h);
	if (name_is(p, name, "expect")) {
		if (!value_is(p + at, end - at, "100-continue"))
			return refuse(r, 417, "INPUT", "Expect is not 100-continue");
		h->expect_continue = true;
	}
	return 0;
}

int http_request_parse(
	const char *p, size_t n, size_t body_max, struct http_head *ret, struct http_refusal *refusal)
{
	const char *end = p + n - 2; /* before the empty line */
	struct seen seen = {0};
	bool first = true;

	memset(ret, 0, sizeof(*ret));
	ret->keep_alive = true;
	while (p < end) {
		const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		size_t len = eol ? (size_t)(eol - p) : 0;

		if (!eol)
			return refuse(refusal, 400, "INPUT", "malformed header");
		if (memchr(p, '\n', len) || memchr(p, '\r', len) || memchr(p, '\0', len))
			return refuse(refusal, 400, "INPUT", "header line holds CR, LF or NUL");
		if (first ? parse_request_line(p, len, ret, refusal)
			  : parse_field(p, len, body_max, ret, &seen, refusal))
			return -1;
		first = false;
		p = eol + 2;
	}
	if (first)
		return refuse(refusal, 400, "INPUT", "no request line");
	if (!seen.host)
		return refuse(refusal, 400, "INPUT", "no Host");
	return check_origin(ret, refusal);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int http_percent_decode(const char *text, size_t n, char *out, struct error *err)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int high, low, c;

		if (text[i] != '%') {
			out[len++] = text[i];
			continue;
		}
		high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
		low = high >= 0 ? hex_digit(text[i + 2]) : -1;
		if (low < 0)
			return error_set(
				err, ERR_INPUT, "path: '%%' at %zu is not followed by two hex digits", i);
		c = high * 16 + low;
		if (c <= 0x20 || c > 0x7e || c == '/')
			return error_set(
				err, ERR_INPUT, "path: escape %%%02X at %zu is not allowed", (unsigned)c, i);
		out[len++] = (char)c;
		i += 2;
	}
	out[len] = '\0';
	return 0;
}

int http_query_value(const char *query, const char *name, const char **ret, struct error *err)
{
	size_t n = strlen(name);

	*ret = NULL;
	if (!query[0])
		return 0;
	if (strncmp(query, name, n) || query[n] != '=' || strchr(query, '&'))
		return error_set(err, ERR_INPUT, "query \"%.64s\" is not \"%s=VALUE\"", query, name);
	*ret = query + n + 1;
	return 0;
}

const char *http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{409, "Conflict"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{417, "Expectation Failed"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Other";
}
