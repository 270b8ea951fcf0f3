/*
 * syscalls: prints docs/syscalls.md from the table that the runtime is built with.
 */
#include <stdio.h>
#include <string.h>
#include "runtime/sys/table.h"

static const char head[] =
	"# System calls\n"
	"\n"
	"What the runtime does with each system call of a program. Made from `src/runtime/sys/table.c` by "
	"`make docs`; a test compares it.\n"
	"\n"
	"- **passed**: to the kernel, unchanged. A signal of the program interrupts it as natively.\n"
	"- **shielded**: passed, unless one of its descriptors stands for an injected file. Then it is "
	"answered from memory, or as the note says.\n"
	"- **emulated**: the runtime looks at it first. Most go on to the kernel when nothing concerns the "
	"runtime or an injected file.\n"
	"- **refused**: answered with the error, never passed.\n"
	"\n"
	"A number that is not here is answered `ENOSYS`, as by Linux 6.1, whose calls these are; so is every "
	"call of the 32-bit and x32 interfaces.\n"
	"In the notes a *service* is an attested program, whose memory may hold secrets, and a *file in "
	"memory* is an injected one that the host does\n"
	"not have. A *placeholder* is the empty memory file that the kernel knows an open injected file by.\n"
	"\n"
	"## What keeps the rest out\n"
	"\n"
	"| way | what it meets |\n"
	"|---|---|\n"
	"| another process reads `/proc/PID/mem`, `process_vm_readv`, `ptrace`, `pidfd_getfd` | a service is "
	"not dumpable, so the kernel wants "
	"`CAP_SYS_PTRACE`; keys and content not yet read lie in `memfd_secret`, which none of them reads |\n"
	"| the program itself opens `/proc/self/mem` | `EACCES` in a service; with `process_vm_readv` it "
	"reads what it may load anyway |\n"
	"| `/proc/self/fd/N`, `/dev/fd/N`, `/dev/stdin` | opened anew as the injected file, with the rights "
	"asked for |\n"
	"| `/proc/PID/fd/N` of another process, `SCM_RIGHTS` to another program | the placeholder: the "
	"file's length in zeros |\n"
	"| `/proc/self/map_files` | content is mapped from anonymous memory and is not listed |\n"
	"| hard link, bind mount, file handle of an injected file that the host has | recognised by device "
	"and inode: the injected file |\n"
	"| unlink, rename onto or away, link of a file in memory | `EPERM` |\n"
	"| `splice`, `tee`, `copy_file_range`, `io_submit` | `EINVAL`, after which programs read and write "
	"|\n"
	"| io_uring | `ENOSYS` |\n"
	"\n";

static const char *treatment(const struct sys_entry *e)
{
	static char refused[64];

	switch (e->kind) {
	case SYS_PASS:
		return e->flags ? "shielded" : "passed";
	case SYS_REFUSE:
		snprintf(refused, sizeof(refused), "refused: `%s`", strerrorname_np(e->err));
		return refused;
	default:
		return "emulated";
	}
}

static void print_counts(void)
{
	size_t passed = 0, shielded = 0, emulated = 0, refused = 0;

	for (size_t i = 0; i < SYS_TABLE_SIZE; i++) {
		const struct sys_entry *e = &sys_table[i];

		passed += e->kind == SYS_PASS && !e->flags;
		shielded += e->kind == SYS_PASS && e->flags;
		emulated += e->kind == SYS_FAST || e->kind == SYS_SLOW;
		refused += e->kind == SYS_REFUSE;
	}
	printf("## The table\n\n%zu calls: %zu passed, %zu shielded, %zu emulated, %zu refused.\n\n",
		passed + shielded + emulated + refused, passed, shielded, emulated, refused);
}

int main(void)
{
	fputs(head, stdout);
	print_counts();
	puts("| number | call | treatment | note |\n|---:|---|---|---|");
	for (size_t i = 0; i < SYS_TABLE_SIZE; i++) {
		const struct sys_entry *e = &sys_table[i];

		if (e->kind != SYS_NONE)
			printf("| %zu | %s | %s | %s |\n", i, e->name, treatment(e), e->note ? e->note : "");
	}
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
