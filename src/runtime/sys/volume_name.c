/*
 * volume_name: what is done to a place in a volume that a path or a descriptor led to, and answered to the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "host/host.h"
#include "runtime/shields.h"
#include "runtime/sys/volume.h"
#include "runtime/volume_meet.h"
#include "runtime/volumes.h"

#define FUSE_SUPER_MAGIC                                                                                     \
	0x65735546 /* what a file system outside of the kernel shows: programs know that events of it are not to be had */
#define NS 1000000000LL

/* --- open --- */

/* The kernel's FIFO of the same inode, which vfs has found to be allowed. It may wait for the other end: not in vfs. */
static long open_fifo(struct thread *t, const struct vfs_place *p, uint32_t flags)
{
	const struct vfs_node n = vfs_place_node(p);
	char path[MEET_PATH_MAX];
	long ret;

	volumes_leave(t);
	ret = meet_fifo(&n);
	meet_path(&n, path);
	if (!ret)
		ret = scone_safe_call6(SYS_openat, AT_FDCWD, (long)path,
			flags & (O_ACCMODE | O_NONBLOCK | O_CLOEXEC | O_APPEND | O_ASYNC), 0, 0, 0);
	volumes_enter(t);
	return ret;
}

long vplace_open(struct thread *t, const struct vfs_place *p, uint32_t flags, uint32_t mode)
{
	struct fd_entry e = {.kind = FD_VOLUME, .file = p->dir.mount, .flags = flags & (O_ACCMODE | O_PATH)};
	long fd = volumes_placeholder(flags);
	int rc;

	if (host_failed(fd))
		return fd;
	shields_lock();
	rc = fd_reserve(t->proc, (int)fd);
	if (!rc)
		rc = vfs_open(volumes_caller(t), p, flags, mode, (int)fd);
	if (!rc) {
		volumes_placeholder_identity(&e.dev, &e.ino);
		fd_set_entry(t->proc, (int)fd, &e);
	}
	shields_unlock();
	if (rc) {
		host_close((int)fd);
		return rc == -EOPNOTSUPP && p->found && S_ISFIFO(p->attr.mode) ? open_fifo(t, p, flags) : rc;
	}
	return fd;
}

static int root_place(struct thread *t, uint32_t mount, struct vfs_place *ret)
{
	struct vfs_node root = vfs_root(mount);

	ret->links = 0;
	return vfs_walk(volumes_caller(t), &root, ".", 0, ret);
}

long vplace_open_root(struct thread *t, uint32_t mount, uint32_t flags)
{
	struct vfs_place p;
	int rc = root_place(t, mount, &p);

	return rc ? rc : vplace_open(t, &p, flags, 0);
}

/* --- attributes --- */

long vplace_stat_out(struct thread *t, const struct vfs_place *p, uint64_t user)
{
	struct volume_attr a;
	struct stat st;
	int rc = vfs_stat(volumes_caller(t), p, &a);

	if (rc)
		return rc;
	memset(&st, 0, sizeof(st));
	vfs_stat_fill(volumes_caller(t)->fs, p->dir.mount, &a, &st);
	return user_copy((void *)user, &st, sizeof(st));
}

static struct statx_timestamp statx_time(int64_t ns)
{
	int64_t s = ns / NS - (ns % NS < 0);

	return (struct statx_timestamp){.tv_sec = s, .tv_nsec = (uint32_t)(ns - s * NS)};
}

long vplace_statx_out(struct thread *t, const struct vfs_place *p, uint64_t user)
{
	struct volume_attr a;
	struct statx x;
	struct stat st;
	int rc = vfs_stat(volumes_caller(t), p, &a);

	if (rc)
		return rc;
	memset(&st, 0, sizeof(st));
	vfs_stat_fill(volumes_caller(t)->fs, p->dir.mount, &a, &st);
	memset(&x, 0, sizeof(x));
	x.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
	x.stx_blksize = (uint32_t)st.st_blksize;
	x.stx_nlink = (uint32_t)st.st_nlink;
	x.stx_uid = st.st_uid;
	x.stx_gid = st.st_gid;
	x.stx_mode = (uint16_t)st.st_mode;
	x.stx_ino = st.st_ino;
	x.stx_size = (uint64_t)st.st_size;
	x.stx_blocks = (uint64_t)st.st_blocks;
	x.stx_dev_major = major(st.st_dev);
	x.stx_dev_minor = minor(st.st_dev);
	x.stx_rdev_major = major(st.st_rdev);
	x.stx_rdev_minor = minor(st.st_rdev);
	x.stx_atime = statx_time(a.atime);
	x.stx_mtime = statx_time(a.mtime);
	x.stx_ctime = statx_time(a.ctime);
	x.stx_btime = statx_time(a.btime);
	return user_copy((void *)user, &x, sizeof(x));
}

long vplace_statfs_out(struct thread *t, uint32_t mount, uint64_t user)
{
	struct volume_statfs v;
	struct statfs fs = {.f_type = FUSE_SUPER_MAGIC,
		.f_bsize = VOLUME_BLOCK,
		.f_frsize = VOLUME_BLOCK,
		.f_namelen = VOLUME_NAME_MAX};

	vfs_statfs(volumes_caller(t)->fs, mount, &v);
	fs.f_blocks = v.size / VOLUME_BLOCK;
	fs.f_bfree = fs.f_bavail = v.free / VOLUME_BLOCK;
	fs.f_files = v.inodes + v.inodes_free;
	fs.f_ffree = v.inodes_free;
	memcpy(&fs.f_fsid, v.id, sizeof(fs.f_fsid));
	return user_copy((void *)user, &fs, sizeof(fs));
}

/* --- working directory --- */

long vplace_chdir(struct thread *t, const struct vfs_place *p)
{
	const struct vfs_caller *c = volumes_caller(t);
	int rc;

	if (!p->found)
		return -ENOENT;
	if (!S_ISDIR(p->attr.mode))
		return -ENOTDIR;
	rc = vfs_access(c, p, X_OK);
	if (!rc)
		rc = vfs_open(c, p, O_PATH | O_DIRECTORY, 0, volumes_cwd_fd());
	if (!rc)
		t->proc->volumes->cwd_inside = 1;
	return rc;
}

void vplace_chdir_host(struct thread *t)
{
	if (!t->proc->volumes->cwd_inside)
		return;
	t->proc->volumes->cwd_inside = 0;
	(void)vfs_close(volumes_caller(t), volumes_cwd_fd());
}

/* --- extended attributes --- */

static long xattr_get(struct thread *t, const struct vfs_place *p, const char *name, uint64_t user, size_t n)
{
	uint8_t *buf = NULL;
	long ret;

	if (n > VOLUME_XATTR_VALUE_MAX)
		n = VOLUME_XATTR_VALUE_MAX;
	if (n && !(buf = malloc(n)))
		return -ENOMEM;
	ret = name ? vfs_getxattr(volumes_caller(t), p, name, buf, n)
		   : vfs_listxattr(volumes_caller(t), p, (char *)buf, n);
	if (ret > 0 && n && user_copy((void *)user, buf, (size_t)ret))
		ret = -EFAULT;
	free(buf);
	return ret;
}

static long xattr_set(struct thread *t, const struct vfs_place *p, const char *name, const struct regs *r)
{
	size_t n = r->r10;
	uint8_t *buf;
	long ret;

	if ((uint32_t)r->r8 & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (n > VOLUME_XATTR_VALUE_MAX)
		return -E2BIG;
	buf = malloc(n ? n : 1);
	if (!buf)
		return -ENOMEM;
	ret = user_copy(buf, (const void *)r->rdx, n)
		      ? -EFAULT
		      : vfs_setxattr(volumes_caller(t), p, name, buf, n, (int)r->r8);
	free(buf);
	return ret;
}

long vplace_xattr(struct thread *t, const struct vfs_place *p, const struct regs *r)
{
	char name[VOLUME_XATTR_NAME_MAX + 2];
	long n;

	switch (r->nr) {
	case SYS_listxattr:
	case SYS_llistxattr:
	case SYS_flistxattr:
		return xattr_get(t, p, NULL, r->rsi,
			VOLUME_XATTR_TOTAL_MAX < r->rdx ? VOLUME_XATTR_TOTAL_MAX : r->rdx);
	default:
		break;
	}
	n = user_string(name, r->rsi, sizeof(name));
	if (n == -ENAMETOOLONG || n == 0)
		return -ERANGE;
	if (n < 0)
		return n;
	switch (r->nr) {
	case SYS_getxattr:
	case SYS_lgetxattr:
	case SYS_fgetxattr:
		return xattr_get(t, p, name, r->rdx, r->r10);
	case SYS_setxattr:
	case SYS_lsetxattr:
	case SYS_fsetxattr:
		return xattr_set(t, p, name, r);
	default:
		return vfs_removexattr(volumes_caller(t), p, name);
	}
}
