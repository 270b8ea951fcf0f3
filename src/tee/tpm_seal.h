/*
 * tpm_seal: secrets that one TPM gives back while its PCRs are as they were, and counters in its NV memory that never go back. For the tpm driver.
 *
 * Sealed form: "SCTPMS01", u32 mask of PCRs (SHA-256 bank), block TPM2B_PUBLIC, block TPM2B_PRIVATE (the sealed AES key), then the text under that key as
 * aead.h has it. Integers big endian. The mask and the label are authenticated with the text.
 */
#ifndef SCONE_TEE_TPM_SEAL_H
#define SCONE_TEE_TPM_SEAL_H

#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define TPM_SEAL_PCRS_ENV "SCONE_TPM_SEAL_PCRS" /* list of numbers: "0,2,4,7"; "none" for no PCR */
#define TPM_SEAL_PCRS_DEFAULT                                                                                \
	(1u << 7) /* state of secure boot and its keys: survives updates of kernel and firmware */

/* From the environment. */
MUST_USE int tpm_seal_pcrs(uint32_t *ret, struct error *err);
/* out grows by the sealed form. */
MUST_USE int tpm_seal(
	uint32_t pcrs, const char *label, const void *p, size_t n, struct buf *out, struct error *err);
/* ERR_ACCESS with the PCRs when they are not as they were; ERR_CRYPTO when label or bytes differ, or another TPM sealed it. */
MUST_USE int tpm_unseal(const char *label, const void *p, size_t n, struct buf *out, struct error *err);

/* A counter for label: its NV index (0x01800000 to 0x01bfffff) follows from the label's hash. A new one starts above every value that a deleted
 * counter of this TPM had, so that deleting it does not take it back. ERR_NOT_FOUND: there is none yet. */
MUST_USE int tpm_counter_read(const char *label, uint64_t *ret, struct error *err);
/* One more; made when there is none. */
MUST_USE int tpm_counter_increment(const char *label, uint64_t *ret, struct error *err);

#endif
