#include "las/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

int listener_make_parents(const char *path, struct error *err)
{
	char dir[PATH_MAX];
	if ((size_t)snprintf(dir, sizeof(dir), "%s", path) >= sizeof(dir))
		return error_set(
			err, ERR_LIMIT, "path of %zu bytes, wanted below %d", strlen(path), PATH_MAX);
	/* Peers of every user must get through, whatever this process keeps for itself. */
	mode_t before = umask(022);
	int rc = 0;
	for (char *s = dir + 1; rc == 0 && *dir && (s = strchr(s, '/')); s++) {
		*s = '\0';
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			rc = error_set_errno(err, errno, "cannot make the directory %s", dir);
		*s = '/';
	}
	umask(before);
	return rc;
}

/* Two that start at once must not take each other's fresh socket for a stale one: the directory is locked meanwhile. */
static int lock_directory(const char *path, struct error *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) + (slash == path) : 1;
	snprintf(dir, sizeof(dir), "%.*s", n, slash ? path : ".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open the directory %s", dir);
	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK || tries >= 100) {
			error_set_errno(err, errno, "cannot lock the directory %s", dir);
			close(fd);
			return -1;
		}
		usleep(20000);
	}
	return fd;
}

/* Remove what is left of a server that ended without doing so. */
static int remove_stale(const struct sockaddr_un *a, struct error *err)
{
	struct stat st;
	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot stat %s", a->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_EXISTS, "%s exists and is no socket", a->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot make a socket");
	int rc = connect(fd, (const struct sockaddr *)a, sizeof(*a));
	int failed = rc < 0 ? errno : 0;
	close(fd);
	/* EAGAIN: its queue is full, so it is there. */
	if (failed != ECONNREFUSED && failed != ENOENT)
		return failed == 0 || failed == EAGAIN
			       ? error_set(err, ERR_EXISTS, "%s: another server listens there", a->sun_path)
			       : error_set_errno(err, failed, "cannot tell whether somebody listens on %s",
					 a->sun_path);
	if (unlink(a->sun_path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove the stale socket %s", a->sun_path);
	return 0;
}

static int bind_and_listen(int fd, const struct sockaddr_un *a, struct listener *ret, struct error *err)
{
	struct stat st;
	int on = 1;
	/* Before listen: accepted sockets inherit it, and bytes sent before accept carry credentials too. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return error_set_errno(err, errno, "cannot ask for the senders of messages");
	mode_t before = umask(0111);
	int rc = bind(fd, (const struct sockaddr *)a, sizeof(*a));
	int failed = errno;
	umask(before);
	if (rc < 0)
		return error_set_errno(err, failed, "cannot bind %s", a->sun_path);
	if (listen(fd, BACKLOG) < 0 || lstat(a->sun_path, &st) < 0) {
		error_set_errno(err, errno, "cannot listen on %s", a->sun_path);
		unlink(a->sun_path);
		return -1;
	}
	ret->fd = fd;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	return 0;
}

int listener_open(const char *path, struct listener *ret, struct error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (path[0] == '\0' || strlen(path) >= sizeof(a.sun_path))
		return error_set(err, ERR_LIMIT, "socket path \"%.200s\" has %zu bytes, wanted 1 to %zu",
			path, strlen(path), sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (listener_make_parents(path, err) < 0)
		return -1;
	int lock = lock_directory(path, err);
	if (lock < 0)
		return -1;
	int rc = -1;
	struct listener l = {.fd = -1, .path = path};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		error_set_errno(err, errno, "cannot make a socket");
	else if (remove_stale(&a, err) == 0 && bind_and_listen(fd, &a, &l, err) == 0)
		rc = 0;
	if (rc == 0)
		*ret = l;
	else if (fd >= 0)
		close(fd);
	close(lock);
	return rc;
}

void listener_close(struct listener *l)
{
	struct stat st;
	if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	close(l->fd);
	l->fd = -1;
}
