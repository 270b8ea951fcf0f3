/*
 * volume_table: calls that name files: where each has its paths, and what is done to a place in a volume. volume_path.c finds the places.
 */
#ifndef SCONE_RUNTIME_SYS_VOLUME_TABLE_H
#define SCONE_RUNTIME_SYS_VOLUME_TABLE_H

#include "runtime/sys/volume.h"

enum follow {
	FOLLOW,
	NOFOLLOW,
	NAME, /* the name itself, as of mkdir and unlink */
	AT_FLAGS, /* as the AT_ flags in register `at` say */
	OPEN_FLAGS, /* as the O_ flags there say */
};

enum after { NOTHING, OPENED, STATTED, STATXED, CHANGED_DIR };

struct volume_call {
	int8_t dir, path, at; /* numbers of registers; dir -1: the working directory */
	uint8_t follow;
	bool creates;
	bool null_is_dir; /* no path: the descriptor */
	uint8_t after; /* what the host's answer is looked at for: it may be of a mount point's own directory */
	long (*place)(struct regs *r, struct thread *t, struct vpath *v);
	/* Two paths. */
	int8_t dir2, path2;
	int (*pair)(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
		const struct regs *r);
};

/* By number; no path, place and pair NULL: it names no file, or is not done by the table. */
extern const struct volume_call volume_calls[SYS_TABLE_SIZE];

#endif
