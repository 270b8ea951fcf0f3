/*
 * volume_engine: what the volume engine does on one core, against the speed of AES-256-GCM on blocks of the same size in the same run.
 * The device is memory (default; times are those of the processor) or a file (times are elapsed): volume_engine [FILE]. Prints a table; ratios
 * are what counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "bench/volume_device.h"
#include "crypto/aead.h"

#define MIB ((size_t)1 << 20)
#define DEVICE (2560 * MIB)
#define CACHE (256 * MIB)
#define BIG (512 * MIB)

static const uint8_t key[VOLUME_KEY_LEN] = {7};
static double aes; /* bytes a second */

static void bench_aes(void)
{
	static uint8_t in[4096], out[4096];
	uint8_t nonce[12] = {0}, tag[16];
	struct aead *a;
	double best = 1e9;

	if (aead_new(key, &a, NULL) < 0)
		must(-ENOMEM, "AES");
	for (int round = 0; round < 5; round++) {
		double t = now();

		for (uint32_t i = 0; i < 50000; i++) {
			memcpy(nonce, &i, 4);
			must(aead_seal_at(a, nonce, NULL, 0, in, sizeof(in), out, tag), "AES");
		}
		t = now() - t;
		if (t < best)
			best = t;
	}
	aead_free(a);
	aes = 50000.0 * 4096 / best;
	printf("%-44s %9.0f MB/s\n", "AES-256-GCM, 4096 bytes", aes / 1e6);
}

static void rate(const char *what, double bytes, double t)
{
	printf("%-44s %9.0f MB/s  %5.2f of AES-256-GCM\n", what, bytes / t / 1e6, bytes / t / aes);
}

static void each(const char *what, double n, double t)
{
	printf("%-44s %9.2f us\n", what, t / n * 1e6);
}

struct mount {
	struct device dev;
	struct volume_env env;
	struct volume *v;
	void *arena;
	struct volume_open_options o;
};

/* Answers how long volume_open took. */
static double mount(struct mount *m)
{
	size_t len = volume_arena_size(&m->o.limits);
	double t;

	m->arena = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (m->arena == MAP_FAILED)
		must(-ENOMEM, "arena");
	t = now();
	must(volume_open(&m->env, key, m->arena, len, &m->o, &m->v, NULL), "open");
	return now() - t;
}

static void unmount(struct mount *m)
{
	must(volume_close(m->v), "close");
	munmap(m->arena, volume_arena_size(&m->o.limits));
}

static uint64_t make(struct mount *m, uint64_t dir, const char *name)
{
	struct volume_new what = {.mode = S_IFREG | 0600};
	struct volume_attr a;

	must(volume_make(m->v, dir, name, strlen(name), &what, VOLUME_HOLD, &a), "make");
	return a.ino;
}

static void bench_sequential(struct mount *m, const uint8_t *buf, uint8_t *to)
{
	uint64_t ino = make(m, VOLUME_ROOT, "big");
	double t = now();

	for (size_t at = 0; at < BIG; at += MIB)
		must(volume_write(m->v, ino, at, buf, MIB, 0, NULL), "write");
	must(volume_fsync(m->v, ino, false), "fsync");
	rate("sequential write, 1 MiB calls, with fsync", BIG, now() - t);
	unmount(m);
	printf("%-44s %9.2f ms\n", "open", mount(m) * 1e3);
	must(volume_hold(m->v, ino, 0), "hold");
	t = now();
	for (size_t at = 0; at < BIG; at += MIB)
		must(volume_read(m->v, ino, at, to, MIB), "read");
	rate("sequential read, 1 MiB calls, not cached", BIG, now() - t);
	unmount(m);
	mount(m);
	must(volume_hold(m->v, ino, 0), "hold");
	t = now();
	for (size_t at = 0; at < BIG; at += 4096)
		must(volume_read(m->v, ino, at, to, 4096), "read");
	rate("sequential read, 4 KiB calls, not cached", BIG, now() - t);
}

static void bench_random(struct mount *m, const uint8_t *buf, uint8_t *to)
{
	uint64_t ino = make(m, VOLUME_ROOT, "small"), s = 88172645463325252ULL;
	size_t blocks = 64 * MIB / 4096;
	double t;

	for (size_t at = 0; at < blocks * 4096; at += MIB)
		must(volume_write(m->v, ino, at, buf, MIB, 0, NULL), "write");
	must(volume_commit(m->v), "commit");
	for (size_t i = 0; i < blocks; i++)
		must(volume_read(m->v, ino, i * 4096, to, 4096), "read");
	t = now();
	for (int i = 0; i < 1000000; i++) {
		s ^= s << 13, s ^= s >> 7, s ^= s << 17;
		must(volume_read(m->v, ino, s % blocks * 4096, to, 4096), "read");
	}
	each("random read, 4 KiB, cached", 1e6, now() - t);
	t = now();
	for (int i = 0; i < 200000; i++) {
		s ^= s << 13, s ^= s >> 7, s ^= s << 17;
		must(volume_write(m->v, ino, s % blocks * 4096, buf, 4096, 0, NULL), "write");
	}
	each("random write, 4 KiB, no fsync", 2e5, now() - t);
	must(volume_commit(m->v), "commit");
	t = now();
	for (int i = 0; i < 5000; i++) {
		s ^= s << 13, s ^= s >> 7, s ^= s << 17;
		must(volume_write(m->v, ino, s % blocks * 4096, buf, 4096, 0, NULL), "write");
		must(volume_fsync(m->v, ino, true), "fsync");
	}
	each("random write, 4 KiB, with fsync", 5000, now() - t);
}

static void bench_files(struct mount *m, const uint8_t *buf)
{
	struct volume_new what = {.mode = S_IFDIR | 0700};
	struct volume_attr d, a;
	char name[32];
	double t;
	int n = 10000;

	must(volume_make(m->v, VOLUME_ROOT, "files", 5, &what, 0, &d), "make");
	t = now();
	for (int i = 0; i < n; i++) {
		uint64_t ino;

		snprintf(name, sizeof(name), "file-%d", i);
		ino = make(m, d.ino, name);
		must(volume_write(m->v, ino, 0, buf, 2000, 0, NULL), "write");
		must(volume_release(m->v, ino, 1), "release");
	}
	each("create, write 2000 bytes, close", n, now() - t);
	t = now();
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		must(volume_lookup(m->v, d.ino, name, strlen(name), 0, &a), "lookup");
	}
	each("lookup", n, now() - t);
	t = now();
	must(volume_commit(m->v), "commit");
	each("commit of these, a file", n, now() - t);
	t = now();
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		must(volume_unlink(m->v, d.ino, name, strlen(name)), "unlink");
	}
	each("unlink", n, now() - t);
}

static void bench_million(struct mount *m)
{
	struct volume_new what = {.mode = S_IFDIR | 0700};
	struct volume_attr d, a;
	struct volume_verify_cursor c = {.phase = 0};
	char name[32];
	double t;
	int n = 1000000;

	must(volume_make(m->v, VOLUME_ROOT, "million", 7, &what, 0, &d), "make");
	what.mode = S_IFREG | 0600;
	t = now();
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "entry-%d", i);
		must(volume_make(m->v, d.ino, name, strlen(name), &what, 0, NULL), "make");
	}
	each("create, in a directory of 1,000,000", n, now() - t);
	t = now();
	for (int i = 0; i < 200000; i++) {
		snprintf(name, sizeof(name), "entry-%d",
			(int)((unsigned int)i * 2654435761u % (unsigned int)n));
		must(volume_lookup(m->v, d.ino, name, strlen(name), 0, &a), "lookup");
	}
	each("lookup in it, random", 200000, now() - t);
	must(volume_commit(m->v), "commit");
	unmount(m);
	printf("%-44s %9.2f ms\n", "open with it", mount(m) * 1e3);
	t = now();
	must(volume_verify(m->v, &c, NULL, NULL), "verify");
	printf("%-44s %9.2f s, %llu blocks\n", "verify", now() - t, (unsigned long long)c.blocks_done);
}

int main(int argc, char **argv)
{
	struct mount m = {.dev = {.fd = -1}};
	struct volume_create_options c = {.size = DEVICE, .root_mode = 0755};
	struct volume_version ver;
	uint8_t *buf = malloc(2 * MIB), *to = buf + MIB;

	if (!buf)
		return 1;
	memset(buf, 'x', 2 * MIB);
	if (argc > 1) {
		clock_id = CLOCK_MONOTONIC;
		m.dev.fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		must(m.dev.fd < 0 ? -errno : 0, argv[1]);
	} else {
		m.dev.data = mmap(NULL, DEVICE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		must(m.dev.data == MAP_FAILED ? -ENOMEM : 0, "device");
	}
	m.env = device_env(&m.dev);
	m.o.limits = (struct volume_limits){.max_size = DEVICE, .cache = CACHE};
	setvbuf(stdout, NULL, _IOLBF, 0);
	bench_aes();
	must(volume_create(&m.env, key, &c, &ver), "create");
	mount(&m);
	bench_sequential(&m, buf, to);
	bench_random(&m, buf, to);
	bench_files(&m, buf);
	bench_million(&m);
	unmount(&m);
	if (argc > 1)
		unlink(argv[1]);
	free(buf);
	return 0;
}
