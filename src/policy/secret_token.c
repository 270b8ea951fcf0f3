/* Secrets of the kinds config-fragment, pgp-key and jwt (session language 5.2). */
#include <stdlib.h>
#include <string.h>
#include "policy/graft.h"

#define CLAIMS_MAX 100
#define FRAGMENT_MAX SESSION_TEXT_MAX

static const struct key_rule validity_keys[] = {{"for", KEY_OK, 0}, {NULL, KEY_OK, 0}};

static void read_fragment(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	const struct ynode *value = ynode_get(n, "value");
	struct error err;
	struct buf b;

	if (!value) {
		ynode_diag(p->d, n, "E-MISSING",
			"a config-fragment has a value, or an import; nothing can be generated");
		return;
	}
	s->has_value = true;
	buf_init(&b, FRAGMENT_MAX);
	ynode_flow(value, &b);
	if (b.failed || secret_set(&s->value, b.data, b.len, &err))
		parse_nomem(p);
	buf_free(&b);
}

static int names_token(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	const struct secret_spec *s = find_secret(arg, name, len);

	(void)suffix;
	(void)slen;
	(void)line;
	return s && s->kind == SECRET_JWT;
}

/* A template must be all of a claim's value. */
static void check_claim(struct parse *p, const struct ynode *n)
{
	size_t closing = n->len >= 2 ? n->len - 2 : 0;
	const char *second;

	if (text_is(n, JWT_SELF))
		return;
	if (!memmem(n->text, n->len, "$$SCONE::", 9) && !memmem(n->text, n->len, "$$SCONECAS:", 11))
		return;
	second = n->len > 4 ? memmem(n->text + 2, n->len - 2, "$$", 2) : NULL;
	if (n->text[0] != '$' || n->text[1] != '$' || second != n->text + closing)
		ynode_diag(p->d, n, "E-TEMPLATE", "in a claim a template stands alone");
	else if (template_each(n->text, n->len, true, names_token, p, NULL) > 0)
		ynode_diag(p->d, n, "E-CYCLE", "a token in a claim of a token");
	else
		check_templates(p, n, n->text, n->len, true);
}

static int claim_order(const void *a, const void *b)
{
	return strcmp(((const struct jwt_claim *)a)->name, ((const struct jwt_claim *)b)->name);
}

static void read_claim(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	static const char *const ours[] = {"iat", "nbf", "exp", NULL};
	size_t count = s->claim_count;
	struct jwt_claim *list;

	for (size_t i = 0; ours[i]; i++) {
		if (strcmp(n->key, ours[i]))
			continue;
		ynode_diag_key(p->d, n, "E-CONFLICT", "CAS sets iat, nbf and exp");
		return;
	}
	if (strlen(n->key) != n->key_len) {
		ynode_diag_key(p->d, n, "E-NUL", "a NUL byte in the name of a claim");
		return;
	}
	if (count == CLAIMS_MAX) {
		ynode_diag_key(p->d, n, "E-LENGTH", "more than %d claims", CLAIMS_MAX);
		return;
	}
	if (!want_text(p, n, false))
		return;
	list = parse_grow(p, s->claims, &count, sizeof *list);
	if (!list)
		return;
	s->claims = list;
	list[count - 1].name = parse_strdup(p, n->key, n->key_len);
	list[count - 1].value = parse_strdup(p, n->text, n->len);
	s->claim_count = count;
}

static void read_jwt(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	static const char *const algorithms[] = {"ES384", NULL};
	const struct ynode *signer = want_key(p, n, "signer"), *alg = want_key(p, n, "alg"),
			   *validity = want_key(p, n, "validity"), *payload = ynode_get(n, "payload");

	if (ynode_get(n, "export"))
		ynode_diag_key(p->d, ynode_get(n, "export"), "E-CONFLICT",
			"a jwt is made for the service that gets it; nobody else does");
	if (s->export_public)
		ynode_diag_key(p->d, ynode_get(n, "export_public"), "E-CONFLICT",
			"a jwt is made for the service that gets it; it is not public");
	if (ynode_get(n, "value"))
		ynode_diag_key(
			p->d, ynode_get(n, "value"), "E-CONFLICT", "a jwt is made; it has no explicit value");
	if (signer && want_segment(p, signer))
		s->signer = parse_strdup(p, signer->text, signer->len);
	if (alg)
		(void)want_word(p, alg, algorithms);
	if (want_map(p, validity)) {
		keys_check(p, validity, validity_keys);
		if (want_key(p, validity, "for"))
			(void)want_duration(p, ynode_get(validity, "for"), &s->valid_for);
	}
	if (!payload || !want_map(p, payload))
		return;
	for (size_t i = 0; i < payload->count; i++)
		if (!payload->items[i]->bad)
			read_claim(p, payload->items[i], s);
	if (s->claims)
		qsort(s->claims, s->claim_count, sizeof *s->claims, claim_order);
}

void read_secret_token(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	if (s->kind == SECRET_FRAGMENT)
		read_fragment(p, n, s);
	else if (s->kind == SECRET_JWT)
		read_jwt(p, n, s);
	else if (s->kind == SECRET_PGP && ynode_get(n, "value"))
		ynode_diag_key(p->d, ynode_get(n, "value"), "E-CONFLICT",
			"a pgp-key is generated; it has no explicit value");
}

void check_token_reference(struct parse *p, const struct ynode *n, const struct secret_spec *s)
{
	const struct ynode *payload = ynode_get(n, "payload"), *at = ynode_get(n, "signer");
	const struct secret_spec *key = s->signer ? find_secret(p, s->signer, strlen(s->signer)) : NULL;
	enum key_type type = key ? key->key_type : KEY_P384;
	EVP_PKEY *k = NULL;

	if (payload && payload->kind == YNODE_MAP)
		for (size_t i = 0; i < payload->count; i++)
			if (payload->items[i]->kind == YNODE_SCALAR)
				check_claim(p, payload->items[i]);
	if (!s->signer)
		return;
	if (!key) {
		if (!names_foreign(p, s->signer, strlen(s->signer)))
			ynode_diag(p->d, at, "E-REF", "there is no secret %s", s->signer);
		return;
	}
	if (key->imported) {
		ynode_diag(p->d, at, "E-UNSUPPORTED", UNSUPPORTED "an imported secret as signer");
		return;
	}
	if (key->has_value && !key_from_pem((const char *)key->value.data, key->value.len, &k, NULL) &&
		key_type_of(k, &type))
		type = KEY_P256;
	EVP_PKEY_free(k);
	if (key->kind != SECRET_PRIVATE_KEY || type != KEY_P384)
		ynode_diag(p->d, at, "E-KIND", "ES384 needs a private-key of key_type P-384; %s is %s",
			s->signer,
			key->kind == SECRET_PRIVATE_KEY ? "of another type" : secret_kind_name(key->kind));
}
