/*
 * volume_device: a block device for benchmarks of the volume engine: a file, or memory. Used by one program each, so all is static.
 */
#ifndef BENCH_VOLUME_DEVICE_H
#define BENCH_VOLUME_DEVICE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "shield/fs/volume.h"

struct device {
	int fd; /* -1: memory */
	uint8_t *data;
};

static clockid_t clock_id = CLOCK_PROCESS_CPUTIME_ID; /* of memory; CLOCK_MONOTONIC for a file */

static double now(void)
{
	struct timespec t;

	clock_gettime(clock_id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(long r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror((int)-r));
	exit(1);
}

static int dev_read(void *ctx, uint64_t off, void *p, size_t n)
{
	struct device *d = ctx;
	ssize_t r;

	if (d->fd < 0) {
		memcpy(p, d->data + off, n);
		return 0;
	}
	r = pread(d->fd, p, n, (off_t)off);
	return r == (ssize_t)n ? 0 : r < 0 ? -errno : -ENODATA;
}

static int dev_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	struct device *d = ctx;

	if (d->fd < 0) {
		memcpy(d->data + off, p, n);
		return 0;
	}
	return pwrite(d->fd, p, n, (off_t)off) == (ssize_t)n ? 0 : -EIO;
}

static int dev_flush(void *ctx)
{
	struct device *d = ctx;

	return d->fd >= 0 && fdatasync(d->fd) < 0 ? -errno : 0;
}

static int64_t dev_clock(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int dev_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	return getrandom(p, n, 0) == (ssize_t)n ? 0 : -EIO;
}

/* The callbacks; the engine's lock is left out: one thread of one process. */
static struct volume_env device_env(struct device *d)
{
	return (struct volume_env){.ctx = d,
		.read = dev_read,
		.write = dev_write,
		.flush = dev_flush,
		.clock = dev_clock,
		.random = dev_random};
}

#endif
