/*
 * Crashes at every write: the device records what a workload writes and flushes; each prefix of that, each with writes after the last flush left out or
 * torn, must open, verify, and hold everything that was fsynced before.
 */
#include "fs_device.h"

#define MIB (1u << 20)
#define SIZE (12 * MIB)
#define NAMES 6
#define STEPS 48
#define BLOCKS 40

/* What is durable when step i has been acknowledged. */
struct point {
	size_t events; /* recorded by then */
	unsigned int version[NAMES]; /* of each file: the step that wrote it, 0: none */
	unsigned int block[BLOCKS]; /* of the file that is changed in place */
};

struct work {
	struct fs_device d;
	struct fs_mount m;
	uint8_t *base; /* device before the first recorded event */
	struct point point[STEPS + 1];
	uint64_t seed;
};

static size_t size_of(unsigned int step)
{
	return step % 5 == 4 ? 700000 + step : 100 + step * 937;
}

static void pattern(uint8_t *p, size_t n, unsigned int step)
{
	uint64_t s = step * 7919u + 1;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = fs_rand(&s);

		memcpy(p + i, &v, n - i < 8 ? n - i : 8);
	}
}

/* Replace a file as careful programs do. */
static void replace(struct work *w, unsigned int step)
{
	static uint8_t p[MIB];
	char name[8];
	uint64_t ino = 0;

	pattern(p, size_of(step), step);
	assert_int_equal(fs_make(&w->m, VOLUME_ROOT, "temporary", S_IFREG | 0600, &ino), 0);
	assert_int_equal(volume_write(w->m.v, ino, 0, p, size_of(step), 0, NULL), size_of(step));
	assert_int_equal(volume_fsync(w->m.v, ino, false), 0);
	snprintf(name, sizeof(name), "f%u", step % NAMES);
	assert_int_equal(
		volume_rename(w->m.v, VOLUME_ROOT, "temporary", 9, VOLUME_ROOT, name, strlen(name), 0), 0);
}

/* Things nobody waits for. */
static void noise(struct work *w, unsigned int step, uint64_t dir)
{
	static uint8_t p[300000];
	char name[32];
	uint64_t ino = 0;

	for (unsigned int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "noise %u.%u", step, i);
		assert_int_equal(fs_make(&w->m, dir, name, S_IFREG | 0600, &ino), 0);
		assert_true(volume_write(w->m.v, ino, 0, p, i == 3 ? sizeof(p) : 100, 0, NULL) > 0);
		if (step < 3)
			continue;
		snprintf(name, sizeof(name), "noise %u.%u", step - 2, i);
		assert_int_equal(volume_unlink(w->m.v, dir, name, strlen(name)), 0);
	}
}

static void record(struct work *w)
{
	static uint8_t p[4096];
	uint64_t dir = 0, place = 0;

	assert_int_equal(fs_make(&w->m, VOLUME_ROOT, "noise", S_IFDIR | 0700, &dir), 0);
	assert_int_equal(fs_make(&w->m, VOLUME_ROOT, "place", S_IFREG | 0600, &place), 0);
	assert_int_equal(volume_truncate(w->m.v, place, BLOCKS * 4096), 0);
	assert_int_equal(volume_fsync(w->m.v, place, false), 0);
	memcpy(w->base, w->d.data, SIZE);
	w->d.record = true;
	for (unsigned int step = 1; step <= STEPS; step++) {
		struct point *now = &w->point[step];
		unsigned int b = (step * 17) % BLOCKS;

		*now = w->point[step - 1];
		now->version[step % NAMES] = step;
		now->block[b] = step;
		noise(w, step, dir);
		replace(w, step);
		memset(p, (int)step, sizeof(p));
		assert_int_equal(
			volume_write(w->m.v, place, (uint64_t)b * 4096, p, sizeof(p), 0, NULL), sizeof(p));
		if (step % 11 == 0)
			assert_int_equal(volume_commit(w->m.v), 0);
		else
			assert_int_equal(volume_fsync(w->m.v, place, step % 2), 0);
		now->events = w->d.event_count;
	}
	fs_close(&w->m);
	w->d.record = false;
}

static void check_file(struct fs_mount *m, unsigned int name, unsigned int version, unsigned int next)
{
	static uint8_t p[MIB], q[MIB];
	struct volume_attr a;
	char text[8];
	int r;

	snprintf(text, sizeof(text), "f%u", name);
	r = fs_look(m, VOLUME_ROOT, text, &a);
	if (r == -ENOENT && version == 0)
		return;
	assert_int_equal(r, 0);
	assert_int_equal(volume_read(m->v, a.ino, 0, q, sizeof(q)), a.size);
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int v = i ? next : version;

		if (v == 0 || v % NAMES != name)
			continue;
		pattern(p, size_of(v), v);
		if (a.size == size_of(v) && memcmp(p, q, a.size) == 0)
			return;
	}
	fail_msg("f%u is neither of step %u nor of %u", name, version, next);
}

static void check_place(struct fs_mount *m, const struct point *p, unsigned int next)
{
	static uint8_t q[BLOCKS * 4096];
	struct volume_attr a;

	assert_int_equal(fs_look(m, VOLUME_ROOT, "place", &a), 0);
	assert_int_equal(volume_read(m->v, a.ino, 0, q, sizeof(q)), sizeof(q));
	for (unsigned int b = 0; b < BLOCKS; b++)
		for (unsigned int i = 0; i < 4096; i++)
			if (q[b * 4096 + i] != p->block[b] &&
				!((next * 17) % BLOCKS == b && q[b * 4096 + i] == next))
				fail_msg("byte %u of block %u is %u, wanted %u", i, b, q[b * 4096 + i],
					p->block[b]);
}

/* Open what the device holds and compare with what was durable at least after `events` events. */
static void check_state(struct work *w, struct fs_device *d, size_t events, bool verify)
{
	const struct point *p = &w->point[0];
	unsigned int step = 0;
	struct fs_mount m;

	while (step < STEPS && w->point[step + 1].events <= events)
		p = &w->point[++step];
	fs_open(d, &m, VOLUME_CACHE_MIN);
	for (unsigned int i = 0; i < NAMES; i++)
		check_file(&m, i, p->version[i], step + 1);
	check_place(&m, p, step + 1);
	if (verify)
		fs_verify(d, &m);
	fs_close(&m);
	d->version.generation = 0;
}

static void setup(struct work *w)
{
	memset(w, 0, sizeof(*w));
	w->seed = 42;
	w->base = malloc(SIZE);
	fs_create(&w->d, SIZE);
	fs_open(&w->d, &w->m, VOLUME_CACHE_MIN);
	record(w);
}

static void teardown(struct work *w)
{
	fs_device_free(&w->d);
	free(w->base);
}

static void apply(uint8_t *to, const struct fs_event *e, size_t n)
{
	if (e->n > 0)
		memcpy(to + e->off, e->data, n);
}

static void test_prefixes(void **state)
{
	struct work *w = malloc(sizeof(*w));
	struct fs_device d;
	uint8_t *image = malloc(SIZE);

	setup(w);
	fs_device_init(&d, SIZE);
	memcpy(image, w->base, SIZE);
	print_message("%zu events\n", w->d.event_count);
	for (size_t k = 0; k <= w->d.event_count; k++) {
		memcpy(d.data, image, SIZE);
		check_state(w, &d, k, k % 4 == 0);
		if (k == w->d.event_count)
			break;
		/* the next write half done: at each of two places */
		if (w->d.events[k].n > 0) {
			memcpy(d.data, image, SIZE);
			apply(d.data, &w->d.events[k], (fs_rand(&w->seed) % (w->d.events[k].n / 512)) * 512);
			check_state(w, &d, k, k % 16 == 0);
		}
		apply(image, &w->d.events[k], w->d.events[k].n);
	}
	fs_device_free(&d);
	teardown(w);
	free(image);
	free(w);
}

/* Of the writes since the last flush any may be there and any may not, whatever their order. */
static void test_reorderings(void **state)
{
	struct work *w = malloc(sizeof(*w));
	struct fs_device d;
	uint8_t *durable = malloc(SIZE);
	size_t flushed = 0;

	setup(w);
	fs_device_init(&d, SIZE);
	memcpy(durable, w->base, SIZE);
	for (size_t k = 0; k < w->d.event_count; k++) {
		if (w->d.events[k].n > 0 && k + 1 < w->d.event_count)
			continue;
		/* events flushed .. k-1 are not durable before event k, a flush */
		for (unsigned int round = 0; k - flushed > 1 && round < 3; round++) {
			memcpy(d.data, durable, SIZE);
			for (size_t i = flushed; i < k; i++)
				if (fs_rand(&w->seed) % 2)
					apply(d.data, &w->d.events[i],
						fs_rand(&w->seed) % 4 ? w->d.events[i].n
								      : w->d.events[i].n / 1024 * 512);
			check_state(w, &d, flushed, round == 0);
		}
		for (; flushed <= k; flushed++)
			apply(durable, &w->d.events[flushed], w->d.events[flushed].n);
	}
	fs_device_free(&d);
	teardown(w);
	free(durable);
	free(w);
}

/* A crash while recovering from a crash. */
static void test_twice(void **state)
{
	struct work *w = malloc(sizeof(*w));
	struct fs_device d, e;
	struct fs_mount m;
	uint8_t *image = malloc(SIZE);

	setup(w);
	fs_device_init(&d, SIZE);
	fs_device_init(&e, SIZE);
	memcpy(image, w->base, SIZE);
	for (size_t k = 0; k < w->d.event_count; k++) {
		apply(image, &w->d.events[k], w->d.events[k].n);
		if (k % 29 != 7)
			continue;
		memcpy(d.data, image, SIZE);
		d.record = true;
		fs_events_clear(&d);
		fs_open(&d, &m, VOLUME_CACHE_MIN);
		fs_crash(&m);
		d.record = false;
		d.version.generation = 0;
		for (size_t i = 0; i <= d.event_count; i++) {
			memcpy(e.data, image, SIZE);
			for (size_t j = 0; j < i; j++)
				apply(e.data, &d.events[j], d.events[j].n);
			check_state(w, &e, k + 1, i % 8 == 0);
		}
	}
	fs_device_free(&d);
	fs_device_free(&e);
	teardown(w);
	free(image);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_reorderings),
		cmocka_unit_test(test_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
