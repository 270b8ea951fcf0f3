/* What e2e/code.sh has an attested service try: map, make and execute code. Says "ran" or why not; exit status 0 if it ran. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */

static int refused(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

static int call(void *p)
{
	int (*f)(void);

	memcpy(&f, &p, sizeof(f));
	printf("ran: %d\n", f());
	return 0;
}

static void *memory(int prot)
{
	return mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int at_once(const char *arg)
{
	void *p = memory(PROT_READ | PROT_WRITE | PROT_EXEC);

	if (p == MAP_FAILED)
		return refused("mmap");
	memcpy(p, code, sizeof(code));
	return call(p);
}

static int afterwards(const char *arg)
{
	void *p = memory(PROT_READ | PROT_WRITE);

	memcpy(p, code, sizeof(code));
	return mprotect(p, 4096, PROT_READ | PROT_EXEC) ? refused("mprotect") : call(p);
}

static int by_key(const char *arg)
{
	void *p = memory(PROT_READ | PROT_WRITE);

	memcpy(p, code, sizeof(code));
	return syscall(SYS_pkey_mprotect, p, 4096, PROT_READ | PROT_EXEC, -1) ? refused("pkey_mprotect")
									      : call(p);
}

/* The same memory twice, once to write, once to run. */
static int shared(const char *arg)
{
	int fd = memfd_create("code", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || write(fd, code, sizeof(code)) != sizeof(code))
		return refused("memfd");
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? refused("mmap") : call(p);
}

static int copied(const char *arg)
{
	int fd = memfd_create("code", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || write(fd, code, sizeof(code)) != sizeof(code))
		return refused("memfd");
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? refused("mmap") : call(p);
}

/* Write into measured code. */
static int own(const char *arg)
{
	uintptr_t page = (uintptr_t)&at_once & ~4095ul;

	return mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) ? refused("mprotect")
										: (puts("ran"), 0);
}

/* Other memory where a page of measured code was. */
static int in_place(uint8_t *page)
{
	if (mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
		return refused("mmap");
	memcpy(page, code, sizeof(code));
	return mprotect(page, 4096, PROT_READ | PROT_EXEC) ? refused("mprotect") : call(page);
}

/* Four pages of this program's code, once more. */
static uint8_t *code_pages(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4 * 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		exit(refused("/proc/self/exe"));
	return p;
}

static int over_first(const char *arg)
{
	return in_place(code_pages());
}

static int over_middle(const char *arg)
{
	return in_place(code_pages() + 4096);
}

static int over_last(const char *arg)
{
	return in_place(code_pages() + 3 * 4096);
}

static int unmapped(const char *arg)
{
	uint8_t *p = code_pages();

	return munmap(p + 4096, 4096) ? refused("munmap") : in_place(p + 4096);
}

/* The code moves away; new memory comes to its place without being told to. */
static int moved(const char *arg)
{
	uint8_t *p = code_pages(), *q;

	if (mremap(p, 4 * 4096, 4 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, p - (1 << 24)) == MAP_FAILED)
		return refused("mremap");
	q = mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(q, code, sizeof(code));
	return mprotect(q, 4096, PROT_READ | PROT_EXEC) ? refused("mprotect") : call(q);
}

static int library(const char *path)
{
	void *h = dlopen(path, RTLD_NOW), *f = h ? dlsym(h, "answer") : NULL;

	if (!f) {
		printf("dlopen: %s\n", dlerror());
		return 1;
	}
	return call(f);
}

static int execute(const char *path)
{
	execl(path, path, (char *)NULL);
	return refused("execve");
}

static int child(const char *path)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(library(path));
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return refused("fork");
	fflush(stdout);
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*try)(const char *arg);
	} tries[] = {{"at_once", at_once}, {"afterwards", afterwards}, {"by_key", by_key}, {"shared", shared},
		{"copied", copied}, {"own", own}, {"over_first", over_first}, {"over_middle", over_middle},
		{"over_last", over_last}, {"unmapped", unmapped}, {"moved", moved}, {"library", library},
		{"execute", execute}, {"child", child}};

	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof(tries) / sizeof(*tries); i++)
		if (strcmp(tries[i].name, argv[1]) == 0)
			return tries[i].try(argc > 2 ? argv[2] : NULL);
	return 2;
}
