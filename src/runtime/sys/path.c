/*
 * path: calls that name a file, the slow way. What place.c does not claim passes to the host as it came.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "host/host.h"
#include "runtime/console.h"
#include "runtime/hosted.h"
#include "runtime/place.h"
#include "runtime/served.h"
#include "runtime/shields.h"
#include "runtime/sys/table.h"

/* The program's path, or what the kernel will say of it: then the call passes. */
static bool take_path(char path[PLACE_PATH_MAX], uint64_t user)
{
	return user_string(path, user, PLACE_PATH_MAX) >= 0;
}

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

/* Path of the program that a PLACE_PROGRAM means; NULL: what the kernel says of it is all there is. */
static const char *program_of(struct place p, char buf[PLACE_PATH_MAX])
{
	if (!p.id)
		return runtime.program;
	return hosted_program((int)p.id, buf) > 0 ? buf : NULL;
}

static long open_place(struct regs *r, struct thread *t, struct place p, uint32_t flags, uint32_t mode)
{
	char buf[PLACE_PATH_MAX];
	const char *program;

	switch (p.kind) {
	case PLACE_FILE:
		return served_open(t->proc, p.id, flags);
	case PLACE_PROGRAM:
		program = program_of(p, buf);
		return program ? scone_safe_call6(SYS_openat, AT_FDCWD, (long)program, flags, mode, 0, 0)
			       : pass(r);
	case PLACE_REFUSED:
		return -EACCES;
	default:
		return pass(r);
	}
}

static long open_path(
	struct regs *r, struct thread *t, int dirfd, uint64_t user, uint32_t flags, uint32_t mode)
{
	bool nofollow = (flags & O_NOFOLLOW) || ((flags & O_CREAT) && (flags & O_EXCL));
	char path[PLACE_PATH_MAX];

	if (!take_path(path, user))
		return pass(r);
	if (t->proc->console_rules) {
		long ret = console_open_path(t, dirfd, path, flags);

		if (ret != CONSOLE_NOT_OURS)
			return ret;
	}
	return open_place(r, t, place_find(t, dirfd, path, nofollow ? PLACE_NOFOLLOW : 0), flags, mode);
}

long sys_open(struct regs *r, struct thread *t)
{
	return open_path(r, t, AT_FDCWD, r->rdi, (uint32_t)r->rsi, (uint32_t)r->rdx);
}

long sys_creat(struct regs *r, struct thread *t)
{
	return open_path(r, t, AT_FDCWD, r->rdi, O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)r->rsi);
}

long sys_openat(struct regs *r, struct thread *t)
{
	return open_path(r, t, (int)r->rdi, r->rsi, (uint32_t)r->rdx, (uint32_t)r->r10);
}

/* With RESOLVE_ flags the path is the kernel's to follow: an injected file is known by what the host has there, or not at all. */
static struct place restricted_place(
	struct thread *t, int dirfd, const char *path, const struct open_how *how)
{
	struct open_how look = {
		.flags = O_PATH | O_CLOEXEC | (how->flags & O_NOFOLLOW), .resolve = how->resolve};
	struct place none = {.kind = PLACE_HOST};
	long fd = host_call4(SYS_openat2, dirfd, (long)path, (long)&look, sizeof(look)), ret;
	struct stat st;

	if (host_failed(fd))
		return none;
	ret = host_fstat((int)fd, &st);
	host_close((int)fd);
	return ret == 0 && S_ISREG(st.st_mode) ? place_of_inode(t, st.st_dev, st.st_ino) : none;
}

long sys_openat2(struct regs *r, struct thread *t)
{
	char path[PLACE_PATH_MAX];
	struct open_how how;

	if (r->r10 < sizeof(how) || user_copy(&how, (const void *)r->rdx, sizeof(how)) < 0 ||
		!take_path(path, r->rsi))
		return pass(r);
	if (how.resolve && t->proc->console_rules) {
		long ret = console_open_path(t, (int)r->rdi, path, (uint32_t)how.flags);

		if (ret != CONSOLE_NOT_OURS)
			return ret;
	}
	if (how.resolve)
		return open_place(r, t, restricted_place(t, (int)r->rdi, path, &how), (uint32_t)how.flags,
			(uint32_t)how.mode);
	return open_path(r, t, (int)r->rdi, r->rsi, (uint32_t)how.flags, (uint32_t)how.mode);
}

static long readlink_path(
	struct regs *r, struct thread *t, int dirfd, uint64_t user, uint64_t out, int32_t size)
{
	char path[PLACE_PATH_MAX], buf[PLACE_PATH_MAX];
	const char *text;
	struct place p;
	size_t n;

	if (size <= 0 || !take_path(path, user))
		return pass(r);
	p = place_find(t, dirfd, path, PLACE_READLINK);
	if (p.kind == PLACE_FILE && !p.link)
		return -EINVAL;
	if (p.kind != PLACE_FILE && p.kind != PLACE_PROGRAM)
		return pass(r);
	text = p.kind == PLACE_FILE ? injected_get(shields_files(), p.id)->info.path : program_of(p, buf);
	if (!text)
		return pass(r);
	n = strlen(text);
	if (n > (size_t)size)
		n = (size_t)size;
	return user_copy((void *)out, text, n) < 0 ? -EFAULT : (long)n;
}

long sys_readlink(struct regs *r, struct thread *t)
{
	return readlink_path(r, t, AT_FDCWD, r->rdi, r->rsi, (int32_t)r->rdx);
}

long sys_readlinkat(struct regs *r, struct thread *t)
{
	return readlink_path(r, t, (int)r->rdi, r->rsi, r->rdx, (int32_t)r->r10);
}

static unsigned place_flags(uint32_t at_flags)
{
	return (at_flags & AT_SYMLINK_NOFOLLOW ? PLACE_NOFOLLOW : 0) |
	       (at_flags & AT_EMPTY_PATH ? PLACE_EMPTY : 0);
}

/* AT_EMPTY_PATH makes a null pointer an empty path (Linux 6.11). */
static bool take_path_or_empty(char path[PLACE_PATH_MAX], uint64_t user, uint32_t at_flags)
{
	if (!user && (at_flags & AT_EMPTY_PATH)) {
		path[0] = '\0';
		return true;
	}
	return take_path(path, user);
}

/* What the host answered a stat with: is it an injected file under another name? dev and ino are of a regular file when ret is 0. */
static struct place place_after(struct thread *t, long ret, bool regular, uint64_t dev, uint64_t ino,
	int dirfd, const char *path, uint32_t at_flags)
{
	if (ret == 0 && regular && *path)
		return place_of_inode(t, dev, ino);
	if (ret == -ENOENT && *path && !(at_flags & AT_SYMLINK_NOFOLLOW))
		return place_of_dangling(t, dirfd, path);
	return (struct place){.kind = PLACE_HOST};
}

static long stat_path(
	struct regs *r, struct thread *t, int dirfd, uint64_t user, uint64_t out, uint32_t at_flags)
{
	char path[PLACE_PATH_MAX], buf[PLACE_PATH_MAX];
	const char *program;
	struct stat st = {0};
	struct place p;
	long ret;

	if (!take_path_or_empty(path, user, at_flags))
		return pass(r);
	p = place_named(t, dirfd, path, place_flags(at_flags));
	if (p.kind == PLACE_FILE)
		return served_stat(p.id, out);
	program = p.kind == PLACE_PROGRAM ? program_of(p, buf) : NULL;
	if (program)
		return scone_safe_call6(SYS_newfstatat, AT_FDCWD, (long)program, (long)out, 0, 0, 0);
	ret = pass(r);
	if (ret == 0 && user_copy(&st, (const void *)out, sizeof(st)) < 0)
		return ret;
	if (ret == 0 && !*path && fd_load(t->proc, (uint32_t)dirfd).kind == FD_CONSOLE) {
		console_hide_kind(&st);
		return user_copy((void *)out, &st, sizeof(st));
	}
	p = place_after(t, ret, S_ISREG(st.st_mode), st.st_dev, st.st_ino, dirfd, path, at_flags);
	return p.kind == PLACE_FILE ? served_stat(p.id, out) : ret;
}

long sys_stat(struct regs *r, struct thread *t)
{
	return stat_path(r, t, AT_FDCWD, r->rdi, r->rsi, 0);
}

long sys_lstat(struct regs *r, struct thread *t)
{
	return stat_path(r, t, AT_FDCWD, r->rdi, r->rsi, AT_SYMLINK_NOFOLLOW);
}

long sys_newfstatat(struct regs *r, struct thread *t)
{
	return stat_path(r, t, (int)r->rdi, r->rsi, r->rdx, (uint32_t)r->r10);
}

long sys_statx(struct regs *r, struct thread *t)
{
	uint32_t at_flags = (uint32_t)r->rdx, mask = (uint32_t)r->r10;
	char path[PLACE_PATH_MAX], buf[PLACE_PATH_MAX];
	const char *program;
	struct statx st = {0};
	struct place p;
	long ret;

	if (!take_path_or_empty(path, r->rsi, at_flags))
		return pass(r);
	p = place_named(t, (int)r->rdi, path, place_flags(at_flags));
	if (p.kind == PLACE_FILE)
		return served_statx(p.id, at_flags, mask, r->r8);
	program = p.kind == PLACE_PROGRAM ? program_of(p, buf) : NULL;
	if (program)
		return scone_safe_call6(SYS_statx, AT_FDCWD, (long)program,
			at_flags & ~(uint32_t)AT_EMPTY_PATH, mask, (long)r->r8, 0);
	ret = pass(r);
	if (ret == 0 && user_copy(&st, (const void *)r->r8, sizeof(st)) < 0)
		return ret;
	if (ret == 0 && !*path && fd_load(t->proc, (uint32_t)r->rdi).kind == FD_CONSOLE) {
		console_hide_kindx(&st);
		return user_copy((void *)r->r8, &st, sizeof(st));
	}
	/* The type is always filled in on x86-64's file systems; without it the identity is looked up all the same. */
	p = place_after(t, ret, !(st.stx_mask & STATX_TYPE) || S_ISREG(st.stx_mode),
		makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino, (int)r->rdi, path, at_flags);
	return p.kind == PLACE_FILE ? served_statx(p.id, at_flags, mask, r->r8) : ret;
}

static long access_path(
	struct regs *r, struct thread *t, int dirfd, uint64_t user, uint32_t mask, uint32_t at_flags)
{
	char path[PLACE_PATH_MAX], buf[PLACE_PATH_MAX];
	const char *program;
	struct place p;

	if (!take_path_or_empty(path, user, at_flags))
		return pass(r);
	p = place_find(t, dirfd, path, place_flags(at_flags));
	if (p.kind == PLACE_FILE)
		return served_access(p.id, mask, at_flags & AT_EACCESS);
	program = p.kind == PLACE_PROGRAM ? program_of(p, buf) : NULL;
	if (program)
		return scone_safe_call6(SYS_faccessat, AT_FDCWD, (long)program, mask, 0, 0, 0);
	return p.kind == PLACE_REFUSED && mask ? -EACCES : pass(r);
}

long sys_access(struct regs *r, struct thread *t)
{
	return access_path(r, t, AT_FDCWD, r->rdi, (uint32_t)r->rsi, 0);
}

long sys_faccessat(struct regs *r, struct thread *t)
{
	return access_path(r, t, (int)r->rdi, r->rsi, (uint32_t)r->rdx, 0);
}

long sys_faccessat2(struct regs *r, struct thread *t)
{
	return access_path(r, t, (int)r->rdi, r->rsi, (uint32_t)r->rdx, (uint32_t)r->r10);
}

long sys_truncate(struct regs *r, struct thread *t)
{
	char path[PLACE_PATH_MAX];
	struct place p;
	long ret;

	if (!take_path(path, r->rdi))
		return pass(r);
	p = place_find(t, AT_FDCWD, path, 0);
	if (p.kind != PLACE_FILE)
		return pass(r);
	ret = served_access(p.id, W_OK, true);
	return ret < 0 ? ret : served_truncate(t->proc, p.id, (int64_t)r->rsi);
}
