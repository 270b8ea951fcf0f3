/*
 * Processes on one region, killed at any moment, again and again, from one to three at once: those that are left go on, nothing hangs, what a call
 * of the dead had answered is there, descriptors, record locks and mappings of the dead are gone, and every volume is whole.
 */
#include "vfs_world.h"

#include <sys/file.h>
#include "shield/fs/vfs_region.h"

#define V "/srv/vol"
#define RECORD 512
#define WORKERS 3
#define OWN 20 /* first descriptor that a worker takes for itself */

enum { ACKED, MADE = WORKERS, SEED = 2 * WORKERS, SLOTS = 3 * WORKERS };

static void record(uint8_t p[RECORD], uint64_t n)
{
	for (size_t i = 0; i < RECORD; i += 8)
		memcpy(p + i, &n, 8);
}

/* Where, and what was answered. */
static void die(int code, long answer)
{
	dprintf(2, "worker: at %d: %ld; fault: %s\n", code, answer, w.sh->device[0].fault.text);
	_exit(code);
}

/* A record more in the worker's log, which is inherited; it counts when the write has answered. */
static void append(unsigned int me)
{
	uint64_t n = w.sh->number[ACKED + me];
	uint8_t p[RECORD];
	long r;

	record(p, n);
	r = vfs_pwrite(&w.c, 5 + (int)me, p, RECORD, (int64_t)(n * RECORD));
	if (r != RECORD)
		die(10, r);
	__atomic_store_n(&w.sh->number[ACKED + me], n + 1, __ATOMIC_RELEASE);
}

static void make(unsigned int me)
{
	uint64_t n = w.sh->number[MADE + me];
	char path[64];
	int e;

	snprintf(path, sizeof(path), V "/made/%u.%llu", me, (unsigned long long)n);
	e = w_open(&w.c, path, O_CREAT | O_RDWR, 0600, OWN);
	if (e < 0 || vfs_write(&w.c, OWN, path, strlen(path)) != (long)strlen(path) ||
		vfs_close(&w.c, OWN) < 0)
		die(11, e);
	__atomic_store_n(&w.sh->number[MADE + me], n + 1, __ATOMIC_RELEASE);
}

/* Names and descriptors that come and go, shared by all. */
static void churn(uint64_t *seed)
{
	char a[64], b[64];
	int fd = OWN + 1 + (int)(fs_rand(seed) % 40), e;

	snprintf(a, sizeof(a), V "/churn/%u", (unsigned int)(fs_rand(seed) % 30));
	snprintf(b, sizeof(b), V "/churn/%u", (unsigned int)(fs_rand(seed) % 30));
	switch (fs_rand(seed) % 8) {
	case 0:
	case 1:
		e = w_open(&w.c, a, O_CREAT | O_RDWR | (fs_rand(seed) % 2 ? O_TRUNC : 0), 0600, fd);
		if (e < 0)
			die(12, e);
		if (vfs_write(&w.c, fd, a, sizeof(a)) != sizeof(a))
			die(13, e);
		break;
	case 2:
		e = w_unlink(&w.c, a);
		if (e < 0 && e != -ENOENT)
			die(14, e);
		break;
	case 3:
		e = w_rename(&w.c, a, b, 0);
		if (e < 0 && e != -ENOENT)
			die(15, e);
		break;
	case 4:
		e = vfs_close(&w.c, fd);
		if (e < 0 && e != -EBADF)
			die(16, e);
		break;
	case 5:
		e = vfs_dup(&w.c, fd, OWN + 1 + (int)(fs_rand(seed) % 40));
		if (e < 0 && e != -EBADF)
			die(17, e);
		break;
	case 6:
		if (w_open(&w.c, V "/churn", O_TMPFILE | O_RDWR, 0600, fd) < 0 ||
			vfs_write(&w.c, fd, a, sizeof(a)) < 0)
			die(18, 0);
		break;
	default:
		e = w_truncate(&w.c, a, (int64_t)(fs_rand(seed) % 200000));
		if (e < 0 && e != -ENOENT)
			die(19, e);
	}
}

static void locks(uint64_t *seed)
{
	struct flock l = {
		.l_type = (short)(fs_rand(seed) % 3), .l_start = (int64_t)(fs_rand(seed) % 50), .l_len = 7};
	enum vfs_lock_owner owner = fs_rand(seed) % 2 ? VFS_LOCK_POSIX : VFS_LOCK_OFD;
	int e;

	if (fs_rand(seed) % 3 == 0)
		e = vfs_flock(&w.c, 9, fs_rand(seed) % 2 ? LOCK_EX : LOCK_UN);
	else
		e = vfs_setlk(&w.c, 9, owner, &l, owner == VFS_LOCK_POSIX && fs_rand(seed) % 2);
	if (e < 0 && e != -EAGAIN && e != -EDEADLK && e != -EINTR)
		die(20, e);
}

static void mapped(unsigned int me, uint64_t *seed)
{
	struct vfs_node n;
	uint64_t off;
	uint8_t *p;
	int e;

	if (vfs_map(&w.c, 8, PROT_READ | PROT_WRITE, MAP_SHARED, &n, &off) < 0)
		die(21, 0);
	p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, w.pages, (off_t)off);
	if (p == MAP_FAILED)
		die(22, 0);
	/* each worker has bytes of its own, which only rise */
	for (size_t i = me; i < 65536; i += 4096)
		p[i]++;
	if (fs_rand(seed) % 3 == 0 && vfs_map_sync(&w.c, &n, 0, 65536, true) < 0)
		die(23, 0);
	munmap(p, 65536);
	e = vfs_unmap(&w.c, &n);
	if (e < 0)
		die(24, e);
}

/* A child that has its parent's descriptors, and goes at once, one way or the other. */
static void family(uint64_t *seed)
{
	uint32_t slot = 0;
	bool leave = fs_rand(seed) % 2;
	int e = vfs_fork_prepare(&w.c, false, &slot);
	pid_t pid;

	if (e < 0)
		die(25, e);
	pid = fork();
	if (pid < 0)
		die(26, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		w.self = slot;
		if (arena_take(&w.arena, slot) < 0)
			_exit(0);
		e = vfs_fork_child(&w.c, slot, (uint32_t)getpid());
		if (e == 0 && leave && vfs_leave(&w.c) < 0)
			die(27, 0);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void work(unsigned int me)
{
	uint64_t seed = w.sh->number[SEED + me] * 77 + me + 1;

	w.sh->number[SLOTS + me] = w.c.slot;
	for (;;) {
		uint64_t k = fs_rand(&seed) % 32;

		if (k < 8)
			append(me);
		else if (k < 12)
			make(me);
		else if (k < 22)
			churn(&seed);
		else if (k < 26)
			locks(&seed);
		else if (k < 28)
			mapped(me, &seed);
		else if (k == 28)
			family(&seed);
		else if (k == 29 && vfs_fsync(&w.c, 5 + (int)me, true) < 0)
			die(28, 0);
		else if (k == 30)
			vfs_reap(&w.c);
		else if (k == 31 && vfs_sync(&w.c, -1) < 0)
			die(29, 0);
	}
}

/* Keep it all within the volume. */
static void tidy(unsigned int me)
{
	uint64_t made = w.sh->number[MADE + me];
	char path[64];

	if (w.sh->number[ACKED + me] > 8000) {
		assert_int_equal(vfs_ftruncate(&w.c, 5 + (int)me, 0), 0);
		w.sh->number[ACKED + me] = 0;
	}
	for (uint64_t n = 0; made > 2000 && n <= made; n++) {
		int e;

		snprintf(path, sizeof(path), V "/made/%u.%llu", me, (unsigned long long)n);
		e = w_unlink(&w.c, path);
		assert_true(e == 0 || (n == made && e == -ENOENT));
	}
	if (made > 2000)
		w.sh->number[MADE + me] = 0;
}

static void check_worker(unsigned int me)
{
	static uint8_t p[RECORD], q[RECORD];
	uint64_t acked = w.sh->number[ACKED + me], made = w.sh->number[MADE + me];
	char path[64];
	struct volume_attr a;

	for (uint64_t n = acked > 100 ? acked - 100 : 0; n < acked; n++) {
		record(p, n);
		assert_int_equal(vfs_pread(&w.c, 5 + (int)me, q, RECORD, (int64_t)(n * RECORD)), RECORD);
		assert_memory_equal(p, q, RECORD);
	}
	for (uint64_t n = made > 50 ? made - 50 : 0; n < made; n++) {
		snprintf(path, sizeof(path), V "/made/%u.%llu", me, (unsigned long long)n);
		assert_int_equal(w_stat(&w.c, path, &a), 0);
		assert_int_equal(a.size, strlen(path));
	}
}

static uint32_t live_holds(const char *path)
{
	struct volume_attr a;
	uint32_t n = 0;

	if (w_stat(&w.c, path, &a) == 0)
		assert_int_equal(volume_holds(vfs_mount_volume(w.c.fs, 0), a.ino, &n), 0);
	return n;
}

static bool alone(void)
{
	const struct region *r = w.c.fs->r;

	for (uint32_t i = 1; i < r->slot_high; i++)
		if (r->slot[i].state != RG_FREE)
			return false;
	return arena_alone_with(&w.arena, 0, 0);
}

/* Nobody lives but the first process: nothing that others had is left. */
static void check_alone(uint64_t inodes)
{
	struct flock all = {.l_type = F_WRLCK}, none = {.l_type = F_UNLCK};
	struct timespec moment = {.tv_nsec = 5000000};
	struct volume_statfs st;
	char path[64];
	uint64_t names = 0;

	/* their children die with them, in a moment; those that were never born are given up after a minute */
	w.sh->clock += 61000000000LL;
	do {
		nanosleep(&moment, NULL);
		vfs_reap(&w.c);
	} while (!alone());
	/* these two belong to the open file, which is the first process', too */
	assert_int_equal(vfs_setlk(&w.c, 9, VFS_LOCK_OFD, &none, false), 0);
	assert_int_equal(vfs_flock(&w.c, 9, LOCK_UN), 0);
	assert_int_equal(vfs_setlk(&w.c, 9, VFS_LOCK_POSIX, &all, false), 0);
	assert_int_equal(vfs_setlk(&w.c, 9, VFS_LOCK_POSIX, &none, false), 0);
	for (unsigned int i = 0; i < 30; i++) {
		struct volume_attr a;

		snprintf(path, sizeof(path), V "/churn/%u", i);
		assert_int_equal(live_holds(path), 0);
		names += w_stat(&w.c, path, &a) == 0;
	}
	assert_int_equal(live_holds(V "/mapped"), 1);
	/* files without names have gone with their last descriptor */
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct volume_attr a;

		names += w.sh->number[MADE + i];
		snprintf(
			path, sizeof(path), V "/made/%u.%llu", i, (unsigned long long)w.sh->number[MADE + i]);
		names += w_stat(&w.c, path, &a) == 0; /* made, and killed before it was counted */
	}
	vfs_statfs(w.c.fs, 0, &st);
	assert_int_equal(st.inodes, inodes + names);
}

static void test_kill(void **state)
{
	const char *r = getenv("VFS_DEATH_ROUNDS");
	unsigned int rounds = r ? (unsigned int)atoi(r) : 60;
	uint64_t seed = 4242;
	struct volume_statfs st;
	struct volume_stats stats;
	pid_t pid[WORKERS] = {0};
	struct timespec t = {.tv_sec = 0};

	assert_int_equal(w_mkdir(&w.c, V "/made", 0777), 0);
	assert_int_equal(w_mkdir(&w.c, V "/churn", 0777), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		char path[64];

		snprintf(path, sizeof(path), V "/log%u", i);
		assert_int_equal(w_open(&w.c, path, O_RDWR | O_CREAT, 0600, 5 + (int)i), 0);
	}
	assert_int_equal(w_open(&w.c, V "/mapped", O_RDWR | O_CREAT, 0600, 8), 0);
	assert_int_equal(vfs_ftruncate(&w.c, 8, 65536), 0);
	assert_int_equal(w_open(&w.c, V "/locks", O_RDWR | O_CREAT, 0600, 9), 0);
	vfs_statfs(w.c.fs, 0, &st);
	for (unsigned int round = 0; round < rounds; round++) {
		alarm(100); /* nothing may hang */
		for (unsigned int i = 0; i < WORKERS; i++) {
			if (pid[i])
				continue;
			w.sh->number[SEED + i] = round;
			pid[i] = world_fork();
			if (pid[i] == 0)
				work(i);
		}
		t.tv_nsec = (long)(fs_rand(&seed) % 30000000);
		nanosleep(&t, NULL);
		for (unsigned int i = 0; i < WORKERS; i++)
			if (round % 8 == 7 || fs_rand(&seed) % 2) {
				world_kill(pid[i]);
				pid[i] = 0;
			}
		/* beside others that write, too */
		if (round % 8 == 3)
			world_verify();
		if (round % 8 != 7)
			continue;
		check_alone(st.inodes);
		for (unsigned int i = 0; i < WORKERS; i++) {
			check_worker(i);
			tidy(i);
		}
		world_verify();
	}
	alarm(0);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (pid[i])
			world_kill(pid[i]);
	check_alone(st.inodes);
	volume_stats_get(vfs_mount_volume(w.c.fs, 0), &stats);
	for (unsigned int i = 0; i < WORKERS; i++) {
		check_worker(i);
		print_message("worker %u: %llu records, %llu files\n", i,
			(unsigned long long)w.sh->number[ACKED + i],
			(unsigned long long)w.sh->number[MADE + i]);
	}
	print_message("died %llu times with an engine lock\n", (unsigned long long)stats.recoveries);
	for (int fd = 5; fd <= 9; fd++)
		assert_int_equal(vfs_close(&w.c, fd), 0);
	assert_int_equal(live_holds(V "/mapped"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill, world_start, world_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
