/*
 * file: calls on a descriptor that stands for an injected file, and those that copy or close descriptors.
 *
 * The placeholder's offset and status flags are the kernel's, so processes that share the descriptor share them. Reading is: ask for the
 * offset, copy, set the offset, all under the lock of this process.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/fd.h"
#include "runtime/served.h"
#include "runtime/shields.h"
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

static long transfer_locked(const struct request *q, struct thread *t)
{
	const struct fd_entry *e = fd_get(t->proc, q->fd);
	uint64_t before;
	uint32_t id;
	bool keep;
	long off, ret;

	if (!e || !(q->writes ? fd_may_write(e) : fd_may_read(e)))
		return -EBADF;
	id = e->file - 1;
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

static long transfer(const struct request *q, struct thread *t)
{
	long ret;

	if (q->positioned && q->off < 0)
		return -EINVAL;
	if (q->iov_count < 0 && q->n > SSIZE_MAX)
		return -EINVAL;
	shields_lock();
	ret = transfer_locked(q, t);
	shields_unlock();
	return ret;
}

static long one(struct regs *r, struct thread *t, bool writes, bool positioned)
{
	struct request q = {.fd = (int)r->rdi,
		.writes = writes,
		.user = r->rsi,
		.n = r->rdx,
		.iov_count = -1,
		.positioned = positioned};

	q.off = positioned ? (int64_t)r->r10 : 0;
	return transfer(&q, t);
}

static long vector(struct regs *r, struct thread *t, bool writes, bool positioned, bool with_flags)
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
	return transfer(&q, t);
}

long sys_read(struct regs *r, struct thread *t)
{
	return one(r, t, false, false);
}

long sys_write(struct regs *r, struct thread *t)
{
	return one(r, t, true, false);
}

long sys_pread64(struct regs *r, struct thread *t)
{
	return one(r, t, false, true);
}

long sys_pwrite64(struct regs *r, struct thread *t)
{
	return one(r, t, true, true);
}

long sys_readv(struct regs *r, struct thread *t)
{
	return vector(r, t, false, false, false);
}

long sys_writev(struct regs *r, struct thread *t)
{
	return vector(r, t, true, false, false);
}

long sys_preadv(struct regs *r, struct thread *t)
{
	return vector(r, t, false, true, r->nr == SYS_preadv2);
}

long sys_pwritev(struct regs *r, struct thread *t)
{
	return vector(r, t, true, true, r->nr == SYS_pwritev2);
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

long sys_lseek(struct regs *r, struct thread *t)
{
	int whence = (int)r->rdx;
	const struct fd_entry *e;
	long ret = -EBADF;

	if (whence != SEEK_END && whence != SEEK_DATA && whence != SEEK_HOLE)
		return pass(r);
	shields_lock();
	e = fd_get(t->proc, (int)r->rdi);
	if (e && !(e->flags & O_PATH)) {
		ret = seek_target(injected_get(shields_files(), e->file - 1), (int64_t)r->rsi, whence);
		if (ret >= 0)
			ret = host_call3(SYS_lseek, (int)r->rdi, ret, SEEK_SET);
	}
	shields_unlock();
	return ret;
}

/* A copy of the entry, so that calls that take the lock themselves can follow. */
static bool entry_of(struct thread *t, int fd, struct fd_entry *ret)
{
	const struct fd_entry *e;

	shields_lock();
	e = fd_get(t->proc, fd);
	if (e)
		*ret = *e;
	shields_unlock();
	return e != NULL;
}

long sys_fstat(struct regs *r, struct thread *t)
{
	struct fd_entry e;

	return entry_of(t, (int)r->rdi, &e) ? served_stat(e.file - 1, r->rsi) : pass(r);
}

long sys_ftruncate(struct regs *r, struct thread *t)
{
	struct fd_entry e;

	if (!entry_of(t, (int)r->rdi, &e))
		return pass(r);
	if (e.flags & O_PATH)
		return -EBADF;
	return fd_may_write(&e) ? served_truncate(t->proc, e.file - 1, (int64_t)r->rsi) : -EINVAL;
}

long sys_fallocate(struct regs *r, struct thread *t)
{
	int64_t off = (int64_t)r->rdx, len = (int64_t)r->r10;
	uint32_t mode = (uint32_t)r->rsi;
	struct fd_entry e;
	uint64_t size;

	if (!entry_of(t, (int)r->rdi, &e))
		return pass(r);
	if (!fd_may_write(&e))
		return -EBADF;
	if (off < 0 || len <= 0)
		return -EINVAL;
	if (mode & ~(uint32_t)FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (off > INJECTED_FILE_MAX || len > INJECTED_FILE_MAX - off)
		return -EFBIG;
	shields_lock();
	size = injected_get(shields_files(), e.file - 1)->size;
	shields_unlock();
	if ((mode & FALLOC_FL_KEEP_SIZE) || (uint64_t)(off + len) <= size)
		return 0;
	return served_truncate(t->proc, e.file - 1, off + len);
}

long sys_ioctl(struct regs *r, struct thread *t)
{
	const struct fd_entry *e;
	long off = -EBADF, ready = 0;
	int answer;

	if ((uint32_t)r->rsi != FIONREAD)
		return pass(r);
	shields_lock();
	e = fd_get(t->proc, (int)r->rdi);
	if (e && !(e->flags & O_PATH)) {
		off = host_call3(SYS_lseek, (int)r->rdi, 0, SEEK_CUR);
		ready = (long)injected_get(shields_files(), e->file - 1)->size - off;
	}
	shields_unlock();
	if (off < 0)
		return off;
	answer = (int)ready;
	return user_copy((void *)r->rdx, &answer, sizeof(answer));
}

/* --- descriptors --- */

/* A new number for what e stands for: enter it, or give it back. */
static long enter_copy(struct thread *t, long fd, const struct fd_entry *e)
{
	int ret;

	if (host_failed(fd))
		return fd;
	ret = fd_reserve(t->proc, (int)fd);
	if (ret < 0) {
		host_close((int)fd);
		return ret;
	}
	fd_set_entry(t->proc, (int)fd, e);
	return fd;
}

static long dup_locked(struct regs *r, struct thread *t)
{
	const struct fd_entry *e = fd_get(t->proc, (int)r->rdi);
	struct fd_entry copy;
	long fd = host_call3((long)r->nr, (long)r->rdi, (long)r->rsi, (long)r->rdx);

	if (!e || host_failed(fd))
		return fd;
	copy = *e;
	return enter_copy(t, fd, &copy);
}

static long dup_any(struct regs *r, struct thread *t)
{
	long ret;

	shields_lock();
	ret = dup_locked(r, t);
	shields_unlock();
	return ret;
}

long sys_dup(struct regs *r, struct thread *t)
{
	return dup_any(r, t);
}

static long getfl(struct regs *r, struct thread *t)
{
	long flags = pass(r);
	struct fd_entry e;

	if (host_failed(flags) || !entry_of(t, (int)r->rdi, &e))
		return flags;
	if (e.flags & O_PATH)
		return O_PATH;
	return (flags & ~(long)O_ACCMODE) | (e.flags & O_ACCMODE);
}

long sys_fcntl(struct regs *r, struct thread *t)
{
	switch ((int)r->rsi) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return dup_any(r, t);
	case F_GETFL:
		return getfl(r, t);
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return -EINVAL; /* as on any file that is no memfd */
	default:
		return pass(r);
	}
}

static long dup_onto(struct regs *r, struct thread *t)
{
	const struct fd_entry *e = fd_get(t->proc, (int)r->rdi);
	struct fd_entry copy = {0};
	int to = (int)r->rsi;
	long ret;

	if (e) {
		copy = *e;
		if (fd_reserve(t->proc, to) < 0)
			return -EBADF;
	}
	ret = host_call3((long)r->nr, (long)r->rdi, to, (long)r->rdx);
	if (host_failed(ret))
		return ret;
	if (e)
		fd_set_entry(t->proc, to, &copy);
	else
		fd_clear(t->proc, to);
	return ret;
}

long sys_dup2(struct regs *r, struct thread *t)
{
	long ret;

	if ((int)r->rdi == (int)r->rsi)
		return pass(r);
	shields_lock();
	ret = dup_onto(r, t);
	shields_unlock();
	return ret;
}

long sys_dup3(struct regs *r, struct thread *t)
{
	return sys_dup2(r, t);
}

/* The entry goes first: once the kernel has freed the number, another thread may get it for something else. From there on no signal handler
 * of the program may come between, so the host call is not an interruptible one. */
long sys_close(struct regs *r, struct thread *t)
{
	shields_lock();
	fd_clear(t->proc, (int)r->rdi);
	shields_unlock();
	return host_close((int)r->rdi);
}

long sys_close_range(struct regs *r, struct thread *t)
{
	uint32_t first = (uint32_t)r->rdi, last = (uint32_t)r->rsi, flags = (uint32_t)r->rdx;
	bool closes = first <= last && !(flags & ~(uint32_t)CLOSE_RANGE_UNSHARE);

	if ((flags & CLOSE_RANGE_UNSHARE) && fd_has_company())
		return -EINVAL;
	if (closes) {
		shields_lock();
		fd_clear_range(t->proc, first, last);
		shields_unlock();
	}
	return host_call3(SYS_close_range, first, last, flags);
}
