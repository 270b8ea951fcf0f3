/* The database bound to a counter: what a kill at each step leaves is accepted, an earlier copy never is. The TEE is a counter in memory that can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cas/sealed_store.h"

static const uint8_t master[SEALED_MASTER_LEN] = {4, 5, 6};
static char dir[64];

/* --- a TEE's counter --- */

static struct {
	bool exists;
	uint64_t value;
	bool read_fails;
	enum { COUNTS, FAILS_BEFORE, FAILS_AFTER } increment;
	unsigned increments;
} nv;

static int nv_read(struct tee *t, const char *label, uint64_t *ret, struct error *err)
{
	assert_true(strlen(label) > 32);
	if (nv.read_fails)
		return error_set(err, ERR_IO, "no TPM");
	if (!nv.exists)
		return error_set(err, ERR_NOT_FOUND, "no counter");
	*ret = nv.value;
	return 0;
}

static int nv_increment(struct tee *t, const char *label, uint64_t *ret, struct error *err)
{
	nv.increments++;
	if (nv.increment == FAILS_BEFORE)
		return error_set(err, ERR_IO, "no TPM");
	/* as of a TPM on which counters were deleted before */
	nv.value = nv.exists ? nv.value + 1 : 41;
	nv.exists = true;
	if (nv.increment == FAILS_AFTER)
		return error_set(err, ERR_IO, "no answer");
	*ret = nv.value;
	return 0;
}

static const struct tee_ops nv_ops = {
	.name = "fake", .counter_read = nv_read, .counter_increment = nv_increment};
static const struct tee_ops none_ops = {.name = "none"};
static struct tee tee = {&nv_ops}, none = {&none_ops};

/* --- a store that can fail --- */

struct failing {
	struct store store;
	struct store *below;
	enum {
		WORKS,
		LOSES,
		KEEPS
	} next; /* what happens to the next batch, which is answered with an error */
};

static void failing_close(struct store *s)
{
	struct failing *f = (struct failing *)s;

	f->below->ops->close(f->below);
	free(f);
}

static int failing_get(struct store *s, const uint8_t key[STORE_KEY_LEN], struct buf *out, struct error *err)
{
	struct failing *f = (struct failing *)s;

	return f->below->ops->get(f->below, key, out, err);
}

static int failing_each(struct store *s, store_visit visit, void *arg, struct error *err)
{
	struct failing *f = (struct failing *)s;

	return f->below->ops->each(f->below, visit, arg, err);
}

static int failing_apply(struct store *s, const struct store_change *changes, size_t n,
	const struct store_guard *guard, struct error *err)
{
	struct failing *f = (struct failing *)s;
	int how = f->next;

	f->next = WORKS;
	if (how == LOSES)
		return error_set(err, ERR_IO, "no disk");
	if (f->below->ops->apply(f->below, changes, n, guard, err))
		return -1;
	return how == KEEPS ? error_set(err, ERR_IO, "no answer of the disk") : 0;
}

static const struct store_ops failing_ops = {.name = "failing",
	.close = failing_close,
	.get = failing_get,
	.each = failing_each,
	.apply = failing_apply};

struct both {
	struct failing *store;
	struct sealed_store *sealed;
};

static const char *path_of(const char *name)
{
	static char path[2][96];
	static int which;

	which = !which;
	snprintf(path[which], sizeof(path[which]), "%s/%s", dir, name);
	return path[which];
}

static struct failing *open_store(const char *name, bool create)
{
	struct failing *f = calloc(1, sizeof(*f));
	struct error err = {0};

	assert_non_null(f);
	f->store.ops = &failing_ops;
	if (store_sqlite_ops.open(path_of(name), create, &f->below, &err))
		fail_msg("%s: %s", name, err.text);
	return f;
}

static void close_both(struct both *b)
{
	sealed_store_close(b->sealed);
	if (b->store)
		failing_close(&b->store->store);
	*b = (struct both){0};
}

static int try_open(const char *name, struct tee *t, struct both *ret, struct error *err)
{
	struct both b = {.store = open_store(name, false)};

	if (sealed_store_open(&b.store->store, master, &b.sealed, err) ||
		sealed_store_bind(b.sealed, t, err)) {
		close_both(&b);
		return -1;
	}
	*ret = b;
	return 0;
}

static struct both open_both(const char *name)
{
	struct error err = {0};
	struct both b;

	if (try_open(name, &tee, &b, &err))
		fail_msg("%s: %s", name, err.text);
	return b;
}

static void refused(const char *name, const char *word)
{
	struct error err = {0};
	struct both b;

	if (!try_open(name, &tee, &b, &err))
		fail_msg("%s is accepted, counter %llu", name, (unsigned long long)nv.value);
	assert_int_equal(err.code, ERR_CRYPTO);
	if (!strstr(err.text, word))
		fail_msg("\"%s\", wanted \"%s\"", err.text, word);
}

static int put(struct both *b, const char *content, struct error *err)
{
	struct sealed_change c = {.table = "t", .name = "a", .content = content, .len = strlen(content)};

	return sealed_store_apply(b->sealed, &c, 1, err);
}

static void must_put(struct both *b, const char *content)
{
	struct error err = {0};

	if (put(b, content, &err))
		fail_msg("put: %s", err.text);
}

static void holds(struct both *b, const char *content)
{
	struct error err = {0};
	struct buf out;

	buf_init_secret(&out, 100);
	if (sealed_store_get(b->sealed, "t", "a", &out, &err))
		fail_msg("get: %s", err.text);
	assert_int_equal(out.len, strlen(content));
	assert_memory_equal(out.data, content, out.len);
	buf_free(&out);
}

static void copy(const char *from, const char *to)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char in[128], out[128], block[4096];

	for (size_t i = 0; i < 3; i++) {
		FILE *f, *g;
		size_t n;

		snprintf(in, sizeof(in), "%s/%s%s", dir, from, suffixes[i]);
		snprintf(out, sizeof(out), "%s/%s%s", dir, to, suffixes[i]);
		unlink(out);
		f = fopen(in, "rb");
		if (!f)
			continue;
		g = fopen(out, "wb");
		assert_non_null(g);
		while ((n = fread(block, 1, sizeof(block), f)) > 0)
			assert_int_equal(fwrite(block, 1, n, g), n);
		fclose(f);
		assert_int_equal(fclose(g), 0);
	}
}

/* A database "db" that holds "first", closed. */
static int setup(void **state)
{
	struct both b;
	struct error err = {0};

	memset(&nv, 0, sizeof(nv));
	strcpy(dir, "/tmp/test_counter_XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	b.store = open_store("db", true);
	if (sealed_store_create(&b.store->store, master, &b.sealed, &err) ||
		sealed_store_bind(b.sealed, &tee, &err))
		fail_msg("create: %s", err.text);
	must_put(&b, "first");
	close_both(&b);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"db", "old", "cut", "other", "fork"};
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t k = 0; k < 3; k++) {
			snprintf(path, sizeof(path), "%s/%s%s", dir, names[i], suffixes[k]);
			unlink(path);
		}
	return rmdir(dir);
}

static void test_opens(void **state)
{
	struct both b = open_both("db");

	holds(&b, "first");
	must_put(&b, "second");
	holds(&b, "second");
	close_both(&b);
	b = open_both("db");
	holds(&b, "second");
	close_both(&b);
}

static void test_earlier_copy(void **state)
{
	struct error err = {0};
	struct both b;
	char seen[32], wanted[32];

	copy("db", "old");
	snprintf(seen, sizeof(seen), "value %llu,", (unsigned long long)nv.value);
	b = open_both("db");
	must_put(&b, "second");
	close_both(&b);
	snprintf(wanted, sizeof(wanted), "is at %llu:", (unsigned long long)nv.value);
	refused("old", "put back to an earlier copy");
	assert_int_equal(try_open("old", &tee, &b, &err), -1);
	if (!strstr(err.text, seen) || !strstr(err.text, wanted))
		fail_msg("\"%s\", wanted %s and %s", err.text, seen, wanted);
	b = open_both("db");
	holds(&b, "second");
	close_both(&b);
}

/* The very last change is protected as all others are. */
static void test_copy_before_last_change(void **state)
{
	struct both b = open_both("db");

	must_put(&b, "second");
	copy("db", "old");
	must_put(&b, "third");
	close_both(&b);
	refused("old", "put back");
}

static void test_other_counters(void **state)
{
	struct error err = {0};
	struct both b;

	assert_int_equal(try_open("db", &none, &b, &err), -1);
	assert_non_null(strstr(err.text, "has no counters"));
	nv.value += 5;
	refused("db", "put back");
	nv.value -= 10;
	refused("db", "not the counter");
	nv.exists = false;
	refused("db", "does not have");
	nv.exists = true;
	nv.value += 5;
	nv.read_fails = true;
	assert_int_equal(try_open("db", &tee, &b, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

static void test_unbound(void **state)
{
	struct both b = {.store = open_store("other", true)};
	struct error err = {0};

	assert_int_equal(sealed_store_create(&b.store->store, master, &b.sealed, &err), 0);
	close_both(&b);
	refused("other", "counter value 0,");
}

/* Killed between write and increment, with a failing increment in its place: the change was not acknowledged, and is there or not. */
static void killed_before_increment(const char *content)
{
	struct both b = open_both("db");
	struct error err = {0};

	nv.increment = FAILS_BEFORE;
	assert_int_equal(put(&b, content, &err), -1);
	assert_true(sealed_store_uncertain(b.sealed));
	close_both(&b);
	nv.increment = COUNTS;
}

static void test_killed_before_increment(void **state)
{
	struct both b;

	killed_before_increment("second");
	b = open_both("db");
	holds(&b, "second");
	must_put(&b, "third");
	close_both(&b);
	b = open_both("db");
	holds(&b, "third");
	close_both(&b);
}

static void test_killed_while_opening(void **state)
{
	struct error err = {0};
	struct both b;

	for (int i = 0; i < 3; i++) {
		nv.increment = i == 1 ? FAILS_AFTER : FAILS_BEFORE;
		assert_int_equal(try_open("db", &tee, &b, &err), -1);
	}
	nv.increment = COUNTS;
	b = open_both("db");
	holds(&b, "first");
	close_both(&b);
}

/* An attacker keeps the database of an unacknowledged change, lets CAS go on from the one before, and then puts the kept one in its place. */
static void test_two_states_with_one_number(void **state)
{
	struct both b;

	copy("db", "old");
	killed_before_increment("never acknowledged");
	copy("db", "cut");
	copy("old", "db");
	/* opening used up the number of "old" and of "cut"; the attacker cannot go back to "old" */
	refused("db", "put back");
	copy("cut", "db");
	b = open_both("db");
	must_put(&b, "acknowledged");
	close_both(&b);
	refused("cut", "put back");
	b = open_both("db");
	holds(&b, "acknowledged");
	close_both(&b);
}

/* The same from the database as CAS left it when it opened: written under a number, change killed; then the same number again. */
static void test_fork_while_running(void **state)
{
	struct error err = {0};
	struct both b = open_both("db");

	copy("db", "fork");
	nv.increment = FAILS_BEFORE;
	assert_int_equal(put(&b, "lost", &err), -1);
	close_both(&b);
	nv.increment = COUNTS;
	copy("db", "cut");
	b = open_both("fork");
	must_put(&b, "acknowledged");
	close_both(&b);
	refused("cut", "put back");
	b = open_both("fork");
	holds(&b, "acknowledged");
	close_both(&b);
}

/* The write fails, and an attacker has a copy in which it did not. */
static void test_failed_write(void **state)
{
	struct error err = {0};
	struct both b = open_both("db");

	b.store->next = KEEPS;
	assert_int_equal(put(&b, "failed", &err), -1);
	assert_int_equal(err.code, ERR_IO);
	copy("db", "cut");
	/* the store has it, so this CAS must not write over it */
	assert_int_equal(put(&b, "other", &err), -1);
	close_both(&b);
	b = open_both("db");
	must_put(&b, "acknowledged");
	close_both(&b);
	refused("cut", "put back");

	b = open_both("db");
	b.store->next = LOSES;
	assert_int_equal(put(&b, "failed", &err), -1);
	must_put(&b, "next");
	holds(&b, "next");
	close_both(&b);
	b = open_both("db");
	holds(&b, "next");
	close_both(&b);
}

static void test_counter_fails_for_a_while(void **state)
{
	struct error err = {0};
	struct buf out;
	struct both b;

	for (int how = FAILS_BEFORE; how <= FAILS_AFTER; how++) {
		b = open_both("db");
		nv.increment = how;
		assert_int_equal(put(&b, "second", &err), -1);
		assert_int_equal(err.code, ERR_IO);
		nv.increment = FAILS_BEFORE;
		assert_true(sealed_store_uncertain(b.sealed));
		/* nothing is answered from what is not acknowledged */
		buf_init_secret(&out, 100);
		assert_int_equal(sealed_store_get(b.sealed, "t", "a", &out, &err), -1);
		assert_int_equal(put(&b, "third", &err), -1);
		nv.increment = COUNTS;
		holds(&b, "second");
		assert_false(sealed_store_uncertain(b.sealed));
		must_put(&b, "third");
		holds(&b, "third");
		buf_free(&out);
		close_both(&b);
	}
}

/* Two CAS on copies of one database, with one TPM: one of them acknowledges nothing. */
static void test_two_at_once(void **state)
{
	struct error err = {0};
	struct both a = open_both("db"), b;

	copy("db", "fork");
	b = open_both("fork");
	assert_int_equal(put(&a, "a", &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	assert_non_null(strstr(err.text, "another CAS counts"));
	assert_int_equal(put(&a, "a", &err), -1);
	assert_int_equal(put(&b, "b", &err), -1);
	close_both(&a);
	close_both(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_opens),
		T(test_earlier_copy),
		T(test_copy_before_last_change),
		T(test_other_counters),
		T(test_unbound),
		T(test_killed_before_increment),
		T(test_killed_while_opening),
		T(test_two_states_with_one_number),
		T(test_fork_while_running),
		T(test_failed_write),
		T(test_counter_fails_for_a_while),
		T(test_two_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
