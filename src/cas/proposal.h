/*
 * proposal: something that a session's board is asked to agree to, as it is kept in the sealed store, with its votes.
 *
 * Records: table "proposal", name SESSION@ID (hex). Integers are big endian: u8 format 1, u8 action, u8 state, 32 bytes id, block session, 32 bytes current,
 * 32 bytes bound, block importer, u32 number of items, block for each, u64 created, u64 expires, u64 ended, 32 bytes asker, u8 number of signers, 32
 * bytes for each, 32 bytes creator, u8 creator is a signer, block document, u32 number of votes, for each: block member, u8 choice, u8 how, u64 time, 32 bytes
 * key, block signer, block signature.
 *        table "grant", name EXPORTER@IMPORTER: an export that the board has agreed to: u8 format 1, 32 bytes hash of the exporter, 32 bytes hash of the
 * importer, u32 number of items, block for each.
 */
#ifndef SCONE_CAS_PROPOSAL_H
#define SCONE_CAS_PROPOSAL_H

#include "cas/sealed_store.h"
#include "core/buf.h"
#include "policy/access.h"
#include "policy/board.h"

#define TABLE_PROPOSAL "proposal"
#define TABLE_GRANT "grant"
#define PROPOSAL_ID_HEX (2 * BOARD_ID_LEN)

enum proposal_state {
	PROPOSAL_OPEN = 1,
	PROPOSAL_PASSED, /* and done; of a read: may be done once */
	PROPOSAL_REFUSED,
	PROPOSAL_EXPIRED,
	PROPOSAL_VOID, /* the session has changed */
	PROPOSAL_WITHDRAWN,
	PROPOSAL_USED, /* the read was done */
};
/* "open", "passed", … */
const char *proposal_state_name(enum proposal_state s);

enum vote_how { VOTE_SIGNED = 1, VOTE_UPLOAD, VOTE_PROGRAM };

struct proposal_vote {
	char *member;
	enum board_choice choice;
	enum vote_how how;
	uint64_t time;
	uint8_t key[32]; /* key hash; of a program its measurement */
	char *signer, *signature; /* as given (signature.h); empty for programs and signed uploads */
};

struct proposal {
	struct board_subject subject; /* its texts are owned: session, importer (NULL), items */
	enum proposal_state state;
	uint64_t created, ended; /* ended: 0 while open */
	uint8_t asker[32]; /* TLS key */
	uint8_t signers[ACCESS_SIGNERS_MAX][32]; /* of a signed upload */
	size_t signer_count;
	uint8_t creator[32]; /* update: of the new version */
	bool creator_signs;
	struct buf text; /* update: the document; secret */
	struct proposal_vote *votes;
	size_t vote_count;
};

void proposal_init(struct proposal *p);
void proposal_free(struct proposal *p); /* wipes; idempotent */
MUST_USE int proposal_set_texts(
	struct proposal *p, const char *session, const char *importer, struct error *err);
MUST_USE int proposal_add_item(struct proposal *p, const char *item, struct error *err);
/* A zeroed vote with the member's name and empty texts; the caller fills the rest. NULL: no memory. Valid until the next one. */
struct proposal_vote *proposal_add_vote(struct proposal *p, const char *member);

void proposal_record_name(const char *session, const uint8_t id[BOARD_ID_LEN], struct buf *out);
MUST_USE int proposal_encode(const struct proposal *p, struct buf *out, struct error *err);
MUST_USE int proposal_decode(const void *p, size_t n, struct proposal *ret, struct error *err);
/* record: its name. */
MUST_USE int proposal_load(
	struct sealed_store *ss, const char *record, struct proposal *ret, struct error *err);
/* Names of the records of a session's proposals, or all (NULL); free each and the array. */
MUST_USE int proposal_names(
	struct sealed_store *ss, const char *session, char ***ret, size_t *ret_count, struct error *err);
/* The record's name for an id in hex; owned by the caller. ERR_NOT_FOUND. */
MUST_USE int proposal_find(struct sealed_store *ss, const char *id, char **ret, struct error *err);
void proposal_names_free(char **names, size_t n);

#endif
