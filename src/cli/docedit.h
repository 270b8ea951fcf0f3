/*
 * docedit: read and set one top-level scalar of a YAML document in place, leaving every other byte as it is. No I/O.
 *
 * The command line needs just `name` and `predecessor`, and must not depend on understanding everything that a newer CAS accepts.
 */
#ifndef SCONE_CLI_DOCEDIT_H
#define SCONE_CLI_DOCEDIT_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"
#include "core/error.h"

/* *ret: the value's text (fresh storage), NULL if the key is absent or its value null. */
MUST_USE int docedit_get(const char *text, size_t n, const char *key, char **ret, struct error *err);
/* Append the document to out with key: "value", as first key if it was absent. value must need no YAML escape in double quotes: no '"',
 * no '\\', no control characters. */
MUST_USE int docedit_set(
	const char *text, size_t n, const char *key, const char *value, struct buf *out, struct error *err);

#endif
