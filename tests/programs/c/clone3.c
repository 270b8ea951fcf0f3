/* clone3: each kind of flag, sizes of its struct, and what it refuses. */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

#define STACK 65536
#define CLEAR_SIGHAND 0x100000000ull
#define INTO_CGROUP 0x200000000ull
#define NEWTIME 0x80ull
#define VFORKED (CLONE_VM | CLONE_VFORK)
#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

struct args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};

struct shared {
	pid_t parent_tid, child_tid, seen;
	int value, pidfd;
};
static struct shared *sh;
static char *stack;

static long clone3(const struct args *a, size_t size)
{
	return syscall(SYS_clone3, a, size);
}

/* The child runs fn on a stack of its own and ends its thread with the result. */
static long clone3_call(const struct args *a, int (*fn)(void))
{
	register long rax __asm__("rax") = SYS_clone3;
	register void *r8 __asm__("r8") = (void *)fn;

	__asm__ volatile("syscall\n\ttest %%rax,%%rax\n\tjnz 1f\n\txor %%ebp,%%ebp\n\tcall *%%r8\n\t"
			 "mov %%eax,%%edi\n\tmov $60,%%eax\n\tsyscall\n\thlt\n1:"
			 : "+r"(rax)
			 : "D"(a), "S"(sizeof(*a)), "r"(r8)
			 : "rcx", "r11", "memory");
	if (rax < 0) {
		errno = (int)-rax;
		return -1;
	}
	return rax;
}

static int ended(pid_t pid, int options)
{
	int status = -1;
	pid_t r = waitpid(pid, &status, options);

	if (r < 0 || (pid > 0 && r != pid))
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static volatile sig_atomic_t got;
static void on_signal(int sig)
{
	got = sig;
}

static void plain(void)
{
	static const size_t sizes[] = {64, 80, 88, 96, 512, 4096};
	static char big[4096];
	struct args *a = (struct args *)big;
	pid_t pid;

	section("sizes");
	a->exit_signal = SIGCHLD;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		pid = (pid_t)clone3(a, sizes[i]);
		if (!pid)
			_exit(getppid() > 1 ? 17 : 18);
		WANT(ended(pid, 0) == 17);
	}

	section("exit signal");
	signal(SIGUSR1, on_signal);
	a->exit_signal = SIGUSR1;
	pid = (pid_t)clone3(a, 88);
	if (!pid)
		_exit(3);
	WANT(ended(pid, __WALL) == 3);
	WANT(got == SIGUSR1);
	a->exit_signal = 0;
	pid = (pid_t)clone3(a, 88);
	if (!pid)
		_exit(4);
	FAILS(waitpid(pid, NULL, 0), ECHILD);
	WANT(ended(pid, __WCLONE) == 4);
}

static void words(void)
{
	struct args a = {
		.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
		.exit_signal = SIGCHLD,
		.pidfd = (uint64_t)&sh->pidfd,
		.parent_tid = (uint64_t)&sh->parent_tid,
		.child_tid = (uint64_t)&sh->child_tid};
	struct pollfd p;
	siginfo_t si;
	pid_t pid;

	section("words and pidfd");
	memset(sh, 0, sizeof(*sh));
	pid = (pid_t)clone3(&a, sizeof(a));
	if (!pid) {
		sh->seen = sh->child_tid;
		_exit(sh->child_tid == getpid() ? 5 : 6);
	}
	WANT(sh->parent_tid == pid);
	p = (struct pollfd){sh->pidfd, POLLIN, 0};
	WANT(poll(&p, 1, 10000) == 1);
	WANT(waitid(P_PIDFD, (id_t)sh->pidfd, &si, WEXITED) == 0 && si.si_pid == pid && si.si_status == 5);
	WANT(sh->seen == pid);
	WANT(fcntl(sh->pidfd, F_GETFD) == FD_CLOEXEC);
	close(sh->pidfd);
}

static int own_stack(void)
{
	char here;

	sh->value = &here >= stack && &here < stack + STACK;
	return 6;
}

static int same_pid(void)
{
	sh->value = 1 + (getpid() == sh->seen);
	sh->seen = (pid_t)syscall(SYS_gettid);
	return 7;
}

static int executes(void)
{
	char *argv[] = {"true", NULL};

	execv("/bin/true", argv);
	return 8;
}

static void stacks(void)
{
	struct args a = {.exit_signal = SIGCHLD, .stack = (uint64_t)stack, .stack_size = STACK};
	pid_t pid;

	section("stack of its own");
	sh->value = 0;
	pid = (pid_t)clone3_call(&a, own_stack);
	WANT(ended(pid, 0) == 6 && sh->value == 1);

	section("vfork");
	sh->value = 0;
	a.flags = VFORKED;
	pid = (pid_t)clone3_call(&a, own_stack);
	WANT(sh->value == 1); /* before it is waited for */
	WANT(ended(pid, 0) == 6);
	WANT(ended((pid_t)clone3_call(&a, executes), 0) == 0);
	a.flags = VFORKED | CLONE_PIDFD | CLONE_PARENT_SETTID;
	a.pidfd = (uint64_t)&sh->pidfd;
	a.parent_tid = (uint64_t)&sh->parent_tid;
	sh->pidfd = -1;
	pid = (pid_t)clone3_call(&a, executes);
	WANT(sh->parent_tid == pid);
	WANT(ended(pid, 0) == 0);
	WANT(close(sh->pidfd) == 0);
}

static void threads(void)
{
	struct args a = {.flags = THREAD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
		.stack = (uint64_t)stack,
		.stack_size = STACK,
		.parent_tid = (uint64_t)&sh->parent_tid,
		.child_tid = (uint64_t)&sh->child_tid};
	pid_t tid;

	section("thread");
	memset(sh, 0, sizeof(*sh));
	sh->seen = getpid();
	sh->child_tid = -1;
	tid = (pid_t)clone3_call(&a, same_pid);
	WANT(tid > 0 && tid != getpid() && sh->parent_tid == tid);
	while ((volatile pid_t)sh->child_tid)
		syscall(SYS_futex, &sh->child_tid, FUTEX_WAIT, sh->child_tid, NULL, NULL, 0);
	WANT(sh->value == 2 && sh->seen == tid);
}

/* 0: USR1, SEGV and TRAP are as by default, USR2 ignored, HUP as it was. */
static int actions(void)
{
	static const int cleared[] = {SIGUSR1, SIGSEGV, SIGTRAP};
	struct sigaction sa;

	for (int i = 0; i < 3; i++)
		if (sigaction(cleared[i], NULL, &sa) || sa.sa_handler != SIG_DFL)
			return 10 + i;
	if (sigaction(SIGUSR2, NULL, &sa) || sa.sa_handler != SIG_IGN)
		return 13;
	return sigaction(SIGHUP, NULL, &sa) || sa.sa_handler != SIG_DFL ? 14 : 0;
}

static int dies_of_usr1(void)
{
	raise(SIGUSR1);
	return 15;
}

static void handlers(void)
{
	struct args a = {.flags = CLEAR_SIGHAND,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)stack,
		.stack_size = STACK};
	struct sigaction sa;
	int status = 0;

	section("handlers cleared");
	signal(SIGUSR1, on_signal);
	signal(SIGSEGV, on_signal);
	signal(SIGTRAP, on_signal);
	signal(SIGUSR2, SIG_IGN);
	for (int i = 0; i < 2; i++) {
		WANT(ended((pid_t)clone3_call(&a, actions), 0) == 0);
		WANT(waitpid((pid_t)clone3_call(&a, dies_of_usr1), &status, 0) > 0);
		WANT(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
		a.flags |= VFORKED;
	}
	a.flags = 0;
	WANT(ended((pid_t)clone3_call(&a, actions), 0) == 10);
	WANT(!sigaction(SIGUSR1, NULL, &sa) && sa.sa_handler == on_signal);
	WANT(!sigaction(SIGSEGV, NULL, &sa) && sa.sa_handler == on_signal);
	got = 0;
	raise(SIGUSR1);
	WANT(got == SIGUSR1);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
}

static int in_root(void)
{
	sh->value = chdir("/") == 0 && close(sh->pidfd) == 0;
	return 9;
}

static int reports_parent(void)
{
	sh->seen = getppid();
	return 11;
}

static void shares(void)
{
	struct args a = {.flags = CLONE_FS | CLONE_FILES,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)stack,
		.stack_size = STACK};
	char before[4096], after[4096];
	pid_t pid;

	section("shared directory and descriptors");
	WANT(getcwd(before, sizeof(before)) != NULL);
	sh->pidfd = dup(1);
	WANT(ended((pid_t)clone3_call(&a, in_root), 0) == 9 && sh->value == 1);
	WANT(getcwd(after, sizeof(after)) && !strcmp(after, "/"));
	FAILS(fcntl(sh->pidfd, F_GETFD), EBADF);
	WANT(chdir(before) == 0);

	section("sibling");
	pid = fork();
	if (!pid) {
		a.flags = CLONE_PARENT;
		a.exit_signal = 0;
		_exit(clone3_call(&a, reports_parent) > 0 ? 12 : 13);
	}
	WANT(ended(pid, 0) == 12);
	WANT(ended(-1, 0) == 11 && sh->seen == getpid());
}

/* What these give depends on rights; natively and under the runtime it is the same. */
static void privileged(void)
{
	pid_t gone = fork(), wanted[1];
	struct args a = {.flags = CLONE_NEWUTS, .exit_signal = SIGCHLD};
	long r;

	if (!gone)
		_exit(0);
	WANT(ended(gone, 0) == 0);
	wanted[0] = gone;
	for (int i = 0; i < 4; i++) {
		static const char *names[] = {"new host name", "new clock", "process number", "group"};

		a = (struct args){.exit_signal = SIGCHLD};
		if (i == 0)
			a.flags = CLONE_NEWUTS;
		else if (i == 1)
			a.flags = NEWTIME;
		else if (i == 2)
			a.set_tid = (uint64_t)wanted, a.set_tid_size = 1;
		else
			a.flags = INTO_CGROUP,
			a.cgroup = (uint64_t)open("/sys/fs/cgroup", O_PATH | O_DIRECTORY);
		r = (int64_t)a.cgroup < 0 ? -1 : clone3(&a, sizeof(a));
		if (!r)
			_exit(i == 0 && sethostname("elsewhere", 9) ? 1 : 20 + i);
		printf("%s: %d\n", names[i], r < 0 ? errno : i == 2 ? r == gone : 0);
		if (r > 0)
			WANT(ended((pid_t)r, 0) == 20 + i);
	}
}

static void refused(void)
{
	static const struct {
		struct args a;
		size_t size;
		int err;
	} table[] = {
		{{0}, 0, EINVAL},
		{{0}, 63, EINVAL},
		{{0}, 4097, E2BIG},
		{{.flags = 1}, 88, EINVAL},
		{{.flags = SIGCHLD}, 88, EINVAL},
		{{.flags = 1ull << 34}, 88, EINVAL},
		{{.flags = 1ull << 63}, 88, EINVAL},
		{{.flags = CLONE_DETACHED}, 88, EINVAL},
		{{.exit_signal = 65}, 88, EINVAL},
		{{.exit_signal = 0x100 | SIGCHLD}, 88, EINVAL},
		{{.exit_signal = 1ull << 32 | SIGCHLD}, 88, EINVAL},
		{{.flags = THREAD, .exit_signal = SIGCHLD}, 88, EINVAL},
		{{.flags = CLONE_PARENT, .exit_signal = SIGCHLD}, 88, EINVAL},
		{{.flags = CLONE_THREAD}, 88, EINVAL},
		{{.flags = CLONE_SIGHAND}, 88, EINVAL},
		{{.flags = CLONE_VM | CLONE_SIGHAND | CLEAR_SIGHAND}, 88, EINVAL},
		{{.flags = CLONE_FS | CLONE_NEWNS}, 88, EINVAL},
		{{.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = 64, .parent_tid = 64}, 88, EINVAL},
		{{.stack = 4096}, 88, EINVAL},
		{{.stack_size = 4096}, 88, EINVAL},
		{{.stack = 0x7ffffffff000, .stack_size = 4096}, 88, EINVAL},
		{{.stack = 4096, .stack_size = ~0ull}, 88, EINVAL},
		{{.set_tid_size = 1}, 88, EINVAL},
		{{.set_tid = 4096}, 88, EINVAL},
		{{.set_tid = 4096, .set_tid_size = 33}, 88, EINVAL},
		{{.flags = INTO_CGROUP}, 80, EINVAL},
		{{.flags = INTO_CGROUP, .cgroup = 1ull << 31}, 88, EINVAL},
		{{.flags = INTO_CGROUP, .cgroup = 999}, 88, EBADF},
		{{.flags = INTO_CGROUP, .cgroup = 1}, 88, EBADF},
		{{.flags = CLONE_PIDFD, .pidfd = 1}, 88, EFAULT},
	};
	static char zeros[4096];
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	section("refused");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		long r = clone3(&table[i].a, table[i].size);

		if (!r)
			_exit(0);
		if (r != -1 || errno != table[i].err)
			printf("FAIL case %zu: %ld, errno %d, wanted %d\n", i, r, errno, table[i].err),
				want_failures++;
	}
	FAILS(syscall(SYS_clone3, NULL, 88ul), EFAULT);
	FAILS(syscall(SYS_clone3, (void *)1ul, 64ul), EFAULT);
	zeros[88] = 1;
	FAILS(clone3((struct args *)zeros, 89), E2BIG);
	zeros[88] = 0;
	zeros[4095] = 1;
	FAILS(clone3((struct args *)zeros, 4096), E2BIG);
	mprotect(two + 4096, 4096, PROT_NONE);
	FAILS(clone3((struct args *)(two + 4096 - 88), 96), EFAULT);
	FAILS(clone3((struct args *)(two + 4096 - 80), 88), EFAULT);
	FAILS(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0l, &sh->pidfd, 0l, 0l),
		EINVAL);
	FAILS(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0l, 0l, 0l, 0l), EINVAL);
	munmap(two, 8192);
}

int main(void)
{
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	plain();
	words();
	stacks();
	threads();
	handlers();
	shares();
	privileged();
	refused();
	FAILS(waitpid(-1, NULL, __WALL), ECHILD);
	return want_done();
}
