/* Extended attributes: whose names are whose. */
#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include "shield/fs/vfs_region.h"

static bool starts(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int check_user(const struct vfs_caller *c, const struct volume_attr *a, bool write)
{
	if (!S_ISREG(a->mode) && !S_ISDIR(a->mode))
		return write ? -EPERM : -ENODATA;
	if (write && S_ISDIR(a->mode) && (a->mode & S_ISVTX) && !is_owner(c, a))
		return -EPERM;
	return may(c, a, write ? MAY_WRITE : MAY_READ);
}

static int check(const struct vfs_caller *c, const struct vfs_place *p, const char *name, bool write)
{
	size_t n = strlen(name), head = strcspn(name, ".");

	if (!p->found)
		return -ENOENT;
	if (p->must_dir && !S_ISDIR(p->attr.mode))
		return -ENOTDIR;
	if (n == 0 || n > VOLUME_XATTR_NAME_MAX)
		return -ERANGE;
	if (write && mounted_is_read_only(mounted_of(c->fs, p->dir.mount)))
		return -EROFS;
	if (starts(name, "user."))
		return n == head + 1 ? -EINVAL : check_user(c, &p->attr, write);
	if (starts(name, "trusted.")) {
		if (!capable(c, VFS_CAP_SYS_ADMIN))
			return write ? -EPERM : -ENODATA;
		return n == head + 1 ? -EINVAL : 0;
	}
	if (starts(name, "security.")) {
		if (write && !capable(c, VFS_CAP_SYS_ADMIN))
			return -EPERM;
		return n == head + 1 ? -EINVAL : 0;
	}
	return -EOPNOTSUPP;
}

int vfs_setxattr(const struct vfs_caller *c, const struct vfs_place *p, const char *name, const void *value,
	size_t n, int flags)
{
	struct vfs_node node = vfs_place_node(p);
	struct rg_cell *cell;
	uint32_t vnode;
	unsigned int how = 0;
	int e;

	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (n > VOLUME_XATTR_VALUE_MAX)
		return -E2BIG;
	e = check(c, p, name, true);
	if (e == 0)
		e = hold_node(c, &node, p->attr.mode & S_IFMT, &cell, &vnode);
	if (e < 0)
		return e;
	how |= flags & XATTR_CREATE ? VOLUME_XATTR_CREATE : 0;
	how |= flags & XATTR_REPLACE ? VOLUME_XATTR_REPLACE : 0;
	e = mounted_xattr_set(mounted_of(c->fs, node.mount), node.ino, name, strlen(name), value, n, how);
	atomic_store_explicit(&rg_vnode(c->fs->r, vnode)->privileged, 1, memory_order_relaxed);
	hold_drop(c, cell);
	return e;
}

int vfs_removexattr(const struct vfs_caller *c, const struct vfs_place *p, const char *name)
{
	struct vfs_node node = vfs_place_node(p);
	struct rg_cell *cell;
	uint32_t vnode;
	int e = check(c, p, name, true);

	if (e == 0)
		e = hold_node(c, &node, p->attr.mode & S_IFMT, &cell, &vnode);
	if (e < 0)
		return e;
	e = mounted_xattr_remove(mounted_of(c->fs, node.mount), node.ino, name, strlen(name));
	hold_drop(c, cell);
	return e;
}

long vfs_getxattr(
	const struct vfs_caller *c, const struct vfs_place *p, const char *name, void *value, size_t n)
{
	int e = check(c, p, name, false);
	long r;

	if (e < 0)
		return e;
	r = mounted_xattr_get(mounted_of(c->fs, p->dir.mount), p->attr.ino, name, strlen(name), value, n);
	return r == -ENOENT ? -ESTALE : r;
}

/* The size bytes of names at p without those that are not the program's, and, unless all, that only an administrator sees: how many are left. */
static size_t filter(char *p, size_t size, bool all)
{
	size_t to = 0;

	for (size_t from = 0; from < size;) {
		size_t n = strnlen(p + from, size - from - 1) + 1;

		if (!starts(p + from, VFS_OWN_XATTR) && (all || !starts(p + from, "trusted."))) {
			memmove(p + to, p + from, n);
			to += n;
		}
		from += n;
	}
	return to;
}

long vfs_listxattr(const struct vfs_caller *c, const struct vfs_place *p, char *ret, size_t n)
{
	const struct mounted *v = mounted_of(c->fs, p->dir.mount);
	char *all;
	long r;

	if (!p->found)
		return -ENOENT;
	if (p->must_dir && !S_ISDIR(p->attr.mode))
		return -ENOTDIR;
	r = mounted_xattr_list(v, p->attr.ino, NULL, 0);
	if (r <= 0)
		return r == -ENOENT ? -ESTALE : r;
	all = malloc(VOLUME_XATTR_TOTAL_MAX);
	if (!all)
		return -ENOMEM;
	r = mounted_xattr_list(v, p->attr.ino, all, VOLUME_XATTR_TOTAL_MAX);
	if (r > 0)
		r = (long)filter(all, (size_t)r, capable(c, VFS_CAP_SYS_ADMIN));
	if (r > 0 && n > 0) {
		if ((size_t)r > n)
			r = -ERANGE;
		else
			memcpy(ret, all, (size_t)r);
	}
	free(all);
	return r;
}
