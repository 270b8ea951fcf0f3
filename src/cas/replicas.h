/*
 * replicas: how another CAS of a shared store gets the master key: from one that has it, after each has attested to the other.
 *
 * The new one connects to the pinned key of the cluster, asks for a nonce, and sends evidence about itself over nonce, its TLS key and CAS's key
 * (attest_report_data), with a challenge. The other checks that the evidence is of a platform that its operator named (--replica-platform), of the same
 * kind of TEE, and of the very code it runs itself (program and libraries, measure.h), writes `replica-joined` into the audit log, and answers with the
 * master key and with evidence about itself over the challenge, CAS's key and the new one's. The new one checks the same in return, with its own list, and
 * seals the key with its own TEE.
 *
 *   POST /v1/replica  {"nonce":HEX64,"challenge":HEX64,"evidence":BASE64}  ->  {"master":BASE64,"evidence":BASE64}
 */
#ifndef SCONE_CAS_REPLICAS_H
#define SCONE_CAS_REPLICAS_H

#include "cas/api.h"

#define REPLICA_PATH "/v1/replica"

struct replica_platforms {
	const uint8_t (*keys)[32]; /* platforms that may have the master key; none: nobody joins */
	size_t count;
};

struct replica_join {
	const char *address; /* one or several, comma-separated */
	const uint8_t *key; /* the cluster's key hash */
	struct replica_platforms platforms;
};

/* The master key, from the CAS at j's address, for one that runs on tee. ret: 32 bytes, the caller wipes them. */
MUST_USE int replica_fetch(
	const struct replica_join *j, struct tee *tee, uint8_t ret[SEALED_MASTER_LEN], struct error *err);

void api_replica(struct cas *c, const struct http_request *q, struct http_reply *r);

#endif
