/*
 * file: calls on a descriptor that stands for an injected file.
 *
 * The placeholder's offset and status flags are the kernel's, so processes that share the descriptor share them. Reading is: ask for the
 * offset, copy, set the offset, all under the lock of this process.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/fd_ops.h"
#include "runtime/served.h"
#include "runtime/shields.h"
#include "runtime/sys/file.h"
#include "runtime/sys/table.h"

#define PAGE 4096UL
#define IOV_COUNT_MAX 1024
#define BOUNCE 4096 /* one step of a write */
#define RW_TOTAL_MAX 0x7ffff000L /* the kernel's MAX_RW_COUNT */

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

/* --- reading and writing; the lock is held --- */

/* Copy content to the program: bytes copied before a fault, -EFAULT if there are none. */
static long copy_out(uint64_t user, const uint8_t *p, size_t n)
{
	size_t done = 0;

	if (n == 0 || user_copy((void *)user, p, n) == 0)
		return (long)n;
	while (done < n) {
		size_t step = PAGE - (user + done) % PAGE;

		if (step > n - done)
			step = n - done;
		if (user_copy((void *)(user + done), p + done, step) < 0)
			break;
		done += step;
	}
	return done ? (long)done : -EFAULT;
}

static long read_at(uint32_t id, uint64_t off, uint64_t user, size_t n)
{
	const struct injected_file *f = injected_get(shields_files(), id);

	if (off >= f->size)
		return 0;
	return copy_out(user, f->data + off, n < f->size - off ? n : f->size - (size_t)off);
}

static long write_at(uint32_t id, uint64_t off, uint64_t user, size_t n)
{
	uint8_t bounce[BOUNCE];
	size_t done = 0;
	long ret = 0;

	while (done < n) {
		size_t step = BOUNCE - (user + done) % BOUNCE;

		if (step > n - done)
			step = n - done;
		ret = user_copy(bounce, (const void *)(user + done), step);
		if (ret == 0)
			ret = injected_write(shields_files(), id, off + done, bounce, step);
		if (ret < 0)
			break;
		done += (size_t)ret;
		if ((size_t)ret < step)
			break;
	}
	secret_wipe(bounce, sizeof(bounce));
	return done ? (long)done : ret;
}

typedef long (*transfer_fn)(uint32_t id, uint64_t off, uint64_t user, size_t n);

/* What to move: iov_count < 0: one buffer. */
struct request {
	int fd;
	bool writes;
	uint64_t user;
	size_t n;
	long iov_count;
	bool positioned; /* off holds; otherwise the descriptor's offset */
	int64_t off;
	bool append; /* even without O_APPEND */
};

static int iov_get(const struct request *q, long i, struct iovec *ret)
{
	if (q->iov_count < 0) {
		*ret = (struct iovec){(void *)q->user, q->n};
		return 0;
	}
	return user_copy(ret, (const void *)(q->user + (uint64_t)i * sizeof(*ret)), sizeof(*ret));
}

/* As the kernel, look at every element before anything moves. */
static long iov_check(const struct request *q)
{
	uint64_t total = 0;

	if (q->iov_count > IOV_COUNT_MAX)
		return -EINVAL;
	for (long i = 0; i < q->iov_count; i++) {
		struct iovec v;

		if (iov_get(q, i, &v) < 0)
			return -EFAULT;
		if (v.iov_len > SSIZE_MAX)
			return -EINVAL;
		total += v.iov_len;
		if (total > SSIZE_MAX)
			return -EINVAL;
	}
	return 0;
}

static long move(const struct request *q, uint32_t id, uint64_t off)
{
	transfer_fn f = q->writes ? write_at : read_at;
	long count = q->iov_count < 0 ? 1 : q->iov_count, total = 0, ret = 0;

	for (long i = 0; i < count && total < RW_TOTAL_MAX; i++) {
		struct iovec v;

		ret = iov_get(q, i, &v);
		if (ret < 0)
			break;
		if (v.iov_len > (size_t)(RW_TOTAL_MAX - total))
			v.iov_len = (size_t)(RW_TOTAL_MAX - total);
		ret = f(id, off + (uint64_t)total, (uint64_t)v.iov_base, v.iov_len);
		if (ret < 0)
			break;
		total += ret;
		if ((size_t)ret < v.iov_len)
			break;
	}
	return total ? total : ret;
}

/* Where to begin: the offset asked for, the end of the file, or the descriptor's. */
static long start_offset(const struct request *q, uint32_t id, bool *ret_keep)
{
	bool append = q->append;

	*ret_keep = !q->positioned;
	if (q->writes && !append) {
		long flags = host_call2(SYS_fcntl, q->fd, F_GETFL);

		append = !host_failed(flags) && (flags & O_APPEND);
	}
	if (append)
		return (long)injected_get(shields_files(), id)->size;
	return q->positioned ? q->off : host_call3(SYS_lseek, q->fd, 0, SEEK_CUR);
}

static long transfer_locked(const struct request *q, struct thread *t, uint32_t id)
{
	uint64_t before;
	bool keep;
	long off, ret;

	before = injected_get(shields_files(), id)->size;
	ret = iov_check(q);
	if (ret < 0)
		return ret;
	off = start_offset(q, id, &keep);
	if (off < 0)
		return off;
	ret = move(q, id, (uint64_t)off);
	if (ret > 0 && keep)
		host_call3(SYS_lseek, q->fd, off + ret, SEEK_SET);
	if (injected_get(shields_files(), id)->size != before)
		fd_resize(t->proc, id, injected_get(shields_files(), id)->size);
	return ret;
}

static long transfer(const struct request *q, struct thread *t, const struct fd_entry *e)
{
	long ret;

	if (!(q->writes ? fd_may_write(e) : fd_may_read(e)))
		return -EBADF;
	if (q->positioned && q->off < 0)
		return -EINVAL;
	if (q->iov_count < 0 && q->n > SSIZE_MAX)
		return -EINVAL;
	shields_lock();
	ret = transfer_locked(q, t, e->file);
	shields_unlock();
	return ret;
}

static long one(struct regs *r, struct thread *t, const struct fd_entry *e, bool writes, bool positioned)
{
	struct request q = {.fd = (int)r->rdi,
		.writes = writes,
		.user = r->rsi,
		.n = r->rdx,
		.iov_count = -1,
		.positioned = positioned};

	q.off = positioned ? (int64_t)r->r10 : 0;
	return transfer(&q, t, e);
}

static long vector(struct regs *r, struct thread *t, const struct fd_entry *e, bool writes, bool positioned,
	bool with_flags)
{
	struct request q = {.fd = (int)r->rdi, .writes = writes, .user = r->rsi, .positioned = positioned};
	uint32_t flags = with_flags ? (uint32_t)r->r9 : 0;
	uint32_t known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | (writes ? RWF_APPEND : 0);

	if (r->rdx > IOV_COUNT_MAX)
		return -EINVAL;
	if (flags & ~known)
		return -EOPNOTSUPP;
	q.iov_count = (long)r->rdx;
	q.append = flags & RWF_APPEND;
	q.off = positioned ? (int64_t)r->r10 : 0;
	if (with_flags && q.off == -1)
		q.positioned = false;
	return transfer(&q, t, e);
}

static long file_read(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return one(r, t, e, false, false);
}

static long file_write(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return one(r, t, e, true, false);
}

static long file_pread64(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return one(r, t, e, false, true);
}

static long file_pwrite64(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return one(r, t, e, true, true);
}

static long file_readv(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return vector(r, t, e, false, false, false);
}

static long file_writev(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return vector(r, t, e, true, false, false);
}

static long file_preadv(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return vector(r, t, e, false, true, r->nr == SYS_preadv2);
}

static long file_pwritev(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return vector(r, t, e, true, true, r->nr == SYS_pwritev2);
}

/* --- offset, size, attributes --- */

static int64_t seek_target(const struct injected_file *f, int64_t off, int whence)
{
	if (whence == SEEK_END)
		return off > INT64_MAX - (int64_t)f->size || off + (int64_t)f->size < 0
			       ? -EINVAL
			       : off + (int64_t)f->size;
	if (off < 0 || (uint64_t)off >= f->size)
		return -ENXIO;
	return whence == SEEK_DATA ? off : (int64_t)f->size;
}

static long file_lseek(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	int whence = (int)r->rdx;
	long ret;

	if (whence != SEEK_END && whence != SEEK_DATA && whence != SEEK_HOLE)
		return pass(r);
	if (e->flags & O_PATH)
		return -EBADF;
	shields_lock();
	ret = seek_target(injected_get(shields_files(), e->file), (int64_t)r->rsi, whence);
	if (ret >= 0)
		ret = host_call3(SYS_lseek, (int)r->rdi, ret, SEEK_SET);
	shields_unlock();
	return ret;
}

static long file_fstat(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return served_stat(e->file, r->rsi);
}

static long file_ftruncate(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	if (e->flags & O_PATH)
		return -EBADF;
	return fd_may_write(e) ? served_truncate(t->proc, e->file, (int64_t)r->rsi) : -EINVAL;
}

static long file_fallocate(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	int64_t off = (int64_t)r->rdx, len = (int64_t)r->r10;
	uint32_t mode = (uint32_t)r->rsi;
	uint64_t size;

	if (!fd_may_write(e))
		return -EBADF;
	if (off < 0 || len <= 0)
		return -EINVAL;
	if (mode & ~(uint32_t)FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (off > INJECTED_FILE_MAX || len > INJECTED_FILE_MAX - off)
		return -EFBIG;
	shields_lock();
	size = injected_get(shields_files(), e->file)->size;
	shields_unlock();
	if ((mode & FALLOC_FL_KEEP_SIZE) || (uint64_t)(off + len) <= size)
		return 0;
	return served_truncate(t->proc, e->file, off + len);
}

static long file_ioctl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	long off, ready = 0;
	int answer;

	if ((uint32_t)r->rsi != FIONREAD)
		return pass(r);
	if (e->flags & O_PATH)
		return -EBADF;
	shields_lock();
	off = host_call3(SYS_lseek, (int)r->rdi, 0, SEEK_CUR);
	ready = (long)injected_get(shields_files(), e->file)->size - off;
	shields_unlock();
	if (off < 0)
		return off;
	answer = (int)ready;
	return user_copy((void *)r->rdx, &answer, sizeof(answer));
}

static long getfl(struct regs *r, const struct fd_entry *e)
{
	long flags = pass(r);

	if (host_failed(flags))
		return flags;
	if (e->flags & O_PATH)
		return O_PATH;
	return (flags & ~(long)O_ACCMODE) | (e->flags & O_ACCMODE);
}

static long file_fcntl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	switch ((int)r->rsi) {
	case F_GETFL:
		return getfl(r, e);
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return -EINVAL; /* as on any file that is no memfd */
	default:
		return pass(r);
	}
}

/* --- attributes --- */

/* What O_PATH opened has no attributes to change by its descriptor: the kernel says so. */
static long file_fchmod(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return e->flags & O_PATH ? pass(r) : served_chmod(e->file, (uint32_t)r->rsi);
}

static long file_fchown(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return e->flags & O_PATH ? pass(r) : served_chown(e->file, (uint32_t)r->rsi, (uint32_t)r->rdx);
}

static long path_xattr(uint64_t nr)
{
	switch (nr) {
	case SYS_fgetxattr:
		return SYS_getxattr;
	case SYS_flistxattr:
		return SYS_listxattr;
	case SYS_fsetxattr:
		return SYS_setxattr;
	default:
		return SYS_removexattr;
	}
}

/* Attributes of one that the host has are the host's. */
static long file_xattr(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	const struct injected_info *info = &injected_get(shields_files(), e->file)->info;

	if (e->flags & O_PATH)
		return -EBADF;
	if (!info->from_host)
		return served_without_xattr(r->nr);
	return scone_safe_call6(path_xattr(r->nr), (long)info->path, (long)r->rsi, (long)r->rdx, (long)r->r10,
		(long)r->r8, 0);
}

/* fsync, flock and the like: the placeholder will do. */
static long file_other(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return e->flags & O_PATH ? -EBADF : pass(r);
}

const struct fd_ops fd_ops_injected = {
	.call =
		{
			[SYS_read] = file_read,
			[SYS_pread64] = file_pread64,
			[SYS_readv] = file_readv,
			[SYS_preadv] = file_preadv,
			[SYS_preadv2] = file_preadv,
			[SYS_write] = file_write,
			[SYS_pwrite64] = file_pwrite64,
			[SYS_writev] = file_writev,
			[SYS_pwritev] = file_pwritev,
			[SYS_pwritev2] = file_pwritev,
			[SYS_lseek] = file_lseek,
			[SYS_fstat] = file_fstat,
			[SYS_ftruncate] = file_ftruncate,
			[SYS_fallocate] = file_fallocate,
			[SYS_ioctl] = file_ioctl,
			[SYS_fcntl] = file_fcntl,
			[SYS_fchmod] = file_fchmod,
			[SYS_fchown] = file_fchown,
			[SYS_fgetxattr] = file_xattr,
			[SYS_flistxattr] = file_xattr,
			[SYS_fsetxattr] = file_xattr,
			[SYS_fremovexattr] = file_xattr,
			[SYS_mmap] = file_mmap,
			[SYS_sendfile] = file_sendfile,
			[SYS_splice] = file_no_copy,
			[SYS_tee] = file_no_copy,
			[SYS_vmsplice] = file_no_copy,
			[SYS_copy_file_range] = file_no_copy,
		},
	.other = file_other,
};
