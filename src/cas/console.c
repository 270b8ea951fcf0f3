#include "cas/console_part.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cas/board.h"
#include "cas/http_parse.h"
#include "cas/permit.h"
#include "policy/name.h"

#define PATH_MAX_TEXT (2 * HTTP_TARGET_MAX)

/* --- text --- */

void console_text(struct buf *b, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		switch (c) {
		case '&':
			buf_puts(b, "&amp;");
			break;
		case '<':
			buf_puts(b, "&lt;");
			break;
		case '>':
			buf_puts(b, "&gt;");
			break;
		case '"':
			buf_puts(b, "&quot;");
			break;
		case '\'':
			buf_puts(b, "&#39;");
			break;
		default:
			buf_putc(b, (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c);
		}
	}
}

void console_word(struct buf *b, const char *text)
{
	if (text)
		console_text(b, text, strlen(text));
}

void console_cell(struct buf *b, const char *text)
{
	buf_puts(b, "<td>");
	console_word(b, text);
	buf_puts(b, "</td>");
}

void console_time(struct buf *b, json_int_t t)
{
	time_t at = (time_t)t;
	char text[32];
	struct tm tm;

	if (t <= 0 || !gmtime_r(&at, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		buf_puts(b, "–");
	else
		buf_printf(b, "<time datetime=\"%sZ\">%s UTC</time>", text, text);
}

void console_segment(struct buf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-_.~/:", c))
			buf_putc(b, (char)c);
		else
			buf_printf(b, "%%%02X", c);
	}
}

const char *console_string(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

/* --- pages --- */

static void begin(struct buf *b, const char *title)
{
	buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
	console_word(b, title);
	buf_puts(b, " – OpenSCONE CAS</title><meta name=\"viewport\" content=\"width=device-width\">"
		    "<link rel=\"stylesheet\" href=\"" CONSOLE_PATH "style.css\">"
		    "<script src=\"" CONSOLE_PATH "console.js\" defer></script></head><body>"
		    "<header><strong><a href=\"" CONSOLE_PATH "\">OpenSCONE CAS</a></strong>"
		    "<a href=\"" CONSOLE_PATH "\">sessions</a><a href=\"" CONSOLE_PROPOSALS
		    "\">proposals</a></header><main>\n<h1>");
	console_word(b, title);
	buf_puts(b, "</h1>\n");
}

void console_end(struct buf *b)
{
	buf_puts(b, "</main></body></html>\n");
}

void console_page(struct http_reply *r, int status, const char *title)
{
	buf_reset(&r->body);
	r->status = status;
	r->content_type = CONSOLE_TYPE;
	r->policy = CONSOLE_POLICY;
	begin(&r->body, title);
}

void console_sentence(struct http_reply *r, int status, const char *title, const char *text)
{
	console_page(r, status, title);
	buf_puts(&r->body, "<section><p>");
	console_word(&r->body, text);
	buf_puts(&r->body, "</p></section>");
	console_end(&r->body);
}

json_t *console_ask(struct cas *c, const struct http_request *q, api_call call, const char *path,
	const char *query, struct http_reply *r)
{
	struct http_request asked = *q;
	struct http_reply answer = {.status = 500};
	json_t *j;

	asked.method = "GET";
	asked.path = path;
	asked.query = query;
	buf_init_secret(&answer.body, HTTP_REPLY_MAX);
	call(c, &asked, &answer);
	j = json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL);
	if (answer.status != 200) {
		const char *text = console_string(json_object_get(j, "error"), "text");

		console_sentence(r, answer.status, "Not shown", *text ? text : "CAS could not answer.");
		json_decref(j);
		j = NULL;
	} else if (!j) {
		console_sentence(r, 500, "Not shown", "CAS could not answer.");
	}
	buf_free(&answer.body);
	return j;
}

static void session_row(struct buf *b, const json_t *s)
{
	buf_puts(b, "<tr><td><a href=\"" CONSOLE_SESSIONS);
	console_segment(b, console_string(s, "name"));
	buf_puts(b, "\">");
	console_word(b, console_string(s, "name"));
	buf_puts(b, "</a></td><td class=\"hash\">");
	console_word(b, console_string(s, "hash"));
	buf_puts(b, "</td></tr>\n");
}

static void sessions(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	json_t *j = console_ask(c, q, api_session_list, API_SESSIONS, "", r), *s;
	struct buf *b = &r->body;
	size_t i;

	if (!j)
		return;
	console_page(r, 200, "Sessions");
	buf_puts(b, "<section><table id=\"sessions\"><tr><th>name</th><th>hash</th></tr>\n");
	json_array_foreach (json_object_get(j, "sessions"), i, s)
		session_row(b, s);
	buf_puts(b, "</table>");
	if (!json_array_size(json_object_get(j, "sessions")))
		buf_puts(b, "<p class=\"pale\">There is no session that your certificate may read.</p>");
	buf_puts(b, "</section>");
	console_end(b);
	json_decref(j);
}

/* Each read of it is the board's to agree to, and the caller is one who may ask. */
static bool each_read_counts(struct cas *c, const struct http_request *q, const char *name)
{
	struct stored_session s;
	bool counts;

	stored_session_init(&s);
	counts = !session_name_check(name, NULL) && !sessions_load(c->store, name, NULL, &s, NULL) &&
		 board_covers(s.doc, BOARD_READ) &&
		 !permit(c->store, c->audit, &s, OP_READ, &(struct requester){.caller = q->key},
			 (uint64_t)time(NULL), NULL);
	stored_session_free(&s);
	return counts;
}

/* Looking at a page must not use up what the board has agreed to: that takes a step of its own. */
static void offer_read(const char *name, struct http_reply *r)
{
	struct buf *b = &r->body;

	console_page(r, 200, "The board decides about each read");
	buf_puts(b, "<section><p>Its board decides about each read of this session, and what it agrees to is "
		    "good once. If it has agreed to one by your key, this uses it up:</p><p><a "
		    "id=\"take\" rel=\"nofollow\" href=\"" CONSOLE_SESSIONS);
	console_segment(b, name);
	buf_puts(b, "?take=read\">read it now</a></p></section>");
	console_end(b);
}

static void session(struct cas *c, const struct http_request *q, const char *rest, struct http_reply *r)
{
	char path[PATH_MAX_TEXT], name[HTTP_TARGET_MAX];
	struct buf *b = &r->body;
	json_t *j;

	if (strcmp(q->query, "take=read") != 0 && !http_percent_decode(rest, strlen(rest), name, NULL) &&
		each_read_counts(c, q, name)) {
		offer_read(name, r);
		return;
	}
	snprintf(path, sizeof(path), API_SESSIONS "/%s", rest);
	j = console_ask(c, q, api_session_read, path, "", r);
	if (!j)
		return;
	console_page(r, 200, console_string(j, "name"));
	buf_puts(b, "<section><table><tr><th>hash</th><td class=\"hash\">");
	console_word(b, console_string(j, "hash"));
	buf_puts(b, "</td></tr><tr><th>predecessor</th><td class=\"hash\">");
	console_word(b, console_string(j, "predecessor"));
	buf_puts(b, "</td></tr><tr><th>creator</th><td class=\"hash\">");
	console_word(b, console_string(j, "creator"));
	buf_puts(b, "</td></tr></table><p><a href=\"" CONSOLE_PROPOSALS "?session=");
	console_segment(b, console_string(j, "name"));
	buf_puts(b, "\">proposals</a> · <a href=\"" CONSOLE_AUDIT);
	console_segment(b, console_string(j, "name"));
	buf_puts(b, "\">audit log</a></p></section><section><h2>Document</h2><pre id=\"document\">");
	console_word(b, console_string(j, "session"));
	buf_puts(b, "</pre></section>");
	console_end(b);
	json_decref(j);
}

static void asset(struct http_reply *r, const char *type, const char *p, size_t n)
{
	buf_reset(&r->body);
	r->status = 200;
	r->content_type = type;
	buf_put(&r->body, p, n);
}

static const char *behind(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) ? NULL : path + n;
}

void console_get(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	const char *rest, *session_name = "";
	struct error err;

	if (!strcmp(q->path, CONSOLE_PATH "style.css"))
		asset(r, "text/css; charset=utf-8", console_style, console_style_len);
	else if (!strcmp(q->path, CONSOLE_PATH "console.js"))
		asset(r, "text/javascript; charset=utf-8", console_script, console_script_len);
	else if (!q->key)
		console_sentence(r, 401, "Who are you?",
			"Your browser has shown no client certificate. CAS knows people by the key of "
			"theirs: "
			"put the one of `scone identity` into your browser, as docs/cas.md tells, and come "
			"again.");
	else if (!strcmp(q->path, "/") || !strcmp(q->path, CONSOLE_PATH))
		sessions(c, q, r);
	else if ((rest = behind(q->path, CONSOLE_SESSIONS)) && *rest)
		session(c, q, rest, r);
	else if ((rest = behind(q->path, CONSOLE_PROPOSALS)) && *rest)
		console_proposal(c, q, rest, r);
	else if (rest && http_query_value(q->query, "session", &session_name, &err))
		console_sentence(r, 400, "Not shown", err.text);
	else if (rest)
		console_proposals(c, q, session_name ? session_name : "", r);
	else if ((rest = behind(q->path, CONSOLE_AUDIT)) && *rest)
		console_audit(c, q, rest, r);
	else
		console_sentence(r, 404, "Not here", "There is no such page.");
}
