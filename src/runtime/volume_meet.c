#include "runtime/volume_meet.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "runtime/volumes_shared.h"

#define WAIT_STEP 1000 /* microseconds */
#define WAIT_STEPS 2000
#define REMOVE_BUFFER 4096

static const char *directory(void)
{
	return volumes_shared()->meet;
}

int meet_choose(char ret[MEET_DIR_MAX], struct error *err)
{
	const char *where = host_call2(SYS_access, (long)"/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
	uint64_t r[3];

	if (random_bytes(r, sizeof(r), err))
		return -1;
	(void)snprintf(ret, MEET_DIR_MAX, "%s/scone-%016" PRIx64 "/%016" PRIx64 "%016" PRIx64, where, r[0],
		r[1], r[2]);
	return 0;
}

static void outer(char ret[MEET_DIR_MAX])
{
	memcpy(ret, directory(), MEET_DIR_MAX);
	*strrchr(ret, '/') = '\0';
}

/* The outer part lets others in only when the inner one is as it shall be. */
static int make_directory(void)
{
	char out[MEET_DIR_MAX];
	long rc;

	outer(out);
	rc = host_call2(SYS_mkdir, (long)out, 0700);
	if (rc)
		return (int)rc;
	rc = host_call2(SYS_mkdir, (long)directory(), 0700);
	if (!rc)
		rc = host_call2(SYS_chmod, (long)directory(), 0733);
	if (!rc)
		rc = host_call2(SYS_chmod, (long)out, 0711);
	return (int)rc;
}

int meet_open(bool make)
{
	long fd, rc = 0;

	for (int i = 0;; i++) {
		fd = host_openat(AT_FDCWD, directory(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
		if (!host_failed(fd) || !make)
			return (int)fd;
		if (fd != -ENOENT && fd != -EACCES)
			return (int)fd;
		if (i == 0)
			rc = make_directory();
		if (rc && rc != -EEXIST)
			return (int)rc;
		/* Another process is making it. */
		if (i == WAIT_STEPS)
			return -ETIMEDOUT;
		if (rc)
			usleep(WAIT_STEP);
	}
}

void meet_name(const struct vfs_node *n, char ret[MEET_NAME_MAX])
{
	(void)snprintf(ret, MEET_NAME_MAX, "%" PRIx32 "-%" PRIx64 "-%" PRIx64, n->mount, n->ino, n->gen);
}

void meet_path(const struct vfs_node *n, char ret[MEET_PATH_MAX])
{
	size_t len = strlen(directory());

	memcpy(ret, directory(), len);
	ret[len++] = '/';
	(void)snprintf(
		ret + len, MEET_PATH_MAX - len, "%" PRIx32 "-%" PRIx64 "-%" PRIx64, n->mount, n->ino, n->gen);
}

void meet_address(int dir, const struct vfs_node *n, char *ret, size_t room)
{
	char name[MEET_NAME_MAX];

	meet_name(n, name);
	(void)snprintf(ret, room, "/proc/self/fd/%d/%s", dir, name);
}

bool meet_node(const char *text, size_t n, struct vfs_node *ret)
{
	char name[MEET_NAME_MAX], again[MEET_NAME_MAX], *end;

	if (n == 0 || n >= sizeof(name))
		return false;
	memcpy(name, text, n);
	name[n] = '\0';
	ret->mount = (uint32_t)strtoul(name, &end, 16);
	if (*end != '-')
		return false;
	ret->ino = strtoull(end + 1, &end, 16);
	if (*end != '-')
		return false;
	ret->gen = strtoull(end + 1, &end, 16);
	meet_name(ret, again);
	return strcmp(again, name) == 0 && ret->mount < volumes_shared()->mounts;
}

/* It appears under its name when everybody may open it. */
int meet_fifo(const struct vfs_node *n)
{
	char path[MEET_PATH_MAX], fresh[MEET_PATH_MAX + 16];
	int dir = meet_open(true);
	long rc;

	if (dir < 0)
		return dir;
	host_close(dir);
	meet_path(n, path);
	if (host_call2(SYS_access, (long)path, F_OK) == 0)
		return 0;
	(void)snprintf(fresh, sizeof(fresh), "%s.%ld", path, host_call0(SYS_gettid));
	rc = host_call4(SYS_mknodat, AT_FDCWD, (long)fresh, S_IFIFO | 0600, 0);
	if (rc)
		return (int)rc;
	rc = host_call2(SYS_chmod, (long)fresh, 0666);
	if (!rc)
		rc = host_call5(SYS_renameat2, AT_FDCWD, (long)fresh, AT_FDCWD, (long)path, RENAME_NOREPLACE);
	if (rc)
		host_call1(SYS_unlink, (long)fresh);
	return rc == -EEXIST ? 0 : (int)rc;
}

void meet_forget(const struct vfs_node *n)
{
	char path[MEET_PATH_MAX];

	meet_path(n, path);
	host_call1(SYS_unlink, (long)path);
}

static void remove_entries(int fd)
{
	_Alignas(8) uint8_t buf[REMOVE_BUFFER];
	long n;

	while ((n = host_call3(SYS_getdents64, fd, (long)buf, sizeof(buf))) > 0)
		for (long i = 0; i < n;) {
			uint16_t len;

			memcpy(&len, buf + i + 16, sizeof(len));
			host_call3(SYS_unlinkat, fd, (long)(buf + i + 19), 0); /* not "." and ".." */
			i += len;
		}
}

void meet_remove(void)
{
	char out[MEET_DIR_MAX];
	long fd = host_openat(AT_FDCWD, directory(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (host_failed(fd))
		return;
	remove_entries((int)fd);
	host_close((int)fd);
	outer(out);
	host_call1(SYS_rmdir, (long)directory());
	host_call1(SYS_rmdir, (long)out);
}
