/* scone audit: a copy of CAS's audit log, shown and verified offline. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cli.h"
#include "core/encode.h"
#include "crypto/key.h"
#include "wire/audit_line.h"

#define TIME_TEXT_MAX 32

/* RFC 3339, UTC. */
static void time_text(uint64_t seconds, char ret[TIME_TEXT_MAX])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(ret, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret, TIME_TEXT_MAX, "%" PRIu64, seconds);
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* What the user knows by name. */
struct show {
	const char *session, *hash; /* or NULL */
	json_t *list; /* NULL: as text */
};

/* The known text that a commitment stands for; else the commitment. */
static const char *known(const struct audit_event *e, const char *text, const char *commitment)
{
	char mine[AUDIT_COMMITMENT_MAX];

	if (!text)
		return commitment;
	audit_commit(e->prev, text, mine);
	return strcmp(mine, commitment) ? commitment : text;
}

static void show_event(void *arg, const struct audit_event *e)
{
	const struct show *s = arg;
	const char *session = known(e, s->session, e->subject), *about = known(e, s->hash, e->detail);
	char when[TIME_TEXT_MAX], *subject = cli_clean(session), *detail = cli_clean(about),
				  *event = cli_clean(e->event);

	time_text(e->time, when);
	if (s->session && session == e->subject)
		; /* not this session's */
	else if (s->list)
		json_array_append_new(
			s->list, json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:I}", "seq", (json_int_t)e->seq, "time",
					 when, "event", e->event, "actor", e->actor, "session", session,
					 "detail", about, "generation", (json_int_t)e->generation));
	else if (subject && detail && event)
		printf("%8" PRIu64 " %s %-20s %s %s %s\n", e->seq, when, event, or_dash(subject),
			or_dash(e->actor), or_dash(detail));
	free(subject);
	free(detail);
	free(event);
}

/* Line by line to the end or the first bad one. */
static int walk(FILE *f, const char *name, const uint8_t *pinned,
	void (*each)(void *, const struct audit_event *), void *arg, struct audit_walk *w, struct error *err)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;

	while (!rc && (n = getline(&line, &cap, f)) > 0) {
		if (line[n - 1] != '\n')
			rc = error_set(err, ERR_CRYPTO, "it has no end: the file was cut");
		else
			rc = audit_walk_line(w, line, (size_t)n - 1, pinned, each, arg, err);
		if (rc)
			error_wrap(err, "%s: line %" PRIu64, name, w->lines + 1);
	}
	if (!rc && ferror(f))
		rc = error_set_errno(err, errno, "%s", name);
	if (!rc && w->lines == 0)
		rc = error_set(err, ERR_CRYPTO, "%s is empty", name);
	free(line);
	return rc;
}

static int print_sum(const struct args *a, const struct audit_walk *w, json_t *list)
{
	char key[KEY_HASH_TEXT_MAX], last[2 * AUDIT_HASH_LEN + 1];

	key_hash_text(w->key_hash, key);
	hex_encode(w->prev, AUDIT_HASH_LEN, last);
	if (a->value[OPT_JSON])
		return cli_print_json(json_pack("{s:I,s:I,s:s,s:s,s:o*}", "lines", (json_int_t)w->lines,
			"first", (json_int_t)w->first_seq, "key", key, "last", last, "events", list));
	printf("%" PRIu64 " lines from %" PRIu64 ", each signed by CAS %s, last hash %s\n", w->lines,
		w->first_seq, key, last);
	if (w->first_seq)
		puts("lines before the first are in a log that this one replaces");
	return cli_done();
}

static int run(const struct args *a, bool show)
{
	const char *key_text = a->value[OPT_CAS_KEY], *name = a->operands[0];
	struct show s = {.session = a->value[OPT_NAME],
		.hash = a->value[OPT_HASH],
		.list = show && a->value[OPT_JSON] ? json_array() : NULL};
	struct audit_walk w = {0};
	uint8_t pinned[KEY_HASH_LEN];
	struct error err = {0};
	FILE *f = NULL;
	int rc = 0;

	if (key_text)
		rc = key_hash_parse(key_text, strlen(key_text), pinned, &err);
	if (!rc && !(f = fopen(name, "re")))
		rc = error_set_errno(&err, errno, "%s", name);
	if (!rc)
		rc = walk(f, name, key_text ? pinned : NULL, show ? show_event : NULL, &s, &w, &err);
	if (f)
		fclose(f);
	if (rc) {
		fflush(stdout);
		rc = cli_fail(a, err.code == ERR_IO ? CLI_FAILED : CLI_DAMAGED, &err, NULL);
		json_decref(s.list);
	} else {
		if (!key_text)
			cli_warn("the log's own key was believed; --cas-key KEYHASH says which CAS it must "
				 "be of");
		rc = show && !s.list ? cli_done() : print_sum(a, &w, s.list);
	}
	audit_walk_free(&w);
	return rc;
}

int verb_audit_show(const struct args *a)
{
	return run(a, true);
}

int verb_audit_verify(const struct args *a)
{
	return run(a, false);
}
