/*
 * sessions: the policy documents CAS holds, their versions and their secrets, over a sealed store.
 *
 * Records: table "session", name NAME: state, hash of the current version, generated secrets.
 *          table "version", name NAME@HASH (hex): creator, predecessor, document as uploaded; or that the version is gone.
 * Every version stays until the session is deleted. Then each version leaves its hash, and the name a tombstone with the last hash. The name
 * may be created anew, but never with a hash that was replaced by another in an earlier life (session language 3.4).
 */
#ifndef SCONE_CAS_SESSIONS_H
#define SCONE_CAS_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>
#include "cas/audit.h"
#include "cas/sealed_store.h"
#include "cas/vault.h"
#include "policy/diag.h"
#include "policy/session.h"

struct remotes;

struct stored_session {
	uint8_t hash[SESSION_HASH_LEN];
	uint8_t creator[32];
	bool creator_signs; /* the creator is a signer (session language 3.6), else a TLS key */
	bool has_predecessor;
	uint8_t predecessor[SESSION_HASH_LEN];
	struct buf text; /* the document as uploaded */
	struct session *doc;
	struct vault vault; /* of the current version; empty for others */
	struct remotes *
		remotes; /* borrowed; what other CAS have given for it (remotes.h); NULL: they are not asked here */
};
void stored_session_init(struct stored_session *s);
void stored_session_free(struct stored_session *s); /* wipes; idempotent */

/* The current version; hash not NULL: that version of a session that is not deleted, without its vault. ERR_NOT_FOUND. */
MUST_USE int sessions_load(struct sealed_store *ss, const char *name, const uint8_t *hash,
	struct stored_session *ret, struct error *err);

/* Put values into the templates of attestation, platforms and security of s, the current version with its vault: s->doc is another one afterwards.
 * Nothing is done where there are none. ERR_ATTEST: what they give is no good policy; no secret is repeated. */
MUST_USE int sessions_bind(struct sealed_store *ss, struct audit *audit, struct stored_session *s,
	uint64_t now, struct error *err);

/* Make certificates anew that are due (vault_key.h), and store them. Without a store that can be written the new ones are in s only: the service
 * that starts now has good ones, and the next start tries again. */
MUST_USE int sessions_renew(struct sealed_store *ss, struct audit *audit, struct stored_session *s,
	uint64_t now, struct error *err);

/* Who asks: a TLS key, or, of a signed request, those who signed it. */
struct requester {
	const uint8_t *caller; /* key hash of the TLS client; NULL: none */
	const uint8_t (*signers)[32]; /* key hashes, each once; their signatures were verified */
	size_t signer_count; /* 0: not signed */
};

struct upload {
	struct audit *audit;
	const char *text;
	size_t len;
	struct requester who;
	uint64_t now; /* seconds since 1970 */
	bool repeat; /* the answer to the same upload may have been lost: if it is what is in force, that is said again */
	const struct decided *decided; /* NULL: the rules and the board decide */
};
/* A change that the session's board has agreed to (board.h): who proposed it was asked for then. */
struct decided {
	const uint8_t *creator;
	bool creator_signs;
};
struct uploaded {
	char *name; /* owned by the caller */
	uint8_t hash[SESSION_HASH_LEN];
	bool created; /* false: updated */
	bool proposed; /* nothing is changed yet: the board decides about this proposal */
	uint8_t proposal[BOARD_ID_LEN];
};
/* Create or update as section 3.4 says; where a board decides about updates, propose it. On ERR_INPUT d may hold what is wrong with the document; on success its warnings. 0: it is durable. */
MUST_USE int sessions_upload(struct sealed_store *ss, const struct upload *u, struct uploaded *ret,
	struct diag *d, struct error *err);

/* ERR_ACCESS unless the stored update rule permits the caller, and where a board decides about deletion, unless it has decided. *ret_hash: the hash that
 * the session had. */
MUST_USE int sessions_delete(struct sealed_store *ss, struct audit *audit, const char *name,
	const struct requester *who, uint64_t now, bool decided, uint8_t ret_hash[SESSION_HASH_LEN],
	struct error *err);

/* Write the note to the log, then make the changes with the log's end: all or nothing. changes has room for one more. */
MUST_USE int logged_apply(struct sealed_store *ss, struct audit *audit, const struct audit_note *note,
	struct sealed_change *changes, size_t n, struct error *err);

/* Names that one call of sessions_list looks at. */
#define SESSIONS_PAGE 1000
/* Call f for each session the caller may read, in order of names, of the SESSIONS_PAGE names behind `after` (NULL: from the first). *ret_next, the
 * caller's: what to go on behind; NULL: that was all. Non-zero ends the walk and is returned. */
MUST_USE int sessions_list(struct sealed_store *ss, struct audit *audit, const struct requester *who,
	uint64_t now, const char *after, char **ret_next,
	int (*f)(void *arg, const char *name, const uint8_t hash[SESSION_HASH_LEN], struct error *err),
	void *arg, struct error *err);

#endif
