/*
 * vectors: evidence that real hardware signed, beside the repository in ../shared/vectors; it is no part of it. The build defines VECTORS_DIR.
 */
#ifndef SCONE_TESTS_VECTORS_H
#define SCONE_TESTS_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/buf.h"

#define VECTOR_MAX (1024 * 1024)

/* Says in one line when they are not there. */
static inline bool vectors_here(void)
{
	if (access(VECTORS_DIR, R_OK) == 0)
		return true;
	puts("# ../shared/vectors is not there: nothing tested on real evidence");
	return false;
}

/* Aborts when there is no such file. The caller frees *ret by buf_free. */
static inline void vector_read(const char *name, struct buf *ret)
{
	char path[4096];
	uint8_t *to;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", VECTORS_DIR, name);
	f = fopen(path, "rb");
	buf_init(ret, VECTOR_MAX);
	to = buf_reserve(ret, VECTOR_MAX);
	if (!f || !to)
		abort();
	ret->len = fread(to, 1, VECTOR_MAX, f);
	fclose(f);
}

#endif
