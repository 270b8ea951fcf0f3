/* volume_session: see volume_session.h. */
#include "cli/volume_session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "crypto/hash.h"

#define CACHE ((size_t)96 << 20)

void volume_session_protect(void)
{
	struct rlimit none = {0, 0};

	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static int64_t session_clock(void *ctx)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int session_random(void *ctx, void *p, size_t n)
{
	return random_bytes(p, n, NULL) ? -EIO : 0;
}

static void session_fault(void *ctx, const struct volume_fault *f)
{
	struct volume_session *s = ctx;

	if (s->faults++ == 0)
		s->fault = *f;
	if (s->on_fault)
		s->on_fault(s->on_fault_ctx, f);
}

static int session_read(void *ctx, uint64_t off, void *p, size_t n)
{
	return volume_file_read(&((struct volume_session *)ctx)->file, off, p, n);
}

static int session_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	return volume_file_write(&((struct volume_session *)ctx)->file, off, p, n);
}

static int session_flush(void *ctx)
{
	return volume_file_flush(&((struct volume_session *)ctx)->file);
}

static void session_discard(void *ctx, uint64_t off, uint64_t n)
{
	volume_file_discard(&((struct volume_session *)ctx)->file, off, n);
}

static struct volume_env environment(struct volume_session *s)
{
	return (struct volume_env){.ctx = s,
		.read = session_read,
		.write = session_write,
		.flush = session_flush,
		.discard = session_discard,
		.clock = session_clock,
		.random = session_random,
		.fault = session_fault};
}

/* --- errors --- */

static enum err_code code_of(int rc)
{
	switch (-rc) {
	case EBADMSG:
	case ESTALE:
		return ERR_CRYPTO;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EBUSY:
	case ENOTEMPTY:
		return ERR_CONFLICT;
	case EACCES:
	case EPERM:
		return ERR_ACCESS;
	case EINVAL:
	case ENAMETOOLONG:
	case ENOTDIR:
	case EISDIR:
	case EMEDIUMTYPE:
		return ERR_INPUT;
	case EFBIG:
		return ERR_LIMIT;
	case ENOMEM:
		return ERR_NOMEM;
	default:
		return ERR_IO;
	}
}

int volume_session_error(struct volume_session *s, int rc, struct error *err, const char *fmt, ...)
{
	char context[512], why[VOLUME_FILE_PATH_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	if ((rc == -EBADMSG || rc == -ESTALE) && s->faults)
		(void)snprintf(why, sizeof(why), "%s", s->fault.text);
	else if (s->file.failure.operation && s->file.failure.error == -rc)
		volume_file_failure_text(&s->file, why, sizeof(why));
	else if (rc == -ENOSPC)
		(void)snprintf(why, sizeof(why), "the volume is full (scone volume resize makes it larger)");
	else
		(void)snprintf(why, sizeof(why), "%s", strerror(-rc));
	return error_set(err, code_of(rc), "%s: %s", context, why);
}

int volume_exit_code(const struct error *err)
{
	return err->code == ERR_CRYPTO ? CLI_DAMAGED : cli_exit_code(err);
}

/* --- life --- */

/* Flush the directory of path: a name in it has changed. */
static int flush_directory(const char *path, struct error *err)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 || fsync(fd) ? error_set_errno(err, errno, "directory of %s", path) : 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

/* Beside its name, which it gets when it is whole: a crash leaves an empty file or a volume. */
static int create_file(const char *path, const uint8_t key[VOLUME_KEY_LEN],
	const struct volume_create_options *o, struct error *err)
{
	struct volume_session s = {.file.fd = -1};
	struct volume_env env = environment(&s);
	struct volume_version version;
	char beside[VOLUME_FILE_PATH_MAX + 8];
	int fd, rc;

	(void)snprintf(beside, sizeof(beside), "%s.new", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "%s cannot be made", beside);
	close(fd);
	rc = volume_file_open(&s.file, beside, VOLUME_FILE_CREATE | VOLUME_FILE_REPLACE);
	rc = rc ? rc : volume_create(&env, key, o, &version);
	if (rc)
		volume_session_error(&s, rc, err, "volume %s cannot be made", path);
	else if (rename(beside, path))
		rc = error_set_errno(err, errno, "%s cannot be named %s", beside, path);
	volume_file_close(&s.file);
	if (rc)
		(void)unlink(beside);
	return rc ? -1 : flush_directory(path, err);
}

int volume_session_create(const char *path, const uint8_t key[VOLUME_KEY_LEN],
	const struct volume_create_options *o, bool replace, struct error *err)
{
	struct volume_session s = {.file.fd = -1};
	struct volume_env env = environment(&s);
	struct volume_version version;
	int rc = volume_file_open(&s.file, path, VOLUME_FILE_CREATE | (replace ? VOLUME_FILE_REPLACE : 0));

	if (rc == -EEXIST)
		return error_set(err, ERR_EXISTS, "%s exists already and has content", s.file.path);
	if (rc)
		return volume_session_error(&s, rc, err, "volume %s", path);
	if (s.file.device) {
		rc = volume_create(&env, key, o, &version);
		if (rc)
			volume_session_error(&s, rc, err, "volume %s cannot be made", path);
	} else {
		rc = create_file(s.file.path, key, o, err);
	}
	volume_file_close(&s.file);
	return rc ? -1 : 0;
}

static int start_engine(
	struct volume_session *s, const uint8_t key[VOLUME_KEY_LEN], const struct volume_session_options *o)
{
	struct volume_env env = environment(s);
	struct volume_open_options options = {
		.limits.cache = CACHE, .read_only = o->read_only, .at_least = o->at_least};
	struct volume_version version;
	int rc = volume_probe(&env, key, &options.limits.max_size, &version);

	if (rc)
		return rc;
	if (options.limits.max_size < o->max_size)
		options.limits.max_size = o->max_size;
	s->arena_len = volume_arena_size(&options.limits);
	s->arena = mmap(NULL, s->arena_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->arena == MAP_FAILED) {
		s->arena = NULL;
		return -ENOMEM;
	}
	(void)madvise(s->arena, s->arena_len, MADV_DONTDUMP);
	return volume_open(&env, key, s->arena, s->arena_len, &options, &s->v, &s->report);
}

int volume_session_open(struct volume_session *s, const char *path, const uint8_t key[VOLUME_KEY_LEN],
	const struct volume_session_options *o, struct error *err)
{
	struct volume_session fresh = {
		.file.fd = -1, .on_fault = s->on_fault, .on_fault_ctx = s->on_fault_ctx};
	int rc;

	*s = fresh;
	rc = volume_file_open(&s->file, path, o->read_only ? VOLUME_FILE_READ_ONLY : 0);
	if (rc == 0)
		rc = s->file.size ? start_engine(s, key, o) : -ENODATA;
	if (rc == 0)
		return 0;
	if (rc == -ENODATA)
		error_set(err, ERR_NOT_FOUND, "%s holds no volume: it is empty", s->file.path);
	else
		volume_session_error(s, rc, err, "volume %s", path);
	s->v = NULL;
	volume_session_drop(s);
	return -1;
}

static void release(struct volume_session *s)
{
	if (s->arena)
		(void)munmap(s->arena, s->arena_len);
	s->arena = NULL;
	volume_file_close(&s->file);
}

int volume_session_close(struct volume_session *s, struct error *err)
{
	int rc = 0;

	if (s->v)
		rc = volume_close(s->v);
	s->v = NULL;
	if (rc)
		volume_session_error(s, rc, err, "volume %s cannot be closed", s->file.path);
	release(s);
	return rc ? -1 : 0;
}

void volume_session_drop(struct volume_session *s)
{
	if (s->v)
		volume_detach(s->v);
	s->v = NULL;
	release(s);
}

/* --- forms --- */

void volume_version_text(const struct volume_version *v, char ret[VOLUME_VERSION_TEXT])
{
	char hex[2 * VOLUME_TAG_LEN + 1];

	hex_encode(v->tag, sizeof(v->tag), hex);
	(void)snprintf(ret, VOLUME_VERSION_TEXT, "%" PRIu64 ":%s", v->generation, hex);
}

int volume_version_parse(const char *text, struct volume_version *ret, struct error *err)
{
	struct volume_version v;
	char *end;

	errno = 0;
	v.generation = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno || *end != ':' ||
		hex_decode(end + 1, strlen(end + 1), v.tag, sizeof(v.tag)))
		return error_set(err, ERR_INPUT, "GENERATION:TAG is wanted, a number and 32 hex digits");
	*ret = v;
	return 0;
}

int volume_size_parse(const char *text, uint64_t *ret, struct error *err)
{
	static const char units[] = "KMGT";
	char *end;
	const char *u;
	uint64_t n;
	unsigned shift = 0;

	errno = 0;
	n = strtoull(text, &end, 10);
	u = *end ? strchr(units, *end) : NULL;
	if (u) {
		shift = 10 * (unsigned)(u - units + 1);
		end++;
	}
	if (text[0] < '0' || text[0] > '9' || errno || *end || n > (UINT64_MAX >> 1) >> shift)
		return error_set(err, ERR_INPUT, "a number of bytes is wanted, such as 4096 or 10G");
	n <<= shift;
	if (n < VOLUME_MIN_BYTES)
		return error_set(err, ERR_INPUT, "%" PRIu64 " bytes are too few, at least %u are wanted", n,
			VOLUME_MIN_BYTES);
	*ret = n;
	return 0;
}

int volume_session_find(
	struct volume_session *s, const char *path, struct volume_attr *ret, struct error *err)
{
	const char *at = path;
	int rc = volume_getattr(s->v, VOLUME_ROOT, ret);

	while (rc == 0 && *(at += strspn(at, "/"))) {
		size_t n = strcspn(at, "/");

		if (S_ISLNK(ret->mode))
			return error_set(err, ERR_INPUT,
				"%s: a component is a symbolic link, which is not followed", path);
		if (!(n == 1 && at[0] == '.'))
			rc = volume_lookup(s->v, ret->ino, at, n, 0, ret);
		at += n;
	}
	return rc ? volume_session_error(s, rc, err, "%s", path) : 0;
}
