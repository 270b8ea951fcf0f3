/* volumes_sealed: the sealed trees among the mounts: their manifests, their content, and the host's files behind them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "core/log.h"
#include "runtime/volumes_shared.h"
#include "shield/fs/sealed_tree.h"

/* --- manifests --- */

static int read_whole(int fd, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long got = host_pread(fd, (uint8_t *)p + done, n - done, (off_t)done);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return got ? (int)got : -EIO;
		done += (size_t)got;
	}
	return 0;
}

static int read_manifest(const char *path, uint8_t **ret, size_t *ret_n, struct error *err)
{
	long fd = host_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;
	uint8_t *p;
	int rc;

	if (host_failed(fd))
		return error_set_errno(err, (int)-fd, "manifest %s", path);
	rc = (int)host_fstat((int)fd, &st);
	if (!rc && !S_ISREG(st.st_mode))
		rc = -EINVAL;
	if (!rc && ((uint64_t)st.st_size > SEALED_MANIFEST_MAX || st.st_size == 0))
		rc = st.st_size ? -EFBIG : -ENODATA;
	p = rc ? NULL : malloc((size_t)st.st_size);
	if (!rc)
		rc = p ? read_whole((int)fd, p, (size_t)st.st_size) : -ENOMEM;
	host_close((int)fd);
	if (rc) {
		free(p);
		return error_set_errno(err, -rc, "manifest %s", path);
	}
	*ret = p;
	*ret_n = (size_t)st.st_size;
	return 0;
}

int sealed_mount_probe(struct sealed_mount *m, struct error *err)
{
	struct sealed_trust trust = {
		.root = m->has_root ? m->root : NULL, .signer = m->has_signer ? m->signer : NULL};

	if (read_manifest(m->manifest_path, &m->manifest, &m->manifest_len, err))
		return -1;
	return sealed_tree_open(m->manifest, m->manifest_len, &trust, &m->tree, err)
		       ? error_wrap(err, "%s", m->manifest_path)
		       : 0;
}

void sealed_mount_clear(struct sealed_mount *m)
{
	sealed_tree_free(m->tree);
	free(m->manifest);
	m->tree = NULL;
	m->manifest = NULL;
}

/* --- the content object --- */

/* Written through one descriptor, mapped for the program through one that cannot write. */
int sealed_content_make(uint64_t len)
{
	struct volumes_shared *s = volumes_shared();
	long fd = host_call2(SYS_memfd_create, (long)"openscone-sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING), ro;
	char link[64];
	long rc;

	if (host_failed(fd))
		return (int)fd;
	rc = host_call2(SYS_ftruncate, fd, (long)len);
	if (!rc)
		rc = host_call3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%ld", fd);
	ro = rc ? rc : host_openat(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
	if (host_failed(ro)) {
		host_close((int)fd);
		return (int)ro;
	}
	s->content_fd = arena_hide((int)fd);
	s->content_ro_fd = arena_hide((int)ro);
	return s->content_fd < 0 ? s->content_fd : s->content_ro_fd < 0 ? s->content_ro_fd : 0;
}

static int content_move(long nr, uint64_t off, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long got = host_call4(nr, volumes_shared()->content_fd, (long)((uint8_t *)p + done),
			(long)(n - done), (long)(off + done));

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return got ? (int)got : -EIO;
		done += (size_t)got;
	}
	return 0;
}

static int content_read(void *ctx, uint64_t off, void *p, size_t n)
{
	return content_move(SYS_pread64, off, p, n);
}

static int content_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	return content_move(SYS_pwrite64, off, (void *)(uintptr_t)p, n);
}

/* --- the host's files --- */

static int open_behind(const struct volumes_mount *m, const char *path)
{
	char whole[2 * VOLUME_FILE_PATH_MAX];
	struct stat st;
	long fd;
	int rc;

	if ((size_t)snprintf(whole, sizeof(whole), "%s/%s", m->file.path, path) >= sizeof(whole))
		return -ENAMETOOLONG;
	fd = host_openat(AT_FDCWD, whole, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (host_failed(fd))
		return (int)fd;
	rc = (int)host_fstat((int)fd, &st);
	if (!rc && !S_ISREG(st.st_mode))
		rc = -EMEDIUMTYPE;
	if (!rc)
		return (int)fd;
	host_close((int)fd);
	return rc;
}

static long host_read_at(void *ctx, const char *path, uint64_t off, void *p, size_t n)
{
	int fd = open_behind(ctx, path);
	size_t done = 0;
	long got = 1;

	if (fd < 0)
		return fd;
	while (done < n && got) {
		got = host_pread(fd, (uint8_t *)p + done, n - done, (off_t)(off + done));
		if (got == -EINTR)
			continue;
		if (got < 0)
			break;
		done += (size_t)got;
	}
	host_close(fd);
	return got < 0 ? got : (long)done;
}

static void fault(void *ctx, const char *text)
{
	const struct volumes_mount *m = ctx;

	log_error("sealed tree %s: %s", m->file.path, text);
}

struct sealed_fs_env sealed_mount_env(struct volumes_mount *m)
{
	return (struct sealed_fs_env){.ctx = m,
		.host_read = host_read_at,
		.content_read = content_read,
		.content_write = content_write,
		.fault = fault};
}

int volumes_content_fd(void)
{
	return volumes_shared()->content_ro_fd;
}
