#include "crypto/der.h"

#define TAG_LONG 0x1f
#define LENGTH_LONG 0x80
#define LENGTH_BYTES_MAX 4

static int malformed(struct rd *r)
{
	r->failed = true;
	return -1;
}

static int length(struct rd *r, size_t *ret)
{
	uint8_t first = rd_u8(r);
	size_t n = first, count;

	if (first & LENGTH_LONG) {
		count = first & ~LENGTH_LONG;
		if (count == 0 || count > LENGTH_BYTES_MAX)
			return malformed(r);
		for (n = 0; count > 0; count--) {
			n = n << 8 | rd_u8(r);
			if (n == 0)
				return malformed(r);
		}
		if (n < LENGTH_LONG)
			return malformed(r);
	}
	if (r->failed || n > r->left)
		return malformed(r);
	*ret = n;
	return 0;
}

int der_next(struct rd *r, uint8_t *ret_tag, struct rd *ret_content)
{
	struct rd at = *r;
	const uint8_t *p;
	uint8_t tag;
	size_t n;

	if (r->failed || r->left == 0)
		return -1;
	tag = rd_u8(&at);
	if ((tag & TAG_LONG) == TAG_LONG || length(&at, &n) < 0)
		return malformed(r);
	p = rd_bytes(&at, n);
	if (!p)
		return malformed(r);
	*r = at;
	*ret_tag = tag;
	rd_init(ret_content, p, n);
	return 0;
}

int der_expect(struct rd *r, uint8_t tag, struct rd *ret_content)
{
	struct rd content;
	uint8_t seen;

	if (der_next(r, &seen, &content) < 0 || seen != tag)
		return malformed(r);
	*ret_content = content;
	return 0;
}

int der_uint(const struct rd *content, uint32_t max, uint32_t *ret)
{
	const uint8_t *p = content->p;
	size_t n = content->left;
	uint32_t v = 0;

	/* At most 32 bits, with the zero byte that keeps the sign positive. */
	if (n == 0 || n > 5 || (p[0] & 0x80) || (n > 1 && p[0] == 0 && !(p[1] & 0x80)) || (n == 5 && p[0]))
		return -1;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	if (v > max)
		return -1;
	*ret = v;
	return 0;
}
