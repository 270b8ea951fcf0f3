#include "shield/fs/tree.h"

#include <errno.h>
#include <sys/stat.h>
#include "shield/fs/space.h"

uint64_t tree_span(unsigned int height)
{
	uint64_t n = 1;

	while (height-- > 0 && n < (1ULL << 55))
		n *= FORMAT_FANOUT;
	return n;
}

static struct format_inode *inode_at(const struct state *s, uint32_t f, uint64_t ino)
{
	return (struct format_inode *)(void *)cache_block(s, f) + ino % FORMAT_INODES_PER_BLOCK;
}

int tree_root(struct op *op, uint64_t ino, struct format_tree **ret)
{
	uint32_t f;
	int r;

	if (ino == 0) {
		*ret = &op->s->inodes;
		return 0;
	}
	r = tree_read(op, 0, ino / FORMAT_INODES_PER_BLOCK, 1, &f);
	if (r == TREE_HOLE)
		return -ENOENT;
	if (r == 0)
		*ret = &inode_at(op->s, f, ino)->tree;
	return r;
}

static int miss(struct op *op, uint64_t ino, unsigned int level, uint64_t index, const struct format_ptr *ptr)
{
	op->miss.ino = ino;
	op->miss.level = level;
	op->miss.index = index;
	op->miss.n = 1;
	op->miss.passing = false;
	op->miss.ptr[0] = *ptr;
	return OP_MISS;
}

/* Root or slot of a cached node that points to the block; NULL: its node is not cached, or there is none. */
static struct format_ptr *slot_cached(
	const struct state *s, uint64_t ino, const struct format_tree *t, unsigned int level, uint64_t index)
{
	uint32_t f;

	if (level == t->height && index == 0)
		return (struct format_ptr *)(uintptr_t)&t->root;
	if (level >= t->height)
		return NULL;
	f = cache_find(s, ino, level + 1, index / FORMAT_FANOUT);
	if (f == NONE)
		return NULL;
	return &((struct format_node *)(void *)cache_block(s, f))->ptr[index % FORMAT_FANOUT];
}

int tree_ptr(struct op *op, uint64_t ino, const struct format_tree *t, unsigned int level, uint64_t index,
	struct format_ptr *ret)
{
	struct format_ptr up;
	uint64_t at = index;
	unsigned int l = level;

	memset(ret, 0, sizeof(*ret));
	if (t->height > FORMAT_HEIGHT_MAX)
		return fault_report(op->v, "inode", "height of the tree", NO_NUMBER, ino, 0, t->height,
			FORMAT_HEIGHT_MAX);
	if (level > t->height || index >= tree_span(t->height - level))
		return 0;
	for (;;) {
		const struct format_ptr *p = slot_cached(op->s, ino, t, l, at);

		if (p) {
			up = *p;
			break;
		}
		l++;
		at /= FORMAT_FANOUT;
	}
	if (l == level) {
		*ret = up;
		return 0;
	}
	return format_hole(&up) ? 0 : miss(op, ino, l, at, &up);
}

bool tree_is(struct op *op, uint64_t ino, unsigned int level, uint64_t index, const struct format_ptr *ptr)
{
	const struct format_tree *t = &op->s->inodes;
	const struct format_ptr *p;
	uint32_t f;

	if (ino != 0) {
		f = cache_find(op->s, 0, 0, ino / FORMAT_INODES_PER_BLOCK);
		if (f == NONE)
			return false;
		t = &inode_at(op->s, f, ino)->tree;
	}
	p = slot_cached(op->s, ino, t, level, index);
	return p && memcmp(p, ptr, sizeof(*p)) == 0;
}

/* The missing block with those after it in the same node, up to ahead. */
static void extend(
	struct op *op, uint64_t ino, const struct format_tree *t, uint64_t index, unsigned int ahead)
{
	struct op_miss *m = &op->miss;

	while (m->n < ahead && (index + m->n) % FORMAT_FANOUT != 0) {
		const struct format_ptr *p = slot_cached(op->s, ino, t, 0, index + m->n);

		if (!p || format_hole(p) || cache_find(op->s, ino, 0, index + m->n) != NONE)
			break;
		m->ptr[m->n++] = *p;
	}
}

int tree_read(struct op *op, uint64_t ino, uint64_t index, unsigned int ahead, uint32_t *ret)
{
	uint32_t f = cache_find(op->s, ino, 0, index);
	struct format_tree *t;
	struct format_ptr p;
	int r;

	if (f != NONE) {
		cache_use(&op->s->frames[f]);
		*ret = f;
		return 0;
	}
	r = tree_root(op, ino, &t);
	if (r == 0)
		r = tree_ptr(op, ino, t, 0, index, &p);
	if (r < 0)
		return r;
	if (format_hole(&p))
		return TREE_HOLE;
	miss(op, ino, 0, index, &p);
	extend(op, ino, t, index, ahead < FORMAT_FANOUT ? ahead : FORMAT_FANOUT);
	return OP_MISS;
}

int tree_live(struct op *op, uint64_t ino, uint32_t *ret)
{
	struct state *s = op->s;
	bool meta = true;
	uint32_t f;
	int r;

	if (ino != 0) {
		r = tree_read(op, 0, ino / FORMAT_INODES_PER_BLOCK, 1, &f);
		if (r != 0)
			return r < 0 ? r : -ENOENT;
		meta = !S_ISREG(inode_at(s, f, ino)->mode);
	}
	*ret = live_get(s, ino, meta);
	return *ret == NONE ? OP_COMMIT : 0;
}

/* The inode's tree changes: its block of the inode table is to be written, but no log carries it. */
static int touch_root(struct op *op, uint64_t ino, struct format_tree *t)
{
	uint32_t f, live;
	int r;

	tx_save(op->s, t, sizeof(*t));
	if (ino == 0)
		return 0;
	f = cache_find(op->s, 0, 0, ino / FORMAT_INODES_PER_BLOCK);
	r = tree_live(op, 0, &live);
	if (r == 0)
		cache_dirty(op->s, f, live, 1, 0);
	return r;
}

int tree_write(struct op *op, uint64_t ino, uint64_t index, bool whole, uint32_t *ret)
{
	struct state *s = op->s;
	struct format_tree *t;
	struct format_ptr p;
	uint32_t f;
	int r;

	f = cache_find(s, ino, 0, index);
	if (f != NONE) {
		cache_use(&s->frames[f]);
		*ret = f;
		return 0;
	}
	r = tree_root(op, ino, &t);
	if (r == 0)
		r = tree_ptr(op, ino, t, 0, index, &p);
	if (r < 0)
		return r;
	if (!format_hole(&p) && !whole)
		return miss(op, ino, 0, index, &p);
	f = cache_claim(s, ino, 0, index);
	if (f == NONE)
		return OP_FRAMES;
	if (!whole)
		memset(cache_block(s, f), 0, FORMAT_BLOCK);
	if (format_hole(&p)) {
		r = touch_root(op, ino, t);
		if (r < 0)
			return r;
		t->blocks++;
	}
	*ret = f;
	return 0;
}

/* A node to be changed, made when there is none. */
static int node_write(struct op *op, uint64_t ino, const struct format_tree *t, unsigned int level,
	uint64_t index, uint32_t live, uint32_t *ret)
{
	struct state *s = op->s;
	struct format_ptr p;
	struct format_node *n;
	uint32_t f = cache_find(s, ino, level, index);
	int r;

	if (f == NONE) {
		r = tree_ptr(op, ino, t, level, index, &p);
		if (r < 0)
			return r;
		if (!format_hole(&p))
			return miss(op, ino, level, index, &p);
		f = cache_claim(s, ino, level, index);
		if (f == NONE)
			return OP_FRAMES;
		n = (struct format_node *)(void *)cache_block(s, f);
		memset(n, 0, sizeof(*n));
		n->owner = ino;
		n->place = (uint64_t)level << 56 | index;
	}
	cache_use(&s->frames[f]);
	cache_dirty(s, f, live, 1, 0);
	*ret = f;
	return 0;
}

/* Nodes above the root until the tree reaches index. */
static int grow(
	struct op *op, uint64_t ino, struct format_tree *t, unsigned int level, uint64_t index, uint32_t live)
{
	struct state *s = op->s;
	struct format_node *n;
	uint32_t f;
	int r;

	while (level > t->height || index >= tree_span(t->height - level)) {
		if (t->height >= FORMAT_HEIGHT_MAX)
			return -EFBIG;
		/* the slot of the old root, which is a node or block that may have changed and not been written, is filled when it is */
		r = touch_root(op, ino, t);
		if (r < 0)
			return r;
		f = cache_claim(s, ino, t->height + 1, 0);
		if (f == NONE)
			return OP_FRAMES;
		n = (struct format_node *)(void *)cache_block(s, f);
		memset(n, 0, sizeof(*n));
		n->owner = ino;
		n->place = (uint64_t)(t->height + 1) << 56;
		n->ptr[0] = t->root;
		memset(&t->root, 0, sizeof(t->root));
		t->height++;
		cache_dirty(s, f, live, 1, 0);
	}
	return 0;
}

int tree_install(struct op *op, uint64_t ino, unsigned int level, uint64_t index,
	const struct format_ptr *ptr, bool log)
{
	struct state *s = op->s;
	struct format_tree *t;
	struct format_node *n;
	struct format_ptr *slot;
	uint32_t live = NONE, f = NONE;
	int r = tree_root(op, ino, &t);

	if (r == 0)
		r = tree_live(op, ino, &live);
	/* A log carries pointers by slots of nodes, never a root. */
	if (r == 0)
		r = grow(op, ino, t, level, log && index == 0 ? 1 : index, live);
	if (r < 0)
		return r;
	if (level == t->height) {
		r = touch_root(op, ino, t);
		if (r < 0)
			return r;
		slot = &t->root;
	} else {
		/* from the top, so that a node that has to be made finds its own */
		for (unsigned int l = t->height; l > level; l--) {
			uint64_t at = index;

			for (unsigned int i = level; i < l; i++)
				at /= FORMAT_FANOUT;
			if (l > level + 1 && cache_find(s, ino, l - 1, at) != NONE)
				continue;
			r = node_write(op, ino, t, l, at, live, &f);
			if (r < 0)
				return r;
		}
		n = (struct format_node *)(void *)cache_block(s, f);
		slot = &n->ptr[index % FORMAT_FANOUT];
		tx_save(s, slot, sizeof(*slot));
		if (log)
			cache_dirty(s, f, live, (unsigned int)(index % FORMAT_FANOUT),
				(unsigned int)(index % FORMAT_FANOUT));
	}
	if (!format_hole(slot))
		space_free(s, format_get48(slot->loc));
	*slot = *ptr;
	return 0;
}

struct dropper {
	struct op *op;
	uint64_t ino, first, last;
	struct format_tree *t;
	uint32_t live;
	unsigned int budget;
	unsigned int done;
};

/* Enough for one transaction? */
static bool used_up(const struct dropper *d)
{
	return d->done >= d->budget || d->op->s->undo_len > UNDO_MAX / 2;
}

static int drop_block(struct dropper *d, unsigned int level, uint64_t index, struct format_ptr *slot)
{
	struct state *s = d->op->s;
	uint32_t f = cache_find(s, d->ino, level, index);
	int r;

	if (f != NONE)
		cache_drop(s, f);
	if (!format_hole(slot)) {
		if (level == 0) {
			r = touch_root(d->op, d->ino, d->t);
			if (r < 0)
				return r;
			d->t->blocks--;
		}
		space_free(s, format_get48(slot->loc));
		tx_save(s, slot, sizeof(*slot));
		memset(slot, 0, sizeof(*slot));
		d->done++;
	}
	return 0;
}

/* A changed block of content that was never written is not in the tree: it goes before the tree is walked. */
static int drop_changed_block(struct dropper *d, uint32_t f)
{
	struct state *s = d->op->s;
	struct format_ptr p;
	int r = tree_ptr(d->op, d->ino, d->t, 0, s->frames[f].index, &p);

	if (r == 0 && format_hole(&p)) {
		r = touch_root(d->op, d->ino, d->t);
		if (r == 0)
			d->t->blocks--;
	}
	if (r == 0) {
		cache_drop(s, f);
		d->done++;
	}
	return r;
}

static int drop_changed(struct dropper *d, bool *ret_end)
{
	struct state *s = d->op->s;
	uint32_t l = live_find(s, d->ino), f, next;
	int r = 0;

	if (d->last - d->first < 1024) {
		for (uint64_t i = d->first; i <= d->last && r == 0; i++) {
			if (used_up(d)) {
				*ret_end = true;
				break;
			}
			f = cache_find(s, d->ino, 0, i);
			if (f != NONE && (s->frames[f].state & FRAME_DIRTY))
				r = drop_changed_block(d, f);
		}
		return r;
	}
	for (f = l == NONE ? NONE : s->lives[l].dirty_head; f != NONE && r == 0; f = next) {
		next = s->frames[f].dirty_next;
		if (s->frames[f].index < d->first || s->frames[f].index > d->last)
			continue;
		if (used_up(d)) {
			*ret_end = true;
			break;
		}
		r = drop_changed_block(d, f);
	}
	return r;
}

static bool node_empty(struct dropper *d, unsigned int level, uint64_t index, const struct format_node *n)
{
	for (unsigned int i = 0; i < FORMAT_FANOUT; i++)
		if (!format_hole(&n->ptr[i]) ||
			cache_find(d->op->s, d->ino, level - 1, index * FORMAT_FANOUT + i) != NONE)
			return false;
	return true;
}

/* Drop what lies in the range below one slot. *ret_end: the budget is used up. */
static int drop_below(
	struct dropper *d, unsigned int level, uint64_t index, struct format_ptr *slot, bool *ret_end)
{
	struct state *s = d->op->s;
	uint64_t span = tree_span(level), child_span, start = index * span;
	uint32_t f;
	struct format_node *n;
	int r = 0;

	if (start > d->last || start + (span - 1) < d->first)
		return 0;
	if (level == 0)
		return drop_block(d, 0, index, slot);
	f = cache_find(s, d->ino, level, index);
	if (f == NONE) {
		if (format_hole(slot))
			return 0;
		return miss(d->op, d->ino, level, index, slot);
	}
	n = (struct format_node *)(void *)cache_block(s, f);
	child_span = tree_span(level - 1);
	cache_dirty(s, f, d->live, 1, 0);
	for (unsigned int i = FORMAT_FANOUT; i-- > 0;) {
		uint64_t child = index * FORMAT_FANOUT + i;

		if (child * child_span > d->last)
			continue;
		if (child * child_span + (child_span - 1) < d->first)
			break;
		if (used_up(d)) {
			*ret_end = true;
			return 0;
		}
		r = drop_below(d, level - 1, child, &n->ptr[i], ret_end);
		if (r < 0 || *ret_end)
			return r;
	}
	if (node_empty(d, level, index, n))
		r = drop_block(d, level, index, slot);
	return r;
}

int tree_drop(struct op *op, uint64_t ino, uint64_t first, uint64_t last, unsigned int budget, bool *ret_done)
{
	struct dropper d = {.op = op, .ino = ino, .first = first, .last = last, .budget = budget};
	struct state *s = op->s;
	bool end = false;
	int r = tree_root(op, ino, &d.t);

	*ret_done = false;
	if (r == 0)
		r = tree_live(op, ino, &d.live);
	if (r < 0)
		return r;
	/* held, so that it does not go with the last changed block */
	tx_set32(s, &s->lives[d.live].holds, s->lives[d.live].holds + 1);
	r = drop_changed(&d, &end);
	if (r == 0 && !end)
		r = drop_below(&d, d.t->height, 0, &d.t->root, &end);
	tx_set32(s, &s->lives[d.live].holds, s->lives[d.live].holds - 1);
	live_put(s, d.live);
	if (r == OP_MISS && d.done > 0)
		return 0;
	if (r < 0)
		return r;
	if (!end && format_hole(&d.t->root) && d.t->height > 0 &&
		cache_find(s, ino, d.t->height, 0) == NONE) {
		r = touch_root(op, ino, d.t);
		if (r < 0)
			return r;
		d.t->height = 0;
	}
	*ret_done = !end;
	return 0;
}

/* Next block at or after *at that the tree points to. */
static int seek_pointer(struct op *op, uint64_t ino, const struct format_tree *t, uint64_t *at, uint64_t *ret)
{
	struct format_ptr p;
	int r;

	while (*at < tree_span(t->height)) {
		unsigned int l = t->height;

		for (;; l--) {
			r = tree_ptr(op, ino, t, l, *at / tree_span(l), &p);
			if (r < 0)
				return r;
			/* a node that was never written has no pointer, but may be there */
			if (format_hole(&p) &&
				(l == 0 || cache_find(op->s, ino, l, *at / tree_span(l)) == NONE))
				break;
			if (l == 0) {
				*ret = *at;
				return 0;
			}
		}
		*at = (*at / tree_span(l) + 1) * tree_span(l);
	}
	*ret = UINT64_MAX;
	return 0;
}

static int seek_hole(struct op *op, uint64_t ino, const struct format_tree *t, uint64_t *at, uint64_t *ret)
{
	struct format_ptr p;
	int r;

	for (;; ++*at) {
		if (cache_find(op->s, ino, 0, *at) != NONE)
			continue;
		r = tree_ptr(op, ino, t, 0, *at, &p);
		if (r < 0)
			return r;
		if (format_hole(&p))
			break;
	}
	*ret = *at;
	return 0;
}

int tree_seek(struct op *op, uint64_t ino, uint64_t from, uint64_t *at, bool hole, uint64_t *ret)
{
	struct state *s = op->s;
	struct format_tree *t;
	uint32_t l, f;
	int r = tree_root(op, ino, &t);

	if (r < 0)
		return r;
	if (hole)
		return seek_hole(op, ino, t, at, ret);
	r = seek_pointer(op, ino, t, at, ret);
	/* what is changed and was never written is not in the tree */
	l = live_find(s, ino);
	for (f = l == NONE ? NONE : s->lives[l].dirty_head; f != NONE && r == 0; f = s->frames[f].dirty_next)
		if (s->frames[f].index >= from && s->frames[f].index < *ret)
			*ret = s->frames[f].index;
	return r;
}
