/*
 * ftree: a directory tree to copy from or to: one of the host, or the inside of a volume. What one has, the other can take: modes, owners,
 * times, extended attributes, symbolic and hard links, special files, holes.
 *
 * Functions answer 0, a positive result, or -errno. A node is an open inode: a descriptor of the host, an inode number of a volume.
 */
#ifndef SCONE_CLI_FTREE_H
#define SCONE_CLI_FTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cli/volume_session.h"
#include "core/buf.h"

typedef int64_t ftree_node;

struct ftree_attr {
	uint32_t mode; /* with S_IFMT */
	uint32_t uid, gid, nlink;
	uint64_t rdev, size;
	int64_t atime, mtime; /* ns */
	uint64_t dev, ino; /* which file it is */
};

struct ftree;

struct ftree_ops {
	int (*root)(struct ftree *t, ftree_node *ret);
	void (*close)(struct ftree *t, ftree_node node);
	int (*lookup)(
		struct ftree *t, ftree_node dir, const char *name, struct ftree_attr *ret); /* -ENOENT */
	/* content: for reading and writing regular files. */
	int (*open)(struct ftree *t, ftree_node dir, const char *name, const struct ftree_attr *a,
		bool content, ftree_node *ret);
	/* Names, each NUL-terminated, appended to out; without "." and "..". */
	int (*list)(struct ftree *t, ftree_node dir, struct buf *out);
	int (*readlink)(
		struct ftree *t, ftree_node dir, const char *name, char *ret, size_t n); /* NUL-terminated */
	/* Type and rdev of a; mode 0600 or 0700, for the owner only. target: of a symbolic link. */
	int (*make)(struct ftree *t, ftree_node dir, const char *name, const struct ftree_attr *a,
		const char *target);
	/* Another name for what dir/name of this tree became: first is what remember gave. */
	int (*link)(struct ftree *t, const char *first, ftree_node dir, const char *name);
	/* -EISDIR, or -ENOTEMPTY for a directory with entries. */
	int (*remove)(struct ftree *t, ftree_node dir, const char *name, bool directory);
	long (*read)(struct ftree *t, ftree_node node, uint64_t off, void *p, size_t n);
	int (*write)(struct ftree *t, ftree_node node, uint64_t off, const void *p, size_t n);
	int (*truncate)(struct ftree *t, ftree_node node, uint64_t size);
	/* The next stretch of data at or after off; -ENXIO: none. */
	int (*data)(struct ftree *t, ftree_node node, uint64_t off, uint64_t *ret_from, uint64_t *ret_to);
	long (*xattr_list)(struct ftree *t, ftree_node node, char *p, size_t n);
	long (*xattr_get)(struct ftree *t, ftree_node node, const char *name, void *p, size_t n);
	int (*xattr_set)(struct ftree *t, ftree_node node, const char *name, const void *p, size_t n);
	int (*xattr_remove)(struct ftree *t, ftree_node node, const char *name);
	int (*set_owner)(struct ftree *t, ftree_node node, const struct ftree_attr *a);
	int (*set_mode)(
		struct ftree *t, ftree_node node, const struct ftree_attr *a); /* not of a symbolic link */
	int (*set_times)(struct ftree *t, ftree_node node, const struct ftree_attr *a);
	/* Everything so far survives a crash. */
	int (*commit)(struct ftree *t);
	/* Why the last call failed, beyond its errno. */
	int (*explain)(struct ftree *t, int rc, const char *what, struct error *err);
};

struct ftree {
	const struct ftree_ops *ops;
	const char *name; /* for messages */
	int fd; /* of the host: the root */
	struct volume_session *session; /* of a volume */
};

/* dir: an existing directory. */
MUST_USE int ftree_host(struct ftree *ret, const char *dir, struct error *err);
void ftree_volume(struct ftree *ret, struct volume_session *s);
void ftree_free(struct ftree *t);

/* A walk: every entry below the root once, depth first. dir is the directory's open node, path is relative to the root. Each answers 0 or -1 with
 * err. The names of one directory at a time, per level, are in memory. */
struct ftree_visitor {
	void *ctx;
	int (*enter)(void *ctx, ftree_node node, const char *name, const char *path,
		const struct ftree_attr *a, struct error *err); /* a directory; the root has name "" */
	int (*leave)(
		void *ctx, ftree_node node, const char *path, const struct ftree_attr *a, struct error *err);
	int (*entry)(void *ctx, ftree_node dir, const char *name, const char *path,
		const struct ftree_attr *a, struct error *err); /* anything else */
};
/* skip: a name in the root that is left out, or NULL. */
MUST_USE int ftree_walk(struct ftree *t, const char *skip, const struct ftree_visitor *v, struct error *err);

/* What lies below the root: entries, and bytes of files as their lengths say, each file with several names once for each. */
struct ftree_total {
	uint64_t bytes, entries;
};
MUST_USE int ftree_count(struct ftree *t, const char *skip, struct ftree_total *ret, struct error *err);

struct ftree_copy_options {
	const char *what; /* "encrypt": what progress is called */
	const char *skip; /* a name in the roots that is left alone, or NULL */
	struct ftree_total total; /* for progress */
	/* What `to` has is kept where size, time and kind are right already, so that a copy that was stopped goes on where it was: among the
	 * first `durable` entries, UINT64_MAX for all. checkpoint (may be NULL) is told after each commit how many are. */
	uint64_t durable;
	int (*checkpoint)(void *ctx, uint64_t entries, struct error *err);
	void *ctx;
};
struct ftree_copy_result {
	struct ftree_total copied, kept;
	int signal; /* that stopped it; 0: none */
};
/* Copy what is below the root of from to that of to, the root's attributes included; names that only `to` has are removed. Commits now and
 * then, and at the end. *ret is filled on failure too. */
MUST_USE int ftree_copy(struct ftree *from, struct ftree *to, const struct ftree_copy_options *o,
	struct ftree_copy_result *ret, struct error *err);

/* On a large file that is being copied: how far it is, and of which file. Never on a complete one. */
#define FTREE_PARTIAL "user.openscone.partial"

#endif
