#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "policy/schema.h"

static const struct key_rule operation_keys[] = {
	{"read", KEY_OK, 0},
	{"update", KEY_OK, 0},
	{"create_sessions", KEY_OK, 5},
	{"list_sessions", KEY_OK, 12},
	{NULL, KEY_OK, 0},
};

static struct access_entry creator_entry = {.kind = ACCESS_CREATOR};
static const struct access_rule creator_rule = {.entries = &creator_entry, .count = 1};

const char *access_op_name(enum access_op op)
{
	return operation_keys[op].name;
}

static const struct access_rule *written_rule(const struct session *s, enum access_op op)
{
	const struct access_rule *rules[] = {&s->read, &s->update, &s->create_sessions, &s->list_sessions};

	return rules[op];
}

/* What stands in the place of a signer or of "N of these"; the first is a map's only key. */
static void refuse_map_entry(struct parse *p, const struct ynode *n, enum access_op op)
{
	const struct ynode *c = n->count ? n->items[0] : NULL;
	bool plain_only = op == OP_READ || op == OP_LIST_SESSIONS;

	if (c && (!strcmp(c->key, "signer") || !strcmp(c->key, "require-all") ||
			 !strncmp(c->key, "require-at-least-", 17))) {
		if (plain_only)
			ynode_diag(
				p->d, n, "E-VALUE", "%.64s has no place in %s", c->key, access_op_name(op));
		else
			unsupported(
				p, c, strcmp(c->key, "signer") ? "rules that require several" : "signers");
		return;
	}
	ynode_diag(p->d, n, "E-VALUE",
		"a map with %s%.64s stands here; a word, a key hash, a certificate, signer, require-all or "
		"require-at-least-N is wanted",
		c ? "the key " : "no key", c ? c->key : "");
}

static bool read_certificate(struct parse *p, const struct ynode *n, struct access_entry *ret)
{
	struct error err;
	X509 *cert = NULL;
	int rc = x509_from_pem(n->text, n->len, &cert, &err);

	if (rc == 0)
		rc = x509_key_hash(cert, ret->key, &err);
	X509_free(cert);
	if (rc)
		ynode_diag(p->d, n, "E-PEM", "not a certificate in PEM: %s", err.text);
	return rc == 0;
}

static bool read_entry(struct parse *p, const struct ynode *n, enum access_op op, struct access_entry *ret)
{
	struct error err;

	if (n->kind == YNODE_MAP) {
		if (!n->bad)
			refuse_map_entry(p, n, op);
		return false;
	}
	if (refuse_template(p, n, "access_policy") || !want_text(p, n, false))
		return false;
	*ret = (struct access_entry){.kind = ACCESS_KEY};
	if (text_is(n, "ANY"))
		ret->kind = ACCESS_ANY;
	else if (text_is(n, "NONE"))
		ret->kind = ACCESS_NONE;
	else if (text_is(n, "CREATOR"))
		ret->kind = ACCESS_CREATOR;
	else if (memmem(n->text, n->len, "-----BEGIN", 10))
		return read_certificate(p, n, ret);
	else if (key_hash_parse(n->text, n->len, ret->key, &err)) {
		ynode_diag(p->d, n, "E-VALUE",
			"%s is none of ANY, NONE, CREATOR, a key hash, a certificate in PEM: %s", show(n).s,
			err.text);
		return false;
	}
	return true;
}

static void add_entry(struct parse *p, const struct ynode *n, enum access_op op, struct access_rule *rule)
{
	struct access_entry entry, *list;
	size_t count = rule->count;

	if (!read_entry(p, n, op, &entry))
		return;
	list = parse_grow(p, rule->entries, &count, sizeof *list);
	if (!list)
		return;
	list[count - 1] = entry;
	rule->entries = list;
	rule->count = count;
}

static void read_rule(struct parse *p, const struct ynode *n, enum access_op op, struct access_rule *rule)
{
	rule->present = true;
	if (n->kind != YNODE_LIST) {
		add_entry(p, n, op, rule);
		return;
	}
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the rule is empty; write NONE to permit nobody");
	for (size_t i = 0; i < n->count; i++)
		add_entry(p, n->items[i], op, rule);
	for (size_t i = 0; i < n->count; i++)
		if (n->count > 1 && (text_is(n->items[i], "ANY") || text_is(n->items[i], "NONE")))
			ynode_diag(p->d, n->items[i], "E-CONFLICT", "%s stands alone or not at all",
				n->items[i]->text);
}

void read_access(struct parse *p, const struct ynode *n)
{
	struct access_rule *rules[] = {
		&p->s->read, &p->s->update, &p->s->create_sessions, &p->s->list_sessions};

	if (!n || refuse_template(p, n, "access_policy") || !want_map(p, n))
		return;
	keys_check(p, n, operation_keys);
	for (enum access_op op = OP_READ; op <= OP_LIST_SESSIONS; op++) {
		const struct ynode *rule = ynode_get(n, access_op_name(op));
		if (rule)
			read_rule(p, rule, op, rules[op]);
	}
}

void access_rule_clear(struct access_rule *r)
{
	free(r->entries);
}

const struct access_rule *access_rule_of(const struct session *s, enum access_op op)
{
	const struct access_rule *r = written_rule(s, op);

	if (r->present)
		return r;
	if (op == OP_CREATE_SESSIONS)
		return access_rule_of(s, OP_UPDATE);
	return op == OP_LIST_SESSIONS ? NULL : &creator_rule;
}

static bool entry_equal(const struct access_entry *a, const struct access_entry *b)
{
	return a->kind == b->kind && (a->kind != ACCESS_KEY || secret_equal(a->key, b->key, KEY_HASH_LEN));
}

static bool contains(const struct access_rule *r, const struct access_entry *e)
{
	for (size_t i = 0; i < r->count; i++)
		if (entry_equal(&r->entries[i], e))
			return true;
	return false;
}

static bool contains_kind(const struct access_rule *r, enum access_kind kind)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->entries[i].kind == kind)
			return true;
	return false;
}

static bool same_entries(const struct access_rule *a, const struct access_rule *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!contains(b, &a->entries[i]))
			return false;
	for (size_t i = 0; i < b->count; i++)
		if (!contains(a, &b->entries[i]))
			return false;
	return true;
}

/* Whoever may read or create may list: the union, in which ANY swallows all and NONE adds nothing. */
static bool list_is_default(const struct session *s, bool *ret_failed)
{
	const struct access_rule *parts[] = {
		access_rule_of(s, OP_READ), access_rule_of(s, OP_CREATE_SESSIONS)};
	struct access_rule all = {
		.entries = calloc(parts[0]->count + parts[1]->count + 1, sizeof *all.entries)};
	bool same;

	if (!all.entries) {
		*ret_failed = true;
		return false;
	}
	if (contains_kind(parts[0], ACCESS_ANY) || contains_kind(parts[1], ACCESS_ANY)) {
		all.entries[all.count++].kind = ACCESS_ANY;
	} else {
		for (size_t k = 0; k < 2; k++)
			for (size_t i = 0; i < parts[k]->count; i++)
				if (parts[k]->entries[i].kind != ACCESS_NONE)
					all.entries[all.count++] = parts[k]->entries[i];
		if (all.count == 0)
			all.entries[all.count++].kind = ACCESS_NONE;
	}
	same = same_entries(&s->list_sessions, &all);
	free(all.entries);
	return same;
}

bool access_is_default(const struct session *s, enum access_op op, bool *ret_failed)
{
	const struct access_rule *r = written_rule(s, op);

	if (!r->present)
		return true;
	if (op == OP_LIST_SESSIONS)
		return list_is_default(s, ret_failed);
	return same_entries(r, op == OP_CREATE_SESSIONS ? access_rule_of(s, OP_UPDATE) : &creator_rule);
}

bool access_names_creator(const struct session *s)
{
	for (enum access_op op = OP_READ; op <= OP_LIST_SESSIONS; op++) {
		const struct access_rule *r = access_rule_of(s, op);
		if (r && contains_kind(r, ACCESS_CREATOR))
			return true;
	}
	return false;
}

static bool permits(const struct access_rule *r, const uint8_t creator[32], const uint8_t *caller)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct access_entry *e = &r->entries[i];
		if (e->kind == ACCESS_ANY)
			return true;
		if (e->kind == ACCESS_CREATOR && caller && secret_equal(creator, caller, KEY_HASH_LEN))
			return true;
		if (e->kind == ACCESS_KEY && caller && secret_equal(e->key, caller, KEY_HASH_LEN))
			return true;
	}
	return false;
}

/* What the rule wants, without telling a stranger whose keys they are. */
static void describe(const struct access_rule *r, struct buf *out)
{
	size_t keys = 0;

	for (size_t i = 0; i < r->count; i++)
		keys += r->entries[i].kind == ACCESS_KEY;
	if (contains_kind(r, ACCESS_NONE))
		buf_puts(out, "NONE");
	if (contains_kind(r, ACCESS_CREATOR))
		buf_printf(out, "CREATOR%s", keys ? " or " : "");
	if (keys)
		buf_printf(out, "%zu listed key%s", keys, keys == 1 ? "" : "s");
}

int session_access(const struct session *s, enum access_op op, const uint8_t creator[32],
	const uint8_t *caller, struct error *err)
{
	const struct access_rule *rule = access_rule_of(s, op);
	char key[KEY_HASH_TEXT_MAX];
	struct buf wanted;

	buf_init(&wanted, 1024);
	if (rule) {
		if (permits(rule, creator, caller))
			return 0;
		describe(rule, &wanted);
	} else { /* the default of list_sessions */
		const struct access_rule *read = access_rule_of(s, OP_READ),
					 *create = access_rule_of(s, OP_CREATE_SESSIONS);
		if (permits(read, creator, caller) || permits(create, creator, caller))
			return 0;
		buf_puts(&wanted, "whoever may read or create_sessions");
	}
	if (caller)
		key_hash_text(caller, key);
	error_set(err, ERR_ACCESS, "session %s: access_policy.%s%s permits %s; the caller %s%s", s->name,
		access_op_name(op), written_rule(s, op)->present ? "" : " (by default)", buf_cstr(&wanted),
		caller ? "has the key " : "showed no certificate", caller ? key : "");
	buf_free(&wanted);
	return -1;
}
