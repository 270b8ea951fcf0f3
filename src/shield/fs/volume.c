#include "shield/fs/volume.h"

#include <errno.h>
#include <sys/stat.h>
#include "core/secret.h"
#include "shield/fs/commit.h"
#include "shield/fs/dir.h"
#include "shield/fs/intent_log.h"
#include "shield/fs/space.h"

#define LOG_MIN 64
#define LOG_MAX 8192

size_t volume_arena_size(const struct volume_limits *l)
{
	return state_layout(l, NULL);
}

static int limits_check(const struct volume_limits *l)
{
	return l->cache > ((size_t)1 << 42) || l->open_inodes > (1u << 26) ||
			       l->max_size / FORMAT_BLOCK > (1ULL << 34)
		       ? -EINVAL
		       : 0;
}

/* An arena in which nothing is known yet. */
static struct state *state_new(struct volume *v, void *arena, size_t len, const struct volume_limits *l)
{
	struct state *s = arena;

	state_layout(l, arena);
	s->self = s;
	s->arena_len = len;
	cache_init(s);
	s->users = 1;
	v->s = s;
	return s;
}

static int state_keys(struct volume *v)
{
	struct state *s = v->s;
	int r = handle_id(v, v->id);

	memcpy(s->id, v->id, sizeof(s->id));
	if (r == 0)
		r = handle_key_check(v, s->key_check);
	if (r == 0)
		r = v->env.random(v->env.ctx, s->salt, sizeof(s->salt));
	return r;
}

static int make_root(struct op *op, const struct volume_create_options *o)
{
	struct format_record rec = {.high = VOLUME_ROOT};
	struct format_inode *i;
	uint64_t ino;
	int r = inode_meta_write(op, 0, 0, &rec, sizeof(rec));

	if (r == 0)
		r = inode_new(op, S_IFDIR | (o->root_mode & 07777), o->root_uid, o->root_gid, &ino, &i);
	if (r < 0)
		return r;
	i->nlink = 2;
	i->parent = VOLUME_ROOT;
	return dir_init(op, VOLUME_ROOT);
}

/* A file system of the host writes its journal when a block is written for the first time, also in room it set aside: better now than at every
 * fsync of the first time around. */
static int write_log_once(struct volume *v, uint64_t log_blocks)
{
	uint8_t *zeros = buffer_take(v);
	int r = zeros ? 0 : -ENOMEM;

	if (zeros)
		memset(zeros, 0, BUFFER_SIZE);
	for (uint64_t i = 0, n; i < log_blocks && r == 0; i += n) {
		n = log_blocks - i < BUFFER_SIZE / FORMAT_BLOCK ? log_blocks - i : BUFFER_SIZE / FORMAT_BLOCK;
		r = device_write(v, FORMAT_LOG_START + i, zeros, n);
	}
	if (zeros)
		buffer_give(v, zeros);
	return r;
}

static int create_in(struct volume *v, const struct volume_create_options *o, uint64_t log_blocks)
{
	struct state *s = v->s;
	struct op op;
	long r = v->env.random(v->env.ctx, v->id, sizeof(v->id));

	if (r == 0)
		r = state_keys(v);
	if (r < 0)
		return (int)r;
	space_init(s, o->size / FORMAT_BLOCK, FORMAT_LOG_START + log_blocks);
	s->log_blocks = log_blocks;
	s->created = v->env.clock(v->env.ctx);
	if (o->label)
		memcpy(s->label, o->label, strlen(o->label));
	r = write_log_once(v, log_blocks);
	if (r < 0)
		return (int)r;
	op_start(&op, v, VOLUME_EXCLUSIVE, 32);
	op.service = true;
	do {
		r = op_enter(&op);
		if (r == 0)
			r = make_root(&op, o);
	} while (op_again(&op, &r));
	/* Twice, so that both superblocks are this volume's. */
	for (unsigned int i = 0; i < 2 && r == 0; i++) {
		s->must_commit = true;
		r = volume_commit(v);
	}
	return (int)r;
}

int volume_create(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN],
	const struct volume_create_options *o, struct volume_version *ret)
{
	struct volume_env quiet = *env;
	struct volume_limits l = {.max_size = o->size, .cache = VOLUME_CACHE_MIN, .open_inodes = 64};
	uint64_t blocks = o->size / FORMAT_BLOCK, log_blocks = o->log_bytes / FORMAT_BLOCK;
	struct volume *v;
	size_t len;
	void *arena = NULL;
	int r;

	if (log_blocks == 0)
		log_blocks = blocks / 64 < LOG_MIN ? LOG_MIN : blocks / 64 > LOG_MAX ? LOG_MAX : blocks / 64;
	if (o->size < VOLUME_MIN_BYTES || limits_check(&l) < 0 || log_blocks < 16 ||
		log_blocks > blocks / 4 || (o->label && strlen(o->label) >= VOLUME_LABEL_MAX))
		return -EINVAL;
	/* nobody else can know it, and who keeps versions is told the result */
	quiet.lock = NULL;
	quiet.unlock = NULL;
	quiet.publish = NULL;
	v = handle_new(&quiet, key);
	if (!v)
		return -ENOMEM;
	len = state_layout(&l, NULL);
	arena = handle_alloc(v, len + FORMAT_BLOCK);
	r = arena ? 0 : -ENOMEM;
	if (r == 0) {
		state_new(v, (void *)(((uintptr_t)arena + FORMAT_BLOCK - 1) & ~(uintptr_t)(FORMAT_BLOCK - 1)),
			len, &l);
		r = create_in(v, o, log_blocks);
		if (r == 0)
			*ret = v->s->durable;
		handle_dealloc(v, arena, len + FORMAT_BLOCK);
	}
	v->s = NULL;
	handle_free(v);
	return r;
}

int volume_probe(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN], uint64_t *ret_size,
	struct volume_version *ret)
{
	struct volume *v = handle_new(env, key);
	struct format_super f;
	bool damaged;
	int r;

	if (!v)
		return -ENOMEM;
	r = super_newest(v, &f, &damaged);
	if (r == 0) {
		*ret_size = f.blocks * FORMAT_BLOCK;
		ret->generation = f.generation;
		memcpy(ret->tag, f.tag, sizeof(ret->tag));
	}
	handle_free(v);
	return r;
}

/* Set the state to what a superblock says. */
static int load_super(struct volume *v, const struct format_super *f)
{
	struct state *s = v->s;
	struct cipher_set *c;
	int r = state_keys(v);

	if (r < 0)
		return r;
	memcpy(s->label, f->label, sizeof(s->label));
	s->label[sizeof(s->label) - 1] = 0;
	s->created = f->created;
	s->gen = s->base_gen = s->durable.generation = f->generation;
	memcpy(s->durable.tag, f->tag, sizeof(f->tag));
	memcpy(s->log_tag, f->tag, sizeof(f->tag));
	s->log_blocks = f->log_blocks;
	s->slot = f->slot;
	s->inodes = f->inodes;
	c = cipher_take(v);
	r = c ? space_map_read(v, c, &f->map, f->blocks) : -ENOMEM;
	if (c)
		cipher_give(v, c);
	return r;
}

static int check_fresh(struct volume *v, const struct volume_version *at_least)
{
	const struct volume_version *d = &v->s->durable;
	uint64_t seen, wanted;

	if (!at_least || d->generation > at_least->generation)
		return 0;
	if (d->generation < at_least->generation) {
		fault_report(v, "volume", "generation (an old copy)", NO_NUMBER, NO_NUMBER, 0, d->generation,
			at_least->generation);
		return -ESTALE;
	}
	if (secret_equal(d->tag, at_least->tag, sizeof(d->tag)))
		return 0;
	memcpy(&seen, d->tag, 8);
	memcpy(&wanted, at_least->tag, 8);
	fault_report(v, "volume", "tag of the root (another copy)", NO_NUMBER, NO_NUMBER, 0, seen, wanted);
	return -ESTALE;
}

static int open_in(struct volume *v, const struct format_super *f, const struct volume_open_options *o,
	struct volume_open_report *report)
{
	struct state *s = v->s;
	int r = load_super(v, f);

	s->read_only = o->read_only;
	if (r == 0)
		r = log_replay(v, &report->log_records);
	report->found = s->durable;
	if (r == 0)
		r = check_fresh(v, o->at_least);
	if (r < 0 || o->read_only)
		return r;
	r = inode_reap_orphans(v, &report->orphans);
	/* one superblock that is not whole is none to fall back to */
	if (r == 0 && report->superblock_damaged)
		s->must_commit = true;
	if (r == 0)
		r = volume_commit(v);
	return r;
}

int volume_open(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN], void *arena,
	size_t arena_len, const struct volume_open_options *o, struct volume **ret,
	struct volume_open_report *report)
{
	struct volume_limits l = o->limits;
	struct volume_open_report found = {.log_records = 0};
	struct format_super f;
	struct volume *v;
	int r;

	if ((uintptr_t)arena % FORMAT_BLOCK != 0)
		return -EINVAL;
	v = handle_new(env, key);
	if (!v)
		return -ENOMEM;
	r = super_newest(v, &f, &found.superblock_damaged);
	if (r == 0 && l.max_size < f.blocks * FORMAT_BLOCK)
		l.max_size = f.blocks * FORMAT_BLOCK;
	if (r == 0)
		r = limits_check(&l);
	if (r == 0 && state_layout(&l, NULL) > arena_len)
		r = -ENOMEM;
	if (r == 0) {
		state_new(v, arena, arena_len, &l);
		r = open_in(v, &f, o, &found);
		if (r == 0)
			v->s->magic = STATE_MAGIC;
		else
			secret_wipe(arena, state_layout(&l, NULL));
	}
	if (r < 0) {
		v->s = NULL;
		handle_free(v);
		return r;
	}
	*ret = v;
	if (report)
		*report = found;
	return 0;
}

int volume_attach(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN], void *arena,
	size_t arena_len, struct volume **ret)
{
	struct state *s = arena;
	struct volume *v;
	uint8_t check[32];
	int r;

	if ((uintptr_t)arena % FORMAT_BLOCK != 0 || arena_len < sizeof(*s) || s->magic != STATE_MAGIC ||
		s->self != s || s->arena_len != arena_len)
		return -EINVAL;
	v = handle_new(env, key);
	if (!v)
		return -ENOMEM;
	r = handle_id(v, s->id);
	if (r == 0)
		r = handle_key_check(v, check);
	if (r == 0 && !secret_equal(check, s->key_check, sizeof(check)))
		r = -EACCES;
	if (r < 0) {
		handle_free(v);
		return r;
	}
	v->s = s;
	state_lock(v, VOLUME_EXCLUSIVE);
	tx_set32(s, &s->users, s->users + 1);
	tx_commit(s);
	state_unlock(v, VOLUME_EXCLUSIVE);
	*ret = v;
	return 0;
}

void volume_detach(struct volume *v)
{
	struct state *s = v->s;

	state_lock(v, VOLUME_EXCLUSIVE);
	tx_set32(s, &s->users, s->users - 1);
	tx_commit(s);
	state_unlock(v, VOLUME_EXCLUSIVE);
	v->s = NULL;
	handle_free(v);
}

int volume_close(struct volume *v)
{
	struct state *s = v->s;
	size_t len = s->arena_len;
	int r = s->read_only ? 0 : volume_commit(v);
	bool last = s->users <= 1;

	volume_detach(v);
	if (last) {
		s->magic = 0;
		secret_wipe(s, len);
	}
	return r;
}

const char *volume_fault_text(const struct volume *v)
{
	return v->fault.text;
}

bool volume_is_read_only(const struct volume *v)
{
	return v->s->read_only || v->s->failed;
}

void volume_version_get(struct volume *v, struct volume_version *ret)
{
	state_lock(v, VOLUME_SHARED);
	*ret = v->s->durable;
	state_unlock(v, VOLUME_SHARED);
}

void volume_statfs_get(struct volume *v, struct volume_statfs *ret)
{
	struct state *s = v->s;
	struct format_record *rec;
	struct op op;
	uint64_t inodes = 0;
	long r;

	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_record(&op, &rec, false);
		if (r == 0)
			inodes = rec->inodes;
	} while (op_again(&op, &r));
	state_lock(v, VOLUME_SHARED);
	*ret = (struct volume_statfs){.size = s->total * FORMAT_BLOCK,
		.free = (space_available(s, true) + s->pending_count[0] + s->pending_count[1]) * FORMAT_BLOCK,
		.inodes = inodes};
	memcpy(ret->id, s->id, sizeof(ret->id));
	memcpy(ret->label, s->label, sizeof(ret->label));
	state_unlock(v, VOLUME_SHARED);
	/* each takes its part of the inode table, a block of content and its part of a directory */
	ret->inodes_free = ret->free / (FORMAT_BLOCK + 512);
}

/* Blocks of the map that a smaller volume has no place for are free. State lock held. */
static int resize_body(struct state *s, uint64_t total)
{
	uint64_t old = s->total;

	for (uint64_t b = total; b < old; b++)
		if (s->used[b / 64] >> (b % 64) & 1)
			return -EBUSY;
	for (unsigned int l = 0; l < MAP_LEVELS; l++)
		for (uint64_t i = 0; i < state_map_count(s->max_total, l); i++) {
			struct format_ptr *p = &s->map[l][i];
			bool kept = l < state_map_levels(total) && i < state_map_count(total, l);

			if (kept || format_hole(p))
				continue;
			space_free(s, format_get48(p->loc));
			tx_save(s, p, sizeof(*p));
			memset(p, 0, sizeof(*p));
			tx_commit(s);
		}
	space_resize(s, total);
	s->must_commit = true;
	return 0;
}

int volume_resize(struct volume *v, uint64_t size)
{
	struct state *s = v->s;
	uint64_t total = size / FORMAT_BLOCK;
	int r = volume_commit(v);

	/* the second lets go of what the first was the last to need */
	if (r == 0 && space_pending(s))
		r = volume_commit(v);
	if (r < 0 || total == s->total)
		return r;
	if (s->read_only || s->failed)
		return -EROFS;
	if (total > s->max_total)
		return -EFBIG;
	if (size < VOLUME_MIN_BYTES || total < FORMAT_LOG_START + 4 * s->log_blocks)
		return -EINVAL;
	flow_lock(v);
	state_lock(v, VOLUME_EXCLUSIVE);
	r = resize_body(s, total);
	state_unlock(v, VOLUME_EXCLUSIVE);
	flow_unlock(v);
	return r < 0 ? r : volume_commit(v);
}

void volume_stats_get(struct volume *v, struct volume_stats *ret)
{
	struct state *s = v->s;

	state_lock(v, VOLUME_SHARED);
	*ret = s->stats;
	ret->cached = s->frame_count - s->free_count;
	ret->dirty = (uint64_t)s->dirty_data + s->dirty_meta + s->dirty_nodes;
	state_unlock(v, VOLUME_SHARED);
}
