/*
 * volume_fd: calls on a descriptor of a volume, but for reading, writing and mapping; the descriptors that are the runtime's own; and calls after
 * which the process is another user.
 */
#include <asm/ioctls.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/sys/volume.h"
#include "runtime/volumes.h"

#define DIRENT_BUFFER 32768

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

static long call_lseek(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return vfs_lseek(volumes_caller(t), (int)r->rdi, (int64_t)r->rsi, (int)r->rdx);
}

static long call_fstat(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct volume_attr a;
	struct stat st;
	uint32_t mount;
	int rc = vfs_fstat(volumes_caller(t), (int)r->rdi, &a, &mount);

	if (rc)
		return rc;
	memset(&st, 0, sizeof(st));
	vfs_stat_fill(volumes_caller(t)->fs, mount, &a, &st);
	return user_copy((void *)r->rsi, &st, sizeof(st));
}

static long over_limit(struct thread *t, long ret)
{
	if (ret == -EFBIG && volumes_caller(t)->file_size_limit)
		host_call3(SYS_tgkill, t->proc->pid, t->tid, SIGXFSZ);
	return ret;
}

static long call_ftruncate(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return over_limit(t, vfs_ftruncate(volumes_caller(t), (int)r->rdi, (int64_t)r->rsi));
}

static long call_fallocate(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return over_limit(t,
		vfs_fallocate(volumes_caller(t), (int)r->rdi, (int)r->rsi, (int64_t)r->rdx, (int64_t)r->r10));
}

static long call_fsync(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return vfs_fsync(volumes_caller(t), (int)r->rdi, r->nr == SYS_fdatasync);
}

static long call_syncfs(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return e->flags & O_PATH ? -EBADF : vfs_sync(volumes_caller(t), (int)r->rdi);
}

static long call_sync_range(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	if (e->flags & O_PATH)
		return -EBADF;
	if ((int64_t)r->rsi < 0 || (int64_t)r->rdx < 0 || (uint32_t)r->r10 > 7)
		return -EINVAL;
	return 0; /* it promises no durability; the volume writes by itself */
}

/* readahead, fadvise: the cache is the volume's. */
static long call_advice(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	if (e->flags & O_PATH)
		return -EBADF;
	if (r->nr == SYS_readahead)
		return (e->flags & O_ACCMODE) == O_WRONLY ? -EBADF : 0;
	return (int32_t)r->r10 < 0 || r->r10 > 5 ? -EINVAL : 0;
}

static long call_flock(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return e->flags & O_PATH ? -EBADF : vfs_flock(volumes_caller(t), (int)r->rdi, (int)r->rsi);
}

/* struct linux_dirent of getdents(2): the type is the last byte. */
static long narrow_dirents(const uint8_t *wide, long n, uint8_t *ret)
{
	size_t at = 0;

	for (long i = 0; i < n;) {
		uint64_t ino, off;
		uint16_t len, out;
		size_t name;

		memcpy(&ino, wide + i, 8);
		memcpy(&off, wide + i + 8, 8);
		memcpy(&len, wide + i + 16, 2);
		name = strlen((const char *)wide + i + 19);
		out = (uint16_t)((18 + name + 2 + 7) & ~(size_t)7);
		memset(ret + at, 0, out);
		memcpy(ret + at, &ino, 8);
		memcpy(ret + at + 8, &off, 8);
		memcpy(ret + at + 16, &out, 2);
		memcpy(ret + at + 18, wide + i + 19, name + 1);
		ret[at + out - 1u] = wide[i + 18];
		at += out;
		i += len;
	}
	return (long)at;
}

static long call_getdents(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	uint8_t buf[DIRENT_BUFFER], narrow[DIRENT_BUFFER];
	size_t n = (uint32_t)r->rdx < sizeof(buf) ? (uint32_t)r->rdx : sizeof(buf);
	int64_t before = vfs_lseek(volumes_caller(t), (int)r->rdi, 0, SEEK_CUR);
	const uint8_t *out = buf;
	long got = vfs_getdents64(volumes_caller(t), (int)r->rdi, buf, n);

	if (got <= 0)
		return got;
	if (r->nr == SYS_getdents) {
		got = narrow_dirents(buf, got, narrow);
		out = narrow;
	}
	if (user_copy((void *)r->rsi, out, (size_t)got) == 0)
		return got;
	/* What did not arrive was not read. */
	(void)!(before >= 0 && vfs_lseek(volumes_caller(t), (int)r->rdi, before, SEEK_SET) < 0);
	return -EFAULT;
}

static long call_ioctl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct volume_attr a;
	uint32_t mount;
	int64_t off;
	int answer, rc;

	if (e->flags & O_PATH)
		return -EBADF;
	switch ((uint32_t)r->rsi) {
	case FIOCLEX:
	case FIONCLEX:
		return pass(r);
	case FIONBIO:
	case FIOASYNC:
		return user_copy(&answer, (const void *)r->rdx, sizeof(answer));
	case FIONREAD:
		rc = vfs_fstat(volumes_caller(t), (int)r->rdi, &a, &mount);
		if (rc)
			return rc;
		if (!S_ISREG(a.mode))
			return -ENOTTY;
		off = vfs_lseek(volumes_caller(t), (int)r->rdi, 0, SEEK_CUR);
		answer = (int)((int64_t)a.size - off);
		return user_copy((void *)r->rdx, &answer, sizeof(answer));
	case FICLONE:
	case FICLONERANGE:
	case FIDEDUPERANGE:
		return -EOPNOTSUPP;
	default:
		return -ENOTTY;
	}
}

static long set_lock(struct regs *r, struct thread *t, enum vfs_lock_owner owner, bool wait)
{
	struct flock l;

	if (user_copy(&l, (const void *)r->rdx, sizeof(l)))
		return -EFAULT;
	if (owner == VFS_LOCK_OFD && l.l_pid)
		return -EINVAL;
	return vfs_setlk(volumes_caller(t), (int)r->rdi, owner, &l, wait);
}

static long get_lock(struct regs *r, struct thread *t, enum vfs_lock_owner owner)
{
	struct flock l;
	int rc;

	if (user_copy(&l, (const void *)r->rdx, sizeof(l)))
		return -EFAULT;
	if (owner == VFS_LOCK_OFD && l.l_pid)
		return -EINVAL;
	rc = vfs_getlk(volumes_caller(t), (int)r->rdi, owner, &l);
	return rc ? rc : user_copy((void *)r->rdx, &l, sizeof(l));
}

static long call_fcntl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct vfs_fd info;
	int rc;

	switch ((int)r->rsi) {
	case F_GETFD:
	case F_SETFD:
		return pass(r);
	case F_GETFL:
		rc = vfs_fd_get(volumes_caller(t), (int)r->rdi, &info);
		return rc ? rc : (long)info.flags;
	default:
		break;
	}
	if (e->flags & O_PATH)
		return -EBADF;
	switch ((int)r->rsi) {
	case F_SETFL:
		return vfs_fd_set_flags(volumes_caller(t), (int)r->rdi, (uint32_t)r->rdx);
	case F_SETLK:
		return set_lock(r, t, VFS_LOCK_POSIX, false);
	case F_SETLKW:
		return set_lock(r, t, VFS_LOCK_POSIX, true);
	case F_GETLK:
		return get_lock(r, t, VFS_LOCK_POSIX);
	case F_OFD_SETLK:
		return set_lock(r, t, VFS_LOCK_OFD, false);
	case F_OFD_SETLKW:
		return set_lock(r, t, VFS_LOCK_OFD, true);
	case F_OFD_GETLK:
		return get_lock(r, t, VFS_LOCK_OFD);
	case F_GETLEASE:
		return F_UNLCK;
	case F_SETLEASE:
	case F_NOTIFY:
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return -EINVAL;
	default:
		return pass(r); /* owners and signals, which a regular file never sends */
	}
}

static long call_fchmod(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct vfs_place p;
	int rc;

	if (e->flags & O_PATH)
		return -EBADF;
	rc = vfs_fd_place(volumes_caller(t), (int)r->rdi, &p);
	return rc ? rc : vfs_chmod(volumes_caller(t), &p, (uint32_t)r->rsi);
}

static long call_fchown(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct vfs_place p;
	int rc;

	if (e->flags & O_PATH)
		return -EBADF;
	rc = vfs_fd_place(volumes_caller(t), (int)r->rdi, &p);
	return rc ? rc : vfs_chown(volumes_caller(t), &p, (uint32_t)r->rsi, (uint32_t)r->rdx);
}

static long call_fxattr(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct vfs_place p;
	int rc;

	if (e->flags & O_PATH)
		return -EBADF;
	rc = vfs_fd_place(volumes_caller(t), (int)r->rdi, &p);
	return rc ? rc : vplace_xattr(t, &p, r);
}

static long call_fstatfs(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct vfs_fd info;
	int rc = vfs_fd_get(volumes_caller(t), (int)r->rdi, &info);

	return rc ? rc : vplace_statfs_out(t, info.node.mount, r->rsi);
}

static long call_vmsplice(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -EBADF;
}

/* What a regular file of the kernel answers: the placeholder is one. */
static long call_other(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return e->flags & O_PATH ? -EBADF : pass(r);
}

/* Those that are done within vfs. */
static const fd_handler inside[SYS_TABLE_SIZE] = {
	[SYS_read] = volume_read_call,
	[SYS_pread64] = volume_read_call,
	[SYS_readv] = volume_read_call,
	[SYS_preadv] = volume_read_call,
	[SYS_preadv2] = volume_read_call,
	[SYS_write] = volume_write_call,
	[SYS_pwrite64] = volume_write_call,
	[SYS_writev] = volume_write_call,
	[SYS_pwritev] = volume_write_call,
	[SYS_pwritev2] = volume_write_call,
	[SYS_lseek] = call_lseek,
	[SYS_fstat] = call_fstat,
	[SYS_ftruncate] = call_ftruncate,
	[SYS_fallocate] = call_fallocate,
	[SYS_fsync] = call_fsync,
	[SYS_fdatasync] = call_fsync,
	[SYS_syncfs] = call_syncfs,
	[SYS_sync_file_range] = call_sync_range,
	[SYS_readahead] = call_advice,
	[SYS_fadvise64] = call_advice,
	[SYS_flock] = call_flock,
	[SYS_getdents] = call_getdents,
	[SYS_getdents64] = call_getdents,
	[SYS_ioctl] = call_ioctl,
	[SYS_fcntl] = call_fcntl,
	[SYS_fchmod] = call_fchmod,
	[SYS_fchown] = call_fchown,
	[SYS_fgetxattr] = call_fxattr,
	[SYS_flistxattr] = call_fxattr,
	[SYS_fsetxattr] = call_fxattr,
	[SYS_fremovexattr] = call_fxattr,
	[SYS_fstatfs] = call_fstatfs,
};

static long within(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	fd_handler handler = inside[r->nr];
	long ret;

	if (!handler)
		return call_other(r, t, e);
	volumes_enter(t);
	ret = handler(r, t, e);
	volumes_leave(t);
	return ret;
}

static int entered(struct process *p, int fd, int from, const struct fd_entry *e)
{
	return vfs_dup(&p->volumes->caller, from, fd);
}

static void left(struct process *p, int fd, const struct fd_entry *e)
{
	(void)vfs_close(&p->volumes->caller, fd);
}

const struct fd_ops fd_ops_volume = {
	.call =
		{
			[SYS_mmap] = volume_mmap,
			[SYS_sendfile] = volume_copy_call,
			[SYS_splice] = volume_copy_call,
			[SYS_tee] = volume_copy_call,
			[SYS_copy_file_range] = volume_copy_call,
			[SYS_vmsplice] = call_vmsplice,
		},
	.other = within,
	.entered = entered,
	.left = left,
};

/* --- the runtime's own --- */

static long not_there(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return -EBADF;
}

const struct fd_ops fd_ops_hidden = {.other = not_there};

/* --- who the process is --- */

long sys_credentials(struct regs *r, struct thread *t)
{
	long ret = pass(r);

	if (ret >= 0)
		volumes_refresh(t->proc);
	return ret;
}

long sys_umask(struct regs *r, struct thread *t)
{
	long ret = pass(r);

	if (t->proc->volumes)
		t->proc->volumes->caller.umask = (uint32_t)r->rdi & 0777;
	return ret;
}

long sys_sync(struct regs *r, struct thread *t)
{
	if (t->proc->volumes) {
		volumes_enter(t);
		(void)!vfs_sync(volumes_caller(t), -1);
		volumes_leave(t);
	}
	return pass(r);
}

/* Programs that find no asynchronous input and output do without; those that find it and then EINVAL on a file often do not. */
long sys_io_setup(struct regs *r, struct thread *t)
{
	static bool said;

	if (!t->proc->volumes)
		return pass(r);
	if (!said)
		log_info("io_setup with volumes: ENOSYS");
	said = true;
	return -ENOSYS;
}

long sys_pass(struct regs *r, struct thread *t)
{
	return pass(r);
}
