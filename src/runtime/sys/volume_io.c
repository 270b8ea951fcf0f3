/*
 * volume_io: reading and writing files of volumes, and copying between them and the host's. Memory of the program is copied to and from a
 * buffer of the runtime's: nothing of it is touched while a lock is held by the engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "host/host.h"
#include "runtime/sys/volume.h"
#include "runtime/volumes.h"

#define PAGE 4096UL
#define SMALL 4096
#define BUFFER 65536
#define IOV_COUNT_MAX 1024
#define RW_TOTAL_MAX 0x7ffff000L /* the kernel's MAX_RW_COUNT */
#define COPY_STEP (1u << 20)

/* Bytes copied before a fault. */
static size_t copy_pages(uint64_t user, uint8_t *p, size_t n, bool out)
{
	size_t done = 0;

	if (!(out ? user_copy((void *)user, p, n) : user_copy(p, (const void *)user, n)))
		return n;
	while (done < n) {
		size_t step = PAGE - (user + done) % PAGE;

		if (step > n - done)
			step = n - done;
		if (out ? user_copy((void *)(user + done), p + done, step)
			: user_copy(p + done, (const void *)(user + done), step))
			break;
		done += step;
	}
	return done;
}

struct request {
	int fd;
	unsigned flags; /* VFS_* */
	uint64_t user;
	size_t n; /* of the one buffer, or of all */
	long iov_count; /* < 0: one buffer */
	int64_t off;
};

static int iov_get(const struct request *q, long i, struct iovec *ret)
{
	if (q->iov_count < 0) {
		*ret = (struct iovec){(void *)q->user, q->n};
		return 0;
	}
	return user_copy(ret, (const void *)(q->user + (uint64_t)i * sizeof(*ret)), sizeof(*ret));
}

static long iov_total(struct request *q)
{
	uint64_t total = 0;

	for (long i = 0; i < q->iov_count; i++) {
		struct iovec v;

		if (iov_get(q, i, &v))
			return -EFAULT;
		if (v.iov_len > SSIZE_MAX)
			return -EINVAL;
		total += v.iov_len;
		if (total > SSIZE_MAX)
			return -EINVAL;
	}
	q->n = total > RW_TOTAL_MAX ? RW_TOTAL_MAX : total;
	return 0;
}

/* One step. *ret_more: everything asked for was moved. */
static long step_once(
	const struct request *q, struct vfs_io *io, uint64_t user, uint8_t *buf, size_t n, bool *ret_more)
{
	size_t copied;
	long got;

	*ret_more = false;
	if (q->flags & VFS_WRITE) {
		copied = copy_pages(user, buf, n, false);
		if (copied == 0)
			return -EFAULT;
		got = vfs_io_write(io, buf, copied);
		*ret_more = got == (long)n;
		return got;
	}
	got = vfs_io_read(io, buf, n);
	if (got <= 0)
		return got;
	copied = copy_pages(user, buf, (size_t)got, true);
	if (copied < (size_t)got)
		vfs_io_back(io, (size_t)got - copied);
	*ret_more = copied == n;
	return copied ? (long)copied : -EFAULT;
}

static long move_all(const struct request *q, struct vfs_io *io)
{
	long count = q->iov_count < 0 ? 1 : q->iov_count, total = 0, ret = 0;
	size_t left = q->n;
	uint8_t buf[BUFFER];
	bool more = true;

	for (long i = 0; i < count && more && left > 0; i++) {
		struct iovec v;

		if (iov_get(q, i, &v)) {
			ret = -EFAULT;
			break;
		}
		if (v.iov_len > left)
			v.iov_len = left;
		for (size_t done = 0; done < v.iov_len && more; done += (size_t)ret) {
			size_t n = v.iov_len - done < sizeof(buf) ? v.iov_len - done : sizeof(buf);

			ret = step_once(q, io, (uint64_t)v.iov_base + done, buf, n, &more);
			if (ret <= 0) {
				more = false;
				break;
			}
			total += ret;
			left -= (size_t)ret;
		}
	}
	return total ? total : ret;
}

static __attribute__((noinline)) long transfer(const struct vfs_caller *c, const struct request *q)
{
	struct vfs_io io;
	int rc = vfs_io_begin(c, q->fd, q->flags, q->off, q->n, &io);
	long ret;

	if (rc)
		return rc;
	ret = move_all(q, &io);
	rc = vfs_io_end(&io);
	return rc && ret >= 0 ? rc : ret;
}

/* The path that counts: a page at most, one buffer. */
static long small_read(const struct vfs_caller *c, const struct request *q)
{
	uint8_t buf[SMALL];
	long got = q->flags & VFS_AT ? vfs_pread(c, q->fd, buf, q->n, q->off) : vfs_read(c, q->fd, buf, q->n);

	if (got > 0 && user_copy((void *)q->user, buf, (size_t)got)) {
		if (!(q->flags & VFS_AT) && vfs_lseek(c, q->fd, -got, SEEK_CUR) < 0)
			return -EFAULT;
		return transfer(c, q); /* up to the page that is not there */
	}
	return got;
}

static long small_write(const struct vfs_caller *c, const struct request *q)
{
	uint8_t buf[SMALL];

	if (user_copy(buf, (const void *)q->user, q->n))
		return transfer(c, q);
	return q->flags & VFS_AT ? vfs_pwrite(c, q->fd, buf, q->n, q->off) : vfs_write(c, q->fd, buf, q->n);
}

/* Over the limit of file sizes the kernel sends a signal, too. */
static void over_limit(struct thread *t)
{
	if (volumes_caller(t)->file_size_limit)
		host_call3(SYS_tgkill, t->proc->pid, t->tid, SIGXFSZ);
}

static long request(struct thread *t, struct request *q)
{
	const struct vfs_caller *c = volumes_caller(t);
	long ret = 0;

	if (q->iov_count < 0 && q->n > SSIZE_MAX)
		return -EINVAL;
	if (q->iov_count > IOV_COUNT_MAX)
		return -EINVAL;
	if ((q->flags & VFS_AT) && q->off < 0)
		return -EINVAL;
	if (q->iov_count >= 0)
		ret = iov_total(q);
	else if (q->n > (size_t)RW_TOTAL_MAX)
		q->n = (size_t)RW_TOTAL_MAX;
	if (ret)
		return ret;
	if (q->iov_count < 0 && q->n <= SMALL && q->n > 0 && !(q->flags & VFS_APPENDING))
		ret = q->flags & VFS_WRITE ? small_write(c, q) : small_read(c, q);
	else
		ret = transfer(c, q);
	if (ret == -EFBIG && (q->flags & VFS_WRITE))
		over_limit(t);
	return ret;
}

static long call(struct regs *r, struct thread *t, bool writes)
{
	struct request q = {.fd = (int)r->rdi,
		.flags = writes ? VFS_WRITE : 0,
		.user = r->rsi,
		.n = r->rdx,
		.iov_count = -1};
	uint32_t rwf = 0, known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | (writes ? RWF_APPEND : 0);
	long ret;

	switch (r->nr) {
	case SYS_preadv2:
	case SYS_pwritev2:
		rwf = (uint32_t)r->r9;
		__attribute__((fallthrough));
	case SYS_preadv:
	case SYS_pwritev:
		q.off = (int64_t)r->r10;
		if (q.off != -1 || (r->nr != SYS_preadv2 && r->nr != SYS_pwritev2))
			q.flags |= VFS_AT;
		__attribute__((fallthrough));
	case SYS_readv:
	case SYS_writev:
		if (r->rdx > IOV_COUNT_MAX)
			return -EINVAL;
		q.iov_count = (long)r->rdx;
		break;
	case SYS_pread64:
	case SYS_pwrite64:
		q.off = (int64_t)r->r10;
		q.flags |= VFS_AT;
		break;
	default:
		break;
	}
	if (rwf & ~known)
		return -EOPNOTSUPP;
	if (rwf & RWF_APPEND)
		q.flags |= VFS_APPENDING;
	ret = request(t, &q);
	if (ret > 0 && writes && (rwf & (RWF_DSYNC | RWF_SYNC))) {
		int rc = vfs_fsync(volumes_caller(t), q.fd, !(rwf & RWF_SYNC));

		if (rc)
			return rc;
	}
	return ret;
}

long volume_read_call(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return call(r, t, false);
}

long volume_write_call(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return call(r, t, true);
}

/* --- copying --- */

struct end {
	int fd;
	bool ours; /* of a volume */
	bool positioned;
	int64_t off;
};

static long end_read(struct thread *t, const struct end *e, uint8_t *buf, size_t n)
{
	long ret;

	if (!e->ours)
		return e->positioned ? scone_safe_call6(SYS_pread64, e->fd, (long)buf, (long)n, e->off, 0, 0)
				     : scone_safe_call6(SYS_read, e->fd, (long)buf, (long)n, 0, 0, 0);
	volumes_enter(t);
	ret = e->positioned ? vfs_pread(volumes_caller(t), e->fd, buf, n, e->off)
			    : vfs_read(volumes_caller(t), e->fd, buf, n);
	volumes_leave(t);
	return ret;
}

static long end_write(struct thread *t, const struct end *e, const uint8_t *buf, size_t n)
{
	long ret;

	if (!e->ours)
		return e->positioned ? scone_safe_call6(SYS_pwrite64, e->fd, (long)buf, (long)n, e->off, 0, 0)
				     : scone_safe_call6(SYS_write, e->fd, (long)buf, (long)n, 0, 0, 0);
	volumes_enter(t);
	ret = e->positioned ? vfs_pwrite(volumes_caller(t), e->fd, buf, n, e->off)
			    : vfs_write(volumes_caller(t), e->fd, buf, n);
	volumes_leave(t);
	return ret;
}

/* What was read and could not be written: as if it had not been read, where that can be. */
static void step_back(struct thread *t, const struct end *e, long n)
{
	if (n <= 0 || e->positioned)
		return;
	if (!e->ours) {
		host_call3(SYS_lseek, e->fd, -n, SEEK_CUR);
		return;
	}
	volumes_enter(t);
	if (vfs_lseek(volumes_caller(t), e->fd, -n, SEEK_CUR) < 0)
		n = 0; /* then it is lost to the reader, as with any pipe */
	volumes_leave(t);
}

static long copy_steps(struct thread *t, struct end *in, struct end *out, size_t n)
{
	size_t total = 0, cap = n < COPY_STEP ? n : COPY_STEP;
	uint8_t *buf = malloc(cap ? cap : 1);
	long ret = 0, written;

	if (!buf)
		return -ENOMEM;
	while (total < n) {
		ret = end_read(t, in, buf, n - total < cap ? n - total : cap);
		if (ret <= 0)
			break;
		for (long done = 0; done < ret; done += written) {
			written = end_write(t, out, buf + done, (size_t)(ret - done));
			if (written <= 0) {
				step_back(t, in, ret - done);
				free(buf);
				return total ? (long)total : written;
			}
			total += (size_t)written;
			in->off += written;
			out->off += written;
		}
	}
	free(buf);
	return total ? (long)total : ret;
}

static int take_offset(struct end *e, uint64_t user)
{
	e->positioned = user != 0;
	if (user && user_copy(&e->off, (const void *)user, sizeof(e->off)))
		return -EFAULT;
	return e->positioned && e->off < 0 ? -EINVAL : 0;
}

static long kind_of(struct thread *t, const struct end *e, uint32_t *ret)
{
	struct vfs_fd info;
	struct stat st;
	long rc;

	if (!e->ours) {
		rc = host_fstat(e->fd, &st);
		*ret = st.st_mode & S_IFMT;
		return rc;
	}
	volumes_enter(t);
	rc = vfs_fd_get(volumes_caller(t), e->fd, &info);
	volumes_leave(t);
	if (!rc)
		*ret = info.type;
	return rc;
}

static bool is_ours(struct thread *t, uint64_t fd, bool *ret_other)
{
	unsigned kind = fd_load(t->proc, (uint32_t)fd).kind;

	if (kind != FD_NONE && kind != FD_VOLUME)
		*ret_other = true;
	return kind == FD_VOLUME;
}

/* sendfile: to anything; copy_file_range: between regular files; splice: one end is a pipe. The kinds of the other end are the kernel's to judge
 * when it is read or written. */
long volume_copy_call(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	bool sendfile = r->nr == SYS_sendfile, other = false;
	struct end in = {.fd = (int)(sendfile ? r->rsi : r->rdi)};
	struct end out = {.fd = (int)(sendfile ? r->rdi : r->rdx)};
	size_t n = sendfile ? r->r10 : r->r8;
	uint32_t in_kind = 0, out_kind = 0;
	long ret;

	if (r->nr == SYS_tee)
		return -EINVAL;
	in.ours = is_ours(t, (uint64_t)in.fd, &other);
	out.ours = is_ours(t, (uint64_t)out.fd, &other);
	if (other)
		return -EINVAL;
	if (r->nr == SYS_copy_file_range && (uint32_t)r->r9)
		return -EINVAL;
	if ((ret = kind_of(t, &in, &in_kind)) || (ret = kind_of(t, &out, &out_kind)))
		return ret;
	if (S_ISDIR(in_kind) || S_ISDIR(out_kind))
		return r->nr == SYS_copy_file_range ? -EISDIR : -EINVAL;
	if (r->nr == SYS_copy_file_range && (!S_ISREG(in_kind) || !S_ISREG(out_kind)))
		return -EINVAL;
	if (r->nr == SYS_splice && !S_ISFIFO(in_kind) && !S_ISFIFO(out_kind))
		return -EINVAL;
	ret = take_offset(&in, sendfile ? r->rdx : r->rsi);
	if (!ret && !sendfile)
		ret = take_offset(&out, r->r10);
	if (ret)
		return ret;
	if (n > (size_t)RW_TOTAL_MAX)
		n = (size_t)RW_TOTAL_MAX;
	if (r->nr == SYS_splice && n > BUFFER)
		n = BUFFER; /* what a pipe holds: a short answer is allowed, a wait for the whole is not */
	ret = copy_steps(t, &in, &out, n);
	if (ret > 0 && in.positioned &&
		user_copy((void *)(sendfile ? r->rdx : r->rsi), &in.off, sizeof(in.off)))
		return -EFAULT;
	if (ret > 0 && out.positioned && user_copy((void *)r->r10, &out.off, sizeof(out.off)))
		return -EFAULT;
	return ret;
}
