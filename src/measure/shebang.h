/*
 * shebang: the first line of a script, read as Linux does (execve(2), binfmt_script).
 */
#ifndef SCONE_MEASURE_SHEBANG_H
#define SCONE_MEASURE_SHEBANG_H

#include <stddef.h>
#include "core/error.h"

#define SHEBANG_MAX 256 /* bytes of a file that the kernel looks at */
#define SHEBANG_DEPTH 5 /* scripts that may name scripts */

struct shebang {
	char interp
		[SHEBANG_MAX]; /* path; empty where the file ends before it: no file can be executed by that name */
	char arg[SHEBANG_MAX]; /* the one argument, blanks inside kept; empty: none */
};

/* p: the first n bytes of a file; those over SHEBANG_MAX are ignored. 1: a script, *ret filled. 0: does not start with
 * "#!". ERR_INPUT (-1): "#!" without a path, or a path that does not end within SHEBANG_MAX bytes. */
MUST_USE int shebang_parse(const void *p, size_t n, struct shebang *ret, struct error *err);

#endif
