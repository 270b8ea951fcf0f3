/*
 * tpm: what the tpm driver can do beyond the interface of all drivers. t is one that tee_tpm_ops.open gave.
 */
#ifndef SCONE_TEE_TPM_H
#define SCONE_TEE_TPM_H

#include "tee/tee.h"

/* As tpm_enrol_keys and tpm_enrol_activate (tpm_quote.h), with the driver's attestation key. */
MUST_USE int tee_tpm_enrol_keys(struct tee *t, struct buf *ek_public, struct buf *ek_certificate,
	struct buf *ak_public, struct error *err);
MUST_USE int tee_tpm_enrol_activate(struct tee *t, const uint8_t *id_object, size_t n, const uint8_t *secret,
	size_t secret_len, struct buf *out, struct error *err);

#endif
