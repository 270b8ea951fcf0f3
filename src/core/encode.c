#include "core/encode.h"

#include <string.h>

/*
 * Secrets pass through here as text, so no table is indexed by, and no branch taken on, the value of a digit: digits
 * are chosen by masks. Only whether the whole input is well formed can be learnt from the time it takes.
 */

/* All ones if lo <= c <= hi, else 0. */
static uint32_t in_range(uint32_t c, uint32_t lo, uint32_t hi)
{
	return (((c - lo) | (hi - c)) >> 31) - 1;
}

/* An alphabet: value -> digit, and digit -> value with all ones for what is no digit. */
struct alphabet {
	unsigned int bits; /* a digit holds */
	char (*digit)(uint32_t value);
	uint32_t (*value)(uint32_t digit);
};

static char hex_digit(uint32_t v)
{
	return (char)((in_range(v, 0, 9) & (v + '0')) | (in_range(v, 10, 15) & (v - 10 + 'a')));
}

static uint32_t hex_value(uint32_t c)
{
	uint32_t num = in_range(c, '0', '9'), low = in_range(c, 'a', 'f'), up = in_range(c, 'A', 'F');

	return (num & (c - '0')) | (low & (c - 'a' + 10)) | (up & (c - 'A' + 10)) | ~(num | low | up);
}

static char letter_or_number(uint32_t v)
{
	return (char)((in_range(v, 0, 25) & (v + 'A')) | (in_range(v, 26, 51) & (v - 26 + 'a')) |
		      (in_range(v, 52, 61) & (v - 52 + '0')));
}

static char base64_digit(uint32_t v)
{
	return (char)(letter_or_number(v) |
		      (char)((in_range(v, 62, 62) & '+') | (in_range(v, 63, 63) & '/')));
}

static char base64url_digit(uint32_t v)
{
	return (char)(letter_or_number(v) |
		      (char)((in_range(v, 62, 62) & '-') | (in_range(v, 63, 63) & '_')));
}

static uint32_t base64_value(uint32_t c)
{
	uint32_t up = in_range(c, 'A', 'Z'), low = in_range(c, 'a', 'z'), num = in_range(c, '0', '9');
	uint32_t plus = in_range(c, '+', '+'), slash = in_range(c, '/', '/');

	return (up & (c - 'A')) | (low & (c - 'a' + 26)) | (num & (c - '0' + 52)) | (plus & 62) |
	       (slash & 63) | ~(up | low | num | plus | slash);
}

static char base32_digit(uint32_t v)
{
	return (char)((in_range(v, 0, 25) & (v + 'A')) | (in_range(v, 26, 31) & (v - 26 + '2')));
}

static uint32_t base32_value(uint32_t c)
{
	uint32_t up = in_range(c, 'A', 'Z'), low = in_range(c, 'a', 'z'), num = in_range(c, '2', '7');

	return (up & (c - 'A')) | (low & (c - 'a')) | (num & (c - '2' + 26)) | ~(up | low | num);
}

static const struct alphabet hex = {4, hex_digit, hex_value};
static const struct alphabet base64 = {6, base64_digit, base64_value};
static const struct alphabet base64url = {6, base64url_digit, base64_value};
static const struct alphabet base32 = {5, base32_digit, base32_value};

/* Digits of p, most significant bit first, the last one filled up with zero bits. to has room for all. */
static size_t put_digits(const struct alphabet *a, const uint8_t *p, size_t n, char *to)
{
	uint32_t acc = 0, mask = (1u << a->bits) - 1;
	unsigned int held = 0;
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		acc = acc << 8 | p[i];
		for (held += 8; held >= a->bits; held -= a->bits)
			to[out++] = a->digit(acc >> (held - a->bits) & mask);
	}
	if (held > 0)
		to[out++] = a->digit(acc << (a->bits - held) & mask);
	return out;
}

/* Bytes of n digits. -1 if one is no digit, or the bits that make no whole byte are a whole digit or not zero. to has room for all. */
static int get_bytes(const struct alphabet *a, const char *s, size_t n, uint8_t *to)
{
	uint32_t acc = 0, bad = 0;
	unsigned int held = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t v = a->value((unsigned char)s[i]);

		bad |= v >> 31;
		acc = acc << a->bits | (v & 0x3f);
		held += a->bits;
		if (held >= 8) {
			held -= 8;
			*to++ = (uint8_t)(acc >> held);
		}
	}
	if (held >= a->bits)
		bad |= 1;
	bad |= acc & ((1u << held) - 1);
	return bad ? -1 : 0;
}

/* n digits, appended to b; on failure what was appended is taken back (and wiped in a secret buf). */
static int append_bytes(const struct alphabet *a, const char *s, size_t n, struct buf *b)
{
	/* at most 7 bits of n * bits are no whole byte; n / 8 first so that nothing wraps */
	size_t len = n / 8 * a->bits + n % 8 * a->bits / 8;
	uint8_t *to = buf_reserve(b, len);

	if (!to)
		return -1;
	b->len += len;
	if (get_bytes(a, s, n, to) == 0)
		return 0;
	buf_truncate(b, b->len - len);
	return -1;
}

static void append_digits(const struct alphabet *a, const uint8_t *p, size_t n, bool pad, struct buf *b)
{
	/* a group of 3 bytes (base64) or 5 bytes (base32) is 4 or 8 digits */
	size_t group_bytes = a->bits == 6 ? 3 : 5, group_digits = a->bits == 6 ? 4 : 8;
	size_t groups = n / group_bytes + (n % group_bytes != 0), len;
	char *to;

	if (groups > SIZE_MAX / group_digits) {
		b->failed = true;
		return;
	}
	to = (char *)buf_reserve(b, groups * group_digits);
	if (!to)
		return;
	len = put_digits(a, p, n, to);
	while (pad && len < groups * group_digits)
		to[len++] = '=';
	b->len += len;
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
	out[put_digits(&hex, p, n, out)] = '\0';
}

int hex_decode(const char *s, size_t slen, uint8_t *ret, size_t n)
{
	uint32_t bad = 0;

	if (slen % 2 != 0 || slen / 2 != n)
		return -1;
	for (size_t i = 0; i < slen; i++)
		bad |= hex_value((unsigned char)s[i]) >> 31;
	if (bad)
		return -1;
	return get_bytes(&hex, s, slen, ret);
}

int hex_decode_buf(const char *s, size_t slen, struct buf *b)
{
	if (slen % 2 != 0)
		return -1;
	return append_bytes(&hex, s, slen, b);
}

void base64_encode(const uint8_t *p, size_t n, struct buf *b)
{
	append_digits(&base64, p, n, true, b);
}

void base64url_encode(const uint8_t *p, size_t n, struct buf *b)
{
	append_digits(&base64url, p, n, false, b);
}

void base32_encode(const uint8_t *p, size_t n, bool pad, struct buf *b)
{
	append_digits(&base32, p, n, pad, b);
}

static size_t padding(const char *s, size_t n)
{
	size_t pad = 0;

	while (pad < n && s[n - 1 - pad] == '=')
		pad++;
	return pad;
}

int base64_decode(const char *s, size_t slen, struct buf *b)
{
	size_t pad = padding(s, slen);

	/* more than two '=' would stand for a digit without a whole byte, which get_bytes refuses */
	if (slen % 4 != 0 || pad > 2)
		return -1;
	return append_bytes(&base64, s, slen - pad, b);
}

int base32_decode(const char *s, size_t slen, struct buf *b)
{
	size_t pad = padding(s, slen);

	if (pad > 0 && (slen % 8 != 0 || pad > 6))
		return -1;
	return append_bytes(&base32, s, slen - pad, b);
}
