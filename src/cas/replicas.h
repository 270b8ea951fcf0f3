/*
 * replicas: how another CAS of a shared store gets the master key: from one that has it, after each has attested to the other.
 *
 * The new one connects to the pinned key of the cluster, asks for a nonce, and sends evidence about itself over nonce, its TLS key and CAS's key
 * (attest_report_data), with a challenge. The other checks that the evidence is what its operator wants of a CAS, writes `replica-joined` into the audit log, and answers
 * with the master key and with evidence about itself over the challenge, CAS's key and the new one's. The new one checks the same in return, with what its own operator
 * wants, and seals the key with its own TEE, or keeps it in memory where that seals nothing (state.h).
 *
 * What is wanted: one of some policies (--cas-policy, wire/cas_evidence.h), of any TEE; or platforms by name (--replica-platform), for simulated ones: then the other must be of the same kind, and of the
 * very code that this CAS runs itself (program and libraries, measure.h). With both, both.
 *
 *   POST /v1/replica  {"nonce":HEX64,"challenge":HEX64,"evidence":BASE64}  ->  {"master":BASE64,"evidence":BASE64}
 */
#ifndef SCONE_CAS_REPLICAS_H
#define SCONE_CAS_REPLICAS_H

#include "cas/api.h"
#include "wire/cas_evidence.h"

#define REPLICA_PATH "/v1/replica"

/* Neither platforms nor a policy: nobody joins. */
struct replica_wanted {
	const uint8_t (*keys)[32]; /* platforms that may have the master key */
	size_t count;
	struct cas_policy *const *policies; /* any one of them will do */
	size_t policy_count;
};

/* Of a file; free() it. */
MUST_USE int replica_policy_read(const char *path, struct cas_policy **ret, struct error *err);

struct replica_join {
	const char *address; /* one or several, comma-separated */
	const uint8_t *key; /* the cluster's key hash */
	struct replica_wanted wanted;
	const struct collateral *collateral; /* or NULL */
};

/* The master key, from the CAS at j's address, for one that runs on tee. ret: 32 bytes, the caller wipes them. */
MUST_USE int replica_fetch(
	const struct replica_join *j, struct tee *tee, uint8_t ret[SEALED_MASTER_LEN], struct error *err);

void api_replica(struct cas *c, const struct http_request *q, struct http_reply *r);

#endif
