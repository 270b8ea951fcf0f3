/*
 * process: fork, vfork and clone.
 */

#include <errno.h>
#include <sched.h>
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
#include "runtime/sys/table.h"
#include "runtime/thread.h"

#define VFORK_STACK (1024 * 1024)
#define CLONE_SIGNAL_MASK 0xffULL

/* In the child of a fork: it has one thread, the copy of the caller, and no signals waiting. */
static void child_setup(struct regs *r, struct thread *t, uint64_t flags, uint64_t ctid, uint64_t tls)
{
	int tid = (int)host_call0(SYS_gettid);

	t->proc->pid = (int)host_call0(SYS_getpid);
	t->tid = tid;
	t->is_leader = true;
	t->pending = 0;
	t->pending_despite_mask = 0;
	t->sigsys_held = false;
	t->clear_tid = flags & CLONE_CHILD_CLEARTID ? ctid : 0;
	host_call1(SYS_set_tid_address, (long)t->clear_tid);
	if (flags & CLONE_SETTLS)
		r->fs = tls;
	if ((flags & CLONE_CHILD_SETTID) && user_copy((void *)ctid, &tid, sizeof(tid)))
		return; /* as the kernel: not reported */
}

static void put_parent_tid(uint64_t flags, uint64_t ptid, long pid)
{
	int value = (int)pid;

	if ((flags & CLONE_PARENT_SETTID) && user_copy((void *)ptid, &value, sizeof(value)))
		return;
}

/* glibc's fork leaves its allocator and thread list usable in the child; it knows one kind of child only. */
static long host_fork(uint64_t flags, uint64_t ptid)
{
	const uint64_t by_libc = CLONE_SIGNAL_MASK | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
				 CLONE_CHILD_CLEARTID | CLONE_SETTLS;
	uint64_t rest =
		flags & ~(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_SETTLS);
	long pid;

	if ((flags & CLONE_SIGNAL_MASK) == SIGCHLD && !(flags & ~by_libc)) {
		pid = fork();
		return pid < 0 ? -errno : pid;
	}
	return host_call5(SYS_clone, (long)rest, 0, (long)ptid, 0, 0);
}

static long do_fork(struct regs *r, struct thread *t, uint64_t flags, uint64_t stack, uint64_t ptid,
	uint64_t ctid, uint64_t tls)
{
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC;
	long pid;

	host_sigmask(SIG_SETMASK, &none, NULL);
	shields_lock();
	code_lock();
	loader_lock();
	signal_lock(t->proc);
	pid = host_fork(flags, ptid);
	signal_unlock(t->proc);
	loader_unlock();
	code_unlock();
	shields_unlock();
	if (pid == 0) {
		child_setup(r, t, flags, ctid, tls);
		if (stack)
			r->rsp = stack;
		if (thread_arm())
			host_call1(SYS_exit_group, 127);
	} else if (pid > 0) {
		put_parent_tid(flags, ptid, pid);
	}
	signal_apply_mask(t);
	return pid;
}

/* A child that shares memory with its suspended parent: own thread block, own runtime stack, private copy of what execve and signal calls
 * change. */
struct vfork_area {
	struct thread thread;
	struct process process;
	struct regs regs;
};

static size_t vfork_area_size(void)
{
	return ((sizeof(struct vfork_area) + 63) & ~63UL) + thread_area_size() + VFORK_STACK;
}

static struct vfork_area *vfork_prepare(
	const struct regs *r, const struct thread *t, uint64_t stack, uint64_t tls)
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
	if (stack)
		a->thread.regs->rsp = stack;
	if (r->rdi & CLONE_SETTLS && r->nr == SYS_clone)
		a->thread.regs->fs = tls;
	return a;
}

/* First thing in the child, from entry.S: all signals blocked, GS base is ours. General registers only. */
void scone_vfork_child(struct thread *t);
void scone_vfork_child(struct thread *t)
{
	t->proc->pid = (int)host_call0(SYS_getpid);
	if (thread_adopt(t))
		host_call1(SYS_exit_group, 127);
	signal_apply_mask(t);
}

static long do_vfork(struct regs *r, struct thread *t, uint64_t flags, uint64_t stack, uint64_t ptid,
	uint64_t ctid, uint64_t tls)
{
	/* FS base and signal actions are the runtime's; all else, namespaces too, is the kernel's to do or to refuse. */
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC, passed = ~(uint64_t)(CLONE_SETTLS | CLONE_SIGHAND);
	struct vfork_area *a = vfork_prepare(r, t, stack, tls);
	long child;

	if (!a)
		return -ENOMEM;
	host_sigmask(SIG_SETMASK, &none, NULL);
	child = scone_clone_vm((long)(flags & passed), (void *)(((uint64_t)a->thread.regs) & ~63UL),
		&a->thread, (long)ptid, (long)ctid);
	if (a->process.launching) {
		a->process.launching->by_fd = false; /* that descriptor was the child's */
		launch_free(a->process.launching);
	}
	shields_drop(&a->process);
	host_munmap(a, vfork_area_size());
	signal_apply_mask(t);
	return child;
}

long sys_clone(struct regs *r, struct thread *t)
{
	uint64_t flags = r->rdi;

	if (flags & CLONE_THREAD)
		return thread_clone(r, t);
	if ((flags & (CLONE_VM | CLONE_VFORK)) == (CLONE_VM | CLONE_VFORK))
		return do_vfork(r, t, flags, r->rsi, r->rdx, r->r10, r->r8);
	if (flags & CLONE_VM)
		return -EINVAL; /* two running processes on one memory: the host threads underneath cannot be told apart */
	return do_fork(r, t, flags & ~(uint64_t)CLONE_VFORK, r->rsi, r->rdx, r->r10, r->r8);
}

long sys_fork(struct regs *r, struct thread *t)
{
	return do_fork(r, t, SIGCHLD, 0, 0, 0, 0);
}

long sys_vfork(struct regs *r, struct thread *t)
{
	return do_vfork(r, t, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
}
