/*
 * home: the command line's own directory, $SCONE_HOME or ~/.openscone: identity, list of CAS, session hashes seen.
 *
 * The directory is created with mode 0700 when something is first written. One that others can write, or that belongs to somebody
 * else, is refused. Files are replaced as a whole, so a reader sees the old or the new content; a writer holds the lock meanwhile.
 */
#ifndef SCONE_CLI_HOME_H
#define SCONE_CLI_HOME_H

#include <stdbool.h>
#include "core/buf.h"
#include "core/error.h"

#define HOME_FILE_MAX (4 * 1024 * 1024)

/* Path of the file `name` in the directory ("" gives the directory), for messages and use; fresh storage. NULL with err. */
char *home_path(const char *name, struct error *err);
/* Append the file's content. ERR_NOT_FOUND when there is none. private: refuse a file that others can read. */
MUST_USE int home_read(const char *name, bool private, struct buf *out, struct error *err);
/* Write with mode 0600, synced. exclusive: ERR_EXISTS, and nothing changed, if the file is there already. */
MUST_USE int home_write(const char *name, const void *p, size_t n, bool exclusive, struct error *err);
/* Creates the directory and takes its lock, waiting; -1 with err. Release with close(). */
MUST_USE int home_lock(struct error *err);

#endif
