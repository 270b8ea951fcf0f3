/*
 * space: which blocks of the device are in use. The bitmaps in the arena are what counts; their committed form is the space map.
 *
 * A block that is freed can be given out again only after the next commit is durable, so what the newest superblock refers to is whole at any
 * moment, and no block is written twice in one generation. State lock held exclusively for all.
 */
#ifndef SCONE_SHIELD_FS_SPACE_H
#define SCONE_SHIELD_FS_SPACE_H

#include "shield/fs/handle.h"

/* All blocks free but the first `reserved`. */
void space_init(struct state *s, uint64_t total, uint64_t reserved);
/* From 1 to want blocks in a row: the first; *ret_n how many. -ENOSPC. */
MUST_USE int space_alloc(struct state *s, uint64_t want, uint64_t *ret_start, uint64_t *ret_n);
void space_free(struct state *s, uint64_t block);
/* Is it in use and not freed? */
bool space_used(const struct state *s, uint64_t block);
/* Mark a block as used that a replayed log refers to. -EBADMSG: in use already. */
MUST_USE int space_take(struct state *s, uint64_t block);
/* Blocks that may be promised to new changes, after what the changes so far and the reserve may take. */
uint64_t space_available(const struct state *s, bool with_reserve);
/* Could some be had by a commit? */
bool space_pending(const struct state *s);

/* Commit. Give every changed block of the map a new place; nothing may be allocated after. */
MUST_USE int space_map_assign(struct volume *v);
/* Write the map in its places; *ret: its tree. */
MUST_USE int space_map_write(struct volume *v, struct cipher_set *c, struct format_tree *ret);
/* The map as written is part of a superblock that is on its way: what is freed from now on waits for the next. */
void space_map_snap(struct state *s);
/* That superblock is durable. Not a transaction: may be repeated. */
void space_release(struct volume *v);
/* That superblock may not have been written: all waits for the next. May be repeated. */
void space_unsnap(struct state *s);

/* Tell the device what is free in one group of blocks, if that is new. May take the device long: the flow lock is held, by which nothing is given
 * out meanwhile, and not the state lock. May be repeated. */
void space_discard(struct volume *v, uint64_t group);

/* Read the map of a superblock. */
MUST_USE int space_map_read(
	struct volume *v, struct cipher_set *c, const struct format_tree *t, uint64_t total);
/* Change the number of blocks; the caller has checked that those beyond are free. */
void space_resize(struct state *s, uint64_t total);

#endif
