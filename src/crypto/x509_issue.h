/*
 * x509_issue: certificates that a session's keys sign (RFC 5280), and the forms in which keys and certificates are handed out.
 *
 * Version 3, random 128-bit serial, subject and authority key identifier. A CA is critical CA:TRUE with keyCertSign and cRLSign; an end entity
 * critical CA:FALSE with digitalSignature, and keyEncipherment for RSA, with the extended key usage asked for.
 */
#ifndef SCONE_CRYPTO_X509_ISSUE_H
#define SCONE_CRYPTO_X509_ISSUE_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

enum x509_endpoint { ENDPOINT_NONE, ENDPOINT_SERVER, ENDPOINT_CLIENT };

struct x509_name {
	bool is_ip; /* otherwise a DNS name, a leading "*." allowed */
	char *text;
};

#define X509_COMMON_NAME_MAX 64 /* characters: ub-common-name of RFC 5280 */
#define X509_FOREVER 0 /* not_after: 99991231235959Z, "no well-defined expiration date" (RFC 5280 4.1.2.5) */

struct x509_request {
	EVP_PKEY *key; /* the subject's */
	const char *common_name;
	const struct x509_name *names; /* subject alternative names */
	size_t name_count;
	bool ca;
	enum x509_endpoint endpoint; /* of an end entity */
	uint64_t not_before, not_after; /* seconds since 1970 */
	X509 *issuer; /* NULL: self-signed */
	EVP_PKEY *issuer_key;
};

/* Is text a name that x509_issue accepts? ERR_INPUT says what is wrong. */
MUST_USE int x509_name_check(bool is_ip, const char *text, struct error *err);
/* The certificate is the caller's (X509_free). */
MUST_USE int x509_issue(const struct x509_request *q, X509 **ret, struct error *err);
/* When its validity begins and ends, in seconds since 1970; *ret_end is X509_FOREVER for 99991231235959Z. */
MUST_USE int x509_validity(X509 *c, uint64_t *ret_start, uint64_t *ret_end, struct error *err);
/* 1 if k is the key that c certifies, 0 if not. */
int x509_is_for(X509 *c, EVP_PKEY *k);

/* All append. PKCS#8 DER, unencrypted; out should be a secret buf. */
MUST_USE int key_to_der(EVP_PKEY *k, struct buf *out, struct error *err);
MUST_USE int x509_to_der(X509 *c, struct buf *out, struct error *err);
/* PKCS#12 (RFC 7292) with key, certificate and its issuers; the password is empty, so nothing protects it. out should be a secret buf. */
MUST_USE int x509_to_pkcs12(
	EVP_PKEY *k, X509 *c, X509 *const *chain, size_t n, struct buf *out, struct error *err);

#endif
