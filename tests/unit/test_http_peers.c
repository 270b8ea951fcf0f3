#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "cas/http_peers.h"

#define SECOND 1000000ull

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage s = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&s;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s;

	if (strchr(text, ':')) {
		v6->sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	} else {
		v4->sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
	}
	return s;
}

static enum http_peer_word enter(struct http_peers *p, const char *text, uint64_t now, struct http_peer **ret)
{
	struct sockaddr_storage s = address(text);

	return http_peers_enter(p, (struct sockaddr *)&s, now, ret);
}

static struct http_peers *make(unsigned connections, unsigned requests)
{
	struct http_peers *p;
	struct error err = {0};

	assert_int_equal(http_peers_new(connections, requests, &p, &err), 0);
	return p;
}

static void test_connections(void **state)
{
	struct http_peers *p = make(3, 0);
	struct http_peer *all[3 + HTTP_PEER_OVERFLOW], *other, *none;
	size_t n = sizeof(all) / sizeof(all[0]);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(enter(p, "10.0.0.1", 5, &all[i]), i < 3 ? PEER_WELCOME : PEER_OVER);
	assert_int_equal(enter(p, "10.0.0.1", 5, &none), PEER_AWAY);
	assert_null(none);
	assert_int_equal(enter(p, "10.0.0.2", 5, &other), PEER_WELCOME);
	http_peers_leave(p, other, 5);
	for (size_t i = 0; i < n; i++)
		http_peers_leave(p, all[i], 6);
	assert_int_equal(enter(p, "10.0.0.1", 7, &other), PEER_WELCOME);
	http_peers_leave(p, other, 7);
	http_peers_leave(p, NULL, 7);
	http_peers_free(p);
}

static unsigned granted(struct http_peers *p, struct http_peer *peer, uint64_t now)
{
	unsigned n = 0;

	while (n < 1000 && http_peers_request(p, peer, now))
		n++;
	return n;
}

static void test_requests(void **state)
{
	struct http_peers *p = make(0, 10);
	struct http_peer *a, *b;

	assert_int_equal(enter(p, "10.0.0.1", 0, &a), PEER_WELCOME);
	assert_int_equal(granted(p, a, 0), 9); /* the connection had one */
	assert_int_equal(enter(p, "10.0.0.2", 0, &b), PEER_WELCOME);
	assert_int_equal(granted(p, b, 0), 9);
	assert_int_equal(granted(p, a, SECOND / 10 - 1), 0);
	assert_int_equal(granted(p, a, SECOND / 10), 1);
	assert_int_equal(granted(p, a, SECOND / 10 + SECOND / 2), 5);
	assert_int_equal(granted(p, a, 1000 * SECOND), 10); /* no more than a second's worth is saved up */
	http_peers_leave(p, a, 1000 * SECOND);
	http_peers_leave(p, b, 1000 * SECOND);
	http_peers_free(p);
}

/* A flood of connections runs into a debt and is closed; leaving and coming again pays none of it. */
static void test_debt(void **state)
{
	struct http_peers *p = make(0, 10);
	struct http_peer *peer;
	unsigned n = 0;

	while (n < 1000 && enter(p, "10.0.0.1", 1, &peer) == PEER_WELCOME) {
		http_peers_leave(p, peer, 1);
		n++;
	}
	assert_int_equal(n, 20);
	assert_int_equal(enter(p, "10.0.0.1", 1 + SECOND / 2, &peer), PEER_WELCOME);
	assert_false(http_peers_request(p, peer, 1 + SECOND / 2));
	assert_true(http_peers_request(p, peer, 2 + 2 * SECOND));
	http_peers_leave(p, peer, 2 + 2 * SECOND);
	http_peers_free(p);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"127.0.0.1", "127.0.0.2", false},
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"::ffff:10.0.0.1", "::ffff:10.0.0.2", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::1", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"::1", "127.0.0.1", false},
		{"::1", "::2", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_peers *p = make(1, 0);
		struct http_peer *a, *b;

		assert_int_equal(enter(p, rows[i].a, 1, &a), PEER_WELCOME);
		if (enter(p, rows[i].b, 1, &b) != (rows[i].same ? PEER_OVER : PEER_WELCOME))
			fail_msg("%s and %s", rows[i].a, rows[i].b);
		http_peers_leave(p, a, 1);
		http_peers_leave(p, b, 1);
		http_peers_free(p);
	}
}

static void test_other_family(void **state)
{
	struct http_peers *p = make(0, 0);
	struct sockaddr_storage s = {.ss_family = AF_UNIX};
	struct http_peer *peer;

	assert_int_equal(http_peers_enter(p, (struct sockaddr *)&s, 1, &peer), PEER_AWAY);
	http_peers_free(p);
}

/* No more addresses than there is room for, and room again when they are forgotten. */
static void test_room(void **state)
{
	struct http_peers *p = make(1, 1);
	struct http_peer *peer, *stays;
	char text[32];

	assert_int_equal(enter(p, "192.0.2.1", 1, &stays), PEER_WELCOME);
	for (unsigned i = 1; i < HTTP_PEERS_MAX; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i >> 8, i & 255);
		assert_int_equal(enter(p, text, 1, &peer), PEER_WELCOME);
		http_peers_leave(p, peer, 1);
	}
	assert_int_equal(enter(p, "192.0.2.2", 2 * SECOND, &peer), PEER_AWAY);
	assert_int_equal(enter(p, "192.0.2.2", 1 + 2 * SECOND, &peer), PEER_WELCOME);
	http_peers_leave(p, peer, 1 + 2 * SECOND);
	assert_true(http_peers_request(p, stays, 1 + 2 * SECOND));
	http_peers_leave(p, stays, 1 + 2 * SECOND);
	http_peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_other_family),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
