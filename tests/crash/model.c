#include "model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- hashes: sums of them do not depend on an order --- */

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	h ^= h >> 29;
	return h * 0xbf58476d1ce4e5b9ull;
}

uint64_t model_hash_entry(uint64_t dir, uint64_t dir_gen, const char *name, uint64_t ino, uint64_t gen)
{
	uint64_t k[4] = {dir, dir_gen, ino, gen};

	return hash(hash(1, k, sizeof(k)), name, strlen(name));
}

uint64_t model_hash_node(uint64_t ino, uint64_t gen, uint32_t mode, uint32_t nlink, uint64_t xattr)
{
	uint64_t k[5] = {ino, gen, mode, S_ISDIR(mode) ? 0 : nlink, xattr};

	return hash(2, k, sizeof(k));
}

uint64_t model_hash_xattr(const char *name, const void *value, size_t n)
{
	return hash(hash(3, name, strlen(name)), value, n);
}

static uint64_t xattr_sum(const struct model_node *n)
{
	uint64_t sum = 0;

	for (int i = 0; i < 4; i++)
		sum += n->xattrs[i].name[0] ? n->xattrs[i].hash : 0;
	return sum;
}

static uint64_t names_sum(const struct model *m)
{
	const struct model_node *root = &m->nodes[0];
	uint64_t sum = model_hash_node(root->ino, root->gen, root->mode, 0, xattr_sum(root));

	for (unsigned i = 0; i < m->entry_count; i++) {
		const struct model_entry *e = &m->entries[i];
		const struct model_node *d = &m->nodes[e->dir], *n = &m->nodes[e->node];

		sum += model_hash_entry(d->ino, d->gen, e->name, n->ino, n->gen);
		/* Once for each name; the judge does the same. */
		sum += model_hash_node(n->ino, n->gen, n->mode, n->nlink, xattr_sum(n));
	}
	return sum;
}

/* --- operations --- */

static void *grow(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		abort();
	return p;
}

__attribute__((format(printf, 2, 3))) static struct model_op *begin(struct model *m, const char *fmt, ...)
{
	struct model_op *o;
	va_list ap;

	if (m->op_count == m->op_cap) {
		m->op_cap = m->op_cap ? 2 * m->op_cap : 256;
		m->ops = grow(m->ops, m->op_cap * sizeof(*m->ops));
	}
	o = &m->ops[m->op_count];
	*o = (struct model_op){.begin = m->device.op_count, .synced = UINT32_MAX};
	va_start(ap, fmt);
	(void)vsnprintf(o->text, sizeof(o->text), fmt, ap);
	va_end(ap);
	return o;
}

static void done(struct model *m, long rc)
{
	struct model_op *o = &m->ops[m->op_count++];

	if (rc < 0) {
		printf("not ok %s: %s (%s)\n", o->text, strerror((int)-rc),
			m->v ? volume_fault_text(m->v) : "");
		exit(1);
	}
	o->end = m->device.op_count;
	o->names = names_sum(m);
}

/* A new version of a file's content; the op in progress makes it. */
static struct model_version *version(struct model *m, unsigned node, size_t size)
{
	struct model_node *n = &m->nodes[node];
	const struct model_version *old = n->version_count ? &n->versions[n->version_count - 1] : NULL;
	struct model_version v = {.op = m->op_count, .size = size, .p = calloc(1, size ? size : 1)};

	if (!v.p)
		abort();
	if (old)
		memcpy(v.p, old->p, old->size < size ? old->size : size);
	n->versions = grow(n->versions, (n->version_count + 1) * sizeof(v));
	n->versions[n->version_count] = v;
	return &n->versions[n->version_count++];
}

size_t model_size(const struct model *m, unsigned node)
{
	const struct model_node *n = &m->nodes[node];

	return n->version_count ? n->versions[n->version_count - 1].size : 0;
}

static struct model_entry *entry(struct model *m, unsigned dir, const char *name)
{
	for (unsigned i = 0; i < m->entry_count; i++)
		if (m->entries[i].dir == dir && !strcmp(m->entries[i].name, name))
			return &m->entries[i];
	return NULL;
}

static void add_entry(struct model *m, unsigned dir, const char *name, unsigned node)
{
	struct model_entry *e;

	if (m->entry_count == m->entry_cap) {
		m->entry_cap = m->entry_cap ? 2 * m->entry_cap : 256;
		m->entries = grow(m->entries, m->entry_cap * sizeof(*m->entries));
	}
	e = &m->entries[m->entry_count++];
	*e = (struct model_entry){.dir = dir, .node = node};
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	m->nodes[node].nlink++;
}

static void drop_entry(struct model *m, struct model_entry *e)
{
	m->nodes[e->node].nlink--;
	*e = m->entries[--m->entry_count];
}

unsigned model_make(struct model *m, unsigned dir, const char *name, uint32_t mode)
{
	struct volume_new what = {
		.mode = mode, .uid = 1000, .gid = 1000, .target = "to/where", .target_len = 8};
	unsigned node = m->node_count++;
	struct volume_attr a = {0};
	int rc;

	if (node >= MODEL_NODES)
		abort();
	begin(m, "make %s in %u as %u", name, dir, node);
	rc = volume_make(m->v, m->nodes[dir].ino, name, strlen(name), &what, 0, &a);
	m->nodes[node] = (struct model_node){.ino = a.ino, .gen = a.gen, .mode = mode, .dir = dir};
	add_entry(m, dir, name, node);
	if (S_ISREG(mode))
		(void)version(m, node, 0);
	done(m, rc);
	return node;
}

void model_write(struct model *m, unsigned node, size_t off, size_t n)
{
	struct model_version *v;
	size_t size = model_size(m, node);
	uint8_t seed;
	long rc;

	begin(m, "write %zu+%zu to %u", off, n, node);
	v = version(m, node, off + n > size ? off + n : size);
	seed = (uint8_t)device_next(&m->random);
	for (size_t i = 0; i < n; i++)
		v->p[off + i] = (uint8_t)(seed + i * 7 + (i >> 8)) | 1;
	rc = volume_write(m->v, m->nodes[node].ino, off, v->p + off, n, 0, NULL);
	done(m, rc == (long)n ? 0 : rc < 0 ? rc : -ENOSPC);
}

void model_truncate(struct model *m, unsigned node, size_t size)
{
	begin(m, "truncate %u to %zu", node, size);
	(void)version(m, node, size);
	done(m, volume_truncate(m->v, m->nodes[node].ino, size));
}

void model_punch(struct model *m, unsigned node, size_t off, size_t n)
{
	struct model_version *v;

	begin(m, "punch %zu+%zu in %u", off, n, node);
	v = version(m, node, model_size(m, node));
	if (off < v->size)
		memset(v->p + off, 0, v->size - off < n ? v->size - off : n);
	done(m, volume_fallocate(m->v, m->nodes[node].ino, off, n, VOLUME_FALLOC_PUNCH_HOLE));
}

void model_link(struct model *m, unsigned node, unsigned dir, const char *name)
{
	begin(m, "link %u as %s in %u", node, name, dir);
	add_entry(m, dir, name, node);
	done(m, volume_link(m->v, m->nodes[node].ino, m->nodes[dir].ino, name, strlen(name)));
}

void model_unlink(struct model *m, unsigned dir, const char *name)
{
	struct model_entry *e = entry(m, dir, name);
	bool directory = S_ISDIR(m->nodes[e->node].mode);

	begin(m, "unlink %s in %u", name, dir);
	drop_entry(m, e);
	done(m, directory ? volume_rmdir(m->v, m->nodes[dir].ino, name, strlen(name))
			  : volume_unlink(m->v, m->nodes[dir].ino, name, strlen(name)));
}

void model_rename(struct model *m, unsigned from_dir, const char *from, unsigned to_dir, const char *to)
{
	struct model_entry *there = entry(m, to_dir, to);
	unsigned node = entry(m, from_dir, from)->node;

	begin(m, "rename %s in %u to %s in %u", from, from_dir, to, to_dir);
	if (!there || there->node != node) {
		if (there)
			drop_entry(m, there);
		drop_entry(m, entry(m, from_dir, from));
		add_entry(m, to_dir, to, node);
		m->nodes[node].dir = to_dir;
	}
	done(m, volume_rename(m->v, m->nodes[from_dir].ino, from, strlen(from), m->nodes[to_dir].ino, to,
			strlen(to), 0));
}

void model_chmod(struct model *m, unsigned node, uint32_t mode)
{
	struct volume_attr a = {.mode = mode};

	begin(m, "chmod %u to %o", node, mode);
	m->nodes[node].mode = (m->nodes[node].mode & S_IFMT) | mode;
	done(m, volume_setattr(m->v, m->nodes[node].ino, VOLUME_SET_MODE, &a));
}

void model_xattr(struct model *m, unsigned node, const char *name, const void *value, size_t n)
{
	struct model_node *x = &m->nodes[node];
	int i = 0;

	while (i < 3 && x->xattrs[i].name[0] && strcmp(x->xattrs[i].name, name) != 0)
		i++;
	begin(m, "xattr %s of %u, %zu bytes", name, node, n);
	(void)snprintf(x->xattrs[i].name, sizeof(x->xattrs[i].name), "%s", name);
	x->xattrs[i].hash = model_hash_xattr(name, value, n);
	done(m, volume_xattr_set(m->v, x->ino, name, strlen(name), value, n, 0));
}

void model_hold(struct model *m, unsigned node)
{
	begin(m, "hold %u", node);
	m->nodes[node].held++;
	done(m, volume_hold(m->v, m->nodes[node].ino, m->nodes[node].gen));
}

void model_release(struct model *m, unsigned node)
{
	begin(m, "release %u", node);
	m->nodes[node].held--;
	done(m, volume_release(m->v, m->nodes[node].ino, 1));
}

void model_fsync(struct model *m, unsigned node)
{
	struct model_op *o = begin(m, "fsync %u", node);
	int rc = volume_fsync(m->v, m->nodes[node].ino, false);

	o->durable = true;
	o->synced = node;
	volume_version_get(m->v, &o->version);
	done(m, rc);
}

void model_commit(struct model *m)
{
	struct model_op *o = begin(m, "commit");
	int rc = volume_commit(m->v);

	o->durable = true;
	volume_version_get(m->v, &o->version);
	done(m, rc);
}

void model_close(struct model *m)
{
	struct model_op *o = begin(m, "close");
	struct volume *v = m->v;
	int rc = volume_commit(v);

	o->durable = true;
	volume_version_get(v, &o->version);
	m->v = NULL;
	rc = volume_close(v) ? -EIO : rc;
	done(m, rc);
}

/* --- life --- */

void model_begin(struct model *m, uint64_t seed, uint64_t log_bytes)
{
	struct volume_create_options o = {
		.size = MODEL_SIZE, .label = "crash", .root_mode = 0755, .log_bytes = log_bytes};
	struct volume_limits l = {MODEL_SIZE, VOLUME_CACHE_MIN, 1024};
	struct volume_version version;
	struct volume_attr a;
	struct volume_env env;
	int rc;

	memset(m, 0, sizeof(*m));
	m->random = seed * 77 | 1;
	device_init(&m->device, seed);
	env = device_env(&m->device);
	m->arena = device_arena(&l, &m->arena_len);
	rc = volume_create(&env, device_key, &o, &version);
	rc = rc ? rc : device_open(&m->device, MODEL_SIZE, m->arena, m->arena_len, false, NULL, &m->v, NULL);
	rc = rc ? rc : volume_getattr(m->v, VOLUME_ROOT, &a);
	rc = rc ? rc : volume_commit(m->v);
	if (rc) {
		printf("not ok a new volume: %s (%s)\n", strerror(-rc), m->device.first.text);
		exit(1);
	}
	m->nodes[0] = (struct model_node){.ino = a.ino, .gen = a.gen, .mode = a.mode};
	m->node_count = 1;
	m->device.recording = true;
	model_commit(m);
}

void model_end(struct model *m)
{
	if (m->v)
		volume_detach(m->v);
	for (unsigned i = 0; i < m->node_count; i++) {
		for (unsigned k = 0; k < m->nodes[i].version_count; k++)
			free(m->nodes[i].versions[k].p);
		free(m->nodes[i].versions);
	}
	free(m->entries);
	free(m->ops);
	device_arena_free(m->arena, m->arena_len);
	device_free(&m->device);
}
