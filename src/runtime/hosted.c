#include "runtime/hosted.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include "host/host.h"

#define PAGE 4096
#define STAT_STARTCODE 26 /* proc_pid_stat(5); counted from 1 */
#define STAT_AFTER_NAME 2
#define START_TRIES 200 /* while it starts, each START_PAUSE nanoseconds: a second in all */
#define START_PAUSE 5000000

/* "/proc/PID" and what follows. */
static void proc_name(char ret[64], int pid, const char *rest)
{
	char digits[12];
	size_t n = 0, len = sizeof("/proc/") - 1;

	memcpy(ret, "/proc/", len);
	do
		digits[n++] = (char)('0' + pid % 10);
	while ((pid /= 10) > 0);
	while (n > 0)
		ret[len++] = digits[--n];
	memcpy(ret + len, rest, strlen(rest) + 1);
}

bool hosted_by_us(int pid)
{
	struct stat own, other;
	char name[64];

	proc_name(name, pid, "/exe");
	return host_call4(SYS_newfstatat, AT_FDCWD, (long)"/proc/self/exe", (long)&own, 0) == 0 &&
	       host_call4(SYS_newfstatat, AT_FDCWD, (long)name, (long)&other, 0) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

/* Where the code of the process' executable begins; 0 if the kernel does not say. */
static uint64_t start_of_code(const char *stat_name)
{
	char text[1024], *p;
	long fd = host_openat(AT_FDCWD, stat_name, O_RDONLY | O_CLOEXEC, 0), n;
	uint64_t value = 0;

	if (host_failed(fd))
		return 0;
	n = host_read((int)fd, text, sizeof(text) - 1);
	host_close((int)fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name may hold anything */
	for (int field = STAT_AFTER_NAME; p && field < STAT_STARTCODE; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return 0;
	for (p++; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	return value > PAGE ? value : 0;
}

static long read_other(int pid, uint64_t from, void *to, size_t n)
{
	struct iovec local = {to, n}, remote = {(void *)from, n};

	return host_call6(SYS_process_vm_readv, pid, (long)&local, 1, (long)&remote, 1, 0);
}

/* The process' runtime.program; 0: not to be had. Right after its execve the runtime has yet to find its program. */
static uint64_t address_of_program(int pid, uint64_t where)
{
	const struct timespec pause = {.tv_nsec = START_PAUSE};
	uint64_t at = 0;

	for (int i = 0; i < START_TRIES; i++) {
		if (read_other(pid, where, &at, sizeof(at)) != sizeof(at))
			return 0;
		if (at)
			return at;
		host_call2(SYS_nanosleep, (long)&pause, 0);
	}
	return 0;
}

long hosted_program(int pid, char ret[PLACE_PATH_MAX])
{
	uint64_t own = start_of_code("/proc/self/stat"), other, at;
	size_t done = 0;
	char name[64];

	proc_name(name, pid, "/stat");
	other = start_of_code(name);
	if (!own || !other || !hosted_by_us(pid))
		return -ESRCH;
	/* The same file, loaded elsewhere: everything in it is as far from its code as here. */
	at = address_of_program(pid, (uint64_t)&runtime.program - own + other);
	if (!at)
		return -ESRCH;
	while (done < PLACE_PATH_MAX) {
		size_t n = PAGE - (at + done) % PAGE; /* what follows the string may not be mapped */
		char *end;

		if (n > PLACE_PATH_MAX - done)
			n = PLACE_PATH_MAX - done;
		if (read_other(pid, at + done, ret + done, n) != (long)n)
			return -ESRCH;
		end = memchr(ret + done, '\0', n);
		if (end)
			return ret[0] == '/' ? end - ret : -ESRCH;
		done += n;
	}
	return -ESRCH;
}
