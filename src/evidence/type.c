#include "evidence/type.h"

#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "evidence/nitro.h"
#include "evidence/sgx.h"
#include "evidence/sim.h"
#include "evidence/snp.h"
#include "evidence/tdx.h"
#include "evidence/tpm.h"

/* One row a type; a bare statement is given to the first that recognises it. */
static const struct evidence_type types[] = {
	{TEE_SIM, sim_is, sim_verify, sim_show, NULL},
	{TEE_SGX, sgx_is, sgx_verify, sgx_show, sgx_describe},
	{TEE_TDX, tdx_is, tdx_verify, tdx_show, tdx_describe},
	{TEE_SNP, snp_is, snp_verify, snp_show, snp_describe},
	{TEE_TPM, tpm_is, tpm_verify, tpm_show, tpm_describe},
	{TEE_NITRO, nitro_is, nitro_verify, nitro_show, nitro_describe},
};
#define TYPE_COUNT (sizeof(types) / sizeof(*types))

const struct evidence_type *evidence_type(enum tee_type tee)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (types[i].tee == tee)
			return &types[i];
	return NULL;
}

const struct evidence_type *evidence_type_recognise(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (types[i].is && types[i].is(p, n))
			return &types[i];
	return NULL;
}

int json_set_hex(json_t *into, const char *key, const void *p, size_t n)
{
	char *text = malloc(2 * n + 1);
	int rc;

	if (!text)
		return -1;
	hex_encode(p, n, text);
	rc = json_object_set_new(into, key, json_string(text));
	free(text);
	return rc;
}

/* Zeros stand for "does not say". */
static int set_hex_if(json_t *into, const char *key, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return json_set_hex(into, key, p, n);
	return 0;
}

static int set_number_if(json_t *into, const char *key, uint64_t v)
{
	return v ? json_object_set_new(into, key, json_integer((json_int_t)v)) : 0;
}

static int set_advisories(const struct verdict *v, json_t *into)
{
	json_t *list = json_array();
	int rc = 0;

	for (size_t i = 0; list && i < v->advisory_count; i++)
		rc |= json_array_append_new(list, json_string(v->advisories[i]));
	return json_object_set_new(into, "advisories", list) | rc;
}

static int set_detail(const struct verdict *v, json_t *into)
{
	const struct evidence_type *t = evidence_type(v->tee);
	json_t *detail;
	int rc;

	if (!t || !t->describe)
		return 0;
	detail = json_object();
	rc = detail ? t->describe(v, detail) : -1;
	return json_object_set_new(into, "detail", detail) | rc;
}

json_t *verdict_json(const struct verdict *v)
{
	json_t *j = json_pack("{s:s,s:b,s:b,s:s}", "tee", tee_type_name(v->tee), "debug", v->debug,
		"simulated", v->simulated, "tcb_status", tcb_status_name(v->tcb_status));
	int rc;

	if (!j)
		return NULL;
	rc = (v->tcb_unlisted ? json_object_set_new(j, "tcb_unlisted", json_true()) : 0) |
	     set_number_if(j, "tcb_date", v->tcb_date) | set_advisories(v, j) |
	     set_hex_if(j, "measurement", v->measurement, sizeof(v->measurement)) |
	     set_hex_if(j, "signer", v->signer, sizeof(v->signer)) |
	     set_number_if(j, "isvprodid", v->isvprodid) | set_number_if(j, "isvsvn", v->isvsvn) |
	     set_hex_if(j, "launch", v->launch, v->launch_len) |
	     set_hex_if(j, "runtime_digest", v->runtime_digest, sizeof(v->runtime_digest)) |
	     set_hex_if(j, "manifest_root", v->manifest_root, sizeof(v->manifest_root)) |
	     json_set_hex(j, "report_data", v->report_data, sizeof(v->report_data)) |
	     json_set_hex(j, "platform", v->platform, sizeof(v->platform)) |
	     set_hex_if(j, "las_key", v->las_key, sizeof(v->las_key)) |
	     set_hex_if(j, "platform_nonce", v->platform_nonce, sizeof(v->platform_nonce)) |
	     set_number_if(j, "issued_at", v->issued_at) | set_number_if(j, "valid_until", v->valid_until) |
	     set_detail(v, j);
	if (rc == 0)
		return j;
	json_decref(j);
	return NULL;
}

static const char *const item_names[ITEM_END] = {
	[ITEM_STATEMENT] = "statement",
	[ITEM_SIGNATURE] = "signature",
	[ITEM_KEY] = "key",
	[ITEM_CERTIFICATES] = "certificates",
	[ITEM_COLLATERAL] = "collateral",
	[ITEM_EVENT_LOG] = "event_log",
	[ITEM_VALUES] = "values",
	[ITEM_WORKLOAD] = "workload",
	[ITEM_LAS] = "las",
};

static json_t *items_json(const struct evidence *e)
{
	json_t *items = json_object();
	int rc = items ? 0 : -1;

	for (size_t i = 1; i < ITEM_END && rc == 0; i++)
		if (e->item[i].p)
			rc = json_object_set_new(
				items, item_names[i], json_integer((json_int_t)e->item[i].n));
	if (rc == 0)
		return items;
	json_decref(items);
	return NULL;
}

int evidence_show(const struct evidence *e, json_t **ret, struct error *err)
{
	const struct evidence_type *t = evidence_type(e->tee);
	json_t *j;

	if (!t || !e->item[ITEM_STATEMENT].p)
		return error_set(
			err, ERR_INPUT, "evidence of type %s has no statement", tee_type_name(e->tee));
	j = json_pack("{s:s,s:o}", "tee", tee_type_name(e->tee), "items", items_json(e));
	if (!j)
		return error_set(err, ERR_NOMEM, "no memory");
	if (t->show(e, j, err) < 0) {
		json_decref(j);
		return -1;
	}
	*ret = j;
	return 0;
}
