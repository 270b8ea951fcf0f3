/* progress: see progress.h. */
#include "cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define BAR 30

static volatile sig_atomic_t signal_seen;

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

const char *progress_bytes(uint64_t n, char ret[16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)n;
	unsigned u = 0;

	for (; v >= 1024 && u < 5; u++)
		v /= 1024;
	(void)snprintf(ret, 16, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return ret;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
	*p = (struct progress){
		.what = what, .total = total, .began = now(), .terminal = isatty(STDERR_FILENO)};
	p->shown = p->began;
}

static void draw(struct progress *p, uint64_t t)
{
	double part = p->total ? (double)p->done / (double)p->total : 0,
	       seconds = (double)(t - p->began) / SECOND;
	char bar[BAR + 1], done[16], total[16], speed[16];

	part = part > 1 ? 1 : part;
	memset(bar, '.', BAR);
	memset(bar, '#', (size_t)(part * BAR));
	bar[BAR] = '\0';
	progress_bytes(p->done, done);
	progress_bytes(p->total, total);
	progress_bytes((uint64_t)((double)p->done / seconds), speed);
	if (!p->terminal) {
		fprintf(stderr, "scone: %s: %.0f %%, %s of %s\n", p->what, part * 100, done, total);
		return;
	}
	fprintf(stderr, "\r%s [%s] %3.0f %%  %s of %s  %s/s", p->what, bar, part * 100, done, total, speed);
	if (part > 0.01) {
		unsigned left = (unsigned)(seconds * (1 - part) / part);

		fprintf(stderr, "  %u:%02u left", left / 60, left % 60);
	}
	fputs("\033[K", stderr);
	p->drawn = true;
}

void progress_set(struct progress *p, uint64_t done)
{
	uint64_t t = now();

	p->done = done;
	if (t - p->shown < (p->terminal ? SECOND / 5 : 10 * SECOND))
		return;
	p->shown = t;
	draw(p, t);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}

static void on_signal(int sig)
{
	signal_seen = sig;
}

void stop_install(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
}

int stop_signal(void)
{
	return signal_seen;
}
