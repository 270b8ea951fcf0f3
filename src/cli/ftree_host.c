/* ftree_host: a directory of the host as a tree; see ftree.h. Every name is looked up in its open directory and no link is followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "cli/ftree.h"

static int status(long rc)
{
	return rc < 0 ? -errno : (int)rc;
}

static int64_t ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct timespec timespec(int64_t t)
{
	int64_t s = t / 1000000000, n = t % 1000000000;

	if (n < 0) {
		s--;
		n += 1000000000;
	}
	return (struct timespec){s, n};
}

/* The inode behind any descriptor, an O_PATH one too, for calls that take only paths. */
struct link_path {
	char text[40];
};

static struct link_path by_descriptor(ftree_node node)
{
	struct link_path p;

	(void)snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", (int)node);
	return p;
}

static int host_root(struct ftree *t, ftree_node *ret)
{
	int fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);

	*ret = fd;
	return fd < 0 ? -errno : 0;
}

static void host_close_node(struct ftree *t, ftree_node node)
{
	(void)close((int)node);
}

static int host_lookup(struct ftree *t, ftree_node dir, const char *name, struct ftree_attr *ret)
{
	struct stat st;

	if (fstatat((int)dir, name, &st, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH))
		return -errno;
	*ret = (struct ftree_attr){.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.nlink = (uint32_t)st.st_nlink,
		.rdev = st.st_rdev,
		.size = (uint64_t)st.st_size,
		.atime = ns(st.st_atim),
		.mtime = ns(st.st_mtim),
		.dev = st.st_dev,
		.ino = st.st_ino};
	return 0;
}

static int host_open_node(struct ftree *t, ftree_node dir, const char *name, const struct ftree_attr *a,
	bool content, ftree_node *ret)
{
	int flags = O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, fd;

	if (S_ISDIR(a->mode))
		flags |= O_RDONLY | O_DIRECTORY;
	else if (S_ISREG(a->mode) && content)
		flags |= O_RDWR | O_NONBLOCK;
	else if (S_ISREG(a->mode))
		flags |= O_RDONLY | O_NONBLOCK | O_NOATIME;
	else
		flags |= O_PATH;
	fd = openat((int)dir, name, flags);
	if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
		fd = openat((int)dir, name, flags & ~O_NOATIME);
	*ret = fd;
	return fd < 0 ? -errno : 0;
}

static int host_list(struct ftree *t, ftree_node dir, struct buf *out)
{
	int fd = openat((int)dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int rc;

	if (!d) {
		rc = -errno;
		if (fd >= 0)
			(void)close(fd);
		return rc;
	}
	for (errno = 0; (e = readdir(d)); errno = 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			buf_put(out, e->d_name, strlen(e->d_name) + 1);
	rc = out->failed ? -ENOMEM : -errno;
	closedir(d);
	return rc;
}

static int host_readlink(struct ftree *t, ftree_node dir, const char *name, char *ret, size_t n)
{
	ssize_t got = readlinkat((int)dir, name, ret, n);

	if (got < 0)
		return -errno;
	if ((size_t)got >= n)
		return -ENAMETOOLONG;
	ret[got] = '\0';
	return 0;
}

static int host_make(
	struct ftree *t, ftree_node dir, const char *name, const struct ftree_attr *a, const char *target)
{
	int fd;

	if (S_ISDIR(a->mode))
		return status(mkdirat((int)dir, name, 0700));
	if (S_ISLNK(a->mode))
		return status(symlinkat(target, (int)dir, name));
	if (!S_ISREG(a->mode))
		return status(mknodat((int)dir, name, (a->mode & S_IFMT) | 0600, (dev_t)a->rdev));
	fd = openat((int)dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : status(close(fd));
}

static int host_link(struct ftree *t, const char *first, ftree_node dir, const char *name)
{
	return status(linkat(t->fd, first, (int)dir, name, 0));
}

static int host_remove(struct ftree *t, ftree_node dir, const char *name, bool directory)
{
	return status(unlinkat((int)dir, name, directory ? AT_REMOVEDIR : 0));
}

static long host_read_node(struct ftree *t, ftree_node node, uint64_t off, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread((int)node, (char *)p + done, n - done, (off_t)(off + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (long)done;
}

static int host_write_node(struct ftree *t, ftree_node node, uint64_t off, const void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t put = pwrite((int)node, (const char *)p + done, n - done, (off_t)(off + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		done += (size_t)put;
	}
	return 0;
}

static int host_truncate(struct ftree *t, ftree_node node, uint64_t size)
{
	return status(ftruncate((int)node, (off_t)size));
}

static int host_data(struct ftree *t, ftree_node node, uint64_t off, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t from = lseek((int)node, (off_t)off, SEEK_DATA), to;

	if (from < 0)
		return -errno;
	to = lseek((int)node, from, SEEK_HOLE);
	if (to < 0)
		return -errno;
	*ret_from = (uint64_t)from;
	*ret_to = (uint64_t)to;
	return 0;
}

static long host_xattr_list(struct ftree *t, ftree_node node, char *p, size_t n)
{
	ssize_t got = listxattr(by_descriptor(node).text, p, n);

	return got < 0 ? (errno == EOPNOTSUPP ? 0 : -errno) : got;
}

static long host_xattr_get(struct ftree *t, ftree_node node, const char *name, void *p, size_t n)
{
	ssize_t got = getxattr(by_descriptor(node).text, name, p, n);

	return got < 0 ? (errno == EOPNOTSUPP ? -ENODATA : -errno) : got;
}

static int host_xattr_set(struct ftree *t, ftree_node node, const char *name, const void *p, size_t n)
{
	return status(setxattr(by_descriptor(node).text, name, p, n, 0));
}

static int host_xattr_remove(struct ftree *t, ftree_node node, const char *name)
{
	return status(removexattr(by_descriptor(node).text, name));
}

/* An ordinary user keeps what it makes. */
static int host_set_owner(struct ftree *t, ftree_node node, const struct ftree_attr *a)
{
	if (fchownat((int)node, "", a->uid, a->gid, AT_EMPTY_PATH) == 0 || (errno == EPERM && geteuid() != 0))
		return 0;
	return -errno;
}

static int host_set_mode(struct ftree *t, ftree_node node, const struct ftree_attr *a)
{
	return status(chmod(by_descriptor(node).text, a->mode & 07777));
}

static int host_set_times(struct ftree *t, ftree_node node, const struct ftree_attr *a)
{
	struct timespec times[2] = {timespec(a->atime), timespec(a->mtime)};

	return status(utimensat((int)node, "", times, AT_EMPTY_PATH));
}

static int host_commit(struct ftree *t)
{
	return status(syncfs(t->fd));
}

static int host_explain(struct ftree *t, int rc, const char *what, struct error *err)
{
	error_set_errno(err, -rc, "%s/%s", t->name, what);
	if (rc == -EACCES || rc == -EPERM)
		err->code = ERR_ACCESS;
	return -1;
}

static const struct ftree_ops host_ops = {.root = host_root,
	.close = host_close_node,
	.lookup = host_lookup,
	.open = host_open_node,
	.list = host_list,
	.readlink = host_readlink,
	.make = host_make,
	.link = host_link,
	.remove = host_remove,
	.read = host_read_node,
	.write = host_write_node,
	.truncate = host_truncate,
	.data = host_data,
	.xattr_list = host_xattr_list,
	.xattr_get = host_xattr_get,
	.xattr_set = host_xattr_set,
	.xattr_remove = host_xattr_remove,
	.set_owner = host_set_owner,
	.set_mode = host_set_mode,
	.set_times = host_set_times,
	.commit = host_commit,
	.explain = host_explain};

int ftree_host(struct ftree *ret, const char *dir, struct error *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		int e = errno;

		error_set_errno(err, e, "directory %s", dir);
		if (err)
			err->code = e == ENOENT ? ERR_NOT_FOUND : e == ENOTDIR ? ERR_INPUT : err->code;
		return -1;
	}
	*ret = (struct ftree){.ops = &host_ops, .name = dir, .fd = fd};
	return 0;
}

void ftree_free(struct ftree *t)
{
	if (t->ops == &host_ops)
		(void)close(t->fd);
	t->ops = NULL;
}
