/*
 * writeback: changed blocks to the device, many at a time and in a row. The flow lock is held.
 */
#ifndef SCONE_SHIELD_FS_WRITEBACK_H
#define SCONE_SHIELD_FS_WRITEBACK_H

#include "shield/fs/op.h"

/* Which blocks. */
struct writeback_what {
	enum live_list list;
	bool table; /* the inode table only; without: all others */
	unsigned int level;
	uint64_t ino; /* of this inode only; 0: of any */
	uint64_t below; /* blocks before this one only; 0: any */
	bool passing; /* they will not be read soon: their frames are free again when they are written */
};

/* Write up to max of them; answers how many were taken, 0 when there are none. held: the caller has the state lock exclusively. log: fsync may have to
 * log the new places; blocks whose place no log can carry are left out. */
MUST_USE int writeback_some(
	struct volume *v, const struct writeback_what *what, unsigned int max, bool held, bool log);

#endif
