/*
 * What a system call instruction leaves alone, for each form in which compilers and libraries write it: every register but rax, rcx
 * and r11, the vector registers, the red zone; rcx holds the address after the instruction and r11 the flags.
 */
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "want.h"

struct seen {
	uint64_t rax, rcx, r11, flags, rbx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r12, r13, r14, r15, red[16],
		after;
	uint8_t xmm[256], x87[2];
};
static struct seen seen;
static uint8_t fill[256] __attribute__((aligned(16)));
static uint64_t stack_before __attribute__((used));

/* A body in assembler: load everything, run `form`, store everything. after_NAME is the address after its syscall. */
#define FORM(name, form)                                                                                     \
	void form_##name(void);                                                                              \
	extern char after_##name[];                                                                          \
	__asm__(".text\n.type form_" #name ",@function\n.globl form_" #name "\nform_" #name ":\n"            \
		"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rax\n"              \
		"lea fill(%rip),%rax\n"                                                                      \
		"movdqu (%rax),%xmm0; movdqu 16(%rax),%xmm1; movdqu 96(%rax),%xmm6; movdqu "                 \
		"240(%rax),%xmm15\n"                                                                         \
		"mov %rsp,stack_before(%rip)\n"                                                              \
		"movq $0x1111,-8(%rsp); movq $0x2222,-64(%rsp); movq $0x3333,-128(%rsp)\n"                   \
		"mov $101,%ebx; mov $102,%edx; mov $103,%esi; mov $104,%edi; mov $105,%ebp; mov $108,%r8d; " \
		"mov $109,%r9d\n"                                                                            \
		"mov $110,%r10d; mov $112,%r12d; mov $113,%r13d; mov $114,%r14d; mov $115,%r15d; mov "       \
		"$3,%ecx; mov $4,%r11d\n"                                                                    \
		"stc\n" form "\n"                                                                            \
		"call store_seen\n"                                                                          \
		"pop %rax; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n")

/* Called right after the form: one return address lies between it and the form's red zone. */
__asm__(".text\nstore_seen:\n"
	"mov %rax,seen+0(%rip); mov %rcx,seen+8(%rip); mov %r11,seen+16(%rip); mov %rbx,seen+32(%rip)\n"
	"mov %rdx,seen+40(%rip); mov %rsi,seen+48(%rip); mov %rdi,seen+56(%rip); mov %rbp,seen+64(%rip); mov "
	"%rsp,seen+72(%rip)\n"
	"mov %r8,seen+80(%rip); mov %r9,seen+88(%rip); mov %r10,seen+96(%rip); mov %r12,seen+104(%rip); mov "
	"%r13,seen+112(%rip)\n"
	"mov %r14,seen+120(%rip); mov %r15,seen+128(%rip)\n"
	"mov -56(%rsp),%rax; mov %rax,seen+136(%rip); mov -120(%rsp),%rax; mov %rax,seen+144(%rip)\n"
	"lea seen+272(%rip),%rax\n"
	"movdqu %xmm0,(%rax); movdqu %xmm1,16(%rax); movdqu %xmm6,96(%rax); movdqu %xmm15,240(%rax)\n"
	"ret\n");

/* The forms. `bare` cannot be widened safely: what follows it is a jump target. */
FORM(mov, "mov $110,%eax\nsyscall\nafter_mov: nop; nop");
FORM(cmp, "mov $110,%rax\nsyscall\nafter_cmp: cmp $-4095,%rax\njae 9f\n9: nop");
FORM(test, "mov $110,%eax\nsyscall\nafter_test: test %rax,%rax\nnop");
FORM(movreg, "push %rbx\nmov $110,%ebx\nmov %ebx,%eax\npop %rbx\nsyscall\nafter_movreg: mov %rax,%rax");
FORM(target, "mov $110,%eax\njmp 2f\n1: jmp 3f\n2: syscall\nafter_target: jmp 1b\n3: nop");
FORM(into, "mov $110,%eax\njmp 2f\nmov $39,%eax\n2: syscall\nafter_into: nop");
FORM(nop, "mov $110,%eax\nsyscall\nafter_nop: nopw 0(%rax,%rax,1)");

/* `mov; syscall; ret` with padding, as musl and hand-made stubs have it. */
long stub_ret(void);
__asm__(".text\n.p2align 4\n.globl stub_ret\nstub_ret: mov $110,%eax\nsyscall\nret\n.p2align 4\n");
long stub_bare(long n);
__asm__(".text\n.p2align 4\n.globl stub_bare\nstub_bare: mov %rdi,%rax\nsyscall\nret\nint3\nint3\n.p2align "
	"4\n");
/* Two ways into one `syscall`: the first with its own number, the second with the caller's. */
long two_ways(void);
long second_way(long n);
__asm__(".text\n.globl two_ways\n.globl second_way\n"
	"second_way: mov %rdi,%rax\njmp 5f\n"
	"two_ways: mov $110,%eax\n5: syscall\nret\n.p2align 4\n");
/* Bytes that look like a syscall inside another instruction. */
long look_alike(void);
__asm__(".text\n.globl look_alike\nlook_alike: mov $0x050f0000,%eax\nmovabs $0x050f050f050f050f,%rdx\nadd "
	"%rdx,%rax\nret\n");

static void check(const char *name, void (*form)(void), const char *after)
{
	memset(&seen, 0xee, sizeof(seen));
	for (int i = 0; i < 256; i++)
		fill[i] = (uint8_t)(i * 7 + 1);
	form();
	printf("%s\n", name);
	fflush(stdout);
	WANT(seen.rax == (uint64_t)getppid());
	WANT(seen.rcx == (uint64_t)(uintptr_t)after);
	WANT((seen.r11 & 0x1) == 1 &&
		(seen.r11 & 0x202) == 0x202); /* the carry that stc had set, interrupts, reserved bit */
	WANT(seen.rbx == 101 && seen.rdx == 102 && seen.rsi == 103 && seen.rdi == 104 && seen.rbp == 105);
	WANT(seen.r8 == 108 && seen.r9 == 109 && seen.r10 == 110);
	WANT(seen.r12 == 112 && seen.r13 == 113 && seen.r14 == 114 && seen.r15 == 115);
	WANT(seen.rsp == stack_before - 8);
	WANT(seen.red[0] == 0x2222 && seen.red[1] == 0x3333);
	WANT(memcmp(seen.xmm, fill, 32) == 0 && memcmp(seen.xmm + 96, fill + 96, 16) == 0 &&
		memcmp(seen.xmm + 240, fill + 240, 16) == 0);
}

int main(void)
{
	for (int i = 0; i < 3; i++) {
		check("mov", form_mov, after_mov);
		check("cmp", form_cmp, after_cmp);
		check("test", form_test, after_test);
		check("movreg", form_movreg, after_movreg);
		check("target", form_target, after_target);
		check("into", form_into, after_into);
		check("nop", form_nop, after_nop);
	}
	section("stubs");
	for (int i = 0; i < 1000; i++) {
		WANT(stub_ret() == getppid());
		WANT(stub_bare(SYS_getpid) == getpid() && stub_bare(SYS_getppid) == getppid());
		WANT(stub_bare(-1) == -ENOSYS);
		WANT(two_ways() == getppid() && second_way(SYS_getpid) == getpid());
		WANT(look_alike() == (long)(0x050f0000ul + 0x050f050f050f050ful));
	}
	return want_done();
}
