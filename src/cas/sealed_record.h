/*
 * sealed_record: the form of a sealed store's records (sealed_store.h), and the keys for it. No I/O.
 */
#ifndef SCONE_CAS_SEALED_RECORD_H
#define SCONE_CAS_SEALED_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include "cas/store.h"
#include "core/buf.h"
#include "core/error.h"
#include "crypto/hash.h"

#define SEALED_TABLE_MAX 64
#define SEALED_NAME_MAX 8192

struct sealed_keys {
	uint8_t name[32], value[32], set[32];
	uint8_t head[STORE_KEY_LEN]; /* where the head is */
};

MUST_USE int sealed_keys_derive(const uint8_t master[32], struct sealed_keys *ret, struct error *err);

/* The key of a record in the store. */
MUST_USE int sealed_record_key(const struct sealed_keys *k, const char *table, const char *name,
	uint8_t ret[STORE_KEY_LEN], struct error *err);
/* What a record whose stored bytes have this digest adds to the sum in the head. */
void sealed_record_element(const struct sealed_keys *k, const uint8_t key[STORE_KEY_LEN],
	const uint8_t digest[SHA256_LEN], uint8_t ret[SHA256_LEN]);
/* Append the stored form to out. */
MUST_USE int sealed_record_seal(const struct sealed_keys *k, const uint8_t key[STORE_KEY_LEN],
	uint64_t generation, const char *table, const char *name, const void *content, size_t len,
	struct buf *out, struct error *err);

struct sealed_record {
	struct buf plain; /* secret */
	char table[SEALED_TABLE_MAX + 1], name[SEALED_NAME_MAX + 1];
	const uint8_t *content; /* in plain */
	size_t len;
	uint64_t generation;
};
/* ERR_CRYPTO: not what CAS wrote there. *ret is freed by the caller in either case. */
MUST_USE int sealed_record_open(const struct sealed_keys *k, const uint8_t key[STORE_KEY_LEN],
	const void *value, size_t len, struct sealed_record *ret, struct error *err);
void sealed_record_free(struct sealed_record *r);

#endif
