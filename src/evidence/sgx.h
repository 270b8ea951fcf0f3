/*
 * sgx: ECDSA quotes of SGX enclaves (DCAP version 3, and 4 and 5 with an enclave's report). The rows of the table in type.c; as type.h says.
 *
 * The verdict's measurement is MRENCLAVE, its signer MRSIGNER.
 */
#ifndef SCONE_EVIDENCE_SGX_H
#define SCONE_EVIDENCE_SGX_H

#include <jansson.h>
#include "evidence/verdict.h"

bool sgx_is(const uint8_t *p, size_t n);
MUST_USE int sgx_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);
MUST_USE int sgx_show(const struct evidence *e, json_t *into, struct error *err);
MUST_USE int sgx_describe(const struct verdict *v, json_t *into);

#endif
