/* scone volume create, info, ls, get, put, verify, resize: one volume, with its key in a file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <dirent.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/verb_volume.h"
#include "cli/volume_key.h"
#include "core/encode.h"
#include "core/secret.h"

#define CHUNK ((size_t)1 << 20)
#define DEFAULT_SIZE ((uint64_t)16 << 30)

int volume_args_key(const struct args *a, uint8_t ret[VOLUME_KEY_LEN], struct error *err)
{
	const char *path = a->value[OPT_VOLUME_KEY_FILE];

	volume_session_protect();
	if (!path)
		return error_set(err, ERR_INPUT, "--volume-key-file FILE is wanted: the key of the volume");
	return volume_key_read(path, ret, err);
}

int volume_args_open(
	const struct args *a, const char *path, bool read_only, struct volume_session *s, struct error *err)
{
	struct volume_session_options o = {.read_only = read_only};
	struct volume_version at_least;
	uint8_t key[VOLUME_KEY_LEN];
	int rc;

	if (a->value[OPT_AT_LEAST]) {
		if (volume_version_parse(a->value[OPT_AT_LEAST], &at_least, err))
			return -1;
		o.at_least = &at_least;
	}
	if (a->value[OPT_SIZE] && volume_size_parse(a->value[OPT_SIZE], &o.max_size, err))
		return -1;
	rc = volume_args_key(a, key, err);
	if (rc == 0)
		rc = volume_session_open(s, path, key, &o, err);
	secret_wipe(key, sizeof(key));
	if (rc == 0 && s->report.superblock_damaged)
		cli_warn("%s: one of its two superblocks is damaged: a commit was cut off, or it was changed",
			path);
	return rc;
}

int volume_fail(const struct args *a, const struct error *err)
{
	return cli_fail(a, volume_exit_code(err), err, NULL);
}

int volume_args_create(const struct args *a, const char *path, uint64_t size, struct error *err)
{
	struct volume_create_options o = {.size = size,
		.label = a->value[OPT_LABEL],
		.root_mode = 0755,
		.root_uid = (uint32_t)getuid(),
		.root_gid = (uint32_t)getgid()};
	const char *file = a->value[OPT_VOLUME_KEY_FILE];
	uint8_t key[VOLUME_KEY_LEN];
	bool made = false;
	int rc;

	volume_session_protect();
	if (!file)
		return error_set(
			err, ERR_INPUT, "--volume-key-file FILE is wanted: where the key is, or will be");
	if (o.label && strlen(o.label) >= VOLUME_LABEL_MAX)
		return error_set(err, ERR_INPUT, "--label has %zu bytes, at most %d are possible",
			strlen(o.label), VOLUME_LABEL_MAX - 1);
	if (a->value[OPT_SIZE] && volume_size_parse(a->value[OPT_SIZE], &o.size, err))
		return error_wrap(err, "--size %s", a->value[OPT_SIZE]);
	rc = volume_key_make(file, key, &made, err);
	if (rc == 0)
		rc = volume_session_create(path, key, &o, a->value[OPT_FORCE] != NULL, err);
	secret_wipe(key, sizeof(key));
	if (rc == 0 && made)
		cli_warn("%s is new: who has it reads the volume, and without it nobody does", file);
	return rc;
}

int verb_volume_create(const struct args *a)
{
	struct volume_session s = {0};
	struct error err = {0};

	if (volume_args_create(a, a->operands[0], DEFAULT_SIZE, &err) ||
		volume_args_open(a, a->operands[0], true, &s, &err))
		return volume_fail(a, &err);
	return volume_print(a, &s);
}

/* --- info --- */

static json_t *info_json(struct volume_session *s)
{
	char id[2 * VOLUME_ID_LEN + 1], version[VOLUME_VERSION_TEXT];
	struct volume_statfs f;

	volume_statfs_get(s->v, &f);
	hex_encode(f.id, sizeof(f.id), id);
	volume_version_text(&s->report.found, version);
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:I,s:b}", "file", s->file.path, "id", id,
		"label", f.label, "size", (json_int_t)f.size, "free", (json_int_t)f.free, "host_bytes",
		(json_int_t)s->file.size, "inodes", (json_int_t)f.inodes, "generation",
		(json_int_t)s->report.found.generation, "version", version, "log_records",
		(json_int_t)s->report.log_records, "superblock_damaged", (int)s->report.superblock_damaged);
}

static int info_text(struct volume_session *s)
{
	char id[2 * VOLUME_ID_LEN + 1], version[VOLUME_VERSION_TEXT], size[16], left[16], host[16];
	struct volume_statfs f;
	char *label;

	volume_statfs_get(s->v, &f);
	hex_encode(f.id, sizeof(f.id), id);
	volume_version_text(&s->report.found, version);
	label = cli_clean(f.label);
	printf("file     %s (%s)\nid       %s\nlabel    %s\nsize     %s, free %s\ninodes   %" PRIu64
	       "\nversion  %s\n",
		s->file.path, progress_bytes(s->file.size, host), id, label ? label : "",
		progress_bytes(f.size, size), progress_bytes(f.free, left), f.inodes, version);
	if (s->report.log_records)
		printf("log      %" PRIu64 " records: it was not closed\n", s->report.log_records);
	free(label);
	return cli_done();
}

int volume_print(const struct args *a, struct volume_session *s)
{
	int code = a->value[OPT_JSON] ? cli_print_json(info_json(s)) : info_text(s);
	struct error err = {0};

	if (volume_session_close(s, &err))
		return volume_fail(a, &err);
	return code;
}

int verb_volume_info(const struct args *a)
{
	struct volume_session s = {0};
	struct error err = {0};

	if (volume_args_open(a, a->operands[0], true, &s, &err))
		return volume_fail(a, &err);
	return volume_print(a, &s);
}

/* --- ls --- */

static const char *const type_names[16] = {[DT_FIFO] = "fifo",
	[DT_CHR] = "character device",
	[DT_DIR] = "directory",
	[DT_BLK] = "block device",
	[DT_REG] = "file",
	[DT_LNK] = "link",
	[DT_SOCK] = "socket"};

static const char *type_of(uint32_t mode)
{
	const char *name = type_names[(mode & S_IFMT) >> 12];

	return name ? name : "unknown";
}

static void mode_text(uint32_t mode, char ret[11])
{
	static const char bits[] = "rwxrwxrwx";
	static const char types[16] = {[DT_FIFO] = 'p',
		[DT_CHR] = 'c',
		[DT_DIR] = 'd',
		[DT_BLK] = 'b',
		[DT_REG] = '-',
		[DT_LNK] = 'l',
		[DT_SOCK] = 's'};

	ret[0] = types[(mode & S_IFMT) >> 12] ? types[(mode & S_IFMT) >> 12] : '?';
	for (int i = 0; i < 9; i++)
		ret[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
	if (mode & S_ISUID)
		ret[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		ret[6] = mode & 010 ? 's' : 'S';
	if (mode & S_ISVTX)
		ret[9] = mode & 01 ? 't' : 'T';
	ret[10] = '\0';
}

struct listing {
	const struct args *a;
	struct volume_session *s;
	json_t *entries; /* NULL: text */
};

static int list_one(struct listing *l, const char *name, const struct volume_attr *v, struct error *err)
{
	char target[VOLUME_SYMLINK_MAX + 1] = "", mode[11], when[32];
	time_t t = (time_t)(v->mtime / 1000000000);
	struct tm tm;
	char *clean, *to;
	long n;

	if (S_ISLNK(v->mode)) {
		n = volume_readlink(l->s->v, v->ino, target, sizeof(target) - 1);
		if (n < 0)
			return volume_session_error(l->s, (int)n, err, "link %s", name);
	}
	if (l->entries) {
		json_t *j = json_pack("{s:s*,s:s,s:i,s:i,s:I,s:I,s:I,s:f,s:I}", "name", name, "type",
			type_of(v->mode), "mode", (int)(v->mode & 07777), "links", (int)v->nlink, "uid",
			(json_int_t)v->uid, "gid", (json_int_t)v->gid, "size", (json_int_t)v->size, "mtime",
			(double)v->mtime / 1e9, "inode", (json_int_t)v->ino);

		if (j && S_ISLNK(v->mode))
			(void)json_object_set_new(j, "target", json_string(target));
		return json_array_append_new(l->entries, j) ? error_set(err, ERR_NOMEM, "no memory") : 0;
	}
	clean = cli_clean(name);
	to = cli_clean(target);
	if (l->a->value[OPT_LONG]) {
		mode_text(v->mode, mode);
		if (!gmtime_r(&t, &tm) || !strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm))
			(void)snprintf(when, sizeof(when), "%" PRId64, (int64_t)t);
		printf("%s %3u %5u %5u %12" PRIu64 " %s ", mode, v->nlink, v->uid, v->gid, v->size, when);
	}
	printf("%s%s%s\n", clean ? clean : "", *target && l->a->value[OPT_LONG] ? " -> " : "",
		l->a->value[OPT_LONG] && to ? to : "");
	free(clean);
	free(to);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct volume_dirent *const *)a)->name,
		(*(const struct volume_dirent *const *)b)->name);
}

/* All entries of a directory; the array and its last element's NULL are the caller's to free. */
static long read_all(struct volume_session *s, uint64_t dir, struct volume_dirent ***ret)
{
	struct volume_dirent e[64], **list = NULL, **grown;
	size_t n = 0, cap = 0;
	uint64_t cookie = 0;
	long got, rc = 0;

	while (rc == 0 && (got = volume_readdir(s->v, dir, cookie, e, 64)) != 0) {
		rc = got < 0 ? got : 0;
		for (long i = 0; i < got && rc == 0; i++) {
			if (!strcmp(e[i].name, ".") || !strcmp(e[i].name, ".."))
				continue;
			if (n == cap) {
				grown = realloc(list, (cap = cap ? 2 * cap : 64) * sizeof(*list));
				list = grown ? grown : list;
				rc = grown ? 0 : -ENOMEM;
			}
			if (rc == 0 && !(list[n] = malloc(sizeof(e[i]))))
				rc = -ENOMEM;
			if (rc == 0)
				*list[n++] = e[i];
		}
		cookie = got > 0 ? e[got - 1].cookie : cookie;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_name);
	*ret = list;
	if (rc == 0)
		return (long)n;
	while (n)
		free(list[--n]);
	free(list);
	*ret = NULL;
	return rc;
}

static int list_directory(
	struct listing *l, const struct volume_attr *dir, const char *path, struct error *err)
{
	struct volume_dirent **list;
	struct volume_attr v;
	long n = read_all(l->s, dir->ino, &list);
	int rc = 0, e;

	if (n < 0)
		return volume_session_error(l->s, (int)n, err, "%s", path);
	for (long i = 0; i < n; i++) {
		if (rc == 0) {
			e = volume_getattr(l->s->v, list[i]->ino, &v);
			rc = e ? volume_session_error(l->s, e, err, "%s/%s", path, list[i]->name)
			       : list_one(l, list[i]->name, &v, err);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

int verb_volume_ls(const struct args *a)
{
	const char *path = a->count > 1 ? a->operands[1] : "/";
	struct volume_session s = {0};
	struct listing l = {a, &s, a->value[OPT_JSON] ? json_array() : NULL};
	struct error err = {0};
	struct volume_attr v;
	int rc;

	if (volume_args_open(a, a->operands[0], true, &s, &err)) {
		json_decref(l.entries);
		return volume_fail(a, &err);
	}
	rc = volume_session_find(&s, path, &v, &err);
	if (rc == 0)
		rc = S_ISDIR(v.mode) ? list_directory(&l, &v, path, &err) : list_one(&l, path, &v, &err);
	volume_session_drop(&s);
	if (rc) {
		json_decref(l.entries);
		return volume_fail(a, &err);
	}
	return l.entries ? cli_print_json(json_pack("{s:s,s:o}", "path", path, "entries", l.entries))
			 : cli_done();
}

/* --- get, put --- */

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR && !stop_signal())
			continue;
		if (put <= 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

static int stopped(struct error *err)
{
	return error_set(err, ERR_CONFLICT, "stopped by signal %d", stop_signal());
}

static int get(struct volume_session *s, const char *path, const char *to, struct error *err)
{
	uint8_t *chunk = malloc(CHUNK);
	struct progress p;
	struct volume_attr v;
	uint64_t off = 0;
	long n = 0;
	int fd = -1,
	    rc = chunk ? volume_session_find(s, path, &v, err) : error_set(err, ERR_NOMEM, "no memory");

	if (rc == 0 && !S_ISREG(v.mode))
		rc = error_set(err, ERR_INPUT, "%s is a %s, wanted a file", path, type_of(v.mode));
	if (rc == 0) {
		fd = strcmp(to, "-") ? open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
				     : STDOUT_FILENO;
		if (fd < 0)
			rc = error_set_errno(err, errno, "%s", to);
	}
	progress_begin(&p, "get", v.size);
	while (rc == 0 && (n = volume_read(s->v, v.ino, off, chunk, CHUNK)) > 0) {
		if (stop_signal())
			rc = stopped(err);
		else if (write_all(fd, chunk, (size_t)n))
			rc = error_set_errno(err, errno, "%s", fd == STDOUT_FILENO ? "standard output" : to);
		off += (uint64_t)n;
		progress_set(&p, off);
	}
	progress_end(&p);
	if (rc == 0 && n < 0)
		rc = volume_session_error(s, (int)n, err, "%s", path);
	if (fd > STDERR_FILENO && close(fd) && rc == 0)
		rc = error_set_errno(err, errno, "%s", to);
	if (chunk)
		secret_wipe(chunk, CHUNK);
	free(chunk);
	return rc;
}

int verb_volume_get(const struct args *a)
{
	struct volume_session s = {0};
	struct error err = {0};
	int rc;

	stop_install();
	rc = volume_args_open(a, a->operands[0], true, &s, &err);
	if (rc == 0) {
		rc = get(&s, a->operands[1], a->count > 2 ? a->operands[2] : "-", &err);
		volume_session_drop(&s);
	}
	if (rc)
		return volume_stopped(volume_fail(a, &err));
	return a->value[OPT_JSON] && a->count > 2 ? cli_print_json(json_pack("{s:s,s:s}", "path",
							    a->operands[1], "file", a->operands[2]))
						  : CLI_OK;
}

/* The directory and last component of a path. */
static int split(struct volume_session *s, const char *path, struct volume_attr *ret_dir,
	const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);
	int rc;

	*ret_name = slash ? slash + 1 : path;
	if (!dir)
		return error_set(err, ERR_NOMEM, "no memory");
	rc = volume_session_find(s, dir, ret_dir, err);
	free(dir);
	if (rc == 0 && (!**ret_name || strlen(*ret_name) > VOLUME_NAME_MAX))
		rc = error_set(err, ERR_INPUT, "%s ends in no name of 1 to %d bytes", path, VOLUME_NAME_MAX);
	return rc;
}

static int copy_in(struct volume_session *s, uint64_t ino, int fd, const char *from, struct error *err)
{
	uint8_t *chunk = malloc(CHUNK);
	struct progress p;
	struct stat st;
	uint64_t off = 0;
	int rc = 0;

	if (!chunk)
		return error_set(err, ERR_NOMEM, "no memory");
	progress_begin(&p, "put", fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
	while (rc == 0) {
		ssize_t n = read(fd, chunk, CHUNK);
		long put;

		if (stop_signal())
			rc = stopped(err);
		else if (n < 0)
			rc = errno == EINTR ? 0 : error_set_errno(err, errno, "%s", from);
		else if (n == 0)
			break;
		for (ssize_t at = 0; rc == 0 && at < n; at += put, off += (uint64_t)put) {
			put = volume_write(s->v, ino, off, chunk + at, (size_t)(n - at), 0, NULL);
			if (put <= 0) {
				rc = volume_session_error(
					s, put ? (int)put : -ENOSPC, err, "write of %s", from);
				break;
			}
		}
		progress_set(&p, off);
	}
	progress_end(&p);
	secret_wipe(chunk, CHUNK);
	free(chunk);
	return rc;
}

/* Name the finished file; what the name has now goes in the same step. */
static int name_it(struct volume_session *s, uint64_t ino, uint64_t dir, const char *name, bool there)
{
	static const char temporary[] = ".openscone.put";
	size_t n = sizeof(temporary) - 1;
	int rc;

	if (!there)
		return volume_link(s->v, ino, dir, name, strlen(name));
	rc = volume_unlink(s->v, dir, temporary, n);
	if (rc == 0 || rc == -ENOENT)
		rc = volume_link(s->v, ino, dir, temporary, n);
	return rc ? rc : volume_rename(s->v, dir, temporary, n, dir, name, strlen(name), 0);
}

/* Under no name until it is whole: a put that is stopped changes nothing. */
static int put_file(
	struct volume_session *s, int fd, const char *from, const char *path, bool replace, struct error *err)
{
	struct volume_new what = {
		.mode = S_IFREG | 0600, .uid = (uint32_t)getuid(), .gid = (uint32_t)getgid()};
	struct volume_attr dir, made, there;
	const char *name = NULL;
	struct stat st;
	int rc;

	if (fstat(fd, &st))
		return error_set_errno(err, errno, "%s", from);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_INPUT, "%s is a directory: scone volume encrypt takes trees", from);
	if (split(s, path, &dir, &name, err))
		return -1;
	rc = volume_lookup(s->v, dir.ino, name, strlen(name), 0, &there);
	if (rc == 0 && !replace)
		return error_set(err, ERR_EXISTS, "%s exists already; --force replaces it", path);
	if (rc && rc != -ENOENT)
		return volume_session_error(s, rc, err, "%s", path);
	if (S_ISREG(st.st_mode))
		what.mode = S_IFREG | (st.st_mode & 07777);
	replace = rc == 0;
	rc = volume_make_unnamed(s->v, &what, &made);
	if (rc)
		return volume_session_error(s, rc, err, "%s", path);
	if (copy_in(s, made.ino, fd, from, err)) {
		rc = volume_release(s->v, made.ino, 1); /* and with that it is gone: it has no name */
		return -1;
	}
	rc = name_it(s, made.ino, dir.ino, name, replace);
	if (volume_release(s->v, made.ino, 1) == 0 && rc == 0)
		return 0;
	return volume_session_error(s, rc, err, "%s", path);
}

static int put(struct volume_session *s, const char *from, const char *path, bool replace, struct error *err)
{
	int fd = strcmp(from, "-") ? open(from, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, rc;

	if (fd < 0) {
		error_set_errno(err, errno, "%s", from);
		err->code = errno == ENOENT ? ERR_NOT_FOUND : err->code;
		return -1;
	}
	rc = put_file(s, fd, from, path, replace, err);
	if (fd != STDIN_FILENO)
		close(fd);
	return rc;
}

int verb_volume_put(const struct args *a)
{
	struct volume_session s = {0};
	struct error err = {0}, closing = {0};
	int rc;

	stop_install();
	rc = volume_args_open(a, a->operands[0], false, &s, &err);
	if (rc == 0) {
		rc = put(&s, a->operands[1], a->operands[2], a->value[OPT_FORCE] != NULL, &err);
		if (volume_session_close(&s, &closing) && rc == 0) {
			err = closing;
			rc = -1;
		}
	}
	if (rc)
		return volume_stopped(volume_fail(a, &err));
	return a->value[OPT_JSON] ? cli_print_json(json_pack("{s:s}", "path", a->operands[2])) : CLI_OK;
}

int volume_stopped(int code)
{
	return code && stop_signal() ? 128 + stop_signal() : code;
}
