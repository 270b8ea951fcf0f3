/*
 * api: the calls of docs/protocols.md section 2, from request to answer.
 */
#ifndef SCONE_CAS_API_H
#define SCONE_CAS_API_H

#include <jansson.h>
#include "cas/audit.h"
#include "cas/enrol.h"
#include "cas/http.h"
#include "cas/identity.h"
#include "cas/metrics.h"
#include "cas/nonce.h"
#include "cas/own_evidence.h"
#include "cas/platform_nonce.h"
#include "cas/sealed_store.h"
#include "cas/trust.h"
#include "policy/diag.h"
#include "tee/tee.h"

struct state;
struct replica_wanted;

struct remotes;

struct cas {
	struct sealed_store *store;
	struct audit *audit;
	struct nonce_table *nonces;
	const struct identity *identity;
	struct metrics *metrics;
	struct remotes *remotes;
	const struct error *unavailable; /* why the store does not answer; NULL: it does */
	struct trust *trust;
	struct enrol *enrol;
	struct own_evidence *own_evidence;
	const struct tee_ops *tee;
	const struct state *state; /* for replicas.h */
	const struct replica_wanted *replicas_wanted;
	const uint8_t (*sim_platforms)[32]; /* trusted ones; count 0: any */
	size_t sim_platform_count;
	uint8_t platform_key[PLATFORM_NONCE_KEY_LEN];
	uint64_t platform_max_age; /* seconds that a machine's evidence may be old */
};

/* One request. */
void api_handle(struct cas *c, const struct http_request *q, struct http_reply *r);

/* For the files of this API. */

typedef void (*api_call)(struct cas *c, const struct http_request *q, struct http_reply *r);

void api_info_cas(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_info_evidence(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_info_health(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_info_openapi(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_info_metrics(struct cas *c, const struct http_request *q, struct http_reply *r);
/* Paths of all routes, NULL at the end; the last before it stands for any other path. */
const char *const *api_paths(void);
void api_session_upload(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_session_list(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_session_read(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_session_delete(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_signed_session_upload(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_proposal_list(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_proposal_ask(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_proposal_read(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_proposal_vote(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_proposal_withdraw(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_values(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_attest_nonce(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_attest_attest(struct cas *c, const struct http_request *q, struct http_reply *r);

void api_export(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_volumes_open(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_volumes_update(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_volumes_close(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_tpm_list(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_tpm_pin(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_tpm_remove(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_tpm_enrol(struct cas *c, const struct http_request *q, struct http_reply *r);
void api_tpm_activate(struct cas *c, const struct http_request *q, struct http_reply *r);

#define API_SESSIONS "/v1/sessions"
#define API_PROPOSALS "/v1/proposals"
#define API_TPM_MACHINES "/v1/tpm/machines"
#define API_VALUES "/v1/values/"

/* Answer with j, which it takes over. NULL: out of memory. */
void api_json(struct http_reply *r, int status, json_t *j);
/* Answer with err; what is not the caller's fault is logged and told without details. d may be NULL. */
void api_error(struct http_reply *r, const struct error *err, const struct diag *d);
/* Array of the warnings of d as text. */
json_t *api_warnings(const struct diag *d);

#endif
