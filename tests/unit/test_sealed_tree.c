#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "core/encode.h"
#include "shield/fs/sealed_tree.h"

/*
 * /                     dir
 * /a                    150000 bytes: three leaves
 * /b/                   dir
 * /c -> b/d
 * /b/d                  empty
 * /b/e                  exactly one leaf
 */
static uint8_t content[150000];

static EVP_PKEY *key;
static struct buf manifest;
static uint8_t root[SHA256_LEN], signer[KEY_HASH_LEN];

static struct sealed_entry entry(enum sealed_type type, const char *name)
{
	return (struct sealed_entry){.type = type,
		.mode = 0755,
		.uid = 1000,
		.gid = 100,
		.mtime = 1700000000123456789,
		.name = name,
		.name_len = (uint16_t)strlen(name)};
}

static int add_dir(struct sealed_build *b, const char *name, uint32_t count)
{
	struct sealed_entry e = entry(SEALED_DIRECTORY, name);

	e.count = count;
	return sealed_build_add(b, &e, NULL);
}

static int add_file(struct sealed_build *b, const char *name, size_t n)
{
	struct sealed_entry e = entry(SEALED_FILE, name);

	e.size = n;
	if (sealed_build_add(b, &e, NULL))
		return -1;
	for (size_t at = 0; at < n; at += SEALED_LEAF)
		if (sealed_build_leaf(b, content + at, n - at < SEALED_LEAF ? n - at : SEALED_LEAF, NULL))
			return -1;
	return 0;
}

static int add_link(struct sealed_build *b, const char *name, const char *target)
{
	struct sealed_entry e = entry(SEALED_SYMLINK, name);

	e.target = target;
	e.size = strlen(target);
	return sealed_build_add(b, &e, NULL);
}

static int setup(void **state)
{
	struct sealed_build *b;

	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 17 + i / 999);
	buf_init(&manifest, 1 << 20);
	return key_generate(KEY_ED25519, &key, NULL) || key_hash(key, signer, NULL) ||
	       sealed_build_new(&b, NULL) || add_dir(b, "", 3) || add_file(b, "a", sizeof(content)) ||
	       add_dir(b, "b", 2) || add_link(b, "c", "b/d") || add_file(b, "d", 0) ||
	       add_file(b, "e", SEALED_LEAF) || sealed_build_sign(b, key, &manifest, root, NULL) ||
	       (sealed_build_free(b), 0);
}

static int teardown(void **state)
{
	EVP_PKEY_free(key);
	buf_free(&manifest);
	return 0;
}

static struct sealed_tree *opened(void)
{
	struct sealed_trust trust = {root, signer};
	struct sealed_tree *t;
	struct error err;

	if (sealed_tree_open(manifest.data, manifest.len, &trust, &t, &err))
		fail_msg("%s", err.text);
	return t;
}

static uint32_t find(const struct sealed_tree *t, const char *path)
{
	uint32_t id;

	assert_int_equal(sealed_tree_find(t, path, strlen(path), &id), 0);
	return id;
}

static void test_tree(void **state)
{
	struct sealed_tree *t = opened();
	const struct sealed_entry *e;
	uint8_t d[SHA256_LEN];
	uint32_t id;

	sealed_tree_root(t, d);
	assert_memory_equal(d, root, SHA256_LEN);
	sealed_tree_signer(t, d);
	assert_memory_equal(d, signer, SHA256_LEN);
	assert_int_equal(sealed_tree_count(t), 6);
	assert_int_equal(find(t, ""), SEALED_ROOT);
	e = sealed_tree_entry(t, find(t, "b/e"));
	assert_int_equal(e->type, SEALED_FILE);
	assert_int_equal(e->size, SEALED_LEAF);
	assert_int_equal(e->mode, 0755);
	assert_int_equal(e->uid, 1000);
	assert_int_equal(e->gid, 100);
	assert_true(e->mtime == 1700000000123456789);
	assert_int_equal(e->parent, find(t, "b"));
	e = sealed_tree_entry(t, find(t, "c"));
	assert_int_equal(e->type, SEALED_SYMLINK);
	assert_int_equal(e->size, 3);
	assert_memory_equal(e->target, "b/d", 3);
	assert_int_equal(sealed_tree_find(t, "b/x", 3, &id), -ENOENT);
	assert_int_equal(sealed_tree_find(t, "a/x", 3, &id), -ENOTDIR);
	assert_int_equal(sealed_tree_find(t, "c/x", 3, &id), -ENOTDIR);
	assert_int_equal(sealed_tree_find(t, "b//d", 4, &id), -ENOENT);
	assert_int_equal(sealed_tree_find(t, "..", 2, &id), -ENOENT);
	assert_int_equal(sealed_tree_child(t, 99, "a", 1, &id), -ENOTDIR);
	assert_null(sealed_tree_entry(t, 6));
	sealed_tree_free(t);
}

static void test_verify(void **state)
{
	struct sealed_tree *t = opened();
	uint32_t a = find(t, "a");
	uint64_t bad = 99;

	assert_int_equal(sealed_tree_verify(t, a, 0, content, sizeof(content), &bad), 0);
	assert_int_equal(sealed_tree_verify(t, a, SEALED_LEAF, content + SEALED_LEAF, SEALED_LEAF, &bad), 0);
	assert_int_equal(sealed_tree_verify(t, a, 2 * SEALED_LEAF, content + 2 * SEALED_LEAF,
				 sizeof(content) - 2 * SEALED_LEAF, &bad),
		0);
	assert_int_equal(sealed_tree_verify(t, find(t, "b/d"), 0, content, 0, &bad), 0);
	/* The right bytes in the wrong place. */
	assert_int_equal(sealed_tree_verify(t, a, SEALED_LEAF, content, SEALED_LEAF, &bad), -EBADMSG);
	assert_int_equal(bad, 1);
	content[SEALED_LEAF + 5] ^= 1;
	assert_int_equal(sealed_tree_verify(t, a, 0, content, sizeof(content), &bad), -EBADMSG);
	assert_int_equal(bad, 1);
	content[SEALED_LEAF + 5] ^= 1;
	assert_int_equal(sealed_tree_verify(t, a, 1, content, SEALED_LEAF, &bad), -EINVAL);
	assert_int_equal(sealed_tree_verify(t, a, 0, content, 100, &bad), -EINVAL);
	assert_int_equal(sealed_tree_verify(t, a, 0, content, sizeof(content) + 1, &bad), -EINVAL);
	assert_int_equal(sealed_tree_verify(t, SEALED_ROOT, 0, content, 0, &bad), -EINVAL);
	assert_int_equal(sealed_tree_verify(t, find(t, "c"), 0, content, 0, &bad), -EINVAL);
	sealed_tree_free(t);
}

struct host {
	size_t size; /* of what it gives as the file */
	uint64_t flip; /* the bit of this byte, UINT64_MAX: none */
	unsigned reads;
};

static long host_read(void *ctx, uint64_t off, void *p, size_t n)
{
	struct host *h = ctx;

	h->reads++;
	if (off >= h->size)
		return 0;
	if (n > h->size - off)
		n = h->size - off;
	memcpy(p, content + off, n);
	if (h->flip >= off && h->flip < off + n)
		((uint8_t *)p)[h->flip - off] ^= 0x10;
	return (long)n;
}

static void test_read(void **state)
{
	static const struct {
		uint64_t off;
		size_t n, want;
		unsigned reads;
	} ranges[] = {{0, 10, 10, 1}, {65530, 12, 12, 2}, {0, 150000, 150000, 3}, {140000, 99999, 10000, 1},
		{150000, 5, 0, 0}, {999999, 5, 0, 0}, {131072, 1, 1, 1}, {7, 0, 0, 0}};
	struct sealed_tree *t = opened();
	uint32_t a = find(t, "a");
	static uint8_t out[200000], leaf[SEALED_LEAF];

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct host h = {sizeof(content), UINT64_MAX, 0};

		assert_int_equal(sealed_tree_read(t, a, ranges[i].off, out, ranges[i].n, leaf, host_read, &h),
			ranges[i].want);
		assert_int_equal(h.reads, ranges[i].reads);
		if (ranges[i].want)
			assert_memory_equal(out, content + ranges[i].off, ranges[i].want);
	}
	for (uint64_t flip = 0; flip < sizeof(content); flip += 4999) {
		struct host h = {sizeof(content), flip, 0};

		memset(out, 0xee, sizeof(out));
		assert_int_equal(
			sealed_tree_read(t, a, flip / 2, out, sizeof(out), leaf, host_read, &h), -EBADMSG);
		/* Nothing of the changed leaf came out. */
		assert_int_equal(out[flip - flip / 2], 0xee);
	}
	struct host cut = {140000, UINT64_MAX, 0};
	assert_int_equal(sealed_tree_read(t, a, 135000, out, 10, leaf, host_read, &cut), -EBADMSG);
	assert_int_equal(sealed_tree_read(t, a, 100000, out, 10, leaf, host_read, &cut), 10);
	assert_int_equal(sealed_tree_read(t, SEALED_ROOT, 0, out, 10, leaf, host_read, &cut), -EINVAL);
	sealed_tree_free(t);
}

/* Every byte of the manifest counts: any change is refused, and so is any cut. */
static void test_damage(void **state)
{
	struct sealed_trust by_signer = {NULL, signer};
	struct sealed_tree *t;
	struct error err;

	for (size_t i = 0; i < manifest.len; i++) {
		uint8_t *copy = malloc(manifest.len);

		memcpy(copy, manifest.data, manifest.len);
		for (unsigned bit = 0; bit < 8; bit++) {
			copy[i] ^= (uint8_t)(1u << bit);
			err = (struct error){0};
			if (sealed_tree_open(copy, manifest.len, &by_signer, &t, &err) == 0)
				fail_msg("bit %u of byte %zu changes nothing", bit, i);
			assert_true(
				err.code == ERR_INPUT || err.code == ERR_CRYPTO || err.code == ERR_ACCESS);
			assert_true(err.text[0] != '\0');
			copy[i] ^= (uint8_t)(1u << bit);
		}
		free(copy);
	}
	for (size_t n = 0; n < manifest.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, manifest.data, n);
		assert_int_equal(sealed_tree_open(copy, n, &by_signer, &t, &err), -1);
		free(copy);
	}
}

static void test_trust(void **state)
{
	uint8_t other[SHA256_LEN] = {1};
	struct sealed_trust none = {NULL, NULL}, by_root = {root, NULL}, wrong_root = {other, NULL},
			    wrong_key = {NULL, other};
	struct sealed_tree *t;
	struct error err;
	char hex[65];

	assert_int_equal(sealed_tree_open(manifest.data, manifest.len, &none, &t, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_int_equal(sealed_tree_open(manifest.data, manifest.len, &by_root, &t, &err), 0);
	sealed_tree_free(t);
	assert_int_equal(sealed_tree_open(manifest.data, manifest.len, &wrong_root, &t, &err), -1);
	assert_int_equal(err.code, ERR_ACCESS);
	hex_encode(root, SHA256_LEN, hex);
	assert_non_null(strstr(err.text, hex));
	assert_int_equal(sealed_tree_open(manifest.data, manifest.len, &wrong_key, &t, &err), -1);
	assert_int_equal(err.code, ERR_ACCESS);
	hex_encode(signer, SHA256_LEN, hex);
	assert_non_null(strstr(err.text, hex));
}

static void test_build_refuses(void **state)
{
	struct sealed_build *b;
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_int_equal(sealed_build_new(&b, NULL), 0);
	assert_int_equal(sealed_build_sign(b, key, &out, NULL, NULL), -1); /* nothing in it */
	assert_int_equal(add_file(b, "a", 0), -1); /* no root directory */
	assert_int_equal(add_dir(b, "", 3), 0);
	assert_int_equal(add_dir(b, "", 0), -1);
	assert_int_equal(add_dir(b, "x/y", 0), -1);
	assert_int_equal(add_dir(b, "..", 0), -1);
	assert_int_equal(add_file(b, "m", 0), 0);
	assert_int_equal(add_file(b, "m", 0), -1); /* twice */
	assert_int_equal(add_file(b, "b", 0), -1); /* out of order */
	assert_int_equal(add_link(b, "n", ""), -1);
	struct sealed_entry e = entry(SEALED_FILE, "n");
	e.size = 100;
	assert_int_equal(sealed_build_add(b, &e, NULL), 0);
	assert_int_equal(add_file(b, "o", 0), -1); /* content of n is missing */
	assert_int_equal(sealed_build_leaf(b, content, 99, NULL), -1);
	assert_int_equal(sealed_build_leaf(b, content, 100, NULL), 0);
	assert_int_equal(sealed_build_leaf(b, content, 1, NULL), -1);
	assert_int_equal(sealed_build_sign(b, key, &out, NULL, NULL), -1); /* a child is missing */
	assert_int_equal(add_file(b, "o", 0), 0);
	assert_int_equal(add_file(b, "p", 0), -1); /* one too many */
	assert_int_equal(out.len, 0);
	assert_int_equal(sealed_build_sign(b, key, &out, NULL, NULL), 0);
	sealed_build_free(b);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tree), cmocka_unit_test(test_verify),
		cmocka_unit_test(test_read), cmocka_unit_test(test_damage), cmocka_unit_test(test_trust),
		cmocka_unit_test(test_build_refuses)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
