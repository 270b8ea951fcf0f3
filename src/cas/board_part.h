/*
 * board_part: what the files of the board share; see board.h.
 */
#ifndef SCONE_CAS_BOARD_PART_H
#define SCONE_CAS_BOARD_PART_H

#include "cas/board.h"

/* Write it, with a line of the log: event, actor (key hash or NULL), and its id followed by more. */
MUST_USE int board_store(const struct board_context *x, const struct proposal *p, const char *event,
	const uint8_t *actor, const char *more, struct error *err);
/* An open one becomes what it is by now. */
MUST_USE int board_settle(const struct board_context *x, struct proposal *p, struct error *err);
/* What each member of b, resolved, has said. */
void board_votes_of(
	const struct board *b, const struct proposal *p, enum board_choice votes[ACCESS_MEMBERS_MAX]);

#endif
