/*
 * sealed_tree_format: what reading and making the manifest of a sealed tree share; sealed_tree.h has the format.
 */
#ifndef SCONE_SHIELD_FS_SEALED_TREE_FORMAT_H
#define SCONE_SHIELD_FS_SEALED_TREE_FORMAT_H

#include "shield/fs/sealed_tree.h"

#define SEALED_MAGIC "OSCTREE1"
#define SEALED_SIGNED "openscone-sealed-tree-v1" /* with its NUL */
#define SEALED_ENTRY_MIN                                                                                     \
	27 /* bytes of the shortest entry: a directory without name; a link of one-byte name and target */
#define SEALED_KEY_MAX 2048
#define SEALED_SIGNATURE_MAX 1024

static inline uint64_t sealed_leaf_count(uint64_t size)
{
	return size / SEALED_LEAF + (size % SEALED_LEAF != 0);
}

void sealed_leaf_digest(const void *p, size_t n, uint8_t ret[SHA256_LEN]);
void sealed_leaves_root(const uint8_t *leaves, uint64_t n, uint8_t ret[SHA256_LEN]);
/* Digest of entry 0. Of every directory, first and count are right and the children have larger ids. */
MUST_USE int sealed_entries_root(
	const struct sealed_entry *entries, uint32_t count, uint8_t ret[SHA256_LEN], struct error *err);
void sealed_signed_text(const uint8_t root[SHA256_LEN], struct buf *out);
/* As memcmp: the entry's name against this one. */
int sealed_name_cmp(const struct sealed_entry *a, const char *name, size_t n);
bool sealed_name_ok(const char *name, size_t n);

#endif
