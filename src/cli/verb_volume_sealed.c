/* scone volume check: is a tree what its manifest says? All of it, one file, or a range of one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/progress.h"
#include "cli/verb_volume.h"
#include "core/encode.h"
#include "shield/fs/sealed_tree.h"

#define LEAVES 16 /* read at once */

struct checking {
	const char *dir;
	int root;
	struct sealed_tree *tree;
	uint8_t *chunk;
	struct progress progress;
	uint64_t bytes, faults;
	json_t *list;
};

PRINTF_LIKE(3, 4) static void differs(struct checking *c, const char *path, const char *fmt, ...)
{
	char text[512], *clean;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->faults++;
	progress_end(&c->progress);
	clean = cli_clean(path);
	fprintf(stderr, "scone: differs: %s/%s: %s\n", c->dir, clean ? clean : "", text);
	free(clean);
	(void)json_array_append_new(c->list, json_pack("{s:s*,s:s}", "path", path, "text", text));
}

/* Path of an entry below the root. Fresh storage. */
static char *path_of(const struct sealed_tree *t, uint32_t id)
{
	const struct sealed_entry *e = sealed_tree_entry(t, id);
	size_t n = 0;
	char *path, *at;

	for (uint32_t i = id; i != SEALED_ROOT; i = sealed_tree_entry(t, i)->parent)
		n += sealed_tree_entry(t, i)->name_len + 1u;
	path = malloc(n + 1);
	if (!path)
		return NULL;
	at = path + n;
	*at = '\0';
	for (uint32_t i = id; i != SEALED_ROOT; i = e->parent) {
		e = sealed_tree_entry(t, i);
		at -= e->name_len;
		memcpy(at, e->name, e->name_len);
		*--at = '/';
	}
	memmove(path, path + (n ? 1 : 0), n ? n : 1);
	return path;
}

static long host_read(void *ctx, uint64_t off, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(*(int *)ctx, (char *)p + done, n - done, (off_t)(off + done));

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
		done += got > 0 ? (size_t)got : 0;
	}
	return (long)done;
}

/* The leaves that [from, to) touches. */
static void check_range(struct checking *c, uint32_t id, const char *path, int fd, uint64_t from, uint64_t to)
{
	const struct sealed_entry *e = sealed_tree_entry(c->tree, id);
	uint64_t leaf;

	to = to < e->size ? (to + SEALED_LEAF - 1) / SEALED_LEAF * SEALED_LEAF : e->size;
	to = to < e->size ? to : e->size;
	for (uint64_t off = from / SEALED_LEAF * SEALED_LEAF; off < to && !stop_signal();) {
		size_t n = to - off < (uint64_t)LEAVES * SEALED_LEAF ? (size_t)(to - off)
								     : (size_t)LEAVES * SEALED_LEAF;
		long got = host_read(&fd, off, c->chunk, n);

		if (got < 0) {
			differs(c, path, "cannot be read: %s", strerror((int)-got));
			return;
		}
		if ((size_t)got < n) {
			differs(c, path, "has %" PRIu64 " bytes, sealed are %" PRIu64, off + (uint64_t)got,
				e->size);
			return;
		}
		if (sealed_tree_verify(c->tree, id, off, c->chunk, n, &leaf))
			differs(c, path, "its content differs in the bytes from %" PRIu64 " on",
				leaf * SEALED_LEAF);
		off += n;
		progress_set(&c->progress, c->bytes += n);
	}
}

static void check_file(struct checking *c, uint32_t id, const char *path, uint64_t from, uint64_t to)
{
	const struct sealed_entry *e = sealed_tree_entry(c->tree, id);
	int fd = openat(c->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		differs(c, path, "cannot be opened as a file: %s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		differs(c, path, "is no file any more");
	} else {
		check_range(c, id, path, fd, from, to);
		if (to >= e->size && (uint64_t)st.st_size > e->size)
			differs(c, path, "has %" PRIu64 " bytes, sealed are %" PRIu64, (uint64_t)st.st_size,
				e->size);
	}
	if (fd >= 0)
		close(fd);
}

static void check_link(struct checking *c, uint32_t id, const char *path)
{
	const struct sealed_entry *e = sealed_tree_entry(c->tree, id);
	char target[SEALED_TARGET_MAX + 2];
	ssize_t n = readlinkat(c->root, path, target, sizeof(target));

	if (n < 0)
		differs(c, path, "is no symbolic link any more: %s", strerror(errno));
	else if ((uint64_t)n != e->size || memcmp(target, e->target, (size_t)n) != 0)
		differs(c, path, "leads to '%.*s', sealed is '%.*s'", (int)n, target, (int)e->size,
			e->target);
}

/* Names that are not sealed. Those that are missing show when they are looked at. */
static void check_names(struct checking *c, uint32_t id, const char *path)
{
	int fd = openat(c->root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint32_t child;

	if (!d) {
		differs(c, path, "cannot be opened as a directory: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			sealed_tree_child(c->tree, id, e->d_name, strlen(e->d_name), &child))
			differs(c, path, "'%s' is in it, and is not sealed", e->d_name);
	closedir(d);
}

static int check_all(struct checking *c, struct error *err)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < sealed_tree_count(c->tree); i++)
		if (sealed_tree_entry(c->tree, i)->type == SEALED_FILE)
			total += sealed_tree_entry(c->tree, i)->size;
	progress_begin(&c->progress, "check", total);
	for (uint32_t i = 0; i < sealed_tree_count(c->tree) && !stop_signal(); i++) {
		char *path = path_of(c->tree, i);

		if (!path)
			return error_set(err, ERR_NOMEM, "no memory");
		switch (sealed_tree_entry(c->tree, i)->type) {
		case SEALED_DIRECTORY:
			check_names(c, i, path);
			break;
		case SEALED_FILE:
			check_file(c, i, path, 0, UINT64_MAX);
			break;
		case SEALED_SYMLINK:
			check_link(c, i, path);
			break;
		}
		free(path);
	}
	progress_end(&c->progress);
	return 0;
}

static int number(const char *text, uint64_t *ret, struct error *err)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || *end || *text < '0' || *text > '9'
		       ? error_set(err, ERR_INPUT, "'%s' is no number of bytes", text)
		       : 0;
}

/* PATH [OFFSET LENGTH] */
static int check_one(struct checking *c, const struct args *a, struct error *err)
{
	const char *path = a->operands[2];
	uint64_t from = 0, n = UINT64_MAX;
	uint32_t id;

	path += strspn(path, "/");
	if (a->count == 4)
		return error_set(err, ERR_INPUT, "an OFFSET needs a LENGTH");
	if (a->count == 5 && (number(a->operands[3], &from, err) || number(a->operands[4], &n, err)))
		return -1;
	if (sealed_tree_find(c->tree, path, strlen(path), &id))
		return error_set(err, ERR_NOT_FOUND, "%s is not in the sealed tree", path);
	if (sealed_tree_entry(c->tree, id)->type != SEALED_FILE)
		return error_set(err, ERR_INPUT, "%s is sealed as something else than a file", path);
	progress_begin(&c->progress, "check", sealed_tree_entry(c->tree, id)->size);
	check_file(c, id, path, from, n > UINT64_MAX - from ? UINT64_MAX : from + n);
	progress_end(&c->progress);
	return 0;
}

/* A private copy: what was verified is what is used, whatever becomes of the file. */
static int load_manifest(
	const struct args *a, const char *path, struct buf *out, struct sealed_tree **ret, struct error *err)
{
	uint8_t root[SHA256_LEN], signer[KEY_HASH_LEN];
	struct sealed_trust trust = {NULL, NULL};

	if (a->value[OPT_ROOT]) {
		if (hex_decode(a->value[OPT_ROOT], strlen(a->value[OPT_ROOT]), root, sizeof(root)))
			return error_set(err, ERR_INPUT, "--root: 64 hex digits are wanted");
		trust.root = root;
	}
	if (a->value[OPT_SIGNER]) {
		if (key_hash_parse(a->value[OPT_SIGNER], strlen(a->value[OPT_SIGNER]), signer, err))
			return error_wrap(err, "--signer");
		trust.signer = signer;
	}
	if (!trust.root && !trust.signer)
		return error_set(
			err, ERR_INPUT, "--signer KEYHASH or --root HEX is wanted: whom or what to trust");
	if (volume_read_file(path, SEALED_MANIFEST_MAX, out, err) ||
		sealed_tree_open(out->data, out->len, &trust, ret, err))
		return error_wrap(err, "%s", path);
	return 0;
}

static int verdict(const struct args *a, struct checking *c)
{
	char hex[2 * SHA256_LEN + 1];
	uint8_t root[SHA256_LEN];
	int code = CLI_OK;

	sealed_tree_root(c->tree, root);
	hex_encode(root, sizeof(root), hex);
	if (a->value[OPT_JSON])
		code = cli_print_json(json_pack("{s:b,s:s,s:I,s:I,s:O}", "verified", c->faults == 0, "root",
			hex, "bytes", (json_int_t)c->bytes, "difference_count", (json_int_t)c->faults,
			"differences", c->list));
	else if (c->faults == 0)
		printf("verified %" PRIu64 " bytes, root %s\n", c->bytes, hex);
	else
		fprintf(stderr, "scone: error: %" PRIu64 " differences\n", c->faults);
	return c->faults ? CLI_DAMAGED : code ? code : cli_done();
}

int verb_volume_check(const struct args *a)
{
	struct checking c = {.dir = a->operands[0], .root = -1, .list = json_array()};
	struct error err = {0};
	struct buf manifest;
	int rc;

	stop_install();
	buf_init(&manifest, SEALED_MANIFEST_MAX);
	c.chunk = malloc((size_t)LEAVES * SEALED_LEAF);
	rc = c.chunk ? load_manifest(a, a->operands[1], &manifest, &c.tree, &err)
		     : error_set(&err, ERR_NOMEM, "no memory");
	if (rc == 0 && (c.root = open(c.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		rc = error_set_errno(&err, errno, "directory %s", c.dir);
		err.code = errno == ENOENT ? ERR_NOT_FOUND : err.code;
	}
	if (rc == 0)
		rc = a->count > 2 ? check_one(&c, a, &err) : check_all(&c, &err);
	if (rc == 0 && stop_signal())
		rc = error_set(&err, ERR_CONFLICT, "stopped by signal %d", stop_signal());
	rc = rc ? volume_stopped(volume_fail(a, &err)) : verdict(a, &c);
	sealed_tree_free(c.tree);
	buf_free(&manifest);
	json_decref(c.list);
	free(c.chunk);
	if (c.root >= 0)
		close(c.root);
	return rc;
}
