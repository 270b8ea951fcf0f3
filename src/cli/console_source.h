/*
 * console_source: what the verbs of `scone console` share: the key of a console stream, and rules from a file.
 */
#ifndef SCONE_CLI_CONSOLE_SOURCE_H
#define SCONE_CLI_CONSOLE_SOURCE_H

#include "cli/cli.h"
#include "shield/console/reader.h"

/* From --key-file, or of --secret SESSION/NAME, whose value the session's document has to hold for who may read it. 0 or an exit code. The caller wipes. */
MUST_USE int console_key_of(const struct args *a, uint8_t ret[CONSOLE_KEY_LEN], struct error *err);
/* The variables of a file of --console-rules. The caller frees with console_rules_lines_free. */
MUST_USE int console_source_file(const char *path, char ***ret, struct error *err);
/* All of p to a descriptor. -1: errno. */
MUST_USE int console_put(int fd, const void *p, size_t n);
/* The exit code for an error of a stream. */
int console_exit_code(const struct error *err);

#endif
