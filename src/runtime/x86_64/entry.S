/*
 * entry: where the program's system calls arrive and where it is given control back.
 *
 * Contract of scone_entry, the same for trapped and rewritten sites: all registers as at the `syscall` instruction, rcx = address to
 * continue at. Nothing below the program's rsp is touched (red zone). GS base holds struct thread. The result leaves in rax; rcx and r11 are
 * clobbered as by the instruction itself.
 *
 * Most calls go straight through: where scone_lean says so the host's call is made here, with all registers but rcx and r11 the program's, which
 * a call clobbers. A signal up to scone_lean_end is one that interrupts the program, at its call or right behind it (scone_on_signal). No
 * flag is changed.
 *
 * The exit path from scone_exit to its last jump can be restarted from scone_exit at any instruction: the signal handler does so when it
 * interrupts it, and the pending signal is then seen.
 *
 * Fast handlers (scone_dispatch, scone_deliver and what they call) run with the program's FS base and vector state: they are compiled with
 * general registers only and use no thread-local storage. Slow ones run with the runtime's FS base, the vector state saved.
 */
#define R_R15 0
#define R_R14 8
#define R_R13 16
#define R_R12 24
#define R_RBP 32
#define R_RBX 40
#define R_R10 48
#define R_R9 56
#define R_R8 64
#define R_RDX 72
#define R_RSI 80
#define R_RDI 88
#define R_RAX 96
#define R_NR 104
#define R_RIP 112
#define R_FLAGS 120
#define R_RSP 128
#define R_FS 136
#define R_SIZE 144

#define T_SELF %gs:0
#define T_REGS %gs:8
#define T_HOST_FS %gs:16
#define T_PENDING %gs:24
#define T_SCRATCH %gs:32
#define T_XSAVE %gs:40
#define T_REGS_OFF 8
#define T_LEAVE_SP 48
#define T_LEAN_RIP %gs:56

#define HOST_ERESTART -512
#define NR_RT_SIGRETURN 15
#define NR_RT_SIGPROCMASK 14

	.text

	.globl scone_entry, scone_lean_syscall, scone_lean_end, scone_exit, scone_exit_end
	.hidden scone_entry, scone_lean_syscall, scone_lean_end, scone_exit, scone_exit_end
	.type scone_entry, @function
	.p2align 6
scone_entry:
	movq %rcx, T_LEAN_RIP
	movzwl %ax, %ecx /* the kernel judges the rest of eax */
	leaq scone_lean(%rip), %r11
	movzbl (%r11,%rcx), %ecx
	jrcxz .Lfull
scone_lean_syscall:
	syscall
	movq T_LEAN_RIP, %rcx
	jmp *%rcx
scone_lean_end:
.Lfull:
	movq T_LEAN_RIP, %rcx
	movq %rsp, T_SCRATCH
	movq T_REGS, %rsp
	movq %r15, R_R15(%rsp)
	movq %r14, R_R14(%rsp)
	movq %r13, R_R13(%rsp)
	movq %r12, R_R12(%rsp)
	movq %rbp, R_RBP(%rsp)
	movq %rbx, R_RBX(%rsp)
	movq %r10, R_R10(%rsp)
	movq %r9, R_R9(%rsp)
	movq %r8, R_R8(%rsp)
	movq %rdx, R_RDX(%rsp)
	movq %rsi, R_RSI(%rsp)
	movq %rdi, R_RDI(%rsp)
	movq %rax, R_RAX(%rsp)
	movq %rax, R_NR(%rsp)
	movq %rcx, R_RIP(%rsp)
	movq T_SCRATCH, %rcx
	movq %rcx, R_RSP(%rsp)
	movq %rsp, %rdi
	pushfq
	popq %rcx
	movq %rcx, R_FLAGS(%rdi)
	cld
	rdfsbase %rcx
	movq %rcx, R_FS(%rdi)
	movq T_SELF, %rsi
	xorl %ebp, %ebp
	call scone_dispatch
	testl %eax, %eax
	jz scone_exit

	/* Slow: handlers may use thread-local storage and vector registers. */
	movq T_HOST_FS, %rcx
	wrfsbase %rcx
	movq T_XSAVE, %rcx
	movl xsave_mask_lo(%rip), %eax
	movl xsave_mask_hi(%rip), %edx
	xsave64 (%rcx)
	movq T_REGS, %rdi
	movq T_SELF, %rsi
	call scone_dispatch_slow

	.globl scone_resume
	.hidden scone_resume
scone_resume: /* give back vector state and FS base, then the rest; rsp is the runtime's */
	movq T_XSAVE, %rcx
	movl xsave_mask_lo(%rip), %eax
	movl xsave_mask_hi(%rip), %edx
	xrstor64 (%rcx)
	movq T_REGS, %rcx
	movq R_FS(%rcx), %rcx
	wrfsbase %rcx

scone_exit:
	movq T_REGS, %rsp
	cmpl $0, T_PENDING
	jne .Ldeliver
	pushq R_FLAGS(%rsp)
	popfq
	movq R_R15(%rsp), %r15
	movq R_R14(%rsp), %r14
	movq R_R13(%rsp), %r13
	movq R_R12(%rsp), %r12
	movq R_RBP(%rsp), %rbp
	movq R_RBX(%rsp), %rbx
	movq R_FLAGS(%rsp), %r11
	movq R_R10(%rsp), %r10
	movq R_R9(%rsp), %r9
	movq R_R8(%rsp), %r8
	movq R_RDX(%rsp), %rdx
	movq R_RSI(%rsp), %rsi
	movq R_RDI(%rsp), %rdi
	movq R_RAX(%rsp), %rax
	movq R_RIP(%rsp), %rcx
	movq R_RSP(%rsp), %rsp
	jmp *%rcx
scone_exit_end:
.Ldeliver:
	movq T_SELF, %rdi
	call scone_deliver
	jmp scone_exit
	.size scone_entry, . - scone_entry

/* void scone_enter(struct thread *t): callee-saved registers and the stack pointer are kept for scone_leave. */
	.globl scone_enter
	.hidden scone_enter
	.type scone_enter, @function
scone_enter:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, T_LEAVE_SP(%rdi)
	/* The registers move below this frame: the runtime's stack begins under them. */
	leaq -R_SIZE-64(%rsp), %rax
	andq $-64, %rax
	movq T_REGS_OFF(%rdi), %rsi
	movq %rax, T_REGS_OFF(%rdi)
	movq %rax, %rdi
	movl $R_SIZE / 8, %ecx
	rep movsq
	movq %rax, %rsp
	jmp scone_resume
	.size scone_enter, . - scone_enter

	.globl scone_leave
	.hidden scone_leave
	.type scone_leave, @function
scone_leave:
	movq T_LEAVE_SP(%rdi), %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size scone_leave, . - scone_leave

/* long scone_safe_call(long nr, const struct regs *r) */
	.globl scone_safe_call, scone_safe_call6, scone_safe_start, scone_safe_syscall, scone_safe_end, scone_safe_interrupted
	.hidden scone_safe_call, scone_safe_call6, scone_safe_start, scone_safe_syscall, scone_safe_end, scone_safe_interrupted
	.type scone_safe_call, @function
	.p2align 5
scone_safe_call:
	movq %rdi, %rax
	movq %rsi, %rcx
	movq R_RDI(%rcx), %rdi
	movq R_RSI(%rcx), %rsi
	movq R_RDX(%rcx), %rdx
	movq R_R10(%rcx), %r10
	movq R_R8(%rcx), %r8
	movq R_R9(%rcx), %r9
scone_safe_start:
	cmpl $0, T_PENDING
	jne scone_safe_interrupted
scone_safe_syscall:
	syscall
scone_safe_end:
	ret
scone_safe_interrupted:
	movq $HOST_ERESTART, %rax
	ret
	.size scone_safe_call, . - scone_safe_call

/* long scone_safe_call6(long nr, a, b, c, d, e, f) */
	.type scone_safe_call6, @function
scone_safe_call6:
	movq %rdi, %rax
	movq %rsi, %rdi
	movq %rdx, %rsi
	movq %rcx, %rdx
	movq %r8, %r10
	movq %r9, %r8
	movq 8(%rsp), %r9
	jmp scone_safe_start
	.size scone_safe_call6, . - scone_safe_call6

/* long scone_window(const uint64_t *mask) */
	.globl scone_window, scone_window_end
	.hidden scone_window, scone_window_end
	.type scone_window, @function
scone_window:
	movl $NR_RT_SIGPROCMASK, %eax
	movq %rdi, %rsi
	movl $2, %edi /* SIG_SETMASK */
	xorl %edx, %edx
	movl $8, %r10d
	syscall
scone_window_end:
	ret
	.size scone_window, . - scone_window

/* void scone_raise(void) */
	.globl scone_raise, scone_raise_end
	.hidden scone_raise, scone_raise_end
	.type scone_raise, @function
scone_raise:
	int3
scone_raise_end:
	ret
	.size scone_raise, . - scone_raise

/* void scone_sighandler(sig, info, ucontext): on the runtime's alternate stack. */
	.globl scone_sighandler
	.hidden scone_sighandler
	.type scone_sighandler, @function
	.p2align 5
scone_sighandler:
	rdfsbase %rcx /* fourth argument: FS base of what was interrupted */
	pushq %rcx
	movq T_HOST_FS, %rax
	wrfsbase %rax
	cld
	call scone_on_signal
	popq %rcx
	wrfsbase %rcx
	ret
	.size scone_sighandler, . - scone_sighandler

	.globl scone_restorer
	.hidden scone_restorer
	.type scone_restorer, @function
scone_restorer:
	movl $NR_RT_SIGRETURN, %eax
	syscall
	hlt
	.size scone_restorer, . - scone_restorer

/* void scone_sigreturn(uint64_t rsp): the kernel restores from the program's frame. */
	.globl scone_sigreturn, scone_sigreturn_start, scone_sigreturn_end
	.hidden scone_sigreturn, scone_sigreturn_start, scone_sigreturn_end
	.type scone_sigreturn, @function
scone_sigreturn:
scone_sigreturn_start:
	movq %rdi, %rsp
	movl $NR_RT_SIGRETURN, %eax
	syscall
scone_sigreturn_end:
	hlt
	.size scone_sigreturn, . - scone_sigreturn

/* int scone_copy(void *dst, const void *src, size_t n): a fault inside continues at scone_copy_fault. */
	.globl scone_copy, scone_copy_start, scone_copy_end, scone_copy_fault
	.hidden scone_copy, scone_copy_start, scone_copy_end, scone_copy_fault
	.type scone_copy, @function
scone_copy:
	movq %rdx, %rcx
scone_copy_start:
	rep movsb
scone_copy_end:
	xorl %eax, %eax
	ret
scone_copy_fault:
	movl $-14, %eax
	ret
	.size scone_copy, . - scone_copy

/* int scone_swap(uint32_t *word, uint32_t *expected, uint32_t next): likewise. */
	.globl scone_swap, scone_swap_start, scone_swap_end
	.hidden scone_swap, scone_swap_start, scone_swap_end
	.type scone_swap, @function
scone_swap:
	movl (%rsi), %eax
scone_swap_start:
	lock cmpxchgl %edx, (%rdi)
scone_swap_end:
	movl %eax, (%rsi)
	sete %al
	movzbl %al, %eax
	ret
	.size scone_swap, . - scone_swap

/* long scone_clone_vm(long nr, const long args[5], struct thread *child) */
	.globl scone_clone_vm
	.hidden scone_clone_vm
	.type scone_clone_vm, @function
scone_clone_vm:
	pushq %r12
	movq %rdx, %r12
	movq %rdi, %rax
	movq %rsi, %rcx
	movq (%rcx), %rdi
	movq 8(%rcx), %rsi
	movq 16(%rcx), %rdx
	movq 24(%rcx), %r10
	movq 32(%rcx), %r8
	syscall
	testq %rax, %rax
	jz 1f
	popq %r12
	ret
1:	/* child, on its own runtime stack; GS base still names the parent's thread */
	xorl %ebp, %ebp
	movq %r12, %rdi
	wrgsbase %rdi
	call scone_vfork_child
	jmp scone_resume
	.size scone_clone_vm, . - scone_clone_vm

	.section .note.GNU-stack, "", @progbits
