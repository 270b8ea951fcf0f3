/*
 * evidence_pki: certificates and revocation lists under roots of our own, for evidence that no maker signed. Every function aborts when OpenSSL
 * does not do its part: a test that cannot be set up has no result.
 */
#ifndef SCONE_TESTS_EVIDENCE_PKI_H
#define SCONE_TESTS_EVIDENCE_PKI_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "crypto/key.h"

struct pki_extension {
	const char *oid; /* NULL ends a list */
	bool critical;
	uint8_t value[80]; /* content of the OCTET STRING */
	size_t n;
};

enum pki_signature { PKI_DEFAULT, PKI_PSS_SHA384 };

struct pki_spec {
	const char *common_name;
	EVP_PKEY *key; /* certified; not taken */
	X509 *issuer; /* NULL: self-issued */
	EVP_PKEY *issuer_key; /* that signs; NULL: key */
	enum pki_signature signature;
	uint64_t serial, from, to; /* seconds since 1970 */
	bool ca, no_usage;
	int path_length; /* of a CA; -1: none */
	bool list_point; /* names a place for its revocation list */
	const struct pki_extension *extensions; /* or NULL */
};
X509 *pki_certificate(const struct pki_spec *s);

struct pki_list {
	X509 *issuer;
	EVP_PKEY *key;
	enum pki_signature signature;
	uint64_t from, to;
	const uint64_t *serials;
	size_t serial_count;
};
/* DER, appended. */
void pki_revocation_list(const struct pki_list *l, struct buf *out);
/* Collateral with this list alone; collateral_free it. */
struct collateral *pki_list_collateral(const struct pki_list *l);

EVP_PKEY *pki_key(enum key_type type);
void pki_pem(X509 *c, struct buf *out);
void pki_der(X509 *c, struct buf *out);
void pki_key_hash(X509 *c, uint8_t ret[32]);
/* DER INTEGER and IA5String as extensions' values. */
struct pki_extension pki_number(const char *oid, uint8_t v);
struct pki_extension pki_text(const char *oid, const char *text);
struct pki_extension pki_raw(const char *oid, const void *p, size_t n);

#endif
