/*
 * host: the only way from the runtime to the kernel. Raw system calls, answers as -errno, no libc state touched.
 *
 * Everything here is inline and uses general registers only, so it may be called on the fast path, in signal handlers and in a child
 * that shares its parent's memory.
 */
#ifndef SCONE_HOST_HOST_H
#define SCONE_HOST_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline __attribute__((always_inline)) long host_call6(
	long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long host_call0(long nr)
{
	return host_call6(nr, 0, 0, 0, 0, 0, 0);
}
static inline long host_call1(long nr, long a)
{
	return host_call6(nr, a, 0, 0, 0, 0, 0);
}
static inline long host_call2(long nr, long a, long b)
{
	return host_call6(nr, a, b, 0, 0, 0, 0);
}
static inline long host_call3(long nr, long a, long b, long c)
{
	return host_call6(nr, a, b, c, 0, 0, 0);
}
static inline long host_call4(long nr, long a, long b, long c, long d)
{
	return host_call6(nr, a, b, c, d, 0, 0);
}
static inline long host_call5(long nr, long a, long b, long c, long d, long e)
{
	return host_call6(nr, a, b, c, d, e, 0);
}

/* An answer in [-4095, -1] is an error. */
static inline int host_failed(long ret)
{
	return (unsigned long)ret >= (unsigned long)-4095L;
}

/* Memory. mmap answers the address or -errno. */
static inline long host_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return host_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, off);
}
static inline long host_munmap(void *addr, size_t len)
{
	return host_call2(SYS_munmap, (long)addr, (long)len);
}
static inline long host_mprotect(void *addr, size_t len, int prot)
{
	return host_call3(SYS_mprotect, (long)addr, (long)len, prot);
}

/* Files. */
static inline long host_openat(int dirfd, const char *path, int flags, int mode)
{
	return host_call4(SYS_openat, dirfd, (long)path, flags, mode);
}
static inline long host_close(int fd)
{
	return host_call1(SYS_close, fd);
}
static inline long host_read(int fd, void *p, size_t n)
{
	return host_call3(SYS_read, fd, (long)p, (long)n);
}
static inline long host_write(int fd, const void *p, size_t n)
{
	return host_call3(SYS_write, fd, (long)p, (long)n);
}
static inline long host_pread(int fd, void *p, size_t n, off_t off)
{
	return host_call4(SYS_pread64, fd, (long)p, (long)n, off);
}
struct stat;
static inline long host_fstat(int fd, struct stat *st)
{
	return host_call2(SYS_fstat, fd, (long)st);
}

/* Signals: a kernel signal set is one 64-bit word, bit N-1 for signal N. */
static inline long host_sigmask(int how, const uint64_t *set, uint64_t *old)
{
	return host_call4(SYS_rt_sigprocmask, how, (long)set, (long)old, 8);
}

/* Futex on a private word. */
static inline long host_futex_wait(uint32_t *word, uint32_t val)
{
	return host_call4(SYS_futex, (long)word, 128 /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */, (long)val, 0);
}
static inline long host_futex_wake(uint32_t *word, int n)
{
	return host_call3(SYS_futex, (long)word, 129 /* FUTEX_WAKE | FUTEX_PRIVATE_FLAG */, n);
}

#endif
