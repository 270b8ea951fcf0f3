#include "runtime/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define STATS_SHOWN 10

struct stats *stats;

void stats_start(void)
{
	long at = host_mmap(
		NULL, sizeof(struct stats), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!host_failed(at))
		stats = (struct stats *)at;
}

void stats_trap(uint64_t ip)
{
	uint64_t slot = (ip * 0x9e3779b97f4a7c15ULL) >> 52;

	__atomic_fetch_add(&stats->traps, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 16; i++, slot = (slot + 1) % STATS_SITES) {
		uint64_t seen = 0;

		if (__atomic_compare_exchange_n(
			    &stats->sites[slot].ip, &seen, ip, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
			seen == ip) {
			__atomic_fetch_add(&stats->sites[slot].count, 1, __ATOMIC_RELAXED);
			return;
		}
	}
}

void stats_print(void)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "scone-runtime: debug: %s: %llu system calls, %llu trapped\n",
		runtime.program, (unsigned long long)stats->calls, (unsigned long long)stats->traps);

	if (n > 0)
		host_write(2, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	for (int shown = 0; shown < STATS_SHOWN; shown++) {
		int best = 0;

		for (int i = 1; i < STATS_SITES; i++)
			if (stats->sites[i].count > stats->sites[best].count)
				best = i;
		if (!stats->sites[best].count)
			break;
		n = snprintf(line, sizeof(line), "scone-runtime: debug: %10llu traps at %#llx\n",
			(unsigned long long)stats->sites[best].count,
			(unsigned long long)stats->sites[best].ip);
		host_write(2, line, (size_t)n);
		stats->sites[best].count = 0;
	}
}
