/*
 * verdict: what a verified piece of evidence says, whatever hardware made it. No I/O.
 */
#ifndef SCONE_EVIDENCE_VERDICT_H
#define SCONE_EVIDENCE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>
#include "core/error.h"

enum tee_type { TEE_NONE, TEE_SIM, TEE_TPM, TEE_SNP, TEE_TDX, TEE_SGX, TEE_NITRO };

#define REPORT_DATA_LEN 64

struct verdict {
	enum tee_type tee;
	bool debug; /* the environment can be inspected */
	bool simulated; /* no hardware stands behind it */
	uint8_t measurement[32]; /* compared with mrenclave */
	uint8_t signer[32]; /* compared with mrsigner; zeros: none */
	uint32_t isvprodid, isvsvn;
	uint8_t runtime_digest[32]; /* SHA-256 of the runtime's image; zeros where the TEE does not say */
	uint8_t manifest_root[32];
	uint8_t report_data[REPORT_DATA_LEN];
	uint8_t platform[32]; /* key hash of the platform key */
	uint64_t issued_at; /* seconds since 1970, as the platform claims; 0: does not say */
};

const char *tee_type_name(enum tee_type t); /* "sim", "tpm", "sev-snp", "tdx", "sgx", "nitro" */

/* What the verifier may rely on. Time and trusted keys come in from outside. */
struct verify_context {
	uint64_t now; /* seconds since 1970 */
	const uint8_t (
		*sim_platforms)[32]; /* trusted sim platform keys (key hashes); count 0: any sim platform */
	size_t sim_platform_count;
	const uint8_t *report_data; /* REPORT_DATA_LEN bytes wanted, or NULL */
};

/* Recognise the type by its magic, verify, fill *ret. ERR_ATTEST with check, value seen and value wanted on refusal;
 * ERR_INPUT when the bytes are no evidence of a known type. */
MUST_USE int evidence_verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret, struct error *err);

#endif
