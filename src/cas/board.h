/*
 * board: what a session's board is asked to agree to, how its members vote, and what happens then (session language 14.3, docs/cas.md).
 *
 * A proposal is settled whenever it is looked at: it becomes void when its session has changed, expires, is refused, or is carried out. All of it, and each
 * vote, is written and audited before it is answered. What a function returns as *ret is the caller's (proposal_free).
 */
#ifndef SCONE_CAS_BOARD_H
#define SCONE_CAS_BOARD_H

#include "cas/board_ticket.h"
#include "cas/proposal.h"
#include "cas/sessions.h"

#define BOARD_OPEN_MAX 32 /* proposals of one session at once */

struct board_context {
	struct sealed_store *store;
	struct audit *audit;
	uint64_t now; /* seconds since 1970 */
};

/* An update that the rules permit to ask for becomes a proposal; next has hash and creator. The signatures of a signed upload count as approvals, and if they
 * are enough the update is done. ERR_EXISTS: it is proposed already; ERR_CONFLICT: signed, and it was proposed before; ERR_LIMIT: too many are open. */
MUST_USE int board_ask_update(const struct board_context *x, const struct stored_session *current,
	const struct stored_session *next, const struct upload *u, struct uploaded *ret, struct error *err);
/* Ask for a deletion, an export (to session importer) or a read. ERR_ACCESS: the caller may not ask; ERR_CONFLICT: the board does not decide about it. */
MUST_USE int board_ask(const struct board_context *x, enum board_action action, const char *session,
	const char *importer, const uint8_t caller[32], struct proposal *ret, struct error *err);

/* By its id in hex, settled. */
MUST_USE int board_get(
	const struct board_context *x, const char *id, struct proposal *ret, struct error *err);
/* By its record's name. */
MUST_USE int board_load(
	const struct board_context *x, const char *record, struct proposal *ret, struct error *err);

/* Who looks at a proposal: a TLS key, a program's ticket, or both; NULL: none. */
struct board_viewer {
	const uint8_t *caller;
	const struct board_ticket *ticket;
};
enum board_sight {
	SIGHT_NONE,
	SIGHT_STATE, /* who may read the session: what is proposed, and the votes */
	SIGHT_OWN, /* who asked: and the document proposed */
	SIGHT_ALL, /* members: and the document in force */
};
enum board_sight board_sight(
	const struct board_context *x, const struct proposal *p, const struct board_viewer *who);

/* One vote a member. *ret: after it, carried out or refused if that was the last one. ERR_ACCESS: no member; ERR_CONFLICT: it has voted, or the proposal is
 * not open; ERR_CRYPTO: the signature is over something else. */
MUST_USE int board_vote_signed(const struct board_context *x, const char *id, enum board_choice choice,
	const char *signer, const char *signature, struct proposal *ret, struct error *err);
MUST_USE int board_vote_program(const struct board_context *x, const char *id, enum board_choice choice,
	const struct board_ticket *t, struct proposal *ret, struct error *err);
/* By who asked. */
MUST_USE int board_withdraw(const struct board_context *x, const char *id, const uint8_t caller[32],
	struct proposal *ret, struct error *err);

/* May a service of importer get this of exporter? Where a board decides about exports: if it agreed to it, and neither has changed since. */
MUST_USE int board_check_export(struct sealed_store *ss, const struct stored_session *exporter,
	const struct stored_session *importer, const char *item, struct error *err);
/* May the caller read s now? Where a board decides about reads, an agreed one is used up. */
MUST_USE int board_take_read(const struct board_context *x, const struct stored_session *s,
	const uint8_t *caller, struct error *err);
/* A session is deleted: so are its proposals and what was agreed to. */
MUST_USE int board_forget(const struct board_context *x, const char *session, struct error *err);

#endif
