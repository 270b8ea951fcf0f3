#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define K DEVICE_KEY_BYTE
const uint8_t device_key[VOLUME_KEY_LEN] = {
	K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, K};

static void *need(void *p)
{
	if (!p) {
		fputs("no memory\n", stderr);
		abort();
	}
	return p;
}

uint64_t device_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

void device_init(struct device *d, uint64_t seed)
{
	memset(d, 0, sizeof(*d));
	d->random = seed * 0x9e3779b97f4a7c15ull | 1;
	d->now = 1700000000000000000;
}

void device_forget(struct device *d)
{
	for (size_t i = 0; i < d->op_count; i++)
		free(d->ops[i].p);
	d->op_count = 0;
}

void device_free(struct device *d)
{
	device_forget(d);
	free(d->ops);
	free(d->p);
	memset(d, 0, sizeof(*d));
}

static void reach(struct device *d, size_t size)
{
	if (size > d->cap) {
		size_t cap = d->cap ? d->cap : 1 << 20;

		while (cap < size)
			cap *= 2;
		d->p = need(realloc(d->p, cap));
		d->cap = cap;
	}
	if (size > d->size) {
		memset(d->p + d->size, 0, size - d->size);
		d->size = size;
	}
}

void device_set(struct device *d, const uint8_t *p, size_t n)
{
	d->size = 0;
	reach(d, n);
	if (n)
		memcpy(d->p, p, n);
}

static struct device_op *record(struct device *d)
{
	if (d->op_count == d->op_cap) {
		d->op_cap = d->op_cap ? 2 * d->op_cap : 1024;
		d->ops = need(realloc(d->ops, d->op_cap * sizeof(*d->ops)));
	}
	d->ops[d->op_count] = (struct device_op){0};
	return &d->ops[d->op_count++];
}

void device_apply(struct device *d, const struct device_op *op, uint64_t mask)
{
	if (op->flush)
		return;
	reach(d, op->off + op->n);
	for (size_t at = 0, sector = 0; at < op->n; at += 512, sector++)
		if (mask & (uint64_t)1 << (sector < 63 ? sector : 63))
			memcpy(d->p + op->off + at, op->p + at, op->n - at < 512 ? op->n - at : 512);
}

static int device_read(void *ctx, uint64_t off, void *p, size_t n)
{
	struct device *d = ctx;
	size_t have = off >= d->size ? 0 : d->size - off < n ? d->size - off : n;

	if (off % VOLUME_BLOCK || n % VOLUME_BLOCK) {
		fprintf(stderr, "read of %zu bytes at %llu: no whole blocks\n", n, (unsigned long long)off);
		abort();
	}
	if (have == 0 && n)
		return -ENODATA;
	memcpy(p, d->p + off, have);
	memset((uint8_t *)p + have, 0, n - have);
	return 0;
}

static int device_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	struct device *d = ctx;

	if (off % VOLUME_BLOCK || n % VOLUME_BLOCK) {
		fprintf(stderr, "write of %zu bytes at %llu: no whole blocks\n", n, (unsigned long long)off);
		abort();
	}
	d->writes++;
	if (d->fail_write_after && d->writes >= d->fail_write_after)
		return -EIO;
	if (d->recording) {
		struct device_op *op = record(d);

		op->off = off;
		op->n = n;
		op->p = need(malloc(n ? n : 1));
		memcpy(op->p, p, n);
	}
	reach(d, off + n);
	memcpy(d->p + off, p, n);
	return 0;
}

static int device_flush(void *ctx)
{
	struct device *d = ctx;

	d->flushes++;
	if (d->fail_write_after && d->writes + 1 >= d->fail_write_after)
		return -EIO;
	if (d->recording)
		record(d)->flush = true;
	return 0;
}

static int64_t device_clock(void *ctx)
{
	return ((struct device *)ctx)->now += 1000000;
}

static int device_random(void *ctx, void *p, size_t n)
{
	struct device *d = ctx;

	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)(device_next(&d->random) >> 32);
	return 0;
}

static void device_fault(void *ctx, const struct volume_fault *f)
{
	struct device *d = ctx;

	if (d->faults++ == 0)
		d->first = *f;
	d->last = *f;
}

struct volume_env device_env(struct device *d)
{
	return (struct volume_env){.ctx = d,
		.read = device_read,
		.write = device_write,
		.flush = device_flush,
		.clock = device_clock,
		.random = device_random,
		.fault = device_fault};
}

void *device_arena(const struct volume_limits *l, size_t *ret_len)
{
	void *p;

	*ret_len = volume_arena_size(l);
	p = mmap(NULL, *ret_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return need(p == MAP_FAILED ? NULL : p);
}

void device_arena_free(void *arena, size_t len)
{
	(void)munmap(arena, len);
}

int device_open(struct device *d, uint64_t max_size, void *arena, size_t arena_len, bool read_only,
	const struct volume_version *at_least, struct volume **ret, struct volume_open_report *report)
{
	struct volume_env env = device_env(d);
	struct volume_open_options o = {
		.limits = {max_size, VOLUME_CACHE_MIN, 1024}, .read_only = read_only, .at_least = at_least};

	d->faults = 0;
	return volume_open(&env, device_key, arena, arena_len, &o, ret, report);
}
