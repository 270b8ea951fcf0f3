/*
 * sealed_tree: the signed Merkle manifest of a read-only directory tree (docs/sealed-trees.md). An engine without I/O.
 *
 * The manifest has every name, attribute and symbolic link target of the tree, and the SHA-256 of every leaf (64 KiB) of every file. Its root
 * digest names the tree; a signature over the root says who vouches for it. With the manifest at hand a byte range of a file is verified
 * by reading the leaves it touches and nothing else. Attributes are served from the manifest: what the host says of them counts for nothing.
 *
 * Integers are big-endian. The file:
 *   "OSCTREE1", u32 leaf size (65536), u64 number of entries, u64 bytes of all entries, root[32],
 *   u32 length and key (DER SubjectPublicKeyInfo), u32 length and signature (key_sign) over
 *   "openscone-sealed-tree-v1" NUL, u32 leaf size, root
 *   then the entries, breadth first: the root directory (empty name), then its children, then the children of its first directory …
 *   entry: u8 type, u32 mode (permission bits), u32 uid, u32 gid, i64 mtime (ns), u16 length and name, then
 *     directory: u32 number of children, which follow each other, sorted by name as bytes
 *     file: u64 size, a digest for each leaf
 *     symbolic link: u16 length and target
 *   digests: leaf SHA-256(00, bytes), node SHA-256(01, left, right), in the shape of RFC 6962 section 2.1;
 *     entry SHA-256(type, mode, uid, gid, mtime, rest), where rest is: number of children, then for each u16 length, name, digest of the entry |
 *     size, root of the leaves (SHA-256 of nothing for an empty file) | u16 length, target. The tree's root is the digest of entry 0.
 */
#ifndef SCONE_SHIELD_FS_SEALED_TREE_H
#define SCONE_SHIELD_FS_SEALED_TREE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "crypto/hash.h"
#include "crypto/key.h"

#define SEALED_LEAF 65536u /* bytes of a file under one digest */
#define SEALED_ENTRIES_MAX (1u << 24)
#define SEALED_MANIFEST_MAX ((size_t)1 << 32) /* bytes */
#define SEALED_NAME_MAX 255
#define SEALED_TARGET_MAX 4095
#define SEALED_ROOT 0 /* id of the root directory */

enum sealed_type { SEALED_DIRECTORY = 1, SEALED_FILE = 2, SEALED_SYMLINK = 3 };

struct sealed_entry {
	enum sealed_type type;
	uint32_t mode; /* permission bits */
	uint32_t uid, gid;
	int64_t mtime; /* ns since 1970 */
	uint32_t parent; /* of the root: itself */
	const char *name; /* name_len bytes, not terminated, inside the manifest */
	uint16_t name_len;
	uint32_t first, count; /* SEALED_DIRECTORY: ids of its children */
	uint64_t size; /* SEALED_FILE: bytes; SEALED_SYMLINK: of the target; SEALED_DIRECTORY: 0 */
	const char *target; /* SEALED_SYMLINK: size bytes, not terminated */
	const uint8_t *leaves; /* SEALED_FILE: a digest for each leaf */
};

struct sealed_tree; /* opaque; nothing in it changes after it is opened: any number of threads may use it */

/* What the manifest must be. A NULL member is not asked for; one of the two has to be there, or nothing is proved: ERR_INTERNAL. */
struct sealed_trust {
	const uint8_t *root; /* SHA256_LEN bytes: exactly this tree, whoever signed it */
	const uint8_t *signer; /* KEY_HASH_LEN bytes: whatever the holder of this key signed */
};

/* Parse and verify all of a manifest: structure, root over every entry, signature. manifest is borrowed for the tree's life and must not
 * change: memory the host cannot write. ERR_INPUT: malformed (names what and where); ERR_CRYPTO: root or signature does not match;
 * ERR_ACCESS: another root or signer than wanted, with both; ERR_LIMIT, ERR_NOMEM. */
MUST_USE int sealed_tree_open(const void *manifest, size_t n, const struct sealed_trust *trust,
	struct sealed_tree **ret, struct error *err);
void sealed_tree_free(struct sealed_tree *t); /* NULL is fine */

/* A copy of an open tree and of its manifest (n bytes, which it was opened on) in memory of the caller: sealed_tree_copy_size bytes, aligned for a pointer.
 * It holds pointers into that memory, and is good for all who have it at this address. It is not freed. */
size_t sealed_tree_copy_size(const struct sealed_tree *t, size_t n);
const struct sealed_tree *sealed_tree_copy(
	const struct sealed_tree *t, const void *manifest, size_t n, void *mem);

void sealed_tree_root(const struct sealed_tree *t, uint8_t ret[SHA256_LEN]);
void sealed_tree_signer(const struct sealed_tree *t, uint8_t ret[KEY_HASH_LEN]);
uint32_t sealed_tree_count(const struct sealed_tree *t);
/* NULL: no such id. */
const struct sealed_entry *sealed_tree_entry(const struct sealed_tree *t, uint32_t id);
/* The child of directory dir with this name. -ENOTDIR, -ENOENT. */
MUST_USE int sealed_tree_child(
	const struct sealed_tree *t, uint32_t dir, const char *name, size_t n, uint32_t *ret);
/* A path below the root, components joined by single slashes, "" for the root; symbolic links are not followed. -ENOTDIR, -ENOENT. */
MUST_USE int sealed_tree_find(const struct sealed_tree *t, const char *path, size_t n, uint32_t *ret);

/* n bytes of file id from off on, as the host gave them, are the sealed ones. off is a multiple of SEALED_LEAF, and so is n unless it reaches
 * the end of the file. -EBADMSG: they are not, *ret_leaf is the first leaf that differs; -EINVAL: no file, or another range. */
MUST_USE int sealed_tree_verify(
	const struct sealed_tree *t, uint32_t id, uint64_t off, const void *p, size_t n, uint64_t *ret_leaf);

/* Reads n bytes at off of the host's file into p: the number read, fewer only at the end of the file, or -errno. */
typedef long sealed_read_fn(void *ctx, uint64_t off, void *p, size_t n);
/* Any byte range of a file, through leaf (SEALED_LEAF bytes, the caller's): only bytes that were verified reach p, so that the host cannot
 * change them between check and use. Answers how many, fewer only at the end of the sealed file; -EBADMSG: content differs or is cut off;
 * -EINVAL: no file; what read answered. */
MUST_USE long sealed_tree_read(const struct sealed_tree *t, uint32_t id, uint64_t off, void *p, size_t n,
	uint8_t leaf[SEALED_LEAF], sealed_read_fn *read, void *ctx);

/* Making one. Entries are added breadth first, the children of a directory in the order of their names; the first is the root directory. */
struct sealed_build;

MUST_USE int sealed_build_new(struct sealed_build **ret, struct error *err);
void sealed_build_free(struct sealed_build *b);
uint32_t sealed_build_count(const struct sealed_build *b); /* entries so far */
/* e: type, mode, uid, gid, mtime, name, target and size of a link; count of a directory. A file's content follows, from the start, in whole
 * leaves but for the last: sealed_build_leaf for each. ERR_INPUT: out of order, or a name that cannot be. */
MUST_USE int sealed_build_add(struct sealed_build *b, const struct sealed_entry *e, struct error *err);
MUST_USE int sealed_build_leaf(struct sealed_build *b, const void *p, size_t n, struct error *err);
/* Append the signed manifest to out. ERR_INPUT: children are missing. ret_root may be NULL. */
MUST_USE int sealed_build_sign(struct sealed_build *b, EVP_PKEY *key, struct buf *out,
	uint8_t ret_root[SHA256_LEN], struct error *err);

#endif
