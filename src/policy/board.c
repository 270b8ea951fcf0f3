/* What a board decides, and what its members sign (session language 14.3). */
#include "policy/board.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "policy/access_read.h"

bool board_covers(const struct session *s, enum board_action a)
{
	return s->board.present && (s->board.template || s->board.actions >> a & 1);
}

static char *copy(const char *s, bool *failed)
{
	char *c = s ? strdup(s) : NULL;

	*failed |= s && !c;
	return c;
}

static int copy_board(const struct board *from, struct board *to, struct error *err)
{
	bool failed = false;

	*to = *from;
	to->template = NULL;
	to->members = calloc(from->count, sizeof *to->members);
	to->count = 0;
	if (!to->members)
		return error_set(err, ERR_NOMEM, "no memory for a board of %zu members", from->count);
	for (size_t i = 0; i < from->count; i++) {
		struct board_member *m = &to->members[to->count++];

		*m = from->members[i];
		m->name = copy(m->name, &failed);
		m->template = copy(m->template, &failed);
		m->session = copy(m->session, &failed);
		m->service = copy(m->service, &failed);
	}
	return failed ? error_set(err, ERR_NOMEM, "no memory for a board of %zu members", from->count) : 0;
}

static int read_fragment(
	const struct session *s, template_lookup lookup, void *arg, struct board *ret, struct error *err)
{
	struct ynode *root = access_fragment(s->board.template, lookup, arg);
	struct parse p = {.minor = VERSION_MINOR_MAX};
	struct diag d;
	int rc = 0;

	diag_init(&d);
	p.d = &d;
	if (root)
		board_read_block(&p, root, ret);
	if (!root || d.errors)
		rc = error_set(err, ERR_ACCESS,
			"session %s: board is the template %.160s, which gives no board (%s): nothing that a "
			"board may cover is "
			"permitted [E-BOARD]",
			s->name, s->board.template, d.count ? d.entries[0].text : "it does not resolve");
	ret->present = true;
	diag_free(&d);
	ynode_free(root);
	return rc;
}

int board_resolve(
	const struct session *s, template_lookup lookup, void *arg, struct board *ret, struct error *err)
{
	struct board b = {0};
	int rc = s->board.template ? read_fragment(s, lookup, arg, &b, err) : copy_board(&s->board, &b, err);

	if (rc) {
		board_clear(&b);
		return -1;
	}
	for (size_t i = 0; i < b.count; i++) {
		struct board_member *m = &b.members[i];

		if (m->template)
			m->key_known = access_signer_of(m->template, lookup, arg, m->key);
		for (size_t k = 0; k < i && m->key_known; k++)
			if (b.members[k].key_known && !memcmp(b.members[k].key, m->key, sizeof m->key))
				m->key_known = false;
	}
	*ret = b;
	return 0;
}

/* --- what is signed --- */

static void put_hex(struct buf *out, const uint8_t *p, size_t n)
{
	char hex[2 * 32 + 1];

	hex_encode(p, n, hex);
	buf_puts(out, hex);
}

static void put_bound(const struct board_subject *q, struct buf *out)
{
	switch (q->action) {
	case BOARD_UPDATE:
		buf_puts(out, "new ");
		put_hex(out, q->bound, sizeof q->bound);
		break;
	case BOARD_EXPORT:
		buf_printf(out, "to %s ", q->importer);
		put_hex(out, q->bound, sizeof q->bound);
		for (size_t i = 0; i < q->item_count; i++)
			buf_printf(out, " %s", q->items[i]);
		break;
	case BOARD_READ:
		buf_puts(out, "reader ");
		put_hex(out, q->bound, sizeof q->bound);
		break;
	default:
		buf_puts(out, "none");
		break;
	}
}

void board_vote_bytes(const struct board_subject *q, bool approve, struct buf *out)
{
	buf_printf(out, "openscone-vote-v1\naction: %s\nsession: %s\ncurrent: ", board_action_name(q->action),
		q->session);
	put_hex(out, q->current, sizeof q->current);
	buf_puts(out, "\nbound: ");
	put_bound(q, out);
	buf_puts(out, "\nproposal: ");
	put_hex(out, q->id, sizeof q->id);
	buf_printf(out, "\nexpires: %" PRIu64 "\nvote: %s\n", q->expires, approve ? "approve" : "reject");
}

/* --- votes --- */

static struct access_entry *add_node(
	struct access_entry *list, size_t *count, enum access_kind kind, size_t n)
{
	struct access_entry *e = &list[(*count)++];

	e->kind = kind;
	e->entries = n ? calloc(n, sizeof *e->entries) : NULL;
	return n && !e->entries ? NULL : e;
}

static struct access_entry member_leaf(size_t i)
{
	return (struct access_entry){.kind = ACCESS_MEMBER, .need = (uint32_t)i};
}

static int put_votes(const struct board *b, struct access_entry *all)
{
	struct access_entry *e = add_node(all->entries, &all->count, ACCESS_AT_LEAST, b->count);
	size_t vetoes = 0;

	if (!e)
		return -1;
	e->need = b->approvals;
	for (size_t i = 0; i < b->count; i++) {
		e->entries[e->count++] = member_leaf(i);
		vetoes += b->members[i].veto;
	}
	if (!vetoes)
		return 0;
	e = add_node(all->entries, &all->count, ACCESS_ALL, vetoes);
	for (size_t i = 0; e && i < b->count; i++)
		if (b->members[i].veto)
			e->entries[e->count++] = member_leaf(i);
	return e ? 0 : -1;
}

static int copy_entry(const struct access_entry *from, struct access_entry *to)
{
	*to = *from;
	to->entries = from->count ? calloc(from->count, sizeof *to->entries) : NULL;
	to->text = from->text ? strdup(from->text) : NULL;
	to->count = 0;
	if ((from->count && !to->entries) || (from->text && !to->text))
		return -1;
	while (to->count < from->count) {
		size_t i = to->count++;

		if (copy_entry(&from->entries[i], &to->entries[i]))
			return -1;
	}
	return 0;
}

/* A list becomes one of its entries, at least. */
static int put_ask(const struct access_rule *ask, struct access_entry *all)
{
	struct access_entry *e;

	if (ask->count == 1)
		return copy_entry(&ask->entries[0], &all->entries[all->count++]);
	e = add_node(all->entries, &all->count, ACCESS_AT_LEAST, ask->count);
	if (!e)
		return -1;
	e->need = 1;
	while (e->count < ask->count) {
		size_t i = e->count++;

		if (copy_entry(&ask->entries[i], &e->entries[i]))
			return -1;
	}
	return 0;
}

int board_tree(
	const struct board *b, const struct access_rule *ask, struct access_entry *ret, struct error *err)
{
	struct access_entry all = {.kind = ACCESS_ALL, .entries = calloc(3, sizeof *all.entries)};

	if (!all.entries || (ask && put_ask(ask, &all)) || put_votes(b, &all)) {
		access_entry_clear(&all);
		return error_set(
			err, ERR_NOMEM, "no memory for the rule of a board of %zu members", b->count);
	}
	*ret = all;
	return 0;
}

enum board_outcome board_judge(const struct board *b, const enum board_choice *votes)
{
	struct access_facts now = {0}, best = {0};
	enum board_outcome out = OUTCOME_OPEN;
	struct access_entry tree = {0};

	for (size_t i = 0; i < b->count; i++) {
		if (votes[i] == CHOICE_APPROVE)
			now.approvals |= UINT64_C(1) << i;
		if (votes[i] != CHOICE_REJECT)
			best.approvals |= UINT64_C(1) << i;
	}
	if (board_tree(b, NULL, &tree, NULL))
		return OUTCOME_OPEN;
	if (!access_holds(&tree, OP_UPDATE, &best))
		out = OUTCOME_REFUSED;
	else if (access_holds(&tree, OP_UPDATE, &now))
		out = OUTCOME_PASSED;
	access_entry_clear(&tree);
	return out;
}
