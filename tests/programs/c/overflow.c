/*
 * Stack overflow in every kind of stack, at a system call and between them: a handler on an alternate stack is told, without one the process
 * ends by SIGSEGV and nobody else.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static __thread sigjmp_buf back;
static __thread volatile int told;

static void on_segv(int sig)
{
	(void)sig;
	told++;
	siglongjmp(back, 1);
}

/* Deeper and deeper; with calls, so that it may happen at their entry. */
static __attribute__((noinline)) int dig(int calls, int depth)
{
	volatile char room[512];

	room[0] = (char)depth;
	if (calls && syscall(SYS_getppid) < 0)
		return 1;
	return dig(calls, depth + 1) + room[0];
}

static int told_of_overflow(int calls)
{
	told = 0;
	if (!sigsetjmp(back, 1))
		return dig(calls, 0);
	return told == 1;
}

static void use_alternate(void)
{
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};
	struct sigaction sa = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};

	sigaltstack(&ss, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

static void *in_thread(void *arg)
{
	use_alternate();
	for (int i = 0; i < 20; i++)
		if (told_of_overflow(i & 1) != 1)
			return NULL;
	return arg;
}

static void *deep_thread(void *arg)
{
	dig(1, 0);
	return arg;
}

/* The signal that a child ends by. */
static int ended_by(void (*what)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		alarm(20);
		what();
		_exit(0);
	}
	return waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void plain(void)
{
	dig(0, 0);
}

static void with_calls(void)
{
	dig(1, 0);
}

static void other_thread(void)
{
	pthread_t id;

	pthread_create(&id, NULL, deep_thread, NULL);
	pthread_join(id, NULL);
}

/* The handler itself has no stack to run on. */
static void no_alternate(void)
{
	struct sigaction sa = {.sa_handler = on_segv};

	sigaction(SIGSEGV, &sa, NULL);
	dig(1, 0);
}

/* A signal from outside finds no room for its frame. */
static void small_alternate(void)
{
	char *guarded = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction sa = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};
	stack_t ss = {.ss_sp = guarded, .ss_size = 3 * 4096};

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
}

static void wild_pointer(void)
{
	__asm__ volatile("movq $0x1000, %%rsp\n\tmovl $110, %%eax\n\tsyscall\n\tpush %%rax" : : : "memory");
}

int main(void)
{
	struct rlimit small = {1 << 20, 1 << 20};
	pthread_t id[4];

	setrlimit(RLIMIT_STACK, &small);
	section("told");
	use_alternate();
	for (int i = 0; i < 20; i++)
		WANT(told_of_overflow(i & 1) == 1);
	for (int i = 0; i < 4; i++)
		pthread_create(&id[i], NULL, in_thread, id);
	for (int i = 0; i < 4; i++) {
		void *ret = NULL;

		pthread_join(id[i], &ret);
		WANT(ret == id);
	}
	section("ended");
	WANT(ended_by(plain) == SIGSEGV);
	WANT(ended_by(with_calls) == SIGSEGV);
	WANT(ended_by(other_thread) == SIGSEGV);
	WANT(ended_by(no_alternate) == SIGSEGV);
	WANT(ended_by(small_alternate) == SIGSEGV);
	WANT(ended_by(wild_pointer) == SIGSEGV);
	return want_done();
}
