/*
 * diag: everything wrong with a document, reported together, each with its place.
 */
#ifndef SCONE_POLICY_DIAG_H
#define SCONE_POLICY_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"
#include "core/error.h"

struct diag_entry {
	const char *name; /* "E-HEX" …, or "W-…" for a warning; static */
	char *path; /* key path: services[1].attestation.mrenclave[0]; owned */
	int line, column; /* from 1; 0: no place */
	char *text; /* value seen, value wanted; owned */
};

struct diag {
	struct diag_entry *entries;
	size_t count, cap;
	size_t errors; /* entries that are not warnings */
	bool truncated; /* more than DIAG_MAX */
};
#define DIAG_MAX 100

void diag_init(struct diag *d);
void diag_free(struct diag *d);
void diag_add(struct diag *d, const char *name, const char *path, int line, int column, const char *fmt, ...)
	PRINTF_LIKE(6, 7);
/* Into the order of the document (stable). */
void diag_sort(struct diag *d);
/* "FILE:LINE:COLUMN: error|warning: PATH: TEXT [NAME]\n" for each entry; file may be NULL. */
void diag_format(const struct diag *d, const char *file, struct buf *out);

#endif
