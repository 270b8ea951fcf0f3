/*
 * loader: maps the program and its ELF interpreter, makes stack, auxiliary vector and brk area, as the kernel's execve does.
 */
#ifndef SCONE_RUNTIME_LOADER_H
#define SCONE_RUNTIME_LOADER_H

#include "core/error.h"
#include "runtime/launch.h"
#include "runtime/runtime.h"

/* What the kernel put on the initial stack for the runtime. */
struct host_start {
	char **argv, **envp;
	const uint64_t *auxv; /* pairs, AT_NULL at the end */
};

/* Load l->path (or l->fd, which is closed then); fills r with the program's first registers. The program gets the initial stack below
 * h->argv: the caller must be on another one. */
MUST_USE int loader_start(
	const struct launch *l, const struct host_start *h, struct regs *r, struct error *err);

/* The program's break. new_break 0 or out of range: answers the present one. Thread-safe. */
uint64_t loader_brk(uint64_t new_break);

/* Around fork: the child's break must not be locked by a thread that it does not have. */
void loader_lock(void);
void loader_unlock(void);

#endif
