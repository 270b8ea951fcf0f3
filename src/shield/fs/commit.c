#include "shield/fs/commit.h"

#include <errno.h>
#include "shield/fs/cache.h"
#include "shield/fs/intent_log.h"
#include "shield/fs/space.h"
#include "shield/fs/writeback.h"

#define MANY 256

static int write_kind(struct volume *v, enum live_list list, bool table, unsigned int level)
{
	struct writeback_what what = {.list = list, .table = table, .level = level};
	int r;

	do
		r = writeback_some(v, &what, MANY, true, false);
	while (r > 0);
	return r;
}

/* Files' content while others go on working: what they change meanwhile is left for the rest. */
static int write_data(struct volume *v)
{
	struct writeback_what what = {.list = LIVE_DATA};
	uint32_t rounds = v->s->frame_count / MANY + 2;
	int r = 1;

	while (r > 0 && rounds-- > 0)
		r = writeback_some(v, &what, MANY, false, false);
	return r < 0 ? r : 0;
}

/* From the leaves up: what is written changes only what comes later. State lock held. */
static int write_rest(struct volume *v)
{
	int r = write_kind(v, LIVE_DATA, false, 0);

	if (r == 0)
		r = write_kind(v, LIVE_META, false, 0);
	for (unsigned int level = 1; level <= FORMAT_HEIGHT_MAX && r == 0; level++) {
		if (v->s->dirty_nodes == 0)
			break;
		r = write_kind(v, LIVE_NODES, false, level);
		if (r == 0)
			r = write_kind(v, LIVE_META, false, level);
	}
	for (unsigned int level = 0; level <= FORMAT_HEIGHT_MAX && r == 0; level++)
		r = write_kind(v, LIVE_META, true, level);
	return r;
}

static void super_fill(struct state *s, const struct format_tree *map, int64_t now, struct format_super *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->magic, FORMAT_MAGIC, sizeof(ret->magic));
	ret->version = FORMAT_VERSION;
	ret->block_size = FORMAT_BLOCK;
	memcpy(ret->id, s->id, sizeof(ret->id));
	memcpy(ret->salt, s->salt, sizeof(ret->salt));
	ret->slot = s->slot ^ 1;
	ret->generation = s->gen;
	ret->blocks = s->total;
	ret->log_blocks = s->log_blocks;
	ret->free_blocks = s->free_blocks + s->pending_count[0] + s->pending_count[1];
	ret->created = s->created;
	ret->committed = now;
	memcpy(ret->label, s->label, sizeof(ret->label));
	ret->inodes = s->inodes;
	ret->map = *map;
}

/* State lock held: write all, and fix what the superblock will say. */
static int snapshot(struct volume *v, struct format_super *ret)
{
	struct state *s = v->s;
	struct format_tree map;
	struct cipher_set *c;
	int r = write_rest(v);

	if (r == 0)
		r = space_map_assign(v);
	if (r < 0)
		return r;
	c = cipher_take(v);
	r = c ? space_map_write(v, c, &map) : -ENOMEM;
	if (c)
		cipher_give(v, c);
	if (r < 0) {
		/* blocks of the map have places that nothing was written to */
		s->failed = r;
		return r;
	}
	space_map_snap(s);
	tx_set64(s, &s->gen, s->gen + 1);
	tx_set32(s, &s->drop_count, 0);
	tx_set_bool(s, &s->must_commit, false);
	tx_set_bool(s, &s->changed, false);
	tx_set_bool(s, &s->snapped, true);
	tx_save(s, &s->changed_at, sizeof(s->changed_at));
	s->changed_at = 0;
	super_fill(s, &map, v->env.clock(v->env.ctx), ret);
	tx_commit(s);
	return 0;
}

static int super_write(struct volume *v, struct format_super *f)
{
	struct cipher_set *c = cipher_take(v);
	int r = c ? 0 : -ENOMEM;

	if (r == 0)
		r = message_seal(v, c, KEY_SUPER, f->salt, f->generation, f->slot, f,
			offsetof(struct format_super, tag), (uint8_t *)f + FORMAT_SUPER_CLEAR,
			sizeof(*f) - FORMAT_SUPER_CLEAR, f->tag);
	if (c)
		cipher_give(v, c);
	if (r == 0)
		r = device_flush(v);
	if (r == 0)
		r = device_write(v, f->slot, f, 1);
	if (r == 0)
		r = device_flush(v);
	return r;
}

static void release(struct volume *v)
{
	struct state *s = v->s;

	space_release(v);
	s->releasing = false;
}

/* State lock held: that superblock is durable. */
static void settle(struct volume *v, const struct format_super *f)
{
	struct state *s = v->s;

	tx_save(s, &s->durable, sizeof(s->durable));
	tx_save(s, &s->durable_event, sizeof(s->durable_event));
	tx_save(s, s->log_tag, sizeof(s->log_tag));
	tx_set64(s, &s->base_gen, f->generation);
	tx_set64(s, &s->log_head, 0);
	tx_set32(s, &s->slot, f->slot);
	tx_set_bool(s, &s->unpublished, true);
	tx_set_bool(s, &s->snapped, false);
	tx_set_bool(s, &s->releasing, true);
	s->durable.generation = f->generation;
	memcpy(s->durable.tag, f->tag, sizeof(f->tag));
	s->durable_event = VOLUME_COMMITTED;
	memcpy(s->log_tag, f->tag, sizeof(f->tag));
	tx_commit(s);
	release(v);
}

int commit_publish(struct volume *v)
{
	struct state *s = v->s;
	int r = 0;

	if (!s->unpublished)
		return 0;
	if (v->env.publish)
		r = v->env.publish(v->env.ctx, s->durable_event, &s->durable);
	if (r < 0)
		return r;
	s->unpublished = false;
	return 0;
}

int commit_all(struct volume *v)
{
	struct state *s = v->s;
	struct format_super f;
	int r = s->failed ? -EROFS : 0;

	if (r < 0 || s->read_only)
		return r;
	state_lock(v, VOLUME_EXCLUSIVE);
	if (!s->changed && !s->must_commit) {
		state_unlock(v, VOLUME_EXCLUSIVE);
		return commit_publish(v);
	}
	/* From here on the log no longer knows what is new. */
	s->must_commit = true;
	state_unlock(v, VOLUME_EXCLUSIVE);
	r = write_data(v);
	if (r < 0)
		return r;
	state_lock(v, VOLUME_EXCLUSIVE);
	r = snapshot(v, &f);
	state_unlock(v, VOLUME_EXCLUSIVE);
	if (r < 0)
		return r;
	r = super_write(v, &f);
	state_lock(v, VOLUME_EXCLUSIVE);
	if (r < 0)
		s->failed = r;
	else
		settle(v, &f);
	state_unlock(v, VOLUME_EXCLUSIVE);
	stat_add(&s->stats.commits, 1);
	return r < 0 ? r : commit_publish(v);
}

void commit_discard(struct volume *v)
{
	struct state *s = v->s;
	uint64_t groups = state_map_count(s->total, 0);

	if (!v->env.discard || !s->freed || s->read_only)
		return;
	s->freed = false;
	/* others get their turn between groups: a device takes its time for this */
	for (uint64_t g = 0; g < groups && !s->failed; g++) {
		if (!s->group_freed[g])
			continue;
		flow_lock(v);
		if (g < state_map_count(s->total, 0))
			space_discard(v, g);
		flow_unlock(v);
	}
}

int volume_commit(struct volume *v)
{
	int r;

	flow_lock(v);
	r = commit_all(v);
	flow_unlock(v);
	if (r == 0)
		commit_discard(v);
	return r;
}

/* Is so much of the cache changed that data should be written; or so much even without data that only a commit helps? */
static void look(struct volume *v, uint32_t frames, bool *ret_data, bool *ret_rest)
{
	struct state *s = v->s;

	state_lock(v, VOLUME_SHARED);
	*ret_data = s->dirty_data > s->frame_count / 4;
	*ret_rest = s->dirty_meta + s->dirty_nodes > s->frame_count / 8 ||
		    s->dirty_data + s->dirty_meta + s->dirty_nodes + frames + 64 > s->frame_count;
	state_unlock(v, VOLUME_SHARED);
}

int commit_make_room(struct volume *v, uint32_t frames)
{
	struct writeback_what what = {.list = LIVE_DATA};
	bool data, rest;
	int r = 1;

	flow_lock(v);
	/* another may have done it while this one waited */
	look(v, frames, &data, &rest);
	while (r > 0 && data) {
		r = v->s->failed ? -EROFS : writeback_some(v, &what, MANY, false, true);
		look(v, frames, &data, &rest);
	}
	if (r >= 0 && (data || rest))
		r = commit_all(v);
	flow_unlock(v);
	return r < 0 ? r : 0;
}

void commit_stream(struct volume *v, uint64_t ino, uint64_t below, bool passing)
{
	struct writeback_what what = {.list = LIVE_DATA, .ino = ino, .below = below, .passing = passing};
	int r = MANY;

	if (atomic_load_explicit(&v->s->flow_busy, memory_order_relaxed))
		return;
	flow_lock(v);
	/* what piled up while the lock was taken, too, but not without end */
	for (unsigned int i = 0; i < 4 && r == MANY && !v->s->failed; i++)
		r = writeback_some(v, &what, MANY, false, true);
	flow_unlock(v);
}

void commit_recover(struct volume *v)
{
	struct state *s = v->s;

	state_lock(v, VOLUME_EXCLUSIVE);
	for (uint32_t i = 0; i < s->inflight_count; i++)
		for (uint64_t b = 0; b < s->inflight[i].count; b++)
			space_free(s, s->inflight[i].start + b);
	tx_set32(s, &s->inflight_count, 0);
	if (s->snapped || s->appending) {
		tx_set_bool(s, &s->must_commit, true);
		tx_set_bool(s, &s->appending, false);
	}
	tx_commit(s);
	if (s->snapped) {
		space_unsnap(s);
		s->snapped = false;
	}
	if (s->releasing)
		release(v);
	state_unlock(v, VOLUME_EXCLUSIVE);
}

int super_read(struct volume *v, unsigned int slot, bool report, struct format_super *ret)
{
	const char *field = NULL;
	uint64_t seen = 0, wanted = 0;
	struct cipher_set *c;
	int r = device_read(v, slot, ret, 1);

	if (r < 0)
		return r;
	if (memcmp(ret->magic, FORMAT_MAGIC, sizeof(ret->magic)) != 0) {
		field = "magic";
		memcpy(&seen, ret->magic, 8);
		memcpy(&wanted, FORMAT_MAGIC, 8);
	} else if (ret->version != FORMAT_VERSION) {
		field = "version";
		seen = ret->version;
		wanted = FORMAT_VERSION;
	} else if (ret->block_size != FORMAT_BLOCK) {
		field = "block size";
		seen = ret->block_size;
		wanted = FORMAT_BLOCK;
	} else if (ret->slot != slot) {
		field = "slot";
		seen = ret->slot;
		wanted = slot;
	}
	/* a mounted volume's id is known; others are using it */
	if (!field && v->s && memcmp(ret->id, v->id, sizeof(v->id)) != 0) {
		field = "volume id";
		memcpy(&seen, ret->id, 8);
		memcpy(&wanted, v->id, 8);
	}
	if (field)
		return report ? fault_report(v, "superblock", field, slot, NO_NUMBER, 0, seen, wanted)
			      : -EBADMSG;
	if (!v->s)
		memcpy(v->id, ret->id, sizeof(v->id));
	c = cipher_take(v);
	r = c ? message_open(v, c, KEY_SUPER, ret->salt, ret->generation, slot, ret,
			offsetof(struct format_super, tag), (uint8_t *)ret + FORMAT_SUPER_CLEAR,
			sizeof(*ret) - FORMAT_SUPER_CLEAR, ret->tag)
	      : -ENOMEM;
	if (c)
		cipher_give(v, c);
	if (r == -EBADMSG && report) {
		memcpy(&seen, ret->tag, 8);
		return fault_report(
			v, "superblock", "tag (wrong key, or changed)", slot, NO_NUMBER, 0, seen, 0);
	}
	return r;
}

static int super_check(struct volume *v, const struct format_super *f)
{
	if (f->blocks < VOLUME_MIN_BYTES / FORMAT_BLOCK || f->blocks > FORMAT_48)
		return fault_report(v, "superblock", "blocks", f->slot, NO_NUMBER, 0, f->blocks, FORMAT_48);
	if (f->log_blocks < 16 || f->log_blocks > f->blocks / 2)
		return fault_report(v, "superblock", "blocks of the log", f->slot, NO_NUMBER, 0,
			f->log_blocks, f->blocks / 2);
	if (f->inodes.height > FORMAT_HEIGHT_MAX)
		return fault_report(v, "superblock", "height of the inode table", f->slot, NO_NUMBER, 0,
			f->inodes.height, FORMAT_HEIGHT_MAX);
	return 0;
}

int super_newest(struct volume *v, struct format_super *ret, bool *ret_damaged)
{
	struct format_super a, b;
	int ra = super_read(v, 0, false, &a), rb = super_read(v, 1, false, &b);

	if (ra < 0 && ra != -EBADMSG)
		return ra;
	if (rb < 0 && rb != -EBADMSG)
		return rb;
	if (ra < 0 && rb < 0)
		return super_read(v, 0, true, &a);
	*ret_damaged = ra < 0 || rb < 0;
	*ret = rb < 0 || (ra == 0 && a.generation > b.generation) ? a : b;
	/* which volume it is: the id that the newer one authenticates */
	memcpy(v->id, ret->id, sizeof(v->id));
	return super_check(v, ret);
}
