/*
 * rewrite_scan: fast passes over raw machine code, and the set of windows they look for.
 */
#ifndef SCONE_RUNTIME_REWRITE_SCAN_H
#define SCONE_RUNTIME_REWRITE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/x86_64/rewrite_plan.h"

/* A possible window [lo, hi) of a site, offsets into the planned text. */
struct window {
	uint32_t lo, hi;
	uint32_t at; /* the `syscall` */
	uint16_t bounds;
	uint8_t form; /* enum rewrite_form */
	uint8_t refusal; /* 0, or the enum rewrite_outcome that speaks against it */
};

struct window_set {
	struct window *v; /* ascending by lo once window_set_index has run */
	size_t count, cap;
	uint64_t *granules; /* bit per 64 bytes of text: some window's inside touches it */
	size_t text_len;
};

__attribute__((warn_unused_result)) int window_set_add(struct window_set *s, struct window w);
/* Sort and build the filter for a text of text_len bytes. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int window_set_index(struct window_set *s, size_t text_len);
void window_set_free(struct window_set *s);
/* Something may lead to text offset `target`: refuse every window that has it inside (not at its start). */
void window_set_hit(struct window_set *s, int64_t target, enum rewrite_outcome why);

/* Next offset >= from of the bytes 0f 05 that lie wholly below end, or end. */
size_t scan_syscall(const uint8_t *text, size_t from, size_t end);

/* Take every byte position as a possible start of call, jmp, jcc, xbegin or lea with a 32-bit displacement from %rip, and hit the set
 * with its target. bias: what to add to an offset into these bytes to get one into the planned text. */
void scan_rel32(const uint8_t *bytes, size_t len, int64_t bias, struct window_set *s);

/* True if the byte at p begins (if it begins an instruction) a branch with an 8-bit displacement that lands in [lo, hi). */
bool scan_is_rel8_into(const uint8_t *text, size_t p, size_t lo, size_t hi);

#endif
