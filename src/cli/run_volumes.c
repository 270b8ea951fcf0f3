/* run_volumes: see run_volumes.h. The list: "SVL1", a count, and for each volume the path of its host directory or file and the mount point, both
 * with their length in front, and the key; numbers are 32 bits, big endian. src/runtime/volumes_open.c reads it. */
#include "cli/run_volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/volume_key.h"
#include "cli/volume_session.h"
#include "core/buf.h"
#include "core/secret.h"

#define LIST_MAGIC 0x53564c31u
#define LIST_MAX (256 * 1024)
#define DEFAULT_SIZE ((uint64_t)16 << 30)
#define SYSTEM_DIRS                                                                                          \
	{                                                                                                    \
		"/proc", "/dev", "/sys"                                                                      \
	}

struct wanted {
	char *host; /* absolute */
	char *at; /* mount point: absolute, without "." and the like */
	bool exists;
};

static void wanted_free(struct wanted *w)
{
	free(w->host);
	free(w->at);
}

static int check_mount_point(const char *at, struct error *err)
{
	static const char *const dirs[] = SYSTEM_DIRS;

	if (at[0] != '/' || !at[1])
		return error_set(err, ERR_INPUT, "mount point '%s': an absolute path below / is wanted", at);
	for (const char *p = at; *p; p += strcspn(p, "/")) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return error_set(
				err, ERR_INPUT, "mount point '%s': '.' and '..' are not possible", at);
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		size_t n = strlen(dirs[i]);

		if (strncmp(at, dirs[i], n) == 0 && (!at[n] || at[n] == '/'))
			return error_set(err, ERR_INPUT, "mount point '%s': %s is the kernel's", at, dirs[i]);
	}
	return 0;
}

/* Without doubled slashes and without one at the end. */
static char *tidy(const char *at)
{
	char *ret = strdup(at), *to = ret;

	for (const char *p = ret; p && *p; p++)
		if (*p != '/' || (p[1] && p[1] != '/'))
			*to++ = *p;
	if (ret)
		*to = '\0';
	return ret;
}

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "no memory");
}

/* Is a volume there? An empty directory, an empty file and a path that does not exist are places for a new one. */
static int look(struct wanted *w, struct error *err)
{
	char file[VOLUME_FILE_PATH_MAX];
	struct dirent *e;
	struct stat st;
	bool empty = true;
	DIR *d;

	if (stat(w->host, &st))
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "volume %s", w->host);
	if (!S_ISDIR(st.st_mode)) {
		w->exists = !S_ISREG(st.st_mode) || st.st_size > 0;
		return 0;
	}
	if ((size_t)snprintf(file, sizeof(file), "%s/%s", w->host, VOLUME_FILE_NAME) >= sizeof(file))
		return error_set(err, ERR_INPUT, "volume %s: the path is too long", w->host);
	if (!stat(file, &st)) {
		w->exists = st.st_size > 0;
		return 0;
	}
	d = opendir(w->host);
	if (!d)
		return error_set_errno(err, errno, "volume %s", w->host);
	while (empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	closedir(d);
	return empty ? 0
		     : error_set(err, ERR_INPUT,
			       "%s holds no volume (%s) and is not empty: an empty directory is wanted for a "
			       "new one",
			       w->host, VOLUME_FILE_NAME);
}

static int parse(const char *arg, struct wanted *ret, struct error *err)
{
	const char *colon = strrchr(arg, ':');
	char *host, *cwd = NULL;

	if (!colon || colon == arg)
		return error_set(err, ERR_INPUT, "--volume %s: HOSTDIR:/MOUNT is wanted", arg);
	if (check_mount_point(colon + 1, err))
		return error_wrap(err, "--volume %s", arg);
	host = strndup(arg, (size_t)(colon - arg));
	ret->at = tidy(colon + 1);
	if (host && host[0] != '/' && (cwd = getcwd(NULL, 0))) {
		if (asprintf(&ret->host, "%s/%s", cwd, host) < 0)
			ret->host = NULL;
		free(host);
	} else {
		ret->host = host;
	}
	free(cwd);
	if (!ret->host || !ret->at)
		return no_memory(err);
	return look(ret, err);
}

static int create(const struct wanted *w, const uint8_t key[VOLUME_KEY_LEN], uint64_t size, struct error *err)
{
	struct volume_create_options o = {.size = size,
		.root_mode = 0755,
		.root_uid = (uint32_t)geteuid(),
		.root_gid = (uint32_t)getegid()};

	if (volume_session_create(w->host, key, &o, false, err))
		return -1;
	cli_warn("%s: a new volume was made there, for at most %llu MiB", w->host,
		(unsigned long long)(size >> 20));
	return 0;
}

/* The key. It is made only where all volumes are new: another key than theirs would be of no use to those that exist. */
static int take_key(const struct args *a, const struct wanted *list, size_t n, uint8_t ret[VOLUME_KEY_LEN],
	struct error *err)
{
	const char *file = a->value[OPT_VOLUME_KEY_FILE];
	bool made = false;
	int rc;

	if (!file)
		return error_set(err, ERR_INPUT,
			"--volume wants --volume-key-file FILE: where the key is, or will be");
	for (size_t i = 0; i < n; i++)
		if (list[i].exists)
			return volume_key_read(file, ret, err);
	rc = volume_key_make(file, ret, &made, err);
	if (rc == 0 && made)
		cli_warn("%s is new: who has it reads the volume, and without it nobody does", file);
	return rc;
}

static int sealed_file(const struct buf *b, int *ret_fd, struct error *err)
{
	int fd = memfd_create("scone-volumes", MFD_ALLOW_SEALING);
	ssize_t n;

	if (fd < 0)
		return error_set_errno(err, errno, "memory for the list of volumes");
	n = write(fd, b->data, b->len);
	if (n != (ssize_t)b->len ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
		error_set_errno(err, errno, "memory for the list of volumes");
		close(fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

static int hand_over(const struct wanted *list, size_t n, const uint8_t key[VOLUME_KEY_LEN], int *ret_fd,
	struct error *err)
{
	struct buf b;
	int rc;

	buf_init_secret(&b, LIST_MAX);
	buf_put_u32be(&b, LIST_MAGIC);
	buf_put_u32be(&b, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		buf_put_block(&b, list[i].host, strlen(list[i].host));
		buf_put_block(&b, list[i].at, strlen(list[i].at));
		buf_put(&b, key, VOLUME_KEY_LEN);
	}
	rc = b.failed ? no_memory(err) : sealed_file(&b, ret_fd, err);
	buf_free(&b);
	return rc;
}

int run_volumes(const struct args *a, int *ret_fd, struct error *err)
{
	struct wanted list[CLI_VOLUME_MAX] = {{0}};
	uint64_t size = DEFAULT_SIZE;
	uint8_t key[VOLUME_KEY_LEN];
	int rc = 0;

	*ret_fd = -1;
	if (a->volume_count == 0)
		return 0;
	prctl(PR_SET_DUMPABLE, 0); /* until execve: the key is here */
	if (a->value[OPT_SIZE] && volume_size_parse(a->value[OPT_SIZE], &size, err))
		return error_wrap(err, "--size %s", a->value[OPT_SIZE]);
	for (size_t i = 0; rc == 0 && i < a->volume_count; i++)
		rc = parse(a->volume[i], &list[i], err);
	if (rc == 0)
		rc = take_key(a, list, a->volume_count, key, err);
	for (size_t i = 0; rc == 0 && i < a->volume_count; i++)
		if (!list[i].exists)
			rc = create(&list[i], key, size, err);
	if (rc == 0)
		rc = hand_over(list, a->volume_count, key, ret_fd, err);
	secret_wipe(key, sizeof(key));
	for (size_t i = 0; i < a->volume_count; i++)
		wanted_free(&list[i]);
	return rc ? -1 : 0;
}
