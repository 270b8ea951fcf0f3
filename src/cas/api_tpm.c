/* /v1/tpm: machines with a TPM: pinned, enrolled, listed, removed. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cas/api.h"
#include "cas/clock.h"
#include "cas/enrol.h"
#include "cas/http_parse.h"
#include "core/encode.h"
#include "core/log.h"
#include "wire/message.h"

static int start(struct cas *c, const struct http_request *q, struct enrol_caller *ret, struct error *err)
{
	*ret = (struct enrol_caller){.key = q->key,
		.cas_key = c->identity->hash,
		.audit = c->audit,
		.now = (uint64_t)time(NULL),
		.monotonic = clock_seconds()};
	return enrol_refresh(c->enrol, err);
}

static void refuse(const struct http_request *q, struct http_reply *r, const struct error *err)
{
	log_warn("%s %s: refused: %s", q->method, q->path, err->text);
	api_error(r, err, NULL);
}

static json_t *pcrs_json(const struct enrolled *m)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < TPM_ENROL_PCRS; i++) {
		char name[8], hex[65] = "";

		if (!(m->pcrs & 1u << i))
			continue;
		if (m->active)
			hex_encode(m->pcr[i], sizeof(m->pcr[i]), hex);
		(void)snprintf(name, sizeof(name), "%zu", i);
		json_object_set_new(o, name, m->active ? json_string(hex) : json_null());
	}
	return o;
}

static json_t *machine_json(const struct enrolled *m)
{
	char ek[KEY_HASH_TEXT_MAX], ak[KEY_HASH_TEXT_MAX] = "", by[KEY_HASH_TEXT_MAX], hex[65] = "";

	key_hash_text(m->ek, ek);
	key_hash_text(m->by, by);
	if (m->active) {
		key_hash_text(m->ak, ak);
		hex_encode(m->ak, sizeof(m->ak), hex);
	}
	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:s,s:I}", "name", m->name, "ek", ek, "trust",
		m->because == ENROL_CERTIFIED ? "certificate" : "pinned", "ak",
		m->active ? json_string(ak) : json_null(), "platform",
		m->active ? json_string(hex) : json_null(), "pcrs", pcrs_json(m), "by", by, "at",
		(json_int_t)m->at);
}

void api_tpm_list(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	const struct enrolled *m;
	struct enrol_caller who;
	struct error err = {0};
	json_t *list;
	size_t n;

	if (!trust_is_operator(trust_options(c->trust), q->key)) {
		error_set(&err, ERR_ACCESS, "machines are for operators (--operator)");
		refuse(q, r, &err);
		return;
	}
	if (start(c, q, &who, &err)) {
		refuse(q, r, &err);
		return;
	}
	list = json_array();
	m = enrol_list(c->enrol, &n);
	for (size_t i = 0; list && i < n; i++)
		json_array_append_new(list, machine_json(&m[i]));
	api_json(r, 200, json_pack("{s:o}", "machines", list));
}

static int pin(struct cas *c, const struct http_request *q, struct http_reply *r, struct error *err)
{
	static const char where[] = "pin";
	static const char *const keys[] = {"name", "ek", "pcrs", NULL};
	const char *name, *text;
	struct enrol_caller who;
	uint8_t ek[KEY_HASH_LEN];
	uint32_t pcrs;
	json_t *o;
	int rc;

	if (message_parse(q->body, q->body_len, where, &o, err))
		return -1;
	rc = message_keys(o, where, keys, err) ||
			     message_text(o, where, "name", TPM_ENROL_NAME_MAX, &name, err) ||
			     message_text(o, where, "ek", KEY_HASH_TEXT_MAX, &text, err) ||
			     key_hash_parse(text, strlen(text), ek, err) ||
			     message_number(o, where, "pcrs", 0, (1u << TPM_ENROL_PCRS) - 1, &pcrs, err) ||
			     start(c, q, &who, err) || enrol_pin(c->enrol, &who, name, ek, pcrs, err)
		     ? -1
		     : 0;
	if (!rc)
		api_json(r, 201, json_pack("{s:s,s:s}", "name", name, "ek", text));
	json_decref(o);
	return rc;
}

void api_tpm_pin(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct error err = {0};

	if (pin(c, q, r, &err))
		refuse(q, r, &err);
}

void api_tpm_remove(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	const char *text = q->path + strlen(API_TPM_MACHINES "/");
	char name[HTTP_TARGET_MAX];
	struct enrol_caller who;
	struct error err = {0};

	if (http_percent_decode(text, strlen(text), name, &err) || start(c, q, &who, &err) ||
		enrol_remove(c->enrol, &who, name, &err))
		refuse(q, r, &err);
	else
		api_json(r, 200, json_pack("{s:s}", "name", name));
}

void api_tpm_enrol(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct tpm_enrol_request in;
	struct tpm_enrol_challenge out;
	struct enrol_caller who;
	struct error err = {0};

	tpm_enrol_request_init(&in);
	tpm_enrol_challenge_init(&out);
	if (tpm_enrol_request_decode(q->body, q->body_len, &in, &err) || start(c, q, &who, &err) ||
		enrol_begin(c->enrol, &who, &in, &out, &err) ||
		tpm_enrol_challenge_encode(&out, &r->body, &err))
		refuse(q, r, &err);
	else
		r->status = 200;
	tpm_enrol_request_free(&in);
	tpm_enrol_challenge_free(&out);
}

void api_tpm_activate(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct tpm_enrol_proof in;
	struct enrol_caller who;
	struct error err = {0};
	struct enrolled m;

	tpm_enrol_proof_init(&in);
	if (tpm_enrol_proof_decode(q->body, q->body_len, &in, &err) || start(c, q, &who, &err) ||
		enrol_finish(c->enrol, &who, &in, &m, &err))
		refuse(q, r, &err);
	else
		api_json(r, 201, machine_json(&m));
	tpm_enrol_proof_free(&in);
}
