/*
 * collateral_store: what is inside a struct collateral. For src/evidence only.
 */
#ifndef SCONE_EVIDENCE_COLLATERAL_STORE_H
#define SCONE_EVIDENCE_COLLATERAL_STORE_H

#include <stdbool.h>
#include "crypto/hash.h"
#include "crypto/x509_chain.h"
#include "evidence/collateral.h"
#include "evidence/intel_tcb.h"

#define COLLATERAL_MAX 1024 /* of each kind: chains, lists, documents */
#define CARRIED_MAX 8 /* of each kind, where evidence brings them */

struct known_chain {
	struct x509_chain certs;
	/* link[i]: is certificate i issued by the next, the last by itself? */
	enum x509_issue link[X509_CHAIN_MAX];
	uint8_t key[X509_CHAIN_MAX][SHA256_LEN]; /* key hashes */
	uint8_t digest[X509_CHAIN_MAX][SHA256_LEN]; /* of the certificates, DER */
};

struct known_crl {
	X509_CRL *crl;
	bool dated; /* from and to are known */
	uint64_t from, to;
	bool proven; /* its signature is that of the key with this hash */
	uint8_t issuer_key[SHA256_LEN];
};

struct known_document {
	struct intel_document doc;
	struct bytes body; /* owned: what is signed */
	uint8_t signature[64]; /* r and s */
	bool proven; /* the signature is that of the key with this hash */
	uint8_t signer_key[SHA256_LEN];
};

struct collateral {
	size_t max;
	struct known_chain *chains;
	size_t chain_count;
	struct known_crl *crls;
	size_t crl_count;
	struct known_document *documents;
	size_t document_count;
};

/* At most max of each kind. */
struct collateral *collateral_new_limited(size_t max);
/* Each takes its first argument, in failure too. A chain that is there already is not kept twice. */
MUST_USE int collateral_take_chain(struct collateral *c, struct x509_chain *chain, struct error *err);
MUST_USE int collateral_take_crl(struct collateral *c, X509_CRL *crl, struct error *err);
MUST_USE int collateral_add_document(struct collateral *c, enum intel_document_kind kind, struct bytes body,
	const uint8_t signature[64], struct error *err);

/* A certificate with exactly these bytes in one of the sources; NULL if there is none. Borrowed. */
X509 *collateral_certificate(const struct collateral *const sources[2], const uint8_t *der, size_t n);
/* Did the key of this certificate sign the document? */
bool collateral_signed_by(const struct known_document *d, X509 *cert);

#endif
