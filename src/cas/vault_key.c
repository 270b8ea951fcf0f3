#include "cas/vault_key.h"
#include "cas/vault_pgp.h"

#include <string.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "crypto/x509_issue.h"
#include "policy/secret_parts.h"

#define BACKDATED 3600 /* seconds: clocks of others */
#define CHAIN_MAX 32
#define PART_MAX 65536

static const struct secret_spec *spec_of(const struct session *s, const char *name)
{
	return session_secret(s, name, strlen(name));
}

static int stored(const struct session *s, const struct vault *v, const char *name, const char **ret,
	size_t *ret_len, struct error *err)
{
	const void *p = NULL;

	if (!vault_lookup(s, v, name, strlen(name), &p, ret_len))
		return error_set(err, ERR_INTERNAL, "secret \"%s\" has no value", name);
	*ret = p;
	return 0;
}

static int load_private(
	const struct session *s, const struct vault *v, const char *name, EVP_PKEY **ret, struct error *err)
{
	const char *pem = NULL;
	size_t n = 0;

	if (stored(s, v, name, &pem, &n, err))
		return -1;
	return key_from_pem(pem, n, ret, err) ? error_wrap(err, "secret \"%s\"", name) : 0;
}

static int load_certificate(
	const struct session *s, const struct vault *v, const char *name, X509 **ret, struct error *err)
{
	const char *pem = NULL;
	size_t n = 0;

	if (stored(s, v, name, &pem, &n, err))
		return -1;
	return x509_from_pem(pem, n, ret, err) ? error_wrap(err, "secret \"%s\"", name) : 0;
}

int vault_key_generate(const struct secret_spec *spec, struct secret *ret, struct error *err)
{
	EVP_PKEY *k = NULL;
	struct buf pem;
	int rc;

	if (key_generate(spec->key_type, &k, err))
		return error_wrap(err, "secret \"%s\"", spec->name);
	buf_init_secret(&pem, PART_MAX);
	rc = key_to_pem(k, &pem, err);
	if (!rc)
		rc = secret_set(ret, pem.data, pem.len, err);
	buf_free(&pem);
	EVP_PKEY_free(k);
	return rc;
}

/* --- certificates --- */

static bool is_due(X509 *c, uint64_t now)
{
	uint64_t start, end;

	if (x509_validity(c, &start, &end, NULL))
		return true;
	return end != X509_FOREVER && (now >= end || now - start >= (end - start) / 3 * 2);
}

static int issue(const struct session *s, const struct vault *v, const struct secret_spec *spec, uint64_t now,
	X509 **ret, struct error *err)
{
	const struct secret_spec *ca = spec->issuer ? spec_of(s, spec->issuer) : NULL;
	char common_name[X509_COMMON_NAME_MAX + 1];
	struct x509_request q = {
		.common_name = common_name,
		.names = spec->names,
		.name_count = spec->name_count,
		.ca = spec->kind == SECRET_X509_CA,
		.endpoint = spec->endpoint,
		.not_before = now > BACKDATED ? now - BACKDATED : 0,
		.not_after = spec->valid_for ? now + spec->valid_for : X509_FOREVER,
	};
	int rc = load_private(s, v, spec->private_key, &q.key, err);

	secret_common_name(spec, common_name);
	if (!rc && ca)
		rc = load_certificate(s, v, ca->name, &q.issuer, err);
	if (!rc && ca)
		rc = load_private(s, v, ca->private_key, &q.issuer_key, err);
	if (!rc)
		rc = x509_issue(&q, ret, err);
	EVP_PKEY_free(q.key);
	EVP_PKEY_free(q.issuer_key);
	X509_free(q.issuer);
	return rc ? error_wrap(err, "secret \"%s\"", spec->name) : 0;
}

static int keep(struct vault *v, const struct secret_spec *spec, X509 *c, struct error *err)
{
	struct vault_value *value = vault_slot(v, spec, err);
	struct buf pem;
	int rc;

	if (!value)
		return -1;
	buf_init_secret(&pem, PART_MAX);
	rc = x509_to_pem(c, &pem, err);
	if (!rc)
		rc = secret_set(&value->value, pem.data, pem.len, err);
	buf_free(&pem);
	return rc;
}

static int certify_one(const struct session *s, struct vault *v, const struct secret_spec *spec, uint64_t now,
	bool *ret_changed, struct error *err)
{
	const void *p;
	X509 *c = NULL;
	size_t n;
	bool due = true;
	int rc;

	if (vault_lookup(s, v, spec->name, strlen(spec->name), &p, &n) && !x509_from_pem(p, n, &c, NULL)) {
		due = is_due(c, now);
		X509_free(c);
		c = NULL;
	}
	if (!due)
		return 0;
	rc = issue(s, v, spec, now, &c, err);
	if (!rc)
		rc = keep(v, spec, c, err);
	X509_free(c);
	if (!rc)
		*ret_changed = true;
	return rc;
}

/* Issuers first: up the chain to the root, then back. The parser has excluded loops. */
static int certify(const struct session *s, struct vault *v, const struct secret_spec *spec, uint64_t now,
	bool *ret_changed, struct error *err)
{
	const struct secret_spec *chain[CHAIN_MAX];
	size_t n = 0;

	for (; spec; spec = spec->issuer ? spec_of(s, spec->issuer) : NULL) {
		if (n == CHAIN_MAX)
			return error_set(err, ERR_LIMIT,
				"certificate \"%s\" has more than %d issuers above it", chain[0]->name,
				CHAIN_MAX - 1);
		chain[n++] = spec;
	}
	while (n > 0)
		if (!chain[--n]->has_value && certify_one(s, v, chain[n], now, ret_changed, err))
			return -1;
	return 0;
}

int vault_key_certify(
	const struct session *s, struct vault *v, uint64_t now, bool *ret_changed, struct error *err)
{
	*ret_changed = false;
	for (size_t i = 0; i < s->secret_count; i++)
		if (secret_kind_is_certificate(s->secrets[i].kind) && !s->secrets[i].imported &&
			!s->secrets[i].certificate_of && certify(s, v, &s->secrets[i], now, ret_changed, err))
			return -1;
	return 0;
}

/* --- parts --- */

/* Put what f made of x into out under a name. scratch is a secret buf. */
#define PUT_PART(out, scratch, name, rc, call)                                                               \
	do {                                                                                                 \
		buf_reset(scratch);                                                                          \
		if (!(rc) && !((rc) = (call)))                                                               \
			secret_parts_put(out, name, (scratch)->data, (scratch)->len);                        \
	} while (0)

static int put_key_parts(EVP_PKEY *k, const char *pem, const char *der, struct buf *out, struct error *err)
{
	struct buf b;
	int rc = 0;

	buf_init_secret(&b, PART_MAX);
	PUT_PART(out, &b, pem, rc, key_to_pem(k, &b, err));
	PUT_PART(out, &b, der, rc, key_to_der(k, &b, err));
	buf_free(&b);
	return rc;
}

static int put_public_parts(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	struct buf *out, struct error *err)
{
	EVP_PKEY *k = NULL;
	struct buf b;
	int rc;

	if (spec->has_value)
		rc = key_public_from_pem((const char *)spec->value.data, spec->value.len, &k, err);
	else
		rc = load_private(s, v, spec->private_key, &k, err);
	buf_init(&b, PART_MAX);
	PUT_PART(out, &b, "pem", rc, key_public_to_pem(k, &b, err));
	PUT_PART(out, &b, "der", rc, key_spki_der(k, &b, err));
	buf_free(&b);
	EVP_PKEY_free(k);
	return rc;
}

/* The certificates above spec's, the nearest first. */
struct chain {
	X509 *c[CHAIN_MAX];
	size_t n;
};

static int load_chain(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	struct chain *ret, struct error *err)
{
	for (; spec->issuer && ret->n < CHAIN_MAX; spec = spec_of(s, spec->issuer), ret->n++)
		if (load_certificate(s, v, spec->issuer, &ret->c[ret->n], err))
			return -1;
	return 0;
}

static int put_chain(const struct chain *chain, struct buf *out, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; i < chain->n && !rc; i++)
		rc = x509_to_pem(chain->c[i], out, err);
	return rc;
}

/* The deprecated form: root first, leaf included. */
static int put_legacy_chain(const struct chain *chain, X509 *leaf, struct buf *out, struct error *err)
{
	int rc = 0;

	for (size_t i = chain->n; i > 0 && !rc; i--)
		rc = x509_to_pem(chain->c[i - 1], out, err);
	return rc ? rc : x509_to_pem(leaf, out, err);
}

static int put_certificate_parts(const struct session *s, const struct vault *v,
	const struct secret_spec *spec, bool with_private, struct buf *out, struct error *err)
{
	struct chain chain = {.n = 0};
	EVP_PKEY *k = NULL;
	X509 *c = NULL;
	struct buf b;
	int rc = load_certificate(s, v, spec->name, &c, err);

	if (!rc)
		rc = load_chain(s, v, spec, &chain, err);
	if (!rc && spec->private_key && with_private)
		rc = load_private(s, v, spec->private_key, &k, err);
	buf_init_secret(&b, PART_MAX);
	PUT_PART(out, &b, "crt", rc, x509_to_pem(c, &b, err));
	PUT_PART(out, &b, "crt:der", rc, x509_to_der(c, &b, err));
	PUT_PART(out, &b, "chain", rc, put_chain(&chain, &b, err));
	PUT_PART(out, &b, "chain-legacy", rc, put_legacy_chain(&chain, c, &b, err));
	if (!rc && k)
		rc = put_key_parts(k, "privatekey", "privatekey:der", out, err);
	if (k)
		PUT_PART(out, &b, "pkcs12-with-private-key", rc,
			x509_to_pkcs12(k, c, chain.c, chain.n, &b, err));
	buf_free(&b);
	for (size_t i = 0; i < chain.n; i++)
		X509_free(chain.c[i]);
	X509_free(c);
	EVP_PKEY_free(k);
	return rc;
}

static int put_pgp_parts(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	bool with_private, struct buf *out, struct error *err)
{
	const void *p;
	size_t n;

	if (!vault_lookup(s, v, spec->name, strlen(spec->name), &p, &n))
		return error_set(err, ERR_INTERNAL, "it has no value");
	return vault_pgp_parts(p, n, with_private, out, err);
}

int vault_key_parts(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	bool with_private, struct buf *out, struct error *err)
{
	EVP_PKEY *k = NULL;
	int rc;

	if (spec->certificate_of) {
		spec = session_secret(s, spec->certificate_of, strlen(spec->certificate_of));
		with_private = false;
	}
	if (spec->kind == SECRET_PGP)
		rc = put_pgp_parts(s, v, spec, with_private, out, err);
	else if (secret_kind_is_certificate(spec->kind))
		rc = put_certificate_parts(s, v, spec, with_private, out, err);
	else if (spec->kind == SECRET_PUBLIC_KEY)
		rc = put_public_parts(s, v, spec, out, err);
	else if (!(rc = load_private(s, v, spec->name, &k, err)))
		rc = put_key_parts(k, "pem", "der", out, err);
	EVP_PKEY_free(k);
	if (!rc && out->failed)
		rc = error_set(err, ERR_LIMIT, "the forms of secret \"%s\" are over %zu bytes", spec->name,
			out->max);
	return rc ? error_wrap(err, "secret \"%s\"", spec->name) : 0;
}
