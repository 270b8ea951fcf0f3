/*
 * audit: what CAS has done for whom, in an append-only file of signed, linked lines (wire/audit_line.h).
 *
 * A change of the store is written to the log and flushed before it is made; the number and hash of its line go into the store in the same batch. So a
 * log that was cut, changed or put back to an older state is seen at the next start, and a change that could not be logged does not happen. A line
 * whose change failed is followed by `not-done` with its number; after a crash the same, at the next start, if the store has not its generation.
 * An attestation is written before its answer goes out, and flushed with the next change.
 *
 * The file is not encrypted. It has key hashes and measurements, of sessions only commitments.
 */
#ifndef SCONE_CAS_AUDIT_H
#define SCONE_CAS_AUDIT_H

#include <stdbool.h>
#include "cas/identity.h"
#include "cas/sealed_store.h"
#include "core/error.h"

#define AUDIT_FILE "audit.log"
#define AUDIT_HEAD_LEN 41

struct audit;

/* Open DIR/audit.log, check its lines' links and its end against the store, cut off a line that a crash left unfinished, and write `cas-started`.
 * fresh: there is no log any more, or not the right one: begin another that says so, if the old one is out of the way. ERR_CRYPTO: not the log that
 * the store remembers; ERR_NOT_FOUND: it is gone. */
MUST_USE int audit_open(int dir_fd, const struct identity *id, struct sealed_store *ss, bool fresh,
	struct audit **ret, struct error *err);
void audit_close(struct audit *a); /* flushes; NULL is fine */

struct audit_note {
	const char *event;
	const uint8_t *actor; /* key hash, or NULL: CAS itself */
	const char *session; /* name, committed to; NULL: none */
	const char *hash; /* of the session, hex, committed to; NULL: detail is given, or nothing */
	const char *detail; /* written as it is */
};

/* Before a change: write and flush its line, and the change of the store that remembers it; borrowed from a until the next call. */
MUST_USE int audit_change(
	struct audit *a, const struct audit_note *n, struct sealed_change *ret, struct error *err);
/* The change whose line was written last did not happen. */
void audit_not_done(struct audit *a);
/* Write a line without flushing. */
MUST_USE int audit_write(struct audit *a, const struct audit_note *n, struct error *err);

#endif
