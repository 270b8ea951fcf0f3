#include "policy/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "core/secret.h"

struct loader {
	yaml_parser_t parser;
	const char *text;
	size_t text_len;
	struct diag *d;
	size_t nodes;
};

/* libyaml's marks count from 0. */
static int from_one(size_t n)
{
	return n < 0x7ffffffe ? (int)n + 1 : 0x7fffffff;
}

static void place_of_offset(const char *text, size_t n, size_t offset, int *ret_line, int *ret_column)
{
	int line = 1, column = 1;

	for (size_t i = 0; i < n && i < offset; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

static void report_parser(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	const char *problem = p->problem ? p->problem : "not well-formed";

	if (p->error == YAML_READER_ERROR) {
		int line, column;
		place_of_offset(l->text, l->text_len, p->problem_offset, &line, &column);
		if (p->problem_value != -1)
			diag_add(l->d, "E-YAML", "", line, column, "%s (value 0x%02x); UTF-8 text is wanted",
				problem, (unsigned)p->problem_value);
		else
			diag_add(l->d, "E-YAML", "", line, column, "%s; UTF-8 text is wanted", problem);
	} else if (p->error == YAML_MEMORY_ERROR) {
		diag_add(l->d, "E-INTERNAL", "", 0, 0, "out of memory");
	} else if (p->context) {
		diag_add(l->d, "E-YAML", "", from_one(p->problem_mark.line), from_one(p->problem_mark.column),
			"%s, %s (that began on line %d)", problem, p->context,
			from_one(p->context_mark.line));
	} else {
		diag_add(l->d, "E-YAML", "", from_one(p->problem_mark.line), from_one(p->problem_mark.column),
			"%s", problem);
	}
}

static bool next_event(struct loader *l, yaml_event_t *ev)
{
	if (yaml_parser_parse(&l->parser, ev))
		return true;
	report_parser(l);
	return false;
}

/* Scalars can be secrets. */
static void drop_event(yaml_event_t *ev)
{
	if (ev->type == YAML_SCALAR_EVENT)
		secret_wipe(ev->data.scalar.value, ev->data.scalar.length);
	yaml_event_delete(ev);
}

static char *copy_text(const void *p, size_t n)
{
	char *s = malloc(n + 1);

	if (s) {
		memcpy(s, p, n);
		s[n] = 0;
	}
	return s;
}

/* A new child of parent (NULL: the root), placed at the event. NULL: limit or memory, reported. */
static struct ynode *node_new(struct loader *l, struct ynode *parent, const yaml_event_t *ev)
{
	int line = from_one(ev->start_mark.line), column = from_one(ev->start_mark.column);
	struct ynode *n;

	if (++l->nodes > YAML_NODES_MAX) {
		diag_add(l->d, "E-YAML", "", line, column, "more than %d nodes", YAML_NODES_MAX);
		return NULL;
	}
	n = calloc(1, sizeof *n);
	if (!n)
		goto nomem;
	n->line = line;
	n->column = column;
	n->start = ev->start_mark.index;
	n->end = ev->end_mark.index;
	n->parent = parent;
	if (parent) {
		if ((parent->count & (parent->count - 1)) == 0) { /* full at each power of two */
			size_t cap = parent->count ? parent->count * 2 : 1;
			struct ynode **items = realloc(parent->items, cap * sizeof *items);
			if (!items)
				goto nomem;
			parent->items = items;
		}
		n->index = parent->count;
		parent->items[parent->count++] = n;
	}
	return n;
nomem:
	free(n);
	diag_add(l->d, "E-INTERNAL", "", line, column, "out of memory");
	return NULL;
}

static bool take_tag(struct loader *l, struct ynode *n, const yaml_char_t *tag)
{
	if (!tag)
		return true;
	if (strcmp((const char *)tag, "!cas") && strcmp((const char *)tag, "!akv")) {
		ynode_diag(l->d, n, "E-YAML",
			"tag %.64s: tags other than !cas and !akv have no place in a session",
			(const char *)tag);
		n->bad = n->kind == YNODE_SCALAR;
		return true;
	}
	n->tag = copy_text(tag, strlen((const char *)tag));
	return n->tag != NULL;
}

static void refuse_anchor(struct loader *l, const struct ynode *n, const yaml_char_t *anchor)
{
	if (anchor)
		ynode_diag(l->d, n, "E-YAML",
			"anchor &%.64s: anchors and aliases are not accepted, write the value out",
			(const char *)anchor);
}

static bool fill(struct loader *l, struct ynode *n, const yaml_event_t *ev, int depth);

static bool fill_list(struct loader *l, struct ynode *n, int depth)
{
	for (;;) {
		yaml_event_t ev;
		bool ok;

		if (!next_event(l, &ev))
			return false;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			n->end = ev.end_mark.index;
			drop_event(&ev);
			return true;
		}
		struct ynode *child = node_new(l, n, &ev);
		ok = child && fill(l, child, &ev, depth);
		drop_event(&ev);
		if (!ok)
			return false;
	}
}

/* A key that is a list or a map: read past it. */
static bool skip_complex_key(struct loader *l, const struct ynode *map, const yaml_event_t *ev, int depth)
{
	struct ynode *key = node_new(l, NULL, ev);
	bool ok = key && fill(l, key, ev, depth);

	if (ok)
		ynode_diag(l->d, map, "E-YAML", "the key on line %d is a %s; a key is a scalar", key->line,
			ynode_kind_name(key));
	ynode_free(key);
	return ok;
}

static bool take_key(struct loader *l, struct ynode *child, const yaml_event_t *ev)
{
	const char *value = (const char *)ev->data.scalar.value;

	if (++l->nodes > YAML_NODES_MAX) {
		diag_add(l->d, "E-YAML", "", from_one(ev->start_mark.line), 1, "more than %d nodes",
			YAML_NODES_MAX);
		return false;
	}
	child->key = copy_text(value, ev->data.scalar.length);
	if (!child->key) {
		diag_add(l->d, "E-INTERNAL", "", 0, 0, "out of memory");
		return false;
	}
	child->key_len = ev->data.scalar.length;
	child->key_line = from_one(ev->start_mark.line);
	child->key_column = from_one(ev->start_mark.column);
	refuse_anchor(l, child, ev->data.scalar.anchor);
	if (ev->data.scalar.tag)
		ynode_diag_key(
			l->d, child, "E-YAML", "tag %.64s on a key", (const char *)ev->data.scalar.tag);
	if (!strcmp(child->key, "<<") && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		ynode_diag_key(l->d, child, "E-YAML", "merge keys are not accepted, write the keys out");
		child->bad = true;
	}
	return true;
}

/* Equal keys next to each other, the first of the source first. */
static int key_order(const void *a, const void *b)
{
	const struct ynode *x = *(const struct ynode *const *)a, *y = *(const struct ynode *const *)b;
	int c;

	if (x->key_len != y->key_len)
		return x->key_len < y->key_len ? -1 : 1;
	c = memcmp(x->key, y->key, x->key_len);
	return c ? c : (x->index > y->index) - (x->index < y->index);
}

static bool check_duplicates(struct loader *l, const struct ynode *map)
{
	struct ynode **sorted = malloc((map->count + 1) * sizeof *sorted);

	if (!sorted) {
		diag_add(l->d, "E-INTERNAL", "", map->line, map->column, "out of memory");
		return false;
	}
	if (map->count)
		memcpy(sorted, map->items, map->count * sizeof *sorted);
	qsort(sorted, map->count, sizeof *sorted, key_order);
	for (size_t i = 1; i < map->count; i++) {
		const struct ynode *x = sorted[i - 1], *y = sorted[i];
		if (x->key_len == y->key_len && !memcmp(x->key, y->key, x->key_len))
			ynode_diag_key(l->d, y, "E-DUP", "the key stands on line %d already", x->key_line);
	}
	free(sorted);
	return true;
}

static bool fill_map(struct loader *l, struct ynode *n, int depth)
{
	for (;;) {
		yaml_event_t key, value;
		struct ynode *child;
		bool ok;

		if (!next_event(l, &key))
			return false;
		if (key.type == YAML_MAPPING_END_EVENT) {
			n->end = key.end_mark.index;
			drop_event(&key);
			return check_duplicates(l, n);
		}
		if (key.type != YAML_SCALAR_EVENT) {
			ok = skip_complex_key(l, n, &key, depth) && next_event(l, &value);
			if (ok) { /* its value is read for its own errors, under no key */
				child = node_new(l, NULL, &value);
				ok = child && fill(l, child, &value, depth);
				ynode_free(child);
				drop_event(&value);
			}
		} else {
			ok = next_event(l, &value);
			if (ok) {
				child = node_new(l, n, &value);
				ok = child && take_key(l, child, &key) && fill(l, child, &value, depth);
				drop_event(&value);
			}
		}
		drop_event(&key);
		if (!ok)
			return false;
	}
}

static bool fill_scalar(struct loader *l, struct ynode *n, const yaml_event_t *ev)
{
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = copy_text(ev->data.scalar.value, ev->data.scalar.length);
	if (!n->text)
		return false;
	n->len = ev->data.scalar.length;
	refuse_anchor(l, n, ev->data.scalar.anchor);
	return take_tag(l, n, ev->data.scalar.tag);
}

/* depth: number of lists and maps around n. */
static bool fill(struct loader *l, struct ynode *n, const yaml_event_t *ev, int depth)
{
	bool list = ev->type == YAML_SEQUENCE_START_EVENT;

	if (ev->type == YAML_ALIAS_EVENT) {
		n->bad = true;
		n->text = copy_text("", 0);
		ynode_diag(l->d, n, "E-YAML",
			"alias *%.64s: anchors and aliases are not accepted, write the value out",
			(const char *)ev->data.alias.anchor);
		return n->text != NULL;
	}
	if (ev->type == YAML_SCALAR_EVENT) {
		if (fill_scalar(l, n, ev))
			return true;
		diag_add(l->d, "E-INTERNAL", "", n->line, n->column, "out of memory");
		return false;
	}
	if (depth >= YAML_DEPTH_MAX) {
		diag_add(l->d, "E-YAML", "", n->line, n->column, "nested more than %d levels deep",
			YAML_DEPTH_MAX);
		return false;
	}
	n->kind = list ? YNODE_LIST : YNODE_MAP;
	refuse_anchor(l, n, list ? ev->data.sequence_start.anchor : ev->data.mapping_start.anchor);
	if (!take_tag(l, n, list ? ev->data.sequence_start.tag : ev->data.mapping_start.tag))
		return false;
	return list ? fill_list(l, n, depth + 1) : fill_map(l, n, depth + 1);
}

static struct ynode *load_root(struct loader *l)
{
	struct ynode *root = NULL;
	yaml_event_t ev;
	bool ok = true, end = false;

	while (ok && !end && next_event(l, &ev)) {
		switch (ev.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			ok = root == NULL;
			if (!ok)
				diag_add(l->d, "E-YAML", "", from_one(ev.start_mark.line), 1,
					"a second document begins here; a session is one document");
			break;
		case YAML_STREAM_END_EVENT:
			end = true;
			break;
		default:
			root = node_new(l, NULL, &ev);
			ok = root && fill(l, root, &ev, 0);
		}
		drop_event(&ev);
	}
	if (end && !root)
		diag_add(l->d, "E-YAML", "", 1, 1, "the document is empty");
	if (end && root)
		return root;
	ynode_free(root);
	return NULL;
}

size_t yaml_bom(const char *text, size_t n)
{
	return n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

int yaml_load(const char *text, size_t n, struct ynode **ret, struct diag *d)
{
	size_t bom = yaml_bom(text, n);
	struct loader l = {.text = text + bom, .text_len = n - bom, .d = d};
	struct ynode *root;

	if (n > YAML_TEXT_MAX) {
		diag_add(d, "E-YAML", "", 0, 0, "%zu bytes; at most %d are accepted", n, YAML_TEXT_MAX);
		return -1;
	}
	if (!yaml_parser_initialize(&l.parser)) {
		diag_add(d, "E-INTERNAL", "", 0, 0, "out of memory");
		return -1;
	}
	/* Said, not detected: libyaml would take UTF-16 with a byte order mark. */
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)l.text, l.text_len);
	root = load_root(&l);
	yaml_parser_delete(&l.parser);
	if (!root)
		return -1;
	*ret = root;
	return 0;
}

void ynode_free(struct ynode *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->count; i++)
		ynode_free(n->items[i]);
	free(n->items);
	if (n->text)
		secret_wipe(n->text, n->len);
	free(n->text);
	free(n->key);
	free(n->tag);
	free(n);
}

const struct ynode *ynode_get(const struct ynode *map, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; map && map->kind == YNODE_MAP && i < map->count; i++) {
		const struct ynode *c = map->items[i];
		if (c->key_len == len && !memcmp(c->key, key, len))
			return c;
	}
	return NULL;
}

bool ynode_null(const struct ynode *n)
{
	return n->kind == YNODE_SCALAR && n->plain && !n->tag &&
	       (n->len == 0 || !strcmp(n->text, "~") || !strcmp(n->text, "null"));
}

const char *ynode_kind_name(const struct ynode *n)
{
	if (n->kind == YNODE_MAP)
		return "map";
	if (n->kind == YNODE_LIST)
		return "list";
	return ynode_null(n) ? "null" : "scalar";
}

void ynode_path(const struct ynode *n, struct buf *out)
{
	if (!n->parent)
		return;
	ynode_path(n->parent, out);
	if (n->parent->kind == YNODE_LIST) {
		buf_printf(out, "[%zu]", n->index);
	} else {
		if (n->parent->parent)
			buf_putc(out, '.');
		buf_put(out, n->key, n->key_len < 128 ? n->key_len : 128);
	}
}

static void diag_at(struct diag *d, const struct ynode *n, int line, int column, const char *name,
	const char *fmt, va_list ap) __attribute__((format(printf, 6, 0)));

static void diag_at(struct diag *d, const struct ynode *n, int line, int column, const char *name,
	const char *fmt, va_list ap)
{
	char text[1024];
	struct buf path;

	vsnprintf(text, sizeof text, fmt, ap);
	buf_init(&path, 64 * 1024);
	ynode_path(n, &path);
	buf_putc(&path, 0);
	diag_add(d, name, path.failed || !path.data ? "" : (const char *)path.data, line, column, "%s", text);
	buf_free(&path);
}

void ynode_diag(struct diag *d, const struct ynode *n, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_at(d, n, n->line, n->column, name, fmt, ap);
	va_end(ap);
}

void ynode_diag_key(struct diag *d, const struct ynode *n, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_at(d, n, n->key ? n->key_line : n->line, n->key ? n->key_column : n->column, name, fmt, ap);
	va_end(ap);
}
