/*
 * control: arch_prctl, prctl and the end of the process. Fast ones use general registers only.
 */
#include <asm/prctl.h>
#include <errno.h>
#include "runtime/stats.h"
#include "runtime/sys/table.h"

#define PR_SET_DUMPABLE_OP 4
#define PR_SET_MM_OP 35
#define PR_SUD_OP 59

long sys_arch_prctl(struct regs *r, struct thread *t)
{
	switch (r->rdi) {
	case ARCH_SET_FS:
		if (r->rsi >> 47)
			return -EPERM;
		r->fs = r->rsi;
		return 0;
	case ARCH_GET_FS:
		return user_copy((void *)r->rsi, &r->fs, sizeof(r->fs));
	case ARCH_SET_GS:
		return -EPERM; /* GS base names the thread */
	case ARCH_GET_GS: {
		uint64_t none = 0;

		return user_copy((void *)r->rsi, &none, sizeof(none));
	}
	default:
		return scone_safe_call(SYS_arch_prctl, r);
	}
}

long sys_prctl(struct regs *r, struct thread *t)
{
	switch (r->rdi) {
	case PR_SUD_OP:
		return -EINVAL; /* in use */
	case PR_SET_MM_OP:
		return -EPERM;
	case PR_SET_DUMPABLE_OP:
		if (runtime.attested)
			return r->rsi <= 1 ? 0 : -EINVAL; /* stays as it is: memory may hold secrets */
		return scone_safe_call(SYS_prctl, r);
	default:
		return scone_safe_call(SYS_prctl, r);
	}
}

long sys_exit_group(struct regs *r, struct thread *t)
{
	if (stats && !t->is_vfork)
		stats_print();
	return host_call1(SYS_exit_group, (long)r->rdi);
}

long sys_close_range_fast(struct regs *r, struct thread *t)
{
	return t->proc->fd_bits ? SYS_GO_SLOW : scone_safe_call(SYS_close_range, r);
}
