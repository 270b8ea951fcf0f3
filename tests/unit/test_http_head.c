#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "wire/http_head.h"

#define LONG_TEXT                                                                                            \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned int port;
		const char *shown; /* NULL: refused */
	} cases[] = {
		{"127.0.0.1", "127.0.0.1", 8081, "127.0.0.1:8081"},
		{"127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"},
		{"cas.example:65535", "cas.example", 65535, "cas.example:65535"},
		{"[::1]:443", "::1", 443, "[::1]:443"},
		{"[::1]", "::1", 8081, "[::1]:8081"},
		{"fe80::1", "fe80::1", 8081, "[fe80::1]:8081"},
		{"", NULL, 0, NULL},
		{":8081", NULL, 0, NULL},
		{"host:", NULL, 0, NULL},
		{"host:0", NULL, 0, NULL},
		{"host:65536", NULL, 0, NULL},
		{"host:100000", NULL, 0, NULL},
		{"host:+1", NULL, 0, NULL},
		{"host: 1", NULL, 0, NULL},
		{"host:1 ", NULL, 0, NULL},
		{"[::1", NULL, 0, NULL},
		{"[::1]x", NULL, 0, NULL},
		{"[host]:1", NULL, 0, NULL},
		{"[]:1", NULL, 0, NULL},
		{"1:2:3", NULL, 0, NULL},
		{"ho st", NULL, 0, NULL},
		{"host\r\nX: y", NULL, 0, NULL},
		{"user@host", NULL, 0, NULL},
		{"https://host", NULL, 0, NULL},
		{LONG_TEXT LONG_TEXT, NULL, 0, NULL},
	};
	struct http_address a;
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = http_address_parse(cases[i].text, 8081, &a, &err);

		if (rc != (cases[i].shown ? 0 : -1))
			fail_msg("'%s': %d", cases[i].text, rc);
		if (rc < 0)
			continue;
		assert_string_equal(a.host, cases[i].host);
		assert_int_equal(a.port, cases[i].port);
		assert_string_equal(a.text, cases[i].shown);
	}
}

static void test_heads(void **state)
{
	static const struct {
		const char *text;
		int status; /* 0: refused */
		size_t len;
		bool close;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 200, 7, false},
		{"HTTP/1.1 200\r\ncontent-LENGTH:7\t\r\n\r\n", 200, 7, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", 200, 7, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 007\r\nConnection: keep-alive, close\r\n\r\n", 200, 7,
			true},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, false},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", 0, 0, false},
		{"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 0, 0, false},
		{"HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0, 0, false},
		{"\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\ncontent-length: 8\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0x7\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length : 7\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\n Content-Length: 7\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n folded\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX: a\nY: b\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nnonsense\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n: empty\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\ntransfer-encoding: identity\r\n\r\n", 0, 0, false},
		{"HTTP/1.1 200 OK\nContent-Length: 7\n\n", 0, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint8_t *p = (const uint8_t *)cases[i].text;
		struct http_head h = {.status = 42};
		struct error err;
		size_t n = strlen(cases[i].text);
		int rc = http_head_parse(p, n, 1000, &h, &err);

		if (rc != (cases[i].status ? 0 : -1))
			fail_msg("%d for %s", rc, cases[i].text);
		if (rc < 0) {
			assert_int_equal(h.status, 42);
			continue;
		}
		assert_int_equal(h.status, cases[i].status);
		assert_int_equal(h.body_len, cases[i].len);
		assert_int_equal(h.close, cases[i].close);
		assert_int_equal(http_head_length(p, n), n);
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(http_head_length(p, cut), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
