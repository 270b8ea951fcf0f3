/*
 * clone: what clone, clone3, fork and vfork ask for, checked and in one form.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include "host/host.h"
#include "runtime/process.h"
#include "runtime/sys/table.h"

#define ARGS_FIRST 64 /* sizes of struct clone_args as it grew */
#define ARGS_LAST 88
#define ARGS_MOST 4096
#define SET_TID_MOST 32 /* levels of process id namespaces */
#define EXIT_SIGNAL_MASK 0xffULL
#define ADDRESS_END 0x7ffffffff000ULL

static_assert(sizeof(struct clone_args) == ARGS_LAST, "clone3(2) of Linux 6.1");

static long create(const struct clone_request *q, struct regs *r, struct thread *t)
{
	const uint64_t both = CLONE_PIDFD | CLONE_PARENT_SETTID;

	if ((q->flags & both) == both && q->pidfd == q->parent_tid)
		return -EINVAL;
	if (q->flags & CLONE_THREAD)
		return thread_clone(q, r, t);
	if ((q->flags & CLONE_VM) && (q->flags & CLONE_VFORK))
		return process_vfork(q, r, t);
	if (q->flags & CLONE_VM)
		return process_beside(q, r, t);
	return process_fork(q, r, t);
}

long sys_clone(struct regs *r, struct thread *t)
{
	struct clone_request q = {
		.flags = (uint32_t)r->rdi & ~EXIT_SIGNAL_MASK,
		.exit_signal = r->rdi & EXIT_SIGNAL_MASK,
		.stack = r->rsi,
		.parent_tid = r->rdx,
		.pidfd = r->rdx,
		.child_tid = r->r10,
		.tls = r->r8,
	};

	if ((q.flags & CLONE_PIDFD) && (q.flags & CLONE_PARENT_SETTID))
		return -EINVAL; /* one address for both */
	return create(&q, r, t);
}

long sys_fork(struct regs *r, struct thread *t)
{
	struct clone_request q = {.exit_signal = SIGCHLD};

	return create(&q, r, t);
}

long sys_vfork(struct regs *r, struct thread *t)
{
	struct clone_request q = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};

	return create(&q, r, t);
}

/* A longer struct of a newer program will do if what we do not know is zero. */
static long take_args(struct clone_args *ret, uint64_t user, uint64_t size)
{
	uint8_t tail[ARGS_LAST];

	*ret = (struct clone_args){0};
	if (size > ARGS_MOST)
		return -E2BIG;
	if (size < ARGS_FIRST)
		return -EINVAL;
	for (uint64_t at = ARGS_LAST; at < size; at += sizeof(tail)) {
		uint64_t n = size - at < sizeof(tail) ? size - at : sizeof(tail);

		if (user_copy(tail, (const void *)(user + at), n) < 0)
			return -EFAULT;
		for (uint64_t i = 0; i < n; i++)
			if (tail[i])
				return -E2BIG;
	}
	return user_copy(ret, (const void *)user, size < ARGS_LAST ? size : ARGS_LAST);
}

/* The kernel's checks, in its order. */
static long check_args(const struct clone_args *a, uint64_t size)
{
	const uint64_t known = 0xffffffffULL | CLONE_CLEAR_SIGHAND_FLAG | CLONE_INTO_CGROUP_FLAG;
	const uint64_t sighand = CLONE_SIGHAND | CLONE_CLEAR_SIGHAND_FLAG;

	if (a->set_tid_size > SET_TID_MOST || !a->set_tid != !a->set_tid_size)
		return -EINVAL;
	if ((a->exit_signal & ~EXIT_SIGNAL_MASK) || a->exit_signal > 64)
		return -EINVAL;
	if ((a->flags & CLONE_INTO_CGROUP_FLAG) && (a->cgroup > INT32_MAX || size < ARGS_LAST))
		return -EINVAL;
	if (a->flags & ~known)
		return -EINVAL;
	if (a->flags & (CLONE_DETACHED | (EXIT_SIGNAL_MASK & ~CLONE_NEWTIME_FLAG)))
		return -EINVAL;
	if ((a->flags & sighand) == sighand)
		return -EINVAL;
	if ((a->flags & (CLONE_THREAD | CLONE_PARENT)) && a->exit_signal)
		return -EINVAL;
	if (!a->stack != !a->stack_size)
		return -EINVAL;
	if (a->stack_size > ADDRESS_END || a->stack > ADDRESS_END - a->stack_size)
		return -EINVAL;
	return 0;
}

long sys_clone3(struct regs *r, struct thread *t)
{
	struct clone_request q;
	struct clone_args a;
	long rc = take_args(&a, r->rdi, r->rsi);

	if (!rc)
		rc = check_args(&a, r->rsi);
	if (rc)
		return rc;
	q = (struct clone_request){
		.flags = a.flags,
		.exit_signal = a.exit_signal,
		.stack = a.stack + a.stack_size,
		.tls = a.tls,
		.parent_tid = a.parent_tid,
		.child_tid = a.child_tid,
		.pidfd = a.pidfd,
		.set_tid = a.set_tid,
		.set_tid_size = a.set_tid_size,
		.cgroup = a.cgroup,
	};
	return create(&q, r, t);
}
