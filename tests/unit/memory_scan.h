/*
 * memory_scan: is a secret still anywhere in this process? Included by one test file, after cmocka.h.
 *
 * The secret is given masked, so that what describes it is not found itself. Give a piece from its middle: the allocator
 * writes its own pointers over the first bytes of a block that was freed.
 */
#ifndef SCONE_TESTS_MEMORY_SCAN_H
#define SCONE_TESTS_MEMORY_SCAN_H

#include <stdbool.h>
#include <stdio.h>

#define MASK 0x5a

/* Does the marker, given masked so that this text is not found itself, lie anywhere in writable memory? Reads freed blocks
 * and red zones on purpose. */
__attribute__((no_sanitize("address", "undefined", "thread"), noinline)) static bool in_range_of_memory(
	const uint8_t *from, const uint8_t *to, const uint8_t *masked, size_t n)
{
	for (; from + n <= to; from++) {
		size_t i = 0;

		while (i < n && from[i] == (uint8_t)(masked[i] ^ MASK))
			i++;
		if (i == n)
			return true;
	}
	return false;
}

static bool in_memory(const uint8_t *masked, size_t n)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512], mode[5];
	bool found = false;

	assert_non_null(maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[0] != 'r' || mode[1] != 'w')
			continue;
		if (to - from > (256ul << 20)) /* the sanitizer's shadow */
			continue;
		found = in_range_of_memory((const uint8_t *)from, (const uint8_t *)to, masked, n);
	}
	fclose(maps);
	return found;
}

static inline void mask(const void *p, size_t n, uint8_t *masked)
{
	for (size_t i = 0; i < n; i++)
		masked[i] = ((const uint8_t *)p)[i] ^ MASK;
}

#endif
