/* Directories: a million entries, and names of every length in every order. */
#include "fs_device.h"

#include <dirent.h>

#define MIB ((size_t)1 << 20)
#ifdef __SANITIZE_ADDRESS__
#define MANY 100000
#else
#define MANY 1000000
#endif

static void test_million(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	uint64_t dir = 0, cookie = 0, seen = 0, seed = 3;
	static struct volume_dirent e[512];
	char name[32];
	long n;

	fs_create(&d, 1024 * MIB);
	fs_open(&d, &m, 64 * MIB);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "d", S_IFDIR | 0700, &dir), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%u.%x", i, i * 2654435761u);
		assert_int_equal(fs_make(&m, dir, name, S_IFREG | 0600, NULL), 0);
	}
	fs_close(&m);
	fs_open(&d, &m, 64 * MIB);
	for (unsigned int k = 0; k < 20000; k++) {
		unsigned int i = (unsigned int)(fs_rand(&seed) % (MANY + 1000));

		snprintf(name, sizeof(name), "%u.%x", i, i * 2654435761u);
		assert_int_equal(fs_look(&m, dir, name, &a), i < MANY ? 0 : -ENOENT);
	}
	while ((n = volume_readdir(m.v, dir, cookie, e, 512)) > 0) {
		seen += (uint64_t)n;
		for (long i = 0; i < n; i++) {
			assert_true(e[i].cookie > cookie && e[i].cookie <= INT64_MAX);
			cookie = e[i].cookie;
		}
	}
	assert_int_equal(n, 0);
	assert_int_equal(seen, MANY + 2);
	assert_int_equal(volume_getattr(m.v, dir, &a), 0);
	/* leaves at least half full, and a few inner blocks */
	assert_true(a.size < (uint64_t)MANY * 2 * (18 + 16 + 2));
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

static void name_of(unsigned int i, char name[VOLUME_NAME_MAX + 1])
{
	size_t n = 1 + i * 7919 % VOLUME_NAME_MAX;

	memset(name, 'a' + (int)(i % 26), n);
	name[n] = 0;
	for (size_t k = 0; k < n && k < 4; k++)
		name[k] = (char)('A' + (i >> (4 * k) & 15));
}

/* Entries come and go until every leaf has been split, compacted and emptied. */
static void test_churn(void **state)
{
	struct fs_device d;
	struct fs_mount m;
	struct volume_attr a;
	uint64_t dir = 0, seed = 17;
	enum { NAMES = 4000 };
	static bool there[NAMES];
	static uint64_t ino[NAMES];
	char name[VOLUME_NAME_MAX + 1];

	fs_create(&d, 64 * MIB);
	fs_open(&d, &m, 2 * MIB);
	assert_int_equal(fs_make(&m, VOLUME_ROOT, "d", S_IFDIR | 0700, &dir), 0);
	for (unsigned int k = 0; k < 60000; k++) {
		unsigned int i = (unsigned int)(fs_rand(&seed) % NAMES), up = k / 15000 % 2 ? 1 : 4;

		name_of(i, name);
		if (fs_rand(&seed) % 5 < up) {
			int r = fs_make(&m, dir, name, S_IFREG | 0600, &ino[i]);

			/* short names are few: some numbers share one */
			if (r == 0)
				there[i] = true;
			else
				assert_int_equal(r, -EEXIST);
		} else if (there[i]) {
			assert_int_equal(volume_unlink(m.v, dir, name, strlen(name)), 0);
			there[i] = false;
		}
		if (k % 20000 == 19999)
			fs_verify(&d, &m);
	}
	for (unsigned int i = 0; i < NAMES; i++) {
		if (!there[i])
			continue;
		name_of(i, name);
		assert_int_equal(fs_look(&m, dir, name, &a), 0);
		assert_int_equal(a.ino, ino[i]);
		assert_int_equal(volume_unlink(m.v, dir, name, strlen(name)), 0);
	}
	assert_int_equal(volume_getattr(m.v, dir, &a), 0);
	assert_int_equal(a.size, 4096);
	fs_verify(&d, &m);
	fs_close(&m);
	fs_device_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_million),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
