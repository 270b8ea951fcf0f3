/* access_policy and board in the canonical form. Templates are as written. */
#include <string.h>
#include "policy/access_read.h"
#include "policy/canonical_put.h"

static void put_entries(struct buf *b, const struct access_entry *list, size_t n);

static void put_entry(struct buf *b, const struct access_entry *e)
{
	static const char *const words[] = {"ANY", "NONE", "CREATOR"};
	char key[32];

	canonical_comma(b);
	switch (e->kind) {
	case ACCESS_ANY:
	case ACCESS_NONE:
	case ACCESS_CREATOR:
		canonical_string(b, words[e->kind], strlen(words[e->kind]));
		return;
	case ACCESS_KEY:
		canonical_hex(b, e->key, sizeof e->key);
		return;
	case ACCESS_TEMPLATE:
		canonical_string(b, e->text, strlen(e->text));
		return;
	default:
		break;
	}
	buf_putc(b, '{');
	if (e->kind == ACCESS_SIGNER) {
		canonical_key(b, "signer");
		canonical_hex(b, e->key, sizeof e->key);
	} else if (e->kind == ACCESS_SIGNER_TEMPLATE) {
		canonical_text(b, "signer", e->text);
	} else {
		snprintf(key, sizeof key, e->kind == ACCESS_ALL ? "require-all" : "require-at-least-%u",
			e->need);
		canonical_key(b, key);
		put_entries(b, e->entries, e->count);
	}
	buf_putc(b, '}');
}

static void put_entries(struct buf *b, const struct access_entry *list, size_t n)
{
	buf_putc(b, '[');
	for (size_t i = 0; i < n; i++)
		put_entry(b, &list[i]);
	buf_putc(b, ']');
}

int canonical_access(struct buf *b, const struct session *s)
{
	static const enum access_op sorted[] = {OP_CREATE_SESSIONS, OP_LIST_SESSIONS, OP_READ, OP_UPDATE};
	bool open = false, failed = false;

	if (s->access_template) {
		canonical_text(b, "access_policy", s->access_template);
		return 0;
	}
	for (size_t i = 0; i < 4; i++) {
		const struct access_rule *r = access_rule_of(s, sorted[i]);

		if (access_is_default(s, sorted[i], &failed))
			continue;
		if (!open) {
			canonical_key(b, "access_policy");
			buf_putc(b, '{');
			open = true;
		}
		canonical_key(b, access_op_name(sorted[i]));
		put_entries(b, r->entries, r->count);
	}
	if (open)
		buf_putc(b, '}');
	return failed ? -1 : 0;
}

static void put_member(struct buf *b, const struct board_member *m)
{
	canonical_comma(b);
	buf_putc(b, '{');
	if (m->template) {
		canonical_text(b, "key", m->template);
	} else if (m->is_key) {
		canonical_key(b, "key");
		canonical_hex(b, m->key, sizeof m->key);
	}
	canonical_text(b, "name", m->name);
	if (!m->is_key) {
		canonical_key(b, "program");
		buf_putc(b, '{');
		canonical_text(b, "service", m->service);
		canonical_text(b, "session", m->session);
		if (m->has_hash) {
			canonical_key(b, "session_hash");
			canonical_hex(b, m->hash, sizeof m->hash);
		}
		buf_putc(b, '}');
	}
	if (m->veto) {
		canonical_key(b, "veto");
		buf_puts(b, "true");
	}
	buf_putc(b, '}');
}

static void put_actions(struct buf *b, uint32_t actions)
{
	canonical_key(b, "actions");
	buf_putc(b, '[');
	for (enum board_action a = 0; a < BOARD_ACTIONS; a++) {
		if (!(actions & 1u << a))
			continue;
		canonical_comma(b);
		canonical_string(b, board_action_name(a), strlen(board_action_name(a)));
	}
	buf_putc(b, ']');
}

void canonical_board(struct buf *b, const struct board *board)
{
	if (!board->present)
		return;
	if (board->template) {
		canonical_text(b, "board", board->template);
		return;
	}
	canonical_key(b, "board");
	buf_putc(b, '{');
	if (board->actions != (1u << BOARD_UPDATE | 1u << BOARD_DELETE))
		put_actions(b, board->actions);
	canonical_key(b, "approvals");
	buf_printf(b, "%u", board->approvals);
	if (board->expires != BOARD_EXPIRES_DEFAULT) {
		canonical_key(b, "expires");
		buf_printf(b, "%llu", (unsigned long long)board->expires);
	}
	canonical_key(b, "members");
	buf_putc(b, '[');
	for (size_t i = 0; i < board->count; i++)
		put_member(b, &board->members[i]);
	buf_puts(b, "]}");
}
