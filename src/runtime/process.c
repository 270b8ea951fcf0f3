/*
 * process: copies of the process, and children that borrow its memory.
 */

#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "runtime/code.h"
#include "runtime/launch.h"
#include "runtime/loader.h"
#include "runtime/console.h"
#include "runtime/net.h"
#include "runtime/process.h"
#include "runtime/shields.h"
#include "runtime/signal.h"
#include "runtime/stats.h"
#include "runtime/sys/table.h"
#include "runtime/thread.h"
#include "runtime/volumes.h"

#define VFORK_STACK (1024 * 1024)
#define VFORK_STACK_TOLD 65536 /* of it, to the kernel, which only adds */

static void put_word(uint64_t addr, int value)
{
	if (user_copy((void *)addr, &value, sizeof(value)))
		return; /* as the kernel: not reported */
}

/* In the child of a fork: it has one thread, the copy of the caller, and no signals waiting. */
static void child_setup(const struct clone_request *q, struct regs *r, struct thread *t)
{
	int tid = (int)host_call0(SYS_gettid);

	t->proc->pid = (int)host_call0(SYS_getpid);
	t->tid = tid;
	t->is_leader = true;
	t->is_vfork = false;
	t->is_beside = false;
	stats_reset();
	t->pending = 0;
	t->pending_despite_mask = 0;
	t->sigsys_held = false;
	t->proc->sigsys_waiter = 0;
	t->proc->sigsys_shared = SIGSYS_NONE;
	t->clear_tid = q->flags & CLONE_CHILD_CLEARTID ? q->child_tid : 0;
	host_call1(SYS_set_tid_address, (long)t->clear_tid);
	if (q->flags & CLONE_CLEAR_SIGHAND_FLAG)
		signal_clear_handlers(t->proc);
	if (q->flags & CLONE_SETTLS)
		r->fs = q->tls;
	if (q->stack)
		r->rsp = q->stack;
	if (q->flags & CLONE_CHILD_SETTID)
		put_word(q->child_tid, tid);
}

static void put_parent_tid(const struct clone_request *q, long pid)
{
	if (q->flags & CLONE_PARENT_SETTID)
		put_word(q->parent_tid, (int)pid);
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
	uint32_t slot = 0;
	long pid;
	int rc;

	if ((q->flags & CLONE_FILES) && t->proc->fd_bits)
		return -EINVAL; /* what one closes would stay a placeholder to the other */
	host_sigmask(SIG_SETMASK, &none, NULL);
	rc = volumes_fork_prepare(t->proc, &slot);
	if (rc) {
		signal_apply_mask(t);
		return rc;
	}
	code_lock();
	loader_lock();
	signal_lock(t->proc);
	net_fork_prepare();
	console_fork_prepare();
	pid = host_fork(q);
	if (pid == 0) {
		console_fork_child(t->proc);
		net_fork_child(t->proc);
	} else {
		console_fork_parent(t->proc, pid);
		net_fork_parent(t->proc, pid);
	}
	signal_unlock(t->proc);
	loader_unlock();
	code_unlock();
	shields_unlock();
	if (pid == 0)
		volumes_fork_child(t->proc, slot);
	else
		volumes_fork_parent(t->proc, slot, pid < 0);
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
	uint64_t told_tid; /* of a child that goes on beside its parent: where it writes its id, 0: nowhere */
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
	a->process.has_threads = false;
	a->process.sigsys_waiter = 0;
	a->process.sigsys_shared = SIGSYS_NONE;
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
	volumes_born(t->proc);
	if (((struct vfork_area *)t)->clear_handlers)
		signal_clear_handlers(t->proc);
	if (((struct vfork_area *)t)->told_tid)
		put_word(((struct vfork_area *)t)->told_tid, t->tid);
	signal_apply_mask(t);
}

static long host_vfork(const struct clone_request *q, struct vfork_area *a)
{
	/* FS base and signal actions are the runtime's, and so is a table of descriptors some of which are served; all else, namespaces too, is the
	 * kernel's to do or to refuse. */
	uint64_t files = a->thread.is_beside ? 0 : CLONE_FILES,
		 flags = q->flags & ~(CLONE_SETTLS | CLONE_SIGHAND | files | CLONE_CLEAR_SIGHAND_FLAG);
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

/* The child uses nothing of it any more. Its threads, if it made any, may: they keep it. */
static void release(struct vfork_area *a, long child)
{
	if (child < 0)
		shields_cancel(&a->process);
	if (a->process.launching) {
		a->process.launching->by_fd = false; /* that descriptor was the child's */
		launch_free(a->process.launching);
	}
	if (a->process.has_threads)
		return;
	shields_drop(&a->process);
	host_munmap(a, vfork_area_size());
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
	release(a, child);
	signal_apply_mask(t);
	return child;
}

/*
 * A child that goes on beside its parent in the same memory cannot have the caller's host thread: what the C library keeps per thread would
 * have two users. A host thread is made for it, lends it its own, and waits for its end.
 */
struct lender {
	const struct clone_request *q;
	struct vfork_area *area;
	uint32_t done; /* the child is made, or could not be: the rest is answered */
	long child;
};

/* Until the child executes or ends, when the kernel clears the word. */
static void await_end(uint32_t *alive)
{
	while (__atomic_load_n(alive, __ATOMIC_ACQUIRE))
		host_call4(SYS_futex, (long)alive, FUTEX_WAIT, 1, 0);
}

static void clear_child_tid(uint64_t addr)
{
	if (addr) {
		put_word(addr, 0);
		host_call3(SYS_futex, (long)addr, FUTEX_WAKE, 1);
	}
}

static void *lender_main(void *arg)
{
	struct lender *l = arg;
	struct vfork_area *a = l->area;
	uint8_t *area = __builtin_alloca_with_align(thread_area_size(), 512);
	struct clone_request q = *l->q;
	struct kernel_stack off = {.flags = SS_DISABLE};
	uint64_t all = SIGSET_ALL;
	uint32_t alive = 1;
	struct thread t;
	long child;

	thread_prepare(&t, a->thread.proc, area);
	thread_release_rseq();
	child = thread_adopt(&t);
	if (!child) {
		q.flags = (q.flags | CLONE_CHILD_CLEARTID) & ~(uint64_t)CLONE_CHILD_SETTID;
		q.child_tid = (uint64_t)&alive;
		child = host_vfork(&q, a);
	}
	l->child = child;
	__atomic_store_n(&l->done, 1, __ATOMIC_RELEASE); /* l is gone from here on */
	host_futex_wake(&l->done, 1);
	if (child > 0) {
		await_end(&alive);
		clear_child_tid(a->thread.clear_tid);
	}
	release(a, child);
	host_sigmask(SIG_SETMASK, &all, NULL);
	host_call2(SYS_sigaltstack, (long)&off, 0);
	return NULL;
}

long process_beside(const struct clone_request *q, struct regs *r, struct thread *t)
{
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC;
	struct lender l = {.q = q};
	long rc;

	if ((q->flags & CLONE_FILES) && t->proc->fd_bits)
		return -EINVAL; /* as of process_fork */
	l.area = vfork_prepare(q, r, t);
	if (!l.area)
		return -ENOMEM;
	l.area->thread.is_beside = true;
	l.area->thread.altstack = (struct kernel_stack){.flags = SS_DISABLE};
	l.area->thread.clear_tid = q->flags & CLONE_CHILD_CLEARTID ? q->child_tid : 0;
	l.area->told_tid = q->flags & CLONE_CHILD_SETTID ? q->child_tid : 0;
	host_sigmask(SIG_SETMASK, &none, NULL);
	rc = thread_start_host(lender_main, &l);
	if (rc)
		release(l.area, rc);
	while (!rc && !__atomic_load_n(&l.done, __ATOMIC_ACQUIRE))
		host_futex_wait(&l.done, 0);
	signal_apply_mask(t);
	return rc ? rc : l.child;
}
