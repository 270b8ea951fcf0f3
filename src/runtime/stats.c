#include "runtime/console.h"
#include "runtime/stats.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "core/error.h"

#define STATS_SHOWN 10
#define STATS_PROBES 16
#define LINE_SIZE 512
#define MAPS_BUFFER 16384 /* a line of /proc/self/maps, its path at most PATH_MAX escaped, fits */

struct stats *stats;
static bool printed; /* two threads may end the process at once */

struct hot {
	uint64_t ip, count;
	uint64_t offset; /* in the file, if there is one */
	char name[256]; /* the end of the mapping's name; "" none */
	bool mapped, file;
};

void stats_start(void)
{
	long at = host_mmap(
		NULL, sizeof(struct stats), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!host_failed(at))
		stats = (struct stats *)at;
}

void stats_reset(void)
{
	if (!stats)
		return;
	memset(stats, 0, sizeof(*stats));
	stats_rewritten = 0;
	printed = false;
}

void stats_trap(uint64_t ip)
{
	uint64_t slot = (ip * 0x9e3779b97f4a7c15ULL) >> 52;

	__atomic_fetch_add(&stats->traps, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < STATS_PROBES; i++, slot = (slot + 1) % STATS_SITES) {
		uint64_t seen = 0;

		if (__atomic_compare_exchange_n(
			    &stats->sites[slot].ip, &seen, ip, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
			seen == ip) {
			__atomic_fetch_add(&stats->sites[slot].count, 1, __ATOMIC_RELAXED);
			return;
		}
	}
}

/* The hottest sites, hottest first; answers how many, and how many sites there are in all. Other threads may go on counting. */
static int hottest(struct hot *top, unsigned *ret_sites)
{
	int n = 0;

	*ret_sites = 0;
	for (int i = 0; i < STATS_SITES; i++) {
		uint64_t count = __atomic_load_n(&stats->sites[i].count, __ATOMIC_RELAXED);
		int at;

		if (!count)
			continue;
		++*ret_sites;
		for (at = n; at > 0 && top[at - 1].count < count; at--)
			if (at < STATS_SHOWN)
				top[at] = top[at - 1];
		if (at < STATS_SHOWN)
			top[at] = (struct hot){.ip = stats->sites[i].ip, .count = count};
		if (n < STATS_SHOWN)
			n++;
	}
	return n;
}

/* One line of /proc/self/maps: "from-to perms offset device inode   name". */
static void use_line(char *line, struct hot *top, int n)
{
	unsigned long from, to, offset;
	int name = 0;

	if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %n", &from, &to, &offset, &name) < 3 || !name)
		return;
	for (int i = 0; i < n; i++) {
		size_t len = strlen(line + name);

		if (top[i].ip < from || top[i].ip >= to)
			continue;
		top[i].mapped = true;
		top[i].file = line[name] == '/';
		top[i].offset = top[i].ip - from + offset;
		snprintf(top[i].name, sizeof(top[i].name), "%s",
			line + name + (len < sizeof(top[i].name) ? 0 : len - sizeof(top[i].name) + 1));
	}
}

static void find_mappings(struct hot *top, int n)
{
	static char text[MAPS_BUFFER];
	long fd = host_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0), got;
	size_t have = 0;

	if (host_failed(fd))
		return;
	while ((got = host_read((int)fd, text + have, sizeof(text) - have - 1)) > 0) {
		char *line = text, *end;

		have += (size_t)got;
		text[have] = 0;
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			use_line(line, top, n);
		}
		have -= (size_t)(line - text);
		memmove(text, line, have);
		if (have == sizeof(text) - 1)
			break;
	}
	host_close((int)fd);
}

/* One write a line; what comes from file names drives no terminal. */
static void PRINTF_LIKE(1, 2) say(const char *fmt, ...)
{
	char line[LINE_SIZE];
	int head = snprintf(line, sizeof(line), "scone-runtime: debug: [%d] ", (int)host_call0(SYS_getpid));
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(line + head, sizeof(line) - (size_t)head - 1, fmt, ap);
	va_end(ap);
	n = strlen(line);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	console_log_line(line, n);
}

static void say_site(const struct hot *h)
{
	unsigned long long count = h->count, ip = h->ip;

	if (h->file)
		say("%10llu traps at %s+%#llx", count, h->name, (unsigned long long)h->offset);
	else
		say("%10llu traps at %#llx in %s", count, ip,
			!h->mapped   ? "memory no longer mapped"
			: h->name[0] ? h->name
				     : "memory without a name");
}

void stats_print(void)
{
	struct hot top[STATS_SHOWN];
	unsigned sites;
	uint64_t traps, calls;
	int n;

	if (!stats || __atomic_exchange_n(&printed, true, __ATOMIC_RELAXED))
		return;
	traps = __atomic_load_n(&stats->traps, __ATOMIC_RELAXED);
	calls = __atomic_load_n(&stats_rewritten, __ATOMIC_RELAXED) + traps;
	n = hottest(top, &sites);
	find_mappings(top, n);
	say("%s: %llu system calls: %llu rewritten, %llu trapped at %u sites", runtime.program,
		(unsigned long long)calls, (unsigned long long)(calls - traps), (unsigned long long)traps,
		sites);
	for (int i = 0; i < n; i++)
		say_site(&top[i]);
}
