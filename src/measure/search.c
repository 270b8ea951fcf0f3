#include "measure/search.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "measure/elf.h"

#define PATH_LIMIT 4096
#define DST_LIB "lib/x86_64-linux-gnu" /* $LIB */

static const char *const glibc_dirs = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib:/usr/lib";
static const char *const musl_dirs = "/lib:/usr/local/lib:/usr/lib";

/* Whole file, at most max bytes. *ret NULL: it does not exist. */
static int read_file(const char *path, size_t max, void **ret, size_t *ret_n, struct error *err)
{
	struct stat st;
	*ret = NULL;
	*ret_n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES
			       ? 0
			       : error_set_errno(err, errno, "cannot open %s", path);
	char *p = NULL;
	int rc = -1;
	if (fstat(fd, &st) < 0) {
		error_set_errno(err, errno, "cannot stat %s", path);
	} else if (!S_ISREG(st.st_mode) || st.st_size < 0 || (size_t)st.st_size > max) {
		error_set(err, ERR_INPUT,
			"%s: %lld bytes, mode %o: wanted a regular file of at most %zu bytes", path,
			(long long)st.st_size, st.st_mode, max);
	} else if (!(p = malloc((size_t)st.st_size + 1))) {
		error_set(err, ERR_NOMEM, "no memory for the %lld bytes of %s", (long long)st.st_size, path);
	} else {
		size_t n = 0;
		ssize_t got = 0;
		while (n < (size_t)st.st_size && (got = read(fd, p + n, (size_t)st.st_size - n)) != 0) {
			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0)
				break;
			n += (size_t)got;
		}
		if (got < 0) {
			error_set_errno(err, errno, "cannot read %s", path);
		} else {
			p[n] = '\0';
			*ret = p;
			*ret_n = n;
			p = NULL;
			rc = 0;
		}
	}
	free(p);
	close(fd);
	return rc;
}

void dir_list_free(struct dir_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->dir[i]);
	free(l->dir);
	*l = (struct dir_list){0};
}

static int dir_list_add(struct dir_list *l, const char *dir, struct error *err)
{
	struct stat st;
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	char **grown = realloc(l->dir, (l->count + 1) * sizeof(*grown));
	char *copy = strdup(dir);
	if (grown)
		l->dir = grown;
	if (!grown || !copy) {
		free(copy);
		return error_set(err, ERR_NOMEM, "no memory for a list of %zu directories", l->count + 1);
	}
	l->dir[l->count++] = copy;
	return 0;
}

/* Length of the token at s ("$NAME" or "${NAME}"), 0 if it is another. */
static size_t token(const char *s, size_t n, const char *name)
{
	size_t len = strlen(name);
	bool braced = n > 1 && s[1] == '{';
	size_t whole = len + (braced ? 3 : 1);
	if (whole > n || strncmp(s + (braced ? 2 : 1), name, len) != 0)
		return 0;
	if (braced)
		return s[whole - 1] == '}' ? whole : 0;
	/* Without braces a name goes as far as letters, digits and _ do. */
	char next = whole < n ? s[whole] : '/';
	bool more = next == '_' || (next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z') ||
		    (next >= 'a' && next <= 'z');
	return more ? 0 : whole;
}

int search_expand_token(
	const struct search *s, const char *text, size_t n, const char *origin, char **ret, struct error *err)
{
	const struct {
		const char *name, *value;
	} tokens[] = {{"ORIGIN", origin}, {"LIB", DST_LIB}, {"PLATFORM", s->hwcaps.platform}};
	char out[PATH_LIMIT];
	size_t len = 0;
	for (size_t i = 0; i < n;) {
		const char *put = text + i;
		size_t put_len = 1, skip = 1;
		for (size_t t = 0; text[i] == '$' && t < 3; t++) {
			size_t k = token(text + i, n - i, tokens[t].name);
			if (k) {
				put = tokens[t].value;
				put_len = strlen(put);
				skip = k;
				break;
			}
		}
		if (len + put_len >= sizeof(out))
			return error_set(err, ERR_LIMIT,
				"library path \"%.100s…\" is %d bytes or longer once $ORIGIN is put in", text,
				PATH_LIMIT);
		memcpy(out + len, put, put_len);
		len += put_len;
		i += skip;
	}
	out[len] = '\0';
	*ret = strdup(out);
	return *ret ? 0 : error_set(err, ERR_NOMEM, "no memory for a library path");
}

/* dir with the subdirectories that the processor allows. */
static int add_with_hwcaps(const struct search *s, const char *dir, struct dir_list *out, struct error *err)
{
	char sub[HWCAPS_DIRS_MAX][HWCAPS_DIR_LEN];
	size_t n = s->kind == LDSO_GLIBC ? hwcaps_subdirs(&s->hwcaps, sub) : 0;
	struct stat st;
	if (stat(dir, &st) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char path[PATH_LIMIT + HWCAPS_DIR_LEN + 2];
		snprintf(path, sizeof(path), "%s/%s", dir, sub[i]);
		if (dir_list_add(out, path, err) < 0)
			return -1;
	}
	return dir_list_add(out, dir, err);
}

int search_expand(
	const struct search *s, const char *list, const char *origin, struct dir_list *ret, struct error *err)
{
	struct dir_list out = {0};
	for (const char *a = list;;) {
		const char *b = strchrnul(a, ':');
		char *dir;
		if (search_expand_token(s, a, (size_t)(b - a), origin, &dir, err) < 0)
			goto fail;
		/* An empty element is the working directory. */
		int rc = add_with_hwcaps(s, dir[0] ? dir : ".", &out, err);
		free(dir);
		if (rc < 0)
			goto fail;
		if (*b == '\0')
			break;
		a = b + 1;
	}
	*ret = out;
	return 0;
fail:
	dir_list_free(&out);
	return -1;
}

/* musl: directories from PREFIX/etc/ld-musl-x86_64.path, where PREFIX/lib/ld-musl-x86_64.so.1 is the interpreter. */
static int musl_system_dirs(struct search *s, const char *interp, struct error *err)
{
	char path[PATH_LIMIT + 32];
	void *text;
	size_t n;
	const char *slash = strrchr(interp, '/');
	const char *prefix_end = slash ? memrchr(interp, '/', (size_t)(slash - interp)) : NULL;
	int prefix = prefix_end ? (int)(prefix_end - interp) : 0;
	snprintf(
		path, sizeof(path), "%.*s/etc/ld-musl-x86_64.path", prefix < PATH_LIMIT ? prefix : 0, interp);
	if (read_file(path, 65536, &text, &n, err) < 0)
		return -1;
	char *p = text;
	for (size_t i = 0; p && i < n; i++)
		if (p[i] == '\n')
			p[i] = i + 1 < n ? ':' : '\0';
	int rc = search_expand(s, p && p[0] ? p : musl_dirs, "/", &s->system, err);
	free(text);
	return rc;
}

int search_init(struct search *s, const char *interp, struct error *err)
{
	*s = (struct search){0};
	hwcaps_detect(&s->hwcaps);
	const char *base = strrchr(interp, '/');
	base = base ? base + 1 : interp;
	s->kind = strncmp(base, "ld-musl-", 8) == 0 ? LDSO_MUSL : LDSO_GLIBC;
	if (s->kind == LDSO_MUSL)
		return musl_system_dirs(s, interp, err);
	if (search_expand(s, glibc_dirs, "/", &s->system, err) < 0 ||
		read_file(LDCACHE_PATH, LDCACHE_MAX, &s->cache_bytes, &s->cache_size, err) < 0)
		goto fail;
	if (s->cache_bytes && ldcache_parse(s->cache_bytes, s->cache_size, &s->cache, err) < 0)
		goto fail;
	return 0;
fail:
	search_free(s);
	return -1;
}

void search_free(struct search *s)
{
	dir_list_free(&s->system);
	free(s->cache_bytes);
	s->cache_bytes = NULL;
	s->cache = (struct ldcache){0};
}

int search_open(const char *path, struct found *ret, struct error *err)
{
	unsigned char head[64];
	struct stat st;
	/* Not blocking: a FIFO in a library directory must not hang the caller. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(fd, head, sizeof(head), 0) : 0;
	if (n < 0) {
		error_set_errno(err, errno, "cannot read %s", path);
		close(fd);
		return -1;
	}
	if (elf_magic(head, (size_t)n) && !elf_is_native(head, (size_t)n)) {
		close(fd);
		return 0;
	}
	if (!elf_magic(head, (size_t)n)) {
		close(fd);
		return error_set(err, ERR_INPUT, "%s is no ELF file, wanted a shared library", path);
	}
	ret->path = strdup(path);
	if (!ret->path) {
		close(fd);
		return error_set(err, ERR_NOMEM, "no memory for a path");
	}
	ret->fd = fd;
	return 1;
}

int search_dirs(const struct dir_list *l, const char *name, struct found *ret, struct error *err)
{
	for (size_t i = 0; i < l->count; i++) {
		char path[2 * PATH_LIMIT];
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", l->dir[i], name) >= sizeof(path))
			return error_set(err, ERR_LIMIT, "path of library \"%.100s\" is too long", name);
		int rc = search_open(path, ret, err);
		if (rc)
			return rc;
	}
	return 0;
}

static bool in_default_dir(const struct search *s, const char *path)
{
	for (size_t i = 0; i < s->system.count; i++) {
		size_t n = strlen(s->system.dir[i]);
		if (strncmp(path, s->system.dir[i], n) == 0 && path[n] == '/')
			return true;
	}
	return false;
}

int search_system(
	const struct search *s, const char *name, bool nodeflib, struct found *ret, struct error *err)
{
	const char *cached = s->cache.p ? ldcache_lookup(&s->cache, name, &s->hwcaps) : NULL;
	if (cached && cached[0] == '/' && !(nodeflib && in_default_dir(s, cached))) {
		int rc = search_open(cached, ret, err);
		if (rc)
			return rc;
	}
	return nodeflib ? 0 : search_dirs(&s->system, name, ret, err);
}
