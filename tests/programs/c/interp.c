/* `#!` files: how the kernel splits the line and what the interpreter is given. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static char self[PATH_MAX];

static void make(const char *name, const char *fmt)
{
	char text[PATH_MAX + 200];
	int n = snprintf(text, sizeof(text), fmt, self, self);
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0700);

	WANT(write(fd, text, (size_t)n) == n);
	close(fd);
}

static void run(const char *path, const char *a0, const char *a1)
{
	int st;

	printf("%s:\n", path);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		execl(path, a0, a1, (char *)NULL);
		printf("  errno %d\n", errno);
		fflush(stdout);
		_exit(1);
	}
	WANT(waitpid(p, &st, 0) == p);
	printf("  status %x\n", st);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		for (int i = 0; i < argc; i++)
			printf("  <%s>\n",
				strcmp(argv[i], self) && strchr(argv[i], '/') && i == 0 ? "path" : argv[i]);
		char link[PATH_MAX];
		ssize_t n = readlink("/proc/self/exe", link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		printf("  exe %s\n", link);
		return 17;
	}
	WANT(realpath(argv[0], self) != NULL);
	WANT(mkdir("sub", 0700) == 0);
	make("plain", "#!%s\nbody\n");
	make("one", "#!%s one\n");
	make("two", "#! %s  two words \t\n");
	make("noline", "#!%s end-of-file");
	make("sub/nested", "#!./plain nested\n");
	make("loop", "#!./loop\n");
	make("crlf", "#!%s\r\n");
	make("dirinterp", "#!/\n");
	run("plain", "zero", "a b");
	run("./plain", "zero", "");
	run("one", "zero", "x");
	run("two", "zero", "x");
	run("noline", "zero", "x");
	run("sub/nested", "zero", "x");
	run("loop", "zero", "x");
	run("crlf", "zero", "x");
	run("dirinterp", "zero", "x");
	/* Without a `#!` line execvp falls back to a shell. */
	int fd = open("bare", O_CREAT | O_WRONLY, 0700);
	WANT(write(fd, "echo \"  bare $0 $1\"\n", 20) == 20);
	close(fd);
	fflush(stdout);
	int st;
	pid_t p = fork();
	if (p == 0) {
		execlp("./bare", "zero", "x", (char *)NULL);
		_exit(1);
	}
	WANT(waitpid(p, &st, 0) == p && st == 0);
	/* A directory of the PATH without the file, one where it cannot be executed, one with it. */
	make("sub/tool", "#!%s found\n");
	fd = open("tool", O_CREAT | O_WRONLY, 0600);
	close(fd);
	setenv("PATH", "/absent:.:./sub", 1);
	fflush(stdout);
	p = fork();
	if (p == 0) {
		execlp("tool", "zero", (char *)NULL);
		_exit(1);
	}
	WANT(waitpid(p, &st, 0) == p && WIFEXITED(st) && WEXITSTATUS(st) == 17);
	return want_done();
}
