/*
 * Two processes on one mounted volume, one of them killed at any moment, again and again: the other goes on, finds the volume whole, and nothing that a
 * call of the dead one had answered, or that it wrote itself, is lost, fsynced or not.
 */
#include "fs_device.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)
#define SIZE (24 * MIB)
#define RECORD 1000

struct lock {
	pthread_mutex_t mutex;
	uint64_t ready;
};
_Static_assert(sizeof(struct lock) <= sizeof(struct volume_lock), "fits");

static int lock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	struct lock *k = (struct lock *)(void *)l;
	pthread_mutexattr_t a;

	(void)ctx;
	(void)mode;
	/* the first use is before there is a second process */
	if (!k->ready) {
		pthread_mutexattr_init(&a);
		pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
		pthread_mutex_init(&k->mutex, &a);
		k->ready = 1;
	}
	if (pthread_mutex_lock(&k->mutex) == EOWNERDEAD) {
		pthread_mutex_consistent(&k->mutex);
		return -EOWNERDEAD;
	}
	return 0;
}

static void unlock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	(void)ctx;
	(void)mode;
	pthread_mutex_unlock(&((struct lock *)(void *)l)->mutex);
}

struct shared {
	struct fs_device d; /* its memory is shared too */
	uint64_t acked; /* records that the child has written */
	uint64_t made; /* files it has made, each of them named and never unlinked */
};

static void record(uint8_t p[RECORD], uint64_t n)
{
	for (size_t i = 0; i < RECORD; i += 8)
		memcpy(p + i, &n, 8);
}

/* Works until it is killed. */
static void child(struct volume *v, struct shared *sh, uint64_t ino, uint64_t dir, uint64_t seed)
{
	static uint8_t p[200000];
	struct volume_new what = {.mode = S_IFREG | 0600};
	struct volume_attr a;
	char name[32], other[32];

	for (;;) {
		uint64_t k = fs_rand(&seed) % 12, n = sh->acked;

		snprintf(name, sizeof(name), "x%u", (unsigned int)(fs_rand(&seed) % 50));
		snprintf(other, sizeof(other), "x%u", (unsigned int)(fs_rand(&seed) % 50));
		if (k < 4) {
			record(p, n);
			if (volume_write(v, ino, n * RECORD, p, RECORD, 0, NULL) != RECORD)
				_exit(1);
			__atomic_store_n(&sh->acked, n + 1, __ATOMIC_RELEASE);
		} else if (k == 4) {
			snprintf(name, sizeof(name), "made %llu", (unsigned long long)sh->made);
			if (volume_make(v, dir, name, strlen(name), &what, 0, &a) == 0)
				__atomic_store_n(&sh->made, sh->made + 1, __ATOMIC_RELEASE);
			else if (volume_lookup(v, dir, name, strlen(name), 0, &a) < 0)
				_exit(2);
			else
				__atomic_store_n(&sh->made, sh->made + 1, __ATOMIC_RELEASE);
		} else if (k == 5) {
			if (volume_fsync(v, ino, true) < 0)
				_exit(3);
		} else if (k == 6) {
			if (volume_commit(v) < 0)
				_exit(4);
		} else if (k == 7) {
			if (volume_make(v, dir, name, strlen(name), &what, VOLUME_HOLD, &a) == 0 &&
				(volume_write(v, a.ino, 0, p, fs_rand(&seed) % sizeof(p), 0, NULL) < 0 ||
					volume_release(v, a.ino, 1) < 0))
				_exit(5);
		} else if (k == 8) {
			(void)!volume_rename(v, dir, name, strlen(name), dir, other, strlen(other), 0);
		} else if (k == 9) {
			(void)!volume_unlink(v, dir, name, strlen(name));
		} else if (volume_lookup(v, dir, name, strlen(name), 0, &a) == 0) {
			(void)!volume_truncate(v, a.ino, fs_rand(&seed) % 100000);
			(void)!volume_xattr_set(v, a.ino, "user.x", 6, p, 5000, 0);
		}
	}
}

static void check(struct fs_mount *m, struct shared *sh, uint64_t ino, uint64_t dir, uint64_t own,
	const uint8_t *content)
{
	static uint8_t p[RECORD], q[RECORD], all[65536];
	struct volume_attr a;
	char name[32];
	uint64_t from = sh->acked > 300 ? sh->acked - 300 : 0;

	assert_int_equal(volume_read(m->v, own, 0, all, sizeof(all)), sizeof(all));
	assert_memory_equal(all, content, sizeof(all));
	for (uint64_t n = from; n < sh->acked; n++) {
		record(p, n);
		assert_int_equal(volume_read(m->v, ino, n * RECORD, q, RECORD), RECORD);
		assert_memory_equal(p, q, RECORD);
	}
	for (uint64_t i = sh->made > 200 ? sh->made - 200 : 0; i < sh->made; i++) {
		snprintf(name, sizeof(name), "made %llu", (unsigned long long)i);
		assert_int_equal(fs_look(m, dir, name, &a), 0);
	}
}

/* Held by the child when it died: give it back, as whoever starts the processes does. */
static void release_all(struct fs_mount *m, uint64_t dir)
{
	struct volume_attr a;
	char name[32];

	for (unsigned int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		if (fs_look(m, dir, name, &a) == 0)
			while (volume_release(m->v, a.ino, 1) == 0)
				;
	}
}

static void test_kill(void **state)
{
	const char *r = getenv("FS_DEATH_ROUNDS");
	unsigned int rounds = r ? (unsigned int)atoi(r) : 150;
	struct shared *sh =
		mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static uint8_t content[65536];
	struct volume_stats st;
	struct volume_env env;
	struct volume_create_options c = {.size = SIZE, .root_mode = 0755};
	struct volume_open_options o = {.limits = {.max_size = SIZE, .cache = 3 * MIB, .open_inodes = 1024}};
	struct volume_version ver;
	struct fs_mount m;
	uint64_t ino = 0, own = 0, dir = 0, seed = 99;

	fs_device_init(&sh->d, SIZE);
	munmap(sh->d.data, SIZE);
	sh->d.data = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	env = fs_env(&sh->d);
	env.publish = NULL;
	assert_int_equal(volume_create(&env, fs_key, &c, &ver), 0);
	env.lock = lock;
	env.unlock = unlock;
	m.arena_len = volume_arena_size(&o.limits);
	m.arena = mmap(NULL, m.arena_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(volume_open(&env, fs_key, m.arena, m.arena_len, &o, &m.v, NULL), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "log", S_IFREG | 0600, &ino), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "own", S_IFREG | 0600, &own), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "dir", S_IFDIR | 0700, &dir), 0);
	assert_int_equal(volume_write(m.v, own, 0, content, sizeof(content), 0, NULL), sizeof(content));
	for (unsigned int round = 0; round < rounds; round++) {
		struct timespec t = {.tv_nsec = (long)(fs_rand(&seed) % 6000000)};
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			child(m.v, sh, ino, dir, fs_rand(&seed) + round);
		for (unsigned int i = 0; i < 20; i++) {
			uint64_t at = fs_rand(&seed) % (sizeof(content) - 5000);

			memset(content + at, (int)(fs_rand(&seed) % 255), 5000);
			assert_int_equal(volume_write(m.v, own, at, content + at, 5000, 0, NULL), 5000);
		}
		nanosleep(&t, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status))
			fail_msg("round %u: the child ended by itself with %d; fault: %s", round,
				WEXITSTATUS(status), sh->d.fault.text);
		check(&m, sh, ino, dir, own, content);
		release_all(&m, dir);
		if (round % 8 == 0)
			fs_verify(&sh->d, &m);
		/* keep it within the volume */
		if (sh->acked > 6000) {
			assert_int_equal(volume_truncate(m.v, ino, 0), 0);
			sh->acked = 0;
		}
	}
	volume_stats_get(m.v, &st);
	print_message("%llu records, %llu files, died %llu times with a lock\n",
		(unsigned long long)sh->acked, (unsigned long long)sh->made,
		(unsigned long long)st.recoveries);
	assert_true(st.recoveries > 0);
	fs_verify(&sh->d, &m);
	fs_close(&m);
	/* and it was all written */
	assert_int_equal(fs_try_open(&sh->d, &m, 3 * MIB, NULL), 0);
	check(&m, sh, ino, dir, own, content);
	fs_verify(&sh->d, &m);
	fs_close(&m);
	munmap(sh->d.data, SIZE);
	munmap(sh, sizeof(*sh));
}

/* A second process by volume_attach, and who may not. */
static void test_attach(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_env env;
	struct volume_attr a;
	struct volume *v;
	uint8_t key[VOLUME_KEY_LEN];

	fs_create(&d, SIZE);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	env = fs_env(&d);
	memcpy(key, fs_key, sizeof(key));
	key[0] ^= 1;
	assert_int_equal(volume_attach(&env, key, m.arena, m.arena_len, &v), -EACCES);
	assert_int_equal(volume_attach(&env, fs_key, m.arena, m.arena_len - 4096, &v), -EINVAL);
	assert_int_equal(volume_attach(&env, fs_key, m.arena, m.arena_len, &v), 0);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "f", S_IFREG | 0600, NULL), 0);
	assert_int_equal(volume_lookup(v, VOLUME_ROOT, "f", 1, 0, &a), 0);
	assert_int_equal(volume_write(v, a.ino, 0, "shared", 6, 0, NULL), 6);
	volume_detach(v);
	assert_int_equal(volume_getattr(m.v, a.ino, &a), 0);
	assert_int_equal(a.size, 6);
	fs_close(&m);
	fs_open(&d, &m, VOLUME_CACHE_MIN);
	assert_int_equal(fs_look(&m, VOLUME_ROOT, "f", &a), 0);
	fs_close(&m);
	fs_device_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
