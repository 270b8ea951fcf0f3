/*
 * console: pages of HTML for members of boards and owners of sessions: sessions, proposals with their differences and votes, the audit log of a session.
 * What they show comes from the calls of the API, with the same client certificate, so nobody sees more here than there. They can be read without
 * JavaScript; a vote is signed in the browser (share/console/console.js), never here.
 */
#ifndef SCONE_CAS_CONSOLE_H
#define SCONE_CAS_CONSOLE_H

#include "cas/api.h"

#define CONSOLE_PATH "/console/"
#define CONSOLE_SESSIONS CONSOLE_PATH "sessions/"
#define CONSOLE_PROPOSALS CONSOLE_PATH "proposals/"
#define CONSOLE_AUDIT CONSOLE_PATH "audit/"
/* What a page may do: nothing but use this server's own style, script and API. */
#define CONSOLE_POLICY                                                                                       \
	"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "     \
	"form-action 'none'; frame-ancestors 'none'"
#define CONSOLE_TYPE "text/html; charset=utf-8"

/* GET of "/", CONSOLE_PATH and what is below. */
void console_get(struct cas *c, const struct http_request *q, struct http_reply *r);

#endif
