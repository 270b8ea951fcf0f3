/*
 * vpath: what a path of the program means where there are volumes: a place in one, the host's as it came, or another path of the host.
 *
 * Absolute paths are compared with the mount points as they are written; relative ones too, where the working directory or the directory's
 * descriptor is the host's. A path of the host may still lead into a volume through a symbolic link: vpath_behind asks the host where its
 * directory is, before anything is created and after a failure.
 */
#ifndef SCONE_RUNTIME_VPATH_H
#define SCONE_RUNTIME_VPATH_H

#include "runtime/runtime.h"
#include "shield/fs/vfs.h"

enum vpath_kind {
	VPATH_HOST, /* the path as it came */
	VPATH_MOVED, /* the host's, under the absolute path place.away */
	VPATH_VOLUME, /* place */
};

struct vpath {
	enum vpath_kind kind;
	bool link; /* named through a link of /proc: readlink answers where it leads */
	struct vfs_place place;
};

#define VPATH_EMPTY 0x10000u /* an empty path means the descriptor */

/* path: of the program, copied. flags: VFS_* of vfs_walk and VPATH_EMPTY. In vfs (volumes_enter). 0, or -errno of the walk; then kind says whether the path was a volume's. */
MUST_USE int vpath_find(
	const struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret);
/* For a path that vpath_find left to the host: does it lead into a volume, through links of the host? */
MUST_USE int vpath_behind(
	const struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret);
/* The one, and if it leaves the path to the host, the other. */
MUST_USE int vpath_either(
	const struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret);
/* The place of a descriptor or, AT_FDCWD, of a working directory in a volume. -EBADF: it is not of a volume. */
MUST_USE int vpath_of_fd(const struct thread *t, int dirfd, struct vfs_place *ret);

#endif
