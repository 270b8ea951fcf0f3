/* Attributes of inodes. */
#include <errno.h>
#include <unistd.h>
#include "shield/fs/vfs_region.h"

#define NS 1000000000LL

/* What a place names, as the path wants it. */
static int check_found(const struct vfs_place *p)
{
	if (!p->found)
		return -ENOENT;
	return p->must_dir && !S_ISDIR(p->attr.mode) ? -ENOTDIR : 0;
}

int vfs_stat(const struct vfs_caller *c, const struct vfs_place *p, struct volume_attr *ret)
{
	(void)c;
	if (check_found(p) == 0)
		*ret = p->attr;
	return check_found(p);
}

int vfs_fstat(const struct vfs_caller *c, int fd, struct volume_attr *ret, uint32_t *ret_mount)
{
	struct rg_cell *cell;
	uint32_t n = pin_fd(c, fd, &cell);
	const struct rg_file *file;
	int e;

	if (n == 0)
		return -EBADF;
	file = rg_file(c->fs->r, n);
	e = mounted_getattr(mounted_of(c->fs, file->mount), file->ino, ret);
	if (e == 0)
		*ret_mount = file->mount;
	pin_drop(c, cell);
	return e;
}

static struct timespec time_of(int64_t t)
{
	int64_t s = t / NS, ns = t % NS;

	return (struct timespec){.tv_sec = ns < 0 ? s - 1 : s, .tv_nsec = ns < 0 ? ns + NS : ns};
}

void vfs_stat_fill(const struct vfs *f, uint32_t mount, const struct volume_attr *a, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_dev = vfs_mount_dev(f, mount);
	ret->st_ino = a->ino;
	ret->st_mode = a->mode;
	ret->st_nlink = a->nlink;
	ret->st_uid = a->uid;
	ret->st_gid = a->gid;
	ret->st_rdev = a->rdev;
	ret->st_size = (int64_t)a->size;
	ret->st_blksize = VOLUME_BLOCK;
	ret->st_blocks = (int64_t)(a->blocks * (VOLUME_BLOCK / 512));
	ret->st_atim = time_of(a->atime);
	ret->st_mtim = time_of(a->mtime);
	ret->st_ctim = time_of(a->ctime);
}

int vfs_access(const struct vfs_caller *c, const struct vfs_place *p, int mode)
{
	int e = mode & ~(R_OK | W_OK | X_OK) ? -EINVAL : check_found(p);

	if (e < 0)
		return e;
	if ((mode & W_OK) && (S_ISREG(p->attr.mode) || S_ISDIR(p->attr.mode) || S_ISLNK(p->attr.mode)) &&
		mounted_is_read_only(mounted_of(c->fs, p->dir.mount)))
		return -EROFS;
	return may(c, &p->attr, (unsigned int)mode);
}

long vfs_readlink(const struct vfs_caller *c, const struct vfs_place *p, char *ret, size_t n)
{
	int e = check_found(p);
	long r;

	if (e < 0)
		return e;
	if (n == 0 || !S_ISLNK(p->attr.mode))
		return -EINVAL;
	r = mounted_readlink(mounted_of(c->fs, p->dir.mount), p->attr.ino, ret, n);
	if (r == -ENOENT || r == -EINVAL)
		return -ESTALE;
	return r > (long)n ? (long)n : r;
}

int vfs_truncate(const struct vfs_caller *c, const struct vfs_place *p, int64_t size)
{
	struct vfs_node n = vfs_place_node(p);
	struct rg_cell *cell;
	uint32_t vnode;
	int e;

	if (size < 0)
		return -EINVAL;
	e = check_found(p);
	if (e < 0)
		return e;
	if (S_ISDIR(p->attr.mode))
		return -EISDIR;
	if (!S_ISREG(p->attr.mode))
		return -EINVAL;
	if (mounted_is_read_only(mounted_of(c->fs, n.mount)))
		return -EROFS;
	e = may(c, &p->attr, MAY_WRITE);
	if (e == 0)
		e = hold_node(c, &n, S_IFREG, &cell, &vnode);
	if (e < 0)
		return e;
	e = resize(c, vnode, size);
	hold_drop(c, cell);
	return e;
}

/* Change an inode's attributes as `decide` says, with writers kept off: it gets fresh ones and answers what to set, or -errno; 0: nothing. */
struct change {
	uint32_t mode, uid, gid;
	int64_t atime, mtime;
	int64_t now;
};
typedef int (*decide_fn)(const struct vfs_caller *c, const struct change *ch, struct volume_attr *a);

static int change(
	const struct vfs_caller *c, const struct vfs_place *p, const struct change *ch, decide_fn decide)
{
	struct vfs_node n = vfs_place_node(p);
	const struct mounted *v = mounted_of(c->fs, n.mount);
	struct volume_attr a;
	struct rg_vnode *vn;
	struct rg_cell *cell;
	uint32_t vnode;
	int e = check_found(p);

	if (e == 0 && mounted_is_read_only(v))
		e = -EROFS;
	if (e == 0)
		e = hold_node(c, &n, p->attr.mode & S_IFMT, &cell, &vnode);
	if (e < 0)
		return e;
	vn = rg_vnode(c->fs->r, vnode);
	rg_lock(c->fs, &vn->lock);
	e = mounted_getattr(v, n.ino, &a);
	if (e == 0)
		e = decide(c, ch, &a);
	if (e > 0)
		e = mounted_setattr(v, n.ino, (unsigned int)e, &a);
	atomic_store_explicit(&vn->privileged, 1, memory_order_relaxed);
	atomic_store_explicit(&vn->atime_due, 1, memory_order_relaxed);
	rg_unlock(c->fs, &vn->lock);
	hold_drop(c, cell);
	return e;
}

static int decide_mode(const struct vfs_caller *c, const struct change *ch, struct volume_attr *a)
{
	if (S_ISLNK(a->mode))
		return -EOPNOTSUPP;
	if (!is_owner(c, a))
		return -EPERM;
	a->mode = ch->mode;
	if (!in_group(c, a->gid) && !capable(c, VFS_CAP_FSETID))
		a->mode &= ~(uint32_t)S_ISGID;
	return VOLUME_SET_MODE;
}

int vfs_chmod(const struct vfs_caller *c, const struct vfs_place *p, uint32_t mode)
{
	struct change ch = {.mode = mode & 07777};

	return change(c, p, &ch, decide_mode);
}

static int decide_owner(const struct vfs_caller *c, const struct change *ch, struct volume_attr *a)
{
	bool cap = capable(c, VFS_CAP_CHOWN), owner = c->uid == a->uid;
	uint32_t set_id;
	int what = 0;

	if (ch->uid != UINT32_MAX && !cap && !(owner && ch->uid == a->uid))
		return -EPERM;
	if (ch->gid != UINT32_MAX && !cap && !(owner && (ch->gid == a->gid || in_group(c, ch->gid))))
		return -EPERM;
	set_id = S_ISUID |
		 (a->mode & S_IXGRP || (!in_group(c, a->gid) && !capable(c, VFS_CAP_FSETID)) ? S_ISGID : 0u);
	if (!S_ISDIR(a->mode) && (a->mode & set_id)) {
		a->mode &= ~set_id;
		what |= VOLUME_SET_MODE;
	}
	if (ch->uid != UINT32_MAX) {
		a->uid = ch->uid;
		what |= VOLUME_SET_UID;
	}
	if (ch->gid != UINT32_MAX) {
		a->gid = ch->gid;
		what |= VOLUME_SET_GID;
	}
	return what;
}

int vfs_chown(const struct vfs_caller *c, const struct vfs_place *p, uint32_t uid, uint32_t gid)
{
	struct change ch = {.uid = uid, .gid = gid};

	return change(c, p, &ch, decide_owner);
}

static int decide_times(const struct vfs_caller *c, const struct change *ch, struct volume_attr *a)
{
	bool touch = ch->atime == VFS_TIME_NOW && ch->mtime == VFS_TIME_NOW;
	int what = 0;

	if (!is_owner(c, a) && !touch)
		return -EPERM;
	if (!is_owner(c, a) && may(c, a, MAY_WRITE) < 0)
		return -EACCES;
	if (ch->atime != VFS_TIME_OMIT) {
		a->atime = ch->atime == VFS_TIME_NOW ? ch->now : ch->atime;
		what |= VOLUME_SET_ATIME;
	}
	if (ch->mtime != VFS_TIME_OMIT) {
		a->mtime = ch->mtime == VFS_TIME_NOW ? ch->now : ch->mtime;
		what |= VOLUME_SET_MTIME;
	}
	/* said, for with ATIME alone the engine leaves it */
	a->ctime = ch->now;
	return what | VOLUME_SET_CTIME;
}

int vfs_utimes(const struct vfs_caller *c, const struct vfs_place *p, int64_t atime, int64_t mtime)
{
	struct change ch = {.atime = atime, .mtime = mtime, .now = c->fs->env.clock(c->fs->env.ctx)};

	if (atime == VFS_TIME_OMIT && mtime == VFS_TIME_OMIT)
		return check_found(p);
	return change(c, p, &ch, decide_times);
}
