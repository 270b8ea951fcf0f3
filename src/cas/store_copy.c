#include "cas/store_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cas/audit.h"

#define DB_FILE "cas.db"
#define MASTER_FILE "master.sealed"
/* Of one batch; below what store_etcd takes at once. */
#define BATCH 64
#define BATCH_BYTES ((size_t)512 * 1024)

struct copy {
	struct store *to;
	struct store_change changes[BATCH];
	struct buf values[BATCH];
	size_t n, bytes;
	uint64_t total;
};

static int flush(struct copy *c, struct error *err)
{
	int rc = c->n ? c->to->ops->apply(c->to, c->changes, c->n, NULL, err) : 0;

	for (size_t i = 0; i < c->n; i++)
		buf_free(&c->values[i]);
	c->total += c->n;
	c->n = c->bytes = 0;
	return rc;
}

static int copy_one(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	struct copy *c = arg;
	struct buf *b;

	if (klen != STORE_KEY_LEN)
		return error_set(
			err, ERR_INPUT, "a record's key has %zu bytes, wanted %d", klen, STORE_KEY_LEN);
	if ((c->n == BATCH || c->bytes + len > BATCH_BYTES) && flush(c, err))
		return -1;
	b = &c->values[c->n];
	buf_init(b, STORE_VALUE_MAX);
	buf_put(b, value, len);
	if (b->failed)
		return error_set(err, ERR_NOMEM, "out of memory for a record of %zu bytes", len);
	memcpy(c->changes[c->n].key, key, STORE_KEY_LEN);
	c->changes[c->n].value = b->data ? (const void *)b->data : "";
	c->changes[c->n].len = len;
	c->n++;
	c->bytes += len;
	return 0;
}

static int refuse_any(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	return error_set(err, ERR_EXISTS, "the store to copy into is not empty");
}

int store_copy(struct store *from, struct store *to, uint64_t *ret_count, struct error *err)
{
	struct copy *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return error_set(err, ERR_NOMEM, "out of memory");
	c->to = to;
	rc = to->ops->each(to, refuse_any, NULL, err);
	if (!rc)
		rc = from->ops->each(from, copy_one, c, err);
	if (!rc)
		rc = flush(c, err);
	if (!rc)
		*ret_count = c->total;
	for (size_t i = 0; i < c->n; i++)
		buf_free(&c->values[i]);
	free(c);
	return rc;
}

static int path_of(const char *dir, const char *name, char ret[PATH_MAX], struct error *err)
{
	if (snprintf(ret, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return error_set(err, ERR_INPUT, "path %.64s…/%s is too long", dir, name);
	return 0;
}

static int open_store(
	const struct state_place *p, const char *dir, bool create, struct store **ret, struct error *err)
{
	char path[PATH_MAX];

	if (p && p->store)
		return store_etcd_ops.open(p->store, create, ret, err);
	return path_of(dir, DB_FILE, path, err) || store_sqlite_ops.open(path, create, ret, err) ? -1 : 0;
}

static int copy_bytes(int in, int out)
{
	char chunk[65536];
	ssize_t n;

	while ((n = read(in, chunk, sizeof(chunk))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(out, chunk + done, (size_t)(n - done))) < 0)
				return -1;
	return n < 0 || fsync(out) ? -1 : 0;
}

/* name of the directory from, if there is one, into the directory to, where there must be none. */
static int copy_file(const char *from, const char *to, const char *name, bool needed, struct error *err)
{
	char source[PATH_MAX], target[PATH_MAX];
	int in, out = -1, rc = 0;

	if (path_of(from, name, source, err) || path_of(to, name, target, err))
		return -1;
	in = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return !needed && errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot open %s", source);
	out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out < 0 || copy_bytes(in, out))
		rc = error_set_errno(err, errno, "cannot copy %s to %s", source, target);
	close(in);
	if (out >= 0)
		close(out);
	return rc;
}

static int copy_records(const struct state_place *from, const char *from_dir, const struct state_place *to,
	const char *to_dir, uint64_t *ret_count, struct error *err)
{
	struct store *source = NULL, *target = NULL;
	int rc = open_store(from, from_dir, false, &source, err);

	if (!rc)
		rc = open_store(to, to_dir, true, &target, err);
	if (!rc)
		rc = store_copy(source, target, ret_count, err);
	if (source)
		source->ops->close(source);
	if (target)
		target->ops->close(target);
	return rc;
}

int store_backup(const struct state_place *p, const char *where, uint64_t *ret_count, struct error *err)
{
	if (mkdir(where, 0700))
		return error_set_errno(err, errno, "cannot make the directory %s", where);
	/* The log after the store: it may have lines more than the store remembers, but none less. */
	return copy_file(p->dir, where, MASTER_FILE, true, err) ||
			       copy_records(p, p->dir, NULL, where, ret_count, err) ||
			       copy_file(p->dir, where, AUDIT_FILE, false, err)
		       ? -1
		       : 0;
}

int store_restore(const struct state_place *p, const char *where, uint64_t *ret_count, struct error *err)
{
	struct state s;
	int rc;

	state_init(&s);
	rc = state_open_tee(&s, p, err);
	/* The key last: without it the directory is no state that a CAS starts with. */
	if (!rc && !faccessat(s.dir_fd, MASTER_FILE, F_OK, AT_SYMLINK_NOFOLLOW))
		rc = error_set(err, ERR_EXISTS,
			"%s holds " MASTER_FILE ": a backup is restored into a directory without one", s.dir);
	if (!rc)
		rc = copy_records(NULL, where, p, s.dir, ret_count, err);
	if (!rc)
		rc = copy_file(where, s.dir, AUDIT_FILE, false, err) ||
				     copy_file(where, s.dir, MASTER_FILE, true, err)
			     ? -1
			     : 0;
	state_close(&s);
	return rc;
}
