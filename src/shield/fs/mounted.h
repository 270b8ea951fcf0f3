/*
 * mounted: what a mount of the vfs is: an encrypted volume (volume.h) or a sealed tree (sealed_fs.h). The operations are the volume's, by its names
 * and with its answers; a tree answers -EROFS to all that change something.
 *
 * A zeroed one is neither, and nothing but mounted_is may be asked of it.
 */
#ifndef SCONE_SHIELD_FS_MOUNTED_H
#define SCONE_SHIELD_FS_MOUNTED_H

#include <errno.h>
#include "shield/fs/sealed_fs.h"
#include "shield/fs/volume.h"

struct mounted {
	struct volume *volume;
	struct sealed_fs *tree;
};

static inline bool mounted_is(const struct mounted *m)
{
	return m->volume || m->tree;
}

/* --- reading --- */

static inline bool mounted_is_read_only(const struct mounted *m)
{
	return m->tree || volume_is_read_only(m->volume);
}
static inline void mounted_statfs_get(const struct mounted *m, struct volume_statfs *ret)
{
	if (m->tree)
		sealed_fs_statfs(m->tree, ret);
	else
		volume_statfs_get(m->volume, ret);
}
MUST_USE static inline int mounted_lookup(const struct mounted *m, uint64_t dir, const char *name, size_t n,
	unsigned int flags, struct volume_attr *ret)
{
	return m->tree ? sealed_fs_lookup(m->tree, dir, name, n, ret)
		       : volume_lookup(m->volume, dir, name, n, flags, ret);
}
MUST_USE static inline int mounted_parent(const struct mounted *m, uint64_t dir, uint64_t *ret)
{
	return m->tree ? sealed_fs_parent(m->tree, dir, ret) : volume_parent(m->volume, dir, ret);
}
MUST_USE static inline int mounted_getattr(const struct mounted *m, uint64_t ino, struct volume_attr *ret)
{
	return m->tree ? sealed_fs_getattr(m->tree, ino, ret) : volume_getattr(m->volume, ino, ret);
}
MUST_USE static inline long mounted_readlink(const struct mounted *m, uint64_t ino, char *p, size_t n)
{
	return m->tree ? sealed_fs_readlink(m->tree, ino, p, n) : volume_readlink(m->volume, ino, p, n);
}
MUST_USE static inline long mounted_readdir(
	const struct mounted *m, uint64_t dir, uint64_t cookie, struct volume_dirent *e, size_t n)
{
	return m->tree ? sealed_fs_readdir(m->tree, dir, cookie, e, n)
		       : volume_readdir(m->volume, dir, cookie, e, n);
}
/* A regular file is opened: 0, or what keeps its content from being had. */
MUST_USE static inline int mounted_opened(const struct mounted *m, uint64_t ino)
{
	return m->tree ? sealed_fs_opened(m->tree, ino) : 0;
}
MUST_USE static inline long mounted_read(
	const struct mounted *m, uint64_t ino, uint64_t off, void *p, size_t n)
{
	return m->tree ? sealed_fs_read(m->tree, ino, off, p, n) : volume_read(m->volume, ino, off, p, n);
}
MUST_USE static inline int mounted_seek_data(
	const struct mounted *m, uint64_t ino, uint64_t off, uint64_t *ret)
{
	return m->tree ? sealed_fs_seek(m->tree, ino, off, false, ret)
		       : volume_seek_data(m->volume, ino, off, ret);
}
MUST_USE static inline int mounted_seek_hole(
	const struct mounted *m, uint64_t ino, uint64_t off, uint64_t *ret)
{
	return m->tree ? sealed_fs_seek(m->tree, ino, off, true, ret)
		       : volume_seek_hole(m->volume, ino, off, ret);
}
MUST_USE static inline long mounted_xattr_get(
	const struct mounted *m, uint64_t ino, const char *name, size_t name_n, void *value, size_t n)
{
	return m->tree ? -ENODATA : volume_xattr_get(m->volume, ino, name, name_n, value, n);
}
MUST_USE static inline long mounted_xattr_list(const struct mounted *m, uint64_t ino, char *p, size_t n)
{
	return m->tree ? 0 : volume_xattr_list(m->volume, ino, p, n);
}

/* --- holding: what is in a tree is there for good --- */

MUST_USE static inline int mounted_hold(const struct mounted *m, uint64_t ino, uint64_t gen)
{
	return m->tree ? sealed_fs_exists(m->tree, ino, gen) : volume_hold(m->volume, ino, gen);
}
MUST_USE static inline int mounted_holds(const struct mounted *m, uint64_t ino, uint32_t *ret)
{
	if (!m->tree)
		return volume_holds(m->volume, ino, ret);
	*ret = 0;
	return 0;
}
MUST_USE static inline int mounted_release_only(const struct mounted *m, uint64_t ino, uint32_t n)
{
	return m->tree ? 0 : volume_release_only(m->volume, ino, n);
}
MUST_USE static inline int mounted_reap(const struct mounted *m, uint64_t ino)
{
	return m->tree ? 0 : volume_reap(m->volume, ino);
}

/* --- changing --- */

MUST_USE static inline int mounted_make(const struct mounted *m, uint64_t dir, const char *name, size_t n,
	const struct volume_new *what, unsigned int flags, struct volume_attr *ret)
{
	return m->tree ? -EROFS : volume_make(m->volume, dir, name, n, what, flags, ret);
}
MUST_USE static inline int mounted_make_unnamed(
	const struct mounted *m, const struct volume_new *what, struct volume_attr *ret)
{
	return m->tree ? -EROFS : volume_make_unnamed(m->volume, what, ret);
}
MUST_USE static inline int mounted_link(
	const struct mounted *m, uint64_t ino, uint64_t dir, const char *name, size_t n)
{
	return m->tree ? -EROFS : volume_link(m->volume, ino, dir, name, n);
}
MUST_USE static inline int mounted_unlink(const struct mounted *m, uint64_t dir, const char *name, size_t n)
{
	return m->tree ? -EROFS : volume_unlink(m->volume, dir, name, n);
}
MUST_USE static inline int mounted_rmdir(const struct mounted *m, uint64_t dir, const char *name, size_t n)
{
	return m->tree ? -EROFS : volume_rmdir(m->volume, dir, name, n);
}
MUST_USE static inline int mounted_rename(const struct mounted *m, uint64_t from_dir, const char *from,
	size_t from_n, uint64_t to_dir, const char *to, size_t to_n, unsigned int flags)
{
	return m->tree ? -EROFS : volume_rename(m->volume, from_dir, from, from_n, to_dir, to, to_n, flags);
}
MUST_USE static inline int mounted_setattr(
	const struct mounted *m, uint64_t ino, unsigned int what, const struct volume_attr *a)
{
	return m->tree ? -EROFS : volume_setattr(m->volume, ino, what, a);
}
MUST_USE static inline long mounted_write(const struct mounted *m, uint64_t ino, uint64_t off, const void *p,
	size_t n, unsigned int flags, uint64_t *ret_off)
{
	return m->tree ? -EROFS : volume_write(m->volume, ino, off, p, n, flags, ret_off);
}
MUST_USE static inline int mounted_truncate(const struct mounted *m, uint64_t ino, uint64_t size)
{
	return m->tree ? -EROFS : volume_truncate(m->volume, ino, size);
}
MUST_USE static inline int mounted_fallocate(
	const struct mounted *m, uint64_t ino, uint64_t off, uint64_t n, unsigned int flags)
{
	return m->tree ? -EROFS : volume_fallocate(m->volume, ino, off, n, flags);
}
MUST_USE static inline int mounted_xattr_set(const struct mounted *m, uint64_t ino, const char *name,
	size_t name_n, const void *value, size_t n, unsigned int flags)
{
	return m->tree ? -EROFS : volume_xattr_set(m->volume, ino, name, name_n, value, n, flags);
}
MUST_USE static inline int mounted_xattr_remove(
	const struct mounted *m, uint64_t ino, const char *name, size_t name_n)
{
	return m->tree ? -EROFS : volume_xattr_remove(m->volume, ino, name, name_n);
}

/* --- durability --- */

MUST_USE static inline int mounted_fsync(const struct mounted *m, uint64_t ino, bool data_only)
{
	return m->tree ? 0 : volume_fsync(m->volume, ino, data_only);
}
MUST_USE static inline int mounted_commit(const struct mounted *m)
{
	return m->tree ? 0 : volume_commit(m->volume);
}
MUST_USE static inline int mounted_tick(const struct mounted *m, int64_t max_age)
{
	return m->tree ? 0 : volume_tick(m->volume, max_age);
}

/* --- life --- */

static inline void mounted_forked(const struct mounted *m)
{
	if (m->volume)
		volume_forked(m->volume);
}
MUST_USE static inline int mounted_close(struct mounted *m)
{
	struct mounted was = *m;

	*m = (struct mounted){0};
	sealed_fs_free(was.tree);
	return was.volume ? volume_close(was.volume) : 0;
}
static inline void mounted_detach(struct mounted *m)
{
	if (m->volume)
		volume_detach(m->volume);
	sealed_fs_free(m->tree);
	*m = (struct mounted){0};
}

#endif
