#include "evidence/intel_verify.h"

#include <string.h>
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "evidence/collateral_store.h"
#include "evidence/intel_collateral.h"
#include "evidence/type.h"

struct work {
	const struct evidence *e;
	const struct verify_context *ctx;
	enum tee_type tee;
	struct intel_quote q;
	struct intel_platform platform;
	struct x509_chain chain;
	struct collateral *carried; /* owned */
	const struct collateral *sources[2];
	uint64_t until;
};

static int load_carried(struct work *w, struct error *err)
{
	const struct bytes *b = &w->e->item[ITEM_COLLATERAL];
	struct error why;

	w->sources[0] = w->ctx->collateral;
	if (!b->p)
		return 0;
	w->carried = collateral_new_limited(CARRIED_MAX);
	if (!w->carried)
		return error_set(err, ERR_NOMEM, "no memory");
	w->sources[1] = w->carried;
	if (collateral_add(w->carried, b->p, b->n, &why) == 0)
		return 0;
	if (why.code == ERR_ATTEST) {
		if (err)
			*err = why;
		return -1;
	}
	return evidence_refuse(
		err, CHECK_COLLATERAL_FORMAT, "collateral carried with the quote: %s", why.text);
}

static X509 *known_certificate(const void *sources, const uint8_t *der, size_t n)
{
	return collateral_certificate(sources, der, n);
}

/* In the quote, or beside it where the quote only names the platform (certification data 1 to 4). */
static int load_chain(struct work *w, struct error *err)
{
	const struct bytes *beside = &w->e->item[ITEM_CERTIFICATES];
	struct bytes b = w->q.certification;
	struct error why;

	if (w->q.certification_type != CERTIFICATION_PCK_CHAIN) {
		if (!beside->p)
			return evidence_refuse(err, CHECK_CHAIN_MISSING,
				"quote: certification data are of type %u, wanted %d (PCK chain), or the "
				"chain "
				"given "
				"beside it",
				w->q.certification_type, CERTIFICATION_PCK_CHAIN);
		b = *beside;
	}
	if (x509_chain_from_pem_known(b.p, b.n, known_certificate, w->sources, &w->chain, &why) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, "PCK chain: %s", why.text);
	return 0;
}

/* The PCK signed the QE's report, and that names the attestation key. */
static int check_qe(const struct work *w, struct error *err)
{
	EVP_PKEY *pck = X509_get0_pubkey(w->chain.cert[0]);
	uint8_t wanted[REPORT_DATA_LEN] = {0};
	struct sha256_ctx *h;

	if (!pck || key_verify_rs(pck, w->q.qe_report, sizeof(*w->q.qe_report), w->q.qe_signature,
			    w->q.qe_signature + 32, 32, NULL) < 0)
		return evidence_refuse(err, CHECK_QE_SIGNATURE,
			"quote: the report of the quoting enclave is not signed by the key of the PCK "
			"certificate");
	h = sha256_new();
	if (!h)
		return error_set(err, ERR_NOMEM, "no memory");
	sha256_update(h, w->q.attestation_key, 64);
	sha256_update(h, w->q.qe_auth.p, w->q.qe_auth.n);
	sha256_final(h, wanted);
	if (!secret_equal(wanted, w->q.qe_report->report_data, sizeof(wanted)))
		return evidence_refuse_bytes(err, CHECK_QE_BINDING,
			"quote: hash of attestation key and authentication data in the QE's report",
			w->q.qe_report->report_data, wanted, sizeof(wanted));
	return 0;
}

static int check_signature(const struct work *w, struct error *err)
{
	EVP_PKEY *k = NULL;
	int bad = key_ec_from_raw(w->q.attestation_key, w->q.attestation_key + 32, 32, &k, NULL);

	if (bad == 0)
		bad = key_verify_rs(k, w->q.signed_part.p, w->q.signed_part.n, w->q.signature,
			w->q.signature + 32, 32, NULL);
	EVP_PKEY_free(k);
	return bad ? evidence_refuse(err, CHECK_SIGNATURE,
			     "quote: header and body are not signed by its attestation key")
		   : 0;
}

static int check_tcb(struct work *w, struct verdict *v, struct error *err)
{
	const struct intel_wanted want_identity = {INTEL_QE_IDENTITY, w->tee, NULL};
	const struct intel_wanted want_info = {INTEL_TCB_INFO, w->tee, &w->platform.pck};
	const struct intel_document *identity, *info;
	struct intel_tcb qe, module = {TCB_NOT_JUDGED, 0}, tcb;

	if (intel_collateral_find(&want_identity, w->ctx, w->sources, &identity, &w->until, err) < 0 ||
		intel_qe_match(identity, w->q.qe_report, &qe, v, err) < 0 ||
		intel_collateral_find(&want_info, w->ctx, w->sources, &info, &w->until, err) < 0)
		return -1;
	if (w->tee == TEE_TDX && intel_module_match(info, w->q.td, &module, v, err) < 0)
		return -1;
	if (intel_tcb_match(info, &w->platform.pck, w->q.td ? w->q.td->tee_tcb_svn : NULL, &tcb, v, err) < 0)
		return -1;
	v->tcb_status = intel_tcb_worse(intel_tcb_worse(tcb.status, module.status), qe.status);
	v->tcb_date = tcb.date;
	if (v->tcb_status == TCB_REVOKED)
		return evidence_refuse(err, CHECK_TCB_STATUS,
			"TCB status is Revoked (platform %s, quoting enclave %s, TDX module %s), which "
			"nothing "
			"tolerates",
			tcb_status_name(tcb.status), tcb_status_name(qe.status),
			tcb_status_name(module.status));
	w->platform.tcb_evaluation_number = info->number;
	w->platform.qe_status = qe.status;
	w->platform.module_status = module.status;
	return 0;
}

static int verify(struct work *w, struct verdict *v, struct error *err)
{
	const uint8_t *report_data;

	if (load_carried(w, err) < 0 || load_chain(w, err) < 0 ||
		intel_pck_chain_check(
			&w->chain, w->ctx, w->tee, w->sources, &w->platform.pck, &w->until, err) < 0)
		return -1;
	if (check_qe(w, err) < 0 || check_signature(w, err) < 0)
		return -1;
	report_data = w->q.td ? w->q.td->report_data : w->q.sgx->report_data;
	if (verify_report_data(w->ctx, "quote", report_data, err) < 0 || check_tcb(w, v, err) < 0 ||
		x509_key_hash(w->chain.cert[0], v->platform, err) < 0)
		return -1;
	w->platform.pce_svn = w->platform.pck.pce_svn;
	memcpy(w->platform.qe_id, w->q.header->user_data, sizeof(w->platform.qe_id));
	w->platform.qe_svn = intel_u16(w->q.qe_report->isv_svn);
	memcpy(v->report_data, report_data, REPORT_DATA_LEN);
	v->tee = w->tee;
	v->valid_until = w->until;
	return 0;
}

int intel_verify(const struct evidence *e, enum tee_type tee, const struct verify_context *ctx,
	struct intel_quote *ret_quote, struct intel_platform *ret, struct verdict *v, struct error *err)
{
	struct work w = {.e = e, .ctx = ctx, .tee = tee, .until = UINT64_MAX};
	int rc;

	if (intel_quote_parse(e->item[ITEM_STATEMENT].p, e->item[ITEM_STATEMENT].n, tee, &w.q, err) < 0)
		return -1;
	rc = verify(&w, v, err);
	x509_chain_free(&w.chain);
	collateral_free(w.carried);
	if (rc < 0)
		return -1;
	*ret_quote = w.q;
	*ret = w.platform;
	return 0;
}

int intel_quote_show(const struct intel_quote *q, json_t *into)
{
	return json_object_set_new(into, "version", json_integer(q->version)) |
	       json_set_hex(into, "attestation_key", q->attestation_key, 64) |
	       json_set_hex(into, "qe_signer", q->qe_report->mr_signer, 32) |
	       json_object_set_new(into, "qe_product", json_integer(intel_u16(q->qe_report->isv_prod_id))) |
	       json_object_set_new(into, "qe_svn", json_integer(intel_u16(q->qe_report->isv_svn))) |
	       json_object_set_new(into, "certification_type", json_integer(q->certification_type));
}

int intel_platform_describe(const uint8_t fmspc[6], const uint8_t pce_id[2], uint16_t pce_svn,
	uint16_t qe_svn, uint32_t number, enum tcb_status qe, json_t *into)
{
	return json_set_hex(into, "fmspc", fmspc, 6) | json_set_hex(into, "pce_id", pce_id, 2) |
	       json_object_set_new(into, "pce_svn", json_integer(pce_svn)) |
	       json_object_set_new(into, "qe_svn", json_integer(qe_svn)) |
	       json_object_set_new(into, "tcb_evaluation_number", json_integer(number)) |
	       json_object_set_new(into, "qe_status", json_string(tcb_status_name(qe)));
}
