/*
 * store_sqlite: one SQLite file, write-ahead log, synchronous=FULL: COMMIT returns after the log reached the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cas/store.h"

#define APPLICATION_ID 0x53434153 /* "SCAS" */
#define FORMAT_VERSION 1
#define SCHEMA "CREATE TABLE record (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL)"

struct store_sqlite {
	struct store base;
	sqlite3 *db;
	sqlite3_stmt *get, *put, *del;
	char *path;
};

static struct store_sqlite *self(struct store *s)
{
	return (struct store_sqlite *)s;
}

static int db_error(struct store_sqlite *s, const char *what, struct error *err)
{
	return error_set(err, ERR_IO, "database %s: %s: %s (SQLite error %d)", s->path, what,
		s->db ? sqlite3_errmsg(s->db) : "out of memory", s->db ? sqlite3_extended_errcode(s->db) : 0);
}

static int run(struct store_sqlite *s, const char *sql, struct error *err)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(s, sql, err);
	return 0;
}

static int prepare(struct store_sqlite *s, const char *sql, sqlite3_stmt **ret, struct error *err)
{
	if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
		return db_error(s, sql, err);
	return 0;
}

static int pragma_int(struct store_sqlite *s, const char *sql, int *ret, struct error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = -1;

	if (prepare(s, sql, &st, err))
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW) {
		*ret = sqlite3_column_int(st, 0);
		rc = 0;
	} else {
		db_error(s, sql, err);
	}
	sqlite3_finalize(st);
	return rc;
}

/* Triggers, views or more tables would run as part of our statements: the schema must be exactly ours. */
static int check_schema(struct store_sqlite *s, struct error *err)
{
	sqlite3_stmt *st = NULL;
	int id = 0, version = 0, rc = -1, rows = 0, step;

	if (pragma_int(s, "PRAGMA application_id", &id, err) ||
		pragma_int(s, "PRAGMA user_version", &version, err))
		return -1;
	if (id != APPLICATION_ID || version != FORMAT_VERSION)
		return error_set(err, ERR_INPUT,
			"database %s: application id %#x, format %d: not a database of this CAS (id %#x, "
			"format %d)",
			s->path, (unsigned)id, version, APPLICATION_ID, FORMAT_VERSION);
	if (prepare(s, "SELECT type, name, sql FROM sqlite_master", &st, err))
		return -1;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *type = (const char *)sqlite3_column_text(st, 0);
		const char *name = (const char *)sqlite3_column_text(st, 1);
		const char *sql = (const char *)sqlite3_column_text(st, 2);
		bool table = type && name && sql && !strcmp(type, "table") && !strcmp(name, "record") &&
			     !strcmp(sql, SCHEMA);
		bool index = type && name && !sql && !strcmp(type, "index") &&
			     !strcmp(name, "sqlite_autoindex_record_1");

		if (!table && !index) {
			error_set(err, ERR_INPUT,
				"database %s: its schema holds %s \"%.64s\", which CAS did not make", s->path,
				type ? type : "?", name ? name : "?");
			goto out;
		}
		rows++;
	}
	if (step != SQLITE_DONE) {
		db_error(s, "reading the schema", err);
		goto out;
	}
	if (rows != 2) {
		error_set(err, ERR_INPUT, "database %s: its schema has %d entries, wanted 2", s->path, rows);
		goto out;
	}
	rc = 0;
out:
	sqlite3_finalize(st);
	return rc;
}

static void sqlite_store_close(struct store *base)
{
	struct store_sqlite *s = self(base);

	if (!s)
		return;
	sqlite3_finalize(s->get);
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->del);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

static int create_file(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot create the database %s", path);
	close(fd);
	return 0;
}

static int setup(struct store_sqlite *s, bool create, struct error *err)
{
	sqlite3_busy_timeout(s->db, 5000);
	sqlite3_extended_result_codes(s->db, 1);
	if (sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK ||
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) != SQLITE_OK)
		return db_error(s, "configuring the connection", err);
	sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, 2 * STORE_VALUE_MAX);
	if (run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000", err))
		return -1;
	if (create) {
		char sql[512];

		snprintf(sql, sizeof(sql),
			"BEGIN IMMEDIATE; PRAGMA application_id=%d; PRAGMA user_version=%d; %s; COMMIT",
			APPLICATION_ID, FORMAT_VERSION, SCHEMA);
		if (run(s, sql, err))
			return -1;
	}
	if (check_schema(s, err))
		return -1;
	if (prepare(s, "SELECT value FROM record WHERE key=?1", &s->get, err) ||
		prepare(s,
			"INSERT INTO record(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET "
			"value=excluded.value",
			&s->put, err) ||
		prepare(s, "DELETE FROM record WHERE key=?1", &s->del, err))
		return -1;
	return 0;
}

static int sqlite_store_open(const char *where, bool create, struct store **ret, struct error *err)
{
	struct store_sqlite *s = calloc(1, sizeof(*s));

	if (!s || !(s->path = strdup(where))) {
		free(s);
		return error_set(err, ERR_NOMEM, "out of memory");
	}
	s->base.ops = &store_sqlite_ops;
	if (create && create_file(where, err))
		goto fail;
	if (sqlite3_open_v2(where, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK) {
		db_error(s, "cannot open", err);
		goto fail;
	}
	if (setup(s, create, err))
		goto fail;
	*ret = &s->base;
	return 0;
fail:
	sqlite_store_close(&s->base);
	return -1;
}

static int sqlite_store_get(
	struct store *base, const uint8_t key[STORE_KEY_LEN], struct buf *out, struct error *err)
{
	struct store_sqlite *s = self(base);
	int rc = -1, step;

	sqlite3_bind_blob(s->get, 1, key, STORE_KEY_LEN, SQLITE_STATIC);
	step = sqlite3_step(s->get);
	if (step == SQLITE_ROW) {
		buf_put(out, sqlite3_column_blob(s->get, 0), (size_t)sqlite3_column_bytes(s->get, 0));
		rc = out->failed ? error_set(err, ERR_LIMIT, "record of %d bytes is longer than wanted",
					   sqlite3_column_bytes(s->get, 0))
				 : 0;
	} else if (step == SQLITE_DONE) {
		error_set(err, ERR_NOT_FOUND, "no such record");
	} else {
		db_error(s, "reading a record", err);
	}
	sqlite3_reset(s->get);
	sqlite3_clear_bindings(s->get);
	return rc;
}

static int sqlite_store_each(struct store *base, store_visit visit, void *arg, struct error *err)
{
	struct store_sqlite *s = self(base);
	sqlite3_stmt *st = NULL;
	int rc = 0, step;

	if (prepare(s, "SELECT key, value FROM record", &st, err))
		return -1;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		rc = visit(arg, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0),
			sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1), err);
		if (rc)
			break;
	}
	if (!rc && step != SQLITE_DONE)
		rc = db_error(s, "reading all records", err);
	sqlite3_finalize(st);
	return rc;
}

static int check_guard(struct store *base, const struct store_guard *guard, struct error *err)
{
	struct error why = {0};
	struct buf now;
	int rc;

	buf_init(&now, STORE_VALUE_MAX);
	rc = base->ops->get(base, guard->key, &now, &why);
	if (rc && why.code != ERR_NOT_FOUND) {
		if (err)
			*err = why;
	} else {
		bool same = rc ? !guard->value
			       : guard->value && now.len == guard->len &&
					    !memcmp(now.data, guard->value, guard->len);

		rc = same ? 0
			  : error_set(err, ERR_CONFLICT,
				    "database %s: it was changed by somebody else since it was last read",
				    self(base)->path);
	}
	buf_free(&now);
	return rc;
}

static int write_change(struct store_sqlite *s, const struct store_change *c, struct error *err)
{
	sqlite3_stmt *st = c->value ? s->put : s->del;
	int step;

	sqlite3_bind_blob(st, 1, c->key, STORE_KEY_LEN, SQLITE_STATIC);
	if (c->value)
		sqlite3_bind_blob64(st, 2, c->value, c->len, SQLITE_STATIC);
	step = sqlite3_step(st);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return step == SQLITE_DONE ? 0 : db_error(s, "writing a record", err);
}

static int sqlite_store_apply(struct store *base, const struct store_change *changes, size_t n,
	const struct store_guard *guard, struct error *err)
{
	struct store_sqlite *s = self(base);

	for (size_t i = 0; i < n; i++)
		if (changes[i].value && changes[i].len > STORE_VALUE_MAX)
			return error_set(err, ERR_LIMIT,
				"a record of %zu bytes is over the store's limit of %d", changes[i].len,
				STORE_VALUE_MAX);
	if (run(s, "BEGIN IMMEDIATE", err))
		return -1;
	if (guard && check_guard(base, guard, err))
		goto rollback;
	for (size_t i = 0; i < n; i++)
		if (write_change(s, &changes[i], err))
			goto rollback;
	if (run(s, "COMMIT", err))
		goto rollback;
	return 0;
rollback:
	/* SQLite may have rolled back by itself after a disk error: this one may then fail, to no harm. */
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return -1;
}

const struct store_ops store_sqlite_ops = {
	.name = "sqlite",
	.open = sqlite_store_open,
	.close = sqlite_store_close,
	.get = sqlite_store_get,
	.each = sqlite_store_each,
	.apply = sqlite_store_apply,
};
