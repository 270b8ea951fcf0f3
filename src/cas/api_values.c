/* GET /v1/values/session=NAME[,secret=NAME]: what a session's author made public with export_public (session language 5.5). */
#include <string.h>
#include <time.h>
#include "cas/api.h"
#include "cas/http_parse.h"
#include "cas/sessions.h"
#include "cas/vault_key.h"
#include "core/encode.h"
#include "crypto/x509.h"
#include "policy/secret_parts.h"

#define PARTS_MAX (256 * 1024)
#define RENEW_PART(span) ((span) / 3 * 2)

struct wanted {
	char target[HTTP_TARGET_MAX]; /* decoded; the two below point into it */
	const char *session, *secret; /* secret may be NULL: all */
};

/* "session=NAME" or "session=NAME,secret=NAME" behind the path's prefix. */
static int read_target(const struct http_request *q, struct wanted *ret, struct error *err)
{
	const char *text = q->path + strlen(API_VALUES);
	char *comma;

	if (q->query[0])
		return error_set(err, ERR_INPUT, "query \"%.64s\": this call has none", q->query);
	if (http_percent_decode(text, strlen(text), ret->target, err))
		return -1;
	if (strncmp(ret->target, "session=", 8))
		return error_set(err, ERR_INPUT, "%.80s: session=NAME or session=NAME,secret=NAME is wanted",
			ret->target);
	ret->session = ret->target + 8;
	ret->secret = NULL;
	comma = strchr(ret->target, ',');
	if (comma) {
		*comma = '\0';
		if (strncmp(comma + 1, "secret=", 7) || !comma[8])
			return error_set(
				err, ERR_INPUT, "%.80s: only secret=NAME may follow the session", comma + 1);
		ret->secret = comma + 8;
	}
	return session_name_check(ret->session, err);
}

static json_t *text_value(const void *p, size_t n)
{
	return json_stringn(p, n);
}

static json_t *hex_value(const uint8_t *p, size_t n)
{
	struct buf hex;
	json_t *j;

	buf_init_secret(&hex, 2 * n + 1);
	for (size_t i = 0; i < n; i++) {
		char digits[3];

		hex_encode(p + i, 1, digits);
		buf_put(&hex, digits, 2);
	}
	j = json_stringn((const char *)hex.data, hex.len);
	buf_free(&hex);
	return j;
}

/* Seconds since 1970 when it ends and when CAS replaces it; nothing for one without end. */
static void put_times(json_t *j, const char *pem, size_t n)
{
	uint64_t start, end;
	X509 *c = NULL;

	if (!x509_from_pem(pem, n, &c, NULL) && !x509_validity(c, &start, &end, NULL) &&
		end != X509_FOREVER) {
		json_object_set_new(j, "expires", json_integer((json_int_t)end));
		json_object_set_new(j, "renew", json_integer((json_int_t)(start + RENEW_PART(end - start))));
	}
	X509_free(c);
}

/* The plain form of a key or certificate. */
static int key_value(
	const struct stored_session *s, const struct secret_spec *spec, json_t *j, struct error *err)
{
	struct buf parts;
	const void *p;
	size_t n;
	int rc;

	buf_init_secret(&parts, PARTS_MAX);
	rc = vault_key_parts(s->doc, &s->vault, spec, false, &parts, err);
	if (!rc && secret_parts_get(parts.data, parts.len,
			   spec->kind == SECRET_PGP		    ? "publickey:asciiarmored"
			   : secret_kind_is_certificate(spec->kind) ? "crt"
								    : "pem",
			   &p, &n)) {
		json_object_set_new(j, "value", text_value(p, n));
		if (secret_kind_is_certificate(spec->kind))
			put_times(j, p, n);
	}
	buf_free(&parts);
	return rc;
}

static int put_secret(
	const struct stored_session *s, const struct secret_spec *spec, json_t *values, struct error *err)
{
	json_t *j = json_pack("{s:s}", "kind", secret_kind_name(spec->kind));
	const void *p = NULL;
	size_t n = 0;

	if (secret_kind_has_parts(spec->kind)) {
		if (key_value(s, spec, j, err)) {
			json_decref(j);
			return -1;
		}
	} else if (vault_lookup(s->doc, &s->vault, spec->name, strlen(spec->name), &p, &n)) {
		json_object_set_new(
			j, "value", spec->kind == SECRET_BINARY ? hex_value(p, n) : text_value(p, n));
	}
	json_object_set_new(values, spec->name, j);
	return 0;
}

/* To a stranger a session that is not there, a secret that is not, and one that is not public are the same. */
static int nothing_public(const struct wanted *w, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"session \"%s\" has no public secret%s%.128s%s, or there is no such session", w->session,
		w->secret ? " \"" : "", w->secret ? w->secret : "", w->secret ? "\"" : "");
}

static int collect(struct cas *c, const struct wanted *w, json_t *values, struct error *err)
{
	struct stored_session s;
	struct error why = {0};
	int rc = 0;

	stored_session_init(&s);
	if (sessions_load(c->store, w->session, NULL, &s, &why)) {
		if (why.code != ERR_NOT_FOUND) {
			*err = why;
			return -1;
		}
		return nothing_public(w, err);
	}
	if (sessions_renew(c->store, c->audit, &s, (uint64_t)time(NULL), err))
		rc = -1;
	for (size_t i = 0; i < s.doc->secret_count && !rc; i++) {
		const struct secret_spec *spec = &s.doc->secrets[i];

		if (spec->export_public && (!w->secret || !strcmp(w->secret, spec->name)))
			rc = put_secret(&s, spec, values, err);
	}
	stored_session_free(&s);
	return rc || json_object_size(values) ? rc : nothing_public(w, err);
}

void api_values(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	json_t *values = json_object();
	struct error err = {0};
	struct wanted w;

	if (read_target(q, &w, &err) || collect(c, &w, values, &err))
		api_error(r, &err, NULL);
	else
		api_json(r, 200, json_pack("{s:O}", "values", values));
	json_decref(values);
}
