/* fuzz_sealed: manifests of sealed trees. What is accepted is what was signed. */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "shield/fs/sealed_tree.h"

static struct buf manifest;
static uint8_t signer[KEY_HASH_LEN];

static void build(void)
{
	static const char content[100000];
	struct sealed_entry root = {.type = SEALED_DIRECTORY, .mode = 0755, .name = "", .count = 3},
			    file = {.type = SEALED_FILE,
				    .mode = 0644,
				    .name = "a",
				    .name_len = 1,
				    .size = sizeof(content)},
			    dir = {.type = SEALED_DIRECTORY,
				    .mode = 0700,
				    .name = "b",
				    .name_len = 1,
				    .count = 1},
			    sym = {.type = SEALED_SYMLINK,
				    .mode = 0777,
				    .name = "c",
				    .name_len = 1,
				    .target = "b",
				    .size = 1},
			    last = {.type = SEALED_FILE, .mode = 0600, .name = "d", .name_len = 1};
	struct sealed_build *b;
	EVP_PKEY *key;

	buf_init(&manifest, 1 << 20);
	fuzz_check(key_generate(KEY_ED25519, &key, NULL) == 0 && key_hash(key, signer, NULL) == 0);
	fuzz_check(sealed_build_new(&b, NULL) == 0);
	fuzz_check(sealed_build_add(b, &root, NULL) == 0 && sealed_build_add(b, &file, NULL) == 0);
	fuzz_check(sealed_build_leaf(b, content, SEALED_LEAF, NULL) == 0);
	fuzz_check(sealed_build_leaf(b, content, sizeof(content) - SEALED_LEAF, NULL) == 0);
	fuzz_check(sealed_build_add(b, &dir, NULL) == 0 && sealed_build_add(b, &sym, NULL) == 0);
	fuzz_check(sealed_build_add(b, &last, NULL) == 0 &&
		   sealed_build_sign(b, key, &manifest, NULL, NULL) == 0);
	sealed_build_free(b);
	EVP_PKEY_free(key);
}

static void run_manifest(const uint8_t *p, size_t n)
{
	struct sealed_trust trust = {NULL, signer};
	struct sealed_tree *t;
	struct error err = {0};

	if (sealed_tree_open(p, n, &trust, &t, &err)) {
		fuzz_check(err.code != ERR_NONE && err.text[0] != '\0');
		return;
	}
	fuzz_check(n == manifest.len && memcmp(p, manifest.data, n) == 0);
	sealed_tree_free(t);
}

int main(int argc, char **argv)
{
	int rc;

	build();
	{
		const struct fuzz_seed seeds[] = {{manifest.data, manifest.len}};
		const struct fuzz_target targets[] = {{"manifest", run_manifest, seeds, 1, NULL}};

		rc = fuzz_main(argc, argv, targets, 1, 100000);
	}
	buf_free(&manifest);
	return rc;
}
