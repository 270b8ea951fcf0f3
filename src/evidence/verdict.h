/*
 * verdict: what a verified piece of evidence says, whatever hardware made it, and what a verifier may rely on. No I/O.
 *
 * The verifier decides whether the evidence is genuine: signatures, chains, revocation, dates, structure. What a genuine platform is like (its
 * debug flag, the state of its TCB, advisories) it reports in the verdict; verdict_judge, or a session's policy, decides whether that will do.
 */
#ifndef SCONE_EVIDENCE_VERDICT_H
#define SCONE_EVIDENCE_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "evidence/bundle.h"
#include "evidence/check.h"

#define REPORT_DATA_LEN 64
#define LAUNCH_MAX 64
#define PLATFORM_NONCE_LEN 32
#define ADVISORY_MAX 128
#define ADVISORY_NAME_MAX 32

/* Best first. Intel's words for all; other makers' states are mapped to them by their verifier. */
enum tcb_status {
	TCB_NOT_JUDGED, /* the TEE has no notion of it, or there is nothing to compare with */
	TCB_UP_TO_DATE,
	TCB_SW_HARDENING_NEEDED,
	TCB_CONFIGURATION_NEEDED,
	TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
	TCB_OUT_OF_DATE,
	TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
	TCB_REVOKED, /* never in a verdict: refused by the verifier */
};
const char *tcb_status_name(enum tcb_status s); /* "UpToDate", ..., as in Intel's TCB info; "NotJudged" */

/* Per TEE: what a policy on that TEE may want to see and verdict itself has no place for. Multi-byte numbers are in host order. */
struct sgx_detail {
	uint8_t cpu_svn[16], attributes[16], config_id[64], isv_ext_prod_id[16], isv_family_id[16];
	uint32_t misc_select;
	uint16_t config_svn, pce_svn, qe_svn;
	uint8_t fmspc[6], pce_id[2];
	uint8_t qe_id[16]; /* id of the platform's quoting enclave */
	uint32_t tcb_evaluation_number; /* of the TCB info that was used */
	enum tcb_status qe_status;
};

struct tdx_detail {
	uint8_t tee_tcb_svn[16], mr_seam[48], mr_signer_seam[48], seam_attributes[8], td_attributes[8],
		xfam[8];
	uint8_t mr_config_id[48], mr_owner[48], mr_owner_config[48], rtmr[4][48];
	bool v1_5; /* the two fields of TD 1.5 reports are there */
	uint8_t tee_tcb_svn2[16], mr_service_td[48];
	uint16_t pce_svn, qe_svn;
	uint8_t fmspc[6], pce_id[2], qe_id[16];
	uint32_t tcb_evaluation_number;
	enum tcb_status qe_status, module_status;
};

struct snp_detail {
	uint32_t report_version, guest_svn, vmpl, signing_key; /* signing_key: 0 VCEK, 1 VLEK */
	uint64_t policy, platform_info;
	uint8_t family_id[16], image_id[16], host_data[32], id_key_digest[48], author_key_digest[48],
		report_id[32];
	uint8_t chip_id[64]; /* zeros where masked */
	uint64_t current_tcb, reported_tcb, committed_tcb, launch_tcb;
	char product[16]; /* "Milan", "Genoa", "Turin" */
};

struct tpm_detail {
	uint32_t pcr_mask; /* bit n: PCR n of the SHA-256 bank was quoted */
	uint8_t pcr[24][32]; /* of those quoted, as the quote's digest confirms them */
	uint8_t ak_name[34]; /* TPM name of the attestation key */
	uint32_t reset_count, restart_count;
	uint64_t clock, firmware_version;
	bool event_log; /* an event log was there and gives these PCR values */
};

struct nitro_detail {
	char module_id[128];
	uint32_t pcr_mask;
	uint8_t pcr[16][48]; /* SHA-384 */
	uint8_t public_key_hash[32]; /* SHA-256 of the document's public key; zeros: none */
	uint8_t nonce_hash[32]; /* SHA-256 of the nonce; zeros: none */
};

struct verdict {
	enum tee_type tee;
	bool debug; /* the environment can be inspected */
	bool simulated; /* no hardware stands behind it */
	uint8_t measurement
		[32]; /* compared with mrenclave; zeros where the TEE alone does not name the program */
	uint8_t signer[32]; /* compared with mrsigner; zeros: none */
	uint32_t isvprodid, isvsvn;
	uint8_t launch
		[LAUNCH_MAX]; /* what the hardware measured at start: MRENCLAVE, MRTD, SNP measurement, digest of PCRs, PCR0 */
	size_t launch_len; /* 32 or 48; 0: none */
	uint8_t runtime_digest[32]; /* SHA-256 of the runtime's image; zeros where the TEE does not say */
	uint8_t manifest_root[32];
	uint8_t report_data[REPORT_DATA_LEN];
	bool by_las; /* the platform's evidence names the key of a LAS, whose word digest, root, measurement and report data are (workload.h) */
	uint8_t las_key[32]; /* that key, raw Ed25519 */
	uint8_t platform_nonce
		[PLATFORM_NONCE_LEN]; /* of a relying party: the platform's evidence is newer than it; zeros: none */
	uint8_t platform[32]; /* key hash of the platform's key: PCK, VCEK or VLEK, AK, Nitro leaf, sim key */
	uint64_t issued_at; /* seconds since 1970, as the platform claims; 0: does not say */
	enum tcb_status tcb_status;
	uint64_t tcb_date; /* of the TCB level that was matched; 0: none */
	bool tcb_unlisted; /* the platform is below every TCB level that its maker lists; tcb_status says what that makes of it */
	uint64_t
		valid_until; /* the first moment at which some certificate, CRL or collateral that was used expires; 0: no such */
	char advisories[ADVISORY_MAX][ADVISORY_NAME_MAX]; /* "INTEL-SA-00614"; sorted, each once */
	size_t advisory_count;
	union {
		struct sgx_detail sgx;
		struct tdx_detail tdx;
		struct snp_detail snp;
		struct tpm_detail tpm;
		struct nitro_detail nitro;
	} detail; /* by tee; sim has none */
};

/* ADVISORY_NAME_MAX with NUL. Kept sorted; a name that is there already is not added again. -1 with a refusal (collateral-format) when there
 * are too many or the name is too long or has other characters than letters, digits, '-', '_', '.'. */
MUST_USE int verdict_add_advisory(struct verdict *v, const char *name, struct error *err);

/* A trusted root. Where a context has any for a TEE they take the place of the maker's, which are built in. */
struct trust_root {
	enum tee_type tee;
	uint8_t key_hash[32]; /* SHA-256 over the root key's SubjectPublicKeyInfo (DER) */
};

struct collateral; /* collateral.h: parsed once, kept by the caller, used by many */

/* What the verifier may rely on. Time, trusted keys and collateral come in from outside. A zeroed field is its strict default. */
struct verify_context {
	uint64_t now; /* seconds since 1970 */
	const uint8_t (
		*sim_platforms)[32]; /* trusted sim platform keys (key hashes); count 0: any sim platform */
	size_t sim_platform_count;
	const uint8_t *report_data; /* REPORT_DATA_LEN bytes wanted, or NULL */
	const struct trust_root *roots;
	size_t root_count;
	/* What the evidence does not carry itself. Carried collateral wins over none, the newer over the older. */
	const struct collateral *collateral; /* or NULL */
	uint32_t min_tcb_evaluation_number; /* Intel: TCB info and identities below it are refused; 0: any */
	bool allow_no_revocation; /* go on where there is no CRL at all; a CRL that is there always counts */
};

/* True if hash is a trusted root for tee: in ctx's own where it has some for tee, else in the n built-in ones. */
bool verify_root_trusted(const struct verify_context *ctx, enum tee_type tee, const uint8_t hash[32],
	const uint8_t (*built_in)[32], size_t n);
/* CHECK_REPORT_DATA refusal if ctx wants other report data. what: start of the sentence ("SGX quote"). */
MUST_USE int verify_report_data(const struct verify_context *ctx, const char *what,
	const uint8_t seen[REPORT_DATA_LEN], struct error *err);

/* Recognise the type, verify, fill *ret. ERR_ATTEST with check, value seen and value wanted on refusal (err->check is never NULL then);
 * ERR_INPUT when the bytes are no evidence of a known type. p: a raw statement (quote, report, document), or a bundle (bundle.h). */
MUST_USE int evidence_verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret, struct error *err);
/* The same for parts that came apart. e->tee is set. */
MUST_USE int evidence_verify_parts(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);

/* What may be less than perfect about genuine evidence. The words are those of security.attestation.tolerate. */
enum tolerance {
	TOLERATE_DEBUG = 1u << 0, /* debug-mode */
	TOLERATE_SW_HARDENING = 1u << 1, /* software-hardening-needed */
	TOLERATE_CONFIGURATION = 1u << 2, /* insecure-configuration */
	TOLERATE_OUTDATED = 1u << 3, /* outdated-tcb */
};
/* 0 if the word is none of them. */
uint32_t tolerance_parse(const char *word);

struct tolerances {
	uint32_t set; /* enum tolerance */
	const char *const *advisories; /* ignored ones */
	size_t advisory_count;
	bool all_advisories;
};

/* Refuse debug (CHECK_DEBUG), a status beyond what is tolerated (CHECK_TCB_STATUS), then advisories that are not ignored (CHECK_ADVISORY): a
 * tolerated status does not ignore an advisory, nor the other way round. t NULL: nothing is tolerated. */
MUST_USE int verdict_judge(const struct verdict *v, const struct tolerances *t, struct error *err);

#endif
