/*
 * thread: the runtime's side of a thread of the program.
 */
#ifndef SCONE_RUNTIME_THREAD_H
#define SCONE_RUNTIME_THREAD_H

#include "runtime/runtime.h"

#define THREAD_ALTSTACK                                                                                      \
	(64 * 1024) /* for the signal handler: the kernel's frame with AVX-512 and AMX state, twice */

/* The processor has what the runtime needs (FSGSBASE, XSAVE); fills runtime.xsave_*. 0, or -1 with the reason. */
int thread_check_cpu(const char **ret_reason);

/* Bytes that thread_prepare needs besides struct thread. */
size_t thread_area_size(void);

/* Fill t for the calling (or coming) host thread. area: thread_area_size() bytes, 64-byte aligned. host_fs, tid and GS base are set by
 * thread_adopt in the thread itself. */
void thread_prepare(struct thread *t, struct process *p, void *area);

/* In the thread itself, signals blocked: GS base, alternate stack, syscall user dispatch. 0 or -errno. General registers only. */
int thread_adopt(struct thread *t);

/* A host thread, with the caller's signal mask and 512 KiB of stack, that nobody waits for. 0 or -errno. */
int thread_start_host(void *(*start_routine)(void *), void *arg);

/* Arm syscall user dispatch for the calling thread (it does not survive fork). */
int thread_arm(void);

/* Give the one rseq slot of the calling thread, which glibc registered, to the program. */
void thread_release_rseq(void);

/* The thread's end as the program sees it: robust futexes, rseq, clear_child_tid. */
void thread_retire(struct thread *t);

#endif
