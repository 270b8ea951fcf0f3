/*
 * audit_impl: what the files of audit share.
 */
#ifndef SCONE_CAS_AUDIT_IMPL_H
#define SCONE_CAS_AUDIT_IMPL_H

#include "cas/audit.h"
#include "wire/audit_line.h"

struct audit {
	int fd, dir_fd;
	EVP_PKEY *key; /* borrowed */
	struct sealed_store *store;
	uint64_t next; /* number of the next line */
	uint8_t prev[AUDIT_HASH_LEN];
	int64_t size; /* of the file: whole lines */
	uint8_t head[AUDIT_HEAD_LEN];
	char record[80]; /* name of the head's record */
	bool shared; /* the store is */
	bool torn; /* the file may end with an unfinished line of ours */
	bool unflushed; /* the file has lines that may not be on the disk */
	bool doubt; /* it is not known whether the last batch was done, and its lines are with it */
	/* Between audit_begin and the end of a batch. */
	bool batch;
	struct buf lines;
	uint64_t first; /* number of the first of them */
	uint8_t first_prev[AUDIT_HASH_LEN];
	uint64_t *changes; /* owned: numbers of lines of changes */
	size_t change_count, change_cap;
};

/* What the store remembers. */
struct audit_head {
	bool known;
	uint64_t seq;
	uint8_t hash[AUDIT_HASH_LEN];
};

/* The number behind key in a line that this program wrote; UINT64_MAX: none. */
uint64_t audit_number_in(const char *line, size_t n, const char *key);
/* The next line is of a change. */
MUST_USE int audit_note_change(struct audit *a, struct error *err);
/*
 * Read the file: a->next, a->prev and a->size are those behind its last line; an unfinished line is cut off. a->changes are then the lines whose change was
 * not done. Of a shared store a line of a generation that the store has not reached is ERR_CRYPTO. *ret_met: the line that head names is there. Links
 * only: who wants the signatures checked has `scone audit verify`.
 */
MUST_USE int audit_scan(struct audit *a, const struct audit_head *head, bool *ret_met, struct error *err);

#endif
