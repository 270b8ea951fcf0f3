/*
 * audit_line: one line of CAS's audit log, written and checked. No I/O.
 *
 * A line is a JSON object without white space, keys in this order, and a newline:
 *   {"seq":N,"time":SECONDS,"event":"…","actor":"KEYHASH or empty","subject":"…","detail":"…","generation":N,"prev":HEX64,"sig":BASE64}
 * seq counts from 0. prev is SHA-256 of the line before without its newline; of the first line, zeros. sig is by CAS's key (key_sign) over
 * "openscone-audit-v1", NUL, and the object as it is without `,"sig":…`. The first line has the event `log-created` and CAS's public key (base64 of
 * SPKI DER) as its detail; where one log follows another that is gone, `log-replaced`, and prev is the last line that CAS remembers.
 *
 * Names and hashes of sessions are not in it, but commitments to them (audit_commit): whoever knows one finds its lines, others do not read it.
 * Somebody who has the log can try guesses.
 */
#ifndef SCONE_WIRE_AUDIT_LINE_H
#define SCONE_WIRE_AUDIT_LINE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define AUDIT_HASH_LEN 32
#define AUDIT_LINE_MAX 8192 /* with its newline */
#define AUDIT_COMMITMENT_MAX 65 /* hex and NUL */
#define AUDIT_CREATED "log-created"
#define AUDIT_REPLACED "log-replaced"

/* Hex of SHA-256 over "openscone-audit-name-v1", NUL, prev of the line, and the text: another one in every line. */
void audit_commit(const uint8_t prev[AUDIT_HASH_LEN], const char *text, char ret[AUDIT_COMMITMENT_MAX]);

struct audit_event {
	uint64_t seq, time,
		generation; /* time: seconds since 1970; generation: the store's when the change is done */
	const char *event, *actor, *subject, *detail; /* never NULL */
	uint8_t prev[AUDIT_HASH_LEN];
};

/* Appends the line with its newline. *ret_hash: what the next line has as prev. */
MUST_USE int audit_line_write(const struct audit_event *e, EVP_PKEY *key, struct buf *out,
	uint8_t ret_hash[AUDIT_HASH_LEN], struct error *err);

/* A walk over a log, from its first line. Zeroed at the start. */
struct audit_walk {
	uint64_t lines; /* good ones so far */
	uint64_t first_seq; /* 0 but where the log follows another */
	uint8_t prev[AUDIT_HASH_LEN];
	EVP_PKEY *key; /* from the first line */
	uint8_t key_hash[32];
};
void audit_walk_free(struct audit_walk *w);

/* The next line, n bytes without newline: its shape, number, link to the line before, and signature. pinned: key hash of CAS, or NULL. On
 * success f, if not NULL, is called with its content, whose texts live during the call. ERR_CRYPTO or ERR_INPUT says what is wrong with it. */
MUST_USE int audit_walk_line(struct audit_walk *w, const char *line, size_t n, const uint8_t *pinned,
	void (*f)(void *arg, const struct audit_event *e), void *arg, struct error *err);

#endif
