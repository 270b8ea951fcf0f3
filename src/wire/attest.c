#include "wire/attest.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "wire/message.h"

#define REPORT_LEN 64
#define PATH_LIMIT 4095 /* as measure.h */
#define CODE_LIMIT 32

void attest_report_data(const uint8_t nonce[ATTEST_NONCE_LEN], const uint8_t client_key[32],
	const uint8_t cas_key[32], uint8_t ret[64])
{
	static const char label[] = "openscone-attest-v1"; /* its NUL is hashed too */
	uint8_t in[sizeof(label) + ATTEST_NONCE_LEN + 32 + 32];

	memcpy(in, label, sizeof(label));
	memcpy(in + sizeof(label), nonce, ATTEST_NONCE_LEN);
	memcpy(in + sizeof(label) + ATTEST_NONCE_LEN, client_key, 32);
	memcpy(in + sizeof(label) + ATTEST_NONCE_LEN + 32, cas_key, 32);
	sha256(in, sizeof(in), ret);
	memset(ret + SHA256_LEN, 0, REPORT_LEN - SHA256_LEN);
}

void attest_access_proof(const void *token, size_t n, enum access_side side, const uint8_t report_data[64],
	uint8_t ret[ACCESS_PROOF_LEN])
{
	static const char label[] = "openscone-access-v1"; /* its NUL is hashed too */
	uint8_t in[sizeof(label) + 1 + REPORT_LEN];

	memcpy(in, label, sizeof(label));
	in[sizeof(label)] = (uint8_t)side;
	memcpy(in + sizeof(label) + 1, report_data, REPORT_LEN);
	hmac_sha256(token, n, in, sizeof(in), ret);
}

static json_t *entry_json(const struct code_entry *e)
{
	json_t *o = message_new();

	if (message_put(o, "role", json_integer((json_int_t)e->role)) &&
		message_put(o, "path", json_string(e->path)) &&
		message_put(o, "digest", message_new_hex(e->digest, sizeof(e->digest))))
		return o;
	json_decref(o);
	return NULL;
}

static json_t *manifest_json(const struct manifest *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->count; i++) {
		if (json_array_append_new(list, entry_json(&m->entries[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int las_challenge_encode(const uint8_t challenge[LAS_CHALLENGE_LEN], struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "challenge", message_new_hex(challenge, LAS_CHALLENGE_LEN))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "LAS challenge", out, err);
}

static json_t *wish_json(const struct platform_wish *w)
{
	json_t *o = message_new();

	if (message_put(o, "cas", message_new_hex(w->cas, sizeof(w->cas))) &&
		message_put(o, "nonce", message_new_hex(w->nonce, sizeof(w->nonce))) &&
		message_put(o, "fresh", json_boolean(w->fresh)))
		return o;
	json_decref(o);
	return NULL;
}

int las_request_encode(const uint8_t challenge[LAS_CHALLENGE_LEN], const uint8_t report_data[64],
	const struct manifest *m, const struct platform_wish *wish, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "op", json_string("evidence")) ||
		!message_put(o, "challenge", message_new_hex(challenge, LAS_CHALLENGE_LEN)) ||
		!message_put(o, "report_data", message_new_hex(report_data, REPORT_LEN)) ||
		!message_put(o, "manifest", manifest_json(m)) ||
		(wish && !message_put(o, "platform", wish_json(wish)))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "LAS request", out, err);
}

static int entry_decode(const json_t *o, struct manifest *to, struct error *err)
{
	static const char where[] = "code entry of LAS request";
	static const char *const keys[] = {"role", "path", "digest", NULL};
	uint8_t digest[SHA256_LEN];
	const char *path;
	uint32_t role;

	if (message_keys(o, where, keys, err) < 0 ||
		message_number(o, where, "role", CODE_PROGRAM, CODE_EXECUTABLE, &role, err) < 0 ||
		message_text(o, where, "path", PATH_LIMIT, &path, err) < 0 ||
		message_hex(o, where, "digest", digest, sizeof(digest), err) < 0)
		return -1;
	if (path[0] != '/')
		return error_set(err, ERR_INPUT, "\"path\" of %s is not absolute", where);
	return manifest_add(to, (enum code_role)role, path, digest, err);
}

static int wish_decode(const json_t *o, struct platform_wish *ret, struct error *err)
{
	static const char where[] = "platform of LAS request";
	static const char *const keys[] = {"cas", "nonce", "fresh", NULL};
	const json_t *fresh = json_object_get(o, "fresh");

	if (message_keys(o, where, keys, err) < 0 ||
		message_hex(o, where, "cas", ret->cas, sizeof(ret->cas), err) < 0 ||
		message_hex(o, where, "nonce", ret->nonce, sizeof(ret->nonce), err) < 0)
		return -1;
	if (!json_is_boolean(fresh))
		return error_set(err, ERR_INPUT, "\"fresh\" of %s is not true or false", where);
	ret->fresh = json_is_true(fresh);
	return 0;
}

int las_request_decode(const void *p, size_t n, uint8_t ret_challenge[LAS_CHALLENGE_LEN],
	uint8_t ret_report_data[64], struct manifest *ret, struct platform_wish *ret_wish, struct error *err)
{
	static const char where[] = "LAS request";
	static const char *const keys[] = {"op", "challenge", "report_data", "manifest", "platform", NULL};
	uint8_t challenge[LAS_CHALLENGE_LEN], report_data[REPORT_LEN];
	struct platform_wish wish = {.fresh = false};
	struct manifest m;
	const json_t *list;
	const char *op;
	json_t *o;
	int rc = -1;

	if (n > LAS_FRAME_MAX)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes, at most %d", where, n, LAS_FRAME_MAX);
	if (message_parse(p, n, where, &o, err) < 0)
		return -1;
	manifest_init(&m);
	if (message_keys(o, where, keys, err) < 0 || message_text(o, where, "op", CODE_LIMIT, &op, err) < 0 ||
		message_hex(o, where, "challenge", challenge, sizeof(challenge), err) < 0 ||
		message_hex(o, where, "report_data", report_data, sizeof(report_data), err) < 0 ||
		message_list(o, where, "manifest", MANIFEST_MAX, &list, err) < 0 ||
		(json_object_get(o, "platform") &&
			wish_decode(json_object_get(o, "platform"), &wish, err) < 0))
		goto out;
	if (strcmp(op, "evidence") != 0) {
		error_set(err, ERR_INPUT, "\"op\" of %s is not \"evidence\"", where);
		goto out;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (entry_decode(json_array_get(list, i), &m, err) < 0)
			goto out;
	}
	manifest_sort(&m);
	memcpy(ret_challenge, challenge, sizeof(challenge));
	memcpy(ret_report_data, report_data, sizeof(report_data));
	if (ret_wish)
		*ret_wish = wish;
	*ret = m;
	rc = 0;
out:
	if (rc < 0)
		manifest_free(&m);
	json_decref(o);
	return rc;
}

int las_answer_encode(const void *evidence, size_t n, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "evidence", message_new_bytes(evidence, n))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "LAS answer", out, err);
}

int las_answer_encode_error(const struct error *e, struct buf *out)
{
	json_t *o = message_new(), *inner = message_new();

	/* a text that was cut or quotes odd bytes must not keep the code from arriving */
	if (!message_put(inner, "code", json_string(error_code_name(e->code))) ||
		(!message_put(inner, "text", json_string(e->text)) &&
			!message_put(inner, "text", json_string("no text in UTF-8")))) {
		json_decref(inner);
		inner = NULL;
	}
	if (!message_put(o, "error", inner)) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "LAS answer", out, NULL);
}

/* {"code":"...","text":"..."} from LAS as *err. */
static int answer_error(const json_t *o, struct error *err)
{
	static const char where[] = "error of LAS answer";
	static const char *const keys[] = {"code", "text", NULL};
	char shown[ERROR_TEXT_MAX];
	const char *code, *text;
	enum err_code c;

	if (message_keys(o, where, keys, err) < 0 ||
		message_text(o, where, "code", CODE_LIMIT, &code, err) < 0 ||
		message_text(o, where, "text", ERROR_TEXT_MAX, &text, err) < 0)
		return -1;
	if (error_code_parse(code, &c) < 0)
		c = ERR_PEER;
	message_printable(text, shown, sizeof(shown));
	return error_set(err, c, "%s", *shown ? shown : "refused without a reason");
}

/* One frame of LAS as an object with only `key`, for the caller to read and free; -1 also if it is an error, which is then *err. */
static int frame_decode(
	const void *p, size_t n, const char *where, const char *key, json_t **ret, struct error *err)
{
	static const char *const error_keys[] = {"error", NULL};
	const char *const keys[] = {key, NULL};
	const json_t *inner;
	json_t *o;
	int rc;

	if (n > LAS_FRAME_MAX)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes, at most %d", where, n, LAS_FRAME_MAX);
	if (message_parse(p, n, where, &o, err) < 0)
		return -1;
	inner = json_object_get(o, "error");
	if (inner)
		rc = message_keys(o, where, error_keys, err) < 0 ? -1 : answer_error(inner, err);
	else
		rc = message_keys(o, where, keys, err);
	if (rc < 0)
		json_decref(o);
	else
		*ret = o;
	return rc;
}

int las_challenge_decode(const void *p, size_t n, uint8_t ret[LAS_CHALLENGE_LEN], struct error *err)
{
	static const char where[] = "LAS challenge";
	json_t *o;
	int rc;

	if (frame_decode(p, n, where, "challenge", &o, err) < 0)
		return -1;
	rc = message_hex(o, where, "challenge", ret, LAS_CHALLENGE_LEN, err);
	json_decref(o);
	return rc;
}

int las_answer_decode(const void *p, size_t n, struct buf *ret_evidence, struct error *err)
{
	static const char where[] = "LAS answer";
	json_t *o;
	int rc;

	if (frame_decode(p, n, where, "evidence", &o, err) < 0)
		return -1;
	rc = message_bytes(o, where, "evidence", ret_evidence, err);
	json_decref(o);
	return rc;
}

int attest_request_encode(const struct attest_request *r, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "config_id", json_string(r->config_id)) ||
		!message_put(o, "nonce", message_new_hex(r->nonce, sizeof(r->nonce))) ||
		!message_put(o, "evidence", message_new_bytes(r->evidence.data, r->evidence.len)) ||
		(r->has_access_proof && !message_put(o, "access_proof",
						message_new_hex(r->access_proof, ACCESS_PROOF_LEN)))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "attest request", out, err);
}

int attest_request_decode(const void *p, size_t n, struct attest_request *ret, struct error *err)
{
	static const char where[] = "attest request";
	static const char *const keys[] = {"config_id", "nonce", "evidence", "access_proof", NULL};
	struct attest_request r = {0};
	json_t *o;
	int rc = -1;

	if (n > ATTEST_REQUEST_MAX)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes, at most %d", where, n, ATTEST_REQUEST_MAX);
	if (message_parse(p, n, where, &o, err) < 0)
		return -1;
	buf_init(&r.evidence, ATTEST_REQUEST_MAX);
	r.has_access_proof = json_object_get(o, "access_proof") != NULL;
	if (message_keys(o, where, keys, err) == 0 &&
		message_text_copy(o, where, "config_id", CONFIG_ID_MAX, &r.config_id, err) == 0 &&
		message_hex(o, where, "nonce", r.nonce, sizeof(r.nonce), err) == 0 &&
		message_bytes(o, where, "evidence", &r.evidence, err) == 0 &&
		(!r.has_access_proof ||
			message_hex(o, where, "access_proof", r.access_proof, ACCESS_PROOF_LEN, err) == 0)) {
		*ret = r;
		rc = 0;
	}
	if (rc < 0)
		attest_request_free(&r);
	json_decref(o);
	return rc;
}

void attest_request_free(struct attest_request *r)
{
	/* config_id may end in a one-time password */
	if (r->config_id)
		secret_wipe(r->config_id, strlen(r->config_id));
	free(r->config_id);
	r->config_id = NULL;
	buf_free(&r->evidence);
}
