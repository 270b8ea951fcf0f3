#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cas/nonce.h"

static const uint8_t alice[32] = {1}, bob[32] = {2};

static struct nonce_table *new_table(void)
{
	struct nonce_table *t = NULL;

	assert_int_equal(nonce_table_new(&t, NULL), 0);
	return t;
}

static void expect_refused(struct nonce_table *t, const uint8_t *nonce, const uint8_t *key, uint64_t now)
{
	struct error err = {0};

	assert_int_equal(nonce_take(t, nonce, key, now, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
}

static void test_once(void **state)
{
	struct nonce_table *t = new_table();
	uint8_t a[ATTEST_NONCE_LEN], b[ATTEST_NONCE_LEN];

	assert_int_equal(nonce_issue(t, alice, 100, a, NULL), 0);
	assert_int_equal(nonce_issue(t, alice, 100, b, NULL), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a + 4, b + 4, sizeof(a) - 4);
	assert_int_equal(nonce_take(t, a, alice, 100 + NONCE_SECONDS, NULL), 0);
	expect_refused(t, a, alice, 100);
	assert_int_equal(nonce_take(t, b, alice, 100, NULL), 0);
	nonce_table_free(t);
}

/* An answer that did not go out did not use its nonce up; those before the mark stay used. */
static void test_untake(void **state)
{
	struct nonce_table *t = new_table();
	uint8_t a[ATTEST_NONCE_LEN], b[ATTEST_NONCE_LEN];

	assert_int_equal(nonce_issue(t, alice, 100, a, NULL), 0);
	assert_int_equal(nonce_issue(t, alice, 100, b, NULL), 0);
	assert_int_equal(nonce_take(t, a, alice, 100, NULL), 0);
	nonce_mark(t);
	assert_int_equal(nonce_take(t, b, alice, 100, NULL), 0);
	expect_refused(t, b, alice, 100);
	nonce_untake(t);
	expect_refused(t, a, alice, 100);
	assert_int_equal(nonce_take(t, b, alice, 100, NULL), 0);
	expect_refused(t, b, alice, 100);
	nonce_table_free(t);
}

static void test_age(void **state)
{
	struct nonce_table *t = new_table();
	uint8_t a[ATTEST_NONCE_LEN];

	assert_int_equal(nonce_issue(t, alice, 100, a, NULL), 0);
	expect_refused(t, a, alice, 101 + NONCE_SECONDS);
	expect_refused(t, a, alice, 100);
	nonce_table_free(t);
}

static void test_other_key(void **state)
{
	struct nonce_table *t = new_table();
	uint8_t a[ATTEST_NONCE_LEN];

	assert_int_equal(nonce_issue(t, alice, 100, a, NULL), 0);
	expect_refused(t, a, bob, 100);
	/* and it is still alice's */
	assert_int_equal(nonce_take(t, a, alice, 100, NULL), 0);
	nonce_table_free(t);
}

static void test_not_issued(void **state)
{
	struct nonce_table *t = new_table();
	uint8_t a[ATTEST_NONCE_LEN], zero[ATTEST_NONCE_LEN] = {0}, high[ATTEST_NONCE_LEN];

	memset(high, 0xff, sizeof(high));
	expect_refused(t, zero, alice, 0);
	expect_refused(t, high, alice, 0);
	assert_int_equal(nonce_issue(t, alice, 100, a, NULL), 0);
	for (size_t i = 0; i < sizeof(a); i++) {
		a[i] ^= 1;
		expect_refused(t, a, alice, 100);
		a[i] ^= 1;
	}
	assert_int_equal(nonce_take(t, a, alice, 100, NULL), 0);
	nonce_table_free(t);
}

static void test_oldest_goes_first(void **state)
{
	struct nonce_table *t = new_table();
	uint8_t first[ATTEST_NONCE_LEN], second[ATTEST_NONCE_LEN], other[ATTEST_NONCE_LEN];

	assert_int_equal(nonce_issue(t, alice, 100, first, NULL), 0);
	assert_int_equal(nonce_issue(t, alice, 100, second, NULL), 0);
	for (int i = 0; i < NONCE_COUNT - 1; i++)
		assert_int_equal(nonce_issue(t, bob, 100, other, NULL), 0);
	expect_refused(t, first, alice, 100);
	assert_int_equal(nonce_take(t, second, alice, 100, NULL), 0);
	assert_int_equal(nonce_take(t, other, bob, 100, NULL), 0);
	nonce_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_untake),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_other_key),
		cmocka_unit_test(test_not_issued),
		cmocka_unit_test(test_oldest_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
