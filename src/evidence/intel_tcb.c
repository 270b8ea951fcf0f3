#include "evidence/intel_tcb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "evidence/intel_json.h"

#define TCB_INFO_VERSION 3
#define QE_IDENTITY_VERSION 2
#define COMPONENTS 16
#define MODULE_PREFIX "TDX_"

static int parse_components(const json_t *tcb, const char *key, uint8_t ret[COMPONENTS], struct error *err)
{
	const json_t *list;
	uint32_t svn;

	if (intel_json_array(tcb, key, COMPONENTS, &list, err) < 0)
		return -1;
	if (json_array_size(list) != COMPONENTS)
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT,
			"member \"%s\": %zu components, wanted %d", key, json_array_size(list), COMPONENTS);
	for (size_t i = 0; i < COMPONENTS; i++) {
		if (intel_json_uint(json_array_get(list, i), "svn", 255, &svn, err) < 0)
			return -1;
		ret[i] = (uint8_t)svn;
	}
	return 0;
}

static int check_advisories(const json_t *list, struct error *err)
{
	struct verdict *v;
	int rc = 0;

	if (!json_is_array(list))
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT, "member \"advisoryIDs\": wanted a list");
	v = calloc(1, sizeof(*v));
	if (!v)
		return error_set(err, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
		const char *name = json_string_value(json_array_get(list, i));

		rc = verdict_add_advisory(v, name ? name : "", err);
	}
	free(v);
	return rc;
}

static int parse_level(const json_t *o, const struct intel_document *d, bool platform,
	struct intel_level *ret, struct error *err)
{
	const json_t *tcb = json_object_get(o, "tcb");
	struct intel_level l = {0};
	uint32_t svn;

	if (intel_json_uint(tcb, platform ? "pcesvn" : "isvsvn", 0xffff, &svn, err) < 0 ||
		intel_json_time(o, "tcbDate", &l.date, err) < 0 ||
		intel_json_status(o, "tcbStatus", &l.status, err) < 0)
		return -1;
	l.svn = (uint16_t)svn;
	if (platform && parse_components(tcb, "sgxtcbcomponents", l.sgx, err) < 0)
		return -1;
	if (platform && d->tee == TEE_TDX && parse_components(tcb, "tdxtcbcomponents", l.tdx, err) < 0)
		return -1;
	l.advisories = json_object_get(o, "advisoryIDs");
	if (l.advisories && check_advisories(l.advisories, err) < 0)
		return -1;
	*ret = l;
	return 0;
}

static int parse_levels(const json_t *o, const struct intel_document *d, bool platform,
	struct intel_levels *ret, struct error *err)
{
	const json_t *list;

	if (intel_json_array(o, "tcbLevels", INTEL_LEVELS_MAX, &list, err) < 0)
		return -1;
	ret->level = calloc(json_array_size(list) + 1, sizeof(*ret->level));
	if (!ret->level)
		return error_set(err, ERR_NOMEM, "no memory");
	for (; ret->count < json_array_size(list); ret->count++)
		if (parse_level(json_array_get(list, ret->count), d, platform, &ret->level[ret->count], err) <
			0)
			return error_wrap(err, "TCB level %zu", ret->count);
	return 0;
}

static int parse_module(const json_t *o, const struct intel_document *d, bool listed, struct intel_module *m,
	struct error *err)
{
	const char *id = "";
	uint8_t version;

	if (intel_json_hex(o, "mrsigner", m->signer, sizeof(m->signer), err) < 0 ||
		intel_json_hex(o, "attributes", m->attributes, sizeof(m->attributes), err) < 0 ||
		intel_json_hex(o, "attributesMask", m->mask, sizeof(m->mask), err) < 0)
		return -1;
	if (!listed)
		return 0;
	if (intel_json_text(o, "id", &id, err) < 0)
		return -1;
	if (strncmp(id, MODULE_PREFIX, strlen(MODULE_PREFIX)) != 0 ||
		hex_decode(id + strlen(MODULE_PREFIX), strlen(id) - strlen(MODULE_PREFIX), &version, 1) < 0)
		return evidence_refuse(
			err, CHECK_COLLATERAL_FORMAT, "TDX module \"%.16s\": wanted TDX_ and two digits", id);
	m->version = version;
	return parse_levels(o, d, false, &m->levels, err);
}

static int parse_modules(struct intel_document *d, struct error *err)
{
	const json_t *list;

	if (parse_module(json_object_get(d->json, "tdxModule"), d, false, &d->module_0, err) < 0)
		return error_wrap(err, "tdxModule");
	if (!json_object_get(d->json, "tdxModuleIdentities"))
		return 0;
	if (intel_json_array(d->json, "tdxModuleIdentities", INTEL_MODULES_MAX, &list, err) < 0)
		return -1;
	d->modules = calloc(json_array_size(list) + 1, sizeof(*d->modules));
	if (!d->modules)
		return error_set(err, ERR_NOMEM, "no memory");
	while (d->module_count < json_array_size(list)) {
		size_t i = d->module_count++;

		if (parse_module(json_array_get(list, i), d, true, &d->modules[i], err) < 0)
			return error_wrap(err, "TDX module identity %zu", i);
	}
	return 0;
}

static int parse_tcb_info(struct intel_document *d, const char *id, struct error *err)
{
	uint32_t type;

	d->tee = strcmp(id, "SGX") == 0 ? TEE_SGX : strcmp(id, "TDX") == 0 ? TEE_TDX : TEE_NONE;
	if (d->tee == TEE_NONE)
		return evidence_refuse(
			err, CHECK_COLLATERAL_FORMAT, "its id is \"%.16s\", wanted SGX or TDX", id);
	if (intel_json_hex(d->json, "fmspc", d->fmspc, sizeof(d->fmspc), err) < 0 ||
		intel_json_hex(d->json, "pceId", d->pce_id, sizeof(d->pce_id), err) < 0 ||
		intel_json_uint(d->json, "tcbType", 0, &type, err) < 0 ||
		parse_levels(d->json, d, true, &d->levels, err) < 0)
		return -1;
	return d->tee == TEE_TDX ? parse_modules(d, err) : 0;
}

static int parse_identity(struct intel_document *d, const char *id, struct error *err)
{
	d->tee = strcmp(id, "QE") == 0 ? TEE_SGX : strcmp(id, "TD_QE") == 0 ? TEE_TDX : TEE_NONE;
	if (d->tee == TEE_NONE)
		return evidence_refuse(
			err, CHECK_COLLATERAL_FORMAT, "its id is \"%.16s\", wanted QE or TD_QE", id);
	if (intel_json_hex(d->json, "miscselect", d->misc_select, 4, err) < 0 ||
		intel_json_hex(d->json, "miscselectMask", d->misc_mask, 4, err) < 0 ||
		intel_json_hex(d->json, "attributes", d->attributes, 16, err) < 0 ||
		intel_json_hex(d->json, "attributesMask", d->attributes_mask, 16, err) < 0 ||
		intel_json_hex(d->json, "mrsigner", d->signer, sizeof(d->signer), err) < 0 ||
		intel_json_uint(d->json, "isvprodid", 0xffff, &d->prod_id, err) < 0)
		return -1;
	return parse_levels(d->json, d, false, &d->levels, err);
}

static int parse_common(struct intel_document *d, const char **ret_id, struct error *err)
{
	uint32_t wanted = d->kind == INTEL_TCB_INFO ? TCB_INFO_VERSION : QE_IDENTITY_VERSION, version;

	if (intel_json_text(d->json, "id", ret_id, err) < 0 ||
		intel_json_uint(d->json, "version", 0xffff, &version, err) < 0)
		return -1;
	if (version != wanted)
		return evidence_refuse(err, CHECK_VERSION, "its version is %u, wanted %u", version, wanted);
	if (intel_json_time(d->json, "issueDate", &d->issued, err) < 0 ||
		intel_json_time(d->json, "nextUpdate", &d->next_update, err) < 0)
		return -1;
	return intel_json_uint(d->json, "tcbEvaluationDataNumber", 0x7fffffff, &d->number, err);
}

int intel_document_parse(const uint8_t *p, size_t n, enum intel_document_kind kind,
	struct intel_document *ret, struct error *err)
{
	const char *what = kind == INTEL_TCB_INFO ? "TCB info" : "QE identity", *id;
	struct intel_document d = {.kind = kind};

	if (intel_json_load(p, n, what, &d.json, err) < 0)
		return -1;
	if (parse_common(&d, &id, err) < 0 ||
		(kind == INTEL_TCB_INFO ? parse_tcb_info(&d, id, err) : parse_identity(&d, id, err)) < 0) {
		intel_document_free(&d);
		return error_wrap(err, "%s", what);
	}
	*ret = d;
	return 0;
}

void intel_document_free(struct intel_document *d)
{
	for (size_t i = 0; i < d->module_count; i++)
		free(d->modules[i].levels.level);
	free(d->modules);
	free(d->levels.level);
	json_decref(d->json);
	memset(d, 0, sizeof(*d));
}

static bool reached(const uint8_t *have, const uint8_t *wanted, size_t from)
{
	for (size_t i = from; i < COMPONENTS; i++)
		if (have[i] < wanted[i])
			return false;
	return true;
}

static int take_level(
	const struct intel_level *l, struct intel_tcb *ret, struct verdict *v, struct error *err)
{
	for (size_t i = 0; l->advisories && i < json_array_size(l->advisories); i++)
		if (verdict_add_advisory(v, json_string_value(json_array_get(l->advisories, i)), err) < 0)
			return -1;
	*ret = (struct intel_tcb){l->status, l->date};
	return 0;
}

/* A platform below every level is behind all that Intel lists: no better than the worst of them, and everything that is advised there is advised to it. */
static int take_no_level(
	const struct intel_document *info, struct intel_tcb *ret, struct verdict *v, struct error *err)
{
	struct intel_tcb ignored;
	enum tcb_status status = TCB_OUT_OF_DATE;

	for (size_t i = 0; i < info->levels.count; i++) {
		if (take_level(&info->levels.level[i], &ignored, v, err) < 0)
			return -1;
		if (info->levels.level[i].status > status)
			status = info->levels.level[i].status;
	}
	v->tcb_unlisted = true;
	*ret = (struct intel_tcb){status, 0};
	return 0;
}

int intel_tcb_match(const struct intel_document *info, const struct intel_pck *pck,
	const uint8_t *tee_tcb_svn, struct intel_tcb *ret, struct verdict *v, struct error *err)
{
	/* From version 1 on the module's own SVNs are judged by its identity. */
	size_t from = tee_tcb_svn && tee_tcb_svn[1] > 0 ? 2 : 0;
	char sgx[33], tdx[33] = "";

	for (size_t i = 0; i < info->levels.count; i++) {
		const struct intel_level *l = &info->levels.level[i];

		if (reached(pck->component_svn, l->sgx, 0) && pck->pce_svn >= l->svn &&
			(!tee_tcb_svn || reached(tee_tcb_svn, l->tdx, from)))
			return take_level(l, ret, v, err);
	}
	if (info->levels.count > 0)
		return take_no_level(info, ret, v, err);
	hex_encode(pck->component_svn, COMPONENTS, sgx);
	if (tee_tcb_svn)
		hex_encode(tee_tcb_svn, COMPONENTS, tdx);
	return evidence_refuse(err, CHECK_TCB_LEVEL,
		"TCB of the platform is components %s, PCE %u%s%s, wanted TCB info with levels to compare it "
		"with: seen none",
		sgx, pck->pce_svn, tee_tcb_svn ? ", TDX " : "", tdx);
}

static int match_svn(const struct intel_levels *levels, unsigned int svn, struct intel_tcb *ret,
	struct verdict *v, struct error *err)
{
	for (size_t i = 0; i < levels->count; i++)
		if (svn >= levels->level[i].svn)
			return take_level(&levels->level[i], ret, v, err);
	return 1;
}

static bool masked_equal(const uint8_t *a, const uint8_t *b, const uint8_t *mask, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((a[i] ^ b[i]) & mask[i])
			return false;
	return true;
}

int intel_module_match(const struct intel_document *info, const struct td_report *td, struct intel_tcb *ret,
	struct verdict *v, struct error *err)
{
	unsigned int version = td->tee_tcb_svn[1], svn = td->tee_tcb_svn[0];
	const struct intel_module *m = version == 0 ? &info->module_0 : NULL;
	int rc;

	for (size_t i = 0; version > 0 && i < info->module_count && !m; i++)
		if (info->modules[i].version == version)
			m = &info->modules[i];
	if (!m)
		return evidence_refuse(err, CHECK_TDX_MODULE,
			"TDX module is of version TDX_%02X, wanted one of the %zu in the TCB info", version,
			info->module_count);
	if (memcmp(m->signer, td->mr_signer_seam, sizeof(m->signer)) != 0)
		return evidence_refuse_bytes(err, CHECK_TDX_MODULE, "signer of the TDX module",
			td->mr_signer_seam, m->signer, sizeof(m->signer));
	if (!masked_equal(td->seam_attributes, m->attributes, m->mask, sizeof(m->mask)))
		return evidence_refuse_bytes(err, CHECK_TDX_MODULE, "attributes of the TDX module",
			td->seam_attributes, m->attributes, sizeof(m->attributes));
	if (version == 0) {
		*ret = (struct intel_tcb){TCB_NOT_JUDGED, 0};
		return 0;
	}
	rc = match_svn(&m->levels, svn, ret, v, err);
	if (rc > 0)
		return evidence_refuse(err, CHECK_TDX_MODULE,
			"TDX module TDX_%02X has SVN %u, wanted at least one of its %zu levels", version, svn,
			m->levels.count);
	return rc;
}

int intel_qe_match(const struct intel_document *id, const struct sgx_report *qe, struct intel_tcb *ret,
	struct verdict *v, struct error *err)
{
	int rc;

	if (memcmp(qe->mr_signer, id->signer, sizeof(id->signer)) != 0)
		return evidence_refuse_bytes(err, CHECK_QE_IDENTITY, "signer of the quoting enclave",
			qe->mr_signer, id->signer, sizeof(id->signer));
	if (intel_u16(qe->isv_prod_id) != id->prod_id)
		return evidence_refuse(err, CHECK_QE_IDENTITY,
			"product of the quoting enclave is %u, wanted %u", intel_u16(qe->isv_prod_id),
			id->prod_id);
	/* The document writes the number most significant byte first. */
	for (size_t i = 0; i < 4; i++)
		if ((qe->misc_select[i] ^ id->misc_select[3 - i]) & id->misc_mask[3 - i])
			return evidence_refuse_bytes(err, CHECK_QE_IDENTITY,
				"MISCSELECT of the quoting enclave", qe->misc_select, id->misc_select, 4);
	if (!masked_equal(qe->attributes, id->attributes, id->attributes_mask, sizeof(id->attributes)))
		return evidence_refuse_bytes(err, CHECK_QE_IDENTITY, "attributes of the quoting enclave",
			qe->attributes, id->attributes, sizeof(id->attributes));
	rc = match_svn(&id->levels, intel_u16(qe->isv_svn), ret, v, err);
	if (rc > 0)
		return evidence_refuse(err, CHECK_QE_TCB,
			"quoting enclave has SVN %u, wanted at least one of the %zu levels of its identity",
			intel_u16(qe->isv_svn), id->levels.count);
	return rc;
}

enum tcb_status intel_tcb_worse(enum tcb_status platform, enum tcb_status component)
{
	if (platform == TCB_REVOKED || component == TCB_REVOKED)
		return TCB_REVOKED;
	if (component == TCB_NOT_JUDGED || component == TCB_UP_TO_DATE)
		return platform;
	/* An identity has no other status than UpToDate, OutOfDate and Revoked; whatever else it may once have is no better than the second. */
	switch (platform) {
	case TCB_UP_TO_DATE:
	case TCB_SW_HARDENING_NEEDED:
	case TCB_OUT_OF_DATE:
		return TCB_OUT_OF_DATE;
	default:
		return TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
	}
}
