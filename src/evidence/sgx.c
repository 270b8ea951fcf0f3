#include "evidence/sgx.h"

#include <string.h>
#include "evidence/intel_verify.h"
#include "evidence/type.h"

bool sgx_is(const uint8_t *p, size_t n)
{
	return intel_quote_is(p, n, TEE_SGX);
}

static void fill_detail(
	const struct sgx_report *r, const struct intel_platform *platform, struct sgx_detail *d)
{
	memcpy(d->cpu_svn, r->cpu_svn, sizeof(d->cpu_svn));
	memcpy(d->attributes, r->attributes, sizeof(d->attributes));
	memcpy(d->config_id, r->config_id, sizeof(d->config_id));
	memcpy(d->isv_ext_prod_id, r->isv_ext_prod_id, sizeof(d->isv_ext_prod_id));
	memcpy(d->isv_family_id, r->isv_family_id, sizeof(d->isv_family_id));
	memcpy(d->fmspc, platform->pck.fmspc, sizeof(d->fmspc));
	memcpy(d->pce_id, platform->pck.pce_id, sizeof(d->pce_id));
	memcpy(d->qe_id, platform->qe_id, sizeof(d->qe_id));
	d->misc_select = intel_u32(r->misc_select);
	d->config_svn = intel_u16(r->config_svn);
	d->pce_svn = platform->pce_svn;
	d->qe_svn = platform->qe_svn;
	d->tcb_evaluation_number = platform->tcb_evaluation_number;
	d->qe_status = platform->qe_status;
}

int sgx_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct intel_platform platform;
	struct verdict v = {0};
	struct intel_quote q;

	if (intel_verify(e, TEE_SGX, ctx, &q, &platform, &v, err) < 0)
		return -1;
	if (!(q.sgx->attributes[0] & SGX_ATTRIBUTE_INIT))
		return evidence_refuse(err, CHECK_ATTRIBUTES,
			"quote: attributes of the enclave begin with 0x%02x, wanted INIT (0x%02x) among them",
			q.sgx->attributes[0], SGX_ATTRIBUTE_INIT);
	v.debug = q.sgx->attributes[0] & SGX_ATTRIBUTE_DEBUG;
	memcpy(v.measurement, q.sgx->mr_enclave, sizeof(v.measurement));
	memcpy(v.signer, q.sgx->mr_signer, sizeof(v.signer));
	memcpy(v.launch, q.sgx->mr_enclave, sizeof(q.sgx->mr_enclave));
	v.launch_len = sizeof(q.sgx->mr_enclave);
	v.isvprodid = intel_u16(q.sgx->isv_prod_id);
	v.isvsvn = intel_u16(q.sgx->isv_svn);
	fill_detail(q.sgx, &platform, &v.detail.sgx);
	*ret = v;
	return 0;
}

int sgx_show(const struct evidence *e, json_t *into, struct error *err)
{
	const struct bytes *b = &e->item[ITEM_STATEMENT];
	const struct sgx_report *r;
	struct intel_quote q;

	if (intel_quote_parse(b->p, b->n, TEE_SGX, &q, err) < 0)
		return -1;
	r = q.sgx;
	if (intel_quote_show(&q, into) | json_set_hex(into, "mrenclave", r->mr_enclave, 32) |
		json_set_hex(into, "mrsigner", r->mr_signer, 32) |
		json_object_set_new(into, "isvprodid", json_integer(intel_u16(r->isv_prod_id))) |
		json_object_set_new(into, "isvsvn", json_integer(intel_u16(r->isv_svn))) |
		json_object_set_new(into, "debug", json_boolean(r->attributes[0] & SGX_ATTRIBUTE_DEBUG)) |
		json_set_hex(into, "attributes", r->attributes, 16) |
		json_set_hex(into, "cpu_svn", r->cpu_svn, 16) |
		json_set_hex(into, "report_data", r->report_data, REPORT_DATA_LEN))
		return error_set(err, ERR_NOMEM, "no memory");
	return 0;
}

int sgx_describe(const struct verdict *v, json_t *into)
{
	const struct sgx_detail *d = &v->detail.sgx;

	return intel_platform_describe(d->fmspc, d->pce_id, d->pce_svn, d->qe_svn, d->tcb_evaluation_number,
		       d->qe_status, into) |
	       json_set_hex(into, "qe_id", d->qe_id, 16) |
	       json_set_hex(into, "attributes", d->attributes, 16) |
	       json_set_hex(into, "cpu_svn", d->cpu_svn, 16) |
	       json_object_set_new(into, "misc_select", json_integer(d->misc_select)) |
	       json_set_hex(into, "config_id", d->config_id, 64) |
	       json_object_set_new(into, "config_svn", json_integer(d->config_svn)) |
	       json_set_hex(into, "isv_ext_prod_id", d->isv_ext_prod_id, 16) |
	       json_set_hex(into, "isv_family_id", d->isv_family_id, 16);
}
