/*
 * test_cache_threads: several threads ask for the same and for different plans, while others hand the cache over: each gets what it would have got
 * alone. Made for the thread sanitizer, which `make check` runs it under.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/buf.h"
#include "runtime/x86_64/rewrite_cache.h"
#include "runtime/x86_64/rewrite_elf.h"

#define THREADS 6
#define ROUNDS 100

static const char path[] = "/lib64/ld-linux-x86-64.so.2";
static int fd, failures;
static struct stat st;
static uint64_t off;
static size_t len;
static struct rewrite_plan *wanted;
static pthread_barrier_t start;

static void find_code(void)
{
	struct elf_ranges e;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 ||
		elf_ranges_open(&e, (struct elf_source){.fd = fd, .size = (uint64_t)st.st_size}) < 0)
		exit(1);
	for (size_t i = 0; i < e.seg_count; i++)
		if (e.segs[i].exec) {
			off = e.segs[i].off;
			len = e.segs[i].filesz;
		}
	elf_ranges_close(&e);
}

static bool as_wanted(const struct rewrite_plan *p)
{
	return p->len == wanted->len && p->count == wanted->count &&
	       !memcmp(p->sites, wanted->sites, p->count * sizeof p->sites[0]);
}

static void *ask(void *arg)
{
	int n = (int)(long)arg;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		struct stat id = st;
		const struct rewrite_plan *plan = NULL;
		struct buf b;

		/* As many files as there are threads, each asked for by all in turn. */
		id.st_ino += (unsigned)(n + i) % THREADS;
		if (rewrite_plan_get(fd, &id, off, len, &plan) || !as_wanted(plan))
			__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
		if (plan)
			rewrite_plan_put(plan);
		if (i % 25)
			continue;
		buf_init(&b, REWRITE_CACHE_BYTES * 2);
		rewrite_cache_encode(&b);
		if (b.failed || rewrite_cache_decode(b.data, b.len))
			__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
		buf_free(&b);
	}
	return NULL;
}

int main(void)
{
	pthread_t id[THREADS];

	find_code();
	if (rewrite_plan_build(fd, &st, off, len, &wanted) || wanted->count == 0)
		return 1;
	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&id[i], NULL, ask, (void *)(long)i))
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	free(wanted);
	printf("%d failures\n", failures);
	return failures != 0;
}
