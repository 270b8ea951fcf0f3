/* From an inode back to a path. */
#include <errno.h>
#include <stdlib.h>
#include "shield/fs/vfs_region.h"

#define ENTRIES 32
#define DEPTH_MAX 2048 /* a path has no more components */

/* The name of ino in directory dir. */
static int find_name(const struct mounted *v, uint64_t dir, uint64_t ino, char name[VOLUME_NAME_MAX + 1])
{
	struct volume_dirent *e = malloc(ENTRIES * sizeof(*e));
	uint64_t cookie = 0;
	long n = e ? 1 : -ENOMEM;
	bool found = false;

	while (n > 0 && !found) {
		n = mounted_readdir(v, dir, cookie, e, ENTRIES);
		for (long i = 0; i < n && !found; i++) {
			cookie = e[i].cookie;
			if (e[i].ino != ino || strcmp(e[i].name, ".") == 0 || strcmp(e[i].name, "..") == 0)
				continue;
			memcpy(name, e[i].name, (size_t)e[i].name_len + 1);
			found = true;
		}
	}
	free(e);
	return found ? 0 : n < 0 ? (int)n : -ENOENT;
}

/* Put s before what stands at the end of the n bytes at p; *at is where that begins. */
static int prepend(char *p, size_t *at, const char *s)
{
	size_t n = strlen(s);

	if (n > *at)
		return -ERANGE;
	*at -= n;
	memcpy(p + *at, s, n);
	return 0;
}

/* The path of dir to the end of the n bytes at p, before *at. */
static int build(const struct vfs_caller *c, const struct vfs_node *dir, char *p, size_t *at)
{
	const struct mounted *v = mounted_of(c->fs, dir->mount);
	uint64_t ino = dir->ino, parent;
	char name[VOLUME_NAME_MAX + 1];
	int e = 0;

	for (unsigned int depth = 0; ino != VOLUME_ROOT && e == 0; depth++) {
		e = mounted_parent(v, ino, &parent);
		if (e == 0)
			e = find_name(v, parent, ino, name);
		if (e == 0)
			e = prepend(p, at, name);
		if (e == 0)
			e = prepend(p, at, "/");
		if (e == 0 && depth == DEPTH_MAX)
			e = -ERANGE;
		ino = parent;
	}
	return e < 0 ? e : prepend(p, at, vfs_mount_path(c->fs, dir->mount));
}

/* What was built at the end of p comes to its front: its length with NUL. */
static long finish(char *p, size_t at, size_t n)
{
	memmove(p, p + at, n - at);
	return (long)(n - at);
}

long vfs_dir_path(const struct vfs_caller *c, const struct vfs_node *dir, char *ret, size_t n)
{
	struct volume_attr a;
	size_t at = n;
	int e = mounted_getattr(mounted_of(c->fs, dir->mount), dir->ino, &a);

	if (e == 0 && ((dir->gen && a.gen != dir->gen) || a.nlink == 0))
		e = -ENOENT;
	if (e == 0 && !S_ISDIR(a.mode))
		e = -ENOTDIR;
	if (e == 0 && n == 0)
		e = -ERANGE;
	if (e < 0)
		return e;
	ret[--at] = 0;
	e = build(c, dir, ret, &at);
	return e < 0 ? e : finish(ret, at, n);
}

/* Of something that was opened by a name in a directory: if that name is no longer it, the one that is; if there is none, as the kernel says it. */
static long file_path(const struct vfs_caller *c, const struct rg_file *file, char *ret, size_t n)
{
	const struct mounted *v = mounted_of(c->fs, file->mount);
	struct vfs_node dir = {.mount = file->mount, .ino = file->dir};
	char name[VOLUME_NAME_MAX + 1];
	struct volume_attr a;
	size_t at = n;
	int e;

	memcpy(name, file->name, sizeof(name));
	ret[--at] = 0;
	e = mounted_lookup(v, file->dir, file->name, file->name_len, 0, &a);
	if (e < 0 || a.ino != file->ino) {
		e = find_name(v, file->dir, file->ino, name);
		if (e < 0) {
			memcpy(name, file->name, sizeof(name));
			e = prepend(ret, &at, " (deleted)");
		}
	}
	if (e == 0)
		e = prepend(ret, &at, name);
	if (e == 0)
		e = prepend(ret, &at, "/");
	if (e == 0)
		e = build(c, &dir, ret, &at);
	return e < 0 ? e : finish(ret, at, n);
}

/* Nothing is known but its number. */
static long number_path(const struct vfs_caller *c, const struct rg_file *file, char *ret, size_t n)
{
	char digits[24];
	size_t at = n, d = sizeof(digits);
	uint64_t ino = file->ino;
	int e;

	digits[--d] = 0;
	do
		digits[--d] = (char)('0' + ino % 10);
	while ((ino /= 10) > 0);
	ret[--at] = 0;
	e = prepend(ret, &at, " (deleted)");
	if (e == 0)
		e = prepend(ret, &at, digits + d);
	if (e == 0)
		e = prepend(ret, &at, "/#");
	if (e == 0)
		e = prepend(ret, &at, vfs_mount_path(c->fs, file->mount));
	return e < 0 ? e : finish(ret, at, n);
}

long vfs_fd_path(const struct vfs_caller *c, int fd, char *ret, size_t n)
{
	struct rg_cell *cell;
	uint32_t number = pin_fd(c, fd, &cell);
	struct rg_file *file;
	struct vfs_node node;
	long r = -ENOENT;

	if (number == 0)
		return -EBADF;
	file = rg_file(c->fs->r, number);
	node = (struct vfs_node){.mount = file->mount, .ino = file->ino};
	if (n == 0)
		r = -ERANGE;
	else if (S_ISDIR(file->type))
		r = vfs_dir_path(c, &node, ret, n);
	if (r == -ENOENT && file->name_len)
		r = file_path(c, file, ret, n);
	if (r == -ENOENT)
		r = number_path(c, file, ret, n);
	pin_drop(c, cell);
	return r;
}
