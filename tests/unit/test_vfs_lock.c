/*
 * Record locks of all kinds, between processes: ranges that split and merge, waiting, deadlock, signals, and holders that are killed.
 */
#include "vfs_world.h"

#include <sys/file.h>

#define V "/srv/vol"

/* In a child: one try of each kind; 0 if the answer is as wanted. */
static int try(int fd, enum vfs_lock_owner owner, short type, int64_t start, int64_t len, int want)
{
	return set(fd, owner, type, start, len, false) == want ? 0 : 1;
}

static int64_t elapsed(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_signal(int n)
{
	(void)n;
}

static void test_posix_locks(void **state)
{
	struct flock l;
	pid_t pid;
	int e = 0;

	w_file(V "/l", "0123456789");
	assert_int_equal(w_open(&w.c, V "/l", O_RDWR, 0, 5), 0);
	assert_int_equal(w_open(&w.c, V "/l", O_RDONLY, 0, 6), 0);
	assert_int_equal(set(6, VFS_LOCK_POSIX, F_WRLCK, 0, 1, false), -EBADF);
	assert_int_equal(set(5, VFS_LOCK_POSIX, 17, 0, 1, false), -EINVAL);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, -1, 1, false), -EINVAL);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 5, -6, false), -EINVAL);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, INT64_MAX, 2, false), -EOVERFLOW);
	assert_int_equal(set(9, VFS_LOCK_POSIX, F_WRLCK, 0, 2, false), -EBADF);
	/* [10, 19] written, with [13, 15] only read, [17] free */
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 20, -10, false), 0);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_RDLCK, 13, 3, false), 0);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_UNLCK, 17, 1, false), 0);
	pid = world_fork();
	if (pid == 0) {
		/* not inherited */
		e |= try(5, VFS_LOCK_POSIX, F_RDLCK, 10, 1, -EAGAIN);
		e |= try(5, VFS_LOCK_POSIX, F_RDLCK, 13, 3, 0);
		e |= try(5, VFS_LOCK_POSIX, F_WRLCK, 13, 1, -EAGAIN);
		e |= try(5, VFS_LOCK_POSIX, F_RDLCK, 16, 1, -EAGAIN);
		e |= try(5, VFS_LOCK_POSIX, F_WRLCK, 17, 1, 0);
		e |= try(5, VFS_LOCK_POSIX, F_WRLCK, 17, 2, -EAGAIN);
		e |= try(5, VFS_LOCK_POSIX, F_WRLCK, 20, 0, 0);
		e |= try(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, -EAGAIN);
		l = range(F_WRLCK, 0, 0);
		e |= vfs_getlk(&w.c, 5, VFS_LOCK_POSIX, &l) != 0 || l.l_type == F_UNLCK ||
		     l.l_pid != getppid();
		l = range(F_WRLCK, 18, 1);
		e |= vfs_getlk(&w.c, 5, VFS_LOCK_POSIX, &l) != 0 || l.l_type != F_WRLCK || l.l_start != 18 ||
		     l.l_len != 2;
		l = range(F_WRLCK, 0, 10);
		e |= vfs_getlk(&w.c, 5, VFS_LOCK_POSIX, &l) != 0 || l.l_type != F_UNLCK || l.l_len != 10;
		_exit(vfs_leave(&w.c) == 0 ? e : 2);
	}
	world_wait(pid, 0);
	/* what the child had is gone with it */
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, false), 0);
	/* closing any descriptor of the file drops all of them */
	assert_int_equal(vfs_close(&w.c, 6), 0);
	pid = world_fork();
	if (pid == 0)
		_exit(try(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, 0));
	world_wait(pid, 0);
	/* it did not leave, but it is dead, and that counts at once */
	{
		struct flock got = range(F_WRLCK, 0, 0);

		assert_int_equal(vfs_getlk(&w.c, 5, VFS_LOCK_POSIX, &got), 0);
		assert_int_equal(got.l_type, F_UNLCK);
	}
	pid = world_fork();
	if (pid == 0)
		_exit(try(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, 0));
	world_wait(pid, 0);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, false), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

/* Random locks and unlocks against a table of bytes. */
static void test_lock_model(void **state)
{
	uint8_t model[64] = {0};
	uint64_t seed = 5;
	pid_t pid;
	int to[2], from[2];

	w_file(V "/m", "");
	assert_int_equal(w_open(&w.c, V "/m", O_RDWR, 0, 5), 0);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = world_fork();
	if (pid == 0) {
		char c;

		while (read(to[0], &c, 1) == 1 && c) {
			uint8_t seen[64];

			for (int i = 0; i < 64; i++) {
				struct flock l = range(F_WRLCK, i, 1);

				if (vfs_getlk(&w.c, 5, VFS_LOCK_POSIX, &l) < 0)
					_exit(1);
				seen[i] = l.l_type == F_UNLCK ? 0 : l.l_type == F_RDLCK ? 1 : 2;
			}
			if (write(from[1], seen, 64) != 64)
				_exit(2);
		}
		_exit(vfs_leave(&w.c));
	}
	for (int round = 0; round < 1500; round++) {
		static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
		uint64_t kind = fs_rand(&seed) % 3, start = fs_rand(&seed) % 64,
			 len = 1 + fs_rand(&seed) % (64 - start);
		uint8_t seen[64];

		assert_int_equal(set(5, VFS_LOCK_POSIX, types[kind], (int64_t)start, (int64_t)len, false), 0);
		memset(model + start, (int)kind, len);
		assert_int_equal(write(to[1], "x", 1), 1);
		assert_int_equal(read(from[0], seen, 64), 64);
		assert_memory_equal(seen, model, 64);
	}
	assert_int_equal(write(to[1], "\0", 1), 1);
	world_wait(pid, 0);
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

static void test_wait(void **state)
{
	int64_t t;
	pid_t pid;

	w_file(V "/w", "");
	assert_int_equal(w_open(&w.c, V "/w", O_RDWR, 0, 5), 0);
	w.sh->number[0] = 0;
	pid = world_fork();
	if (pid == 0) {
		if (set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, false) != 0)
			_exit(1);
		__atomic_store_n(&w.sh->number[0], 1, __ATOMIC_RELEASE);
		nap(300);
		w.sh->number[1] = 1;
		if (set(5, VFS_LOCK_POSIX, F_UNLCK, 0, 0, false) != 0)
			_exit(2);
		nap(300);
		_exit(vfs_leave(&w.c));
	}
	while (!__atomic_load_n(&w.sh->number[0], __ATOMIC_ACQUIRE))
		nap(1);
	t = elapsed();
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 3, 1, true), 0);
	assert_int_equal(w.sh->number[1], 1);
	assert_true(elapsed() - t >= 200 && elapsed() - t < 550);
	world_wait(pid, 0);
	/* a holder that is killed is noticed */
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_UNLCK, 0, 0, false), 0);
	w.sh->number[0] = 0;
	pid = world_fork();
	if (pid == 0) {
		if (set(5, VFS_LOCK_OFD, F_WRLCK, 0, 0, false) == 0 && vfs_close(&w.c, 5) == 0 &&
			w_open(&w.c, V "/w", O_RDWR, 0, 6) == 0 &&
			set(6, VFS_LOCK_POSIX, F_WRLCK, 5, 1, false) == -EAGAIN &&
			set(6, VFS_LOCK_OFD, F_WRLCK, 5, 1, false) == -EAGAIN &&
			vfs_flock(&w.c, 6, LOCK_EX) == 0)
			__atomic_store_n(&w.sh->number[0], 1, __ATOMIC_RELEASE);
		pause();
	}
	while (!__atomic_load_n(&w.sh->number[0], __ATOMIC_ACQUIRE))
		nap(1);
	/* the OFD lock is the file's, and that is ours too */
	assert_int_equal(set(5, VFS_LOCK_OFD, F_RDLCK, 0, 0, false), 0);
	assert_int_equal(set(5, VFS_LOCK_OFD, F_UNLCK, 0, 0, false), 0);
	assert_int_equal(vfs_flock(&w.c, 5, LOCK_EX | LOCK_NB), -EWOULDBLOCK);
	world_kill(pid);
	t = elapsed();
	assert_int_equal(vfs_flock(&w.c, 5, LOCK_EX), 0);
	assert_true(elapsed() - t < 1000);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

static void test_deadlock(void **state)
{
	pid_t pid;

	w_file(V "/dl", "");
	assert_int_equal(w_open(&w.c, V "/dl", O_RDWR, 0, 5), 0);
	w.sh->number[0] = 0;
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 1, false), 0);
	pid = world_fork();
	if (pid == 0) {
		if (set(5, VFS_LOCK_POSIX, F_WRLCK, 1, 1, false) != 0)
			_exit(1);
		__atomic_store_n(&w.sh->number[0], 1, __ATOMIC_RELEASE);
		if (set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 1, true) != 0)
			_exit(2);
		_exit(vfs_leave(&w.c));
	}
	while (!__atomic_load_n(&w.sh->number[0], __ATOMIC_ACQUIRE))
		nap(1);
	nap(100);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_WRLCK, 1, 1, true), -EDEADLK);
	assert_int_equal(set(5, VFS_LOCK_POSIX, F_UNLCK, 0, 1, false), 0);
	world_wait(pid, 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

static void test_interrupted(void **state)
{
	struct sigaction sa = {.sa_handler = on_signal};
	pid_t pid;

	w_file(V "/i", "");
	assert_int_equal(w_open(&w.c, V "/i", O_RDWR, 0, 5), 0);
	assert_int_equal(w_open(&w.c, V "/i", O_RDWR, 0, 6), 0);
	assert_int_equal(vfs_flock(&w.c, 5, LOCK_SH), 0);
	assert_int_equal(vfs_flock(&w.c, 6, LOCK_SH), 0);
	assert_int_equal(
		vfs_flock(&w.c, 6, LOCK_EX | LOCK_NB), -EWOULDBLOCK); /* and so the shared one is gone */
	assert_int_equal(vfs_flock(&w.c, 5, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(vfs_flock(&w.c, 5, 99), -EINVAL);
	sigaction(SIGUSR1, &sa, NULL);
	pid = world_fork();
	if (pid == 0)
		_exit(vfs_close(&w.c, 5) == 0 && vfs_flock(&w.c, 6, LOCK_EX) == -EINTR ? vfs_leave(&w.c) : 1);
	nap(300);
	kill(pid, SIGUSR1);
	world_wait(pid, 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_flock(&w.c, 6, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(vfs_close(&w.c, 6), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_posix_locks),
		TEST(test_lock_model),
		TEST(test_wait),
		TEST(test_deadlock),
		TEST(test_interrupted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
