#include "shield/fs/injected.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"

#define PAGE 4096u
#define MODE_MAX 07777u

enum { FLAG_FROM_HOST = 1, FLAG_HAS_INODE = 2, FLAG_OWN = 4 };

struct injected_table {
	const struct injected_memory *memory;
	struct injected_file *files;
	size_t count, cap;
};

static void *heap_get(size_t n, bool own)
{
	return calloc(1, n);
}

static void heap_put(void *p, size_t n, bool own)
{
	secret_wipe(p, n);
	free(p);
}

static const struct injected_memory heap = {heap_get, heap_put};

int injected_new(const struct injected_memory *memory, struct injected_table **ret)
{
	struct injected_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->memory = memory ? memory : &heap;
	*ret = t;
	return 0;
}

static void content_drop(struct injected_table *t, struct injected_file *f)
{
	if (f->data)
		t->memory->put(f->data, f->cap, f->own);
	f->data = NULL;
	f->cap = 0;
}

static void file_drop(struct injected_table *t, struct injected_file *f)
{
	content_drop(t, f);
	free((char *)f->info.path);
	free((char *)f->info.real);
}

void injected_free(struct injected_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		file_drop(t, &t->files[i]);
	free(t->files);
	free(t);
}

/* FNV-1a: only to skip comparisons. */
static uint32_t name_hash(const char *name, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return h;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

long injected_normalise(const char *path, char *ret, size_t cap)
{
	size_t len = 0;

	if (path[0] != '/')
		return -EINVAL;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 0) {
			p++;
			continue;
		}
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (len > 0 && ret[--len] != '/')
				;
		} else if (!(n == 1 && p[0] == '.')) {
			if (n + 1 >= cap - len)
				return -ENAMETOOLONG;
			ret[len++] = '/';
			memcpy(ret + len, p, n);
			len += n;
		}
		p += n;
	}
	if (cap < 2)
		return -ENAMETOOLONG;
	if (len == 0)
		ret[len++] = '/';
	ret[len] = '\0';
	return (long)len;
}

/* Copy both paths into f, normalised. */
static int paths_set(struct injected_file *f, const char *path, const char *real)
{
	char text[INJECTED_PATH_MAX];
	long n = injected_normalise(path, text, sizeof(text));

	if (n < 0)
		return (int)n;
	if (n == 1)
		return -EINVAL;
	f->info.path = strdup(text);
	if (!f->info.path)
		return -ENOMEM;
	f->name_hash = name_hash(last_name(f->info.path), strlen(last_name(f->info.path)));
	f->info.real = NULL;
	if (!real)
		return 0;
	n = injected_normalise(real, text, sizeof(text));
	if (n < 0)
		return (int)n;
	/* The filter by name looks at path alone. */
	if (strcmp(last_name(text), last_name(f->info.path)) != 0)
		return -EINVAL;
	if (strcmp(text, f->info.path) == 0)
		return 0;
	f->info.real = strdup(text);
	return f->info.real ? 0 : -ENOMEM;
}

static int room_for_one(struct injected_table *t)
{
	struct injected_file *files;
	size_t cap = t->cap ? t->cap * 2 : 8;

	if (t->count < t->cap)
		return 0;
	if (t->count >= INJECTED_COUNT_MAX)
		return -ENFILE;
	files = realloc(t->files, cap * sizeof(*files));
	if (!files)
		return -ENOMEM;
	t->files = files;
	t->cap = cap;
	return 0;
}

static int content_set(
	struct injected_table *t, struct injected_file *f, const void *content, size_t n, bool own)
{
	f->own = own;
	f->size = n;
	f->cap = n;
	if (n == 0)
		return 0;
	f->data = t->memory->get(n, own);
	if (!f->data) {
		f->cap = 0;
		return -ENOMEM;
	}
	memcpy(f->data, content, n);
	return 0;
}

static int add(
	struct injected_table *t, const struct injected_info *info, const void *content, size_t n, bool own)
{
	struct injected_file f = {.info = *info};
	int ret;

	f.info.path = f.info.real = NULL;
	if (info->mode > MODE_MAX)
		return -EINVAL;
	if (n > INJECTED_FILE_MAX)
		return -EFBIG;
	ret = room_for_one(t);
	if (ret == 0)
		ret = paths_set(&f, info->path, info->real);
	if (ret == 0 && (injected_find_path(t, f.info.path) >= 0 ||
				(f.info.real && injected_find_path(t, f.info.real) >= 0)))
		ret = -EEXIST;
	if (ret == 0)
		ret = content_set(t, &f, content, n, own);
	if (ret < 0) {
		file_drop(t, &f);
		return ret;
	}
	t->files[t->count] = f;
	return (int)t->count++;
}

int injected_add(struct injected_table *t, const struct injected_info *info, const void *content, size_t n)
{
	return add(t, info, content, n, false);
}

size_t injected_count(const struct injected_table *t)
{
	return t->count;
}

const struct injected_file *injected_get(const struct injected_table *t, uint32_t id)
{
	return id < t->count ? &t->files[id] : NULL;
}

int injected_find_path(const struct injected_table *t, const char *path)
{
	uint32_t hash = name_hash(last_name(path), strlen(last_name(path)));

	for (size_t i = 0; i < t->count; i++) {
		const struct injected_file *f = &t->files[i];

		if (f->name_hash == hash && (strcmp(f->info.path, path) == 0 ||
						    (f->info.real && strcmp(f->info.real, path) == 0)))
			return (int)i;
	}
	return -ENOENT;
}

int injected_find_inode(const struct injected_table *t, uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct injected_info *info = &t->files[i].info;

		if (info->has_inode && info->ino == ino && info->dev == dev)
			return (int)i;
	}
	return -ENOENT;
}

bool injected_has_name(const struct injected_table *t, const char *name, size_t n)
{
	uint32_t hash = name_hash(name, n);

	for (size_t i = 0; i < t->count; i++) {
		const char *last;

		if (t->files[i].name_hash != hash)
			continue;
		last = last_name(t->files[i].info.path);
		if (strlen(last) == n && memcmp(last, name, n) == 0)
			return true;
	}
	return false;
}

/* Make content writable with room for `need` bytes. */
static int content_own(struct injected_table *t, struct injected_file *f, size_t need)
{
	size_t cap = PAGE;
	uint8_t *data;

	if (f->own && f->data && need <= f->cap)
		return 0;
	if (need < f->size)
		need = f->size;
	while (cap < need)
		cap *= 2;
	data = t->memory->get(cap, true);
	if (!data)
		return -ENOMEM;
	if (f->size > 0)
		memcpy(data, f->data, f->size);
	content_drop(t, f);
	f->data = data;
	f->cap = cap;
	f->own = true;
	return 0;
}

int injected_truncate(struct injected_table *t, uint32_t id, uint64_t size)
{
	struct injected_file *f;
	int ret;

	if (id >= t->count)
		return -EBADF;
	f = &t->files[id];
	if (size > INJECTED_FILE_MAX)
		return -EFBIG;
	if (size == f->size)
		return 0;
	ret = content_own(t, f, (size_t)size);
	if (ret < 0)
		return ret;
	/* Bytes beyond the end are zero at all times, so growing shows none of the old ones. */
	if (size < f->size)
		secret_wipe(f->data + size, f->size - (size_t)size);
	f->size = (size_t)size;
	return 0;
}

long injected_write(struct injected_table *t, uint32_t id, uint64_t off, const void *p, size_t n)
{
	struct injected_file *f;
	int ret;

	if (id >= t->count)
		return -EBADF;
	f = &t->files[id];
	if (n == 0)
		return 0;
	if (off >= INJECTED_FILE_MAX)
		return -EFBIG;
	if (n > INJECTED_FILE_MAX - off)
		n = INJECTED_FILE_MAX - (size_t)off;
	ret = content_own(t, f, (size_t)off + n);
	if (ret < 0)
		return ret;
	memcpy(f->data + off, p, n);
	if (f->size < off + n)
		f->size = (size_t)off + n;
	return (long)n;
}

static struct injected_info *own_attributes(struct injected_table *t, uint32_t id)
{
	return id < t->count && !t->files[id].info.from_host ? &t->files[id].info : NULL;
}

int injected_set_mode(struct injected_table *t, uint32_t id, uint32_t mode)
{
	struct injected_info *info = own_attributes(t, id);

	if (!info)
		return -EBADF;
	info->mode = mode & MODE_MAX;
	return 0;
}

int injected_set_owner(struct injected_table *t, uint32_t id, uint32_t uid, uint32_t gid)
{
	struct injected_info *info = own_attributes(t, id);

	if (!info)
		return -EBADF;
	if (uid != UINT32_MAX)
		info->uid = uid;
	if (gid != UINT32_MAX)
		info->gid = gid;
	return 0;
}

int injected_set_mtime(struct injected_table *t, uint32_t id, int64_t mtime)
{
	struct injected_info *info = own_attributes(t, id);

	if (!info)
		return -EBADF;
	info->mtime = mtime;
	return 0;
}

void injected_encode(const struct injected_table *t, struct buf *out)
{
	buf_put_u32be(out, (uint32_t)t->count);
	for (size_t i = 0; i < t->count; i++) {
		const struct injected_file *f = &t->files[i];
		const char *real = f->info.real ? f->info.real : "";

		buf_put_block(out, f->info.path, strlen(f->info.path));
		buf_put_block(out, real, strlen(real));
		buf_put_u32be(out, f->info.mode);
		buf_put_u32be(out, f->info.uid);
		buf_put_u32be(out, f->info.gid);
		buf_put_u64be(out, (uint64_t)f->info.mtime);
		buf_put_u8(out, (f->info.from_host ? FLAG_FROM_HOST : 0) |
					(f->info.has_inode ? FLAG_HAS_INODE : 0) | (f->own ? FLAG_OWN : 0));
		buf_put_u64be(out, f->info.dev);
		buf_put_u64be(out, f->info.ino);
		buf_put_block(out, f->data, f->size);
	}
}

/* A path as it was written: no NUL inside, already normalised. */
static int decode_path(struct rd *in, bool optional, char ret[INJECTED_PATH_MAX])
{
	char text[INJECTED_PATH_MAX];
	size_t n;
	const uint8_t *p = rd_block(in, INJECTED_PATH_MAX - 1, &n);

	if (!p)
		return -EBADMSG;
	memcpy(text, p, n);
	text[n] = '\0';
	ret[0] = '\0';
	if (n == 0)
		return optional ? 0 : -EBADMSG;
	if (strlen(text) != n || injected_normalise(text, ret, INJECTED_PATH_MAX) != (long)n)
		return -EBADMSG;
	return 0;
}

static int decode_file(struct rd *in, struct injected_table *t)
{
	char path[INJECTED_PATH_MAX], real[INJECTED_PATH_MAX];
	struct injected_info info = {.path = path};
	const uint8_t *content;
	uint8_t flags;
	size_t n;
	int ret;

	if (decode_path(in, false, path) < 0 || decode_path(in, true, real) < 0 || strcmp(path, real) == 0)
		return -EBADMSG;
	info.real = real[0] ? real : NULL;
	info.mode = rd_u32be(in);
	info.uid = rd_u32be(in);
	info.gid = rd_u32be(in);
	info.mtime = (int64_t)rd_u64be(in);
	flags = rd_u8(in);
	info.from_host = flags & FLAG_FROM_HOST;
	info.has_inode = flags & FLAG_HAS_INODE;
	info.dev = rd_u64be(in);
	info.ino = rd_u64be(in);
	content = rd_block(in, INJECTED_FILE_MAX, &n);
	if (!content || in->failed || (flags & ~(FLAG_FROM_HOST | FLAG_HAS_INODE | FLAG_OWN)))
		return -EBADMSG;
	ret = add(t, &info, content, n, flags & FLAG_OWN);
	if (ret < 0)
		return ret == -ENOMEM ? ret : -EBADMSG;
	return 0;
}

int injected_decode(struct rd *in, const struct injected_memory *memory, struct injected_table **ret)
{
	struct injected_table *t;
	uint32_t count = rd_u32be(in);
	int err;

	if (in->failed || count > INJECTED_COUNT_MAX)
		return -EBADMSG;
	err = injected_new(memory, &t);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < count && err == 0; i++)
		err = decode_file(in, t);
	if (err < 0) {
		injected_free(t);
		return err;
	}
	*ret = t;
	return 0;
}
