/* What else is done with open files: position, size, durability. */
#include <dirent.h>
#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>
#include "shield/fs/vfs_region.h"

#define DENTS 16 /* entries asked for at a time */

struct dent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));
#define DENT_HEAD 19
static_assert(sizeof(struct dent) == DENT_HEAD, "struct linux_dirent64");

int sync_inode(const struct vfs_caller *c, uint32_t vnode, bool data_only)
{
	struct vfs *f = c->fs;
	struct rg_vnode *vn = rg_vnode(f->r, vnode);
	int e = 0;

	if (atomic_load(&vn->map)) {
		rg_lock(f, &vn->lock);
		e = map_write_back(f, vnode, 0, UINT64_MAX);
		rg_unlock(f, &vn->lock);
	}
	return e < 0 ? e : mounted_fsync(mounted_of(f, vn->mount), vn->ino, data_only);
}

int resize(const struct vfs_caller *c, uint32_t vnode, int64_t size)
{
	struct vfs *f = c->fs;
	struct rg_vnode *vn = rg_vnode(f->r, vnode);
	const struct mounted *v = mounted_of(f, vn->mount);
	struct volume_attr a;
	uint32_t map;
	int e;

	rg_lock(f, &vn->lock);
	e = mounted_getattr(v, vn->ino, &a);
	if (e == 0 && c->file_size_limit && (uint64_t)size > c->file_size_limit && (uint64_t)size > a.size)
		e = -EFBIG;
	if (e == 0)
		e = mounted_truncate(v, vn->ino, (uint64_t)size);
	map = atomic_load(&vn->map);
	if (e == 0 && map)
		e = map_cut(f, map, a.size < (uint64_t)size ? a.size : (uint64_t)size);
	if (e == 0)
		e = drop_privileges(c, vnode);
	atomic_store_explicit(&vn->atime_due, 1, memory_order_relaxed);
	rg_unlock(f, &vn->lock);
	return e;
}

/* A descriptor that stands for more than a path: its pinned file. */
static int pin_open(const struct vfs_caller *c, int fd, struct rg_cell **ret_cell, struct rg_file **ret)
{
	uint32_t n = pin_fd(c, fd, ret_cell);

	if (n == 0)
		return -EBADF;
	*ret = rg_file(c->fs->r, n);
	if (!(atomic_load_explicit(&(*ret)->flags, memory_order_relaxed) & O_PATH))
		return 0;
	pin_drop(c, *ret_cell);
	return -EBADF;
}

static bool writable(const struct rg_file *file)
{
	uint32_t mode = atomic_load_explicit(&file->flags, memory_order_relaxed) & O_ACCMODE;

	return mode == O_WRONLY || mode == O_RDWR;
}

/* Data and holes are the volume's to tell, so pages go there first. */
static int64_t seek_data(const struct vfs_caller *c, const struct rg_file *file, int64_t off, int whence)
{
	struct vfs *f = c->fs;
	struct rg_vnode *vn = rg_vnode(f->r, file->vnode);
	const struct mounted *v = mounted_of(f, vn->mount);
	uint64_t at = 0;
	int e = 0;

	if (off < 0)
		return -ENXIO;
	if (!S_ISREG(file->type))
		return -EINVAL;
	if (atomic_load(&vn->map)) {
		rg_lock(f, &vn->lock);
		e = map_write_back(f, file->vnode, 0, UINT64_MAX);
		rg_unlock(f, &vn->lock);
	}
	if (e == 0)
		e = whence == SEEK_DATA ? mounted_seek_data(v, vn->ino, (uint64_t)off, &at)
					: mounted_seek_hole(v, vn->ino, (uint64_t)off, &at);
	return e < 0 ? e : (int64_t)at;
}

/* Where a seek goes; the offset's lock is held. */
static int64_t seek_target(const struct vfs_caller *c, struct rg_file *file, int64_t off, int whence)
{
	int64_t now = (int64_t)atomic_load_explicit(&file->offset, memory_order_relaxed), to;
	struct volume_attr a;
	int e;

	switch (whence) {
	case SEEK_SET:
		to = off;
		break;
	case SEEK_CUR:
		if (__builtin_add_overflow(now, off, &to))
			return -EOVERFLOW;
		break;
	case SEEK_END:
		if (S_ISDIR(file->type))
			return -EINVAL;
		e = mounted_getattr(mounted_of(c->fs, file->mount), file->ino, &a);
		if (e < 0)
			return e;
		if (__builtin_add_overflow((int64_t)a.size, off, &to))
			return -EINVAL;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		return seek_data(c, file, off, whence);
	default:
		return -EINVAL;
	}
	if (to < 0 || (!S_ISDIR(file->type) && (uint64_t)to > VOLUME_FILE_MAX))
		return -EINVAL;
	return to;
}

int64_t vfs_lseek(const struct vfs_caller *c, int fd, int64_t off, int whence)
{
	struct rg_cell *cell;
	struct rg_file *file;
	int64_t to;
	int e = pin_open(c, fd, &cell, &file);

	if (e < 0)
		return e;
	rg_lock(c->fs, &file->lock);
	to = seek_target(c, file, off, whence);
	if (to >= 0)
		atomic_store_explicit(&file->offset, (uint64_t)to, memory_order_relaxed);
	rg_unlock(c->fs, &file->lock);
	pin_drop(c, cell);
	return to;
}

/* One record at p, where n bytes are: its length, 0 if it does not fit. */
static size_t put_dent(uint8_t *p, size_t n, const struct volume_dirent *e)
{
	struct dent d = {.ino = e->ino, .off = (int64_t)e->cookie, .type = e->type};
	size_t len = (DENT_HEAD + (size_t)e->name_len + 1 + 7) & ~(size_t)7;

	if (len > n)
		return 0;
	d.reclen = (uint16_t)len;
	memset(p, 0, len);
	memcpy(p, &d, DENT_HEAD);
	memcpy(p + DENT_HEAD, e->name, e->name_len);
	return len;
}

static long list(const struct mounted *v, struct rg_file *file, uint8_t *p, size_t n)
{
	struct volume_dirent e[DENTS];
	uint64_t cookie = atomic_load_explicit(&file->offset, memory_order_relaxed);
	size_t done = 0;
	long got;

	for (;;) {
		got = mounted_readdir(v, file->ino, cookie, e, DENTS);
		if (got <= 0)
			break;
		for (long i = 0; i < got; i++) {
			size_t len = put_dent(p + done, n - done, &e[i]);

			if (len == 0)
				goto full;
			done += len;
			cookie = e[i].cookie;
		}
	}
	if (got < 0 && done == 0)
		return got;
full:
	if (done == 0 && got > 0)
		return -EINVAL;
	atomic_store_explicit(&file->offset, cookie, memory_order_relaxed);
	return (long)done;
}

long vfs_getdents64(const struct vfs_caller *c, int fd, void *p, size_t n)
{
	struct rg_cell *cell;
	struct volume_attr a;
	struct rg_file *file;
	const struct mounted *v;
	long r = pin_open(c, fd, &cell, &file);

	if (r < 0)
		return r;
	v = mounted_of(c->fs, file->mount);
	if (!S_ISDIR(file->type))
		r = -ENOTDIR;
	if (r == 0)
		r = mounted_getattr(v, file->ino, &a);
	if (r == 0 && a.nlink == 0)
		r = -ENOENT;
	if (r == 0) {
		rg_lock(c->fs, &file->lock);
		r = list(v, file, p, n);
		rg_unlock(c->fs, &file->lock);
	}
	if (r >= 0)
		touch_atime(c, rg_vnode(c->fs->r, file->vnode), atomic_load(&file->flags));
	pin_drop(c, cell);
	return r;
}

int vfs_ftruncate(const struct vfs_caller *c, int fd, int64_t size)
{
	struct rg_cell *cell;
	struct rg_file *file;
	int e;

	if (size < 0)
		return -EINVAL;
	e = pin_open(c, fd, &cell, &file);
	if (e < 0)
		return e;
	e = !S_ISREG(file->type) || !writable(file) ? -EINVAL : resize(c, file->vnode, size);
	pin_drop(c, cell);
	return e;
}

/* The vnode's lock is held. */
static int allocate(
	const struct vfs_caller *c, struct rg_file *file, unsigned int how, uint64_t off, uint64_t n)
{
	struct vfs *f = c->fs;
	struct rg_vnode *vn = rg_vnode(f->r, file->vnode);
	const struct mounted *v = mounted_of(f, vn->mount);
	uint32_t map = atomic_load(&vn->map);
	struct volume_attr a;
	int e = mounted_getattr(v, vn->ino, &a);

	if (e == 0 && !(how & VOLUME_FALLOC_KEEP_SIZE) && c->file_size_limit &&
		off + n > c->file_size_limit && off + n > a.size)
		e = -EFBIG;
	if (e == 0 && map)
		e = map_write_back(f, file->vnode, 0, UINT64_MAX);
	if (e == 0)
		e = mounted_fallocate(v, vn->ino, off, n, how);
	if (e == 0 && map && (how & (VOLUME_FALLOC_PUNCH_HOLE | VOLUME_FALLOC_ZERO_RANGE)))
		e = map_zero(f, map, off, n);
	return e < 0 ? e : drop_privileges(c, file->vnode);
}

int vfs_fallocate(const struct vfs_caller *c, int fd, int mode, int64_t off, int64_t n)
{
	static const int served = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct rg_cell *cell;
	struct rg_file *file;
	unsigned int how = 0;
	int e = pin_open(c, fd, &cell, &file);

	if (e < 0)
		return e;
	if (off < 0 || n <= 0)
		e = -EINVAL;
	else if ((mode & ~served) || ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)) ||
		 ((mode & FALLOC_FL_PUNCH_HOLE) && (mode & FALLOC_FL_ZERO_RANGE)))
		e = -EOPNOTSUPP;
	else if (!writable(file))
		e = -EBADF;
	else if (!S_ISREG(file->type))
		e = -ENODEV;
	else if (n > (int64_t)VOLUME_FILE_MAX || off > (int64_t)VOLUME_FILE_MAX - n)
		e = -EFBIG;
	if (e == 0) {
		how |= mode & FALLOC_FL_KEEP_SIZE ? VOLUME_FALLOC_KEEP_SIZE : 0;
		how |= mode & FALLOC_FL_PUNCH_HOLE ? VOLUME_FALLOC_PUNCH_HOLE : 0;
		how |= mode & FALLOC_FL_ZERO_RANGE ? VOLUME_FALLOC_ZERO_RANGE : 0;
		rg_lock(c->fs, &rg_vnode(c->fs->r, file->vnode)->lock);
		e = allocate(c, file, how, (uint64_t)off, (uint64_t)n);
		rg_unlock(c->fs, &rg_vnode(c->fs->r, file->vnode)->lock);
	}
	pin_drop(c, cell);
	return e;
}

int vfs_fsync(const struct vfs_caller *c, int fd, bool data_only)
{
	struct rg_cell *cell;
	struct rg_file *file;
	int e = pin_open(c, fd, &cell, &file);

	if (e < 0)
		return e;
	e = sync_inode(c, file->vnode, data_only);
	pin_drop(c, cell);
	return e;
}

int vfs_sync(const struct vfs_caller *c, int fd)
{
	struct vfs *f = c->fs;
	struct rg_cell *cell;
	struct rg_file *file;
	uint32_t from = 0, to = f->mounts;
	int e = 0;

	if (fd >= 0) {
		e = pin_open(c, fd, &cell, &file);
		if (e < 0)
			return e;
		from = file->mount;
		to = from + 1;
		pin_drop(c, cell);
	}
	e = map_sync_all(c);
	for (; from < to; from++) {
		int x = mounted_is_read_only(mounted_of(f, from)) ? 0 : mounted_commit(mounted_of(f, from));

		if (e == 0)
			e = x;
	}
	return e;
}
