/*
 * 10,000 SIGSEGV in each of four threads, each left by siglongjmp, while an interval timer fires at 1 kHz. Two of the threads take
 * their faults on an alternate stack. Between faults they make system calls, so that the timer interrupts every kind of code.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include "want.h"

#define THREADS 4
#define FAULTS 10000

static __thread sigjmp_buf back;
static __thread volatile char *aim;
static __thread volatile int right, wrong;
static volatile long ticks;
static char *forbidden;

static void on_segv(int s, siginfo_t *si, void *uc)
{
	(void)s;
	(void)uc;
	if (si->si_addr == (void *)aim && si->si_code == SEGV_ACCERR)
		right++;
	else
		wrong++;
	siglongjmp(back, 1);
}

static void on_alarm(int s)
{
	(void)s;
	__atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED);
}

static void *fault(void *arg)
{
	int me = (int)(intptr_t)arg, p[2];
	static char stacks[THREADS][65536];
	sigset_t m;

	if (me % 2) {
		stack_t ss = {.ss_sp = stacks[me], .ss_size = sizeof(stacks[me])};
		WANT(sigaltstack(&ss, NULL) == 0);
	}
	sigemptyset(&m);
	sigaddset(&m, SIGALRM);
	WANT(pthread_sigmask(SIG_UNBLOCK, &m, NULL) == 0);
	WANT(pipe(p) == 0);
	volatile uint64_t sum = 0;
	for (volatile int i = 0; i < FAULTS; i++) {
		double d = i * 0.5;
		aim = forbidden + me * 4096 + i % 4096;
		if (sigsetjmp(back, 1) == 0) {
			if (i % 3 == 0)
				(void)*aim;
			else
				*aim = 1;
			wrong++;
		}
		if (d != i * 0.5)
			wrong++;
		char c = (char)i;
		if (i % 4 == 0 && (write(p[1], &c, 1) != 1 || read(p[0], &c, 1) != 1 || c != (char)i))
			wrong++;
		sum += (uint64_t)i;
	}
	WANT(pthread_sigmask(SIG_SETMASK, NULL, &m) == 0 && !sigismember(&m, SIGSEGV) &&
		!sigismember(&m, SIGALRM));
	stack_t now;
	WANT(sigaltstack(NULL, &now) == 0 && now.ss_flags == (me % 2 ? 0 : SS_DISABLE));
	WANT(sum == (uint64_t)FAULTS * (FAULTS - 1) / 2);
	if (right != FAULTS || wrong)
		WANT(printf("thread %d: %d right, %d wrong\n", me, right, wrong) < 0);
	return NULL;
}

int main(void)
{
	struct sigaction a = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct itimerval it = {{0, 1000}, {0, 1000}};
	pthread_t t[THREADS];
	sigset_t m;

	forbidden = mmap(NULL, THREADS * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	WANT(sigaction(SIGSEGV, &a, NULL) == 0);
	a.sa_flags = SA_RESTART;
	a.sa_handler = on_alarm;
	WANT(sigaction(SIGALRM, &a, NULL) == 0);
	sigemptyset(&m);
	sigaddset(&m, SIGALRM);
	WANT(pthread_sigmask(SIG_BLOCK, &m, NULL) == 0); /* so the workers get the ticks */
	WANT(setitimer(ITIMER_REAL, &it, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		WANT(pthread_create(&t[i], NULL, fault, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	memset(&it, 0, sizeof(it));
	WANT(setitimer(ITIMER_REAL, &it, NULL) == 0);
	WANT(ticks > 10);
	return want_done();
}
