/* Names, config ids, and the nearest word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "policy/session.h"
#include "policy/name.h"

static void checks_names(void **state)
{
	char text[600];
	struct error err;

	memset(text, 'a', sizeof text);
	text[128] = 0;
	assert_int_equal(session_name_check(text, &err), 0);
	text[128] = 'a';
	text[129] = 0;
	assert_int_equal(session_name_check(text, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	memset(text, 'a', sizeof text);
	for (size_t i = 100; i < 512; i += 100)
		text[i] = '/';
	text[512] = 0;
	assert_int_equal(session_name_check(text, &err), 0);
	text[512] = 'a';
	text[513] = 0;
	assert_int_equal(session_name_check(text, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(session_name_check("", &err), -1);
	assert_int_equal(session_name_check("a/", &err), -1);
	assert_int_equal(session_name_check("a/.", &err), -1);
	assert_int_equal(session_name_check("a/...", &err), 0);
	assert_int_equal(session_name_check("a%2fb", &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
}

static void splits_config_ids(void **state)
{
	static const char *const bad[] = {
		"", "a", "/a", "a/", "a/b@", "a/@1", "a/b@1@2", "a/b c", "a//b", "../a", "a/b@\x1b", "a/.."};
	char *session, *service, *otp;
	struct error err;

	assert_int_equal(config_id_parse("n/s/v@123456", &session, &service, &otp, &err), 0);
	assert_string_equal(session, "n/s");
	assert_string_equal(service, "v");
	assert_string_equal(otp, "123456");
	free(session);
	free(service);
	free(otp);
	assert_int_equal(config_id_parse("s/v", &session, &service, &otp, &err), 0);
	assert_null(otp);
	free(session);
	free(service);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		err.text[0] = 0;
		if (config_id_parse(bad[i], &session, &service, &otp, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_INPUT);
		assert_null(strchr(err.text, '\x1b'));
	}
	assert_int_equal(config_id_parse("s/v@123 456", &session, &service, &otp, &err), -1);
	assert_null(strstr(err.text, "123"));
}

static void finds_the_nearest_word(void **state)
{
	static const char *const words[] = {"services", "secrets", "signer", NULL};

	assert_string_equal(name_nearest("servces", 7, words), "services");
	assert_string_equal(name_nearest("serivces", 8, words), "services");
	assert_string_equal(name_nearest("mrsinger", 8, words), "signer");
	assert_string_equal(name_nearest("secrets", 7, words), "secrets");
	assert_null(name_nearest("zzzz", 4, words));
	assert_null(name_nearest("a text that is far longer than any word of the language", 55, words));
	assert_null(name_nearest("", 0, (const char *const[]){NULL}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_names),
		cmocka_unit_test(splits_config_ids),
		cmocka_unit_test(finds_the_nearest_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
