/*
 * place: what a path of the program means: the host's file, an injected file, the program's own image, or something it may not have.
 *
 * A path is compared by name, after its directory has been resolved by the kernel, and by identity of what the host has there, so that
 * other names of the same file (links, /proc/self/fd/N, /dev/stdin) lead to the same place.
 */
#ifndef SCONE_RUNTIME_PLACE_H
#define SCONE_RUNTIME_PLACE_H

#include <sys/stat.h>
#include "runtime/runtime.h"

#define PLACE_PATH_MAX 4096

enum place_kind {
	PLACE_HOST, /* pass to the host */
	PLACE_FILE, /* injected file id */
	PLACE_PROGRAM, /* a /proc name of a running program's image: runtime.program if id is 0, else that of process id */
	PLACE_REFUSED, /* -EACCES */
};

struct place {
	enum place_kind kind;
	uint32_t id;
	bool link; /* named through a link of /proc */
};

enum place_flags {
	PLACE_NOFOLLOW = 1, /* a link at the end is meant itself */
	PLACE_EMPTY = 2, /* an empty path means the descriptor */
	PLACE_READLINK = 4, /* as NOFOLLOW, but links of /proc answer where they lead */
};

/* By name alone: enough for callers that ask the host next and then use place_of_inode and place_of_dangling. */
struct place place_named(struct thread *t, int dirfd, const char *path, unsigned flags);
/* What is behind a host file that the kernel found. */
struct place place_of_inode(struct thread *t, uint64_t dev, uint64_t ino);
/* The host has no such file: is it a link to one that exists in memory only? */
struct place place_of_dangling(struct thread *t, int dirfd, const char *path);
/* All of these: one stat more than the call itself. */
struct place place_find(struct thread *t, int dirfd, const char *path, unsigned flags);
/* What the kernel says a descriptor leads to, as readlink of /proc/self/fd does: length of the text at ret, NUL behind it, or -errno. */
long place_fd_path(int fd, char ret[PLACE_PATH_MAX]);

#endif
