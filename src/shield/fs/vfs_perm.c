/* Who may do what: as Linux without access control lists. */
#include <errno.h>
#include "shield/fs/vfs_region.h"

bool in_group(const struct vfs_caller *c, uint32_t gid)
{
	if (c->gid == gid)
		return true;
	for (uint32_t i = 0; i < c->group_count; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}

bool is_owner(const struct vfs_caller *c, const struct volume_attr *a)
{
	return c->uid == a->uid || capable(c, VFS_CAP_FOWNER);
}

int may(const struct vfs_caller *c, const struct volume_attr *a, unsigned int want)
{
	unsigned int bits = a->mode;

	if (c->uid == a->uid)
		bits >>= 6;
	else if (in_group(c, a->gid))
		bits >>= 3;
	if ((want & ~bits & 7) == 0)
		return 0;
	if (S_ISDIR(a->mode)) {
		if (capable(c, VFS_CAP_DAC_OVERRIDE) ||
			(capable(c, VFS_CAP_DAC_READ_SEARCH) && !(want & MAY_WRITE)))
			return 0;
		return -EACCES;
	}
	if (want == MAY_READ && capable(c, VFS_CAP_DAC_READ_SEARCH))
		return 0;
	if ((!(want & MAY_EXEC) || (a->mode & 0111)) && capable(c, VFS_CAP_DAC_OVERRIDE))
		return 0;
	return -EACCES;
}

int may_change_dir(const struct vfs_caller *c, const struct vfs_node *dir, struct volume_attr *ret)
{
	int e = mounted_getattr(mounted_of(c->fs, dir->mount), dir->ino, ret);

	if (e < 0)
		return e;
	if ((dir->gen && ret->gen != dir->gen) || ret->nlink == 0)
		return -ENOENT;
	if (mounted_is_read_only(mounted_of(c->fs, dir->mount)))
		return -EROFS;
	return may(c, ret, MAY_WRITE | MAY_EXEC);
}

void owner_of_new(
	const struct vfs_caller *c, const struct volume_attr *dir, uint32_t mode, struct volume_new *ret)
{
	ret->uid = c->uid;
	ret->gid = c->gid;
	ret->mode = mode;
	if (!(dir->mode & S_ISGID))
		return;
	ret->gid = dir->gid;
	if (S_ISDIR(mode))
		ret->mode |= S_ISGID;
	else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !in_group(c, dir->gid) &&
		 !capable(c, VFS_CAP_FSETID))
		ret->mode &= ~(uint32_t)S_ISGID;
}
