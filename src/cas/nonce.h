/*
 * nonce: challenges for attestation: bound to one client key, good once, for a minute.
 *
 * The table is a ring: when it is full, the oldest one is given up. Clients use a nonce within milliseconds, so who wants to push
 * one out must ask for NONCE_COUNT of them in that time. A nonce starts with its place in the ring (u32be), the rest is random.
 *
 * It is good at the CAS that issued it only, so of several CAS each has its own table: a client asks for a nonce and attests on one connection.
 */
#ifndef SCONE_CAS_NONCE_H
#define SCONE_CAS_NONCE_H

#include <stdint.h>
#include "core/error.h"
#include "wire/attest.h"

#define NONCE_COUNT 16384
#define NONCE_SECONDS 60

struct nonce_table;

MUST_USE int nonce_table_new(struct nonce_table **ret, struct error *err);
void nonce_table_free(struct nonce_table *t); /* NULL is fine */

/* now: seconds of a clock that never goes back. */
MUST_USE int nonce_issue(struct nonce_table *t, const uint8_t key[32], uint64_t now,
	uint8_t ret[ATTEST_NONCE_LEN], struct error *err);
/* 0: it was issued to this key, was not used and is not too old; now it is used. Else ERR_ATTEST. A wrong key does not use it up. */
MUST_USE int nonce_take(struct nonce_table *t, const uint8_t nonce[ATTEST_NONCE_LEN], const uint8_t key[32],
	uint64_t now, struct error *err);

/* One that was taken just now is as if it had not been. */
void nonce_give_back(struct nonce_table *t, const uint8_t nonce[ATTEST_NONCE_LEN]);

/* From now on the table remembers what is taken. */
void nonce_mark(struct nonce_table *t);
/* Nonces taken since the mark are as if they had not been: their answers did not go out. */
void nonce_untake(struct nonce_table *t);

#endif
