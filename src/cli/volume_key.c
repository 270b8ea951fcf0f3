/* volume_key: see volume_key.h. */
#include "cli/volume_key.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"

#define TEXT_LEN ((size_t)2 * VOLUME_KEY_LEN)

static int check_owner(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_set_errno(err, errno, "key file %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return error_set(err, ERR_INPUT, "key file %s is no regular file and no pipe", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(err, ERR_ACCESS, "key file %s belongs to user %u, wanted %u or root", path,
			st.st_uid, geteuid());
	if (st.st_mode & 077)
		return error_set(err, ERR_ACCESS, "key file %s has mode %04o: others can use it, wanted 0600",
			path, st.st_mode & 07777);
	return 0;
}

static int parse(const char *path, const uint8_t *p, size_t n, uint8_t ret[VOLUME_KEY_LEN], struct error *err)
{
	if (n == VOLUME_KEY_LEN) {
		memcpy(ret, p, n);
		return 0;
	}
	if (n == TEXT_LEN + 1 && p[TEXT_LEN] == '\n')
		n--;
	if (n == TEXT_LEN && hex_decode((const char *)p, n, ret, VOLUME_KEY_LEN) == 0)
		return 0;
	return error_set(err, ERR_INPUT,
		"key file %s: %zu bytes are no key, wanted 64 hexadecimal digits or 32 bytes", path, n);
}

int volume_key_read(const char *path, uint8_t ret[VOLUME_KEY_LEN], struct error *err)
{
	uint8_t b[TEXT_LEN + 2], key[VOLUME_KEY_LEN];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc;
	size_t n = 0;
	ssize_t got = 0;

	if (fd < 0) {
		error_set_errno(err, errno, "key file %s", path);
		if (errno == ENOENT && err)
			err->code = ERR_NOT_FOUND;
		return -1;
	}
	rc = check_owner(fd, path, err);
	while (rc == 0 && n < sizeof(b) && (got = read(fd, b + n, sizeof(b) - n)) != 0) {
		if (got < 0 && errno != EINTR)
			rc = error_set_errno(err, errno, "key file %s", path);
		else if (got > 0)
			n += (size_t)got;
	}
	close(fd);
	if (rc == 0)
		rc = parse(path, b, n, key, err);
	if (rc == 0)
		memcpy(ret, key, sizeof(key));
	secret_wipe(b, sizeof(b));
	secret_wipe(key, sizeof(key));
	return rc;
}

static int flush_directory(const char *path, struct error *err)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, rc = 0;

	if (!copy)
		return error_set(err, ERR_NOMEM, "no memory");
	if (fd < 0 || fsync(fd))
		rc = error_set_errno(err, errno, "directory of key file %s", path);
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

int volume_key_make(const char *path, uint8_t ret[VOLUME_KEY_LEN], bool *ret_made, struct error *err)
{
	char text[TEXT_LEN + 2];
	uint8_t key[VOLUME_KEY_LEN];
	int fd, rc;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) {
		*ret_made = false;
		return volume_key_read(path, ret, err);
	}
	if (fd < 0)
		return error_set_errno(err, errno, "key file %s cannot be made", path);
	rc = random_bytes(key, sizeof(key), err);
	if (rc == 0) {
		hex_encode(key, sizeof(key), text);
		text[TEXT_LEN] = '\n';
		/* The umask may have taken the owner's rights away. */
		if (fchmod(fd, 0600) || write(fd, text, TEXT_LEN + 1) != (ssize_t)(TEXT_LEN + 1) || fsync(fd))
			rc = error_set_errno(err, errno, "key file %s cannot be written", path);
	}
	close(fd);
	if (rc == 0)
		rc = flush_directory(path, err);
	if (rc == 0) {
		memcpy(ret, key, sizeof(key));
		*ret_made = true;
	} else {
		(void)unlink(path);
	}
	secret_wipe(text, sizeof(text));
	secret_wipe(key, sizeof(key));
	return rc;
}
