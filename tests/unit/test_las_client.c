/* The LAS client against a server on a real Unix socket, in a thread of this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "wire/attest.h"
#include "wire/las_client.h"

struct las {
	/* what to do with a connection */
	bool read_first; /* take the request before answering */
	bool echo; /* answer with the request's report data and first path as evidence */
	bool silent; /* no challenge first */
	const void *answer; /* otherwise these bytes */
	size_t answer_len;
	bool hold; /* then wait for the client to leave, instead of closing */
	int pause_ms; /* between the bytes of answer */

	char dir[64], path[96];
	int listener;
	pthread_t thread;
	bool request_was_good;
};

static const uint8_t challenge[LAS_CHALLENGE_LEN] = {0xc4, 1, 2, 3, [31] = 0xff};

static bool read_all(int fd, void *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t done = read(fd, (char *)p + got, n - got);

		if (done <= 0)
			return false;
		got += (size_t)done;
	}
	return true;
}

static void answer_request(struct las *s, int fd)
{
	uint8_t head[4], report[64], seen[LAS_CHALLENGE_LEN];
	struct buf in, evidence, body, out;
	struct manifest m;
	struct rd r;
	size_t n;

	if (!read_all(fd, head, sizeof(head)))
		return;
	rd_init(&r, head, sizeof(head));
	n = rd_u32be(&r);
	buf_init(&in, LAS_FRAME_MAX);
	buf_init(&evidence, LAS_FRAME_MAX);
	buf_init(&body, LAS_FRAME_MAX);
	buf_init(&out, LAS_FRAME_MAX + 4);
	if (buf_reserve(&in, n) && read_all(fd, in.data, n) &&
		las_request_decode(in.data, n, seen, report, &m, NULL, NULL) == 0) {
		s->request_was_good = memcmp(seen, challenge, sizeof(challenge)) == 0;
		buf_put(&evidence, report, sizeof(report));
		buf_puts(&evidence, m.count ? m.entries[0].path : "");
		manifest_free(&m);
		if (s->echo && las_answer_encode(evidence.data, evidence.len, &body, NULL) == 0) {
			buf_put_block(&out, body.data, body.len);
			send(fd, out.data, out.len, MSG_NOSIGNAL);
		}
	}
	buf_free(&in);
	buf_free(&evidence);
	buf_free(&body);
	buf_free(&out);
}

static void send_challenge(int fd)
{
	struct buf body, out;

	buf_init(&body, LAS_FRAME_MAX);
	buf_init(&out, LAS_FRAME_MAX + 4);
	if (las_challenge_encode(challenge, &body, NULL) == 0) {
		buf_put_block(&out, body.data, body.len);
		send(fd, out.data, out.len, MSG_NOSIGNAL);
	}
	buf_free(&body);
	buf_free(&out);
}

static void *serve(void *arg)
{
	struct las *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	char c;

	if (fd < 0)
		return NULL;
	if (!s->silent)
		send_challenge(fd);
	if (s->read_first || s->echo)
		answer_request(s, fd);
	for (size_t i = 0; i < s->answer_len;) {
		struct timespec pause = {.tv_nsec = s->pause_ms * 1000000L};
		size_t n = s->pause_ms ? 1 : s->answer_len;

		if (send(fd, (const char *)s->answer + i, n, MSG_NOSIGNAL) < 0)
			break;
		nanosleep(&pause, NULL);
		i += n;
	}
	if (s->hold) {
		while (read(fd, &c, 1) > 0)
			;
	}
	close(fd);
	return NULL;
}

static void listen_at(struct las *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(s->dir, sizeof(s->dir), "/tmp/test-las-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/las.sock", s->dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->listener, 1), 0);
}

static void start(struct las *s)
{
	listen_at(s);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void remove_socket(struct las *s)
{
	close(s->listener);
	unlink(s->path);
	rmdir(s->dir);
}

static void stop(struct las *s)
{
	pthread_join(s->thread, NULL);
	remove_socket(s);
}

static void make_manifest(struct manifest *m)
{
	static const uint8_t digest[32] = {1};

	manifest_init(m);
	assert_int_equal(manifest_add(m, CODE_PROGRAM, "/usr/bin/program", digest, NULL), 0);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_evidence(void **state)
{
	struct las s = {.echo = true};
	uint8_t report[64];
	struct buf evidence;
	struct manifest m;
	struct error err;

	memset(report, 0x5c, sizeof(report));
	make_manifest(&m);
	buf_init(&evidence, 1000);
	start(&s);
	if (las_client_evidence(s.path, report, &m, NULL, 5000, &evidence, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(s.request_was_good);
	assert_int_equal(evidence.len, 64 + strlen("/usr/bin/program"));
	assert_memory_equal(evidence.data, report, 64);
	assert_memory_equal(evidence.data + 64, "/usr/bin/program", strlen("/usr/bin/program"));
	stop(&s);
	buf_free(&evidence);
	manifest_free(&m);
}

/* A large manifest takes more than one send. */
static void test_large_request(void **state)
{
	struct las s = {.echo = true};
	uint8_t report[64] = {0}, digest[32] = {2};
	struct buf evidence;
	struct manifest m;
	struct error err;
	char path[800];

	manifest_init(&m);
	for (int i = 0; i < MANIFEST_MAX; i++) {
		int n = snprintf(path, sizeof(path), "/%04d/", i);

		memset(path + n, 'p', sizeof(path) - 1 - (size_t)n);
		path[sizeof(path) - 1] = '\0';
		assert_int_equal(manifest_add(&m, CODE_LIBRARY, path, digest, &err), 0);
	}
	buf_init(&evidence, 10000);
	start(&s);
	if (las_client_evidence(s.path, report, &m, NULL, 5000, &evidence, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(s.request_was_good);
	stop(&s);
	buf_free(&evidence);
	manifest_free(&m);
}

#define BYTES(text) .answer = (text), .answer_len = sizeof(text) - 1

static void test_bad_answers(void **state)
{
	static const struct {
		struct las s;
		enum err_code code;
		const char *says;
	} cases[] = {
		{{.read_first = true}, ERR_PEER, "after 0 of 4 bytes"},
		{{.read_first = true, BYTES("\0\0")}, ERR_PEER, "after 2 of 4 bytes"},
		{{.read_first = true, BYTES("\0\0\0\x0a{\"evi")}, ERR_PEER, "after 5 of 10 bytes"},
		{{.read_first = true, BYTES("\0\0\0\0")}, ERR_PEER, "frame of 0 bytes"},
		{{.read_first = true, BYTES("\0\x10\0\x01")}, ERR_PEER, "frame of 1048577 bytes"},
		{{.read_first = true, BYTES("\xff\xff\xff\xff")}, ERR_PEER, "frame of 4294967295 bytes"},
		{{.read_first = true, BYTES("\0\0\0\x02{]")}, ERR_INPUT, "not valid JSON"},
		{{.read_first = true, BYTES("\0\0\0\x02{}")}, ERR_INPUT, "\"evidence\""},
		{{.read_first = true,
			 BYTES("\0\0\0\x30{\"error\":{\"code\":\"ACCESS\",\"text\":\"not genuine\"}}")},
			ERR_ACCESS, "not genuine"},
		/* challenged, then refused before the request was read */
		{{BYTES("\0\0\0\x30{\"error\":{\"code\":\"LIMIT\",\"text\":\"too many now\"}}")}, ERR_LIMIT,
			"too many now"},
		/* a frame that is no challenge, where one is due: nothing is sent */
		{{.silent = true, BYTES("\0\0\0\x02{}")}, ERR_INPUT, "\"challenge\""},
		{{.silent = true, BYTES("\0\0\0\x14{\"challenge\":\"c401\"}")}, ERR_INPUT, "64 hex digits"},
		{{.silent = true, BYTES("\0\0\0\0")}, ERR_PEER, "frame of 0 bytes"},
		{{.silent = true, BYTES("\0\0\0\x13{\"evidence\":\"AAAA\"}")}, ERR_INPUT, "\"evidence\""},
		{{.silent = true,
			 BYTES("\0\0\0\x30{\"error\":{\"code\":\"LIMIT\",\"text\":\"too many now\"}}")},
			ERR_LIMIT, "too many now"},
	};
	uint8_t report[64] = {0};
	struct manifest m;

	make_manifest(&m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct las s = cases[i].s;
		struct buf evidence;
		struct error err;

		s.hold = !s.read_first;
		buf_init(&evidence, 1000);
		start(&s);
		assert_int_equal(las_client_evidence(s.path, report, &m, NULL, 5000, &evidence, &err), -1);
		stop(&s);
		if (!strstr(err.text, cases[i].says) || !strstr(err.text, s.path))
			fail_msg("case %zu: '%s' does not say '%s' and '%s'", i, err.text, cases[i].says,
				s.path);
		assert_int_equal(err.code, cases[i].code);
		assert_int_equal(evidence.len, 0);
		buf_free(&evidence);
	}
	manifest_free(&m);
}

static void test_timeouts(void **state)
{
	static const struct las cases[] = {
		{.hold = true, .silent = true},
		{.hold = true},
		{.hold = true, .read_first = true, BYTES("\0\0\0\x0a{")},
		{.read_first = true,
			.pause_ms = 50,
			BYTES("\0\0\0\x20{                                                 ")},
	};
	uint8_t report[64] = {0};
	struct manifest m;

	make_manifest(&m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct las s = cases[i];
		int64_t began;
		struct buf evidence;
		struct error err;

		buf_init(&evidence, 1000);
		start(&s);
		began = now_ms();
		assert_int_equal(las_client_evidence(s.path, report, &m, NULL, 300, &evidence, &err), -1);
		assert_true(now_ms() - began >= 290 && now_ms() - began < 3000);
		stop(&s);
		assert_int_equal(err.code, ERR_IO);
		assert_non_null(strstr(err.text, strerror(ETIMEDOUT)));
		buf_free(&evidence);
	}
	manifest_free(&m);
}

/* The queue is full and nobody accepts: that is a pause, then the deadline, not an endless loop. */
static void test_full_queue(void **state)
{
	struct las s = {.hold = true};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	uint8_t report[64] = {0};
	struct manifest m;
	struct buf evidence;
	struct error err;
	int waiting[8];
	int64_t began;

	make_manifest(&m);
	buf_init(&evidence, 1000);
	listen_at(&s);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s.path);
	for (size_t i = 0; i < 8; i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(waiting[i], (struct sockaddr *)&a, sizeof(a)) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	began = now_ms();
	assert_int_equal(las_client_evidence(s.path, report, &m, NULL, 300, &evidence, &err), -1);
	assert_true(now_ms() - began >= 290 && now_ms() - began < 3000);
	assert_non_null(strstr(err.text, strerror(ETIMEDOUT)));
	for (size_t i = 0; i < 8; i++)
		close(waiting[i]);
	remove_socket(&s);
	buf_free(&evidence);
	manifest_free(&m);
}

static void test_not_reached(void **state)
{
	struct las s = {.hold = true};
	uint8_t report[64] = {0};
	char longer[200];
	struct manifest m;
	struct buf evidence;
	struct error err;

	make_manifest(&m);
	buf_init(&evidence, 1000);
	assert_int_equal(
		las_client_evidence("/nowhere/las.sock", report, &m, NULL, 1000, &evidence, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_string_equal(err.text, "LAS /nowhere/las.sock not reached: No such file or directory");
	listen_at(&s);
	close(s.listener); /* the file stays, nobody listens */
	assert_int_equal(las_client_evidence(s.path, report, &m, NULL, 1000, &evidence, &err), -1);
	assert_non_null(strstr(err.text, "Connection refused"));
	unlink(s.path);
	rmdir(s.dir);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(las_client_evidence(longer, report, &m, NULL, 1000, &evidence, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_non_null(strstr(err.text, "199 bytes, at most 107"));
	buf_free(&evidence);
	manifest_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_large_request),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_not_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
