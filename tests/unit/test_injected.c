#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "host/secret_arena.h"
#include "shield/fs/injected.h"

static const struct injected_memory arena = {secret_arena_get, secret_arena_put};

/* Counts blocks, so that a leak or a block given back twice shows. */
static int blocks, own_blocks;

static void *counted_get(size_t n, bool own)
{
	blocks++;
	own_blocks += own;
	return calloc(1, n);
}

static void counted_put(void *p, size_t n, bool own)
{
	blocks--;
	own_blocks -= own;
	memset(p, 0xdd, n);
	free(p);
}

static const struct injected_memory counted = {counted_get, counted_put};

static struct injected_info info(const char *path)
{
	return (struct injected_info){.path = path, .mode = 0600, .uid = 1, .gid = 2, .mtime = 1700000000};
}

static struct injected_table *table(const struct injected_memory *m)
{
	struct injected_table *t;
	struct injected_info a = info("/etc/a.conf"), b = info("/run/x/../b.key");

	a.from_host = a.has_inode = true;
	a.dev = 7;
	a.ino = 70;
	b.real = "/private/run/b.key";
	assert_int_equal(injected_new(m, &t), 0);
	assert_int_equal(injected_add(t, &a, "alpha", 5), 0);
	assert_int_equal(injected_add(t, &b, "bravo!", 6), 1);
	return t;
}

static void test_normalise(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"/", "/"}, {"//", "/"}, {"/.", "/"}, {"/..", "/"}, {"/../../x", "/x"}, {"/a", "/a"},
		{"/a/", "/a"}, {"//a///b/./c", "/a/b/c"}, {"/a/../b", "/b"}, {"/a/b/../../..", "/"},
		{"/a/..b/c..", "/a/..b/c.."}, {"/a/.../b", "/a/.../b"}};
	char out[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(injected_normalise(cases[i].in, out, sizeof(out)), strlen(cases[i].out));
		assert_string_equal(out, cases[i].out);
	}
	assert_int_equal(injected_normalise("a/b", out, sizeof(out)), -EINVAL);
	assert_int_equal(injected_normalise("", out, sizeof(out)), -EINVAL);
	assert_int_equal(injected_normalise("/abc", out, 5), 4);
	assert_int_equal(injected_normalise("/abc", out, 4), -ENAMETOOLONG);
	assert_int_equal(injected_normalise("/a/b", out, 4), -ENAMETOOLONG);
	assert_int_equal(injected_normalise("/", out, 1), -ENAMETOOLONG);
}

static void test_add_and_find(void **state)
{
	struct injected_table *t = table(&counted);
	struct injected_info i = info("/run/b.key");
	const struct injected_file *f;

	assert_int_equal(injected_count(t), 2);
	assert_int_equal(injected_find_path(t, "/etc/a.conf"), 0);
	assert_int_equal(injected_find_path(t, "/run/b.key"), 1);
	assert_int_equal(injected_find_path(t, "/private/run/b.key"), 1);
	assert_int_equal(injected_find_path(t, "/run/x/b.key"), -ENOENT);
	assert_int_equal(injected_find_path(t, "/etc/a.con"), -ENOENT);
	assert_int_equal(injected_find_inode(t, 7, 70), 0);
	assert_int_equal(injected_find_inode(t, 7, 71), -ENOENT);
	assert_int_equal(injected_find_inode(t, 8, 70), -ENOENT);
	assert_int_equal(
		injected_find_inode(t, 0, 0), -ENOENT); /* a file that the host lacks has no identity */
	assert_true(injected_has_name(t, "b.key", 5));
	assert_true(injected_has_name(t, "a.conf/", 6));
	assert_false(injected_has_name(t, "a.conf/", 7));
	assert_false(injected_has_name(t, "", 0));
	f = injected_get(t, 1);
	assert_int_equal(f->size, 6);
	assert_memory_equal(f->data, "bravo!", 6);
	assert_null(injected_get(t, 2));

	assert_int_equal(injected_add(t, &i, "x", 1), -EEXIST);
	i.path = "/private/run/./b.key";
	assert_int_equal(injected_add(t, &i, "x", 1), -EEXIST);
	i.path = "relative";
	assert_int_equal(injected_add(t, &i, "x", 1), -EINVAL);
	i.path = "/a/..";
	assert_int_equal(injected_add(t, &i, "x", 1), -EINVAL);
	i.path = "/ok";
	i.mode = 010000;
	assert_int_equal(injected_add(t, &i, "x", 1), -EINVAL);
	i.mode = 0;
	i.real = "/elsewhere/other-name";
	assert_int_equal(injected_add(t, &i, "x", 1), -EINVAL);
	assert_int_equal(injected_count(t), 2);
	injected_free(t);
	assert_int_equal(blocks, 0);
}

static void test_limits(void **state)
{
	struct injected_table *t;
	struct injected_info i = info("/big");
	uint8_t *big = calloc(1, INJECTED_FILE_MAX + 1);
	char path[32];

	assert_non_null(big);
	assert_int_equal(injected_new(NULL, &t), 0);
	assert_int_equal(injected_add(t, &i, big, INJECTED_FILE_MAX + 1), -EFBIG);
	assert_int_equal(injected_add(t, &i, big, INJECTED_FILE_MAX), 0);
	i.path = "/empty";
	assert_int_equal(injected_add(t, &i, NULL, 0), 1);
	assert_int_equal(injected_truncate(t, 1, INJECTED_FILE_MAX + 1ull), -EFBIG);
	assert_int_equal(injected_write(t, 1, INJECTED_FILE_MAX, "x", 1), -EFBIG);
	assert_int_equal(injected_write(t, 1, UINT64_MAX, "x", 1), -EFBIG);
	assert_int_equal(injected_write(t, 1, INJECTED_FILE_MAX - 2, "xyz", 3), 2);
	assert_int_equal(injected_get(t, 1)->size, INJECTED_FILE_MAX);
	assert_int_equal(injected_write(t, 2, 0, "x", 1), -EBADF);
	assert_int_equal(injected_truncate(t, 2, 0), -EBADF);
	i.path = path;
	for (int n = 2; n < INJECTED_COUNT_MAX; n++) {
		snprintf(path, sizeof(path), "/f%d", n);
		assert_int_equal(injected_add(t, &i, "x", 1), n);
	}
	i.path = "/one-more";
	assert_int_equal(injected_add(t, &i, "x", 1), -ENFILE);
	injected_free(t);
	free(big);
}

static void test_change(void **state)
{
	struct injected_table *t = table(&counted);
	const uint8_t *before = injected_get(t, 0)->data;

	assert_int_equal(own_blocks, 0);
	assert_int_equal(injected_write(t, 0, 0, "", 0), 0);
	assert_int_equal(injected_truncate(t, 0, 5), 0);
	assert_ptr_equal(injected_get(t, 0)->data, before); /* nothing changed, nothing copied */

	assert_int_equal(injected_write(t, 0, 2, "PHALANX", 7), 7);
	assert_int_equal(own_blocks, 1);
	assert_int_equal(injected_get(t, 0)->size, 9);
	assert_memory_equal(injected_get(t, 0)->data, "alPHALANX", 9);

	assert_int_equal(injected_truncate(t, 0, 3), 0);
	assert_int_equal(injected_truncate(t, 0, 6), 0);
	assert_memory_equal(injected_get(t, 0)->data, "alP\0\0\0", 6); /* what was cut does not come back */
	assert_int_equal(injected_write(t, 0, 8, "z", 1), 1);
	assert_memory_equal(injected_get(t, 0)->data, "alP\0\0\0\0\0z", 9);
	assert_int_equal(injected_write(t, 0, 9000, "end", 3), 3);
	assert_int_equal(injected_get(t, 0)->size, 9003);
	assert_int_equal(injected_get(t, 0)->data[8999], 0);
	assert_int_equal(injected_truncate(t, 1, 0), 0);
	assert_int_equal(injected_get(t, 1)->size, 0);
	assert_int_equal(injected_set_mode(t, 0, 0777), -EBADF); /* the host's */
	assert_int_equal(injected_set_owner(t, 2, 1, 1), -EBADF);
	assert_int_equal(injected_set_mode(t, 1, 0100644), 0);
	assert_int_equal(injected_set_owner(t, 1, UINT32_MAX, 5), 0);
	assert_int_equal(injected_set_mtime(t, 1, -1), 0);
	assert_int_equal(injected_get(t, 1)->info.mode, 0644);
	assert_int_equal(injected_get(t, 1)->info.uid, 1);
	assert_int_equal(injected_get(t, 1)->info.gid, 5);
	injected_free(t);
	assert_int_equal(blocks, 0);
	assert_int_equal(own_blocks, 0);
}

static void compare(const struct injected_table *a, const struct injected_table *b)
{
	assert_int_equal(injected_count(a), injected_count(b));
	for (uint32_t i = 0; i < injected_count(a); i++) {
		const struct injected_file *x = injected_get(a, i), *y = injected_get(b, i);

		assert_string_equal(x->info.path, y->info.path);
		assert_int_equal(!x->info.real, !y->info.real);
		if (x->info.real)
			assert_string_equal(x->info.real, y->info.real);
		assert_int_equal(x->info.mode, y->info.mode);
		assert_int_equal(x->info.uid, y->info.uid);
		assert_int_equal(x->info.gid, y->info.gid);
		assert_true(x->info.mtime == y->info.mtime);
		assert_int_equal(x->info.from_host, y->info.from_host);
		assert_int_equal(x->info.has_inode, y->info.has_inode);
		assert_true(x->info.dev == y->info.dev && x->info.ino == y->info.ino);
		assert_int_equal(x->own, y->own);
		assert_int_equal(x->size, y->size);
		assert_true(x->size == 0 || memcmp(x->data, y->data, x->size) == 0);
	}
}

static void test_handover(void **state)
{
	struct injected_table *t = table(&arena), *u = NULL;
	struct buf b;
	struct rd r;

	assert_int_equal(injected_write(t, 1, 6, "more", 4), 4);
	buf_init_secret(&b, 1 << 20);
	injected_encode(t, &b);
	buf_puts(&b, "next");
	assert_false(b.failed);
	rd_init(&r, b.data, b.len);
	assert_int_equal(injected_decode(&r, &arena, &u), 0);
	assert_int_equal(r.left, 4);
	compare(t, u);
	assert_int_equal(injected_write(u, 1, 0, "B", 1), 1);
	assert_memory_equal(injected_get(t, 1)->data, "bravo!more", 10);
	injected_free(u);
	injected_free(t);
	buf_free(&b);
}

/* Every prefix and every changed byte: refused, or accepted as a table that encodes to the same bytes again; never a crash or a leak. */
static void test_handover_damaged(void **state)
{
	struct injected_table *t = table(&counted), *u;
	struct buf b, again;
	struct rd r;

	buf_init_secret(&b, 1 << 20);
	injected_encode(t, &b);
	injected_free(t);
	for (size_t n = 0; n < b.len; n++) {
		rd_init(&r, b.data, n);
		assert_int_equal(injected_decode(&r, &counted, &u), -EBADMSG);
	}
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] ^= 1u << (i % 8);
		rd_init(&r, b.data, b.len);
		if (injected_decode(&r, &counted, &u) == 0) {
			buf_init_secret(&again, 1 << 20);
			injected_encode(u, &again);
			assert_int_equal(again.len, b.len - r.left);
			assert_memory_equal(again.data, b.data, again.len);
			buf_free(&again);
			injected_free(u);
		}
		b.data[i / 8] ^= 1u << (i % 8);
	}
	buf_free(&b);
	assert_int_equal(blocks, 0);
}

static void test_arena(void **state)
{
	uint8_t *p = secret_arena_get(10000, false), *q = secret_arena_get(1, true);

	assert_non_null(p);
	assert_non_null(q);
	for (size_t i = 0; i < 10000; i++)
		assert_int_equal(p[i], 0);
	memset(p, 0xaa, 10000);
	*q = 1;
	secret_arena_put(p, 10000, false);
	secret_arena_put(q, 1, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_add_and_find),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_handover),
		cmocka_unit_test(test_handover_damaged),
		cmocka_unit_test(test_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
