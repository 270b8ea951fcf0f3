/*
 * around: run by tests/e2e/around.sh as an attested service. Tries to reach an injected file, or to have a descriptor of one taken for
 * something else, in every way that is not open and read. Prints "ok NAME" or "not ok NAME: why".
 *
 *   around CONF KEY SCRATCH SOCKET    CONF: injected, the host has a template; KEY: injected, in memory only; $TOKEN: what both hold
 *   around child FD                   after exec: FD holds CONF
 *   around waits                      says ready, ends with its standard input
 *   around outside PID                as another user, not a service: none of PID's memory is to be had
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *conf, *key, *scratch, *token;
static int failures;

static void check(bool good, const char *name)
{
	int e = errno;

	if (good)
		printf("ok %s\n", name);
	else
		printf("not ok %s: errno %d (%s)\n", name, e, strerror(e));
	fflush(stdout);
	failures += !good;
}

/* A call that must fail with this errno. */
static void fails(long r, int err, const char *name)
{
	if (r == -1 && errno == err) {
		check(true, name);
		return;
	}
	printf("not ok %s: gave %ld, errno %d; wanted %s\n", name, r, r == -1 ? errno : 0,
		strerrorname_np(err));
	fflush(stdout);
	failures++;
}

__attribute__((format(printf, 1, 2))) static const char *text(const char *format, ...)
{
	static char all[8][4096];
	static int next;
	va_list ap;

	next = (next + 1) % 8;
	va_start(ap, format);
	vsnprintf(all[next], sizeof(all[next]), format, ap);
	va_end(ap);
	return all[next];
}

static const char *in_scratch(const char *name)
{
	return text("%s/%s", scratch, name);
}

/* Reads all of fd from where it is and closes it: does it hold the token, and nothing of the template? */
static bool holds_secret(int fd)
{
	static char buf[8192];
	ssize_t n = 0, got;

	while (n < (ssize_t)sizeof(buf) - 1 && (got = read(fd, buf + n, sizeof(buf) - 1 - (size_t)n)) > 0)
		n += got;
	close(fd);
	buf[n] = '\0';
	return memmem(buf, (size_t)n, token, strlen(token)) && !memmem(buf, (size_t)n, "$SCONE", 6);
}

static bool opens_to_secret(const char *path, int flags)
{
	int fd = open(path, flags);

	return fd >= 0 && holds_secret(fd);
}

static int opened(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* --- calls that move data between descriptors --- */

static void moves(void)
{
	int p[2], q[2], in = opened(conf), out = open(in_scratch("out"), O_RDWR | O_CREAT, 0600);
	struct stat st;
	loff_t zero = 0;

	if (pipe(p) || pipe(q))
		return;
	check(sendfile(p[1], in, NULL, 8192) > 0, "sendfile reads what is injected");
	close(p[1]);
	check(holds_secret(p[0]), "and the secret arrives");
	if (pipe(p))
		return;
	fails(splice(in, &zero, p[1], NULL, 100, 0), EINVAL, "splice out of an injected file");
	fails(copy_file_range(in, &zero, out, NULL, 100, 0), EINVAL,
		"copy_file_range out of an injected file");
	check(write(p[1], "abc", 3) == 3, "something to splice");
	fails(splice(p[0], NULL, open(conf, O_WRONLY), NULL, 3, 0), EINVAL, "splice into an injected file");
	fails(tee(in, q[1], 3, 0), EINVAL, "tee out of an injected file");
	fails(vmsplice(in, &(struct iovec){&zero, 8}, 1, 0), EBADF, "vmsplice");
	lseek(out, 0, SEEK_SET);
	fails(sendfile(open(conf, O_WRONLY), opened("/etc/passwd"), NULL, 10), EINVAL,
		"sendfile into an injected file");
	check(fstat(out, &st) == 0 && st.st_size == 0, "nothing was moved");
}

static void asynchronous(void)
{
	static char buf[2][4096];
	struct iocb cb[2] = {
		{.aio_lio_opcode = IOCB_CMD_PREAD, .aio_nbytes = 16, .aio_buf = (uint64_t)buf[0]},
		{.aio_lio_opcode = IOCB_CMD_PREAD, .aio_nbytes = 16, .aio_buf = (uint64_t)buf[1]}};
	struct iocb *list[2] = {&cb[0], &cb[1]};
	struct io_uring_params params = {0};
	struct io_event ev;
	aio_context_t ctx = 0;

	fails(syscall(SYS_io_uring_setup, 4, &params), ENOSYS, "io_uring_setup");
	fails(syscall(SYS_io_uring_register, 0, 0, NULL, 0), ENOSYS, "io_uring_register");
	check(syscall(SYS_io_setup, 4, &ctx) == 0, "io_setup");
	cb[0].aio_fildes = (uint32_t)opened("/etc/passwd");
	cb[1].aio_fildes = (uint32_t)opened(conf);
	check(syscall(SYS_io_submit, ctx, 2l, list) == 1, "io_submit stops before an injected file");
	fails(syscall(SYS_io_submit, ctx, 1l, list + 1), EINVAL, "io_submit on an injected file");
	check(syscall(SYS_io_getevents, ctx, 1l, 1l, &ev, NULL) == 1 && ev.res == 16, "the other is read");
	syscall(SYS_io_destroy, ctx);
}

/* --- memory --- */

static void *mapped(size_t *ret_n)
{
	int fd = opened(conf);
	struct stat st;
	void *p;

	fstat(fd, &st);
	*ret_n = (size_t)st.st_size;
	p = mmap(NULL, *ret_n, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return p;
}

static void own_memory(void)
{
	static char buf[8192];
	size_t n;
	void *p = mapped(&n);
	struct iovec to = {buf, n}, from = {p, n};

	check(p != MAP_FAILED && memmem(p, n, token, strlen(token)), "mmap");
	check(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)n && !memcmp(buf, p, n),
		"process_vm_readv of what is mapped");
	fails(open("/proc/self/mem", O_RDONLY), EACCES, "/proc/self/mem");
	fails(open(text("/proc/%d/mem", getpid()), O_RDWR), EACCES, "/proc/PID/mem");
	fails(open(text("/proc/self/task/%d/mem", gettid()), O_RDONLY), EACCES, "/proc/self/task/TID/mem");
	fails(open("/proc/thread-self/mem", O_RDONLY), EACCES, "/proc/thread-self/mem");
	fails(open("/proc/../proc/./self/mem", O_RDONLY), EACCES, "/proc/../proc/./self/mem");
	fails(openat(open("/proc/self", O_PATH), "mem", O_RDONLY), EACCES, "mem below /proc/self");
	check(symlink("/proc/self/mem", in_scratch("mem")) == 0, "a link");
	fails(open(in_scratch("mem"), O_RDONLY), EACCES, "a link to /proc/self/mem");
	check(symlink("/proc/self", in_scratch("self")) == 0, "a link to the directory");
	fails(open(in_scratch("self/mem"), O_RDONLY), EACCES, "mem behind a link to /proc/self");
	fails(personality(READ_IMPLIES_EXEC), EPERM, "personality that makes data code");
	check(personality(0xffffffff) == 0, "personality is as it was");
	fails(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM, "ptrace");
	check(prctl(PR_SET_DUMPABLE, 1) == 0 && prctl(PR_GET_DUMPABLE) == 0,
		"not dumpable, whatever is asked");
	munmap(p, n);
}

/* Files behind mappings: neither template nor placeholder with content. Root only. */
static void map_files(void)
{
	char line[4096], name[64], *path;
	FILE *maps = fopen("/proc/self/maps", "r");
	bool leaks = false;
	size_t n;
	void *p = mapped(&n);

	rewind(maps);
	while (maps && fgets(line, sizeof(line), maps)) {
		int fd;

		if (sscanf(line, "%63s", name) != 1 || !(path = strchr(line, '/')))
			continue;
		leaks |= strstr(path, conf) != NULL;
		if (!strstr(path, "openscone-injected"))
			continue;
		fd = open(text("/proc/self/map_files/%s", name), O_RDONLY);
		leaks |= fd >= 0 && holds_secret(fd);
	}
	check(!leaks, "/proc/self/map_files");
	munmap(p, n);
	fclose(maps);
}

/* --- descriptors --- */

static int send_fd(int sock, int fd)
{
	char byte = 'f', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	*c = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &h, 0) == 1 ? 0 : -1;
}

static int receive_fd(int sock, bool many)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control)}};
	long r = many ? recvmmsg(sock, &m, 1, 0, NULL) : recvmsg(sock, &m.msg_hdr, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m.msg_hdr);
	int fd;

	if (r != 1 || !c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void passed_on(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int pair[2], fd = opened(conf), back, out, pidfd;
	char answer[16] = "";

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && send_fd(pair[0], fd) == 0, "sent to itself");
	back = receive_fd(pair[1], false);
	check(back >= 0 && back != fd && holds_secret(back), "recvmsg: the same file");
	lseek(fd, 0, SEEK_SET);
	check(send_fd(pair[0], fd) == 0, "sent to itself again");
	back = receive_fd(pair[1], true);
	check(back >= 0 && holds_secret(back), "recvmmsg: the same file");
	lseek(fd, 0, SEEK_SET);
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	back = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	check(back >= 0 && holds_secret(back), "pidfd_getfd: the same file");
	lseek(fd, 0, SEEK_SET);
	check(send_fd(pair[0], open(in_scratch("plain"), O_RDWR | O_CREAT, 0600)) == 0,
		"another file is sent");
	back = receive_fd(pair[1], false);
	check(back >= 0 && write(back, "x", 1) == 1 && !holds_secret(back), "and is itself");

	strcpy(addr.sun_path, path);
	out = socket(AF_UNIX, SOCK_STREAM, 0);
	check(connect(out, (struct sockaddr *)&addr, sizeof(addr)) == 0 && send_fd(out, fd) == 0,
		"sent to a stranger");
	check(read(out, answer, sizeof(answer) - 1) > 0 && !strncmp(answer, "zeros", 5), "who gets zeros");
}

static void names_of_descriptors(void)
{
	int fd = opened(conf), opath = open(conf, O_PATH),
	    dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	struct open_how how = {.resolve = RESOLVE_NO_SYMLINKS};
	char byte, link[4096] = "";
	struct stat st, real;

	fstat(fd, &real);
	check(opens_to_secret(text("/proc/self/fd/%d", fd), O_RDONLY), "/proc/self/fd/N");
	check(opens_to_secret(text("/proc/%d/fd/%d", getpid(), fd), O_RDONLY), "/proc/PID/fd/N");
	check(opens_to_secret(text("/dev/fd/%d", fd), O_RDONLY), "/dev/fd/N");
	check(holds_secret(openat(dir, text("%d", fd), O_RDONLY)), "N below /proc/self/fd");
	check(opens_to_secret(text("/proc/self/fd/%d", opath), O_RDONLY), "/proc/self/fd/N of O_PATH");
	check(readlink(text("/proc/self/fd/%d", fd), link, sizeof(link) - 1) > 0 && !strcmp(link, conf),
		"its name");
	check(holds_secret((int)syscall(SYS_openat2, AT_FDCWD, conf, &how, sizeof(how))), "openat2");
	fails(read(opath, &byte, 1), EBADF, "read of O_PATH");
	fails(fsync(opath), EBADF, "fsync of O_PATH");
	fails(mmap(NULL, 1, PROT_READ, MAP_PRIVATE, opath, 0) == MAP_FAILED ? -1 : 0, EBADF,
		"mmap of O_PATH");
	check(fstatat(opath, "", &st, AT_EMPTY_PATH) == 0 && st.st_size == real.st_size,
		"O_PATH and AT_EMPTY_PATH");
	check(linkat(opath, "", AT_FDCWD, in_scratch("empty"), AT_EMPTY_PATH) == -1, "link of O_PATH");
	check(linkat(AT_FDCWD, text("/proc/self/fd/%d", fd), AT_FDCWD, in_scratch("magic"),
		      AT_SYMLINK_FOLLOW) == -1,
		"link of /proc/self/fd/N");
	check(execveat(opath, "", (char *[]){"x", NULL}, (char *[]){NULL}, AT_EMPTY_PATH) == -1,
		"execveat of O_PATH");
	fails(fgetxattr(opened(key), "user.x", &byte, 1), ENODATA, "fgetxattr");
	fails(fsetxattr(opened(key), "user.x", "1", 1, 0), EOPNOTSUPP, "fsetxattr");
	check(flistxattr(opened(key), NULL, 0) == 0, "flistxattr");
}

static void *waits(void *p)
{
	pthread_mutex_lock(p);
	pthread_mutex_unlock(p);
	return NULL;
}

/* A number that was a placeholder's and is something else now; tables that would no longer agree. */
static void numbers(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	uint64_t args[11] = {CLONE_FILES, 0, 0, 0, SIGCHLD};
	int fd = opened(conf), fd2 = dup(fd);
	pthread_t thread;
	char byte = 0;

	check(syscall(SYS_close_range, fd, fd2, 0) == 0, "close_range");
	check(open("/dev/zero", O_RDONLY) == fd && read(fd, &byte, 1) == 1 && byte == 0,
		"the number is another file's");
	check(dup2(opened(conf), fd) == fd && holds_secret(dup(fd)), "dup2 onto it");
	check(dup2(opened("/dev/zero"), fd) == fd && read(fd, &byte, 1) == 1 && byte == 0, "and back");
	check(fcntl(opened(conf), F_DUPFD, 700) == 700 && holds_secret(700), "F_DUPFD");
	check(unshare(CLONE_FILES) == 0, "unshare of descriptors alone");
	pthread_mutex_lock(&m);
	pthread_create(&thread, NULL, waits, &m);
	fails(unshare(CLONE_FILES), EINVAL, "unshare of descriptors beside a thread");
	fails(syscall(SYS_close_range, 900u, 901u, 2u), EINVAL, "close_range that unshares beside a thread");
	pthread_mutex_unlock(&m);
	pthread_join(thread, NULL);
	fails(syscall(SYS_clone3, args, sizeof(args)), EINVAL, "a process that shares descriptors");
}

static void over_exec(char *self)
{
	int fd = dup(opened(conf)), status = -1;
	pid_t pid = fork();

	if (!pid) {
		execl(self, self, "child", text("%d", fd), NULL);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a copy over exec, read and mapped");
}

static int child(int fd)
{
	struct stat st;
	char *p;

	fstat(fd, &st);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || !memmem(p, (size_t)st.st_size, token, strlen(token)))
		return 1;
	return holds_secret(dup(fd)) ? 0 : 2;
}

/* Another process of the service has opened the file: its descriptor is a placeholder here. */
static void of_a_child(void)
{
	int ready[2], go[2], fd = -1;
	char byte;
	pid_t pid;

	if (pipe(ready) || pipe(go))
		return;
	pid = fork();
	if (!pid) {
		fd = opened(conf);
		check(write(ready[1], &fd, sizeof(fd)) == sizeof(fd), "a child has it open");
		_exit(read(go[0], &byte, 1) != 1);
	}
	check(read(ready[0], &fd, sizeof(fd)) == sizeof(fd), "the child says where");
	fd = open(text("/proc/%d/fd/%d", pid, fd), O_RDONLY);
	check(fd < 0 || !holds_secret(fd), "/proc/PID/fd/N of another process");
	check(write(go[1], "x", 1) == 1, "the child ends");
	waitpid(pid, NULL, 0);
}

/* --- names --- */

static void names(void)
{
	struct timeval times[2] = {{1000, 0}, {2000, 0}};
	struct statfs fs;
	struct stat st;

	check(link(conf, in_scratch("hard")) == 0 && opens_to_secret(in_scratch("hard"), O_RDONLY),
		"hard link");
	check(symlink(conf, in_scratch("soft")) == 0 && opens_to_secret(in_scratch("soft"), O_RDONLY),
		"symbolic link");
	fails(link(key, in_scratch("none")), EPERM, "hard link of a file in memory");
	close(open(in_scratch("other"), O_WRONLY | O_CREAT, 0600));
	fails(rename(in_scratch("other"), conf), EPERM, "rename over");
	fails(rename(conf, in_scratch("gone")), EPERM, "rename away");
	fails(unlink(conf), EPERM, "unlink");
	fails(rmdir(key), ENOTDIR, "rmdir");
	check(opens_to_secret(conf, O_RDONLY), "still there");
	check(statfs(key, &fs) == 0 && fs.f_type == 0x01021994, "statfs of a file in memory");
	check(utimes(key, times) == 0 && stat(key, &st) == 0 && st.st_mtime == 2000,
		"utimes of a file in memory");
	times[1].tv_sec = 3000;
	check(syscall(SYS_futimesat, AT_FDCWD, key, times) == 0 && stat(key, &st) == 0 && st.st_mtime == 3000,
		"futimesat of a file in memory");
	times[1].tv_usec = 1000000;
	fails(utimes(key, times), EINVAL, "utimes that are none");
}

static void handles(void)
{
	struct {
		struct file_handle h;
		char room[128];
	} f = {.h.handle_bytes = 128};
	int mount_id, fd, dir = open(scratch, O_RDONLY | O_DIRECTORY);

	fails(name_to_handle_at(AT_FDCWD, key, &f.h, &mount_id, 0), EOPNOTSUPP, "handle of a file in memory");
	fails(name_to_handle_at(opened(conf), "", &f.h, &mount_id, AT_EMPTY_PATH), EOPNOTSUPP,
		"handle of a descriptor");
	f.h.handle_bytes = 128;
	if (name_to_handle_at(AT_FDCWD, conf, &f.h, &mount_id, 0) ||
		((fd = open_by_handle_at(dir, &f.h, O_RDONLY)) < 0 &&
			(errno == EPERM || errno == EOPNOTSUPP))) {
		printf("# no file handles here: %s\n", strerror(errno));
		return;
	}
	check(holds_secret(fd), "open_by_handle_at");
	fd = open_by_handle_at(dir, &f.h, O_WRONLY | O_TRUNC);
	check(fd >= 0 && close(fd) == 0, "open_by_handle_at empties what is in memory");
}

static void mounts(void)
{
	const char *at = in_scratch("at");

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		printf("# no mounts here: %s\n", strerror(errno));
		return;
	}
	close(open(at, O_WRONLY | O_CREAT, 0600));
	check(mount(conf, at, NULL, MS_BIND, NULL) == 0 && opens_to_secret(at, O_RDONLY), "bind mount");
	check(mount(in_scratch("other"), conf, NULL, MS_BIND, NULL) == 0 && opens_to_secret(conf, O_RDONLY),
		"mounted over");
	check(mkdir(in_scratch("proc"), 0700) == 0 &&
			mount("/proc", in_scratch("proc"), NULL, MS_BIND | MS_REC, NULL) == 0,
		"/proc elsewhere");
	fails(open(in_scratch("proc/self/mem"), O_RDONLY), EACCES, "mem of /proc elsewhere");
	check(opens_to_secret(text("%s/proc/self/fd/%d", scratch, opened(conf)), O_RDONLY),
		"fd of /proc elsewhere");
	umount2(conf, MNT_DETACH);
	umount2(at, MNT_DETACH);
	umount2(in_scratch("proc"), MNT_DETACH);
}

/* By the old gate the numbers are others: 3 is read there, and close here. In a child, for a kernel without that gate ends it. */
static void old_gate(void)
{
	int fd = opened(conf), status = -1;
	long r = 3;
	pid_t pid = fork();

	if (!pid) {
		__asm__ volatile("int $0x80"
				 : "+a"(r)
				 : "b"((long)fd), "c"(0l), "d"(0l)
				 : "memory", "r8", "r9", "r10", "r11");
		_exit((int)r == -ENOSYS && fcntl(fd, F_GETFD) == 0 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : status == 0, "a call of 32-bit programs");
}

static void refused(void)
{
	fails(syscall(SYS_modify_ldt, 0, NULL, 0ul), ENOSYS, "modify_ldt");
	fails(syscall(SYS_set_thread_area, NULL), ENOSYS, "set_thread_area");
	fails(syscall(SYS_init_module, NULL, 0ul, ""), EPERM, "init_module");
	fails(syscall(SYS_finit_module, 0, "", 0), EPERM, "finit_module");
	fails(syscall(SYS_kexec_load, 0ul, 0ul, NULL, 0ul), EPERM, "kexec_load");
	fails(syscall(335, 0), ENOSYS, "a number between those of Linux");
	fails(syscall(452, AT_FDCWD, conf, 0777, 0), ENOSYS, "a call newer than Linux 6.1");
	fails(syscall(0x40000000 | SYS_getpid), ENOSYS, "a call of x32");
}

static int wait_for_end(void)
{
	char byte;

	puts("ready");
	fflush(stdout);
	return read(0, &byte, 1) != 0;
}

static int outside(pid_t pid)
{
	static char buf[64];
	struct iovec to = {buf, sizeof(buf)}, from = {(void *)0x10000, sizeof(buf)};
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	fails(process_vm_readv(pid, &to, 1, &from, 1, 0), EPERM, "stranger: process_vm_readv");
	fails(process_vm_writev(pid, &to, 1, &from, 1, 0), EPERM, "stranger: process_vm_writev");
	fails(ptrace(PTRACE_ATTACH, pid, NULL, NULL), EPERM, "stranger: ptrace");
	fails(ptrace(PTRACE_SEIZE, pid, NULL, NULL), EPERM, "stranger: ptrace, quietly");
	fails(open(text("/proc/%d/mem", pid), O_RDONLY), EACCES, "stranger: /proc/PID/mem");
	fails(open(text("/proc/%d/environ", pid), O_RDONLY), EACCES, "stranger: /proc/PID/environ");
	fails(open(text("/proc/%d/maps", pid), O_RDONLY), EACCES, "stranger: /proc/PID/maps");
	fails(open(text("/proc/%d/fd/0", pid), O_RDONLY), EACCES, "stranger: /proc/PID/fd/N");
	fails(syscall(SYS_pidfd_getfd, pidfd, 0, 0), EPERM, "stranger: pidfd_getfd");
	return failures != 0;
}

int main(int argc, char **argv)
{
	token = getenv("TOKEN");
	if (argc == 3 && !strcmp(argv[1], "outside"))
		return outside(atoi(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "waits"))
		return wait_for_end();
	if (!token || argc < 3)
		return 2;
	if (!strcmp(argv[1], "child"))
		return child(atoi(argv[2]));
	if (argc != 5)
		return 2;
	conf = argv[1];
	key = argv[2];
	scratch = argv[3];
	moves();
	asynchronous();
	own_memory();
	map_files();
	passed_on(argv[4]);
	names_of_descriptors();
	numbers();
	over_exec(argv[0]);
	of_a_child();
	names();
	mounts();
	handles();
	refused();
	old_gate();
	check(failures == 0, "to the end");
	return failures != 0;
}
