#include "policy/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void diag_init(struct diag *d)
{
	memset(d, 0, sizeof *d);
}

static void entry_clear(struct diag_entry *e)
{
	free(e->path);
	free(e->text);
}

void diag_free(struct diag *d)
{
	for (size_t i = 0; i < d->count; i++)
		entry_clear(&d->entries[i]);
	free(d->entries);
	diag_init(d);
}

static bool is_warning(const char *name)
{
	return name[0] == 'W';
}

/* Length of the UTF-8 sequence at s, 0 if there is none. The terminating NUL is no continuation byte, so nothing is read past it. */
static size_t sequence_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80			  ? 1
		   : s[0] >= 0xc2 && s[0] < 0xe0  ? 2
		   : (s[0] & 0xf0) == 0xe0	  ? 3
		   : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
						  : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
		(s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Documents are other people's: nothing of them may steer a terminal or break a line. A text cut in the middle of a character, which JSON
 * could not carry, is mended too. */
static void make_printable(char *s)
{
	unsigned char *c = (unsigned char *)s;

	while (*c) {
		size_t n = sequence_len(c);
		bool control = *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0);

		if (n > 0 && !control) {
			c += n;
			continue;
		}
		for (n = n ? n : 1; n > 0; n--)
			*c++ = '?';
	}
}

/* Room for one more entry. In a full list an error takes the place of the last warning, so that a refusal always says why. */
static struct diag_entry *entry_slot(struct diag *d, bool warning)
{
	if (d->count == DIAG_MAX) {
		d->truncated = true;
		for (size_t i = warning ? 0 : d->count; i-- > 0;) {
			if (!is_warning(d->entries[i].name))
				continue;
			entry_clear(&d->entries[i]);
			memmove(&d->entries[i], &d->entries[i + 1], (d->count - i - 1) * sizeof *d->entries);
			return &d->entries[d->count - 1];
		}
		return NULL;
	}
	if (d->count == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 8;
		struct diag_entry *e = realloc(d->entries, cap * sizeof *e);
		if (!e)
			return NULL;
		d->entries = e;
		d->cap = cap;
	}
	return &d->entries[d->count++];
}

void diag_add(struct diag *d, const char *name, const char *path, int line, int column, const char *fmt, ...)
{
	struct diag_entry *e, fresh = {.name = name, .line = line, .column = column};
	char text[1024];
	va_list ap;

	if (!is_warning(name))
		d->errors++;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fresh.path = strdup(path ? path : "");
	fresh.text = strdup(text);
	e = fresh.path && fresh.text ? entry_slot(d, is_warning(name)) : NULL;
	if (!e) {
		d->truncated = true;
		entry_clear(&fresh);
		return;
	}
	make_printable(fresh.path);
	make_printable(fresh.text);
	*e = fresh;
}

void diag_sort(struct diag *d)
{
	for (size_t i = 1; i < d->count; i++) {
		struct diag_entry e = d->entries[i];
		size_t j = i;
		for (; j > 0; j--) {
			const struct diag_entry *p = &d->entries[j - 1];
			if (p->line < e.line || (p->line == e.line && p->column <= e.column))
				break;
			d->entries[j] = *p;
		}
		d->entries[j] = e;
	}
}

void diag_format(const struct diag *d, const char *file, struct buf *out)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct diag_entry *e = &d->entries[i];
		if (file)
			buf_printf(out, "%s:", file);
		if (e->line)
			buf_printf(out, "%d:%d:", e->line, e->column);
		if (file || e->line)
			buf_putc(out, ' ');
		buf_puts(out, is_warning(e->name) ? "warning: " : "error: ");
		if (e->path[0])
			buf_printf(out, "%s: ", e->path);
		buf_printf(out, "%s [%s]\n", e->text, e->name);
	}
	if (d->truncated)
		buf_printf(out, "%s%sonly the first %d entries are shown, of %zu errors in all\n",
			file ? file : "", file ? ": " : "", DIAG_MAX, d->errors);
}
