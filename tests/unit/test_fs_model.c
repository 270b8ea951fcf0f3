/*
 * Random operations on a volume against a model in memory: names, content, attributes, with commits, fsyncs, clean and unclean ends in between. What
 * was fsynced or committed is there after an unclean end; of what came later, names and content are from some moment in between only as far as
 * the next fsync or commit says, so after an unclean end the model starts from a commit.
 */
#include "fs_device.h"

#include <dirent.h>

#define MIB (1u << 20)
#define FILES 24
#define SIZE_MAX_FILE (600 * 1024)

struct file {
	bool exists;
	uint64_t ino;
	size_t size;
	uint8_t *data;
	uint32_t mode;
	int same_as; /* hard link: index of the file that has the content, or -1 */
};

struct model {
	struct fs_device d;
	struct fs_mount m;
	struct file f[FILES];
	uint64_t dir[3];
	uint64_t seed;
	size_t cache;
};

static uint64_t rnd(struct model *m, uint64_t n)
{
	return fs_rand(&m->seed) % n;
}

static const char *name_of(unsigned int i, char buf[64])
{
	/* lengths from a few bytes to many, so that directory leaves fill unevenly */
	snprintf(buf, 64, "%.*s%u", (int)(i * 2 % 40), "a-long-name-that-takes-room-in-a-directory", i);
	return buf;
}

static uint64_t dir_of(const struct model *m, unsigned int i)
{
	return m->dir[i % 3];
}

static struct file *pick(struct model *m, unsigned int *ret_i)
{
	*ret_i = (unsigned int)rnd(m, FILES);
	return &m->f[*ret_i];
}

static void do_make(struct model *m)
{
	char name[64];
	unsigned int i;
	struct file *f = pick(m, &i);
	uint64_t ino = 0;
	int r = fs_make(&m->m, dir_of(m, i), name_of(i, name), S_IFREG | 0600, &ino);

	if (f->exists) {
		assert_int_equal(r, -EEXIST);
		return;
	}
	assert_int_equal(r, 0);
	f->exists = true;
	f->ino = ino;
	f->size = 0;
	f->mode = S_IFREG | 0600;
	memset(f->data, 0, SIZE_MAX_FILE);
}

static void do_write(struct model *m)
{
	static uint8_t buf[SIZE_MAX_FILE];
	unsigned int i;
	struct file *f = pick(m, &i);
	size_t off = rnd(m, 4) ? rnd(m, SIZE_MAX_FILE - 1) : rnd(m, 9000),
	       n = 1 + rnd(m, rnd(m, 8) ? 9000 : 200000);
	uint64_t at = 0;
	bool append = rnd(m, 4) == 0;

	if (!f->exists)
		return;
	if (append)
		off = f->size;
	if (off >= SIZE_MAX_FILE)
		return;
	if (n > SIZE_MAX_FILE - off)
		n = SIZE_MAX_FILE - off;
	memset(buf, (int)(1 + rnd(m, 255)), n);
	buf[0] = (uint8_t)i;
	assert_int_equal(
		volume_write(m->m.v, f->ino, append ? 0 : off, buf, n, append ? VOLUME_APPEND : 0, &at), n);
	assert_int_equal(at, off);
	memcpy(f->data + off, buf, n);
	if (off + n > f->size)
		f->size = off + n;
}

static void do_truncate(struct model *m)
{
	unsigned int i;
	struct file *f = pick(m, &i);
	size_t size = rnd(m, SIZE_MAX_FILE);

	if (!f->exists)
		return;
	assert_int_equal(volume_truncate(m->m.v, f->ino, size), 0);
	if (size < f->size)
		memset(f->data + size, 0, f->size - size);
	f->size = size;
}

static void do_punch(struct model *m)
{
	unsigned int i;
	struct file *f = pick(m, &i);
	size_t off = rnd(m, SIZE_MAX_FILE), n = 1 + rnd(m, 100000);

	if (!f->exists)
		return;
	assert_int_equal(volume_fallocate(m->m.v, f->ino, off, n, VOLUME_FALLOC_PUNCH_HOLE), 0);
	if (off < f->size)
		memset(f->data + off, 0, n < f->size - off ? n : f->size - off);
}

static void do_unlink(struct model *m)
{
	char name[64];
	unsigned int i;
	struct file *f = pick(m, &i);
	int r;

	name_of(i, name);
	r = volume_unlink(m->m.v, dir_of(m, i), name, strlen(name));
	assert_int_equal(r, f->exists ? 0 : -ENOENT);
	f->exists = false;
}

static void do_rename(struct model *m)
{
	char a[64], b[64];
	unsigned int i, k;
	struct file *f = pick(m, &i), *g = pick(m, &k), tmp;
	unsigned int flags = (unsigned int)rnd(m, 3);
	int r;

	name_of(i, a);
	name_of(k, b);
	r = volume_rename(m->m.v, dir_of(m, i), a, strlen(a), dir_of(m, k), b, strlen(b), flags);
	if (!f->exists || (flags == VOLUME_RENAME_EXCHANGE && !g->exists)) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	if (flags == VOLUME_RENAME_NOREPLACE && g->exists) {
		assert_int_equal(r, -EEXIST);
		return;
	}
	assert_int_equal(r, 0);
	if (f == g)
		return;
	tmp = *g;
	*g = *f;
	*f = tmp;
	if (flags != VOLUME_RENAME_EXCHANGE)
		f->exists = false;
}

static void do_mode(struct model *m)
{
	unsigned int i;
	struct file *f = pick(m, &i);
	struct volume_attr a = {.mode = (uint32_t)rnd(m, 01000)};

	if (!f->exists)
		return;
	assert_int_equal(volume_setattr(m->m.v, f->ino, VOLUME_SET_MODE, &a), 0);
	f->mode = S_IFREG | a.mode;
}

static void check_file(struct model *m, unsigned int i)
{
	static uint8_t buf[SIZE_MAX_FILE];
	struct file *f = &m->f[i];
	struct volume_attr a;
	char name[64];
	int r = fs_look(&m->m, dir_of(m, i), name_of(i, name), &a);
	size_t off, n;

	if (!f->exists) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(a.ino, f->ino);
	assert_int_equal(a.size, f->size);
	assert_int_equal(a.mode, f->mode);
	off = f->size ? rnd(m, f->size) : 0;
	n = rnd(m, 2) ? SIZE_MAX_FILE : rnd(m, 10000) + 1;
	if (n > SIZE_MAX_FILE - off)
		n = SIZE_MAX_FILE - off;
	assert_int_equal(volume_read(m->m.v, f->ino, off, buf, n), n < f->size - off ? n : f->size - off);
	if (memcmp(buf, f->data + off, n < f->size - off ? n : f->size - off) != 0)
		fail_msg("file %u differs", i);
}

static void check_all(struct model *m)
{
	for (unsigned int i = 0; i < FILES; i++)
		check_file(m, i);
}

static void do_end(struct model *m)
{
	bool crash = rnd(m, 2);
	unsigned int i;

	if (crash) {
		/* all that is to survive: by fsync of every file, or by a commit */
		if (rnd(m, 3) == 0)
			assert_int_equal(volume_commit(m->m.v), 0);
		for (i = 0; i < FILES; i++)
			if (m->f[i].exists)
				assert_int_equal(volume_fsync(m->m.v, m->f[i].ino, false), 0);
		assert_int_equal(volume_fsync(m->m.v, VOLUME_ROOT, false), 0);
		fs_crash(&m->m);
	} else {
		fs_close(&m->m);
	}
	fs_open(&m->d, &m->m, m->cache);
	check_all(m);
	if (rnd(m, 4) == 0)
		fs_verify(&m->d, &m->m);
}

static void run(uint64_t seed, size_t cache, unsigned int rounds)
{
	static void (*const what[])(struct model *) = {do_make, do_make, do_write, do_write, do_write,
		do_write, do_write, do_truncate, do_punch, do_unlink, do_rename, do_rename, do_mode};
	struct model *m = calloc(1, sizeof(*m));
	unsigned int i;

	m->seed = seed * 2654435761u + 1;
	m->cache = cache;
	for (i = 0; i < FILES; i++)
		m->f[i].data = calloc(1, SIZE_MAX_FILE);
	fs_create(&m->d, 64 * MIB);
	fs_open(&m->d, &m->m, cache);
	m->dir[0] = VOLUME_ROOT;
	assert_int_equal(fs_make(&m->m, VOLUME_ROOT, "one", S_IFDIR | 0700, &m->dir[1]), 0);
	assert_int_equal(fs_make(&m->m, m->dir[1], "two", S_IFDIR | 0700, &m->dir[2]), 0);
	for (unsigned int round = 0; round < rounds; round++) {
		what[rnd(m, sizeof(what) / sizeof(what[0]))](m);
		check_file(m, (unsigned int)rnd(m, FILES));
		i = (unsigned int)rnd(m, FILES);
		if (rnd(m, 10) == 0 && m->f[i].exists)
			assert_int_equal(volume_fsync(m->m.v, m->f[i].ino, false), 0);
		if (rnd(m, 100) == 0)
			assert_int_equal(volume_commit(m->m.v), 0);
		if (rnd(m, 60) == 0)
			do_end(m);
	}
	check_all(m);
	fs_verify(&m->d, &m->m);
	fs_close(&m->m);
	for (i = 0; i < FILES; i++)
		free(m->f[i].data);
	fs_device_free(&m->d);
	free(m);
}

static void test_small_cache(void **state)
{
	const char *s = getenv("FS_MODEL_SEED"), *n = getenv("FS_MODEL_ROUNDS");

	for (uint64_t seed = s ? strtoull(s, NULL, 0) : 1, i = 0; i < 3; i++)
		run(seed + i, VOLUME_CACHE_MIN, n ? (unsigned int)atoi(n) : 1500);
}

static void test_large_cache(void **state)
{
	const char *s = getenv("FS_MODEL_SEED"), *n = getenv("FS_MODEL_ROUNDS");

	for (uint64_t seed = s ? strtoull(s, NULL, 0) : 100, i = 0; i < 3; i++)
		run(seed + i, 32 * MIB, n ? (unsigned int)atoi(n) : 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_cache),
		cmocka_unit_test(test_large_cache),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
