/* scone cas: which CAS this user knows, each by its pinned key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cas_list.h"
#include "cli/cas_wanted.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "evidence/type.h"

/* What a CAS says about itself, over a connection that proved it holds `key`. */
struct about {
	uint8_t key[KEY_HASH_LEN];
	json_t *info; /* owned */
	json_t *evidence; /* what its verified evidence says; owned, or NULL */
};

static int prove(struct http_client *http, const struct cas_wanted *w, struct about *ret, struct error *err)
{
	struct verdict *v = malloc(sizeof(*v));
	int rc = v ? cas_evidence_check(http, w->policy, true, (uint64_t)time(NULL), w->collateral, v, err)
		   : error_set(err, ERR_NOMEM, "no memory");

	if (!rc) {
		ret->evidence = verdict_json(v);
		rc = ret->evidence ? 0 : error_set(err, ERR_NOMEM, "no memory");
	}
	free(v);
	return rc ? remote_exit_code(err) : 0;
}

/* GET /v1/cas without a client certificate. pin: the key it must hold; NULL: learn it. w: the evidence that it must have, over this connection; NULL, or
 * without a policy: none. */
static int ask(const char *address, const uint8_t *pin, const struct cas_wanted *w, struct about *ret,
	struct error *err)
{
	struct http_client_options o = {.address = address, .pinned_key = pin, .accept_any = !pin};
	char seen[KEY_HASH_TEXT_MAX];
	struct http_client *http;
	const char *says;
	json_t *j;
	int rc;

	if (http_client_open(&o, &http, err))
		return remote_exit_code(err);
	http_client_server_key(http, ret->key);
	rc = w && w->policy ? prove(http, w, ret, err) : 0;
	if (!rc)
		rc = remote_call(http, "GET", "/v1/cas", NULL, NULL, 0, &j, NULL, err);
	http_client_close(http);
	if (rc)
		return rc;
	key_hash_text(ret->key, seen);
	says = json_string_value(json_object_get(j, "key"));
	if (!says || strcmp(says, seen)) {
		error_set(err, ERR_PEER, "%s says its key is %.64s, the connection's is %s", address,
			says ? says : "(none)", seen);
		json_decref(j);
		return CLI_UNTRUSTED;
	}
	ret->info = j;
	return 0;
}

/* To stderr: what a user must know before trusting it. */
static void print_caveats(const struct about *about)
{
	const json_t *item;
	size_t i;

	if (json_is_true(json_object_get(about->info, "simulated")))
		cli_warn("SIMULATION: this CAS runs on no trusted hardware; whoever controls its host can "
			 "read every secret in it");
	json_array_foreach (json_object_get(about->info, "warnings"), i, item) {
		if (json_is_string(item))
			cli_warn("%s", json_string_value(item));
	}
}

static void print_field(const char *label, const char *value)
{
	char *clean = cli_clean(value ? value : "-");

	printf("%-8s %s\n", label, clean ? clean : "-");
	free(clean);
}

int verb_cas_add(const struct args *a)
{
	const char *name = a->operands[0], *address = a->operands[1], *given = a->value[OPT_KEY];
	char text[KEY_HASH_TEXT_MAX];
	struct about about = {0};
	struct error err = {0};
	int rc = 0;

	if (given && a->value[OPT_TRUST_FIRST]) {
		error_set(&err, ERR_INPUT, "--key and --trust-first exclude each other");
		return cli_fail(a, CLI_USAGE, &err, NULL);
	}
	if (cas_name_check(name, &err))
		return cli_fail(a, CLI_USAGE, &err, NULL);
	if (given) {
		if (key_hash_parse(given, strlen(given), about.key, &err)) {
			error_wrap(&err, "--key '%s'", given);
			rc = CLI_USAGE;
		}
	} else {
		rc = ask(address, NULL, NULL, &about, &err);
	}
	if (rc)
		return cli_fail(a, rc, &err, NULL);
	key_hash_text(about.key, text);
	if (!given && !a->value[OPT_TRUST_FIRST]) {
		error_set(&err, ERR_PEER,
			"%s shows key %s, which is not pinned; if its operator names the same, `scone cas "
			"add %s %s --key %s` pins it",
			address, text, name, address, text);
		rc = CLI_UNTRUSTED;
	} else if (cas_list_add(name, address, about.key, a->value[OPT_REPLACE] != NULL, &err)) {
		rc = cli_exit_code(&err);
	}
	if (rc) {
		rc = cli_fail(a, rc, &err, NULL);
	} else {
		if (about.info)
			print_caveats(&about);
		if (a->value[OPT_JSON]) {
			rc = cli_print_json(
				json_pack("{s:s,s:s,s:s}", "name", name, "address", address, "key", text));
		} else {
			printf("%s %s %s\n", name, address, text);
			rc = cli_done();
		}
	}
	json_decref(about.info);
	return rc;
}

static int print_about(const struct args *a, struct about *about, const struct target *t)
{
	char text[KEY_HASH_TEXT_MAX];
	const json_t *e = about->evidence;

	print_caveats(about);
	key_hash_text(about->key, text);
	if (a->value[OPT_JSON]) {
		(void)json_object_set_new(about->info, "address", json_string(t->address));
		if (e)
			(void)json_object_set(about->info, "evidence", about->evidence);
		return cli_print_json(json_incref(about->info));
	}
	print_field("name", a->value[OPT_PIN] ? a->value[OPT_PIN] : t->name);
	print_field("address", t->address);
	print_field("key", text);
	print_field("tee", json_string_value(json_object_get(about->info, "tee")));
	print_field("version", json_string_value(json_object_get(about->info, "version")));
	if (e) {
		print_field("proven", json_string_value(json_object_get(e, "tee")));
		print_field("code", json_string_value(json_object_get(e, "measurement")));
		print_field("platform", json_string_value(json_object_get(e, "platform")));
		print_field("tcb", json_string_value(json_object_get(e, "tcb_status")));
	}
	return cli_done();
}

int verb_cas_attest(const struct args *a)
{
	const char *pin = a->value[OPT_PIN];
	struct about about = {0};
	struct error err = {0};
	struct target t = {0};
	struct cas_wanted w;
	json_t *details = NULL;
	int rc = cas_wanted_load(a, &w, &err) ? cli_exit_code(&err) : 0;

	if (!rc && pin && !w.policy) {
		error_set(&err, ERR_INPUT,
			"--pin wants evidence: --measurement or --policy; `scone cas add` pins a "
			"key that you know");
		rc = CLI_USAGE;
	}
	if (!rc && pin && cas_name_check(pin, &err))
		rc = CLI_USAGE;
	if (!rc)
		rc = target_select(a, a->count ? a->operands[0] : NULL, a->value[OPT_KEY], &t, &err);
	if (!rc && !w.policy)
		rc = target_require_key(&t, &err);
	if (!rc)
		rc = ask(t.address, t.has_key ? t.key : NULL, &w, &about, &err);
	if (!rc && pin && cas_list_add(pin, t.address, about.key, a->value[OPT_REPLACE] != NULL, &err))
		rc = cli_exit_code(&err);
	if (rc) {
		details = err.check ? json_pack("{s:s}", "check", err.check) : NULL;
		if (err.check)
			error_wrap(&err, "refused: %s", err.check);
		rc = cli_fail(a, err.check ? CLI_UNTRUSTED : rc, &err, details);
	} else {
		rc = print_about(a, &about, &t);
	}
	json_decref(details);
	json_decref(about.info);
	json_decref(about.evidence);
	cas_wanted_free(&w);
	target_free(&t);
	return rc;
}

int verb_cas_list(const struct args *a)
{
	char text[KEY_HASH_TEXT_MAX];
	struct error err = {0};
	json_t *list, *root;
	struct cas_list l;
	int rc;

	if (cas_list_load(&l, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	list = json_array();
	for (size_t i = 0; i < l.count; i++) {
		const struct cas_entry *e = &l.entries[i];
		bool is_default = l.default_name && !strcmp(l.default_name, e->name);

		key_hash_text(e->key, text);
		if (a->value[OPT_JSON])
			(void)json_array_append_new(
				list, json_pack("{s:s,s:s,s:s,s:b}", "name", e->name, "address", e->address,
					      "key", text, "default", is_default));
		else
			printf("%c %s %s %s\n", is_default ? '*' : ' ', e->name, e->address, text);
	}
	root = json_pack("{s:O}", "cas", list);
	rc = a->value[OPT_JSON] ? cli_print_json(json_incref(root)) : cli_done();
	json_decref(root);
	json_decref(list);
	cas_list_free(&l);
	return rc;
}

int verb_cas_default(const struct args *a)
{
	const char *name = a->operands[0];
	struct error err = {0};
	struct cas_list l;
	int rc;

	if (a->count && cas_list_set_default(name, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	if (cas_list_load(&l, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	if (!l.default_name) {
		error_set(&err, ERR_NOT_FOUND, "there is no default CAS; `scone cas default NAME` sets it");
		rc = cli_fail(a, CLI_NOT_FOUND, &err, NULL);
	} else if (a->value[OPT_JSON]) {
		rc = cli_print_json(json_pack("{s:s}", "default", l.default_name));
	} else {
		puts(l.default_name);
		rc = cli_done();
	}
	cas_list_free(&l);
	return rc;
}
