/*
 * verified: the code manifest of an attested process, enforced. Files of the manifest are used only from memory whose SHA-256 is the one
 * that was attested; what is not in it is not mapped executable unless the session allows it (`code:` of the service).
 *
 * Content is in a memory file that nobody else has, sealed before it is hashed: mappings are made of it as they would be of the file.
 *
 * Unattested processes never come here. All functions are thread-safe.
 */
#ifndef SCONE_RUNTIME_VERIFIED_H
#define SCONE_RUNTIME_VERIFIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "core/buf.h"
#include "measure/measure.h"

/* For closure_compute_by, while the program is measured: keeps the content, so that it need not be read and hashed once more to be mapped. */
int verified_measure(int fd, uint8_t ret[SHA256_LEN], uint64_t *ret_size, struct error *err);
/* Takes over m's entries (m is empty afterwards). */
void verified_start(struct manifest *m, bool allow_unmeasured, bool allow_generated);

struct verified {
	const uint8_t *bytes; /* the content, not to be written */
	size_t size;
	int fd; /* the memory file, to map from */
};

/* 1: the file behind fd is of the manifest, and its content is right: *ret, valid until verified_put.
 * 0: it is not of the manifest. -EACCES: it is, by name or inode, and its content is not what was attested; -EIO, -ENOMEM. A refusal is
 * logged with path, digest seen and digest wanted. */
MUST_USE int verified_get(int fd, const struct stat *st, struct verified *ret);
void verified_put(void);
/* Is content kept for a mapping that may follow? Any context. */
bool verified_keeps(void);
/* ld.so has mapped what it wanted: give it back. */
void verified_settle(void);

/* A program of a sealed tree, copied to the sealed memory file fd, is of the manifest from now on, as path. 0, -ENOMEM, -EIO; -ENFILE: the manifest is full. */
MUST_USE int verified_adopt(int fd, const char *path);

/* May code that is not of the manifest be mapped executable? 0, or -EACCES after logging path and digest of the file. */
MUST_USE int verified_unmeasured(int fd);
/* May memory that is no file become executable? 0, or -EACCES after logging what asked (static text). */
MUST_USE int verified_generated(const char *what);

int verified_encode(struct buf *out); /* for execve: 0 or -ENOMEM */
int verified_decode(struct rd *in); /* 0 or -EBADMSG */
void verified_lock(void); /* around fork */
void verified_unlock(void);

#endif
