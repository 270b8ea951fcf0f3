/*
 * board_item: what a session imports from another, by the names under which a board agrees to it.
 */
#ifndef SCONE_CAS_BOARD_ITEM_H
#define SCONE_CAS_BOARD_ITEM_H

#include "cas/proposal.h"
#include "cas/sessions.h"

/* Name of an exported volume as an item, appended: "volume:" and the name, percent-encoded but for A-Z a-z 0-9 _ - . ~. A secret's item is its name. */
void board_item_volume(const char *name, struct buf *out);
/* All that importer imports from exporter and exporter exports to it: into p, sorted, each once. ERR_NOT_FOUND: nothing. */
MUST_USE int board_items(const struct stored_session *exporter, const struct stored_session *importer,
	struct proposal *p, struct error *err);

#endif
