/*
 * intel_certs: certificates and revocation lists as Intel issues them, under a root of one's own. For tests; whatever fails aborts.
 */
#ifndef SCONE_TESTS_INTEL_CERTS_H
#define SCONE_TESTS_INTEL_CERTS_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"

struct cert_recipe {
	const char *name; /* common name */
	bool ca;
	uint64_t from, to; /* seconds since 1970 */
	uint32_t serial;
	bool forged; /* signed by a key that nobody knows */
	const char *curve; /* "P-256" unless NULL */
	EVP_PKEY *key; /* its key; NULL: a new one */
};

struct made_cert {
	EVP_PKEY *key;
	X509 *cert;
};

/* issuer NULL: self-signed. extension: content of the SGX extension, or NULL. */
struct made_cert cert_make(
	const struct cert_recipe *r, const struct made_cert *issuer, const struct buf *extension);
void cert_free(struct made_cert *c);
void cert_pem(const struct made_cert *c, struct buf *out);

struct crl_recipe {
	uint64_t from, to;
	bool absent, forged;
	uint32_t revoked[4]; /* serials; 0 ends */
};
void crl_make(const struct crl_recipe *r, const struct made_cert *issuer, struct buf *out); /* DER */

struct pck_recipe {
	uint8_t fmspc[6], pce_id[2], components[16];
	uint16_t pce_svn;
	uint8_t sgx_type;
	bool smt; /* as the configuration says */
};
/* Content of the SGX extension. */
void pck_extension(const struct pck_recipe *r, struct buf *out);

/* r and s of a signature over p. */
void sign_raw(EVP_PKEY *k, const void *p, size_t n, uint8_t ret[64]);
void public_raw(EVP_PKEY *k, uint8_t ret[64]);
void must(bool ok, const char *what);

#endif
