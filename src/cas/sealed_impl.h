/*
 * sealed_impl: what the files of sealed_store share. The state of a sealed store is its head and its index; both are ahead of the store while changes are
 * staged, and the undo list leads back.
 */
#ifndef SCONE_CAS_SEALED_IMPL_H
#define SCONE_CAS_SEALED_IMPL_H

#include "cas/counter.h"
#include "cas/record_index.h"
#include "cas/sealed_head.h"
#include "cas/sealed_record.h"
#include "cas/sealed_store.h"

/* Stored bytes kept in memory, of a shared store. */
#define SEALED_CACHE_BYTES ((size_t)256 * 1024 * 1024)

struct sealed_undo {
	uint8_t key[STORE_KEY_LEN];
	struct record_entry *old; /* owned; NULL: there was none */
};

struct sealed_store {
	/* All of this struct lies in a secret_arena. */
	struct store *store; /* borrowed */
	struct sealed_keys keys;
	struct sealed_head committed; /* as in the store */
	struct buf head_sealed; /* its bytes there */
	struct sealed_head head; /* with what is staged; its generation and counter are committed's */
	struct record_index index;
	struct sealed_undo *undo;
	size_t undo_count, undo_cap, staged_bytes;
	bool begun; /* between begin and commit or rollback */
	bool overtaken; /* since begin another CAS has changed a record that was read: what was read is of two states */
	bool stale; /* the index may not be what the store has: read all */
	struct error refusal; /* text not empty: no change is taken */
	char counter_label[COUNTER_LABEL_MAX];
	struct counter counter;
	bool unsettled; /* the head is written, and the counter may not have its value yet */
	bool spoilt; /* the next value of the counter may be in a database that a failed write left */
};

/* --- sealed_store.c --- */

MUST_USE int sealed_head_write_form(
	const struct sealed_store *ss, const struct sealed_head *h, struct buf *out, struct error *err);
/* Empty the index and read the whole store into it. */
MUST_USE int sealed_store_read_all(struct sealed_store *ss, struct error *err);
/* count and sum of what is there against what the head says. */
MUST_USE int sealed_store_compare(
	const struct sealed_head *want, const struct sealed_head *found, struct error *err);

/* --- sealed_batch.c --- */

/* Put e, or nothing where e is NULL, at key, in index and head. Takes e over, also on failure. */
MUST_USE int sealed_stage(
	struct sealed_store *ss, const uint8_t key[STORE_KEY_LEN], struct record_entry *e, struct error *err);

/* --- sealed_counter.c --- */

/* After a failure: let the counter have the head's number if it has not, then use up one number (counter.h). */
MUST_USE int sealed_counter_resume(struct sealed_store *ss, struct error *err);
/* The batch is in the store; it counts when the counter has its number. */
MUST_USE int sealed_counter_settle(struct sealed_store *ss, struct error *err);

/* --- sealed_shared.c: a store with several writers --- */

/* Learn what others have changed. Nothing is staged. */
MUST_USE int sealed_shared_refresh(struct sealed_store *ss, struct error *err);
/* Has another CAS changed the store since begin? */
MUST_USE int sealed_shared_moved(struct sealed_store *ss, bool *ret, struct error *err);
/* Stage the note for others of all that is staged. */
MUST_USE int sealed_shared_note(struct sealed_store *ss, struct error *err);
/* Write the batch of n changes, whose last two are the note and the head, whatever becomes of answers on the way. ERR_CONFLICT: another one was first;
 * ERR_IO: not known. */
MUST_USE int sealed_shared_apply(struct sealed_store *ss, const struct store_change *changes, size_t n,
	const struct store_guard *guard, struct error *err);

#endif
