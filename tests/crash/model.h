/*
 * model: a volume and, beside it, what it must hold: every operation is done to both. Afterwards it judges what a crash has left.
 *
 * After a crash the names and attributes must be those after some operation p, and the content of every file that after some operation q of
 * its own, where neither lies before the last one that was made durable (volume_fsync, volume_commit) nor behind the last one begun. Where
 * several contents of a file are possible, each of its blocks must come from one of them.
 */
#ifndef SCONE_TESTS_MODEL_H
#define SCONE_TESTS_MODEL_H

#include "device.h"

#define MODEL_NODES 4096
#define MODEL_SIZE ((uint64_t)8 << 20) /* of the volumes */

struct model_version {
	unsigned op; /* after which the file is so */
	size_t size;
	uint8_t *p;
};

struct model_node {
	uint64_t ino, gen;
	uint32_t mode, nlink;
	struct {
		char name[32];
		uint64_t hash; /* of name and value */
	} xattrs[4];
	unsigned dir; /* of a directory: node that it is in */
	struct model_version *versions; /* of a regular file */
	unsigned version_count;
	unsigned synced; /* operation after which its content was durable */
	uint32_t held;
};

struct model_entry {
	unsigned dir, node; /* nodes */
	char name[64];
};

struct model_op {
	char text[96];
	size_t begin, end; /* recorded device operations before it, and after it */
	bool durable;
	struct volume_version version; /* durable: of the volume */
	uint64_t names; /* sum over names and attributes after it */
	unsigned synced; /* node whose content it made durable; UINT32_MAX: all, if durable */
};

struct model {
	struct device device;
	void *arena;
	size_t arena_len;
	struct volume *v;
	struct model_node nodes[MODEL_NODES];
	unsigned node_count;
	struct model_entry *entries;
	unsigned entry_count, entry_cap;
	struct model_op *ops;
	unsigned op_count, op_cap;
	uint64_t random;
};

/* A new volume with this much intent log (0: as the engine likes), committed; recording starts behind it. */
void model_begin(struct model *m, uint64_t seed, uint64_t log_bytes);
void model_end(struct model *m);

/* Operations; nodes are numbers that model_make gave, 0 is the root. A failure of the engine ends the program with its text. */
unsigned model_make(struct model *m, unsigned dir, const char *name, uint32_t mode); /* any type */
void model_write(struct model *m, unsigned node, size_t off, size_t n);
void model_truncate(struct model *m, unsigned node, size_t size);
void model_punch(struct model *m, unsigned node, size_t off, size_t n);
void model_link(struct model *m, unsigned node, unsigned dir, const char *name);
void model_unlink(struct model *m, unsigned dir, const char *name); /* rmdir too */
void model_rename(struct model *m, unsigned from_dir, const char *from, unsigned to_dir, const char *to);
void model_chmod(struct model *m, unsigned node, uint32_t mode);
void model_xattr(struct model *m, unsigned node, const char *name, const void *value, size_t n);
void model_hold(struct model *m, unsigned node);
void model_release(struct model *m, unsigned node);
void model_fsync(struct model *m, unsigned node);
void model_commit(struct model *m);
void model_close(struct model *m); /* ends with a commit; the volume stays closed */

/* What judge and model agree on: sums of these, so that no order counts. */
uint64_t model_hash_entry(uint64_t dir, uint64_t dir_gen, const char *name, uint64_t ino, uint64_t gen);
uint64_t model_hash_node(uint64_t ino, uint64_t gen, uint32_t mode, uint32_t nlink, uint64_t xattr);
uint64_t model_hash_xattr(const char *name, const void *value, size_t n);

size_t model_size(const struct model *m, unsigned node);

/* The device d holds what a crash after `cut` recorded operations has left. NULL: as it must be; else what is wrong, until the next call. full: also
 * volume_verify, use it, close it, open it again. */
const char *model_judge(struct model *m, struct device *d, size_t cut, bool full);

#endif
