/*
 * hwcaps: which processor-specific library subdirectories glibc's ld.so would look into on this processor.
 */
#ifndef SCONE_MEASURE_HWCAPS_H
#define SCONE_MEASURE_HWCAPS_H

#include <stddef.h>
#include <stdint.h>

struct hwcaps {
	unsigned level; /* x86-64 psABI microarchitecture level, 1 to 4 */
	const char *platform; /* $PLATFORM: "x86_64", "haswell" or "xeon_phi" */
	uint64_t legacy; /* glibc's HWCAP_X86 bits: 1 x86_64, 2 avx512_1 */
};

#define HWCAP_BIT_X86_64 (1ul << 1)
#define HWCAP_BIT_AVX512_1 (1ul << 2)

#define HWCAPS_DIRS_MAX 24
#define HWCAPS_DIR_LEN 64

/* Of this processor, and of what the operating system saves and restores. */
void hwcaps_detect(struct hwcaps *ret);

/* Subdirectories in the order ld.so of glibc 2.36 tries them before a directory itself: glibc-hwcaps/x86-64-v4 … then
 * tls, platform and hwcap combinations. Each without slash at either end. Returns how many. */
size_t hwcaps_subdirs(const struct hwcaps *h, char ret[HWCAPS_DIRS_MAX][HWCAPS_DIR_LEN]);

/* Rank of a name below glibc-hwcaps ("x86-64-v3"): 1 is best, 0 is not usable here. */
unsigned hwcaps_rank(const struct hwcaps *h, const char *name);

#endif
