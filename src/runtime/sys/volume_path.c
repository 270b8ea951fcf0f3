/*
 * volume_path: calls that name files, where there are volumes. The table (volume_table.h) says where each call has its paths and what is done to a
 * place in a volume; what the host is to do goes on to the handler of the system call table, under another path if a link of a volume led there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/sys/volume_table.h"
#include "runtime/volumes.h"

#define TRIES 16 /* of a call whose place changed between walk and deed */

static uint64_t *reg(struct regs *r, int n)
{
	uint64_t *const all[] = {&r->rdi, &r->rsi, &r->rdx, &r->r10, &r->r8, &r->r9};

	return all[n];
}

/* --- the host's part --- */

static void move_path(struct regs *r, int dir, int path, const struct vpath *v)
{
	if (v->kind != VPATH_MOVED)
		return;
	*reg(r, path) = (uint64_t)v->place.away;
	if (dir >= 0)
		*reg(r, dir) = (uint64_t)AT_FDCWD;
}

/* The host has the mount point's own directory, which is not what the program means. */
static long after_host(const struct volume_call *call, struct regs *r, struct thread *t, long ret)
{
	struct statx x;
	struct stat st;
	int mount = -1;

	if (ret < 0 || call->after == NOTHING)
		return ret;
	if (call->after == OPENED && host_fstat((int)ret, &st) == 0) {
		if (volumes_is_own(st.st_dev, st.st_ino)) {
			host_close((int)ret);
			return -EACCES;
		}
		mount = S_ISDIR(st.st_mode) ? volumes_mount_over(st.st_dev, st.st_ino) : -1;
	}
	if (call->after == STATTED &&
		user_copy(&st, (const void *)(r->nr == SYS_newfstatat ? r->rdx : r->rsi), sizeof(st)) == 0)
		mount = S_ISDIR(st.st_mode) ? volumes_mount_over(st.st_dev, st.st_ino) : -1;
	else if (call->after == STATXED && user_copy(&x, (const void *)r->r8, sizeof(x)) == 0)
		mount = S_ISDIR(x.stx_mode)
				? volumes_mount_over(makedev(x.stx_dev_major, x.stx_dev_minor), x.stx_ino)
				: -1;
	else if (call->after == CHANGED_DIR &&
		 host_call4(SYS_newfstatat, AT_FDCWD, (long)".", (long)&st, 0) == 0)
		mount = volumes_mount_over(st.st_dev, st.st_ino);
	if (mount < 0 && call->after != CHANGED_DIR)
		return ret;
	volumes_enter(t);
	if (mount < 0) {
		vplace_chdir_host(t);
	} else {
		struct vfs_node root = vfs_root((uint32_t)mount);
		struct vpath v = {.kind = VPATH_VOLUME};
		int rc;

		if (call->after == OPENED)
			host_close((int)ret);
		rc = vfs_walk(volumes_caller(t), &root, ".", 0, &v.place);
		ret = rc ? rc : call->place(r, t, &v);
	}
	volumes_leave(t);
	return ret;
}

/* --- the calls --- */

static unsigned walk_flags(const struct volume_call *call, struct regs *r)
{
	uint32_t at = call->at >= 0 ? (uint32_t)*reg(r, call->at) : 0;

	switch (call->follow) {
	case NOFOLLOW:
		return VFS_NOFOLLOW |
		       (r->nr == SYS_readlinkat || r->nr == SYS_name_to_handle_at ? VPATH_EMPTY : 0);
	case NAME:
		return VFS_NAME;
	case AT_FLAGS:
		return (at & AT_SYMLINK_NOFOLLOW ? VFS_NOFOLLOW : 0) | (at & AT_EMPTY_PATH ? VPATH_EMPTY : 0);
	case OPEN_FLAGS:
		return (at & O_NOFOLLOW) || ((at & O_CREAT) && (at & O_EXCL)) ? VFS_NOFOLLOW : 0;
	default:
		return 0;
	}
}

static bool creates(const struct volume_call *call, struct regs *r)
{
	return call->creates ||
	       (call->follow == OPEN_FLAGS && (*reg(r, call->at) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))));
}

/* readlink of a link below /proc or /dev/fd that leads into a volume. */
static long link_text(struct regs *r, struct thread *t, const char *path)
{
	bool at = r->nr == SYS_readlinkat;
	uint64_t user = at ? r->rdx : r->rsi;
	int32_t size = (int32_t)(at ? r->r10 : r->rdx);
	char text[VFS_PATH_MAX + 16];
	const char *last = strrchr(path, '/') + 1;
	int fd = 0;
	long n;

	if (size <= 0)
		return -EINVAL;
	if (strcmp(last, "cwd") == 0)
		fd = volumes_cwd_fd();
	else
		while (*last >= '0' && *last <= '9')
			fd = fd * 10 + (*last++ - '0');
	n = vfs_fd_path(volumes_caller(t), fd, text, sizeof(text));
	if (n < 0)
		return n;
	n = (long)strlen(text);
	if (n > size)
		n = size;
	return user_copy((void *)user, text, (size_t)n) ? -EFAULT : n;
}

/* Is the path a volume's? Then *ret_done, and the answer. */
static long try_volume(const struct volume_call *call, struct regs *r, struct thread *t, const char *path,
	bool behind, struct vpath *v, bool *ret_done)
{
	int dirfd = call->dir < 0 ? AT_FDCWD : (int)*reg(r, call->dir);
	unsigned flags = walk_flags(call, r);
	long ret = 0;

	*ret_done = false;
	volumes_enter(t);
	for (int i = 0; i < TRIES; i++) {
		ret = behind ? vpath_behind(t, dirfd, path, flags, v) : vpath_find(t, dirfd, path, flags, v);
		if (!behind && v->kind == VPATH_HOST && v->link &&
			(r->nr == SYS_readlink || r->nr == SYS_readlinkat)) {
			ret = link_text(r, t, path);
			*ret_done = true;
			break;
		}
		if (v->kind != VPATH_VOLUME)
			break;
		*ret_done = true;
		if (!ret)
			ret = call->place(r, t, v);
		if (ret != -ESTALE)
			break;
	}
	volumes_leave(t);
	return ret;
}

static long one_path(const struct volume_call *call, struct regs *r, struct thread *t)
{
	uint64_t user = *reg(r, call->path);
	struct regs moved = *r;
	char path[VFS_PATH_MAX];
	struct vpath v;
	bool done, checked = false;
	long ret;

	if (!user && call->null_is_dir) {
		int dirfd = (int)*reg(r, call->dir);

		volumes_enter(t);
		ret = vpath_of_fd(t, dirfd, &v.place);
		if (!ret)
			ret = call->place(r, t, &v);
		else if (ret == -EBADF && fd_load(t->proc, (uint32_t)dirfd).kind != FD_VOLUME)
			ret = VOLUME_NOT_OURS;
		volumes_leave(t);
		return ret;
	}
	if (user_string(path, user, sizeof(path)) < 0)
		return VOLUME_NOT_OURS;
	ret = try_volume(call, r, t, path, false, &v, &done);
	if (done)
		return ret;
	if (v.kind == VPATH_HOST && !v.link && creates(call, r)) {
		ret = try_volume(call, r, t, path, true, &v, &done);
		if (done)
			return ret;
		checked = true;
	}
	move_path(&moved, call->dir, call->path, &v);
	ret = sys_table[r->nr].slow(&moved, t);
	if ((ret == -ENOENT || ret == -EACCES) && v.kind == VPATH_HOST && !checked) {
		long there = try_volume(call, r, t, path, true, &v, &done);

		if (done)
			return there;
	}
	return after_host(call, r, t, ret);
}

/* Two paths, both found before anything is done: in one volume, both with the host, or EXDEV. */
static long two_paths(const struct volume_call *call, struct regs *r, struct thread *t)
{
	int dir = call->dir < 0 ? AT_FDCWD : (int)*reg(r, call->dir);
	int dir2 = call->dir2 < 0 ? AT_FDCWD : (int)*reg(r, call->dir2);
	unsigned flags = r->nr == SYS_link ? VFS_NOFOLLOW : VFS_NAME;
	char from[VFS_PATH_MAX], to[VFS_PATH_MAX];
	struct regs moved = *r;
	struct vpath a, b;
	long ret = -ESTALE;

	if (user_string(from, *reg(r, call->path), sizeof(from)) < 0 ||
		user_string(to, *reg(r, call->path2), sizeof(to)) < 0)
		return VOLUME_NOT_OURS;
	if (r->nr == SYS_linkat) {
		if ((uint32_t)r->r8 & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
			return -EINVAL;
		flags = (r->r8 & AT_SYMLINK_FOLLOW ? 0 : VFS_NOFOLLOW) |
			(r->r8 & AT_EMPTY_PATH ? VPATH_EMPTY : 0);
	}
	volumes_enter(t);
	for (int i = 0; i < TRIES && ret == -ESTALE; i++) {
		ret = vpath_either(t, dir, from, flags, &a);
		if (!ret)
			ret = vpath_either(t, dir2, to, VFS_NAME, &b);
		if (ret)
			continue;
		if (a.kind == VPATH_VOLUME && b.kind == VPATH_VOLUME)
			ret = call->pair(volumes_caller(t), &a.place, &b.place, r);
		else if (a.kind == VPATH_VOLUME)
			ret = a.place.found ? -EXDEV : -ENOENT;
		else if (b.kind == VPATH_VOLUME)
			ret = -EXDEV;
		else
			ret = VOLUME_NOT_OURS;
	}
	volumes_leave(t);
	if (ret != VOLUME_NOT_OURS)
		return ret;
	move_path(&moved, call->dir, call->path, &a);
	move_path(&moved, call->dir2, call->path2, &b);
	return sys_table[r->nr].slow(&moved, t);
}

/* openat2 with restrictions of its own: they are the walk's. */
static long open_how(struct regs *r, struct thread *t)
{
	static const struct {
		uint64_t resolve;
		unsigned flag;
	} map[] = {{RESOLVE_NO_SYMLINKS, VFS_NO_SYMLINKS}, {RESOLVE_BENEATH, VFS_BENEATH},
		{RESOLVE_IN_ROOT, VFS_IN_ROOT}, {RESOLVE_NO_XDEV, VFS_NO_XDEV}};
	struct volume_call as_openat = volume_calls[SYS_openat];
	char path[VFS_PATH_MAX];
	struct open_how how;
	struct regs plain = *r, moved = *r;
	unsigned flags = 0;
	struct vpath v;
	long ret;

	if (r->r10 < sizeof(how) || user_copy(&how, (const void *)r->rdx, sizeof(how)) ||
		user_string(path, r->rsi, sizeof(path)) < 0)
		return VOLUME_NOT_OURS;
	plain.nr = SYS_openat;
	plain.rdx = how.flags;
	plain.r10 = how.mode;
	flags = walk_flags(&as_openat, &plain);
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (how.resolve & map[i].resolve)
			flags |= map[i].flag;
	volumes_enter(t);
	/* With restrictions a path of the host cannot come to a mount point: it would leave the file system. */
	if ((how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) && path[0] == '/' &&
		fd_load(t->proc, (uint32_t)r->rdi).kind != FD_VOLUME) {
		v.kind = VPATH_HOST;
		ret = 0;
	} else {
		ret = vpath_find(t, (int)r->rdi, path, flags, &v);
		if (!ret && v.kind == VPATH_HOST && creates(&as_openat, &plain))
			ret = vpath_behind(t, (int)r->rdi, path, flags, &v);
	}
	if (v.kind == VPATH_VOLUME && !ret)
		ret = vplace_open(t, &v.place, (uint32_t)how.flags, (uint32_t)how.mode);
	volumes_leave(t);
	if (v.kind == VPATH_VOLUME || ret)
		return ret;
	move_path(&moved, 0, 1, &v);
	ret = sys_table[r->nr].slow(&moved, t);
	return after_host(&as_openat, &plain, t, ret);
}

/* The host's working directory is at or below a mount point. */
static void enter_where_host_is(struct thread *t)
{
	char path[VFS_PATH_MAX];
	struct vfs_node root;
	struct vfs_place p;
	const char *rest;
	int mount;

	if (host_failed(host_call2(SYS_getcwd, (long)path, sizeof(path))))
		return;
	mount = vfs_mount_find(volumes_caller(t)->fs, path, &rest);
	if (mount < 0)
		return;
	root = vfs_root((uint32_t)mount);
	p.links = 0;
	if (vfs_walk(volumes_caller(t), &root, *rest ? rest : ".", 0, &p) == 0)
		(void)!vplace_chdir(t, &p);
}

int volume_start_directory(const char *pwd)
{
	struct thread scratch, *t = volumes_thread(&scratch);
	struct vpath v = {.kind = VPATH_HOST};
	long rc = 0;

	if (t && pwd) {
		rc = vpath_either(t, AT_FDCWD, pwd, 0, &v);
		if (v.kind == VPATH_VOLUME)
			return rc ? (int)rc : (int)vplace_chdir(t, &v.place);
	}
	if (!rc && pwd)
		rc = host_call1(SYS_chdir, (long)(v.kind == VPATH_MOVED ? v.place.away : pwd));
	if (t && !rc)
		enter_where_host_is(t);
	return (int)rc;
}

static long getcwd_inside(struct regs *r, struct thread *t)
{
	char path[VFS_PATH_MAX];
	struct vfs_fd info;
	long n;

	if (!t->proc->volumes->cwd_inside)
		return VOLUME_NOT_OURS;
	volumes_enter(t);
	n = vfs_fd_get(volumes_caller(t), volumes_cwd_fd(), &info);
	if (!n)
		n = vfs_dir_path(volumes_caller(t), &info.node, path, sizeof(path));
	volumes_leave(t);
	if (n < 0)
		return n;
	if ((uint64_t)n > r->rsi)
		return -ERANGE;
	return user_copy((void *)r->rdi, path, (size_t)n) ? -EFAULT : n;
}

static long fchdir_inside(struct regs *r, struct thread *t)
{
	struct vfs_place p;
	struct stat st;
	int rc = -EBADF, mount;
	long ret;

	if (fd_load(t->proc, (uint32_t)r->rdi).kind == FD_VOLUME) {
		volumes_enter(t);
		rc = vpath_of_fd(t, (int)r->rdi, &p);
		ret = rc ? rc : vplace_chdir(t, &p);
		volumes_leave(t);
		return ret;
	}
	ret = scone_safe_call((long)r->nr, r);
	if (ret)
		return ret;
	mount = host_call4(SYS_newfstatat, AT_FDCWD, (long)".", (long)&st, 0) == 0
			? volumes_mount_over(st.st_dev, st.st_ino)
			: -1;
	volumes_enter(t);
	if (mount < 0)
		vplace_chdir_host(t);
	volumes_leave(t);
	return 0;
}

static long refuse_chroot(struct regs *r, struct thread *t)
{
	log_warn("chroot and pivot_root with volumes: not supported, EPERM");
	return -EPERM;
}

/* --- limits --- */

/* RLIMIT_FSIZE is the volumes': in the kernel it would cut what the runtime writes for them. */
static long file_limit(struct regs *r, struct thread *t, bool own, int resource, uint64_t set, uint64_t get)
{
	struct process_volumes *v = t->proc->volumes;
	struct rlimit now = {v->fsize_soft, v->fsize_hard}, next;

	if (!own || resource != RLIMIT_FSIZE)
		return VOLUME_NOT_OURS;
	if (set) {
		if (user_copy(&next, (const void *)set, sizeof(next)))
			return -EFAULT;
		if (next.rlim_cur > next.rlim_max)
			return -EINVAL;
		if (next.rlim_max > now.rlim_max && host_call0(SYS_geteuid) != 0)
			return -EPERM;
	}
	if (get && user_copy((void *)get, &now, sizeof(now)))
		return -EFAULT;
	if (set)
		volumes_limit(t->proc, next.rlim_cur, next.rlim_max);
	return 0;
}

long volume_path_call(struct regs *r, struct thread *t)
{
	const struct volume_call *call = &volume_calls[r->nr];

	if (call->place)
		return one_path(call, r, t);
	if (call->pair)
		return two_paths(call, r, t);
	switch (r->nr) {
	case SYS_openat2:
		return open_how(r, t);
	case SYS_getcwd:
		return getcwd_inside(r, t);
	case SYS_fchdir:
		return fchdir_inside(r, t);
	case SYS_bind:
		return volume_bind_call(r, t);
	case SYS_connect:
		return volume_connect_call(r, t);
	case SYS_sendto:
		return volume_sendto_call(r, t);
	case SYS_getsockname:
	case SYS_getpeername:
		return volume_sockname_call(r, t);
	case SYS_sendmsg:
	case SYS_sendmmsg:
		return volume_send_call(r, t);
	case SYS_getrlimit:
		return file_limit(r, t, true, (int)r->rdi, 0, r->rsi);
	case SYS_setrlimit:
		return file_limit(r, t, true, (int)r->rdi, r->rsi, 0);
	case SYS_prlimit64:
		return file_limit(
			r, t, !(int)r->rdi || (int)r->rdi == t->proc->pid, (int)r->rsi, r->rdx, r->r10);
	case SYS_chroot:
	case SYS_pivot_root:
		return refuse_chroot(r, t);
	default:
		return VOLUME_NOT_OURS;
	}
}
