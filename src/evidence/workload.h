/*
 * workload: how evidence of a machine (TPM, SEV-SNP, TDX, Nitro) speaks of one program on it. The hardware signs 64 bytes that the caller chose; they
 * are a hash over what is to be said, and what is to be said is carried beside it (ITEM_WORKLOAD).
 *
 * Item: SHA-256 of the runtime's image, root of the code manifest, report data: 32, 32 and 64 bytes. The hardware's report data are SHA-256 over
 * WORKLOAD_LABEL, a zero byte and the item, followed by 32 zero bytes: a TPM's extraData takes no more.
 */
#ifndef SCONE_EVIDENCE_WORKLOAD_H
#define SCONE_EVIDENCE_WORKLOAD_H

#include <stdint.h>
#include "core/error.h"
#include "evidence/verdict.h"

#define WORKLOAD_LABEL "openscone-workload-v1"
#define WORKLOAD_LEN 128
#define WORKLOAD_BOUND_LEN 32 /* of the 64 bytes; the rest are zeros */

/* The item's bytes. */
void workload_make(const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], uint8_t ret[WORKLOAD_LEN]);
/* What the hardware is to sign. */
void workload_bind(const uint8_t item[WORKLOAD_LEN], uint8_t ret[REPORT_DATA_LEN]);

/* Verify evidence that has the item: the hardware's statement with the bound bytes as its report data, then ctx's report data against the item's. *ret
 * gets runtime digest, manifest root, measurement and report data from the item. Refusals: CHECK_FORMAT, CHECK_REPORT_DATA, and the type's own. */
MUST_USE int workload_verify(const struct evidence *e,
	int (*verify)(const struct evidence *e, const struct verify_context *ctx, struct verdict *ret,
		struct error *err),
	const struct verify_context *ctx, struct verdict *ret, struct error *err);

#endif
