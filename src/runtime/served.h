/*
 * served: what system calls do to an injected file, however it was named. Answers are the system call's: a result or -errno.
 * Pointers of the program come as uint64_t and are copied with user_copy. Each takes shields_lock itself.
 */
#ifndef SCONE_RUNTIME_SERVED_H
#define SCONE_RUNTIME_SERVED_H

#include <time.h>
#include "runtime/runtime.h"

/* flags of open(2). The answer is a placeholder's descriptor. */
long served_open(struct process *p, uint32_t id, uint32_t flags);
long served_stat(uint32_t id, uint64_t user_stat);
long served_statx(uint32_t id, uint32_t flags, uint32_t mask, uint64_t user_statx);
/* mask of access(2); effective: by effective ids, else by real ones. */
long served_access(uint32_t id, uint32_t mask, bool effective);
/* Attributes: those of a file that the host has are changed there. */
long served_chmod(uint32_t id, uint32_t mode);
long served_chown(uint32_t id, uint32_t uid, uint32_t gid);
/* user_times: two struct timespec of utimensat(2), or 0 for now. */
/* times: access and modification, as for utimensat(2); NULL: now. */
long served_set_times(uint32_t id, const struct timespec *times);
long served_utimens(uint32_t id, uint64_t user_times);
/* Extended attributes of a file in memory, by the call's number: nothing to list, nothing there, no room for any. */
long served_without_xattr(uint64_t nr);
long served_truncate(struct process *p, uint32_t id, int64_t size);

#endif
