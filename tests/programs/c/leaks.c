/*
 * leaks N: N times execve, by turns in a child of fork, of vfork, of posix_spawn, and in place. Neither the parent nor what is executed ends up
 * with a descriptor or a mapping more than the first had.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include "leftovers.h"
#include "want.h"

extern char **environ;
static char *self;

/* As a chain: argv is "leaks", "in-place", how many are left, and what the first of them counted. */
static int in_place(char **argv)
{
	int left = atoi(argv[2]), maps = count_mappings(), fds = count_descriptors();
	char left_text[16], maps_text[16], fds_text[16];
	char *next[] = {argv[0], argv[1], left_text, maps_text, fds_text, NULL};

	/* Neighbours may join or not, as the addresses fall. */
	if (argv[3] && (maps > atoi(argv[3]) + 3 || atoi(argv[4]) != fds)) {
		printf("%d to go: %d mappings, %d descriptors; the first had %s and %s\n", left, maps, fds,
			argv[3], argv[4]);
		return 1;
	}
	if (left == 0)
		return 0;
	snprintf(left_text, sizeof(left_text), "%d", left - 1);
	snprintf(maps_text, sizeof(maps_text), "%d", maps);
	snprintf(fds_text, sizeof(fds_text), "%d", fds);
	execv("/proc/self/exe", next);
	return 2;
}

static int status_of(pid_t child)
{
	int status = -1;

	return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* What a child that only counts has. */
static int run(int how, char *const argv[])
{
	pid_t child = -1;

	switch (how) {
	case 0:
		child = fork();
		break;
	case 1:
		child = vfork();
		break;
	default:
		if (posix_spawn(&child, self, NULL, NULL, argv, environ))
			return -1;
		return status_of(child);
	}
	if (child == 0) {
		execv(self, argv);
		_exit(127);
	}
	return status_of(child);
}

int main(int argc, char **argv)
{
	char *leaf[] = {argv[0], "in-place", "0", NULL};
	char chain_length[16], *chain[] = {argv[0], "in-place", chain_length, NULL};
	int n, bad = 0, maps = 0, fds = 0;

	self = argv[0];
	if (argc > 2 && !strcmp(argv[1], "in-place"))
		return in_place(argv);
	n = argc > 1 ? atoi(argv[1]) : 100;
	section("children");
	for (int i = 0; i < n / 2; i++) {
		bad += run(i % 3, leaf) != 0;
		if (i == 30) {
			maps = count_mappings();
			fds = count_descriptors();
		}
	}
	WANT(bad == 0);
	WANT(maps == 0 || count_mappings() <= maps + 2);
	WANT(fds == 0 || count_descriptors() == fds);
	section("in place");
	snprintf(chain_length, sizeof(chain_length), "%d", n / 2);
	WANT(run(0, chain) == 0);
	return want_done();
}
