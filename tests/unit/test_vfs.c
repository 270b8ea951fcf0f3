/*
 * The vfs in one process: paths, opening, permissions, names, with the answers that Linux gives.
 */
#include "vfs_world.h"

#include <linux/fs.h>

#define V "/srv/vol"

static void test_mount_find(void **state)
{
	static const struct {
		const char *path, *rest;
		int mount;
	} cases[] = {
		{"/srv/vol", "", 0},
		{"/srv/vol/", "/", 0},
		{"/srv/vol/a/b", "/a/b", 0},
		{"//srv/.//vol//a", "//a", 0},
		{"/srv/x/../vol/a", "/a", 0},
		{"/../srv/vol/../y", "/../y", 0},
		{"/other/q", "/q", 1},
		{"/srv/volume", NULL, -1},
		{"/srv", NULL, -1},
		{"/srv/vo/l", NULL, -1},
		{"/", NULL, -1},
		{"srv/vol", NULL, -1},
		{"", NULL, -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *rest = NULL;

		assert_int_equal(vfs_mount_find(w.c.fs, cases[i].path, &rest), cases[i].mount);
		if (cases[i].rest)
			assert_string_equal(rest, cases[i].rest);
	}
}

static void test_mount_paths(void **state)
{
	static const char *const bad[] = {
		"", "/", "x", "/a/", "/a//b", "/a/./b", "/a/..", "/srv/vol", "/srv/vol/x", "/srv"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vfs_mount m = {.path = bad[i]};

		assert_int_equal(vfs_mount(w.c.fs, &m, NULL), i < 7 ? -EINVAL : -EEXIST);
	}
}

static void test_walk(void **state)
{
	struct vfs_place *p = &w.sh->place[0];
	struct vfs_node root = vfs_root(0);
	char long_name[300];

	assert_int_equal(w_mkdir(&w.c, V "/d", 0755), 0);
	assert_int_equal(w_mkdir(&w.c, V "/d/e", 0755), 0);
	w_file(V "/d/f", "text");
	assert_int_equal(w_symlink(&w.c, "f", V "/d/to_f"), 0);
	assert_int_equal(w_symlink(&w.c, "e/", V "/d/to_e"), 0);
	assert_int_equal(w_symlink(&w.c, "/srv/vol/d/f", V "/d/abs"), 0);
	assert_int_equal(w_symlink(&w.c, "/etc/passwd", V "/d/out"), 0);
	assert_int_equal(w_symlink(&w.c, "../../../tmp", V "/d/up"), 0);
	assert_int_equal(w_symlink(&w.c, "loop", V "/d/loop"), 0);
	assert_int_equal(w_symlink(&w.c, "nothing", V "/d/dangling"), 0);

	assert_int_equal(world_walk(&w.c, V "/d//./f", 0, p), 0);
	assert_true(p->found && S_ISREG(p->attr.mode) && !p->must_dir);
	assert_string_equal(p->name, "f");
	assert_int_equal(world_walk(&w.c, V "/d/e/../f", 0, p), 0);
	assert_true(p->found);
	assert_int_equal(world_walk(&w.c, V "/d/to_e/../to_f", 0, p), 0);
	assert_true(S_ISREG(p->attr.mode));
	assert_string_equal(p->name, "f");
	assert_int_equal(world_walk(&w.c, V "/d/to_f", VFS_NOFOLLOW, p), 0);
	assert_true(S_ISLNK(p->attr.mode));
	assert_int_equal(world_walk(&w.c, V "/d/to_e/", VFS_NOFOLLOW, p), 0);
	assert_true(S_ISDIR(p->attr.mode));
	assert_int_equal(world_walk(&w.c, V "/d/to_e/", VFS_NAME, p), 0);
	assert_true(S_ISLNK(p->attr.mode) && p->must_dir);
	assert_int_equal(world_walk(&w.c, V "/d/abs", 0, p), 0);
	assert_true(S_ISREG(p->attr.mode));
	assert_int_equal(p->links, 1);
	assert_int_equal(world_walk(&w.c, V "/d/dangling", 0, p), 0);
	assert_false(p->found);
	assert_string_equal(p->name, "nothing");
	assert_int_equal(world_walk(&w.c, V "/d/new/", 0, p), 0);
	assert_true(!p->found && p->must_dir);
	assert_int_equal(world_walk(&w.c, V "/d/.", 0, p), 0);
	assert_true(p->found && p->last == VFS_LAST_DOT);
	assert_int_equal(world_walk(&w.c, V "/d/e/..", 0, p), 0);
	assert_true(p->found && p->last == VFS_LAST_DOTDOT);
	assert_int_equal(world_walk(&w.c, V, 0, p), 0);
	assert_true(p->found && p->last == VFS_LAST_ROOT);

	assert_int_equal(world_walk(&w.c, V "/d/out", 0, p), VFS_AWAY);
	assert_string_equal(p->away, "/etc/passwd");
	assert_int_equal(world_walk(&w.c, V "/d/up/x/y", 0, p), VFS_AWAY);
	assert_string_equal(p->away, "/srv/../tmp/x/y");
	assert_int_equal(world_walk(&w.c, V "/d/../../other/q/", 0, p), VFS_AWAY);
	assert_string_equal(p->away, "/srv/other/q/");
	assert_int_equal(vfs_walk(&w.c, &root, "..", 0, p), VFS_AWAY);
	assert_string_equal(p->away, "/srv");
	root = vfs_root(1);
	assert_int_equal(vfs_walk(&w.c, &root, "../x", 0, p), VFS_AWAY);
	assert_string_equal(p->away, "/x");
	root = vfs_root(0);

	assert_int_equal(world_walk(&w.c, V "/d/loop", 0, p), -ELOOP);
	assert_int_equal(world_walk(&w.c, V "/d/none/x", 0, p), -ENOENT);
	assert_int_equal(world_walk(&w.c, V "/d/f/x", 0, p), -ENOTDIR);
	assert_int_equal(world_walk(&w.c, V "/d/f/.", 0, p), -ENOTDIR);
	snprintf(long_name, sizeof(long_name), V "/%0256d", 0);
	assert_int_equal(world_walk(&w.c, long_name, 0, p), -ENAMETOOLONG);
	snprintf(long_name, sizeof(long_name), V "/%0255d", 0);
	assert_int_equal(world_walk(&w.c, long_name, 0, p), 0);

	/* openat2 */
	assert_int_equal(world_walk(&w.c, V "/d/to_f", 0, p), 0);
	p->links = 0;
	assert_int_equal(vfs_walk(&w.c, &root, "d/to_f", VFS_NO_SYMLINKS, p), -ELOOP);
	assert_int_equal(vfs_walk(&w.c, &root, "d/abs", VFS_BENEATH, p), -EXDEV);
	assert_int_equal(vfs_walk(&w.c, &root, "..", VFS_BENEATH, p), -EXDEV);
	assert_int_equal(vfs_walk(&w.c, &root, "d/out", VFS_NO_XDEV, p), -EXDEV);
	assert_int_equal(vfs_walk(&w.c, &root, "../../d/f", VFS_IN_ROOT, p), 0);
	assert_true(p->found);
	assert_int_equal(vfs_walk(&w.c, &root, "d/up", VFS_IN_ROOT, p), 0);
	assert_false(p->found);
	assert_string_equal(p->name, "tmp");
}

static void test_links_limit(void **state)
{
	char name[64], to[64];
	struct vfs_place *p = &w.sh->place[0];

	w_file(V "/l0", "x");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), V "/l%d", i);
		snprintf(to, sizeof(to), "l%d", i - 1);
		assert_int_equal(w_symlink(&w.c, to, name), 0);
	}
	assert_int_equal(world_walk(&w.c, V "/l40", 0, p), 0);
	assert_true(p->found && S_ISREG(p->attr.mode));
	assert_int_equal(world_walk(&w.c, V "/l41", 0, p), -ELOOP);
}

static void test_open(void **state)
{
	struct vfs_caller u = world_user(1000);
	struct volume_attr a;
	struct vfs_fd fd;
	uint32_t m;
	char p[16];

	assert_int_equal(w_open(&w.c, V "/o", O_RDONLY, 0, 5), -ENOENT);
	assert_int_equal(w_open(&w.c, V "/o", O_RDWR | O_CREAT | O_EXCL, 0666, 5), 0);
	assert_int_equal(w_open(&w.c, V "/o", O_RDWR | O_CREAT | O_EXCL, 0666, 6), -EEXIST);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(a.mode, S_IFREG | 0644);
	assert_int_equal(vfs_write(&w.c, 5, "hello", 5), 5);
	assert_int_equal(vfs_lseek(&w.c, 5, 0, SEEK_CUR), 5);
	assert_int_equal(vfs_pread(&w.c, 5, p, sizeof(p), 1), 4);
	assert_memory_equal(p, "ello", 4);
	assert_int_equal(w_open(&w.c, V "/o", O_RDONLY | O_TRUNC, 0, 6), 0); /* as Linux: it is cut */
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(a.size, 0);
	assert_int_equal(vfs_write(&w.c, 6, "x", 1), -EBADF);
	assert_int_equal(vfs_close(&w.c, 6), 0);
	assert_int_equal(vfs_close(&w.c, 6), -EBADF);
	assert_int_equal(vfs_close(&w.c, -1), -EBADF);
	assert_int_equal(vfs_close(&w.c, VFS_FDS), -EBADF);
	assert_int_equal(w_open(&w.c, V "/o", O_RDONLY, 0, VFS_FDS), -EMFILE);

	assert_int_equal(w_mkdir(&w.c, V "/od", 0755), 0);
	assert_int_equal(w_open(&w.c, V "/od", O_RDWR, 0, 6), -EISDIR);
	assert_int_equal(w_open(&w.c, V "/od", O_RDONLY | O_CREAT, 0, 6), -EISDIR);
	assert_int_equal(w_open(&w.c, V "/od", O_RDONLY | O_TRUNC, 0, 6), -EISDIR);
	assert_int_equal(w_open(&w.c, V "/od/", O_RDONLY | O_DIRECTORY, 0, 6), 0);
	assert_int_equal(vfs_read(&w.c, 6, p, 1), -EISDIR);
	assert_int_equal(vfs_close(&w.c, 6), 0);
	assert_int_equal(w_open(&w.c, V "/o", O_RDONLY | O_DIRECTORY, 0, 6), -ENOTDIR);
	assert_int_equal(w_open(&w.c, V "/o/", O_RDONLY, 0, 6), -ENOTDIR);
	assert_int_equal(w_open(&w.c, V "/new/", O_RDWR | O_CREAT, 0644, 6), -EISDIR);
	assert_int_equal(w_open(&w.c, V "/new", O_RDWR | O_CREAT | O_DIRECTORY, 0644, 6), -EINVAL);
	assert_int_equal(w_symlink(&w.c, "o", V "/ol"), 0);
	assert_int_equal(w_open(&w.c, V "/ol", O_RDONLY | O_NOFOLLOW, 0, 6), -ELOOP);
	assert_int_equal(w_open(&w.c, V "/ol", O_PATH | O_NOFOLLOW, 0, 6), 0);
	assert_int_equal(vfs_fd_get(&w.c, 6, &fd), 0);
	assert_true(S_ISLNK(fd.type) && (fd.flags & O_PATH));
	assert_int_equal(vfs_read(&w.c, 6, p, 1), -EBADF);
	assert_int_equal(vfs_fsync(&w.c, 6, false), -EBADF);
	assert_int_equal(vfs_lseek(&w.c, 6, 0, SEEK_SET), -EBADF);
	assert_int_equal(vfs_close(&w.c, 6), 0);
	assert_int_equal(w_open(&w.c, V "/ol", O_WRONLY | O_CREAT | O_EXCL, 0600, 6), -EEXIST);
	assert_int_equal(w_symlink(&w.c, "made", V "/om"), 0);
	assert_int_equal(w_open(&w.c, V "/om", O_WRONLY | O_CREAT, 0600, 6), 0);
	assert_int_equal(w_lstat(&w.c, V "/made", &a), 0);
	assert_int_equal(vfs_read(&w.c, 6, p, 1), -EBADF);
	assert_int_equal(vfs_close(&w.c, 6), 0);

	assert_int_equal(w_mknod(&w.c, V "/fifo", S_IFIFO | 0666), 0);
	assert_int_equal(w_mknod(&w.c, V "/sock", S_IFSOCK | 0666), 0);
	assert_int_equal(w_mknod(&w.c, V "/dev", S_IFCHR | 0666), 0);
	assert_int_equal(w_mknod(&u, V "/dev2", S_IFCHR | 0666), -EPERM);
	assert_int_equal(w_mknod(&w.c, V "/x", S_IFDIR | 0666), -EPERM);
	assert_int_equal(w_mknod(&w.c, V "/x", S_IFLNK | 0666), -EINVAL);
	assert_int_equal(w_open(&w.c, V "/fifo", O_RDONLY, 0, 6), -EOPNOTSUPP);
	assert_int_equal(w_open(&w.c, V "/sock", O_RDONLY, 0, 6), -ENXIO);
	assert_int_equal(w_open(&w.c, V "/dev", O_RDONLY, 0, 6), -EACCES);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_fd_next(&w.c, 0), -1);
}

static void test_unlinked(void **state)
{
	struct vfs_place *p = &w.sh->place[0], *q = &w.sh->place[1];
	struct volume_statfs before, after;
	struct volume_attr a;
	char *big = calloc(1, MIB), path[64];
	uint32_t m;

	assert_int_equal(w_open(&w.c, V "/gone", O_RDWR | O_CREAT, 0600, 5), 0);
	vfs_statfs(w.c.fs, 0, &before);
	assert_int_equal(vfs_write(&w.c, 5, big, MIB), MIB);
	assert_int_equal(w_unlink(&w.c, V "/gone"), 0);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(a.nlink, 0);
	assert_true(vfs_fd_path(&w.c, 5, path, sizeof(path)) > 0);
	assert_string_equal(path, V "/gone (deleted)");
	/* opened again by its descriptor, as through /proc/self/fd */
	assert_int_equal(vfs_fd_place(&w.c, 5, p), 0);
	assert_int_equal(vfs_open(&w.c, p, O_RDONLY, 0, 6), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(vfs_lseek(&w.c, 6, 0, SEEK_END), MIB);
	/* a name again: never once it was unlinked to the last */
	assert_int_equal(vfs_fd_place(&w.c, 6, p), 0);
	assert_int_equal(world_walk(&w.c, V "/again", VFS_NAME, q), 0);
	assert_int_equal(vfs_link(&w.c, p, q), -ENOENT);
	assert_int_equal(vfs_close(&w.c, 6), 0);
	vfs_statfs(w.c.fs, 0, &after);
	assert_int_equal(after.inodes, before.inodes - 1);
	assert_int_equal(volume_getattr(vfs_mount_volume(w.c.fs, 0), a.ino, &a), -ENOENT);
	free(big);
}

static void test_tmpfile(void **state)
{
	struct vfs_place *p = &w.sh->place[0], *q = &w.sh->place[1];
	struct volume_attr a;
	uint32_t m;

	assert_int_equal(w_mkdir(&w.c, V "/t", 0777), 0);
	assert_int_equal(w_open(&w.c, V "/t", O_TMPFILE | O_RDONLY, 0600, 5), -EINVAL);
	assert_int_equal(w_open(&w.c, V "/t/none", O_TMPFILE | O_RDWR, 0600, 5), -ENOENT);
	assert_int_equal(w_open(&w.c, V "/t", O_TMPFILE | O_RDWR, 0600, 5), 0);
	assert_int_equal(vfs_write(&w.c, 5, "tmp", 3), 3);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(a.nlink, 0);
	assert_int_equal(vfs_fd_place(&w.c, 5, p), 0);
	assert_int_equal(world_walk(&w.c, V "/t/named", VFS_NAME, q), 0);
	assert_int_equal(vfs_link(&w.c, p, q), 0);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(w_stat(&w.c, V "/t/named", &a), 0);
	assert_int_equal(a.size, 3);
	assert_int_equal(w_open(&w.c, V "/t", O_TMPFILE | O_RDWR | O_EXCL, 0600, 5), 0);
	assert_int_equal(vfs_fstat(&w.c, 5, &a, &m), 0);
	assert_int_equal(vfs_fd_place(&w.c, 5, p), 0);
	assert_int_equal(world_walk(&w.c, V "/t/never", VFS_NAME, q), 0);
	assert_int_equal(vfs_link(&w.c, p, q), -ENOENT);
	assert_int_equal(vfs_close(&w.c, 5), 0);
	assert_int_equal(volume_getattr(vfs_mount_volume(w.c.fs, 0), a.ino, &a), -ENOENT);
}

static void test_permissions(void **state)
{
	struct vfs_caller u = world_user(1000), g = world_user(2000), o = world_user(3000);
	static const uint32_t groups[] = {7, 1000};
	struct volume_attr a;

	g.groups = groups;
	g.group_count = 2;
	assert_int_equal(w_mkdir(&w.c, V "/p", 0777), 0);
	assert_int_equal(w_chmod(&w.c, V "/p", 01777), 0);
	assert_int_equal(w_open(&u, V "/p/f", O_RDWR | O_CREAT, 0640, 5), 0);
	assert_int_equal(vfs_close(&u, 5), 0);
	assert_int_equal(w_stat(&u, V "/p/f", &a), 0);
	assert_int_equal(a.uid, 1000);
	assert_int_equal(a.gid, 1000);
	assert_int_equal(w_open(&g, V "/p/f", O_RDONLY, 0, 5), 0);
	assert_int_equal(vfs_close(&g, 5), 0);
	assert_int_equal(w_open(&g, V "/p/f", O_RDWR, 0, 5), -EACCES);
	assert_int_equal(w_open(&o, V "/p/f", O_RDONLY, 0, 5), -EACCES);
	assert_int_equal(w_open(&o, V "/p/f", O_PATH, 0, 5), 0);
	assert_int_equal(vfs_close(&o, 5), 0);
	assert_int_equal(w_open(&u, V "/p/f", O_RDONLY | O_NOATIME, 0, 5), 0);
	assert_int_equal(vfs_close(&u, 5), 0);
	assert_int_equal(w_open(&g, V "/p/f", O_RDONLY | O_NOATIME, 0, 5), -EPERM);
	assert_int_equal(w_access(&o, V "/p/f", R_OK), -EACCES);
	assert_int_equal(w_access(&g, V "/p/f", R_OK), 0);
	assert_int_equal(w_access(&w.c, V "/p/f", R_OK | W_OK), 0);
	assert_int_equal(w_access(&w.c, V "/p/f", X_OK), -EACCES);
	assert_int_equal(w_truncate(&o, V "/p/f", 0), -EACCES);
	/* sticky */
	assert_int_equal(w_unlink(&o, V "/p/f"), -EPERM);
	assert_int_equal(w_rename(&o, V "/p/f", V "/p/g", 0), -EPERM);
	/* only the owner */
	assert_int_equal(w_chmod(&g, V "/p/f", 0777), -EPERM);
	assert_int_equal(w_utimes(&g, V "/p/f", 1, 1), -EPERM);
	assert_int_equal(w_utimes(&g, V "/p/f", VFS_TIME_NOW, VFS_TIME_NOW), -EACCES);
	assert_int_equal(w_utimes(&u, V "/p/f", 5, VFS_TIME_OMIT), 0);
	assert_int_equal(w_chown(&u, V "/p/f", 2000, UINT32_MAX), -EPERM);
	assert_int_equal(w_chown(&u, V "/p/f", UINT32_MAX, 7), -EPERM);
	assert_int_equal(w_chown(&u, V "/p/f", 1000, 1000), 0);
	/* set-id bits go with a change of owner and with a write */
	assert_int_equal(w_chmod(&w.c, V "/p/f", 06775), 0);
	assert_int_equal(w_chown(&w.c, V "/p/f", 1000, 7), 0);
	assert_int_equal(w_stat(&u, V "/p/f", &a), 0);
	assert_int_equal(a.mode & 07777, 0775);
	assert_int_equal(w_chmod(&w.c, V "/p/f", 06775), 0);
	assert_int_equal(w_open(&u, V "/p/f", O_WRONLY, 0, 5), 0);
	assert_int_equal(vfs_write(&u, 5, "x", 1), 1);
	assert_int_equal(vfs_close(&u, 5), 0);
	assert_int_equal(w_stat(&u, V "/p/f", &a), 0);
	assert_int_equal(a.mode & 07777, 0775);
	assert_int_equal(w_chmod(&u, V "/p/f", 02775), 0); /* not in group 7 */
	assert_int_equal(w_stat(&u, V "/p/f", &a), 0);
	assert_int_equal(a.mode & 07777, 0775);
	/* a directory without x, then without w */
	assert_int_equal(w_mkdir(&u, V "/p/d", 0777), 0);
	assert_int_equal(w_open(&u, V "/p/d/f", O_WRONLY | O_CREAT, 0666, 5), 0);
	assert_int_equal(vfs_close(&u, 5), 0);
	assert_int_equal(w_chmod(&u, V "/p/d", 0600), 0);
	assert_int_equal(w_stat(&u, V "/p/d/f", &a), -EACCES);
	assert_int_equal(w_stat(&w.c, V "/p/d/f", &a), 0);
	assert_int_equal(w_chmod(&u, V "/p/d", 0500), 0);
	assert_int_equal(w_stat(&u, V "/p/d/f", &a), 0);
	assert_int_equal(w_unlink(&u, V "/p/d/f"), -EACCES);
	assert_int_equal(w_open(&u, V "/p/d/g", O_WRONLY | O_CREAT, 0666, 5), -EACCES);
	assert_int_equal(w_mkdir(&u, V "/p/d/g", 0777), -EACCES);
	assert_int_equal(w_symlink(&u, "x", V "/p/d/g"), -EACCES);
	assert_int_equal(w_mkdir(&u, V "/p/d/f", 0777), -EEXIST);
	/* setgid directories hand their group down */
	assert_int_equal(w_mkdir(&w.c, V "/p/sg", 0777), 0);
	assert_int_equal(w_chown(&w.c, V "/p/sg", 0, 77), 0);
	assert_int_equal(w_chmod(&w.c, V "/p/sg", 02777), 0);
	assert_int_equal(w_mkdir(&u, V "/p/sg/d", 0777), 0);
	assert_int_equal(w_stat(&u, V "/p/sg/d", &a), 0);
	assert_int_equal(a.gid, 77);
	assert_int_equal(a.mode, S_IFDIR | 02755);
}

static void test_names(void **state)
{
	struct volume_attr a, b;

	assert_int_equal(w_mkdir(&w.c, V "/n", 0777), 0);
	assert_int_equal(w_mkdir(&w.c, V "/n/a/", 0777), 0);
	assert_int_equal(w_mkdir(&w.c, V "/n/a", 0777), -EEXIST);
	assert_int_equal(w_mkdir(&w.c, V, 0777), -EEXIST);
	assert_int_equal(w_mkdir(&w.c, V "/n/a/.", 0777), -EEXIST);
	assert_int_equal(w_mknod(&w.c, V "/n/x/", S_IFREG), -ENOENT);
	w_file(V "/n/f", "f");
	w_file(V "/n/g", "gg");
	assert_int_equal(w_unlink(&w.c, V "/n/none"), -ENOENT);
	assert_int_equal(w_unlink(&w.c, V "/n/a"), -EISDIR);
	assert_int_equal(w_unlink(&w.c, V "/n/f/"), -ENOTDIR);
	assert_int_equal(w_unlink(&w.c, V "/n/."), -EISDIR);
	assert_int_equal(w_rmdir(&w.c, V "/n/f"), -ENOTDIR);
	assert_int_equal(w_rmdir(&w.c, V "/n"), -ENOTEMPTY);
	assert_int_equal(w_rmdir(&w.c, V "/n/a/."), -EINVAL);
	assert_int_equal(w_rmdir(&w.c, V "/n/a/.."), -ENOTEMPTY);
	assert_int_equal(w_rmdir(&w.c, V), -EBUSY);
	/* links */
	assert_int_equal(w_link(&w.c, V "/n/f", V "/n/l"), 0);
	assert_int_equal(w_stat(&w.c, V "/n/l", &a), 0);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(w_link(&w.c, V "/n/f", V "/n/g"), -EEXIST);
	assert_int_equal(w_link(&w.c, V "/n/a", V "/n/x"), -EPERM);
	assert_int_equal(w_link(&w.c, V "/n/f", "/other/x"), -EXDEV);
	assert_int_equal(w_link(&w.c, V "/n/none", V "/n/x"), -ENOENT);
	/* rename */
	assert_int_equal(w_rename(&w.c, V "/n/f", "/other/x", 0), -EXDEV);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/l", 0), 0); /* one file: nothing happens */
	assert_int_equal(w_lstat(&w.c, V "/n/f", &a), 0);
	assert_int_equal(w_rename(&w.c, V "/n/a", V "/n/f", 0), -ENOTDIR);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/a", 0), -EISDIR);
	assert_int_equal(w_rename(&w.c, V "/n/f/", V "/n/h", 0), -ENOTDIR);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/h/", 0), -ENOTDIR);
	assert_int_equal(w_rename(&w.c, V "/n", V "/n/a/x", 0), -EINVAL);
	assert_int_equal(w_rename(&w.c, V "/n/a/.", V "/n/x", 0), -EBUSY);
	assert_int_equal(w_rename(&w.c, V "/n/none", V "/n/x", 0), -ENOENT);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/g", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/z", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/z", RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(w_stat(&w.c, V "/n/f", &a), 0);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/a", RENAME_EXCHANGE), 0);
	assert_int_equal(w_stat(&w.c, V "/n/a", &b), 0);
	assert_int_equal(a.ino, b.ino);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/a", RENAME_EXCHANGE), 0);
	assert_int_equal(w_rename(&w.c, V "/n/f", V "/n/g", 0), 0);
	assert_int_equal(w_stat(&w.c, V "/n/g", &b), 0);
	assert_int_equal(a.ino, b.ino);
	assert_int_equal(w_rename(&w.c, V "/n/a", V "/n/b/", 0), 0);
	assert_int_equal(w_rmdir(&w.c, V "/n/b/"), 0);
	assert_int_equal(w_unlink(&w.c, V "/n/g"), 0);
	assert_int_equal(w_unlink(&w.c, V "/n/l"), 0);
	assert_int_equal(w_rmdir(&w.c, V "/n"), 0);
}

/* What the walk found is not there any more, or another. */
static void test_stale(void **state)
{
	struct vfs_place *p = &w.sh->place[0];
	struct volume_attr a;

	w_file(V "/s1", "one");
	assert_int_equal(world_walk(&w.c, V "/s1", 0, p), 0);
	assert_int_equal(w_unlink(&w.c, V "/s1"), 0);
	w_file(V "/s2", "two"); /* takes its number */
	assert_int_equal(w_stat(&w.c, V "/s2", &a), 0);
	assert_int_equal(a.ino, p->attr.ino);
	assert_int_equal(vfs_open(&w.c, p, O_RDONLY, 0, 5), -ESTALE);
	assert_int_equal(vfs_truncate(&w.c, p, 0), -ESTALE);
	assert_int_equal(vfs_chmod(&w.c, p, 0), -ESTALE);
	assert_int_equal(w_stat(&w.c, V "/s2", &a), 0);
	assert_int_equal(a.size, 3);
	assert_int_equal(a.mode, S_IFREG | 0644);
	assert_int_equal(world_walk(&w.c, V "/s3", 0, p), 0);
	w_file(V "/s3", "three");
	assert_int_equal(vfs_open(&w.c, p, O_WRONLY | O_CREAT, 0600, 5), -ESTALE);
	assert_int_equal(vfs_open(&w.c, p, O_WRONLY | O_CREAT | O_EXCL, 0600, 5), -EEXIST);
	assert_int_equal(vfs_mkdir(&w.c, p, 0600), -EEXIST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mount_find),
		TEST(test_mount_paths),
		TEST(test_walk),
		TEST(test_links_limit),
		TEST(test_open),
		TEST(test_unlinked),
		TEST(test_tmpfile),
		TEST(test_permissions),
		TEST(test_names),
		TEST(test_stale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
