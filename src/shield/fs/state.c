#include "shield/fs/state.h"

#include <errno.h>

/* What was there, then where and how long: read from the end when undone. */
struct undo_tail {
	uint64_t at;
	uint32_t len;
	uint32_t size; /* of the whole entry */
};

void tx_save(struct state *s, const void *p, size_t n)
{
	size_t size = ((n + 7) & ~(size_t)7) + sizeof(struct undo_tail);
	struct undo_tail tail = {.at = (uint64_t)(uintptr_t)p, .len = (uint32_t)n, .size = (uint32_t)size};
	uint32_t len = s->undo_len;

	if (size > UNDO_MAX - len) {
		/* Operations are cut so that this cannot be; if it is, what is in memory must never be written. */
		s->failed = -EIO;
		return;
	}
	memcpy(s->undo + len, p, n);
	memcpy(s->undo + len + size - sizeof(tail), &tail, sizeof(tail));
	/* Stores of one processor are seen in order by the others, so only the compiler has to be kept from reordering. */
	__atomic_store_n(&s->undo_len, len + (uint32_t)size, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

void tx_commit(struct state *s)
{
	__atomic_store_n(&s->undo_len, 0, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

void tx_rollback(struct state *s)
{
	struct undo_tail tail;

	while (s->undo_len > 0) {
		memcpy(&tail, s->undo + s->undo_len - sizeof(tail), sizeof(tail));
		memcpy((void *)(uintptr_t)tail.at, s->undo + s->undo_len - tail.size, tail.len);
		__atomic_store_n(&s->undo_len, s->undo_len - tail.size, __ATOMIC_RELEASE);
		atomic_signal_fence(memory_order_seq_cst);
	}
}

unsigned int state_map_levels(uint64_t blocks)
{
	unsigned int levels = 1;

	while (state_map_count(blocks, levels - 1) > 1)
		levels++;
	return levels;
}

uint64_t state_map_count(uint64_t blocks, unsigned int level)
{
	uint64_t n = (blocks + GROUP_BLOCKS - 1) / GROUP_BLOCKS;

	for (unsigned int i = 0; i < level; i++)
		n = (n + FORMAT_FANOUT - 1) / FORMAT_FANOUT;
	return n;
}

static uint32_t power_of_two(uint64_t n)
{
	uint32_t p = 1;

	while (p < n && p < (1u << 31))
		p <<= 1;
	return p;
}

struct cutter {
	uint8_t *base; /* NULL: only count */
	size_t used;
};

static void *cut(struct cutter *c, size_t n, size_t align)
{
	c->used = (c->used + align - 1) & ~(align - 1);
	c->used += n;
	return c->base ? c->base + c->used - n : NULL;
}

size_t state_layout(const struct volume_limits *l, void *arena)
{
	struct cutter c = {.base = arena};
	uint64_t blocks = l->max_size / FORMAT_BLOCK;
	uint32_t frames =
		(uint32_t)((l->cache < VOLUME_CACHE_MIN ? VOLUME_CACHE_MIN : l->cache) / FORMAT_BLOCK);
	uint32_t lives = l->open_inodes ? l->open_inodes : 65536;
	uint32_t groups = (uint32_t)state_map_count(blocks, 0);
	size_t bits = (size_t)groups * (GROUP_BLOCKS / 8);
	struct state scratch, *s;

	if (lives < 64)
		lives = 64;
	cut(&c, sizeof(struct state), FORMAT_BLOCK);
	if (!arena) {
		/* only pointers and counts are set below, none of them beyond these */
		s = &scratch;
	} else {
		s = arena;
		memset(s, 0, sizeof(*s));
	}
	s->frame_count = frames;
	s->bucket_mask = power_of_two(frames) - 1;
	s->live_count = lives;
	s->live_mask = power_of_two(lives) - 1;
	s->max_total = blocks;
	s->max_groups = groups;
	s->undo = cut(&c, UNDO_MAX, FORMAT_BLOCK);
	s->frames = cut(&c, (size_t)frames * sizeof(struct frame), 64);
	s->buckets = cut(&c, ((size_t)s->bucket_mask + 1) * sizeof(uint32_t), 64);
	s->lives = cut(&c, (size_t)lives * sizeof(struct live), 64);
	s->live_buckets = cut(&c, ((size_t)s->live_mask + 1) * sizeof(uint32_t), 64);
	s->used = cut(&c, bits, FORMAT_BLOCK);
	s->pending[0] = cut(&c, bits, FORMAT_BLOCK);
	s->pending[1] = cut(&c, bits, FORMAT_BLOCK);
	s->group_free = cut(&c, groups * sizeof(uint32_t), 64);
	s->group_pending[0] = cut(&c, groups, 64);
	s->group_pending[1] = cut(&c, groups, 64);
	s->group_freed = cut(&c, groups, 64);
	for (unsigned int i = 0; i < MAP_LEVELS; i++) {
		uint64_t n = state_map_count(blocks, i);

		s->map[i] = cut(&c, n * sizeof(struct format_ptr), 64);
		s->map_dirty[i] = cut(&c, n, 64);
	}
	s->blocks = cut(&c, (size_t)frames * FORMAT_BLOCK, FORMAT_BLOCK);
	return (c.used + FORMAT_BLOCK - 1) & ~(size_t)(FORMAT_BLOCK - 1);
}
