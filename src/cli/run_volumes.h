/*
 * run_volumes: the volumes of `scone run`, made where there are none yet, and its sealed trees, listed for the runtime in a sealed memory file: their keys are in
 * no argument and no variable.
 */
#ifndef SCONE_CLI_RUN_VOLUMES_H
#define SCONE_CLI_RUN_VOLUMES_H

#include "cli/cli.h"

/* *ret_fd: a descriptor that execve keeps; -1: there are no volumes. */
MUST_USE int run_volumes(const struct args *a, int *ret_fd, struct error *err);

#endif
