/*
 * forkstorm [N]: four threads fork N times each, children fork children, some are killed at any moment, some share memory: every one of them is
 * waited for and ends as it should, and what they add up is right.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "leftovers.h"
#include "want.h"

#define THREADS 4

static int rounds = 100;
static int *sum; /* shared by all */

static int grandchildren(int depth)
{
	int good = 1;

	for (int i = 0; i < 2 && depth > 0; i++) {
		pid_t child = fork();
		int status = 0;

		if (child == 0)
			_exit(grandchildren(depth - 1) ? 7 : 8);
		good &= child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
			WEXITSTATUS(status) == 7;
	}
	__atomic_fetch_add(sum, 1, __ATOMIC_RELAXED);
	return good;
}

static int killed(int n)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		for (;;)
			if (syscall(SYS_getppid) < 0)
				_exit(1);
	}
	usleep((useconds_t)(n % 7) * 100);
	kill(child, n % 2 ? SIGKILL : SIGTERM);
	return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status);
}

static int borrowed(int n)
{
	int volatile word = 0;
	int status = 0;
	pid_t child = vfork();

	if (child == 0) {
		word = n + 1;
		_exit(n & 63);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == (n & 63) && word == n + 1;
}

static void *storm(void *ret)
{
	long good = 0;

	for (int i = 0; i < rounds; i++) {
		pid_t child = fork();
		int status = 0;

		if (child == 0)
			_exit(grandchildren(i % 3) ? 7 : 8);
		good += child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
			WEXITSTATUS(status) == 7;
		good += killed(i);
		good += borrowed(i);
	}
	*(long *)ret = good;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id[THREADS];
	long good[THREADS] = {0};
	int want_sum = 0, fds = count_descriptors();

	if (argc > 1)
		rounds = atoi(argv[1]);
	sum = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	section("storm");
	for (int i = 0; i < THREADS; i++)
		pthread_create(&id[i], NULL, storm, &good[i]);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(id[i], NULL);
		WANT(good[i] == 3 * rounds);
	}
	for (int i = 0; i < rounds; i++)
		want_sum += (2 << (i % 3)) - 1;
	WANT(*sum == want_sum * THREADS);
	section("nothing left");
	FAILS(waitpid(-1, NULL, 0), ECHILD);
	WANT(count_descriptors() == fds);
	return want_done();
}
