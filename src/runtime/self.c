#include "runtime/self.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "runtime/sys/table.h"

#define TRAILER_MAGIC 0x454e4f4353464c53ULL
#define BY_FD "/dev/fd/"

struct trailer {
	uint64_t magic, state;
};

static struct {
	const uint8_t *bytes; /* NULL: not kept */
	size_t size;
} kept;

static int keep(int fd, size_t size)
{
	long at = host_mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (host_failed(at))
		return (int)at;
	kept.bytes = (const uint8_t *)at;
	kept.size = size;
	return 0;
}

void self_keep(void)
{
	struct stat st;
	int fd;

	if (kept.bytes)
		return;
	fd = (int)host_openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (!host_fstat(fd, &st) && st.st_size > 0 && keep(fd, (size_t)st.st_size))
		kept.bytes = NULL;
	host_close(fd);
}

static int write_all(int fd, const void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long w = host_write(fd, (const uint8_t *)p + done, n - done);

		if (w <= 0)
			return w ? (int)w : -EIO;
		done += (size_t)w;
	}
	return 0;
}

long self_exec(int state, char *const argv[], char *const envp[])
{
	struct trailer t = {.magic = TRAILER_MAGIC, .state = (uint64_t)state};
	long fd, rc;

	if (!kept.bytes)
		return -ENOENT;
	fd = host_call2(SYS_memfd_create, (long)"scone-runtime", 0);
	if (fd < 0)
		return fd;
	rc = write_all((int)fd, kept.bytes, kept.size);
	if (!rc)
		rc = write_all((int)fd, &t, sizeof(t));
	if (!rc)
		rc = host_call5(SYS_execveat, fd, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
	host_close((int)fd);
	return rc;
}

int self_state_fd(const char *execfn)
{
	struct trailer t;
	struct stat st;
	char *end;
	long fd;

	if (strncmp(execfn, BY_FD, sizeof(BY_FD) - 1))
		return -1;
	fd = strtol(execfn + sizeof(BY_FD) - 1, &end, 10);
	if (*end || fd < 0 || fd > INT32_MAX || host_fstat((int)fd, &st) || st.st_size <= (off_t)sizeof(t) ||
		host_pread((int)fd, &t, sizeof(t), st.st_size - (off_t)sizeof(t)) != (long)sizeof(t) ||
		t.magic != TRAILER_MAGIC || t.state > INT32_MAX)
		return -1;
	if (keep((int)fd, (size_t)st.st_size - sizeof(t)))
		return -1;
	host_close((int)fd);
	return (int)t.state;
}

/* chroot, pivot_root, mount, umount2, move_mount, setns: /proc may be another one afterwards, or none. */
long sys_change_tree(struct regs *r, struct thread *t)
{
	self_keep();
	return scone_safe_call((long)r->nr, r);
}
