/*
 * file_copy: calls that hand content of an injected file to somebody other than read does: mmap, sendfile, and those that are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include "core/secret.h"
#include "host/host.h"
#include "runtime/shields.h"
#include "runtime/sys/file.h"

#define PAGE 4096UL
#define SENDFILE_STEP 16384
#define RW_TOTAL_MAX 0x7ffff000L /* the kernel's MAX_RW_COUNT */

/* Content of the mapped part over the placeholder's pages, which stay where the file has ended: they answer SIGBUS, as past any end. */
static long map_content(
	const struct injected_file *f, long base, size_t len, int prot, int flags, uint64_t off)
{
	size_t n = off < f->size ? f->size - (size_t)off : 0, span;
	long ret;

	if (n > len)
		n = len;
	span = (n + PAGE - 1) & ~(PAGE - 1);
	if (span == 0)
		return base;
	ret = host_mmap((void *)base, span, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (flags & (MAP_LOCKED | MAP_NORESERVE)), -1, 0);
	if (host_failed(ret)) {
		host_munmap((void *)base, len);
		return ret;
	}
	host_call3(SYS_madvise, base, (long)span, MADV_DONTDUMP);
	memcpy((void *)base, f->data + off, n);
	host_mprotect((void *)base, span, prot);
	return base;
}

static long mmap_locked(struct regs *r, const struct fd_entry *e)
{
	int prot = (int)r->rdx, flags = (int)r->r10, type = flags & MAP_TYPE;
	const struct injected_file *f;
	long base;

	if (e->flags & O_PATH)
		return -EBADF;
	if (!fd_may_read(e) || (prot & PROT_EXEC))
		return -EACCES;
	if (type != MAP_PRIVATE && (prot & PROT_WRITE))
		return fd_may_write(e) ? -ENODEV : -EACCES;
	f = injected_get(shields_files(), e->file);
	/* The kernel checks the arguments and finds the place. Placeholders of a shared description may have another size: set ours. */
	host_call2(SYS_ftruncate, (int)r->r8, (long)f->size);
	base = host_mmap((void *)r->rdi, r->rsi, prot, (flags & ~(MAP_TYPE | MAP_SYNC)) | MAP_PRIVATE,
		(int)r->r8, (off_t)r->r9);
	if (host_failed(base))
		return base;
	return map_content(f, base, r->rsi, prot, flags, r->r9);
}

long file_mmap(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	long ret;

	shields_lock();
	ret = mmap_locked(r, e);
	shields_unlock();
	return ret;
}

struct source {
	int fd;
	uint32_t file;
	bool positioned;
	uint64_t off;
};

/* Next step of the file into buf; 0 at its end. The offset moves only with what was written. */
static long source_read(struct source *s, uint8_t *buf, size_t n)
{
	const struct injected_file *f;
	long ret;

	shields_lock();
	f = injected_get(shields_files(), s->file);
	ret = s->positioned ? 0 : host_call3(SYS_lseek, s->fd, 0, SEEK_CUR);
	if (ret >= 0 && !s->positioned)
		s->off = (uint64_t)ret;
	if (ret >= 0) {
		ret = s->off < f->size ? (long)(f->size - s->off < n ? f->size - s->off : n) : 0;
		if (ret > 0)
			memcpy(buf, f->data + s->off, (size_t)ret);
	}
	shields_unlock();
	return ret;
}

static long send_steps(struct regs *r, struct source *s, size_t count)
{
	uint8_t buf[SENDFILE_STEP];
	size_t total = 0;
	long ret = 0;

	while (total < count) {
		long n = source_read(s, buf, count - total < sizeof(buf) ? count - total : sizeof(buf));

		ret = n > 0 ? scone_safe_call6(SYS_write, (long)r->rdi, (long)buf, n, 0, 0, 0) : n;
		if (ret <= 0)
			break;
		total += (size_t)ret;
		s->off += (uint64_t)ret;
		if (!s->positioned)
			host_call3(SYS_lseek, s->fd, (long)s->off, SEEK_SET);
		if (ret < n)
			break;
	}
	secret_wipe(buf, sizeof(buf));
	return total ? (long)total : ret;
}

/* splice, tee, copy_file_range and the like would move the placeholder's zeros. EINVAL makes programs fall back to read and write. */
long file_no_copy(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	return r->nr == SYS_vmsplice ? -EBADF : -EINVAL;
}

/* From the file only: into it EINVAL. */
long file_sendfile(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct source s = {.fd = (int)r->rsi, .file = e->file, .positioned = r->rdx != 0};
	size_t count = r->r10 < (uint64_t)RW_TOTAL_MAX ? r->r10 : (size_t)RW_TOTAL_MAX;
	long ret;

	if (fd_is_shielded(t->proc, r->rdi))
		return -EINVAL;
	if (!fd_may_read(e))
		return -EBADF;
	if (s.positioned && user_copy(&s.off, (const void *)r->rdx, sizeof(s.off)) < 0)
		return -EFAULT;
	if ((int64_t)s.off < 0)
		return -EINVAL;
	ret = send_steps(r, &s, count);
	if (ret > 0 && s.positioned && user_copy((void *)r->rdx, &s.off, sizeof(s.off)) < 0)
		return -EFAULT;
	return ret;
}
