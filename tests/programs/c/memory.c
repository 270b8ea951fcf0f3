/* Address space: mmap and its relatives, brk, malloc, and code made at run time. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "want.h"

#define PAGE 4096ul

static void maps(void)
{
	char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char vec[16];

	WANT(p != MAP_FAILED && p[0] == 0 && p[16 * PAGE - 1] == 0);
	memset(p, 7, 16 * PAGE);
	WANT(mincore(p, 16 * PAGE, vec) == 0 && (vec[0] & 1));
	WANT(munmap(p + 4 * PAGE, 4 * PAGE) == 0);
	FAILS(mincore(p + 4 * PAGE, PAGE, vec), ENOMEM);
	char *hole = p + 4 * PAGE;
	WANT(mmap(hole, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == hole);
	FAILS(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED
			? -1
			: 0,
		EEXIST);
	WANT(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p &&
		p[0] == 0);
	WANT(madvise(p + PAGE, PAGE, MADV_DONTNEED) == 0 && p[PAGE] == 0);
	WANT(mprotect(p, PAGE, PROT_NONE) == 0 && mprotect(p, PAGE, PROT_READ) == 0);
	FAILS(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
	FAILS(mprotect(p + 6 * PAGE, PAGE, PROT_READ), ENOMEM);
	char *q = mremap(p + 8 * PAGE, 8 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	WANT(q != MAP_FAILED && q[0] == 7 && q[8 * PAGE - 1] == 7 && q[8 * PAGE] == 0);
	WANT(mremap(q, 64 * PAGE, PAGE, 0) == q);
	WANT(munmap(q, PAGE) == 0 && munmap(p, 8 * PAGE) == 0);
	FAILS(munmap(p + 1, PAGE), EINVAL);
	int fd = memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	WANT(fd >= 0 && ftruncate(fd, (off_t)PAGE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
	FAILS(ftruncate(fd, 2 * (off_t)PAGE), EPERM);
	close(fd);
	/* A large reservation, as a garbage collector makes it. */
	p = mmap(NULL, 64ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	WANT(p != MAP_FAILED && mprotect(p + (32ul << 30), PAGE, PROT_READ | PROT_WRITE) == 0);
	p[32ul << 30] = 1;
	WANT(munmap(p, 64ul << 30) == 0);
}

static void heap(void)
{
	char *start = sbrk(0);

	WANT(start != (void *)-1 && (uintptr_t)start != 0);
	char *p = sbrk(1 << 20);
	WANT(p == start && sbrk(0) == start + (1 << 20));
	memset(p, 1, 1 << 20);
	WANT(sbrk(-(1 << 20)) == start + (1 << 20) && sbrk(0) == start);
	WANT(sbrk(1 << 20) == start && start[0] == 0 &&
		start[(1 << 20) - 1] == 0); /* given back, so zero again */
	sbrk(-(1 << 20));
	long cur = syscall(SYS_brk, 0);
	WANT(cur == (long)start);
	WANT(syscall(SYS_brk, 1) == cur); /* below the start: unchanged */
	char *big = sbrk(64 << 20);
	WANT(big == start);
	if (big == start) {
		for (size_t i = 0; i < 64ul << 20; i += PAGE)
			big[i] = (char)i;
		sbrk(-(64 << 20));
	}
}

static void allocate(void)
{
	static struct {
		unsigned char *p;
		size_t n;
	} slot[512];
	uint32_t x = 12345;
	uint64_t sum = 0;

	for (int i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		unsigned s = (x >> 8) % 512;
		if (slot[s].p) {
			WANT(slot[s].p[0] == (unsigned char)s &&
				slot[s].p[slot[s].n - 1] == (unsigned char)s);
			free(slot[s].p);
		}
		slot[s].n = 1 + (x >> 4) % (i % 97 == 0 ? 400000 : 3000);
		slot[s].p = malloc(slot[s].n);
		WANT(slot[s].p != NULL);
		memset(slot[s].p, (int)s, slot[s].n < 256 ? slot[s].n : 256);
		slot[s].p[slot[s].n - 1] = (unsigned char)s;
		sum += slot[s].n;
	}
	printf("allocated %llu bytes\n", (unsigned long long)sum);
}

/* Code that did not come from a file: a system call instruction that nobody could see beforehand, then changed in place. */
static void jit(void)
{
	static const unsigned char code[] = {
		0xb8, 39, 0, 0, 0, /* mov $SYS_getpid,%eax */
		0x0f, 0x05, /* syscall */
		0xc3, /* ret */
	};
	unsigned char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long (*fn)(void) = (long (*)(void))(uintptr_t)p;

	WANT(p != MAP_FAILED);
	memcpy(p, code, sizeof(code));
	WANT(mprotect(p, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
	for (int i = 0; i < 100; i++)
		WANT(fn() == getpid());
	WANT(memcmp(p, code, sizeof(code)) == 0); /* the program reads back what it wrote */
	WANT(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
	p[1] = SYS_getppid;
	WANT(mprotect(p, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
	for (int i = 0; i < 100; i++)
		WANT(fn() == getppid());
	WANT(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	/* The same where the instruction ends its page. */
	memcpy(p + PAGE - 7, code, sizeof(code));
	fn = (long (*)(void))(uintptr_t)(p + PAGE - 7);
	for (int i = 0; i < 100; i++)
		WANT(fn() == getpid());
	p[PAGE - 6] = SYS_getppid;
	WANT(fn() == getppid());
	WANT(munmap(p, 2 * PAGE) == 0);
}

/* The same code in a file, mapped executable: what a loader does. */
static void mapped_code(void)
{
	unsigned char page[PAGE];
	static const unsigned char code[] = {
		0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};
	int fd = open("code", O_RDWR | O_CREAT, 0700);

	memset(page, 0xcc, sizeof(page));
	memcpy(page, code, sizeof(code));
	memcpy(page + PAGE - 7, code, 7); /* its ret is in the next page */
	WANT(write(fd, page, sizeof(page)) == (ssize_t)sizeof(page));
	memset(page, 0xc3, sizeof(page));
	WANT(write(fd, page, sizeof(page)) == (ssize_t)sizeof(page));
	unsigned char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	WANT(p != MAP_FAILED);
	for (int i = 0; i < 100; i++) {
		WANT(((long (*)(void))(uintptr_t)p)() == getpid());
		WANT(((long (*)(void))(uintptr_t)(p + PAGE - 7))() == getpid());
	}
	munmap(p, 2 * PAGE);
}

int main(void)
{
	section("maps");
	maps();
	section("heap");
	heap();
	section("allocate");
	allocate();
	section("jit");
	jit();
	section("mapped code");
	mapped_code();
	return want_done();
}
