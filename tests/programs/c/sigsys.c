/* SIGSYS belongs to the program like any other signal, whatever else uses it underneath. */
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
	return want_done();
}
