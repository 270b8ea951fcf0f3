/*
 * intel_chain: the two kinds of certificate chains that Intel issues for attestation, checked against roots, dates and revocation lists.
 *
 * Source: as intel_pck.h; RFC 5280 for names, dates, key usage and lists.
 */
#ifndef SCONE_EVIDENCE_INTEL_CHAIN_H
#define SCONE_EVIDENCE_INTEL_CHAIN_H

#include "crypto/x509_chain.h"
#include "evidence/collateral.h"
#include "evidence/verdict.h"

#define INTEL_CHAIN_CERTS 3

struct intel_chain_form {
	const char *what; /* for messages */
	size_t count; /* certificates */
	const char *names[INTEL_CHAIN_CERTS][2]; /* common names that each may have */
};
extern const struct intel_chain_form
	intel_chain_pck; /* PCK certificate, PCK Platform or Processor CA, root */
extern const struct intel_chain_form intel_chain_tcb; /* TCB signing, root */

/* In this order: number and order of certificates, roles, names, keys, signatures, root, dates, revocation. sources: where lists are looked for, and where
 * certificates whose signature is known to be good may be found; NULLs are allowed. *ret_until: when the first of certificates and lists expires.
 * CHECK_CHAIN_…, CHECK_CRL_…, CHECK_REVOKED_…, CHECK_ALGORITHM. */
MUST_USE int intel_chain_check(const struct x509_chain *chain, const struct intel_chain_form *form,
	const struct verify_context *ctx, enum tee_type tee, const struct collateral *const sources[2],
	uint64_t *ret_until, struct error *err);

#endif
