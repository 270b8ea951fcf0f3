/*
 * ptrace of a child: attach, seize, stops, memory, signals held back or put in, exec and exit events, and a tracer that dies. What a tracer sees of
 * registers at a system call is the runtime's affair and is not compared.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static volatile long word = 0x1122334455667788;
static volatile sig_atomic_t seen;

static void on_usr1(int sig)
{
	(void)sig;
	seen++;
}

/* Counts until word is 1, then ends with how often SIGUSR1 came. */
static void busy(void)
{
	signal(SIGUSR1, on_usr1);
	alarm(30);
	while (word != 1)
		usleep(1000);
	_exit(20 + seen);
}

/* SIGSYS is how calls come to whoever stands between a program and the kernel: a tracer hands it on. */
static int stop_signal(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, __WALL) == child && WIFSTOPPED(status)) {
		if (WSTOPSIG(status) != SIGSYS)
			return WSTOPSIG(status);
		ptrace(PTRACE_CONT, child, NULL, (void *)SIGSYS);
	}
	return -1;
}

static int exit_status(pid_t child)
{
	int status = 0;

	if (waitpid(child, &status, __WALL) != child)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void attach(void)
{
	struct user_regs_struct regs;
	pid_t child = fork();
	long read_word, two[2];
	struct iovec here = {two, 8}, there = {(void *)&word, 8};

	if (child == 0)
		busy();
	usleep(20000);
	WANT(!ptrace(PTRACE_ATTACH, child, NULL, NULL));
	WANT(stop_signal(child) == SIGSTOP);
	errno = 0;
	read_word = ptrace(PTRACE_PEEKDATA, child, (void *)&word, NULL);
	WANT(errno == 0 && read_word == 0x1122334455667788);
	WANT(process_vm_readv(child, &here, 1, &there, 1, 0) == 8 && two[0] == read_word);
	WANT(!ptrace(PTRACE_GETREGS, child, NULL, &regs) && regs.rip && regs.rsp);
	WANT(!ptrace(PTRACE_SETREGS, child, NULL, &regs));
	FAILS(ptrace(PTRACE_PEEKDATA, child, NULL, NULL), EIO);
	/* A signal while it is stopped is shown first, then given or not. */
	kill(child, SIGUSR1);
	WANT(!ptrace(PTRACE_CONT, child, NULL, NULL));
	WANT(stop_signal(child) == SIGUSR1);
	WANT(!ptrace(PTRACE_CONT, child, NULL, (void *)SIGUSR1));
	kill(child, SIGUSR1);
	WANT(stop_signal(child) == SIGUSR1);
	WANT(!ptrace(PTRACE_CONT, child, NULL, NULL)); /* held back */
	kill(child, SIGSTOP);
	WANT(stop_signal(child) == SIGSTOP);
	WANT(!ptrace(PTRACE_POKEDATA, child, (void *)&word, (void *)1));
	WANT(!ptrace(PTRACE_DETACH, child, NULL, NULL));
	WANT(exit_status(child) == 21);
}

static void seize(void)
{
	pid_t child = fork();

	if (child == 0)
		busy();
	usleep(20000);
	WANT(!ptrace(PTRACE_SEIZE, child, NULL, NULL));
	for (int i = 0; i < 20; i++) {
		WANT(!ptrace(PTRACE_INTERRUPT, child, NULL, NULL));
		WANT(stop_signal(child) == SIGTRAP);
		WANT(!ptrace(PTRACE_CONT, child, NULL, NULL));
	}
	WANT(!ptrace(PTRACE_INTERRUPT, child, NULL, NULL) && stop_signal(child) == SIGTRAP);
	WANT(!ptrace(PTRACE_POKEDATA, child, (void *)&word, (void *)1));
	WANT(!ptrace(PTRACE_DETACH, child, NULL, NULL));
	WANT(exit_status(child) == 20);
}

/* The child asks for it, executes another program, and ends. */
static void by_own_wish(void)
{
	const long options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
	int status = 0, execs = 0, exits = 0, left = 200;
	pid_t child = fork();

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execl("/bin/sh", "sh", "-c", "exit 9", NULL);
		_exit(1);
	}
	WANT(stop_signal(child) == SIGSTOP);
	WANT(!ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)options));
	WANT(!ptrace(PTRACE_CONT, child, NULL, NULL));
	while (left-- && waitpid(child, &status, __WALL) == child && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status), event = status >> 16;

		execs += event == PTRACE_EVENT_EXEC;
		exits += event == PTRACE_EVENT_EXIT;
		ptrace(PTRACE_CONT, child, NULL,
			(void *)(long)(event || sig == SIGTRAP || sig == SIGSTOP ? 0 : sig));
	}
	WANT(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	WANT(execs >= 1 && exits == 1);
}

/* Each call is seen, and the program goes on. */
static void every_call(void)
{
	int status = 0, stops = 0;
	pid_t child = fork();

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		for (int i = 0; i < 50; i++)
			getppid();
		_exit(3);
	}
	WANT(stop_signal(child) == SIGSTOP);
	WANT(!ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)));
	WANT(!ptrace(PTRACE_SYSCALL, child, NULL, NULL));
	while (stops < 5000 && waitpid(child, &status, __WALL) == child && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		stops += sig == (SIGTRAP | 0x80);
		ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)(sig & 0x80 || sig == SIGSTOP ? 0 : sig));
	}
	WANT(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	WANT(stops >= 100);
}

static void single_steps(void)
{
	int status = 0, steps = 0;
	pid_t child = fork();

	if (child == 0)
		busy();
	usleep(20000);
	WANT(!ptrace(PTRACE_ATTACH, child, NULL, NULL) && stop_signal(child) == SIGSTOP);
	while (steps < 3000 && !ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) &&
		waitpid(child, &status, __WALL) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
		steps++;
	WANT(steps == 3000);
	WANT(!ptrace(PTRACE_POKEDATA, child, (void *)&word, (void *)1));
	WANT(!ptrace(PTRACE_DETACH, child, NULL, NULL));
	WANT(exit_status(child) == 20);
}

/* The tracer is killed while its child is stopped: the child goes on. */
static void orphan(void)
{
	volatile long *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork(), tracer;

	if (child == 0) {
		alarm(30);
		while (shared[0] != 1)
			usleep(1000);
		_exit(6);
	}
	tracer = fork();
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, child, NULL, NULL) || ptrace(PTRACE_INTERRUPT, child, NULL, NULL) ||
			stop_signal(child) != SIGTRAP)
			_exit(1);
		shared[1] = 1;
		pause();
	}
	for (int i = 0; i < 5000 && !shared[1]; i++)
		usleep(1000);
	WANT(shared[1] == 1);
	kill(tracer, SIGKILL);
	WANT(exit_status(tracer) == -SIGKILL);
	shared[0] = 1;
	WANT(exit_status(child) == 6);
}

int main(void)
{
	alarm(60);
	section("attach");
	attach();
	section("seize");
	seize();
	section("by its own wish");
	by_own_wish();
	section("every call");
	every_call();
	section("single steps");
	single_steps();
	section("orphan");
	orphan();
	return want_done();
}
