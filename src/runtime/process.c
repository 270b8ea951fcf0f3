/*
 * process: copies of the process, and children that borrow its memory.
 */

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "runtime/code.h"
#include "runtime/launch.h"
#include "runtime/loader.h"
#include "runtime/process.h"
#include "runtime/shields.h"
#include "runtime/signal.h"
#include "runtime/stats.h"
#include "runtime/sys/table.h"
#include "runtime/thread.h"

#define VFORK_STACK (1024 * 1024)
#define VFORK_STACK_TOLD 65536 /* of it, to the kernel, which only adds */

/* In the child of a fork: it has one thread, the copy of the caller, and no signals waiting. */
static void child_setup(const struct clone_request *q, struct regs *r, struct thread *t)
{
	int tid = (int)host_call0(SYS_gettid);

	t->proc->pid = (int)host_call0(SYS_getpid);
	t->tid = tid;
	t->is_leader = true;
	stats_reset();
	t->pending = 0;
	t->pending_despite_mask = 0;
	t->sigsys_held = false;
	t->clear_tid = q->flags & CLONE_CHILD_CLEARTID ? q->child_tid : 0;
	host_call1(SYS_set_tid_address, (long)t->clear_tid);
	if (q->flags & CLONE_CLEAR_SIGHAND_FLAG)
		signal_clear_handlers(t->proc);
	if (q->flags & CLONE_SETTLS)
		r->fs = q->tls;
	if (q->stack)
		r->rsp = q->stack;
	if ((q->flags & CLONE_CHILD_SETTID) && user_copy((void *)q->child_tid, &tid, sizeof(tid)))
		return; /* as the kernel: not reported */
}

static void put_parent_tid(const struct clone_request *q, long pid)
{
	int value = (int)pid;

	if ((q->flags & CLONE_PARENT_SETTID) && user_copy((void *)q->parent_tid, &value, sizeof(value)))
		return;
}

/* What clone has no room for; clone is tried where it will do, since filters of containers may not know clone3. */
static bool needs_clone3(const struct clone_request *q)
{
	return q->set_tid_size || (q->flags & (CLONE_INTO_CGROUP_FLAG | CLONE_NEWTIME_FLAG));
}

static struct clone_args host_args(const struct clone_request *q, uint64_t flags)
{
	return (struct clone_args){
		.flags = flags,
		.pidfd = q->pidfd,
		.child_tid = q->child_tid,
		.parent_tid = q->parent_tid,
		.exit_signal = q->exit_signal,
		.set_tid = q->set_tid,
		.set_tid_size = q->set_tid_size,
		.cgroup = q->cgroup,
	};
}

/* glibc's fork leaves its allocator and thread list usable in the child; it knows one kind of child only. */
static long host_fork(const struct clone_request *q)
{
	const uint64_t done_here = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |
				   CLONE_SETTLS | CLONE_VFORK | CLONE_CLEAR_SIGHAND_FLAG;
	uint64_t rest = q->flags & ~done_here;
	struct clone_args args = host_args(q, rest);
	long pid;

	if (!rest && q->exit_signal == SIGCHLD && !q->set_tid_size) {
		pid = fork();
		return pid < 0 ? -errno : pid;
	}
	if (needs_clone3(q))
		return host_call2(SYS_clone3, (long)&args, sizeof(args));
	return host_call5(SYS_clone, (long)(rest | q->exit_signal), 0, (long)q->pidfd, 0, 0);
}

long process_fork(const struct clone_request *q, struct regs *r, struct thread *t)
{
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC;
	long pid;

	if ((q->flags & CLONE_FILES) && t->proc->fd_bits)
		return -EINVAL; /* what one closes would stay a placeholder to the other */
	host_sigmask(SIG_SETMASK, &none, NULL);
	shields_lock();
	code_lock();
	loader_lock();
	signal_lock(t->proc);
	pid = host_fork(q);
	signal_unlock(t->proc);
	loader_unlock();
	code_unlock();
	shields_unlock();
	if (pid == 0) {
		child_setup(q, r, t);
		if (thread_arm())
			host_call1(SYS_exit_group, 127);
	} else if (pid > 0) {
		put_parent_tid(q, pid);
	}
	signal_apply_mask(t);
	return pid;
}

/* A child that shares memory with its suspended parent: own thread block, own runtime stack, private copy of what execve and signal calls
 * change. */
struct vfork_area {
	struct thread thread; /* first: the child knows the area by it */
	struct process process;
	bool clear_handlers;
};

static size_t vfork_area_size(void)
{
	return ((sizeof(struct vfork_area) + 63) & ~63UL) + thread_area_size() + VFORK_STACK;
}

static struct vfork_area *vfork_prepare(
	const struct clone_request *q, const struct regs *r, const struct thread *t)
{
	long at = host_mmap(NULL, vfork_area_size(), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct vfork_area *a = (struct vfork_area *)at;
	uint8_t *area = (uint8_t *)at + ((sizeof(*a) + 63) & ~63UL);
	uint64_t top = (uint64_t)at + vfork_area_size();

	if (host_failed(at))
		return NULL;
	signal_lock(t->proc);
	a->process = *t->proc;
	signal_unlock(t->proc);
	a->process.lock = 0;
	a->process.launching = NULL;
	if (shields_clone(&a->process, t->proc)) {
		host_munmap(a, vfork_area_size());
		return NULL;
	}
	thread_prepare(&a->thread, &a->process, area);
	memcpy(a->thread.xsave, t->xsave, runtime.xsave_size);
	a->thread.is_leader = true;
	a->thread.is_vfork = true;
	a->thread.sigmask = t->sigmask;
	a->thread.altstack = t->altstack;
	a->thread.regs = (struct regs *)((top - sizeof(struct regs)) & ~63UL);
	*a->thread.regs = *r;
	a->thread.regs->rax = 0;
	if (q->stack)
		a->thread.regs->rsp = q->stack;
	if (q->flags & CLONE_SETTLS)
		a->thread.regs->fs = q->tls;
	a->clear_handlers = q->flags & CLONE_CLEAR_SIGHAND_FLAG;
	return a;
}

/* First thing in the child, from entry.S: all signals blocked, GS base is ours. General registers only. */
void scone_vfork_child(struct thread *t);
void scone_vfork_child(struct thread *t)
{
	t->proc->pid = (int)host_call0(SYS_getpid);
	if (thread_adopt(t))
		host_call1(SYS_exit_group, 127);
	if (((struct vfork_area *)t)->clear_handlers)
		signal_clear_handlers(t->proc);
	signal_apply_mask(t);
}

static long host_vfork(const struct clone_request *q, struct vfork_area *a)
{
	/* FS base, signal actions and the table of descriptors are the runtime's; all else, namespaces too, is the kernel's to do or to refuse. */
	uint64_t flags =
		q->flags & ~(uint64_t)(CLONE_SETTLS | CLONE_SIGHAND | CLONE_FILES | CLONE_CLEAR_SIGHAND_FLAG);
	uint64_t top = (uint64_t)a->thread.regs & ~63UL;
	struct clone_args args = host_args(q, flags);
	bool two_words = (flags & CLONE_PIDFD) && (flags & CLONE_PARENT_SETTID);
	long by_clone3[5] = {(long)&args, sizeof(args)};
	long by_clone[5] = {(long)(flags | q->exit_signal), (long)top,
		(long)(flags & CLONE_PIDFD ? q->pidfd : q->parent_tid), (long)q->child_tid, 0};

	args.stack = top - VFORK_STACK_TOLD;
	args.stack_size = VFORK_STACK_TOLD;
	if (needs_clone3(q) || two_words)
		return scone_clone_vm(SYS_clone3, by_clone3, &a->thread);
	return scone_clone_vm(SYS_clone, by_clone, &a->thread);
}

long process_vfork(const struct clone_request *q, struct regs *r, struct thread *t)
{
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC;
	struct vfork_area *a = vfork_prepare(q, r, t);
	long child;

	if (!a)
		return -ENOMEM;
	host_sigmask(SIG_SETMASK, &none, NULL);
	child = host_vfork(q, a);
	if (a->process.launching) {
		a->process.launching->by_fd = false; /* that descriptor was the child's */
		launch_free(a->process.launching);
	}
	shields_drop(&a->process);
	host_munmap(a, vfork_area_size());
	signal_apply_mask(t);
	return child;
}
