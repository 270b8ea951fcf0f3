/*
 * loader: maps the program and its ELF interpreter, makes stack, auxiliary vector and brk area, as the kernel's execve does.
 */
#ifndef SCONE_RUNTIME_LOADER_H
#define SCONE_RUNTIME_LOADER_H

#include "core/error.h"
#include "runtime/launch.h"
#include "runtime/runtime.h"

/* Load l->path (or l->fd, which is closed then); fills r with the program's first registers. host_auxv: the runtime's own auxiliary vector (pairs, AT_NULL at the end). */
MUST_USE int loader_start(
	const struct launch *l, const uint64_t *host_auxv, struct regs *r, struct error *err);

/* The program's break. new_break 0 or out of range: answers the present one. Thread-safe. */
uint64_t loader_brk(uint64_t new_break);

/* Around fork: the child's break must not be locked by a thread that it does not have. */
void loader_lock(void);
void loader_unlock(void);

#endif
