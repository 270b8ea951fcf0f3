/*
 * A sealed tree as a mount: names and attributes of the manifest, content that is read from the host once and only as it was sealed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "core/encode.h"
#include "shield/fs/sealed_fs.h"

/*
 * /       dir, 3 entries
 * /a      150001 bytes: three leaves
 * /b/     dir
 * /c      -> b/e
 * /b/e    5 bytes
 * /b/n    empty
 */
#define A_SIZE 150001
#define BASE 8192 /* of the tree's content in the content object */
enum { ROOT = VOLUME_ROOT, A, B, C, E, N };

static uint8_t host_a[A_SIZE + 1], host_e[] = "hello";
static uint8_t object[1 << 20];
static struct {
	struct buf manifest;
	void *mem;
	struct sealed_fs *s;
	long host_says; /* not 0: instead of content */
	size_t a_size; /* of the host's file */
	unsigned reads, faults;
	char fault[2048];
} w;

static long host_read(void *ctx, const char *path, uint64_t off, void *p, size_t n)
{
	bool is_a = !strcmp(path, "a");
	size_t size = is_a ? w.a_size : 5;

	w.reads++;
	if (!is_a)
		assert_string_equal(path, "b/e");
	if (w.host_says)
		return w.host_says;
	if (off >= size)
		return 0;
	if (n > size - off)
		n = size - (size_t)off;
	memcpy(p, (is_a ? host_a : host_e) + off, n);
	return (long)n;
}

static int content_read(void *ctx, uint64_t off, void *p, size_t n)
{
	assert_true(off >= BASE && off + n <= sizeof(object));
	memcpy(p, object + off, n);
	return 0;
}

static int content_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	assert_true(off >= BASE && off + n <= sizeof(object));
	memcpy(object + off, p, n);
	return 0;
}

static void fault(void *ctx, const char *text)
{
	w.faults++;
	snprintf(w.fault, sizeof(w.fault), "%s", text);
}

static const struct sealed_fs_env env = {
	.host_read = host_read, .content_read = content_read, .content_write = content_write, .fault = fault};

static int add(struct sealed_build *b, enum sealed_type type, const char *name, const void *content, size_t n)
{
	struct sealed_entry e = {.type = type,
		.mode = type == SEALED_SYMLINK ? 0777 : 0640,
		.uid = 7,
		.gid = 8,
		.mtime = 1700000000000000001,
		.name = name,
		.name_len = (uint16_t)strlen(name),
		.target = content,
		.size = type == SEALED_DIRECTORY ? 0 : n,
		.count = type == SEALED_DIRECTORY ? (uint32_t)n : 0};

	if (sealed_build_add(b, &e, NULL))
		return -1;
	for (size_t at = 0; type == SEALED_FILE && at < n; at += SEALED_LEAF)
		if (sealed_build_leaf(b, (const uint8_t *)content + at,
			    n - at < SEALED_LEAF ? n - at : SEALED_LEAF, NULL))
			return -1;
	return 0;
}

/* A fresh tree, of which nothing was read yet, on a host that has what was sealed. */
static int setup(void **state)
{
	struct sealed_trust trust = {0};
	uint8_t root[SHA256_LEN];
	struct sealed_build *b;
	struct sealed_tree *t;
	EVP_PKEY *key;
	uint8_t *copy;

	memset(&w, 0, sizeof(w));
	memset(object, 0, sizeof(object));
	memcpy(host_e, "hello", 5);
	for (size_t i = 0; i < sizeof(host_a); i++)
		host_a[i] = (uint8_t)(i * 31 + i / 997);
	w.a_size = A_SIZE;
	buf_init(&w.manifest, 1 << 20);
	assert_int_equal(key_generate(KEY_ED25519, &key, NULL), 0);
	assert_int_equal(sealed_build_new(&b, NULL), 0);
	assert_false(add(b, SEALED_DIRECTORY, "", NULL, 3) || add(b, SEALED_FILE, "a", host_a, A_SIZE) ||
		     add(b, SEALED_DIRECTORY, "b", NULL, 2) || add(b, SEALED_SYMLINK, "c", "b/e", 3) ||
		     add(b, SEALED_FILE, "e", host_e, 5) || add(b, SEALED_FILE, "n", "", 0));
	assert_int_equal(sealed_build_sign(b, key, &w.manifest, root, NULL), 0);
	sealed_build_free(b);
	EVP_PKEY_free(key);
	trust.root = root;
	/* What the mount needs is in its memory: the manifest it was made from is gone before it is used. */
	copy = malloc(w.manifest.len);
	memcpy(copy, w.manifest.data, w.manifest.len);
	assert_int_equal(sealed_tree_open(copy, w.manifest.len, &trust, &t, NULL), 0);
	assert_true(sealed_fs_content(t) == 151552 + 4096);
	w.mem = aligned_alloc(4096, sealed_fs_size(t, w.manifest.len));
	memset(w.mem, 0, sealed_fs_size(t, w.manifest.len));
	assert_int_equal(sealed_fs_open(&env, w.mem, &w.s), -EINVAL);
	sealed_fs_make(w.mem, t, copy, w.manifest.len, BASE);
	sealed_tree_free(t);
	memset(copy, 0xee, w.manifest.len);
	free(copy);
	return sealed_fs_open(&env, w.mem, &w.s);
}

static int teardown(void **state)
{
	sealed_fs_free(w.s);
	free(w.mem);
	buf_free(&w.manifest);
	return 0;
}

static void names_and_attributes_are_the_manifests(void **state)
{
	struct volume_dirent d[8];
	struct volume_attr a;
	char target[8] = "";
	uint64_t parent;

	w.host_says = -EIO;
	assert_int_equal(sealed_fs_getattr(w.s, ROOT, &a), 0);
	assert_true(S_ISDIR(a.mode) && a.nlink == 3 && a.uid == 7 && a.gid == 8);
	assert_int_equal(sealed_fs_lookup(w.s, ROOT, "a", 1, &a), 0);
	assert_true(a.ino == A && a.mode == (S_IFREG | 0640) && a.size == A_SIZE && a.nlink == 1 &&
		    a.blocks == 37);
	assert_true(a.mtime == 1700000000000000001 && a.atime == a.mtime);
	assert_int_equal(sealed_fs_lookup(w.s, B, "e", 1, &a), 0);
	assert_true(a.ino == E);
	assert_int_equal(sealed_fs_lookup(w.s, ROOT, "x", 1, &a), -ENOENT);
	assert_int_equal(sealed_fs_lookup(w.s, A, "x", 1, &a), -ENOTDIR);
	assert_int_equal(sealed_fs_lookup(w.s, 99, "x", 1, &a), -ENOENT);
	assert_int_equal(sealed_fs_getattr(w.s, 0, &a), -ENOENT);
	assert_int_equal(sealed_fs_getattr(w.s, N + 1, &a), -ENOENT);
	assert_int_equal(sealed_fs_getattr(w.s, UINT64_MAX, &a), -ENOENT);
	assert_int_equal(sealed_fs_exists(w.s, A, 1), 0);
	assert_int_equal(sealed_fs_exists(w.s, A, 2), -ESTALE);
	assert_int_equal(sealed_fs_parent(w.s, B, &parent), 0);
	assert_true(parent == ROOT);
	assert_int_equal(sealed_fs_parent(w.s, A, &parent), -ENOTDIR);
	assert_int_equal(sealed_fs_readlink(w.s, C, target, sizeof(target)), 3);
	assert_string_equal(target, "b/e");
	memset(target, 0, sizeof(target));
	assert_int_equal(sealed_fs_readlink(w.s, C, target, 1), 3);
	assert_string_equal(target, "b");
	assert_int_equal(sealed_fs_readlink(w.s, A, target, 1), -EINVAL);
	assert_int_equal(sealed_fs_readdir(w.s, ROOT, 0, d, 8), 5);
	assert_string_equal(d[0].name, ".");
	assert_string_equal(d[1].name, "..");
	assert_string_equal(d[4].name, "c");
	assert_true(d[4].type == DT_LNK && d[4].ino == C && d[3].type == DT_DIR && d[2].type == DT_REG);
	assert_int_equal(sealed_fs_readdir(w.s, ROOT, d[2].cookie, d, 1), 1);
	assert_string_equal(d[0].name, "b");
	assert_int_equal(sealed_fs_readdir(w.s, ROOT, 5, d, 8), 0);
	assert_int_equal(sealed_fs_readdir(w.s, ROOT, UINT64_MAX, d, 8), 0);
	assert_int_equal(sealed_fs_readdir(w.s, A, 0, d, 8), -ENOTDIR);
	assert_int_equal(w.reads, 0);
}

static void each_leaf_is_read_once(void **state)
{
	uint8_t got[A_SIZE + 10];
	struct sealed_fs *other;
	uint64_t at;

	assert_int_equal(sealed_fs_opened(w.s, A), 0);
	assert_int_equal(w.reads, 1);
	assert_int_equal(sealed_fs_read(w.s, A, 65530, got, 10), 10);
	assert_memory_equal(got, host_a + 65530, 10);
	assert_int_equal(w.reads, 2);
	assert_int_equal(sealed_fs_read(w.s, A, 0, got, sizeof(got)), A_SIZE);
	assert_memory_equal(got, host_a, A_SIZE);
	assert_int_equal(w.reads, 3);
	/* From now on the host counts for nothing, in another process neither. */
	w.host_says = -ENOENT;
	assert_int_equal(sealed_fs_open(&env, w.mem, &other), 0);
	assert_int_equal(sealed_fs_read(other, A, 140000, got, 100), 100);
	assert_memory_equal(got, host_a + 140000, 100);
	assert_int_equal(sealed_fs_verify(other, A, 0, UINT64_MAX, &at), 0);
	assert_true(at == BASE);
	assert_memory_equal(object + at, host_a, A_SIZE);
	sealed_fs_free(other);
	assert_int_equal(w.reads, 3);
	assert_int_equal(sealed_fs_read(w.s, A, A_SIZE, got, 10), 0);
	assert_int_equal(sealed_fs_read(w.s, A, UINT64_MAX, got, 10), 0);
	assert_int_equal(sealed_fs_read(w.s, N, 0, got, 10), 0);
	assert_int_equal(sealed_fs_opened(w.s, N), 0);
	assert_int_equal(sealed_fs_read(w.s, B, 0, got, 10), -EISDIR);
	assert_int_equal(sealed_fs_read(w.s, C, 0, got, 10), -EINVAL);
	assert_int_equal(w.faults, 0);
}

/* The text has the digest that is wanted of the leaf, and that of what was seen. */
static void told(const char *path, const uint8_t *seen, size_t n)
{
	uint8_t digest[SHA256_LEN];
	struct sha256_ctx *c = sha256_new();
	char hex[2 * SHA256_LEN + 1];

	sha256_update(c, "", 1);
	sha256_update(c, seen, n);
	sha256_final(c, digest);
	hex_encode(digest, sizeof(digest), hex);
	assert_non_null(strstr(w.fault, path));
	assert_non_null(strstr(w.fault, hex));
	assert_non_null(strstr(w.fault, "wanted"));
}

static void what_differs_is_refused_with_its_digests(void **state)
{
	uint8_t got[100], none[100] = {0};
	uint64_t at;

	host_a[70000] ^= 1;
	assert_int_equal(sealed_fs_opened(w.s, A), 0);
	assert_int_equal(sealed_fs_read(w.s, A, 65500, got, 100), -EIO);
	told("a: not what was sealed, at byte 65536", host_a + 65536, 65536);
	assert_int_equal(sealed_fs_verify(w.s, A, 0, UINT64_MAX, &at), -EIO);
	assert_memory_equal(object + BASE + 65536, none, sizeof(none)); /* nothing of it is kept */
	assert_int_equal(sealed_fs_read(w.s, A, 131072, got, 100), 100);
	host_a[70000] ^= 1;
	assert_int_equal(sealed_fs_read(w.s, A, 65500, got, 100), 100); /* the host may have it right later */
	host_e[0] = 'J';
	assert_int_equal(sealed_fs_opened(w.s, E), -EIO);
	told("b/e: not what was sealed, at byte 0: 5 bytes", host_e, 5);
	w.host_says = -ENOENT;
	assert_int_equal(sealed_fs_opened(w.s, E), -EIO);
	assert_non_null(strstr(w.fault, "b/e: the host does not give it: No such file"));
}

static void a_cut_file_is_refused(void **state)
{
	uint8_t got[100];

	for (size_t size = 0; size < 65536; size += 6553) {
		w.a_size = size;
		assert_int_equal(sealed_fs_opened(w.s, A), -EIO);
	}
	told("a: not what was sealed, at byte 0", host_a, 65530);
	w.a_size = A_SIZE - 1;
	assert_int_equal(sealed_fs_opened(w.s, A), 0);
	assert_int_equal(sealed_fs_read(w.s, A, 140000, got, 1), -EIO);
	w.a_size = A_SIZE + 1; /* what was added is not looked at */
	assert_int_equal(sealed_fs_read(w.s, A, A_SIZE - 1, got, 100), 1);
}

static void a_file_has_no_hole_but_its_end(void **state)
{
	uint64_t at;

	assert_int_equal(sealed_fs_seek(w.s, A, 5, false, &at), 0);
	assert_true(at == 5);
	assert_int_equal(sealed_fs_seek(w.s, A, 5, true, &at), 0);
	assert_true(at == A_SIZE);
	assert_int_equal(sealed_fs_seek(w.s, A, A_SIZE, true, &at), -ENXIO);
	assert_int_equal(sealed_fs_seek(w.s, N, 0, false, &at), -ENXIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_and_attributes_are_the_manifests, setup, teardown),
		cmocka_unit_test_setup_teardown(each_leaf_is_read_once, setup, teardown),
		cmocka_unit_test_setup_teardown(what_differs_is_refused_with_its_digests, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cut_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_has_no_hole_but_its_end, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
