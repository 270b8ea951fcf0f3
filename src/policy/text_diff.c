#include "policy/text_diff.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct line {
	const char *p;
	size_t n;
};

struct text {
	struct line *lines;
	size_t count;
};

struct walk {
	const struct line *a, *b; /* the parts that differ */
	int n, m;
	text_diff_visit visit;
	void *arg;
};

static int split(const char *p, size_t n, struct text *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += p[i] == '\n';
	ret->lines = calloc(count + 1, sizeof *ret->lines);
	if (!ret->lines)
		return -1;
	while (n) {
		const char *end = memchr(p, '\n', n);
		size_t len = end ? (size_t)(end - p) : n;

		ret->lines[ret->count++] = (struct line){p, len};
		n -= end ? len + 1 : len;
		p += end ? len + 1 : len;
	}
	return 0;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->n == b->n && !memcmp(a->p, b->p, a->n);
}

static int give(const struct walk *w, char op, const struct line *l)
{
	return w->visit(w->arg, op, l->p, l->n);
}

/* rows[d] holds, for each diagonal k = -d … d in steps of 2, the furthest x that d changes reach. -1: too many changes; -2: no memory. */
static int reach(const struct walk *w, int **rows)
{
	int most = w->n + w->m < TEXT_DIFF_CHANGES ? w->n + w->m : TEXT_DIFF_CHANGES;

	for (int d = 0; d <= most; d++) {
		rows[d] = malloc((size_t)(d + 1) * sizeof **rows);
		if (!rows[d])
			return -2;
		for (int i = 0; i <= d; i++) {
			int k = 2 * i - d, x, y;
			const int *before = d ? rows[d - 1] : NULL;

			if (!d)
				x = 0;
			else if (i == 0 || (i < d && before[i - 1] < before[i]))
				x = before[i];
			else
				x = before[i - 1] + 1;
			for (y = x - k; x < w->n && y < w->m && y >= 0 && same(&w->a[x], &w->b[y]); y++)
				x++;
			rows[d][i] = x;
			if (x >= w->n && y >= w->m)
				return d;
		}
	}
	return -1;
}

/* Back from the end, into ops: one character a line, last first. */
static size_t trace(const struct walk *w, int *const *rows, int d, char *ops)
{
	int x = w->n, y = w->m;
	size_t n = 0;

	for (; d > 0; d--) {
		const int *before = rows[d - 1];
		int k = x - y, i = (k + d) / 2, from;
		bool added = i == 0 || (i < d && before[i - 1] < before[i]);

		from = added ? before[i] : before[i - 1] + 1;
		while (x > from) {
			ops[n++] = ' ';
			x--;
			y--;
		}
		ops[n++] = added ? '+' : '-';
		if (added)
			y--;
		else
			x--;
	}
	while (x > 0) {
		ops[n++] = ' ';
		x--;
	}
	return n;
}

static int tell(const struct walk *w, const char *ops, size_t n)
{
	const struct line *a = w->a, *b = w->b;
	int rc = 0;

	while (n-- > 0 && !rc) {
		rc = give(w, ops[n], ops[n] == '+' ? b : a);
		a += ops[n] != '+';
		b += ops[n] != '-';
	}
	return rc;
}

static int replace_all(const struct walk *w)
{
	int rc = 0;

	for (int i = 0; i < w->n && !rc; i++)
		rc = give(w, '-', &w->a[i]);
	for (int i = 0; i < w->m && !rc; i++)
		rc = give(w, '+', &w->b[i]);
	return rc;
}

static int differ(const struct walk *w, struct error *err)
{
	int *rows[TEXT_DIFF_CHANGES + 1] = {NULL}, d, rc;
	char *ops = malloc((size_t)w->n + (size_t)w->m + 1);

	if (w->n > TEXT_DIFF_LINES || w->m > TEXT_DIFF_LINES)
		d = -1;
	else
		d = ops ? reach(w, rows) : -2;
	if (d == -2)
		rc = error_set(err, ERR_NOMEM, "no memory to compare %d and %d lines", w->n, w->m);
	else
		rc = d == -1 ? replace_all(w) : tell(w, ops, trace(w, rows, d, ops));
	for (size_t i = 0; i <= TEXT_DIFF_CHANGES; i++)
		free(rows[i]);
	free(ops);
	return rc;
}

int text_diff(const char *a, size_t an, const char *b, size_t bn, text_diff_visit visit, void *arg,
	struct error *err)
{
	struct text x = {0}, y = {0};
	struct walk w = {.visit = visit, .arg = arg};
	size_t head = 0, tail = 0;
	int rc = 0;

	if (split(a, an, &x) || split(b, bn, &y)) {
		rc = error_set(err, ERR_NOMEM, "no memory to compare two texts");
		goto out;
	}
	while (head < x.count && head < y.count && same(&x.lines[head], &y.lines[head]))
		head++;
	while (tail < x.count - head && tail < y.count - head &&
		same(&x.lines[x.count - 1 - tail], &y.lines[y.count - 1 - tail]))
		tail++;
	w.a = x.lines + head;
	w.b = y.lines + head;
	w.n = (int)(x.count - head - tail);
	w.m = (int)(y.count - head - tail);
	for (size_t i = 0; i < head && !rc; i++)
		rc = give(&w, ' ', &x.lines[i]);
	if (!rc)
		rc = differ(&w, err);
	for (size_t i = x.count - tail; i < x.count && !rc; i++)
		rc = give(&w, ' ', &x.lines[i]);
out:
	free(x.lines);
	free(y.lines);
	return rc;
}
