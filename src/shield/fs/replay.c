/* The reading half of the intent log. */
#include <errno.h>
#include "core/secret.h"
#include "shield/fs/intent_log.h"
#include "shield/fs/space.h"
#include "shield/fs/tree.h"

/* Operations of one record, all checked before the first is applied. */
struct record {
	uint8_t *buf; /* LOG_RECORD_BLOCKS long */
	uint32_t blocks;
	const uint8_t *ops;
	size_t bytes;
	uint64_t generation;
	uint8_t tag[FORMAT_TAG_LEN];
};

static int fetch_header(struct volume *v, uint64_t at, struct format_log *ret)
{
	uint8_t block[FORMAT_BLOCK];
	int r = device_read(v, FORMAT_LOG_START + at, block, 1);

	if (r == 0)
		memcpy(ret, block, sizeof(*ret));
	return r;
}

/* Read and open a record at `at`. -ENODATA: there is none that is authentic. */
static int fetch_record(struct volume *v, struct cipher_set *c, uint64_t at, struct record *rec)
{
	struct format_log *h = (struct format_log *)(void *)rec->buf;
	struct format_log first;
	int r = fetch_header(v, at, &first);

	if (r < 0)
		return r;
	if (first.blocks == 0 || first.blocks > LOG_RECORD_BLOCKS || first.blocks > v->s->log_blocks - at)
		return -ENODATA;
	r = device_read(v, FORMAT_LOG_START + at, rec->buf, first.blocks);
	if (r < 0)
		return r;
	/* read twice: what was checked is not what counts */
	memcpy(rec->buf, &first, FORMAT_LOG_CLEAR);
	r = message_open(v, c, KEY_LOG, h->salt, h->generation, 0, h->salt, FORMAT_LOG_CLEAR - FORMAT_TAG_LEN,
		rec->buf + FORMAT_LOG_CLEAR, (size_t)first.blocks * FORMAT_BLOCK - FORMAT_LOG_CLEAR, h->tag);
	if (r < 0)
		return r == -EBADMSG ? -ENODATA : r;
	rec->blocks = first.blocks;
	rec->generation = h->generation;
	memcpy(rec->tag, h->tag, sizeof(rec->tag));
	return 0;
}

/* The next operation; its payload follows it. False: what is left is none. */
static bool next_op(const struct record *rec, size_t *at, struct format_log_op *op, const uint8_t **payload)
{
	size_t left = rec->bytes - *at, need = 0;

	if (left < sizeof(*op))
		return false;
	memcpy(op, rec->ops + *at, sizeof(*op));
	left -= sizeof(*op);
	switch (op->type) {
	case FORMAT_LOG_DROP:
		if (op->offset >= FORMAT_BLOCK || op->count == 0)
			return false;
		break;
	case FORMAT_LOG_POINT:
		if (op->count != 1)
			return false;
		need = sizeof(struct format_ptr);
		break;
	case FORMAT_LOG_BYTES:
		if (op->count == 0 || op->count > FORMAT_BLOCK || op->offset > FORMAT_BLOCK - op->count)
			return false;
		need = op->count;
		break;
	default:
		return false;
	}
	if (left < need || op->ino >= (uint64_t)1 << 50 || (op->ino == 0 && op->type != FORMAT_LOG_BYTES) ||
		(op->type != FORMAT_LOG_DROP && op->index > VOLUME_FILE_MAX / FORMAT_BLOCK))
		return false;
	*payload = rec->ops + *at + sizeof(*op);
	*at += sizeof(*op) + need;
	return true;
}

/* Are the blocks that it points to there? -ENODATA: not all. */
static int check_pointers(struct volume *v, struct cipher_set *c, const struct record *rec)
{
	struct format_log_op op;
	const uint8_t *payload;
	uint8_t block[FORMAT_BLOCK], seen[FORMAT_TAG_LEN];
	struct format_ptr p;
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < rec->bytes && next_op(rec, &at, &op, &payload)) {
		if (op.type != FORMAT_LOG_POINT)
			continue;
		memcpy(&p, payload, sizeof(p));
		if (format_get48(p.loc) == 0 || format_get48(p.loc) >= v->s->total)
			return -ENODATA;
		r = device_read(v, format_get48(p.loc), block, 1);
		if (r == 0)
			r = block_open(v, c, &p, block, block, seen);
	}
	return r == -EBADMSG ? -ENODATA : r;
}

/* Does it continue the state? Its operations are set up and well-formed then. */
static int check_record(struct volume *v, struct record *rec, uint64_t at)
{
	const struct format_log *h = (const struct format_log *)(const void *)rec->buf;
	struct state *s = v->s;
	struct format_log_op op;
	const uint8_t *payload;
	size_t room = (size_t)rec->blocks * FORMAT_BLOCK - sizeof(*h), pos = 0;

	if (h->generation != s->gen + 1 || h->base != s->base_gen ||
		!secret_equal(h->before, s->log_tag, FORMAT_TAG_LEN))
		return -ENODATA;
	if (h->bytes > room)
		return fault_report(
			v, "intent log", "length", FORMAT_LOG_START + at, NO_NUMBER, 0, h->bytes, room);
	rec->ops = rec->buf + sizeof(*h);
	rec->bytes = h->bytes;
	while (pos < rec->bytes) {
		size_t before = pos;

		if (!next_op(rec, &pos, &op, &payload))
			return fault_report(v, "intent log", "operation at byte", FORMAT_LOG_START + at,
				NO_NUMBER, 0, before, rec->bytes);
	}
	return 0;
}

static int apply_bytes(struct op *op, const struct format_log_op *o, const uint8_t *payload)
{
	uint32_t f, live;
	int r = tree_live(op, o->ino, &live);

	if (r == 0)
		r = tree_write(op, o->ino, o->index, o->count == FORMAT_BLOCK, &f);
	if (r < 0)
		return r;
	cache_dirty(op->s, f, live, 1, 0);
	tx_save(op->s, cache_block(op->s, f), FORMAT_BLOCK);
	if (o->ino != 0) {
		memcpy(cache_block(op->s, f) + o->offset, payload, o->count);
		return 0;
	}
	/* where an inode's tree is, is this state's and not the record's */
	for (unsigned int i = 0; i < o->count; i++)
		if ((o->offset + i) % sizeof(struct format_inode) < FORMAT_INODE_LOGGED)
			cache_block(op->s, f)[o->offset + i] = payload[i];
	return 0;
}

static int apply_point(struct op *op, const struct format_log_op *o, const uint8_t *payload)
{
	struct format_tree *t;
	struct format_ptr p, old;
	uint32_t f;
	bool was;
	int r = tree_root(op, o->ino, &t);

	if (r == 0)
		r = tree_ptr(op, o->ino, t, 0, o->index, &old);
	if (r < 0)
		return r;
	memcpy(&p, payload, sizeof(p));
	r = space_take(op->s, format_get48(p.loc));
	if (r < 0)
		return fault_report(op->v, "intent log", "location that is in use", NO_NUMBER, o->ino,
			o->index, format_get48(p.loc), 0);
	f = cache_find(op->s, o->ino, 0, o->index);
	was = f != NONE || !format_hole(&old);
	if (f != NONE)
		cache_drop(op->s, f);
	r = tree_install(op, o->ino, 0, o->index, &p, false);
	if (r == 0 && !was)
		r = tree_root(op, o->ino, &t);
	/* installing has saved the tree's root unless a node took the pointer */
	if (r == 0 && !was) {
		tx_save(op->s, t, sizeof(*t));
		t->blocks++;
	}
	return r;
}

static int apply_drop(struct op *op, const struct format_log_op *o, bool *ret_done)
{
	uint64_t first = o->index + (o->offset != 0), last = UINT64_MAX;
	uint32_t f, live;
	int r;

	*ret_done = true;
	if (o->offset) {
		r = tree_read(op, o->ino, o->index, 1, &f);
		if (r == 0)
			r = tree_live(op, o->ino, &live);
		if (r < 0)
			return r;
		if (r == 0) {
			cache_dirty(op->s, f, live, 1, 0);
			tx_save(op->s, cache_block(op->s, f), FORMAT_BLOCK);
			memset(cache_block(op->s, f) + o->offset, 0, FORMAT_BLOCK - o->offset);
		}
	}
	if (o->count <= UINT64_MAX - o->index)
		last = o->index + o->count - 1;
	return first > last ? 0 : tree_drop(op, o->ino, first, last, 256, ret_done);
}

static int apply(struct volume *v, const struct format_log_op *o, const uint8_t *payload)
{
	struct op op;
	bool done;
	long r;

	do {
		op_start(&op, v, VOLUME_EXCLUSIVE, 24);
		op.service = true;
		op.flow = true;
		done = true;
		do {
			r = op_enter(&op);
			if (r < 0)
				continue;
			if (o->type == FORMAT_LOG_BYTES)
				r = apply_bytes(&op, o, payload);
			else if (o->type == FORMAT_LOG_POINT)
				r = apply_point(&op, o, payload);
			else
				r = apply_drop(&op, o, &done);
			/* an inode that the superblock knows nothing of has no blocks to drop */
			if (r == -ENOENT && o->type == FORMAT_LOG_DROP) {
				done = true;
				r = 0;
			}
		} while (op_again(&op, &r));
	} while (r == 0 && !done);
	return (int)r;
}

static int apply_record(struct volume *v, const struct record *rec, uint64_t at)
{
	struct format_log_op op;
	const uint8_t *payload;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && pos < rec->bytes && next_op(rec, &pos, &op, &payload))
		r = apply(v, &op, payload);
	if (r == -ENOENT || r == -ENOSPC)
		r = fault_report(
			v, "intent log", "inode", FORMAT_LOG_START + at, op.ino, op.index, op.ino, 0);
	return r;
}

/* The log ends at `at`. A whole record of this log behind it means that the one that should be here was there once. */
static int check_end(struct volume *v, struct cipher_set *c, struct record *rec, uint64_t at)
{
	struct state *s = v->s;
	const struct format_log *h = (const struct format_log *)(const void *)rec->buf;

	uint8_t *chunk = buffer_take(v);
	uint64_t have = at; /* chunk holds blocks up to here */
	int r = chunk ? 0 : -ENOMEM;

	for (uint64_t i = at, n = 0; i < s->log_blocks && r == 0; i++) {
		struct format_log f;

		if (i == have) {
			n = s->log_blocks - i < BUFFER_SIZE / FORMAT_BLOCK ? s->log_blocks - i
									   : BUFFER_SIZE / FORMAT_BLOCK;
			r = device_read(v, FORMAT_LOG_START + i, chunk, n);
			have += n;
			if (r < 0)
				break;
		}
		memcpy(&f, chunk + (i - (have - n)) * FORMAT_BLOCK, sizeof(f));
		if (f.generation <= s->gen || f.generation - s->gen > s->log_blocks)
			continue;
		r = fetch_record(v, c, i, rec);
		if (r == 0 && h->base == s->base_gen && h->generation > s->gen + (i == at))
			r = fault_report(v, "intent log", "generation of the next record",
				FORMAT_LOG_START + at, NO_NUMBER, 0, h->generation, s->gen + 1);
		if (r == -ENODATA)
			r = 0;
	}
	if (chunk)
		buffer_give(v, chunk);
	return r;
}

int log_replay(struct volume *v, uint64_t *ret_records)
{
	struct state *s = v->s;
	struct cipher_set *c = cipher_take(v);
	struct record rec = {.buf = handle_alloc(v, LOG_RECORD_BLOCKS * FORMAT_BLOCK)};
	uint64_t records = 0;
	int r = c && rec.buf ? 0 : -ENOMEM;

	while (r == 0 && s->log_head < s->log_blocks) {
		r = fetch_record(v, c, s->log_head, &rec);
		if (r == 0)
			r = check_record(v, &rec, s->log_head);
		if (r == 0)
			r = check_pointers(v, c, &rec);
		if (r < 0)
			break;
		r = apply_record(v, &rec, s->log_head);
		if (r < 0)
			break;
		s->log_head += rec.blocks;
		s->gen = rec.generation;
		memcpy(s->log_tag, rec.tag, sizeof(s->log_tag));
		s->durable.generation = rec.generation;
		memcpy(s->durable.tag, rec.tag, sizeof(rec.tag));
		s->must_commit = true;
		records++;
	}
	if (r == -ENODATA || (r == 0 && s->log_head < s->log_blocks))
		r = check_end(v, c, &rec, s->log_head);
	if (c)
		cipher_give(v, c);
	handle_dealloc(v, rec.buf, LOG_RECORD_BLOCKS * FORMAT_BLOCK);
	if (r == 0)
		*ret_records = records;
	return r;
}
