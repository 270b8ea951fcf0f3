/*
 * progress: how far a long verb is, on standard error: a bar on a terminal, else a line now and then; nothing for short work. And the
 * signals that ask it to stop.
 */
#ifndef SCONE_CLI_PROGRESS_H
#define SCONE_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what; /* "encrypt" */
	uint64_t total, done; /* bytes */
	uint64_t began, shown; /* ns, monotonic */
	bool terminal, drawn;
};

void progress_begin(struct progress *p, const char *what, uint64_t total);
void progress_set(struct progress *p, uint64_t done);
void progress_end(struct progress *p); /* takes the bar away */
/* "1.5 GiB" */
const char *progress_bytes(uint64_t n, char ret[16]);

/* From now on SIGINT, SIGTERM and SIGHUP only make stop_signal answer their number; a second one of them ends the process. */
void stop_install(void);
int stop_signal(void); /* 0: none */

#endif
