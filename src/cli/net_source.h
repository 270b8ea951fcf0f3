/*
 * net_source: where the command line takes rules of the network shield from.
 */
#ifndef SCONE_CLI_NET_SOURCE_H
#define SCONE_CLI_NET_SOURCE_H

#include "cli/cli.h"

/* The variables of a file of --network-rules, as shield/net/rules.h reads it. The caller frees with net_rules_lines_free. */
MUST_USE int net_source_file(const char *path, char ***ret, struct error *err);

#endif
