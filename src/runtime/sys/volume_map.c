/*
 * volume_map: mappings of files of volumes. A private one is a copy made when it is mapped; a shared one is a mapping of the pages object that
 * all processes of the application have, where the file's content lies as long as anybody maps it; code goes through a memory file, the way of all
 * code.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "host/host.h"
#include "runtime/code.h"
#include "runtime/verified.h"
#include "runtime/shields.h"
#include "runtime/sys/volume.h"
#include "runtime/volumes.h"
#include "runtime/volume_maps.h"

#define PAGE 4096UL
#define STEP 65536
#define PAGE_UP(n) (((n) + PAGE - 1) & ~(PAGE - 1))

/* len bytes of the file from off on to at, which is the runtime's to write. Less if the file ends before: the bytes read, or -errno. */
static long read_into(const struct vfs_caller *c, int fd, uint8_t *at, size_t len, int64_t off)
{
	size_t done = 0;

	while (done < len) {
		size_t n = len - done < STEP ? len - done : STEP;
		long got = vfs_pread(c, fd, at + done, n, off + (int64_t)done);

		if (got < 0)
			return got;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (long)done;
}

/* Pages behind the end of the file answer SIGBUS, as they do natively: they are the placeholder's. */
static long map_private(struct regs *r, struct thread *t)
{
	int prot = (int)r->rdx, flags = (int)r->r10;
	size_t len = PAGE_UP(r->rsi), have;
	struct volume_attr a;
	uint32_t mount;
	long at, got;
	int rc = vfs_fstat(volumes_caller(t), (int)r->r8, &a, &mount);

	if (rc)
		return rc;
	have = a.size > r->r9 ? PAGE_UP(a.size - r->r9) : 0;
	if (have > len)
		have = len;
	/* The kernel finds the place; behind the end of the file it is the empty placeholder's. */
	at = host_mmap((void *)r->rdi, r->rsi, prot, flags & ~MAP_LOCKED, (int)r->r8, (off_t)r->r9);
	if (host_failed(at) || have == 0)
		return at;
	got = host_mmap((void *)at, have, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (flags & MAP_NORESERVE), -1, 0);
	if (!host_failed(got))
		got = read_into(volumes_caller(t), (int)r->r8, (uint8_t *)at, have, (int64_t)r->r9);
	if (!host_failed(got))
		got = host_mprotect((void *)at, have, prot);
	if (host_failed(got)) {
		host_munmap((void *)at, len);
		return got;
	}
	return at;
}

/* The whole file as a sealed memory file: code is looked at as a whole. */
static long memory_copy(const struct vfs_caller *c, int fd)
{
	long copy = host_call2(SYS_memfd_create, (long)"openscone-code", MFD_CLOEXEC | MFD_ALLOW_SEALING), at,
	     got;
	struct volume_attr a;
	uint32_t mount;

	if (host_failed(copy))
		return copy;
	got = vfs_fstat(c, fd, &a, &mount);
	if (!got)
		got = host_call2(SYS_ftruncate, copy, (long)a.size);
	if (!got && a.size) {
		at = host_mmap(NULL, a.size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)copy, 0);
		got = host_failed(at) ? at : read_into(c, fd, (uint8_t *)at, a.size, 0);
		if (!host_failed(at))
			host_munmap((void *)at, a.size);
	}
	if (host_failed(got)) {
		host_close((int)copy);
		return got;
	}
	host_call3(SYS_fcntl, copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return copy;
}

static long map_code(struct regs *r, struct thread *t)
{
	long copy = memory_copy(volumes_caller(t), (int)r->r8), at;

	if (host_failed(copy))
		return copy;
	at = code_map((void *)r->rdi, r->rsi, (int)r->rdx, (int)r->r10, (int)copy, (off_t)r->r9);
	host_close((int)copy);
	return at;
}

static long map_shared(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	int prot = (int)r->rdx, flags = (int)r->r10;
	struct vfs_node node;
	uint64_t start;
	long at;
	int rc = vfs_map(volumes_caller(t), (int)r->r8, prot, flags, &node, &start);

	if (rc)
		return rc;
	if (r->r9 > (uint64_t)INT64_MAX - start - r->rsi) {
		(void)vfs_unmap(volumes_caller(t), &node);
		return -EOVERFLOW;
	}
	at = host_mmap((void *)r->rdi, r->rsi, prot, (flags & ~MAP_TYPE) | MAP_SHARED, volumes_pages_fd(),
		(off_t)(start + r->r9));
	if (host_failed(at)) {
		(void)vfs_unmap(volumes_caller(t), &node);
		return at;
	}
	rc = volume_maps_add((uint64_t)at, PAGE_UP(r->rsi), &node, r->r9, fd_may_write(e) && fd_may_read(e));
	if (rc) {
		host_munmap((void *)at, r->rsi);
		(void)vfs_unmap(volumes_caller(t), &node);
		return rc;
	}
	return at;
}

static long mmap_inside(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	int prot = (int)r->rdx, flags = (int)r->r10, type = flags & MAP_TYPE;
	struct vfs_fd info;
	int rc;

	if (e->flags & O_PATH)
		return -EBADF;
	if (r->r9 % PAGE || r->rsi == 0)
		return -EINVAL;
	if (!fd_may_read(e))
		return -EACCES;
	rc = vfs_fd_get(volumes_caller(t), (int)r->r8, &info);
	if (rc)
		return rc;
	if (!S_ISREG(info.type))
		return -ENODEV;
	if (vfs_mount_is_sealed(volumes_caller(t)->fs, info.node.mount))
		return volume_sealed_mmap(r, t);
	if (type == MAP_PRIVATE)
		return prot & PROT_EXEC ? map_code(r, t) : map_private(r, t);
	if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	/* Whoever gets it never asks for durability again (MariaDB's log). */
	if (type == MAP_SHARED_VALIDATE && (flags & MAP_SYNC))
		return -EOPNOTSUPP;
	if (prot & PROT_EXEC)
		return -EACCES;
	return map_shared(r, t, e);
}

/* Open, copied to memory, read-only. *real: its name. */
static long copy_program(
	struct thread *t, const struct vfs_place *p, struct stat *st, char real[VFS_PATH_MAX])
{
	const struct vfs_caller *c = volumes_caller(t);
	long fd, copy, n;
	int rc;

	if (!p->found)
		return -ENOENT;
	if (!S_ISREG(p->attr.mode))
		return -EACCES;
	rc = vfs_access(c, p, X_OK);
	fd = rc ? rc : vplace_open(t, p, O_RDONLY | O_CLOEXEC, 0);
	if (host_failed(fd))
		return fd;
	n = vfs_fd_path(c, (int)fd, real, VFS_PATH_MAX);
	copy = n < 0 ? n : memory_copy(c, (int)fd);
	if (!host_failed(copy) && runtime.attested && vfs_mount_is_sealed(c->fs, p->dir.mount) &&
		(rc = verified_adopt((int)copy, real))) {
		host_close((int)copy);
		copy = rc;
	}
	shields_lock();
	fd_clear(t->proc, (int)fd);
	(void)vfs_close(c, (int)fd);
	shields_unlock();
	host_close((int)fd);
	if (!host_failed(copy))
		rc = (int)host_fstat((int)copy, st);
	return copy;
}

long volume_program(int dirfd, const char *path, struct stat *st, char real[VFS_PATH_MAX], bool *ret_moved)
{
	struct thread scratch, *t = volumes_thread(&scratch);
	struct vpath v;
	long ret;

	*ret_moved = false;
	if (!t)
		return VOLUME_NOT_OURS;
	volumes_enter(t);
	ret = vpath_find(t, dirfd, path, VPATH_EMPTY, &v);
	if (!ret && v.kind == VPATH_HOST && host_call4(SYS_faccessat, dirfd, (long)path, F_OK, 0) == -ENOENT)
		ret = vpath_behind(t, dirfd, path, 0, &v);
	if (v.kind == VPATH_VOLUME && !ret) {
		ret = copy_program(t, &v.place, st, real);
	} else if (v.kind == VPATH_MOVED) {
		memcpy(real, v.place.away, strlen(v.place.away) + 1);
		*ret_moved = true;
	}
	volumes_leave(t);
	return v.kind == VPATH_VOLUME || ret ? ret : VOLUME_NOT_OURS;
}

long volume_mmap(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	long ret;

	volumes_enter(t);
	ret = mmap_inside(r, t, e);
	volumes_leave(t);
	return ret;
}
