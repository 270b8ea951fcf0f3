/*
 * hosted: what another process runs, where the kernel knows it as this runtime.
 *
 * The kernel's link /proc/PID/exe of such a process names the runtime. The program's path is read from the process itself, which the kernel
 * allows to whom it allows to trace it; a process that lies about it could as well have been made to run other code in the program's name.
 */
#ifndef SCONE_RUNTIME_HOSTED_H
#define SCONE_RUNTIME_HOSTED_H

#include <stdbool.h>
#include "runtime/place.h"

/* Does the process or thread execute the same file as this one? */
bool hosted_by_us(int pid);
/* Absolute path of its program, as its own /proc/self/exe answers: length of text at ret, or -errno (-ESRCH: gone or not to be read). */
long hosted_program(int pid, char ret[PLACE_PATH_MAX]);

#endif
