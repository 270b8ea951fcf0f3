/*
 * launch: what is to be started: program file, arguments, environment, and what a process hands to its successor at execve.
 */
#ifndef SCONE_RUNTIME_LAUNCH_H
#define SCONE_RUNTIME_LAUNCH_H

#include "core/buf.h"
#include "core/error.h"
#include "runtime/runtime.h"

#define LAUNCH_ARGS_MAX                                                                                      \
	(6 * 1024 * 1024) /* bytes of all argument and environment strings, as Linux' upper limit */
#define LAUNCH_STRING_MAX (128 * 1024) /* one string, as Linux' MAX_ARG_STRLEN */

/* RLIMIT_NOFILE; hard is 0: as it is. */
struct launch_limit {
	uint64_t soft, hard;
};

struct launch {
	char *execfn; /* as the caller of execve named it: AT_EXECFN */
	char *path; /* the ELF file to load, after `#!` lines; absolute, symlinks resolved */
	char **argv; /* NULL-terminated, owned, as the program sees them */
	char **envp;
	size_t argc, envc;
	bool by_fd; /* no path leads to the ELF file (memfd, deleted): fd is open on it */
	int fd;
	/* What a predecessor leaves besides, since it cannot stay in the kernel across execve. */
	bool has_sigmask;
	uint64_t sigmask; /* the program's: all is blocked until the successor can take signals */
	uint64_t sigs_ignored; /* bits of those whose kernel action is the runtime's (SIGSET_OWN) */
	struct launch_limit nofile; /* to go back to: raised to have a descriptor left */
};

void launch_free(struct launch *l); /* wipes the strings, closes fd */

/* Find the ELF file behind l->execfn: checks regular file, execute permission, `#!` chain (rewriting argv), ELF header and interpreter,
 * as execve(2) would. dirfd: for a relative execfn. 0 or -errno (ENOENT, EACCES, ENOEXEC, ELOOP, …). */
__attribute__((warn_unused_result)) int launch_resolve(struct launch *l, int dirfd);

/* Append a copy of s to a NULL-terminated vector. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int launch_push(char ***v, size_t *n, const char *s);

/* The state handed over: to a descriptor that survives execve (memfd_secret when secret and available, else a sealed memfd; a pipe where
 * RLIMIT_FSIZE admits neither). Returns the descriptor or -errno. */
int launch_write_state(const struct launch *l, struct process *p);
/* Replace this process' image by a fresh runtime with that state. Returns only on failure, with -errno. */
long exec_hand_over(const struct launch *l, struct process *p);
/* Once a launch with nofile has started. */
void exec_restore_nofile(const struct launch_limit *limit);
/* The descriptor of a predecessor's state, from the name this runtime was executed by; -1: there is no predecessor. */
int exec_state_fd(const char *execfn);
/* Read it back, close it; fills runtime.* flags and the shields of p. 0 or -1. */
MUST_USE int launch_read_state(int fd, struct launch *ret, struct process *p, struct error *err);

#endif
