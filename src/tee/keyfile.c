#include "tee/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"

int keyfile_dir(const char *path, struct error *err)
{
	struct stat st;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot make the state directory %s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open the state directory %s", path);
	if (fstat(fd, &st) < 0)
		error_set_errno(err, errno, "cannot stat the state directory %s", path);
	else if (st.st_uid != geteuid())
		error_set(err, ERR_ACCESS, "state directory %s belongs to user %u, wanted %u", path,
			st.st_uid, geteuid());
	else if (st.st_mode & 022)
		error_set(err, ERR_ACCESS, "state directory %s has mode %o: others may write, wanted 0700",
			path, st.st_mode & 07777);
	else
		return fd;
	close(fd);
	return -1;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* A complete file under a random name, then a link to its final name: an existing one is never touched. */
static int create(
	int dir, const char *dir_name, const char *name, const struct buf *content, struct error *err)
{
	uint8_t random[8];
	char hex[17], temp[64];
	if (random_bytes(random, sizeof(random), err) < 0)
		return -1;
	hex_encode(random, sizeof(random), hex);
	snprintf(temp, sizeof(temp), ".new-%s", hex);
	int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot make %s/%s", dir_name, temp);
	int rc = 0;
	/* The umask may have taken the owner's rights away. */
	if (fchmod(fd, 0600) < 0 || write_all(fd, content->data, content->len) < 0 || fsync(fd) < 0)
		rc = error_set_errno(err, errno, "cannot write %s/%s", dir_name, temp);
	else if (linkat(dir, temp, dir, name, 0) < 0 && errno != EEXIST)
		rc = error_set_errno(err, errno, "cannot name %s/%s", dir_name, name);
	close(fd);
	unlinkat(dir, temp, 0);
	if (rc == 0 && fsync(dir) < 0)
		rc = error_set_errno(err, errno, "cannot flush %s", dir_name);
	return rc;
}

static int read_key(int fd, const char *dir_name, const char *name, struct buf *out, struct error *err)
{
	struct stat st;
	uint8_t bytes[KEYFILE_MAX + 1];
	size_t n = 0;
	ssize_t got = 0;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot stat %s/%s", dir_name, name);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return error_set(err, ERR_ACCESS,
			"%s/%s: mode %o, owner %u: wanted a regular file, 0600, owner %u", dir_name, name,
			st.st_mode, st.st_uid, geteuid());
	while (n < sizeof(bytes) && (got = read(fd, bytes + n, sizeof(bytes) - n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		n += (size_t)got;
	}
	int rc = 0;
	if (got < 0)
		rc = error_set_errno(err, errno, "cannot read %s/%s", dir_name, name);
	else if (n > KEYFILE_MAX)
		rc = error_set(err, ERR_LIMIT, "%s/%s is longer than %d bytes", dir_name, name, KEYFILE_MAX);
	else
		buf_put(out, bytes, n);
	secret_wipe(bytes, sizeof(bytes));
	if (rc == 0 && out->failed)
		rc = error_set(err, ERR_NOMEM, "no room for %s/%s", dir_name, name);
	return rc;
}

int keyfile_load(int dir, const char *dir_name, const char *name,
	int (*make)(struct buf *out, struct error *err), struct buf *out, struct error *err)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		struct buf content;
		buf_init_secret(&content, KEYFILE_MAX);
		int rc = make(&content, err);
		if (rc == 0 && content.failed)
			rc = error_set(err, ERR_NOMEM, "no room for the content of %s/%s", dir_name, name);
		if (rc == 0)
			rc = create(dir, dir_name, name, &content, err);
		buf_free(&content);
		if (rc < 0)
			return -1;
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	}
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s/%s", dir_name, name);
	int rc = read_key(fd, dir_name, name, out, err);
	close(fd);
	return rc;
}
