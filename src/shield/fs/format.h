/*
 * format: the structures of an encrypted volume in its device. docs/volume-format.md explains them. Numbers are little-endian, which is
 * x86-64's own order; structs have no padding of the compiler's.
 */
#ifndef SCONE_SHIELD_FS_FORMAT_H
#define SCONE_SHIELD_FS_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FORMAT_BLOCK 4096
#define FORMAT_VERSION 1
#define FORMAT_MAGIC "OSCONEV\n"
#define FORMAT_SALT_LEN 12
#define FORMAT_TAG_LEN 16
#define FORMAT_ID_LEN 16
#define FORMAT_48 (((uint64_t)1 << 48) - 1)
#define FORMAT_LOG_START 2 /* first block of the intent log; blocks 0 and 1 are the superblocks */

/* Where a block is and what it must be. All zero: there is none, a hole. */
struct format_ptr {
	uint8_t loc[6]; /* block number in the device; 0: hole */
	uint8_t gen[6]; /* generation it was written in */
	uint8_t salt[FORMAT_SALT_LEN]; /* of the epoch whose key encrypts it */
	uint8_t tag[FORMAT_TAG_LEN];
};
static_assert(sizeof(struct format_ptr) == 40, "docs/volume-format.md");

#define FORMAT_FANOUT 102
#define FORMAT_HEIGHT_MAX 6 /* 102^6 blocks are more than a file may have */

/* Tree node: pointers to FORMAT_FANOUT blocks of the level below. */
struct format_node {
	struct format_ptr ptr[FORMAT_FANOUT];
	uint64_t owner; /* inode number of the tree */
	uint64_t place; /* level << 56 | number of the node in its level */
};
static_assert(sizeof(struct format_node) == FORMAT_BLOCK, "a block");

/* Root of a tree. Height 0: root is the one block of content; h: a node of level h. */
struct format_tree {
	uint32_t height;
	uint32_t zero;
	uint64_t blocks; /* of content */
	struct format_ptr root;
	uint64_t zero2;
};
static_assert(sizeof(struct format_tree) == 64, "one cell");

struct format_inode {
	uint32_t mode; /* 0: free */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t size;
	uint64_t rdev;
	int64_t atime, mtime, ctime, btime;
	/* cell 1 */
	uint64_t change;
	uint64_t gen;
	uint64_t
		parent; /* of a directory; other files: 1 once the last name is gone, so that none is given again */
	uint64_t xattr; /* inode that holds the extended attributes, 0: none */
	uint64_t next; /* free inode: next free; orphan: next orphan; 0: end */
	uint64_t prev; /* orphan: previous orphan */
	uint32_t flags;
	uint32_t dir_free; /* directory: first block of its free list, 0: none */
	uint64_t dir_entries;
	/* cell 2 */
	uint64_t zero[8];
	/* cell 3: not logged, for it says where things are */
	struct format_tree tree;
};
static_assert(sizeof(struct format_inode) == 256, "docs/volume-format.md");
static_assert(offsetof(struct format_inode, change) == 64, "cell 1");
static_assert(offsetof(struct format_inode, tree) == 192, "cell 3");
#define FORMAT_INODE_LOGGED 192 /* bytes of it that the intent log carries */
#define FORMAT_INODES_PER_BLOCK 16
#define FORMAT_INODE_ORPHAN 1u /* is in the list of orphans */
#define FORMAT_INODE_TRIM 2u /* has blocks beyond its size that are to be dropped */
#define FORMAT_MODE_XATTR 0170000u /* mode of an inode that holds extended attributes: no type of POSIX */

/* Slot 0 of the inode table: counters of the volume. */
struct format_record {
	uint64_t free_head; /* free inodes, linked by next; 0: none */
	uint64_t high; /* inode numbers from here on were never used */
	uint64_t orphan_head; /* inodes to look after at open */
	uint64_t inodes; /* in use */
	uint64_t zero[28];
};
static_assert(sizeof(struct format_record) == 256, "an inode's slot");

struct format_super {
	/* In the clear, authenticated. */
	char magic[8];
	uint32_t version;
	uint32_t block_size;
	uint8_t id[FORMAT_ID_LEN];
	uint8_t salt[FORMAT_SALT_LEN];
	uint32_t slot;
	uint64_t generation;
	uint8_t tag[FORMAT_TAG_LEN];
	/* Encrypted from here. */
	uint64_t blocks; /* size of the volume */
	uint64_t log_blocks;
	uint64_t free_blocks;
	int64_t created, committed; /* ns since 1970 */
	char label[64];
	struct format_tree inodes; /* the inode table */
	struct format_tree map; /* the space map */
	uint8_t zero[3792];
};
#define FORMAT_SUPER_CLEAR 72
static_assert(offsetof(struct format_super, tag) == 56, "docs/volume-format.md");
static_assert(offsetof(struct format_super, blocks) == FORMAT_SUPER_CLEAR, "docs/volume-format.md");
static_assert(sizeof(struct format_super) == FORMAT_BLOCK, "a block");

/* Header of a record of the intent log. */
struct format_log {
	uint8_t tag[FORMAT_TAG_LEN];
	uint8_t salt[FORMAT_SALT_LEN];
	uint32_t blocks; /* length of the record with header */
	uint64_t generation;
	/* Encrypted from here. */
	uint64_t base; /* generation of the superblock it builds on */
	uint8_t before[FORMAT_TAG_LEN]; /* tag of the record before, or of that superblock */
	uint64_t bytes; /* of operations; zeros follow them */
};
#define FORMAT_LOG_CLEAR 40
static_assert(offsetof(struct format_log, base) == FORMAT_LOG_CLEAR, "docs/volume-format.md");
static_assert(sizeof(struct format_log) == 72, "docs/volume-format.md");

enum format_log_type {
	FORMAT_LOG_DROP =
		1, /* count blocks from index on become holes; offset not 0: the first stays, with zeros from offset on */
	FORMAT_LOG_POINT = 2, /* count (1) pointers follow, for block index */
	FORMAT_LOG_BYTES = 3, /* count bytes follow, for offset on in block index */
};
struct format_log_op {
	uint16_t type;
	uint16_t offset;
	uint32_t zero;
	uint64_t ino, index, count;
};
static_assert(sizeof(struct format_log_op) == 32, "docs/volume-format.md");
#define FORMAT_CELL 64 /* unit in which changes of a block are tracked */

/* Directory block: a node of a B+ tree. Block 0 is the root. */
struct format_dir {
	uint8_t level; /* 0: leaf */
	uint8_t zero;
	uint16_t count; /* entries or children */
	uint16_t heap; /* leaf: where the lowest entry starts */
	uint16_t lost; /* leaf: bytes of removed entries above heap */
	uint64_t next_free; /* of a block in the free list: the next one */
};
static_assert(sizeof(struct format_dir) == 16, "docs/volume-format.md");
struct format_dir_child {
	uint64_t key; /* of the first entry below, 0 for the first child */
	uint64_t block;
};
#define FORMAT_DIR_CHILDREN ((FORMAT_BLOCK - 16) / 16)
/* Entry of a leaf, at the offset that its slot (uint16_t, in order of keys, from byte 16 on) gives; the name follows. */
struct __attribute__((packed)) format_dirent {
	uint64_t key;
	uint64_t ino;
	uint8_t type;
	uint8_t len;
};
static_assert(sizeof(struct format_dirent) == 18, "docs/volume-format.md");

static inline uint64_t format_get48(const uint8_t p[6])
{
	uint64_t v = 0;

	memcpy(&v, p, 6);
	return v;
}
static inline void format_put48(uint8_t p[6], uint64_t v)
{
	memcpy(p, &v, 6);
}
static inline bool format_hole(const struct format_ptr *p)
{
	return format_get48(p->loc) == 0;
}

#endif
