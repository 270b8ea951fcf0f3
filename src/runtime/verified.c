#include "runtime/verified.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "core/encode.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/hash.h"
#include "host/host.h"

static struct manifest manifest;
static bool unmeasured_allowed, generated_allowed;

/* Content of the file that was asked for last: ld.so maps the segments of a file one after the other. verified_get holds the lock until
 * verified_put. */
static struct {
	pthread_mutex_t lock;
	const struct code_entry *entry;
	uint8_t *bytes;
	size_t size;
} last = {.lock = PTHREAD_MUTEX_INITIALIZER};

void verified_start(struct manifest *m, bool allow_unmeasured, bool allow_generated)
{
	manifest = *m;
	memset(m, 0, sizeof(*m));
	unmeasured_allowed = allow_unmeasured;
	generated_allowed = allow_generated;
}

static void path_of(int fd, char ret[PATH_MAX])
{
	char link[64];
	long n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = host_call3(SYS_readlink, (long)link, (long)ret, PATH_MAX - 1);
	ret[host_failed(n) ? 0 : n] = 0;
}

/* By inode, which a link or another name does not change; by path, so that a file put in another's place is compared with it. */
static const struct code_entry *find(int fd, const struct stat *st)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < manifest.count; i++)
		if (manifest.entries[i].dev == st->st_dev && manifest.entries[i].ino == st->st_ino)
			return &manifest.entries[i];
	path_of(fd, path);
	for (size_t i = 0; i < manifest.count; i++)
		if (!strcmp(manifest.entries[i].path, path))
			return &manifest.entries[i];
	return NULL;
}

static int read_all(int fd, uint8_t *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		long got = host_pread(fd, to + done, n - done, (off_t)done);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return -EIO;
		done += (size_t)got;
	}
	return 0;
}

static void forget_last(void)
{
	if (last.bytes)
		host_munmap(last.bytes, last.size);
	last.bytes = NULL;
	last.entry = NULL;
	last.size = 0;
}

static int load(int fd, const struct code_entry *e, size_t size)
{
	uint8_t digest[SHA256_LEN];
	char seen[2 * SHA256_LEN + 1], wanted[2 * SHA256_LEN + 1];
	long at;
	int rc;

	if (!size || size > INT_MAX)
		return -EIO;
	at = host_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host_failed(at))
		return (int)at;
	rc = read_all(fd, (uint8_t *)at, size);
	if (!rc) {
		sha256((void *)at, size, digest);
		if (!secret_equal(digest, e->digest, sizeof(digest))) {
			hex_encode(digest, sizeof(digest), seen);
			hex_encode(e->digest, sizeof(e->digest), wanted);
			log_error("%s: not the code that was attested: digest seen %s, wanted %s", e->path,
				seen, wanted);
			rc = -EACCES;
		}
	}
	if (rc) {
		host_munmap((void *)at, size);
		return rc;
	}
	host_mprotect((void *)at, size, PROT_READ);
	forget_last();
	last.entry = e;
	last.bytes = (uint8_t *)at;
	last.size = size;
	return 0;
}

int verified_get(int fd, const struct stat *st, const uint8_t **ret_bytes, size_t *ret_size)
{
	const struct code_entry *e = find(fd, st);
	int rc = 0;

	if (!e)
		return 0;
	pthread_mutex_lock(&last.lock);
	if (last.entry != e)
		rc = load(fd, e, (size_t)st->st_size);
	if (rc) {
		pthread_mutex_unlock(&last.lock);
		return rc;
	}
	*ret_bytes = last.bytes;
	*ret_size = last.size;
	return 1;
}

void verified_put(void)
{
	pthread_mutex_unlock(&last.lock);
}

int verified_unmeasured(int fd)
{
	char path[PATH_MAX], seen[2 * SHA256_LEN + 1] = "unreadable";
	uint8_t digest[SHA256_LEN];
	uint64_t size;

	if (unmeasured_allowed)
		return 0;
	path_of(fd, path);
	if (!measure_fd(fd, digest, &size, NULL))
		hex_encode(digest, sizeof(digest), seen);
	log_error("%s: code that is not in the manifest (digest seen %s, wanted one of %zu measured files): "
		  "name it with --code, or let the "
		  "service say `code: {unmeasured: allow}`",
		path, seen, manifest.count);
	return -EACCES;
}

int verified_generated(const char *what)
{
	if (generated_allowed)
		return 0;
	log_error("%s: memory that no measured file backs may not become executable unless the service says "
		  "`code: {generated: allow}`",
		what);
	return -EACCES;
}

int verified_encode(struct buf *out)
{
	buf_put_u8(out, unmeasured_allowed);
	buf_put_u8(out, generated_allowed);
	buf_put_u32be(out, (uint32_t)manifest.count);
	for (size_t i = 0; i < manifest.count; i++) {
		const struct code_entry *e = &manifest.entries[i];

		buf_put_u8(out, (uint8_t)e->role);
		buf_put_block(out, e->path, strlen(e->path));
		buf_put(out, e->digest, sizeof(e->digest));
		buf_put_u64be(out, e->dev);
		buf_put_u64be(out, e->ino);
	}
	return out->failed ? -ENOMEM : 0;
}

static int decode_entry(struct rd *in, struct code_entry *e)
{
	size_t n = 0;
	const uint8_t *path, *digest;

	e->role = rd_u8(in);
	path = rd_block(in, PATH_MAX, &n);
	digest = rd_bytes(in, SHA256_LEN);
	e->dev = rd_u64be(in);
	e->ino = rd_u64be(in);
	if (!path || !digest || in->failed)
		return -EBADMSG;
	memcpy(e->digest, digest, SHA256_LEN);
	e->path = strndup((const char *)path, n);
	return e->path ? 0 : -EBADMSG;
}

int verified_decode(struct rd *in)
{
	uint32_t n;

	unmeasured_allowed = rd_u8(in);
	generated_allowed = rd_u8(in);
	n = rd_u32be(in);
	if (in->failed || n > MANIFEST_MAX)
		return -EBADMSG;
	manifest_init(&manifest);
	manifest.entries = calloc(n + 1u, sizeof(struct code_entry));
	if (!manifest.entries)
		return -EBADMSG;
	for (; manifest.count < n; manifest.count++)
		if (decode_entry(in, &manifest.entries[manifest.count]))
			return -EBADMSG;
	return 0;
}

void verified_lock(void)
{
	pthread_mutex_lock(&last.lock);
}

void verified_unlock(void)
{
	pthread_mutex_unlock(&last.lock);
}
