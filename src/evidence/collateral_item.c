#include "evidence/collateral_item.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/x509.h"
#include "evidence/collateral_store.h"
#include "evidence/intel_chain.h"
#include "evidence/intel_collateral.h"
#include "evidence/intel_json.h"
#include "evidence/type.h"

#define ISSUER_NAME_MAX 65

size_t collateral_items(const struct collateral *c)
{
	return c->document_count + c->crl_count;
}

/* "Intel SGX PCK Platform CA" -> "intel-sgx-pck-platform-ca" */
static void slug(const char *text, char *ret, size_t n)
{
	size_t k = 0;

	for (; *text && k + 1 < n; text++) {
		if (isalnum((unsigned char)*text))
			ret[k++] = (char)tolower((unsigned char)*text);
		else if (k > 0 && ret[k - 1] != '-')
			ret[k++] = '-';
	}
	ret[k] = '\0';
}

static void describe_document(const struct intel_document *d, struct collateral_item *ret)
{
	const char *tee = tee_type_name(d->tee);
	char fmspc[13], pce[5];

	ret->from = d->issued;
	ret->until = d->next_update;
	ret->number = d->number;
	if (d->kind == INTEL_QE_IDENTITY) {
		(void)snprintf(ret->name, sizeof(ret->name), "intel-%s-qe.json", tee);
		(void)snprintf(ret->what, sizeof(ret->what), "identity of the quoting enclave for %s", tee);
		return;
	}
	hex_encode(d->fmspc, sizeof(d->fmspc), fmspc);
	hex_encode(d->pce_id, sizeof(d->pce_id), pce);
	(void)snprintf(ret->name, sizeof(ret->name), "intel-%s-tcb-%s-%s.json", tee, fmspc, pce);
	(void)snprintf(ret->what, sizeof(ret->what), "TCB info for %s, FMSPC %s, PCE %s", tee, fmspc, pce);
}

static void describe_crl(const struct known_crl *l, struct collateral_item *ret)
{
	char issuer[ISSUER_NAME_MAX], name[ISSUER_NAME_MAX];

	x509_crl_issuer_name(l->crl, issuer, sizeof(issuer));
	slug(issuer, name, sizeof(name));
	(void)snprintf(ret->name, sizeof(ret->name), "crl-%s.json", name);
	(void)snprintf(ret->what, sizeof(ret->what), "revocation list of %s", issuer);
	ret->from = l->from;
	ret->until = l->to;
}

void collateral_item(const struct collateral *c, size_t i, struct collateral_item *ret)
{
	*ret = (struct collateral_item){.number = 0};
	if (i < c->document_count)
		describe_document(&c->documents[i].doc, ret);
	else
		describe_crl(&c->crls[i - c->document_count], ret);
}

bool collateral_item_newer(const struct collateral_item *a, const struct collateral_item *b)
{
	return a->number != b->number ? a->number > b->number : a->from > b->from;
}

/* The chain that has the certificate with this key; *ret_at: which one it is. */
static const struct known_chain *chain_of(
	const struct collateral *c, const uint8_t key[SHA256_LEN], size_t *ret_at)
{
	for (size_t i = 0; i < c->chain_count; i++) {
		for (size_t k = 0; k < c->chains[i].certs.count; k++) {
			if (memcmp(c->chains[i].key[k], key, SHA256_LEN) == 0) {
				*ret_at = k;
				return &c->chains[i];
			}
		}
	}
	return NULL;
}

static bool any_root(const struct verify_context *ctx, const uint8_t key[SHA256_LEN])
{
	return verify_root_trusted(ctx, TEE_SGX, key, intel_root_key_hash, 1) ||
	       verify_root_trusted(ctx, TEE_TDX, key, intel_root_key_hash, 1);
}

static int check_crl(const struct known_crl *l, const struct collateral *c, const struct verify_context *ctx,
	struct error *err)
{
	char from[32], to[32], now[32];
	const struct known_chain *k;
	size_t at = 0;

	k = l->proven ? chain_of(c, l->issuer_key, &at) : NULL;
	if (!k)
		return evidence_refuse(err, CHECK_CRL_SIGNATURE,
			"it is signed by none of the certificates that are here; import its issuer's chain "
			"with it");
	for (size_t i = at; i < k->certs.count; i++)
		if (k->link[i] != X509_ISSUED)
			return evidence_refuse(err, CHECK_CHAIN_SIGNATURE,
				"certificate %zu of its issuer's chain is not issued by the next", i + 1);
	if (!any_root(ctx, k->key[k->certs.count - 1]))
		return evidence_refuse(
			err, CHECK_CHAIN_ROOT, "its issuer's chain ends in a root that is not trusted");
	if (l->dated && ctx->now >= l->from && ctx->now < l->to)
		return 0;
	time_text(l->from, from);
	time_text(l->to, to);
	time_text(ctx->now, now);
	return evidence_refuse(
		err, CHECK_CRL_TIME, "it is valid from %s to %s, wanted a list for %s", from, to, now);
}

static int check_document(const struct known_document *d, const struct collateral *c,
	const struct verify_context *ctx, struct error *err)
{
	const struct collateral *const sources[2] = {c, NULL};
	struct verify_context relaxed = *ctx;
	struct intel_pck pck = {.pce_svn = 0};
	const struct intel_wanted w = {d->doc.kind, d->doc.tee, d->doc.kind == INTEL_TCB_INFO ? &pck : NULL};
	uint64_t until;

	memcpy(pck.fmspc, d->doc.fmspc, sizeof(pck.fmspc));
	memcpy(pck.pce_id, d->doc.pce_id, sizeof(pck.pce_id));
	relaxed.allow_no_revocation = true;
	return intel_document_check(&w, d, &relaxed, sources, &until, err);
}

int collateral_item_check(
	const struct collateral *c, size_t i, const struct verify_context *ctx, struct error *err)
{
	return i < c->document_count ? check_document(&c->documents[i], c, ctx, err)
				     : check_crl(&c->crls[i - c->document_count], c, ctx, err);
}

static int set_chain(json_t *j, const char *key, const struct collateral *c, bool proven,
	const uint8_t signer[SHA256_LEN], struct error *err)
{
	const struct known_chain *k;
	struct buf pem;
	size_t at;
	int rc = 0;

	k = proven ? chain_of(c, signer, &at) : NULL;
	if (!k)
		return 0;
	buf_init(&pem, X509_CHAIN_MAX * 2 * X509_DER_MAX);
	for (size_t i = 0; i < k->certs.count && rc == 0; i++)
		rc = x509_to_pem(k->certs.cert[i], &pem, err);
	if (rc == 0 && json_object_set_new(j, key, json_stringn((char *)pem.data, pem.len)) < 0)
		rc = error_set(err, ERR_NOMEM, "no memory");
	buf_free(&pem);
	return rc;
}

static int fill_document(
	const struct collateral *c, const struct known_document *d, json_t *j, struct error *err)
{
	bool info = d->doc.kind == INTEL_TCB_INFO;

	if (json_object_set_new(j, info ? "tcb_info" : "qe_identity",
		    json_stringn((const char *)d->body.p, d->body.n)) < 0 ||
		json_set_hex(j, info ? "tcb_info_signature" : "qe_identity_signature", d->signature,
			sizeof(d->signature)) < 0)
		return error_set(err, ERR_NOMEM, "no memory");
	return set_chain(j, info ? "tcb_info_issuer_chain" : "qe_identity_issuer_chain", c, d->proven,
		d->signer_key, err);
}

static int fill_crl(const struct collateral *c, const struct known_crl *l, json_t *j, struct error *err)
{
	struct buf der;
	int rc;

	buf_init(&der, X509_CRL_DER_MAX);
	rc = x509_crl_to_der(l->crl, &der, err);
	if (rc == 0 && json_set_hex(j, "pck_crl", der.data, der.len) < 0)
		rc = error_set(err, ERR_NOMEM, "no memory");
	buf_free(&der);
	return rc < 0 ? -1 : set_chain(j, "pck_crl_issuer_chain", c, l->proven, l->issuer_key, err);
}

int collateral_item_write(const struct collateral *c, size_t i, struct buf *out, struct error *err)
{
	json_t *j = json_object();
	char *text = NULL;
	int rc;

	if (!j)
		return error_set(err, ERR_NOMEM, "no memory");
	rc = i < c->document_count ? fill_document(c, &c->documents[i], j, err)
				   : fill_crl(c, &c->crls[i - c->document_count], j, err);
	if (rc == 0) {
		text = json_dumps(j, JSON_INDENT(1));
		if (text)
			buf_puts(out, text);
		if (!text || out->failed)
			rc = error_set(err, ERR_NOMEM, "no room for the document");
	}
	free(text);
	json_decref(j);
	return rc;
}
