#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/encode.h"

/* RFC 4648 section 10 */
static const struct {
	const char *bytes, *base64, *base32, *hex;
} rfc4648[] = {
	{"", "", "", ""},
	{"f", "Zg==", "MY======", "66"},
	{"fo", "Zm8=", "MZXQ====", "666f"},
	{"foo", "Zm9v", "MZXW6===", "666f6f"},
	{"foob", "Zm9vYg==", "MZXW6YQ=", "666f6f62"},
	{"fooba", "Zm9vYmE=", "MZXW6YTB", "666f6f6261"},
	{"foobar", "Zm9vYmFy", "MZXW6YTBOI======", "666f6f626172"},
};

static void check(struct buf *b, const char *wanted)
{
	assert_false(b->failed);
	assert_int_equal(b->len, strlen(wanted));
	assert_string_equal(buf_cstr(b), wanted);
	buf_reset(b);
}

static void test_rfc4648(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < sizeof(rfc4648) / sizeof(rfc4648[0]); i++) {
		const uint8_t *p = (const uint8_t *)rfc4648[i].bytes;
		size_t n = strlen(rfc4648[i].bytes);
		const char *b64 = rfc4648[i].base64, *b32 = rfc4648[i].base32;
		char hex[32];

		base64_encode(p, n, &b);
		check(&b, b64);
		base32_encode(p, n, true, &b);
		check(&b, b32);
		assert_int_equal(base64_decode(b64, strlen(b64), &b), 0);
		check(&b, rfc4648[i].bytes);
		assert_int_equal(base32_decode(b32, strlen(b32), &b), 0);
		check(&b, rfc4648[i].bytes);
		assert_int_equal(base32_decode(b32, strcspn(b32, "="), &b), 0);
		check(&b, rfc4648[i].bytes);
		base32_encode(p, n, false, &b);
		assert_int_equal(b.len, strcspn(b32, "="));
		buf_reset(&b);
		base64url_encode(p, n, &b);
		assert_int_equal(b.len, strcspn(b64, "="));
		buf_reset(&b);
		hex_encode(p, n, hex);
		assert_string_equal(hex, rfc4648[i].hex);
		assert_int_equal(hex_decode_buf(hex, strlen(hex), &b), 0);
		check(&b, rfc4648[i].bytes);
	}
	assert_int_equal(base32_decode("mzxW6yTboI", 10, &b), 0);
	check(&b, "foobar");
	buf_free(&b);
}

/* Every byte value at every place in a group, so every digit of every alphabet. */
static void test_all_bytes(void **state)
{
	struct buf text, back;
	uint8_t all[261];

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i * 37 + i / 256);
	buf_init(&text, 1000);
	buf_init(&back, 1000);
	for (size_t from = 0; from < 5; from++) {
		size_t n = 256;
		char hex[2 * 256 + 1];
		uint8_t out[256];

		base64_encode(all + from, n, &text);
		assert_int_equal(base64_decode((char *)text.data, text.len, &back), 0);
		assert_int_equal(back.len, n);
		assert_memory_equal(back.data, all + from, n);
		buf_reset(&text);
		buf_reset(&back);
		base32_encode(all + from, n, from % 2, &text);
		assert_int_equal(base32_decode((char *)text.data, text.len, &back), 0);
		assert_memory_equal(back.data, all + from, n);
		buf_reset(&text);
		buf_reset(&back);
		hex_encode(all + from, n, hex);
		assert_int_equal(hex_decode(hex, 2 * n, out, n), 0);
		assert_memory_equal(out, all + from, n);
	}
	base64_encode((const uint8_t *)"\xfb\xff\xbf", 3, &text);
	check(&text, "+/+/");
	base64url_encode((const uint8_t *)"\xfb\xff\xbf\xff", 4, &text);
	check(&text, "-_-__w");
	buf_free(&text);
	buf_free(&back);
}

static void test_every_digit_of_base64(void **state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buf b;

	buf_init(&b, 100);
	for (int c = 0; c < 256; c++) {
		char quad[4] = {(char)c, 'A', 'A', 'A'};
		const char *at = c ? strchr(digits, c) : NULL;

		assert_int_equal(base64_decode(quad, 4, &b), at ? 0 : -1);
		if (at)
			assert_int_equal(b.data[0] >> 2, at - digits);
		buf_reset(&b);
	}
	buf_free(&b);
}

static void test_refused_base64(void **state)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zm9", "Zg===", "Zm9vZg", "=",
		"====", "Z===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", " Zm9v", "Zg==Zg==", "Z=g=", "Zm9-", "Zm9_",
		"Zm9v====", "Zm\x80v"};
	struct buf b;

	buf_init(&b, 100);
	buf_puts(&b, "before");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (base64_decode(bad[i], strlen(bad[i]), &b) != -1)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(b.len, 6); /* nothing is left of the attempt */
		assert_false(b.failed);
	}
	assert_int_equal(base64_decode("AA\0A", 4, &b), -1);
	buf_free(&b);
}

static void test_refused_base32(void **state)
{
	static const char *const bad[] = {"M", "MZX", "MZXW6Y", "A", "AAA", "AAAAAA", "MZ",
		"MZ======", "MY=", "MY=====", "MY=======", "========", "=", "M1", "M8", "MY ",
		"MY======MY======",
		"MZXQ===="
		"="};
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (base32_decode(bad[i], strlen(bad[i]), &b) != -1)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(b.len, 0);
	}
	buf_free(&b);
}

static void test_hex(void **state)
{
	uint8_t out[3] = {9, 9, 9};
	struct buf b;

	assert_int_equal(hex_decode("0aFf", 4, out, 2), 0);
	assert_memory_equal(out, "\x0a\xff\x09", 3);
	assert_int_equal(hex_decode("0aF", 3, out, 2), -1);
	assert_int_equal(hex_decode("0aF", 3, out, 1), -1);
	assert_int_equal(hex_decode("0aFf00", 6, out, 2), -1);
	assert_int_equal(hex_decode("0g", 2, out, 1), -1);
	assert_memory_equal(out, "\x0a\xff\x09", 3); /* untouched by refusals */
	assert_int_equal(hex_decode("", 0, out, 0), 0);
	buf_init(&b, 2);
	assert_int_equal(hex_decode_buf("0", 1, &b), -1);
	assert_int_equal(hex_decode_buf("0x", 2, &b), -1);
	assert_int_equal(hex_decode_buf("010203", 6, &b), -1);
	assert_true(b.failed); /* by the limit */
	buf_free(&b);
}

static void test_no_room(void **state)
{
	struct buf b;

	buf_init(&b, 7);
	base64_encode((const uint8_t *)"fooba", 5, &b);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buf_reset(&b);
	base32_encode((const uint8_t *)"f", 1, true, &b);
	assert_true(b.failed);
	buf_reset(&b);
	assert_int_equal(base64_decode("Zm9vYmFyZm9v", 12, &b), -1);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc4648),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_every_digit_of_base64),
		cmocka_unit_test(test_refused_base64),
		cmocka_unit_test(test_refused_base32),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
