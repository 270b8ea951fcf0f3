/* signer: see signer.h. */
#include "cli/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/buf.h"
#include "crypto/key.h"

#define KEY_PEM_MAX 65536

static int read_key(int fd, const char *path, struct buf *out, struct error *err)
{
	struct stat st;
	uint8_t *p;
	ssize_t n = 0;

	if (fstat(fd, &st))
		return error_set_errno(err, errno, "%s", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return error_set(err, ERR_ACCESS,
			"%s has mode %04o: a key is for its owner only, `chmod 600` it", path,
			(unsigned)st.st_mode & 07777);
	while ((p = buf_reserve(out, 4096)) && (n = read(fd, p, 4096)) > 0)
		out->len += (size_t)n;
	if (n < 0)
		return error_set_errno(err, errno, "%s", path);
	return p ? 0 : error_set(err, ERR_INPUT, "%s has more than %d bytes", path, KEY_PEM_MAX);
}

int signer_load(const struct args *a, EVP_PKEY **ret, struct error *err)
{
	const char *path = a->value[OPT_SIGNING_KEY];
	struct buf pem;
	int fd, rc;

	if (!path)
		return error_set(err, ERR_INPUT, "--key FILE is wanted: the private key that signs");
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_set_errno(err, errno, "%s", path);
		err->code = errno == ENOENT ? ERR_NOT_FOUND : err->code;
		return -1;
	}
	buf_init_secret(&pem, KEY_PEM_MAX);
	rc = read_key(fd, path, &pem, err);
	if (!rc && key_from_pem((const char *)pem.data, pem.len, ret, err))
		rc = error_wrap(err, "%s", path);
	buf_free(&pem);
	close(fd);
	return rc;
}
