#include "wire/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "crypto/init.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "evidence/check.h"
#include "wire/http_head.h"
#include "wire/message.h"
#include "wire/sock.h"

#define DEFAULT_TIMEOUT_MS 15000
#define ADDRESS_MAX 300

struct http_client {
	char *addresses; /* as given; the index of the one in use */
	size_t index;
	bool numeric_only;
	X509 *cert;
	EVP_PKEY *cert_key;
	struct http_address address;
	int fd;
	int timeout_ms;
	SSL_CTX *ctx;
	SSL *ssl;
	int io_error; /* errno of the newest failed send or recv */
	bool pinned;
	uint8_t wanted_key[KEY_HASH_LEN];
	bool have_key;
	uint8_t server_key[KEY_HASH_LEN];
	bool closed; /* no further request: the server closes, or one failed half way */
	bool lost; /* the last request was begun and got no whole answer */
};

/* A BIO over sock: OpenSSL's own socket BIO writes without MSG_NOSIGNAL, and SIGPIPE belongs to the program. */
static int bio_write(BIO *b, const char *p, int n)
{
	struct http_client *c = BIO_get_data(b);
	ssize_t done = sock_send(c->fd, p, (size_t)n);

	BIO_clear_retry_flags(b);
	if (done >= 0)
		return (int)done;
	if (done == -EAGAIN)
		BIO_set_retry_write(b);
	else
		c->io_error = (int)-done;
	return -1;
}

static int bio_read(BIO *b, char *p, int n)
{
	struct http_client *c = BIO_get_data(b);
	ssize_t done = sock_recv(c->fd, p, (size_t)n);

	BIO_clear_retry_flags(b);
	if (done >= 0)
		return (int)done;
	if (done == -EAGAIN)
		BIO_set_retry_read(b);
	else
		c->io_error = (int)-done;
	return -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH; /* nothing is held back */
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sock");

	if (m && BIO_meth_set_write(m, bio_write) == 1 && BIO_meth_set_read(m, bio_read) == 1 &&
		BIO_meth_set_ctrl(m, bio_ctrl) == 1)
		bio_method = m;
	else
		BIO_meth_free(m);
}

static int no_pin_match(const struct http_client *c, struct error *err)
{
	char seen[KEY_HASH_TEXT_MAX], wanted[KEY_HASH_TEXT_MAX];

	key_hash_text(c->server_key, seen);
	key_hash_text(c->wanted_key, wanted);
	return error_set(err, ERR_PEER, "CAS %s presented key %s, wanted %s", c->address.text, seen, wanted);
}

/* Learn the key of the server's certificate; true if it is acceptable. */
static bool take_server_key(struct http_client *c, X509 *cert)
{
	if (!cert || x509_key_hash(cert, c->server_key, NULL) < 0)
		return false;
	c->have_key = true;
	return !c->pinned || secret_equal(c->server_key, c->wanted_key, KEY_HASH_LEN);
}

/* Inside the handshake, so that a wrong server sees neither our certificate nor a byte of ours. */
static int verify_server(X509_STORE_CTX *x, void *arg)
{
	if (take_server_key(arg, X509_STORE_CTX_get0_cert(x))) {
		X509_STORE_CTX_set_error(x, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(x, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* What the result of an SSL call asks for: 0: waited, call again. -1: over, *err says why. */
static int tls_wait(struct http_client *c, int rc, int64_t deadline, const char *doing, struct error *err)
{
	int want = SSL_get_error(c->ssl, rc), waited;

	switch (want) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		waited = sock_wait(c->fd, want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
		return waited == 0 ? 0
				   : error_set_errno(err, -waited, "%s with CAS %s", doing, c->address.text);
	case SSL_ERROR_ZERO_RETURN:
		return error_set(err, ERR_PEER, "%s with CAS %s: the server closed the connection", doing,
			c->address.text);
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		if (c->io_error)
			return error_set_errno(err, c->io_error, "%s with CAS %s", doing, c->address.text);
		return error_set(
			err, ERR_PEER, "%s with CAS %s: the connection ended", doing, c->address.text);
	default:
		return crypto_error(err, ERR_PEER, "%s with CAS %s", doing, c->address.text);
	}
}

static int handshake(struct http_client *c, int64_t deadline, struct error *err)
{
	for (;;) {
		int rc;

		ERR_clear_error();
		c->io_error = 0;
		rc = SSL_connect(c->ssl);
		if (rc == 1)
			break;
		if (c->have_key && c->pinned && !secret_equal(c->server_key, c->wanted_key, KEY_HASH_LEN)) {
			ERR_clear_error();
			return no_pin_match(c, err);
		}
		if (tls_wait(c, rc, deadline, "TLS handshake", err) < 0)
			return -1;
	}
	/* The callback has decided already; this holds even if a library should skip it. */
	if (!take_server_key(c, SSL_get0_peer_certificate(c->ssl)))
		return c->have_key
			       ? no_pin_match(c, err)
			       : error_set(err, ERR_PEER, "CAS %s presented no certificate", c->address.text);
	return 0;
}

static int set_up_tls(struct http_client *c, struct error *err)
{
	BIO *bio;

	crypto_init();
	pthread_once(&bio_once, make_bio_method);
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (!bio_method || !c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION) != 1)
		return crypto_error(err, ERR_CRYPTO, "no TLS context");
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c->ctx, verify_server, c);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	/* answers hold secrets: OpenSSL wipes its copy of what it hands over */
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT);
	if (c->cert && (SSL_CTX_use_certificate(c->ctx, c->cert) != 1 ||
			       SSL_CTX_use_PrivateKey(c->ctx, c->cert_key) != 1))
		return crypto_error(err, ERR_CRYPTO, "client certificate and key not taken");
	c->ssl = SSL_new(c->ctx);
	bio = c->ssl ? BIO_new(bio_method) : NULL;
	if (!bio)
		return crypto_error(err, ERR_CRYPTO, "no TLS connection");
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	return 0;
}

static int try_connect(struct http_client *c, const struct sockaddr *a, socklen_t n, int64_t deadline)
{
	int one = 1;

	c->fd = sock_connect(a->sa_family, a, n, deadline);
	if (c->fd < 0)
		return c->fd;
	/* a request is one write: nothing to gather */
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

/* -EINVAL: host is not numeric. Another -errno: not reached. */
static int connect_numeric(struct http_client *c, int64_t deadline)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(c->address.port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(c->address.port)};

	if (inet_pton(AF_INET, c->address.host, &v4.sin_addr) == 1)
		return try_connect(c, (struct sockaddr *)&v4, sizeof(v4), deadline);
	if (inet_pton(AF_INET6, c->address.host, &v6.sin6_addr) == 1)
		return try_connect(c, (struct sockaddr *)&v6, sizeof(v6), deadline);
	return -EINVAL;
}

static int connect_by_name(struct http_client *c, int64_t deadline, struct error *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
	int rc = getaddrinfo(c->address.host, NULL, &hints, &list), failure = -EADDRNOTAVAIL;

	if (rc != 0)
		return error_set(
			err, ERR_IO, "CAS %s: name not resolved: %s", c->address.text, gai_strerror(rc));
	for (struct addrinfo *a = list; a && failure < 0; a = a->ai_next) {
		if (a->ai_family == AF_INET)
			((struct sockaddr_in *)a->ai_addr)->sin_port = htons(c->address.port);
		else if (a->ai_family == AF_INET6)
			((struct sockaddr_in6 *)a->ai_addr)->sin6_port = htons(c->address.port);
		else
			continue;
		failure = try_connect(c, a->ai_addr, a->ai_addrlen, deadline);
	}
	freeaddrinfo(list);
	return failure < 0 ? error_set_errno(err, -failure, "CAS %s not reached", c->address.text) : 0;
}

static int connect_to(struct http_client *c, int64_t deadline, struct error *err)
{
	int rc = connect_numeric(c, deadline);

	if (rc == 0)
		return 0;
	if (rc != -EINVAL)
		return error_set_errno(err, -rc, "CAS %s not reached", c->address.text);
	if (c->numeric_only)
		return error_set(err, ERR_INPUT, "CAS %s: '%s' is a name, wanted a numeric address",
			c->address.text, c->address.host);
	return connect_by_name(c, deadline, err);
}

/* Ends the connection without a word on it. */
static void drop(struct http_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	if (c->fd >= 0)
		close(c->fd);
	c->ssl = NULL;
	c->ctx = NULL;
	c->fd = -1;
	c->have_key = false;
	c->closed = true;
}

static int open_one(struct http_client *c, const char *address, struct error *err)
{
	int64_t deadline = sock_deadline(c->timeout_ms);

	if (http_address_parse(address, CAS_DEFAULT_PORT, &c->address, err) < 0 ||
		connect_to(c, deadline, err) < 0 || set_up_tls(c, err) < 0 ||
		handshake(c, deadline, err) < 0) {
		drop(c);
		return -1;
	}
	c->closed = false;
	return 0;
}

/* Address number i of a comma-separated list; NULL behind the last. ret holds ADDRESS_MAX bytes. */
static const char *address_at(const char *list, size_t i, char *ret)
{
	size_t n = strcspn(list, ",");

	for (; i > 0; i--) {
		if (!list[n])
			return NULL;
		list += n + 1;
		n = strcspn(list, ",");
	}
	if (n >= ADDRESS_MAX)
		n = ADDRESS_MAX - 1;
	memcpy(ret, list, n);
	ret[n] = '\0';
	return ret;
}

static size_t count_addresses(const struct http_client *c)
{
	char address[ADDRESS_MAX];
	size_t n = 0;

	while (address_at(c->addresses, n, address))
		n++;
	return n;
}

/* The first that is reached, beginning with number first. */
static int open_any(struct http_client *c, size_t first, struct error *err)
{
	size_t n = count_addresses(c);
	char address[ADDRESS_MAX];

	for (size_t i = 0; i < n; i++) {
		c->index = (first + i) % n;
		if (!open_one(c, address_at(c->addresses, c->index, address), err))
			return 0;
	}
	return n > 1 ? error_wrap(err, "none of the %zu CAS is reached; the last one", n) : -1;
}

static struct http_client *client_new(const struct http_client_options *o)
{
	struct http_client *c = calloc(1, sizeof(*c));

	if (!c || !(c->addresses = strdup(o->address))) {
		free(c);
		return NULL;
	}
	c->fd = -1;
	c->closed = true;
	c->numeric_only = o->numeric_only;
	c->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	if (o->cert) {
		X509_up_ref(o->cert);
		EVP_PKEY_up_ref(o->key);
		c->cert = o->cert;
		c->cert_key = o->key;
	}
	if (o->pinned_key) {
		c->pinned = true;
		memcpy(c->wanted_key, o->pinned_key, KEY_HASH_LEN);
	}
	return c;
}

int http_client_open(const struct http_client_options *o, struct http_client **ret, struct error *err)
{
	struct http_client *c;
	uint8_t die = 0;
	size_t n;

	if (!o->pinned_key && !o->accept_any)
		return error_set(
			err, ERR_INTERNAL, "connection to CAS %s without a key to expect", o->address);
	if ((o->cert != NULL) != (o->key != NULL))
		return error_set(
			err, ERR_INTERNAL, "connection to CAS %s with half a client identity", o->address);
	c = client_new(o);
	if (!c)
		return error_set(err, ERR_NOMEM, "no memory for a connection");
	n = count_addresses(c);
	/* Each client begins with another one, so that none of them has all the load. */
	if ((n > 1 && random_bytes(&die, sizeof(die), err)) || open_any(c, die % n, err)) {
		http_client_abandon(c);
		return -1;
	}
	*ret = c;
	return 0;
}

bool http_client_lost(const struct http_client *c)
{
	return c->lost;
}

int http_client_again(struct http_client *c, struct error *err)
{
	/* Whoever answers now must be who answered first. */
	if (!c->pinned) {
		if (!c->have_key)
			return error_set(err, ERR_INTERNAL, "a connection without a key is made again");
		memcpy(c->wanted_key, c->server_key, KEY_HASH_LEN);
		c->pinned = true;
	}
	drop(c);
	c->lost = false;
	return open_any(c, c->index + 1, err);
}

void http_client_close(struct http_client *c)
{
	if (!c)
		return;
	if (c->ssl && !c->closed) {
		/* one try to say goodbye; nobody waits for the answer */
		ERR_clear_error();
		SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	http_client_abandon(c);
}

void http_client_abandon(struct http_client *c)
{
	if (!c)
		return;
	drop(c);
	X509_free(c->cert);
	EVP_PKEY_free(c->cert_key);
	free(c->addresses);
	free(c);
}

void http_client_server_key(const struct http_client *c, uint8_t ret[32])
{
	memcpy(ret, c->server_key, KEY_HASH_LEN);
}

static int send_request(struct http_client *c, const struct buf *request, int64_t deadline, struct error *err)
{
	size_t done;

	for (;;) {
		int rc;

		ERR_clear_error();
		c->io_error = 0;
		/* without partial writes it is all or, with the same arguments, again */
		rc = SSL_write_ex(c->ssl, request->data, request->len, &done);
		if (rc == 1)
			return 0;
		if (tls_wait(c, rc, deadline, "sending the request", err) < 0)
			return -1;
	}
}

/* At least one and at most n bytes, appended to b. */
static int receive(struct http_client *c, size_t n, int64_t deadline, struct buf *b, struct error *err)
{
	uint8_t *to = buf_reserve(b, n);
	size_t done;

	if (!to)
		return error_set(err, ERR_NOMEM, "no memory for %zu bytes of answer", n);
	for (;;) {
		int rc;

		ERR_clear_error();
		c->io_error = 0;
		rc = SSL_read_ex(c->ssl, to, n, &done);
		if (rc == 1) {
			b->len += done;
			return 0;
		}
		if (tls_wait(c, rc, deadline, "reading the answer", err) < 0)
			return -1;
	}
}

/* head holds the head and what followed it; *ret_len is the head's own length. */
static int receive_head(struct http_client *c, int64_t deadline, struct buf *head, struct http_head *ret,
	size_t *ret_len, struct error *err)
{
	size_t len;

	while ((len = http_head_length(head->data, head->len)) == 0) {
		if (head->len == HTTP_HEAD_MAX)
			return error_set(err, ERR_LIMIT,
				"CAS %s: the answer's header is longer than %d bytes", c->address.text,
				HTTP_HEAD_MAX);
		if (receive(c, HTTP_HEAD_MAX - head->len, deadline, head, err) < 0)
			return error_wrap(err, "after %zu bytes of header", head->len);
	}
	if (http_head_parse(head->data, len, HTTP_BODY_MAX, ret, err) < 0)
		return error_wrap(err, "CAS %s", c->address.text);
	*ret_len = len;
	return 0;
}

static int receive_answer(struct http_client *c, int64_t deadline, struct buf *head, struct http_head *h,
	struct buf *body, struct error *err)
{
	size_t head_len = 0, extra;

	if (receive_head(c, deadline, head, h, &head_len, err) < 0)
		return -1;
	extra = head->len - head_len;
	if (extra > h->body_len || (extra == h->body_len && SSL_pending(c->ssl) > 0))
		return error_set(err, ERR_PEER,
			"CAS %s sent more than the %zu bytes of body that its header says", c->address.text,
			h->body_len);
	buf_put(body, head->data + head_len, extra);
	while (body->len < h->body_len) {
		if (receive(c, h->body_len - body->len, deadline, body, err) < 0)
			return error_wrap(err, "after %zu of %zu bytes of body", body->len, h->body_len);
	}
	if (body->failed)
		return error_set(err, ERR_NOMEM, "no memory for %zu bytes of answer", h->body_len);
	if (SSL_pending(c->ssl) > 0)
		return error_set(err, ERR_PEER,
			"CAS %s sent more than the %zu bytes of body that its header says", c->address.text,
			h->body_len);
	return 0;
}

int http_client_request(struct http_client *c, const char *method, const char *path, const char *content_type,
	const void *body, size_t n, struct http_response *ret, struct error *err)
{
	int64_t deadline = sock_deadline(c->timeout_ms);
	struct buf request, head, answer;
	struct http_head h;
	int rc = -1;

	if (c->closed)
		return error_set(err, ERR_IO, "the connection to CAS %s is closed", c->address.text);
	buf_init_secret(&request, HTTP_BODY_MAX + HTTP_HEAD_MAX);
	buf_init_secret(&head, HTTP_HEAD_MAX);
	buf_init_secret(&answer, HTTP_BODY_MAX);
	if (http_request_write(method, path, c->address.text, content_type, body, n, &request, err) < 0)
		goto out; /* nothing was sent: the connection stays good */
	c->closed = true;
	c->lost = true;
	if (send_request(c, &request, deadline, err) < 0 ||
		receive_answer(c, deadline, &head, &h, &answer, err) < 0)
		goto out;
	c->closed = h.close;
	c->lost = false;
	ret->status = h.status;
	ret->body = answer;
	buf_init_secret(&answer, 0);
	rc = 0;
out:
	buf_free(&request);
	buf_free(&head);
	buf_free(&answer);
	return rc;
}

void http_response_free(struct http_response *r)
{
	buf_free(&r->body);
	r->status = 0;
}

/* What an error status means when the body does not say. */
static enum err_code code_of_status(int status)
{
	switch (status) {
	case 400:
		return ERR_INPUT;
	case 401:
	case 403:
		return ERR_ACCESS;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	case 413:
	case 429:
	case 431:
		return ERR_LIMIT;
	default:
		return ERR_PEER;
	}
}

int http_response_check(const struct http_response *r, struct error *err)
{
	const char *code = NULL, *text = NULL, *check = NULL;
	char shown[ERROR_TEXT_MAX];
	enum err_code c = code_of_status(r->status);
	const json_t *inner;
	json_t *o = NULL;

	if (r->status >= 200 && r->status < 300)
		return 0;
	if (message_parse(r->body.data, r->body.len, "error answer", &o, NULL) == 0) {
		inner = json_object_get(o, "error");
		code = json_string_value(json_object_get(inner, "code"));
		text = json_string_value(json_object_get(inner, "text"));
		check = json_string_value(json_object_get(inner, "check"));
	}
	if (code && text && *text) {
		enum err_code said;

		if (error_code_parse(code, &said) == 0)
			c = said;
		message_printable(text, shown, sizeof(shown));
		error_set(err, c, "%s", shown);
		if (err && check)
			err->check = evidence_check_find(check);
	} else {
		error_set(err, c, "CAS answered with HTTP status %d and no error text", r->status);
	}
	json_decref(o);
	return -1;
}
