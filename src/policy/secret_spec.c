#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "policy/schema.h"

#define SIZE_MAX_CHARS 65536

static const struct key_rule secret_keys[] = {
	{"name", KEY_OK, 0},
	{"kind", KEY_OK, 0},
	{"value", KEY_OK, 0},
	{"size", KEY_OK, 0},
	{"alphabet", KEY_OK, 0},
	{"export_public", KEY_OK, 0},
	{"import", KEY_OK, 0},
	{"import_akv", KEY_UNSUPPORTED, 7},
	{"export", KEY_OK, 0},
	{"key_type", KEY_OK, 4},
	{"migrate", KEY_OK, 7},
	{"private_key", KEY_OK, 0},
	{"issuer", KEY_OK, 0},
	{"common_name", KEY_OK, 0},
	{"endpoint", KEY_OK, 0},
	{"san", KEY_OK, 10},
	{"dns", KEY_OK, 0},
	{"valid_for", KEY_OK, 0},
	{"signer", KEY_OK, 12},
	{"alg", KEY_OK, 12},
	{"validity", KEY_OK, 12},
	{"payload", KEY_OK, 12},
	{"tenant_id", KEY_UNSUPPORTED, 7},
	{"client_id", KEY_UNSUPPORTED, 7},
	{"application_secret", KEY_UNSUPPORTED, 7},
	{"certificate_thumbprint", KEY_UNSUPPORTED, 7},
	{NULL, KEY_OK, 0},
};

/* The first nine are enum secret_kind's; the rest is the language's, and session-ca is that of 0.2. */
static const char *const kinds[] = {"ascii", "binary", "private-key", "public-key", "x509", "x509-ca",
	"config-fragment", "pgp-key", "jwt", "aad-token", "session-ca", NULL};
#define KINDS_SUPPORTED 9
#define KIND_SESSION_CA 10

static const char *const alphabets[] = {"printable", "alphanumeric", "hex", NULL};

const char *secret_kind_name(enum secret_kind k)
{
	return kinds[k];
}

bool secret_kind_is_certificate(enum secret_kind k)
{
	return k == SECRET_X509 || k == SECRET_X509_CA;
}

bool secret_kind_has_parts(enum secret_kind k)
{
	return k == SECRET_PRIVATE_KEY || k == SECRET_PUBLIC_KEY || k == SECRET_PGP ||
	       secret_kind_is_certificate(k);
}

/* A secret whose kind this version refuses: its other keys are that kind's business, references to it raise no second error. */
static void note_foreign(struct parse *p, const struct ynode *name)
{
	size_t count = p->foreign_count;
	const struct ynode **list;

	if (!name || name->kind != YNODE_SCALAR || name->len == 0)
		return;
	list = parse_grow(p, p->foreign, &count, sizeof *list);
	if (!list)
		return;
	list[count - 1] = name;
	p->foreign = list;
	p->foreign_count = count;
}

/* Values are secrets: the messages do not repeat them. */
static void read_value(struct parse *p, const struct ynode *n, struct secret_spec *ret)
{
	struct error err;

	if (!want_text(p, n, ret->kind == SECRET_BINARY))
		return;
	ret->has_value = true;
	if (ret->kind == SECRET_ASCII) {
		if (secret_set(&ret->value, n->text, n->len, &err))
			parse_nomem(p);
		return;
	}
	for (size_t i = 0; i < n->len; i++) {
		if (n->text[i] && strchr("0123456789abcdefABCDEF", n->text[i]))
			continue;
		ynode_diag(p->d, n, "E-HEX",
			"character %zu of the value is no hex digit; a binary secret is written in hex",
			i + 1);
		return;
	}
	if (n->len % 2) {
		ynode_diag(p->d, n, "E-HEX", "%zu hex digits; an even number is wanted", n->len);
		return;
	}
	struct buf b;
	buf_init_secret(&b, SESSION_TEXT_MAX);
	if (hex_decode_buf(n->text, n->len, &b) || b.failed || secret_set(&ret->value, b.data, b.len, &err))
		parse_nomem(p);
	buf_free(&b);
}

static void read_generation(struct parse *p, const struct ynode *n, struct secret_spec *ret)
{
	const struct ynode *size = ynode_get(n, "size"), *alphabet = ynode_get(n, "alphabet");
	int word;

	if (size && !refuse_template(p, size, "size"))
		(void)want_uint(p, size, 1, SIZE_MAX_CHARS, &ret->size);
	if (!alphabet)
		goto ignored;
	if (ret->kind != SECRET_ASCII) {
		ynode_diag_key(p->d, alphabet, "E-CONFLICT",
			"only a secret of kind ascii has an alphabet; this one is %s",
			secret_kind_name(ret->kind));
		return;
	}
	word = want_word(p, alphabet, alphabets);
	if (word >= 0)
		ret->alphabet = (enum secret_alphabet)word;
ignored:
	if (!ret->has_value)
		return;
	if (size)
		ynode_diag_key(p->d, size, "W-IGNORED", "size beside value has no effect");
	if (alphabet)
		ynode_diag_key(p->d, alphabet, "W-IGNORED", "alphabet beside value has no effect");
}

static void read_name(struct parse *p, const struct ynode *n, struct secret_spec *ret)
{
	const struct ynode *name = want_key(p, n, "name");

	if (!want_segment(p, name))
		return;
	if (text_is(name, "self")) {
		ynode_diag(p->d, name, "E-VALUE", "\"self\" is reserved");
		return;
	}
	if (session_secret(p->s, name->text, name->len)) {
		ynode_diag(p->d, name, "E-DUP", "%s names an earlier secret already", show(name).s);
		return;
	}
	ret->name = parse_strdup(p, name->text, name->len);
}

/* True if the kind is one of ours. */
static bool read_kind(struct parse *p, const struct ynode *n, struct secret_spec *ret)
{
	const struct ynode *kind = ynode_get(n, "kind");
	int word;

	if (!kind) {
		if (ynode_get(n, "import"))
			return true;
		if (!ynode_get(n, "import_akv"))
			want_key(p, n, "kind");
		return false;
	}
	word = want_word(p, kind, kinds);
	if (word == KIND_SESSION_CA && p->old == 2) {
		read_session_ca(p, ret);
		return true;
	}
	if (word >= KINDS_SUPPORTED)
		ynode_diag(p->d, kind, "E-UNSUPPORTED", UNSUPPORTED "kind %s", kinds[word]);
	if (word < 0 || word >= KINDS_SUPPORTED)
		return false;
	ret->kind = (enum secret_kind)word;
	if (word >= SECRET_FRAGMENT)
		feature_since(p, kind, kinds[word], ret->kind == SECRET_JWT ? 12 : 10);
	return true;
}

static void check_unknown_only(struct parse *p, const struct ynode *n)
{
	struct key_rule rules[sizeof secret_keys / sizeof *secret_keys];

	memcpy(rules, secret_keys, sizeof rules);
	for (size_t i = 0; rules[i].name; i++)
		rules[i] = (struct key_rule){rules[i].name, KEY_OK, 0};
	keys_check(p, n, rules);
}

static void read_secret(struct parse *p, const struct ynode *n)
{
	size_t count = p->s->secret_count;
	struct secret_spec *list, *s;

	if (!want_map(p, n))
		return;
	list = parse_grow(p, p->s->secrets, &count, sizeof *list);
	if (!list)
		return;
	p->s->secrets = list;
	s = &list[count - 1];
	s->size = SECRET_SIZE_DEFAULT;
	/* Counted only afterwards, so that it is not found as its own duplicate. */
	read_name(p, n, s);
	p->s->secret_count = count;
	if (!read_kind(p, n, s)) {
		if (ynode_get(n, "kind"))
			check_unknown_only(p, n);
		else
			keys_check(p, n, secret_keys);
		note_foreign(p, ynode_get(n, "name"));
		return;
	}
	keys_check(p, n, secret_keys);
	if (ynode_get(n, "export_public"))
		(void)want_bool(p, ynode_get(n, "export_public"), &s->export_public);
	if (read_secret_share(p, n, s))
		return;
	if (s->kind == SECRET_ASCII || s->kind == SECRET_BINARY) {
		if (ynode_get(n, "value"))
			read_value(p, ynode_get(n, "value"), s);
		read_generation(p, n, s);
	}
	read_secret_key(p, n, s);
	read_secret_token(p, n, s);
}

void read_secrets(struct parse *p, const struct ynode *n)
{
	if (!n || !want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++)
		read_secret(p, n->items[i]);
	if (p->old == 2)
		add_old_secrets(p);
	if (p->old == 1 && n->count)
		unsupported(p, n, "secrets in a session of version 0.1");
	index_secrets(p);
	check_secret_references(p, n);
}

void secret_spec_clear(struct secret_spec *s)
{
	free(s->name);
	secret_free(&s->value);
	free(s->private_key);
	free(s->issuer);
	free(s->certificate_of);
	free(s->common_name);
	for (size_t i = 0; i < s->name_count; i++)
		free(s->names[i].text);
	free(s->names);
	for (size_t i = 0; i < s->export_count; i++)
		session_ref_clear(&s->exports[i]);
	free(s->exports);
	free(s->signer);
	for (size_t i = 0; i < s->claim_count; i++) {
		free(s->claims[i].name);
		free(s->claims[i].value);
	}
	free(s->claims);
	session_ref_clear(&s->import);
}
