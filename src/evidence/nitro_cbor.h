/*
 * nitro_cbor: the part of CBOR (RFC 8949) that Nitro documents and the NSM's messages use. No allocation, no recursion: the caller walks.
 *
 * Strict: integers and lengths in their shortest form, lengths within the input, text without control characters; no tags, floats or
 * chunked strings. Arrays and maps may be of indefinite length, which the NSM uses.
 */
#ifndef SCONE_EVIDENCE_NITRO_CBOR_H
#define SCONE_EVIDENCE_NITRO_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "evidence/bundle.h"

/* Reader: after one failure `failed` stays set and everything gives nothing. */
struct cbor {
	struct rd in;
	bool failed;
};

void cbor_init(struct cbor *c, const void *p, size_t n);
/* True if nothing failed and nothing is left. */
bool cbor_done(const struct cbor *c);

/* What comes next, without taking it. */
enum cbor_kind {
	CBOR_NONE,
	CBOR_UINT,
	CBOR_NEGATIVE,
	CBOR_BYTES,
	CBOR_TEXT,
	CBOR_ARRAY,
	CBOR_MAP,
	CBOR_NULL
};
enum cbor_kind cbor_next(const struct cbor *c);

uint64_t cbor_uint(struct cbor *c);
/* A negative integer -1 - n, given as n. */
uint64_t cbor_negative(struct cbor *c);
/* Into the input; {NULL, 0} on failure. An empty string has a pointer. */
struct bytes cbor_bytes(struct cbor *c);
struct bytes cbor_text(struct cbor *c);
void cbor_null(struct cbor *c);

/* A walk through an array or map: while (cbor_more(c, &w)) take one item, or a key and its value. */
struct cbor_walk {
	bool indefinite;
	uint64_t left; /* items, or pairs */
};
/* A count above max fails. For an indefinite length max is the caller's to hold. */
struct cbor_walk cbor_array(struct cbor *c, uint64_t max);
struct cbor_walk cbor_map(struct cbor *c, uint64_t max);
bool cbor_more(struct cbor *c, struct cbor_walk *w);

/* Writer: appends. */
void cbor_put_uint(struct buf *b, uint64_t v);
void cbor_put_negative(struct buf *b, uint64_t n);
void cbor_put_bytes(struct buf *b, const void *p, size_t n);
void cbor_put_text(struct buf *b, const char *s);
void cbor_put_array(struct buf *b, uint64_t n);
void cbor_put_map(struct buf *b, uint64_t n);
void cbor_put_null(struct buf *b);

#endif
