/*
 * verified: the code manifest of an attested process, enforced. Files of the manifest are used only from memory whose SHA-256 is the one
 * that was attested; what is not in it is not mapped executable unless the session allows it (`code:` of the service).
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

/* Takes over m's entries (m is empty afterwards). */
void verified_start(struct manifest *m, bool allow_unmeasured, bool allow_generated);

/* 1: the file behind fd is of the manifest, and its content is right: *ret_bytes, *ret_size, valid until verified_put.
 * 0: it is not of the manifest. -EACCES: it is, by name or inode, and its content is not what was attested; -EIO, -ENOMEM. A refusal is
 * logged with path, digest seen and digest wanted. */
MUST_USE int verified_get(int fd, const struct stat *st, const uint8_t **ret_bytes, size_t *ret_size);
void verified_put(void);

/* May code that is not of the manifest be mapped executable? 0, or -EACCES after logging path and digest of the file. */
MUST_USE int verified_unmeasured(int fd);
/* May memory that is no file become executable? 0, or -EACCES after logging what asked (static text). */
MUST_USE int verified_generated(const char *what);

int verified_encode(struct buf *out); /* for execve: 0 or -ENOMEM */
int verified_decode(struct rd *in); /* 0 or -EBADMSG */
void verified_lock(void); /* around fork */
void verified_unlock(void);

#endif
