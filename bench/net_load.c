/*
 * Connections for bench/net.py: a server that answers one byte, with OpenSSL's own TLS or without any (the network shield adds it then), and loads.
 *
 *   net_load serve [IDENTITY CA]            one connection after the other; prints its port. With files: mutual TLS 1.3 by OpenSSL
 *   net_load connect PORT IDENTITY CA SECONDS THREADS
 *                                           connect, handshake, a byte there, a byte back, the end; prints {"operations":N,"failed":N,"seconds":S,"p50":MS,"p99":MS}
 *   net_load idle PORT IDENTITY CA COUNT    COUNT connections after their handshake; prints "ready"; holds them until its input ends
 *   net_load slow PORT IDENTITY CA COUNT    the same, a third each: half a hello, then nothing but a byte every 100 ms; after the handshake a
 *                                           request whose record goes byte by byte; after the handshake a request in records of one byte
 *
 * IDENTITY is a PEM file of key, certificate and chain. TLS 1.3 with AES-256-GCM, P-256, no tickets and no resumption on all sides.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define SAMPLES_MAX 100000
#define STEP_MS 100

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "net_load: error: %s: %s\n", what, errno ? strerror(errno) : "");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL_CTX *context(bool server, const char *identity, const char *ca)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") != 1 ||
		SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
		SSL_CTX_use_certificate_chain_file(ctx, identity) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, identity, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
		die("certificates");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return ctx;
}

static int dial(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- the server --- */

static void answer_tls(SSL_CTX *ctx, int fd)
{
	SSL *ssl = SSL_new(ctx);
	char c;

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && SSL_read(ssl, &c, 1) == 1 && SSL_write(ssl, &c, 1) == 1)
		SSL_shutdown(ssl);
	SSL_free(ssl);
}

static void answer_plain(int fd)
{
	char c;

	if (read(fd, &c, 1) == 1 && write(fd, &c, 1) != 1)
		return;
}

static _Noreturn void serve(const char *identity, const char *ca)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SSL_CTX *ctx = identity ? context(true, identity, ca) : NULL;
	const char *wanted = getenv("NET_LOAD_PORT");
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t n = sizeof(a);

	a.sin_port = htons((uint16_t)(wanted ? atoi(wanted) : 0));
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&a, n) || listen(s, 512) || getsockname(s, (struct sockaddr *)&a, &n))
		die("listen");
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(s, NULL, NULL);

		if (fd < 0)
			die("accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (ctx)
			answer_tls(ctx, fd);
		else
			answer_plain(fd);
		close(fd);
	}
}

/* --- new connections --- */

struct worker {
	SSL_CTX *ctx;
	int port;
	double end;
	unsigned long done, failed;
	double *samples;
};

static bool once(const struct worker *w)
{
	int fd = dial(w->port);
	SSL *ssl = SSL_new(w->ctx);
	char c = 'x';
	bool ok;

	SSL_set_fd(ssl, fd);
	ok = fd >= 0 && SSL_connect(ssl) == 1 && SSL_write(ssl, &c, 1) == 1 && SSL_read(ssl, &c, 1) == 1 &&
	     c == 'x';
	SSL_free(ssl);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (now() < w->end) {
		double begin = now();

		if (!once(w)) {
			w->failed++;
			usleep(1000);
			continue;
		}
		if (w->done < SAMPLES_MAX)
			w->samples[w->done] = now() - begin;
		w->done++;
	}
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int load(int port, SSL_CTX *ctx, double seconds, int threads)
{
	static struct worker workers[THREADS_MAX];
	pthread_t id[THREADS_MAX];
	unsigned long done = 0, failed = 0, kept = 0;
	double begin = now(), *all;

	for (int i = 0; i < threads; i++) {
		workers[i] = (struct worker){.ctx = ctx,
			.port = port,
			.end = begin + seconds,
			.samples = calloc(SAMPLES_MAX, sizeof(double))};
		if (!workers[i].samples || pthread_create(&id[i], NULL, work, &workers[i]))
			die("thread");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		done += workers[i].done;
		failed += workers[i].failed;
	}
	all = calloc(done + 1, sizeof(*all));
	if (!all)
		die("memory");
	for (int i = 0; i < threads; i++)
		for (unsigned long k = 0; k < workers[i].done && k < SAMPLES_MAX; k++)
			all[kept++] = workers[i].samples[k];
	qsort(all, kept, sizeof(*all), by_number);
	printf("{\"operations\":%lu,\"failed\":%lu,\"seconds\":%.3f,\"p50\":%.3f,\"p99\":%.3f}\n", done,
		failed, now() - begin, kept ? all[kept / 2] * 1e3 : 0, kept ? all[kept * 99 / 100] * 1e3 : 0);
	free(all);
	return done == 0;
}

/* --- connections that stay --- */

enum kind { IDLE, HALF_HELLO, SLOW_RECORD, SLOW_BYTES, KINDS };

struct held {
	int fd;
	enum kind kind;
	SSL *ssl; /* NULL: bytes below */
	unsigned char bytes[4096]; /* of records, that go one by one */
	size_t len, at;
};

static const char request[] = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n";

/* What SSL wants to send, not sent. */
static void take_output(struct held *h, SSL *ssl)
{
	int n = BIO_read(SSL_get_wbio(ssl), h->bytes, sizeof(h->bytes));

	h->len = n > 0 ? (size_t)n : 0;
}

static SSL *shaken(SSL_CTX *ctx, int fd)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		die("handshake of a connection to hold");
	return ssl;
}

static void prepare(struct held *h, SSL_CTX *ctx, int port, enum kind kind)
{
	SSL *ssl;

	h->kind = kind;
	h->fd = dial(port);
	if (h->fd < 0)
		die("connect");
	if (kind == HALF_HELLO) {
		ssl = SSL_new(ctx);
		SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
		SSL_set_connect_state(ssl);
		SSL_do_handshake(ssl);
		take_output(h, ssl);
		SSL_free(ssl);
		if (h->len < 100 || send(h->fd, h->bytes, h->len / 2, 0) != (ssize_t)(h->len / 2))
			die("half a hello");
		h->at = h->len / 2;
		return;
	}
	ssl = shaken(ctx, h->fd);
	if (kind == SLOW_RECORD) {
		SSL_set0_wbio(ssl, BIO_new(BIO_s_mem()));
		SSL_write(ssl, request, sizeof(request) - 1);
		take_output(h, ssl);
	}
	if (kind == SLOW_BYTES) {
		memcpy(h->bytes, request, sizeof(request) - 1);
		h->len = sizeof(request) - 1;
		h->ssl = ssl;
		return;
	}
	SSL_set_quiet_shutdown(ssl, 1);
	SSL_free(ssl);
}

/* The next byte; the last one stays unsent, so that each of them is slow for good. */
static void step(struct held *h)
{
	if (h->at + 1 >= h->len)
		return;
	if (h->ssl ? SSL_write(h->ssl, h->bytes + h->at, 1) != 1
		   : send(h->fd, h->bytes + h->at, 1, MSG_NOSIGNAL) != 1)
		die("a slow connection was ended");
	h->at++;
}

static int hold(int port, SSL_CTX *ctx, size_t count, bool slow)
{
	struct held *all = calloc(count, sizeof(*all));
	struct pollfd in = {.fd = 0, .events = POLLIN};

	if (!all)
		die("memory");
	for (size_t i = 0; i < count; i++)
		prepare(&all[i], ctx, port, slow ? (enum kind)(HALF_HELLO + i % (KINDS - 1)) : IDLE);
	printf("ready\n");
	fflush(stdout);
	for (size_t turn = 0;; turn++) {
		/* A tenth of them every tenth of the time. */
		if (poll(&in, 1, slow ? STEP_MS / 10 : -1))
			return 0;
		for (size_t i = turn % 10; i < count; i += 10)
			step(&all[i]);
	}
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx;
	int port;

	signal(SIGPIPE, SIG_IGN);
	if (argc >= 2 && !strcmp(argv[1], "serve") && (argc == 2 || argc == 4))
		serve(argc == 4 ? argv[2] : NULL, argc == 4 ? argv[3] : NULL);
	if (argc < 6) {
		fprintf(stderr, "usage: net_load serve [IDENTITY CA] | connect PORT IDENTITY CA SECONDS "
				"THREADS | idle|slow PORT IDENTITY CA COUNT\n");
		return 2;
	}
	port = atoi(argv[2]);
	ctx = context(false, argv[3], argv[4]);
	if (!strcmp(argv[1], "connect") && argc == 7 && atoi(argv[6]) > 0 && atoi(argv[6]) <= THREADS_MAX)
		return load(port, ctx, atof(argv[5]), atoi(argv[6]));
	if ((!strcmp(argv[1], "idle") || !strcmp(argv[1], "slow")) && argc == 6)
		return hold(port, ctx, (size_t)atol(argv[5]), argv[1][0] == 's');
	return 2;
}
