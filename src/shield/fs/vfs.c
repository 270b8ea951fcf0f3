/* The region, and the mounts that lead into volumes. */
#include "shield/fs/vfs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include "shield/fs/vfs_region.h"

#define DEV_MAJOR 0x5c0 /* none of Linux' */

size_t vfs_region_size(void)
{
	return (sizeof(struct region) + 4095) & ~(size_t)4095;
}

static struct vfs *vfs_new(const struct vfs_env *env, struct region *r)
{
	struct vfs *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->env = *env;
	f->r = r;
	return f;
}

int vfs_create(const struct vfs_env *env, void *region, struct vfs_caller *c)
{
	struct region *r = region;
	struct vfs *f = vfs_new(env, r);

	if (!f)
		return -ENOMEM;
	r->self = r;
	r->next_id = 1;
	r->slot_high = 1;
	r->slot[0] = (struct rg_slot){.state = RG_LIVE, .inc = 1, .pid = c->pid};
	r->magic = RG_MAGIC;
	c->fs = f;
	c->slot = 0;
	return 0;
}

int vfs_attach(const struct vfs_env *env, void *region, struct vfs_caller *c)
{
	struct region *r = region;
	struct vfs *f;

	if (r->magic != RG_MAGIC || r->self != r || c->slot >= VFS_SLOTS || r->slot[c->slot].state != RG_LIVE)
		return -EINVAL;
	f = vfs_new(env, r);
	if (!f)
		return -ENOMEM;
	for (f->mounts = 0; f->mounts < VFS_MOUNTS && r->mount[f->mounts].used; f->mounts++)
		;
	c->fs = f;
	return 0;
}

void vfs_free(struct vfs *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->mounts; i++)
		mounted_detach(&f->mount[i]);
	free(f);
}

/* Is path a, or below it? */
static bool below(const char *path, size_t n, const char *a, size_t a_n)
{
	return n >= a_n && memcmp(path, a, a_n) == 0 && (n == a_n || path[a_n] == '/');
}

static int check_path(const struct region *r, const char *path)
{
	size_t n = strlen(path);

	if (n < 2 || path[0] != '/' || path[n - 1] == '/' || n >= VFS_PATH_MAX)
		return -EINVAL;
	for (const char *p = path; *p; p++) {
		size_t part = strcspn(p + 1, "/");

		if (*p == '/' && (part == 0 || (p[1] == '.' && (part == 1 || (part == 2 && p[2] == '.')))))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < VFS_MOUNTS && r->mount[i].used; i++) {
		const struct rg_mount *m = &r->mount[i];

		if (below(path, n, m->path, m->path_len) || below(m->path, m->path_len, path, n))
			return -EEXIST;
	}
	return 0;
}

/* May there be one more mount, at path? */
static int check_mount(const struct vfs *f, const char *path)
{
	int e = check_path(f->r, path);

	return e == 0 && f->mounts == VFS_MOUNTS ? -ENFILE : e;
}

/* What has been opened as the next mount is entered: its number. */
static int enter(struct vfs *f, const char *path)
{
	struct rg_mount *m = &f->r->mount[f->mounts];

	memcpy(m->path, path, strlen(path) + 1);
	m->path_len = (uint32_t)strlen(path);
	m->used = 1;
	return (int)f->mounts++;
}

int vfs_mount(struct vfs *f, const struct vfs_mount *m, struct volume_open_report *report)
{
	int e = check_mount(f, m->path);

	if (e == 0)
		e = volume_open(m->env, m->key, m->arena, m->arena_len, m->options,
			&f->mount[f->mounts].volume, report);
	if (e < 0)
		return e;
	f->r->mount[f->mounts].no_atime = m->no_atime;
	return enter(f, m->path);
}

int vfs_mount_attach(struct vfs *f, uint32_t n, const struct vfs_mount *m)
{
	if (n >= f->mounts || mounted_is(&f->mount[n]))
		return -EINVAL;
	return volume_attach(m->env, m->key, m->arena, m->arena_len, &f->mount[n].volume);
}

int vfs_mount_sealed(struct vfs *f, const char *path, const struct sealed_fs_env *env, void *mem)
{
	int e = check_mount(f, path);

	if (e == 0)
		e = sealed_fs_open(env, mem, &f->mount[f->mounts].tree);
	return e < 0 ? e : enter(f, path);
}

int vfs_mount_sealed_attach(struct vfs *f, uint32_t n, const struct sealed_fs_env *env, void *mem)
{
	if (n >= f->mounts || mounted_is(&f->mount[n]))
		return -EINVAL;
	return sealed_fs_open(env, mem, &f->mount[n].tree);
}

uint32_t vfs_mount_count(const struct vfs *f)
{
	return f->mounts;
}

const char *vfs_mount_path(const struct vfs *f, uint32_t n)
{
	return f->r->mount[n].path;
}

struct volume *vfs_mount_volume(const struct vfs *f, uint32_t n)
{
	return f->mount[n].volume;
}

bool vfs_mount_is_sealed(const struct vfs *f, uint32_t n)
{
	return f->mount[n].tree != NULL;
}

dev_t vfs_mount_dev(const struct vfs *f, uint32_t n)
{
	(void)f;
	return makedev(DEV_MAJOR, n + 1);
}

/* Number of the mount that the n bytes are the path of; -1. */
static int mount_at(const struct vfs *f, const char *path, size_t n)
{
	for (uint32_t i = 0; i < f->mounts; i++)
		if (f->r->mount[i].path_len == n && memcmp(f->r->mount[i].path, path, n) == 0)
			return (int)i;
	return -1;
}

/* No mount lies in another, so the first that is met is the one. */
int vfs_mount_find(const struct vfs *f, const char *path, const char **ret_rest)
{
	char at[VFS_PATH_MAX];
	size_t n = 0;
	int m;

	if (path[0] != '/')
		return -1;
	while (*path) {
		size_t part;

		while (*path == '/')
			path++;
		part = strcspn(path, "/");
		if (part == 2 && path[0] == '.' && path[1] == '.') {
			while (n > 0 && at[--n] != '/')
				;
		} else if (part > 0 && !(part == 1 && path[0] == '.')) {
			if (part + 1 >= sizeof(at) - n)
				return -1;
			at[n++] = '/';
			memcpy(at + n, path, part);
			n += part;
		}
		path += part;
		m = mount_at(f, at, n);
		if (m >= 0) {
			*ret_rest = path;
			return m;
		}
	}
	return -1;
}

void vfs_statfs(const struct vfs *f, uint32_t mount, struct volume_statfs *ret)
{
	mounted_statfs_get(mounted_of(f, mount), ret);
}
