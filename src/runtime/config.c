#include "runtime/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/secret.h"
#include "policy/template.h"
#include "runtime/shields.h"
#include "runtime/volume_source.h"

#define NAMES_SHOWN_MAX 400 /* characters of the list of secrets in an error */

void config_free_strings(char **v)
{
	for (size_t i = 0; v && v[i]; i++) {
		secret_wipe(v[i], strlen(v[i]));
		free(v[i]);
	}
	free(v);
}

/* --- arguments and environment --- */

static char *text_of(const struct buf *b, struct error *err)
{
	char *s = NULL;

	if (b->len > 0 && memchr(b->data, '\0', b->len))
		error_set(err, ERR_INPUT,
			"the value holds a NUL byte, which the program could not see the rest behind");
	else if (!(s = calloc(1, b->len + 1)))
		error_set(err, ERR_NOMEM, "no memory for a value of %zu bytes", b->len);
	else if (b->len > 0)
		memcpy(s, b->data, b->len);
	return s;
}

static size_t count_strings(char **v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

static char *host_argument(char **host_argv, bool *used, size_t given, uint32_t n, struct error *err)
{
	char *s;

	if (n >= given) {
		error_set(err, ERR_INPUT, "@@%u needs %u argument%s on the command line, which has %zu", n, n,
			n == 1 ? "" : "s", given - 1);
		return NULL;
	}
	if (used[n]) {
		error_set(err, ERR_INPUT,
			"@@%u is used twice; each argument of the command line may be used once", n);
		return NULL;
	}
	used[n] = true;
	s = strdup(host_argv[n]);
	if (!s)
		error_set(err, ERR_NOMEM, "no memory for argument @@%u", n);
	return s;
}

static int fill_argv(const struct service_config *c, char **host_argv, char **argv, struct error *err)
{
	size_t given = count_strings(host_argv);
	bool *used = calloc(given + 1, sizeof(bool));
	int rc = 0;

	if (!used)
		return error_set(err, ERR_NOMEM, "no memory for arguments");
	if (c->argc == 0 && given > 0 && !(argv[0] = strdup(host_argv[0])))
		rc = error_set(err, ERR_NOMEM, "no memory for arguments");
	for (size_t i = 0; i < c->argc && rc == 0; i++) {
		const struct config_value *v = &c->argv[i];

		argv[i] = v->host ? host_argument(host_argv, used, given > 0 ? given : 1, v->host, err)
				  : text_of(&v->value, err);
		if (!argv[i])
			rc = error_wrap(err, "argument %zu of service %s", i, c->service);
	}
	free(used);
	return rc;
}

/* The value of a host variable; one that is absent counts as empty (session language 4.3). */
static const char *host_variable(char **host_env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; host_env && host_env[i]; i++)
		if (strncmp(host_env[i], name, n) == 0 && host_env[i][n] == '=')
			return host_env[i] + n + 1;
	return "";
}

static char *variable(const struct config_value *v, char **host_env, struct error *err)
{
	char *value = v->host ? strdup(host_variable(host_env, v->name)) : text_of(&v->value, err), *s;
	size_t n = strlen(v->name), len;

	if (!value) {
		if (v->host)
			error_set(err, ERR_NOMEM, "no memory");
		return NULL;
	}
	len = strlen(value);
	s = malloc(n + len + 2);
	if (s) {
		memcpy(s, v->name, n);
		s[n] = '=';
		memcpy(s + n + 1, value, len + 1);
	} else {
		error_set(err, ERR_NOMEM, "no memory for a value of %zu bytes", len);
	}
	secret_wipe(value, len);
	free(value);
	return s;
}

static int fill_env(const struct service_config *c, char **host_env, char **env, struct error *err)
{
	for (size_t i = 0; i < c->envc; i++) {
		const char *name = c->env[i].name;

		if (!name || !*name || strchr(name, '='))
			return error_set(err, ERR_INPUT,
				"variable %zu of service %s has the name '%s'; wanted one without '='", i,
				c->service, name ? name : "");
		env[i] = variable(&c->env[i], host_env, err);
		if (!env[i])
			return error_wrap(err, "variable %s of service %s", name, c->service);
	}
	return 0;
}

/* --- files --- */

struct expansion {
	const struct service_config *config;
	const char *path;
	struct error *err;
};

static bool find_secret(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const struct service_config *c = ((const struct expansion *)arg)->config;

	for (size_t i = 0; i < c->secret_count; i++) {
		const struct config_secret *s = &c->secrets[i];

		if (strlen(s->name) != len || memcmp(s->name, name, len) != 0)
			continue;
		*ret = (struct template_value){.kind = s->kind, .value = s->value.data, .len = s->value.len};
		return true;
	}
	return false;
}

/* Names are no secrets; values never appear. */
static void list_secrets(const struct service_config *c, char *ret, size_t size)
{
	size_t len = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < c->secret_count; i++) {
		size_t n = strlen(c->secrets[i].name);

		if (len + n + 8 > size) {
			memcpy(ret + len, ", ...", 6);
			return;
		}
		if (len > 0) {
			memcpy(ret + len, ", ", 2);
			len += 2;
		}
		memcpy(ret + len, c->secrets[i].name, n + 1);
		len += n;
	}
}

/* For template_each: the first template that cannot be replaced ends the scan, with the file and its line in the error. */
static int check_template(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	struct expansion *x = arg;
	char names[NAMES_SHOWN_MAX];
	struct error why;

	if (template_check(name, len, suffix, slen, line, find_secret, x, &why) == 0)
		return 0;
	if (why.code != ERR_NOT_FOUND)
		return error_set(x->err, why.code, "%s:%d: %s", x->path, line, why.text);
	list_secrets(x->config, names, sizeof(names));
	return error_set(x->err, ERR_NOT_FOUND, "%s:%d: unknown secret %.*s, files of service %s may use: %s",
		x->path, line, (int)(len < 128 ? len : 128), name, x->config->service,
		names[0] ? names : "none");
}

static int expand_file(const struct service_config *c, const char *path, const struct buf *text,
	struct buf *out, struct error *err)
{
	struct expansion x = {.config = c, .path = path, .err = err};

	if (template_each((const char *)text->data, text->len, false, check_template, &x, err))
		return -1;
	if (template_expand((const char *)text->data, text->len, find_secret, &x, false, out, err))
		return error_wrap(err, "%s", path);
	return 0;
}

static int read_all(int fd, const char *path, struct buf *out, struct error *err)
{
	for (;;) {
		uint8_t *room = buf_reserve(out, 65536);
		ssize_t n;

		if (!room)
			return error_set(err, ERR_LIMIT,
				"%s is longer than %u bytes, the limit for an injected file", path,
				INJECTED_FILE_MAX);
		n = read(fd, room, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "read %s", path);
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
}

static int read_host_file(const char *path, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;
	struct stat st;

	if (fd < 0)
		return error_set_errno(err, errno, "%s, into which the session puts secrets", path);
	if (fstat(fd, &st))
		rc = error_set_errno(err, errno, "stat %s", path);
	else if (!S_ISREG(st.st_mode))
		rc = error_set(err, ERR_INPUT,
			"%s, into which the session puts secrets, is not a regular file", path);
	else
		rc = read_all(fd, path, out, err);
	close(fd);
	return rc;
}

/* Path with the links of its directory resolved; false: the directory does not exist. */
static bool resolve_directory(const char *path, char ret[PATH_MAX])
{
	const char *name = strrchr(path, '/') + 1;
	char dir[PATH_MAX];
	size_t dlen = (size_t)(name - path), n = strlen(name), len;

	memcpy(dir, path, dlen);
	dir[dlen] = '\0';
	if (!realpath(dir, ret))
		return false;
	len = strlen(ret);
	if (len + n + 2 > PATH_MAX)
		return false;
	if (ret[len - 1] != '/')
		ret[len++] = '/';
	memcpy(ret + len, name, n + 1);
	return true;
}

/* In a volume: its own attributes, and its name there. Nothing that the host has counts. */
static void describe_inside(
	const struct config_file *f, const struct volume_source *s, struct injected_info *ret)
{
	ret->real = s->path;
	if (f->has_content || !s->found)
		return;
	ret->mode = s->attr.mode & 07777;
	ret->uid = s->attr.uid;
	ret->gid = s->attr.gid;
	ret->mtime = s->attr.mtime / 1000000000;
}

static void describe(const struct config_file *f, const char *path, const struct volume_source *s,
	char real[PATH_MAX], struct injected_info *ret)
{
	struct stat st;

	*ret = (struct injected_info){
		.path = path, .mode = f->mode, .uid = geteuid(), .gid = getegid(), .mtime = time(NULL)};
	if (s->inside) {
		describe_inside(f, s, ret);
		return;
	}
	if (resolve_directory(path, real))
		ret->real = real;
	if (stat(path, &st))
		return;
	ret->has_inode = S_ISREG(st.st_mode);
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	if (f->has_content)
		return;
	ret->from_host = true;
	ret->mode = st.st_mode & 07777;
	ret->uid = st.st_uid;
	ret->gid = st.st_gid;
	ret->mtime = st.st_mtime;
}

static int read_inside(const struct volume_source *s, const char *path, struct buf *out, struct error *err)
{
	int rc = volume_source_read(s, out);

	if (rc == -EFBIG)
		return error_set(err, ERR_LIMIT, "%s is longer than %u bytes, the limit for an injected file",
			path, INJECTED_FILE_MAX);
	return rc ? error_set_errno(err, -rc, "%s in its volume, into which the session puts secrets", path)
		  : 0;
}

static int file_content(const struct service_config *c, const struct config_file *f, const char *path,
	const struct volume_source *s, struct buf *out, struct error *err)
{
	struct buf text;
	int rc;

	if (f->has_content) {
		buf_put(out, f->content.data, f->content.len);
		return out->failed ? error_set(err, ERR_LIMIT,
					     "%s has %zu bytes, more than %u, the limit for an injected file",
					     path, f->content.len, INJECTED_FILE_MAX)
				   : 0;
	}
	buf_init_secret(&text, INJECTED_FILE_MAX + 65536);
	rc = s->inside ? read_inside(s, path, &text, err) : read_host_file(path, &text, err);
	if (rc == 0)
		rc = expand_file(c, path, &text, out, err);
	buf_free(&text);
	return rc;
}

static int add_file(const struct service_config *c, const struct config_file *f, struct injected_table *t,
	struct error *err)
{
	char path[INJECTED_PATH_MAX], real[PATH_MAX];
	struct injected_info info;
	struct volume_source *s;
	struct buf content;
	int rc, added;

	if (injected_normalise(f->path, path, sizeof(path)) < 2)
		return error_set(err, ERR_INPUT, "injected file '%s': wanted an absolute path below %d bytes",
			f->path, INJECTED_PATH_MAX);
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, ERR_NOMEM, "no memory for injected file %s", path);
	rc = volume_source_find(path, s);
	if (rc) {
		free(s);
		return error_set_errno(err, -rc, "injected file %s, in a volume", path);
	}
	buf_init_secret(&content, INJECTED_FILE_MAX);
	rc = file_content(c, f, path, s, &content, err);
	if (rc == 0) {
		describe(f, path, s, real, &info);
		added = injected_add(t, &info, content.data, content.len);
		if (added == -EEXIST)
			rc = error_set(err, ERR_CONFLICT, "injected file %s is given twice", path);
		else if (added < 0)
			rc = error_set_errno(err, -added, "injected file %s", path);
	}
	buf_free(&content);
	free(s);
	return rc;
}

static int add_files(const struct service_config *c, struct injected_table **ret, struct error *err)
{
	struct injected_table *t = NULL;
	int rc = injected_new(&shields_memory, &t);

	if (rc < 0)
		return error_set_errno(err, -rc, "make the table of injected files");
	for (size_t i = 0; i < c->file_count; i++) {
		if (add_file(c, &c->files[i], t, err)) {
			injected_free(t);
			return -1;
		}
	}
	*ret = t;
	return 0;
}

int config_apply(const struct service_config *c, char **host_argv, char **host_env, char ***ret_argv,
	char ***ret_env, char **ret_pwd, struct injected_table **ret, struct error *err)
{
	char **argv = calloc((c->argc ? c->argc : 1) + 1, sizeof(char *));
	char **env = calloc(c->envc + 1, sizeof(char *));
	char *pwd = c->pwd ? strdup(c->pwd) : NULL;
	int rc;

	if (!argv || !env || (c->pwd && !pwd))
		rc = error_set(
			err, ERR_NOMEM, "no memory for %zu arguments and %zu variables", c->argc, c->envc);
	else
		rc = fill_argv(c, host_argv, argv, err) || fill_env(c, host_env, env, err) ||
				     add_files(c, ret, err)
			     ? -1
			     : 0;
	if (rc) {
		config_free_strings(argv);
		config_free_strings(env);
		free(pwd);
		return -1;
	}
	*ret_argv = argv;
	*ret_env = env;
	*ret_pwd = pwd;
	return 0;
}
