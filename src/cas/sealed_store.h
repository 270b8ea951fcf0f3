/*
 * sealed_store: named records over a store that is not trusted.
 *
 * Keys: from the 32-byte master key by HKDF-SHA-256: one for record keys, one for values, one for the hash over all records.
 *
 * A record has a table ("session", "version", "cas") and a name in it. In the store:
 *   key     HMAC-SHA-256(name key, table NUL name): says nothing about the name
 *   value   u64be generation, then the AEAD form of (u32be length, table, u32be length, name, content) with
 *           AAD "openscone-record-v1" NUL, key, generation. A value moved to another key does not open.
 *
 * One more record, the head (sealed_head.h), under HMAC-SHA-256(name key, "head"): generation, number of records, counter, and the sum modulo 2^256 over all
 * records of HMAC-SHA-256(set key, key, SHA-256(value)). It is written in the same batch as the records it counts, and the batch is guarded by the head
 * before it. The sum can be carried along one record at a time, and nobody without the key can find other records with the same sum.
 *
 * Opening reads everything once. A record that was changed, swapped, deleted, added, or put back to an older state makes it fail. The whole store put back
 * to an older state as one is seen where the TEE has a counter that the store is bound to (sealed_store_bind, counter.h).
 * While open, each read is compared with the digest in memory, so the same holds for a store that is changed under a running CAS.
 *
 * A shared store (store.h) has several CAS as writers. Each batch then also has a record "note" (sealed_shared.c) that says what it changed; begin reads, of
 * the majority, the head and the notes that this CAS has not seen. So what is read between begin and commit is what the store had at begin, and a commit
 * happens only if nobody else's came between.
 *
 * Names are kept in memory; contents are not, but for sealed ones of a shared store.
 */
#ifndef SCONE_CAS_SEALED_STORE_H
#define SCONE_CAS_SEALED_STORE_H

#include <stddef.h>
#include <stdint.h>
#include "cas/store.h"
#include "core/buf.h"
#include "core/error.h"
#include "tee/tee.h"

#define SEALED_MASTER_LEN 32
#define SEALED_CONTENT_MAX (3 * 1024 * 1024)

struct sealed_store;

struct sealed_change {
	const char *table, *name;
	const void *content; /* borrowed; NULL: remove */
	size_t len; /* at most SEALED_CONTENT_MAX */
};

/* Start an empty store: writes the head. ERR_EXISTS if it holds anything. s is borrowed and must outlive *ret. */
MUST_USE int sealed_store_create(struct store *s, const uint8_t master[SEALED_MASTER_LEN],
	struct sealed_store **ret, struct error *err);
/* ERR_CRYPTO with what is wrong if anything of the store is not as it was left. */
MUST_USE int sealed_store_open(struct store *s, const uint8_t master[SEALED_MASTER_LEN],
	struct sealed_store **ret, struct error *err);
/* Bind an opened, or just created, store to a counter of t, if t has counters: from now on each change counts. ERR_CRYPTO with both values when the store
 * was put back to an earlier copy. t is borrowed and must outlive ss. */
MUST_USE int sealed_store_bind(struct sealed_store *ss, struct tee *t, struct error *err);
/* The last change is written, but the counter failed, so it is not acknowledged; nor is it undone: it counts once the counter works again. */
bool sealed_store_uncertain(const struct sealed_store *ss);
void sealed_store_close(struct sealed_store *ss); /* wipes keys; NULL is fine */

/* Append the content to out (a secret buf). ERR_NOT_FOUND; ERR_CRYPTO if the store's record is not the one that was written; ERR_UNAVAILABLE: sealed_store_overtaken. */
MUST_USE int sealed_store_get(
	struct sealed_store *ss, const char *table, const char *name, struct buf *out, struct error *err);
bool sealed_store_has(struct sealed_store *ss, const char *table, const char *name);
/* Within begin and commit: all of it or nothing is staged; reads see it. Otherwise: all of it or nothing, durable when 0 is returned. ERR_CRYPTO: the store is not as it was left; ERR_IO: it could
 * not write, or not count (sealed_store_uncertain). */
MUST_USE int sealed_store_apply(
	struct sealed_store *ss, const struct sealed_change *changes, size_t n, struct error *err);

/* A transaction. ERR_IO: the store does not answer; ERR_CRYPTO: it is not as it was left. */
MUST_USE int sealed_store_begin(struct sealed_store *ss, struct error *err);
/* Make all that is staged durable as one change, and end the transaction. ERR_CONFLICT (shared): another CAS was first, nothing was done, and all must be done
 * again on what is there now. ERR_LIMIT: more than the store takes at once, nothing was done. Otherwise as apply; of a shared store ERR_IO can mean that it is
 * not known whether it was done. */
MUST_USE int sealed_store_commit(struct sealed_store *ss, struct error *err);
void sealed_store_rollback(struct sealed_store *ss); /* nothing is staged any more, and no transaction open */
bool sealed_store_staged(const struct sealed_store *ss);
/* Another CAS has changed, since begin, a record that was read: nothing of what was read and staged may be used, and commit says ERR_CONFLICT. */
bool sealed_store_overtaken(const struct sealed_store *ss);
/* Enough is staged that it should be committed before more is. */
bool sealed_store_full(const struct sealed_store *ss);
/* Every apply fails with this error, until NULL is given. */
void sealed_store_refuse(struct sealed_store *ss, const struct error *why);
/* -1 and that error, if there is one. */
MUST_USE int sealed_store_refuses(const struct sealed_store *ss, struct error *err);
bool sealed_store_shared(const struct sealed_store *ss);

/* Names of a table, sorted; free each and the array. */
MUST_USE int sealed_store_names(
	struct sealed_store *ss, const char *table, char ***ret, size_t *ret_count, struct error *err);
/* Records of a table. Walks over all. */
size_t sealed_store_count(const struct sealed_store *ss, const char *table);
/* Commits since the store was created; what is staged counts as one. */
uint64_t sealed_store_generation(const struct sealed_store *ss);
/* What that will be after the commit of what is staged now, or next. */
uint64_t sealed_store_next(const struct sealed_store *ss);

#endif
