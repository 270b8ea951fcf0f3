/*
 * search: where ld.so would look for a library. Lists of directories and names in, an opened file out. The rules are
 * glibc 2.36's (ld.so(8)) and musl's, for a process with an empty environment.
 */
#ifndef SCONE_MEASURE_SEARCH_H
#define SCONE_MEASURE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/error.h"
#include "measure/hwcaps.h"
#include "measure/ldcache.h"

enum ldso_kind { LDSO_GLIBC, LDSO_MUSL };

/* Directories that exist, in order. */
struct dir_list {
	char **dir; /* owned */
	size_t count;
};

struct search {
	enum ldso_kind kind;
	struct hwcaps hwcaps;
	struct dir_list system; /* default directories with their subdirectories */
	void *cache_bytes; /* owned; NULL: no cache on this system */
	size_t cache_size;
	struct ldcache cache;
};

/* What was found: path as ld.so names it (links not resolved) and an open descriptor. The caller owns both. */
struct found {
	char *path;
	int fd;
};

/* interp: path of the ELF interpreter, which decides whose rules hold. ERR_INPUT: /etc/ld.so.cache is malformed. */
MUST_USE int search_init(struct search *s, const char *interp, struct error *err);
void search_free(struct search *s);

/* Split a DT_RPATH or DT_RUNPATH at its colons, replace $ORIGIN, $LIB and $PLATFORM, add the hwcaps subdirectories and keep
 * those that exist. */
MUST_USE int search_expand(const struct search *s, const char *list, const char *origin, struct dir_list *ret,
	struct error *err);
void dir_list_free(struct dir_list *l);

/* Replace the tokens in one DT_NEEDED path. The caller owns *ret. */
MUST_USE int search_expand_token(const struct search *s, const char *text, size_t n, const char *origin,
	char **ret, struct error *err);

/* 1: found. 0: not there (or another class or machine: ld.so goes on). -1: *err. */
MUST_USE int search_open(const char *path, struct found *ret, struct error *err);
MUST_USE int search_dirs(const struct dir_list *l, const char *name, struct found *ret, struct error *err);
/* Cache, then default directories. nodeflib (DF_1_NODEFLIB): neither default directories nor what the cache has from there. */
MUST_USE int search_system(
	const struct search *s, const char *name, bool nodeflib, struct found *ret, struct error *err);

#endif
