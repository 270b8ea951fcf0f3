/* What a crash has left, against the model; see model.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "model.h"

struct judge {
	struct model *m;
	struct volume *v;
	size_t cut;
	unsigned durable, last; /* operations: the last durable one, the last begun */
	uint64_t names;
	char seen[4000]; /* names, for the message */
	size_t seen_len;
};

static char complaint[6000];

__attribute__((format(printf, 2, 3))) static const char *wrong(const struct judge *j, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
	if (j && n > 0 && (size_t)n < sizeof(complaint) && j->last < j->m->op_count)
		(void)snprintf(complaint + n, sizeof(complaint) - (size_t)n,
			"; durable: %u (%s), begun: %u (%s)", j->durable, j->m->ops[j->durable].text, j->last,
			j->m->ops[j->last].text);
	return complaint;
}

/* Which operations a crash after `cut` device operations leaves possible. */
static void window(struct judge *j)
{
	for (unsigned i = 0; i < j->m->op_count; i++) {
		const struct model_op *o = &j->m->ops[i];

		if (o->durable && o->end <= j->cut)
			j->durable = i;
		if (o->begin < j->cut)
			j->last = i;
	}
	if (j->last < j->durable)
		j->last = j->durable;
}

static const struct model_node *node_of(const struct model *m, uint64_t ino, uint64_t gen)
{
	for (unsigned i = 0; i < m->node_count; i++)
		if (m->nodes[i].ino == ino && m->nodes[i].gen == gen)
			return &m->nodes[i];
	return NULL;
}

/* The last operation whose end made this file's content durable. */
static unsigned content_durable(const struct judge *j, const struct model_node *n)
{
	unsigned index = (unsigned)(n - j->m->nodes), found = 0;

	for (unsigned i = 0; i <= j->durable; i++) {
		const struct model_op *o = &j->m->ops[i];

		if (o->durable && o->end <= j->cut && (o->synced == UINT32_MAX || o->synced == index))
			found = i;
	}
	return found;
}

static bool block_is(const struct model_version *v, size_t at, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (at + i < v->size ? v->p[at + i] : 0))
			return false;
	return true;
}

static const char *check_content(struct judge *j, const struct model_node *n, const struct volume_attr *a)
{
	static uint8_t b[MODEL_SIZE];
	unsigned from = content_durable(j, n), low = 0, high = 0;
	bool size_ok = false;
	long got;

	for (unsigned i = 0; i < n->version_count; i++) {
		if (n->versions[i].op <= from)
			low = i;
		if (n->versions[i].op <= j->last)
			high = i;
	}
	for (unsigned i = low; i <= high; i++)
		size_ok = size_ok || n->versions[i].size == a->size;
	if (!size_ok)
		return wrong(j,
			"inode %" PRIu64 " has %" PRIu64
			" bytes, wanted %zu (version %u) to %zu (version %u)",
			a->ino, a->size, n->versions[low].size, low, n->versions[high].size, high);
	got = volume_read(j->v, a->ino, 0, b, sizeof(b));
	if (got != (long)a->size)
		return wrong(j, "read of inode %" PRIu64 ": %ld, wanted %" PRIu64 " (%s)", a->ino, got,
			a->size, volume_fault_text(j->v));
	for (size_t at = 0; at < a->size; at += VOLUME_BLOCK) {
		size_t k = a->size - at < VOLUME_BLOCK ? a->size - at : VOLUME_BLOCK;
		bool found = false;

		for (unsigned i = low; i <= high && !found; i++)
			found = block_is(&n->versions[i], at, b + at, k);
		if (!found)
			return wrong(j, "inode %" PRIu64 ", bytes from %zu on: of no version from %u to %u",
				a->ino, at, low, high);
	}
	return NULL;
}

static const char *xattrs_of(struct judge *j, uint64_t ino, uint64_t *ret)
{
	static char list[VOLUME_XATTR_TOTAL_MAX];
	static uint8_t value[VOLUME_XATTR_VALUE_MAX];
	long n = volume_xattr_list(j->v, ino, list, sizeof(list)), got;

	*ret = 0;
	if (n < 0)
		return wrong(j, "xattrs of inode %" PRIu64 ": %s (%s)", ino, strerror((int)-n),
			volume_fault_text(j->v));
	for (char *p = list; p < list + n; p += strlen(p) + 1) {
		got = volume_xattr_get(j->v, ino, p, strlen(p), value, sizeof(value));
		if (got < 0)
			return wrong(j, "xattr %s of inode %" PRIu64 ": %s", p, ino, strerror((int)-got));
		*ret += model_hash_xattr(p, value, (size_t)got);
	}
	return NULL;
}

static const char *walk(struct judge *j, uint64_t dir, uint64_t dir_gen, unsigned depth);

static const char *check_entry(
	struct judge *j, uint64_t dir, uint64_t dir_gen, const struct volume_dirent *e, unsigned depth)
{
	const struct model_node *n;
	struct volume_attr a;
	uint64_t xattr;
	const char *w;
	int rc = volume_lookup(j->v, dir, e->name, e->name_len, 0, &a), k;

	if (rc || a.ino != e->ino)
		return wrong(j, "lookup of %s in %" PRIu64 ": %s, inode %" PRIu64 ", listed %" PRIu64 " (%s)",
			e->name, dir, strerror(-rc), a.ino, e->ino, volume_fault_text(j->v));
	n = node_of(j->m, a.ino, a.gen);
	if (!n)
		return wrong(j, "%s is inode %" PRIu64 " of generation %" PRIu64 ", which never was", e->name,
			a.ino, a.gen);
	w = xattrs_of(j, a.ino, &xattr);
	if (w)
		return w;
	j->names += model_hash_entry(dir, dir_gen, e->name, a.ino, a.gen) +
		    model_hash_node(a.ino, a.gen, a.mode, a.nlink, xattr);
	k = snprintf(j->seen + j->seen_len, sizeof(j->seen) - j->seen_len,
		" %" PRIu64 "/%s=%" PRIu64 ".%" PRIu64 ",%o,%u", dir, e->name, a.ino, a.gen, a.mode, a.nlink);
	j->seen_len =
		k > 0 && j->seen_len + (size_t)k < sizeof(j->seen) ? j->seen_len + (size_t)k : j->seen_len;
	if (S_ISREG(a.mode))
		return check_content(j, n, &a);
	if (S_ISDIR(a.mode))
		return depth > 40 ? wrong(j, "directories 40 deep") : walk(j, a.ino, a.gen, depth + 1);
	return NULL;
}

static const char *walk(struct judge *j, uint64_t dir, uint64_t dir_gen, unsigned depth)
{
	struct volume_dirent e[32];
	uint64_t cookie = 0;
	const char *w;
	long n;

	while ((n = volume_readdir(j->v, dir, cookie, e, 32)) > 0) {
		for (long i = 0; i < n; i++) {
			if (!strcmp(e[i].name, ".") || !strcmp(e[i].name, ".."))
				continue;
			w = check_entry(j, dir, dir_gen, &e[i], depth);
			if (w)
				return w;
		}
		cookie = e[n - 1].cookie;
	}
	return n < 0 ? wrong(j, "readdir of %" PRIu64 ": %s (%s)", dir, strerror((int)-n),
			       volume_fault_text(j->v))
		     : NULL;
}

static const char *check_names(struct judge *j)
{
	struct volume_attr a;
	uint64_t xattr;
	const char *w;
	int rc = volume_getattr(j->v, VOLUME_ROOT, &a);

	if (rc)
		return wrong(j, "the root: %s (%s)", strerror(-rc), volume_fault_text(j->v));
	w = xattrs_of(j, a.ino, &xattr);
	w = w ? w : walk(j, a.ino, a.gen, 0);
	if (w)
		return w;
	j->names += model_hash_node(a.ino, a.gen, a.mode, 0, xattr);
	for (unsigned i = j->durable; i <= j->last; i++)
		if (j->m->ops[i].names == j->names)
			return NULL;
	return wrong(j, "names and attributes are those after no operation of the window:%s", j->seen);
}

/* A volume that came through can be written, and keeps what is written. */
static const char *use(struct judge *j, struct device *d)
{
	struct volume_new what = {.mode = S_IFREG | 0600};
	struct volume_verify_cursor cursor = {0};
	struct volume_version version;
	struct volume_attr a;
	char b[5] = "";
	int rc = volume_verify(j->v, &cursor, NULL, NULL);

	if (rc)
		return wrong(j, "verify: %s (%s)", strerror(-rc), volume_fault_text(j->v));
	rc = volume_make(j->v, VOLUME_ROOT, "after", 5, &what, 0, &a);
	if (rc == 0 && volume_write(j->v, a.ino, 100000, "alive", 5, 0, NULL) != 5)
		rc = -ENOSPC;
	rc = rc ? rc : volume_fsync(j->v, a.ino, false);
	if (rc)
		return wrong(j, "use: %s (%s)", strerror(-rc), volume_fault_text(j->v));
	volume_version_get(j->v, &version);
	volume_detach(j->v); /* killed: what was fsynced is there */
	j->v = NULL;
	rc = device_open(d, MODEL_SIZE, j->m->arena, j->m->arena_len, false, &version, &j->v, NULL);
	rc = rc ? rc : volume_lookup(j->v, VOLUME_ROOT, "after", 5, 0, &a);
	if (rc || volume_read(j->v, a.ino, 100000, b, 5) != 5 || memcmp(b, "alive", 5) != 0)
		return wrong(j, "second open: %s (%s)", strerror(-rc), d->first.text);
	rc = volume_close(j->v);
	j->v = NULL;
	return rc ? wrong(j, "close: %s", strerror(-rc)) : NULL;
}

const char *model_judge(struct model *m, struct device *d, size_t cut, bool full)
{
	struct judge j = {.m = m, .cut = cut};
	struct volume_open_report report;
	const char *w;
	int rc;

	window(&j);
	rc = device_open(
		d, MODEL_SIZE, m->arena, m->arena_len, !full, &m->ops[j.durable].version, &j.v, &report);
	if (rc)
		return wrong(&j, "open: %s (%s)", strerror(-rc), d->first.text);
	if (report.found.generation < m->ops[j.durable].version.generation)
		w = wrong(&j, "found generation %" PRIu64 ", published %" PRIu64, report.found.generation,
			m->ops[j.durable].version.generation);
	else
		w = check_names(&j);
	if (!w && full)
		w = use(&j, d);
	if (j.v)
		volume_detach(j.v);
	return w;
}
