/* scone session check, verify, calculate-hash: everything wrong with a session file, and its hash, without a CAS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/document.h"
#include "cli/identity.h"
#include "core/encode.h"
#include "policy/session.h"

/* The hash as CAS will compute it, or "" where it depends on an uploader that is not known here. */
static int known_hash(
	const struct args *a, const struct session *s, char ret[2 * SESSION_HASH_LEN + 1], struct error *err)
{
	uint8_t creator[KEY_HASH_LEN] = {0}, other[KEY_HASH_LEN] = {1}, hash[SESSION_HASH_LEN],
		hash2[SESSION_HASH_LEN];
	const char *given = a->value[OPT_CREATOR];
	struct identity id;
	bool known = false;

	ret[0] = '\0';
	if (given) {
		if (key_hash_parse(given, strlen(given), creator, err))
			return error_wrap(err, "--creator '%s'", given);
		known = true;
	} else if (!identity_load(false, &id, err)) {
		memcpy(creator, id.hash, sizeof(creator));
		identity_free(&id);
		known = true;
	} else if (err->code != ERR_NOT_FOUND) {
		return -1;
	}
	if (session_hash(s, creator, hash, err))
		return -1;
	if (!known) {
		if (session_hash(s, other, hash2, err))
			return -1;
		known = !memcmp(hash, hash2, sizeof(hash));
	}
	if (known)
		hex_encode(hash, sizeof(hash), ret);
	return 0;
}

static json_t *diagnostics(const struct diag *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->count; i++) {
		const struct diag_entry *e = &d->entries[i];

		(void)json_array_append_new(
			list, json_pack("{s:s,s:s?,s:i,s:i,s:s?}", "name", e->name, "path", e->path, "line",
				      e->line, "column", e->column, "text", e->text));
	}
	return list;
}

static void print_diagnostics(const struct document *doc, const struct diag *d)
{
	struct buf text;

	buf_init(&text, 4 * SESSION_TEXT_MAX);
	diag_format(d, doc->file, &text);
	fwrite(text.data, 1, text.len, stderr);
	buf_free(&text);
	if (d->truncated)
		cli_warn("more than %d entries: the rest is not shown", DIAG_MAX);
}

static int print_text(
	const struct document *doc, const struct session *s, const char *hash, const struct diag *d)
{
	print_diagnostics(doc, d);
	if (!s)
		return CLI_INPUT;
	if (!*hash)
		cli_warn("the hash depends on the uploader: --creator KEYHASH gives it, or make an identity "
			 "(`scone identity`)");
	printf("%s %s\n", s->name, *hash ? hash : "-");
	return cli_done();
}

int verb_session_hash(const struct args *a)
{
	char hash[2 * SESSION_HASH_LEN + 1] = "";
	struct session *s = NULL;
	struct error err = {0};
	struct document doc;
	struct diag d;
	int rc = CLI_INPUT;

	if (document_load(a, &doc, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	diag_init(&d);
	if (session_parse((const char *)doc.text.data, doc.text.len, &s, &d)) {
		s = NULL;
		print_diagnostics(&doc, &d);
		error_set(&err, ERR_INPUT, "%s is no session that has a hash", doc.file);
	} else if (!known_hash(a, s, hash, &err) && !*hash) {
		error_set(&err, ERR_INPUT,
			"the hash depends on the uploader: --creator KEYHASH gives it, or make an identity "
			"(`scone "
			"identity`)");
	}
	if (!*hash)
		rc = cli_fail(a, s ? cli_exit_code(&err) : CLI_INPUT, &err, NULL);
	else if (a->value[OPT_JSON])
		rc = cli_print_json(json_pack("{s:s,s:s}", "name", s->name, "hash", hash));
	else
		rc = printf("%s\n", hash) < 0 ? CLI_FAILED : cli_done();
	diag_free(&d);
	session_free(s);
	document_free(&doc);
	return rc;
}

int verb_session_verify(const struct args *a)
{
	char hash[2 * SESSION_HASH_LEN + 1] = "";
	struct session *s = NULL;
	struct error err = {0};
	struct document doc;
	struct diag d;
	int rc;

	if (document_load(a, &doc, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	diag_init(&d);
	if (session_parse((const char *)doc.text.data, doc.text.len, &s, &d))
		s = NULL;
	if (s && known_hash(a, s, hash, &err)) {
		rc = cli_fail(a, cli_exit_code(&err), &err, NULL);
	} else if (a->value[OPT_JSON]) {
		rc = cli_print_json(json_pack("{s:s,s:b,s:s?,s:s?,s:o}", "file", doc.file, "valid", s != NULL,
			"name", s ? s->name : NULL, "hash", *hash ? hash : NULL, "diagnostics",
			diagnostics(&d)));
		if (!rc && !s)
			rc = CLI_INPUT;
	} else {
		rc = print_text(&doc, s, hash, &d);
	}
	diag_free(&d);
	if (s)
		session_free(s);
	document_free(&doc);
	return rc;
}
