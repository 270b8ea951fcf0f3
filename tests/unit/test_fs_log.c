/* The intent log and the superblocks: what of them may be damaged by a crash, and what only by the host. */
#include "fs_device.h"

#include "shield/fs/format.h"

#define MIB (1u << 20)
#define LOG_AT (FORMAT_LOG_START * 4096)

struct run {
	struct fs_device d;
	struct fs_mount m;
	uint64_t ino;
	uint8_t *image;
};

/* A volume whose log has `records` fsynced writes of one byte each, and ends there. */
static void setup(struct run *t, unsigned int records)
{
	memset(t, 0, sizeof(*t));
	fs_create(&t->d, 8 * MIB);
	fs_open(&t->d, &t->m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&t->m, VOLUME_ROOT, "f", S_IFREG | 0600, &t->ino), 0);
	assert_int_equal(volume_commit(t->m.v), 0);
	for (unsigned int i = 0; i < records; i++) {
		uint8_t b = (uint8_t)(i + 1);

		assert_int_equal(volume_write(t->m.v, t->ino, i, &b, 1, 0, NULL), 1);
		assert_int_equal(volume_fsync(t->m.v, t->ino, true), 0);
	}
	fs_crash(&t->m);
	t->image = malloc(t->d.size);
	memcpy(t->image, t->d.data, t->d.size);
}

static void restore(struct run *t)
{
	memcpy(t->d.data, t->image, t->d.size);
	t->d.version.generation = 0;
	t->d.faults = 0;
}

static void teardown(struct run *t)
{
	fs_device_free(&t->d);
	free(t->image);
}

static struct format_log *header(struct run *t, unsigned int record)
{
	uint8_t *p = t->d.data + LOG_AT;

	while (record-- > 0)
		p += (size_t)((struct format_log *)(void *)p)->blocks * 4096;
	return (struct format_log *)(void *)p;
}

static void expect_records(struct run *t, uint64_t want)
{
	struct volume_attr a;

	fs_open(&t->d, &t->m, VOLUME_CACHE_MIN);
	assert_int_equal(t->m.report.log_records, want);
	assert_int_equal(volume_getattr(t->m.v, t->ino, &a), 0);
	assert_int_equal(a.size, want);
	fs_verify(&t->d, &t->m);
	fs_close(&t->m);
}

static void expect_refused(struct run *t)
{
	int r = fs_try_open(&t->d, &t->m, VOLUME_CACHE_MIN, NULL);

	assert_int_equal(r, -EBADMSG);
	assert_string_equal(t->d.fault.structure, "intent log");
	assert_int_equal(t->d.fault.block >= FORMAT_LOG_START, 1);
}

static void test_torn_tail(void **state)
{
	struct run t;

	setup(&t, 5);
	expect_records(&t, 5);
	/* the newest record in part: as if the crash had come before its flush */
	restore(&t);
	((uint8_t *)header(&t, 4))[2000] ^= 1;
	expect_records(&t, 4);
	restore(&t);
	memset(header(&t, 4), 0, 512);
	expect_records(&t, 4);
	teardown(&t);
}

static void test_damaged_middle(void **state)
{
	struct run t;
	static const size_t fields[] = {offsetof(struct format_log, tag), offsetof(struct format_log, salt),
		offsetof(struct format_log, blocks), offsetof(struct format_log, generation),
		offsetof(struct format_log, base), offsetof(struct format_log, before),
		offsetof(struct format_log, bytes), 3000};

	setup(&t, 5);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		restore(&t);
		((uint8_t *)header(&t, 2))[fields[i]] ^= 1;
		expect_refused(&t);
	}
	/* two of them swapped; one of them twice */
	restore(&t);
	memcpy(header(&t, 1), t.image + ((uint8_t *)header(&t, 2) - t.d.data), 4096);
	expect_refused(&t);
	teardown(&t);
}

/* Records that a commit has made obsolete are not taken for new ones. */
static void test_old_records(void **state)
{
	struct run t;
	uint8_t b = 9;
	struct volume_attr a;

	setup(&t, 5);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN); /* replays and commits */
	assert_int_equal(volume_write(t.m.v, t.ino, 100, &b, 1, 0, NULL), 1);
	assert_int_equal(volume_fsync(t.m.v, t.ino, true), 0);
	fs_crash(&t.m);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	assert_int_equal(t.m.report.log_records, 1);
	assert_int_equal(volume_getattr(t.m.v, t.ino, &a), 0);
	assert_int_equal(a.size, 101);
	fs_close(&t.m);
	/* the host puts the old log back: it belongs to another superblock */
	memcpy(t.d.data + LOG_AT, t.image + LOG_AT, 5 * 4096);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	assert_int_equal(t.m.report.log_records, 0);
	fs_close(&t.m);
	teardown(&t);
}

static void test_superblocks(void **state)
{
	struct run t;
	struct volume_version v;
	struct volume_open_options o = {.read_only = true};
	static const size_t fields[] = {offsetof(struct format_super, magic),
		offsetof(struct format_super, version), offsetof(struct format_super, block_size),
		offsetof(struct format_super, id), offsetof(struct format_super, salt),
		offsetof(struct format_super, slot), offsetof(struct format_super, generation),
		offsetof(struct format_super, tag), offsetof(struct format_super, blocks),
		offsetof(struct format_super, inodes), offsetof(struct format_super, map), 4095};

	setup(&t, 0);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	volume_version_get(t.m.v, &v);
	fs_close(&t.m);
	memcpy(t.image, t.d.data, t.d.size);
	o.at_least = &v;
	for (unsigned int slot = 0; slot < 2; slot++) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			struct format_super *f = (struct format_super *)(void *)(t.d.data + slot * 4096);
			bool newest;
			int r;

			restore(&t);
			newest = f->generation == v.generation;
			t.d.data[slot * 4096 + fields[i]] ^= 1;
			r = fs_try_open(&t.d, &t.m, VOLUME_CACHE_MIN, &o);
			/* the older one alone is a volume, but not the newest version of it */
			if (newest) {
				assert_int_equal(r, -ESTALE);
				continue;
			}
			assert_int_equal(r, 0);
			assert_true(t.m.report.superblock_damaged);
			fs_close(&t.m);
			/* a commit makes it whole */
			fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
			fs_close(&t.m);
			fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
			assert_false(t.m.report.superblock_damaged);
			fs_close(&t.m);
		}
	}
	restore(&t);
	memset(t.d.data, 0, 2 * 4096);
	assert_int_equal(fs_try_open(&t.d, &t.m, VOLUME_CACHE_MIN, NULL), -EBADMSG);
	assert_string_equal(t.d.fault.structure, "superblock");
	assert_string_equal(t.d.fault.field, "magic");
	teardown(&t);
}

/* What a log takes from a tree and adds to it is verified without writing it, too. */
static void test_verified_unwritten(void **state)
{
	static uint8_t p[40 * 4096];
	struct volume_open_options o = {.read_only = true};
	struct run t;

	setup(&t, 1);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	memset(p, 7, sizeof(p));
	assert_int_equal(volume_write(t.m.v, t.ino, 0, p, sizeof(p), 0, NULL), sizeof(p));
	assert_int_equal(volume_commit(t.m.v), 0);
	assert_int_equal(volume_truncate(t.m.v, t.ino, 3), 0);
	assert_int_equal(volume_fsync(t.m.v, t.ino, true), 0);
	assert_int_equal(volume_write(t.m.v, t.ino, 20 * 4096, p, sizeof(p) / 2, 0, NULL), sizeof(p) / 2);
	assert_int_equal(volume_fsync(t.m.v, t.ino, true), 0);
	fs_crash(&t.m);
	assert_int_equal(fs_try_open(&t.d, &t.m, VOLUME_CACHE_MIN, &o), 0);
	assert_true(t.m.report.log_records > 0);
	fs_verify(&t.d, &t.m);
	fs_close(&t.m);
	teardown(&t);
}

/* What was written so is durable with the next fsync of another file: a little of it, and much. */
static void test_direct(void **state)
{
	static uint8_t p[100 * 4096], seen[sizeof(p)];
	uint64_t other = 0, plain = 0;
	struct run t;

	setup(&t, 1);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_make(&t.m, VOLUME_ROOT, "other", S_IFREG | 0600, &other), 0);
	assert_int_equal(fs_make(&t.m, VOLUME_ROOT, "plain", S_IFREG | 0600, &plain), 0);
	assert_int_equal(volume_commit(t.m.v), 0);
	for (size_t n = 4096; n <= sizeof(p); n *= 5) {
		uint8_t b = (uint8_t)n;

		memset(p, (int)(n >> 12), n);
		assert_int_equal(volume_write(t.m.v, t.ino, 4096, p, n, VOLUME_DIRECT, NULL), n);
		assert_int_equal(volume_write(t.m.v, plain, 0, p, n, 0, NULL), n);
		assert_int_equal(volume_write(t.m.v, other, 0, &b, 1, 0, NULL), 1);
		assert_int_equal(volume_fsync(t.m.v, other, true), 0);
		fs_crash(&t.m);
		fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
		assert_int_equal(volume_read(t.m.v, t.ino, 4096, seen, n), n);
		assert_memory_equal(seen, p, n);
		assert_int_equal(
			volume_read(t.m.v, plain, 0, seen, 1), 1); /* its size is, as all attributes */
		assert_int_equal(seen[0], 0);
	}
	fs_verify(&t.d, &t.m);
	fs_close(&t.m);
	teardown(&t);
}

/* A log that is full becomes a commit; nothing is lost on the way. */
static void test_full(void **state)
{
	struct run t;
	struct volume_stats st;
	static uint8_t p[20000];

	setup(&t, 1);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	for (unsigned int i = 0; i < 200; i++) {
		memset(p, (int)i, sizeof(p));
		assert_int_equal(volume_write(t.m.v, t.ino, 0, p, sizeof(p), 0, NULL), sizeof(p));
		assert_int_equal(volume_fsync(t.m.v, t.ino, false), 0);
	}
	volume_stats_get(t.m.v, &st);
	assert_true(st.commits > 5);
	assert_true(st.log_appends > 100);
	fs_crash(&t.m);
	fs_open(&t.d, &t.m, VOLUME_CACHE_MIN);
	assert_int_equal(volume_read(t.m.v, t.ino, 0, p, 1), 1);
	assert_int_equal(p[0], 199);
	fs_verify(&t.d, &t.m);
	fs_close(&t.m);
	teardown(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_damaged_middle),
		cmocka_unit_test(test_old_records),
		cmocka_unit_test(test_superblocks),
		cmocka_unit_test(test_verified_unwritten),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
