/*
 * der: a bounded reader of DER (X.690), for the few structures that OpenSSL has no type for. Points into its source; allocates nothing.
 */
#ifndef SCONE_CRYPTO_DER_H
#define SCONE_CRYPTO_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define DER_INTEGER 0x02
#define DER_OCTET_STRING 0x04
#define DER_OID 0x06
#define DER_ENUMERATED 0x0a
#define DER_SEQUENCE 0x30

/* Next element: its tag (one byte; longer tags fail) and a reader of its content. Lengths must be in their shortest form. -1 at the end or when it is
 * malformed; r->failed tells the latter. */
MUST_USE int der_next(struct rd *r, uint8_t *ret_tag, struct rd *ret_content);
/* Next element, which must have this tag. */
MUST_USE int der_expect(struct rd *r, uint8_t tag, struct rd *ret_content);
/* Content of an INTEGER or ENUMERATED from 0 to max. */
MUST_USE int der_uint(const struct rd *content, uint32_t max, uint32_t *ret);

#endif
