/*
 * table: see table.h. What is not listed passes to the host unchanged.
 */
#include "runtime/sys/table.h"

#include <errno.h>

const struct sys_entry sys_table[SYS_TABLE_SIZE] = {
	/* memory */
	[SYS_mmap] = {.kind = SYS_FAST, .fast = sys_mmap_fast, .slow = sys_mmap},
	[SYS_munmap] = {.kind = SYS_FAST, .fast = sys_munmap_fast, .slow = sys_munmap},
	[SYS_mprotect] = {.kind = SYS_FAST, .fast = sys_mprotect_fast},
	[SYS_pkey_mprotect] = {.kind = SYS_FAST, .fast = sys_mprotect_fast},
	[SYS_mremap] = {.kind = SYS_FAST, .fast = sys_mremap_fast},
	[SYS_brk] = {.kind = SYS_SLOW, .slow = sys_brk},

	/* signals */
	[SYS_rt_sigaction] = {.kind = SYS_FAST, .fast = sys_rt_sigaction},
	[SYS_rt_sigprocmask] = {.kind = SYS_FAST, .fast = sys_rt_sigprocmask},
	[SYS_rt_sigpending] = {.kind = SYS_FAST, .fast = sys_rt_sigpending},
	[SYS_rt_sigreturn] = {.kind = SYS_FAST, .fast = sys_rt_sigreturn},
	[SYS_sigaltstack] = {.kind = SYS_FAST, .fast = sys_sigaltstack},
	[SYS_rt_sigsuspend] = {.kind = SYS_FAST, .fast = sys_rt_sigsuspend},
	[SYS_ppoll] = {.kind = SYS_FAST, .fast = sys_ppoll},
	[SYS_pselect6] = {.kind = SYS_FAST, .fast = sys_pselect6},
	[SYS_epoll_pwait] = {.kind = SYS_FAST, .fast = sys_epoll_pwait},
	[SYS_epoll_pwait2] = {.kind = SYS_FAST, .fast = sys_epoll_pwait},

	/* processes and threads */
	[SYS_clone] = {.kind = SYS_SLOW, .slow = sys_clone},
	[SYS_fork] = {.kind = SYS_SLOW, .slow = sys_fork},
	[SYS_vfork] = {.kind = SYS_SLOW, .slow = sys_vfork},
	[SYS_execve] = {.kind = SYS_SLOW, .slow = sys_execve},
	[SYS_execveat] = {.kind = SYS_SLOW, .slow = sys_execveat},
	[SYS_exit] = {.kind = SYS_SLOW, .slow = sys_exit},
	[SYS_set_tid_address] = {.kind = SYS_SLOW, .slow = sys_set_tid_address},
	[SYS_rseq] = {.kind = SYS_SLOW, .slow = sys_rseq},
	[SYS_arch_prctl] = {.kind = SYS_SLOW, .slow = sys_arch_prctl},
	[SYS_prctl] = {.kind = SYS_FAST, .fast = sys_prctl},
	[SYS_exit_group] = {.kind = SYS_SLOW, .slow = sys_exit_group},
	[SYS_clone3] = {.kind = SYS_REFUSE,
		.err = ENOSYS,
		.why = "libraries fall back to clone, which is done in full"},

	/* calls that name a file */
	[SYS_open] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_open},
	[SYS_creat] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_creat},
	[SYS_readlink] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_readlink},
	[SYS_stat] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_stat},
	[SYS_lstat] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_lstat},
	[SYS_access] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_access},
	[SYS_truncate] = {.kind = SYS_FAST, .fast = sys_path0_fast, .slow = sys_truncate},
	[SYS_openat] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_openat},
	[SYS_openat2] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_openat2},
	[SYS_readlinkat] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_readlinkat},
	[SYS_newfstatat] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_newfstatat},
	[SYS_statx] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_statx},
	[SYS_faccessat] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_faccessat},
	[SYS_faccessat2] = {.kind = SYS_FAST, .fast = sys_path1_fast, .slow = sys_faccessat2},

	/* calls on a descriptor */
	[SYS_read] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_read},
	[SYS_pread64] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_pread64},
	[SYS_readv] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_readv},
	[SYS_preadv] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_preadv},
	[SYS_preadv2] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_preadv},
	[SYS_write] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_write},
	[SYS_pwrite64] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_pwrite64},
	[SYS_writev] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_writev},
	[SYS_pwritev] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_pwritev},
	[SYS_pwritev2] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_pwritev},
	[SYS_lseek] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_lseek},
	[SYS_fstat] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_fstat},
	[SYS_ftruncate] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_ftruncate},
	[SYS_fallocate] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_fallocate},
	[SYS_ioctl] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_ioctl},
	[SYS_fcntl] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_fcntl},
	[SYS_dup] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_dup},
	[SYS_close] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_close},
	[SYS_dup2] = {.kind = SYS_PASS, .flags = FD_ARG0 | FD_ARG1, .slow = sys_dup2},
	[SYS_dup3] = {.kind = SYS_PASS, .flags = FD_ARG0 | FD_ARG1, .slow = sys_dup3},
	[SYS_close_range] = {.kind = SYS_FAST, .fast = sys_close_range_fast, .slow = sys_close_range},
	[SYS_sendfile] = {.kind = SYS_PASS, .flags = FD_ARG0 | FD_ARG1, .slow = sys_fd_refused},
	[SYS_splice] = {.kind = SYS_PASS, .flags = FD_ARG0 | FD_ARG2, .slow = sys_fd_refused},
	[SYS_tee] = {.kind = SYS_PASS, .flags = FD_ARG0 | FD_ARG1, .slow = sys_fd_refused},
	[SYS_vmsplice] = {.kind = SYS_PASS, .flags = FD_ARG0, .slow = sys_fd_refused},
	[SYS_copy_file_range] = {.kind = SYS_PASS, .flags = FD_ARG0 | FD_ARG2, .slow = sys_fd_refused},

	/* input and output without system calls: no way to see it */
	[SYS_io_uring_setup] = {.kind = SYS_REFUSE,
		.err = ENOSYS,
		.why = "would do input and output past the runtime"},
	[SYS_io_uring_enter] = {.kind = SYS_REFUSE,
		.err = ENOSYS,
		.why = "would do input and output past the runtime"},
	[SYS_io_uring_register] = {.kind = SYS_REFUSE,
		.err = ENOSYS,
		.why = "would do input and output past the runtime"},

	/* not for a program in a runtime's process */
	[SYS_modify_ldt] = {.kind = SYS_REFUSE, .err = ENOSYS, .why = "segments are not virtualised"},
};
