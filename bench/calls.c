/*
 * calls WHAT N: nanoseconds for one of WHAT, the median of 21 batches of N after one to warm up.
 *   library   getppid through the C library: code from a file, whose system calls the runtime rewrites
 *   memory    getppid from code made in memory: nobody can rewrite it beforehand, the runtime takes a trap
 *   compute   arithmetic and memory without system calls
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 21

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long (*from_memory)(void);
static volatile uint64_t sink;

static void library(long n)
{
	for (long i = 0; i < n; i++)
		sink = (uint64_t)getppid();
}

static void memory(long n)
{
	for (long i = 0; i < n; i++)
		sink = (uint64_t)from_memory();
}

static void compute(long n)
{
	static uint64_t table[4096];
	uint64_t x = 88172645463325252u;

	for (long i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		table[x & 4095] += x * 0x9e3779b97f4a7c15u;
	}
	sink = x ^ table[x & 4095];
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const unsigned char code[] = {
		0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3}; /* mov $110,%eax; syscall; ret */
	static const struct {
		const char *name;
		void (*fn)(long);
	} kinds[] = {{"library", library}, {"memory", memory}, {"compute", compute}};
	double ns[BATCHES];
	long n = argc == 3 ? atol(argv[2]) : 0;

	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || n <= 0) {
		fprintf(stderr, "usage: calls library|memory|compute N\n");
		return 2;
	}
	memcpy(page, code, sizeof(code));
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0) {
		perror("mprotect");
		return 1;
	}
	from_memory = (long (*)(void))(uintptr_t)page;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		if (strcmp(argv[1], kinds[k].name) != 0)
			continue;
		kinds[k].fn(n);
		for (int i = 0; i < BATCHES; i++) {
			uint64_t t = now();
			kinds[k].fn(n);
			ns[i] = (double)(now() - t) / (double)n;
		}
		qsort(ns, BATCHES, sizeof(*ns), by_value);
		printf("%.3f\n", ns[BATCHES / 2]);
		return 0;
	}
	fprintf(stderr, "calls: %s is none of library, memory, compute\n", argv[1]);
	return 2;
}
