/*
 * injected: files that live in memory only. An engine without I/O and without locks: callers serialise.
 *
 * A table is made at start and handed on at exec. Its set of files never changes afterwards, only their content may: the first change copies
 * a file into memory that belongs to this process alone, so that content shared with other processes since fork stays as it is. Nothing here
 * reaches a disk; what the program wrote is gone when the process ends.
 *
 * Functions answer 0 or a positive result, or -errno. Ids run from 0 to injected_count - 1 and stay valid as long as the table.
 */
#ifndef SCONE_SHIELD_FS_INJECTED_H
#define SCONE_SHIELD_FS_INJECTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define INJECTED_FILE_MAX (16u << 20) /* bytes in one file; also the limit for writes of the program */
#define INJECTED_COUNT_MAX 1024
#define INJECTED_PATH_MAX 4096 /* with NUL */

/* Where content lives. get: n > 0 zeroed bytes, NULL: no memory. put: n as given to get; the bytes are wiped.
 * own: memory that fork copies, for content the program changed; otherwise memory that fork may share. */
struct injected_memory {
	void *(*get)(size_t n, bool own);
	void (*put)(void *p, size_t n, bool own);
};

/* What is known of a file when it is added. */
struct injected_info {
	const char *path; /* absolute; kept normalised */
	const char *real; /* path with the symlinks of its directory resolved, or NULL if that is the same */
	uint32_t mode; /* permission bits, at most 07777 */
	uint32_t uid, gid;
	int64_t mtime; /* seconds since 1970 */
	bool from_host; /* the host has this file: its attributes are shown, with the size changed */
	bool has_inode; /* dev and ino name what the host has under path */
	uint64_t dev, ino;
};

struct injected_file {
	struct injected_info info; /* paths owned by the table */
	uint8_t *data; /* size bytes; NULL if cap is 0 */
	size_t size, cap;
	bool own; /* data is this process' alone and may be written */
	uint32_t name_hash;
};

struct injected_table;

/* memory: borrowed for the table's life; NULL: malloc. */
MUST_USE int injected_new(const struct injected_memory *memory, struct injected_table **ret);
void injected_free(struct injected_table *t); /* wipes; NULL is fine */

/* Copies content. Answers the id, -EINVAL (path not absolute or ends in no name, mode), -ENAMETOOLONG, -EEXIST, -EFBIG, -ENFILE, -ENOMEM. */
MUST_USE int injected_add(
	struct injected_table *t, const struct injected_info *info, const void *content, size_t n);

size_t injected_count(const struct injected_table *t);
/* Valid until the table is freed; data until the file's next change. NULL: no such id. */
const struct injected_file *injected_get(const struct injected_table *t, uint32_t id);

/* By path or real; path must be normalised. -ENOENT. */
MUST_USE int injected_find_path(const struct injected_table *t, const char *path);
/* By identity of the host's file. -ENOENT. */
MUST_USE int injected_find_inode(const struct injected_table *t, uint64_t dev, uint64_t ino);
/* Has any file this last component (n bytes)? False rules a path out without looking at its directory. */
bool injected_has_name(const struct injected_table *t, const char *name, size_t n);

/* Write n bytes at off; a gap before off reads as zeros. Answers how many were written (fewer at the limit), -EFBIG when not even one
 * fits, -EBADF, -ENOMEM. */
MUST_USE long injected_write(struct injected_table *t, uint32_t id, uint64_t off, const void *p, size_t n);
/* -EFBIG over the limit, -EBADF, -ENOMEM. */
MUST_USE int injected_truncate(struct injected_table *t, uint32_t id, uint64_t size);

/* Attributes of a file that the host lacks. -EBADF for another id. UINT32_MAX leaves uid or gid as it is. */
MUST_USE int injected_set_mode(struct injected_table *t, uint32_t id, uint32_t mode);
MUST_USE int injected_set_owner(struct injected_table *t, uint32_t id, uint32_t uid, uint32_t gid);
MUST_USE int injected_set_mtime(struct injected_table *t, uint32_t id, int64_t mtime);

/* out should be a secret buffer; a failed append shows in out->failed. */
void injected_encode(const struct injected_table *t, struct buf *out);
/* -EBADMSG for anything that injected_encode does not write. */
MUST_USE int injected_decode(
	struct rd *in, const struct injected_memory *memory, struct injected_table **ret);

/* Absolute path without empty, `.` and `..` components (`..` by name, as if nothing were a symlink). cap bytes at ret.
 * Answers its length, -EINVAL (not absolute) or -ENAMETOOLONG. ret may not overlap path. */
MUST_USE long injected_normalise(const char *path, char *ret, size_t cap);

#endif
