/*
 * rewrite_plan: which `syscall` instructions of a piece of machine code may be replaced by a jump, and how.
 *
 * Pure: bytes and function ranges in, a plan out. docs/rewriting.md holds the argument for each rule.
 *
 * A site gets one of two forms. The window is the bytes that the jump (and filler) will cover.
 *   REWRITE_MOV   window = `mov $imm32,%eax` (5 bytes) or `mov $imm32,%rax` (7 bytes) right before the `syscall`, which stays
 *   REWRITE_TAIL  window = the `syscall` and the instructions behind it, at least 5 bytes, none of which depends on where it lies,
 *                 but for a direct `jmp` as the last
 */
#ifndef SCONE_RUNTIME_REWRITE_PLAN_H
#define SCONE_RUNTIME_REWRITE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REWRITE_WINDOW_MAX 16 /* bytes of code that a window may cover */
#define REWRITE_TEXT_MAX (512u << 20) /* bytes of one executable segment; a larger one is left to traps */
#define REWRITE_FUNCTION_MAX (1u << 20) /* bytes of one function; sites in a larger one are left to traps */

enum rewrite_form { REWRITE_MOV = 1, REWRITE_TAIL = 2 };

/* What became of a site. The first two are patched, all others are refused. */
enum rewrite_outcome {
	REWRITE_BY_MOV,
	REWRITE_BY_TAIL,
	REWRITE_NO_FUNCTION, /* no function range covers the bytes 0f 05, so they may be anything; many are not instructions at all */
	REWRITE_UNDECODED, /* the function does not decode from its start to the site, or is too large */
	REWRITE_UNREACHED, /* decoded in line, but no path from the function's start leads here: may be data */
	REWRITE_SHORT, /* the bytes around fit neither form; not looked at further, so these may be no instructions either */
	REWRITE_BRANCH, /* a direct branch may land inside the window */
	REWRITE_INDIRECT, /* an indirect jump in the function may land inside the window */
	REWRITE_ENTRY, /* a symbol points into the window */
	REWRITE_SIGRETURN, /* `mov $15; syscall`: unwinders know a signal frame by exactly these bytes */
	REWRITE_OVERLAP, /* its window would cover a neighbour's */
	REWRITE_OUTCOMES
};
const char *rewrite_outcome_name(enum rewrite_outcome outcome); /* "mov", "tail", "no function", ... */

struct rewrite_site {
	uint32_t off; /* start of the window, bytes from the start of the plan's range */
	uint8_t form; /* enum rewrite_form */
	uint8_t len; /* bytes in the window, 5..REWRITE_WINDOW_MAX */
	uint16_t bounds; /* bit k: an instruction begins at window + k; bit 0 always set */
	uint8_t bytes[REWRITE_WINDOW_MAX]; /* the window; behind it, for REWRITE_MOV, 0f 05; then zeros */
};

struct rewrite_plan {
	uint64_t len; /* bytes of the planned range */
	uint32_t outcomes[REWRITE_OUTCOMES]; /* how many sites met which fate */
	uint32_t count;
	struct rewrite_site sites[]; /* ascending, not overlapping */
};

/* Bytes of code as they lie in one executable segment. */
struct rewrite_text {
	const uint8_t *bytes;
	size_t len;
	uint64_t vaddr; /* address of bytes[0] in the file's own address space */
};

struct rewrite_code {
	const struct rewrite_text
		*texts; /* every executable segment of the image: a branch may come from any */
	size_t text_count;
	size_t which; /* the segment to plan */
	size_t from, to; /* the range of it to plan, offsets into texts[which].bytes */

	/* The function that covers vaddr: true and its range [start, end). Must be the answer of a table that the linker or assembler
	 * wrote: start is taken for an instruction start. */
	bool (*function_at)(void *ctx, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end);
	/* Call hit(arg, vaddr) for every known entry point that is not necessarily a function's start (symbols). May be NULL. */
	void (*entries)(void *ctx, void (*hit)(void *arg, uint64_t vaddr), void *arg);
	void *ctx;
	/* Told of every site with its fate; at is the address of the `syscall` bytes. May be NULL (tests, debugging). */
	void (*trace)(void *ctx, uint64_t at, enum rewrite_outcome outcome);
};

/* A quick look at a piece of code: the first place at or after `from` where the bytes 0f 05 and those around them fit one of the two
 * forms, or len. Says nothing about whether that is an instruction. *ret: the place. 0 or -ENOMEM. Looks at REWRITE_LOOK bytes on either side. */
#define REWRITE_LOOK 32
__attribute__((warn_unused_result)) int rewrite_plan_look(
	const uint8_t *bytes, size_t len, size_t from, size_t *ret);

/* Is there a `syscall` at offset `at` of this one function? 1, 0, or -ENOMEM. One that does not decode up to there has none. */
__attribute__((warn_unused_result)) int rewrite_plan_is_site(const uint8_t *function, size_t len, size_t at);

/* 0 and a plan to free(), -ENOMEM, or -EINVAL for a range that is not inside the text or larger than REWRITE_TEXT_MAX. Uses vector
 * registers. Safe for any bytes. */
__attribute__((warn_unused_result)) int rewrite_plan_code(
	const struct rewrite_code *code, struct rewrite_plan **ret);

#endif
