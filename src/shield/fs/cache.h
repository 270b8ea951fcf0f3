/*
 * cache: frames and live inodes. All but cache_find, cache_use and live_find need the state lock exclusively; changes go through tx_save.
 */
#ifndef SCONE_SHIELD_FS_CACHE_H
#define SCONE_SHIELD_FS_CACHE_H

#include "shield/fs/state.h"

void cache_init(struct state *s); /* empty; arena laid out */

static inline uint8_t *cache_block(const struct state *s, uint32_t f)
{
	return s->blocks + (size_t)f * FORMAT_BLOCK;
}

/* The frame of a block, or NONE. */
uint32_t cache_find(const struct state *s, uint64_t ino, unsigned int level, uint64_t index);
static inline void cache_use(struct frame *f)
{
	if (!atomic_load_explicit(&f->used, memory_order_relaxed))
		atomic_store_explicit(&f->used, 1, memory_order_relaxed);
}

/* A frame from the free list for a block that has none, clean; its content is not set. NONE: no free frame. */
uint32_t cache_claim(struct state *s, uint64_t ino, unsigned int level, uint64_t index);
/* Forget a frame and what it holds. */
void cache_drop(struct state *s, uint32_t f);
/* Mark content or node as changed; live: of its inode. lo and hi: first and last cell or slot to be logged, lo > hi: none. */
void cache_dirty(struct state *s, uint32_t f, uint32_t live, unsigned int lo, unsigned int hi);
/* It has been written, or is to be forgotten. */
void cache_clean(struct state *s, uint32_t f);
/* Nothing of it is left to be logged. */
void cache_logged(struct state *s, uint32_t f);
/* Evict clean frames until want are free; answers whether there are. A transaction of its own must not be open. */
bool cache_reserve(struct state *s, uint32_t want);

uint32_t live_find(const struct state *s, uint64_t ino);
/* Found or made; NONE: all are in use. meta: for a new one. */
uint32_t live_get(struct state *s, uint64_t ino, bool meta);
/* Give it up if nothing needs it. */
void live_put(struct state *s, uint32_t l);
void live_want(struct state *s, uint32_t l); /* put in the list of those that fsync waits for */

#endif
