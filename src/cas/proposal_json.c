#include "cas/proposal_json.h"

#include <string.h>
#include "cas/board_part.h"
#include "cas/permit.h"
#include "core/encode.h"
#include "policy/canonical.h"
#include "policy/text_diff.h"

#define HASH_HEX (2 * SESSION_HASH_LEN + 1)
#define CANONICAL_MAX (4 * SESSION_TEXT_MAX)

static json_t *hex(const uint8_t *p, size_t n)
{
	char text[HASH_HEX];

	hex_encode(p, n, text);
	return json_string(text);
}

static json_t *key_name(const uint8_t key[KEY_HASH_LEN])
{
	char text[KEY_HASH_TEXT_MAX];

	key_hash_text(key, text);
	return json_string(text);
}

static json_t *seconds(uint64_t t)
{
	return t ? json_integer((json_int_t)t) : json_null();
}

static json_t *text_of(const struct buf *b)
{
	return json_stringn((const char *)b->data, b->len);
}

static const char *choice_name(enum board_choice c)
{
	return c == CHOICE_APPROVE ? "approve" : "reject";
}

/* --- what it is about --- */

static void put_subject(json_t *j, const struct proposal *p)
{
	const struct board_subject *q = &p->subject;
	json_t *items;

	switch (q->action) {
	case BOARD_UPDATE:
		json_object_set_new(j, "new", hex(q->bound, sizeof(q->bound)));
		break;
	case BOARD_EXPORT:
		items = json_array();
		for (size_t i = 0; i < q->item_count; i++)
			json_array_append_new(items, json_string(q->items[i]));
		json_object_set_new(j, "importer", json_string(q->importer));
		json_object_set_new(j, "importer_hash", hex(q->bound, sizeof(q->bound)));
		json_object_set_new(j, "items", items);
		break;
	case BOARD_READ:
		json_object_set_new(j, "reader", key_name(q->bound));
		break;
	default:
		break;
	}
}

static json_t *votes_json(const struct proposal *p)
{
	static const char *const how[] = {"", "signature", "upload", "program"};
	json_t *list = json_array();

	for (size_t i = 0; i < p->vote_count; i++) {
		const struct proposal_vote *v = &p->votes[i];
		json_t *j = json_pack("{s:s,s:s,s:s,s:o}", "member", v->member, "choice",
			choice_name(v->choice), "how", how[v->how], "time", seconds(v->time));

		if (v->how == VOTE_PROGRAM)
			json_object_set_new(j, "measurement", hex(v->key, sizeof(v->key)));
		else
			json_object_set_new(j, "key", key_name(v->key));
		if (v->how == VOTE_SIGNED) {
			json_object_set_new(j, "signer", json_string(v->signer));
			json_object_set_new(j, "signature", json_string(v->signature));
		}
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *signers_json(const struct proposal *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->signer_count; i++)
		json_array_append_new(list, key_name(p->signers[i]));
	return list;
}

/* --- who decides --- */

static json_t *member_json(const struct board_member *m, enum board_choice choice)
{
	json_t *j = json_pack("{s:s,s:s,s:b,s:o}", "name", m->name, "kind", m->is_key ? "key" : "program",
		"veto", m->veto, "vote",
		choice == CHOICE_NONE ? json_null() : json_string(choice_name(choice)));

	if (!m->is_key)
		json_object_set_new(j, "program", json_sprintf("%s/%s", m->session, m->service));
	else
		json_object_set_new(j, "key", m->key_known ? key_name(m->key) : json_null());
	return j;
}

static void put_board(
	json_t *j, const struct board_context *x, const struct proposal *p, const struct stored_session *s)
{
	enum board_choice votes[ACCESS_MEMBERS_MAX];
	json_t *list = json_array();
	struct board b = {0};
	size_t have = 0;

	if (!permit_board(x->store, x->audit, s, x->now, &b, NULL)) {
		board_votes_of(&b, p, votes);
		for (size_t i = 0; i < b.count; i++) {
			have += votes[i] == CHOICE_APPROVE;
			json_array_append_new(list, member_json(&b.members[i], votes[i]));
		}
		json_object_set_new(j, "approvals",
			json_pack("{s:i,s:i}", "needed", (int)b.approvals, "have", (int)have));
	}
	json_object_set_new(j, "members", list);
	board_clear(&b);
}

/* --- the documents --- */

struct diff {
	json_t *list;
	size_t added, removed;
};

static int put_line(void *arg, char op, const char *line, size_t n)
{
	struct diff *d = arg;
	const char text[2] = {op, '\0'};

	d->added += op == '+';
	d->removed += op == '-';
	return json_array_append_new(d->list, json_pack("{s:s,s:s%}", "op", text, "text", line, n)) ? -1 : 0;
}

static void put_diff(json_t *j, const struct buf *before, const struct buf *after)
{
	struct diff d = {.list = json_array()};

	if (text_diff((const char *)before->data, before->len, (const char *)after->data, after->len,
		    put_line, &d, NULL)) {
		json_decref(d.list);
		return;
	}
	json_object_set_new(j, "diff", d.list);
	json_object_set_new(j, "lines_added", json_integer((json_int_t)d.added));
	json_object_set_new(j, "lines_removed", json_integer((json_int_t)d.removed));
}

/* The canonical form of what is proposed: over it and a domain string the new hash is made. */
static json_t *canonical_json(const struct proposal *p)
{
	struct session *doc = NULL;
	json_t *text = NULL;
	struct diag d;
	struct buf b;

	diag_init(&d);
	buf_init_secret(&b, CANONICAL_MAX);
	if (!session_parse((const char *)p->text.data, p->text.len, &doc, &d)) {
		doc->creator_signs = p->creator_signs;
		if (!session_canonical(doc, p->creator, &b, NULL))
			text = text_of(&b);
		session_free(doc);
	}
	buf_free(&b);
	diag_free(&d);
	return text ? text : json_null();
}

static json_t *version_json(
	const uint8_t hash[SESSION_HASH_LEN], const uint8_t creator[32], bool signs, const struct buf *text)
{
	return json_pack("{s:o,s:o,s:b,s:o}", "hash", hex(hash, SESSION_HASH_LEN), "creator",
		key_name(creator), "creator_signs", signs, "text", text_of(text));
}

static void put_documents(
	json_t *j, const struct board_context *x, const struct proposal *p, enum board_sight sight)
{
	struct stored_session before;
	json_t *after = version_json(p->subject.bound, p->creator, p->creator_signs, &p->text);

	if (after)
		json_object_set_new(after, "canonical", canonical_json(p));
	json_object_set_new(j, "after", after);
	if (sight != SIGHT_ALL)
		return;
	stored_session_init(&before);
	if (!sessions_load(x->store, p->subject.session, p->subject.current, &before, NULL)) {
		json_object_set_new(j, "before",
			version_json(before.hash, before.creator, before.creator_signs, &before.text));
		put_diff(j, &before.text, &p->text);
	}
	stored_session_free(&before);
}

static void put_sign(json_t *j, const struct proposal *p)
{
	json_t *sign = json_object();

	for (int approve = 0; approve < 2; approve++) {
		struct buf b;

		buf_init(&b, 1024 * 1024);
		board_vote_bytes(&p->subject, approve, &b);
		json_object_set_new(sign, approve ? "approve" : "reject", text_of(&b));
		buf_free(&b);
	}
	json_object_set_new(j, "sign", sign);
}

json_t *proposal_json(const struct board_context *x, const struct proposal *p, enum board_sight sight)
{
	static const char *const sights[] = {"", "state", "own", "all"};
	json_t *j = json_pack("{s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "id",
		hex(p->subject.id, BOARD_ID_LEN), "session", p->subject.session, "action",
		board_action_name(p->subject.action), "state", proposal_state_name(p->state), "created",
		seconds(p->created), "expires", seconds(p->subject.expires), "ended", seconds(p->ended),
		"current", hex(p->subject.current, SESSION_HASH_LEN), "asked_by", key_name(p->asker),
		"signed_by", signers_json(p), "votes", votes_json(p), "sight", sights[sight]);
	struct stored_session s;

	if (!j)
		return NULL;
	put_subject(j, p);
	stored_session_init(&s);
	/* Of a session that has changed since, the board may be another. */
	if (!sessions_load(x->store, p->subject.session, NULL, &s, NULL) &&
		!memcmp(s.hash, p->subject.current, SESSION_HASH_LEN))
		put_board(j, x, p, &s);
	stored_session_free(&s);
	if (sight >= SIGHT_OWN && p->subject.action == BOARD_UPDATE)
		put_documents(j, x, p, sight);
	if (sight == SIGHT_ALL)
		put_sign(j, p);
	return j;
}
