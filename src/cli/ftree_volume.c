/* ftree_volume: the inside of a volume as a tree; see ftree.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/ftree.h"

#define ENTRIES 64

static struct volume *engine(struct ftree *t)
{
	return t->session->v;
}

static int volume_tree_root(struct ftree *t, ftree_node *ret)
{
	*ret = VOLUME_ROOT;
	return 0;
}

static void volume_tree_close(struct ftree *t, ftree_node node)
{
}

static void convert(const struct volume_attr *a, struct ftree_attr *ret)
{
	*ret = (struct ftree_attr){.mode = a->mode,
		.uid = a->uid,
		.gid = a->gid,
		.nlink = a->nlink,
		.rdev = a->rdev,
		.size = a->size,
		.atime = a->atime,
		.mtime = a->mtime,
		.ino = a->ino};
}

static int volume_tree_lookup(struct ftree *t, ftree_node dir, const char *name, struct ftree_attr *ret)
{
	struct volume_attr a;
	int rc = *name ? volume_lookup(engine(t), (uint64_t)dir, name, strlen(name), 0, &a)
		       : volume_getattr(engine(t), (uint64_t)dir, &a);

	if (rc == 0)
		convert(&a, ret);
	return rc;
}

static int volume_tree_open(struct ftree *t, ftree_node dir, const char *name, const struct ftree_attr *a,
	bool content, ftree_node *ret)
{
	struct volume_attr found;
	int rc = volume_lookup(engine(t), (uint64_t)dir, name, strlen(name), 0, &found);

	if (rc == 0)
		*ret = (ftree_node)found.ino;
	return rc;
}

static int volume_tree_list(struct ftree *t, ftree_node dir, struct buf *out)
{
	struct volume_dirent e[ENTRIES];
	uint64_t cookie = 0;
	long n;

	while ((n = volume_readdir(engine(t), (uint64_t)dir, cookie, e, ENTRIES)) > 0) {
		for (long i = 0; i < n; i++)
			if (strcmp(e[i].name, ".") != 0 && strcmp(e[i].name, "..") != 0)
				buf_put(out, e[i].name, e[i].name_len + 1u);
		cookie = e[n - 1].cookie;
	}
	return n < 0 ? (int)n : out->failed ? -ENOMEM : 0;
}

static int volume_tree_readlink(struct ftree *t, ftree_node dir, const char *name, char *ret, size_t n)
{
	struct volume_attr a;
	long got = volume_lookup(engine(t), (uint64_t)dir, name, strlen(name), 0, &a);

	if (got == 0)
		got = volume_readlink(engine(t), a.ino, ret, n);
	if (got < 0)
		return (int)got;
	if ((size_t)got >= n)
		return -ENAMETOOLONG;
	ret[got] = '\0';
	return 0;
}

static int volume_tree_make(
	struct ftree *t, ftree_node dir, const char *name, const struct ftree_attr *a, const char *target)
{
	struct volume_new what = {.mode = (a->mode & S_IFMT) | (S_ISDIR(a->mode)	  ? 0700
								       : S_ISLNK(a->mode) ? 0777
											  : 0600),
		.uid = a->uid,
		.gid = a->gid,
		.rdev = a->rdev,
		.target = target,
		.target_len = target ? strlen(target) : 0};

	return volume_make(engine(t), (uint64_t)dir, name, strlen(name), &what, 0, NULL);
}

static int volume_tree_link(struct ftree *t, const char *first, ftree_node dir, const char *name)
{
	struct volume_attr a = {.ino = VOLUME_ROOT};
	int rc = 0;

	while (rc == 0 && *first) {
		size_t n = strcspn(first, "/");

		rc = volume_lookup(engine(t), a.ino, first, n, 0, &a);
		first += n + (first[n] == '/');
	}
	return rc ? rc : volume_link(engine(t), a.ino, (uint64_t)dir, name, strlen(name));
}

static int volume_tree_remove(struct ftree *t, ftree_node dir, const char *name, bool directory)
{
	return directory ? volume_rmdir(engine(t), (uint64_t)dir, name, strlen(name))
			 : volume_unlink(engine(t), (uint64_t)dir, name, strlen(name));
}

static long volume_tree_read(struct ftree *t, ftree_node node, uint64_t off, void *p, size_t n)
{
	return volume_read(engine(t), (uint64_t)node, off, p, n);
}

static int volume_tree_write(struct ftree *t, ftree_node node, uint64_t off, const void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long put = volume_write(
			engine(t), (uint64_t)node, off + done, (const char *)p + done, n - done, 0, NULL);

		if (put <= 0)
			return put ? (int)put : -ENOSPC;
		done += (size_t)put;
	}
	return 0;
}

static int volume_tree_truncate(struct ftree *t, ftree_node node, uint64_t size)
{
	return volume_truncate(engine(t), (uint64_t)node, size);
}

static int volume_tree_data(
	struct ftree *t, ftree_node node, uint64_t off, uint64_t *ret_from, uint64_t *ret_to)
{
	int rc = volume_seek_data(engine(t), (uint64_t)node, off, ret_from);

	return rc ? rc : volume_seek_hole(engine(t), (uint64_t)node, *ret_from, ret_to);
}

static long volume_tree_xattr_list(struct ftree *t, ftree_node node, char *p, size_t n)
{
	return volume_xattr_list(engine(t), (uint64_t)node, p, n);
}

static long volume_tree_xattr_get(struct ftree *t, ftree_node node, const char *name, void *p, size_t n)
{
	return volume_xattr_get(engine(t), (uint64_t)node, name, strlen(name), p, n);
}

static int volume_tree_xattr_set(struct ftree *t, ftree_node node, const char *name, const void *p, size_t n)
{
	return volume_xattr_set(engine(t), (uint64_t)node, name, strlen(name), p, n, 0);
}

static int volume_tree_xattr_remove(struct ftree *t, ftree_node node, const char *name)
{
	return volume_xattr_remove(engine(t), (uint64_t)node, name, strlen(name));
}

static int set(struct ftree *t, ftree_node node, unsigned int what, const struct ftree_attr *a)
{
	struct volume_attr v = {
		.mode = a->mode & 07777, .uid = a->uid, .gid = a->gid, .atime = a->atime, .mtime = a->mtime};

	return volume_setattr(engine(t), (uint64_t)node, what, &v);
}

static int volume_tree_set_owner(struct ftree *t, ftree_node node, const struct ftree_attr *a)
{
	return set(t, node, VOLUME_SET_UID | VOLUME_SET_GID, a);
}

static int volume_tree_set_mode(struct ftree *t, ftree_node node, const struct ftree_attr *a)
{
	return set(t, node, VOLUME_SET_MODE, a);
}

static int volume_tree_set_times(struct ftree *t, ftree_node node, const struct ftree_attr *a)
{
	return set(t, node, VOLUME_SET_ATIME | VOLUME_SET_MTIME, a);
}

static int volume_tree_commit(struct ftree *t)
{
	return volume_commit(engine(t));
}

static int volume_tree_explain(struct ftree *t, int rc, const char *what, struct error *err)
{
	return volume_session_error(t->session, rc, err, "volume %s, %s", t->name, *what ? what : "/");
}

static const struct ftree_ops volume_ops = {.root = volume_tree_root,
	.close = volume_tree_close,
	.lookup = volume_tree_lookup,
	.open = volume_tree_open,
	.list = volume_tree_list,
	.readlink = volume_tree_readlink,
	.make = volume_tree_make,
	.link = volume_tree_link,
	.remove = volume_tree_remove,
	.read = volume_tree_read,
	.write = volume_tree_write,
	.truncate = volume_tree_truncate,
	.data = volume_tree_data,
	.xattr_list = volume_tree_xattr_list,
	.xattr_get = volume_tree_xattr_get,
	.xattr_set = volume_tree_xattr_set,
	.xattr_remove = volume_tree_xattr_remove,
	.set_owner = volume_tree_set_owner,
	.set_mode = volume_tree_set_mode,
	.set_times = volume_tree_set_times,
	.commit = volume_tree_commit,
	.explain = volume_tree_explain};

void ftree_volume(struct ftree *ret, struct volume_session *s)
{
	*ret = (struct ftree){.ops = &volume_ops, .name = s->file.path, .fd = -1, .session = s};
}
