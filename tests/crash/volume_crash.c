/*
 * volume_crash: every crash of some workloads.
 *
 *   volume_crash [-f] [SEED [WORKLOAD]]     -f: all prefixes and many more reorderings
 *
 * A workload runs on a device that records each write and flush. For every prefix of the record, the disk as the crash leaves it is built: all
 * writes before the last flush, and of those behind it, all; the last one torn at a sector of 512 bytes; and any subset, in parts, for between
 * two flushes a disk may do them in any order. Each is opened, verified, read and compared with what must be there (model.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "model.h"

#define LOG_SMALL (256u << 10)

struct workload {
	const char *name;
	uint64_t log_bytes;
	void (*run)(struct model *m);
};

static const char *name_of(const char *format, unsigned i)
{
	static char b[4][64];
	static unsigned at;

	at = (at + 1) % 4;
	(void)snprintf(b[at], sizeof(b[at]), "%s%u", format, i);
	return b[at];
}

/* --- workloads --- */

static void run_fsync(struct model *m)
{
	unsigned f = model_make(m, 0, "file", S_IFREG | 0644);

	model_write(m, f, 0, 10000);
	model_fsync(m, f);
	for (unsigned i = 0; i < 12; i++) {
		model_write(m, f, i * 1500, 700);
		if (i % 3 == 2)
			model_fsync(m, f);
	}
	model_truncate(m, f, 3000);
	model_fsync(m, f);
	model_write(m, f, 300000, 5000);
	model_fsync(m, f);
	model_punch(m, f, 0, 8192);
	model_fsync(m, f);
	model_commit(m);
	model_write(m, f, 0, 100000);
	model_fsync(m, f);
}

/* What editors and databases do: write aside, fsync, rename over, fsync the directory. */
static void run_rename(struct model *m)
{
	unsigned d = model_make(m, 0, "d", S_IFDIR | 0755), f;

	for (unsigned i = 0; i < 12; i++) {
		f = model_make(m, d, "config.new", S_IFREG | 0600);
		model_write(m, f, 0, 2000 + 900 * i);
		model_fsync(m, f);
		model_rename(m, d, "config.new", d, "config");
		if (i % 2)
			model_fsync(m, d);
	}
	f = model_make(m, 0, "other", S_IFDIR | 0700);
	model_rename(m, 0, "d", f, "moved");
	model_fsync(m, f);
	model_rename(m, d, "config", 0, "config");
	model_commit(m);
}

static void run_append(struct model *m)
{
	unsigned a = model_make(m, 0, "a.log", S_IFREG | 0644), b = model_make(m, 0, "b.log", S_IFREG | 0644);

	for (unsigned i = 0; i < 40; i++) {
		model_write(m, a, model_size(m, a), 50 + i * 13);
		if (i % 2)
			model_write(m, b, model_size(m, b), 3000);
		model_fsync(m, i % 5 ? a : b);
	}
}

static void run_small_files(struct model *m)
{
	unsigned d = model_make(m, 0, "many", S_IFDIR | 0755), f = 0;

	for (unsigned i = 0; i < 120; i++) {
		f = model_make(m, d, name_of("file", i), S_IFREG | 0644);
		model_write(m, f, 0, 100 + i * 31);
		if (i % 40 == 39)
			model_commit(m);
		else if (i % 17 == 0)
			model_fsync(m, f);
	}
	for (unsigned i = 0; i < 60; i += 2)
		model_unlink(m, d, name_of("file", i));
	model_fsync(m, f);
}

/* Much more than the intent log holds. */
static void run_log_wrap(struct model *m)
{
	unsigned f = model_make(m, 0, "wal", S_IFREG | 0600);

	for (unsigned i = 0; i < 70; i++) {
		model_write(m, f, (i % 20) * 16384, 9000);
		model_fsync(m, f);
	}
}

static void run_directory(struct model *m)
{
	unsigned d = model_make(m, 0, "grows", S_IFDIR | 0755), last = 0;

	for (unsigned i = 0; i < 400; i++) {
		last = model_make(m, d, name_of("an-entry-with-a-name-of-some-length-", i), S_IFREG | 0600);
		if (i % 80 == 79)
			model_fsync(m, last);
	}
	model_commit(m);
	for (unsigned i = 0; i < 400; i++) {
		if (i % 3)
			model_unlink(m, d, name_of("an-entry-with-a-name-of-some-length-", i));
		if (i % 100 == 99)
			model_fsync(m, d);
	}
	for (unsigned i = 0; i < 50; i++)
		(void)model_make(m, d, name_of("again", i), S_IFLNK | 0777);
	model_fsync(m, d);
}

static void run_orphan(struct model *m)
{
	unsigned f[8];

	for (unsigned i = 0; i < 8; i++) {
		f[i] = model_make(m, 0, name_of("gone", i), S_IFREG | 0600);
		model_write(m, f[i], 0, 20000);
	}
	model_commit(m);
	for (unsigned i = 0; i < 8; i++) {
		model_hold(m, f[i]);
		model_unlink(m, 0, name_of("gone", i));
	}
	model_fsync(m, 0);
	for (unsigned i = 0; i < 8; i++)
		model_write(m, f[i], 30000, 5000);
	model_commit(m);
	for (unsigned i = 0; i < 6; i++)
		model_release(m, f[i]);
	model_fsync(m, 0);
	(void)model_make(m, 0, "takes-a-number", S_IFREG | 0600);
	model_commit(m);
	for (unsigned i = 6; i < 8; i++)
		model_release(m, f[i]);
}

static void run_attributes(struct model *m)
{
	unsigned f = model_make(m, 0, "f", S_IFREG | 0600), d = model_make(m, 0, "d", S_IFDIR | 0755);
	char big[3000];

	memset(big, 'x', sizeof(big));
	model_fsync(m, f);
	for (unsigned i = 0; i < 6; i++) {
		model_chmod(m, f, 0600 + i);
		model_xattr(m, f, "user.small", big, 10 + i);
		model_fsync(m, d);
		model_link(m, f, d, name_of("link", i));
		model_xattr(m, d, "user.big", big, 500 * i);
		if (i % 2)
			model_fsync(m, f);
	}
	model_commit(m);
	for (unsigned i = 0; i < 6; i++) {
		model_unlink(m, d, name_of("link", i));
		model_fsync(m, f);
	}
	(void)model_make(m, d, "fifo", S_IFIFO | 0600);
	(void)model_make(m, d, "symlink", S_IFLNK | 0777);
	model_fsync(m, d);
}

/* Names are taken from a few, so that they collide, and files from all that have a name. */
static void run_mixed(struct model *m)
{
	unsigned dirs[3] = {0, model_make(m, 0, "x", S_IFDIR | 0700), model_make(m, 0, "y", S_IFDIR | 0700)};

	for (unsigned i = 0; i < 160; i++) {
		unsigned d = dirs[device_below(&m->random, 3)];
		const struct model_entry *e = &m->entries[device_below(&m->random, m->entry_count)];
		bool regular = S_ISREG(m->nodes[e->node].mode);
		unsigned node = e->node, from = e->dir;
		char name[64];

		(void)snprintf(name, sizeof(name), "%s", e->name);
		switch (device_below(&m->random, 9)) {
		case 0:
		case 1:
			(void)model_make(m, d, name_of("n", i), S_IFREG | 0600);
			break;
		case 2:
		case 3:
			if (regular)
				model_write(m, node, device_below(&m->random, 60000),
					1 + device_below(&m->random, 20000));
			break;
		case 4:
			if (regular)
				model_rename(m, from, name, d,
					name_of("r", (unsigned)device_below(&m->random, 6)));
			break;
		case 5:
			if (regular && device_below(&m->random, 2))
				model_unlink(m, from, name);
			break;
		case 6:
			if (regular)
				model_truncate(m, node, device_below(&m->random, 50000));
			break;
		case 7:
			model_fsync(m, node);
			break;
		default:
			if (device_below(&m->random, 4) == 0)
				model_commit(m);
			else if (regular)
				model_link(m, node, d, name_of("l", i));
		}
	}
}

static const struct workload workloads[] = {{"fsync", 0, run_fsync}, {"rename", 0, run_rename},
	{"append", 0, run_append}, {"small-files", 0, run_small_files}, {"log-wrap", LOG_SMALL, run_log_wrap},
	{"directory", 0, run_directory}, {"orphan", 0, run_orphan}, {"attributes", 0, run_attributes},
	{"mixed", LOG_SMALL, run_mixed}};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

/* --- crashes --- */

struct run {
	struct model m;
	struct device base; /* everything before the last flush */
	struct device disk; /* what the crash leaves */
	size_t flushed; /* operations that base has */
	uint64_t random;
	unsigned long states, full;
	const char *failure;
	char where[200];
};

static void judge(struct run *r, size_t cut, const char *how, bool full)
{
	const char *w;

	if (r->failure)
		return;
	r->states++;
	r->full += full;
	w = model_judge(&r->m, &r->disk, cut, full);
	if (!w)
		return;
	r->failure = w;
	(void)snprintf(r->where, sizeof(r->where), "cut at %zu of %zu device operations, flushed %zu, %s",
		cut, r->m.device.op_count, r->flushed, how);
}

static void start_from_base(struct run *r)
{
	device_set(&r->disk, r->base.p, r->base.size);
}

/* All writes before the cut, the last of them as the mask says. */
static void cut_here(struct run *r, size_t cut, uint64_t mask)
{
	start_from_base(r);
	for (size_t i = r->flushed; i < cut; i++)
		device_apply(&r->disk, &r->m.device.ops[i], i + 1 == cut ? mask : UINT64_MAX);
}

/* Any subset of the writes since the flush, any of them in part. */
static void cut_reordered(struct run *r, size_t cut)
{
	unsigned keep = (unsigned)device_below(&r->random, 4); /* of four */

	start_from_base(r);
	for (size_t i = r->flushed; i < cut; i++) {
		uint64_t mask = device_below(&r->random, 4) ? UINT64_MAX : device_next(&r->random);

		if (device_below(&r->random, 4) <= keep)
			device_apply(&r->disk, &r->m.device.ops[i], mask);
	}
}

static void crash_at(struct run *r, size_t cut, unsigned tears, unsigned orders)
{
	static const char *const torn[] = {"last write torn: first sector only",
		"last write torn: all but the first sector", "last write torn: every other sector"};
	static const uint64_t masks[] = {1, ~(uint64_t)1, 0x5555555555555555ull};
	bool is_write = cut > 0 && !r->m.device.ops[cut - 1].flush;

	cut_here(r, cut, UINT64_MAX);
	judge(r, cut, "in order", cut % 4 == 0);
	for (unsigned i = 0; i < tears && is_write; i++) {
		unsigned k = tears < 3 ? (unsigned)device_below(&r->random, 3) : i % 3;

		cut_here(r, cut, masks[k]);
		judge(r, cut, torn[k], device_below(&r->random, 4) == 0);
	}
	for (unsigned i = 0; i < orders && cut > r->flushed + 1; i++) {
		cut_reordered(r, cut);
		judge(r, cut, "reordered", device_below(&r->random, 4) == 0);
	}
}

/* A crash while the volume recovers from a crash: what is durable stays so. */
static void crash_twice(struct run *r, size_t cut)
{
	struct device second = {0};
	struct volume *v = NULL;
	size_t n;

	cut_reordered(r, cut);
	device_init(&second, cut + 1);
	device_set(&second, r->disk.p, r->disk.size);
	second.recording = true;
	if (device_open(&second, MODEL_SIZE, r->m.arena, r->m.arena_len, false, NULL, &v, NULL) == 0)
		volume_detach(v);
	n = second.op_count ? device_below(&r->random, second.op_count) + 1 : 0;
	for (size_t i = 0; i < n; i++)
		device_apply(&r->disk, &second.ops[i], i + 1 == n ? device_next(&r->random) : UINT64_MAX);
	judge(r, cut, "and again during recovery", false);
	device_free(&second);
}

static void crash_everywhere(struct run *r, bool all)
{
	size_t n = r->m.device.op_count;
	/* The short run takes about a hundred cuts of each workload, others for each seed. */
	size_t step = all || n < 120 ? 1 : n / 120;

	for (size_t cut = 0; cut <= n && !r->failure; cut++) {
		if (cut > 0 && r->m.device.ops[cut - 1].flush) {
			for (; r->flushed < cut; r->flushed++)
				device_apply(&r->base, &r->m.device.ops[r->flushed], UINT64_MAX);
		}
		if (step > 1 && device_below(&r->random, step))
			continue;
		crash_at(r, cut, all ? 3 : 1, all ? 12 : 2);
		if (all || cut % 8 == 0)
			crash_twice(r, cut);
	}
}

static bool run_workload(const struct workload *w, uint64_t seed, bool all)
{
	static struct run r;
	size_t image;
	uint8_t *before;

	memset(&r, 0, sizeof(r));
	r.random = seed * 31 | 1;
	model_begin(&r.m, seed, w->log_bytes);
	image = r.m.device.size;
	before = malloc(image);
	memcpy(before, r.m.device.p, image);
	device_init(&r.base, 1);
	device_init(&r.disk, 2);
	device_set(&r.base, before, image);
	free(before);
	w->run(&r.m);
	model_close(&r.m);
	crash_everywhere(&r, all);
	if (r.failure)
		printf("not ok crash in %s, seed %llu: %s: %s\n", w->name, (unsigned long long)seed, r.where,
			r.failure);
	else
		printf("ok crash in %s: %lu states of %zu device operations, %u operations, seed %llu\n",
			w->name, r.states, r.m.device.op_count, r.m.op_count, (unsigned long long)seed);
	fflush(stdout);
	model_end(&r.m);
	device_free(&r.base);
	device_free(&r.disk);
	return !r.failure;
}

int main(int argc, char **argv)
{
	bool all = argc > 1 && !strcmp(argv[1], "-f");
	uint64_t seed = argc > 1 + all ? strtoull(argv[1 + all], NULL, 10) : 1;
	const char *only = argc > 2 + all ? argv[2 + all] : NULL;
	unsigned passed = 0, failed = 0;

	for (size_t i = 0; i < WORKLOADS; i++) {
		if (only && strcmp(only, workloads[i].name) != 0)
			continue;
		if (run_workload(&workloads[i], seed, all))
			passed++;
		else
			failed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? 1 : 0;
}
