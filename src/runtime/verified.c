#include "runtime/verified.h"

#include <errno.h>
#include <fcntl.h>
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
#include "host/arena.h"
#include "host/host.h"

static struct manifest manifest;
static bool unmeasured_allowed, generated_allowed;

#define KEPT_MAX 64

/* The content of a file in memory, and its digest as it was when it was hashed. */
struct content {
	dev_t dev; /* of the file */
	ino_t ino;
	uint8_t digest[SHA256_LEN];
	const uint8_t *bytes; /* NULL: not mapped */
	size_t size; /* 0: there is none */
	int fd; /* memory file, out of the program's way; mem_ino tells whether the program has put another in its place */
	ino_t mem_ino;
};

/* Of the file that was asked for last: ld.so maps the segments of a file one after the other. verified_get holds the lock until
 * verified_put. kept: of files that were measured and not asked for yet. */
static struct {
	pthread_mutex_t lock;
	const struct code_entry *entry;
	struct content last, kept[KEPT_MAX];
	uint32_t kept_count;
	bool any; /* something is in last or kept */
} held = {.lock = PTHREAD_MUTEX_INITIALIZER};

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

static void content_unmap(struct content *c)
{
	if (c->bytes)
		host_munmap((void *)c->bytes, c->size);
	c->bytes = NULL;
}

static bool content_is_there(const struct content *c)
{
	struct stat st;

	return c->size && !host_fstat(c->fd, &st) && st.st_ino == c->mem_ino;
}

static void content_drop(struct content *c)
{
	content_unmap(c);
	if (content_is_there(c))
		host_close(c->fd);
	*c = (struct content){0};
}

static int content_map(struct content *c)
{
	long at = host_mmap(NULL, c->size, PROT_READ, MAP_SHARED, c->fd, 0);

	if (host_failed(at))
		return (int)at;
	c->bytes = (const uint8_t *)at;
	return 0;
}

/* For file systems whose files cannot be sent. */
static int copy_by_hand(int mem, int fd, size_t size)
{
	uint8_t chunk[16384];
	size_t done = 0;

	while (done < size) {
		long n = host_pread(fd, chunk, sizeof(chunk), (off_t)done), out = 0;

		for (long w; out < n; out += w)
			if ((w = host_write(mem, chunk + out, (size_t)(n - out))) <= 0)
				return w ? (int)w : -EIO;
		if (n < 0 && n != -EINTR)
			return (int)n;
		if (!n)
			return -EIO;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int copy(int mem, int fd, size_t size)
{
	int64_t from = 0;

	while ((size_t)from < size) {
		long n = host_call4(SYS_sendfile, mem, fd, (long)&from, (long)(size - (size_t)from));

		if (n == -EINVAL && !from)
			return copy_by_hand(mem, fd, size);
		if (n <= 0 && n != -EINTR)
			return n ? (int)n : -EIO;
	}
	return 0;
}

/* A memory file of size bytes with the content of fd, that nobody can write any more. Answers its descriptor or -errno. */
static int copy_file(int fd, size_t size)
{
	long mem = host_call2(SYS_memfd_create, (long)"code", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	if (host_failed(mem))
		return (int)mem;
	rc = copy((int)mem, fd, size);
	if (!rc)
		rc = host_call3(SYS_fcntl, mem, F_ADD_SEALS,
			F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	if (!rc)
		return arena_hide((int)mem);
	host_close((int)mem);
	return (int)rc;
}

static int content_read(int fd, const struct stat *st, struct content *ret)
{
	size_t size = (size_t)st->st_size;
	struct stat mem;
	int rc;

	if (!size || size > INT_MAX)
		return -EIO;
	*ret = (struct content){.dev = st->st_dev, .ino = st->st_ino, .size = size};
	ret->fd = copy_file(fd, size);
	if (ret->fd < 0)
		return ret->fd;
	rc = (int)host_fstat(ret->fd, &mem);
	if (!rc)
		rc = content_map(ret);
	if (rc) {
		host_close(ret->fd);
		return rc;
	}
	ret->mem_ino = mem.st_ino;
	sha256(ret->bytes, size, ret->digest);
	return 0;
}

int verified_measure(int fd, uint8_t ret[SHA256_LEN], uint64_t *ret_size, struct error *err)
{
	struct content c;
	struct stat st;

	/* What cannot be kept is read again when it is mapped. */
	if (held.kept_count == KEPT_MAX || host_fstat(fd, &st) || !S_ISREG(st.st_mode) ||
		content_read(fd, &st, &c))
		return measure_fd(fd, ret, ret_size, err);
	memcpy(ret, c.digest, SHA256_LEN);
	if (ret_size)
		*ret_size = c.size;
	/* LAS gives no evidence to a process that has anything mapped but the runtime. */
	content_unmap(&c);
	held.kept[held.kept_count++] = c;
	held.any = true;
	return 0;
}

static bool take_kept(const struct code_entry *e, const struct stat *st, struct content *ret)
{
	for (uint32_t i = 0; i < held.kept_count; i++) {
		struct content *c = &held.kept[i];

		if (c->dev != st->st_dev || c->ino != st->st_ino || !content_is_there(c) ||
			!secret_equal(c->digest, e->digest, SHA256_LEN))
			continue;
		*ret = *c;
		*c = (struct content){0};
		return content_map(ret) == 0 || (content_drop(ret), false);
	}
	return false;
}

static int check(const struct code_entry *e, const struct content *c)
{
	char seen[2 * SHA256_LEN + 1], wanted[2 * SHA256_LEN + 1];

	if (secret_equal(c->digest, e->digest, SHA256_LEN))
		return 0;
	hex_encode(c->digest, SHA256_LEN, seen);
	hex_encode(e->digest, SHA256_LEN, wanted);
	log_error("%s: not the code that was attested: digest seen %s, wanted %s", e->path, seen, wanted);
	return -EACCES;
}

static int load(int fd, const struct stat *st, const struct code_entry *e)
{
	struct content c;
	int rc = 0;

	if (!take_kept(e, st, &c))
		rc = content_read(fd, st, &c);
	if (rc)
		return rc;
	rc = check(e, &c);
	if (rc) {
		content_drop(&c);
		return rc;
	}
	content_drop(&held.last);
	held.last = c;
	held.entry = e;
	__atomic_store_n(&held.any, true, __ATOMIC_RELEASE);
	return 0;
}

/* The program may have closed the memory file and opened something else under its number. */
static bool last_is_good(const struct code_entry *e)
{
	return held.entry == e && content_is_there(&held.last);
}

int verified_get(int fd, const struct stat *st, struct verified *ret)
{
	const struct code_entry *e;
	int rc = 0;

	pthread_mutex_lock(&held.lock);
	e = find(fd, st);
	if (e && !last_is_good(e))
		rc = load(fd, st, e);
	if (!e || rc) {
		pthread_mutex_unlock(&held.lock);
		return rc;
	}
	*ret = (struct verified){.bytes = held.last.bytes, .size = held.last.size, .fd = held.last.fd};
	return 1;
}

/* The entry of a program that was adopted before, or a new one at the end. */
static struct code_entry *adopted_entry(const char *path, const uint8_t digest[SHA256_LEN])
{
	struct code_entry *more;

	for (size_t i = 0; i < manifest.count; i++)
		if (!strcmp(manifest.entries[i].path, path) &&
			secret_equal(manifest.entries[i].digest, digest, SHA256_LEN))
			return &manifest.entries[i];
	if (manifest.count == MANIFEST_MAX)
		return NULL;
	more = realloc(manifest.entries, (manifest.count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	manifest.entries = more;
	more += manifest.count;
	*more = (struct code_entry){.role = CODE_EXECUTABLE, .path = strdup(path)};
	memcpy(more->digest, digest, SHA256_LEN);
	return more->path ? &manifest.entries[manifest.count++] : NULL;
}

int verified_adopt(int fd, const char *path)
{
	uint8_t digest[SHA256_LEN];
	struct code_entry *e;
	struct stat st;
	uint64_t size;

	if (host_fstat(fd, &st) || measure_fd(fd, digest, &size, NULL))
		return -EIO;
	pthread_mutex_lock(&held.lock);
	held.entry = NULL;
	e = adopted_entry(path, digest);
	if (e) {
		e->dev = st.st_dev;
		e->ino = st.st_ino;
	}
	pthread_mutex_unlock(&held.lock);
	return e ? 0 : -ENFILE;
}

void verified_put(void)
{
	pthread_mutex_unlock(&held.lock);
}

bool verified_keeps(void)
{
	return __atomic_load_n(&held.any, __ATOMIC_ACQUIRE);
}

void verified_settle(void)
{
	pthread_mutex_lock(&held.lock);
	content_drop(&held.last);
	held.entry = NULL;
	for (uint32_t i = 0; i < held.kept_count; i++)
		content_drop(&held.kept[i]);
	held.kept_count = 0;
	__atomic_store_n(&held.any, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&held.lock);
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
	pthread_mutex_lock(&held.lock);
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
	pthread_mutex_unlock(&held.lock);
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
	pthread_mutex_lock(&held.lock);
}

void verified_unlock(void)
{
	pthread_mutex_unlock(&held.lock);
}
