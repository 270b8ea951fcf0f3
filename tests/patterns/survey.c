/*
 * survey: plan the executable segments of real files and say what became of every `syscall`.
 *
 *   survey [-v] FILE...     a table; -v: one line a refused site
 *   survey --check FILE...  also fail if libc has fewer than 90 % of its sites patched, or a plan takes absurdly long
 *
 * Exit status 77 (skipped) if none of the files is there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "runtime/x86_64/rewrite_cache.h"
#include "runtime/x86_64/rewrite_elf.h"

/* Generous: what it guards against is a quadratic pass, not a busy machine. */
#define ABSURD_MS_BASE 1000.0
#define ABSURD_MS_PER_MIB 100.0
#define LIBC_SHARE_MIN 0.90

static bool verbose, check;
static int failures;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool function_at(void *ctx, uint64_t vaddr, uint64_t *start, uint64_t *end)
{
	return elf_ranges_function(ctx, vaddr, start, end);
}

static void entries(void *ctx, void (*hit)(void *arg, uint64_t vaddr), void *arg)
{
	elf_ranges_entries(ctx, hit, arg);
}

static void trace(void *ctx, uint64_t at, enum rewrite_outcome outcome)
{
	(void)ctx;
	if (outcome > REWRITE_BY_TAIL && outcome != REWRITE_NO_FUNCTION)
		printf("    %#lx %s\n", (unsigned long)at, rewrite_outcome_name(outcome));
}

static void list_refused(int fd, const struct stat *st, const struct elf_segment *seg)
{
	struct elf_source src = {.fd = fd, .size = (uint64_t)st->st_size};
	struct rewrite_text text = {.len = seg->filesz, .vaddr = seg->vaddr};
	struct rewrite_plan *plan;
	uint8_t *bytes = malloc(seg->filesz);
	struct elf_ranges e;

	if (!bytes || elf_ranges_open(&e, src) < 0)
		return;
	text.bytes = bytes;
	if (elf_source_read(&src, seg->off, bytes, seg->filesz) == 0) {
		struct rewrite_code code = {.texts = &text,
			.text_count = 1,
			.to = seg->filesz,
			.function_at = function_at,
			.entries = entries,
			.ctx = &e,
			.trace = trace};

		if (rewrite_plan_code(&code, &plan) == 0)
			free(plan);
	}
	elf_ranges_close(&e);
	free(bytes);
}

static void print_plan(
	const char *path, const struct elf_segment *seg, const struct rewrite_plan *plan, double ms)
{
	uint32_t seen = 0;

	/* Bytes outside every known function are mostly no instructions: they do not count as sites. */
	for (int i = 0; i < REWRITE_OUTCOMES; i++)
		seen += i == REWRITE_NO_FUNCTION ? 0 : plan->outcomes[i];
	printf("%-46s %7.1f MiB %7.1f ms  sites %4u patched %4u:", path, (double)seg->filesz / (1 << 20), ms,
		seen, plan->count);
	for (int i = 0; i < REWRITE_OUTCOMES; i++)
		if (plan->outcomes[i])
			printf("  %s %u", rewrite_outcome_name(i), plan->outcomes[i]);
	printf("\n");
	if (check && ms > ABSURD_MS_BASE + ABSURD_MS_PER_MIB * (double)seg->filesz / (1 << 20)) {
		printf("FAIL: the plan took %.0f ms\n", ms);
		failures++;
	}
	if (check && strstr(path, "/libc.so.6") && plan->count < LIBC_SHARE_MIN * seen) {
		printf("FAIL: %u of %u sites patched, at least %.0f %% wanted\n", plan->count, seen,
			100 * LIBC_SHARE_MIN);
		failures++;
	}
}

static int survey(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_ranges e;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 ||
		elf_ranges_open(&e, (struct elf_source){.fd = fd, .size = (uint64_t)st.st_size}) < 0) {
		close(fd);
		return 0;
	}
	for (size_t i = 0; i < e.seg_count; i++) {
		struct rewrite_plan *plan;
		double t = now_ms();
		int err;

		if (!e.segs[i].exec)
			continue;
		err = rewrite_plan_build(fd, &st, e.segs[i].off, e.segs[i].filesz, &plan);
		if (err < 0) {
			printf("FAIL: %s: %s\n", path, strerror(-err));
			failures++;
			continue;
		}
		print_plan(path, &e.segs[i], plan, now_ms() - t);
		free(plan);
		if (verbose)
			list_refused(fd, &st, &e.segs[i]);
	}
	elf_ranges_close(&e);
	close(fd);
	return 1;
}

int main(int argc, char **argv)
{
	int seen = 0, i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		verbose |= strcmp(argv[i], "-v") == 0;
		check |= strcmp(argv[i], "--check") == 0;
	}
	for (; i < argc; i++)
		seen += survey(argv[i]);
	if (failures)
		return 1;
	return seen ? 0 : 77;
}
