/*
 * run_trees: the sealed trees of `scone run --tree`: where they are, what of them is to be believed, and where the program sees them. The runtime reads
 * their manifests.
 */
#ifndef SCONE_CLI_RUN_TREES_H
#define SCONE_CLI_RUN_TREES_H

#include "cli/cli.h"
#include "crypto/hash.h"
#include "crypto/key.h"

struct wanted_tree {
	char *dir, *manifest; /* absolute paths of the host; owned */
	char *at; /* mount point, absolute; owned */
	bool has_root, has_signer;
	uint8_t root[SHA256_LEN], signer[KEY_HASH_LEN];
};

/* The n-th --tree with the n-th --tree-root and --tree-manifest, and --tree-signer, which is for all. ERR_INPUT: malformed, neither root nor signer, or
 * other than one root or manifest for each tree. */
MUST_USE int run_tree_parse(const struct args *a, size_t n, struct wanted_tree *ret, struct error *err);
void run_tree_free(struct wanted_tree *t);

/* Shared with run_volumes. A path of the host made absolute; NULL: no memory. */
char *run_absolute(const char *path);
/* Absolute, below /, without "." and "..", none of the kernel's. */
MUST_USE int run_mount_point(const char *at, struct error *err);
/* Without doubled slashes and without one at the end; NULL: no memory. */
char *run_tidy(const char *at);

#endif
