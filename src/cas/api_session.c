#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cas/api.h"
#include "cas/http_parse.h"
#include "cas/permit.h"
#include "cas/sessions.h"
#include "core/encode.h"
#include "core/log.h"

#define HASH_HEX (2 * SESSION_HASH_LEN + 1)

static void log_change(
	const struct cas *c, const char *what, const char *name, const uint8_t key[KEY_HASH_LEN])
{
	char who[KEY_HASH_TEXT_MAX];

	key_hash_text(key, who);
	log_info("session \"%s\" %s by %s, generation %llu", name, what, who,
		(unsigned long long)sealed_store_generation(c->store));
}

static void log_refusal(
	const char *what, const char *name, const uint8_t key[KEY_HASH_LEN], const struct error *err)
{
	char who[KEY_HASH_TEXT_MAX];

	key_hash_text(key, who);
	log_info("%s%s%s refused to %s: %s: %.300s", what, name[0] ? " of session " : "", name, who,
		error_code_name(err->code), err->text);
}

/* Texts about a document quote it, and it may hold secrets: what is wrong with it is for the caller only. */
static void log_document(const char *what, const uint8_t key[KEY_HASH_LEN], const struct diag *d)
{
	char who[KEY_HASH_TEXT_MAX];

	key_hash_text(key, who);
	for (size_t i = 0; i < d->count; i++)
		log_info("%s by %s: %s at line %d, column %d", what, who, d->entries[i].name,
			d->entries[i].line, d->entries[i].column);
}

void api_session_upload(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct upload u = {.audit = c->audit,
		.text = q->body,
		.len = q->body_len,
		.who = {.caller = q->key},
		.now = (uint64_t)time(NULL)};
	struct uploaded done = {0};
	struct error err = {0};
	char hex[HASH_HEX];
	struct diag d;

	diag_init(&d);
	if (sessions_upload(c->store, &u, &done, &d, &err)) {
		if (d.errors)
			log_document("upload refused", q->key, &d);
		else
			log_refusal("upload", "", q->key, &err);
		api_error(r, &err, &d);
	} else {
		hex_encode(done.hash, SESSION_HASH_LEN, hex);
		log_change(c, done.created ? "created" : "updated", done.name, q->key);
		log_document("upload", q->key, &d);
		api_json(r, done.created ? 201 : 200,
			json_pack("{s:s,s:s,s:o}", "name", done.name, "hash", hex, "warnings",
				api_warnings(&d)));
		free(done.name);
	}
	diag_free(&d);
}

static int list_one(void *arg, const char *name, const uint8_t hash[SESSION_HASH_LEN], struct error *err)
{
	char hex[HASH_HEX];

	hex_encode(hash, SESSION_HASH_LEN, hex);
	if (json_array_append_new(arg, json_pack("{s:s,s:s}", "name", name, "hash", hex)))
		return error_set(err, ERR_NOMEM, "out of memory");
	return 0;
}

void api_session_list(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	json_t *list = json_array();
	struct error err = {0};

	if (q->query[0]) {
		error_set(&err, ERR_INPUT, "query \"%.64s\": this call has none", q->query);
		api_error(r, &err, NULL);
	} else if (sessions_list(c->store, c->audit, &(struct requester){.caller = q->key},
			   (uint64_t)time(NULL), list_one, list, &err)) {
		api_error(r, &err, NULL);
	} else {
		api_json(r, 200, json_pack("{s:O}", "sessions", list));
	}
	json_decref(list);
}

/* NAME of the path; name holds HTTP_TARGET_MAX. */
static int get_name(const struct http_request *q, char *name, struct error *err)
{
	const char *text = q->path + strlen(API_SESSIONS "/");

	if (http_percent_decode(text, strlen(text), name, err))
		return -1;
	return session_name_check(name, err);
}

static int get_hash(
	const struct http_request *q, uint8_t ret[SESSION_HASH_LEN], bool *ret_given, struct error *err)
{
	const char *text;

	if (http_query_value(q->query, "hash", &text, err))
		return -1;
	*ret_given = text;
	if (text && hex_decode(text, strlen(text), ret, SESSION_HASH_LEN))
		return error_set(
			err, ERR_INPUT, "hash=%.80s is not %d hex digits", text, 2 * SESSION_HASH_LEN);
	return 0;
}

static json_t *session_json(const char *name, const struct stored_session *s)
{
	char hash[HASH_HEX], predecessor[HASH_HEX], creator[KEY_HASH_TEXT_MAX];

	hex_encode(s->hash, SESSION_HASH_LEN, hash);
	hex_encode(s->predecessor, SESSION_HASH_LEN, predecessor);
	key_hash_text(s->creator, creator);
	return json_pack("{s:s,s:s,s:o,s:s,s:o}", "name", name, "hash", hash, "predecessor",
		s->has_predecessor ? json_string(predecessor) : json_null(), "creator", creator, "session",
		json_stringn((const char *)s->text.data, s->text.len));
}

/* The current version's rule decides, also about older ones. */
static int load_readable(struct cas *c, const char *name, const uint8_t *hash, const uint8_t *caller,
	struct stored_session *ret, struct error *err)
{
	struct stored_session current;
	int rc = -1;

	stored_session_init(&current);
	if (sessions_load(c->store, name, NULL, &current, err))
		goto out;
	if (permit(c->store, c->audit, &current, OP_READ, &(struct requester){.caller = caller},
		    (uint64_t)time(NULL), err)) {
		error_wrap(err, "session \"%s\"", name);
	} else if (hash && memcmp(hash, current.hash, SESSION_HASH_LEN)) {
		rc = sessions_load(c->store, name, hash, ret, err);
	} else {
		*ret = current;
		return 0;
	}
out:
	stored_session_free(&current);
	return rc;
}

void api_session_read(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	uint8_t hash[SESSION_HASH_LEN];
	char name[HTTP_TARGET_MAX];
	struct stored_session s;
	struct error err = {0};
	bool given = false;

	stored_session_init(&s);
	if (get_name(q, name, &err) || get_hash(q, hash, &given, &err) ||
		load_readable(c, name, given ? hash : NULL, q->key, &s, &err))
		api_error(r, &err, NULL);
	else
		api_json(r, 200, session_json(name, &s));
	stored_session_free(&s);
}

void api_session_delete(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	uint8_t hash[SESSION_HASH_LEN];
	char name[HTTP_TARGET_MAX], hex[HASH_HEX];
	struct error err = {0};

	if (get_name(q, name, &err)) {
		api_error(r, &err, NULL);
		return;
	}
	if (q->query[0])
		error_set(&err, ERR_INPUT, "query \"%.64s\": this call has none", q->query);
	if (err.code || sessions_delete(c->store, c->audit, name, &(struct requester){.caller = q->key},
				(uint64_t)time(NULL), hash, &err)) {
		log_refusal("deletion", name, q->key, &err);
		api_error(r, &err, NULL);
		return;
	}
	log_change(c, "deleted", name, q->key);
	hex_encode(hash, SESSION_HASH_LEN, hex);
	api_json(r, 200, json_pack("{s:s,s:s}", "name", name, "hash", hex));
}
