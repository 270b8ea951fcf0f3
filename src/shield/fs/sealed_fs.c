/* sealed_fs: a sealed tree as a mount; see sealed_fs.h. */
#include "shield/fs/sealed_fs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "core/encode.h"
#include "core/secret.h"
#include "shield/fs/sealed_tree_format.h"

#define PAGE 4096u
#define PAGES_UP(n) (((n) + PAGE - 1) & ~(uint64_t)(PAGE - 1))
#define MAGIC 0x3146534445534f53ULL
#define GENERATION 1
#define PATH_BYTES 4096
#define SHOWN 512 /* bytes of a path in a message */

/* What is not the manifest's of an entry. */
struct placed {
	uint64_t at; /* a file's content, in the content object */
	uint64_t leaf; /* number of its first leaf among all of the tree */
	uint32_t subdirs;
};

/* The start of the shared memory; behind it the tree, the entries' places, and a bit for each leaf. */
struct shared {
	uint64_t magic;
	const struct sealed_tree *tree;
	struct placed *placed; /* by id */
	_Atomic uint32_t *verified; /* bit n: leaf n is in the content object */
	uint64_t bytes; /* of all files */
};

struct sealed_fs {
	struct sealed_fs_env env;
	struct shared *s;
};

/* --- layout --- */

struct layout {
	size_t tree, placed, verified, end; /* offsets */
	uint64_t content;
};

static struct layout layout_of(const struct sealed_tree *t, size_t manifest_n)
{
	uint32_t count = sealed_tree_count(t);
	struct layout l = {.tree = PAGE};
	uint64_t leaves = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct sealed_entry *e = sealed_tree_entry(t, i);

		if (e->type != SEALED_FILE)
			continue;
		leaves += sealed_leaf_count(e->size);
		l.content += PAGES_UP(e->size);
	}
	l.placed = l.tree + PAGES_UP(sealed_tree_copy_size(t, manifest_n));
	l.verified = l.placed + PAGES_UP((size_t)count * sizeof(struct placed));
	l.end = l.verified + PAGES_UP(leaves / 8 + sizeof(uint32_t));
	return l;
}

size_t sealed_fs_size(const struct sealed_tree *t, size_t manifest_n)
{
	return layout_of(t, manifest_n).end;
}

uint64_t sealed_fs_content(const struct sealed_tree *t)
{
	return layout_of(t, 0).content;
}

void sealed_fs_make(
	void *mem, const struct sealed_tree *t, const void *manifest, size_t manifest_n, uint64_t content)
{
	struct layout l = layout_of(t, manifest_n);
	struct shared *s = mem;
	uint64_t leaf = 0;

	s->tree = sealed_tree_copy(t, manifest, manifest_n, (uint8_t *)mem + l.tree);
	s->placed = (struct placed *)((uint8_t *)mem + l.placed);
	s->verified = (_Atomic uint32_t *)((uint8_t *)mem + l.verified);
	for (uint32_t i = 0; i < sealed_tree_count(t); i++) {
		const struct sealed_entry *e = sealed_tree_entry(t, i);

		if (e->type == SEALED_DIRECTORY && i != SEALED_ROOT)
			s->placed[e->parent].subdirs++;
		if (e->type != SEALED_FILE)
			continue;
		s->placed[i].at = content;
		s->placed[i].leaf = leaf;
		s->bytes += e->size;
		content += PAGES_UP(e->size);
		leaf += sealed_leaf_count(e->size);
	}
	s->magic = MAGIC;
}

int sealed_fs_open(const struct sealed_fs_env *env, void *mem, struct sealed_fs **ret)
{
	struct sealed_fs *s;

	if (((struct shared *)mem)->magic != MAGIC)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->env = *env;
	s->s = mem;
	*ret = s;
	return 0;
}

void sealed_fs_free(struct sealed_fs *s)
{
	free(s);
}

/* --- names and attributes --- */

static const struct sealed_entry *entry(const struct sealed_fs *s, uint64_t ino, uint32_t *ret_id)
{
	uint64_t id = ino - VOLUME_ROOT;

	if (ino < VOLUME_ROOT || id >= sealed_tree_count(s->s->tree))
		return NULL;
	*ret_id = (uint32_t)id;
	return sealed_tree_entry(s->s->tree, (uint32_t)id);
}

static uint32_t mode_of(const struct sealed_entry *e)
{
	switch (e->type) {
	case SEALED_DIRECTORY:
		return S_IFDIR | e->mode;
	case SEALED_FILE:
		return S_IFREG | e->mode;
	case SEALED_SYMLINK:
		break;
	}
	return S_IFLNK | e->mode;
}

static void fill(
	const struct sealed_fs *s, const struct sealed_entry *e, uint32_t id, struct volume_attr *ret)
{
	bool dir = e->type == SEALED_DIRECTORY;

	*ret = (struct volume_attr){
		.ino = VOLUME_ROOT + (uint64_t)id,
		.gen = GENERATION,
		.mode = mode_of(e),
		.nlink = dir ? 2 + s->s->placed[id].subdirs : 1,
		.uid = e->uid,
		.gid = e->gid,
		.size = dir ? PAGE : e->size,
		.blocks = e->type == SEALED_FILE ? PAGES_UP(e->size) / PAGE : dir,
		.atime = e->mtime,
		.mtime = e->mtime,
		.ctime = e->mtime,
		.btime = e->mtime,
		.change = 1,
	};
}

int sealed_fs_exists(const struct sealed_fs *s, uint64_t ino, uint64_t gen)
{
	uint32_t id;

	if (!entry(s, ino, &id))
		return -ENOENT;
	return gen && gen != GENERATION ? -ESTALE : 0;
}

int sealed_fs_getattr(const struct sealed_fs *s, uint64_t ino, struct volume_attr *ret)
{
	uint32_t id;
	const struct sealed_entry *e = entry(s, ino, &id);

	if (!e)
		return -ENOENT;
	fill(s, e, id, ret);
	return 0;
}

int sealed_fs_lookup(
	const struct sealed_fs *s, uint64_t dir, const char *name, size_t n, struct volume_attr *ret)
{
	uint32_t id, child;
	int rc;

	if (!entry(s, dir, &id))
		return -ENOENT;
	rc = sealed_tree_child(s->s->tree, id, name, n, &child);
	if (rc == 0)
		fill(s, sealed_tree_entry(s->s->tree, child), child, ret);
	return rc;
}

int sealed_fs_parent(const struct sealed_fs *s, uint64_t dir, uint64_t *ret)
{
	uint32_t id;
	const struct sealed_entry *e = entry(s, dir, &id);

	if (!e)
		return -ENOENT;
	if (e->type != SEALED_DIRECTORY)
		return -ENOTDIR;
	*ret = VOLUME_ROOT + (uint64_t)e->parent;
	return 0;
}

long sealed_fs_readlink(const struct sealed_fs *s, uint64_t ino, char *p, size_t n)
{
	uint32_t id;
	const struct sealed_entry *e = entry(s, ino, &id);

	if (!e)
		return -ENOENT;
	if (e->type != SEALED_SYMLINK)
		return -EINVAL;
	memcpy(p, e->target, n < e->size ? n : (size_t)e->size);
	return (long)e->size;
}

static void put_dirent(struct volume_dirent *d, uint64_t cookie, uint32_t id, const struct sealed_entry *e,
	const char *name, size_t n)
{
	static const uint8_t types[] = {
		[SEALED_DIRECTORY] = DT_DIR, [SEALED_FILE] = DT_REG, [SEALED_SYMLINK] = DT_LNK};

	d->ino = VOLUME_ROOT + (uint64_t)id;
	d->cookie = cookie;
	d->type = types[e->type];
	d->name_len = (uint8_t)n;
	memcpy(d->name, name, n);
	d->name[n] = 0;
}

/* Cookies count: 1 is behind ".", 2 behind "..", 3 + n behind child n. */
long sealed_fs_readdir(
	const struct sealed_fs *s, uint64_t dir, uint64_t cookie, struct volume_dirent *e, size_t n)
{
	const struct sealed_tree *t = s->s->tree;
	uint32_t id;
	const struct sealed_entry *d = entry(s, dir, &id);
	size_t done = 0;

	if (!d)
		return -ENOENT;
	if (d->type != SEALED_DIRECTORY)
		return -ENOTDIR;
	for (; done < n && cookie < 2 + (uint64_t)d->count; done++, cookie++) {
		uint32_t child = cookie < 2 ? (cookie ? d->parent : id) : d->first + (uint32_t)(cookie - 2);
		const struct sealed_entry *c = sealed_tree_entry(t, child);

		if (cookie < 2)
			put_dirent(&e[done], cookie + 1, child, c, "..", (size_t)cookie + 1);
		else
			put_dirent(&e[done], cookie + 1, child, c, c->name, c->name_len);
	}
	return (long)done;
}

void sealed_fs_statfs(const struct sealed_fs *s, struct volume_statfs *ret)
{
	uint8_t root[SHA256_LEN];

	*ret = (struct volume_statfs){.size = s->s->bytes, .inodes = sealed_tree_count(s->s->tree)};
	sealed_tree_root(s->s->tree, root);
	static_assert(VOLUME_ID_LEN <= SHA256_LEN, "a root names the tree");
	memcpy(ret->id, root, VOLUME_ID_LEN);
}

/* --- content --- */

/* The path of an entry below the tree's directory: it ends with ret's end. NULL: too long. */
static const char *path_of(const struct sealed_tree *t, uint32_t id, char ret[PATH_BYTES])
{
	size_t at = PATH_BYTES - 1;

	ret[at] = 0;
	while (id != SEALED_ROOT) {
		const struct sealed_entry *e = sealed_tree_entry(t, id);

		if (e->name_len + 1u > at)
			return NULL;
		if (ret[at])
			ret[--at] = '/';
		at -= e->name_len;
		memcpy(ret + at, e->name, e->name_len);
		id = e->parent;
	}
	return ret + at;
}

static void tell(const struct sealed_fs *s, const char *text)
{
	if (s->env.fault)
		s->env.fault(s->env.ctx, text);
}

/* got: bytes at p, or -errno of the host. */
static int refuse(const struct sealed_fs *s, const struct sealed_entry *e, const char *path, uint64_t leaf,
	const uint8_t *p, long got, size_t want)
{
	char seen[2 * SHA256_LEN + 1], wanted[2 * SHA256_LEN + 1], text[SHOWN + 512];
	uint8_t digest[SHA256_LEN];

	hex_encode(e->leaves + leaf * SHA256_LEN, SHA256_LEN, wanted);
	if (got < 0) {
		(void)snprintf(text, sizeof(text),
			"%.*s: the host does not give it: %s; wanted %" PRIu64
			" bytes, digest of leaf %" PRIu64 " %s",
			SHOWN, path, strerror((int)-got), e->size, leaf, wanted);
	} else {
		sealed_leaf_digest(p, (size_t)got, digest);
		hex_encode(digest, SHA256_LEN, seen);
		(void)snprintf(text, sizeof(text),
			"%.*s: not what was sealed, at byte %" PRIu64
			": %ld bytes with digest %s seen, %zu with %s "
			"wanted",
			SHOWN, path, leaf * SEALED_LEAF, got, seen, want, wanted);
	}
	tell(s, text);
	return -EIO;
}

static bool is_verified(const struct sealed_fs *s, uint64_t n)
{
	return atomic_load_explicit(&s->s->verified[n / 32], memory_order_acquire) >> (n % 32) & 1;
}

/* From the host into the content object, by way of buf (SEALED_LEAF bytes). Two who do it at once write the same. */
static int fetch(const struct sealed_fs *s, const struct sealed_entry *e, uint32_t id, const char *path,
	uint64_t leaf, uint8_t *buf)
{
	const struct placed *at = &s->s->placed[id];
	uint64_t off = leaf * SEALED_LEAF, bad;
	size_t want = e->size - off < SEALED_LEAF ? (size_t)(e->size - off) : SEALED_LEAF;
	long got = s->env.host_read(s->env.ctx, path, off, buf, want);
	int rc;

	if (got != (long)want || sealed_tree_verify(s->s->tree, id, off, buf, want, &bad))
		return refuse(s, e, path, leaf, buf, got, want);
	rc = s->env.content_write(s->env.ctx, at->at + off, buf, want);
	if (rc)
		return rc;
	atomic_fetch_or_explicit(&s->s->verified[(at->leaf + leaf) / 32],
		(uint32_t)1 << ((at->leaf + leaf) % 32), memory_order_release);
	return 0;
}

/* Leaves first to last of a file. */
static int fetch_range(
	const struct sealed_fs *s, const struct sealed_entry *e, uint32_t id, uint64_t first, uint64_t last)
{
	char text[PATH_BYTES];
	const char *path;
	uint8_t *buf = NULL;
	int rc = 0;

	for (uint64_t n = first; rc == 0 && n <= last; n++) {
		if (is_verified(s, s->s->placed[id].leaf + n))
			continue;
		if (!buf) {
			path = path_of(s->s->tree, id, text);
			if (!path)
				return -ENAMETOOLONG;
			buf = malloc(SEALED_LEAF);
			if (!buf)
				return -ENOMEM;
		}
		rc = fetch(s, e, id, path, n, buf);
	}
	free(buf);
	return rc;
}

/* n > 0 bytes from off on, which is within the file. */
static int have(
	const struct sealed_fs *s, const struct sealed_entry *e, uint32_t id, uint64_t off, uint64_t n)
{
	uint64_t last = n > e->size - off ? e->size - 1 : off + n - 1;

	return fetch_range(s, e, id, off / SEALED_LEAF, last / SEALED_LEAF);
}

static int regular(const struct sealed_fs *s, uint64_t ino, const struct sealed_entry **ret, uint32_t *ret_id)
{
	*ret = entry(s, ino, ret_id);
	if (!*ret)
		return -ENOENT;
	if ((*ret)->type == SEALED_FILE)
		return 0;
	return (*ret)->type == SEALED_DIRECTORY ? -EISDIR : -EINVAL;
}

int sealed_fs_opened(const struct sealed_fs *s, uint64_t ino)
{
	const struct sealed_entry *e;
	uint32_t id;
	int rc = regular(s, ino, &e, &id);

	return rc || e->size == 0 ? rc : have(s, e, id, 0, 1);
}

long sealed_fs_read(const struct sealed_fs *s, uint64_t ino, uint64_t off, void *p, size_t n)
{
	const struct sealed_entry *e;
	uint32_t id;
	int rc = regular(s, ino, &e, &id);

	if (rc || n == 0 || off >= e->size)
		return rc;
	if (n > e->size - off)
		n = (size_t)(e->size - off);
	rc = have(s, e, id, off, n);
	if (rc == 0)
		rc = s->env.content_read(s->env.ctx, s->s->placed[id].at + off, p, n);
	return rc ? rc : (long)n;
}

int sealed_fs_verify(const struct sealed_fs *s, uint64_t ino, uint64_t off, uint64_t n, uint64_t *ret_at)
{
	const struct sealed_entry *e;
	uint32_t id;
	int rc = regular(s, ino, &e, &id);

	if (rc == 0 && n > 0 && off < e->size)
		rc = have(s, e, id, off, n);
	if (rc == 0)
		*ret_at = s->s->placed[id].at;
	return rc;
}

int sealed_fs_seek(const struct sealed_fs *s, uint64_t ino, uint64_t off, bool hole, uint64_t *ret)
{
	const struct sealed_entry *e;
	uint32_t id;
	int rc = regular(s, ino, &e, &id);

	if (rc)
		return rc;
	if (off >= e->size)
		return -ENXIO;
	*ret = hole ? e->size : off;
	return 0;
}
