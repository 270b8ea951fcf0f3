/*
 * A client of scone-las for tests/e2e/las_peer.sh, which passes this file to scone-las as the genuine runtime. It is linked like one.
 *
 *   las_probe SOCKET evidence PLATFORM   ask, verify against the platform's key hash, and check every field
 *   las_probe SOCKET private             the same question from a process that is not dumpable
 *   las_probe SOCKET thread|mapped|anonymous|writable|patched|sigsys
 *                                        the same question from a process that is no runtime about to start
 *   las_probe SOCKET garbage|oversize|empty|wrong|slow|cut|old|replay
 *                                        break the protocol
 *   las_probe SOCKET early               send before the challenge
 *   las_probe SOCKET handover            connect here, send from a child
 *   las_probe SOCKET change PROGRAM      connect here, become PROGRAM, then send
 *   las_probe SOCKET become PROGRAM      connect and send here, become PROGRAM, then read
 *   las_probe SOCKET again               send all but a byte, become this program anew, then send the byte
 *   las_probe SOCKET traced              ask while a parent traces
 *   las_probe -      trace PROGRAM ARG…  run a program under a tracer that changes nothing; its exit code
 *   las_probe SOCKET many N              hold N connections, then ask on one more
 *   las_probe SOCKET machine CAS NONCE [fresh]
 *                                        ask for a machine's evidence, with report data of zeros, for this CAS and platform nonce
 *                                        (one hex digit, for all 64); the evidence to standard output
 *   las_probe SOCKET time N              ask N times; prints the median in microseconds
 *
 * Prints "verified …" and exits 0, or prints the error LAS answered with and exits 1. 2: the test itself failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "evidence/verdict.h"
#include "measure/measure.h"
#include "wire/attest.h"
#include "wire/las_client.h"

#define TIMEOUT_MS 15000

static const char *socket_path;

static void broken(const char *what)
{
	fprintf(stderr, "las_probe: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int answered(const struct error *err)
{
	printf("%s: %s\n", error_code_name(err->code), err->text);
	return 1;
}

static int connect_las(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(a.sun_path, socket_path, sizeof(a.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		broken("connect");
	return fd;
}

/* Whole frame of a well-formed request about this program. */
static struct buf request_frame(const uint8_t challenge[LAS_CHALLENGE_LEN])
{
	uint8_t report_data[64];
	struct manifest m;
	struct buf body, frame;
	struct error err;
	memset(report_data, 9, sizeof(report_data));
	manifest_init(&m);
	buf_init(&body, LAS_FRAME_MAX);
	buf_init(&frame, LAS_FRAME_MAX + 4);
	if (manifest_add(&m, CODE_PROGRAM, "/bin/anything", report_data, &err) < 0 ||
		las_request_encode(challenge, report_data, &m, NULL, &body, &err) < 0)
		broken("request");
	buf_put_block(&frame, body.data, body.len);
	buf_free(&body);
	manifest_free(&m);
	return frame;
}

static int read_full(int fd, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t got = read(fd, p, n);
		if (got <= 0)
			return -1;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static uint8_t *read_frame(int fd, size_t *ret_n)
{
	uint8_t head[4];
	if (read_full(fd, head, 4) < 0)
		broken("no answer");
	size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	uint8_t *p = malloc(n);
	if (!p || n > LAS_FRAME_MAX || read_full(fd, p, n) < 0)
		broken("answer is cut off");
	*ret_n = n;
	return p;
}

/* Connected, looked at, and challenged; an error in its place ends the program. */
static int connect_challenged(uint8_t challenge[LAS_CHALLENGE_LEN])
{
	struct error err;
	size_t n;
	int fd = connect_las();
	uint8_t *p = read_frame(fd, &n);
	if (las_challenge_decode(p, n, challenge, &err) < 0)
		exit(answered(&err));
	free(p);
	return fd;
}

/* Print what LAS answers on a connection. */
static int read_answer(int fd)
{
	struct buf evidence;
	struct error err;
	size_t n;
	char c;
	uint8_t *p = read_frame(fd, &n);
	buf_init(&evidence, LAS_FRAME_MAX);
	int rc = las_answer_decode(p, n, &evidence, &err);
	printf("%s%s%s\n", rc < 0 ? error_code_name(err.code) : "evidence", rc < 0 ? ": " : "",
		rc < 0 ? err.text : "");
	/* One request a connection: nothing comes after the answer (a reset: LAS did not read all that was sent). */
	ssize_t more = read(fd, &c, 1);
	if (more > 0 || (more < 0 && errno != ECONNRESET))
		broken("the connection is still open");
	buf_free(&evidence);
	free(p);
	close(fd);
	return rc < 0;
}

static void send_all(int fd, const void *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n && errno != EPIPE)
		broken("send");
}

static int send_and_read(const void *p, size_t n)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	int fd = connect_challenged(challenge);
	send_all(fd, p, n);
	return read_answer(fd);
}

static int own_digest(uint8_t ret[32])
{
	int fd = open("/proc/self/exe", O_RDONLY);
	int rc = fd < 0 ? -1 : measure_fd(fd, ret, NULL, NULL);
	close(fd);
	return rc;
}

static int ask(const char *platform_text)
{
	uint8_t report_data[64], other[64], digest[32], root[32], want[32], platform[1][32];
	char self[PATH_MAX];
	struct manifest m;
	struct buf evidence;
	struct error err;
	struct verdict v;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		broken("readlink");
	self[n] = '\0';
	buf_init(&evidence, LAS_FRAME_MAX);
	if (random_bytes(report_data, sizeof(report_data), &err) < 0 || closure_compute(self, &m, &err) < 0 ||
		own_digest(digest) < 0)
		broken("measure");
	manifest_root(&m, root);
	measurement(digest, root, want);
	if (las_client_evidence(socket_path, report_data, &m, NULL, TIMEOUT_MS, &evidence, &err) < 0)
		return answered(&err);
	if (key_hash_parse(platform_text, strlen(platform_text), platform[0], &err) < 0)
		broken("platform");
	struct verify_context ctx = {.now = (uint64_t)time(NULL),
		.sim_platforms = (const uint8_t(*)[32])platform,
		.sim_platform_count = 1,
		.report_data = report_data};
	if (evidence_verify(evidence.data, evidence.len, &ctx, &v, &err) < 0)
		return answered(&err);
	if (memcmp(v.runtime_digest, digest, 32) || memcmp(v.manifest_root, root, 32) ||
		memcmp(v.measurement, want, 32) || v.debug || !v.simulated || v.tee != TEE_SIM) {
		puts("evidence says another thing than was asked for");
		return 2;
	}
	memcpy(other, report_data, sizeof(other));
	other[0] ^= 1;
	ctx.report_data = other;
	if (evidence_verify(evidence.data, evidence.len, &ctx, &v, &err) == 0) {
		puts("evidence verifies for report data that it was not made for");
		return 2;
	}
	printf("verified %zu files\n", m.count);
	manifest_free(&m);
	buf_free(&evidence);
	return 0;
}

/* The connecting process stays what it is; another one that has the socket sends. */
static int handover(void)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	int status, fd = connect_challenged(challenge);
	struct buf frame = request_frame(challenge);
	pid_t child = fork();
	if (child < 0)
		broken("fork");
	if (child == 0) {
		send_all(fd, frame.data, frame.len);
		exit(read_answer(fd));
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		broken("child");
	return WEXITSTATUS(status);
}

/* PROGRAM SOCKET MODE FD CHALLENGE in the place of this process, which keeps the connection. */
static int exec_with(
	const char *program, const char *mode, int fd, const uint8_t challenge[LAS_CHALLENGE_LEN])
{
	char number[16], hex[2 * LAS_CHALLENGE_LEN + 1];
	snprintf(number, sizeof(number), "%d", fd);
	hex_encode(challenge, LAS_CHALLENGE_LEN, hex);
	execl(program, program, socket_path, mode, number, hex, (char *)NULL);
	broken("exec");
	return 2;
}

/* First half as a genuine runtime, second half as PROGRAM: same process, same connection. */
static int change(const char *program)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	int fd = connect_challenged(challenge);
	struct buf frame = request_frame(challenge);
	send_all(fd, frame.data, 10);
	return exec_with(program, "rest", fd, challenge);
}

static int rest(int fd, const char *hex)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	if (hex_decode(hex, strlen(hex), challenge, sizeof(challenge)) < 0)
		broken("challenge");
	struct buf frame = request_frame(challenge);
	send_all(fd, frame.data + 10, frame.len - 10);
	return read_answer(fd);
}

/* The whole request as this program, which need not be genuine, and only then PROGRAM. */
static int become(const char *program)
{
	static const uint8_t guess[LAS_CHALLENGE_LEN];
	struct buf frame = request_frame(guess);
	int fd = connect_las();
	send_all(fd, frame.data, frame.len);
	return exec_with(program, "sit", fd, guess);
}

/* Genuine at every moment when LAS can look, but not the same run of it: what it was in between nobody saw. */
static int again(void)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	int fd = connect_challenged(challenge);
	struct buf frame = request_frame(challenge);
	send_all(fd, frame.data, frame.len - 1);
	return exec_with("/proc/self/exe", "last", fd, challenge);
}

static int last(int fd)
{
	send_all(fd, "}", 1);
	return read_answer(fd);
}

static int early(void)
{
	static const uint8_t guess[LAS_CHALLENGE_LEN];
	struct buf frame = request_frame(guess);
	int fd = connect_las();
	send_all(fd, frame.data, frame.len);
	return read_answer(fd);
}

static int replay(void)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	int fd = connect_challenged(challenge);
	challenge[LAS_CHALLENGE_LEN - 1] ^= 1;
	struct buf frame = request_frame(challenge);
	send_all(fd, frame.data, frame.len);
	return read_answer(fd);
}

/* Run what the child does under a tracer that lets every signal but the first stop through. */
static int follow(pid_t child)
{
	int status, first = 1;
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status) == SIGTRAP || first ? 0 : WSTOPSIG(status);
		first = 0;
		if (ptrace(PTRACE_CONT, child, 0, sig) < 0)
			broken("ptrace");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static pid_t fork_traced(void)
{
	pid_t child = fork();
	if (child < 0)
		broken("fork");
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			broken("ptrace");
		raise(SIGSTOP);
	}
	return child;
}

static int traced(void)
{
	pid_t child = fork_traced();
	if (child == 0)
		exit(ask(""));
	return follow(child);
}

static int trace(char **program)
{
	pid_t child = fork_traced();
	if (child == 0) {
		execv(program[0], program);
		broken(program[0]);
	}
	return follow(child);
}

static int many(int n)
{
	uint8_t challenge[LAS_CHALLENGE_LEN];
	for (int i = 0; i < n; i++)
		connect_challenged(challenge);
	connect_challenged(challenge);
	return 0;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void on_sigsys(int sig)
{
}

static void *map(const char *path, int prot)
{
	int fd = path ? open(path, O_RDONLY) : -1;
	void *p = mmap(NULL, 4096, prot, path ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (p == MAP_FAILED)
		broken("mmap");
	return p;
}

/* What a process that hosts other code has, one thing at a time. -1: no such word. */
static int prepare(const char *how)
{
	pthread_t thread;
	if (strcmp(how, "thread") == 0)
		return pthread_create(&thread, NULL, idle, NULL) == 0 ? 0 : 2;
	if (strcmp(how, "mapped") == 0) /* only to read: a program may hide its code while LAS looks */
		return map("/bin/sh", PROT_READ) ? 0 : 2;
	if (strcmp(how, "anonymous") == 0)
		return map(NULL, PROT_READ | PROT_EXEC) ? 0 : 2;
	if (strcmp(how, "writable") == 0 || strcmp(how, "patched") == 0) {
		char *page = (char *)((uintptr_t)prepare & ~4095UL);
		if (mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
			broken("mprotect");
		if (strcmp(how, "writable") == 0)
			return 0;
		*(volatile char *)page = *(volatile char *)page;
		return mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 ? 2 : 0;
	}
	if (strcmp(how, "sigsys") == 0)
		return signal(SIGSYS, on_sigsys) == SIG_ERR ? 2 : 0;
	return -1;
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return (x > y) - (x < y);
}

static int measure_time(int n)
{
	long *us = calloc((size_t)n, sizeof(*us));
	uint8_t data[64] = {0};
	struct manifest m;
	struct error err;
	if (!us || closure_compute("/proc/self/exe", &m, &err) < 0)
		broken("measure");
	for (int i = 0; i < n; i++) {
		struct timespec a, b;
		struct buf evidence;
		buf_init(&evidence, LAS_FRAME_MAX);
		clock_gettime(CLOCK_MONOTONIC, &a);
		if (las_client_evidence(socket_path, data, &m, NULL, TIMEOUT_MS, &evidence, &err) < 0)
			return answered(&err);
		clock_gettime(CLOCK_MONOTONIC, &b);
		us[i] = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
		buf_free(&evidence);
	}
	qsort(us, (size_t)n, sizeof(*us), compare);
	printf("%ld\n", us[n / 2]);
	return 0;
}

static int ask_machine(const char *cas, const char *nonce, bool fresh)
{
	struct platform_wish wish = {.fresh = fresh};
	uint8_t data[64] = {0};
	struct manifest m;
	struct buf evidence;
	struct error err;
	memset(wish.cas, 0x11 * (int)strtol(cas, NULL, 16), sizeof(wish.cas));
	memset(wish.nonce, 0x11 * (int)strtol(nonce, NULL, 16), sizeof(wish.nonce));
	buf_init(&evidence, LAS_FRAME_MAX);
	if (closure_compute("/proc/self/exe", &m, &err) < 0)
		broken("measure");
	if (las_client_evidence(socket_path, data, &m, &wish, TIMEOUT_MS, &evidence, &err) < 0)
		return answered(&err);
	fwrite(evidence.data, 1, evidence.len, stdout);
	buf_free(&evidence);
	manifest_free(&m);
	return 0;
}

static int break_protocol(const char *how)
{
	static const uint8_t garbage[] = "\0\0\0\7garbage", oversize[] = "\0\x20\0\0{}", empty[] = "\0\0\0\0";
	static const uint8_t wrong[] = "\0\0\0\22{\"op\":\"something\"}";
	static const uint8_t old[] = "\0\0\0\21{\"op\":\"evidence\"}";
	if (strcmp(how, "garbage") == 0)
		return send_and_read(garbage, sizeof(garbage) - 1);
	if (strcmp(how, "oversize") == 0)
		return send_and_read(oversize, sizeof(oversize) - 1);
	if (strcmp(how, "empty") == 0)
		return send_and_read(empty, sizeof(empty) - 1);
	if (strcmp(how, "wrong") == 0)
		return send_and_read(wrong, sizeof(wrong) - 1);
	if (strcmp(how, "old") == 0)
		return send_and_read(old, sizeof(old) - 1);
	if (strcmp(how, "slow") == 0)
		return send_and_read(garbage, 7);
	if (strcmp(how, "cut") == 0) {
		uint8_t challenge[LAS_CHALLENGE_LEN];
		int fd = connect_challenged(challenge);
		send_all(fd, garbage, 7);
		shutdown(fd, SHUT_WR);
		return read_answer(fd);
	}
	fprintf(stderr, "las_probe: unknown mode %s\n", how);
	return 2;
}

/* Modes that a process is in after it became another program: the connection is descriptor `number`. */
static int resume(const char *how, const char *number, const char *challenge)
{
	if (strcmp(how, "rest") == 0)
		return rest(atoi(number), challenge);
	if (strcmp(how, "last") == 0)
		return last(atoi(number));
	return strcmp(how, "sit") == 0 ? read_answer(atoi(number)) : -1;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	socket_path = argv[1];
	const char *how = argv[2], *arg = argc > 3 ? argv[3] : "";
	int rc = argc == 5 ? resume(how, arg, argv[4]) : -1;
	if (rc >= 0)
		return rc;
	rc = prepare(how);
	if (rc >= 0)
		return rc ? rc : ask(arg);
	if (strcmp(how, "evidence") == 0)
		return ask(arg);
	if (strcmp(how, "private") == 0)
		return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? 2 : ask(arg);
	if (strcmp(how, "early") == 0)
		return early();
	if (strcmp(how, "replay") == 0)
		return replay();
	if (strcmp(how, "handover") == 0)
		return handover();
	if (strcmp(how, "change") == 0)
		return change(arg);
	if (strcmp(how, "become") == 0)
		return become(arg);
	if (strcmp(how, "again") == 0)
		return again();
	if (strcmp(how, "traced") == 0)
		return traced();
	if (strcmp(how, "trace") == 0 && argc > 3)
		return trace(argv + 3);
	if (strcmp(how, "many") == 0)
		return many(atoi(arg));
	if (strcmp(how, "machine") == 0 && argc >= 5)
		return ask_machine(arg, argv[4], argc == 6 && strcmp(argv[5], "fresh") == 0);
	if (strcmp(how, "time") == 0)
		return measure_time(atoi(arg));
	return break_protocol(how);
}
