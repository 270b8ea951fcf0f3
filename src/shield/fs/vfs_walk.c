/* From a path to a place. */
#include <errno.h>
#include "shield/fs/vfs_region.h"

struct walk {
	const struct vfs_caller *c;
	const struct mounted *v;
	struct vfs_place *p;
	uint32_t mount;
	uint64_t
		root; /* that ".." does not leave, for BENEATH and IN_ROOT; 0: the volume's, and beyond lies the host */
	unsigned int flags;
	struct volume_attr at; /* directory reached */
	const char *rest;
};

/* The path goes on outside, at dir (n bytes) with rest behind it. */
static int go_away(struct walk *w, const char *dir, size_t n, const char *rest)
{
	size_t rest_n;
	bool slash;

	while (n > 0 && dir[n - 1] == '/' && *rest == '/')
		rest++;
	rest_n = strlen(rest);
	slash = rest_n > 0 && rest[0] != '/' && (n == 0 || dir[n - 1] != '/');

	if (w->flags & VFS_NO_XDEV)
		return -EXDEV;
	if (n + slash + rest_n >= VFS_PATH_MAX)
		return -ENAMETOOLONG;
	/* rest may lie in away already */
	memmove(w->p->away + n + slash, rest, rest_n + 1);
	memcpy(w->p->away, dir, n);
	if (slash)
		w->p->away[n] = '/';
	return VFS_AWAY;
}

static int go_up(struct walk *w)
{
	const struct rg_mount *m = &w->c->fs->r->mount[w->mount];
	size_t n = m->path_len;
	uint64_t parent;
	int e;

	if (w->root && w->at.ino == w->root)
		return w->flags & VFS_BENEATH ? -EXDEV : 0;
	if (w->at.ino == VOLUME_ROOT) {
		while (m->path[n - 1] != '/')
			n--;
		return go_away(w, m->path, n > 1 ? n - 1 : 1, w->rest);
	}
	e = mounted_parent(w->v, w->at.ino, &parent);
	return e < 0 ? e : mounted_getattr(w->v, parent, &w->at);
}

/* Put the target of symbolic link a before the rest, in p->away. */
static int follow(struct walk *w, const struct volume_attr *a)
{
	size_t n = (size_t)a->size, rest_n = strlen(w->rest);
	char *to = w->p->away;
	long got;

	if (w->flags & VFS_NO_SYMLINKS)
		return -ELOOP;
	if (++w->p->links > VFS_LINKS_MAX)
		return -ELOOP;
	if (n + rest_n + 1 >= VFS_PATH_MAX)
		return -ENAMETOOLONG;
	memmove(to + n, w->rest, rest_n + 1);
	got = mounted_readlink(w->v, a->ino, to, n);
	if (got != (long)n)
		return got < 0 ? (int)got : -ESTALE;
	w->rest = to;
	if (to[0] != '/')
		return 0;
	if (w->flags & VFS_BENEATH)
		return -EXDEV;
	if (w->flags & VFS_IN_ROOT)
		return mounted_getattr(w->v, w->root, &w->at);
	return go_away(w, "", 0, to);
}

static void set_last(struct walk *w, enum vfs_last last)
{
	w->p->found = true;
	w->p->last = last;
	w->p->name_len = 0;
	w->p->name[0] = 0;
	w->p->attr = w->at;
	w->p->dir = (struct vfs_node){.mount = w->mount, .ino = w->at.ino, .gen = w->at.gen};
}

/* One component of n bytes at w->rest. *ret_done: the path has ended. */
static int step(struct walk *w, size_t n, bool *ret_done)
{
	const char *name = w->rest, *after = name + n;
	bool slash = *after == '/', last;
	struct volume_attr a;
	int e;

	while (*after == '/')
		after++;
	last = *after == 0;
	if (!S_ISDIR(w->at.mode))
		return -ENOTDIR;
	e = may(w->c, &w->at, MAY_EXEC);
	if (e < 0)
		return e;
	if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'))) {
		w->rest += n;
		e = n == 2 ? go_up(w) : 0;
		if (e == 0)
			set_last(w, n == 2 ? VFS_LAST_DOTDOT : VFS_LAST_DOT);
		return e;
	}
	if (n > VOLUME_NAME_MAX)
		return -ENAMETOOLONG;
	e = mounted_lookup(w->v, w->at.ino, name, n, 0, &a);
	if (e < 0 && (e != -ENOENT || !last))
		return e;
	if (e == 0 && S_ISLNK(a.mode) &&
		(!last || (!(w->flags & VFS_NAME) && (slash || !(w->flags & VFS_NOFOLLOW))))) {
		w->rest += n;
		return follow(w, &a);
	}
	if (last) {
		set_last(w, VFS_LAST_NAME);
		w->p->found = e == 0;
		w->p->must_dir = slash;
		w->p->attr = e == 0 ? a : (struct volume_attr){.ino = 0};
		memcpy(w->p->name, name, n);
		w->p->name[n] = 0;
		w->p->name_len = n;
		*ret_done = true;
		return 0;
	}
	w->at = a;
	w->rest = after;
	return 0;
}

int vfs_walk(const struct vfs_caller *c, const struct vfs_node *from, const char *path, unsigned int flags,
	struct vfs_place *p)
{
	struct walk w = {.c = c,
		.v = mounted_of(c->fs, from->mount),
		.p = p,
		.mount = from->mount,
		.flags = flags,
		.root = flags & (VFS_BENEATH | VFS_IN_ROOT) ? from->ino : 0,
		.rest = path};
	bool done = false;
	int e = mounted_getattr(w.v, from->ino, &w.at);

	if (e == 0 && from->gen && w.at.gen != from->gen)
		e = -ENOENT;
	if (e == 0 && !S_ISDIR(w.at.mode))
		e = -ENOTDIR;
	if (e < 0)
		return e;
	set_last(&w, VFS_LAST_ROOT);
	p->must_dir = false;
	while (!done && e == 0) {
		while (*w.rest == '/')
			w.rest++;
		if (*w.rest == 0)
			break;
		e = step(&w, strcspn(w.rest, "/"), &done);
	}
	return e;
}
