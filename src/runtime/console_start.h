/*
 * console_start: the console shield when an application starts: every descriptor that it has been given is judged by the rules.
 */
#ifndef SCONE_RUNTIME_CONSOLE_START_H
#define SCONE_RUNTIME_CONSOLE_START_H

#include "runtime/console.h"

/* The table is there: take effect in this process. -errno. */
MUST_USE int console_activate(struct process *p);

#endif
