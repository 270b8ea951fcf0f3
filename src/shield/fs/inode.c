#include "shield/fs/inode.h"

#include <errno.h>
#include <sys/stat.h>
#include "shield/fs/space.h"

#define REAP_BUDGET 512

int64_t op_now(struct op *op)
{
	return op->v->env.clock(op->v->env.ctx);
}

static struct format_inode *slot(struct state *s, uint32_t f, uint64_t ino)
{
	return (struct format_inode *)(void *)cache_block(s, f) + ino % FORMAT_INODES_PER_BLOCK;
}

static int frame_of(struct op *op, uint64_t ino, uint32_t *ret)
{
	int r;

	/* far beyond what any volume holds; also keeps shifts of the number from overflowing */
	if (ino >= (uint64_t)1 << 50)
		return -ENOENT;
	r = tree_read(op, 0, ino / FORMAT_INODES_PER_BLOCK, 1, ret);
	return r == TREE_HOLE ? -ENOENT : r;
}

int inode_get(struct op *op, uint64_t ino, struct format_inode **ret)
{
	uint32_t f;
	int r;

	if (ino == 0)
		return -ENOENT;
	r = frame_of(op, ino, &f);
	if (r < 0)
		return r;
	*ret = slot(op->s, f, ino);
	return (*ret)->mode == 0 || ((*ret)->mode & S_IFMT) == FORMAT_MODE_XATTR ? -ENOENT : 0;
}

int inode_get_file(struct op *op, uint64_t ino, struct format_inode **ret)
{
	int r = inode_get(op, ino, ret);

	if (r < 0)
		return r;
	if (S_ISDIR((*ret)->mode))
		return -EISDIR;
	return S_ISREG((*ret)->mode) ? 0 : -EINVAL;
}

int inode_get_dir(struct op *op, uint64_t dir, struct format_inode **ret)
{
	int r = inode_get(op, dir, ret);

	if (r < 0)
		return r;
	return S_ISDIR((*ret)->mode) ? 0 : -ENOTDIR;
}

/* Mark the logged cells of a slot of the inode table. */
static int edit_slot(struct op *op, uint64_t ino, uint32_t f, bool quiet)
{
	struct format_inode *i = slot(op->s, f, ino);
	unsigned int cell = (unsigned int)(ino % FORMAT_INODES_PER_BLOCK) * 4;
	uint32_t live;
	int r = tree_live(op, 0, &live);

	if (r < 0)
		return r;
	cache_dirty(op->s, f, live, quiet ? 1 : cell, quiet ? 0 : cell + 1);
	tx_save(op->s, i, offsetof(struct format_inode, zero));
	return 0;
}

int inode_edit(struct op *op, uint64_t ino, bool quiet, struct format_inode **ret)
{
	uint32_t f;
	int r = frame_of(op, ino, &f);

	if (r == 0)
		r = edit_slot(op, ino, f, quiet);
	if (r < 0)
		return r;
	*ret = slot(op->s, f, ino);
	if (!quiet)
		(*ret)->change++;
	return 0;
}

int inode_record(struct op *op, struct format_record **ret, bool edit)
{
	uint32_t f;
	int r = frame_of(op, 0, &f);

	if (r == 0 && edit)
		r = edit_slot(op, 0, f, false);
	if (r == 0)
		*ret = (struct format_record *)(void *)slot(op->s, f, 0);
	return r;
}

int inode_new(struct op *op, uint32_t mode, uint32_t uid, uint32_t gid, uint64_t *ret_ino,
	struct format_inode **ret)
{
	struct format_record *rec;
	struct format_inode *i;
	uint64_t ino, gen;
	int64_t now = op_now(op);
	uint32_t f;
	int r = inode_record(op, &rec, true);

	if (r < 0)
		return r;
	ino = rec->free_head ? rec->free_head : rec->high;
	r = tree_write(op, 0, ino / FORMAT_INODES_PER_BLOCK, false, &f);
	if (r == 0)
		r = edit_slot(op, ino, f, false);
	if (r < 0)
		return r;
	i = slot(op->s, f, ino);
	if (rec->free_head) {
		if (i->mode != 0)
			return fault_report(
				op->v, "inode", "mode of a free inode", NO_NUMBER, ino, 0, i->mode, 0);
		rec->free_head = i->next;
	} else {
		rec->high++;
	}
	rec->inodes++;
	gen = i->gen;
	memset(i, 0, offsetof(struct format_inode, zero));
	i->mode = mode;
	i->uid = uid;
	i->gid = gid;
	i->atime = i->mtime = i->ctime = i->btime = now;
	i->gen = gen + 1;
	*ret_ino = ino;
	*ret = i;
	return 0;
}

int inode_free(struct op *op, uint64_t ino)
{
	struct format_record *rec;
	struct format_inode *i;
	uint64_t gen;
	int r = inode_record(op, &rec, true);

	if (r == 0)
		r = inode_edit(op, ino, false, &i);
	if (r < 0)
		return r;
	gen = i->gen;
	memset(i, 0, offsetof(struct format_inode, zero));
	i->gen = gen;
	i->next = rec->free_head;
	rec->free_head = ino;
	rec->inodes--;
	return 0;
}

int inode_orphan(struct op *op, uint64_t ino, bool in)
{
	struct format_record *rec;
	struct format_inode *i, *other;
	int r = inode_record(op, &rec, true);

	if (r == 0)
		r = inode_edit(op, ino, false, &i);
	if (r < 0)
		return r;
	if (in == ((i->flags & FORMAT_INODE_ORPHAN) != 0))
		return 0;
	if (in) {
		if (rec->orphan_head) {
			r = inode_edit(op, rec->orphan_head, false, &other);
			if (r < 0)
				return r;
			other->prev = ino;
		}
		i->next = rec->orphan_head;
		i->prev = 0;
		rec->orphan_head = ino;
		i->flags |= FORMAT_INODE_ORPHAN;
		return 0;
	}
	if (i->next) {
		r = inode_edit(op, i->next, false, &other);
		if (r < 0)
			return r;
		other->prev = i->prev;
	}
	if (i->prev) {
		r = inode_edit(op, i->prev, false, &other);
		if (r < 0)
			return r;
		other->next = i->next;
	} else {
		rec->orphan_head = i->next;
	}
	i->next = 0;
	i->prev = 0;
	i->flags &= ~FORMAT_INODE_ORPHAN;
	return 0;
}

uint32_t inode_holds(const struct state *s, uint64_t ino)
{
	uint32_t l = live_find(s, ino);

	return l == NONE ? 0 : s->lives[l].holds;
}

int inode_log_drop(struct op *op, uint64_t ino, uint64_t first, unsigned int offset, uint64_t count)
{
	struct state *s = op->s;
	struct drop *d;

	if (s->drop_count == DROPS_MAX) {
		if (!s->must_commit)
			tx_set_bool(s, &s->must_commit, true);
		return 0;
	}
	d = &s->drops[s->drop_count];
	tx_save(s, d, sizeof(*d));
	*d = (struct drop){.ino = ino, .index = first, .count = count, .offset = offset};
	tx_set32(s, &s->drop_count, s->drop_count + 1);
	return 0;
}

static int free_xattr(struct op *op, struct format_inode *i)
{
	bool done = false;
	int r = tree_drop(op, i->xattr, 0, UINT64_MAX, REAP_BUDGET, &done);

	if (r == 0 && !done)
		return -EIO; /* VOLUME_XATTR_TOTAL_MAX is far below the budget */
	if (r == 0)
		r = inode_log_drop(op, i->xattr, 0, 0, UINT64_MAX);
	if (r == 0)
		r = inode_free(op, i->xattr);
	if (r == 0)
		i->xattr = 0;
	return r;
}

int inode_reap(struct op *op, uint64_t ino, bool *ret_done)
{
	struct format_inode *i;
	bool gone, done;
	uint64_t from;
	int r = inode_get(op, ino, &i);

	*ret_done = true;
	if (r == -ENOENT || (r == 0 && !(i->flags & FORMAT_INODE_ORPHAN)))
		return 0;
	if (r < 0)
		return r;
	gone = i->nlink == 0 && inode_holds(op->s, ino) == 0;
	if (!gone && !(i->flags & FORMAT_INODE_TRIM))
		return 0;
	from = gone ? 0 : (i->size + FORMAT_BLOCK - 1) / FORMAT_BLOCK;
	*ret_done = false;
	r = tree_drop(op, ino, from, UINT64_MAX, REAP_BUDGET, &done);
	if (r < 0 || !done)
		return r;
	r = inode_edit(op, ino, false, &i);
	if (r == 0 && (gone || i->nlink > 0))
		r = inode_orphan(op, ino, false);
	if (r == 0)
		i->flags &= ~FORMAT_INODE_TRIM;
	if (r == 0 && gone && i->xattr)
		r = free_xattr(op, i);
	if (r == 0 && gone)
		r = inode_log_drop(op, ino, 0, 0, UINT64_MAX);
	if (r == 0 && gone)
		r = inode_free(op, ino);
	if (r == 0)
		*ret_done = true;
	return r;
}

int inode_reap_all(struct volume *v, uint64_t ino, bool service)
{
	struct op op;
	bool done = false;
	long r = 0;

	while (!done && r == 0) {
		op_start(&op, v, VOLUME_EXCLUSIVE, 16);
		op.service = service;
		do {
			r = op_enter(&op);
			if (r == 0)
				r = inode_reap(&op, ino, &done);
		} while (op_again(&op, &r));
	}
	return (int)r;
}

/* The next orphan after one that is done or held; 0: none. */
static int next_orphan(struct op *op, uint64_t *at, bool next)
{
	struct format_record *rec;
	struct format_inode *i;
	int r;

	if (!next) {
		r = inode_record(op, &rec, false);
		if (r == 0)
			*at = rec->orphan_head;
		return r;
	}
	r = inode_get(op, *at, &i);
	if (r == 0)
		*at = i->next;
	return r;
}

/* What inode_reap would leave in the list is not there by right; waiting for it to go would not end. */
static int check_orphan(struct op *op, uint64_t ino)
{
	struct format_inode *i;
	int r = inode_get(op, ino, &i);

	if (r == -ENOENT)
		return fault_report(op->v, "inode", "an orphan that is free", NO_NUMBER, ino, 0, 0, 1);
	if (r == 0 &&
		(!(i->flags & FORMAT_INODE_ORPHAN) || (i->nlink > 0 && !(i->flags & FORMAT_INODE_TRIM))))
		return fault_report(op->v, "inode", "flags of an orphan", NO_NUMBER, ino, 0, i->flags,
			FORMAT_INODE_ORPHAN);
	return r;
}

int inode_reap_orphans(struct volume *v, uint64_t *ret_count)
{
	struct op op;
	uint64_t ino, count = 0;
	long r;

	for (;;) {
		op_start(&op, v, VOLUME_EXCLUSIVE, 16);
		op.service = true;
		do {
			ino = 0;
			r = op_enter(&op);
			if (r == 0)
				r = next_orphan(&op, &ino, false);
			while (r == 0 && ino && inode_holds(v->s, ino) > 0)
				r = next_orphan(&op, &ino, true);
			if (r == 0 && ino)
				r = check_orphan(&op, ino);
		} while (op_again(&op, &r));
		if (r < 0 || ino == 0)
			break;
		r = inode_reap_all(v, ino, true);
		if (r < 0)
			break;
		count++;
	}
	if (r == 0)
		*ret_count = count;
	return (int)r;
}

int inode_meta_write(struct op *op, uint64_t ino, uint64_t off, const void *p, size_t n)
{
	const uint8_t *from = p;
	uint32_t f, live;
	int r = 0;

	while (n > 0 && r == 0) {
		size_t at = off % FORMAT_BLOCK, take = FORMAT_BLOCK - at < n ? FORMAT_BLOCK - at : n;

		r = tree_write(op, ino, off / FORMAT_BLOCK, false, &f);
		if (r == 0)
			r = tree_live(op, ino, &live);
		if (r < 0)
			break;
		cache_dirty(op->s, f, live, (unsigned int)(at / FORMAT_CELL),
			(unsigned int)((at + take - 1) / FORMAT_CELL));
		tx_save(op->s, cache_block(op->s, f) + at, take);
		memcpy(cache_block(op->s, f) + at, from, take);
		from += take;
		off += take;
		n -= take;
	}
	return r;
}

int inode_meta_read(struct op *op, uint64_t ino, uint64_t off, void *p, size_t n)
{
	uint8_t *to = p;
	uint32_t f;
	int r = 0;

	while (n > 0) {
		size_t at = off % FORMAT_BLOCK, take = FORMAT_BLOCK - at < n ? FORMAT_BLOCK - at : n;

		r = tree_read(op, ino, off / FORMAT_BLOCK, 32, &f);
		if (r < 0)
			return r;
		if (r == TREE_HOLE)
			memset(to, 0, take);
		else
			memcpy(to, cache_block(op->s, f) + at, take);
		to += take;
		off += take;
		n -= take;
	}
	return 0;
}

void inode_attr(uint64_t ino, const struct format_inode *i, struct volume_attr *ret)
{
	*ret = (struct volume_attr){.ino = ino,
		.gen = i->gen,
		.mode = i->mode,
		.nlink = i->nlink,
		.uid = i->uid,
		.gid = i->gid,
		.rdev = i->rdev,
		.size = i->size,
		.blocks = i->tree.blocks,
		.atime = i->atime,
		.mtime = i->mtime,
		.ctime = i->ctime,
		.btime = i->btime,
		.change = i->change};
}
