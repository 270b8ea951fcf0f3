/*
 * platform_nonce: how old a machine's evidence is, by CAS's own clock. No I/O.
 *
 * Evidence that names the key of a LAS serves many starts, so it cannot be made over the nonce of each. It is made over a platform nonce instead, which
 * says when CAS issued it: 8 bytes big endian, seconds since 1970, and the first 24 bytes of an HMAC-SHA-256 over a label, a zero byte and the time. What
 * was signed over it is newer than that. CAS keeps nothing, and every replica knows the nonces of the others.
 */
#ifndef SCONE_CAS_PLATFORM_NONCE_H
#define SCONE_CAS_PLATFORM_NONCE_H

#include <openssl/evp.h>
#include <stdint.h>
#include "core/error.h"
#include "evidence/verdict.h"

#define PLATFORM_NONCE_KEY_LEN 32
#define PLATFORM_MAX_AGE 3600 /* seconds; the default */

/* The key of a CAS's nonces, which follows from its identity's private key. */
MUST_USE int platform_nonce_key(EVP_PKEY *identity, uint8_t ret[PLATFORM_NONCE_KEY_LEN], struct error *err);
void platform_nonce_issue(
	const uint8_t key[PLATFORM_NONCE_KEY_LEN], uint64_t now, uint8_t ret[PLATFORM_NONCE_LEN]);
/* 0: issued with this key, at most max_age seconds ago. Else CHECK_PLATFORM_AGE. */
MUST_USE int platform_nonce_check(const uint8_t key[PLATFORM_NONCE_KEY_LEN],
	const uint8_t nonce[PLATFORM_NONCE_LEN], uint64_t now, uint64_t max_age, struct error *err);

#endif
