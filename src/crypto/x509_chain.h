/*
 * x509_chain: certificates and revocation lists that come with evidence (RFC 5280). Time is the caller's; no store, no path building: a chain is
 * taken in the order in which it comes, leaf first.
 */
#ifndef SCONE_CRYPTO_X509_CHAIN_H
#define SCONE_CRYPTO_X509_CHAIN_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define X509_CHAIN_MAX 8
#define X509_DER_MAX 65536 /* bytes of one certificate */
#define X509_CRL_DER_MAX (1024 * 1024) /* bytes of one revocation list */

struct x509_chain {
	X509 *cert[X509_CHAIN_MAX]; /* owned */
	size_t count;
};

void x509_chain_free(struct x509_chain *c); /* idempotent */
/* Every certificate in n bytes of PEM text; other PEM blocks, none at all, or more than X509_CHAIN_MAX are ERR_INPUT. A NUL ends the text (as
 * quotes of Intel carry it); after it nothing but NULs may follow. */
MUST_USE int x509_chain_from_pem(const void *p, size_t n, struct x509_chain *ret, struct error *err);
/* The same; where known(arg, der, n) has a certificate with exactly these bytes it is used (a reference is taken), which saves its decoding. */
MUST_USE int x509_chain_from_pem_known(const void *p, size_t n,
	X509 *(*known)(const void *arg, const uint8_t *der, size_t n), const void *arg,
	struct x509_chain *ret, struct error *err);
/* Exactly one certificate of exactly n bytes, in DER form. The caller's (X509_free). */
MUST_USE int x509_from_der(const void *p, size_t n, X509 **ret, struct error *err);

enum x509_issue {
	X509_ISSUED = 0,
	X509_OTHER_ISSUER, /* the name of the issuer is another */
	X509_NOT_A_CA, /* the issuer may not sign certificates (basicConstraints, keyUsage) */
	X509_BAD_SIGNATURE,
};
/* Is cert signed by issuer's key, with the same algorithm as it names inside, and may issuer do that? Dates are not looked at. */
enum x509_issue x509_issued_by(X509 *cert, X509 *issuer);
/* Is it marked as a certificate that issues others? */
bool x509_is_ca(X509 *cert);
/* Seconds since 1970. -1 if a date is malformed or before 1970. */
MUST_USE int x509_times(const X509 *cert, uint64_t *ret_from, uint64_t *ret_to);
/* Common name of the subject, without control characters; "" if there is none or it does not fit. */
void x509_common_name(const X509 *cert, char *ret, size_t n);
/* Serial number in hex; cut where it does not fit. */
void x509_serial_text(const X509 *cert, char *ret, size_t n);
/* Content of the extension with this OID (dotted), inside cert; NULL when it is absent or there twice. */
const uint8_t *x509_extension(const X509 *cert, const char *oid, size_t *ret_n);
/* Is the key EC on the named curve ("P-256", "P-384")? */
bool x509_key_on_curve(X509 *cert, const char *curve);
/* SHA-256 over the DER form. */
MUST_USE int x509_digest(const X509 *cert, uint8_t ret[32], struct error *err);
bool x509_equal(const X509 *a, const X509 *b); /* byte for byte */

/* Exactly one list of exactly n bytes, in DER form. The caller's (X509_CRL_free). */
MUST_USE int x509_crl_from_der(const void *p, size_t n, X509_CRL **ret, struct error *err);
/* Append the DER form. */
MUST_USE int x509_crl_to_der(X509_CRL *crl, struct buf *out, struct error *err);
/* As x509_common_name, of the issuer. */
void x509_crl_issuer_name(const X509_CRL *crl, char *ret, size_t n);
/* As x509_issued_by; the issuer's key usage must permit cRLSign. */
enum x509_issue x509_crl_issued_by(X509_CRL *crl, X509 *issuer);
/* The list's issuer has the name of this certificate's issuer: it speaks about it. */
bool x509_crl_covers(const X509_CRL *crl, const X509 *cert);
/* As x509_times; a list without nextUpdate is -1. */
MUST_USE int x509_crl_times(const X509_CRL *crl, uint64_t *ret_from, uint64_t *ret_to);
bool x509_crl_lists(X509_CRL *crl, X509 *cert);

#endif
