/*
 * stats: how many calls came by a rewritten site and how many by a trap, and which sites trap most. Shown when a process exits, with
 * SCONE_LOG=debug; a process that a signal ends shows nothing. What counts is in use only then: rewritten sites lead to stats_entry instead
 * of scone_entry, and the SIGSYS handler looks at the pointer.
 */
#ifndef SCONE_RUNTIME_STATS_H
#define SCONE_RUNTIME_STATS_H

#include <stdint.h>
#include "runtime/runtime.h"

#define STATS_SITES 4096 /* hash table of trapping sites; what finds no place is counted without its site */

struct stats {
	uint64_t traps;
	struct {
		uint64_t ip; /* of the syscall instruction; 0: free */
		uint64_t count;
	} sites[STATS_SITES];
};
extern struct stats *stats; /* NULL unless counting */

/* x86_64/stats_entry.S: scone_entry that counts in stats_rewritten. Same contract. */
void stats_entry(void);
extern uint64_t stats_rewritten;

/* Where rewritten sites are to lead. */
static inline void (*stats_site_entry(void))(void)
{
	return stats ? stats_entry : scone_entry;
}

void stats_start(void); /* before code of the program is mapped */
void stats_trap(uint64_t ip); /* async-signal-safe; only while counting */
void stats_reset(void); /* in the child of a fork: its calls are its own */
void stats_print(void); /* to stderr, if counting */

#endif
