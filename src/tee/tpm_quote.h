/*
 * tpm_quote: the attestation key of a TPM, its enrolment, and quotes. For the tpm driver and for programs that enrol a machine.
 *
 * The attestation key is a child of the endorsement key, of that which the TPM's maker has certified: ECC P-256, ECDSA with SHA-256, restricted. Its two parts (the private
 * one encrypted by the TPM), and which endorsement key that is, are a file of the state directory; the TPM alone can use it.
 */
#ifndef SCONE_TEE_TPM_QUOTE_H
#define SCONE_TEE_TPM_QUOTE_H

#include "tee/tee.h"
#include "tee/tpm_device.h"

#define TPM_AK_MAX 2048
#define TPM_QUOTED_PCRS 0xffffu /* 0 to 15 of the SHA-256 bank */
#define TPM_LOG_ENV "SCONE_TPM_LOG" /* event log; default: that of the kernel for tpm0 */
#define TPM_LOG_DEFAULT "/sys/kernel/security/tpm0/binary_bios_measurements"

/* A new attestation key's parts (TPM2B_PUBLIC, TPM2B_PRIVATE, enum tpm_ek as u16 big endian; without the last it is TPM_EK_ECC_P256), appended. */
MUST_USE int tpm_ak_make(struct buf *out, struct error *err);
/* TPMT_PUBLIC of the key in these parts, then the qualified name of its parent, as evidence carries them. Needs the TPM for the parent. */
MUST_USE int tpm_ak_describe(const struct buf *ak, struct buf *out, struct error *err);
/* key_hash of it. */
MUST_USE int tpm_ak_hash(const struct buf *ak, uint8_t ret[32], struct error *err);
/* Fill the items of a bundle; the bufs are the caller's. */
struct tpm_quote_items {
	struct buf statement, signature, key, values, log; /* log is empty where the platform has none */
};
void tpm_quote_items_init(struct tpm_quote_items *q);
void tpm_quote_items_free(struct tpm_quote_items *q);
MUST_USE int tpm_quote_make(
	const struct buf *ak, const uint8_t *extra, size_t n, struct tpm_quote_items *ret, struct error *err);

/* Values of these PCRs (bits of mask) of the SHA-256 bank as they are now; the other rows are left alone. */
MUST_USE int tpm_pcr_values(uint32_t mask, uint8_t ret[24][32], struct error *err);

/* Enrolment, the machine's side. What a relying party wants first: public endorsement key (TPMT_PUBLIC), its certificates (DER, one after the other, as
 * the TPM keeps them; may be none), and tpm_ak_describe. Appended. */
MUST_USE int tpm_enrol_keys(const struct buf *ak, struct buf *ek_public, struct buf *ek_certificate,
	struct buf *ak_public, struct error *err);
/* The credential that only this TPM, holding this attestation key, can open: id_object is TPMS_ID_OBJECT with its TPM2B, secret TPM2B_ENCRYPTED_SECRET, both as
 * tpm_credential_make writes them. ERR_CRYPTO when it is for another machine or key. */
MUST_USE int tpm_enrol_activate(const struct buf *ak, const uint8_t *id_object, size_t n,
	const uint8_t *secret, size_t secret_len, struct buf *out, struct error *err);

#endif
