/*
 * buf: a growing byte buffer with a hard limit, and a bounded reader.
 *
 * A failed append (limit or memory) sets `failed` and leaves the content as it was; until buf_reset or buf_free every
 * later append does nothing either, so callers check once at the end.
 * A `secret` buffer wipes every byte it gives up.
 */
#ifndef SCONE_CORE_BUF_H
#define SCONE_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

struct buf {
	uint8_t *data; /* owned; NULL until something is put */
	size_t len; /* bytes used */
	size_t cap; /* bytes allocated */
	size_t max; /* most bytes it may ever hold */
	bool failed; /* an append did not fit */
	bool secret; /* wipe on growth and free */
};

void buf_init(struct buf *b, size_t max);
void buf_init_secret(struct buf *b, size_t max);
void buf_free(struct buf *b); /* idempotent; the buffer is empty and usable again */
void buf_reset(struct buf *b); /* empty and not failed, memory kept */
/* Cut to len bytes; nothing happens if there are fewer. */
void buf_truncate(struct buf *b, size_t len);
/* Room for n more bytes at the end, or NULL if failed. The caller writes them and adds to b->len. Valid until the next append. */
uint8_t *buf_reserve(struct buf *b, size_t n);

/* p must not point into b. */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16be(struct buf *b, uint16_t v);
void buf_put_u32be(struct buf *b, uint32_t v);
void buf_put_u64be(struct buf *b, uint64_t v);
/* u32be length, then the bytes */
void buf_put_block(struct buf *b, const void *p, size_t n);
/* NUL-terminate without counting the NUL; returns the text, or NULL if failed. Valid until the next append. */
char *buf_cstr(struct buf *b);

/* Reader: a cursor over bytes owned elsewhere. After one short read every later read gives zeros and `failed` stays set. */
struct rd {
	const uint8_t *p;
	size_t left;
	bool failed;
};

void rd_init(struct rd *r, const void *p, size_t n);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16be(struct rd *r);
uint32_t rd_u32be(struct rd *r);
uint64_t rd_u64be(struct rd *r);
/* Pointer to n bytes inside the source, or NULL if fewer are left. */
const uint8_t *rd_bytes(struct rd *r, size_t n);
/* u32be length, then that many bytes; *ret_n is their number. NULL if short or longer than max. */
const uint8_t *rd_block(struct rd *r, size_t max, size_t *ret_n);
/* True if nothing failed and nothing is left. */
bool rd_done(const struct rd *r);

#endif
