/* Bad pointers and bad numbers: the kernel answers an error, and so must whatever stands in front of it. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static void *bad;

#define S(...) syscall(__VA_ARGS__)
#define BAD(...) FAILS(syscall(__VA_ARGS__), EFAULT)

static void files(int fd)
{
	struct iovec iov = {bad, 10};

	BAD(SYS_read, fd, bad, 10ul);
	BAD(SYS_write, fd, bad, 10ul);
	BAD(SYS_pread64, fd, bad, 10ul, 0l);
	BAD(SYS_readv, fd, &iov, 1ul);
	BAD(SYS_writev, fd, bad, 1ul);
	BAD(SYS_open, bad, O_RDONLY, 0);
	BAD(SYS_openat, AT_FDCWD, bad, O_RDONLY, 0);
	BAD(SYS_stat, bad, bad);
	BAD(SYS_stat, ".", bad);
	BAD(SYS_newfstatat, AT_FDCWD, ".", bad, 0);
	BAD(SYS_fstat, fd, bad);
	BAD(SYS_access, bad, R_OK);
	BAD(SYS_readlink, bad, bad, 10ul);
	BAD(SYS_readlink, "/proc/self/exe", bad, 10ul);
	BAD(SYS_readlink, "/proc/self/cwd", bad, 10ul);
	BAD(SYS_getcwd, bad, 4096ul);
	BAD(SYS_rename, bad, "x");
	BAD(SYS_unlink, bad);
	BAD(SYS_chdir, bad);
	BAD(SYS_pipe, bad);
	BAD(SYS_pipe2, bad, O_CLOEXEC);
	BAD(SYS_poll, bad, 1ul, 0);
	BAD(SYS_fcntl, fd, F_GETLK, bad);
	BAD(SYS_statx, AT_FDCWD, ".", 0, 0xfff, bad);
}

static void signals(void)
{
	BAD(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8ul);
	BAD(SYS_rt_sigaction, SIGUSR1, NULL, bad, 8ul);
	FAILS(S(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 16ul), EINVAL);
	BAD(SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8ul);
	BAD(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad, 8ul);
	BAD(SYS_rt_sigsuspend, bad, 8ul);
	BAD(SYS_rt_sigpending, bad, 8ul);
	BAD(SYS_rt_sigtimedwait, bad, NULL, NULL, 8ul);
	BAD(SYS_sigaltstack, bad, NULL);
	BAD(SYS_sigaltstack, NULL, bad);
	BAD(SYS_setitimer, ITIMER_REAL, bad, NULL);
	FAILS(S(SYS_kill, getpid(), 65), EINVAL);
	FAILS(S(SYS_tgkill, getpid(), getpid(), -1), EINVAL);
}

static void processes(void)
{
	char *argv[] = {(char *)"x", NULL};

	BAD(SYS_execve, bad, argv, NULL);
	BAD(SYS_execve, "/bin/true", bad, NULL);
	BAD(SYS_execveat, AT_FDCWD, bad, argv, NULL, 0);
	BAD(SYS_nanosleep, bad, NULL);
	BAD(SYS_clock_gettime, 1, bad);
	BAD(SYS_gettimeofday, bad, NULL);
	BAD(SYS_uname, bad);
	BAD(SYS_getrlimit, 7, bad);
	BAD(SYS_prlimit64, 0, 7, bad, NULL);
	BAD(SYS_futex, bad, 0, 0, NULL, NULL, 0);
	BAD(SYS_getrandom, bad, 16ul, 0);
	BAD(SYS_arch_prctl, 0x1003, bad); /* ARCH_GET_FS */
	FAILS(S(SYS_arch_prctl, 0x9999, 0), EINVAL);
	pid_t p = fork();
	if (p == 0)
		_exit(0);
	BAD(SYS_wait4, p, bad, 0, NULL);
	FAILS(waitpid(p, NULL, 0), ECHILD); /* that call had reaped it */
}

static void sockets(void)
{
	int s[2];
	struct iovec iov = {bad, 4};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	BAD(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, bad);
	WANT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	BAD(SYS_sendto, s[0], bad, 4ul, 0, NULL, 0);
	BAD(SYS_sendmsg, s[0], bad, 0);
	BAD(SYS_sendmsg, s[0], &m, 0);
	BAD(SYS_recvmsg, s[0], bad, 0);
	BAD(SYS_bind, s[0], bad, 10);
	BAD(SYS_getsockname, s[0], bad, bad);
	BAD(SYS_epoll_ctl, epoll_create1(0), 1, s[0], bad);
	close(s[0]);
	close(s[1]);
}

/* Half of the buffer is there: the kernel moves what it can, or says EFAULT. */
static void half(int fd)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int out[2];

	munmap(p + 4096, 4096);
	WANT(S(SYS_pread64, fd, p + 4090, 100ul, 0l) == 6);
	WANT(pipe(out) == 0);
	printf("write from half a buffer: %ld\n", (long)write(out[1], p + 4090, 100));
	strcpy(p + 4092, "/ab"); /* a name that ends with its page is fine */
	FAILS(access(p + 4092, R_OK), ENOENT);
	memcpy(p + 4092, "/abc", 4);
	BAD(SYS_access, p + 4092, R_OK);
	munmap(p, 4096);
	close(out[0]);
	close(out[1]);
}

static void numbers(void)
{
	FAILS(S(9999), ENOSYS);
	FAILS(S(-1), ENOSYS);
	WANT(S((1ul << 40) | SYS_getpid) == getpid()); /* the number is 32 bits wide */
	FAILS(S(SYS_close, 12345), EBADF);
	FAILS(S(SYS_lseek, 12345, 0l, SEEK_SET), EBADF);
	FAILS(S(SYS_dup2, 0, 1 << 30), EBADF);
	FAILS(S(SYS_mmap, NULL, 4096ul, PROT_READ, MAP_ANONYMOUS, -1, 0l), EINVAL);
}

int main(void)
{
	int fd = open("data", O_RDWR | O_CREAT, 0600), dir = open(".", O_RDONLY | O_DIRECTORY);

	bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	WANT(write(fd, "0123456789", 10) == 10 && lseek(fd, 0, SEEK_SET) == 0);
	for (int round = 0; round < 2; round++) {
		section(round ? "page zero" : "forbidden page");
		files(fd);
		BAD(SYS_getdents64, dir, bad, 4096u);
		bad = (void *)16;
	}
	section("signals");
	signals();
	section("processes");
	processes();
	section("sockets");
	sockets();
	section("half");
	half(fd);
	section("numbers");
	numbers();
	return want_done();
}
