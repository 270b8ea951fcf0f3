/*
 * The handlers of injected files without the core around them: registers in, result out. user_copy and the interruptible calls are the plain
 * kernel's here; everything else, placeholders included, is what the runtime has.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "host/host.h"
#include "runtime/fd_ops.h"
#include "runtime/shields.h"
#include "runtime/sys/table.h"

struct runtime runtime;
static struct process process;
static struct thread thread = {.self = &thread, .proc = &process};
static char dir[64], conf[128];
static int copier[2];

/* The kernel copies through a pipe, so that bad addresses give EFAULT. */
int user_copy(void *dst, const void *src, size_t n)
{
	for (size_t done = 0; done < n;) {
		size_t step = n - done < 4096 ? n - done : 4096;
		long in = host_write(copier[1], (const char *)src + done, step);
		long out = in == (long)step ? host_read(copier[0], (char *)dst + done, step) : -EFAULT;

		if (out != (long)step) {
			char rest[4096];
			int left;

			while (ioctl(copier[0], FIONREAD, &left) == 0 && left > 0 &&
				host_read(copier[0], rest, sizeof(rest)) > 0)
				;
			return -EFAULT;
		}
		done += step;
	}
	return 0;
}

long user_string(char *dst, uint64_t src, size_t max)
{
	for (size_t i = 0; i < max; i++) {
		if (user_copy(dst + i, (const char *)src + i, 1) < 0)
			return -EFAULT;
		if (!dst[i])
			return (long)i;
	}
	return -ENAMETOOLONG;
}

long scone_safe_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	return host_call6(nr, a, b, c, d, e, f);
}

long scone_safe_call(long nr, const struct regs *r)
{
	return host_call6(
		nr, (long)r->rdi, (long)r->rsi, (long)r->rdx, (long)r->r10, (long)r->r8, (long)r->r9);
}

static long call(sys_handler h, long nr, long a, long b, long c, long d, long e, long f)
{
	struct regs r = {.nr = (uint64_t)nr, .rax = (uint64_t)nr};

	r.rdi = (uint64_t)a;
	r.rsi = (uint64_t)b;
	r.rdx = (uint64_t)c;
	r.r10 = (uint64_t)d;
	r.r8 = (uint64_t)e;
	r.r9 = (uint64_t)f;
	return h(&r, &thread);
}

#define CALL3(h, nr, a, b, c) call(h, nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(h, nr, a, b, c, d) call(h, nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static int xopen(const char *path, int flags)
{
	return (int)CALL3(sys_open, SYS_open, path, flags, 0600);
}

static long xread(int fd, void *p, size_t n)
{
	return CALL3(sys_fd, SYS_read, fd, p, n);
}

static long xwrite(int fd, const void *p, size_t n)
{
	return CALL3(sys_fd, SYS_write, fd, p, n);
}

static long xseek(int fd, long off, int whence)
{
	return CALL3(sys_fd, SYS_lseek, fd, off, whence);
}

static void xclose(int fd)
{
	assert_int_equal(CALL3(sys_close, SYS_close, fd, 0, 0), 0);
	assert_false(fd_is_shielded(&process, (uint64_t)fd));
}

/* Forget a number that was closed behind the table's back. */
static void xclose_entry(int fd)
{
	fd_clear(&process, fd);
}

static long content(char *p)
{
	const struct injected_file *f = injected_get(shields_files(), 0);

	memcpy(p, f->data, f->size);
	return (long)f->size;
}

#define DISK "key=$$SCONE::k$$\n"
#define SECRET "key=0123456789abcdef0123456789abcdef\n"
#define KEY "session-only"
#define KEY_PATH "/nonexistent/dir/key"

/* File 0: conf, from the host. File 1: KEY_PATH, on no disk. */
static int setup(void **state)
{
	struct injected_info a = {.path = conf, .mode = 0640, .from_host = true, .has_inode = true},
			     b = {.path = KEY_PATH, .mode = 0400};
	struct injected_table *t;
	struct stat st;
	int fd;

	strcpy(dir, "/tmp/test_shields.XXXXXX");
	if (!mkdtemp(dir) || pipe2(copier, O_CLOEXEC))
		return -1;
	snprintf(conf, sizeof(conf), "%s/app.conf", dir);
	fd = open(conf, O_CREAT | O_WRONLY, 0640);
	if (write(fd, DISK, strlen(DISK)) != (ssize_t)strlen(DISK) || fstat(fd, &st) || close(fd))
		return -1;
	a.dev = st.st_dev;
	a.ino = st.st_ino;
	b.uid = getuid();
	if (injected_new(&shields_memory, &t) || injected_add(t, &a, SECRET, strlen(SECRET)) != 0 ||
		injected_add(t, &b, KEY, strlen(KEY)) != 1)
		return -1;
	process.pid = getpid();
	process.path_rules = false;
	runtime.program = strdup("/usr/bin/env");
	host_call2(SYS_arch_prctl, ARCH_SET_GS, (long)&thread);
	return shields_init(&process, t);
}

static int teardown(void **state)
{
	char cmd[128];

	injected_free(shields_files());
	shields_drop(&process);
	free(runtime.program);
	close(copier[0]);
	close(copier[1]);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd);
}

static void path_in(char ret[160], const char *name)
{
	snprintf(ret, 160, "%s/%s", dir, name);
}

static void reads_secret(int fd, const char *wanted)
{
	char p[256];

	assert_true(fd >= 0);
	assert_true(fd_is_shielded(&process, (uint64_t)fd));
	assert_int_equal(xread(fd, p, sizeof(p)), strlen(wanted));
	assert_memory_equal(p, wanted, strlen(wanted));
	assert_int_equal(xread(fd, p, sizeof(p)), 0);
}

static void test_names(void **state)
{
	char soft[160], hard[160], up[200], dirlink[160], through[200], dangling[160], dot[200], text[256];
	const char *same[8];
	struct stat st;
	int fd, d;

	path_in(soft, "link");
	path_in(hard, "hard");
	path_in(dirlink, "dirlink");
	path_in(dangling, "dangling");
	path_in(dot, "./..//.");
	snprintf(up, sizeof(up), "%s/../%s/app.conf", dir, dir + 5);
	snprintf(through, sizeof(through), "%s/app.conf", dirlink);
	assert_int_equal(symlink("app.conf", soft) | symlink(dir, dirlink) | link(conf, hard), 0);
	assert_int_equal(symlink(KEY_PATH, dangling), 0);
	same[0] = conf, same[1] = soft, same[2] = hard, same[3] = up, same[4] = through;
	for (int i = 0; i < 5; i++) {
		fd = xopen(same[i], O_RDONLY);
		reads_secret(fd, SECRET);
		assert_int_equal(CALL3(sys_fd, SYS_fstat, fd, &st, 0), 0);
		assert_int_equal(st.st_size, strlen(SECRET));
		xclose(fd);
		assert_int_equal(CALL3(sys_stat, SYS_stat, same[i], &st, 0), 0);
		assert_int_equal(st.st_size, strlen(SECRET));
		assert_int_equal(st.st_mode, S_IFREG | 0640);
	}
	assert_int_equal(CALL3(sys_lstat, SYS_lstat, soft, &st, 0), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(CALL3(sys_lstat, SYS_lstat, hard, &st, 0), 0);
	assert_int_equal(st.st_size, strlen(SECRET));
	assert_int_equal(xopen(soft, O_RDONLY | O_NOFOLLOW), -ELOOP);
	assert_int_equal(CALL3(sys_readlink, SYS_readlink, conf, text, sizeof(text)), -EINVAL);
	assert_int_equal(CALL3(sys_readlink, SYS_readlink, soft, text, sizeof(text)), 8);

	/* a file on no disk, by a link and by a name with dots */
	same[0] = KEY_PATH, same[1] = dangling, same[2] = "/nonexistent/x/../dir//key";
	for (int i = 0; i < 3; i++) {
		fd = xopen(same[i], O_RDONLY);
		reads_secret(fd, KEY);
		xclose(fd);
		assert_int_equal(CALL3(sys_stat, SYS_stat, same[i], &st, 0), 0);
		assert_int_equal(st.st_size, strlen(KEY));
		assert_int_equal(st.st_mode, S_IFREG | 0400);
	}
	assert_int_equal(xopen("/nonexistent/dir/other", O_RDONLY), -ENOENT);
	assert_int_equal(xopen("/other/dir/key", O_RDONLY), -ENOENT);
	assert_int_equal(CALL3(sys_stat, SYS_stat, "/nonexistent/dir", &st, 0), -ENOENT);

	/* relative to a descriptor and to the working directory */
	d = open(dir, O_RDONLY | O_DIRECTORY);
	fd = (int)CALL4(sys_openat, SYS_openat, d, "app.conf", O_RDONLY, 0);
	reads_secret(fd, SECRET);
	xclose(fd);
	assert_int_equal(CALL4(sys_newfstatat, SYS_newfstatat, d, "app.conf", &st, 0), 0);
	assert_int_equal(st.st_size, strlen(SECRET));
	assert_int_equal(chdir(dir), 0);
	fd = xopen("./app.conf", O_RDONLY);
	reads_secret(fd, SECRET);
	xclose(fd);
	assert_int_equal(chdir("/"), 0);
	close(d);

	/* the disk has the template */
	fd = open(conf, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), strlen(DISK));
	assert_memory_equal(text, DISK, strlen(DISK));
	close(fd);

	/* other files are the host's */
	fd = xopen("/etc/passwd", O_RDONLY);
	assert_true(fd >= 0);
	assert_false(fd_is_shielded(&process, (uint64_t)fd));
	close(fd);
	assert_int_equal(xopen((char *)8, O_RDONLY), -EFAULT);
	assert_int_equal(xopen("", O_RDONLY), -ENOENT);
}

static void test_open_flags(void **state)
{
	char text[64];
	int fd;

	assert_int_equal(xopen(conf, O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(xopen(KEY_PATH, O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(xopen(conf, O_RDONLY | O_DIRECTORY), -ENOTDIR);
	fd = xopen(KEY_PATH, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(CALL3(sys_fcntl, SYS_fcntl, fd, F_GETFL, 0) & (O_ACCMODE | O_APPEND), O_RDONLY);
	assert_int_equal(xwrite(fd, "x", 1), -EBADF);
	assert_int_equal(CALL3(sys_fd, SYS_ftruncate, fd, 0, 0), -EINVAL);
	xclose(fd);
	fd = xopen(KEY_PATH, O_WRONLY | O_APPEND);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(
		CALL3(sys_fcntl, SYS_fcntl, fd, F_GETFL, 0) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	assert_int_equal(xread(fd, text, 1), -EBADF);
	xclose(fd);
	fd = xopen(conf, O_PATH);
	assert_int_equal(CALL3(sys_fcntl, SYS_fcntl, fd, F_GETFL, 0), O_PATH);
	assert_int_equal(xread(fd, text, 1), -EBADF);
	assert_int_equal(xwrite(fd, text, 1), -EBADF);
	xclose(fd);
	assert_int_equal(CALL3(sys_access, SYS_access, KEY_PATH, F_OK, 0), 0);
	assert_int_equal(CALL3(sys_access, SYS_access, KEY_PATH, R_OK, 0), 0);
	assert_int_equal(CALL3(sys_access, SYS_access, KEY_PATH, X_OK, 0), -EACCES);
	assert_int_equal(CALL3(sys_access, SYS_access, conf, R_OK, 0), 0);
	assert_int_equal(CALL4(sys_faccessat2, SYS_faccessat2, AT_FDCWD, KEY_PATH, 8, 0), -EINVAL);
}

static void test_permission(void **state)
{
	pid_t pid;
	int status;

	if (getuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		int ok = setgid(65534) == 0 && setuid(65534) == 0 && xopen(KEY_PATH, O_RDONLY) == -EACCES &&
			 xopen(conf, O_RDONLY) == -EACCES &&
			 CALL3(sys_access, SYS_access, KEY_PATH, R_OK, 0) == -EACCES &&
			 CALL3(sys_access, SYS_access, KEY_PATH, F_OK, 0) == 0 &&
			 CALL3(sys_truncate, SYS_truncate, KEY_PATH, 0, 0) == -EACCES &&
			 xopen(KEY_PATH, O_PATH) >= 0;

		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_read(void **state)
{
	struct iovec v[3];
	char a[8], b[4], big[8192], raw[64] = "x";
	char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = xopen(conf, O_RDONLY), ready;

	assert_int_equal(xread(fd, a, 4), 4);
	assert_memory_equal(a, "key=", 4);
	assert_int_equal(xseek(fd, 0, SEEK_CUR), 4);
	assert_int_equal(CALL3(sys_fd, SYS_ioctl, fd, FIONREAD, &ready), 0);
	assert_int_equal(ready, strlen(SECRET) - 4);
	v[0] = (struct iovec){a, 3}, v[1] = (struct iovec){NULL, 0}, v[2] = (struct iovec){b, 4};
	assert_int_equal(CALL3(sys_fd, SYS_readv, fd, v, 3), 7);
	assert_memory_equal(a, "012", 3);
	assert_memory_equal(b, "3456", 4);
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, a, 4, 1), 4);
	assert_memory_equal(a, "ey=0", 4);
	assert_int_equal(xseek(fd, 0, SEEK_CUR), 11);
	assert_int_equal(CALL4(sys_fd, SYS_preadv, fd, v, 3, 0), 7);
	assert_memory_equal(b, "=012", 4);
	assert_int_equal(call(sys_fd, SYS_preadv2, fd, (long)v, 3, -1, 0, 0), 7);
	assert_int_equal(xseek(fd, 0, SEEK_CUR), 18);
	assert_int_equal(call(sys_fd, SYS_preadv2, fd, (long)v, 3, 0, 0, 0x8000), -EOPNOTSUPP);

	assert_int_equal(xseek(fd, -1, SEEK_END), strlen(SECRET) - 1);
	assert_int_equal(xread(fd, big, sizeof(big)), 1);
	assert_int_equal(xseek(fd, 100, SEEK_END), strlen(SECRET) + 100);
	assert_int_equal(xread(fd, big, sizeof(big)), 0);
	assert_int_equal(xseek(fd, -1000, SEEK_END), -EINVAL);
	assert_int_equal(xseek(fd, 3, SEEK_DATA), 3);
	assert_int_equal(xseek(fd, 3, SEEK_HOLE), strlen(SECRET));
	assert_int_equal(xseek(fd, 1000, SEEK_DATA), -ENXIO);
	assert_int_equal(xseek(fd, 0, SEEK_SET), 0);

	/* bad arguments; as much as fits before a fault */
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, a, 4, -1), -EINVAL);
	assert_int_equal(CALL3(sys_fd, SYS_readv, fd, v, 1025), -EINVAL);
	assert_int_equal(CALL3(sys_fd, SYS_readv, fd, 8, 1), -EFAULT);
	v[1].iov_len = SIZE_MAX;
	assert_int_equal(CALL3(sys_fd, SYS_readv, fd, v, 3), -EINVAL);
	assert_int_equal(mprotect(edge + 4096, 4096, PROT_NONE), 0);
	assert_int_equal(xread(fd, edge + 4096, 4), -EFAULT);
	assert_int_equal(xread(fd, edge + 4096 - 6, 20), 6);
	assert_memory_equal(edge + 4096 - 6, SECRET, 6);
	assert_int_equal(xseek(fd, 0, SEEK_CUR), 6);
	munmap(edge, 8192);

	/* who asks the kernel reads zeros */
	assert_int_equal(pread(fd, raw, sizeof(raw), 0), strlen(SECRET));
	for (size_t i = 0; i < strlen(SECRET); i++)
		assert_int_equal(raw[i], 0);
	xclose(fd);
}

static void test_write(void **state)
{
	char text[256], append[] = "+tail";
	struct iovec v[2] = {{append, 2}, {append + 2, 3}};
	int fd = xopen(KEY_PATH, O_RDWR), again = xopen(KEY_PATH, O_RDWR | O_APPEND);
	struct stat st;

	assert_int_equal(xwrite(fd, "SESSION", 7), 7);
	assert_int_equal(xread(fd, text, 64), 5);
	assert_memory_equal(text, "-only", 5);
	assert_int_equal(CALL3(sys_fd, SYS_writev, again, v, 2), 5);
	assert_int_equal(xseek(again, 0, SEEK_CUR), strlen(KEY) + 5);
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, text, 64, 0), 17);
	assert_memory_equal(text, "SESSION-only+tail", 17);
	assert_int_equal(fstat(fd, &st), 0); /* the placeholder follows */
	assert_int_equal(st.st_size, 17);
	assert_int_equal(CALL4(sys_fd, SYS_pwrite64, fd, "!", 1, 20), 1);
	assert_int_equal(call(sys_fd, SYS_pwritev2, fd, (long)v, 1, 0, 0, 16 /* RWF_APPEND */), 2);
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, text, 64, 17), 6);
	assert_memory_equal(text, "\0\0\0!+t", 6);
	assert_int_equal(CALL4(sys_fd, SYS_fallocate, fd, 0, 0, 4096), 0);
	assert_int_equal(CALL3(sys_fd, SYS_fstat, fd, &st, 0), 0);
	assert_int_equal(st.st_size, 4096);
	assert_int_equal(CALL4(sys_fd, SYS_fallocate, fd, 2, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(CALL3(sys_fd, SYS_ftruncate, fd, 3, 0), 0);
	assert_int_equal(CALL3(sys_fd, SYS_ftruncate, fd, -1, 0), -EINVAL);
	assert_int_equal(CALL3(sys_fd, SYS_ftruncate, fd, INJECTED_FILE_MAX + 1, 0), -EFBIG);
	assert_int_equal(CALL4(sys_fd, SYS_pwrite64, fd, "x", 1, INJECTED_FILE_MAX), -EFBIG);
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, text, 64, 0), 3);
	assert_int_equal(xwrite(fd, (void *)8, 4), -EFAULT);
	assert_int_equal(CALL3(sys_truncate, SYS_truncate, KEY_PATH, 5, 0), 0);
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, text, 64, 0), 5);
	assert_memory_equal(text, "SES\0\0", 5);
	xclose(xopen(KEY_PATH, O_WRONLY | O_TRUNC));
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, text, 64, 0), 0);
	assert_int_equal(CALL4(sys_fd, SYS_pwrite64, fd, KEY, strlen(KEY), 0), strlen(KEY));
	xclose(fd);
	xclose(again);
}

static void test_disk_unchanged(void **state)
{
	char hard[160], text[128], before[64];
	long n = content(before);
	int fd;

	path_in(hard, "hard"); /* the same file under another name */
	fd = xopen(hard, O_RDWR | O_TRUNC | O_CREAT);
	assert_int_equal(xwrite(fd, "changed", 7), 7);
	xclose(fd);
	fd = xopen(conf, O_RDWR);
	reads_secret(fd, "changed");
	assert_int_equal(CALL4(sys_fd, SYS_pwrite64, fd, before, n, 0), n);
	xclose(fd);
	fd = open(conf, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), strlen(DISK));
	assert_memory_equal(text, DISK, strlen(DISK));
	close(fd);
}

static void test_descriptors(void **state)
{
	int fd = xopen(conf, O_RDONLY), plain = open("/dev/null", O_RDWR), copy, to;
	char a[8];

	copy = (int)CALL3(sys_dup, SYS_dup, fd, 0, 0);
	assert_int_equal(xread(copy, a, 4), 4);
	assert_int_equal(xread(fd, a, 2), 2); /* one offset */
	assert_memory_equal(a, "01", 2);
	to = (int)CALL3(sys_fcntl, SYS_fcntl, fd, F_DUPFD_CLOEXEC, 100);
	assert_true(to >= 100 && fd_is_shielded(&process, (uint64_t)to));
	assert_int_equal(fcntl(to, F_GETFD), FD_CLOEXEC);
	assert_int_equal(CALL3(sys_fcntl, SYS_fcntl, fd, F_GET_SEALS, 0), -EINVAL);

	assert_int_equal(CALL3(sys_dup2, SYS_dup2, plain, to, 0), to); /* the host's over ours */
	assert_false(fd_is_shielded(&process, (uint64_t)to));
	assert_int_equal(CALL3(sys_dup2, SYS_dup2, fd, to, 0), to); /* ours over the host's */
	assert_true(fd_is_shielded(&process, (uint64_t)to));
	assert_int_equal(CALL3(sys_dup2, SYS_dup2, fd, fd, 0), fd);
	assert_int_equal(CALL3(sys_dup2, SYS_dup3, fd, fd, 0), -EINVAL);
	assert_int_equal(CALL3(sys_dup2, SYS_dup3, fd, to, O_CLOEXEC), to);
	assert_int_equal(fcntl(to, F_GETFD), FD_CLOEXEC);
	assert_int_equal(CALL3(sys_dup2, SYS_dup2, 9999, to, 0), -EBADF);
	assert_true(fd_is_shielded(&process, (uint64_t)to)); /* a failed dup2 closes nothing */
	assert_int_equal(CALL3(sys_dup2, SYS_dup2, fd, FD_TRACK_MAX, 0), -EBADF);
	assert_int_equal(CALL3(sys_fcntl, SYS_fcntl, fd, F_DUPFD, FD_TRACK_MAX), -EINVAL);

	assert_int_equal(CALL3(sys_close_range, SYS_close_range, 9, 3, 0), -EINVAL);
	assert_int_equal(CALL3(sys_close_range, SYS_close_range, to, to, 4 /* CLOEXEC */), 0);
	assert_true(fd_is_shielded(&process, (uint64_t)to));
	assert_int_equal(CALL3(sys_close_range, SYS_close_range, to, UINT32_MAX, 0), 0);
	assert_false(fd_is_shielded(&process, (uint64_t)to));
	assert_int_equal(fcntl(to, F_GETFD), -1);
	xclose(copy);
	xclose(fd);
	close(plain);
}

static long xmmap(size_t len, int prot, int flags, int fd, long off)
{
	struct regs r = {.nr = SYS_mmap,
		.rsi = len,
		.rdx = (uint64_t)prot,
		.r10 = (uint64_t)flags,
		.r8 = (uint64_t)fd,
		.r9 = (uint64_t)off};

	return fd_call(&r, &thread, fd);
}

static void test_mmap(void **state)
{
	int fd = xopen(conf, O_RDWR), only = xopen(conf, O_RDONLY), blind = xopen(conf, O_WRONLY), status;
	size_t n = strlen(SECRET);
	char *p = (char *)xmmap(3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), text[64];
	pid_t pid;

	assert_false(host_failed((long)p));
	assert_memory_equal(p, SECRET, n);
	for (size_t i = n; i < 4096; i++)
		assert_int_equal(p[i], 0);
	p[0] = 'K';
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, text, 1, 0), 1);
	assert_int_equal(text[0], 'k');
	pid = fork(); /* past the end: SIGBUS, as for any file */
	if (pid == 0) {
		struct sigaction dfl = {.sa_handler = SIG_DFL};

		sigaction(SIGBUS, &dfl, NULL);
		_exit(((volatile char *)p)[4096]);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	munmap(p, 3 * 4096);

	p = (char *)xmmap(n, PROT_READ, MAP_SHARED, only, 0);
	assert_false(host_failed((long)p));
	assert_memory_equal(p, SECRET, n);
	munmap(p, n);
	assert_int_equal(xmmap(n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), -ENODEV);
	assert_int_equal(xmmap(n, PROT_READ | PROT_WRITE, MAP_SHARED, only, 0), -EACCES);
	assert_int_equal(xmmap(n, PROT_READ, MAP_PRIVATE, blind, 0), -EACCES);
	assert_int_equal(xmmap(n, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), -EACCES);
	assert_int_equal(xmmap(n, PROT_READ, MAP_PRIVATE, fd, 1), -EINVAL);
	assert_int_equal(xmmap(0, PROT_READ, MAP_PRIVATE, fd, 0), -EINVAL);
	assert_int_equal(xmmap(n, PROT_READ, MAP_PRIVATE, 9999, 0), -EBADF);

	/* many pages, from the middle; the placeholder shrunk by another process that shares it */
	assert_int_equal(CALL3(sys_fd, SYS_ftruncate, fd, 20000, 0), 0);
	assert_int_equal(CALL4(sys_fd, SYS_pwrite64, fd, "mid", 3, 8192), 3);
	assert_int_equal(ftruncate(fd, 0), 0);
	p = (char *)xmmap(20000, PROT_READ, MAP_PRIVATE, fd, 8192);
	assert_false(host_failed((long)p));
	assert_memory_equal(p, "mid\0", 4);
	assert_int_equal(p[20000 - 8192 - 1], 0);
	munmap(p, 20000);
	assert_int_equal(CALL3(sys_fd, SYS_ftruncate, fd, n, 0), 0);
	xclose(fd);
	xclose(only);
	xclose(blind);
}

static void test_sendfile(void **state)
{
	int fd = xopen(conf, O_RDWR), p[2];
	size_t n = strlen(SECRET);
	char text[128];
	uint64_t off = 4;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(CALL4(sys_fd_pair, SYS_sendfile, p[1], fd, &off, 6), 6);
	assert_int_equal(read(p[0], text, sizeof(text)), 6);
	assert_memory_equal(text, "012345", 6);
	assert_int_equal(off, 10);
	assert_int_equal(xseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(CALL4(sys_fd_pair, SYS_sendfile, p[1], fd, 0, 1 << 30), n);
	assert_int_equal(read(p[0], text, sizeof(text)), n);
	assert_memory_equal(text, SECRET, n);
	assert_int_equal(xseek(fd, 0, SEEK_CUR), n);
	assert_int_equal(CALL4(sys_fd_pair, SYS_sendfile, p[1], fd, 0, 10), 0);
	assert_int_equal(CALL4(sys_fd_pair, SYS_sendfile, p[1], fd, 8, 10), -EFAULT);
	assert_int_equal(CALL4(sys_fd_pair, SYS_sendfile, fd, p[0], 0, 10), -EINVAL);
	assert_int_equal(CALL4(sys_fd_ends, SYS_splice, fd, 0, p[1], 0), -EINVAL);
	assert_int_equal(CALL4(sys_fd_ends, SYS_copy_file_range, fd, 0, p[1], 0), -EINVAL);
	close(p[0]);
	close(p[1]);
	xclose(fd);
}

static void test_proc(void **state)
{
	int fd = xopen(conf, O_RDONLY), other, saved;
	char name_of[64], own[64], text[256];
	struct stat st, real;

	snprintf(name_of, sizeof(name_of), "/proc/self/fd/%d", fd);
	snprintf(own, sizeof(own), "/proc/%d/task/%d/fd/%d", getpid(), getpid(), fd);
	assert_int_equal(CALL3(sys_readlink, SYS_readlink, name_of, text, sizeof(text)), strlen(conf));
	assert_memory_equal(text, conf, strlen(conf));
	assert_int_equal(CALL3(sys_readlink, SYS_readlink, own, text, 5), 5);
	assert_int_equal(CALL3(sys_readlink, SYS_readlink, name_of, text, 0), -EINVAL);
	assert_int_equal(CALL3(sys_stat, SYS_stat, name_of, &st, 0), 0);
	assert_int_equal(st.st_size, strlen(SECRET));
	assert_int_equal(CALL3(sys_lstat, SYS_lstat, name_of, &st, 0), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(CALL3(sys_fd, SYS_read, fd, text, 4), 4);
	other = xopen(name_of, O_RDONLY); /* a description of its own */
	reads_secret(other, SECRET);
	xclose(other);
	saved = dup(0);
	assert_int_equal(CALL3(sys_dup2, SYS_dup2, fd, 0, 0), 0);
	other = xopen("/dev/stdin", O_RDONLY);
	reads_secret(other, SECRET);
	xclose(other);
	xclose(0);
	dup2(saved, 0);
	close(saved);
	assert_int_equal(CALL4(sys_newfstatat, SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH), 0);
	assert_int_equal(st.st_size, strlen(SECRET));
	assert_int_equal(CALL4(sys_newfstatat, SYS_newfstatat, fd, 0, &st, AT_EMPTY_PATH), 0);
	assert_int_equal(st.st_size, strlen(SECRET));
	xclose(fd);

	assert_int_equal(xopen("/proc/self/mem", O_RDWR), -EACCES);
	assert_int_equal(xopen("/proc/thread-self/mem", O_RDONLY), -EACCES);
	assert_int_equal(chdir("/proc/self"), 0);
	assert_int_equal(xopen("mem", O_RDONLY), -EACCES);
	assert_int_equal(CALL3(sys_readlink, SYS_readlink, "exe", text, sizeof(text)), 12);
	assert_int_equal(chdir("/"), 0);
	snprintf(own, sizeof(own), "/proc/%d/exe", getpid());
	for (int i = 0; i < 3; i++) {
		const char *name = i == 0   ? "/proc/self/exe"
				   : i == 1 ? own
					    : "/proc/self/../thread-self/./exe";

		assert_int_equal(CALL3(sys_readlink, SYS_readlink, name, text, sizeof(text)), 12);
		assert_memory_equal(text, "/usr/bin/env", 12);
		assert_int_equal(CALL3(sys_stat, SYS_stat, name, &st, 0), 0);
		assert_int_equal(stat("/usr/bin/env", &real), 0);
		assert_true(st.st_ino == real.st_ino);
		fd = xopen(name, O_RDONLY);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(st.st_ino == real.st_ino);
		close(fd);
	}
	assert_int_equal(CALL3(sys_lstat, SYS_lstat, "/proc/self/exe", &st, 0), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(xopen("/proc/self/exe", O_RDONLY | O_NOFOLLOW), -ELOOP);
	assert_true(CALL3(sys_readlink, SYS_readlink, "/proc/1/exe", text, sizeof(text)) != 12 ||
		    memcmp(text, "/usr/bin/env", 12) != 0);
}

static void test_statx(void **state)
{
	struct statx st;
	int fd = xopen(KEY_PATH, O_RDONLY);

	assert_int_equal(call(sys_statx, SYS_statx, AT_FDCWD, (long)conf, 0, STATX_MODE, (long)&st, 0), 0);
	assert_int_equal(st.stx_size, strlen(SECRET));
	assert_true(st.stx_mask & STATX_SIZE);
	assert_int_equal(
		call(sys_statx, SYS_statx, fd, (long)"", AT_EMPTY_PATH, STATX_BASIC_STATS, (long)&st, 0), 0);
	assert_int_equal(st.stx_size, strlen(KEY));
	assert_int_equal(st.stx_mode, S_IFREG | 0400);
	assert_int_equal(call(sys_statx, SYS_statx, AT_FDCWD, (long)KEY_PATH, 0, STATX_SIZE, 8, 0), -EFAULT);
	xclose(fd);
}

static void test_change_names(void **state)
{
	char other[160], text[64];
	struct stat st, real;
	int fd = xopen(KEY_PATH, O_RDONLY);
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1000000000}};

	path_in(other, "other");
	assert_int_equal(CALL3(sys_unlink, SYS_unlink, conf, 0, 0), -EPERM);
	assert_int_equal(CALL3(sys_unlinkat, SYS_unlinkat, AT_FDCWD, KEY_PATH, 0), -EPERM);
	assert_int_equal(CALL3(sys_rename, SYS_rename, conf, other, 0), -EPERM);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(CALL4(sys_renameat, SYS_renameat2, AT_FDCWD, other, AT_FDCWD, conf), -EPERM);
	assert_int_equal(CALL3(sys_link, SYS_link, other, KEY_PATH, 0), -EEXIST);
	assert_int_equal(CALL4(sys_linkat, SYS_linkat, AT_FDCWD, KEY_PATH, AT_FDCWD, other), -EPERM);
	assert_int_equal(CALL3(sys_symlink, SYS_symlink, "x", KEY_PATH, 0), -EEXIST);
	assert_int_equal(CALL3(sys_symlinkat, SYS_symlinkat, "x", AT_FDCWD, conf), -EEXIST);
	assert_int_equal(CALL3(sys_make, SYS_mkdir, KEY_PATH, 0700, 0), -EEXIST);
	assert_int_equal(CALL3(sys_makeat, SYS_mknodat, AT_FDCWD, KEY_PATH, 0700), -EEXIST);
	assert_int_equal(CALL3(sys_unlink, SYS_unlink, other, 0, 0), 0);
	assert_int_equal(access(conf, F_OK), 0);

	/* in memory */
	assert_int_equal(CALL3(sys_chmod, SYS_chmod, KEY_PATH, 0444, 0), 0);
	assert_int_equal(CALL3(sys_fd, SYS_fchown, fd, 12, -1), getuid() == 0 ? 0 : -EPERM);
	assert_int_equal(CALL4(sys_utimensat, SYS_utimensat, AT_FDCWD, KEY_PATH, times, 0), 0);
	assert_int_equal(CALL3(sys_fd, SYS_fstat, fd, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(CALL4(sys_utimensat, SYS_utimensat, fd, 0, 0, 0), 0);
	assert_int_equal(CALL3(sys_fd, SYS_fstat, fd, &st, 0), 0);
	assert_true(st.st_mtim.tv_sec > 1000000000);
	assert_int_equal(CALL4(sys_utimensat, SYS_utimensat, fd, 0, 8, 0), -EFAULT);
	assert_int_equal(CALL3(sys_fd, SYS_fchmod, fd, 0400, 0), 0);
	assert_int_equal(CALL3(sys_chown, SYS_chown, KEY_PATH, getuid(), -1), 0);
	xclose(fd);
	assert_int_equal(CALL4(sys_xattr, SYS_lgetxattr, KEY_PATH, "user.x", text, 64), -ENODATA);
	assert_int_equal(CALL3(sys_xattr, SYS_listxattr, KEY_PATH, text, 64), 0);
	assert_int_equal(call(sys_xattr, SYS_setxattr, (long)KEY_PATH, (long)"user.x", (long)"v", 1, 0, 0),
		-EOPNOTSUPP);

	/* at the host */
	fd = xopen(conf, O_RDONLY);
	assert_int_equal(CALL3(sys_fd, SYS_fchmod, fd, 0604, 0), 0);
	assert_int_equal(stat(conf, &real), 0);
	assert_int_equal(real.st_mode, S_IFREG | 0604);
	assert_int_equal(CALL4(sys_fchmodat, SYS_fchmodat, AT_FDCWD, conf, 0640, 0), 0);
	assert_int_equal(CALL3(sys_fd, SYS_fstat, fd, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_size, strlen(SECRET));
	xclose(fd);
}

static void test_fork(void **state)
{
	int fd = xopen(conf, O_RDWR), status;
	char a[64];
	pid_t pid;

	assert_int_equal(xread(fd, a, 4), 4);
	shields_lock();
	pid = fork();
	shields_unlock();
	if (pid == 0) {
		int ok = xread(fd, a, 6) == 6 && memcmp(a, "012345", 6) == 0 &&
			 CALL4(sys_fd, SYS_pwrite64, fd, "CHILD", 5, 0) == 5;

		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(xread(fd, a, 4), 4); /* the offset is shared, the content is not */
	assert_memory_equal(a, "6789", 4);
	assert_int_equal(CALL4(sys_fd, SYS_pread64, fd, a, 5, 0), 5);
	assert_memory_equal(a, "key=0", 5);
	xclose(fd);
}

static void test_vfork(void **state)
{
	int fd = xopen(conf, O_RDONLY);
	struct process child = process;

	assert_int_equal(shields_clone(&child, &process), 0);
	thread.proc = &child;
	CALL3(sys_dup2, SYS_dup2, 2, fd, 0);
	assert_false(fd_is_shielded(&child, (uint64_t)fd));
	assert_true(fd_is_shielded(&process, (uint64_t)fd)); /* the parent's table is its own */
	thread.proc = &process;
	shields_drop(&child);
	assert_null(child.fds);
	close(fd);
	xclose_entry(fd);
}

static void test_exec(void **state)
{
	int keep = xopen(conf, O_RDONLY), gone = xopen(conf, O_RDONLY | O_CLOEXEC),
	    replaced = xopen(KEY_PATH, O_RDONLY);
	struct injected_table *before = shields_files();
	struct process after = {0}, saved = process;
	struct buf b;
	struct rd r;

	buf_init_secret(&b, 1 << 20);
	assert_int_equal(shields_encode(&process, &b), 0);
	buf_puts(&b, "rest");
	close(replaced);
	assert_int_equal(open("/dev/null", O_RDONLY), replaced);
	rd_init(&r, b.data, b.len);
	assert_int_equal(shields_decode(&after, &r), 0);
	assert_int_equal(r.left, 4);
	assert_true(after.path_rules);
	assert_true(fd_is_shielded(&after, (uint64_t)keep));
	assert_false(fd_is_shielded(&after, (uint64_t)gone));
	assert_false(fd_is_shielded(&after, (uint64_t)replaced));
	process = after;
	reads_secret(keep, SECRET);
	xclose(keep);
	process = saved;
	xclose_entry(replaced);
	close(replaced);
	xclose_entry(keep);
	xclose(gone);
	shields_drop(&after);
	injected_free(before);
	injected_free(shields_files());

	for (size_t n = 0; n + 4 < b.len; n++) {
		struct process none = {0};

		rd_init(&r, b.data, n);
		assert_true(shields_decode(&none, &r) < 0);
		if (none.fds) {
			injected_free(shields_files());
			shields_drop(&none);
		}
	}
	rd_init(&r, b.data, b.len); /* for teardown */
	assert_int_equal(shields_decode(&after, &r), 0);
	shields_drop(&after);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_open_flags),
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_disk_unchanged),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_sendfile),
		cmocka_unit_test(test_proc),
		cmocka_unit_test(test_statx),
		cmocka_unit_test(test_change_names),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_exec),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
