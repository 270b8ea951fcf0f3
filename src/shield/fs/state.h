/*
 * state: everything the users of a mounted volume share, in one arena mapped at one address.
 *
 * Rule: whoever changes it holds the state lock exclusively, and saves what a change overwrites with tx_save first. A change is thereby undone
 * when an operation fails midway, finds that a block has to be read first, or when its process dies. Not saved: content of regular files,
 * which may be half written then, content of a frame taken from the free list, reference marks, marks of reads and writes in order, statistics.
 */
#ifndef SCONE_SHIELD_FS_STATE_H
#define SCONE_SHIELD_FS_STATE_H

#include <stdatomic.h>
#include "shield/fs/format.h"
#include "shield/fs/volume.h"

#define STATE_MAGIC 0x314556454e4f4353ULL
#define NONE UINT32_MAX
#define UNDO_MAX (2u << 20)
#define DROPS_MAX 256
#define INFLIGHT_MAX 64
#define GROUP_BLOCKS 32768 /* bits in one block of the space map */
#define MAP_LEVELS 4

/* A frame holds one cached block: level 0 content, others tree nodes. */
struct frame {
	uint64_t ino;
	uint64_t index; /* number of the block in its level */
	uint64_t mask
		[2]; /* changed since the last commit or append to the log: cells of content; slots of a node of level 1 */
	uint32_t hash_next; /* also links free frames */
	uint32_t dirty_prev, dirty_next; /* list of its live inode */
	uint32_t unlogged_prev, unlogged_next;
	uint32_t live; /* while dirty */
	uint32_t version; /* rises when it is changed */
	uint8_t state; /* FRAME_* */
	uint8_t level;
	_Atomic uint8_t used; /* since the clock hand came by */
	_Atomic uint8_t checked; /* content has been found well-formed since it was read */
};
static_assert(sizeof(struct frame) == 64, "one cache line");
#define FRAME_VALID 1
#define FRAME_DIRTY 2
#define FRAME_UNLOGGED 4 /* is in a list of unlogged frames */

enum live_list { LIVE_CLEAN, LIVE_META, LIVE_DATA, LIVE_NODES, LIVE_LISTS };

/* An inode that is held or has changed blocks. */
struct live {
	uint64_t ino;
	uint32_t holds;
	uint32_t hash_next; /* also links free ones */
	uint32_t dirty_head, dirty_tail; /* changed content */
	uint32_t nodes_head; /* changed tree nodes */
	uint32_t unlogged_head; /* content of a regular file that was changed and not logged */
	uint32_t prev, next; /* in list */
	uint32_t wanted_next; /* fsync has been asked for */
	uint8_t list; /* enum live_list */
	uint8_t meta; /* content counts as metadata: not a regular file */
	uint8_t wanted;
	uint8_t zero;
	_Atomic uint64_t read_next; /* block after the last one read: a read there is sequential */
	uint32_t
		write_next; /* block in which the last write ended, its low bits: a write there is sequential */
	uint32_t write_run; /* blocks written in a row */
};
static_assert(sizeof(struct live) <= 64, "one cache line");

struct drop {
	uint64_t ino, index, count;
	uint32_t offset; /* not 0: block index stays, with zeros from here on */
};

struct extent {
	uint64_t start, count;
};

struct state {
	uint64_t magic;
	struct state *self;
	size_t arena_len;
	uint8_t key_check[32]; /* hash of a key derived from the volume key */
	struct volume_lock lock; /* this state */
	struct volume_lock flow; /* taken before lock: commit, log, writing back */
	_Atomic bool flow_busy; /* somebody has it; a hint */

	uint8_t id[FORMAT_ID_LEN];
	uint8_t salt[FORMAT_SALT_LEN]; /* of the epoch that this mount writes in */
	uint64_t epoch_blocks; /* written in it */
	char label[VOLUME_LABEL_MAX];
	int64_t created;
	bool read_only;
	_Atomic int failed; /* -errno after which nothing is written any more */
	uint32_t users; /* processes */

	/* Versions. */
	uint64_t gen; /* of the newest event, done or tried */
	struct volume_version durable;
	bool unpublished; /* durable, and publish has failed or not happened */
	enum volume_event durable_event;
	uint64_t base_gen; /* superblock that the log builds on */
	uint8_t log_tag[FORMAT_TAG_LEN]; /* of the newest record, or that superblock */
	uint64_t log_head, log_blocks;
	uint32_t slot; /* of the durable superblock */
	bool must_commit; /* the log cannot express what has changed */
	bool changed; /* anything since the last commit */
	bool snapped; /* a superblock is on its way */
	bool appending; /* a record is on its way */
	bool releasing;
	int64_t changed_at; /* when the first change since the last commit was made */

	/* Frames. */
	struct frame *frames;
	uint8_t *blocks; /* frame i's content at i * FORMAT_BLOCK */
	uint32_t *buckets;
	uint32_t frame_count, bucket_mask;
	uint32_t free_head, free_count, hand;
	uint32_t dirty_data, dirty_meta, dirty_nodes; /* frames */
	uint32_t unlogged_meta; /* list of content frames of metadata */

	/* Live inodes. */
	struct live *lives;
	uint32_t *live_buckets;
	uint32_t live_count, live_mask, live_free;
	uint32_t lists[LIVE_LISTS];
	uint32_t wanted_head;

	/* Space. Bits are blocks. pending[plane]: freed since the last commit and not to be reused before the next is durable. */
	uint64_t total, max_total, free_blocks, frontier, cursor;
	uint64_t *used, *pending[2];
	uint32_t *group_free;
	uint8_t *group_pending[2];
	uint8_t *
		group_freed; /* holds blocks that the device has not been told are free; changed with the flow lock held */
	_Atomic bool freed; /* any does; a hint */
	uint32_t plane, max_groups;
	uint64_t pending_count[2];
	struct format_ptr *map[MAP_LEVELS]; /* map[l][i]: pointer to block i of level l of the space map */
	uint8_t *map_dirty[MAP_LEVELS];
	struct extent inflight[INFLIGHT_MAX]; /* allocated for blocks that are being written */
	uint32_t inflight_count;

	struct format_tree inodes; /* the inode table */
	struct drop drops[DROPS_MAX]; /* since the last commit or append */
	uint32_t drop_count;

	struct volume_stats stats;

	uint8_t *undo; /* UNDO_MAX bytes */
	uint32_t undo_len;
};

/* Save the n bytes at p, which lie in the arena. */
void tx_save(struct state *s, const void *p, size_t n);
static inline void tx_set32(struct state *s, uint32_t *p, uint32_t v)
{
	tx_save(s, p, sizeof(*p));
	*p = v;
}
static inline void tx_set64(struct state *s, uint64_t *p, uint64_t v)
{
	tx_save(s, p, sizeof(*p));
	*p = v;
}
static inline void tx_set8(struct state *s, uint8_t *p, uint8_t v)
{
	tx_save(s, p, sizeof(*p));
	*p = v;
}
static inline void tx_set_bool(struct state *s, bool *p, bool v)
{
	tx_save(s, p, sizeof(*p));
	*p = v;
}
void tx_commit(struct state *s); /* what was done stays */
void tx_rollback(struct state *s);

static inline void stat_add(uint64_t *p, uint64_t n)
{
	__atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}

/* Place everything in the arena. Answers the bytes needed; arena NULL only counts. */
size_t state_layout(const struct volume_limits *l, void *arena);
/* Levels of the space map for a volume of this many blocks, and blocks in a level. */
unsigned int state_map_levels(uint64_t blocks);
uint64_t state_map_count(uint64_t blocks, unsigned int level);

#endif
