#include "evidence/collateral.h"

#include <stdlib.h>
#include <string.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "evidence/collateral_store.h"

struct collateral *collateral_new_limited(size_t max)
{
	struct collateral *c = calloc(1, sizeof(*c));

	if (c)
		c->max = max;
	return c;
}

struct collateral *collateral_new(void)
{
	return collateral_new_limited(COLLATERAL_MAX);
}

void collateral_free(struct collateral *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->chain_count; i++)
		x509_chain_free(&c->chains[i].certs);
	for (size_t i = 0; i < c->crl_count; i++)
		X509_CRL_free(c->crls[i].crl);
	for (size_t i = 0; i < c->document_count; i++) {
		intel_document_free(&c->documents[i].doc);
		free((void *)c->documents[i].body.p);
	}
	free(c->chains);
	free(c->crls);
	free(c->documents);
	free(c);
}

/* Room for one more element; the new list, or NULL with the old one as it was. */
static void *grow(
	struct collateral *c, void *list, size_t count, size_t size, const char *what, struct error *err)
{
	void *p;

	if (count >= c->max) {
		error_set(err, ERR_LIMIT, "more than %zu %s", c->max, what);
		return NULL;
	}
	p = reallocarray(list, count + 1, size);
	if (!p)
		error_set(err, ERR_NOMEM, "no memory");
	return p;
}

static bool same_chain(const struct x509_chain *a, const struct x509_chain *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!x509_equal(a->cert[i], b->cert[i]))
			return false;
	return true;
}

bool collateral_signed_by(const struct known_document *d, X509 *cert)
{
	EVP_PKEY *k = X509_get0_pubkey(cert);

	return k && x509_key_on_curve(cert, "P-256") &&
	       key_verify_rs(k, d->body.p, d->body.n, d->signature, d->signature + 32, 32, NULL) == 0;
}

static void prove_document(const struct collateral *c, struct known_document *d)
{
	for (size_t i = 0; i < c->chain_count && !d->proven; i++) {
		const struct known_chain *k = &c->chains[i];

		for (size_t n = 0; n < k->certs.count && !d->proven; n++) {
			d->proven = collateral_signed_by(d, k->certs.cert[n]);
			if (d->proven)
				memcpy(d->signer_key, k->key[n], sizeof(d->signer_key));
		}
	}
}

static void prove_crl(const struct collateral *c, struct known_crl *l)
{
	for (size_t i = 0; i < c->chain_count && !l->proven; i++) {
		const struct known_chain *k = &c->chains[i];

		for (size_t n = 0; n < k->certs.count && !l->proven; n++) {
			l->proven = x509_crl_issued_by(l->crl, k->certs.cert[n]) == X509_ISSUED;
			if (l->proven)
				memcpy(l->issuer_key, k->key[n], sizeof(l->issuer_key));
		}
	}
}

/* What waited for a certificate may have found it. */
static void settle(struct collateral *c)
{
	for (size_t i = 0; i < c->document_count; i++)
		prove_document(c, &c->documents[i]);
	for (size_t i = 0; i < c->crl_count; i++)
		prove_crl(c, &c->crls[i]);
}

int collateral_take_chain(struct collateral *c, struct x509_chain *chain, struct error *err)
{
	struct known_chain new = {.certs = *chain}, *list;
	bool hashed = true;

	for (size_t i = 0; i < c->chain_count; i++) {
		if (same_chain(&c->chains[i].certs, chain)) {
			x509_chain_free(chain);
			return 0;
		}
	}
	for (size_t i = 0; i < chain->count; i++) {
		new.link[i] = x509_issued_by(chain->cert[i], chain->cert[i + 1 < chain->count ? i + 1 : i]);
		hashed &= x509_key_hash(chain->cert[i], new.key[i], err) == 0 &&
			  x509_digest(chain->cert[i], new.digest[i], err) == 0;
	}
	list = hashed ? grow(c, c->chains, c->chain_count, sizeof(*list), "chains of certificates", err)
		      : NULL;
	if (!list) {
		x509_chain_free(chain);
		return -1;
	}
	c->chains = list;
	list[c->chain_count++] = new;
	settle(c);
	return 0;
}

X509 *collateral_certificate(const struct collateral *const sources[2], const uint8_t *der, size_t n)
{
	uint8_t digest[SHA256_LEN];

	sha256(der, n, digest);
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; sources[s] && i < sources[s]->chain_count; i++) {
			const struct known_chain *k = &sources[s]->chains[i];

			for (size_t m = 0; m < k->certs.count; m++)
				if (memcmp(k->digest[m], digest, sizeof(digest)) == 0)
					return k->certs.cert[m];
		}
	}
	return NULL;
}

int collateral_take_crl(struct collateral *c, X509_CRL *crl, struct error *err)
{
	struct known_crl *list = grow(c, c->crls, c->crl_count, sizeof(*list), "revocation lists", err), *new;

	if (!list) {
		X509_CRL_free(crl);
		return -1;
	}
	c->crls = list;
	new = &list[c->crl_count++];
	*new = (struct known_crl){.crl = crl};
	new->dated = x509_crl_times(crl, &new->from, &new->to) == 0;
	prove_crl(c, new);
	return 0;
}

int collateral_add_document(struct collateral *c, enum intel_document_kind kind, struct bytes body,
	const uint8_t signature[64], struct error *err)
{
	struct known_document new = {0}, *list;
	uint8_t *copy;

	if (intel_document_parse(body.p, body.n, kind, &new.doc, err) < 0)
		return -1;
	copy = malloc(body.n);
	list = copy ? grow(c, c->documents, c->document_count, sizeof(*list), "signed documents", err) : NULL;
	if (!list) {
		if (!copy)
			error_set(err, ERR_NOMEM, "no memory");
		free(copy);
		intel_document_free(&new.doc);
		return -1;
	}
	memcpy(copy, body.p, body.n);
	new.body = (struct bytes){copy, body.n};
	memcpy(new.signature, signature, sizeof(new.signature));
	c->documents = list;
	prove_document(c, &new);
	list[c->document_count++] = new;
	return 0;
}
