#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cas/http.h"
#include "cas/http_parse.h"

#define BODY_MAX 1000
#define HOST "Host: a\r\n"

/* Parse from a block of exactly that size, so that a sanitizer sees every byte read too many. */
static int parse(const char *text, size_t n, struct http_head *h, struct http_refusal *r)
{
	char *copy = malloc(n ? n : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, text, n);
	memset(r, 0, sizeof(*r));
	rc = http_request_parse(copy, n, BODY_MAX, h, r);
	free(copy);
	return rc;
}

static void test_good_requests(void **state)
{
	static const struct {
		const char *text, *method, *path, *query;
		size_t length;
		bool keep_alive, expect;
	} rows[] = {
		{"GET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", 0, true, false},
		{"POST /v1/sessions HTTP/1.1\r\nhOsT:a\r\ncontent-LENGTH:  1000 \r\n\r\n", "POST",
			"/v1/sessions", "", 1000, true, false},
		{"GET /a%20b?hash=12&x HTTP/1.1\r\n" HOST "Connection: keep-alive, Close\r\n\r\n", "GET",
			"/a%20b", "hash=12&x", 0, false, false},
		{"DELETE /a?b?c HTTP/1.1\r\n" HOST
		 "Expect: 100-Continue\r\nX-Y:\t\xc3\xa4 \r\nEmpty:\r\n\r\n",
			"DELETE", "/a", "b?c", 0, true, true},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 000000000000000007\r\nConnection: closed\r\n\r\n",
			"GET", "/", "", 7, true, false},
		{"GET / HTTP/1.1\r\nHost: a:81\r\nOrigin: https://A:81\r\nSec-Fetch-Site: "
		 "same-origin\r\n\r\n",
			"GET", "/", "", 0, true, false},
		{"GET / HTTP/1.1\r\nSec-Fetch-Site: none\r\n" HOST "\r\n", "GET", "/", "", 0, true, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_head h;
		struct http_refusal r;

		if (parse(rows[i].text, strlen(rows[i].text), &h, &r))
			fail_msg("row %zu: %s", i, r.text);
		assert_string_equal(h.method, rows[i].method);
		assert_string_equal(h.path, rows[i].path);
		assert_string_equal(h.query, rows[i].query);
		assert_int_equal(h.content_length, rows[i].length);
		assert_int_equal(h.keep_alive, rows[i].keep_alive);
		assert_int_equal(h.expect_continue, rows[i].expect);
	}
}

static void test_bad_requests(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{"\r\n\r\n", 400},
		{"GET\r\n\r\n", 400},
		{" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
		{"GET /\r\n" HOST "\r\n", 400},
		{"GET / http/1.1\r\n" HOST "\r\n", 400},
		{"GET / HTTP/1.0\r\n" HOST "\r\n", 505},
		{"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
		{"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /#f HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /\t HTTP/1.1\r\n" HOST "\r\n", 400},
		{"G(T / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"AVERYLONGMETHODNAME / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "novalue\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A: b\r\n folded\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A: b\nB: c\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A: b\rB: c\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 999999999999999999\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 501},
		{"GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417},
		{"GET / HTTP/1.1\r\n" HOST "Origin: https://b\r\n\r\n", 403},
		{"GET / HTTP/1.1\r\nOrigin: http://a\r\n" HOST "\r\n", 403},
		{"GET / HTTP/1.1\r\n" HOST "Origin: null\r\n\r\n", 403},
		{"GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\n\r\n", 403},
		{"GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-site\r\n\r\n", 403},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_head h;
		struct http_refusal r;

		if (!parse(rows[i].text, strlen(rows[i].text), &h, &r) || r.status != rows[i].status)
			fail_msg("row %zu: status %d, wanted %d: %s", i, r.status, rows[i].status,
				rows[i].text);
		assert_true(r.text[0] != '\0');
		assert_non_null(r.code);
	}
}

static void test_nul_bytes(void **state)
{
	static const char line[] = "GET /\0 HTTP/1.1\r\n" HOST "\r\n",
			  field[] = "GET / HTTP/1.1\r\n" HOST "A: \0\r\n\r\n";
	struct http_head h;
	struct http_refusal r;

	assert_int_equal(parse(line, sizeof(line) - 1, &h, &r), -1);
	assert_int_equal(parse(field, sizeof(field) - 1, &h, &r), -1);
}

static void test_long_target(void **state)
{
	char text[HTTP_TARGET_MAX + 64];
	struct http_head h;
	struct http_refusal r;

	for (size_t n = HTTP_TARGET_MAX - 1; n <= HTTP_TARGET_MAX; n++) {
		strcpy(text, "GET /");
		memset(text + 5, 'a', n - 1);
		strcpy(text + 4 + n, " HTTP/1.1\r\n" HOST "\r\n");
		assert_int_equal(parse(text, strlen(text), &h, &r), n < HTTP_TARGET_MAX ? 0 : -1);
	}
	assert_int_equal(r.status, 414);
}

/* Any bytes: no crash, and a refusal always has a status. Single changes of a good request reach more than noise does. */
static void test_any_bytes(void **state)
{
	static const char good[] =
		"POST /v1/a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
	char text[sizeof(good) + 64];
	struct http_head h;
	struct http_refusal r;

	srandom(1);
	for (int round = 0; round < 200000; round++) {
		size_t n = sizeof(good) - 1, at;

		memcpy(text, good, n);
		for (int k = 0; k <= round % 3; k++) {
			at = (size_t)random() % n;
			text[at] = (char)random();
		}
		if (round % 16 == 0)
			for (at = 0; at < n; at++)
				text[at] = (char)random();
		n = http_request_length(text, n);
		if (n && parse(text, n, &h, &r))
			assert_true(r.status >= 400 && r.code && r.text[0]);
	}
}

static void test_head_length(void **state)
{
	assert_int_equal(http_request_length(NULL, 0), 0);
	assert_int_equal(http_request_length("\r\n\r", 3), 0);
	assert_int_equal(http_request_length("\r\n\r\n", 4), 4);
	assert_int_equal(http_request_length("a\r\n\r\nb\r\n\r\n", 10), 5);
}

static void test_percent(void **state)
{
	static const struct {
		const char *text, *wanted; /* NULL: refused */
	} rows[] = {
		{"", ""},
		{"abc", "abc"},
		{"a%2Db%2dc", "a-b-c"},
		{"%61%62", "ab"},
		{"%25", "%"},
		{"a/b", "a/b"},
		{"a%2Fb", NULL},
		{"a%2fb", NULL},
		{"%00", NULL},
		{"%0a", NULL},
		{"%20", NULL},
		{"%80", NULL},
		{"%7f", NULL},
		{"%", NULL},
		{"%4", NULL},
		{"%4g", NULL},
		{"%g4", NULL},
		{"a%", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[64];
		struct error err = {0};
		int rc = http_percent_decode(rows[i].text, strlen(rows[i].text), out, &err);

		assert_int_equal(rc, rows[i].wanted ? 0 : -1);
		if (rows[i].wanted)
			assert_string_equal(out, rows[i].wanted);
		else
			assert_int_equal(err.code, ERR_INPUT);
	}
}

static void test_query(void **state)
{
	const char *v;

	assert_int_equal(http_query_value("", "hash", &v, NULL), 0);
	assert_null(v);
	assert_int_equal(http_query_value("hash=12", "hash", &v, NULL), 0);
	assert_string_equal(v, "12");
	assert_int_equal(http_query_value("hash", "hash", &v, NULL), -1);
	assert_int_equal(http_query_value("hash=1&x=2", "hash", &v, NULL), -1);
	assert_int_equal(http_query_value("hash2=1", "hash", &v, NULL), -1);
}

static void test_error_reply(void **state)
{
	struct http_reply r = {0};

	buf_init_secret(&r.body, HTTP_REPLY_MAX);
	http_reply_error(&r, 400, "INPUT", "say \"no\"\n");
	assert_string_equal(
		buf_cstr(&r.body), "{\"error\":{\"code\":\"INPUT\",\"text\":\"say \\\"no\\\"\\n\"}}");
	http_reply_error(&r, 403, "ACCESS", "bytes \xff\xfe");
	assert_string_equal(buf_cstr(&r.body), "{\"error\":{\"code\":\"ACCESS\",\"text\":\"bytes ??\"}}");
	assert_int_equal(r.status, 403);
	buf_free(&r.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_requests),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_long_target),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_head_length),
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_error_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
