/*
 * signal: actions and masks of the program, between sys/signal.c and x86_64/signal.c.
 */
#ifndef SCONE_RUNTIME_SIGNAL_H
#define SCONE_RUNTIME_SIGNAL_H

#include "runtime/runtime.h"

/* Signals whose kernel action is always the runtime's handler. */
#define SIGSET_OWN (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGSYS) | SIG_BIT(SIGTRAP))
/* Signals that an instruction can cause. */
#define SIGSET_FAULT                                                                                         \
	(SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP))

/* Take over: read the dispositions the process started with and install the handler for SIGSET_OWN. ignored: bits of SIGSET_OWN that a
 * predecessor's program ignored, which the kernel could not tell. */
void signal_start(struct process *p, uint64_t ignored);
uint64_t signal_ignored(const struct process *p);
/* Around an execve after which nobody reads a predecessor's state: what the kernel must keep ignored. */
void signal_before_exec(const struct process *p);
void signal_after_failed_exec(const struct process *p);
/* Block all signals and hand those kept back to the kernel, which keeps them across execve. signal_apply_mask ends it. */
void signal_give_back(struct thread *t);
/* Around fork: no other thread is changing an action. */
void signal_lock(struct process *p);
void signal_unlock(struct process *p);
/* In a child that is to start without its parent's handlers: what is ignored stays so. All signals are blocked. */
void signal_clear_handlers(struct process *p);
void signal_set_action(struct process *p, int sig, const struct kernel_sigaction *sa);
void signal_kernel_default(int sig);
/* If the program's mask allows SIGSYS again, raise the one that was held back. */
void signal_release_sigsys(struct thread *t);
bool signal_sigsys_held(const struct thread *t);
/* The one sent to the process that is held, if any. */
bool signal_take_sigsys(struct process *p, siginfo_t *ret);
/* Around a call in which the kernel is to keep SIGSYS, blocked, for the thread that waits for it. */
void signal_await_sigsys(struct thread *t, bool on);
/* One line on stderr: a fault of the runtime itself. */
void signal_report_fault(int sig, uint64_t addr, uint64_t ip, const struct thread *t);
/* Set the kernel's mask to the program's, unless signals wait to be delivered (then the way out does it). */
void signal_apply_mask(struct thread *t);

#endif
