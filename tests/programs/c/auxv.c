/* The auxiliary vector and what a program can learn about itself. */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "want.h"

extern void _start(void);
extern char **environ;

/* The stack as the kernel lays it out: argc, argv, NULL, env, NULL, auxv; everything below AT_EXECFN's string. */
static void layout(char **argv)
{
	uintptr_t argc_at = (uintptr_t)(argv - 1);
	char **e = environ;

	WANT(argc_at % 16 == 0);
	while (*e)
		e++;
	ElfW(auxv_t) *a = (void *)(e + 1);
	int seen = 0;
	for (; a->a_type != AT_NULL; a++)
		seen++;
	WANT(seen >= 15);
	WANT((uintptr_t)argv[0] > (uintptr_t)a);
	WANT(getauxval(AT_EXECFN) > (uintptr_t)a);
	WANT(getauxval(AT_RANDOM) > (uintptr_t)a);
}

static void exe(const char *self)
{
	char link[PATH_MAX], real[PATH_MAX];
	struct stat a, b;
	ssize_t n;

	WANT(realpath(self, real) != NULL);
	n = readlink("/proc/self/exe", link, sizeof(link) - 1);
	WANT(n > 0);
	link[n > 0 ? n : 0] = 0;
	WANT(strcmp(link, real) == 0);
	n = readlinkat(AT_FDCWD, "/proc/self/exe", link, 4); /* truncation is silent */
	WANT(n == 4 && memcmp(link, real, 4) == 0);
	char byPid[64];
	snprintf(byPid, sizeof(byPid), "/proc/%d/exe", getpid());
	n = readlink(byPid, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	WANT(strcmp(link, real) == 0);
	snprintf(byPid, sizeof(byPid), "/proc/self/task/%d/exe", getpid());
	n = readlink(byPid, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	WANT(strcmp(link, real) == 0);
	WANT(stat("/proc/self/exe", &a) == 0 && stat(real, &b) == 0 && a.st_ino == b.st_ino &&
		a.st_dev == b.st_dev);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	WANT(fd >= 0 && fstat(fd, &a) == 0 && a.st_ino == b.st_ino);
	close(fd);
	WANT(realpath("/proc/self/exe", link) != NULL && strcmp(link, real) == 0);
}

static int count_objects(struct dl_phdr_info *i, size_t n, void *p)
{
	(void)n;
	WANT(i->dlpi_phnum > 0);
	++*(int *)p;
	return 0;
}

static void stack(void)
{
	pthread_attr_t a;
	void *low;
	size_t size;
	int here;
	struct rlimit r;

	WANT(pthread_getattr_np(pthread_self(), &a) == 0);
	WANT(pthread_attr_getstack(&a, &low, &size) == 0);
	WANT((char *)&here > (char *)low && (char *)&here < (char *)low + size);
	WANT(getrlimit(RLIMIT_STACK, &r) == 0);
	WANT(r.rlim_cur == RLIM_INFINITY || (size <= r.rlim_cur && size + 1048576 > r.rlim_cur));
	pthread_attr_destroy(&a);
}

int main(int argc, char **argv)
{
	(void)argc;
	section("auxv");
	printf("page %lu, ticks %lu, secure %lu, flags %lu\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK),
		getauxval(AT_SECURE), getauxval(AT_FLAGS));
	printf("uid %lu %lu gid %lu %lu\n", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID),
		getauxval(AT_EGID));
	/* Bit 1 of the second word says that wrgsbase may be used; GS base is the runtime's, so that it says no. */
	printf("hwcap %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
	printf("platform %s, execfn %s\n", (char *)getauxval(AT_PLATFORM), (char *)getauxval(AT_EXECFN));
	printf("min signal stack %lu\n", getauxval(AT_MINSIGSTKSZ));
	WANT(getauxval(AT_ENTRY) == (unsigned long)_start);
	WANT(getauxval(AT_PHENT) == sizeof(ElfW(Phdr)));
	const ElfW(Phdr) *ph = (void *)getauxval(AT_PHDR);
	int loads = 0;
	for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
		loads += ph[i].p_type == PT_LOAD;
	WANT(loads > 1);
	const unsigned char *vdso = (void *)getauxval(AT_SYSINFO_EHDR);
	WANT(vdso && memcmp(vdso, ELFMAG, SELFMAG) == 0);
	const unsigned char *base = (void *)getauxval(AT_BASE);
	printf("interpreter %s\n", base ? "mapped" : "none");
	WANT(!base || memcmp(base, ELFMAG, SELFMAG) == 0);
	const unsigned char *rnd = (void *)getauxval(AT_RANDOM);
	int zero = 0;
	for (int i = 0; i < 16; i++)
		zero += rnd[i] == 0;
	WANT(zero < 16);
	section("layout");
	layout(argv);
	section("exe");
	exe(argv[0]);
	section("objects");
	int objects = 0;
	dl_iterate_phdr(count_objects, &objects);
	printf("%d objects\n", objects);
	section("stack");
	stack();
	section("clock");
	struct timespec t1, t2;
	WANT(clock_gettime(CLOCK_MONOTONIC, &t1) == 0 && clock_gettime(CLOCK_MONOTONIC, &t2) == 0);
	WANT(t2.tv_sec > t1.tv_sec || (t2.tv_sec == t1.tv_sec && t2.tv_nsec >= t1.tv_nsec));
	return want_done();
}
