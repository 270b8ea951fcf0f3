/*
 * fd_ops: what the kinds of shielded descriptors do with system calls.
 *
 * sys_fd is the handler of every call that a descriptor decides: it finds the kind and calls what that kind has for the number of the call.
 * A kind is one const struct fd_ops in a file of its own, entered by fd_ops_set. dup, close and their like are the same for every kind
 * (fd_call.c) and tell the kind by `entered` and `left`.
 */
#ifndef SCONE_RUNTIME_FD_OPS_H
#define SCONE_RUNTIME_FD_OPS_H

#include "runtime/fd.h"
#include "runtime/sys/table.h"

/* e: file, kind and flags as they were when the call came, for the caller's descriptor among the arguments; another thread may have closed it
 * since. Answers as a handler of the table does. */
typedef long (*fd_handler)(struct regs *r, struct thread *t, const struct fd_entry *e);

struct fd_ops {
	/* By number of the system call. NULL: `other`. For calls with two descriptors that of the first argument which is shielded decides;
	 * for mmap it is the mapped file's. */
	fd_handler call[SYS_TABLE_SIZE];
	fd_handler other;
	/* May be NULL; shields_lock is held. A copy of e, which is number from, has got number fd, by dup and its like. -errno: fd is closed
	 * again. */
	int (*entered)(struct process *p, int fd, int from, const struct fd_entry *e);
	/* May be NULL; shields_lock is held. fd stands for e no longer; the kernel's descriptor is closed or replaced next. */
	void (*left)(struct process *p, int fd, const struct fd_entry *e);
};

/* sys/file.c */
extern const struct fd_ops fd_ops_injected;
/* sys/net_io.c */
extern const struct fd_ops fd_ops_socket;
/* sys/console.c */
extern const struct fd_ops fd_ops_console;

/* Enter a kind: once, before the program runs. */
void fd_ops_set(unsigned kind, const struct fd_ops *ops);
/* NULL for FD_NONE, and for a kind that has not been entered. */
const struct fd_ops *fd_ops_of(unsigned kind);
/* The call in r, of which fd decides; passed on if it is not ours. */
long fd_call(struct regs *r, struct thread *t, int fd);

#endif
