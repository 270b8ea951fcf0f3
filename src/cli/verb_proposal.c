/* scone proposal: what the boards of sessions decide about. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cli.h"
#include "cli/proposal_check.h"
#include "cli/remote.h"
#include "cli/signer.h"
#include "core/encode.h"
#include "policy/session.h"
#include "policy/signature.h"

#define PROPOSALS "/v1/proposals"
#define ID_HEX (2 * BOARD_ID_LEN)
#define PREFIX_MIN 8
#define FILE_MAX (16 * 1024 * 1024)

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static void print_clean(const char *s)
{
	char *clean = cli_clean(s);

	fputs(clean ? clean : "", stdout);
	free(clean);
}

/* --- calls --- */

/* As this user, or as a member with its key. */
static int open_remote(const struct args *a, struct remote *ret, struct error *err)
{
	EVP_PKEY *k = NULL;
	int rc;

	if (!a->value[OPT_SIGNING_KEY])
		return remote_open(a, ret, err);
	if (signer_load(a, &k, err))
		return cli_exit_code(err);
	rc = remote_open_as(a, k, ret, err);
	EVP_PKEY_free(k);
	return rc;
}

static int call(struct remote *r, const char *method, const char *id, const char *more, const json_t *body,
	json_t **ret, struct error *err)
{
	char *text_of = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct buf path;
	int rc;

	buf_init(&path, 8192);
	buf_printf(&path, PROPOSALS "%s%s%s", id ? "/" : "", id ? id : "", more ? more : "");
	if (!buf_cstr(&path) || (body && !text_of)) {
		error_set(err, ERR_NOMEM, "no memory");
		rc = CLI_FAILED;
	} else {
		rc = remote_call(r->http, method, (const char *)path.data, body ? "application/json" : NULL,
			text_of, text_of ? strlen(text_of) : 0, ret, NULL, err);
	}
	free(text_of);
	buf_free(&path);
	return rc;
}

static bool is_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

/* The whole id for a prefix that no two of those that are seen have in common. */
static int whole_id(struct remote *r, const char *given, char ret[ID_HEX + 1], struct error *err)
{
	size_t n = strlen(given), found = 0, i;
	const json_t *item;
	json_t *j = NULL;
	int rc;

	if (is_hex(given, ID_HEX)) {
		memcpy(ret, given, ID_HEX + 1);
		return 0;
	}
	if (n < PREFIX_MIN || n > ID_HEX || !is_hex(given, n)) {
		error_set(err, ERR_INPUT,
			"'%.80s' is no proposal: its number has %d hex digits, of which the first %d may do",
			given, ID_HEX, PREFIX_MIN);
		return CLI_INPUT;
	}
	rc = call(r, "GET", NULL, NULL, NULL, &j, err);
	if (rc)
		return rc;
	json_array_foreach (json_object_get(j, "proposals"), i, item) {
		if (strncmp(text(item, "id"), given, n) != 0 || !is_hex(text(item, "id"), ID_HEX))
			continue;
		memcpy(ret, text(item, "id"), ID_HEX + 1);
		found++;
	}
	json_decref(j);
	if (found == 1)
		return 0;
	error_set(err, found ? ERR_INPUT : ERR_NOT_FOUND, "%zu proposals that you may see begin with %s",
		found, given);
	return found ? CLI_INPUT : CLI_NOT_FOUND;
}

static int get(struct remote *r, const char *given, json_t **ret, struct error *err)
{
	char id[ID_HEX + 1];
	int rc = whole_id(r, given, id, err);

	return rc ? rc : call(r, "GET", id, NULL, NULL, ret, err);
}

/* --- printing --- */

static void print_time(const char *what, const json_t *t)
{
	time_t at = (time_t)json_integer_value(t);
	char s[64] = "";
	struct tm tm;

	if (json_is_integer(t) && gmtime_r(&at, &tm) && strftime(s, sizeof(s), "%Y-%m-%dT%H:%M:%SZ", &tm))
		printf("%-10s %s\n", what, s);
}

static void print_row(const json_t *j)
{
	const json_t *approvals = json_object_get(j, "approvals");

	print_clean(text(j, "id"));
	putchar(' ');
	print_clean(text(j, "state"));
	putchar(' ');
	print_clean(text(j, "action"));
	putchar(' ');
	print_clean(text(j, "session"));
	if (approvals)
		printf(" %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(approvals, "have")),
			json_integer_value(json_object_get(approvals, "needed")));
	putchar('\n');
}

static void print_field(const char *what, const char *value)
{
	if (!*value)
		return;
	printf("%-10s ", what);
	print_clean(value);
	putchar('\n');
}

static void print_members(const json_t *j)
{
	const json_t *m;
	size_t i;

	json_array_foreach (json_object_get(j, "members"), i, m) {
		printf("member     ");
		print_clean(text(m, "name"));
		printf(" %s", json_is_true(json_object_get(m, "veto")) ? "(veto) " : "");
		print_clean(*text(m, "program") ? text(m, "program") : text(m, "key"));
		printf(": %s\n", *text(m, "vote") ? text(m, "vote") : "-");
	}
	if (json_array_size(json_object_get(j, "members")))
		return;
	json_array_foreach (json_object_get(j, "votes"), i, m) {
		printf("vote       ");
		print_clean(text(m, "member"));
		printf(": ");
		print_clean(text(m, "choice"));
		putchar('\n');
	}
}

static void print_diff(const json_t *j)
{
	const json_t *line;
	size_t i;

	json_array_foreach (json_object_get(j, "diff"), i, line) {
		printf("%.1s", text(line, "op"));
		print_clean(text(line, "text"));
		putchar('\n');
	}
}

static void print_proposal(const json_t *j)
{
	const json_t *item, *approvals = json_object_get(j, "approvals");
	size_t i;

	print_field("proposal", text(j, "id"));
	print_field("session", text(j, "session"));
	print_field("action", text(j, "action"));
	print_field("state", text(j, "state"));
	print_time("created", json_object_get(j, "created"));
	print_time("expires", json_object_get(j, "expires"));
	print_field("asked by", text(j, "asked_by"));
	print_field("current", text(j, "current"));
	print_field("new", text(j, "new"));
	print_field("importer", text(j, "importer"));
	json_array_foreach (json_object_get(j, "items"), i, item)
		print_field("item", json_string_value(item));
	print_field("reader", text(j, "reader"));
	if (approvals)
		printf("approvals  %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n",
			json_integer_value(json_object_get(approvals, "have")),
			json_integer_value(json_object_get(approvals, "needed")));
	print_members(j);
	if (json_object_get(j, "diff")) {
		putchar('\n');
		print_diff(j);
	}
}

/* --- verbs --- */

/* Print an answer, which it takes, as a row or as JSON; or the error. */
static int answer(const struct args *a, struct remote *r, int rc, json_t *j, const struct error *err)
{
	if (rc)
		rc = cli_fail(a, rc, err, NULL);
	else if (a->value[OPT_JSON])
		rc = cli_print_json(json_incref(j));
	else {
		print_row(j);
		rc = cli_done();
	}
	json_decref(j);
	remote_close(r);
	return rc;
}

int verb_proposal_list(const struct args *a)
{
	struct error err = {0};
	struct remote r = {0};
	const json_t *item;
	json_t *j = NULL;
	struct buf query;
	size_t i;
	int rc;

	buf_init(&query, 1024);
	if (a->count && !session_name_check(a->operands[0], &err))
		buf_printf(&query, "?session=%s", a->operands[0]);
	rc = err.code ? cli_exit_code(&err) : open_remote(a, &r, &err);
	if (!rc)
		rc = call(&r, "GET", NULL, buf_cstr(&query), NULL, &j, &err);
	buf_free(&query);
	if (rc || a->value[OPT_JSON])
		return answer(a, &r, rc, j, &err);
	json_array_foreach (json_object_get(j, "proposals"), i, item)
		print_row(item);
	json_decref(j);
	remote_close(&r);
	return cli_done();
}

int verb_proposal_show(const struct args *a)
{
	struct error err = {0};
	struct remote r = {0};
	json_t *j = NULL;
	int rc = open_remote(a, &r, &err);

	if (!rc)
		rc = get(&r, a->operands[0], &j, &err);
	if (rc || a->value[OPT_JSON])
		return answer(a, &r, rc, j, &err);
	print_proposal(j);
	json_decref(j);
	remote_close(&r);
	return cli_done();
}

int verb_proposal_withdraw(const struct args *a)
{
	char id[ID_HEX + 1];
	struct error err = {0};
	struct remote r = {0};
	json_t *j = NULL;
	int rc = remote_open(a, &r, &err);

	if (!rc)
		rc = whole_id(&r, a->operands[0], id, &err);
	if (!rc)
		rc = call(&r, "DELETE", id, NULL, NULL, &j, &err);
	return answer(a, &r, rc, j, &err);
}

int verb_proposal_ask(const struct args *a)
{
	json_t *body = json_pack("{s:s,s:s,s:s*}", "action", a->operands[0], "session", a->operands[1],
		"importer", a->count > 2 ? a->operands[2] : NULL);
	struct error err = {0};
	struct remote r = {0};
	json_t *j = NULL;
	int rc = remote_open(a, &r, &err);

	if (!rc)
		rc = call(&r, "POST", NULL, NULL, body, &j, &err);
	json_decref(body);
	return answer(a, &r, rc, j, &err);
}

/* --- votes --- */

static int read_json(const char *path, json_t **ret, struct error *err)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	json_error_t why;

	if (!f)
		return error_set(err, ERR_NOT_FOUND, "%s cannot be opened", path);
	*ret = json_loadf(f, JSON_REJECT_DUPLICATES, &why);
	if (f != stdin)
		fclose(f);
	return *ret ? 0 : error_set(err, ERR_INPUT, "%s is no JSON: line %d: %s", path, why.line, why.text);
}

/* With --hash only what has this new hash. */
static int wanted_hash(const struct args *a, const struct board_subject *q, struct error *err)
{
	uint8_t hash[32];
	const char *hex = a->value[OPT_HASH];

	if (!hex)
		return 0;
	if (hex_decode(hex, strlen(hex), hash, sizeof(hash)) || q->action != BOARD_UPDATE ||
		memcmp(hash, q->bound, sizeof(hash)))
		return error_set(
			err, ERR_CONFLICT, "the proposal has not the new hash %.64s: nothing is signed", hex);
	return 0;
}

static int make_vote(
	const struct args *a, const json_t *proposal, bool approve, json_t **ret, struct error *err)
{
	struct proposal_view *v = calloc(1, sizeof(*v));
	json_t *vote = NULL;
	EVP_PKEY *k = NULL;
	struct buf bytes;
	int rc;

	if (!v)
		return error_set(err, ERR_NOMEM, "no memory");
	buf_init(&bytes, 1024 * 1024);
	rc = proposal_check(proposal, v, err);
	if (!rc)
		rc = wanted_hash(a, &v->subject, err);
	if (!rc)
		rc = signer_load(a, &k, err);
	if (!rc) {
		board_vote_bytes(&v->subject, approve, &bytes);
		vote = json_pack("{s:s,s:s,s:s}", "format", VOTE_FORMAT, "proposal", text(proposal, "id"),
			"choice", approve ? "approve" : "reject");
		rc = bytes.failed || !vote ? error_set(err, ERR_NOMEM, "no memory")
					   : signature_make(k, bytes.data, bytes.len, vote, err);
	}
	EVP_PKEY_free(k);
	buf_free(&bytes);
	free(v);
	if (rc)
		json_decref(vote);
	else
		*ret = vote;
	return rc;
}

/* The proposal from a file; the vote to standard output. */
static int vote_offline(const struct args *a, bool approve)
{
	json_t *proposal = NULL, *vote = NULL;
	struct error err = {0};
	int rc;

	if (read_json(a->operands[0], &proposal, &err) || make_vote(a, proposal, approve, &vote, &err))
		rc = cli_fail(a, cli_exit_code(&err), &err, NULL);
	else
		rc = cli_print_json(vote);
	json_decref(proposal);
	return rc;
}

static int vote_online(const struct args *a, bool approve)
{
	json_t *proposal = NULL, *vote = NULL, *j = NULL;
	struct error err = {0};
	struct remote r = {0};
	int rc = open_remote(a, &r, &err);

	if (!rc)
		rc = get(&r, a->operands[0], &proposal, &err);
	if (!rc && make_vote(a, proposal, approve, &vote, &err))
		rc = cli_exit_code(&err);
	if (!rc)
		rc = call(&r, "POST", text(proposal, "id"), "/votes", vote, &j, &err);
	json_decref(proposal);
	json_decref(vote);
	return answer(a, &r, rc, j, &err);
}

int verb_proposal_approve(const struct args *a)
{
	return a->value[OPT_OFFLINE] ? vote_offline(a, true) : vote_online(a, true);
}

int verb_proposal_reject(const struct args *a)
{
	return a->value[OPT_OFFLINE] ? vote_offline(a, false) : vote_online(a, false);
}

int verb_proposal_vote(const struct args *a)
{
	struct error err = {0};
	struct remote r = {0};
	json_t *vote = NULL, *j = NULL;
	int rc = 0;

	if (read_json(a->operands[0], &vote, &err))
		rc = cli_exit_code(&err);
	else if (!is_hex(text(vote, "proposal"), ID_HEX)) {
		error_set(&err, ERR_INPUT, "%s is no vote: it names no proposal", a->operands[0]);
		rc = CLI_INPUT;
	}
	if (!rc)
		rc = remote_open(a, &r, &err);
	if (!rc)
		rc = call(&r, "POST", text(vote, "proposal"), "/votes", vote, &j, &err);
	json_decref(vote);
	return answer(a, &r, rc, j, &err);
}
