#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cas/vault.h"

/* A session whose secrets are the lines given. */
static struct session *session_of(const char *secrets)
{
	char text[8192];
	struct session *s = NULL;
	struct diag d;

	snprintf(text, sizeof(text), "name: v\nversion: \"0.3\"\nsecrets:\n%s", secrets);
	diag_init(&d);
	if (session_parse(text, strlen(text), &s, &d))
		fail_msg("%s: %s", text, d.entries[0].text);
	diag_free(&d);
	return s;
}

static struct vault make(const struct session *s, const struct vault *old)
{
	struct vault v;
	struct error err = {0};

	if (vault_make(s, old, 1700000000, &v, &err))
		fail_msg("vault_make: %s", err.text);
	return v;
}

static const uint8_t *value(const struct session *s, const struct vault *v, const char *name, size_t *len)
{
	const void *p = NULL;

	if (!vault_lookup(s, v, name, strlen(name), &p, len))
		return NULL;
	return p;
}

static void test_sizes_and_alphabets(void **state)
{
	struct session *s = session_of(" - {name: a, kind: ascii, size: 65536}\n - {name: d, kind: ascii}\n"
				       " - {name: b, kind: binary, size: 7}\n - {name: e, kind: binary}\n");
	struct vault v = make(s, NULL);
	size_t n, seen[256] = {0};
	const uint8_t *p = value(s, &v, "a", &n);

	assert_int_equal(n, 65536);
	for (size_t i = 0; i < n; i++)
		seen[p[i]]++;
	/* 94 characters, 697 of each expected, standard deviation 26: eight of them either way */
	for (int c = 0; c < 256; c++) {
		if (c < 0x21 || c > 0x7e)
			assert_int_equal(seen[c], 0);
		else
			assert_in_range(seen[c], 697 - 8 * 26, 697 + 8 * 26);
	}
	value(s, &v, "d", &n);
	assert_int_equal(n, 20);
	value(s, &v, "b", &n);
	assert_int_equal(n, 7);
	value(s, &v, "e", &n);
	assert_int_equal(n, 20);
	assert_null(value(s, &v, "x", &n));
	vault_free(&v);
	session_free(s);
}

static void test_other_alphabets(void **state)
{
	static const struct {
		enum secret_alphabet alphabet;
		const char *wanted;
	} rows[] = {
		{ALPHABET_HEX, "0123456789abcdef"},
		{ALPHABET_ALNUM, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"},
	};

	for (size_t i = 0; i < 2; i++) {
		struct session *s = session_of(" - {name: a, kind: ascii, size: 20000}\n");
		struct vault v;
		size_t n, distinct = 0;
		const uint8_t *p;
		bool seen[256] = {false};

		s->secrets[0].alphabet = rows[i].alphabet;
		v = make(s, NULL);
		p = value(s, &v, "a", &n);
		for (size_t k = 0; k < n; k++) {
			assert_non_null(memchr(rows[i].wanted, p[k], strlen(rows[i].wanted)));
			distinct += !seen[p[k]];
			seen[p[k]] = true;
		}
		assert_int_equal(distinct, strlen(rows[i].wanted));
		vault_free(&v);
		session_free(s);
	}
}

static void test_explicit(void **state)
{
	struct session *s = session_of(
		" - {name: a, kind: ascii, value: hello}\n - {name: b, kind: binary, value: 00ff}\n"
		" - {name: empty, kind: ascii, value: \"\"}\n");
	struct vault v = make(s, NULL);
	size_t n = 9;

	assert_int_equal(v.count, 0);
	assert_memory_equal(value(s, &v, "a", &n), "hello", 5);
	assert_int_equal(n, 5);
	assert_memory_equal(value(s, &v, "b", &n), "\x00\xff", 2);
	assert_non_null(value(s, &v, "empty", &n));
	assert_int_equal(n, 0);
	vault_free(&v);
	session_free(s);
}

/* Section 5.4: what is kept from one version to the next. */
static void test_kept_across_updates(void **state)
{
	static const struct {
		const char *before, *after;
		bool kept;
	} rows[] = {
		{"{name: k, kind: binary, size: 32}", "{name: k, kind: binary, size: 32}", true},
		{"{name: k, kind: ascii}", "{name: k, kind: ascii, size: 20}", true},
		{"{name: k, kind: binary, size: 32}", "{name: k, kind: binary, size: 33}", false},
		{"{name: k, kind: binary, size: 32}", "{name: k, kind: ascii, size: 32}", false},
		{"{name: k, kind: ascii, size: 32}", "{name: k, kind: binary, size: 32}", false},
		{"{name: other, kind: binary, size: 32}", "{name: k, kind: binary, size: 32}", false},
		/* an explicit value was readable: it never becomes the generated one */
		{"{name: k, kind: ascii, value: abcdefgh}", "{name: k, kind: ascii, size: 8}", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[256];
		struct session *before, *after;
		struct vault v, w;
		const uint8_t *p, *q;
		size_t n = 0, m = 0;
		const void *old = NULL;

		snprintf(text, sizeof(text), " - %s\n", rows[i].before);
		before = session_of(text);
		snprintf(text, sizeof(text), " - %s\n", rows[i].after);
		after = session_of(text);
		v = make(before, NULL);
		w = make(after, &v);
		vault_lookup(before, &v, before->secrets[0].name, strlen(before->secrets[0].name), &old, &n);
		p = old;
		q = value(after, &w, "k", &m);
		assert_int_equal(n == m && !memcmp(p, q, n), rows[i].kept);
		vault_free(&v);
		vault_free(&w);
		session_free(before);
		session_free(after);
	}
}

static void test_explicit_replaces_generated(void **state)
{
	struct session *before = session_of(" - {name: k, kind: ascii, size: 3}\n");
	struct session *after = session_of(" - {name: k, kind: ascii, value: abc}\n");
	struct vault v = make(before, NULL), w = make(after, &v);
	size_t n;

	assert_memory_equal(value(after, &w, "k", &n), "abc", 3);
	assert_int_equal(w.count, 0);
	vault_free(&v);
	vault_free(&w);
	session_free(before);
	session_free(after);
}

static void test_other_alphabet_is_another_secret(void **state)
{
	struct session *s = session_of(" - {name: k, kind: ascii, size: 64}\n");
	struct vault v = make(s, NULL), w;

	s->secrets[0].alphabet = ALPHABET_HEX;
	w = make(s, &v);
	assert_memory_not_equal(v.values[0].value.data, w.values[0].value.data, 64);
	vault_free(&v);
	vault_free(&w);
	session_free(s);
}

static void test_never_twice_the_same(void **state)
{
	struct session *s =
		session_of(" - {name: a, kind: binary, size: 16}\n - {name: b, kind: binary, size: 16}\n");
	struct vault v = make(s, NULL), w = make(s, NULL);

	assert_memory_not_equal(v.values[0].value.data, v.values[1].value.data, 16);
	assert_memory_not_equal(v.values[0].value.data, w.values[0].value.data, 16);
	vault_free(&v);
	vault_free(&w);
	session_free(s);
}

static void test_total_is_limited(void **state)
{
	char text[4096] = "";
	struct session *s;
	struct vault v;
	struct error err = {0};

	for (int i = 0; i < 17; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			" - {name: s%d, kind: ascii, size: 65536}\n", i);
	s = session_of(text);
	assert_int_equal(vault_make(s, NULL, 1700000000, &v, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	session_free(s);
}

static void test_codec(void **state)
{
	struct session *s =
		session_of(" - {name: a, kind: ascii, size: 5}\n - {name: b, kind: binary, size: 9}\n");
	struct vault v = make(s, NULL), w;
	struct error err = {0};
	struct buf b;

	buf_init_secret(&b, 1000);
	assert_int_equal(vault_encode(&v, &b, &err), 0);
	assert_int_equal(vault_decode(b.data, b.len, &w, &err), 0);
	assert_int_equal(w.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(v.values[i].name, w.values[i].name);
		assert_int_equal(v.values[i].kind, w.values[i].kind);
		assert_int_equal(v.values[i].value.len, w.values[i].value.len);
		assert_memory_equal(v.values[i].value.data, w.values[i].value.data, v.values[i].value.len);
	}
	vault_free(&w);
	/* every shorter input and one longer is refused */
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(vault_decode(b.data, n, &w, &err), -1);
	buf_putc(&b, 0);
	assert_int_equal(vault_decode(b.data, b.len, &w, &err), -1);
	/* format, count, kind, alphabet */
	b.len--;
	for (size_t at = 0; at < 7; at++) {
		uint8_t was = b.data[at];

		b.data[at] = 0x7f;
		assert_int_equal(vault_decode(b.data, b.len, &w, &err), -1);
		b.data[at] = was;
	}
	buf_free(&b);
	vault_free(&v);
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_and_alphabets),
		cmocka_unit_test(test_other_alphabets),
		cmocka_unit_test(test_explicit),
		cmocka_unit_test(test_kept_across_updates),
		cmocka_unit_test(test_explicit_replaces_generated),
		cmocka_unit_test(test_other_alphabet_is_another_secret),
		cmocka_unit_test(test_never_twice_the_same),
		cmocka_unit_test(test_total_is_limited),
		cmocka_unit_test(test_codec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
