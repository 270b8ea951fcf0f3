/*
 * path_change: calls that change, replace or remove what a path names, and extended attributes.
 *
 * An injected file cannot be removed, replaced or given another name: EPERM. Attributes of one that the host has are changed there; those of
 * one that exists in memory only are changed in memory, as its content is. Such a file has no extended attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>
#include <utime.h>
#include "host/host.h"
#include "runtime/fd_ops.h"
#include "runtime/place.h"
#include "runtime/served.h"
#include "runtime/shields.h"
#include "runtime/sys/table.h"

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

/* The injected file that a path of the program names, or -1. */
static int named(struct thread *t, int dirfd, uint64_t user, unsigned flags)
{
	char path[PLACE_PATH_MAX];
	struct place p;

	if (!shields_files() || user_string(path, user, sizeof(path)) < 0)
		return -1;
	p = place_named(t, dirfd, path, flags);
	return p.kind == PLACE_FILE ? (int)p.id : -1;
}

/* The same, and only if it exists in memory alone; links at the end are followed. */
static int memory_only(struct thread *t, int dirfd, uint64_t user, unsigned flags)
{
	char path[PLACE_PATH_MAX];
	struct place p;

	if (!shields_files() || user_string(path, user, sizeof(path)) < 0)
		return -1;
	p = place_find(t, dirfd, path, flags);
	return p.kind == PLACE_FILE && !injected_get(shields_files(), p.id)->info.from_host ? (int)p.id : -1;
}

long sys_unlink(struct regs *r, struct thread *t)
{
	return named(t, AT_FDCWD, r->rdi, PLACE_NOFOLLOW) >= 0 ? -EPERM : pass(r);
}

long sys_unlinkat(struct regs *r, struct thread *t)
{
	return named(t, (int)r->rdi, r->rsi, PLACE_NOFOLLOW) >= 0 ? -EPERM : pass(r);
}

static long rename_paths(
	struct regs *r, struct thread *t, int from_dir, uint64_t from, int to_dir, uint64_t to)
{
	if (named(t, from_dir, from, PLACE_NOFOLLOW) >= 0 || named(t, to_dir, to, PLACE_NOFOLLOW) >= 0)
		return -EPERM;
	return pass(r);
}

long sys_rename(struct regs *r, struct thread *t)
{
	return rename_paths(r, t, AT_FDCWD, r->rdi, AT_FDCWD, r->rsi);
}

long sys_renameat(struct regs *r, struct thread *t)
{
	return rename_paths(r, t, (int)r->rdi, r->rsi, (int)r->rdx, r->r10);
}

/* What would be made is there already; a file in memory cannot have a second name on a disk, nor can a placeholder. */
static long link_paths(struct regs *r, struct thread *t, int from_dir, uint64_t from, unsigned from_flags,
	int to_dir, uint64_t to)
{
	if (named(t, to_dir, to, PLACE_NOFOLLOW) >= 0)
		return -EEXIST;
	return memory_only(t, from_dir, from, from_flags) >= 0 ? -EPERM : pass(r);
}

long sys_link(struct regs *r, struct thread *t)
{
	return link_paths(r, t, AT_FDCWD, r->rdi, PLACE_NOFOLLOW, AT_FDCWD, r->rsi);
}

long sys_linkat(struct regs *r, struct thread *t)
{
	unsigned flags =
		(r->r8 & AT_SYMLINK_FOLLOW ? 0 : PLACE_NOFOLLOW) | (r->r8 & AT_EMPTY_PATH ? PLACE_EMPTY : 0);

	return link_paths(r, t, (int)r->rdi, r->rsi, flags, (int)r->rdx, r->r10);
}

long sys_symlink(struct regs *r, struct thread *t)
{
	return named(t, AT_FDCWD, r->rsi, PLACE_NOFOLLOW) >= 0 ? -EEXIST : pass(r);
}

long sys_symlinkat(struct regs *r, struct thread *t)
{
	return named(t, (int)r->rsi, r->rdx, PLACE_NOFOLLOW) >= 0 ? -EEXIST : pass(r);
}

long sys_make(struct regs *r, struct thread *t)
{
	return named(t, AT_FDCWD, r->rdi, PLACE_NOFOLLOW) >= 0 ? -EEXIST : pass(r);
}

long sys_makeat(struct regs *r, struct thread *t)
{
	return named(t, (int)r->rdi, r->rsi, PLACE_NOFOLLOW) >= 0 ? -EEXIST : pass(r);
}

long sys_chmod(struct regs *r, struct thread *t)
{
	int id = memory_only(t, AT_FDCWD, r->rdi, 0);

	return id < 0 ? pass(r) : served_chmod((uint32_t)id, (uint32_t)r->rsi);
}

long sys_fchmodat(struct regs *r, struct thread *t)
{
	int id = memory_only(t, (int)r->rdi, r->rsi, 0);

	return id < 0 ? pass(r) : served_chmod((uint32_t)id, (uint32_t)r->rdx);
}

/* chown and lchown: a file in memory is no link. */
long sys_chown(struct regs *r, struct thread *t)
{
	int id = memory_only(t, AT_FDCWD, r->rdi, r->nr == SYS_lchown ? PLACE_NOFOLLOW : 0);

	return id < 0 ? pass(r) : served_chown((uint32_t)id, (uint32_t)r->rsi, (uint32_t)r->rdx);
}

static unsigned place_flags(uint64_t at_flags)
{
	return (at_flags & AT_SYMLINK_NOFOLLOW ? PLACE_NOFOLLOW : 0) |
	       (at_flags & AT_EMPTY_PATH ? PLACE_EMPTY : 0);
}

long sys_fchownat(struct regs *r, struct thread *t)
{
	int id = memory_only(t, (int)r->rdi, r->rsi, place_flags(r->r8));

	return id < 0 ? pass(r) : served_chown((uint32_t)id, (uint32_t)r->rdx, (uint32_t)r->r10);
}

/* Of a descriptor that stands for an injected file: its id, or -1. */
static int of_descriptor(struct thread *t, uint64_t fd)
{
	struct fd_entry e = fd_load(t->proc, (uint32_t)fd);

	return e.kind == FD_INJECTED && !(e.flags & O_PATH) ? (int)e.file : -1;
}

/* A null path means the descriptor: futimens(3). */
long sys_utimensat(struct regs *r, struct thread *t)
{
	int id = r->rsi ? memory_only(t, (int)r->rdi, r->rsi, place_flags(r->r10)) : of_descriptor(t, r->rdi);

	return id < 0 ? pass(r) : served_utimens((uint32_t)id, r->rdx);
}

long sys_rmdir(struct regs *r, struct thread *t)
{
	return named(t, AT_FDCWD, r->rdi, PLACE_NOFOLLOW) >= 0 ? -ENOTDIR : pass(r);
}

static long set_timevals(uint32_t id, uint64_t user)
{
	struct timespec times[2];
	struct timeval tv[2];

	if (!user)
		return served_set_times(id, NULL);
	if (user_copy(tv, (const void *)user, sizeof(tv)) < 0)
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		times[i] = (struct timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
	}
	return served_set_times(id, times);
}

long sys_utimes(struct regs *r, struct thread *t)
{
	int id = memory_only(t, AT_FDCWD, r->rdi, 0);

	return id < 0 ? pass(r) : set_timevals((uint32_t)id, r->rsi);
}

long sys_futimesat(struct regs *r, struct thread *t)
{
	int id = r->rsi ? memory_only(t, (int)r->rdi, r->rsi, 0) : of_descriptor(t, r->rdi);

	return id < 0 ? pass(r) : set_timevals((uint32_t)id, r->rdx);
}

long sys_utime(struct regs *r, struct thread *t)
{
	int id = memory_only(t, AT_FDCWD, r->rdi, 0);
	struct timespec times[2] = {0};
	struct utimbuf u;

	if (id < 0)
		return pass(r);
	if (!r->rsi)
		return served_set_times((uint32_t)id, NULL);
	if (user_copy(&u, (const void *)r->rsi, sizeof(u)) < 0)
		return -EFAULT;
	times[0].tv_sec = u.actime;
	times[1].tv_sec = u.modtime;
	return served_set_times((uint32_t)id, times);
}

long sys_xattr(struct regs *r, struct thread *t)
{
	bool link_meant = r->nr == SYS_lgetxattr || r->nr == SYS_llistxattr || r->nr == SYS_lsetxattr ||
			  r->nr == SYS_lremovexattr;

	if (memory_only(t, AT_FDCWD, r->rdi, link_meant ? PLACE_NOFOLLOW : 0) < 0)
		return pass(r);
	return served_without_xattr(r->nr);
}
