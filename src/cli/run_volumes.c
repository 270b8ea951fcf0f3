/* run_volumes: see run_volumes.h. The list: "SVL2", a count, and for each volume or tree the path of its host directory or file and the mount point, both
 * with their length in front; then for a volume a zero byte, the key, and the bytes of its cache (64 bits; 0: as the runtime likes); for a tree a
 * byte 1, the path of its manifest, and for root and signer each a byte that says whether it is wanted, and 32 bytes. Other numbers are 32
 * bits, all big endian. src/runtime/volumes_open.c reads it. */
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
#include "cli/run_trees.h"
#include "cli/volume_key.h"
#include "cli/volume_session.h"
#include "core/buf.h"
#include "core/secret.h"

#define LIST_MAGIC 0x53564c32u
#define LIST_MAX (256 * 1024)
#define DEFAULT_SIZE ((uint64_t)16 << 30)

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
	char *host;

	if (!colon || colon == arg)
		return error_set(err, ERR_INPUT, "--volume %s: HOSTDIR:/MOUNT is wanted", arg);
	if (run_mount_point(colon + 1, err))
		return error_wrap(err, "--volume %s", arg);
	host = strndup(arg, (size_t)(colon - arg));
	ret->at = run_tidy(colon + 1);
	ret->host = host ? run_absolute(host) : NULL;
	free(host);
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

static void put_text(struct buf *b, const char *s)
{
	buf_put_block(b, s, strlen(s));
}

static void put_digest(struct buf *b, bool has, const uint8_t digest[SHA256_LEN])
{
	buf_put_u8(b, has);
	buf_put(b, digest, SHA256_LEN);
}

static void put_tree(struct buf *b, const struct wanted_tree *t)
{
	put_text(b, t->dir);
	put_text(b, t->at);
	buf_put_u8(b, 1);
	put_text(b, t->manifest);
	put_digest(b, t->has_root, t->root);
	put_digest(b, t->has_signer, t->signer);
}

/* What all volumes have in common. */
struct common {
	uint8_t key[VOLUME_KEY_LEN];
	uint64_t size, cache;
};

static int put_volumes(const struct args *a, struct common *c, struct buf *b, struct error *err)
{
	struct wanted list[CLI_VOLUME_MAX] = {{0}};
	size_t n = a->volume_count;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = parse(a->volume[i], &list[i], err);
	if (rc == 0 && n)
		rc = take_key(a, list, n, c->key, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!list[i].exists)
			rc = create(&list[i], c->key, c->size, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		put_text(b, list[i].host);
		put_text(b, list[i].at);
		buf_put_u8(b, 0);
		buf_put(b, c->key, VOLUME_KEY_LEN);
		buf_put_u64be(b, c->cache);
	}
	for (size_t i = 0; i < n; i++)
		wanted_free(&list[i]);
	return rc;
}

static int put_trees(const struct args *a, struct buf *b, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->tree.count; i++) {
		struct wanted_tree t = {0};

		rc = run_tree_parse(a, i, &t, err);
		if (rc == 0)
			put_tree(b, &t);
		run_tree_free(&t);
	}
	return rc;
}

static int parse_sizes(const struct args *a, struct common *c, struct error *err)
{
	const char *size = a->value[OPT_SIZE], *cache = a->value[OPT_VOLUME_CACHE];

	if (size && volume_size_parse(size, &c->size, err))
		return error_wrap(err, "--size %s", size);
	if (cache && volume_size_parse(cache, &c->cache, err))
		return error_wrap(err, "--volume-cache %s", cache);
	if (cache && (c->cache < VOLUME_CACHE_MIN || c->cache > VOLUME_CACHE_MAX))
		return error_set(err, ERR_INPUT, "--volume-cache %s: wanted %uM to %uG", cache,
			VOLUME_CACHE_MIN >> 20, (unsigned int)(VOLUME_CACHE_MAX >> 30));
	return 0;
}

int run_volumes(const struct args *a, int *ret_fd, struct error *err)
{
	struct common c = {.size = DEFAULT_SIZE};
	size_t n = a->volume_count + a->tree.count;
	struct buf b;
	int rc;

	*ret_fd = -1;
	if (n == 0)
		return 0;
	if (n > CLI_VOLUME_MAX)
		return error_set(err, ERR_INPUT, "%zu volumes and trees, at most %d can be mounted", n,
			CLI_VOLUME_MAX);
	prctl(PR_SET_DUMPABLE, 0); /* until execve: the key is here */
	buf_init_secret(&b, LIST_MAX);
	buf_put_u32be(&b, LIST_MAGIC);
	buf_put_u32be(&b, (uint32_t)n);
	rc = parse_sizes(a, &c, err);
	if (rc == 0)
		rc = put_volumes(a, &c, &b, err);
	if (rc == 0)
		rc = put_trees(a, &b, err);
	if (rc == 0)
		rc = b.failed ? no_memory(err) : sealed_file(&b, ret_fd, err);
	buf_free(&b);
	secret_wipe(&c, sizeof(c));
	return rc ? -1 : 0;
}
