#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include "core/error.h"

static void test_set(void **state)
{
	struct error e = {0};

	assert_int_equal(error_set(&e, ERR_LIMIT, "value %d, wanted %s", 7, "eight"), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_string_equal(e.text, "value 7, wanted eight");
	assert_int_equal(error_set(NULL, ERR_INPUT, "nobody listens"), -1);
}

static void test_argument_may_be_the_old_text(void **state)
{
	struct error e = {0};

	error_set(&e, ERR_INPUT, "inner");
	error_set(&e, ERR_CONFLICT, "outer (%s)", e.text);
	assert_string_equal(e.text, "outer (inner)");
	assert_int_equal(e.code, ERR_CONFLICT);
}

static void test_errno(void **state)
{
	struct error e = {0};

	assert_int_equal(error_set_errno(&e, ENOENT, "open %s", "/x"), -1);
	assert_int_equal(e.code, ERR_IO);
	assert_string_equal(e.text, "open /x: No such file or directory");
	error_set_errno(&e, 99999, "odd");
	assert_string_equal(e.text, "odd: error 99999");
	assert_int_equal(error_set_errno(NULL, ENOENT, "x"), -1);
}

static void test_wrap(void **state)
{
	struct error e = {0};

	error_set(&e, ERR_ACCESS, "no");
	assert_int_equal(error_wrap(&e, "file %s, line %d", "f", 3), -1);
	assert_string_equal(e.text, "file f, line 3: no");
	assert_int_equal(e.code, ERR_ACCESS);
	assert_int_equal(error_wrap(NULL, "x"), -1);
}

static void test_cut(void **state)
{
	struct {
		struct error e;
		char guard[8];
	} s = {.guard = "guarded"};
	char big[3 * ERROR_TEXT_MAX];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	error_set(&s.e, ERR_INPUT, "%s", big);
	assert_int_equal(strlen(s.e.text), ERROR_TEXT_MAX - 1);
	assert_string_equal(s.e.text + ERROR_TEXT_MAX - 4, "...");
	error_wrap(&s.e, "front");
	assert_int_equal(strncmp(s.e.text, "front: aaa", 10), 0);
	assert_string_equal(s.e.text + ERROR_TEXT_MAX - 4, "...");
	error_wrap(&s.e, "%s", big);
	error_set_errno(&s.e, ENOENT, "%s", big);
	assert_string_equal(s.e.text + ERROR_TEXT_MAX - 4, "...");
	assert_string_equal(s.guard, "guarded");
}

/* A cut never leaves half a character: what comes before the mark is whole UTF-8, whatever the offset. */
static void test_cut_keeps_characters(void **state)
{
	char text[2 * ERROR_TEXT_MAX];
	struct error e;

	for (size_t shift = 0; shift < 3; shift++) {
		size_t n = shift, end;

		memset(text, 'x', n);
		while (n + 4 < sizeof(text)) {
			memcpy(text + n, "\xe2\x82\xac", 3); /* euro sign */
			n += 3;
		}
		text[n] = '\0';
		error_set(&e, ERR_INPUT, "%s", text);
		end = strlen(e.text);
		assert_string_equal(e.text + end - 3, "...");
		assert_int_equal((end - 3 - shift) % 3, 0);
	}
}

static void test_names(void **state)
{
	static const struct {
		enum err_code code;
		const char *name;
	} names[] = {
		{ERR_INPUT, "INPUT"},
		{ERR_LIMIT, "LIMIT"},
		{ERR_NOT_FOUND, "NOT_FOUND"},
		{ERR_EXISTS, "EXISTS"},
		{ERR_CONFLICT, "CONFLICT"},
		{ERR_ACCESS, "ACCESS"},
		{ERR_ATTEST, "ATTEST"},
		{ERR_PEER, "PEER"},
		{ERR_CRYPTO, "CRYPTO"},
		{ERR_IO, "IO"},
		{ERR_NOMEM, "NOMEM"},
		{ERR_INTERNAL, "INTERNAL"},
		{ERR_UNAVAILABLE, "UNAVAILABLE"},
	};
	enum err_code code;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_string_equal(error_code_name(names[i].code), names[i].name);
		assert_int_equal(error_code_parse(names[i].name, &code), 0);
		assert_int_equal(code, names[i].code);
	}
	assert_string_equal(error_code_name((enum err_code)1000), "INTERNAL");
	assert_int_equal(error_code_parse("NONE", &code), -1);
	assert_int_equal(error_code_parse("input", &code), -1);
	assert_int_equal(error_code_parse("", &code), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_argument_may_be_the_old_text),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cut_keeps_characters),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
