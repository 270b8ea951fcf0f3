/* The node tree: what is kept of a document, what lies outside the profile, and the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "policy/yaml.h"

static struct ynode *load_ok(const char *text)
{
	struct ynode *root = NULL;
	struct diag d;

	diag_init(&d);
	assert_int_equal(yaml_load(text, strlen(text), &root, &d), 0);
	assert_int_equal(d.count, 0);
	diag_free(&d);
	return root;
}

static void keeps_text_style_and_place(void **state)
{
	struct ynode *root =
		load_ok("# comment\na: 0.3\n'b': \"x\\ty\"\nc:\n  - ~\n  - \"~\"\n  - |\n    line\n");
	const struct ynode *a = ynode_get(root, "a"), *b = ynode_get(root, "b"), *c = ynode_get(root, "c");
	struct buf path;

	assert_string_equal(a->text, "0.3");
	assert_true(a->plain);
	assert_int_equal(a->line, 2);
	assert_int_equal(a->column, 4);
	assert_int_equal(a->key_column, 1);
	assert_string_equal(b->text, "x\ty");
	assert_false(b->plain);
	assert_int_equal(c->count, 3);
	assert_true(ynode_null(c->items[0]));
	assert_false(ynode_null(c->items[1]));
	assert_string_equal(c->items[2]->text, "line\n");
	assert_null(ynode_get(root, "d"));
	buf_init(&path, 100);
	ynode_path(c->items[2], &path);
	assert_string_equal(buf_cstr(&path), "c[2]");
	buf_free(&path);
	ynode_free(root);
}

static void reads_keys_with_a_backslash(void **state)
{
	struct ynode *root = load_ok("env: {TZ: UTC, \\@\\@HOSTNAME: }\n");
	const struct ynode *env = ynode_get(root, "env");

	assert_int_equal(env->count, 2);
	assert_string_equal(env->items[1]->key, "\\@\\@HOSTNAME");
	assert_true(ynode_null(env->items[1]));
	ynode_free(root);
}

static void reads_a_template_in_a_flow_list(void **state)
{
	struct ynode *root = load_ok("a: [$$SCONE::x:hex$$, $$SCONECAS:y$$]\n");

	assert_string_equal(ynode_get(root, "a")->items[0]->text, "$$SCONE::x:hex$$");
	assert_string_equal(ynode_get(root, "a")->items[1]->text, "$$SCONECAS:y$$");
	ynode_free(root);
}

struct refusal {
	const char *text;
	const char *name;
	const char *path;
	int line, column;
};

static void refuses_what_is_outside_the_profile(void **state)
{
	static const struct refusal table[] = {
		{"", "E-YAML", "", 1, 1},
		{"# nothing\n", "E-YAML", "", 1, 1},
		{"a: [1\n", "E-YAML", "", 2, 1},
		{"a: 1\n b: 2\n", "E-YAML", "", 2, 3},
		{"a: 1\n---\nb: 1\n", "E-YAML", "", 2, 1},
		{"a: &x 1\n", "E-YAML", "a", 1, 4},
		{"a: 1\nb: *x\n", "E-YAML", "b", 2, 4},
		{"a: !!str 1\n", "E-YAML", "a", 1, 4},
		{"a: !foo {b: 1}\n", "E-YAML", "a", 1, 4},
		{"a:\n  <<: {b: 1}\n", "E-YAML", "a.<<", 2, 3},
		{"a: {? [x] : 1}\n", "E-YAML", "a", 1, 4},
		{"a:\n  b: 1\n  b: 2\n", "E-DUP", "a.b", 3, 3},
		{"a:\n  b: 1\n  'b': 2\n", "E-DUP", "a.b", 3, 3},
		{"a: \x01\n", "E-YAML", "", 1, 4},
		{"a: \xff\n", "E-YAML", "", 1, 4},
		{"a: \"\\ud800\"\n", "E-YAML", "", 1, 7},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct ynode *root = NULL;
		struct diag d;

		diag_init(&d);
		(void)!yaml_load(table[i].text, strlen(table[i].text), &root, &d);
		if (d.errors == 0 || strcmp(d.entries[0].name, table[i].name) ||
			strcmp(d.entries[0].path, table[i].path) || d.entries[0].line != table[i].line ||
			d.entries[0].column != table[i].column) {
			struct buf out;
			buf_init(&out, 10000);
			diag_format(&d, "doc", &out);
			fail_msg("row %zu: %s", i, out.len ? buf_cstr(&out) : "accepted");
		}
		ynode_free(root);
		diag_free(&d);
	}
}

static void reports_several_errors_of_the_profile_at_once(void **state)
{
	static const char text[] = "a: &x 1\nb: *x\nc: !t 1\na: 2\n";
	struct ynode *root = NULL;
	struct diag d;

	diag_init(&d);
	assert_int_equal(yaml_load(text, strlen(text), &root, &d), 0);
	assert_int_equal(d.errors, 4);
	ynode_free(root);
	diag_free(&d);
}

/* n times `piece`, then n times `end`. */
static char *repeat(size_t n, const char *piece, const char *end)
{
	char *s = malloc(n * (strlen(piece) + strlen(end)) + 1), *p = s;

	assert_non_null(s);
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, piece);
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, end);
	*p = 0;
	return s;
}

static int load_result(const char *text, size_t n, char *ret_first, size_t max)
{
	struct ynode *root = NULL;
	struct diag d;
	int rc;

	diag_init(&d);
	rc = yaml_load(text, n, &root, &d);
	ret_first[0] = 0;
	if (d.count)
		strncpy(ret_first, d.entries[0].text, max - 1);
	ret_first[max - 1] = 0;
	ynode_free(root);
	diag_free(&d);
	return rc;
}

static void limits_depth_nodes_and_size(void **state)
{
	char first[200];
	char *s = repeat(64, "[", "]");

	assert_int_equal(load_result(s, strlen(s), first, sizeof first), 0);
	free(s);
	s = repeat(65, "[", "]");
	assert_int_equal(load_result(s, strlen(s), first, sizeof first), -1);
	assert_non_null(strstr(first, "64 levels"));
	free(s);
	s = repeat(9999, "- a\n", "");
	assert_int_equal(load_result(s, strlen(s), first, sizeof first), 0);
	free(s);
	s = repeat(10000, "- a\n", "");
	assert_int_equal(load_result(s, strlen(s), first, sizeof first), -1);
	assert_non_null(strstr(first, "10000 nodes"));
	free(s);
	s = repeat(1024 * 1024, "a", "");
	assert_int_equal(load_result(s, 1024 * 1024, first, sizeof first), 0);
	free(s);
	s = repeat(1024 * 1024 + 1, "a", "");
	assert_int_equal(load_result(s, 1024 * 1024 + 1, first, sizeof first), -1);
	assert_non_null(strstr(first, "1048577 bytes"));
	free(s);
	/* Keys count as nodes: 3,333 maps of one pair are 9,999, and the list around them. */
	s = repeat(3333, "- a: b\n", "");
	assert_int_equal(load_result(s, strlen(s), first, sizeof first), 0);
	free(s);
	s = repeat(3334, "- a: b\n", "");
	assert_int_equal(load_result(s, strlen(s), first, sizeof first), -1);
	free(s);
}

static void refuses_utf16(void **state)
{
	static const char text[] = "\xff\xfe"
				   "a\0:\0 \0b\0\n";
	char first[200];

	assert_int_equal(load_result(text, sizeof text, first, sizeof first), -1);
	assert_non_null(strstr(first, "UTF-8"));
}

static void accepts_a_byte_order_mark(void **state)
{
	struct ynode *root = load_ok("\xef\xbb\xbf---\na: 1\n");

	assert_non_null(ynode_get(root, "a"));
	ynode_free(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_text_style_and_place),
		cmocka_unit_test(reads_keys_with_a_backslash),
		cmocka_unit_test(reads_a_template_in_a_flow_list),
		cmocka_unit_test(refuses_what_is_outside_the_profile),
		cmocka_unit_test(reports_several_errors_of_the_profile_at_once),
		cmocka_unit_test(limits_depth_nodes_and_size),
		cmocka_unit_test(refuses_utf16),
		cmocka_unit_test(accepts_a_byte_order_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
