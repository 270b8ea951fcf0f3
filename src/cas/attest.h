/*
 * attest: from a request with evidence to a service's configuration, in the order of docs/protocols.md.
 */
#ifndef SCONE_CAS_ATTEST_H
#define SCONE_CAS_ATTEST_H

#include "cas/audit.h"
#include "cas/enrol.h"
#include "cas/nonce.h"
#include "cas/platform_nonce.h"
#include "cas/sealed_store.h"
#include "cas/trust.h"
#include "evidence/verdict.h"
#include "wire/attest.h"

struct attest_context {
	struct sealed_store *store;
	struct audit *audit;
	struct nonce_table *nonces;
	struct remotes *remotes; /* NULL: no other CAS is asked */
	bool waited; /* they were asked for this request */
	void *later; /* set: nothing was decided; the request is to be done again when this has come (remotes.h) */
	const uint8_t *cas_key; /* key hash of this CAS */
	struct trust *trust;
	struct enrol *enrol;
	const uint8_t (*sim_platforms)[32]; /* trusted ones; count 0: any */
	size_t sim_platform_count;
	const uint8_t *platform_key; /* PLATFORM_NONCE_KEY_LEN bytes */
	uint64_t platform_max_age; /* seconds that evidence of a machine may be old */
	uint64_t now; /* seconds since 1970 */
	uint64_t monotonic; /* seconds of a clock that never goes back */
};

/*
 * client_key: key hash of the TLS client. Without evidence (no bytes) only sessions of mode none are answered.
 * The order: nonce, evidence genuine, bound to this connection, its machine's start believed; session, service, mode, the session's policy.
 * *ret is initialised, and freed by the caller in either case. ERR_ATTEST with the check's name, ERR_NOT_FOUND (session, service), ERR_INPUT otherwise. With ctx->later set,
 * -1 is no refusal: the nonce is good for once more.
 */
MUST_USE int attest_configure(struct attest_context *ctx, const struct attest_request *q,
	const uint8_t client_key[32], struct service_config *ret, struct error *err);

#endif
