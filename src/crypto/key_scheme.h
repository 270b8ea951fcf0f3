/*
 * key_scheme: hashes and signatures as formats of others name them (TPM 2.0), where key_verify's one scheme a key type will not do.
 */
#ifndef SCONE_CRYPTO_KEY_SCHEME_H
#define SCONE_CRYPTO_KEY_SCHEME_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

enum hash_alg { HASH_SHA256, HASH_SHA384, HASH_SHA512 };
#define HASH_LEN_MAX 64
size_t hash_len(enum hash_alg a);
/* ret has room for hash_len(a) bytes; aborts only if the library does not have the algorithm. */
void hash_bytes(enum hash_alg a, const void *p, size_t n, uint8_t *ret);
/* HMAC (FIPS 198-1) over the two parts, one after the other. */
void hash_hmac(enum hash_alg a, const void *key, size_t klen, const void *p, size_t n, uint8_t *ret);

enum key_scheme { SCHEME_RSA_PKCS1, SCHEME_RSA_PSS, SCHEME_ECDSA };
/* ERR_CRYPTO: not a signature of k over p; ERR_INPUT: a scheme that is not k's, RSA below 2048 bits. PSS: MGF1 with the same hash, any length of
 * salt. ECDSA: DER. */
MUST_USE int key_scheme_verify(EVP_PKEY *k, enum key_scheme s, enum hash_alg a, const void *p, size_t n,
	const uint8_t *sig, size_t siglen, struct error *err);
/* The other side of it, for stand-ins of hardware in tests. PSS: salt as long as the hash. */
MUST_USE int key_scheme_sign(EVP_PKEY *k, enum key_scheme s, enum hash_alg a, const void *p, size_t n,
	struct buf *out, struct error *err);

/* RSA public key from its modulus (big endian) and exponent. The caller's (EVP_PKEY_free). ERR_INPUT below 2048 bits. */
MUST_USE int key_rsa_from_raw(
	const uint8_t *modulus, size_t n, uint32_t exponent, EVP_PKEY **ret, struct error *err);
/* RSAES-OAEP (RFC 8017) with hash a for the label and for MGF1. label with its NUL, as TPM 2.0 has it. Appended to out. */
MUST_USE int key_rsa_oaep(EVP_PKEY *k, enum hash_alg a, const char *label, const void *p, size_t n,
	struct buf *out, struct error *err);

#endif
