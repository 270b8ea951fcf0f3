/*
 * spawn fork|posix_spawn N PROGRAM [ARG...]: milliseconds from the call to the end of PROGRAM, started N times by this one process after
 * three times to warm up; the median.
 */
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM 3

extern char **environ;

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static pid_t by_fork(char **argv)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	execv(argv[0], argv);
	_exit(127);
}

static pid_t by_spawn(char **argv)
{
	pid_t pid;

	errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	return errno ? -1 : pid;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int n = argc > 3 ? atoi(argv[2]) : 0, status;
	pid_t (*start)(char **) = argc > 3 && !strcmp(argv[1], "fork") ? by_fork : by_spawn;
	double *ms;

	if (n < 1 || (start == by_spawn && strcmp(argv[1], "posix_spawn") != 0)) {
		fprintf(stderr, "usage: spawn fork|posix_spawn N PROGRAM [ARG...]\n");
		return 2;
	}
	ms = calloc((size_t)n, sizeof(*ms));
	for (int i = -WARM; ms && i < n; i++) {
		uint64_t t = now();
		pid_t pid = start(argv + 3);

		if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
			fprintf(stderr, "spawn: %s: wait status %d, %s\n", argv[3], pid < 0 ? -1 : status,
				strerror(errno));
			return 1;
		}
		if (i >= 0)
			ms[i] = (double)(now() - t) / 1e6;
	}
	if (!ms)
		return 1;
	qsort(ms, (size_t)n, sizeof(*ms), by_value);
	printf("%.4f\n", ms[n / 2]);
	return 0;
}
