/*
 * intel_tcb: TCB info (version 3) and QE identity (version 2), and how a platform is compared with them.
 *
 * Source: Intel SGX and TDX Provisioning Certification Service API, version 4: "Get TCB Info", "Get QE Identity", and the procedures that determine
 * a TCB level there.
 */
#ifndef SCONE_EVIDENCE_INTEL_TCB_H
#define SCONE_EVIDENCE_INTEL_TCB_H

#include <jansson.h>
#include "evidence/intel_pck.h"
#include "evidence/intel_quote.h"

#define INTEL_LEVELS_MAX 256
#define INTEL_MODULES_MAX 64

struct intel_level {
	uint8_t sgx[16], tdx[16]; /* TCB info only; tdx for TDX only */
	uint16_t svn; /* of the PCE; in an identity, of the enclave or module */
	uint64_t date;
	enum tcb_status status;
	const json_t *advisories; /* borrowed from the document's json; NULL: none */
};

struct intel_levels {
	struct intel_level *level; /* owned */
	size_t count;
};

struct intel_module {
	unsigned int version; /* N of "TDX_N", hex there */
	uint8_t signer[48], attributes[8], mask[8];
	struct intel_levels levels;
};

enum intel_document_kind { INTEL_TCB_INFO, INTEL_QE_IDENTITY };

struct intel_document {
	enum intel_document_kind kind;
	enum tee_type tee; /* TEE_SGX or TEE_TDX */
	uint32_t number; /* tcbEvaluationDataNumber */
	uint64_t issued, next_update;
	struct intel_levels levels;
	json_t *json; /* owned */
	/* INTEL_TCB_INFO */
	uint8_t fmspc[6], pce_id[2];
	struct intel_module *modules; /* owned; TDX */
	size_t module_count;
	struct intel_module module_0; /* TDX module of version 0: no levels of its own */
	/* INTEL_QE_IDENTITY */
	uint8_t misc_select[4], misc_mask[4], attributes[16], attributes_mask[16], signer[32];
	uint32_t prod_id;
};

/* n bytes of JSON, exactly those that Intel signed; CHECK_COLLATERAL_FORMAT, CHECK_VERSION. Signature and dates are not looked at. */
MUST_USE int intel_document_parse(const uint8_t *p, size_t n, enum intel_document_kind kind,
	struct intel_document *ret, struct error *err);
void intel_document_free(struct intel_document *d); /* idempotent */

/* What comparing gives: a status with its date; advisories go to the verdict. */
struct intel_tcb {
	enum tcb_status status;
	uint64_t date;
};

/* The first level that the platform reaches. tee_tcb_svn: of the TD report; NULL for SGX. A platform that reaches none is OutOfDate, or what is worse
 * among the levels, with all their advisories, and v->tcb_unlisted is set. CHECK_TCB_LEVEL if there are no levels. */
MUST_USE int intel_tcb_match(const struct intel_document *info, const struct intel_pck *pck,
	const uint8_t *tee_tcb_svn, struct intel_tcb *ret, struct verdict *v, struct error *err);
/* The TDX module of the report: known, signed and attributed as it should be, and its level. A module of version 0 has none: status
 * TCB_NOT_JUDGED. CHECK_TDX_MODULE. */
MUST_USE int intel_module_match(const struct intel_document *info, const struct td_report *td,
	struct intel_tcb *ret, struct verdict *v, struct error *err);
/* The quoting enclave: CHECK_QE_IDENTITY if it is another, CHECK_QE_TCB if it reaches no level. */
MUST_USE int intel_qe_match(const struct intel_document *identity, const struct sgx_report *qe,
	struct intel_tcb *ret, struct verdict *v, struct error *err);
/* The state of a platform one component of which has a state of its own. */
enum tcb_status intel_tcb_worse(enum tcb_status platform, enum tcb_status component);

#endif
