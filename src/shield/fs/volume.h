/*
 * volume: an encrypted, authenticated, crash-proof file system in one block device. docs/volume-format.md is what it writes.
 *
 * The engine does no I/O of its own: device, clock, randomness, locks and memory are callbacks (struct volume_env), and no threads: whoever
 * calls does the work. Everything that is shared between the users of one mounted volume lies in an arena that the caller supplies. Several
 * processes may use one volume if each maps the arena, shared, at the same address: the first calls volume_open, the others volume_attach.
 * A struct volume is one process' view of it (callbacks, keys, cipher contexts); any number of threads may use it at once. A child of fork
 * may go on using its copy of the handle only if the arena is mapped shared. Arena and handle hold plaintext and keys: protected memory.
 *
 * Errors: 0 or a positive result, or -errno. -EBADMSG: the host changed something; the fault callback has said what, where, seen and
 * wanted. -EIO: the device failed. After either on a write path the volume is read-only (-EROFS) until it is opened again; what was fsynced
 * is safe. -ENOSPC: no room in the volume. -ENOMEM: cache too small for what is pinned, or alloc gave nothing. -EINVAL: an argument. All
 * others are those of the POSIX call of the same name; the engine checks structure (types, names, links, emptiness), never permissions:
 * that is the caller's, as are symbolic link resolution, "." and "..", umask, access times of reads and file locks.
 *
 * Inode numbers are stable for the life of a file; VOLUME_ROOT is the root directory. A number may be reused after the file is gone, with
 * another gen. A file with open counts or links stays.
 */
#ifndef SCONE_SHIELD_FS_VOLUME_H
#define SCONE_SHIELD_FS_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define VOLUME_BLOCK 4096
#define VOLUME_KEY_LEN 32
#define VOLUME_ID_LEN 16
#define VOLUME_TAG_LEN 16
#define VOLUME_ROOT 1 /* inode number of the root directory */
#define VOLUME_NAME_MAX 255
#define VOLUME_SYMLINK_MAX 4095
#define VOLUME_XATTR_NAME_MAX 255
#define VOLUME_XATTR_VALUE_MAX 65536 /* one value */
#define VOLUME_XATTR_TOTAL_MAX 131072 /* all names and values of one inode, as stored */
#define VOLUME_LINK_MAX 65000
#define VOLUME_FILE_MAX ((uint64_t)1 << 43) /* bytes in one file */
#define VOLUME_MIN_BYTES (4u << 20)
#define VOLUME_LABEL_MAX 64 /* with NUL */

struct volume; /* opaque, process-local */

/* A state of the whole volume. generation counts every commit and every append to the intent log, and only rises; tag authenticates
 * everything in it. This is what CAS keeps. */
struct volume_version {
	uint64_t generation;
	uint8_t tag[VOLUME_TAG_LEN];
};

/* What was found changed. Texts are static or inside the struct. */
struct volume_fault {
	const char *
		structure; /* "superblock", "data block", "tree node", "inode", "directory", "intent log", "space map" … */
	const char *field; /* "tag", "generation", "length" … */
	uint64_t block; /* block number in the device, UINT64_MAX: none */
	uint64_t inode, index; /* whose, and which block of it; UINT64_MAX: none */
	uint64_t seen,
		wanted; /* of the field; for tags their first eight bytes as stored and as computed or wanted, 0 if not known */
	char text[256]; /* the whole sentence */
};

enum volume_lock_mode { VOLUME_SHARED, VOLUME_EXCLUSIVE };

/* One lock in the arena; zeroed is unlocked. The implementation may use all of it. */
struct volume_lock {
	_Alignas(64) uint64_t opaque[16];
};

/* Why a version is published. */
enum volume_event {
	VOLUME_LOGGED, /* fsync appended to the intent log */
	VOLUME_COMMITTED,
};

struct volume_env {
	void *ctx; /* given to every callback */

	/* Device: bytes at off, both multiples of VOLUME_BLOCK. 0 or -errno, never short. A read beyond what was ever written answers
	 * -ENODATA or zeros. Writes beyond the end extend it. Writes before a flush may reach the disk in any order or not at all;
	 * those before a flush that answered 0 have. Callable from several threads at once. */
	int (*read)(void *ctx, uint64_t off, void *p, size_t n);
	int (*write)(void *ctx, uint64_t off, const void *p, size_t n);
	int (*flush)(void *ctx);
	/* May be NULL. These bytes are not needed any more. Called only after a commit that no longer refers to them, some time later: by
	 * volume_commit, volume_tick and volume_close. */
	void (*discard)(void *ctx, uint64_t off, uint64_t n);

	/* Nanoseconds since 1970. */
	int64_t (*clock)(void *ctx);
	/* n bytes that nobody can guess or repeat, also after fork and after a restored machine image. 0 or -errno. */
	int (*random)(void *ctx, void *p, size_t n);

	/* NULL: one thread of one process only. lock answers 0, or -EOWNERDEAD: a former holder in exclusive mode died with it, and the lock is
	 * held now, exclusively whatever mode was asked for; the engine repairs and goes on. A holder in shared mode that dies must be
	 * noticed by the implementation and simply no longer counts. A holder never takes the same lock twice. An implementation may
	 * treat shared as exclusive. */
	int (*lock)(void *ctx, struct volume_lock *l, enum volume_lock_mode mode);
	void (*unlock)(void *ctx, struct volume_lock *l, enum volume_lock_mode mode);

	/* Process-local memory: the handle and buffers for I/O. NULL: malloc and free. free gets the size given to alloc; the engine
	 * wipes what was secret. */
	void *(*alloc)(void *ctx, size_t n);
	void (*free)(void *ctx, void *p, size_t n);

	/* May be NULL. v is durable and about to be acknowledged: the place to tell CAS (strict: synchronously; rollback_protected: on
	 * VOLUME_COMMITTED, or take note and send later). Not 0: fsync or commit answers this error though the data is durable, and
	 * the next fsync or commit publishes again. Other operations go on meanwhile, fsync and commit wait. Must not call the engine. */
	int (*publish)(void *ctx, enum volume_event event, const struct volume_version *v);
	/* May be NULL. Something was found changed. Must not call the engine. */
	void (*fault)(void *ctx, const struct volume_fault *f);
};

struct volume_create_options {
	uint64_t
		size; /* bytes the volume may take in the device, at least VOLUME_MIN_BYTES; rounded down to blocks */
	const char *label; /* NULL or up to VOLUME_LABEL_MAX - 1 bytes; encrypted */
	uint32_t root_mode, root_uid, root_gid; /* permission bits and owner of the root directory */
	uint64_t log_bytes; /* 0: chosen from size */
};

struct volume_limits {
	uint64_t
		max_size; /* bytes the volume may be or grow to while it is open; 0: its size at volume_open, at most */
	size_t cache; /* bytes for cached blocks, at least VOLUME_CACHE_MIN; a quarter of it and more may be changed and not yet written */
	uint32_t open_inodes; /* most inodes open, or changed and not yet written, at once; 0: 65536 */
};
#define VOLUME_CACHE_MIN (2u << 20)
#define VOLUME_CACHE_MAX ((uint64_t)64 << 30) /* that a policy or a command line may ask for */

struct volume_open_options {
	struct volume_limits limits;
	bool read_only; /* nothing is ever written; the intent log is replayed in memory only */
	/* Freshness: a volume whose version is older than this, or as old with another tag, is -ESTALE; the fault says both. NULL: any. */
	const struct volume_version *at_least;
};

/* What volume_open found. */
struct volume_open_report {
	struct volume_version
		found; /* version of the state that was opened, intent log included; compare this with CAS' */
	uint64_t log_records; /* fsyncs replayed from the intent log: 0 after a clean close */
	uint64_t orphans; /* files that were unlinked while open, now freed */
	bool superblock_damaged; /* one of the two superblocks does not authenticate: a commit was cut off, or tampering */
};

struct volume_attr {
	uint64_t ino;
	uint64_t gen; /* of the inode number */
	uint32_t mode; /* with S_IFMT */
	uint32_t nlink, uid, gid;
	uint64_t rdev; /* as given */
	uint64_t size; /* bytes; of a symbolic link: length of its target */
	uint64_t blocks; /* 4096-byte blocks taken by content */
	int64_t atime, mtime, ctime, btime; /* ns since 1970 */
	uint64_t change; /* rises with every change of content or attributes */
};

struct volume_statfs {
	uint64_t size, free; /* bytes; free is what may still be written, a reserve for deletion taken off */
	uint64_t inodes; /* in use */
	uint64_t inodes_free; /* estimate: what fits into free */
	uint8_t id[VOLUME_ID_LEN];
	char label[VOLUME_LABEL_MAX];
};

/* Life. */

/* Write an empty volume with a fresh random id; what the device held is lost. Flushes. Answers also -EINVAL for options. */
MUST_USE int volume_create(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN],
	const struct volume_create_options *o, struct volume_version *ret);

/* Read the size in bytes and the version of the newest superblock of a volume without an arena, to choose limits. -EBADMSG: no volume, or another key. */
MUST_USE int volume_probe(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN], uint64_t *ret_size,
	struct volume_version *ret);

/* Bytes of arena that limits ask for; max_size must be set. */
size_t volume_arena_size(const struct volume_limits *l);

/* Open. arena: page aligned, volume_arena_size bytes, the caller's, borrowed until the last volume_close; need not be zeroed. env is copied.
 * The intent log is replayed and, unless read_only, committed. report may be NULL. Also -ESTALE (at_least), -ENOMEM (arena too small). */
MUST_USE int volume_open(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN], void *arena,
	size_t arena_len, const struct volume_open_options *o, struct volume **ret,
	struct volume_open_report *report);
/* A further process on an arena where volume_open was done, mapped at the same address. -EINVAL: no such arena. -EACCES: other key. */
MUST_USE int volume_attach(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN], void *arena,
	size_t arena_len, struct volume **ret);
/* In a child of fork, before anything else: what other threads of the parent had of the handle is free again. */
void volume_forked(struct volume *v);
/* Commit what is changed (unless read-only) and give the handle up. The last user wipes the arena itself. The handle is gone also on error. */
MUST_USE int volume_close(struct volume *v);
/* Give the handle up without a commit: what is left when a process ends but others go on. */
void volume_detach(struct volume *v);

/* The text of the newest fault that this handle saw, or "". Valid until the next call with this handle. */
const char *volume_fault_text(const struct volume *v);

/* Nothing can be written: opened so, or after a failure. */
bool volume_is_read_only(const struct volume *v);
/* The newest durable version. */
void volume_version_get(struct volume *v, struct volume_version *ret);
void volume_statfs_get(struct volume *v, struct volume_statfs *ret);
/* Change the size. Growing is at once; over limits.max_size is -EFBIG. Shrinking below what is in use there is -EBUSY. Commits. */
MUST_USE int volume_resize(struct volume *v, uint64_t size);

/* Names. name: n bytes, 1 to 255, no '/' and no NUL, not "." or ".."; -EINVAL, -ENAMETOOLONG. dir that is no directory: -ENOTDIR; a dir that
 * was removed: -ENOENT. attr may be NULL where it is an output. */

#define VOLUME_HOLD 1u /* count the inode as opened, as volume_hold does, in the same step */

/* flags: 0 or VOLUME_HOLD. -ENOENT. */
MUST_USE int volume_lookup(struct volume *v, uint64_t dir, const char *name, size_t n, unsigned int flags,
	struct volume_attr *ret);
/* The directory that contains directory dir; the root's is itself. */
MUST_USE int volume_parent(struct volume *v, uint64_t dir, uint64_t *ret);

struct volume_new {
	uint32_t mode; /* S_IFMT and permission bits; any type */
	uint32_t uid, gid;
	uint64_t rdev; /* S_IFCHR, S_IFBLK */
	const char *target; /* S_IFLNK: target_len bytes, 1 to VOLUME_SYMLINK_MAX */
	size_t target_len;
};
/* A new file, directory, symbolic link or special file. flags: 0 or VOLUME_HOLD. -EEXIST. */
MUST_USE int volume_make(struct volume *v, uint64_t dir, const char *name, size_t n,
	const struct volume_new *what, unsigned int flags, struct volume_attr *ret);
/* A file without a name (O_TMPFILE), held once; volume_link gives it a name. */
MUST_USE int volume_make_unnamed(struct volume *v, const struct volume_new *what, struct volume_attr *ret);
/* -EPERM: a directory. -EMLINK. -ENOENT: ino is gone, or has no name and was not made by volume_make_unnamed. */
MUST_USE int volume_link(struct volume *v, uint64_t ino, uint64_t dir, const char *name, size_t n);
/* -EISDIR: a directory. Content stays while it is held. */
MUST_USE int volume_unlink(struct volume *v, uint64_t dir, const char *name, size_t n);
/* -ENOTDIR, -ENOTEMPTY. */
MUST_USE int volume_rmdir(struct volume *v, uint64_t dir, const char *name, size_t n);

#define VOLUME_RENAME_NOREPLACE 1u
#define VOLUME_RENAME_EXCHANGE 2u
/* As renameat2. -EINVAL: a directory into itself or below; -EEXIST, -ENOTEMPTY, -EISDIR, -ENOTDIR. */
MUST_USE int volume_rename(struct volume *v, uint64_t from_dir, const char *from, size_t from_n,
	uint64_t to_dir, const char *to, size_t to_n, unsigned int flags);

/* Target into p, at most n bytes; answers its whole length. -EINVAL: no symbolic link. */
MUST_USE long volume_readlink(struct volume *v, uint64_t ino, char *p, size_t n);

struct volume_dirent {
	uint64_t ino;
	uint64_t
		cookie; /* go on after this entry; positive as an int64_t; stable while the entry exists, whatever else changes */
	uint8_t type; /* DT_* */
	uint8_t name_len;
	char name[VOLUME_NAME_MAX + 1]; /* NUL-terminated */
};
/* Entries after cookie (0: from the start) into e[0..n), "." and ".." first; answers how many, 0 at the end. The order is by keyed hash. An
 * entry that exists throughout is seen exactly once. */
MUST_USE long volume_readdir(
	struct volume *v, uint64_t dir, uint64_t cookie, struct volume_dirent *e, size_t n);

/* Inodes. ino that does not exist: -ENOENT. */

/* Count an open of ino: it stays after its last unlink until volume_release. gen: from volume_attr, 0: any; another is -ESTALE. */
MUST_USE int volume_hold(struct volume *v, uint64_t ino, uint64_t gen);
/* Give n holds back. For a process that died, whoever cleans up after it gives back what it held. Never fails for what was held. */
MUST_USE int volume_release(struct volume *v, uint64_t ino, uint32_t n);
/* For who keeps count of holds outside of the arena, and must be able to agree with it after a process died in between. */
MUST_USE int volume_holds(struct volume *v, uint64_t ino, uint32_t *ret);
/* As volume_release, but what nobody needs any more stays until volume_reap: never long. Answers 1 if there is such, else 0. */
MUST_USE int volume_release_only(struct volume *v, uint64_t ino, uint32_t n);
/* Free ino, or every file (0), that has neither link nor hold. */
MUST_USE int volume_reap(struct volume *v, uint64_t ino);

MUST_USE int volume_getattr(struct volume *v, uint64_t ino, struct volume_attr *ret);
#define VOLUME_SET_MODE 1u /* permission bits only */
#define VOLUME_SET_UID 2u
#define VOLUME_SET_GID 4u
#define VOLUME_SET_ATIME 8u
#define VOLUME_SET_MTIME 16u
#define VOLUME_SET_CTIME                                                                                     \
	32u /* without it ctime becomes now; with ATIME alone it stays, for atime after a read: pass SET_ATIME_ONLY */
#define VOLUME_SET_ATIME_ONLY                                                                                \
	64u /* atime as an effect of reading: ctime and change stay, and fsync need not log it */
MUST_USE int volume_setattr(struct volume *v, uint64_t ino, unsigned int what, const struct volume_attr *a);

/* Content of regular files (-EISDIR, -EINVAL for others). */

/* Answers the bytes read: fewer only at the end of the file. */
MUST_USE long volume_read(struct volume *v, uint64_t ino, uint64_t off, void *p, size_t n);
#define VOLUME_APPEND 1u /* at the end, atomically; off is ignored */
#define VOLUME_DIRECT                                                                                        \
	2u /* the next fsync of whatever file makes it durable, too, as of a disk where it lies in the disk's cache */
/* Answers the bytes written (fewer only when room ran out midway), -EFBIG, -ENOSPC. *ret_off, if not NULL: where. p may be memory that
 * faults only if the caller's lock implementation can bear a fault while it is held; else copy first. */
MUST_USE long volume_write(struct volume *v, uint64_t ino, uint64_t off, const void *p, size_t n,
	unsigned int flags, uint64_t *ret_off);
MUST_USE int volume_truncate(struct volume *v, uint64_t ino, uint64_t size);
#define VOLUME_FALLOC_KEEP_SIZE 1u
#define VOLUME_FALLOC_PUNCH_HOLE 2u /* implies KEEP_SIZE */
#define VOLUME_FALLOC_ZERO_RANGE 4u
/* 0 flags: make sure size reaches off + n (-ENOSPC if the volume has no room for what is missing); space is not held back for later, for every
 * write takes new blocks anyway. */
MUST_USE int volume_fallocate(struct volume *v, uint64_t ino, uint64_t off, uint64_t n, unsigned int flags);
/* Next data (or hole; the end of the file counts as one) at or after off. -ENXIO. */
MUST_USE int volume_seek_data(struct volume *v, uint64_t ino, uint64_t off, uint64_t *ret);
MUST_USE int volume_seek_hole(struct volume *v, uint64_t ino, uint64_t off, uint64_t *ret);

/* Extended attributes. Any inode. name: n bytes, 1 to 255, no NUL. -ENODATA, -EEXIST, -ERANGE (buffer too small; n 0 asks for the size), -ENOSPC
 * (over VOLUME_XATTR_TOTAL_MAX), -E2BIG (over VOLUME_XATTR_VALUE_MAX). */
#define VOLUME_XATTR_CREATE 1u
#define VOLUME_XATTR_REPLACE 2u
MUST_USE int volume_xattr_set(struct volume *v, uint64_t ino, const char *name, size_t name_n,
	const void *value, size_t n, unsigned int flags);
MUST_USE long volume_xattr_get(
	struct volume *v, uint64_t ino, const char *name, size_t name_n, void *value, size_t n);
/* Names, each NUL-terminated, one after the other. */
MUST_USE long volume_xattr_list(struct volume *v, uint64_t ino, char *p, size_t n);
MUST_USE int volume_xattr_remove(struct volume *v, uint64_t ino, const char *name, size_t name_n);

/* Durability. */

/* When it answers 0, content and attributes of ino, and every change of names and attributes anywhere that was made before, survive any
 * crash. One append and one flush as a rule; concurrent callers share them. data_only: changes of times alone need not be written. */
MUST_USE int volume_fsync(struct volume *v, uint64_t ino, bool data_only);
/* Everything. Writes a new superblock unless nothing has changed since the last. */
MUST_USE int volume_commit(struct volume *v);
/* For a timer: commit if the oldest change is older than max_age ns; else discard what was freed. */
MUST_USE int volume_tick(struct volume *v, int64_t max_age);

/* Verification: read and authenticate every block, check every structure against the others. Commits first. Resumable: a zeroed cursor
 * starts, the same cursor goes on after a stop; it may be stored between runs of the program. */
struct volume_verify_cursor {
	uint64_t phase, ino, block; /* opaque */
	uint64_t blocks_done, faults;
};
struct volume_verify_progress {
	uint64_t blocks_done, blocks_total; /* 4096-byte blocks in use */
	uint64_t inode; /* looked at now */
	uint64_t faults; /* so far; each went to env.fault */
};
/* progress: may be NULL; called now and then; not 0 stops, with -EINTR. Goes on after a fault where it can. 0: all checked, no fault; -EBADMSG:
 * all checked, faults. Structural phases hold writers off. */
MUST_USE int volume_verify(struct volume *v, struct volume_verify_cursor *cursor,
	int (*progress)(void *ctx, const struct volume_verify_progress *p), void *ctx);

/* Figures since volume_open, of all processes. */
struct volume_stats {
	uint64_t hits, misses; /* blocks of content found in the cache, or not */
	uint64_t blocks_read, blocks_written, bytes_logged;
	uint64_t device_reads, device_writes, flushes;
	uint64_t commits, log_appends, fsyncs;
	uint64_t cached, dirty; /* blocks now */
	uint64_t recoveries; /* lock holders that died */
};
void volume_stats_get(struct volume *v, struct volume_stats *ret);

#endif
