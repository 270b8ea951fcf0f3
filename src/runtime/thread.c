#include "runtime/thread.h"
#include "runtime/process.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include "runtime/fd.h"
#include "runtime/console.h"
#include "runtime/net.h"
#include "runtime/signal.h"
#include "runtime/stats.h"
#include "runtime/sys/table.h"
#include "runtime/volumes.h"

#define PR_SUD 59
#define PR_SUD_ON 1
#define HWCAP2_FSGSBASE 2ul
#define XFEATURE_PKRU (1ull << 9)
#define XFEATURE_AMX (3ull << 17) /* the runtime never touches tiles, and their state is 8 KiB */
#define RSEQ_FLAG_UNREGISTER_BIT 1
#define RSEQ_SIGNATURE 0x53053053
#define RSEQ_REGISTERED_LEN 32
#define SIGSETXID 33
#define HOST_STACK (512 * 1024)

struct runtime runtime;
/* The same as runtime.xsave_mask, where entry.S reads it. */
extern uint32_t xsave_mask_lo, xsave_mask_hi;
uint32_t xsave_mask_lo, xsave_mask_hi;

int thread_check_cpu(const char **ret_reason)
{
	uint32_t a, b, c, d, lo, hi;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
		*ret_reason = "the kernel does not let programs set the FS base (FSGSBASE: Linux 5.9 or "
			      "newer on a processor that has it)";
		return -1;
	}
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) {
		*ret_reason = "the processor or kernel has no XSAVE";
		return -1;
	}
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	runtime.xsave_mask = ((uint64_t)hi << 32 | lo) & ~(XFEATURE_PKRU | XFEATURE_AMX);
	xsave_mask_lo = (uint32_t)runtime.xsave_mask;
	xsave_mask_hi = (uint32_t)(runtime.xsave_mask >> 32);
	__cpuid_count(0xd, 0, a, b, c, d);
	runtime.xsave_size = (b + 63u) & ~63u;
	return 0;
}

size_t thread_area_size(void)
{
	return runtime.xsave_size + THREAD_ALTSTACK;
}

void thread_prepare(struct thread *t, struct process *p, void *area)
{
	memset(t, 0, sizeof(*t));
	t->self = t;
	t->proc = p;
	t->xsave = area;
	memset(area, 0, runtime.xsave_size);
	t->altstack.flags = SS_DISABLE;
	t->host_altstack.sp = (uint64_t)area + runtime.xsave_size;
	t->host_altstack.size = THREAD_ALTSTACK;
}

int thread_arm(void)
{
	return (int)host_call5(SYS_prctl, PR_SUD, PR_SUD_ON, (long)runtime.text_start,
		(long)(runtime.text_end - runtime.text_start), 0);
}

int thread_adopt(struct thread *t)
{
	int rc;

	__asm__ volatile("rdfsbase %0" : "=r"(t->host_fs));
	__asm__ volatile("wrgsbase %0" : : "r"(t));
	t->tid = (int)host_call0(SYS_gettid);
	rc = (int)host_call2(SYS_sigaltstack, (long)&t->host_altstack, 0);
	return rc ? rc : thread_arm();
}

struct start {
	struct thread *parent;
	struct regs regs;
	uint64_t flags, ptid, ctid;
	uint32_t done;
	int tid;
};

/* glibc registered a restartable-sequence area for its own thread; the one slot belongs to the program. */
void thread_release_rseq(void)
{
	if (__rseq_size)
		host_call4(SYS_rseq, (long)__builtin_thread_pointer() + __rseq_offset, RSEQ_REGISTERED_LEN,
			RSEQ_FLAG_UNREGISTER_BIT, RSEQ_SIGNATURE);
}

static void write_word(uint64_t addr, int value)
{
	if (user_copy((void *)addr, &value, sizeof(value)))
		return; /* as the kernel: not reported */
}

static void announce(struct start *s, struct thread *t)
{
	if (s->flags & CLONE_PARENT_SETTID)
		write_word(s->ptid, t->tid);
	if (s->flags & CLONE_CHILD_SETTID)
		write_word(s->ctid, t->tid);
	if (s->flags & CLONE_CHILD_CLEARTID)
		t->clear_tid = s->ctid;
	s->tid = t->tid;
}

/* The host thread of a program's thread. Everything it needs lies on its own stack, and goes with it. */
static void *thread_main(void *arg)
{
	struct start *s = arg;
	uint8_t *area = __builtin_alloca_with_align(runtime.xsave_size + THREAD_ALTSTACK, 512);
	struct thread t;
	struct regs regs = s->regs;
	uint64_t none = SIGSET_ALL;
	struct kernel_stack off = {.flags = SS_DISABLE};
	int rc;

	thread_prepare(&t, s->parent->proc, area);
	memcpy(t.xsave, s->parent->xsave, runtime.xsave_size);
	t.regs = &regs;
	t.sigmask = s->parent->sigmask;
	thread_release_rseq();
	rc = thread_adopt(&t);
	s->tid = rc;
	if (!rc)
		announce(s, &t);
	__atomic_store_n(&s->done, 1, __ATOMIC_RELEASE); /* s is gone from here on */
	host_futex_wake(&s->done, 1); /* at worst a spurious wake for whoever uses the word now */
	if (rc)
		return NULL;
	signal_apply_mask(&t);
	scone_enter(&t);
	host_sigmask(SIG_SETMASK, &none, NULL);
	host_call2(SYS_sigaltstack, (long)&off, 0);
	return NULL;
}

static void *end_at_once(void *arg)
{
	return arg;
}

/* The C library takes SIGSETXID for itself when the first thread is made, and lets it in: it is the program's. */
static int create_first(void)
{
	static bool done;
	struct kernel_sigaction before;
	uint64_t mask = 0;
	pthread_t id;
	int rc;

	if (done)
		return 0;
	host_call4(SYS_rt_sigaction, SIGSETXID, 0, (long)&before, 8);
	host_sigmask(SIG_SETMASK, NULL, &mask);
	rc = pthread_create(&id, NULL, end_at_once, NULL);
	if (!rc)
		pthread_join(id, NULL);
	host_call4(SYS_rt_sigaction, SIGSETXID, (long)&before, 0, 8);
	host_sigmask(SIG_SETMASK, &mask, NULL);
	done = !rc;
	return rc;
}

int thread_start_host(void *(*start_routine)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t id;
	int rc = create_first();

	if (rc)
		return -rc;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, HOST_STACK);
	rc = pthread_create(&id, &attr, start_routine, arg);
	pthread_attr_destroy(&attr);
	return -rc;
}

/* The host thread is made by the C library, so that its own state per thread is there: what that cannot do is refused. */
static long refuse(const struct clone_request *q)
{
	const uint64_t needed = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	const uint64_t never = CLONE_VFORK | CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
			       CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
			       CLONE_NEWTIME_FLAG | CLONE_INTO_CGROUP_FLAG | CLONE_CLEAR_SIGHAND_FLAG;

	if ((q->flags & needed) != needed || (q->flags & never))
		return -EINVAL;
	return q->set_tid_size ? -EPERM : 0;
}

long thread_clone(const struct clone_request *q, struct regs *r, struct thread *t)
{
	struct start s = {
		.parent = t, .regs = *r, .flags = q->flags, .ptid = q->parent_tid, .ctid = q->child_tid};
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC;
	int rc = (int)refuse(q);

	if (rc)
		return rc;
	s.regs.rax = 0;
	if (q->stack)
		s.regs.rsp = q->stack;
	if (q->flags & CLONE_SETTLS)
		s.regs.fs = q->tls;
	host_sigmask(SIG_SETMASK, &none, NULL);
	t->proc->has_threads = true;
	rc = thread_start_host(thread_main, &s);
	while (!rc && !__atomic_load_n(&s.done, __ATOMIC_ACQUIRE))
		host_futex_wait(&s.done, 0);
	signal_apply_mask(t);
	return rc ? rc : s.tid;
}

#define ROBUST_LIST_MOST 2048

static void release_robust_futex(const struct thread *t, uint64_t addr, bool pi)
{
	uint32_t *word = (uint32_t *)addr, value, next;
	int rc;

	if (addr % 4 || user_copy(&value, word, sizeof(value)))
		return;
	do {
		if ((value & FUTEX_TID_MASK) != (uint32_t)t->tid)
			return;
		next = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
		rc = scone_swap(word, &value, next);
	} while (rc == 0);
	if (rc < 0)
		return;
	if (!pi && (value & FUTEX_WAITERS))
		host_call3(SYS_futex, (long)word, FUTEX_WAKE, 1);
}

/* What the kernel does for robust mutexes at a thread's end (Documentation/locking/robust-futexes). It must come before clear_child_tid: the
 * list lies in memory that the program may free from then on. */
static void release_robust_list(const struct thread *t)
{
	struct robust_list_head *head = NULL, copy;
	uint64_t entry, size = 0;

	if (host_call3(SYS_get_robust_list, 0, (long)&head, (long)&size) || !head ||
		user_copy(&copy, head, sizeof(copy)))
		return;
	entry = (uint64_t)copy.list.next;
	for (int i = 0; i < ROBUST_LIST_MOST && (entry & ~1ULL) != (uint64_t)&head->list; i++) {
		uint64_t next;

		if (user_copy(&next, (const void *)(entry & ~1ULL), sizeof(next)))
			break;
		if ((entry & ~1ULL) != ((uint64_t)copy.list_op_pending & ~1ULL))
			release_robust_futex(t, (entry & ~1ULL) + (uint64_t)copy.futex_offset, entry & 1);
		entry = next;
	}
	if (copy.list_op_pending)
		release_robust_futex(t,
			((uint64_t)copy.list_op_pending & ~1ULL) + (uint64_t)copy.futex_offset,
			(uint64_t)copy.list_op_pending & 1);
	host_call2(SYS_set_robust_list, 0, sizeof(copy));
}

void thread_retire(struct thread *t)
{
	uint32_t zero = 0;

	release_robust_list(t);
	if (t->rseq_addr)
		host_call4(SYS_rseq, (long)t->rseq_addr, t->rseq_len, RSEQ_FLAG_UNREGISTER_BIT, t->rseq_sig);
	if (t->clear_tid && !user_copy((void *)t->clear_tid, &zero, sizeof(zero)))
		host_call3(SYS_futex, (long)t->clear_tid, FUTEX_WAKE, 1);
}

long sys_exit(struct regs *r, struct thread *t)
{
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC; /* what thread_retire writes to may be gone */

	host_sigmask(SIG_SETMASK, &none, NULL);
	if (t->pending)
		return HOST_ERESTART; /* taken from the process, perhaps: not to be lost with this thread */
	if (t->is_leader && net_active(t->proc) && !fd_has_company())
		net_exit(t->proc);
	if (t->is_leader && stats && !fd_has_company())
		stats_print();
	if (t->is_leader && t->proc->volumes && !fd_has_company())
		volumes_exit(t->proc);
	if (t->is_leader && t->proc->console_rules && !fd_has_company())
		console_exit(t->proc);
	if (t->is_leader)
		host_call1(SYS_exit,
			(long)r->rdi); /* the kernel has the program's clear_child_tid and robust list */
	thread_retire(t);
	scone_leave(t);
}

long sys_set_tid_address(struct regs *r, struct thread *t)
{
	t->clear_tid = r->rdi;
	if (t->is_leader && !t->is_beside)
		return host_call1(SYS_set_tid_address, (long)r->rdi);
	return t->tid;
}

long sys_rseq(struct regs *r, struct thread *t)
{
	long rc = scone_safe_call(SYS_rseq, r);

	if (!rc) {
		bool off = r->rdx & RSEQ_FLAG_UNREGISTER_BIT;

		t->rseq_addr = off ? 0 : r->rdi;
		t->rseq_len = (uint32_t)r->rsi;
		t->rseq_sig = (uint32_t)r->r10;
	}
	return rc;
}
