/*
 * snp_seal: data that only this guest on this chip opens: AES-256-GCM under a key that the security processor derives (sev_guest.h) from the chip's secret, the guest's policy
 * and launch measurement, and a TCB. Not for a guest that was started from other images, not for one with debugging, not after the chip's firmware was put back
 * behind what it had committed to when the data were sealed. An update of the guest's images is another guest.
 *
 * Sealed form: magic "SCSNPS01", mixed fields u64, TCB u64 (big endian), then aead.h. Additional data: label below, a zero byte, fields, TCB, the caller's label.
 */
#ifndef SCONE_TEE_SNP_SEAL_H
#define SCONE_TEE_SNP_SEAL_H

#include "core/buf.h"
#include "core/error.h"

/* tcb: the chip's committed one, as a report says. Appended. */
MUST_USE int snp_seal(
	uint64_t tcb, const char *label, const void *p, size_t n, struct buf *out, struct error *err);
/* Appended to out, a secret buf. ERR_CRYPTO: another guest, another chip, older firmware, or changed data. */
MUST_USE int snp_unseal(const char *label, const void *p, size_t n, struct buf *out, struct error *err);

#endif
