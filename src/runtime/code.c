#include "runtime/code.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "runtime/x86_64/rewrite.h"
#include "runtime/x86_64/rewrite_cache.h"

#define RANGES_MAX 1024
#define CACHE_BYTES_MAX (8u << 20)

/* Rewritten mappings. Entries are filled before count admits them; end 0: free. Readers take no lock. */
static struct {
	uint64_t start, end;
} ranges[RANGES_MAX];
static uint32_t range_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool remember(uint64_t start, uint64_t len)
{
	uint32_t at = 0;
	bool ok = true;

	pthread_mutex_lock(&lock);
	while (at < range_count && ranges[at].end)
		at++;
	if (at == RANGES_MAX) {
		ok = false;
	} else {
		ranges[at].start = start;
		__atomic_store_n(&ranges[at].end, start + len, __ATOMIC_RELEASE);
		if (at == range_count)
			__atomic_store_n(&range_count, at + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return ok;
}

long code_map(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	const struct rewrite_plan *plan = NULL;
	struct stat st;
	long at;

	if (host_fstat(fd, &st) || !S_ISREG(st.st_mode) ||
		rewrite_plan_get(fd, &st, (uint64_t)off, len, &plan) || !plan->count) {
		if (plan)
			rewrite_plan_put(plan);
		return host_mmap(addr, len, prot, flags, fd, off);
	}
	at = host_mmap(addr, len, (prot | PROT_READ | PROT_WRITE) & ~PROT_EXEC, flags, fd, off);
	if (!host_failed(at)) {
		/* A mapping that cannot be rewritten, or not be remembered, is left to traps: slower, not wrong. */
		if (remember((uint64_t)at, len) && rewrite_apply((void *)at, len, plan, scone_entry) < 0)
			code_forget((uint64_t)at, len);
		if (host_mprotect((void *)at, len, prot)) {
			host_munmap((void *)at, len);
			at = -ENOMEM;
		}
	}
	rewrite_plan_put(plan);
	return at;
}

bool code_overlaps(uint64_t addr, uint64_t len)
{
	uint32_t n = __atomic_load_n(&range_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t end = __atomic_load_n(&ranges[i].end, __ATOMIC_ACQUIRE);

		if (end && addr < end && addr + len > ranges[i].start)
			return true;
	}
	return false;
}

void code_forget(uint64_t addr, uint64_t len)
{
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < range_count; i++)
		if (ranges[i].end && addr <= ranges[i].start && addr + len >= ranges[i].end)
			ranges[i].end = 0;
	pthread_mutex_unlock(&lock);
	rewrite_forget((void *)addr, len);
}

int code_encode(struct buf *out)
{
	struct buf b;

	buf_init(&b, CACHE_BYTES_MAX);
	rewrite_cache_encode(&b);
	if (b.failed)
		buf_reset(&b); /* the successor plans anew */
	buf_put_block(out, b.data, b.len);
	buf_free(&b);
	return out->failed ? -ENOMEM : 0;
}

int code_decode(struct rd *in)
{
	size_t n = 0;
	const uint8_t *p = rd_block(in, CACHE_BYTES_MAX, &n);

	if (!p)
		return -EBADMSG;
	return n ? rewrite_cache_decode(p, n) : 0;
}

void code_lock(void)
{
	pthread_mutex_lock(&lock);
	rewrite_lock();
	rewrite_cache_lock();
}

void code_unlock(void)
{
	rewrite_cache_unlock();
	rewrite_unlock();
	pthread_mutex_unlock(&lock);
}
