/* scone volume encrypt, decrypt, rekey, backup: whole trees and whole volumes, so that what was stopped goes on. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "cli/ftree.h"
#include "cli/progress.h"
#include "cli/verb_volume.h"
#include "cli/volume_key.h"
#include "core/secret.h"

#define CHUNK ((size_t)1 << 20)
#define COPY_MARK "user.openscone.copy" /* on the root of a volume that is being filled */
#define DECRYPT_MARK ".openscone-decrypt" /* in a directory that is being filled */

static void allow_deep_trees(void)
{
	struct rlimit l;

	/* One descriptor a level. */
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int report(const struct args *a, const char *from, const char *to, const struct ftree_copy_result *r)
{
	char bytes[16];

	if (a->value[OPT_JSON])
		return cli_print_json(json_pack("{s:s,s:s,s:I,s:I,s:I,s:I}", "from", from, "to", to,
			"entries", (json_int_t)r->copied.entries, "bytes", (json_int_t)r->copied.bytes,
			"kept_entries", (json_int_t)r->kept.entries, "kept_bytes",
			(json_int_t)r->kept.bytes));
	printf("%" PRIu64 " entries, %s", r->copied.entries, progress_bytes(r->copied.bytes, bytes));
	if (r->kept.entries)
		printf("; %" PRIu64 " entries, %s, were there already", r->kept.entries,
			progress_bytes(r->kept.bytes, bytes));
	putchar('\n');
	return cli_done();
}

/* --- a volume that is filled --- */

/* An empty volume gets the mark; one with content must have it. */
static int begin_filling(struct volume_session *s, const char *path, struct error *err)
{
	struct volume_dirent e[3];
	char mark[8];
	long rc = volume_xattr_get(s->v, VOLUME_ROOT, COPY_MARK, strlen(COPY_MARK), mark, sizeof(mark));

	if (rc >= 0)
		return 0;
	if (rc == -ENODATA)
		rc = volume_readdir(s->v, VOLUME_ROOT, 0, e, 3);
	if (rc > 2)
		return error_set(
			err, ERR_EXISTS, "volume %s has content that no interrupted copy left", path);
	if (rc >= 0)
		rc = volume_xattr_set(s->v, VOLUME_ROOT, COPY_MARK, strlen(COPY_MARK), "1", 1, 0);
	if (rc >= 0)
		rc = volume_commit(s->v);
	return rc < 0 ? volume_session_error(s, (int)rc, err, "volume %s", path) : 0;
}

/* A volume that an interrupted copy left is no source. */
static int check_filled(struct volume_session *s, const char *path, struct error *err)
{
	char mark[8];
	long rc = volume_xattr_get(s->v, VOLUME_ROOT, COPY_MARK, strlen(COPY_MARK), mark, sizeof(mark));

	if (rc >= 0)
		return error_set(err, ERR_CONFLICT,
			"volume %s is incomplete: a copy into it was interrupted; finish that first", path);
	return rc == -ENODATA ? 0 : volume_session_error(s, (int)rc, err, "volume %s", path);
}

static int fill_volume(struct ftree *from, struct volume_session *s, const char *path, const char *what,
	struct ftree_copy_result *ret, struct error *err)
{
	struct ftree_copy_options o = {.what = what, .durable = UINT64_MAX};
	struct ftree to;

	ftree_volume(&to, s);
	/* The copy itself takes the mark away, with the last of its commits: the original's root has no such attribute. */
	return begin_filling(s, path, err) || ftree_count(from, NULL, &o.total, err) ||
			       ftree_copy(from, &to, &o, ret, err)
		       ? -1
		       : 0;
}

/* --- encrypt --- */

/* Room for the tree: content, entries, what holds them together, and as much again for changes, which take new blocks. */
static uint64_t size_for(const struct ftree_total *t)
{
	uint64_t n = t->bytes + t->entries * 8192;

	return n + n / 2 + ((uint64_t)256 << 20);
}

static int open_or_create(const struct args *a, const char *path, struct ftree *from,
	struct volume_session *s, struct error *err)
{
	struct ftree_total total;
	struct error missing = {0};

	if (volume_args_open(a, path, false, s, &missing) == 0)
		return 0;
	if (missing.code != ERR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	if (ftree_count(from, NULL, &total, err) || volume_args_create(a, path, size_for(&total), err))
		return -1;
	return volume_args_open(a, path, false, s, err);
}

/* The file of a volume inside the tree that is put into it would never end. */
static int check_outside(const char *dir, const char *volume, struct error *err)
{
	char *d = realpath(dir, NULL), *copy = strdup(volume), *v = copy ? realpath(volume, NULL) : NULL;
	int rc = 0;

	if (copy && !v)
		v = realpath(dirname(copy), NULL);
	if (d && v && !strncmp(v, d, strlen(d)) && (v[strlen(d)] == '/' || v[strlen(d)] == '\0'))
		rc = error_set(err, ERR_INPUT, "volume %s lies in the directory %s", volume, dir);
	free(d);
	free(v);
	free(copy);
	return rc;
}

int verb_volume_encrypt(const struct args *a)
{
	const char *dir = a->operands[0], *path = a->operands[1];
	struct ftree_copy_result result = {0};
	struct volume_session s = {.file.fd = -1};
	struct error err = {0}, closing = {0};
	struct ftree from = {0};
	int rc;

	stop_install();
	allow_deep_trees();
	rc = ftree_host(&from, dir, &err);
	if (rc == 0)
		rc = check_outside(dir, path, &err) || open_or_create(a, path, &from, &s, &err) ||
		     fill_volume(&from, &s, path, "encrypt", &result, &err);
	if (s.v && volume_session_close(&s, &closing) && !rc) {
		err = closing;
		rc = -1;
	}
	ftree_free(&from);
	return rc ? volume_stopped(volume_fail(a, &err)) : report(a, dir, path, &result);
}

/* --- decrypt --- */

struct decryption {
	const char *dir;
	int fd; /* of the directory */
};

/* How many entries are on the disk for good. Written as a whole: a crash leaves the old number or the new one. */
static int decrypt_checkpoint(void *ctx, uint64_t entries, struct error *err)
{
	struct decryption *d = ctx;
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", entries);
	int fd = openat(
		d->fd, DECRYPT_MARK ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) ||
		renameat(d->fd, DECRYPT_MARK ".new", d->fd, DECRYPT_MARK) || fsync(d->fd)) {
		error_set_errno(err, errno, "%s/" DECRYPT_MARK, d->dir);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

static int directory_is_empty(struct ftree *to, bool *ret, struct error *err)
{
	struct buf names;
	int rc;

	buf_init(&names, (size_t)1 << 32);
	rc = to->ops->list(to, to->fd, &names);
	*ret = names.len == 0;
	buf_free(&names);
	return rc ? to->ops->explain(to, rc, "", err) : 0;
}

/* An empty directory, or one that an interrupted run was filling; *ret_durable: how far it was. */
static int begin_decryption(struct decryption *d, struct ftree *to, uint64_t *ret_durable, struct error *err)
{
	char text[32] = "";
	bool empty;
	int fd = openat(d->fd, DECRYPT_MARK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		*ret_durable = n > 0 ? strtoull(text, NULL, 10) : 0;
		return 0;
	}
	(void)unlinkat(d->fd, DECRYPT_MARK ".new", 0); /* of a run that was killed as it began */
	if (directory_is_empty(to, &empty, err))
		return -1;
	if (!empty)
		return error_set(err, ERR_EXISTS,
			"directory %s is not empty, and no interrupted run left it so", d->dir);
	*ret_durable = 0;
	return decrypt_checkpoint(d, 0, err);
}

static int decrypt_into(
	struct volume_session *s, const char *dir, struct ftree_copy_result *ret, struct error *err)
{
	struct decryption d = {.dir = dir};
	struct ftree_copy_options o = {
		.what = "decrypt", .skip = DECRYPT_MARK, .checkpoint = decrypt_checkpoint, .ctx = &d};
	struct ftree from, to = {0};
	int rc;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return error_set_errno(err, errno, "directory %s", dir);
	ftree_volume(&from, s);
	if (ftree_host(&to, dir, err))
		return -1;
	d.fd = to.fd;
	rc = begin_decryption(&d, &to, &o.durable, err) || ftree_count(&from, NULL, &o.total, err) ||
	     ftree_copy(&from, &to, &o, ret, err);
	if (!rc) {
		struct ftree_attr a;
		bool removed = unlinkat(d.fd, DECRYPT_MARK, 0) == 0;

		/* Its removal has changed the directory's time. */
		if (!removed || from.ops->lookup(&from, VOLUME_ROOT, "", &a) ||
			to.ops->set_times(&to, d.fd, &a) || fsync(d.fd))
			rc = error_set_errno(err, errno, "%s/" DECRYPT_MARK, dir);
	}
	ftree_free(&to);
	return rc ? -1 : 0;
}

int verb_volume_decrypt(const struct args *a)
{
	const char *path = a->operands[0], *dir = a->operands[1];
	struct ftree_copy_result result = {0};
	struct volume_session s = {.file.fd = -1};
	struct error err = {0};
	int rc;

	stop_install();
	allow_deep_trees();
	rc = volume_args_open(a, path, true, &s, &err);
	if (rc == 0) {
		rc = check_filled(&s, path, &err) || decrypt_into(&s, dir, &result, &err) ? -1 : 0;
		volume_session_drop(&s);
	}
	return rc ? volume_stopped(volume_fail(a, &err)) : report(a, path, dir, &result);
}

/* --- rekey --- */

struct rekeying {
	const struct args *a;
	struct volume_session old, fresh;
	uint8_t key[VOLUME_KEY_LEN];
	char path[VOLUME_FILE_PATH_MAX + 8]; /* of the new volume, beside the old one */
};

static int open_fresh(struct rekeying *r, struct error *err)
{
	struct volume_session_options o = {0};
	struct volume_create_options c = {.root_mode = 0700};
	struct volume_statfs f;
	int fd;

	(void)snprintf(r->path, sizeof(r->path), "%s.rekey", r->old.file.path);
	if (volume_session_open(&r->fresh, r->path, r->key, &o, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return error_wrap(err,
			"%s is there from an interrupted run with another new key; remove it to begin anew",
			r->path);
	volume_statfs_get(r->old.v, &f);
	c.size = f.size;
	c.label = f.label;
	fd = open(r->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "%s cannot be made", r->path);
	close(fd);
	if (volume_session_create(r->path, r->key, &c, false, err)) {
		(void)unlink(r->path);
		return -1;
	}
	return volume_session_open(&r->fresh, r->path, r->key, &o, err);
}

/* The new volume has everything and verifies: now it takes the old one's name. */
static int replace_old(struct rekeying *r, struct error *err)
{
	struct volume_verify_cursor cursor = {0};
	char *copy = strdup(r->path);
	int rc = volume_verify(r->fresh.v, &cursor, NULL, NULL), fd;

	if (rc || !copy) {
		free(copy);
		return volume_session_error(&r->fresh, rc ? rc : -ENOMEM, err, "verification of %s", r->path);
	}
	rc = volume_session_close(&r->fresh, err);
	if (rc == 0 && rename(r->path, r->old.file.path))
		rc = error_set_errno(err, errno, "%s cannot take the place of %s", r->path, r->old.file.path);
	fd = rc ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	free(copy);
	return rc;
}

static int rekey(struct rekeying *r, struct ftree_copy_result *result, struct error *err)
{
	const struct args *a = r->a;
	struct ftree from;
	bool made = false;

	if (!a->value[OPT_NEW_KEY_FILE])
		return error_set(
			err, ERR_INPUT, "--new-key-file FILE is wanted: where the new key is, or will be");
	/* As a writer, so that nobody changes it meanwhile. */
	if (volume_args_open(a, a->operands[0], false, &r->old, err) ||
		check_filled(&r->old, a->operands[0], err))
		return -1;
	if (r->old.file.device)
		return error_set(err, ERR_INPUT,
			"%s is a block device: encrypt to another one and back up instead", a->operands[0]);
	if (volume_key_make(a->value[OPT_NEW_KEY_FILE], r->key, &made, err) || open_fresh(r, err))
		return -1;
	if (made)
		cli_warn("%s is new: from the end of this on it is the volume's key",
			a->value[OPT_NEW_KEY_FILE]);
	ftree_volume(&from, &r->old);
	return fill_volume(&from, &r->fresh, r->path, "rekey", result, err) || replace_old(r, err) ? -1 : 0;
}

int verb_volume_rekey(const struct args *a)
{
	struct rekeying r = {.a = a, .old.file.fd = -1, .fresh.file.fd = -1};
	struct ftree_copy_result result = {0};
	struct error err = {0};
	int rc;

	stop_install();
	allow_deep_trees();
	rc = rekey(&r, &result, &err);
	if (r.fresh.v && rc)
		rc = volume_session_close(&r.fresh, NULL) ? rc
							  : -1; /* what is done is kept for the next run */
	volume_session_drop(&r.old);
	secret_wipe(r.key, sizeof(r.key));
	return rc ? volume_stopped(volume_fail(a, &err)) : report(a, a->operands[0], a->operands[0], &result);
}

/* --- backup --- */

static int copy_file(struct volume_file *from, struct volume_file *to, struct error *err)
{
	uint8_t *chunk = malloc(CHUNK);
	struct progress p;
	char text[VOLUME_FILE_PATH_MAX + 128];
	int rc = chunk ? 0 : error_set(err, ERR_NOMEM, "no memory");

	progress_begin(&p, "backup", from->size);
	for (uint64_t off = 0; rc == 0 && off < from->size;) {
		off_t data = from->device ? (off_t)off : lseek(from->fd, (off_t)off, SEEK_DATA);
		size_t n;

		if (data < 0)
			break;
		off = (uint64_t)data / VOLUME_BLOCK * VOLUME_BLOCK;
		n = from->size - off < CHUNK ? (size_t)(from->size - off) : CHUNK;
		if (stop_signal()) {
			rc = error_set(err, ERR_CONFLICT, "stopped by signal %d", stop_signal());
		} else if (volume_file_read(from, off, chunk, n)) {
			volume_file_failure_text(from, text, sizeof(text));
			rc = error_set(err, ERR_IO, "%s", text);
		} else if (volume_file_write(to, off, chunk, n)) {
			volume_file_failure_text(to, text, sizeof(text));
			rc = error_set(err, ERR_IO, "%s", text);
		}
		off += n;
		progress_set(&p, off);
	}
	progress_end(&p);
	if (rc == 0 && (volume_file_cut(to, from->size) || volume_file_flush(to))) {
		volume_file_failure_text(to, text, sizeof(text));
		rc = error_set(err, ERR_IO, "%s", text);
	}
	free(chunk);
	return rc;
}

/* With the key at hand: the copy opens, and is the state that was copied. */
static int compare_copy(const struct args *a, const struct volume_version *wanted, struct error *err)
{
	char seen_text[VOLUME_VERSION_TEXT], wanted_text[VOLUME_VERSION_TEXT];
	struct volume_session copy = {0};
	struct volume_version seen;

	if (volume_args_open(a, a->operands[1], true, &copy, err))
		return error_wrap(err, "the copy");
	seen = copy.report.found;
	volume_session_drop(&copy);
	if (seen.generation == wanted->generation && secret_equal(seen.tag, wanted->tag, sizeof(seen.tag)))
		return 0;
	volume_version_text(&seen, seen_text);
	volume_version_text(wanted, wanted_text);
	return error_set(err, ERR_CRYPTO, "the copy has version %s, wanted %s", seen_text, wanted_text);
}

/* Beside its place, where it goes when it is whole: whatever stops the copy, nothing half stands under its name. */
static int copy_beside(struct volume_file *from, const char *place, struct error *err)
{
	char path[VOLUME_FILE_PATH_MAX], text[VOLUME_FILE_PATH_MAX + 128];
	struct volume_file part = {.fd = -1};
	int fd, rc;

	if ((size_t)snprintf(path, sizeof(path), "%s.part", place) >= sizeof(path))
		return error_set(err, ERR_INPUT, "%s: the path is too long", place);
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	close(fd);
	if (volume_file_open(&part, path, VOLUME_FILE_CREATE | VOLUME_FILE_REPLACE)) {
		volume_file_failure_text(&part, text, sizeof(text));
		return error_set(err, ERR_IO, "%s", text);
	}
	rc = copy_file(from, &part, err);
	if (rc == 0 && rename(path, place))
		rc = error_set_errno(err, errno, "%s", place);
	if (rc)
		(void)unlink(path);
	volume_file_close(&part);
	return rc;
}

static int backup(
	const struct args *a, struct volume_version *ret_version, uint64_t *ret_bytes, struct error *err)
{
	struct volume_session s = {.file.fd = -1};
	struct volume_file to = {.fd = -1};
	char text[VOLUME_FILE_PATH_MAX + 128];
	int rc;

	if (volume_args_open(a, a->operands[0], true, &s, err))
		return -1;
	*ret_version = s.report.found;
	rc = volume_file_open(&to, a->operands[1], VOLUME_FILE_CREATE);
	if (rc == -EEXIST) {
		rc = error_set(err, ERR_EXISTS, "%s exists already and has content", to.path);
	} else if (rc) {
		volume_file_failure_text(&to, text, sizeof(text));
		rc = error_set(err, ERR_IO, "%s", text);
	} else {
		rc = to.device ? copy_file(&s.file, &to, err) : copy_beside(&s.file, to.path, err);
		if (rc && !to.device)
			(void)unlink(to.path);
		volume_file_close(&to);
	}
	*ret_bytes = s.file.size;
	volume_session_drop(&s);
	return rc ? -1 : compare_copy(a, ret_version, err);
}

int verb_volume_backup(const struct args *a)
{
	char text[VOLUME_VERSION_TEXT];
	struct volume_version version;
	struct error err = {0};
	uint64_t bytes;

	stop_install();
	if (backup(a, &version, &bytes, &err))
		return volume_stopped(volume_fail(a, &err));
	volume_version_text(&version, text);
	if (a->value[OPT_JSON])
		return cli_print_json(json_pack("{s:s,s:s,s:I,s:s}", "from", a->operands[0], "to",
			a->operands[1], "host_bytes", (json_int_t)bytes, "version", text));
	printf("version %s\n", text);
	return cli_done();
}
