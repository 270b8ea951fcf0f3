/* ftree_walk: visiting every entry of a tree; see ftree.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/ftree.h"

#define NAMES_MAX ((size_t)1 << 32) /* bytes of names in one directory */
#define PATH_LENGTH_MAX 65536

struct frame {
	ftree_node node;
	struct ftree_attr attr;
	struct buf names;
	size_t at; /* of the next name */
	size_t path_len; /* of this directory */
};

struct walk {
	struct ftree *t;
	const struct ftree_visitor *v;
	const char *skip;
	struct frame *frames;
	size_t depth, cap;
	struct buf path;
};

static const char *path_of(struct walk *w, size_t len)
{
	buf_truncate(&w->path, len);
	return buf_cstr(&w->path);
}

/* name in the directory of the top frame. NULL: too long, or no memory. */
static const char *path_with(struct walk *w, const char *name)
{
	buf_truncate(&w->path, w->depth ? w->frames[w->depth - 1].path_len : 0);
	if (w->path.len)
		buf_putc(&w->path, '/');
	buf_puts(&w->path, name);
	return buf_cstr(&w->path);
}

static int push(
	struct walk *w, ftree_node node, const char *name, const struct ftree_attr *a, struct error *err)
{
	size_t cap = w->cap ? w->cap * 2 : 32;
	struct frame *grown = w->frames, *f;
	int rc;

	if (w->depth == w->cap) {
		grown = realloc(w->frames, cap * sizeof(*grown));
		if (!grown) {
			w->t->ops->close(w->t, node);
			return error_set(err, ERR_NOMEM, "no memory for directories %zu deep", w->depth);
		}
		w->frames = grown;
		w->cap = cap;
	}
	f = &w->frames[w->depth];
	*f = (struct frame){.node = node, .attr = *a, .path_len = w->path.len};
	buf_init(&f->names, NAMES_MAX);
	w->depth++;
	rc = w->t->ops->list(w->t, node, &f->names);
	if (rc)
		return w->t->ops->explain(w->t, rc, path_of(w, f->path_len), err);
	return w->v->enter ? w->v->enter(w->v->ctx, node, name, path_of(w, f->path_len), a, err) : 0;
}

static void pop(struct walk *w)
{
	struct frame *f = &w->frames[--w->depth];

	w->t->ops->close(w->t, f->node);
	buf_free(&f->names);
}

static int visit(struct walk *w, ftree_node dir, const char *name, struct error *err)
{
	const char *path = path_with(w, name);
	struct ftree_attr a;
	ftree_node node;
	int rc;

	if (!path)
		return error_set(
			err, ERR_LIMIT, "%s: a path has more than %d bytes", w->t->name, PATH_LENGTH_MAX);
	rc = w->t->ops->lookup(w->t, dir, name, &a);
	if (rc)
		return w->t->ops->explain(w->t, rc, path, err);
	if (!S_ISDIR(a.mode))
		return w->v->entry ? w->v->entry(w->v->ctx, dir, name, path, &a, err) : 0;
	rc = w->t->ops->open(w->t, dir, name, &a, false, &node);
	return rc ? w->t->ops->explain(w->t, rc, path, err) : push(w, node, name, &a, err);
}

static int step(struct walk *w, struct error *err)
{
	struct frame *f = &w->frames[w->depth - 1];
	const char *name = (const char *)f->names.data + f->at;
	int rc = 0;

	if (f->at < f->names.len) {
		f->at += strlen(name) + 1;
		if (w->depth == 1 && w->skip && !strcmp(name, w->skip))
			return 0;
		return visit(w, f->node, name, err);
	}
	if (w->v->leave)
		rc = w->v->leave(w->v->ctx, f->node, path_of(w, f->path_len), &f->attr, err);
	pop(w);
	return rc;
}

int ftree_walk(struct ftree *t, const char *skip, const struct ftree_visitor *v, struct error *err)
{
	struct walk w = {.t = t, .v = v, .skip = skip};
	struct ftree_attr a;
	ftree_node root;
	int rc;

	buf_init(&w.path, PATH_LENGTH_MAX);
	rc = t->ops->root(t, &root);
	if (rc == 0) {
		rc = t->ops->lookup(t, root, "", &a);
		if (rc)
			t->ops->close(t, root);
	}
	rc = rc ? t->ops->explain(t, rc, "", err) : push(&w, root, "", &a, err);
	while (rc == 0 && w.depth)
		rc = step(&w, err);
	while (w.depth)
		pop(&w);
	free(w.frames);
	buf_free(&w.path);
	return rc;
}

static int count_entry(void *ctx, ftree_node dir, const char *name, const char *path,
	const struct ftree_attr *a, struct error *err)
{
	struct ftree_total *total = ctx;

	total->entries++;
	if (S_ISREG(a->mode))
		total->bytes += a->size;
	return 0;
}

static int count_directory(void *ctx, ftree_node node, const char *name, const char *path,
	const struct ftree_attr *a, struct error *err)
{
	((struct ftree_total *)ctx)->entries++;
	return 0;
}

int ftree_count(struct ftree *t, const char *skip, struct ftree_total *ret, struct error *err)
{
	struct ftree_visitor v = {.ctx = ret, .enter = count_directory, .entry = count_entry};

	*ret = (struct ftree_total){0};
	return ftree_walk(t, skip, &v, err);
}
