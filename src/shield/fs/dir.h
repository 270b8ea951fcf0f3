/*
 * dir: a directory: a B+ tree over (keyed hash of the name, number among equal hashes) in the blocks of an inode. Functions for bodies of
 * operations (op.h). The key is also the cookie of readdir: it never changes while the entry exists.
 */
#ifndef SCONE_SHIELD_FS_DIR_H
#define SCONE_SHIELD_FS_DIR_H

#include "shield/fs/inode.h"

/* A new, empty directory: its root block. */
MUST_USE int dir_init(struct op *op, uint64_t dir);
MUST_USE int dir_find(
	struct op *op, uint64_t dir, const char *name, size_t n, uint64_t *ret_ino, uint8_t *ret_type);
/* The name is not there. */
MUST_USE int dir_add(struct op *op, uint64_t dir, const char *name, size_t n, uint64_t ino, uint8_t type);
MUST_USE int dir_remove(struct op *op, uint64_t dir, const char *name, size_t n);
/* Let an existing name mean another inode. */
MUST_USE int dir_set(struct op *op, uint64_t dir, const char *name, size_t n, uint64_t ino, uint8_t type);
/* Entries with keys after `after`: how many. */
MUST_USE int dir_list(struct op *op, uint64_t dir, uint64_t after, struct volume_dirent *e, size_t n);

#define DIR_FIRST_KEY 256 /* keys are at least this: cookies below are free for "." and ".." */

/* For verification: check one block; *ret_count: entries. Faults are reported. */
MUST_USE int dir_check(struct op *op, uint64_t dir, uint64_t block, uint64_t low, uint64_t high,
	unsigned int level, const uint8_t *p);

#endif
