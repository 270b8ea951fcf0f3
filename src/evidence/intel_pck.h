/*
 * intel_pck: what a PCK certificate says about its platform, and the chain from it to Intel's root.
 *
 * Source: "Intel SGX PCK Certificate and Certificate Revocation List Profile Specification", 1.5.
 */
#ifndef SCONE_EVIDENCE_INTEL_PCK_H
#define SCONE_EVIDENCE_INTEL_PCK_H

#include "crypto/x509_chain.h"
#include "evidence/collateral.h"
#include "evidence/verdict.h"

#define PCK_EXTENSION_OID "1.2.840.113741.1.13.1"

struct intel_pck {
	uint8_t ppid[16];
	uint8_t cpu_svn[16];
	uint8_t component_svn[16]; /* cpu_svn as TCB info compares it */
	uint16_t pce_svn;
	uint8_t pce_id[2];
	uint8_t fmspc[6];
	uint8_t sgx_type; /* 0 standard, 1 scalable, 2 scalable with integrity */
	bool has_configuration; /* the next three are there: certificates of the Platform CA */
	bool dynamic_platform, cached_keys, smt_enabled;
};

/* Content of the extension; CHECK_PCK_EXTENSION. */
MUST_USE int intel_pck_parse(const uint8_t *p, size_t n, struct intel_pck *ret, struct error *err);

/* Pinned: SHA-256 over the SubjectPublicKeyInfo of "Intel SGX Root CA". */
extern const uint8_t intel_root_key_hash[1][32];

/* PCK certificate, intermediate, root, in this order: names, roles, signatures, root, dates at ctx->now. sources: where revocation lists are looked
 * for, NULLs are allowed. Fills *ret_pck from the first certificate and *ret_until with the first moment at which any of this expires. tee: whose roots of
 * ctx count. */
MUST_USE int intel_pck_chain_check(const struct x509_chain *chain, const struct verify_context *ctx,
	enum tee_type tee, const struct collateral *const sources[2], struct intel_pck *ret_pck,
	uint64_t *ret_until, struct error *err);

#endif
