/*
 * counters: makes system calls of known number at sites of known kind, for tests/e2e/counters.sh.
 *
 *   counters site N     N calls at a site of this file that cannot be rewritten
 *   counters plain N    N calls at a site that can
 *   counters jit N      N calls in code made at run time, in memory without a name
 *   counters gone N     as jit, and the memory is given back
 *   counters many       five calls at each of 12 sites made at run time, ten more at each of them than at the one before
 *   counters threads N  eight threads, each N calls at the site that can
 *   counters fork N     N at site before fork, 2 * N in the child, N more in the parent
 *   counters raw N      N at site, and the end by the thread's exit
 * It prints where the site is: its offset in this file, and for jit its address.
 */
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A branch to the byte behind the syscall instruction, and nothing before it that may move: no window fits. */
__asm__(".text\n"
	"call_site:\n"
	"	movl $39, %eax\n"
	"	jmp the_site\n"
	"	int3\n"
	"the_site:\n"
	"	syscall\n"
	"behind:\n"
	"	ret\n"
	"	jmp behind\n"
	"call_plain:\n"
	"	movl $39, %eax\n"
	"	syscall\n"
	"	ret\n"
	".type call_site, @function\n"
	".size call_site, call_plain - call_site\n"
	".type call_plain, @function\n"
	".size call_plain, . - call_plain\n");
long call_site(void);
long call_plain(void);
extern const char the_site[];

static const unsigned char jit[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
#define JIT_SITE 5

static int offset_in_file(struct dl_phdr_info *info, size_t size, void *ret)
{
	uint64_t at = (uint64_t)the_site - info->dlpi_addr;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && at >= p->p_vaddr && at < p->p_vaddr + p->p_filesz)
			*(uint64_t *)ret = at - p->p_vaddr + p->p_offset;
	}
	return 1; /* the first is this program */
}

static void repeat(long (*call)(void), int n)
{
	while (n-- > 0)
		if (call() != getpid())
			exit(2);
}

static unsigned char *generate(void)
{
	unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(3);
	for (int i = 0; i < 12; i++)
		memcpy(p + 16 * i, jit, sizeof(jit));
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC))
		exit(3);
	return p;
}

static void *in_thread(void *n)
{
	repeat(call_plain, *(int *)n);
	return NULL;
}

static void many(void)
{
	unsigned char *p = generate();

	for (int i = 0; i < 12; i++)
		repeat((long (*)(void))(p + 16 * i), 5 + 10 * i);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0;
	uint64_t offset = 0;

	dl_iterate_phdr(offset_in_file, &offset);
	printf("site %#lx\n", (unsigned long)offset);
	fflush(stdout);
	if (!strcmp(what, "site") || !strcmp(what, "raw")) {
		repeat(call_site, n);
	} else if (!strcmp(what, "plain")) {
		repeat(call_plain, n);
	} else if (!strcmp(what, "many")) {
		many();
	} else if (!strcmp(what, "threads")) {
		pthread_t t[8];

		for (int i = 0; i < 8; i++)
			if (pthread_create(&t[i], NULL, in_thread, &n))
				return 4;
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	} else if (!strcmp(what, "jit") || !strcmp(what, "gone")) {
		unsigned char *p = generate();

		repeat((long (*)(void))p, n);
		printf("jit %#lx\n", (unsigned long)(p + JIT_SITE));
		fflush(stdout);
		if (!strcmp(what, "gone"))
			munmap(p, 4096);
	} else if (!strcmp(what, "fork")) {
		pid_t child;

		repeat(call_site, n);
		child = fork();
		repeat(call_site, child ? n : 2 * n);
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	} else {
		return 1;
	}
	if (!strcmp(what, "raw"))
		syscall(SYS_exit, 0);
	return 0;
}
