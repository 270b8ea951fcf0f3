/*
 * proposal_check: what a proposal as CAS shows it (docs/cas.md) means, worked out here: whoever signs need not take CAS's word for it.
 */
#ifndef SCONE_CLI_PROPOSAL_CHECK_H
#define SCONE_CLI_PROPOSAL_CHECK_H

#include <jansson.h>
#include "policy/board.h"

struct proposal_view {
	struct board_subject subject; /* texts borrowed from j */
	char *items[BOARD_ITEMS_MAX];
};

/* From the JSON of a proposal. Of an update, the document in it must have the new hash, name the session, and follow its current version: what is signed
 * is what is read. ERR_INPUT: a field is missing or malformed; ERR_CONFLICT: they do not fit together. */
MUST_USE int proposal_check(const json_t *j, struct proposal_view *ret, struct error *err);

#endif
