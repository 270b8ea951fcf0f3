/*
 * The vfs in one process: reading and writing, times, directories, extended attributes, descriptors.
 */
#include "vfs_world.h"

#include <sys/xattr.h>

#define V "/srv/vol"

static void test_io(void **state)
{
	struct vfs_caller limited = w.c;
	struct vfs_io io;
	struct volume_attr a;
	uint32_t m;
	char p[64];

	assert_int_equal(w_open(&w.c, V "/io", O_RDWR | O_CREAT, 0600, 5), 0);
	assert_int_equal(vfs_write(&w.c, 5, "0123456789", 10), 10);
	assert_int_equal(vfs_dup(&w.c, 5, 6), 0);
	assert_int_equal(vfs_lseek(&w.c, 6, 2, SEEK_SET), 2);
	assert_int_equal(vfs_read(&w.c, 5, p, 3), 3);
	assert_memory_equal(p, "234", 3);
	assert_int_equal(vfs_lseek(&w.c, 6, 0, SEEK_CUR), 5);
	/* in steps, one of which did not reach its reader */
	assert_int_equal(vfs_io_begin(&w.c, 5, 0, 0, 4, &io), 0);
	assert_int_equal(vfs_io_read(&io, p, 2), 2);
	assert_int_equal(vfs_io_read(&io, p, 60), 2);
	vfs_io_back(&io, 2);
	assert_int_equal(vfs_io_end(&io), 0);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_CUR), 7);
	assert_int_equal(vfs_pread(&w.c, 5, p, 4, -1), -EINVAL);
	assert_int_equal(vfs_pread(&w.c, 5, p, 4, INT64_MAX), -EINVAL);
	assert_int_equal(vfs_pread(&w.c, 5, p, 4, 10), 0);
	assert_int_equal(vfs_pread(&w.c, 7, p, 4, 0), -EBADF);
	assert_int_equal(vfs_pwrite(&w.c, 5, "x", 1, (int64_t)VOLUME_FILE_MAX), -EFBIG);
	/* O_APPEND, set later, holds for both and for pwrite */
	assert_int_equal(vfs_fd_set_flags(&w.c, 6, O_APPEND), 0);
	assert_int_equal(vfs_pwrite(&w.c, 5, "ab", 2, 0), 2);
	assert_int_equal(vfs_write(&w.c, 5, "c", 1), 1);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_CUR), 13);
	assert_int_equal(vfs_pread(&w.c, 5, p, sizeof(p), 0), 13);
	assert_memory_equal(p, "0123456789abc", 13);
	assert_int_equal(vfs_fd_set_flags(&w.c, 6, 0), 0);
	/* limits */
	limited.file_size_limit = 15;
	assert_int_equal(vfs_pwrite(&limited, 5, "wxyz", 4, 13), 2);
	assert_int_equal(vfs_pwrite(&limited, 5, "wxyz", 4, 15), -EFBIG);
	assert_int_equal(vfs_ftruncate(&limited, 5, 16), -EFBIG);
	assert_int_equal(vfs_ftruncate(&limited, 5, 12), 0);
	assert_int_equal(vfs_fallocate(&limited, 5, 0, 0, 16), -EFBIG);
	/* holes, and what is asked for by a directory's or none's descriptor */
	assert_int_equal(vfs_ftruncate(&w.c, 5, 100000), 0);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_DATA), 0);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_HOLE), 4096);
	assert_int_equal(vfs_lseek(&w.c, 5, 5000, SEEK_DATA), -ENXIO);
	assert_int_equal(vfs_lseek(&w.c, 5, 100001, SEEK_HOLE), -ENXIO);
	assert_int_equal(vfs_lseek(&w.c, 5, -1, SEEK_SET), -EINVAL);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, 17), -EINVAL);
	assert_int_equal(vfs_fallocate(&w.c, 5, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(vfs_fallocate(&w.c, 5, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
	assert_int_equal(vfs_pread(&w.c, 5, p, 4, 0), 4);
	assert_memory_equal(p, "\0\0\0\0", 4);
	assert_int_equal(vfs_fallocate(&w.c, 5, 0, -1, 5), -EINVAL);
	assert_int_equal(vfs_fallocate(&w.c, 5, 0, 0, 0), -EINVAL);
	assert_int_equal(vfs_fallocate(&w.c, 5, 0, 0, 200000), 0);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(a.size, 200000);
	assert_int_equal(vfs_ftruncate(&w.c, 5, -1), -EINVAL);
	assert_int_equal(vfs_fsync(&w.c, 5, true), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_fsync(&w.c, 6, false), 0);
	assert_int_equal(vfs_close(&w.c, 6), 0);
	assert_int_equal(w_open(&w.c, V "/io", O_RDONLY, 0, 5), 0);
	assert_int_equal(vfs_ftruncate(&w.c, 5, 1), -EINVAL);
	assert_int_equal(vfs_fallocate(&w.c, 5, 0, 0, 1), -EBADF);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_sync(&w.c, -1), 0);
}

static void test_atime(void **state)
{
	struct volume_attr a, b;
	char p[4];
	uint32_t m;

	w_file(V "/at", "text");
	assert_int_equal(w_utimes(&w.c, V "/at", 1000000000, 2000000000), 0);
	assert_int_equal(w_open(&w.c, V "/at", O_RDONLY, 0, 5), 0);
	assert_int_equal(vfs_read(&w.c, 5, p, 4), 4);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_true(a.atime > 2000000000);
	assert_int_equal(a.mtime, 2000000000);
	/* relatime: not again while it is newer than the rest */
	assert_int_equal(vfs_pread(&w.c, 5, p, 4, 0), 4);
	assert_int_equal(vfs_fstat(&w.c, 5, &b, &m), 0);
	assert_int_equal(a.atime, b.atime);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(w_utimes(&w.c, V "/at", 1000000000, 2000000000), 0);
	assert_int_equal(w_open(&w.c, V "/at", O_RDONLY | O_NOATIME, 0, 5), 0);
	assert_int_equal(vfs_read(&w.c, 5, p, 4), 4);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(a.atime, 1000000000);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

static void test_dir(void **state)
{
	static uint8_t buf[4096];
	uint8_t seen[300] = {0};
	char name[32], path[64];
	struct vfs_place *p = &w.sh->place[0];
	struct vfs_node n;
	unsigned int count = 0;
	int64_t mid = 0;
	long got;

	assert_int_equal(w_mkdir(&w.c, V "/dir", 0777), 0);
	for (unsigned int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), V "/dir/%u", i);
		w_file(name, "");
	}
	assert_int_equal(w_open(&w.c, V "/dir", O_RDONLY | O_DIRECTORY, 0, 5), 0);
	assert_int_equal(vfs_getdents64(&w.c, 5, buf, 10), -EINVAL);
	while ((got = vfs_getdents64(&w.c, 5, buf, 1000)) > 0)
		for (long at = 0; at < got;) {
			uint16_t len;
			const char *s = (const char *)buf + at + 19;

			memcpy(&len, buf + at + 16, 2);
			assert_true(len % 8 == 0 && at + len <= got);
			if (s[0] != '.') {
				assert_int_equal(buf[at + 18], 8 /* DT_REG */);
				assert_int_equal(seen[atoi(s)]++, 0);
				if (++count == 150)
					memcpy(&mid, buf + at + 8, 8);
			}
			at += len;
		}
	assert_int_equal(got, 0);
	assert_int_equal(count, 300);
	assert_int_equal(vfs_lseek(&w.c, 5, mid, SEEK_SET), mid);
	for (count = 0; (got = vfs_getdents64(&w.c, 5, buf, sizeof(buf))) > 0;)
		for (long at = 0; at < got; count++) {
			uint16_t len;

			memcpy(&len, buf + at + 16, 2);
			at += len;
		}
	assert_int_equal(count, 150);
	assert_int_equal(vfs_fd_place(&w.c, 5, p), 0);
	n = vfs_place_node(p);
	assert_int_equal(vfs_dir_path(&w.c, &n, path, sizeof(path)), sizeof(V "/dir"));
	assert_string_equal(path, V "/dir");
	assert_int_equal(vfs_dir_path(&w.c, &n, path, sizeof(V "/dir") - 1), -ERANGE);
	/* it moves; what was opened in it is found under its new name */
	assert_int_equal(w_open(&w.c, V "/dir/7", O_RDONLY, 0, 6), 0);
	assert_int_equal(w_rename(&w.c, V "/dir/7", V "/dir/seven", 0), 0);
	assert_int_equal(w_rename(&w.c, V "/dir", V "/moved", 0), 0);
	assert_true(vfs_fd_path(&w.c, 6, path, sizeof(path)) > 0);
	assert_string_equal(path, V "/moved/seven");
	assert_true(vfs_fd_path(&w.c, 5, path, sizeof(path)) > 0);
	assert_string_equal(path, V "/moved");
	/* removed while it is open */
	assert_int_equal(w_mkdir(&w.c, V "/away", 0777), 0);
	assert_int_equal(w_open(&w.c, V "/away", O_RDONLY | O_DIRECTORY, 0, 7), 0);
	assert_int_equal(vfs_fd_place(&w.c, 7, p), 0);
	n = vfs_place_node(p);
	assert_int_equal(w_rmdir(&w.c, V "/away"), 0);
	assert_int_equal(vfs_getdents64(&w.c, 7, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(vfs_dir_path(&w.c, &n, path, sizeof(path)), -ENOENT);
	assert_int_equal(vfs_walk(&w.c, &n, "x", VFS_NAME, p), 0);
	assert_false(p->found);
	assert_int_equal(vfs_mkdir(&w.c, p, 0777), -ENOENT);
	assert_int_equal(vfs_open(&w.c, p, O_WRONLY | O_CREAT, 0600, 8), -ENOENT);
	for (int i = 5; i <= 7; i++)
		assert_int_equal(vfs_close(&w.c, i), 0);
	assert_int_equal(vfs_walk(&w.c, &n, "x", VFS_NAME, p), -ENOENT);
}

static void test_xattr(void **state)
{
	struct vfs_caller u = world_user(1000), o = world_user(2000);
	struct vfs_place *p = &w.sh->place[0];
	char buf[64];

	w_file(V "/xa", "");
	assert_int_equal(w_chown(&w.c, V "/xa", 1000, 1000), 0);
	assert_int_equal(world_walk(&w.c, V "/xa", 0, p), 0);
	assert_int_equal(vfs_setxattr(&u, p, "user.a", "1", 1, 0), 0);
	assert_int_equal(vfs_setxattr(&u, p, "user.a", "2", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(vfs_setxattr(&u, p, "user.b", "2", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(vfs_setxattr(&o, p, "user.a", "2", 1, 0), -EACCES);
	assert_int_equal(vfs_setxattr(&u, p, "trusted.t", "2", 1, 0), -EPERM);
	assert_int_equal(vfs_setxattr(&w.c, p, "trusted.t", "2", 1, 0), 0);
	assert_int_equal(vfs_getxattr(&u, p, "trusted.t", buf, 1), -ENODATA);
	assert_int_equal(vfs_setxattr(&u, p, "system.posix_acl_access", "2", 1, 0), -EOPNOTSUPP);
	assert_int_equal(vfs_setxattr(&u, p, "user.", "2", 1, 0), -EINVAL);
	assert_int_equal(vfs_setxattr(&u, p, "", "2", 1, 0), -ERANGE);
	assert_int_equal(vfs_setxattr(&u, p, "user.a", "2", 1, 8), -EINVAL);
	assert_int_equal(vfs_getxattr(&o, p, "user.a", buf, sizeof(buf)), 1);
	assert_int_equal(vfs_getxattr(&o, p, "user.z", buf, sizeof(buf)), -ENODATA);
	assert_int_equal(vfs_listxattr(&u, p, buf, sizeof(buf)), 7);
	assert_memory_equal(buf, "user.a", 7);
	assert_int_equal(vfs_listxattr(&u, p, buf, 0), 7);
	assert_int_equal(vfs_listxattr(&u, p, buf, 6), -ERANGE);
	assert_int_equal(vfs_listxattr(&w.c, p, buf, sizeof(buf)), 7 + 10);
	assert_int_equal(vfs_removexattr(&o, p, "user.a"), -EACCES);
	assert_int_equal(vfs_removexattr(&u, p, "user.a"), 0);
	assert_int_equal(w_symlink(&w.c, "xa", V "/xl"), 0);
	assert_int_equal(world_walk(&w.c, V "/xl", VFS_NOFOLLOW, p), 0);
	assert_int_equal(vfs_setxattr(&w.c, p, "user.a", "1", 1, 0), -EPERM);
	assert_int_equal(vfs_getxattr(&w.c, p, "user.a", buf, 1), -ENODATA);
	/* a capability goes with a write, root's too */
	assert_int_equal(world_walk(&w.c, V "/xa", 0, p), 0);
	assert_int_equal(vfs_setxattr(&w.c, p, "security.capability", "cap", 3, 0), 0);
	w_file(V "/xa", "new");
	assert_int_equal(vfs_getxattr(&w.c, p, "security.capability", buf, sizeof(buf)), -ENODATA);
}

static void test_descriptors(void **state)
{
	struct vfs_fd a, b;
	char p[8];

	w_file(V "/dd", "abcdef");
	assert_int_equal(w_open(&w.c, V "/dd", O_RDWR, 0, 5), 0);
	assert_int_equal(w_open(&w.c, V "/dd", O_RDONLY, 0, 60000), 0);
	assert_int_equal(vfs_fd_next(&w.c, 6), 60000);
	assert_int_equal(vfs_dup(&w.c, 5, 5), 0);
	assert_int_equal(vfs_dup(&w.c, 7, 5), -EBADF);
	assert_int_equal(vfs_dup(&w.c, 5, VFS_FDS), -EBADF);
	assert_int_equal(vfs_fd_get(&w.c, 5, &a), 0);
	assert_int_equal(vfs_dup(&w.c, 5, 60000), 0);
	assert_int_equal(vfs_fd_get(&w.c, 60000, &b), 0);
	assert_int_equal(a.id, b.id);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_read(&w.c, 60000, p, 3), 3);
	/* to another process and back */
	assert_int_equal(vfs_send(&w.c, 60000, 4711), 0);
	assert_int_equal(vfs_close(&w.c, 60000), 0);
	assert_int_equal(vfs_receive(&w.c, 4712, 5), -ENOENT);
	assert_int_equal(vfs_receive(&w.c, 4711, 5), 0);
	assert_int_equal(vfs_receive(&w.c, 4711, 6), -ENOENT);
	assert_int_equal(vfs_read(&w.c, 5, p, 8), 3);
	assert_memory_equal(p, "def", 3);
	/* more are on their way than are kept: the oldest are closed */
	for (unsigned int i = 0; i < 1030; i++)
		assert_int_equal(vfs_send(&w.c, 5, 10000 + i), 0);
	assert_int_equal(vfs_receive(&w.c, 10005, 6), -ENOENT);
	assert_int_equal(vfs_receive(&w.c, 10006, 6), 0);
	assert_int_equal(vfs_close(&w.c, 6), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_io),
		TEST(test_atime),
		TEST(test_dir),
		TEST(test_xattr),
		TEST(test_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
