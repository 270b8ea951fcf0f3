/*
 * calls WHAT MS: nanoseconds for one of WHAT, the median of 21 batches of some MS milliseconds each, after some to warm up.
 *   getppid, pread            through the C library: code from a file, whose system calls the runtime rewrites
 *   getppid-memory, pread-memory  from code made in memory: nobody can rewrite it beforehand, the runtime takes a trap
 *   integers, matrix, memory  work without system calls: arithmetic on a small table, products of matrices, reads all over 64 MiB
 * pread reads 4096 bytes of this program's own file, which is in the page cache.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 21
#define SIDE 48
#define WORDS (8 * 1024 * 1024) /* of memory */

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long (*from_memory)(long number, long a, void *b, long c, long d);
static volatile uint64_t sink;
static int file;
static uint64_t *words;
static char page[4096];

static int make_code(void)
{
	/* mov %rdi,%rax; mov %rsi,%rdi; mov %rdx,%rsi; mov %rcx,%rdx; mov %r8,%r10; syscall; ret */
	static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89,
		0xca, 0x4d, 0x89, 0xc2, 0x0f, 0x05, 0xc3};
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	memcpy(p, code, sizeof(code));
	from_memory = (long (*)(long, long, void *, long, long))(uintptr_t)p;
	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int make_words(void)
{
	words = mmap(
		NULL, WORDS * sizeof(*words), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		return -1;
	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = i * 0x9e3779b97f4a7c15u;
	return 0;
}

static int open_file(void)
{
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return file < 0 || pread(file, page, sizeof(page), 0) != sizeof(page) ? -1 : 0;
}

static int open_and_make(void)
{
	return open_file() || make_code() ? -1 : 0;
}

static void getppid_library(long n)
{
	for (long i = 0; i < n; i++)
		sink = (uint64_t)getppid();
}

static void getppid_memory(long n)
{
	for (long i = 0; i < n; i++)
		sink = (uint64_t)from_memory(SYS_getppid, 0, NULL, 0, 0);
}

static void pread_library(long n)
{
	for (long i = 0; i < n; i++)
		sink = (uint64_t)pread(file, page, sizeof(page), 0);
}

static void pread_memory(long n)
{
	for (long i = 0; i < n; i++)
		sink = (uint64_t)from_memory(SYS_pread64, file, page, sizeof(page), 0);
}

static void integers(long n)
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

static void matrix(long n)
{
	static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];

	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++) {
			a[i][j] = i + 1.0 / (j + 1);
			b[i][j] = j - 1.0 / (i + 1);
		}
	for (long round = 0; round < n; round++) {
		for (int i = 0; i < SIDE; i++)
			for (int k = 0; k < SIDE; k++)
				for (int j = 0; j < SIDE; j++)
					c[i][j] += a[i][k] * b[k][j];
		a[0][0] = c[SIDE - 1][SIDE - 1] > 1e100 ? 1 : 1.5;
	}
	sink = (uint64_t)c[0][0];
}

static void memory(long n)
{
	uint64_t x = 1;

	for (long i = 0; i < n; i++)
		x = words[(x >> 20) % WORDS] + x * 6364136223846793005u + 1442695040888963407u;
	sink = x;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* How many fill a batch. */
static long batch_of(void (*fn)(long), uint64_t ns)
{
	for (long n = 16;; n *= 2) {
		uint64_t t = now(), took;

		fn(n);
		took = now() - t;
		if (took >= ns / 4)
			return (long)((double)n * (double)ns / (double)took) + 1;
	}
}

static double median_ns(void (*fn)(long), long ms)
{
	long n = batch_of(fn, (uint64_t)ms * 1000000u);
	double ns[BATCHES];

	for (int i = 0; i < BATCHES; i++) {
		uint64_t t = now();
		fn(n);
		ns[i] = (double)(now() - t) / (double)n;
	}
	qsort(ns, BATCHES, sizeof(*ns), by_value);
	return ns[BATCHES / 2];
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(long);
		int (*prepare)(void);
	} kinds[] = {{"getppid", getppid_library, NULL}, {"getppid-memory", getppid_memory, make_code},
		{"pread", pread_library, open_file}, {"pread-memory", pread_memory, open_and_make},
		{"integers", integers, NULL}, {"matrix", matrix, NULL}, {"memory", memory, make_words}};
	long ms = argc == 3 ? atol(argv[2]) : 0;

	for (unsigned k = 0; ms > 0 && k < sizeof(kinds) / sizeof(*kinds); k++) {
		if (strcmp(argv[1], kinds[k].name) != 0)
			continue;
		if (kinds[k].prepare && kinds[k].prepare()) {
			perror(argv[1]);
			return 1;
		}
		printf("%.3f\n", median_ns(kinds[k].fn, ms));
		return 0;
	}
	fprintf(stderr, "usage: calls WHAT MS, MS above 0, WHAT one of");
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
		fprintf(stderr, " %s", kinds[k].name);
	fprintf(stderr, "\n");
	return 2;
}
