/*
 * Threads on one volume with a small cache: aligned blocks are read as some write left them, appends never overlap, and commits and fsyncs go on
 * beside them. Under the thread sanitizer as well as without.
 */
#include "fs_device.h"

#include <pthread.h>

#define MIB ((size_t)1 << 20)
#define BLOCKS 1500
#define ROUNDS 3000

static pthread_rwlock_t locks[2] = {PTHREAD_RWLOCK_INITIALIZER, PTHREAD_RWLOCK_INITIALIZER};
static struct volume_lock *known[2];
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_rwlock_t *lock_of(struct volume_lock *l)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct volume_lock *none = NULL;

		if (__atomic_compare_exchange_n(
			    &known[i], &none, l, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
			none == l)
			return &locks[i];
	}
	abort();
}

static int lock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	(void)ctx;
	if (mode == VOLUME_SHARED)
		pthread_rwlock_rdlock(lock_of(l));
	else
		pthread_rwlock_wrlock(lock_of(l));
	return 0;
}

static void unlock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	(void)ctx;
	(void)mode;
	pthread_rwlock_unlock(lock_of(l));
}

/* The device in memory does not promise that a read beside a write of the same block is whole; a reader notices, and reads again. */
static int locked_read(void *ctx, uint64_t off, void *p, size_t n)
{
	int r;

	pthread_mutex_lock(&device_lock);
	r = fs_read(ctx, off, p, n);
	pthread_mutex_unlock(&device_lock);
	return r;
}

static int locked_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	int r;

	pthread_mutex_lock(&device_lock);
	r = fs_write(ctx, off, p, n);
	pthread_mutex_unlock(&device_lock);
	return r;
}

static int64_t clock_now(void *ctx)
{
	static int64_t now = 1700000000000000000;

	(void)ctx;
	return __atomic_add_fetch(&now, 1000, __ATOMIC_RELAXED);
}

struct work {
	struct volume *v;
	uint64_t blocks, appended, dir, seed;
	unsigned int me;
	const char *error;
};

static void *reader(void *arg)
{
	struct work *w = arg;
	uint8_t p[8192];

	for (unsigned int i = 0; i < ROUNDS * 4 && !w->error; i++) {
		uint64_t b = fs_rand(&w->seed) % BLOCKS;

		if (volume_read(w->v, w->blocks, b * 4096, p, 4096) != 4096)
			w->error = "read failed";
		for (unsigned int k = 1; k < 4096; k++)
			if (p[k] != p[0])
				w->error = "a block of two writes";
	}
	return NULL;
}

static void *writer(void *arg)
{
	struct work *w = arg;
	uint8_t p[4096];

	for (unsigned int i = 0; i < ROUNDS && !w->error; i++) {
		memset(p, (int)fs_rand(&w->seed), sizeof(p));
		if (volume_write(w->v, w->blocks, fs_rand(&w->seed) % BLOCKS * 4096, p, sizeof(p), 0, NULL) !=
			sizeof(p))
			w->error = "write failed";
		memset(p, (int)w->me, 100);
		if (volume_write(w->v, w->appended, 0, p, 100, VOLUME_APPEND, NULL) != 100)
			w->error = "append failed";
		if (i % 16 == 0 && volume_fsync(w->v, i % 32 ? w->blocks : w->appended, true) < 0)
			w->error = "fsync failed";
		if (i % 400 == 0 && volume_commit(w->v) < 0)
			w->error = "commit failed";
	}
	return NULL;
}

static void *namer(void *arg)
{
	struct work *w = arg;
	struct volume_new what = {.mode = S_IFREG | 0600};
	struct volume_attr a;
	char name[32];

	for (unsigned int i = 0; i < ROUNDS && !w->error; i++) {
		int n = snprintf(name, sizeof(name), "%u.%u", w->me, i);

		if (volume_make(w->v, w->dir, name, (size_t)n, &what, VOLUME_HOLD, &a) < 0 ||
			volume_write(w->v, a.ino, 0, name, sizeof(name), 0, NULL) < 0 ||
			volume_release(w->v, a.ino, 1) < 0 ||
			volume_lookup(w->v, w->dir, name, (size_t)n, 0, NULL) < 0 ||
			(i % 4 && volume_unlink(w->v, w->dir, name, (size_t)n) < 0))
			w->error = "names";
	}
	return NULL;
}

static void test_threads(void **state)
{
	static void *(*const what[])(void *) = {reader, reader, writer, writer, namer, namer};
	enum { THREADS = sizeof(what) / sizeof(what[0]) };
	struct fs_device d;
	struct fs_mount m;
	struct volume_env env;
	struct volume_open_options o = {
		.limits = {.max_size = 96 * MIB, .cache = 3 * MIB, .open_inodes = 1024}};
	struct work w[THREADS];
	pthread_t t[THREADS];
	uint64_t blocks = 0, appended = 0, dir = 0, count[THREADS] = {0};
	static uint8_t zeros[BLOCKS * 4096], p[100];
	long n;

	fs_create(&d, 96 * MIB);
	env = fs_env(&d);
	env.lock = lock;
	env.unlock = unlock;
	env.read = locked_read;
	env.write = locked_write;
	env.clock = clock_now;
	m.arena_len = volume_arena_size(&o.limits);
	m.arena = aligned_alloc(4096, m.arena_len);
	assert_int_equal(volume_open(&env, fs_key, m.arena, m.arena_len, &o, &m.v, NULL), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "blocks", S_IFREG | 0600, &blocks), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "appended", S_IFREG | 0600, &appended), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "dir", S_IFDIR | 0700, &dir), 0);
	assert_int_equal(volume_write(m.v, blocks, 0, zeros, sizeof(zeros), 0, NULL), sizeof(zeros));
	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct work){
			.v = m.v, .blocks = blocks, .appended = appended, .dir = dir, .seed = i + 1, .me = i};
		assert_int_equal(pthread_create(&t[i], NULL, what[i], &w[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned int i = 0; i < THREADS; i++)
		if (w[i].error)
			fail_msg("thread %u: %s; %s", i, w[i].error, d.fault.text);
	for (uint64_t at = 0; (n = volume_read(m.v, appended, at, p, 100)) > 0; at += 100) {
		assert_int_equal(n, 100);
		for (unsigned int k = 0; k < 100; k++)
			assert_int_equal(p[k], p[0]);
		assert_true(p[0] < THREADS);
		count[p[0]]++;
	}
	assert_int_equal(count[2], ROUNDS);
	assert_int_equal(count[3], ROUNDS);
	fs_verify(&d, &m);
	assert_int_equal(volume_close(m.v), 0);
	free(m.arena);
	fs_device_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
