/*
 * secret_parts: the forms of a key or certificate, under the names that templates ask for. No I/O.
 *
 * Whoever has the key makes them all; who replaces templates only picks. Encoding: for each part, block name, block content (buf.h).
 * Names are those of the session language's format column without the first colon: "pem", "der"; "crt", "crt:der", "chain", "chain-legacy" (the
 * dotted form), "privatekey", "privatekey:der", "pkcs12-with-private-key"; "publickey:binary" and so on.
 */
#ifndef SCONE_POLICY_SECRET_PARTS_H
#define SCONE_POLICY_SECRET_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"

void secret_parts_put(struct buf *out, const char *name, const void *p, size_t n);
/* False: no such part. *ret is borrowed. */
bool secret_parts_get(const void *parts, size_t len, const char *name, const void **ret, size_t *ret_len);

/* The part that a format of this kind means: suffix as in a template (with its colon, "" for none), dotted form or NULL. NULL: the kind lacks it,
 * or is none of keys and certificates. *ret_private: it holds a private key. */
const char *secret_parts_of_format(
	const char *kind, const char *suffix, size_t slen, const char *dotted, bool *ret_private);
/* The formats of a kind, for messages; NULL: none of keys and certificates. */
const char *secret_parts_formats(const char *kind);

#endif
