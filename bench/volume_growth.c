/*
 * volume_growth: what a volume costs as it grows: time to open it, memory, time to verify all of it.
 *
 * volume_growth FILE CACHE-MIB MIB FILES: makes a volume in FILE (thrown away afterwards) with one file of MIB and FILES files of 1 KiB in
 * directories of 10,000. The cache is what bounds memory. Prints one line: bytes of FILE in MiB, seconds to fill it, ms to open it, MiB of
 * memory while it is open and was verified, seconds to verify it.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "bench/volume_device.h"

#define MIB ((size_t)1 << 20)
#define PER_DIRECTORY 10000

static const uint8_t key[VOLUME_KEY_LEN] = {7};
static uint8_t data[MIB];

struct growth {
	struct device dev;
	struct volume_env env;
	struct volume_open_options o;
	struct volume *v;
	void *arena;
	size_t arena_len;
};

static void open_volume(struct growth *g)
{
	g->arena_len = volume_arena_size(&g->o.limits);
	g->arena = mmap(NULL, g->arena_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(g->arena == MAP_FAILED ? -ENOMEM : 0, "arena");
	must(volume_open(&g->env, key, g->arena, g->arena_len, &g->o, &g->v, NULL), "open");
}

static void close_volume(struct growth *g)
{
	must(volume_close(g->v), "close");
	munmap(g->arena, g->arena_len);
}

static void fill_file(struct growth *g, size_t mib)
{
	struct volume_new what = {.mode = S_IFREG | 0600};
	struct volume_attr a;

	must(volume_make(g->v, VOLUME_ROOT, "big", 3, &what, VOLUME_HOLD, &a), "make");
	for (size_t i = 0; i < mib; i++)
		must(volume_write(g->v, a.ino, i * MIB, data, MIB, 0, NULL), "write");
	must(volume_release(g->v, a.ino, 1), "release");
}

static void fill_small(struct growth *g, long files)
{
	struct volume_new dir = {.mode = S_IFDIR | 0700}, file = {.mode = S_IFREG | 0600};
	struct volume_attr d = {0}, a;
	char name[32];

	for (long i = 0; i < files; i++) {
		int n;

		if (i % PER_DIRECTORY == 0) {
			n = snprintf(name, sizeof(name), "d%ld", i / PER_DIRECTORY);
			must(volume_make(g->v, VOLUME_ROOT, name, (size_t)n, &dir, 0, &d), "make");
		}
		n = snprintf(name, sizeof(name), "f%ld", i);
		must(volume_make(g->v, d.ino, name, (size_t)n, &file, VOLUME_HOLD, &a), "make");
		must(volume_write(g->v, a.ino, 0, data, 1024, 0, NULL), "write");
		must(volume_release(g->v, a.ino, 1), "release");
	}
}

/* Pages of this process that are in memory, the shared arena's included, in MiB. */
static double memory(void)
{
	unsigned long size, resident;
	FILE *f = fopen("/proc/self/statm", "r");
	int got = f ? fscanf(f, "%lu %lu", &size, &resident) : 0;

	if (f)
		fclose(f);
	must(got == 2 ? 0 : -EIO, "/proc/self/statm");
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / (double)MIB;
}

int main(int argc, char **argv)
{
	struct volume_verify_cursor cursor = {0};
	struct growth g = {0};
	struct volume_create_options c = {.root_mode = 0755};
	struct volume_version version;
	struct stat st;
	double began, filled, opened, verified;

	if (argc != 5)
		return fprintf(stderr, "usage: volume_growth FILE CACHE-MIB MIB FILES\n"), 2;
	clock_id = CLOCK_MONOTONIC;
	c.size = ((uint64_t)atol(argv[3]) + (uint64_t)atol(argv[4]) / 100 + 512) * MIB * 5 / 4;
	g.o.limits = (struct volume_limits){.max_size = c.size, .cache = (size_t)atol(argv[2]) * MIB};
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	g.dev.fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(g.dev.fd < 0 ? -errno : 0, argv[1]);
	g.env = device_env(&g.dev);
	must(volume_create(&g.env, key, &c, &version), "create");
	open_volume(&g);
	began = now();
	fill_file(&g, (size_t)atol(argv[3]));
	fill_small(&g, atol(argv[4]));
	must(volume_commit(g.v), "commit");
	filled = now() - began;
	close_volume(&g);
	began = now();
	open_volume(&g);
	opened = now() - began;
	began = now();
	must(volume_verify(g.v, &cursor, NULL, NULL), "verify");
	verified = now() - began;
	must(fstat(g.dev.fd, &st) ? -errno : 0, "fstat");
	printf("%.0f %.1f %.2f %.1f %.2f\n", (double)st.st_blocks * 512 / (double)MIB, filled, opened * 1e3,
		memory(), verified);
	close_volume(&g);
	unlink(argv[1]);
	return 0;
}
