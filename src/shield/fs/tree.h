/*
 * tree: from inode and block number to the block: a tree of nodes with FORMAT_FANOUT pointers each. Functions for bodies of operations (op.h):
 * they answer 0, OP_MISS, OP_FRAMES, OP_COMMIT or -errno. Inode 0 is the inode table itself.
 */
#ifndef SCONE_SHIELD_FS_TREE_H
#define SCONE_SHIELD_FS_TREE_H

#include "shield/fs/op.h"

#define TREE_HOLE 1

/* The root that an inode has; the pointer is into the arena. */
MUST_USE int tree_root(struct op *op, uint64_t ino, struct format_tree **ret);
/* What the tree points to there, or a hole. May be older than what a frame holds. */
MUST_USE int tree_ptr(struct op *op, uint64_t ino, const struct format_tree *t, unsigned int level,
	uint64_t index, struct format_ptr *ret);
/* Is ptr, as far as frames tell, what the tree points to now? */
bool tree_is(struct op *op, uint64_t ino, unsigned int level, uint64_t index, const struct format_ptr *ptr);

/* The frame with content block index, or TREE_HOLE. ahead: how many blocks to read at once if it has to be read. */
MUST_USE int tree_read(struct op *op, uint64_t ino, uint64_t index, unsigned int ahead, uint32_t *ret);
/* The frame, to be changed: a hole becomes a frame of zeros. whole: all of it is going to be overwritten, so it is not read first. The caller
 * marks it with cache_dirty before any change. live: of the inode. */
MUST_USE int tree_write(struct op *op, uint64_t ino, uint64_t index, bool whole, uint32_t *ret);
/* Live inode for changes of ino. */
MUST_USE int tree_live(struct op *op, uint64_t ino, uint32_t *ret);

/* A block has been written: let the tree point there, and free where it was. log: fsync has to log it. */
MUST_USE int tree_install(struct op *op, uint64_t ino, unsigned int level, uint64_t index,
	const struct format_ptr *ptr, bool log);

/* Make holes of content blocks first to last, from the end, at most budget of them; *ret_done tells whether all are. Progress that was made when
 * something is missing counts: then 0 and not done. */
MUST_USE int tree_drop(
	struct op *op, uint64_t ino, uint64_t first, uint64_t last, unsigned int budget, bool *ret_done);

/* Next block at or after from that is data (or a hole); *ret UINT64_MAX: none. *at is from at first; when something is missing it says how far the
 * search came, and the next round goes on there. */
MUST_USE int tree_seek(struct op *op, uint64_t ino, uint64_t from, uint64_t *at, bool hole, uint64_t *ret);

/* FORMAT_FANOUT to the power of height, capped. */
uint64_t tree_span(unsigned int height);

#endif
