/*
 * fd: which descriptors of a process stand for injected files.
 *
 * Such a descriptor is an empty memfd, a placeholder: the kernel keeps its number, its sharing, its offset, its status flags and whether
 * exec closes it. There is never content in it; whoever uses it past the runtime reads zeros. The table adds which file it stands for and how
 * it was opened. Callers hold shields_lock, except for fd_is_shielded.
 */
#ifndef SCONE_RUNTIME_FD_H
#define SCONE_RUNTIME_FD_H

#include <fcntl.h>
#include "core/buf.h"
#include "core/error.h"
#include "runtime/runtime.h"

struct fd_entry {
	uint32_t file; /* id of the injected file + 1; 0: not ours */
	uint32_t flags; /* access mode and O_PATH of open */
	uint64_t ino; /* of the placeholder */
};

static inline bool fd_may_read(const struct fd_entry *e)
{
	return !(e->flags & O_PATH) && (e->flags & O_ACCMODE) != O_WRONLY;
}

static inline bool fd_may_write(const struct fd_entry *e)
{
	return !(e->flags & O_PATH) && (e->flags & O_ACCMODE) != O_RDONLY;
}

/* An empty table and its bits for p. */
MUST_USE int fd_init(struct process *p);
void fd_free(struct process *p);
MUST_USE int fd_clone(struct process *child, const struct process *parent);

/* NULL: not ours. Valid until the table changes. */
const struct fd_entry *fd_get(const struct process *p, int fd);
/* Room for number fd: after this fd_set cannot fail. -EMFILE, -ENOMEM. */
MUST_USE int fd_reserve(struct process *p, int fd);
void fd_set_entry(struct process *p, int fd, const struct fd_entry *e);
void fd_clear(struct process *p, int fd);
/* Every number from first to last. */
void fd_clear_range(struct process *p, uint32_t first, uint32_t last);
/* The file whose placeholder has this identity: its id, or -ENOENT. */
MUST_USE int fd_find_inode(const struct process *p, uint64_t dev, uint64_t ino);
/* fd, new in this process, has this identity: if it is that of a placeholder, it stands for the same file. */
void fd_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino);
/* Would a thread that takes descriptors of its own leave others with another table? There is one for all. */
bool fd_has_company(void);
/* Tell every placeholder of a file how long it is now. */
void fd_resize(const struct process *p, uint32_t id, uint64_t size);

/* Make a placeholder for a file of this size, with status flags, and enter it. Answers the descriptor or -errno. flags: of open. */
MUST_USE long fd_open(struct process *p, uint32_t id, uint32_t flags, uint64_t size);

/* Those that exec does not close. */
void fd_encode(const struct process *p, struct buf *out);
/* files: how many ids there are. -EBADMSG, -ENOMEM. */
MUST_USE int fd_decode(struct process *p, struct rd *in, size_t files);

#endif
