#include "host/secret_arena.h"

#include <errno.h>
#include <sys/mman.h>
#include "core/secret.h"
#include "host/host.h"

#define PAGE 4096UL

/* In front of every block. */
struct head {
	size_t len; /* of the mapping */
	bool shared;
	char pad[64 - sizeof(size_t) - sizeof(bool)];
};

/* The address, or -errno. */
static long map_secret(size_t len)
{
	long fd = host_call1(SYS_memfd_secret, 0);
	long p;

	if (host_failed(fd))
		return fd;
	p = host_call2(SYS_ftruncate, fd, (long)len);
	if (!host_failed(p))
		p = host_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	host_close((int)fd);
	return p;
}

void *secret_arena_map(size_t len)
{
	long p = map_secret(len);

	return host_failed(p) ? NULL : (void *)p;
}

static long map_private(size_t len)
{
	long p = host_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (host_failed(p))
		return p;
	host_call3(SYS_madvise, p, (long)len, MADV_DONTDUMP);
	host_call2(SYS_mlock, p, (long)len);
	return p;
}

static void unmap(void *p, size_t len)
{
#ifdef __SANITIZE_THREAD__
	munmap(p, len); /* the sanitizer has to see that the addresses serve anew */
#else
	host_munmap(p, len);
#endif
}

void *secret_arena_get(size_t n, bool own)
{
	size_t len = (n + sizeof(struct head) + PAGE - 1) & ~(PAGE - 1);
	long p = own ? -EINVAL : map_secret(len);
	bool shared = !host_failed(p);
	struct head *h;

	if (!shared)
		p = map_private(len);
	if (host_failed(p))
		return NULL;
	h = (struct head *)p;
	h->len = len;
	h->shared = shared;
	return h + 1;
}

void secret_arena_put(void *p, size_t n, bool own)
{
	struct head *h = (struct head *)p - 1;

	if (!h->shared)
		secret_wipe(p, n);
	unmap(h, h->len);
}
