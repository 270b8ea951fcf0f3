/*
 * tpm: is a TPM 2.0 quote genuine, and what does it say? (TCG "Trusted Platform Module Library", "PC Client Platform Firmware Profile".)
 *
 * ITEM_STATEMENT: TPMS_ATTEST of a quote. ITEM_SIGNATURE: TPMT_SIGNATURE. ITEM_KEY: the attestation key's TPMT_PUBLIC, followed by the qualified
 * name of its parent, or by nothing; or its SubjectPublicKeyInfo (DER). ITEM_VALUES: the values of the quoted PCRs, one after the other in the
 * quote's order (banks as listed, PCRs ascending). ITEM_EVENT_LOG: the firmware's log, or nothing. ITEM_CERTIFICATES: PEM, the attestation key's
 * certificate first, or nothing.
 *
 * Checked: form; the signature; attributes of the key, and, where the parent's name is there, that this public area is the one that the TPM names
 * as signer; that the values give the quoted digest; that the log leads to the values (EVENTLOG_STRICT_PCRS); and that the key is trusted: its key hash, or
 * the root of its certificates, is among ctx->roots for tpm. There are no built-in roots: a TPM's attestation key is trusted after its enrolment
 * (tpm_credential.h), or because its maker certified it.
 *
 * launch is the digest of the PCRs; report data is extraData, padded with zeros to 64 bytes.
 */
#ifndef SCONE_EVIDENCE_TPM_H
#define SCONE_EVIDENCE_TPM_H

#include <jansson.h>
#include "evidence/tpm_wire.h"
#include "evidence/verdict.h"

bool tpm_is(const uint8_t *p, size_t n); /* recognised, but refused when bare: a quote has no key with it */
MUST_USE int tpm_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);
MUST_USE int tpm_show(const struct evidence *e, json_t *into, struct error *err);
MUST_USE int tpm_describe(const struct verdict *v, json_t *into);

/* What is wanted of a machine: values of PCRs of the SHA-256 bank. Several rows for one PCR: any of these values. */
struct tpm_wanted {
	const struct tpm_pcr_wanted {
		unsigned int index;
		const uint8_t *value; /* 32 bytes */
	} * pcr;
	size_t pcr_count;
	bool event_log; /* must be there */
};
/* v is a verdict of tpm_verify. Refusals: CHECK_PCR_SELECTION for one that was not quoted, CHECK_PCR with the value seen and the value wanted,
 * CHECK_EVENT_LOG. */
MUST_USE int tpm_judge(const struct verdict *v, const struct tpm_wanted *w, struct error *err);

#endif
