/*
 * x509: certificates over OpenSSL (RFC 5280).
 */
#ifndef SCONE_CRYPTO_X509_H
#define SCONE_CRYPTO_X509_H

#include <openssl/x509.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "crypto/key.h"

/* Self-signed v3 certificate for k: random 128-bit serial, not a CA, valid from one hour ago for `days`.
 * dns and ip (each may be NULL) become subject alternative names; a name with other
 * than letters, digits, '-', '_', '.', '*', or days outside 1 to 36500, is ERR_INPUT. The certificate is the caller's (X509_free). */
MUST_USE int x509_self_signed(EVP_PKEY *k, const char *common_name, const char *dns, const char *ip, int days,
	X509 **ret, struct error *err);
MUST_USE int x509_to_pem(X509 *c, struct buf *out, struct error *err);
MUST_USE int x509_from_pem(const char *pem, size_t n, X509 **ret, struct error *err);
/* key_hash of the certificate's public key. */
MUST_USE int x509_key_hash(X509 *c, uint8_t ret[KEY_HASH_LEN], struct error *err);

#endif
