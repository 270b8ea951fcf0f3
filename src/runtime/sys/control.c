/*
 * control: arch_prctl, prctl and the end of the process. Fast ones use general registers only.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include "runtime/console.h"
#include "runtime/net.h"
#include "runtime/stats.h"
#include "runtime/sys/table.h"
#include "runtime/volumes.h"

#define PR_SET_DUMPABLE_OP 4
#define PR_SET_MM_OP 35
#define PR_GET_TID_ADDRESS_OP 40
#define PR_SUD_OP 59
#define PR_SET_MDWE_OP 65
#define ARCH_SHSTK_ENABLE_OP 0x5001
#define ARCH_SHSTK_DISABLE_OP 0x5002
#define ARCH_SHSTK_LOCK_OP 0x5003

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
	case ARCH_SHSTK_ENABLE_OP:
	case ARCH_SHSTK_DISABLE_OP:
	case ARCH_SHSTK_LOCK_OP:
		return -EINVAL; /* as before Linux 6.6: rewritten code returns to where no call was */
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
	case PR_SET_MDWE_OP:
		return -EINVAL; /* as before Linux 6.3: code that is mapped later could not be rewritten */
	case PR_GET_TID_ADDRESS_OP:
		return user_copy((void *)r->rsi, &t->clear_tid, sizeof(t->clear_tid));
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
	if (!t->is_vfork)
		stats_print();
	volumes_exit(t->proc);
	if (!t->is_vfork && net_active(t->proc))
		net_exit(t->proc);
	if (!t->is_vfork && t->proc->console_rules)
		console_exit(t->proc);
	return host_call1(SYS_exit_group, (long)r->rdi);
}

long sys_fds_fast(struct regs *r, struct thread *t)
{
	return t->proc->fd_bits ? SYS_GO_SLOW : scone_safe_call((long)r->nr, r);
}

long sys_rules_fast(struct regs *r, struct thread *t)
{
	return t->proc->path_rules ? SYS_GO_SLOW : scone_safe_call((long)r->nr, r);
}

/* Descriptors come only where there is room for them. */
long sys_recvmsg_fast(struct regs *r, struct thread *t)
{
	struct msghdr h;

	if (fd_is_shielded(t->proc, r->rdi))
		return SYS_GO_SLOW;
	if (!t->proc->fd_bits || user_copy(&h, (const void *)r->rsi, sizeof(h)) || !h.msg_control ||
		h.msg_controllen < sizeof(struct cmsghdr))
		return scone_safe_call(SYS_recvmsg, r);
	return SYS_GO_SLOW;
}

/* Under READ_IMPLIES_EXEC every readable page is code, unmeasured and unseen. */
long sys_personality(struct regs *r, struct thread *t)
{
	uint32_t persona = (uint32_t)r->rdi;

	if (runtime.attested && persona != UINT32_MAX && (persona & READ_IMPLIES_EXEC))
		return -EPERM;
	return scone_safe_call(SYS_personality, r);
}

/* Nobody traces what may hold secrets, not even at its own wish. */
long sys_ptrace(struct regs *r, struct thread *t)
{
	return runtime.attested ? -EPERM : scone_safe_call(SYS_ptrace, r);
}
