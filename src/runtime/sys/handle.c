/*
 * handle: file handles and file systems of files that a shield serves.
 *
 * A handle names a file past its path. That of an injected file which the host has is the host's; whoever opens it gets what is injected.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include "host/host.h"
#include "runtime/place.h"
#include "runtime/served.h"
#include "runtime/shields.h"
#include "runtime/sys/table.h"

#define HANDLE_NAME_MAX 255

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

/* The program's path; false where the kernel has something to say about it. */
static bool take_path(char path[PLACE_PATH_MAX], uint64_t user)
{
	return user_string(path, user, PLACE_PATH_MAX) >= 0;
}

static bool in_memory_only(const struct place *p)
{
	return p->kind == PLACE_FILE && !injected_get(shields_files(), p->id)->info.from_host;
}

long sys_statfs(struct regs *r, struct thread *t)
{
	struct statfs fs = {
		.f_type = TMPFS_MAGIC, .f_bsize = 4096, .f_frsize = 4096, .f_namelen = HANDLE_NAME_MAX};
	char path[PLACE_PATH_MAX];
	struct place p;

	if (!shields_files() || !take_path(path, r->rdi))
		return pass(r);
	p = place_find(t, AT_FDCWD, path, 0);
	return in_memory_only(&p) ? user_copy((void *)r->rsi, &fs, sizeof(fs)) : pass(r);
}

long sys_name_to_handle_at(struct regs *r, struct thread *t)
{
	unsigned flags =
		(r->r8 & AT_SYMLINK_FOLLOW ? 0 : PLACE_NOFOLLOW) | (r->r8 & AT_EMPTY_PATH ? PLACE_EMPTY : 0);
	char path[PLACE_PATH_MAX];
	struct place p;

	if (!shields_files() || !take_path(path, r->rsi))
		return pass(r);
	p = place_find(t, (int)r->rdi, path, flags);
	if (p.kind == PLACE_FILE && (!*path || p.link || in_memory_only(&p)))
		return -EOPNOTSUPP; /* a placeholder's handle would lead to zeros */
	return pass(r);
}

/* Look at what the handle leads to before anything is done to it. */
long sys_open_by_handle_at(struct regs *r, struct thread *t)
{
	long fd = host_call3(SYS_open_by_handle_at, (int)r->rdi, (long)r->rsi, O_PATH | O_CLOEXEC), ret;
	struct place p = {.kind = PLACE_HOST};
	struct stat st;

	if (!host_failed(fd)) {
		ret = host_fstat((int)fd, &st);
		host_close((int)fd);
		if (ret == 0 && S_ISREG(st.st_mode))
			p = place_of_inode(t, st.st_dev, st.st_ino);
	}
	return p.kind == PLACE_FILE ? served_open(t->proc, p.id, (uint32_t)r->rdx) : pass(r);
}
