/* Who may do what: the rules that hold, and the evaluator (session language 10, 14.3). */
#include "policy/access.h"

#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "policy/access_read.h"
#include "policy/secret_parts.h"

static struct access_entry creator_entry = {.kind = ACCESS_CREATOR};
static const struct access_rule creator_rule = {.entries = &creator_entry, .count = 1};

static const struct access_rule *written_rule(const struct session *s, enum access_op op)
{
	const struct access_rule *rules[] = {&s->read, &s->update, &s->create_sessions, &s->list_sessions};

	return rules[op];
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

/* --- defaults, for the canonical form --- */

static bool same_entries(const struct access_entry *a, size_t n, const struct access_entry *b, size_t m);

static bool entry_equal(const struct access_entry *a, const struct access_entry *b)
{
	if (a->kind != b->kind || a->need != b->need || !a->text != !b->text ||
		(a->text && strcmp(a->text, b->text)))
		return false;
	return secret_equal(a->key, b->key, KEY_HASH_LEN) &&
	       same_entries(a->entries, a->count, b->entries, b->count);
}

static bool contains(const struct access_entry *list, size_t n, const struct access_entry *e)
{
	for (size_t i = 0; i < n; i++)
		if (entry_equal(&list[i], e))
			return true;
	return false;
}

static bool same_entries(const struct access_entry *a, size_t n, const struct access_entry *b, size_t m)
{
	for (size_t i = 0; i < n; i++)
		if (!contains(b, m, &a[i]))
			return false;
	for (size_t i = 0; i < m; i++)
		if (!contains(a, n, &b[i]))
			return false;
	return true;
}

static bool contains_kind(const struct access_rule *r, enum access_kind kind)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->entries[i].kind == kind)
			return true;
	return false;
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
	same = same_entries(s->list_sessions.entries, s->list_sessions.count, all.entries, all.count);
	free(all.entries);
	return same;
}

bool access_is_default(const struct session *s, enum access_op op, bool *ret_failed)
{
	const struct access_rule *r = written_rule(s, op), *d;

	if (!r->present)
		return true;
	if (op == OP_LIST_SESSIONS)
		return list_is_default(s, ret_failed);
	d = op == OP_CREATE_SESSIONS ? access_rule_of(s, OP_UPDATE) : &creator_rule;
	return same_entries(r->entries, r->count, d->entries, d->count);
}

/* A template may stand for CREATOR. */
static bool names_creator(const struct access_entry *e)
{
	if (e->kind == ACCESS_CREATOR || e->kind == ACCESS_TEMPLATE)
		return true;
	for (size_t i = 0; i < e->count; i++)
		if (names_creator(&e->entries[i]))
			return true;
	return false;
}

bool access_names_creator(const struct session *s)
{
	if (s->access_template)
		return true;
	for (enum access_op op = OP_READ; op <= OP_LIST_SESSIONS; op++) {
		const struct access_rule *r = access_rule_of(s, op);
		for (size_t i = 0; r && i < r->count; i++)
			if (names_creator(&r->entries[i]))
				return true;
	}
	return false;
}

/* --- templates --- */

/* The certificate or public key among the parts of a key or certificate, or an ascii secret's text. */
static bool template_text(const char *template, template_lookup lookup, void *arg, const char **ret_kind,
	const void **ret, size_t *ret_len)
{
	struct template_value v = {0};
	const char *name;
	size_t len;

	if (!lookup || !access_template_name(template, strlen(template), &name, &len) ||
		!lookup(arg, name, len, &v))
		return false;
	*ret_kind = v.kind;
	*ret = v.value;
	*ret_len = v.len;
	if (!strcmp(v.kind, "x509") || !strcmp(v.kind, "x509-ca"))
		return secret_parts_get(v.value, v.len, "crt", ret, ret_len);
	if (!strcmp(v.kind, "public-key"))
		return secret_parts_get(v.value, v.len, "pem", ret, ret_len);
	return !strcmp(v.kind, "ascii") || !strcmp(v.kind, "config-fragment");
}

static bool signer_of_certificate(const void *pem, size_t n, uint8_t ret[32])
{
	enum key_type type;
	X509 *cert = NULL;
	EVP_PKEY *k;
	bool good = false;

	if (x509_from_pem(pem, n, &cert, NULL))
		return false;
	k = X509_get0_pubkey(cert);
	good = k && !key_type_of(k, &type) && (type == KEY_ED25519 || type == KEY_P384) &&
	       !key_hash(k, ret, NULL);
	X509_free(cert);
	return good;
}

bool access_signer_of(const char *template, template_lookup lookup, void *arg, uint8_t ret[32])
{
	const char *kind;
	const void *p;
	size_t n;
	bool is_key;

	if (!template_text(template, lookup, arg, &kind, &p, &n))
		return false;
	if (!strcmp(kind, "x509") || !strcmp(kind, "x509-ca"))
		return signer_of_certificate(p, n, ret);
	return !strcmp(kind, "public-key") && !access_signer_read(p, n, ret, &is_key, NULL);
}

struct ynode *access_fragment(const char *template, template_lookup lookup, void *arg)
{
	struct ynode *root = NULL;
	const char *kind;
	const void *p;
	struct diag d;
	size_t n;

	if (!template_text(template, lookup, arg, &kind, &p, &n) || strcmp(kind, "config-fragment"))
		return NULL;
	diag_init(&d);
	if (yaml_load(p, n, &root, &d))
		root = NULL;
	if (d.errors) {
		ynode_free(root);
		root = NULL;
	}
	diag_free(&d);
	return root;
}

/* What an ACCESS_TEMPLATE stands for. False: nothing that could hold. */
static bool resolve_rule(const struct access_entry *e, enum access_op op, const struct access_facts *f,
	struct access_rule *ret)
{
	struct parse p = {.minor = VERSION_MINOR_MAX};
	struct ynode *root = access_fragment(e->text, f->lookup, f->lookup_arg);
	const char *kind;
	const void *text;
	struct diag d;
	size_t n;
	bool good = false;

	if (root) {
		diag_init(&d);
		p.d = &d;
		access_read_rule(&p, root, op, ret);
		good = !d.errors && ret->count;
		diag_free(&d);
		ynode_free(root);
		return good;
	}
	if (!template_text(e->text, f->lookup, f->lookup_arg, &kind, &text, &n) ||
		!strcmp(kind, "config-fragment"))
		return false;
	ret->entries = calloc(1, sizeof *ret->entries);
	if (!ret->entries)
		return false;
	ret->count = 1;
	return access_read_word(text, n, ret->entries, NULL);
}

/* --- the evaluator --- */

/* Which key made a leaf hold: under one node each counts once. */
struct counted {
	const uint8_t *keys[ACCESS_SIGNERS_MAX + 1];
	size_t key_count;
	uint64_t members;
	size_t others; /* nodes */
};

static bool signed_by(const struct access_facts *f, const uint8_t key[32])
{
	bool found = false;

	for (size_t i = 0; i < f->signer_count; i++)
		found |= secret_equal(f->signers[i], key, KEY_HASH_LEN);
	return found;
}

static bool called_by(const struct access_facts *f, const uint8_t key[32])
{
	return f->caller && secret_equal(f->caller, key, KEY_HASH_LEN);
}

/* A creator that is a signer does not count where signers have no place. */
static bool is_creator(const struct access_facts *f, enum access_op op)
{
	if (!f->creator)
		return false;
	if (!f->creator_signs)
		return called_by(f, f->creator);
	return op != OP_READ && op != OP_LIST_SESSIONS && signed_by(f, f->creator);
}

static bool holds(
	const struct access_entry *e, enum access_op op, const struct access_facts *f, struct counted *up);

static void count_key(struct counted *c, const uint8_t *key)
{
	for (size_t i = 0; i < c->key_count; i++)
		if (!memcmp(c->keys[i], key, KEY_HASH_LEN))
			return;
	if (c->key_count < sizeof c->keys / sizeof *c->keys)
		c->keys[c->key_count++] = key;
}

static bool leaf(bool good, const uint8_t *key, struct counted *up)
{
	if (good && up)
		count_key(up, key);
	return good;
}

static bool node_holds(const struct access_entry *e, enum access_op op, const struct access_facts *f)
{
	struct counted c = {0};
	size_t held = 0;

	for (size_t i = 0; i < e->count; i++)
		held += holds(&e->entries[i], op, f, &c);
	if (e->kind == ACCESS_ALL)
		return e->count && held == e->count;
	return e->need && c.key_count + (size_t)__builtin_popcountll(c.members) + c.others >= e->need;
}

/* The key that held lives in the facts, not in what was resolved. */
static const uint8_t *fact_key(const struct access_facts *f, const uint8_t key[32])
{
	for (size_t i = 0; i < f->signer_count; i++)
		if (!memcmp(f->signers[i], key, KEY_HASH_LEN))
			return f->signers[i];
	return f->caller;
}

static bool template_holds(
	const struct access_entry *e, enum access_op op, const struct access_facts *f, struct counted *up)
{
	struct access_rule r = {0};
	bool good = false;

	/* Inside of a node the template is one entry of it; ANY in its place would make the node's number void. */
	if (resolve_rule(e, op, f, &r) && (!up || (r.count == 1 && r.entries[0].kind != ACCESS_ANY)))
		for (size_t i = 0; i < r.count && !good; i++)
			good = r.entries[i].kind != ACCESS_TEMPLATE && holds(&r.entries[i], op, f, up);
	access_rule_clear(&r);
	return good;
}

static bool holds(
	const struct access_entry *e, enum access_op op, const struct access_facts *f, struct counted *up)
{
	uint8_t key[32];

	switch (e->kind) {
	case ACCESS_ANY:
		return !up;
	case ACCESS_NONE:
		return false;
	case ACCESS_CREATOR:
		return leaf(is_creator(f, op), f->creator, up);
	case ACCESS_KEY:
		return leaf(called_by(f, e->key), f->caller, up);
	case ACCESS_SIGNER:
		return leaf(signed_by(f, e->key), fact_key(f, e->key), up);
	case ACCESS_SIGNER_TEMPLATE:
		return access_signer_of(e->text, f->lookup, f->lookup_arg, key) &&
		       leaf(signed_by(f, key), fact_key(f, key), up);
	case ACCESS_TEMPLATE:
		return template_holds(e, op, f, up);
	case ACCESS_MEMBER:
		if (e->need >= ACCESS_MEMBERS_MAX || !(f->approvals >> e->need & 1))
			return false;
		if (up)
			up->members |= UINT64_C(1) << e->need;
		return true;
	case ACCESS_ALL:
	case ACCESS_AT_LEAST:
		if (!node_holds(e, op, f))
			return false;
		if (up)
			up->others++;
		return true;
	}
	return false;
}

bool access_holds(const struct access_entry *e, enum access_op op, const struct access_facts *f)
{
	return holds(e, op, f, NULL);
}

static bool permits(const struct access_rule *r, enum access_op op, const struct access_facts *f)
{
	for (size_t i = 0; i < r->count; i++)
		if (holds(&r->entries[i], op, f, NULL))
			return true;
	return false;
}

/* --- what a refusal says --- */

struct described {
	size_t keys, signers, several;
	bool none, creator;
	const char *broken; /* a template that does not resolve */
};

static void describe_entry(
	const struct access_entry *e, enum access_op op, const struct access_facts *f, struct described *d)
{
	struct access_rule r = {0};
	uint8_t key[32];

	d->none |= e->kind == ACCESS_NONE;
	d->creator |= e->kind == ACCESS_CREATOR;
	d->keys += e->kind == ACCESS_KEY;
	d->signers += e->kind == ACCESS_SIGNER || e->kind == ACCESS_SIGNER_TEMPLATE;
	d->several += e->kind == ACCESS_ALL || e->kind == ACCESS_AT_LEAST;
	if (e->kind == ACCESS_TEMPLATE) {
		d->keys++;
		if (!resolve_rule(e, op, f, &r))
			d->broken = e->text;
		access_rule_clear(&r);
	}
	if (e->kind == ACCESS_SIGNER_TEMPLATE && !access_signer_of(e->text, f->lookup, f->lookup_arg, key))
		d->broken = e->text;
	for (size_t i = 0; i < e->count; i++) {
		struct described inner = {0};
		describe_entry(&e->entries[i], op, f, &inner);
		if (inner.broken)
			d->broken = inner.broken;
	}
}

static void put_count(struct buf *out, size_t n, const char *what, bool *first)
{
	if (!n)
		return;
	buf_printf(out, "%s%zu %s%s", *first ? "" : " or ", n, what, n == 1 ? "" : "s");
	*first = false;
}

/* What the rule wants, without telling a stranger whose keys they are. */
static void describe(
	const struct access_rule *r, enum access_op op, const struct access_facts *f, struct buf *out)
{
	struct described d = {0};
	bool first = true;

	for (size_t i = 0; i < r->count; i++)
		describe_entry(&r->entries[i], op, f, &d);
	if (d.none)
		buf_puts(out, "NONE");
	if (d.creator)
		buf_puts(out, "CREATOR");
	first = !d.none && !d.creator;
	put_count(out, d.keys, "listed key", &first);
	put_count(out, d.signers, "signer", &first);
	put_count(out, d.several, "rule of several keys, require-…", &first);
	if (d.broken)
		buf_printf(out, " (template %.160s does not resolve and is skipped)", d.broken);
}

static void describe_caller(const struct access_facts *f, struct buf *out)
{
	char key[KEY_HASH_TEXT_MAX];

	if (f->signer_count) {
		buf_printf(out, "the request is signed by %zu key%s", f->signer_count,
			f->signer_count == 1 ? "" : "s");
		for (size_t i = 0; i < f->signer_count && i < 4; i++) {
			key_hash_text(f->signers[i], key);
			buf_printf(out, "%s %s", i ? "," : ":", key);
		}
	} else if (f->caller) {
		key_hash_text(f->caller, key);
		buf_printf(out, "the caller has the key %s", key);
	} else {
		buf_puts(out, "the caller showed no certificate");
	}
}

static int judge(const struct session *s, enum access_op op, const struct access_facts *f, struct error *err)
{
	const struct access_rule *rule = access_rule_of(s, op);
	struct buf wanted, caller;

	buf_init(&wanted, 1024);
	buf_init(&caller, 1024);
	if (rule) {
		if (permits(rule, op, f))
			return 0;
		describe(rule, op, f, &wanted);
	} else { /* the default of list_sessions */
		if (permits(access_rule_of(s, OP_READ), OP_READ, f) ||
			permits(access_rule_of(s, OP_CREATE_SESSIONS), OP_CREATE_SESSIONS, f))
			return 0;
		buf_puts(&wanted, "whoever may read or create_sessions");
	}
	describe_caller(f, &caller);
	error_set(err, ERR_ACCESS, "session %s: access_policy.%s%s permits %s; %s", s->name,
		access_op_name(op), written_rule(s, op)->present ? "" : " (by default)", buf_cstr(&wanted),
		buf_cstr(&caller));
	buf_free(&wanted);
	buf_free(&caller);
	return -1;
}

/* access_policy as a whole is a template: its fragment stands in its place. */
static int judge_fragment(
	const struct session *s, enum access_op op, const struct access_facts *f, struct error *err)
{
	struct ynode *root = access_fragment(s->access_template, f->lookup, f->lookup_arg);
	struct parse p = {.minor = VERSION_MINOR_MAX};
	struct session rules = {.name = s->name};
	struct diag d;
	int rc;

	diag_init(&d);
	p.d = &d;
	if (root)
		access_read_map(&p, root, &rules);
	if (!root || d.errors)
		rc = error_set(err, ERR_ACCESS,
			"session %s: access_policy is the template %.160s, which gives no rules: nothing is "
			"permitted",
			s->name, s->access_template);
	else
		rc = judge(&rules, op, f, err);
	access_rule_clear(&rules.read);
	access_rule_clear(&rules.update);
	access_rule_clear(&rules.create_sessions);
	access_rule_clear(&rules.list_sessions);
	diag_free(&d);
	ynode_free(root);
	return rc;
}

int session_access(
	const struct session *s, enum access_op op, const struct access_facts *f, struct error *err)
{
	return s->access_template ? judge_fragment(s, op, f, err) : judge(s, op, f, err);
}
