#include "shield/fs/op.h"

#include <errno.h>
#include "shield/fs/commit.h"
#include "shield/fs/space.h"
#include "shield/fs/tree.h"

#define ROOMS_MAX 6
#define ROUNDS_MAX 4096

void op_start(struct op *op, struct volume *v, enum volume_lock_mode mode, uint32_t frames)
{
	/* the pointers of miss are not initialised: they are many, and n says which count */
	memset(op, 0, offsetof(struct op, miss));
	op->miss.n = 0;
	op->v = v;
	op->s = v->s;
	op->mode = mode;
	op->frames = frames;
}

/* Too much that is changed and not written leaves no frames for reading, and makes commits long. */
static bool crowded(const struct state *s)
{
	return s->dirty_data > s->frame_count / 2 || s->dirty_meta + s->dirty_nodes > s->frame_count / 4;
}

int op_enter(struct op *op)
{
	struct state *s = op->s;
	int r;

	if (op->held) {
		op->entered = cache_reserve(s, op->frames);
		return op->entered ? 0 : -ENOMEM;
	}
	for (;;) {
		state_lock(op->v, op->mode);
		op->entered = true;
		if (op->mode == VOLUME_SHARED)
			return 0;
		if (!op->service && (s->failed || s->read_only)) {
			state_unlock(op->v, op->mode);
			op->entered = false;
			return -EROFS;
		}
		if ((op->flow || !crowded(s) || s->read_only || s->failed) && cache_reserve(s, op->frames))
			return 0;
		op->entered = false;
		state_unlock(op->v, op->mode);
		if (op->flow || s->read_only || ++op->rooms > ROOMS_MAX)
			return -ENOMEM;
		r = commit_make_room(op->v, op->frames);
		if (r < 0)
			return r;
	}
}

int op_room(struct op *op, uint64_t n, bool remove)
{
	if (op->service || space_available(op->s, !remove) >= 2 * n)
		return 0;
	return op->commits < 2 && (space_pending(op->s) || op->s->dirty_data + op->s->dirty_meta > 0)
		       ? OP_COMMIT
		       : -ENOSPC;
}

static const char *structure_of(uint64_t ino, unsigned int level)
{
	if (level > 0)
		return "tree node";
	return ino == 0 ? "inode table" : "content block";
}

/* Read what is missing into buf and open it there. Answers how many blocks, the first at least, are good. */
static int fetch(struct op *op, uint8_t *buf, bool last_try)
{
	struct op_miss *m = &op->miss;
	struct volume *v = op->v;
	struct cipher_set *c = cipher_take(v);
	unsigned int good = 0;
	uint8_t seen[FORMAT_TAG_LEN];
	uint64_t a, b;
	int r = c ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < m->n && r == 0;) {
		uint64_t loc = format_get48(m->ptr[i].loc);
		unsigned int run = 1;

		if (loc >= op->s->total) {
			r = fault_report(v, structure_of(m->ino, m->level), "location", loc, m->ino,
				m->index + i, loc, op->s->total - 1);
			break;
		}
		while (i + run < m->n && format_get48(m->ptr[i + run].loc) == loc + run)
			run++;
		r = device_read(v, loc, buf + (size_t)i * FORMAT_BLOCK, run);
		for (; run > 0 && r == 0; run--, i++) {
			uint8_t *at = buf + (size_t)i * FORMAT_BLOCK;

			r = block_open(v, c, &m->ptr[i], at, at, seen);
			if (r == 0)
				good = i + 1;
			if (r != -EBADMSG || i > 0 || !last_try)
				continue;
			memcpy(&a, seen, 8);
			memcpy(&b, m->ptr[i].tag, 8);
			fault_report(v, structure_of(m->ino, m->level), "tag", format_get48(m->ptr[i].loc),
				m->ino, m->index, a, b);
		}
	}
	if (c)
		cipher_give(v, c);
	return good > 0 ? (int)good : r;
}

/* A node that is another's would be this program's own mistake, not the host's: its tag says it is what the pointer wants. */
static int check_node(struct op *op, const uint8_t *p)
{
	const struct op_miss *m = &op->miss;
	struct format_node n;

	if (m->level == 0)
		return 0;
	memcpy(&n, p, sizeof(n));
	if (n.owner != m->ino)
		return fault_report(op->v, "tree node", "owner", format_get48(m->ptr[0].loc), m->ino,
			m->index, n.owner, m->ino);
	if (n.place != ((uint64_t)m->level << 56 | m->index))
		return fault_report(op->v, "tree node", "place", format_get48(m->ptr[0].loc), m->ino,
			m->index, n.place, (uint64_t)m->level << 56 | m->index);
	return 0;
}

/* State lock held exclusively. When a file that does not fit is read to its end, its first blocks are gone before they are read again: better that they
 * go soon, so that the same few frames serve and nothing else is evicted. One node's worth stays for readers close behind. */
static void drop_behind(struct op *op)
{
	const struct op_miss *m = &op->miss;
	struct state *s = op->s;
	uint64_t end = m->index > FORMAT_FANOUT ? m->index - FORMAT_FANOUT : 0;

	for (uint64_t i = end > FORMAT_FANOUT ? end - FORMAT_FANOUT : 0; i < end; i++) {
		uint32_t f = cache_find(s, m->ino, 0, i);

		if (f == NONE || (s->frames[f].state & FRAME_DIRTY))
			continue;
		cache_drop(s, f);
		tx_commit(s);
	}
}

/* State lock held exclusively. What came too late, because the tree has changed meanwhile, is left out. */
static void insert(struct op *op, const uint8_t *buf, unsigned int n)
{
	struct op_miss *m = &op->miss;
	struct state *s = op->s;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t f;

		if (cache_find(s, m->ino, m->level, m->index + i) != NONE ||
			!tree_is(op, m->ino, m->level, m->index + i, &m->ptr[i]))
			continue;
		f = cache_claim(s, m->ino, m->level, m->index + i);
		if (f == NONE) {
			tx_rollback(s);
			return;
		}
		memcpy(cache_block(s, f), buf + (size_t)i * FORMAT_BLOCK, FORMAT_BLOCK);
		tx_commit(s);
	}
}

static int load(struct op *op)
{
	struct op_miss *m = &op->miss;
	struct volume *v = op->v;
	size_t size = (size_t)m->n * FORMAT_BLOCK;
	uint8_t *buf = m->n > 1 ? buffer_take(v) : handle_alloc(v, size);
	bool again = op->bad > 0 && memcmp(&op->bad_ptr, &m->ptr[0], sizeof(op->bad_ptr)) == 0;
	bool lock = again && !op->held;
	int r;

	if (!buf)
		return -ENOMEM;
	/* The pointer may have been outdated when the block was read: with the lock held it cannot be. */
	if (lock)
		state_lock(v, VOLUME_SHARED);
	if (lock && !tree_is(op, m->ino, m->level, m->index, &m->ptr[0]))
		r = 0;
	else
		r = fetch(op, buf, again || op->held);
	if (lock)
		state_unlock(v, VOLUME_SHARED);
	if (r > 0) {
		op->bad = 0;
		if (check_node(op, buf) < 0) {
			r = -EBADMSG;
			goto out;
		}
		if (!op->held)
			state_lock(v, VOLUME_EXCLUSIVE);
		if (m->passing && !op->held)
			drop_behind(op);
		if (cache_reserve(op->s, (uint32_t)r) || op->s->free_count > 0) {
			insert(op, buf, (unsigned int)r);
			r = 0;
		} else {
			r = op->held || op->flow || op->s->read_only || ++op->rooms > ROOMS_MAX ? -ENOMEM
												: OP_FRAMES;
		}
		if (!op->held)
			state_unlock(v, VOLUME_EXCLUSIVE);
		if (r == OP_FRAMES)
			r = commit_make_room(v, m->n);
	} else if (r == -EBADMSG && !again && !op->held) {
		op->bad = 1;
		op->bad_ptr = m->ptr[0];
		r = 0;
	}
out:
	if (m->n > 1)
		buffer_give(v, buf);
	else
		handle_dealloc(v, buf, size);
	return r;
}

/* What is missing is got; the lock is not held, unless the caller keeps it. */
static int provide(struct op *op, long r)
{
	if (++op->rounds > ROUNDS_MAX)
		return -ENOMEM;
	switch (r) {
	case OP_MISS:
		return load(op);
	case OP_FRAMES:
		op->frames += op->frames < 32 ? 32 : op->frames;
		return op->frames > op->s->frame_count / 4 ? -ENOMEM : 0;
	default:
		if (op->flow || op->s->read_only || op->commits++ >= 3)
			return -ENOSPC;
		return volume_commit(op->v);
	}
}

bool op_again(struct op *op, long *r)
{
	struct state *s = op->s;
	int p;

	if (!op->entered)
		return false;
	op->entered = false;
	if (op->mode == VOLUME_EXCLUSIVE) {
		if (*r < 0) {
			tx_rollback(s);
		} else {
			if (s->changed && s->changed_at == 0)
				s->changed_at = op->v->env.clock(op->v->env.ctx);
			tx_commit(s);
		}
		/* a transaction that could not be recorded cannot be undone either */
		if (s->failed && *r >= 0 && !op->service)
			*r = s->failed;
	}
	if (!op->held)
		state_unlock(op->v, op->mode);
	if (*r != OP_MISS && *r != OP_FRAMES && *r != OP_COMMIT)
		return false;
	p = provide(op, *r);
	if (p < 0)
		*r = p;
	return p == 0;
}
