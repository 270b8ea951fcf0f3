/*
 * intruder METHOD PID <NEEDLE: looks for the bytes of its standard input in another process.
 *
 *   mem      by /proc/PID/mem
 *   vm       by process_vm_readv
 *   ptrace   by PTRACE_ATTACH and PTRACE_PEEKDATA
 *   seize    by PTRACE_SEIZE, PTRACE_INTERRUPT and PTRACE_PEEKDATA
 *   fds      in what its descriptors give, taken by pidfd_getfd
 *   files    in its environ, cmdline, comm, auxv and stack of /proc
 *   wx       instead: how many of its mappings are writable and executable
 * Prints "found N", or "refused: ERROR" when it may not look.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP (1ul << 20)
#define PAGE 4096ul
#define NEEDLE_MAX 256

static uint8_t needle[NEEDLE_MAX];
static size_t needle_len;
static pid_t pid;
static int mem = -1;

static void refuse(int error)
{
	printf("refused: %s\n", strerrorname_np(error));
	exit(0);
}

static int open_proc(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static long count_in(const uint8_t *p, size_t n)
{
	long found = 0;

	for (const uint8_t *at = p; (at = memmem(at, n - (size_t)(at - p), needle, needle_len)); at++)
		found++;
	return found;
}

/* Bytes of the process at addr: how many were read. */
static ssize_t by_mem(uint64_t addr, void *to, size_t n)
{
	return pread(mem, to, n, (off_t)addr);
}

static ssize_t by_vm(uint64_t addr, void *to, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)addr, n};

	return process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static ssize_t by_ptrace(uint64_t addr, void *to, size_t n)
{
	size_t done = 0;

	for (; done + sizeof(long) <= n; done += sizeof(long)) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, (void *)(addr + done), NULL);
		if (errno)
			break;
		memcpy((uint8_t *)to + done, &word, sizeof(word));
	}
	return done ? (ssize_t)done : -1;
}

/* Every mapping, or those that are written to; a page that cannot be read is left out. */
static long scan(ssize_t (*get)(uint64_t addr, void *to, size_t n), bool written)
{
	uint8_t *room = malloc(STEP + NEEDLE_MAX);
	int fd = open_proc("maps");
	FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
	unsigned long from, to;
	char line[4400], mode[5];
	long found = 0;

	if (!maps)
		refuse(errno);
	while (fgets(line, sizeof(line), maps)) {
		size_t kept = 0;

		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || strstr(line, "[v") ||
			(written && mode[1] != 'w'))
			continue;
		while (from < to) {
			size_t step = to - from < STEP ? to - from : STEP;
			ssize_t n = get(from, room + kept, step);

			if (n <= 0) {
				kept = 0;
				from += PAGE;
				continue;
			}
			found += count_in(room, kept + (size_t)n);
			from += (size_t)n;
			n += (ssize_t)kept;
			kept = (size_t)n < needle_len - 1 ? (size_t)n : needle_len - 1;
			memmove(room, room + n - kept, kept);
		}
	}
	fclose(maps);
	free(room);
	return found;
}

static long with_ptrace(bool seize)
{
	long found;
	int status;

	if (ptrace(seize ? PTRACE_SEIZE : PTRACE_ATTACH, pid, NULL, NULL))
		refuse(errno);
	if (seize && ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		refuse(errno);
	if (waitpid(pid, &status, __WALL) != pid)
		refuse(errno);
	found = scan(by_ptrace, true);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return found;
}

static long in_fd(int fd)
{
	struct stat st;
	uint8_t *p;
	long found = 0;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) {
		found = count_in(p, (size_t)st.st_size);
		munmap(p, (size_t)st.st_size);
	}
	return found;
}

static long fds(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	long found = 0;

	if (pidfd < 0)
		refuse(errno);
	for (int n = 0; n < 256; n++) {
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd, n, 0);

		if (fd < 0 && errno != EBADF)
			refuse(errno);
		if (fd >= 0) {
			found += in_fd(fd);
			close(fd);
		}
	}
	return found;
}

static long files(void)
{
	static const char *const names[] = {"environ", "cmdline", "comm", "auxv", "stack"};
	static uint8_t text[STEP];
	long found = 0;
	int readable = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd = open_proc(names[i]);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

		readable += n >= 0 && i == 0;
		found += n > 0 ? count_in(text, (size_t)n) : 0;
		if (fd >= 0)
			close(fd);
	}
	if (!readable && !found)
		refuse(EACCES);
	return found;
}

static long wx(void)
{
	int fd = open_proc("maps");
	FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
	char line[4400], mode[5];
	long found = 0;

	if (!maps)
		refuse(errno);
	while (fgets(line, sizeof(line), maps))
		found += sscanf(line, "%*s %4s", mode) == 1 && mode[1] == 'w' && mode[2] == 'x';
	fclose(maps);
	return found;
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[1] : "";
	long found;

	pid = argc > 2 ? atoi(argv[2]) : 0;
	needle_len = strcmp(how, "wx") ? fread(needle, 1, sizeof(needle), stdin) : 8;
	if (pid <= 0 || needle_len < 8)
		return 2;
	if (!strcmp(how, "mem")) {
		mem = open_proc("mem");
		if (mem < 0)
			refuse(errno);
		found = scan(by_mem, false);
	} else if (!strcmp(how, "vm")) {
		uint8_t byte;

		if (by_vm(0x1000, &byte, 1) < 0 && errno != EFAULT)
			refuse(errno);
		found = scan(by_vm, false);
	} else if (!strcmp(how, "ptrace") || !strcmp(how, "seize")) {
		found = with_ptrace(how[0] == 's');
	} else if (!strcmp(how, "fds")) {
		found = fds();
	} else if (!strcmp(how, "files")) {
		found = files();
	} else if (!strcmp(how, "wx")) {
		found = wx();
	} else {
		return 2;
	}
	printf("found %ld\n", found);
	return 0;
}
