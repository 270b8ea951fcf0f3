/*
 * process: the ways to make a process or a thread, told apart by sys/clone.c.
 */
#ifndef SCONE_RUNTIME_PROCESS_H
#define SCONE_RUNTIME_PROCESS_H

#include "runtime/runtime.h"

#define CLONE_CLEAR_SIGHAND_FLAG 0x100000000ULL
#define CLONE_INTO_CGROUP_FLAG 0x200000000ULL
#define CLONE_NEWTIME_FLAG 0x80ULL

/* What clone, clone3, fork and vfork ask for. Addresses are the program's. */
struct clone_request {
	uint64_t flags; /* as of clone3: without the exit signal */
	uint64_t exit_signal;
	uint64_t stack; /* where the stack pointer starts; 0: where the caller's is */
	uint64_t tls, parent_tid, child_tid, pidfd;
	uint64_t set_tid, set_tid_size, cgroup;
};

/* Each answers as clone does in the parent, and in the child 0 with its registers changed as asked. */

/* CLONE_THREAD: a host thread that starts with a copy of the caller's registers. */
long thread_clone(const struct clone_request *q, struct regs *r, struct thread *t);
/* A copy of the process. CLONE_VFORK: the parent does not wait. */
long process_fork(const struct clone_request *q, struct regs *r, struct thread *t);
/* CLONE_VM and CLONE_VFORK: the parent waits until the child executes or ends. */
long process_vfork(const struct clone_request *q, struct regs *r, struct thread *t);
/* CLONE_VM alone: parent and child go on side by side in one memory. */
long process_beside(const struct clone_request *q, struct regs *r, struct thread *t);

#endif
