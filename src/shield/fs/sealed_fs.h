/*
 * sealed_fs: a sealed tree (sealed_tree.h) as a read-only mount of the vfs (vfs.h). No I/O of its own.
 *
 * Names and attributes are the manifest's. Content is asked of the host leaf by leaf when it is first needed, compared with the manifest, and what
 * was verified is kept in the content object: memory that the host cannot change, one for all processes. So each leaf is read and verified once
 * an application, and nobody sees a byte that was not.
 *
 * What the processes share lies in memory that all have at the same address (sealed_fs_make lays it out once). Inode numbers are VOLUME_ROOT plus
 * the entry's id; their generation is 1. All functions may be called by any thread of any process at any time; there are no locks.
 *
 * Errors: -errno. -EIO: the host has not what was sealed; the fault callback has been told what it has. -ENOENT, -ESTALE: no such inode.
 */
#ifndef SCONE_SHIELD_FS_SEALED_FS_H
#define SCONE_SHIELD_FS_SEALED_FS_H

#include "shield/fs/sealed_tree.h"
#include "shield/fs/volume.h"

struct sealed_fs_env {
	void *ctx; /* given to every callback */
	/* n bytes at off of the host's regular file at path (below the tree's directory, without a slash in front): the number read, fewer only at
	 * the end of the file, or -errno. */
	long (*host_read)(void *ctx, const char *path, uint64_t off, void *p, size_t n);
	/* Bytes of the content object, a sparse memfd that all processes have. 0 or -errno. */
	int (*content_read)(void *ctx, uint64_t off, void *p, size_t n);
	int (*content_write)(void *ctx, uint64_t off, const void *p, size_t n);
	/* A sentence about content that was refused: path, where, digests seen and wanted. */
	void (*fault)(void *ctx, const char *text);
};

struct sealed_fs; /* process-local handle; the memory of a fork child holds a good copy */

/* Bytes of shared memory, and of the content object, that a tree takes. manifest_n: bytes of its manifest. Multiples of 4096. */
size_t sealed_fs_size(const struct sealed_tree *t, size_t manifest_n);
uint64_t sealed_fs_content(const struct sealed_tree *t);
/* Lay the tree out in mem: sealed_fs_size bytes, zeros, page aligned. Its content lies in the content object from content on, page aligned. t and
 * manifest are not needed afterwards. */
void sealed_fs_make(
	void *mem, const struct sealed_tree *t, const void *manifest, size_t manifest_n, uint64_t content);
/* This process' handle of a tree that was laid out at mem. -ENOMEM, -EINVAL: there is none. */
MUST_USE int sealed_fs_open(const struct sealed_fs_env *env, void *mem, struct sealed_fs **ret);
void sealed_fs_free(struct sealed_fs *s); /* NULL is fine */

MUST_USE int sealed_fs_exists(const struct sealed_fs *s, uint64_t ino, uint64_t gen); /* gen 0: any */
MUST_USE int sealed_fs_getattr(const struct sealed_fs *s, uint64_t ino, struct volume_attr *ret);
MUST_USE int sealed_fs_lookup(
	const struct sealed_fs *s, uint64_t dir, const char *name, size_t n, struct volume_attr *ret);
MUST_USE int sealed_fs_parent(const struct sealed_fs *s, uint64_t dir, uint64_t *ret);
MUST_USE long sealed_fs_readlink(const struct sealed_fs *s, uint64_t ino, char *p, size_t n);
MUST_USE long sealed_fs_readdir(
	const struct sealed_fs *s, uint64_t dir, uint64_t cookie, struct volume_dirent *e, size_t n);
void sealed_fs_statfs(const struct sealed_fs *s, struct volume_statfs *ret);

/* The file is opened: its first leaf is verified, so that what the host has not, or not as it was sealed, fails here. */
MUST_USE int sealed_fs_opened(const struct sealed_fs *s, uint64_t ino);
/* As volume_read. */
MUST_USE long sealed_fs_read(const struct sealed_fs *s, uint64_t ino, uint64_t off, void *p, size_t n);
/* Verify bytes off to off + n, as far as the file goes. *ret_at: where byte 0 of the file lies in the content object, page aligned; the bytes verified
 * are there, and zeros between the end of the file and the end of its last page. */
MUST_USE int sealed_fs_verify(
	const struct sealed_fs *s, uint64_t ino, uint64_t off, uint64_t n, uint64_t *ret_at);
/* Next data or hole; a sealed file has no hole but its end. -ENXIO. */
MUST_USE int sealed_fs_seek(const struct sealed_fs *s, uint64_t ino, uint64_t off, bool hole, uint64_t *ret);

#endif
