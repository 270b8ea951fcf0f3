/* volume_sealed: mappings of files of sealed trees. Their content is mapped as it was verified, one memory for all processes. */
#include <errno.h>
#include <sys/mman.h>
#include "runtime/code.h"
#include "runtime/sys/volume.h"
#include "runtime/volumes.h"

#define PAGE_UP(n) (((n) + 4095) & ~4095UL)
/* A mapping may be grown later (mremap): what follows it in the file is verified with it, up to so much. */
#define AHEAD (64u << 20)

static long map_code(
	struct regs *r, struct thread *t, void *addr, size_t have, int flags, uint64_t at, uint64_t size)
{
	long whole = host_mmap(NULL, size, PROT_READ, MAP_SHARED, volumes_content_fd(), (off_t)at), ret;
	struct code_sealed content = {
		.bytes = (const uint8_t *)whole, .size = size, .fd = volumes_content_fd(), .at = (off_t)at};
	struct volume_attr a;
	uint32_t mount;

	if (host_failed(whole))
		return whole;
	ret = vfs_fstat(volumes_caller(t), (int)r->r8, &a, &mount);
	if (!ret) {
		vfs_stat_fill(volumes_caller(t)->fs, mount, &a, &content.st);
		ret = code_map_sealed(addr, have, (int)r->rdx, flags, &content, (off_t)r->r9);
	}
	host_munmap((void *)whole, size);
	return ret;
}

/* The first `have` bytes of what is to be mapped are the file's. */
static long map_inside(
	struct regs *r, struct thread *t, void *addr, size_t have, int flags, uint64_t at, uint64_t size)
{
	int prot = (int)r->rdx;

	if (prot & PROT_EXEC)
		return map_code(r, t, addr, have, flags, at, size);
	return host_mmap(addr, have, prot, flags, volumes_content_fd(), (off_t)(at + r->r9));
}

static int check(const struct regs *r)
{
	int type = (int)r->r10 & MAP_TYPE;

	if (type == MAP_PRIVATE)
		return 0;
	if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (r->r10 & MAP_SYNC))
		return -EOPNOTSUPP;
	return r->rdx & (PROT_WRITE | PROT_EXEC) ? -EACCES : 0;
}

/* Pages behind the end of the file answer SIGBUS, as they do natively: they are the placeholder's. */
long volume_sealed_mmap(struct regs *r, struct thread *t)
{
	bool code = r->rdx & PROT_EXEC;
	size_t len = PAGE_UP(r->rsi), have;
	int flags = (int)r->r10, rc = check(r);
	uint64_t at, size;
	void *addr = (void *)r->rdi;
	long base, got;

	if (!rc)
		rc = vfs_sealed_content(volumes_caller(t), (int)r->r8, code ? 0 : r->r9,
			code ? UINT64_MAX : len + AHEAD, &at, &size);
	if (rc)
		return rc;
	have = size > r->r9 ? PAGE_UP(size - r->r9) : 0;
	if (have >= len)
		return map_inside(r, t, addr, len, flags, at, size);
	base = host_mmap(
		addr, r->rsi, (int)r->rdx & ~PROT_EXEC, flags & ~MAP_LOCKED, (int)r->r8, (off_t)r->r9);
	if (host_failed(base) || have == 0)
		return base;
	got = map_inside(r, t, (void *)base, have, (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, at, size);
	if (!host_failed(got))
		return base;
	host_munmap((void *)base, len);
	return got;
}
