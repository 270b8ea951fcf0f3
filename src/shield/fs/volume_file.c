/* Content of files, attributes, durability. */
#include <errno.h>
#include <sys/stat.h>
#include "shield/fs/commit.h"
#include "shield/fs/inode.h"
#include "shield/fs/intent_log.h"
#include "shield/fs/space.h"
#include "shield/fs/writeback.h"

#define CHUNK_MAX 128
#define STREAM_MIN 1024 /* blocks written in a row that begin to go to their places */
#define STREAM_STEP 256
#define INLINE_MAX 64 /* changed blocks that fsync puts into the log itself; more go to their places */

int volume_hold(struct volume *v, uint64_t ino, uint64_t gen)
{
	struct format_inode *i;
	struct op op;
	uint32_t l;
	long r;

	op_start(&op, v, VOLUME_EXCLUSIVE, 0);
	op.service = true;
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get(&op, ino, &i);
		if (r == 0 && gen && i->gen != gen)
			r = -ESTALE;
		if (r < 0)
			continue;
		l = live_get(op.s, ino, !S_ISREG(i->mode));
		if (l == NONE)
			r = OP_COMMIT;
		else
			tx_set32(op.s, &op.s->lives[l].holds, op.s->lives[l].holds + 1);
	} while (op_again(&op, &r));
	return (int)r;
}

int volume_holds(struct volume *v, uint64_t ino, uint32_t *ret)
{
	struct format_inode *i;
	struct op op;
	long r;

	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get(&op, ino, &i);
		if (r == 0)
			*ret = inode_holds(v->s, ino);
	} while (op_again(&op, &r));
	return (int)r;
}

int volume_release_only(struct volume *v, uint64_t ino, uint32_t n)
{
	struct state *s = v->s;
	struct format_inode *i;
	struct op op;
	bool reap = false;
	uint32_t l;
	long r;

	op_start(&op, v, VOLUME_EXCLUSIVE, 0);
	op.service = true;
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get(&op, ino, &i);
		if (r < 0)
			continue;
		l = ino == 0 ? NONE : live_find(s, ino);
		if (l == NONE || s->lives[l].holds < n) {
			r = -EINVAL;
			continue;
		}
		tx_set32(s, &s->lives[l].holds, s->lives[l].holds - n);
		reap = s->lives[l].holds == 0 && i->nlink == 0 && !s->read_only;
		live_put(s, l);
	} while (op_again(&op, &r));
	return r < 0 ? (int)r : reap;
}

int volume_reap(struct volume *v, uint64_t ino)
{
	uint64_t count;

	if (v->s->read_only || v->s->failed)
		return 0;
	return ino ? inode_reap_all(v, ino, false) : inode_reap_orphans(v, &count);
}

int volume_release(struct volume *v, uint64_t ino, uint32_t n)
{
	int r = volume_release_only(v, ino, n);

	return r > 0 ? volume_reap(v, ino) : r;
}

int volume_getattr(struct volume *v, uint64_t ino, struct volume_attr *ret)
{
	struct format_inode *i;
	struct op op;
	long r;

	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get(&op, ino, &i);
		if (r == 0)
			inode_attr(ino, i, ret);
	} while (op_again(&op, &r));
	return (int)r;
}

static int setattr_body(struct op *op, uint64_t ino, unsigned int what, const struct volume_attr *a)
{
	struct format_inode *i;
	int r = inode_get(op, ino, &i);

	if (r == 0)
		r = op_room(op, 2, true);
	if (r == 0)
		r = inode_edit(op, ino, what & VOLUME_SET_ATIME_ONLY, &i);
	if (r < 0)
		return r;
	if (what & VOLUME_SET_MODE)
		i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	if (what & VOLUME_SET_UID)
		i->uid = a->uid;
	if (what & VOLUME_SET_GID)
		i->gid = a->gid;
	if (what & (VOLUME_SET_ATIME | VOLUME_SET_ATIME_ONLY))
		i->atime = a->atime;
	if (what & VOLUME_SET_MTIME)
		i->mtime = a->mtime;
	if (what & VOLUME_SET_CTIME)
		i->ctime = a->ctime;
	else if (!(what & VOLUME_SET_ATIME_ONLY))
		i->ctime = op_now(op);
	return 0;
}

int volume_setattr(struct volume *v, uint64_t ino, unsigned int what, const struct volume_attr *a)
{
	struct op op;
	long r;

	if (what == 0 || (what & VOLUME_SET_ATIME_ONLY && what != VOLUME_SET_ATIME_ONLY))
		return -EINVAL;
	op_start(&op, v, VOLUME_EXCLUSIVE, 16);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = setattr_body(&op, ino, what, a);
	} while (op_again(&op, &r));
	return (int)r;
}

struct reader {
	uint64_t ino, off;
	uint8_t *p;
	size_t n, done;
};

/* How much to read when block index is missing: what is asked for, and more when the file is read in order. */
static unsigned int read_ahead(struct op *op, const struct reader *rd, uint64_t index)
{
	uint64_t need = (rd->off + rd->n - 1) / FORMAT_BLOCK - index + 1;
	uint32_t l = live_find(op->s, rd->ino);

	if (l != NONE && (index == 0 || atomic_load_explicit(
						&op->s->lives[l].read_next, memory_order_relaxed) == index))
		need = FORMAT_FANOUT;
	if (need > op->s->frame_count / 8)
		need = op->s->frame_count / 8;
	return need < FORMAT_FANOUT ? (unsigned int)need : FORMAT_FANOUT;
}

static int read_miss(struct op *op, struct reader *rd, uint64_t size, uint64_t index, uint32_t *ret)
{
	int r = tree_read(op, rd->ino, index, read_ahead(op, rd, index), ret);
	uint32_t l;

	/* a node may be what is missing first */
	if (r == OP_MISS && op->miss.level == 0 && op->miss.ino == rd->ino) {
		l = live_find(op->s, rd->ino);
		if (l != NONE)
			atomic_store_explicit(
				&op->s->lives[l].read_next, index + op->miss.n, memory_order_relaxed);
		op->miss.passing = op->miss.n > 1 && size / FORMAT_BLOCK > op->s->frame_count;
		stat_add(&op->s->stats.misses, 1);
	}
	return r;
}

static int read_body(struct op *op, struct reader *rd)
{
	struct state *s = op->s;
	struct format_inode *i;
	uint64_t hits = 0;
	int r = inode_get_file(op, rd->ino, &i);

	if (r < 0)
		return r;
	if (rd->off + rd->done >= i->size)
		return 0;
	if (rd->n > i->size - rd->off)
		rd->n = i->size - rd->off;
	while (rd->done < rd->n) {
		uint64_t at = rd->off + rd->done, index = at / FORMAT_BLOCK;
		size_t skip = at % FORMAT_BLOCK, take = FORMAT_BLOCK - skip;
		uint32_t f = cache_find(s, rd->ino, 0, index);

		if (take > rd->n - rd->done)
			take = rd->n - rd->done;
		if (f == NONE) {
			r = read_miss(op, rd, i->size, index, &f);
			if (r < 0)
				break;
		}
		if (r == TREE_HOLE) {
			memset(rd->p + rd->done, 0, take);
			r = 0;
		} else {
			cache_use(&s->frames[f]);
			memcpy(rd->p + rd->done, cache_block(s, f) + skip, take);
			hits++;
		}
		rd->done += take;
	}
	if (hits)
		stat_add(&s->stats.hits, hits);
	return r < 0 ? r : 0;
}

long volume_read(struct volume *v, uint64_t ino, uint64_t off, void *p, size_t n)
{
	struct reader rd = {.ino = ino, .off = off, .p = p, .n = n};
	struct op op;
	long r;

	if (n > INT64_MAX || off > VOLUME_FILE_MAX)
		return off > INT64_MAX || n > INT64_MAX ? -EINVAL : 0;
	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		size_t before = rd.done;

		r = op_enter(&op);
		if (r == 0)
			r = read_body(&op, &rd);
		/* a long read misses often, and each time gets somewhere */
		if (rd.done > before)
			op.rounds = 0;
	} while (op_again(&op, &r));
	/* what was read before something failed is right */
	return r < 0 && rd.done == 0		     ? r
	       : r < 0 && r != -EBADMSG && r != -EIO ? (long)rd.done
	       : r < 0				     ? r
						     : (long)rd.done;
}

struct writer {
	uint64_t ino, off;
	bool direct;
	const uint8_t *p;
	size_t n; /* of this chunk */
	uint64_t reserve; /* all of an append that takes several chunks: its end is the file's at once */
	bool append;
	uint64_t
		settled; /* not 0: a long run of blocks in a row ends here, and those before may go to their places */
	bool passing; /* and out of the cache */
};

/* Frames for the chunk; fresh ones get their content at once, for nobody sees them before the transaction is done. */
static int write_frames(struct op *op, const struct writer *w, uint32_t *frames, bool *fresh)
{
	struct state *s = op->s;
	uint32_t live;
	size_t done = 0;
	int r = tree_live(op, w->ino, &live);

	for (unsigned int k = 0; done < w->n && r == 0; k++) {
		uint64_t at = w->off + done, index = at / FORMAT_BLOCK;
		size_t skip = at % FORMAT_BLOCK,
		       take = FORMAT_BLOCK - skip < w->n - done ? FORMAT_BLOCK - skip : w->n - done;
		uint32_t f = cache_find(s, w->ino, 0, index);

		fresh[k] = f == NONE;
		if (f == NONE)
			r = tree_write(op, w->ino, index, take == FORMAT_BLOCK, &f);
		if (r < 0)
			break;
		cache_use(&s->frames[f]);
		cache_dirty(s, f, live, (unsigned int)(skip / FORMAT_CELL),
			(unsigned int)((skip + take - 1) / FORMAT_CELL));
		if (fresh[k])
			memcpy(cache_block(s, f) + skip, w->p + done, take);
		frames[k] = f;
		done += take;
	}
	if (r == 0 && w->direct)
		live_want(s, live);
	return r;
}

/* Blocks written in a row: as they come, a whole batch at a time, they go to their places, so that the disk works meanwhile and little is left for fsync.
 * What takes more than a quarter of the cache is not kept there: the same few frames serve for it, which are in the processor's caches. */
static void note_run(struct state *s, struct writer *w)
{
	uint64_t first = w->off / FORMAT_BLOCK, next = (w->off + w->n) / FORMAT_BLOCK;
	uint32_t l = live_find(s, w->ino);

	if (l == NONE)
		return;
	if (s->lives[l].write_next != (uint32_t)first)
		s->lives[l].write_run = 0;
	s->lives[l].write_next = (uint32_t)next;
	if (s->lives[l].write_run < s->frame_count)
		s->lives[l].write_run += (uint32_t)(next - first);
	w->passing = s->lives[l].write_run > s->frame_count / 4;
	w->settled =
		s->lives[l].write_run >= STREAM_MIN && next / STREAM_STEP != first / STREAM_STEP ? next : 0;
}

static long write_body(struct op *op, struct writer *w)
{
	struct state *s = op->s;
	struct format_inode *i;
	uint32_t frames[CHUNK_MAX + 1];
	bool fresh[CHUNK_MAX + 1];
	uint64_t end;
	int r = inode_get_file(op, w->ino, &i);

	if (r < 0)
		return r;
	if (w->append)
		w->off = i->size;
	if (w->off >= VOLUME_FILE_MAX || w->n > VOLUME_FILE_MAX - w->off)
		return -EFBIG;
	end = w->off + (w->reserve > w->n ? w->reserve : w->n);
	if (end > VOLUME_FILE_MAX)
		return -EFBIG;
	if ((i->flags & FORMAT_INODE_TRIM) && end > i->size)
		return -EAGAIN;
	r = op_room(op, w->n / FORMAT_BLOCK + 2, false);
	if (r == 0)
		r = write_frames(op, w, frames, fresh);
	if (r == 0)
		r = inode_edit(op, w->ino, false, &i);
	if (r < 0)
		return r;
	if (end > i->size)
		i->size = end;
	i->mtime = i->ctime = op_now(op);
	if (s->failed)
		return s->failed;
	note_run(s, w);
	/* From here on it has happened; a process that dies while it copies leaves a part of it, as a write may. */
	tx_commit(s);
	for (size_t k = 0, done = 0; done < w->n; k++) {
		size_t skip = (w->off + done) % FORMAT_BLOCK,
		       take = FORMAT_BLOCK - skip < w->n - done ? FORMAT_BLOCK - skip : w->n - done;

		if (!fresh[k])
			memcpy(cache_block(s, frames[k]) + skip, w->p + done, take);
		done += take;
	}
	return (long)w->n;
}

static long write_chunk(struct volume *v, struct writer *w)
{
	struct op op;
	long r;

	for (;;) {
		op_start(&op, v, VOLUME_EXCLUSIVE, (uint32_t)(w->n / FORMAT_BLOCK) + 18);
		do {
			r = op_enter(&op);
			if (r == 0)
				r = write_body(&op, w);
		} while (op_again(&op, &r));
		if (r != -EAGAIN)
			return r;
		r = inode_reap_all(v, w->ino, false);
		if (r < 0)
			return r;
	}
}

/* An append that failed midway: give back what its first chunk laid claim to, unless somebody has written behind it. */
static void unreserve(struct volume *v, uint64_t ino, uint64_t end, uint64_t claimed)
{
	struct volume_attr a;

	if (volume_getattr(v, ino, &a) == 0 && a.size == claimed && volume_truncate(v, ino, end) < 0)
		return; /* zeros at the end then, as after a write that was cut off */
}

long volume_write(struct volume *v, uint64_t ino, uint64_t off, const void *p, size_t n, unsigned int flags,
	uint64_t *ret_off)
{
	struct writer w = {.ino = ino,
		.off = off,
		.p = p,
		.append = flags & VOLUME_APPEND,
		.direct = flags & VOLUME_DIRECT};
	size_t chunk = v->s->frame_count / 16 < CHUNK_MAX ? v->s->frame_count / 16 : CHUNK_MAX, done = 0;
	uint64_t start = off;
	bool append = w.append;
	long r = 0;

	if (n > VOLUME_FILE_MAX || off > INT64_MAX)
		return off > INT64_MAX || n > INT64_MAX ? -EINVAL : -EFBIG;
	if (n == 0)
		return 0;
	chunk *= FORMAT_BLOCK;
	/* what goes beyond the largest file is cut off, unless nothing is left */
	if (!append && off < VOLUME_FILE_MAX && n > VOLUME_FILE_MAX - off)
		n = VOLUME_FILE_MAX - off;
	while (done < n) {
		w.p = (const uint8_t *)p + done;
		w.n = n - done < chunk ? n - done : chunk;
		w.reserve = append && done == 0 ? n : 0;
		/* whole blocks but for the first and the last */
		if (!w.append && w.n < n - done)
			w.n -= (w.off + w.n) % FORMAT_BLOCK;
		r = write_chunk(v, &w);
		if (r < 0)
			break;
		if (done == 0)
			start = w.off;
		if (w.settled)
			commit_stream(v, ino, w.settled, w.passing);
		done += (size_t)r;
		w.off += (uint64_t)r;
		w.append = false;
	}
	if (r < 0 && append && done > 0)
		unreserve(v, ino, start + done, start + n);
	if (r < 0 && done == 0)
		return r;
	if (ret_off)
		*ret_off = start;
	return (long)done;
}

/* State lock held: is so much of the inode changed that it had better go to its places? */
static bool many_changed(const struct state *s, uint32_t l)
{
	unsigned int n = 0;

	for (uint32_t f = s->lives[l].unlogged_head; f != NONE && n <= INLINE_MAX;
		f = s->frames[f].unlogged_next)
		n++;
	return n > INLINE_MAX;
}

/* One that fsync waits for and that is changed so much; 0: none. */
static uint64_t many_wanted(struct volume *v)
{
	struct state *s = v->s;
	uint64_t ino = 0;

	state_lock(v, VOLUME_SHARED);
	for (uint32_t l = s->wanted_head; l != NONE && ino == 0; l = s->lives[l].wanted_next)
		if (many_changed(s, l))
			ino = s->lives[l].ino;
	state_unlock(v, VOLUME_SHARED);
	return ino;
}

int volume_fsync(struct volume *v, uint64_t ino, bool data_only)
{
	struct state *s = v->s;
	struct writeback_what what = {.list = LIVE_DATA};
	uint32_t l, rounds;
	int r;

	(void)data_only; /* times are in the same record as everything else */
	if (s->read_only)
		return 0;
	if (ino == 0)
		return -ENOENT;
	stat_add(&s->stats.fsyncs, 1);
	state_lock(v, VOLUME_EXCLUSIVE);
	l = live_find(s, ino);
	if (l != NONE)
		live_want(s, l);
	tx_commit(s);
	rounds = s->dirty_data / 256 + 2;
	state_unlock(v, VOLUME_EXCLUSIVE);

	flow_lock(v);
	r = s->failed ? -EROFS : 0;
	while (r >= 0 && rounds-- > 0 && (what.ino = many_wanted(v)) != 0) {
		r = writeback_some(v, &what, 256, false, true);
		if (r == 0)
			break;
	}
	if (r >= 0)
		r = log_append(v);
	if (r == LOG_FULL || r == -ENOSPC)
		r = commit_all(v);
	else if (r == 0)
		r = commit_publish(v);
	flow_unlock(v);
	return r;
}

int volume_tick(struct volume *v, int64_t max_age)
{
	struct state *s = v->s;
	bool due;

	state_lock(v, VOLUME_SHARED);
	due = s->changed && s->changed_at != 0 && v->env.clock(v->env.ctx) - s->changed_at >= max_age;
	state_unlock(v, VOLUME_SHARED);
	if (due)
		return volume_commit(v);
	commit_discard(v);
	return 0;
}
