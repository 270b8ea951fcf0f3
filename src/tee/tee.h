/*
 * tee: the one interface to whatever produces evidence and seals data on this host.
 *
 * A driver is a table of functions. `sim` works everywhere; a driver that cannot work here says why in probe.
 */
#ifndef SCONE_TEE_TEE_H
#define SCONE_TEE_TEE_H

#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "evidence/verdict.h"

struct tee; /* an opened driver */

struct tee_ops {
	enum tee_type type;
	const char *name;
	/* 0 if the driver can work on this host; otherwise -1 and the reason. */
	int (*probe)(struct error *err);
	/* state_dir: directory (mode 0700, created if absent) for what the driver must keep; owned by the caller. */
	int (*open)(const char *state_dir, struct tee **ret, struct error *err);
	void (*close)(struct tee *t);
	/* Evidence that this platform vouches for (runtime digest, manifest root, report data), appended to out. */
	int (*evidence)(struct tee *t, const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
		const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err);
	/* A machine's evidence with report data as they are, of which the last 32 bytes must be zeros, and no workload; appended to out, at most
	 * EVIDENCE_MAX. NULL where evidence always speaks of a program (sim). */
	int (*quote)(struct tee *t, const uint8_t report_data[REPORT_DATA_LEN], struct buf *out,
		struct error *err);
	/* Encrypt so that only this platform (and, where the TEE can, only this code) opens it. label separates uses. Both NULL where the TEE has no key that outlives what
	 * runs in it; no_seal then says what to do instead. Callers use tee_seal and tee_unseal. */
	int (*seal)(struct tee *t, const char *label, const void *p, size_t n, struct buf *out,
		struct error *err);
	int (*unseal)(struct tee *t, const char *label, const void *p, size_t n, struct buf *out,
		struct error *err);
	const char *no_seal;
	/* key_hash of the platform key. */
	int (*platform)(struct tee *t, uint8_t ret[32], struct error *err);
	/* A counter for label that nobody can turn back; both NULL where the TEE has none. Read: ERR_NOT_FOUND before the first increment. Increment gives the
	 * new value, which is above every earlier one, if not by one. */
	int (*counter_read)(struct tee *t, const char *label, uint64_t *ret, struct error *err);
	int (*counter_increment)(struct tee *t, const char *label, uint64_t *ret, struct error *err);
};

struct tee {
	const struct tee_ops *ops;
	/* driver's fields follow in its own struct */
};

extern const struct tee_ops tee_sim_ops;
extern const struct tee_ops tee_tpm_ops; /* TPM 2.0 */
extern const struct tee_ops tee_snp_ops,
	tee_tdx_ops; /* the kernel's configfs-tsm report interface, /dev/sev-guest */
extern const struct tee_ops tee_nitro_ops; /* /dev/nsm */
extern const struct tee_ops tee_sgx_ops; /* in an enclave only (sgx.h): probe says what is missing */
extern const struct tee_ops tee_skeleton_ops; /* where a new driver starts: probe always says no */

/* evidence for a driver that has quote: of the machine, with the workload beside it (evidence/workload.h). */
MUST_USE int tee_quote_workload(struct tee *t, const uint8_t runtime_digest[32],
	const uint8_t manifest_root[32], const uint8_t report_data[REPORT_DATA_LEN], struct buf *out,
	struct error *err);

/* seal and unseal, or ERR_NOT_FOUND with no_seal's words. */
MUST_USE int tee_seal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err);
MUST_USE int tee_unseal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err);

/* All drivers, NULL-terminated. The first whose probe succeeds is the default; others are chosen by name. */
const struct tee_ops *const *tee_drivers(void);
/* By name ("sim", ...); NULL if unknown. */
const struct tee_ops *tee_by_name(const char *name);

#endif
