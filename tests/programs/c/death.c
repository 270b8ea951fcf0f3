/* Ends in the way that its argument names. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void last_words(void)
{
	printf("at exit\n");
}

static void *exit_in_thread(void *arg)
{
	(void)arg;
	exit(23);
}

static void *work_on(void *arg)
{
	(void)arg;
	usleep(100000);
	printf("the last thread\n");
	return NULL;
}

static int dive(int n)
{
	volatile char room[4096];
	room[0] = (char)n;
	if (n < 0)
		return 0;
	return dive(n + 1) + room[0];
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	pthread_t t;

	printf("%s\n", how);
	fflush(stdout);
	atexit(last_words);
	if (strcmp(how, "null") == 0)
		*(volatile int *)8 = 1;
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "ill") == 0)
		__asm__ volatile("ud2");
	if (strcmp(how, "fpe") == 0)
		__asm__ volatile("xor %%ecx,%%ecx; mov $1,%%eax; cdq; idiv %%ecx" ::: "eax", "ecx", "edx");
	if (strcmp(how, "trap") == 0)
		__asm__ volatile("int3");
	if (strcmp(how, "stack") == 0)
		return dive(0);
	if (strcmp(how, "jump") == 0)
		((void (*)(void))16)();
	if (strcmp(how, "blocked") == 0) { /* a blocked fault kills all the same */
		sigset_t m;
		sigfillset(&m);
		sigprocmask(SIG_SETMASK, &m, NULL);
		*(volatile int *)8 = 1;
	}
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "rt") == 0)
		raise(SIGRTMIN + 5);
	if (strcmp(how, "alarm") == 0) {
		ualarm(1000, 0);
		for (;;)
			;
	}
	if (strcmp(how, "thread") == 0) {
		pthread_create(&t, NULL, exit_in_thread, NULL);
		for (;;)
			pause();
	}
	if (strcmp(how, "mainfirst") == 0) { /* the process ends with its last thread, status 0 */
		pthread_create(&t, NULL, work_on, NULL);
		pthread_exit((void *)5);
	}
	if (strcmp(how, "raw") == 0) /* ends this thread only, and there is no other */
		syscall(SYS_exit, 33);
	if (strcmp(how, "_exit") == 0)
		_exit(300);
	return strcmp(how, "return") == 0 ? 44 : 1;
}
