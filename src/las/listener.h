/*
 * listener: the Unix socket that scone-las answers on.
 */
#ifndef SCONE_LAS_LISTENER_H
#define SCONE_LAS_LISTENER_H

#include <sys/types.h>
#include "core/error.h"

struct listener {
	int fd; /* listening, not blocking, with SO_PASSCRED on */
	const char *path; /* borrowed */
	dev_t dev; /* of the socket file */
	ino_t ino;
};

/* Make the directory of path (and those above it, mode 0755) if absent. */
MUST_USE int listener_make_parents(const char *path, struct error *err);

/*
 * Bind and listen; anybody on the host may connect (mode 0666). A socket file that nobody listens on any more is replaced.
 * ERR_EXISTS: somebody listens there, or the file is no socket. ERR_LIMIT: the path is too long for a socket address.
 */
MUST_USE int listener_open(const char *path, struct listener *ret, struct error *err);

/* Close, and remove the file if it is still ours. */
void listener_close(struct listener *l);

#endif
