#include "policy/graft.h"

#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "policy/canonical_put.h"

#define FLOW_MAX (8 * SESSION_TEXT_MAX)

static int key_order(const void *a, const void *b)
{
	const struct ynode *x = *(const struct ynode *const *)a, *y = *(const struct ynode *const *)b;
	size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
	int c = memcmp(x->key, y->key, n);

	return c ? c : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static void flow_map(const struct ynode *n, struct buf *out)
{
	const struct ynode **sorted = calloc(n->count + 1, sizeof *sorted);

	if (!sorted) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < n->count; i++)
		sorted[i] = n->items[i];
	qsort(sorted, n->count, sizeof *sorted, key_order);
	buf_putc(out, '{');
	for (size_t i = 0; i < n->count; i++) {
		canonical_comma(out);
		canonical_string(out, sorted[i]->key, sorted[i]->key_len);
		buf_putc(out, ':');
		ynode_flow(sorted[i], out);
	}
	buf_putc(out, '}');
	free(sorted);
}

void ynode_flow(const struct ynode *n, struct buf *out)
{
	if (n->kind == YNODE_MAP) {
		flow_map(n, out);
	} else if (n->kind == YNODE_LIST) {
		buf_putc(out, '[');
		for (size_t i = 0; i < n->count; i++) {
			canonical_comma(out);
			ynode_flow(n->items[i], out);
		}
		buf_putc(out, ']');
	} else if (ynode_null(n)) {
		buf_puts(out, "null");
	} else {
		canonical_string(out, n->text, n->len);
	}
}

static bool has_opening(const struct ynode *n)
{
	return n->kind == YNODE_SCALAR && (memmem(n->text, n->len, "$$SCONE::", 9) != NULL ||
						  memmem(n->text, n->len, "$$SCONECAS:", 11) != NULL);
}

static bool has_template(const struct ynode *n)
{
	if (has_opening(n))
		return true;
	for (size_t i = 0; i < n->count; i++)
		if (has_template(n->items[i]))
			return true;
	return false;
}

static void graft(struct parse *p, struct ynode *n, bool inside);

/* --- one scalar --- */

struct whole { /* the first template of a text */
	const char *name, *suffix;
	size_t len, slen, count;
};

static int note_template(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	struct whole *w = arg;

	(void)line;
	if (w->count++ == 0)
		*w = (struct whole){.name = name, .len = len, .suffix = suffix, .slen = slen, .count = 1};
	return 0;
}

bool template_is_all(const struct ynode *n, const char *name, size_t len)
{
	size_t opening = (size_t)(name - n->text);

	return n->len == opening + len + 2 && ((opening == 9 && !memcmp(n->text, "$$SCONE::", 9)) ||
						      (opening == 11 && !memcmp(n->text, "$$SCONECAS:", 11)));
}

static void set_text(struct parse *p, struct ynode *n, const void *text, size_t len)
{
	char *copy = parse_strdup(p, text, len);

	if (!copy)
		return;
	secret_wipe(n->text, n->len);
	free(n->text);
	n->text = copy;
	n->len = len;
	n->hidden = true;
	n->plain = false; /* what was put in is text, whatever it looks like */
}

/* The secrets that are known without asking anybody: explicit ones. */
static bool local_lookup(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const struct parse *p = arg;
	const struct secret_spec *s = find_secret(p, name, len);

	if (!s || !s->has_value ||
		(s->kind != SECRET_ASCII && s->kind != SECRET_BINARY && s->kind != SECRET_FRAGMENT))
		return false;
	*ret = (struct template_value){.kind = secret_kind_name(s->kind),
		.value = s->value.data ? (const void *)s->value.data : "",
		.len = s->value.len};
	return true;
}

static bool look_up(struct parse *p, const char *name, size_t len, struct template_value *ret)
{
	return local_lookup(p, name, len, ret) || (p->lookup && p->lookup(p->lookup_arg, name, len, ret));
}

static bool lookup_any(void *arg, const char *name, size_t len, struct template_value *ret)
{
	return look_up(arg, name, len, ret);
}

static void place_at(struct ynode *n, const struct ynode *at)
{
	n->line = at->line;
	n->column = at->column;
	n->key_line = at->line;
	n->key_column = at->column;
	for (size_t i = 0; i < n->count; i++)
		place_at(n->items[i], at);
}

/* The content of root, which is freed, becomes that of n. */
static void replace(struct ynode *n, struct ynode *root)
{
	secret_wipe(n->text, n->len);
	free(n->text);
	n->kind = root->kind;
	n->plain = root->plain;
	n->text = root->text;
	n->len = root->len;
	n->items = root->items;
	n->count = root->count;
	for (size_t i = 0; i < n->count; i++) {
		n->items[i]->parent = n;
		place_at(n->items[i], n);
	}
	root->text = NULL;
	root->len = 0;
	root->items = NULL;
	root->count = 0;
	ynode_free(root);
}

/* Another session's, which may have put secrets of its own into it. */
static void hide(struct ynode *n)
{
	n->hidden = true;
	for (size_t i = 0; i < n->count; i++)
		hide(n->items[i]);
}

static size_t count_nodes(const struct ynode *n)
{
	size_t total = 1;

	for (size_t i = 0; i < n->count; i++)
		total += count_nodes(n->items[i]);
	return total;
}

/* own: of this session. Another session's templates were replaced there. */
static void graft_fragment(struct parse *p, struct ynode *n, const struct template_value *v, bool own)
{
	struct ynode *root = NULL;
	struct diag d;

	diag_init(&d);
	if (yaml_load(v->value, v->len, &root, &d))
		root = NULL;
	if (!root || d.errors) {
		/* An explicit one was checked where it stands; an imported one is another session's business. */
		n->open = true;
		ynode_free(root);
	} else if ((p->grafted += count_nodes(root)) > YAML_NODES_MAX) {
		ynode_diag(p->d, n, "E-YAML",
			"the fragments of this session have more than %d nodes together", YAML_NODES_MAX);
		ynode_free(root);
	} else {
		replace(n, root);
		if (own)
			graft(p, n, true);
		else
			hide(n);
	}
	diag_free(&d);
}

/* Text with templates in it becomes text without. */
static void graft_text(struct parse *p, struct ynode *n)
{
	struct error err;
	struct buf b;

	buf_init_secret(&b, SESSION_TEXT_MAX);
	if (template_expand(n->text, n->len, lookup_any, p, true, &b, &err))
		n->open = true;
	else
		set_text(p, n, b.data ? (const void *)b.data : "", b.len);
	buf_free(&b);
}

static bool is_fragment(struct parse *p, const struct whole *w, struct template_value *ret)
{
	const struct secret_spec *s = find_secret(p, w->name, w->len);

	if (!s)
		return false;
	if (!s->imported || s->kind_known)
		return s->kind == SECRET_FRAGMENT;
	return look_up(p, w->name, w->len, ret) && !strcmp(ret->kind, "config-fragment");
}

/* Replace n, a scalar with a template, or mark it open. inside: of a fragment already. */
static void resolve_scalar(struct parse *p, struct ynode *n, bool inside)
{
	struct template_value v;
	struct whole w = {.count = 0};
	size_t errors = p->d->errors;
	struct error err;
	bool alone;

	if (template_each(n->text, n->len, true, note_template, &w, &err) < 0) {
		ynode_diag(p->d, n, "E-TEMPLATE", "%s", err.text);
		return;
	}
	if (w.count == 0)
		return;
	alone = w.count == 1 && w.slen == 0 && template_is_all(n, w.name, w.len);
	if (is_fragment(p, &w, &v)) {
		if (!alone)
			ynode_diag(p->d, n, "E-KIND",
				"%.*s is a config-fragment: its template stands alone, without a format",
				(int)w.len, w.name);
		else if (inside)
			ynode_diag(p->d, n, "E-TEMPLATE",
				"the fragment %.*s in another fragment; there is one level", (int)w.len,
				w.name);
		else if (!look_up(p, w.name, w.len, &v))
			n->open = true;
		else
			graft_fragment(p, n, &v, local_lookup(p, w.name, w.len, &v));
		return;
	}
	check_templates(p, n, n->text, n->len, true);
	if (p->d->errors == errors)
		graft_text(p, n);
}

static void graft_scalar(struct parse *p, struct ynode *n, bool inside)
{
	size_t errors = p->d->errors;

	resolve_scalar(p, n, inside);
	n->bad |= p->d->errors > errors;
}

/* --- the tree --- */

/* A list in a list where a template stood: its items in its place. */
static size_t splice(struct parse *p, struct ynode *list, size_t at)
{
	struct ynode *inner = list->items[at], **items;
	size_t count = list->count - 1 + inner->count, added = inner->count;

	items = calloc(count + 1, sizeof(struct ynode *));
	if (!items) {
		parse_nomem(p);
		return 1;
	}
	for (size_t i = 0; i < at; i++)
		items[i] = list->items[i];
	for (size_t i = 0; i < added; i++)
		items[at + i] = inner->items[i];
	for (size_t i = at + 1; i < list->count; i++)
		items[i - 1 + added] = list->items[i];
	for (size_t i = 0; i < count; i++) {
		items[i]->parent = list;
		items[i]->index = i;
	}
	free(list->items);
	list->items = items;
	list->count = count;
	free(inner->items);
	inner->items = NULL;
	inner->count = 0;
	ynode_free(inner);
	return added;
}

/* One item of a list or map; answers how many stand in its place then. */
static size_t graft_item(struct parse *p, struct ynode *parent, size_t at, bool inside)
{
	struct ynode *n = parent->items[at];

	if (!has_opening(n)) {
		graft(p, n, inside);
		return 1;
	}
	graft_scalar(p, n, inside);
	return n->kind == YNODE_LIST && parent->kind == YNODE_LIST ? splice(p, parent, at) : 1;
}

static void graft(struct parse *p, struct ynode *n, bool inside)
{
	for (size_t i = 0; i < n->count;)
		i += graft_item(p, n, i, inside);
}

void graft_templates(struct parse *p, const struct ynode *n, char **ret_written)
{
	struct ynode *root = (struct ynode *)n; /* the tree is this parse's own */
	struct buf b;

	if (!n || !has_template(n))
		return;
	buf_init_secret(&b, FLOW_MAX);
	ynode_flow(n, &b);
	if (b.failed)
		parse_nomem(p);
	else
		*ret_written = parse_strdup(p, (const char *)b.data, b.len);
	buf_free(&b);
	p->s->templated = true;
	if (root->kind == YNODE_SCALAR)
		graft_scalar(p, root, false);
	else
		graft(p, root, false);
}

static int expand_scalars(struct ynode *n, template_lookup lookup, void *arg, struct error *err)
{
	struct buf b;
	int rc = 0;

	for (size_t i = 0; i < n->count && !rc; i++)
		rc = expand_scalars(n->items[i], lookup, arg, err);
	if (rc || !has_opening(n))
		return rc;
	buf_init_secret(&b, SESSION_TEXT_MAX);
	rc = template_expand(n->text, n->len, lookup, arg, true, &b, err);
	if (!rc) {
		char *copy = malloc(b.len + 1);

		if (!copy) {
			rc = error_set(err, ERR_NOMEM, "out of memory");
		} else {
			memcpy(copy, b.data ? (const void *)b.data : "", b.len);
			copy[b.len] = '\0';
			free(n->text);
			n->text = copy;
			n->len = b.len;
			n->plain = false;
		}
	}
	buf_free(&b);
	return rc;
}

int fragment_expand(
	const void *p, size_t n, template_lookup lookup, void *arg, struct buf *out, struct error *err)
{
	struct ynode *root = NULL;
	struct diag d;
	int rc;

	diag_init(&d);
	if (yaml_load(p, n, &root, &d) || d.errors) {
		rc = error_set(err, ERR_INPUT, "the fragment is no YAML any more");
	} else {
		rc = expand_scalars(root, lookup, arg, err);
		if (!rc)
			ynode_flow(root, out);
		if (!rc && out->failed)
			rc = error_set(err, ERR_LIMIT,
				"the fragment is over %zu bytes with its templates replaced", out->max);
	}
	ynode_free(root);
	diag_free(&d);
	return rc;
}
