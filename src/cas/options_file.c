#include "cas/options_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "policy/yaml.h"

static int read_text(const char *path, struct buf *text, struct error *err)
{
	char chunk[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	while (!text->failed && ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)))
		buf_put(text, chunk, n > 0 ? (size_t)n : 0);
	if (n < 0)
		error_set_errno(err, errno, "cannot read %s", path);
	else if (text->failed)
		error_set(err, ERR_LIMIT, "%s: longer than %d bytes, which a configuration may have", path,
			OPTIONS_FILE_MAX);
	close(fd);
	return n < 0 || text->failed ? -1 : 0;
}

static int add(struct options_file *f, const struct ynode *n, const char *name, struct error *err)
{
	struct option_setting *more = reallocarray(f->settings, f->count + 1, sizeof(*more));

	if (!more)
		return error_set(err, ERR_NOMEM, "out of memory");
	f->settings = more;
	more[f->count] =
		(struct option_setting){.name = strdup(name), .value = strdup(n->text), .line = n->line};
	if (!more[f->count].name || !more[f->count].value) {
		free(more[f->count].name);
		free(more[f->count].value);
		return error_set(err, ERR_NOMEM, "out of memory");
	}
	f->count++;
	return 0;
}

static bool is_value(const struct ynode *n, struct diag *d)
{
	if (n->kind == YNODE_SCALAR && !ynode_null(n) && !memchr(n->text, 0, n->len))
		return true;
	ynode_diag(d, n, "E-TYPE", "a %s, wanted a value", ynode_kind_name(n));
	return false;
}

static int take(struct options_file *f, const struct ynode *n, struct diag *d, struct error *err)
{
	int rc = 0;

	if (n->kind != YNODE_LIST)
		return is_value(n, d) ? add(f, n, n->key, err) : 0;
	for (size_t i = 0; i < n->count && !rc; i++)
		if (is_value(n->items[i], d))
			rc = add(f, n->items[i], n->key, err);
	return rc;
}

static int take_all(struct options_file *f, const struct ynode *root, struct diag *d, struct error *err)
{
	int rc = 0;

	if (root->kind != YNODE_MAP) {
		ynode_diag(d, root, "E-TYPE", "a %s, wanted a map from options to values",
			ynode_kind_name(root));
		return 0;
	}
	for (size_t i = 0; i < root->count && !rc; i++)
		rc = take(f, root->items[i], d, err);
	return rc;
}

/* The faults as one error. */
static int refuse(const struct diag *d, const char *path, struct error *err)
{
	struct buf text;

	buf_init(&text, OPTIONS_FILE_MAX);
	diag_format(d, path, &text);
	error_set(err, ERR_INPUT, "%.*s", (int)(text.len ? text.len - 1 : 0),
		text.len ? (const char *)text.data : "");
	buf_free(&text);
	return -1;
}

int options_file_parse(
	const char *text, size_t n, const char *path, struct options_file *ret, struct error *err)
{
	struct ynode *root = NULL;
	struct diag d;
	int rc = 0;

	memset(ret, 0, sizeof(*ret));
	diag_init(&d);
	if (yaml_load(text, n, &root, &d) || d.errors)
		rc = refuse(&d, path, err);
	if (!rc && !ynode_null(root))
		rc = take_all(ret, root, &d, err);
	if (!rc && d.errors)
		rc = refuse(&d, path, err);
	if (rc)
		options_file_free(ret);
	ynode_free(root);
	diag_free(&d);
	return rc;
}

int options_file_read(const char *path, struct options_file *ret, struct error *err)
{
	struct buf text;
	int rc;

	memset(ret, 0, sizeof(*ret));
	buf_init(&text, OPTIONS_FILE_MAX);
	rc = read_text(path, &text, err);
	if (!rc)
		rc = options_file_parse((const char *)text.data, text.len, path, ret, err);
	buf_free(&text);
	return rc;
}

void options_file_free(struct options_file *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->settings[i].name);
		free(f->settings[i].value);
	}
	free(f->settings);
	memset(f, 0, sizeof(*f));
}
