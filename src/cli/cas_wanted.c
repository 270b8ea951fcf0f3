/* cas_wanted: see cas_wanted.h. */
#include <stdlib.h>
#include <string.h>
#include "cli/cas_wanted.h"
#include "cli/evidence_input.h"
#include "core/encode.h"
#include "crypto/key.h"
#include "wire/collateral_dir.h"

static bool put(json_t *o, const char *key, json_t *value)
{
	return json_object_set_new(o, key, value) == 0;
}

static json_t *list_json(const char *const *list, size_t n)
{
	json_t *j = json_array();

	for (size_t i = 0; j && i < n; i++)
		json_array_append_new(j, json_string(list[i]));
	return j;
}

/* Key hashes as text become hex. */
static int put_platforms(json_t *o, const struct args *a, struct error *err)
{
	json_t *list = json_array();
	uint8_t key[KEY_HASH_LEN];
	char hex[2 * KEY_HASH_LEN + 1];

	for (size_t i = 0; i < a->platform.count; i++) {
		const char *text = a->platform.value[i];

		if (strlen(text) != 2 * KEY_HASH_LEN || hex_decode(text, strlen(text), key, sizeof(key))) {
			if (key_hash_parse(text, strlen(text), key, err)) {
				json_decref(list);
				return error_wrap(err, "--platform %.80s", text);
			}
		}
		hex_encode(key, sizeof(key), hex);
		json_array_append_new(list, json_string(hex));
	}
	return put(o, "platform", list) ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

/* "N=HEX" each */
static int put_pcrs(json_t *o, const struct args *a, struct error *err)
{
	json_t *pcrs = json_object();

	if (!put(o, "pcrs", pcrs))
		return error_set(err, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < a->pcr.count; i++) {
		const char *text = a->pcr.value[i], *equals = strchr(text, '=');
		json_t *list;
		char name[8] = "";

		if (!equals || equals == text || (size_t)(equals - text) >= sizeof(name))
			return error_set(err, ERR_INPUT, "--pcr %.80s: wanted N=HEX", text);
		memcpy(name, text, (size_t)(equals - text));
		list = json_object_get(pcrs, name);
		if (!list && !put(pcrs, name, list = json_array()))
			return error_set(err, ERR_NOMEM, "no memory");
		json_array_append_new(list, json_string(equals + 1));
	}
	return 0;
}

static int put_root(json_t *o, const struct args *a, struct error *err)
{
	const char *file = a->value[OPT_TRUST_ROOT], *tee = a->value[OPT_TEE];
	uint8_t key[KEY_HASH_LEN];
	char hex[2 * KEY_HASH_LEN + 1];

	if (!file)
		return 0;
	if (!tee)
		return error_set(err, ERR_INPUT, "--root is for one kind of TEE: --tee is wanted with it");
	if (evidence_input_root(file, key, err))
		return -1;
	hex_encode(key, sizeof(key), hex);
	return put(o, "roots", json_pack("{s:[s]}", tee, hex)) ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

static int from_options(const struct args *a, struct cas_policy **ret, struct error *err)
{
	json_t *o = json_object();
	char *text = NULL;
	int rc = o ? 0 : error_set(err, ERR_NOMEM, "no memory");

	if (!rc &&
		(!put(o, "measurement", list_json(a->measurement.value, a->measurement.count)) ||
			(a->launch.count && !put(o, "launch", list_json(a->launch.value, a->launch.count))) ||
			!put(o, "tolerate", list_json(a->tolerate, a->tolerate_count)) ||
			!put(o, "ignore_advisories", list_json(a->ignore, a->ignore_count)) ||
			!put(o, "simulation", json_boolean(a->value[OPT_SIMULATION] != NULL)) ||
			(a->value[OPT_TEE] && !put(o, "tee", json_pack("[s]", a->value[OPT_TEE])))))
		rc = error_set(err, ERR_NOMEM, "no memory");
	if (!rc && ((a->platform.count && put_platforms(o, a, err)) ||
			   (a->pcr.count && put_pcrs(o, a, err)) || put_root(o, a, err)))
		rc = -1;
	text = rc ? NULL : json_dumps(o, JSON_COMPACT);
	if (!rc)
		rc = text ? cas_policy_parse(text, strlen(text), ret, err)
			  : error_set(err, ERR_NOMEM, "no memory");
	free(text);
	json_decref(o);
	return rc;
}

static int from_file(const char *path, struct cas_policy **ret, struct error *err)
{
	struct buf b;
	int rc;

	buf_init(&b, CAS_POLICY_MAX + 1);
	rc = collateral_read(path, CAS_POLICY_MAX, &b, err);
	if (!rc && cas_policy_parse(b.data, b.len, ret, err))
		rc = error_wrap(err, "--policy %s", path);
	buf_free(&b);
	return rc;
}

/* The default directory need not be there. */
static int load_collateral(const struct args *a, struct cas_wanted *w, struct error *err)
{
	char *path = evidence_input_collateral_path(a, err);
	int rc;

	if (!path)
		return a->value[OPT_COLLATERAL] ? -1 : 0;
	w->collateral = collateral_new();
	rc = w->collateral ? collateral_load(w->collateral, path, err)
			   : error_set(err, ERR_NOMEM, "no memory");
	if (rc && !a->value[OPT_COLLATERAL] && err->code == ERR_NOT_FOUND)
		rc = 0;
	free(path);
	return rc;
}

int cas_wanted_load(const struct args *a, struct cas_wanted *ret, struct error *err)
{
	bool options = a->measurement.count || a->launch.count || a->pcr.count || a->platform.count ||
		       a->tolerate_count || a->ignore_count || a->value[OPT_TEE] ||
		       a->value[OPT_TRUST_ROOT] || a->value[OPT_SIMULATION];

	memset(ret, 0, sizeof(*ret));
	if (options && a->value[OPT_POLICY])
		return error_set(
			err, ERR_INPUT, "--policy says all that is wanted; leave the other options out");
	if (!options && !a->value[OPT_POLICY])
		return 0;
	if (a->value[OPT_POLICY] ? from_file(a->value[OPT_POLICY], &ret->policy, err)
				 : from_options(a, &ret->policy, err))
		return -1;
	return load_collateral(a, ret, err);
}

void cas_wanted_free(struct cas_wanted *w)
{
	free(w->policy);
	collateral_free(w->collateral);
	memset(w, 0, sizeof(*w));
}
