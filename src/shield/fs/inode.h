/*
 * inode: entries of the inode table. Functions for bodies of operations (op.h).
 */
#ifndef SCONE_SHIELD_FS_INODE_H
#define SCONE_SHIELD_FS_INODE_H

#include "shield/fs/tree.h"

/* The inode, to be read; in the arena. -ENOENT: there is none, or it is not a file of POSIX' kinds. */
MUST_USE int inode_get(struct op *op, uint64_t ino, struct format_inode **ret);
/* One that is a regular file: else -EISDIR, -EINVAL. */
MUST_USE int inode_get_file(struct op *op, uint64_t ino, struct format_inode **ret);
/* One that is a directory: else -ENOTDIR. */
MUST_USE int inode_get_dir(struct op *op, uint64_t ino, struct format_inode **ret);
/* The inode, saved and marked as changed, all but its tree. quiet: not to be logged. Raises change unless quiet. */
MUST_USE int inode_edit(struct op *op, uint64_t ino, bool quiet, struct format_inode **ret);
/* Counters of the volume. */
MUST_USE int inode_record(struct op *op, struct format_record **ret, bool edit);

/* A new inode: times now, gen one more than the number's last, nlink 0. */
MUST_USE int inode_new(struct op *op, uint32_t mode, uint32_t uid, uint32_t gid, uint64_t *ret_ino,
	struct format_inode **ret);
/* Its tree is empty: back to the free ones. */
MUST_USE int inode_free(struct op *op, uint64_t ino);

/* In or out of the list of orphans: inodes to look after at open. */
MUST_USE int inode_orphan(struct op *op, uint64_t ino, bool in);
uint32_t inode_holds(const struct state *s, uint64_t ino);

/* Part of an inode whose last link and hold are gone, or of a file that has become shorter: drop blocks within the budget; *ret_done: nothing is left
 * to do and it is no orphan any more. */
MUST_USE int inode_reap(struct op *op, uint64_t ino, bool *ret_done);
/* The same, to the end, as operations of its own. */
MUST_USE int inode_reap_all(struct volume *v, uint64_t ino, bool service);
/* All orphans that nobody holds. */
MUST_USE int inode_reap_orphans(struct volume *v, uint64_t *ret_count);

/* Content of inodes that are not regular files, logged as metadata. */
MUST_USE int inode_meta_write(struct op *op, uint64_t ino, uint64_t off, const void *p, size_t n);
MUST_USE int inode_meta_read(struct op *op, uint64_t ino, uint64_t off, void *p, size_t n);
/* Let the log say that count blocks from first on become holes; with an offset, that the first stays and has zeros from there on. */
MUST_USE int inode_log_drop(struct op *op, uint64_t ino, uint64_t first, unsigned int offset, uint64_t count);

int64_t op_now(struct op *op);
void inode_attr(uint64_t ino, const struct format_inode *i, struct volume_attr *ret);

#endif
