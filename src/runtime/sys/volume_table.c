#include "runtime/sys/volume_table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/volume_meet.h"
#include "runtime/volumes.h"

#define NS 1000000000LL

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
	const struct vfs_node node = vfs_place_node(&v->place);
	const struct volume_attr *a = &v->place.attr;
	long rc;

	if (r->nr == SYS_unlinkat && ((uint32_t)r->rdx & ~(uint32_t)AT_REMOVEDIR))
		return -EINVAL;
	if (r->nr == SYS_unlinkat && (r->rdx & AT_REMOVEDIR))
		return vfs_rmdir(volumes_caller(t), &v->place);
	rc = vfs_unlink(volumes_caller(t), &v->place);
	if (rc == 0 && (S_ISFIFO(a->mode) || S_ISSOCK(a->mode)) && a->nlink == 1)
		meet_forget(&node);
	return rc;
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

const struct volume_call volume_calls[SYS_TABLE_SIZE] = {
	[SYS_open] =
		{.dir = -1, .path = 0, .at = 1, .follow = OPEN_FLAGS, .after = OPENED, .place = place_open},
	[SYS_creat] = {.dir = -1,
		.path = 0,
		.at = -1,
		.follow = FOLLOW,
		.creates = true,
		.after = OPENED,
		.place = place_open},
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
