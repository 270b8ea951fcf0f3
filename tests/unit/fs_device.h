/*
 * A block device in memory for tests of the volume engine, with a record of what was written and when it was flushed, and a volume on it.
 */
#ifndef TESTS_UNIT_FS_DEVICE_H
#define TESTS_UNIT_FS_DEVICE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "shield/fs/volume.h"

/* One write, or a flush where n is 0. */
struct fs_event {
	uint64_t off;
	size_t n;
	uint8_t *data;
	uint64_t mark; /* of the test: how far its operations were when this happened */
};

struct fs_device {
	uint8_t *data;
	size_t size; /* writes beyond are -ENOSPC */
	bool record;
	struct fs_event *events;
	size_t event_count, event_cap;
	uint64_t mark;
	long fail_after; /* writes and flushes until -EIO; negative: never */
	int64_t now;
	uint64_t discarded; /* bytes */
	unsigned int faults;
	struct volume_fault fault;
	unsigned int published;
	struct volume_version version;
	int publish_error;
};

static inline void fs_event_add(struct fs_device *d, uint64_t off, const void *p, size_t n)
{
	struct fs_event *e;

	if (!d->record)
		return;
	if (d->event_count == d->event_cap) {
		d->event_cap = d->event_cap ? 2 * d->event_cap : 1024;
		d->events = realloc(d->events, d->event_cap * sizeof(*d->events));
		assert_non_null(d->events);
	}
	e = &d->events[d->event_count++];
	*e = (struct fs_event){.off = off, .n = n, .mark = d->mark};
	if (n > 0) {
		e->data = malloc(n);
		assert_non_null(e->data);
		memcpy(e->data, p, n);
	}
}

static inline int fs_read(void *ctx, uint64_t off, void *p, size_t n)
{
	struct fs_device *d = ctx;

	assert_int_equal(off % VOLUME_BLOCK, 0);
	assert_int_equal(n % VOLUME_BLOCK, 0);
	if (off + n > d->size)
		return -ENODATA;
	memcpy(p, d->data + off, n);
	return 0;
}

static inline int fs_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	struct fs_device *d = ctx;

	assert_int_equal(off % VOLUME_BLOCK, 0);
	assert_int_equal(n % VOLUME_BLOCK, 0);
	if (d->fail_after == 0)
		return -EIO;
	if (d->fail_after > 0)
		d->fail_after--;
	if (off + n > d->size)
		return -ENOSPC;
	fs_event_add(d, off, p, n);
	memcpy(d->data + off, p, n);
	return 0;
}

static inline int fs_flush(void *ctx)
{
	struct fs_device *d = ctx;

	if (d->fail_after == 0)
		return -EIO;
	if (d->fail_after > 0)
		d->fail_after--;
	fs_event_add(d, 0, NULL, 0);
	return 0;
}

/* What is not needed any more is spoilt, so that a test sees when it was. */
static inline void fs_discard(void *ctx, uint64_t off, uint64_t n)
{
	struct fs_device *d = ctx;

	assert_true(off % VOLUME_BLOCK == 0 && n % VOLUME_BLOCK == 0 && off + n <= d->size);
	memset(d->data + off, 0xdd, n);
	d->discarded += n;
	fs_event_add(d, off, d->data + off, n);
}

static inline int64_t fs_clock(void *ctx)
{
	struct fs_device *d = ctx;

	return d->now += 1000;
}

static inline int fs_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	return getrandom(p, n, 0) == (ssize_t)n ? 0 : -EIO;
}

static inline int fs_publish(void *ctx, enum volume_event event, const struct volume_version *v)
{
	struct fs_device *d = ctx;

	(void)event;
	assert_true(v->generation > d->version.generation);
	if (d->publish_error)
		return d->publish_error;
	d->published++;
	d->version = *v;
	return 0;
}

static inline void fs_fault(void *ctx, const struct volume_fault *f)
{
	struct fs_device *d = ctx;

	d->faults++;
	d->fault = *f;
}

static const uint8_t fs_key[VOLUME_KEY_LEN] = "0123456789abcdef0123456789abcde";

static inline void fs_device_init(struct fs_device *d, size_t size)
{
	memset(d, 0, sizeof(*d));
	d->size = size;
	d->data =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(d->data, MAP_FAILED);
	d->fail_after = -1;
	d->now = 1700000000000000000;
}

static inline void fs_events_clear(struct fs_device *d)
{
	for (size_t i = 0; i < d->event_count; i++)
		free(d->events[i].data);
	d->event_count = 0;
}

static inline void fs_device_free(struct fs_device *d)
{
	fs_events_clear(d);
	free(d->events);
	munmap(d->data, d->size);
}

static inline struct volume_env fs_env(struct fs_device *d)
{
	return (struct volume_env){.ctx = d,
		.read = fs_read,
		.write = fs_write,
		.flush = fs_flush,
		.discard = fs_discard,
		.clock = fs_clock,
		.random = fs_random,
		.publish = fs_publish,
		.fault = fs_fault};
}

/* A mounted volume and its arena. */
struct fs_mount {
	struct volume *v;
	void *arena;
	size_t arena_len;
	struct volume_open_report report;
};

static inline int fs_try_open(
	struct fs_device *d, struct fs_mount *m, size_t cache, const struct volume_open_options *base)
{
	struct volume_env env = fs_env(d);
	struct volume_open_options o = base ? *base : (struct volume_open_options){.read_only = false};
	int r;

	o.limits.cache = cache;
	if (o.limits.max_size == 0)
		o.limits.max_size = d->size;
	if (o.limits.open_inodes == 0)
		o.limits.open_inodes = 4096;
	m->arena_len = volume_arena_size(&o.limits);
	m->arena = mmap(NULL, m->arena_len, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(m->arena, MAP_FAILED);
	r = volume_open(&env, fs_key, m->arena, m->arena_len, &o, &m->v, &m->report);
	if (r < 0)
		munmap(m->arena, m->arena_len);
	return r;
}

static inline void fs_open(struct fs_device *d, struct fs_mount *m, size_t cache)
{
	int r = fs_try_open(d, m, cache, NULL);

	if (r != 0)
		fail_msg("volume_open: %d, fault: %s", r, d->faults ? d->fault.text : "none");
}

static inline void fs_close(struct fs_mount *m)
{
	assert_int_equal(volume_close(m->v), 0);
	munmap(m->arena, m->arena_len);
}

/* The process is gone; nothing was written at its end. */
static inline void fs_crash(struct fs_mount *m)
{
	volume_detach(m->v);
	munmap(m->arena, m->arena_len);
}

static inline void fs_create(struct fs_device *d, size_t size)
{
	struct volume_env env = fs_env(d);
	struct volume_create_options o = {.size = size, .label = "test", .root_mode = 0755};
	struct volume_version ver;

	fs_device_init(d, size);
	assert_int_equal(volume_create(&env, fs_key, &o, &ver), 0);
	assert_true(ver.generation >= 2);
}

static inline void fs_verify(struct fs_device *d, struct fs_mount *m)
{
	struct volume_verify_cursor c = {.phase = 0};
	int r = volume_verify(m->v, &c, NULL, NULL);

	if (r != 0)
		fail_msg("volume_verify: %d, %llu faults, last: %s", r, (unsigned long long)c.faults,
			d->faults ? d->fault.text : "none");
}

static inline int fs_make(struct fs_mount *m, uint64_t dir, const char *name, uint32_t mode, uint64_t *ret)
{
	struct volume_new what = {.mode = mode, .uid = 1, .gid = 2};
	struct volume_attr a;
	int r = volume_make(m->v, dir, name, strlen(name), &what, 0, &a);

	if (r == 0 && ret)
		*ret = a.ino;
	return r;
}

static inline int fs_look(struct fs_mount *m, uint64_t dir, const char *name, struct volume_attr *a)
{
	return volume_lookup(m->v, dir, name, strlen(name), 0, a);
}

/* Deterministic numbers for tests (xorshift64*). */
static inline uint64_t fs_rand(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL;
}

#endif
