#include "evidence/nitro_cbor.h"

#include <string.h>

enum major { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP };

#define INFO_1 24 /* the argument is in the next byte; 25: in two, 26: four, 27: eight */
#define INFO_INDEFINITE 31
#define BYTE_NULL 0xf6
#define BYTE_BREAK 0xff

void cbor_init(struct cbor *c, const void *p, size_t n)
{
	rd_init(&c->in, p, n);
	c->failed = false;
}

bool cbor_done(const struct cbor *c)
{
	return !c->failed && rd_done(&c->in);
}

enum cbor_kind cbor_next(const struct cbor *c)
{
	static const enum cbor_kind kinds[] = {
		[MAJOR_UINT] = CBOR_UINT,
		[MAJOR_NEGATIVE] = CBOR_NEGATIVE,
		[MAJOR_BYTES] = CBOR_BYTES,
		[MAJOR_TEXT] = CBOR_TEXT,
		[MAJOR_ARRAY] = CBOR_ARRAY,
		[MAJOR_MAP] = CBOR_MAP,
	};

	if (c->failed || c->in.left == 0)
		return CBOR_NONE;
	if (c->in.p[0] == BYTE_NULL)
		return CBOR_NULL;
	return c->in.p[0] >> 5 <= MAJOR_MAP ? kinds[c->in.p[0] >> 5] : CBOR_NONE;
}

/* Argument of the first byte's information, in its shortest form. */
static uint64_t argument(struct cbor *c, unsigned int info)
{
	uint64_t v = info, least = 0;

	switch (info) {
	case INFO_1:
		v = rd_u8(&c->in);
		least = INFO_1;
		break;
	case INFO_1 + 1:
		v = rd_u16be(&c->in);
		least = UINT8_MAX + 1ull;
		break;
	case INFO_1 + 2:
		v = rd_u32be(&c->in);
		least = UINT16_MAX + 1ull;
		break;
	case INFO_1 + 3:
		v = rd_u64be(&c->in);
		least = UINT32_MAX + 1ull;
		break;
	default:
		c->failed |= info > INFO_1;
	}
	c->failed |= c->in.failed || v < least;
	return c->failed ? 0 : v;
}

static uint64_t head(struct cbor *c, enum major major)
{
	uint8_t first = c->failed ? 0 : rd_u8(&c->in);

	c->failed |= c->in.failed || first >> 5 != (int)major;
	return c->failed ? 0 : argument(c, first & 31);
}

uint64_t cbor_uint(struct cbor *c)
{
	return head(c, MAJOR_UINT);
}

uint64_t cbor_negative(struct cbor *c)
{
	return head(c, MAJOR_NEGATIVE);
}

static struct bytes string(struct cbor *c, enum major major)
{
	uint64_t n = head(c, major);
	struct bytes b = {0};

	c->failed |= n > c->in.left;
	if (c->failed)
		return b;
	b.n = (size_t)n;
	b.p = rd_bytes(&c->in, b.n);
	return b;
}

struct bytes cbor_bytes(struct cbor *c)
{
	return string(c, MAJOR_BYTES);
}

struct bytes cbor_text(struct cbor *c)
{
	struct bytes b = string(c, MAJOR_TEXT);

	for (size_t i = 0; i < b.n; i++)
		c->failed |= b.p[i] < 0x20 || b.p[i] >= 0x7f;
	return c->failed ? (struct bytes){0} : b;
}

void cbor_null(struct cbor *c)
{
	if (!c->failed)
		c->failed = rd_u8(&c->in) != BYTE_NULL;
}

static struct cbor_walk walk(struct cbor *c, enum major major, uint64_t max)
{
	struct cbor_walk w = {0};

	if (!c->failed && c->in.left > 0 && c->in.p[0] == ((unsigned int)major << 5 | INFO_INDEFINITE)) {
		(void)rd_u8(&c->in);
		w.indefinite = true;
		return w;
	}
	w.left = head(c, major);
	c->failed |= w.left > max;
	return w;
}

struct cbor_walk cbor_array(struct cbor *c, uint64_t max)
{
	return walk(c, MAJOR_ARRAY, max);
}

struct cbor_walk cbor_map(struct cbor *c, uint64_t max)
{
	return walk(c, MAJOR_MAP, max);
}

bool cbor_more(struct cbor *c, struct cbor_walk *w)
{
	if (c->failed)
		return false;
	if (!w->indefinite)
		return w->left > 0 && w->left-- > 0;
	if (c->in.left == 0) {
		c->failed = true;
		return false;
	}
	if (c->in.p[0] != BYTE_BREAK)
		return true;
	(void)rd_u8(&c->in);
	return false;
}

static void put_head(struct buf *b, enum major major, uint64_t v)
{
	uint8_t top = (uint8_t)(major << 5);

	if (v < INFO_1) {
		buf_put_u8(b, (uint8_t)(top | v));
	} else if (v <= UINT8_MAX) {
		buf_put_u8(b, top | INFO_1);
		buf_put_u8(b, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		buf_put_u8(b, top | (INFO_1 + 1));
		buf_put_u16be(b, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		buf_put_u8(b, top | (INFO_1 + 2));
		buf_put_u32be(b, (uint32_t)v);
	} else {
		buf_put_u8(b, top | (INFO_1 + 3));
		buf_put_u64be(b, v);
	}
}

void cbor_put_uint(struct buf *b, uint64_t v)
{
	put_head(b, MAJOR_UINT, v);
}

void cbor_put_negative(struct buf *b, uint64_t n)
{
	put_head(b, MAJOR_NEGATIVE, n);
}

void cbor_put_bytes(struct buf *b, const void *p, size_t n)
{
	put_head(b, MAJOR_BYTES, n);
	buf_put(b, p, n);
}

void cbor_put_text(struct buf *b, const char *s)
{
	put_head(b, MAJOR_TEXT, strlen(s));
	buf_puts(b, s);
}

void cbor_put_array(struct buf *b, uint64_t n)
{
	put_head(b, MAJOR_ARRAY, n);
}

void cbor_put_map(struct buf *b, uint64_t n)
{
	put_head(b, MAJOR_MAP, n);
}

void cbor_put_null(struct buf *b)
{
	buf_put_u8(b, BYTE_NULL);
}
