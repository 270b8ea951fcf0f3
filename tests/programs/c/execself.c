/* Executes itself by /proc/self/exe, `execself N` times, and keeps its process number. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 20;
	char num[16], pid[16];

	if (argc > 2 && atoi(argv[2]) != getpid()) {
		printf("the process number changed\n");
		return 1;
	}
	if (n == 0) {
		char link[PATH_MAX];
		ssize_t k = readlink("/proc/self/exe", link, sizeof(link) - 1);
		link[k > 0 ? k : 0] = 0;
		printf("argv[0] %s, exe %s\n", argv[0], link);
		return 42;
	}
	snprintf(num, sizeof(num), "%d", n - 1);
	snprintf(pid, sizeof(pid), "%d", getpid());
	execl("/proc/self/exe", "again", num, pid, (char *)NULL);
	perror("execl");
	return 1;
}
