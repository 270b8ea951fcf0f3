/* The policy of cas_evidence.h, from JSON. */
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "wire/cas_evidence.h"
#include "wire/message.h"

#define WHERE "CAS policy"

static const json_t *list_of(const json_t *o, const char *key, size_t max, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_array(v) || json_array_size(v) > max) {
		error_set(
			err, ERR_INPUT, "\"%s\" of " WHERE ": wanted a list of at most %zu texts", key, max);
		return NULL;
	}
	return v;
}

static int hex_item(const json_t *v, const char *key, uint8_t *ret, size_t n, struct error *err)
{
	const char *text = json_string_value(v);

	if (text && hex_decode(text, json_string_length(v), ret, n) == 0)
		return 0;
	return error_set(
		err, ERR_INPUT, "\"%s\" of " WHERE ": wanted %zu hex digits, seen another text", key, 2 * n);
}

static int read_hashes(
	const json_t *o, const char *key, uint8_t (*ret)[32], size_t *ret_count, struct error *err)
{
	const json_t *list, *v;
	size_t i;

	if (!json_object_get(o, key))
		return 0;
	list = list_of(o, key, CAS_POLICY_LIST_MAX, err);
	if (!list)
		return -1;
	json_array_foreach (list, i, v)
		if (hex_item(v, key, ret[(*ret_count)++], 32, err))
			return -1;
	return 0;
}

static int read_tees(const json_t *o, struct cas_policy *p, struct error *err)
{
	const json_t *list, *v;
	size_t i;

	if (!json_object_get(o, "tee"))
		return 0;
	list = list_of(o, "tee", CAS_POLICY_LIST_MAX, err);
	if (!list)
		return -1;
	json_array_foreach (list, i, v) {
		enum tee_type t = json_is_string(v) ? tee_type_parse(json_string_value(v)) : TEE_NONE;

		if (t == TEE_NONE)
			return error_set(err, ERR_INPUT,
				"\"tee\" of " WHERE ": wanted sim, tpm, sev-snp, tdx, sgx or nitro");
		p->tees |= 1u << t;
	}
	return p->tees ? 0
		       : error_set(err, ERR_INPUT, "\"tee\" of " WHERE " is empty: nothing could match it");
}

static int read_launch(const json_t *o, struct cas_policy *p, struct error *err)
{
	const json_t *list, *v;
	size_t i;

	if (!json_object_get(o, "launch"))
		return 0;
	list = list_of(o, "launch", CAS_POLICY_LIST_MAX, err);
	if (!list)
		return -1;
	json_array_foreach (list, i, v) {
		size_t n = json_string_length(v) == 64 ? 32 : 48;

		p->launch[p->launch_count].n = n;
		if (hex_item(v, "launch", p->launch[p->launch_count++].p, n, err))
			return -1;
	}
	return 0;
}

static int read_pcrs(const json_t *o, struct cas_policy *p, struct error *err)
{
	json_t *pcrs = json_object_get(o, "pcrs"), *list, *v;
	const char *key;
	size_t i;

	if (!pcrs)
		return 0;
	if (!json_is_object(pcrs))
		return error_set(err, ERR_INPUT, "\"pcrs\" of " WHERE ": wanted an object");
	json_object_foreach (pcrs, key, list) {
		char *end;
		unsigned long n = strtoul(key, &end, 10);

		if (*key < '0' || *key > '9' || *end || n >= TPM_PCR_COUNT || !json_is_array(list) ||
			json_array_size(list) == 0)
			return error_set(err, ERR_INPUT,
				"\"pcrs\" of " WHERE ": wanted numbers below %d, each with a list of values",
				TPM_PCR_COUNT);
		json_array_foreach (list, i, v) {
			if (p->pcr_count == CAS_POLICY_LIST_MAX)
				return error_set(err, ERR_LIMIT, "\"pcrs\" of " WHERE ": more than %d values",
					CAS_POLICY_LIST_MAX);
			if (hex_item(v, "pcrs", p->pcr_value[p->pcr_count], 32, err))
				return -1;
			p->pcr[p->pcr_count] =
				(struct tpm_pcr_wanted){(unsigned int)n, p->pcr_value[p->pcr_count]};
			p->pcr_count++;
		}
	}
	return 0;
}

static int read_roots(const json_t *o, struct cas_policy *p, struct error *err)
{
	json_t *roots = json_object_get(o, "roots"), *list, *v;
	const char *key;
	size_t i;

	if (roots && !json_is_object(roots))
		return error_set(err, ERR_INPUT, "\"roots\" of " WHERE ": wanted an object");
	json_object_foreach (roots, key, list) {
		enum tee_type t = tee_type_parse(key);

		if (t == TEE_NONE || t == TEE_SIM || !json_is_array(list))
			return error_set(err, ERR_INPUT,
				"\"roots\" of " WHERE ": wanted types, each with a list of key hashes");
		json_array_foreach (list, i, v) {
			if (p->root_count == CAS_POLICY_LIST_MAX)
				return error_set(err, ERR_LIMIT, "\"roots\" of " WHERE ": more than %d",
					CAS_POLICY_LIST_MAX);
			p->root[p->root_count].tee = t;
			if (hex_item(v, "roots", p->root[p->root_count++].key_hash, 32, err))
				return -1;
		}
	}
	/* A TPM has no maker's root: the attestation keys that are named are what is believed. */
	for (i = 0; i < p->platform_count; i++) {
		p->root[p->root_count].tee = TEE_TPM;
		memcpy(p->root[p->root_count++].key_hash, p->platform[i], 32);
	}
	return 0;
}

static int read_tolerances(const json_t *o, struct cas_policy *p, struct error *err)
{
	const json_t *list, *v;
	size_t i;

	p->tolerances.advisories = p->advisories;
	if (json_object_get(o, "tolerate")) {
		list = list_of(o, "tolerate", CAS_POLICY_LIST_MAX, err);
		if (!list)
			return -1;
		json_array_foreach (list, i, v) {
			uint32_t bit = json_is_string(v) ? tolerance_parse(json_string_value(v)) : 0;

			if (!bit)
				return error_set(err, ERR_INPUT,
					"\"tolerate\" of " WHERE
					": wanted debug-mode, software-hardening-needed, "
					"insecure-configuration or outdated-tcb");
			p->tolerances.set |= bit;
		}
	}
	if (!json_object_get(o, "ignore_advisories"))
		return 0;
	list = list_of(o, "ignore_advisories", CAS_POLICY_LIST_MAX, err);
	if (!list)
		return -1;
	json_array_foreach (list, i, v) {
		size_t n = json_string_length(v);

		if (n == 0 || n >= ADVISORY_NAME_MAX)
			return error_set(err, ERR_INPUT,
				"\"ignore_advisories\" of " WHERE ": wanted names of 1 to %d characters",
				ADVISORY_NAME_MAX - 1);
		memcpy(p->advisory[i], json_string_value(v), n + 1);
		p->advisories[i] = p->advisory[i];
		p->tolerances.advisory_count++;
	}
	return 0;
}

static int read_rest(const json_t *o, struct cas_policy *p, struct error *err)
{
	const json_t *v = json_object_get(o, "simulation");
	uint32_t age = CAS_EVIDENCE_MAX_AGE;

	if (v && !json_is_boolean(v))
		return error_set(err, ERR_INPUT, "\"simulation\" of " WHERE ": wanted true or false");
	p->simulation = json_is_true(v);
	if (json_object_get(o, "min_tcb_evaluation") &&
		message_number(o, WHERE, "min_tcb_evaluation", 0, UINT32_MAX, &p->min_tcb_evaluation, err))
		return -1;
	if (json_object_get(o, "max_age") && message_number(o, WHERE, "max_age", 1, 7 * 24 * 3600, &age, err))
		return -1;
	p->max_age = age;
	if (p->measurement_count == 0)
		return error_set(err, ERR_INPUT,
			WHERE " lists no measurement, wanted one at least: any program could be this CAS "
			      "(`scone measure --runtime scone-cas scone-cas` prints it)");
	return 0;
}

int cas_policy_parse(const void *bytes, size_t n, struct cas_policy **ret, struct error *err)
{
	static const char *const keys[] = {"measurement", "tee", "launch", "pcrs", "platform", "roots",
		"tolerate", "ignore_advisories", "min_tcb_evaluation", "max_age", "simulation", NULL};
	struct cas_policy *p;
	json_t *o;
	int rc;

	if (n > CAS_POLICY_MAX)
		return error_set(err, ERR_LIMIT, WHERE " of %zu bytes, at most %d", n, CAS_POLICY_MAX);
	if (message_parse(bytes, n, WHERE, &o, err))
		return -1;
	p = calloc(1, sizeof(*p));
	rc = !p ? error_set(err, ERR_NOMEM, "no memory")
	     : message_keys(o, WHERE, keys, err) || read_tees(o, p, err) ||
			     read_hashes(o, "measurement", p->measurement, &p->measurement_count, err) ||
			     read_hashes(o, "platform", p->platform, &p->platform_count, err) ||
			     read_launch(o, p, err) || read_pcrs(o, p, err) || read_roots(o, p, err) ||
			     read_tolerances(o, p, err) || read_rest(o, p, err)
		     ? -1
		     : 0;
	json_decref(o);
	if (rc)
		free(p);
	else
		*ret = p;
	return rc;
}
