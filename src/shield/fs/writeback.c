#include "shield/fs/writeback.h"

#include <errno.h>
#include <stdlib.h>
#include "shield/fs/space.h"
#include "shield/fs/tree.h"

#define BATCH (BUFFER_SIZE / FORMAT_BLOCK)

struct item {
	uint64_t ino, index, loc;
	uint32_t frame, version;
	uint8_t level;
	bool sealed;
	struct format_ptr ptr;
};

struct batch {
	struct volume *v;
	struct item item[BATCH];
	unsigned int count;
	bool held, log, passing;
	uint8_t *out; /* count blocks, sealed */
};

static int by_place(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static bool wanted(const struct state *s, const struct live *l, const struct writeback_what *what, bool log)
{
	if ((l->ino == 0) != what->table || (what->ino && l->ino != what->ino))
		return false;
	/* the one block of a small file is pointed to by the inode, where no log can say so */
	return !log || what->level > 0 || l->dirty_head != l->dirty_tail ||
	       s->frames[l->dirty_head].index != 0;
}

static void collect(struct batch *b, const struct writeback_what *what, unsigned int max)
{
	struct state *s = b->v->s;
	bool sorted = true;

	for (uint32_t i = s->lists[what->list]; i != NONE && b->count < max; i = s->lives[i].next) {
		const struct live *l = &s->lives[i];
		uint32_t f = what->level > 0 ? l->nodes_head : l->dirty_head;

		if (f == NONE || !wanted(s, l, what, b->log))
			continue;
		for (; f != NONE && b->count < max; f = s->frames[f].dirty_next) {
			struct item *it = &b->item[b->count];

			if (s->frames[f].level != what->level ||
				(what->below && s->frames[f].index >= what->below))
				continue;
			*it = (struct item){.ino = l->ino,
				.index = s->frames[f].index,
				.level = s->frames[f].level,
				.frame = f,
				.version = s->frames[f].version};
			if (b->count > 0 && by_place(it - 1, it) > 0)
				sorted = false;
			b->count++;
		}
	}
	if (!sorted)
		qsort(b->item, b->count, sizeof(b->item[0]), by_place);
}

/* Places for all, or for fewer if the free ones are scattered. */
static int allocate(struct batch *b)
{
	struct state *s = b->v->s;
	unsigned int done = 0;
	int r = 0;

	while (done < b->count && s->inflight_count < INFLIGHT_MAX) {
		uint64_t start, n;

		r = space_alloc(s, b->count - done, &start, &n);
		if (r < 0)
			break;
		tx_save(s, &s->inflight[s->inflight_count], sizeof(struct extent));
		s->inflight[s->inflight_count] = (struct extent){.start = start, .count = n};
		tx_set32(s, &s->inflight_count, s->inflight_count + 1);
		for (uint64_t i = 0; i < n; i++)
			b->item[done++].loc = start + i;
	}
	b->count = done;
	return done > 0 ? 0 : r;
}

static int choose(struct batch *b, const struct writeback_what *what, unsigned int max)
{
	struct state *s = b->v->s;
	int r = 0;

	if (!b->held)
		state_lock(b->v, VOLUME_EXCLUSIVE);
	collect(b, what, max);
	if (b->count > 0)
		r = allocate(b);
	if (r == 0) {
		/* 2^32 blocks under one key are far below what GCM bears; docs/volume-format.md has the figures */
		tx_set64(s, &s->epoch_blocks, s->epoch_blocks + b->count);
		if (s->epoch_blocks >> 32) {
			tx_save(s, s->salt, sizeof(s->salt));
			r = b->v->env.random(b->v->env.ctx, s->salt, sizeof(s->salt));
			s->epoch_blocks = 0;
		}
	}
	if (r < 0)
		tx_rollback(s);
	else
		tx_commit(s);
	if (!b->held)
		state_unlock(b->v, VOLUME_EXCLUSIVE);
	return r;
}

static bool still(const struct state *s, const struct item *it)
{
	const struct frame *f = &s->frames[it->frame];

	return (f->state & FRAME_DIRTY) && f->version == it->version && f->ino == it->ino &&
	       f->index == it->index && f->level == it->level;
}

static int seal(struct batch *b)
{
	struct volume *v = b->v;
	struct state *s = v->s;
	struct cipher_set *c = cipher_take(v);
	int r = c ? 0 : -ENOMEM;

	if (!b->held)
		state_lock(v, VOLUME_SHARED);
	for (unsigned int i = 0; i < b->count && r == 0; i++) {
		struct item *it = &b->item[i];
		uint8_t *out = b->out + (size_t)i * FORMAT_BLOCK;

		it->sealed = still(s, it);
		if (it->sealed)
			r = block_seal(
				v, c, it->loc, s->gen + 1, s->salt, cache_block(s, it->frame), out, &it->ptr);
		else
			memset(out, 0, FORMAT_BLOCK);
	}
	if (!b->held)
		state_unlock(v, VOLUME_SHARED);
	if (c)
		cipher_give(v, c);
	return r;
}

static int put_out(struct batch *b)
{
	int r = 0;

	for (unsigned int i = 0, n; i < b->count && r == 0; i += n) {
		for (n = 1; i + n < b->count && b->item[i + n].loc == b->item[i].loc + n; n++)
			;
		r = device_write(b->v, b->item[i].loc, b->out + (size_t)i * FORMAT_BLOCK, n);
	}
	return r;
}

/* Read the nodes that the pointers go to, so that installing does not have to start over for each. */
static int fetch_parents(struct batch *b)
{
	struct op op;
	unsigned int i = 0;
	long r;

	op_start(&op, b->v, b->held ? VOLUME_EXCLUSIVE : VOLUME_SHARED, 16);
	op.held = b->held;
	op.flow = true;
	op.service = true;
	do {
		r = op_enter(&op);
		for (; i < b->count && r == 0; i++) {
			struct format_tree *t;
			struct format_ptr p;

			r = tree_root(&op, b->item[i].ino, &t);
			if (r == 0)
				r = tree_ptr(&op, b->item[i].ino, t, b->item[i].level, b->item[i].index, &p);
			if (r == -ENOENT)
				r = 0; /* gone meanwhile */
			if (r < 0)
				break;
		}
	} while (op_again(&op, &r));
	return (int)r;
}

static int install_body(struct op *op, struct batch *b)
{
	struct state *s = op->s;
	int r = 0;

	for (unsigned int i = 0; i < b->count && r == 0; i++) {
		struct item *it = &b->item[i];

		if (it->sealed && still(s, it)) {
			r = tree_install(op, it->ino, it->level, it->index, &it->ptr, b->log);
			if (r == 0 && b->passing)
				cache_drop(s, it->frame);
			else if (r == 0)
				cache_clean(s, it->frame);
		} else {
			space_free(s, it->loc);
		}
	}
	if (r == 0)
		tx_set32(s, &s->inflight_count, 0);
	return r;
}

static int install(struct batch *b)
{
	struct op op;
	long r;

	op_start(&op, b->v, VOLUME_EXCLUSIVE, 24);
	op.held = b->held;
	op.flow = true;
	op.service = true;
	do {
		r = op_enter(&op);
		if (r == 0)
			r = install_body(&op, b);
	} while (op_again(&op, &r));
	return (int)r;
}

int writeback_some(struct volume *v, const struct writeback_what *what, unsigned int max, bool held, bool log)
{
	struct batch *b = handle_alloc(v, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->v = v;
	b->count = 0;
	b->held = held;
	b->log = log;
	b->passing = what->passing;
	b->out = NULL;
	r = choose(b, what, max < BATCH ? max : BATCH);
	if (r == 0 && b->count > 0) {
		b->out = buffer_take(v);
		r = b->out ? seal(b) : -ENOMEM;
		if (r == 0)
			r = put_out(b);
		if (r == 0)
			r = fetch_parents(b);
		if (r == 0)
			r = install(b);
		/* Blocks on their way stay marked as such: nothing may be written on top of a state that is not known. */
		if (r < 0)
			v->s->failed = r;
	}
	if (r == 0)
		r = (int)b->count;
	if (b->out)
		buffer_give(v, b->out);
	handle_dealloc(v, b, sizeof(*b));
	return r;
}
