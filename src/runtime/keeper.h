/*
 * keeper: a process that outlives the program. It writes back and commits once a second, cleans up after processes that were killed, and
 * closes the volumes when the last process is gone, however that ended. It runs nothing of the program, has none of its descriptors and is no
 * child of its processes.
 */
#ifndef SCONE_RUNTIME_KEEPER_H
#define SCONE_RUNTIME_KEEPER_H

#include "core/error.h"
#include "shield/fs/vfs.h"

/* Start it, from the application's first process while that has one thread. -EAGAIN and the like. */
MUST_USE int keeper_start(const struct vfs_caller *first);

#endif
