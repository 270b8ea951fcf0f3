/*
 * process: what thread.c and process.c tell each other.
 */
#ifndef SCONE_RUNTIME_PROCESS_H
#define SCONE_RUNTIME_PROCESS_H

#include "runtime/runtime.h"

/* clone with CLONE_THREAD: a host thread that starts with a copy of the caller's registers. Thread id or -errno. */
long thread_clone(struct regs *r, struct thread *t);

#endif
