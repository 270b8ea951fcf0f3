/*
 * aead: AES-256-GCM (NIST SP 800-38D).
 *
 * sealed form: 12-byte random nonce, ciphertext (as long as the plaintext), 16-byte tag. The nonce is random, so one key
 * seals at most 2^32 messages.
 */
#ifndef SCONE_CRYPTO_AEAD_H
#define SCONE_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define AEAD_KEY_LEN 32
#define AEAD_NONCE_LEN 12
#define AEAD_TAG_LEN 16
#define AEAD_OVERHEAD (AEAD_NONCE_LEN + AEAD_TAG_LEN)

/* Append the sealed form of p to out. */
MUST_USE int aead_seal(const uint8_t key[AEAD_KEY_LEN], const void *aad, size_t aad_len, const void *p,
	size_t n, struct buf *out, struct error *err);
/* Append the plaintext to out; ERR_CRYPTO, and out unchanged, if key, aad or any byte differs. */
MUST_USE int aead_open(const uint8_t key[AEAD_KEY_LEN], const void *aad, size_t aad_len, const void *sealed,
	size_t n, struct buf *out, struct error *err);

/* A key kept ready for many messages. The nonce is the caller's: the same one under one key for two different messages gives both away. One
 * thread at a time. */
struct aead; /* opaque */

MUST_USE int aead_new(const uint8_t key[AEAD_KEY_LEN], struct aead **ret, struct error *err);
void aead_free(struct aead *a); /* wipes; NULL is fine */
/* n bytes from p to out, which may be p. n up to INT_MAX. */
MUST_USE int aead_seal_at(struct aead *a, const uint8_t nonce[AEAD_NONCE_LEN], const void *aad,
	size_t aad_len, const void *p, size_t n, void *out, uint8_t ret_tag[AEAD_TAG_LEN]);
/* -1 if anything differs; out then holds nothing that may be used, and the caller wipes it. */
MUST_USE int aead_open_at(struct aead *a, const uint8_t nonce[AEAD_NONCE_LEN], const void *aad,
	size_t aad_len, const void *p, size_t n, void *out, const uint8_t tag[AEAD_TAG_LEN]);

#endif
