/*
 * signal: the program's system calls about signals. General registers only: they are frequent and need no vectors.
 */
#include <errno.h>
#include "runtime/signal.h"
#include "runtime/sys/table.h"

#define SA_RESTORER_FLAG 0x04000000u
#define KERNEL_PASSED_FLAGS ((uint64_t)(SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT))
#define MINIMUM_ALTSTACK 2048

static uint64_t without_sigsys(uint64_t mask)
{
	return mask & ~SIG_BIT(SIGSYS);
}

static int install(int sig, uint64_t handler, uint64_t flags)
{
	struct kernel_sigaction k = {
		.handler = handler,
		.flags = (flags & KERNEL_PASSED_FLAGS) | SA_RESTORER_FLAG | SA_SIGINFO | SA_ONSTACK,
		.restorer = (uint64_t)scone_restorer,
		.mask = SIGSET_ALL & ~SIGSET_SYNC,
	};

	return (int)host_call4(SYS_rt_sigaction, sig, (long)&k, 0, 8);
}

void signal_start(struct process *p, uint64_t ignored)
{
	for (int sig = 1; sig <= 64; sig++) {
		struct kernel_sigaction k = {0};

		if (!(SIGSET_OWN & SIG_BIT(sig)))
			continue;
		host_call4(SYS_rt_sigaction, sig, 0, (long)&k, 8);
		if (ignored & SIG_BIT(sig))
			k.handler = (uint64_t)SIG_IGN;
		k.restorer = 0;
		k.mask = 0;
		k.flags = 0;
		signal_set_action(p, sig, &k);
		install(sig, (uint64_t)scone_sighandler, 0);
	}
}

void signal_clear_handlers(struct process *p)
{
	for (int sig = 1; sig <= 64; sig++) {
		struct kernel_sigaction *sa = &p->sigactions[sig];
		bool handled = (p->sig_known & SIG_BIT(sig)) && sa->handler > 1;

		*sa = (struct kernel_sigaction){.handler = handled ? 0 : sa->handler};
		if (handled && !(SIGSET_OWN & SIG_BIT(sig)))
			signal_kernel_default(sig);
	}
}

uint64_t signal_ignored(const struct process *p)
{
	uint64_t ret = 0;

	for (int sig = 1; sig <= 64; sig++)
		if ((SIGSET_OWN & SIG_BIT(sig)) && p->sigactions[sig].handler == (uint64_t)SIG_IGN)
			ret |= SIG_BIT(sig);
	return ret;
}

void signal_before_exec(const struct process *p)
{
	uint64_t ignored = signal_ignored(p);

	for (int sig = 1; sig <= 64; sig++)
		if (ignored & SIG_BIT(sig))
			install(sig, (uint64_t)SIG_IGN, 0);
}

void signal_after_failed_exec(const struct process *p)
{
	uint64_t ignored = signal_ignored(p);

	for (int sig = 1; sig <= 64; sig++)
		if (ignored & SIG_BIT(sig))
			install(sig, (uint64_t)scone_sighandler, 0);
}

void signal_apply_mask(struct thread *t)
{
	uint64_t mask = without_sigsys(t->sigmask);

	if (!t->pending)
		host_sigmask(SIG_SETMASK, &mask, NULL);
}

static size_t put_text(char *out, const char *s)
{
	size_t n = 0;

	while (s[n]) {
		out[n] = s[n];
		n++;
	}
	return n;
}

static size_t put_hex(char *out, uint64_t v)
{
	for (int i = 0; i < 16; i++)
		out[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
	return 16;
}

void signal_report_fault(int sig, uint64_t addr, uint64_t ip, const struct thread *t)
{
	char line[200];
	size_t n = put_text(line, "scone-runtime: error: fault in the runtime: signal ");

	line[n++] = (char)('0' + sig / 10);
	line[n++] = (char)('0' + sig % 10);
	n += put_text(line + n, ", address 0x");
	n += put_hex(line + n, addr);
	n += put_text(line + n, ", image offset 0x");
	n += put_hex(line + n, ip - runtime.image_start);
	n += put_text(line + n, ", system call 0x");
	n += put_hex(line + n, t->regs ? t->regs->nr : 0);
	line[n++] = '\n';
	if (!t || !t->proc ||
		!fd_is_shielded(t->proc, 2)) /* it would go into the middle of a protected stream */
		host_write(2, line, n);
}

/* What the program would see as the present action: ours never shows. */
static int current_action(struct process *p, int sig, struct kernel_sigaction *ret)
{
	long rc;

	if (p->sig_known & SIG_BIT(sig)) {
		*ret = p->sigactions[sig];
		return 0;
	}
	rc = host_call4(SYS_rt_sigaction, sig, 0, (long)ret, 8);
	return (int)rc;
}

long sys_rt_sigaction(struct regs *r, struct thread *t)
{
	int sig = (int)r->rdi;
	struct kernel_sigaction sa, old;
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC;
	int rc;

	if (r->r10 != 8 || sig < 1 || sig > 64 || ((sig == SIGKILL || sig == SIGSTOP) && r->rsi))
		return -EINVAL;
	if (r->rsi && user_copy(&sa, (const void *)r->rsi, sizeof(sa)))
		return -EFAULT;
	rc = current_action(t->proc, sig, &old);
	if (rc)
		return rc;
	if (r->rsi) {
		host_sigmask(SIG_SETMASK, &none, NULL);
		sa.mask &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
		if (sa.handler <= 1 && !(SIGSET_OWN & SIG_BIT(sig))) {
			signal_set_action(t->proc, sig, &sa);
			rc = (int)host_call4(SYS_rt_sigaction, sig, (long)&sa, 0, 8);
		} else {
			signal_set_action(t->proc, sig, &sa);
			rc = install(sig, (uint64_t)scone_sighandler, sa.flags);
		}
		signal_apply_mask(t);
		if (rc)
			return rc;
	}
	if (r->rdx && user_copy((void *)r->rdx, &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

long sys_rt_sigprocmask(struct regs *r, struct thread *t)
{
	uint64_t set, old = t->sigmask;

	if (r->r10 != 8)
		return -EINVAL;
	if (r->rsi) {
		if (user_copy(&set, (const void *)r->rsi, sizeof(set)))
			return -EFAULT;
		set &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
		switch ((int)r->rdi) {
		case SIG_BLOCK:
			t->sigmask |= set;
			break;
		case SIG_UNBLOCK:
			t->sigmask &= ~set;
			break;
		case SIG_SETMASK:
			t->sigmask = set;
			break;
		default:
			return -EINVAL;
		}
		signal_apply_mask(t);
		signal_release_sigsys(t);
	}
	if (r->rdx && user_copy((void *)r->rdx, &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

long sys_rt_sigpending(struct regs *r, struct thread *t)
{
	uint64_t set = 0;
	long rc;

	if (r->rsi > sizeof(set))
		return -EINVAL;
	rc = host_call2(SYS_rt_sigpending, (long)&set, sizeof(set));
	for (uint32_t i = 0; i < t->pending; i++)
		if (t->sigmask & SIG_BIT(t->pending_info[i].si_signo))
			set |= SIG_BIT(t->pending_info[i].si_signo);
	if (signal_sigsys_held(t))
		set |= SIG_BIT(SIGSYS);
	set &= t->sigmask;
	if (!rc && user_copy((void *)r->rdi, &set, r->rsi))
		return -EFAULT;
	return rc;
}

long sys_sigaltstack(struct regs *r, struct thread *t)
{
	struct kernel_stack ss, old = t->altstack;
	bool on = t->altstack.size && r->rsp - t->altstack.sp <= t->altstack.size &&
		  !(t->altstack.flags & STACK_AUTODISARM);

	if (!old.size)
		old.flags |= SS_DISABLE;
	else if (on)
		old.flags |= SS_ONSTACK;
	if (r->rdi) {
		int32_t mode;

		if (user_copy(&ss, (const void *)r->rdi, sizeof(ss)))
			return -EFAULT;
		if (on)
			return -EPERM;
		mode = ss.flags & ~STACK_AUTODISARM;
		if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
			return -EINVAL;
		if (mode == SS_DISABLE) {
			ss.sp = 0;
			ss.size = 0;
		} else if (ss.size < MINIMUM_ALTSTACK) {
			return -ENOMEM;
		} else {
			ss.flags &= STACK_AUTODISARM;
		}
		t->altstack = ss;
	}
	old.pad = 0;
	if (r->rsi && user_copy((void *)r->rsi, &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

/* SIGSYS is never blocked underneath, but nothing of the program traps while it waits here: the kernel can keep it then. */
long sys_rt_sigtimedwait(struct regs *r, struct thread *t)
{
	siginfo_t sent;
	uint64_t set;
	long rc;

	if (r->r10 != sizeof(set) || user_copy(&set, (const void *)r->rdi, sizeof(set)) ||
		!(set & t->sigmask & SIG_BIT(SIGSYS)))
		return scone_safe_call(SYS_rt_sigtimedwait, r);
	signal_await_sigsys(t, true);
	rc = scone_safe_call(SYS_rt_sigtimedwait, r);
	/* Another thread took what was sent to the process, and sent its own to say so. */
	if (rc == SIGSYS && signal_take_sigsys(t->proc, &sent) && r->rsi &&
		user_copy((void *)r->rsi, &sent, sizeof(sent)))
		rc = -EFAULT;
	signal_await_sigsys(t, false);
	return rc;
}

/* Calls with a mask for their duration: the same, but SIGSYS stays deliverable. */
long sys_rt_sigsuspend(struct regs *r, struct thread *t)
{
	uint64_t mask;

	if (r->rsi != 8)
		return -EINVAL;
	if (user_copy(&mask, (const void *)r->rdi, sizeof(mask)))
		return -EFAULT;
	mask = without_sigsys(mask);
	return scone_safe_call6(SYS_rt_sigsuspend, (long)&mask, 8, 0, 0, 0, 0);
}

static long with_mask(struct regs *r, uint64_t user_mask, uint64_t size, uint64_t *mask, uint64_t *ret_ptr)
{
	*ret_ptr = user_mask;
	if (!user_mask || size != 8)
		return 0; /* the kernel judges */
	if (user_copy(mask, (const void *)user_mask, sizeof(*mask)))
		return -EFAULT;
	*mask = without_sigsys(*mask);
	*ret_ptr = (uint64_t)mask;
	return 0;
}

long sys_ppoll(struct regs *r, struct thread *t)
{
	uint64_t mask, ptr;

	if (net_is_shaking(t->proc))
		return SYS_GO_SLOW;
	if (with_mask(r, r->r10, r->r8, &mask, &ptr))
		return -EFAULT;
	return scone_safe_call6(
		SYS_ppoll, (long)r->rdi, (long)r->rsi, (long)r->rdx, (long)ptr, (long)r->r8, 0);
}

long sys_epoll_pwait(struct regs *r, struct thread *t)
{
	uint64_t mask, ptr;

	if (net_is_shaking(t->proc))
		return SYS_GO_SLOW;
	if (with_mask(r, r->r8, r->r9, &mask, &ptr))
		return -EFAULT;
	return scone_safe_call6(
		(long)r->nr, (long)r->rdi, (long)r->rsi, (long)r->rdx, (long)r->r10, (long)ptr, (long)r->r9);
}

long sys_pselect6(struct regs *r, struct thread *t)
{
	struct {
		uint64_t ptr, size;
	} arg;
	uint64_t mask;

	if (net_is_shaking(t->proc))
		return SYS_GO_SLOW;
	if (!r->r9)
		return scone_safe_call(SYS_pselect6, r);
	if (user_copy(&arg, (const void *)r->r9, sizeof(arg)) ||
		with_mask(r, arg.ptr, arg.size, &mask, &arg.ptr))
		return -EFAULT;
	return scone_safe_call6(SYS_pselect6, (long)r->rdi, (long)r->rsi, (long)r->rdx, (long)r->r10,
		(long)r->r8, (long)&arg);
}
