/* What /proc says about other processes: the program that they execute. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static pid_t start(const char *program)
{
	int ends[2], ok;
	char byte;
	pid_t pid;

	WANT(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		execl(program, "tail", "-f", "/dev/null", (char *)NULL);
		ok = write(ends[1], "", 1) == 1;
		_exit(ok ? 126 : 127);
	}
	close(ends[1]);
	WANT(read(ends[0], &byte, 1) == 0); /* closed by the execve */
	close(ends[0]);
	return pid;
}

static void slurp_is(pid_t pid, const char *what, const char *wanted, size_t n)
{
	char path[64], b[256];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	fd = open(path, O_RDONLY);
	got = read(fd, b, sizeof(b));
	close(fd);
	WANT(got == (ssize_t)n && !memcmp(b, wanted, n));
}

static void exe_is(const char *format, pid_t pid, const char *program)
{
	char path[64], b[4096] = "", real[4096] = "";
	struct stat named, linked;
	int fd;

	snprintf(path, sizeof(path), format, pid, pid);
	WANT(realpath(program, real) != NULL);
	WANT(readlink(path, b, sizeof(b) - 1) == (ssize_t)strlen(real));
	printf("%s\n", b);
	WANT(!strcmp(b, real));
	WANT(readlink(path, b, 4) == 4);
	WANT(stat(path, &linked) == 0 && stat(real, &named) == 0);
	WANT(linked.st_ino == named.st_ino && linked.st_size == named.st_size);
	WANT(lstat(path, &linked) == 0 && S_ISLNK(linked.st_mode));
	WANT(access(path, X_OK) == 0);
	fd = open(path, O_RDONLY);
	WANT(fd >= 0 && fstat(fd, &linked) == 0 && linked.st_ino == named.st_ino);
	close(fd);
	FAILS(open(path, O_RDONLY | O_NOFOLLOW), ELOOP);
}

int main(void)
{
	const char *programs[] = {"/bin/tail", "/usr/bin/tail"};
	char b[64], link[64];
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		pid = start(programs[i]);
		exe_is("/proc/%d/exe", pid, programs[i]); /* at once */
		/* The name that a process has right after its execve is the kernel's or the runtime's: wait for it. */
		for (int k = 0; k < 500; k++) {
			char path[64], name[64] = "";
			int fd;

			snprintf(path, sizeof(path), "/proc/%d/comm", pid);
			fd = open(path, O_RDONLY);
			WANT(read(fd, name, sizeof(name) - 1) > 0);
			close(fd);
			if (!strcmp(name, "tail\n"))
				break;
			usleep(10000);
		}
		slurp_is(pid, "comm", "tail\n", 5);
		slurp_is(pid, "cmdline", "tail\0-f\0/dev/null", 18);
		exe_is("/proc/%d/task/%d/exe", pid, programs[i]);
		WANT(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
		snprintf(b, sizeof(b), "/proc/%d/exe", pid);
		FAILS(readlink(b, link, sizeof(link)), ENOENT);
	}
	snprintf(b, sizeof(b), "/proc/%d/exe", getppid());
	WANT(readlink(b, link, sizeof(link)) > 0);
	FAILS(readlink("/proc/4194304/exe", link, sizeof(link)), ENOENT);
	FAILS(readlink("/proc/0/exe", link, sizeof(link)), ENOENT);
	FAILS(readlink("/proc/99999999999999999999/exe", link, sizeof(link)), ENOENT);
	return want_done();
}
