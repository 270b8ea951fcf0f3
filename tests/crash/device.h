/*
 * device: a block device in memory for tests of the volume engine, and the environment around it. It can record every write and flush, so
 * that what a crash leaves can be built afterwards.
 */
#ifndef SCONE_TESTS_DEVICE_H
#define SCONE_TESTS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shield/fs/volume.h"

#define DEVICE_KEY_BYTE 0x5c /* the key of every volume of these tests is this, repeated */

struct device_op {
	bool flush;
	uint64_t off;
	size_t n;
	uint8_t *p; /* of a write: n bytes, owned */
};

struct device {
	uint8_t *p; /* bytes */
	size_t size, cap;
	bool recording;
	struct device_op *ops; /* owned */
	size_t op_count, op_cap;
	uint64_t writes, flushes;
	uint64_t fail_write_after; /* answer -EIO to write number this and later; 0: never */
	/* The environment */
	int64_t now;
	uint64_t random;
	uint64_t faults;
	struct volume_fault first, last;
};

void device_init(struct device *d, uint64_t seed);
void device_free(struct device *d);
/* The content becomes a copy of p. */
void device_set(struct device *d, const uint8_t *p, size_t n);
/* Forget what was recorded. */
void device_forget(struct device *d);
/* Carry out one recorded write (only sectors of 512 bytes whose bit in mask is set, bit 63 for all from the 64th on). */
void device_apply(struct device *d, const struct device_op *op, uint64_t mask);

/* The callbacks of volume.h with d as ctx. Time goes on by a millisecond a call; randomness is the seed's. */
struct volume_env device_env(struct device *d);
extern const uint8_t device_key[VOLUME_KEY_LEN];

/* An arena for limits, of zeros; aborts without memory. */
void *device_arena(const struct volume_limits *l, size_t *ret_len);
void device_arena_free(void *arena, size_t len);
/* volume_open with the smallest cache and max_size. */
int device_open(struct device *d, uint64_t max_size, void *arena, size_t arena_len, bool read_only,
	const struct volume_version *at_least, struct volume **ret, struct volume_open_report *report);

/* xorshift64* */
uint64_t device_next(uint64_t *state);
static inline size_t device_below(uint64_t *state, size_t n)
{
	return n ? (size_t)(device_next(state) % n) : 0;
}

#endif
