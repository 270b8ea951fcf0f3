/*
 * ldcache: reader of /etc/ld.so.cache in glibc's format "glibc-ld.so.cache1.1". No I/O; any bytes may come in.
 */
#ifndef SCONE_MEASURE_LDCACHE_H
#define SCONE_MEASURE_LDCACHE_H

#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "measure/hwcaps.h"

#define LDCACHE_PATH "/etc/ld.so.cache"
#define LDCACHE_MAX (64u * 1024 * 1024) /* largest file accepted */

struct ldcache {
	const uint8_t *p; /* borrowed */
	size_t n;
	uint32_t count; /* entries */
	const uint8_t *hwcaps; /* string offsets of the named hwcaps, or NULL */
	uint32_t hwcaps_count;
};

/* p must outlive *ret. ERR_INPUT: another format, or tables that reach over the end. */
MUST_USE int ldcache_parse(const void *p, size_t n, struct ldcache *ret, struct error *err);

/* The path that ld.so would take for a library name on a processor with these capabilities; a pointer into p, or NULL. */
const char *ldcache_lookup(const struct ldcache *c, const char *name, const struct hwcaps *h);

#endif
