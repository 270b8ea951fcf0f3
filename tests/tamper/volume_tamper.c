/*
 * volume_tamper: everything a host can do to the blocks of a volume.
 *
 *   volume_tamper [-f] [SEED]      -f: every field and byte of every block
 *
 * A volume with one of everything is changed in one place at a time: a field of a structure, any byte, a block zeroed, filled, exchanged with
 * another, replaced by an older version of itself, the file cut off. Then it is opened as it would be with its version kept at CAS, and read:
 * whatever is answered without an error must be right, what is not right must be an error that names what failed, and verification must
 * find every change of a block that is in use.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "device.h"
#include "shield/fs/format.h"

#define SIZE ((uint64_t)4 << 20) /* small, so that places are used again */
#define FILES 24
#define BLOCKS_MAX 4096

struct file {
	char path[2][64]; /* directory ("" for the root), name */
	uint32_t mode;
	size_t size;
	uint8_t *p;
	char xattr[32];
};

struct world {
	struct device now, older; /* closed; older: two commits before */
	struct device logged; /* killed after fsyncs: has an intent log */
	struct volume_version version, logged_version, older_version;
	struct file files[FILES];
	unsigned file_count;
	void *arena;
	size_t arena_len;
	uint64_t random;
	unsigned long mutants, detected, harmless;
	char failure[1024];
};

static struct world w;

static void need(int rc, const char *what)
{
	if (rc < 0) {
		printf("not ok %s: %s\n", what, strerror(-rc));
		exit(1);
	}
}

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	if (w.failure[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(w.failure, sizeof(w.failure), fmt, ap);
	va_end(ap);
}

/* --- the volume --- */

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed * 41 + i * 13 + (i >> 10)) | 1;
}

static uint64_t find_dir(struct volume *v, const char *dir)
{
	struct volume_attr a = {.ino = VOLUME_ROOT};

	if (*dir)
		need(volume_lookup(v, VOLUME_ROOT, dir, strlen(dir), 0, &a), dir);
	return a.ino;
}

static void add(struct volume *v, const char *dir, const char *name, size_t size, size_t hole)
{
	struct file *f = &w.files[w.file_count++];
	struct volume_new what = {.mode = S_IFREG | 0640, .uid = w.file_count, .gid = 100};
	struct volume_attr a;

	(void)snprintf(f->path[0], sizeof(f->path[0]), "%s", dir);
	(void)snprintf(f->path[1], sizeof(f->path[1]), "%s", name);
	f->mode = what.mode;
	f->size = hole + size;
	f->p = calloc(1, f->size + 1);
	fill(f->p + hole, size, w.file_count);
	need(volume_make(v, find_dir(v, dir), name, strlen(name), &what, 0, &a), name);
	if (size && volume_write(v, a.ino, hole, f->p + hole, size, 0, NULL) != (long)size)
		need(-ENOSPC, name);
	if (w.file_count % 3 == 0) {
		(void)snprintf(f->xattr, sizeof(f->xattr), "value %u", w.file_count);
		need(volume_xattr_set(v, a.ino, "user.x", 6, f->xattr, strlen(f->xattr), 0), "xattr");
	}
}

static void overwrite(struct volume *v, unsigned i, size_t off, size_t n)
{
	struct file *f = &w.files[i];
	struct volume_attr a;

	fill(f->p + off, n, device_next(&w.random) & 0xff);
	need(volume_lookup(v, find_dir(v, f->path[0]), f->path[1], strlen(f->path[1]), 0, &a), f->path[1]);
	if (volume_write(v, a.ino, off, f->p + off, n, 0, NULL) != (long)n)
		need(-ENOSPC, "overwrite");
}

static void populate(struct volume *v)
{
	static const char *const dirs[] = {"one", "two", "big"};
	struct volume_new what = {.mode = S_IFDIR | 0755};
	char name[40];

	for (unsigned i = 0; i < 3; i++)
		need(volume_make(v, VOLUME_ROOT, dirs[i], 3, &what, 0, NULL), dirs[i]);
	add(v, "", "empty", 0, 0);
	add(v, "", "small", 10, 0);
	add(v, "one", "block", 4096, 0);
	add(v, "one", "tree", 500000, 0);
	add(v, "two", "sparse", 5000, 3000000);
	add(v, "two", "odd", 12345, 0);
	for (unsigned i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		add(v, i % 2 ? "one" : "big", name, 1000 * i, 0);
	}
	what = (struct volume_new){.mode = S_IFLNK | 0777, .target = "somewhere/else", .target_len = 14};
	need(volume_make(v, VOLUME_ROOT, "symlink", 7, &what, 0, NULL), "symlink");
	what = (struct volume_new){.mode = S_IFREG | 0600};
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "entry-with-a-longer-name-%u", i);
		need(volume_make(v, find_dir(v, "big"), name, strlen(name), &what, 0, NULL), name);
	}
}

static void copy_device(struct device *to, const struct device *from)
{
	device_init(to, 5);
	device_set(to, from->p, from->size);
}

static void build(void)
{
	struct volume_create_options o = {
		.size = SIZE, .label = "tamper", .root_mode = 0755, .log_bytes = 256 << 10};
	struct volume_limits l = {SIZE, VOLUME_CACHE_MIN, 1024};
	struct volume *v;
	struct volume_env env;
	struct volume_attr a;
	struct device *d = &w.now;

	device_init(d, 3);
	env = device_env(d);
	w.arena = device_arena(&l, &w.arena_len);
	need(volume_create(&env, device_key, &o, &w.version), "create");
	need(device_open(d, SIZE, w.arena, w.arena_len, false, NULL, &v, NULL), "open");
	populate(v);
	need(volume_commit(v), "commit");
	volume_version_get(v, &w.older_version);
	copy_device(&w.older, d);
	/* Now almost every kind of block has a newer version of itself, at the same place or elsewhere. */
	for (unsigned i = 0; i < 60; i++) {
		overwrite(v, 3, 4096 * (i % 15) * 7, 60000);
		overwrite(v, 5, 0, 12345);
		overwrite(v, 8 + i % 4, 0, 900);
		need(volume_commit(v), "commit");
	}
	for (unsigned i = 0; i < 5; i++) {
		overwrite(v, 3, 100000 + i * 5000, 3000);
		need(volume_lookup(v, find_dir(v, "one"), "tree", 4, 0, &a), "tree");
		need(volume_fsync(v, a.ino, false), "fsync");
	}
	volume_version_get(v, &w.logged_version);
	copy_device(&w.logged, d);
	need(volume_close(v), "close");
	need(device_open(d, SIZE, w.arena, w.arena_len, true, NULL, &v, NULL), "open again");
	volume_version_get(v, &w.version);
	volume_detach(v);
}

/* --- reading what is left --- */

static bool damaged(int rc, const struct device *d, const char *what)
{
	if (rc != -EBADMSG && rc != -ESTALE) {
		fail("%s: %s, wanted success, EBADMSG or ESTALE", what, strerror(-rc));
		return true;
	}
	if (d->faults == 0 || !d->last.structure || !d->last.structure[0] || !d->last.text[0])
		fail("%s: an error that does not say what failed", what);
	return true;
}

static void read_file(struct volume *v, const struct file *f, const struct device *d)
{
	static uint8_t b[4 << 20];
	struct volume_attr dir = {.ino = VOLUME_ROOT}, a;
	char x[64];
	int rc = f->path[0][0] ? volume_lookup(v, VOLUME_ROOT, f->path[0], strlen(f->path[0]), 0, &dir) : 0;
	long n;

	rc = rc ? rc : volume_lookup(v, dir.ino, f->path[1], strlen(f->path[1]), 0, &a);
	if (rc) {
		(void)damaged(rc, d, f->path[1]);
		return;
	}
	if (a.size != f->size || a.mode != f->mode)
		fail("%s has %" PRIu64 " bytes and mode %o, wanted %zu and %o", f->path[1], a.size, a.mode,
			f->size, f->mode);
	/* In pieces: what lies beside a damaged block is still there. */
	for (size_t at = 0; at < f->size; at += 65536) {
		size_t want = f->size - at < 65536 ? f->size - at : 65536;

		n = volume_read(v, a.ino, at, b, want);
		if (n < 0)
			(void)damaged((int)n, d, f->path[1]);
		else if ((size_t)n != want || memcmp(b, f->p + at, want) != 0)
			fail("%s: wrong data in the bytes from %zu on", f->path[1], at);
	}
	if (!f->xattr[0])
		return;
	n = volume_xattr_get(v, a.ino, "user.x", 6, x, sizeof(x));
	if (n < 0)
		(void)damaged((int)n, d, "an attribute");
	else if ((size_t)n != strlen(f->xattr) || memcmp(x, f->xattr, (size_t)n) != 0)
		fail("%s: wrong attribute", f->path[1]);
}

static void list(struct volume *v, const struct device *d)
{
	struct volume_dirent e[64];
	struct volume_attr a;
	uint64_t cookie = 0;
	unsigned seen = 0;
	long n;
	int rc = volume_lookup(v, VOLUME_ROOT, "big", 3, 0, &a);

	if (rc) {
		(void)damaged(rc, d, "big");
		return;
	}
	while ((n = volume_readdir(v, a.ino, cookie, e, 64)) > 0) {
		seen += (unsigned)n;
		cookie = e[n - 1].cookie;
	}
	if (n < 0)
		(void)damaged((int)n, d, "readdir");
	else if (seen != 2 + 300 + 6)
		fail("readdir gave %u entries, wanted 308", seen);
}

/* Open the mutant as its owner would; *ret_found: something said that it was changed. */
static void examine(struct device *d, const struct volume_version *at_least, bool *ret_found)
{
	struct volume_verify_cursor cursor = {0};
	struct volume_open_report report = {0};
	struct volume *v;
	int rc = device_open(d, SIZE, w.arena, w.arena_len, true, at_least, &v, &report);

	*ret_found = true;
	if (rc) {
		/* A file that is gone altogether is no volume; all else has a fault that tells. */
		if (rc != -ENODATA)
			(void)damaged(rc, d, "open");
		return;
	}
	for (unsigned i = 0; i < w.file_count; i++)
		read_file(v, &w.files[i], d);
	list(v, d);
	rc = volume_verify(v, &cursor, NULL, NULL);
	if (rc)
		(void)damaged(rc, d, "verify");
	*ret_found = rc != 0 || report.superblock_damaged || d->faults > 0;
	volume_detach(v);
}

/* --- changes --- */

enum kind { LIVE, LOGGED };

static void try(struct device *d, enum kind kind, bool must_show, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void try(struct device *d, enum kind kind, bool must_show, const char *fmt, ...)
{
	const struct device *whole = kind == LIVE ? &w.now : &w.logged;
	bool found, had = w.failure[0] != '\0';
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	w.mutants++;
	examine(d, kind == LIVE ? &w.version : &w.logged_version, &found);
	if (must_show && !found)
		fail("not detected");
	w.detected += found;
	w.harmless += !found;
	if (w.failure[0] && !had) {
		char copy[sizeof(w.failure)];

		(void)snprintf(copy, sizeof(copy), "%s", w.failure);
		(void)snprintf(w.failure, sizeof(w.failure), "%s: %.800s", what, copy);
	}
	device_set(d, whole->p, whole->size);
}

static uint8_t *block(struct device *d, uint64_t b)
{
	return d->p + b * FORMAT_BLOCK;
}

static bool is_zero(const uint8_t *p)
{
	for (unsigned i = 0; i < FORMAT_BLOCK; i++)
		if (p[i])
			return false;
	return true;
}

struct field {
	const char *name;
	unsigned off, len;
};
#define FIELD(s, f)                                                                                          \
	{                                                                                                    \
#s "." #f, offsetof(struct s, f), sizeof(((struct s *)0)->f)                                 \
	}
static const struct field super_fields[] = {FIELD(format_super, magic), FIELD(format_super, version),
	FIELD(format_super, block_size), FIELD(format_super, id), FIELD(format_super, salt),
	FIELD(format_super, slot), FIELD(format_super, generation), FIELD(format_super, tag),
	FIELD(format_super, blocks), FIELD(format_super, log_blocks), FIELD(format_super, free_blocks),
	FIELD(format_super, created), FIELD(format_super, committed), FIELD(format_super, label),
	FIELD(format_super, inodes.height), FIELD(format_super, inodes.zero),
	FIELD(format_super, inodes.blocks), FIELD(format_super, inodes.root.loc),
	FIELD(format_super, inodes.root.gen), FIELD(format_super, inodes.root.salt),
	FIELD(format_super, inodes.root.tag), FIELD(format_super, inodes.zero2),
	FIELD(format_super, map.height), FIELD(format_super, map.blocks), FIELD(format_super, map.root.loc),
	FIELD(format_super, map.root.gen), FIELD(format_super, map.root.salt),
	FIELD(format_super, map.root.tag), FIELD(format_super, zero)};
static const struct field log_fields[] = {FIELD(format_log, tag), FIELD(format_log, salt),
	FIELD(format_log, blocks), FIELD(format_log, generation), FIELD(format_log, base),
	FIELD(format_log, before), FIELD(format_log, bytes),
	{"first operation, type", sizeof(struct format_log) + offsetof(struct format_log_op, type), 2},
	{"first operation, offset", sizeof(struct format_log) + offsetof(struct format_log_op, offset), 2},
	{"first operation, ino", sizeof(struct format_log) + offsetof(struct format_log_op, ino), 8},
	{"first operation, index", sizeof(struct format_log) + offsetof(struct format_log_op, index), 8},
	{"first operation, count", sizeof(struct format_log) + offsetof(struct format_log_op, count), 8}};
/* In a block that is encrypted as a whole these are where its structure has them, whichever of them it is. */
static const struct field block_fields[] = {FIELD(format_node, ptr[0].loc), FIELD(format_node, ptr[0].gen),
	FIELD(format_node, ptr[0].salt), FIELD(format_node, ptr[0].tag), FIELD(format_node, ptr[101].tag),
	FIELD(format_node, owner), FIELD(format_node, place), FIELD(format_inode, mode),
	FIELD(format_inode, nlink), FIELD(format_inode, uid), FIELD(format_inode, gid),
	FIELD(format_inode, size), FIELD(format_inode, rdev), FIELD(format_inode, atime),
	FIELD(format_inode, mtime), FIELD(format_inode, ctime), FIELD(format_inode, btime),
	FIELD(format_inode, change), FIELD(format_inode, gen), FIELD(format_inode, parent),
	FIELD(format_inode, xattr), FIELD(format_inode, next), FIELD(format_inode, prev),
	FIELD(format_inode, flags), FIELD(format_inode, dir_free), FIELD(format_inode, dir_entries),
	FIELD(format_inode, tree), FIELD(format_record, free_head), FIELD(format_record, high),
	FIELD(format_record, orphan_head), FIELD(format_record, inodes), FIELD(format_dir, level),
	FIELD(format_dir, count), FIELD(format_dir, heap), FIELD(format_dir, lost),
	FIELD(format_dir, next_free)};

static void change_fields(
	struct device *d, enum kind kind, uint64_t b, const struct field *f, size_t n, bool all)
{
	for (size_t i = 0; i < n && !w.failure[0]; i++) {
		unsigned at = f[i].off + (unsigned)device_below(&w.random, f[i].len);

		block(d, b)[at] ^= (uint8_t)(1u << device_below(&w.random, 8));
		try(d, kind, true, "%s of block %" PRIu64 ", a bit", f[i].name, b);
		if (!all)
			continue;
		memset(block(d, b) + f[i].off, 0xff, f[i].len);
		try(d, kind, false, "%s of block %" PRIu64 ", all ones", f[i].name, b);
		memset(block(d, b) + f[i].off, 0, f[i].len);
		try(d, kind, false, "%s of block %" PRIu64 ", zero", f[i].name, b);
	}
}

/* Blocks that verification reads: those whose damage shows. Everything the volume counts as in use must be among them. */
static unsigned find_live(uint8_t *live, uint64_t blocks)
{
	struct device d = {0};
	unsigned n = 0;
	bool found;

	copy_device(&d, &w.now);
	for (uint64_t b = 2; b < blocks; b++) {
		if (is_zero(block(&d, b)))
			continue;
		block(&d, b)[device_below(&w.random, FORMAT_BLOCK)] ^= 0x80;
		examine(&d, &w.version, &found);
		live[b] = found;
		n += found;
		w.mutants++;
		device_set(&d, w.now.p, w.now.size);
		if (w.failure[0])
			break;
	}
	device_free(&d);
	return n;
}

static void check_count(unsigned live)
{
	struct volume_verify_cursor cursor = {0};
	struct device d = {0};
	struct volume *v;

	copy_device(&d, &w.now);
	need(device_open(&d, SIZE, w.arena, w.arena_len, true, &w.version, &v, NULL), "open");
	need(volume_verify(v, &cursor, NULL, NULL), "verify");
	volume_detach(v);
	device_free(&d);
	/* The two superblocks are not among those looked at. */
	if (live + 2 < cursor.blocks_done)
		fail("a changed byte shows in %u blocks, verification reads %" PRIu64, live,
			cursor.blocks_done);
}

static void result(const char *name)
{
	if (w.failure[0])
		printf("not ok %s: %s\n", name, w.failure);
	else
		printf("ok %s: %lu changes, %lu detected, %lu of nothing in use\n", name, w.mutants,
			w.detected, w.harmless);
	fflush(stdout);
	w.mutants = w.detected = w.harmless = 0;
}

static unsigned passed, failed;

static void part(const char *name,
	void (*run)(struct device *d, const uint8_t *live, uint64_t blocks, bool all), enum kind kind,
	const uint8_t *live, uint64_t blocks, bool all)
{
	struct device d = {0};

	copy_device(&d, kind == LIVE ? &w.now : &w.logged);
	run(&d, live, blocks, all);
	result(name);
	*(w.failure[0] ? &failed : &passed) += 1;
	w.failure[0] = '\0';
	device_free(&d);
}

static void run_super(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	for (uint64_t b = 0; b < 2; b++) {
		change_fields(d, LIVE, b, super_fields, sizeof(super_fields) / sizeof(super_fields[0]), all);
		for (unsigned at = 0; all && at < FORMAT_BLOCK; at++) {
			block(d, b)[at] ^= 1;
			try(d, LIVE, true, "byte %u of superblock %" PRIu64, at, b);
		}
		memset(block(d, b), 0, FORMAT_BLOCK);
		try(d, LIVE, true, "superblock %" PRIu64 " zeroed", b);
		memcpy(block(d, b), block(&w.older, b), FORMAT_BLOCK);
		try(d, LIVE, false, "superblock %" PRIu64 " as two commits before", b);
		memcpy(block(d, b), block(d, 1 - b), FORMAT_BLOCK);
		try(d, LIVE, true, "superblock %" PRIu64 " a copy of the other", b);
	}
	memcpy(block(d, 0), block(&w.now, 1), FORMAT_BLOCK);
	memcpy(block(d, 1), block(&w.now, 0), FORMAT_BLOCK);
	try(d, LIVE, true, "superblocks exchanged");
	memset(block(d, 0), 0, 2 * FORMAT_BLOCK);
	try(d, LIVE, true, "both superblocks zeroed");
	device_set(d, w.older.p, w.older.size);
	try(d, LIVE, true, "the whole volume as two commits before");
}

static void run_fields(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	for (uint64_t b = 2; b < blocks && !w.failure[0]; b++)
		if (live[b] && (all || device_below(&w.random, 60) == 0))
			change_fields(d, LIVE, b, block_fields,
				sizeof(block_fields) / sizeof(block_fields[0]), false);
}

static void run_bytes(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	for (uint64_t b = 2; b < blocks && !w.failure[0]; b++) {
		for (unsigned i = 0; live[b] && i < (all ? 32 : 1); i++) {
			unsigned at = (unsigned)device_below(&w.random, FORMAT_BLOCK);

			block(d, b)[at] ^= (uint8_t)(1 + device_below(&w.random, 255));
			try(d, LIVE, true, "byte %u of block %" PRIu64, at, b);
		}
	}
}

static void run_whole(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	for (uint64_t b = 2; b < blocks && !w.failure[0]; b++) {
		if (!live[b] || (!all && device_below(&w.random, 3)))
			continue;
		memset(block(d, b), 0, FORMAT_BLOCK);
		try(d, LIVE, true, "block %" PRIu64 " zeroed", b);
		memset(block(d, b), 0xff, FORMAT_BLOCK);
		try(d, LIVE, true, "block %" PRIu64 " filled with ones", b);
		/* Cut in the middle, the rest zeros. */
		memset(block(d, b) + FORMAT_BLOCK / 2, 0, FORMAT_BLOCK / 2);
		try(d, LIVE, !is_zero(block(&w.now, b) + 0), "block %" PRIu64 " cut in the middle", b);
	}
}

/* Every block with every other; in the short run with a few others. */
static void run_swaps(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	for (uint64_t a = 2; a < blocks && !w.failure[0]; a++) {
		for (uint64_t b = a + 1; live[a] && b < blocks && !w.failure[0]; b++) {
			if (is_zero(block(&w.now, b)) || (!all && device_below(&w.random, (size_t)blocks)))
				continue;
			memcpy(block(d, a), block(&w.now, b), FORMAT_BLOCK);
			memcpy(block(d, b), block(&w.now, a), FORMAT_BLOCK);
			try(d, LIVE, true, "blocks %" PRIu64 " and %" PRIu64 " exchanged", a, b);
		}
	}
}

/* Its place held something else earlier: another block, or this one two commits before. And blocks of earlier from elsewhere. */
static void run_older(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	uint64_t old_blocks = w.older.size / FORMAT_BLOCK, from;
	unsigned in_place = 0;

	for (uint64_t b = 2; b < blocks && !w.failure[0]; b++) {
		if (!live[b])
			continue;
		for (unsigned i = 0; i < (all ? 8 : 1); i++) {
			from = 2 + device_below(&w.random, (size_t)old_blocks - 2);
			if (!memcmp(block(&w.older, from), block(d, b), FORMAT_BLOCK))
				continue;
			memcpy(block(d, b), block(&w.older, from), FORMAT_BLOCK);
			try(d, LIVE, true, "block %" PRIu64 " an earlier block %" PRIu64, b, from);
		}
		if (b >= old_blocks || is_zero(block(&w.older, b)) ||
			!memcmp(block(&w.older, b), block(d, b), FORMAT_BLOCK))
			continue;
		memcpy(block(d, b), block(&w.older, b), FORMAT_BLOCK);
		try(d, LIVE, true, "block %" PRIu64 " as it was before", b);
		in_place++;
	}
	if (in_place < 10 && !w.failure[0])
		fail("only %u blocks have an earlier content in their place, wanted 10", in_place);
}

static void run_cut(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	uint64_t last = 0;

	for (uint64_t b = 0; b < blocks; b++)
		last = live[b] ? b : last;
	for (uint64_t b = 0; b <= last && !w.failure[0]; b += all ? 1 : 1 + device_below(&w.random, 40)) {
		d->size = b * FORMAT_BLOCK;
		try(d, LIVE, true, "cut to %" PRIu64 " blocks", b);
		d->size = b * FORMAT_BLOCK + 512 * device_below(&w.random, 8);
		try(d, LIVE, true, "cut to %" PRIu64 " blocks and some sectors", b);
	}
}

/* Records of the intent log that are still to be replayed: a change makes the volume older than CAS knows it. */
static void run_log(struct device *d, const uint8_t *live, uint64_t blocks, bool all)
{
	unsigned records = 0;

	for (uint64_t b = FORMAT_LOG_START; b < FORMAT_LOG_START + 64 && !w.failure[0]; b++) {
		struct format_log h;
		unsigned long before = w.detected;

		memcpy(&h, block(d, b), sizeof(h));
		/* Records are told by their generation, which is in the clear. */
		if (h.generation == 0 || h.generation > w.logged_version.generation ||
			h.generation + 5 <= w.logged_version.generation || h.blocks == 0 || h.blocks > 64)
			continue;
		change_fields(d, LOGGED, b, log_fields, sizeof(log_fields) / sizeof(log_fields[0]), all);
		for (uint64_t k = 0; k < h.blocks; k++) {
			block(d, b + k)[device_below(&w.random, FORMAT_BLOCK)] ^= 4;
			try(d, LOGGED, true, "block %" PRIu64 " of the record at %" PRIu64, k, b);
			memset(block(d, b + k), 0, FORMAT_BLOCK);
			try(d, LOGGED, true, "block %" PRIu64 " of the record at %" PRIu64 " zeroed", k, b);
		}
		records += w.detected > before;
	}
	if (records < 5)
		fail("%u records found in the intent log, wanted 5", records);
}

int main(int argc, char **argv)
{
	static uint8_t live[BLOCKS_MAX];
	bool all = argc > 1 && !strcmp(argv[1], "-f");
	uint64_t blocks;
	unsigned n;

	w.random = (argc > 1 + all ? strtoull(argv[1 + all], NULL, 10) : 1) * 77 | 1;
	build();
	blocks = w.now.size / FORMAT_BLOCK;
	n = find_live(live, blocks);
	if (!w.failure[0])
		check_count(n);
	w.detected = n;
	w.harmless = w.mutants - n;
	result("every block, a bit");
	*(w.failure[0] ? &failed : &passed) += 1;
	w.failure[0] = '\0';
	part("superblocks", run_super, LIVE, live, blocks, all);
	part("fields", run_fields, LIVE, live, blocks, all);
	part("bytes", run_bytes, LIVE, live, blocks, all);
	part("whole blocks", run_whole, LIVE, live, blocks, all);
	part("exchanged blocks", run_swaps, LIVE, live, blocks, all);
	part("older blocks", run_older, LIVE, live, blocks, all);
	part("cut off", run_cut, LIVE, live, blocks, all);
	part("intent log", run_log, LOGGED, live, blocks, all);
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? 1 : 0;
}
