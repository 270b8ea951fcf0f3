/*
 * volume_path: calls that name files, where there are volumes. The table says where each call has its paths and what is done to a place in a
 * volume; what the host is to do goes on to the handler of the system call table, under another path if a link of a volume led there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <utime.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/sys/volume.h"
#include "runtime/volumes.h"

#define TRIES 16 /* of a call whose place changed between walk and deed */
#define NS 1000000000LL

enum follow {
	FOLLOW,
	NOFOLLOW,
	NAME, /* the name itself, as of mkdir and unlink */
	AT_FLAGS, /* as the AT_ flags in register `at` say */
	OPEN_FLAGS, /* as the O_ flags there say */
};

enum after { NOTHING, OPENED, STATTED, STATXED, CHANGED_DIR };

struct call {
	int8_t dir, path, at; /* numbers of registers; dir -1: the working directory */
	uint8_t follow;
	bool creates;
	bool null_is_dir; /* no path: the descriptor */
	uint8_t after; /* what the host's answer is looked at for: it may be of a mount point's own directory */
	long (*place)(struct regs *r, struct thread *t, struct vpath *v);
	/* Two paths. */
	int8_t dir2, path2;
	int (*pair)(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
		const struct regs *r);
};

static uint64_t *reg(struct regs *r, int n)
{
	uint64_t *const all[] = {&r->rdi, &r->rsi, &r->rdx, &r->r10, &r->r8, &r->r9};

	return all[n];
}

/* --- what is done to a place --- */

static long place_open(struct regs *r, struct thread *t, struct vpath *v)
{
	switch (r->nr) {
	case SYS_open:
		return vplace_open(t, &v->place, (uint32_t)r->rsi, (uint32_t)r->rdx);
	case SYS_creat:
		return vplace_open(t, &v->place, O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)r->rsi);
	default:
		return vplace_open(t, &v->place, (uint32_t)r->rdx, (uint32_t)r->r10);
	}
}

static long place_stat(struct regs *r, struct thread *t, struct vpath *v)
{
	return vplace_stat_out(t, &v->place, r->nr == SYS_newfstatat ? r->rdx : r->rsi);
}

static long place_statx(struct regs *r, struct thread *t, struct vpath *v)
{
	if ((uint32_t)r->r10 & 0x80000000u)
		return -EINVAL;
	return vplace_statx_out(t, &v->place, r->r8);
}

/* By real ids, unless asked for the effective ones. */
static long access_as(struct thread *t, const struct vfs_place *p, uint32_t mode, bool effective)
{
	struct vfs_caller c = *volumes_caller(t);

	if (mode & ~7u)
		return -EINVAL;
	if (!effective) {
		c.uid = (uint32_t)host_call0(SYS_getuid);
		c.gid = (uint32_t)host_call0(SYS_getgid);
		c.caps = c.uid == 0 ? c.caps : 0;
	}
	return vfs_access(&c, p, (int)mode);
}

static long place_access(struct regs *r, struct thread *t, struct vpath *v)
{
	return access_as(t, &v->place, (uint32_t)(r->nr == SYS_access ? r->rsi : r->rdx),
		r->nr == SYS_faccessat2 && (r->r10 & AT_EACCESS));
}

static long place_readlink(struct regs *r, struct thread *t, struct vpath *v)
{
	bool at = r->nr == SYS_readlinkat;
	uint64_t user = at ? r->rdx : r->rsi;
	int32_t size = (int32_t)(at ? r->r10 : r->rdx);
	char text[VFS_PATH_MAX];
	long n;

	if (size <= 0)
		return -EINVAL;
	n = vfs_readlink(volumes_caller(t), &v->place, text, sizeof(text));
	if (n > size)
		n = size;
	return n > 0 && user_copy((void *)user, text, (size_t)n) ? -EFAULT : n;
}

static long place_truncate(struct regs *r, struct thread *t, struct vpath *v)
{
	return vfs_truncate(volumes_caller(t), &v->place, (int64_t)r->rsi);
}

static long place_statfs(struct regs *r, struct thread *t, struct vpath *v)
{
	return v->place.found ? vplace_statfs_out(t, v->place.dir.mount, r->rsi) : -ENOENT;
}

static long place_chdir(struct regs *r, struct thread *t, struct vpath *v)
{
	return vplace_chdir(t, &v->place);
}

static long place_mkdir(struct regs *r, struct thread *t, struct vpath *v)
{
	return vfs_mkdir(volumes_caller(t), &v->place, (uint32_t)(r->nr == SYS_mkdir ? r->rsi : r->rdx));
}

static long place_mknod(struct regs *r, struct thread *t, struct vpath *v)
{
	bool at = r->nr == SYS_mknodat;

	return vfs_mknod(
		volumes_caller(t), &v->place, (uint32_t)(at ? r->rdx : r->rsi), at ? r->r10 : r->rdx);
}

static long place_symlink(struct regs *r, struct thread *t, struct vpath *v)
{
	char target[VFS_PATH_MAX];
	long n = user_string(target, r->rdi, sizeof(target));

	return n < 0 ? n : vfs_symlink(volumes_caller(t), target, &v->place);
}

static long place_unlink(struct regs *r, struct thread *t, struct vpath *v)
{
	if (r->nr == SYS_unlinkat && ((uint32_t)r->rdx & ~(uint32_t)AT_REMOVEDIR))
		return -EINVAL;
	return r->nr == SYS_unlinkat && (r->rdx & AT_REMOVEDIR) ? vfs_rmdir(volumes_caller(t), &v->place)
								: vfs_unlink(volumes_caller(t), &v->place);
}

static long place_rmdir(struct regs *r, struct thread *t, struct vpath *v)
{
	return vfs_rmdir(volumes_caller(t), &v->place);
}

static long place_chmod(struct regs *r, struct thread *t, struct vpath *v)
{
	return vfs_chmod(volumes_caller(t), &v->place, (uint32_t)(r->nr == SYS_chmod ? r->rsi : r->rdx));
}

static long place_chown(struct regs *r, struct thread *t, struct vpath *v)
{
	bool at = r->nr == SYS_fchownat;

	return vfs_chown(volumes_caller(t), &v->place, (uint32_t)(at ? r->rdx : r->rsi),
		(uint32_t)(at ? r->r10 : r->rdx));
}

static int time_of(const struct timespec *ts, int64_t *ret)
{
	if (ts->tv_nsec == UTIME_NOW)
		*ret = VFS_TIME_NOW;
	else if (ts->tv_nsec == UTIME_OMIT)
		*ret = VFS_TIME_OMIT;
	else if (ts->tv_nsec < 0 || ts->tv_nsec >= NS)
		return -EINVAL;
	else if (ts->tv_sec > INT64_MAX / NS - 1 || ts->tv_sec < INT64_MIN / NS + 1)
		*ret = ts->tv_sec < 0 ? INT64_MIN + 1 : INT64_MAX - 1;
	else
		*ret = ts->tv_sec * NS + ts->tv_nsec;
	return 0;
}

/* utime, utimes, futimesat, utimensat: their times in one form. */
static long take_times(const struct regs *r, struct timespec ts[2], bool *ret_none)
{
	uint64_t user = r->nr == SYS_utime || r->nr == SYS_utimes ? r->rsi : r->rdx;
	struct timeval tv[2];
	struct utimbuf u;

	*ret_none = !user;
	if (!user)
		return 0;
	if (r->nr == SYS_utimensat)
		return user_copy(ts, (const void *)user, 2 * sizeof(*ts));
	if (r->nr == SYS_utime) {
		if (user_copy(&u, (const void *)user, sizeof(u)))
			return -EFAULT;
		ts[0] = (struct timespec){.tv_sec = u.actime};
		ts[1] = (struct timespec){.tv_sec = u.modtime};
		return 0;
	}
	if (user_copy(tv, (const void *)user, sizeof(tv)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		ts[i] = (struct timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
	}
	return 0;
}

static long place_utimes(struct regs *r, struct thread *t, struct vpath *v)
{
	int64_t at = VFS_TIME_NOW, mt = VFS_TIME_NOW;
	struct timespec ts[2];
	bool none;
	long rc = take_times(r, ts, &none);

	if (rc)
		return rc;
	if (!none && ((rc = time_of(&ts[0], &at)) || (rc = time_of(&ts[1], &mt))))
		return rc;
	if (at == VFS_TIME_OMIT && mt == VFS_TIME_OMIT)
		return v->place.found ? 0 : -ENOENT;
	return vfs_utimes(volumes_caller(t), &v->place, at, mt);
}

static long place_xattr(struct regs *r, struct thread *t, struct vpath *v)
{
	return vplace_xattr(t, &v->place, r);
}

static long place_handle(struct regs *r, struct thread *t, struct vpath *v)
{
	return v->place.found ? -EOPNOTSUPP : -ENOENT;
}

/* Programs take "no more watches to be had" for a reason to look by themselves. */
static long place_watch(struct regs *r, struct thread *t, struct vpath *v)
{
	static bool said;

	if (!v->place.found)
		return -ENOENT;
	if (!said)
		log_warn("inotify in a volume is not supported: ENOSPC");
	said = true;
	return -ENOSPC;
}

static int pair_rename(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
	const struct regs *r)
{
	return vfs_rename(c, from, to, r->nr == SYS_renameat2 ? (unsigned)r->r8 : 0);
}

static int pair_link(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
	const struct regs *r)
{
	return vfs_link(c, from, to);
}

#define PATH(handler, how)                                                                                   \
	{                                                                                                    \
		.dir = -1, .path = 0, .at = -1, .follow = how, .place = handler                              \
	}
#define PATH_MAKES(handler, how)                                                                             \
	{                                                                                                    \
		.dir = -1, .path = 0, .at = -1, .follow = how, .creates = true, .place = handler             \
	}
#define PATH_AT(handler, how)                                                                                \
	{                                                                                                    \
		.dir = 0, .path = 1, .at = -1, .follow = how, .place = handler                               \
	}
#define PATH_AT_MAKES(handler, how)                                                                          \
	{                                                                                                    \
		.dir = 0, .path = 1, .at = -1, .follow = how, .creates = true, .place = handler              \
	}
#define PATH_AT_FLAGS(handler, r)                                                                            \
	{                                                                                                    \
		.dir = 0, .path = 1, .at = r, .follow = AT_FLAGS, .place = handler                           \
	}

static const struct call calls[SYS_TABLE_SIZE] = {
	[SYS_open] =
		{.dir = -1, .path = 0, .at = 1, .follow = OPEN_FLAGS, .after = OPENED, .place = place_open},
	[SYS_creat] = PATH_MAKES(place_open, FOLLOW),
	[SYS_openat] =
		{.dir = 0, .path = 1, .at = 2, .follow = OPEN_FLAGS, .after = OPENED, .place = place_open},
	[SYS_stat] =
		{.dir = -1, .path = 0, .at = -1, .follow = FOLLOW, .after = STATTED, .place = place_stat},
	[SYS_lstat] =
		{.dir = -1, .path = 0, .at = -1, .follow = NOFOLLOW, .after = STATTED, .place = place_stat},
	[SYS_newfstatat] = {.dir = 0,
		.path = 1,
		.at = 3,
		.follow = AT_FLAGS,
		.null_is_dir = true,
		.after = STATTED,
		.place = place_stat},
	[SYS_statx] = {.dir = 0,
		.path = 1,
		.at = 2,
		.follow = AT_FLAGS,
		.null_is_dir = true,
		.after = STATXED,
		.place = place_statx},
	[SYS_access] = PATH(place_access, FOLLOW),
	[SYS_faccessat] = PATH_AT(place_access, FOLLOW),
	[SYS_faccessat2] = PATH_AT_FLAGS(place_access, 3),
	[SYS_readlink] = PATH(place_readlink, NOFOLLOW),
	[SYS_readlinkat] = PATH_AT(place_readlink, NOFOLLOW),
	[SYS_truncate] = PATH(place_truncate, FOLLOW),
	[SYS_statfs] = PATH(place_statfs, FOLLOW),
	[SYS_chdir] = {.dir = -1,
		.path = 0,
		.at = -1,
		.follow = FOLLOW,
		.after = CHANGED_DIR,
		.place = place_chdir},
	[SYS_mkdir] = PATH_MAKES(place_mkdir, NAME),
	[SYS_mkdirat] = PATH_AT_MAKES(place_mkdir, NAME),
	[SYS_mknod] = PATH_MAKES(place_mknod, NAME),
	[SYS_mknodat] = PATH_AT_MAKES(place_mknod, NAME),
	[SYS_symlink] =
		{.dir = -1, .path = 1, .at = -1, .follow = NAME, .creates = true, .place = place_symlink},
	[SYS_symlinkat] =
		{.dir = 1, .path = 2, .at = -1, .follow = NAME, .creates = true, .place = place_symlink},
	[SYS_unlink] = PATH(place_unlink, NAME),
	[SYS_unlinkat] = PATH_AT(place_unlink, NAME),
	[SYS_rmdir] = PATH(place_rmdir, NAME),
	[SYS_chmod] = PATH(place_chmod, FOLLOW),
	[SYS_fchmodat] = PATH_AT(place_chmod, FOLLOW),
	[SYS_chown] = PATH(place_chown, FOLLOW),
	[SYS_lchown] = PATH(place_chown, NOFOLLOW),
	[SYS_fchownat] = PATH_AT_FLAGS(place_chown, 4),
	[SYS_utime] = PATH(place_utimes, FOLLOW),
	[SYS_utimes] = PATH(place_utimes, FOLLOW),
	[SYS_futimesat] =
		{.dir = 0, .path = 1, .at = -1, .follow = FOLLOW, .null_is_dir = true, .place = place_utimes},
	[SYS_utimensat] = {.dir = 0,
		.path = 1,
		.at = 3,
		.follow = AT_FLAGS,
		.null_is_dir = true,
		.place = place_utimes},
	[SYS_getxattr] = PATH(place_xattr, FOLLOW),
	[SYS_lgetxattr] = PATH(place_xattr, NOFOLLOW),
	[SYS_listxattr] = PATH(place_xattr, FOLLOW),
	[SYS_llistxattr] = PATH(place_xattr, NOFOLLOW),
	[SYS_setxattr] = PATH(place_xattr, FOLLOW),
	[SYS_lsetxattr] = PATH(place_xattr, NOFOLLOW),
	[SYS_removexattr] = PATH(place_xattr, FOLLOW),
	[SYS_lremovexattr] = PATH(place_xattr, NOFOLLOW),
	[SYS_name_to_handle_at] = PATH_AT(place_handle, NOFOLLOW),
	[SYS_inotify_add_watch] = PATH_AT(place_watch, FOLLOW),
	[SYS_rename] = {.dir = -1, .path = 0, .dir2 = -1, .path2 = 1, .pair = pair_rename},
	[SYS_renameat] = {.dir = 0, .path = 1, .dir2 = 2, .path2 = 3, .pair = pair_rename},
	[SYS_renameat2] = {.dir = 0, .path = 1, .dir2 = 2, .path2 = 3, .pair = pair_rename},
	[SYS_link] = {.dir = -1, .path = 0, .dir2 = -1, .path2 = 1, .pair = pair_link},
	[SYS_linkat] = {.dir = 0, .path = 1, .dir2 = 2, .path2 = 3, .pair = pair_link},
};

/* --- the host's part --- */

static void move_path(struct regs *r, int dir, int path, const struct vpath *v)
{
	if (v->kind != VPATH_MOVED)
		return;
	*reg(r, path) = (uint64_t)v->place.away;
	if (dir >= 0)
		*reg(r, dir) = (uint64_t)AT_FDCWD;
}

/* The host has the mount point's own directory, which is not what the program means. */
static long after_host(const struct call *call, struct regs *r, struct thread *t, long ret)
{
	struct statx x;
	struct stat st;
	int mount = -1;

	if (ret < 0 || call->after == NOTHING)
		return ret;
	if (call->after == OPENED && host_fstat((int)ret, &st) == 0 && S_ISDIR(st.st_mode))
		mount = volumes_mount_over(st.st_dev, st.st_ino);
	else if (call->after == STATTED &&
		 user_copy(&st, (const void *)(r->nr == SYS_newfstatat ? r->rdx : r->rsi), sizeof(st)) == 0)
		mount = S_ISDIR(st.st_mode) ? volumes_mount_over(st.st_dev, st.st_ino) : -1;
	else if (call->after == STATXED && user_copy(&x, (const void *)r->r8, sizeof(x)) == 0)
		mount = S_ISDIR(x.stx_mode)
				? volumes_mount_over(makedev(x.stx_dev_major, x.stx_dev_minor), x.stx_ino)
				: -1;
	else if (call->after == CHANGED_DIR &&
		 host_call4(SYS_newfstatat, AT_FDCWD, (long)".", (long)&st, 0) == 0)
		mount = volumes_mount_over(st.st_dev, st.st_ino);
	if (mount < 0 && call->after != CHANGED_DIR)
		return ret;
	volumes_enter(t);
	if (mount < 0) {
		vplace_chdir_host(t);
	} else {
		struct vfs_node root = vfs_root((uint32_t)mount);
		struct vpath v = {.kind = VPATH_VOLUME};
		int rc;

		if (call->after == OPENED)
			host_close((int)ret);
		rc = vfs_walk(volumes_caller(t), &root, ".", 0, &v.place);
		ret = rc ? rc : call->place(r, t, &v);
	}
	volumes_leave(t);
	return ret;
}

/* --- the calls --- */

static unsigned walk_flags(const struct call *call, struct regs *r)
{
	uint32_t at = call->at >= 0 ? (uint32_t)*reg(r, call->at) : 0;

	switch (call->follow) {
	case NOFOLLOW:
		return VFS_NOFOLLOW |
		       (r->nr == SYS_readlinkat || r->nr == SYS_name_to_handle_at ? VPATH_EMPTY : 0);
	case NAME:
		return VFS_NAME;
	case AT_FLAGS:
		return (at & AT_SYMLINK_NOFOLLOW ? VFS_NOFOLLOW : 0) | (at & AT_EMPTY_PATH ? VPATH_EMPTY : 0);
	case OPEN_FLAGS:
		return (at & O_NOFOLLOW) || ((at & O_CREAT) && (at & O_EXCL)) ? VFS_NOFOLLOW : 0;
	default:
		return 0;
	}
}

static bool creates(const struct call *call, struct regs *r)
{
	return call->creates ||
	       (call->follow == OPEN_FLAGS && (*reg(r, call->at) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))));
}

/* readlink of a link below /proc or /dev/fd that leads into a volume. */
static long link_text(struct regs *r, struct thread *t, const char *path)
{
	bool at = r->nr == SYS_readlinkat;
	uint64_t user = at ? r->rdx : r->rsi;
	int32_t size = (int32_t)(at ? r->r10 : r->rdx);
	char text[VFS_PATH_MAX + 16];
	const char *last = strrchr(path, '/') + 1;
	int fd = 0;
	long n;

	if (size <= 0)
		return -EINVAL;
	if (strcmp(last, "cwd") == 0)
		fd = volumes_cwd_fd();
	else
		while (*last >= '0' && *last <= '9')
			fd = fd * 10 + (*last++ - '0');
	n = vfs_fd_path(volumes_caller(t), fd, text, sizeof(text));
	if (n < 0)
		return n;
	n = (long)strlen(text);
	if (n > size)
		n = size;
	return user_copy((void *)user, text, (size_t)n) ? -EFAULT : n;
}

/* Is the path a volume's? Then *ret_done, and the answer. */
static long try_volume(const struct call *call, struct regs *r, struct thread *t, const char *path,
	bool behind, struct vpath *v, bool *ret_done)
{
	int dirfd = call->dir < 0 ? AT_FDCWD : (int)*reg(r, call->dir);
	unsigned flags = walk_flags(call, r);
	long ret = 0;

	*ret_done = false;
	volumes_enter(t);
	for (int i = 0; i < TRIES; i++) {
		ret = behind ? vpath_behind(t, dirfd, path, flags, v) : vpath_find(t, dirfd, path, flags, v);
		if (!behind && v->kind == VPATH_HOST && v->link && call->place == place_readlink) {
			ret = link_text(r, t, path);
			*ret_done = true;
			break;
		}
		if (v->kind != VPATH_VOLUME)
			break;
		*ret_done = true;
		if (!ret)
			ret = call->place(r, t, v);
		if (ret != -ESTALE)
			break;
	}
	volumes_leave(t);
	return ret;
}

static long one_path(const struct call *call, struct regs *r, struct thread *t)
{
	uint64_t user = *reg(r, call->path);
	struct regs moved = *r;
	char path[VFS_PATH_MAX];
	struct vpath v;
	bool done, checked = false;
	long ret;

	if (!user && call->null_is_dir) {
		int dirfd = (int)*reg(r, call->dir);

		volumes_enter(t);
		ret = vpath_of_fd(t, dirfd, &v.place);
		if (!ret)
			ret = call->place(r, t, &v);
		else if (ret == -EBADF && fd_load(t->proc, (uint32_t)dirfd).kind != FD_VOLUME)
			ret = VOLUME_NOT_OURS;
		volumes_leave(t);
		return ret;
	}
	if (user_string(path, user, sizeof(path)) < 0)
		return VOLUME_NOT_OURS;
	ret = try_volume(call, r, t, path, false, &v, &done);
	if (done)
		return ret;
	if (v.kind == VPATH_HOST && !v.link && creates(call, r)) {
		ret = try_volume(call, r, t, path, true, &v, &done);
		if (done)
			return ret;
		checked = true;
	}
	move_path(&moved, call->dir, call->path, &v);
	ret = sys_table[r->nr].slow(&moved, t);
	if ((ret == -ENOENT || ret == -EACCES) && v.kind == VPATH_HOST && !checked) {
		long there = try_volume(call, r, t, path, true, &v, &done);

		if (done)
			return there;
	}
	return after_host(call, r, t, ret);
}

static int find_either(struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret)
{
	int rc = vpath_find(t, dirfd, path, flags, ret);

	return rc || ret->kind != VPATH_HOST ? rc : vpath_behind(t, dirfd, path, flags, ret);
}

/* Two paths, both found before anything is done: in one volume, both with the host, or EXDEV. */
static long two_paths(const struct call *call, struct regs *r, struct thread *t)
{
	int dir = call->dir < 0 ? AT_FDCWD : (int)*reg(r, call->dir);
	int dir2 = call->dir2 < 0 ? AT_FDCWD : (int)*reg(r, call->dir2);
	unsigned flags = call->pair == pair_rename ? VFS_NAME : VFS_NOFOLLOW;
	char from[VFS_PATH_MAX], to[VFS_PATH_MAX];
	struct regs moved = *r;
	struct vpath a, b;
	long ret = -ESTALE;

	if (user_string(from, *reg(r, call->path), sizeof(from)) < 0 ||
		user_string(to, *reg(r, call->path2), sizeof(to)) < 0)
		return VOLUME_NOT_OURS;
	if (r->nr == SYS_linkat) {
		if ((uint32_t)r->r8 & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
			return -EINVAL;
		flags = (r->r8 & AT_SYMLINK_FOLLOW ? 0 : VFS_NOFOLLOW) |
			(r->r8 & AT_EMPTY_PATH ? VPATH_EMPTY : 0);
	}
	volumes_enter(t);
	for (int i = 0; i < TRIES && ret == -ESTALE; i++) {
		ret = find_either(t, dir, from, flags, &a);
		if (!ret)
			ret = find_either(t, dir2, to, VFS_NAME, &b);
		if (ret)
			continue;
		if (a.kind == VPATH_VOLUME && b.kind == VPATH_VOLUME)
			ret = call->pair(volumes_caller(t), &a.place, &b.place, r);
		else if (a.kind == VPATH_VOLUME)
			ret = a.place.found ? -EXDEV : -ENOENT;
		else if (b.kind == VPATH_VOLUME)
			ret = -EXDEV;
		else
			ret = VOLUME_NOT_OURS;
	}
	volumes_leave(t);
	if (ret != VOLUME_NOT_OURS)
		return ret;
	move_path(&moved, call->dir, call->path, &a);
	move_path(&moved, call->dir2, call->path2, &b);
	return sys_table[r->nr].slow(&moved, t);
}

/* openat2 with restrictions of its own: they are the walk's. */
static long open_how(struct regs *r, struct thread *t)
{
	static const struct {
		uint64_t resolve;
		unsigned flag;
	} map[] = {{RESOLVE_NO_SYMLINKS, VFS_NO_SYMLINKS}, {RESOLVE_BENEATH, VFS_BENEATH},
		{RESOLVE_IN_ROOT, VFS_IN_ROOT}, {RESOLVE_NO_XDEV, VFS_NO_XDEV}};
	struct call as_openat = calls[SYS_openat];
	char path[VFS_PATH_MAX];
	struct open_how how;
	struct regs plain = *r, moved = *r;
	unsigned flags = 0;
	struct vpath v;
	long ret;

	if (r->r10 < sizeof(how) || user_copy(&how, (const void *)r->rdx, sizeof(how)) ||
		user_string(path, r->rsi, sizeof(path)) < 0)
		return VOLUME_NOT_OURS;
	plain.nr = SYS_openat;
	plain.rdx = how.flags;
	plain.r10 = how.mode;
	flags = walk_flags(&as_openat, &plain);
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (how.resolve & map[i].resolve)
			flags |= map[i].flag;
	volumes_enter(t);
	/* With restrictions a path of the host cannot come to a mount point: it would leave the file system. */
	if ((how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) && path[0] == '/' &&
		fd_load(t->proc, (uint32_t)r->rdi).kind != FD_VOLUME) {
		v.kind = VPATH_HOST;
		ret = 0;
	} else {
		ret = vpath_find(t, (int)r->rdi, path, flags, &v);
		if (!ret && v.kind == VPATH_HOST && creates(&as_openat, &plain))
			ret = vpath_behind(t, (int)r->rdi, path, flags, &v);
	}
	if (v.kind == VPATH_VOLUME && !ret)
		ret = vplace_open(t, &v.place, (uint32_t)how.flags, (uint32_t)how.mode);
	volumes_leave(t);
	if (v.kind == VPATH_VOLUME || ret)
		return ret;
	move_path(&moved, 0, 1, &v);
	ret = sys_table[r->nr].slow(&moved, t);
	return after_host(&as_openat, &plain, t, ret);
}

void volume_start_directory(void)
{
	struct thread scratch, *t = volumes_thread(&scratch);
	char path[VFS_PATH_MAX];
	struct vfs_node root;
	struct vfs_place p;
	const char *rest;
	int mount;

	if (!t || host_failed(host_call2(SYS_getcwd, (long)path, sizeof(path))))
		return;
	mount = vfs_mount_find(volumes_caller(t)->fs, path, &rest);
	if (mount < 0)
		return;
	root = vfs_root((uint32_t)mount);
	p.links = 0;
	if (vfs_walk(volumes_caller(t), &root, *rest ? rest : ".", 0, &p) == 0)
		(void)!vplace_chdir(t, &p);
}

static long getcwd_inside(struct regs *r, struct thread *t)
{
	char path[VFS_PATH_MAX];
	struct vfs_fd info;
	long n;

	if (!t->proc->volumes->cwd_inside)
		return VOLUME_NOT_OURS;
	volumes_enter(t);
	n = vfs_fd_get(volumes_caller(t), volumes_cwd_fd(), &info);
	if (!n)
		n = vfs_dir_path(volumes_caller(t), &info.node, path, sizeof(path));
	volumes_leave(t);
	if (n < 0)
		return n;
	if ((uint64_t)n > r->rsi)
		return -ERANGE;
	return user_copy((void *)r->rdi, path, (size_t)n) ? -EFAULT : n;
}

static long fchdir_inside(struct regs *r, struct thread *t)
{
	struct vfs_place p;
	struct stat st;
	int rc = -EBADF, mount;
	long ret;

	if (fd_load(t->proc, (uint32_t)r->rdi).kind == FD_VOLUME) {
		volumes_enter(t);
		rc = vpath_of_fd(t, (int)r->rdi, &p);
		ret = rc ? rc : vplace_chdir(t, &p);
		volumes_leave(t);
		return ret;
	}
	ret = scone_safe_call((long)r->nr, r);
	if (ret)
		return ret;
	mount = host_call4(SYS_newfstatat, AT_FDCWD, (long)".", (long)&st, 0) == 0
			? volumes_mount_over(st.st_dev, st.st_ino)
			: -1;
	volumes_enter(t);
	if (mount < 0)
		vplace_chdir_host(t);
	volumes_leave(t);
	return 0;
}

static long refuse_chroot(struct regs *r, struct thread *t)
{
	log_warn("chroot and pivot_root with volumes: not supported, EPERM");
	return -EPERM;
}

/* --- sockets with names --- */

/* Does the address name something in a volume? *ret_found: it exists. */
static bool names_volume(struct thread *t, uint64_t user, uint64_t n, bool *ret_found)
{
	struct sockaddr_un a;
	char path[sizeof(a.sun_path) + 1];
	struct vpath v;
	bool ret;
	int rc;

	if (n <= offsetof(struct sockaddr_un, sun_path) || n > sizeof(a) ||
		user_copy(&a, (const void *)user, n) || a.sun_family != AF_UNIX || !a.sun_path[0])
		return false;
	n -= offsetof(struct sockaddr_un, sun_path);
	memcpy(path, a.sun_path, n);
	path[n] = '\0';
	volumes_enter(t);
	rc = find_either(t, AT_FDCWD, path, 0, &v);
	ret = v.kind != VPATH_HOST;
	*ret_found = ret && !rc && v.place.found;
	volumes_leave(t);
	return ret;
}

static long bind_name(struct regs *r, struct thread *t)
{
	bool found;

	if (!names_volume(t, r->rsi, (uint32_t)r->rdx, &found))
		return VOLUME_NOT_OURS;
	log_warn("bind of a socket in a volume: not supported, EOPNOTSUPP; name a directory of the host for "
		 "it");
	return found ? -EADDRINUSE : -EOPNOTSUPP;
}

static long connect_name(struct regs *r, struct thread *t)
{
	bool found;

	if (names_volume(t, r->rsi, (uint32_t)r->rdx, &found))
		return found ? -ECONNREFUSED : -ENOENT;
	return t->proc->net_rules ? VOLUME_NOT_OURS : scone_safe_call((long)r->nr, r);
}

/* Whoever got the placeholder would have an empty file. */
static bool sends_ours(struct thread *t, uint64_t message)
{
	struct msghdr h;
	struct cmsghdr c;

	if (user_copy(&h, (const void *)message, sizeof(h)) || !h.msg_control)
		return false;
	for (uint64_t at = (uint64_t)h.msg_control, left = h.msg_controllen; left >= sizeof(c);) {
		if (user_copy(&c, (const void *)at, sizeof(c)) || c.cmsg_len < sizeof(c) || c.cmsg_len > left)
			return false;
		for (size_t i = sizeof(c); c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS &&
					   i + sizeof(int) <= c.cmsg_len;
			i += sizeof(int)) {
			int fd;

			if (user_copy(&fd, (const void *)(at + i), sizeof(fd)))
				return false;
			if (fd_load(t->proc, (uint32_t)fd).kind == FD_VOLUME)
				return true;
		}
		if (CMSG_ALIGN(c.cmsg_len) >= left)
			break;
		at += CMSG_ALIGN(c.cmsg_len);
		left -= CMSG_ALIGN(c.cmsg_len);
	}
	return false;
}

static long send_rights(struct regs *r, struct thread *t)
{
	bool many = r->nr == SYS_sendmmsg, ours = !many && sends_ours(t, r->rsi);

	for (uint32_t i = 0; many && !ours && i < (uint32_t)r->rdx && i < 1024; i++)
		ours = sends_ours(t, r->rsi + i * sizeof(struct mmsghdr));
	if (ours) {
		log_warn("sendmsg of a descriptor of a file in a volume: not supported, EPERM");
		return -EPERM;
	}
	return t->proc->net_rules ? VOLUME_NOT_OURS : scone_safe_call((long)r->nr, r);
}

/* --- limits --- */

/* RLIMIT_FSIZE is the volumes': in the kernel it would cut what the runtime writes for them. */
static long file_limit(struct regs *r, struct thread *t, bool own, int resource, uint64_t set, uint64_t get)
{
	struct process_volumes *v = t->proc->volumes;
	struct rlimit now = {v->fsize_soft, v->fsize_hard}, next;

	if (!own || resource != RLIMIT_FSIZE)
		return VOLUME_NOT_OURS;
	if (set) {
		if (user_copy(&next, (const void *)set, sizeof(next)))
			return -EFAULT;
		if (next.rlim_cur > next.rlim_max)
			return -EINVAL;
		if (next.rlim_max > now.rlim_max && host_call0(SYS_geteuid) != 0)
			return -EPERM;
	}
	if (get && user_copy((void *)get, &now, sizeof(now)))
		return -EFAULT;
	if (set)
		volumes_limit(t->proc, next.rlim_cur, next.rlim_max);
	return 0;
}

long volume_path_call(struct regs *r, struct thread *t)
{
	const struct call *call = &calls[r->nr];

	if (call->place)
		return one_path(call, r, t);
	if (call->pair)
		return two_paths(call, r, t);
	switch (r->nr) {
	case SYS_openat2:
		return open_how(r, t);
	case SYS_getcwd:
		return getcwd_inside(r, t);
	case SYS_fchdir:
		return fchdir_inside(r, t);
	case SYS_bind:
		return bind_name(r, t);
	case SYS_connect:
		return connect_name(r, t);
	case SYS_sendmsg:
	case SYS_sendmmsg:
		return send_rights(r, t);
	case SYS_getrlimit:
		return file_limit(r, t, true, (int)r->rdi, 0, r->rsi);
	case SYS_setrlimit:
		return file_limit(r, t, true, (int)r->rdi, r->rsi, 0);
	case SYS_prlimit64:
		return file_limit(
			r, t, !(int)r->rdi || (int)r->rdi == t->proc->pid, (int)r->rsi, r->rdx, r->r10);
	case SYS_chroot:
	case SYS_pivot_root:
		return refuse_chroot(r, t);
	default:
		return VOLUME_NOT_OURS;
	}
}
