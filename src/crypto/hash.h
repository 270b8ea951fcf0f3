/*
 * hash: SHA-256 (FIPS 180-4), HMAC (FIPS 198-1), HKDF (RFC 5869), random bytes. Over OpenSSL.
 */
#ifndef SCONE_CRYPTO_HASH_H
#define SCONE_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define SHA256_LEN 32

struct sha256_ctx; /* opaque */

void sha256(const void *p, size_t n, uint8_t ret[SHA256_LEN]); /* aborts only if the library has no SHA-256 */
struct sha256_ctx *sha256_new(void); /* NULL: no memory */
void sha256_update(struct sha256_ctx *c, const void *p, size_t n);
void sha256_final(struct sha256_ctx *c, uint8_t ret[SHA256_LEN]); /* frees c */

void hmac_sha256(const uint8_t *key, size_t klen, const void *p, size_t n, uint8_t ret[SHA256_LEN]);
/* Extract with salt (may be NULL, 0), expand with info; n <= 255 * 32. */
MUST_USE int hkdf_sha256(const uint8_t *ikm, size_t ilen, const uint8_t *salt, size_t slen, const char *info,
	uint8_t *ret, size_t n, struct error *err);

/* From the operating system's generator by way of OpenSSL. */
MUST_USE int random_bytes(void *p, size_t n, struct error *err);

#endif
