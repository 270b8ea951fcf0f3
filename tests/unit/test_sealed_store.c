#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sqlite3.h>
#include <cmocka.h>
#include "cas/sealed_store.h"

static const uint8_t master[SEALED_MASTER_LEN] = {1, 2, 3};
static char dir[64], path[96];

struct both {
	struct store *store;
	struct sealed_store *sealed;
};

static void close_both(struct both *b)
{
	sealed_store_close(b->sealed);
	if (b->store)
		b->store->ops->close(b->store);
	*b = (struct both){0};
}

static int try_open(struct both *b, struct error *err)
{
	int rc;

	*b = (struct both){0};
	rc = store_sqlite_ops.open(path, false, &b->store, err) ||
	     sealed_store_open(b->store, master, &b->sealed, err);
	if (rc)
		close_both(b);
	return rc;
}

static struct both open_both(void)
{
	struct both b;
	struct error err = {0};

	if (try_open(&b, &err))
		fail_msg("open: %s", err.text);
	return b;
}

static void put(struct both *b, const char *table, const char *name, const char *content)
{
	struct sealed_change c = {
		.table = table, .name = name, .content = content, .len = content ? strlen(content) : 0};
	struct error err = {0};

	if (sealed_store_apply(b->sealed, &c, 1, &err))
		fail_msg("apply: %s", err.text);
}

static void expect_content(struct both *b, const char *table, const char *name, const char *wanted)
{
	struct error err = {0};
	struct buf out;
	int rc;

	buf_init_secret(&out, SEALED_CONTENT_MAX);
	rc = sealed_store_get(b->sealed, table, name, &out, &err);
	assert_int_equal(sealed_store_has(b->sealed, table, name), wanted != NULL);
	if (!wanted) {
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, ERR_NOT_FOUND);
	} else {
		if (rc)
			fail_msg("get: %s", err.text);
		assert_int_equal(out.len, strlen(wanted));
		assert_memory_equal(out.data, wanted, out.len);
	}
	buf_free(&out);
}

/* Three records: t/a, t/b, u/a. */
static int setup(void **state)
{
	struct both b = {0};
	struct error err = {0};

	strcpy(dir, "/tmp/test_sealed_XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db", dir);
	if (store_sqlite_ops.open(path, true, &b.store, &err) ||
		sealed_store_create(b.store, master, &b.sealed, &err))
		fail_msg("create: %s", err.text);
	put(&b, "t", "a", "content of t/a");
	put(&b, "t", "b", "content of t/b");
	put(&b, "u", "a", "content of u/a");
	close_both(&b);
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

static void run_sql(const char *sql)
{
	sqlite3 *db = NULL;
	char *text = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

static void expect_refused(const char *word)
{
	struct both b;
	struct error err = {0};

	assert_int_equal(try_open(&b, &err), 1);
	assert_int_equal(err.code, ERR_CRYPTO);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void test_records_last(void **state)
{
	struct both b = open_both();
	uint64_t generation = sealed_store_generation(b.sealed);

	expect_content(&b, "t", "a", "content of t/a");
	put(&b, "t", "a", "new");
	put(&b, "t", "b", NULL);
	put(&b, "t", "empty", "");
	expect_content(&b, "t", "b", NULL);
	close_both(&b);
	b = open_both();
	assert_int_equal(sealed_store_generation(b.sealed), generation + 3);
	expect_content(&b, "t", "a", "new");
	expect_content(&b, "t", "b", NULL);
	expect_content(&b, "t", "empty", "");
	expect_content(&b, "u", "a", "content of u/a");
	expect_content(&b, "", "ta", NULL);
	close_both(&b);
}

static void test_names(void **state)
{
	struct both b = open_both();
	char **names;
	size_t n;

	assert_int_equal(sealed_store_names(b.sealed, "t", &names, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(names[0], "a");
	assert_string_equal(names[1], "b");
	free(names[0]);
	free(names[1]);
	free(names);
	close_both(&b);
}

/* More records than one size of the index holds, changed and removed at random; the sum must follow. */
static void test_many_records(void **state)
{
	struct both b = open_both();
	char name[16], content[16];
	bool there[300] = {false};

	srandom(7);
	for (int i = 0; i < 900; i++) {
		long k = random() % 300;

		snprintf(name, sizeof(name), "n%ld", k);
		snprintf(content, sizeof(content), "v%ld", k);
		there[k] = random() % 3 != 0;
		put(&b, "many", name, there[k] ? content : NULL);
	}
	close_both(&b);
	b = open_both();
	for (int k = 0; k < 300; k++) {
		snprintf(name, sizeof(name), "n%d", k);
		snprintf(content, sizeof(content), "v%d", k);
		expect_content(&b, "many", name, there[k] ? content : NULL);
	}
	close_both(&b);
}

static void test_nothing_is_readable(void **state)
{
	static const char *const words[] = {"content of", "t/a"};
	char *data = malloc(1 << 20);
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	assert_non_null(data);
	n = fread(data, 1, 1 << 20, f);
	fclose(f);
	assert_true(n > 4096);
	for (size_t i = 0; i < 2; i++)
		assert_null(memmem(data, n, words[i], strlen(words[i])));
	free(data);
}

static void test_wrong_master(void **state)
{
	static const uint8_t other[SEALED_MASTER_LEN] = {1, 2, 4};
	struct both b = {0};
	struct error err = {0};

	assert_int_equal(store_sqlite_ops.open(path, false, &b.store, &err), 0);
	assert_int_equal(sealed_store_open(b.store, other, &b.sealed, &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	assert_int_equal(sealed_store_create(b.store, master, &b.sealed, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	close_both(&b);
}

/* The head is the longest here: 84 bytes and no generation; a record of this test has 8+28+8+1+1+14 = 60. */
#define IS_HEAD "length(value)=84"

static void test_swapped(void **state)
{
	run_sql("CREATE TEMP TABLE two AS SELECT rowid AS r, key AS k FROM record WHERE NOT " IS_HEAD
		" ORDER BY key LIMIT 2;"
		"UPDATE record SET key=x'00' WHERE key=(SELECT k FROM two ORDER BY k LIMIT 1);"
		"UPDATE record SET key=(SELECT k FROM two ORDER BY k LIMIT 1) WHERE key=(SELECT k FROM two "
		"ORDER BY k DESC LIMIT 1);"
		"UPDATE record SET key=(SELECT k FROM two ORDER BY k DESC LIMIT 1) WHERE key=x'00'");
	expect_refused("does not authenticate");
}

static void test_changed(void **state)
{
	run_sql("UPDATE record SET value=CAST(substr(value,1,length(value)-1)||x'00' AS BLOB) WHERE rowid="
		"(SELECT rowid FROM record WHERE NOT " IS_HEAD " AND substr(value,-1)<>x'00' LIMIT 1)");
	expect_refused("does not authenticate");
}

/* The generation stands in the clear and is authenticated. */
static void test_changed_generation(void **state)
{
	run_sql("UPDATE record SET value=CAST(x'0000000000000009'||substr(value,9) AS BLOB) WHERE rowid="
		"(SELECT rowid FROM record WHERE NOT " IS_HEAD " LIMIT 1)");
	expect_refused("does not authenticate");
}

static void test_short(void **state)
{
	run_sql("UPDATE record SET value=x'00' WHERE rowid=(SELECT rowid FROM record WHERE NOT " IS_HEAD
		" LIMIT 1)");
	expect_refused("fewer than any record");
}

static void test_deleted(void **state)
{
	run_sql("DELETE FROM record WHERE rowid=(SELECT rowid FROM record WHERE NOT " IS_HEAD " LIMIT 1)");
	expect_refused("counts 3 records, the database holds 2: records were deleted");
}

static void test_head_deleted(void **state)
{
	run_sql("DELETE FROM record WHERE " IS_HEAD);
	expect_refused("no head record");
}

static void test_all_deleted(void **state)
{
	run_sql("DELETE FROM record");
	expect_refused("no head record");
}

static void test_head_changed(void **state)
{
	run_sql("UPDATE record SET value=CAST(x'ff'||substr(value,2) AS BLOB) WHERE " IS_HEAD
		" AND substr(value,1,1)<>x'ff'");
	expect_refused("head record does not authenticate");
}

static void test_added(void **state)
{
	run_sql("INSERT INTO record VALUES (zeroblob(32), zeroblob(60))");
	expect_refused("does not authenticate");
}

static void test_odd_key(void **state)
{
	run_sql("INSERT INTO record VALUES (x'0102', zeroblob(60))");
	expect_refused("key has 2 bytes");
}

/* Take a copy of the database, let f change the store, then put back what sql takes from the copy. */
static void change_and_put_back(const char *sql)
{
	char copy[128], text[1024];
	struct both b;

	snprintf(copy, sizeof(copy), "%s.copy", path);
	snprintf(text, sizeof(text), "VACUUM INTO '%s'", copy);
	run_sql(text);
	b = open_both();
	put(&b, "t", "a", "CONTENT of t/a");
	close_both(&b);
	snprintf(text, sizeof(text), "ATTACH '%s' AS old; %s", copy, sql);
	run_sql(text);
	unlink(copy);
}

static void test_record_rolled_back(void **state)
{
	change_and_put_back("UPDATE record SET value=(SELECT value FROM old.record o WHERE o.key=record.key) "
			    "WHERE NOT " IS_HEAD);
	expect_refused("put back to an older state");
}

static void test_head_rolled_back(void **state)
{
	change_and_put_back("UPDATE record SET value=(SELECT value FROM old.record o WHERE o.key=record.key) "
			    "WHERE " IS_HEAD);
	expect_refused("put back to an older state");
}

/* The helper itself must not be what makes opening fail. */
static void test_nothing_put_back(void **state)
{
	struct both b;

	change_and_put_back("SELECT 1");
	b = open_both();
	expect_content(&b, "t", "a", "CONTENT of t/a");
	close_both(&b);
}

/* While open: a record that changes underneath is noticed when read, a head that changes when written. */
static void test_changed_while_open(void **state)
{
	struct sealed_change c = {.table = "t", .name = "b", .content = "x", .len = 1};
	struct both b = open_both();
	struct error err = {0};
	struct buf out;
	char copy[128], text[1024];

	snprintf(copy, sizeof(copy), "%s.copy", path);
	snprintf(text, sizeof(text), "VACUUM INTO '%s'", copy);
	run_sql(text);
	put(&b, "t", "a", "CONTENT of t/a");
	snprintf(text, sizeof(text),
		"ATTACH '%s' AS old; UPDATE record SET value=(SELECT value FROM old.record o WHERE "
		"o.key=record.key)",
		copy);
	run_sql(text);
	unlink(copy);
	buf_init_secret(&out, SEALED_CONTENT_MAX);
	assert_int_equal(sealed_store_get(b.sealed, "t", "a", &out, &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	assert_int_equal(out.len, 0);
	assert_int_equal(sealed_store_apply(b.sealed, &c, 1, &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	expect_content(&b, "t", "b", "content of t/b");
	/* a record that is gone is no record that never was */
	run_sql("DELETE FROM record");
	assert_int_equal(sealed_store_get(b.sealed, "t", "b", &out, &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	buf_free(&out);
	close_both(&b);
}

/* Staged changes are read within the transaction, are gone after a rollback, and are one generation after a commit. */
static void test_transaction(void **state)
{
	struct both b = open_both();
	uint64_t before = sealed_store_generation(b.sealed);
	struct error err = {0}, why = {.code = ERR_IO, .text = "no room"};
	struct sealed_change c = {.table = "t", .name = "x", .content = "y", .len = 1};

	assert_int_equal(sealed_store_begin(b.sealed, &err), 0);
	assert_int_equal(sealed_store_begin(b.sealed, NULL), -1);
	put(&b, "t", "a", "new");
	put(&b, "t", "a", "newer");
	put(&b, "t", "b", NULL);
	put(&b, "t", "c", "made");
	put(&b, "t", "c", NULL);
	expect_content(&b, "t", "a", "newer");
	expect_content(&b, "t", "b", NULL);
	assert_true(sealed_store_staged(b.sealed));
	sealed_store_rollback(b.sealed);
	assert_false(sealed_store_staged(b.sealed));
	expect_content(&b, "t", "a", "content of t/a");
	expect_content(&b, "t", "b", "content of t/b");
	expect_content(&b, "t", "c", NULL);
	assert_int_equal(sealed_store_generation(b.sealed), before);
	assert_int_equal(sealed_store_begin(b.sealed, &err), 0);
	put(&b, "t", "a", "new");
	put(&b, "t", "a", "newer");
	put(&b, "t", "b", NULL);
	put(&b, "t", "b", "back");
	put(&b, "t", "c", "made");
	put(&b, "t", "c", NULL);
	assert_int_equal(sealed_store_generation(b.sealed), before + 1);
	assert_int_equal(sealed_store_commit(b.sealed, &err), 0);
	assert_int_equal(sealed_store_generation(b.sealed), before + 1);
	sealed_store_refuse(b.sealed, &why);
	assert_int_equal(sealed_store_apply(b.sealed, &c, 1, &err), -1);
	assert_string_equal(err.text, "no room");
	sealed_store_refuse(b.sealed, NULL);
	close_both(&b);
	b = open_both();
	expect_content(&b, "t", "a", "newer");
	expect_content(&b, "t", "b", "back");
	expect_content(&b, "t", "c", NULL);
	expect_content(&b, "t", "x", NULL);
	close_both(&b);
}

static void test_limits(void **state)
{
	struct both b = open_both();
	char *large = calloc(1, SEALED_CONTENT_MAX + 1);
	struct sealed_change batch[2] = {
		{.table = "t", .name = "c", .content = "x", .len = 1},
		{.table = "t", .name = "large", .content = large, .len = SEALED_CONTENT_MAX + 1},
	};
	struct error err = {0};

	assert_non_null(large);
	assert_int_equal(sealed_store_apply(b.sealed, batch, 2, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	expect_content(&b, "t", "c", NULL);
	batch[1].len = SEALED_CONTENT_MAX;
	assert_int_equal(sealed_store_apply(b.sealed, batch, 2, &err), 0);
	expect_content(&b, "t", "c", "x");
	close_both(&b);
	b = open_both();
	expect_content(&b, "t", "c", "x");
	close_both(&b);
	free(large);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_records_last),
		TEST(test_names),
		TEST(test_many_records),
		TEST(test_nothing_is_readable),
		TEST(test_wrong_master),
		TEST(test_swapped),
		TEST(test_changed),
		TEST(test_changed_generation),
		TEST(test_short),
		TEST(test_deleted),
		TEST(test_head_deleted),
		TEST(test_all_deleted),
		TEST(test_head_changed),
		TEST(test_added),
		TEST(test_odd_key),
		TEST(test_record_rolled_back),
		TEST(test_head_rolled_back),
		TEST(test_nothing_put_back),
		TEST(test_changed_while_open),
		TEST(test_transaction),
		TEST(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
