/*
 * hostile SEED N FILE: executes N damaged copies of an ELF file. Each is refused, or ends in some way of its own; none hangs, and whoever loads it
 * does not fall over it.
 */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "want.h"

#define SECONDS 20

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static const uint64_t bad_numbers[] = {0, 1, 7, 0x1000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
	0x7ffffffff000, 0x800000000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffff800000000000,
	0xffffffffff600000, 0xfffffffffffff000, 0xffffffffffffffff};

static uint64_t bad_number(void)
{
	return bad_numbers[next() % (sizeof(bad_numbers) / sizeof(bad_numbers[0]))];
}

/* One field of one header. */
static void damage_field(uint8_t *p, size_t size)
{
	Elf64_Ehdr *e = (Elf64_Ehdr *)p;
	Elf64_Phdr *ph = (Elf64_Phdr *)(p + sizeof(*e));
	unsigned n = e->e_phnum < 16 ? e->e_phnum : 16;

	if (sizeof(*e) + 16 * sizeof(*ph) > size || !n)
		return;
	ph += next() % n;
	switch (next() % 12) {
	case 0:
		e->e_entry = bad_number();
		break;
	case 1:
		e->e_phoff = bad_number();
		break;
	case 2:
		e->e_phnum = (uint16_t)bad_number();
		break;
	case 3:
		e->e_type = (uint16_t)(next() % 5);
		break;
	case 4:
		ph->p_type = (uint32_t)(next() % 8);
		break;
	case 5:
		ph->p_flags = (uint32_t)(next() % 8);
		break;
	case 6:
		ph->p_offset = bad_number();
		break;
	case 7:
		ph->p_vaddr = bad_number();
		break;
	case 8:
		ph->p_filesz = bad_number();
		break;
	case 9:
		ph->p_memsz = bad_number();
		break;
	case 10:
		ph->p_align = bad_number();
		break;
	default:
		ph->p_vaddr += next() % 0x20000;
		break;
	}
}

static size_t damage(uint8_t *p, size_t size)
{
	switch (next() % 8) {
	case 0:
		return next() % size; /* cut off */
	case 1:
		p[next() % 64] = (uint8_t)next();
		return size;
	case 2:
		for (int i = 0; i < 8; i++)
			p[next() % (size < 1024 ? size : 1024)] ^= (uint8_t)(1u << next() % 8);
		return size;
	case 3:
		for (int i = 0; i < 32; i++)
			p[next() % size] = (uint8_t)next();
		return size;
	default:
		for (unsigned i = 1 + (unsigned)(next() % 3); i > 0; i--)
			damage_field(p, size);
		return size;
	}
}

static void become(const char *name, int output)
{
	struct rlimit as = {1ul << 32, 1ul << 32}, cpu = {2, 2}, core = {0, 0};
	char *args[] = {(char *)name, NULL}, *none[] = {NULL};

	setrlimit(RLIMIT_AS, &as);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
	setsid();
	dup2(output, 1);
	dup2(output, 2);
	alarm(4);
	execve(name, args, none);
	_exit(126);
}

/* Wait, but not for ever. */
static int ended(pid_t child)
{
	for (int i = 0; i < SECONDS * 100; i++) {
		if (waitpid(child, NULL, WNOHANG) == child)
			return 1;
		usleep(i < 100 ? 200 : 10000);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}

static int said(int output, const char *text)
{
	char buf[8192];
	ssize_t n = pread(output, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	return strstr(buf, text) != NULL;
}

int main(int argc, char **argv)
{
	int n, file = argc > 3 ? open(argv[3], O_RDONLY) : -1, output = memfd_create("output", MFD_CLOEXEC);
	uint8_t *whole, *copy;
	struct stat st;

	if (file < 0 || output < 0 || fstat(file, &st))
		return 2;
	n = atoi(argv[2]);
	whole = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	copy = malloc((size_t)st.st_size);
	section("damaged");
	for (int i = 0; i < n; i++) {
		size_t size;
		pid_t child;
		int fd;

		state = (strtoull(argv[1], NULL, 0) + 1) * 1000003ull + (uint64_t)i;
		for (int k = 0; k < 8; k++)
			next();
		memcpy(copy, whole, (size_t)st.st_size);
		size = damage(copy, (size_t)st.st_size);
		fd = open("hostile.elf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
		if (fd < 0 || write(fd, copy, size) != (ssize_t)size)
			return 3;
		close(fd);
		if (ftruncate(output, 0))
			return 3;
		lseek(output, 0, SEEK_SET);
		child = fork();
		if (child == 0)
			become("./hostile.elf", output);
		if (!WANT(child > 0 && ended(child)) || !WANT(!said(output, "fault in the runtime")))
			printf("at %d\n", i);
		unlink("hostile.elf");
	}
	return want_done();
}
