#include "wire/collateral_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "crypto/x509_chain.h"

#define ROOT_FILE_MAX (1024 * 1024)
#define PEM "-----BEGIN "

static int cannot(const char *path, const char *what, struct error *err)
{
	int errnum = errno;

	error_set_errno(err, errnum, "%s cannot be %s", path, what);
	if (err && (errnum == ENOENT || errnum == ENOTDIR))
		err->code = ERR_NOT_FOUND;
	return -1;
}

static int read_all(int fd, const char *path, size_t max, struct buf *out, struct error *err)
{
	uint8_t block[8192];
	size_t before = out->len;
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cannot(path, "read", err);
		if (out->len - before + (size_t)n > max)
			return error_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max);
		buf_put(out, block, (size_t)n);
	}
	return out->failed ? error_set(err, ERR_LIMIT, "%s does not fit", path) : 0;
}

int collateral_read(const char *path, size_t max, struct buf *out, struct error *err)
{
	/* Not blocking: a fifo is told to be none below, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
	struct stat st;

	if (fd < 0)
		return cannot(path, "opened", err);
	if (fstat(fd, &st) < 0)
		rc = cannot(path, "examined", err);
	else if (!S_ISREG(st.st_mode))
		rc = error_set(err, ERR_INPUT, "%s is no regular file", path);
	else
		rc = read_all(fd, path, max, out, err);
	close(fd);
	return rc;
}

static int load_file(struct collateral *c, const char *path, struct error *err)
{
	struct buf b;
	int rc;

	buf_init(&b, COLLATERAL_FILE_MAX + 1);
	rc = collateral_read(path, COLLATERAL_FILE_MAX, &b, err);
	if (rc == 0 && collateral_add(c, b.data, b.len, err) < 0)
		rc = error_wrap(err, "%s", path);
	buf_free(&b);
	return rc;
}

static int load_directory(struct collateral *c, const char *path, struct error *err)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort), rc = 0;

	if (n < 0)
		return cannot(path, "read", err);
	for (int i = 0; i < n; i++) {
		struct stat st;
		char *file;

		if (rc == 0 && list[i]->d_name[0] != '.') {
			if (asprintf(&file, "%s/%s", path, list[i]->d_name) < 0) {
				rc = error_set(err, ERR_NOMEM, "no memory");
			} else {
				if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
					rc = load_file(c, file, err);
				free(file);
			}
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

int collateral_load(struct collateral *c, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return cannot(path, "found", err);
	return S_ISDIR(st.st_mode) ? load_directory(c, path, err) : load_file(c, path, err);
}

static bool is_pem(const struct buf *b)
{
	return b->data && memmem(b->data, b->len, PEM, strlen(PEM)) != NULL;
}

int collateral_root(const char *path, uint8_t ret[32], struct error *err)
{
	struct x509_chain chain = {.count = 0};
	EVP_PKEY *key = NULL;
	struct buf b;
	int rc;

	buf_init(&b, ROOT_FILE_MAX);
	rc = collateral_read(path, ROOT_FILE_MAX - 1, &b, err);
	if (rc == 0 && is_pem(&b) && key_public_from_pem((char *)b.data, b.len, &key, NULL) == 0) {
		rc = key_hash(key, ret, err);
	} else if (rc == 0) {
		rc = is_pem(&b) ? x509_chain_from_pem(b.data, b.len, &chain, err)
				: x509_from_der(b.data, b.len, &chain.cert[0], err);
		if (rc == 0 && chain.count == 0)
			chain.count = 1;
		if (rc == 0)
			rc = x509_key_hash(chain.cert[chain.count - 1], ret, err);
	}
	EVP_PKEY_free(key);
	x509_chain_free(&chain);
	buf_free(&b);
	return rc;
}
