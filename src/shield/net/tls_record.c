#include "shield/net/tls_record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/init.h"
#include "crypto/key_scheme.h"

#define LABEL "tls13 "
#define INFO_MAX 32

struct suite {
	const char *cipher;
	size_t key_len;
	enum hash_alg hash;
};

static const struct suite suites[] = {
	[TLS_AES_128_GCM] = {"AES-128-GCM", 16, HASH_SHA256},
	[TLS_AES_256_GCM] = {"AES-256-GCM", 32, HASH_SHA384},
	[TLS_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32, HASH_SHA256},
};

static const struct suite *suite_of(unsigned suite)
{
	return suite >= TLS_AES_128_GCM && suite <= TLS_CHACHA20_POLY1305 ? &suites[suite] : NULL;
}

size_t tls_secret_len(unsigned suite)
{
	const struct suite *s = suite_of(suite);

	return s ? hash_len(s->hash) : 0;
}

/* HKDF-Expand-Label (7.1) with an empty context; n is no more than the hash gives, so one block of HKDF is enough. */
static void expand(const struct suite *s, const uint8_t *secret, const char *label, uint8_t *ret, size_t n)
{
	uint8_t info[INFO_MAX], block[HASH_LEN_MAX];
	size_t len = strlen(label), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)n;
	info[at++] = (uint8_t)(sizeof(LABEL) - 1 + len);
	memcpy(info + at, LABEL, sizeof(LABEL) - 1);
	at += sizeof(LABEL) - 1;
	memcpy(info + at, label, len);
	at += len;
	info[at++] = 0; /* no context */
	info[at++] = 1; /* the first block */
	hash_hmac(s->hash, secret, hash_len(s->hash), info, at, block);
	memcpy(ret, block, n);
	secret_wipe(block, sizeof(block));
}

static void derive(struct tls_half *h, const struct suite *s)
{
	expand(s, h->secret, "key", h->key, s->key_len);
	expand(s, h->secret, "iv", h->iv, sizeof(h->iv));
	h->seq = 0;
}

void tls_half_start(struct tls_half *h, unsigned suite, const uint8_t *secret)
{
	const struct suite *s = suite_of(suite);

	*h = (struct tls_half){0};
	memcpy(h->secret, secret, hash_len(s->hash));
	derive(h, s);
}

void tls_half_update(struct tls_half *h, unsigned suite)
{
	const struct suite *s = suite_of(suite);
	uint8_t next[TLS_SECRET_MAX];

	expand(s, h->secret, "traffic upd", next, hash_len(s->hash));
	memcpy(h->secret, next, hash_len(s->hash));
	secret_wipe(next, sizeof(next));
	derive(h, s);
	h->epoch++;
}

void tls_half_advance(struct tls_half *h)
{
	h->seq++;
}

void tls_cipher_drop(struct tls_cipher *c)
{
	EVP_CIPHER_CTX_free(c->ctx);
	*c = (struct tls_cipher){0};
}

/* The key schedule for h as it is now. */
static EVP_CIPHER_CTX *ready(struct tls_cipher *c, const struct tls_half *h, unsigned suite, int seal)
{
	const struct suite *s = suite_of(suite);
	EVP_CIPHER *type;
	int ok;

	if (c->ctx && c->epoch == h->epoch)
		return c->ctx;
	tls_cipher_drop(c);
	if (!s)
		return NULL;
	crypto_init();
	type = EVP_CIPHER_fetch(NULL, s->cipher, NULL);
	c->ctx = EVP_CIPHER_CTX_new();
	ok = type && c->ctx && EVP_CipherInit_ex2(c->ctx, type, h->key, NULL, seal, NULL) == 1;
	EVP_CIPHER_free(type);
	if (!ok)
		tls_cipher_drop(c);
	c->epoch = h->epoch;
	return c->ctx;
}

/* The iv with the sequence number over its end (5.3). */
static void nonce_of(const struct tls_half *h, uint8_t ret[12])
{
	memcpy(ret, h->iv, 12);
	for (int i = 0; i < 8; i++)
		ret[11 - i] ^= (uint8_t)(h->seq >> (8 * i));
}

long tls_seal(struct tls_cipher *c, const struct tls_half *h, unsigned suite, enum tls_type type, uint8_t *at,
	size_t n)
{
	EVP_CIPHER_CTX *ctx = ready(c, h, suite, 1);
	size_t body = n + 1 + TLS_TAG;
	uint8_t nonce[12];
	int len;

	if (!ctx || n > TLS_PLAIN_MAX)
		return -ENOMEM;
	at[0] = TLS_DATA;
	at[1] = at[2] = 3;
	at[3] = (uint8_t)(body >> 8);
	at[4] = (uint8_t)body;
	at[TLS_HEADER + n] = (uint8_t)type;
	nonce_of(h, nonce);
	if (EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 1, NULL) != 1 ||
		EVP_EncryptUpdate(ctx, NULL, &len, at, TLS_HEADER) != 1 ||
		EVP_EncryptUpdate(ctx, at + TLS_HEADER, &len, at + TLS_HEADER, (int)n + 1) != 1 ||
		EVP_EncryptFinal_ex(ctx, at + TLS_HEADER + len, &len) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TLS_TAG, at + TLS_HEADER + n + 1) != 1)
		return -ENOMEM;
	return (long)(TLS_HEADER + body);
}

long tls_record_len(const uint8_t *at)
{
	size_t n = (size_t)(at[3] << 8 | at[4]);

	if (at[0] != TLS_DATA || at[1] != 3 || at[2] != 3 || n < 1 + TLS_TAG)
		return -EBADMSG;
	return n > TLS_RECORD_MAX - TLS_HEADER ? -EMSGSIZE : (long)(TLS_HEADER + n);
}

/* The plaintext without its padding and its type; -EBADMSG if it has none. */
static long strip(const uint8_t *p, size_t n, enum tls_type *ret_type)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	if (n == 0)
		return -EBADMSG;
	*ret_type = (enum tls_type)p[n - 1];
	return n - 1 > TLS_PLAIN_MAX ? -EMSGSIZE : (long)n - 1;
}

long tls_open(struct tls_cipher *c, const struct tls_half *h, unsigned suite, uint8_t *at, size_t n,
	enum tls_type *ret_type)
{
	EVP_CIPHER_CTX *ctx = ready(c, h, suite, 0);
	uint8_t nonce[12], *body = at + TLS_HEADER;
	size_t inner = n - TLS_HEADER - TLS_TAG;
	int len, rest;

	if (!ctx)
		return -ENOMEM;
	if (n < TLS_RECORD_MIN)
		return -EBADMSG;
	nonce_of(h, nonce);
	if (EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 0, NULL) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TLS_TAG, body + inner) != 1 ||
		EVP_DecryptUpdate(ctx, NULL, &len, at, TLS_HEADER) != 1 ||
		EVP_DecryptUpdate(ctx, body, &len, body, (int)inner) != 1 ||
		EVP_DecryptFinal_ex(ctx, body + len, &rest) != 1)
		return -EBADMSG;
	return strip(body, inner, ret_type);
}

const char *tls_alert_text(unsigned alert)
{
	static const struct {
		unsigned number;
		const char *text;
	} names[] = {{0, "close_notify"}, {10, "unexpected_message"}, {20, "bad_record_mac"},
		{22, "record_overflow"}, {40, "handshake_failure"}, {42, "bad_certificate"},
		{43, "unsupported_certificate"}, {44, "certificate_revoked"}, {45, "certificate_expired"},
		{46, "certificate_unknown"}, {47, "illegal_parameter"}, {48, "unknown_ca"},
		{49, "access_denied"}, {50, "decode_error"}, {51, "decrypt_error"}, {70, "protocol_version"},
		{71, "insufficient_security"}, {80, "internal_error"}, {90, "user_canceled"},
		{109, "missing_extension"}, {112, "unrecognized_name"}, {116, "certificate_required"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == alert)
			return names[i].text;
	return "unknown";
}
