/*
 * Resource limits mean what they mean natively: RLIMIT_AS counts what the program has, RLIMIT_STACK is asked at each growth of the main
 * stack. Linked to have an executable stack.
 */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

#define MIB (1024L * 1024)

extern char **environ;

static __attribute__((noinline)) int deep(long mib)
{
	volatile char frame[MIB];

	memset((void *)frame, 1, sizeof(frame));
	return mib > 0 ? deep(mib - 1) + frame[77] : frame[5];
}

static void soft_limit(int which, rlim_t value)
{
	struct rlimit l;

	getrlimit(which, &l);
	l.rlim_cur = value;
	WANT(setrlimit(which, &l) == 0);
}

static void *nothing(void *arg)
{
	return arg;
}

static int spawn(const char *path, const char *arg)
{
	char *argv[] = {(char *)path, (char *)arg, NULL};
	int status = -1;
	pid_t child;

	WANT(posix_spawn(&child, path, NULL, NULL, argv, environ) == 0 &&
		waitpid(child, &status, 0) == child);
	return status;
}

static void address_space(const char *self)
{
	pthread_attr_t attr;
	pthread_t t;
	void *p;

	soft_limit(RLIMIT_AS, 300 * MIB);
	p = malloc(150 * MIB);
	WANT(p != NULL);
	free(p);
	WANT(malloc(320 * MIB) == NULL && errno == ENOMEM);
	WANT(sbrk(40 * MIB) != (void *)-1);
	WANT(sbrk(-40 * MIB) != (void *)-1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, MIB);
	WANT(pthread_create(&t, &attr, nothing, NULL) == 0 && pthread_join(t, NULL) == 0);
	WANT(spawn(self, "allocate") == 0);
	soft_limit(RLIMIT_AS, RLIM_INFINITY);
}

static void stack(const char *self)
{
	struct rlimit old;

	getrlimit(RLIMIT_STACK, &old);
	soft_limit(RLIMIT_STACK, 64 * MIB);
	WANT(deep(40) == 41);
	soft_limit(RLIMIT_STACK, RLIM_INFINITY);
	WANT(spawn(self, "deep") == 0);
	soft_limit(RLIMIT_STACK, MIB / 4);
	WANT(spawn(self, "shallow") == 0);
	setrlimit(RLIMIT_STACK, &old);
}

static int call(int (*f)(int))
{
	return f(3);
}

static void executable_stack(int start)
{
	int add(int x)
	{
		return x + start;
	}

	WANT(call(add) == 3 + start);
}

static void title(char **argv)
{
	char now[64] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY);

	memset(argv[0], 'Z', 4);
	WANT(read(fd, now, sizeof(now) - 1) > 4 && !memcmp(now, "ZZZZ", 4));
	close(fd);
}

static void no_randomisation(const char *self)
{
	static char where[2][64];

	WANT(personality(ADDR_NO_RANDOMIZE) != -1);
	for (int i = 0; i < 2; i++) {
		int p[2], saved = dup(1);

		WANT(pipe(p) == 0);
		dup2(p[1], 1);
		close(p[1]);
		WANT(spawn(self, "where") == 0);
		dup2(saved, 1);
		close(saved);
		WANT(read(p[0], where[i], sizeof(where[i]) - 1) > 8);
		close(p[0]);
	}
	WANT(strcmp(where[0], where[1]) == 0);
}

int main(int argc, char **argv)
{
	static char self[4096];
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "allocate"))
		return malloc(150 * MIB) == NULL;
	if (!strcmp(mode, "deep"))
		return deep(100) != 101;
	if (!strcmp(mode, "shallow"))
		return 0;
	if (!strcmp(mode, "where"))
		return printf("%p\n", (void *)nothing) < 0;
	WANT(realpath(argv[0], self) != NULL);
	section("address space");
	address_space(self);
	section("stack");
	stack(self);
	section("executable stack");
	executable_stack(argc);
	section("title");
	title(argv);
	section("no randomisation");
	no_randomisation(self);
	return want_done();
}
