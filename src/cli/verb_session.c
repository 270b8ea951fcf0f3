/* scone session: policy documents at CAS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cas_list.h"
#include "cli/cli.h"
#include "cli/docedit.h"
#include "cli/document.h"
#include "cli/remote.h"
#include "core/encode.h"
#include "policy/session.h"

#define SESSIONS_PATH "/v1/sessions"

/* A checked name consists of characters that need no percent-encoding (RFC 3986, 2.3) and '/', which stays; hash (or NULL) of hex digits. */
static int session_path(const char *name, const char *hash, struct buf *out, struct error *err)
{
	if (session_name_check(name, err))
		return -1;
	buf_printf(out, SESSIONS_PATH "/%s%s%s", name, hash ? "?hash=" : "", hash ? hash : "");
	return buf_cstr(out) ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

static int answer_hash(const json_t *j, uint8_t ret[SESSION_HASH_LEN], struct error *err)
{
	const char *hex = json_string_value(json_object_get(j, "hash"));

	if (!hex || hex_decode(hex, strlen(hex), ret, SESSION_HASH_LEN))
		return error_set(err, ERR_PEER, "the answer of CAS has no \"hash\" of %d hex digits",
			2 * SESSION_HASH_LEN);
	return 0;
}

/* What CAS said of a change took place there; if the note of it cannot be kept here, that is worth a warning, not a failure. */
static void remember(const struct remote *r, const char *name, const uint8_t *hash)
{
	struct error err = {0};

	if (session_remember(r->target.key, name, hash, &err))
		cli_warn("the hash of '%s' is not remembered: %s", name, err.text);
}

static void print_warnings(const json_t *j)
{
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(j, "warnings"), i, item) {
		if (json_is_string(item))
			cli_warn("%s", json_string_value(item));
	}
}

/* "FILE:LINE:COLUMN: error: PATH: TEXT [NAME]" for everything that CAS refused. */
static void print_details(const char *file, const json_t *details)
{
	const json_t *item;
	size_t i;

	json_array_foreach (details, i, item) {
		const char *name = "", *path = "", *text = "";
		int line = 0, column = 0;
		char *clean = NULL, *where = NULL;

		(void)json_unpack((json_t *)item, "{s?s,s?s,s?s,s?i,s?i}", "name", &name, "path", &path,
			"text", &text, "line", &line, "column", &column);
		clean = cli_clean(text);
		where = cli_clean(path);
		fprintf(stderr, "%s:%d:%d: %s: %s%s%s [%.32s]\n", file, line, column,
			name[0] == 'W' ? "warning" : "error", where ? where : "", *path ? ": " : "",
			clean ? clean : "", name);
		free(clean);
		free(where);
	}
}

/* Print the name and hash of a changed or read session, as text or JSON; takes j. */
static int print_session(const struct args *a, const struct remote *r, json_t *j)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *hash = json_string_value(json_object_get(j, "hash"));
	int rc;

	if (a->value[OPT_JSON]) {
		(void)json_object_set_new(j, "cas", json_string(r->target.address));
		return cli_print_json(j);
	}
	printf("%s %s\n", name ? name : "-", hash ? hash : "-");
	rc = cli_done();
	json_decref(j);
	return rc;
}

/* The board decides; takes j. */
static int print_proposed(const struct args *a, const struct remote *r, json_t *j)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *id = json_string_value(json_object_get(j, "proposal"));
	int rc;

	if (a->value[OPT_JSON]) {
		(void)json_object_set_new(j, "cas", json_string(r->target.address));
		return cli_print_json(j);
	}
	cli_warn(
		"nothing is changed yet: the board of '%s' decides about proposal %s (`scone proposal show`)",
		name ? name : "-", id ? id : "-");
	printf("%s %s\n", name ? name : "-", id ? id : "-");
	rc = cli_done();
	json_decref(j);
	return rc;
}

static int upload(const struct args *a, const struct remote *r, const struct document *d)
{
	uint8_t hash[SESSION_HASH_LEN];
	struct error err = {0};
	json_t *j, *details;
	const char *name;
	int rc;

	rc = remote_call(r->http, "POST", d->is_signed ? "/v1/signed_sessions" : SESSIONS_PATH,
		d->is_signed ? "application/json" : "application/yaml", d->text.data, d->text.len, &j,
		&details, &err);
	if (rc) {
		print_details(d->file, details);
		rc = cli_fail(a, rc, &err, details);
		json_decref(details);
		return rc;
	}
	name = json_string_value(json_object_get(j, "name"));
	if (!name || answer_hash(j, hash, &err)) {
		if (!name)
			error_set(&err, ERR_PEER, "the answer of CAS has no \"name\"");
		json_decref(j);
		return cli_fail(a, CLI_FAILED, &err, NULL);
	}
	print_warnings(j);
	if (json_object_get(j, "proposal"))
		return print_proposed(a, r, j);
	remember(r, name, hash);
	return print_session(a, r, j);
}

int verb_session_create(const struct args *a)
{
	char *predecessor = NULL;
	struct error err = {0};
	struct remote r = {0};
	struct document d;
	int rc;

	if (document_load(a, &d, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	/* A document that cannot be read here goes to CAS all the same: its answer names everything that is wrong. */
	if (!d.is_signed &&
		!docedit_get((const char *)d.text.data, d.text.len, "predecessor", &predecessor, &err) &&
		predecessor) {
		error_set(&err, ERR_INPUT,
			"%s has predecessor %.64s: `scone session update` replaces a session", d.file,
			predecessor);
		rc = cli_fail(a, CLI_INPUT, &err, NULL);
	} else if ((rc = remote_open(a, &r, &err)) != 0) {
		rc = cli_fail(a, rc, &err, NULL);
	} else {
		rc = upload(a, &r, &d);
		remote_close(&r);
	}
	free(predecessor);
	document_free(&d);
	return rc;
}

/* The hash that the update is to replace: the current one at CAS, unless somebody else has put it there since this user last saw the
 * session. Whoever may update but not read goes by what was last seen. */
static int current_hash(const struct args *a, const struct remote *r, const char *name,
	uint8_t ret[SESSION_HASH_LEN], struct error *err)
{
	char seen_hex[2 * SESSION_HASH_LEN + 1], now_hex[2 * SESSION_HASH_LEN + 1];
	uint8_t seen[SESSION_HASH_LEN];
	bool known = session_seen(r->target.key, name, seen);
	struct buf path;
	json_t *j;
	int rc;

	buf_init(&path, 4096);
	rc = session_path(name, NULL, &path, err) ? cli_exit_code(err) : 0;
	if (!rc)
		rc = remote_call(r->http, "GET", (const char *)path.data, NULL, NULL, 0, &j, NULL, err);
	buf_free(&path);
	if (rc == CLI_DENIED && known) {
		memcpy(ret, seen, sizeof(seen));
		return 0;
	}
	if (rc)
		return rc;
	if (answer_hash(j, ret, err))
		rc = CLI_FAILED;
	json_decref(j);
	if (rc || !known || a->value[OPT_FORCE] || !memcmp(seen, ret, sizeof(seen)))
		return rc;
	hex_encode(seen, sizeof(seen), seen_hex);
	hex_encode(ret, SESSION_HASH_LEN, now_hex);
	error_set(err, ERR_CONFLICT,
		"session '%s' has hash %s now, last seen here %s: somebody else changed it; `scone session "
		"read` it and merge, "
		"or --force",
		name, now_hex, seen_hex);
	return CLI_CONFLICT;
}

/* Fill the predecessor in if the document has none. */
static int add_predecessor(
	const struct args *a, const struct remote *r, struct document *d, struct error *err)
{
	char *predecessor = NULL, *name = NULL, hex[2 * SESSION_HASH_LEN + 1];
	const char *text = (const char *)d->text.data;
	uint8_t hash[SESSION_HASH_LEN];
	int rc = 0;

	if (docedit_get(text, d->text.len, "predecessor", &predecessor, err) ||
		docedit_get(text, d->text.len, "name", &name, err)) {
		error_wrap(err, "%s", d->file);
		rc = CLI_INPUT;
	} else if (!name) {
		error_set(err, ERR_INPUT, "%s has no 'name'", d->file);
		rc = CLI_INPUT;
	} else if (!predecessor) {
		rc = current_hash(a, r, name, hash, err);
		if (!rc) {
			hex_encode(hash, sizeof(hash), hex);
			rc = document_set(d, "predecessor", hex, err) ? CLI_INPUT : 0;
		}
	}
	free(predecessor);
	free(name);
	return rc;
}

int verb_session_update(const struct args *a)
{
	struct error err = {0};
	struct remote r = {0};
	struct document d;
	int rc;

	if (document_load(a, &d, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	rc = remote_open(a, &r, &err);
	if (!rc) {
		rc = d.is_signed ? 0 : add_predecessor(a, &r, &d, &err);
		rc = rc ? cli_fail(a, rc, &err, NULL) : upload(a, &r, &d);
		remote_close(&r);
	} else {
		rc = cli_fail(a, rc, &err, NULL);
	}
	document_free(&d);
	return rc;
}

/* The document in the answer, to be printed: as it was uploaded, or as the next update of this version. */
static int read_document(const struct args *a, const json_t *j, struct buf *out, struct error *err)
{
	const json_t *text = json_object_get(j, "session");
	const char *hash = json_string_value(json_object_get(j, "hash"));

	if (a->value[OPT_FOR_UPDATE])
		return docedit_set(
			json_string_value(text), json_string_length(text), "predecessor", hash, out, err);
	buf_put(out, json_string_value(text), json_string_length(text));
	return out->failed ? error_set(err, ERR_NOMEM, "no memory") : 0;
}

int verb_session_read(const struct args *a)
{
	const char *name = a->operands[0];
	uint8_t hash[SESSION_HASH_LEN];
	struct error err = {0};
	struct remote r = {0};
	json_t *j = NULL;
	struct buf path, text;
	int rc;

	buf_init(&path, 4096);
	buf_init_secret(&text, 2 * SESSION_TEXT_MAX); /* explicit values are part of it */
	rc = session_path(name, a->value[OPT_HASH], &path, &err) ? cli_exit_code(&err)
								 : remote_open(a, &r, &err);
	if (!rc)
		rc = remote_call(r.http, "GET", (const char *)path.data, NULL, NULL, 0, &j, NULL, &err);
	if (!rc && (answer_hash(j, hash, &err) || !json_is_string(json_object_get(j, "session")))) {
		error_set(&err, ERR_PEER, "the answer of CAS has no \"session\" or no \"hash\"");
		rc = CLI_FAILED;
	}
	if (!rc && read_document(a, j, &text, &err))
		rc = CLI_FAILED;
	if (rc) {
		rc = cli_fail(a, rc, &err, NULL);
	} else {
		if (!a->value[OPT_HASH])
			remember(&r, name, hash);
		if (a->value[OPT_JSON]) {
			(void)json_object_set_new(
				j, "session", json_stringn((const char *)text.data, text.len));
			rc = cli_print_json(json_incref(j));
		} else {
			fwrite(text.data, 1, text.len, stdout);
			rc = cli_done();
		}
	}
	json_decref(j);
	remote_close(&r);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

/* Page by page; *ret as one answer. */
static int list_all(struct remote *r, json_t **ret, struct error *err)
{
	json_t *all = json_array(), *page = NULL;
	const char *next = "";
	struct buf path;
	int rc = CLI_OK;

	buf_init(&path, 8192);
	while (!rc && next) {
		buf_reset(&path);
		buf_printf(&path, SESSIONS_PATH "%s%s", *next ? "?after=" : "", next);
		json_decref(page);
		page = NULL;
		rc = remote_call(r->http, "GET", buf_cstr(&path), NULL, NULL, 0, &page, NULL, err);
		next = NULL;
		/* What comes back goes into a path: only a name does. */
		if (!rc && !json_unpack(page, "{s:s}", "next", &next) && session_name_check(next, err))
			rc = CLI_FAILED;
		if (!rc && json_array_extend(all, json_object_get(page, "sessions"))) {
			error_set(err, ERR_PEER, "CAS answered without a list of sessions");
			rc = CLI_FAILED;
		}
	}
	json_decref(page);
	buf_free(&path);
	if (!rc)
		*ret = json_pack("{s:O}", "sessions", all);
	json_decref(all);
	return rc;
}

int verb_session_list(const struct args *a)
{
	const json_t *list, *item;
	struct error err = {0};
	struct remote r = {0};
	json_t *j = NULL;
	size_t i;
	int rc = remote_open(a, &r, &err);

	if (!rc)
		rc = list_all(&r, &j, &err);
	if (rc) {
		rc = cli_fail(a, rc, &err, NULL);
	} else if (a->value[OPT_JSON]) {
		rc = cli_print_json(json_incref(j));
	} else {
		list = json_object_get(j, "sessions");
		json_array_foreach (list, i, item) {
			const char *name = "", *hash = "";

			if (!json_unpack((json_t *)item, "{s:s,s:s}", "name", &name, "hash", &hash))
				printf("%s %s\n", name, hash);
		}
		rc = cli_done();
	}
	json_decref(j);
	remote_close(&r);
	return rc;
}

int verb_session_delete(const struct args *a)
{
	const char *name = a->operands[0];
	struct error err = {0};
	struct remote r = {0};
	json_t *j = NULL;
	struct buf path;
	int rc;

	buf_init(&path, 4096);
	rc = session_path(name, NULL, &path, &err) ? cli_exit_code(&err) : remote_open(a, &r, &err);
	if (!rc)
		rc = remote_call(r.http, "DELETE", (const char *)path.data, NULL, NULL, 0, &j, NULL, &err);
	if (rc) {
		rc = cli_fail(a, rc, &err, NULL);
	} else if (json_object_get(j, "proposal")) {
		rc = print_proposed(a, &r, json_incref(j));
	} else {
		remember(&r, name, NULL);
		rc = print_session(a, &r, json_incref(j));
	}
	json_decref(j);
	remote_close(&r);
	buf_free(&path);
	return rc;
}
