/*
 * runtime: what a thread and a process of the hosted program are to the runtime.
 *
 * One struct thread per thread, at GS base while the program and the runtime run. One struct process per process (a vfork child has a
 * private copy). The program's registers live in struct regs while the runtime works for it.
 */
#ifndef SCONE_RUNTIME_RUNTIME_H
#define SCONE_RUNTIME_RUNTIME_H

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "host/host.h"

/* Registers of the program at a system call. Offsets are known to x86_64/entry.S. */
struct regs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r10, r9, r8, rdx, rsi, rdi; /* 0 .. 88 */
	uint64_t rax; /* 96: in: number; out: result */
	uint64_t nr; /* 104: the number, kept */
	uint64_t rip; /* 112: where the program goes on */
	uint64_t rflags; /* 120 */
	uint64_t rsp; /* 128 */
	uint64_t fs; /* 136: FS base of the program */
};
static_assert(offsetof(struct regs, fs) == 136, "entry.S");

#define SIGSET_ALL (~0ULL)
#define SIG_BIT(n) (1ULL << ((n)-1))
/* Faults of the runtime's own copies from and to the program must be delivered whenever they happen. */
#define SIGSET_SYNC (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS))

/* The kernel's struct sigaction for x86-64. */
struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

struct kernel_stack {
	uint64_t sp;
	int32_t flags;
	int32_t pad;
	uint64_t size;
};

#define STACK_AUTODISARM ((int32_t)0x80000000) /* SS_AUTODISARM of linux/signal.h */

#define PENDING_MAX 4

struct process;
struct launch;

struct thread {
	struct thread *self; /* 0: GS points here */
	struct regs *regs; /* 8: the runtime's stack begins right below */
	uint64_t host_fs; /* 16: FS base of the runtime in this thread */
	uint32_t pending; /* 24: signals taken while in the runtime and not yet given to the program */
	uint32_t pad;
	uint64_t scratch; /* 32 */
	void *xsave; /* 40: program's vector state while slow handlers run; 64-byte aligned */
	uint64_t leave_sp; /* 48: runtime stack pointer to return to when the thread ends */
	uint64_t lean_rip; /* 56: where the program goes on after a call that goes straight through */
	struct process *proc;

	int tid;
	bool is_leader; /* thread group leader, or a child process' only thread: ends by a raw exit */
	bool is_vfork; /* child that shares its parent's memory */
	bool is_beside; /* such a child whose parent goes on: the kernel's clear_child_tid tells the runtime of its end */
	uint64_t sigmask; /* as the program sees it */
	struct kernel_stack altstack; /* the program's, virtual */
	struct kernel_stack host_altstack;
	uint64_t clear_tid; /* program's word, 0: none */
	uint64_t rseq_addr; /* registered by the program, 0: none */
	uint32_t rseq_len, rseq_sig;
	siginfo_t pending_info[PENDING_MAX];
	uint64_t pending_despite_mask; /* came in while the mask of sigsuspend, ppoll, … was in force */
	bool sigsys_held; /* somebody sent SIGSYS while the program blocks it; the kernel cannot keep it, for it must pass */
	siginfo_t sigsys_info;
};
static_assert(offsetof(struct thread, lean_rip) == 56, "entry.S");

enum sigsys_state {
	SIGSYS_NONE,
	SIGSYS_MOVING, /* info is being written or read */
	SIGSYS_HELD,
};

#define FD_TRACK_MAX 65536

struct process {
	struct kernel_sigaction sigactions[65]; /* by number */
	uint64_t sig_known; /* bit: sigactions[n] reflects the kernel's */
	/* Descriptors that a shield serves: bit set means the slow handler looks. One bit per descriptor below FD_TRACK_MAX. */
	uint64_t *fd_bits; /* NULL while there are none */
	bool path_rules; /* some path is served by a shield: every path call takes the slow way */
	struct process_volumes *volumes; /* NULL: there are none; runtime/volumes.h */
	struct fd_table *fds; /* what the bits stand for; owned by runtime/fd.c */
	bool net_rules; /* the network shield has rules (runtime/net.h) */
	bool console_rules; /* the console shield has (runtime/console.h) */
	const uint32_t *net_shaking; /* with rules: handshakes under way, read without a lock */
	struct launch *launching; /* of a vfork child in execve: its memory is the parent's, who frees it */
	bool has_threads; /* of a child that shares its parent's memory: it made some */
	uint32_t sigsys_shared; /* enum sigsys_state: as sigsys_held of a thread, sent to the process */
	int sigsys_waiter; /* thread in rt_sigtimedwait for it, 0: none */
	siginfo_t sigsys_info;
	uint32_t lock; /* sigactions */
	int pid;
};

/* What does not change after start. */
struct runtime {
	char *program; /* absolute path that /proc/self/exe answers */
	bool attested; /* configuration came from CAS: secrets may be in memory */
	bool threads_started; /* the program runs: thread_self() answers */
	bool stats; /* SCONE_LOG=debug: counters at exit */
	uint64_t text_start, text_end; /* the runtime's code: where system calls are allowed */
	uint64_t image_start, image_end;
	uint64_t arena_start, arena_end; /* of volumes (runtime/volumes.h); 0: none */
	uint64_t xsave_mask;
	uint32_t xsave_size;
};
extern struct runtime runtime;

static inline struct thread *thread_self(void)
{
	struct thread *t;

	__asm__("movq %%gs:0, %0" : "=r"(t));
	return t;
}

/* --- x86_64/entry.S --- */
void scone_entry(void); /* where trapped and rewritten system calls arrive */
void scone_sighandler(int sig); /* the one signal handler */
void scone_restorer(void);
/* Start or resume the program with thread->regs, after restoring vector state from thread->xsave. Returns when the thread leaves. */
void scone_enter(struct thread *t);
__attribute__((noreturn)) void scone_leave(struct thread *t);
__attribute__((noreturn)) void scone_sigreturn(uint64_t rsp);
/* A system call that a signal can interrupt: answers -ERESTARTSYS (-512) if one is pending before it starts or the kernel would restart it. */
long scone_safe_call(long nr, const struct regs *r);
long scone_safe_call6(long nr, long a, long b, long c, long d, long e, long f);
/* rt_sigprocmask after which the kernel may deliver a signal that is turned into a frame for the program. */
long scone_window(const uint64_t *mask);
/* A breakpoint: the kernel builds a frame with the program's vector state, which becomes the one for the first pending signal. */
void scone_raise(void);
/* user_copy while SIGSEGV and SIGBUS are not blocked, or between the runtime's own variables. */
int scone_copy(void *dst, const void *src, size_t n);
/* Compare and exchange a word of the program's: 1 done; 0 not, *expected is what is there; -EFAULT. Under the same condition. */
int scone_swap(uint32_t *word, uint32_t *expected, uint32_t next);
/* clone or clone3 (nr), with a new stack in args; the child runs scone_vfork_child(child). Answers as the call does in the parent. */
long scone_clone_vm(long nr, const long args[5], struct thread *child);
#define HOST_ERESTART (-512L)

/* Copy to or from the program's memory: 0 or -EFAULT. */
__attribute__((warn_unused_result)) int user_copy(void *dst, const void *src, size_t n);
/* Copy a NUL-terminated string of at most max bytes with its NUL: length without NUL, -EFAULT, or -ENAMETOOLONG. */
long user_string(char *dst, uint64_t src, size_t max);

/* --- dispatch --- */
/* By the low half of the number in eax: not zero where the call goes straight to the host. */
extern uint8_t scone_lean[65536];
void lean_start(const struct process *p); /* with its shields in place, unless it counts its calls */
int scone_dispatch(struct regs *r, struct thread *t); /* fast; 1: take the slow way */
void scone_dispatch_slow(struct regs *r, struct thread *t); /* vector state saved */
/* Make the system call happen again after the handlers have run. */
void regs_restart(struct regs *r);

#endif
