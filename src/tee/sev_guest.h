/*
 * sev_guest: the kernel's device of a SEV-SNP guest, /dev/sev-guest (Linux 5.19; linux/sev-guest.h): reports where there is no configfs-tsm, and keys that the security processor
 * derives for this guest. Source of what is in requests and answers: AMD 56860, MSG_KEY_REQ, MSG_REPORT_RSP. For the snp driver.
 */
#ifndef SCONE_TEE_SEV_GUEST_H
#define SCONE_TEE_SEV_GUEST_H

#include "core/buf.h"
#include "core/error.h"
#include "evidence/verdict.h"

#define SEV_GUEST_DEVICE "/dev/sev-guest"
#define SEV_GUEST_KEY_LEN 32

/* What a derived key depends on, besides the chip (GUEST_FIELD_SELECT). */
#define SEV_GUEST_MIX_POLICY (1ull << 0)
#define SEV_GUEST_MIX_MEASUREMENT (1ull << 3)
#define SEV_GUEST_MIX_TCB (1ull << 5)

struct sev_guest_key {
	uint64_t mix;
	uint64_t tcb; /* with SEV_GUEST_MIX_TCB; at most the committed one of the chip */
};

/* ERR_IO, or ERR_NOT_FOUND where the device is not there. */
MUST_USE int sev_guest_probe(struct error *err);
/* As configfs_tsm_report: the report over inblob, at VMPL 0, and the host's certificate table, which may be nothing. Both are replaced. */
MUST_USE int sev_guest_report(
	const uint8_t inblob[REPORT_DATA_LEN], struct buf *outblob, struct buf *auxblob, struct error *err);
/* The key of this chip for a guest such as this. The caller wipes it. ERR_CRYPTO: the security processor does not derive it, as for a TCB that the chip has not committed to. */
MUST_USE int sev_guest_derive(
	const struct sev_guest_key *k, uint8_t ret[SEV_GUEST_KEY_LEN], struct error *err);

#endif
