/*
 * fuzz_volume: the readers of a volume's structures, without the cipher that stands before them (aead_null.c): superblocks, intent log, tree
 * nodes, inodes, directories, space map. Whatever they hold, opening, reading, changing and verifying ends, with an error or without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "device.h"
#include "fuzz.h"
#include "shield/fs/format.h"

#define SIZE ((uint64_t)VOLUME_MIN_BYTES)
#define LOG_BLOCKS 32u
#define ENTRIES_MAX 4000 /* a malformed directory may go round; the walk does not */

static struct device image, work; /* image: killed after fsyncs, so that it has a log */
static uint8_t patches[8192];
static size_t patches_len;
static void *arena;
static size_t arena_len;

static void build(void)
{
	struct volume_create_options o = {
		.size = SIZE, .root_mode = 0755, .log_bytes = LOG_BLOCKS * FORMAT_BLOCK};
	struct volume_limits l = {SIZE, VOLUME_CACHE_MIN, 1024};
	struct volume_new file = {.mode = S_IFREG | 0600}, dir = {.mode = S_IFDIR | 0700},
			  sym = {.mode = S_IFLNK | 0777, .target = "target", .target_len = 6};
	struct volume_version version;
	static uint8_t content[300000];
	struct volume_attr a;
	struct volume_env env;
	struct volume *v;
	char name[64];

	device_init(&image, 1);
	device_init(&work, 2);
	env = device_env(&image);
	arena = device_arena(&l, &arena_len);
	memset(content, 'c', sizeof(content));
	fuzz_check(volume_create(&env, device_key, &o, &version) == 0);
	fuzz_check(device_open(&image, SIZE, arena, arena_len, false, NULL, &v, NULL) == 0);
	fuzz_check(volume_make(v, VOLUME_ROOT, "dir", 3, &dir, 0, &a) == 0);
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "entry with some length %u", i);
		fuzz_check(
			volume_make(v, i % 3 ? a.ino : VOLUME_ROOT, name, strlen(name), &file, 0, NULL) == 0);
	}
	fuzz_check(volume_make(v, VOLUME_ROOT, "link", 4, &sym, 0, NULL) == 0);
	fuzz_check(volume_make(v, VOLUME_ROOT, "big", 3, &file, 0, &a) == 0);
	fuzz_check(volume_write(v, a.ino, 5000, content, sizeof(content), 0, NULL) == sizeof(content));
	fuzz_check(volume_xattr_set(v, a.ino, "user.x", 6, "value", 5, 0) == 0);
	fuzz_check(volume_commit(v) == 0);
	for (unsigned i = 0; i < 4; i++) {
		fuzz_check(volume_write(v, a.ino, i * 9000, content, 3000, 0, NULL) == 3000);
		(void)snprintf(name, sizeof(name), "later %u", i);
		fuzz_check(volume_make(v, VOLUME_ROOT, name, strlen(name), &file, 0, NULL) == 0);
		fuzz_check(volume_fsync(v, a.ino, false) == 0);
	}
	volume_detach(v);
}

/* Answers are ignored: that there is one is the test. */
static void walk(struct volume *v, uint64_t dir, unsigned depth, unsigned *left)
{
	struct volume_dirent e[16];
	static uint8_t b[16384];
	struct volume_attr a;
	uint64_t cookie = 0, data;
	long n;

	while (*left && (n = volume_readdir(v, dir, cookie, e, 16)) > 0) {
		for (long i = 0; i < n && *left; i++) {
			(*left)--;
			if (!strcmp(e[i].name, ".") || !strcmp(e[i].name, "..") ||
				volume_lookup(v, dir, e[i].name, e[i].name_len, 0, &a))
				continue;
			fuzz_check(volume_xattr_list(v, a.ino, (char *)b, sizeof(b)) <= (long)sizeof(b));
			fuzz_check(volume_readlink(v, a.ino, (char *)b, sizeof(b)) <= VOLUME_SYMLINK_MAX);
			fuzz_check(volume_read(v, a.ino, 0, b, sizeof(b)) <= (long)sizeof(b));
			fuzz_check(volume_read(v, a.ino, a.size / 2, b, sizeof(b)) <= (long)sizeof(b));
			if (volume_seek_data(v, a.ino, 0, &data) == 0)
				fuzz_check(data < a.size);
			if (S_ISDIR(a.mode) && depth < 8)
				walk(v, a.ino, depth + 1, left);
		}
		cookie = e[n - 1].cookie;
	}
}

static void change(struct volume *v)
{
	struct volume_new file = {.mode = S_IFREG | 0600};
	struct volume_attr a, d = {.ino = VOLUME_ROOT};
	int ignored = volume_lookup(v, VOLUME_ROOT, "dir", 3, 0, &d);

	if (volume_make(v, d.ino, "new", 3, &file, 0, &a) == 0) {
		ignored |= volume_write(v, a.ino, 10000, "text", 4, 0, NULL) < 0;
		ignored |= volume_fsync(v, a.ino, false);
		ignored |= volume_rename(v, d.ino, "new", 3, VOLUME_ROOT, "later 1", 7, 0);
	}
	if (volume_lookup(v, VOLUME_ROOT, "big", 3, 0, &a) == 0) {
		ignored |= volume_truncate(v, a.ino, 7000);
		ignored |= volume_xattr_remove(v, a.ino, "user.x", 6);
		ignored |= volume_unlink(v, VOLUME_ROOT, "big", 3);
	}
	ignored |= volume_unlink(v, d.ino, "entry with some length 1", 24);
	ignored |= volume_commit(v);
	(void)ignored;
}

static void open_and_use(bool read_only)
{
	struct volume_verify_cursor cursor = {0};
	unsigned left = ENTRIES_MAX;
	struct volume *v;
	int ignored;

	if (device_open(&work, SIZE, arena, arena_len, read_only, NULL, &v, NULL))
		return;
	walk(v, VOLUME_ROOT, 0, &left);
	ignored = volume_verify(v, &cursor, NULL, NULL);
	if (!read_only)
		change(v);
	cursor = (struct volume_verify_cursor){0};
	ignored |= volume_verify(v, &cursor, NULL, NULL);
	ignored |= volume_close(v);
	(void)ignored;
}

static void overlay(uint64_t at, const uint8_t *p, size_t n, size_t max)
{
	device_set(&work, image.p, image.size);
	memcpy(work.p + at, p, n < max ? n : max);
}

static void run_super(const uint8_t *p, size_t n)
{
	overlay(0, p, n, 2 * FORMAT_BLOCK);
	open_and_use(n % 2);
}

static void run_log(const uint8_t *p, size_t n)
{
	overlay(FORMAT_LOG_START * FORMAT_BLOCK, p, n, LOG_BLOCKS * FORMAT_BLOCK);
	open_and_use(false);
}

/* Each patch: block (of those in use), offset, length, then so many bytes. */
static void run_trees(const uint8_t *p, size_t n)
{
	uint64_t blocks = image.size / FORMAT_BLOCK;

	device_set(&work, image.p, image.size);
	while (n >= 5) {
		uint64_t block = (FORMAT_LOG_START + LOG_BLOCKS + ((uint64_t)p[0] << 8 | p[1])) % blocks;
		size_t off = ((size_t)p[2] << 8 | p[3]) % FORMAT_BLOCK, len = p[4] % 40;

		p += 5;
		n -= 5;
		len = len < n ? len : n;
		len = len < FORMAT_BLOCK - off ? len : FORMAT_BLOCK - off;
		memcpy(work.p + block * FORMAT_BLOCK + off, p, len);
		p += len;
		n -= len;
	}
	open_and_use(false);
}

/* Seeds of patches: a few words that matter, at places where structures have numbers. */
static void make_patches(void)
{
	static const uint8_t words[][8] = {{0}, {1}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0, 0, 0, 0, 0, 0, 0, 0x80}, {2, 16, 3}};

	for (unsigned i = 0; i < 60; i++) {
		uint8_t *p = patches + patches_len;
		unsigned block = i * 5 % 90, off = (i * 136) % FORMAT_BLOCK;

		p[0] = 0;
		p[1] = (uint8_t)block;
		p[2] = (uint8_t)(off >> 8);
		p[3] = (uint8_t)off;
		p[4] = 8;
		memcpy(p + 5, words[i % 5], 8);
		patches_len += 13;
	}
}

int main(int argc, char **argv)
{
	int rc;

	build();
	make_patches();
	{
		const struct fuzz_seed supers[] = {{image.p, 2 * FORMAT_BLOCK}};
		const struct fuzz_seed logs[] = {
			{image.p + FORMAT_LOG_START * FORMAT_BLOCK, 24 * FORMAT_BLOCK / 2}};
		const struct fuzz_seed trees[] = {
			{patches, 13}, {patches + 13, 26}, {patches + 39, 130}, {patches, patches_len}};
		const struct fuzz_target targets[] = {{"superblock", run_super, supers, 1, NULL},
			{"intent log", run_log, logs, 1, NULL}, {"trees", run_trees, trees, 4, NULL}};

		rc = fuzz_main(argc, argv, targets, 3, 150);
	}
	device_free(&image);
	device_free(&work);
	device_arena_free(arena, arena_len);
	return rc;
}
