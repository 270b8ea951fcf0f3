/* remote: see remote.h. */
#include <stdlib.h>
#include <string.h>
#include "cli/cas_list.h"
#include "cli/remote.h"
#include "crypto/x509.h"

#define REPEATS 3 /* of a request whose answer was lost */

int remote_exit_code(const struct error *err)
{
	return err->code == ERR_IO ? CLI_UNREACHABLE : cli_exit_code(err);
}

static int resolve(
	const struct cas_list *l, const char *which, const char *key, struct target *t, struct error *err)
{
	const struct cas_entry *e = cas_list_find(l, which);

	if (!e && cas_addresses_each(which, NULL, NULL, err))
		return -1;
	t->address = strdup(e ? e->address : which);
	t->name = e ? strdup(e->name) : NULL;
	if (!t->address || (e && !t->name))
		return error_set(err, ERR_NOMEM, "no memory");
	if (key) {
		if (key_hash_parse(key, strlen(key), t->key, err))
			return error_wrap(err, "key '%s'", key);
		t->has_key = true;
	} else if (e) {
		memcpy(t->key, e->key, KEY_HASH_LEN);
		t->has_key = true;
	}
	return 0;
}

int target_select(
	const struct args *a, const char *which, const char *key, struct target *ret, struct error *err)
{
	const char *env = getenv("SCONE_CAS_ADDR");
	struct target t = {0};
	struct cas_list l;
	int rc = 0;

	if (cas_list_load(&l, err))
		return cli_exit_code(err);
	if (!which)
		which = a->value[OPT_CAS];
	if (!which && env && *env)
		which = env;
	if (!which)
		which = l.default_name;
	if (!which)
		rc = error_set(err, ERR_NOT_FOUND,
			"no CAS given: --cas, SCONE_CAS_ADDR or a default from `scone cas add` is wanted");
	else
		rc = resolve(&l, which, key, &t, err);
	cas_list_free(&l);
	if (rc) {
		target_free(&t);
		return cli_exit_code(err);
	}
	*ret = t;
	return 0;
}

int target_require_key(const struct target *t, struct error *err)
{
	if (t->has_key)
		return CLI_OK;
	error_set(err, ERR_PEER,
		"no key is pinned for CAS %s: `scone cas add NAME %s --key KEYHASH` pins the key its "
		"operator gives you, "
		"`--trust-first` instead of `--key` pins the one it shows",
		t->address, t->address);
	return CLI_UNTRUSTED;
}

void target_free(struct target *t)
{
	free(t->name);
	free(t->address);
	memset(t, 0, sizeof(*t));
}

static int identity_of(EVP_PKEY *key, struct identity *ret, struct error *err)
{
	struct identity id = {0};

	if (x509_self_signed(key, "OpenSCONE board member", NULL, NULL, 1, &id.cert, err) ||
		key_hash(key, id.hash, err)) {
		identity_free(&id);
		return -1;
	}
	EVP_PKEY_up_ref(key);
	id.key = key;
	*ret = id;
	return 0;
}

static int open_as(const struct args *a, EVP_PKEY *key, struct remote *ret, struct error *err)
{
	struct remote r = {0};
	int rc = target_select(a, NULL, a->value[OPT_CAS_KEY], &r.target, err);

	if (rc)
		return rc;
	rc = target_require_key(&r.target, err);
	if (!rc && (key ? identity_of(key, &r.id, err) : identity_load(true, &r.id, err)))
		rc = cli_exit_code(err);
	if (!rc) {
		struct http_client_options o = {.address = r.target.address,
			.pinned_key = r.target.key,
			.cert = r.id.cert,
			.key = r.id.key};

		if (http_client_open(&o, &r.http, err))
			rc = remote_exit_code(err);
	}
	if (rc)
		remote_close(&r);
	else
		*ret = r;
	return rc;
}

int remote_open(const struct args *a, struct remote *ret, struct error *err)
{
	return open_as(a, NULL, ret, err);
}

int remote_open_as(const struct args *a, EVP_PKEY *key, struct remote *ret, struct error *err)
{
	return open_as(a, key, ret, err);
}

void remote_close(struct remote *r)
{
	if (r->http)
		http_client_close(r->http);
	identity_free(&r->id);
	target_free(&r->target);
	memset(r, 0, sizeof(*r));
}

/* The path to ask again, when it is not known whether CAS did what it was asked for. NULL: that must not be asked twice. */
static const char *path_again(const char *method, const char *path)
{
	if (!strcmp(method, "GET"))
		return path;
	if (!strcmp(method, "POST") && !strcmp(path, "/v1/sessions"))
		return "/v1/sessions?repeat=1";
	if (!strcmp(method, "POST") && !strcmp(path, "/v1/signed_sessions"))
		return "/v1/signed_sessions?repeat=1";
	return NULL;
}

static int request(struct http_client *c, const char *method, const char *path, const char *type,
	const void *body, size_t n, struct http_response *ret, struct error *err)
{
	const char *again = path_again(method, path);

	if (!http_client_request(c, method, path, type, body, n, ret, err))
		return 0;
	for (int i = 0; i < REPEATS && again && http_client_lost(c); i++) {
		if (http_client_again(c, err))
			return -1;
		if (!http_client_request(c, method, again, type, body, n, ret, err))
			return 0;
	}
	if (http_client_lost(c) && err)
		err->code = ERR_IO;
	return http_client_lost(c)
		       ? error_wrap(err, "%s %s: %s", method, path,
				 again ? "no CAS answers"
				       : "it is not known whether it was done: look before you repeat it")
		       : -1;
}

int remote_call(struct http_client *c, const char *method, const char *path, const char *type,
	const void *body, size_t n, json_t **ret, json_t **ret_details, struct error *err)
{
	struct http_response resp = {0};
	json_t *j, *details;
	int rc = 0;

	if (ret_details)
		*ret_details = NULL;
	if (request(c, method, path, type, body, n, &resp, err))
		return remote_exit_code(err);
	j = json_loadb((const char *)resp.body.data, resp.body.len, JSON_REJECT_DUPLICATES, NULL);
	if (http_response_check(&resp, err)) {
		details = json_object_get(json_object_get(j, "error"), "details");
		if (ret_details && json_is_array(details) && json_array_size(details))
			*ret_details = json_incref(details);
		/* What CAS says about its own host calls is no matter of reachability. */
		rc = cli_exit_code(err);
	} else if (!json_is_object(j)) {
		error_set(err, ERR_PEER, "%s %s: CAS answered %d without a JSON object", method, path,
			resp.status);
		rc = CLI_FAILED;
	}
	http_response_free(&resp);
	if (rc)
		json_decref(j);
	else
		*ret = j;
	return rc;
}
