/*
 * volume_source: files of volumes and sealed trees that the runtime reads before the program runs: those that a session puts secrets into.
 */
#ifndef SCONE_RUNTIME_VOLUME_SOURCE_H
#define SCONE_RUNTIME_VOLUME_SOURCE_H

#include "core/buf.h"
#include "core/error.h"
#include "runtime/vpath.h"

struct volume_source {
	bool inside; /* the path leads into a volume or tree; otherwise the rest is not set */
	bool found; /* there is such a file: attr */
	struct volume_attr attr;
	char path[VFS_PATH_MAX]; /* its path, without symbolic links */
	struct vfs_place place;
};

/* Where an absolute path leads. 0, also if it leads nowhere special; or -errno: it begins in a volume, and leads to nothing. */
MUST_USE int volume_source_find(const char *path, struct volume_source *ret);
/* Append the content of what was found. -EINVAL: no regular file; -EFBIG: out is full; what vfs_open and vfs_pread answer. */
MUST_USE int volume_source_read(const struct volume_source *s, struct buf *out);

#endif
