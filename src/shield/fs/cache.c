#include "shield/fs/cache.h"

static inline uint32_t mix(uint64_t a, uint64_t b)
{
	uint64_t h = (a + 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL ^ b * 0xc4ceb9fe1a85ec53ULL;

	h ^= h >> 32;
	h *= 0x9fb21c651e98df25ULL;
	return (uint32_t)(h >> 32);
}

static inline uint32_t frame_bucket(const struct state *s, uint64_t ino, unsigned int level, uint64_t index)
{
	/* neighbours in a file stay neighbours in the table: a run of blocks costs one cache line in sixteen */
	return (mix(ino * 8 + level, index >> 4) + (uint32_t)(index & 15)) & s->bucket_mask;
}

static inline uint32_t live_bucket(const struct state *s, uint64_t ino)
{
	return mix(ino, 0) & s->live_mask;
}

void cache_init(struct state *s)
{
	memset(s->buckets, 0xff, ((size_t)s->bucket_mask + 1) * sizeof(uint32_t));
	memset(s->live_buckets, 0xff, ((size_t)s->live_mask + 1) * sizeof(uint32_t));
	memset(s->frames, 0, (size_t)s->frame_count * sizeof(struct frame));
	memset(s->lives, 0, (size_t)s->live_count * sizeof(struct live));
	for (uint32_t i = 0; i < s->frame_count; i++)
		s->frames[i].hash_next = i + 1 < s->frame_count ? i + 1 : NONE;
	for (uint32_t i = 0; i < s->live_count; i++)
		s->lives[i].hash_next = i + 1 < s->live_count ? i + 1 : NONE;
	s->free_head = 0;
	s->free_count = s->frame_count;
	s->live_free = 0;
	s->unlogged_meta = NONE;
	s->wanted_head = NONE;
	for (unsigned int i = 0; i < LIVE_LISTS; i++)
		s->lists[i] = NONE;
	/* the inode table's own never goes: a commit must not need a new one */
	s->lives[live_get(s, 0, true)].holds = 1;
	tx_commit(s);
}

uint32_t cache_find(const struct state *s, uint64_t ino, unsigned int level, uint64_t index)
{
	uint32_t i = s->buckets[frame_bucket(s, ino, level, index)];

	while (i != NONE) {
		const struct frame *f = &s->frames[i];

		if (f->ino == ino && f->index == index && f->level == level)
			break;
		i = f->hash_next;
	}
	return i;
}

uint32_t cache_claim(struct state *s, uint64_t ino, unsigned int level, uint64_t index)
{
	uint32_t i = s->free_head, *bucket = &s->buckets[frame_bucket(s, ino, level, index)];
	struct frame *f;

	if (i == NONE)
		return NONE;
	f = &s->frames[i];
	tx_save(s, f, sizeof(*f));
	tx_set32(s, &s->free_head, f->hash_next);
	tx_set32(s, &s->free_count, s->free_count - 1);
	*f = (struct frame){.ino = ino,
		.index = index,
		.level = (uint8_t)level,
		.state = FRAME_VALID,
		.used = 1,
		.version = f->version + 1,
		.hash_next = *bucket,
		.dirty_prev = NONE,
		.dirty_next = NONE,
		.unlogged_prev = NONE,
		.unlogged_next = NONE,
		.live = NONE};
	tx_set32(s, bucket, i);
	return i;
}

static void unhash(struct state *s, uint32_t i)
{
	struct frame *f = &s->frames[i];
	uint32_t *at = &s->buckets[frame_bucket(s, f->ino, f->level, f->index)];

	while (*at != i)
		at = &s->frames[*at].hash_next;
	tx_set32(s, at, f->hash_next);
}

static void to_free(struct state *s, uint32_t i)
{
	struct frame *f = &s->frames[i];

	tx_save(s, f, sizeof(*f));
	f->state = 0;
	f->version++;
	f->hash_next = s->free_head;
	tx_set32(s, &s->free_head, i);
	tx_set32(s, &s->free_count, s->free_count + 1);
}

void cache_drop(struct state *s, uint32_t i)
{
	if (s->frames[i].state & FRAME_DIRTY)
		cache_clean(s, i);
	unhash(s, i);
	to_free(s, i);
}

/* Lists of live inodes, by what has to be written of them. */
static enum live_list list_of(const struct live *l)
{
	if (l->dirty_head == NONE && l->nodes_head == NONE)
		return LIVE_CLEAN;
	if (l->meta)
		return LIVE_META;
	return l->dirty_head != NONE ? LIVE_DATA : LIVE_NODES;
}

static void relist(struct state *s, uint32_t i)
{
	struct live *l = &s->lives[i];
	enum live_list to = list_of(l);

	if (to == l->list)
		return;
	tx_save(s, l, sizeof(*l));
	if (l->list != LIVE_CLEAN) {
		if (l->prev != NONE)
			tx_set32(s, &s->lives[l->prev].next, l->next);
		else
			tx_set32(s, &s->lists[l->list], l->next);
		if (l->next != NONE)
			tx_set32(s, &s->lives[l->next].prev, l->prev);
	}
	l->list = (uint8_t)to;
	l->prev = NONE;
	l->next = NONE;
	if (to != LIVE_CLEAN) {
		l->next = s->lists[to];
		if (l->next != NONE)
			tx_set32(s, &s->lives[l->next].prev, i);
		tx_set32(s, &s->lists[to], i);
	}
}

static uint32_t *unlogged_list(struct state *s, const struct frame *f)
{
	return s->lives[f->live].meta ? &s->unlogged_meta : &s->lives[f->live].unlogged_head;
}

/* f itself has been saved. */
static void unlogged_link(struct state *s, uint32_t i)
{
	struct frame *f = &s->frames[i];
	uint32_t *head = unlogged_list(s, f);

	f->state |= FRAME_UNLOGGED;
	f->unlogged_prev = NONE;
	f->unlogged_next = *head;
	if (*head != NONE)
		tx_set32(s, &s->frames[*head].unlogged_prev, i);
	tx_set32(s, head, i);
}

static void unlogged_unlink(struct state *s, struct frame *f)
{
	if (f->unlogged_prev != NONE)
		tx_set32(s, &s->frames[f->unlogged_prev].unlogged_next, f->unlogged_next);
	else
		tx_set32(s, unlogged_list(s, f), f->unlogged_next);
	if (f->unlogged_next != NONE)
		tx_set32(s, &s->frames[f->unlogged_next].unlogged_prev, f->unlogged_prev);
	f->state &= (uint8_t)~FRAME_UNLOGGED;
}

static void count(struct state *s, const struct frame *f, uint32_t by)
{
	uint32_t *n = f->level > 0	       ? &s->dirty_nodes
		      : s->lives[f->live].meta ? &s->dirty_meta
					       : &s->dirty_data;

	tx_set32(s, n, *n + by);
}

static void dirty_link(struct state *s, uint32_t i, uint32_t live)
{
	struct frame *f = &s->frames[i];
	struct live *l = &s->lives[live];

	f->state |= FRAME_DIRTY;
	f->live = live;
	f->dirty_next = NONE;
	f->dirty_prev = NONE;
	tx_save(s, l, sizeof(*l));
	if (f->level > 0) {
		f->dirty_next = l->nodes_head;
		if (l->nodes_head != NONE)
			tx_set32(s, &s->frames[l->nodes_head].dirty_prev, i);
		l->nodes_head = i;
	} else {
		/* oldest first, which for a file written in order is its order */
		f->dirty_prev = l->dirty_tail;
		if (l->dirty_tail != NONE)
			tx_set32(s, &s->frames[l->dirty_tail].dirty_next, i);
		else
			l->dirty_head = i;
		l->dirty_tail = i;
	}
	count(s, f, 1);
	relist(s, live);
}

void cache_dirty(struct state *s, uint32_t i, uint32_t live, unsigned int lo, unsigned int hi)
{
	struct frame *f = &s->frames[i];

	tx_save(s, f, sizeof(*f));
	f->version++;
	if (!s->changed)
		tx_set_bool(s, &s->changed, true);
	if (!(f->state & FRAME_DIRTY))
		dirty_link(s, i, live);
	if (lo > hi)
		return;
	for (unsigned int w = 0; w < 2; w++) {
		unsigned int first = w * 64, last = first + 63, a = lo > first ? lo : first,
			     b = hi < last ? hi : last;

		if (a <= b)
			f->mask[w] |= (b - a == 63 ? ~0ULL : ((1ULL << (b - a + 1)) - 1)) << (a - first);
	}
	if (f->level == 0 && !(f->state & FRAME_UNLOGGED))
		unlogged_link(s, i);
}

void cache_logged(struct state *s, uint32_t i)
{
	struct frame *f = &s->frames[i];

	tx_save(s, f, sizeof(*f));
	f->mask[0] = 0;
	f->mask[1] = 0;
	if (f->state & FRAME_UNLOGGED)
		unlogged_unlink(s, f);
}

void cache_clean(struct state *s, uint32_t i)
{
	struct frame *f = &s->frames[i];
	uint32_t live = f->live;
	struct live *l = &s->lives[live];

	cache_logged(s, i);
	count(s, f, (uint32_t)-1);
	tx_save(s, l, sizeof(*l));
	if (f->dirty_prev != NONE)
		tx_set32(s, &s->frames[f->dirty_prev].dirty_next, f->dirty_next);
	else if (f->level > 0)
		l->nodes_head = f->dirty_next;
	else
		l->dirty_head = f->dirty_next;
	if (f->dirty_next != NONE)
		tx_set32(s, &s->frames[f->dirty_next].dirty_prev, f->dirty_prev);
	else if (f->level == 0)
		l->dirty_tail = f->dirty_prev;
	f->state &= (uint8_t)~FRAME_DIRTY;
	f->live = NONE;
	f->dirty_prev = NONE;
	f->dirty_next = NONE;
	relist(s, live);
	live_put(s, live);
}

bool cache_reserve(struct state *s, uint32_t want)
{
	/* twice around: the first time may only take reference marks away */
	uint64_t left = (uint64_t)s->frame_count * 2;

	while (s->free_count < want && left-- > 0) {
		struct frame *f = &s->frames[s->hand];
		uint32_t i = s->hand;

		s->hand = s->hand + 1 < s->frame_count ? s->hand + 1 : 0;
		if (!(f->state & FRAME_VALID) || (f->state & FRAME_DIRTY))
			continue;
		if (atomic_load_explicit(&f->used, memory_order_relaxed)) {
			atomic_store_explicit(&f->used, 0, memory_order_relaxed);
			continue;
		}
		unhash(s, i);
		to_free(s, i);
		tx_commit(s);
	}
	return s->free_count >= want;
}

uint32_t live_find(const struct state *s, uint64_t ino)
{
	uint32_t i = s->live_buckets[live_bucket(s, ino)];

	while (i != NONE && s->lives[i].ino != ino)
		i = s->lives[i].hash_next;
	return i;
}

uint32_t live_get(struct state *s, uint64_t ino, bool meta)
{
	uint32_t i = live_find(s, ino), *bucket = &s->live_buckets[live_bucket(s, ino)];
	struct live *l;

	if (i != NONE) {
		l = &s->lives[i];
		/* the number was used again, for another type */
		if (l->meta != meta && l->list == LIVE_CLEAN)
			tx_set8(s, &l->meta, meta);
		return i;
	}
	i = s->live_free;
	if (i == NONE)
		return NONE;
	l = &s->lives[i];
	tx_save(s, l, sizeof(*l));
	tx_set32(s, &s->live_free, l->hash_next);
	*l = (struct live){.ino = ino,
		.meta = meta,
		.list = LIVE_CLEAN,
		.hash_next = *bucket,
		.dirty_head = NONE,
		.dirty_tail = NONE,
		.nodes_head = NONE,
		.unlogged_head = NONE,
		.prev = NONE,
		.next = NONE,
		.wanted_next = NONE,
		.read_next = UINT64_MAX};
	tx_set32(s, bucket, i);
	return i;
}

void live_put(struct state *s, uint32_t i)
{
	struct live *l = &s->lives[i];
	uint32_t *at;

	if (l->holds > 0 || l->wanted || l->list != LIVE_CLEAN)
		return;
	at = &s->live_buckets[live_bucket(s, l->ino)];
	while (*at != i)
		at = &s->lives[*at].hash_next;
	tx_set32(s, at, l->hash_next);
	tx_save(s, l, sizeof(*l));
	l->ino = UINT64_MAX;
	l->hash_next = s->live_free;
	tx_set32(s, &s->live_free, i);
}

void live_want(struct state *s, uint32_t i)
{
	struct live *l = &s->lives[i];

	if (l->wanted)
		return;
	tx_save(s, l, sizeof(*l));
	l->wanted = 1;
	l->wanted_next = s->wanted_head;
	tx_set32(s, &s->wanted_head, i);
}
