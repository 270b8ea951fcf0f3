/*
 * runtime_path: where scone-runtime is.
 */
#ifndef SCONE_CLI_RUNTIME_PATH_H
#define SCONE_CLI_RUNTIME_PATH_H

#include "core/error.h"

/* given if not NULL, else SCONE_RUNTIME, else scone-runtime in the directory of this very program. Fresh storage; NULL with err. Does not
 * look whether the file is there. */
char *runtime_path(const char *given, struct error *err);

#endif
