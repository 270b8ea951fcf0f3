/*
 * intel_verify: what SGX and TDX quotes have in common: from the bytes to a platform that Intel vouches for.
 *
 * Sources: as intel_quote.h, intel_pck.h, intel_tcb.h. docs/evidence.md lists the checks in their order.
 */
#ifndef SCONE_EVIDENCE_INTEL_VERIFY_H
#define SCONE_EVIDENCE_INTEL_VERIFY_H

#include <jansson.h>
#include "evidence/intel_pck.h"
#include "evidence/intel_quote.h"

struct intel_platform {
	struct intel_pck pck;
	uint16_t pce_svn, qe_svn;
	uint8_t qe_id[16]; /* from the quote's header */
	uint32_t tcb_evaluation_number;
	enum tcb_status qe_status, module_status;
};

/* Everything but what the body says of the enclave or TD. Fills *ret_quote (pointers into e), *ret and what v has in common for both: report data, platform,
 * TCB status, date and advisories, until when. */
MUST_USE int intel_verify(const struct evidence *e, enum tee_type tee, const struct verify_context *ctx,
	struct intel_quote *ret_quote, struct intel_platform *ret, struct verdict *v, struct error *err);

/* What both kinds of quotes show: version, QE, certification. -1 without memory. */
MUST_USE int intel_quote_show(const struct intel_quote *q, json_t *into);
/* The members of the details that both have. -1 without memory. */
MUST_USE int intel_platform_describe(const uint8_t fmspc[6], const uint8_t pce_id[2], uint16_t pce_svn,
	uint16_t qe_svn, uint32_t number, enum tcb_status qe, json_t *into);

#endif
