#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "measure/measure.h"

#define HASH_CHUNK (256 * 1024) /* stays in the second-level cache between the copy and the hash */

int measure_fd(int fd, uint8_t ret[SHA256_LEN], uint64_t *ret_size, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot stat the file to measure");
	if (!S_ISREG(st.st_mode))
		return error_set(
			err, ERR_INPUT, "file to measure has mode %o, wanted a regular file", st.st_mode);
	uint8_t *chunk = malloc(HASH_CHUNK);
	struct sha256_ctx *c = chunk ? sha256_new() : NULL;
	if (!c) {
		free(chunk);
		return error_set(err, ERR_NOMEM, "no memory to measure a file");
	}
	uint64_t off = 0;
	ssize_t n;
	int failed = 0;
	while ((n = pread(fd, chunk, HASH_CHUNK, (off_t)off)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			failed = errno;
			break;
		}
		sha256_update(c, chunk, (size_t)n);
		off += (uint64_t)n;
	}
	uint8_t digest[SHA256_LEN];
	sha256_final(c, digest);
	free(chunk);
	if (failed)
		return error_set_errno(err, failed, "cannot read the file to measure at offset %llu",
			(unsigned long long)off);
	memcpy(ret, digest, SHA256_LEN);
	if (ret_size)
		*ret_size = off;
	return 0;
}
