/*
 * record_index: in memory, for every record of the store: its name and the digest its stored bytes must have; of some, these bytes too.
 *
 * A hash table over the store's keys, which are HMAC values and so spread by themselves.
 */
#ifndef SCONE_CAS_RECORD_INDEX_H
#define SCONE_CAS_RECORD_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include "cas/store.h"
#include "crypto/hash.h"

struct record_entry {
	struct record_entry *next; /* same bucket */
	uint8_t key[STORE_KEY_LEN];
	uint8_t digest[SHA256_LEN]; /* SHA-256 of the stored bytes */
	char *table, *name; /* owned */
	/* The stored bytes, while the store does not have them yet, or as long as they are cached; empty otherwise. */
	struct buf value;
	TAILQ_ENTRY(record_entry) recent; /* while cached */
	bool cached;
};

struct record_index {
	struct record_entry **buckets;
	size_t bucket_count; /* a power of two, or 0 */
	size_t count;
	TAILQ_HEAD(record_recent, record_entry) recent; /* cached ones, the one used last first */
	size_t cached_bytes;
};

void record_index_init(struct record_index *x);
void record_index_free(struct record_index *x);
/* Room for n more entries, so that record_index_add cannot fail. */
MUST_USE int record_index_reserve(struct record_index *x, size_t n, struct error *err);
/* NULL: not there. */
struct record_entry *record_index_find(const struct record_index *x, const uint8_t key[STORE_KEY_LEN]);
/* A new entry, not yet in an index; NULL: no memory. */
struct record_entry *record_entry_new(const uint8_t key[STORE_KEY_LEN], const uint8_t digest[SHA256_LEN],
	const char *table, const char *name);
void record_entry_free(struct record_entry *e); /* NULL is fine */
/* Takes e over and replaces an entry of the same key. Only after record_index_reserve. */
void record_index_add(struct record_index *x, struct record_entry *e);
void record_index_remove(struct record_index *x, const uint8_t key[STORE_KEY_LEN]);
/* As remove, but the entry is the caller's, not cached any more. NULL: not there. */
struct record_entry *record_index_take(struct record_index *x, const uint8_t key[STORE_KEY_LEN]);
/* Keep the value that e, of this index, has; those used longest ago are given up while all together are over max bytes. */
void record_index_cache(struct record_index *x, struct record_entry *e, size_t max);
/* e, cached, was used. */
void record_index_used(struct record_index *x, struct record_entry *e);

#endif
