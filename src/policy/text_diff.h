/*
 * text_diff: what changes between two texts, line by line, for people. No I/O.
 *
 * The fewest lines removed and added (Myers, "An O(ND) difference algorithm and its variations", 1986). Texts of over TEXT_DIFF_LINES lines, or with more
 * than TEXT_DIFF_CHANGES changes, lose all lines between what they have in common at the start and the end, and gain the new ones: correct, but longer.
 */
#ifndef SCONE_POLICY_TEXT_DIFF_H
#define SCONE_POLICY_TEXT_DIFF_H

#include <stddef.h>
#include "core/error.h"

#define TEXT_DIFF_LINES 20000
#define TEXT_DIFF_CHANGES 1000

/* op: ' ' both have the line, '-' the old one, '+' the new one. line is without its newline. Non-zero ends the walk. */
typedef int (*text_diff_visit)(void *arg, char op, const char *line, size_t n);

/* Calls visit for every line in order; 0, or what it returned, or -1 without memory. */
MUST_USE int text_diff(const char *a, size_t an, const char *b, size_t bn, text_diff_visit visit, void *arg,
	struct error *err);

#endif
