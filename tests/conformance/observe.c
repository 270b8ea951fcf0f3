/*
 * observe: run one program as a test wants it and say how it ended.
 *
 *   observe SECONDS STDIN STDOUT STDERR PROGRAM [ARG...]
 *
 * The program gets default signal actions, an empty mask, no descriptors but 0, 1 and 2, its own session, no core file, and no time
 * beyond SECONDS. Prints "exit N", "signal N" or "timeout". Whatever the program leaves behind is killed before that, and said: a
 * process that outlives its parent by more than a second adds ", left processes".
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "observe: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void put(const char *path, int flags, int fd)
{
	int f = open(path, flags, 0600);
	if (f < 0 || dup2(f, fd) < 0)
		die(path);
	if (f != fd)
		close(f);
}

static void become(char **argv)
{
	struct rlimit none = {0, 0};
	sigset_t empty;

	for (int s = 1; s <= SIGRTMAX; s++)
		signal(s, SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	setrlimit(RLIMIT_CORE, &none);
	setsid();
	put(argv[2], O_RDONLY, 0);
	put(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 1);
	put(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 2);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	execvp(argv[5], argv + 5);
	fprintf(stderr, "%s: %s\n", argv[5], strerror(errno));
	_exit(127);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Children of this process: the program, and, since it is a subreaper, every orphan of its tree. */
static int children(pid_t *list, int max)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	FILE *f = fopen(path, "r");
	if (!f)
		die(path);
	while (n < max && fscanf(f, "%d", &list[n]) == 1)
		n++;
	fclose(f);
	return n;
}

static void sweep(void)
{
	pid_t list[256];
	int n;

	while ((n = children(list, 256)) > 0) {
		for (int i = 0; i < n; i++)
			kill(list[i], SIGKILL);
		/* The dead one's children are ours only now: look again rather than wait for one that was not killed. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: observe SECONDS STDIN STDOUT STDERR PROGRAM [ARG...]\n");
		return 125;
	}
	double end = now() + atof(argv[1]);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		die("PR_SET_CHILD_SUBREAPER");
	pid_t p = fork();
	if (p < 0)
		die("fork");
	if (p == 0)
		become(argv);
	int st = 0, ended = 0;
	while (!ended && now() < end) {
		siginfo_t si = {0};
		/* Reap as they end; sleep shortly when there is nothing. */
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid) {
			int s;
			if (waitpid(si.si_pid, &s, 0) == p) {
				st = s;
				ended = 1;
			}
		} else {
			usleep(2000);
		}
	}
	int left = 0;
	pid_t list[256];
	for (double grace = now() + 1; ended && now() < grace; usleep(5000)) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if ((left = children(list, 256)) == 0)
			break;
	}
	sweep();
	if (!ended)
		printf("timeout\n");
	else if (WIFSIGNALED(st))
		printf("signal %d%s\n", WTERMSIG(st), left ? ", left processes" : "");
	else
		printf("exit %d%s\n", WEXITSTATUS(st), left ? ", left processes" : "");
	return 0;
}
