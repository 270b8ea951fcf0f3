/* Reading and writing content. */
#include <errno.h>
#include "shield/fs/vfs_region.h"

#define DAY 86400000000000LL

/* Extent and sequence are looked at before and after, for the mapping may end while its pages are read. */
static long content_read(struct vfs *f, struct rg_vnode *vn, uint64_t off, void *p, size_t n)
{
	const struct mounted *v = mounted_of(f, vn->mount);
	struct volume_attr a;
	uint32_t map, seq;
	long r;

	do {
		seq = atomic_load_explicit(&vn->map_seq, memory_order_acquire);
		map = atomic_load_explicit(&vn->map, memory_order_acquire);
		if (map == 0)
			return mounted_read(v, vn->ino, off, p, n);
		r = mounted_getattr(v, vn->ino, &a);
		if (r == 0)
			r = map_read(f, map, a.size, off, p, n);
	} while (atomic_load_explicit(&vn->map_seq, memory_order_acquire) != seq);
	return r;
}

/* The vnode's lock is held, so the mapping stays. */
static long mapped_write(
	struct vfs *f, struct rg_vnode *vn, uint32_t map, uint64_t *off, const void *p, size_t n, bool append)
{
	const struct mounted *v = mounted_of(f, vn->mount);
	struct volume_attr a;
	int e = mounted_getattr(v, vn->ino, &a);

	if (e < 0)
		return e;
	if (append)
		*off = a.size;
	if (*off >= VOLUME_FILE_MAX)
		return -EFBIG;
	if (n > VOLUME_FILE_MAX - *off)
		n = VOLUME_FILE_MAX - *off;
	if (*off + n > a.size)
		e = mounted_truncate(v, vn->ino, *off + n);
	if (e == 0 && *off + n > a.size)
		e = map_cut(f, map, a.size);
	atomic_store(&vn->map_dirty, 1);
	if (e == 0)
		e = f->env.pages_write(f->env.ctx, ((uint64_t)map << RG_EXTENT_SHIFT) + *off, p, n);
	a.mtime = f->env.clock(f->env.ctx);
	if (e == 0)
		e = mounted_setattr(v, vn->ino, VOLUME_SET_MTIME, &a);
	return e < 0 ? e : (long)n;
}

void touch_atime(const struct vfs_caller *c, struct rg_vnode *vn, uint32_t flags)
{
	const struct mounted *v = mounted_of(c->fs, vn->mount);
	struct volume_attr a;
	int64_t now;

	if (!atomic_load_explicit(&vn->atime_due, memory_order_relaxed) || (flags & O_NOATIME) ||
		mounted_is_read_only(v) || c->fs->r->mount[vn->mount].no_atime)
		return;
	atomic_store_explicit(&vn->atime_due, 0, memory_order_relaxed);
	now = c->fs->env.clock(c->fs->env.ctx);
	if (mounted_getattr(v, vn->ino, &a) < 0 ||
		(a.atime > a.mtime && a.atime > a.ctime && now - a.atime < DAY))
		return;
	a.atime = now;
	/* a volume that is full or broken still can be read */
	if (mounted_setattr(v, vn->ino, VOLUME_SET_ATIME_ONLY, &a) < 0)
		return;
}

int drop_privileges(const struct vfs_caller *c, uint32_t vnode)
{
	static const char capability[] = "security.capability";
	struct rg_vnode *vn = rg_vnode(c->fs->r, vnode);
	const struct mounted *v = mounted_of(c->fs, vn->mount);
	struct volume_attr a;
	uint32_t take = 0;
	long r;

	if (!atomic_load_explicit(&vn->privileged, memory_order_relaxed))
		return 0;
	r = mounted_getattr(v, vn->ino, &a);
	if (r == 0)
		r = mounted_xattr_get(v, vn->ino, capability, sizeof(capability) - 1, NULL, 0);
	if (r >= 0)
		r = mounted_xattr_remove(v, vn->ino, capability, sizeof(capability) - 1);
	if (r < 0 && r != -ENODATA)
		return (int)r;
	take = a.mode & S_ISUID;
	if ((a.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		take |= S_ISGID;
	if (take && capable(c, VFS_CAP_FSETID))
		return 0;
	a.mode &= ~take;
	r = take ? mounted_setattr(v, vn->ino, VOLUME_SET_MODE, &a) : 0;
	if (r == 0)
		atomic_store_explicit(&vn->privileged, 0, memory_order_relaxed);
	return (int)r;
}

/* May descriptor flags be used so? */
static int check_mode(const struct rg_file *file, bool write)
{
	uint32_t flags = atomic_load_explicit(&file->flags, memory_order_relaxed);
	uint32_t mode = flags & O_ACCMODE;

	if ((flags & O_PATH) || mode == O_ACCMODE || mode == (write ? O_RDONLY : O_WRONLY))
		return -EBADF;
	if (S_ISDIR(file->type))
		return -EISDIR;
	return 0;
}

/* Bytes that may be written, from io->off on; locks are held. */
static int write_limits(struct vfs_io *io, uint64_t n)
{
	struct rg_vnode *vn = io->vnode;
	uint64_t limit = io->c->file_size_limit;
	struct volume_attr a;
	int e;

	if (limit == 0 || limit > VOLUME_FILE_MAX)
		limit = VOLUME_FILE_MAX;
	if (io->flags & VFS_APPENDING) {
		e = mounted_getattr(mounted_of(io->c->fs, vn->mount), vn->ino, &a);
		if (e < 0)
			return e;
		io->off = a.size;
	}
	if (n > 0 && io->off >= limit)
		return -EFBIG;
	io->left = n > limit - io->off ? limit - io->off : n;
	return 0;
}

int vfs_io_begin(
	const struct vfs_caller *c, int fd, unsigned int flags, int64_t off, uint64_t n, struct vfs_io *io)
{
	struct vfs *f = c->fs;
	bool write = flags & VFS_WRITE;
	struct rg_cell *cell;
	struct rg_file *file;
	uint32_t number;
	int e;

	if ((flags & VFS_AT) && off < 0)
		return -EINVAL;
	number = pin_fd(c, fd, &cell);
	if (number == 0)
		return -EBADF;
	file = rg_file(f->r, number);
	e = check_mode(file, write);
	if (e == 0 && (flags & VFS_AT) && n > (uint64_t)(INT64_MAX - off))
		e = -EINVAL;
	if (e < 0) {
		pin_drop(c, cell);
		return e;
	}
	if (write && (atomic_load_explicit(&file->flags, memory_order_relaxed) & O_APPEND))
		flags |= VFS_APPENDING;
	*io = (struct vfs_io){.c = c,
		.off = (uint64_t)off,
		.left = n,
		.file = file,
		.pin = cell,
		.vnode = rg_vnode(f->r, file->vnode),
		.flags = flags};
	if (!(flags & VFS_AT)) {
		rg_lock(f, &file->lock);
		io->off = atomic_load_explicit(&file->offset, memory_order_relaxed);
	}
	if (!write)
		return 0;
	rg_lock(f, &((struct rg_vnode *)io->vnode)->lock);
	e = write_limits(io, n);
	if (e == 0 && n > 0)
		e = drop_privileges(c, file->vnode);
	if (e < 0) {
		io->flags |= VFS_IO_FAILED;
		(void)vfs_io_end(io);
	}
	return e;
}

long vfs_io_read(struct vfs_io *io, void *p, size_t n)
{
	long r;

	if (n > io->left)
		n = (size_t)io->left;
	if (n == 0)
		return 0;
	r = content_read(io->c->fs, io->vnode, io->off, p, n);
	if (r < 0)
		return r;
	io->moved = true;
	io->off += (uint64_t)r;
	io->left -= (uint64_t)r;
	return r;
}

long vfs_io_write(struct vfs_io *io, const void *p, size_t n)
{
	struct vfs *f = io->c->fs;
	struct rg_vnode *vn = io->vnode;
	uint32_t map = atomic_load_explicit(&vn->map, memory_order_relaxed);
	bool append = io->flags & VFS_APPENDING;
	uint32_t direct =
		atomic_load_explicit(&((struct rg_file *)io->file)->flags, memory_order_relaxed) & O_DIRECT;
	unsigned int how = (append ? VOLUME_APPEND : 0) | (direct ? VOLUME_DIRECT : 0);
	uint64_t off = io->off;
	long r;

	if (n == 0)
		return 0;
	if (io->left == 0)
		return -EFBIG;
	if (n > io->left)
		n = (size_t)io->left;
	if (map)
		r = mapped_write(f, vn, map, &off, p, n, append);
	else
		r = mounted_write(mounted_of(f, vn->mount), vn->ino, off, p, n, how, &off);
	if (r < 0)
		return r;
	io->moved = true;
	io->off = off + (uint64_t)r;
	io->left -= (uint64_t)r;
	return r;
}

void vfs_io_back(struct vfs_io *io, size_t n)
{
	io->off -= n;
	io->left += n;
}

int vfs_io_end(struct vfs_io *io)
{
	struct vfs *f = io->c->fs;
	struct rg_file *file = io->file;
	struct rg_vnode *vn = io->vnode;
	uint32_t flags = atomic_load_explicit(&file->flags, memory_order_relaxed);
	int e = 0;

	if (io->flags & VFS_WRITE) {
		if (io->moved)
			atomic_store_explicit(&vn->atime_due, 1, memory_order_relaxed);
		rg_unlock(f, &vn->lock);
		if (io->moved && (flags & (O_SYNC | O_DSYNC)))
			e = sync_inode(io->c, file->vnode, (flags & O_SYNC) != O_SYNC);
	} else if (io->moved) {
		touch_atime(io->c, vn, flags);
	}
	if (!(io->flags & VFS_AT)) {
		if (!(io->flags & VFS_IO_FAILED))
			atomic_store_explicit(&file->offset, io->off, memory_order_relaxed);
		rg_unlock(f, &file->lock);
	}
	pin_drop(io->c, io->pin);
	return e;
}

long vfs_pread(const struct vfs_caller *c, int fd, void *p, size_t n, int64_t off)
{
	struct rg_cell *cell;
	struct rg_file *file;
	struct rg_vnode *vn;
	uint32_t number;
	long r;

	if (off < 0)
		return -EINVAL;
	number = pin_fd(c, fd, &cell);
	if (number == 0)
		return -EBADF;
	file = rg_file(c->fs->r, number);
	vn = rg_vnode(c->fs->r, file->vnode);
	r = check_mode(file, false);
	if (r == 0)
		r = n > (uint64_t)(INT64_MAX - off) ? -EINVAL
		    : n == 0			    ? 0
						    : content_read(c->fs, vn, (uint64_t)off, p, n);
	if (r > 0)
		touch_atime(c, vn, atomic_load_explicit(&file->flags, memory_order_relaxed));
	pin_drop(c, cell);
	return r;
}

static long whole(const struct vfs_caller *c, int fd, unsigned int flags, void *p, size_t n, int64_t off)
{
	struct vfs_io io;
	long r = vfs_io_begin(c, fd, flags, off, n, &io);
	int e;

	if (r < 0)
		return r;
	r = flags & VFS_WRITE ? vfs_io_write(&io, p, n) : vfs_io_read(&io, p, n);
	e = vfs_io_end(&io);
	return r >= 0 && e < 0 ? e : r;
}

long vfs_read(const struct vfs_caller *c, int fd, void *p, size_t n)
{
	return whole(c, fd, 0, p, n, 0);
}

long vfs_pwrite(const struct vfs_caller *c, int fd, const void *p, size_t n, int64_t off)
{
	return whole(c, fd, VFS_WRITE | VFS_AT, (void *)(uintptr_t)p, n, off);
}

long vfs_write(const struct vfs_caller *c, int fd, const void *p, size_t n)
{
	return whole(c, fd, VFS_WRITE, (void *)(uintptr_t)p, n, 0);
}
