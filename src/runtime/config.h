/*
 * config: from a service's configuration to what the program gets: arguments, environment, directory, files.
 */
#ifndef SCONE_RUNTIME_CONFIG_H
#define SCONE_RUNTIME_CONFIG_H

#include "core/error.h"
#include "shield/fs/injected.h"
#include "wire/attest.h"

/*
 * host_argv: the untrusted command line, element 0 the program, element N the value of @@N. host_env: NAME=VALUE. Both NULL-terminated.
 *
 * Files without content are read from the host here and their templates replaced, in memory only; each file's attributes are taken from
 * the host if it has the path.
 *
 * On success the caller owns everything: argv and env with config_free_strings (they may hold secrets), pwd (NULL: stay) with free, the
 * table (never NULL) with injected_free. -1: an argument of the host is missing or used twice, a value holds a NUL, a file cannot be read,
 * or names a secret that is not there: "FILE:LINE: unknown secret NAME, ...".
 */
MUST_USE int config_apply(const struct service_config *c, char **host_argv, char **host_env, char ***ret_argv,
	char ***ret_env, char **ret_pwd, struct injected_table **ret, struct error *err);
void config_free_strings(char **v); /* wipes; NULL is fine */

#endif
