#include "evidence/tdx.h"

#include <string.h>
#include "evidence/intel_verify.h"
#include "evidence/type.h"

/* The first byte (TUD) has everything that lets the host look in: DEBUG, and the profiling of a TD. Known in the rest, by bit: 16 ICSSD, 27 LASS, 28
 * SEPT_VE_DISABLE, 29 MIGRATABLE, 30 PKS, 31 KL, 62 TPA, 63 PERFMON (Intel TDX module ABI specification, ATTRIBUTES). */
static const uint8_t attributes_known[8] = {0xff, 0x00, 0x01, 0xf8, 0x00, 0x00, 0x00, 0xc0};

bool tdx_is(const uint8_t *p, size_t n)
{
	return intel_quote_is(p, n, TEE_TDX);
}

static void fill_detail(
	const struct intel_quote *q, const struct intel_platform *platform, struct tdx_detail *d)
{
	const struct td_report *r = q->td;

	memcpy(d->tee_tcb_svn, r->tee_tcb_svn, sizeof(d->tee_tcb_svn));
	memcpy(d->mr_seam, r->mr_seam, sizeof(d->mr_seam));
	memcpy(d->mr_signer_seam, r->mr_signer_seam, sizeof(d->mr_signer_seam));
	memcpy(d->seam_attributes, r->seam_attributes, sizeof(d->seam_attributes));
	memcpy(d->td_attributes, r->td_attributes, sizeof(d->td_attributes));
	memcpy(d->xfam, r->xfam, sizeof(d->xfam));
	memcpy(d->mr_config_id, r->mr_config_id, sizeof(d->mr_config_id));
	memcpy(d->mr_owner, r->mr_owner, sizeof(d->mr_owner));
	memcpy(d->mr_owner_config, r->mr_owner_config, sizeof(d->mr_owner_config));
	memcpy(d->rtmr, r->rtmr, sizeof(d->rtmr));
	d->v1_5 = q->td_15;
	if (q->td_15) {
		memcpy(d->tee_tcb_svn2, r->tee_tcb_svn2, sizeof(d->tee_tcb_svn2));
		memcpy(d->mr_service_td, r->mr_service_td, sizeof(d->mr_service_td));
	}
	memcpy(d->fmspc, platform->pck.fmspc, sizeof(d->fmspc));
	memcpy(d->pce_id, platform->pck.pce_id, sizeof(d->pce_id));
	memcpy(d->qe_id, platform->qe_id, sizeof(d->qe_id));
	d->pce_svn = platform->pce_svn;
	d->qe_svn = platform->qe_svn;
	d->tcb_evaluation_number = platform->tcb_evaluation_number;
	d->qe_status = platform->qe_status;
	d->module_status = platform->module_status;
}

static int check_attributes(const struct td_report *r, struct error *err)
{
	for (size_t i = 0; i < sizeof(attributes_known); i++)
		if (r->td_attributes[i] & ~attributes_known[i])
			return evidence_refuse(err, CHECK_ATTRIBUTES,
				"quote: byte %zu of the TD's attributes is 0x%02x, wanted no bits but those "
				"of 0x%02x",
				i, r->td_attributes[i], attributes_known[i]);
	return 0;
}

int tdx_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct intel_platform platform;
	struct verdict v = {0};
	struct intel_quote q;

	if (intel_verify(e, TEE_TDX, ctx, &q, &platform, &v, err) < 0 || check_attributes(q.td, err) < 0)
		return -1;
	v.debug = q.td->td_attributes[0] != 0;
	memcpy(v.launch, q.td->mr_td, sizeof(q.td->mr_td));
	v.launch_len = sizeof(q.td->mr_td);
	fill_detail(&q, &platform, &v.detail.tdx);
	*ret = v;
	return 0;
}

static int set_rtmrs(const uint8_t rtmr[4][48], json_t *into)
{
	static const char *const keys[] = {"rtmr0", "rtmr1", "rtmr2", "rtmr3"};
	int rc = 0;

	for (size_t i = 0; i < 4; i++)
		rc |= json_set_hex(into, keys[i], rtmr[i], 48);
	return rc;
}

int tdx_show(const struct evidence *e, json_t *into, struct error *err)
{
	const struct bytes *b = &e->item[ITEM_STATEMENT];
	const struct td_report *r;
	struct intel_quote q;
	int rc;

	if (intel_quote_parse(b->p, b->n, TEE_TDX, &q, err) < 0)
		return -1;
	r = q.td;
	rc = intel_quote_show(&q, into) |
	     json_object_set_new(into, "td_report", json_string(q.td_15 ? "1.5" : "1.0")) |
	     json_set_hex(into, "mrtd", r->mr_td, 48) | set_rtmrs(r->rtmr, into) |
	     json_object_set_new(into, "debug", json_boolean(r->td_attributes[0])) |
	     json_set_hex(into, "td_attributes", r->td_attributes, 8) |
	     json_set_hex(into, "xfam", r->xfam, 8) | json_set_hex(into, "mrconfigid", r->mr_config_id, 48) |
	     json_set_hex(into, "mrowner", r->mr_owner, 48) |
	     json_set_hex(into, "mrownerconfig", r->mr_owner_config, 48) |
	     json_set_hex(into, "tee_tcb_svn", r->tee_tcb_svn, 16) |
	     json_set_hex(into, "mrseam", r->mr_seam, 48) |
	     json_set_hex(into, "mrsignerseam", r->mr_signer_seam, 48) |
	     json_set_hex(into, "report_data", r->report_data, REPORT_DATA_LEN);
	if (q.td_15)
		rc |= json_set_hex(into, "tee_tcb_svn2", r->tee_tcb_svn2, 16) |
		      json_set_hex(into, "mrservicetd", r->mr_service_td, 48);
	return rc ? error_set(err, ERR_NOMEM, "no memory") : 0;
}

int tdx_describe(const struct verdict *v, json_t *into)
{
	const struct tdx_detail *d = &v->detail.tdx;
	int rc = intel_platform_describe(d->fmspc, d->pce_id, d->pce_svn, d->qe_svn, d->tcb_evaluation_number,
			 d->qe_status, into) |
		 json_object_set_new(into, "module_status", json_string(tcb_status_name(d->module_status))) |
		 json_set_hex(into, "qe_id", d->qe_id, 16) |
		 json_set_hex(into, "tee_tcb_svn", d->tee_tcb_svn, 16) |
		 json_set_hex(into, "mrseam", d->mr_seam, 48) |
		 json_set_hex(into, "mrsignerseam", d->mr_signer_seam, 48) |
		 json_set_hex(into, "seam_attributes", d->seam_attributes, 8) |
		 json_set_hex(into, "td_attributes", d->td_attributes, 8) |
		 json_set_hex(into, "xfam", d->xfam, 8) | set_rtmrs(d->rtmr, into) |
		 json_set_hex(into, "mrconfigid", d->mr_config_id, 48) |
		 json_set_hex(into, "mrowner", d->mr_owner, 48) |
		 json_set_hex(into, "mrownerconfig", d->mr_owner_config, 48);

	if (d->v1_5)
		rc |= json_set_hex(into, "tee_tcb_svn2", d->tee_tcb_svn2, 16) |
		      json_set_hex(into, "mrservicetd", d->mr_service_td, 48);
	return rc;
}
