#include "runtime/volume_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "host/host.h"
#include "runtime/volumes.h"

#define STEP 65536

static int find(const struct thread *t, const char *path, struct volume_source *ret)
{
	struct vpath *v = malloc(sizeof(*v));
	long n;
	int rc;

	if (!v)
		return -ENOMEM;
	rc = vpath_either(t, AT_FDCWD, path, 0, v);
	ret->inside = v->kind == VPATH_VOLUME;
	if (rc || !ret->inside)
		goto out;
	rc = v->place.last == VFS_LAST_NAME ? 0 : -EISDIR;
	n = rc ? rc : vfs_dir_path(volumes_caller(t), &v->place.dir, ret->path, sizeof(ret->path));
	if (n < 0) {
		rc = (int)n;
		goto out;
	}
	if ((size_t)n + v->place.name_len + 1 > sizeof(ret->path)) {
		rc = -ENAMETOOLONG;
		goto out;
	}
	ret->path[n - 1] = '/';
	memcpy(ret->path + n, v->place.name, v->place.name_len + 1);
	ret->found = v->place.found;
	ret->attr = v->place.attr;
	ret->place = v->place;
out:
	free(v);
	return rc;
}

int volume_source_find(const char *path, struct volume_source *ret)
{
	struct thread scratch, *t = volumes_thread(&scratch);
	int rc;

	ret->inside = false;
	if (!t)
		return 0;
	volumes_enter(t);
	rc = find(t, path, ret);
	volumes_leave(t);
	return rc;
}

static int read_open(const struct vfs_caller *c, int fd, struct buf *out)
{
	int64_t off = 0;

	for (;;) {
		uint8_t *room = buf_reserve(out, STEP);
		long n;

		if (!room)
			return -EFBIG;
		n = vfs_pread(c, fd, room, STEP, off);
		if (n <= 0)
			return (int)n;
		out->len += (size_t)n;
		off += n;
	}
}

int volume_source_read(const struct volume_source *s, struct buf *out)
{
	struct thread scratch, *t = volumes_thread(&scratch);
	long fd;
	int rc;

	if (!t || !s->inside || !s->found)
		return -ENOENT;
	if (!S_ISREG(s->attr.mode))
		return -EINVAL;
	fd = volumes_placeholder(O_CLOEXEC);
	if (host_failed(fd))
		return (int)fd;
	volumes_enter(t);
	rc = vfs_open(volumes_caller(t), &s->place, O_RDONLY | O_CLOEXEC, 0, (int)fd);
	if (!rc) {
		rc = read_open(volumes_caller(t), (int)fd, out);
		(void)vfs_close(volumes_caller(t), (int)fd);
	}
	volumes_leave(t);
	host_close((int)fd);
	return rc;
}
