/*
 * stats: how many calls came by a trap and how many by a rewritten site. Shown at exit with SCONE_LOG=debug.
 */
#ifndef SCONE_RUNTIME_STATS_H
#define SCONE_RUNTIME_STATS_H

#include <stdint.h>
#include "runtime/runtime.h"

#define STATS_SITES 4096 /* hash table of trapping sites; a full table stops counting new ones */

struct stats {
	uint64_t calls;
	uint64_t traps;
	struct {
		uint64_t ip;
		uint64_t count;
	} sites[STATS_SITES];
};
extern struct stats *stats; /* NULL unless counting */

static inline void stats_count(const struct regs *r)
{
	if (__builtin_expect(stats != NULL, 0))
		__atomic_fetch_add(&stats->calls, 1, __ATOMIC_RELAXED);
}

void stats_trap(uint64_t ip); /* async-signal-safe */
void stats_start(void);
void stats_print(void); /* to stderr */

#endif
