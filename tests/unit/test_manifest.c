/* Manifest, root and measurement: fixed bytes, order, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/encode.h"
#include "measure/measure.h"

static void hex_is(const uint8_t d[32], const char *want)
{
	char hex[65];
	hex_encode(d, 32, hex);
	assert_string_equal(hex, want);
}

static void add(struct manifest *m, enum code_role role, const char *path, uint8_t fill)
{
	uint8_t d[32];
	struct error err;
	memset(d, fill, 32);
	assert_int_equal(manifest_add(m, role, path, d, &err), 0);
}

/* The bytes that measure.h names, put together here by hand. */
static void test_root_bytes(void **state)
{
	static const char bytes[] =
		"openscone-manifest-v1\0"
		"\4\0\0\0\4/a/b\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"
		"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"
		"\1\0\0\0\2/c\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22"
		"\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22";
	uint8_t want[32], got[32];
	struct manifest m;
	manifest_init(&m);
	add(&m, CODE_PROGRAM, "/c", 0x22);
	add(&m, CODE_LIBRARY, "/a/b", 0x11);
	manifest_sort(&m);
	manifest_root(&m, got);
	sha256(bytes, sizeof(bytes) - 1, want);
	assert_memory_equal(got, want, 32);
	manifest_free(&m);
}

static void test_measurement_bytes(void **state)
{
	uint8_t want[32], got[32], a[32], b[32];
	memset(a, 7, 32);
	memset(b, 9, 32);
	uint8_t with_nul[24 + 1 + 64];
	memcpy(with_nul, "openscone-measurement-v1", 25);
	memcpy(with_nul + 25, a, 32);
	memcpy(with_nul + 57, b, 32);
	sha256(with_nul, sizeof(with_nul), want);
	measurement(a, b, got);
	assert_memory_equal(got, want, 32);
	measurement(b, a, got);
	assert_memory_not_equal(got, want, 32);
}

static void test_empty(void **state)
{
	struct manifest m;
	uint8_t root[32], want[32];
	manifest_init(&m);
	manifest_sort(&m);
	manifest_root(&m, root);
	sha256("openscone-manifest-v1", 22, want);
	assert_memory_equal(root, want, 32);
	hex_is(root, "d225d8fb1f1387fade561b59b1556439b163dd4d422bdcfb4b4542b7838b6979");
	manifest_free(&m);
}

/* Any order in, one root out; any field changed, another root. */
static void test_order(void **state)
{
	static const struct {
		enum code_role role;
		const char *path;
		uint8_t fill;
	} rows[] = {
		{CODE_PROGRAM, "/bin/b", 1},
		{CODE_LIBRARY, "/bin/b", 1},
		{CODE_LIBRARY, "/bin/b", 2},
		{CODE_INTERP, "/bin/bb", 3},
		{CODE_SCRIPT, "/bin/B", 4},
	};
	uint8_t first[32], root[32];
	for (int turn = 0; turn < 5; turn++) {
		struct manifest m;
		manifest_init(&m);
		for (int i = 0; i < 5; i++)
			add(&m, rows[(i * 2 + turn) % 5].role, rows[(i * 2 + turn) % 5].path,
				rows[(i * 2 + turn) % 5].fill);
		manifest_sort(&m);
		assert_string_equal(m.entries[0].path, "/bin/B");
		assert_int_equal(m.entries[1].role, CODE_PROGRAM);
		assert_int_equal(m.entries[2].digest[0], 1);
		assert_string_equal(m.entries[4].path, "/bin/bb");
		manifest_root(&m, turn ? root : first);
		if (turn)
			assert_memory_equal(root, first, 32);
		m.entries[2].role = CODE_SCRIPT;
		manifest_root(&m, root);
		assert_memory_not_equal(root, first, 32);
		m.entries[2].role = CODE_LIBRARY;
		m.entries[2].digest[31] ^= 1;
		manifest_root(&m, root);
		assert_memory_not_equal(root, first, 32);
		m.entries[2].digest[31] ^= 1;
		m.entries[4].path[1] = 'x';
		manifest_root(&m, root);
		assert_memory_not_equal(root, first, 32);
		m.entries[4].path[1] = 'b';
		m.entries[4].size = 99; /* not part of the root */
		manifest_root(&m, root);
		assert_memory_equal(root, first, 32);
		manifest_free(&m);
	}
}

static void test_refused(void **state)
{
	const uint8_t d[32] = {0};
	struct manifest m;
	struct error err;
	char path[5000];
	manifest_init(&m);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[4096] = '\0';
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, path, d, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	path[4095] = '\0';
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, path, d, &err), 0);
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, "relative", d, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, "", d, &err), -1);
	assert_int_equal(manifest_add(&m, 0, "/a", d, &err), -1);
	assert_int_equal(manifest_add(&m, 6, "/a", d, &err), -1);
	for (int i = 1; i < MANIFEST_MAX; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		assert_int_equal(manifest_add(&m, CODE_LIBRARY, path, d, &err), 0);
	}
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, "/one-more", d, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(m.count, MANIFEST_MAX);
	manifest_free(&m);
	manifest_free(&m);
}

static void test_merge(void **state)
{
	struct manifest to, from;
	struct error err;
	char path[32];
	manifest_init(&to);
	manifest_init(&from);
	assert_int_equal(manifest_merge(&to, &from, &err), 0);
	assert_int_equal(to.count, 0);
	add(&from, CODE_EXECUTABLE, "/b", 2);
	add(&from, CODE_LIBRARY, "/a", 1);
	assert_int_equal(manifest_merge(&to, &from, &err), 0);
	assert_int_equal(from.count, 0);
	assert_int_equal(to.count, 2);
	assert_string_equal(to.entries[0].path, "/a");
	/* Both ways the smaller role stays. */
	add(&from, CODE_LIBRARY, "/b", 2);
	add(&from, CODE_EXECUTABLE, "/a", 1);
	assert_int_equal(manifest_merge(&to, &from, &err), 0);
	assert_int_equal(to.count, 2);
	assert_int_equal(to.entries[0].role, CODE_LIBRARY);
	assert_int_equal(to.entries[1].role, CODE_LIBRARY);
	/* Refused as a whole. */
	add(&from, CODE_PROGRAM, "/a", 1);
	add(&from, CODE_LIBRARY, "/c", 3);
	add(&from, CODE_LIBRARY, "/b", 9);
	assert_int_equal(manifest_merge(&to, &from, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "/b"));
	assert_int_equal(to.count, 2);
	assert_int_equal(from.count, 3);
	assert_int_equal(to.entries[0].role, CODE_LIBRARY);
	manifest_free(&from);
	for (int i = 0; i < MANIFEST_MAX - 2; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		add(&from, CODE_LIBRARY, path, 4);
	}
	add(&from, CODE_LIBRARY, "/a", 1);
	assert_int_equal(manifest_merge(&to, &from, &err), 0);
	assert_int_equal(to.count, MANIFEST_MAX);
	add(&from, CODE_LIBRARY, "/one-more", 4);
	assert_int_equal(manifest_merge(&to, &from, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(to.count, MANIFEST_MAX);
	manifest_free(&from);
	manifest_free(&to);
}

static void test_measure_fd(void **state)
{
	char path[] = "/tmp/test_manifest.XXXXXX";
	uint8_t got[32], want[32];
	uint64_t size;
	struct error err;
	size_t n = 3 * 256 * 1024 + 5;
	uint8_t *p = malloc(n);
	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	int fd = mkstemp(path);
	assert_int_equal(write(fd, p, n), n);
	sha256(p, n, want);
	lseek(fd, 17, SEEK_SET);
	assert_int_equal(measure_fd(fd, got, &size, &err), 0);
	assert_int_equal(size, n);
	assert_memory_equal(got, want, 32);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 17);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(measure_fd(fd, got, NULL, &err), 0);
	hex_is(got, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	close(fd);
	unlink(path);
	free(p);
	fd = open("/dev/zero", O_RDONLY);
	assert_int_equal(measure_fd(fd, got, &size, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	close(fd);
	assert_int_equal(measure_fd(-1, got, &size, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_bytes),
		cmocka_unit_test(test_measurement_bytes),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_measure_fd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
