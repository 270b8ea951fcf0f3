/*
 * What several threads use at once: everything here runs under the thread sanitizer in `make check`, which sees a race whether or not it did harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cas/sealed_store.h"
#include "cas/vault.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "host/secret_arena.h"
#include "runtime/fd.h"
#include "runtime/sys/table.h"

#define THREADS 6
#define ROUNDS 200

struct job {
	pthread_t id;
	int n; /* of the thread */
	const void *shared;
	long good;
};

static pthread_barrier_t start;

/* Run f in THREADS threads that begin together; each has to count to ROUNDS. cmocka's asserts are for the first thread only. */
static void together(void *(*f)(void *), const void *shared)
{
	struct job jobs[THREADS] = {0};

	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		jobs[i].n = i;
		jobs[i].shared = shared;
		assert_int_equal(pthread_create(&jobs[i].id, NULL, f, &jobs[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(jobs[i].id, NULL);
	pthread_barrier_destroy(&start);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(jobs[i].good, ROUNDS);
}

static void *log_lines(void *arg)
{
	struct job *j = arg;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		if (j->n == 0)
			log_set_level(i % 2 ? LOG_LVL_INFO : LOG_LVL_WARN);
		log_error("thread %d line %d %s", j->n, i, "0123456789012345678901234567890123456789");
		j->good += log_get_level() <= LOG_LVL_INFO;
	}
	return NULL;
}

/* Every line is there, whole, and those of a thread in their order. */
static void check_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	int next[THREADS] = {0}, n, i;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		assert_int_equal(
			sscanf(line,
				"test: error: thread %d line %d 0123456789012345678901234567890123456789\n",
				&n, &i),
			2);
		assert_true(n >= 0 && n < THREADS && i == next[n]);
		next[n]++;
	}
	fclose(f);
	for (n = 0; n < THREADS; n++)
		assert_int_equal(next[n], ROUNDS);
}

static void test_log(void **state)
{
	char path[] = "/tmp/test_threads_log_XXXXXX";
	int fd = mkstemp(path), before = dup(2);

	assert_true(fd >= 0 && before >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	log_init("test");
	dup2(fd, 2);
	together(log_lines, NULL);
	dup2(before, 2);
	close(before);
	close(fd);
	log_set_level(LOG_LVL_WARN);
	check_lines(path);
	unlink(path);
}

static void *use_secrets(void *arg)
{
	struct job *j = arg;
	const struct secret *shared = j->shared;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		struct secret own = {0};
		struct error err = {0};
		uint8_t *block = secret_arena_get(64, false);
		bool ok = block && !secret_set(&own, shared->data, shared->len, &err) &&
			  secret_equal(own.data, shared->data, own.len);

		if (ok) {
			memset(block, j->n, 64);
			own.data[i % own.len] ^= 1;
			ok = !secret_equal(own.data, shared->data, own.len) && block[63] == j->n;
		}
		secret_free(&own);
		if (block)
			secret_arena_put(block, 64, false);
		j->good += ok;
	}
	return NULL;
}

static void test_secret(void **state)
{
	struct secret shared = {0};
	struct error err = {0};

	assert_int_equal(secret_set(&shared, "one value for all of them", 25, &err), 0);
	together(use_secrets, &shared);
	secret_free(&shared);
}

/* The first use of OpenSSL in this process is by all of them at once. */
static void *use_crypto(void *arg)
{
	struct job *j = arg;
	uint8_t key[AEAD_KEY_LEN] = {(uint8_t)j->n}, hash[KEY_HASH_LEN];

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		struct error err = {0};
		struct buf sealed, open;
		EVP_PKEY *k = NULL;
		bool ok;

		buf_init(&sealed, 4096);
		buf_init_secret(&open, 4096);
		ok = !aead_seal(key, "aad", 3, "text", 4, &sealed, &err) &&
		     !aead_open(key, "aad", 3, sealed.data, sealed.len, &open, &err) && open.len == 4;
		if (i % 20 == 0)
			ok = ok && !key_generate(KEY_P256, &k, &err) && !key_hash(k, hash, &err);
		EVP_PKEY_free(k);
		buf_free(&sealed);
		buf_free(&open);
		j->good += ok;
	}
	return NULL;
}

static void test_crypto(void **state)
{
	together(use_crypto, NULL);
}

struct vault_pair {
	struct session *session;
	struct vault vault;
};

static void *use_vault(void *arg)
{
	struct job *j = arg;
	const struct vault_pair *pair = j->shared;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		struct error err = {0};
		struct vault copy = {0};
		struct buf b;
		const void *a = NULL, *c = NULL;
		size_t n = 0, m = 0;
		bool ok;

		buf_init_secret(&b, 65536);
		ok = !vault_encode(&pair->vault, &b, &err) && !vault_decode(b.data, b.len, &copy, &err) &&
		     vault_lookup(pair->session, &pair->vault, "a", 1, &a, &n) &&
		     vault_lookup(pair->session, &copy, "a", 1, &c, &m) && n == m && secret_equal(a, c, n);
		vault_free(&copy);
		buf_free(&b);
		j->good += ok;
	}
	return NULL;
}

static void test_vault(void **state)
{
	static const char text[] =
		"name: v\nversion: \"0.3\"\nsecrets:\n - {name: a, kind: ascii, size: 100}\n"
		" - {name: b, kind: binary, size: 32}\n";
	struct vault_pair pair = {0};
	struct error err = {0};
	struct diag d;

	diag_init(&d);
	assert_int_equal(session_parse(text, strlen(text), &pair.session, &d), 0);
	diag_free(&d);
	assert_int_equal(vault_make(pair.session, NULL, 1700000000, &pair.vault, &err), 0);
	together(use_vault, &pair);
	vault_free(&pair.vault);
	session_free(pair.session);
}

/* One store a thread: what they have in common is the library's. */
static void *use_store(void *arg)
{
	struct job *j = arg;
	uint8_t master[SEALED_MASTER_LEN] = {(uint8_t)j->n, 1};
	struct sealed_store *sealed = NULL;
	struct store *store = NULL;
	struct error err = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/%d.db", (const char *)j->shared, j->n);
	pthread_barrier_wait(&start);
	if (store_sqlite_ops.open(path, true, &store, &err) ||
		sealed_store_create(store, master, &sealed, &err))
		return NULL;
	for (int i = 0; i < ROUNDS; i++) {
		char content[32];
		struct sealed_change c = {.table = "t",
			.name = i % 2 ? "odd" : "even",
			.content = content,
			.len = sizeof(content)};
		struct buf out;

		memset(content, j->n + i, sizeof(content));
		buf_init_secret(&out, SEALED_CONTENT_MAX);
		j->good += (i % 10 || !sealed_store_apply(sealed, &c, 1, &err)) &&
			   (i % 10 || (!sealed_store_get(sealed, "t", c.name, &out, &err) &&
					      out.len == sizeof(content) &&
					      !memcmp(out.data, content, sizeof(content))));
		buf_free(&out);
	}
	sealed_store_close(sealed);
	store->ops->close(store);
	unlink(path);
	return NULL;
}

static void test_sealed_store(void **state)
{
	char dir[] = "/tmp/test_threads_XXXXXX", command[128];

	assert_non_null(mkdtemp(dir));
	together(use_store, dir);
	/* What SQLite keeps beside its file. */
	for (int i = 0; i < THREADS; i++)
		for (const char *const *end = (const char *const[]){"-wal", "-shm", "", NULL}; *end; end++) {
			snprintf(command, sizeof(command), "%s/%d.db%s", dir, i, *end);
			unlink(command);
		}
	assert_int_equal(rmdir(dir), 0);
}

static struct process process;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

/* Writers hold the lock, as shields_lock's callers do; the fast path looks at the bits without it. */
static void *use_descriptors(void *arg)
{
	struct job *j = arg;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		int fd = 1000 + j->n * ROUNDS + i;
		struct fd_entry e = {.kind = FD_INJECTED, .file = (uint32_t)(j->n + 1), .ino = (uint64_t)fd};
		const struct fd_entry *got;
		bool ok;

		for (int other = 0; other < THREADS * ROUNDS; other += 97)
			(void)fd_is_shielded(&process, (uint64_t)(1000 + other));
		pthread_mutex_lock(&table_lock);
		ok = !fd_reserve(&process, fd);
		if (ok)
			fd_set_entry(&process, fd, &e);
		pthread_mutex_unlock(&table_lock);
		ok = ok && fd_is_shielded(&process, (uint64_t)fd) &&
		     !fd_is_shielded(&process, (uint64_t)fd + FD_TRACK_MAX);
		pthread_mutex_lock(&table_lock);
		got = fd_get(&process, fd);
		ok = ok && got && got->ino == (uint64_t)fd && got->file == e.file;
		if (i % 2)
			fd_clear(&process, fd);
		pthread_mutex_unlock(&table_lock);
		j->good += ok && fd_is_shielded(&process, (uint64_t)fd) == !(i % 2);
	}
	return NULL;
}

static void test_descriptors(void **state)
{
	assert_int_equal(fd_init(&process), 0);
	together(use_descriptors, NULL);
	for (int fd = 1000; fd < 1000 + THREADS * ROUNDS; fd++)
		assert_int_equal(fd_is_shielded(&process, (uint64_t)fd), !((fd - 1000) % ROUNDS % 2));
	fd_free(&process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crypto),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_vault),
		cmocka_unit_test(test_sealed_store),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
