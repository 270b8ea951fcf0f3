/*
 * key: asymmetric keys over OpenSSL's EVP_PKEY.
 *
 * A key's name everywhere (access policies, pinned CAS keys, platform keys) is its *key hash*: SHA-256 over the DER
 * SubjectPublicKeyInfo. Its text form is Base58Check: version byte 0x4f, the 32 bytes, 4 bytes of double SHA-256.
 *
 * Keys returned are the caller's (EVP_PKEY_free). Encoders append to out. Text that is no such key is ERR_INPUT; encrypted PEM is, too.
 */
#ifndef SCONE_CRYPTO_KEY_H
#define SCONE_CRYPTO_KEY_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "crypto/hash.h"

#define KEY_HASH_LEN SHA256_LEN
#define KEY_HASH_TEXT_MAX 64 /* with NUL */

enum key_type { KEY_ED25519, KEY_P256, KEY_P384, KEY_RSA2048, KEY_RSA3072 };

/* -1: none of these. */
int key_type_of(EVP_PKEY *k, enum key_type *ret);
MUST_USE int key_generate(enum key_type type, EVP_PKEY **ret, struct error *err);
MUST_USE int key_to_pem(EVP_PKEY *k, struct buf *out,
	struct error *err); /* unencrypted PKCS#8 PEM; out should be a secret buf */
MUST_USE int key_from_pem(const char *pem, size_t n, EVP_PKEY **ret, struct error *err);
MUST_USE int key_public_to_pem(EVP_PKEY *k, struct buf *out, struct error *err); /* SPKI PEM */
MUST_USE int key_public_from_pem(const char *pem, size_t n, EVP_PKEY **ret, struct error *err);
MUST_USE int key_spki_der(EVP_PKEY *k, struct buf *out, struct error *err);

MUST_USE int key_hash(EVP_PKEY *k, uint8_t ret[KEY_HASH_LEN], struct error *err);
void key_hash_text(const uint8_t hash[KEY_HASH_LEN], char ret[KEY_HASH_TEXT_MAX]);
MUST_USE int key_hash_parse(const char *text, size_t n, uint8_t ret[KEY_HASH_LEN],
	struct error *err); /* checks version and checksum */
/* As key_hash_parse, for 32 bytes under another version byte: 10 is a raw Ed25519 key as old session files have it. */
#define KEY_BASE58_ED25519 10
MUST_USE int key_base58_parse(
	const char *text, size_t n, uint8_t version, uint8_t ret[32], struct error *err);

/* Other keys, and RSA below 2048 bits, are ERR_INPUT; a signature that does not match is ERR_CRYPTO.
 * Signature over p: Ed25519 pure; EC with SHA-256 (P-256) or SHA-384 (P-384), DER; RSA PKCS#1 v1.5 with SHA-256. */
MUST_USE int key_sign(EVP_PKEY *k, const void *p, size_t n, struct buf *out, struct error *err);
MUST_USE int key_verify(
	EVP_PKEY *k, const void *p, size_t n, const uint8_t *sig, size_t siglen, struct error *err);

/* EC public key from its coordinates: big endian, len bytes each (32 for P-256, 48 for P-384; others are ERR_INPUT). A point that is not on the
 * curve is ERR_INPUT. */
MUST_USE int key_ec_from_raw(
	const uint8_t *x, const uint8_t *y, size_t len, EVP_PKEY **ret, struct error *err);
/* As key_verify for EC keys; the signature is r and s, big endian, len bytes each. */
MUST_USE int key_verify_rs(EVP_PKEY *k, const void *p, size_t n, const uint8_t *r, const uint8_t *s,
	size_t len, struct error *err);

/* Raw 32-byte Ed25519 public key. */
MUST_USE int key_ed25519_public_raw(EVP_PKEY *k, uint8_t ret[32], struct error *err);
MUST_USE int key_ed25519_from_raw(const uint8_t raw[32], EVP_PKEY **ret, struct error *err);

#endif
