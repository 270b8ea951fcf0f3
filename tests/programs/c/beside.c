/*
 * Processes in one memory that run side by side: clone with CLONE_VM, without CLONE_VFORK and CLONE_THREAD. The children use no C library:
 * natively they share even the parent's thread-local storage.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "want.h"

#define STACK 65536
#define ROUNDS 20000

static char stack[2][STACK] __attribute__((aligned(16)));
static volatile int turn, counter, word, handled, fd_of_child, parent_tid, child_tid;
static char *const arguments[] = {"sh", "-c", "exit 9", NULL};
static char *const environment[] = {NULL};

static long raw(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

static void leave(int status)
{
	raw(SYS_exit_group, status, 0, 0, 0);
}

static void await(volatile int *p, int value)
{
	while (__atomic_load_n(p, __ATOMIC_ACQUIRE) != value)
		raw(SYS_sched_yield, 0, 0, 0, 0);
}

static int ping_pong(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		await(&turn, 1);
		counter++;
		__atomic_store_n(&turn, 0, __ATOMIC_RELEASE);
	}
	leave(counter == 4000 ? 5 : 6);
	return 0;
}

static int calls(void *arg)
{
	long self = raw(SYS_getpid, 0, 0, 0, 0);

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		long fd = raw(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY, 0);

		if (fd < 0 || raw(SYS_getpid, 0, 0, 0, 0) != self || raw(SYS_close, fd, 0, 0, 0))
			leave(1);
	}
	leave(0);
	return 0;
}

static int opens(void *arg)
{
	(void)arg;
	fd_of_child = (int)raw(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY, 0);
	leave(0);
	return 0;
}

static int executes(void *arg)
{
	(void)arg;
	raw(SYS_execve, (long)"/bin/sh", (long)arguments, (long)environment, 0);
	leave(1);
	return 0;
}

static int dies(void *arg)
{
	(void)arg;
	raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0), SIGTERM, 0, 0);
	leave(1);
	return 0;
}

static void handler(int sig)
{
	handled = sig;
}

/* In the kernel's form: the C library's would look at thread-local storage. */
static int ignores(void *arg)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} ignore = {SIG_IGN, 0, 0, 0};

	(void)arg;
	raw(SYS_rt_sigaction, SIGUSR1, (long)&ignore, 0, 8);
	raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0), SIGUSR1, 0, 0);
	leave(handled);
	return 0;
}

static int interrupted(void *arg)
{
	struct timespec second = {.tv_sec = 10};

	(void)arg;
	__atomic_store_n(&word, 1, __ATOMIC_RELEASE);
	raw(SYS_nanosleep, (long)&second, 0, 0, 0);
	leave(handled == SIGUSR1 ? 3 : 4);
	return 0;
}

static int forks(void *arg)
{
	int status = -1;
	long child = raw(SYS_fork, 0, 0, 0, 0);

	(void)arg;
	if (child == 0) {
		counter = 1; /* a copy */
		leave(7);
	}
	raw(SYS_wait4, child, (long)&status, 0, 0);
	leave(status == 7 << 8 && counter != 1 ? 8 : 9);
	return 0;
}

static int ended(pid_t child)
{
	int status = -1;

	return waitpid(child, &status, __WALL) == child ? status : -1;
}

static pid_t start(int (*f)(void *), int flags)
{
	return clone(f, stack[0] + STACK, CLONE_VM | flags | SIGCHLD, NULL, &parent_tid, NULL, &child_tid);
}

static int tasks(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = -2;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void memory(void)
{
	pid_t child = start(ping_pong, 0);

	WANT(child > 0);
	for (int i = 0; i < 2000; i++) {
		await(&turn, 0);
		counter++;
		__atomic_store_n(&turn, 1, __ATOMIC_RELEASE);
	}
	WANT(WEXITSTATUS(ended(child)) == 5);
}

static void at_once(void)
{
	pid_t a = start(calls, 0), b = clone(calls, stack[1] + STACK, CLONE_VM | SIGCHLD, NULL);
	char *p = NULL;

	for (int i = 0; i < ROUNDS; i++) {
		p = realloc(p, (size_t)(i % 4000) * 100 + 1);
		if (i % 100 == 0)
			close(open("/dev/null", O_RDONLY));
	}
	free(p);
	WANT(ended(a) == 0);
	WANT(ended(b) == 0);
}

static void descriptors(void)
{
	fd_of_child = -1;
	WANT(ended(start(opens, 0)) == 0 && fd_of_child >= 0);
	FAILS(fcntl(fd_of_child, F_GETFD), EBADF);
	WANT(ended(start(opens, CLONE_FILES)) == 0 && fcntl(fd_of_child, F_GETFD) == 0);
	WANT(close(fd_of_child) == 0);
}

static void words(void)
{
	pid_t child;

	parent_tid = child_tid = 0;
	child = start(opens, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID);
	WANT(parent_tid == child);
	WANT(ended(child) == 0 && child_tid == child);
	child_tid = 1;
	child = start(dies, CLONE_CHILD_CLEARTID);
	while (child_tid)
		syscall(SYS_futex, &child_tid, FUTEX_WAIT, 1, NULL);
	WANT(WTERMSIG(ended(child)) == SIGTERM);
	child_tid = 1;
	child = start(executes, CLONE_CHILD_CLEARTID);
	while (child_tid)
		syscall(SYS_futex, &child_tid, FUTEX_WAIT, 1, NULL);
	WANT(WEXITSTATUS(ended(child)) == 9);
}

static void signals(void)
{
	struct sigaction now;
	pid_t child;

	signal(SIGUSR1, handler);
	WANT(ended(start(ignores, 0)) == 0);
	WANT(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == handler);
	raise(SIGUSR1);
	WANT(handled == SIGUSR1);
	handled = 0;
	word = 0;
	child = start(interrupted, 0);
	await(&word, 1);
	usleep(100000);
	kill(child, SIGUSR1);
	WANT(WEXITSTATUS(ended(child)) == 3);
}

int main(void)
{
	section("memory");
	memory();
	section("at once");
	at_once();
	section("descriptors");
	descriptors();
	section("words");
	words();
	section("signals");
	signals();
	section("a child's child");
	counter = 0;
	WANT(WEXITSTATUS(ended(start(forks, 0))) == 8);
	section("many");
	for (int i = 0; i < 300; i++)
		WANT(ended(start(opens, 0)) == 0);
	section("nothing left");
	for (int i = 0; i < 100 && tasks() != 1; i++)
		usleep(10000);
	WANT(tasks() == 1);
	return want_done();
}
