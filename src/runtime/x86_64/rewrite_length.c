#include "runtime/x86_64/rewrite_length.h"

/*
 * What follows the opcode. Whatever is invalid for some ModRM byte, or longer with some prefix, is not here.
 *   0  nothing                 1  one byte             z  four bytes, but two with 66: then not known
 *   m  ModRM and its address   b  m, then one byte     l  m, then as z      x  m, memory only
 *   q  four bytes; eight with REX.W; with 66 not known
 *   t, T  m; test, the first two of the group, has one byte (t) or as z (T)
 *   i, I  as b, l, but the group's first only          f, F  inc and dec (f), and indirect call, jump and push (F)
 *   n  x, the group's first only (nop)
 */
static const char one_byte[16][17] = {
	/* 0 */ "mmmm1z..mmmm1z..",
	/* 1 */ "mmmm1z..mmmm1z..",
	/* 2 */ "mmmm1z..mmmm1z..",
	/* 3 */ "mmmm1z..mmmm1z..",
	/* 4 */ "................",
	/* 5 */ "0000000000000000",
	/* 6 */ "...m....zl1b....",
	/* 7 */ "1111111111111111",
	/* 8 */ "bl.bmmmmmmmm.x..",
	/* 9 */ "0000000000......",
	/* a */ "....00001z000000",
	/* b */ "11111111qqqqqqqq",
	/* c */ "bb.0..iI.0..0...",
	/* d */ "mmmm............",
	/* e */ "1111....zz.1....",
	/* f */ "....00tT00..00fF",
};
static const char two_bytes[16][17] = {
	/* 0 */ ".....0.....0....",
	/* 1 */ "mmm.mmm........n",
	/* 2 */ "........mmm.mmmm",
	/* 3 */ ".0..............",
	/* 4 */ "mmmmmmmmmmmmmmmm",
	/* 5 */ ".mmmmmmmmmmmmmmm",
	/* 6 */ "mmmmmmmmmmmm..mm",
	/* 7 */ "b...mmm.......mm",
	/* 8 */ "zzzzzzzzzzzzzzzz",
	/* 9 */ "mmmmmmmmmmmmmmmm",
	/* a */ "..0mbm.....mbm.m",
	/* b */ "mm.m..mm...mmmmm",
	/* c */ "mmb...b.00000000",
	/* d */ ".mmmmm..mmmmmmmm",
	/* e */ ".mmmmm..mmmmmmmm",
	/* f */ ".mmmmmm.mmmmmmm.",
};

/* Bytes of ModRM, SIB and displacement; 0 if they are not all there. */
static size_t address_len(const uint8_t *p, size_t left)
{
	unsigned mod, rm;
	size_t n = 1;

	if (left == 0)
		return 0;
	mod = p[0] >> 6;
	rm = p[0] & 7;
	if (mod == 3)
		return 1;
	if (rm == 4) {
		if (left < 2)
			return 0;
		n = 2;
		rm = p[1] & 7;
	}
	if (mod == 0)
		return rm == 5 ? n + 4 : n;
	return mod == 1 ? n + 1 : n + 4;
}

/* Has the ModRM byte a form that the table means? */
static int is_meant(char what, uint8_t modrm)
{
	unsigned reg = modrm >> 3 & 7;

	switch (what) {
	case 'x':
		return modrm < 0xc0;
	case 'i':
	case 'I':
		return reg == 0;
	case 'n':
		return reg == 0 && modrm < 0xc0;
	case 'f':
		return reg < 2;
	case 'F':
		return reg < 7 && reg != 3 && reg != 5;
	}
	return 1;
}

/* Bytes of the immediate behind the address; wide: what z stands for. */
static size_t immediate_len(char what, uint8_t modrm, size_t wide)
{
	int is_test = (modrm >> 3 & 7) < 2;

	switch (what) {
	case 'b':
	case 'i':
		return 1;
	case 'l':
	case 'I':
		return wide;
	case 't':
		return is_test ? 1 : 0;
	case 'T':
		return is_test ? wide : 0;
	}
	return 0;
}

size_t insn_length(const uint8_t *p, size_t left)
{
	size_t i = 0, n, wide = 4, unknown = 16;
	int rex_w = 0;
	char what;

	if (left > 15)
		left = 15;
	if (left > 1) {
		switch (p[0]) {
		case 0x66:
			wide = unknown; /* longer than what is left, always */
			i = 1;
			break;
		case 0x2e:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf2:
		case 0xf3:
			i = 1;
		}
	}
	if (i < left && (p[i] & 0xf0) == 0x40)
		rex_w = p[i++] & 8;
	if (i >= left)
		return 0;
	what = one_byte[p[i] >> 4][p[i] & 15];
	if (p[i] == 0x0f) {
		if (++i >= left)
			return 0;
		what = two_bytes[p[i] >> 4][p[i] & 15];
	}
	i++;
	switch (what) {
	case '.':
		return 0;
	case '0':
	case '1':
		n = (size_t)(what - '0');
		break;
	case 'z':
		n = wide;
		break;
	case 'q':
		n = wide == 4 && rex_w ? 8 : wide;
		break;
	default:
		n = address_len(p + i, left - i);
		if (n == 0 || !is_meant(what, p[i]))
			return 0;
		n += immediate_len(what, p[i], wide);
	}
	return i + n <= left ? i + n : 0;
}
