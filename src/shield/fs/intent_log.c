#include "shield/fs/intent_log.h"

#include <errno.h>
#include "shield/fs/cache.h"

/* Writes operations, or with p NULL only counts their bytes. */
struct pen {
	uint8_t *p;
	size_t used;
};

static void put(struct pen *pen, const void *p, size_t n)
{
	if (pen->p)
		memcpy(pen->p + pen->used, p, n);
	pen->used += n;
}

static void put_op(struct pen *pen, enum format_log_type type, uint64_t ino, uint64_t index,
	unsigned int offset, uint64_t count)
{
	struct format_log_op op = {.type = (uint16_t)type,
		.offset = (uint16_t)offset,
		.ino = ino,
		.index = index,
		.count = count};

	put(pen, &op, sizeof(op));
}

/* Next run of set bits at or after *at among n bits; its length, 0: none. */
static unsigned int next_run(const uint64_t mask[2], unsigned int n, unsigned int *at)
{
	unsigned int i = *at, len = 0;

	while (i < n && !(mask[i / 64] >> (i % 64) & 1))
		i++;
	while (i + len < n && (mask[(i + len) / 64] >> ((i + len) % 64) & 1))
		len++;
	*at = i;
	return len;
}

static void put_content(struct pen *pen, const struct state *s, uint32_t i)
{
	const struct frame *f = &s->frames[i];
	unsigned int n;

	for (unsigned int at = 0; (n = next_run(f->mask, 64, &at)) > 0; at += n) {
		put_op(pen, FORMAT_LOG_BYTES, f->ino, f->index, at * FORMAT_CELL, (uint64_t)n * FORMAT_CELL);
		put(pen, cache_block(s, i) + (size_t)at * FORMAT_CELL, (size_t)n * FORMAT_CELL);
	}
}

static void put_pointers(struct pen *pen, const struct state *s, uint32_t i)
{
	const struct frame *f = &s->frames[i];
	const struct format_node *node = (const struct format_node *)(const void *)cache_block(s, i);
	unsigned int n;

	for (unsigned int at = 0; (n = next_run(f->mask, FORMAT_FANOUT, &at)) > 0; at += n) {
		for (unsigned int j = 0; j < n; j++) {
			/* what was dropped since is in the list of drops */
			if (format_hole(&node->ptr[at + j]))
				continue;
			put_op(pen, FORMAT_LOG_POINT, f->ino, f->index * FORMAT_FANOUT + at + j, 0, 1);
			put(pen, &node->ptr[at + j], sizeof(node->ptr[0]));
		}
	}
}

/* In the order in which they are replayed: drops before what came instead, inodes before what is theirs, places before changes of what is there. */
static void put_all(struct pen *pen, const struct state *s)
{
	for (uint32_t i = 0; i < s->drop_count; i++)
		put_op(pen, FORMAT_LOG_DROP, s->drops[i].ino, s->drops[i].index, s->drops[i].offset,
			s->drops[i].count);
	for (uint32_t f = s->unlogged_meta; f != NONE; f = s->frames[f].unlogged_next)
		if (s->frames[f].ino == 0)
			put_content(pen, s, f);
	for (uint32_t l = s->wanted_head; l != NONE; l = s->lives[l].wanted_next)
		for (uint32_t f = s->lives[l].nodes_head; f != NONE; f = s->frames[f].dirty_next)
			if (s->frames[f].level == 1)
				put_pointers(pen, s, f);
	for (uint32_t f = s->unlogged_meta; f != NONE; f = s->frames[f].unlogged_next)
		if (s->frames[f].ino != 0)
			put_content(pen, s, f);
	for (uint32_t l = s->wanted_head; l != NONE; l = s->lives[l].wanted_next)
		for (uint32_t f = s->lives[l].unlogged_head; f != NONE; f = s->frames[f].unlogged_next)
			put_content(pen, s, f);
}

static void forget_wanted(struct state *s, bool logged)
{
	while (s->wanted_head != NONE) {
		uint32_t l = s->wanted_head;

		while (logged && s->lives[l].unlogged_head != NONE)
			cache_logged(s, s->lives[l].unlogged_head);
		for (uint32_t f = s->lives[l].nodes_head; logged && f != NONE; f = s->frames[f].dirty_next)
			if (s->frames[f].mask[0] | s->frames[f].mask[1])
				cache_logged(s, f);
		tx_set32(s, &s->wanted_head, s->lives[l].wanted_next);
		tx_set8(s, &s->lives[l].wanted, 0);
		live_put(s, l);
		/* frames and live inodes are many; each step leaves a whole state, and a record that fails is followed by a commit */
		if (s->undo_len > UNDO_MAX / 2)
			tx_commit(s);
	}
}

static void forget_meta(struct state *s)
{
	while (s->unlogged_meta != NONE) {
		cache_logged(s, s->unlogged_meta);
		if (s->undo_len > UNDO_MAX / 2)
			tx_commit(s);
	}
}

/* State lock held. What is to be logged goes into a record; LOG_FULL or a negative answer: none was made. *ret NULL: nothing to log. */
static int gather(struct volume *v, uint8_t **ret, uint32_t *ret_blocks)
{
	struct state *s = v->s;
	struct pen pen = {.p = NULL};
	struct format_log *h;
	size_t blocks;
	uint8_t *buf;

	*ret = NULL;
	if (s->must_commit)
		return LOG_FULL;
	put_all(&pen, s);
	if (pen.used == 0)
		return 0;
	blocks = (sizeof(*h) + pen.used + FORMAT_BLOCK - 1) / FORMAT_BLOCK;
	if (blocks > LOG_RECORD_BLOCKS || blocks > s->log_blocks - s->log_head)
		return LOG_FULL;
	buf = handle_alloc(v, blocks * FORMAT_BLOCK);
	if (!buf)
		return -ENOMEM;
	h = (struct format_log *)(void *)buf;
	memset(h, 0, sizeof(*h));
	memcpy(h->salt, s->salt, sizeof(h->salt));
	h->blocks = (uint32_t)blocks;
	h->generation = s->gen + 1;
	h->base = s->base_gen;
	memcpy(h->before, s->log_tag, sizeof(h->before));
	h->bytes = pen.used;
	pen = (struct pen){.p = buf + sizeof(*h)};
	put_all(&pen, s);
	memset(pen.p + pen.used, 0, blocks * FORMAT_BLOCK - sizeof(*h) - pen.used);
	*ret = buf;
	*ret_blocks = (uint32_t)blocks;
	return 0;
}

static int write_record(struct volume *v, uint8_t *buf, uint32_t blocks)
{
	struct format_log *h = (struct format_log *)(void *)buf;
	struct cipher_set *c = cipher_take(v);
	int r = c ? 0 : -ENOMEM;

	if (r == 0)
		r = message_seal(v, c, KEY_LOG, h->salt, h->generation, 0, h->salt,
			FORMAT_LOG_CLEAR - FORMAT_TAG_LEN, buf + FORMAT_LOG_CLEAR,
			(size_t)blocks * FORMAT_BLOCK - FORMAT_LOG_CLEAR, h->tag);
	if (c)
		cipher_give(v, c);
	if (r == 0)
		r = device_write(v, FORMAT_LOG_START + v->s->log_head, buf, blocks);
	if (r == 0)
		r = device_flush(v);
	return r;
}

int log_append(struct volume *v)
{
	struct state *s = v->s;
	struct format_log *h;
	uint8_t *buf;
	uint32_t blocks = 0;
	int r;

	state_lock(v, VOLUME_EXCLUSIVE);
	r = gather(v, &buf, &blocks);
	if (r != 0 || !buf) {
		/* a commit covers them all; and if this process does not come to it, that of whoever waits for one of them */
		if (r != 0)
			tx_set_bool(s, &s->must_commit, true);
		forget_wanted(s, false);
		tx_commit(s);
		state_unlock(v, VOLUME_EXCLUSIVE);
		return r;
	}
	/* If this process ends before the record is durable, what it holds must come by a commit. */
	tx_set_bool(s, &s->appending, true);
	tx_set64(s, &s->gen, s->gen + 1);
	tx_commit(s);
	forget_wanted(s, true);
	forget_meta(s);
	tx_set32(s, &s->drop_count, 0);
	tx_commit(s);
	state_unlock(v, VOLUME_EXCLUSIVE);

	r = write_record(v, buf, blocks);

	h = (struct format_log *)(void *)buf;
	state_lock(v, VOLUME_EXCLUSIVE);
	if (r < 0) {
		s->failed = r;
	} else {
		tx_save(s, &s->durable, sizeof(s->durable));
		tx_save(s, s->log_tag, sizeof(s->log_tag));
		tx_set64(s, &s->log_head, s->log_head + blocks);
		tx_set_bool(s, &s->unpublished, true);
		tx_set_bool(s, &s->appending, false);
		memcpy(s->log_tag, h->tag, sizeof(s->log_tag));
		s->durable.generation = h->generation;
		memcpy(s->durable.tag, h->tag, sizeof(h->tag));
		tx_save(s, &s->durable_event, sizeof(s->durable_event));
		s->durable_event = VOLUME_LOGGED;
	}
	tx_commit(s);
	state_unlock(v, VOLUME_EXCLUSIVE);
	stat_add(&s->stats.log_appends, 1);
	stat_add(&s->stats.bytes_logged, (uint64_t)blocks * FORMAT_BLOCK);
	handle_dealloc(v, buf, (size_t)blocks * FORMAT_BLOCK);
	return r;
}
