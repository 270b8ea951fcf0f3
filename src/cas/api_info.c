#include <string.h>
#include <time.h>
#include "cas/api.h"
#include "core/encode.h"
#include "cas/openapi.h"
#include "cas/session_record.h"

static json_t *warnings(const struct cas *c)
{
	json_t *list = json_array();

	if (!list)
		return NULL;
	trust_warnings(c->trust, (uint64_t)time(NULL), list);
	if (c->tee->type != TEE_SIM)
		return list;
	json_array_append_new(list, json_string("this CAS runs on the simulated TEE: whoever is root on its "
						"host can read what it holds"));
	if (!c->sim_platform_count)
		json_array_append_new(
			list, json_string("this CAS takes simulated evidence of any platform key: anyone can "
					  "make evidence for sessions of mode simulation"));
	return list;
}

void api_info_cas(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	api_json(r, 200,
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "name", "OpenSCONE CAS", "version",
			OPENSCONE_VERSION, "key", c->identity->text, "certificate", c->identity->cert_pem,
			"tee", c->tee->name, "simulated", c->tee->type == TEE_SIM, "warnings", warnings(c)));
}

void api_info_health(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	api_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

void api_info_openapi(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	buf_put(&r->body, openapi_document, openapi_document_len);
	r->status = 200;
}

static int read_nonce(const char *query, uint8_t ret[CAS_EVIDENCE_NONCE_LEN], struct error *err)
{
	static const char key[] = "nonce=";
	const size_t n = strlen(query), at = sizeof(key) - 1;

	if (n > at && !strncmp(query, key, at) &&
		!hex_decode(query + at, n - at, ret, CAS_EVIDENCE_NONCE_LEN))
		return 0;
	return error_set(err, ERR_INPUT, "query of %zu characters: wanted nonce= and %d hex digits", n,
		2 * CAS_EVIDENCE_NONCE_LEN);
}

void api_info_evidence(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	uint8_t nonce[CAS_EVIDENCE_NONCE_LEN];
	struct cas_evidence e;
	struct error err = {0};
	bool fresh = q->query[0];

	cas_evidence_init(&e);
	if ((fresh && read_nonce(q->query, nonce, &err)) ||
		own_evidence_get(c->own_evidence, fresh ? nonce : NULL, (uint64_t)time(NULL), &e, &err) ||
		cas_evidence_encode(&e, &r->body, &err)) {
		if (err.code == ERR_LIMIT)
			http_reply_error(r, 429, "LIMIT", err.text);
		else
			api_error(r, &err, NULL);
	} else {
		r->status = 200;
	}
	cas_evidence_free(&e);
}

void api_info_metrics(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	if (!q->local && !q->key) {
		http_reply_error(r, 401, "ACCESS",
			"from another host this call needs a client certificate, seen none");
		return;
	}
	metric_set(c->metrics, METRIC_SESSIONS, sealed_store_count(c->store, TABLE_SESSION));
	metrics_write(c->metrics, api_paths(), &r->body);
	r->status = 200;
	r->content_type = "text/plain; version=0.0.4";
}
