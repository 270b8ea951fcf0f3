/* ftree_copy: one tree to another, so that it can be stopped and go on; see ftree.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/progress.h"
#include "cli/ftree.h"
#include "core/secret.h"

#define CHUNK ((size_t)1 << 20)
#define COMMIT_WEIGHT ((uint64_t)256 << 20) /* between commits */
#define ENTRY_WEIGHT 4096 /* an entry costs about as much as so many bytes */
#define XATTR_MAX 131072

/* First names of files with several. */
struct known {
	uint64_t dev, ino; /* in from; ino 0: free */
	uint64_t to_ino;
	char *path;
};

struct copy {
	struct ftree *from, *to;
	const struct ftree_copy_options *o;
	struct ftree_copy_result *result;
	struct progress progress;
	uint64_t seen; /* entries */
	uint64_t weight, committed; /* done, and done at the last commit */
	ftree_node *dirs; /* of to: the way down */
	size_t depth, cap;
	struct known *known;
	size_t known_count, known_cap;
	uint8_t *chunk;
	char *names;
	uint8_t *value;
};

static int failed(struct copy *c, struct ftree *t, int rc, const char *path, struct error *err)
{
	return t->ops->explain(t, rc, path, err);
}

/* --- files with several names --- */

static struct known *known_slot(struct known *table, size_t cap, uint64_t dev, uint64_t ino)
{
	size_t i = (size_t)((ino * 0x9e3779b97f4a7c15ull + dev) >> 7) & (cap - 1);

	while (table[i].ino && (table[i].ino != ino || table[i].dev != dev))
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static int known_grow(struct copy *c, struct error *err)
{
	size_t cap = c->known_cap ? c->known_cap * 2 : 1024;
	struct known *grown;

	if (c->known_count * 2 < c->known_cap)
		return 0;
	grown = calloc(cap, sizeof(*grown));
	if (!grown)
		return error_set(err, ERR_NOMEM, "no memory for %zu files with several names", cap);
	for (size_t i = 0; i < c->known_cap; i++)
		if (c->known[i].ino)
			*known_slot(grown, cap, c->known[i].dev, c->known[i].ino) = c->known[i];
	free(c->known);
	c->known = grown;
	c->known_cap = cap;
	return 0;
}

static int remember(
	struct copy *c, const char *path, const struct ftree_attr *a, uint64_t to_ino, struct error *err)
{
	struct known *k;

	if (a->nlink < 2)
		return 0;
	if (known_grow(c, err))
		return -1;
	k = known_slot(c->known, c->known_cap, a->dev, a->ino);
	*k = (struct known){a->dev, a->ino, to_ino, strdup(path)};
	if (!k->path)
		return error_set(err, ERR_NOMEM, "no memory");
	c->known_count++;
	return 0;
}

/* --- attributes --- */

/* Attributes that the copy has and the original has not. */
static int drop_xattrs(struct copy *c, ftree_node from, ftree_node to)
{
	long n = c->to->ops->xattr_list(c->to, to, c->names, XATTR_MAX);
	int rc = 0;

	for (long at = 0; at < n && rc == 0; at += (long)strlen(c->names + at) + 1) {
		const char *name = c->names + at;

		if (c->from->ops->xattr_get(c->from, from, name, c->value, XATTR_MAX) == -ENODATA)
			rc = c->to->ops->xattr_remove(c->to, to, name);
	}
	return n < 0 ? (int)n : rc;
}

static int copy_xattrs(struct copy *c, ftree_node from, ftree_node to)
{
	long n = c->from->ops->xattr_list(c->from, from, c->names, XATTR_MAX), got;
	int rc = 0;

	for (long at = 0; at < n && rc == 0; at += (long)strlen(c->names + at) + 1) {
		const char *name = c->names + at;

		if (!strcmp(name, FTREE_PARTIAL))
			continue;
		got = c->from->ops->xattr_get(c->from, from, name, c->value, XATTR_MAX);
		rc = got < 0 ? (int)got : c->to->ops->xattr_set(c->to, to, name, c->value, (size_t)got);
	}
	return n < 0 ? (int)n : rc ? rc : drop_xattrs(c, from, to);
}

/* Times last: an entry whose time is right is complete. */
static int copy_attributes(struct copy *c, ftree_node from, ftree_node to, const struct ftree_attr *a)
{
	int rc = c->to->ops->set_owner(c->to, to, a);

	if (rc == 0 && !S_ISLNK(a->mode))
		rc = c->to->ops->set_mode(c->to, to, a);
	if (rc == 0)
		rc = copy_xattrs(c, from, to);
	return rc ? rc : c->to->ops->set_times(c->to, to, a);
}

/* --- going on, and stopping --- */

static int commit(struct copy *c, struct error *err)
{
	int rc = c->to->ops->commit(c->to);

	if (rc)
		return failed(c, c->to, rc, "", err);
	c->committed = c->weight;
	return c->o->checkpoint ? c->o->checkpoint(c->o->ctx, c->seen, err) : 0;
}

static int advance(struct copy *c, uint64_t weight, struct error *err)
{
	c->weight += weight;
	progress_set(&c->progress, c->weight);
	if (stop_signal()) {
		c->result->signal = stop_signal();
		return error_set(err, ERR_CONFLICT, "stopped by signal %d; the same command goes on",
			c->result->signal);
	}
	return c->weight - c->committed < COMMIT_WEIGHT ? 0 : commit(c, err);
}

static bool complete(struct copy *c, const struct ftree_attr *a, const struct ftree_attr *b)
{
	return c->seen <= c->o->durable && a->mode == b->mode && a->mtime == b->mtime && a->rdev == b->rdev &&
	       (S_ISDIR(a->mode) || a->size == b->size);
}

/* --- content --- */

struct partial {
	uint64_t size, done;
	int64_t mtime;
};

/* Where to go on in a file that was stopped in the middle; 0: at the start. */
static uint64_t resume_at(struct copy *c, ftree_node to, const struct ftree_attr *a)
{
	struct partial p;

	if (c->to->ops->xattr_get(c->to, to, FTREE_PARTIAL, &p, sizeof(p)) != sizeof(p) ||
		p.size != a->size || p.mtime != a->mtime || p.done > a->size || c->seen > c->o->durable)
		return 0;
	return p.done;
}

/* One stretch of data, from off to end. */
static int copy_stretch(struct copy *c, ftree_node from, ftree_node to, uint64_t *off, uint64_t end,
	const struct ftree_attr *a, const char *path, struct error *err)
{
	while (*off < end) {
		size_t want = end - *off < CHUNK ? (size_t)(end - *off) : CHUNK;
		long got = c->from->ops->read(c->from, from, *off, c->chunk, want);
		bool large = a->size > COMMIT_WEIGHT;
		int rc;

		if (got < 0)
			return failed(c, c->from, (int)got, path, err);
		if (got == 0)
			return error_set(err, ERR_CONFLICT, "%s/%s became shorter while it was copied",
				c->from->name, path);
		rc = c->to->ops->write(c->to, to, *off, c->chunk, (size_t)got);
		if (rc)
			return failed(c, c->to, rc, path, err);
		*off += (uint64_t)got;
		if (large && (c->weight + (uint64_t)got - c->committed >= COMMIT_WEIGHT || stop_signal())) {
			struct partial p = {a->size, *off, a->mtime};

			(void)c->to->ops->xattr_set(c->to, to, FTREE_PARTIAL, &p, sizeof(p));
		}
		if (advance(c, (uint64_t)got, err))
			return -1;
	}
	return 0;
}

static int copy_content(struct copy *c, ftree_node from, ftree_node to, const struct ftree_attr *a,
	uint64_t off, const char *path, struct error *err)
{
	int rc = 0;

	while (off < a->size) {
		uint64_t start, end;

		rc = c->from->ops->data(c->from, from, off, &start, &end);
		if (rc == -ENXIO)
			break;
		if (rc)
			return failed(c, c->from, rc, path, err);
		c->weight += start > off ? start - off : 0;
		off = start;
		if (copy_stretch(c, from, to, &off, end < a->size ? end : a->size, a, path, err))
			return -1;
	}
	rc = c->to->ops->truncate(c->to, to, a->size);
	if (!rc) {
		rc = c->to->ops->xattr_remove(c->to, to, FTREE_PARTIAL);
		rc = rc == -ENODATA || rc == -EOPNOTSUPP ? 0 : rc;
	}
	return rc ? failed(c, c->to, rc, path, err) : 0;
}

static int copy_body(struct copy *c, ftree_node from_dir, ftree_node to_dir, const char *name,
	const char *path, const struct ftree_attr *a, struct error *err)
{
	bool regular = S_ISREG(a->mode);
	ftree_node from, to;
	int rc = c->from->ops->open(c->from, from_dir, name, a, false, &from);

	if (rc)
		return failed(c, c->from, rc, path, err);
	rc = c->to->ops->open(c->to, to_dir, name, a, true, &to);
	if (rc) {
		c->from->ops->close(c->from, from);
		return failed(c, c->to, rc, path, err);
	}
	if (regular) {
		uint64_t off = resume_at(c, to, a);

		c->weight += off;
		rc = copy_content(c, from, to, a, off, path, err);
	}
	if (rc == 0) {
		rc = copy_attributes(c, from, to, a);
		if (rc)
			rc = failed(c, c->to, rc, path, err);
	}
	c->from->ops->close(c->from, from);
	c->to->ops->close(c->to, to);
	return rc;
}

/* --- entries --- */

static ftree_node top(const struct copy *c)
{
	return c->dirs[c->depth - 1];
}

/* Take away what stands in the way of a: everything but a regular file that may be gone on with. */
static int make_way(struct copy *c, const char *name, const struct ftree_attr *there,
	const struct ftree_attr *a, bool *ret_there)
{
	ftree_node node;
	uint64_t off = 0;
	int rc;

	*ret_there = false;
	if (S_ISREG(there->mode) && S_ISREG(a->mode) && there->nlink == 1 &&
		c->to->ops->open(c->to, top(c), name, there, true, &node) == 0) {
		off = resume_at(c, node, a);
		rc = off ? 0 : c->to->ops->remove(c->to, top(c), name, false);
		c->to->ops->close(c->to, node);
		*ret_there = off > 0;
		return rc;
	}
	return c->to->ops->remove(c->to, top(c), name, S_ISDIR(there->mode));
}

static int make_entry(struct copy *c, ftree_node dir, const char *name, const struct ftree_attr *a)
{
	char target[4097];
	int rc = 0;

	if (S_ISLNK(a->mode))
		rc = c->from->ops->readlink(c->from, dir, name, target, sizeof(target));
	return rc ? rc : c->to->ops->make(c->to, top(c), name, a, S_ISLNK(a->mode) ? target : NULL);
}

static int finish_entry(struct copy *c, const char *name, const char *path, const struct ftree_attr *a,
	struct ftree_total *total, struct error *err)
{
	struct ftree_attr made;
	int rc = a->nlink > 1 ? c->to->ops->lookup(c->to, top(c), name, &made) : 0;

	if (rc)
		return failed(c, c->to, rc, path, err);
	total->entries++;
	total->bytes += S_ISREG(a->mode) ? a->size : 0;
	return a->nlink > 1 ? remember(c, path, a, made.ino, err) : 0;
}

/* A further name of a file that is there already. */
static int copy_link(struct copy *c, const struct known *k, const char *name, const char *path,
	const struct ftree_attr *there, struct error *err)
{
	int rc = 0;

	if (there && there->ino == k->to_ino) {
		c->result->kept.entries++;
		return 0;
	}
	if (there)
		rc = c->to->ops->remove(c->to, top(c), name, S_ISDIR(there->mode));
	if (rc == 0)
		rc = c->to->ops->link(c->to, k->path, top(c), name);
	c->result->copied.entries++;
	return rc ? failed(c, c->to, rc, path, err) : 0;
}

static int copy_entry(void *ctx, ftree_node dir, const char *name, const char *path,
	const struct ftree_attr *a, struct error *err)
{
	struct copy *c = ctx;
	const struct known *k =
		a->nlink > 1 && c->known_cap ? known_slot(c->known, c->known_cap, a->dev, a->ino) : NULL;
	struct ftree_attr there;
	bool resumed = false;
	int rc = c->to->ops->lookup(c->to, top(c), name, &there);
	bool exists = rc == 0;

	c->seen++;
	if (rc && rc != -ENOENT)
		return failed(c, c->to, rc, path, err);
	if (S_ISSOCK(a->mode))
		return advance(c, ENTRY_WEIGHT, err); /* belongs to a running process */
	if (k && k->ino)
		return copy_link(c, k, name, path, exists ? &there : NULL, err) ||
				       advance(c, ENTRY_WEIGHT, err)
			       ? -1
			       : 0;
	if (exists && complete(c, a, &there))
		return finish_entry(c, name, path, a, &c->result->kept, err) ||
				       advance(c, ENTRY_WEIGHT + (S_ISREG(a->mode) ? a->size : 0), err)
			       ? -1
			       : 0;
	rc = exists ? make_way(c, name, &there, a, &resumed) : 0;
	if (rc)
		return failed(c, c->to, rc, path, err);
	rc = resumed ? 0 : make_entry(c, dir, name, a);
	if (rc)
		return failed(c, c->to, rc, path, err);
	if (copy_body(c, dir, top(c), name, path, a, err) ||
		finish_entry(c, name, path, a, &c->result->copied, err))
		return -1;
	return advance(c, ENTRY_WEIGHT, err);
}

static int open_directory(struct copy *c, const char *name, const struct ftree_attr *a, ftree_node *ret)
{
	struct ftree_attr there, open_mode = {.mode = S_IFDIR | 0700};
	int rc;

	if (!*name)
		return c->to->ops->root(c->to, ret);
	rc = c->to->ops->lookup(c->to, top(c), name, &there);
	if (rc == 0 && !S_ISDIR(there.mode)) {
		rc = c->to->ops->remove(c->to, top(c), name, false);
		rc = rc ? rc : -ENOENT;
	}
	if (rc == -ENOENT)
		rc = c->to->ops->make(c->to, top(c), name, a, NULL);
	if (rc == 0)
		rc = c->to->ops->open(c->to, top(c), name, a, false, ret);
	/* A directory that its owner may not write into gets its mode when it is complete. */
	if (rc == 0 && (a->mode & 0700) != 0700)
		(void)c->to->ops->set_mode(c->to, *ret, &open_mode);
	return rc;
}

static int enter(void *ctx, ftree_node node, const char *name, const char *path, const struct ftree_attr *a,
	struct error *err)
{
	struct copy *c = ctx;
	size_t cap = c->cap ? c->cap * 2 : 32;
	ftree_node *grown, to;
	int rc;

	c->seen++;
	if (c->depth == c->cap) {
		grown = realloc(c->dirs, cap * sizeof(*grown));
		if (!grown)
			return error_set(err, ERR_NOMEM, "no memory for directories %zu deep", c->depth);
		c->dirs = grown;
		c->cap = cap;
	}
	rc = open_directory(c, name, a, &to);
	if (rc)
		return failed(c, c->to, rc, path, err);
	c->dirs[c->depth++] = to;
	return 0;
}

/* Names that are only in the copy: what has gone from the original since the copy was stopped. */
static int remove_others(struct copy *c, ftree_node node, const char *path, struct error *err)
{
	struct ftree_attr a, there;
	struct buf names;
	int rc;

	buf_init(&names, (size_t)1 << 32);
	rc = c->to->ops->list(c->to, top(c), &names);
	for (size_t at = 0; rc == 0 && at < names.len;) {
		const char *name = (const char *)names.data + at;

		at += strlen(name) + 1;
		if ((c->depth == 1 && c->o->skip && !strcmp(name, c->o->skip)) ||
			c->from->ops->lookup(c->from, node, name, &a) != -ENOENT)
			continue;
		rc = c->to->ops->lookup(c->to, top(c), name, &there);
		if (rc == 0)
			rc = c->to->ops->remove(c->to, top(c), name, S_ISDIR(there.mode));
	}
	buf_free(&names);
	return rc ? failed(c, c->to, rc, path, err) : 0;
}

static int leave(void *ctx, ftree_node node, const char *path, const struct ftree_attr *a, struct error *err)
{
	struct copy *c = ctx;
	int rc;

	if (remove_others(c, node, path, err))
		return -1;
	rc = copy_attributes(c, node, top(c), a);
	if (rc)
		return failed(c, c->to, rc, path, err);
	c->to->ops->close(c->to, top(c));
	c->depth--;
	c->result->copied.entries++;
	return advance(c, ENTRY_WEIGHT, err);
}

static void release(struct copy *c)
{
	while (c->depth)
		c->to->ops->close(c->to, c->dirs[--c->depth]);
	for (size_t i = 0; i < c->known_cap; i++)
		free(c->known[i].path);
	free(c->known);
	free(c->dirs);
	if (c->chunk)
		secret_wipe(c->chunk, CHUNK);
	free(c->chunk);
	free(c->names);
	free(c->value);
}

int ftree_copy(struct ftree *from, struct ftree *to, const struct ftree_copy_options *o,
	struct ftree_copy_result *ret, struct error *err)
{
	struct copy c = {.from = from, .to = to, .o = o, .result = ret};
	struct ftree_visitor v = {.ctx = &c, .enter = enter, .leave = leave, .entry = copy_entry};
	int rc;

	*ret = (struct ftree_copy_result){0};
	c.chunk = malloc(CHUNK);
	c.names = malloc(XATTR_MAX);
	c.value = malloc(XATTR_MAX);
	if (!c.chunk || !c.names || !c.value) {
		release(&c);
		return error_set(err, ERR_NOMEM, "no memory");
	}
	progress_begin(&c.progress, o->what, o->total.bytes + o->total.entries * ENTRY_WEIGHT);
	rc = ftree_walk(from, o->skip, &v, err);
	/* What is done so far is worth keeping, whatever stopped the rest. */
	if (rc == 0)
		rc = commit(&c, err);
	else if (ret->signal)
		(void)commit(&c, NULL);
	progress_end(&c.progress);
	release(&c);
	return rc;
}
