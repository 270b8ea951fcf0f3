/* Secrets that are keys and certificates (session language 5.2). */
#include <stdlib.h>
#include <string.h>
#include "crypto/x509.h"
#include "policy/schema.h"

#define KIND(k) (1u << (k))
#define CERTIFICATES (KIND(SECRET_X509) | KIND(SECRET_X509_CA))
#define NAMES_MAX 100 /* of one certificate */

/* Whose these keys are. size and alphabet stand with ascii and binary. */
static const struct owned_key {
	const char *name;
	unsigned kinds;
	bool generates; /* no meaning beside an explicit value */
} owned_keys[] = {
	{"size", KIND(SECRET_ASCII) | KIND(SECRET_BINARY), true},
	{"alphabet", KIND(SECRET_ASCII) | KIND(SECRET_BINARY),
		true}, /* for binary read_generation says it better */
	{"key_type", KIND(SECRET_PRIVATE_KEY), true},
	{"migrate", KIND(SECRET_PRIVATE_KEY), true},
	{"private_key", KIND(SECRET_PUBLIC_KEY) | CERTIFICATES, false},
	{"issuer", CERTIFICATES, false},
	{"common_name", CERTIFICATES, true},
	{"endpoint", CERTIFICATES, true}, /* on a CA: below */
	{"san", CERTIFICATES, true},
	{"dns", CERTIFICATES, true},
	{"valid_for", CERTIFICATES, true},
	{"signer", KIND(SECRET_JWT), true},
	{"alg", KIND(SECRET_JWT), true},
	{"validity", KIND(SECRET_JWT), true},
	{"payload", KIND(SECRET_JWT), true},
};

static void check_owned(struct parse *p, const struct ynode *n, const struct secret_spec *s)
{
	for (size_t i = 0; i < sizeof owned_keys / sizeof *owned_keys; i++) {
		const struct owned_key *k = &owned_keys[i];
		const struct ynode *at = ynode_get(n, k->name);

		if (!at)
			continue;
		if (!(k->kinds & KIND(s->kind)))
			ynode_diag_key(p->d, at, "E-CONFLICT", "a secret of kind %s has no %s",
				secret_kind_name(s->kind), k->name);
		else if (s->has_value && k->generates && secret_kind_has_parts(s->kind))
			ynode_diag_key(p->d, at, "W-IGNORED", "%s beside value has no effect", k->name);
	}
}

/* Parsed and written anew, so that it is exactly what it says it is. */
static int normalise(enum secret_kind kind, const char *pem, size_t n, struct buf *out, struct error *err)
{
	EVP_PKEY *k = NULL;
	X509 *c = NULL;
	int rc = -1;

	if (kind == SECRET_PRIVATE_KEY && !key_from_pem(pem, n, &k, err))
		rc = key_to_pem(k, out, err);
	else if (kind == SECRET_PUBLIC_KEY && !key_public_from_pem(pem, n, &k, err))
		rc = key_public_to_pem(k, out, err);
	else if (kind > SECRET_PUBLIC_KEY && !x509_from_pem(pem, n, &c, err))
		rc = x509_to_pem(c, out, err);
	EVP_PKEY_free(k);
	X509_free(c);
	return rc;
}

static void read_pem(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	static const char *const wanted[] = {[SECRET_PRIVATE_KEY] = "an unencrypted PKCS#8 private key",
		[SECRET_PUBLIC_KEY] = "a public key",
		[SECRET_X509] = "a certificate",
		[SECRET_X509_CA] = "a certificate"};
	struct error err;
	struct buf b;

	if (!want_text(p, n, false))
		return;
	s->has_value = true;
	buf_init_secret(&b, SESSION_TEXT_MAX);
	if (normalise(s->kind, n->text, n->len, &b, &err))
		ynode_diag(p->d, n, "E-PEM", "the value is not %s in PEM: %s", wanted[s->kind], err.text);
	else if (secret_set(&s->value, b.data, b.len, &err))
		parse_nomem(p);
	buf_free(&b);
}

static void read_secret_name(struct parse *p, const struct ynode *n, char **ret)
{
	if (n && want_segment(p, n))
		*ret = parse_strdup(p, n->text, n->len);
}

static void add_name(
	struct parse *p, const struct ynode *n, bool is_ip, const char *text, struct secret_spec *s)
{
	struct x509_name *list;
	struct error err;

	if (x509_name_check(is_ip, text, &err)) {
		ynode_diag(p->d, n, "E-VALUE", "%s", err.text);
		return;
	}
	if (s->name_count == NAMES_MAX) {
		ynode_diag(p->d, n, "E-LENGTH", "a certificate with more than %d names", NAMES_MAX);
		return;
	}
	list = parse_grow(p, s->names, &s->name_count, sizeof *list);
	if (!list)
		return;
	s->names = list;
	list[s->name_count - 1].is_ip = is_ip;
	list[s->name_count - 1].text = parse_strdup(p, text, strlen(text));
	if (!list[s->name_count - 1].text)
		s->name_count--;
}

static void read_dns(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	if (want_text(p, n, false))
		add_name(p, n, false, n->text, s);
}

static void read_san(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	if (!want_text(p, n, false))
		return;
	if (!strncmp(n->text, "dns:", 4))
		add_name(p, n, false, n->text + 4, s);
	else if (!strncmp(n->text, "ip:", 3))
		add_name(p, n, true, n->text + 3, s);
	else
		ynode_diag(p->d, n, "E-VALUE", "%s is neither dns:NAME nor ip:ADDRESS", show(n).s);
}

/* One, or a list of them. */
static void read_each(struct parse *p, const struct ynode *n, struct secret_spec *s,
	void (*f)(struct parse *, const struct ynode *, struct secret_spec *))
{
	if (!n)
		return;
	if (n->kind != YNODE_LIST) {
		f(p, n, s);
		return;
	}
	for (size_t i = 0; i < n->count; i++)
		f(p, n->items[i], s);
}

static void read_common_name(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	if (!n || !want_text(p, n, false))
		return;
	if (n->len == 0 || n->len > X509_COMMON_NAME_MAX)
		ynode_diag(p->d, n, "E-LENGTH", "a common name of %zu bytes; 1 to %d are possible", n->len,
			X509_COMMON_NAME_MAX);
	else
		s->common_name = parse_strdup(p, n->text, n->len);
}

static void read_endpoint(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	static const char *const words[] = {"server", "client", NULL};
	const struct ynode *endpoint = ynode_get(n, "endpoint"), *dns = ynode_get(n, "dns");
	int word;

	if (!endpoint)
		return;
	if (s->kind == SECRET_X509_CA) {
		ynode_diag_key(p->d, endpoint, "E-CONFLICT", "a CA is no endpoint; a secret of kind x509 is");
		return;
	}
	word = want_word(p, endpoint, words);
	if (word == 1 && dns)
		ynode_diag_key(p->d, dns, "E-CONFLICT",
			"dns, the older form of names, is for servers; san serves clients, too");
	if (word >= 0)
		s->endpoint = word ? ENDPOINT_CLIENT : ENDPOINT_SERVER;
}

void read_secret_key(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	/* in the order of enum key_type */
	static const char *const types[] = {"Ed25519", "P-256", "P-384", "RSA-2048", "RSA-3072", NULL};
	const struct ynode *value = ynode_get(n, "value"), *type = ynode_get(n, "key_type");
	int word;

	s->key_type = KEY_P256;
	if (secret_kind_has_parts(s->kind) && s->kind != SECRET_PGP && value)
		read_pem(p, value, s);
	check_owned(p, n, s);
	if (s->kind == SECRET_PRIVATE_KEY) {
		if (type && (word = want_word(p, type, types)) >= 0) {
			s->key_type = (enum key_type)word;
			if (s->key_type >= KEY_RSA2048)
				feature_since(p, type, "an RSA key", 7);
		}
		if (ynode_get(n, "migrate"))
			(void)want_bool(p, ynode_get(n, "migrate"), &s->migrate);
	}
	if (s->kind != SECRET_PUBLIC_KEY && !secret_kind_is_certificate(s->kind))
		return;
	if (!s->has_value && p->old != 2)
		(void)want_key(p, n, "private_key");
	read_secret_name(p, ynode_get(n, "private_key"), &s->private_key);
	if (s->kind == SECRET_PUBLIC_KEY)
		return;
	read_secret_name(p, ynode_get(n, "issuer"), &s->issuer);
	read_common_name(p, ynode_get(n, "common_name"), s);
	read_each(p, ynode_get(n, "dns"), s, read_dns);
	read_each(p, ynode_get(n, "san"), s, read_san);
	read_endpoint(p, n, s);
	if (ynode_get(n, "valid_for"))
		(void)want_duration(p, ynode_get(n, "valid_for"), &s->valid_for);
}

/* --- names that secrets give each other --- */

/* The secret that n names, of this kind; NULL with E-REF or E-KIND. */
static const struct secret_spec *referred(
	struct parse *p, const struct ynode *n, const char *name, enum secret_kind kind)
{
	const struct secret_spec *s = find_secret(p, name, strlen(name));

	if (s && s->imported)
		ynode_diag(p->d, n, "E-UNSUPPORTED", UNSUPPORTED "an imported secret as %s", n->key);
	else if (s && s->kind == kind)
		return s;
	else if (s)
		ynode_diag(p->d, n, "E-KIND", "secret %s is of kind %s, a %s is wanted", name,
			secret_kind_name(s->kind), secret_kind_name(kind));
	else if (!names_foreign(p, name, strlen(name)))
		ynode_diag(p->d, n, "E-REF", "there is no secret %s", name);
	return NULL;
}

static bool is_pair(const struct secret_spec *s, const struct secret_spec *key)
{
	EVP_PKEY *private = NULL, *public = NULL;
	X509 *c = NULL;
	bool ret = false;

	if (key_from_pem((const char *)key->value.data, key->value.len, &private, NULL))
		return false;
	if (s->kind == SECRET_PUBLIC_KEY)
		ret = !key_public_from_pem((const char *)s->value.data, s->value.len, &public, NULL) &&
		      EVP_PKEY_eq(private, public) == 1;
	else
		ret = !x509_from_pem((const char *)s->value.data, s->value.len, &c, NULL) &&
		      x509_is_for(c, private);
	EVP_PKEY_free(private);
	EVP_PKEY_free(public);
	X509_free(c);
	return ret;
}

static void check_key_of(struct parse *p, const struct ynode *n, const struct secret_spec *s)
{
	const struct secret_spec *key = referred(p, n, s->private_key, SECRET_PRIVATE_KEY);

	if (!key || !s->has_value || !s->value.len || (key->has_value && !key->value.len))
		return;
	if (!key->has_value || !is_pair(s, key))
		ynode_diag(p->d, n, "E-CONFLICT", "private key %s does not belong to this explicit value",
			s->private_key);
}

/* Its key must be at hand to sign with. */
static void check_issuer(struct parse *p, const struct ynode *n, const struct secret_spec *s)
{
	const struct secret_spec *ca = referred(p, n, s->issuer, SECRET_X509_CA);

	if (ca && !ca->private_key && !s->has_value)
		ynode_diag(p->d, n, "E-KIND", "x509-ca %s signs nothing: no private_key of it is here",
			s->issuer);
	for (size_t steps = 0; ca; steps++) {
		if (ca == s || steps > p->s->secret_count) {
			ynode_diag(p->d, n, "E-CYCLE", "x509-ca %s is its own issuer, directly or by others",
				s->issuer);
			return;
		}
		ca = ca->issuer ? find_secret(p, ca->issuer, strlen(ca->issuer)) : NULL;
	}
}

void check_secret_references(struct parse *p, const struct ynode *n)
{
	for (size_t i = 0, k = 0; i < n->count && k < p->s->secret_count; i++) {
		const struct secret_spec *s;

		if (n->items[i]->kind != YNODE_MAP)
			continue;
		s = &p->s->secrets[k++];
		if (s->kind == SECRET_JWT && !s->imported)
			check_token_reference(p, n->items[i], s);
		if ((s->kind != SECRET_PUBLIC_KEY && !secret_kind_is_certificate(s->kind)) || s->imported)
			continue;
		if (s->private_key && ynode_get(n->items[i], "private_key"))
			check_key_of(p, ynode_get(n->items[i], "private_key"), s);
		if (s->issuer && ynode_get(n->items[i], "issuer"))
			check_issuer(p, ynode_get(n->items[i], "issuer"), s);
	}
}

void secret_common_name(const struct secret_spec *s, char ret[X509_COMMON_NAME_MAX + 1])
{
	const char *name = s->common_name;

	for (size_t i = 0; !name && i < s->name_count; i++)
		if (!s->names[i].is_ip && strlen(s->names[i].text) <= X509_COMMON_NAME_MAX)
			name = s->names[i].text;
	if (!name)
		name = s->name;
	strncpy(ret, name, X509_COMMON_NAME_MAX);
	ret[X509_COMMON_NAME_MAX] = '\0';
}
