/*
 * encode: text forms of bytes. Hex is written lower case and read in either case.
 */
#ifndef SCONE_CORE_ENCODE_H
#define SCONE_CORE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

/* out holds 2n+1 bytes. */
void hex_encode(const uint8_t *p, size_t n, char *out);
/* Exactly 2n digits at s (slen characters); -1 on a non-digit or another length. Constant time in the digits' values is not promised. */
MUST_USE int hex_decode(const char *s, size_t slen, uint8_t *ret, size_t n);
/* Any even number of digits, appended to b. */
MUST_USE int hex_decode_buf(const char *s, size_t slen, struct buf *b);

/* RFC 4648 section 4, with padding. */
void base64_encode(const uint8_t *p, size_t n, struct buf *b);
MUST_USE int base64_decode(
	const char *s, size_t slen, struct buf *b); /* strict: padding required, no white space */
/* RFC 4648 section 5, without padding. */
void base64url_encode(const uint8_t *p, size_t n, struct buf *b);
/* RFC 4648 section 6. */
void base32_encode(const uint8_t *p, size_t n, bool pad, struct buf *b);
MUST_USE int base32_decode(const char *s, size_t slen, struct buf *b); /* either case, padding optional */

#endif
