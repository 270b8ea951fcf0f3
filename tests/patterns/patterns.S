/*
 * Patterns: each function holds one or more `syscall` sites, labelled, with the fate that the planner must give them.
 *
 *   FUNC name / END name    a function, known to the planner by its range
 *   SITE outcome            the label of the next `syscall`, in the table `expectations`
 *   ENTRY                   a symbol that the planner is told of
 *
 * The numbers of enum rewrite_outcome are checked against rewrite_plan.h by the test.
 */
#define MOV 0
#define TAIL 1
#define NO_FUNCTION 2
#define UNDECODED 3
#define UNREACHED 4
#define SHORT 5
#define BRANCH 6
#define INDIRECT 7
#define SYMBOL 8
#define SIGRETURN 9
#define OVERLAP 10

	.macro FUNC name
	.p2align 4
	.globl \name
	.type \name, @function
\name:
	.pushsection .functions, "aw"
	.quad \name, .Lend_\name
	.popsection
	.endm

	.macro END name
.Lend_\name:
	.size \name, . - \name
	.endm

	.macro SITE outcome
77:	.pushsection .expectations, "aw"
	.quad 77b, \outcome
	.popsection
	.endm

	.macro ENTRY
78:	.pushsection .entries, "aw"
	.quad 78b
	.popsection
	.endm

	.section .functions, "aw"
	.globl pattern_functions
pattern_functions:
	.section .expectations, "aw"
	.globl pattern_expectations
pattern_expectations:
	.section .entries, "aw"
	.globl pattern_entries
pattern_entries:

	.section .patterns, "ax", @progbits
	.p2align 12
	.globl patterns_start
patterns_start:

/* --- form mov --- */

FUNC p_mov_eax
	endbr64
	mov	$39, %eax
	SITE MOV
	syscall
	ret
END p_mov_eax

FUNC p_mov_rax
	mov	$110, %rax
	SITE MOV
	syscall
	cmp	$-4095, %rax
	jae	1f
	ret
1:	neg	%eax
	ret
END p_mov_rax

/* a branch to the `syscall` itself is no obstacle: those bytes stay */
FUNC p_mov_branch_to_syscall
	test	%edi, %edi
	mov	$110, %eax
	jne	1f
	mov	$39, %eax
	SITE MOV
1:	syscall
	ret
END p_mov_branch_to_syscall

/* an indirect jump cannot land inside an instruction */
FUNC p_mov_with_table
	lea	.Ltable(%rip), %rdx
	test	%edi, %edi
	je	.Lcase0
	jmp	*(%rdx,%rdi,8)
.Lcase0:
	mov	$39, %eax
	SITE MOV
	syscall
	ret
.Lcase1:
	xor	%eax, %eax
	ret
END p_mov_with_table
	.pushsection .data.rel.ro, "aw"
.Ltable:
	.quad	.Lcase0, .Lcase1
	.popsection

/* one site behind the other */
FUNC p_mov_twice
	mov	$39, %eax
	SITE MOV
	syscall
	mov	$110, %eax
	SITE MOV
	syscall
	ret
END p_mov_twice

/* the call that ends a process has nothing behind it */
FUNC p_mov_exit
	mov	$60, %eax
	SITE MOV
	syscall
	hlt
END p_mov_exit

/* --- form tail --- */

FUNC p_tail_cmp
	mov	%edi, %eax
	SITE TAIL
	syscall
	cmp	$-4095, %rax
	jae	1f
	ret
1:	mov	$-1, %eax
	ret
END p_tail_cmp

FUNC p_tail_ret_padding
	mov	%edi, %eax
	SITE TAIL
	syscall
	ret
END p_tail_ret_padding
	.byte 0x66, 0x90, 0xcc, 0xcc

FUNC p_tail_mov_test
	mov	%edi, %eax
	SITE TAIL
	syscall
	mov	%rax, %rdx
	test	%rdx, %rdx
	js	1f
	mov	%rdx, %rax
1:	ret
END p_tail_mov_test

FUNC p_tail_pop_ret
	push	%rbx
	mov	%edi, %eax
	SITE TAIL
	syscall
	mov	%eax, %ebx
	nop
	pop	%rbx
	ret
END p_tail_pop_ret

/* flags and red zone: answers 1 if carry and the word below the stack pointer survive the call */
FUNC p_flags_red_zone
	movq	$0x1234567, -8(%rsp)
	movq	$0x7654321, -128(%rsp)
	mov	%edi, %eax
	stc
	SITE TAIL
	syscall
	mov	$0, %eax
	jnc	1f
	cmpq	$0x1234567, -8(%rsp)
	jne	1f
	cmpq	$0x7654321, -128(%rsp)
	jne	1f
	mov	$1, %eax
1:	ret
END p_flags_red_zone

FUNC p_mov_flags
	std
	stc
	mov	$39, %eax
	SITE MOV
	syscall
	pushfq
	pop	%rax
	cld
	ret
END p_mov_flags

/* a call's tail that jumps away: the trampoline jumps there itself */
FUNC p_tail_jump_far
	mov	%edi, %eax
	SITE TAIL
	syscall
	.byte 0xe9
	.long p_tail_jump_target - . - 4
END p_tail_jump_far
	nop

FUNC p_tail_jump_target
	lea	1000(%rax), %rax
	ret
END p_tail_jump_target

FUNC p_tail_jump_near
	mov	%edi, %eax
	jmp	2f
1:	lea	2000(%rax), %rax
	ret
2:	SITE TAIL
	syscall
	jmp	1b
END p_tail_jump_near
	nop

/* a function that lies a few bytes behind with real short branches of its own */
FUNC p_tail_near_neighbour
	mov	%edi, %eax
	SITE TAIL
	syscall
	cmp	$-4095, %rax
	ret
END p_tail_near_neighbour

FUNC p_neighbour
	test	%edi, %edi
	je	1f
	jmp	2f
1:	inc	%edi
2:	ret
END p_neighbour

/* loops back to just before the site, and to the site itself: both are starts, not insides */
FUNC p_tail_loop
	mov	%edi, %edx
1:	mov	%edx, %eax
2:	SITE TAIL
	syscall
	cmp	$-4, %rax
	je	1b
	cmp	$-512, %eax
	je	2b
	ret
END p_tail_loop

/* --- refused --- */

/* something branches to just behind the `syscall` */
FUNC p_branch_rel8
	mov	%edi, %eax
	test	%eax, %eax
	je	1f
	SITE BRANCH
	syscall
1:	cmp	$-4095, %rax
	ret
END p_branch_rel8

FUNC p_branch_rel8_back
	mov	%edi, %eax
	SITE BRANCH
	syscall
1:	mov	%rax, %rdx
	dec	%rdx
	jg	1b
	ret
END p_branch_rel8_back

FUNC p_branch_loop
	mov	%edi, %eax
	SITE BRANCH
	syscall
1:	mov	%rax, %rdx
	loop	1b
	ret
END p_branch_loop

/* the branch comes from another function, far away */
FUNC p_branch_rel32
	mov	%edi, %eax
	SITE BRANCH
	syscall
.Lrel32_inside:
	cmp	$-4095, %rax
	ret
END p_branch_rel32

/* from another function, near */
FUNC p_branch_neighbour
	mov	%edi, %eax
	SITE BRANCH
	syscall
.Lrel8_inside:
	cmp	$-4095, %rax
	ret
END p_branch_neighbour

FUNC p_neighbour_jumps
	mov	$-5, %eax
	jmp	.Lrel8_inside
END p_neighbour_jumps

/* from bytes that no function claims: they count as whatever they may be */
FUNC p_branch_unknown
	mov	%edi, %eax
	SITE BRANCH
	syscall
.Lunknown_inside:
	cmp	$-4095, %rax
	ret
END p_branch_unknown
	.byte 0xeb, .Lunknown_inside - . - 1

FUNC p_branch_unknown_loop
	mov	%edi, %eax
	SITE BRANCH
	syscall
.Lunknown_inside2:
	cmp	$-4095, %rax
	ret
END p_branch_unknown_loop
	.byte 0xe2, .Lunknown_inside2 - . - 1

FUNC p_branch_unknown_jcc
	mov	%edi, %eax
	SITE BRANCH
	syscall
.Lunknown_inside3:
	cmp	$-4095, %rax
	ret
END p_branch_unknown_jcc
	.byte 0x7f, .Lunknown_inside3 - . - 1

/* its address is taken, so it may be jumped to */
FUNC p_branch_lea
	mov	%edi, %eax
	SITE BRANCH
	syscall
.Llea_inside:
	cmp	$-4095, %rax
	ret
END p_branch_lea

/* a jump into the mov's bytes, to an instruction hidden in the constant: nothing in such a function is certain */
FUNC p_branch_into_mov
	test	%edi, %edi
	je	.Linto_mov + 1
.Linto_mov:
	mov	$0x00c3c031, %eax
	SITE UNDECODED
	syscall
	ret
END p_branch_into_mov

/* the same from another function */
FUNC p_branch_into_mov_from_far
.Lfar_into_mov:
	mov	$0x00c3c031, %eax
	SITE BRANCH
	syscall
	hlt
END p_branch_into_mov_from_far

/* the other form may do where one is refused */
FUNC p_branch_into_mov_tail
.Lfar_into_mov2:
	mov	$0x00c3c031, %eax
	SITE TAIL
	syscall
	cmp	$-4095, %rax
	ret
END p_branch_into_mov_tail

/* a symbol in the window */
FUNC p_symbol
	mov	%edi, %eax
	SITE SYMBOL
	syscall
	ENTRY
	cmp	$-4095, %rax
	ret
END p_symbol

/* a table may lead to just behind the call */
FUNC p_indirect
	mov	%edi, %eax
	lea	.Ltable2(%rip), %rdx
	test	%edi, %edi
	je	.Lcase2
	jmp	*(%rdx,%rdi,8)
.Lcase2:
	SITE INDIRECT
	syscall
.Lcase3:
	cmp	$-4095, %rax
	ret
END p_indirect
	.pushsection .data.rel.ro, "aw"
.Ltable2:
	.quad	.Lcase2, .Lcase3
	.popsection

/* the indirect jump lies behind everything that a short branch could reach */
FUNC p_indirect_late
	mov	%edi, %eax
	test	%edi, %edi
	jne	1f
	SITE INDIRECT
	syscall
	cmp	$-4095, %rax
	ret
	.skip 300, 0x90
1:	lea	.Ltable2(%rip), %rdx
	jmp	*(%rdx,%rdi,8)
END p_indirect_late

/* too little room: control flow, a call, a return with code behind, %rip-relative operands */
FUNC p_short_jump
	mov	%edi, %eax
	SITE SHORT
	syscall
	jmp	1f
	.byte 0, 0
1:	ret
END p_short_jump

FUNC p_short_jump_indirect
	mov	%edi, %eax
	SITE SHORT
	syscall
	jmp	*pattern_pointer(%rip)
END p_short_jump_indirect

FUNC p_short_call
	mov	%edi, %eax
	SITE SHORT
	syscall
	call	p_neighbour
	ret
END p_short_call

FUNC p_short_rip
	mov	%edi, %eax
	SITE SHORT
	syscall
	mov	pattern_variable(%rip), %eax
	ret
END p_short_rip

FUNC p_short_ret_code
	test	%edi, %edi
	je	1f
	mov	%edi, %eax
	SITE SHORT
	syscall
	ret
1:	mov	%edi, %eax
	ret
END p_short_ret_code

FUNC p_short_ret_function
	mov	%edi, %eax
	SITE SHORT
	syscall
	ret
END p_short_ret_function
	/* no padding: the next function begins in what would be the window */
	.globl p_unaligned
p_unaligned:
	.pushsection .functions, "aw"
	.quad p_unaligned, .Lend_p_unaligned
	.popsection
	nop
	nop
	nop
	ret
.Lend_p_unaligned:

FUNC p_short_two_calls
	mov	%edi, %eax
	SITE SHORT
	syscall
	mov	%esi, %eax
	SITE TAIL
	syscall
	cmp	$-4095, %rax
	ret
END p_short_two_calls

FUNC p_endbr_inside
	mov	%edi, %eax
	SITE SHORT
	syscall
	endbr64
	ret
END p_endbr_inside

/* what unwinders recognise stays */
FUNC p_sigreturn
	mov	$15, %rax
	SITE SIGRETURN
	syscall
	ud2
END p_sigreturn

FUNC p_sigreturn_eax
	mov	$15, %eax
	SITE SIGRETURN
	syscall
	ud2
END p_sigreturn_eax

/* only a table leads here: linear order alone is not believed */
FUNC p_unreached_case
	lea	.Ltable3(%rip), %rdx
	jmp	*(%rdx,%rdi,8)
.Lcase4:
	mov	$39, %eax
	SITE UNREACHED
	syscall
	ret
END p_unreached_case
	.pushsection .data.rel.ro, "aw"
.Ltable3:
	.quad	.Lcase4
	.popsection

/* behind a return and never jumped to: may be data */
FUNC p_unreached
	xor	%eax, %eax
	ret
	mov	$39, %eax
	SITE UNREACHED
	syscall
	ret
END p_unreached

/* bytes that are no instruction, before the site */
FUNC p_undecoded
	jmp	1f
	.byte 0x06, 0x0e, 0x1e
1:	mov	$39, %eax
	SITE UNDECODED
	syscall
	ret
END p_undecoded

/* data that swallows the site's first bytes in linear order, found out because a branch contradicts it */
FUNC p_desynchronised
	jmp	1f
	.byte 0x48, 0xb8
1:	mov	$39, %eax
	SITE UNDECODED
	syscall
	ret
END p_desynchronised

/* 0f 05 inside another instruction is no site at all */
FUNC p_not_a_site
	mov	$0x050f, %eax
	mov	$0x39050f, %ecx
	cmp	$-4095, %rax
	ret
END p_not_a_site

/* the tail would cover the mov that gives the next site the better form */
FUNC p_overlap
	mov	%edi, %eax
	SITE OVERLAP
	syscall
	mov	$39, %eax
	SITE MOV
	syscall
	ret
END p_overlap

	.p2align 4
	/* no function covers this */
	mov	$39, %eax
	SITE NO_FUNCTION
	syscall
	ret

	.skip 4096, 0x90
FUNC p_far
	test	%edi, %edi
	jne	.Lrel32_inside
	jg	.Lfar_into_mov + 1
	jl	.Lfar_into_mov2 + 1
	lea	.Llea_inside(%rip), %rax
	jmp	*%rax
END p_far

/* jumps to just behind a patched `syscall` as a return would: through a register, from outside the function */
FUNC p_jump_behind
	mov	%rdi, %rax
	jmp	*%rsi
END p_jump_behind

	.globl patterns_end
patterns_end:
	.p2align 12
	.globl patterns_page_end
patterns_page_end:

	.section .functions, "aw"
	.globl pattern_functions_end
pattern_functions_end:
	.section .expectations, "aw"
	.globl pattern_expectations_end
pattern_expectations_end:
	.section .entries, "aw"
	.globl pattern_entries_end
pattern_entries_end:

	.data
	.globl pattern_variable
pattern_variable:
	.long 7
pattern_pointer:
	.quad 0

/*
 * The test's entry: performs the call natively, as the runtime's would, and goes on at rcx. Counts calls. Changes no register but rcx
 * and r11, no flag, and nothing in the red zone.
 */
	.text
	.globl test_entry
	.type test_entry, @function
test_entry:
	lea	-136(%rsp), %rsp
	pushfq
	lock incq test_entry_calls(%rip)
	cmp	$56, %eax
	je	.Lclone
	cmp	$435, %eax
	je	.Lclone3
	cmp	$58, %eax
	je	.Lvfork
	popfq
	push	%rcx
	syscall
	pop	%rcx
	lea	136(%rsp), %rsp
	jmp	*%rcx

	/* The child begins with another stack: leave the return address there, for both to find at the same place. */
.Lclone:
	test	%rsi, %rsi
	je	.Lplain
	mov	%rcx, -152(%rsi)
	jmp	.Ltwo
.Lclone3:
	cmpq	$0, 40(%rdi)
	je	.Lplain
	mov	40(%rdi), %r11
	add	48(%rdi), %r11
	mov	%rcx, -152(%r11)
.Ltwo:
	popfq
	mov	%rcx, -16(%rsp)
	lea	136(%rsp), %rsp
	syscall
	mov	-152(%rsp), %rcx
	jmp	*%rcx
.Lplain:
	popfq
	push	%rcx
	syscall
	pop	%rcx
	lea	136(%rsp), %rsp
	jmp	*%rcx
	/* The child runs on this very stack and overwrites it. */
.Lvfork:
	popfq
	mov	%rcx, vfork_return(%rip)
	lea	136(%rsp), %rsp
	syscall
	mov	vfork_return(%rip), %rcx
	jmp	*%rcx
	.size test_entry, . - test_entry

	.bss
	.globl test_entry_calls
	.p2align 3
test_entry_calls:
	.quad 0
vfork_return:
	.quad 0

	.section .note.GNU-stack, "", @progbits
