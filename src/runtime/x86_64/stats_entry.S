/*
 * stats_entry: scone_entry for rewritten sites while calls are counted. Every register and flag as it came; the program's stack is not touched.
 */
#define T_REGS %gs:8
#define T_SCRATCH %gs:32

	.text
	.globl stats_entry
	.hidden stats_entry
	.type stats_entry, @function
	.p2align 4
stats_entry:
	movq %rsp, T_SCRATCH
	movq T_REGS, %rsp
	pushfq
	lock incq stats_rewritten(%rip)
	popfq
	movq T_SCRATCH, %rsp
	jmp scone_entry
	.size stats_entry, . - stats_entry

	.bss
	.globl stats_rewritten
	.hidden stats_rewritten
	.p2align 6
stats_rewritten:
	.zero 64

	.section .note.GNU-stack, "", @progbits
