#include "runtime/x86_64/rewrite_scan.h"

#include <emmintrin.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int window_set_add(struct window_set *s, struct window w)
{
	if (s->count == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct window *p = realloc(s->v, cap * sizeof *p);

		if (!p)
			return -ENOMEM;
		s->v = p;
		s->cap = cap;
	}
	s->v[s->count++] = w;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct window *x = a, *y = b;

	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->form < y->form ? -1 : x->form > y->form;
}

static void mark_granule(struct window_set *s, size_t off)
{
	s->granules[off >> 12] |= 1ULL << (off >> 6 & 63);
}

int window_set_index(struct window_set *s, size_t text_len)
{
	s->text_len = text_len;
	s->granules = calloc((text_len >> 12) + 1, sizeof *s->granules);
	if (!s->granules)
		return -ENOMEM;
	qsort(s->v, s->count, sizeof *s->v, by_start);
	for (size_t i = 0; i < s->count; i++) {
		mark_granule(s, s->v[i].lo);
		mark_granule(s, s->v[i].hi - 1);
	}
	return 0;
}

void window_set_free(struct window_set *s)
{
	free(s->v);
	free(s->granules);
	*s = (struct window_set){0};
}

void window_set_hit(struct window_set *s, int64_t target, enum rewrite_outcome why)
{
	size_t lo = 0, hi = s->count, off = (size_t)target;

	if (target < 0 || off >= s->text_len || !(s->granules[off >> 12] >> (off >> 6 & 63) & 1))
		return;
	/* First window that starts at or behind the target; those that contain it inside start before, by less than a window's length. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].lo < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo > 0 && s->v[lo - 1].lo + REWRITE_WINDOW_MAX > off) {
		struct window *w = &s->v[--lo];

		if (off > w->lo && off < w->hi && !w->refusal)
			w->refusal = (uint8_t)why;
	}
}

size_t scan_syscall(const uint8_t *text, size_t from, size_t end)
{
	const __m128i first = _mm_set1_epi8(0x0f), second = _mm_set1_epi8(0x05);
	size_t i = from;

	for (; i + 17 <= end; i += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)(text + i));
		__m128i b = _mm_loadu_si128((const __m128i *)(text + i + 1));
		unsigned m = (unsigned)_mm_movemask_epi8(
			_mm_and_si128(_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, second)));

		if (m)
			return i + (unsigned)__builtin_ctz(m);
	}
	for (; i + 2 <= end; i++)
		if (text[i] == 0x0f && text[i + 1] == 0x05)
			return i;
	return end;
}

/* Length of the opcode if the two bytes may begin an instruction whose last four bytes are a displacement from its end; else 0. */
static size_t rel32_opcode(uint8_t a, uint8_t b)
{
	if (a == 0xe8 || a == 0xe9)
		return 1;
	if (a == 0x0f && (b & 0xf0) == 0x80)
		return 2;
	if (a == 0x8d && (b & 0xc7) == 0x05)
		return 2;
	if (a == 0xc7 && b == 0xf8)
		return 2;
	return 0;
}

static void check_rel32(const uint8_t *bytes, size_t len, size_t i, int64_t bias, struct window_set *s)
{
	size_t op = rel32_opcode(bytes[i], i + 1 < len ? bytes[i + 1] : 0);
	int32_t rel;

	if (op == 0 || len - i < op + 4)
		return;
	memcpy(&rel, bytes + i + op, sizeof rel);
	window_set_hit(s, bias + (int64_t)(i + op + 4) + rel, REWRITE_BRANCH);
}

void scan_rel32(const uint8_t *bytes, size_t len, int64_t bias, struct window_set *s)
{
	const __m128i call = _mm_set1_epi8((char)0xe8), low1 = _mm_set1_epi8((char)0xfe);
	const __m128i esc = _mm_set1_epi8(0x0f), jcc = _mm_set1_epi8((char)0x80),
		      high4 = _mm_set1_epi8((char)0xf0);
	const __m128i lea = _mm_set1_epi8((char)0x8d), rip = _mm_set1_epi8(0x05),
		      modrm = _mm_set1_epi8((char)0xc7);
	const __m128i xb0 = _mm_set1_epi8((char)0xc7), xb1 = _mm_set1_epi8((char)0xf8);
	size_t i = 0;

	for (; i + 17 <= len; i += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)(bytes + i));
		__m128i b = _mm_loadu_si128((const __m128i *)(bytes + i + 1));
		__m128i m = _mm_cmpeq_epi8(_mm_and_si128(a, low1), call);
		unsigned bits;

		m = _mm_or_si128(m,
			_mm_and_si128(_mm_cmpeq_epi8(a, esc), _mm_cmpeq_epi8(_mm_and_si128(b, high4), jcc)));
		m = _mm_or_si128(m,
			_mm_and_si128(_mm_cmpeq_epi8(a, lea), _mm_cmpeq_epi8(_mm_and_si128(b, modrm), rip)));
		m = _mm_or_si128(m, _mm_and_si128(_mm_cmpeq_epi8(a, xb0), _mm_cmpeq_epi8(b, xb1)));
		for (bits = (unsigned)_mm_movemask_epi8(m); bits; bits &= bits - 1)
			check_rel32(bytes, len, i + (unsigned)__builtin_ctz(bits), bias, s);
	}
	for (; i < len; i++)
		check_rel32(bytes, len, i, bias, s);
}

bool scan_is_rel8_into(const uint8_t *text, size_t p, size_t lo, size_t hi)
{
	uint8_t op = text[p];
	int64_t target;

	if (op != 0xeb && (op & 0xf0) != 0x70 && (op & 0xfc) != 0xe0)
		return false;
	target = (int64_t)p + 2 + (int8_t)text[p + 1];
	return target >= (int64_t)lo && target < (int64_t)hi;
}
