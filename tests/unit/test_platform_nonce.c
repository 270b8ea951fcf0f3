/* How old a machine's evidence is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "cas/platform_nonce.h"
#include "crypto/key.h"

#define NOW 1800000000ull
#define AGE 3600

static uint8_t key[PLATFORM_NONCE_KEY_LEN], nonce[PLATFORM_NONCE_LEN];

static void refused(uint64_t now, const char *says)
{
	struct error err = {0};

	assert_int_equal(platform_nonce_check(key, nonce, now, AGE, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_string_equal(err.check, "platform-age");
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
}

static int setup(void **state)
{
	EVP_PKEY *k = NULL;
	int rc = key_generate(KEY_P256, &k, NULL) || platform_nonce_key(k, key, NULL);

	EVP_PKEY_free(k);
	platform_nonce_issue(key, NOW, nonce);
	return rc;
}

static void test_age(void **state)
{
	assert_int_equal(platform_nonce_check(key, nonce, NOW, AGE, NULL), 0);
	assert_int_equal(platform_nonce_check(key, nonce, NOW + AGE, AGE, NULL), 0);
	refused(NOW + AGE + 1, "issued 3601 seconds ago, wanted at most 3600");
	refused(NOW - 1, "1 seconds in the future");
	refused(0, "in the future");
	refused(UINT64_MAX, "seconds ago");
}

static void test_every_bit(void **state)
{
	for (size_t i = 0; i < 8 * sizeof(nonce); i++) {
		nonce[i / 8] ^= (uint8_t)(1u << i % 8);
		refused(NOW, "no platform nonce of this CAS");
		nonce[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

static void test_none(void **state)
{
	uint8_t kept[sizeof(nonce)];

	memcpy(kept, nonce, sizeof(nonce));
	memset(nonce, 0, sizeof(nonce));
	refused(NOW, "no platform nonce of this CAS");
	memcpy(nonce, kept, sizeof(nonce));
}

static void test_keys(void **state)
{
	uint8_t one[PLATFORM_NONCE_KEY_LEN], again[PLATFORM_NONCE_KEY_LEN], foreign[PLATFORM_NONCE_LEN];
	EVP_PKEY *k = NULL;

	assert_int_equal(key_generate(KEY_P256, &k, NULL), 0);
	assert_int_equal(platform_nonce_key(k, one, NULL) | platform_nonce_key(k, again, NULL), 0);
	assert_memory_equal(one, again, sizeof(one)); /* a CAS that starts again, or its replica */
	EVP_PKEY_free(k);
	assert_memory_not_equal(one, key, sizeof(one));
	memcpy(foreign, nonce, sizeof(nonce));
	platform_nonce_issue(one, NOW, nonce);
	refused(NOW, "no platform nonce of this CAS"); /* another CAS's */
	memcpy(nonce, foreign, sizeof(nonce));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
