#include "shield/fs/space.h"

#include <errno.h>

#define WORD 64
#define SCAN_WORDS 8192 /* how far to look for a long run before a short one will do */
#define FRONTIER_STEP 4096

static inline bool bit(const uint64_t *map, uint64_t i)
{
	return map[i / WORD] >> (i % WORD) & 1;
}

static void group_touch(struct state *s, uint64_t block)
{
	uint64_t g = block / GROUP_BLOCKS;

	if (!s->map_dirty[0][g])
		tx_set8(s, &s->map_dirty[0][g], 1);
	if (!s->changed)
		tx_set_bool(s, &s->changed, true);
}

void space_init(struct state *s, uint64_t total, uint64_t reserved)
{
	size_t bytes = (size_t)s->max_groups * (GROUP_BLOCKS / 8);

	memset(s->used, 0, bytes);
	memset(s->pending[0], 0, bytes);
	memset(s->pending[1], 0, bytes);
	memset(s->group_pending[0], 0, s->max_groups);
	memset(s->group_pending[1], 0, s->max_groups);
	memset(s->group_freed, 0, s->max_groups);
	for (unsigned int l = 0; l < MAP_LEVELS; l++) {
		memset(s->map[l], 0, state_map_count(s->max_total, l) * sizeof(struct format_ptr));
		memset(s->map_dirty[l], 0, state_map_count(s->max_total, l));
	}
	s->total = total;
	for (uint64_t i = 0; i < reserved; i++)
		s->used[i / WORD] |= 1ULL << (i % WORD);
	s->free_blocks = 0;
	for (uint64_t g = 0; g * GROUP_BLOCKS < total; g++) {
		uint64_t n = total - g * GROUP_BLOCKS;

		if (n > GROUP_BLOCKS)
			n = GROUP_BLOCKS;
		for (uint64_t w = 0; w < GROUP_BLOCKS / WORD; w++)
			n -= (uint64_t)__builtin_popcountll(s->used[g * (GROUP_BLOCKS / WORD) + w]);
		s->group_free[g] = (uint32_t)n;
		s->free_blocks += n;
		s->map_dirty[0][g] = 1;
	}
	s->cursor = 0;
	s->frontier = reserved + FRONTIER_STEP < total ? reserved + FRONTIER_STEP : total;
}

/* First free block in [from, to), or to. */
static uint64_t next_free(const struct state *s, uint64_t from, uint64_t to, uint64_t *budget)
{
	while (from<to && * budget> 0) {
		uint64_t w = ~s->used[from / WORD] >> (from % WORD);

		if (from % GROUP_BLOCKS == 0 && s->group_free[from / GROUP_BLOCKS] == 0) {
			from += GROUP_BLOCKS;
			continue;
		}
		if (w) {
			from += (uint64_t)__builtin_ctzll(w);
			return from < to ? from : to;
		}
		from = (from / WORD + 1) * WORD;
		--*budget;
	}
	return to;
}

static uint64_t run_length(const struct state *s, uint64_t from, uint64_t to)
{
	uint64_t at = from;

	while (at < to) {
		uint64_t w = s->used[at / WORD] >> (at % WORD), n = WORD - at % WORD;

		if (w)
			n = (uint64_t)__builtin_ctzll(w);
		at += n;
		if (w)
			break;
	}
	return (at < to ? at : to) - from;
}

/* Longest run met in [from, to), at most want; stops at the first that is long enough. */
static uint64_t search(const struct state *s, uint64_t from, uint64_t to, uint64_t want, uint64_t *ret_start)
{
	uint64_t best = 0, budget = SCAN_WORDS;

	while (from < to) {
		uint64_t start = next_free(s, from, to, &budget), n;

		if (start >= to)
			break;
		n = run_length(s, start, start + want < to ? start + want : to);
		if (n > best) {
			best = n;
			*ret_start = start;
			if (n >= want)
				break;
		}
		from = start + n;
	}
	return best;
}

static void mark(struct state *s, uint64_t start, uint64_t n)
{
	for (uint64_t i = start; i < start + n;) {
		uint64_t shift = i % WORD, take = WORD - shift, w;

		if (take > start + n - i)
			take = start + n - i;
		w = (take == WORD ? ~0ULL : (1ULL << take) - 1) << shift;
		tx_set64(s, &s->used[i / WORD], s->used[i / WORD] | w);
		tx_set32(s, &s->group_free[i / GROUP_BLOCKS],
			s->group_free[i / GROUP_BLOCKS] - (uint32_t)take);
		group_touch(s, i);
		i += take;
	}
	tx_set64(s, &s->free_blocks, s->free_blocks - n);
}

int space_alloc(struct state *s, uint64_t want, uint64_t *ret_start, uint64_t *ret_n)
{
	uint64_t start = 0, n = 0, other = 0, m;

	if (s->free_blocks == 0)
		return -ENOSPC;
	n = search(s, s->cursor, s->frontier, want, &start);
	if (n < want) {
		m = search(s, 0, s->cursor, want, &other);
		if (m > n) {
			n = m;
			start = other;
		}
	}
	/* Short pieces only: take more of the device instead, so that what is written together lies together. */
	if (n < want && s->frontier < s->total) {
		uint64_t to = s->frontier + want + FRONTIER_STEP;

		if (to > s->total)
			to = s->total;
		m = search(s, s->frontier, to, want, &other);
		if (m > n) {
			n = m;
			start = other;
		}
		tx_set64(s, &s->frontier, to);
	}
	if (n == 0) {
		/* All within the budgets is full: look everywhere. */
		uint64_t budget = UINT64_MAX;

		start = next_free(s, 0, s->total, &budget);
		if (start >= s->total)
			return -ENOSPC;
		n = run_length(s, start, start + want < s->total ? start + want : s->total);
	}
	mark(s, start, n);
	tx_set64(s, &s->cursor, start + n < s->frontier ? start + n : 0);
	*ret_start = start;
	*ret_n = n;
	return 0;
}

void space_free(struct state *s, uint64_t block)
{
	uint64_t *w = &s->pending[s->plane][block / WORD];

	tx_set64(s, w, *w | 1ULL << (block % WORD));
	tx_set64(s, &s->pending_count[s->plane], s->pending_count[s->plane] + 1);
	tx_set8(s, &s->group_pending[s->plane][block / GROUP_BLOCKS], 1);
	group_touch(s, block);
}

bool space_used(const struct state *s, uint64_t block)
{
	return block < s->total && bit(s->used, block) && !bit(s->pending[0], block) &&
	       !bit(s->pending[1], block);
}

int space_take(struct state *s, uint64_t block)
{
	if (block >= s->total || bit(s->used, block))
		return -EBADMSG;
	mark(s, block, 1);
	if (block >= s->frontier)
		tx_set64(s, &s->frontier, block + 1);
	return 0;
}

uint64_t space_available(const struct state *s, bool with_reserve)
{
	uint64_t reserve = s->total / 64 < 4096 ? s->total / 64 + 16 : 4096;
	uint64_t dirty = (uint64_t)s->dirty_data + s->dirty_meta;
	/* Content may need a node of its own for every block; nodes that are changed already need no second one. */
	uint64_t need = 2 * dirty + s->dirty_nodes + 64;

	for (unsigned int p = 0; p < 2; p++)
		need += s->pending_count[p] / GROUP_BLOCKS;
	if (!with_reserve)
		reserve /= 4;
	return s->free_blocks > need + reserve ? s->free_blocks - need - reserve : 0;
}

bool space_pending(const struct state *s)
{
	return s->pending_count[0] + s->pending_count[1] > 0;
}

int space_map_assign(struct volume *v)
{
	struct state *s = v->s;
	unsigned int levels = state_map_levels(s->total);
	bool again = true;
	uint8_t *done[MAP_LEVELS] = {NULL};
	int r = 0;

	for (unsigned int l = 0; l < levels && r == 0; l++) {
		done[l] = handle_alloc(v, state_map_count(s->total, l));
		if (!done[l])
			r = -ENOMEM;
		else
			memset(done[l], 0, state_map_count(s->total, l));
	}
	/* Giving one block a place changes the map, perhaps another block of it. Ends because each gets a place once. */
	while (again && r == 0) {
		again = false;
		for (unsigned int l = 0; l < levels && r == 0; l++) {
			for (uint64_t i = 0; i < state_map_count(s->total, l) && r == 0; i++) {
				struct format_ptr *p = &s->map[l][i];
				uint64_t at, n;

				if (!s->map_dirty[l][i] || done[l][i])
					continue;
				again = true;
				done[l][i] = 1;
				r = space_alloc(s, 1, &at, &n);
				if (r < 0) {
					tx_rollback(s);
					break;
				}
				if (!format_hole(p))
					space_free(s, format_get48(p->loc));
				tx_save(s, p, sizeof(*p));
				memset(p, 0, sizeof(*p));
				format_put48(p->loc, at);
				if (l + 1 < levels)
					tx_set8(s, &s->map_dirty[l + 1][i / FORMAT_FANOUT], 1);
				tx_commit(s);
			}
		}
	}
	for (unsigned int l = 0; l < levels; l++)
		handle_dealloc(v, done[l], state_map_count(s->total, l));
	return r;
}

static void map_block(const struct state *s, uint64_t g, uint8_t out[FORMAT_BLOCK])
{
	for (uint64_t i = 0; i < GROUP_BLOCKS / WORD; i++) {
		uint64_t at = g * (GROUP_BLOCKS / WORD) + i;
		uint64_t w = s->used[at] & ~s->pending[0][at] & ~s->pending[1][at];

		memcpy(out + i * 8, &w, 8);
	}
}

static void map_node(const struct state *s, unsigned int level, uint64_t i, uint8_t out[FORMAT_BLOCK])
{
	struct format_node *n = (struct format_node *)(void *)out;
	uint64_t first = i * FORMAT_FANOUT, count = state_map_count(s->total, level - 1) - first;

	memset(n, 0, sizeof(*n));
	memcpy(n->ptr, &s->map[level - 1][first],
		(count < FORMAT_FANOUT ? count : FORMAT_FANOUT) * sizeof(n->ptr[0]));
	n->owner = NO_NUMBER;
	n->place = (uint64_t)level << 56 | i;
}

int space_map_write(struct volume *v, struct cipher_set *c, struct format_tree *ret)
{
	struct state *s = v->s;
	unsigned int levels = state_map_levels(s->total);
	uint8_t *plain = handle_alloc(v, 2 * FORMAT_BLOCK), *sealed = plain + FORMAT_BLOCK;
	int r = plain ? 0 : -ENOMEM;

	for (unsigned int l = 0; l < levels && r == 0; l++) {
		for (uint64_t i = 0; i < state_map_count(s->total, l) && r == 0; i++) {
			struct format_ptr *p = &s->map[l][i], sealed_ptr;

			if (!s->map_dirty[l][i])
				continue;
			if (l == 0)
				map_block(s, i, plain);
			else
				map_node(s, l, i, plain);
			r = block_seal(
				v, c, format_get48(p->loc), s->gen + 1, s->salt, plain, sealed, &sealed_ptr);
			if (r < 0)
				break;
			r = device_write(v, format_get48(p->loc), sealed, 1);
			if (r < 0)
				break;
			tx_save(s, p, sizeof(*p));
			*p = sealed_ptr;
			tx_commit(s);
		}
	}
	handle_dealloc(v, plain, 2 * FORMAT_BLOCK);
	if (r < 0)
		return r;
	*ret = (struct format_tree){
		.height = levels - 1, .blocks = state_map_count(s->total, 0), .root = s->map[levels - 1][0]};
	return 0;
}

void space_map_snap(struct state *s)
{
	unsigned int levels = state_map_levels(s->total);

	for (unsigned int l = 0; l < levels; l++) {
		uint64_t n = state_map_count(s->total, l);

		tx_save(s, s->map_dirty[l], n);
		memset(s->map_dirty[l], 0, n);
	}
	tx_set32(s, &s->plane, s->plane ^ 1);
}

static void group_release(struct state *s, uint64_t g, uint64_t *pending)
{
	uint64_t in_group = s->total - g * GROUP_BLOCKS, used = 0, at;

	if (in_group > GROUP_BLOCKS)
		in_group = GROUP_BLOCKS;
	for (uint64_t i = 0; i < GROUP_BLOCKS / WORD; i++) {
		at = g * (GROUP_BLOCKS / WORD) + i;
		if (pending[at] == ~0ULL) {
			s->group_freed[g] = 1;
			s->freed = true;
		}
		__atomic_store_n(&s->used[at], s->used[at] & ~pending[at], __ATOMIC_RELEASE);
		__atomic_store_n(&pending[at], 0, __ATOMIC_RELEASE);
		used += (uint64_t)__builtin_popcountll(s->used[at]);
	}
	s->group_free[g] = (uint32_t)(in_group > used ? in_group - used : 0);
}

void space_discard(struct volume *v, uint64_t g)
{
	struct state *s = v->s;
	uint64_t first = g * (GROUP_BLOCKS / WORD), end = first + GROUP_BLOCKS / WORD, run = 0;

	if (!s->group_freed[g])
		return;
	/* what lies ahead of all that was ever given out may be room made in advance */
	if (end > s->frontier / WORD)
		end = s->frontier / WORD;
	for (uint64_t at = first; at < end; at++) {
		if (s->used[at] == 0) {
			run++;
			continue;
		}
		if (run > 0)
			v->env.discard(
				v->env.ctx, (at - run) * WORD * FORMAT_BLOCK, run * WORD * FORMAT_BLOCK);
		run = 0;
	}
	if (run > 0)
		v->env.discard(v->env.ctx, (end - run) * WORD * FORMAT_BLOCK, run * WORD * FORMAT_BLOCK);
	s->group_freed[g] = 0;
}

void space_release(struct volume *v)
{
	struct state *s = v->s;
	unsigned int plane = s->plane ^ 1;
	uint64_t groups = state_map_count(s->total, 0), free_blocks = 0;

	for (uint64_t g = 0; g < groups; g++) {
		if (s->group_pending[plane][g]) {
			group_release(s, g, s->pending[plane]);
			s->group_pending[plane][g] = 0;
		}
		free_blocks += s->group_free[g];
	}
	s->pending_count[plane] = 0;
	s->free_blocks = free_blocks;
}

void space_unsnap(struct state *s)
{
	unsigned int old = s->plane ^ 1;
	uint64_t groups = state_map_count(s->total, 0);

	for (uint64_t g = 0; g < groups; g++) {
		s->map_dirty[0][g] = 1;
		if (!s->group_pending[old][g])
			continue;
		s->group_pending[s->plane][g] = 1;
		for (uint64_t i = 0; i < GROUP_BLOCKS / WORD; i++) {
			uint64_t at = g * (GROUP_BLOCKS / WORD) + i;

			s->pending[s->plane][at] |= s->pending[old][at];
			__atomic_store_n(&s->pending[old][at], 0, __ATOMIC_RELEASE);
		}
		s->group_pending[old][g] = 0;
	}
	s->pending_count[s->plane] += s->pending_count[old];
	s->pending_count[old] = 0;
}

static int map_fetch(
	struct volume *v, struct cipher_set *c, const struct format_ptr *p, uint64_t i, uint8_t *buf)
{
	uint8_t seen[FORMAT_TAG_LEN];
	uint64_t a, b, loc = format_get48(p->loc);
	int r;

	if (loc == 0 || loc >= v->s->total)
		return fault_report(
			v, "space map", "location", NO_NUMBER, NO_NUMBER, i, loc, v->s->total - 1);
	r = device_read(v, loc, buf + FORMAT_BLOCK, 1);
	if (r < 0)
		return r;
	r = block_open(v, c, p, buf + FORMAT_BLOCK, buf, seen);
	if (r != -EBADMSG)
		return r;
	memcpy(&a, seen, 8);
	memcpy(&b, p->tag, 8);
	return fault_report(v, "space map", "tag", loc, NO_NUMBER, i, a, b);
}

int space_map_read(struct volume *v, struct cipher_set *c, const struct format_tree *t, uint64_t total)
{
	struct state *s = v->s;
	unsigned int levels = state_map_levels(total);
	uint8_t *buf;
	int r = 0;

	if (t->height != levels - 1)
		return fault_report(v, "superblock", "height of the space map", NO_NUMBER, NO_NUMBER, 0,
			t->height, levels - 1);
	buf = handle_alloc(v, 2 * FORMAT_BLOCK);
	if (!buf)
		return -ENOMEM;
	space_init(s, total, 0);
	s->map[levels - 1][0] = t->root;
	for (unsigned int l = levels; l-- > 0 && r == 0;) {
		uint64_t n = state_map_count(total, l);

		for (uint64_t i = 0; i < n && r == 0; i++) {
			struct format_node *node = (struct format_node *)(void *)buf;
			uint64_t first = i * FORMAT_FANOUT, below;

			r = map_fetch(v, c, &s->map[l][i], i, buf);
			if (r < 0)
				break;
			s->map_dirty[l][i] = 0;
			if (l == 0) {
				memcpy(s->used + i * (GROUP_BLOCKS / WORD), buf, FORMAT_BLOCK);
				continue;
			}
			below = state_map_count(total, l - 1) - first;
			memcpy(&s->map[l - 1][first], node->ptr,
				(below < FORMAT_FANOUT ? below : FORMAT_FANOUT) * sizeof(node->ptr[0]));
		}
	}
	handle_dealloc(v, buf, 2 * FORMAT_BLOCK);
	if (r == 0)
		space_resize(s, total);
	return r;
}

/* Counts anew; also how the space of a map that was read is counted. */
void space_resize(struct state *s, uint64_t total)
{
	uint64_t groups = state_map_count(total, 0), old_total = s->total, highest = 0;

	s->total = total;
	s->free_blocks = 0;
	for (uint64_t g = 0; g < groups; g++) {
		uint64_t n = total - g * GROUP_BLOCKS, used = 0;

		if (n > GROUP_BLOCKS)
			n = GROUP_BLOCKS;
		for (uint64_t w = 0; w < GROUP_BLOCKS / WORD; w++) {
			uint64_t at = g * (GROUP_BLOCKS / WORD) + w;

			if (s->used[at]) {
				used += (uint64_t)__builtin_popcountll(s->used[at]);
				highest = (at + 1) * WORD;
			}
		}
		s->group_free[g] = (uint32_t)(n > used ? n - used : 0);
		s->free_blocks += s->group_free[g];
	}
	s->frontier = highest + FRONTIER_STEP < total ? highest + FRONTIER_STEP : total;
	if (s->cursor >= total)
		s->cursor = 0;
	if (total == old_total)
		return;
	for (unsigned int l = 0; l < MAP_LEVELS; l++)
		memset(s->map_dirty[l], 1, state_map_count(total, l));
}
