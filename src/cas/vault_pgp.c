#include "cas/vault_pgp.h"

#include <openssl/evp.h>
#include <stdio.h>

#include <string.h>
#include "core/encode.h"
#include "crypto/hash.h"
#include "policy/secret_parts.h"

#define KEY_MAX 4096 /* bytes of a whole key */
#define RAW_LEN 32
#define ID_BYTES 16

enum {
	TAG_SIGNATURE = 2,
	TAG_SECRET_KEY = 5,
	TAG_PUBLIC_KEY = 6,
	TAG_SECRET_SUBKEY = 7,
	TAG_USER_ID = 13,
	TAG_PUBLIC_SUBKEY = 14
};
enum {
	ALGO_ECDH = 18,
	ALGO_EDDSA = 22,
	HASH_SHA256_ID = 8,
	CIPHER_AES128 = 7,
	CIPHER_AES256 = 9,
	COMPRESS_ZLIB = 2
};
enum { SIG_POSITIVE = 0x13, SIG_SUBKEY = 0x18 };
enum {
	SUB_TIME = 2,
	SUB_CIPHERS = 11,
	SUB_ISSUER = 16,
	SUB_HASHES = 21,
	SUB_COMPRESSION = 22,
	SUB_FLAGS = 27,
	SUB_FEATURES = 30,
	SUB_FINGERPRINT = 33
};
#define FLAGS_PRIMARY 0x03 /* certify, sign */
#define FLAGS_SUBKEY 0x0c /* encrypt communication, encrypt storage */

static const uint8_t oid_ed25519[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01};
static const uint8_t oid_curve25519[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01};

struct half { /* one of the two keys */
	EVP_PKEY *key;
	struct buf public; /* body of its public packet: what fingerprints and signatures are over */
	struct buf secret; /* what the secret packet has behind that */
};

/* A number without leading zeros (RFC 4880, 3.2). */
static void put_mpi(struct buf *b, const uint8_t *p, size_t n)
{
	unsigned int bits = 8;

	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	while (n > 0 && bits > 0 && !(*p >> (bits - 1)))
		bits--;
	buf_put_u16be(b, (uint16_t)(n ? 8 * (n - 1) + bits : 0));
	buf_put(b, p, n);
}

/* New format, with a length of one, two or five octets (4.2.2). */
static void put_packet(struct buf *out, unsigned int tag, const struct buf *body, const struct buf *more)
{
	size_t n = body->len + (more ? more->len : 0);

	buf_put_u8(out, (uint8_t)(0xc0 | tag));
	if (n < 192) {
		buf_put_u8(out, (uint8_t)n);
	} else {
		buf_put_u8(out, (uint8_t)(((n - 192) >> 8) + 192));
		buf_put_u8(out, (uint8_t)(n - 192));
	}
	buf_put(out, body->data, body->len);
	if (more)
		buf_put(out, more->data, more->len);
}

/* Not encrypted: usage 0, the number, the sum of its octets (5.5.3). raw: big endian. */
static void put_secret(struct buf *b, const uint8_t raw[RAW_LEN])
{
	uint16_t sum = 0;
	size_t at;

	buf_put_u8(b, 0);
	at = b->len;
	put_mpi(b, raw, RAW_LEN);
	for (size_t i = at; i < b->len; i++)
		sum = (uint16_t)(sum + b->data[i]);
	buf_put_u16be(b, sum);
}

static void put_public(struct buf *b, uint32_t now, unsigned int algo, const uint8_t *oid, size_t oid_len,
	const uint8_t raw[RAW_LEN])
{
	uint8_t point[1 + RAW_LEN] = {0x40}; /* native form of the curve */

	memcpy(point + 1, raw, RAW_LEN);
	buf_put_u8(b, 4);
	buf_put_u32be(b, now);
	buf_put_u8(b, (uint8_t)algo);
	buf_put_u8(b, (uint8_t)oid_len);
	buf_put(b, oid, oid_len);
	put_mpi(b, point, sizeof(point));
}

static int make_half(int type, uint32_t now, struct half *ret, struct error *err)
{
	uint8_t raw[RAW_LEN], public[RAW_LEN], turned[RAW_LEN];
	size_t n = RAW_LEN;
	int rc = 0;

	if (random_bytes(raw, sizeof(raw), err))
		return -1;
	if (type == EVP_PKEY_X25519) { /* the scalar as it is used (RFC 7748, 5) */
		raw[0] &= 248;
		raw[31] = (uint8_t)((raw[31] & 127) | 64);
	}
	ret->key = EVP_PKEY_new_raw_private_key(type, NULL, raw, sizeof(raw));
	if (!ret->key || EVP_PKEY_get_raw_public_key(ret->key, public, &n) != 1 || n != RAW_LEN)
		rc = error_set(err, ERR_CRYPTO, "the library makes no key of type %d", type);
	for (size_t i = 0; i < RAW_LEN; i++) /* a scalar is little endian, a number of OpenPGP is not */
		turned[i] = raw[type == EVP_PKEY_X25519 ? RAW_LEN - 1 - i : i];
	if (!rc && type == EVP_PKEY_X25519) {
		put_public(&ret->public, now, ALGO_ECDH, oid_curve25519, sizeof(oid_curve25519), public);
		buf_put_u8(&ret->public, 3); /* KDF: what follows, reserved 1, hash, cipher */
		buf_put_u8(&ret->public, 1);
		buf_put_u8(&ret->public, HASH_SHA256_ID);
		buf_put_u8(&ret->public, CIPHER_AES128);
	} else if (!rc) {
		put_public(&ret->public, now, ALGO_EDDSA, oid_ed25519, sizeof(oid_ed25519), public);
	}
	put_secret(&ret->secret, turned);
	secret_wipe(raw, sizeof(raw));
	secret_wipe(turned, sizeof(turned));
	return rc;
}

static void put_key_for_hash(struct buf *b, const struct half *h)
{
	buf_put_u8(b, 0x99);
	buf_put_u16be(b, (uint16_t)h->public.len);
	buf_put(b, h->public.data, h->public.len);
}

static int fingerprint(const struct half *h, uint8_t ret[20], struct error *err)
{
	unsigned int n = 0;
	struct buf b;
	int ok;

	buf_init(&b, KEY_MAX);
	put_key_for_hash(&b, h);
	ok = !b.failed && EVP_Digest(b.data, b.len, ret, &n, EVP_sha1(), NULL) == 1 && n == 20;
	buf_free(&b);
	return ok ? 0 : error_set(err, ERR_CRYPTO, "the library makes no SHA-1 for a fingerprint");
}

static void put_subpacket(struct buf *b, unsigned int type, const void *p, size_t n)
{
	buf_put_u8(b, (uint8_t)(n + 1));
	buf_put_u8(b, (uint8_t)type);
	buf_put(b, p, n);
}

static void put_byte(struct buf *b, unsigned int type, unsigned int value)
{
	uint8_t v = (uint8_t)value;

	put_subpacket(b, type, &v, 1);
}

/* What of the signature is under it: from its version to the end of the hashed subpackets. */
static void put_hashed(struct buf *b, unsigned int type, uint32_t now, const uint8_t print[20])
{
	uint8_t issuer[21] = {4},
		time[4] = {(uint8_t)(now >> 24), (uint8_t)(now >> 16), (uint8_t)(now >> 8), (uint8_t)now};
	struct buf sub;

	memcpy(issuer + 1, print, 20);
	buf_init(&sub, KEY_MAX);
	put_subpacket(&sub, SUB_FINGERPRINT, issuer, sizeof(issuer));
	put_subpacket(&sub, SUB_TIME, time, sizeof(time));
	put_byte(&sub, SUB_FLAGS, type == SIG_SUBKEY ? FLAGS_SUBKEY : FLAGS_PRIMARY);
	if (type != SIG_SUBKEY) {
		put_byte(&sub, SUB_CIPHERS, CIPHER_AES256);
		put_byte(&sub, SUB_HASHES, HASH_SHA256_ID);
		put_byte(&sub, SUB_COMPRESSION, COMPRESS_ZLIB);
		put_byte(&sub, SUB_FEATURES, 1);
	}
	buf_put_u8(b, 4);
	buf_put_u8(b, (uint8_t)type);
	buf_put_u8(b, ALGO_EDDSA);
	buf_put_u8(b, HASH_SHA256_ID);
	buf_put_u16be(b, (uint16_t)sub.len);
	buf_put(b, sub.data, sub.len);
	b->failed |= sub.failed;
	buf_free(&sub);
}

/* A signature packet by the primary key over what (RFC 4880, 5.2.4). */
static int put_signature(struct buf *out, const struct half *primary, const struct buf *what,
	unsigned int type, uint32_t now, struct error *err)
{
	uint8_t print[20], digest[SHA256_LEN], sig[64];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = sizeof(sig);
	struct buf body, in;
	int rc = fingerprint(primary, print, err);

	buf_init(&body, KEY_MAX);
	buf_init(&in, KEY_MAX);
	put_hashed(&body, type, now, print);
	buf_put(&in, what->data, what->len);
	buf_put(&in, body.data, body.len);
	buf_put_u8(&in, 4);
	buf_put_u8(&in, 0xff);
	buf_put_u32be(&in, (uint32_t)body.len);
	if (!rc && (in.failed || body.failed))
		rc = error_set(err, ERR_NOMEM, "out of memory");
	if (!rc) {
		sha256(in.data, in.len, digest);
		if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, primary->key) != 1 ||
			EVP_DigestSign(ctx, sig, &n, digest, sizeof(digest)) != 1 || n != sizeof(sig))
			rc = error_set(err, ERR_CRYPTO, "the library makes no Ed25519 signature");
	}
	if (!rc) {
		buf_put_u16be(&body, 10); /* not hashed: the issuer's key ID, for old readers */
		put_subpacket(&body, SUB_ISSUER, print + 12, 8);
		buf_put(&body, digest, 2);
		put_mpi(&body, sig, 32);
		put_mpi(&body, sig + 32, 32);
		put_packet(out, TAG_SIGNATURE, &body, NULL);
	}
	EVP_MD_CTX_free(ctx);
	buf_free(&body);
	buf_free(&in);
	return rc;
}

/* The packets that the secret and the public key share, each behind its key packet. */
static int put_certification(
	struct buf *out, const struct half *primary, const struct buf *id, uint32_t now, struct error *err)
{
	struct buf what;
	int rc;

	buf_init(&what, KEY_MAX);
	put_key_for_hash(&what, primary);
	buf_put_u8(&what, 0xb4);
	buf_put_u32be(&what, (uint32_t)id->len);
	buf_put(&what, id->data, id->len);
	put_packet(out, TAG_USER_ID, id, NULL);
	rc = put_signature(out, primary, &what, SIG_POSITIVE, now, err);
	buf_free(&what);
	return rc;
}

static int put_binding(
	struct buf *out, const struct half *primary, const struct half *sub, uint32_t now, struct error *err)
{
	struct buf what;
	int rc;

	buf_init(&what, KEY_MAX);
	put_key_for_hash(&what, primary);
	put_key_for_hash(&what, sub);
	rc = put_signature(out, primary, &what, SIG_SUBKEY, now, err);
	buf_free(&what);
	return rc;
}

static int put_keys(const struct half *primary, const struct half *sub, uint32_t now, struct secret *ret,
	struct error *err)
{
	struct buf id, certification, binding, part, all;
	uint8_t random[ID_BYTES];
	char hex[2 * ID_BYTES + 1];
	int rc = random_bytes(random, sizeof(random), err);

	buf_init(&id, 64);
	buf_init(&certification, KEY_MAX);
	buf_init(&binding, KEY_MAX);
	buf_init_secret(&part, KEY_MAX);
	buf_init_secret(&all, 2 * KEY_MAX);
	hex_encode(random, sizeof(random), hex);
	buf_printf(&id, "key-%s", hex); /* bare digits would look like a fingerprint */
	if (!rc)
		rc = put_certification(&certification, primary, &id, now, err);
	if (!rc)
		rc = put_binding(&binding, primary, sub, now, err);
	for (int public = 0; public < 2 && !rc; public ++) {
		buf_reset(&part);
		put_packet(&part, public ? TAG_PUBLIC_KEY : TAG_SECRET_KEY, &primary->public,
			public ? NULL : &primary->secret);
		buf_put(&part, certification.data, certification.len);
		put_packet(&part, public ? TAG_PUBLIC_SUBKEY : TAG_SECRET_SUBKEY, &sub->public,
			public ? NULL : &sub->secret);
		buf_put(&part, binding.data, binding.len);
		buf_put_block(&all, part.data, part.len);
	}
	if (!rc && (all.failed || part.failed || certification.failed || binding.failed))
		rc = error_set(err, ERR_NOMEM, "out of memory for an OpenPGP key");
	if (!rc)
		rc = secret_set(ret, all.data, all.len, err);
	buf_free(&id);
	buf_free(&certification);
	buf_free(&binding);
	buf_free(&part);
	buf_free(&all);
	return rc;
}

static void half_init(struct half *h)
{
	h->key = NULL;
	buf_init(&h->public, KEY_MAX);
	buf_init_secret(&h->secret, KEY_MAX);
}

static void half_free(struct half *h)
{
	EVP_PKEY_free(h->key);
	buf_free(&h->public);
	buf_free(&h->secret);
}

int vault_pgp_generate(uint64_t now, struct secret *ret, struct error *err)
{
	struct half primary, sub;
	int rc;

	half_init(&primary);
	half_init(&sub);
	rc = make_half(EVP_PKEY_ED25519, (uint32_t)now, &primary, err);
	if (!rc)
		rc = make_half(EVP_PKEY_X25519, (uint32_t)now, &sub, err);
	if (!rc)
		rc = put_keys(&primary, &sub, (uint32_t)now, ret, err);
	half_free(&primary);
	half_free(&sub);
	return rc;
}

/* --- forms --- */

/* RFC 4880, 6.1. */
static uint32_t crc24(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xb704ce;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint32_t)p[i] << 16;
		for (int k = 0; k < 8; k++)
			crc = crc << 1 ^ (crc & 0x800000 ? 0x1864cfb : 0);
	}
	return crc & 0xffffff;
}

static void put_armor(struct buf *out, const char *what, const uint8_t *p, size_t n)
{
	uint32_t crc = crc24(p, n);
	uint8_t sum[3] = {(uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};

	buf_printf(out, "-----BEGIN PGP %s KEY BLOCK-----\n\n", what);
	for (size_t i = 0; i < n; i += 48) {
		base64_encode(p + i, n - i < 48 ? n - i : 48, out);
		buf_putc(out, '\n');
	}
	buf_putc(out, '=');
	base64_encode(sum, sizeof(sum), out);
	buf_printf(out, "\n-----END PGP %s KEY BLOCK-----\n", what);
}

static void put_forms(struct buf *out, const char *word, const char *what, const uint8_t *p, size_t n)
{
	char name[40];
	struct buf b;

	buf_init_secret(&b, 4 * KEY_MAX);
	snprintf(name, sizeof(name), "%skey:binary", word);
	secret_parts_put(out, name, p, n);
	base64_encode(p, n, &b);
	snprintf(name, sizeof(name), "%skey:base64", word);
	secret_parts_put(out, name, b.data, b.len);
	buf_reset(&b);
	put_armor(&b, what, p, n);
	snprintf(name, sizeof(name), "%skey:asciiarmored", word);
	secret_parts_put(out, name, b.data, b.len);
	out->failed |= b.failed;
	buf_free(&b);
}

int vault_pgp_parts(const void *value, size_t n, bool with_private, struct buf *out, struct error *err)
{
	size_t secret_len = 0, public_len = 0;
	const uint8_t *secret, *public;
	struct rd r;

	rd_init(&r, value, n);
	secret = rd_block(&r, KEY_MAX, &secret_len);
	public = rd_block(&r, KEY_MAX, &public_len);
	if (!rd_done(&r) || !secret || !public)
		return error_set(err, ERR_INTERNAL, "a stored OpenPGP key is malformed");
	if (with_private)
		put_forms(out, "private", "PRIVATE", secret, secret_len);
	put_forms(out, "public", "PUBLIC", public, public_len);
	return 0;
}
