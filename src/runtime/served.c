#include "runtime/served.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include "host/host.h"
#include "runtime/fd.h"
#include "runtime/shields.h"

#define STAT_DEV_MINOR                                                                                       \
	0xf5c0e /* anonymous device that files without a host file show; the kernel counts its own from 0 up */
#define GROUPS_MAX 256

static bool in_groups(uint32_t gid)
{
	uint32_t list[GROUPS_MAX];
	long n = host_call2(SYS_getgroups, GROUPS_MAX, (long)list);

	for (long i = 0; i < n; i++)
		if (list[i] == gid)
			return true;
	return false;
}

/* The classical rule: the first class that applies decides. Root may all but execute what nobody may. */
static int permitted(const struct injected_info *info, uint32_t mask, bool effective)
{
	uint32_t uid = (uint32_t)host_call0(effective ? SYS_geteuid : SYS_getuid);
	uint32_t gid = (uint32_t)host_call0(effective ? SYS_getegid : SYS_getgid);
	uint32_t bits = info->mode;

	if (uid == 0)
		return (mask & X_OK) && !(bits & 0111) ? -EACCES : 0;
	if (uid == info->uid)
		bits >>= 6;
	else if (gid == info->gid || in_groups(info->gid))
		bits >>= 3;
	return (mask & ~bits & 7) ? -EACCES : 0;
}

long served_access(uint32_t id, uint32_t mask, bool effective)
{
	const struct injected_info *info = &injected_get(shields_files(), id)->info;

	if (mask & ~7u)
		return -EINVAL;
	if (info->from_host)
		return host_call4(
			SYS_faccessat2, AT_FDCWD, (long)info->path, mask, effective ? AT_EACCESS : 0);
	return permitted(info, mask, effective);
}

static uint32_t open_mask(uint32_t flags)
{
	static const uint32_t by_mode[4] = {R_OK, W_OK, R_OK | W_OK, R_OK | W_OK};

	return by_mode[flags & O_ACCMODE] | (flags & O_TRUNC ? W_OK : 0);
}

static int resize(struct process *p, uint32_t id, uint64_t size)
{
	int ret = injected_truncate(shields_files(), id, size);

	if (ret == 0 && p->fds)
		fd_resize(p, id, size);
	return ret;
}

long served_open(struct process *p, uint32_t id, uint32_t flags)
{
	bool opath = flags & O_PATH;
	long fd, ret;

	if (!opath && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	ret = opath ? 0 : served_access(id, open_mask(flags), true);
	if (ret < 0)
		return ret;
	shields_lock();
	fd = fd_open(p, id, flags, injected_get(shields_files(), id)->size);
	if (!host_failed(fd) && !opath && (flags & O_TRUNC)) {
		ret = resize(p, id, 0);
		if (ret < 0) {
			fd_clear(p, (int)fd);
			host_close((int)fd);
			fd = ret;
		}
	}
	shields_unlock();
	return fd;
}

long served_truncate(struct process *p, uint32_t id, int64_t size)
{
	long ret;

	if (size < 0)
		return -EINVAL;
	shields_lock();
	ret = resize(p, id, (uint64_t)size);
	shields_unlock();
	return ret;
}

static uint64_t size_of(uint32_t id)
{
	uint64_t size;

	shields_lock();
	size = injected_get(shields_files(), id)->size;
	shields_unlock();
	return size;
}

static void synthetic_stat(const struct injected_info *info, uint32_t id, struct stat *st)
{
	st->st_dev = makedev(0, STAT_DEV_MINOR);
	st->st_ino = id + 1;
	st->st_mode = S_IFREG | info->mode;
	st->st_nlink = 1;
	st->st_uid = info->uid;
	st->st_gid = info->gid;
	st->st_blksize = 4096;
	st->st_atim.tv_sec = st->st_mtim.tv_sec = st->st_ctim.tv_sec = info->mtime;
}

long served_stat(uint32_t id, uint64_t user_stat)
{
	const struct injected_info *info = &injected_get(shields_files(), id)->info;
	struct stat st;

	memset(&st, 0, sizeof(st));
	if (!info->from_host || host_call4(SYS_newfstatat, AT_FDCWD, (long)info->path, (long)&st, 0) != 0) {
		memset(&st, 0, sizeof(st));
		synthetic_stat(info, id, &st);
	}
	st.st_size = (off_t)size_of(id);
	st.st_blocks = (st.st_size + 511) / 512;
	return user_copy((void *)user_stat, &st, sizeof(st));
}

static void synthetic_statx(const struct injected_info *info, uint32_t id, struct statx *st)
{
	st->stx_mask = STATX_BASIC_STATS;
	st->stx_dev_minor = STAT_DEV_MINOR;
	st->stx_ino = id + 1;
	st->stx_mode = (uint16_t)(S_IFREG | info->mode);
	st->stx_nlink = 1;
	st->stx_uid = info->uid;
	st->stx_gid = info->gid;
	st->stx_blksize = 4096;
	st->stx_atime.tv_sec = st->stx_mtime.tv_sec = st->stx_ctime.tv_sec = info->mtime;
}

long served_statx(uint32_t id, uint32_t flags, uint32_t mask, uint64_t user_statx)
{
	const struct injected_info *info = &injected_get(shields_files(), id)->info;
	struct statx st;
	long ret = -ENOENT;

	memset(&st, 0, sizeof(st));
	if (info->from_host)
		ret = host_call5(SYS_statx, AT_FDCWD, (long)info->path,
			flags & ~(uint32_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), mask | STATX_SIZE,
			(long)&st);
	if (ret == -EINVAL)
		return ret;
	if (ret != 0) {
		memset(&st, 0, sizeof(st));
		synthetic_statx(info, id, &st);
	}
	st.stx_mask |= STATX_SIZE | STATX_BLOCKS;
	st.stx_size = size_of(id);
	st.stx_blocks = (st.stx_size + 511) / 512;
	return user_copy((void *)user_statx, &st, sizeof(st));
}

/* May this process change attributes of a file that the host lacks? */
static bool is_owner(const struct injected_info *info)
{
	uint32_t uid = (uint32_t)host_call0(SYS_geteuid);

	return uid == 0 || uid == info->uid;
}

long served_chmod(uint32_t id, uint32_t mode)
{
	const struct injected_info *info = &injected_get(shields_files(), id)->info;
	long ret;

	if (info->from_host)
		return host_call3(SYS_fchmodat, AT_FDCWD, (long)info->path, mode);
	if (!is_owner(info))
		return -EPERM;
	shields_lock();
	ret = injected_set_mode(shields_files(), id, mode);
	shields_unlock();
	return ret;
}

long served_chown(uint32_t id, uint32_t uid, uint32_t gid)
{
	const struct injected_info *info = &injected_get(shields_files(), id)->info;
	bool changes = (uid != UINT32_MAX && uid != info->uid) || (gid != UINT32_MAX && gid != info->gid);
	long ret;

	if (info->from_host)
		return host_call5(SYS_fchownat, AT_FDCWD, (long)info->path, uid, gid, 0);
	if (changes && host_call0(SYS_geteuid) != 0)
		return -EPERM;
	shields_lock();
	ret = injected_set_owner(shields_files(), id, uid, gid);
	shields_unlock();
	return ret;
}

static bool valid_time(const struct timespec *t)
{
	return t->tv_nsec == UTIME_NOW || t->tv_nsec == UTIME_OMIT ||
	       (t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
}

long served_set_times(uint32_t id, const struct timespec *times)
{
	const struct injected_info *info = &injected_get(shields_files(), id)->info;
	struct timespec when = {.tv_nsec = UTIME_NOW};
	long ret;

	if (info->from_host)
		return host_call4(SYS_utimensat, AT_FDCWD, (long)info->path, (long)times, 0);
	if (times && (!valid_time(&times[0]) || !valid_time(&times[1])))
		return -EINVAL;
	if (!is_owner(info))
		return -EPERM;
	if (times)
		when = times[1];
	if (when.tv_nsec == UTIME_OMIT)
		return 0;
	if (when.tv_nsec == UTIME_NOW)
		host_call2(SYS_clock_gettime, CLOCK_REALTIME, (long)&when);
	shields_lock();
	ret = injected_set_mtime(shields_files(), id, when.tv_sec);
	shields_unlock();
	return ret;
}

long served_utimens(uint32_t id, uint64_t user_times)
{
	struct timespec times[2];

	if (user_times && user_copy(times, (const void *)user_times, sizeof(times)) < 0)
		return -EFAULT;
	return served_set_times(id, user_times ? times : NULL);
}

long served_without_xattr(uint64_t nr)
{
	switch (nr) {
	case SYS_listxattr:
	case SYS_llistxattr:
	case SYS_flistxattr:
		return 0;
	case SYS_setxattr:
	case SYS_lsetxattr:
	case SYS_fsetxattr:
		return -EOPNOTSUPP;
	default:
		return -ENODATA;
	}
}
