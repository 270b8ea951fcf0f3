/*
 * dispatch: from the entry point to a handler. General registers only (see meson.build): the program's vector state is live here.
 */
#include <errno.h>
#include "runtime/rewrite_hooks.h"
#include "runtime/runtime.h"
#include "runtime/sys/table.h"
#include "runtime/sys/volume.h"

uint8_t scone_lean[65536];

/* Can the call be one that a shield of this process answers? */
static bool may_be_slow(const struct process *p, unsigned flags)
{
	if (!p->fd_bits)
		return false;
	if ((p->net_rules && (flags & NET_FLAGS)) || (p->volumes && (flags & (VOLUME_ANY | VOLUME_NAMED))))
		return true;
	return (flags & FD_FLAGS) && (!(flags & NET_ONLY) || p->console_rules);
}

void lean_start(const struct process *p)
{
	for (unsigned nr = 0; nr < SYS_TABLE_SIZE; nr++)
		scone_lean[nr] = sys_table[nr].kind == SYS_PASS && !may_be_slow(p, sys_table[nr].flags);
}

void regs_restart(struct regs *r)
{
	uint64_t native;

	if (rewrite_native_ip(r->rip, &native))
		r->rip = native;
	r->rip -=
		2; /* `syscall` is two bytes, and so is what a rewritten site leaves before its return address */
	r->rax = r->nr;
}

static void finish(struct regs *r, long ret)
{
	if (ret == HOST_ERESTART)
		regs_restart(r);
	else
		r->rax = (uint64_t)ret;
}

static bool touches_shield(const struct process *p, const struct regs *r, unsigned flags)
{
	if (!p->fd_bits)
		return false;
	if ((flags & VOLUME_NAMED) && p->volumes && r->r8)
		return true;
	if ((flags & NET_ONLY) && !p->net_rules && !p->console_rules)
		return false;
	if (((flags & VOLUME_ANY) && p->volumes) || ((flags & NET_ANY) && p->net_rules) ||
		((flags & NET_WAITS) && net_is_shaking(p)))
		return true;
	return ((flags & FD_ARG0) && fd_is_shielded(p, r->rdi)) ||
	       ((flags & FD_ARG1) && fd_is_shielded(p, r->rsi)) ||
	       ((flags & FD_ARG2) && fd_is_shielded(p, r->rdx)) ||
	       ((flags & FD_ARG4) && fd_is_shielded(p, r->r8));
}

int scone_dispatch(struct regs *r, struct thread *t)
{
	const struct sys_entry *e;
	long ret;

	r->nr = (uint32_t)r->nr; /* as the kernel: the upper half does not count */
	if (r->nr >= SYS_TABLE_SIZE) {
		r->rax = (uint64_t)-ENOSYS;
		return 0;
	}
	e = &sys_table[r->nr];
	switch (e->kind) {
	case SYS_PASS:
		if (e->flags && touches_shield(t->proc, r, e->flags))
			return 1;
		ret = scone_safe_call((long)r->nr, r);
		break;
	case SYS_FAST:
		ret = e->fast(r, t);
		if (ret == SYS_GO_SLOW)
			return 1;
		break;
	case SYS_SLOW:
		return 1;
	case SYS_REFUSE:
		ret = -e->err;
		break;
	default:
		ret = -ENOSYS;
		break;
	}
	finish(r, ret);
	return 0;
}

void scone_dispatch_slow(struct regs *r, struct thread *t)
{
	long ret = t->proc->volumes ? volume_path_call(r, t) : VOLUME_NOT_OURS;

	finish(r, ret == VOLUME_NOT_OURS ? sys_table[r->nr].slow(r, t) : ret);
}
