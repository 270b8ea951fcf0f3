/* The difference of two texts: what it says, and that both texts follow from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "policy/text_diff.h"

struct seen {
	struct buf all, old, new;
	size_t changes;
};

static int visit(void *arg, char op, const char *line, size_t n)
{
	struct seen *s = arg;

	buf_putc(&s->all, op);
	buf_put(&s->all, line, n);
	buf_putc(&s->all, '\n');
	s->changes += op != ' ';
	if (op != '+') {
		buf_put(&s->old, line, n);
		buf_putc(&s->old, '\n');
	}
	if (op != '-') {
		buf_put(&s->new, line, n);
		buf_putc(&s->new, '\n');
	}
	return 0;
}

static struct seen differ(const char *a, const char *b)
{
	struct seen s = {0};

	buf_init(&s.all, 8 << 20);
	buf_init(&s.old, 8 << 20);
	buf_init(&s.new, 8 << 20);
	assert_int_equal(text_diff(a, strlen(a), b, strlen(b), visit, &s, NULL), 0);
	assert_string_equal(buf_cstr(&s.old), a);
	assert_string_equal(buf_cstr(&s.new), b);
	return s;
}

static void forget(struct seen *s)
{
	buf_free(&s->all);
	buf_free(&s->old);
	buf_free(&s->new);
}

static void check(const char *a, const char *b, const char *wanted)
{
	struct seen s = differ(a, b);

	assert_string_equal(buf_cstr(&s.all), wanted);
	forget(&s);
}

static void small_ones(void **state)
{
	check("", "", "");
	check("a\n", "a\n", " a\n");
	check("", "a\nb\n", "+a\n+b\n");
	check("a\nb\n", "", "-a\n-b\n");
	check("a\nb\nc\n", "a\nx\nc\n", " a\n-b\n+x\n c\n");
	check("a\nc\n", "a\nb\nc\n", " a\n+b\n c\n");
	check("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", "-a\n-b\n c\n+b\n a\n b\n-b\n a\n+c\n");
}

/* The fewest changes, compared with a table of the longest common subsequence. */
static size_t fewest(const char *a, const char *b)
{
	size_t n = strlen(a) / 2, m = strlen(b) / 2;
	static size_t t[64][64];

	for (size_t i = 0; i <= n; i++)
		for (size_t j = 0; j <= m; j++) {
			if (!i || !j)
				t[i][j] = 0;
			else if (a[2 * i - 2] == b[2 * j - 2])
				t[i][j] = t[i - 1][j - 1] + 1;
			else
				t[i][j] = t[i - 1][j] > t[i][j - 1] ? t[i - 1][j] : t[i][j - 1];
		}
	return n + m - 2 * t[n][m];
}

static void random_ones(void **state)
{
	srandom(7);
	for (int round = 0; round < 3000; round++) {
		char a[128], b[128];
		struct seen s;

		for (int k = 0; k < 2; k++) {
			char *p = k ? b : a;
			long n = random() % 40;

			for (long i = 0; i < n; i++)
				p += sprintf(p, "%c\n", (char)('a' + random() % 4));
			*p = '\0';
		}
		s = differ(a, b);
		assert_int_equal(s.changes, fewest(a, b));
		forget(&s);
	}
}

static void large_ones(void **state)
{
	size_t room = 400000;
	char *a = malloc(room), *b = malloc(room), *p = a, *q = b;
	struct seen s;

	for (int i = 0; i < 30000; i++) {
		p += sprintf(p, "old %d\n", i);
		q += sprintf(q, i % 2 ? "old %d\n" : "new %d\n", i);
	}
	s = differ(a, b); /* both texts follow from it */
	assert_true(s.changes >= 30000);
	forget(&s);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones),
		cmocka_unit_test(random_ones),
		cmocka_unit_test(large_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
