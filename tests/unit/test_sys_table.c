/* The table of system calls, against the kernel's own list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include "runtime/sys/table.h"

static const struct {
	unsigned number;
	const char *name;
} kernel[] = {
#include "syscall_names.h"
};
#define KERNEL_COUNT (sizeof(kernel) / sizeof(kernel[0]))

static const char *kernel_name(unsigned number)
{
	for (size_t i = 0; i < KERNEL_COUNT; i++)
		if (kernel[i].number == number)
			return kernel[i].name;
	return NULL;
}

/* An entry for every call of Linux 6.1, under its name, and for nothing else. */
static void test_complete(void **state)
{
	assert_true(KERNEL_COUNT > 350);
	for (unsigned n = 0; n < SYS_TABLE_SIZE; n++) {
		const struct sys_entry *e = &sys_table[n];
		const char *name = kernel_name(n);

		if (!name != (e->kind == SYS_NONE))
			fail_msg("%u %s: %s", n, name ? name : e->name,
				name ? "no entry" : "not a call of Linux");
		if (name && strcmp(name, e->name) != 0)
			fail_msg("%u is %s, named %s", n, name, e->name);
	}
}

static void check_handlers(const struct sys_entry *e)
{
	switch (e->kind) {
	case SYS_PASS:
		if (!e->flags != !e->slow || e->fast)
			fail_msg("%s: descriptors are looked at, and nobody answers; or the other way",
				e->name);
		break;
	case SYS_FAST:
		if (!e->fast || e->flags)
			fail_msg("%s: no fast handler", e->name);
		break;
	case SYS_SLOW:
		if (!e->slow || e->fast || e->flags)
			fail_msg("%s: no slow handler", e->name);
		break;
	default:
		if (e->fast || e->slow || e->flags)
			fail_msg("%s: refused, and handled", e->name);
		break;
	}
}

static void test_consistent(void **state)
{
	for (unsigned n = 0; n < SYS_TABLE_SIZE; n++) {
		const struct sys_entry *e = &sys_table[n];

		if (e->kind == SYS_NONE) {
			assert_null(e->name);
			continue;
		}
		check_handlers(e);
		if ((e->kind == SYS_REFUSE) != (e->err > 0))
			fail_msg("%s: errno %d", e->name, e->err);
		if ((e->kind != SYS_PASS || e->flags) && (!e->note || !e->note[0]))
			fail_msg("%s: no note says what is done", e->name);
		if (e->note && strchr(e->note, '|'))
			fail_msg("%s: a bar would end the cell of a table", e->name);
	}
}

/* Calls that move data of a descriptor, or say something of it, without a path: none may go unseen. */
static void test_descriptors_seen(void **state)
{
	static const int calls[] = {SYS_read, SYS_pread64, SYS_readv, SYS_preadv, SYS_preadv2, SYS_write,
		SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_pwritev2, SYS_mmap, SYS_sendfile, SYS_splice,
		SYS_tee, SYS_vmsplice, SYS_copy_file_range, SYS_io_submit, SYS_dup, SYS_dup2, SYS_dup3,
		SYS_fcntl, SYS_close, SYS_close_range, SYS_recvmsg, SYS_recvmmsg, SYS_pidfd_getfd,
		SYS_unshare, SYS_fstat, SYS_statx, SYS_newfstatat, SYS_lseek, SYS_ftruncate, SYS_fallocate,
		SYS_fchmod, SYS_fchown, SYS_fgetxattr, SYS_fsetxattr, SYS_flistxattr, SYS_fremovexattr,
		SYS_ioctl, SYS_execveat, SYS_linkat, SYS_name_to_handle_at, SYS_open_by_handle_at,
		SYS_utimensat, SYS_futimesat, SYS_fchownat};
	static const int pairs[] = {
		SYS_sendfile, SYS_splice, SYS_tee, SYS_copy_file_range, SYS_dup2, SYS_dup3};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct sys_entry *e = &sys_table[calls[i]];

		if (e->kind == SYS_PASS && !e->flags)
			fail_msg("%s passes unseen", e->name);
	}
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		unsigned flags = sys_table[pairs[i]].flags;

		if (!(flags & (flags - 1)))
			fail_msg("%s: one of two descriptors goes unseen", sys_table[pairs[i]].name);
	}
}

static void test_refused(void **state)
{
	static const struct {
		int call, err;
	} want[] = {{SYS_io_uring_setup, ENOSYS}, {SYS_io_uring_enter, ENOSYS},
		{SYS_io_uring_register, ENOSYS}, {SYS_modify_ldt, ENOSYS}, {SYS_set_thread_area, ENOSYS},
		{SYS_kexec_load, EPERM}, {SYS_kexec_file_load, EPERM}, {SYS_init_module, EPERM},
		{SYS_finit_module, EPERM}, {SYS_delete_module, EPERM}};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(sys_table[want[i].call].kind, SYS_REFUSE);
		assert_int_equal(sys_table[want[i].call].err, want[i].err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_consistent),
		cmocka_unit_test(test_descriptors_seen),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
