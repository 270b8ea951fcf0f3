/*
 * table: what the runtime does with each system call of the program.
 *
 * PASS    to the host unchanged, interruptible. With FD_ARG0/FD_ARG1: unless that descriptor is served by a shield, then slow.
 * FAST    a handler that uses general registers only; it may ask for the slow one.
 * SLOW    a handler in ordinary C; the program's vector state is saved around it.
 * REFUSE  answered with `err`; `note` says the reason.
 * NONE    a number that Linux 6.1 does not have: ENOSYS.
 *
 * docs/syscalls.md is made from it: `note` is for people.
 *
 * A handler answers the result or -errno; HOST_ERESTART makes the call happen again after signal handlers have run.
 */
#ifndef SCONE_RUNTIME_SYS_TABLE_H
#define SCONE_RUNTIME_SYS_TABLE_H

#include "runtime/runtime.h"

#define SYS_TABLE_SIZE 451 /* Linux 6.1 knows 0 .. 450 */

enum sys_kind { SYS_NONE, SYS_PASS, SYS_FAST, SYS_SLOW, SYS_REFUSE };
/* NET_ANY: slow in a program with rules of the network; NET_WAITS: while one of its TLS handshakes is under way; VOLUME_ANY: in one with
 * volumes; VOLUME_NAMED: and a fifth argument. NET_ONLY: the descriptor is looked at in a program with rules of the network or the console only. */
enum sys_flags {
	FD_ARG0 = 1,
	FD_ARG1 = 2,
	FD_ARG2 = 4,
	FD_ARG4 = 8,
	NET_ANY = 16,
	NET_WAITS = 32,
	VOLUME_ANY = 64,
	NET_ONLY = 128,
	VOLUME_NAMED = 256
};
#define FD_FLAGS (FD_ARG0 | FD_ARG1 | FD_ARG2 | FD_ARG4)
#define NET_FLAGS (NET_ANY | NET_WAITS | NET_ONLY)

typedef long (*sys_handler)(struct regs *r, struct thread *t);

/* What a FAST handler answers to have the slow handler called. */
#define SYS_GO_SLOW (1L << 62)

struct sys_entry {
	uint8_t kind;
	uint16_t flags;
	int16_t err; /* REFUSE: positive errno */
	sys_handler fast; /* FAST */
	sys_handler slow; /* SLOW, and where FAST or PASS goes slow */
	const char *name;
	const char *note; /* NULL: nothing to say; never for REFUSE */
};

extern const struct sys_entry sys_table[SYS_TABLE_SIZE];

/* Is a TLS handshake of this program under way? */
static inline bool net_is_shaking(const struct process *p)
{
	return p->net_shaking && __atomic_load_n(p->net_shaking, __ATOMIC_ACQUIRE);
}

/* Is the descriptor served by a shield? */
static inline bool fd_is_shielded(const struct process *p, uint64_t fd)
{
	uint64_t n = (uint32_t)fd;

	return p->fd_bits && n < FD_TRACK_MAX &&
	       (__atomic_load_n(&p->fd_bits[n / 64], __ATOMIC_ACQUIRE) >> (n % 64) & 1);
}

/* memory.c */
long sys_mmap_fast(struct regs *r, struct thread *t);
long sys_mmap(struct regs *r, struct thread *t);
long sys_munmap_fast(struct regs *r, struct thread *t);
long sys_munmap(struct regs *r, struct thread *t);
long sys_mprotect_fast(struct regs *r, struct thread *t);
long sys_mprotect(struct regs *r, struct thread *t);
long sys_mremap_fast(struct regs *r, struct thread *t);
long sys_mremap(struct regs *r, struct thread *t);
long sys_madvise_fast(struct regs *r, struct thread *t);
long sys_msync_fast(struct regs *r, struct thread *t);
long sys_msync(struct regs *r, struct thread *t);
long sys_shmat_fast(struct regs *r, struct thread *t);
long sys_shmat(struct regs *r, struct thread *t);
long sys_brk(struct regs *r, struct thread *t);

/* signal calls: ../signal.c (fast), signal_slow.c */
long sys_rt_sigaction(struct regs *r, struct thread *t);
long sys_rt_sigprocmask(struct regs *r, struct thread *t);
long sys_rt_sigpending(struct regs *r, struct thread *t);
long sys_rt_sigreturn(struct regs *r, struct thread *t);
long sys_sigaltstack(struct regs *r, struct thread *t);
long sys_rt_sigtimedwait(struct regs *r, struct thread *t);
long sys_rt_sigsuspend(struct regs *r, struct thread *t);
long sys_ppoll(struct regs *r, struct thread *t);
long sys_pselect6(struct regs *r, struct thread *t);
long sys_epoll_pwait(struct regs *r, struct thread *t);

/* control.c: general registers only. The first two pass unless descriptors are shielded, or paths are. */
long sys_fds_fast(struct regs *r, struct thread *t);
long sys_rules_fast(struct regs *r, struct thread *t);
long sys_recvmsg_fast(struct regs *r, struct thread *t);
long sys_personality(struct regs *r, struct thread *t);
long sys_ptrace(struct regs *r, struct thread *t);

/* process.c, thread.c, exec.c */
long sys_clone(struct regs *r, struct thread *t);
long sys_clone3(struct regs *r, struct thread *t);
long sys_fork(struct regs *r, struct thread *t);
long sys_vfork(struct regs *r, struct thread *t);
long sys_exit(struct regs *r, struct thread *t);
long sys_exit_group(struct regs *r, struct thread *t);
long sys_execve(struct regs *r, struct thread *t);
long sys_execveat(struct regs *r, struct thread *t);
long sys_set_tid_address(struct regs *r, struct thread *t);
long sys_rseq(struct regs *r, struct thread *t);
long sys_arch_prctl(struct regs *r, struct thread *t);
long sys_prctl(struct regs *r, struct thread *t);

/* path.c: calls that name a file. fast: pass unless a rule or /proc is concerned. */
long sys_path0_fast(struct regs *r, struct thread *t); /* path in rdi */
long sys_path1_fast(struct regs *r, struct thread *t); /* path in rsi, directory descriptor in rdi */
long sys_open(struct regs *r, struct thread *t);
long sys_creat(struct regs *r, struct thread *t);
long sys_openat(struct regs *r, struct thread *t);
long sys_openat2(struct regs *r, struct thread *t);
long sys_readlink(struct regs *r, struct thread *t);
long sys_readlinkat(struct regs *r, struct thread *t);
long sys_stat(struct regs *r, struct thread *t);
long sys_lstat(struct regs *r, struct thread *t);
long sys_newfstatat(struct regs *r, struct thread *t);
long sys_statx(struct regs *r, struct thread *t);
long sys_access(struct regs *r, struct thread *t);
long sys_faccessat(struct regs *r, struct thread *t);
long sys_faccessat2(struct regs *r, struct thread *t);
long sys_truncate(struct regs *r, struct thread *t);

/* handle.c: file handles and file systems. */
long sys_statfs(struct regs *r, struct thread *t);
long sys_name_to_handle_at(struct regs *r, struct thread *t);
long sys_open_by_handle_at(struct regs *r, struct thread *t);

/* path_change.c: calls that change, replace or remove what a path names. make: mkdir, mknod. */
long sys_unlink(struct regs *r, struct thread *t);
long sys_unlinkat(struct regs *r, struct thread *t);
long sys_rename(struct regs *r, struct thread *t);
long sys_renameat(struct regs *r, struct thread *t);
long sys_link(struct regs *r, struct thread *t);
long sys_linkat(struct regs *r, struct thread *t);
long sys_symlink(struct regs *r, struct thread *t);
long sys_symlinkat(struct regs *r, struct thread *t);
long sys_make(struct regs *r, struct thread *t);
long sys_makeat(struct regs *r, struct thread *t);
long sys_chmod(struct regs *r, struct thread *t);
long sys_fchmodat(struct regs *r, struct thread *t);
long sys_chown(struct regs *r, struct thread *t);
long sys_fchownat(struct regs *r, struct thread *t);
long sys_utimensat(struct regs *r, struct thread *t);
long sys_futimesat(struct regs *r, struct thread *t);
long sys_utimes(struct regs *r, struct thread *t);
long sys_utime(struct regs *r, struct thread *t);
long sys_rmdir(struct regs *r, struct thread *t);
long sys_xattr(struct regs *r, struct thread *t);

/* fd_call.c: calls that a descriptor decides, which go to what fd_ops.h has for its kind; and those that copy or close descriptors. */
long sys_fd(struct regs *r, struct thread *t); /* of the first argument */
long sys_fd_pair(struct regs *r, struct thread *t); /* of the first and second, as sendfile */
long sys_fd_ends(struct regs *r, struct thread *t); /* of the first and third, as splice */
long sys_fcntl(struct regs *r, struct thread *t);
long sys_dup(struct regs *r, struct thread *t);
long sys_dup2(struct regs *r, struct thread *t); /* and dup3 */
long sys_close(struct regs *r, struct thread *t);
long sys_close_range(struct regs *r, struct thread *t);

/* volume_fd.c. pass: for calls that volume_path_call sees first. */
long sys_pass(struct regs *r, struct thread *t);
long sys_credentials(struct regs *r, struct thread *t);
long sys_umask(struct regs *r, struct thread *t);
long sys_sync(struct regs *r, struct thread *t);
long sys_io_setup(struct regs *r, struct thread *t);

/* descriptor.c: descriptors that come or go past open, dup and close; input and output without waiting. */
long sys_recvmsg(struct regs *r, struct thread *t);
long sys_recvmmsg(struct regs *r, struct thread *t);
long sys_recvmsg_plain(struct regs *r, struct thread *t); /* no protected connection */
long sys_recvmmsg_plain(struct regs *r, struct thread *t);
long sys_pidfd_getfd(struct regs *r, struct thread *t);
long sys_unshare(struct regs *r, struct thread *t);
long sys_change_tree(struct regs *r, struct thread *t); /* runtime/self.c */
long sys_io_submit(struct regs *r, struct thread *t);
long sys_io_pgetevents(struct regs *r, struct thread *t);

/* net_socket.c, net_io.c, net_wait.c: only in a program with rules of the network. */
long sys_socket(struct regs *r, struct thread *t);
long sys_connect(struct regs *r, struct thread *t);
long sys_listen(struct regs *r, struct thread *t);
long sys_accept(struct regs *r, struct thread *t);
long sys_sendmsg(struct regs *r, struct thread *t);
long sys_sendmmsg(struct regs *r, struct thread *t);
long sys_poll(struct regs *r, struct thread *t);
long sys_select(struct regs *r, struct thread *t);
long sys_epoll_wait(struct regs *r, struct thread *t);
long sys_ppoll_slow(struct regs *r, struct thread *t);
long sys_pselect6_slow(struct regs *r, struct thread *t);
long sys_epoll_pwait_slow(struct regs *r, struct thread *t);
long sys_epoll_ctl(struct regs *r, struct thread *t);

#endif
