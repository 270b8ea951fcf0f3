/*
 * collateral_dir: collateral from files. The layout is in docs/evidence.md.
 */
#ifndef SCONE_WIRE_COLLATERAL_DIR_H
#define SCONE_WIRE_COLLATERAL_DIR_H

#include <stdint.h>
#include "core/buf.h"
#include "evidence/collateral.h"

/* Append the content of a regular file of at most max bytes. ERR_NOT_FOUND, ERR_LIMIT, ERR_IO. */
MUST_USE int collateral_read(const char *path, size_t max, struct buf *out, struct error *err);
/* A file, or every regular file right in a directory whose name does not begin with '.'. One that is no collateral is an error that names it. ERR_NOT_FOUND
 * when there is no such path. What was added before an error stays in c. */
MUST_USE int collateral_load(struct collateral *c, const char *path, struct error *err);

/* A root of trust from a file: key hash of the certificate or public key in it (PEM, or DER for certificates); of several certificates the last, in which a
 * chain ends. ERR_INPUT when there is none. */
MUST_USE int collateral_root(const char *path, uint8_t ret[32], struct error *err);

#endif
