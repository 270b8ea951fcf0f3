/*
 * Everything runs out: address space, processes, descriptors, locked memory, file size. Each call fails as it should, the process goes on, and
 * when there is room again everything works again.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

#define MIB (1024L * 1024)

static void limit(int what, rlim_t soft)
{
	struct rlimit rl;

	getrlimit(what, &rl);
	rl.rlim_cur = soft;
	WANT(!setrlimit(what, &rl));
}

static long used_space(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld", &pages) != 1)
		exit(3);
	fclose(f);
	return pages * 4096;
}

static void *idle(void *arg)
{
	return arg;
}

static void address_space(void)
{
	char *blocks[4096];
	int n = 0, threads = 0, failed = 0;
	void *small[1000];
	pthread_t id;
	struct rlimit rl;

	getrlimit(RLIMIT_AS, &rl);
	limit(RLIMIT_AS, (rlim_t)(used_space() + 64 * MIB));
	while (n < 4096 && (blocks[n] = mmap(NULL, 64 * 1024, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
		blocks[n++][0] = 1;
	WANT(n > 500 && n < 1100 && errno == ENOMEM);
	FAILS((long)mmap(NULL, MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	FAILS((long)mremap(blocks[0], 65536, 8 * MIB, MREMAP_MAYMOVE), ENOMEM);
	FAILS((long)sbrk(64 * MIB), ENOMEM);
	for (int i = 0; i < 10; i++)
		if (pthread_create(&id, NULL, idle, NULL) == 0) {
			pthread_join(id, NULL);
			threads++;
		} else {
			failed++;
		}
	WANT(failed == 10 && threads == 0);
	for (int i = 0; i < 1000; i++)
		small[i] = malloc(64 * 1024); /* whatever it says */
	for (int i = 0; i < 1000; i++)
		free(small[i]);
	for (int i = 0; i < 200; i++)
		WANT(open("/nonexistent/file", O_RDONLY) == -1 && errno == ENOENT);
	for (int i = 0; i < n; i++)
		munmap(blocks[i], 64 * 1024);
	rl.rlim_cur = rl.rlim_max;
	WANT(!setrlimit(RLIMIT_AS, &rl));
	WANT(!pthread_create(&id, NULL, idle, NULL) && !pthread_join(id, NULL));
}

/* In a child that cannot grow: fork and execve. */
static void exec_in_need(void)
{
	char *args[] = {"/bin/true", NULL}, *none[] = {NULL};
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct rlimit rl = {(rlim_t)(used_space() + 256 * 1024), RLIM_INFINITY};

		setrlimit(RLIMIT_AS, &rl);
		for (int i = 0; i < 50; i++)
			if (execve("/nonexistent", args, none) != -1 || (errno != ENOENT && errno != ENOMEM))
				_exit(2);
		_exit(0);
	}
	WANT(waitpid(child, &status, 0) == child && status == 0);
}

static void descriptors(void)
{
	int fds[64], n = 0, status = 0;
	struct rlimit rl;
	pid_t child;

	getrlimit(RLIMIT_NOFILE, &rl);
	limit(RLIMIT_NOFILE, 32);
	while (n < 64 && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	WANT(n > 10 && n < 32 && errno == EMFILE);
	FAILS(dup(0), EMFILE);
	FAILS(memfd_create("x", 0), EMFILE);
	child = fork();
	if (child == 0) {
		close(fds[0]); /* for the loader of the program */
		execl("/bin/true", "true", NULL);
		_exit(9);
	}
	WANT(waitpid(child, &status, 0) == child && status == 0);
	while (n-- > 0)
		close(fds[n]);
	setrlimit(RLIMIT_NOFILE, &rl);
}

static volatile int too_large;

static void on_xfsz(int sig)
{
	too_large += sig == SIGXFSZ;
}

static void file_size(void)
{
	char name[] = "scarceXXXXXX", page[4096] = {0};
	int fd = mkstemp(name);
	struct rlimit rl;

	unlink(name);
	signal(SIGXFSZ, on_xfsz);
	getrlimit(RLIMIT_FSIZE, &rl);
	limit(RLIMIT_FSIZE, 8192);
	WANT(write(fd, page, 4096) == 4096 && write(fd, page, 4096) == 4096);
	FAILS(write(fd, page, 1), EFBIG);
	FAILS(ftruncate(fd, 8193), EFBIG);
	WANT(too_large == 2);
	setrlimit(RLIMIT_FSIZE, &rl);
	WANT(write(fd, page, 4096) == 4096);
	close(fd);
}

static void *wait_for_end(void *arg)
{
	pause();
	return arg;
}

/* As another user, who may have few processes. */
static void processes(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct rlimit rl = {20, 20};
		int made = 0, error = 0;
		pthread_t id;

		if (getuid() == 0 && syscall(SYS_setresuid, 54321, 54321, 54321))
			_exit(1);
		setrlimit(RLIMIT_NPROC, &rl);
		for (int i = 0; i < 100 && !error; i++) {
			error = pthread_create(&id, NULL, wait_for_end, NULL);
			made += !error;
		}
		if (getuid() == 54321 && (made >= 20 || error != EAGAIN))
			_exit(2);
		if (getuid() == 54321 && (fork() != -1 || errno != EAGAIN))
			_exit(3);
		_exit(0);
	}
	WANT(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	section("address space");
	address_space();
	section("execve in need");
	exec_in_need();
	section("descriptors");
	descriptors();
	section("file size");
	file_size();
	section("processes");
	processes();
	return want_done();
}
