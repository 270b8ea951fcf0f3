/*
 * execve and fork at bad moments: under signals, with every descriptor in use, of files that have no path, failing late; what they keep
 * and what they must not leave behind.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

extern char **environ;
static char self[4096];
static volatile sig_atomic_t taken;

static void on_signal(int sig)
{
	(void)sig;
	__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
}

static void handle(int sig, void (*f)(int))
{
	struct sigaction sa = {.sa_handler = f, .sa_flags = SA_RESTART};

	sigaction(sig, &sa, NULL);
}

static int status_of(pid_t child)
{
	int status = -1;

	WANT(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static int run(const char *mode, const char *arg)
{
	char *argv[] = {self, (char *)mode, (char *)arg, NULL};
	pid_t child;

	if (posix_spawn(&child, self, NULL, NULL, argv, environ))
		return -1;
	return status_of(child);
}

/* "pestered N": execs itself N times; the mask must stay empty. */
static int pestered(int left)
{
	char text[16], *argv[] = {self, (char *)"pestered", text, NULL};
	sigset_t now;

	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int sig = 1; sig < 64; sig++)
		if (sigismember(&now, sig) == 1)
			return 100 + sig;
	if (!left)
		return 0;
	handle(SIGWINCH, on_signal);
	snprintf(text, sizeof(text), "%d", left - 1);
	execv(self, argv);
	return 99;
}

static void under_signals(void)
{
	char *argv[] = {self, (char *)"pestered", (char *)"60", NULL};
	int status = -1;
	pid_t child;

	WANT(posix_spawn(&child, self, NULL, NULL, argv, environ) == 0);
	while (waitpid(child, &status, WNOHANG) == 0) {
		kill(child, SIGWINCH);
		for (volatile int i = 0; i < 1000; i++)
			;
	}
	WANT(WIFEXITED(status));
	if (status)
		WANT(printf("status %x\n", status) < 0);
}

static void fails_late(void)
{
	static char big[131072];
	char *argv[70] = {self}, *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(big, 'x', sizeof(big) - 1);
	for (int i = 1; i < 69; i++)
		argv[i] = big;
	handle(SIGSEGV, on_signal);
	FAILS(execv(self, argv), E2BIG);
	taken = 0;
	raise(SIGSEGV);
	WANT(taken == 1);
	munmap(page, 4096);
	handle(SIGSEGV, SIG_DFL);
}

/* "kept": what fork's child set up below must still be so. */
static int kept(void)
{
	struct sigaction sa;
	sigset_t now;
	int bad = 0;

	for (int sig = 1; sig < 32; sig++) {
		int ign = sig == SIGSEGV || sig == SIGSYS || sig == SIGTRAP || sig == SIGUSR1;

		sigaction(sig, NULL, &sa);
		bad |= sa.sa_handler != (ign ? SIG_IGN : SIG_DFL) && sig != SIGCHLD;
	}
	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int sig = 1; sig < 32; sig++) {
		int blocked = sig == SIGBUS || sig == SIGSYS || sig == SIGUSR2;

		bad |= (sigismember(&now, sig) == blocked ? 0 : 2);
	}
	sigpending(&now);
	bad |= sigismember(&now, SIGUSR2) && sigismember(&now, SIGSYS) ? 0 : 4;
	return bad;
}

static void keeps(void)
{
	char *argv[] = {self, (char *)"kept", NULL};
	pid_t child = fork();
	sigset_t m;

	if (!child) {
		handle(SIGSEGV, SIG_IGN);
		handle(SIGTRAP, SIG_IGN);
		handle(SIGUSR1, SIG_IGN);
		handle(SIGUSR2, on_signal);
		handle(SIGBUS, on_signal);
		handle(SIGSYS, on_signal);
		sigemptyset(&m);
		sigaddset(&m, SIGSYS);
		sigaddset(&m, SIGBUS);
		sigaddset(&m, SIGUSR2);
		sigprocmask(SIG_SETMASK, &m, NULL);
		raise(SIGUSR2);
		raise(SIGSYS);
		handle(SIGSYS, on_signal);
		execv(self, argv);
		_exit(99);
	}
	int rc = status_of(child);
	/* SIGSYS had a handler: after execve it is at its default, not ignored. */
	WANT(rc == 1);
}

static int copy_of_self(int to)
{
	char buf[65536];
	int from = open(self, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		WANT(write(to, buf, (size_t)n) == n);
	close(from);
	return to;
}

static int by_descriptor(int fd, const char *arg)
{
	char *argv[] = {(char *)"by-fd", (char *)"exit", (char *)arg, NULL};
	pid_t child = fork();

	if (!child) {
		fexecve(fd, argv, environ);
		_exit(errno == ENOENT ? 90 : 91);
	}
	return status_of(child);
}

static void without_a_path(void)
{
	static const char script[] = "#!/bin/sh\necho \"$0 $1\"\nexit 7\n";
	int fd = copy_of_self(memfd_create("program", 0)), s;

	WANT(by_descriptor(fd, "5") == 5);
	close(fd);
	fd = copy_of_self(memfd_create("program", MFD_CLOEXEC));
	WANT(by_descriptor(fd, "6") == 6);
	close(fd);

	fd = copy_of_self(open("gone", O_RDWR | O_CREAT | O_CLOEXEC, 0700));
	close(fd);
	fd = open("gone", O_RDONLY | O_CLOEXEC);
	unlink("gone");
	WANT(by_descriptor(fd, "8") == 8);
	close(fd);

	s = memfd_create("script", 0);
	WANT(write(s, script, sizeof(script) - 1) == sizeof(script) - 1);
	WANT(by_descriptor(s, "arg") == 7);
	fcntl(s, F_SETFD, FD_CLOEXEC);
	WANT(by_descriptor(s, "arg") == 90);
	close(s);
}

/* "full SOFT": the limit is what it was, and there is no descriptor but the standard ones. */
static int full(int soft)
{
	struct rlimit l;
	int n = 0;

	getrlimit(RLIMIT_NOFILE, &l);
	for (int i = 0; i < 64; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return (int)l.rlim_cur != soft ? 90 : n;
}

static void no_descriptor_left(void)
{
	struct rlimit old, few;
	int fds[32], n = 0, standard = 0;

	for (int i = 0; i < 64; i++)
		standard += fcntl(i, F_GETFD) >= 0;
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 32 && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	WANT(errno == EMFILE);
	WANT(run("full", "20") == standard);
	getrlimit(RLIMIT_NOFILE, &few);
	WANT(few.rlim_cur == 20);
	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
}

static long resident(void)
{
	long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	WANT(f && fscanf(f, "%ld %ld", &size, &pages) == 2);
	fclose(f);
	return pages * 4;
}

static void leaves_nothing(void)
{
	static char big[100000];
	long before;

	memset(big, 'x', sizeof(big) - 1);
	WANT(run("exit", big) == 0);
	before = resident();
	for (int i = 0; i < 200; i++)
		if (run("exit", big))
			WANT(0);
	WANT(resident() - before < 4096);
}

static int in_namespace(void *arg)
{
	return sethostname(arg, strlen(arg)) ? 2 : 0;
}

static void own_namespace(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	char before[65] = "", after[65] = "";
	pid_t child;

	gethostname(before, sizeof(before) - 1);
	child = clone(in_namespace, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_NEWUTS | SIGCHLD,
		(char *)"elsewhere");
	if (child < 0) { /* not root: refused, never ignored */
		WANT(errno == EPERM);
		return;
	}
	WANT(status_of(child) == 0);
	gethostname(after, sizeof(after) - 1);
	WANT(strcmp(before, after) == 0);
	if (strcmp(before, after))
		WANT(sethostname(before, strlen(before)) == 0);
}

static volatile int stop;

static void *change_actions(void *arg)
{
	while (!stop) {
		handle(SIGUSR2, on_signal);
		if (arg) {
			sbrk(4096);
			sbrk(-4096);
		}
	}
	return NULL;
}

static void fork_among_changes(void)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, change_actions, i ? NULL : self);
	for (int i = 0; i < 150; i++) {
		pid_t child = fork();

		if (!child) {
			alarm(20); /* a lock that a thread of the parent held would be for ever */
			handle(SIGUSR2, on_signal);
			_exit(sbrk(0) == (void *)-1);
		}
		WANT(status_of(child) == 0);
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	stop = 0;
}

static void *short_lived(void *arg)
{
	return arg;
}

static void *make_threads(void *arg)
{
	pthread_t t;

	while (!stop)
		if (!pthread_create(&t, NULL, short_lived, NULL))
			pthread_join(t, NULL);
	return arg;
}

#define SENT 6000
static void exiting_threads_lose_nothing(void)
{
	sigset_t rt;
	pthread_t t[2];

	handle(SIGRTMIN + 1, on_signal);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, make_threads, NULL);
	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN + 1);
	pthread_sigmask(SIG_BLOCK, &rt, NULL); /* the others are to take them */
	taken = 0;
	for (int i = 0; i < SENT; i++)
		while (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){0}))
			usleep(100);
	for (int i = 0; i < 100 && taken < SENT; i++)
		usleep(20000);
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	pthread_sigmask(SIG_UNBLOCK, &rt, NULL);
	if (taken != SENT)
		WANT(printf("%d of %d\n", (int)taken, SENT) < 0);
}

static void *bad_clear_tid(void *arg)
{
	syscall(SYS_set_tid_address, arg);
	syscall(SYS_exit, 0);
	return NULL;
}

/* A robust mutex of this thread's in memory that cannot be written. */
static void *bad_robust_list(void *arg)
{
	static struct {
		void *next;
		long offset;
		void *pending;
	} head;
	struct {
		void *next;
		uint32_t word;
	} *entry = arg;

	entry->next = &head;
	entry->word = (uint32_t)syscall(SYS_gettid);
	head.next = entry;
	head.offset = sizeof(void *);
	mprotect(entry, 4096, PROT_READ);
	syscall(SYS_set_robust_list, &head, sizeof(head));
	syscall(SYS_exit, 0);
	return NULL;
}

static void exit_with_bad_list(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();

	if (!child) {
		pthread_t t;

		pthread_create(&t, NULL, bad_robust_list, page);
		usleep(200000);
		_exit(4);
	}
	WANT(status_of(child) == 4);
	munmap(page, 4096);
}

static void exit_with_bad_word(void)
{
	char *gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();

	if (!child) {
		pthread_t t;

		munmap(gone, 4096);
		pthread_create(&t, NULL, bad_clear_tid, gone);
		usleep(200000);
		_exit(3);
	}
	WANT(status_of(child) == 3);
	munmap(gone, 4096);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "exit"))
		return atoi(argv[2]);
	if (!strcmp(mode, "kept"))
		return kept();
	if (!strcmp(mode, "full"))
		return full(atoi(argv[2]));
	WANT(realpath("/proc/self/exe", self) != NULL);
	if (!strcmp(mode, "pestered"))
		return pestered(atoi(argv[2]));
	section("execve under signals");
	under_signals();
	section("execve that fails late");
	fails_late();
	section("what execve keeps");
	keeps();
	section("files without a path");
	without_a_path();
	section("no descriptor left");
	no_descriptor_left();
	section("spawning leaves nothing");
	leaves_nothing();
	section("vfork into a namespace");
	own_namespace();
	section("fork among changes");
	fork_among_changes();
	section("exiting threads");
	exiting_threads_lose_nothing();
	exit_with_bad_word();
	exit_with_bad_list();
	return want_done();
}
