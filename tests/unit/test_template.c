/* Templates: grammar, formats (RFC 4648 vectors), encodings, and what happens to text that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/template.h"

struct known {
	const char *name, *kind, *value;
	size_t len;
};

static const struct known secrets[] = {
	{"text", "ascii", "va lue", 6},
	{"empty", "ascii", "", 0},
	{"loop", "ascii", "$$SCONE::text$$", 15},
	{"half", "ascii", "$$SCONE::te", 11},
	{"json", "ascii", "a\"b\\c\n\t\x01/\xc3\xbc", 11},
	{"bin", "binary", "\x00\xff\xfe", 3},
	{"fooba", "binary", "fooba", 5},
	{"foobar", "binary", "foobar", 6},
	{"slash", "binary", "\xfb\xff\xff", 3},
	{"dot.hex", "binary", "AB", 2},
	{"cert", "binary", "AB", 2},
	{"overlong", "binary", "\xc0\x80", 2},
	{"surrogate", "binary", "\xed\xa0\x80", 3},
	{"cut", "binary", "a\xe2\x82", 3},
};

static bool lookup(void *arg, const char *name, size_t len, struct template_value *ret)
{
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
		if (strlen(secrets[i].name) != len || memcmp(secrets[i].name, name, len))
			continue;
		*ret = (struct template_value){secrets[i].kind, secrets[i].value, secrets[i].len};
		return true;
	}
	return false;
}

struct row {
	const char *in, *out;
};

static void check_rows(const struct row *rows, size_t n, bool strict)
{
	for (size_t i = 0; i < n; i++) {
		struct error err = {0};
		struct buf out;

		buf_init_secret(&out, 1000);
		if (template_expand(rows[i].in, strlen(rows[i].in), lookup, NULL, strict, &out, &err))
			fail_msg("row %zu (%s): %s", i, rows[i].in, err.text);
		assert_string_equal(out.len ? buf_cstr(&out) : "", rows[i].out);
		buf_free(&out);
	}
}

static void replaces(void **state)
{
	static const struct row rows[] = {
		{"", ""},
		{"plain", "plain"},
		{"1;$$SCONECAS:text$$\n", "1;va lue\n"},
		{"$$SCONE::text$$$$SCONE::empty$$|", "va lue|"},
		{"$$SCONE::fooba:hex$$", "666f6f6261"},
		{"$$SCONE::fooba.hex$$", "666f6f6261"},
		{"$$SCONE::fooba:base64$$", "Zm9vYmE="},
		{"$$SCONECAS:slash:base64$$", "+///"},
		{"$$SCONE::slash:base64url$$", "-___"},
		{"$$SCONE::fooba:base64url$$", "Zm9vYmE"},
		{"$$SCONE::fooba:base32$$", "MZXW6YTB"},
		{"$$SCONE::foobar:base32$$", "MZXW6YTBOI======"},
		{"$$SCONE::foobar:base32nopad$$", "MZXW6YTBOI"},
		{"$$SCONE::fooba:bin$$", "fooba"},
		{"$$SCONE::dot.hex$$", "AB"},
		{"$$SCONE::dot.hex.hex$$", "4142"},
		{"$$SCONE::dot.hex:hex$$", "4142"},
		{"$$SCONE::json|escape(json)$$", "a\\\"b\\\\c\\n\\t\\u0001/\xc3\xbc"},
		{"$$SCONE::bin:hex|escape(json)$$", "00fffe"},
		{"$$$SCONE::text$$$", "$va lue$"},
	};

	check_rows(rows, sizeof rows / sizeof *rows, true);
}

static void leaves_other_text_alone(void **state)
{
	static const struct row rows[] = {
		{"$$", "$$"},
		{"$$$$ $PATH ${x} $$SCON", "$$$$ $PATH ${x} $$SCON"},
		{"$$SCONE:text$$", "$$SCONE:text$$"},
		{"$$scone::text$$", "$$scone::text$$"},
		{"$$SCONECAS text$$", "$$SCONECAS text$$"},
	};

	check_rows(rows, sizeof rows / sizeof *rows, true);
}

static void replaced_text_is_not_scanned_again(void **state)
{
	static const struct row rows[] = {
		{"$$SCONE::loop$$", "$$SCONE::text$$"},
		{"$$SCONE::half$$xt$$", "$$SCONE::text$$"},
	};

	check_rows(rows, sizeof rows / sizeof *rows, true);
}

static void files_keep_what_is_no_complete_template(void **state)
{
	static const struct row rows[] = {
		{"$$SCONE::", "$$SCONE::"},
		{"$$SCONE::text", "$$SCONE::text"},
		{"$$SCONE::text$", "$$SCONE::text$"},
		{"$$SCONE::text\n$$SCONE::text$$", "$$SCONE::text\nva lue"},
		{"$$SCONE::$$SCONE::text$$", "$$SCONE::va lue"},
		{"$$SCONECAS::text$$", "$$SCONECAS::text$$"},
		{"$$SCONE::te xt$$", "$$SCONE::te xt$$"},
	};

	check_rows(rows, sizeof rows / sizeof *rows, false);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err = {0};
		struct buf out;

		buf_init(&out, 1000);
		buf_puts(&out, "kept");
		assert_int_equal(
			template_expand(rows[i].in, strlen(rows[i].in), lookup, NULL, true, &out, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
		assert_string_equal(buf_cstr(&out), "kept");
		buf_free(&out);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *in;
		enum err_code code;
		const char *says;
	} rows[] = {
		{"a\nb $$SCONE::nope$$", ERR_NOT_FOUND, "line 2: template names the secret nope"},
		{"$$SCONE::nope.hex$$", ERR_NOT_FOUND, "nope.hex"},
		{"$$SCONE::text:hex$$", ERR_INPUT, "format :hex, which kind ascii lacks; there is none"},
		{"$$SCONE::bin:pem$$", ERR_INPUT,
			"format :pem, which kind binary lacks; there is none, :bin, :hex"},
		{"$$SCONE::bin:hex:hex$$", ERR_INPUT, ":hex:hex"},
		{"$$SCONE::bin:$$", ERR_INPUT, "format :"},
		{"$$SCONE::cert.crt$$", ERR_INPUT, "format .crt"},
		{"$$SCONE::fooba.hex:hex$$", ERR_INPUT, "format .hex:hex"},
		{"$$SCONE::text|escape(xml)$$", ERR_INPUT,
			"unknown encoding |escape(xml); there is |escape(json)"},
		{"$$SCONE::text|$$", ERR_INPUT, "unknown encoding"},
		{"$$SCONE::bin|escape(json)$$", ERR_INPUT, "not UTF-8"},
		{"$$SCONE::overlong|escape(json)$$", ERR_INPUT, "not UTF-8"},
		{"$$SCONE::surrogate|escape(json)$$", ERR_INPUT, "not UTF-8"},
		{"$$SCONE::cut|escape(json)$$", ERR_INPUT, "not UTF-8"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (int strict = 0; strict < 2; strict++) {
			struct error err = {0};
			struct buf out;

			buf_init_secret(&out, 1000);
			buf_puts(&out, "kept");
			assert_int_equal(template_expand(rows[i].in, strlen(rows[i].in), lookup, NULL, strict,
						 &out, &err),
				-1);
			assert_int_equal(err.code, rows[i].code);
			if (!strstr(err.text, rows[i].says))
				fail_msg("row %zu: %s", i, err.text);
			assert_string_equal(buf_cstr(&out), "kept");
			buf_free(&out);
		}
	}
}

static void raw_bytes_and_nul_survive(void **state)
{
	static const char in[] = "\0$$SCONE::bin$$\0";
	struct error err;
	struct buf out;

	buf_init(&out, 100);
	assert_int_equal(template_expand(in, sizeof in - 1, lookup, NULL, true, &out, &err), 0);
	assert_int_equal(out.len, 5);
	assert_memory_equal(out.data, "\0\0\xff\xfe\0", 5);
	buf_free(&out);
}

static void says_when_the_result_does_not_fit(void **state)
{
	struct error err = {0};
	struct buf out;

	buf_init_secret(&out, 10);
	assert_int_equal(
		template_expand("$$SCONE::text$$$$SCONE::text$$", 30, lookup, NULL, true, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

struct walk {
	char seen[200];
	int stop_after, calls;
};

static int note(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	struct walk *w = arg;
	size_t used = strlen(w->seen);

	snprintf(w->seen + used, sizeof w->seen - used, "%.*s%s%.*s@%d ", (int)len, name, slen ? "+" : "",
		(int)slen, suffix, line);
	return ++w->calls == w->stop_after ? 7 : 0;
}

static void visits_each(void **state)
{
	static const char in[] = "$$SCONE::a$$\n\n$$SCONECAS:b.c:x:y|z$$ $$SCONE::d|e$$";
	struct error err;
	struct walk w = {.stop_after = -1};

	assert_int_equal(template_each(in, strlen(in), true, note, &w, &err), 0);
	assert_string_equal(w.seen, "a@1 b.c+:x:y|z@3 d+|e@3 ");
	w = (struct walk){.stop_after = 2};
	assert_int_equal(template_each(in, strlen(in), true, note, &w, &err), 7);
	assert_int_equal(w.calls, 2);
	assert_int_equal(template_each("$$SCONE::a", 10, true, note, &w, &err), -1);
	assert_int_equal(template_each("$$SCONE::a", 10, false, note, &w, &err), 0);
}

static void check_agrees_with_expand(void **state)
{
	struct error err;

	assert_int_equal(template_check("bin", 3, ":hex", 4, 1, lookup, NULL, &err), 0);
	assert_int_equal(template_check("bin", 3, ":pem", 4, 9, lookup, NULL, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_non_null(strstr(err.text, "line 9"));
	assert_int_equal(template_check("no", 2, "", 0, 1, lookup, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaces),
		cmocka_unit_test(leaves_other_text_alone),
		cmocka_unit_test(replaced_text_is_not_scanned_again),
		cmocka_unit_test(files_keep_what_is_no_complete_template),
		cmocka_unit_test(refuses),
		cmocka_unit_test(raw_bytes_and_nul_survive),
		cmocka_unit_test(says_when_the_result_does_not_fit),
		cmocka_unit_test(visits_each),
		cmocka_unit_test(check_agrees_with_expand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
