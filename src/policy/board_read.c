/* The block board, and the fragment that its template stands for (session language 14.3). */
#include <stdlib.h>
#include <string.h>
#include "policy/access_read.h"

static const struct key_rule board_keys[] = {
	{"members", KEY_OK, 0},
	{"approvals", KEY_OK, 0},
	{"expires", KEY_OK, 0},
	{"actions", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static const struct key_rule member_keys[] = {
	{"name", KEY_OK, 0},
	{"key", KEY_OK, 0},
	{"program", KEY_OK, 0},
	{"veto", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static const struct key_rule program_keys[] = {
	{"session", KEY_OK, 0},
	{"service", KEY_OK, 0},
	{"session_hash", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static const char *const action_words[] = {"update", "delete", "export", "read", NULL};

const char *board_action_name(enum board_action a)
{
	return action_words[a];
}

int board_action_parse(const char *name, enum board_action *ret)
{
	for (int i = 0; action_words[i]; i++)
		if (!strcmp(name, action_words[i])) {
			*ret = (enum board_action)i;
			return 0;
		}
	return -1;
}

static void member_clear(struct board_member *m)
{
	free(m->name);
	free(m->template);
	free(m->session);
	free(m->service);
}

void board_clear(struct board *b)
{
	for (size_t i = 0; i < b->count; i++)
		member_clear(&b->members[i]);
	free(b->members);
	free(b->template);
	memset(b, 0, sizeof *b);
}

static char *session_name(struct parse *p, const struct ynode *n, const char *text, size_t len)
{
	if (!p->s && len && text[0] == '.') {
		ynode_diag(p->d, n, "E-VALUE", "%s: in a fragment a session's name is absolute", show(n).s);
		return NULL;
	}
	return reference_name(p, n, text, len);
}

static void read_program_map(struct parse *p, const struct ynode *n, struct board_member *m)
{
	const struct ynode *session = want_key(p, n, "session"), *service = want_key(p, n, "service"),
			   *hash = ynode_get(n, "session_hash");

	keys_check(p, n, program_keys);
	if (session && want_text(p, session, false))
		m->session = session_name(p, session, session->text, session->len);
	if (service && want_segment(p, service))
		m->service = parse_strdup(p, service->text, service->len);
	if (hash)
		m->has_hash = want_hex(p, hash, m->hash, sizeof m->hash);
}

static void read_program(struct parse *p, const struct ynode *n, struct board_member *m)
{
	const char *slash;
	struct error err;

	if (n->kind == YNODE_MAP) {
		read_program_map(p, n, m);
		return;
	}
	if (!want_text(p, n, false))
		return;
	slash = strrchr(n->text, '/');
	if (!slash || slash == n->text || name_segment_check(slash + 1, strlen(slash + 1), &err)) {
		ynode_diag(p->d, n, "E-VALUE",
			"%s is no program; SESSION/SERVICE is, or a map of session and service", show(n).s);
		return;
	}
	m->session = session_name(p, n, n->text, (size_t)(slash - n->text));
	m->service = parse_strdup(p, slash + 1, strlen(slash + 1));
}

static void read_member(struct parse *p, const struct ynode *n, struct board_member *m)
{
	const struct ynode *name, *key = ynode_get(n, "key"), *program = ynode_get(n, "program"),
				  *veto = ynode_get(n, "veto");

	keys_check(p, n, member_keys);
	name = want_key(p, n, "name");
	if (name && want_segment(p, name))
		m->name = parse_strdup(p, name->text, name->len);
	if (veto)
		want_bool(p, veto, &m->veto);
	if (key && program)
		ynode_diag(p->d, n, "E-CONFLICT", "a member has a key or is a program, not both");
	else if (!key && !program)
		ynode_diag(p->d, n, "E-MISSING", "a member needs its key or its program");
	m->is_key = key != NULL;
	if (program)
		read_program(p, program, m);
	if (!key)
		return;
	if (key->kind == YNODE_SCALAR && access_read_template(p, key, &m->template))
		access_warn_kind(p, key, m->template, true);
	else if (want_text(p, key, false))
		m->key_known = access_read_signer(p, key, m->key);
}

static bool same_text(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static void check_twice(struct parse *p, const struct ynode *list, const struct board *b)
{
	const struct board_member *m = &b->members[b->count - 1];
	const struct ynode *n = list->items[list->count > b->count - 1 ? b->count - 1 : 0];

	for (size_t i = 0; i + 1 < b->count; i++) {
		const struct board_member *o = &b->members[i];
		const char *what = NULL;

		if (same_text(m->name, o->name))
			what = "name";
		else if ((m->key_known && o->key_known && !memcmp(m->key, o->key, sizeof m->key)) ||
			 same_text(m->template, o->template))
			what = "key";
		else if (same_text(m->session, o->session) && same_text(m->service, o->service))
			what = "program";
		if (what)
			ynode_diag(p->d, n, "E-DUP", "the %s of member %zu is used for member %zu, too", what,
				i + 1, b->count);
	}
}

static void read_members(struct parse *p, const struct ynode *n, struct board *b)
{
	if (!n || !want_list(p, n))
		return;
	if (n->count < 1 || n->count > ACCESS_MEMBERS_MAX) {
		ynode_diag(p->d, n, "E-RANGE", "%zu members; 1 to %d are possible", n->count,
			ACCESS_MEMBERS_MAX);
		return;
	}
	b->members = calloc(n->count, sizeof *b->members);
	if (!b->members) {
		parse_nomem(p);
		return;
	}
	for (size_t i = 0; i < n->count; i++) {
		b->count++;
		if (!want_map(p, n->items[i]))
			continue;
		read_member(p, n->items[i], &b->members[i]);
		check_twice(p, n, b);
	}
}

static void read_actions(struct parse *p, const struct ynode *n, struct board *b)
{
	b->actions = 1u << BOARD_UPDATE | 1u << BOARD_DELETE;
	if (!n || !want_list(p, n))
		return;
	b->actions = 0;
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list is empty; without a board there is no block at all");
	for (size_t i = 0; i < n->count; i++) {
		int a = want_word(p, n->items[i], action_words);

		if (a >= 0)
			b->actions |= 1u << a;
	}
}

static void read_expires(struct parse *p, const struct ynode *n, struct board *b)
{
	b->expires = BOARD_EXPIRES_DEFAULT;
	if (n && want_duration(p, n, &b->expires) &&
		(b->expires < BOARD_EXPIRES_MIN || b->expires > BOARD_EXPIRES_MAX))
		ynode_diag(p->d, n, "E-RANGE", "%s is not from 1 minute to 1 year", show(n).s);
}

void board_read_block(struct parse *p, const struct ynode *n, struct board *b)
{
	const struct ynode *approvals;

	if (!want_map(p, n))
		return;
	keys_check(p, n, board_keys);
	read_members(p, want_key(p, n, "members"), b);
	approvals = want_key(p, n, "approvals");
	if (approvals && b->count)
		want_uint(p, approvals, 1, (uint32_t)b->count, &b->approvals);
	read_expires(p, ynode_get(n, "expires"), b);
	read_actions(p, ynode_get(n, "actions"), b);
}

/* What locks people out once members are lost. */
static void warn_board(struct parse *p, const struct ynode *n, const struct board *b)
{
	if (b->count > 1 && b->approvals == b->count)
		ynode_diag(p->d, n, "W-BOARD",
			"approvals is the number of members: when one is lost, nobody can change the session "
			"again");
	for (size_t i = 0; i < b->count; i++) {
		const struct board_member *m = &b->members[i];

		if (m->veto && !m->is_key)
			ynode_diag(p->d, n, "W-BOARD",
				"member %s is a program with a veto: without it nobody can change the "
				"session again",
				m->name);
		if (same_text(m->session, p->s->name))
			ynode_diag(p->d, n, "W-BOARD",
				"member %s is a program of this very session: each update changes what votes "
				"on the next",
				m->name);
	}
}

void read_board(struct parse *p, const struct ynode *n)
{
	struct board *b = &p->s->board;
	size_t errors = p->d->errors;

	if (!n)
		return;
	b->present = true;
	if (access_read_template(p, n, &b->template)) {
		return;
	}
	board_read_block(p, n, b);
	if (p->d->errors > errors)
		return;
	warn_board(p, n, b);
	for (size_t i = 0; i < p->s->secret_count && b->actions & 1u << BOARD_EXPORT; i++)
		if (p->s->secrets[i].export_public)
			ynode_diag(p->d, n, "E-CONFLICT",
				"secret %s has export_public: everybody reads it, whatever a board with the "
				"action export decides",
				p->s->secrets[i].name);
}
