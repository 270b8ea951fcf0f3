#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cas/console_part.h"
#include "cas/http_parse.h"
#include "core/encode.h"
#include "core/log.h"
#include "wire/audit_line.h"

#define SHOWN_MAX 1000 /* lines of a page: the newest */
#define READ_MAX (16 << 20) /* bytes looked at, from the end: everybody else waits meanwhile */

struct history {
	const char *session;
	struct buf rows[SHOWN_MAX]; /* a ring */
	size_t count;
};

/* Is the line about the session? Names are in the log as commitments only. */
static bool is_about(const json_t *line, const char *session)
{
	const char *prev = console_string(line, "prev");
	uint8_t hash[AUDIT_HASH_LEN];
	char mine[AUDIT_COMMITMENT_MAX];

	if (hex_decode(prev, strlen(prev), hash, sizeof(hash)))
		return false;
	audit_commit(hash, session, mine);
	return !strcmp(mine, console_string(line, "subject"));
}

static void put_row(struct buf *b, const json_t *line)
{
	buf_printf(b, "<tr><td>%lld</td><td>", (long long)json_integer_value(json_object_get(line, "seq")));
	console_time(b, json_integer_value(json_object_get(line, "time")));
	buf_puts(b, "</td>");
	console_cell(b, console_string(line, "event"));
	buf_puts(b, "<td class=\"hash\">");
	console_word(b, console_string(line, "actor"));
	buf_puts(b, "</td><td class=\"hash\">");
	console_word(b, console_string(line, "detail"));
	buf_puts(b, "</td></tr>\n");
}

static void take_line(struct history *h, const char *line, size_t n)
{
	json_t *j = json_loadb(line, n, 0, NULL);

	if (j && is_about(j, h->session)) {
		struct buf *row = &h->rows[h->count++ % SHOWN_MAX];

		buf_reset(row);
		put_row(row, j);
	}
	json_decref(j);
}

/* Whole lines at p, without their newlines: how many bytes were taken. */
static size_t take_lines(struct history *h, const char *p, size_t n)
{
	size_t done = 0;

	for (const char *end; (end = memchr(p + done, '\n', n - done)); done = (size_t)(end - p) + 1)
		take_line(h, p + done, (size_t)(end - p) - done);
	return done;
}

static int take_file(const struct audit *a, struct history *h)
{
	static char chunk[16 * AUDIT_LINE_MAX]; /* one thread answers */
	int64_t size, at;
	size_t held = 0;
	int fd;

	size = audit_file(a, &fd);
	/* From the middle, what is left of a line is no object, and no line of anybody's. */
	at = size > READ_MAX ? size - READ_MAX : 0;
	while (at < size) {
		ssize_t n = pread(fd, chunk + held, sizeof(chunk) - held, at);
		size_t done;

		if (n <= 0)
			return -1;
		at += n;
		held += (size_t)n;
		done = take_lines(h, chunk, held);
		if (!done && held == sizeof(chunk))
			return -1;
		memmove(chunk, chunk + done, held - done);
		held -= done;
	}
	return 0;
}

static void show(struct cas *c, const char *session, struct http_reply *r)
{
	struct history h = {.session = session};
	struct buf *b = &r->body;
	size_t first;

	for (size_t i = 0; i < SHOWN_MAX; i++)
		buf_init(&h.rows[i], 8 * AUDIT_LINE_MAX);
	if (take_file(c->audit, &h)) {
		console_sentence(
			r, 500, "Not shown", "The audit log cannot be read; CAS's own log says why.");
		log_error("audit log, for a page: %m");
	} else {
		console_page(r, 200, "Audit log");
		buf_puts(b, "<section><h2>");
		console_word(b, session);
		buf_puts(b, "</h2><table "
			    "id=\"audit\"><tr><th>line</th><th>time</th><th>event</th><th>by</th><th>detail</"
			    "th></tr>\n");
		first = h.count > SHOWN_MAX ? h.count - SHOWN_MAX : 0;
		for (size_t i = h.count; i > first; i--)
			buf_put(b, h.rows[(i - 1) % SHOWN_MAX].data, h.rows[(i - 1) % SHOWN_MAX].len);
		buf_puts(b, "</table><p class=\"pale\">Signatures are checked on a copy: <code>scone audit "
			    "verify</code>.</p></section>");
		console_end(b);
	}
	for (size_t i = 0; i < SHOWN_MAX; i++)
		buf_free(&h.rows[i]);
}

/* Who may read a session may know what happened to it. */
void console_audit(struct cas *c, const struct http_request *q, const char *rest, struct http_reply *r)
{
	char path[2 * HTTP_TARGET_MAX];
	json_t *j;

	snprintf(path, sizeof(path), API_SESSIONS "/%s", rest);
	j = console_ask(c, q, api_session_read, path, "", r);
	if (!j)
		return;
	show(c, console_string(j, "name"), r);
	json_decref(j);
}
