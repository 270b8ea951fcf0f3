/*
 * intel_collateral: the signed document that a quote is judged by, out of those that are known.
 */
#ifndef SCONE_EVIDENCE_INTEL_COLLATERAL_H
#define SCONE_EVIDENCE_INTEL_COLLATERAL_H

#include "evidence/collateral.h"
#include "evidence/intel_tcb.h"

/* What is wanted: the kind, for which TEE, and for TCB info of which platforms. */
struct intel_wanted {
	enum intel_document_kind kind;
	enum tee_type tee;
	const struct intel_pck *pck; /* FMSPC and PCE; NULL for identities */
};

/* The document with the highest evaluation number, then the newest, of those that are signed under a trusted root and valid at ctx->now; if there is none,
 * the refusal for what would have been the best: CHECK_COLLATERAL_… or, for its issuer chain, CHECK_CHAIN_…, CHECK_CRL_…, CHECK_REVOKED_…. The document
 * lives as long as the sources. Lowers *until to when it or its chain expires. */
MUST_USE int intel_collateral_find(const struct intel_wanted *w, const struct verify_context *ctx,
	const struct collateral *const sources[2], const struct intel_document **ret, uint64_t *until,
	struct error *err);

struct known_document;

/* Signed under a trusted root, valid at ctx->now, evaluation number high enough. w says what it is. *ret_until: of its chain. */
MUST_USE int intel_document_check(const struct intel_wanted *w, const struct known_document *d,
	const struct verify_context *ctx, const struct collateral *const sources[2], uint64_t *ret_until,
	struct error *err);

#endif
