#include "cli/proposal_check.h"

#include <string.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "policy/session.h"

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static int get_hex(const json_t *j, const char *key, uint8_t ret[32], struct error *err)
{
	const char *s = text(j, key);

	if (hex_decode(s, strlen(s), ret, 32))
		return error_set(
			err, ERR_INPUT, "the proposal's %s is \"%.80s\", 64 hex digits are wanted", key, s);
	return 0;
}

static int get_items(const json_t *j, struct proposal_view *v, struct error *err)
{
	const json_t *list = json_object_get(j, "items");

	if (json_array_size(list) < 1 || json_array_size(list) > BOARD_ITEMS_MAX)
		return error_set(err, ERR_INPUT, "the proposal exports %zu items", json_array_size(list));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || !*s || strpbrk(s, " \n\r\t"))
			return error_set(err, ERR_INPUT, "item %zu of the proposal is malformed", i + 1);
		v->items[i] = (char *)s;
	}
	v->subject.items = v->items;
	v->subject.item_count = json_array_size(list);
	return 0;
}

static int check_document(const json_t *after, const struct board_subject *q, struct error *err)
{
	const json_t *doc = json_object_get(after, "text");
	const char *key = text(after, "creator");
	uint8_t creator[32], hash[32];
	struct session *s = NULL;
	struct diag d;
	int rc = 0;

	if (!json_is_string(doc) || key_hash_parse(key, strlen(key), creator, NULL))
		return error_set(err, ERR_INPUT,
			"the proposal has no document with its creator: only members see it, ask as one "
			"(--key)");
	diag_init(&d);
	if (session_parse(json_string_value(doc), json_string_length(doc), &s, &d)) {
		rc = error_set(err, ERR_CONFLICT, "the document proposed is refused here: %s",
			d.count ? d.entries[0].text : "");
	} else {
		s->creator_signs = json_is_true(json_object_get(after, "creator_signs"));
		rc = session_hash(s, creator, hash, err);
	}
	if (!rc && memcmp(hash, q->bound, 32))
		rc = error_set(err, ERR_CONFLICT,
			"the document that is shown has not the hash that is proposed: nothing is signed");
	if (!rc && (strcmp(s->name, q->session) != 0 || !s->has_predecessor ||
			   memcmp(s->predecessor, q->current, 32)))
		rc = error_set(err, ERR_CONFLICT,
			"the document is for another session or version than the proposal: nothing is "
			"signed");
	session_free(s);
	diag_free(&d);
	return rc;
}

int proposal_check(const json_t *j, struct proposal_view *ret, struct error *err)
{
	struct board_subject *q = &ret->subject;
	const json_t *expires = json_object_get(j, "expires");
	const char *reader = text(j, "reader");

	memset(ret, 0, sizeof(*ret));
	q->session = text(j, "session");
	if (session_name_check(q->session, err) || get_hex(j, "current", q->current, err) ||
		get_hex(j, "id", q->id, err))
		return -1;
	if (board_action_parse(text(j, "action"), &q->action) || !json_is_integer(expires) ||
		json_integer_value(expires) < 1)
		return error_set(err, ERR_INPUT, "the proposal has no known action, or no expiry");
	q->expires = (uint64_t)json_integer_value(expires);
	switch (q->action) {
	case BOARD_UPDATE:
		return get_hex(j, "new", q->bound, err) || check_document(json_object_get(j, "after"), q, err)
			       ? -1
			       : 0;
	case BOARD_EXPORT:
		q->importer = text(j, "importer");
		return session_name_check(q->importer, err) || get_hex(j, "importer_hash", q->bound, err) ||
				       get_items(j, ret, err)
			       ? -1
			       : 0;
	case BOARD_READ:
		return key_hash_parse(reader, strlen(reader), q->bound, err);
	default:
		return 0;
	}
}
