#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"

#define FIRST_CAP 64

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_init_secret(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max, .secret = true};
}

static void release(const struct buf *b)
{
	if (b->secret && b->data)
		secret_wipe(b->data, b->cap);
	free(b->data);
}

void buf_free(struct buf *b)
{
	release(b);
	*b = (struct buf){.max = b->max, .secret = b->secret};
}

void buf_reset(struct buf *b)
{
	buf_truncate(b, 0);
	b->failed = false;
}

void buf_truncate(struct buf *b, size_t len)
{
	if (len >= b->len)
		return;
	if (b->secret)
		secret_wipe(b->data + len, b->len - len);
	b->len = len;
}

/* Make cap at least `need`. realloc is not used for secrets: it would leave a copy behind. */
static bool grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : FIRST_CAP;
	uint8_t *data;

	if (need <= b->cap)
		return true;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap - 1 > b->max)
		cap = b->max + 1; /* one more than max: the NUL of buf_cstr */
	if (cap < need)
		cap = need;
	if (!b->secret) {
		data = realloc(b->data, cap);
		if (!data)
			return false;
	} else {
		data = malloc(cap);
		if (!data)
			return false;
		if (b->len > 0)
			memcpy(data, b->data, b->len);
		release(b);
	}
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed || n > b->max - b->len || b->len + n == SIZE_MAX || !grow(b, b->len + n + 1)) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;

	if (n == 0)
		return;
	to = buf_reserve(b, n);
	if (to) {
		memcpy(to, p, n);
		b->len += n;
	}
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;
	uint8_t *to;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
	} else {
		to = buf_reserve(b, (size_t)n);
		/* reserve leaves room for the NUL */
		if (to && vsnprintf((char *)to, (size_t)n + 1, fmt, again) == n)
			b->len += (size_t)n;
		else
			b->failed = true;
	}
	va_end(again);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

static void put_be(struct buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	buf_put(b, bytes, n);
}

void buf_put_u16be(struct buf *b, uint16_t v)
{
	put_be(b, v, 2);
}

void buf_put_u32be(struct buf *b, uint32_t v)
{
	put_be(b, v, 4);
}

void buf_put_u64be(struct buf *b, uint64_t v)
{
	put_be(b, v, 8);
}

void buf_put_block(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;

	if (n > UINT32_MAX) {
		b->failed = true;
		return;
	}
	/* length and bytes together or not at all */
	to = buf_reserve(b, n + 4);
	if (!to)
		return;
	buf_put_u32be(b, (uint32_t)n);
	buf_put(b, p, n);
}

char *buf_cstr(struct buf *b)
{
	uint8_t *end = buf_reserve(b, 0);

	if (!end)
		return NULL;
	*end = '\0';
	return (char *)b->data;
}

void rd_init(struct rd *r, const void *p, size_t n)
{
	*r = (struct rd){.p = p, .left = n};
}

const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *at = r->p;

	if (r->failed || n > r->left) {
		r->failed = true;
		return NULL;
	}
	if (n > 0) {
		r->p += n;
		r->left -= n;
	}
	return at;
}

static uint64_t rd_be(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t rd_u8(struct rd *r)
{
	return (uint8_t)rd_be(r, 1);
}

uint16_t rd_u16be(struct rd *r)
{
	return (uint16_t)rd_be(r, 2);
}

uint32_t rd_u32be(struct rd *r)
{
	return (uint32_t)rd_be(r, 4);
}

uint64_t rd_u64be(struct rd *r)
{
	return rd_be(r, 8);
}

const uint8_t *rd_block(struct rd *r, size_t max, size_t *ret_n)
{
	size_t n = rd_u32be(r);
	const uint8_t *p;

	if (!r->failed && n > max)
		r->failed = true;
	p = rd_bytes(r, n);
	if (p)
		*ret_n = n;
	return p;
}

bool rd_done(const struct rd *r)
{
	return !r->failed && r->left == 0;
}
