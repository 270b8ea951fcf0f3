/*
 * session_record: what sessions keeps in the sealed store. Integers are big endian.
 *
 * session: u8 format 1, u8 state, 32 bytes hash, u64 time of the change; then, if live, block vault (vault.h).
 * version: u8 format 1, u8 state; then, if live, 32 bytes creator, u8 flags (1: it has a predecessor, 2: the creator is a signer), 32 bytes predecessor, u64 time, block document.
 */
#ifndef SCONE_CAS_SESSION_RECORD_H
#define SCONE_CAS_SESSION_RECORD_H

#include "cas/sealed_store.h"
#include "cas/sessions.h"

#define TABLE_SESSION "session"
#define TABLE_VERSION "version"
/* NAME (512), '@', 64 digits, NUL */
#define VERSION_NAME_MAX 640

enum record_state { RECORD_LIVE = 1, RECORD_GONE = 2 };

struct session_head {
	enum record_state state;
	uint8_t hash[SESSION_HASH_LEN];
};

void version_name(const char *name, const uint8_t hash[SESSION_HASH_LEN], char ret[VERSION_NAME_MAX]);

/* vault: NULL for a deleted one. out is a secret buf. */
MUST_USE int session_record_encode(const struct session_head *h, const struct vault *vault, uint64_t now,
	struct buf *out, struct error *err);
/* ERR_NOT_FOUND if there never was one. vault may be NULL. */
MUST_USE int session_record_load(struct sealed_store *ss, const char *name, struct session_head *ret,
	struct vault *ret_vault, struct error *err);

MUST_USE int version_record_encode(const struct stored_session *s, const char *text, size_t len, uint64_t now,
	struct buf *out, struct error *err);
void version_record_encode_gone(struct buf *out);
/* Fills creator, predecessor and text of ret. ERR_NOT_FOUND if absent or gone. */
MUST_USE int version_record_load(struct sealed_store *ss, const char *name,
	const uint8_t hash[SESSION_HASH_LEN], struct stored_session *ret, struct error *err);

#endif
