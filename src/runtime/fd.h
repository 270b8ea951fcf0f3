/*
 * fd: which descriptors of a process a shield serves, of which kind, and what they stand for.
 *
 * The number of such a descriptor is the kernel's, and so is whether exec closes it. What stands behind the number in the kernel is the kind's
 * matter; for an injected file it is an empty memfd, a placeholder, whose offset, status flags and sharing are the kernel's, too. There is never
 * content in it; whoever uses it past the runtime reads zeros. What a kind does is in runtime/fd_ops.h.
 *
 * Callers hold shields_lock, except for fd_is_shielded and fd_load.
 */
#ifndef SCONE_RUNTIME_FD_H
#define SCONE_RUNTIME_FD_H

#include <fcntl.h>
#include "core/buf.h"
#include "core/error.h"
#include "runtime/runtime.h"

enum fd_kind {
	FD_NONE, /* not ours */
	FD_INJECTED, /* file: id of an injected file; dev and ino are its placeholder's */
	FD_VOLUME, /* of a volume: vfs.h knows the number */
	FD_HIDDEN, /* the runtime's own: to the program it is not there */
	FD_SOCKET, /* a stream socket of a program with rules: slot of its connection (net_table.h) */
	FD_CONSOLE, /* protected or refused by the console shield: number of its channel (console_table.h) */
	FD_KINDS
};

struct fd_entry {
	_Alignas(8) uint32_t file; /* what it stands for: a number that its kind knows */
	uint32_t kind : 8; /* enum fd_kind */
	uint32_t flags : 24; /* access mode and O_PATH of open */
	uint64_t dev, ino; /* of what the kernel has there */
};
static_assert(offsetof(struct fd_entry, dev) == 8, "file, kind and flags change in one step");

static inline bool fd_may_read(const struct fd_entry *e)
{
	return !(e->flags & O_PATH) && (e->flags & O_ACCMODE) != O_WRONLY;
}

static inline bool fd_may_write(const struct fd_entry *e)
{
	return !(e->flags & O_PATH) && (e->flags & O_ACCMODE) != O_RDONLY;
}

/* An empty table and its bits for p; nothing if it has one. */
MUST_USE int fd_init(struct process *p);
void fd_free(struct process *p);
MUST_USE int fd_clone(struct process *child, const struct process *parent);

/* NULL: not ours. Valid until the table changes. */
const struct fd_entry *fd_get(const struct process *p, int fd);
/* Without the lock: file, kind and flags as they are at this moment, kind FD_NONE if it is not ours. dev and ino are not given. */
struct fd_entry fd_load(const struct process *p, uint64_t fd);
/* May the table have number fd? -EMFILE. */
MUST_USE int fd_reserve(const struct process *p, int fd);
/* After fd_reserve. */
void fd_set_entry(struct process *p, int fd, const struct fd_entry *e);
void fd_clear(struct process *p, int fd);
/* One more than the highest number that may be ours. */
uint32_t fd_end(const struct process *p);
/* The injected file whose placeholder has this identity: its id, or -ENOENT. */
MUST_USE int fd_find_inode(const struct process *p, uint64_t dev, uint64_t ino);
/* fd, new in this process, has this identity: if it is that of an injected file's placeholder, it stands for the same file. */
void fd_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino);
/* Would a thread that takes descriptors of its own leave others with another table? There is one for all. */
bool fd_has_company(void);
/* Tell every placeholder of an injected file how long it is now. */
void fd_resize(const struct process *p, uint32_t id, uint64_t size);

/* Make a placeholder for an injected file of this size, with status flags, and enter it. Answers the descriptor or -errno. flags: of open. */
MUST_USE long fd_open(struct process *p, uint32_t id, uint32_t flags, uint64_t size);

/* Those that exec does not close. */
void fd_encode(const struct process *p, struct buf *out);
/* files: how many ids there are. -EBADMSG, -ENOMEM. */
MUST_USE int fd_decode(struct process *p, struct rd *in, size_t files);

#endif
