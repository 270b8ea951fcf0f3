#include "runtime/code.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "runtime/stats.h"
#include "runtime/verified.h"
#include "runtime/x86_64/rewrite.h"
#include "runtime/x86_64/rewrite_cache.h"

#define RANGES_MAX 1024
#define CACHE_BYTES_MAX (8u << 20)
#define PAGE_UP(x) (((x) + 4095) & ~4095ULL)

/* Rewritten mappings; of an attested process, all that are executable. Entries are filled before count admits them; end 0: free. Readers take no lock. */
static struct {
	uint64_t start, end;
} ranges[RANGES_MAX];
static uint32_t range_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool add(uint64_t start, uint64_t end)
{
	uint32_t at = 0;

	while (at < range_count && ranges[at].end)
		at++;
	if (at == RANGES_MAX)
		return false;
	ranges[at].start = start;
	__atomic_store_n(&ranges[at].end, end, __ATOMIC_RELEASE);
	if (at == range_count)
		__atomic_store_n(&range_count, at + 1, __ATOMIC_RELEASE);
	return true;
}

static bool remember(uint64_t start, uint64_t len)
{
	bool ok;

	pthread_mutex_lock(&lock);
	ok = add(start, PAGE_UP(start + len));
	pthread_mutex_unlock(&lock);
	return ok;
}

/* Take [addr, end) out of one range; what is left behind it becomes a range of its own. */
static void cut(uint32_t at, uint64_t addr, uint64_t end)
{
	uint64_t behind = ranges[at].end;

	if (addr <= ranges[at].start && end >= behind) {
		ranges[at].end = 0;
	} else if (addr <= ranges[at].start) {
		__atomic_store_n(&ranges[at].start, end, __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&ranges[at].end, addr, __ATOMIC_RELEASE);
		if (end < behind)
			add(end,
				behind); /* no room: what cannot be remembered may not become executable again */
	}
}

/* What is mapped: content that was verified (the file is of the manifest), or else the file itself. */
struct source {
	int fd;
	off_t off;
	struct stat st;
	struct verified content; /* bytes NULL: none */
	off_t base; /* where the file begins in content.fd */
};

static int plan_of(const struct source *s, size_t len, const struct rewrite_plan **ret)
{
	struct elf_source src = {.fd = s->fd,
		.mem = s->content.bytes,
		.size = s->content.bytes ? s->content.size : (uint64_t)s->st.st_size};

	return rewrite_plan_get_source(src, &s->st, (uint64_t)s->off, len, ret);
}

static long map_source(const struct source *s, void *addr, size_t len, int prot, int flags)
{
	const struct rewrite_plan *plan = NULL;
	bool rewrite = (prot & PROT_EXEC) && !plan_of(s, len, &plan) && plan->count;
	/* What is to be rewritten: writable and not executable yet. */
	long at = host_mmap(addr, len, rewrite ? (prot | PROT_READ | PROT_WRITE) & ~PROT_EXEC : prot, flags,
		s->content.bytes ? s->content.fd : s->fd, s->base + s->off);

	if (host_failed(at)) {
		if (plan)
			rewrite_plan_put(plan);
		return at;
	}
	/* A mapping that cannot be rewritten, or not be remembered, is left to traps: slower, not wrong. */
	if ((prot & PROT_EXEC) && (rewrite || runtime.attested) && remember((uint64_t)at, len) && rewrite &&
		rewrite_apply((void *)at, len, plan, stats_site_entry()) < 0 && !runtime.attested)
		code_forget((uint64_t)at, len);
	if (plan)
		rewrite_plan_put(plan);
	if (rewrite && host_mprotect((void *)at, len, prot)) {
		host_munmap((void *)at, len);
		at = -ENOMEM;
	}
	return at;
}

long code_map(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	struct source s = {.fd = fd, .off = off};
	int got = 0;
	long at;

	if (host_fstat(fd, &s.st) || !S_ISREG(s.st.st_mode))
		return runtime.attested && (prot & PROT_EXEC)
			       ? verified_generated("mmap of what is no regular file")
			       : host_mmap(addr, len, prot, flags, fd, off);
	if (runtime.attested) {
		got = verified_get(fd, &s.st, &s.content);
		if (!got && (prot & PROT_EXEC))
			got = verified_unmeasured(fd);
		if (got < 0)
			return got;
	}
	at = map_source(&s, addr, len, prot, flags);
	if (s.content.bytes)
		verified_put();
	return at;
}

long code_map_sealed(
	void *addr, size_t len, int prot, int flags, const struct code_sealed *content, off_t off)
{
	struct source s = {.fd = content->fd,
		.off = off,
		.st = content->st,
		.content = {.bytes = content->bytes, .size = content->size, .fd = content->fd},
		.base = content->at};

	return map_source(&s, addr, len, prot, flags);
}

int code_may_run(const char *path, int open_fd)
{
	struct stat st;
	struct verified content;
	int fd, rc;

	if (!runtime.attested)
		return 0;
	fd = open_fd >= 0 ? open_fd : (int)host_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	rc = (int)host_fstat(fd, &st);
	if (!rc)
		rc = verified_get(fd, &st, &content);
	if (rc > 0)
		verified_put();
	else if (!rc)
		rc = verified_unmeasured(fd);
	if (open_fd < 0)
		host_close(fd);
	return rc > 0 ? 0 : rc;
}

bool code_covers(uint64_t addr, uint64_t len)
{
	uint32_t n = __atomic_load_n(&range_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t end = __atomic_load_n(&ranges[i].end, __ATOMIC_ACQUIRE);

		if (end && addr >= ranges[i].start && addr + len <= end)
			return true;
	}
	return false;
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
	uint64_t end = PAGE_UP(addr + len);

	pthread_mutex_lock(&lock);
	for (uint32_t i = 0, n = range_count; i < n; i++)
		if (ranges[i].end && addr < ranges[i].end && end > ranges[i].start)
			cut(i, addr, end);
	pthread_mutex_unlock(&lock);
	rewrite_forget((void *)addr, end - addr);
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
	verified_lock();
	pthread_mutex_lock(&lock);
	rewrite_lock();
	rewrite_cache_lock();
}

void code_unlock(void)
{
	rewrite_cache_unlock();
	rewrite_unlock();
	pthread_mutex_unlock(&lock);
	verified_unlock();
}
