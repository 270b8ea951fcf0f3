/*
 * Threads of two processes on the same descriptors, which are duplicated over, closed and unlinked under them: each call works on the file that its descriptor
 * stood for when it began, whole, and on no other; at the end nothing is left held.
 */
#include "vfs_world.h"

#include <pthread.h>
#include "shield/fs/vfs_region.h"

#define V "/srv/vol"
#define ROUNDS 4000
#define SHARED_FD 5 /* stands for file a or b, in turns */
#define DOOMED_FD 6 /* stands for a file that is unlinked at once */

static atomic_bool stop, closed;
static const char *_Atomic failure;

static void fail_with(const char *what)
{
	atomic_store(&failure, what);
	atomic_store(&stop, true);
}

static void *reader(void *arg)
{
	uint8_t p[6000];

	while (!atomic_load(&stop)) {
		long n = vfs_pread(&w.c, SHARED_FD, p, sizeof(p), 100);

		if (n == -EBADF && atomic_load(&closed))
			continue;
		if (n != (long)sizeof(p))
			fail_with("a short read");
		for (long i = 1; i < n; i++)
			if (p[i] != p[0])
				fail_with("a read of two files");
	}
	return arg;
}

static void *changer(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS && !atomic_load(&stop); i++) {
		if (vfs_dup(&w.c, i % 2 ? 7 : 8, SHARED_FD) < 0)
			fail_with("dup");
		/* in the first half it is never closed: dup2 leaves no gap */
		if (i < ROUNDS / 2)
			continue;
		atomic_store(&closed, true);
		if (i % 5 == 0 && vfs_close(&w.c, SHARED_FD) < 0)
			fail_with("close");
	}
	atomic_store(&stop, true);
	return arg;
}

/* Threads that share an offset: every byte is read once. */
static void *taker(void *arg)
{
	uint64_t *sum = arg;
	uint32_t v;
	long n;

	while ((n = vfs_read(&w.c, 9, &v, sizeof(v))) == sizeof(v))
		*sum += v;
	if (n != 0)
		fail_with("a torn read");
	return arg;
}

static void *writer(void *arg)
{
	static const char text[4096] = "to the doomed";

	while (!atomic_load(&stop)) {
		struct vfs_io io;

		if (vfs_io_begin(&w.c, DOOMED_FD, VFS_WRITE | VFS_AT, 0, sizeof(text), &io) < 0)
			continue;
		/* the call takes a while, and meanwhile the file goes */
		sched_yield();
		if (vfs_io_write(&io, text, sizeof(text)) != (long)sizeof(text) || vfs_io_end(&io) < 0)
			fail_with("write");
	}
	return arg;
}

/* A file whose number is used again at once, and that nobody writes to. */
static void *doom(void *arg)
{
	struct volume_attr a;
	uint32_t m;

	for (unsigned int i = 0; i < ROUNDS && !atomic_load(&stop); i++) {
		if (w_open(&w.c, V "/doomed", O_RDWR | O_CREAT | O_EXCL, 0600, 20) < 0)
			fail_with("create");
		if (vfs_dup(&w.c, 20, DOOMED_FD) < 0 || vfs_close(&w.c, 20) < 0 ||
			w_unlink(&w.c, V "/doomed") < 0)
			fail_with("doom");
		if (vfs_close(&w.c, DOOMED_FD) < 0)
			fail_with("close of the doomed");
		if (w_open(&w.c, V "/clean", O_RDWR | O_CREAT | O_EXCL, 0600, 21) < 0)
			fail_with("create clean");
		for (int k = 0; k < 20; k++)
			if (vfs_fstat(&w.c, 21, &a, &m) < 0 || a.size != 0)
				fail_with("what was written to a closed file is in another");
		if (vfs_close(&w.c, 21) < 0 || w_unlink(&w.c, V "/clean") < 0)
			fail_with("remove clean");
	}
	atomic_store(&stop, true);
	return arg;
}

static void run(void *(*const what[])(void *), unsigned int n, void *arg, size_t step)
{
	pthread_t t[16];

	atomic_store(&stop, false);
	alarm(100);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(
			pthread_create(&t[i], NULL, what[i], arg ? (uint8_t *)arg + i * step : NULL), 0);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	alarm(0);
	if (atomic_load(&failure))
		fail_msg("%s; %s", atomic_load(&failure), w.sh->device[0].fault.text);
}

static void fill(const char *path, int fd, int c)
{
	static uint8_t p[8192];

	memset(p, c, sizeof(p));
	assert_int_equal(w_open(&w.c, path, O_RDWR | O_CREAT, 0600, fd), 0);
	assert_int_equal(vfs_write(&w.c, fd, p, sizeof(p)), sizeof(p));
}

static void test_dup(void **state)
{
	static void *(*const what[])(void *) = {reader, reader, reader, changer};
	pid_t pid;

	fill(V "/a", 7, 'a');
	fill(V "/b", 8, 'b');
	assert_int_equal(vfs_dup(&w.c, 7, SHARED_FD), 0);
	pid = world_fork();
	run(what, 4, NULL, 0);
	if (pid == 0)
		_exit(vfs_leave(&w.c) == 0 ? 0 : 1);
	world_wait(pid, 0);
	vfs_close(&w.c, SHARED_FD);
	assert_int_equal(vfs_close(&w.c, 7), 0);
	assert_int_equal(vfs_close(&w.c, 8), 0);
}

static void test_offset(void **state)
{
	static void *(*const what[])(void *) = {taker, taker, taker};
	uint64_t sums[3] = {0};
	uint32_t v;

	assert_int_equal(w_open(&w.c, V "/numbers", O_RDWR | O_CREAT, 0600, 9), 0);
	for (v = 1; v <= 20000; v++)
		assert_int_equal(vfs_write(&w.c, 9, &v, sizeof(v)), sizeof(v));
	assert_int_equal(vfs_lseek(&w.c, 9, 0, SEEK_SET), 0);
	run(what, 3, sums, sizeof(sums[0]));
	assert_int_equal(sums[0] + sums[1] + sums[2], 20000ull * 20001 / 2);
	assert_int_equal(vfs_close(&w.c, 9), 0);
}

static void test_doomed(void **state)
{
	static void *(*const what[])(void *) = {writer, writer, doom};
	struct volume_statfs before, after;

	vfs_statfs(w.c.fs, 0, &before);
	run(what, 3, NULL, 0);
	vfs_close(&w.c, DOOMED_FD);
	vfs_statfs(w.c.fs, 0, &after);
	assert_int_equal(before.inodes, after.inodes);
}

/* Nothing is left in the tables. */
static int end(void **state)
{
	struct region *r = w.c.fs->r;

	for (uint32_t i = 1; i <= r->files.high; i++)
		assert_int_equal(rg_file(r, i)->used, 0);
	for (uint32_t i = 0; i < RG_BUCKETS; i++)
		assert_int_equal(r->bucket[i], 0);
	for (uint32_t s = 0; s < r->slot_high; s++)
		for (uint32_t i = 0; i < RG_CELLS; i++)
			assert_int_equal(r->cell[s][i].what, 0);
	return world_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dup, world_start, end),
		cmocka_unit_test_setup_teardown(test_offset, world_start, end),
		cmocka_unit_test_setup_teardown(test_doomed, world_start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
