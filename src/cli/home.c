/* home: see home.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/home.h"

char *home_path(const char *name, struct error *err)
{
	const char *home = getenv("SCONE_HOME"), *base = getenv("HOME");
	char *path = NULL;
	int rc;

	if (home && *home) {
		rc = asprintf(&path, "%s%s%s", home, *name ? "/" : "", name);
	} else if (base && *base) {
		rc = asprintf(&path, "%s/.openscone%s%s", base, *name ? "/" : "", name);
	} else {
		error_set(err, ERR_INPUT,
			"neither SCONE_HOME nor HOME is set: no place for identity and CAS list");
		return NULL;
	}
	if (rc < 0) {
		error_set(err, ERR_NOMEM, "no memory");
		return NULL;
	}
	return path;
}

/* An open descriptor of the directory, checked; ERR_NOT_FOUND if it is not there. */
static int open_home(bool create, struct error *err)
{
	char *path = home_path("", err);
	struct stat st;
	int fd = -1;

	if (!path)
		return -1;
	if (create && mkdir(path, 0700) && errno != EEXIST) {
		error_set_errno(err, errno, "%s cannot be created", path);
		goto out;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT)
			error_set(err, ERR_NOT_FOUND, "%s does not exist", path);
		else
			error_set_errno(err, errno, "%s cannot be opened", path);
		goto out;
	}
	if (fstat(fd, &st)) {
		error_set_errno(err, errno, "%s: fstat", path);
	} else if (st.st_uid != geteuid()) {
		error_set(err, ERR_ACCESS, "%s belongs to user %u, wanted %u", path, (unsigned)st.st_uid,
			(unsigned)geteuid());
	} else if (st.st_mode & 022) {
		error_set(err, ERR_ACCESS, "%s has mode %04o: others can write to it, wanted 0700", path,
			(unsigned)(st.st_mode & 07777));
	} else {
		goto out;
	}
	close(fd);
	fd = -1;
out:
	free(path);
	return fd;
}

static int read_all(int fd, const char *name, bool private, struct buf *out, struct error *err)
{
	uint8_t block[8192];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return error_set_errno(err, errno, "%s: fstat", name);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT, "%s is not a regular file", name);
	if (private && (st.st_mode & 077))
		return error_set(err, ERR_ACCESS, "%s has mode %04o: others can read it, wanted 0600", name,
			(unsigned)(st.st_mode & 07777));
	while ((n = read(fd, block, sizeof(block))) > 0)
		buf_put(out, block, (size_t)n);
	explicit_bzero(block, sizeof(block));
	if (n < 0)
		return error_set_errno(err, errno, "%s cannot be read", name);
	if (out->failed)
		return error_set(err, ERR_LIMIT, "%s is larger than %zu bytes", name, out->max);
	return 0;
}

int home_read(const char *name, bool private, struct buf *out, struct error *err)
{
	int dir = open_home(false, err), fd, rc = -1;
	char *path;

	if (dir < 0)
		return -1;
	path = home_path(name, err);
	fd = path ? openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	if (!path)
		goto out;
	if (fd < 0)
		rc = errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "%s does not exist", path)
				     : error_set_errno(err, errno, "%s cannot be opened", path);
	else
		rc = read_all(fd, path, private, out, err);
out:
	if (fd >= 0)
		close(fd);
	close(dir);
	free(path);
	return rc;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return fsync(fd);
}

int home_write(const char *name, const void *p, size_t n, bool exclusive, struct error *err)
{
	char temp[64], *path = NULL;
	int dir = open_home(true, err), fd = -1, rc = -1;

	if (dir < 0)
		return -1;
	path = home_path(name, err);
	if (!path)
		goto out;
	(void)snprintf(temp, sizeof(temp), ".%.32s.%d", name, (int)getpid());
	(void)unlinkat(dir, temp, 0); /* left by a process of that number that died */
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write_all(fd, p, n)) {
		error_set_errno(err, errno, "%s cannot be written", path);
		goto out;
	}
	/* link() never replaces: of two that make the file at once, one succeeds. */
	if (exclusive ? linkat(dir, temp, dir, name, 0) : renameat(dir, temp, dir, name)) {
		if (errno == EEXIST)
			error_set(err, ERR_EXISTS, "%s exists already", path);
		else
			error_set_errno(err, errno, "%s cannot be written", path);
		goto out;
	}
	if (fsync(dir))
		error_set_errno(err, errno, "%s: fsync of its directory", path);
	else
		rc = 0;
out:
	if (fd >= 0) {
		close(fd);
		if (rc || exclusive)
			(void)unlinkat(dir, temp, 0);
	}
	close(dir);
	free(path);
	return rc;
}

int home_lock(struct error *err)
{
	int dir = open_home(true, err), fd;

	if (dir < 0)
		return -1;
	fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX)) {
		error_set_errno(err, errno, "the lock of the configuration directory");
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	close(dir);
	return fd;
}
