#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cas/state.h"
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"
#include "tee/keyfile.h"

#define MASTER_FILE "master.sealed"
#define MASTER_LABEL "cas-master-key"
#define MASTER_FILE_MAX 65536
#define REPLICA_FILE "replica"
#define REPLICA_LEN 16
#define FOUNDING_FILE "founding"
#define DB_FILE "cas.db"
#define DB_NEW "cas.db.new"

void state_init(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->dir_fd = -1;
	s->lock_fd = -1;
}

void state_close(struct state *s)
{
	sealed_store_close(s->sealed);
	if (s->store)
		s->store->ops->close(s->store);
	if (s->tee)
		s->tee->ops->close(s->tee);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->dir);
	free(s->replica);
	secret_free(&s->master);
	state_init(s);
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int state_write_file(int dir_fd, const char *name, const void *p, size_t n, unsigned mode, struct error *err)
{
	char temporary[NAME_MAX + 1];
	int fd, e;

	if ((size_t)snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid()) >=
		sizeof(temporary))
		return error_set(err, ERR_INPUT, "file name \"%.64s\" is too long", name);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot create %s", name);
	if (write_all(fd, p, n) || fchmod(fd, mode) || fsync(fd) ||
		renameat(dir_fd, temporary, dir_fd, name) || fsync(dir_fd)) {
		e = errno;
		close(fd);
		unlinkat(dir_fd, temporary, 0);
		return error_set_errno(err, e, "cannot write %s", name);
	}
	close(fd);
	return 0;
}

static int make_parents(const char *dir, struct error *err)
{
	char path[PATH_MAX];

	if (strlen(dir) >= sizeof(path))
		return error_set(err, ERR_INPUT, "directory path of %zu bytes is too long", strlen(dir));
	memcpy(path, dir, strlen(dir) + 1);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return error_set_errno(err, errno, "cannot make directory %s", path);
		*p = '/';
	}
	return 0;
}

static int open_dir(struct state *s, const char *dir, struct error *err)
{
	if (make_parents(dir, err))
		return -1;
	s->dir_fd = keyfile_dir(dir, err);
	if (s->dir_fd < 0)
		return -1;
	s->dir = realpath(dir, NULL);
	if (!s->dir)
		return error_set_errno(err, errno, "directory %s", dir);
	return 0;
}

static int take_lock(struct state *s, struct error *err)
{
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return error_set_errno(err, errno, "cannot write in directory %s: lock", s->dir);
	if (!flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, ERR_EXISTS, "directory %s is in use by another CAS", s->dir);
	return error_set_errno(err, errno, "cannot lock %s/lock", s->dir);
}

static int file_exists(const struct state *s, const char *name, bool *ret, struct error *err)
{
	struct stat st;
	int rc = fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (rc && errno != ENOENT)
		return error_set_errno(err, errno, "cannot look at %s/%s", s->dir, name);
	if (!rc && !S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT, "%s/%s is not a regular file", s->dir, name);
	*ret = !rc;
	return 0;
}

static int read_master_file(const struct state *s, struct buf *out, struct error *err)
{
	int fd = openat(s->dir_fd, MASTER_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t chunk[4096];
	ssize_t n;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s/" MASTER_FILE, s->dir);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_put(out, chunk, (size_t)n);
	close(fd);
	if (n < 0)
		return error_set_errno(err, errno, "cannot read %s/" MASTER_FILE, s->dir);
	return out->failed ? error_set(err, ERR_LIMIT, "%s/" MASTER_FILE " is over %d bytes", s->dir,
				     MASTER_FILE_MAX)
			   : 0;
}

int state_master(const struct state *s, struct buf *ret_master, struct error *err)
{
	struct buf sealed;
	int rc;

	if (s->master.len) {
		buf_put(ret_master, s->master.data, s->master.len);
		return ret_master->failed ? error_set(err, ERR_NOMEM, "no memory for the master key") : 0;
	}
	buf_init(&sealed, MASTER_FILE_MAX);
	rc = read_master_file(s, &sealed, err);
	if (!rc && tee_unseal(s->tee, MASTER_LABEL, sealed.data, sealed.len, ret_master, err))
		rc = error_wrap(err, "the master key %s/" MASTER_FILE " does not unseal with TEE %s", s->dir,
			s->tee->ops->name);
	if (!rc && ret_master->len != SEALED_MASTER_LEN)
		rc = error_set(err, ERR_CRYPTO, "the master key %s/" MASTER_FILE " has %zu bytes, wanted %d",
			s->dir, ret_master->len, SEALED_MASTER_LEN);
	buf_free(&sealed);
	return rc;
}

static int path_of(const struct state *s, const char *name, char ret[PATH_MAX], struct error *err)
{
	if (snprintf(ret, PATH_MAX, "%s/%s", s->dir, name) >= PATH_MAX)
		return error_set(err, ERR_INPUT, "path %.64s…/%s is too long", s->dir, name);
	return 0;
}

/* The new database in full, closed again so that nothing of it is left in a write-ahead log. */
static int create_database(struct state *s, const uint8_t master[SEALED_MASTER_LEN], struct error *err)
{
	static const char *const leftovers[] = {DB_NEW, DB_NEW "-wal", DB_NEW "-shm"};
	struct sealed_store *sealed = NULL;
	struct store *store = NULL;
	char path[PATH_MAX];
	int rc;

	for (size_t i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++)
		if (unlinkat(s->dir_fd, leftovers[i], 0) && errno != ENOENT)
			return error_set_errno(err, errno, "cannot remove %s/%s", s->dir, leftovers[i]);
	if (path_of(s, DB_NEW, path, err) || store_sqlite_ops.open(path, true, &store, err))
		return -1;
	rc = sealed_store_create(store, master, &sealed, err);
	/* Before anything counts, so that a crash in between is a first start that did not happen. */
	if (!rc)
		rc = sealed_store_bind(sealed, s->tee, err);
	sealed_store_close(sealed);
	store->ops->close(store);
	return rc;
}

static int name_database(struct state *s, struct error *err)
{
	if (renameat(s->dir_fd, DB_NEW, s->dir_fd, DB_FILE) || fsync(s->dir_fd))
		return error_set_errno(err, errno, "cannot rename %s/" DB_NEW " to " DB_FILE, s->dir);
	return 0;
}

static int first_start(struct state *s, struct error *err)
{
	uint8_t master[SEALED_MASTER_LEN];
	struct buf sealed;
	int rc = -1;

	buf_init(&sealed, MASTER_FILE_MAX);
	if (random_bytes(master, sizeof(master), err) || create_database(s, master, err))
		goto out;
	if (tee_seal(s->tee, MASTER_LABEL, master, sizeof(master), &sealed, err))
		goto out;
	if (state_write_file(s->dir_fd, MASTER_FILE, sealed.data, sealed.len, 0600, err))
		goto out;
	rc = name_database(s, err);
out:
	secret_wipe(master, sizeof(master));
	buf_free(&sealed);
	return rc;
}

static int prepare_files(struct state *s, struct error *err)
{
	bool master, db, db_new;

	if (file_exists(s, MASTER_FILE, &master, err) || file_exists(s, DB_FILE, &db, err) ||
		file_exists(s, DB_NEW, &db_new, err))
		return -1;
	if (master && db)
		return 0;
	if (master && db_new)
		return name_database(s, err);
	if (master)
		return error_set(err, ERR_NOT_FOUND,
			"%s holds " MASTER_FILE " but no " DB_FILE
			": restore the database from a backup; to begin anew, use an empty directory",
			s->dir);
	if (db)
		return error_set(err, ERR_NOT_FOUND,
			"%s holds " DB_FILE " but no " MASTER_FILE
			": restore it from a backup; nothing in the database can be read without it",
			s->dir);
	return first_start(s, err);
}

/* --- a shared store --- */

static int seal_master(struct state *s, const uint8_t master[SEALED_MASTER_LEN], struct error *err)
{
	struct buf sealed;
	int rc;

	buf_init(&sealed, MASTER_FILE_MAX);
	rc = tee_seal(s->tee, MASTER_LABEL, master, SEALED_MASTER_LEN, &sealed, err);
	if (!rc)
		rc = state_write_file(s->dir_fd, MASTER_FILE, sealed.data, sealed.len, 0600, err);
	buf_free(&sealed);
	return rc;
}

static int read_replica(struct state *s, struct error *err)
{
	uint8_t name[REPLICA_LEN];
	char text[2 * REPLICA_LEN + 1] = "";
	bool there;
	int fd, rc;

	if (file_exists(s, REPLICA_FILE, &there, err))
		return -1;
	if (!there) {
		if (random_bytes(name, sizeof(name), err))
			return -1;
		hex_encode(name, sizeof(name), text);
		if (state_write_file(s->dir_fd, REPLICA_FILE, text, strlen(text), 0600, err))
			return -1;
	} else {
		fd = openat(s->dir_fd, REPLICA_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		rc = fd >= 0 && read(fd, text, sizeof(text)) == 2 * REPLICA_LEN ? 0 : -1;
		if (fd >= 0)
			close(fd);
		text[2 * REPLICA_LEN] = '\0';
		if (rc || hex_decode(text, 2 * REPLICA_LEN, name, sizeof(name)))
			return error_set(err, ERR_INPUT, "%s/" REPLICA_FILE " is not %d hex digits", s->dir,
				2 * REPLICA_LEN);
	}
	s->replica = strdup(text);
	return s->replica ? 0 : error_set(err, ERR_NOMEM, "out of memory");
}

/* The first CAS of all. The key is sealed first: a store that nobody has the key of would be lost. */
static int found(struct state *s, struct error *err)
{
	uint8_t master[SEALED_MASTER_LEN];
	int rc = random_bytes(master, sizeof(master), err);

	if (!rc)
		rc = state_write_file(s->dir_fd, FOUNDING_FILE, "", 0, 0600, err);
	if (!rc)
		rc = seal_master(s, master, err);
	secret_wipe(master, sizeof(master));
	return rc;
}

static int get_master(struct state *s, const struct state_place *p, struct buf *ret, struct error *err)
{
	uint8_t master[SEALED_MASTER_LEN];
	bool there, database;
	int rc;

	if (file_exists(s, MASTER_FILE, &there, err) || file_exists(s, DB_FILE, &database, err))
		return -1;
	if (database)
		return error_set(err, ERR_INPUT,
			"%s holds " DB_FILE ": it is the directory of a CAS with a store of its own", s->dir);
	if (!there && p->fetch_master) {
		rc = p->fetch_master(p->arg, s->tee, master, err);
		if (!rc)
			rc = s->tee->ops->seal ? seal_master(s, master, err)
					       : secret_set(&s->master, master, sizeof(master), err);
		secret_wipe(master, sizeof(master));
		if (rc)
			return -1;
	} else if (!there && found(s, err)) {
		return -1;
	}
	return state_master(s, ret, err);
}

static int count_one(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	*(bool *)arg = true;
	return 1;
}

/* Make the store, unless that was done before a crash. Records of another key are another CAS'. */
static int finish_founding(struct state *s, const uint8_t master[SEALED_MASTER_LEN], struct error *err)
{
	struct sealed_store *sealed = NULL;
	bool any = false;

	if (s->store->ops->each(s->store, count_one, &any, err) < 0)
		return -1;
	if (!any && sealed_store_create(s->store, master, &sealed, err))
		return -1;
	sealed_store_close(sealed);
	sealed = NULL;
	if (sealed_store_open(s->store, master, &sealed, err)) {
		/* Nothing was made with this key: the next start may join. */
		if (any && err && err->code == ERR_CRYPTO && !unlinkat(s->dir_fd, MASTER_FILE, 0))
			unlinkat(s->dir_fd, FOUNDING_FILE, 0);
		return error_wrap(err, "the store is not empty, and not of this CAS: to join those that use "
				       "it, give --join");
	}
	sealed_store_close(sealed);
	if (unlinkat(s->dir_fd, FOUNDING_FILE, 0))
		return error_set_errno(err, errno, "cannot remove %s/" FOUNDING_FILE, s->dir);
	return 0;
}

static int open_shared(struct state *s, const struct state_place *p, struct error *err)
{
	struct buf master;
	bool founding;
	int rc = -1;

	buf_init_secret(&master, 4096);
	if (read_replica(s, err) || store_etcd_ops.open(p->store, false, &s->store, err) ||
		get_master(s, p, &master, err) || file_exists(s, FOUNDING_FILE, &founding, err))
		goto out;
	rc = founding ? finish_founding(s, master.data, err) : 0;
	if (!rc)
		rc = sealed_store_open(s->store, master.data, &s->sealed, err);
	if (rc)
		error_wrap(err, "store %.*s", (int)strcspn(p->store, "?"), p->store);
out:
	buf_free(&master);
	return rc;
}

int state_open_tee(struct state *s, const struct state_place *p, struct error *err)
{
	char path[PATH_MAX];

	return open_dir(s, p->dir, err) || take_lock(s, err) || path_of(s, "tee", path, err) ||
			       p->tee->open(path, &s->tee, err)
		       ? -1
		       : 0;
}

static int open_database(struct state *s, struct error *err)
{
	char path[PATH_MAX];
	struct buf master;
	int rc = -1;

	buf_init_secret(&master, 4096);
	if (prepare_files(s, err) || state_master(s, &master, err) || path_of(s, DB_FILE, path, err) ||
		store_sqlite_ops.open(path, false, &s->store, err))
		goto out;
	rc = sealed_store_open(s->store, master.data, &s->sealed, err);
	if (!rc)
		rc = sealed_store_bind(s->sealed, s->tee, err);
	if (rc)
		error_wrap(err, "database %s", path);
out:
	buf_free(&master);
	return rc;
}

int state_open(struct state *s, const struct state_place *p, struct error *err)
{
	if (state_open_tee(s, p, err))
		return -1;
	return p->store ? open_shared(s, p, err) : open_database(s, err);
}
