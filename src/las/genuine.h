/*
 * genuine: the runtimes that evidence may be given to, by digest.
 */
#ifndef SCONE_LAS_GENUINE_H
#define SCONE_LAS_GENUINE_H

#include <stdint.h>
#include "core/error.h"
#include "crypto/hash.h"

#define GENUINE_MAX 16
#define GENUINE_CACHE 32
#define GENUINE_FILE_MAX (256u * 1024 * 1024) /* a larger executable is no runtime: it is not read */

struct genuine; /* safe to use from several threads */

MUST_USE int genuine_new(struct genuine **ret, struct error *err);
void genuine_free(struct genuine *g);

/* Measure a file and take it as genuine. ERR_LIMIT over GENUINE_MAX. */
MUST_USE int genuine_add(struct genuine *g, const char *path, struct error *err);

/* Measure an executable (or know it from before by device, inode, times and size) and compare. path is for the message.
 * ERR_PEER: another one, with both digests. */
MUST_USE int genuine_check(
	struct genuine *g, int fd, const char *path, uint8_t ret_digest[SHA256_LEN], struct error *err);

#endif
