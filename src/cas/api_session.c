#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cas/api.h"
#include "cas/http_parse.h"
#include "cas/board.h"
#include "cas/permit.h"
#include "cas/proposal_json.h"
#include "cas/sessions.h"
#include "core/encode.h"
#include "core/log.h"
#include "policy/signature.h"

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

static void upload_answer(struct cas *c, const struct uploaded *u, const struct diag *d, struct http_reply *r)
{
	char hash[HASH_HEX], id[PROPOSAL_ID_HEX + 1];
	json_t *j;

	hex_encode(u->hash, SESSION_HASH_LEN, hash);
	hex_encode(u->proposal, BOARD_ID_LEN, id);
	j = json_pack("{s:s,s:s,s:o}", "name", u->name, "hash", hash, "warnings", api_warnings(d));
	if (u->proposed)
		json_object_set_new(j, "proposal", json_string(id));
	api_json(r, u->proposed ? 202 : u->created ? 201 : 200, j);
}

static void upload(struct cas *c, const struct http_request *q, struct upload u, struct http_reply *r)
{
	struct uploaded done = {0};
	struct error err = {0};
	struct diag d;

	diag_init(&d);
	if (sessions_upload(c->store, &u, &done, &d, &err)) {
		if (d.errors)
			log_document("upload refused", q->key, &d);
		else
			log_refusal("upload", "", q->key, &err);
		api_error(r, &err, &d);
	} else {
		log_change(c,
			done.proposed  ? "update proposed"
			: done.created ? "created"
				       : "updated",
			done.name, q->key);
		log_document("upload", q->key, &d);
		upload_answer(c, &done, &d, r);
		free(done.name);
	}
	diag_free(&d);
}

/* repeat=1: whoever asks does not know whether the same upload, by another connection, was done. */
static int get_repeat(const struct http_request *q, bool *ret, struct error *err)
{
	*ret = !strcmp(q->query, "repeat=1");
	return *ret || !q->query[0]
		       ? 0
		       : error_set(err, ERR_INPUT, "query \"%.64s\": only repeat=1 is known here", q->query);
}

void api_session_upload(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct error err = {0};
	bool repeat;

	if (get_repeat(q, &repeat, &err)) {
		api_error(r, &err, NULL);
		return;
	}
	upload(c, q,
		(struct upload){.audit = c->audit,
			.repeat = repeat,
			.text = q->body,
			.len = q->body_len,
			.who = {.caller = q->key},
			.now = (uint64_t)time(NULL)},
		r);
}

void api_signed_session_upload(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct signed_session s;
	struct error err = {0};
	bool repeat;

	if (get_repeat(q, &repeat, &err)) {
		api_error(r, &err, NULL);
		return;
	}
	if (signed_session_decode(q->body, q->body_len, &s, &err)) {
		log_refusal("signed upload", "", q->key, &err);
		if (err.code == ERR_CRYPTO || err.code == ERR_EXISTS)
			err.code = ERR_INPUT;
		api_error(r, &err, NULL);
		return;
	}
	upload(c, q,
		(struct upload){.audit = c->audit,
			.repeat = repeat,
			.text = s.text,
			.len = s.len,
			.who = {.caller = q->key, .signers = s.signers, .signer_count = s.signer_count},
			.now = (uint64_t)time(NULL)},
		r);
	signed_session_free(&s);
}

static int list_one(void *arg, const char *name, const uint8_t hash[SESSION_HASH_LEN], struct error *err)
{
	char hex[HASH_HEX];

	hex_encode(hash, SESSION_HASH_LEN, hex);
	if (json_array_append_new(arg, json_pack("{s:s,s:s}", "name", name, "hash", hex)))
		return error_set(err, ERR_NOMEM, "out of memory");
	return 0;
}

/* after=NAME; NULL without it. decoded holds HTTP_TARGET_MAX. */
static int get_after(const struct http_request *q, char *decoded, const char **ret, struct error *err)
{
	const char *text;

	*ret = NULL;
	if (http_query_value(q->query, "after", &text, err))
		return -1;
	if (!text)
		return 0;
	if (http_percent_decode(text, strlen(text), decoded, err) || session_name_check(decoded, err))
		return -1;
	*ret = decoded;
	return 0;
}

void api_session_list(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	char decoded[HTTP_TARGET_MAX], *next = NULL;
	json_t *list = json_array();
	struct error err = {0};
	const char *after;

	if (get_after(q, decoded, &after, &err) ||
		sessions_list(c->store, c->audit, &(struct requester){.caller = q->key}, (uint64_t)time(NULL),
			after, &next, list_one, list, &err))
		api_error(r, &err, NULL);
	else
		api_json(r, 200, json_pack("{s:O,s:s*}", "sessions", list, "next", next));
	free(next);
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
	struct board_context x = {.store = c->store, .audit = c->audit, .now = (uint64_t)time(NULL)};
	struct stored_session current;
	int rc = -1;

	stored_session_init(&current);
	if (sessions_load(c->store, name, NULL, &current, err))
		goto out;
	if (permit(c->store, c->audit, &current, OP_READ, &(struct requester){.caller = caller}, x.now,
		    err)) {
		error_wrap(err, "session \"%s\"", name);
	} else if (board_take_read(&x, &current, caller, err)) {
		goto out;
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

/* Does a board decide about it? */
static bool deletion_is_asked(struct cas *c, const char *name)
{
	struct stored_session s;
	bool asked;

	stored_session_init(&s);
	asked = !sessions_load(c->store, name, NULL, &s, NULL) && board_covers(s.doc, BOARD_DELETE);
	stored_session_free(&s);
	return asked;
}

static void ask_deletion(
	struct cas *c, const char *name, const uint8_t key[KEY_HASH_LEN], struct http_reply *r)
{
	struct board_context x = {.store = c->store, .audit = c->audit, .now = (uint64_t)time(NULL)};
	char hash[HASH_HEX], id[PROPOSAL_ID_HEX + 1];
	struct error err = {0};
	struct proposal p;

	if (board_ask(&x, BOARD_DELETE, name, NULL, key, &p, &err)) {
		log_refusal("deletion", name, key, &err);
		api_error(r, &err, NULL);
		return;
	}
	hex_encode(p.subject.current, SESSION_HASH_LEN, hash);
	hex_encode(p.subject.id, BOARD_ID_LEN, id);
	api_json(r, 202, json_pack("{s:s,s:s,s:s}", "name", name, "hash", hash, "proposal", id));
	proposal_free(&p);
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
	if (!err.code && deletion_is_asked(c, name)) {
		ask_deletion(c, name, q->key, r);
		return;
	}
	if (err.code || sessions_delete(c->store, c->audit, name, &(struct requester){.caller = q->key},
				(uint64_t)time(NULL), false, hash, &err)) {
		log_refusal("deletion", name, q->key, &err);
		api_error(r, &err, NULL);
		return;
	}
	log_change(c, "deleted", name, q->key);
	hex_encode(hash, SESSION_HASH_LEN, hex);
	api_json(r, 200, json_pack("{s:s,s:s}", "name", name, "hash", hex));
}
