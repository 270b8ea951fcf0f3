#include "runtime/vpath.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "host/host.h"
#include "runtime/fd.h"
#include "runtime/place.h"
#include "runtime/proc_path.h"
#include "runtime/shields.h"
#include "runtime/volumes.h"
#include "shield/fs/injected.h"

#define LINKS_MAX 40

/* An injected file in a volume is served from memory, by its handlers, under its name there. */
static int divert(const struct vfs_caller *c, struct vpath *ret)
{
	const struct vfs_place *p = &ret->place;
	char path[VFS_PATH_MAX];
	long n;

	if (p->last != VFS_LAST_NAME || !shields_files() ||
		!injected_has_name(shields_files(), p->name, p->name_len))
		return 0;
	n = vfs_dir_path(c, &p->dir, path, sizeof(path));
	if (n < 0)
		return (int)n;
	if ((size_t)n + p->name_len + 1 > sizeof(path))
		return 0;
	path[n - 1] = '/';
	memcpy(path + n, p->name, p->name_len + 1);
	if (injected_find_path(shields_files(), path) < 0)
		return 0;
	memcpy(ret->place.away, path, strlen(path) + 1);
	ret->kind = VPATH_MOVED;
	return 0;
}

/* Walk on for as long as the path goes from volume to volume. */
static int walk(
	const struct vfs_caller *c, struct vfs_node node, const char *path, unsigned flags, struct vpath *ret)
{
	char rest[VFS_PATH_MAX];
	const char *tail;
	int rc = vfs_walk(c, &node, path, flags, &ret->place), n;

	ret->kind = VPATH_VOLUME;
	while (rc == VFS_AWAY) {
		n = vfs_mount_find(c->fs, ret->place.away, &tail);
		if (n < 0) {
			ret->kind = VPATH_MOVED;
			return 0;
		}
		memcpy(rest, tail, strlen(tail) + 1);
		node = vfs_root((uint32_t)n);
		rc = vfs_walk(c, &node, rest, flags, &ret->place);
	}
	return rc ? rc : divert(c, ret);
}

/* --- descriptors, and links of /proc to them --- */

static int number_of(const struct thread *t, int dirfd)
{
	if (dirfd == AT_FDCWD)
		return t->proc->volumes->cwd_inside ? volumes_cwd_fd() : -1;
	return fd_load(t->proc, (uint32_t)dirfd).kind == FD_VOLUME ? dirfd : -1;
}

int vpath_of_fd(const struct thread *t, int dirfd, struct vfs_place *ret)
{
	int fd = number_of(t, dirfd);

	return fd < 0 ? -EBADF : vfs_fd_place(volumes_caller(t), fd, ret);
}

/* A number and what follows it; -1: there is none. */
static int leading_number(const char *p, const char **ret_rest)
{
	long n = 0;
	const char *s = p;

	while (*s >= '0' && *s <= '9' && n < FD_TRACK_MAX)
		n = n * 10 + (*s++ - '0');
	*ret_rest = s;
	return s == p || (*s && *s != '/') ? -1 : (int)n;
}

/* Descriptor that a name below /proc or /dev leads to; what of the path goes on behind it. */
static int named_descriptor(const struct thread *t, const char *path, const char **ret_rest)
{
	static const char *const standard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
	const char *own;

	for (int i = 0; i < 3; i++) {
		size_t n = strlen(standard[i]);

		if (strncmp(path, standard[i], n) == 0 && (!path[n] || path[n] == '/')) {
			*ret_rest = path + n;
			return i;
		}
	}
	if (strncmp(path, "/dev/fd/", 8) == 0)
		return leading_number(path + 8, ret_rest);
	own = proc_path_own(path);
	if (!own)
		return -1;
	if (strncmp(own, "cwd", 3) == 0 && (!own[3] || own[3] == '/')) {
		*ret_rest = own + 3;
		return t->proc->volumes->cwd_inside ? volumes_cwd_fd() : -1;
	}
	return strncmp(own, "fd/", 3) == 0 ? leading_number(own + 3, ret_rest) : -1;
}

static int through_descriptor(
	const struct thread *t, int fd, const char *rest, unsigned flags, struct vpath *ret)
{
	struct vfs_fd info;
	int rc;

	if (!*rest) {
		ret->kind = VPATH_VOLUME;
		ret->link = true;
		return vfs_fd_place(volumes_caller(t), fd, &ret->place);
	}
	rc = vfs_fd_get(volumes_caller(t), fd, &info);
	return rc ? rc : walk(volumes_caller(t), info.node, rest, flags, ret);
}

/* --- paths of the host --- */

static bool has_dotdot(const char *p)
{
	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			return true;
		p += n;
		p += strspn(p, "/");
	}
	return false;
}

/* Can a relative path come to a mount point at all? By its first name, or by going up. */
static bool may_reach(const struct vfs *fs, const char *path)
{
	size_t n;

	while (path[0] == '.' && path[1] == '/')
		path += 2;
	n = strcspn(path, "/");
	if (has_dotdot(path))
		return true;
	for (uint32_t i = 0; i < vfs_mount_count(fs); i++)
		for (const char *p = vfs_mount_path(fs, i); *p; p += strcspn(p, "/")) {
			p += strspn(p, "/");
			if (strcspn(p, "/") == n && strncmp(p, path, n) == 0)
				return true;
		}
	return false;
}

/* base/path into ret, which holds base of n bytes. */
static int join(char ret[VFS_PATH_MAX], size_t n, const char *path)
{
	size_t len = strlen(path);

	if (n + len + 2 > VFS_PATH_MAX)
		return -ENAMETOOLONG;
	ret[n] = '/';
	memcpy(ret + n + 1, path, len + 1);
	return 0;
}

static int absolute(int dirfd, const char *path, char ret[VFS_PATH_MAX])
{
	long n = dirfd == AT_FDCWD ? host_call2(SYS_getcwd, (long)ret, VFS_PATH_MAX)
				   : place_fd_path(dirfd, ret);

	if (host_failed(n))
		return (int)n;
	return join(ret, (size_t)(dirfd == AT_FDCWD ? n - 1 : n), path);
}

static int find_absolute(const struct thread *t, const char *path, unsigned flags, struct vpath *ret)
{
	const struct vfs_caller *c = volumes_caller(t);
	char plain[VFS_PATH_MAX];
	const char *rest;
	int n, fd;

	n = vfs_mount_find(c->fs, path, &rest);
	if (n >= 0)
		return walk(c, vfs_root((uint32_t)n), rest, flags, ret);
	if ((strncmp(path, "/proc/", 6) && strncmp(path, "/dev/", 5)) ||
		injected_normalise(path, plain, sizeof(plain)) < 0)
		return 0;
	fd = named_descriptor(t, plain, &rest);
	if (fd < 0 || (fd != volumes_cwd_fd() && fd_load(t->proc, (uint32_t)fd).kind != FD_VOLUME))
		return 0;
	if (!*rest && (flags & (VFS_NOFOLLOW | VFS_NAME))) {
		ret->link = true; /* the link itself, which is the host's */
		return 0;
	}
	return through_descriptor(t, fd, rest, flags, ret);
}

int vpath_find(const struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret)
{
	const struct vfs_caller *c = volumes_caller(t);
	char whole[VFS_PATH_MAX];
	struct vfs_fd info;
	const char *rest;
	int fd, n, rc;

	ret->kind = VPATH_HOST;
	ret->link = false;
	ret->place.links = 0;
	if (path[0] == '/')
		return find_absolute(t, path, flags & 0xffff, ret);
	fd = number_of(t, dirfd);
	if (!*path) {
		if (fd < 0)
			return 0;
		ret->kind = VPATH_VOLUME;
		return flags & VPATH_EMPTY ? vfs_fd_place(c, fd, &ret->place) : -ENOENT;
	}
	if (fd >= 0) {
		ret->kind = VPATH_VOLUME;
		rc = vfs_fd_get(c, fd, &info);
		if (rc)
			return rc;
		return S_ISDIR(info.type) ? walk(c, info.node, path, flags & 0xffff, ret) : -ENOTDIR;
	}
	if (!may_reach(c->fs, path) || absolute(dirfd, path, whole))
		return 0;
	n = vfs_mount_find(c->fs, whole, &rest);
	return n < 0 ? 0 : walk(c, vfs_root((uint32_t)n), rest, flags & 0xffff, ret);
}

/* --- links of the host --- */

/* The longest directory that path begins with and the host has: its real name in real, what is left of path in *ret_rest. -errno: none. */
static int longest_directory(int dirfd, const char *path, char real[VFS_PATH_MAX], const char **ret_rest)
{
	char dir[VFS_PATH_MAX];
	size_t n = strlen(path);
	long fd, got;

	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, n + 1);
	for (;;) {
		while (n > 0 && dir[n - 1] == '/')
			n--;
		while (n > 0 && dir[n - 1] != '/')
			n--;
		dir[n] = '\0';
		fd = host_openat(dirfd, n ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (!host_failed(fd))
			break;
		if (n == 0)
			return (int)fd;
	}
	*ret_rest = path + n;
	got = place_fd_path((int)fd, real);
	host_close((int)fd);
	return host_failed(got) ? (int)got : 0;
}

/* real/FIRST is a link? Then the path it makes of real/rest, in real. */
static bool follow_first(char real[VFS_PATH_MAX], const char *rest, bool last_too)
{
	char name[VFS_PATH_MAX], target[VFS_PATH_MAX];
	size_t n = strcspn(rest, "/"), len = strlen(real);
	bool is_last = !rest[n];
	long got;

	if (len == 1)
		len = 0;
	if ((is_last && !last_too) || len + n + 2 > sizeof(name))
		return false;
	memcpy(name, real, len);
	name[len] = '/';
	memcpy(name + len + 1, rest, n);
	name[len + 1 + n] = '\0';
	got = host_call3(SYS_readlink, (long)name, (long)target, sizeof(target) - 1);
	if (host_failed(got))
		return false;
	target[got] = '\0';
	if (target[0] == '/') {
		memcpy(real, target, (size_t)got + 1);
		len = (size_t)got;
	} else {
		if (join(real, len, target))
			return false;
		len += 1 + (size_t)got;
	}
	return is_last || join(real, len, rest + n + 1) == 0;
}

int vpath_behind(const struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret)
{
	const struct vfs_caller *c = volumes_caller(t);
	bool last_too = !(flags & (VFS_NOFOLLOW | VFS_NAME));
	char now[VFS_PATH_MAX], real[VFS_PATH_MAX];
	const char *rest, *tail;

	ret->kind = VPATH_HOST;
	ret->link = false;
	if (!*path || strlen(path) >= sizeof(now))
		return 0;
	memcpy(now, path, strlen(path) + 1);
	for (int i = 0; i < LINKS_MAX; i++) {
		int n;

		if (longest_directory(dirfd, now, real, &rest))
			return 0;
		if (vfs_mount_find(c->fs, real, &tail) >= 0) {
			size_t len = strlen(real);

			if (join(real, len, rest))
				return -ENAMETOOLONG;
			n = vfs_mount_find(c->fs, real, &tail);
			return n < 0 ? 0 : walk(c, vfs_root((uint32_t)n), tail, flags & 0xffff, ret);
		}
		if (!follow_first(real, rest, last_too))
			return 0;
		n = vfs_mount_find(c->fs, real, &tail);
		if (n >= 0)
			return walk(c, vfs_root((uint32_t)n), tail, flags & 0xffff, ret);
		dirfd = AT_FDCWD;
		memcpy(now, real, strlen(real) + 1);
	}
	return 0;
}

int vpath_either(const struct thread *t, int dirfd, const char *path, unsigned flags, struct vpath *ret)
{
	int rc = vpath_find(t, dirfd, path, flags, ret);

	return rc || ret->kind != VPATH_HOST ? rc : vpath_behind(t, dirfd, path, flags, ret);
}
