/*
 * canonical: the bytes that a session's hash is over, without the domain string. For tests and for people who recompute the hash.
 */
#ifndef SCONE_POLICY_CANONICAL_H
#define SCONE_POLICY_CANONICAL_H

#include "policy/session.h"

/* Append the canonical JSON; out should be a secret buf, for explicit secret values are in it. */
MUST_USE int session_canonical(
	const struct session *s, const uint8_t creator[32], struct buf *out, struct error *err);

#endif
