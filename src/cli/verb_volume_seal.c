/* scone volume seal: a read-only tree under a signed Merkle manifest (shield/fs/sealed_tree.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/ftree.h"
#include "cli/identity.h"
#include "cli/progress.h"
#include "cli/verb_volume.h"
#include "core/encode.h"
#include "shield/fs/sealed_tree.h"

#define KEY_PEM_MAX (1u << 20)

/* --- reading whole files --- */

int volume_read_file(const char *path, size_t max, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	uint8_t *p;

	if (fd < 0) {
		error_set_errno(err, errno, "%s", path);
		err->code = errno == ENOENT ? ERR_NOT_FOUND : err->code;
		return -1;
	}
	while ((p = buf_reserve(out, 65536)) && (n = read(fd, p, 65536)) > 0)
		out->len += (size_t)n;
	if (n < 0)
		error_set_errno(err, errno, "%s", path);
	else if (!p)
		error_set(err, ERR_LIMIT, "%s has more than %zu bytes", path, max);
	close(fd);
	return n < 0 || !p ? -1 : 0;
}

static int sign_key(const struct args *a, EVP_PKEY **ret, struct error *err)
{
	const char *path = a->value[OPT_SIGN_KEY];
	struct identity id = {0};
	struct buf pem;
	int rc;

	if (!path) {
		rc = identity_load(true, &id, err);
		if (rc == 0) {
			*ret = id.key;
			id.key = NULL;
		}
		identity_free(&id);
		return rc;
	}
	buf_init_secret(&pem, KEY_PEM_MAX);
	rc = volume_read_file(path, KEY_PEM_MAX, &pem, err);
	if (rc == 0 && key_from_pem((const char *)pem.data, pem.len, ret, err))
		rc = error_wrap(err, "%s", path);
	buf_free(&pem);
	return rc;
}

/* --- seal --- */

struct sealing {
	const char *dir;
	int root;
	struct sealed_build *build;
	char **queue; /* paths of directories, in the order of their entries */
	size_t head, tail, cap;
	struct progress progress;
	uint64_t bytes;
	uint8_t *leaf;
};

static int scan_names(int root, const char *path, struct dirent ***ret)
{
	int fd = openat(root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), n;

	if (fd < 0)
		return -errno;
	n = scandirat(fd, ".", ret, NULL, NULL);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct dirent *const *)a)->d_name, (*(struct dirent *const *)b)->d_name);
}

/* Entries of a directory without "." and ".."; -1 with err. */
static long count_names(struct sealing *s, const char *path, struct error *err)
{
	struct dirent **list;
	int n = scan_names(s->root, path, &list), count = 0;

	if (n < 0)
		return error_set_errno(err, -n, "%s/%s", s->dir, path);
	while (n) {
		count += !is_dots(list[--n]->d_name);
		free(list[n]);
	}
	free(list);
	return count;
}

static int enqueue(struct sealing *s, const char *path, struct error *err)
{
	char **grown;

	if (s->tail == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		grown = realloc(s->queue, s->cap * sizeof(*grown));
		if (!grown)
			return error_set(err, ERR_NOMEM, "no memory for %zu directories", s->cap);
		s->queue = grown;
	}
	s->queue[s->tail] = strdup(path);
	return s->queue[s->tail++] ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

static int seal_content(struct sealing *s, const char *path, uint64_t size, struct error *err)
{
	int fd = openat(s->root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	uint64_t off = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "%s/%s", s->dir, path);
	while (rc == 0 && off < size) {
		size_t want = size - off < SEALED_LEAF ? (size_t)(size - off) : SEALED_LEAF;
		ssize_t n = pread(fd, s->leaf, want, (off_t)off);

		if (stop_signal())
			rc = error_set(err, ERR_CONFLICT, "stopped by signal %d", stop_signal());
		else if (n < 0)
			rc = error_set_errno(err, errno, "%s/%s", s->dir, path);
		else if ((size_t)n != want)
			rc = error_set(err, ERR_CONFLICT, "%s/%s changed while it was sealed", s->dir, path);
		else
			rc = sealed_build_leaf(s->build, s->leaf, want, err);
		off += want;
		progress_set(&s->progress, s->bytes += want);
	}
	close(fd);
	return rc;
}

static int seal_entry(struct sealing *s, const char *path, const char *name, struct error *err)
{
	char target[SEALED_TARGET_MAX + 2];
	struct sealed_entry e = {.name = name, .name_len = (uint16_t)strlen(name)};
	struct stat st;
	ssize_t n;
	long count;

	if (fstatat(s->root, *path ? path : ".", &st, AT_SYMLINK_NOFOLLOW))
		return error_set_errno(err, errno, "%s/%s", s->dir, path);
	e.mode = st.st_mode & 07777;
	e.uid = st.st_uid;
	e.gid = st.st_gid;
	e.mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (S_ISDIR(st.st_mode)) {
		count = count_names(s, path, err);
		if (count < 0)
			return -1;
		e.type = SEALED_DIRECTORY;
		e.count = (uint32_t)count;
		return sealed_build_add(s->build, &e, err) || enqueue(s, path, err) ? -1 : 0;
	}
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(s->root, path, target, sizeof(target));
		if (n < 0)
			return error_set_errno(err, errno, "%s/%s", s->dir, path);
		e.type = SEALED_SYMLINK;
		e.target = target;
		e.size = (uint64_t)n;
		return sealed_build_add(s->build, &e, err);
	}
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT,
			"%s/%s is no file, directory or symbolic link: it cannot be sealed", s->dir, path);
	e.type = SEALED_FILE;
	e.size = (uint64_t)st.st_size;
	return sealed_build_add(s->build, &e, err) || seal_content(s, path, e.size, err) ? -1 : 0;
}

static int seal_directory(struct sealing *s, const char *dir, struct error *err)
{
	struct dirent **list;
	char path[4096];
	int n = scan_names(s->root, dir, &list), rc = 0;

	if (n < 0)
		return error_set_errno(err, -n, "%s/%s", s->dir, dir);
	qsort(list, (size_t)n, sizeof(*list), compare_names);
	for (int i = 0; i < n; i++) {
		if (rc == 0 && !is_dots(list[i]->d_name)) {
			if ((size_t)snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "",
				    list[i]->d_name) >= sizeof(path))
				rc = error_set(err, ERR_LIMIT, "%s/%s: a path has more than %zu bytes",
					s->dir, dir, sizeof(path));
			else
				rc = seal_entry(s, path, list[i]->d_name, err);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

/* As a whole: a reader sees the old manifest or the new one. */
static int write_manifest(const char *path, const struct buf *b, struct error *err)
{
	char temporary[4096];
	int fd, rc = 0;
	size_t at = 0;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return error_set(err, ERR_INPUT, "path of the manifest: over %zu bytes", sizeof(temporary));
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", temporary);
	while (rc == 0 && at < b->len) {
		ssize_t n = write(fd, b->data + at, b->len - at);

		if (n <= 0 && errno != EINTR)
			rc = error_set_errno(err, errno, "%s", temporary);
		at += n > 0 ? (size_t)n : 0;
	}
	if (rc == 0 && (fsync(fd) || rename(temporary, path)))
		rc = error_set_errno(err, errno, "%s", path);
	close(fd);
	if (rc)
		(void)unlink(temporary);
	return rc;
}

static int seal_tree(struct sealing *s, struct error *err)
{
	struct ftree_total total;
	struct ftree t;
	int rc = ftree_host(&t, s->dir, err);

	if (rc)
		return -1;
	rc = ftree_count(&t, NULL, &total, err);
	ftree_free(&t);
	progress_begin(&s->progress, "seal", total.bytes);
	if (rc == 0)
		rc = seal_entry(s, "", "", err);
	while (rc == 0 && s->head < s->tail)
		rc = seal_directory(s, s->queue[s->head++], err);
	progress_end(&s->progress);
	return rc;
}

static const char *manifest_path(const struct args *a, char *b, size_t n)
{
	size_t len = strlen(a->operands[0]);

	if (a->count > 1)
		return a->operands[1];
	while (len > 1 && a->operands[0][len - 1] == '/')
		len--;
	(void)snprintf(b, n, "%.*s.sealed", (int)len, a->operands[0]);
	return b;
}

static int print_tree(const struct args *a, const char *manifest, const uint8_t root[SHA256_LEN],
	const uint8_t signer[KEY_HASH_LEN], uint64_t entries)
{
	char hex[2 * SHA256_LEN + 1], key[KEY_HASH_TEXT_MAX];

	hex_encode(root, SHA256_LEN, hex);
	key_hash_text(signer, key);
	if (a->value[OPT_JSON])
		return cli_print_json(json_pack("{s:s,s:s,s:s,s:I}", "manifest", manifest, "root", hex,
			"signer", key, "entries", (json_int_t)entries));
	printf("root    %s\nsigner  %s\nentries %" PRIu64 "\n", hex, key, entries);
	return cli_done();
}

int verb_volume_seal(const struct args *a)
{
	struct sealing s = {.dir = a->operands[0], .root = -1};
	uint8_t root[SHA256_LEN], signer[KEY_HASH_LEN];
	struct error err = {0};
	EVP_PKEY *key = NULL;
	char path[4096];
	struct buf out;
	int rc;

	stop_install();
	buf_init(&out, SEALED_MANIFEST_MAX + 8192);
	s.leaf = malloc(SEALED_LEAF);
	rc = s.leaf ? sign_key(a, &key, &err) : error_set(&err, ERR_NOMEM, "no memory");
	if (rc == 0)
		rc = key_hash(key, signer, &err) || sealed_build_new(&s.build, &err);
	if (rc == 0 && (s.root = open(s.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		rc = error_set_errno(&err, errno, "directory %s", s.dir);
	if (rc == 0)
		rc = seal_tree(&s, &err) || sealed_build_sign(s.build, key, &out, root, &err) ||
		     write_manifest(manifest_path(a, path, sizeof(path)), &out, &err);
	rc = rc ? volume_stopped(volume_fail(a, &err))
		: print_tree(
			  a, manifest_path(a, path, sizeof(path)), root, signer, sealed_build_count(s.build));
	for (size_t i = 0; i < s.tail; i++)
		free(s.queue[i]);
	free(s.queue);
	free(s.leaf);
	if (s.root >= 0)
		close(s.root);
	sealed_build_free(s.build);
	EVP_PKEY_free(key);
	buf_free(&out);
	return rc;
}
