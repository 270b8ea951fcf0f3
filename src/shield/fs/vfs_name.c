/* Making, removing and moving names. Checks come in the order in which Linux makes them. */
#include <errno.h>
#include <linux/fs.h>
#include "shield/fs/vfs_region.h"

static const struct mounted *volume_at(const struct vfs_caller *c, const struct vfs_place *p)
{
	return mounted_of(c->fs, p->dir.mount);
}

/* A name that something new may get; dir: a slash behind it is fine. */
static int check_new_name(const struct vfs_place *p, bool dir)
{
	if (p->last != VFS_LAST_NAME || p->found)
		return -EEXIST;
	return p->must_dir && !dir ? -ENOENT : 0;
}

static int make(const struct vfs_caller *c, const struct vfs_place *p, struct volume_new *what)
{
	struct volume_attr dir, a;
	int e = may_change_dir(c, &p->dir, &dir);

	if (e < 0)
		return e;
	if ((S_ISCHR(what->mode) || S_ISBLK(what->mode)) && !capable(c, VFS_CAP_MKNOD))
		return -EPERM;
	owner_of_new(c, &dir, what->mode, what);
	return mounted_make(volume_at(c, p), p->dir.ino, p->name, p->name_len, what, 0, &a);
}

int vfs_mkdir(const struct vfs_caller *c, const struct vfs_place *p, uint32_t mode)
{
	struct volume_new what = {.mode = S_IFDIR | (mode & 01777 & ~c->umask)};
	int e = check_new_name(p, true);

	return e < 0 ? e : make(c, p, &what);
}

int vfs_mknod(const struct vfs_caller *c, const struct vfs_place *p, uint32_t mode, uint64_t rdev)
{
	struct volume_new what = {.rdev = rdev};
	int e;

	switch (mode & S_IFMT) {
	case 0:
		mode |= S_IFREG;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	what.mode = (mode & S_IFMT) | (mode & 07777 & ~c->umask);
	e = check_new_name(p, false);
	return e < 0 ? e : make(c, p, &what);
}

int vfs_symlink(const struct vfs_caller *c, const char *target, const struct vfs_place *p)
{
	struct volume_new what = {.mode = S_IFLNK | 0777, .target = target, .target_len = strlen(target)};
	int e;

	if (what.target_len == 0)
		return -ENOENT;
	if (what.target_len > VOLUME_SYMLINK_MAX)
		return -ENAMETOOLONG;
	e = check_new_name(p, false);
	return e < 0 ? e : make(c, p, &what);
}

/* May the caller take the name of a away from dir? */
static int check_sticky(
	const struct vfs_caller *c, const struct volume_attr *dir, const struct volume_attr *a)
{
	if (!(dir->mode & S_ISVTX) || c->uid == a->uid || c->uid == dir->uid || capable(c, VFS_CAP_FOWNER))
		return 0;
	return -EPERM;
}

static int check_removal(const struct vfs_caller *c, const struct vfs_place *p, bool dir)
{
	struct volume_attr parent;
	int e = may_change_dir(c, &p->dir, &parent);

	if (e == 0)
		e = check_sticky(c, &parent, &p->attr);
	if (e < 0)
		return e;
	if (dir)
		return S_ISDIR(p->attr.mode) ? 0 : -ENOTDIR;
	return S_ISDIR(p->attr.mode) ? -EISDIR : 0;
}

int vfs_unlink(const struct vfs_caller *c, const struct vfs_place *p)
{
	int e;

	if (p->last != VFS_LAST_NAME)
		return -EISDIR;
	if (!p->found)
		return -ENOENT;
	if (p->must_dir)
		return S_ISDIR(p->attr.mode) ? -EISDIR : -ENOTDIR;
	e = check_removal(c, p, false);
	return e < 0 ? e : mounted_unlink(volume_at(c, p), p->dir.ino, p->name, p->name_len);
}

int vfs_rmdir(const struct vfs_caller *c, const struct vfs_place *p)
{
	int e;

	if (p->last == VFS_LAST_DOT)
		return -EINVAL;
	if (p->last == VFS_LAST_DOTDOT)
		return -ENOTEMPTY;
	if (p->last == VFS_LAST_ROOT)
		return -EBUSY;
	if (!p->found)
		return -ENOENT;
	e = check_removal(c, p, true);
	return e < 0 ? e : mounted_rmdir(volume_at(c, p), p->dir.ino, p->name, p->name_len);
}

int vfs_link(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to)
{
	struct vfs_node n = vfs_place_node(from);
	struct volume_attr dir;
	struct rg_cell *cell;
	uint32_t vnode;
	int e;

	if (!from->found)
		return -ENOENT;
	if (from->must_dir && !S_ISDIR(from->attr.mode))
		return -ENOTDIR;
	e = check_new_name(to, false);
	if (e < 0)
		return e;
	if (from->dir.mount != to->dir.mount)
		return -EXDEV;
	e = may_change_dir(c, &to->dir, &dir);
	if (e < 0)
		return e;
	if (S_ISDIR(from->attr.mode))
		return -EPERM;
	e = hold_node(c, &n, from->attr.mode & S_IFMT, &cell, &vnode);
	if (e < 0)
		return e;
	e = rg_vnode(c->fs->r, vnode)->never_linked
		    ? -ENOENT
		    : mounted_link(volume_at(c, to), n.ino, to->dir.ino, to->name, to->name_len);
	hold_drop(c, cell);
	return e;
}

static int rename_types(const struct vfs_place *from, const struct vfs_place *to, unsigned int flags)
{
	if (from->dir.mount != to->dir.mount)
		return -EXDEV;
	if (from->last != VFS_LAST_NAME)
		return -EBUSY;
	if (to->last != VFS_LAST_NAME)
		return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	if (!from->found)
		return -ENOENT;
	if ((flags & RENAME_NOREPLACE) && to->found)
		return -EEXIST;
	if ((flags & RENAME_EXCHANGE) && !to->found)
		return -ENOENT;
	if ((flags & RENAME_EXCHANGE) && to->must_dir && !S_ISDIR(to->attr.mode))
		return -ENOTDIR;
	if (!S_ISDIR(from->attr.mode) && (from->must_dir || (!(flags & RENAME_EXCHANGE) && to->must_dir)))
		return -ENOTDIR;
	return 0;
}

/* Permissions, and types where both exist. */
static int rename_may(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
	unsigned int flags)
{
	bool moves = from->dir.ino != to->dir.ino, from_dir = S_ISDIR(from->attr.mode);
	struct volume_attr parent;
	int e = may_change_dir(c, &from->dir, &parent);

	if (e == 0)
		e = check_sticky(c, &parent, &from->attr);
	if (e == 0)
		e = may_change_dir(c, &to->dir, &parent);
	if (e == 0 && to->found)
		e = check_sticky(c, &parent, &to->attr);
	if (e < 0)
		return e;
	if (to->found && !(flags & RENAME_EXCHANGE) && from_dir != S_ISDIR(to->attr.mode))
		return from_dir ? -ENOTDIR : -EISDIR;
	/* its ".." changes */
	if (from_dir && moves)
		e = may(c, &from->attr, MAY_WRITE);
	if (e == 0 && (flags & RENAME_EXCHANGE) && moves && S_ISDIR(to->attr.mode))
		e = may(c, &to->attr, MAY_WRITE);
	return e;
}

int vfs_rename(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
	unsigned int flags)
{
	unsigned int how = 0;
	int e;

	if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	e = rename_types(from, to, flags);
	if (e < 0)
		return e;
	/* two names of one file: nothing happens */
	if (to->found && from->attr.ino == to->attr.ino)
		return 0;
	e = rename_may(c, from, to, flags);
	if (e < 0)
		return e;
	how |= flags & RENAME_NOREPLACE ? VOLUME_RENAME_NOREPLACE : 0;
	how |= flags & RENAME_EXCHANGE ? VOLUME_RENAME_EXCHANGE : 0;
	return mounted_rename(volume_at(c, from), from->dir.ino, from->name, from->name_len, to->dir.ino,
		to->name, to->name_len, how);
}
