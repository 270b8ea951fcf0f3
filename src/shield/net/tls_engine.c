#include "shield/net/tls_engine.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/init.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "crypto/x509_chain.h"

#define SUITES "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define EPHEMERAL_DAYS 365
#define SECURITY_LEVEL 2
#define PEER_TEXT_MAX 400
#define CERT_LIST_MAX (64 * 1024) /* bytes of certificates that a peer may send */

struct tls_role {
	SSL_CTX *ctx;
	bool server, auth_disabled;
	char *peer_name;
	char *anchors; /* names of the CA certificates, for messages */
};

struct tls_handshake {
	SSL *ssl;
	BIO *in, *out; /* of ssl */
	bool server;
	char *peer_name, *anchors;
	uint8_t secret[2][TLS_SECRET_MAX]; /* client's, server's */
	size_t secret_len[2];
	int verify_error; /* X509_V_… of the first refusal */
	X509 *refused; /* the certificate that it was about */
	unsigned alert; /* that the peer sent, 256: none */
};

/* --- roles --- */

/* An encrypted key is not asked a password for. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

struct identity {
	EVP_PKEY *key;
	X509 *cert;
	STACK_OF(X509) * chain;
};

static void identity_free(struct identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->cert);
	sk_X509_pop_free(i->chain, X509_free);
	*i = (struct identity){0};
}

static STACK_OF(X509_INFO) * read_pem(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	STACK_OF(X509_INFO) *list = b ? PEM_X509_INFO_read_bio(b, NULL, no_password, NULL) : NULL;

	BIO_free(b);
	return list;
}

static int sort_identity(STACK_OF(X509_INFO) * list, struct identity *ret, struct error *err)
{
	for (int i = 0; i < sk_X509_INFO_num(list); i++) {
		X509_INFO *item = sk_X509_INFO_value(list, i);

		if (item->x_pkey && item->x_pkey->dec_pkey) {
			if (ret->key)
				return error_set(err, ERR_INPUT, "identity: more than one private key");
			ret->key = item->x_pkey->dec_pkey;
			EVP_PKEY_up_ref(ret->key);
		}
	}
	if (!ret->key)
		return error_set(err, ERR_INPUT, "identity: no private key in PEM that is not encrypted");
	for (int i = 0; i < sk_X509_INFO_num(list); i++) {
		X509 *c = sk_X509_INFO_value(list, i)->x509;
		bool own = c && !ret->cert && EVP_PKEY_eq(X509_get0_pubkey(c), ret->key) == 1;

		if (!c)
			continue;
		X509_up_ref(c);
		if (own)
			ret->cert = c;
		else if (sk_X509_push(ret->chain, c) <= 0)
			return X509_free(c), error_set(err, ERR_NOMEM, "identity: no memory");
	}
	ERR_clear_error();
	return ret->cert ? 0
			 : error_set(err, ERR_INPUT,
				   "identity: none of its certificates is of its private key");
}

static int read_identity(const char *pem, struct identity *ret, struct error *err)
{
	STACK_OF(X509_INFO) *list = read_pem(pem);
	int rc;

	ret->chain = sk_X509_new_null();
	if (!list || !ret->chain)
		rc = crypto_error(
			err, ERR_INPUT, "identity is no PEM of an unencrypted key and certificates");
	else
		rc = sort_identity(list, ret, err);
	sk_X509_INFO_pop_free(list, X509_INFO_free);
	return rc;
}

static int ephemeral_identity(struct identity *ret, struct error *err)
{
	if (key_generate(KEY_P256, &ret->key, err) ||
		x509_self_signed(ret->key, "ephemeral", NULL, NULL, EPHEMERAL_DAYS, &ret->cert, err))
		return error_wrap(err, "ephemeral identity");
	return 0;
}

static int use_identity(SSL_CTX *ctx, const struct identity *id, struct error *err)
{
	if (!id->key)
		return 0;
	if (SSL_CTX_use_certificate(ctx, id->cert) != 1 || SSL_CTX_use_PrivateKey(ctx, id->key) != 1 ||
		SSL_CTX_check_private_key(ctx) != 1)
		return crypto_error(err, ERR_INPUT, "identity cannot be used");
	for (int i = 0; id->chain && i < sk_X509_num(id->chain); i++)
		if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(id->chain, i)) != 1)
			return crypto_error(err, ERR_INPUT,
				"certificate %d of the identity's chain cannot be used", i + 1);
	return 0;
}

static int trust(SSL_CTX *ctx, X509 *c, struct buf *names, struct error *err)
{
	char name[128];

	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), c) != 1)
		return crypto_error(err, ERR_INPUT, "CA certificate not taken");
	x509_common_name(c, name, sizeof(name));
	buf_printf(names, "%s\"%s\"", names->len ? " or " : "", name);
	return 0;
}

static int trust_given(SSL_CTX *ctx, const char *pem, struct buf *names, struct error *err)
{
	struct x509_chain chain = {0};
	int rc = x509_chain_from_pem(pem, strlen(pem), &chain, err);

	for (size_t i = 0; rc == 0 && i < chain.count; i++)
		rc = trust(ctx, chain.cert[i], names, err);
	x509_chain_free(&chain);
	return rc ? error_wrap(err, "CA certificates") : 0;
}

static int trust_chain(SSL_CTX *ctx, const struct identity *id, struct buf *names, struct error *err)
{
	for (int i = 0; id->chain && i < sk_X509_num(id->chain); i++)
		if (x509_is_ca(sk_X509_value(id->chain, i)) &&
			trust(ctx, sk_X509_value(id->chain, i), names, err))
			return -1;
	return names->len ? 0
			  : error_set(err, ERR_INPUT,
				    "no CA certificates are given, and the identity's chain has none: nobody "
				    "could be "
				    "trusted");
}

static void on_secret(const SSL *ssl, const char *line);

/* Remembers the first refusal and what it was about; the outcome is OpenSSL's. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_handshake *h = SSL_get_app_data(ssl);
	X509 *c = X509_STORE_CTX_get_current_cert(store);

	if (!ok && h->verify_error == X509_V_OK) {
		h->verify_error = X509_STORE_CTX_get_error(store);
		if (c && X509_up_ref(c) == 1)
			h->refused = c;
	}
	return ok;
}

static void on_info(const SSL *ssl, int where, int value)
{
	struct tls_handshake *h = SSL_get_app_data(ssl);

	if (h && (where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		h->alert = (unsigned)value & 0xff;
}

static int set_protocol(SSL_CTX *ctx, bool server, struct error *err)
{
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, SUITES) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
		(server && SSL_CTX_set_max_early_data(ctx, 0) != 1))
		return crypto_error(err, ERR_CRYPTO, "TLS 1.3 is not to be had");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
	SSL_CTX_set_keylog_callback(ctx, on_secret);
	SSL_CTX_set_info_callback(ctx, on_info);
	return 0;
}

static int set_peer(SSL_CTX *ctx, const struct tls_role_options *o, const struct identity *id,
	struct buf *names, struct error *err)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	if (o->auth_disabled) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN); /* a session's CA need not be a root */
	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (o->peer_name && X509_VERIFY_PARAM_set1_host(param, o->peer_name, 0) != 1)
		return crypto_error(
			err, ERR_INPUT, "name \"%.80s\" cannot be wanted of a peer", o->peer_name);
	return o->auth ? trust_given(ctx, o->auth, names, err) : trust_chain(ctx, id, names, err);
}

static int build(const struct tls_role_options *o, struct tls_role *r, struct error *err)
{
	struct identity id = {0};
	struct buf names;
	int rc = 0;

	buf_init(&names, 1024);
	if (o->identity)
		rc = read_identity(o->identity, &id, err);
	else if (o->server)
		rc = ephemeral_identity(&id, err);
	if (rc == 0 && !(r->ctx = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method())))
		rc = crypto_error(err, ERR_NOMEM, "no TLS context");
	if (rc == 0)
		rc = set_protocol(r->ctx, o->server, err) || use_identity(r->ctx, &id, err) ||
				     set_peer(r->ctx, o, &id, &names, err)
			     ? -1
			     : 0;
	identity_free(&id);
	r->server = o->server;
	r->auth_disabled = o->auth_disabled;
	r->peer_name = o->peer_name ? strdup(o->peer_name) : NULL;
	r->anchors = strdup(names.len ? (names.failed ? "one of many" : buf_cstr(&names)) : "none");
	buf_free(&names);
	if (rc == 0 && (!r->anchors || (o->peer_name && !r->peer_name)))
		rc = error_set(err, ERR_NOMEM, "no memory for an identity");
	return rc;
}

static void release(struct tls_role *r)
{
	SSL_CTX_free(r->ctx);
	free(r->peer_name);
	free(r->anchors);
}

int tls_role_new(const struct tls_role_options *o, struct tls_role **ret, struct error *err)
{
	struct tls_role *r = calloc(1, sizeof(*r));

	crypto_init();
	if (!r)
		return error_set(err, ERR_NOMEM, "no memory for an identity");
	if (build(o, r, err)) {
		tls_role_free(r);
		return -1;
	}
	*ret = r;
	return 0;
}

void tls_role_free(struct tls_role *r)
{
	if (r)
		release(r);
	free(r);
}

int tls_role_reload(struct tls_role *r, const struct tls_role_options *o, struct error *err)
{
	struct tls_role next = {0};

	if (build(o, &next, err)) {
		release(&next);
		return -1;
	}
	release(r);
	*r = next;
	return 0;
}

/* --- handshakes --- */

/* A line of the key log: label, client random, secret; all but the first two traffic secrets are left alone. */
static void on_secret(const SSL *ssl, const char *line)
{
	static const char *const labels[2] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
	struct tls_handshake *h = SSL_get_app_data(ssl);
	const char *hex = strrchr(line, ' ');

	for (int i = 0; h && hex && i < 2; i++) {
		size_t n = strlen(hex + 1) / 2;

		if (strncmp(line, labels[i], strlen(labels[i])) || n > TLS_SECRET_MAX)
			continue;
		if (hex_decode(hex + 1, 2 * n, h->secret[i], n) == 0)
			h->secret_len[i] = n;
	}
}

static int start_ssl(const struct tls_role *r, struct tls_handshake *h, uint64_t now)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	if (!h->ssl || !in || !out) {
		BIO_free(in);
		BIO_free(out);
		return -1;
	}
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(h->ssl, in, out);
	h->in = in;
	h->out = out;
	SSL_set_app_data(h->ssl, h);
	X509_VERIFY_PARAM_set_time(SSL_get0_param(h->ssl), (time_t)now);
	if (r->server) {
		SSL_set_accept_state(h->ssl);
		return 0;
	}
	SSL_set_connect_state(h->ssl);
	return r->peer_name && SSL_set_tlsext_host_name(h->ssl, r->peer_name) != 1 ? -1 : 0;
}

int tls_handshake_new(const struct tls_role *r, uint64_t now, struct tls_handshake **ret, struct error *err)
{
	struct tls_handshake *h = calloc(1, sizeof(*h));

	if (!h)
		return error_set(err, ERR_NOMEM, "no memory for a handshake");
	h->server = r->server;
	h->alert = 256;
	h->verify_error = X509_V_OK;
	h->anchors = strdup(r->anchors);
	h->peer_name = r->peer_name ? strdup(r->peer_name) : NULL;
	h->ssl = SSL_new(r->ctx);
	if (!h->anchors || (r->peer_name && !h->peer_name) || start_ssl(r, h, now)) {
		tls_handshake_free(h);
		return crypto_error(err, ERR_NOMEM, "no memory for a handshake");
	}
	*ret = h;
	return 0;
}

void tls_handshake_free(struct tls_handshake *h)
{
	if (!h)
		return;
	SSL_free(h->ssl);
	X509_free(h->refused);
	free(h->anchors);
	free(h->peer_name);
	secret_wipe(h, sizeof(*h));
	free(h);
}

static int failed(struct error *err, const char *check, const char *fmt, const char *seen, const char *wanted)
{
	error_set(err, ERR_PEER, fmt, seen, wanted);
	if (err)
		err->check = check;
	return -1;
}

int tls_handshake_record(const uint8_t *at, size_t *ret_len, struct error *err)
{
	size_t n = (size_t)(at[3] << 8 | at[4]);
	char hex[2 * TLS_HEADER + 1];

	hex_encode(at, TLS_HEADER, hex);
	if (at[0] < 20 || at[0] > 23 || at[1] != 3 || at[2] > 4)
		return failed(err, "record", "check record: seen bytes %s, which are no TLS, wanted %s", hex,
			"a TLS 1.3 handshake");
	if (n == 0 || n > TLS_RECORD_MAX - TLS_HEADER)
		return failed(
			err, "record", "check record: seen a header %s, wanted %s", hex, "1 to 16640 bytes");
	*ret_len = TLS_HEADER + n;
	return 0;
}

/* Names in a certificate, as they are compared with the one wanted. */
static void names_of(X509 *c, char *ret, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c, NID_subject_alt_name, NULL, NULL);
	size_t at = 0;

	ret[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && at + 2 < size; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		const ASN1_IA5STRING *s = g->type == GEN_DNS ? g->d.dNSName : NULL;
		int n;

		if (!s)
			continue;
		n = snprintf(ret + at, size - at, "%s%.*s", at ? ", " : "", ASN1_STRING_length(s),
			(const char *)ASN1_STRING_get0_data(s));
		at += n > 0 ? (size_t)n : 0;
	}
	for (char *p = ret; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	GENERAL_NAMES_free(names);
	if (!ret[0])
		snprintf(ret, size, "no DNS name");
}

void tls_handshake_peer(const struct tls_handshake *h, char *ret, size_t size)
{
	X509 *c = h->refused ? h->refused : SSL_get0_peer_certificate(h->ssl);

	if (c)
		names_of(c, ret, size);
	else
		snprintf(ret, size, "no certificate");
}

static void date_text(const ASN1_TIME *t, char ret[40])
{
	BIO *b = BIO_new(BIO_s_mem());
	int n = b && ASN1_TIME_print(b, t) == 1 ? BIO_read(b, ret, 39) : 0;

	ret[n > 0 ? n : 0] = '\0';
	BIO_free(b);
}

static int bad_validity(const struct tls_handshake *h, struct error *err)
{
	char from[40] = "?", to[40] = "?", seen[128];

	if (h->refused) {
		date_text(X509_get0_notBefore(h->refused), from);
		date_text(X509_get0_notAfter(h->refused), to);
	}
	snprintf(seen, sizeof(seen), "%s to %s", from, to);
	return failed(err, "validity", "check validity: seen a certificate valid from %s, wanted %s", seen,
		"one valid now");
}

static int bad_certificate(const struct tls_handshake *h, struct error *err)
{
	char seen[PEER_TEXT_MAX + 80], name[PEER_TEXT_MAX] = "?";

	if (h->refused)
		x509_common_name(h->refused, name, sizeof(name));
	switch (h->verify_error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return bad_validity(h, err);
	case X509_V_ERR_HOSTNAME_MISMATCH:
		tls_handshake_peer(h, seen, sizeof(seen));
		return failed(
			err, "name", "check name: seen a certificate for %s, wanted %s", seen, h->peer_name);
	case X509_V_ERR_INVALID_PURPOSE:
		return failed(err, "purpose",
			"check purpose: seen certificate \"%s\" that is not for this use, wanted one for a "
			"%s",
			name, h->server ? "client" : "server");
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return failed(err, "signature",
			"check signature: seen certificate \"%s\" with a wrong signature, wanted one by %s",
			name, h->anchors);
	default:
		snprintf(seen, sizeof(seen), "\"%s\" (%s)", name,
			X509_verify_cert_error_string(h->verify_error));
		return failed(err, "issuer", "check issuer: seen certificate %s, wanted one issued by %s",
			seen, h->anchors);
	}
}

static int say_why(const struct tls_handshake *h, struct error *err)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_REASON(e), lib = ERR_GET_LIB(e);
	char text[120];

	if (h->verify_error != X509_V_OK)
		return bad_certificate(h, err);
	if (h->alert < 256)
		return failed(err, "alert", "check alert: seen %s, wanted %s", tls_alert_text(h->alert),
			"no alert: the peer does not accept this side");
	if (lib == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return failed(err, "certificate", "check certificate: seen none, wanted %s %s",
			"one issued by", h->anchors);
	if (lib == ERR_LIB_SSL &&
		(reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_WRONG_SSL_VERSION ||
			reason == SSL_R_VERSION_TOO_LOW || reason == SSL_R_WRONG_VERSION_NUMBER))
		return failed(err, "version", "check version: seen %s, wanted %s", "an older version of TLS",
			"TLS 1.3");
	ERR_error_string_n(e, text, sizeof(text));
	return failed(err, "protocol", "check protocol: seen %s, wanted %s", text, "a handshake of TLS 1.3");
}

static void take_output(struct tls_handshake *h, struct buf *out)
{
	char *p;
	long n = BIO_get_mem_data(h->out, &p);

	if (n > 0)
		buf_put(out, p, (size_t)n);
	(void)BIO_reset(h->out);
}

static enum tls_step finish(struct tls_handshake *h, struct tls_keys *ret, struct error *err)
{
	const SSL_CIPHER *c = SSL_get_current_cipher(h->ssl);
	unsigned suite = c ? SSL_CIPHER_get_protocol_id(c) & 0xff : 0;
	size_t n = tls_secret_len(suite);

	if (SSL_version(h->ssl) != TLS1_3_VERSION || !n || h->secret_len[0] != n || h->secret_len[1] != n ||
		BIO_pending(h->in) || SSL_has_pending(h->ssl)) {
		failed(err, "protocol", "check protocol: seen %s, wanted %s",
			"a handshake that left no keys or more data", "one that ends with its last record");
		return TLS_STEP_FAILED;
	}
	*ret = (struct tls_keys){.suite = suite};
	tls_half_start(&ret->rx, suite, h->secret[h->server ? 0 : 1]);
	tls_half_start(&ret->tx, suite, h->secret[h->server ? 1 : 0]);
	secret_wipe(h->secret, sizeof(h->secret));
	return TLS_STEP_DONE;
}

enum tls_step tls_handshake_step(struct tls_handshake *h, const uint8_t *record, size_t n, struct buf *out,
	struct tls_keys *ret_keys, struct error *err)
{
	enum tls_step ret;
	int rc, why;

	ERR_clear_error();
	if (n > 0 && BIO_write(h->in, record, (int)n) != (int)n) {
		error_set(err, ERR_NOMEM, "no memory for a record of %zu bytes", n);
		return TLS_STEP_FAILED;
	}
	rc = SSL_do_handshake(h->ssl);
	why = SSL_get_error(h->ssl, rc);
	take_output(h, out);
	if (rc == 1) {
		ret = finish(h, ret_keys, err);
	} else if (why == SSL_ERROR_WANT_READ) {
		ret = TLS_STEP_MORE;
	} else {
		say_why(h, err);
		ret = TLS_STEP_FAILED;
	}
	ERR_clear_error();
	return ret;
}
