/* Opening: from a place to a descriptor. */
#include <errno.h>
#include "shield/fs/vfs_region.h"

#define KEPT_FLAGS                                                                                           \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_DIRECT | O_LARGEFILE | O_NOATIME |         \
		O_DIRECTORY | O_NOFOLLOW | O_ASYNC)
#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)

struct opening {
	const struct vfs_caller *c;
	const struct vfs_place *p;
	struct vfs_node node;
	unsigned int flags;
	uint32_t mode;
	struct volume_attr attr; /* of what is opened */
	bool created;
	int fd;
};

static bool writes(unsigned int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static int check_type(const struct opening *o)
{
	bool dir = S_ISDIR(o->attr.mode);

	if (S_ISLNK(o->attr.mode) && !(o->flags & O_PATH))
		return (o->flags & O_DIRECTORY) ? -ENOTDIR : -ELOOP;
	if (!dir && ((o->flags & O_DIRECTORY) || o->p->must_dir))
		return -ENOTDIR;
	if (o->flags & O_PATH)
		return 0;
	if (dir && ((o->flags & O_CREAT) || writes(o->flags)))
		return -EISDIR;
	if (S_ISCHR(o->attr.mode) || S_ISBLK(o->attr.mode))
		return -EACCES;
	return 0;
}

static int check_access(const struct opening *o)
{
	static const unsigned int wants[4] = {
		MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE};
	unsigned int want = wants[o->flags & O_ACCMODE];
	int e;

	if (o->flags & O_TRUNC)
		want |= MAY_WRITE;
	if ((want & MAY_WRITE) && S_ISREG(o->attr.mode) &&
		mounted_is_read_only(mounted_of(o->c->fs, o->p->dir.mount)))
		return -EROFS;
	e = may(o->c, &o->attr, want);
	if (e < 0)
		return e;
	if ((o->flags & O_NOATIME) && !is_owner(o->c, &o->attr))
		return -EPERM;
	if (S_ISSOCK(o->attr.mode))
		return -ENXIO;
	if (S_ISFIFO(o->attr.mode))
		return -EOPNOTSUPP;
	return S_ISREG(o->attr.mode) ? mounted_opened(mounted_of(o->c->fs, o->p->dir.mount), o->attr.ino) : 0;
}

static int create(struct opening *o)
{
	const struct vfs_place *p = o->p;
	struct volume_new what = {.mode = 0};
	struct volume_attr dir;
	int e = may_change_dir(o->c, &p->dir, &dir);

	if (e < 0)
		return e;
	owner_of_new(o->c, &dir, S_IFREG | (o->mode & 07777 & ~o->c->umask), &what);
	e = mounted_make(
		mounted_of(o->c->fs, p->dir.mount), p->dir.ino, p->name, p->name_len, &what, 0, &o->attr);
	o->created = e == 0;
	if (e == -EEXIST && !(o->flags & O_EXCL))
		return -ESTALE;
	return e;
}

/* Enter an inode as descriptor o->fd. It may be gone: -ESTALE. */
static int install(struct opening *o)
{
	const struct vfs_caller *c = o->c;
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct rg_file *file;
	uint32_t v, n, mount = 0;
	uint64_t ino = 0;
	int e;

	rg_enter(f);
	if (atomic_load(&r->fd[c->slot][o->fd]))
		ino = fd_replace(f, c->slot, (uint32_t)o->fd, 0, &mount);
	e = vnode_get(f, &o->node, o->attr.mode & S_IFMT, &v);
	n = e == 0 ? rg_take_file(r) : 0;
	if (n == 0) {
		rg_abort(f);
		reap_inode(f, mount, ino);
		return e == -ENOENT ? -ESTALE : e < 0 ? e : -ENFILE;
	}
	file = rg_file(r, n);
	file->refs = 1;
	file->vnode = v;
	file->used = RG_FILE_USED;
	file->id = __atomic_fetch_add(&r->next_id, 1, __ATOMIC_RELAXED);
	file->mount = o->node.mount;
	file->ino = o->node.ino;
	file->type = o->attr.mode & S_IFMT;
	atomic_store_explicit(&file->flags,
		o->flags & O_PATH ? o->flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW) : o->flags & KEPT_FLAGS,
		memory_order_relaxed);
	if (o->p->last == VFS_LAST_NAME) {
		file->dir = o->p->dir.ino;
		file->name_len = (uint32_t)o->p->name_len;
		memcpy(file->name, o->p->name, o->p->name_len + 1);
	}
	fd_enter(r, c->slot, (uint32_t)o->fd, n);
	rg_leave(f);
	reap_inode(f, mount, ino);
	return 0;
}

static int truncate_opened(const struct opening *o)
{
	struct rg_cell *cell;
	uint32_t n;
	int e;

	if (!(o->flags & O_TRUNC) || (o->flags & O_PATH) || o->created || !S_ISREG(o->attr.mode))
		return 0;
	n = pin_fd(o->c, o->fd, &cell);
	if (n == 0)
		return 0;
	e = resize(o->c, rg_file(o->c->fs->r, n)->vnode, 0);
	pin_drop(o->c, cell);
	if (e < 0)
		(void)vfs_close(o->c, o->fd);
	return e;
}

/* O_TMPFILE: made, held and entered under the region's lock, for nothing could find it after a death in between; the engine tells its number before the
 * step in which it makes it is done. */
static int open_unnamed(struct opening *o)
{
	const struct vfs_caller *c = o->c;
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct volume_new what = {.mode = 0};
	struct volume_attr dir;
	struct rg_cell *cell;
	struct vfs_node n;
	uint32_t v = 0;
	int e;

	if (!o->p->found)
		return -ENOENT;
	if (!S_ISDIR(o->p->attr.mode))
		return -ENOTDIR;
	if ((o->flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	n = vfs_place_node(o->p);
	e = may_change_dir(c, &n, &dir);
	if (e < 0)
		return e;
	owner_of_new(c, &dir, S_IFREG | (o->mode & 07777 & ~c->umask), &what);
	cell = cell_claim(c, RG_CELL_CLAIMED);
	rg_enter(f);
	e = unnamed_vnode(f, n.mount, &what, &v);
	if (e < 0) {
		rg_abort(f);
		atomic_store(&cell->what, 0);
		return e;
	}
	rg_vnode(r, v)->never_linked = (o->flags & O_EXCL) != 0;
	rg_save(r, (const void *)&cell->what, sizeof(cell->what));
	atomic_store(&cell->what, RG_CELL_VNODE | v);
	o->attr = r->pending_attr;
	rg_leave(f);
	o->node = (struct vfs_node){.mount = n.mount, .ino = o->attr.ino, .gen = o->attr.gen};
	o->created = true;
	e = install(o);
	hold_drop(c, cell);
	return e;
}

int vfs_open(const struct vfs_caller *c, const struct vfs_place *p, unsigned int flags, uint32_t mode, int fd)
{
	struct opening o = {.c = c, .p = p, .flags = flags, .mode = mode, .fd = fd};
	int e = 0;

	if (fd < 0 || fd >= VFS_FDS)
		return -EMFILE;
	if (flags & O_PATH)
		o.flags = flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
	if (flags & TMPFILE_BIT)
		return open_unnamed(&o);
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	if ((flags & O_CREAT) && (p->must_dir || p->last != VFS_LAST_NAME) && p->last != VFS_LAST_ROOT)
		return -EISDIR;
	if (!p->found && !(flags & O_CREAT))
		return -ENOENT;
	if (p->found && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (p->found) {
		o.attr = p->attr;
		e = check_type(&o);
		if (e == 0 && !(flags & O_PATH))
			e = check_access(&o);
	} else {
		e = create(&o);
	}
	if (e < 0)
		return e;
	o.node = (struct vfs_node){.mount = p->dir.mount, .ino = o.attr.ino, .gen = o.attr.gen};
	e = install(&o);
	return e < 0 ? e : truncate_opened(&o);
}
