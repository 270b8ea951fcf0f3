/* volume_file: one file of the host as a block device; see volume_file.h. */
#include "host/volume_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "host/host.h"

#define START_BYTES (256 * 1024) /* a write of this much begins to go to the disk at once */
/* A file grows by a sixteenth of itself, within these. */
#define GROW_MIN ((uint64_t)1 << 20)
#define GROW_MAX ((uint64_t)256 << 20)

static int fail_at(struct volume_file *f, const char *operation, long rc, uint64_t off, uint64_t n)
{
	f->failure = (struct volume_file_failure){operation, (int)-rc, off, n};
	return (int)rc;
}

static int fail(struct volume_file *f, const char *operation, long rc)
{
	return fail_at(f, operation, rc, 0, 0);
}

static bool is_directory(const char *path, long *ret_rc)
{
	struct stat st;

	*ret_rc = host_call4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0);
	return *ret_rc == 0 && S_ISDIR(st.st_mode);
}

/* Sets f->path to the volume's file. */
static int find_file(struct volume_file *f, const char *path, unsigned int flags)
{
	size_t n = strlen(path);
	long rc;
	bool dir;

	if (n + sizeof("/" VOLUME_FILE_NAME) > sizeof(f->path)) {
		(void)snprintf(f->path, sizeof(f->path), "%.60s…", path);
		return fail(f, "open", -ENAMETOOLONG);
	}
	memcpy(f->path, path, n + 1);
	dir = is_directory(path, &rc);
	if (rc == -ENOENT && (flags & VOLUME_FILE_CREATE)) {
		rc = host_call3(SYS_mkdirat, AT_FDCWD, (long)path, 0700);
		if (rc)
			return fail(f, "mkdir", rc);
		dir = true;
	}
	if (rc)
		return fail(f, "open", rc);
	if (dir)
		(void)snprintf(f->path + n, sizeof(f->path) - n, "%s" VOLUME_FILE_NAME,
			n && path[n - 1] == '/' ? "" : "/");
	return 0;
}

static int take_lock(struct volume_file *f)
{
	struct flock l = {.l_type = f->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	long rc = host_call3(SYS_fcntl, f->fd, F_OFD_SETLK, (long)&l);

	if (rc == -EAGAIN || rc == -EACCES)
		rc = -EBUSY;
	return rc ? fail(f, "lock", rc) : 0;
}

/* Kind and size of the open file. */
static int examine(struct volume_file *f, unsigned int flags)
{
	struct stat st;
	uint64_t size = 0;
	long rc = host_fstat(f->fd, &st);

	if (!rc && S_ISBLK(st.st_mode)) {
		f->device = true;
		rc = host_call3(SYS_ioctl, f->fd, BLKGETSIZE64, (long)&size);
	} else if (!rc && S_ISREG(st.st_mode)) {
		size = (uint64_t)st.st_size;
		if (size && (flags & VOLUME_FILE_CREATE) && !(flags & VOLUME_FILE_REPLACE))
			return fail(f, "create", -EEXIST);
	} else if (!rc) {
		rc = -EMEDIUMTYPE;
	}
	if (rc)
		return fail(f, "open", rc);
	atomic_store(&f->size, size);
	return 0;
}

/* A new name survives a crash only once its directory is flushed. */
static int flush_directory(struct volume_file *f)
{
	char dir[VOLUME_FILE_PATH_MAX];
	char *slash;
	long fd, rc;

	memcpy(dir, f->path, sizeof(dir));
	slash = strrchr(dir, '/');
	if (!slash)
		memcpy(dir, ".", 2);
	else
		slash[slash == dir ? 1 : 0] = '\0';
	fd = host_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fail(f, "open of the directory", fd);
	rc = host_call1(SYS_fsync, fd);
	(void)host_close((int)fd);
	return rc ? fail(f, "flush of the directory", rc) : 0;
}

int volume_file_open(struct volume_file *f, const char *path, unsigned int flags)
{
	bool create = flags & VOLUME_FILE_CREATE;
	long fd;
	int rc;

	memset(f, 0, sizeof(*f));
	f->fd = -1;
	f->read_only = flags & VOLUME_FILE_READ_ONLY;
	rc = find_file(f, path, flags);
	if (rc)
		return rc;
	fd = host_openat(AT_FDCWD, f->path,
		(f->read_only ? O_RDONLY : O_RDWR) | (create ? O_CREAT : 0) | O_CLOEXEC | O_NOCTTY |
			O_NONBLOCK,
		0600);
	if (fd < 0)
		return fail(f, create ? "create" : "open", fd);
	f->fd = (int)fd;
	rc = take_lock(f);
	if (!rc)
		rc = examine(f, flags);
	if (!rc && (flags & VOLUME_FILE_REPLACE))
		rc = volume_file_cut(f, 0);
	if (!rc && create && !f->device)
		rc = flush_directory(f);
	if (rc)
		volume_file_close(f);
	return rc;
}

void volume_file_close(struct volume_file *f)
{
	if (f->fd >= 0)
		(void)host_close(f->fd);
	f->fd = -1;
}

int volume_file_read(void *ctx, uint64_t off, void *p, size_t n)
{
	struct volume_file *f = ctx;
	size_t done = 0;

	while (done < n) {
		long rc = host_pread(f->fd, (char *)p + done, n - done, (off_t)(off + done));

		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc < 0)
			return fail_at(f, "read", rc, off + done, n - done);
		if (rc == 0)
			break;
		done += (size_t)rc;
	}
	if (done == 0 && n > 0)
		return -ENODATA;
	memset((char *)p + done, 0, n - done);
	return 0;
}

/* Room ahead of a write at the end, so that the next ones change no length. Only a help: the write itself says what is wrong. */
static void grow(struct volume_file *f, uint64_t end)
{
	uint64_t size = atomic_load(&f->size), step = size / 16;

	if (end <= size || f->device)
		return;
	step = step < GROW_MIN ? GROW_MIN : step > GROW_MAX ? GROW_MAX : step;
	step = (step + 4095) & ~(uint64_t)4095;
	if (host_call4(SYS_fallocate, f->fd, 0, (long)size, (long)(end + step - size)) == 0)
		end += step;
	while (size < end && !atomic_compare_exchange_weak(&f->size, &size, end))
		;
}

int volume_file_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	struct volume_file *f = ctx;
	size_t done = 0;

	if (f->read_only)
		return fail_at(f, "write", -EROFS, off, n);
	grow(f, off + n);
	while (done < n) {
		long rc = host_call4(SYS_pwrite64, f->fd, (long)((const char *)p + done), (long)(n - done),
			(long)(off + done));

		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc <= 0)
			return fail_at(f, "write", rc ? rc : -EIO, off + done, n - done);
		done += (size_t)rc;
	}
	/* Much at once is data on its way to a commit: the disk may begin, so that less is left for the flush. A hint. */
	if (n >= START_BYTES)
		host_call4(SYS_sync_file_range, f->fd, (long)off, (long)n, SYNC_FILE_RANGE_WRITE);
	return 0;
}

int volume_file_flush(void *ctx)
{
	struct volume_file *f = ctx;
	int before = atomic_load(&f->flush_error);
	long rc;

	if (before)
		return fail(f, "flush", -before);
	if (f->read_only)
		return 0;
	do
		rc = host_call1(SYS_fdatasync, f->fd);
	while (rc == -EINTR);
	if (rc == 0)
		return 0;
	atomic_store(&f->flush_error, (int)-rc);
	return fail(f, "flush", rc);
}

void volume_file_discard(void *ctx, uint64_t off, uint64_t n)
{
	struct volume_file *f = ctx;
	long rc;

	if (f->read_only || atomic_load(&f->no_discard) || off >= atomic_load(&f->size))
		return;
	rc = host_call4(SYS_fallocate, f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (long)off, (long)n);
	if (rc == -EOPNOTSUPP || rc == -ENOSYS)
		atomic_store(&f->no_discard, true);
	else if (rc < 0)
		(void)fail_at(f, "discard", rc, off, n);
}

int volume_file_cut(struct volume_file *f, uint64_t size)
{
	long rc;

	if (f->device || size >= atomic_load(&f->size))
		return 0;
	rc = host_call2(SYS_ftruncate, f->fd, (long)size);
	if (rc)
		return fail_at(f, "truncate", rc, size, 0);
	atomic_store(&f->size, size);
	return 0;
}

void volume_file_failure_text(const struct volume_file *f, char *ret, size_t n)
{
	struct volume_file_failure x = f->failure;
	const char *why = x.error == EBUSY && x.operation && !strcmp(x.operation, "lock")
				  ? "another process has this volume open"
			  : x.error == EMEDIUMTYPE ? "neither a file nor a block device"
						   : strerrordesc_np(x.error);

	if (!x.operation)
		(void)snprintf(ret, n, "%s", f->path);
	else if (x.n)
		(void)snprintf(ret, n, "%s of %llu bytes at %llu in %s: %s", x.operation,
			(unsigned long long)x.n, (unsigned long long)x.off, f->path,
			why ? why : "unknown error");
	else
		(void)snprintf(ret, n, "%s of %s: %s", x.operation, f->path, why ? why : "unknown error");
}
