/*
 * rewrite_length: how long the ordinary instructions are. A table of those whose length the opcode, one prefix and the ModRM byte decide, for
 * the nine in ten that need no decoder. tests/patterns/test_length compares every entry, prefix and ModRM byte with Capstone.
 */
#ifndef SCONE_RUNTIME_REWRITE_LENGTH_H
#define SCONE_RUNTIME_REWRITE_LENGTH_H

#include <stddef.h>
#include <stdint.h>

/* Length of the instruction at p, at most `left`; 0 if it is not in the table or not all there: a decoder must say. */
size_t insn_length(const uint8_t *p, size_t left);

#endif
