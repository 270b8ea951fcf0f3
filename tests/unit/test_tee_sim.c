/* The sim driver: keys made once, private, atomically; evidence that verifies; seals that open only as they were made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "crypto/key.h"
#include "measure/measure.h"
#include "tee/tee.h"

static char base[64], dir[96];

static int setup(void **state)
{
	strcpy(base, "/tmp/test_tee_sim.XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(dir, sizeof(dir), "%s/state", base);
	return 0;
}

static int teardown(void **state)
{
	char command[160];
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

static struct tee *open_sim(void)
{
	struct tee *t = NULL;
	struct error err;
	if (tee_sim_ops.open(dir, &t, &err) < 0)
		fail_msg("%s", err.text);
	assert_ptr_equal(t->ops, &tee_sim_ops);
	return t;
}

static void file_path(char out[160], const char *name)
{
	snprintf(out, 160, "%s/%s", dir, name);
}

static void test_registry(void **state)
{
	struct error err;
	assert_ptr_equal(tee_by_name("sim"), &tee_sim_ops);
	assert_ptr_equal(tee_by_name("skeleton"), &tee_skeleton_ops);
	assert_null(tee_by_name("SIM"));
	assert_null(tee_by_name(""));
	assert_int_equal(tee_sim_ops.probe(&err), 0);
	assert_int_equal(tee_skeleton_ops.probe(&err), -1);
	struct tee *t;
	assert_int_equal(tee_skeleton_ops.open(dir, &t, &err), -1);
	size_t n = 0;
	for (const struct tee_ops *const *d = tee_drivers(); *d; d++, n++)
		assert_ptr_equal(tee_by_name((*d)->name), *d);
	assert_int_equal(n, 7); /* docs/evidence.md names them */
}

static void test_files(void **state)
{
	uint8_t a[32], b[32];
	char path[160];
	struct stat st;
	struct error err;
	struct tee *t = open_sim();
	assert_int_equal(t->ops->platform(t, a, &err), 0);
	t->ops->close(t);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	static const char *const names[] = {"platform.key", "sealing.key"};
	for (int i = 0; i < 2; i++) {
		file_path(path, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(st.st_nlink, 1);
	}
	size_t entries = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		entries += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(d);
	assert_int_equal(entries, 2); /* nothing temporary is left */
	t = open_sim();
	assert_int_equal(t->ops->platform(t, b, &err), 0);
	t->ops->close(t);
	assert_memory_equal(a, b, 32);
}

static void refused(enum err_code code, const char *word)
{
	struct tee *t = NULL;
	struct error err;
	assert_int_equal(tee_sim_ops.open(dir, &t, &err), -1);
	assert_null(t);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not speak of \"%s\"", err.text, word);
}

static void put(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

/* Files that let others in, links, damaged content, directories that others may write. */
static void test_bad_state(void **state)
{
	char key[160], sealing[160], aside[160];
	tee_sim_ops.close(open_sim());
	file_path(key, "platform.key");
	file_path(sealing, "sealing.key");
	file_path(aside, "aside");
	assert_int_equal(chmod(key, 0640), 0);
	refused(ERR_ACCESS, "mode 100640");
	assert_int_equal(chmod(key, 0600), 0);
	assert_int_equal(rename(key, aside), 0);
	assert_int_equal(symlink(aside, key), 0);
	refused(ERR_IO, "platform.key");
	assert_int_equal(unlink(key), 0);
	put(key, "not a key", 9);
	refused(ERR_INPUT, "platform.key");
	put(key, "", 0);
	struct tee *t = NULL;
	struct error err;
	assert_int_equal(tee_sim_ops.open(dir, &t, &err), -1);
	assert_int_equal(rename(aside, key), 0);
	put(sealing, "0123456789abcdef0123456789abcde", 31);
	refused(ERR_INPUT, "31 bytes, wanted 32");
	put(sealing, "0123456789abcdef0123456789abcdef", 32);
	assert_int_equal(chmod(dir, 0770), 0);
	refused(ERR_ACCESS, "others may write");
	assert_int_equal(chmod(dir, 0700), 0);
	tee_sim_ops.close(open_sim());
}

/* Several first starts at once end with one and the same key. */
static void test_race(void **state)
{
	enum { N = 6 };
	int fds[2];
	uint8_t first[32], hash[32];
	assert_int_equal(pipe(fds), 0);
	for (int i = 0; i < N; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct tee *t;
			struct error err;
			if (tee_sim_ops.open(dir, &t, &err) < 0 || t->ops->platform(t, hash, &err) < 0 ||
				write(fds[1], hash, 32) != 32)
				_exit(1);
			_exit(0);
		}
	}
	for (int i = 0; i < N; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
		assert_int_equal(read(fds[0], i ? hash : first, 32), 32);
		if (i)
			assert_memory_equal(hash, first, 32);
	}
	close(fds[0]);
	close(fds[1]);
}

static void test_evidence(void **state)
{
	const uint8_t digest[32] = {1}, root[32] = {2}, data[REPORT_DATA_LEN] = {3};
	struct tee *t = open_sim();
	struct verdict v;
	struct error err;
	struct buf out;
	uint8_t platform[1][32], want[32];
	assert_int_equal(t->ops->platform(t, platform[0], &err), 0);
	struct verify_context ctx = {.now = (uint64_t)time(NULL),
		.sim_platforms = (const uint8_t(*)[32])platform,
		.sim_platform_count = 1,
		.report_data = data};
	buf_init(&out, 4096);
	buf_puts(&out, "before");
	assert_int_equal(t->ops->evidence(t, digest, root, data, &out, &err), 0);
	assert_memory_equal(out.data, "before", 6);
	assert_int_equal(evidence_verify(out.data + 6, out.len - 6, &ctx, &v, &err), 0);
	measurement(digest, root, want);
	assert_memory_equal(v.measurement, want, 32);
	assert_memory_equal(v.platform, platform[0], 32);
	buf_free(&out);
	t->ops->close(t);
}

static void test_seal(void **state)
{
	static const char text[] = "what only this platform may read";
	struct tee *t = open_sim();
	struct buf sealed, plain;
	struct error err;
	buf_init(&sealed, 4096);
	buf_init_secret(&plain, 4096);
	assert_int_equal(t->ops->seal(t, "vault", text, sizeof(text), &sealed, &err), 0);
	assert_null(memmem(sealed.data, sealed.len, text, 8));
	assert_int_equal(t->ops->unseal(t, "vault", sealed.data, sealed.len, &plain, &err), 0);
	assert_int_equal(plain.len, sizeof(text));
	assert_memory_equal(plain.data, text, sizeof(text));
	buf_reset(&plain);
	assert_int_equal(t->ops->unseal(t, "vaulu", sealed.data, sealed.len, &plain, &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	assert_int_equal(t->ops->unseal(t, "vaul", sealed.data, sealed.len, &plain, &err), -1);
	for (size_t bit = 0; bit < sealed.len * 8; bit++) {
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(t->ops->unseal(t, "vault", sealed.data, sealed.len, &plain, &err), -1);
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < sealed.len; n++)
		assert_int_equal(t->ops->unseal(t, "vault", sealed.data, n, &plain, &err), -1);
	assert_int_equal(plain.len, 0);
	/* Still opens after a restart, and not on another platform. */
	t->ops->close(t);
	t = open_sim();
	assert_int_equal(t->ops->unseal(t, "vault", sealed.data, sealed.len, &plain, &err), 0);
	t->ops->close(t);
	snprintf(dir, sizeof(dir), "%s/other", base);
	t = open_sim();
	buf_reset(&plain);
	assert_int_equal(t->ops->unseal(t, "vault", sealed.data, sealed.len, &plain, &err), -1);
	t->ops->close(t);
	buf_free(&sealed);
	buf_free(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seal, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
