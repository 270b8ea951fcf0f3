/*
 * audit: what CAS has done for whom, in an append-only file of signed, linked lines (wire/audit_line.h).
 *
 * A change of the store is written to the log and flushed before it is made; the number and hash of its line go into the store in the same batch. So a
 * log that was cut, changed or put back to an older state is seen at the next start, and a change that could not be logged does not happen. A line
 * whose change failed is followed by `not-done` with its number; after a crash the same, at the next start, if the store has not its generation.
 * An attestation is written before its answer goes out, and flushed with the next change.
 *
 * Between audit_begin and the end of a batch (batch.h) lines are kept; they are written as one, and its changes flushed as one, before the store's commit.
 *
 * Of a shared store (store.h) each CAS, called a replica here, has a log of its own, in its directory. The lines of a batch with changes are then part of the
 * batch in the store, in the replica's own record, and are appended to the file after the commit: the change and its lines happen together. A replica that
 * ended before it appended them takes them from the record when it starts. While the file cannot be written no change is made.
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
/* replica: the name of this CAS in a shared store, hex; else NULL. */
MUST_USE int audit_open(int dir_fd, const struct identity *id, struct sealed_store *ss, const char *replica,
	bool fresh, struct audit **ret, struct error *err);
void audit_close(struct audit *a); /* flushes; NULL is fine */

struct audit_note {
	const char *event;
	const uint8_t *actor; /* key hash, or NULL: CAS itself */
	const char *session; /* name, committed to; NULL: none */
	const char *hash; /* of the session, hex, committed to; NULL: detail is given, or nothing */
	const char *detail; /* written as it is */
};

/* Before a change: write and flush its line (in a batch: keep it), and the change of the store that remembers it; borrowed from a until the next call. */
MUST_USE int audit_change(
	struct audit *a, const struct audit_note *n, struct sealed_change *ret, struct error *err);
/* The change whose line was written last did not happen. */
void audit_not_done(struct audit *a);
/* Write a line without flushing (in a batch: keep it). */
MUST_USE int audit_write(struct audit *a, const struct audit_note *n, struct error *err);

/* A batch begins. ERR_IO: lines of an earlier one are not in the file yet, and cannot be written. */
MUST_USE int audit_begin(struct audit *a, struct error *err);
/* Nothing was staged: write the lines, and end the batch. On failure none is written. */
MUST_USE int audit_end(struct audit *a, struct error *err);
/* Before the commit of what was staged: write and flush the lines; of a shared store, stage them. On failure the batch has ended without a line. */
MUST_USE int audit_prepare(struct audit *a, struct error *err);
/* After the commit, which err says the failure of: NULL if it succeeded. The batch has ended. */
void audit_settle(struct audit *a, const struct error *failure);
/* The batch is given up before it was prepared. */
void audit_drop(struct audit *a);
/* The file, to pread: bytes that are whole lines. */
int64_t audit_file(const struct audit *a, int *ret_fd);
/* Number of the next line. */
uint64_t audit_next(const struct audit *a);

#endif
