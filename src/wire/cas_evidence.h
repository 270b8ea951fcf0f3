/*
 * cas_evidence: CAS's evidence about itself: the message, what is wanted of it, and the check that a connection ends in a CAS that fits. For the command line and
 * the runtime. The policy and the message do no I/O.
 *
 * CAS's evidence speaks of the program scone-cas as a machine's or platform's evidence speaks of any program: digest of its image and root of its code
 * manifest, so its measurement is what `scone measure --runtime scone-cas scone-cas` prints. Its report data bind the key of CAS's TLS connections.
 */
#ifndef SCONE_WIRE_CAS_EVIDENCE_H
#define SCONE_WIRE_CAS_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "evidence/tpm.h"
#include "evidence/verdict.h"
#include "wire/http_client.h"

#define CAS_EVIDENCE_PATH "/v1/cas/evidence" /* GET; ?nonce=HEX64 for evidence made now, over that nonce */
#define CAS_EVIDENCE_NONCE_LEN 32
#define CAS_EVIDENCE_KEPT 240 /* seconds for which CAS gives the same evidence to those who send no nonce */
#define CAS_EVIDENCE_MAX_AGE 900 /* default of max_age */

/* The answer: {"issued_at":SECONDS,"nonce":HEX64|null,"evidence":BASE64} */
struct cas_evidence {
	uint64_t issued_at; /* seconds since 1970, by CAS's clock */
	uint8_t nonce[CAS_EVIDENCE_NONCE_LEN]; /* zeros: none */
	struct buf evidence;
};
void cas_evidence_init(struct cas_evidence *e);
void cas_evidence_free(struct cas_evidence *e);
MUST_USE int cas_evidence_encode(const struct cas_evidence *e, struct buf *out, struct error *err);
/* Refuses unknown, missing and duplicate keys and wrong types (ERR_INPUT). ret: initialised, freed by the caller in either case. */
MUST_USE int cas_evidence_decode(const void *p, size_t n, struct cas_evidence *ret, struct error *err);

/* SHA-256("openscone-cas-evidence-v1" NUL, u64be issued_at, nonce, key hash of CAS's TLS key), then 32 zero bytes. */
void cas_evidence_report_data(uint64_t issued_at, const uint8_t nonce[CAS_EVIDENCE_NONCE_LEN],
	const uint8_t cas_key[32], uint8_t ret[REPORT_DATA_LEN]);

#define CAS_POLICY_MAX 65536 /* bytes of its JSON */
#define CAS_POLICY_LIST_MAX 64

/*
 * What is wanted of a CAS, as JSON; every key but `measurement` may be absent:
 *   {"measurement":[HEX64…],          any one of them
 *    "tee":["tpm",…],                  any one of them; absent: any hardware
 *    "launch":[HEX…],                  machines: how they were started, 32 or 48 bytes
 *    "pcrs":{"7":[HEX64…],…},          tpm: each of these PCRs has one of its values
 *    "platform":[HEX64…],              key hashes of platforms; tpm: the attestation keys that are believed
 *    "roots":{"sev-snp":[HEX64…],…},   in place of the maker's
 *    "tolerate":["…"], "ignore_advisories":["…"],
 *    "min_tcb_evaluation":N, "max_age":SECONDS,
 *    "simulation":true}                simulated evidence will do
 * Evidence of a machine (tpm, sev-snp, tdx, nitro) needs launch or pcrs: what runs on a machine that started anything else can say anything.
 */
struct cas_policy {
	uint8_t measurement[CAS_POLICY_LIST_MAX][32];
	size_t measurement_count;
	uint32_t tees; /* bit by enum tee_type; 0: any hardware */
	struct {
		uint8_t p[LAUNCH_MAX];
		size_t n;
	} launch[CAS_POLICY_LIST_MAX];
	size_t launch_count;
	uint8_t pcr_value[CAS_POLICY_LIST_MAX][32];
	struct tpm_pcr_wanted pcr[CAS_POLICY_LIST_MAX];
	size_t pcr_count;
	uint8_t platform[CAS_POLICY_LIST_MAX][32];
	size_t platform_count;
	struct trust_root root[2 * CAS_POLICY_LIST_MAX]; /* with those that platform gives for tpm */
	size_t root_count;
	char advisory[CAS_POLICY_LIST_MAX][ADVISORY_NAME_MAX];
	const char *advisories[CAS_POLICY_LIST_MAX];
	struct tolerances tolerances; /* points into this struct */
	uint32_t min_tcb_evaluation;
	uint64_t max_age; /* seconds */
	bool simulation;
};

/* A policy on the heap, since it points into itself; free() it. ERR_INPUT, ERR_LIMIT. */
MUST_USE int cas_policy_parse(const void *p, size_t n, struct cas_policy **ret, struct error *err);

/* Is this evidence of a CAS that p wants, over these report data? Refusals by check (evidence/check.h), with the value seen and the value wanted. c may be NULL. */
MUST_USE int cas_policy_verify(const struct cas_policy *p, const void *evidence, size_t n,
	const uint8_t report_data[REPORT_DATA_LEN], uint64_t now, const struct collateral *c,
	struct verdict *ret, struct error *err);

/* Is this answer evidence of a CAS that p wants, about the key cas_key? nonce: the one that was sent, NULL if none was: then issued_at must be at most max_age
 * old. Refusals by check (evidence/check.h), with the value seen and the value wanted. */
MUST_USE int cas_evidence_verify(const struct cas_evidence *e, const struct cas_policy *p,
	const uint8_t cas_key[32], const uint8_t *nonce, uint64_t now, const struct collateral *c,
	struct verdict *ret, struct error *err);

/* Ask over an open connection (accept_any), and verify that it ends in such a CAS: the evidence binds the key which this connection's server showed, and
 * only then may anything that matters be sent over it. fresh: have it made now, by a nonce. c may be NULL. */
MUST_USE int cas_evidence_check(struct http_client *http, const struct cas_policy *p, bool fresh,
	uint64_t now, const struct collateral *c, struct verdict *ret, struct error *err);

#endif
