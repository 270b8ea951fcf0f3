/*
 * clock: seconds of a clock that never goes back, not even while the machine sleeps.
 */
#ifndef SCONE_CAS_CLOCK_H
#define SCONE_CAS_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_seconds(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec;
}

#endif
