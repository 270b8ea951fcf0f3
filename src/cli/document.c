/* document: see document.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/docedit.h"
#include "cli/document.h"
#include "policy/session.h"
#include "policy/signature.h"

static int read_file(const char *operand, struct buf *out, struct error *err)
{
	int fd = strcmp(operand, "-") ? open(operand, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	uint8_t block[8192];
	ssize_t n;
	int rc = 0;

	if (fd < 0) {
		error_set_errno(err, errno, "%s cannot be opened", operand);
		if (errno == ENOENT)
			err->code = ERR_NOT_FOUND;
		return -1;
	}
	while (!out->failed && (n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = error_set_errno(err, errno, "%s cannot be read", operand);
			break;
		}
		buf_put(out, block, (size_t)n);
	}
	if (!rc && out->failed)
		rc = error_set(err, ERR_INPUT, "%s is larger than %d bytes", operand, SESSION_TEXT_MAX);
	explicit_bzero(block, sizeof(block));
	if (fd != STDIN_FILENO)
		close(fd);
	return rc;
}

static const char *lookup(void *arg, const char *name)
{
	const struct args *a = arg;
	size_t n = strlen(name);

	for (size_t i = a->set_count; i-- > 0;)
		if (!strncmp(a->set[i], name, n) && a->set[i][n] == '=')
			return a->set[i] + n + 1;
	return a->value[OPT_USE_ENV] ? getenv(name) : NULL;
}

static int substitute(const struct args *a, struct document *d, struct error *err)
{
	struct buf out;

	if (a->value[OPT_NO_SUBSTITUTE])
		return 0;
	buf_init_secret(&out, SESSION_TEXT_MAX);
	if (session_substitute((const char *)d->text.data, d->text.len, lookup, (void *)a, &out, err)) {
		buf_free(&out);
		return -1;
	}
	buf_free(&d->text);
	d->text = out;
	return 0;
}

int document_set(struct document *d, const char *key, const char *value, struct error *err)
{
	struct buf out;

	buf_init_secret(&out, SESSION_TEXT_MAX);
	if (docedit_set((const char *)d->text.data, d->text.len, key, value, &out, err)) {
		buf_free(&out);
		return error_wrap(err, "%s", d->file);
	}
	buf_free(&d->text);
	d->text = out;
	return 0;
}

int document_load(const struct args *a, struct document *ret, struct error *err)
{
	struct document d = {.file = strcmp(a->operands[0], "-") ? a->operands[0] : "<stdin>"};
	const char *name = a->value[OPT_NAME];

	buf_init_secret(&d.text, 3 * SESSION_TEXT_MAX); /* of a signed one, as JSON */
	if (read_file(a->operands[0], &d.text, err))
		goto fail;
	if (!d.text.len) {
		error_set(err, ERR_INPUT, "%s is empty", d.file);
		goto fail;
	}
	d.is_signed = signed_session_looks(d.text.data, d.text.len);
	if (d.is_signed && name) {
		error_set(err, ERR_INPUT, "%s is signed: --name would change it", d.file);
		goto fail;
	}
	if (!d.is_signed && substitute(a, &d, err)) {
		err->code = err->code == ERR_NOT_FOUND
				    ? ERR_INPUT
				    : err->code; /* the variable is missing, not the file */
		error_wrap(err, "%s", d.file);
		goto fail;
	}
	if (name && document_set(&d, "name", name, err))
		goto fail;
	*ret = d;
	return 0;
fail:
	document_free(&d);
	return -1;
}

void document_free(struct document *d)
{
	buf_free(&d->text);
}
