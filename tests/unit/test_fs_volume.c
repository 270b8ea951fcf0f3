/* The volume engine: what each operation does, across commits, reopening and small caches. */
#include "fs_device.h"

#include <dirent.h>

#define MIB (1u << 20)

static void test_empty(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	struct volume_statfs f;
	struct volume_version v;
	uint64_t size;
	struct volume_env env;

	fs_create(&d, 16 * MIB);
	env = fs_env(&d);
	assert_int_equal(volume_probe(&env, fs_key, &size, &v), 0);
	assert_int_equal(size, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(m.report.found.generation, v.generation);
	assert_memory_equal(m.report.found.tag, v.tag, sizeof(v.tag));
	assert_int_equal(m.report.log_records, 0);
	assert_false(m.report.superblock_damaged);
	assert_int_equal(volume_getattr(m.v, VOLUME_ROOT, &a), 0);
	assert_int_equal(a.mode, S_IFDIR | 0755);
	assert_int_equal(a.nlink, 2);
	volume_statfs_get(m.v, &f);
	assert_string_equal(f.label, "test");
	assert_int_equal(f.inodes, 1);
	assert_int_equal(volume_getattr(m.v, 99, &a), -ENOENT);
	assert_int_equal(volume_getattr(m.v, 0, &a), -ENOENT);
	assert_int_equal(volume_getattr(m.v, UINT64_MAX, &a), -ENOENT);
	fs_verify(&d, &m);
	fs_close(&m);
	/* nothing was changed, so nothing was written */
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(m.report.found.generation, v.generation);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_wrong_key(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_env env;
	struct volume_open_options o = {.limits = {.max_size = 16 * MIB, .cache = VOLUME_CACHE_MIN}};
	uint8_t key[VOLUME_KEY_LEN];

	fs_create(&d, 16 * MIB);
	env = fs_env(&d);
	memcpy(key, fs_key, sizeof(key));
	key[31] ^= 1;
	m.arena_len = volume_arena_size(&o.limits);
	m.arena = aligned_alloc(4096, m.arena_len);
	assert_int_equal(volume_open(&env, key, m.arena, m.arena_len, &o, &m.v, NULL), -EBADMSG);
	assert_string_equal(d.fault.structure, "superblock");
	assert_int_equal(volume_open(&env, fs_key, m.arena, m.arena_len - 4096, &o, &m.v, NULL), -ENOMEM);
	assert_int_equal(volume_open(&env, fs_key, m.arena, m.arena_len, &o, &m.v, NULL), 0);
	assert_int_equal(volume_close(m.v), 0);
	free(m.arena);
	fs_device_free(&d);
}

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(fs_rand(&seed) >> 32);
}

static void test_content(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	uint64_t ino = 0, at;
	size_t n = 9 * MIB + 123;
	uint8_t *p = malloc(n), *q = malloc(n);

	fill(p, n, 7);
	fs_create(&d, 64 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "big", S_IFREG | 0640, &ino), 0);
	assert_int_equal(volume_write(m.v, ino, 0, p, n, 0, &at), (long)n);
	assert_int_equal(at, 0);
	memset(q, 0, n);
	assert_int_equal(volume_read(m.v, ino, 0, q, n + 5), (long)n);
	assert_memory_equal(p, q, n);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "big", &a), 0);
	assert_int_equal(a.size, n);
	assert_int_equal(a.blocks, (n + 4095) / 4096);
	assert_int_equal(a.uid, 1);
	memset(q, 0, n);
	for (size_t off = 0; off < n; off += 70001)
		assert_int_equal(
			volume_read(m.v, a.ino, off, q + off, 70001), n - off < 70001 ? n - off : 70001);
	assert_memory_equal(p, q, n);
	/* appending, in pieces that end anywhere, and overwriting in the middle */
	assert_int_equal(volume_write(m.v, a.ino, 0, "tail", 4, VOLUME_APPEND, &at), 4);
	assert_int_equal(at, n);
	assert_int_equal(volume_write(m.v, a.ino, 4090, "0123456789", 10, 0, NULL), 10);
	memcpy(p + 4090, "0123456789", 10);
	assert_int_equal(volume_read(m.v, a.ino, 0, q, n), (long)n);
	assert_memory_equal(p, q, n);
	assert_int_equal(volume_truncate(m.v, a.ino, 5000), 0);
	assert_int_equal(volume_truncate(m.v, a.ino, 10000), 0);
	memset(p + 5000, 0, 5000);
	assert_int_equal(volume_read(m.v, a.ino, 0, q, n), 10000);
	assert_memory_equal(p, q, 10000);
	fs_verify(&d, &m);
	assert_int_equal(volume_write(m.v, a.ino, VOLUME_FILE_MAX, "x", 1, 0, NULL), -EFBIG);
	assert_int_equal(volume_write(m.v, a.ino, VOLUME_FILE_MAX - 1, "xy", 2, 0, NULL), 1);
	assert_int_equal(volume_seek_data(m.v, a.ino, 12288, &at), 0);
	assert_int_equal(at, VOLUME_FILE_MAX - 4096);
	assert_int_equal(volume_seek_hole(m.v, a.ino, 0, &at), 0);
	assert_int_equal(at, 8192);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(volume_seek_data(m.v, a.ino, 12288, &at), 0);
	assert_int_equal(at, VOLUME_FILE_MAX - 4096);
	assert_int_equal(volume_truncate(m.v, a.ino, 0), 0);
	assert_int_equal(volume_seek_data(m.v, a.ino, 0, &at), -ENXIO);
	assert_int_equal(volume_commit(m.v), 0);
	assert_true(d.discarded > 0);
	assert_int_equal(volume_getattr(m.v, a.ino, &a), 0);
	assert_int_equal(a.blocks, 0);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
	free(p);
	free(q);
}

/* A file that does not fit into the cache is read in order: what else was cached stays, and what was changed is not lost. */
static void test_passing(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_stats before, after;
	uint64_t big = 0, small = 0;
	size_t n = 8 * MIB, few = 64 * 4096;
	uint8_t *p = malloc(n), *q = malloc(n);

	fill(p, n, 11);
	fs_create(&d, 64 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "big", S_IFREG | 0600, &big), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "small", S_IFREG | 0600, &small), 0);
	assert_int_equal(volume_write(m.v, big, 0, p, n, 0, NULL), (long)n);
	assert_int_equal(volume_write(m.v, small, 0, p, few, 0, NULL), (long)few);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(volume_hold(m.v, big, 0), 0);
	assert_int_equal(volume_read(m.v, small, 0, q, few), (long)few);
	/* in the middle, not written to the device when the reader has passed it */
	memset(p + 2 * MIB, 'n', 3 * 4096);
	assert_int_equal(volume_write(m.v, big, 2 * MIB, p + 2 * MIB, 3 * 4096, 0, NULL), 3 * 4096);
	for (unsigned int round = 0; round < 2; round++) {
		memset(q, 0, n);
		for (size_t off = 0; off < n; off += 16384)
			assert_int_equal(volume_read(m.v, big, off, q + off, 16384), 16384);
		assert_memory_equal(p, q, n);
	}
	volume_stats_get(m.v, &before);
	assert_int_equal(volume_read(m.v, small, 0, q, few), (long)few);
	assert_memory_equal(p, q, few);
	volume_stats_get(m.v, &after);
	assert_int_equal(after.blocks_read, before.blocks_read);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
	free(p);
	free(q);
}

static void test_holes(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	uint64_t ino = 0, at;
	static uint8_t p[65536], q[65536];

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	memset(p, 'a', sizeof(p));
	assert_int_equal(volume_write(m.v, ino, 0, p, sizeof(p), 0, NULL), sizeof(p));
	assert_int_equal(volume_fallocate(m.v, ino, 5000, 20000, VOLUME_FALLOC_PUNCH_HOLE), 0);
	memset(p + 5000, 0, 20000);
	assert_int_equal(volume_read(m.v, ino, 0, q, sizeof(q)), sizeof(q));
	assert_memory_equal(p, q, sizeof(p));
	assert_int_equal(volume_seek_hole(m.v, ino, 0, &at), 0);
	assert_int_equal(at, 8192);
	assert_int_equal(volume_seek_data(m.v, ino, 8192, &at), 0);
	assert_int_equal(at, 24576);
	assert_int_equal(volume_getattr(m.v, ino, &a), 0);
	assert_int_equal(a.blocks, 12);
	/* inside one block */
	assert_int_equal(volume_fallocate(m.v, ino, 30000, 100, VOLUME_FALLOC_PUNCH_HOLE), 0);
	memset(p + 30000, 0, 100);
	assert_int_equal(volume_fallocate(m.v, ino, 60000, 10000, VOLUME_FALLOC_ZERO_RANGE), 0);
	memset(p + 60000, 0, 5536);
	assert_int_equal(volume_getattr(m.v, ino, &a), 0);
	assert_int_equal(a.size, 70000);
	assert_int_equal(volume_read(m.v, ino, 0, q, sizeof(q)), sizeof(q));
	assert_memory_equal(p, q, sizeof(p));
	assert_int_equal(volume_fallocate(m.v, ino, 70000, 10000, VOLUME_FALLOC_KEEP_SIZE), 0);
	assert_int_equal(volume_fallocate(m.v, ino, 0, 100000, 0), 0);
	assert_int_equal(volume_getattr(m.v, ino, &a), 0);
	assert_int_equal(a.size, 100000);
	assert_int_equal(volume_fallocate(m.v, ino, 0, (uint64_t)64 * MIB, 0), -ENOSPC);
	assert_int_equal(volume_fallocate(m.v, ino, 0, 0, 0), -EINVAL);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_names(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a, b;
	uint64_t dir = 0, sub = 0, ino = 0, up = 0;
	char name[257];

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "dir", S_IFDIR | 0755, &dir), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "dir", S_IFREG | 0600, &ino), -EEXIST);
	assert_int_equal(fs_make(&m, dir, "sub", S_IFDIR | 0700, &sub), 0);
	assert_int_equal(fs_make(&m, dir, "file", S_IFREG | 0600, &ino), 0);
	assert_int_equal(fs_make(&m, ino, "x", S_IFREG, NULL), -ENOTDIR);
	assert_int_equal(fs_make(&m, dir, "a/b", S_IFREG, NULL), -EINVAL);
	assert_int_equal(fs_make(&m, dir, "..", S_IFREG, NULL), -EINVAL);
	memset(name, 'n', 256);
	name[256] = 0;
	assert_int_equal(fs_make(&m, dir, name, S_IFREG, NULL), -ENAMETOOLONG);
	name[255] = 0;
	assert_int_equal(fs_make(&m, dir, name, S_IFREG, NULL), 0);
	assert_int_equal(fs_look(&m, dir, name, &a), 0);
	assert_int_equal(fs_look(&m, dir, "nothing", &a), -ENOENT);
	assert_int_equal(volume_parent(m.v, sub, &up), 0);
	assert_int_equal(up, dir);
	assert_int_equal(volume_getattr(m.v, dir, &a), 0);
	assert_int_equal(a.nlink, 3);
	/* links */
	assert_int_equal(volume_link(m.v, ino, VOLUME_ROOT, "hard", 4), 0);
	assert_int_equal(volume_link(m.v, dir, VOLUME_ROOT, "no", 2), -EPERM);
	assert_int_equal(volume_getattr(m.v, ino, &a), 0);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(volume_unlink(m.v, VOLUME_ROOT, "dir", 3), -EISDIR);
	assert_int_equal(volume_rmdir(m.v, VOLUME_ROOT, "dir", 3), -ENOTEMPTY);
	assert_int_equal(volume_rmdir(m.v, dir, "file", 4), -ENOTDIR);
	/* renames */
	assert_int_equal(volume_rename(m.v, VOLUME_ROOT, "dir", 3, sub, "in", 2, 0), -EINVAL);
	assert_int_equal(volume_rename(m.v, dir, "file", 4, VOLUME_ROOT, "hard", 4, 0),
		0); /* the same file: nothing happens */
	assert_int_equal(fs_look(&m, dir, "file", &a), 0);
	assert_int_equal(volume_rename(m.v, dir, "sub", 3, VOLUME_ROOT, "up", 2, 0), 0);
	assert_int_equal(volume_parent(m.v, sub, &up), 0);
	assert_int_equal(up, VOLUME_ROOT);
	assert_int_equal(volume_rename(m.v, dir, "file", 4, VOLUME_ROOT, "up", 2, 0), -EISDIR);
	assert_int_equal(volume_rename(m.v, VOLUME_ROOT, "up", 2, dir, "file", 4, 0), -ENOTDIR);
	assert_int_equal(
		volume_rename(m.v, dir, "file", 4, VOLUME_ROOT, "up", 2, VOLUME_RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(volume_rename(m.v, dir, "file", 4, VOLUME_ROOT, "up", 2, VOLUME_RENAME_EXCHANGE), 0);
	assert_int_equal(fs_look(&m, dir, "file", &a), 0);
	assert_int_equal(a.ino, sub);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "up", &a), 0);
	assert_int_equal(a.ino, ino);
	fs_verify(&d, &m);
	assert_int_equal(
		volume_rename(m.v, VOLUME_ROOT, "up", 2, VOLUME_ROOT, "gone", 4, VOLUME_RENAME_EXCHANGE),
		-ENOENT);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "other", S_IFREG | 0600, &up), 0);
	assert_int_equal(volume_rename(m.v, VOLUME_ROOT, "up", 2, VOLUME_ROOT, "other", 5, 0), 0);
	assert_int_equal(volume_getattr(m.v, up, &b), -ENOENT);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "empty", S_IFDIR | 0700, &up), 0);
	assert_int_equal(volume_rename(m.v, dir, "file", 4, VOLUME_ROOT, "empty", 5, 0), 0);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "empty", &a), 0);
	assert_int_equal(a.ino, sub);
	assert_int_equal(volume_rmdir(m.v, VOLUME_ROOT, "empty", 5), 0);
	assert_int_equal(volume_getattr(m.v, VOLUME_ROOT, &a), 0);
	assert_int_equal(a.nlink, 3);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_kinds(void **state)
{
	static const uint32_t kinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	struct volume_new what = {.mode = S_IFLNK | 0777, .target = "/a/b", .target_len = 4};
	char buf[8], name[2] = "0";

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(volume_make(m.v, VOLUME_ROOT, "l", 1, &what, 0, &a), 0);
	assert_int_equal(a.size, 4);
	assert_int_equal(volume_readlink(m.v, a.ino, buf, 2), 4);
	assert_memory_equal(buf, "/a", 2);
	assert_int_equal(volume_readlink(m.v, a.ino, buf, 8), 4);
	assert_memory_equal(buf, "/a/b", 4);
	assert_int_equal(volume_readlink(m.v, VOLUME_ROOT, buf, 8), -EINVAL);
	assert_int_equal(volume_read(m.v, a.ino, 0, buf, 4), -EINVAL);
	assert_int_equal(volume_read(m.v, VOLUME_ROOT, 0, buf, 4), -EISDIR);
	for (unsigned int i = 0; i < 4; i++) {
		what = (struct volume_new){.mode = kinds[i] | 0600, .rdev = 0x1234};
		name[0] = (char)('0' + i);
		assert_int_equal(volume_make(m.v, VOLUME_ROOT, name, 1, &what, 0, &a), 0);
		assert_int_equal(a.mode, kinds[i] | 0600);
		assert_int_equal(a.rdev, i < 2 ? 0 : 0x1234);
	}
	what.mode = 0600;
	assert_int_equal(volume_make(m.v, VOLUME_ROOT, "x", 1, &what, 0, &a), -EINVAL);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_attributes(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a, b = {.mode = 0444, .uid = 7, .gid = 8, .atime = 11, .mtime = -12, .ctime = 13};
	uint64_t ino = 0;

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	assert_int_equal(volume_setattr(m.v, ino, 63, &b), 0);
	assert_int_equal(volume_getattr(m.v, ino, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0444);
	assert_int_equal(a.uid, 7);
	assert_int_equal(a.gid, 8);
	assert_int_equal(a.atime, 11);
	assert_int_equal(a.mtime, -12);
	assert_int_equal(a.ctime, 13);
	b.atime = 99;
	assert_int_equal(volume_setattr(m.v, ino, VOLUME_SET_ATIME_ONLY, &b), 0);
	assert_int_equal(volume_getattr(m.v, ino, &b), 0);
	assert_int_equal(b.atime, 99);
	assert_int_equal(b.ctime, 13);
	assert_int_equal(b.change, a.change);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(volume_getattr(m.v, ino, &a), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	fs_close(&m);
	fs_device_free(&d);
}

static void test_xattr(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	uint64_t ino = 0;
	static uint8_t big[VOLUME_XATTR_VALUE_MAX + 1], got[VOLUME_XATTR_VALUE_MAX];
	char list[64];

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	assert_int_equal(volume_xattr_list(m.v, ino, list, 0), 0);
	assert_int_equal(volume_xattr_get(m.v, ino, "user.a", 6, got, 10), -ENODATA);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.a", 6, "one", 3, VOLUME_XATTR_REPLACE), -ENODATA);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.a", 6, "one", 3, VOLUME_XATTR_CREATE), 0);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.a", 6, "one", 3, VOLUME_XATTR_CREATE), -EEXIST);
	fill(big, sizeof(big), 3);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.b", 6, big, sizeof(big), 0), -E2BIG);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.b", 6, big, VOLUME_XATTR_VALUE_MAX, 0), 0);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.c", 6, big, VOLUME_XATTR_VALUE_MAX, 0), -ENOSPC);
	assert_int_equal(volume_xattr_set(m.v, ino, "user.a", 6, "three", 5, 0), 0);
	assert_int_equal(volume_xattr_get(m.v, ino, "user.a", 6, got, 4), -ERANGE);
	assert_int_equal(volume_xattr_get(m.v, ino, "user.a", 6, NULL, 0), 5);
	assert_int_equal(volume_xattr_get(m.v, ino, "user.a", 6, got, 5), 5);
	assert_memory_equal(got, "three", 5);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(volume_xattr_get(m.v, ino, "user.b", 6, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, big, sizeof(got));
	assert_int_equal(volume_xattr_list(m.v, ino, list, sizeof(list)), 14);
	assert_memory_equal(list, "user.b\0user.a", 14);
	assert_int_equal(volume_xattr_list(m.v, ino, list, 13), -ERANGE);
	assert_int_equal(volume_xattr_remove(m.v, ino, "user.b", 6), 0);
	assert_int_equal(volume_xattr_remove(m.v, ino, "user.b", 6), -ENODATA);
	fs_verify(&d, &m);
	assert_int_equal(volume_unlink(m.v, VOLUME_ROOT, "f", 1), 0);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_unlink_while_open(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	struct volume_statfs before, after;
	struct volume_new what = {.mode = S_IFREG | 0600};
	uint64_t ino = 0;
	static uint8_t p[300000];
	char buf[4];

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	volume_statfs_get(m.v, &before);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	assert_int_equal(volume_hold(m.v, ino, 12345), -ESTALE);
	assert_int_equal(volume_hold(m.v, ino, 0), 0);
	assert_int_equal(volume_write(m.v, ino, 0, p, sizeof(p), 0, NULL), sizeof(p));
	assert_int_equal(volume_unlink(m.v, VOLUME_ROOT, "f", 1), 0);
	assert_int_equal(volume_write(m.v, ino, 0, "abc", 3, 0, NULL), 3);
	assert_int_equal(volume_read(m.v, ino, 0, buf, 3), 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(volume_link(m.v, ino, VOLUME_ROOT, "again", 5), -ENOENT);
	assert_int_equal(volume_release(m.v, ino, 2), -EINVAL);
	assert_int_equal(volume_release(m.v, ino, 1), 0);
	assert_int_equal(volume_getattr(m.v, ino, &a), -ENOENT);
	assert_int_equal(volume_commit(m.v), 0);
	volume_statfs_get(m.v, &after);
	assert_int_equal(after.inodes, before.inodes);
	/* one block of the inode table may be there that was not */
	assert_true(after.free + 8 * 4096 >= before.free);
	/* a name later */
	assert_int_equal(volume_make_unnamed(m.v, &what, &a), 0);
	assert_int_equal(a.nlink, 0);
	assert_int_equal(volume_write(m.v, a.ino, 0, "tmp", 3, 0, NULL), 3);
	assert_int_equal(volume_link(m.v, a.ino, VOLUME_ROOT, "named", 5), 0);
	assert_int_equal(volume_release(m.v, a.ino, 1), 0);
	/* left behind at a crash: freed at the next open */
	assert_int_equal(volume_make_unnamed(m.v, &what, &a), 0);
	assert_int_equal(volume_write(m.v, a.ino, 0, p, sizeof(p), 0, NULL), sizeof(p));
	assert_int_equal(volume_commit(m.v), 0);
	fs_crash(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(m.report.orphans, 1);
	assert_int_equal(volume_getattr(m.v, a.ino, &a), -ENOENT);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "named", &a), 0);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_fsync(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	struct volume_stats st;
	uint64_t ino = 0, other = 0;
	static uint8_t p[2 * MIB], q[2 * MIB];

	fs_create(&d, 64 * MIB);
	fs_open(&d, &m, 4 * MIB);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "g", S_IFREG | 0600, &other), 0);
	fill(p, sizeof(p), 5);
	assert_int_equal(volume_write(m.v, ino, 0, p, 10000, 0, NULL), 10000);
	assert_int_equal(volume_write(m.v, other, 0, p, 10000, 0, NULL), 10000);
	volume_stats_get(m.v, &st);
	assert_int_equal(st.flushes, 0);
	assert_int_equal(volume_fsync(m.v, ino, false), 0);
	volume_stats_get(m.v, &st);
	assert_int_equal(st.flushes, 1);
	assert_int_equal(st.device_writes, 1);
	assert_int_equal(volume_write(m.v, ino, 50, "patch", 5, 0, NULL), 5);
	memcpy(p + 50, "patch", 5);
	assert_int_equal(volume_fsync(m.v, ino, true), 0);
	fs_crash(&m);
	fs_open(&d, &m, 4 * MIB);
	assert_int_equal(m.report.log_records, 2);
	assert_int_equal(volume_read(m.v, ino, 0, q, sizeof(q)), 10000);
	assert_memory_equal(p, q, 10000);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "g", &a), 0);
	fs_verify(&d, &m);
	/* much: by reference */
	assert_int_equal(volume_write(m.v, ino, 0, p, sizeof(p), 0, NULL), sizeof(p));
	assert_int_equal(volume_fsync(m.v, ino, true), 0);
	volume_stats_get(m.v, &st);
	assert_int_equal(st.log_appends, 1);
	assert_true(st.bytes_logged < 65536);
	assert_int_equal(volume_write(m.v, ino, 5000, "again", 5, 0, NULL), 5);
	memcpy(p + 5000, "again", 5);
	assert_int_equal(volume_fsync(m.v, ino, true), 0);
	assert_int_equal(volume_truncate(m.v, ino, 1500000), 0);
	assert_int_equal(volume_fsync(m.v, ino, true), 0);
	fs_crash(&m);
	fs_open(&d, &m, 4 * MIB);
	assert_int_equal(m.report.log_records, 3);
	assert_int_equal(volume_read(m.v, ino, 0, q, sizeof(q)), 1500000);
	assert_memory_equal(p, q, 1500000);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_full(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	uint64_t ino = 0;
	static uint8_t p[1 * MIB];
	uint64_t off = 0;
	long n;

	fs_create(&d, 8 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	for (unsigned int round = 0; round < 5; round++) {
		while ((n = volume_write(m.v, ino, off, p, sizeof(p), 0, NULL)) > 0)
			off += (uint64_t)n;
		assert_int_equal(n, -ENOSPC);
		assert_true(off > 5 * MIB);
		assert_int_equal(volume_commit(m.v), 0);
		fs_verify(&d, &m);
		/* room can always be made, and what is there changed */
		assert_int_equal(volume_truncate(m.v, ino, off = 4096 * round), 0);
		assert_int_equal(volume_commit(m.v), 0);
	}
	assert_int_equal(volume_unlink(m.v, VOLUME_ROOT, "f", 1), 0);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_resize(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_open_options o = {.limits = {.max_size = 512 * MIB}};
	struct volume_statfs f;
	uint64_t ino = 0;
	static uint8_t p[6 * MIB];

	fs_create(&d, 8 * MIB);
	munmap(d.data + 0, 0);
	d.data = mremap(d.data, d.size, 512 * MIB, MREMAP_MAYMOVE);
	d.size = 512 * MIB;
	assert_int_equal(fs_try_open(&d, &m, VOLUME_CACHE_MIN, &o), 0);
	assert_int_equal(volume_resize(m.v, 513u * MIB), -EFBIG);
	assert_int_equal(volume_resize(m.v, 400 * MIB), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	for (unsigned int i = 0; i < 30; i++)
		assert_int_equal(volume_write(m.v, ino, i * sizeof(p), p, sizeof(p), 0, NULL), sizeof(p));
	fs_verify(&d, &m);
	assert_int_equal(volume_resize(m.v, 16 * MIB), -EBUSY);
	fs_close(&m);
	assert_int_equal(fs_try_open(&d, &m, VOLUME_CACHE_MIN, &o), 0);
	volume_statfs_get(m.v, &f);
	assert_int_equal(f.size, 400 * MIB);
	assert_int_equal(volume_unlink(m.v, VOLUME_ROOT, "f", 1), 0);
	assert_int_equal(volume_commit(m.v), 0);
	assert_int_equal(volume_resize(m.v, 256 * MIB), 0);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_device_fails(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	uint64_t ino = 0;
	char buf[5];

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, &ino), 0);
	assert_int_equal(volume_write(m.v, ino, 0, "safe", 4, 0, NULL), 4);
	assert_int_equal(volume_fsync(m.v, ino, false), 0);
	d.fail_after = 0;
	assert_int_equal(volume_write(m.v, ino, 0, "lost", 4, 0, NULL), 4);
	assert_int_equal(volume_fsync(m.v, ino, false), -EIO);
	d.fail_after = -1;
	assert_int_equal(volume_fsync(m.v, ino, false), -EROFS);
	assert_int_equal(volume_write(m.v, ino, 0, "more", 4, 0, NULL), -EROFS);
	assert_int_equal(volume_read(m.v, ino, 0, buf, 5), 4);
	fs_crash(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "f", &a), 0);
	assert_int_equal(volume_read(m.v, ino, 0, buf, 5), 4);
	assert_memory_equal(buf, "safe", 4);
	fs_close(&m);
	fs_device_free(&d);
}

static void test_fresh(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_open_options o = {.read_only = false};
	struct volume_version v, old;
	uint8_t *copy = malloc(16 * MIB);

	fs_create(&d, 16 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	volume_version_get(m.v, &old);
	memcpy(copy, d.data, d.size);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, NULL), 0);
	assert_int_equal(volume_fsync(m.v, VOLUME_ROOT, false), 0);
	volume_version_get(m.v, &v);
	assert_int_equal(v.generation, old.generation + 1);
	assert_int_equal(d.version.generation, v.generation);
	assert_memory_equal(d.version.tag, v.tag, sizeof(v.tag));
	fs_crash(&m);
	o.at_least = &v;
	o.read_only = true;
	assert_int_equal(fs_try_open(&d, &m, VOLUME_CACHE_MIN, &o), 0);
	assert_int_equal(m.report.found.generation, v.generation);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "g", S_IFREG | 0600, NULL), -EROFS);
	fs_close(&m);
	/* the older state, and another one of the same age */
	memcpy(d.data, copy, d.size);
	assert_int_equal(fs_try_open(&d, &m, VOLUME_CACHE_MIN, &o), -ESTALE);
	assert_int_equal(d.fault.seen, old.generation);
	assert_int_equal(d.fault.wanted, v.generation);
	d.version = old;
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "h", S_IFREG | 0600, NULL), 0);
	assert_int_equal(volume_fsync(m.v, VOLUME_ROOT, false), 0);
	fs_crash(&m);
	assert_int_equal(fs_try_open(&d, &m, VOLUME_CACHE_MIN, &o), -ESTALE);
	/* not told, not acknowledged; told again later */
	d.version.generation = 0;
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "i", S_IFREG | 0600, NULL), 0);
	d.publish_error = -EHOSTDOWN;
	assert_int_equal(volume_fsync(m.v, VOLUME_ROOT, false), -EHOSTDOWN);
	d.publish_error = 0;
	d.published = 0;
	assert_int_equal(volume_fsync(m.v, VOLUME_ROOT, false), 0);
	assert_int_equal(d.published, 1);
	fs_close(&m);
	fs_device_free(&d);
	free(copy);
}

static void test_readdir(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_dirent e[7];
	uint64_t dir = 0, cookie = 0;
	unsigned int seen = 0, n = 5000;
	uint8_t *met = calloc(n, 1);
	char name[32];
	long got;

	fs_create(&d, 32 * MIB);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "d", S_IFDIR | 0700, &dir), 0);
	for (unsigned int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file %u", i);
		assert_int_equal(fs_make(&m, dir, name, S_IFREG | 0600, NULL), 0);
	}
	/* entries come and go while it is read; those that stay are seen once */
	while ((got = volume_readdir(m.v, dir, cookie, e, 7)) > 0) {
		for (long i = 0; i < got; i++) {
			unsigned int k;

			assert_true(e[i].cookie > cookie);
			cookie = e[i].cookie;
			seen++;
			if (e[i].name[0] == '.') {
				assert_int_equal(e[i].ino, e[i].name_len == 1 ? dir : VOLUME_ROOT);
				continue;
			}
			if (sscanf(e[i].name, "file %u", &k) == 1) {
				assert_int_equal(e[i].type, DT_REG);
				assert_int_equal(met[k]++, 0);
			}
		}
		snprintf(name, sizeof(name), "new %llu", (unsigned long long)cookie);
		assert_int_equal(fs_make(&m, dir, name, S_IFREG | 0600, NULL), 0);
		assert_int_equal(volume_unlink(m.v, dir, name, strlen(name)), 0);
	}
	assert_int_equal(got, 0);
	assert_int_equal(seen, n + 2);
	fs_verify(&d, &m);
	/* all away, in another order, and the directory is small again */
	for (unsigned int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file %u", (i * 4999u) % n);
		assert_int_equal(volume_unlink(m.v, dir, name, strlen(name)), 0);
	}
	assert_int_equal(volume_readdir(m.v, dir, 0, e, 7), 2);
	assert_int_equal(volume_rmdir(m.v, VOLUME_ROOT, "d", 1), 0);
	fs_verify(&d, &m);
	fs_close(&m);
	free(met);
	fs_device_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_passing),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_xattr),
		cmocka_unit_test(test_unlink_while_open),
		cmocka_unit_test(test_fsync),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_device_fails),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_readdir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
