/*
 * rewrite_decode: the instructions of one function, in order, with where each leads. Lengths come from a table (rewrite_length.h), and from
 * Capstone where that does not know; what an instruction may do is Capstone's word.
 */
#ifndef SCONE_RUNTIME_REWRITE_DECODE_H
#define SCONE_RUNTIME_REWRITE_DECODE_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum insn_kind {
	INSN_PLAIN, /* goes on to the next */
	INSN_NOP, /* so do these two */
	INSN_ENDBR,
	INSN_SYSCALL,
	INSN_CALL, /* returns to the next; target if direct */
	INSN_BRANCH, /* to target or the next: jcc, loop, jrcxz, xbegin */
	INSN_JUMP, /* to target */
	INSN_JUMP_SLOT, /* through a fixed memory slot (%rip-relative): to a function */
	INSN_JUMP_ANY, /* through a register or an indexed table */
	INSN_STOP, /* ret, ud2, hlt, int3 and the like */
};

struct insn {
	uint32_t off; /* into the text */
	uint8_t len;
	uint8_t kind;
	bool reached; /* a path of fall-through and direct branches leads here from the function's start */
	int64_t target; /* offset into the text (may lie outside it); INSN_NO_TARGET if none */
};
#define INSN_NO_TARGET INT64_MIN

struct decoder {
	csh quick, full; /* opened when first needed; full knows operands */
	cs_insn *quick_insn, *full_insn;
	size_t budget; /* bytes that may yet be decoded: a malicious table cannot make planning take forever */
};
#define DECODE_BUDGET (32u << 20)

struct function {
	size_t start, end; /* offsets into the text */
	size_t done; /* decoded so far: up to here */
	struct insn *insns;
	size_t count, cap;
	bool broken; /* a byte did not decode, or a branch lands between two decoded boundaries */
	bool jumps_any; /* holds an INSN_JUMP_ANY among the decoded */
};

void decoder_open(struct decoder *d);
void decoder_close(struct decoder *d);

/* Empty the function, keep its memory. */
void function_begin(struct function *f, size_t start, size_t end);
void function_free(struct function *f);
/* Decode on until at least `upto` (or the function's end, or broken). 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int function_decode(
	struct function *f, struct decoder *d, const uint8_t *text, size_t upto);
/* Mark what is reached, in everything decoded so far. Sets broken when a branch contradicts the boundaries. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int function_reach(struct function *f);
/* Index of the instruction that begins at off, or -1. */
long function_find(const struct function *f, size_t off);

/* Length of the instruction at bytes if it means the same wherever it lies: from a short list of plain integer instructions, no
 * %rip-relative operand, no change of control flow. Else 0. */
size_t insn_movable_len(struct decoder *d, const uint8_t *bytes, size_t len);

#endif
