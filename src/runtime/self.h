/*
 * self: the runtime's own executable, for an execve where /proc/self/exe does not lead to it: in a root directory without /proc.
 *
 * The file is mapped before the root directory or what is mounted changes. Where execve finds no /proc, a memory file gets a copy, followed by
 * a trailer that names the descriptor of the state handed over, and is executed by its own descriptor. The successor keeps a mapping of it.
 */
#ifndef SCONE_RUNTIME_SELF_H
#define SCONE_RUNTIME_SELF_H

#include "runtime/runtime.h"

/* Map the executable, once in a process. What fails is found out by self_exec. */
void self_keep(void);
/* Execute the copy with this descriptor of a state (launch.h). Returns only on failure: -ENOENT if nothing is kept, else -errno. */
long self_exec(int state, char *const argv[], char *const envp[]);
/* In the successor: execfn is the name it was executed by. The descriptor of the state, -1 if this is no successor. */
int self_state_fd(const char *execfn);

#endif
