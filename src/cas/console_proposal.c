#include <stdio.h>
#include <string.h>
#include "cas/console_part.h"
#include "cas/http_parse.h"
#include "cas/proposal.h"

static void state(struct buf *b, const json_t *p)
{
	buf_puts(b, "<span class=\"state ");
	console_word(b, console_string(p, "state"));
	buf_puts(b, "\">");
	console_word(b, console_string(p, "state"));
	buf_puts(b, "</span>");
}

static void approvals(struct buf *b, const json_t *p)
{
	const json_t *a = json_object_get(p, "approvals");

	if (a)
		buf_printf(b, "%d of %d", (int)json_integer_value(json_object_get(a, "have")),
			(int)json_integer_value(json_object_get(a, "needed")));
}

static void list_row(struct buf *b, const json_t *p)
{
	buf_puts(b, "<tr><td><a href=\"" CONSOLE_PROPOSALS);
	console_segment(b, console_string(p, "id"));
	buf_puts(b, "\">");
	console_word(b, console_string(p, "action"));
	buf_puts(b, "</a></td>");
	console_cell(b, console_string(p, "session"));
	buf_puts(b, "<td>");
	state(b, p);
	buf_puts(b, "</td><td>");
	approvals(b, p);
	buf_puts(b, "</td><td>");
	console_time(b, json_integer_value(json_object_get(p, "created")));
	buf_puts(b, "</td><td>");
	console_time(b, json_integer_value(json_object_get(p, "expires")));
	buf_puts(b, "</td></tr>\n");
}

void console_proposals(struct cas *c, const struct http_request *q, const char *session, struct http_reply *r)
{
	char query[1024];
	struct buf *b = &r->body;
	json_t *j, *p;
	size_t i;

	snprintf(query, sizeof(query), "%s%s", *session ? "session=" : "", session);
	j = console_ask(c, q, api_proposal_list, API_PROPOSALS, query, r);
	if (!j)
		return;
	console_page(r, 200, "Proposals");
	buf_puts(b, "<section><table "
		    "id=\"proposals\"><tr><th>action</th><th>session</th><th>state</th><th>approvals</th>"
		    "<th>proposed</th><th>until</th></tr>\n");
	json_array_foreach (json_object_get(j, "proposals"), i, p)
		list_row(b, p);
	buf_puts(b, "</table>");
	if (!json_array_size(json_object_get(j, "proposals")))
		buf_puts(b, "<p class=\"pale\">There is no proposal that your certificate may see.</p>");
	buf_puts(b, "</section>");
	console_end(b);
	json_decref(j);
}

/* --- one --- */

static void fact(struct buf *b, const char *name, const char *value)
{
	if (!*value)
		return;
	buf_printf(b, "<tr><th>%s</th><td class=\"hash\">", name);
	console_word(b, value);
	buf_puts(b, "</td></tr>\n");
}

static void facts(struct buf *b, const json_t *p)
{
	const json_t *items = json_object_get(p, "items"), *item;
	size_t i;

	buf_puts(b, "<section id=\"proposal\" data-id=\"");
	console_word(b, console_string(p, "id"));
	buf_puts(b, "\" data-action=\"");
	console_word(b, console_string(p, "action"));
	buf_puts(b, "\" data-session=\"");
	console_word(b, console_string(p, "session"));
	buf_puts(b, "\" data-current=\"");
	console_word(b, console_string(p, "current"));
	buf_puts(b, "\" data-bound=\"");
	console_word(b, console_string(p, "new"));
	buf_puts(b, "\"><table>\n<tr><th>state</th><td>");
	state(b, p);
	buf_puts(b, " ");
	approvals(b, p);
	buf_puts(b, json_object_get(p, "approvals") ? " approvals" : "");
	buf_puts(b, "</td></tr>\n<tr><th>session</th><td><a href=\"" CONSOLE_SESSIONS);
	console_segment(b, console_string(p, "session"));
	buf_puts(b, "\">");
	console_word(b, console_string(p, "session"));
	buf_puts(b, "</a></td></tr>\n");
	fact(b, "hash now", console_string(p, "current"));
	fact(b, "new hash", console_string(p, "new"));
	fact(b, "importer", console_string(p, "importer"));
	fact(b, "reader", console_string(p, "reader"));
	json_array_foreach (items, i, item)
		fact(b, "exports", json_string_value(item));
	fact(b, "proposed by", console_string(p, "asked_by"));
	buf_puts(b, "<tr><th>until</th><td>");
	console_time(b, json_integer_value(json_object_get(p, "expires")));
	buf_puts(b, "</td></tr></table></section>\n");
}

static void members(struct buf *b, const json_t *p)
{
	const json_t *m;
	size_t i;

	buf_puts(b, "<section><h2>Board</h2><table "
		    "id=\"members\"><tr><th>member</th><th>who</th><th>vote</th></tr>\n");
	json_array_foreach (json_object_get(p, "members"), i, m) {
		const char *program = console_string(m, "program"), *vote = console_string(m, "vote");

		buf_puts(b, "<tr><td>");
		console_word(b, console_string(m, "name"));
		buf_puts(b,
			json_is_true(json_object_get(m, "veto")) ? " <span class=\"pale\">veto</span>" : "");
		buf_puts(b, "</td><td class=\"hash\">");
		console_word(b, *program ? program : console_string(m, "key"));
		buf_puts(b, "</td><td class=\"");
		console_word(b, vote);
		buf_puts(b, "\">");
		console_word(b, *vote ? vote : "–");
		buf_puts(b, "</td></tr>\n");
	}
	buf_puts(b, "</table></section>\n");
}

static void difference(struct buf *b, const json_t *p)
{
	const json_t *list = json_object_get(p, "diff"), *line;
	size_t i;

	if (!list)
		return;
	buf_printf(b,
		"<section><h2>What changes: %d lines more, %d fewer</h2><div class=\"diff\" id=\"diff\">",
		(int)json_integer_value(json_object_get(p, "lines_added")),
		(int)json_integer_value(json_object_get(p, "lines_removed")));
	json_array_foreach (list, i, line) {
		const char *op = console_string(line, "op");
		const json_t *text = json_object_get(line, "text");

		buf_printf(b, "<span class=\"%s\" data-line=\"",
			*op == '+'   ? "add"
			: *op == '-' ? "cut"
				     : "same");
		console_text(b, json_string_value(text), json_string_length(text));
		buf_printf(b, "\">%c ", *op);
		console_text(b, json_string_value(text), json_string_length(text));
		buf_puts(b, "</span>");
	}
	buf_puts(b, "</div></section>\n");
}

static void ballot(struct buf *b, const json_t *p)
{
	const json_t *sign = json_object_get(p, "sign");

	if (!sign || strcmp(console_string(p, "state"), "open") != 0)
		return;
	buf_puts(b, "<section><h2>Your vote</h2><div id=\"vote\"><p>The key to sign with, a PEM file (PKCS "
		    "#8; Ed25519 or P-384). "
		    "It stays in this page. <input type=\"file\" id=\"key\" disabled></p><p>"
		    "<button type=\"button\" class=\"approve\" value=\"approve\" disabled>Approve</button> "
		    "<button type=\"button\" class=\"reject\" value=\"reject\" disabled>Reject</button></p>"
		    "<p id=\"said\" class=\"said\"></p></div><noscript><p>Without JavaScript: <code>scone "
		    "proposal approve ");
	console_word(b, console_string(p, "id"));
	buf_puts(b, "</code></p></noscript><details><summary>What an approval signs</summary><pre>");
	console_word(b, console_string(sign, "approve"));
	buf_puts(b, "</pre></details></section>\n");
}

void console_proposal(struct cas *c, const struct http_request *q, const char *rest, struct http_reply *r)
{
	char path[2 * HTTP_TARGET_MAX], title[256];
	struct buf *b = &r->body;
	json_t *j;

	snprintf(path, sizeof(path), API_PROPOSALS "/%s", rest);
	j = console_ask(c, q, api_proposal_read, path, "", r);
	if (!j)
		return;
	snprintf(title, sizeof(title), "%s of %s", console_string(j, "action"), console_string(j, "session"));
	console_page(r, 200, title);
	facts(b, j);
	difference(b, j);
	members(b, j);
	ballot(b, j);
	console_end(b);
	json_decref(j);
}
