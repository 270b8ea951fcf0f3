/*
 * proc_path: names under /proc that mean this very process.
 */
#ifndef SCONE_RUNTIME_PROC_PATH_H
#define SCONE_RUNTIME_PROC_PATH_H

#include <stdbool.h>

/* "/proc/self/exe", "/proc/thread-self/exe", "/proc/PID/exe" or "/proc/self/task/TID/exe" of this process? */
bool proc_path_is_exe(const char *path);

/* "/proc/PID/exe" or "/proc/PID/task/TID/exe" of another process: PID, else 0. path is normalised. */
int proc_path_other_exe(const char *path);

/* The rest of a path below this process' /proc directory ("exe", "fd/3", "task/…/exe" gives "exe"); NULL if it is elsewhere. */
const char *proc_path_own(const char *path);

#endif
