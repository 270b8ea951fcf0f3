/* Faults of the program's own making: what the handler is told, and every way to go on. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "want.h"

static sigjmp_buf back;
static volatile int got_sig, got_code, got_trap, got_err, on_alt;
static void *volatile got_addr;
static volatile uintptr_t got_rip;

static void leave(int s, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	stack_t ss;

	got_sig = s;
	got_code = si->si_code;
	got_addr = si->si_addr;
	got_rip = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	got_trap = (int)uc->uc_mcontext.gregs[REG_TRAPNO];
	got_err = (int)uc->uc_mcontext.gregs[REG_ERR];
	sigaltstack(NULL, &ss);
	on_alt = ss.ss_flags == SS_ONSTACK;
	siglongjmp(back, 1);
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
	WANT(sigaction(sig, &a, NULL) == 0);
}

static void show(const char *what)
{
	printf("%s: signal %d, code %d, trap %d, error %x, alternate stack %d\n", what, got_sig, got_code,
		got_trap, got_err, on_alt);
	fflush(stdout);
}

extern char fault_ill[], fault_div[], fault_int3_end[];

static void kinds(void)
{
	char *none = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)24;
	show("read of an unmapped page");
	WANT(got_addr == (void *)24 && got_code == SEGV_MAPERR);
	if (!sigsetjmp(back, 1))
		*(volatile char *)(none + 4100) = 1;
	show("write to a forbidden page");
	WANT(got_addr == none + 4100 && got_code == SEGV_ACCERR);
	if (!sigsetjmp(back, 1))
		*(volatile char *)(ro + 1) = 1;
	show("write to a read-only page");
	WANT(got_addr == ro + 1);
	if (!sigsetjmp(back, 1))
		((void (*)(void))(uintptr_t)ro)();
	show("jump to a page without execute");
	WANT(got_addr == ro && got_rip == (uintptr_t)ro);
	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)0x800000000000ul;
	show("address that is not canonical");
	if (!sigsetjmp(back, 1))
		__asm__ volatile(".globl fault_ill\nfault_ill: ud2");
	show("illegal instruction");
	WANT(got_addr == fault_ill && got_rip == (uintptr_t)fault_ill);
	if (!sigsetjmp(back, 1))
		__asm__ volatile(
			"xor %%ecx,%%ecx; mov $1,%%eax; cltd\n.globl fault_div\nfault_div: idivl %%ecx" ::
				: "eax", "ecx", "edx");
	show("division by zero");
	WANT(got_addr == fault_div && got_rip == (uintptr_t)fault_div);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("int3\n.globl fault_int3_end\nfault_int3_end: nop");
	show("breakpoint");
	WANT(got_rip == (uintptr_t)fault_int3_end);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("hlt");
	show("privileged instruction");
	int fd = open("short", O_RDWR | O_CREAT | O_TRUNC, 0600);
	WANT(ftruncate(fd, 4096) == 0);
	char *past = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)(past + 5000);
	show("beyond the end of a file");
	WANT(got_addr == past + 5000);
	munmap(past, 8192);
	close(fd);
	munmap(none, 8192);
	munmap(ro, 4096);
}

/* Skips the faulting instruction, as a JVM's implicit null check goes on elsewhere. */
extern char skip_from[], skip_to[];
static volatile int skipped;

static void skip(int s, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	(void)s;
	(void)si;
	if ((char *)uc->uc_mcontext.gregs[REG_RIP] != skip_from || uc->uc_mcontext.gregs[REG_R12] != 0x77)
		_exit(3);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)skip_to;
	uc->uc_mcontext.gregs[REG_RAX] = 0x99;
	skipped++;
}

static void resume(void)
{
	handle(SIGSEGV, skip, 0);
	for (int i = 0; i < 5000; i++) {
		long rax, r12;
		__asm__ volatile("xor %%eax,%%eax; mov $0x77,%%r12d\n"
				 ".globl skip_from\nskip_from: mov (%%rax),%%rax\n\t"
				 "mov $1,%%eax\n"
				 ".globl skip_to\nskip_to: mov %%rax,%0; mov %%r12,%1"
				 : "=r"(rax), "=r"(r12)::"rax", "r12", "memory");
		if (rax != 0x99 || r12 != 0x77)
			WANT(0);
	}
	WANT(skipped == 5000);
}

/* Makes the page accessible and lets the instruction run again, as a garbage collector's write barrier does. */
static char *barrier;
static volatile int opened;

static void open_page(int s, siginfo_t *si, void *p)
{
	(void)s;
	(void)p;
	if (mprotect((void *)((uintptr_t)si->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE) != 0)
		_exit(4);
	opened++;
}

static void retry(void)
{
	barrier = mmap(NULL, 256 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	handle(SIGSEGV, open_page, SA_NODEFER);
	for (int i = 0; i < 256; i++)
		barrier[i * 4096 + i] = (char)i;
	for (int i = 0; i < 256; i++)
		WANT(barrier[i * 4096 + i] == (char)i);
	WANT(opened == 256);
	munmap(barrier, 256 * 4096);
}

static __attribute__((noinline)) int dive(volatile int n)
{
	volatile char room[2048];
	room[n & 2047] = (char)n;
	if (n < 0)
		return 0;
	return dive(n + 1) + room[5];
}

static void overflow(void)
{
	static char area[65536];
	stack_t ss = {.ss_sp = area, .ss_size = sizeof(area)};

	WANT(sigaltstack(&ss, NULL) == 0);
	handle(SIGSEGV, leave, SA_ONSTACK);
	for (volatile int i = 0; i < 20; i++) {
		on_alt = 0;
		if (!sigsetjmp(back, 1))
			dive(0);
		WANT(on_alt == 1 && got_sig == SIGSEGV);
	}
	ss.ss_flags = SS_DISABLE;
	WANT(sigaltstack(&ss, NULL) == 0);
}

static void *overflow_thread(void *arg)
{
	overflow();
	return arg;
}

/* A fault inside a handler for another signal. */
static volatile int outer;
static void fault_inside(int s, siginfo_t *si, void *p)
{
	(void)s;
	(void)si;
	(void)p;
	outer++;
	if (!sigsetjmp(back, 1))
		*(volatile char *)32 = 1;
	outer += got_addr == (void *)32;
}

static void nested(void)
{
	handle(SIGSEGV, leave, 0);
	handle(SIGUSR1, fault_inside, 0);
	for (int i = 0; i < 100; i++) {
		got_addr = NULL;
		raise(SIGUSR1);
	}
	WANT(outer == 200);
}

/* A bad pointer given to the kernel is EFAULT there, not a signal; one in a vDSO call is a signal. */
static void sent_by_hand(void)
{
	got_addr = (void *)1;
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	WANT(got_sig == SIGSEGV && got_code == SI_TKILL);
	if (!sigsetjmp(back, 1))
		kill(getpid(), SIGFPE);
	WANT(got_sig == SIGFPE && got_code == SI_USER);
}

int main(void)
{
	int sigs[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	pthread_t t;

	for (unsigned i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		handle(sigs[i], leave, 0);
	section("kinds");
	kinds();
	section("sent by hand");
	sent_by_hand();
	section("nested");
	nested();
	section("resume");
	resume();
	section("retry");
	retry();
	section("overflow");
	overflow();
	WANT(pthread_create(&t, NULL, overflow_thread, NULL) == 0 && pthread_join(t, NULL) == 0);
	return want_done();
}
