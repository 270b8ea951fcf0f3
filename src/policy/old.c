/* What sessions of the language's versions 0.1 and 0.2 mean in the model of 0.3 (session language, section 13). */
#include <stdlib.h>
#include <string.h>
#include "policy/schema.h"

/* Names with a blank, which no document can write and no template can name. */
#define CA_NAME "session CA"
#define KEY_SUFFIX " key"

/* "NAME[:HASH]": a session, where the item has the same name. */
void read_old_reference(struct parse *p, const struct ynode *n, struct session_ref *ret)
{
	const char *colon = memchr(n->text, ':', n->len);
	size_t len = colon ? (size_t)(colon - n->text) : n->len, rest = colon ? n->len - len - 1 : 0;
	struct error err;

	ret->session = parse_strdup(p, n->text, len);
	if (!ret->session)
		return;
	if (session_name_check(ret->session, &err)) {
		ynode_diag(p->d, n, err.code == ERR_LIMIT ? "E-LENGTH" : "E-CHARSET", "%s: %s", show(n).s,
			err.text);
		return;
	}
	if (!colon)
		return;
	ret->has_hash = reference_hash(colon + 1, rest, ret->hash);
	if (!ret->has_hash)
		ynode_diag(p->d, n, "E-HEX",
			"%s: behind the colon 64 hex digits are wanted, the hash of the session", show(n).s);
}

/* A secret that the document does not write. Pointers into the list are not good any more. */
static struct secret_spec *add_hidden(
	struct parse *p, const char *stem, const char *suffix, enum secret_kind kind)
{
	size_t count = p->s->secret_count, stem_len = strlen(stem), suffix_len = strlen(suffix);
	struct secret_spec *list = parse_grow(p, p->s->secrets, &count, sizeof *list);
	char *name = malloc(stem_len + suffix_len + 1);

	if (list)
		p->s->secrets = list;
	if (!list || !name) {
		free(name);
		parse_nomem(p);
		return NULL;
	}
	memcpy(name, stem, stem_len);
	memcpy(name + stem_len, suffix, suffix_len + 1);
	list[count - 1].name = name;
	list[count - 1].kind = kind;
	list[count - 1].size = SECRET_SIZE_DEFAULT;
	list[count - 1].key_type = KEY_P256;
	p->s->secret_count = count;
	return &list[count - 1];
}

static bool has_own_key(const struct secret_spec *s)
{
	return secret_kind_is_certificate(s->kind) && !s->has_value && !s->imported && !s->certificate_of &&
	       !s->private_key;
}

/* Certificates of 0.2 are generated with their key, and signed by the session's CA. */
static void add_key(struct parse *p, size_t i)
{
	struct secret_spec *key = add_hidden(p, p->s->secrets[i].name, KEY_SUFFIX, SECRET_PRIVATE_KEY),
			   *s = &p->s->secrets[i];

	if (!key)
		return;
	s->private_key = parse_strdup(p, key->name, strlen(key->name));
	if (s->kind == SECRET_X509 && !s->issuer)
		s->issuer = parse_strdup(p, CA_NAME, strlen(CA_NAME));
}

static void add_ca(struct parse *p)
{
	struct secret_spec *s = add_hidden(p, CA_NAME, KEY_SUFFIX, SECRET_PRIVATE_KEY);

	if (!s)
		return;
	s->migrate = true; /* the CA outlives versions of the session */
	s = add_hidden(p, CA_NAME, "", SECRET_X509_CA);
	if (s)
		s->private_key = parse_strdup(p, CA_NAME KEY_SUFFIX, strlen(CA_NAME KEY_SUFFIX));
}

void add_old_secrets(struct parse *p)
{
	size_t count = p->s->secret_count;
	bool ca = false;

	for (size_t i = 0; i < count; i++) {
		const struct secret_spec *s = &p->s->secrets[i];

		if (!s->name)
			continue;
		ca |= s->certificate_of || (s->kind == SECRET_X509 && has_own_key(s));
		if (has_own_key(s))
			add_key(p, i);
	}
	if (ca)
		add_ca(p);
}

/* kind session-ca: the certificate of the session's CA, without its key. */
void read_session_ca(struct parse *p, struct secret_spec *ret)
{
	ret->kind = SECRET_X509_CA;
	ret->certificate_of = parse_strdup(p, CA_NAME, strlen(CA_NAME));
}
