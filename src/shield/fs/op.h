/*
 * op: how an operation runs. It works on what is cached, under the state lock; when a block is missing, or frames, or room, it answers one of the
 * codes below, everything it did is undone, the lock is given up, the block is read or room is made, and it starts over:
 *
 *	op_start(&op, v, mode, frames);
 *	do {
 *		r = op_enter(&op);
 *		if (r == 0)
 *			r = body(&op, ...);
 *	} while (op_again(&op, &r));
 *
 * So no lock is held while the device works, and a process that dies then has changed nothing. A body does not keep pointers into the arena
 * from one round to the next. When op_again answers false the lock is given up and r is the result; what a body with r >= 0 did stays.
 */
#ifndef SCONE_SHIELD_FS_OP_H
#define SCONE_SHIELD_FS_OP_H

#include "shield/fs/cache.h"
#include "shield/fs/handle.h"

enum op_code {
	OP_MISS = -5001, /* op->miss has to be read */
	OP_FRAMES = -5002, /* more free frames */
	OP_COMMIT = -5003, /* live inodes or room, which a commit gives */
};

struct op_miss {
	uint64_t ino, index;
	unsigned int level, n; /* n blocks of one level in a row, all there */
	bool passing; /* of a file read in order that does not fit into the cache: what lies behind makes room */
	struct format_ptr ptr[FORMAT_FANOUT];
};

struct op {
	struct volume *v;
	struct state *s;
	enum volume_lock_mode mode;
	bool held; /* the caller has the state lock exclusively and keeps it */
	bool flow; /* the caller has the flow lock */
	bool service; /* part of open, commit, verification: also when the volume is read-only */
	uint32_t frames;
	bool entered; /* the lock is held */
	unsigned int commits, rooms, rounds, bad; /* how often that was tried */
	struct format_ptr bad_ptr;
	struct op_miss miss;
};

void op_start(struct op *op, struct volume *v, enum volume_lock_mode mode, uint32_t frames);
MUST_USE int op_enter(struct op *op);
MUST_USE bool op_again(struct op *op, long *r);

/* For bodies: room for n more changed blocks. 0, OP_COMMIT or -ENOSPC. remove: the operation frees more than it takes. */
MUST_USE int op_room(struct op *op, uint64_t n, bool remove);

#endif
