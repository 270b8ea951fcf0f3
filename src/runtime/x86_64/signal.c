/*
 * signal: the one handler of the runtime, and how the program gets its own frames. General registers only.
 *
 * Interrupted in the program: the kernel's frame is copied to the program's stack and the handler entered from there.
 * Interrupted in the runtime: the signal is kept in thread->pending_info, everything but faults is blocked, and on the way out scone_deliver
 * has the kernel build a frame with the program's vector state, by a breakpoint; siginfo is the one kept, and the program's general registers
 * come from thread->regs. The signal does not go back to the kernel: it would be queued behind later ones of its number, or be refused.
 */
#include <errno.h>
#include <linux/audit.h>
#include "runtime/rewrite_hooks.h"
#include "runtime/runtime.h"
#include "runtime/signal.h"
#include "runtime/stats.h"
#include "runtime/sys/table.h"
#include "runtime/x86_64/frame.h"

#define SYS_USER_DISPATCH_CODE 2
#define SYSCALL_LEN 2
#define EXIT_JUMP_LEN 2 /* jmp *%rcx, the last of scone_exit */
#define RFLAGS_CLEARED ((1u << 10) | (1u << 8) | (1u << 16)) /* DF, TF, RF */

extern const char scone_lean_syscall[], scone_lean_end[], scone_exit[], scone_exit_end[], scone_safe_start[],
	scone_safe_syscall[], scone_safe_interrupted[], scone_window_end[], scone_raise_end[],
	scone_sigreturn_start[], scone_sigreturn_end[], scone_copy_start[], scone_copy_end[],
	scone_swap_start[], scone_swap_end[], scone_copy_fault[];

static bool between(uint64_t ip, const char *from, const char *to)
{
	return ip >= (uint64_t)from && ip < (uint64_t)to;
}

void signal_lock(struct process *p)
{
	while (__atomic_exchange_n(&p->lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

void signal_unlock(struct process *p)
{
	__atomic_store_n(&p->lock, 0, __ATOMIC_RELEASE);
}

void signal_set_action(struct process *p, int sig, const struct kernel_sigaction *sa)
{
	signal_lock(p);
	p->sigactions[sig] = *sa;
	p->sig_known |= SIG_BIT(sig);
	signal_unlock(p);
}

/* What the program wants for the signal; SA_RESETHAND is carried out here. */
static struct kernel_sigaction take_action(struct process *p, int sig)
{
	struct kernel_sigaction sa;

	signal_lock(p);
	sa = p->sigactions[sig];
	if ((sa.flags & SA_RESETHAND) && sa.handler > 1) {
		p->sigactions[sig].handler = 0;
		p->sigactions[sig].flags &= ~(uint64_t)SA_RESETHAND;
		if (!(SIGSET_OWN & SIG_BIT(sig)))
			signal_kernel_default(sig);
	}
	signal_unlock(p);
	return sa;
}

void signal_kernel_default(int sig)
{
	struct kernel_sigaction dfl = {0};

	host_call4(SYS_rt_sigaction, sig, (long)&dfl, 0, 8);
}

static void requeue(struct thread *t, const siginfo_t *info)
{
	host_call4(SYS_rt_tgsigqueueinfo, t->proc->pid, t->tid, info->si_signo, (long)info);
}

/* What was sent to the process is any thread's; a later one is the same signal and is dropped, as the kernel does. */
static void share_sigsys(struct process *p, const siginfo_t *info)
{
	uint32_t state = SIGSYS_NONE;

	if (!__atomic_compare_exchange_n(
		    &p->sigsys_shared, &state, SIGSYS_MOVING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	state = scone_copy(&p->sigsys_info, info, sizeof(*info)) ? SIGSYS_NONE : SIGSYS_HELD;
	__atomic_store_n(&p->sigsys_shared, state, __ATOMIC_SEQ_CST);
}

bool signal_take_sigsys(struct process *p, siginfo_t *ret)
{
	uint32_t state = SIGSYS_HELD;
	bool ok;

	if (!__atomic_compare_exchange_n(
		    &p->sigsys_shared, &state, SIGSYS_MOVING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false;
	ok = !scone_copy(ret, &p->sigsys_info, sizeof(*ret));
	__atomic_store_n(&p->sigsys_shared, SIGSYS_NONE, __ATOMIC_SEQ_CST);
	return ok;
}

/* Somebody sent SIGSYS while the program blocks it. A thread that waits for it announces itself before it looks for what is held. */
static void hold_sigsys(struct thread *t, const siginfo_t *info)
{
	int waiter;

	if (info->si_code == SI_TKILL) {
		if (!t->sigsys_held)
			t->sigsys_held = !scone_copy(&t->sigsys_info, info, sizeof(*info));
		return;
	}
	share_sigsys(t->proc, info);
	waiter = __atomic_load_n(&t->proc->sigsys_waiter, __ATOMIC_SEQ_CST);
	if (waiter) /* what the kernel lets one thread send another says nothing of who sent the first */
		host_call3(SYS_tgkill, t->proc->pid, waiter, SIGSYS);
}

/* What is held, back to the kernel. */
static void requeue_sigsys(struct thread *t)
{
	siginfo_t shared;

	if (t->sigsys_held)
		requeue(t, &t->sigsys_info);
	t->sigsys_held = false;
	if (signal_take_sigsys(t->proc, &shared))
		requeue(t, &shared);
}

bool signal_sigsys_held(const struct thread *t)
{
	return t->sigsys_held || __atomic_load_n(&t->proc->sigsys_shared, __ATOMIC_SEQ_CST) == SIGSYS_HELD;
}

void signal_release_sigsys(struct thread *t)
{
	if (!(t->sigmask & SIG_BIT(SIGSYS)) && signal_sigsys_held(t))
		requeue_sigsys(t);
}

void signal_await_sigsys(struct thread *t, bool on)
{
	uint64_t sigsys = SIG_BIT(SIGSYS);

	if (on) {
		host_sigmask(SIG_BLOCK, &sigsys, NULL);
		__atomic_store_n(&t->proc->sigsys_waiter, t->tid, __ATOMIC_SEQ_CST);
		requeue_sigsys(t);
	} else {
		__atomic_store_n(&t->proc->sigsys_waiter, 0, __ATOMIC_SEQ_CST);
		host_sigmask(SIG_UNBLOCK, &sigsys, NULL);
	}
}

/* Nobody handles it: let the kernel do what it does by default. A fault happens again by itself; anything else is raised again. */
static void default_action(struct thread *t, int sig, bool fault, struct kernel_ucontext *k)
{
	signal_kernel_default(sig);
	if (!fault || sig == SIGTRAP) /* a trap does not happen again */
		host_call3(SYS_tgkill, t->proc->pid, t->tid, sig);
	k->sigmask &= ~SIG_BIT(sig);
}

static uint64_t fp_size(const struct kernel_ucontext *k)
{
	if (!k->fpstate)
		return 0;
	if (*(const uint32_t *)(k->fpstate + FXSAVE_MAGIC1) != FP_XSTATE_MAGIC1)
		return FXSAVE_SIZE;
	return *(const uint32_t *)(k->fpstate + FXSAVE_EXTENDED_SIZE);
}

static bool on_stack(const struct kernel_stack *s, uint64_t sp)
{
	return s->size && sp - s->sp <= s->size;
}

/* Copy frame and floating-point image to the program's stack. Returns the frame's address, 0 if the stack cannot take it. */
static uint64_t push_frame(struct thread *t, const struct kernel_sigaction *sa, const siginfo_t *info,
	const struct kernel_ucontext *k, const uint64_t *g)
{
	struct kernel_frame f;
	uint64_t size = fp_size(k), sp = g[G_RSP], fp;
	bool switched = (sa->flags & SA_ONSTACK) && !(t->altstack.flags & SS_DISABLE) && t->altstack.size &&
			!on_stack(&t->altstack, sp);
	bool bounded = switched || on_stack(&t->altstack, sp);

	sp = switched ? t->altstack.sp + t->altstack.size : sp - 128;
	fp = (sp - size) & ~63ULL;
	sp = ((fp - sizeof(f)) & ~15ULL) - 8;
	if (bounded && (sa->flags & SA_ONSTACK) && !on_stack(&t->altstack, sp))
		return 0;

	f.restorer = sa->restorer;
	f.uc.flags = k->flags;
	f.uc.link = 0;
	f.uc.stack = t->altstack;
	for (int i = 0; i < G_COUNT; i++)
		f.uc.g[i] = g[i];
	f.uc.fpstate = size ? fp : 0;
	for (int i = 0; i < 8; i++)
		f.uc.reserved[i] = 0;
	f.uc.sigmask = t->sigmask;
	if (user_copy(&f.info, info, sizeof(f.info)) || user_copy((void *)sp, &f, sizeof(f)) ||
		(size && user_copy((void *)fp, (const void *)k->fpstate, size)))
		return 0;
	return sp;
}

/* The floating-point state a handler starts with. */
static void reset_fp(const struct kernel_ucontext *k)
{
	if (!k->fpstate)
		return;
	*(uint16_t *)(k->fpstate + FXSAVE_CWD) = 0x37f;
	*(uint32_t *)(k->fpstate + FXSAVE_MXCSR) = 0x1f80;
}

/*
 * Give the signal to the program. g: its general registers, changed to those at the start of its handler. k: the kernel's frame; its mask is
 * set to the program's new one.
 */
static void give(
	struct thread *t, int sig, const siginfo_t *info, struct kernel_ucontext *k, uint64_t *g, bool fault)
{
	struct kernel_sigaction sa = take_action(t->proc, sig);
	uint64_t sp;

	k->sigmask = t->sigmask & ~SIG_BIT(SIGSYS);
	if (sa.handler == (uint64_t)SIG_IGN && !fault)
		return;
	if (sa.handler <= 1) {
		default_action(t, sig, fault, k);
		return;
	}
	sp = push_frame(t, &sa, info, k, g);
	if (!sp) {
		default_action(t, SIGSEGV, false, k);
		return;
	}
	if (t->altstack.flags & STACK_AUTODISARM)
		t->altstack = (struct kernel_stack){.flags = SS_DISABLE};
	t->sigmask |= sa.mask;
	if (!(sa.flags & SA_NODEFER))
		t->sigmask |= SIG_BIT(sig);
	t->sigmask &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	k->sigmask = t->sigmask & ~SIG_BIT(SIGSYS);
	reset_fp(k);
	g[G_RIP] = sa.handler;
	g[G_RSP] = sp;
	g[G_RDI] = (uint64_t)sig;
	g[G_RSI] = sp + offsetof(struct kernel_frame, info);
	g[G_RDX] = sp + offsetof(struct kernel_frame, uc);
	g[G_RAX] = 0;
	g[G_FLAGS] &= ~(uint64_t)RFLAGS_CLEARED;
}

/* From thread->regs to a kernel register set and back. cs, ss and the rest come from k. */
static void give_from_regs(struct thread *t, int sig, const siginfo_t *info, struct kernel_ucontext *k)
{
	struct regs *r = t->regs;
	uint64_t g[G_COUNT], native;

	for (int i = 0; i < G_COUNT; i++)
		g[i] = k->g[i];
	g[G_R8] = r->r8;
	g[G_R9] = r->r9;
	g[G_R10] = r->r10;
	g[G_R11] = r->rflags;
	g[G_R12] = r->r12;
	g[G_R13] = r->r13;
	g[G_R14] = r->r14;
	g[G_R15] = r->r15;
	g[G_RDI] = r->rdi;
	g[G_RSI] = r->rsi;
	g[G_RBP] = r->rbp;
	g[G_RBX] = r->rbx;
	g[G_RDX] = r->rdx;
	g[G_RAX] = r->rax;
	g[G_RCX] = r->rip;
	g[G_RSP] = r->rsp;
	g[G_RIP] = rewrite_native_ip(r->rip, &native) ? native : r->rip;
	g[G_FLAGS] = r->rflags;
	give(t, sig, info, k, g, false);
	if (g[G_RSP] == r->rsp)
		return; /* no handler entered */
	r->rip = g[G_RIP];
	r->rsp = g[G_RSP];
	r->rdi = g[G_RDI];
	r->rsi = g[G_RSI];
	r->rdx = g[G_RDX];
	r->rax = g[G_RAX];
	r->rflags = g[G_FLAGS];
}

/* A trapped system call. From the program: on to the entry point. From the runtime (vDSO falling back): do it here. */
static void on_trap(struct kernel_ucontext *k, bool in_runtime)
{
	if (in_runtime) {
		k->g[G_RAX] = (uint64_t)host_call6((long)k->g[G_RAX], (long)k->g[G_RDI], (long)k->g[G_RSI],
			(long)k->g[G_RDX], (long)k->g[G_R10], (long)k->g[G_R8], (long)k->g[G_R9]);
		return;
	}
	if (__builtin_expect(stats != NULL, 0))
		stats_trap(k->g[G_RIP] - 2);
	k->g[G_RCX] = k->g[G_RIP];
	k->g[G_R11] = k->g[G_FLAGS];
	k->g[G_RIP] = (uint64_t)scone_entry;
}

/* Interrupted in the runtime by something that can wait. */
static void keep(struct thread *t, const siginfo_t *info, struct kernel_ucontext *k)
{
	uint64_t
		ip = k->g[G_RIP],
		waits = k->sigmask; /* a mask that blocks what came is one to go back to after a call with another */

	k->sigmask = SIGSET_ALL & ~SIGSET_SYNC;
	if (between(ip, scone_sigreturn_start, scone_sigreturn_end) || t->pending == PENDING_MAX) {
		k->sigmask = SIGSET_ALL;
		requeue(t, info); /* stays with the kernel until the mask allows it */
		return;
	}
	if (scone_copy(&t->pending_info[t->pending], info, sizeof(*info)))
		return;
	if (waits & SIG_BIT(info->si_signo))
		t->pending_despite_mask |= SIG_BIT(info->si_signo);
	t->pending++;
	if (between(ip, scone_safe_start, scone_safe_syscall + 1))
		k->g[G_RIP] = (uint64_t)scone_safe_interrupted;
	else if (between(ip, scone_exit, scone_exit_end))
		k->g[G_RIP] = (uint64_t)scone_exit;
}

static void take_pending(struct thread *t, uint32_t at, siginfo_t *ret)
{
	if (scone_copy(ret, &t->pending_info[at], sizeof(*ret)))
		return;
	t->pending--;
	for (uint32_t i = at; i < t->pending; i++)
		if (scone_copy(&t->pending_info[i], &t->pending_info[i + 1], sizeof(*ret)))
			return;
}

/* What was sent while the program blocks it and the runtime could not (SIGSET_SYNC) is the kernel's to keep. All signals are blocked. */
static void return_blocked(struct thread *t)
{
	siginfo_t info;

	for (uint32_t i = 0; i < t->pending;) {
		uint64_t bit = SIG_BIT(t->pending_info[i].si_signo);

		if ((t->sigmask & bit & SIGSET_SYNC) && !(t->pending_despite_mask & bit)) {
			take_pending(t, i, &info);
			requeue(t, &info);
		} else {
			i++;
		}
	}
}

void signal_give_back(struct thread *t)
{
	uint64_t all = SIGSET_ALL;
	siginfo_t info;

	host_sigmask(SIG_SETMASK, &all, NULL);
	while (t->pending) {
		take_pending(t, 0, &info);
		requeue(t, &info);
	}
	requeue_sigsys(t);
	t->pending_despite_mask = 0;
}

/* At the breakpoint of scone_raise. */
static void on_raised(struct thread *t, struct kernel_ucontext *k)
{
	siginfo_t info;

	take_pending(t, 0, &info);
	give_from_regs(t, info.si_signo, &info, k);
}

static void die_in_runtime(struct thread *t, int sig, const siginfo_t *info, struct kernel_ucontext *k)
{
	signal_report_fault(sig, (uint64_t)info->si_addr, k->g[G_RIP], t);
	default_action(t, sig, true, k);
}

/* Interrupted in a call that goes straight through: as if in the program, at the call or right behind it. */
static void leave_lean(const struct thread *t, struct kernel_ucontext *k)
{
	uint64_t ip = k->g[G_RIP], next = ip == (uint64_t)scone_entry ? k->g[G_RCX] : t->lean_rip, native;

	if (rewrite_native_ip(next, &native))
		next = native;
	k->g[G_RIP] = ip <= (uint64_t)scone_lean_syscall ? next - SYSCALL_LEN : next;
}

void scone_on_signal(int sig, const siginfo_t *info, struct kernel_ucontext *k, uint64_t fs);
void scone_on_signal(int sig, const siginfo_t *info, struct kernel_ucontext *k, uint64_t fs)
{
	struct thread *t = thread_self();
	uint64_t ip, native;
	bool in_runtime, fault = info->si_code > 0 &&
				 (SIG_BIT(sig) & SIGSET_FAULT); /* SI_KERNEL too: general protection */

	if (between(k->g[G_RIP], (const char *)scone_entry, scone_lean_end))
		leave_lean(t, k);
	else if (fault && k->g[G_RIP] == (uint64_t)scone_exit_end - EXIT_JUMP_LEN)
		k->g[G_RIP] = k->g[G_RCX]; /* no address at all: the fault of who wanted to go on there */
	ip = k->g[G_RIP];
	in_runtime = fs == t->host_fs || (ip >= runtime.text_start && ip < runtime.text_end);

	if (sig == SIGSYS && info->si_code == SYS_USER_DISPATCH_CODE && info->si_arch != AUDIT_ARCH_X86_64) {
		k->g[G_RAX] = (uint64_t)-ENOSYS; /* int $0x80: its numbers are others */
		return;
	}
	if (sig == SIGSYS && info->si_code == SYS_USER_DISPATCH_CODE) {
		on_trap(k, in_runtime);
		return;
	}
	if (sig == SIGSYS && (t->sigmask & SIG_BIT(SIGSYS))) {
		hold_sigsys(t, info);
		return;
	}
	if (sig == SIGTRAP && !in_runtime && rewrite_resume_ip(ip - 1, &native)) {
		k->g[G_RIP] = native; /* jumped into a rewritten window: the int3 there is ours */
		return;
	}
	if (!in_runtime) {
		if (rewrite_native_ip(ip, &native))
			k->g[G_RIP] = native;
		give(t, sig, info, k, k->g, fault);
		return;
	}
	if (fault && sig == SIGTRAP && ip == (uint64_t)scone_raise_end) {
		on_raised(t, k);
		return;
	}
	if (fault && (between(ip, scone_copy_start, scone_copy_end) ||
			     between(ip, scone_swap_start, scone_swap_end))) {
		k->g[G_RIP] = (uint64_t)scone_copy_fault;
		return;
	}
	if (fault)
		die_in_runtime(t, sig, info, k);
	else if (ip == (uint64_t)scone_window_end)
		give_from_regs(t, sig, info, k);
	else
		keep(t, info, k);
}

/* On the way out with signals kept. */
void scone_deliver(struct thread *t);
void scone_deliver(struct thread *t)
{
	uint64_t all = SIGSET_ALL, mask = SIGSET_ALL & ~(SIGSET_SYNC | SIG_BIT(SIGTRAP));

	while (t->pending) {
		if (t->sigmask & SIGSET_SYNC) {
			host_sigmask(SIG_SETMASK, &all, NULL);
			return_blocked(t);
			if (!t->pending)
				break;
		}
		t->pending_despite_mask &= ~SIG_BIT(t->pending_info[0].si_signo);
		host_sigmask(SIG_SETMASK, &mask, NULL);
		scone_raise();
	}
	mask = t->sigmask & ~SIG_BIT(SIGSYS);
	scone_window(&mask);
}

/* For the kernel a fault under a blocked SIGSEGV is the end of the process; for a copy it is EFAULT. */
int user_copy(void *dst, const void *src, size_t n)
{
	struct thread *t = thread_self();
	uint64_t faults = SIGSET_SYNC, before = 0, all = SIGSET_ALL;
	uint32_t pending = t->pending;
	int rc;

	if (!(t->sigmask & SIGSET_SYNC))
		return scone_copy(dst, src, n);
	host_sigmask(SIG_UNBLOCK, &faults, &before);
	rc = scone_copy(dst, src, n);
	if (t->pending != pending) {
		host_sigmask(SIG_SETMASK, &all, NULL);
		return_blocked(t);
	}
	host_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* rt_sigreturn: the program's frame goes back to the kernel, with the runtime's alternate stack in it. */
long sys_rt_sigreturn(struct regs *r, struct thread *t)
{
	struct kernel_ucontext *k = (struct kernel_ucontext *)r->rsp;
	struct kernel_ucontext head;
	uint64_t resume, all = SIGSET_ALL;

	if (user_copy(&head, k, sizeof(head))) {
		host_call3(SYS_tgkill, t->proc->pid, t->tid, SIGSEGV);
		return -EFAULT;
	}
	host_sigmask(SIG_SETMASK, &all, NULL);
	if (t->pending)
		return HOST_ERESTART; /* its handler first, as if it had come just before this call */
	t->sigmask = head.sigmask & ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	if (!on_stack(&t->altstack, head.g[G_RSP]) || (head.stack.flags & STACK_AUTODISARM))
		t->altstack = head.stack;
	signal_release_sigsys(t);
	head.sigmask &= ~SIG_BIT(SIGSYS);
	head.stack = t->host_altstack;
	if (rewrite_resume_ip(head.g[G_RIP], &resume))
		head.g[G_RIP] = resume;
	if (user_copy(k, &head, sizeof(head)))
		return -EFAULT;
	scone_sigreturn(r->rsp);
}
