/*
 * sealed_head: the one record of a sealed_store that speaks of all others: how many there are, a keyed sum over them, and which value of a counter outside of
 * the store belongs to this state of it. No I/O.
 *
 * In the store: the AEAD form of u64be generation, u64be number of records, u64be counter, 32 bytes sum, with AAD "openscone-head-v1" NUL, key.
 */
#ifndef SCONE_CAS_SEALED_HEAD_H
#define SCONE_CAS_SEALED_HEAD_H

#include <stdint.h>
#include "cas/store.h"
#include "core/buf.h"
#include "core/error.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#define SEALED_HEAD_LEN (8 + 8 + 8 + SHA256_LEN)
#define SEALED_HEAD_SEALED_LEN (SEALED_HEAD_LEN + AEAD_OVERHEAD)

struct sealed_head {
	uint64_t generation; /* +1 with each change */
	uint64_t count; /* of records */
	uint64_t counter; /* value that the counter outside has, or is about to have; 0: no counter */
	uint8_t sum[SHA256_LEN]; /* modulo 2^256, little endian */
};

/* A record comes or goes; x is what it adds to the sum. */
void sealed_head_add(struct sealed_head *h, const uint8_t x[SHA256_LEN]);
void sealed_head_remove(struct sealed_head *h, const uint8_t x[SHA256_LEN]);

/* key: its record key in the store. Append to out. */
MUST_USE int sealed_head_seal(const struct sealed_head *h, const uint8_t value_key[AEAD_KEY_LEN],
	const uint8_t key[STORE_KEY_LEN], struct buf *out, struct error *err);
/* ERR_CRYPTO when it does not authenticate. */
MUST_USE int sealed_head_open(const void *p, size_t n, const uint8_t value_key[AEAD_KEY_LEN],
	const uint8_t key[STORE_KEY_LEN], struct sealed_head *ret, struct error *err);

#endif
