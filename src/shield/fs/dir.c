#include "shield/fs/dir.h"

#include <errno.h>

#define DEPTH_MAX 8
#define HEADER ((unsigned int)sizeof(struct format_dir))

/* The way from the root to a leaf. */
struct path {
	unsigned int depth; /* blocks in it */
	struct {
		uint64_t block;
		uint32_t frame;
		unsigned int at; /* which child was taken */
	} step[DEPTH_MAX];
	uint64_t bound; /* keys of the leaf are below this */
};

static struct format_dir *head(const struct op *op, uint32_t f)
{
	return (struct format_dir *)(void *)cache_block(op->s, f);
}
static struct format_dir_child *children(struct format_dir *d)
{
	return (struct format_dir_child *)(void *)(d + 1);
}
static uint16_t *slots(struct format_dir *d)
{
	return (uint16_t *)(void *)(d + 1);
}
static struct format_dirent *entry(struct format_dir *d, unsigned int i)
{
	return (struct format_dirent *)(void *)((uint8_t *)d + slots(d)[i]);
}
static unsigned int entry_size(const struct format_dirent *e)
{
	return (unsigned int)sizeof(*e) + e->len;
}
static char *entry_name(struct format_dirent *e)
{
	return (char *)(e + 1);
}

/* The block is authentic, so it is as some program with the key wrote it; yet nothing outside of it is ever read or written for its sake. */
static int sane(struct op *op, uint64_t dir, uint64_t block, struct format_dir *d)
{
	const char *field = NULL;
	uint64_t seen = 0, wanted = 0;

	if (d->level >= DEPTH_MAX) {
		field = "level";
		seen = d->level;
		wanted = DEPTH_MAX - 1;
	} else if (d->level > 0 && (d->count == 0 || d->count > FORMAT_DIR_CHILDREN)) {
		field = "number of children";
		seen = d->count;
		wanted = FORMAT_DIR_CHILDREN;
	} else if (d->level == 0 && (d->heap > FORMAT_BLOCK || HEADER + 2u * d->count > d->heap)) {
		field = "start of entries";
		seen = d->heap;
		wanted = HEADER + 2u * d->count;
	}
	for (unsigned int i = 0; !field && d->level == 0 && i < d->count; i++) {
		unsigned int at = slots(d)[i];

		if (at < d->heap || at + sizeof(struct format_dirent) > FORMAT_BLOCK ||
			at + entry_size(entry(d, i)) > FORMAT_BLOCK) {
			field = "offset of an entry";
			seen = at;
			wanted = d->heap;
		}
	}
	return field ? fault_report(op->v, "directory", field, NO_NUMBER, dir, block, seen, wanted) : 0;
}

/* First child whose keys may include key. */
static unsigned int child_of(struct format_dir *d, uint64_t key)
{
	unsigned int lo = 0, hi = d->count;

	while (hi - lo > 1) {
		unsigned int mid = (lo + hi) / 2;

		if (children(d)[mid].key <= key)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* First entry with at least this key. */
static unsigned int entry_at(struct format_dir *d, uint64_t key)
{
	unsigned int lo = 0, hi = d->count;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (entry(d, mid)->key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int descend(struct op *op, uint64_t dir, uint64_t key, struct path *p)
{
	uint64_t block = 0;
	unsigned int level = 0;

	p->depth = 0;
	p->bound = UINT64_MAX;
	for (;;) {
		struct format_dir *d;
		uint32_t f;
		int r = tree_read(op, dir, block, 1, &f);

		if (r == TREE_HOLE)
			return fault_report(op->v, "directory", "block", NO_NUMBER, dir, block, 0, block);
		if (r < 0)
			return r;
		d = head(op, f);
		if (!atomic_load_explicit(&op->s->frames[f].checked, memory_order_relaxed)) {
			r = sane(op, dir, block, d);
			if (r < 0)
				return r;
			atomic_store_explicit(&op->s->frames[f].checked, 1, memory_order_relaxed);
		}
		if (p->depth > 0 && d->level != level - 1)
			return fault_report(
				op->v, "directory", "level", NO_NUMBER, dir, block, d->level, level - 1);
		level = d->level;
		p->step[p->depth].block = block;
		p->step[p->depth].frame = f;
		p->step[p->depth].at = level > 0 ? child_of(d, key) : 0;
		p->depth++;
		if (level == 0)
			return 0;
		if (p->depth == DEPTH_MAX)
			return fault_report(
				op->v, "directory", "depth", NO_NUMBER, dir, block, p->depth, DEPTH_MAX - 1);
		if (p->step[p->depth - 1].at + 1u < d->count)
			p->bound = children(d)[p->step[p->depth - 1].at + 1].key;
		block = children(d)[p->step[p->depth - 1].at].block;
	}
}

static uint64_t first_key(const struct op *op, const char *name, size_t n)
{
	/* 55 bits, not zero; below them the number among equal ones. Positive as a signed number, as a cookie has to be. */
	uint64_t h = name_hash(op->v, name, n) >> 9;

	return (h ? h : 1) << 8;
}

/* The entry with this name: its leaf and position. -ENOENT; then *ret_free is a key that it may have. */
static int find(struct op *op, uint64_t dir, const char *name, size_t n, struct path *p, unsigned int *ret_at,
	uint64_t *ret_free)
{
	uint64_t key = first_key(op, name, n), unused = key, from = key;

	for (;;) {
		struct format_dir *d;
		int r = descend(op, dir, from, p);

		if (r < 0)
			return r;
		d = head(op, p->step[p->depth - 1].frame);
		for (unsigned int i = entry_at(d, key); i < d->count; i++) {
			struct format_dirent *e = entry(d, i);

			if (e->key >> 8 != key >> 8)
				break;
			if (e->len == n && memcmp(entry_name(e), name, n) == 0) {
				*ret_at = i;
				return 0;
			}
			if (e->key == unused)
				unused++;
		}
		if (p->bound == UINT64_MAX || p->bound >> 8 != key >> 8)
			break;
		from = p->bound;
	}
	if (ret_free)
		*ret_free = unused;
	return unused >> 8 == key >> 8 ? -ENOENT : -ENOSPC;
}

/* Save and mark n bytes at p in a block that is about to change. */
static int edit(struct op *op, uint64_t dir, uint32_t f, const void *p, size_t n)
{
	size_t at = (size_t)((const uint8_t *)p - cache_block(op->s, f));
	uint32_t live;
	int r;

	if (n == 0)
		return 0;
	r = tree_live(op, dir, &live);
	if (r < 0)
		return r;
	cache_dirty(
		op->s, f, live, (unsigned int)(at / FORMAT_CELL), (unsigned int)((at + n - 1) / FORMAT_CELL));
	tx_save(op->s, p, n);
	return 0;
}

static int edit_all(struct op *op, uint64_t dir, uint32_t f)
{
	return edit(op, dir, f, cache_block(op->s, f), FORMAT_BLOCK);
}

static int new_block(struct op *op, uint64_t dir, uint64_t *ret_block, uint32_t *ret_frame)
{
	struct format_inode *i;
	uint64_t block;
	uint32_t f;
	int r = inode_edit(op, dir, false, &i);

	if (r < 0)
		return r;
	block = i->dir_free ? i->dir_free : i->size / FORMAT_BLOCK;
	if (block > UINT32_MAX)
		return -ENOSPC;
	r = tree_write(op, dir, block, false, &f);
	if (r < 0)
		return r;
	if (i->dir_free)
		i->dir_free = (uint32_t)head(op, f)->next_free;
	else
		i->size += FORMAT_BLOCK;
	r = edit_all(op, dir, f);
	if (r < 0)
		return r;
	memset(cache_block(op->s, f), 0, FORMAT_BLOCK);
	head(op, f)->heap = FORMAT_BLOCK;
	*ret_block = block;
	*ret_frame = f;
	return 0;
}

int dir_init(struct op *op, uint64_t dir)
{
	uint64_t block;
	uint32_t f;

	return new_block(op, dir, &block, &f);
}

int dir_find(struct op *op, uint64_t dir, const char *name, size_t n, uint64_t *ret_ino, uint8_t *ret_type)
{
	struct format_dirent *e;
	struct path p;
	unsigned int at;
	int r = find(op, dir, name, n, &p, &at, NULL);

	if (r < 0)
		return r == -ENOSPC ? -ENOENT : r;
	e = entry(head(op, p.step[p.depth - 1].frame), at);
	*ret_ino = e->ino;
	*ret_type = e->type;
	return 0;
}

/* Copy entries [from, to) of a leaf in order to an empty one. */
static void copy_entries(
	struct format_dir *to, struct format_dir *from, unsigned int first, unsigned int last)
{
	for (unsigned int i = first; i < last; i++) {
		struct format_dirent *e = entry(from, i);

		to->heap = (uint16_t)(to->heap - entry_size(e));
		slots(to)[to->count++] = to->heap;
		memcpy((uint8_t *)to + to->heap, e, entry_size(e));
	}
}

static void leaf_empty(struct format_dir *d)
{
	memset(d, 0, FORMAT_BLOCK);
	d->heap = FORMAT_BLOCK;
}

static int leaf_compact(struct op *op, uint64_t dir, uint32_t f)
{
	uint8_t copy[FORMAT_BLOCK];
	struct format_dir *d = head(op, f), *old = (struct format_dir *)(void *)copy;
	int r = edit_all(op, dir, f);

	if (r < 0)
		return r;
	memcpy(copy, d, FORMAT_BLOCK);
	leaf_empty(d);
	copy_entries(d, old, 0, old->count);
	return 0;
}

/* The root's content moves to a new block below it, for the root's number does not change. */
static int raise_root(struct op *op, uint64_t dir, struct path *p)
{
	struct format_dir *root = head(op, p->step[0].frame), *below;
	uint64_t block;
	uint32_t f;
	int r;

	if (p->depth == DEPTH_MAX)
		return -ENOSPC;
	r = new_block(op, dir, &block, &f);
	if (r == 0)
		r = edit_all(op, dir, p->step[0].frame);
	if (r < 0)
		return r;
	below = head(op, f);
	memcpy(below, root, FORMAT_BLOCK);
	memset(root, 0, FORMAT_BLOCK);
	root->level = (uint8_t)(below->level + 1);
	root->count = 1;
	children(root)[0] = (struct format_dir_child){.key = 0, .block = block};
	memmove(&p->step[1], &p->step[0], p->depth * sizeof(p->step[0]));
	p->depth++;
	p->step[0].at = 0;
	p->step[1].block = block;
	p->step[1].frame = f;
	return 0;
}

/* Split the block at depth d of the path; its parent has room. */
static int split(struct op *op, uint64_t dir, struct path *p, unsigned int d)
{
	struct format_dir *left = head(op, p->step[d].frame), *parent = head(op, p->step[d - 1].frame),
			  *right;
	unsigned int at = p->step[d - 1].at + 1, half = left->count / 2;
	uint8_t copy[FORMAT_BLOCK];
	struct format_dir *old = (struct format_dir *)(void *)copy;
	struct format_dir_child *c = children(parent);
	uint64_t block, key;
	uint32_t f;
	int r = new_block(op, dir, &block, &f);

	if (r == 0)
		r = edit_all(op, dir, p->step[d].frame);
	if (r == 0)
		r = edit(op, dir, p->step[d - 1].frame, parent, HEADER + (parent->count + 1u) * sizeof(*c));
	if (r < 0)
		return r;
	right = head(op, f);
	memcpy(copy, left, FORMAT_BLOCK);
	if (left->level == 0) {
		/* half of the bytes, but one entry at least on each side */
		unsigned int bytes = 0, all = FORMAT_BLOCK - left->heap - left->lost;

		for (half = 0; half + 1u < old->count && bytes < all / 2; half++)
			bytes += entry_size(entry(old, half));
		if (half == 0)
			half = 1;
		leaf_empty(left);
		copy_entries(left, old, 0, half);
		copy_entries(right, old, half, old->count);
		key = entry(old, half)->key;
	} else {
		right->level = left->level;
		right->heap = 0;
		right->count = (uint16_t)(left->count - half);
		memcpy(children(right), children(old) + half, right->count * sizeof(*c));
		left->count = (uint16_t)half;
		key = children(old)[half].key;
	}
	memmove(&c[at + 1], &c[at], (parent->count - at) * sizeof(*c));
	c[at] = (struct format_dir_child){.key = key, .block = block};
	parent->count++;
	return 0;
}

static unsigned int leaf_room(const struct format_dir *d)
{
	return d->heap - HEADER - 2u * d->count;
}

/* Room for size more bytes in the leaf where key belongs; ends with the path to it. */
static int make_leaf_room(struct op *op, uint64_t dir, uint64_t key, unsigned int size, struct path *p)
{
	for (;;) {
		struct format_dir *leaf;
		unsigned int d;
		int r = descend(op, dir, key, p);

		if (r < 0)
			return r;
		leaf = head(op, p->step[p->depth - 1].frame);
		if (leaf_room(leaf) >= size)
			return 0;
		if (leaf_room(leaf) + leaf->lost >= size)
			return leaf_compact(op, dir, p->step[p->depth - 1].frame);
		/* the lowest block whose parent has room; the leaf itself if that is so */
		for (d = p->depth - 1; d > 0; d--)
			if (head(op, p->step[d - 1].frame)->count < FORMAT_DIR_CHILDREN)
				break;
		if (d == 0) {
			r = raise_root(op, dir, p);
			d = 1;
		}
		if (r == 0)
			r = split(op, dir, p, d);
		if (r < 0)
			return r;
	}
}

int dir_add(struct op *op, uint64_t dir, const char *name, size_t n, uint64_t ino, uint8_t type)
{
	unsigned int size = (unsigned int)(sizeof(struct format_dirent) + n), at;
	struct format_dirent e = {.ino = ino, .type = type, .len = (uint8_t)n};
	struct format_inode *i;
	struct format_dir *d;
	struct path p;
	uint64_t key = 0;
	uint32_t f;
	int r = find(op, dir, name, n, &p, &at, &key);

	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT)
		return r;
	r = make_leaf_room(op, dir, key, size + 2, &p);
	if (r == 0)
		r = inode_edit(op, dir, false, &i);
	if (r < 0)
		return r;
	f = p.step[p.depth - 1].frame;
	d = head(op, f);
	at = entry_at(d, key);
	r = edit(op, dir, f, d, HEADER);
	if (r == 0)
		r = edit(op, dir, f, &slots(d)[at], (d->count - at + 1u) * 2);
	if (r == 0)
		r = edit(op, dir, f, (uint8_t *)d + d->heap - size, size);
	if (r < 0)
		return r;
	d->heap = (uint16_t)(d->heap - size);
	memmove(&slots(d)[at + 1], &slots(d)[at], (d->count - at) * 2u);
	slots(d)[at] = d->heap;
	d->count++;
	e.key = key;
	memcpy((uint8_t *)d + d->heap, &e, sizeof(e));
	memcpy((uint8_t *)d + d->heap + sizeof(e), name, n);
	i->dir_entries++;
	return 0;
}

/* A block without content leaves the tree; its parents too, if they have nothing else. */
static int remove_block(struct op *op, uint64_t dir, struct path *p, unsigned int d)
{
	struct format_dir *parent;
	struct format_dir_child *c;
	struct format_inode *i;
	unsigned int at;
	int r;

	if (d == 0) {
		r = edit_all(op, dir, p->step[0].frame);
		if (r == 0)
			leaf_empty(head(op, p->step[0].frame));
		return r;
	}
	parent = head(op, p->step[d - 1].frame);
	if (parent->count == 1) {
		r = remove_block(op, dir, p, d - 1);
	} else {
		at = p->step[d - 1].at;
		c = children(parent);
		r = edit(op, dir, p->step[d - 1].frame, parent, HEADER + parent->count * sizeof(*c));
		if (r < 0)
			return r;
		memmove(&c[at], &c[at + 1], (parent->count - at - 1u) * sizeof(*c));
		parent->count--;
		/* what was below the removed block's key comes to the first child now */
		if (at == 0)
			c[0].key = 0;
	}
	if (r == 0)
		r = inode_edit(op, dir, false, &i);
	if (r == 0)
		r = edit(op, dir, p->step[d].frame, head(op, p->step[d].frame), HEADER);
	if (r < 0)
		return r;
	*head(op, p->step[d].frame) = (struct format_dir){.next_free = i->dir_free};
	i->dir_free = (uint32_t)p->step[d].block;
	return 0;
}

/* The last entry has gone: one block is enough again. */
static int shrink(struct op *op, uint64_t dir, struct format_inode *i)
{
	bool done;
	int r;

	if (i->size <= FORMAT_BLOCK)
		return 0;
	/* a directory of any size: what this transaction cannot drop stays for the next time it is empty, or until it is removed */
	r = tree_drop(op, dir, 1, UINT64_MAX, 512, &done);
	if (r < 0 || !done)
		return r;
	r = inode_log_drop(op, dir, 1, 0, UINT64_MAX);
	i->size = FORMAT_BLOCK;
	i->dir_free = 0;
	return r;
}

int dir_remove(struct op *op, uint64_t dir, const char *name, size_t n)
{
	struct format_inode *i;
	struct format_dir *d;
	struct path p;
	unsigned int at;
	uint32_t f;
	int r = find(op, dir, name, n, &p, &at, NULL);

	if (r == 0)
		r = inode_edit(op, dir, false, &i);
	if (r < 0)
		return r == -ENOSPC ? -ENOENT : r;
	f = p.step[p.depth - 1].frame;
	d = head(op, f);
	i->dir_entries--;
	if (d->count == 1) {
		r = remove_block(op, dir, &p, p.depth - 1);
		if (r == 0 && i->dir_entries == 0)
			r = shrink(op, dir, i);
		return r;
	}
	r = edit(op, dir, f, d, HEADER);
	if (r == 0)
		r = edit(op, dir, f, &slots(d)[at], (d->count - at) * 2u);
	if (r < 0)
		return r;
	d->lost = (uint16_t)(d->lost + entry_size(entry(d, at)));
	memmove(&slots(d)[at], &slots(d)[at + 1], (d->count - at - 1u) * 2);
	d->count--;
	return 0;
}

int dir_set(struct op *op, uint64_t dir, const char *name, size_t n, uint64_t ino, uint8_t type)
{
	struct format_dirent *e;
	struct path p;
	unsigned int at;
	uint32_t f;
	int r = find(op, dir, name, n, &p, &at, NULL);

	if (r < 0)
		return r == -ENOSPC ? -ENOENT : r;
	f = p.step[p.depth - 1].frame;
	e = entry(head(op, f), at);
	r = edit(op, dir, f, e, sizeof(*e));
	if (r < 0)
		return r;
	e->ino = ino;
	e->type = type;
	return 0;
}

int dir_list(struct op *op, uint64_t dir, uint64_t after, struct volume_dirent *ret, size_t n)
{
	uint64_t from = after + 1;
	size_t got = 0;

	for (;;) {
		struct format_dir *d;
		struct path p;
		int r = descend(op, dir, from, &p);

		if (r < 0)
			return got > 0 && r == OP_MISS ? (int)got : r;
		d = head(op, p.step[p.depth - 1].frame);
		for (unsigned int i = entry_at(d, from); i < d->count && got < n; i++, got++) {
			struct format_dirent *e = entry(d, i);

			ret[got].ino = e->ino;
			ret[got].cookie = e->key;
			ret[got].type = e->type;
			ret[got].name_len = e->len;
			memcpy(ret[got].name, entry_name(e), e->len);
			ret[got].name[e->len] = 0;
		}
		if (got == n || p.bound == UINT64_MAX)
			return (int)got;
		from = p.bound;
	}
}

int dir_check(struct op *op, uint64_t dir, uint64_t block, uint64_t low, uint64_t high, unsigned int level,
	const uint8_t *p)
{
	struct format_dir *d = (struct format_dir *)(uintptr_t)p;
	uint64_t last = 0;
	int r = sane(op, dir, block, d);

	if (r < 0)
		return r;
	if (block != 0 && d->level != level)
		return fault_report(op->v, "directory", "level", NO_NUMBER, dir, block, d->level, level);
	for (unsigned int i = 0; i < d->count; i++) {
		uint64_t key = d->level > 0 ? children(d)[i].key : entry(d, i)->key;

		if (d->level > 0 && i == 0)
			continue;
		if (key < low || key >= high || key <= last)
			return fault_report(op->v, "directory", "key", NO_NUMBER, dir, block, key,
				last > low ? last : low);
		last = key;
		if (d->level == 0 &&
			key >> 8 != first_key(op, entry_name(entry(d, i)), entry(d, i)->len) >> 8)
			return fault_report(op->v, "directory", "hash of a name", NO_NUMBER, dir, block, key,
				first_key(op, entry_name(entry(d, i)), entry(d, i)->len));
	}
	return 0;
}
