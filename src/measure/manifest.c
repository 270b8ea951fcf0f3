#include <stdlib.h>
#include <string.h>
#include "measure/measure.h"

#define PATH_LIMIT 4096

const char *code_role_name(enum code_role role)
{
	switch (role) {
	case CODE_PROGRAM:
		return "program";
	case CODE_SCRIPT:
		return "script";
	case CODE_INTERP:
		return "interpreter";
	case CODE_LIBRARY:
		return "library";
	case CODE_EXECUTABLE:
		return "executable";
	}
	return "unknown";
}

void manifest_init(struct manifest *m)
{
	*m = (struct manifest){0};
}

void manifest_free(struct manifest *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->entries[i].path);
	free(m->entries);
	manifest_init(m);
}

/* The smallest power of two with room for n. */
static size_t capacity(size_t n)
{
	size_t cap = 1;
	while (cap < n)
		cap *= 2;
	return cap;
}

static int reserve(struct manifest *m, size_t n, struct error *err)
{
	size_t cap = capacity(n);
	if (m->count && capacity(m->count) >= cap)
		return 0;
	struct code_entry *grown = realloc(m->entries, cap * sizeof(*grown));
	if (!grown)
		return error_set(err, ERR_NOMEM, "no memory for %zu manifest entries", cap);
	m->entries = grown;
	return 0;
}

int manifest_add(struct manifest *m, enum code_role role, const char *path, const uint8_t digest[SHA256_LEN],
	struct error *err)
{
	size_t len = strlen(path);
	if (role < CODE_PROGRAM || role > CODE_EXECUTABLE)
		return error_set(err, ERR_INPUT, "manifest: role is %d, wanted 1 to 5", (int)role);
	if (path[0] != '/')
		return error_set(err, ERR_INPUT, "manifest: path \"%.200s\" is not absolute", path);
	if (len >= PATH_LIMIT)
		return error_set(
			err, ERR_LIMIT, "manifest: path of %zu bytes, wanted below %d", len, PATH_LIMIT);
	if (m->count >= MANIFEST_MAX)
		return error_set(err, ERR_LIMIT, "manifest: more than %d entries", MANIFEST_MAX);
	if (reserve(m, m->count + 1, err) < 0)
		return -1;
	struct code_entry *e = &m->entries[m->count];
	*e = (struct code_entry){.role = role, .path = strdup(path)};
	if (!e->path)
		return error_set(err, ERR_NOMEM, "no memory for a path of %zu bytes", len);
	memcpy(e->digest, digest, SHA256_LEN);
	m->count++;
	return 0;
}

/* The digest last, so that any order of input gives one root. */
static int compare(const void *pa, const void *pb)
{
	const struct code_entry *a = pa, *b = pb;
	int c = strcmp(a->path, b->path);
	if (c == 0)
		c = (int)a->role - (int)b->role;
	return c ? c : memcmp(a->digest, b->digest, SHA256_LEN);
}

void manifest_sort(struct manifest *m)
{
	if (m->count > 1)
		qsort(m->entries, m->count, sizeof(*m->entries), compare);
}

static struct code_entry *find(const struct manifest *m, const char *path)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->entries[i].path, path) == 0)
			return &m->entries[i];
	return NULL;
}

int manifest_merge(struct manifest *to, struct manifest *from, struct error *err)
{
	size_t fresh = 0;
	for (size_t i = 0; i < from->count; i++) {
		const struct code_entry *e = &from->entries[i], *old = find(to, e->path);
		if (old && memcmp(old->digest, e->digest, SHA256_LEN) != 0)
			return error_set(err, ERR_CONFLICT, "%s was changed while it was measured", e->path);
		fresh += !old;
	}
	if (fresh > MANIFEST_MAX - to->count)
		return error_set(
			err, ERR_LIMIT, "manifest: %zu entries, at most %d", to->count + fresh, MANIFEST_MAX);
	if (fresh && reserve(to, to->count + fresh, err) < 0)
		return -1;
	for (size_t i = 0; i < from->count; i++) {
		struct code_entry *e = &from->entries[i], *old = find(to, e->path);
		if (!old) {
			to->entries[to->count++] = *e;
			continue;
		}
		if (e->role < old->role)
			old->role = e->role;
		free(e->path);
	}
	free(from->entries);
	manifest_init(from);
	manifest_sort(to);
	return 0;
}

void manifest_root(const struct manifest *m, uint8_t ret[SHA256_LEN])
{
	static const char label[] = "openscone-manifest-v1";
	struct sha256_ctx *c = sha256_new();
	if (!c)
		abort();
	sha256_update(c, label, sizeof(label));
	for (size_t i = 0; i < m->count; i++) {
		const struct code_entry *e = &m->entries[i];
		uint32_t len = (uint32_t)strlen(e->path);
		uint8_t head[5] = {(uint8_t)e->role, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
			(uint8_t)(len >> 8), (uint8_t)len};
		sha256_update(c, head, sizeof(head));
		sha256_update(c, e->path, len);
		sha256_update(c, e->digest, SHA256_LEN);
	}
	sha256_final(c, ret);
}

void measurement(
	const uint8_t runtime_digest[SHA256_LEN], const uint8_t root[SHA256_LEN], uint8_t ret[SHA256_LEN])
{
	static const char label[] = "openscone-measurement-v1";
	uint8_t all[sizeof(label) + 2 * SHA256_LEN];
	memcpy(all, label, sizeof(label));
	memcpy(all + sizeof(label), runtime_digest, SHA256_LEN);
	memcpy(all + sizeof(label) + SHA256_LEN, root, SHA256_LEN);
	sha256(all, sizeof(all), ret);
}
