#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sqlite3.h>
#include <cmocka.h>
#include "cas/store.h"

static const struct store_ops *const ops = &store_sqlite_ops;
static char dir[64], path[96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/test_store_XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db", dir);
	return 0;
}

static int teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char file[128];

	for (size_t i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
		unlink(file);
	}
	return rmdir(dir);
}

static struct store *open_store(bool create)
{
	struct store *s = NULL;
	struct error err = {0};

	if (ops->open(path, create, &s, &err))
		fail_msg("open: %s", err.text);
	return s;
}

static struct store_change change(uint8_t key, const char *value)
{
	struct store_change c = {.value = value, .len = value ? strlen(value) : 0};

	memset(c.key, key, sizeof(c.key));
	return c;
}

static void apply(struct store *s, struct store_change c)
{
	struct error err = {0};

	if (ops->apply(s, &c, 1, NULL, &err))
		fail_msg("apply: %s", err.text);
}

/* The value of a key of equal bytes; NULL: absent. Valid until the next call. */
static const char *value_of(struct store *s, uint8_t key)
{
	static struct buf b = {.max = STORE_VALUE_MAX};
	struct store_change c = change(key, NULL);
	struct error err = {0};

	buf_free(&b);
	if (ops->get(s, c.key, &b, &err)) {
		assert_int_equal(err.code, ERR_NOT_FOUND);
		return NULL;
	}
	return buf_cstr(&b);
}

static void test_changes_last(void **state)
{
	struct store *s = open_store(true);

	apply(s, change(1, "one"));
	apply(s, change(2, "two"));
	apply(s, change(1, "uno"));
	apply(s, change(2, NULL));
	apply(s, change(3, NULL)); /* removing what is not there */
	apply(s, change(4, ""));
	ops->close(s);
	s = open_store(false);
	assert_string_equal(value_of(s, 1), "uno");
	assert_null(value_of(s, 2));
	assert_string_equal(value_of(s, 4), "");
	ops->close(s);
}

static int count_record(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	assert_int_equal(klen, STORE_KEY_LEN);
	if (++*(int *)arg == 3)
		return 42;
	return 0;
}

static void test_each(void **state)
{
	struct store *s = open_store(true);
	int n = 0;

	apply(s, change(1, "one"));
	apply(s, change(2, "two"));
	assert_int_equal(ops->each(s, count_record, &n, NULL), 0);
	assert_int_equal(n, 2);
	apply(s, change(3, "three"));
	apply(s, change(4, "four"));
	n = 0;
	assert_int_equal(ops->each(s, count_record, &n, NULL), 42);
	assert_int_equal(n, 3);
	ops->close(s);
}

static void test_guard(void **state)
{
	struct store *s = open_store(true);
	struct store_change c = change(1, "one");
	struct store_guard absent = {0}, old = {.value = "one", .len = 3}, wrong = {.value = "onf", .len = 3};
	struct error err = {0};

	memset(absent.key, 1, sizeof(absent.key));
	memset(old.key, 1, sizeof(old.key));
	memset(wrong.key, 1, sizeof(wrong.key));
	assert_int_equal(ops->apply(s, &c, 1, &absent, &err), 0);
	c = change(1, "two");
	assert_int_equal(ops->apply(s, &c, 1, &absent, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(ops->apply(s, &c, 1, &wrong, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(value_of(s, 1), "one");
	assert_int_equal(ops->apply(s, &c, 1, &old, &err), 0);
	assert_string_equal(value_of(s, 1), "two");
	ops->close(s);
}

/* The last change of the batch cannot be stored, so the ones before it must not be either. */
static void test_batch_is_all_or_nothing(void **state)
{
	struct store *s = open_store(true);
	struct store_change batch[2] = {change(1, "one"), change(2, "two")};
	sqlite3 *other = NULL;
	struct error err = {0};

	batch[1].len = STORE_VALUE_MAX + 1;
	assert_int_equal(ops->apply(s, batch, 2, NULL, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_null(value_of(s, 1));
	/* A reader in the middle of its transaction sees none of it either, and all of it afterwards. */
	batch[1].len = 3;
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(other, "BEGIN; SELECT count(*) FROM record", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(ops->apply(s, batch, 2, NULL, &err), 0);
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_string_equal(value_of(s, 2), "two");
	ops->close(s);
}

/* What apply acknowledged survives a process that ends without closing anything. */
static void test_survives_sudden_end(void **state)
{
	struct store *s;
	int status;
	pid_t child;

	ops->close(open_store(true));
	child = fork();
	if (child == 0) {
		struct store_change c = change(7, "seven");

		s = NULL;
		if (ops->open(path, false, &s, NULL) || ops->apply(s, &c, 1, NULL, NULL))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	s = open_store(false);
	assert_string_equal(value_of(s, 7), "seven");
	ops->close(s);
}

static void expect_refused(bool create, enum err_code code, const char *word)
{
	struct store *s = NULL;
	struct error err = {0};

	assert_int_equal(ops->open(path, create, &s, &err), -1);
	assert_null(s);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_refuses_other_files(void **state)
{
	char garbage[5000];

	expect_refused(false, ERR_IO, "unable to open");
	memset(garbage, 'x', sizeof(garbage) - 1);
	garbage[sizeof(garbage) - 1] = '\0';
	write_file(garbage);
	expect_refused(false, ERR_IO, "not a database");
	expect_refused(true, ERR_IO, "File exists");
	write_file("");
	expect_refused(false, ERR_INPUT, "not a database of this CAS");
}

static void run_sql(const char *sql)
{
	sqlite3 *db = NULL;
	char *text = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

static void test_refuses_other_schemas(void **state)
{
	static const char *const changes[] = {
		"CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END",
		"CREATE TABLE more (a)",
		"CREATE VIEW v AS SELECT * FROM record",
		"PRAGMA user_version=2",
		"PRAGMA application_id=1",
		"DROP TABLE record; CREATE TABLE record (key BLOB, value BLOB)",
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		ops->close(open_store(true));
		ops->close(open_store(false));
		run_sql(changes[i]);
		expect_refused(false, ERR_INPUT, "database");
		unlink(path);
	}
}

static void test_private_file(void **state)
{
	struct stat st;

	ops->close(open_store(true));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_changes_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_is_all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survives_sudden_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses_other_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses_other_schemas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_private_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
