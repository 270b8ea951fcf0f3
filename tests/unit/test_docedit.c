/* docedit: a top-level scalar is read and set, every other byte stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/docedit.h"

static const struct {
	const char *text, *key, *value; /* value NULL: nothing there */
} gets[] = {
	{"name: a/b\nversion: 0.3\n", "name", "a/b"},
	{"version: 0.3\nname: 'q'\n", "name", "q"},
	{"{name: x, predecessor: ~}\n", "predecessor", NULL},
	{"predecessor:\nname: x\n", "predecessor", NULL},
	{"predecessor: null\nname: x\n", "predecessor", NULL},
	{"predecessor: 'null'\nname: x\n", "predecessor", "null"},
	{"services: [{name: inner}]\n", "name", NULL},
	{"services:\n  - name: inner\nname: outer\n", "name", "outer"},
	{"name\t: spaced\n", "name", "spaced"},
};

static const struct {
	const char *text, *key, *wanted;
} sets[] = {
	{"name: a\n", "predecessor", "predecessor: \"V\"\nname: a\n"},
	{"# comment\n---\nname: a # b\n", "predecessor", "# comment\n---\npredecessor: \"V\"\nname: a # b\n"},
	{"  name: a\n  version: 0.3\n", "predecessor", "  predecessor: \"V\"\n  name: a\n  version: 0.3\n"},
	{"{name: a}\n", "predecessor", "{predecessor: \"V\", name: a}\n"},
	{"name: a\npredecessor:\nversion: 0.3\n", "predecessor",
		"name: a\npredecessor: \"V\"\nversion: 0.3\n"},
	{"name: a\npredecessor: ~ # none yet\n", "predecessor", "name: a\npredecessor: \"V\" # none yet\n"},
	{"name: a", "name", "name: \"V\""},
	{"name: \"a b\"\n", "name", "name: \"V\"\n"},
	{"# \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\nname: a\n", "name",
		"# \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\nname: \"V\"\n"},
	{"\xef\xbb\xbfname: a\n", "name", "\xef\xbb\xbfname: \"V\"\n"},
	{"\xef\xbb\xbfname: a\n", "predecessor", "\xef\xbb\xbfpredecessor: \"V\"\nname: a\n"},
	{"version: 0.3\r\nname: a\r\n", "name", "version: 0.3\r\nname: \"V\"\r\n"},
	{"services: [{name: inner}]\nname: a\n", "name", "services: [{name: inner}]\nname: \"V\"\n"},
};

static const char *const refused[] = {
	"",
	"# nothing\n",
	"- a\n",
	"scalar\n",
	"name: a\nname: b\n",
	"name: [a]\n",
	"name: a\n---\nname: b\n",
	"name: 'a\n",
	"name: \xff\n",
	"{name: a\n",
};

static void test_get(void **state)
{
	for (size_t i = 0; i < sizeof(gets) / sizeof(gets[0]); i++) {
		struct error err;
		char *value = NULL;

		assert_int_equal(
			docedit_get(gets[i].text, strlen(gets[i].text), gets[i].key, &value, &err), 0);
		if (gets[i].value) {
			assert_non_null(value);
			assert_string_equal(value, gets[i].value);
		} else {
			assert_null(value);
		}
		free(value);
	}
}

static void test_set(void **state)
{
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct error err;
		struct buf out;
		char *value = NULL;

		buf_init(&out, 4096);
		assert_int_equal(
			docedit_set(sets[i].text, strlen(sets[i].text), sets[i].key, "V", &out, &err), 0);
		assert_string_equal(buf_cstr(&out), sets[i].wanted);
		assert_int_equal(docedit_get((char *)out.data, out.len, sets[i].key, &value, &err), 0);
		assert_string_equal(value, "V");
		free(value);
		buf_free(&out);
	}
}

static void test_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct error err = {0};
		struct buf out;
		char *value = NULL;

		buf_init(&out, 4096);
		assert_int_equal(docedit_get(refused[i], strlen(refused[i]), "name", &value, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
		assert_null(value);
		assert_int_equal(docedit_set(refused[i], strlen(refused[i]), "name", "V", &out, &err), -1);
		assert_int_equal(out.len, 0);
		buf_free(&out);
	}
}

/* A document that would grow over the limit is refused. */
static void test_limit(void **state)
{
	struct error err = {0};
	struct buf out;

	buf_init(&out, 10);
	assert_int_equal(docedit_set("name: a\n", 8, "predecessor", "V", &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
