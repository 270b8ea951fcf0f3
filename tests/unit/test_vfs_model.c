/*
 * One file against an array of bytes: written, cut, punched, mapped, unmapped, read and found again in random order, by descriptors and through the mapping,
 * by this process and by children of it.
 */
#include "vfs_world.h"

#define V "/srv/vol"
#define MAX 200000
#define MAPPED 262144

struct model {
	uint8_t bytes[MAX];
	size_t size;
	uint8_t *map; /* NULL: not mapped */
	struct vfs_node node;
	uint64_t seed;
};
static struct model m;

static size_t below(size_t n)
{
	return n ? (size_t)(fs_rand(&m.seed) % n) : 0;
}

static void do_write(bool append)
{
	static uint8_t p[MAX];
	size_t off = append ? m.size : below(MAX - 1), n = 1 + below(below(8) ? 5000 : MAX);

	if (off >= MAX)
		return;
	if (n > MAX - off)
		n = MAX - off;
	memset(p, 1 + (int)below(255), n);
	/* descriptor 6 appends */
	assert_int_equal(vfs_pwrite(&w.c, append ? 6 : 5, p, n, append ? 0 : (int64_t)off), (long)n);
	memcpy(m.bytes + off, p, n);
	if (off + n > m.size)
		m.size = off + n;
}

static void do_read(void)
{
	static uint8_t p[MAX];
	size_t off = below(MAX), n = below(MAX), want;

	want = off >= m.size ? 0 : n < m.size - off ? n : m.size - off;
	assert_int_equal(vfs_pread(&w.c, 5, p, n, (int64_t)off), (long)want);
	assert_memory_equal(p, m.bytes + off, want);
}

static void do_truncate(void)
{
	size_t size = below(MAX);

	assert_int_equal(vfs_ftruncate(&w.c, 5, (int64_t)size), 0);
	if (size < m.size)
		memset(m.bytes + size, 0, m.size - size);
	m.size = size;
}

static void do_punch(void)
{
	size_t off = below(MAX), n = 1 + below(below(3) ? 5000 : MAX - off);
	bool zero = below(2);
	int mode = zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;

	if (n > MAX - off)
		n = MAX - off;
	if (n == 0)
		return;
	assert_int_equal(vfs_fallocate(&w.c, 5, mode | FALLOC_FL_KEEP_SIZE, (int64_t)off, (int64_t)n), 0);
	if (off < m.size)
		memset(m.bytes + off, 0, n < m.size - off ? n : m.size - off);
}

static void do_map(void)
{
	uint64_t off;

	if (m.map) {
		munmap(m.map, MAPPED);
		m.map = NULL;
		assert_int_equal(vfs_unmap(&w.c, &m.node), 0);
		return;
	}
	assert_int_equal(vfs_map(&w.c, 5, PROT_READ | PROT_WRITE, MAP_SHARED, &m.node, &off), 0);
	m.map = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, w.pages, (off_t)off);
	assert_ptr_not_equal(m.map, MAP_FAILED);
}

static void do_map_access(void)
{
	size_t off, n;

	if (!m.map || m.size == 0)
		return;
	assert_memory_equal(m.map, m.bytes, m.size);
	off = below(m.size);
	n = 1 + below(m.size - off < 5000 ? m.size - off : 5000);
	if (n > m.size - off)
		n = m.size - off;
	memset(m.map + off, 1 + (int)below(255), n);
	memcpy(m.bytes + off, m.map + off, n);
	/* what lies behind the end is nobody's */
	if (m.size % 4096)
		m.map[m.size] = 0x77;
}

static void do_sync(void)
{
	struct volume *v = vfs_mount_volume(w.c.fs, 0);
	static uint8_t p[MAX];
	struct volume_attr a;
	uint32_t mount;

	if (m.map && below(2)) {
		size_t off = below(m.size + 1), n = below(MAX);

		assert_int_equal(vfs_map_sync(&w.c, &m.node, off, n, false), 0);
		if (off < m.size && n > m.size - off)
			n = m.size - off;
		assert_int_equal(vfs_fstat(&w.c, 5, &a, &mount), 0);
		if (off < m.size)
			assert_int_equal(volume_read(v, a.ino, off, p, n), (long)n);
		if (off < m.size)
			assert_memory_equal(p, m.bytes + off, n);
		return;
	}
	assert_int_equal(vfs_fsync(&w.c, 5, below(2)), 0);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &mount), 0);
	assert_int_equal(a.size, m.size);
	assert_int_equal(volume_read(v, a.ino, 0, p, MAX), (long)m.size);
	assert_memory_equal(p, m.bytes, m.size);
}

/* No hole has anything in it. */
static void do_seek(void)
{
	int64_t off = (int64_t)below(MAX), data = vfs_lseek(&w.c, 5, off, SEEK_DATA), hole;

	if (off >= (int64_t)m.size) {
		assert_int_equal(data, -ENXIO);
		return;
	}
	for (int64_t i = off; i < (data == -ENXIO ? (int64_t)m.size : data); i++)
		assert_int_equal(m.bytes[i], 0);
	hole = vfs_lseek(&w.c, 5, off, SEEK_HOLE);
	assert_true(hole >= off && hole <= (int64_t)m.size);
}

/* A child writes, by descriptor and through the mapping that it has from its parent, and is killed or leaves. */
static void do_child(void)
{
	size_t off = below(MAX - 100), at = m.size ? below(m.size) : 0;
	uint8_t p[100], c = (uint8_t)(1 + below(255));
	bool killed = below(2);
	pid_t pid;

	memset(p, c, sizeof(p));
	pid = world_fork();
	if (pid == 0) {
		if (vfs_pwrite(&w.c, 5, p, sizeof(p), (int64_t)off) != sizeof(p))
			_exit(1);
		if (m.map)
			m.map[at] = c;
		if (killed)
			kill(getpid(), SIGKILL);
		_exit(vfs_leave(&w.c) == 0 ? 0 : 2);
	}
	if (killed)
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	else
		world_wait(pid, 0);
	if (off + 100 > m.size)
		m.size = off + 100;
	memcpy(m.bytes + off, p, 100);
	if (m.map)
		m.bytes[at] = c;
	if (below(2))
		vfs_reap(&w.c);
}

static void test_model(void **state)
{
	const char *r = getenv("VFS_MODEL_ROUNDS");
	unsigned int rounds = r ? (unsigned int)atoi(r) : 6000;

	memset(&m, 0, sizeof(m));
	m.seed = 20261122;
	assert_int_equal(w_open(&w.c, V "/m", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(w_open(&w.c, V "/m", O_RDWR | O_APPEND, 0600, 6), 0);
	for (unsigned int i = 0; i < rounds; i++) {
		alarm(60);
		switch (below(20)) {
		case 0:
			do_truncate();
			break;
		case 1:
		case 2:
			do_punch();
			break;
		case 3:
			do_map();
			break;
		case 4:
		case 5:
		case 6:
			do_map_access();
			break;
		case 7:
			do_sync();
			break;
		case 8:
			do_seek();
			break;
		case 9:
			if (below(4) == 0)
				do_child();
			break;
		case 10:
			do_write(true);
			break;
		case 11:
			if (below(20) == 0)
				assert_int_equal(vfs_sync(&w.c, -1), 0);
			break;
		default:
			if (below(2))
				do_write(false);
			else
				do_read();
		}
	}
	alarm(0);
	if (m.map)
		do_map();
	do_sync();
	vfs_reap(&w.c);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_close(&w.c, 6), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, world_start, world_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
