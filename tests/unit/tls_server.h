/*
 * tls_server: a real TLS server in a thread of the test, on a free port of loopback, that serves one connection well or
 * badly and notes what it saw. Included by one test file, after cmocka.h.
 */
#ifndef SCONE_TESTS_TLS_SERVER_H
#define SCONE_TESTS_TLS_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "wire/http_client.h"
#include "wire/http_head.h"

enum behaviour {
	ECHO, /* answer each request with its first line, the client's key and the body */
	SCRIPT, /* read a request, send `answer`, say goodbye, close */
	CUT, /* the same without goodbye */
	HANG, /* the same, then wait for the client to leave */
	TRICKLE, /* a byte of `answer` every 20 ms */
	SLAM, /* close after the handshake with bytes unread, which resets the connection */
	LEAVE, /* close after the handshake, in good order */
	MUTE, /* accept, never shake hands */
	PLAIN, /* no TLS: send `answer` as it is */
	TLS12_ONLY, /* shake hands with TLS 1.2 at most */
};

struct server {
	enum behaviour does;
	const char *answer;
	size_t answer_len;
	int family;

	int listener;
	char address[64];
	pthread_t thread;
	SSL_CTX *ctx;
	/* what it saw */
	bool shook_hands;
	bool saw_client_cert;
	uint8_t client_key[32];
	size_t requests;
	size_t bytes; /* of application data */
};

static EVP_PKEY *server_key, *client_key;
static X509 *server_cert, *client_cert;
static uint8_t server_hash[32], client_hash[32];

static int make_identities(void **state)
{
	struct error err;

	if (key_generate(KEY_ED25519, &server_key, &err) < 0 ||
		key_generate(KEY_P256, &client_key, &err) < 0 ||
		x509_self_signed(server_key, "server", NULL, "127.0.0.1", 1, &server_cert, &err) < 0 ||
		x509_self_signed(client_key, "client", NULL, NULL, 1, &client_cert, &err) < 0 ||
		key_hash(server_key, server_hash, &err) < 0 || key_hash(client_key, client_hash, &err) < 0)
		return -1;
	return 0;
}

static int free_identities(void **state)
{
	EVP_PKEY_free(server_key);
	EVP_PKEY_free(client_key);
	X509_free(server_cert);
	X509_free(client_cert);
	return 0;
}

static int any_certificate(X509_STORE_CTX *x, void *arg)
{
	X509_STORE_CTX_set_error(x, X509_V_OK);
	return 1;
}

/* One request: head and body. False at the end of the stream. */
static bool read_request(struct server *s, SSL *ssl, struct buf *head, struct buf *body)
{
	char c;
	size_t len = 0;
	const char *field;

	buf_reset(head);
	buf_reset(body);
	while (http_head_length(head->data, head->len) == 0) {
		if (SSL_read(ssl, &c, 1) != 1)
			return false;
		s->bytes++;
		buf_putc(head, c);
	}
	field = strstr(buf_cstr(head), "Content-Length: ");
	if (field)
		len = strtoul(field + 16, NULL, 10);
	while (body->len < len) {
		uint8_t *to = buf_reserve(body, len - body->len);
		int n = to ? SSL_read(ssl, to, (int)(len - body->len)) : 0;

		if (n <= 0)
			return false;
		s->bytes += (size_t)n;
		body->len += (size_t)n;
	}
	s->requests++;
	return true;
}

static void send_bytes(SSL *ssl, const char *p, size_t n)
{
	if (n > 0)
		SSL_write(ssl, p, (int)n);
}

static void echo(struct server *s, SSL *ssl)
{
	char key[65] = "none";
	struct buf head, body, out;

	buf_init(&head, HTTP_HEAD_MAX);
	buf_init(&body, HTTP_BODY_MAX);
	buf_init(&out, HTTP_BODY_MAX + 1000);
	if (s->saw_client_cert)
		hex_encode(s->client_key, 32, key);
	while (read_request(s, ssl, &head, &body)) {
		int line = (int)strcspn((char *)head.data, "\r");

		buf_reset(&out);
		buf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s|%s|",
			(size_t)line + strlen(key) + 2 + body.len, line, (char *)head.data, key);
		buf_put(&out, body.data, body.len);
		send_bytes(ssl, (char *)out.data, out.len);
	}
	buf_free(&head);
	buf_free(&body);
	buf_free(&out);
}

static void wait_for_leave(SSL *ssl)
{
	char c;

	while (SSL_read(ssl, &c, 1) == 1)
		;
}

static void trickle(struct server *s, SSL *ssl)
{
	struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

	for (size_t i = 0; i < s->answer_len && SSL_write(ssl, s->answer + i, 1) == 1; i++)
		nanosleep(&pause, NULL);
}

static void play(struct server *s, SSL *ssl)
{
	struct buf head, body;

	buf_init(&head, HTTP_HEAD_MAX);
	buf_init(&body, HTTP_BODY_MAX);
	if (read_request(s, ssl, &head, &body)) {
		if (s->does == TRICKLE)
			trickle(s, ssl);
		else
			send_bytes(ssl, s->answer, s->answer_len);
		if (s->does == HANG)
			wait_for_leave(ssl);
		else if (s->does == SCRIPT)
			SSL_shutdown(ssl);
	}
	buf_free(&head);
	buf_free(&body);
}

static void serve_tls(struct server *s, int fd)
{
	SSL *ssl = SSL_new(s->ctx);
	X509 *cert;

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		s->shook_hands = true;
		cert = SSL_get0_peer_certificate(ssl);
		if (cert && x509_key_hash(cert, s->client_key, NULL) == 0)
			s->saw_client_cert = true;
		if (s->does == ECHO)
			echo(s, ssl);
		else if (s->does == TLS12_ONLY)
			wait_for_leave(ssl);
		else if (s->does != SLAM && s->does != LEAVE)
			play(s, ssl);
	}
	ERR_clear_error();
	SSL_free(ssl);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	sigset_t set;
	char c;
	int fd;

	/* only the server's half: the client must do without */
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = accept(s->listener, NULL, NULL);
	if (fd < 0)
		return NULL;
	if (s->does == PLAIN) {
		if (write(fd, s->answer, s->answer_len) > 0)
			shutdown(fd, SHUT_WR);
		while (read(fd, &c, 1) == 1)
			;
	} else if (s->does == MUTE) {
		while (read(fd, &c, 1) == 1)
			;
	} else {
		serve_tls(s, fd);
	}
	if (s->does == SLAM) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		struct linger now = {.l_onoff = 1};

		poll(&p, 1, 2000);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	close(fd);
	return NULL;
}

/* Listening socket on a free port; its text form is put into s->address. */
static void listen_on(struct server *s)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool six = s->family == AF_INET6;
	struct sockaddr *a = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t n = six ? sizeof(v6) : sizeof(v4);

	s->listener = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, a, n) < 0 || listen(s->listener, 1) < 0 ||
		getsockname(s->listener, a, &n) < 0)
		fail_msg("no listening socket on loopback: %s", strerror(errno));
	snprintf(s->address, sizeof(s->address), six ? "[::1]:%u" : "127.0.0.1:%u",
		ntohs(six ? v6.sin6_port : v4.sin_port));
}

static void prepare(struct server *s)
{
	listen_on(s);
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(s->ctx, server_cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, server_key), 1);
	if (s->does == TLS12_ONLY)
		SSL_CTX_set_max_proto_version(s->ctx, TLS1_2_VERSION);
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(s->ctx, any_certificate, NULL);
}

static void start(struct server *s)
{
	prepare(s);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
	pthread_join(s->thread, NULL);
	close(s->listener);
	SSL_CTX_free(s->ctx);
}

#endif
