#include "evidence/intel_collateral.h"

#include <stdio.h>
#include <string.h>
#include "core/encode.h"
#include "evidence/collateral_store.h"
#include "evidence/intel_chain.h"
#include "evidence/intel_json.h"

#define CANDIDATES_MAX 32
#define SERVICE "https://api.trustedservices.intel.com/"

static const char *document_name(const struct intel_wanted *w)
{
	bool tdx = w->tee == TEE_TDX;

	if (w->kind == INTEL_TCB_INFO)
		return tdx ? "TDX TCB info" : "SGX TCB info";
	return tdx ? "TD QE identity" : "QE identity";
}

/* How to get the document. */
static void document_source(const struct intel_wanted *w, char *ret, size_t n)
{
	const char *tee = w->tee == TEE_TDX ? "tdx" : "sgx";
	char fmspc[13];

	if (w->kind == INTEL_QE_IDENTITY) {
		(void)snprintf(ret, n,
			"curl -i '" SERVICE "%s/certification/v4/qe/identity' >FILE, then scone collateral "
			"import FILE",
			tee);
		return;
	}
	hex_encode(w->pck->fmspc, sizeof(w->pck->fmspc), fmspc);
	(void)snprintf(ret, n,
		"curl -i '" SERVICE
		"%s/certification/v4/tcb?fmspc=%s' >FILE, then scone collateral import FILE",
		tee, fmspc);
}

static bool fits(const struct intel_wanted *w, const struct intel_document *d)
{
	return d->kind == w->kind && d->tee == w->tee &&
	       (w->kind != INTEL_TCB_INFO ||
		       (memcmp(d->fmspc, w->pck->fmspc, sizeof(d->fmspc)) == 0 &&
			       memcmp(d->pce_id, w->pck->pce_id, sizeof(d->pce_id)) == 0));
}

static bool better(const struct intel_document *a, const struct intel_document *b)
{
	return a->number != b->number ? a->number > b->number : a->issued > b->issued;
}

struct candidates {
	const struct known_document *list[CANDIDATES_MAX]; /* best first */
	size_t count;
	const struct intel_document *other; /* of the same kind and TEE, for other platforms */
};

static void insert(struct candidates *c, const struct known_document *d)
{
	size_t at = 0;

	while (at < c->count && !better(&d->doc, &c->list[at]->doc))
		at++;
	if (at == CANDIDATES_MAX)
		return;
	if (c->count == CANDIDATES_MAX)
		c->count--;
	memmove(&c->list[at + 1], &c->list[at], (c->count - at) * sizeof(c->list[0]));
	c->list[at] = d;
	c->count++;
}

static void collect(
	const struct intel_wanted *w, const struct collateral *const sources[2], struct candidates *c)
{
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; sources[s] && i < sources[s]->document_count; i++) {
			const struct known_document *d = &sources[s]->documents[i];

			if (fits(w, &d->doc))
				insert(c, d);
			else if (d->doc.kind == w->kind && d->doc.tee == w->tee)
				c->other = &d->doc;
		}
	}
}

static int none(const struct intel_wanted *w, const struct candidates *c, struct error *err)
{
	char source[256], seen[13], wanted[13], seen_pce[5], wanted_pce[5];

	document_source(w, source, sizeof(source));
	if (!c->other || w->kind != INTEL_TCB_INFO)
		return evidence_refuse(err, CHECK_COLLATERAL_MISSING, "seen no %s, wanted one: %s",
			document_name(w), source);
	hex_encode(c->other->fmspc, 6, seen);
	hex_encode(w->pck->fmspc, 6, wanted);
	hex_encode(c->other->pce_id, 2, seen_pce);
	hex_encode(w->pck->pce_id, 2, wanted_pce);
	return evidence_refuse(err, CHECK_COLLATERAL_MATCH,
		"%s is for FMSPC %s and PCE %s, wanted FMSPC %s and PCE %s: %s", document_name(w), seen,
		seen_pce, wanted, wanted_pce, source);
}

static bool has_key(const struct known_chain *k, const struct known_document *d)
{
	for (size_t i = 0; i < k->certs.count; i++)
		if (d->proven ? memcmp(k->key[i], d->signer_key, sizeof(d->signer_key)) == 0
			      : collateral_signed_by(d, k->certs.cert[i]))
			return true;
	return false;
}

/* Some chain that has the key of the signature is good. */
static int check_signer(const struct intel_wanted *w, const struct known_document *d,
	const struct verify_context *ctx, const struct collateral *const sources[2], uint64_t *ret_until,
	struct error *err)
{
	bool found = false;
	struct error why;

	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; sources[s] && i < sources[s]->chain_count; i++) {
			const struct known_chain *k = &sources[s]->chains[i];

			if (!has_key(k, d))
				continue;
			if (intel_chain_check(&k->certs, &intel_chain_tcb, ctx, w->tee, sources, ret_until,
				    found ? &why : err) == 0)
				return 0;
			found = true;
		}
	}
	if (found)
		return error_wrap(err, "%s", document_name(w));
	return evidence_refuse(err, CHECK_COLLATERAL_SIGNATURE,
		"%s: its signature is by none of the keys in the issuer chains that are here",
		document_name(w));
}

static int check_dates(const struct intel_wanted *w, const struct intel_document *d,
	const struct verify_context *ctx, struct error *err)
{
	char source[256], from[32], to[32], now[32];

	if (ctx->now >= d->issued && ctx->now < d->next_update)
		return 0;
	document_source(w, source, sizeof(source));
	time_text(d->issued, from);
	time_text(d->next_update, to);
	time_text(ctx->now, now);
	return evidence_refuse(err, CHECK_COLLATERAL_TIME, "%s is valid from %s to %s, wanted one for %s: %s",
		document_name(w), from, to, now, source);
}

static int check_number(const struct intel_wanted *w, const struct intel_document *d,
	const struct verify_context *ctx, struct error *err)
{
	char source[256];

	if (d->number >= ctx->min_tcb_evaluation_number)
		return 0;
	document_source(w, source, sizeof(source));
	return evidence_refuse(err, CHECK_COLLATERAL_NUMBER,
		"%s has the evaluation number %u, wanted at least %u: %s", document_name(w), d->number,
		ctx->min_tcb_evaluation_number, source);
}

int intel_document_check(const struct intel_wanted *w, const struct known_document *d,
	const struct verify_context *ctx, const struct collateral *const sources[2], uint64_t *ret_until,
	struct error *err)
{
	if (check_signer(w, d, ctx, sources, ret_until, err) < 0 || check_dates(w, &d->doc, ctx, err) < 0)
		return -1;
	return check_number(w, &d->doc, ctx, err);
}

int intel_collateral_find(const struct intel_wanted *w, const struct verify_context *ctx,
	const struct collateral *const sources[2], const struct intel_document **ret, uint64_t *until,
	struct error *err)
{
	struct candidates c = {.count = 0};
	struct error why;
	uint64_t chain_until;

	collect(w, sources, &c);
	if (c.count == 0)
		return none(w, &c, err);
	for (size_t i = 0; i < c.count; i++) {
		const struct known_document *d = c.list[i];
		struct error *to = i == 0 ? err : &why;

		if (intel_document_check(w, d, ctx, sources, &chain_until, to) < 0)
			continue;
		if (chain_until < *until)
			*until = chain_until;
		if (d->doc.next_update < *until)
			*until = d->doc.next_update;
		*ret = &d->doc;
		return 0;
	}
	return -1;
}
