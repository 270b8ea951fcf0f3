/*
 * workload: how evidence of a machine (TPM, SEV-SNP, TDX, Nitro) speaks of one program on it. The hardware signs 64 bytes that the caller chose; they
 * are a hash over what is to be said, and what is to be said is carried beside it.
 *
 * ITEM_WORKLOAD: SHA-256 of the runtime's image, root of the code manifest, report data: 32, 32 and 64 bytes.
 *
 * Without ITEM_LAS the hardware speaks of the workload itself: its report data are SHA-256 over WORKLOAD_LABEL, a zero byte and ITEM_WORKLOAD, followed by 32
 * zero bytes (a TPM's extraData takes no more).
 *
 * With ITEM_LAS the hardware speaks of the key of the machine's LAS, which speaks of the workload, so that one quote serves many programs. The item: the
 * key (raw Ed25519), the platform nonce that the relying party gave (zeros: none), the key's signature: 32, 32 and 64 bytes. The hardware's report data are
 * SHA-256 over WORKLOAD_LAS_LABEL, a zero byte, key and nonce, followed by 32 zero bytes. The signature is over WORKLOAD_SIGNED_LABEL, a zero byte, the nonce
 * and ITEM_WORKLOAD. How old the hardware's statement may be is the relying party's to decide, by the nonce.
 */
#ifndef SCONE_EVIDENCE_WORKLOAD_H
#define SCONE_EVIDENCE_WORKLOAD_H

#include <openssl/evp.h>
#include <stdint.h>
#include "core/error.h"
#include "evidence/verdict.h"

#define WORKLOAD_LABEL "openscone-workload-v1"
#define WORKLOAD_LAS_LABEL "openscone-las-key-v1"
#define WORKLOAD_SIGNED_LABEL "openscone-las-workload-v1"
#define WORKLOAD_LEN 128
#define WORKLOAD_LAS_LEN 128
#define WORKLOAD_BOUND_LEN 32 /* of the 64 bytes; the rest are zeros */

/* ITEM_WORKLOAD's bytes. */
void workload_make(const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], uint8_t ret[WORKLOAD_LEN]);
/* What the hardware is to sign for a workload. */
void workload_bind(const uint8_t item[WORKLOAD_LEN], uint8_t ret[REPORT_DATA_LEN]);

/* What the hardware is to sign for a LAS. */
void workload_bind_las(
	const uint8_t key[32], const uint8_t nonce[PLATFORM_NONCE_LEN], uint8_t ret[REPORT_DATA_LEN]);
/* ITEM_LAS's bytes: las, an Ed25519 private key, speaks of the workload. */
MUST_USE int workload_sign(EVP_PKEY *las, const uint8_t nonce[PLATFORM_NONCE_LEN],
	const uint8_t workload[WORKLOAD_LEN], uint8_t ret[WORKLOAD_LAS_LEN], struct error *err);

/* Verify evidence that has either item: the hardware's statement with the bound bytes as its report data, LAS's signature where there is one, then ctx's
 * report data against the workload's. *ret gets runtime digest, manifest root, measurement and report data from the workload, and from ITEM_LAS key and
 * platform nonce. Refusals: CHECK_FORMAT, CHECK_REPORT_DATA, CHECK_LAS_SIGNATURE, and the type's own. */
MUST_USE int workload_verify(const struct evidence *e,
	int (*verify)(const struct evidence *e, const struct verify_context *ctx, struct verdict *ret,
		struct error *err),
	const struct verify_context *ctx, struct verdict *ret, struct error *err);

#endif
