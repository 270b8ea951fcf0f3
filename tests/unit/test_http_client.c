/* The HTTPS client against a real TLS server in a thread of this process, on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <sys/wait.h>
#include "memory_scan.h"
#include "tls_server.h"

static int open_client(const char *address, struct http_client **ret, struct error *err)
{
	struct http_client_options o = {.address = address,
		.pinned_key = server_hash,
		.numeric_only = true,
		.cert = client_cert,
		.key = client_key,
		.timeout_ms = 5000};

	return http_client_open(&o, ret, err);
}

static void assert_says(const struct error *err, const char *words)
{
	if (!strstr(err->text, words))
		fail_msg("'%s' does not say '%s'", err->text, words);
}

static void test_requests_on_one_connection(void **state)
{
	struct server s = {.does = ECHO};
	struct http_response r;
	struct http_client *c;
	struct error err;
	uint8_t seen[32];
	char key[65], wanted[256];

	start(&s);
	if (open_client(s.address, &c, &err) < 0)
		fail_msg("%s", err.text);
	http_client_server_key(c, seen);
	assert_memory_equal(seen, server_hash, 32);
	hex_encode(client_hash, 32, key);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(http_client_request(c, "GET", "/v1/cas?x=1", NULL, NULL, 0, &r, &err), 0);
		assert_int_equal(r.status, 200);
		assert_true(r.body.secret);
		snprintf(wanted, sizeof(wanted), "GET /v1/cas?x=1 HTTP/1.1|%s|", key);
		assert_string_equal(buf_cstr(&r.body), wanted);
		assert_int_equal(http_response_check(&r, &err), 0);
		http_response_free(&r);
		assert_int_equal(http_client_request(c, "POST", "/v1/sessions", "application/yaml",
					 "name: x\n", 8, &r, &err),
			0);
		snprintf(wanted, sizeof(wanted), "POST /v1/sessions HTTP/1.1|%s|name: x\n", key);
		assert_string_equal(buf_cstr(&r.body), wanted);
		http_response_free(&r);
		http_response_free(&r);
	}
	http_client_close(c);
	stop(&s);
	assert_int_equal(s.requests, 6);
	assert_memory_equal(s.client_key, client_hash, 32);
}

/* Many records both ways, so partial sends and receives. */
static void test_large_body(void **state)
{
	struct server s = {.does = ECHO};
	size_t n = 6 * 1024 * 1024;
	uint8_t *body = malloc(n);
	struct http_response r;
	struct http_client *c;
	struct error err;

	for (size_t i = 0; i < n; i++)
		body[i] = (uint8_t)(i * 131 >> 3);
	start(&s);
	assert_int_equal(open_client(s.address, &c, &err), 0);
	if (http_client_request(c, "POST", "/", "application/octet-stream", body, n, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(r.body.len > n);
	assert_memory_equal(r.body.data + r.body.len - n, body, n);
	http_response_free(&r);
	http_client_close(c);
	stop(&s);
	free(body);
}

static void test_without_client_certificate(void **state)
{
	struct server s = {.does = ECHO};
	struct http_client_options o = {.pinned_key = server_hash, .numeric_only = true};
	struct http_response r;
	struct http_client *c;
	struct error err;

	start(&s);
	o.address = s.address;
	assert_int_equal(http_client_open(&o, &c, &err), 0);
	assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), 0);
	assert_string_equal(buf_cstr(&r.body), "GET / HTTP/1.1|none|");
	http_response_free(&r);
	http_client_close(c);
	stop(&s);
	assert_false(s.saw_client_cert);
}

/* The key of another server: refused, in words that name both keys, before the server learns who we are. */
static void test_wrong_key(void **state)
{
	struct server s = {.does = ECHO};
	struct http_client *c = NULL;
	struct error err;
	uint8_t other[32];
	char seen[KEY_HASH_TEXT_MAX], wanted[KEY_HASH_TEXT_MAX], text[256];
	struct http_client_options o = {.pinned_key = other,
		.accept_any = true,
		.numeric_only = true,
		.cert = client_cert,
		.key = client_key,
		.timeout_ms = 5000};

	memcpy(other, server_hash, 32);
	other[31] ^= 1; /* the last bit is enough */
	start(&s);
	o.address = s.address;
	assert_int_equal(http_client_open(&o, &c, &err), -1);
	assert_int_equal(err.code, ERR_PEER);
	key_hash_text(server_hash, seen);
	key_hash_text(other, wanted);
	snprintf(text, sizeof(text), "CAS %s presented key %s, wanted %s", s.address, seen, wanted);
	assert_string_equal(err.text, text);
	assert_null(c);
	stop(&s);
	assert_false(s.shook_hands);
	assert_false(s.saw_client_cert);
	assert_int_equal(s.bytes, 0);
}

static void test_any_key(void **state)
{
	struct server s = {.does = ECHO};
	struct http_client_options o = {.accept_any = true, .numeric_only = true};
	struct http_client *c;
	struct error err;
	uint8_t seen[32];

	start(&s);
	o.address = s.address;
	assert_int_equal(http_client_open(&o, &c, &err), 0);
	http_client_server_key(c, seen);
	assert_memory_equal(seen, server_hash, 32);
	http_client_close(c);
	stop(&s);
	/* without a key and without these words nothing is opened */
	o.accept_any = false;
	assert_int_equal(http_client_open(&o, &c, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
}

static void test_protocol_refused(void **state)
{
	static const struct {
		enum behaviour does;
		const char *answer, *says;
	} cases[] = {
		{TLS12_ONLY, "", "protocol version"},
		{PLAIN, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "wrong version number"},
		{PLAIN, "SSH-2.0-OpenSSH_9.2\r\n", "wrong version number"},
		{PLAIN, "\x16\x03\x03", "the connection ended"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server s = {.does = cases[i].does,
			.answer = cases[i].answer,
			.answer_len = strlen(cases[i].answer)};
		struct http_client *c;
		struct error err;

		start(&s);
		assert_int_equal(open_client(s.address, &c, &err), -1);
		stop(&s);
		assert_int_equal(err.code, ERR_PEER);
		assert_says(&err, cases[i].says);
		assert_says(&err, s.address);
		assert_false(s.shook_hands);
	}
}

#define ANSWER(text) text, sizeof(text) - 1
#define LONG_FIELD                                                                                           \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_bad_answers(void **state)
{
	static const struct {
		enum behaviour does;
		const char *answer;
		size_t len;
		enum err_code code;
		const char *says;
	} cases[] = {
		{SCRIPT, ANSWER(""), ERR_PEER, "closed the connection"},
		{CUT, ANSWER(""), ERR_PEER, "the connection ended"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\nContent-"), ERR_PEER, "after 25 bytes of header"},
		{CUT, ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"), ERR_PEER,
			"after 10 of 100 bytes of body"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"), ERR_PEER,
			"after 10 of 100 bytes of body"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n0123"), ERR_PEER,
			"more than the 3 bytes"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n"), ERR_LIMIT,
			"at most 16777216"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\nx"),
			ERR_LIMIT, "at most 16777216"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
			ERR_PEER, "Transfer-Encoding"},
		{SCRIPT, ANSWER("HTTP/1.1 200 OK\r\n\r\n"), ERR_PEER, "no Content-Length"},
		{SCRIPT, ANSWER("220 mail ready\r\n\r\n"), ERR_PEER, "status line"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server s = {
			.does = cases[i].does, .answer = cases[i].answer, .answer_len = cases[i].len};
		struct http_response r;
		struct http_client *c;
		struct error err;

		start(&s);
		assert_int_equal(open_client(s.address, &c, &err), 0);
		assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), -1);
		assert_says(&err, cases[i].says);
		assert_says(&err, s.address);
		assert_int_equal(err.code, cases[i].code);
		/* after a broken answer nothing more is sent */
		assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), -1);
		assert_says(&err, "is closed");
		http_client_close(c);
		stop(&s);
		assert_int_equal(s.requests, 1);
	}
}

static void test_header_too_long(void **state)
{
	struct server s = {.does = HANG};
	struct http_response r;
	struct http_client *c;
	struct error err;
	struct buf big;

	buf_init(&big, 100000);
	buf_puts(&big, "HTTP/1.1 200 OK\r\n");
	while (big.len < 20000)
		buf_puts(&big, "X: " LONG_FIELD "\r\n");
	s.answer = (char *)big.data;
	s.answer_len = big.len;
	start(&s);
	assert_int_equal(open_client(s.address, &c, &err), 0);
	assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_says(&err, "16384");
	http_client_close(c);
	stop(&s);
	buf_free(&big);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A server that stops at any point, and one that is just alive enough, take no longer than the deadline. */
static void test_timeouts(void **state)
{
	static const char slow[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" LONG_FIELD;
	static const struct {
		enum behaviour does;
		size_t len;
		bool opens;
	} cases[] = {{MUTE, 0, false}, {HANG, 0, true}, {HANG, 30, true}, {HANG, sizeof(slow) - 1, true},
		{TRICKLE, sizeof(slow) - 1, true}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server s = {.does = cases[i].does, .answer = slow, .answer_len = cases[i].len};
		struct http_client_options o = {
			.pinned_key = server_hash, .numeric_only = true, .timeout_ms = 400};
		struct http_client *c = NULL;
		struct http_response r;
		struct error err;
		int64_t began;
		int rc;

		start(&s);
		o.address = s.address;
		began = now_ms();
		rc = http_client_open(&o, &c, &err);
		assert_int_equal(rc, cases[i].opens ? 0 : -1);
		if (rc == 0) {
			began = now_ms();
			assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), -1);
		}
		assert_true(now_ms() - began >= 390);
		assert_true(now_ms() - began < 3000);
		assert_int_equal(err.code, ERR_IO);
		assert_says(&err, strerror(ETIMEDOUT));
		assert_says(&err, s.address);
		http_client_close(c);
		stop(&s);
	}
}

/* The server goes away, before or while we send. SIGPIPE has its default action here: were it raised, this program would end. */
static void test_reset_while_sending(void **state)
{
	static const enum behaviour ways[] = {SLAM, LEAVE};
	size_t n = 12 * 1024 * 1024;
	uint8_t *body = calloc(1, n);
	struct sigaction action;

	assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
	assert_ptr_equal(action.sa_handler, SIG_DFL);
	for (size_t i = 0; i < 2; i++) {
		struct server s = {.does = ways[i]};
		struct http_response r;
		struct http_client *c;
		struct error err;

		start(&s);
		assert_int_equal(open_client(s.address, &c, &err), 0);
		if (s.does == LEAVE)
			stop(&s); /* the end of its half has arrived, ours is open: the next but one send is EPIPE */
		assert_int_equal(http_client_request(c, "POST", "/", NULL, body, n, &r, &err), -1);
		assert_says(&err, s.address);
		assert_says(&err, strerror(s.does == LEAVE ? EPIPE : ECONNRESET));
		http_client_close(c);
		if (s.does == SLAM)
			stop(&s);
	}
	free(body);
	assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
	assert_ptr_equal(action.sa_handler, SIG_DFL);
}

#define MARKER_LEN 4000
#define PIECE 32

/* A server in a process of its own sends a secret that this process has never seen. Once the answer is freed, no part of this process
 * holds it: not OpenSSL's buffers, not ours. */
static void test_answer_leaves_no_trace(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
	struct server s = {.does = SCRIPT};
	uint8_t masked[MARKER_LEN];
	struct http_response r;
	struct http_client *c;
	struct error err;
	int status;
	pid_t pid;

	assert_int_equal(random_bytes(masked, sizeof(masked), &err), 0);
	prepare(&s);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *answer = malloc(sizeof(head) + MARKER_LEN);

		memcpy(answer, head, sizeof(head));
		for (size_t i = 0; i < MARKER_LEN; i++)
			answer[sizeof(head) - 1 + i] = (char)(masked[i] ^ MASK);
		s.answer = answer;
		s.answer_len = sizeof(head) - 1 + MARKER_LEN;
		serve(&s);
		_exit(0);
	}
	if (open_client(s.address, &c, &err) < 0 ||
		http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(r.body.len, MARKER_LEN);
	for (size_t at = 0; at + PIECE <= MARKER_LEN; at += 500)
		assert_true(in_memory(masked + at, PIECE));
	http_response_free(&r);
	for (size_t at = 0; at + PIECE <= MARKER_LEN; at += 500)
		assert_false(in_memory(masked + at, PIECE)); /* while the connection still lives */
	http_client_close(c);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(s.listener);
	SSL_CTX_free(s.ctx);
}

static void test_not_reached(void **state)
{
	struct server s = {.does = ECHO};
	struct http_client *c;
	struct error err;
	char text[128];

	listen_on(&s); /* a port that was free a moment ago */
	close(s.listener);
	assert_int_equal(open_client(s.address, &c, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	snprintf(text, sizeof(text), "CAS %s not reached: Connection refused", s.address);
	assert_string_equal(err.text, text);
	assert_int_equal(open_client("localhost:1", &c, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_says(&err, "wanted a numeric address");
	assert_int_equal(open_client("127.0.0.1:99999", &c, &err), -1);
	assert_says(&err, "'99999'");
}

static void test_by_name(void **state)
{
	struct server s = {.does = ECHO};
	struct http_client_options o = {.pinned_key = server_hash, .timeout_ms = 5000};
	struct http_client *c;
	struct error err;
	char name[64];

	start(&s);
	snprintf(name, sizeof(name), "localhost%s", strchr(s.address, ':'));
	o.address = name;
	if (http_client_open(&o, &c, &err) < 0)
		fail_msg("%s", err.text);
	http_client_close(c);
	stop(&s);
	o.address = "no-such-host.invalid:1";
	assert_int_equal(http_client_open(&o, &c, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_says(&err, "no-such-host.invalid");
}

static void test_ipv6(void **state)
{
	struct server s = {.does = ECHO, .family = AF_INET6};
	int probe = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct http_client *c;
	struct error err;
	bool have = probe >= 0 && bind(probe, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(probe);
	if (!have)
		skip(); /* a machine without IPv6 on loopback */
	start(&s);
	if (open_client(s.address, &c, &err) < 0)
		fail_msg("%s", err.text);
	http_client_close(c);
	stop(&s);
}

static void test_server_that_closes(void **state)
{
	struct server s = {.does = SCRIPT,
		ANSWER("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")};
	struct http_response r;
	struct http_client *c;
	struct error err;

	start(&s);
	assert_int_equal(open_client(s.address, &c, &err), 0);
	assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), 0);
	assert_int_equal(r.status, 404);
	assert_string_equal(buf_cstr(&r.body), "{}");
	assert_int_equal(http_response_check(&r, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	http_response_free(&r);
	assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), -1);
	assert_says(&err, "is closed");
	http_client_close(c);
	stop(&s);
}

/* A request that could be read as two is never sent, and costs the connection nothing. */
static void test_bad_requests(void **state)
{
	static const struct {
		const char *method, *path, *type;
	} bad[] = {
		{"GET", "/a\r\nX: y", NULL},
		{"GET", "/a b", NULL},
		{"GET", "a", NULL},
		{"GET", "", NULL},
		{"GET", "/\xc3\xbc", NULL},
		{"GET /x HTTP/1.1\r\n", "/", NULL},
		{"get", "/", NULL},
		{"", "/", NULL},
		{"HEAD", "/", NULL},
		{"POST", "/", "text/plain\r\nX: y"},
	};
	struct server s = {.does = ECHO};
	struct http_response r;
	struct http_client *c;
	struct error err;

	start(&s);
	assert_int_equal(open_client(s.address, &c, &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			http_client_request(c, bad[i].method, bad[i].path, bad[i].type, NULL, 0, &r, &err),
			-1);
		assert_int_equal(err.code, ERR_INPUT);
	}
	assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, 0, &r, &err), 0);
	http_response_free(&r);
	http_client_close(c);
	stop(&s);
	assert_int_equal(s.requests, 1);
}

static void test_response_check(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum err_code code;
		const char *text;
	} cases[] = {
		{403, "{\"error\":{\"code\":\"ACCESS\",\"text\":\"not you\"}}", ERR_ACCESS, "not you"},
		{400, "{\"error\":{\"code\":\"INPUT\",\"text\":\"line 3\",\"details\":[{\"line\":3}]}}",
			ERR_INPUT, "line 3"},
		{409, "{\"error\":{\"code\":\"EXISTS\",\"text\":\"there\"}}", ERR_EXISTS, "there"},
		{403, "{\"error\":{\"code\":\"ATTEST\",\"text\":\"measurement\"}}", ERR_ATTEST,
			"measurement"},
		{500, "{\"error\":{\"code\":\"SOMETHING\",\"text\":\"new\"}}", ERR_PEER, "new"},
		{404, "{\"error\":{\"code\":\"NONE\",\"text\":\"t\"}}", ERR_NOT_FOUND, "t"},
		{403, "{\"error\":{\"code\":\"ACCESS\",\"text\":\"a\\u001b[31m\\nb\"}}", ERR_ACCESS,
			"a [31m b"},
		{401, "", ERR_ACCESS, "CAS answered with HTTP status 401 and no error text"},
		{413, "<html>", ERR_LIMIT, "CAS answered with HTTP status 413 and no error text"},
		{301, "{\"error\":{\"code\":\"ACCESS\",\"text\":\"\"}}", ERR_PEER,
			"CAS answered with HTTP status 301 and no error text"},
		{503, "{\"error\":[]}", ERR_PEER, "CAS answered with HTTP status 503 and no error text"},
	};
	struct http_response r;
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r.status = cases[i].status;
		buf_init(&r.body, HTTP_BODY_MAX);
		buf_puts(&r.body, cases[i].body);
		assert_int_equal(http_response_check(&r, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_string_equal(err.text, cases[i].text);
		http_response_free(&r);
	}
	r.status = 201;
	buf_init(&r.body, 0);
	assert_int_equal(http_response_check(&r, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_on_one_connection),
		cmocka_unit_test(test_large_body),
		cmocka_unit_test(test_without_client_certificate),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_any_key),
		cmocka_unit_test(test_protocol_refused),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_header_too_long),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_reset_while_sending),
		cmocka_unit_test(test_answer_leaves_no_trace),
		cmocka_unit_test(test_not_reached),
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_server_that_closes),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_response_check),
	};

	return cmocka_run_group_tests(tests, make_identities, free_identities);
}
