/* The block access_policy, and the fragments that its templates stand for (session language 10). */
#include <stdlib.h>
#include <string.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "policy/access_read.h"

#define AT_LEAST "require-at-least-"

static const struct key_rule operation_keys[] = {
	{"read", KEY_OK, 0},
	{"update", KEY_OK, 0},
	{"create_sessions", KEY_OK, 5},
	{"list_sessions", KEY_OK, 12},
	{NULL, KEY_OK, 0},
};

const char *access_op_name(enum access_op op)
{
	return operation_keys[op].name;
}

void access_entry_clear(struct access_entry *e)
{
	for (size_t i = 0; i < e->count; i++)
		access_entry_clear(&e->entries[i]);
	free(e->entries);
	free(e->text);
}

void access_rule_clear(struct access_rule *r)
{
	for (size_t i = 0; i < r->count; i++)
		access_entry_clear(&r->entries[i]);
	free(r->entries);
}

bool access_template_name(const char *text, size_t n, const char **ret, size_t *ret_len)
{
	size_t prefix = n > 9 && !memcmp(text, "$$SCONE::", 9)	     ? 9
			: n > 11 && !memcmp(text, "$$SCONECAS:", 11) ? 11
								     : 0;

	if (!prefix || n < prefix + 3 || memcmp(text + n - 2, "$$", 2))
		return false;
	for (size_t i = prefix; i < n - 2; i++)
		if (strchr(":|$", text[i]) || (unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return false;
	*ret = text + prefix;
	*ret_len = n - 2 - prefix;
	return true;
}

static bool holds_template(const struct ynode *n)
{
	return memmem(n->text, n->len, "$$SCONE::", 9) || memmem(n->text, n->len, "$$SCONECAS:", 11);
}

bool access_read_template(struct parse *p, const struct ynode *n, char **ret)
{
	const char *name;
	size_t len;

	if (n->kind != YNODE_SCALAR || n->bad || !holds_template(n))
		return false;
	if (!p->s || !access_template_name(n->text, n->len, &name, &len)) {
		ynode_diag(p->d, n, "E-TEMPLATE",
			"%s: one template without a suffix is all that may stand here%s", show(n).s,
			p->s ? "" : ", and none in a fragment");
		return true;
	}
	feature_since(p, n, "a template here", 10);
	check_config_templates(p, n, n->text, n->len);
	*ret = parse_strdup(p, n->text, n->len);
	return true;
}

int access_signer_read(const char *pem, size_t n, uint8_t ret[32], bool *ret_kind, struct error *err)
{
	enum key_type type;
	EVP_PKEY *k = NULL;
	int rc = key_public_from_pem(pem, n, &k, err);

	*ret_kind = !rc;
	if (!rc && (key_type_of(k, &type) || (type != KEY_ED25519 && type != KEY_P384)))
		rc = error_set(err, ERR_INPUT,
			"a key of type %s with %d bits signs nothing here, Ed25519 and P-384 do",
			EVP_PKEY_get0_type_name(k), EVP_PKEY_get_bits(k));
	if (!rc)
		rc = key_hash(k, ret, err);
	EVP_PKEY_free(k);
	return rc;
}

/* The raw key in an old text form. */
static bool old_signer(const struct ynode *n, uint8_t ret[32])
{
	uint8_t raw[32];
	EVP_PKEY *k = NULL;
	bool good = !key_base58_parse(n->text, n->len, KEY_BASE58_ED25519, raw, NULL) &&
		    !key_ed25519_from_raw(raw, &k, NULL) && !key_hash(k, ret, NULL);

	EVP_PKEY_free(k);
	return good;
}

bool access_read_signer(struct parse *p, const struct ynode *n, uint8_t ret[32])
{
	struct error err;
	bool kind;

	if (old_signer(n, ret)) {
		ynode_diag(p->d, n, "W-DEPRECATED",
			"a key in the old text form; its SubjectPublicKeyInfo in PEM is wanted");
		return true;
	}
	if (!access_signer_read(n->text, n->len, ret, &kind, &err))
		return true;
	ynode_diag(p->d, n, kind ? "E-KIND" : "E-PEM", "%s%s",
		kind ? "" : "not a public key in PEM: ", err.text);
	return false;
}

/* Could the secret of this template be what is wanted? What is known to be something else never counts. */
void access_warn_kind(struct parse *p, const struct ynode *n, const char *template, bool signer)
{
	const struct secret_spec *s;
	const char *name;
	size_t len;

	if (!p->s || !template || !access_template_name(template, strlen(template), &name, &len))
		return;
	s = find_secret(p, name, len);
	if (!s || (s->imported && !s->kind_known))
		return;
	if (signer ? s->kind == SECRET_ASCII || s->kind == SECRET_BINARY || s->kind == SECRET_PRIVATE_KEY
		   : s->kind == SECRET_BINARY || s->kind == SECRET_PRIVATE_KEY ||
				s->kind == SECRET_PUBLIC_KEY)
		ynode_diag(p->d, n, "E-KIND", "secret %s of kind %s gives no %s", s->name,
			secret_kind_name(s->kind),
			signer ? "signer: a public-key or x509 does"
			       : "CREATOR, key hash or certificate: an ascii or x509 does");
}

static bool read_signer_entry(struct parse *p, const struct ynode *n, struct access_entry *ret)
{
	feature_since(p, n, "a signer", 10);
	if (n->kind == YNODE_SCALAR && access_read_template(p, n, &ret->text)) {
		ret->kind = ACCESS_SIGNER_TEMPLATE;
		access_warn_kind(p, n, ret->text, true);
		return ret->text != NULL;
	}
	ret->kind = ACCESS_SIGNER;
	return want_text(p, n, false) && access_read_signer(p, n, ret->key);
}

/* N of "require-at-least-N", 0 if there is none. */
static uint32_t at_least(const char *key)
{
	const char *digits = key + strlen(AT_LEAST);
	size_t n = strlen(digits);

	if (!n || n > 6 || strspn(digits, "0123456789") != n)
		return 0;
	return (uint32_t)strtoul(digits, NULL, 10);
}

static bool read_list(struct parse *p, const struct ynode *n, enum access_op op, bool nested,
	struct access_entry **ret, size_t *ret_count);

static bool read_several(struct parse *p, const struct ynode *n, enum access_op op, struct access_entry *ret)
{
	if (!want_list(p, n))
		return false;
	if (!strcmp(n->key, "require-all")) {
		ret->kind = ACCESS_ALL;
	} else {
		ret->kind = ACCESS_AT_LEAST;
		ret->need = at_least(n->key);
		if (ret->need < 1 || ret->need > n->count)
			ynode_diag_key(p->d, n, "E-RANGE",
				"%.64s of %zu entries: N is from 1 to their number", n->key, n->count);
	}
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list is empty");
	return read_list(p, n, op, true, &ret->entries, &ret->count);
}

/* A map's only key. */
static bool read_map_entry(
	struct parse *p, const struct ynode *n, enum access_op op, struct access_entry *ret)
{
	const struct ynode *c = n->count == 1 ? n->items[0] : NULL;
	bool signer = c && !strcmp(c->key, "signer");
	bool several = c && (!strcmp(c->key, "require-all") || !strncmp(c->key, AT_LEAST, strlen(AT_LEAST)));

	if (n->bad)
		return false;
	if (!signer && !several) {
		ynode_diag(p->d, n, "E-VALUE",
			"a map with %zu keys%s%.64s stands here; a word, a key hash, a certificate, signer, "
			"require-all "
			"or require-at-least-N is wanted",
			n->count, c ? ", " : "", c ? c->key : "");
		return false;
	}
	if (op == OP_READ || op == OP_LIST_SESSIONS) {
		ynode_diag(p->d, n, "E-VALUE", "%.64s has no place in %s", c->key, access_op_name(op));
		return false;
	}
	return signer ? read_signer_entry(p, c, ret) : read_several(p, c, op, ret);
}

bool access_read_word(const char *text, size_t n, struct access_entry *ret, struct error *err)
{
	X509 *cert = NULL;
	int rc;

	ret->kind = ACCESS_KEY;
	if (n == 7 && !memcmp(text, "CREATOR", 7)) {
		ret->kind = ACCESS_CREATOR;
		return true;
	}
	if (!memmem(text, n, "-----BEGIN", 10))
		return !key_hash_parse(text, n, ret->key, err);
	rc = x509_from_pem(text, n, &cert, err);
	if (!rc)
		rc = x509_key_hash(cert, ret->key, err);
	X509_free(cert);
	return !rc;
}

static bool read_entry(struct parse *p, const struct ynode *n, enum access_op op, struct access_entry *ret)
{
	struct error err = {0};

	if (n->kind == YNODE_MAP)
		return read_map_entry(p, n, op, ret);
	if (access_read_template(p, n, &ret->text)) {
		ret->kind = ACCESS_TEMPLATE;
		access_warn_kind(p, n, ret->text, false);
		return ret->text != NULL;
	}
	if (!want_text(p, n, false))
		return false;
	if (text_is(n, "ANY") || text_is(n, "NONE")) {
		ret->kind = text_is(n, "ANY") ? ACCESS_ANY : ACCESS_NONE;
		return true;
	}
	if (access_read_word(n->text, n->len, ret, &err))
		return true;
	if (memmem(n->text, n->len, "-----BEGIN", 10))
		ynode_diag(p->d, n, "E-PEM", "not a certificate in PEM: %s", err.text);
	else
		ynode_diag(p->d, n, "E-VALUE",
			"%s is none of ANY, NONE, CREATOR, a key hash, a certificate in PEM: %s", show(n).s,
			err.text);
	return false;
}

static void add_entry(
	struct parse *p, const struct ynode *n, enum access_op op, struct access_entry **list, size_t *count)
{
	struct access_entry entry = {0}, *grown;
	size_t more = *count;

	if (!read_entry(p, n, op, &entry) || !(grown = parse_grow(p, *list, &more, sizeof *grown))) {
		access_entry_clear(&entry);
		return;
	}
	grown[more - 1] = entry;
	*list = grown;
	*count = more;
}

static bool read_list(struct parse *p, const struct ynode *n, enum access_op op, bool nested,
	struct access_entry **ret, size_t *ret_count)
{
	for (size_t i = 0; i < n->count; i++)
		add_entry(p, n->items[i], op, ret, ret_count);
	for (size_t i = 0; i < n->count; i++)
		if ((nested || n->count > 1) && (text_is(n->items[i], "ANY") || text_is(n->items[i], "NONE")))
			ynode_diag(p->d, n->items[i], "E-CONFLICT", "%s stands alone or not at all",
				n->items[i]->text);
	return true;
}

/* Whatever the keys are: with one certificate, or with every signature there could be, does it hold? */
static bool could_hold(const struct access_entry *e, const struct access_entry *with, bool signed_request)
{
	size_t held = 0;
	bool same = false; /* the one certificate counts once */

	switch (e->kind) {
	case ACCESS_ANY:
	case ACCESS_CREATOR:
	case ACCESS_TEMPLATE:
		return true;
	case ACCESS_KEY:
		return !signed_request && (!with || !memcmp(e->key, with->key, 32));
	case ACCESS_SIGNER:
	case ACCESS_SIGNER_TEMPLATE:
		return signed_request;
	case ACCESS_ALL:
	case ACCESS_AT_LEAST:
		break;
	default:
		return false;
	}
	for (size_t i = 0; i < e->count; i++) {
		bool one = could_hold(&e->entries[i], with, signed_request);
		bool leaf = e->entries[i].kind < ACCESS_ALL;

		if (e->kind == ACCESS_ALL && !one)
			return false;
		if (!one || (leaf && !signed_request && same))
			continue;
		same |= leaf;
		held++;
	}
	return e->kind == ACCESS_ALL || held >= e->need;
}

static bool could_hold_with_any(const struct access_entry *e, const struct access_entry *keys)
{
	if (keys->kind == ACCESS_KEY && could_hold(e, keys, false))
		return true;
	for (size_t i = 0; i < keys->count; i++)
		if (could_hold_with_any(e, &keys->entries[i]))
			return true;
	return false;
}

static void warn_never(struct parse *p, const struct ynode *n, const struct access_rule *r)
{
	static const struct access_entry no_key = {.kind = ACCESS_KEY};

	for (size_t i = 0; i < r->count; i++)
		if (r->entries[i].kind < ACCESS_ALL || could_hold(&r->entries[i], NULL, true) ||
			could_hold(&r->entries[i], &no_key, false) ||
			could_hold_with_any(&r->entries[i], &r->entries[i]))
			return;
	if (r->count)
		ynode_diag(p->d, n, "W-ACCESS",
			"the rule can never hold: a request carries one certificate, or signatures, and a "
			"key counts once");
}

void access_read_rule(struct parse *p, const struct ynode *n, enum access_op op, struct access_rule *rule)
{
	rule->present = true;
	if (n->kind != YNODE_LIST) {
		add_entry(p, n, op, &rule->entries, &rule->count);
	} else {
		if (n->count == 0)
			ynode_diag(p->d, n, "E-VALUE", "the rule is empty; write NONE to permit nobody");
		read_list(p, n, op, false, &rule->entries, &rule->count);
	}
	warn_never(p, n, rule);
}

void access_read_map(struct parse *p, const struct ynode *n, struct session *s)
{
	struct access_rule *rules[] = {&s->read, &s->update, &s->create_sessions, &s->list_sessions};

	if (!want_map(p, n))
		return;
	keys_check(p, n, operation_keys);
	for (enum access_op op = OP_READ; op <= OP_LIST_SESSIONS; op++) {
		const struct ynode *rule = ynode_get(n, access_op_name(op));
		if (rule)
			access_read_rule(p, rule, op, rules[op]);
	}
}

void read_access(struct parse *p, const struct ynode *n)
{
	if (!n)
		return;
	if (!access_read_template(p, n, &p->s->access_template))
		access_read_map(p, n, p->s);
}
