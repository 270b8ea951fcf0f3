/*
 * canonical_put: the pieces of the canonical form, appended to a buf that is checked once at the end.
 */
#ifndef SCONE_POLICY_CANONICAL_PUT_H
#define SCONE_POLICY_CANONICAL_PUT_H

#include "policy/session.h"

void canonical_string(struct buf *b, const char *s, size_t n);
/* The comma before every element but the first of an object or a list. */
void canonical_comma(struct buf *b);
/* Comma, key and colon. */
void canonical_key(struct buf *b, const char *key);
void canonical_text(struct buf *b, const char *key, const char *value);
void canonical_hex(struct buf *b, const uint8_t *p, size_t n);

/* One element of the lists secrets and volumes, with its comma. */
void canonical_secret(struct buf *b, const struct secret_spec *s);
void canonical_volume(struct buf *b, const struct volume_spec *v);

/* access_policy, board: key and value, or nothing. -1: no memory. */
MUST_USE int canonical_access(struct buf *b, const struct session *s);
void canonical_board(struct buf *b, const struct board *board);

#endif
