#include "policy/canonical_put.h"

#include <string.h>
#include "core/encode.h"

void canonical_string(struct buf *b, const char *s, size_t n)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\')
			buf_putc(b, '\\');
		if (c < 0x20)
			buf_printf(b, "\\u%04x", c);
		else
			buf_putc(b, (char)c);
	}
	buf_putc(b, '"');
}

void canonical_comma(struct buf *b)
{
	if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
		buf_putc(b, ',');
}

void canonical_key(struct buf *b, const char *key)
{
	canonical_comma(b);
	canonical_string(b, key, strlen(key));
	buf_putc(b, ':');
}

void canonical_text(struct buf *b, const char *key, const char *value)
{
	canonical_key(b, key);
	canonical_string(b, value, strlen(value));
}

void canonical_hex(struct buf *b, const uint8_t *p, size_t n)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < n; i++) {
		char digits[3];
		hex_encode(p + i, 1, digits);
		buf_put(b, digits, 2);
	}
	buf_putc(b, '"');
}
