/*
 * A thousand threads at once, again and again, while some of them fork: each has its own stack, storage and signal mask, none is lost, and when
 * they are gone neither mappings nor descriptors are left behind.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "leftovers.h"
#include "want.h"

#define CROWD 1000
#define FORKERS 20

static pthread_barrier_t all;
static __thread int own;
static int seen[CROWD];

static void *one(void *arg)
{
	int n = (int)(long)arg;
	sigset_t mask, is;

	own = n;
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + n % 8);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	pthread_barrier_wait(&all);
	for (int i = 0; i < 20; i++)
		if (syscall(SYS_gettid) <= 0 || write(-1, "", 1) != -1 || errno != EBADF)
			return NULL;
	if (n < FORKERS) {
		pid_t child = fork();
		int status = 0;

		if (child == 0)
			_exit(own == n ? 40 : 41);
		if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
			WEXITSTATUS(status) != 40)
			return NULL;
	}
	pthread_sigmask(SIG_SETMASK, NULL, &is);
	seen[n] +=
		own == n && sigismember(&is, SIGRTMIN + n % 8) && !sigismember(&is, SIGRTMIN + (n + 1) % 8);
	pthread_barrier_wait(&all);
	return arg;
}

static int round_of(int count)
{
	static pthread_t id[CROWD];
	pthread_attr_t attr;
	int good = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_barrier_init(&all, NULL, (unsigned)count);
	for (int i = 0; i < count; i++)
		if (!WANT(!pthread_create(&id[i], &attr, one, (void *)(long)i)))
			exit(1);
	for (int i = 0; i < count; i++) {
		void *ret = NULL;

		pthread_join(id[i], &ret);
		good += ret == (void *)(long)i;
	}
	pthread_barrier_destroy(&all);
	pthread_attr_destroy(&attr);
	return good;
}

int main(void)
{
	int maps, fds;

	section("the first crowd");
	WANT(round_of(CROWD) >= CROWD - 1); /* the first one's argument is NULL either way */
	maps = count_mappings();
	fds = count_descriptors();
	section("more of them");
	for (int i = 0; i < 3; i++)
		round_of(CROWD);
	for (int i = 0; i < CROWD; i++)
		if (seen[i] != 4 && WANT(seen[i] == 4) == 0)
			break;
	section("nothing left");
	/* A thread that was joined may still be on its way out. */
	for (int i = 0; i < 200 && count_threads() > 1; i++)
		usleep(10000);
	WANT(count_threads() == 1);
	WANT(count_mappings() < maps + 50); /* stacks are kept for later, up to a size */
	WANT(count_descriptors() == fds);
	return want_done();
}
