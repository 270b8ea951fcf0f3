/*
 * tdx: ECDSA quotes of TDX guests (DCAP versions 4 and 5, TD report 1.0 and 1.5). The rows of the table in type.c; as type.h says.
 *
 * The verdict's launch measurement is MRTD; it has no `measurement`, since the hardware measures a guest, not a program.
 */
#ifndef SCONE_EVIDENCE_TDX_H
#define SCONE_EVIDENCE_TDX_H

#include <jansson.h>
#include "evidence/verdict.h"

bool tdx_is(const uint8_t *p, size_t n);
MUST_USE int tdx_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);
MUST_USE int tdx_show(const struct evidence *e, json_t *into, struct error *err);
MUST_USE int tdx_describe(const struct verdict *v, json_t *into);

#endif
