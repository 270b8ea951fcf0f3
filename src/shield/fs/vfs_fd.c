/* Descriptors: which file a number stands for. */
#include <errno.h>
#include "shield/fs/vfs_region.h"

#define SETFL (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC)

/* Number of the file; the region's lock is held. 0: none. */
static uint32_t file_at(const struct vfs_caller *c, int fd)
{
	return fd < 0 || fd >= VFS_FDS ? 0 : atomic_load(&c->fs->r->fd[c->slot][fd]);
}

int vfs_dup(const struct vfs_caller *c, int from, int to)
{
	struct vfs *f = c->fs;
	uint32_t n, mount = 0;
	uint64_t ino = 0;

	if (to < 0 || to >= VFS_FDS)
		return -EBADF;
	rg_enter(f);
	n = file_at(c, from);
	if (n == 0) {
		rg_abort(f);
		return -EBADF;
	}
	if (from != to)
		ino = fd_replace(f, c->slot, (uint32_t)to, n, &mount);
	rg_leave(f);
	reap_inode(f, mount, ino);
	return 0;
}

int vfs_close(const struct vfs_caller *c, int fd)
{
	struct vfs *f = c->fs;
	uint32_t mount = 0;
	uint64_t ino;

	if (file_at(c, fd) == 0)
		return -EBADF;
	rg_enter(f);
	if (file_at(c, fd) == 0) {
		rg_abort(f);
		return -EBADF;
	}
	ino = fd_replace(f, c->slot, (uint32_t)fd, 0, &mount);
	rg_leave(f);
	reap_inode(f, mount, ino);
	return 0;
}

int vfs_fd_next(const struct vfs_caller *c, int fd)
{
	uint32_t high = atomic_load(&c->fs->r->slot[c->slot].fd_high);

	for (uint32_t i = fd < 0 ? 0 : (uint32_t)fd; i < high; i++)
		if (atomic_load_explicit(&c->fs->r->fd[c->slot][i], memory_order_relaxed))
			return (int)i;
	return -1;
}

int vfs_fd_get(const struct vfs_caller *c, int fd, struct vfs_fd *ret)
{
	struct rg_cell *cell;
	uint32_t n = pin_fd(c, fd, &cell);
	const struct rg_file *file;

	if (n == 0)
		return -EBADF;
	file = rg_file(c->fs->r, n);
	*ret = (struct vfs_fd){
		.node = {.mount = file->mount, .ino = file->ino, .gen = rg_vnode(c->fs->r, file->vnode)->gen},
		.flags = atomic_load(&file->flags),
		.type = file->type,
		.id = file->id};
	pin_drop(c, cell);
	return 0;
}

int vfs_fd_set_flags(const struct vfs_caller *c, int fd, uint32_t flags)
{
	struct rg_cell *cell;
	uint32_t n = pin_fd(c, fd, &cell), old;
	struct volume_attr a;
	struct rg_file *file;
	int e = 0;

	if (n == 0)
		return -EBADF;
	file = rg_file(c->fs->r, n);
	old = atomic_load(&file->flags);
	if (old & O_PATH)
		e = -EBADF;
	if (e == 0 && (flags & O_NOATIME & ~old)) {
		e = mounted_getattr(mounted_of(c->fs, file->mount), file->ino, &a);
		if (e == 0 && !is_owner(c, &a))
			e = -EPERM;
	}
	while (e == 0 &&
		!atomic_compare_exchange_weak(&file->flags, &old, (old & ~(uint32_t)SETFL) | (flags & SETFL)))
		;
	pin_drop(c, cell);
	return e;
}

int vfs_fd_place(const struct vfs_caller *c, int fd, struct vfs_place *p)
{
	struct rg_cell *cell;
	uint32_t n = pin_fd(c, fd, &cell);
	const struct rg_file *file;
	struct volume_attr a;
	int e;

	if (n == 0)
		return -EBADF;
	file = rg_file(c->fs->r, n);
	e = mounted_getattr(mounted_of(c->fs, file->mount), file->ino, &a);
	if (e == 0) {
		p->attr = a;
		p->dir = (struct vfs_node){.mount = file->mount, .ino = a.ino, .gen = a.gen};
		p->found = true;
		p->must_dir = false;
		p->last = VFS_LAST_ROOT;
		p->name_len = 0;
		p->name[0] = 0;
	}
	pin_drop(c, cell);
	return e;
}

int vfs_send(const struct vfs_caller *c, int fd, uint64_t token)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct rg_transit *t;
	uint32_t n, mount = 0;
	uint64_t ino = 0;

	rg_enter(f);
	n = file_at(c, fd);
	if (n == 0) {
		rg_abort(f);
		return -EBADF;
	}
	t = &r->transit[r->transit_next % RG_TRANSIT];
	if (t->file) {
		uint32_t old = t->file;

		rg_set(r, &t->file, 0);
		ino = file_put(f, old, &mount);
	}
	rg_save(r, t, sizeof(*t));
	*t = (struct rg_transit){.token = token, .file = n};
	rg_set(r, &rg_file(r, n)->refs, rg_file(r, n)->refs + 1);
	rg_set(r, &r->transit_next, r->transit_next + 1);
	rg_leave(f);
	reap_inode(f, mount, ino);
	return 0;
}

static struct rg_transit *in_transit(struct region *r, uint64_t token)
{
	for (uint32_t i = 0; i < RG_TRANSIT; i++)
		if (r->transit[i].file && r->transit[i].token == token)
			return &r->transit[i];
	return NULL;
}

void vfs_unsend(const struct vfs_caller *c, uint64_t token)
{
	struct vfs *f = c->fs;
	struct rg_transit *t;
	uint32_t mount = 0, n;
	uint64_t ino = 0;

	rg_enter(f);
	t = in_transit(f->r, token);
	if (t) {
		n = t->file;
		rg_set(f->r, &t->file, 0);
		ino = file_put(f, n, &mount);
	}
	rg_leave(f);
	reap_inode(f, mount, ino);
}

int vfs_receive(const struct vfs_caller *c, uint64_t token, int fd)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct rg_transit *t;
	uint32_t n, mount = 0;
	uint64_t ino;

	if (fd < 0 || fd >= VFS_FDS)
		return -EBADF;
	rg_enter(f);
	t = in_transit(r, token);
	if (!t) {
		rg_abort(f);
		return -ENOENT;
	}
	n = t->file;
	ino = fd_replace(f, c->slot, (uint32_t)fd, n, &mount);
	/* its reference in transit goes; not the last */
	rg_set(r, &t->file, 0);
	rg_set(r, &rg_file(r, n)->refs, rg_file(r, n)->refs - 1);
	rg_leave(f);
	reap_inode(f, mount, ino);
	return 0;
}
