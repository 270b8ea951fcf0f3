#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/buf.h"

/* A request that no memory can meet is one of the cases. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void test_integers(void **state)
{
	static const uint8_t wanted[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
		0x0c, 0x0d, 0x0e, 0x0f, 0, 0, 0, 2, 'h', 'i'};
	struct buf b;
	struct rd r;
	size_t n = 99;

	buf_init(&b, 1000);
	buf_put_u8(&b, 0x01);
	buf_put_u16be(&b, 0x0203);
	buf_put_u32be(&b, 0x04050607);
	buf_put_u64be(&b, 0x08090a0b0c0d0e0full);
	buf_put_block(&b, "hi", 2);
	assert_false(b.failed);
	assert_int_equal(b.len, sizeof(wanted));
	assert_memory_equal(b.data, wanted, sizeof(wanted));

	rd_init(&r, b.data, b.len);
	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_u16be(&r), 0x0203);
	assert_int_equal(rd_u32be(&r), 0x04050607);
	assert_true(rd_u64be(&r) == 0x08090a0b0c0d0e0full);
	assert_false(rd_done(&r));
	assert_memory_equal(rd_block(&r, 2, &n), "hi", 2);
	assert_int_equal(n, 2);
	assert_true(rd_done(&r));
	buf_free(&b);
}

static void test_reader_stays_failed(void **state)
{
	static const uint8_t bytes[] = {0, 0, 0, 5, 'a', 'b'};
	struct rd r;
	size_t n = 77;

	rd_init(&r, bytes, sizeof(bytes));
	assert_null(rd_block(&r, 100, &n));
	assert_int_equal(n, 77); /* written only on success */
	assert_true(r.failed);
	assert_int_equal(rd_u8(&r), 0);
	assert_int_equal(rd_u64be(&r), 0);
	assert_null(rd_bytes(&r, 0));
	assert_false(rd_done(&r));

	rd_init(&r, bytes, 3);
	assert_int_equal(rd_u32be(&r), 0);
	assert_true(r.failed);

	/* a block of a length that is there, but over the limit */
	rd_init(&r, "\0\0\0\2ab", 6);
	assert_null(rd_block(&r, 1, &n));
	assert_true(r.failed);

	rd_init(&r, NULL, 0);
	assert_true(rd_done(&r));
	assert_int_equal(rd_u8(&r), 0);
	assert_true(r.failed);
}

static void test_limit(void **state)
{
	struct buf b;

	buf_init(&b, 5);
	buf_puts(&b, "abc");
	buf_puts(&b, "def"); /* one too many */
	assert_true(b.failed);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "abc", 3);
	buf_putc(&b, 'x'); /* would fit, but what came before is missing */
	assert_int_equal(b.len, 3);
	assert_null(buf_cstr(&b));
	buf_reset(&b);
	assert_false(b.failed);
	buf_puts(&b, "12345");
	assert_false(b.failed);
	assert_string_equal(buf_cstr(&b), "12345"); /* the NUL does not count */
	assert_int_equal(b.len, 5);
	buf_putc(&b, '6');
	assert_true(b.failed);
	buf_free(&b);
	buf_free(&b);
	assert_false(b.failed);
	buf_puts(&b, "again");
	assert_string_equal(buf_cstr(&b), "again");
	buf_free(&b);

	buf_init(&b, 0);
	assert_string_equal(buf_cstr(&b), "");
	buf_put(&b, NULL, 0);
	assert_false(b.failed);
	buf_putc(&b, 'x');
	assert_true(b.failed);
	buf_free(&b);
}

static void test_limits_do_not_wrap(void **state)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	buf_puts(&b, "abc");
	assert_null(buf_reserve(&b, SIZE_MAX - 3));
	assert_true(b.failed);
	buf_reset(&b);
	buf_puts(&b, "abc");
	assert_null(buf_reserve(&b, SIZE_MAX - 4));
	assert_true(b.failed);
	buf_reset(&b);
	assert_string_equal(buf_cstr(&b), "");
	buf_put_block(&b, "x", (size_t)UINT32_MAX + 1);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

/* A block is written whole or not at all. */
static void test_block_does_not_half_fit(void **state)
{
	struct buf b;

	buf_init(&b, 6);
	buf_put_block(&b, "abc", 3);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void test_printf_and_growth(void **state)
{
	struct buf b;

	buf_init(&b, 100000);
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "%04d;", i);
	assert_false(b.failed);
	assert_int_equal(b.len, 25000);
	for (int i = 0; i < 5000; i++) {
		char want[6] = {(char)('0' + i / 1000), (char)('0' + i / 100 % 10), (char)('0' + i / 10 % 10),
			(char)('0' + i % 10), ';', 0};

		assert_memory_equal(b.data + 5 * i, want, 5);
	}
	buf_free(&b);

	buf_init(&b, 4);
	buf_printf(&b, "%d", 1234);
	assert_false(b.failed);
	buf_printf(&b, "%d", 5);
	assert_true(b.failed);
	assert_int_equal(b.len, 4);
	buf_free(&b);
}

/* Cutting a secret buffer wipes what is cut; its memory is kept, so that can be looked at. */
static void test_secret_is_wiped(void **state)
{
	static const uint8_t zeros[64];
	struct buf b;

	buf_init_secret(&b, 1000);
	buf_puts(&b, "keep-and-secret");
	buf_truncate(&b, 4);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "keep", 4);
	assert_memory_equal(b.data + 4, zeros, 11);
	buf_truncate(&b, 100);
	assert_int_equal(b.len, 4);
	buf_reset(&b);
	assert_memory_equal(b.data, zeros, 4);
	/* content survives growth, which is by copy here */
	for (int i = 0; i < 500; i++)
		buf_putc(&b, (char)('a' + i % 26));
	for (int i = 0; i < 500; i++)
		assert_int_equal(b.data[i], 'a' + i % 26);
	assert_true(b.secret);
	buf_free(&b);
	assert_true(b.secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_reader_stays_failed),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limits_do_not_wrap),
		cmocka_unit_test(test_block_does_not_half_fit),
		cmocka_unit_test(test_printf_and_growth),
		cmocka_unit_test(test_secret_is_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
