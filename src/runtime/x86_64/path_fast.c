/*
 * path_fast: calls that name a file, when no shield is concerned. General registers only (see meson.build).
 */
#include <fcntl.h>
#include "runtime/runtime.h"
#include "runtime/sys/table.h"

static bool in_proc(uint64_t path)
{
	char head[6];

	/* A path that ends before six bytes are readable is no name below /proc; one that cannot be read is the kernel's to refuse. */
	if (!path || user_copy(head, (const void *)path, sizeof(head)) != 0)
		return false;
	return head[0] == '/' && head[1] == 'p' && head[2] == 'r' && head[3] == 'o' && head[4] == 'c' &&
	       head[5] == '/';
}

long sys_path0_fast(struct regs *r, struct thread *t)
{
	if (t->proc->path_rules || in_proc(r->rdi))
		return SYS_GO_SLOW;
	return scone_safe_call((long)r->nr, r);
}

/* fstat as the C library makes it: an empty path and a descriptor. */
static bool only_descriptor(const struct regs *r, const struct process *p)
{
	char first;

	if (r->nr != SYS_newfstatat && r->nr != SYS_statx)
		return false;
	if ((int)r->rdi == AT_FDCWD && p->volumes)
		return false; /* it may be a directory of a volume */
	return user_copy(&first, (const void *)r->rsi, 1) == 0 && !first && !fd_is_shielded(p, r->rdi);
}

long sys_path1_fast(struct regs *r, struct thread *t)
{
	if (t->proc->path_rules ? !only_descriptor(r, t->proc) : in_proc(r->rsi))
		return SYS_GO_SLOW;
	return scone_safe_call((long)r->nr, r);
}
