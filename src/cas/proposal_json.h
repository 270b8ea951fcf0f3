/*
 * proposal_json: a proposal as the API shows it (docs/cas.md, "The board").
 */
#ifndef SCONE_CAS_PROPOSAL_JSON_H
#define SCONE_CAS_PROPOSAL_JSON_H

#include <jansson.h>
#include "cas/board.h"

/* As much as sight permits. NULL: no memory. */
json_t *proposal_json(const struct board_context *x, const struct proposal *p, enum board_sight sight);

#endif
