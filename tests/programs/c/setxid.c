/*
 * Calls that change the identity of all threads: the C library has each thread make them in a handler of its own real-time signal, which no
 * program can block.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "want.h"

#define THREADS 6
#define ROUNDS 200

static volatile int stop;
static int uid_of[THREADS];

static void *work(void *arg)
{
	long me = (long)arg;
	sigset_t all;

	sigfillset(&all);
	if (me % 2)
		pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (!stop) {
		if (me < 2)
			poll(NULL, 0, 20);
		else if (me < 4)
			syscall(SYS_getppid);
		else
			for (volatile int i = 0; i < 1000; i++)
				;
	}
	uid_of[me] = (int)syscall(SYS_geteuid);
	return NULL;
}

int main(void)
{
	uid_t me = getuid();
	pthread_t t[THREADS];

	section("identity of all threads");
	for (long i = 0; i < THREADS; i++)
		WANT(pthread_create(&t[i], NULL, work, (void *)i) == 0);
	for (int i = 0; i < ROUNDS; i++)
		WANT(setresuid(me, me, me) == 0);
	if (me == 0)
		WANT(setresuid(65534, 65534, 65534) == 0);
	stop = 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		WANT(uid_of[i] == (me ? (int)me : 65534));
	}
	return want_done();
}
