#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/secret.h"

static void test_wipe(void **state)
{
	uint8_t b[6] = {1, 2, 3, 4, 5, 6};

	secret_wipe(b + 1, 4);
	assert_memory_equal(b, ((uint8_t[]){1, 0, 0, 0, 0, 6}), 6);
	secret_wipe(NULL, 0);
}

static void test_equal(void **state)
{
	uint8_t a[64], b[64];

	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = b[i] = (uint8_t)(i * 7);
	assert_true(secret_equal(a, b, sizeof(a)));
	assert_true(secret_equal(a, b + 1, 0));
	/* every single bit counts */
	for (size_t bit = 0; bit < 8 * sizeof(a); bit++) {
		b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(secret_equal(a, b, sizeof(a)));
		b[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_set_and_free(void **state)
{
	struct secret s = {0};
	struct error err;
	uint8_t *first;

	assert_int_equal(secret_set(&s, "hunter2", 7, &err), 0);
	assert_int_equal(s.len, 7);
	assert_memory_equal(s.data, "hunter2", 7);
	/* from itself */
	first = s.data;
	assert_int_equal(secret_set(&s, first + 3, 4, &err), 0);
	assert_memory_equal(s.data, "ter2", 4);
	assert_int_equal(secret_set(&s, NULL, 0, &err), 0);
	assert_null(s.data);
	assert_int_equal(s.len, 0);
	secret_free(&s);
	secret_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_set_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
