#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "host/volume_file.h"

static char dir[64], path[128];

static int setup(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/volume-file.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/v", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "%s/" VOLUME_FILE_NAME, path);
	(void)unlink(command);
	(void)rmdir(path);
	(void)unlink(path);
	return rmdir(dir);
}

/* path as a plain file instead of a directory. */
static int setup_file(void **state)
{
	int fd;

	if (setup(state) || (fd = open(path, O_WRONLY | O_CREAT, 0600)) < 0)
		return -1;
	return close(fd);
}

static const char *text(const struct volume_file *f)
{
	static char t[4600];

	volume_file_failure_text(f, t, sizeof(t));
	return t;
}

static void test_create_in_directory(void **state)
{
	struct volume_file f;
	struct stat st;
	char file[256];

	assert_int_equal(volume_file_open(&f, path, 0), -ENOENT);
	assert_non_null(strstr(text(&f), path));
	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE), 0);
	(void)snprintf(file, sizeof(file), "%s/" VOLUME_FILE_NAME, path);
	assert_string_equal(f.path, file);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	volume_file_close(&f);
	volume_file_close(&f);
	/* Empty still: may be made again. With content it is not touched. */
	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE), 0);
	assert_int_equal(volume_file_write(&f, 0, "0123456789abcdef", 16), 0);
	volume_file_close(&f);
	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE), -EEXIST);
	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE | VOLUME_FILE_REPLACE), 0);
	assert_int_equal(f.size, 0);
	volume_file_close(&f);
}

static void test_one_writer(void **state)
{
	struct volume_file a, b, c;
	int status;
	pid_t pid;

	assert_int_equal(volume_file_open(&a, path, VOLUME_FILE_CREATE), 0);
	assert_int_equal(volume_file_open(&b, path, 0), -EBUSY);
	assert_non_null(strstr(text(&b), "another process"));
	assert_int_equal(volume_file_open(&b, path, VOLUME_FILE_READ_ONLY), -EBUSY);
	pid = fork();
	if (pid == 0) /* inherited: the same holder; opened anew: another */
		_exit(volume_file_write(&a, 0, "child", 5) == 0 && volume_file_open(&b, path, 0) == -EBUSY
				? 0
				: 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(volume_file_open(&b, path, 0), -EBUSY); /* the child's end frees nothing */
	volume_file_close(&a);
	assert_int_equal(volume_file_open(&a, path, VOLUME_FILE_READ_ONLY), 0);
	assert_int_equal(volume_file_open(&b, path, VOLUME_FILE_READ_ONLY), 0);
	assert_int_equal(volume_file_open(&c, path, 0), -EBUSY);
	assert_int_equal(volume_file_write(&a, 0, "x", 1), -EROFS);
	volume_file_close(&a);
	volume_file_close(&b);
}

static void test_data(void **state)
{
	size_t n = 3 << 20;
	uint8_t *p = malloc(n), *q = malloc(n);
	struct volume_file f;
	struct stat st;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 31 + (i >> 12));
	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE), 0);
	assert_int_equal(volume_file_read(&f, 0, q, 4096), -ENODATA);
	assert_int_equal(volume_file_write(&f, 8192, p, n), 0);
	assert_int_equal(volume_file_flush(&f), 0);
	assert_int_equal(volume_file_read(&f, 8192, q, n), 0);
	assert_memory_equal(p, q, n);
	assert_int_equal(volume_file_read(&f, 0, q, 4096), 0);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(q[i], 0);
	assert_true(f.size >= 8192 + n);
	assert_int_equal(volume_file_read(&f, 1ull << 40, q, 4096), -ENODATA);
	/* Across the end: zeros behind it. */
	assert_int_equal(volume_file_cut(&f, 8192 + 4096), 0);
	memset(q, 1, 8192);
	assert_int_equal(volume_file_read(&f, 8192, q, 8192), 0);
	assert_memory_equal(p, q, 4096);
	assert_int_equal(q[4096] | q[8191], 0);
	assert_int_equal(volume_file_write(&f, 0, p, n), 0);
	volume_file_discard(&f, 4096, 1 << 20);
	assert_int_equal(stat(path, &st), 0);
	if (!f.no_discard)
		assert_true((uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size);
	assert_int_equal(volume_file_read(&f, 0, q, n), 0);
	assert_memory_equal(p, q, 4096);
	assert_memory_equal(p + 4096 + (1 << 20), q + 4096 + (1 << 20), n - 4096 - (1 << 20));
	volume_file_close(&f);
	free(p);
	free(q);
}

static void test_limit(void **state)
{
	uint8_t *p = calloc(1, 65536);
	struct rlimit old, small;
	struct volume_file f;

	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){40000, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	/* The kernel writes 40000 bytes, then nothing more: the whole write has failed, and where is known. */
	assert_int_equal(volume_file_write(&f, 0, p, 65536), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(f.failure.off, 40000);
	assert_int_equal(f.failure.n, 65536 - 40000);
	assert_non_null(strstr(text(&f), "write of 25536 bytes at 40000 in "));
	assert_non_null(strstr(text(&f), "File too large"));
	assert_int_equal(volume_file_write(&f, 0, p, 65536), 0);
	volume_file_close(&f);
	free(p);
}

/* A full disk: a small tmpfs in a mount namespace of a child. */
static void test_no_space(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		static uint8_t p[1 << 20];
		struct volume_file f;
		int rc = 0;

		if (mkdir(path, 0700) || unshare(CLONE_NEWNS) ||
			mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
			mount("none", path, "tmpfs", 0, "size=512k"))
			_exit(77);
		rc |= volume_file_open(&f, path, VOLUME_FILE_CREATE) != 0;
		rc |= volume_file_write(&f, 0, p, sizeof(p)) != -ENOSPC;
		rc |= !strstr(text(&f), "No space left on device");
		rc |= f.failure.error != ENOSPC || f.failure.off > 512 << 10;
		volume_file_discard(&f, 0, 512 << 10);
		rc |= volume_file_write(&f, 0, p, 4096) != 0;
		_exit(rc);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_host_error(void **state)
{
	struct volume_file f;
	uint8_t b[4096];

	/* Its first page is mapped by nobody: the kernel answers EIO. */
	assert_int_equal(volume_file_open(&f, "/proc/self/mem", VOLUME_FILE_READ_ONLY), 0);
	assert_int_equal(volume_file_read(&f, 0, b, sizeof(b)), -EIO);
	assert_non_null(strstr(text(&f), "read of 4096 bytes at 0 in /proc/self/mem: "));
	volume_file_close(&f);
	/* A flush that failed once: what was lost then is not known, so no later one can succeed. */
	assert_int_equal(volume_file_open(&f, path, VOLUME_FILE_CREATE), 0);
	close(f.fd);
	int p[2];
	assert_int_equal(pipe(p), 0);
	assert_int_equal(dup2(p[1], f.fd) >= 0, 1);
	assert_int_equal(volume_file_flush(&f), -EINVAL);
	assert_int_equal(dup2(open(path, O_RDWR), f.fd) >= 0, 1);
	assert_int_equal(volume_file_flush(&f), -EINVAL);
	close(p[0]);
	close(p[1]);
	volume_file_close(&f);
}

static void test_kinds(void **state)
{
	char too_long[5000];
	struct volume_file f;

	assert_int_equal(volume_file_open(&f, "/dev/null", 0), -EMEDIUMTYPE);
	assert_non_null(strstr(text(&f), "neither a file nor a block device"));
	assert_int_equal(volume_file_open(&f, dir, 0), -ENOENT);
	assert_non_null(strstr(text(&f), VOLUME_FILE_NAME));
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(volume_file_open(&f, too_long, 0), -ENAMETOOLONG);
	assert_int_equal(volume_file_open(&f, "/proc/version/x", VOLUME_FILE_CREATE), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create_in_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_writer, setup_file, teardown),
		cmocka_unit_test_setup_teardown(test_data, setup_file, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup_file, teardown),
		cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_error, setup_file, teardown),
		cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
