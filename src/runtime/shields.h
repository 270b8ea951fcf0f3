/*
 * shields: what the runtime's core asks of the shields: set up, handed on at exec, copied for fork and vfork.
 *
 * All answer 0 or -errno.
 *
 * One lock guards the content of injected files and every descriptor table. It is never held across a call that waits for another
 * process, so whoever forks may take it and have it released on both sides.
 */
#ifndef SCONE_RUNTIME_SHIELDS_H
#define SCONE_RUNTIME_SHIELDS_H

#include "core/buf.h"
#include "core/error.h"
#include "runtime/runtime.h"
#include "shield/fs/injected.h"

/* Where a process keeps the content of its injected files (secret_arena). */
extern const struct injected_memory shields_memory;

/* Takes t over, also on failure; NULL: no files. Sets path_rules, fd_bits and fds when there are files. Once a process. */
MUST_USE int shields_init(struct process *p, struct injected_table *t);

/* Files as they are now, and descriptors that survive exec. out: secret buffer. For the process that calls. */
MUST_USE int shields_encode(struct process *p, struct buf *out);
/* The reverse, in the process after exec. Reads its part of `in` and leaves the rest. -EBADMSG if it is malformed. */
MUST_USE int shields_decode(struct process *p, struct rd *in);

/* A private descriptor table for a child that shares its parent's memory; drop frees it. cancel, before drop: the child never was. */
MUST_USE int shields_clone(struct process *child, const struct process *parent);
void shields_cancel(struct process *child);
void shields_drop(struct process *child);

/* Around fork; the child unlocks too. */
void shields_lock(void);
void shields_unlock(void);

/* NULL: there are none. Content only under the lock; paths and origin never change. */
struct injected_table *shields_files(void);

#endif
