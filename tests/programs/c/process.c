/* fork, vfork, posix_spawn, exec and wait. Run as itself with a first argument it is the child of its own tests. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

extern char **environ;
static char self[PATH_MAX];

static int wait_status(pid_t p)
{
	int st = -1;
	WANT(waitpid(p, &st, 0) == p);
	return st;
}

static int run_self(char *const argv[])
{
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		execv(self, argv);
		_exit(99);
	}
	return wait_status(p);
}

/* What an exec hands on: ignored signals, the mask, pending signals, open descriptors. */
static int show_state(void)
{
	sigset_t m, pend;

	sigprocmask(SIG_SETMASK, NULL, &m);
	sigpending(&pend);
	for (int s = 1; s <= SIGRTMAX; s++) {
		struct sigaction a;
		if (sigaction(s, NULL, &a) != 0)
			continue;
		if (a.sa_handler != SIG_DFL)
			printf("  signal %d is %s\n", s, a.sa_handler == SIG_IGN ? "ignored" : "handled");
		if (sigismember(&m, s))
			printf("  signal %d is blocked\n", s);
		if (sigismember(&pend, s))
			printf("  signal %d is pending\n", s);
	}
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("  descriptor %d is open\n", fd);
	stack_t ss;
	WANT(sigaltstack(NULL, &ss) == 0 && (ss.ss_flags & SS_DISABLE));
	return 0;
}

static void nothing(int s)
{
	(void)s;
}

static void statuses(void)
{
	int st;
	pid_t p;
	siginfo_t si;
	struct rusage ru;

	for (int code = 0; code < 256; code += 85) {
		if ((p = fork()) == 0)
			_exit(code);
		st = wait_status(p);
		WANT(WIFEXITED(st) && WEXITSTATUS(st) == code);
	}
	int sigs[] = {SIGTERM, SIGKILL, SIGSEGV, SIGABRT, SIGUSR1, SIGSYS, SIGRTMIN + 3};
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(*sigs); i++) {
		if ((p = fork()) == 0) {
			raise(sigs[i]);
			_exit(1);
		}
		st = wait_status(p);
		WANT(WIFSIGNALED(st) && WTERMSIG(st) == sigs[i]);
	}
	if ((p = fork()) == 0)
		_exit(9);
	WANT(waitid(P_PID, (id_t)p, &si, WEXITED | WNOWAIT) == 0 && si.si_status == 9 &&
		si.si_code == CLD_EXITED && si.si_pid == p);
	WANT(wait4(p, &st, 0, &ru) == p && WEXITSTATUS(st) == 9);
	FAILS(waitpid(p, &st, 0), ECHILD);
	FAILS(wait(&st), ECHILD);
	FAILS(kill(p, 0), ESRCH);
	int hold[2];
	WANT(pipe(hold) == 0);
	if ((p = fork()) == 0) {
		char c;
		close(hold[1]);
		(void)!read(hold[0], &c, 1);
		raise(SIGSTOP);
		_exit(3);
	}
	WANT(waitpid(p, &st, WNOHANG) == 0);
	close(hold[0]);
	close(hold[1]);
	WANT(waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	WANT(kill(p, SIGCONT) == 0);
	WANT(waitpid(p, &st, WCONTINUED) == p && WIFCONTINUED(st));
	st = wait_status(p);
	WANT(WIFEXITED(st) && WEXITSTATUS(st) == 3);
	/* A grandchild, and a tree of them. */
	if ((p = fork()) == 0) {
		pid_t q = fork();
		if (q == 0)
			_exit(4);
		waitpid(q, &st, 0);
		_exit(WEXITSTATUS(st) + 1);
	}
	WANT(WEXITSTATUS(wait_status(p)) == 5);
	for (int i = 0; i < 50; i++)
		if (fork() == 0)
			_exit(i);
	int sum = 0;
	while (wait(&st) > 0)
		sum += WEXITSTATUS(st);
	WANT(sum == 49 * 50 / 2);
}

static void make(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	WANT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	WANT(fchmod(fd, mode) == 0);
	close(fd);
}

static void exec_failures(void)
{
	char *argv[] = {(char *)"x", NULL}, long_name[PATH_MAX + 10];

	make("noexec", "#!/bin/sh\n", 0600);
	make("text", "echo no\n", 0700);
	make("empty", "", 0700);
	make("badelf", "\177ELF\002\001\001 and then nothing that an ELF file has", 0700);
	make("nointerp", "#!/absent/interpreter\n", 0700);
	make("blank", "#!\n", 0700);
	WANT(symlink("turn", "turn") == 0 && mkdir("dir", 0700) == 0);
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	signal(SIGUSR1, nothing);
	int keep = open("text", O_RDONLY | O_CLOEXEC);
	FAILS(execv("absent", argv), ENOENT);
	FAILS(execv("", argv), ENOENT);
	FAILS(execv("dir", argv), EACCES);
	FAILS(execv("noexec", argv), EACCES);
	FAILS(execv("text", argv), ENOEXEC);
	FAILS(execv("empty", argv), ENOEXEC);
	FAILS(execv("badelf", argv), ENOEXEC);
	FAILS(execv("nointerp", argv), ENOENT);
	FAILS(execv("blank", argv), ENOEXEC);
	FAILS(execv("text/x", argv), ENOTDIR);
	FAILS(execv("turn", argv), ELOOP);
	FAILS(execv(long_name, argv), ENAMETOOLONG);
	FAILS(syscall(SYS_execve, 8, argv, NULL), EFAULT);
	FAILS(syscall(SYS_execve, self, 8, NULL), EFAULT);
	FAILS(syscall(SYS_execve, self, argv, 8), EFAULT);
	char *bad[] = {(char *)"x", (char *)8, NULL};
	FAILS(execv(self, bad), EFAULT);
	size_t huge = 3 << 20;
	char *big = malloc(huge);
	memset(big, 'b', huge - 1);
	big[huge - 1] = 0;
	char *too_big[] = {(char *)"x", big, NULL};
	FAILS(execv(self, too_big), E2BIG);
	free(big);
	/* Nothing of this process has changed. */
	struct sigaction a;
	WANT(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == nothing);
	WANT(fcntl(keep, F_GETFD) == FD_CLOEXEC);
	close(keep);
	signal(SIGUSR1, SIG_DFL);
}

static void exec_state(void)
{
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		sigset_t m;
		static char stack[65536];
		stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
		sigaltstack(&ss, NULL);
		signal(SIGUSR1, SIG_IGN);
		signal(SIGUSR2, nothing);
		sigemptyset(&m);
		sigaddset(&m, SIGHUP);
		sigaddset(&m, SIGRTMIN + 1);
		sigprocmask(SIG_SETMASK, &m, NULL);
		raise(SIGHUP);
		close(0);
		open("/dev/null", O_RDONLY);
		fcntl(0, F_DUPFD, 40);
		fcntl(0, F_DUPFD_CLOEXEC, 41);
		char *argv[] = {(char *)"named by hand", (char *)"state", NULL},
		     *env[] = {(char *)"ONLY=this", NULL};
		execve(self, argv, env);
		_exit(99);
	}
	int st = wait_status(p);
	WANT(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

static void exec_identity(void)
{
	int p[2];
	pid_t before = 0, after = 0;

	WANT(pipe(p) == 0);
	pid_t c = fork();
	if (c == 0) {
		char num[16];
		snprintf(num, sizeof(num), "%d", p[1]);
		before = getpid();
		(void)!write(p[1], &before, sizeof(before));
		char *argv[] = {self, (char *)"pid", num, NULL};
		execv(self, argv);
		_exit(99);
	}
	WANT(read(p[0], &before, sizeof(before)) == sizeof(before) &&
		read(p[0], &after, sizeof(after)) == sizeof(after));
	WANT(before == c && after == c);
	WANT(wait_status(c) == 0);
	close(p[0]);
	close(p[1]);
}

/* exec from a thread that is not the main one: the others vanish, the process keeps its number. */
static void *exec_thread(void *arg)
{
	(void)arg;
	char *argv[] = {self, (char *)"exit", (char *)"7", NULL};
	execv(self, argv);
	_exit(99);
}

static void exec_from_thread(void)
{
	pid_t p = fork();
	if (p == 0) {
		pthread_t t;
		pthread_create(&t, NULL, exec_thread, NULL);
		for (;;)
			pause();
	}
	int st = wait_status(p);
	WANT(WIFEXITED(st) && WEXITSTATUS(st) == 7);
}

static void exec_by_descriptor(void)
{
	pid_t p = fork();
	if (p == 0) {
		int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		char *argv[] = {(char *)"by-fd", (char *)"exit", (char *)"8", NULL};
		fexecve(fd, argv, environ);
		_exit(99);
	}
	int st = wait_status(p);
	WANT(WIFEXITED(st) && WEXITSTATUS(st) == 8);
	char *none[] = {NULL};
	st = run_self(none); /* the kernel puts an empty argv[0] there */
	WANT(WIFEXITED(st) && WEXITSTATUS(st) == 77);
}

static void vforks(void)
{
	volatile int shared = 0;
	int fd = open("/dev/null", O_RDONLY);
	struct sigaction a;

	signal(SIGUSR1, nothing);
	pid_t p = vfork();
	if (p == 0) {
		/* The child shares memory and nothing else. */
		shared = 42;
		signal(SIGUSR1, SIG_IGN);
		close(fd);
		sigset_t m;
		sigemptyset(&m);
		sigaddset(&m, SIGHUP);
		sigprocmask(SIG_BLOCK, &m, NULL);
		char *argv[] = {(char *)"x", NULL};
		execv("absent", argv);
		shared += errno == ENOENT;
		_exit(6);
	}
	WANT(shared == 43);
	int st = wait_status(p);
	WANT(WIFEXITED(st) && WEXITSTATUS(st) == 6);
	WANT(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == nothing);
	WANT(fcntl(fd, F_GETFD) == 0);
	sigset_t m;
	sigprocmask(SIG_SETMASK, NULL, &m);
	WANT(!sigismember(&m, SIGHUP));
	close(fd);
	for (volatile int i = 0; i < 20; i++) {
		p = vfork();
		if (p == 0) {
			execl(self, self, "exit", "5", NULL);
			_exit(99);
		}
		st = wait_status(p);
		WANT(WIFEXITED(st) && WEXITSTATUS(st) == 5);
	}
	signal(SIGUSR1, SIG_DFL);
}

static void spawns(void)
{
	pid_t p;
	char *argv[] = {self, (char *)"exit", (char *)"11", NULL}, *gone[] = {(char *)"absent", NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t m;
	int out[2];
	char b[64];

	WANT(posix_spawn(&p, "absent", NULL, NULL, gone, environ) == ENOENT);
	WANT(posix_spawn(&p, "noexec", NULL, NULL, gone, environ) == EACCES);
	WANT(posix_spawnp(&p, "absent-in-path", NULL, NULL, gone, environ) == ENOENT);
	WANT(posix_spawn(&p, self, NULL, NULL, argv, environ) == 0);
	WANT(WEXITSTATUS(wait_status(p)) == 11);
	WANT(pipe(out) == 0);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_addclose(&fa, out[0]);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawnattr_init(&at);
	sigemptyset(&m);
	sigaddset(&m, SIGUSR2);
	posix_spawnattr_setsigmask(&at, &m);
	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	posix_spawnattr_setsigdefault(&at, &m);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	signal(SIGUSR1, SIG_IGN);
	char *spawned[] = {self, (char *)"spawned", NULL};
	WANT(posix_spawn(&p, self, &fa, &at, spawned, environ) == 0);
	close(out[1]);
	ssize_t n = read(out[0], b, sizeof(b) - 1);
	b[n > 0 ? n : 0] = 0;
	WANT(strcmp(b, "usr1 default, usr2 blocked, own group\n") == 0);
	WANT(wait_status(p) == 0);
	signal(SIGUSR1, SIG_DFL);
	close(out[0]);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	FILE *f = popen("echo from a shell; exit 3", "r");
	WANT(f && fgets(b, sizeof(b), f) && strcmp(b, "from a shell\n") == 0);
	WANT(f && WEXITSTATUS(pclose(f)) == 3);
	int r = system("exit 13");
	WANT(WIFEXITED(r) && WEXITSTATUS(r) == 13);
	r = system("kill -TERM $$");
	WANT(WIFSIGNALED(r) && WTERMSIG(r) == SIGTERM);
}

static int forked_count;
static void count_fork(void)
{
	forked_count++;
}

/* fork while other threads run: the child has one thread and its locks work. */
static void *churn(void *stop)
{
	while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE))
		free(malloc(100));
	return NULL;
}

static void fork_with_threads(void)
{
	pthread_t t[3];
	int stop = 0;

	pthread_atfork(count_fork, count_fork, count_fork);
	for (int i = 0; i < 3; i++)
		WANT(pthread_create(&t[i], NULL, churn, &stop) == 0);
	for (int i = 0; i < 40; i++) {
		pid_t p = fork();
		if (p == 0) {
			void *q = malloc(5000);
			pthread_t u;
			int never = 1;
			int ok = q && pthread_create(&u, NULL, churn, &never) == 0 &&
				 pthread_join(u, NULL) == 0;
			_exit(ok ? 21 : 1);
		}
		int st = wait_status(p);
		WANT(WIFEXITED(st) && WEXITSTATUS(st) == 21);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	printf("atfork handlers ran %d times\n", forked_count);
}

static void private_memory(void)
{
	int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int mine = 1;
	pid_t p = fork();
	if (p == 0) {
		mine = 2;
		*shared = 3;
		_exit(mine);
	}
	WANT(WEXITSTATUS(wait_status(p)) == 2 && mine == 1 && *shared == 3);
	munmap(shared, 4096);
	int fd = open("off", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if ((p = fork()) == 0) {
		(void)!write(fd, "12345", 5);
		_exit(0);
	}
	wait_status(p);
	WANT(lseek(fd, 0, SEEK_CUR) == 5); /* one offset for both */
	close(fd);
}

static void groups(void)
{
	pid_t p = fork();
	if (p == 0)
		_exit(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid() ? 0 : 1);
	WANT(wait_status(p) == 0);
	int go[2];
	WANT(pipe(go) == 0);
	pid_t leader = 0, kids[3];
	for (int i = 0; i < 3; i++) {
		if ((kids[i] = fork()) == 0)
			for (;;)
				pause();
		WANT(setpgid(kids[i], leader) == 0);
		if (!leader)
			leader = kids[i];
	}
	WANT(kill(-leader, SIGTERM) == 0);
	for (int i = 0; i < 3; i++) {
		int st = wait_status(kids[i]);
		WANT(WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM);
	}
	close(go[0]);
	close(go[1]);
	int pfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	WANT(pfd >= 0);
	close(pfd);
	if ((p = fork()) == 0)
		_exit(2);
	pfd = (int)syscall(SYS_pidfd_open, p, 0);
	struct pollfd pf = {pfd, POLLIN, 0};
	WANT(poll(&pf, 1, -1) == 1 && WEXITSTATUS(wait_status(p)) == 2);
	close(pfd);
}

static int as_child(int argc, char **argv)
{
	if (strcmp(argv[1], "exit") == 0)
		return atoi(argv[2]);
	if (strcmp(argv[1], "pid") == 0) {
		pid_t p = getpid();
		return write(atoi(argv[2]), &p, sizeof(p)) == sizeof(p) ? 0 : 1;
	}
	if (strcmp(argv[1], "state") == 0) {
		printf("  argv[0] <%s>, %d arguments\n", argv[0], argc);
		for (char **e = environ; *e; e++)
			printf("  env <%s>\n", *e);
		return show_state();
	}
	if (strcmp(argv[1], "spawned") == 0) {
		struct sigaction a;
		sigset_t m;
		sigaction(SIGUSR1, NULL, &a);
		sigprocmask(SIG_SETMASK, NULL, &m);
		printf("usr1 %s, usr2 %s, %s group\n", a.sa_handler == SIG_DFL ? "default" : "kept",
			sigismember(&m, SIGUSR2) ? "blocked" : "free", getpgrp() == getpid() ? "own" : "old");
		return 0;
	}
	return 98;
}

int main(int argc, char **argv)
{
	if (argc == 0 || !argv[0][0])
		return 77;
	if (argc > 1)
		return as_child(argc, argv);
	WANT(realpath(argv[0], self) != NULL);
	section("statuses");
	statuses();
	section("exec failures");
	exec_failures();
	section("exec state");
	exec_state();
	section("exec identity");
	exec_identity();
	section("exec from a thread");
	exec_from_thread();
	section("exec by descriptor");
	exec_by_descriptor();
	section("vfork");
	vforks();
	section("spawn");
	spawns();
	section("fork with threads");
	fork_with_threads();
	section("private memory");
	private_memory();
	section("groups");
	groups();
	return want_done();
}
