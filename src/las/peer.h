/*
 * peer: who is at the other end of a connection, held so that the answer cannot go to another process.
 */
#ifndef SCONE_LAS_PEER_H
#define SCONE_LAS_PEER_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/error.h"
#include "las/memory.h"

struct peer {
	pid_t pid;
	uid_t uid;
	int pidfd; /* the process that called connect(2) */
	int proc; /* its /proc directory: fails for good once it is gone, whoever gets the number next */
	int exe; /* its executable, open for reading */
	int maps; /* its list of mappings: tied to the memory it had when it was opened, and empty once that is gone */
	dev_t dev; /* of the executable */
	ino_t ino;
	struct image image; /* the executable, as lists of mappings name it */
	unsigned long long start; /* when it started, in clock ticks since boot */
	char path[PATH_MAX]; /* of the executable, as /proc says; bytes outside printable ASCII are '?' */
};

/*
 * Identify the peer of a connected Unix socket and open its executable.
 * ERR_PEER: it is gone, cannot be seen from here, is traced by another process, or its executable lies on a FUSE file system,
 * which shows each reader what it likes. ERR_ACCESS: this process lacks the right to look at it.
 */
MUST_USE int peer_open(int conn, struct peer *ret, struct error *err);
void peer_close(struct peer *p);

/*
 * The peer is a runtime that has not begun to host a program, and is so without interruption since peer_open: same executable,
 * same start, no execve in between, one thread, not traced, no handler for SIGSYS, nothing mapped but what memory_check allows.
 * ERR_PEER otherwise. Call it after the executable was found genuine, and again whenever the answer must still hold.
 */
MUST_USE int peer_check(const struct peer *p, struct error *err);

#endif
