/* SIGSYS belongs to the program like any other signal, whatever else uses it underneath. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static volatile sig_atomic_t hits;

static void count(int s)
{
	(void)s;
	hits++;
}

static void *wait_for_it(void *set)
{
	int sig = 0;

	return sigwait(set, &sig) ? NULL : (void *)(long)sig;
}

/* SIGSYS is blocked in all threads. */
static void waited_for(const sigset_t *m)
{
	struct timespec none = {0}, some = {.tv_nsec = 50000000};
	siginfo_t info = {0};
	pthread_t t[2];
	void *got[2];

	FAILS(sigtimedwait(m, &info, &none), EAGAIN);
	FAILS(sigtimedwait(m, &info, &some), EAGAIN);
	WANT(raise(SIGSYS) == 0 && sigtimedwait(m, &info, &none) == SIGSYS && info.si_pid == getpid());
	FAILS(sigtimedwait(m, NULL, &none), EAGAIN);
	WANT(kill(getpid(), SIGSYS) == 0 && sigwaitinfo(m, &info) == SIGSYS && info.si_code == SI_USER);
	for (int i = 0; i < 20; i++) {
		pthread_create(&t[0], NULL, wait_for_it, (void *)m);
		usleep(i * 500);
		kill(getpid(), SIGSYS);
		WANT(pthread_join(t[0], &got[0]) == 0 && (long)got[0] == SIGSYS);
	}
	pthread_create(&t[0], NULL, wait_for_it, (void *)m);
	usleep(50000);
	pthread_kill(t[0], SIGSYS);
	WANT(pthread_join(t[0], &got[0]) == 0 && (long)got[0] == SIGSYS);
}

int main(void)
{
	struct sigaction a = {.sa_handler = count}, old;
	sigset_t m, was;
	int st;

	section("handled");
	WANT(sigaction(SIGSYS, &a, NULL) == 0 && raise(SIGSYS) == 0 && hits == 1);
	WANT(sigaction(SIGSYS, NULL, &old) == 0 && old.sa_handler == count);
	for (int i = 0; i < 100; i++)
		WANT(kill(getpid(), SIGSYS) == 0 && hits == 2 + i);
	section("ignored");
	signal(SIGSYS, SIG_IGN);
	WANT(raise(SIGSYS) == 0 && hits == 101 && getppid() > 0);
	section("default");
	signal(SIGSYS, SIG_DFL);
	pid_t p = fork();
	if (p == 0) {
		raise(SIGSYS);
		_exit(1);
	}
	WANT(waitpid(p, &st, 0) == p && WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
	section("mask");
	WANT(sigaction(SIGSYS, &a, NULL) == 0);
	sigemptyset(&m);
	sigaddset(&m, SIGSYS);
	WANT(sigprocmask(SIG_BLOCK, &m, &was) == 0 && !sigismember(&was, SIGSYS));
	WANT(sigprocmask(SIG_SETMASK, NULL, &was) == 0 && sigismember(&was, SIGSYS));
	section("blocked");
	hits = 0;
	raise(SIGSYS);
	WANT(hits == 0 && sigpending(&was) == 0 && sigismember(&was, SIGSYS));
	WANT(sigprocmask(SIG_UNBLOCK, &m, NULL) == 0 && hits == 1);
	section("waited for");
	sigprocmask(SIG_BLOCK, &m, NULL);
	waited_for(&m);
	WANT(sigpending(&was) == 0 && !sigismember(&was, SIGSYS) && hits == 1);
	return want_done();
}
