/*
 * Verification, in three phases. Blocks: every block of every tree is read from the device and opened; it goes on where it stopped, and lets others
 * work between inodes. Structure: directories, links, counts. Space: what trees refer to is what the space map says. The last two are short, for
 * they read no content of files, and hold everybody off.
 */
#include <errno.h>
#include <sys/stat.h>
#include "shield/fs/cache.h"
#include "shield/fs/commit.h"
#include "shield/fs/dir.h"
#include "shield/fs/space.h"

#define STEP_BLOCKS 4096 /* between calls of progress */

enum phase { PHASE_BLOCKS, PHASE_STRUCTURE, PHASE_SPACE, PHASE_DONE };

struct check {
	struct volume *v;
	struct volume_verify_cursor *cursor;
	struct cipher_set *c;
	uint64_t step; /* blocks since progress was called */
	uint64_t high; /* inode numbers are below */
	uint64_t from; /* blocks of content before this one were checked earlier */
	uint64_t *seen; /* phase space: bit map of blocks */
	uint32_t *links; /* phase structure: names met, by inode */
	struct op op; /* phases structure and space: holds the state lock */
};

static void count_fault(struct check *k)
{
	k->cursor->faults++;
}

/* Read a block and open it into out. 0, 1: not authentic, reported; -errno. */
static int fetch(struct check *k, uint64_t ino, unsigned int level, uint64_t index,
	const struct format_ptr *p, uint8_t *out)
{
	uint64_t loc = format_get48(p->loc), a, b;
	uint8_t seen[FORMAT_TAG_LEN];
	const char *what = level > 0 ? "tree node" : ino == 0 ? "inode table" : "content block";
	int r;

	k->cursor->blocks_done += k->seen == NULL;
	k->step++;
	if (loc >= k->v->s->total) {
		fault_report(k->v, what, "location", loc, ino, index, loc, k->v->s->total - 1);
		count_fault(k);
		return 1;
	}
	if (format_get48(p->gen) > k->v->s->gen + 1) {
		fault_report(k->v, what, "generation", loc, ino, index, format_get48(p->gen), k->v->s->gen);
		count_fault(k);
	}
	r = device_read(k->v, loc, out, 1);
	if (r == 0)
		r = block_open(k->v, k->c, p, out, out, seen);
	if (r != -EBADMSG)
		return r;
	memcpy(&a, seen, 8);
	memcpy(&b, p->tag, 8);
	fault_report(k->v, what, "tag", loc, ino, index, a, b);
	count_fault(k);
	return 1;
}

/* Each block is referred to once and is in use. */
static void mark(struct check *k, uint64_t ino, uint64_t index, const struct format_ptr *p)
{
	uint64_t loc = format_get48(p->loc);

	if (loc >= k->v->s->total)
		return;
	if (k->seen[loc / 64] >> (loc % 64) & 1) {
		fault_report(k->v, "space map", "references to a block", loc, ino, index, 2, 1);
		count_fault(k);
	}
	if (!space_used(k->v->s, loc)) {
		fault_report(k->v, "space map", "bit of a block in use", loc, ino, index, 0, 1);
		count_fault(k);
	}
	k->seen[loc / 64] |= 1ULL << (loc % 64);
}

/* A volume that is open for reading only keeps in frames what its log has: a node that is there, and changed, is the one that counts. */
static uint32_t changed_node(const struct check *k, uint64_t ino, unsigned int level, uint64_t index)
{
	const struct state *s = k->v->s;
	uint32_t f = s->read_only && level > 0 ? cache_find(s, ino, level, index) : NONE;

	return f != NONE && (s->frames[f].state & FRAME_DIRTY) ? f : NONE;
}

/* All below p. In phase space content is not read. */
static int walk(struct check *k, uint64_t ino, unsigned int level, uint64_t index, const struct format_ptr *p)
{
	uint32_t frame = changed_node(k, ino, level, index);
	uint64_t span = tree_span(level);
	struct format_node *n;
	int r = 0;

	if ((format_hole(p) && frame == NONE) || (index + 1) * span <= k->from)
		return 0;
	if (k->seen && !format_hole(p))
		mark(k, ino, index, p);
	if (level == 0 && k->seen)
		return 0;
	n = handle_alloc(k->v, sizeof(*n));
	if (!n)
		return -ENOMEM;
	if (frame != NONE)
		memcpy(n, cache_block(k->v->s, frame), sizeof(*n));
	else
		r = fetch(k, ino, level, index, p, (uint8_t *)n);
	if (r == 0 && level > 0 && (n->owner != ino || n->place != ((uint64_t)level << 56 | index))) {
		fault_report(k->v, "tree node", "place", format_get48(p->loc), ino, index, n->place,
			(uint64_t)level << 56 | index);
		count_fault(k);
		r = 1;
	}
	for (unsigned int i = 0; r == 0 && level > 0 && i < FORMAT_FANOUT; i++)
		r = walk(k, ino, level - 1, index * FORMAT_FANOUT + i, &n->ptr[i]);
	handle_dealloc(k->v, n, sizeof(*n));
	/* below what is not authentic nothing can be said; beside it all */
	return r > 0 ? 0 : r;
}

static int root_of(struct check *k, uint64_t ino, struct format_tree *ret, uint32_t *ret_mode)
{
	struct format_inode *i;
	struct format_tree *t;
	struct op op;
	long r;

	if (k->op.v) {
		op = k->op;
	} else {
		op_start(&op, k->v, VOLUME_SHARED, 0);
	}
	do {
		r = op_enter(&op);
		if (r == 0)
			r = tree_root(&op, ino, &t);
		if (r == 0) {
			i = (struct format_inode *)(void *)((uint8_t *)t -
							    offsetof(struct format_inode, tree));
			*ret = *t;
			*ret_mode = ino == 0 ? S_IFREG : i->mode;
		}
	} while (op_again(&op, &r));
	return (int)r;
}

static int tell(struct check *k, int (*progress)(void *, const struct volume_verify_progress *), void *ctx)
{
	struct state *s = k->v->s;
	struct volume_verify_progress p = {.blocks_done = k->cursor->blocks_done,
		.blocks_total = s->total - s->free_blocks - FORMAT_LOG_START - s->log_blocks,
		.inode = k->cursor->ino,
		.faults = k->cursor->faults};

	k->step = 0;
	return progress && progress(ctx, &p) != 0 ? -EINTR : 0;
}

/* One inode's tree in phase blocks. Freed blocks are not reused before a commit, which waits: pointers read once stay good. */
static int check_tree(struct check *k, uint64_t ino)
{
	struct format_tree t;
	uint32_t mode;
	int r;

	flow_lock(k->v);
	r = root_of(k, ino, &t, &mode);
	if (r == 0 && mode != 0 && t.height <= FORMAT_HEIGHT_MAX)
		r = walk(k, ino, t.height, 0, &t.root);
	flow_unlock(k->v);
	if (r == -EBADMSG)
		count_fault(k);
	return r == -EBADMSG || r == -ENOENT ? 0 : r;
}

static int check_map(struct check *k)
{
	struct state *s = k->v->s;
	uint8_t *buf = handle_alloc(k->v, FORMAT_BLOCK);
	int r = buf ? 0 : -ENOMEM;

	for (unsigned int l = 0; l < state_map_levels(s->total); l++)
		for (uint64_t i = 0; i < state_map_count(s->total, l) && r >= 0; i++)
			r = format_hole(&s->map[l][i]) ? 0 : fetch(k, NO_NUMBER, l, i, &s->map[l][i], buf);
	handle_dealloc(k->v, buf, FORMAT_BLOCK);
	return r < 0 ? r : 0;
}

/* Both superblocks are this volume's. */
static int check_supers(struct check *k)
{
	struct format_super f;
	int r = 0;

	for (unsigned int slot = 0; slot < 2 && r == 0; slot++) {
		r = super_read(k->v, slot, true, &f);
		if (r == -EBADMSG) {
			count_fault(k);
			r = 0;
		}
	}
	return r;
}

static int phase_blocks(
	struct check *k, int (*progress)(void *, const struct volume_verify_progress *), void *ctx)
{
	struct volume_verify_cursor *c = k->cursor;
	int r = 0;

	if (c->ino == 0) {
		flow_lock(k->v);
		r = check_supers(k);
		if (r == 0)
			r = check_map(k);
		flow_unlock(k->v);
	}
	for (; c->ino < k->high && r == 0; c->ino++) {
		r = check_tree(k, c->ino);
		if (r == 0 && (k->step >= STEP_BLOCKS || c->ino % 1024 == 0)) {
			r = tell(k, progress, ctx);
			if (r < 0) {
				c->ino++;
				break;
			}
		}
	}
	return r;
}

/* A block of a directory and those below it. */
static int check_dir_block(struct check *k, uint64_t dir, uint64_t block, uint64_t low, uint64_t high,
	unsigned int level, uint64_t *entries);

static int check_entry(struct check *k, uint64_t dir, const struct volume_dirent *e)
{
	struct format_inode *i;
	struct op op = k->op;
	long r;

	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get(&op, e->ino, &i);
		if (r == 0 && (i->mode & S_IFMT) >> 12 != e->type)
			r = fault_report(k->v, "directory", "type of an entry", NO_NUMBER, dir, 0, e->type,
				(i->mode & S_IFMT) >> 12);
		if (r == 0 && S_ISDIR(i->mode) && i->parent != dir)
			r = fault_report(k->v, "inode", "parent", NO_NUMBER, e->ino, 0, i->parent, dir);
		if (r == -ENOENT)
			r = fault_report(
				k->v, "directory", "inode of an entry", NO_NUMBER, dir, 0, e->ino, 0);
	} while (op_again(&op, &r));
	if (e->ino < k->high)
		k->links[e->ino]++;
	return (int)r;
}

static int read_block(struct check *k, uint64_t ino, uint64_t block, uint8_t *out)
{
	struct op op = k->op;
	uint32_t f;
	long r;

	do {
		r = op_enter(&op);
		if (r == 0)
			r = tree_read(&op, ino, block, 1, &f);
		if (r == TREE_HOLE)
			r = fault_report(k->v, "directory", "block", NO_NUMBER, ino, block, 0, block);
		if (r == 0)
			memcpy(out, cache_block(k->v->s, f), FORMAT_BLOCK);
	} while (op_again(&op, &r));
	return (int)r;
}

static int check_leaf(struct check *k, uint64_t dir, const uint8_t *p, uint64_t *entries)
{
	const struct format_dir *d = (const struct format_dir *)(const void *)p;
	int r = 0;

	for (unsigned int i = 0; i < d->count && (r == 0 || r == -EBADMSG); i++) {
		struct format_dirent e;
		struct volume_dirent out = {.ino = 0};
		uint16_t at;

		memcpy(&at, p + sizeof(*d) + 2u * i, 2);
		memcpy(&e, p + at, sizeof(e));
		out.ino = e.ino;
		out.type = e.type;
		++*entries;
		r = check_entry(k, dir, &out);
		if (r == -EBADMSG)
			count_fault(k);
	}
	return r == -EBADMSG ? 0 : r;
}

static int check_dir_block(struct check *k, uint64_t dir, uint64_t block, uint64_t low, uint64_t high,
	unsigned int level, uint64_t *entries)
{
	uint8_t *p = handle_alloc(k->v, FORMAT_BLOCK);
	const struct format_dir *d = (const struct format_dir *)(const void *)p;
	const struct format_dir_child *c = (const struct format_dir_child *)(const void *)(d + 1);
	int r = p ? read_block(k, dir, block, p) : -ENOMEM;

	if (r == 0)
		r = dir_check(&k->op, dir, block, low, high, level, p);
	if (r == 0 && d->level == 0)
		r = check_leaf(k, dir, p, entries);
	for (unsigned int i = 0; r == 0 && d->level > 0 && i < d->count; i++)
		r = check_dir_block(k, dir, c[i].block, i == 0 ? low : c[i].key,
			i + 1u < d->count ? c[i + 1].key : high, d->level - 1u, entries);
	handle_dealloc(k->v, p, FORMAT_BLOCK);
	if (r == -EBADMSG) {
		count_fault(k);
		r = 0;
	}
	return r;
}

/* A copy of an inode; mode 0: free. */
static int inode_copy(struct check *k, uint64_t ino, struct format_inode *ret)
{
	struct format_tree *t;
	struct op op = k->op;
	long r;

	do {
		r = op_enter(&op);
		if (r == 0)
			r = tree_root(&op, ino, &t);
		if (r == 0)
			memcpy(ret, (uint8_t *)t - offsetof(struct format_inode, tree), sizeof(*ret));
	} while (op_again(&op, &r));
	return (int)r;
}

static int check_links(struct check *k, uint64_t ino, const struct format_inode *i)
{
	uint64_t want = k->links[ino];

	/* a directory has itself and each directory in it, of which `links` counts those that point up to it */
	if (S_ISDIR(i->mode) || (i->mode & S_IFMT) == FORMAT_MODE_XATTR || i->nlink == want)
		return 0;
	fault_report(k->v, "inode", "number of links", NO_NUMBER, ino, 0, i->nlink, want);
	count_fault(k);
	return 0;
}

static int phase_structure(struct check *k)
{
	struct format_inode i;
	uint64_t inodes = 0;
	int r = 0;

	for (uint64_t ino = 1; ino < k->high && r == 0; ino++) {
		uint64_t entries = 0;

		r = inode_copy(k, ino, &i);
		if (r == -ENOENT || r == -EBADMSG) {
			r = 0;
			count_fault(k);
			continue;
		}
		inodes += i.mode != 0;
		if (r < 0 || !S_ISDIR(i.mode) || i.nlink == 0)
			continue;
		r = check_dir_block(k, ino, 0, 0, UINT64_MAX, 0, &entries);
		if (r == 0 && entries != i.dir_entries) {
			fault_report(k->v, "inode", "number of entries", NO_NUMBER, ino, 0, i.dir_entries,
				entries);
			count_fault(k);
		}
	}
	for (uint64_t ino = 2; ino < k->high && r == 0; ino++) {
		r = inode_copy(k, ino, &i);
		if (r == 0 && i.mode != 0)
			r = check_links(k, ino, &i);
		else if (r == -ENOENT || r == -EBADMSG)
			r = 0;
	}
	return r;
}

static int phase_space(struct check *k)
{
	struct state *s = k->v->s;
	struct format_tree t;
	uint32_t mode;
	int r = 0;

	for (uint64_t b = 0; b < FORMAT_LOG_START + s->log_blocks; b++)
		k->seen[b / 64] |= 1ULL << (b % 64);
	for (unsigned int l = 0; l < state_map_levels(s->total); l++)
		for (uint64_t i = 0; i < state_map_count(s->total, l); i++)
			if (!format_hole(&s->map[l][i]))
				mark(k, NO_NUMBER, i, &s->map[l][i]);
	k->from = 0;
	for (uint64_t ino = 0; ino < k->high && r == 0; ino++) {
		r = root_of(k, ino, &t, &mode);
		if (r == 0 && t.height <= FORMAT_HEIGHT_MAX)
			r = walk(k, ino, t.height, 0, &t.root);
		else if (r == -ENOENT || r == -EBADMSG)
			r = 0;
	}
	for (uint64_t w = 0; r == 0 && w * 64 < s->total; w++) {
		uint64_t lost = s->used[w] & ~s->pending[0][w] & ~s->pending[1][w] & ~k->seen[w];

		if (!lost)
			continue;
		fault_report(k->v, "space map", "bit of a block that nothing refers to",
			w * 64 + (uint64_t)__builtin_ctzll(lost), NO_NUMBER, 0, 1, 0);
		count_fault(k);
	}
	return r;
}

/* The number after the last inode's. held: as op of a check, whose caller has the locks. */
static int high_of(struct volume *v, const struct op *held, uint64_t *ret)
{
	struct format_record *rec;
	struct op op;
	long r;

	if (held)
		op = *held;
	else
		op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_record(&op, &rec, false);
		if (r == 0)
			*ret = rec->high;
	} while (op_again(&op, &r));
	return (int)r;
}

static int structural(struct check *k)
{
	struct volume *v = k->v;
	struct state *s = v->s;
	size_t bits, links = 0;
	int r;

	flow_lock(v);
	/* nothing may be changed and not written, so that frames and device say the same */
	for (unsigned int tries = 0;; tries++) {
		r = commit_all(v);
		state_lock(v, VOLUME_EXCLUSIVE);
		if (r < 0 || !s->changed || s->read_only || tries == 1000)
			break;
		state_unlock(v, VOLUME_EXCLUSIVE);
	}
	if (r == 0 && s->changed && !s->read_only)
		r = -EBUSY;
	op_start(&k->op, v, VOLUME_EXCLUSIVE, 16);
	k->op.held = true;
	k->op.flow = true;
	k->op.service = true;
	bits = (s->total + 63) / 64 * 8;
	k->links = NULL;
	k->seen = NULL;
	/* inodes were made while blocks were looked at */
	if (r == 0)
		r = high_of(v, &k->op, &k->high);
	if (r == 0) {
		links = k->high * sizeof(uint32_t);
		k->links = handle_alloc(v, links);
	}
	if (r == 0 && !k->links)
		r = -ENOMEM;
	if (r == 0) {
		memset(k->links, 0, links);
		r = phase_structure(k);
	}
	if (r == 0) {
		k->seen = handle_alloc(v, bits);
		r = k->seen ? 0 : -ENOMEM;
	}
	if (r == 0) {
		memset(k->seen, 0, bits);
		r = phase_space(k);
	}
	handle_dealloc(v, k->seen, bits);
	handle_dealloc(v, k->links, links);
	tx_commit(s);
	state_unlock(v, VOLUME_EXCLUSIVE);
	flow_unlock(v);
	return r;
}

int volume_verify(struct volume *v, struct volume_verify_cursor *cursor,
	int (*progress)(void *ctx, const struct volume_verify_progress *p), void *ctx)
{
	struct check *k = handle_alloc(v, sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	memset(k, 0, sizeof(*k));
	k->v = v;
	k->cursor = cursor;
	k->c = cipher_take(v);
	r = k->c ? volume_commit(v) : -ENOMEM;
	if (r == 0)
		r = high_of(v, NULL, &k->high);
	if (r == 0 && cursor->phase == PHASE_BLOCKS) {
		r = phase_blocks(k, progress, ctx);
		if (r == 0)
			cursor->phase = PHASE_STRUCTURE;
	}
	if (r == 0 && cursor->phase == PHASE_STRUCTURE) {
		r = structural(k);
		if (r == 0)
			cursor->phase = PHASE_DONE;
	}
	if (r == 0 && tell(k, progress, ctx) < 0)
		r = 0; /* nothing is left to stop */
	if (k->c)
		cipher_give(v, k->c);
	handle_dealloc(v, k, sizeof(*k));
	return r == 0 && cursor->faults > 0 ? -EBADMSG : r;
}
