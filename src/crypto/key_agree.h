/*
 * key_agree: what a TPM's credentials need beyond signatures: Diffie-Hellman on NIST curves with a fresh key, AES in CFB mode.
 */
#ifndef SCONE_CRYPTO_KEY_AGREE_H
#define SCONE_CRYPTO_KEY_AGREE_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define KEY_COORDINATE_MAX 48

/* A fresh key on peer's curve (P-256, P-384): its coordinates, and the shared x coordinate; each *ret_len bytes, big endian, padded. z is secret: the
 * caller wipes it. */
MUST_USE int key_agree_ephemeral(EVP_PKEY *peer, uint8_t x[KEY_COORDINATE_MAX], uint8_t y[KEY_COORDINATE_MAX],
	uint8_t z[KEY_COORDINATE_MAX], size_t *ret_len, struct error *err);
/* AES-CFB128 (NIST SP 800-38A) with an IV of zeros; key of 16 or 32 bytes; in and out may be the same. */
MUST_USE int aes_cfb_encrypt(
	const uint8_t *key, size_t klen, const uint8_t *in, size_t n, uint8_t *out, struct error *err);

#endif
