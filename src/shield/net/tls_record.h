/*
 * tls_record: records of an established TLS 1.3 connection (RFC 8446, 5 and 7), as plain state that processes can share.
 *
 * The handshake (tls_engine.h) leaves the two traffic secrets here; from then on nothing but struct tls_keys is needed to go on, in any process that
 * has it. What a process adds is struct tls_cipher, a key schedule made from it, which may be dropped at any time. No I/O; records are sealed and
 * opened in place, in memory of the caller. A sequence number moves only by tls_half_advance, so that a record which never left can be made again.
 *
 * The caller serialises the use of a half.
 */
#ifndef SCONE_SHIELD_NET_TLS_RECORD_H
#define SCONE_SHIELD_NET_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define TLS_HEADER 5
#define TLS_TAG 16
#define TLS_PLAIN_MAX 16384
#define TLS_OVERHEAD (TLS_HEADER + 1 + TLS_TAG) /* around the plaintext of a record without padding */
#define TLS_RECORD_MAX (TLS_HEADER + TLS_PLAIN_MAX + 256)
#define TLS_RECORD_MIN (TLS_HEADER + 1 + TLS_TAG)
#define TLS_SECRET_MAX 48
/* Records under one key before it is changed; RFC 8446, 5.5 allows 2^24.5 for AES-GCM. */
#define TLS_KEY_RECORDS (1ULL << 24)

enum tls_type { TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_DATA = 23 };
enum tls_suite {
	TLS_AES_128_GCM = 1,
	TLS_AES_256_GCM = 2,
	TLS_CHACHA20_POLY1305 = 3
}; /* low byte of the registry's number */
enum tls_alert_name {
	TLS_CLOSE_NOTIFY = 0,
	TLS_UNEXPECTED_MESSAGE = 10,
	TLS_BAD_RECORD_MAC = 20,
	TLS_RECORD_OVERFLOW = 22,
	TLS_DECODE_ERROR = 50
};

/* One direction. */
struct tls_half {
	uint64_t seq; /* of the next record */
	uint32_t epoch; /* how often the key has changed */
	uint8_t iv[12];
	uint8_t key[32];
	uint8_t secret[TLS_SECRET_MAX];
};

struct tls_keys {
	struct tls_half rx, tx;
	uint32_t suite; /* enum tls_suite */
	uint32_t pad;
};

struct tls_cipher {
	void *ctx; /* NULL: none yet */
	uint32_t epoch;
};

/* Bytes of a traffic secret of this suite; 0: no such suite. */
size_t tls_secret_len(unsigned suite);
/* A half at its beginning, from its traffic secret. */
void tls_half_start(struct tls_half *h, unsigned suite, const uint8_t *secret);
/* To the next traffic secret (7.2). */
void tls_half_update(struct tls_half *h, unsigned suite);
void tls_half_advance(struct tls_half *h);

void tls_cipher_drop(struct tls_cipher *c); /* wipes; idempotent */

/* at: TLS_HEADER bytes for the header, n <= TLS_PLAIN_MAX bytes of plaintext, then room for 1 + TLS_TAG more. The record's length, or -ENOMEM. */
MUST_USE long tls_seal(struct tls_cipher *c, const struct tls_half *h, unsigned suite, enum tls_type type,
	uint8_t *at, size_t n);
/* Length of the record that begins here, header included: n >= TLS_HEADER bytes are there. -EBADMSG: no record of an established connection;
 * -EMSGSIZE: longer than any may be. */
MUST_USE long tls_record_len(const uint8_t *at);
/* at: one whole record of n bytes; it becomes plaintext from at + TLS_HEADER on. The plaintext's length, *ret_type set; -EBADMSG: not the peer's
 * next record; -EMSGSIZE; -ENOMEM. */
MUST_USE long tls_open(struct tls_cipher *c, const struct tls_half *h, unsigned suite, uint8_t *at, size_t n,
	enum tls_type *ret_type);

/* "close_notify", …; "unknown" for others. */
const char *tls_alert_text(unsigned alert);

#endif
