/*
 * board_ticket: what an attested program shows to vote: which service of which session it was attested as, by what, and when.
 *
 * A service gets one with its configuration, where the template $$SCONE::self:ticket$$ stands, at each start a new one. It is base64url of: u8 version 1, u8
 * strength, u64be time, 32 bytes session hash, 32 bytes measurement, block session, block service, and HMAC-SHA-256 over these under a key that only the
 * CAS of this store have. Whoever has it can vote as the program for BOARD_TICKET_SECONDS, so it is a secret of the program.
 */
#ifndef SCONE_CAS_BOARD_TICKET_H
#define SCONE_CAS_BOARD_TICKET_H

#include <stdint.h>
#include "cas/audit.h"
#include "cas/sealed_store.h"
#include "core/buf.h"
#include "evidence/verdict.h"
#include "policy/name.h"
#include "policy/session.h"

#define BOARD_TICKET_SECONDS 600
#define BOARD_TICKET_TEXT_MAX 2048

/* What vouches for a program, from nothing to hardware that nobody can look into. */
enum board_strength { STRENGTH_NONE, STRENGTH_SIMULATION, STRENGTH_HARDWARE };

struct board_ticket {
	char session[NAME_TOTAL_MAX + 1], service[NAME_SEGMENT_MAX + 1];
	uint8_t hash[SESSION_HASH_LEN]; /* of the session, when it attested */
	uint8_t measurement[32];
	enum board_strength strength;
	uint64_t time; /* seconds since 1970 */
};

/* How strong is what a session of this mode found good? Mode none looks at nothing. */
enum board_strength board_strength_of(enum attest_mode mode, const struct verdict *v);
/* What a member of a session of this mode must have. */
enum board_strength board_strength_wanted(enum attest_mode mode);
const char *board_strength_name(enum board_strength s);

/* out: secret buf. */
MUST_USE int board_ticket_make(struct sealed_store *ss, struct audit *audit, const struct board_ticket *t,
	struct buf *out, struct error *err);
/* ERR_ATTEST: not made by this CAS, or too old. */
MUST_USE int board_ticket_read(
	struct sealed_store *ss, const char *text, uint64_t now, struct board_ticket *ret, struct error *err);

#endif
