/*
 * enrol: which machines' TPMs this CAS believes. A record of the sealed store for each machine: its endorsement key, its attestation key once that is proven
 * to be in the same TPM, and the PCR values that its start had then, of those PCRs that are to be held.
 *
 * An endorsement key is believed because an operator pinned it, or because its maker's certificate leads to a root given with --tpm-root and an operator asks.
 * A pinned machine enrols itself once; everything after that is for operators. An attestation key counts when the credential that only the TPM with both
 * keys can open came back, and a quote of it over this very exchange verified. From then on evidence by it must have the held PCRs' values of that quote.
 * Which starts a session believes is the session's to say (`machine`).
 */
#ifndef SCONE_CAS_ENROL_H
#define SCONE_CAS_ENROL_H

#include "cas/audit.h"
#include "cas/sealed_store.h"
#include "cas/trust.h"
#include "wire/tpm_enrol.h"

#define ENROL_MACHINES_MAX 4096
#define ENROL_PENDING_MAX 64
#define ENROL_SECONDS 120 /* for a machine to prove itself */

enum enrol_because { ENROL_PINNED = 1, ENROL_CERTIFIED = 2 };

struct enrolled {
	char name[TPM_ENROL_NAME_MAX + 1];
	uint8_t ek[32]; /* key hash of the endorsement key */
	enum enrol_because because;
	bool active; /* what follows is there */
	uint8_t ak[32]; /* key hash of the attestation key: the platform in a verdict */
	uint8_t pcr[TPM_ENROL_PCRS][32]; /* those of pcrs */
	uint32_t pcrs; /* those that are held; also when not active */
	uint8_t by[32]; /* whose client key did it */
	uint64_t at; /* seconds since 1970 */
};

struct enrol;

/* store, audit and trust are borrowed. */
MUST_USE int enrol_new(
	struct sealed_store *store, struct trust *trust, struct enrol **ret, struct error *err);
void enrol_free(struct enrol *e); /* NULL is fine */
/* Take over what the store holds now; also tells trust. Before any call below. */
MUST_USE int enrol_refresh(struct enrol *e, struct error *err);

/* All machines, sorted by name; valid until the next enrol_refresh. */
const struct enrolled *enrol_list(const struct enrol *e, size_t *ret_count);

struct enrol_caller {
	const uint8_t *key; /* key hash of the client */
	const uint8_t *cas_key;
	struct audit *audit;
	uint64_t now, monotonic;
};

/* Pin an endorsement key under a name. Operators only. ERR_EXISTS: name or key is there. */
MUST_USE int enrol_pin(struct enrol *e, const struct enrol_caller *c, const char *name, const uint8_t ek[32],
	uint32_t pcrs, struct error *err);
MUST_USE int enrol_remove(struct enrol *e, const struct enrol_caller *c, const char *name, struct error *err);
/* First step of a machine. *ret is initialised. ERR_ACCESS: this endorsement key is not believed, or another one has the name; ERR_ATTEST: the keys are not
 * what they must be; ERR_EXISTS: enrolled already, and the caller is no operator. */
MUST_USE int enrol_begin(struct enrol *e, const struct enrol_caller *c, const struct tpm_enrol_request *q,
	struct tpm_enrol_challenge *ret, struct error *err);
/* Second step; one try. *ret: the machine as it is now. */
MUST_USE int enrol_finish(struct enrol *e, const struct enrol_caller *c, const struct tpm_enrol_proof *p,
	struct enrolled *ret, struct error *err);

/* The start of a machine with a TPM: v's PCRs against those of its enrolment. Other TEEs pass. CHECK_PCR with both values, CHECK_PLATFORM. */
MUST_USE int enrol_check(const struct enrol *e, const struct verdict *v, struct error *err);

#endif
