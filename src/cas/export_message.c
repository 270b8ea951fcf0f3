#include "cas/export_message.h"

#include <stdlib.h>
#include <string.h>
#include "policy/name.h"
#include "wire/message.h"

void export_request_free(struct export_request *q)
{
	free(q->session);
	free(q->secret);
	free(q->importer);
	*q = (struct export_request){0};
}

int export_request_encode(const struct export_request *q, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "session", json_string(q->session)) ||
		!message_put(o, "secret", json_string(q->secret)) ||
		!message_put(o, "session_hash",
			q->has_hash ? message_new_hex(q->hash, sizeof(q->hash)) : json_null()) ||
		!message_put(o, "importer", json_string(q->importer)) ||
		!message_put(
			o, "importer_hash", message_new_hex(q->importer_hash, sizeof(q->importer_hash)))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "export request", out, err);
}

static int decode_request(const json_t *o, struct export_request *q, struct error *err)
{
	static const char where[] = "export request";
	static const char *const keys[] = {
		"session", "secret", "session_hash", "importer", "importer_hash", NULL};

	if (message_keys(o, where, keys, err) ||
		message_text_copy(o, where, "session", NAME_TOTAL_MAX, &q->session, err) ||
		message_text_copy(o, where, "secret", NAME_SEGMENT_MAX, &q->secret, err) ||
		message_text_copy(o, where, "importer", NAME_TOTAL_MAX, &q->importer, err) ||
		message_hex(o, where, "importer_hash", q->importer_hash, sizeof(q->importer_hash), err))
		return -1;
	q->has_hash = !json_is_null(json_object_get(o, "session_hash"));
	if (q->has_hash && message_hex(o, where, "session_hash", q->hash, sizeof(q->hash), err))
		return -1;
	return session_name_check(q->session, err) || session_name_check(q->importer, err) ? -1 : 0;
}

int export_request_decode(const void *p, size_t n, struct export_request *ret, struct error *err)
{
	struct export_request q = {0};
	json_t *o;
	int rc;

	if (message_parse(p, n, "export request", &o, err))
		return -1;
	rc = decode_request(o, &q, err);
	json_decref(o);
	if (rc)
		export_request_free(&q);
	else
		*ret = q;
	return rc;
}

int export_answer_encode(enum secret_kind kind, const struct buf *value, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "kind", json_string(secret_kind_name(kind))) ||
		!message_put(o, "value", message_new_bytes(value->data, value->len))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "export answer", out, err);
}

/* A token is of the start that gets it: it is not shared. */
static int kind_of(const char *word, enum secret_kind *ret, struct error *err)
{
	for (int k = SECRET_ASCII; k < SECRET_JWT; k++) {
		if (strcmp(word, secret_kind_name((enum secret_kind)k)) != 0)
			continue;
		*ret = (enum secret_kind)k;
		return 0;
	}
	return error_set(err, ERR_PEER, "\"kind\" of export answer is none that is shared");
}

int export_answer_decode(
	const void *p, size_t n, enum secret_kind *ret_kind, struct buf *value, struct error *err)
{
	static const char where[] = "export answer";
	static const char *const keys[] = {"kind", "value", NULL};
	const char *kind;
	json_t *o;
	int rc = -1;

	if (message_parse(p, n, where, &o, err))
		return -1;
	if (!message_keys(o, where, keys, err) && !message_text(o, where, "kind", 32, &kind, err) &&
		!kind_of(kind, ret_kind, err))
		rc = message_bytes(o, where, "value", value, err);
	json_decref(o);
	return rc;
}
