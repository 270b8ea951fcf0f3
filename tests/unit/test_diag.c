/* The list of what is wrong with a document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "policy/diag.h"

static void formats_place_path_text_and_name(void **state)
{
	struct diag d;
	struct buf out;

	diag_init(&d);
	buf_init(&out, 10000);
	diag_add(&d, "E-HEX", "a.b[0]", 3, 7, "seen %d", 5);
	diag_add(&d, "W-MODE", "", 0, 0, "careful");
	diag_format(&d, "file.yml", &out);
	assert_string_equal(buf_cstr(&out),
		"file.yml:3:7: error: a.b[0]: seen 5 [E-HEX]\nfile.yml: warning: careful [W-MODE]\n");
	buf_reset(&out);
	diag_format(&d, NULL, &out);
	assert_string_equal(
		buf_cstr(&out), "3:7: error: a.b[0]: seen 5 [E-HEX]\nwarning: careful [W-MODE]\n");
	assert_int_equal(d.errors, 1);
	buf_free(&out);
	diag_free(&d);
	assert_int_equal(d.count, 0);
}

static void sorts_by_place_and_keeps_the_order_of_equals(void **state)
{
	static const char *const wanted[] = {"none", "first", "second", "third"};
	struct diag d;

	diag_init(&d);
	diag_add(&d, "E-A", "", 2, 5, "second");
	diag_add(&d, "E-A", "", 2, 5, "third");
	diag_add(&d, "E-A", "", 2, 1, "first");
	diag_add(&d, "E-A", "", 0, 0, "none");
	diag_sort(&d);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(d.entries[i].text, wanted[i]);
	diag_free(&d);
}

static void counts_on_when_full_and_prefers_errors(void **state)
{
	struct diag d;
	struct buf out;

	diag_init(&d);
	for (int i = 0; i < DIAG_MAX; i++)
		diag_add(&d, "W-X", "", i + 1, 1, "warning %d", i);
	assert_false(d.truncated);
	diag_add(&d, "W-X", "", 1, 1, "one too many");
	assert_true(d.truncated);
	assert_int_equal(d.count, DIAG_MAX);
	assert_string_equal(d.entries[DIAG_MAX - 1].text, "warning 99");
	diag_add(&d, "E-X", "", 1, 1, "an error");
	assert_int_equal(d.count, DIAG_MAX);
	assert_string_equal(d.entries[DIAG_MAX - 1].name, "E-X");
	assert_string_equal(d.entries[DIAG_MAX - 2].text, "warning 98");
	for (int i = 0; i < 2 * DIAG_MAX; i++)
		diag_add(&d, "E-X", "", 1, 1, "more");
	assert_int_equal(d.errors, 2 * DIAG_MAX + 1);
	assert_int_equal(d.count, DIAG_MAX);
	for (size_t i = 0; i < d.count; i++)
		assert_string_equal(d.entries[i].name, "E-X");
	buf_init(&out, 100000);
	diag_format(&d, "f", &out);
	assert_non_null(
		strstr(buf_cstr(&out), "f: only the first 100 entries are shown, of 201 errors in all\n"));
	buf_free(&out);
	diag_free(&d);
}

static void nothing_of_a_document_steers_a_terminal(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{"a\x1b[31mb", "a?[31mb"},
		{"a\nb\x7f", "a?b?"},
		{"\xc2\x9b"
		 "31m",
			"??31m"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91"},
		{"cut \xe2\x80", "cut ??"},
		{"\xff\xc0\x80", "???"},
		{"\xed\xa0\x80", "???"},
		{"\xe0\x80\x80", "???"},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct diag d;
		diag_init(&d);
		diag_add(&d, "E-X", table[i].in, 1, 1, "%s", table[i].in);
		assert_string_equal(d.entries[0].text, table[i].out);
		assert_string_equal(d.entries[0].path, table[i].out);
		diag_free(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_place_path_text_and_name),
		cmocka_unit_test(sorts_by_place_and_keeps_the_order_of_equals),
		cmocka_unit_test(counts_on_when_full_and_prefers_errors),
		cmocka_unit_test(nothing_of_a_document_steers_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
