/*
 * name: names of the session language (section 3.1), and the nearest known word to a misspelt one.
 */
#ifndef SCONE_POLICY_NAME_H
#define SCONE_POLICY_NAME_H

#include <stddef.h>
#include "core/error.h"

#define NAME_SEGMENT_MAX 128
#define NAME_TOTAL_MAX 512

/* One segment: 1 to 128 of A-Z a-z 0-9 _ - . ~, neither "." nor "..". ERR_INPUT for a character, ERR_LIMIT for the length. */
MUST_USE int name_segment_check(const char *s, size_t n, struct error *err);

/* The word of the NULL-terminated list that differs from s in the fewest places, or NULL if none is near. */
const char *name_nearest(const char *s, size_t n, const char *const *words);

#endif
