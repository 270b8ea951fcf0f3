/*
 * permit: may a request do something to a stored session? The rules of access_policy with their templates resolved from the session's secrets.
 */
#ifndef SCONE_CAS_PERMIT_H
#define SCONE_CAS_PERMIT_H

#include "cas/sessions.h"

/* ERR_ACCESS that says which rule failed. s is the current version, with its vault. */
MUST_USE int permit(struct sealed_store *ss, struct audit *audit, const struct stored_session *s,
	enum access_op op, const struct requester *who, uint64_t now, struct error *err);
/* The board of s with its templates resolved; the caller's (board_clear). ERR_ACCESS [E-BOARD]: it does not resolve. */
MUST_USE int permit_board(struct sealed_store *ss, struct audit *audit, const struct stored_session *s,
	uint64_t now, struct board *ret, struct error *err);

#endif
