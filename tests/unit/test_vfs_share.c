/*
 * Several processes: descriptors after fork, shared mappings, exec, and what is left when one is killed.
 */
#include "vfs_world.h"

#define V "/srv/vol"

static uint32_t holds(const char *path)
{
	struct volume_attr a;
	uint32_t n = 0;

	assert_int_equal(w_stat(&w.c, path, &a), 0);
	assert_int_equal(volume_holds(vfs_mount_volume(w.c.fs, 0), a.ino, &n), 0);
	return n;
}

static void test_fork(void **state)
{
	char p[8];
	pid_t pid;

	w_file(V "/f", "0123456789");
	assert_int_equal(w_open(&w.c, V "/f", O_RDWR, 0, 5), 0);
	assert_int_equal(holds(V "/f"), 1);
	pid = world_fork();
	if (pid == 0) {
		if (vfs_read(&w.c, 5, p, 4) != 4 || vfs_close(&w.c, 5) != 0 ||
			w_open(&w.c, V "/g", O_CREAT | O_WRONLY, 0600, 5) != 0 ||
			vfs_write(&w.c, 5, "child", 5) != 5)
			_exit(1);
		_exit(vfs_leave(&w.c) == 0 ? 0 : 2);
	}
	world_wait(pid, 0);
	/* one offset, two tables */
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_CUR), 4);
	assert_int_equal(vfs_read(&w.c, 5, p, 3), 3);
	assert_memory_equal(p, "456", 3);
	assert_int_equal(holds(V "/g"), 0);
	assert_int_equal(holds(V "/f"), 1);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(holds(V "/f"), 0);
}

static void test_fork_cancel(void **state)
{
	uint32_t slot = 0;

	w_file(V "/c", "x");
	assert_int_equal(w_open(&w.c, V "/c", O_RDWR, 0, 5), 0);
	assert_int_equal(vfs_fork_prepare(&w.c, true, &slot), 0);
	assert_int_equal(slot, 1);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(holds(V "/c"), 1);
	vfs_fork_cancel(&w.c, slot);
	assert_int_equal(holds(V "/c"), 0);
}

static void test_killed(void **state)
{
	struct volume_attr a;
	uint32_t n;
	pid_t pid;

	w_file(V "/k", "x");
	assert_int_equal(w_stat(&w.c, V "/k", &a), 0);
	pid = world_fork();
	if (pid == 0) {
		if (w_open(&w.c, V "/k", O_RDWR, 0, 5) != 0 || w_unlink(&w.c, V "/k") != 0 ||
			set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, false) != 0 ||
			w_open(&w.c, V, O_TMPFILE | O_RDWR, 0600, 6) != 0)
			_exit(1);
		w.sh->number[0] = 1;
		pause();
	}
	while (!__atomic_load_n(&w.sh->number[0], __ATOMIC_ACQUIRE))
		nap(1);
	/* alive: nothing is taken away */
	assert_int_equal(vfs_reap(&w.c), 0);
	assert_int_equal(volume_holds(vfs_mount_volume(w.c.fs, 0), a.ino, &n), 0);
	assert_int_equal(n, 1);
	world_kill(pid);
	assert_int_equal(vfs_reap(&w.c), 1);
	assert_int_equal(volume_getattr(vfs_mount_volume(w.c.fs, 0), a.ino, &a), -ENOENT);
	assert_int_equal(vfs_reap(&w.c), 0);
}

/* The parent dies while its child is on its way: the child gets its slot if it comes in time, and not after it was taken away. */
static void test_birth(void **state)
{
	pid_t pid;

	w_file(V "/b", "x");
	assert_int_equal(w_open(&w.c, V "/b", O_RDWR, 0, 5), 0);
	for (int late = 0; late < 2; late++) {
		w.sh->number[1] = w.sh->number[2] = w.sh->number[3] = 0;
		pid = world_fork();
		if (pid == 0) {
			uint32_t slot = 0;

			if (vfs_fork_prepare(&w.c, false, &slot) < 0)
				_exit(1);
			pid = fork();
			if (pid > 0)
				pause();
			alarm(60);
			w.self = slot;
			__atomic_store_n(&w.sh->number[1], (uint64_t)getpid(), __ATOMIC_RELEASE);
			while (!__atomic_load_n(&w.sh->number[2], __ATOMIC_ACQUIRE))
				nap(1);
			if (arena_take(&w.arena, slot) < 0)
				_exit(2);
			w.sh->number[4] = (uint64_t)(int64_t)vfs_fork_child(&w.c, slot, (uint32_t)getpid());
			__atomic_store_n(&w.sh->number[3], 1, __ATOMIC_RELEASE);
			if (w.sh->number[4] == 0)
				_exit(vfs_leave(&w.c) == 0 ? 0 : 3);
			_exit(0);
		}
		while (!__atomic_load_n(&w.sh->number[1], __ATOMIC_ACQUIRE))
			nap(1);
		world_kill(pid);
		if (late)
			w.sh->clock += 10000000000LL;
		/* the parent, and the child that never came */
		assert_int_equal(vfs_reap(&w.c), late ? 2 : 1);
		__atomic_store_n(&w.sh->number[2], 1, __ATOMIC_RELEASE);
		while (!__atomic_load_n(&w.sh->number[3], __ATOMIC_ACQUIRE))
			nap(1);
		assert_int_equal((int)(int64_t)w.sh->number[4], late ? -ESTALE : 0);
		while (kill((pid_t)w.sh->number[1], 0) == 0)
			nap(1);
		vfs_reap(&w.c);
	}
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(holds(V "/b"), 0);
}

static uint8_t *map(int fd, int prot, size_t len, struct vfs_node *n)
{
	uint64_t off = 0;
	uint8_t *p;

	assert_int_equal(vfs_map(&w.c, fd, prot, MAP_SHARED, n, &off), 0);
	p = mmap(NULL, len, prot, MAP_SHARED, w.pages, (off_t)off);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void test_map(void **state)
{
	static uint8_t content[300000], back[300000];
	struct volume *v = vfs_mount_volume(w.c.fs, 0);
	struct vfs_node n, m;
	struct volume_attr a;
	uint64_t off;
	uint8_t *p, *q;
	uint32_t mount;
	pid_t pid;

	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i / 7);
	assert_int_equal(w_open(&w.c, V "/map", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(vfs_write(&w.c, 5, content, sizeof(content)), sizeof(content));
	assert_int_equal(w_open(&w.c, V "/map", O_RDONLY, 0, 6), 0);
	assert_int_equal(w_open(&w.c, V "/map", O_WRONLY, 0, 7), 0);
	assert_int_equal(vfs_map(&w.c, 6, PROT_WRITE, MAP_SHARED, &n, &off), -EACCES);
	assert_int_equal(vfs_map(&w.c, 7, PROT_READ, MAP_SHARED, &n, &off), -EACCES);
	assert_int_equal(vfs_map(&w.c, 5, PROT_READ, MAP_PRIVATE, &n, &off), -EINVAL);
	p = map(5, PROT_READ | PROT_WRITE, 300000, &n);
	q = map(6, PROT_READ, 300000, &m);
	assert_int_equal(n.ino, m.ino);
	assert_memory_equal(p, content, sizeof(content));
	/* three ways to one content */
	p[100000] = 0xee;
	assert_int_equal(vfs_pread(&w.c, 6, back, 1, 100000), 1);
	assert_int_equal(back[0], 0xee);
	assert_int_equal(vfs_pwrite(&w.c, 7, "written", 7, 200000), 7);
	assert_memory_equal(q + 200000, "written", 7);
	/* the volume has it when it was asked to */
	assert_int_equal(volume_read(v, n.ino, 100000, back, 1), 1);
	assert_int_equal(back[0], content[100000]);
	assert_int_equal(vfs_map_sync(&w.c, &n, 100000, 1, true), 0);
	assert_int_equal(volume_read(v, n.ino, 100000, back, 1), 1);
	assert_int_equal(back[0], 0xee);
	assert_int_equal(volume_read(v, n.ino, 200000, back, 7), 7);
	assert_memory_equal(back, content + 200000, 7);
	assert_int_equal(vfs_fsync(&w.c, 5, false), 0);
	assert_int_equal(volume_read(v, n.ino, 200000, back, 7), 7);
	assert_memory_equal(back, "written", 7);
	/* longer and shorter: zeros where there was nothing */
	assert_int_equal(vfs_ftruncate(&w.c, 5, 150001), 0);
	assert_int_equal(vfs_ftruncate(&w.c, 5, 400000), 0);
	assert_int_equal(vfs_pread(&w.c, 5, back, 100, 150000), 100);
	assert_int_equal(back[0], content[150000]);
	for (int i = 1; i < 100; i++)
		assert_int_equal(back[i], 0);
	assert_int_equal(p[200000], 0);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_END), 400000);
	assert_int_equal(vfs_write(&w.c, 5, "end", 3), 3);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &mount), 0);
	assert_int_equal(a.size, 400003);
	assert_int_equal(vfs_fallocate(&w.c, 5, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 9000), 0);
	assert_int_equal(p[9], content[9]);
	assert_int_equal(p[10] | p[5000] | p[9009], 0);
	assert_int_equal(p[9010], content[9010]);
	/* another process, killed: what it wrote is there, and its mapping is not */
	pid = world_fork();
	if (pid == 0) {
		p[50000] = 0xaa;
		if (vfs_pwrite(&w.c, 5, "killed", 6, 60000) == 6)
			__atomic_store_n(&w.sh->number[0], 7, __ATOMIC_RELEASE);
		pause();
	}
	while (__atomic_load_n(&w.sh->number[0], __ATOMIC_ACQUIRE) != 7)
		nap(1);
	munmap(p, 300000);
	munmap(q, 300000);
	assert_int_equal(vfs_map_again(&w.c, &n), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vfs_unmap(&w.c, &n), 0);
	assert_int_equal(vfs_unmap(&w.c, &n), -EINVAL);
	assert_int_equal(vfs_map_again(&w.c, &n), -EINVAL);
	for (int i = 5; i <= 7; i++)
		assert_int_equal(vfs_close(&w.c, i), 0);
	assert_int_equal(holds(V "/map"), 1);
	world_kill(pid);
	assert_int_equal(vfs_reap(&w.c), 1);
	assert_int_equal(holds(V "/map"), 0);
	assert_int_equal(volume_read(v, n.ino, 50000, back, 1), 1);
	assert_int_equal(back[0], 0xaa);
	assert_int_equal(volume_read(v, n.ino, 60000, back, 6), 6);
	assert_memory_equal(back, "killed", 6);
	/* mapped again: nothing of before is in the pages */
	assert_int_equal(w_truncate(&w.c, V "/map", 0), 0);
	assert_int_equal(w_truncate(&w.c, V "/map", 100000), 0);
	assert_int_equal(w_open(&w.c, V "/map", O_RDWR, 0600, 5), 0);
	p = map(5, PROT_READ | PROT_WRITE, 100000, &n);
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(p[i], 0);
	p[5] = 1;
	munmap(p, 100000);
	/* by exec, too */
	vfs_exec_done(&w.c);
	assert_int_equal(volume_read(v, n.ino, 5, back, 1), 1);
	assert_int_equal(back[0], 1);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(holds(V "/map"), 0);
}

/* No room to write the pages of a mapping back when it ends: they stay, and are read, until there is. */
static void test_map_full(void **state)
{
	static uint8_t block[65536];
	struct volume *v = vfs_mount_volume(w.c.fs, 0);
	struct vfs_node n, again;
	uint64_t off = 0;
	uint8_t *p, back;
	long r;

	assert_int_equal(w_open(&w.c, V "/full", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(vfs_ftruncate(&w.c, 5, 8 << 20), 0);
	p = map(5, PROT_READ | PROT_WRITE, 8 << 20, &n);
	memset(p, 'm', 8 << 20);
	assert_int_equal(w_open(&w.c, V "/filler", O_RDWR | O_CREAT, 0600, 6), 0);
	memset(block, 1, sizeof(block));
	while ((r = vfs_write(&w.c, 6, block, sizeof(block))) > 0)
		;
	assert_int_equal(r, -ENOSPC);
	munmap(p, 8 << 20);
	assert_int_equal(vfs_unmap(&w.c, &n), -ENOSPC);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(w_open(&w.c, V "/full", O_RDWR, 0, 5), 0);
	assert_int_equal(vfs_pread(&w.c, 5, &back, 1, (8 << 20) - 1), 1);
	assert_int_equal(back, 'm');
	/* mapped again it is the same */
	assert_int_equal(vfs_map(&w.c, 5, PROT_READ, MAP_SHARED, &again, &off), 0);
	assert_int_equal(vfs_unmap(&w.c, &again), -ENOSPC);
	assert_int_equal(vfs_ftruncate(&w.c, 6, 0), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_sync(&w.c, 6), 0);
	assert_int_equal(holds(V "/full"), 0);
	assert_int_equal(volume_read(v, n.ino, (8 << 20) - 1, &back, 1), 1);
	assert_int_equal(back, 'm');
	assert_int_equal(vfs_close(&w.c, 6), 0);
}

/* As execve: another view of the same slot; what the old one was in the middle of is cleared up. */
static void test_exec(void **state)
{
	struct vfs_env env = world_env();
	pid_t pid;

	w_file(V "/x", "exec");
	assert_int_equal(w_open(&w.c, V "/x", O_RDWR, 0, 5), 0);
	pid = world_fork();
	if (pid == 0) {
		struct vfs_caller c = w.c;
		struct vfs_io io;
		char p[8];

		if (vfs_io_begin(&w.c, 5, VFS_WRITE, 0, 5, &io) < 0 ||
			set(5, VFS_LOCK_POSIX, F_WRLCK, 0, 0, false) < 0)
			_exit(1);
		/* the locks of the middle of a call are another incarnation's */
		arena_give(&w.arena, w.self);
		if (arena_take(&w.arena, w.self) < 0)
			_exit(2);
		c.fs = NULL;
		if (vfs_attach(&env, w.arena.base + ARENA_HEAD, &c) < 0)
			_exit(3);
		for (uint32_t i = 0; i < WORLD_MOUNTS; i++) {
			struct volume_env e = world_volume_env(i);
			struct vfs_mount m = {.env = &e,
				.key = fs_key,
				.arena = world_at(2 + 2 * i),
				.arena_len = world_volume_arena()};

			if (vfs_mount_attach(c.fs, i, &m) < 0)
				_exit(4);
		}
		w.c = c;
		vfs_exec_done(&c);
		if (vfs_mount_count(c.fs) != 2 || strcmp(vfs_mount_path(c.fs, 1), "/other") != 0 ||
			vfs_fd_next(&c, 0) != 5 || vfs_read(&c, 5, p, 8) != 4 || vfs_close(&c, 5) != 0)
			_exit(5);
		w.sh->number[0] = 9;
		_exit(vfs_leave(&c) == 0 ? 0 : 6);
	}
	world_wait(pid, 0);
	assert_int_equal(w.sh->number[0], 9);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(holds(V "/x"), 0);
}

/* A descriptor is closed while a call on it is under way: the call ends as it would have, then the file goes. */
static void test_pins(void **state)
{
	struct volume_attr a;
	struct vfs_io io;
	uint32_t m;
	pid_t pid;

	assert_int_equal(w_open(&w.c, V "/pin", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	pid = world_fork();
	if (pid == 0) {
		while (!__atomic_load_n(&w.sh->number[5], __ATOMIC_ACQUIRE))
			nap(1);
		_exit(vfs_close(&w.c, 5) == 0 ? vfs_leave(&w.c) : 1);
	}
	assert_int_equal(vfs_io_begin(&w.c, 5, VFS_WRITE, 0, 10, &io), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(w_unlink(&w.c, V "/pin"), 0);
	/* the last descriptor is another process' */
	__atomic_store_n(&w.sh->number[5], 1, __ATOMIC_RELEASE);
	world_wait(pid, 0);
	assert_int_equal(w_open(&w.c, V "/other_file", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(vfs_io_write(&io, "to whom?", 8), 8);
	assert_int_equal(volume_getattr(vfs_mount_volume(w.c.fs, 0), a.ino, &a), 0);
	assert_int_equal(a.size, 8);
	assert_int_equal(vfs_io_end(&io), 0);
	assert_int_equal(volume_getattr(vfs_mount_volume(w.c.fs, 0), a.ino, &a), -ENOENT);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_END), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

static void test_tick(void **state)
{
	struct vfs_node n;
	uint8_t back, *p;
	struct volume_stats before, after;
	struct volume *v = vfs_mount_volume(w.c.fs, 0);

	assert_int_equal(vfs_tick(&w.c, 1000000000), 0);
	assert_int_equal(w_open(&w.c, V "/tick", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(vfs_write(&w.c, 5, "x", 1), 1);
	p = map(5, PROT_READ | PROT_WRITE, 4096, &n);
	p[0] = 'y';
	volume_stats_get(v, &before);
	assert_int_equal(vfs_tick(&w.c, 1000000000), 0);
	volume_stats_get(v, &after);
	assert_int_equal(before.commits, after.commits);
	w.sh->clock += 40000000000LL;
	assert_int_equal(vfs_tick(&w.c, 1000000000), 0);
	volume_stats_get(v, &after);
	assert_true(after.commits > before.commits);
	assert_int_equal(volume_read(v, n.ino, 0, &back, 1), 1);
	assert_int_equal(back, 'y');
	munmap(p, 4096);
	assert_int_equal(vfs_unmap(&w.c, &n), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_abandon(&w.c), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fork),
		TEST(test_fork_cancel),
		TEST(test_killed),
		TEST(test_birth),
		TEST(test_map),
		TEST(test_map_full),
		TEST(test_exec),
		TEST(test_pins),
		TEST(test_tick),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
