/* Variables of the client: what is replaced, what is not, and that the document's shape stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "policy/session.h"

static const char *variable(void *arg, const char *name)
{
	static const char *const known[][2] = {{"A", "x"}, {"B_1", "two words"}, {"NULLED", "~"},
		{"EVIL", "x\"\n- injected: yes #"}, {"EMPTY", ""}, {"UML", "gr\xc3\xbc\xe2\x80\xa8n"},
		{"DOLLAR", "$A"}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(known[i][0], name))
			return known[i][1];
	return NULL;
}

static void substitutes(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"a: b\n", "a: b\n"},
		{"a: $A\n", "a: \"x\"\n"},
		{"a: ${A}b$A # $MISSING\n", "a: \"xbx\" # $MISSING\n"},
		{"a: $A$B_1\n", "a: \"xtwo words\"\n"},
		{"a: [$A, '$A', \"$A\", b]\n", "a: [\"x\", \"x\", \"x\", b]\n"},
		{"$A: b\n", "$A: b\n"},
		{"a: $$A $$$A\n", "a: \"$$A $$x\"\n"},
		{"a: $$SCONE::x$$A\n", "a: $$SCONE::x$$A\n"},
		{"a: \\$A\n", "a: \"$A\"\n"},
		{"a: \\${A}\n", "a: \"${A}\"\n"},
		{"a: \\$1 $1 ${A ${} $ ${A:-b}\n", "a: \\$1 $1 ${A ${} $ ${A:-b}\n"},
		{"a: $NULLED\n", "a: ~\n"},
		{"a: '$NULLED'\n", "a: \"~\"\n"},
		{"a: $NULLED.\n", "a: \"~.\"\n"},
		{"a: $EMPTY\n", "a: \"\"\n"},
		{"a: $DOLLAR\n", "a: \"$A\"\n"},
		{"a: $EVIL\n", "a: \"x\\\"\\x0A- injected: yes #\"\n"},
		{"a: $UML\n", "a: \"gr\\U000000FC\\U00002028n\"\n"},
		{"a: |\n  l1 $A\n  l2\nb: $A\n", "a:  \"l1 x\\x0Al2\\x0A\"\n\n\nb: \"x\"\n"},
		{"m:\n  a:\n  |\n    $A\n  b: c\n", "m:\n  a:\n   \"x\\x0A\"\n\n  b: c\n"},
		{"\xef\xbb\xbf"
		 "\xc3\xbc: $A\n",
			"\xc3\xbc: \"x\"\n"},
		{"\xc3\xbc: \xf0\x9f\x94\x91$A\n", "\xc3\xbc: \"\\U0001F511x\"\n"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err;
		struct buf out;

		buf_init(&out, 10000);
		if (session_substitute(rows[i].in, strlen(rows[i].in), variable, NULL, &out, &err))
			fail_msg("row %zu: %s", i, err.text);
		assert_string_equal(buf_cstr(&out), rows[i].out);
		buf_free(&out);
	}
}

static void a_missing_variable_is_named_with_its_place(void **state)
{
	static const char text[] = "services:\n- name: s\n  command: [a, \"b $NOPE\"]\n";
	struct error err;
	struct buf out;

	buf_init(&out, 10000);
	assert_int_equal(session_substitute(text, strlen(text), variable, NULL, &out, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(
		strstr(err.text, "line 3, column 16: services[0].command[1]: variable NOPE is not set"));
	assert_int_equal(out.len, 0);
	assert_int_equal(session_substitute("a: [", 4, variable, NULL, &out, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(substitutes),
		cmocka_unit_test(a_missing_variable_is_named_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
