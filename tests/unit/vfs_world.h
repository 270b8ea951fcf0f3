/*
 * One application on volumes in memory: the arena of the runtime (host/arena.h), a region and two mounts in it, pages in a memfd. Processes are real.
 */
#ifndef TESTS_UNIT_VFS_WORLD_H
#define TESTS_UNIT_VFS_WORLD_H

#include "fs_device.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "host/arena.h"
#include "shield/fs/vfs.h"

#define MIB ((size_t)1 << 20)
#define WORLD_SIZE (64 * MIB)
#define WORLD_MOUNTS 2

/* Shared by all processes of the test, in the arena. */
struct world_shared {
	struct fs_device device[WORLD_MOUNTS];
	int64_t clock; /* added to the real one */
	uint64_t number[64]; /* the test's own */
	struct vfs_place place[4]; /* scratch of the first process */
};

struct world {
	struct arena arena;
	struct vfs_caller c;
	struct world_shared *sh;
	uint32_t self; /* slot */
	int pages;
	uint32_t groups[4];
};
static struct world w;

static int w_lock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	(void)ctx;
	(void)mode;
	return arena_lock(&w.arena, w.self, (struct arena_lock *)(void *)l);
}

static void w_unlock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	(void)ctx;
	(void)mode;
	arena_unlock((struct arena_lock *)(void *)l);
}

static int w_wait(void *ctx, const uint32_t *word, uint32_t value, int64_t timeout)
{
	long r = arena_wait(word, value, timeout);

	(void)ctx;
	return r == -EINTR ? -EINTR : 0;
}

static void w_wake(void *ctx, const uint32_t *word)
{
	(void)ctx;
	arena_wake(word);
}

static bool w_alive(void *ctx, uint32_t slot)
{
	(void)ctx;
	return arena_alive(&w.arena, w.self, slot);
}

static int64_t w_clock(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec + __atomic_load_n(&w.sh->clock, __ATOMIC_RELAXED);
}

static int w_pages_read(void *ctx, uint64_t off, void *p, size_t n)
{
	ssize_t got = pread(w.pages, p, n, (off_t)off);

	(void)ctx;
	if (got < 0)
		return -errno;
	memset((uint8_t *)p + got, 0, n - (size_t)got);
	return 0;
}

static int w_pages_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	(void)ctx;
	return pwrite(w.pages, p, n, (off_t)off) == (ssize_t)n ? 0 : -EIO;
}

static int w_pages_drop(void *ctx, uint64_t off, uint64_t n)
{
	(void)ctx;
	return fallocate(w.pages, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)off, (off_t)n) < 0
		       ? -errno
		       : 0;
}

static int w_pages_data(void *ctx, uint64_t off, uint64_t *ret_off, uint64_t *ret_end)
{
	off_t from = lseek(w.pages, (off_t)off, SEEK_DATA), to;

	(void)ctx;
	if (from < 0)
		return -errno;
	to = lseek(w.pages, from, SEEK_HOLE);
	if (to < 0)
		return -errno;
	*ret_off = (uint64_t)from;
	*ret_end = (uint64_t)to;
	return 0;
}

static inline struct vfs_env world_env(void)
{
	return (struct vfs_env){.lock = w_lock,
		.unlock = w_unlock,
		.wait = w_wait,
		.wake = w_wake,
		.alive = w_alive,
		.clock = w_clock,
		.pages_read = w_pages_read,
		.pages_write = w_pages_write,
		.pages_drop = w_pages_drop,
		.pages_data = w_pages_data};
}

static int64_t w_device_clock(void *ctx)
{
	(void)ctx;
	return w_clock(NULL);
}

static inline struct volume_env world_volume_env(uint32_t n)
{
	struct volume_env e = fs_env(&w.sh->device[n]);

	e.lock = w_lock;
	e.unlock = w_unlock;
	e.clock = w_device_clock;
	e.publish = NULL;
	return e;
}

static const char *const world_paths[WORLD_MOUNTS] = {"/srv/vol", "/other"};

static inline size_t world_volume_arena(void)
{
	struct volume_limits l = {.max_size = WORLD_SIZE, .cache = 8 * MIB, .open_inodes = 8192};

	return volume_arena_size(&l);
}

/* Where the parts lie behind the arena's head. */
static inline uint8_t *world_at(size_t part)
{
	size_t region = vfs_region_size(), shared = (sizeof(struct world_shared) + 4095) & ~(size_t)4095;
	uint8_t *p = w.arena.base + ARENA_HEAD + region;

	if (part == 0)
		return p;
	p += shared;
	return p + (part - 1) / 2 * (WORLD_SIZE + world_volume_arena()) + ((part - 1) % 2) * WORLD_SIZE;
}

static inline void world_mount(uint32_t n, bool create)
{
	struct volume_open_options o = {
		.limits = {.max_size = WORLD_SIZE, .cache = 8 * MIB, .open_inodes = 8192}};
	struct volume_create_options co = {.size = WORLD_SIZE, .label = "test", .root_mode = 0777};
	struct volume_env e = world_volume_env(n);
	struct vfs_mount m = {.path = world_paths[n],
		.env = &e,
		.key = fs_key,
		.arena = world_at(2 + 2 * n),
		.arena_len = world_volume_arena(),
		.options = &o};
	struct volume_version ver;

	if (create) {
		struct volume_env plain = e;

		plain.lock = NULL;
		plain.unlock = NULL;
		assert_int_equal(volume_create(&plain, fs_key, &co, &ver), 0);
	}
	assert_int_equal(vfs_mount(w.c.fs, &m, NULL), n);
}

/* The first process of a fresh application. */
static inline int world_start(void **state)
{
	struct vfs_env env = world_env();
	size_t len = ARENA_HEAD + vfs_region_size() + sizeof(struct world_shared) + 4096 +
		     WORLD_MOUNTS * (WORLD_SIZE + world_volume_arena());

	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(arena_create(&w.arena, len), 0);
	assert_int_equal(arena_take(&w.arena, 0), 0);
	w.sh = (struct world_shared *)(void *)world_at(0);
	w.pages = memfd_create("pages", MFD_CLOEXEC);
	assert_int_equal(ftruncate(w.pages, (off_t)1 << 61), 0);
	w.c.pid = (uint32_t)getpid();
	w.c.caps = VFS_CAP_ALL;
	w.c.umask = 022;
	assert_int_equal(vfs_create(&env, w.arena.base + ARENA_HEAD, &w.c), 0);
	for (uint32_t i = 0; i < WORLD_MOUNTS; i++) {
		struct fs_device *d = &w.sh->device[i];

		memset(d, 0, sizeof(*d));
		d->size = WORLD_SIZE;
		d->data = world_at(1 + 2 * i);
		d->fail_after = -1;
		world_mount(i, true);
	}
	return 0;
}

static inline void world_verify(void)
{
	for (uint32_t i = 0; i < WORLD_MOUNTS; i++) {
		struct volume_verify_cursor c = {.phase = 0};
		int r = volume_verify(vfs_mount_volume(w.c.fs, i), &c, NULL, NULL);

		if (r != 0)
			fail_msg("volume_verify of mount %u: %d, last fault: %s", i, r,
				w.sh->device[i].fault.text);
	}
}

static inline int world_end(void **state)
{
	(void)state;
	world_verify();
	assert_int_equal(vfs_leave(&w.c), 0);
	vfs_free(w.c.fs);
	close(w.pages);
	arena_drop(&w.arena);
	return 0;
}

/* A child with the same descriptors: 0 in it. */
static inline pid_t world_fork(void)
{
	uint32_t slot = 0;
	pid_t pid;
	int e = vfs_fork_prepare(&w.c, false, &slot);

	if (e < 0)
		fail_msg("vfs_fork_prepare: %d", e);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	w.self = slot;
	if (arena_take(&w.arena, slot) < 0 || vfs_fork_child(&w.c, slot, (uint32_t)getpid()) < 0)
		_exit(100);
	return 0;
}

static inline void world_wait(pid_t pid, int want)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
		fail_msg("child: status %#x, wanted exit %d; fault: %s", status, want,
			w.sh->device[0].fault.text);
}

static inline void world_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("child ended by itself: status %#x; fault: %s", status, w.sh->device[0].fault.text);
}

/* As user uid of group uid, without capabilities. */
static inline struct vfs_caller world_user(uint32_t uid)
{
	struct vfs_caller c = w.c;

	c.uid = c.gid = uid;
	c.caps = 0;
	return c;
}

/* Walk an absolute path, across mounts as the runtime does: 0, -errno, or VFS_AWAY when it ended outside. */
static inline int world_walk(
	const struct vfs_caller *c, const char *path, unsigned int flags, struct vfs_place *p)
{
	char at[VFS_PATH_MAX];
	const char *rest;
	int e = VFS_AWAY;

	snprintf(at, sizeof(at), "%s", path);
	p->links = 0;
	while (e == VFS_AWAY) {
		int m = vfs_mount_find(c->fs, at, &rest);
		struct vfs_node root;

		if (m < 0)
			return VFS_AWAY;
		root = vfs_root((uint32_t)m);
		e = vfs_walk(c, &root, rest, flags, p);
		if (e == VFS_AWAY)
			snprintf(at, sizeof(at), "%s", p->away);
	}
	return e;
}

/* The calls by path, walking again when something changed. */
#define WORLD_CALL(name, params, walk_flags, call)                                                           \
	static inline int name params                                                                        \
	{                                                                                                    \
		struct vfs_place p;                                                                          \
		int e;                                                                                       \
                                                                                                             \
		do {                                                                                         \
			e = world_walk(c, path, walk_flags, &p);                                             \
			if (e == 0)                                                                          \
				e = (call);                                                                  \
		} while (e == -ESTALE);                                                                      \
		return e;                                                                                    \
	}
WORLD_CALL(w_open, (const struct vfs_caller *c, const char *path, unsigned int flags, uint32_t mode, int fd),
	((flags & O_NOFOLLOW) || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) ? VFS_NOFOLLOW : 0,
	vfs_open(c, &p, flags, mode, fd))
WORLD_CALL(w_mkdir, (const struct vfs_caller *c, const char *path, uint32_t mode), VFS_NAME,
	vfs_mkdir(c, &p, mode))
WORLD_CALL(w_mknod, (const struct vfs_caller *c, const char *path, uint32_t mode), VFS_NAME,
	vfs_mknod(c, &p, mode, 0))
WORLD_CALL(w_symlink, (const struct vfs_caller *c, const char *target, const char *path), VFS_NAME,
	vfs_symlink(c, target, &p))
WORLD_CALL(w_unlink, (const struct vfs_caller *c, const char *path), VFS_NAME, vfs_unlink(c, &p))
WORLD_CALL(w_rmdir, (const struct vfs_caller *c, const char *path), VFS_NAME, vfs_rmdir(c, &p))
WORLD_CALL(w_stat, (const struct vfs_caller *c, const char *path, struct volume_attr *ret), 0,
	vfs_stat(c, &p, ret))
WORLD_CALL(w_lstat, (const struct vfs_caller *c, const char *path, struct volume_attr *ret), VFS_NOFOLLOW,
	vfs_stat(c, &p, ret))
WORLD_CALL(w_chmod, (const struct vfs_caller *c, const char *path, uint32_t mode), 0, vfs_chmod(c, &p, mode))
WORLD_CALL(w_chown, (const struct vfs_caller *c, const char *path, uint32_t uid, uint32_t gid), 0,
	vfs_chown(c, &p, uid, gid))
WORLD_CALL(w_truncate, (const struct vfs_caller *c, const char *path, int64_t size), 0,
	vfs_truncate(c, &p, size))
WORLD_CALL(w_access, (const struct vfs_caller *c, const char *path, int mode), 0, vfs_access(c, &p, mode))
WORLD_CALL(w_utimes, (const struct vfs_caller *c, const char *path, int64_t a, int64_t m), 0,
	vfs_utimes(c, &p, a, m))

static inline int w_two(
	const struct vfs_caller *c, const char *from, const char *to, unsigned int flags, bool link)
{
	struct vfs_place a, b;
	int e;

	do {
		e = world_walk(c, from, link ? VFS_NOFOLLOW : VFS_NAME, &a);
		if (e == 0)
			e = world_walk(c, to, VFS_NAME, &b);
		if (e == 0)
			e = link ? vfs_link(c, &a, &b) : vfs_rename(c, &a, &b, flags);
	} while (e == -ESTALE);
	return e;
}

static inline int w_rename(const struct vfs_caller *c, const char *from, const char *to, unsigned int flags)
{
	return w_two(c, from, to, flags, false);
}

static inline int w_link(const struct vfs_caller *c, const char *from, const char *to)
{
	return w_two(c, from, to, 0, true);
}

/* Make a file with this content. */
static inline void w_file(const char *path, const char *text)
{
	assert_int_equal(w_open(&w.c, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, 999), 0);
	assert_int_equal(vfs_write(&w.c, 999, text, strlen(text)), (long)strlen(text));
	assert_int_equal(vfs_close(&w.c, 999), 0);
}

static inline struct flock range(short type, int64_t start, int64_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static inline int set(int fd, enum vfs_lock_owner owner, short type, int64_t start, int64_t len, bool wait)
{
	struct flock l = range(type, start, len);

	return vfs_setlk(&w.c, fd, owner, &l, wait);
}

static inline void nap(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

#endif
