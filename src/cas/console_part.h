/*
 * console_part: what the pages share. All text goes out by way of console_text, which nothing of HTML survives.
 */
#ifndef SCONE_CAS_CONSOLE_PART_H
#define SCONE_CAS_CONSOLE_PART_H

#include "cas/console.h"

/* Text, or an attribute's value between double quotes. Control characters but newline and tab become '?'. */
void console_text(struct buf *b, const char *text, size_t n);
void console_word(struct buf *b, const char *text); /* NULL: nothing */
/* "<td>TEXT</td>" */
void console_cell(struct buf *b, const char *text);
/* Seconds since 1970 as a date in UTC; 0: a dash. */
void console_time(struct buf *b, json_int_t t);
/* One segment of a path; percent-encoded. */
void console_segment(struct buf *b, const char *text);

void console_end(struct buf *b);

/* The answer of a GET of the API for the same client: NULL if it is none of status 200, and then *r is a page that says what CAS said. */
json_t *console_ask(struct cas *c, const struct http_request *q, api_call call, const char *path,
	const char *query, struct http_reply *r);
/* Begin an answer that is a page. */
void console_page(struct http_reply *r, int status, const char *title);
/* A page with one sentence. */
void console_sentence(struct http_reply *r, int status, const char *title, const char *text);
const char *console_string(const json_t *j, const char *key); /* "" if there is none */

/* Pages. rest: what follows their path, decoded and checked by the API calls they make. */
void console_proposal(struct cas *c, const struct http_request *q, const char *rest, struct http_reply *r);
void console_audit(struct cas *c, const struct http_request *q, const char *rest, struct http_reply *r);
/* Table of the proposals of one session, or all: "" */
void console_proposals(
	struct cas *c, const struct http_request *q, const char *session, struct http_reply *r);

extern const char console_style[], console_script[];
extern const size_t console_style_len, console_script_len;

#endif
