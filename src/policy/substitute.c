/*
 * Client-side variables (section 1.2). Only the text of values is replaced, never a key or a comment, and what is put in is quoted: a
 * variable cannot add a line, a key or a list item to the document.
 */
#include <string.h>
#include "policy/session.h"
#include "policy/yaml.h"

typedef const char *(*variable_lookup)(void *arg, const char *name);

struct substitution {
	const char *text;
	size_t n;
	size_t pos; /* bytes of text already copied */
	size_t index; /* the same place in characters */
	variable_lookup lookup;
	void *arg;
	struct buf *out;
	struct error *err;
};

#define VARIABLE_MAX 128

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t name_len(const char *s, size_t n)
{
	size_t i = 0;

	if (n && name_start(s[0]))
		while (i < n && (name_start(s[i]) || (s[i] >= '0' && s[i] <= '9')))
			i++;
	return i;
}

/* A variable that begins with the $ at s: bytes that it takes, and its name. 0: none begins there. */
static size_t variable_at(const char *s, size_t n, const char **ret_name, size_t *ret_len)
{
	bool braces = n > 1 && s[1] == '{';
	size_t skip = braces ? 2 : 1, len;

	if (n <= skip)
		return 0;
	len = name_len(s + skip, n - skip);
	if (len == 0 || (braces && (skip + len >= n || s[skip + len] != '}')))
		return 0;
	*ret_name = s + skip;
	*ret_len = len;
	return skip + len + braces;
}

static int put_variable(
	struct substitution *s, const struct ynode *n, const char *name, size_t len, struct buf *value)
{
	char key[VARIABLE_MAX + 1];
	const char *v = NULL;

	if (len <= VARIABLE_MAX) {
		memcpy(key, name, len);
		key[len] = 0;
		v = s->lookup(s->arg, key);
	}
	if (v) {
		buf_puts(value, v);
		return 0;
	}
	struct buf path;
	buf_init(&path, 64 * 1024);
	ynode_path(n, &path);
	buf_putc(&path, 0);
	error_set(s->err, ERR_NOT_FOUND,
		"line %d, column %d: %s: variable %.*s is not set (write \\$ for a literal $)", n->line,
		n->column, path.data && !path.failed ? (const char *)path.data : "",
		(int)(len < VARIABLE_MAX ? len : VARIABLE_MAX), name);
	buf_free(&path);
	return -1;
}

/* The value of n with its variables replaced. *ret_changed: something was; *ret_whole: the value is one variable and nothing else. */
static int expand(
	struct substitution *s, const struct ynode *n, struct buf *value, bool *ret_changed, bool *ret_whole)
{
	const char *p = n->text;

	*ret_changed = *ret_whole = false;
	for (size_t i = 0; i < n->len;) {
		const char *name;
		size_t len, took, left = n->len - i;

		if (p[i] == '\\' && left > 1 && p[i + 1] == '$' &&
			variable_at(p + i + 1, left - 1, &name, &len)) {
			buf_putc(value, '$');
			i += 2;
			*ret_changed = true;
		} else if (p[i] == '$' && left > 1 && p[i + 1] == '$') {
			buf_puts(value, "$$");
			i += 2;
		} else if (p[i] == '$' && (took = variable_at(p + i, left, &name, &len))) {
			if (put_variable(s, n, name, len, value))
				return -1;
			*ret_changed = true;
			*ret_whole = took == n->len;
			i += took;
		} else {
			buf_putc(value, p[i++]);
		}
	}
	return 0;
}

static bool continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Byte offset of a character's index; indexes only grow. */
static size_t byte_offset(struct substitution *s, size_t index)
{
	size_t pos = s->pos;

	for (; s->index < index && pos < s->n; s->index++) {
		pos++;
		while (pos < s->n && continuation(s->text[pos]))
			pos++;
	}
	return pos;
}

/* A double-quoted scalar (YAML 1.1, 5.7). What is not plain ASCII is escaped by code point, for some of it is a line break to YAML. */
static void put_quoted(struct buf *out, const struct buf *value)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < value->len;) {
		unsigned char c = value->data[i];
		size_t len = c < 0x80		  ? 1
			     : (c & 0xe0) == 0xc0 ? 2
			     : (c & 0xf0) == 0xe0 ? 3
			     : (c & 0xf8) == 0xf0 ? 4
						  : 1;
		uint32_t code = len == 1 ? c : c & (0x7fu >> len);

		if (c == '"' || c == '\\') {
			buf_putc(out, '\\');
			buf_putc(out, (char)c);
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(out, "\\x%02X", c);
		} else if (len == 1 || i + len > value->len) {
			len = 1;
			buf_putc(out, (char)c);
		} else {
			for (size_t k = 1; k < len; k++)
				code = code << 6 | (value->data[i + k] & 0x3fu);
			buf_printf(out, "\\U%08X", code);
		}
		i += len;
	}
	buf_putc(out, '"');
}

static int put_scalar(struct substitution *s, const struct ynode *n)
{
	struct buf value;
	bool changed, whole;
	size_t from, to;
	int rc;

	buf_init_secret(&value, s->out->max);
	rc = expand(s, n, &value, &changed, &whole);
	if (rc == 0 && changed) {
		from = byte_offset(s, n->start);
		buf_put(s->out, s->text + s->pos, from - s->pos);
		s->pos = from;
		/* A | may stand in the column of its own key, a quote may not. */
		if (s->text[from] == '|' || s->text[from] == '>')
			buf_putc(s->out, ' ');
		to = byte_offset(s, n->end);
		if (whole && n->plain && value.len == 1 && value.data[0] == '~')
			buf_putc(s->out, '~');
		else
			put_quoted(s->out, &value);
		/* As many lines as there were, so that places in later messages are those of the author's file. */
		for (; s->pos < to; s->pos++)
			if (s->text[s->pos] == '\n')
				buf_putc(s->out, '\n');
		if (value.failed)
			s->out->failed = true;
	}
	buf_free(&value);
	return rc;
}

static int put_node(struct substitution *s, const struct ynode *n)
{
	if (n->kind == YNODE_SCALAR)
		return n->bad ? 0 : put_scalar(s, n);
	for (size_t i = 0; i < n->count; i++)
		if (put_node(s, n->items[i]))
			return -1;
	return 0;
}

int session_substitute(const char *text, size_t n, const char *(*lookup)(void *arg, const char *name),
	void *arg, struct buf *out, struct error *err)
{
	size_t bom = yaml_bom(text, n);
	struct substitution s = {
		.text = text + bom, .n = n - bom, .lookup = lookup, .arg = arg, .out = out, .err = err};
	size_t before = out->len;
	struct ynode *root;
	struct diag d;
	int rc;

	diag_init(&d);
	if (yaml_load(text, n, &root, &d)) {
		const struct diag_entry *e = d.count ? &d.entries[0] : NULL;

		if (!e)
			rc = error_set(err, ERR_NOMEM, "out of memory");
		else if (e->line)
			rc = error_set(err, ERR_INPUT, "line %d, column %d: %s [%s]", e->line, e->column,
				e->text, e->name);
		else /* of the whole document */
			rc = error_set(err, ERR_INPUT, "%s [%s]", e->text, e->name);
		diag_free(&d);
		return rc;
	}
	diag_free(&d);
	rc = put_node(&s, root);
	ynode_free(root);
	if (rc == 0) {
		buf_put(out, s.text + s.pos, s.n - s.pos);
		if (out->failed)
			rc = error_set(err, ERR_LIMIT,
				"the document with its variables replaced is longer than %zu bytes",
				out->max);
	}
	if (rc)
		buf_truncate(out, before);
	return rc;
}
