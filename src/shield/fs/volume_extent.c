/* Content of files by its extent: truncate, holes, where data is. */
#include <errno.h>
#include "shield/fs/inode.h"

#define TRIM_BUDGET 512 /* blocks dropped in one transaction */

/* Zeros in [from, to) of one block, if it is there. */
static int zero_in_block(struct op *op, uint64_t ino, uint64_t from, uint64_t to)
{
	uint64_t index = from / FORMAT_BLOCK;
	size_t skip = from % FORMAT_BLOCK, n = (size_t)(to - from);
	uint32_t f, live;
	int r;

	if (from >= to)
		return 0;
	r = tree_read(op, ino, index, 1, &f);
	if (r == TREE_HOLE)
		return 0;
	if (r == 0)
		r = tree_live(op, ino, &live);
	if (r < 0)
		return r;
	cache_dirty(op->s, f, live, (unsigned int)(skip / FORMAT_CELL),
		(unsigned int)((skip + n - 1) / FORMAT_CELL));
	tx_save(op->s, cache_block(op->s, f) + skip, n);
	memset(cache_block(op->s, f) + skip, 0, n);
	return 0;
}

static int truncate_body(struct op *op, uint64_t ino, uint64_t size, bool *ret_more)
{
	struct format_inode *i;
	uint64_t old, first = (size + FORMAT_BLOCK - 1) / FORMAT_BLOCK;
	bool done = true;
	int r = inode_get_file(op, ino, &i);

	*ret_more = false;
	if (r < 0)
		return r;
	old = i->size;
	if ((i->flags & FORMAT_INODE_TRIM) && size > old)
		return -EAGAIN;
	r = op_room(op, 4, size < old);
	if (r == 0 && size < old)
		r = zero_in_block(op, ino, size, first * FORMAT_BLOCK);
	if (r == 0 && size < old)
		r = inode_log_drop(op, ino, size / FORMAT_BLOCK, size % FORMAT_BLOCK, UINT64_MAX);
	if (r == 0)
		r = inode_edit(op, ino, false, &i);
	if (r < 0)
		return r;
	i->size = size;
	i->mtime = i->ctime = op_now(op);
	if (size >= old)
		return 0;
	r = tree_drop(op, ino, first, UINT64_MAX, TRIM_BUDGET, &done);
	if (r == 0 && !done) {
		*ret_more = true;
		i->flags |= FORMAT_INODE_TRIM;
		r = inode_orphan(op, ino, true);
	}
	return r;
}

int volume_truncate(struct volume *v, uint64_t ino, uint64_t size)
{
	struct op op;
	bool more = false;
	long r;

	if (size > VOLUME_FILE_MAX)
		return -EFBIG;
	do {
		op_start(&op, v, VOLUME_EXCLUSIVE, 24);
		do {
			r = op_enter(&op);
			if (r == 0)
				r = truncate_body(&op, ino, size, &more);
		} while (op_again(&op, &r));
		if (r == 0 && more)
			return inode_reap_all(v, ino, false);
		if (r == -EAGAIN && inode_reap_all(v, ino, false) < 0)
			return -EIO;
	} while (r == -EAGAIN);
	return (int)r;
}

/* Zeros in [from, to): holes where whole blocks are. One step: *ret_done when that was all. */
static int punch_body(
	struct op *op, uint64_t ino, uint64_t from, uint64_t to, uint64_t new_size, bool *ret_done)
{
	struct format_inode *i;
	uint64_t first = (from + FORMAT_BLOCK - 1) / FORMAT_BLOCK, end = to / FORMAT_BLOCK, block_end;
	int r = inode_get_file(op, ino, &i);

	*ret_done = true;
	if (r < 0)
		return r;
	if ((i->flags & FORMAT_INODE_TRIM) && new_size > i->size)
		return -EAGAIN;
	r = op_room(op, 4, true);
	block_end = first * FORMAT_BLOCK < to ? first * FORMAT_BLOCK : to;
	if (r == 0)
		r = zero_in_block(op, ino, from, block_end);
	if (r == 0 && end >= first)
		r = zero_in_block(op, ino, end * FORMAT_BLOCK, to);
	if (r == 0)
		r = inode_edit(op, ino, false, &i);
	if (r < 0)
		return r;
	if (new_size > i->size)
		i->size = new_size;
	i->mtime = i->ctime = op_now(op);
	if (end <= first)
		return 0;
	r = inode_log_drop(op, ino, first, 0, end - first);
	return r == 0 ? tree_drop(op, ino, first, end - 1, TRIM_BUDGET, ret_done) : r;
}

static int punch(struct volume *v, uint64_t ino, uint64_t from, uint64_t to, uint64_t new_size)
{
	struct op op;
	bool done;
	long r;

	do {
		op_start(&op, v, VOLUME_EXCLUSIVE, 24);
		do {
			r = op_enter(&op);
			if (r == 0)
				r = punch_body(&op, ino, from, to, new_size, &done);
		} while (op_again(&op, &r));
		if (r == -EAGAIN) {
			done = false;
			r = inode_reap_all(v, ino, false);
		}
	} while (r == 0 && !done);
	return (int)r;
}

static int preallocate_body(struct op *op, uint64_t ino, uint64_t off, uint64_t n, bool keep)
{
	struct format_inode *i;
	uint64_t there = 0;
	int r = inode_get_file(op, ino, &i);

	if (r < 0)
		return r;
	if ((i->flags & FORMAT_INODE_TRIM) && off + n > i->size)
		return -EAGAIN;
	if (i->size > off)
		there = i->tree.blocks;
	if (n / FORMAT_BLOCK > there)
		r = op_room(op, (n / FORMAT_BLOCK - there) / 2, false);
	if (r < 0 || keep || off + n <= i->size)
		return r;
	r = inode_edit(op, ino, false, &i);
	if (r < 0)
		return r;
	i->size = off + n;
	i->ctime = op_now(op);
	return 0;
}

int volume_fallocate(struct volume *v, uint64_t ino, uint64_t off, uint64_t n, unsigned int flags)
{
	struct op op;
	long r;

	if (n == 0 || flags & ~7u || (flags & 6u) == 6u)
		return -EINVAL;
	if (off > VOLUME_FILE_MAX || n > VOLUME_FILE_MAX - off)
		return -EFBIG;
	if (flags & (VOLUME_FALLOC_PUNCH_HOLE | VOLUME_FALLOC_ZERO_RANGE))
		return punch(v, ino, off, off + n,
			flags & (VOLUME_FALLOC_PUNCH_HOLE | VOLUME_FALLOC_KEEP_SIZE) ? 0 : off + n);
	do {
		op_start(&op, v, VOLUME_EXCLUSIVE, 16);
		do {
			r = op_enter(&op);
			if (r == 0)
				r = preallocate_body(&op, ino, off, n, flags & VOLUME_FALLOC_KEEP_SIZE);
		} while (op_again(&op, &r));
		if (r == -EAGAIN && inode_reap_all(v, ino, false) < 0)
			return -EIO;
	} while (r == -EAGAIN);
	return (int)r;
}

static int seek_body(struct op *op, uint64_t ino, uint64_t off, uint64_t *at, bool hole, uint64_t *ret)
{
	struct format_inode *i;
	uint64_t block;
	int r = inode_get_file(op, ino, &i);

	if (r < 0)
		return r;
	if (off >= i->size)
		return -ENXIO;
	r = tree_seek(op, ino, off / FORMAT_BLOCK, at, hole, &block);
	if (r < 0)
		return r;
	if (!hole && (block == UINT64_MAX || block * FORMAT_BLOCK >= i->size))
		return -ENXIO;
	*ret = block == UINT64_MAX || block * FORMAT_BLOCK > i->size ? i->size : block * FORMAT_BLOCK;
	if (*ret < off)
		*ret = off;
	return 0;
}

static int seek(struct volume *v, uint64_t ino, uint64_t off, bool hole, uint64_t *ret)
{
	uint64_t at = off / FORMAT_BLOCK, before;
	struct op op;
	long r;

	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		before = at;
		r = op_enter(&op);
		if (r == 0)
			r = seek_body(&op, ino, off, &at, hole, ret);
		/* a long search misses often, and each time gets somewhere */
		if (at > before)
			op.rounds = 0;
	} while (op_again(&op, &r));
	return (int)r;
}

int volume_seek_data(struct volume *v, uint64_t ino, uint64_t off, uint64_t *ret)
{
	return seek(v, ino, off, false, ret);
}

int volume_seek_hole(struct volume *v, uint64_t ino, uint64_t off, uint64_t *ret)
{
	return seek(v, ino, off, true, ret);
}
