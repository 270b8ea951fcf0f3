#include <assert.h>
#include <string.h>
#include "cas/api.h"
#include "cas/console.h"
#include "cas/export_message.h"
#include "cas/replicas.h"
#include "core/log.h"
#include "wire/volume_message.h"

struct method {
	const char *name;
	bool identity; /* needs a client certificate */
	api_call call;
};

struct route {
	const char *path;
	bool prefix; /* path ends with '/', something follows */
	struct method methods[3];
	const char *allow;
};

static const struct route routes[] = {
	{"/v1/cas", false, {{"GET", false, api_info_cas}}, "GET"},
	{"/", false, {{"GET", false, console_get}}, "GET"},
	{CONSOLE_PATH, false, {{"GET", false, console_get}}, "GET"},
	{CONSOLE_PATH, true, {{"GET", false, console_get}}, "GET"},
	{CAS_EVIDENCE_PATH, false, {{"GET", false, api_info_evidence}}, "GET"},
	{"/healthz", false, {{"GET", false, api_info_health}}, "GET"},
	{"/openapi.json", false, {{"GET", false, api_info_openapi}}, "GET"},
	{"/metrics", false, {{"GET", false, api_info_metrics}}, "GET"},
	{API_SESSIONS, false, {{"GET", true, api_session_list}, {"POST", true, api_session_upload}},
		"GET, POST"},
	{API_SESSIONS "/", true, {{"GET", true, api_session_read}, {"DELETE", true, api_session_delete}},
		"GET, DELETE"},
	{"/v1/signed_sessions", false, {{"POST", true, api_signed_session_upload}}, "POST"},
	{API_PROPOSALS, false, {{"GET", false, api_proposal_list}, {"POST", true, api_proposal_ask}},
		"GET, POST"},
	{API_PROPOSALS "/", true,
		{{"GET", false, api_proposal_read}, {"POST", false, api_proposal_vote},
			{"DELETE", true, api_proposal_withdraw}},
		"GET, POST, DELETE"},
	{API_VALUES, true, {{"GET", false, api_values}}, "GET"},
	{"/v1/attest/nonce", false, {{"POST", true, api_attest_nonce}}, "POST"},
	{REPLICA_PATH, false, {{"POST", true, api_replica}}, "POST"},
	{"/v1/attest", false, {{"POST", true, api_attest_attest}}, "POST"},
	{EXPORT_PATH, false, {{"POST", true, api_export}}, "POST"},
	{VOLUME_OPEN_PATH, false, {{"POST", true, api_volumes_open}}, "POST"},
	{VOLUME_UPDATE_PATH, false, {{"POST", true, api_volumes_update}}, "POST"},
	{VOLUME_CLOSE_PATH, false, {{"POST", true, api_volumes_close}}, "POST"},
	{API_TPM_MACHINES, false, {{"GET", true, api_tpm_list}, {"POST", true, api_tpm_pin}}, "GET, POST"},
	{API_TPM_MACHINES "/", true, {{"DELETE", true, api_tpm_remove}}, "DELETE"},
	{"/v1/tpm/enrol", false, {{"POST", true, api_tpm_enrol}}, "POST"},
	{"/v1/tpm/activate", false, {{"POST", true, api_tpm_activate}}, "POST"},
};

#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))
static_assert(ROUTE_COUNT < METRIC_ROUTES_MAX, "each route has its place in the metrics");

const char *const *api_paths(void)
{
	static const char *paths[ROUTE_COUNT + 2];

	for (size_t i = 0; i < ROUTE_COUNT; i++)
		paths[i] = routes[i].path;
	paths[ROUTE_COUNT] = "other";
	return paths;
}

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *t = &routes[i];
		size_t n = strlen(t->path);

		if (t->prefix ? !strncmp(path, t->path, n) && path[n] : !strcmp(path, t->path))
			return t;
	}
	return NULL;
}

static const struct method *find_method(const struct route *t, const char *name)
{
	for (size_t i = 0; i < sizeof(t->methods) / sizeof(t->methods[0]); i++)
		if (t->methods[i].name && !strcmp(t->methods[i].name, name))
			return &t->methods[i];
	return NULL;
}

static bool needs_store(api_call call)
{
	return call != api_info_cas && call != api_info_health && call != api_info_metrics &&
	       call != api_info_openapi && call != api_attest_nonce;
}

void api_handle(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	const struct route *t = find_route(q->path);
	const struct method *m = t ? find_method(t, q->method) : NULL;

	r->route = t ? (size_t)(t - routes) : ROUTE_COUNT;
	if (!t) {
		http_reply_error(r, 404, "NOT_FOUND", "there is no such path here");
	} else if (!m) {
		http_reply_error(r, 405, "INPUT", "this path does not know that method");
		r->allow = t->allow;
	} else if (m->identity && !q->key) {
		http_reply_error(r, 401, "ACCESS", "this call needs a client certificate, seen none");
	} else if (c->unavailable && needs_store(m->call)) {
		api_error(r, c->unavailable, NULL);
	} else {
		m->call(c, q, r);
	}
}

static int dump(const char *p, size_t n, void *arg)
{
	struct buf *b = arg;

	buf_put(b, p, n);
	return b->failed ? -1 : 0;
}

void api_json(struct http_reply *r, int status, json_t *j)
{
	r->status = status;
	if (!j || json_dump_callback(j, dump, &r->body, JSON_COMPACT)) {
		log_error("no memory for an answer, or it is too long");
		http_reply_error(r, 500, "INTERNAL", "the answer could not be written");
	}
	json_decref(j);
}

static int status_of(enum err_code code)
{
	switch (code) {
	case ERR_INPUT:
		return 400;
	case ERR_LIMIT:
		return 413;
	case ERR_ACCESS:
	case ERR_ATTEST:
		return 403;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_EXISTS:
	case ERR_CONFLICT:
		return 409;
	case ERR_UNAVAILABLE:
		return 503;
	default:
		return 500;
	}
}

static json_t *details(const struct diag *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < d->count; i++) {
		const struct diag_entry *e = &d->entries[i];

		if (strncmp(e->name, "E-", 2))
			continue;
		/* a text that quotes bytes which are no UTF-8 is left out by itself */
		json_array_append_new(
			list, json_pack("{s:s,s:s*,s:i,s:i,s:s*}", "name", e->name, "path", e->path, "line",
				      e->line, "column", e->column, "text", e->text));
	}
	return list;
}

void api_error(struct http_reply *r, const struct error *err, const struct diag *d)
{
	int status = status_of(err->code);
	json_t *j;

	if (status == 500) {
		log_error("%s: %s", error_code_name(err->code), err->text);
		http_reply_error(
			r, 500, error_code_name(err->code), "CAS failed to do this; its log says why");
		return;
	}
	http_reply_error(r, status, error_code_name(err->code), err->text);
	if (!err->check && (!d || !d->errors))
		return;
	j = json_loadb((const char *)r->body.data, r->body.len, 0, NULL);
	if (!j)
		return;
	if (err->check)
		json_object_set_new(json_object_get(j, "error"), "check", json_string(err->check));
	if (d && d->errors)
		json_object_set_new(json_object_get(j, "error"), "details", details(d));
	buf_reset(&r->body);
	api_json(r, status, j);
}

json_t *api_warnings(const struct diag *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < d->count; i++) {
		const struct diag_entry *e = &d->entries[i];

		if (!strncmp(e->name, "W-", 2))
			json_array_append_new(list, json_sprintf("%s%s%s [%s]", e->path,
							    e->path[0] ? ": " : "", e->text, e->name));
	}
	return list;
}
